//! Listeners, as connections know them over reloads.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};

use crate::config::Listener;
use crate::tls::ListenerTls;

/// A listener's name for as long as the process lives; no other ever has it. Its place in the configuration
/// may change with a reload, and its section too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u32);

impl std::fmt::Display for ListenerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ListenerId {
    /// That of the listener at `index` of the configuration that the process began with, or that a command
    /// looks at.
    pub fn at(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// A listener as requests see it.
#[derive(Clone, Debug)]
pub struct ServedListener {
    /// Which one.
    pub id: ListenerId,
    /// Its section; of one that was removed, the last that it had.
    pub section: Arc<Listener>,
    /// What it has of certificates; `None` where it speaks no TLS.
    pub tls: Option<Arc<ListenerTls>>,
}

/// Held by every worker that has connections of a listener, or may get some.
#[derive(Clone, Debug, Default)]
pub struct Presence(Arc<()>);

/// Tells whether anybody still holds a [`Presence`].
#[derive(Clone, Debug)]
pub struct PresenceWatch(Weak<()>);

impl Presence {
    /// To see when it is gone, without holding it.
    pub fn watch(&self) -> PresenceWatch {
        PresenceWatch(Arc::downgrade(&self.0))
    }
}

impl PresenceWatch {
    /// Whether no worker has a connection of the listener, nor will get one.
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// The listeners that one worker has connections of.
#[derive(Debug, Default)]
pub struct WorkerListeners {
    entries: RefCell<Vec<Entry>>,
    /// How many of them were removed: as a rule none, and then nobody looks further.
    removed: Cell<usize>,
}

#[derive(Debug)]
struct Entry {
    id: ListenerId,
    /// Its connections.
    open: usize,
    removed: bool,
    _presence: Presence,
}

impl WorkerListeners {
    /// The worker begins to accept connections of this one.
    pub fn add(&self, id: ListenerId, presence: Presence) {
        self.entries.borrow_mut().push(Entry { id, open: 0, removed: false, _presence: presence });
    }

    /// It accepts no more of this one, and those that are open end after their request.
    pub fn remove(&self, id: ListenerId) {
        if let Some(entry) = self.entries.borrow_mut().iter_mut().find(|entry| entry.id == id) {
            entry.removed = true;
        }
        self.tidy();
    }

    /// Whether it was removed and the worker still has something of it.
    pub fn is_removed(&self, id: ListenerId) -> bool {
        self.removed.get() > 0
            && self.entries.borrow().iter().any(|entry| entry.removed && entry.id == id)
    }

    /// Whether the worker is to accept connections of it.
    pub fn has(&self, id: ListenerId) -> bool {
        self.entries.borrow().iter().any(|entry| !entry.removed && entry.id == id)
    }

    /// Counts a connection, or the task that accepts them.
    pub(super) fn enter(&self, id: ListenerId) {
        if let Some(entry) = self.entries.borrow_mut().iter_mut().find(|entry| entry.id == id) {
            entry.open += 1;
        }
    }

    /// One of them has ended.
    pub(super) fn leave(&self, id: ListenerId) {
        if let Some(entry) = self.entries.borrow_mut().iter_mut().find(|entry| entry.id == id) {
            entry.open = entry.open.saturating_sub(1);
        }
        if self.removed.get() > 0 {
            self.tidy();
        }
    }

    /// Forgets what was removed and has no connections left.
    fn tidy(&self) {
        let mut entries = self.entries.borrow_mut();
        entries.retain(|entry| !entry.removed || entry.open > 0);
        self.removed.set(entries.iter().filter(|entry| entry.removed).count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_listener_is_held_until_its_last_connection_has_ended() {
        let listeners = WorkerListeners::default();
        let (first, second) = (ListenerId::at(0), ListenerId::at(1));
        let (presence, other) = (Presence::default(), Presence::default());
        let (watch, other_watch) = (presence.watch(), other.watch());
        listeners.add(first, presence);
        listeners.add(second, other);
        listeners.enter(first);
        listeners.enter(first);
        listeners.enter(second);
        assert!(!listeners.is_removed(first) && listeners.has(first));
        listeners.remove(first);
        assert!(listeners.is_removed(first) && !listeners.has(first));
        assert!(!listeners.is_removed(second) && listeners.has(second));
        listeners.leave(first);
        assert!(!watch.is_gone());
        listeners.leave(first);
        assert!(watch.is_gone() && !other_watch.is_gone());
        // One without connections is gone at once.
        listeners.leave(second);
        listeners.remove(second);
        assert!(other_watch.is_gone());
    }
}
