//! Reads lines by the format that wrote them.
//!
//! A `log_format` is literals and variables in turn. Read backwards, a value is what stands between two literals:
//! [`Format`] is what the gateway writes by, so whatever it can write, and whatever nginx's `log_format` says, can be
//! read; how, and whether it can be at all, `Reading` knows. A value that is not of its kind (a `$status` of four
//! digits, a `$remote_addr` with a blank in it) was not written by the format, nor was its line. Nothing is allocated
//! for a line.

use memchr::{memchr, memmem, memrchr};

use crate::access_log::format::{
    self, Begin, Each, End, Escape, Format, FormatError, Kind, Mark, Piece, Reading, Unsure,
    address_length, ipv4_length, is_no_name,
};

/// A format, compiled for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    prefix: Box<[u8]>,
    steps: Box<[Step]>,
    escape: Escape,
    present: u32,
    addresses: Addresses,
    /// Whether a line may begin with whatever a client sends.
    begins_with_text: bool,
    sample: Box<[u8]>,
}

/// What is taken for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Addresses {
    /// A host's name too, and `-`.
    Any,
    /// No names: they look like other words.
    NoNames,
    /// IP addresses and `unix:` alone.
    Ip,
}

impl Addresses {
    fn take(self, value: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::NoNames => is_no_name(value),
            Self::Ip => is_no_name(value) && value != b"-",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    One(Part, How),
    Span(Box<Span>),
}

/// A value and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    slot: Slot,
    kind: Kind,
    then: Box<[u8]>,
    /// Which bytes its values can hold.
    holds: Box<[bool; 256]>,
}

/// How a value is read: [`End`], with those apart that most lines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Address,
    Status,
    Digits,
    /// A time that the clock looks at, so wide.
    Time(usize),
    /// Text up to its quote, so far before the literal's beginning.
    Quote(usize),
    Run,
    List,
    At(Mark),
    Line,
}

/// Values of which only the first is not sure of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    first: Part,
    /// From the last one on.
    behind: Box<[Behind]>,
    end: Option<Mark>,
    /// What stands behind the last one.
    then: Box<[u8]>,
}

/// A value that is read from its end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Behind {
    part: Part,
    begin: Begin,
    /// What stands before it.
    before: Box<[u8]>,
}

/// The values that a report makes use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
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

/// A line's values; empty where the format has none of that name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'l> {
    slots: [&'l [u8]; SLOTS],
    /// Whether what stands for an address is no address of IPv4.
    is_other_address: bool,
}

impl Default for Values<'_> {
    fn default() -> Self {
        Self { slots: [b""; SLOTS], is_other_address: false }
    }
}

impl<'l> Values<'l> {
    /// The value, as it was written: escapes are not undone.
    pub(crate) fn of(&self, slot: Slot) -> &'l [u8] {
        self.slots[slot as usize]
    }

    /// Whether a word stands for an address that may be something else.
    #[inline]
    pub(in crate::report) fn has_word_for_address(&self) -> bool {
        self.is_other_address && !Addresses::Ip.take(self.of(Slot::RemoteAddr))
    }
}

/// Why no line can be read by a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    /// It is no `log_format`.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// Where one value ends and the next begins cannot be told.
    #[error("{why}{}", advice(.corrected.as_deref()))]
    Unsure {
        /// What makes it ambiguous.
        why: Unsure,
        /// The format, written so that it can be.
        corrected: Option<String>,
    },
    /// There is no time.
    #[error("the format has no time; it needs $time_local, $time_iso8601 or $msec")]
    NoTime,
    /// There is no status.
    #[error("the format has no $status, without which nothing can be said about a request")]
    NoStatus,
}

fn advice(corrected: Option<&str>) -> String {
    match corrected {
        Some(text) => format!("; this format says the same and can be read: {text}"),
        None => "; put quotes around each value".to_owned(),
    }
}

/// What stands where a value should: for people.
pub(in crate::report) type Expected = &'static str;

impl Pattern {
    /// The pattern of a `log_format`'s text, as [`Format::compile`] takes it. It may name variables that the
    /// gateway has not: nginx's own logs are read as well.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of_text(parts: &[&str]) -> Result<Self, PatternError> {
        let (escape, pieces) = Format::pieces_of(parts)?;
        Self::new(escape, &pieces)
    }

    /// The pattern of a format of the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of_format(format: &Format) -> Result<Self, PatternError> {
        Self::new(format.escape(), &format.pieces())
    }

    fn new(escape: Escape, pieces: &[Piece]) -> Result<Self, PatternError> {
        let reading = format::reading(escape, pieces).map_err(|why| PatternError::Unsure {
            why,
            corrected: format::corrected(escape, pieces),
        })?;
        let slots: Vec<Slot> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Variable(name) => Some(slot(name)),
                Piece::Literal(_) => None,
            })
            .collect();
        let present = slots.iter().fold(0, |set, slot| set | 1 << *slot as u32);
        let Reading { prefix, steps } = reading;
        let pattern = Self {
            begins_with_text: prefix.is_empty() && begins_with_text(pieces),
            prefix,
            steps: steps.iter().map(|step| Step::of(step, &slots, escape)).collect(),
            escape,
            present,
            addresses: Addresses::Any,
            sample: sample(pieces),
        };
        if pattern.time().is_none() {
            return Err(PatternError::NoTime);
        }
        if pattern.has(Slot::Status) { Ok(pattern) } else { Err(PatternError::NoStatus) }
    }

    /// Whether its lines say this.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.present & 1 << slot as u32 != 0
    }

    /// Which value says when.
    pub(crate) fn time(&self) -> Option<Slot> {
        TIMES.into_iter().find(|&slot| self.has(slot))
    }

    /// A line of it, with values as most are.
    pub(in crate::report) fn sample(&self) -> &[u8] {
        &self.sample
    }

    /// Whether a line may begin with whatever a client sends.
    pub(in crate::report) fn begins_with_text(&self) -> bool {
        self.begins_with_text
    }

    /// Takes these alone for addresses.
    pub(in crate::report) fn restrict(&mut self, addresses: Addresses) {
        self.addresses = addresses;
    }

    /// Puts the values of `line`, which has no line end, into `values`.
    ///
    /// # Errors
    /// What is missing, where the line was not written by this format.
    #[inline]
    pub(crate) fn read<'l>(&self, line: &'l [u8], values: &mut Values<'l>) -> Result<(), Expected> {
        let mut rest = line.strip_prefix(&*self.prefix).ok_or(BEGINNING)?;
        for step in &self.steps {
            rest = match step {
                Step::One(part, how) => {
                    let end = match how {
                        How::Address => self.address(rest, &mut values.is_other_address),
                        How::Status
                        | How::Digits
                        | How::Time(_)
                        | How::Quote(_)
                        | How::Run
                        | How::List
                        | How::At(_)
                        | How::Line => self.end(part, *how, rest),
                    };
                    let end = end.ok_or_else(|| part.kind.expected())?;
                    values.slots[part.slot as usize] = &rest[..end];
                    behind(&rest[end..], &part.then).ok_or(LITERAL)?
                }
                Step::Span(span) => self.span(span, rest, values)?,
            };
        }
        if rest.is_empty() { Ok(()) } else { Err(END) }
    }

    /// Where the value at the beginning of `rest` ends, if it is one.
    #[inline]
    fn end(&self, part: &Part, how: How, rest: &[u8]) -> Option<usize> {
        match how {
            How::Quote(at) => format::quote(rest)?.checked_sub(at),
            How::Address => self.other_address(rest),
            How::Status => match rest {
                [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', ..] => Some(3),
                _ => None,
            },
            How::Digits => {
                let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                if (1..=format::MOST_DIGITS).contains(&length) {
                    return Some(length);
                }
                self.run(part, rest)
            }
            How::Time(width) => (rest.len() >= width).then_some(width),
            How::Run => self.run(part, rest),
            How::List => {
                let Kind::Tries(each) = part.kind else { return None };
                Some(each.end(rest))
            }
            How::At(mark) => {
                let end = found(mark, rest)?.checked_sub(mark.at)?;
                self.is(part, &rest[..end]).then_some(end)
            }
            How::Line => {
                let value = rest.strip_suffix(&*part.then)?;
                self.is(part, value).then_some(value.len())
            }
        }
    }

    #[inline]
    fn address(&self, rest: &[u8], is_other: &mut bool) -> Option<usize> {
        let length = ipv4_length(rest);
        if length.is_some() {
            return length;
        }
        *is_other = true;
        self.other_address(rest)
    }

    #[cold]
    fn other_address(&self, rest: &[u8]) -> Option<usize> {
        match address_length(rest) {
            Some(length) if self.addresses.take(&rest[..length]) => Some(length),
            // Absent, which is written as nothing.
            None if self.escape != Escape::Default => Some(0),
            _ => None,
        }
    }

    fn run(&self, part: &Part, rest: &[u8]) -> Option<usize> {
        let mut length = rest.iter().take_while(|&&byte| part.holds[usize::from(byte)]).count();
        if length == 0 && rest.starts_with(b"-") && !part.then.starts_with(b"-") {
            length = 1;
        }
        (part.is_known_by_its_bytes() || self.is(part, &rest[..length])).then_some(length)
    }

    #[inline]
    fn is(&self, part: &Part, value: &[u8]) -> bool {
        if part.is_known_by_its_bytes() {
            return value.iter().all(|&byte| part.holds[usize::from(byte)]);
        }
        if let Kind::Tries(each) = part.kind
            && is_one_try(each, value)
        {
            return true;
        }
        part.kind.is(value, self.escape)
            && (part.kind != Kind::Address || self.addresses.take(value))
    }

    /// Reads several values together; yields what stands behind them.
    #[inline]
    fn span<'l>(
        &self,
        span: &Span,
        rest: &'l [u8],
        values: &mut Values<'l>,
    ) -> Result<&'l [u8], Expected> {
        let (content, after) = match span.end {
            Some(mark) => {
                let end =
                    found(mark, rest).and_then(|at| at.checked_sub(mark.at)).ok_or(LITERAL)?;
                (&rest[..end], behind(&rest[end..], &span.then).ok_or(LITERAL)?)
            }
            None => (rest.strip_suffix(&*span.then).ok_or(LITERAL)?, &b""[..]),
        };
        let mut end = content.len();
        for Behind { part, begin, before } in &span.behind {
            let begin = match *begin {
                Begin::Width(width) => end.checked_sub(width),
                Begin::Behind(mark) => last(mark.byte, &content[..end])
                    .and_then(|at| at.checked_sub(mark.at))
                    .map(|at| at + before.len()),
            };
            let begin = begin.filter(|begin| *begin <= end).ok_or_else(|| part.kind.expected())?;
            let value = &content[begin..end];
            if !part.is_clocked() && !self.is(part, value) {
                return Err(part.kind.expected());
            }
            values.slots[part.slot as usize] = value;
            end = ending(&content[..begin], before).ok_or(LITERAL)?;
        }
        let value = &content[..end];
        // Text before a quote has none in it.
        let is_known = span.first.kind == Kind::Text && span.end.is_some();
        if !is_known && !self.is(&span.first, value) {
            return Err(span.first.kind.expected());
        }
        values.slots[span.first.slot as usize] = value;
        Ok(after)
    }
}

impl Step {
    fn of(step: &format::Step, slots: &[Slot], escape: Escape) -> Self {
        let part = |value: &format::Value| Part {
            slot: slots[value.number],
            kind: value.kind,
            then: value.then.clone(),
            holds: holds(value.kind, escape),
        };
        match step {
            format::Step::One { value, end } => {
                let part = part(value);
                let how = How::of(&part, *end);
                Self::One(part, how)
            }
            format::Step::Span(span) => {
                let format::Span { first, behind, end } = &**span;
                let literal = |value: Option<&(format::Value, Begin)>| {
                    value.map_or_else(|| first.then.clone(), |(value, _)| value.then.clone())
                };
                let parts = behind.iter().enumerate().map(|(at, (value, begin))| Behind {
                    part: part(value),
                    begin: *begin,
                    before: literal(behind.get(at + 1)),
                });
                Self::Span(Box::new(Span {
                    behind: parts.collect(),
                    then: literal(behind.first()),
                    first: part(first),
                    end: *end,
                }))
            }
        }
    }
}

/// Which bytes values of this kind can hold.
fn holds(kind: Kind, escape: Escape) -> Box<[bool; 256]> {
    let mut holds = Box::new([false; 256]);
    (0..=u8::MAX)
        .zip(&mut *holds)
        .for_each(|(byte, is_held)| *is_held = kind.can_hold(byte, escape));
    holds
}

/// Whether this is what one try took, if that is a few seconds or nothing, as most are.
#[inline]
fn is_one_try(each: Each, value: &[u8]) -> bool {
    match value {
        b"-" => true,
        [a, b'.', b, c, d] if each == Each::Decimal => {
            [a, b, c, d].iter().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

/// Where the last one of this byte is. Most values are short.
#[inline]
fn last(byte: u8, text: &[u8]) -> Option<usize> {
    let near = text.len().saturating_sub(NEAR);
    let found = text[near..].iter().rposition(|&other| other == byte);
    found.map(|at| near + at).or_else(|| memrchr(byte, &text[..near]))
}

impl How {
    fn of(part: &Part, end: End) -> Self {
        match (end, part.kind) {
            (End::Run, Kind::Address) => Self::Address,
            (End::Run, Kind::Number(_)) => Self::Digits,
            (End::Width(_), Kind::Status) => Self::Status,
            (End::Width(width), _) => Self::Time(width),
            (End::Run, _) => Self::Run,
            (End::List, _) => Self::List,
            (End::At(Mark { at, is_escaped: true, .. }), Kind::Text) => Self::Quote(at),
            (End::At(mark), _) => Self::At(mark),
            (End::Line, _) => Self::Line,
        }
    }
}

impl Part {
    /// Whether whatever has none but its bytes is a value of its kind.
    #[inline]
    fn is_known_by_its_bytes(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Method)
    }

    /// Whether the clock will look at it.
    fn is_clocked(&self) -> bool {
        self.slot == Slot::TimeLocal
    }
}

/// Where this byte of a literal is.
#[inline]
fn found(mark: Mark, rest: &[u8]) -> Option<usize> {
    if mark.is_escaped { format::quote(rest) } else { memchr(mark.byte, rest) }
}

/// What stands behind this literal, which is short as a rule.
#[inline]
fn behind<'l>(rest: &'l [u8], literal: &[u8]) -> Option<&'l [u8]> {
    match (literal, rest) {
        ([a], [x, tail @ ..]) => (a == x).then_some(tail),
        ([a, b], [x, y, tail @ ..]) => (a == x && b == y).then_some(tail),
        ([a, b, c], [x, y, z, tail @ ..]) => (a == x && b == y && c == z).then_some(tail),
        _ => rest.strip_prefix(literal),
    }
}

/// Where this literal begins, with which `content` ends.
#[inline]
fn ending(content: &[u8], literal: &[u8]) -> Option<usize> {
    let at = content.len().checked_sub(literal.len())?;
    behind(&content[at..], literal).map(|_| at)
}

fn begins_with_text(pieces: &[Piece]) -> bool {
    let Some(Piece::Variable(name)) = pieces.first() else { return false };
    matches!(Kind::of(name), Kind::Text | Kind::Token | Kind::Method)
}

fn sample(pieces: &[Piece]) -> Box<[u8]> {
    let pieces = pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => text.as_bytes(),
        Piece::Variable(name) => Kind::of(name).sample().as_bytes(),
    });
    pieces.collect::<Vec<_>>().concat().into()
}

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
pub(crate) fn unescaped(value: &[u8], escape: Escape) -> std::borrow::Cow<'_, [u8]> {
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
pub(crate) fn argument<'q>(query: &'q [u8], name: &memmem::Finder<'_>) -> Option<&'q [u8]> {
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

const SLOTS: usize = Slot::ArgSearch as usize + 1;

/// The number of bytes that are looked at one by one.
const NEAR: usize = 12;

/// Those that say when, the most exact ones first.
const TIMES: [Slot; 3] = [Slot::TimeLocal, Slot::TimeIso8601, Slot::Msec];

const BEGINNING: Expected = "its beginning";
const LITERAL: Expected = "the text between two values";
const END: Expected = "its end";

#[cfg(test)]
mod tests;
