//! What the client is sent: XiVO's answer, or why there is none.
//!
//! Imports `http1`, `refusal`, `text`. Begin with [`Head`].

pub(crate) mod problem;
pub(crate) mod request_id;

use crate::http1::Version;
use crate::text::write_number;
use request_id::RequestId;

/// What an answer's head depends on besides what it says.
#[derive(Clone, Copy, Debug)]
pub struct ResponseOptions {
    /// The client's version.
    pub version: Version,
    /// Whether the client asked for the head alone.
    pub head_only: bool,
    /// Whether the connection goes on.
    pub keep_alive: bool,
    /// The request's id.
    pub request_id: RequestId,
}

/// The head of an answer: what it says, before it is written as the client's version wants it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    status: u16,
    options: ResponseOptions,
    fields: [Option<Field<'a>>; MAX_FIELDS],
}

/// A field's name, and its value.
pub(crate) type Field<'a> = (&'static str, Value<'a>);

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// As it is.
    Text(&'a [u8]),
    /// A number, written in decimal.
    Number(u64),
}

impl<'a> Head<'a> {
    /// A head without fields of its own.
    pub fn new(status: u16, options: &ResponseOptions) -> Self {
        Self { status, options: *options, fields: [None; MAX_FIELDS] }
    }

    /// Adds a field behind the others. There is room for [`MAX_FIELDS`].
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value<'a>) -> Self {
        debug_assert!(self.fields.iter().any(Option::is_none), "{name} is one field too many");
        if let Some(free) = self.fields.iter_mut().find(|field| field.is_none()) {
            *free = Some((name, value));
        }
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// How the request is answered.
    pub fn options(&self) -> &ResponseOptions {
        &self.options
    }

    /// Its fields but for those that every answer has: `Date`, `X-Request-Id`, and HTTP/1's `Connection`.
    pub fn fields(&self) -> impl Iterator<Item = &Field<'a>> {
        self.fields.iter().flatten()
    }

    /// Appends the head as HTTP/1 writes it. nginx, too, answers HTTP/1.0 with the version that it
    /// speaks.
    pub fn write(&self, out: &mut Vec<u8>, date: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(b"HTTP/1.1 ");
        write_number(out, self.status.into(), 3);
        out.push(b' ');
        out.extend_from_slice(reason_phrase(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.fields() {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            value.write(out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Date: ");
        date(out);
        out.extend_from_slice(b"\r\nX-Request-Id: ");
        out.extend_from_slice(self.options.request_id.as_str().as_bytes());
        out.extend_from_slice(match (self.options.keep_alive, self.options.version) {
            (false, _) => b"\r\nConnection: close\r\n\r\n",
            // HTTP/1.0 has to be told; HTTP/1.1 goes on unless told otherwise (RFC 9112, section 9.3).
            (true, Version::Http10) => b"\r\nConnection: keep-alive\r\n\r\n",
            (true, Version::Http11 | Version::Http2) => b"\r\n\r\n",
        });
    }
}

impl Value<'_> {
    /// Appends the value as text.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text),
            Self::Number(number) => write_number(out, *number, 1),
        }
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

/// Fields that a head has room for besides those of every answer.
pub(crate) const MAX_FIELDS: usize = 4;
