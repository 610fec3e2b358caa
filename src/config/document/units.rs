//! Durations and sizes: a whole number and one unit.

use std::time::Duration;

use super::diagnostic::{Diagnostic, shown};

/// Reads `250ms`, `5s`, `10m`, `1h`, `2d`.
pub(crate) fn duration(text: &str) -> Result<Duration, Diagnostic> {
    let (number, unit) = split(text, "duration", DURATION_FORM)?;
    if unit.is_empty() {
        let message = format!("{} has no unit", shown(text));
        return Err(Diagnostic::new(message, DURATION_FORM)
            .help(format!("write \"{number}ms\" or \"{number}s\"")));
    }
    match DURATION_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => {
            multiply(number, *factor, text, DURATION_FORM).map(Duration::from_millis)
        }
        None => Err(unknown_unit(text, number, &DURATION_SPELLINGS, DURATION_FORM)),
    }
}

/// Reads `4096`, `64k`, `16m`, `1g`: powers of 1024, as in nginx.
pub(crate) fn size(text: &str) -> Result<u64, Diagnostic> {
    let (number, unit) = split(text, "size", SIZE_FORM)?;
    match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => multiply(number, *factor, text, SIZE_FORM),
        None => Err(unknown_unit(text, number, &SIZE_SPELLINGS, SIZE_FORM)),
    }
}

/// What is said of an integer without quotes where a duration belongs.
pub(crate) fn bare_number(number: &str) -> Diagnostic {
    Diagnostic::new(format!("{number} has no unit"), DURATION_FORM)
        .help(format!("write \"{number}ms\" or \"{number}s\", in quotes"))
}

/// The digits that `text` begins with, and what follows them.
fn split<'a>(text: &'a str, what: &str, form: &str) -> Result<(&'a str, &'a str), Diagnostic> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(Diagnostic::new(format!("{} is not a {what}", shown(text)), form));
    }
    if unit.starts_with(['.', ',']) {
        let message = format!("{} is not a whole number", shown(text));
        return Err(Diagnostic::new(message, form).help("use a smaller unit"));
    }
    if unit.bytes().any(|b| b.is_ascii_digit()) {
        let message = format!("{} has more than one number", shown(text));
        return Err(Diagnostic::new(message, form).help("write the sum in the smaller unit"));
    }
    Ok((number, unit))
}

fn multiply(number: &str, factor: u64, text: &str, form: &str) -> Result<u64, Diagnostic> {
    let product = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    product.ok_or_else(|| Diagnostic::new(format!("{} is too large", shown(text)), form))
}

fn unknown_unit(
    text: &str,
    number: &str,
    spellings: &[(&str, &'static str)],
    form: &str,
) -> Diagnostic {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit()).trim().to_lowercase();
    let meant = spellings
        .iter()
        .copied()
        .chain(["ms", "s", "m", "h", "d", "k", "g"].map(|unit| (unit, unit)))
        .find(|(spelling, meant)| *spelling == unit && form.contains(meant))
        .map(|(_, meant)| meant);
    let diagnostic = Diagnostic::new(format!("{} has an unknown unit", shown(text)), form);
    match meant {
        Some(meant) => diagnostic.help(format!("write \"{number}{meant}\"")),
        None => diagnostic,
    }
}

/// `duration` in the largest unit that shows it whole.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(millis, &DURATION_UNITS)
}

/// `size` in the largest unit that shows it whole.
pub(crate) fn show_size(size: u64) -> String {
    show(size, &SIZE_UNITS)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: u64| factor == 1 || (value > 0 && value.is_multiple_of(factor));
    let found = units.iter().rev().find(|(_, factor)| fits(*factor));
    found.map_or_else(|| value.to_string(), |(unit, factor)| format!("{}{unit}", value / factor))
}

const DURATION_FORM: &str = "allowed: a whole number and ms, s, m, h or d, such as \"250ms\"";
const SIZE_FORM: &str = "allowed: bytes, or a whole number and k, m or g, such as \"64k\"";

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, u64); 4] = [("", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)];

/// What people also write for a unit, and the unit.
const DURATION_SPELLINGS: [(&str, &str); 19] = [
    ("msec", "ms"),
    ("msecs", "ms"),
    ("millis", "ms"),
    ("millisecond", "ms"),
    ("milliseconds", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
];
const SIZE_SPELLINGS: [(&str, &str); 10] = [
    ("b", ""),
    ("byte", ""),
    ("bytes", ""),
    ("kb", "k"),
    ("kib", "k"),
    ("ki", "k"),
    ("mb", "m"),
    ("mib", "m"),
    ("gb", "g"),
    ("gib", "g"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_a_whole_number_and_one_unit() {
        let cases = [("250ms", 250), ("0s", 0), ("5s", 5000), ("2m", 120_000), ("1h", 3_600_000)];
        for (text, millis) in cases {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        assert_eq!(duration("2d").unwrap(), Duration::from_secs(172_800));
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64k", 65_536), ("16m", 16_777_216)] {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        assert_eq!(size("1g").unwrap(), 1 << 30);
    }

    #[test]
    fn refused_durations_say_what_to_write() {
        let cases = [
            ("900", "has no unit", "write \"900ms\" or \"900s\""),
            ("30 s", "unknown unit", "write \"30s\""),
            ("30S", "unknown unit", "write \"30s\""),
            ("30sec", "unknown unit", "write \"30s\""),
            ("5min", "unknown unit", "write \"5m\""),
            ("1.5s", "not a whole number", "use a smaller unit"),
            ("1h30m", "more than one number", "write the sum in the smaller unit"),
        ];
        for (text, message, help) in cases {
            let diagnostic = duration(text).unwrap_err();
            assert!(diagnostic.message.contains(message), "{text}: {}", diagnostic.message);
            assert_eq!(diagnostic.help.as_deref(), Some(help), "{text}");
        }
        for text in ["", "s", "-5s", "+5s", "5parsecs", "5k", "99999999999999999999d", "５s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refused_sizes_say_what_to_write() {
        for (text, help) in [("64K", "64k"), ("64kb", "64k"), ("16 MiB", "16m"), ("10 bytes", "10")]
        {
            let help = format!("write \"{help}\"");
            assert_eq!(size(text).unwrap_err().help, Some(help), "{text}");
        }
        for text in ["", "k", "-1", "1.5m", "20000000000g", "64s"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_shown_in_their_largest_whole_unit() {
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(show_duration(Duration::from_secs(3600)), "1h");
        assert_eq!(show_duration(Duration::ZERO), "0ms");
        assert_eq!(show_size(65_536), "64k");
        assert_eq!(show_size(0), "0");
        assert_eq!(show_size(1000), "1000");
    }
}
