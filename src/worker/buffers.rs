//! Memory for heads and bodies.

use std::cell::{Cell, RefCell};

/// Memory that requests borrow while they are in flight, so that idle connections hold none.
#[derive(Debug, Default)]
pub struct Buffers {
    spare: RefCell<Vec<Vec<u8>>>,
    /// The fewest that were spare since the last [`Buffers::tidy`].
    fewest: Cell<usize>,
}

impl Buffers {
    /// An empty buffer with room for a head of default size.
    pub fn take(&self) -> Vec<u8> {
        let mut spare = self.spare.borrow_mut();
        let buffer = spare.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER));
        self.fewest.set(self.fewest.get().min(spare.len()));
        buffer
    }

    /// Takes a buffer back. Larger ones are freed, and so are more than a busy worker needs.
    pub fn put(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MAX_SPARE && (1..=BUFFER).contains(&buffer.capacity()) {
            buffer.clear();
            spare.push(buffer);
        }
    }

    /// Frees those that nobody has needed since this was called last, but for a few.
    pub fn tidy(&self) {
        let mut spare = self.spare.borrow_mut();
        let needed = spare.len().saturating_sub(self.fewest.get());
        spare.truncate(needed.max(KEPT_SPARE));
        self.fewest.set(spare.len());
    }
}

/// The capacity of a new buffer, in bytes.
const BUFFER: usize = 16 * 1024;

/// Up to four are in use for each lookup under way. Freed and allocated again for each of them, they would
/// cost a tenth of a lookup: to allocators these are large.
const MAX_SPARE: usize = 512;

/// How many a worker keeps that does little.
const KEPT_SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A storm of `count` buffers at once.
    fn storm(buffers: &Buffers, count: usize) {
        let taken: Vec<_> = (0..count).map(|_| buffers.take()).collect();
        taken.into_iter().for_each(|buffer| buffers.put(buffer));
    }

    #[test]
    fn buffers_that_are_needed_again_and_again_are_kept() {
        let buffers = Buffers::default();
        for _ in 0..3 {
            storm(&buffers, 200);
            buffers.tidy();
            assert_eq!(buffers.spare.borrow().len(), 200);
        }
    }

    #[test]
    fn a_storms_buffers_are_freed_when_it_is_over() {
        let buffers = Buffers::default();
        storm(&buffers, 2 * MAX_SPARE);
        assert_eq!(buffers.spare.borrow().len(), MAX_SPARE);
        buffers.tidy();
        storm(&buffers, 100);
        buffers.tidy();
        assert_eq!(buffers.spare.borrow().len(), 100);
        buffers.tidy();
        assert_eq!(buffers.spare.borrow().len(), KEPT_SPARE);
    }
}
