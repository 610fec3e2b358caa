//! The head of a request, read as it arrives.

use std::ops::Range;

use thiserror::Error;

use super::field::{self, Field, FieldFault, once};
use super::host::Host;
use super::{ConnectionOptions, Span, Version};

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The request line without its CRLF, in bytes.
    pub max_uri: usize,
    /// The whole head with its last CRLF, in bytes.
    pub max_head: usize,
    /// Header field lines.
    pub max_fields: usize,
}

/// Why a head was not accepted. The connection cannot go on after any of them: where the next
/// request begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// It is not HTTP as this gateway reads it.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The request line is longer than `max_uri`.
    #[error("the request line is too long")]
    UriTooLong,
    /// The head is longer than `max_head`, or has more than `max_header_fields` fields.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Why a head is not HTTP as this gateway reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// A line feed without its carriage return.
    #[error("a line ends with a line feed alone")]
    BareLineFeed,
    /// The first byte is that of a TLS handshake.
    #[error("it begins as a TLS handshake does: TLS on a port without it, or TLS inside TLS")]
    TlsHandshake,
    /// The first line cannot become a request line.
    #[error("the request line is not one of HTTP/1")]
    NotHttp1,
    /// The request line has no method, or something else than a blank behind it.
    #[error("the request line does not begin with a method and a blank")]
    NoMethod,
    /// The request line ends with its target.
    #[error("the request line has no version")]
    NoVersion,
    /// The target is empty, or has a byte that no URL may contain.
    #[error("the request target is empty or holds a control byte")]
    BadTarget,
    /// A `#` in the target: readers disagree on whether the target ends there.
    #[error("the request target holds a `#`: a fragment is never sent")]
    Fragment,
    /// The version is none that is spoken, or something follows it.
    #[error("the request line does not end with HTTP/1.0 or HTTP/1.1")]
    OtherVersion,
    /// The target has neither origin form nor absolute form.
    #[error("the request target is neither a path nor an http URL")]
    TargetForm,
    /// The host of an absolute-form target.
    #[error("the target's host is not a valid host")]
    BadTargetHost,
    /// A header line is not a field line.
    #[error(transparent)]
    Field(#[from] FieldFault),
    /// A second `Host`.
    #[error("there is more than one Host")]
    RepeatedHost,
    /// The `Host` is not a valid host.
    #[error("the Host is not a valid host")]
    BadHost,
    /// A `Content-Length` that is not a number.
    #[error("the Content-Length is no number")]
    BadContentLength,
    /// A second `Content-Length`, whatever it says.
    #[error("there is more than one Content-Length")]
    RepeatedContentLength,
    /// Any `Transfer-Encoding`.
    #[error("there is a Transfer-Encoding, and no lookup has a body")]
    TransferEncoding,
    /// The head is empty.
    #[error("there is no request line")]
    NoRequestLine,
    /// No `Host`, which only HTTP/1.0 may leave out.
    #[error("there is no Host")]
    NoHost,
    /// The `Host` and the target's host differ.
    #[error("the target's host is not the one in Host")]
    OtherHost,
}

/// By which of the two limits a head is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TooLarge {
    /// It has more bytes than `limits.max_head`.
    #[error("the head is too long")]
    Bytes,
    /// It has more fields than `limits.max_header_fields`.
    #[error("the head has too many header fields")]
    Fields,
}

/// Reads one head from a growing buffer. Each byte is looked at once, however the head is cut into
/// segments, and what is wrong is found as soon as its line has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestReader {
    /// Where the line that is being waited for begins.
    line: usize,
    /// Up to where that line has been searched for its end.
    searched: usize,
    /// Up to where a request line without an end has been found possible.
    checked: usize,
    fields: usize,
    head: Draft,
    /// The head came over HTTP/2.
    http2: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Draft {
    line: Option<RequestLine>,
    host: Option<Span>,
    user_agent: Option<Span>,
    logged_referer: Option<Span>,
    logged_user_agent: Option<Span>,
    content_length: Option<u64>,
    connection: ConnectionOptions,
    /// Why the framing is not accepted. Told when the fields are complete, so that the log has them
    /// all, as nginx's has.
    bad_framing: Option<Malformed>,
}

/// What an access log shows of a head, as far as it came: a view of the buffer that it was read from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'b> {
    buffer: &'b [u8],
    line: Span,
    referer: Option<Span>,
    user_agent: Option<Span>,
    /// Of a request line that is one.
    parts: Option<SeenLine>,
    host: Option<Span>,
    fields: Span,
    length: usize,
}

/// The parts of a request line that a log shows apart.
#[derive(Clone, Copy, Debug)]
struct SeenLine {
    method: Span,
    /// The target's path with its query; empty, or beginning with `/` or `?`.
    target: Span,
    version: Span,
}

impl<'b> Seen<'b> {
    /// What the log shows of a head of which nobody reads more than its first line: the first `length`
    /// bytes of `buffer`.
    pub fn only(buffer: &'b [u8], length: usize, limits: &HeadLimits) -> Self {
        Self { buffer, line: Span::new(0, length.min(limits.max_uri)), ..Self::default() }
    }

    /// What came: the head as far as it did, and perhaps more behind it.
    pub fn bytes(&self) -> &'b [u8] {
        self.buffer
    }

    /// The request line without its CRLF: nginx's `$request`.
    pub fn line(&self) -> &'b [u8] {
        self.line.of(self.buffer)
    }

    /// The first `Referer`, without the spaces around it; nginx keeps tabs, and so does this.
    pub fn referer(&self) -> Option<&'b [u8]> {
        self.referer.map(|span| span.of(self.buffer))
    }

    /// The first `User-Agent`, in the same way.
    pub fn user_agent(&self) -> Option<&'b [u8]> {
        self.user_agent.map(|span| span.of(self.buffer))
    }

    /// The request method, if the request line is valid.
    pub fn method(&self) -> Option<&'b [u8]> {
        self.parts.map(|parts| parts.method.of(self.buffer))
    }

    /// Where in [`Self::line`] the target's path with its query stands, if the request line is valid. It is
    /// empty, or begins with `/` or `?`.
    pub fn target(&self) -> Option<Range<usize>> {
        self.parts.map(|parts| parts.target.within(self.line))
    }

    /// The protocol version as it came, such as `HTTP/1.1`, if the request line is valid.
    pub fn version(&self) -> Option<&'b [u8]> {
        self.parts.map(|parts| parts.version.of(self.buffer))
    }

    /// The target's host, or the Host, where that is a valid one.
    pub fn host(&self) -> Option<Host<'b>> {
        self.host.and_then(|host| Host::read(host.of(self.buffer)))
    }

    /// The field lines that have the form of one, with their line ends.
    pub fn fields(&self) -> &'b [u8] {
        self.fields.of(self.buffer)
    }

    /// The bytes up to the end of the fields: nginx's `$request_length`. 0 where the request line is none.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// A request line, cut at its two blanks, and its target taken apart.
#[derive(Clone, Copy, Debug)]
struct RequestLine {
    whole: Span,
    method: Span,
    /// The target's path with its query: empty, or beginning with `/` or `?`.
    path: Span,
    /// The host of an absolute-form target, which is a valid one.
    authority: Option<Span>,
    version: Version,
}

/// A whole head that has the form of HTTP/1, by where its parts stand in the buffer that it was read from.
#[derive(Clone, Copy, Debug)]
pub struct RequestSpans {
    line: RequestLine,
    path: Span,
    query: Option<Span>,
    host: Option<Span>,
    user_agent: Option<Span>,
    content_length: Option<u64>,
    connection: ConnectionOptions,
    len: usize,
}

impl RequestReader {
    /// A reader of heads that came over HTTP/2 and were written as HTTP/1, with `HTTP/2.0` for their
    /// version. Nothing else differs.
    pub fn of_http2() -> Self {
        Self { http2: true, ..Self::default() }
    }

    /// Looks at what came since the last call; `buffer` begins with the first byte of the request
    /// line and has grown at its end only.
    ///
    /// Yields where the parts of the head are when its empty line has come, `None` while more is needed.
    ///
    /// # Errors
    /// [`HeadError`] as soon as no further bytes can make the head acceptable.
    pub fn advance(
        &mut self,
        buffer: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<RequestSpans>, HeadError> {
        let outcome = self.advance_by_lines(buffer, limits);
        match outcome {
            // Whatever its further bytes would mean in a request line.
            Err(HeadError::Malformed(_))
                if self.head.line.is_none() && buffer.get(self.line) == Some(&TLS_HANDSHAKE) =>
            {
                Err(Malformed::TlsHandshake.into())
            }
            outcome => outcome,
        }
    }

    fn advance_by_lines(
        &mut self,
        buffer: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<RequestSpans>, HeadError> {
        while let Some(lf) = self.next_line_feed(buffer) {
            let next = lf + 1;
            let text = buffer.get(self.line..lf).and_then(|text| text.strip_suffix(b"\r"));
            let Some(text) = text else {
                return Err(Malformed::BareLineFeed.into());
            };
            let end = self.line + text.len();
            if next > limits.max_head {
                // The request line begins at 0.
                let in_line = self.head.line.is_none() && end > limits.max_uri;
                let too_large = HeadError::TooLarge(TooLarge::Bytes);
                return Err(if in_line { HeadError::UriTooLong } else { too_large });
            }
            if self.head.line.is_none() {
                self.head.line = Some(self.read_line(text, limits)?);
            } else if end == self.line {
                self.line = next;
                return self.head.finish(buffer, next).map(Some).map_err(HeadError::Malformed);
            } else {
                self.fields += 1;
                if self.fields > limits.max_fields {
                    return Err(TooLarge::Fields.into());
                }
                if let Err(why) = self.head.add(buffer, self.line, end) {
                    if Field::read(buffer, self.line, end).is_ok() {
                        // It is a field, and was one too many: the log has it.
                        self.line = next;
                    }
                    return Err(HeadError::Malformed(why));
                }
            }
            self.line = next;
            self.searched = next;
        }
        self.check_unfinished_line(buffer, limits)?;
        Ok(None)
    }

    /// The request line, whose version must be the one that is spoken.
    fn read_line(&self, line: &[u8], limits: &HeadLimits) -> Result<RequestLine, HeadError> {
        let version = if self.http2 { Version::read_http2 } else { Version::read };
        RequestLine::read(line, limits, version)
    }

    /// What the log can say of the request so far, as nginx does for a head that it refuses: the
    /// request line as far as it came, `max_uri` bytes of it at the most, and the fields that were
    /// read before the fault.
    pub fn seen<'b>(&self, buffer: &'b [u8], limits: &HeadLimits) -> Seen<'b> {
        let unread = || {
            let end = memchr::memchr2(b'\r', b'\n', buffer).unwrap_or(buffer.len());
            Span::new(0, end.min(limits.max_uri))
        };
        let line = self.head.line.map_or_else(unread, |line| line.whole);
        let Draft { logged_referer: referer, logged_user_agent: user_agent, .. } = self.head;
        let parts = self.head.line.map(|found| SeenLine {
            method: found.method,
            target: found.path,
            version: Span::new(
                (line.end as usize).saturating_sub(VERSION_LENGTH),
                line.end as usize,
            ),
        });
        let length = if parts.is_some() { self.line } else { 0 };
        Seen {
            buffer,
            line,
            referer,
            user_agent,
            parts,
            host: self.head.line.and_then(|found| found.authority).or(self.head.host),
            fields: Span::new((line.end as usize + 2).min(length), length),
            length,
        }
    }

    fn next_line_feed(&mut self, buffer: &[u8]) -> Option<usize> {
        let rest = buffer.get(self.searched..)?;
        let found = memchr::memchr(b'\n', rest).map(|at| self.searched + at);
        if found.is_none() {
            self.searched = buffer.len();
        }
        found
    }

    /// A line without an end must not be waited for when it is too long already or, as the first
    /// line, cannot be a request (a TLS greeting, say, has no line end to wait for).
    fn check_unfinished_line(
        &mut self,
        buffer: &[u8],
        limits: &HeadLimits,
    ) -> Result<(), HeadError> {
        if self.head.line.is_none() {
            let unfinished = buffer.get(self.line..).unwrap_or_default();
            let text = unfinished.strip_suffix(b"\r").unwrap_or(unfinished);
            let new = text.get(self.checked..).unwrap_or_default();
            if text.first().is_some_and(|&b| !field::is_token(b))
                || new.iter().any(u8::is_ascii_control)
            {
                return Err(Malformed::NotHttp1.into());
            }
            self.checked = text.len();
            if text.len() > limits.max_uri {
                return Err(HeadError::UriTooLong);
            }
        }
        if buffer.len() >= limits.max_head {
            return Err(HeadError::TooLarge(TooLarge::Bytes));
        }
        Ok(())
    }
}

impl RequestLine {
    /// Method, blank, target, blank, version (RFC 9112, section 3), each exactly once. A buffer begins with
    /// the line.
    fn read(
        line: &[u8],
        limits: &HeadLimits,
        read_version: impl Fn(&[u8]) -> Option<Version>,
    ) -> Result<Self, HeadError> {
        if line.len() > limits.max_uri {
            return Err(HeadError::UriTooLong);
        }
        let method = line.iter().take_while(|&&b| field::is_token(b)).count();
        if method == 0 || line.get(method) != Some(&b' ') {
            return Err(Malformed::NoMethod.into());
        }
        let target_start = method + 1;
        let rest = line.get(target_start..).unwrap_or_default();
        let Some(target_len) = memchr::memchr(b' ', rest) else {
            return Err(Malformed::NoVersion.into());
        };
        let (target, version) = rest.split_at(target_len);
        if target.is_empty() || target.iter().any(u8::is_ascii_control) {
            return Err(Malformed::BadTarget.into());
        }
        if target.contains(&b'#') {
            return Err(Malformed::Fragment.into());
        }
        let Some(version) = version.strip_prefix(b" ").and_then(read_version) else {
            return Err(Malformed::OtherVersion.into());
        };
        let target = Span::new(target_start, target_start + target_len);
        let (path, authority) = split_target(line, target)?;
        if authority.is_some_and(|authority| Host::read(authority.of(line)).is_none()) {
            return Err(Malformed::BadTargetHost.into());
        }
        Ok(Self {
            whole: Span::new(0, line.len()),
            method: Span::new(0, method),
            path,
            authority,
            version,
        })
    }
}

impl Draft {
    fn add(&mut self, buffer: &[u8], start: usize, end: usize) -> Result<(), Malformed> {
        let field = Field::read(buffer, start, end)?;
        let name = field.name.of(buffer);
        // By length first: most fields of a request are none of these.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                once(&mut self.host, field.value, Malformed::RepeatedHost)?;
                if Host::read(field.value.of(buffer)).is_none() {
                    return Err(Malformed::BadHost);
                }
            }
            7 if name.eq_ignore_ascii_case(b"referer") => {
                self.logged_referer.get_or_insert_with(|| field.without_spaces(buffer, end));
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.connection.add(field.value.of(buffer));
            }
            10 if name.eq_ignore_ascii_case(b"user-agent") => {
                self.user_agent.get_or_insert(field.value);
                self.logged_user_agent.get_or_insert_with(|| field.without_spaces(buffer, end));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = field::content_length(field.value.of(buffer));
                if length.is_none() {
                    self.bad_framing.get_or_insert(Malformed::BadContentLength);
                }
                let length = length.unwrap_or_default();
                once(&mut self.content_length, length, Malformed::RepeatedContentLength)?;
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.bad_framing.get_or_insert(Malformed::TransferEncoding);
            }
            _ => {}
        }
        Ok(())
    }

    /// The rules that need the whole head: exactly one valid Host, and a target that agrees with it
    /// (RFC 9112, section 3.2).
    fn finish(self, buffer: &[u8], len: usize) -> Result<RequestSpans, Malformed> {
        let Some(line) = self.line else {
            return Err(Malformed::NoRequestLine);
        };
        if let Some(why) = self.bad_framing {
            return Err(why);
        }
        if self.host.is_none() && line.version != Version::Http10 {
            return Err(Malformed::NoHost);
        }
        if let (Some(host), Some(authority)) = (self.host, line.authority) {
            let host = Host::read(host.of(buffer)).ok_or(Malformed::BadHost)?;
            let authority = Host::read(authority.of(buffer));
            if authority.is_none_or(|authority| !host.agrees_with(authority, 80)) {
                return Err(Malformed::OtherHost);
            }
        }
        let (path, query) = split_query(buffer, line.path);
        Ok(RequestSpans {
            line,
            path,
            query,
            host: self.host.or(line.authority),
            user_agent: self.user_agent,
            content_length: self.content_length,
            connection: self.connection,
            len,
        })
    }
}

/// Takes an absolute-form target (`http://host/path`) apart; an origin-form one is a path already.
/// Any other form is none that a lookup has.
fn split_target(buffer: &[u8], target: Span) -> Result<(Span, Option<Span>), Malformed> {
    let text = target.of(buffer);
    if text.first() == Some(&b'/') {
        return Ok((target, None));
    }
    let scheme_len = b"http://".len();
    if !text.get(..scheme_len).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http://")) {
        return Err(Malformed::TargetForm);
    }
    let rest = text.get(scheme_len..).unwrap_or_default();
    let authority_len = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let authority_start = target.start as usize + scheme_len;
    let authority = Span::new(authority_start, authority_start + authority_len);
    Ok((Span::new(authority_start + authority_len, target.end as usize), Some(authority)))
}

fn split_query(buffer: &[u8], target: Span) -> (Span, Option<Span>) {
    let (start, end) = (target.start as usize, target.end as usize);
    match memchr::memchr(b'?', target.of(buffer)) {
        None => (target, None),
        Some(at) => (Span::new(start, start + at), Some(Span::new(start + at + 1, end))),
    }
}

impl RequestSpans {
    /// The head in `buffer`, which begins with the bytes that it was read from.
    pub fn over(self, buffer: &[u8]) -> RequestHead<'_> {
        RequestHead { spans: self, buffer }
    }
}

/// A whole head that has the form of HTTP/1, and the buffer that it was read from. Its URL has not been
/// looked at.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'b> {
    spans: RequestSpans,
    buffer: &'b [u8],
}

impl<'b> RequestHead<'b> {
    /// The bytes that the head takes of its buffer; what follows is the next request.
    pub fn len(&self) -> usize {
        self.spans.len
    }

    /// Never: a head has a request line.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The method, a token.
    pub fn method(&self) -> &'b [u8] {
        self.spans.line.method.of(self.buffer)
    }

    /// The path as it was sent, undecoded: empty or beginning with `/`.
    pub fn path(&self) -> &'b [u8] {
        self.spans.path.of(self.buffer)
    }

    /// What follows the first `?`, undecoded, if there is one.
    pub fn query(&self) -> Option<&'b [u8]> {
        self.spans.query.map(|span| span.of(self.buffer))
    }

    /// The version that the client speaks.
    pub fn version(&self) -> Version {
        self.spans.line.version
    }

    /// The valid `Host`, or an absolute-form target's; HTTP/1.0 may have none.
    pub fn host(&self) -> Option<Host<'b>> {
        self.spans.host.and_then(|host| Host::read(host.of(self.buffer)))
    }

    /// The first `User-Agent`.
    pub fn user_agent(&self) -> Option<&'b [u8]> {
        self.spans.user_agent.map(|span| span.of(self.buffer))
    }

    /// The values of all fields of this name, in their order. The lines are looked for when the values
    /// are, so that a head of which nobody asks this costs nothing.
    pub fn values(
        &self,
        name: &'static str,
    ) -> impl DoubleEndedIterator<Item = &'b [u8]> + use<'b> {
        let start = self.spans.line.whole.end as usize;
        let fields = self.buffer.get(start..self.spans.len).unwrap_or_default();
        // No line of an accepted head holds a line feed but at its end.
        fields.split(|&b| b == b'\n').filter_map(move |line| {
            let (found, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?.strip_suffix(b"\r")?;
            found.eq_ignore_ascii_case(name.as_bytes()).then(|| field::trim(value))
        })
    }

    /// Whether a body follows the head, in bytes that nobody here reads.
    pub fn has_body(&self) -> bool {
        self.spans.content_length.is_some_and(|length| length > 0)
    }

    /// The same head where a body follows that no field told of, as HTTP/2 can have it.
    #[must_use]
    pub fn with_body(mut self) -> Self {
        let told = self.spans.content_length.unwrap_or_default();
        self.spans.content_length = Some(told.max(1));
        self
    }

    /// Whether the client wants to go on after this request.
    pub fn persists(&self) -> bool {
        self.spans.connection.persists(self.spans.line.version)
    }
}

/// Of `HTTP/1.1`, and of each other version that is read.
const VERSION_LENGTH: usize = b"HTTP/1.1".len();

/// The first byte of a TLS handshake: its record's type (RFC 8446, section 5.1).
pub(super) const TLS_HANDSHAKE: u8 = 0x16;

#[cfg(test)]
mod tests;
