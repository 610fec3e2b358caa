//! A refusal as the client reads it: `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use serde::Serialize;

use crate::refusal::Refusal;
use crate::response::{Head, ResponseOptions, Value, reason_phrase};

/// What went wrong, in RFC 9457's words and two of our own.
#[derive(Debug, Serialize)]
pub(crate) struct Problem<'a> {
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'static, str>>,
    reason: &'static str,
    request_id: &'a str,
}

/// Who is told: a peer reads what it can change, an unknown caller the status and its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A caller that a policy names.
    Peer,
    /// A caller in no policy.
    Unknown,
}

/// The head of the answer to a refused request, and its body, which is left out where `takes` says that
/// the client does not take one of such a length: a refusal waits for nobody.
pub(crate) fn answer(
    refusal: &Refusal,
    audience: Audience,
    options: &ResponseOptions,
    takes: impl Fn(usize) -> bool,
) -> (Head<'static>, Vec<u8>) {
    let body = body(&Problem {
        title: reason_phrase(refusal.status()),
        status: refusal.status(),
        detail: (audience == Audience::Peer).then(|| refusal.advice()),
        reason: refusal.word(),
        request_id: options.request_id.as_str(),
    });
    let mut head = Head::new(refusal.status(), options);
    if let Some(seconds) = refusal.retry_after() {
        head = head.with("Retry-After", Value::Number(u64::from(seconds.get())));
    }
    if matches!(refusal, Refusal::MethodNotAllowed) {
        head = head.with("Allow", Value::Text(b"GET, HEAD"));
    }
    if options.head_only || takes(body.len()) {
        with_body(head, body)
    } else {
        (head.with("Content-Length", Value::Number(0)), Vec::new())
    }
}

/// XiVO's answer to a view of a contact that is not there, with a body of ours.
pub(crate) fn no_contact(options: &ResponseOptions) -> (Head<'static>, Vec<u8>) {
    let body = body(&Problem {
        title: reason_phrase(404),
        status: 404,
        detail: Some("The phonebook has no contact with this id.".into()),
        reason: "no-contact",
        request_id: options.request_id.as_str(),
    });
    with_body(Head::new(404, options), body)
}

#[expect(clippy::expect_used, reason = "text and numbers become JSON, and memory takes it")]
fn body(problem: &Problem<'_>) -> Vec<u8> {
    let mut body = serde_json::to_vec(problem).expect("text and numbers");
    body.push(b'\n');
    body
}

/// A client that asked for the head alone is told the length of the body that it does not get.
fn with_body(head: Head<'static>, mut body: Vec<u8>) -> (Head<'static>, Vec<u8>) {
    let head = head
        .with("Content-Type", Value::Text(b"application/problem+json"))
        .with("Content-Length", Value::Number(body.len() as u64));
    if head.options().head_only {
        body.clear();
    }
    (head, body)
}
