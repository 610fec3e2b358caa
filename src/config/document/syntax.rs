//! What is wrong with a document that is not TOML, in words for whoever typed it, and the line that was meant.
//!
//! The text is read a second time, statement by statement and leniently: other quotes, `:` for `=`, values without
//! quotes, commas and brackets that were forgotten. What comes out has the same number of lines, and is used only to
//! show the line to write and to go on reading; [`super::read`] holds it against the real parser and the keys' rules
//! before it shows any.

mod directive;
pub(super) mod parser_words;
mod scanner;
mod value;

use std::ops::Range;

/// What the second reading made of a document.
pub(super) struct Repaired {
    /// The document with its faults mended, as far as that was possible; as many lines as before.
    pub(super) text: String,
    /// At most one for each line, in their order.
    pub(super) faults: Vec<Fault>,
}

/// One thing that was typed and is not TOML.
#[derive(Debug)]
pub(super) struct Fault {
    /// Where, in the document as it was.
    pub(super) span: Range<usize>,
    /// What is wrong, with what was found.
    pub(super) message: String,
    /// What is allowed there.
    pub(super) label: &'static str,
    /// What to do where the line to write is not certain.
    pub(super) advice: &'static str,
}

/// Reads `text`, which is not TOML.
pub(super) fn repair(text: &str) -> Repaired {
    scanner::Scanner::new(text).run()
}

/// Quotes of word processors, chat programs and other keyboards.
pub(crate) fn is_typographic_quote(c: char) -> bool {
    matches!(c,
        '\u{201c}'..='\u{201f}' | '\u{2018}'..='\u{201b}' | '\u{ab}' | '\u{bb}' | '\u{2039}' | '\u{203a}'
        | '\u{2032}' | '\u{2033}' | '\u{2036}' | '\u{301d}'..='\u{301f}' | '\u{ff02}' | '\u{ff07}' | '`' | '\u{b4}')
}

/// What looks like a space, or like nothing, and is neither a space nor a tab.
pub(crate) fn is_odd_blank(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
        || (c.is_whitespace() && !matches!(c, ' ' | '\t' | '\r' | '\n'))
}

/// An odd blank's name and number.
pub(crate) fn blank_name(c: char) -> String {
    let name = match c {
        '\u{a0}' | '\u{202f}' => "a no-break space",
        '\u{200b}'..='\u{200f}' | '\u{2060}' => "an invisible character",
        '\u{feff}' => "a byte order mark",
        '\u{ad}' => "a soft hyphen",
        _ => "a typographic space",
    };
    format!("{name} (U+{:04X})", u32::from(c))
}

#[cfg(test)]
mod tests;
