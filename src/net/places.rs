//! Places for clients of which there are few: who has been waited for longest makes room for a newcomer.
//!
//! For listeners beside the workers', on which nobody has to be served and nobody may harm the others: a client
//! that stalls holds one place, and no longer than until somebody else needs it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The places for connections.
#[derive(Debug)]
pub(crate) struct Places {
    held: RefCell<Vec<Rc<Held>>>,
    most: usize,
}

/// A place as those see it who look for one.
#[derive(Debug)]
struct Held {
    /// Since when its client has been waited for; `None` while its command is under way.
    since: Cell<Option<Instant>>,
    displaced: Notify,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Rc<Places>,
    held: Rc<Held>,
}

impl Places {
    /// So many, all of them free.
    pub(crate) fn new(most: usize) -> Self {
        Self { held: RefCell::default(), most }
    }

    /// A place for a newcomer. Where all are taken, the client makes room that has been waited for
    /// longest, unless it has come only just now.
    pub(crate) fn take(self: &Rc<Self>, now: Instant) -> Option<Place> {
        let mut all = self.held.borrow_mut();
        if all.len() >= self.most {
            let stalled = all
                .iter()
                .enumerate()
                .filter_map(|(index, held)| Some((held.since.get()?, index)))
                .filter(|(since, _)| now.duration_since(*since) >= FRESH)
                .min();
            let (_, index) = stalled?;
            all.swap_remove(index).displaced.notify_one();
        }
        let held = Rc::new(Held { since: Cell::new(Some(now)), displaced: Notify::new() });
        all.push(Rc::clone(&held));
        Some(Place { places: Rc::clone(self), held })
    }
}

impl Place {
    /// Waits until the place is somebody else's.
    pub(crate) async fn displaced(&self) {
        self.held.displaced.notified().await;
    }

    /// The client waits, and keeps its place.
    pub(crate) fn works(&self) {
        self.held.since.set(None);
    }

    /// The client is waited for.
    pub(crate) fn waits(&self, now: Instant) {
        self.held.since.set(Some(now));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held.borrow_mut().retain(|held| !Rc::ptr_eq(held, &self.held));
    }
}

/// Who has been waited for no longer than this does not make room.
const FRESH: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 16;

    #[test]
    fn who_has_been_waited_for_longest_makes_room_and_who_works_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let now = Instant::now();
            let places = Rc::new(Places::new(MOST));
            let mut held: Vec<Place> = (0..MOST).map(|_| places.take(now).unwrap()).collect();
            // All of them have come only just now.
            assert!(places.take(now).is_none());
            let now = now + FRESH;
            held[0].works();
            held[1].waits(now);
            let newcomer = places.take(now).unwrap();
            held[2].displaced().await;
            assert_eq!(places.held.borrow().len(), MOST);
            // Its own end takes nobody's place away.
            drop(held.remove(2));
            assert_eq!(places.held.borrow().len(), MOST);
            drop((newcomer, held));
            assert!(places.held.borrow().is_empty());
        });
    }
}
