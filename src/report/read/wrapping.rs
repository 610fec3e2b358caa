//! What stands around a log's line when something has carried it: syslog, the journal, a container's runtime.
//!
//! A wrapping is known by its exact form. What may stand behind it is offered, the most exact form first; whether it
//! is a line is for its format to say. So a piece of a wrapping is never taken for a value, and a line that only
//! looks wrapped is read as it is.

use std::borrow::Cow;

use serde::Deserialize;

use crate::access_log::format::is_host_name;

/// Where lines may begin behind a head of text.
#[derive(Debug, Default)]
pub(super) struct Heads {
    heads: [Head; MOST],
    count: usize,
}

/// What may be a head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    /// Where the line begins.
    pub(super) end: usize,
    /// Whether so little tells it from a line that more must be asked of what is behind it.
    pub(super) is_weak: bool,
}

impl Heads {
    /// The heads, the most exact form's first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Head> + use<> {
        self.heads.into_iter().take(self.count)
    }

    fn add(&mut self, cursor: Option<Cursor<'_>>) {
        self.add_one(cursor, false);
    }

    fn add_weak(&mut self, cursor: Option<Cursor<'_>>) {
        self.add_one(cursor, true);
    }

    fn add_one(&mut self, cursor: Option<Cursor<'_>>, is_weak: bool) {
        let Some(end) = cursor.map(|cursor| cursor.at) else { return };
        if end > 0 && self.count < MOST && !self.iter().any(|known| known.end == end) {
            self.heads[self.count] = Head { end, is_weak };
            self.count += 1;
        }
    }
}

/// What can stand before a line as text.
pub(super) fn heads(line: &[u8]) -> Heads {
    let mut heads = Heads::default();
    let begin = Cursor { line, at: 0 };
    match line.first() {
        None => return heads,
        Some(b'<') => {
            if let Some(behind) = begin.priority() {
                syslog(behind, true, &mut heads);
            }
        }
        Some(b'[') => {
            heads.add(begin.pod());
            heads.add(begin.virtual_host());
            let behind = begin.monotonic();
            behind.into_iter().for_each(|behind| host_and_tag(behind, &mut heads));
        }
        _ => {
            syslog(begin, false, &mut heads);
            heads.add(begin.service());
            heads.add(begin.virtual_host());
        }
    }
    heads
}

/// Whatever begins with a time.
fn syslog(begin: Cursor<'_>, has_priority: bool, heads: &mut Heads) {
    let versioned = begin.literal(b"1 ").filter(|_| has_priority);
    if let Some(behind) = versioned {
        let behind = behind.iso8601().or_else(|| behind.literal(b"-"));
        heads.add(behind.and_then(Cursor::blank).and_then(Cursor::rfc5424));
        return;
    }
    if let Some(behind) = begin.iso8601().and_then(Cursor::blank) {
        heads.add(behind.rfc5424());
        host_and_tag(behind, heads);
        // A time alone, as `docker logs --timestamps` puts it.
        if !has_priority && !behind.is_nil() {
            heads.add_weak(Some(behind));
        }
    } else if let Some(behind) = begin
        .traditional()
        .or_else(|| begin.full())
        .or_else(|| begin.unix())
        .and_then(Cursor::blank)
    {
        host_and_tag(behind, heads);
    }
}

/// `HOST TAG: `, `TAG: ` or `HOST TAG `.
fn host_and_tag(begin: Cursor<'_>, heads: &mut Heads) {
    let behind_host = begin.host();
    heads.add(behind_host.and_then(Cursor::tag));
    heads.add(begin.tag());
    heads.add_weak(behind_host.and_then(Cursor::bare_tag));
}

/// A line, and how far it was read.
#[derive(Clone, Copy, Debug)]
struct Cursor<'l> {
    line: &'l [u8],
    at: usize,
}

impl<'l> Cursor<'l> {
    fn rest(self) -> &'l [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn skip(self, count: usize) -> Self {
        Self { at: self.at + count, ..self }
    }

    fn literal(self, text: &[u8]) -> Option<Self> {
        self.rest().starts_with(text).then(|| self.skip(text.len()))
    }

    fn blank(self) -> Option<Self> {
        self.literal(b" ")
    }

    /// Blanks, one or more: before a message there may be one too many.
    fn blanks(self) -> Option<Self> {
        let behind = self.blank()?;
        Some(behind.skip(behind.length(|byte| byte == b' ')))
    }

    /// How many bytes of this sort come next.
    fn length(self, is: impl Fn(u8) -> bool) -> usize {
        self.rest().iter().take_while(|&&byte| is(byte)).count()
    }

    /// At least `least` bytes of this sort, and at most `most`.
    fn some(self, least: usize, most: usize, is: impl Fn(u8) -> bool) -> Option<Self> {
        let length = self.length(is);
        (least..=most).contains(&length).then(|| self.skip(length))
    }

    fn digits(self, count: usize) -> Option<Self> {
        let digits = self.rest().get(..count)?;
        digits.iter().all(u8::is_ascii_digit).then(|| self.skip(count))
    }

    /// `<190>`.
    fn priority(self) -> Option<Self> {
        self.literal(b"<")?.some(1, 3, |byte| byte.is_ascii_digit())?.literal(b">")
    }

    /// `03:33:50`, with decimals perhaps.
    fn time_of_day(self) -> Option<Self> {
        let second = self.digits(2)?.literal(b":")?.digits(2)?.literal(b":")?.digits(2)?;
        let decimals = second.literal(b".").or_else(|| second.literal(b","));
        Some(decimals.and_then(|it| it.some(1, 9, |byte| byte.is_ascii_digit())).unwrap_or(second))
    }

    fn date(self) -> Option<Self> {
        self.digits(4)?.literal(b"-")?.digits(2)?.literal(b"-")?.digits(2)
    }

    /// `2026-11-23T03:33:50.123456+01:00`: decimals and zone may be missing, the zone's colon too.
    fn iso8601(self) -> Option<Self> {
        let time = self.date()?.literal(b"T")?.time_of_day()?;
        let offset = || {
            let sign = time.literal(b"+").or_else(|| time.literal(b"-"))?;
            let hours = sign.digits(2)?;
            hours.literal(b":").unwrap_or(hours).digits(2)
        };
        Some(time.literal(b"Z").or_else(offset).unwrap_or(time))
    }

    /// `Nov 23 03:33:50`, with decimals perhaps.
    fn traditional(self) -> Option<Self> {
        let month = self.rest().get(..3)?;
        if !MONTHS.contains(&month) {
            return None;
        }
        let day = self.skip(3).blank()?;
        let behind = day.blank().and_then(|day| day.digits(1)).or_else(|| day.digits(2))?;
        behind.blank()?.time_of_day()
    }

    /// `Mon 2026-11-23 03:33:50 CET`: the journal's `short-full`.
    fn full(self) -> Option<Self> {
        let day = self.some(3, 3, |byte| byte.is_ascii_alphabetic())?.blank()?;
        let time = day.date()?.blank()?.time_of_day()?;
        time.blank()?
            .some(1, 6, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b':'))
    }

    /// `1795404830.123456`: the journal's `short-unix`.
    fn unix(self) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit();
        self.some(9, 11, digit)?.literal(b".")?.some(6, 6, digit)
    }

    /// `[  123.456789] `: the journal's `short-monotonic`.
    fn monotonic(self) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit();
        let begin = self.literal(b"[")?;
        let begin = begin.skip(begin.length(|byte| byte == b' '));
        begin.some(1, 12, digit)?.literal(b".")?.some(6, 6, digit)?.literal(b"] ")
    }

    /// `HOST `.
    fn host(self) -> Option<Self> {
        let length = self.length(|byte| byte.is_ascii_alphanumeric() || b".:-_".contains(&byte));
        let host = self.rest().get(..length)?;
        // One that ends with a colon is a tag.
        if host.is_empty() || host.ends_with(b":") {
            return None;
        }
        self.skip(length).blank()
    }

    /// `TAG: ` or `TAG[PID]: `, with all blanks behind it.
    fn tag(self) -> Option<Self> {
        self.name_and_pid()?.literal(b":")?.blanks()
    }

    /// The same without a colon, as rsyslog makes it of RFC 5424.
    fn bare_tag(self) -> Option<Self> {
        self.name_and_pid()?.blanks().filter(|behind| !behind.is_nil())
    }

    /// Whether RFC 5424's sign for nothing comes next: what looks like a line's first value may be a part of a head.
    fn is_nil(self) -> bool {
        self.rest().starts_with(b"- ")
    }

    fn name_and_pid(self) -> Option<Self> {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./@()".contains(&byte);
        let name = self.some(1, 128, is_of_name)?;
        let pid = || {
            let digits = name.literal(b"[")?;
            digits.some(0, 20, |byte| byte.is_ascii_digit() || byte == b'-')?.literal(b"]")
        };
        Some(pid().unwrap_or(name))
    }

    /// `HOST APP PROCID MSGID SD `, as RFC 5424 has it behind its time.
    fn rfc5424(self) -> Option<Self> {
        let is_printed = |byte: u8| (b'!'..=b'~').contains(&byte);
        let mut at = self;
        for most in [255, 48, 128, 32] {
            at = at.some(1, most, is_printed)?.blank()?;
        }
        let behind = at.structured_data()?;
        let message = behind.blanks()?;
        Some(message.literal(BOM).unwrap_or(message))
    }

    /// `-`, or `[id name="value"]` once or more.
    fn structured_data(self) -> Option<Self> {
        if let Some(behind) = self.literal(b"-") {
            return Some(behind);
        }
        let mut at = self;
        while let Some(element) = at.literal(b"[") {
            let mut is_quoted = false;
            let mut is_escaped = false;
            let end = element.rest().iter().position(|&byte| {
                let ends = byte == b']' && !is_quoted;
                is_quoted ^= byte == b'"' && !is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                ends
            });
            at = element.skip(end? + 1);
        }
        (at.at > self.at).then_some(at)
    }

    /// `name-1  | `: compose's.
    fn service(self) -> Option<Self> {
        let name =
            self.some(1, 128, |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))?;
        let behind = name.blanks()?.literal(b"|")?;
        Some(behind.blank().unwrap_or(behind))
    }

    /// `[pod/name/container] `: what `kubectl logs --prefix` puts there.
    fn pod(self) -> Option<Self> {
        let name = self.literal(b"[pod/")?;
        name.some(1, 512, |byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))?
            .literal(b"] ")
    }

    /// `host:port `, as in Apache's `vhost_combined`.
    fn virtual_host(self) -> Option<Self> {
        let host = match self.literal(b"[") {
            Some(address) => address
                .some(2, 45, |byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))?
                .literal(b"]")?,
            None => {
                let name = self
                    .some(1, 253, |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))?;
                let text = self.line.get(self.at..name.at)?;
                let is_ip = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
                (is_ip || is_host_name(text)).then_some(name)?
            }
        };
        host.literal(b":")?.some(1, 5, |byte| byte.is_ascii_digit())?.blank()
    }
}

/// A line as a container's runtime or the journal keeps it: a record of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'l> {
    /// Which of the process's streams it came from: parts of one line come from one.
    pub(super) stream: Stream,
    pub(super) form: Form,
    pub(super) text: Cow<'l, [u8]>,
}

/// A process's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// Whether a record is a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is, or it is the last part of one.
    Whole,
    /// It is a part, and the line goes on.
    Part,
    /// It has no line end: a part in Docker's files, and a line in those of others that look like them.
    Open,
}

/// The record that `line` is, if it is one.
pub(super) fn record(line: &[u8]) -> Option<Record<'_>> {
    match line.first()? {
        b'{' => json(line),
        b'0'..=b'9' => container(line),
        // What is followed as JSON has a mark before each text.
        0x1e => json(&line[1..]),
        _ => None,
    }
}

/// `2026-11-27T19:00:00.123456789Z stdout F line`: what containerd, CRI-O and podman write.
fn container(line: &[u8]) -> Option<Record<'_>> {
    let behind = Cursor { line, at: 0 }.iso8601()?.blank()?;
    let (stream, tags) = match (behind.literal(b"stdout "), behind.literal(b"stderr ")) {
        (Some(tags), _) => (Stream::Out, tags),
        (_, Some(tags)) => (Stream::Err, tags),
        _ => return None,
    };
    let form = match tags.rest().first()? {
        b'F' => Form::Whole,
        b'P' => Form::Part,
        _ => return None,
    };
    // Further tags follow a colon.
    let is_of_tag = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    let tags = tags.skip(1);
    let text = match tags.rest().first() {
        None => tags,
        Some(b':') => tags.skip(tags.length(is_of_tag)).blank()?,
        Some(_) => tags.blank()?,
    };
    Some(Record { stream, form, text: text.rest().into() })
}

#[derive(Deserialize)]
struct Json<'l> {
    #[serde(borrow)]
    log: Option<Cow<'l, str>>,
    stream: Option<Cow<'l, str>>,
    #[serde(rename = "MESSAGE")]
    message: Option<Message>,
}

/// The journal writes what is no text as a list of bytes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
}

/// Docker's `json-file`, or a line of `journalctl -o json`.
fn json(line: &[u8]) -> Option<Record<'_>> {
    let has = |name: &[u8]| memchr::memmem::find(line, name).is_some();
    if !has(b"\"log\"") && !has(b"\"MESSAGE\"") {
        return None;
    }
    let Json { log, stream, message } = serde_json::from_slice(line).ok()?;
    let stream = if stream.as_deref() == Some("stderr") { Stream::Err } else { Stream::Out };
    let (text, form): (Cow<'_, [u8]>, _) = match (log, message) {
        (Some(log), None) => {
            let form = if log.ends_with('\n') { Form::Whole } else { Form::Open };
            let log = match log {
                Cow::Borrowed(log) => Cow::Borrowed(log.as_bytes()),
                Cow::Owned(log) => Cow::Owned(log.into_bytes()),
            };
            (log, form)
        }
        (None, Some(Message::Text(text))) => (text.into_bytes().into(), Form::Whole),
        (None, Some(Message::Bytes(bytes))) => (bytes.into(), Form::Whole),
        _ => return None,
    };
    Some(Record { stream, form, text })
}

/// Where the parts of a line begin that are at the end of `block`, if there are any: whole lines of a file that is
/// read on. So that parts of one line come together.
pub(in crate::report) fn unfinished(block: &[u8]) -> Option<usize> {
    let mut end = block.len();
    let mut begin = None;
    let mut done: Vec<Stream> = Vec::new();
    for _ in 0..MOST_PARTS {
        let text = block[..end].strip_suffix(b"\n")?;
        let from = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
        let line = &text[from..];
        let Some(record) = record(line.strip_suffix(b"\r").unwrap_or(line)) else { return begin };
        match record.form {
            Form::Whole => done.push(record.stream),
            Form::Part | Form::Open if !done.contains(&record.stream) => begin = Some(from),
            Form::Part | Form::Open => {}
        }
        if from == 0 || done.len() > 1 {
            return begin;
        }
        end = from;
    }
    begin
}

/// The number of records before a block's end that are looked at.
const MOST_PARTS: usize = 64;

/// More forms than fit one text.
const MOST: usize = 8;

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The byte order mark of UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests;
