//! What can only be told in the order of time: bursts, gaps, sweeps, terms in an hour, outages.
//!
//! A log is nearly in order: each worker of the gateway hands its lines over about once a second, and
//! nginx writes a line when its request ends. So the last minute is kept open, and what comes later than
//! that counts for the oldest second that still is. What is more than a minute older still is no late
//! line but another log of the same time, or a clock that was put back: there the course begins anew.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::quota::Quotas;
use super::sketch::Distinct;
use super::stretch::{Asked, Stretch};
use super::sweep::Sweeps;

/// Everything that depends on the order.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub(super) peers: HashMap<Arc<[u8]>, PeerLine, RandomState>,
    pub(super) outages: VecDeque<OutageLine>,
}

/// A stretch of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutageLine {
    pub(super) begin: i64,
    pub(super) end: i64,
    pub(super) failed: u64,
}

impl Timeline {
    /// Puts a stretch behind those before it.
    pub fn append(&mut self, stretch: Stretch) {
        for (name, asked) in stretch.names {
            self.peers.entry(name).or_default().append(&asked);
        }
        for (second, count) in stretch.failures {
            self.fail(second, count);
        }
    }

    fn fail(&mut self, second: i64, count: u64) {
        if let Some(last) = self.outages.back_mut()
            && (last.begin - CALM..=last.end + CALM).contains(&second)
        {
            last.begin = last.begin.min(second);
            last.end = last.end.max(second);
            last.failed += count;
            return;
        }
        if self.outages.len() == MOST_OUTAGES {
            self.outages.pop_front();
        }
        self.outages.push_back(OutageLine { begin: second, end: second, failed: count });
    }

    /// Closes what is open, so that nothing of it is missing in the report.
    pub fn finish(&mut self) {
        self.peers.values_mut().for_each(PeerLine::finish);
    }
}

/// One peer's course.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerLine {
    /// The seconds that may still grow; the first one's number is `oldest`.
    open: VecDeque<u32>,
    oldest: i64,
    pub(super) quotas: Quotas,
    /// The last second with requests.
    last: Option<i64>,
    /// The longest time without any, in seconds.
    pub(super) longest_gap: u64,
    /// The second with most, and how many.
    pub(super) busiest: Option<(i64, u32)>,
    /// Hours that may still grow.
    hours: Vec<(i64, Distinct)>,
    /// Hours with most terms, and how many, most first.
    pub(super) most_terms: Vec<(i64, u64)>,
    /// Terms of all closed hours, and how many hours those are.
    terms_in_hours: (u64, u64),
    pub(super) sweeps: Sweeps,
}

impl PeerLine {
    fn append(&mut self, asked: &Asked) {
        for &(second, count) in &asked.seconds {
            self.ask(second, count);
        }
        for (hour, terms) in &asked.hours {
            self.look_up(*hour, terms);
        }
        for &(second, term) in &asked.short {
            self.sweeps.ask(second, term);
        }
    }

    fn ask(&mut self, second: i64, count: u32) {
        if self.oldest - second > OPEN {
            self.close_all();
        }
        if self.open.is_empty() {
            self.oldest = second;
        }
        // Before the oldest: late. Far behind it: those between are closed.
        let at = (second - self.oldest).max(0);
        if at >= 2 * OPEN {
            self.close_all();
            self.oldest = second;
            self.open.push_back(count);
            return;
        }
        let at = usize::try_from(at).unwrap_or(0);
        if self.open.len() <= at {
            self.open.resize(at + 1, 0);
        }
        self.open[at] += count;
        while self.open.len() > OPEN as usize {
            self.close_one();
        }
    }

    fn close_one(&mut self) {
        let Some(count) = self.open.pop_front() else { return };
        let second = self.oldest;
        self.oldest += 1;
        if count == 0 {
            return;
        }
        self.quotas.ask(second, count);
        if self.busiest.is_none_or(|(_, most)| count > most) {
            self.busiest = Some((second, count));
        }
        if let Some(last) = self.last {
            let gap = u64::try_from(second - last).unwrap_or(0);
            self.longest_gap = self.longest_gap.max(gap);
        }
        self.last = Some(second);
    }

    fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close_one();
        }
    }

    fn look_up(&mut self, hour: i64, terms: &Distinct) {
        match self.hours.iter_mut().find(|(open, _)| *open == hour) {
            Some((_, ours)) => ours.merge(terms),
            None => self.hours.push((hour, terms.clone())),
        }
        if self.hours.len() > OPEN_HOURS
            && let Some(oldest) = (0..self.hours.len()).min_by_key(|&at| self.hours[at].0)
        {
            let (hour, terms) = self.hours.swap_remove(oldest);
            self.close_hour(hour, &terms);
        }
    }

    fn close_hour(&mut self, hour: i64, terms: &Distinct) {
        let count = terms.estimate();
        self.terms_in_hours.0 += count;
        self.terms_in_hours.1 += 1;
        let at = self.most_terms.partition_point(|(_, most)| *most >= count);
        if at < MOST_HOURS {
            self.most_terms.insert(at, (hour, count));
            self.most_terms.truncate(MOST_HOURS);
        }
    }

    fn finish(&mut self) {
        self.close_all();
        for (hour, terms) in std::mem::take(&mut self.hours) {
            self.close_hour(hour, &terms);
        }
    }

    /// Terms of all hours but the one with most, on the average of an hour; `None` where that one is the
    /// only one.
    pub(super) fn usual_terms(&self) -> Option<u64> {
        let (terms, hours) = self.terms_in_hours;
        let (_, most) = self.most_terms.first()?;
        terms.saturating_sub(*most).checked_div(hours.checked_sub(1)?)
    }
}

/// Seconds that stay open.
const OPEN: i64 = 64;
/// Hours that stay open.
const OPEN_HOURS: usize = 2;
/// Hours with most terms that are kept.
const MOST_HOURS: usize = 8;
/// Seconds without a failure that end an outage.
const CALM: i64 = 300;
/// Outages that are kept, the last ones.
const MOST_OUTAGES: usize = 100;
