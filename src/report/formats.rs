//! The formats that a file may be in, and which of them it is in.

use super::entry::Reader;
use super::pattern::{Pattern, PatternError};
use crate::record::format::{Format, PREDEFINED};

/// Formats by name, ready for reading.
#[derive(Clone, Debug)]
pub struct Formats(Vec<(String, Reader)>);

impl Formats {
    /// Those that need no configuration: the gateway's, nginx's `combined`, and `main` of the nginx.conf
    /// that nginx.org ships. Times without a zone are shown `offset` minutes east of UTC.
    pub fn predefined(offset: i16) -> Self {
        let mut formats = Self(Vec::new());
        for (name, text) in PREDEFINED.into_iter().chain([("main", MAIN)]) {
            // They can be read; a test holds that.
            let _ = formats.add(name, &[text], offset);
        }
        formats
    }

    /// One alone.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn only(name: &str, parts: &[&str], offset: i16) -> Result<Self, PatternError> {
        let mut formats = Self(Vec::new());
        formats.add(name, parts, offset)?;
        Ok(formats)
    }

    /// Those of these that have this name, if there is one.
    pub fn named(&self, name: &str) -> Option<Self> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        Some(Self(vec![found.clone()]))
    }

    fn add(&mut self, name: &str, parts: &[&str], offset: i16) -> Result<(), PatternError> {
        self.0.push((name.to_owned(), Reader::new(Pattern::of_text(parts)?, offset)));
        Ok(())
    }

    /// Adds a format of the configuration.
    ///
    /// # Errors
    /// Why its lines cannot be read.
    pub fn add_compiled(
        &mut self,
        name: &str,
        format: &Format,
        offset: i16,
    ) -> Result<(), PatternError> {
        let reader = Reader::new(Pattern::of_format(format)?, offset);
        self.0.push((name.to_owned(), reader));
        Ok(())
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The number of the format that fits most of `lines`, of several the first, and the time of the
    /// first line that it fits. Where none fits any, the first one.
    pub fn detect<'l>(
        &self,
        lines: impl Iterator<Item = &'l [u8]> + Clone,
    ) -> (usize, Option<i64>) {
        let mut best = (0, 0, None);
        for (number, (_, reader)) in self.0.iter().enumerate() {
            let mut reader = reader.clone();
            let mut first = None;
            let read = lines.clone().filter_map(|line| reader.read(line).ok());
            let fitting = read.inspect(|entry| {
                first.get_or_insert(entry.time.unix);
            });
            let fitting = fitting.count();
            if fitting > best.1 {
                best = (number, fitting, first);
            }
        }
        (best.0, best.2)
    }

    /// The name of the format of this number.
    pub fn name(&self, number: usize) -> &str {
        self.0.get(number).map_or("", |(name, _)| name)
    }

    /// Readers of all of them, in their order: one thread's.
    pub fn readers(&self) -> Vec<Reader> {
        self.0.iter().map(|(_, reader)| reader.clone()).collect()
    }
}

/// `main` of the configuration in nginx's own packages.
const MAIN: &str = concat!(
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "#,
    r#""$http_referer" "$http_user_agent" "$http_x_forwarded_for""#
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_the_format_that_fits_most_of_its_lines() {
        let formats = Formats::predefined(0);
        assert_eq!(
            formats.names().collect::<Vec<_>>(),
            ["combined", "gateway", "gateway_json", "main"]
        );
        let combined = r#"::1 - - [23/Nov/2026:03:33:50 +0000] "GET / HTTP/1.1" 200 1 "-" "-""#;
        let main = format!("{combined} \"-\"");
        let lines = |lines: &[&str]| {
            let (number, first) = formats.detect(lines.iter().map(|line| line.as_bytes()));
            (formats.name(number).to_owned(), first)
        };
        assert_eq!(lines(&[combined, "?"]), ("combined".into(), Some(1_795_404_830)));
        assert_eq!(lines(&["?", &main, &main, combined]), ("main".into(), Some(1_795_404_830)));
        assert_eq!(lines(&["?"]), ("combined".into(), None));
    }
}
