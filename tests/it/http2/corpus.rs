//! What of the corpus can be said in HTTP/2 gets the same verdict there as over HTTP/1.

use std::io::Write;

use super::status;
use crate::corpus::{
    CORPUS,
    case::{self, Case, Expect},
    verdict::target,
};
use crate::support::{
    http2::{ByHand, DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame, head, setup},
    live::policy,
    recorder::Recorder,
};

/// What became of a request.
#[derive(Debug, PartialEq)]
pub(super) enum Became {
    Answered {
        status: u16,
        reason: String,
    },
    /// The stream or the connection ended without an answer.
    Reset,
}

#[test]
fn the_corpus_gets_the_same_verdicts() {
    let upstream = Recorder::start();
    let live = setup(upstream.address())
        .policy("lyon", policy("127.0.0.1", "min_search_length = 0"))
        .upstream("timeout = \"20s\"")
        .start();
    let (mut said, mut reset, mut failures) = (0, 0, Vec::new());
    for case in case::read(CORPUS) {
        let Some(fields) = translated(&case) else { continue };
        said += 1;
        let fields: Vec<(&str, &[u8])> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let became = ask(&mut ByHand::nameless(live.address), &fields, b"");
        let forwarded = upstream.take();
        reset += usize::from(became == Became::Reset);
        if let Err(why) = judge(&case, &became, &forwarded.heads) {
            failures.push(format!("{}: {why}: {became:?}", case.id));
        }
        assert!(forwarded.rest.is_empty(), "{}", case.id);
    }
    writeln!(std::io::stderr(), "corpus over HTTP/2: {said} cases, {reset} of them reset").unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(said > 400, "{said}");
}

fn judge(case: &Case, became: &Became, forwarded: &[Vec<u8>]) -> Result<(), String> {
    let targets: Vec<_> = forwarded.iter().map(|head| target(head)).collect();
    if targets.iter().any(Option::is_none) || targets.len() > 1 {
        return Err(format!("{targets:?} went upstream"));
    }
    let answered = matches!(became, Became::Answered { status: 200, .. });
    if answered != (targets.len() == 1) {
        return Err(format!("{targets:?} went upstream"));
    }
    match (case.expect, became) {
        // Of what goes on for much longer than it is drained an answer may be lost, as over HTTP/1.
        (Expect::Reject, Became::Reset) if case.raw.len() > 128 << 10 => Ok(()),
        (_, Became::Reset) => Err("it was not answered".to_owned()),
        (Expect::Accept, _) if !answered => Err("it was not answered".to_owned()),
        (Expect::Reject, _) if answered => Err("it was answered".to_owned()),
        (Expect::Reject, Became::Answered { status: 400.., reason }) => {
            let head_only = case.raw.starts_with(b"HEAD ");
            match &case.reason {
                Some(wanted) if wanted != reason && !head_only => Err(format!("not {wanted}")),
                _ => Ok(()),
            }
        }
        _ => match (&case.upstream, targets.first()) {
            (Some(wanted), Some(Some(target))) if wanted != target => {
                Err(format!("{target} went upstream, not {wanted}"))
            }
            _ => Ok(()),
        },
    }
}

/// Asks on the first stream of a client, whose frames for the body go out as far as the gateway takes them.
pub(super) fn ask(client: &mut ByHand, fields: &[(&str, &[u8])], body: &[u8]) -> Became {
    let mut head = head(1, fields);
    if !body.is_empty() {
        head[4] &= !END_STREAM;
    }
    client.send(&head);
    // What any window has room for; the rest would wait for more.
    let mut pieces = body[..body.len().min(65_535)].chunks(16_384).peekable();
    let mut sent = 0;
    while let Some(piece) = pieces.next() {
        sent += piece.len();
        let flags = if pieces.peek().is_none() && sent == body.len() { END_STREAM } else { 0 };
        client.send(&frame(DATA, flags, 1, piece));
    }
    let mut answer: Option<(u16, Vec<u8>)> = None;
    while let Some(frame) = client.frame() {
        match (frame.kind, &mut answer) {
            (RST_STREAM, None) => return Became::Reset,
            (GOAWAY, None) if frame.payload[4..8] != [0; 4] => return Became::Reset,
            (HEADERS, None) => answer = Some((status(&frame), Vec::new())),
            (DATA, Some((_, body))) => body.extend(&frame.payload),
            // What breaks a rule of HTTP/2 is answered, and then reset.
            (RST_STREAM, Some(_)) => break,
            _ => {}
        }
        if frame.kind <= HEADERS && frame.flags & 1 != 0 {
            break;
        }
    }
    match answer {
        None => Became::Reset,
        Some((status, body)) => {
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            Became::Answered {
                status,
                reason: value["reason"].as_str().unwrap_or_default().to_owned(),
            }
        }
    }
}

type Fields = Vec<(String, Vec<u8>)>;

/// The request in HTTP/2's words; none where it is not one request, or is about what only HTTP/1 has:
/// line ends, versions, forms of the target, bodies, and persistence.
fn translated(case: &Case) -> Option<Fields> {
    if case.hold {
        return None;
    }
    let end = case.raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    if end + 4 != case.raw.len() {
        return None;
    }
    // Line ends are HTTP/1's matter.
    if memchr::memchr_iter(b'\n', &case.raw).any(|at| at == 0 || case.raw[at - 1] != b'\r') {
        return None;
    }
    let mut lines = case.raw[..end].split(|&byte| byte == b'\n');
    let mut line = lines.next()?;
    line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_suffix(b" HTTP/1.1")?;
    let (method, path) = line.split_at(line.iter().position(|&byte| byte == b' ')?);
    let path = path.get(1..)?;
    if path.first() != Some(&b'/') || line.contains(&b'\r') {
        return None;
    }
    let mut fields: Fields = vec![
        (":method".to_owned(), method.to_vec()),
        (":scheme".to_owned(), b"https".to_vec()),
        (":path".to_owned(), path.to_vec()),
    ];
    let mut hosts = 0;
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = std::str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase();
        let value = line[colon + 1..].trim_ascii().to_vec();
        if name.is_empty()
            || name.contains(|c: char| !c.is_ascii_graphic())
            || line.contains(&b'\r')
        {
            return None;
        }
        match name.as_str() {
            // One of the same length, for the sake of the limits.
            "connection" if !value.to_ascii_lowercase().starts_with(b"upgrade") => {
                fields.push(("x-instead0".to_owned(), value));
            }
            "host" => {
                hosts += 1;
                let authority = (":authority".to_owned(), value.clone());
                match hosts {
                    1 => fields.insert(0, authority),
                    _ => fields.push((name, value)),
                }
            }
            _ => fields.push((name, value)),
        }
    }
    Some(fields)
}
