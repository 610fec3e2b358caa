//! What the client is sent: XiVO's answer, or why there is none.

pub mod problem;
pub mod relay;

use crate::http1::Version;
use crate::worker::RequestId;

/// What an answer's head depends on besides what it says.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The client's version.
    pub version: Version,
    /// Whether the client asked for the head alone.
    pub head_only: bool,
    /// Whether the connection goes on.
    pub keep_alive: bool,
    /// The request's id.
    pub request_id: RequestId,
}

/// Writes the head of an answer. nginx, too, answers HTTP/1.0 with the version that it speaks.
pub(crate) struct HeadWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> HeadWriter<'a> {
    /// Begins a head in `out`.
    pub(crate) fn new(out: &'a mut Vec<u8>, status: u16) -> Self {
        out.extend_from_slice(b"HTTP/1.1 ");
        let mut head = Self { out };
        head.number(u64::from(status));
        head.out.push(b' ');
        head.out.extend_from_slice(reason_phrase(status).as_bytes());
        head.out.extend_from_slice(b"\r\n");
        head
    }

    /// Adds a field.
    pub(crate) fn field(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.out.extend_from_slice(part);
        }
    }

    /// Adds a field whose value is a number.
    pub(crate) fn number_field(&mut self, name: &str, value: u64) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.number(value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the head and appends `body`, whose length it returns.
    pub(crate) fn finish_with(
        self,
        manner: &Manner,
        date: impl FnOnce(&mut Vec<u8>),
        body: &[u8],
    ) -> usize {
        self.finish(manner, date).extend_from_slice(body);
        body.len()
    }

    /// Adds what every answer has, and ends the head.
    pub(crate) fn finish(
        mut self,
        manner: &Manner,
        date: impl FnOnce(&mut Vec<u8>),
    ) -> &'a mut Vec<u8> {
        self.out.extend_from_slice(b"Date: ");
        date(self.out);
        self.out.extend_from_slice(b"\r\n");
        self.field("X-Request-Id", manner.request_id.as_str().as_bytes());
        match (manner.keep_alive, manner.version) {
            (false, _) => self.field("Connection", b"close"),
            // HTTP/1.0 has to be told; HTTP/1.1 goes on unless told otherwise (RFC 9112, section 9.3).
            (true, Version::Http10) => self.field("Connection", b"keep-alive"),
            (true, Version::Http11) => {}
        }
        self.out.extend_from_slice(b"\r\n");
        self.out
    }

    fn number(&mut self, mut value: u64) {
        let mut digits = [0; 20];
        let mut count = 0;
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + u8::try_from(value % 10).unwrap_or_default();
            count += 1;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
    }
}

/// The words behind a status; for people, since no program may rely on them.
pub(crate) fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 1500, u64::MAX] {
            let mut out = Vec::new();
            HeadWriter { out: &mut out }.number(number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
