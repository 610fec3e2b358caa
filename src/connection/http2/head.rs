//! A request's head as HTTP/2 brings it, written as HTTP/1 and read by the reader of HTTP/1: so that
//! there is one grammar of targets, hosts, fields and limits, and one meaning of each.
//!
//! What is written cannot be read otherwise than it was sent: only fields whose name is a token and
//! whose value has no line end are written, a method and a path with line ends are read by nobody, and
//! a head that did not end exactly where the writing ended would be refused here.

use crate::config::Limits;
use crate::connection::http2::message::Message;
use crate::gateway::request::{Request, RequestPosition};
use crate::http1::host::Host;
use crate::http1::request::{HeadLimits, RequestHead, RequestReader, Seen, TooLarge};
use crate::refusal::{Http2Fault, Refusal};

/// The head of a message as HTTP/1 writes it.
#[derive(Debug)]
pub(super) struct WrittenHead {
    bytes: Vec<u8>,
    /// How long the first line is.
    line: usize,
}

impl WrittenHead {
    /// The head that `message` is.
    pub(super) fn of(message: &Message) -> Self {
        let mut bytes = Vec::with_capacity(capacity(message));
        let line = write(message, &mut bytes);
        Self { bytes, line }
    }

    /// Reads what was written of `message`. The connection speaks `scheme`.
    pub(super) fn read(&self, message: &Message, scheme: &str, limits: &Limits) -> Request<'_> {
        let Self { bytes, line } = self;
        let limits = HeadLimits::from(limits);
        let (read, seen) = if first_line_end(bytes) < *line {
            // Nobody is to take what stands behind it for fields. The message has this fault, too.
            let fault = malformed(Http2Fault::LineEndInRequestLine);
            (Err(fault), Seen::only(bytes, *line, &limits))
        } else {
            let mut reader = RequestReader::of_http2();
            let read = reader.advance(bytes, &limits);
            let read = read.map(|spans| spans.map(|spans| spans.over(bytes)));
            (read.map_err(Refusal::from), reader.seen(bytes, &limits))
        };
        let head = match read {
            // A head is read from its beginning on, over HTTP/1 as well: this was found first.
            Err(why @ (Refusal::UriTooLong | Refusal::HeadersTooLarge(_))) => Err(why),
            read => match message.fault().or_else(|| disagreement(message, scheme)) {
                Some(why) => Err(malformed(why)),
                None => whole(read, message, bytes.len()),
            },
        };
        let head = head.map(|head| if message.has_body() { head.with_body() } else { head });
        Request { head, seen, answerable: true, position: RequestPosition::first() }
    }
}

fn capacity(message: &Message) -> usize {
    let pseudo = [&message.method, &message.path, &message.authority, &message.authority];
    let pseudo: usize = pseudo.iter().map(|part| part.as_ref().map_or(0, Vec::len)).sum();
    pseudo + message.fields.len() + 32
}

/// Writes a head to `out`, and says how long its first line is.
fn write(message: &Message, out: &mut Vec<u8>) -> usize {
    let Message { method, path, authority, .. } = message;
    out.extend_from_slice(method.as_deref().unwrap_or_default());
    out.push(b' ');
    // CONNECT has no path; its target is a host, which no lookup is for.
    let target = path.as_deref().or_else(|| authority.as_deref().filter(|_| is_connect(message)));
    out.extend_from_slice(target.unwrap_or_default());
    out.extend_from_slice(b" HTTP/2.0");
    let line = out.len();
    out.extend_from_slice(b"\r\n");
    let has_line_end = |text: &[u8]| memchr::memchr2(b'\r', b'\n', text).is_some();
    if let Some(authority) = authority.as_deref().filter(|text| !has_line_end(text)) {
        for part in [b"host: ", authority, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(&message.fields);
    if !message.is_cut() {
        out.extend_from_slice(b"\r\n");
    }
    line
}

fn is_connect(message: &Message) -> bool {
    message.method.as_deref() == Some(b"CONNECT")
}

/// Where the first byte is that could end a line.
fn first_line_end(bytes: &[u8]) -> usize {
    memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len())
}

/// A head that ended before the end of what was written would be somebody's trick.
fn whole<'b>(
    read: Result<Option<RequestHead<'b>>, Refusal>,
    message: &Message,
    length: usize,
) -> Result<RequestHead<'b>, Refusal> {
    match read? {
        _ if message.is_cut() => Err(Refusal::HeadersTooLarge(TooLarge::Bytes)),
        Some(head) if head.len() == length => Ok(head),
        Some(_) | None => Err(malformed(Http2Fault::HeadEnd)),
    }
}

fn malformed(why: Http2Fault) -> Refusal {
    Refusal::MalformedRequest(why.into())
}

/// What only HTTP/2 can say in two ways (RFC 9113, section 8.3.1).
fn disagreement(message: &Message, scheme: &str) -> Option<Http2Fault> {
    if message.scheme.as_deref().is_some_and(|asked| asked != scheme.as_bytes()) {
        return Some(Http2Fault::OtherScheme);
    }
    let authority = message.authority.as_deref()?;
    let Some(authority) = Host::read(authority) else {
        return Some(Http2Fault::BadAuthority);
    };
    let agrees = match message.hosts.as_slice() {
        [] => true,
        [host] => Host::read(host).is_some_and(|host| host.agrees_with(authority, HTTPS_PORT)),
        _ => false,
    };
    (!agrees).then_some(Http2Fault::OtherHost)
}

/// HTTP/2 is spoken over TLS alone.
const HTTPS_PORT: u16 = 443;

#[cfg(test)]
mod tests;
