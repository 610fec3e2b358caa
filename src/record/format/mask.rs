//! Search terms are names and numbers of people: how a log shows them, or does not.
//!
//! A target that is a lookup shows everything but its term. One that did not parse as one is masked
//! from its `?` on, spelt so or `%3F`, since nobody knows where in it a term stands; so is a Referer.

use std::ops::Range;

use ring::hmac;

use crate::lookup::{Asked, Lookup};

/// How search terms are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SearchTerms {
    /// As they came, as nginx.
    #[default]
    Full,
    /// As 16 hexadecimal digits, by which a term's repetitions can be told and nothing else.
    Hash,
    /// Not at all.
    Omit,
}

impl SearchTerms {
    /// All of them, by their words.
    pub const WORDS: [(&str, Self); 3] =
        [("full", Self::Full), ("hash", Self::Hash), ("omit", Self::Omit)];
}

/// The key of the hashes: without it nobody can find a term by trying all names.
#[derive(Clone, Debug)]
pub struct TermKey(hmac::Key);

impl TermKey {
    /// The key of these random bytes.
    pub fn new(bytes: &[u8; Self::LENGTH]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Random bytes of a key.
    pub const LENGTH: usize = 32;

    /// The first 16 hexadecimal digits of `term`'s HMAC-SHA256.
    fn write(&self, term: &str, out: &mut Vec<u8>) {
        let tag = hmac::sign(&self.0, term.as_bytes());
        for byte in tag.as_ref().iter().take(8) {
            out.extend_from_slice(&crate::lookup::hex(*byte, b"0123456789abcdef"));
        }
    }
}

/// Writes values with their terms hidden.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masked<'k>(Option<&'k TermKey>);

impl<'k> Masked<'k> {
    /// As `terms` says; `None` where they are written in full.
    pub(crate) fn of(terms: SearchTerms, key: &'k TermKey) -> Option<Self> {
        match terms {
            SearchTerms::Full => None,
            SearchTerms::Hash => Some(Self(Some(key))),
            SearchTerms::Omit => Some(Self(None)),
        }
    }

    /// Terms are left out.
    pub(crate) const OMITTED: Self = Self(None);

    /// Appends a request line, whose target is in `target` if it has one, and yields where the target
    /// stands in what was appended.
    pub(crate) fn line(
        self,
        line: &[u8],
        target: Option<Range<usize>>,
        out: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let begin = out.len();
        let parts = target.and_then(|at| {
            Some((line.get(..at.start)?, line.get(at.clone())?, line.get(at.end..)?))
        });
        let Some((method, target, version)) = parts else {
            // What looks like a version is none of the query.
            let version =
                line.len().checked_sub(b" HTTP/1.1".len()).filter(|&at| is_version(&line[at..]));
            let (line, version) = line.split_at(version.unwrap_or(line.len()));
            from_question_mark(line, out);
            out.extend_from_slice(version);
            return None;
        };
        out.extend_from_slice(method);
        let start = out.len() - begin;
        self.target(target, out);
        let end = out.len() - begin;
        out.extend_from_slice(version);
        Some(start..end)
    }

    fn target(self, target: &[u8], out: &mut Vec<u8>) {
        let at = memchr::memchr(b'?', target);
        let lookup = at.and_then(|at| {
            let (path, query) = (&target[..at], &target[at + 1..]);
            let asked = Asked { method: b"GET", path, query: Some(query), has_body: false };
            Some((at, query, Lookup::parse(asked).ok()?))
        });
        let Some((at, query, lookup)) = lookup else { return from_question_mark(target, out) };
        let Lookup::Search { term, .. } = lookup else { return out.extend_from_slice(target) };
        out.extend_from_slice(&target[..at]);
        for (number, pair) in query.split(|&byte| byte == b'&').enumerate() {
            out.push(if number == 0 { b'?' } else { b'&' });
            let name = &pair[..memchr::memchr(b'=', pair).unwrap_or(pair.len())];
            if !is_search(name) {
                out.extend_from_slice(pair);
                continue;
            }
            out.extend_from_slice(name);
            out.push(b'=');
            match self.0 {
                Some(key) => key.write(term.as_str(), out),
                None => out.extend_from_slice(HIDDEN),
            }
        }
    }
}

/// Appends `value` up to its first `?`, and instead of what follows that something is hidden.
pub(crate) fn from_question_mark(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(value);
    hide(out, start);
}

/// The same with what stands in `out` from `start` on.
pub(super) fn hide(out: &mut Vec<u8>, start: usize) {
    let value = out.get(start..).unwrap_or_default();
    let at = memchr::memchr(b'?', value);
    let encoded = value.windows(3).position(|three| three.eq_ignore_ascii_case(b"%3f"));
    if let Some(at) = [at, encoded].into_iter().flatten().min() {
        out.truncate(start + at);
        out.push(b'?');
        out.extend_from_slice(HIDDEN);
    }
}

/// Whether an argument's name, which is a known one, is `search`, perhaps with escapes.
fn is_search(name: &[u8]) -> bool {
    let mut rest = name;
    for &wanted in b"search" {
        rest = match rest {
            [byte, tail @ ..] if *byte == wanted => tail,
            [b'%', high, low, tail @ ..]
                if char::from(*high).to_digit(16) == Some(u32::from(wanted >> 4))
                    && char::from(*low).to_digit(16) == Some(u32::from(wanted & 0xf)) =>
            {
                tail
            }
            _ => return false,
        };
    }
    rest.is_empty()
}

fn is_version(text: &[u8]) -> bool {
    matches!(text, [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
}

const HIDDEN: &[u8] = b"***";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::PATH;

    fn key() -> TermKey {
        TermKey::new(&[7; TermKey::LENGTH])
    }

    fn line(terms: SearchTerms, target: &str) -> String {
        let key = key();
        let line = format!("GET {target} HTTP/1.1");
        let mut out = b"before".to_vec();
        let range = 4..4 + target.len();
        let masked = Masked::of(terms, &key).unwrap();
        let found = masked.line(line.as_bytes(), Some(range), &mut out).unwrap();
        let text = String::from_utf8(out.split_off(6)).unwrap();
        assert_eq!(format!("GET {} HTTP/1.1", &text[found]), text);
        text
    }

    #[test]
    fn of_a_search_only_the_term_is_hidden_however_its_name_is_spelt() {
        let hidden = |query| line(SearchTerms::Omit, &format!("{PATH}?{query}"));
        let shown = |query| format!("GET {PATH}?{query} HTTP/1.1");
        assert_eq!(hidden("act=search&search=doe"), shown("act=search&search=***"));
        assert_eq!(hidden("%73e%61rch=doe&act=search"), shown("%73e%61rch=***&act=search"));
        assert_eq!(hidden("act=view&id=4"), shown("act=view&id=4"));
        assert_eq!(hidden("act=list"), shown("act=list"));
    }

    #[test]
    fn what_is_no_lookup_is_hidden_from_its_question_mark_on() {
        for target in ["/x?act=search&search=doe", "/x%3fsearch=doe", "/x?search=doe?doe"] {
            assert_eq!(line(SearchTerms::Omit, target), "GET /x?*** HTTP/1.1");
            assert_eq!(line(SearchTerms::Hash, target), "GET /x?*** HTTP/1.1");
        }
        for query in [
            "act=search&search=doe&x=doe",
            "act=add&search=doe",
            "search=doe%",
            "doe",
            "act=search&search=doe&search=doe",
        ] {
            let target = format!("{PATH}?{query}");
            assert!(!line(SearchTerms::Omit, &target).contains("doe"), "{query}");
        }
    }

    #[test]
    fn a_line_without_a_target_keeps_its_version_only() {
        let mut out = Vec::new();
        for (text, hidden) in [
            ("GET  /x?search=doe HTTP/1.1", "GET  /x?*** HTTP/1.1"),
            ("GET /x?search=doe", "GET /x?***"),
            ("GET /x?a HTTP/doe", "GET /x?***"),
            ("\u{16}\u{3}", "\u{16}\u{3}"),
            ("", ""),
        ] {
            out.clear();
            assert_eq!(Masked::OMITTED.line(text.as_bytes(), None, &mut out), None);
            assert_eq!(out, hidden.as_bytes());
        }
    }

    #[test]
    fn the_same_term_has_the_same_hash_however_it_is_spelt_and_another_key_another() {
        let hash =
            |query: &str| line(SearchTerms::Hash, &format!("{PATH}?act=search&search={query}"));
        let digits = hash("doe").split("search=").nth(1).unwrap()[..16].to_owned();
        assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digits}");
        assert_eq!(hash("doe"), hash("%64oe"));
        assert_eq!(hash("doe"), hash("+doe%20"));
        assert_ne!(hash("doe"), hash("dof"));
        let (mut one, mut other) = (Vec::new(), Vec::new());
        key().write("doe", &mut one);
        TermKey::new(&[8; TermKey::LENGTH]).write("doe", &mut other);
        assert_eq!(one, digits.as_bytes());
        assert_ne!(one, other);
    }
}
