//! Access logs as the program sees them: opened at start, fed by every worker, reopened, finished.
//!
//! Each log has one thread that owns its target (see `thread.rs`); each worker has one
//! [`LineBuffer`] per log. Between them is a bounded queue of whole lines. A worker never waits for
//! it: where the queue is full or the disk is, lines are lost, counted and reported, and requests
//! go on.

pub(crate) mod advice;
pub(crate) mod buffer;
pub(crate) mod framing;
pub(crate) mod output;
pub(crate) mod thread;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::access_log::settings::LogSettings;
use crate::access_log::target::LogTarget;
use crate::access_log::writer::advice::advice;
use crate::access_log::writer::buffer::{LineBuffer, Message, QUEUE};
use crate::access_log::writer::output::Output;
use crate::access_log::writer::thread::LogThread;
use crate::supervision::Supervisor;

/// Every access log of the configuration, open. Dropping it instead of [`finish`](Self::finish)ing
/// it lets the threads end by themselves, after the last [`LineBuffer`] is gone.
#[derive(Debug, Default)]
pub struct AccessLogs {
    logs: Vec<Log>,
    /// The threads of logs that were removed, until their last line is written.
    leaving: Vec<Leaving>,
    /// The counters of logs that were removed, as long as somebody still counts by them.
    removed: Vec<LogCounters>,
    /// What the others of those have come to, by name.
    past: BTreeMap<String, LogTotals>,
    /// How many were ever opened: their threads have numbers.
    opened: usize,
}

/// The access logs of another configuration, before any line goes there. Dropping it closes what was opened for it.
#[derive(Debug)]
pub struct NextLogs(Vec<Next>);

/// One of them.
#[derive(Debug)]
enum Next {
    /// The one at this index goes on, perhaps with other settings.
    Kept(usize, LogSettings),
    Opened(Log),
}

/// Where one log of a worker's comes from when its access logs change.
#[expect(clippy::large_enum_variant, reason = "there are a few, for a moment")]
#[derive(Debug)]
pub enum LogPlan {
    /// The worker has it already, at this index.
    Kept(usize),
    /// Its lines go here from now on.
    Fresh(LineBuffer),
}

/// What is left of a log that was removed: its thread ends when the last worker has nothing more for it.
#[derive(Debug)]
struct Leaving {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    ended: Mutex<Receiver<()>>,
}

#[derive(Debug)]
struct Log {
    settings: LogSettings,
    shared: Arc<Shared>,
    queue: SyncSender<Message>,
    thread: JoinHandle<()>,
    /// Disconnects when the thread ends. Behind a mutex only so that `AccessLogs` is `Sync`.
    ended: Mutex<Receiver<()>>,
}

impl AccessLogs {
    /// Opens every log of `settings` and starts its thread, `access-log-0` and so on.
    ///
    /// # Errors
    /// The first target that cannot be opened, or whose thread cannot be started.
    pub fn open(settings: &[LogSettings], supervisor: &Supervisor) -> Result<Self, OpenError> {
        let mut logs = Self::default();
        for settings in settings {
            let log = logs.open_next(settings, supervisor)?;
            logs.logs.push(log);
        }
        Ok(logs)
    }

    fn open_next(
        &mut self,
        settings: &LogSettings,
        supervisor: &Supervisor,
    ) -> Result<Log, OpenError> {
        let log = Log::open(settings, supervisor, &format!("access-log-{}", self.opened))?;
        self.opened += 1;
        Ok(log)
    }

    /// Opens what `settings` have more than there is. A log whose target stays keeps its thread and what is queued.
    ///
    /// # Errors
    /// Which of them could not be opened, and why; what was opened for it is closed again.
    pub fn prepare(
        &mut self,
        settings: &[LogSettings],
        supervisor: &Supervisor,
    ) -> Result<NextLogs, (usize, OpenError)> {
        let mut next = Vec::new();
        for (number, settings) in settings.iter().enumerate() {
            let same = |log: &Log| {
                log.settings.target == settings.target && log.settings.gzip == settings.gzip
            };
            next.push(match self.logs.iter().position(same) {
                Some(index) => Next::Kept(index, settings.clone()),
                None => {
                    let opened = self.open_next(settings, supervisor);
                    Next::Opened(opened.map_err(|error| (number, error))?)
                }
            });
        }
        Ok(NextLogs(next))
    }

    /// What one worker has to do for `next`.
    pub fn plan(&self, next: &NextLogs) -> Vec<LogPlan> {
        let plan = |next: &Next| match next {
            Next::Kept(index, settings) => {
                let log = self.logs.get(*index)?;
                Some(if log.settings == *settings {
                    LogPlan::Kept(*index)
                } else {
                    LogPlan::Fresh(log.buffer(settings))
                })
            }
            Next::Opened(log) => Some(LogPlan::Fresh(log.buffer(&log.settings))),
        };
        next.0.iter().filter_map(plan).collect()
    }

    /// These are the logs from now on. The threads of those that are none any more end when the workers have handed
    /// over their last lines.
    pub fn replace(&mut self, next: NextLogs) {
        self.leaving.retain(|leaving| !leaving.thread.is_finished());
        let mut former: Vec<Option<Log>> = self.logs.drain(..).map(Some).collect();
        for next in next.0 {
            match next {
                Next::Opened(log) => self.logs.push(log),
                Next::Kept(index, settings) => {
                    if let Some(log) = former.get_mut(index).and_then(Option::take) {
                        self.logs.push(Log { settings, ..log });
                    }
                }
            }
        }
        let removed = former.iter().flatten().map(|log| LogCounters(Arc::clone(&log.shared)));
        self.removed.extend(removed);
        for ended in self.removed.extract_if(.., |log| Arc::strong_count(&log.0) == 1) {
            ended.add_to(&mut self.past);
        }
        // Without their queues' ends here, only workers' are left.
        self.leaving.extend(former.into_iter().flatten().map(Log::leave));
    }

    /// One buffer per log, in the settings' order: one worker's.
    pub fn buffers(&self) -> Vec<LineBuffer> {
        self.logs.iter().map(|log| log.buffer(&log.settings)).collect()
    }

    /// Makes every log reopen its path, as USR1 asks for after a rotation. What is queued by now
    /// goes to the old file. Where the path cannot be opened the old file stays in use, and an error
    /// says so. Returns at once.
    pub fn reopen(&self) {
        for log in &self.logs {
            log.shared.reopen.store(true, Ordering::SeqCst);
            log.wake();
        }
    }

    /// How much each log has written and lost, in the settings' order. They outlive the logs.
    pub fn counters(&self) -> Vec<LogCounters> {
        self.logs.iter().map(|log| LogCounters(Arc::clone(&log.shared))).collect()
    }

    /// How much all logs of one name have written and lost since the start, also those that were removed.
    pub fn totals(&self) -> BTreeMap<String, LogTotals> {
        let mut totals = self.past.clone();
        self.removed.iter().chain(&self.counters()).for_each(|log| log.add_to(&mut totals));
        totals
    }

    /// Writes everything that is queued and ends the threads. Lines that a worker pushes after this
    /// are lost, so the workers' buffers are to be dropped before. A target that does not take its
    /// lines within `timeout` (a terminal that was stopped, a disk that hangs) is left alone, and an
    /// error says so.
    pub fn finish(self, timeout: Duration) {
        for log in &self.logs {
            log.shared.finish.store(true, Ordering::SeqCst);
            log.wake();
        }
        let deadline = Instant::now() + timeout;
        let logs = self.logs.into_iter().map(Log::leave);
        for log in self.leaving.into_iter().chain(logs) {
            log.join(deadline);
        }
    }
}

impl Log {
    fn open(
        settings: &LogSettings,
        supervisor: &Supervisor,
        thread: &str,
    ) -> Result<Self, OpenError> {
        let output = Output::open(settings)
            .map_err(|error| OpenError::Open { target: settings.target.clone(), error })?;
        let shared = Arc::new(Shared::new(settings.target.to_string()));
        let (queue, messages) = sync_channel(QUEUE);
        let (ending, ended) = sync_channel::<()>(0);
        let writer = LogThread::new(settings.target.clone(), output, Arc::clone(&shared), messages);
        let thread = supervisor
            .spawn(thread, move || {
                let _ending = ending;
                writer.run()
            })
            .map_err(|error| OpenError::Thread { error })?;
        Ok(Self { settings: settings.clone(), shared, queue, thread, ended: Mutex::new(ended) })
    }

    /// A worker's end of it.
    fn buffer(&self, settings: &LogSettings) -> LineBuffer {
        LineBuffer::new(settings, self.queue.clone(), Arc::clone(&self.shared))
    }

    fn leave(self) -> Leaving {
        Leaving { shared: self.shared, thread: self.thread, ended: self.ended }
    }

    /// Makes the thread look at its flags. A full queue needs no wake-up: the thread looks after
    /// every message.
    fn wake(&self) {
        let _ = self.queue.try_send(Message::Wake);
    }
}

impl Leaving {
    fn join(self, deadline: Instant) {
        let ended = self.ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        let timeout = deadline.saturating_duration_since(Instant::now());
        if ended.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
            tracing::error!(
                log = self.shared.name,
                "the access log {} did not take its last lines in time; they are lost",
                self.shared.name
            );
        } else if self.thread.join().is_err() {
            tracing::error!("the thread of the access log {} has panicked", self.shared.name);
        }
    }
}

/// What workers, the log's thread and the control thread know in common about one log.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) written: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Bytes of memory that wait in the queue.
    pub(super) queued: AtomicUsize,
    pub(super) reopen: AtomicBool,
    pub(super) finish: AtomicBool,
    /// Lines were lost to a full queue, and the log's thread has not yet come to say that it is over.
    pub(super) overrun: AtomicBool,
}

impl Shared {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            reopen: AtomicBool::new(false),
            finish: AtomicBool::new(false),
            overrun: AtomicBool::new(false),
        }
    }
}

/// How many lines one log has written and lost, since it was opened.
#[derive(Clone, Debug)]
pub struct LogCounters(Arc<Shared>);

impl LogCounters {
    /// The log, as messages name it: its path, or `standard output`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Lines that the target took whole.
    pub fn lines_written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Lines that were pushed and came to nothing.
    pub fn lines_lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl LogCounters {
    fn add_to(&self, totals: &mut BTreeMap<String, LogTotals>) {
        let total = totals.entry(self.name().to_owned()).or_default();
        total.written += self.lines_written();
        total.lost += self.lines_lost();
    }
}

/// How many lines were written and lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogTotals {
    /// Lines that the target took whole.
    pub written: u64,
    /// Lines that were pushed and came to nothing.
    pub lost: u64,
}

/// Why an access log could not be opened at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file cannot be opened for appending.
    #[error("cannot open the access log {target}: {error}. {}", advice(.target, .error))]
    Open {
        /// The log that could not be opened.
        target: LogTarget,
        /// What the system said.
        error: io::Error,
    },
    /// Its thread cannot be started.
    #[error(
        "cannot start the access log's thread: {error}. Raise the limit of threads (TasksMax=)"
    )]
    Thread {
        /// What the system said.
        error: io::Error,
    },
}

#[cfg(test)]
mod tests;
