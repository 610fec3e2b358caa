//! What all workers share: one snapshot of the configuration, swapped as a whole, and the atomics of the
//! limits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;

use super::snapshot::Snapshot;
use crate::config::Config;
use crate::identity::peers::Peers;
use crate::identity::resolved::Resolved;
use crate::limits::budget::Budget;
use crate::limits::{
    CallerClass, Ceilings, GatewayLimits, Moment, NoSeat, PeerLimits, SeatTable, UNKNOWN_CALLERS,
};
use crate::net::client_address::ClientAddress;
use crate::policy::Policy;
use crate::resolver::Lost;
use crate::tls::ListenerTls;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// The gateway's rate, and unknown callers'.
    pub limits: GatewayLimits,
    /// What HTTP/2 connections hold.
    pub http2: Arc<Budget>,
    /// Who has which of the client connections.
    pub seats: Arc<SeatTable>,
    /// Client connections that were accepted since the start.
    accepted: AtomicU64,
    pub(super) started: Instant,
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
            seats: Arc::new(SeatTable::new(ceilings)),
            accepted: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// The snapshot as of now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts other addresses of XiVO into the snapshot. Says whether they differ from the previous ones.
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
    pub(super) fn count_handshake(&self, class: CallerClass, now: Moment) -> Result<(), NoSeat> {
        let CallerClass::Handshake(caller) = class else { return Ok(()) };
        let guard = self.limits.handshake(ClientAddress::new(caller), now);
        guard.map_err(|_| NoSeat::HandshakeRate)
    }

    /// A number for a connection that was accepted, which no other has.
    pub fn next_connection(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Client connections that are open now.
    pub fn connections(&self) -> usize {
        self.seats.open()
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
