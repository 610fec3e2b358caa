//! Reads lines by the format that wrote them.
//!
//! A `log_format` is literals and variables in turn. Read backwards, a value is what stands before the
//! next literal: [`Format`] is what the gateway writes by, so whatever it can write, and whatever
//! nginx's `log_format` says, can be read. A value cannot hold the literal behind it, because nginx
//! escapes the quotes of quoted values; lists such as `0.001, 0.002` in `$upstream_response_time` are
//! known to hold blanks. Nothing is allocated for a line.

use memchr::memchr;
use memchr::memmem;

use crate::record::format::{Escape, Format, FormatError, Piece};

/// A format, made ready for reading.
#[derive(Clone, Debug)]
pub struct Pattern {
    prefix: Box<[u8]>,
    steps: Box<[Step]>,
    escape: Escape,
    present: u32,
}

#[derive(Clone, Debug)]
struct Step {
    slot: Slot,
    /// What stands behind the value; empty for a value that goes on to the line's end.
    then: Box<[u8]>,
    ending: Ending,
}

/// How the end of a value is found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    /// Where the literal is.
    Literal,
    /// Where the literal is, a quote with no backslash before it.
    Unescaped,
    /// Where the literal is, if what stands before it does not say that a list goes on.
    List,
    /// Where the literal is, if so many bytes behind it stands what follows the next value: a user's name may
    /// hold a blank and a bracket, and must not be taken for the time.
    Before(usize, Box<[u8]>),
    /// So many bytes on, where the literal is there; else as [`Ending::Literal`].
    Width(usize),
}

/// The values that a report makes use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after nginx's variables")]
pub enum Slot {
    Ignored,
    RemoteAddr,
    RemoteUser,
    Peer,
    TimeLocal,
    TimeIso8601,
    Msec,
    Request,
    RequestMethod,
    RequestUri,
    Uri,
    Args,
    Status,
    BodyBytesSent,
    BytesSent,
    UserAgent,
    RequestTime,
    UpstreamResponseTime,
    Reason,
    Limit,
    Action,
    ArgAct,
    ArgSearch,
}

const SLOTS: usize = Slot::ArgSearch as usize + 1;

/// A line's values; empty where the format has none of that name.
#[derive(Clone, Copy, Debug)]
pub struct Values<'l>([&'l [u8]; SLOTS]);

impl Default for Values<'_> {
    fn default() -> Self {
        Self([b""; SLOTS])
    }
}

impl<'l> Values<'l> {
    /// The value, as it was written: escapes are not undone.
    pub fn of(&self, slot: Slot) -> &'l [u8] {
        self.0[slot as usize]
    }
}

/// Why no line can be read by a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no `log_format`.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// Where one value ends and the next begins cannot be told.
    #[error(
        "between ${0} and ${1} stands nothing, so that nobody can tell where the first one ends; put a \
         blank or quotes between them"
    )]
    Adjacent(String, String),
    /// There is no time.
    #[error("the format has no time; it needs $time_local, $time_iso8601 or $msec")]
    NoTime,
    /// There is no status.
    #[error("the format has no $status, without which nothing can be said about a request")]
    NoStatus,
}

impl Pattern {
    /// The pattern of a `log_format`'s text, as [`Format::compile`] takes it. It may name variables that the
    /// gateway has not: nginx's own logs are read as well.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_text(parts: &[&str]) -> Result<Self, PatternError> {
        let (escape, pieces) = Format::pieces_of(parts)?;
        Self::new(escape, &pieces)
    }

    /// The pattern of a format of the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_format(format: &Format) -> Result<Self, PatternError> {
        Self::new(format.escape(), &format.pieces())
    }

    fn new(escape: Escape, pieces: &[Piece]) -> Result<Self, PatternError> {
        let mut prefix: Box<[u8]> = Box::default();
        let mut steps: Vec<Step> = Vec::new();
        let mut last: Option<&str> = None;
        for piece in pieces {
            match (piece, last) {
                (Piece::Literal(text), None) => prefix = text.as_bytes().into(),
                (Piece::Literal(text), Some(_)) => {
                    if let Some(step) = steps.last_mut() {
                        step.then = text.as_bytes().into();
                        step.ending = step.ending.clone().before(text.as_bytes(), escape);
                    }
                    last = None;
                }
                (Piece::Variable(name), None) => {
                    steps.push(Step::of(name));
                    last = Some(name);
                }
                (Piece::Variable(name), Some(former)) => {
                    return Err(PatternError::Adjacent(former.to_owned(), name.clone()));
                }
            }
        }
        look_ahead(&mut steps);
        let present = steps.iter().fold(0, |set, step| set | 1 << step.slot as u32);
        let pattern = Self { prefix, steps: steps.into(), escape, present };
        if ![Slot::TimeLocal, Slot::TimeIso8601, Slot::Msec].iter().any(|&slot| pattern.has(slot)) {
            return Err(PatternError::NoTime);
        }
        match pattern.has(Slot::Status) {
            true => Ok(pattern),
            false => Err(PatternError::NoStatus),
        }
    }

    /// Whether its lines say this.
    pub fn has(&self, slot: Slot) -> bool {
        self.present & 1 << slot as u32 != 0
    }

    /// How its values are escaped.
    pub fn escape(&self) -> Escape {
        self.escape
    }

    /// Puts the values of `line`, which has no line end, into `values`. `false` where the line was not
    /// written by this format.
    #[inline]
    pub fn read<'l>(&self, line: &'l [u8], values: &mut Values<'l>) -> bool {
        let Some(mut rest) = line.strip_prefix(&*self.prefix) else { return false };
        for step in &self.steps {
            let Some(end) = step.end(rest) else { return false };
            values.0[step.slot as usize] = &rest[..end];
            rest = &rest[end + step.then.len()..];
        }
        rest.is_empty()
    }
}

/// Has values that stand before a time end where the time can be one.
fn look_ahead(steps: &mut [Step]) {
    for at in 1..steps.len() {
        let (former, next) = steps.split_at_mut(at);
        if let (Some(former), Some(next)) = (former.last_mut(), next.first())
            && let Ending::Width(width) = next.ending
            && former.ending == Ending::Literal
            && !next.then.is_empty()
        {
            former.ending = Ending::Before(width, next.then.clone());
        }
    }
}

impl Step {
    fn of(name: &str) -> Self {
        let ending = match name {
            "time_local" => Ending::Width(TIME_LOCAL),
            // Of several tries.
            _ if name.starts_with("upstream_") => Ending::List,
            _ => Ending::Literal,
        };
        Self { slot: slot(name), then: Box::default(), ending }
    }

    /// Where the value at the beginning of `rest` ends, with the literal behind it.
    #[inline]
    fn end(&self, rest: &[u8]) -> Option<usize> {
        if self.then.is_empty() {
            return Some(rest.len());
        }
        match &self.ending {
            Ending::Literal => self.find(rest, 0),
            &Ending::Width(width) => match rest.get(width..) {
                Some(behind) if behind.starts_with(&self.then) => Some(width),
                _ => self.find(rest, 0),
            },
            Ending::Unescaped => self.find_where(rest, |before| {
                before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 0
            }),
            Ending::List => self.find_where(rest, |before| !matches!(before, [.., b',' | b':'])),
            Ending::Before(width, then) => self
                .find_where(rest, |before| {
                    let behind = before.len() + self.then.len() + width;
                    rest.get(behind..).is_some_and(|behind| behind.starts_with(then))
                })
                .or_else(|| self.find(rest, 0)),
        }
    }

    #[inline]
    fn find(&self, rest: &[u8], from: usize) -> Option<usize> {
        let behind = &rest[from..];
        match *self.then {
            [byte] => memchr(byte, behind).map(|at| from + at),
            [first, ref tail @ ..] => {
                let mut at = 0;
                loop {
                    at += memchr(first, &behind[at..])?;
                    if behind[at + 1..].starts_with(tail) {
                        return Some(from + at);
                    }
                    at += 1;
                }
            }
            [] => Some(rest.len()),
        }
    }

    fn find_where(&self, rest: &[u8], is_end: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let mut from = 0;
        loop {
            let at = self.find(rest, from)?;
            // A list that goes on has a blank behind its comma, and before and behind its colon.
            let colon = self.ending == Ending::List && rest[at..].starts_with(b" : ");
            if is_end(&rest[..at]) && !colon {
                return Some(at);
            }
            from = at + 1;
        }
    }
}

impl Ending {
    /// Before this literal.
    fn before(self, literal: &[u8], escape: Escape) -> Self {
        match (self, escape, literal.first()) {
            (Self::Literal, Escape::Json, Some(b'"')) => Self::Unescaped,
            // Only a blank can be part of a list as well as of the literal behind it.
            (Self::List, _, Some(b' ' | b',')) => Self::List,
            (Self::List, _, _) => Self::Literal,
            (other, _, _) => other,
        }
    }
}

/// The length of nginx's `$time_local`.
const TIME_LOCAL: usize = "23/Nov/2026:03:33:50 +0000".len();

fn slot(name: &str) -> Slot {
    match name {
        "remote_addr" => Slot::RemoteAddr,
        "remote_user" => Slot::RemoteUser,
        "peer" => Slot::Peer,
        "time_local" => Slot::TimeLocal,
        "time_iso8601" => Slot::TimeIso8601,
        "msec" => Slot::Msec,
        "request" | "request_masked" => Slot::Request,
        "request_method" => Slot::RequestMethod,
        "request_uri" => Slot::RequestUri,
        "uri" | "document_uri" => Slot::Uri,
        "args" | "query_string" => Slot::Args,
        "arg_act" => Slot::ArgAct,
        "arg_search" => Slot::ArgSearch,
        "status" => Slot::Status,
        "body_bytes_sent" => Slot::BodyBytesSent,
        "bytes_sent" => Slot::BytesSent,
        "http_user_agent" => Slot::UserAgent,
        "request_time" => Slot::RequestTime,
        "upstream_response_time" => Slot::UpstreamResponseTime,
        "reason" => Slot::Reason,
        "limit" => Slot::Limit,
        "action" => Slot::Action,
        _ => Slot::Ignored,
    }
}

/// Undoes nginx's escapes; borrowed where there are none.
pub fn unescaped(value: &[u8], escape: Escape) -> std::borrow::Cow<'_, [u8]> {
    if escape == Escape::None || memchr(b'\\', value).is_none() {
        return value.into();
    }
    let marker: &[u8] = if escape == Escape::Json { b"\\u00" } else { b"\\x" };
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr(b'\\', rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let code = rest.strip_prefix(marker).and_then(|rest| rest.get(..2)).and_then(hex);
        let (byte, length) = match (code, rest.get(1)) {
            (Some(byte), _) => (byte, marker.len() + 2),
            (None, Some(b'n')) => (b'\n', 2),
            (None, Some(b'r')) => (b'\r', 2),
            (None, Some(b't')) => (b'\t', 2),
            (None, Some(b'b')) => (0x08, 2),
            (None, Some(b'f')) => (0x0c, 2),
            (None, Some(&other)) => (other, 2),
            (None, None) => (b'\\', 1),
        };
        plain.push(byte);
        rest = &rest[length..];
    }
    plain.extend_from_slice(rest);
    plain.into()
}

/// The argument `name=` of a query, as it was sent.
pub fn argument<'q>(query: &'q [u8], name: &memmem::Finder<'_>) -> Option<&'q [u8]> {
    let mut from = 0;
    loop {
        let at = from + name.find(&query[from..])?;
        let begin = at + name.needle().len();
        if at == 0 || query[at - 1] == b'&' {
            let value = &query[begin..];
            return Some(&value[..memchr(b'&', value).unwrap_or(value.len())]);
        }
        from = begin;
    }
}

#[cfg(test)]
mod tests;
