//! HTTP/1 read strictly: one grammar for what clients send and for what XiVO answers.
//!
//! # Guarantees
//! * A line ends with CRLF and nothing else; names are tokens; values hold no control byte but a
//!   tab; there is no folding (RFC 9112, sections 2.2 and 5; RFC 9110, section 5.5).
//! * How long a message is can be read in one way only: a request has no Transfer-Encoding and at
//!   most one Content-Length; an answer has one Content-Length, or `chunked` alone, or neither.
//!   What two readers could frame in two ways is refused (RFC 9112, section 6.3 and 11.2).
//! * No input makes a reader panic or allocate. A request's head takes time proportional to its
//!   length, however it is cut; an answer's, of 16 KiB at the most, is read again with each piece.
//!
//! # Does not
//! Decode a URL, judge a host, or do I/O: the readers are fed bytes and say how far they got.
//!
//! Imports nothing of this crate. Begin with `request.rs`.

pub(crate) mod body_start;
pub(crate) mod chunked;
pub(crate) mod fault_position;
pub(crate) mod field;
pub(crate) mod host;
pub mod request;
pub(crate) mod response;

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
struct Span {
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
    fn within(self, whole: Self) -> std::ops::Range<usize> {
        let at = |end: u32| end.saturating_sub(whole.start) as usize;
        at(self.start)..at(self.end)
    }

    /// The bytes of `buffer` that the span names.
    #[expect(
        clippy::expect_used,
        reason = "views keep spans with the buffer that they were read from"
    )]
    fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.end as usize).expect("a span of this buffer")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_where_it_is_spoken() {
        assert_eq!(Version::read(b"HTTP/1.1"), Some(Version::Http11));
        assert_eq!(Version::read(b"HTTP/1.0"), Some(Version::Http10));
        assert_eq!(Version::read(b"HTTP/2.0"), None);
        assert_eq!(Version::read_http2(b"HTTP/2.0"), Some(Version::Http2));
        assert_eq!(Version::read_http2(b"HTTP/1.1"), None);
    }

    #[test]
    fn a_span_that_ends_before_it_begins_or_lies_too_far_out_is_empty() {
        assert_eq!(Span::new(2, 5).of(b"abcdefg"), b"cde");
        assert_eq!(Span::new(3, 3), Span { start: 3, end: 3 });
        assert_eq!(Span::new(5, 3), Span::default());
        assert_eq!(Span::new(3, usize::MAX), Span::default());
    }

    #[test]
    fn a_span_is_found_in_the_span_that_holds_it() {
        let buffer = b"GET /abc HTTP/1.1";
        let (whole, part) = (Span::new(4, 8), Span::new(5, 7));
        assert_eq!(part.of(buffer), &whole.of(buffer)[part.within(whole)]);
        assert_eq!(part.within(whole), 1..3);
    }

    #[test]
    fn an_option_that_is_repeated_is_still_asked_for() {
        let options = |value: &[u8]| {
            let mut options = ConnectionOptions::default();
            options.add(value);
            options
        };
        for version in [Version::Http10, Version::Http11, Version::Http2] {
            assert!(!options(b"close, close").persists(version), "{version:?}");
            assert!(!options(b"keep-alive, close").persists(version), "{version:?}");
            assert!(options(b"keep-alive, keep-alive").persists(version), "{version:?}");
        }
        assert!(!options(b"").persists(Version::Http10));
        assert!(options(b"").persists(Version::Http11));
        assert!(options(b"").persists(Version::Http2));
    }
}
