//! Whether an answer came in time: how long whoever asked for it waits.
//!
//! A XiVO that looks up a caller's number waits a second for all its sources together; one in which somebody types a
//! name 2.9 seconds. What comes later is worth nothing, though the log says 200.

use super::sketch::is_late;
use crate::lookup::is_telephone_number;
use crate::report::read::entry::{Action, Entry, is_phonebook};

/// What patience makes of a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Patience {
    /// Whether XiVO was asked for it.
    pub(in crate::report) reached_xivo: bool,
    /// Whether it took longer than a second.
    pub(in crate::report) is_late: bool,
    /// Whether its answer came too late.
    pub(in crate::report) overdue: Option<Overdue>,
}

impl Patience {
    #[inline]
    pub(in crate::report) fn of(entry: &Entry<'_>) -> Self {
        let is_late = entry.request_time.is_some_and(is_late);
        let overdue = if is_late { overdue(entry) } else { None };
        Self { reached_xivo: reached_xivo(entry), is_late, overdue }
    }
}

/// An answer that came too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Overdue {
    /// To a search by text, or one of which it cannot be told.
    Text,
    /// To a search by a telephone number.
    Number,
}

/// Whether the answer came when nobody waited for it any more. A whole phonebook has nobody who waits so short.
fn overdue(entry: &Entry<'_>) -> Option<Overdue> {
    let took = entry.request_time?;
    let is_lookup = matches!(entry.action, Action::Search | Action::View);
    if entry.status >= 400 || !is_lookup {
        return None;
    }
    if entry.term.is_some_and(is_number) {
        (took > NUMBER).then_some(Overdue::Number)
    } else {
        (took > TEXT).then_some(Overdue::Text)
    }
}

/// Whether XiVO was asked for this, as far as the line tells: whatever was answered or failed, and what the client
/// did not wait for. Refusals of the gateway's own, and its own answers, are none of these.
#[inline]
fn reached_xivo(entry: &Entry<'_>) -> bool {
    if entry.upstream_time.is_some() {
        return true;
    }
    match entry.status {
        ..400 => {
            matches!(entry.action, Action::Search | Action::List | Action::View)
                || is_phonebook(entry.target)
        }
        // A view of a contact that there is none of has no reason.
        404 => entry.action == Action::View && entry.reason.is_none(),
        499 | 500 | 502 | 504 => true,
        _ => false,
    }
}

/// Whether a term, as it was sent, is a telephone number. What may be a hash (`search_terms = "hash"`) counts as text,
/// whose time is the longer one: sixteen digits are one more than a number has.
fn is_number(term: &[u8]) -> bool {
    let may_be_hash = term.len() == HASH && term.iter().all(u8::is_ascii_digit);
    !may_be_hash && is_telephone_number(decoded(term))
}

/// A term without its percent-encoding. A `%` that encodes nothing stays, and so does `+`, which in numbers may stand
/// where a space may.
fn decoded(term: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = term;
    std::iter::from_fn(move || {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        if byte == b'%'
            && let [high, low, after @ ..] = after
            && let Some((high, low)) = digit(*high).zip(digit(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        Some(byte)
    })
}

/// How long a lookup by text is waited for, in milliseconds.
const TEXT: u64 = 2900;
/// The same by number.
const NUMBER: u64 = 1000;
/// Digits of a hashed term.
const HASH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_names_however_they_are_sent() {
        for number in [
            "123",
            "5551234",
            "%2B33+1+42+68",
            "+33142",
            "(514)555-1234",
            "514.555.12/34",
            "*72%23",
            "%31%32%33",
            "00441632960000",
            "1%202%203",
        ] {
            assert_eq!(is_number(number.as_bytes()), number != "*72%23", "{number}");
        }
        for text in
            ["", "12", "***", "+-", "a123", "123a", "%zz123", "12%", "1%41%42", "1234567890123456"]
        {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }
}
