//! Values of whatever origin: how much of one is shown, and numbers for machines.

use std::fmt;

use maud::{Markup, Render, html};

/// The beginning of a value: [`text`], [`clipped`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clipped<T> {
    text: T,
    longest: usize,
}

/// A value of the log, the configuration or a client: its first 400 characters.
pub(crate) fn text<T: AsRef<str>>(text: T) -> Clipped<T> {
    Clipped { text, longest: LONGEST }
}

/// Lines to paste: the first 4,096 characters.
pub(crate) fn clipped<T: AsRef<str>>(text: T) -> Clipped<T> {
    Clipped { text, longest: LONGEST_LINES }
}

impl<T: AsRef<str>> Render for Clipped<T> {
    fn render_to(&self, page: &mut String) {
        let text = self.text.as_ref();
        match text.char_indices().nth(self.longest) {
            Some((end, _)) => {
                text[..end].render_to(page);
                page.push('…');
            }
            None => text.render_to(page),
        }
    }
}

/// Sentences in which a pair of backticks encloses what a machine reads.
pub(crate) fn prose(sentences: &str) -> Markup {
    let end = sentences.char_indices().nth(LONGEST_LINES).map_or(sentences.len(), |(end, _)| end);
    let parts: Vec<&str> = sentences[..end].split('`').collect();
    html! {
        @for (nth, part) in parts.iter().enumerate() {
            @if nth % 2 == 0 {
                (text(part))
            } @else if nth + 1 < parts.len() {
                code { (text(part)) }
            } @else {
                "`" (text(part))
            }
        }
        @if end < sentences.len() { "…" }
    }
}

/// A number for machines, to two places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places(pub(super) f64);

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2}", self.0);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

/// The number of characters of a value that are shown, so that a page has a bounded size.
const LONGEST: usize = 400;
/// The number of characters of lines to paste, and of sentences.
const LONGEST_LINES: usize = 4096;
