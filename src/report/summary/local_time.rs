//! A point in time as a log writes it: with the log's own distance to UTC.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::{Serialize, Serializer};

/// Seconds since 1970, and how far the clock on the wall is from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LocalTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
    /// Minutes east of UTC.
    pub offset: i16,
}

impl LocalTime {
    /// As ISO 8601 writes it, to the second.
    pub(crate) fn iso(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%S%:z")
    }

    /// For people: date and time without zone.
    pub(crate) fn short(self) -> String {
        self.format("%Y-%m-%d %H:%M:%S")
    }

    /// In a pattern of `strftime`, at the log's own clock.
    pub(crate) fn format(self, pattern: &str) -> String {
        let offset = Offset::from_seconds(i32::from(self.offset) * 60).unwrap_or(Offset::UTC);
        match Timestamp::from_second(self.unix) {
            Ok(time) => time.to_zoned(offset.to_time_zone()).strftime(pattern).to_string(),
            Err(_) => self.unix.to_string(),
        }
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.iso())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_at_the_log_s_own_clock() {
        let time = LocalTime { unix: 1_763_900_000, offset: -300 };
        assert_eq!(time.iso(), "2025-11-23T07:13:20-05:00");
        assert_eq!(time.to_string(), "2025-11-23 07:13:20");
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2025-11-23T07:13:20-05:00\"");
    }
}
