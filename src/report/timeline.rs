//! What can only be told in the order of time: bursts, gaps, sweeps, terms in an hour, repeated lookups.
//!
//! Lines come in no order: each worker of the gateway hands its lines over about once a second, nginx writes a line
//! when its request ends, several gateways have a log each, and logs are handed over in any order. So events are kept
//! by the hour, and each hour is put into its order when it is looked at: at the end, or where there are more than
//! [`MOST_EVENTS`], the oldest hours first. What comes for an hour that was looked at already is counted on its own,
//! which the report says.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outages::Outages;
use super::quota::Quotas;
use super::repeats::Repeats;
use super::sketch::Distinct;
use super::stretch::{Event, Stretch};
use super::sweep::Sweeps;
use super::time::HOUR;
use super::typing::{Typed, Typing};

/// Everything that depends on the order.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// By the numbers that the tally has given the peers.
    pub(super) peers: Vec<PeerLine>,
    /// Their names.
    names: Vec<Arc<[u8]>>,
    /// Events that were not looked at yet, by their hours' beginnings.
    hours: BTreeMap<i64, Vec<Event>>,
    /// How many they are.
    waiting: usize,
    /// The last hour that was looked at.
    seen: Option<i64>,
    /// Room to put an hour into its order.
    sorted: Vec<Event>,
    all: Everybody,
    pub(super) repeats: Repeats,
    pub(super) outages: Outages,
    /// Events that came when their hour had been looked at.
    pub(super) late: u64,
}

/// What is counted of all peers together.
#[derive(Clone, Debug, Default)]
struct Everybody {
    terms: Distinct,
    persons: Distinct,
    /// How many hours of peers are kept.
    hours: usize,
    /// Terms as they were sent, and how many of these may be hashes.
    sent: u64,
    hashes: u64,
}

impl Timeline {
    /// Takes what a stretch tells: the number that each of its peers has here, and the names of those numbers.
    pub(super) fn append<'n>(
        &mut self,
        stretch: &mut Stretch,
        numbers: &[usize],
        names: impl Iterator<Item = &'n Arc<[u8]>>,
    ) {
        let known = self.names.len();
        self.names.extend(names.skip(known).cloned());
        self.peers.resize_with(self.names.len(), PeerLine::default);
        let is_same = numbers.iter().enumerate().all(|(at, number)| at == *number);
        for (hour, events) in stretch.take_hours() {
            self.waiting += events.len();
            if self.seen.is_some_and(|seen| hour <= seen) {
                self.late += events.len() as u64;
            }
            let ours = self.hours.entry(hour).or_default();
            match is_same {
                true if ours.is_empty() => *ours = events,
                true => ours.extend_from_slice(&events),
                false => {
                    ours.extend(events.into_iter().map(|event| {
                        event.of(numbers.get(event.peer()).copied().unwrap_or_default())
                    }))
                }
            }
        }
        self.outages.merge(&stretch.outages);
        self.all.sent += stretch.terms;
        self.all.hashes += stretch.hashes;
        while self.waiting > MOST_EVENTS || self.hours.len() > MOST_HOURS_WAITING {
            self.look_at_first();
        }
    }

    fn look_at_first(&mut self) {
        let Some((hour, events)) = self.hours.pop_first() else { return };
        self.waiting -= events.len();
        self.seen = self.seen.max(Some(hour));
        let mut sorted = std::mem::take(&mut self.sorted);
        self.put_in_order(&events, &mut sorted);
        for event in &sorted {
            self.look_at(hour, *event);
        }
        self.sorted = sorted;
    }

    /// By the second, and within one by the peer's name and what was asked for, so that it does not matter how their lines stood.
    fn put_in_order(&self, events: &[Event], sorted: &mut Vec<Event>) {
        sorted.clear();
        sorted.extend_from_slice(events);
        let name = |event: &Event| &*self.names[event.peer()];
        let whole = |one: &Event, other: &Event| {
            let by_name = || name(one).cmp(name(other));
            one.second().cmp(&other.second()).then_with(by_name).then_with(|| one.cmp(other))
        };
        if events.len() < FEW {
            return sorted.sort_unstable_by(whole);
        }
        let mut ends = vec![0_u32; HOUR as usize];
        events.iter().for_each(|event| ends[event.second()] += 1);
        let mut end = 0;
        for count in &mut ends {
            end += std::mem::replace(count, end);
        }
        for event in events {
            let place = &mut ends[event.second()];
            sorted[*place as usize] = *event;
            *place += 1;
        }
        for second in sorted.chunk_by_mut(|one, other| one.second() == other.second()) {
            if second.len() > 1 {
                second.sort_unstable_by(whole);
            }
        }
    }

    #[inline]
    fn look_at(&mut self, hour: i64, event: Event) {
        let second = hour + event.second() as i64;
        if let Some(line) = self.peers.get_mut(event.peer()) {
            line.ask(second);
            if let Some(key) = event.term() {
                if event.is_chosen() {
                    line.look_up(hour, key.hash(), &mut self.all);
                }
                let PeerLine { typing, persons, .. } = line;
                typing.ask(second, key, event.is_chosen(), |typed| {
                    persons.take(typed, &mut self.all);
                });
            }
        }
        if event.is_lookup() {
            self.repeats.ask(second, event);
        }
    }

    /// Looks at all that is left, so that nothing of it is missing in the report.
    pub fn finish(&mut self) {
        while !self.hours.is_empty() {
            self.look_at_first();
        }
        for line in &mut self.peers {
            line.finish(&mut self.all);
        }
    }

    /// How many distinct terms were searched for.
    pub(super) fn terms(&self) -> u64 {
        self.all.terms.estimate()
    }

    /// How many of these were not on the way to a longer one.
    pub(super) fn persons(&self) -> u64 {
        self.all.persons.estimate()
    }

    /// Whether the log has its terms in full, so that it can be told which were on the way to others.
    pub(super) fn has_words(&self) -> bool {
        self.all.sent > 0 && self.all.hashes < self.all.sent.div_ceil(10)
    }

    /// Whether the peers had more hours than are told apart.
    pub(super) fn has_too_many_hours(&self) -> bool {
        self.all.hours >= MOST_HOURS
    }
}

/// One peer's course.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerLine {
    pub(super) quotas: Quotas,
    /// The last second with requests, and how many it had.
    last: Option<(i64, u32)>,
    /// The longest time without any, in seconds.
    pub(super) longest_gap: u64,
    /// The first of the seconds with most, and how many.
    pub(super) busiest: Option<(i64, u32)>,
    /// The last hour with terms, and these.
    hour: (i64, Distinct),
    pub(super) terms: Distinct,
    /// The first of the hours with most terms, and how many.
    pub(super) most_terms: Option<(i64, u64)>,
    typing: Typing,
    pub(super) persons: Persons,
}

impl PeerLine {
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

    #[inline]
    fn look_up(&mut self, hour: i64, term: u64, all: &mut Everybody) {
        if self.hour.0 != hour {
            self.end_hour();
            self.hour.0 = hour;
        }
        // What is no news in this hour is none at all.
        if self.hour.1.insert(term) {
            self.terms.insert(term);
            all.terms.insert(term);
        }
    }

    fn end_hour(&mut self) {
        let count = self.hour.1.estimate();
        if count > 0 && self.most_terms.is_none_or(|(_, most)| count > most) {
            self.most_terms = Some((self.hour.0, count));
        }
        self.hour.1 = Distinct::default();
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
pub(super) struct Persons {
    hour: (i64, Distinct),
    pub(super) all: Distinct,
    /// The beginnings of hours, and how many distinct ones each had.
    pub(super) by_hour: Vec<(i64, u64)>,
    pub(super) sweeps: Sweeps,
}

impl Persons {
    fn take(&mut self, typed: Typed, all: &mut Everybody) {
        let hour = typed.second.div_euclid(HOUR) * HOUR;
        if self.hour.0 != hour {
            self.end_hour(all);
            self.hour.0 = hour;
        }
        let hash = typed.key.hash();
        if self.hour.1.insert(hash) && typed.is_chosen {
            self.all.insert(hash);
            all.persons.insert(hash);
        }
        if let Some(short) = typed.key.short() {
            self.sweeps.ask(typed.second, short);
        }
    }

    fn end_hour(&mut self, all: &mut Everybody) {
        let count = self.hour.1.estimate();
        if count > 0 && all.hours < MOST_HOURS {
            all.hours += 1;
            self.by_hour.push((self.hour.0, count));
        }
        self.hour.1 = Distinct::default();
    }
}

/// So many events are kept until they are put into their order: 16 bytes each.
const MOST_EVENTS: usize = 1 << 21;
/// Events of an hour that are not worth to be put into the places of their seconds.
const FEW: usize = 128;
/// So many hours of events, eleven years.
const MOST_HOURS_WAITING: usize = 100_000;
/// So many hours of all peers together: a hundred peers' of more than a year.
const MOST_HOURS: usize = 1_000_000;

#[cfg(test)]
mod tests;
