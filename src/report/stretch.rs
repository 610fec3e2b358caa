//! What a stretch of lines tells in its order, made short: who asked in which second, and for what.
//!
//! Stretches are read side by side and put behind one another by the [`Timeline`](super::timeline).

use std::sync::Arc;

use super::sketch::Distinct;
use super::sweep::Short;
use super::time::HOUR;

/// What lines that follow one another tell.
#[derive(Debug, Default)]
pub struct Stretch {
    /// By the number that the tally has given each peer.
    asked: Vec<Option<Box<Asked>>>,
    pub(super) names: Vec<(Arc<[u8]>, Box<Asked>)>,
    /// Seconds in which XiVO failed, and how often.
    pub(super) failures: Vec<(i64, u64)>,
}

/// What one peer has asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Seconds, and how many requests each had.
    pub(super) seconds: Vec<(i64, u32)>,
    /// Hours' beginnings, and the terms of each.
    pub(super) hours: Vec<(i64, Distinct)>,
    /// Short terms, and the second of each.
    pub(super) short: Vec<(i64, Short)>,
}

impl Stretch {
    /// A peer asks.
    #[inline]
    pub(super) fn ask(&mut self, peer: usize, second: i64) -> &mut Asked {
        if self.asked.len() <= peer {
            self.asked.resize_with(peer + 1, || None);
        }
        let asked = self.asked[peer].get_or_insert_default();
        match asked.seconds.last_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => asked.seconds.push((second, 1)),
        }
        asked
    }

    /// XiVO fails.
    pub(super) fn fail(&mut self, second: i64) {
        match self.failures.last_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.failures.push((second, 1)),
        }
    }

    /// Shows each peer's terms to `see`.
    pub(super) fn end(&self, mut see: impl FnMut(usize, &Distinct)) {
        for (number, asked) in self.asked.iter().enumerate() {
            for (_, terms) in asked.iter().flat_map(|asked| &asked.hours) {
                see(number, terms);
            }
        }
    }

    /// Replaces numbers by names.
    pub(super) fn name(&mut self, name: impl Fn(usize) -> Arc<[u8]>) {
        let asked = std::mem::take(&mut self.asked).into_iter().enumerate();
        self.names = asked.filter_map(|(number, asked)| Some((name(number), asked?))).collect();
    }
}

impl Asked {
    /// A term, with its hash.
    #[inline]
    pub(super) fn term(&mut self, second: i64, term: &[u8], hash: u64) {
        let hour = second.div_euclid(HOUR) * HOUR;
        match self.hours.last_mut() {
            Some((last, terms)) if *last == hour => terms.insert(hash),
            _ => {
                let mut terms = Distinct::default();
                terms.insert(hash);
                self.hours.push((hour, terms));
            }
        }
        if let Some(short) = Short::of(term) {
            self.short.push((second, short));
        }
    }
}
