//! A search term.

use super::{BadArgument, is_telephone_number};

/// What is searched for: UTF-8, up to [`Term::MAX_LENGTH`] characters, none of them a control
/// character, no space at either end (XiVO trims what it is given, so `%20e%20` is one character).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term(String);

impl Term {
    /// The longest term, in characters.
    pub const MAX_LENGTH: usize = 256;

    /// Reads a decoded `search` value.
    pub(super) fn read(value: &[u8]) -> Result<Self, BadArgument> {
        let text = std::str::from_utf8(value).map_err(|_| BadArgument::TermNotUtf8)?;
        // PHP's trim() would take TAB, LF, CR, NUL and VT off as well; they are refused anywhere.
        if text.chars().any(char::is_control) {
            return Err(BadArgument::TermControl);
        }
        let term = Self(text.trim_matches(' ').to_owned());
        if term.length() > Self::MAX_LENGTH {
            return Err(BadArgument::TermTooLong);
        }
        Ok(term)
    }

    /// The term as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a telephone number, see [`is_telephone_number`].
    pub fn is_telephone_number(&self) -> bool {
        is_telephone_number(self.0.bytes())
    }

    /// Its length in characters (Unicode scalar values).
    pub fn length(&self) -> usize {
        self.0.chars().count()
    }
}
