//! What the HTTP/2 connections of a gateway may hold together of what is coming and what is to be sent.
//!
//! Each connection has bounds of its own; this is the bound of their sum, so that memory has a ceiling
//! whatever they all do at once. Callers in no policy may use a quarter of it: they are the first to
//! lose their connections, and leave room for the peers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The sum of what connections hold, over all workers, in bytes.
#[derive(Debug, Default)]
pub struct Budget {
    all: AtomicUsize,
    unknown: AtomicUsize,
}

/// One connection's part of it, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    unknown: bool,
    held: usize,
}

impl Share {
    /// A part of nothing yet, of a caller that may be in no policy.
    pub(crate) fn new(budget: Arc<Budget>, unknown: bool) -> Self {
        Self { budget, unknown, held: 0 }
    }

    /// Sets how many bytes the connection holds. Returns whether it may hold them.
    pub(crate) fn set(&mut self, held: usize) -> bool {
        let before = std::mem::replace(&mut self.held, held);
        if held == before {
            return true;
        }
        let change = |sum: &AtomicUsize| match held.checked_sub(before) {
            Some(more) => sum.fetch_add(more, Ordering::Relaxed) + more,
            None => sum.fetch_sub(before - held, Ordering::Relaxed) - (before - held),
        };
        let all = change(&self.budget.all);
        let unknown = if self.unknown { change(&self.budget.unknown) } else { 0 };
        held < before || all <= ALL && unknown <= UNKNOWN
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What all connections may hold together, in bytes.
const ALL: usize = 64 << 20;

/// What those of callers in no policy may hold together, in bytes.
const UNKNOWN: usize = ALL / 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_callers_use_up_their_part_and_peers_theirs() {
        let budget = Arc::new(Budget::default());
        let share = |unknown| Share::new(Arc::clone(&budget), unknown);
        let (mut first, mut second, mut peer) = (share(true), share(true), share(false));
        assert!(first.set(UNKNOWN - 1));
        assert!(!second.set(2));
        assert!(peer.set(ALL - UNKNOWN - 1));
        // Less is always well.
        assert!(second.set(1));
        drop(first);
        assert!(second.set(1000));
        assert!(!peer.set(ALL));
        drop((second, peer));
        assert_eq!(budget.all.load(Ordering::Relaxed), 0);
        assert_eq!(budget.unknown.load(Ordering::Relaxed), 0);
    }
}
