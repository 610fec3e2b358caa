//! When XiVO stopped answering, and that it answers again: told once for all workers.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::upstream::UpstreamFault;

/// What all workers know of it.
#[derive(Debug, Default)]
pub struct Outage {
    now: Mutex<Option<Ongoing>>,
    /// Whether there is one; workers look at it now and then.
    is_on: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Ongoing {
    since: Instant,
    failed: u64,
}

/// One that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// From the first lookup that failed to the first that did not.
    pub lasted: Duration,
    /// Lookups that failed.
    pub failed: u64,
}

/// Whether one worker has heard of an outage. An answer of XiVO's costs a look at it, and nothing that other
/// workers write to.
#[derive(Debug, Default)]
pub struct OutageHeard(Cell<bool>);

impl Outage {
    /// A lookup has failed at `now`.
    pub fn failed(&self, heard: &OutageHeard, fault: &UpstreamFault, now: Instant) {
        if !is_outage(fault) {
            return;
        }
        let mut ongoing = self.lock();
        ongoing.get_or_insert(Ongoing { since: now, failed: 0 }).failed += 1;
        self.is_on.store(true, Ordering::Relaxed);
        heard.0.set(true);
    }

    /// XiVO has answered a lookup. To the first that says so it tells what is over.
    pub fn answered(&self, heard: &OutageHeard) -> Option<Over> {
        if !heard.0.take() {
            return None;
        }
        let Ongoing { since, failed } = self.lock().take()?;
        self.is_on.store(false, Ordering::Relaxed);
        Some(Over { lasted: since.elapsed(), failed })
    }

    /// Since when XiVO does not answer, and how many lookups have failed since; `None` where it answers, or nobody
    /// has asked.
    pub(crate) fn ongoing(&self) -> Option<(Instant, u64)> {
        self.lock().map(|ongoing| (ongoing.since, ongoing.failed))
    }

    /// Lets a worker hear of what others have met.
    pub fn hear(&self, heard: &OutageHeard) {
        if self.is_on.load(Ordering::Relaxed) {
            heard.0.set(true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Ongoing>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether XiVO does not answer at all, or answers nobody: what is wrong with one answer says nothing of the
/// others.
fn is_outage(fault: &UpstreamFault) -> bool {
    use UpstreamFault as F;
    matches!(
        fault,
        F::Unreachable(_)
            | F::ThisHost(_)
            | F::Timeout(_)
            | F::RefusedGateway(_)
            | F::Redirect(_)
            | F::Error(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_once_whoever_sees_it_first() {
        let outage = Outage::default();
        let (first, second) = (OutageHeard::default(), OutageHeard::default());
        let now = Instant::now();
        assert_eq!(outage.answered(&first), None);
        outage.failed(&first, &UpstreamFault::TooLarge, now);
        assert_eq!(outage.answered(&first), None, "one answer was too large, and others may come");
        for _ in 0..3 {
            outage.failed(&first, &UpstreamFault::Error(500), now);
        }
        // Who has not heard of it does not look; then it is told of it.
        assert_eq!(outage.answered(&second), None);
        outage.hear(&second);
        assert_eq!(outage.ongoing(), Some((now, 3)));
        assert_eq!(outage.answered(&second).map(|over| over.failed), Some(3));
        assert_eq!((outage.answered(&first), outage.answered(&second)), (None, None));
        assert_eq!(outage.ongoing(), None);
    }
}
