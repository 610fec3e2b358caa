//! What a worker has, and what all workers share.
//!
//! A worker is a thread with a single-threaded runtime, its own listeners, its own connections to
//! XiVO and its own log buffers: nothing crosses threads for a request. The workers share one
//! snapshot of the configuration, swapped as a whole, and the atomics of the limits.

pub mod diagnostics;
pub mod snapshot;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::access_log::WorkerLog;
use crate::config::Config;
use crate::identity::peers::Peers;
use crate::identity::resolved::Resolved;
use crate::limits::budget::Budget;
use crate::limits::{
    Ceilings, GatewayLimits, Guest, House, Moment, NoSeat, PeerLimits, Taken, UNKNOWN_CALLERS,
};
use crate::net::client_address::ClientAddress;
use crate::policy::Policy;
use crate::resolver::Lost;
use crate::response::request_id::RequestId;
use crate::tls::ListenerTls;
use crate::upstream::Pool;
use crate::worker::diagnostics::Diagnostics;
use crate::worker::snapshot::Snapshot;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// The gateway's rate, and strangers'.
    pub limits: GatewayLimits,
    /// What HTTP/2 connections hold.
    pub http2: Arc<Budget>,
    /// Who has which of the client connections.
    pub house: Arc<House>,
    /// Client connections that were accepted since the start.
    accepted: AtomicU64,
    started: Instant,
}

impl Shared {
    /// What is shared by the workers of a gateway with this configuration.
    /// `descriptors` is how many this process may have open; each connection may need two.
    pub fn new(config: Arc<Config>, upstream: Vec<SocketAddr>, descriptors: usize) -> Self {
        let peers = Peers::new(config.policies.clone(), &[], |policy| Arc::new(limits_of(policy)));
        let limits = &config.limits;
        let ceiling = ceiling(limits.max_connections, descriptors);
        let ceilings = Ceilings::new(ceiling, limits.unknown_connections);
        Self {
            limits: GatewayLimits::new(
                &limits.rate.value,
                &limits.unknown_rate.value,
                &limits.handshake_rate.value,
                UNKNOWN_CALLERS,
            ),
            snapshot: ArcSwap::from_pointee(Snapshot {
                tls: config.listeners.iter().map(|_| None).collect(),
                config,
                peers: Arc::new(peers),
                lost: Arc::new([]),
                upstream,
            }),
            http2: Arc::default(),
            house: Arc::new(House::new(ceilings)),
            accepted: AtomicU64::new(0),
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

    /// Counts a TLS handshake that a caller in no policy begins.
    fn count_handshake(&self, guest: Guest, now: Moment) -> Result<(), NoSeat> {
        let Guest::Handshake(caller) = guest else { return Ok(()) };
        let counted = self.limits.handshake(ClientAddress::new(caller), now);
        counted.map_err(|_| NoSeat::HandshakeRate)
    }

    /// A number for a connection that was accepted, which no other has.
    pub fn next_connection(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Client connections that are open now.
    pub fn connections(&self) -> usize {
        self.house.open()
    }
}

fn limits_of(policy: &Policy) -> PeerLimits {
    let connections = policy.connections.as_ref().map(|connections| connections.value);
    PeerLimits::new(&policy.rate.value, policy.concurrent.value).with_connections(connections)
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

/// A client connection as counted: its seat, and its place in this worker, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    worker: Rc<Worker>,
    seat: Taken,
}

impl Counted {
    /// Counts a further connection of `guest`. One for which there is no seat may be let in to be told
    /// so ([`Self::is_over`]).
    ///
    /// # Errors
    /// It is to be closed unheard.
    pub fn new(worker: &Rc<Worker>, guest: Guest, now: Instant) -> Result<Self, NoSeat> {
        let now = worker.moment(now);
        worker.shared.count_handshake(guest, now)?;
        let house = &worker.shared.house;
        let seat = house.enter(guest, now).or_else(|full| house.stand(guest).ok_or(full))?;
        worker.open.set(worker.open.get() + 1);
        Ok(Self { worker: Rc::clone(worker), seat })
    }

    /// Counts it as `guest`'s from now on. One for which there is no seat there may stay to be told so.
    ///
    /// # Errors
    /// It is to be closed unheard.
    pub fn turns_out(&mut self, guest: Guest) -> Result<(), NoSeat> {
        let now = self.worker.moment(Instant::now());
        self.worker.shared.count_handshake(guest, now)?;
        match self.seat.reseat(guest, now) {
            Err(full) if !self.seat.stand(guest) => Err(full),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether it is one too many, and here only to be told so.
    pub fn is_over(&self) -> bool {
        self.seat.is_standing()
    }

    /// It waits from `now` on for a request, `fresh` for its first; a newcomer may be given its seat.
    pub fn wait(&self, now: Instant, fresh: bool) {
        self.seat.wait(self.worker.moment(now), fresh);
    }

    /// A request has come. `false`: its seat was given away, and this is its last one.
    pub fn resume(&self) -> bool {
        self.seat.resume()
    }

    /// Waits until its seat is given away.
    pub async fn left(&self) {
        std::future::poll_fn(|context| self.seat.poll_left(context)).await;
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
        if worker.is_draining() {
            worker.closed.notify_one();
        }
    }
}

/// How long a worker that drains still waits for the first request of a connection.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(200);

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

    /// Beats as long as it is wanted, then waits until it is wanted again; never returns. After each beat
    /// it does what is done `between` requests.
    pub async fn beat(&self, between: impl Fn()) {
        loop {
            self.begin.notified().await;
            self.beating.set(true);
            while self.wanted.take() {
                tokio::time::sleep(PULSE).await;
                between();
            }
            self.beating.set(false);
        }
    }
}

/// Below the time that XiVO may take by default, which is the shortest that each request waits for.
const PULSE: Duration = Duration::from_millis(200);

/// Memory that requests borrow while they are in flight, so that idle connections hold none.
#[derive(Debug, Default)]
pub struct Buffers {
    spare: RefCell<Vec<Vec<u8>>>,
    /// The fewest that were spare since the last [`Buffers::tidy`].
    fewest: Cell<usize>,
}

impl Buffers {
    /// An empty buffer with room for a head of default size.
    pub fn take(&self) -> Vec<u8> {
        let mut spare = self.spare.borrow_mut();
        let buffer = spare.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER));
        self.fewest.set(self.fewest.get().min(spare.len()));
        buffer
    }

    /// Takes a buffer back. Larger ones are freed, and so are more than a busy worker needs.
    pub fn put(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MAX_SPARE && (1..=BUFFER).contains(&buffer.capacity()) {
            buffer.clear();
            spare.push(buffer);
        }
    }

    /// Frees those that nobody has needed since this was called last, but for a few.
    pub fn tidy(&self) {
        let mut spare = self.spare.borrow_mut();
        let needed = spare.len().saturating_sub(self.fewest.get());
        spare.truncate(needed.max(KEPT_SPARE));
        self.fewest.set(spare.len());
    }
}

/// In bytes.
const BUFFER: usize = 16 * 1024;

/// Up to four are in use for each lookup under way. Freed and made anew for each of them, they would
/// cost a tenth of a lookup: to allocators these are large.
const MAX_SPARE: usize = 512;

/// How many a worker keeps that does little.
const KEPT_SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A storm of `count` buffers at once.
    fn storm(buffers: &Buffers, count: usize) {
        let taken: Vec<_> = (0..count).map(|_| buffers.take()).collect();
        taken.into_iter().for_each(|buffer| buffers.put(buffer));
    }

    #[test]
    fn buffers_that_are_needed_again_and_again_are_kept() {
        let buffers = Buffers::default();
        for _ in 0..3 {
            storm(&buffers, 200);
            buffers.tidy();
            assert_eq!(buffers.spare.borrow().len(), 200);
        }
    }

    #[test]
    fn a_storms_buffers_are_freed_when_it_is_over() {
        let buffers = Buffers::default();
        storm(&buffers, 2 * MAX_SPARE);
        assert_eq!(buffers.spare.borrow().len(), MAX_SPARE);
        buffers.tidy();
        storm(&buffers, 100);
        buffers.tidy();
        assert_eq!(buffers.spare.borrow().len(), 100);
        buffers.tidy();
        assert_eq!(buffers.spare.borrow().len(), KEPT_SPARE);
    }
}
