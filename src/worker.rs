//! What a worker has, and what all workers share.
//!
//! A worker is a thread with a single-threaded runtime, its own listeners, its own connections to
//! XiVO and its own log buffers: nothing crosses threads for a request. The workers share one
//! snapshot of the configuration, swapped as a whole, and the atomics of the limits.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::config::Config;
use crate::diagnostics::Diagnostics;
use crate::limits::{GatewayLimits, Moment, PeerLimits, UNKNOWN_CALLERS};
use crate::lookup::hex;
use crate::names::{Lost, Resolved};
use crate::peers::Peers;
use crate::policy::Policy;
use crate::record::WorkerLog;
use crate::snapshot::Snapshot;
use crate::tls::ListenerTls;
use crate::upstream::Pool;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// The gateway's rate, and strangers'.
    pub limits: GatewayLimits,
    /// How many client connections there may be.
    ceiling: usize,
    connections: AtomicUsize,
    /// Those that were accepted since the start.
    accepted: AtomicU64,
    /// Those of callers in no policy.
    strangers: AtomicUsize,
    started: Instant,
}

impl Shared {
    /// What is shared by the workers of a gateway with this configuration.
    /// `descriptors` is how many this process may have open; each connection may need two.
    pub fn new(config: Arc<Config>, upstream: Vec<SocketAddr>, descriptors: usize) -> Self {
        let peers = Peers::new(config.policies.clone(), &[], |policy| Arc::new(limits_of(policy)));
        let limits = &config.limits;
        let ceiling = ceiling(limits.max_connections, descriptors);
        Self {
            limits: GatewayLimits::new(
                &limits.rate.value,
                &limits.unknown_rate.value,
                UNKNOWN_CALLERS,
            ),
            snapshot: ArcSwap::from_pointee(Snapshot {
                tls: config.listeners.iter().map(|_| None).collect(),
                config,
                peers: Arc::new(peers),
                lost: Arc::new([]),
                upstream,
            }),
            ceiling,
            connections: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            strangers: AtomicUsize::new(0),
            started: Instant::now(),
        }
    }

    /// The snapshot as of now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts other addresses of XiVO into the snapshot. Says whether they differ from the former.
    pub fn set_upstream(&self, upstream: Vec<SocketAddr>) -> bool {
        let differ = self.snapshot().upstream != upstream;
        if differ {
            self.replace(|before| Snapshot { upstream: upstream.clone(), ..before.clone() });
        }
        differ
    }

    /// Puts the addresses that names have into the snapshot, and those that they have no more. The
    /// peers' limits stay what they are.
    pub fn set_names(&self, resolved: &[Resolved], lost: &[Lost]) {
        self.replace(|before| {
            let known: HashMap<_, _> =
                before.peers.iter().map(|peer| (&peer.policy.name, &peer.state)).collect();
            let state = |policy: &Policy| match known.get(&policy.name) {
                Some(state) => Arc::clone(state),
                None => Arc::new(limits_of(policy)),
            };
            let peers = Peers::new(before.config.policies.clone(), resolved, state);
            Snapshot { peers: Arc::new(peers), lost: lost.into(), ..before.clone() }
        });
    }

    /// Puts what a TLS listener has of certificates into the snapshot.
    pub fn set_tls(&self, listener: usize, tls: &Arc<ListenerTls>) {
        self.replace(|before| {
            let mut all = before.tls.to_vec();
            if let Some(slot) = all.get_mut(listener) {
                *slot = Some(Arc::clone(tls));
            }
            Snapshot { tls: all.into(), ..before.clone() }
        });
    }

    /// Puts another snapshot in the place of the present one; `change` may be called more than once
    /// where two threads do so at the same time.
    fn replace(&self, change: impl Fn(&Snapshot) -> Snapshot) {
        self.snapshot.rcu(|before| change(before));
    }

    /// A number for a connection that was accepted, which no other has.
    pub fn next_connection(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Client connections that are open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn limits_of(policy: &Policy) -> PeerLimits {
    PeerLimits::new(&policy.rate.value, policy.concurrent.value)
}

/// How many client connections there may be where each may need two descriptors.
fn ceiling(max_connections: usize, descriptors: usize) -> usize {
    let possible = descriptors.saturating_sub(OWN_DESCRIPTORS) / 2;
    if possible < max_connections {
        tracing::warn!(
            "limits.max_connections is {max_connections}, but {descriptors} open files (LimitNOFILE) \
             are enough for {possible} connections only; that is the limit now"
        );
    }
    max_connections.min(possible).max(1)
}

/// Descriptors that are no connections: listening sockets, logs, the runtimes'.
const OWN_DESCRIPTORS: usize = 128;

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
    /// Told when a connection has ended while the worker drains.
    pub closed: Notify,
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
            closed: Notify::new(),
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
pub struct Counted {
    worker: Rc<Worker>,
    stranger: bool,
}

impl Counted {
    /// Counts a further connection, unless there are too many: of all callers, or of strangers, who
    /// may have a quarter of them so that they can never lock the peers out.
    ///
    /// Says, too, whether it is one more than the ceiling. A few of those are still told so; what
    /// comes beyond them is not counted, and to be closed unheard.
    pub fn new(worker: &Rc<Worker>, stranger: bool) -> Option<(Self, bool)> {
        let shared = &worker.shared;
        let strangers = shared.strangers.load(Ordering::Relaxed);
        let all = shared.connections.load(Ordering::Relaxed);
        let ceiling = shared.ceiling;
        if all >= ceiling.saturating_add(OVER_CEILING)
            || stranger && strangers >= ceiling.div_ceil(4)
        {
            return None;
        }
        worker.open.set(worker.open.get() + 1);
        shared.connections.fetch_add(1, Ordering::Relaxed);
        if stranger {
            shared.strangers.fetch_add(1, Ordering::Relaxed);
        }
        Some((Self { worker: Rc::clone(worker), stranger }, all >= ceiling))
    }

    /// Counts it among the strangers' from now on, unless those are too many.
    pub fn turns_out_strange(&mut self) -> bool {
        let shared = &self.worker.shared;
        if self.stranger {
            return true;
        }
        if shared.strangers.load(Ordering::Relaxed) >= shared.ceiling.div_ceil(4) {
            return false;
        }
        shared.strangers.fetch_add(1, Ordering::Relaxed);
        self.stranger = true;
        true
    }

    /// The connection turned out to be a peer's: it holds no stranger's place any longer.
    pub fn is_a_peers(&mut self) {
        if std::mem::take(&mut self.stranger) {
            self.worker.shared.strangers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whose connection it is.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.open.set(worker.open.get().saturating_sub(1));
        worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if self.stranger {
            worker.shared.strangers.fetch_sub(1, Ordering::Relaxed);
        }
        if worker.is_draining() {
            worker.closed.notify_one();
        }
    }
}

/// How long a worker that drains still waits for the first request of a connection.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(200);

/// So many connections beyond the ceiling are still told why they are not served.
const OVER_CEILING: usize = 64;

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
