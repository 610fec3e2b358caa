//! Rates: `{ per_second = 10, burst = 20 }`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::document::Field;
use crate::config::document::diagnostic::Diagnostic;
use crate::config::document::meant;
use crate::policy::Rate;

/// `requests` in each second, and `burst` at once; 0 is taken for 1.
pub(crate) const fn per_second(requests: u32, burst: u32) -> Rate {
    let (requests, burst) = (at_least_one(requests), at_least_one(burst));
    Rate { requests, period: Duration::from_secs(1), burst }
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// Reads a rate: exactly one of `per_second` and `per_minute`, and `burst`.
pub(crate) fn read(field: &Field<'_>) -> Option<Rate> {
    if !field.is_table() {
        let help = field
            .meant()
            .unwrap_or_else(|| "write { per_second = 10, burst = 20 }, say".to_owned());
        field.error(field.unlike("a table such as { per_second = 10, burst = 20 }").help(help));
        return None;
    }
    let mut section = field.section("");
    let second = section.take("per_second");
    let minute = section.take("per_minute");
    let burst = section.take("burst");
    if burst.is_none() {
        section.missing("burst", "add burst = 20, say: how many may come at once");
    }
    if let (None, None) = (&second, &minute) {
        section.missing("per_second", "add per_second = 10, say, or per_minute");
    }
    section.finish();
    if let (Some(_), Some(minute)) = (&second, &minute) {
        let message = "stands beside `per_second`";
        let label = "allowed: one of per_second and per_minute";
        minute.error(Diagnostic::new(message, label).help("keep one of them"));
    }
    if let Some(second) = second.as_ref().filter(|field| field.is_float()) {
        fraction(second, burst.as_ref());
        return None;
    }
    let second = second.map(|field| (field, Duration::from_secs(1)));
    let minute = minute.map(|field| (field, Duration::from_secs(60)));
    let requests = second.or(minute).and_then(|(field, period)| Some((number(&field)?, period)));
    let burst = burst.and_then(|field| number(&field));
    let (requests, period) = requests?;
    Some(Rate { requests, period, burst: burst? })
}

/// A rate below one a second is one by the minute.
fn fraction(field: &Field<'_>, burst: Option<&Field<'_>>) {
    let diagnostic = field.unlike(&format!("a whole number from 1 to {MOST}"));
    field.error(
        match (meant::by_the_minute(&field.written()), burst.filter(|burst| burst.is_number())) {
            (Some(minute), Some(burst)) => {
                let rate = format!("{{ per_minute = {minute}, burst = {} }}", burst.written());
                diagnostic.help(format!("write {rate}"))
            }
            (Some(minute), None) => diagnostic.help(format!("write per_minute = {minute}")),
            (None, _) => diagnostic.help("write per_minute = and a whole number; at least 1"),
        },
    );
}

fn number(field: &Field<'_>) -> Option<NonZeroU32> {
    field.whole(1, MOST).and_then(NonZeroU32::new)
}

/// Whether a caller that may come at `wanted` can never do so under `ceiling`.
pub(crate) fn never_met(wanted: Rate, ceiling: Rate) -> bool {
    let share = |rate: Rate, period: Duration| u128::from(rate.requests.get()) * period.as_nanos();
    share(wanted, ceiling.period) > share(ceiling, wanted.period) || wanted.burst > ceiling.burst
}

/// The highest number that a rate or burst may have: more means that there is no limit.
const MOST: u32 = 1_000_000;
