//! The head of an answer from XiVO, read with the same grammar as a request.

use thiserror::Error;

use super::field::{self, Field, FieldFault, once};
use super::{ConnectionOptions, Span, Version};

/// How the body behind a head is told from what follows it (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body: the status has none (204, 304).
    Empty,
    /// Content-Length: this many bytes.
    Length(u64),
    /// The chunked coding, and only it.
    Chunked,
    /// Until the connection ends: whether all of it came cannot be told.
    UntilClose,
}

/// The head of one answer, by where its parts stand in the buffer that it was read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseSpans {
    version: Version,
    status: u16,
    framing: Framing,
    content_type: Option<Span>,
    ws_version: Option<Span>,
    content_encoding: bool,
    connection: ConnectionOptions,
    len: usize,
}

/// Why some bytes are not the head of an HTTP/1 answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidResponse {
    /// The first line is none of an answer.
    #[error("it does not begin with an HTTP/1 status line")]
    NoStatusLine,
    /// A line feed without its carriage return.
    #[error("a line ends with a line feed alone")]
    BareLineFeed,
    /// A line of the fields is none.
    #[error(transparent)]
    Field(#[from] FieldFault),
    /// A `Content-Length` that is no number.
    #[error("the Content-Length is no number")]
    BadContentLength,
    /// A second `Content-Length`, whatever it says.
    #[error("there is more than one Content-Length")]
    RepeatedContentLength,
    /// A coding that is not read here, or a second field.
    #[error("the Transfer-Encoding is not `chunked` alone")]
    NotChunkedAlone,
    /// A second `Content-Type`.
    #[error("there is more than one Content-Type")]
    RepeatedContentType,
    /// Two ways to frame the body.
    #[error("there are both a Content-Length and a Transfer-Encoding")]
    TwoFramings,
    /// HTTP/1.0 knows no chunks.
    #[error("there is a Transfer-Encoding in HTTP/1.0")]
    ChunkedHttp10,
    /// A body is promised that the status does not have.
    #[error("a status without a body has a Transfer-Encoding")]
    ChunkedWithoutBody,
}

impl ResponseSpans {
    /// Reads the head that `buffer` begins with, `None` while its empty line is missing.
    ///
    /// # Errors
    /// [`InvalidResponse`] where what has come cannot be a head.
    pub(crate) fn read(buffer: &[u8]) -> Result<Option<Self>, InvalidResponse> {
        let mut reader = Reader::default();
        let mut line = 0;
        while let Some(found) = memchr::memchr(b'\n', buffer.get(line..).unwrap_or_default()) {
            let lf = line + found;
            let Some(text) = buffer.get(line..lf).and_then(|text| text.strip_suffix(b"\r")) else {
                return Err(InvalidResponse::BareLineFeed);
            };
            if reader.status.is_none() {
                reader.status = Some(read_status_line(text)?);
            } else if text.is_empty() {
                return reader.finish(lf + 1).map(Some);
            } else {
                reader.add(buffer, line, line + text.len())?;
            }
            line = lf + 1;
        }
        let begun = buffer.get(..b"HTTP/1.".len()).unwrap_or(buffer);
        if b"HTTP/1.".starts_with(begun) { Ok(None) } else { Err(InvalidResponse::NoStatusLine) }
    }

    /// The head in `buffer`, which begins with the bytes that it was read from.
    pub(crate) fn over(self, buffer: &[u8]) -> ResponseHead<'_> {
        ResponseHead { spans: self, buffer }
    }
}

/// The head of one answer, and the buffer that it was read from.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'b> {
    spans: ResponseSpans,
    buffer: &'b [u8],
}

impl<'b> ResponseHead<'b> {
    /// 100 to 599.
    pub fn status(&self) -> u16 {
        self.spans.status
    }

    /// How the body is framed.
    pub fn framing(&self) -> Framing {
        self.spans.framing
    }

    /// The bytes that the head takes of its buffer.
    pub fn len(&self) -> usize {
        self.spans.len
    }

    /// What stands behind the head in its buffer: as much of the body as has come with it.
    pub fn behind(&self) -> &'b [u8] {
        self.buffer.get(self.spans.len..).unwrap_or_default()
    }

    /// Never: a head has a status line.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether the connection may be used again once the body has been read.
    pub fn persists(&self) -> bool {
        self.spans.connection.persists(self.spans.version)
            && self.spans.framing != Framing::UntilClose
    }

    /// Whether the body is JSON, by its type: `application/json`, with or without parameters.
    pub fn is_json(&self) -> bool {
        let value = self.spans.content_type.map(|span| span.of(self.buffer)).unwrap_or_default();
        let media_type = value.split(|&b| b == b';').next().unwrap_or_default();
        field::trim(media_type).eq_ignore_ascii_case(b"application/json")
    }

    /// Whether the body is coded (gzip, say), which was not asked for.
    pub fn is_coded(&self) -> bool {
        self.spans.content_encoding
    }

    /// `X-XIVO-WS-VERSION`, if any.
    pub fn ws_version(&self) -> Option<&'b [u8]> {
        self.spans.ws_version.map(|span| span.of(self.buffer))
    }
}

/// `HTTP/1.1 200 OK` (RFC 9112, section 4): the reason may be empty, its blank may not be missing.
fn read_status_line(line: &[u8]) -> Result<(Version, u16), InvalidResponse> {
    let invalid = InvalidResponse::NoStatusLine;
    let (version, rest) = line.split_at_checked(8).ok_or(invalid)?;
    let version = Version::read(version).ok_or(invalid)?;
    let [b' ', a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', reason @ ..] = rest else {
        return Err(invalid);
    };
    if !reason.iter().all(|&byte| field::is_value(byte)) {
        return Err(invalid);
    }
    let digit = |byte: &u8| u16::from(byte - b'0');
    Ok((version, digit(a) * 100 + digit(b) * 10 + digit(c)))
}

#[derive(Default)]
struct Reader {
    status: Option<(Version, u16)>,
    content_length: Option<u64>,
    chunked: bool,
    content_type: Option<Span>,
    ws_version: Option<Span>,
    content_encoding: bool,
    connection: ConnectionOptions,
}

impl Reader {
    fn add(&mut self, buffer: &[u8], start: usize, end: usize) -> Result<(), InvalidResponse> {
        let Field { name, value } = Field::read(buffer, start, end)?;
        let name = name.of(buffer);
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"content-length") {
            let length =
                field::content_length(value.of(buffer)).ok_or(InvalidResponse::BadContentLength)?;
            once(&mut self.content_length, length, InvalidResponse::RepeatedContentLength)?;
        } else if is(b"transfer-encoding") {
            if self.chunked || !value.of(buffer).eq_ignore_ascii_case(b"chunked") {
                return Err(InvalidResponse::NotChunkedAlone);
            }
            self.chunked = true;
        } else if is(b"connection") {
            self.connection.add(value.of(buffer));
        } else if is(b"content-type") {
            once(&mut self.content_type, value, InvalidResponse::RepeatedContentType)?;
        } else if is(b"content-encoding") {
            self.content_encoding |= !value.of(buffer).eq_ignore_ascii_case(b"identity");
        } else if is(b"x-xivo-ws-version") {
            self.ws_version = Some(value);
        }
        Ok(())
    }

    fn finish(self, len: usize) -> Result<ResponseSpans, InvalidResponse> {
        let (version, status) = self.status.ok_or(InvalidResponse::NoStatusLine)?;
        let framing = match (self.chunked, self.content_length) {
            (true, Some(_)) => {
                return Err(InvalidResponse::TwoFramings);
            }
            (true, None) if version == Version::Http10 => {
                return Err(InvalidResponse::ChunkedHttp10);
            }
            (true, None) if has_no_body(status) => {
                return Err(InvalidResponse::ChunkedWithoutBody);
            }
            _ if has_no_body(status) => Framing::Empty,
            (true, None) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        Ok(ResponseSpans {
            version,
            status,
            framing,
            content_type: self.content_type,
            ws_version: self.ws_version,
            content_encoding: self.content_encoding,
            connection: self.connection,
            len,
        })
    }
}

/// RFC 9112, section 6.3: 1xx, 204 and 304 end with their head, whatever their fields say.
fn has_no_body(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ResponseHead<'_> {
        ResponseSpans::read(text.as_bytes()).unwrap().unwrap().over(text.as_bytes())
    }

    fn invalid(bytes: &[u8]) {
        let read = ResponseSpans::read(bytes);
        assert!(read.is_err(), "{:?}: {read:?}", bytes.escape_ascii().to_string());
    }

    #[test]
    fn an_answer_is_framed_by_length_or_chunks_or_its_status() {
        let framing = |text: &str| read(text).framing();
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"), Framing::Length(7));
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"),
            Framing::Chunked
        );
        assert_eq!(framing("HTTP/1.1 204 No Content\r\n\r\n"), Framing::Empty);
        assert_eq!(framing("HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n"), Framing::Empty);
        assert_eq!(framing("HTTP/1.1 100 Continue\r\n\r\n"), Framing::Empty);
        assert_eq!(framing("HTTP/1.0 500 \r\n\r\n"), Framing::UntilClose);
    }

    #[test]
    fn framing_that_can_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding:",
        ] {
            invalid(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").as_bytes());
        }
        invalid(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        invalid(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n");
    }

    #[test]
    fn what_is_not_an_http_1_head_is_refused_at_once() {
        for bytes in [
            &b"<html>"[..],
            b"HTTP/2 200 OK\r\n",
            b"HTTP/1.1 200\r\n\r\n",
            b"HTTP/1.1  200 OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 099 x\r\n\r\n",
            b"HTTP/1.1 600 x\r\n\r\n",
            b"HTTP/1.1 200 O\x01K\r\n\r\n",
            b"HTTP/1.1 200 OK\n\n",
            b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
            b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\0: b\r\n\r\n",
            b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            invalid(bytes);
        }
        for begun in [&b""[..], b"H", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nA: b\r\n"] {
            assert!(ResponseSpans::read(begun).unwrap().is_none());
        }
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        let with = |text: &str| read(text).persists();
        assert!(with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        assert!(!with("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(with("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
        assert!(!with("HTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn lines_end_with_cr_lf_only() {
        for bytes in [
            &b"HTTP/1.1 200 OK\nA: b\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n\n",
            b"HTTP/1.1 200 OK\r\n\nA: b\r\n\r\n",
            b"\nHTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n\r\r\n",
        ] {
            let read = ResponseSpans::read(bytes);
            assert!(read.is_err(), "{:?}: {read:?}", bytes.escape_ascii().to_string());
        }
        let alone = InvalidResponse::BareLineFeed;
        assert_eq!(ResponseSpans::read(b"HTTP/1.1 200 OK\r\nA: b\n").unwrap_err(), alone);
        assert_eq!(ResponseSpans::read(b"HTTP/1.1 200 OK\r\nA: b\r\n\n").unwrap_err(), alone);
    }

    #[test]
    fn a_head_tells_what_the_gateway_goes_by() {
        let text = "HTTP/1.1 345 \r\nX-XIVO-WS-Version: 1.0\r\nContent-Length: 4\r\n\r\nbody";
        let head = read(text);
        assert_eq!(head.status(), 345);
        assert_eq!(&text[head.len()..], "body");
        assert_eq!(head.behind(), b"body");
        assert!(!head.is_empty());
        assert_eq!(head.ws_version().unwrap(), b"1.0");
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n").ws_version(), None);
    }

    #[test]
    fn a_coding_is_seen_however_often_it_is_told() {
        for (fields, coded) in [
            ("", false),
            ("Content-Encoding: identity\r\n", false),
            ("Content-Encoding: gzip\r\n", true),
            ("Content-Encoding: gzip\r\nContent-Encoding: br\r\n", true),
            ("Content-Encoding: gzip\r\nContent-Encoding: identity\r\n", true),
            ("Content-Encoding: Identity\r\nContent-Encoding: gzip\r\n", true),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(read(&text).is_coded(), coded, "{fields}");
        }
    }

    #[test]
    fn json_is_told_by_its_media_type() {
        for (value, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json ;a=b", true),
            ("text/html", false),
            ("application/jsonp", false),
            ("", false),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Type: {value}\r\n\r\n");
            assert_eq!(read(&text).is_json(), json, "{value}");
        }
        assert!(!read("HTTP/1.1 200 OK\r\n\r\n").is_json());
    }
}
