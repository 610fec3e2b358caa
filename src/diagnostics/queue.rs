//! The way out for diagnostics: a bounded queue, and behind it the one thread that writes.
//!
//! A sender never waits and never fails: where the queue is full, because standard
//! error does not take what is written, the line is lost and counted, and the thread says so when it
//! can write again.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;

use super::journal::Journal;
use super::line::{Form, Line, pieces};
use super::thread::{Target, WriterThread};
use crate::supervision::Supervisor;

/// The sending end of the queue; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct DiagnosticsQueue {
    form: Form,
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

/// The receiving end, for the thread that writes.
#[derive(Debug)]
pub(crate) struct QueueReader(Receiver<Message>);

/// What the writing thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A line to write.
    Line(Box<Line>),
    /// Reply when everything before this is written.
    Flush(SyncSender<()>),
}

/// State that both ends share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Memory of the lines that wait.
    pub(super) queued: AtomicUsize,
    /// Lines that found no room, and that the thread has not yet counted.
    pub(super) overrun: AtomicU64,
    /// Lines that were lost since the start, those included that could not be written.
    pub(super) lost: AtomicU64,
}

impl Shared {
    fn lose_one(&self) {
        self.overrun.fetch_add(1, Ordering::Relaxed);
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many diagnostics were lost; for whoever counts.
#[derive(Clone, Debug)]
pub(crate) struct LostDiagnostics(Arc<Shared>);

impl LostDiagnostics {
    /// Since the start.
    pub(crate) fn count(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl DiagnosticsQueue {
    /// How many are lost.
    pub(crate) fn lost(&self) -> LostDiagnostics {
        LostDiagnostics(Arc::clone(&self.shared))
    }

    /// A queue, and the end of it that [`Self::start`] takes: what is said before is not lost.
    pub(crate) fn new(form: Form) -> (Self, QueueReader) {
        let (near, queue) = Self::with_room(form, LINES);
        (near, QueueReader(queue))
    }

    /// Starts the thread that writes to standard error, or first to the journal's socket where the form
    /// says so.
    ///
    /// # Errors
    /// Standard error is closed, or the thread cannot be started.
    pub(crate) fn start(
        &self,
        QueueReader(queue): QueueReader,
        supervisor: &Supervisor,
    ) -> io::Result<()> {
        let stderr = standard_error()?;
        let form = self.form;
        let journal = (form == Form::Journal).then(Journal::of_this_host);
        let shared = Arc::clone(&self.shared);
        supervisor.spawn(THREAD, move || {
            let target = Target::new(Box::new(stderr), journal);
            WriterThread::new(form, target, shared, queue).run()
        })?;
        Ok(())
    }

    pub(super) fn with_room(form: Form, lines: usize) -> (Self, Receiver<Message>) {
        let (queue, receiver) = sync_channel(lines);
        (Self { form, queue, shared: Arc::default() }, receiver)
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What diagnostics look like.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Takes a line, or counts it as lost.
    pub(super) fn push(&self, line: Line) {
        if self.try_push(line).is_err() {
            self.shared.lose_one();
        }
    }

    /// Takes a line unless there is no room; one alone always has.
    fn try_push(&self, line: Line) -> Result<(), (Line, Refused)> {
        let weight = line.weight();
        let before = self.shared.queued.fetch_add(weight, Ordering::Relaxed);
        let refused = if before > 0 && before.saturating_add(weight) > BYTES {
            (line, Refused::Full)
        } else {
            match self.queue.try_send(Message::Line(Box::new(line))) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(Message::Line(line))) => (*line, Refused::Full),
                Err(TrySendError::Disconnected(Message::Line(line))) => (*line, Refused::Gone),
                // What comes back is what was sent.
                Err(_) => return Ok(()),
            }
        };
        self.shared.queued.fetch_sub(weight, Ordering::Relaxed);
        Err(refused)
    }

    /// Prints something to whoever started the program, of any length. Blocks for up to 1 s at a time
    /// for room; never to be called while serving.
    pub(crate) fn tell(&self, text: &str) {
        for piece in pieces(text) {
            if !self.insist(Line::plain(self.form, piece), Instant::now() + WRITE_TIMEOUT) {
                return;
            }
        }
    }

    /// Prints the last message of a process that ends because of a fault, also if the writing thread is
    /// what failed. Waits for a second at the most, and only if it must.
    pub(crate) fn fatal(&self, text: &str) {
        let line = Line::notice(self.form, Level::ERROR, text);
        let deadline = Instant::now() + WRITE_TIMEOUT;
        if thread::current().name() == Some(THREAD) {
            write_beside(line, deadline);
        } else {
            self.insist(line, deadline);
        }
    }

    /// Puts the line in until `deadline`. Says whether it is in, or written.
    fn insist(&self, mut line: Line, deadline: Instant) -> bool {
        loop {
            match self.try_push(line) {
                Ok(()) => return true,
                Err((line, Refused::Gone)) => {
                    write_beside(line, deadline);
                    return true;
                }
                Err((back, Refused::Full)) => line = back,
            }
            if Instant::now() >= deadline {
                self.shared.lose_one();
                return false;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until what was said by now is written, but no longer than a second.
    pub(crate) fn flush(&self) {
        let deadline = Instant::now() + WRITE_TIMEOUT;
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        loop {
            match self.queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => message = back,
            }
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(PAUSE);
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// Why a line was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Full,
    /// The thread has ended.
    Gone,
}

/// Writes a line to standard error where the thread whose work it is cannot: in another one, since it
/// may block.
fn write_beside(line: Line, deadline: Instant) {
    let (done, written) = sync_channel(1);
    let write = move || {
        if let Ok(stderr) = standard_error() {
            // This failure cannot be reported anywhere.
            let _ = Target::new(Box::new(stderr), None).write(&line);
        }
        let _ = done.send(());
    };
    if thread::Builder::new().name("last-words".to_owned()).spawn(write).is_ok() {
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// A descriptor of its own, so that who blocks in it holds no lock that others need.
fn standard_error() -> io::Result<File> {
    Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?))
}

/// The formatting layer hands each event over in one write.
impl<'a> MakeWriter<'a> for DiagnosticsQueue {
    type Writer = OneLine<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(self)
    }
}

/// Takes one formatted event; never fails.
#[derive(Debug)]
pub(crate) struct OneLine<'a>(&'a DiagnosticsQueue);

impl io::Write for OneLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(Line::formatted(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes events entries of the journal.
#[derive(Debug)]
pub(crate) struct JournalLayer(pub DiagnosticsQueue);

impl<S: Subscriber> Layer<S> for JournalLayer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        self.0.push(Line::of_event(event));
    }
}

/// The thread's name.
const THREAD: &str = "diagnostics";

/// How many lines may wait, and how much memory they may hold: what a standard error that blocks costs.
const LINES: usize = 4096;
const BYTES: usize = 4 << 20;

/// How long the end of the process waits for a standard error that blocks.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The interval at which room is checked for again.
const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_lines_and_no_more_bytes_wait_than_may_and_what_is_lost_is_counted() {
        let lost = |near: &DiagnosticsQueue| {
            let overrun = near.shared.overrun.load(Ordering::Relaxed);
            assert_eq!(near.lost().count(), overrun);
            overrun
        };
        let (near, queue) = DiagnosticsQueue::with_room(Form::Text, 3);
        (0..5).for_each(|_| near.push(Line::formatted(b"x\n")));
        assert_eq!((lost(&near), queue.try_iter().count()), (2, 3));

        let (near, queue) = DiagnosticsQueue::with_room(Form::Text, LINES);
        let large = vec![b'x'; 30 << 10];
        (0..LINES).for_each(|_| near.push(Line::formatted(&large)));
        let waiting = queue.try_iter().count();
        assert!((100..=BYTES / large.len()).contains(&waiting), "{waiting}");
        assert_eq!(lost(&near), (LINES - waiting) as u64);
        assert!(near.shared.queued.load(Ordering::Relaxed) <= BYTES);
    }

    #[test]
    fn who_insists_is_let_go_in_time_though_nothing_is_ever_written() {
        let (near, queue) = DiagnosticsQueue::with_room(Form::Text, 1);
        near.push(Line::formatted(b"x\n"));
        near.tell("somebody should know");
        near.fatal("this is the end");
        near.flush();
        assert_eq!(queue.try_iter().count(), 1);
    }
}
