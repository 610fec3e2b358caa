//! A request's head as HTTP/2 brings it, written as HTTP/1 and read by the reader of HTTP/1: so that
//! there is one grammar of targets, hosts, fields and limits, and one meaning of each.
//!
//! What is written cannot be read otherwise than it was sent: the HTTP/2 layer has refused control
//! bytes in values, anything but a token for a name, and blanks in a path; and a head that did not end
//! exactly where the writing ended would be refused here.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

use crate::client::{Request, Turn};
use crate::config::Limits;
use crate::http1::host::Host;
use crate::http1::request::{HeadLimits, RequestHead, RequestReader};
use crate::refusal::Refusal;

/// Writes the head that `parts` are into `bytes`, and reads it. The connection speaks `scheme`;
/// `has_body` says that the stream goes on after the head.
pub(super) fn read(
    parts: &Parts,
    scheme: &str,
    has_body: bool,
    bytes: &mut Vec<u8>,
    limits: &Limits,
) -> Request {
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    write(parts, authority, bytes);
    let limits = HeadLimits::from(limits);
    let mut reader = RequestReader::of_http2();
    let read = reader.advance(bytes, &limits);
    let seen = reader.seen(bytes, &limits);
    let head = match check(parts, scheme, authority) {
        Err(why) => Err(Refusal::MalformedRequest(why)),
        Ok(()) => whole(read.map_err(Refusal::from), bytes.len()),
    };
    let head = head.map(|head| if has_body { head.with_body() } else { head });
    Request { head, seen, answerable: true, turn: Turn::first() }
}

fn write(parts: &Parts, authority: Option<&[u8]>, out: &mut Vec<u8>) {
    let target = parts.uri.path_and_query().map(|target| target.as_str().as_bytes());
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    // CONNECT has no path; its target is a host, which no lookup is for.
    out.extend_from_slice(target.or(authority).unwrap_or_default());
    out.extend_from_slice(b" HTTP/2.0\r\n");
    let mut field = |name: &[u8], value: &[u8]| {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    };
    if let Some(authority) = authority {
        field(b"host", authority);
    }
    for (name, value) in &parts.headers {
        if name != header::HOST || authority.is_none() {
            field(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A head that ended before the end of what was written would be somebody's trick.
fn whole(
    read: Result<Option<RequestHead>, Refusal>,
    length: usize,
) -> Result<RequestHead, Refusal> {
    match read? {
        Some(head) if head.len() == length => Ok(head),
        Some(_) | None => Err(Refusal::MalformedRequest("its head does not end where it should")),
    }
}

/// What only HTTP/2 can get wrong (RFC 9113, sections 8.2 and 8.3.1).
fn check(parts: &Parts, scheme: &str, authority: Option<&[u8]>) -> Result<(), &'static str> {
    // The HTTP/2 layer keeps it only beside an :authority.
    if parts.uri.scheme_str().is_some_and(|asked| asked != scheme) {
        return Err("its :scheme is not the one that the connection speaks");
    }
    if authority.is_some_and(|authority| Host::read(authority).is_none()) {
        return Err("its :authority is not a valid host");
    }
    if !agrees(parts, authority) {
        return Err("its host field is not its :authority");
    }
    match parts.headers.values().all(is_trimmed) && only_trailers(&parts.headers) {
        true => Ok(()),
        false => Err("a field breaks a rule of HTTP/2 (RFC 9113, section 8.2)"),
    }
}

/// Whether `host`, where it came beside `:authority`, came once and says the same.
fn agrees(parts: &Parts, authority: Option<&[u8]>) -> bool {
    let Some(authority) = authority.and_then(Host::read) else {
        return true;
    };
    let port = if parts.uri.scheme_str() == Some("http") { 80 } else { 443 };
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => true,
        (Some(host), None) => {
            Host::read(host.as_bytes()).is_some_and(|host| host.agrees_with(authority, port))
        }
        (Some(_), Some(_)) => false,
    }
}

/// Neither begins nor ends a value with a blank.
fn is_trimmed(value: &HeaderValue) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !blank(value.as_bytes().first()) && !blank(value.as_bytes().last())
}

/// Fields about one connection have no place here; the HTTP/2 layer has refused the others.
fn only_trailers(fields: &HeaderMap) -> bool {
    fields.get_all(header::TE).iter().all(|value| value == "trailers")
        && CONNECTION_FIELDS.iter().all(|name| !fields.contains_key(*name))
}

const CONNECTION_FIELDS: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

#[cfg(test)]
mod tests;
