//! Files as blocks of whole lines: plain, gzip and zstd, found out by their first bytes.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::formats::Formats;

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The standard input.
    Stdin,
}

impl Source {
    /// As the report names it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    /// Whether it can be read once more from its beginning: not so a pipe, such as a shell's `<(…)`.
    fn is_again(&self) -> bool {
        match self {
            Self::File(path) => path.metadata().is_ok_and(|it| it.is_file()),
            Self::Stdin => false,
        }
    }

    /// What tells a regular file from all others, whichever name it goes by.
    fn identity(&self) -> Option<(u64, u64)> {
        let Self::File(path) = self else { return None };
        path.metadata().ok().filter(|it| it.is_file()).map(|it| (it.dev(), it.ino()))
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Stdin => Box::new(io::stdin()),
        })
    }
}

/// A source whose format is known.
pub struct Planned {
    /// As the report names it.
    pub name: String,
    /// The number of its format.
    pub format: usize,
    /// The time of its first line.
    begin: Option<i64>,
    source: Source,
    /// What was looked into and cannot be read a second time: the standard input, a pipe.
    opened: Option<Unpacked>,
}

/// Looks into every source, finds out its format, and puts them into the order of their times. A source
/// without a readable line keeps its place behind the others; a file that is named twice is read once.
///
/// # Errors
/// The first source that cannot be read.
pub fn plan(
    sources: &[Source],
    formats: &Formats,
    read: &Arc<AtomicU64>,
) -> io::Result<Vec<Planned>> {
    let mut planned = Vec::new();
    let mut seen = HashSet::new();
    for source in sources {
        if source.identity().is_some_and(|identity| !seen.insert(identity)) {
            continue;
        }
        let name = source.name();
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        let mut unpacked = Unpacked::new(source.open().map_err(failed)?, read).map_err(failed)?;
        unpacked.fill(PEEKED).map_err(failed)?;
        let whole = memchr::memrchr(b'\n', &unpacked.held).unwrap_or(unpacked.held.len());
        let (format, begin) = formats.detect(lines(&unpacked.held[..whole]).take(LINES));
        let opened = (!source.is_again()).then_some(unpacked);
        planned.push(Planned { name, format, begin, source: source.clone(), opened });
    }
    read.store(0, Ordering::Relaxed);
    planned.sort_by_key(|file| (file.begin.is_none(), file.begin));
    Ok(planned)
}

/// How many bytes the sources have, as they are stored; `None` where one of them is no regular file.
pub fn total(sources: &[Source]) -> Option<u64> {
    let size = |source: &Source| match source {
        Source::File(path) => path.metadata().ok().filter(|it| it.is_file()).map(|it| it.len()),
        Source::Stdin => None,
    };
    sources.iter().map(size).sum()
}

/// A log and what logrotate has made of it: `PATH`, `PATH.1`, `PATH.2.gz`, `PATH-20261123` and so on.
pub fn rotated(path: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let entries =
        directory.unwrap_or_else(|| Path::new(".")).read_dir().into_iter().flatten().flatten();
    for entry in entries {
        let other = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.as_deref().and_then(|name| other.strip_prefix(name)) else {
            continue;
        };
        let rest = rest.strip_suffix(".gz").or_else(|| rest.strip_suffix(".zst")).unwrap_or(rest);
        let number = rest.strip_prefix(['.', '-']).unwrap_or(rest);
        if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            found.push(Source::File(entry.path()));
        }
    }
    found.sort_by_key(Source::name);
    found
}

/// Blocks of lines of one source behind the other.
pub struct Feed {
    waiting: VecDeque<Planned>,
    current: Option<(usize, Unpacked)>,
    /// How many sources were begun.
    begun: usize,
    blocks: u64,
    read: Arc<AtomicU64>,
}

/// Which block this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, from 0 without gaps.
    pub block: u64,
    /// The number of its source in the plan.
    pub file: usize,
    /// The number of its format.
    pub format: usize,
}

impl Feed {
    /// The blocks of what was planned. `read` counts the bytes that were read, as they are stored.
    pub fn new(planned: Vec<Planned>, read: Arc<AtomicU64>) -> Self {
        Self { waiting: planned.into(), current: None, begun: 0, blocks: 0, read }
    }

    /// Fills `block` with whole lines; the last one of a source may have no end. A line longer than a
    /// block comes in pieces. `None` at the end of the last source.
    ///
    /// # Errors
    /// What cannot be read or unpacked; the next call goes on with the next source.
    pub fn next(&mut self, block: &mut Vec<u8>) -> Option<Result<Place, (usize, io::Error)>> {
        loop {
            if self.current.is_none() {
                let next = self.waiting.pop_front()?;
                let file = self.begun;
                self.begun += 1;
                let opened = match next.opened {
                    Some(opened) => Ok(opened),
                    None => next.source.open().and_then(|file| Unpacked::new(file, &self.read)),
                };
                match opened {
                    Ok(opened) => self.current = Some((next.format, opened)),
                    Err(error) => return Some(Err((file, error))),
                }
            }
            let (format, unpacked) = self.current.as_mut()?;
            let file = self.begun - 1;
            let filled = unpacked.fill(BLOCK);
            let is_end = !matches!(filled, Ok(true));
            unpacked.take_lines(block, is_end);
            let place = Place { block: self.blocks, file, format: *format };
            if is_end && (block.is_empty() || filled.is_err()) {
                self.current = None;
            }
            if !block.is_empty() {
                self.blocks += 1;
                // What is wrong shows again, and alone, at the next call.
                if let Err(error) = filled {
                    self.current = Some((place.format, Unpacked::failed(error)));
                }
                return Some(Ok(place));
            }
            if let Err(error) = filled {
                return Some(Err((file, error)));
            }
        }
    }
}

/// The lines of a block without their ends; empty ones are left out.
pub fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let mut rest = block;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            rest = end.map_or(&[], |end| &rest[end + 1..]);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                return Some(line);
            }
        }
    })
}

/// A source as it was before it was packed, and the piece of it that was read and not yet handed out.
struct Unpacked {
    reader: Box<dyn Read + Send>,
    held: Vec<u8>,
}

impl Unpacked {
    fn new(reader: Box<dyn Read + Send>, read: &Arc<AtomicU64>) -> io::Result<Self> {
        let mut counted = Counted { reader, read: Arc::clone(read) };
        let mut magic = [0; 4];
        let mut known = 0;
        while known < magic.len() {
            match counted.read(&mut magic[known..]) {
                Ok(0) => break,
                Ok(count) => known += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let begin = magic[..known].to_vec();
        let whole = io::Cursor::new(begin.clone()).chain(counted);
        let reader: Box<dyn Read + Send> = match *begin {
            [0x1f, 0x8b, ..] => {
                Box::new(MultiGzDecoder::new(BufReader::with_capacity(PACKED, whole)))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let packed = BufReader::with_capacity(PACKED, whole);
                Box::new(Zstd { packed, decoder: FrameDecoder::new(), is_within: false })
            }
            _ => Box::new(whole),
        };
        Ok(Self { reader, held: Vec::new() })
    }

    fn failed(error: io::Error) -> Self {
        Self { reader: Box::new(Failed(Some(error))), held: Vec::new() }
    }

    /// Reads until so much is held; `false` at the end.
    fn fill(&mut self, much: usize) -> io::Result<bool> {
        let mut held = self.held.len();
        // Room is given once: making it zero for each read would cost as much as the reading.
        self.held.resize(much.max(held), 0);
        let outcome = loop {
            if held >= much {
                break Ok(true);
            }
            match self.reader.read(&mut self.held[held..]) {
                Ok(0) => break Ok(false),
                Ok(count) => held += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.held.truncate(held);
        outcome
    }

    /// Moves whole lines to `block`, at the end all that is left.
    fn take_lines(&mut self, block: &mut Vec<u8>, is_end: bool) {
        block.clear();
        let end = match memchr::memrchr(b'\n', &self.held) {
            Some(end) if !is_end => end + 1,
            _ => self.held.len(),
        };
        // The caller's memory takes the rest, which is short, and is swapped with ours.
        block.extend_from_slice(&self.held[end..]);
        self.held.truncate(end);
        std::mem::swap(block, &mut self.held);
    }
}

/// Counts what is read.
struct Counted {
    reader: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Fails once.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// zstd frames behind one another; the library's own reader ends after one.
struct Zstd<R> {
    packed: R,
    decoder: FrameDecoder,
    is_within: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Begins the next frame that holds something; `false` at the end.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.packed).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            self.is_within = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.packed, one).map_err(io::Error::other)?;
            }
            match self.decoder.read(buffer)? {
                0 => self.is_within = false,
                count => return Ok(count),
            }
        }
    }
}

/// So much is read at once.
const BLOCK: usize = 4 << 20;
/// So much of it, where it is packed.
const PACKED: usize = 256 << 10;
/// So much of a source, and so many of its lines, are looked at to know its format.
const PEEKED: usize = 256 << 10;
const LINES: usize = 200;

#[cfg(test)]
mod tests;
