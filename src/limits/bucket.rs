//! One bucket of tokens, shared by all threads: governor's GCRA over one atomic number.
//!
//! The number is the *theoretical arrival time* (TAT) of GCRA, in nanoseconds since the process began:
//! until then the tokens spent so far will have been earned again. A request at `now` passes if
//! `TAT - now` is at most `burst - 1` intervals, and sets `TAT = max(TAT, now) + interval`. This is
//! the rule of nginx's `limit_req` with `nodelay` (`excess` is `TAT - now` less one interval, counted
//! in thousandths of a request), except that nginx sees time in milliseconds and lets the first
//! request of a burst go uncounted: `burst = N` here is `burst=N-1` there.
//!
//! Guarantees:
//! - Exact over all threads: every token is spent by one compare-and-swap of the one number.
//! - A refused request changes nothing, so a caller that hammers is not punished further.
//! - No clock is read, nothing overflows and nothing panics, whatever the rate and the moment.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use crate::policy::Rate;

/// The time since the process began, on a clock that never goes back.
///
/// The caller reads it once for a request and hands it to every step, so that all steps see the
/// same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The last one, 292 years after the process began; later ones are taken for it.
    const LAST: u64 = i64::MAX as u64;

    /// The moment `elapsed` after the process began.
    pub fn since_start(elapsed: Duration) -> Self {
        Self(saturating_nanos(elapsed).min(Self::LAST))
    }

    /// The nanoseconds until then.
    pub(crate) fn nanos(self) -> u64 {
        self.0
    }
}

/// A bucket that holds at most `burst` tokens and earns one every `period / requests`.
#[derive(Debug)]
pub(crate) struct Bucket {
    quota: Quota,
    arrival: TheoreticalArrival,
}

impl Bucket {
    /// A full bucket.
    ///
    /// The interval between two tokens is cut to whole nanoseconds, so a caller that keeps exactly
    /// to its rate is never refused. More than one request per nanosecond is one per nanosecond, and
    /// a burst that would take more than 146 years to earn is cut to what can be earned in them.
    pub(crate) fn new(rate: &Rate) -> Self {
        let interval = saturating_nanos(rate.period) / u64::from(rate.requests.get());
        let interval = interval.clamp(1, LONGEST_FILL);
        let earnable = u32::try_from(LONGEST_FILL / interval).unwrap_or(u32::MAX);
        // `earnable` is at least 1, so the minimum with it cannot be zero.
        let burst = NonZeroU32::new(earnable).map_or(rate.burst, |e| e.min(rate.burst));
        #[expect(clippy::expect_used, reason = "only an interval of zero is refused; it is >= 1")]
        let quota = Quota::with_period(Duration::from_nanos(interval)).expect("interval >= 1 ns");
        Self { quota: quota.allow_burst(burst), arrival: TheoreticalArrival::default() }
    }

    /// Spends a token, or says how long it takes until one is there.
    ///
    /// Threads may come with their moments out of order: an older moment sees less earned, never more.
    ///
    /// # Errors
    /// [`TooSoon`]
    pub(crate) fn take(&self, now: Moment) -> Result<Token<'_>, TooSoon> {
        // governor asks its clock for the time and cannot be handed it. GCRA however depends only on
        // the difference of TAT and now, so the limiter is run where now is always zero: the key
        // carries the moment to the store, and the store hands out `TAT - now` in place of TAT. This
        // needs no thread-local and no second atomic. The limiter itself is two numbers on the stack.
        let limiter: RateLimiter<_, _, _, NoOpMiddleware<Nanos>> =
            RateLimiter::new(self.quota, &self.arrival, AlwaysZero);
        match limiter.check_key(&now) {
            Ok(()) => Ok(Token(self)),
            Err(refused) => Err(TooSoon { retry_after: refused.wait_time_from(AlwaysZero.now()) }),
        }
    }

    /// How many tokens are there at `now`.
    pub(super) fn left(&self, now: Moment) -> u32 {
        let ahead = self.arrival.0.load(Ordering::Acquire).saturating_sub(now.0);
        let out = u32::try_from(ahead.div_ceil(self.interval().max(1))).unwrap_or(u32::MAX);
        self.quota.burst_size().get().saturating_sub(out)
    }

    /// Puts all tokens back. `false`: it is closed, and takes none.
    pub(super) fn refill(&self) -> bool {
        let full = |arrival: u64| (arrival != CLOSED).then_some(0);
        self.arrival.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, full).is_ok()
    }

    fn interval(&self) -> u64 {
        saturating_nanos(self.quota.replenish_interval())
    }

    /// Puts a token back that was spent a while ago, as [`Token::give_back`] does at once. What the bucket
    /// earned meanwhile it keeps, so it gains at most the time between. `false`: it is closed, and takes none.
    pub(super) fn give_back(&self) -> bool {
        let interval = self.interval();
        // The number never gets below zero, since it holds an interval for each token that is out.
        // Saturation only keeps a future mistake from turning into a bucket that is shut for centuries.
        let earlier = |arrival: u64| (arrival != CLOSED).then(|| arrival.saturating_sub(interval));
        self.arrival.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, earlier).is_ok()
    }

    /// Whether the other has the same rate and burst.
    pub(super) fn has_quota_of(&self, other: &Self) -> bool {
        self.quota == other.quota
    }

    /// Takes no more tokens and gives none, for good; yields which part of it is spent at `now`.
    pub(super) fn close(&self, now: Moment) -> SpentPart {
        let arrival = self.arrival.0.swap(CLOSED, Ordering::AcqRel);
        SpentPart { ahead: arrival.saturating_sub(now.0), of: self.fill() }
    }

    /// Which part of it is spent at `now`.
    pub(super) fn spent(&self, now: Moment) -> SpentPart {
        let arrival = self.arrival.0.load(Ordering::Acquire);
        SpentPart { ahead: arrival.saturating_sub(now.0), of: self.fill() }
    }

    /// Spends this part of a bucket that nobody else has seen.
    pub(super) fn begin_with(&self, spent: SpentPart, now: Moment) {
        let SpentPart { ahead, of } = spent;
        // Rounded up, so that nothing is won by changing the rate to and fro.
        let ahead = (u128::from(ahead) * u128::from(self.fill())).div_ceil(u128::from(of.max(1)));
        let ahead = u64::try_from(ahead).unwrap_or(LONGEST_FILL).min(LONGEST_FILL);
        self.arrival.0.store(now.0.saturating_add(ahead), Ordering::Release);
    }

    /// Whether [`Self::close`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.arrival.0.load(Ordering::Acquire) == CLOSED
    }

    /// Whether all of it has been earned again at `now`.
    pub(super) fn is_full(&self, now: Moment) -> bool {
        self.arrival.0.load(Ordering::Acquire) <= now.0
    }

    /// How long an empty one takes to fill, in nanoseconds.
    fn fill(&self) -> u64 {
        self.interval().saturating_mul(u64::from(self.quota.burst_size().get())).max(1)
    }
}

/// Which part of a bucket is spent: so many nanoseconds of those that it takes to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpentPart {
    ahead: u64,
    of: u64,
}

/// A token that was spent. Dropping it leaves it spent.
#[derive(Debug)]
#[must_use = "a token that is not given back stays spent; say so with `.spend()`"]
pub(crate) struct Token<'a>(&'a Bucket);

impl Token<'_> {
    /// Leaves the token spent.
    pub(crate) fn spend(self) {}

    /// Puts the token back: TAT goes back by one interval.
    ///
    /// That undoes the spending exactly. Where the old TAT lay ahead of `now`, it is the old number
    /// again. Where it lay in the past, spending made it `now + interval` and this makes it `now`,
    /// which is another number but the same bucket: from `now` on, GCRA treats both as "full".
    /// Others who spent or gave back in between added or subtracted whole intervals, and sums do not
    /// mind their order, so theirs stay as they are.
    ///
    /// One thing cannot be known here: whether somebody with a *later* moment spent in between and
    /// found that part of our interval had been earned again. Then the bucket gains at most the time
    /// between the two moments, and never more than this one token. Both moments belong to requests
    /// that are being admitted at the same time, so this is microseconds of credit.
    #[cfg_attr(not(test), expect(dead_code, reason = "an account gives back itself"))]
    pub(crate) fn give_back(self) {
        let _unless_closed = self.0.give_back();
    }
}

/// The bucket is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rate is used up; the next request may come in {retry_after:?}")]
pub(crate) struct TooSoon {
    /// From then on a token is there, if nobody else takes it.
    pub retry_after: Duration,
}

/// TAT in nanoseconds since the process began; zero is a full bucket.
#[derive(Debug, Default)]
struct TheoreticalArrival(AtomicU64);

impl StateStore for &TheoreticalArrival {
    type Key = Moment;

    fn measure_and_replace<T, F, E>(&self, now: &Moment, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut before = self.0.load(Ordering::Acquire);
        loop {
            // A TAT in the past counts as now, as GCRA's own `max(TAT, now)` does.
            let ahead = Nanos::new(before.saturating_sub(now.0));
            let (outcome, ahead) = judge(Some(ahead))?;
            let after = now.0.saturating_add(ahead.as_u64());
            match self.0.compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(outcome),
                Err(current) => before = current,
            }
        }
    }
}

/// The clock of a limiter whose store already counts from now.
#[derive(Debug)]
struct AlwaysZero;

impl Clock for AlwaysZero {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The longest time that a bucket may take to fill, about 146 years in nanoseconds. It leaves room to
/// add it to any [`Moment`].
const LONGEST_FILL: u64 = 1 << 62;

/// The number of a bucket that is closed: later than any that comes of a [`Moment`] and a fill, so that every
/// request finds it empty.
const CLOSED: u64 = 3 << 62;
