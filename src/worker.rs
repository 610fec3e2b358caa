//! What a worker has, and what all workers share.
//!
//! A worker is a thread with a single-threaded runtime, its own listeners, its own connections to
//! XiVO and its own log buffers: nothing crosses threads for a request. The workers share one
//! snapshot of the configuration, swapped as a whole, and the atomics of the limits.
//!
//! Imports `access_log`, `config`, `identity`, `limits`, `location`, `lookup`, `net`, `policy`,
//! `refusal`, `resolver`, `response`, `tls`, `upstream`. Begin with [`Worker`], then [`shared`].

pub(crate) mod buffers;
pub(crate) mod connection_guard;
pub(crate) mod counts;
pub(crate) mod diagnostics;
pub(crate) mod listeners;
pub(crate) mod malformed_heads;
pub(crate) mod metrics;
pub(crate) mod newer;
pub(crate) mod outage;
pub(crate) mod shared;
pub(crate) mod snapshot;
pub(crate) mod timer_keep_alive;
pub(crate) mod unknown_callers;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::access_log::{LogHost, LogPlan, WorkerLog};
use crate::limits::Moment;
use crate::response::request_id::RequestId;
use crate::upstream::Pool;

pub use connection_guard::{Accepting, ConnectionGuard};
pub use shared::Shared;

use buffers::Buffers;
use diagnostics::Diagnostics;
use listeners::{ListenerId, WorkerListeners};
use metrics::WorkerMetrics;
use timer_keep_alive::TimerKeepAlive;

/// What one worker thread owns; nothing of it is shared.
#[derive(Debug)]
pub struct Worker {
    /// Which one it is, counted from 0.
    pub number: usize,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Its connections to XiVO.
    pub pool: Pool,
    /// Its memory for heads and bodies.
    pub buffers: Buffers,
    /// Its end of the access logs; other ones after a reload that changes them.
    log: RefCell<Rc<WorkerLog>>,
    /// Told when they are others.
    log_replaced: Notify,
    /// The listeners that it has connections of.
    pub listeners: WorkerListeners,
    /// What it has told the administrator lately.
    pub diagnostics: Diagnostics,
    /// Wakes idle connections when the worker begins to drain, or a listener was removed.
    pub drain: Notify,
    /// Told when a connection has ended while the worker drains.
    pub closed: Notify,
    /// Beats while requests come.
    pub timer_keep_alive: TimerKeepAlive,
    draining: Cell<bool>,
    open: Cell<usize>,
    random: RefCell<fastrand::Rng>,
}

impl Worker {
    /// A worker without connections.
    pub fn new(number: usize, shared: Arc<Shared>, log: WorkerLog) -> Self {
        Self {
            number,
            shared,
            pool: Pool::default(),
            buffers: Buffers::default(),
            log: RefCell::new(Rc::new(log)),
            log_replaced: Notify::new(),
            listeners: WorkerListeners::default(),
            diagnostics: Diagnostics::default(),
            drain: Notify::new(),
            closed: Notify::new(),
            timer_keep_alive: TimerKeepAlive::default(),
            draining: Cell::new(false),
            open: Cell::new(0),
            random: RefCell::new(fastrand::Rng::new()),
        }
    }

    /// What it counts beside requests.
    pub fn metrics(&self) -> Option<&WorkerMetrics> {
        self.shared.metrics.of(self.number)
    }

    /// Now, as the limits count it.
    pub fn moment(&self, now: Instant) -> Moment {
        self.shared.moment(now)
    }

    /// 32 hexadecimal digits that tell a request from all others, as nginx's `$request_id`.
    pub fn request_id(&self) -> RequestId {
        RequestId::new(self.random.borrow_mut().u128(..))
    }

    /// Lets no connection go on after its current request, and ends the idle ones.
    pub fn begin_to_drain(&self) {
        self.draining.set(true);
        self.drain.notify_waiters();
    }

    /// Whether [`Self::begin_to_drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Accepts no more connections of these listeners, and lets none that is open go on after its current request.
    pub fn remove_listeners(&self, removed: &[ListenerId]) {
        removed.iter().for_each(|listener| self.listeners.remove(*listener));
        if !removed.is_empty() {
            self.drain.notify_waiters();
        }
    }

    /// Whether connections of this listener may not go on: the worker drains, or the listener was removed.
    pub fn is_ending(&self, listener: ListenerId) -> bool {
        self.is_draining() || self.listeners.is_removed(listener)
    }

    /// Its end of the access logs as they are now. A request's line goes to those that it began with.
    pub fn log(&self) -> Rc<WorkerLog> {
        Rc::clone(&self.log.borrow())
    }

    /// Writes the lines of requests that begin from now on as planned.
    pub fn replace_log(&self, plan: Vec<LogPlan>, host: Arc<LogHost>) {
        let next = self.log.borrow().replaced_by(plan, host);
        self.log.replace(Rc::new(next));
        self.log_replaced.notify_one();
    }

    /// Hands over what has waited in the access logs for as long as it may; never returns.
    pub async fn flush_log_in_time(&self) {
        loop {
            let log = self.log();
            tokio::select! {
                () = log.flush_in_time() => {}
                () = self.log_replaced.notified() => {}
            }
        }
    }

    /// Appends the current time as an HTTP `Date`.
    pub fn write_http_date(&self, out: &mut Vec<u8>) {
        self.log.borrow().write_http_date(out);
    }

    /// Client connections of this worker that are open now.
    pub fn open(&self) -> usize {
        self.open.get()
    }
}

/// How long a worker that drains still waits for the first request of a connection.
pub(crate) const DRAIN_FIRST_REQUEST_TIMEOUT: Duration = Duration::from_millis(200);
