//! What can only be told in the order of time: bursts, gaps, enumerations, terms in an hour, repeated lookups.
//!
//! Lines come in no order: each worker of the gateway hands its lines over about once a second, nginx writes a line
//! when its request ends, several gateways have a log each, and logs are handed over in any order. So events are kept
//! by the hour, and each hour is put into its order when it is looked at: at the end, or where there are more than
//! `MOST_EVENTS`, the oldest hours first. What comes for an hour that was looked at already is counted on its own,
//! which the report says.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::outages::Outages;
use super::quota::Quotas;
use super::repeats::Repeats;
use super::sketch::Distinct;
use super::typing::{Typed, Typing};
use crate::report::count::block::{BlockSummary, Event, Key};
use crate::report::count::enumeration::Enumerations;
use crate::report::read::time::HOUR;

/// Everything that depends on the order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    /// By the numbers that the tally has given the peers.
    pub(in crate::report) peers: Vec<PeerLine>,
    /// Their names.
    names: Vec<Arc<[u8]>>,
    /// Events that were not looked at yet, by their hours' beginnings.
    hours: BTreeMap<i64, Vec<Event>>,
    /// How many they are.
    waiting: usize,
    /// The last hour that was looked at.
    seen: Option<i64>,
    all: Everybody,
    pub(in crate::report) repeats: Repeats,
    pub(in crate::report) outages: Outages,
    /// Events that came when their hour had been looked at.
    pub(in crate::report) late: u64,
}

/// An hour's beginning, and its events.
type Hour = (i64, Vec<Event>);

/// What is counted of all peers together.
#[derive(Clone, Debug, Default)]
struct Everybody {
    terms: Distinct,
    persons: Distinct,
    /// Whether a peer had more hours than are kept.
    is_short: bool,
    /// Terms as they were sent, and how many of these may be hashes.
    sent: u64,
    hashes: u64,
}

impl Timeline {
    /// Takes the summary of a block: the number that each of its peers has here, and the names of those numbers.
    pub(in crate::report) fn append<'n>(
        &mut self,
        block: &mut BlockSummary,
        numbers: &[usize],
        names: impl Iterator<Item = &'n Arc<[u8]>>,
    ) {
        let known = self.names.len();
        self.names.extend(names.skip(known).cloned());
        self.peers.resize_with(self.names.len(), PeerLine::default);
        let is_same = numbers.iter().enumerate().all(|(at, number)| at == *number);
        for (hour, events) in block.take_hours() {
            self.waiting += events.len();
            if self.seen.is_some_and(|seen| hour <= seen) {
                self.late += events.len() as u64;
            }
            let ours = self.hours.entry(hour).or_default();
            match is_same {
                true if ours.is_empty() => *ours = events,
                true => ours.extend_from_slice(&events),
                false => {
                    ours.extend(events.into_iter().map(|event| event.of(numbers[event.peer()])));
                }
            }
        }
        self.outages.merge(&block.outages);
        self.all.sent += block.terms;
        self.all.hashes += block.hashes;
        while self.waiting > MOST_EVENTS || self.hours.len() > MOST_HOURS_WAITING {
            self.look_at_first();
        }
    }

    fn look_at_first(&mut self) {
        let Some((hour, mut events)) = self.hours.pop_first() else { return };
        self.waiting -= events.len();
        self.seen = self.seen.max(Some(hour));
        put_in_order(&mut events, &self.names, &mut Vec::new());
        for event in events {
            self.repeats.look_at(hour, event);
            if let Some(line) = self.peers.get_mut(event.peer()) {
                line.look_at(hour, event, &mut self.all);
            }
        }
    }

    /// Looks at all that is left, so that nothing of it is missing in the report.
    pub(crate) fn finish(&mut self) {
        while !self.hours.is_empty() {
            self.look_at_first();
        }
        self.end();
    }

    /// The events of the hours that are left, and whose names they have, to be put into order side by side.
    pub(in crate::report) fn take_hours(&mut self) -> (Vec<Hour>, &[Arc<[u8]>]) {
        self.waiting = 0;
        (std::mem::take(&mut self.hours).into_iter().collect(), &self.names)
    }

    /// What looks at those hours, once they are in order, in parts that do not know of each other: this number for
    /// the peers, and one more for what is repeated among all; or in one.
    pub(in crate::report) fn lanes(&mut self, many: usize) -> Vec<Lane> {
        let peers = std::mem::take(&mut self.peers);
        let own = many.clamp(1, peers.len().max(1));
        let mut lanes: Vec<Lane> = (0..own).map(|_| Lane::of(peers.len())).collect();
        for (number, line) in peers.into_iter().enumerate() {
            let lane = &mut lanes[number % own];
            lane.places[number] = Some(lane.peers.len());
            lane.peers.push((number, line));
        }
        let repeats = Some(std::mem::take(&mut self.repeats));
        match many {
            0 | 1 => lanes[0].repeats = repeats,
            _ => lanes.push(Lane { repeats, ..Lane::of(0) }),
        }
        lanes
    }

    /// Takes back what the lanes have found, and closes what is open.
    pub(in crate::report) fn join(&mut self, lanes: Vec<Lane>) {
        let mut peers = Vec::new();
        for lane in lanes {
            peers.extend(lane.peers);
            self.all.merge(&lane.all);
            if let Some(repeats) = lane.repeats {
                self.repeats = repeats;
            }
        }
        peers.sort_by_key(|(number, _)| *number);
        self.peers = peers.into_iter().map(|(_, line)| line).collect();
        self.end();
    }

    fn end(&mut self) {
        for line in &mut self.peers {
            line.finish(&mut self.all);
        }
    }

    /// How many distinct terms were searched for.
    pub(in crate::report) fn terms(&self) -> u64 {
        self.all.terms.estimate()
    }

    /// How many of these were not on the way to a longer one.
    pub(in crate::report) fn persons(&self) -> u64 {
        self.all.persons.estimate()
    }

    /// Whether the log has its terms in full, so that it can be told which were on the way to others.
    pub(in crate::report) fn has_words(&self) -> bool {
        self.all.sent > 0 && self.all.hashes < self.all.sent.div_ceil(10)
    }

    /// Whether the peers had more hours than are told apart.
    pub(in crate::report) fn has_too_many_hours(&self) -> bool {
        self.all.is_short
    }
}

/// Looks at some peers' events, or at what is repeated among all.
#[derive(Debug)]
pub(in crate::report) struct Lane {
    /// By the number of each peer, which of those here it is.
    places: Vec<Option<usize>>,
    peers: Vec<(usize, PeerLine)>,
    all: Everybody,
    repeats: Option<Repeats>,
}

impl Lane {
    fn of(peers: usize) -> Self {
        let places = vec![None; peers];
        Self { places, peers: Vec::new(), all: Everybody::default(), repeats: None }
    }

    /// Looks at the events of an hour, which are in their order.
    pub(in crate::report) fn look_at(&mut self, hour: i64, events: &[Event]) {
        for event in events {
            if let Some(repeats) = &mut self.repeats {
                repeats.look_at(hour, *event);
            }
            let place = self.places.get(event.peer()).copied().flatten();
            if let Some((_, line)) = place.and_then(|place| self.peers.get_mut(place)) {
                line.look_at(hour, *event, &mut self.all);
            }
        }
    }
}

impl Everybody {
    fn merge(&mut self, other: &Self) {
        self.terms.merge(&other.terms);
        self.persons.merge(&other.persons);
        self.is_short |= other.is_short;
    }
}

/// By the second, and within one by the peer's name and what was asked for, so that it does not matter how their
/// lines stood. `room` is whatever there is.
pub(in crate::report) fn put_in_order(
    events: &mut Vec<Event>,
    names: &[Arc<[u8]>],
    room: &mut Vec<Event>,
) {
    let name = |event: &Event| &*names[event.peer()];
    let whole = |one: &Event, other: &Event| {
        let by_name = || {
            if one.peer() == other.peer() { Ordering::Equal } else { name(one).cmp(name(other)) }
        };
        one.second().cmp(&other.second()).then_with(by_name).then_with(|| one.cmp(other))
    };
    if events.len() < FEW {
        return events.sort_unstable_by(whole);
    }
    let mut ends = vec![0_u32; HOUR as usize];
    events.iter().for_each(|event| ends[event.second()] += 1);
    let mut end = 0;
    for count in &mut ends {
        end += std::mem::replace(count, end);
    }
    room.clear();
    room.extend_from_slice(events);
    for event in &*events {
        let place = &mut ends[event.second()];
        room[*place as usize] = *event;
        *place += 1;
    }
    std::mem::swap(events, room);
    for second in events.chunk_by_mut(|one, other| one.second() == other.second()) {
        if second.len() > 1 {
            second.sort_unstable_by(whole);
        }
    }
}

/// One peer's course.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct PeerLine {
    pub(in crate::report) quotas: Quotas,
    /// The last second with requests, and how many it had.
    last: Option<(i64, u32)>,
    /// The longest time without any, in seconds.
    pub(in crate::report) longest_gap: u64,
    /// The first of the seconds with most, and how many.
    pub(in crate::report) busiest: Option<(i64, u32)>,
    /// The last hour with terms, and these.
    hour: (i64, Distinct),
    /// Those of these that are asked for, where that are not all.
    chosen: Option<Box<Distinct>>,
    pub(in crate::report) terms: Distinct,
    /// The first of the hours with most terms, and how many.
    pub(in crate::report) most_terms: Option<(i64, u64)>,
    typing: Typing,
    pub(in crate::report) persons: Persons,
}

impl PeerLine {
    #[inline]
    fn look_at(&mut self, hour: i64, event: Event, all: &mut Everybody) {
        let second = hour + event.second() as i64;
        self.ask(second);
        let Some(key) = event.term() else { return };
        let is_new = self.look_up(hour, key.hash(), event.is_chosen(), all);
        let typed = Typed::new(second, key, event.is_chosen(), is_new);
        let Self { typing, persons, .. } = self;
        typing.ask(typed, |typed| persons.take(typed, all));
    }

    #[inline]
    fn ask(&mut self, second: i64) {
        match &mut self.last {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.turn(second),
        }
    }

    fn turn(&mut self, second: i64) {
        self.end_second();
        if let Some((last, _)) = self.last {
            self.longest_gap = self.longest_gap.max(u64::try_from(second - last).unwrap_or(0));
        }
        self.last = Some((second, 1));
    }

    fn end_second(&mut self) {
        let Some((second, count)) = self.last else { return };
        self.quotas.ask(second, count);
        if self.busiest.is_none_or(|(_, most)| count > most) {
            self.busiest = Some((second, count));
        }
    }

    /// Says whether the term is new in its hour.
    #[inline]
    fn look_up(&mut self, hour: i64, term: u64, is_chosen: bool, all: &mut Everybody) -> bool {
        if self.hour.0 != hour {
            self.end_hour();
            self.hour.0 = hour;
        }
        if !is_chosen && self.chosen.is_none() {
            // Until now all of them were.
            self.chosen = Some(Box::new(self.hour.1.clone()));
        }
        let is_new = self.hour.1.insert(term);
        let is_chosen_and_new = match &mut self.chosen {
            None => is_new,
            Some(chosen) => is_chosen && chosen.insert(term),
        };
        // What is no news in this hour is none at all.
        if is_chosen_and_new {
            self.terms.insert(term);
            all.terms.insert(term);
        }
        is_new
    }

    fn end_hour(&mut self) {
        let count = self.chosen.take().as_deref().unwrap_or(&self.hour.1).estimate();
        if count > 0 && self.most_terms.is_none_or(|(_, most)| count > most) {
            self.most_terms = Some((self.hour.0, count));
        }
        self.hour.1.clear();
    }

    fn finish(&mut self, all: &mut Everybody) {
        self.end_second();
        self.end_hour();
        let Self { typing, persons, .. } = self;
        typing.end(|typed| persons.take(typed, all));
        persons.end_hour(all);
    }
}

/// Whom a peer looked for: terms that were not on the way to longer ones.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Persons {
    /// The last hour with any, and how many distinct ones it had.
    hour: (i64, u64),
    /// Terms that went on when they were new in this hour, and did not come alone since.
    begun: HashSet<Key, RandomState>,
    pub(in crate::report) all: Distinct,
    /// The beginnings of hours, and how many distinct ones each had.
    pub(in crate::report) by_hour: Vec<(i64, u64)>,
    pub(in crate::report) enumerations: Enumerations,
}

impl Persons {
    fn take(&mut self, typed: Typed, all: &mut Everybody) {
        let Typed { second, key, is_chosen, is_new, goes_on } = typed;
        let hour = second.div_euclid(HOUR) * HOUR;
        if self.hour.0 != hour {
            self.end_hour(all);
            self.hour.0 = hour;
        }
        if goes_on {
            if is_new {
                self.begun.insert(key);
            }
            return;
        }
        if is_new || !self.begun.is_empty() && self.begun.remove(&key) {
            self.hour.1 += 1;
        }
        if is_chosen {
            let hash = key.hash();
            self.all.insert(hash);
            all.persons.insert(hash);
        }
        if let Some(short) = key.short() {
            self.enumerations.ask(second, short);
        }
    }

    fn end_hour(&mut self, all: &mut Everybody) {
        let count = std::mem::take(&mut self.hour.1);
        if count > 0 && self.by_hour.len() < MOST_HOURS {
            self.by_hour.push((self.hour.0, count));
        } else {
            all.is_short |= count > 0;
        }
        self.begun.clear();
    }
}

/// The number of events that are kept until they are put into their order: 16 bytes each.
const MOST_EVENTS: usize = 1 << 21;
/// Events of an hour that are not worth to be put into the places of their seconds.
const FEW: usize = 128;
/// The number of hours with events: eleven years.
const MOST_HOURS_WAITING: usize = 100_000;
/// The number of hours of a peer: more than a year of them.
const MOST_HOURS: usize = 10_000;

#[cfg(test)]
mod tests;
