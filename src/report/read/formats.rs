//! The formats that a line may be in.

use super::entry::Reader;
use super::pattern::{Pattern, PatternError, Slot};
use crate::access_log::format::PREDEFINED;
use crate::report::read::line::{Line, LineReader, Relations};

/// Formats by name, ready for reading.
#[derive(Clone, Debug)]
pub(crate) struct Formats {
    names: Vec<String>,
    readers: Vec<Reader>,
    relations: Relations,
}

impl Formats {
    /// These of the configuration, and behind them those that need none: the gateway's, nginx's `combined`, and
    /// `main` of the nginx.conf that nginx.org ships. Times without a zone are shown `offset` minutes east of UTC.
    pub(crate) fn with(own: Vec<(String, Pattern)>, offset: i16) -> Self {
        let texts = PREDEFINED.into_iter().chain([("main", MAIN)]);
        // They can be read; a test holds that.
        let predefined = texts
            .filter_map(|(name, text)| Some((name.to_owned(), Pattern::of_text(&[text]).ok()?)));
        let mut list: Vec<(String, Pattern)> = Vec::new();
        for (name, pattern) in own.into_iter().chain(predefined) {
            if !list.iter().any(|(_, known)| *known == pattern) {
                list.push((name, pattern));
            }
        }
        Self::of(list, offset)
    }

    /// One format alone, for all lines.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn only(name: &str, parts: &[&str], offset: i16) -> Result<Self, PatternError> {
        Ok(Self::of(vec![(name.to_owned(), Pattern::of_text(parts)?)], offset))
    }

    fn of(list: Vec<(String, Pattern)>, offset: i16) -> Self {
        let (names, patterns): (Vec<_>, Vec<_>) = list.into_iter().unzip();
        let readers: Vec<Reader> =
            patterns.into_iter().map(|pattern| Reader::new(pattern, offset)).collect();
        let relations = Relations::of(readers.iter().cloned());
        Self { names, readers, relations }
    }

    /// Those of these that have this name, if there is one.
    pub(crate) fn named(&self, name: &str) -> Option<Self> {
        let found = self.names.iter().position(|known| known == name)?;
        let reader = self.readers.get(found)?.clone();
        let relations = Relations::of([reader.clone()]);
        Some(Self { names: vec![name.to_owned()], readers: vec![reader], relations })
    }

    /// The names of the formats.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The number of the format that fits most of `lines`, of several the one that fits first, and the time of the
    /// first line that one fits. Where none fits any, the first one.
    pub(crate) fn detect<'l>(&self, lines: impl Iterator<Item = &'l [u8]>) -> (usize, Option<i64>) {
        let mut counts = vec![0_usize; self.names.len()];
        let mut begin = None;
        let mut reader = self.reader();
        let mut scratch = Vec::new();
        let mut fitting = 0;
        for line in lines {
            if let Ok(Line::Entry(entry)) = reader.read(line, &mut scratch) {
                begin.get_or_insert(entry.time.unix);
                counts[reader.current()] += 1;
                fitting += 1;
                if fitting == ENOUGH {
                    break;
                }
            }
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        (counts.iter().position(|count| *count == most).unwrap_or(0), begin)
    }

    /// The name of the format of this number.
    pub(crate) fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }

    /// Whether the lines of the format of this number say this.
    pub(in crate::report) fn has(&self, number: usize, slot: Slot) -> bool {
        self.readers.get(number).is_some_and(|reader| reader.pattern().has(slot))
    }

    /// One thread's reader of lines in any of them.
    pub(in crate::report) fn reader(&self) -> LineReader {
        LineReader::new(&self.relations)
    }
}

/// The number of lines from which a file's format is known.
const ENOUGH: usize = 200;

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
        let formats = Formats::with(Vec::new(), 0);
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
        let foreign = [["?"; 250].as_slice(), &[&main]].concat();
        assert_eq!(lines(&foreign), ("main".into(), Some(1_795_404_830)));
    }
}
