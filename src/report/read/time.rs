//! Reads the times of a log: `$time_local`, `$time_iso8601` and `$msec`, as nginx writes them.

use crate::access_log::format::MOST_DIGITS;

/// When a line was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
    /// Minutes east of UTC of the clock that the line shows.
    pub offset: i16,
}

impl LineTime {
    /// The hour of the day on that clock, 0 to 23.
    pub(crate) fn hour_of_day(self) -> usize {
        let local = self.unix + i64::from(self.offset) * 60;
        usize::try_from(local.rem_euclid(86_400) / 3600).unwrap_or(0)
    }
}

/// Reads times, and remembers the minute of the last one: the next line's is most often the same.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// The text but for its seconds: up to the minute, and the zone.
    minute: [u8; MINUTE],
    zone: [u8; 5],
    begin: i64,
    offset: i16,
    /// East of UTC, for `$msec`, which shows no clock.
    local: i16,
}

impl Clock {
    /// A clock whose lines without a zone are shown this number of minutes east of UTC.
    pub(crate) fn new(local: i16) -> Self {
        Self { minute: [0; MINUTE], zone: [0; 5], begin: 0, offset: 0, local }
    }

    /// Reads `23/Nov/2026:03:33:50 +0000`.
    #[inline]
    pub(crate) fn local(&mut self, text: &[u8]) -> Option<LineTime> {
        let text: &[u8; 26] = text.try_into().ok()?;
        if text[..MINUTE] != self.minute || text[21..] != self.zone {
            self.turn(text)?;
        }
        let seconds = match text[MINUTE..21] {
            [b':', tens @ b'0'..=b'5', ones @ b'0'..=b'9', b' ']
            | [b':', tens @ b'6', ones @ b'0', b' '] => digits(tens, ones),
            _ => return None,
        };
        Some(LineTime { unix: self.begin + seconds, offset: self.offset })
    }

    #[cold]
    fn turn(&mut self, text: &[u8; 26]) -> Option<()> {
        let [d1, d2, b'/', m1, m2, m3, b'/', y @ .., b' ', _, _, _, _, _] = text else {
            return None;
        };
        let [y1, y2, y3, y4, b':', h1, h2, b':', i1, i2, b':', _, _] = y else { return None };
        let month = MONTHS.iter().position(|month| *month == [*m1, *m2, *m3])?;
        let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
        let date = Date { year, month: month as i64 + 1, day: two(*d1, *d2)? };
        let offset = zone(&text[21..])?;
        self.begin = date.seconds(two(*h1, *h2)?, two(*i1, *i2)?)? - i64::from(offset) * 60;
        self.offset = offset;
        self.minute.copy_from_slice(&text[..MINUTE]);
        self.zone.copy_from_slice(&text[21..]);
        Some(())
    }

    /// Reads `2026-11-23T03:33:50+00:00`.
    pub(crate) fn iso8601(&self, text: &[u8]) -> Option<LineTime> {
        let (date, rest) = text.split_at_checked("2026-11-23T03:33:50".len())?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', time @ ..] = date else {
            return None;
        };
        let [h1, h2, b':', i1, i2, b':', s1, s2] = time else { return None };
        let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
        let date = Date { year, month: two(*m1, *m2)?, day: two(*d1, *d2)? };
        let offset = zone(rest)?;
        let minute = date.seconds(two(*h1, *h2)?, two(*i1, *i2)?)?;
        let seconds = two(*s1, *s2).filter(|seconds| *seconds <= 60)?;
        Some(LineTime { unix: minute + seconds - i64::from(offset) * 60, offset })
    }

    /// Reads `1795404830.123`.
    pub(crate) fn msec(&self, text: &[u8]) -> Option<LineTime> {
        let (seconds, decimals) =
            text.split_at(text.iter().position(|&b| b == b'.').unwrap_or(text.len()));
        if !decimals.is_empty() && number(&decimals[1..]).is_none() {
            return None;
        }
        Some(LineTime { unix: number(seconds)?.try_into().ok()?, offset: self.local })
    }
}

/// A whole number of decimal digits, and nothing else: so few that figures can be multiplied and added up.
#[inline]
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > MOST_DIGITS {
        return None;
    }
    text.iter().try_fold(0, |sum, byte| match byte {
        b'0'..=b'9' => Some(sum * 10 + u64::from(byte - b'0')),
        _ => None,
    })
}

/// Seconds with up to three decimals, as nginx writes durations, in milliseconds. Of several tries
/// (`0.002, 0.010`) and of several servers (` : `) the sum.
pub(crate) fn milliseconds(text: &[u8]) -> Option<u64> {
    if let [whole @ .., b'.', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = text
        && let Some(seconds) = number(whole)
    {
        let rest = [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u64::from(**digit - b'0'));
        return Some(seconds * 1000 + rest);
    }
    let mut sum = None;
    for piece in text.split(|byte| matches!(byte, b',' | b' ' | b':')) {
        let mut halves = piece.splitn(2, |&byte| byte == b'.');
        let Some(seconds) = halves.next().and_then(number) else { continue };
        let decimals = halves.next().unwrap_or_default();
        let thousandths = decimals.iter().chain(b"000").take(3).try_fold(0, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
        })?;
        sum = Some(sum.unwrap_or(0) + seconds * 1000 + thousandths);
    }
    sum
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// Seconds from 1970 to this date's minute, of the proleptic Gregorian calendar.
    fn seconds(&self, hour: i64, minute: i64) -> Option<i64> {
        let Self { year, month, day } = *self;
        if !(1..=12).contains(&month)
            || !(1..=self.days()?).contains(&day)
            || hour > 23
            || minute > 59
        {
            return None;
        }
        // Years that begin in March have their leap day at the end.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days =
            365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
        Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60)
    }

    /// How many days its month has.
    fn days(&self) -> Option<i64> {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 => Some(if is_leap { 29 } else { 28 }),
            4 | 6 | 9 | 11 => Some(30),
            1..=12 => Some(31),
            _ => None,
        }
    }
}

fn digits(tens: u8, ones: u8) -> i64 {
    i64::from(tens - b'0') * 10 + i64::from(ones - b'0')
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| digits(tens, ones))
}

/// `+0100`, `-05:30` or `Z`, in minutes.
fn zone(text: &[u8]) -> Option<i16> {
    let (sign, h1, h2, m1, m2) = match *text {
        [b'Z'] => return Some(0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, h1, h2, m1, m2),
        _ => return None,
    };
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let minutes = i16::try_from(hours * 60 + minutes).ok()?;
    match sign {
        b'+' => Some(minutes),
        b'-' => Some(-minutes),
        _ => None,
    }
}

/// Seconds of an hour.
pub(in crate::report) const HOUR: i64 = 3600;

/// `23/Nov/2026:03:33`.
const MINUTE: usize = 17;

const MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
    *b"Nov", *b"Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_s_times_are_read_to_the_second() {
        let mut clock = Clock::new(60);
        let at = |unix, offset| Some(LineTime { unix, offset });
        assert_eq!(clock.local(b"23/Nov/2026:03:33:50 +0000"), at(1_795_404_830, 0));
        assert_eq!(clock.local(b"23/Nov/2026:03:33:51 +0000"), at(1_795_404_831, 0));
        assert_eq!(clock.local(b"22/Nov/2026:22:33:51 -0500"), at(1_795_404_831, -300));
        assert_eq!(clock.local(b"29/Feb/2024:23:59:60 +0530"), at(1_709_231_400, 330));
        assert_eq!(clock.iso8601(b"2026-11-23T03:33:50+00:00"), at(1_795_404_830, 0));
        assert_eq!(clock.iso8601(b"2026-11-22T22:33:50-05:00"), at(1_795_404_830, -300));
        assert_eq!(clock.msec(b"1795404830.123"), at(1_795_404_830, 60));
    }

    #[test]
    fn what_is_no_time_is_none() {
        let mut clock = Clock::new(0);
        for text in [
            "",
            "-",
            "23/Nov/2026:03:33:5",
            "23/Nox/2026:03:33:50 +0000",
            "23/Nov/2026:03:33:7x +0000",
            "23/Nov/2026:24:33:50 +0000",
            "23/Nov/2026:03:33:61 +0000",
            "31/Nov/2026:03:33:50 +0000",
            "29/Feb/2026:03:33:50 +0000",
            "23-Nov-2026:03:33:50 +0000",
            "23/Nov/2026:03:33:50 0000x",
        ] {
            assert_eq!(clock.local(text.as_bytes()), None, "{text}");
            assert_eq!(clock.iso8601(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_what_the_calendar_says() {
        let mut day = jiff::civil::date(1900, 1, 1);
        while day < jiff::civil::date(2301, 1, 1) {
            let (year, month, date) = (i64::from(day.year()), day.month().into(), day.day().into());
            let expected = day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
            let read = Date { year, month, day: date };
            assert_eq!(read.seconds(0, 0), Some(expected), "{day}");
            day = day.tomorrow().unwrap();
        }
    }

    #[test]
    fn durations_are_milliseconds_and_those_of_several_tries_are_added() {
        assert_eq!(milliseconds(b"0.012"), Some(12));
        assert_eq!(milliseconds(b"12.5"), Some(12_500));
        assert_eq!(milliseconds(b"3"), Some(3000));
        assert_eq!(milliseconds(b"0.002, 0.010 : 1.000"), Some(1012));
        assert_eq!(milliseconds(b"-, 0.010"), Some(10));
        assert_eq!(milliseconds(b"-"), None);
        assert_eq!(milliseconds(b""), None);
    }
}
