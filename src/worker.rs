//! What a worker has, and what all workers share.
//!
//! A worker is a thread with a single-threaded runtime, its own listeners, its own connections to
//! XiVO and its own log buffers: nothing crosses threads for a request. The workers share one
//! snapshot of the configuration, swapped as a whole, and the atomics of the limits.
//!
//! Imports `access_log`, `config`, `identity`, `limits`, `location`, `net`, `policy`, `refusal`,
//! `resolver`, `response`, `tls`, `upstream`. Begin with [`Worker`], then [`shared`].

pub(crate) mod buffers;
pub(crate) mod connection_guard;
pub(crate) mod diagnostics;
pub(crate) mod shared;
pub(crate) mod snapshot;
pub(crate) mod timer_keep_alive;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::access_log::WorkerLog;
use crate::limits::Moment;
use crate::response::request_id::RequestId;
use crate::upstream::Pool;

pub use connection_guard::ConnectionGuard;
pub use shared::Shared;

use buffers::Buffers;
use diagnostics::Diagnostics;
use timer_keep_alive::TimerKeepAlive;

/// What one worker thread owns; nothing of it is shared.
#[derive(Debug)]
pub struct Worker {
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Its connections to XiVO.
    pub pool: Pool,
    /// Its memory for heads and bodies.
    pub buffers: Buffers,
    /// Its end of the access logs.
    pub log: WorkerLog,
    /// What it has told the administrator lately.
    pub diagnostics: Diagnostics,
    /// Wakes idle connections when the worker begins to drain.
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
    pub fn new(shared: Arc<Shared>, log: WorkerLog) -> Self {
        Self {
            shared,
            pool: Pool::default(),
            buffers: Buffers::default(),
            log,
            diagnostics: Diagnostics::default(),
            drain: Notify::new(),
            closed: Notify::new(),
            timer_keep_alive: TimerKeepAlive::default(),
            draining: Cell::new(false),
            open: Cell::new(0),
            random: RefCell::new(fastrand::Rng::new()),
        }
    }

    /// Now, as the limits count it.
    pub fn moment(&self, now: Instant) -> Moment {
        Moment::since_start(now.saturating_duration_since(self.shared.started))
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

    /// Client connections of this worker that are open now.
    pub fn open(&self) -> usize {
        self.open.get()
    }
}

/// How long a worker that drains still waits for the first request of a connection.
pub(crate) const DRAIN_FIRST_REQUEST_TIMEOUT: Duration = Duration::from_millis(200);
