//! Figures that stay small however much is counted: distinct things, times, and the most frequent
//! callers.

use std::collections::HashMap;

use cardinality_estimator::CardinalityEstimator;
use foldhash::fast::RandomState;
use hdrhistogram::Histogram;

use super::summary::{AnswerTimes, HISTOGRAM};

/// How many distinct things there are: exact to 128, HyperLogLog with 4,096 registers beyond.
#[derive(Clone, Debug, Default)]
pub(super) struct Distinct(CardinalityEstimator<u64>);

impl Distinct {
    /// Counts the thing that has this hash, whose bits must all be good.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64) {
        self.0.insert_hash(hash);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    pub(super) fn estimate(&self) -> u64 {
        self.0.estimate() as u64
    }
}

/// Times in milliseconds: exact to 255 ms, within 1 % beyond. Takes no memory before the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    histogram: Option<Box<Histogram<u64>>>,
    late: u64,
}

impl Times {
    /// Counts a time, of up to an hour.
    #[inline]
    pub(super) fn insert(&mut self, milliseconds: u64) {
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_max(LONGEST, 2).ok().map(Box::new);
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(milliseconds.min(LONGEST));
        }
        self.late += u64::from(is_late(milliseconds));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.late += other.late;
        match (&mut self.histogram, &other.histogram) {
            (Some(ours), Some(theirs)) => drop(ours.add(&**theirs)),
            (ours @ None, Some(theirs)) => *ours = Some(theirs.clone()),
            (_, None) => {}
        }
    }

    /// `None` where there are none.
    pub(super) fn summary(&self) -> Option<AnswerTimes> {
        let times = self.histogram.as_ref()?;
        let mut below = 0;
        let upto = HISTOGRAM.iter().copied().chain([LONGEST]);
        let histogram = upto.map(|bound| {
            let count = times.count_between(below, bound);
            below = bound + 1;
            count
        });
        let max = times.max();
        let percentile = |share| times.value_at_quantile(share).min(max);
        Some(AnswerTimes {
            count: times.len(),
            p50: percentile(0.5),
            p95: percentile(0.95),
            p99: percentile(0.99),
            max,
            late: self.late,
            histogram: histogram.collect(),
        })
    }
}

/// Whether XiVO, which asks and waits a second, has given up by then.
pub(super) fn is_late(milliseconds: u64) -> bool {
    milliseconds > 1000
}

const LONGEST: u64 = 3_600_000;

/// The most frequent of any number of things (Misra and Gries, *Finding repeated elements*, 1982): a
/// count may be too low by [`error`](Self::error) at the most, and nothing that is more frequent than
/// that is missed.
#[derive(Clone, Debug)]
pub(super) struct Frequent<T> {
    counters: HashMap<Box<[u8]>, (u64, T), RandomState>,
    error: u64,
}

impl<T> Default for Frequent<T> {
    fn default() -> Self {
        Self { counters: HashMap::default(), error: 0 }
    }
}

impl<T> Frequent<T> {
    /// Counts `key`, and lets `note` see what is kept with it; `new` makes that.
    pub(super) fn count(&mut self, key: &[u8], new: impl FnOnce() -> T, note: impl FnOnce(&mut T)) {
        if let Some((count, kept)) = self.counters.get_mut(key) {
            *count += 1;
            return note(kept);
        }
        self.make_room();
        let mut kept = new();
        note(&mut kept);
        self.counters.insert(key.into(), (1, kept));
    }

    /// Where all counters are in use, the smaller half of them is given up, and every other one lowered
    /// by as much.
    fn make_room(&mut self) {
        if self.counters.len() < COUNTERS {
            return;
        }
        let mut counts: Vec<u64> = self.counters.values().map(|(count, _)| *count).collect();
        let middle = counts.len() / 2;
        let (_, &mut median, _) = counts.select_nth_unstable(middle);
        self.error += median;
        self.counters.retain(|_, (count, _)| {
            *count = count.saturating_sub(median);
            *count > 0
        });
    }

    pub(super) fn merge(&mut self, other: &Self, join: impl Fn(&mut T, &T))
    where
        T: Clone,
    {
        self.error += other.error;
        for (key, (count, theirs)) in &other.counters {
            match self.counters.get_mut(key) {
                Some((ours, kept)) => {
                    *ours += count;
                    join(kept, theirs);
                }
                None => {
                    self.make_room();
                    self.counters.insert(key.clone(), (*count, theirs.clone()));
                }
            }
        }
    }

    /// The most frequent ones, with counts that are at least the true ones.
    pub(super) fn top(&self, most: usize) -> Vec<(&[u8], u64, &T)> {
        let counters = self.counters.iter();
        let mut all: Vec<_> =
            counters.map(|(key, (count, kept))| (&**key, count + self.error, kept)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        all.truncate(most);
        all
    }

    /// By how much a count may be too high.
    pub(super) fn error(&self) -> u64 {
        self.error
    }
}

/// Counters of [`Frequent`]. Giving up the smaller half takes its median, at least, from 4,096 of them
/// at once: the error is at most 1 in 4,096 of all that was counted.
const COUNTERS: usize = 8192;

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn distinct_things_are_exact_at_first_and_estimated_within_their_error() {
        let hasher = foldhash::quality::RandomState::default();
        let mut distinct = Distinct::default();
        for number in 0..100_u64 {
            distinct.insert(hasher.hash_one(number));
            distinct.insert(hasher.hash_one(number));
        }
        assert_eq!(distinct.estimate(), 100);
        let mut other = Distinct::default();
        (50..100_000_u64).for_each(|number| other.insert(hasher.hash_one(number)));
        distinct.merge(&other);
        let off = distinct.estimate().abs_diff(100_000);
        assert!(off < 8000, "five standard errors: {off}");
    }

    #[test]
    fn percentiles_are_those_of_the_times() {
        let (mut times, mut other) = (Times::default(), Times::default());
        assert!(times.summary().is_none());
        (1..=990).for_each(|_| times.insert(7));
        (1..=10).for_each(|_| other.insert(1500));
        times.merge(&other);
        let summary = times.summary().unwrap();
        assert_eq!((summary.count, summary.p50, summary.p95, summary.p99), (1000, 7, 7, 7));
        assert!(summary.max.abs_diff(1500) < 15, "{}", summary.max);
        assert_eq!(summary.late, 10);
        assert_eq!(summary.histogram, [0, 0, 0, 990, 0, 0, 0, 0, 0, 0, 10, 0, 0]);
    }

    #[test]
    fn a_busy_one_among_very_many_is_never_missed() {
        let mut frequent = Frequent::default();
        for number in 0..100_000_u32 {
            frequent.count(&number.to_le_bytes(), || (), |()| ());
            if number % 50 == 0 {
                frequent.count(b"busy", || (), |()| ());
            }
        }
        let (key, count, ()) = frequent.top(1)[0];
        assert_eq!(key, b"busy");
        assert!((2000..=2000 + frequent.error()).contains(&count), "{count}");
        assert!(frequent.error() <= 102_000 / 4096, "{}", frequent.error());
        assert!(frequent.counters.len() <= COUNTERS);
    }
}
