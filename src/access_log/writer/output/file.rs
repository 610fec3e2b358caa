//! One file of whole lines, or of whole gzip members.
//!
//! Guarantees: a batch is whole lines and goes out in one write(2) to a file opened with `O_APPEND`,
//! so lines of several writers never mix, and a file that is truncated goes on at its beginning, without
//! a hole. Where a write fails, the lines that did not go out whole are counted as lost, and the torn
//! piece of a line is removed again if the file's end is this thread's own; else a line end closes it
//! before the next line, so that it spoils no other. A torn gzip member would spoil all behind it:
//! until it can be removed nothing is written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::access_log::writer::output::Failure;

/// An open file.
#[derive(Debug)]
pub(super) struct LogFile {
    /// `None` for the standard output.
    path: Option<PathBuf>,
    file: File,
    content: Content,
}

/// What the file holds, and what is wrong with its end.
#[derive(Debug)]
enum Content {
    Lines {
        /// A piece of a line stands at the file's end and could not be removed.
        torn: bool,
    },
    Members {
        level: u32,
        /// A piece of a member stands there and could not be removed.
        torn: Option<Torn>,
        /// Memory for a member.
        member: Vec<u8>,
    },
}

/// A piece of a gzip member.
#[derive(Debug, PartialEq, Eq)]
struct Torn {
    /// Where it begins.
    start: u64,
    /// Where the file ended behind it.
    end: u64,
}

impl LogFile {
    /// Opens the file at `path`, to be appended to; `gzip` is a level.
    pub(super) fn open(path: &Path, gzip: Option<u32>) -> io::Result<Self> {
        let content = match gzip {
            None => Content::Lines { torn: false },
            Some(level) => Content::Members { level, torn: None, member: Vec::new() },
        };
        Ok(Self { path: Some(path.to_owned()), file: open_file(path)?, content })
    }

    /// The standard output.
    pub(super) fn stdout() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { path: None, file, content: Content::Lines { torn: false } })
    }

    /// Reopens the path; the standard output has none. Where that fails, the file that was open
    /// stays so.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = open_file(path)?;
        // A torn piece stays where it was, unless the path still names the same file.
        let length = file.regular_length();
        match &mut self.content {
            Content::Lines { torn } => *torn &= length != Some(0),
            Content::Members { torn, .. } => {
                torn.take_if(|torn| length != Some(torn.end));
            }
        }
        self.file = file;
        Ok(())
    }

    /// Appends a batch of `lines` lines.
    pub(super) fn write(&mut self, batch: &[u8], lines: u64) -> Result<(), Failure> {
        match &mut self.content {
            Content::Lines { torn } => write_batch(&mut self.file, batch, torn),
            Content::Members { level, torn, member } => {
                member.clear();
                compress(batch, *level, member)
                    .and_then(|()| write_member(&mut self.file, member, torn))
                    .map_err(|error| Failure { error, lost: lines, target: None })
            }
        }
    }
}

/// Opens a file for appending. A named pipe without a reader is an error and not a wait.
fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    // The thread may wait for a pipe's slow reader: it has nothing else to do.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Makes `batch` one gzip member.
fn compress(batch: &[u8], level: u32, member: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = GzEncoder::new(member, Compression::new(level));
    encoder.write_all(batch)?;
    encoder.finish().map(drop)
}

/// What a batch is written to; a trait so that tests can let it fail at any byte.
trait Sink: Write {
    /// The length, if this is a regular file.
    fn regular_length(&self) -> Option<u64>;
    /// Cuts the file to `length` bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Sink for File {
    fn regular_length(&self) -> Option<u64> {
        let metadata = self.metadata().ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Writes `batch`, whole lines, to `sink`. Sets `torn` where a piece of a line had to stay at the
/// end, and closes such a piece first where the last batch left one.
fn write_batch(sink: &mut impl Sink, batch: &[u8], torn: &mut bool) -> Result<(), Failure> {
    let failure = |error, lost| Failure { error, lost, target: None };
    // Whoever has truncated the file has removed the piece.
    *torn &= sink.regular_length() != Some(0);
    if *torn {
        write_bytes(sink, b"\n").map_err(|(_, error)| failure(error, lines_in(batch)))?;
        *torn = false;
    }
    let before = sink.regular_length();
    write_bytes(sink, batch).map_err(|(written, error)| {
        let whole = whole_lines(&batch[..written]);
        *torn = whole < written && !remove_torn(sink, before, whole, written);
        failure(error, lines_in(&batch[whole..]))
    })
}

/// Writes a gzip member, all of it or, if it can be removed again, nothing. Sets `torn` where it
/// cannot be, and removes what the last member left before this one.
fn write_member(sink: &mut impl Sink, member: &[u8], torn: &mut Option<Torn>) -> io::Result<()> {
    // Where the file's end is no longer that piece, another has taken the file over.
    if let Some(Torn { start, end }) = *torn
        && sink.regular_length() == Some(end)
    {
        sink.cut(start)?;
    }
    *torn = None;
    let before = sink.regular_length();
    write_bytes(sink, member).map_err(|(written, error)| {
        if written > 0 && !remove_torn(sink, before, 0, written) {
            *torn = before.map(|start| Torn { start, end: start + written as u64 });
        }
        error
    })
}

/// Writes all of `bytes`, in one write(2) unless the system takes fewer. Where it takes no more, how
/// many it has taken and why.
fn write_bytes(sink: &mut impl Sink, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(taken) => written += taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// Cuts the file that was `before` bytes long, and has got `written` more, after `whole` of these.
/// Only if its length is exactly that: else somebody else writes to it or has truncated it, and the
/// cut could take another's line.
fn remove_torn(sink: &mut impl Sink, before: Option<u64>, whole: usize, written: usize) -> bool {
    let Some(before) = before else { return false };
    sink.regular_length() == Some(before + written as u64)
        && sink.cut(before + whole as u64).is_ok()
}

/// How many of `bytes` are whole lines.
fn whole_lines(bytes: &[u8]) -> usize {
    memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1)
}

fn lines_in(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests;
