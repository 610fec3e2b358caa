//! The thread that owns one access log's target: takes batches in order, writes them, and says what is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::time::{Duration, Instant};

use crate::access_log::target::LogTarget;
use crate::access_log::writer::Shared;
use crate::access_log::writer::advice::advice;
use crate::access_log::writer::buffer::{Batch, Message, QUEUE};
use crate::access_log::writer::output::{Failure, Output};
use crate::diagnostics::losses::{Losses, Report};
use crate::supervision::Ending;

/// Writes one log, in a thread of its own.
#[derive(Debug)]
pub(crate) struct LogThread {
    target: LogTarget,
    output: Output,
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
        output: Output,
        shared: Arc<Shared>,
        queue: Receiver<Message>,
    ) -> Self {
        let losses = Losses::default();
        let joined = Vec::new();
        Self { target, output, losses, caught_up: None, said: 0, joined, shared, queue }
    }

    /// Writes what comes until it is told to finish, or until all senders are dropped.
    pub(crate) fn run(mut self) -> Ending {
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
        self.say_total();
        Ending::Expected
    }

    /// Waits for a message, but not before it has said that all previous ones are dealt with.
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
        let outcome = self.output.write(&self.joined, lines);
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

    /// Reopens the target. The standard output has nothing to open.
    fn reopen(&mut self) {
        if self.target == LogTarget::Stdout {
            return;
        }
        let name = &self.shared.name;
        match (self.output.reopen(), &self.target) {
            (Ok(()), LogTarget::PerPeer(_)) => tracing::info!(
                log = name,
                "closed the files of the access log {name}; each is opened again with its next line"
            ),
            (Ok(()), _) => tracing::info!(log = name, "reopened the access log {name}"),
            (Err(error), LogTarget::Syslog(_)) => tracing::error!(
                log = name,
                "cannot reach the receiver of the access log {name}: {error}. {}",
                advice(&self.target, &error)
            ),
            (Err(error), _) => tracing::error!(
                log = name,
                "cannot reopen the access log {name}: {error}. Its lines go on to the file that was \
                 open before. {}; then reopen again (USR1)",
                advice(&self.target, &error)
            ),
        }
    }

    fn say_lost(&mut self, failure: &Failure) {
        let target = failure.target.as_ref().unwrap_or(&self.target);
        let name = &self.shared.name;
        let error = &failure.error;
        let lines = match self.losses.lost(failure.lost, Instant::now()) {
            Some(Report::Begun { lines } | Report::Goes { lines }) => lines,
            Some(Report::Over { .. }) | None => return,
        };
        tracing::error!(
            log = name,
            lines,
            "cannot write to the access log {target}: {error}. {} lost, and more will be. {}",
            if lines == 1 { "1 line is".to_owned() } else { format!("{lines} lines are") },
            advice(target, error)
        );
    }

    fn say_over(&mut self) {
        let over = self.losses.none(Instant::now(), self.output.trial());
        let Some(Report::Over { lines }) = over else { return };
        let name = &self.shared.name;
        tracing::info!(
            log = name,
            lines,
            "the access log {name} is written again; {} lost",
            were(lines)
        );
    }

    /// Clears the overrun flag that a worker has set and reports it, at most once per `PAUSE`: where lines
    /// keep coming too fast, each overrun is followed by the next.
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
    /// Reports the total of the losses at the end, where earlier reports do not add up to it.
    fn say_total(&mut self) {
        let lines = self.shared.lost.load(Ordering::Relaxed);
        let failing = self.losses.end().is_some();
        if failing || lines > self.said && self.shared.overrun.load(Ordering::Relaxed) {
            let name = &self.shared.name;
            tracing::error!(
                log = name,
                lines,
                "the access log {name} is closed; {} lost since the start",
                were(lines)
            );
        }
    }
}

/// How many lines were.
fn were(lines: u64) -> String {
    if lines == 1 { "1 line was".to_owned() } else { format!("{lines} lines were") }
}

/// The number of bytes that are written at once, where that many wait.
const JOINED: usize = 256 << 10;

/// The least interval between two reports of an overrun.
const PAUSE: Duration = Duration::from_secs(10);
