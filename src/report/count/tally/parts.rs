//! The parts of tallies: counts, spans of time, figures by the hour, things by name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::report::count::patience::{Overdue, Patience};
use crate::report::read::entry::Entry;
use crate::report::read::time::{HOUR, LineTime};

/// Figures that every row of the report has.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::report) struct Counts {
    pub(in crate::report) requests: u64,
    pub(in crate::report) answered: u64,
    pub(in crate::report) refused: u64,
    pub(in crate::report) limited: u64,
    pub(in crate::report) failed: u64,
    pub(in crate::report) left: u64,
    pub(in crate::report) late: u64,
    pub(in crate::report) body_bytes: u64,
    /// XiVO was asked for them.
    pub(in crate::report) asked: u64,
    /// Answered, and later than the caller waits: by text, by number.
    pub(in crate::report) overdue: [u64; 2],
    /// XiVO did not answer in time: 504.
    pub(in crate::report) timed_out: u64,
}

impl Counts {
    #[inline]
    pub(in crate::report) fn count(&mut self, entry: &Entry<'_>, patience: Patience) {
        self.requests += 1;
        self.body_bytes = self.body_bytes.saturating_add(entry.body_bytes);
        self.asked += u64::from(patience.reached_xivo);
        self.late += u64::from(patience.is_late);
        match patience.overdue {
            Some(Overdue::Text) => self.overdue[0] += 1,
            Some(Overdue::Number) => self.overdue[1] += 1,
            None => {}
        }
        match entry.status {
            ..400 => self.answered += 1,
            499 => self.left += 1,
            504 => {
                self.timed_out += 1;
                self.failed += 1;
            }
            429 => {
                self.limited += 1;
                self.refused += 1;
            }
            400..500 => self.refused += 1,
            500.. => self.failed += 1,
        }
    }

    pub(in crate::report) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.answered += other.answered;
        self.refused += other.refused;
        self.limited += other.limited;
        self.failed += other.failed;
        self.left += other.left;
        self.late += other.late;
        self.body_bytes = self.body_bytes.saturating_add(other.body_bytes);
        self.asked += other.asked;
        self.overdue.iter_mut().zip(other.overdue).for_each(|(ours, theirs)| *ours += theirs);
        self.timed_out += other.timed_out;
    }
}

/// The first and the last line of something.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Span {
    pub(in crate::report) first: LineTime,
    pub(in crate::report) last: LineTime,
}

impl Span {
    pub(in crate::report) fn at(time: LineTime) -> Self {
        Self { first: time, last: time }
    }

    #[inline]
    pub(in crate::report) fn extend(&mut self, time: LineTime) {
        // Of two zones at the same time one is chosen, whichever comes first.
        if (time.unix, time.offset) < (self.first.unix, self.first.offset) {
            self.first = time;
        }
        if (time.unix, time.offset) > (self.last.unix, self.last.offset) {
            self.last = time;
        }
    }

    pub(in crate::report) fn merge(&mut self, other: &Self) {
        self.extend(other.first);
        self.extend(other.last);
    }
}

/// Figures by the hour, with the hour of the last line at hand.
#[derive(Clone, Debug)]
pub(in crate::report) struct Hours<T> {
    last: (i64, usize),
    index: HashMap<i64, usize, RandomState>,
    list: Vec<(i64, T)>,
}

impl<T> Default for Hours<T> {
    fn default() -> Self {
        Self { last: (i64::MIN, 0), index: HashMap::default(), list: Vec::new() }
    }
}

impl<T: Default> Hours<T> {
    /// What belongs to the hour of `unix`.
    #[inline]
    pub(in crate::report) fn at(&mut self, unix: i64) -> &mut T {
        let mut left = MOST_HOURS;
        self.at_within(unix, &mut left)
    }

    /// The same, where no more than `left` further hours may be told apart.
    #[inline]
    pub(in crate::report) fn at_within(&mut self, unix: i64, left: &mut usize) -> &mut T {
        let hour = unix.div_euclid(HOUR);
        if self.last.0 != hour {
            self.last = (hour, self.position(hour, left));
        }
        &mut self.list[self.last.1].1
    }

    /// Where the hour stands. More than [`MOST_HOURS`] are no log but an attack on memory: what comes beyond
    /// belongs to the last one that there was room for.
    fn position(&mut self, hour: i64, left: &mut usize) -> usize {
        let next = self.list.len();
        match self.index.get(&hour) {
            Some(at) => *at,
            None if next > 0 && (next >= MOST_HOURS || *left == 0) => next - 1,
            None => {
                *left = left.saturating_sub(1);
                self.index.insert(hour, next);
                self.list.push((hour * HOUR, T::default()));
                next
            }
        }
    }

    /// Each hour's beginning, and what belongs to it; in no order.
    pub(in crate::report) fn list(&self) -> &[(i64, T)] {
        &self.list
    }
}

/// Things by name, up to a limit; those beyond are counted under one name.
#[derive(Clone, Debug)]
pub(in crate::report) struct Named<T> {
    index: HashMap<Arc<[u8]>, usize, RandomState>,
    list: Vec<(Arc<[u8]>, T)>,
    most: usize,
    /// How often a name was counted as one of the others.
    left_out: u64,
}

impl<T> Named<T> {
    pub(in crate::report) fn new(most: usize) -> Self {
        Self { index: HashMap::default(), list: Vec::new(), most, left_out: 0 }
    }

    /// The number of the thing of this name, which `new` makes where it is missing.
    #[inline]
    pub(in crate::report) fn number(&mut self, name: &[u8], new: impl FnOnce() -> T) -> usize {
        match self.index.get(name) {
            Some(number) => *number,
            None => self.add(name, new),
        }
    }

    #[cold]
    fn add(&mut self, name: &[u8], new: impl FnOnce() -> T) -> usize {
        let name = if self.list.len() < self.most { name } else { OTHERS };
        self.left_out += u64::from(name == OTHERS);
        if let Some(number) = self.index.get(name) {
            return *number;
        }
        let (name, number) = (Arc::<[u8]>::from(name), self.list.len());
        self.index.insert(Arc::clone(&name), number);
        self.list.push((name, new()));
        number
    }

    pub(in crate::report) fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        self.list.iter().map(|(name, thing)| (&**name, thing))
    }

    pub(in crate::report) fn names(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.list.iter().map(|(name, _)| name)
    }

    /// The thing of this number, which [`number`](Self::number) has told.
    #[inline]
    pub(in crate::report) fn at(&mut self, number: usize) -> &mut T {
        &mut self.list[number].1
    }

    /// Whether names were left out.
    pub(in crate::report) fn is_full(&self) -> bool {
        self.left_out > 0
    }
}

/// A name as it is kept: whatever a log has in its place, it takes no more than [`LONGEST`] bytes. One that
/// is cut ends in `…`.
#[inline]
pub(in crate::report) fn kept(name: &[u8]) -> Cow<'_, [u8]> {
    if name.len() <= LONGEST { Cow::Borrowed(name) } else { Cow::Owned(cut_name(name)) }
}

#[cold]
fn cut_name(name: &[u8]) -> Vec<u8> {
    let mark = "…".as_bytes();
    let most = LONGEST - mark.len();
    // Not within a character.
    let is_inside = |at: &usize| name.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let end = (most - 3..=most).rev().find(|at| !is_inside(at)).unwrap_or(most);
    [&name[..end], mark].concat()
}

/// Adds things of the same names; says which number each of theirs has here.
pub(in crate::report) fn merge_named<T: Clone>(
    ours: &mut Named<T>,
    theirs: &Named<T>,
    mut merge: impl FnMut(&mut T, &T),
) -> Vec<usize> {
    let mut numbers = Vec::with_capacity(theirs.list.len());
    for (name, thing) in theirs.iter() {
        let mut is_new = false;
        let number = ours.number(name, || {
            is_new = true;
            thing.clone()
        });
        if !is_new {
            merge(&mut ours.list[number].1, thing);
        }
        numbers.push(number);
    }
    ours.left_out += theirs.left_out;
    numbers
}

/// The number of bytes of a name that are kept: a peer's has up to 64, an address 45.
pub(in crate::report) const LONGEST: usize = 200;

/// The name of those beyond the limit.
pub(in crate::report) const OTHERS: &[u8] = b"(others)";

/// The number of hours: eleven years of them.
const MOST_HOURS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters_and_say_so() {
        for name in ["", "lyon", &"x".repeat(LONGEST)] {
            assert!(matches!(kept(name.as_bytes()), Cow::Borrowed(_)));
        }
        for name in ["x".repeat(LONGEST + 1), "è".repeat(400_000), "€".repeat(100), "𝄞".repeat(70)]
        {
            let cut = String::from_utf8(kept(name.as_bytes()).into_owned()).unwrap();
            let begin = cut.strip_suffix('…').unwrap();
            assert!(name.starts_with(begin) && cut.len() <= LONGEST && begin.len() > LONGEST - 8);
        }
        assert!(kept(&[0x80; 1000]).len() <= LONGEST);
    }

    #[test]
    fn hours_beyond_what_is_left_belong_to_the_last_one() {
        let mut hours: Hours<u64> = Hours::default();
        let mut left = 2;
        for hour in 0..5 {
            *hours.at_within(hour * HOUR, &mut left) += 1;
        }
        assert_eq!((hours.list(), left), ([(0, 1), (HOUR, 4)].as_slice(), 0));
        let mut other: Hours<u64> = Hours::default();
        *other.at_within(7 * HOUR, &mut left) += 1;
        assert_eq!(other.list(), [(7 * HOUR, 1)], "each has one");
    }
}
