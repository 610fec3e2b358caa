//! What was asked in the last hour and in the last day, for charts: a fixed memory, filled from the workers' counters.
//!
//! One [`History`] holds 60 slots of a minute and 96 of a quarter of an hour, 24 bytes each, and what they are counted
//! from: 4.5 KB in all. Besides, it has of each of at most [`MOST_PEERS`] peers the requests of 60 minutes: at most 0.5 KB
//! a peer, its name included, and no more than 0.5 MB. Nothing grows with what is asked.
//!
//! Time is counted from any moment on by a clock that is never set: slots are so and so old, whatever the calendar does.
//! What is asked between two samples counts in the slot in which the second is taken, so a slot is as exact as samples
//! are frequent.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::policy::PeerName;
use crate::refusal::Reason;
use crate::worker::counts::CountedRequests;
use crate::worker::metrics::BOUNDS_MILLIS;

/// How many answers took how long: those up to each of [`BOUNDS_MILLIS`] and longer than the one before, and those
/// longer than all. They count on from the start.
pub(crate) type Durations = [u64; BOUNDS_MILLIS.len() + 1];

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Lookups that XiVO answered, and callers that were told who they are.
    pub answered: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Lookups that failed by a fault of XiVO's, or on the way to it.
    pub failed: u64,
    /// Those whose client left before the answer.
    pub left: u64,
    /// How long XiVO's answers took; all zero where that is not measured.
    pub durations: Durations,
}

impl Totals {
    /// What the workers have counted.
    pub(crate) fn of(counted: &CountedRequests, durations: Durations) -> Self {
        let mut totals =
            Self { answered: counted.answered + counted.introduced, durations, ..Self::default() };
        for &(reason, count) in &counted.refused {
            let of_kind = if reason == Reason::ClientClosed {
                &mut totals.left
            } else if reason.is_upstreams() {
                &mut totals.failed
            } else {
                &mut totals.refused
            };
            *of_kind += count;
        }
        totals
    }
}

/// What was asked in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    /// As in [`Totals`].
    pub answered: u32,
    /// As in [`Totals`].
    pub refused: u32,
    /// As in [`Totals`].
    pub failed: u32,
    /// As in [`Totals`].
    pub left: u32,
    /// Half of the answers took at most so many milliseconds; an estimate. `None`: there was none.
    pub p50_millis: Option<NonZeroU32>,
    /// The same of 99 of 100.
    pub p99_millis: Option<NonZeroU32>,
}

impl Slot {
    fn between(before: &Totals, now: &Totals) -> Self {
        let count =
            |before: u64, now: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        let mut durations = Durations::default();
        for ((count, before), now) in
            durations.iter_mut().zip(&before.durations).zip(&now.durations)
        {
            *count = now.saturating_sub(*before);
        }
        Self {
            answered: count(before.answered, now.answered),
            refused: count(before.refused, now.refused),
            failed: count(before.failed, now.failed),
            left: count(before.left, now.left),
            p50_millis: quantile(&durations, 50),
            p99_millis: quantile(&durations, 99),
        }
    }
}

/// So many percent took no longer than that, as far as the bounds tell: within them durations are taken to be evenly
/// spread, as Prometheus does.
pub(crate) fn quantile(durations: &Durations, percent: u64) -> Option<NonZeroU32> {
    let all: u128 = durations.iter().copied().map(u128::from).sum();
    let mut rank = (all * u128::from(percent)).div_ceil(100).max(1);
    let mut lower = 0;
    for (count, upper) in durations.iter().zip(BOUNDS_MILLIS) {
        let count = u128::from(*count);
        if rank <= count {
            let within = (u128::from(upper - lower) * rank).div_ceil(count);
            let millis = lower.saturating_add(u32::try_from(within).unwrap_or(u32::MAX));
            return NonZeroU32::new(millis);
        }
        rank -= count;
        lower = upper;
    }
    // Longer than all bounds.
    if all > 0 { NonZeroU32::new(lower) } else { None }
}

/// The last `N` stretches of time.
#[derive(Debug)]
struct Ring<const N: usize> {
    /// How long each is.
    length: Duration,
    slots: [Slot; N],
    /// Which one is being filled, counted from the clock's begin.
    current: u64,
    /// How many there are so far.
    filled: usize,
    /// What had been counted when it began.
    before: Totals,
    /// What had been counted at the last sample.
    last: Totals,
}

impl<const N: usize> Ring<N> {
    fn new(length: Duration, now: Duration, totals: Totals) -> Self {
        let current = number(now, length);
        Self {
            length,
            slots: [Slot::default(); N],
            current,
            filled: 1,
            before: totals,
            last: totals,
        }
    }

    fn sample(&mut self, now: Duration, totals: Totals) {
        let number = number(now, self.length);
        if number > self.current {
            let over = usize::try_from(number - self.current).unwrap_or(usize::MAX);
            // Those in between had no sample, so nothing is known to have been asked in them.
            for passed in 1..=over.min(N) as u64 {
                *self.slot(self.current + passed) = Slot::default();
            }
            self.filled = self.filled.saturating_add(over).min(N);
            self.current = number;
            self.before = self.last;
        }
        self.last = totals;
        let before = self.before;
        *self.slot(self.current) = Slot::between(&before, &totals);
    }

    fn slot(&mut self, number: u64) -> &mut Slot {
        &mut self.slots[position(number, N)]
    }

    /// Those since the start, the one being filled last.
    fn slots(&self) -> impl Iterator<Item = Slot> {
        let first = self.current + 1 - self.filled.min(N) as u64;
        (first..=self.current).map(|number| self.slots[position(number, N)])
    }
}

fn number(now: Duration, length: Duration) -> u64 {
    // The clock may begin at 0, and the slots before the first are never looked at.
    now.as_secs() / length.as_secs().max(1) + A_DAYS_SLOTS as u64
}

fn position(number: u64, of: usize) -> usize {
    usize::try_from(number % of as u64).unwrap_or(0)
}

/// What a peer has asked in each of the last minutes.
#[derive(Clone, Debug)]
struct PeerRing {
    minutes: [u16; MINUTES],
    /// Its requests since the start, when the minute began and at the last sample.
    before: u64,
    last: u64,
    /// The round of samples in which it was seen last.
    round: u64,
}

impl PeerRing {
    fn new(total: u64) -> Self {
        Self { minutes: [0; MINUTES], before: total, last: total, round: 0 }
    }

    fn sample(&mut self, passed: u64, current: u64, total: u64) {
        for minute in (current + 1).saturating_sub(passed.min(MINUTES as u64))..=current {
            self.minutes[position(minute, MINUTES)] = 0;
        }
        if passed > 0 {
            self.before = self.last;
        }
        self.last = total;
        let count = total.saturating_sub(self.before);
        self.minutes[position(current, MINUTES)] = u16::try_from(count).unwrap_or(u16::MAX);
    }
}

/// What was asked lately.
#[derive(Debug)]
pub(crate) struct History {
    hour: Ring<MINUTES>,
    day: Ring<A_DAYS_SLOTS>,
    peers: HashMap<PeerName, PeerRing>,
    round: u64,
}

impl History {
    /// It begins now.
    pub(crate) fn new(now: Duration, totals: Totals) -> Self {
        Self {
            hour: Ring::new(A_MINUTE, now, totals),
            day: Ring::new(A_QUARTER, now, totals),
            peers: HashMap::new(),
            round: 0,
        }
    }

    /// Looks at what was counted until now, by all and by each peer.
    pub(crate) fn sample<'p>(
        &mut self,
        now: Duration,
        totals: Totals,
        peers: impl Iterator<Item = (&'p PeerName, u64)>,
    ) {
        let before = self.hour.current;
        self.hour.sample(now, totals);
        self.day.sample(now, totals);
        let current = self.hour.current;
        self.round += 1;
        let mut seen = 0;
        for (name, total) in peers.take(MOST_PEERS) {
            seen += 1;
            if !self.peers.contains_key(name) {
                self.peers.insert(name.clone(), PeerRing::new(total));
            }
            if let Some(ring) = self.peers.get_mut(name) {
                ring.sample(current - before, current, total);
                ring.round = self.round;
            }
        }
        if self.peers.len() > seen {
            // Those that have no policy any longer.
            let round = self.round;
            self.peers.retain(|_, ring| ring.round == round);
        }
    }

    /// The last hour by the minute, since the start; the minute now is last.
    pub(crate) fn hour(&self) -> Vec<Slot> {
        self.hour.slots().collect()
    }

    /// The last day by the quarter of an hour.
    pub(crate) fn day(&self) -> Vec<Slot> {
        self.day.slots().collect()
    }

    /// What a peer asked in each minute of the last hour; `None` for one of which that is not kept.
    pub(crate) fn of_peer(&self, name: &PeerName) -> Option<Vec<u16>> {
        let ring = self.peers.get(name)?;
        let first = self.hour.current + 1 - self.hour.filled as u64;
        let minutes = first..=self.hour.current;
        Some(minutes.map(|minute| ring.minutes[position(minute, MINUTES)]).collect())
    }
}

/// The peers whose requests are kept by the minute; those of further ones are only counted.
pub(crate) const MOST_PEERS: usize = 1024;

/// Slots of an hour.
const MINUTES: usize = 60;

/// Slots of a day.
const A_DAYS_SLOTS: usize = 96;

const A_MINUTE: Duration = Duration::from_secs(60);

const A_QUARTER: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(answered: u64, refused: u64) -> Totals {
        Totals { answered, refused, ..Totals::default() }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn history() -> History {
        History::new(at(0), totals(7, 0))
    }

    fn sampled(history: &mut History, seconds: u64, totals: Totals) {
        history.sample(at(seconds), totals, std::iter::empty());
    }

    fn counts(slots: &[Slot]) -> Vec<(u32, u32)> {
        slots.iter().map(|slot| (slot.answered, slot.refused)).collect()
    }

    #[test]
    fn what_is_asked_counts_in_its_minute_and_its_quarter() {
        let mut history = history();
        sampled(&mut history, 30, totals(10, 1));
        assert_eq!(counts(&history.hour()), [(3, 1)]);
        sampled(&mut history, 59, totals(12, 1));
        sampled(&mut history, 61, totals(20, 4));
        assert_eq!(counts(&history.hour()), [(5, 1), (8, 3)]);
        assert_eq!(counts(&history.day()), [(13, 4)]);
        // Nobody looked for a while.
        sampled(&mut history, 240, totals(21, 4));
        assert_eq!(counts(&history.hour()), [(5, 1), (8, 3), (0, 0), (0, 0), (1, 0)]);
        sampled(&mut history, 900, totals(22, 4));
        assert_eq!(counts(&history.day()), [(14, 4), (1, 0)]);
    }

    #[test]
    fn the_oldest_makes_room_and_a_long_pause_leaves_nothing() {
        let mut history = history();
        for minute in 0..200 {
            sampled(&mut history, minute * 60 + 1, totals(7 + minute, 0));
        }
        assert_eq!(history.hour().len(), 60);
        assert!(history.hour().iter().all(|slot| slot.answered == 1));
        assert_eq!(history.day().len(), 14);
        assert_eq!(history.day().iter().map(|slot| slot.answered).sum::<u32>(), 199);
        sampled(&mut history, 10_000_000, totals(1007, 0));
        assert_eq!(counts(&history.hour())[..59], [(0, 0); 59]);
        assert_eq!((history.hour()[59].answered, history.day().len()), (801, 96));
    }

    #[test]
    fn reasons_are_of_three_kinds() {
        let counted = CountedRequests {
            answered: 5,
            introduced: 2,
            refused: vec![
                (Reason::UnknownPeer, 1),
                (Reason::UpstreamTimeout, 10),
                (Reason::ClientClosed, 100),
                (Reason::RateLimited, 1000),
            ],
            ..CountedRequests::default()
        };
        let totals = Totals::of(&counted, Durations::default());
        let Totals { answered, refused, failed, left, .. } = totals;
        assert_eq!((answered, refused, failed, left), (7, 1001, 10, 100));
    }

    #[test]
    fn durations_are_those_of_the_slot() {
        let mut history = history();
        let mut all = totals(0, 0);
        all.durations[0] = 100;
        sampled(&mut history, 1, all);
        let millis = |slot: &Slot| {
            (slot.p50_millis.map(NonZeroU32::get), slot.p99_millis.map(NonZeroU32::get))
        };
        assert_eq!(millis(&history.hour()[0]), (Some(3), Some(5)));
        sampled(&mut history, 61, all);
        assert_eq!(millis(&history.hour()[1]), (None, None));
        all.durations[4] += 98;
        all.durations[14] += 2;
        sampled(&mut history, 62, all);
        assert_eq!(millis(&history.hour()[1]), (Some(76), Some(30_000)));
        assert_eq!(quantile(&Durations::default(), 99), None);
        let mut one = Durations::default();
        one[13] = 1;
        assert_eq!(quantile(&one, 50).map(NonZeroU32::get), Some(30_000));
        assert_eq!(quantile(&[1 << 59; 15], 50).map(NonZeroU32::get), Some(700));
    }

    #[test]
    fn a_peer_has_its_own_minutes_as_long_as_it_has_a_policy() {
        let (lyon, nice) = (PeerName::new("lyon").unwrap(), PeerName::new("nice").unwrap());
        let mut history = history();
        let mut sample = |seconds, peers: &[(&PeerName, u64)]| {
            history.sample(at(seconds), Totals::default(), peers.iter().copied());
            (history.of_peer(&lyon), history.of_peer(&nice))
        };
        // What it had asked before is of no minute that is known.
        assert_eq!(sample(1, &[(&lyon, 5)]), (Some(vec![0]), None));
        assert_eq!(sample(2, &[(&lyon, 7), (&nice, 0)]), (Some(vec![2]), Some(vec![0])));
        let (of_lyon, of_nice) = sample(130, &[(&lyon, 10), (&nice, 70_000)]);
        assert_eq!((of_lyon, of_nice), (Some(vec![2, 0, 3]), Some(vec![0, 0, u16::MAX])));
        assert_eq!(sample(131, &[(&nice, 70_000)]), (None, Some(vec![0, 0, u16::MAX])));
    }

    #[test]
    fn the_memory_is_what_the_pages_say() {
        // docs/operations.md: 4.5 KB, and 0.5 KB a peer with its name of up to 64 bytes.
        let fixed = size_of::<Ring<MINUTES>>() + size_of::<Ring<A_DAYS_SLOTS>>();
        assert!(fixed <= 4_608, "{fixed}");
        let a_peer = size_of::<(PeerName, PeerRing)>() + 64;
        // A hash table is at least 7/16 full.
        assert!(a_peer <= 250, "{a_peer}");
        let names: Vec<PeerName> =
            (0..MOST_PEERS + 9).map(|n| PeerName::new(&format!("p{n}")).unwrap()).collect();
        let mut history = history();
        history.sample(at(1), Totals::default(), names.iter().map(|name| (name, 1)));
        assert_eq!(history.peers.len(), MOST_PEERS);
        assert!(history.peers.capacity() <= 2 * MOST_PEERS, "{}", history.peers.capacity());
    }
}
