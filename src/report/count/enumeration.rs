//! Finds terms that go through the alphabet: aa, ab, ac and so on.
//!
//! A XiVO's search finds a term anywhere in a contact, so that somebody who reads a phonebook out asks
//! for all short terms in turn, as slowly as the rate allows, and in between others look people up.
//! Therefore several threads of terms are followed at once, and each is prolonged by the term that comes
//! next in its order. Terms that are hashes have no order; those of a harvest show by their number.

/// A short term: up to four letters or digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::report) struct Short(u32);

impl Short {
    /// `term`, as it was sent, if it is short.
    #[inline]
    pub(in crate::report) fn of(term: &[u8]) -> Option<Self> {
        if term.is_empty() || term.len() > 4 {
            return None;
        }
        let value = term.iter().try_fold(0, |sum, byte| {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'z' => byte - b'a' + 10,
                b'A'..=b'Z' => byte - b'A' + 10,
                _ => return None,
            };
            Some(sum * BASE + u32::from(digit))
        })?;
        Some(Self((term.len() as u32) << LENGTH_AT | value))
    }

    /// The term in lower case.
    pub(in crate::report) fn text(self) -> String {
        let mut value = self.0 & ((1 << LENGTH_AT) - 1);
        let mut text: Vec<char> = (0..self.0 >> LENGTH_AT)
            .map(|_| {
                let digit = value % BASE;
                value /= BASE;
                char::from_digit(digit, BASE).unwrap_or('?')
            })
            .collect();
        text.reverse();
        text.into_iter().collect()
    }

    /// Whether this comes right behind `former`, or nearly: a step of the last letter, from its end to
    /// the next one's beginning, or of the first letter of two.
    fn follows(self, former: Self) -> bool {
        // az → b0, az → ba, 19 → 20, aa → ba; a step may leave out two.
        const LETTERS: u32 = BASE - 25;
        const DIGITS: u32 = BASE - 9;
        let step = self.0.wrapping_sub(former.0);
        self.0 >> LENGTH_AT == former.0 >> LENGTH_AT
            && matches!(step, 1..=3 | DIGITS..=BASE | LETTERS..=13)
    }
}

/// Terms in the alphabet's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) struct Enumeration {
    pub(in crate::report) first: Short,
    pub(in crate::report) last: Short,
    pub(in crate::report) begin: i64,
    pub(in crate::report) end: i64,
    pub(in crate::report) terms: u64,
}

/// An enumeration that may go on.
#[derive(Clone, Copy, Debug)]
struct Thread {
    enumeration: Enumeration,
    /// When its last term was asked for last: that one term comes again is no step of it.
    seen: i64,
}

/// Follows one caller's terms.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Enumerations {
    threads: Vec<Thread>,
    found: Vec<Enumeration>,
}

impl Enumerations {
    /// A term was asked for.
    pub(in crate::report) fn ask(&mut self, second: i64, term: Short) {
        let goes_on = |thread: &&mut Thread| second - thread.enumeration.end <= PAUSE;
        let mut going_on = self.threads.iter_mut().filter(goes_on);
        if let Some(thread) = going_on.find(|thread| thread.enumeration.last == term) {
            thread.seen = second;
            return;
        }
        let mut going_on = self.threads.iter_mut().filter(goes_on);
        if let Some(thread) = going_on.find(|thread| term.follows(thread.enumeration.last)) {
            thread.seen = second;
            thread.enumeration.last = term;
            thread.enumeration.end = second;
            thread.enumeration.terms += 1;
            return;
        }
        let enumeration =
            Enumeration { first: term, last: term, begin: second, end: second, terms: 1 };
        let begun = Thread { enumeration, seen: second };
        if self.threads.len() < THREADS {
            return self.threads.push(begun);
        }
        if let Some(oldest) = self.threads.iter_mut().min_by_key(|thread| thread.seen) {
            let ended = std::mem::replace(oldest, begun);
            self.end(ended.enumeration);
        }
    }

    fn end(&mut self, enumeration: Enumeration) {
        if enumeration.terms >= LEAST {
            self.found.push(enumeration);
            if self.found.len() > 2 * KEPT {
                self.found.sort_by_key(|enumeration| {
                    (std::cmp::Reverse(enumeration.terms), enumeration.begin)
                });
                self.found.truncate(KEPT);
            }
        }
    }

    /// The enumerations, those that may still go on included.
    pub(in crate::report) fn found(&self) -> Vec<Enumeration> {
        let going_on = self.threads.iter().map(|thread| thread.enumeration);
        let going_on = going_on.filter(|enumeration| enumeration.terms >= LEAST);
        let mut all: Vec<Enumeration> = self.found.iter().copied().chain(going_on).collect();
        all.sort_by_key(|enumeration| (std::cmp::Reverse(enumeration.terms), enumeration.begin));
        all.truncate(KEPT);
        all
    }
}

/// Seconds between two terms of an enumeration, at the most: who is slower needs weeks for two letters.
const PAUSE: i64 = 6 * 3600;
/// The number of threads that are followed for a caller.
const THREADS: usize = 32;
/// The number of terms from which on it is no chance.
const LEAST: u64 = 15;
/// The number of enumerations that are kept of a caller.
const KEPT: usize = 16;

const BASE: u32 = 36;
const LENGTH_AT: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn enumerations<'t>(terms: impl IntoIterator<Item = &'t str>) -> Vec<Enumeration> {
        let mut enumerations = Enumerations::default();
        for (second, term) in (0..).zip(terms) {
            if let Some(term) = Short::of(term.as_bytes()) {
                enumerations.ask(second, term);
            }
        }
        enumerations.found()
    }

    fn pairs() -> Vec<String> {
        let letters = || 'a'..='z';
        letters().flat_map(|a| letters().map(move |b| format!("{a}{b}"))).collect()
    }

    #[test]
    fn short_terms_come_back_as_they_were() {
        for term in ["a", "zz", "09az", "7"] {
            assert_eq!(Short::of(term.as_bytes()).unwrap().text(), term);
        }
        assert_eq!(Short::of(b"AbC").unwrap().text(), "abc");
        assert!(Short::of(b"").is_none() && Short::of(b"dupont").is_none());
        assert!(Short::of(b"a%").is_none());
    }

    #[test]
    fn all_pairs_of_letters_in_turn_are_one_enumeration() {
        let pairs = pairs();
        let [enumeration] = enumerations(pairs.iter().map(String::as_str))[..] else {
            panic!("not one")
        };
        assert_eq!(
            (
                enumeration.terms,
                enumeration.first.text().as_str(),
                enumeration.last.text().as_str()
            ),
            (676, "aa", "zz")
        );
    }

    #[test]
    fn an_enumeration_ends_with_its_last_step_though_that_term_comes_again() {
        let mut enumerations = Enumerations::default();
        let mut ask =
            |second: i64, term: &str| enumerations.ask(second, Short::of(term.as_bytes()).unwrap());
        let terms: Vec<String> = ('a'..='z').map(|letter| format!("k{letter}")).collect();
        (0..).zip(&terms).for_each(|(second, term)| ask(second, term));
        ask(3000, "kz");
        ask(90_000, "kz");
        // The next day again; and what would be a step is none after a night.
        ask(90_001, "l0");
        (100_000..).zip(&terms).for_each(|(second, term)| ask(second, term));
        let ends: Vec<_> =
            enumerations.found().iter().map(|it| (it.begin, it.end, it.terms)).collect();
        assert_eq!(ends, [(0, 25, 26), (100_000, 100_025, 26)]);
    }

    #[test]
    fn an_enumeration_is_found_among_what_others_ask() {
        let pairs = pairs();
        let others = ["dupo", "1001", "mart", "be", "zu", "4711"];
        let mut asked = Vec::new();
        for (number, pair) in pairs.iter().enumerate() {
            asked.push(others[number % others.len()]);
            asked.push(pair.as_str());
            asked.push(pair.as_str());
        }
        assert!(enumerations(asked).iter().any(|enumeration| enumeration.terms > 600));
    }

    #[test]
    fn what_people_type_is_no_enumeration() {
        // Letter by letter, and extensions as they are called.
        let typed = ["d", "du", "dup", "dupo", "m", "ma", "mar", "mart", "b", "be", "ber", "bern"];
        assert!(enumerations(typed.repeat(100)).is_empty());
        let mut random = 7_u32;
        let extensions: Vec<String> = (0..20_000)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (1000 + (random >> 16) % 400).to_string()
            })
            .collect();
        assert!(enumerations(extensions.iter().map(String::as_str)).is_empty());
    }
}
