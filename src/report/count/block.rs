//! The summary of a block of lines: who asked in which second, and for what.
//!
//! Blocks are read side by side, and their summaries are put into the order of time by the
//! [`Timeline`](super::timeline).

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use super::outages::Outages;
use super::patience::Patience;
use super::tally::ThingHasher;
use crate::report::count::enumeration::Short;
use crate::report::read::entry::{Action, Entry};
use crate::report::read::time::HOUR;

/// A request of a peer, in two words: what it asked for, and all else.
///
/// The second word has from its first bit on: 12 bits of the second in its hour, 16 of the peer's number, 16 of the
/// milliseconds that it took, and flags. Events are compared by what they ask for first: that is how those of one
/// peer in one second are looked at, whichever order their lines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::report) struct Event {
    pub(in crate::report) key: Key,
    rest: u64,
}

impl Event {
    /// It is asked for (`--status` and so on), and not only what a peer did besides.
    const CHOSEN: u64 = 1;
    /// A search whose term the log has.
    const TERM: u64 = 1 << 1;
    /// XiVO was asked for something that can be compared with what others asked for.
    const LOOKUP: u64 = 1 << 2;
    /// XiVO answered.
    const ANSWERED: u64 = 1 << 3;
    /// The log says how long it took.
    const TIMED: u64 = 1 << 4;

    fn has(self, flag: u64) -> bool {
        self.rest & flag != 0
    }

    /// The second in its hour.
    #[inline]
    pub(in crate::report) fn second(self) -> usize {
        (self.rest >> SECOND_AT) as usize
    }

    /// The peer's number.
    #[inline]
    pub(in crate::report) fn peer(self) -> usize {
        usize::from((self.rest >> PEER_AT) as u16)
    }

    /// The same of a peer that has another number.
    #[inline]
    pub(in crate::report) fn of(self, peer: usize) -> Self {
        let rest = self.rest & !(0xffff << PEER_AT) | (peer as u64 & 0xffff) << PEER_AT;
        Self { rest, ..self }
    }

    pub(in crate::report) fn is_chosen(self) -> bool {
        self.has(Self::CHOSEN)
    }

    /// The term, if it is a search whose term the log has.
    pub(in crate::report) fn term(self) -> Option<Key> {
        self.has(Self::TERM).then_some(self.key)
    }

    /// Whether XiVO was asked for something that can be compared.
    pub(in crate::report) fn is_lookup(self) -> bool {
        self.has(Self::LOOKUP)
    }

    pub(in crate::report) fn is_answered(self) -> bool {
        self.has(Self::ANSWERED)
    }

    /// Milliseconds that it took; 65.535 s and more are the same.
    pub(in crate::report) fn took(self) -> Option<i64> {
        self.has(Self::TIMED).then_some(i64::from((self.rest >> TOOK_AT) as u16))
    }
}

/// What was asked for, without regard to case, which XiVO's search has none of.
///
/// A term of up to seven bytes is kept as it is, its length in the first byte; of a longer one the first three bytes,
/// and 32 bits of a hash: of 20,000 of them that begin alike two are taken for one once in twenty logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::report) struct Key(u64);

impl Key {
    /// The whole phonebook.
    const LIST: Self = Self(0xfe << LENGTH_AT);

    /// The key of a term, as it was sent.
    #[inline]
    pub(in crate::report) fn of(term: &[u8], hasher: &ThingHasher) -> Self {
        if term.len() < 8 {
            let mut bytes = [0; 8];
            bytes[0] = term.len() as u8;
            bytes[1..=term.len()].copy_from_slice(term);
            bytes[1..].make_ascii_lowercase();
            return Self(u64::from_be_bytes(bytes));
        }
        let mut lower = [0; 32];
        let hash = match lower.get_mut(..term.len()) {
            Some(lower) => {
                lower.copy_from_slice(term);
                lower.make_ascii_lowercase();
                hasher.hash_one(&*lower)
            }
            None => hasher.hash_one(term.to_ascii_lowercase()),
        };
        let [a, b, c] =
            [term[0], term[1], term[2]].map(|byte| u64::from(byte.to_ascii_lowercase()));
        Self(LONG << LENGTH_AT | a << 48 | b << 40 | c << 32 | hash >> 32)
    }

    /// The key of one contact, by what asks for it.
    fn of_view(target: &[u8], hasher: &ThingHasher) -> Self {
        Self(0xfd << LENGTH_AT | hasher.hash_one(target) >> 8)
    }

    /// Good bits for sketches and tables (the finalizer of MurmurHash3, which takes no two keys for one).
    #[inline]
    pub(in crate::report) fn hash(self) -> u64 {
        let mut bits = self.0;
        bits = (bits ^ bits >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        bits = (bits ^ bits >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        bits ^ bits >> 33
    }

    /// The term, if it is short.
    pub(in crate::report) fn short(self) -> Option<Short> {
        let bytes = self.0.to_be_bytes();
        let length = usize::from(bytes[0]);
        (length <= 4).then(|| Short::of(&bytes[1..=length])).flatten()
    }

    /// Whether `longer` begins with this term and goes on, as far as keys tell.
    #[inline]
    pub(in crate::report) fn is_begun_by(self, longer: Self) -> bool {
        let (length, other) = (self.0 >> LENGTH_AT, longer.0 >> LENGTH_AT);
        // Of a long term three bytes are known.
        let known = if other == LONG { 3 } else { other.saturating_sub(1) };
        if length == 0 || length > known || other > LONG {
            return false;
        }
        (self.0 ^ longer.0) << 8 >> (64 - 8 * length) == 0
    }
}

/// What else is known of a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Asked {
    pub(in crate::report) patience: Patience,
    /// Whether it is asked for, and not only what a peer did besides.
    pub(in crate::report) is_chosen: bool,
}

/// What the lines of a block tell of the course of time.
#[derive(Debug, Default)]
pub(crate) struct BlockSummary {
    /// The hour of the last event, and those of this hour since it was another one.
    hour: i64,
    events: Vec<Event>,
    /// The events of other hours, by their hours' beginnings.
    hours: BTreeMap<i64, Vec<Event>>,
    /// When XiVO failed.
    pub(in crate::report) outages: Outages,
    /// Terms, and how many of these may be hashes.
    pub(in crate::report) terms: u64,
    pub(in crate::report) hashes: u64,
}

impl BlockSummary {
    /// The peer of this number asks.
    #[inline]
    pub(in crate::report) fn ask(
        &mut self,
        peer: usize,
        entry: &Entry<'_>,
        asked: Asked,
        hasher: &ThingHasher,
    ) {
        let hour = entry.time.unix.div_euclid(HOUR) * HOUR;
        if hour != self.hour {
            self.turn(hour);
        }
        let second = (entry.time.unix - hour) as u64;
        let took = entry.request_time.map_or(0, |time| time.min(0xffff) << TOOK_AT | Event::TIMED);
        let (key, flags) = what(entry, asked.patience, hasher);
        let rest = second << SECOND_AT | (peer as u64 & 0xffff) << PEER_AT | took | flags;
        let chosen = if asked.is_chosen { Event::CHOSEN } else { 0 };
        self.terms += u64::from(flags & Event::TERM != 0);
        self.hashes += u64::from(entry.term.is_some_and(may_be_hash));
        self.events.push(Event { key, rest: rest | chosen });
    }

    #[cold]
    fn turn(&mut self, hour: i64) {
        let next = self.hours.remove(&hour).unwrap_or_default();
        let last = std::mem::replace(&mut self.events, next);
        let before = std::mem::replace(&mut self.hour, hour);
        if !last.is_empty() {
            self.hours.insert(before, last);
        }
    }

    /// The events, by their hours' beginnings.
    pub(in crate::report) fn take_hours(&mut self) -> BTreeMap<i64, Vec<Event>> {
        self.turn(i64::MIN);
        std::mem::take(&mut self.hours)
    }
}

/// Whether this may be what `search_terms = "hash"` leaves of a term.
#[inline]
fn may_be_hash(term: &[u8]) -> bool {
    term.len() == 16 && term.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What was asked for, and the flags of that.
#[inline]
fn what(entry: &Entry<'_>, patience: Patience, hasher: &ThingHasher) -> (Key, u64) {
    let answered = if entry.status < 400 { Event::ANSWERED } else { 0 };
    let lookup = if patience.reached_xivo { Event::LOOKUP | answered } else { 0 };
    match (entry.action, entry.term) {
        // What `search_terms = "omit"` leaves of a term.
        (Action::Search, None | Some(b"***")) => (Key(0), 0),
        (Action::Search, Some(term)) => (Key::of(term, hasher), lookup | Event::TERM),
        (Action::List, _) => (Key::LIST, lookup),
        (Action::View, _) => (Key::of_view(entry.target, hasher), lookup),
        _ => (Key(0), 0),
    }
}

const SECOND_AT: u32 = 52;
const PEER_AT: u32 = 36;
const TOOK_AT: u32 = 20;

const LENGTH_AT: u32 = 56;
/// In the place of the length of a term that is not kept as it is.
const LONG: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    impl Event {
        /// A lookup that was answered.
        pub(in crate::report) fn answered(key: Key, peer: usize, took: u64) -> Self {
            let flags = Self::CHOSEN | Self::TERM | Self::LOOKUP | Self::ANSWERED | Self::TIMED;
            Self { key, rest: took << TOOK_AT | flags }.of(peer)
        }
    }

    fn key(term: &str) -> Key {
        Key::of(term.as_bytes(), &ThingHasher::default())
    }

    #[test]
    fn keys_are_equal_where_terms_are_and_differ_where_they_differ() {
        for term in ["", "a", "dupont", "1234567", "12345678", "a-very-long-term"] {
            assert_eq!(key(term), key(&term.to_uppercase()), "{term}");
            assert_ne!(key(term), key(&format!("{term}x")), "{term}");
        }
        assert_eq!(key(&"X".repeat(100)), key(&"x".repeat(100)));
        assert_eq!(key("AbC").short(), Short::of(b"abc"));
        assert!(key("dupont").short().is_none() && key("dup-").short().is_none());
    }

    #[test]
    fn what_is_typed_letter_by_letter_is_seen() {
        for (begun, longer) in
            [("d", "du"), ("du", "dup"), ("dupo", "dupont"), ("dup", "dupont-durand")]
        {
            assert!(key(begun).is_begun_by(key(longer)), "{begun}");
            assert!(!key(longer).is_begun_by(key(begun)), "{begun}");
        }
        for (one, other) in [("d", "d"), ("du", "dv"), ("x", "du"), ("", "d"), ("du", "aduxx")] {
            assert!(!key(one).is_begun_by(key(other)), "{one}");
        }
        assert!(!key("d").is_begun_by(Key::LIST));
    }
}
