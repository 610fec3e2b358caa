//! A bucket whose rate may be changed while requests are spending from it: another one takes its place, with
//! what was spent in proportion.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::bucket::{Bucket, Moment, TooSoon};
use crate::policy::Rate;

/// A bucket, and the one that has taken its place.
///
/// A request that began under an older configuration may still spend from the former bucket when the new one
/// is there. The former is therefore closed when its debt is taken over, and whoever finds it closed spends
/// from its successor: no token is spent that does not count, and none is counted twice.
#[derive(Debug)]
pub(super) struct Account {
    bucket: Bucket,
    successor: OnceLock<Arc<Self>>,
    /// Held while the successor takes over.
    handing_over: Mutex<()>,
}

/// A token that was spent, and where. Dropping it leaves it spent.
#[derive(Debug)]
#[must_use = "a token that is not given back stays spent"]
pub(super) struct Spent<'a>(&'a Account);

impl Spent<'_> {
    /// Puts the token back, into the bucket that has taken the place of its own where there is one.
    pub(super) fn give_back(self) {
        let mut account = self.0;
        while !account.bucket.give_back() {
            let Some(next) = account.next() else { return };
            account = next;
        }
    }
}

impl Account {
    /// A full bucket.
    pub(super) fn new(rate: &Rate) -> Self {
        Self { bucket: Bucket::new(rate), successor: OnceLock::new(), handing_over: Mutex::new(()) }
    }

    /// Spends a token, or says how long it takes until one is there.
    pub(super) fn take(&self, now: Moment) -> Result<Spent<'_>, TooSoon> {
        let mut account = self;
        loop {
            let too_soon = match account.bucket.take(now) {
                Ok(token) => {
                    token.spend();
                    return Ok(Spent(account));
                }
                Err(too_soon) => too_soon,
            };
            match account.bucket.is_closed().then(|| account.next()).flatten() {
                Some(next) => account = next,
                None => return Err(too_soon),
            }
        }
    }

    /// This account where `rate` is its own, else one of `rate` that takes its place, as much of it spent as
    /// of this one at `now`.
    pub(super) fn at(self: &Arc<Self>, rate: &Rate, now: Moment) -> Arc<Self> {
        let next = Self::new(rate);
        if self.bucket.has_quota_of(&next.bucket) {
            return Arc::clone(self);
        }
        let _handing_over = self.lock();
        if let Some(successor) = self.successor.get() {
            return successor.at(rate, now);
        }
        let spent = self.bucket.close(now);
        next.bucket.begin_with(spent, now);
        let next = Arc::new(next);
        // It was empty a line ago, and is set by whoever holds the lock.
        let _ = self.successor.set(Arc::clone(&next));
        next
    }

    /// Whether all of it has been earned again at `now`.
    pub(super) fn is_full(&self, now: Moment) -> bool {
        self.bucket.is_full(now)
    }

    /// How many tokens are there at `now`.
    pub(super) fn left(&self, now: Moment) -> u32 {
        let mut account = self;
        while account.bucket.is_closed() {
            let Some(next) = account.next() else { break };
            account = next;
        }
        account.bucket.left(now)
    }

    /// Puts all tokens back, into the bucket that has taken the place of this one where there is one.
    pub(super) fn refill(&self) {
        let mut account = self;
        while !account.bucket.refill() {
            let Some(next) = account.next() else { return };
            account = next;
        }
    }

    /// Who has taken the place of this one, which was found closed.
    fn next(&self) -> Option<&Self> {
        drop(self.lock());
        self.successor.get().map(Arc::as_ref)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.handing_over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
