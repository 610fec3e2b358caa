//! Markup into which no text of a log can break in: what is written as it stands is known when this is compiled.
//!
//! Numbers are written as numbers and all other text through [`Markup::text`], which escapes what HTML reads as
//! markup, in elements and in quoted attributes alike, and shows control characters and those that turn the direction
//! of writing as `\u{…}`: they could make a line look as another one.

use std::fmt::Write as _;

use crate::report::summary::wording;

/// How many characters of a text of the log are shown.
const LONGEST: usize = 400;

/// HTML, as far as it is written.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Markup as it stands.
    pub(super) fn put(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text of whatever origin.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.escaped(text, LONGEST);
        self
    }

    /// Text of whatever origin, all of it.
    pub(super) fn whole(&mut self, text: &str) -> &mut Self {
        self.escaped(text, 4096);
        self
    }

    /// Text in which a pair of backticks encloses what a machine reads.
    pub(super) fn prose(&mut self, text: &str) -> &mut Self {
        let parts: Vec<&str> = text.split('`').collect();
        for (nth, part) in parts.iter().enumerate() {
            match nth % 2 {
                1 if nth + 1 < parts.len() => self.put("<code>").text(part).put("</code>"),
                1 => self.put("`").text(part),
                _ => self.text(part),
            };
        }
        self
    }

    /// A number for people.
    pub(super) fn count(&mut self, count: u64) -> &mut Self {
        self.0.push_str(&wording::count(count));
        self
    }

    /// A number for machines, to two places.
    pub(super) fn number(&mut self, number: f64) -> &mut Self {
        let text = format!("{number:.2}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        self.0.push_str(if text == "-0" { "0" } else { text });
        self
    }

    /// A whole number for machines.
    pub(super) fn whole_number(&mut self, number: u64) -> &mut Self {
        let _ = write!(self.0, "{number}");
        self
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn escaped(&mut self, text: &str, longest: usize) {
        let mut left = longest;
        for c in text.chars() {
            if left == 0 {
                self.0.push('…');
                return;
            }
            left -= 1;
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                c if c.is_control() || deceives(c) => {
                    let _ = write!(self.0, "\\u{{{:x}}}", u32::from(c));
                }
                c => self.0.push(c),
            }
        }
    }
}

/// Characters that are not seen and change how others are: marks of direction, joiners, separators of lines.
fn deceives(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
