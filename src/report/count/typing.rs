//! Tells what somebody looked for from what was typed on the way: of `d`, `du`, `dup` it is `dup`.
//!
//! A XiVO asks while somebody types, so that one person who looks for one other asks several times within seconds. A
//! term that goes on within ten seconds, from the same peer, was on its way. Who reads a phonebook out does not type.

use crate::report::count::block::Key;

/// A peer's last terms, the oldest first.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Typing(Vec<Typed>);

/// A term, as far as it is known whether it goes on.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Typed {
    pub(in crate::report) second: i64,
    pub(in crate::report) key: Key,
    pub(in crate::report) is_chosen: bool,
    /// Whether this peer had not asked for it in this hour.
    pub(in crate::report) is_new: bool,
    /// Whether a longer one followed that begins with it.
    pub(in crate::report) goes_on: bool,
}

impl Typed {
    pub(in crate::report) fn new(second: i64, key: Key, is_chosen: bool, is_new: bool) -> Self {
        Self { second, key, is_chosen, is_new, goes_on: false }
    }
}

impl Typing {
    /// A term was asked for; `see` is shown those before it of which it is known by now whether they went on.
    #[inline]
    pub(in crate::report) fn ask(&mut self, typed: Typed, see: impl FnMut(Typed)) {
        let is_over = |before: &Typed| !(0..=PAUSE).contains(&(typed.second - before.second));
        let mut over = self.0.iter().take_while(|before| is_over(before)).count();
        if self.0.len() - over >= MOST {
            over = self.0.len() + 1 - MOST;
        }
        if over > 0 {
            self.0.drain(..over).for_each(see);
        }
        for before in &mut self.0 {
            before.goes_on |= before.key.is_begun_by(typed.key);
        }
        self.0.push(typed);
    }

    /// Shows `see` all that are left.
    pub(in crate::report) fn end(&mut self, see: impl FnMut(Typed)) {
        self.0.drain(..).for_each(see);
    }
}

/// Seconds within which a term goes on.
const PAUSE: i64 = 10;
/// Terms of a peer that are looked back at.
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::count::tally::ThingHasher;

    fn looked_for(asked: &[(i64, &str)]) -> Vec<String> {
        let hasher = ThingHasher::default();
        let (mut typing, mut seen) = (Typing::default(), Vec::new());
        for &(second, term) in asked {
            let key = Key::of(term.as_bytes(), &hasher);
            typing.ask(Typed::new(second, key, true, true), |typed| seen.push(typed));
        }
        typing.end(|typed| seen.push(typed));
        let name = |typed: Typed| {
            let of = asked.iter().find(|(_, term)| Key::of(term.as_bytes(), &hasher) == typed.key);
            of.unwrap().1.to_owned()
        };
        seen.into_iter().filter(|typed| !typed.goes_on).map(name).collect()
    }

    #[test]
    fn what_is_typed_on_the_way_is_not_what_is_looked_for() {
        assert_eq!(
            looked_for(&[(0, "d"), (1, "du"), (3, "dup"), (4, "dupont-durand")]),
            ["dupont-durand"]
        );
        assert_eq!(looked_for(&[(0, "d"), (0, "m"), (1, "du"), (1, "ma")]), ["du", "ma"]);
        assert_eq!(looked_for(&[(0, "d"), (11, "du")]), ["d", "du"], "later is another time");
        assert_eq!(looked_for(&[(0, "aa"), (1, "ab"), (2, "ac")]), ["aa", "ab", "ac"]);
    }

    #[test]
    fn of_very_many_terms_none_is_lost() {
        let terms: Vec<String> = (0..500).map(|number| format!("x{number:03}")).collect();
        let asked: Vec<(i64, &str)> = terms.iter().map(|term| (7, term.as_str())).collect();
        assert_eq!(looked_for(&asked).len(), 500);
    }
}
