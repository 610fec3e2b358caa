//! Something that takes a while to make, and is made for a small part of the time however many want it.

use std::cell::{Cell, RefCell};

use tokio::time::{Instant, sleep_until};

/// See the module.
#[derive(Debug)]
pub(super) struct Paced<T> {
    /// When the last one was begun, and what came of it.
    last: RefCell<Option<(Instant, T)>>,
    /// When the next one may be.
    next: Cell<Option<Instant>>,
}

impl<T> Default for Paced<T> {
    fn default() -> Self {
        Self { last: RefCell::default(), next: Cell::default() }
    }
}

impl<T: Clone> Paced<T> {
    /// What is made after this was called: at once, or where it was made a moment ago together for all who wait.
    pub(super) async fn get(&self, make: impl Fn() -> T) -> T {
        let came = Instant::now();
        loop {
            if let Some((began, made)) = &*self.last.borrow()
                && *began >= came
            {
                return made.clone();
            }
            let began = Instant::now();
            match self.next.get().filter(|next| *next > began) {
                Some(next) => sleep_until(next).await,
                None => {
                    let made = make();
                    let took = began.elapsed();
                    self.next.set(Some(began + took + took * PAUSE));
                    self.last.replace(Some((began, made.clone())));
                    return made;
                }
            }
        }
    }
}

/// The pause after each, in times that it has taken.
const PAUSE: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_given_what_was_made_since_and_all_the_same() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(async {
            let paced = Paced::default();
            let made = Cell::new(0);
            let make = || {
                // Long enough that the others wait.
                std::thread::sleep(std::time::Duration::from_millis(5));
                made.set(made.get() + 1);
                made.get()
            };
            assert_eq!(paced.get(make).await, 1);
            let (a, b, c) = tokio::join!(paced.get(make), paced.get(make), paced.get(make));
            assert_eq!((a, b, c), (2, 2, 2));
            assert_eq!(paced.get(make).await, 3);
        });
    }
}
