//! What was asked since the start, and by whom: counted by each worker for itself, added up by whoever asks.
//!
//! Only its worker writes a [`WorkerCounts`], so that counting a request is two loads and two stores to
//! memory that no other worker writes to. Readers see each number as it was a moment ago.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::refusal::{Reason, Refusal};

/// The requests of one caller, or of all callers in no policy, by worker.
#[derive(Debug)]
pub struct RequestCounts {
    /// Made when the worker meets the caller for the first time: most peers are met by few workers.
    workers: Box<[OnceLock<Box<WorkerCounts>>]>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A lookup that XiVO answered.
    Answered,
    /// The caller was told who it is.
    Introduced,
    /// It was not answered as asked.
    Refused(Reason),
}

/// What one worker has counted.
#[derive(Debug)]
#[repr(align(64))]
struct WorkerCounts {
    answered: AtomicU64,
    introduced: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
    /// Milliseconds since 1970; 0 before the first request.
    last: AtomicU64,
    last_refusals: Mutex<LastRefusals>,
}

/// Of two kinds, so that one does not hide the other.
#[derive(Clone, Debug, Default)]
struct LastRefusals {
    any: Option<LastRefusal>,
    upstream: Option<LastRefusal>,
}

impl Default for WorkerCounts {
    fn default() -> Self {
        Self {
            answered: AtomicU64::new(0),
            introduced: AtomicU64::new(0),
            refused: [const { AtomicU64::new(0) }; Reason::ALL.len()],
            last: AtomicU64::new(0),
            last_refusals: Mutex::default(),
        }
    }
}

/// The last refusal of a caller.
#[derive(Clone, Debug)]
pub struct LastRefusal {
    /// Milliseconds since 1970.
    pub millis: u64,
    /// Why.
    pub refusal: Refusal,
}

/// The requests of a caller, as counted by all workers.
#[derive(Clone, Debug, Default)]
pub struct CountedRequests {
    /// Lookups that XiVO answered.
    pub answered: u64,
    /// Callers that were told who they are.
    pub introduced: u64,
    /// The others, by reason, in the order of [`Reason::ALL`]; none without any.
    pub refused: Vec<(Reason, u64)>,
    /// When the last of all ended, in milliseconds since 1970.
    pub last_millis: Option<u64>,
    /// The last that was refused.
    pub last_refusal: Option<LastRefusal>,
    /// The last that failed by a fault of XiVO's, or on the way to it.
    pub last_upstream: Option<LastRefusal>,
}

impl CountedRequests {
    /// Adds what another caller has asked.
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.introduced += other.introduced;
        let sum = |reason: Reason| {
            let of = |counted: &Self| {
                counted.refused.iter().find(|(known, _)| *known == reason).map_or(0, |(_, it)| *it)
            };
            of(self) + of(other)
        };
        let refused = Reason::ALL.iter().map(|&reason| (reason, sum(reason)));
        self.refused = refused.filter(|(_, count)| *count > 0).collect();
    }

    /// Those that were answered as asked.
    pub fn all_allowed(&self) -> u64 {
        self.answered + self.introduced
    }

    /// Those that were not answered as asked.
    pub fn all_refused(&self) -> u64 {
        self.refused.iter().map(|(_, count)| count).sum()
    }
}

impl RequestCounts {
    /// Nothing yet, for so many workers.
    pub fn new(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| OnceLock::new()).collect() }
    }

    /// A request ended, on this worker.
    pub fn count(&self, worker: usize, millis: u64, ended: Ended) {
        let Some(own) = self.of(worker) else { return };
        let counter = match ended {
            Ended::Answered => Some(&own.answered),
            Ended::Introduced => Some(&own.introduced),
            Ended::Refused(reason) => own.refused.get(reason as usize),
        };
        if let Some(counter) = counter {
            // Nobody else writes it.
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        own.last.store(millis, Ordering::Relaxed);
    }

    /// A request is refused, on this worker.
    pub fn refused(&self, worker: usize, millis: u64, refusal: &Refusal) {
        if let Some(own) = self.of(worker) {
            let refused = LastRefusal { millis, refusal: refusal.clone() };
            let mut last = own.last_refusals();
            if refusal.reason().is_upstreams() {
                last.upstream = Some(refused.clone());
            }
            last.any = Some(refused);
        }
    }

    fn of(&self, worker: usize) -> Option<&WorkerCounts> {
        self.workers.get(worker).map(|own| &**own.get_or_init(Box::default))
    }

    /// Whether any request was counted.
    pub fn has_any(&self) -> bool {
        self.workers.iter().any(|own| own.get().is_some())
    }

    /// All workers' together.
    pub fn sum(&self) -> CountedRequests {
        let mut sum = CountedRequests::default();
        let mut refused = [0; Reason::ALL.len()];
        for own in self.workers.iter().filter_map(OnceLock::get) {
            sum.answered += own.answered.load(Ordering::Relaxed);
            sum.introduced += own.introduced.load(Ordering::Relaxed);
            for (total, counter) in refused.iter_mut().zip(&own.refused) {
                *total += counter.load(Ordering::Relaxed);
            }
            let last = Some(own.last.load(Ordering::Relaxed)).filter(|&millis| millis > 0);
            sum.last_millis = sum.last_millis.max(last);
            let LastRefusals { any, upstream } = own.last_refusals().clone();
            sum.last_refusal = later(sum.last_refusal, any);
            sum.last_upstream = later(sum.last_upstream, upstream);
        }
        let counted = Reason::ALL.iter().copied().zip(refused);
        sum.refused = counted.filter(|(_, count)| *count > 0).collect();
        sum
    }

    /// How many requests each worker has counted.
    pub fn by_worker(&self) -> impl Iterator<Item = u64> {
        self.workers.iter().map(|own| {
            own.get().map_or(0, |own| {
                let refused: u64 = own.refused.iter().map(|it| it.load(Ordering::Relaxed)).sum();
                let others = [&own.answered, &own.introduced];
                refused + others.iter().map(|it| it.load(Ordering::Relaxed)).sum::<u64>()
            })
        })
    }
}

fn later(a: Option<LastRefusal>, b: Option<LastRefusal>) -> Option<LastRefusal> {
    [a, b].into_iter().flatten().max_by_key(|refused| refused.millis)
}

impl WorkerCounts {
    fn last_refusals(&self) -> MutexGuard<'_, LastRefusals> {
        self.last_refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_count_is_added_up_and_the_last_is_the_last_of_all() {
        let counts = RequestCounts::new(3);
        counts.count(0, 10, Ended::Answered);
        counts.count(0, 30, Ended::Introduced);
        counts.refused(2, 20, &Refusal::UnknownPath);
        counts.count(2, 20, Ended::Refused(Reason::UnknownPath));
        counts.refused(0, 15, &Refusal::PrivatePath);
        counts.count(0, 25, Ended::Refused(Reason::PrivatePath));
        // A worker that there is not counts nothing.
        counts.count(3, 99, Ended::Answered);
        let sum = counts.sum();
        assert_eq!((sum.answered, sum.introduced, sum.last_millis), (1, 1, Some(25)));
        assert!(sum.last_upstream.is_none());
        assert_eq!(sum.refused, [(Reason::PrivatePath, 1), (Reason::UnknownPath, 1)]);
        assert_eq!(
            (sum.all_refused(), sum.last_refusal.unwrap().refusal),
            (2, Refusal::UnknownPath)
        );
        assert_eq!(counts.by_worker().collect::<Vec<_>>(), [3, 0, 1]);
        let nothing = RequestCounts::new(2).sum();
        assert!(nothing.last_millis.is_none() && nothing.last_refusal.is_none());
    }

    #[test]
    fn what_callers_have_asked_can_be_added() {
        let counts = RequestCounts::new(1);
        counts.count(0, 1, Ended::Answered);
        counts.count(0, 1, Ended::Introduced);
        counts.count(0, 1, Ended::Refused(Reason::UnknownPath));
        let mut sum = CountedRequests::default();
        sum.add(&counts.sum());
        counts.count(0, 1, Ended::Refused(Reason::PrivatePath));
        sum.add(&counts.sum());
        assert_eq!((sum.answered, sum.introduced, sum.all_allowed()), (2, 2, 4));
        assert_eq!(sum.refused, [(Reason::PrivatePath, 1), (Reason::UnknownPath, 2)]);
    }

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let counts = RequestCounts::new(1);
        for (number, &reason) in (1..).zip(Reason::ALL) {
            (0..number).for_each(|_| counts.count(0, 1, Ended::Refused(reason)));
        }
        let expected: Vec<_> = Reason::ALL.iter().copied().zip(1..).collect();
        assert_eq!(counts.sum().refused, expected);
    }
}
