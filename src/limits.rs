//! How much a caller may ask: rates of peers, gateway and unknown callers, and lookups in flight.
//!
//! Guarantees:
//! - All limits are shared by all workers and exact over them: there is no share per worker.
//! - A peer's request spends a token of the peer and one of the gateway, or none.
//! - Callers that are in no policy have small buckets of their own and spend nothing of the gateway's:
//!   unknown callers cannot use up what belongs to the peers.
//! - A refusal says after how many whole seconds, at least one, the limit that refused has a token again
//!   (`Retry-After`, RFC 9110, section 10.2.3), and costs the caller nothing.
//! - No clock is read here: the moment comes with the request.
//!
//! `burst` is how many requests may come at once. nginx's `burst=` with `nodelay` is one less for the
//! same behaviour, since its first request is not part of the burst; see [`bucket`].
//!
//! Imports `net`, `policy`. Begin with [`GatewayLimits`], then `seats.rs`.

mod account;
pub(crate) mod bucket;
pub(crate) mod budget;
pub(crate) mod seats;
mod unknown;

#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use bucket::{Moment, TooSoon};
pub(crate) use seats::{
    CallerClass, Ceilings, HolderSeats, NoSeat, PeerId, SeatCensus, SeatGuard, SeatHolder,
    SeatTable,
};

use crate::net::client_address::ClientAddress;
use crate::policy::Rate;

use account::Account;

/// How many unknown callers are remembered, unless told otherwise: some 11 MB when full.
pub(crate) const UNKNOWN_CALLERS: usize = 65_536;

/// What one peer may ask: its rate, and its lookups in flight.
///
/// Another policy of the same peer gets limits of its own ([`Self::at`]); what is spent, in flight and seated is
/// counted on.
#[derive(Debug)]
pub struct PeerLimits {
    account: Arc<Account>,
    in_flight: Arc<AtomicU32>,
    concurrent: u32,
    id: PeerId,
    connections: Option<usize>,
}

impl PeerLimits {
    /// A full bucket, and nothing in flight; as many client connections as the gateway gives a peer.
    pub fn new(rate: &Rate, concurrent: u32) -> Self {
        Self {
            account: Arc::new(Account::new(rate)),
            in_flight: Arc::default(),
            concurrent,
            id: PeerId::next(),
            connections: None,
        }
    }

    /// The same with the policy's own `connections` limit, where it has one.
    #[must_use]
    pub fn with_connections(self, connections: Option<usize>) -> Self {
        Self { connections, ..self }
    }

    /// The limits of the same peer by another policy, at `now`: these where they are the same. Of a changed
    /// rate as much is spent as of this one; what is spent of this one from now on counts there.
    #[must_use]
    pub fn at(
        self: &Arc<Self>,
        rate: &Rate,
        concurrent: u32,
        connections: Option<usize>,
        now: Moment,
    ) -> Arc<Self> {
        let account = self.account.at(rate, now);
        let same = Arc::ptr_eq(&account, &self.account);
        if same && (self.concurrent, self.connections) == (concurrent, connections) {
            return Arc::clone(self);
        }
        let in_flight = Arc::clone(&self.in_flight);
        Arc::new(Self { account, in_flight, concurrent, id: self.id, connections })
    }

    /// Whether it makes no difference to forget them: nothing is spent at `now`, and nothing in flight.
    pub fn is_at_rest(&self, now: Moment) -> bool {
        self.account.is_full(now) && self.in_flight() == 0
    }

    /// The peer, as its client connections are counted.
    pub fn class(&self) -> CallerClass {
        CallerClass::Peer { id: self.id, share: self.connections }
    }

    /// Takes one of the peer's places for lookups in flight. It is free again when the slot is
    /// dropped, however the lookup ended.
    ///
    /// # Errors
    /// All of them are taken.
    pub fn slot(self: &Arc<Self>) -> Result<Slot, TooMany> {
        let one_more = |count: u32| (count < self.concurrent).then(|| count + 1);
        self.in_flight
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more)
            .map(|_| Slot(Arc::clone(&self.in_flight)))
            .map_err(|_| TooMany { concurrent: self.concurrent })
    }

    /// The peer, as its seats are counted.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// How many requests may come at once at `now`, by the peer's own rate.
    pub fn left(&self, now: Moment) -> u32 {
        self.account.left(now)
    }

    /// Fills the peer's rate.
    pub fn reset(&self) {
        self.account.refill();
    }

    /// How many slots are held now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// A place among a peer's lookups in flight, held until it is dropped.
#[derive(Debug)]
#[must_use = "the place is free again as soon as the slot is dropped"]
pub struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// What all peers together may ask, and what unknown callers may.
#[derive(Debug)]
pub struct GatewayLimits {
    gateway: Arc<Account>,
    unknown: Arc<unknown::UnknownCallers>,
    handshakes: Arc<unknown::UnknownCallers>,
}

impl GatewayLimits {
    /// Full buckets, of these rates: all peers', and an unknown caller's requests and TLS handshakes.
    /// `unknown_callers` is how many of those are remembered, [`UNKNOWN_CALLERS`] as a rule; it is
    /// rounded up a little, to share the tables out evenly.
    pub fn new(gateway: &Rate, unknown: &Rate, handshakes: &Rate, unknown_callers: usize) -> Self {
        let table = |rate| Arc::new(unknown::UnknownCallers::new(rate, unknown_callers));
        Self {
            gateway: Arc::new(Account::new(gateway)),
            unknown: table(unknown),
            handshakes: table(handshakes),
        }
    }

    /// The same at other rates, at `now`: of a changed one as much is spent as of the former.
    #[must_use]
    pub fn at(&self, gateway: &Rate, unknown: &Rate, handshakes: &Rate, now: Moment) -> Self {
        Self {
            gateway: self.gateway.at(gateway, now),
            unknown: self.unknown.at(unknown, now),
            handshakes: self.handshakes.at(handshakes, now),
        }
    }

    /// Spends a token of `peer` and one of the gateway, or neither.
    ///
    /// The peer is asked first, so one that is over its own rate does not touch the gateway's number,
    /// which all workers write to.
    ///
    /// # Errors
    /// What is used up.
    pub fn admit(&self, peer: &PeerLimits, now: Moment) -> Result<Admitted, RateLimited> {
        let of_peer = peer.account.take(now).map_err(|e| RateLimited::new(Limit::Peer, e))?;
        match self.gateway.take(now) {
            Ok(_spent) => Ok(Admitted(())),
            Err(refused) => {
                of_peer.give_back();
                Err(RateLimited::new(Limit::Gateway, refused))
            }
        }
    }

    /// Counts a request of a caller that is in no policy, or that the reader could not make sense of.
    ///
    /// Such a request is refused in any case. `Ok` says that it is answered with its own refusal (403
    /// for an unknown peer), `Err` that this is now 429 and the end of the connection.
    ///
    /// # Errors
    /// The rate of callers in no policy is used up.
    pub fn unknown(&self, caller: ClientAddress, now: Moment) -> Result<(), RateLimited> {
        self.unknown.take(caller, now).map_err(|e| RateLimited::new(Limit::Unknown, e))
    }

    /// Counts a TLS handshake that a caller in no policy begins.
    ///
    /// # Errors
    /// It has begun too many; the connection is closed before anything is read.
    pub fn handshake(&self, caller: ClientAddress, now: Moment) -> Result<(), RateLimited> {
        self.handshakes.take(caller, now).map_err(|e| RateLimited::new(Limit::Unknown, e))
    }

    /// Refunds a counted handshake: its certificate has shown that it is a peer's.
    pub fn credit_handshake(&self, caller: ClientAddress) {
        self.handshakes.give_back(caller);
    }

    /// How many unknown callers are remembered now.
    pub fn unknown_callers(&self) -> usize {
        self.unknown.len()
    }
}

/// Proof that a peer's request spent its tokens. Only [`GatewayLimits::admit`] makes one.
#[derive(Debug)]
#[must_use = "an admitted request goes on to be parsed"]
pub struct Admitted(());

/// Which rate refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// The peer's own.
    Peer,
    /// That of all peers together.
    Gateway,
    /// That of a caller in no policy.
    Unknown,
}

impl Limit {
    /// The word for it in log and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Gateway => "gateway",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request came too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {limit} rate is used up; try again in {retry_after_seconds} s")]
pub struct RateLimited {
    /// The rate that refused.
    pub limit: Limit,
    /// The value of `Retry-After`: the seconds until that rate has a token, rounded up, at least 1.
    pub retry_after_seconds: NonZeroU32,
}

impl RateLimited {
    fn new(limit: Limit, refused: TooSoon) -> Self {
        let wait = refused.retry_after;
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Self { limit, retry_after_seconds: NonZeroU32::new(seconds).unwrap_or(NonZeroU32::MIN) }
    }
}

/// As many of the peer's lookups are in flight as its policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{concurrent} {} in flight, which is all that `concurrent` allows", lookups_are(*.concurrent))]
pub struct TooMany {
    /// The policy's `concurrent`.
    pub concurrent: u32,
}

fn lookups_are(concurrent: u32) -> &'static str {
    if concurrent == 1 { "lookup is" } else { "lookups are" }
}

impl TooMany {
    /// The value of `Retry-After`. When a lookup will end cannot be known; a second is the least that
    /// the field can say, and lookups end sooner as a rule.
    pub fn retry_after_seconds(self) -> NonZeroU32 {
        NonZeroU32::MIN
    }
}
