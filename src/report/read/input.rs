//! Files as blocks of whole lines: plain, gzip and zstd, found out by their first bytes.

mod block;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use block::Block;

use super::formats::Formats;
use crate::access_log::PeerPath;
use crate::report::read::unpack::{Trouble, unpack};
use crate::report::read::wrapping;

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file, by its path.
    File(PathBuf),
    /// The standard input.
    Stdin,
}

impl Source {
    /// As the report names it.
    pub(crate) fn name(&self) -> String {
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
        path.metadata().ok().filter(std::fs::Metadata::is_file).map(|it| (it.dev(), it.ino()))
    }

    /// Whether its name is that of a packed file.
    fn is_named_packed(&self) -> bool {
        let Self::File(path) = self else { return false };
        path.extension().is_some_and(|extension| extension == "gz" || extension == "zst")
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Stdin => Box::new(io::stdin()),
        })
    }
}

/// A source whose format is known.
pub(crate) struct Planned {
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

/// What can be read, and what cannot.
#[derive(Default)]
pub(crate) struct Plan {
    /// In the order of their times.
    pub files: Vec<Planned>,
    /// Why the others are not among them, each a sentence; first those that could not be opened or read.
    pub failed: Vec<String>,
    /// Those that are packed in a way that is not read here, with what to do.
    pub foreign: Vec<String>,
}

/// Looks into every source, finds out its format, and puts them into the order of their times. A source
/// without a readable line keeps its place behind the others; a file that is named twice is read once.
pub(crate) fn plan(sources: &[Source], formats: &Formats, read: &Arc<AtomicU64>) -> Plan {
    let mut plan = Plan::default();
    let mut seen = HashSet::new();
    for source in sources {
        if source.identity().is_some_and(|identity| !seen.insert(identity)) {
            continue;
        }
        let name = source.name();
        match look_into(source, formats, read) {
            Ok(planned) => plan.files.push(planned),
            Err(error) => match Trouble::of(&error) {
                Some(trouble) => plan.foreign.push(trouble.sentence(&name)),
                None => plan.failed.push(format!("{name}: {error}")),
            },
        }
    }
    read.store(0, Ordering::Relaxed);
    plan.files.sort_by_key(|file| (file.begin.is_none(), file.begin));
    plan
}

fn look_into(source: &Source, formats: &Formats, read: &Arc<AtomicU64>) -> io::Result<Planned> {
    let mut unpacked = Unpacked::open(source, read)?;
    let (mut format, mut begin) = (0, None);
    // As a rule a little of it says its format; if not, more does.
    for much in [PEEKED, BLOCK] {
        let filled = unpacked.fill(much);
        let whole = memchr::memrchr(b'\n', &unpacked.held).unwrap_or(unpacked.held.len());
        (format, begin) = formats.detect(lines(&unpacked.held[..whole]));
        if let Err(error) = filled {
            unpacked = Unpacked { reader: Box::new(Failed(Some(error))), ..unpacked };
            break;
        }
        if begin.is_some() {
            break;
        }
    }
    let opened = (!source.is_again()).then_some(unpacked);
    Ok(Planned { name: source.name(), format, begin, source: source.clone(), opened })
}

/// How many bytes the sources have, as they are stored; `None` where one of them is no regular file.
pub(crate) fn total(sources: &[Source]) -> Option<u64> {
    let size = |source: &Source| match source {
        Source::File(path) => {
            path.metadata().ok().filter(std::fs::Metadata::is_file).map(|it| it.len())
        }
        Source::Stdin => None,
    };
    sources.iter().map(size).sum()
}

/// A log and what logrotate has made of it: `PATH`, `PATH.1`, `PATH.2.gz`, `PATH-20261123` and so on; with its
/// `extension`, of `access.log` also `access.1.log`, `access-20261123.log.gz`.
pub(crate) fn rotated(path: &Path) -> Vec<Source> {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else { return Vec::new() };
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let mut found = Vec::new();
    for (other, path) in entries(directory.unwrap_or_else(|| Path::new("."))) {
        if is_rotated(&name, &other) {
            found.push(Source::File(path));
        }
    }
    found.sort_by_key(Source::name);
    found
}

/// The logs of which each is a peer's, and nobody's.
pub(crate) fn of_peers(path: &PeerPath) -> Vec<PathBuf> {
    let prefix = path.prefix().to_string_lossy().into_owned();
    let mut found = BTreeSet::new();
    for (name, entry) in entries(&path.directory()) {
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        let entry = plain(&entry);
        // The name of an entry says where the peer's may end, and the whole path which end is right.
        let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
        for peer in ends.map(|end| &rest[..end]) {
            let log = plain(&path.of(peer));
            let is_of_it = if entry.is_dir() {
                log.starts_with(&entry) && log.is_file()
            } else {
                let log_name = log.file_name().map(|name| name.to_string_lossy());
                let end = log_name.as_deref().and_then(|log| name.strip_prefix(log));
                log.parent() == entry.parent() && end.is_some_and(is_of_rotation)
            };
            if is_of_it {
                found.insert(log);
            }
        }
    }
    found.into_iter().collect()
}

/// A path without `.`, so that two can be compared.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, Component::CurDir)).collect()
}

/// The names and paths of what is in a directory.
fn entries(directory: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
}

/// Whether a file is this log, or what logrotate has made of it.
fn is_rotated(log: &str, other: &str) -> bool {
    if other.strip_prefix(log).is_some_and(is_of_rotation) {
        return true;
    }
    let Some((before, extension)) = log.rsplit_once('.') else { return false };
    let Some(end) = other.strip_prefix(before).filter(|_| !before.is_empty()) else { return false };
    let end = without_packed_name(end).strip_suffix(extension);
    end.and_then(|end| end.strip_suffix('.')).is_some_and(is_stamp)
}

/// Whether logrotate puts this behind a log's name; nothing is the log itself.
fn is_of_rotation(end: &str) -> bool {
    let end = without_packed_name(end);
    end.is_empty() || is_stamp(end)
}

fn without_packed_name(name: &str) -> &str {
    PACKED_NAMES.iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(name)
}

/// `.1`, `-20261123`, and what else of a date its `dateformat` makes: digits, and what stands between them.
fn is_stamp(text: &str) -> bool {
    let Some(stamp) = text.strip_prefix(['.', '-', '_']) else { return false };
    let is_of_date = |byte: u8| byte.is_ascii_digit() || b"-_.:T".contains(&byte);
    stamp.starts_with(|c: char| c.is_ascii_digit()) && stamp.bytes().all(is_of_date)
}

/// Where the parts of a line begin that are at the end of `block`, if there are any: whole lines of a file that is
/// read on.
pub(crate) fn unfinished(block: &[u8]) -> Option<usize> {
    wrapping::unfinished(block)
}

/// Blocks of lines of one source behind the other.
pub(crate) struct Feed {
    waiting: VecDeque<Planned>,
    current: Option<Current>,
    /// How many sources were begun.
    begun: usize,
    blocks: u64,
    read: Arc<AtomicU64>,
}

/// The source that is read.
struct Current {
    name: String,
    format: usize,
    unpacked: Unpacked,
}

/// What comes behind what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fullness {
    /// There is more to read.
    More,
    /// The file ends here.
    Whole,
    /// The rest cannot be read.
    Torn,
}

/// Which block this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its number, from 0 without gaps.
    pub block: u64,
    /// The number of its source in the plan.
    pub file: usize,
    /// The number of its format.
    pub format: usize,
}

impl Feed {
    /// The blocks of what was planned. `read` counts the bytes that were read, as they are stored.
    pub(crate) fn new(planned: Vec<Planned>, read: Arc<AtomicU64>) -> Self {
        Self { waiting: planned.into(), current: None, begun: 0, blocks: 0, read }
    }

    /// Fills `block` with whole lines; the last one of a source may have no end. A line longer than a
    /// block comes in pieces. `None` at the end of the last source.
    ///
    /// # Errors
    /// What cannot be read or unpacked, as a sentence; the next call goes on with the next source.
    pub(crate) fn next(&mut self, block: &mut Block) -> Option<Result<Place, (usize, String)>> {
        loop {
            if self.current.is_none() {
                let next = self.waiting.pop_front()?;
                let file = self.begun;
                self.begun += 1;
                let opened = match next.opened {
                    Some(opened) => Ok(opened),
                    None => Unpacked::open(&next.source, &self.read),
                };
                match opened {
                    Ok(unpacked) => {
                        self.current =
                            Some(Current { name: next.name, format: next.format, unpacked });
                    }
                    Err(error) => return Some(Err((file, sentence(&next.name, &error)))),
                }
            }
            let current = self.current.as_mut()?;
            let file = self.begun - 1;
            let filled = current.unpacked.fill(BLOCK);
            let end = match &filled {
                Ok(true) => Fullness::More,
                Err(error) if is_torn(error) => Fullness::Torn,
                _ => Fullness::Whole,
            };
            current.unpacked.take_lines(block, end);
            let place = Place { block: self.blocks, file, format: current.format };
            if let Err(error) = filled {
                let sentence = sentence(&current.name, &error);
                if block.is_empty() {
                    self.current = None;
                    return Some(Err((file, sentence)));
                }
                // What is wrong shows again, and alone, at the next call.
                current.unpacked.reader = Box::new(Failed(Some(error)));
            } else if end == Fullness::Whole {
                self.current = None;
            }
            if !block.is_empty() {
                self.blocks += 1;
                return Some(Ok(place));
            }
        }
    }
}

/// What is said of a source that cannot be read, or not to its end.
fn sentence(name: &str, error: &io::Error) -> String {
    match Trouble::of(error) {
        Some(trouble) => trouble.sentence(name),
        None => format!(
            "{name} could not be read to its end: {error}. What came before is counted, a line that is torn is not."
        ),
    }
}

/// Whether the last line may have gone on.
fn is_torn(error: &io::Error) -> bool {
    Trouble::of(error).is_none_or(Trouble::is_torn)
}

/// The lines of a block without their ends; empty ones are left out.
pub(crate) fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
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
    held: Block,
    /// Whether nothing but NULs has come.
    is_at_start: bool,
}

impl Unpacked {
    fn open(source: &Source, read: &Arc<AtomicU64>) -> io::Result<Self> {
        let counted = Counted { reader: source.open()?, read: Arc::clone(read) };
        let reader = unpack(Box::new(counted), source.is_named_packed())?;
        Ok(Self { reader, held: Block::default(), is_at_start: true })
    }

    /// Reads until as much is held; `false` at the end. What was truncated while it was written to begins with a
    /// hole, which reads as NULs, gigabytes perhaps: they are left out.
    fn fill(&mut self, much: usize) -> io::Result<bool> {
        loop {
            let filled = self.held.fill(much, &mut self.reader);
            if !self.is_at_start || self.held.is_empty() {
                return filled;
            }
            let nuls = self.held.iter().take_while(|&&byte| byte == 0).count();
            if nuls == self.held.len() {
                // Where nothing else comes, one of them is the line that says so.
                self.held.truncate(1);
                if !matches!(filled, Ok(true)) {
                    return filled;
                }
                continue;
            }
            self.is_at_start = false;
            self.held.drop_first(nuls);
            if nuls == 0 || !matches!(filled, Ok(true)) {
                return filled;
            }
        }
    }

    /// Moves whole lines to `block`, at the end all that is left; but not the parts of a line of which others come,
    /// and no torn line.
    fn take_lines(&mut self, block: &mut Block, fullness: Fullness) {
        block.clear();
        let last = memchr::memrchr(b'\n', &self.held).map(|end| end + 1);
        let end = match (fullness, last) {
            (Fullness::More, Some(end)) => {
                unfinished(&self.held[..end]).filter(|begin| *begin > 0).unwrap_or(end)
            }
            (Fullness::Torn, end) => {
                self.held.truncate(end.unwrap_or(0));
                self.held.len()
            }
            _ => self.held.len(),
        };
        // The caller's memory takes the rest, which is short, and is swapped with ours.
        block.extend(&self.held[end..]);
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

/// What logrotate and its like put behind the name of what they have packed.
const PACKED_NAMES: [&str; 8] = [".gz", ".zst", ".xz", ".bz2", ".lzma", ".lz4", ".lzo", ".Z"];
/// The number of bytes that are read at once.
const BLOCK: usize = 4 << 20;
/// The number of bytes of a source that are looked at to know its format, as a rule.
const PEEKED: usize = 256 << 10;

#[cfg(test)]
mod tests;
