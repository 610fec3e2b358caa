//! HTTP/1 read strictly: one grammar for what clients send and for what XiVO answers.
//!
//! # Guarantees
//! * A line ends with CRLF and nothing else; names are tokens; values hold no control byte but a
//!   tab; there is no folding (RFC 9112, sections 2.2 and 5; RFC 9110, section 5.5).
//! * How long a message is can be read in one way only: a request has no Transfer-Encoding and at
//!   most one Content-Length; an answer has one Content-Length, or `chunked` alone, or neither.
//!   What two readers could frame in two ways is refused (RFC 9112, section 6.3 and 11.2).
//! * No input makes a reader panic or allocate. A request's head takes time proportional to its
//!   length, however it is cut; an answer's, of 16 KiB at the most, is read anew with each piece.
//!
//! # Does not
//! Decode a URL, judge a host, or do I/O: the readers are fed bytes and say how far they got.

pub mod answer;
pub mod chunked;
pub mod field;
pub mod host;
pub mod request;

/// A message's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: a connection ends after the answer unless both sides ask for more.
    Http10,
    /// HTTP/1.1: a connection goes on unless one side ends it.
    Http11,
    /// HTTP/2: a head that came in frames, and was written as a head of HTTP/1 to be read by the same
    /// rules. It goes on unless one side ends it, too.
    Http2,
}

impl Version {
    /// Reads `HTTP/1.0` or `HTTP/1.1`, upper-case (RFC 9112, section 2.3).
    fn read(text: &[u8]) -> Option<Self> {
        match text {
            b"HTTP/1.1" => Some(Self::Http11),
            b"HTTP/1.0" => Some(Self::Http10),
            _ => None,
        }
    }

    /// Reads `HTTP/2.0`, which stands only in heads that were written by this program.
    fn read_http2(text: &[u8]) -> Option<Self> {
        (text == b"HTTP/2.0").then_some(Self::Http2)
    }
}

/// A part of a buffer, by offsets, so that who owns the buffer stays free to move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// From `start` up to and without `end`. Heads are at most a few MiB, so `u32` holds any offset;
    /// larger ones become an empty span.
    fn new(start: usize, end: usize) -> Self {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) if start <= end => Self { start, end },
            _ => Self::default(),
        }
    }

    /// Where this span stands in `whole`, a span of the same buffer that holds it.
    pub fn within(self, whole: Self) -> std::ops::Range<usize> {
        let at = |end: u32| end.saturating_sub(whole.start) as usize;
        at(self.start)..at(self.end)
    }

    /// The bytes of `buffer` that the span names; empty where the buffer is another one.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// What the `Connection` fields of a message ask for (RFC 9112, section 9.3). `close` wins, in
/// whichever order they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
}

impl ConnectionOptions {
    /// Adds the options of one `Connection` field.
    fn add(&mut self, value: &[u8]) {
        for option in value.split(|&b| b == b',') {
            let option = field::trim(option);
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Whether the sender of a message of `version` wants the connection to go on after it.
    fn persists(self, version: Version) -> bool {
        match version {
            Version::Http11 | Version::Http2 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }
}
