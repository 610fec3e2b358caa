//! Reads a file's lines, in whichever of the known formats each is, and however wrapped.
//!
//! The last format that fitted is tried first, and as a rule fits. Where a line of one format could be read by another
//! one too (`main` takes what the gateway writes behind `combined` for a forwarded address), the more exact one comes
//! first whatever was last, so that what a line says does not depend on those before it.

use super::wrapping::{BOM, Form, Head, Record, Stream, heads, record};
use crate::report::read::entry::{Entry, Reader, Unreadable};
use crate::report::read::pattern::Addresses;

/// A format among others.
#[derive(Clone, Debug)]
struct Known {
    reader: Reader,
    /// The same, which takes IP addresses alone for addresses.
    strict: Reader,
    /// Whether other formats must be tried before.
    has_rivals: bool,
    /// How a wrapped line is told from a bare one.
    bare: Bare,
}

impl Known {
    fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }

    fn strict(&mut self) -> &mut Reader {
        &mut self.strict
    }
}

/// What it says of a line that a format fits it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bare {
    /// It is not wrapped.
    Sure,
    /// It may be wrapped all the same, and is if the format fits what stands behind the wrapping.
    Loose,
    /// The same; but a client may have written what looks like a wrapping.
    Forgeable,
}

/// Formats in relation to each other.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Relations {
    known: Vec<Known>,
    /// In which order they are tried where each of them fitted last.
    orders: Vec<Box<[usize]>>,
}

impl Relations {
    /// Finds out how these relate.
    pub(in crate::report) fn of(readers: impl IntoIterator<Item = Reader>) -> Self {
        let known = readers.into_iter().map(|mut reader| {
            let bare = bare(&mut reader);
            let mut strict = reader.clone();
            strict.restrict(Addresses::Ip);
            Known { reader, strict, has_rivals: false, bare }
        });
        let mut this = Self { known: known.collect(), orders: Vec::new() };
        let all = 0..this.known.len();
        let rivals: Vec<Vec<usize>> = all
            .clone()
            .map(|one| all.clone().filter(|&other| this.is_more_exact(other, one)).collect())
            .collect();
        for (known, rivals) in this.known.iter_mut().zip(&rivals) {
            known.has_rivals = !rivals.is_empty();
        }
        let order = arranged(&rivals);
        this.orders = all.map(|first| this.order_from(first, &order)).collect();
        this
    }

    /// Whether the lines of `one` can be read by `other` too, and those of `other` not by `one`.
    fn is_more_exact(&self, one: usize, other: usize) -> bool {
        let reads = |reader: usize, of: usize| {
            let sample = self.known[of].reader.pattern().sample();
            self.known[reader].reader.clone().read(sample).is_ok()
        };
        one != other && reads(other, one) && !reads(one, other)
    }

    /// `first` before all others, unless some are more exact.
    fn order_from(&self, first: usize, order: &[usize]) -> Box<[usize]> {
        let first = (!self.known[first].has_rivals).then_some(first);
        first.into_iter().chain(order.iter().copied().filter(|it| Some(*it) != first)).collect()
    }
}

/// The formats' numbers, each behind those that are more exact.
fn arranged(rivals: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(rivals.len());
    for number in 0..rivals.len() {
        let mut open = vec![number];
        while let Some(&last) = open.last() {
            let missing = rivals[last].iter().find(|it| !order.contains(*it) && !open.contains(it));
            match missing {
                Some(&rival) => open.push(rival),
                None => {
                    open.pop();
                    if !order.contains(&last) {
                        order.push(last);
                    }
                }
            }
        }
    }
    order
}

/// How a wrapped line is told from a bare one of this format, which may have to take IP addresses alone for that.
fn bare(reader: &mut Reader) -> Bare {
    if reader.pattern().begins_with_text() {
        return Bare::Forgeable;
    }
    let fits = |reader: &Reader| {
        let sample = reader.pattern().sample();
        let is_read = |head: &&&[u8]| reader.clone().read(&[head, sample].concat()).is_ok();
        HEADS.iter().any(|head| is_read(&head))
    };
    if fits(reader) {
        reader.restrict(Addresses::NoNames);
    }
    if fits(reader) { Bare::Loose } else { Bare::Sure }
}

/// Reads the lines of one file after another.
#[derive(Clone, Debug)]
pub(in crate::report) struct LineReader {
    relations: Relations,
    /// The format that fitted last.
    current: usize,
    /// What came of a line that is not whole yet, of either stream; and of how many records.
    parts: [(Vec<u8>, u64); 2],
    /// Records that were parts of nothing.
    lost: u64,
}

/// What a line was.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and nearly all are entries")]
pub(in crate::report) enum Line<'l> {
    /// A request, by the format of this number.
    Entry(Entry<'l>),
    /// A part of a line that comes.
    Part,
}

impl LineReader {
    pub(in crate::report) fn new(relations: &Relations) -> Self {
        let relations = relations.clone();
        Self { relations, current: 0, parts: Default::default(), lost: 0 }
    }

    /// The format that fitted last.
    pub(in crate::report) fn current(&self) -> usize {
        self.current
    }

    /// What follows stands in another place of a file whose format is this one, as far as is known.
    pub(in crate::report) fn begin(&mut self, format: usize) {
        self.current = format;
    }

    /// Nothing follows: how many records were parts of lines that did not come.
    pub(in crate::report) fn end(&mut self) -> u64 {
        self.drop_parts(Stream::Out);
        self.drop_parts(Stream::Err);
        std::mem::take(&mut self.lost)
    }

    fn drop_parts(&mut self, stream: Stream) {
        let (text, count) = &mut self.parts[stream as usize];
        text.clear();
        self.lost += std::mem::take(count);
    }

    /// What `line`, without its end, says. `scratch` holds what had to be decoded.
    ///
    /// # Errors
    /// Why it cannot be read.
    #[inline]
    pub(in crate::report) fn read<'l>(
        &mut self,
        line: &'l [u8],
        scratch: &'l mut Vec<u8>,
    ) -> Result<Line<'l>, Unreadable> {
        if let Some(known) = self.relations.known.get_mut(self.current)
            && known.bare == Bare::Sure
            && !known.has_rivals
            && let Ok(entry) = known.reader.read(line)
        {
            return Ok(Line::Entry(entry));
        }
        self.search(line, scratch)
    }

    /// Tries everything, and tells what the file's format misses where nothing fits.
    #[inline(never)]
    fn search<'l>(
        &mut self,
        line: &'l [u8],
        scratch: &'l mut Vec<u8>,
    ) -> Result<Line<'l>, Unreadable> {
        // What was truncated while it was written to begins with NULs; an editor's file with a mark.
        let nuls = line.iter().take_while(|&&byte| byte == 0).count();
        let line = &line[nuls..];
        let line = line.strip_prefix(BOM).unwrap_or(line);
        if let Some(entry) = self.bare(line, |bare| bare == Bare::Sure) {
            return Ok(Line::Entry(entry));
        }
        let found = std::iter::once(0).chain(heads(line).iter().map(|head| head.end));
        let mut found = found.filter_map(|at| record(&line[at..]));
        match found.next() {
            Some(record) => self.record(record, scratch),
            None => self.wrapped(line).map(Line::Entry),
        }
    }

    /// A record that may be a part of a line.
    fn record<'l>(
        &mut self,
        record: Record<'_>,
        scratch: &'l mut Vec<u8>,
    ) -> Result<Line<'l>, Unreadable> {
        let Record { stream, form, text } = record;
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if form == Form::Part || form == Form::Open && self.text(text).is_err() {
            let (held, count) = &mut self.parts[stream as usize];
            if held.len() + text.len() > LONGEST {
                self.drop_parts(stream);
                return Err(Unreadable::Part);
            }
            held.extend_from_slice(text);
            *count += 1;
            return Ok(Line::Part);
        }
        let (mut held, count) = std::mem::take(&mut self.parts[stream as usize]);
        held.extend_from_slice(text);
        if count > 0 && self.text(&held).is_err() {
            // What was held was a part of something else.
            self.lost += count;
            held.drain(..held.len() - text.len());
        }
        *scratch = held;
        self.text(scratch).map(Line::Entry)
    }

    /// A line of text, as it is or wrapped.
    fn text<'l>(&mut self, line: &'l [u8]) -> Result<Entry<'l>, Unreadable> {
        match self.bare(line, |bare| bare == Bare::Sure) {
            Some(entry) => Ok(entry),
            None => self.wrapped(line),
        }
    }

    /// A line of text behind a head or two; or as it is, of a format by which that is not certain.
    fn wrapped<'l>(&mut self, line: &'l [u8]) -> Result<Entry<'l>, Unreadable> {
        let first = heads(line);
        let further = first.iter().flat_map(|head| {
            let more = heads(&line[head.end..]).iter();
            more.map(move |further| Head {
                end: head.end + further.end,
                is_weak: head.is_weak || further.is_weak,
            })
        });
        for Head { end, is_weak } in first.iter().chain(further) {
            let reader = if is_weak { Known::strict } else { Known::reader };
            if let Some(entry) = self.any(&line[end..], |_| true, reader) {
                return match self.bare(line, |bare| bare == Bare::Forgeable) {
                    Some(_) => Err(Unreadable::Ambiguous),
                    None => Ok(entry),
                };
            }
        }
        let current = self.current;
        self.bare(line, |bare| bare != Bare::Sure).ok_or_else(|| self.why(line, current))
    }

    /// A line that is not wrapped, in one of the formats that are asked for.
    fn bare<'l>(&mut self, line: &'l [u8], is_asked: impl Fn(Bare) -> bool) -> Option<Entry<'l>> {
        self.any(line, is_asked, Known::reader)
    }

    fn any<'l>(
        &mut self,
        line: &'l [u8],
        is_asked: impl Fn(Bare) -> bool,
        reader: fn(&mut Known) -> &mut Reader,
    ) -> Option<Entry<'l>> {
        let Relations { known, orders } = &mut self.relations;
        for &number in orders.get(self.current)? {
            let Some(known) = known.get_mut(number).filter(|known| is_asked(known.bare)) else {
                continue;
            };
            if let Ok(entry) = reader(known).read(line) {
                self.current = number;
                return Some(entry);
            }
        }
        None
    }

    /// What this format misses in a line that none can read.
    fn why(&mut self, line: &[u8], format: usize) -> Unreadable {
        let known = self.relations.known.get_mut(format);
        let error = known.and_then(|known| known.reader.read(line).err());
        error.unwrap_or(Unreadable::Ambiguous)
    }
}

/// A line has no more bytes than this, whatever its parts are.
const LONGEST: usize = 1 << 20;

/// One of each sort.
const HEADS: &[&[u8]] = &[
    b"Nov 23 03:33:50 pbx gateway[12]: ",
    b"<190>Nov 23 03:33:50 pbx gateway: ",
    b"2026-11-23T03:33:50+01:00 pbx gateway: ",
    b"2026-11-23T03:33:50Z pbx gateway - - - ",
    b"<190>1 2026-11-23T03:33:50Z pbx gateway - - - ",
    b"2026-11-23T03:33:50 pbx gateway ",
    b"2026-11-23T03:33:50.123456789Z ",
    b"2026-11-23T03:33:50.123456789Z stdout F ",
    b"Mon 2026-11-23 03:33:50 CET pbx gateway[12]: ",
    b"1795404830.123456 pbx gateway[12]: ",
    b"[   12.123456] pbx gateway[12]: ",
    b"[pod/pbx/gateway] ",
    b"gateway-1  | ",
    b"pbx.example:80 ",
];

#[cfg(test)]
mod tests;
