//! What people mean who write a value in another program's way, by the key that they write it for.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// What a key takes, where that decides how a word is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number, not in quotes.
    Number,
    /// A list of strings.
    List,
    /// `{ per_second = …, burst = … }`.
    Rate,
    /// The first instant of something.
    From,
    /// The first instant behind something.
    Until,
}

/// The value that was meant.
pub(crate) struct Meant {
    /// As TOML has it.
    pub(crate) written: String,
    /// What is allowed.
    pub(crate) label: &'static str,
    /// What to do, in general.
    pub(crate) advice: &'static str,
}

/// What `key`, with its section or without, takes.
pub(super) fn kind(key: &str) -> Option<Kind> {
    let key = key.rsplit('.').next().unwrap_or(key);
    KINDS.iter().find(|(_, keys)| keys.contains(&key)).map(|(kind, _)| *kind)
}

/// What `word` means as the value of `key`, if that is certain.
pub(super) fn value(key: &str, word: &str) -> Option<Meant> {
    let meant = |written, label, advice| Some(Meant { written, label, advice });
    match kind(key)? {
        Kind::Boolean => {
            let (label, advice) = form(Kind::Boolean)?;
            meant(boolean(word)?.to_string(), label, advice)
        }
        Kind::Rate => {
            let (label, advice) = form(Kind::Rate)?;
            meant(rate(word)?, label, advice)
        }
        kind @ (Kind::From | Kind::Until) => {
            let label = "allowed: a date, a time and an offset, such as 2026-11-01T00:00:00Z";
            let written = instant(word, kind == Kind::Until, &TimeZone::system())?;
            meant(written, label, "write a date, a time and an offset, without quotes")
        }
        Kind::Number => {
            let (label, advice) = form(Kind::Number)?;
            meant(number(word)?, label, advice)
        }
        Kind::List => None,
    }
}

/// What is allowed for a kind of value, and what to write where it is not certain what was meant; `None` where that is
/// said elsewhere.
pub(super) fn form(kind: Kind) -> Option<(&'static str, &'static str)> {
    match kind {
        Kind::Boolean => Some(("allowed: true or false, without quotes", "write true or false")),
        Kind::Number => Some((
            "allowed: a whole number, without quotes and without a unit",
            "write a whole number, such as 10",
        )),
        Kind::Rate => Some((
            "allowed: a table such as { per_second = 10, burst = 20 }",
            "write { per_second = 10, burst = 20 }, say",
        )),
        Kind::List | Kind::From | Kind::Until => None,
    }
}

/// A whole number with leading zeros, or in the digits of an East Asian keyboard.
fn number(word: &str) -> Option<String> {
    let digit = |c: char| match c {
        '0'..='9' => Some(c),
        '\u{ff10}'..='\u{ff19}' => char::from_digit(u32::from(c) - 0xff10, 10),
        _ => None,
    };
    let digits: String =
        word.trim_matches(['"', '\'']).chars().map(digit).collect::<Option<_>>()?;
    digits.parse::<u64>().ok().map(|number| number.to_string())
}

/// The truth that other configuration languages have by this word.
pub(crate) fn boolean(word: &str) -> Option<bool> {
    let word = word.trim_matches(['"', '\'']).to_lowercase();
    let is_one_of = |words: &[&str]| words.contains(&word.as_str());
    if is_one_of(&["true", "yes", "on", "1", "y", "t", "enable", "enabled", "ja", "oui"]) {
        return Some(true);
    }
    let no = ["false", "no", "off", "0", "n", "f", "disable", "disabled", "nein", "non"];
    is_one_of(&no).then_some(false)
}

/// A rate in nginx's way, `10r/s` or `10r/s burst=20 nodelay`, and its kind: `10/s`, `30 per minute`, or the number
/// alone, which is by the second. Without a burst it is twice the number. Below one a second it is by the minute.
pub(crate) fn rate(word: &str) -> Option<String> {
    let word =
        word.trim().trim_matches(['"', '\'']).trim().trim_start_matches("rate=").to_lowercase();
    let mut words: Vec<&str> = word.split_whitespace().filter(|word| *word != "nodelay").collect();
    let burst_at = words.iter().position(|word| word.starts_with("burst="));
    let burst = burst_at.map(|at| words.remove(at).trim_start_matches("burst=").to_owned());
    let word = words.join(" ");
    let digits = word.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = word.split_at(digits);
    let unit: String = unit.replace(" per ", "/").split_whitespace().collect();
    let unit =
        ["requests", "req", "r"].iter().find_map(|word| unit.strip_prefix(word)).unwrap_or(&unit);
    let key = match unit {
        "" | "/s" | "/sec" | "/second" | "ps" => "per_second",
        "/m" | "/min" | "/minute" | "pm" => "per_minute",
        _ => return None,
    };
    let (key, number) = match number.parse::<u32>() {
        Ok(number) => (key, number),
        Err(_) if key == "per_second" => ("per_minute", by_the_minute(number)?),
        Err(_) => return None,
    };
    if !(1..=500_000).contains(&number) {
        return None;
    }
    let burst = match burst {
        Some(burst) => burst.parse::<u32>().ok().filter(|burst| (1..=1_000_000).contains(burst))?,
        None => number * 2,
    };
    Some(format!("{{ {key} = {number}, burst = {burst} }}"))
}

/// A number of requests a second, which is none that is whole, by the minute: if that is whole, and at least 1.
pub(crate) fn by_the_minute(per_second: &str) -> Option<u32> {
    let minute = per_second.parse::<f64>().ok()? * 60.0;
    let is_whole = (minute - minute.round()).abs() < 1e-6;
    (is_whole && (1.0..=1_000_000.0).contains(&minute))
        .then(|| format!("{}", minute.round()).parse().ok())?
}

/// A day, or a time without an offset, as the instant that it has in `zone`. As an end a day means its own end,
/// which is the next day's beginning.
pub(crate) fn instant(text: &str, is_end: bool, zone: &TimeZone) -> Option<String> {
    let text = text.trim().trim_matches(['"', '\'']).trim();
    if day(text).is_none() && text.parse::<Timestamp>().is_ok() {
        // It has an offset, and stood in quotes only.
        return text.parse::<toml::value::Datetime>().ok().map(|datetime| datetime.to_string());
    }
    let zoned = match day(text) {
        Some(day) if is_end => day.checked_add(1.day()).ok()?.to_zoned(zone.clone()),
        Some(day) => day.to_zoned(zone.clone()),
        None => text.replacen(' ', "T", 1).parse::<DateTime>().ok()?.to_zoned(zone.clone()),
    };
    let zoned: Zoned = zoned.ok()?;
    Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// A day as ISO 8601 or as the continent writes it.
fn day(text: &str) -> Option<Date> {
    let is_digits = |n: &&str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    let numbers = |mark: char| -> Option<Vec<&str>> {
        let numbers: Vec<&str> = text.split(mark).collect();
        (numbers.len() == 3 && numbers.iter().all(is_digits)).then_some(numbers)
    };
    let date = |year: &str, month: &str, day: &str| {
        let year = (year.len() == 4).then(|| year.parse().ok())??;
        Date::new(year, month.parse().ok()?, day.parse().ok()?).ok()
    };
    if text.len() == 8 && is_digits(&text) {
        return date(&text[..4], &text[4..6], &text[6..]);
    }
    match (numbers('-').as_deref(), numbers('.').as_deref(), numbers('/').as_deref()) {
        (Some([year, month, day]), ..) | (_, Some([day, month, year]), _) => date(year, month, day),
        // The day comes first here and the month there; where both are possible it is not certain.
        (.., Some([a, b, year])) => match (date(year, b, a), date(year, a, b)) {
            (Some(one), Some(other)) => (one == other).then_some(one),
            (one, other) => one.or(other),
        },
        _ => None,
    }
}

const KINDS: [(Kind, &[&str]); 6] = [
    (
        Kind::Boolean,
        &[
            "enabled",
            "http2",
            "danger_accept_any_certificate",
            "danger_loopback_source",
            "danger_loopback_names",
            "send_proxy_protocol",
            "watch",
            "strict_boot",
            "danger_plain_admin",
        ],
    ),
    (
        Kind::Number,
        &[
            "workers",
            "concurrent",
            "connections",
            "min_search_length",
            "max_connections",
            "unknown_connections",
            "max_header_fields",
            "max_requests_per_connection",
            "keep",
            "failures",
            "burst",
            "per_second",
            "per_minute",
        ],
    ),
    (
        Kind::List,
        &["hosts", "actions", "server_names", "resolver", "trusted_proxies", "proxy_protocol_from"],
    ),
    (Kind::Rate, &["rate", "unknown_rate", "handshake_rate"]),
    (Kind::From, &["valid_from"]),
    (Kind::Until, &["valid_until"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_where_the_next_begins_by_the_hosts_offset() {
        let paris = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let cases = [
            ("2026-12-31", true, "2027-01-01T00:00:00+01:00"),
            ("2026-12-31", false, "2026-12-31T00:00:00+01:00"),
            ("2026-07-14", true, "2026-07-15T00:00:00+02:00"),
            ("\"31.12.2026\"", true, "2027-01-01T00:00:00+01:00"),
            ("2026-12-31 18:00:00", true, "2026-12-31T18:00:00+01:00"),
            ("\"2026-12-31T18:00:00Z\"", true, "2026-12-31T18:00:00Z"),
            // The day on which the clocks go back has 25 hours.
            ("2026-10-25", true, "2026-10-26T00:00:00+01:00"),
            ("2026-10-25", false, "2026-10-25T00:00:00+02:00"),
        ];
        for (text, is_end, instant_of) in cases {
            assert_eq!(instant(text, is_end, &paris).as_deref(), Some(instant_of), "{text}");
        }
        for text in ["31/12/2026", "12/31/2026"] {
            let end = instant(text, true, &paris);
            assert_eq!(end.as_deref(), Some("2027-01-01T00:00:00+01:00"), "{text}");
        }
        for text in ["", "tomorrow", "2026-13-01", "05/06/2026", "31.12.26", "2026-02-30"] {
            assert_eq!(instant(text, true, &paris), None, "{text}");
        }
    }

    #[test]
    fn nginx_rates_and_their_kind_are_understood() {
        let cases = [
            ("10r/s", "{ per_second = 10, burst = 20 }"),
            ("30r/m", "{ per_minute = 30, burst = 60 }"),
            ("\"10/s\"", "{ per_second = 10, burst = 20 }"),
            ("5 per minute", "{ per_minute = 5, burst = 10 }"),
            ("7 requests per second", "{ per_second = 7, burst = 14 }"),
            ("50", "{ per_second = 50, burst = 100 }"),
            ("0.5", "{ per_minute = 30, burst = 60 }"),
            ("1.5r/s", "{ per_minute = 90, burst = 180 }"),
            ("10r/s burst=20 nodelay", "{ per_second = 10, burst = 20 }"),
            ("rate=5r/m burst=3", "{ per_minute = 5, burst = 3 }"),
        ];
        for (text, meant) in cases {
            assert_eq!(rate(text).as_deref(), Some(meant), "{text}");
        }
        for text in [
            "0",
            "-1",
            "r/s",
            "10/h",
            "10 apples",
            "999999999",
            "0.001",
            "1.5r/m",
            "5r/s burst=x",
            "1.2.3",
        ] {
            assert_eq!(rate(text), None, "{text}");
        }
    }
}
