//! What a report says in words for people: the terminal and the HTML page say it alike.
//!
//! Everything is ASCII, so that it can be shown anywhere; nothing depends on a locale, so that two people who
//! compare reports see the same.

use crate::report::summary::local_time::LocalTime;
use crate::report::summary::{Before, HISTOGRAM, Quota, Totals};
pub(crate) use crate::text::figures::{
    bytes, count, duration, milliseconds, percent, plural, ratio,
};

/// The first names of a list, and how many others: `a`, `a and b`, `a, b and 3 others`.
pub(crate) fn listed(names: &[&str], most: usize) -> String {
    match names {
        [] => "nobody".to_owned(),
        [name] => (*name).to_owned(),
        names if names.len() <= most => {
            let (last, first) = names.split_last().unwrap_or((&"", &[]));
            format!("{} and {last}", first.join(", "))
        }
        names => {
            let shown = names[..most.saturating_sub(1).max(1)].join(", ");
            let left = names.len() as u64 - most.saturating_sub(1).max(1) as u64;
            format!("{shown} and {}", plural(left, "other", "others"))
        }
    }
}

/// The figures beside those of as long a time before.
pub(crate) fn compared(totals: &Totals, before: &Before) -> String {
    format!(
        "Than in as long a time before (from {}): {} requests, {} refused, {} failed, {} not in time.",
        minute(before.begin),
        change(totals.requests, before.requests),
        change(totals.refused, before.refused),
        change(totals.failed, before.failed),
        change(totals.not_in_time.total, before.not_in_time)
    )
}

/// How long it is from one time to another.
pub(crate) fn between(begin: LocalTime, end: LocalTime) -> String {
    duration(u64::try_from(end.unix.saturating_sub(begin.unix)).unwrap_or(0))
}

/// Day of the week, date and minute: `Tue 2026-11-17 10:10`.
pub(crate) fn minute(time: LocalTime) -> String {
    time.format("%a %Y-%m-%d %H:%M")
}

/// The clock that the times of a report are shown at: `UTC`, `UTC+01:00`.
pub(crate) fn zone(time: LocalTime) -> String {
    match time.offset {
        0 => "UTC".to_owned(),
        _ => format!("UTC{}", time.format("%:z")),
    }
}

/// How a figure has changed: `120 more`, `3 fewer`, `as many`.
fn change(now: u64, before: u64) -> String {
    match now.cmp(&before) {
        std::cmp::Ordering::Greater => format!("{} more", count(now - before)),
        std::cmp::Ordering::Less => format!("{} fewer", count(before - now)),
        std::cmp::Ordering::Equal => "as many".to_owned(),
    }
}

/// From when to when, to the minute; the day is said once where it is one: `Sun 2026-11-22 08:00 to 17:30`.
pub(crate) fn period(begin: LocalTime, end: LocalTime) -> String {
    let day = "%Y-%m-%d";
    let from = minute(begin);
    if from == minute(end) {
        from
    } else if begin.format(day) == end.format(day) {
        format!("{from} to {}", end.format("%H:%M"))
    } else {
        format!("{from} to {}", minute(end))
    }
}

/// A quota as a policy writes it, ready to be pasted.
pub(crate) fn rate(quota: Quota) -> String {
    format!("rate = {{ per_second = {}, burst = {} }}", quota.per_second, quota.burst)
}

/// What the figure at `index` of [`AnswerTimes::histogram`](crate::report::summary::AnswerTimes::histogram) counts:
/// `to 1 ms`, `to 500 ms`, `to 1 s`, `over 5 s`.
pub(crate) fn histogram_label(index: usize) -> String {
    let length = |bound: u64| match bound {
        0..1000 => format!("{bound} ms"),
        _ => format!("{} s", bound / 1000),
    };
    match HISTOGRAM.get(index) {
        Some(&bound) => format!("to {}", length(bound)),
        None => format!("over {}", length(HISTOGRAM[HISTOGRAM.len() - 1])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_says_its_day_once() {
        let at = |unix| LocalTime { unix, offset: 60 };
        assert_eq!(period(at(1_763_900_000), at(1_763_900_010)), "Sun 2025-11-23 13:13");
        assert_eq!(period(at(1_763_900_000), at(1_763_903_600)), "Sun 2025-11-23 13:13 to 14:13");
        assert_eq!(
            period(at(1_763_900_000), at(1_763_950_000)),
            "Sun 2025-11-23 13:13 to Mon 2025-11-24 03:06"
        );
    }

    #[test]
    fn what_is_to_be_pasted_is_what_the_gateway_reads() {
        let line = rate(Quota { per_second: 12, burst: 40 });
        let table: toml::Table = line.parse().unwrap();
        assert_eq!(table["rate"]["burst"].as_integer(), Some(40));
    }

    #[test]
    fn every_figure_of_a_histogram_has_a_label() {
        let labels: Vec<String> = (0..=HISTOGRAM.len()).map(histogram_label).collect();
        assert_eq!(labels[0], "to 1 ms");
        assert_eq!(labels[9], "to 1 s");
        assert_eq!(labels[12], "over 5 s");
    }
}
