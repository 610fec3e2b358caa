//! One request, said over HTTP/1 and over HTTP/2, gets one verdict, one answer and one line of the log.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use fastrand::Rng;
use rustls::{ClientConfig, version::TLS13};

use super::corpus::{Became, ask};
use crate::{
    properties::generate,
    support::{
        http2::{ByHand, setup},
        live::policy,
        process::becomes_true,
        recorder::Recorder,
        tls::{connect, credulous},
    },
};

const COUNT: usize = 4000;

/// What the log is to show of a request; its version and lengths are those of its protocol.
const FORMAT: &str = "$status|$request|$remote_user|$http_referer|$http_user_agent|$http_x_odd|$host|\
                      $request_method|$uri|$args|$peer|$action|$reason|$rule|$limit";

type Fields = Vec<(String, Vec<u8>)>;

/// A request without a word that only one of the protocols has.
struct Request {
    method: String,
    target: Vec<u8>,
    host: Option<Vec<u8>>,
    /// The host is an `:authority` in HTTP/2, and not a field.
    authority: bool,
    fields: Fields,
    body: Vec<u8>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |bytes: &[u8]| {
            let (shown, rest) = bytes.split_at(bytes.len().min(300));
            format!("{} and {} more", shown.escape_ascii(), rest.len())
        };
        let host = self.host.as_deref().map(cut);
        write!(
            f,
            "{} {} {host:?} {} body {}",
            self.method,
            cut(&self.target),
            self.authority,
            self.body.len()
        )?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}: {}", cut(value)))
    }
}

#[test]
fn random_requests_get_one_verdict_and_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("wide.log");
    let upstream = Recorder::start();
    let live = setup(upstream.address())
        .policy("lyon", policy("127.0.0.1", "min_search_length = 2"))
        .upstream("timeout = \"20s\"")
        .limits(&format!(
            "rate = {{ per_second = 1000000, burst = 1000000 }}\n[log_format]\nwide = '{FORMAT}'\n[[access_log]]\npath = {log:?}\nformat = \"wide\"\n\
             buffer = \"0\"\nflush = \"10ms\"\nmax_field = \"0\""
        ))
        .start();
    let client = credulous(&[&TLS13], None);
    let mut random = Rng::with_seed(0x4832_4831);
    let (mut requests, mut kinds) = (Vec::new(), std::collections::BTreeMap::new());
    for _ in 0..COUNT {
        let request = random_request(&mut random);
        let over_1 = over_http_1(&live, &client, &request);
        let forwarded_1 = upstream.take().heads;
        let over_2 = over_http_2(&live, &request);
        let forwarded_2 = upstream.take().heads;
        assert_eq!(over_1, over_2, "{request:?}");
        assert_eq!(first_lines(&forwarded_1), first_lines(&forwarded_2), "{request:?}");
        *kinds.entry(format!("{over_1:?}")).or_insert(0) += 1;
        requests.push(request);
    }
    let lines = || String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    assert!(becomes_true(|| lines().lines().count() >= 2 * COUNT), "{}", lines().lines().count());
    let lines = lines();
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 2 * COUNT);
    for (request, pair) in requests.iter().zip(lines.chunks(2)) {
        assert_eq!(pair[0].replace("HTTP/1.1|", "HTTP/2.0|"), pair[1], "{request:?}");
    }
    writeln!(std::io::stderr(), "{COUNT} requests over both: {kinds:#?}").unwrap();
    // Without many kinds of verdict the test would say nothing.
    assert!(kinds.len() >= 10, "{kinds:?}");
}

fn first_lines(heads: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let line = |head: &Vec<u8>| head.split(|&byte| byte == b'\r').next().unwrap().to_vec();
    heads.iter().map(line).collect()
}

fn over_http_1(
    live: &crate::support::live::Live,
    client: &Arc<ClientConfig>,
    request: &Request,
) -> Became {
    let mut tls = connect(live.address, client, "127.0.0.1").unwrap();
    let mut bytes = [request.method.as_bytes(), b" ", &request.target, b" HTTP/1.1\r\n"].concat();
    if let Some(host) = &request.host {
        bytes.extend([b"Host: ", &host[..], b"\r\n"].concat());
    }
    for (name, value) in &request.fields {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"Connection: close\r\n\r\n");
    bytes.extend(&request.body);
    let _ = tls.write_all(&bytes);
    let mut answer = Vec::new();
    let _ = tls.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{text:?} to {request:?}"));
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    Became::Answered { status, reason: value["reason"].as_str().unwrap_or_default().to_owned() }
}

fn over_http_2(live: &crate::support::live::Live, request: &Request) -> Became {
    let mut fields: Fields = vec![
        (":method".to_owned(), request.method.clone().into()),
        (":scheme".to_owned(), b"https".to_vec()),
        (":path".to_owned(), request.target.clone()),
    ];
    match (&request.host, request.authority) {
        (Some(host), true) => fields.insert(2, (":authority".to_owned(), host.clone())),
        (Some(host), false) => fields.push(("host".to_owned(), host.clone())),
        (None, _) => {}
    }
    fields.extend(request.fields.iter().map(|(name, value)| (name.to_lowercase(), value.clone())));
    // As long as what HTTP/1 has in its place.
    fields.push(("x-instead0".to_owned(), b"close".to_vec()));
    let fields: Vec<(&str, &[u8])> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    ask(&mut ByHand::nameless(live.address), &fields, &request.body)
}

fn random_request(random: &mut Rng) -> Request {
    let generated = generate::request(random);
    let mut target = generated.local().to_vec();
    if random.u8(..12) == 0 {
        let at = random.usize(..=target.len());
        let odd: [&[u8]; 10] =
            [b"#", b"#x", b" ", b"\0", b"\x01", b"\x7f", b"\xff", b"{}", b"\"<>^`|\\", b"\t"];
        target.splice(at..at, odd[random.usize(..odd.len())].iter().copied());
    }
    // HTTP/1 says other things with these: line ends end the line, and a scheme begins an absolute form.
    target.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    if target.first() != Some(&b'/') {
        target.insert(0, b'/');
    }
    if random.u8(..60) == 0 {
        target.extend(std::iter::repeat_n(b'x', [3900, 5000, 20_000][random.usize(..3)]));
    }
    let methods =
        ["GET", "GET", "GET", "GET", "GET", "HEAD", "POST", "DELETE", "get", "G!T", "OPTIONS"];
    let hosts: [Option<&[u8]>; 10] = [
        Some(b"gateway"),
        Some(b"GATEWAY.:9443"),
        Some(b"[::1]:1"),
        Some(b"gateway:99999"),
        Some(b"user@gateway"),
        Some(b"a b"),
        Some(b"a%41"),
        Some(b"\xff"),
        Some(b""),
        None,
    ];
    let (fields, body) = random_fields(random);
    Request {
        method: methods[random.usize(..methods.len())].to_owned(),
        target,
        // A good one more often than not.
        host: hosts[random.usize(..hosts.len()) * usize::from(random.u8(..4) == 0)]
            .map(<[u8]>::to_vec),
        authority: random.u8(..4) > 0,
        fields,
        body,
    }
}

fn random_fields(random: &mut Rng) -> (Fields, Vec<u8>) {
    let mut fields = Fields::new();
    let mut body = Vec::new();
    let known: [(&str, &[u8]); 16] = [
        ("User-Agent", b"tests/1 (x)"),
        ("User-Agent", b"\xe9\xff"),
        ("Referer", b"http://a/?b=\"c\""),
        ("Referer", b"a\tb"),
        ("X-Odd", b"a\x01b"),
        ("X-Odd", b"\x7f"),
        ("X-Odd", b"\x80\xfe"),
        ("X-Odd", b""),
        ("Accept", b"*/*"),
        ("Cookie", b"a=b; c=d"),
        ("Expect", b"100-continue"),
        ("Te", b"trailers"),
        ("Transfer-Encoding", b"chunked"),
        ("Content-Length", b"0"),
        ("X-Forwarded-For", b"192.0.2.1"),
        ("Authorization", b"Basic eDp5"),
    ];
    for _ in 0..random.usize(..4) {
        let (name, value) = known[random.usize(..known.len())];
        // The odd ones come less often.
        if !matches!(name, "Transfer-Encoding" | "X-Odd") || random.u8(..3) == 0 {
            fields.push((name.to_owned(), value.to_vec()));
        }
    }
    match random.u8(..40) {
        0 => fields.extend((0..70).map(|at| (format!("X-{at}"), b"y".to_vec()))),
        1 => fields
            .push(("X-Long".to_owned(), vec![b'z'; [3000, 15_000, 17_000][random.usize(..3)]])),
        2 => {
            let lengths: [&[u8]; 5] = [b"+1", b"5, 5", b"", b"x", b"99999999999999999999999"];
            fields.push(("Content-Length".to_owned(), lengths[random.usize(..5)].to_vec()));
        }
        3..=6 if !fields.iter().any(|(name, _)| name == "Content-Length") => {
            body = vec![b'b'; [1, 5, 1024, 1025, 16_384, 60_000][random.usize(..6)]];
            fields.push(("Content-Length".to_owned(), body.len().to_string().into()));
        }
        _ => {}
    }
    (fields, body)
}
