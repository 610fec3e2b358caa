//! The configuration on disk where it is newer than the one that runs: so that a refusal which it would not have
//! made says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;

use super::snapshot::Snapshot;

/// What is on disk, as requests would be judged by it; nothing as long as that is what runs.
#[derive(Debug, Default)]
pub struct Newer {
    snapshot: ArcSwapOption<Snapshot>,
    /// Whether there is one that nobody was told of: all that is looked at where there is none.
    is_untold: AtomicBool,
}

impl Newer {
    /// There is this one, or none. One that was told of stays so.
    pub(super) fn set(&self, newer: Option<Snapshot>) {
        let revision = |of: &Snapshot| of.config.revision.clone();
        let known = self.snapshot.load().as_deref().map(revision);
        let same = newer.as_ref().map(revision) == known;
        let is_some = newer.is_some();
        self.snapshot.store(newer.map(Arc::new));
        if !same {
            self.is_untold.store(is_some, Ordering::Release);
        }
    }

    /// It, where nobody was told of it.
    pub fn untold(&self) -> Option<Arc<Snapshot>> {
        if self.is_untold.load(Ordering::Acquire) { self.snapshot.load_full() } else { None }
    }

    /// Whether the caller is the first to tell of it.
    pub fn tell(&self) -> bool {
        self.is_untold.swap(false, Ordering::AcqRel)
    }
}
