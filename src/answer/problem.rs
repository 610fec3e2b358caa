//! A refusal as the client reads it: `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use serde::Serialize;

use super::{HeadWriter, Manner, reason_phrase};
use crate::refusal::Refusal;

/// What went wrong, in RFC 9457's words and two of our own.
#[derive(Debug, Serialize)]
pub struct Problem<'a> {
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'static, str>>,
    reason: &'static str,
    request_id: &'a str,
}

/// Who is told: a peer reads what it can change, a stranger the status and its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A caller that a policy names.
    Peer,
    /// Anyone else.
    Stranger,
}

/// Appends the whole answer to a refused request to `out`; returns the length of its body.
pub fn write(
    out: &mut Vec<u8>,
    refusal: &Refusal,
    audience: Audience,
    manner: &Manner,
    date: impl FnOnce(&mut Vec<u8>),
) -> usize {
    let problem = Problem {
        title: reason_phrase(refusal.status()),
        status: refusal.status(),
        detail: (audience == Audience::Peer).then(|| refusal.advice()),
        reason: refusal.word(),
        request_id: manner.request_id.as_str(),
    };
    let mut head = HeadWriter::new(out, refusal.status());
    if let Some(seconds) = refusal.retry_after() {
        head.number_field("Retry-After", u64::from(seconds.get()));
    }
    if matches!(refusal, Refusal::MethodNotAllowed) {
        head.field("Allow", b"GET, HEAD");
    }
    write_body(head, out_body(&problem), manner, date)
}

/// Appends XiVO's answer to a view of a contact that is not there, with a body of ours.
pub fn write_no_contact(
    out: &mut Vec<u8>,
    manner: &Manner,
    date: impl FnOnce(&mut Vec<u8>),
) -> usize {
    let problem = Problem {
        title: reason_phrase(404),
        status: 404,
        detail: Some("The phonebook has no contact with this id.".into()),
        reason: "no-contact",
        request_id: manner.request_id.as_str(),
    };
    write_body(HeadWriter::new(out, 404), out_body(&problem), manner, date)
}

fn out_body(problem: &Problem<'_>) -> Vec<u8> {
    let mut body = serde_json::to_vec(problem).unwrap_or_default();
    body.push(b'\n');
    body
}

fn write_body(
    mut head: HeadWriter<'_>,
    body: Vec<u8>,
    manner: &Manner,
    date: impl FnOnce(&mut Vec<u8>),
) -> usize {
    head.field("Content-Type", b"application/problem+json");
    head.number_field("Content-Length", body.len() as u64);
    head.finish_with(manner, date, if manner.head_only { b"" } else { &body })
}
