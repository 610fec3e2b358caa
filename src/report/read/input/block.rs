//! A piece of a source.

use std::io::{self, Read};
use std::ops::Deref;

/// Bytes of a source, in memory that is given once: making it zero for each block would cost nearly as much as the
/// reading.
#[derive(Debug, Default)]
pub(crate) struct Block {
    memory: Vec<u8>,
    length: usize,
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Block {
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Leaves at most this number of bytes, the first ones.
    pub(super) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Takes the first ones away.
    pub(super) fn drop_first(&mut self, count: usize) {
        let count = count.min(self.length);
        self.memory.copy_within(count..self.length, 0);
        self.length -= count;
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.give_room(end);
        self.memory[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    /// Reads until there are as many; `false` at the end.
    pub(super) fn fill(&mut self, much: usize, reader: &mut impl Read) -> io::Result<bool> {
        self.give_room(much);
        while self.length < much {
            match reader.read(&mut self.memory[self.length..much]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn give_room(&mut self, length: usize) {
        if self.memory.len() < length {
            self.memory.resize(length, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_does_not_come_back() {
        let mut block = Block::default();
        assert!(block.fill(6, &mut &b"abcdefgh"[..]).unwrap());
        assert_eq!(&*block, b"abcdef");
        block.drop_first(4);
        block.extend(b"xyz");
        assert_eq!(&*block, b"efxyz");
        block.truncate(3);
        block.truncate(9);
        assert!(!block.fill(9, &mut &b"12"[..]).unwrap());
        assert_eq!(&*block, b"efx12");
        block.drop_first(9);
        assert!(block.is_empty());
        block.extend(b"a");
        block.clear();
        assert!(!block.fill(1, &mut &b""[..]).unwrap());
        assert_eq!(&*block, b"");
    }
}
