//! The buckets of callers that are in no policy: one small bucket each, and a bounded number of them.

use std::convert::Infallible;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::bucket::{Bucket, Moment, TooSoon};
use crate::net::client_address::ClientAddress;
use crate::policy::Rate;

/// A bucket for each unknown IPv4 address or IPv6 /64 that was seen of late.
///
/// When the table is full, a new caller takes the place of one that is not asking much. Whoever lost
/// its place starts with a full bucket when it comes again. That is acceptable because nothing is
/// guarded by these buckets but the kind of refusal: an unknown caller gets 403 or 429 and never a lookup. An
/// attacker who spends tens of thousands of addresses on it wins a few 403 more, and can neither make
/// the table grow nor lock anybody else out, which a table that turns newcomers away would do.
#[derive(Debug)]
pub(super) struct UnknownCallers {
    rate: Rate,
    // std's keyed hash: unknown callers choose the keys, so they must not be able to choose collisions.
    buckets: Cache<IpAddr, Arc<Bucket>, UnitWeighter, RandomState>,
}

impl UnknownCallers {
    pub(super) fn new(rate: &Rate, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let buckets = Cache::with(
            capacity,
            u64::try_from(capacity).unwrap_or(u64::MAX),
            UnitWeighter,
            RandomState::new(),
            DefaultLifecycle::default(),
        );
        Self { rate: *rate, buckets }
    }

    /// This table where `rate` is its own, else one of `rate` in which every known caller has spent as much of
    /// its bucket as here at `now`. What is spent here while that is made may be forgiven: see above.
    pub(super) fn at(self: &Arc<Self>, rate: &Rate, now: Moment) -> Arc<Self> {
        if self.rate == *rate {
            return Arc::clone(self);
        }
        let capacity = usize::try_from(self.buckets.capacity()).unwrap_or(usize::MAX);
        let next = Self::new(rate, capacity);
        for (caller, bucket) in self.buckets.iter() {
            if !bucket.is_full(now) {
                let of_rate = Bucket::new(rate);
                of_rate.begin_with(bucket.spent(now), now);
                next.buckets.insert(caller, Arc::new(of_rate));
            }
        }
        Arc::new(next)
    }

    pub(super) fn take(&self, caller: ClientAddress, now: Moment) -> Result<(), TooSoon> {
        let new = || Ok::<_, Infallible>(Arc::new(Bucket::new(&self.rate)));
        let Ok(bucket) = self.buckets.get_or_insert_with(&caller.unknown_caller_key(), new);
        bucket.take(now).map(super::bucket::Token::spend)
    }

    /// Puts a token back that `caller` has spent, unless the caller has been forgotten meanwhile: then its
    /// bucket will be a full one.
    pub(super) fn give_back(&self, caller: ClientAddress) {
        if let Some(bucket) = self.buckets.get(&caller.unknown_caller_key()) {
            let _unless_closed = bucket.give_back();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }
}
