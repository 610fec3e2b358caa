//! What a worker has, and what all workers share.
//!
//! A worker is a thread with a single-threaded runtime, its own listeners, its own connections to
//! XiVO and its own log buffers: nothing crosses threads for a request. The workers share one
//! snapshot of the configuration, swapped as a whole, and the atomics of the limits.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::config::Config;
use crate::diagnostics::Diagnostics;
use crate::limits::{GatewayLimits, Moment, PeerLimits, UNKNOWN_CALLERS};
use crate::lookup::hex;
use crate::peers::Peers;
use crate::record::WorkerLog;
use crate::upstream::{Pool, Route};

/// Everything that a request is judged by, as of one moment. A request takes it once and sees one
/// revision from end to end.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration.
    pub config: Arc<Config>,
    /// The peers, each with its limits.
    pub peers: Arc<Peers<Arc<PeerLimits>>>,
    /// XiVO's addresses; empty while its name has none.
    pub upstream: Vec<SocketAddr>,
}

impl Snapshot {
    /// How XiVO is reached.
    pub fn route(&self) -> Route<'_> {
        let upstream = &self.config.upstream;
        Route {
            addresses: &self.upstream,
            source: upstream.source.as_ref().map(|source| source.value),
            danger_loopback_source: upstream.danger_loopback_source,
            connect_timeout: upstream.connect_timeout,
        }
    }
}

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// The gateway's rate, and strangers'.
    pub limits: GatewayLimits,
    connections: AtomicUsize,
    started: Instant,
}

impl Shared {
    /// What is shared by the workers of a gateway with this configuration.
    pub fn new(config: Arc<Config>, upstream: Vec<SocketAddr>) -> Self {
        let peers = Peers::new(config.policies.clone(), |policy| {
            Arc::new(PeerLimits::new(&policy.rate.value, policy.concurrent.value))
        });
        let limits = &config.limits;
        Self {
            limits: GatewayLimits::new(
                &limits.rate.value,
                &limits.unknown_rate.value,
                UNKNOWN_CALLERS,
            ),
            snapshot: ArcSwap::from_pointee(Snapshot { config, peers: Arc::new(peers), upstream }),
            connections: AtomicUsize::new(0),
            started: Instant::now(),
        }
    }

    /// The snapshot as of now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts other addresses of XiVO into the snapshot. Says whether they differ from the former.
    pub fn set_upstream(&self, upstream: Vec<SocketAddr>) -> bool {
        let before = self.snapshot();
        let differ = before.upstream != upstream;
        if differ {
            self.snapshot.store(Arc::new(Snapshot {
                config: Arc::clone(&before.config),
                peers: Arc::clone(&before.peers),
                upstream,
            }));
        }
        differ
    }

    /// Client connections that are open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One worker.
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
    /// Beats while requests come.
    pub pulse: Pulse,
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
            pulse: Pulse::default(),
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

/// A request's id.
#[derive(Clone, Copy, Debug)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// An id that no request has but one in 2^128.
    pub const ZERO: Self = Self([b'0'; 32]);

    /// `number` as an id.
    pub fn new(number: u128) -> Self {
        let mut id = [0; 32];
        let (pairs, _) = id.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(number.to_be_bytes()) {
            *pair = hex(byte, b"0123456789abcdef");
        }
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A client connection as counted, here and in all workers, until it is dropped.
#[derive(Debug)]
pub struct Counted<'a> {
    worker: &'a Worker,
    all: usize,
}

impl<'a> Counted<'a> {
    /// Counts a further connection.
    pub fn new(worker: &'a Worker) -> Self {
        worker.open.set(worker.open.get() + 1);
        let before = worker.shared.connections.fetch_add(1, Ordering::Relaxed);
        Self { worker, all: before + 1 }
    }

    /// How many there were with this one.
    pub fn all(&self) -> usize {
        self.all
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.worker.open.set(self.worker.open.get().saturating_sub(1));
        self.worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if self.worker.is_draining() {
            self.worker.drain.notify_waiters();
        }
    }
}

/// A timer that is due sooner than those of requests, as long as there are requests.
///
/// tokio's time driver is woken by a write to an eventfd whenever a timer is set that is due before
/// all others, also when it is set by the thread that would be woken. A request's deadline often is
/// the earliest, so most requests cost that system call and another turn of the event loop. Behind
/// an earlier timer they do not.
#[derive(Debug, Default)]
pub struct Pulse {
    beating: Cell<bool>,
    wanted: Cell<bool>,
    begin: Notify,
}

impl Pulse {
    /// A request has come.
    pub fn want(&self) {
        self.wanted.set(true);
        if !self.beating.get() {
            self.begin.notify_one();
        }
    }

    /// Beats as long as it is wanted, then waits until it is wanted again; never returns.
    pub async fn beat(&self) {
        loop {
            self.begin.notified().await;
            self.beating.set(true);
            while self.wanted.take() {
                tokio::time::sleep(PULSE).await;
            }
            self.beating.set(false);
        }
    }
}

/// Below the time that XiVO may take by default, which is the shortest that each request waits for.
const PULSE: Duration = Duration::from_millis(200);

/// Memory that requests borrow while they are in flight, so that idle connections hold none.
#[derive(Debug, Default)]
pub struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer with room for a head of default size.
    pub fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Takes a buffer back. Larger ones are freed, and so are more than a busy worker needs.
    pub fn put(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.0.borrow_mut();
        if buffers.len() < MAX_SPARE && (1..=BUFFER).contains(&buffer.capacity()) {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

const BUFFER: usize = 16 * 1024;
const MAX_SPARE: usize = 256;
