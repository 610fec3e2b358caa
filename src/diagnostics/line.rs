//! One diagnostic on its way out: a line of text, and the same as an entry of systemd's journal.

use std::fmt::{self, Write};

use jiff::Timestamp;
use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

/// What diagnostics look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines, each with its time.
    Text,
    /// JSON, a line each.
    Json,
    /// Entries of the journal; lines without a time where it does not take them.
    Journal,
}

/// A diagnostic with its fields, ready to be written in any form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// With its line end.
    pub(super) text: Vec<u8>,
    /// What the journal's socket takes, where that is spoken to.
    pub(super) entry: Option<Vec<u8>>,
}

impl Line {
    /// What was formatted elsewhere, its line end included.
    pub(super) fn formatted(bytes: &[u8]) -> Self {
        let mut text = Vec::with_capacity(bytes.len().min(LONGEST) + MARK_ROOM);
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let (kept, rest) = body.split_at(whole_characters(body, LONGEST));
        text.extend_from_slice(kept);
        if !rest.is_empty() {
            text.extend_from_slice(mark(rest.len()).as_bytes());
        }
        text.push(b'\n');
        Self { text, entry: None }
    }

    /// An event for the journal.
    pub(super) fn of_event(event: &tracing::Event<'_>) -> Self {
        let mut text = String::new();
        // A field that cannot be formatted is left out; the others stand.
        let _ = DefaultFields::new().format_fields(Writer::new(&mut text), event);
        let metadata = event.metadata();
        let level = *metadata.level();
        let mut entry = Entry::new(level, &text);
        if let Some((file, line)) = metadata.file().zip(metadata.line()) {
            entry.field("CODE_FILE", file);
            entry.field("CODE_LINE", &line.to_string());
        }
        event.record(&mut entry);
        Self { entry: Some(entry.0), ..Self::formatted(format!("{level:>5} {text}").as_bytes()) }
    }

    /// What this process says of itself, beside what is traced.
    pub(super) fn notice(form: Form, level: Level, text: &str) -> Self {
        match form {
            Form::Text => {
                let now = Timestamp::now();
                Self::formatted(format!("{now:.6} {level:>5} {text}").as_bytes())
            }
            Form::Json => {
                let line = serde_json::json!({
                    "timestamp": format!("{:.6}", Timestamp::now()),
                    "level": level.as_str(),
                    "fields": { "message": text },
                });
                Self::formatted(line.to_string().as_bytes())
            }
            Form::Journal => Self {
                entry: Some(Entry::new(level, text).0),
                ..Self::formatted(format!("{level:>5} {text}").as_bytes())
            },
        }
    }

    /// Text for somebody who has started the program; several lines are one entry of the journal.
    pub(super) fn plain(form: Form, text: &str) -> Self {
        let entry = (form == Form::Journal).then(|| Entry::new(Level::ERROR, text.trim_end()).0);
        Self { entry, ..Self::formatted(text.as_bytes()) }
    }

    /// How much memory it holds.
    pub(super) fn weight(&self) -> usize {
        self.text.capacity() + self.entry.as_ref().map_or(0, Vec::capacity)
    }
}

/// An entry in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
struct Entry(Vec<u8>);

impl Entry {
    fn new(level: Level, message: &str) -> Self {
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            Level::DEBUG | Level::TRACE => "7",
        };
        let mut entry = Self(Vec::with_capacity(message.len() + 256));
        entry.field("MESSAGE", message);
        entry.field("PRIORITY", priority);
        entry.field("SYSLOG_IDENTIFIER", "phonebook-gateway");
        entry
    }

    fn field(&mut self, name: &str, value: &str) {
        let value = cut(value);
        let Self(out) = self;
        out.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            // Only this form can hold a line feed.
            out.push(b'\n');
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message" {
            self.field(&journal_name(field.name()), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            let mut text = String::new();
            // What cannot be formatted is left out.
            if write!(text, "{value:?}").is_ok() {
                self.field(&journal_name(field.name()), &text);
            }
        }
    }
}

/// A field's name in the journal: `request_id` is `PHONEBOOK_GATEWAY_REQUEST_ID`.
fn journal_name(name: &str) -> String {
    let upper = name.chars().map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => c.to_ascii_uppercase(),
        _ => '_',
    });
    PREFIX.chars().chain(upper).take(LONGEST_NAME).collect()
}

/// `text`, or as much of it as one diagnostic may have with how much is missing.
fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    let (kept, rest) = text.split_at(whole_characters(text.as_bytes(), LONGEST));
    match rest.len() {
        0 => kept.into(),
        more => format!("{kept}{}", mark(more)).into(),
    }
}

/// The pieces of `text` that each fit a line, cut between lines.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let at = match rest.len() {
            0 => return None,
            length if length <= LONGEST => length,
            _ => {
                let most = whole_characters(rest.as_bytes(), LONGEST);
                rest[..most].rfind('\n').map_or(most, |end| end + 1)
            }
        };
        let (piece, behind) = rest.split_at(at);
        rest = behind;
        Some(piece)
    })
}

/// The end of the last whole character of the first `most` bytes.
fn whole_characters(bytes: &[u8], most: usize) -> usize {
    if bytes.len() <= most {
        return bytes.len();
    }
    let continues = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    (0..=most).rev().find(|&at| !continues(at)).unwrap_or(most)
}

fn mark(more: usize) -> String {
    format!("… (cut, {more} {} more)", if more == 1 { "byte" } else { "bytes" })
}

/// Longer diagnostics are cut: a datagram to the journal takes some 200 kB by default.
const LONGEST: usize = 32 << 10;

/// Room for the mark and the line end.
const MARK_ROOM: usize = 48;

/// Of each field of ours in the journal.
const PREFIX: &str = "PHONEBOOK_GATEWAY_";

/// The journal takes no longer names.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Line) -> &str {
        std::str::from_utf8(&line.text).unwrap()
    }

    #[test]
    fn a_value_with_a_line_feed_has_its_length_before_it() {
        let mut entry = Entry(Vec::new());
        entry.field("A", "one");
        entry.field("B", "one\ntwo");
        entry.field("C", "");
        assert_eq!(entry.0, b"A=one\nB\n\x07\0\0\0\0\0\0\0one\ntwo\nC=\n");
    }

    #[test]
    fn names_are_what_the_journal_takes() {
        assert_eq!(journal_name("request_id"), "PHONEBOOK_GATEWAY_REQUEST_ID");
        assert_eq!(journal_name("a.b-é"), "PHONEBOOK_GATEWAY_A_B__");
        assert_eq!(journal_name(&"x".repeat(100)).len(), 64);
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        let long = "é".repeat(LONGEST);
        let line = Line::formatted(format!("x{long}\n").as_bytes());
        let (kept, rest) = text(&line).split_once('…').unwrap();
        assert!(kept.starts_with("xé") && kept.len() <= LONGEST);
        let more = 1 + long.len() - kept.len();
        assert_eq!(rest, format!(" (cut, {more} bytes more)\n"));
        assert!(cut(&long).ends_with("bytes more)"));
        assert_eq!(text(&Line::formatted(b"short\n")), "short\n");
        assert_eq!(text(&Line::formatted(b"short")), "short\n");
        // Not UTF-8 at all is cut as well.
        assert!(Line::formatted(&[0x80; LONGEST + 9]).text.len() < LONGEST + MARK_ROOM);
    }

    #[test]
    fn a_long_text_is_told_in_pieces_of_whole_lines_and_none_is_missing() {
        let long: String = (0..9000).map(|number| format!("line {number}\n")).collect();
        let all: Vec<&str> = pieces(&long).collect();
        assert!(all.len() > 2 && all.iter().all(|piece| piece.len() <= LONGEST));
        assert!(all.iter().all(|piece| piece.ends_with('\n')));
        assert_eq!(all.concat(), long);
        let one = "é".repeat(LONGEST);
        assert_eq!(pieces(&one).collect::<String>(), one);
        assert_eq!(pieces("").count(), 0);
    }

    #[test]
    fn a_notice_has_the_form_of_the_lines_around_it() {
        let line = Line::notice(Form::Text, Level::WARN, "so it is");
        assert!(text(&line).ends_with("Z  WARN so it is\n"), "{}", text(&line));
        let line = Line::notice(Form::Json, Level::WARN, "so \"it\" is");
        let json: serde_json::Value = serde_json::from_slice(&line.text).unwrap();
        assert_eq!(json["fields"]["message"], "so \"it\" is");
        assert_eq!(json["level"], "WARN");
        let line = Line::notice(Form::Journal, Level::ERROR, "so it is");
        assert_eq!(text(&line), "ERROR so it is\n");
        let entry = "MESSAGE=so it is\nPRIORITY=3\nSYSLOG_IDENTIFIER=phonebook-gateway\n";
        assert_eq!(line.entry.unwrap(), entry.as_bytes());
    }
}
