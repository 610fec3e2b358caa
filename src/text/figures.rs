//! Figures in words for people: counts, sizes, lengths of time and shares. A terminal and a page say them alike.
//!
//! Everything is ASCII, so that it can be shown anywhere; nothing depends on a locale, so that two people who
//! compare figures see the same.

/// A number with its thousands told apart: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How many of something: `1 request`, `2,000 requests`.
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A size in decimal units, as disks and networks are measured: `1.4 GB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut unit = 0;
    let mut tenths = u128::from(number) * 10 / 1000;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    match tenths {
        0..100 => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
        _ => format!("{} {}", tenths / 10, UNITS[unit]),
    }
}

/// A length of time in its two largest units: `2 h 10 min`.
pub(crate) fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = UNITS.iter().position(|&(length, _)| seconds >= length).unwrap_or(UNITS.len() - 1);
    let (length, unit) = UNITS[first];
    let whole = format!("{} {unit}", count(seconds / length));
    match UNITS.get(first + 1) {
        Some(&(smaller, name)) if seconds % length >= smaller => {
            format!("{whole} {} {name}", seconds % length / smaller)
        }
        _ => whole,
    }
}

/// How long an answer took: `850 ms`, and from ten seconds on `12.3 s`.
pub(crate) fn milliseconds(number: u64) -> String {
    match number {
        0..10_000 => format!("{} ms", count(number)),
        _ => format!("{}.{} s", count(number / 1000), number % 1000 / 100),
    }
}

/// A share: `12 %`, below ten with a tenth. Neither 0 nor 100 is said of what is only nearly that.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    if part >= whole {
        return "100 %".to_owned();
    }
    let thousandths = (u128::from(part) * 1000 + u128::from(whole) / 2) / u128::from(whole);
    match thousandths {
        0 => "<0.1 %".to_owned(),
        1..100 => format!("{}.{} %", thousandths / 10, thousandths % 10),
        100..990 => format!("{} %", (thousandths + 5) / 10),
        _ => ">99 %".to_owned(),
    }
}

/// A part of the whole, from 0 to 1; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(count(number), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(plural(1, "request", "requests"), "1 request");
        assert_eq!(plural(0, "request", "requests"), "0 requests");
    }

    #[test]
    fn sizes_have_two_digits_or_more_and_one_unit() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_999, "9.9 kB"),
            (10_000, "10 kB"),
            (999_999, "999 kB"),
            (1_000_000, "1.0 MB"),
            (1_449_000_000, "1.4 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(number), text, "{number}");
        }
    }

    #[test]
    fn lengths_of_time_are_said_in_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (7800, "2 h 10 min"),
            (3601, "1 h"),
            (90_000, "1 d 1 h"),
            (86_400 * 1200 + 59, "1,200 d"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
        assert_eq!(milliseconds(850), "850 ms");
        assert_eq!(milliseconds(9_999), "9,999 ms");
        assert_eq!(milliseconds(12_345), "12.3 s");
    }

    #[test]
    fn a_share_says_neither_nothing_nor_all_of_what_is_only_nearly_that() {
        for (part, whole, text) in [
            (0, 0, "0 %"),
            (0, 5, "0 %"),
            (5, 5, "100 %"),
            (1, 1_000_000, "<0.1 %"),
            (1, 1000, "0.1 %"),
            (99, 1000, "9.9 %"),
            (105, 1000, "11 %"),
            (1, 3, "33 %"),
            (999_999, 1_000_000, ">99 %"),
            (u64::MAX - 1, u64::MAX, ">99 %"),
        ] {
            assert_eq!(percent(part, whole), text, "{part} of {whole}");
        }
    }
}
