//! What the gateway knows of whoever asks, for the far side's administrator: without a policy, and
//! without a call to this side's.
//!
//! It tells a caller nothing but what the caller showed, and whether that is enough: no peer's name, no
//! other address, nothing of the gateway.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use crate::http1::request::RequestHead;
use crate::identity::caller::Caller;
use crate::refusal::Refusal;
use crate::response::{Head, ResponseOptions, Value};

/// Whether `head` asks for it.
pub(crate) fn is_asked(head: &Result<RequestHead<'_>, Refusal>) -> bool {
    head.as_ref().is_ok_and(|head| head.path() == PATH)
}

/// What the gateway knows.
#[derive(Debug, Serialize)]
pub(crate) struct WhoAmI<'a> {
    /// The address that policies are compared with; null where a proxy says nothing of its client.
    address: Option<IpAddr>,
    /// How it was found.
    source: &'static str,
    /// What it showed in the TLS handshake.
    certificate: Option<CertificateShown<'a>>,
    /// Whether a policy names it.
    peer: bool,
    request_id: &'a str,
}

#[derive(Debug, Serialize)]
struct CertificateShown<'a> {
    subject: &'a str,
    /// Whole days until it expires; below 0 when it has.
    days_left: i64,
    /// Why it proves nothing, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl<'a> WhoAmI<'a> {
    /// What is known of `caller` at `now`.
    pub(crate) fn new(
        caller: &Caller<'a>,
        peer: bool,
        now: Timestamp,
        request_id: &'a str,
    ) -> Self {
        let certificate = caller.certificate.map(|shown| CertificateShown {
            subject: &shown.certificate.subject,
            days_left: whole_days(now, shown.certificate.not_after),
            fault: shown.trust.err().map(|fault| format!("the certificate {}", fault.as_str())),
        });
        let address = caller.address.map(super::super::net::client_address::ClientAddress::ip);
        Self { address, source: caller.source.as_str(), certificate, peer, request_id }
    }

    /// The head of the answer, and its body.
    #[expect(clippy::expect_used, reason = "text and numbers become JSON, and memory takes it")]
    pub(crate) fn answer(&self, options: &ResponseOptions) -> (Head<'static>, Vec<u8>) {
        let mut body = serde_json::to_vec(self).expect("text and numbers");
        body.push(b'\n');
        let head = Head::new(200, options)
            .with("Content-Type", Value::Text(b"application/json"))
            .with("Content-Length", Value::Number(body.len() as u64))
            .with("Cache-Control", Value::Text(b"no-store"));
        if options.head_only {
            body.clear();
        }
        (head, body)
    }
}

/// Whole days from `now` to `then`, rounded down.
fn whole_days(now: Timestamp, then: Timestamp) -> i64 {
    const DAY: i64 = 86_400;
    then.as_second().saturating_sub(now.as_second()).div_euclid(DAY)
}

/// Where it is asked for.
pub(crate) const PATH: &[u8] = b"/.well-known/phonebook-gateway/whoami";
