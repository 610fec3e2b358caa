//! Who seems to read the phonebook out: one finding for each time that somebody did.

use super::{Material, text};
use crate::report::count::enumeration::Enumeration;
use crate::report::read::time::HOUR;
use crate::report::summary::local_time::LocalTime;
use crate::report::summary::{Harvest, HarvestKind};

impl Material<'_> {
    pub(super) fn harvests(&self) -> Vec<Harvest> {
        let mut all: Vec<Harvest> = Vec::new();
        for (name, _, line) in self.seen_peers() {
            let enumerations = joined(line.persons.enumerations.found());
            let begun = all.len();
            all.extend(enumerations.into_iter().map(|enumeration| Harvest {
                peer: text(name),
                kind: HarvestKind::Alphabetical,
                begin: self.local_time(enumeration.begin),
                end: self.local_time(enumeration.end),
                terms: enumeration.terms,
                range: Some((enumeration.first.text(), enumeration.last.text())),
            }));
            for (begin, end, terms) in busy_hours(line.persons.by_hour.clone()) {
                let (begin, end) = (self.local_time(begin), self.local_time(end));
                // Going through the alphabet makes busy hours, which need not be told of again.
                let is_told = |known: &Harvest| known.begin <= end && begin <= known.end;
                if !all[begun..].iter().any(is_told) {
                    all.push(self.volume(name, begin, end, terms));
                }
            }
        }
        all.sort_by(|a, b| {
            let by_size = b.terms.cmp(&a.terms);
            by_size.then_with(|| (&a.peer, a.begin, a.end).cmp(&(&b.peer, b.begin, b.end)))
        });
        all
    }

    fn volume(&self, name: &[u8], begin: LocalTime, end: LocalTime, terms: u64) -> Harvest {
        Harvest { peer: text(name), kind: HarvestKind::Volume, begin, end, terms, range: None }
    }
}

/// Enumerations of which each begins while another goes on, or soon after it: they are one.
fn joined(mut enumerations: Vec<Enumeration>) -> Vec<Enumeration> {
    enumerations.sort_by_key(|enumeration| (enumeration.begin, enumeration.end, enumeration.first));
    let mut groups: Vec<(i64, Vec<Enumeration>)> = Vec::new();
    for enumeration in enumerations {
        match groups.last_mut() {
            Some((end, group)) if enumeration.begin <= *end + HOUR => {
                *end = enumeration.end.max(*end);
                group.push(enumeration);
            }
            _ => groups.push((enumeration.end, vec![enumeration])),
        }
    }
    groups.into_iter().filter_map(|(_, group)| whole(group)).collect()
}

/// The one that several are. What was gone through more than once has no more terms for that: of those that overlap
/// the largest number counts, which is the least that there can have been.
fn whole(mut group: Vec<Enumeration>) -> Option<Enumeration> {
    group.sort_by_key(|enumeration| (enumeration.first, enumeration.last));
    let mut group = group.into_iter();
    let mut whole = group.next()?;
    let (mut terms_before, mut terms) = (0, whole.terms);
    for enumeration in group {
        if enumeration.first > whole.last {
            (terms_before, terms) = (terms_before + terms, 0);
        }
        terms = terms.max(enumeration.terms);
        whole.last = whole.last.max(enumeration.last);
        whole.begin = whole.begin.min(enumeration.begin);
        whole.end = whole.end.max(enumeration.end);
    }
    whole.terms = terms_before + terms;
    Some(whole)
}

/// Hours in which a peer looked for many more people than at the same time of other days: begin, end and terms of
/// such hours, those that follow one another being one.
fn busy_hours(mut hours: Vec<(i64, u64)>) -> Vec<(i64, i64, u64)> {
    hours.sort_unstable();
    let mut busy: Vec<(i64, i64, u64)> = Vec::new();
    for &(hour, count) in hours.iter().filter(|(_, count)| *count >= MANY) {
        if count < least(&hours, hour) {
            continue;
        }
        match busy.last_mut() {
            Some((_, end, terms)) if *end + 1 >= hour => {
                *end = hour + HOUR - 1;
                *terms += count;
            }
            _ => busy.push((hour, hour + HOUR - 1, count)),
        }
    }
    busy
}

/// The number that is no habit any more: four times what is usual at this time of the day, half of the days on which there
/// was something then; where no other day had anything then, four times the busiest of all other hours.
fn least(hours: &[(i64, u64)], hour: i64) -> u64 {
    const DAY: i64 = 24 * HOUR;
    // An hour that begins a little earlier or later on another day is the same.
    let near = |other: i64| {
        let apart = (other - hour).rem_euclid(DAY);
        (other - hour).abs() > 2 * HOUR && (apart <= HOUR || apart >= DAY - HOUR)
    };
    let mut days: Vec<(i64, u64)> = Vec::new();
    for &(other, count) in hours.iter().filter(|(other, _)| near(*other)) {
        let day = (other - hour + DAY / 2).div_euclid(DAY);
        match days.last_mut() {
            Some((last, most)) if *last == day => *most = (*most).max(count),
            _ => days.push((day, count)),
        }
    }
    let mut usual: Vec<u64> = days.into_iter().map(|(_, count)| count).collect();
    usual.sort_unstable();
    match usual.get(usual.len() / 2) {
        Some(usual) => MANY.max(4 * usual),
        None => {
            let others = hours.iter().filter(|(other, _)| (other - hour).abs() > HOUR);
            match others.map(|(_, count)| *count).max() {
                Some(busiest) => (4 * busiest).clamp(MANY, MANY_ALONE),
                None => MANY_ALONE,
            }
        }
    }
}

/// The number of terms in an hour, where that is also more than usual.
const MANY: u64 = 500;
/// The same where nothing is known of what is usual.
const MANY_ALONE: u64 = 3000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::count::enumeration::Short;

    fn busy(hours: &[(i64, u64)]) -> Vec<(i64, i64, u64)> {
        let by_hour = hours.iter().map(|(hour, count)| (hour * HOUR, *count)).collect::<Vec<_>>();
        let found = busy_hours(by_hour);
        found.into_iter().map(|(begin, end, terms)| (begin / HOUR, end / HOUR, terms)).collect()
    }

    #[test]
    fn enumerations_at_one_time_are_one_and_what_is_gone_through_again_has_no_more_terms() {
        let short = |text: &str| Short::of(text.as_bytes()).unwrap();
        let enumeration = |first, last, begin, end, terms| Enumeration {
            first: short(first),
            last: short(last),
            begin,
            end,
            terms,
        };
        let day = 24 * HOUR;
        let found = joined(vec![
            enumeration("b0", "b9", 50, 90, 10),
            enumeration("aa", "az", 0, 100, 26),
            enumeration("aa", "ax", 2000, 2100, 24),
            enumeration("aa", "az", day, day + 100, 26),
        ]);
        assert_eq!(
            found,
            [enumeration("aa", "b9", 0, 2100, 36), enumeration("aa", "az", day, day + 100, 26)]
        );
    }

    #[test]
    fn a_rush_hour_is_none_where_it_comes_each_day() {
        let mut week = Vec::new();
        for day in 0..5 {
            week.extend([
                (day * 24 + 8, 90),
                (day * 24 + 9, 800 + day as u64),
                (day * 24 + 10, 120),
            ]);
        }
        assert!(busy(&week).is_empty());
        // On one day it comes an hour later.
        week[1].0 = 10;
        week[2].0 = 9;
        assert!(busy(&week).is_empty());
        // The weekend, on which nobody works.
        week.extend([(5 * 24 + 9, 3), (6 * 24 + 9, 2)]);
        assert!(busy(&week).is_empty());
    }

    #[test]
    fn many_more_than_at_this_time_of_other_days_are_a_harvest_and_following_hours_are_one() {
        let mut week: Vec<(i64, u64)> = (0..7).map(|day| (day * 24 + 14, 60)).collect();
        week[3].1 = 900;
        assert_eq!(busy(&week), [(3 * 24 + 14, 3 * 24 + 14, 900)]);
        week.push((3 * 24 + 15, 700));
        assert_eq!(busy(&week), [(3 * 24 + 14, 3 * 24 + 15, 1600)]);
    }

    #[test]
    fn where_nothing_is_known_only_very_many_are_a_harvest() {
        assert!(busy(&[(9, 2999)]).is_empty());
        assert_eq!(busy(&[(9, 3000)]).len(), 1);
        // One day, with a rush hour.
        assert!(busy(&[(8, 150), (9, 580), (12, 160)]).is_empty());
        assert_eq!(busy(&[(3, 700), (9, 100), (12, 160)]).len(), 1);
    }
}
