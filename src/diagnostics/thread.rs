//! The thread that writes diagnostics: it alone meets a standard error that is full, gone or stuck.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tracing::Level;

use super::journal::Journal;
use super::line::{Form, Line};
use super::queue::{Message, Shared};
use crate::diagnostics::losses::{Losses, Report};
use crate::supervision::Ending;

/// The far end of the queue.
pub(super) struct WriterThread {
    form: Form,
    target: Target,
    losses: Losses,
    shared: Arc<Shared>,
    queue: Receiver<Message>,
}

impl WriterThread {
    pub(super) fn new(
        form: Form,
        target: Target,
        shared: Arc<Shared>,
        queue: Receiver<Message>,
    ) -> Self {
        Self { form, target, losses: Losses::default(), shared, queue }
    }

    /// Writes what comes until all senders are dropped.
    pub(super) fn run(mut self) -> Ending {
        while let Ok(message) = self.next() {
            match message {
                Message::Line(line) => self.take(&line),
                Message::Flush(done) => {
                    self.say_over();
                    // The sender no longer waits for the reply.
                    let _ = done.send(());
                }
            }
        }
        Ending::Expected
    }

    /// Waits for a message, but not before it has said that all previous ones are dealt with.
    fn next(&mut self) -> Result<Message, RecvError> {
        match self.queue.try_recv() {
            Ok(message) => Ok(message),
            Err(TryRecvError::Disconnected) => Err(RecvError),
            Err(TryRecvError::Empty) => {
                self.say_over();
                self.queue.recv()
            }
        }
    }

    fn take(&mut self, line: &Line) {
        self.shared.queued.fetch_sub(line.weight(), Ordering::Relaxed);
        match self.target.write(line) {
            Ok(()) => self.say_overrun(),
            // This cannot be reported until something can be written again.
            Err(_) => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
                let _ = self.losses.lost(1, Instant::now());
            }
        }
    }

    /// Says that more comes than can be written, where it does.
    fn say_overrun(&mut self) {
        let overrun = self.shared.overrun.swap(0, Ordering::Relaxed);
        if overrun == 0 {
            return;
        }
        if let Some(Report::Begun { lines } | Report::Goes { lines }) =
            self.losses.lost(overrun, Instant::now())
        {
            let text = format!(
                "{} lost here: they came faster than they were taken; more may be",
                diagnostics(lines)
            );
            // Losses that are not reported now are part of the final sum.
            let _ = self.target.write(&Line::notice(self.form, Level::WARN, &text));
        }
    }

    /// Everything was written, or lost: says how many were, if that can be said.
    fn say_over(&mut self) {
        let now = Instant::now();
        let overrun = self.shared.overrun.swap(0, Ordering::Relaxed);
        if overrun > 0 {
            let _ = self.losses.lost(overrun, now);
        }
        let failing = self.target.is_failing();
        let Some(Report::Over { lines }) =
            (!failing).then(|| self.losses.none(now, Duration::ZERO)).flatten()
        else {
            return;
        };
        let text = format!("diagnostics are written again; {} lost", diagnostics(lines));
        if self.target.write(&Line::notice(self.form, Level::WARN, &text)).is_err() {
            let _ = self.losses.lost(lines, now);
        }
    }
}

/// How many were.
fn diagnostics(lines: u64) -> String {
    if lines == 1 { "1 diagnostic was".to_owned() } else { format!("{lines} diagnostics were") }
}

/// Where diagnostics go.
pub(super) struct Target {
    stderr: Box<dyn Stream>,
    journal: Option<Journal>,
    /// A piece of a line stands at the end.
    torn: bool,
    failing: bool,
}

/// What lines are written to; a trait so that tests can let it fail.
pub(super) trait Stream: Write + Send {
    /// Waits until it takes something, where it says that it would block.
    fn wait(&self) -> io::Result<()>;
}

impl<T: Write + AsFd + Send> Stream for T {
    fn wait(&self) -> io::Result<()> {
        let mut polled = [PollFd::new(self, PollFlags::OUT)];
        poll(&mut polled, None)?;
        Ok(())
    }
}

impl Target {
    pub(super) fn new(stderr: Box<dyn Stream>, journal: Option<Journal>) -> Self {
        Self { stderr, journal, torn: false, failing: false }
    }

    /// Writes a line, as an entry of the journal or, where it does not take that, to standard error.
    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
        let sent = match (&mut self.journal, &line.entry) {
            (Some(journal), Some(entry)) => journal.send(entry),
            _ => false,
        };
        let written = if sent { Ok(()) } else { self.write_text(&line.text) };
        self.failing = written.is_err();
        written
    }

    /// Whether the last line could not be written.
    fn is_failing(&self) -> bool {
        self.failing
    }

    fn write_text(&mut self, text: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write_bytes(b"\n").map_err(|(_, error)| error)?;
            self.torn = false;
        }
        self.write_bytes(text).map_err(|(written, error)| {
            self.torn = written > 0;
            error
        })
    }

    /// Writes all of `bytes`, or says how many were and why no more.
    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.stderr.write(&bytes[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(taken) => written += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares it has made it so. This thread may wait.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.stderr.wait()
                {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err((written, error)),
                },
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
