//! What a cache of XiVO's answers would have answered, and how often the same was asked for while it was under way:
//! the figures by which to decide for or against one.
//!
//! Three caches are followed, in which an answer is good for 5, 60 and 300 seconds from when it was got: each once
//! with all peers before it, and once for each peer alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

use crate::report::count::block::{Event, Key};

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::report) struct Repeated {
    /// Lookups that can be compared.
    pub(in crate::report) lookups: u64,
    /// Those that a cache for the peer alone would have answered.
    pub(in crate::report) own: [u64; 3],
    /// Those that a cache for all would have answered.
    pub(in crate::report) shared: [u64; 3],
    /// Those of which the log says how long they took.
    pub(in crate::report) timed: u64,
    /// Those that came while an equal one was under way: surely, and perhaps, since the log tells seconds.
    pub(in crate::report) under_way: [u64; 2],
}

impl Repeated {
    fn add(&mut self, other: &Self) {
        self.lookups += other.lookups;
        self.timed += other.timed;
        let sums = self.own.iter_mut().chain(&mut self.shared).chain(&mut self.under_way);
        let figures = other.own.iter().chain(&other.shared).chain(&other.under_way);
        sums.zip(figures).for_each(|(sum, figure)| *sum += figure);
    }
}

/// The caches, fed in the order of time.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Repeats {
    /// What was asked for lately, and in the period before.
    recent: HashMap<Key, Asked, RandomState>,
    before: HashMap<Key, Asked, RandomState>,
    turned: i64,
    /// What was counted, by the numbers of the peers.
    figures: Vec<Repeated>,
    /// Whether there was no room for something.
    pub(in crate::report) is_short: bool,
}

/// When answers were got.
#[derive(Clone, Copy, Debug)]
struct Got([i64; 3]);

impl Got {
    const NEVER: Self = Self([i64::MIN / 2; 3]);

    /// Which caches would answer; those that would not have got XiVO's answer, if there was one.
    fn ask(&mut self, second: i64, is_answered: bool) -> [bool; 3] {
        let mut hits = [false; 3];
        for ((got, good), hit) in self.0.iter_mut().zip(SECONDS).zip(&mut hits) {
            *hit = (0..=i64::from(good)).contains(&(second - *got));
            if !*hit && is_answered {
                *got = second;
            }
        }
        hits
    }
}

/// A thing that was asked for.
#[derive(Clone, Debug)]
struct Asked {
    all: Got,
    /// The peer that asked for it first, and as a rule alone: then what all have got is what it has.
    first: usize,
    /// The last request.
    last: Option<Flight>,
    more: Option<Box<More>>,
}

/// What is known of a thing that several asked for, or that was asked for several times at once.
#[derive(Clone, Debug, Default)]
struct More {
    /// What each peer has got, where there are several.
    peers: Vec<(usize, Got)>,
    /// Requests before the last one that may still matter.
    flights: Vec<Flight>,
}

/// A request from its beginning to its end, in milliseconds, where the second of its end is taken as its beginning.
#[derive(Clone, Copy, Debug)]
struct Flight {
    begin: i64,
    end: i64,
    /// The peer to whose account it goes; `None` unless it is counted.
    peer: Option<u16>,
    /// Whether it came while an equal one was under way: surely, perhaps.
    joined: [bool; 2],
}

impl Flight {
    /// Whether this began while the other one was under way, wherever in their seconds they ended.
    fn joins_surely(&self, other: &Self) -> bool {
        other.begin + SECOND <= self.begin && self.begin + SECOND <= other.end
    }

    /// The same, somewhere in their seconds.
    fn joins_perhaps(&self, other: &Self) -> bool {
        other.begin < self.begin + SECOND && self.begin < other.end + SECOND
    }
}

impl Repeats {
    /// An event of this hour.
    #[inline]
    pub(in crate::report) fn look_at(&mut self, hour: i64, event: Event) {
        if event.is_lookup() {
            self.ask(hour + event.second() as i64, event);
        }
    }

    /// A lookup; the second is not before that of the last one, or not by much.
    #[inline]
    fn ask(&mut self, second: i64, event: Event) {
        if second - self.turned >= TURN {
            self.turn(second);
        }
        let peer = event.peer();
        if self.figures.len() <= peer {
            self.figures.resize_with(peer + 1, Repeated::default);
        }
        let room = self.recent.len() < MOST;
        let asked = match self.recent.entry(event.key) {
            Entry::Occupied(asked) => asked.into_mut(),
            Entry::Vacant(place) if room => {
                place.insert(self.before.remove(&event.key).unwrap_or_else(|| Asked::new(peer)))
            }
            Entry::Vacant(_) => {
                self.is_short = true;
                self.figures[peer].lookups += u64::from(event.is_chosen());
                return;
            }
        };
        let (shared, own) = asked.ask(second, peer, event.is_answered());
        if event.is_chosen() {
            let figures = &mut self.figures[peer];
            figures.lookups += 1;
            figures.timed += u64::from(event.took().is_some());
            let sums = figures.own.iter_mut().chain(&mut figures.shared);
            sums.zip(own.into_iter().chain(shared)).for_each(|(sum, hit)| *sum += u64::from(hit));
        }
        if let Some(took) = event.took() {
            let end = second * 1000;
            let peer = event.is_chosen().then_some(peer as u16);
            let flight = Flight { begin: end - took, end, peer, joined: [false; 2] };
            asked.fly(flight, &mut self.figures);
        }
    }

    /// What was counted of the peer of this number.
    pub(in crate::report) fn of(&self, peer: usize) -> Repeated {
        self.figures.get(peer).copied().unwrap_or_default()
    }

    /// What was counted of all.
    pub(in crate::report) fn all(&self) -> Repeated {
        let mut all = Repeated::default();
        self.figures.iter().for_each(|figures| all.add(figures));
        all
    }

    /// Forgets what no cache has any more.
    #[cold]
    fn turn(&mut self, second: i64) {
        std::mem::swap(&mut self.before, &mut self.recent);
        self.recent.clear();
        if second - self.turned >= 2 * TURN {
            self.before.clear();
        }
        self.turned = second;
    }
}

impl Asked {
    fn new(peer: usize) -> Self {
        Self { all: Got::NEVER, first: peer, last: None, more: None }
    }

    /// Which caches would answer: those for all, and those for the peer.
    fn ask(&mut self, second: i64, peer: usize, is_answered: bool) -> ([bool; 3], [bool; 3]) {
        let before = self.all;
        let shared = self.all.ask(second, is_answered);
        let is_alone = self.more.as_ref().is_none_or(|more| more.peers.is_empty());
        if is_alone && peer == self.first {
            return (shared, shared);
        }
        let peers = &mut self.more.get_or_insert_default().peers;
        if is_alone {
            peers.push((self.first, before));
        }
        let at = peers.iter().position(|(other, _)| *other == peer).unwrap_or_else(|| {
            peers.push((peer, Got::NEVER));
            peers.len() - 1
        });
        (shared, peers[at].1.ask(second, is_answered))
    }

    /// A request ends.
    fn fly(&mut self, mut new: Flight, figures: &mut [Repeated]) {
        let Some(last) = self.last.replace(new) else { return };
        let flights = &mut self.more.get_or_insert_default().flights;
        flights.retain(|flight| flight.end + LONGEST > new.begin);
        flights.push(last);
        if flights.len() > FLIGHTS {
            flights.remove(0);
        }
        let mut count = |peer: Option<u16>, which: usize| {
            if let Some(figures) = peer.and_then(|peer| figures.get_mut(usize::from(peer))) {
                figures.under_way[which] += 1;
            }
        };
        for (which, joins) in
            [(0, Flight::joins_surely as fn(&Flight, &Flight) -> bool), (1, Flight::joins_perhaps)]
        {
            if flights.iter().any(|other| joins(&new, other)) {
                new.joined[which] = true;
                count(new.peer, which);
            }
            // This one may have begun before others that have ended already; but of two that began together one did.
            for other in &mut *flights {
                let is_behind = new.begin < other.begin && !(which == 1 && new.joined[1]);
                if !other.joined[which] && is_behind && joins(other, &new) {
                    other.joined[which] = true;
                    count(other.peer, which);
                }
            }
        }
        self.last = Some(new);
    }
}

const SECOND: i64 = 1000;
/// Things are kept for as long as the longest of [`SECONDS`], and no longer than twice that.
const TURN: i64 = 300;
/// No request is longer than 65.535 s, as far as is kept.
const LONGEST: i64 = 66_000;
/// Requests for one thing that are looked at together.
const FLIGHTS: usize = 16;
/// The number of things that are kept of each period.
const MOST: usize = 1 << 15;

/// How long answers are good for, in seconds.
pub(in crate::report) const SECONDS: [u32; 3] = [5, 60, 300];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::count::tally::ThingHasher;

    /// Of lookups by second, peer, term and milliseconds what was counted of all.
    fn counted(asked: &[(i64, usize, &str, u64)]) -> Repeated {
        let mut repeats = Repeats::default();
        for &(second, peer, term, took) in asked {
            let key = Key::of(term.as_bytes(), &ThingHasher::default());
            repeats.ask(second, Event::answered(key, peer, took));
        }
        repeats.all()
    }

    #[test]
    fn a_cache_answers_from_when_an_answer_was_got_until_it_is_too_old() {
        let at = |seconds: &[i64]| {
            let asked: Vec<_> = seconds.iter().map(|second| (*second, 0, "doe", 10)).collect();
            counted(&asked).shared
        };
        assert_eq!(at(&[0, 5]), [1, 1, 1]);
        assert_eq!(at(&[0, 6]), [0, 1, 1]);
        assert_eq!(
            at(&[0, 61, 300, 301]),
            [1, 1, 2],
            "fetched again when it is too old, not when it is asked for"
        );
        assert_eq!(at(&[0, 3, 6]), [1, 2, 2]);
        assert_eq!(at(&[0, 599, 899]), [0, 0, 1]);
        assert_eq!(at(&[0, 10_000, 10_300]), [0, 0, 1]);
    }

    #[test]
    fn a_cache_for_all_answers_more_than_one_for_each() {
        let repeated =
            counted(&[(0, 0, "doe", 9), (1, 1, "doe", 9), (2, 0, "DOE", 9), (3, 1, "roe", 9)]);
        assert_eq!((repeated.own[0], repeated.shared[0], repeated.lookups), (1, 2, 4));
    }

    #[test]
    fn what_comes_while_the_same_is_under_way_is_counted_as_far_as_seconds_tell() {
        // From 0 to 10 s, and meanwhile two of half a second.
        let repeated = counted(&[(4, 0, "doe", 500), (7, 1, "doe", 500), (10, 0, "doe", 10_000)]);
        assert_eq!(repeated.under_way, [2, 2]);
        // In one second: perhaps.
        let repeated = counted(&[(4, 0, "doe", 50), (4, 0, "doe", 50), (4, 0, "doe", 40)]);
        assert_eq!(repeated.under_way, [0, 2]);
        let repeated = counted(&[(4, 0, "doe", 50), (40, 0, "doe", 50), (40, 0, "roe", 50)]);
        assert_eq!(repeated.under_way, [0, 0]);
    }

    #[test]
    fn of_more_than_there_is_room_for_the_lookups_are_counted() {
        let mut repeats = Repeats::default();
        for number in 0..=MOST {
            let key = Key::of(number.to_string().as_bytes(), &ThingHasher::default());
            repeats.ask(7, Event::answered(key, 0, 1));
        }
        assert!(repeats.is_short);
        assert_eq!(repeats.all().lookups, MOST as u64 + 1);
        repeats.ask(10_000, Event::answered(Key::of(b"x", &ThingHasher::default()), 0, 1));
        assert_eq!(repeats.recent.len(), 1, "forgotten");
    }
}
