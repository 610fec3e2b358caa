//! What workers are told while they serve: listeners that come and go, and other access logs.
//!
//! A reload first lets every worker prepare what it adds; nothing of it is seen by clients. Only when all of
//! them could, and the snapshot is another, they begin.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::access_log::{LogHost, LogPlan};
use crate::worker::listeners::{ListenerId, Presence};

/// One order.
#[derive(Debug)]
pub(super) enum Order {
    /// Be ready to accept on these.
    Prepare { sockets: Vec<NewSocket>, done: mpsc::Sender<io::Result<()>> },
    /// Accept on what was prepared, and no longer on these.
    Begin(Begin),
    /// What was prepared is not wanted any more.
    Forget,
    /// Say that it serves: dropped, when it is read.
    Answer { done: oneshot::Sender<()> },
}

/// A listener's socket for one worker.
#[derive(Debug)]
pub(super) struct NewSocket {
    pub(super) id: ListenerId,
    pub(super) presence: Presence,
    pub(super) socket: TcpListener,
}

/// What is other from now on.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) removed: Vec<ListenerId>,
    /// Where lines go from now on, unless that stays as it is.
    pub(super) logs: Option<(Vec<LogPlan>, Arc<LogHost>)>,
    pub(super) done: mpsc::Sender<()>,
}

/// The ways to all workers.
#[derive(Debug, Default)]
pub(super) struct Crew {
    workers: Vec<UnboundedSender<Order>>,
}

/// Why a worker is not ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReady {
    /// The system refused.
    #[error("a worker cannot take a further socket: {0}")]
    Refused(#[from] io::Error),
    /// It did not answer.
    #[error("a worker does not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
}

impl Crew {
    /// The way to one more worker; its end.
    pub(super) fn add(&mut self) -> UnboundedReceiver<Order> {
        let (orders, receiver) = unbounded_channel();
        self.workers.push(orders);
        receiver
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Gives each worker its sockets, and waits until all of them could take them.
    ///
    /// # Errors
    /// One could not; all have forgotten theirs, or will.
    pub(super) fn prepare(&self, sockets: Vec<Vec<NewSocket>>) -> Result<(), NotReady> {
        let (done, ready) = mpsc::channel();
        for (worker, sockets) in self.workers.iter().zip(sockets) {
            // One that has ended is seen by its silence.
            let _ = worker.send(Order::Prepare { sockets, done: done.clone() });
        }
        drop(done);
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let outcome = self.workers.iter().try_for_each(|_| {
            let left = deadline.saturating_duration_since(Instant::now());
            ready.recv_timeout(left).map_err(|_| NotReady::Silent)?.map_err(NotReady::Refused)
        });
        outcome.inspect_err(|_| self.forget())
    }

    /// Asks each worker whether it reads what it is told: what it has read is dropped, and so seen.
    pub(super) fn ask(&self) -> Vec<oneshot::Receiver<()>> {
        let asked = self.workers.iter().map(|worker| {
            let (done, answered) = oneshot::channel();
            // One that has ended is its supervisor's business.
            let _ = worker.send(Order::Answer { done });
            answered
        });
        asked.collect()
    }

    /// Lets each worker forget what it has prepared.
    pub(super) fn forget(&self) {
        for worker in &self.workers {
            let _ = worker.send(Order::Forget);
        }
    }

    /// Lets all workers begin, and waits until they have; `logs` yields the plan of one worker.
    pub(super) fn begin(
        &self,
        removed: &[ListenerId],
        mut logs: impl FnMut() -> Option<(Vec<LogPlan>, Arc<LogHost>)>,
    ) {
        let (done, begun) = mpsc::channel();
        for worker in &self.workers {
            let begin = Begin { removed: removed.to_vec(), logs: logs(), done: done.clone() };
            let _ = worker.send(Order::Begin(begin));
        }
        drop(done);
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        for _ in &self.workers {
            let left = deadline.saturating_duration_since(Instant::now());
            if begun.recv_timeout(left).is_err() {
                // It is supervised elsewhere; what it was told it does when it can.
                return tracing::warn!("a worker has not taken the reload over yet");
            }
        }
    }
}

/// How long a worker may take: it never waits for anything but the network.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
