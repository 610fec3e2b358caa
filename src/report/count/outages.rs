//! Outages: no failure of one is more than a minute behind another.
//!
//! Outages are joined in whichever order failures are counted, so that they are those of the log whatever order
//! its lines have.

use std::collections::BTreeMap;

/// The outages of a log.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Outages {
    /// By the second in which each begins: the second in which it ends, and its failures.
    outages: BTreeMap<i64, (i64, u64)>,
    /// The number of outages that there was no room for, and of their failures.
    left_out: (u64, u64),
}

impl Outages {
    /// XiVO fails.
    pub(in crate::report) fn fail(&mut self, second: i64) {
        // As a rule this is behind all others.
        if let Some(mut last) = self.outages.last_entry()
            && (*last.key()..=last.get().0).contains(&second)
        {
            last.get_mut().1 += 1;
            return;
        }
        self.add(second, second, 1);
    }

    fn add(&mut self, mut begin: i64, mut end: i64, mut failed: u64) {
        // Those that begin later than this one's end and a minute stand apart; of the others the last ones may touch.
        while let Some((&other, &(until, count))) = self.outages.range(..=end + CALM).next_back()
            && until + CALM >= begin
        {
            self.outages.remove(&other);
            (begin, end, failed) = (begin.min(other), end.max(until), failed + count);
        }
        self.outages.insert(begin, (end, failed));
        if self.outages.len() > MOST {
            self.make_room();
        }
    }

    /// Gives up the half with fewest failures.
    #[cold]
    fn make_room(&mut self) {
        let mut all: Vec<(u64, i64)> =
            self.list().map(|(begin, _, failed)| (failed, begin)).collect();
        all.sort_unstable();
        for (failed, begin) in all.into_iter().take(MOST / 2) {
            self.outages.remove(&begin);
            self.left_out.0 += 1;
            self.left_out.1 += failed;
        }
    }

    pub(in crate::report) fn merge(&mut self, other: &Self) {
        other.list().for_each(|(begin, end, failed)| self.add(begin, end, failed));
        self.left_out.0 += other.left_out.0;
        self.left_out.1 += other.left_out.1;
    }

    /// Begin, end and failures of each, in the order of time.
    pub(in crate::report) fn list(&self) -> impl Iterator<Item = (i64, i64, u64)> {
        self.outages.iter().map(|(&begin, &(end, failed))| (begin, end, failed))
    }

    /// The number of outages that there was no room for, and of their failures.
    pub(in crate::report) fn left_out(&self) -> (u64, u64) {
        self.left_out
    }
}

/// Seconds without a failure within an outage, at the most.
const CALM: i64 = 60;
/// The number of outages that are told apart: one every six minutes for more than a year.
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(seconds: impl IntoIterator<Item = i64>) -> Vec<(i64, i64, u64)> {
        let mut outages = Outages::default();
        seconds.into_iter().for_each(|second| outages.fail(second));
        outages.list().collect()
    }

    #[test]
    fn failures_a_minute_apart_are_one_outage_and_more_are_two() {
        assert_eq!(list([0, 60, 120]), [(0, 120, 3)]);
        assert_eq!(list([0, 61]), [(0, 0, 1), (61, 61, 1)]);
        assert_eq!(list([0, 61, 30]), [(0, 61, 3)]);
        assert!(list([]).is_empty());
    }

    #[test]
    fn a_long_one_is_not_forgotten_behind_many_short_ones() {
        let long = (0..900).map(|at| 1_000_000 + at);
        let found = list(long.chain((0..5000).map(|at| 2_000_000 + at * 1000)));
        assert_eq!((found.len(), found[0]), (5001, (1_000_000, 1_000_899, 900)));
    }

    #[test]
    fn outages_are_the_same_in_any_order_and_in_any_parts() {
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..200 {
            let seconds: Vec<i64> = (0..60).map(|_| next(4000).cast_signed()).collect();
            let mut sorted = seconds.clone();
            sorted.sort_unstable();
            let mut merged = Outages::default();
            for part in seconds.chunks(7) {
                let mut outages = Outages::default();
                part.iter().for_each(|second| outages.fail(*second));
                merged.merge(&outages);
            }
            assert_eq!(merged.list().collect::<Vec<_>>(), list(sorted));
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut outages = Outages::default();
        (0..=MOST as i64).for_each(|at| outages.fail(at * 100));
        outages.fail(0);
        let half = MOST / 2;
        assert_eq!((outages.list().count(), outages.left_out()), (half + 2, (50_000, 50_000)));
        assert_eq!(outages.list().map(|(.., failed)| failed).sum::<u64>() + 50_000, 100_002);
    }
}
