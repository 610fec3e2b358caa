//! Figures that stay small however much is counted: distinct things, times, and the most frequent
//! callers. Whatever is added to them in whichever order, and in however many parts, they say the same.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use hdrhistogram::Histogram;

use crate::report::summary::{AnswerTimes, HISTOGRAM};

/// How many distinct things there are: exact to [`EXACT`], HyperLogLog with [`REGISTERS`] registers beyond.
///
/// The crates for this keep a sum of floating point numbers as they go, so that what they estimate depends on
/// the order. Here it is made of whole numbers, at the end.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Distinct {
    /// The hashes, by their last bits; 0 is an empty place.
    places: Vec<u64>,
    count: usize,
    /// The longest run of zeros that each register has seen, where there are too many hashes.
    registers: Option<Box<[u8; REGISTERS]>>,
}

impl Distinct {
    /// Counts the thing that has this hash, whose bits must all be good; says whether it is known to be new.
    #[inline]
    pub(in crate::report) fn insert(&mut self, hash: u64) -> bool {
        // One of the hashes counts as another one.
        let hash = hash.max(1);
        if let Some(registers) = &mut self.registers {
            register(registers, hash);
            return false;
        }
        if 2 * self.count >= self.places.len() {
            self.grow();
        }
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.places[at] {
                0 => break,
                known if known == hash => return false,
                _ => at = (at + 1) & mask,
            }
        }
        self.places[at] = hash;
        self.count += 1;
        if self.count > EXACT {
            self.estimate_from_now_on();
        }
        true
    }

    #[cold]
    fn grow(&mut self) {
        let size = (4 * self.places.len()).max(16);
        let before = std::mem::replace(&mut self.places, vec![0; size]);
        if self.count == 0 {
            return;
        }
        for hash in before.into_iter().filter(|hash| *hash != 0) {
            let mut at = hash as usize & (size - 1);
            while self.places[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.places[at] = hash;
        }
    }

    #[cold]
    fn estimate_from_now_on(&mut self) {
        let mut registers = Box::new([0; REGISTERS]);
        for hash in std::mem::take(&mut self.places).into_iter().filter(|hash| *hash != 0) {
            register(&mut registers, hash);
        }
        self.registers = Some(registers);
    }

    pub(in crate::report) fn merge(&mut self, other: &Self) {
        match &other.registers {
            None => other.places.iter().filter(|hash| **hash != 0).for_each(|hash| {
                self.insert(*hash);
            }),
            Some(theirs) => {
                if self.registers.is_none() {
                    self.estimate_from_now_on();
                }
                if let Some(ours) = &mut self.registers {
                    ours.iter_mut().zip(theirs.iter()).for_each(|(a, b)| *a = (*a).max(*b));
                }
            }
        }
    }

    /// Forgets everything, and keeps a little room.
    pub(in crate::report) fn clear(&mut self) {
        match self.places.len() {
            0..=KEPT => self.places.fill(0),
            _ => self.places = Vec::new(),
        }
        self.count = 0;
        self.registers = None;
    }

    /// How many there are.
    pub(in crate::report) fn estimate(&self) -> u64 {
        self.registers.as_deref().map_or(self.count as u64, estimate)
    }
}

#[inline]
fn register(registers: &mut [u8; REGISTERS], hash: u64) {
    let at = hash as usize % REGISTERS;
    // A bit that ends the run where all others are 0.
    let rest = hash >> REGISTERS.ilog2() | 1 << RANKS;
    registers[at] = registers[at].max(rest.trailing_zeros() as u8 + 1);
}

/// Ertl's improved estimator (*New cardinality estimation algorithms for HyperLogLog sketches*, 2017, algorithm 6).
#[expect(clippy::cast_precision_loss, reason = "there are few registers")]
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let mut having = [0_u32; RANKS as usize + 2];
    registers.iter().for_each(|rank| having[usize::from(*rank)] += 1);
    let all = REGISTERS as f64;
    let share = |rank: usize| f64::from(having[rank]) / all;
    let mut sum = all * tau(1.0 - share(RANKS as usize + 1));
    for rank in (1..=RANKS as usize).rev() {
        sum = 0.5 * (sum + f64::from(having[rank]));
    }
    sum += all * sigma(share(0));
    (all * all / (2.0 * std::f64::consts::LN_2 * sum)).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * y;
        y += y;
        if sum <= before {
            return sum;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        y *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * y;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

/// Times in milliseconds: percentiles are exact to 255 ms, and within 1 % beyond; all else is exact. Takes no
/// memory before the first.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Times {
    times: Option<Box<Histogram<u64>>>,
    upto: [u64; HISTOGRAM.len() + 1],
    max: u64,
    late: u64,
}

impl Times {
    /// Counts a time in milliseconds.
    #[inline]
    pub(in crate::report) fn insert(&mut self, milliseconds: u64) {
        if self.times.is_none() {
            self.times = Histogram::new_with_max(LONGEST, 2).ok().map(Box::new);
        }
        if let Some(times) = &mut self.times {
            times.saturating_record(milliseconds.min(LONGEST));
        }
        self.upto[bucket(milliseconds)] += 1;
        self.max = self.max.max(milliseconds);
        self.late += u64::from(is_late(milliseconds));
    }

    pub(in crate::report) fn merge(&mut self, other: &Self) {
        self.late += other.late;
        self.max = self.max.max(other.max);
        self.upto.iter_mut().zip(other.upto).for_each(|(ours, theirs)| *ours += theirs);
        match (&mut self.times, &other.times) {
            (Some(ours), Some(theirs)) => drop(ours.add(&**theirs)),
            (ours @ None, Some(theirs)) => *ours = Some(theirs.clone()),
            (_, None) => {}
        }
    }

    /// `None` where there are none.
    pub(in crate::report) fn summary(&self) -> Option<AnswerTimes> {
        let times = self.times.as_ref()?;
        let percentile = |share| times.value_at_quantile(share).min(self.max);
        Some(AnswerTimes {
            count: times.len(),
            p50: percentile(0.5),
            p95: percentile(0.95),
            p99: percentile(0.99),
            max: self.max,
            late: self.late,
            histogram: self.upto.to_vec(),
        })
    }
}

/// Which figure of [`AnswerTimes::histogram`] counts it.
#[inline]
fn bucket(milliseconds: u64) -> usize {
    match usize::try_from(milliseconds).ok().and_then(|it| SHORT.get(it)) {
        Some(bucket) => usize::from(*bucket),
        None => HISTOGRAM.partition_point(|bound| *bound < milliseconds),
    }
}

/// Whether it took longer than a second.
pub(in crate::report) fn is_late(milliseconds: u64) -> bool {
    milliseconds > 1000
}

/// The most frequent of any number of things (Misra and Gries, *Finding repeated elements*, 1982; merged as Agarwal
/// and others, *Mergeable summaries*, 2012): a count may be too low by [`error`](Self::error) at the most, and
/// nothing that is more frequent than that is missed. While there are no more than [`COUNTERS`] all is exact.
#[derive(Clone, Debug)]
pub(in crate::report) struct Frequent<T> {
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
    pub(in crate::report) fn count(
        &mut self,
        key: &[u8],
        new: impl FnOnce() -> T,
        note: impl FnOnce(&mut T),
    ) {
        if let Some((count, kept)) = self.counters.get_mut(key) {
            *count += 1;
            return note(kept);
        }
        if self.counters.len() >= COUNTERS {
            self.make_room();
        }
        let mut kept = new();
        note(&mut kept);
        self.counters.insert(key.into(), (1, kept));
    }

    /// The smaller half of the counters is given up, and every other one lowered by as much.
    fn make_room(&mut self) {
        let mut counts: Vec<u64> = self.counters.values().map(|(count, _)| *count).collect();
        let middle = counts.len() / 2;
        let (_, &mut median, _) = counts.select_nth_unstable(middle);
        self.error += median;
        self.counters.retain(|_, (count, _)| {
            *count = count.saturating_sub(median);
            *count > 0
        });
    }

    pub(in crate::report) fn merge(&mut self, other: &Self, join: impl Fn(&mut T, &T))
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
                None => drop(self.counters.insert(key.clone(), (*count, theirs.clone()))),
            }
        }
        // Only then, so that it does not matter which of them came first.
        if self.counters.len() > COUNTERS {
            self.make_room();
        }
    }

    /// All that are known, the most frequent first, with counts that are at least the true ones.
    pub(in crate::report) fn list(&self) -> Vec<(&[u8], u64, &T)> {
        let counters = self.counters.iter();
        let mut all: Vec<_> =
            counters.map(|(key, (count, kept))| (&**key, count + self.error, kept)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        all
    }

    /// By how much a count may be too high.
    pub(in crate::report) fn error(&self) -> u64 {
        self.error
    }
}

/// Counters of [`Frequent`]. Giving up the smaller half takes its median, at least, from 4,096 of them
/// at once: the error is at most 1 in 4,096 of all that was counted.
const COUNTERS: usize = 8192;

/// The number of things that are told apart exactly.
pub(in crate::report) const EXACT: usize = 4096;
const REGISTERS: usize = 4096;
/// The number of places that are kept for what comes next.
const KEPT: usize = 4096;
/// Bits of a hash beyond those that choose its register.
const RANKS: u32 = 64 - REGISTERS.ilog2();

/// The buckets of times of up to a second, which nearly all are.
const SHORT: [u8; 1001] = {
    let mut buckets = [0; 1001];
    let (mut time, mut bucket) = (0, 0);
    while time < buckets.len() {
        if time as u64 > HISTOGRAM[bucket] {
            bucket += 1;
        }
        buckets[time] = bucket as u8;
        time += 1;
    }
    buckets
};

/// Percentiles of longer times say this one: an hour.
const LONGEST: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    fn hasher() -> foldhash::quality::FixedState {
        foldhash::quality::FixedState::default()
    }

    #[test]
    fn distinct_things_are_exact_at_first_and_estimated_within_their_error() {
        let mut distinct = Distinct::default();
        for number in 0..4096_u64 {
            assert!(distinct.insert(hasher().hash_one(number)));
            assert!(!distinct.insert(hasher().hash_one(number)));
        }
        assert_eq!(distinct.estimate(), 4096);
        for all in [5_000, 20_000, 100_000, 1_000_000_u64] {
            let mut distinct = Distinct::default();
            for number in 0..all {
                distinct.insert(hasher().hash_one(number));
            }
            let off = distinct.estimate().abs_diff(all);
            assert!(off < all / 12, "five standard errors: {off} of {all}");
            distinct.clear();
            assert_eq!(distinct.estimate(), 0);
        }
    }

    #[test]
    fn distinct_things_are_as_many_in_any_order_and_in_any_parts() {
        for all in [100_u64, 4095, 4097, 60_000] {
            let hashes: Vec<u64> = (0..all).map(|number| hasher().hash_one(number)).collect();
            let mut whole = Distinct::default();
            for hash in &hashes {
                whole.insert(*hash);
            }
            for parts in [2, 7] {
                let mut merged = Distinct::default();
                for part in 0..parts {
                    let mut distinct = Distinct::default();
                    for hash in hashes.iter().rev().skip(part).step_by(parts) {
                        distinct.insert(*hash);
                    }
                    merged.merge(&distinct);
                }
                assert_eq!(merged.estimate(), whole.estimate(), "{all} in {parts}");
            }
        }
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
        assert_eq!((summary.max, summary.late), (1500, 10));
        assert_eq!(summary.histogram, [0, 0, 0, 990, 0, 0, 0, 0, 0, 0, 10, 0, 0]);
    }

    #[test]
    fn each_time_is_in_one_bucket_and_the_slowest_is_what_it_was() {
        for time in
            [0, 1, 2, 3, 255, 256, 499, 500, 501, 999, 1000, 1001, 1003, 5000, 5001, 4_000_000]
        {
            let mut times = Times::default();
            times.insert(time);
            let summary = times.summary().unwrap();
            assert_eq!(summary.histogram.iter().sum::<u64>(), 1, "{time}");
            let at = summary.histogram.iter().position(|count| *count == 1).unwrap();
            assert!(at == HISTOGRAM.len() || time <= HISTOGRAM[at], "{time}");
            assert!(at == 0 || time > HISTOGRAM[at - 1], "{time}");
            assert_eq!((summary.max, summary.late), (time, u64::from(time > 1000)));
            assert!(summary.p99 <= summary.max);
        }
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
        let (key, count, ()) = frequent.list()[0];
        assert_eq!(key, b"busy");
        assert!((2000..=2000 + frequent.error()).contains(&count), "{count}");
        assert!(frequent.error() <= 102_000 / 4096, "{}", frequent.error());
        assert!(frequent.counters.len() <= COUNTERS);
    }

    #[test]
    fn the_most_frequent_are_the_same_however_the_hash_table_lies() {
        let list = || {
            let mut merged = Frequent::default();
            for part in 0..4_u32 {
                let mut frequent = Frequent::default();
                for number in 0..6000_u32 {
                    let key = (number * (part + 1) % 20_000).to_le_bytes();
                    (0..=number % 7).for_each(|_| frequent.count(&key, || (), |()| ()));
                }
                merged.merge(&frequent, |(), ()| ());
            }
            let list = merged.list();
            list.iter().map(|(key, count, ())| (key.to_vec(), *count)).collect::<Vec<_>>()
        };
        assert_eq!(list(), list());
    }
}
