//! The time as the access log and the `Date` field spell it, made once per second.
//!
//! Both texts are fixed in length and cached with their second, so writing a second line in the same
//! second only copies. Formats: nginx's `$time_local`; RFC 9110 §5.6.7 (IMF-fixdate).

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// The system's time.
    pub fn now() -> Self {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for UnixSeconds {
    /// The second that `time` is in. A time before 1970 is taken for its beginning.
    fn from(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

/// Spells times in one time zone and in GMT, and remembers the last of each. Every worker has its
/// own.
#[derive(Debug)]
pub struct LocalClock {
    zone: TimeZone,
    local_second: UnixSeconds,
    local: [u8; LOCAL_LENGTH],
    iso_second: UnixSeconds,
    iso: [u8; ISO_LENGTH],
    syslog_second: UnixSeconds,
    syslog: [u8; SYSLOG_LENGTH],
    http_second: UnixSeconds,
    http: [u8; HTTP_LENGTH],
}

impl LocalClock {
    /// The system's time zone (`TZ`, else `/etc/localtime`). UTC where it cannot be read, as the C
    /// library does it.
    pub fn system() -> Self {
        Self::in_zone(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// `zone`, whatever the system's is.
    pub fn in_zone(zone: TimeZone) -> Self {
        let mut clock = Self {
            zone,
            local_second: UnixSeconds(0),
            local: LOCAL_SHAPE,
            iso_second: UnixSeconds(0),
            iso: ISO_SHAPE,
            syslog_second: UnixSeconds(0),
            syslog: SYSLOG_SHAPE,
            http_second: UnixSeconds(0),
            http: HTTP_SHAPE,
        };
        clock.spell_local();
        clock.spell_iso();
        clock.spell_syslog();
        clock.spell_http();
        clock
    }

    /// `time` as nginx's `$time_local`: `22/Nov/2026:21:05:09 +0100`. A time before 1970 or after
    /// 9999 is spelt as the nearest one between.
    pub fn time_local(&mut self, time: UnixSeconds) -> &[u8; LOCAL_LENGTH] {
        if time != self.local_second {
            self.local_second = time;
            self.spell_local();
        }
        &self.local
    }

    /// `time` as nginx's `$time_iso8601`: `2026-11-22T21:05:09+01:00`. Same bounds as
    /// [`Self::time_local`].
    pub fn time_iso8601(&mut self, time: UnixSeconds) -> &[u8; ISO_LENGTH] {
        if time != self.iso_second {
            self.iso_second = time;
            self.spell_iso();
        }
        &self.iso
    }

    /// `time` as RFC 3164 and nginx have it: `Nov  2 21:05:09`, in the zone's own time. Same bounds as
    /// [`Self::time_local`].
    pub fn time_syslog(&mut self, time: UnixSeconds) -> &[u8; SYSLOG_LENGTH] {
        if time != self.syslog_second {
            self.syslog_second = time;
            self.spell_syslog();
        }
        &self.syslog
    }

    /// `time` as a `Date` field has it: `Sun, 22 Nov 2026 20:05:09 GMT`. Same bounds as
    /// [`Self::time_local`].
    pub fn http_date(&mut self, time: UnixSeconds) -> &[u8; HTTP_LENGTH] {
        if time != self.http_second {
            self.http_second = time;
            self.spell_http();
        }
        &self.http
    }

    fn spell_local(&mut self) {
        let timestamp = timestamp(self.local_second);
        let offset = self.zone.to_offset(timestamp);
        let when = offset.to_datetime(timestamp);
        let text = &mut self.local;
        two_digits(&mut text[0..2], when.day());
        text[3..6].copy_from_slice(month_name(when));
        four_digits(&mut text[7..11], when.year());
        time_of_day(&mut text[12..20], when);
        // nginx cuts an offset's seconds off (local mean times have them), and so does this.
        let minutes = offset.seconds() / 60;
        text[21] = if offset.seconds() < 0 { b'-' } else { b'+' };
        two_digits(&mut text[22..24], (minutes.abs() / 60) as i8);
        two_digits(&mut text[24..26], (minutes.abs() % 60) as i8);
    }

    fn spell_iso(&mut self) {
        let timestamp = timestamp(self.iso_second);
        let offset = self.zone.to_offset(timestamp);
        let when = offset.to_datetime(timestamp);
        let text = &mut self.iso;
        four_digits(&mut text[0..4], when.year());
        two_digits(&mut text[5..7], when.month());
        two_digits(&mut text[8..10], when.day());
        time_of_day(&mut text[11..19], when);
        let minutes = offset.seconds() / 60;
        text[19] = if offset.seconds() < 0 { b'-' } else { b'+' };
        two_digits(&mut text[20..22], (minutes.abs() / 60) as i8);
        two_digits(&mut text[23..25], (minutes.abs() % 60) as i8);
    }

    fn spell_syslog(&mut self) {
        let timestamp = timestamp(self.syslog_second);
        let when = self.zone.to_offset(timestamp).to_datetime(timestamp);
        let text = &mut self.syslog;
        text[0..3].copy_from_slice(month_name(when));
        two_digits(&mut text[4..6], when.day());
        if when.day() < 10 {
            text[4] = b' ';
        }
        time_of_day(&mut text[7..15], when);
    }

    fn spell_http(&mut self) {
        let when = Offset::UTC.to_datetime(timestamp(self.http_second));
        let text = &mut self.http;
        text[0..3].copy_from_slice(weekday_name(when));
        two_digits(&mut text[5..7], when.day());
        text[8..11].copy_from_slice(month_name(when));
        four_digits(&mut text[12..16], when.year());
        time_of_day(&mut text[17..25], when);
    }
}

/// `time`, or the nearest that has a year of four digits in every zone.
fn timestamp(time: UnixSeconds) -> Timestamp {
    let seconds = time.0.clamp(0, Timestamp::MAX.as_second());
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn time_of_day(text: &mut [u8], when: DateTime) {
    two_digits(&mut text[0..2], when.hour());
    two_digits(&mut text[3..5], when.minute());
    two_digits(&mut text[6..8], when.second());
}

fn four_digits(text: &mut [u8], number: i16) {
    two_digits(&mut text[0..2], (number / 100) as i8);
    two_digits(&mut text[2..4], (number % 100) as i8);
}

fn two_digits(text: &mut [u8], number: i8) {
    let number = number.unsigned_abs();
    text[0] = b'0' + number / 10;
    text[1] = b'0' + number % 10;
}

fn month_name(when: DateTime) -> &'static [u8; 3] {
    match when.month() {
        1 => b"Jan",
        2 => b"Feb",
        3 => b"Mar",
        4 => b"Apr",
        5 => b"May",
        6 => b"Jun",
        7 => b"Jul",
        8 => b"Aug",
        9 => b"Sep",
        10 => b"Oct",
        11 => b"Nov",
        _ => b"Dec",
    }
}

fn weekday_name(when: DateTime) -> &'static [u8; 3] {
    match when.weekday() {
        Weekday::Monday => b"Mon",
        Weekday::Tuesday => b"Tue",
        Weekday::Wednesday => b"Wed",
        Weekday::Thursday => b"Thu",
        Weekday::Friday => b"Fri",
        Weekday::Saturday => b"Sat",
        Weekday::Sunday => b"Sun",
    }
}

const LOCAL_SHAPE: [u8; LOCAL_LENGTH] = *b"00/xxx/0000:00:00:00 +0000";
const ISO_LENGTH: usize = ISO_SHAPE.len();
const ISO_SHAPE: [u8; 25] = *b"0000-00-00T00:00:00+00:00";
const SYSLOG_LENGTH: usize = SYSLOG_SHAPE.len();
const SYSLOG_SHAPE: [u8; 15] = *b"xxx 00 00:00:00";
const HTTP_SHAPE: [u8; HTTP_LENGTH] = *b"xxx, 00 xxx 0000 00:00:00 GMT";
const LOCAL_LENGTH: usize = 26;
const HTTP_LENGTH: usize = 29;

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz;

    /// 2026-11-22T20:05:09Z.
    const SUNDAY: i64 = 1_795_377_909;

    fn zone(posix: &str) -> TimeZone {
        TimeZone::posix(posix).unwrap()
    }

    fn local(zone: TimeZone, second: i64) -> String {
        let mut clock = LocalClock::in_zone(zone);
        String::from_utf8(clock.time_local(UnixSeconds(second)).to_vec()).unwrap()
    }

    fn http(second: i64) -> String {
        let mut clock = LocalClock::in_zone(zone("EST5EDT,M3.2.0,M11.1.0"));
        String::from_utf8(clock.http_date(UnixSeconds(second)).to_vec()).unwrap()
    }

    #[test]
    fn local_time_has_the_offset_of_its_zone() {
        assert_eq!(local(TimeZone::UTC, SUNDAY), "22/Nov/2026:20:05:09 +0000");
        assert_eq!(local(zone("CET-1CEST,M3.5.0,M10.5.0/3"), SUNDAY), "22/Nov/2026:21:05:09 +0100");
        assert_eq!(local(zone("EST5EDT,M3.2.0,M11.1.0"), SUNDAY), "22/Nov/2026:15:05:09 -0500");
    }

    #[test]
    fn half_hour_and_quarter_hour_offsets_keep_their_minutes_on_both_sides_of_gmt() {
        assert_eq!(local(zone("<+0530>-5:30"), SUNDAY), "23/Nov/2026:01:35:09 +0530");
        assert_eq!(local(zone("<+0545>-5:45"), SUNDAY), "23/Nov/2026:01:50:09 +0545");
        assert_eq!(local(zone("NST3:30"), SUNDAY), "22/Nov/2026:16:35:09 -0330");
        assert_eq!(local(tz::offset(0).to_time_zone(), SUNDAY), "22/Nov/2026:20:05:09 +0000");
    }

    #[test]
    fn an_offset_of_less_than_an_hour_keeps_its_sign() {
        assert_eq!(local(zone("XXX0:30"), SUNDAY), "22/Nov/2026:19:35:09 -0030");
    }

    #[test]
    fn summer_time_begins_and_ends_at_its_second_on_one_clock() {
        let mut clock = LocalClock::in_zone(zone("CET-1CEST,M3.5.0,M10.5.0/3"));
        let mut at =
            |second| String::from_utf8(clock.time_local(UnixSeconds(second)).to_vec()).unwrap();
        // 2026-03-29 and 2026-10-25, 01:00 UTC each.
        assert_eq!(at(1_774_745_999), "29/Mar/2026:01:59:59 +0100");
        assert_eq!(at(1_774_746_000), "29/Mar/2026:03:00:00 +0200");
        assert_eq!(at(1_792_889_999), "25/Oct/2026:02:59:59 +0200");
        assert_eq!(at(1_792_890_000), "25/Oct/2026:02:00:00 +0100");
    }

    #[test]
    fn one_clock_follows_time_forwards_and_backwards() {
        let mut clock = LocalClock::in_zone(TimeZone::UTC);
        assert_eq!(clock.time_local(UnixSeconds(0)), b"01/Jan/1970:00:00:00 +0000");
        assert_eq!(clock.time_local(UnixSeconds(SUNDAY)), b"22/Nov/2026:20:05:09 +0000");
        assert_eq!(clock.time_local(UnixSeconds(SUNDAY)), b"22/Nov/2026:20:05:09 +0000");
        assert_eq!(clock.time_local(UnixSeconds(SUNDAY - 1)), b"22/Nov/2026:20:05:08 +0000");
        assert_eq!(clock.http_date(UnixSeconds(0)), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(clock.http_date(UnixSeconds(SUNDAY)), b"Sun, 22 Nov 2026 20:05:09 GMT");
        assert_eq!(clock.time_local(UnixSeconds(SUNDAY - 1)), b"22/Nov/2026:20:05:08 +0000");
    }

    #[test]
    fn syslog_has_a_blank_before_a_day_of_one_digit() {
        let mut clock = LocalClock::in_zone(zone("CET-1CEST,M3.5.0,M10.5.0/3"));
        let mut at =
            |second| String::from_utf8(clock.time_syslog(UnixSeconds(second)).to_vec()).unwrap();
        assert_eq!(at(SUNDAY), "Nov 22 21:05:09");
        assert_eq!(at(SUNDAY - 20 * 86_400), "Nov  2 21:05:09");
    }

    #[test]
    fn http_dates_are_gmt_whatever_the_zone() {
        assert_eq!(http(SUNDAY), "Sun, 22 Nov 2026 20:05:09 GMT");
        // The example of RFC 9110 §5.6.7.
        assert_eq!(http(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn every_month_and_weekday_has_its_name() {
        let mut clock = LocalClock::in_zone(TimeZone::UTC);
        for day in 0..366 {
            let second = SUNDAY + day * 86_400;
            let when = Timestamp::from_second(second).unwrap();
            let expected = when.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            assert_eq!(clock.http_date(UnixSeconds(second)), expected.as_bytes());
            let expected = when.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
            assert_eq!(clock.time_local(UnixSeconds(second)), expected.as_bytes());
        }
    }

    #[test]
    fn times_out_of_bounds_are_spelt_as_the_nearest() {
        assert_eq!(http(i64::MIN), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert!(http(i64::MAX).contains(" Dec 9999 "));
        assert!(local(zone("<+14>-14"), i64::MAX).contains("/Dec/9999:"));
    }

    #[test]
    fn a_system_time_before_1970_is_its_beginning() {
        let before = UNIX_EPOCH - std::time::Duration::from_secs(5);
        assert_eq!(UnixSeconds::from(before), UnixSeconds(0));
        let after = UNIX_EPOCH + std::time::Duration::from_millis(5_999);
        assert_eq!(UnixSeconds::from(after), UnixSeconds(5));
    }

    #[test]
    fn the_system_zone_can_be_read_or_is_utc() {
        assert_eq!(LocalClock::system().time_local(UnixSeconds(SUNDAY)).len(), LOCAL_LENGTH);
    }
}
