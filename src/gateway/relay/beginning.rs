//! What an answer that is no phonebook's began with, for the gateway's administrator: a notice of PHP's, a byte
//! order mark, a page. Such a text may repeat what was searched for, which no journal may have: it is shown up
//! to where that may begin.

use crate::access_log::format::escape::write_escaped;
use crate::http1::body_start::is_white_space;
use crate::http1::chunked::{ChunkedReader, Piece};
use crate::http1::response::Framing;
use crate::lookup::{Lookup, Term};

/// The beginning of a body of which `came` has come, for a sentence: up to [`SHOWN`] bytes, escaped as in the
/// access log.
pub(super) fn shown(framing: Framing, came: &[u8], lookup: &Lookup) -> Box<str> {
    // A term that is cut where the shown part ends is found in what follows.
    let text = beginning(framing, came, SHOWN + LONGEST_SPELLING);
    let end = match lookup {
        Lookup::Search { term, .. } => before_term(&text, term),
        Lookup::List { .. } | Lookup::View { .. } => text.len(),
    };
    let mut escaped = Vec::new();
    write_escaped(&mut escaped, text.get(..end.min(SHOWN)).unwrap_or(&text), 0);
    let escaped = String::from_utf8_lossy(&escaped);
    if end >= SHOWN || end == text.len() {
        format!("`{escaped}`").into()
    } else if end == 0 {
        "what was searched for".into()
    } else {
        format!("`{escaped}` and what was searched for").into()
    }
}

/// Up to `most` bytes of what has come of a body that is framed so, its framing and the white space that it
/// begins with left out; as far as it is what its framing says.
fn beginning(framing: Framing, came: &[u8], most: usize) -> Vec<u8> {
    let mut found = Vec::new();
    let mut take = |data: &[u8]| {
        let white = data.iter().take_while(|byte| is_white_space(**byte)).count();
        let data = if found.is_empty() { data.get(white..).unwrap_or_default() } else { data };
        let room = most.saturating_sub(found.len());
        found.extend_from_slice(data.get(..room).unwrap_or(data));
        found.len() < most
    };
    match framing {
        Framing::Empty => {}
        Framing::UntilClose => drop(take(came)),
        Framing::Length(length) => {
            let whole = usize::try_from(length).unwrap_or(usize::MAX);
            take(came.get(..whole).unwrap_or(came));
        }
        Framing::Chunked => {
            let (mut reader, mut at) = (ChunkedReader::new(), 0);
            while let Ok(Piece::Data(range)) = reader.next(came, at) {
                at = range.end;
                if !take(came.get(range).unwrap_or_default()) {
                    break;
                }
            }
        }
    }
    found
}

/// Where in `text` the term begins, or may begin, however it is spelt there; the text's end if it does not.
fn before_term(text: &[u8], term: &Term) -> usize {
    let spellings = spellings(term.as_str());
    let begins = |at: &usize| {
        let rest = text.get(*at..).unwrap_or_default();
        spellings.iter().any(|spelling| {
            // What ends the text may go on behind it.
            let common = rest.len().min(spelling.len());
            let enough = common == spelling.len() || common >= FEWEST;
            let both = rest.get(..common).zip(spelling.get(..common));
            enough && both.is_some_and(|(rest, spelling)| rest.eq_ignore_ascii_case(spelling))
        })
    };
    (0..text.len()).find(begins).unwrap_or(text.len())
}

/// The forms in which a page or a notice may repeat a term: as it is, in a URL, in HTML, in JSON, in Latin-1,
/// in upper and lower case; and of a term of several words, or with other letters than those of ASCII, each
/// part of it that is long enough to tell something.
fn spellings(term: &str) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for term in [term.to_owned(), term.to_lowercase(), term.to_uppercase()] {
        let percent = percent_encoded(&term);
        found.extend([
            percent.replace("%20", "+").into_bytes(),
            percent.into_bytes(),
            replaced(&term, html).into_bytes(),
            replaced(&term, json).into_bytes(),
            term.chars().map(|char| u8::try_from(char).unwrap_or(b'?')).collect(),
            term.into_bytes(),
        ]);
    }
    let words = term.split(|char: char| !char.is_ascii_alphanumeric());
    found.extend(words.filter(|word| word.len() >= FEWEST).map(|word| word.as_bytes().to_vec()));
    found.retain(|spelling| !spelling.is_empty());
    found.iter_mut().for_each(|spelling| spelling.truncate(LONGEST_SPELLING));
    found.sort_unstable();
    found.dedup();
    found
}

fn percent_encoded(term: &str) -> String {
    let mut out = String::new();
    for byte in term.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn replaced(term: &str, replacement: fn(char) -> Option<String>) -> String {
    term.chars().map(|char| replacement(char).unwrap_or_else(|| char.into())).collect()
}

/// PHP's `htmlspecialchars`.
fn html(char: char) -> Option<String> {
    let entity = match char {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#039;",
        _ => return None,
    };
    Some(entity.to_owned())
}

/// PHP's `json_encode`.
fn json(char: char) -> Option<String> {
    match char {
        '"' | '\\' | '/' => Some(format!("\\{char}")),
        ' '..='~' => None,
        _ => {
            let mut units = [0; 2];
            let units = char.encode_utf16(&mut units).iter();
            Some(units.map(|unit| format!("\\u{unit:04x}")).collect())
        }
    }
}

/// How many bytes are shown.
const SHOWN: usize = 40;

/// Of a spelling so many bytes are looked for.
const LONGEST_SPELLING: usize = 64;

/// A part of a term that is shorter tells nothing of it.
const FEWEST: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lookup::{LookupParts, PATH};

    fn search(term: &str) -> Lookup {
        let query = format!("act=search&search={}", percent_encoded(term));
        let parts = LookupParts {
            method: b"GET",
            path: PATH.as_bytes(),
            query: Some(query.as_bytes()),
            has_body: false,
        };
        Lookup::parse(parts).unwrap()
    }

    fn shown_of(body: &[u8], term: &str) -> String {
        shown(Framing::Length(body.len() as u64), body, &search(term)).into()
    }

    #[test]
    fn what_is_no_phonebook_is_shown_in_short_and_escaped() {
        for (body, expected) in [
            ("\u{feff}[{\"id\": 5}]", "`\\xEF\\xBB\\xBF[{\\x22id\\x22: 5}]`"),
            ("<br />\n<b>Notice</b>", "`<br />\\x0A<b>Notice</b>`"),
            (" \n<!DOCTYPE html>", "`<!DOCTYPE html>`"),
            ("null", "`null`"),
            (&"x".repeat(100), &format!("`{}`", "x".repeat(40))),
        ] {
            assert_eq!(shown_of(body.as_bytes(), "zoe"), expected);
        }
    }

    #[test]
    fn what_was_searched_for_is_not_shown_however_it_is_spelt() {
        for (body, term, expected) in [
            ("Notice: no dupont here", "dupont", "`Notice: no ` and what was searched for"),
            ("Notice: no DUPONT here", "dupont", "`Notice: no ` and what was searched for"),
            ("dupont", "dupont", "what was searched for"),
            ("no Lef\u{e8}vre", "Lef\u{e8}vre", "`no ` and what was searched for"),
            ("no LEF\u{c8}VRE", "lef\u{e8}vre", "`no ` and what was searched for"),
            ("no Lef&egrave;vre", "Lef\u{e8}vre", "`no ` and what was searched for"),
            ("no \\u00e9tue", "\u{e9}tue", "`no ` and what was searched for"),
            ("no %C3%A9t", "\u{e9}t", "`no ` and what was searched for"),
            ("?search=a+b", "a b", "`?search=` and what was searched for"),
            ("?search=a%20b", "a b", "`?search=` and what was searched for"),
            ("no O&#039;B", "o'b", "`no ` and what was searched for"),
            ("no 5551234", "5551234", "`no ` and what was searched for"),
            ("Madame Durand", "Jean Durand", "`Madame ` and what was searched for"),
            ("not found: dup", "dupont", "`not found: ` and what was searched for"),
        ] {
            assert_eq!(shown_of(body.as_bytes(), term), expected, "{body}");
        }
        assert_eq!(shown_of(b"no \xe9t", "\u{e9}t"), "`no ` and what was searched for");
        // It is looked for behind what is shown, too.
        let cut = format!("{}dupont", "x".repeat(37));
        assert!(!shown_of(cut.as_bytes(), "dupont").contains("dup"));
    }

    #[test]
    fn the_beginning_is_shown_without_framing_and_white_space() {
        let shown = beginning;
        assert_eq!(shown(Framing::Length(4), b" \nab<next answer>", 40), b"ab");
        assert_eq!(shown(Framing::Length(99), b"<b>Notice</b>", 3), b"<b>");
        assert_eq!(
            shown(Framing::Chunked, b"1\r\n \r\n1\r\n\n\r\n3\r\n a \r\n3\r\nb c\r\n0\r\n\r\n", 40),
            b"a b c"
        );
        assert_eq!(shown(Framing::Chunked, b"3\r\nabc\r\n3\r\ndef\r\n", 4), b"abcd");
        assert_eq!(shown(Framing::Chunked, b"3\r\nabc\r\nx", 40), b"abc");
        assert_eq!(shown(Framing::Empty, b"abc", 40), b"");
        assert_eq!(shown(Framing::UntilClose, b" abc", 40), b"abc");
    }

    proptest! {
        #[test]
        fn a_term_is_never_shown(term in "[a-wyzA-WYZ0-9 ]{3,12}", before in "[!-~]{0,45}", after in "[!-~]{0,20}") {
            let term = term.trim();
            prop_assume!(term.len() >= 3 && !"what was searched for".contains(&term.to_lowercase()));
            let body = format!("{before}{term}{after}");
            let shown = shown_of(body.as_bytes(), term).to_lowercase();
            prop_assert!(!shown.contains(&term.to_lowercase()), "{}", shown);
        }
    }
}
