//! What all workers share: one snapshot of the configuration, swapped as a whole, and the atomics of the
//! limits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::counts::{CountedRequests, RequestCounts};
use super::listeners::{ListenerId, ServedListener};
use super::malformed_heads::MalformedHeads;
use super::metrics::Metrics;
use super::newer::Newer;
use super::outage::Outage;
use super::snapshot::{PeerState, Snapshot};
use super::unknown_callers::UnknownCallers;
use crate::config::Config;
use crate::identity::disabled::DisabledPeers;
use crate::identity::peers::Peers;
use crate::identity::resolved::Resolved;
use crate::limits::budget::Budget;
use crate::limits::{
    CallerClass, Ceilings, GatewayLimits, Moment, NoSeat, PeerLimits, SeatTable, UNKNOWN_CALLERS,
};
use crate::net::client_address::ClientAddress;
use crate::policy::{Host, PeerName, Policy, Require};
use crate::resolver::{Lost, NameState};
use crate::tls::ListenerTls;
use crate::upstream::Tls;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// What HTTP/2 connections hold.
    pub http2: Arc<Budget>,
    /// Who has which of the client connections.
    pub seats: Arc<SeatTable>,
    /// Whether XiVO answers.
    pub outage: Outage,
    /// What is on disk where it is newer than what runs.
    pub newer: Newer,
    /// Client connections that were accepted since the start.
    accepted: AtomicU64,
    started: Instant,
    /// The same by the calendar.
    pub since: Timestamp,
    workers: usize,
    /// What all callers have asked, those included that are no peers any longer.
    pub all: RequestCounts,
    /// What callers in no policy have asked.
    pub unknown: RequestCounts,
    /// What workers count beside requests.
    pub metrics: Metrics,
    /// The last heads that were refused for their form.
    pub(crate) malformed_heads: MalformedHeads,
    /// Callers in no policy that ask as a XiVO does.
    pub(crate) unknown_callers: UnknownCallers,
    /// What is known of host names.
    names: ArcSwap<Vec<NameState>>,
    /// Listeners that there were since the start.
    listeners: AtomicUsize,
    /// What is kept of peers whose policy is gone, as long as they have spent something, and of a number of those
    /// that have asked something: a policy that comes back finds it.
    former: Mutex<HashMap<PeerName, PeerState>>,
    /// What those have asked that are not kept.
    forgotten: Mutex<CountedRequests>,
    descriptors: usize,
}

/// What a reload puts in the place of the snapshot.
#[derive(Clone, Debug)]
pub struct Next {
    /// The configuration.
    pub config: Arc<Config>,
    /// XiVO's addresses.
    pub upstream: Vec<SocketAddr>,
    /// All listeners in the configuration's order, and behind them those that were removed and still have
    /// connections.
    pub listeners: Vec<ServedListener>,
}

impl Shared {
    /// What is shared by the workers of a gateway with this configuration.
    /// `descriptors` is how many this process may have open; each connection may need two.
    pub fn new(config: Arc<Config>, upstream: Vec<SocketAddr>, descriptors: usize) -> Self {
        let workers = worker_count(&config);
        let peers = Peers::new(config.policies.clone(), &[], |policy| state_of(policy, workers));
        let limits = &config.limits;
        let served = |(index, section): (usize, &crate::config::Listener)| ServedListener {
            id: ListenerId::at(index),
            section: Arc::new(section.clone()),
            tls: None,
        };
        Self {
            http2: Arc::default(),
            seats: Arc::new(SeatTable::new(ceilings(&config, descriptors))),
            outage: Outage::new(config.upstream.circuit_settings(), workers),
            newer: Newer::default(),
            accepted: AtomicU64::new(0),
            listeners: AtomicUsize::new(config.listeners.len()),
            former: Mutex::default(),
            forgotten: Mutex::default(),
            descriptors,
            started: Instant::now(),
            snapshot: ArcSwap::from_pointee(Snapshot {
                limits: Arc::new(GatewayLimits::new(
                    &limits.rate.value,
                    &limits.unknown_rate.value,
                    &limits.handshake_rate.value,
                    UNKNOWN_CALLERS,
                )),
                listeners: config.listeners.iter().enumerate().map(served).collect(),
                upstream_tls: config.upstream.tls.clone(),
                way: 0,
                config,
                peers: Arc::new(peers),
                disabled: Arc::default(),
                workers,
                lost: Arc::new([]),
                upstream,
            }),
            since: Timestamp::now(),
            workers,
            all: RequestCounts::new(workers),
            unknown: RequestCounts::new(workers),
            metrics: Metrics::new(workers),
            malformed_heads: MalformedHeads::default(),
            unknown_callers: UnknownCallers::default(),
            names: ArcSwap::default(),
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The snapshot as of now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Now, as the limits count it.
    pub fn moment(&self, now: Instant) -> Moment {
        Moment::since_start(now.saturating_duration_since(self.started))
    }

    /// Puts another configuration into the snapshot. What peers and callers have spent, have in flight and where
    /// they sit is counted on.
    pub fn reload(&self, next: &Next) {
        let now = self.moment(Instant::now());
        let before = self.snapshot();
        if before.config.limits.max_connections != next.config.limits.max_connections
            || before.config.limits.unknown_connections != next.config.limits.unknown_connections
        {
            self.seats.set_ceilings(ceilings(&next.config, self.descriptors));
        }
        let way = before.way;
        drop(before);
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_former(&mut former, now);
        self.replace(|before| {
            // Of the present one, which others may have changed meanwhile.
            former.extend(
                before.peers.iter().map(|peer| (peer.policy.name.clone(), peer.state.clone())),
            );
            before.followed_by(next, &former, now)
        });
        let snapshot = self.snapshot();
        self.adopt_circuit(&snapshot, snapshot.way != way);
        for peer in snapshot.peers.iter() {
            former.remove(&peer.policy.name);
        }
        self.forget_former(&mut former, now);
    }

    /// The circuit goes by this snapshot; of another XiVO than before, nothing is known.
    fn adopt_circuit(&self, snapshot: &Snapshot, is_another: bool) {
        let upstream = &snapshot.config.upstream;
        let never = self.outage.adopt(upstream.circuit_settings());
        if never {
            tracing::info!(
                "lookups are passed on to XiVO again, however many fail: upstream.circuit.failures is 0"
            );
        }
        if is_another && self.outage.forget() {
            tracing::info!(
                "lookups are passed on again: XiVO is reached otherwise now, at {}",
                upstream.url_text
            );
        }
    }

    /// Forgets whom it makes no difference to forget.
    ///
    /// What they have asked is kept as a sum: all peers together never have asked less than before. Whose requests
    /// may still be under way, as a snapshot with its policy is in use, is not forgotten.
    fn forget_former(&self, former: &mut HashMap<PeerName, PeerState>, now: Moment) {
        let at_rest = |state: &PeerState| {
            Arc::strong_count(&state.counts) == 1 && self.is_at_rest(&state.limits, now)
        };
        former.retain(|_, state| !at_rest(state) || state.counts.has_any());
        if former.len() > MOST_FORMER {
            let forgotten = former.extract_if(|_, state| at_rest(state));
            forgotten.for_each(|(_, state)| self.forgotten().add(&state.counts.sum()));
        }
    }

    fn forgotten(&self) -> MutexGuard<'_, CountedRequests> {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each peer has asked since the start, also those whose policy is gone, by name; and what those have that
    /// are forgotten.
    pub fn requests_by_peer(&self) -> (Vec<(PeerName, Arc<RequestCounts>)>, CountedRequests) {
        // Nobody goes over from one to the other meanwhile.
        let former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot();
        let peers = snapshot.peers.iter().map(|peer| (&peer.policy.name, &peer.state.counts));
        let gone = former.iter().map(|(name, state)| (name, &state.counts));
        let gone = gone.filter(|(_, counts)| counts.has_any());
        let mut all: Vec<_> =
            peers.chain(gone).map(|(name, counts)| (name.clone(), Arc::clone(counts))).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        (all, self.forgotten().clone())
    }

    /// Whether it makes no difference to forget them.
    fn is_at_rest(&self, limits: &PeerLimits, now: Moment) -> bool {
        limits.is_at_rest(now) && !self.seats.has_any(limits.class())
    }

    /// Notes what is on disk where it is newer than what runs.
    pub fn set_newer(&self, config: Option<Config>) {
        self.newer.set(config.map(|config| self.snapshot().as_judged_by(config)));
    }

    /// Puts other addresses of XiVO into the snapshot of this configuration. Says whether they differ from the
    /// previous ones.
    pub fn set_upstream(&self, config: &Arc<Config>, upstream: Vec<SocketAddr>) -> bool {
        let before = self.snapshot();
        let differ = Arc::ptr_eq(&before.config, config) && before.upstream != upstream;
        if differ {
            self.replace_of(config, |before| Snapshot {
                upstream: upstream.clone(),
                ..before.clone()
            });
        }
        differ
    }

    /// Puts other authorities of XiVO's into the snapshot of this configuration.
    pub fn set_upstream_tls(&self, config: &Arc<Config>, tls: &Arc<Tls>) {
        self.replace_of(config, |before| Snapshot {
            upstream_tls: Some(Arc::clone(tls)),
            way: before.way + 1,
            ..before.clone()
        });
    }

    /// Puts the addresses that names have into the snapshot, and those that they have no more. The
    /// peers' limits stay what they are. It has to be the snapshot of this configuration, whose names they are.
    pub fn set_names(&self, config: &Arc<Config>, resolved: &[Resolved], lost: &[Lost]) {
        self.replace_of(config, |before| {
            let known: HashMap<_, _> =
                before.peers.iter().map(|peer| (&peer.policy.name, &peer.state)).collect();
            let state = |policy: &Policy| match known.get(&policy.name) {
                Some(state) => (*state).clone(),
                None => state_of(policy, self.workers),
            };
            let peers = Peers::new(before.config.policies.clone(), resolved, state);
            Snapshot { peers: Arc::new(peers), lost: lost.into(), ..before.clone() }
        });
    }

    /// What is known of host names.
    pub fn names(&self) -> Arc<Vec<NameState>> {
        self.names.load_full()
    }

    /// Puts what is known of host names in the place of what was.
    pub fn set_name_states(&self, names: Vec<NameState>) {
        self.names.store(Arc::new(names));
    }

    /// Puts those who are switched off into the snapshot.
    pub fn set_disabled(&self, disabled: DisabledPeers) {
        let disabled = Arc::new(disabled);
        self.replace(|before| Snapshot { disabled: Arc::clone(&disabled), ..before.clone() });
    }

    /// Puts what a TLS listener has of certificates into the snapshot of this configuration.
    pub fn set_tls(&self, config: &Arc<Config>, listener: ListenerId, tls: &Arc<ListenerTls>) {
        self.replace_of(config, |before| {
            let mut all = before.listeners.to_vec();
            if let Some(served) = all.iter_mut().find(|served| served.id == listener) {
                served.tls = Some(Arc::clone(tls));
            }
            Snapshot { listeners: all.into(), ..before.clone() }
        });
    }

    /// Puts another snapshot in the place of the present one, if that is one of this configuration: what was found
    /// out for another one is found out again.
    fn replace_of(&self, config: &Arc<Config>, change: impl Fn(&Snapshot) -> Snapshot) {
        self.snapshot.rcu(|before| {
            if Arc::ptr_eq(&before.config, config) {
                Arc::new(change(before))
            } else {
                Arc::clone(before)
            }
        });
    }

    /// Puts another snapshot in the place of the present one; `change` may be called more than once
    /// where two threads do so at the same time.
    fn replace(&self, mut change: impl FnMut(&Snapshot) -> Snapshot) {
        self.snapshot.rcu(|before| change(before));
    }

    /// Counts a TLS handshake that a caller in no policy begins.
    pub(super) fn count_handshake(&self, class: CallerClass, now: Moment) -> Result<(), NoSeat> {
        let CallerClass::Handshake(caller) = class else { return Ok(()) };
        let counted = self.snapshot.load().limits.handshake(ClientAddress::new(caller), now);
        counted.map_err(|_| NoSeat::HandshakeRate)
    }

    /// Client connections that were accepted since the start and had a seat.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// A number for a connection that was accepted, which no other has.
    pub fn next_connection(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A name for a listener that is added, which no other ever had.
    pub fn next_listener(&self) -> ListenerId {
        ListenerId::at(self.listeners.fetch_add(1, Ordering::Relaxed))
    }

    /// Client connections that are open now.
    pub fn connections(&self) -> usize {
        self.seats.open()
    }
}

/// What is kept for a peer that is new.
fn state_of(policy: &Policy, workers: usize) -> PeerState {
    let limits = Arc::new(limits_of(policy));
    PeerState { limits, counts: Arc::new(RequestCounts::new(workers)) }
}

/// How many workers the configuration wants.
pub(crate) fn worker_count(config: &Config) -> usize {
    match config.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

impl Snapshot {
    /// The snapshot of another configuration behind this one, with the limits of peers that are, and of some that
    /// were.
    fn followed_by(&self, next: &Next, known: &HashMap<PeerName, PeerState>, now: Moment) -> Self {
        let Next { config, upstream, listeners } = next;
        let workers = self.workers;
        let state = |policy: &Policy| match known.get(&policy.name) {
            Some(PeerState { limits, counts }) => {
                let connections = policy.connections.as_ref().map(|share| share.value);
                let (rate, concurrent) = (&policy.rate.value, policy.concurrent.value);
                let limits = limits.at(rate, concurrent, connections, now);
                PeerState { limits, counts: Arc::clone(counts) }
            }
            None => state_of(policy, workers),
        };
        let (resolved, lost) = self.names_of(config);
        let rates = &config.limits;
        let same_tls = match (&self.upstream_tls, &config.upstream.tls) {
            (Some(running), Some(read)) => running.trusts_as(read),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let (was, is) = (&self.config.upstream, &config.upstream);
        // They may have been resolved again since the reload began.
        let known = (&was.host, was.port) == (&is.host, is.port);
        let goes_on = same_tls && config.upstream.is_reached_as(&self.config.upstream);
        // With the same settings sessions can be resumed.
        let tls = if goes_on { &self.upstream_tls } else { &config.upstream.tls };
        Self {
            peers: Arc::new(Peers::new(config.policies.clone(), &resolved, state)),
            disabled: Arc::clone(&self.disabled),
            workers,
            limits: Arc::new(self.limits.at(
                &rates.rate.value,
                &rates.unknown_rate.value,
                &rates.handshake_rate.value,
                now,
            )),
            lost: lost.into(),
            listeners: listeners.clone().into(),
            upstream_tls: tls.clone(),
            way: self.way + u64::from(!goes_on),
            upstream: if known { self.upstream.clone() } else { upstream.clone() },
            config: Arc::clone(config),
        }
    }

    /// What another configuration would make of requests that come now; nobody is served by it.
    fn as_judged_by(&self, config: Config) -> Self {
        let config = Arc::new(config);
        let (resolved, lost) = self.names_of(&config);
        let state = |policy: &Policy| state_of(policy, 0);
        let section = |served: &ServedListener| {
            let same = config.listeners.iter().find(|it| it.address == served.section.address);
            same.map_or_else(|| Arc::clone(&served.section), |section| Arc::new(section.clone()))
        };
        let listeners = self.listeners.iter();
        Self {
            peers: Arc::new(Peers::new(config.policies.clone(), &resolved, state)),
            lost: lost.into(),
            listeners: listeners
                .map(|served| ServedListener { section: section(served), ..served.clone() })
                .collect(),
            config: Arc::clone(&config),
            ..self.clone()
        }
    }

    /// The addresses of those names that `config` has, too; the others' come when they were resolved.
    fn names_of(&self, config: &Config) -> (Vec<Resolved>, Vec<Lost>) {
        let mut names = HashMap::new();
        for policy in &config.policies {
            let rule = policy.certificate.as_ref();
            if rule.is_some_and(|rule| rule.require == Require::Certificate) {
                continue;
            }
            for host in &policy.hosts {
                if let Host::Name(name) = &host.value {
                    names.insert((&policy.name, name), &host.location);
                }
            }
        }
        let resolved = self.peers.resolved().iter().filter_map(|known| {
            let location = names.get(&(&known.peer, &known.name))?;
            Some(Resolved { location: (*location).clone(), ..known.clone() })
        });
        let lost = self.lost.iter().filter_map(|known| {
            let location = names.get(&(&known.peer, &known.name))?;
            Some(Lost { location: (*location).clone(), ..known.clone() })
        });
        (resolved.collect(), lost.collect())
    }
}

fn limits_of(policy: &Policy) -> PeerLimits {
    let connections = policy.connections.as_ref().map(|connections| connections.value);
    PeerLimits::new(&policy.rate.value, policy.concurrent.value).with_connections(connections)
}

fn ceilings(config: &Config, descriptors: usize) -> Ceilings {
    let limits = &config.limits;
    Ceilings::new(ceiling(limits.max_connections, descriptors), limits.unknown_connections)
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
pub(crate) const OWN_DESCRIPTORS: usize = 128;

/// Former peers of whom nothing is kept but what they have asked.
const MOST_FORMER: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::counts::Ended;

    /// A configuration with so many peers.
    fn config(peers: usize) -> Arc<Config> {
        let main = "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\n\
                    url = \"http://192.0.2.1\"\nsource = \"192.0.2.2\"\n";
        let policies: Vec<(String, String)> = (0..peers)
            .map(|number| {
                let host = format!("10.0.{}.{}", number / 256, number % 256);
                (format!("policies/peer-{number}.toml"), format!("hosts = [\"{host}\"]\n"))
            })
            .collect();
        let policies: Vec<(&str, &str)> =
            policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        Arc::new(Config::from_texts(("gateway.toml", main), &policies).unwrap().0)
    }

    fn reload(shared: &Shared, config: Arc<Config>) {
        shared.reload(&Next { config, upstream: Vec::new(), listeners: Vec::new() });
    }

    #[test]
    fn what_peers_have_asked_is_never_less_also_of_those_that_are_forgotten() {
        let peers = MOST_FORMER + 5;
        let shared = Shared::new(config(peers), Vec::new(), usize::MAX);
        let snapshot = shared.snapshot();
        let ask = || {
            let counts = snapshot.peers.iter().map(|peer| &peer.state.counts);
            counts.for_each(|counts| counts.count(0, 1, Ended::Answered));
        };
        let all = || {
            let (peers, forgotten) = shared.requests_by_peer();
            let of_peers: u64 = peers.iter().map(|(_, counts)| counts.sum().answered).sum();
            (peers.len(), of_peers + forgotten.answered)
        };
        ask();
        assert_eq!(all(), (peers, peers as u64));
        // They are gone, and requests of theirs are under way.
        for _ in 0..3 {
            reload(&shared, config(1));
        }
        assert_eq!(all(), (peers, peers as u64));
        ask();
        assert_eq!(all(), (peers, 2 * peers as u64));
        drop(snapshot);
        reload(&shared, config(1));
        assert_eq!(all(), (1, 2 * peers as u64));
    }
}
