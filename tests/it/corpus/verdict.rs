//! Whether a run was as its case demands. Everything here is written from the contract, not from the gateway's code.

use super::case::{Case, Expect};
use crate::support::{
    http::{Answer, read_answers},
    rig::{CLIENT, Run},
};

/// The one path.
const PATH: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";

/// The words of the contract that a request of one peer can meet here, and their statuses.
const WORDS: &[(&str, u16)] = &[
    ("malformed-request", 400),
    ("uri-too-long", 414),
    ("headers-too-large", 431),
    ("request-timeout", 408),
    ("private-path", 403),
    ("unknown-path", 404),
    ("method-not-allowed", 405),
    ("body-not-allowed", 413),
    ("bad-argument", 400),
    ("action-not-granted", 403),
];

/// How the gateway answered first.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The refusal's word, `2xx`, or that there was no answer.
    pub(crate) reason: String,
}

/// Judges one run.
pub(crate) fn judge(case: &Case, run: &Run) -> Result<Outcome, String> {
    let heads = &run.upstream.heads;
    if !run.upstream.rest.is_empty() {
        return Err(format!("a part of a head upstream: {}", run.upstream.rest.escape_ascii()));
    }
    let head_only = case.raw.starts_with(b"HEAD ");
    let answers = read_answers(&run.answers, head_only)
        .map_err(|why| format!("{why}: {}", run.answers.escape_ascii()))?;
    for answer in &answers {
        check_answer(answer)?;
    }
    let good = answers.iter().filter(|answer| (200..300).contains(&answer.status)).count();
    if good != heads.len() {
        return Err(format!("{good} answers of 2xx for {} upstream requests", heads.len()));
    }
    let (least, most) = match case.expect {
        Expect::Accept => (case.n_upstream.unwrap_or(1), case.n_upstream.unwrap_or(1)),
        Expect::Reject => (0, case.n_upstream.unwrap_or(0)),
        Expect::ForwardSafe => (0, case.n_upstream.unwrap_or(1)),
    };
    if !(least..=most).contains(&heads.len()) {
        return Err(format!("{} upstream requests, not {least} to {most}", heads.len()));
    }
    for (at, head) in heads.iter().enumerate() {
        check_head(case, head, &answers)
            .map_err(|why| format!("{why}: {}", head.escape_ascii()))?;
        if at == 0 {
            check_target(case, head)?;
        }
    }
    let refusal = answers.iter().find(|answer| answer.status >= 400);
    check_reason(case, refusal)?;
    let reason = match answers.first() {
        Some(answer) if answer.status < 300 => "2xx".to_owned(),
        Some(_) if head_only => "a refused HEAD".to_owned(),
        Some(answer) => reason(answer),
        None => "no answer".to_owned(),
    };
    Ok(Outcome { reason })
}

/// 2xx from the upstream, or a refusal with a known word that has this status.
fn check_answer(answer: &Answer) -> Result<(), String> {
    let status = answer.status;
    let reason = reason(answer);
    if answer.header("x-request-id").is_none_or(|id| !is_request_id(id)) {
        return Err(format!("an answer {status} without a request id"));
    }
    if (200..300).contains(&status) {
        return Ok(());
    }
    if !answer.body.is_empty() && !WORDS.contains(&(reason.as_str(), status)) {
        return Err(format!("an answer {status} with the word {reason:?}"));
    }
    if (status == 405) != (answer.header("allow") == Some("GET, HEAD")) {
        return Err(format!("an answer {status} with Allow: {:?}", answer.header("allow")));
    }
    if answer.header("server").is_some_and(|server| server.contains(char::is_numeric)) {
        return Err("an answer that names a version".to_owned());
    }
    Ok(())
}

fn reason(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["reason"].as_str().unwrap_or_default().to_owned()
}

/// The word that the label names, where there was an answer: a connection may end without one.
fn check_reason(case: &Case, refusal: Option<&Answer>) -> Result<(), String> {
    let Some(wanted) = &case.reason else { return Ok(()) };
    match refusal {
        Some(answer) if reason(answer) == *wanted => Ok(()),
        // Who is to lose patience may do so before the last byte has come.
        Some(answer) if case.hold && reason(answer) == "request-timeout" => Ok(()),
        // Nothing can be read of an answer's word to HEAD.
        Some(answer) if answer.body.is_empty() && WORDS.contains(&(wanted, answer.status)) => {
            Ok(())
        }
        Some(answer) => {
            Err(format!("refused as {:?} ({}), not {wanted}", reason(answer), answer.status))
        }
        // More than the gateway reads after a refusal: the answer may be lost to a reset.
        None if case.raw.len() > 64 * 1024 => Ok(()),
        None => Err(format!("no answer that says {wanted}")),
    }
}

/// A head upstream must be, byte for byte, what the gateway writes: only the target, the id and the client's
/// `User-Agent` vary, each within its own bounds.
fn check_head(case: &Case, head: &[u8], answers: &[Answer]) -> Result<(), String> {
    let target = target(head).ok_or("no canonical request line")?;
    let id = field(head, "X-Request-Id").filter(|id| id.iter().all(u8::is_ascii_graphic));
    let id = std::str::from_utf8(id.ok_or("no request id")?).map_err(|error| error.to_string())?;
    if !answers.iter().any(|answer| answer.header("x-request-id") == Some(id)) {
        return Err("its request id is not that of an answer".to_owned());
    }
    let agent = field(&case.raw, "User-Agent").filter(|agent| !agent.is_empty());
    let mut expected =
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n")
            .into_bytes();
    if let Some(agent) = agent {
        expected.extend([b"User-Agent: ", &agent[..agent.len().min(512)], b"\r\n"].concat());
    }
    expected.extend(
        format!(
            "X-Request-Id: {id}\r\nX-Forwarded-For: {CLIENT}\r\nX-Forwarded-Proto: http\r\nX-Real-IP: {CLIENT}\r\n\r\n"
        )
        .into_bytes(),
    );
    if head != expected {
        return Err(format!("not what the gateway may write, {}", expected.escape_ascii()));
    }
    for name in &case.strip {
        let sent = field(&case.raw, name);
        if sent.is_some() && field(head, name) == sent {
            return Err(format!("the client's {name} came through"));
        }
    }
    Ok(())
}

fn check_target(case: &Case, head: &[u8]) -> Result<(), String> {
    match (&case.upstream, target(head)) {
        (Some(wanted), Some(target)) if target != wanted => {
            Err(format!("the target {target}, not {wanted}"))
        }
        _ => Ok(()),
    }
}

/// The canonical target of a head, if it has one.
pub(crate) fn target(head: &[u8]) -> Option<&str> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let target = line.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    is_canonical(target).then_some(target)
}

/// The one path, `act` first, then what belongs to it, then `sum`; all of it written in one way.
fn is_canonical(target: &str) -> bool {
    let Some(query) = target.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('?')) else {
        return false;
    };
    let (query, sum) =
        query.split_once("&sum=").unwrap_or((query, "00000000000000000000000000000000"));
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let argument = match query.split_once('&') {
        None => query == "act=list",
        Some(("act=search", rest)) => rest.strip_prefix("search=").is_some_and(is_canonical_term),
        Some(("act=view", rest)) => rest.strip_prefix("id=").is_some_and(|id| {
            (1..=10).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_digit())
                && (id == "0" || !id.starts_with('0'))
        }),
        Some(_) => false,
    };
    argument && sum.len() == 32 && sum.bytes().all(hex)
}

/// Only unreserved characters stand for themselves, all others are escaped in upper case, and what they say is text.
fn is_canonical_term(term: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut decoded = Vec::new();
    let mut rest = term.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let Some((digits, tail)) = tail.split_at_checked(2) else { return false };
            let is_upper = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            let Ok(value) = u8::from_str_radix(digits, 16) else { return false };
            if !is_upper || unreserved(value) {
                return false;
            }
            decoded.push(value);
            rest = tail;
        } else if unreserved(byte) {
            decoded.push(byte);
        } else {
            return false;
        }
    }
    String::from_utf8(decoded).is_ok_and(|text| {
        text.chars().count() <= 256
            && !text.chars().any(char::is_control)
            && text.trim_matches(' ') == text
    })
}

/// The value of the first field of this name, whatever its case, without the blanks around it.
fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

fn is_request_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[test]
fn only_the_canonical_form_is_canonical() {
    for good in [
        "?act=list",
        "?act=search&search=",
        "?act=search&search=a%20%C3%A9-._~",
        "?act=view&id=12",
        "?act=list&sum=d41d8cd98f00b204e9800998ecf8427e",
    ] {
        assert!(is_canonical(&format!("{PATH}{good}")), "{good}");
    }
    for bad in [
        "",
        "?",
        "/?act=list",
        "?act=delete&id=1",
        "?act=search",
        "?search=a&act=search",
        "?act=search&search=a+b",
        "?act=search&search=%c3%a9",
        "?act=search&search=%61",
        "?act=search&search=%0A",
        "?act=search&search=%FF",
        "?act=search&search=a&search=b",
        "?act=view&id=012",
        "?act=view&id=",
        "?act=list&sum=D41D",
        "?act=list&act=delete",
        "?act=search&search=%20a",
    ] {
        assert!(!is_canonical(&format!("{PATH}{bad}")), "{bad}");
    }
    assert!(!is_canonical("/service/ipbx/json.php/private/pbx_services/phonebook?act=list"));
}
