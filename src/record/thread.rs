//! The thread that owns one access log's file.
//!
//! Guarantees: a batch is whole lines and goes out in one write(2) to a file opened with `O_APPEND`,
//! so lines of several writers never mix. Where a write fails, the lines that did not go out whole
//! are counted as lost, and the torn piece of a line is removed again if the file's end is this
//! thread's own; else a line end closes it before the next line, so that it spoils no other.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::lines::{Batch, Message, QUEUE};
use super::losses::{Losses, Report};
use super::writer::{LogTarget, Shared, advice};

/// One log's writing side.
#[derive(Debug)]
pub(super) struct LogThread {
    target: LogTarget,
    file: File,
    /// A piece of a line stands at the file's end and could not be removed.
    torn: bool,
    losses: Losses,
    /// When an overrun was last said to be over.
    caught_up: Option<Instant>,
    /// The losses to overruns that were spoken of.
    said: u64,
    /// Several small batches, to be written at once.
    joined: Vec<u8>,
    shared: Arc<Shared>,
    queue: Receiver<Message>,
}

impl LogThread {
    pub(super) fn new(
        target: LogTarget,
        file: File,
        shared: Arc<Shared>,
        queue: Receiver<Message>,
    ) -> Self {
        let losses = Losses::default();
        let joined = Vec::new();
        Self { target, file, torn: false, losses, caught_up: None, said: 0, joined, shared, queue }
    }

    /// Writes what comes until it is told to finish, or nobody is left who could say anything.
    pub(super) fn run(mut self) {
        while let Ok(message) = self.next() {
            self.take(message);
            if self.shared.reopen.swap(false, Ordering::SeqCst) {
                self.take_queued();
                self.reopen();
            }
            if self.shared.finish.load(Ordering::SeqCst) {
                self.take_queued();
                break;
            }
        }
        self.say_over();
        self.say_total();
    }

    /// Waits for a message, but not before it has said that all former ones are dealt with.
    fn next(&mut self) -> Result<Message, RecvError> {
        match self.queue.try_recv() {
            Ok(message) => Ok(message),
            Err(TryRecvError::Disconnected) => Err(RecvError),
            Err(TryRecvError::Empty) => {
                self.say_caught_up(Instant::now());
                self.queue.recv()
            }
        }
    }

    /// What was queued when this began, and at most as much again of what comes meanwhile: under load
    /// the queue may never be seen empty.
    fn take_queued(&mut self) {
        for _ in 0..QUEUE {
            match self.queue.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
    }

    /// Writes a batch, and with it what small ones wait behind it: one write(2) for each line would
    /// be slower than lines come.
    fn take(&mut self, message: Message) {
        let Message::Lines(batch) = message else { return };
        let mut lines = batch.lines;
        self.joined.clear();
        self.join(batch);
        while self.joined.len() < JOINED {
            match self.queue.try_recv() {
                Ok(Message::Lines(batch)) => {
                    lines += batch.lines;
                    self.join(batch);
                }
                Ok(Message::Wake) => {}
                Err(_) => break,
            }
        }
        let outcome = write_batch(&mut self.file, &self.joined, &mut self.torn);
        let lost = outcome.as_ref().map_or_else(|failure| failure.lost, |()| 0);
        self.shared.written.fetch_add(lines.saturating_sub(lost), Ordering::Relaxed);
        self.shared.lost.fetch_add(lost, Ordering::Relaxed);
        match outcome {
            Ok(()) => self.say_over(),
            Err(failure) => self.say_lost(&failure),
        }
    }

    fn join(&mut self, batch: Batch) {
        self.shared.queued.fetch_sub(batch.bytes.capacity(), Ordering::Relaxed);
        self.joined.extend_from_slice(&batch.bytes);
        batch.go_home();
    }

    /// Opens the path anew. The standard output has none.
    fn reopen(&mut self) {
        if self.target == LogTarget::Stdout {
            return;
        }
        let name = &self.shared.name;
        match open_target(&self.target) {
            Ok(file) => {
                // A torn piece stays where it was, unless the path still names the same file.
                self.torn &= file.regular_length() != Some(0);
                self.file = file;
                tracing::info!(log = name, "reopened the access log {name}");
            }
            Err(error) => tracing::error!(
                log = name,
                "cannot reopen the access log {name}: {error}. Its lines go on to the file that was \
                 open before. {}; then reopen again (USR1)",
                advice(&self.target, &error)
            ),
        }
    }

    fn say_lost(&mut self, failure: &Failure) {
        let name = &self.shared.name;
        let error = &failure.error;
        let lines = match self.losses.lost(failure.lost, Instant::now()) {
            Some(Report::Begun { lines } | Report::Goes { lines }) => lines,
            Some(Report::Over { .. }) | None => return,
        };
        tracing::error!(
            log = name,
            lines,
            "cannot write to the access log {name}: {error}. {lines} lines are lost, and more will be. {}",
            advice(&self.target, error)
        );
    }

    fn say_over(&mut self) {
        let Some(Report::Over { lines }) = self.losses.none() else { return };
        let name = &self.shared.name;
        tracing::info!(
            log = name,
            lines,
            "the access log {name} is written again; {lines} lines were lost"
        );
    }

    /// Ends an overrun that a worker has spoken of. Not often: where lines keep coming too fast,
    /// each overrun is followed by the next.
    fn say_caught_up(&mut self, now: Instant) {
        let soon = self.caught_up.is_some_and(|then| now.saturating_duration_since(then) < PAUSE);
        if soon || !self.shared.overrun.swap(false, Ordering::Relaxed) {
            return;
        }
        self.caught_up = Some(now);
        let name = &self.shared.name;
        let lines = self.shared.lost.load(Ordering::Relaxed);
        self.said = lines;
        tracing::info!(
            log = name,
            lines,
            "the access log {name} takes its lines again; {lines} were lost since the start"
        );
    }
}

impl LogThread {
    /// The last word on what was lost, where the words before it do not add up to it.
    fn say_total(&self) {
        let name = &self.shared.name;
        let lines = self.shared.lost.load(Ordering::Relaxed);
        if lines > self.said && self.shared.overrun.load(Ordering::Relaxed) {
            tracing::error!(
                log = name,
                lines,
                "the access log {name} is closed; {lines} lines were lost since the start"
            );
        }
    }
}

/// Opens `target` for appending. A named pipe without a reader is an error and not a wait.
pub(super) fn open_target(target: &LogTarget) -> io::Result<File> {
    let LogTarget::File(path) = target else {
        return Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?));
    };
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

/// What a batch is written to; a trait so that tests can let it fail at any byte.
trait Sink: Write {
    /// The length, if this is a regular file.
    fn regular_length(&self) -> Option<u64>;
    /// Cuts it.
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

/// Why the end of a batch is not in the log.
#[derive(Debug)]
struct Failure {
    error: io::Error,
    lost: u64,
}

/// Writes `batch`, whole lines, to `sink`. Sets `torn` where a piece of a line had to stay at the
/// end, and closes such a piece first where the last batch left one.
fn write_batch(sink: &mut impl Sink, batch: &[u8], torn: &mut bool) -> Result<(), Failure> {
    if *torn {
        write_bytes(sink, b"\n").map_err(|(_, error)| Failure { error, lost: lines_in(batch) })?;
        *torn = false;
    }
    let before = sink.regular_length();
    write_bytes(sink, batch).map_err(|(written, error)| {
        let whole = whole_lines(&batch[..written]);
        *torn = whole < written && !remove_torn(sink, before, whole, written);
        Failure { error, lost: lines_in(&batch[whole..]) }
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

/// So many bytes are written at once, where so many wait.
const JOINED: usize = 256 << 10;

/// Between two overruns that are spoken of.
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
