//! Search terms are names and numbers of people: how a log shows them, or does not.
//!
//! A target that is a lookup shows everything but its term. Of anything else nobody knows where in it a
//! term stands, so it is shown as far as it cannot be one, and what follows is `***`:
//! * a path up to the first segment that is more than letters, digits, `.`, `_`, `~` and `-`, or has the
//!   word `search` in it; from the first word of XiVO's own paths on only such words are shown, and
//!   nothing behind `phonebook`;
//! * methods that there are, and no others;
//! * of a line that is no request line, its method and XiVO's own words;
//! * fields that have URLs, or that are not known, like targets; those that have none, such as the
//!   `User-Agent`, up to the first `?`, `&` or `search` in any spelling.

use std::ops::Range;

use ring::hmac;

use crate::lookup::{Lookup, LookupParts};
use crate::text::{LOWER_HEX, hex};

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
            out.extend_from_slice(&hex(*byte, LOWER_HEX));
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
        let Some((before, target, version)) = parts else {
            no_request_line(line, out);
            return None;
        };
        out.extend_from_slice(shown_method(before.split(|&byte| byte == b' ').next()));
        out.push(b' ');
        if before.last() != Some(&b' ') {
            // A scheme and a host: the request's Host is elsewhere.
            out.extend_from_slice(b"http://");
            out.extend_from_slice(HIDDEN);
        }
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
            let asked = LookupParts { method: b"GET", path, query: Some(query), has_body: false };
            Some((at, query, Lookup::parse(asked).ok()?))
        });
        let Some((at, query, lookup)) = lookup else { return path_and_query(target, false, out) };
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

/// The method, if it is one that there is.
pub(crate) fn shown_method(method: Option<&[u8]>) -> &[u8] {
    match method {
        Some(method) if METHODS.contains(&method) => method,
        _ => HIDDEN,
    }
}

/// Appends what can be shown of a line that is no request line.
fn no_request_line(line: &[u8], out: &mut Vec<u8>) {
    if line.is_empty() {
        return;
    }
    // What looks like a version is none of the query.
    let version = line.len().checked_sub(b" HTTP/1.1".len()).filter(|&at| is_version(&line[at..]));
    let (line, version) = line.split_at(version.unwrap_or(line.len()));
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (method, rest) = line.split_at(end);
    if !METHODS.contains(&method) {
        return out.extend_from_slice(HIDDEN);
    }
    out.extend_from_slice(method);
    let blanks = rest.iter().take_while(|&&byte| byte == b' ').count();
    let (blanks, target) = rest.split_at(blanks);
    out.extend_from_slice(blanks);
    path_and_query(target, true, out);
    out.extend_from_slice(version);
}

/// Appends what can be shown of a target that is no lookup. Where it is `strict`, of its path that is
/// only XiVO's own words.
fn path_and_query(target: &[u8], strict: bool, out: &mut Vec<u8>) {
    let at = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(at);
    shown_path(path, strict, out);
    if !query.is_empty() {
        out.push(b'?');
        out.extend_from_slice(HIDDEN);
    }
}

fn shown_path(path: &[u8], strict: bool, out: &mut Vec<u8>) {
    let Some(segments) = path.strip_prefix(b"/") else {
        return if !path.is_empty() {
            out.extend_from_slice(HIDDEN);
        };
    };
    let mut place = if strict { PathPosition::Strict } else { PathPosition::Open };
    for segment in segments.split(|&byte| byte == b'/') {
        out.push(b'/');
        let dots = segment.iter().all(|&byte| byte == b'.');
        let word = known_word(segment);
        let is_shown = match place {
            _ if dots => true,
            PathPosition::Open => word.is_some() || (is_plain(segment) && !has_search(segment)),
            PathPosition::Strict => word.is_some() || (segment.len() == 1 && is_plain(segment)),
            PathPosition::Behind => false,
        };
        if !is_shown {
            // If a segment begins with a known word, show that word only: `phonebook;search=…` is nearly the phonebook.
            let begins = |word: &&&[u8]| place != PathPosition::Behind && segment.starts_with(word);
            if let Some(word) = WORDS.iter().filter(begins).max_by_key(|word| word.len()) {
                out.extend_from_slice(word);
            }
            return out.extend_from_slice(HIDDEN);
        }
        out.extend_from_slice(segment);
        place = match word {
            Some(b"phonebook") => PathPosition::Behind,
            Some(_) => PathPosition::Strict,
            None => place,
        };
    }
}

/// What may be shown of a path at a segment of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PathPosition {
    /// Nothing was XiVO's so far.
    Open,
    /// Words of XiVO's paths alone, and single characters.
    Strict,
    /// Behind the phonebook: nothing.
    Behind,
}

/// The word of XiVO's paths that a segment is read as: escapes are decoded once, and `..` is taken out.
fn known_word(segment: &[u8]) -> Option<&'static [u8]> {
    // With escapes and dots a word is no longer than this.
    if segment.len() > 128 {
        return None;
    }
    let mut rest = segment;
    let mut read: Vec<u8> = Vec::with_capacity(segment.len());
    while let Some((byte, tail)) = decoded(rest, 1) {
        read.push(byte.to_ascii_lowercase());
        rest = tail;
    }
    let is_read_as = |word: &&&[u8]| {
        let mut left = word.iter().peekable();
        let mut at = 0;
        while let Some(byte) = read.get(at) {
            if left.next_if_eq(&byte).is_some() {
                at += 1;
            } else if read.get(at..at + 2) == Some(b"..") {
                at += 2;
            } else {
                return false;
            }
        }
        left.next().is_none()
    };
    WORDS.iter().find(is_read_as).copied()
}

/// The first byte of `text`, its escapes undone up to so many times (`%3f` is `?`, and `%253f` twice),
/// and what follows it.
fn decoded(text: &[u8], times: usize) -> Option<(u8, &[u8])> {
    let (&first, tail) = text.split_first()?;
    if first != b'%' || times == 0 {
        return Some((first, tail));
    }
    let mut rest = tail;
    for _ in 1..times {
        match rest.strip_prefix(b"25") {
            Some(after) => rest = after,
            None => break,
        }
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match rest {
        [high, low, tail @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Some((high << 4 | low, tail)),
            _ => Some((first, tail)),
        },
        _ => Some((first, tail)),
    }
}

/// Letters, digits and what stands between them in a name.
fn is_plain(segment: &[u8]) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    segment.iter().all(|&byte| plain(byte))
}

fn has_search(text: &[u8]) -> bool {
    (0..text.len()).any(|at| text.get(at..).is_some_and(begins_search))
}

/// Whether `text` begins with the word, in any case and with any escapes.
fn begins_search(text: &[u8]) -> bool {
    let mut rest = text;
    b"search".iter().all(|wanted| match decoded(rest, DEPTH) {
        Some((byte, tail)) if byte.eq_ignore_ascii_case(wanted) => {
            rest = tail;
            true
        }
        _ => false,
    })
}

/// Appends what can be shown of a field that may hold a URL.
pub(crate) fn url(value: &[u8], out: &mut Vec<u8>) {
    let scheme = [b"http://".as_slice(), b"https://"].into_iter().find(|scheme| {
        value.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else {
        return if !value.is_empty() {
            path_and_query(value, false, out);
        };
    };
    let (scheme, rest) = value.split_at(scheme.len());
    let ends = |&byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    let (host, target) = rest.split_at(rest.iter().position(ends).unwrap_or(rest.len()));
    out.extend_from_slice(scheme);
    let is_host = |&byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
    };
    let is_host = host.iter().all(is_host) && !has_search(host);
    out.extend_from_slice(if is_host { host } else { HIDDEN });
    path_and_query(target, false, out);
}

/// Appends what can be shown of a field that has no URL: everything up to where one's arguments could
/// begin.
pub(crate) fn plain_field(value: &[u8], out: &mut Vec<u8>) {
    let begins = |at: &usize| {
        value.get(*at..).is_some_and(|rest| {
            let argument =
                decoded(rest, DEPTH).is_some_and(|(byte, _)| matches!(byte, b'?' | b'&'));
            argument || begins_search(rest)
        })
    };
    let at = (0..value.len()).find(begins).unwrap_or(value.len());
    out.extend_from_slice(&value[..at]);
    if let Some(&next) = value.get(at) {
        if next == b'?' {
            out.push(b'?');
        }
        out.extend_from_slice(HIDDEN);
    }
}

/// Appends what can be shown of the request's field of this name, which is in lower case with `_` for
/// `-`.
pub(super) fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if WITHOUT_URL.contains(&name) { plain_field(value, out) } else { url(value, out) }
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

pub(super) const HIDDEN: &[u8] = b"***";

/// How many times over an escape may be escaped and is still seen.
const DEPTH: usize = 8;

/// The methods of RFC 9110, and those that are often tried.
const METHODS: [&[u8]; 14] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PRI",
    b"PROPFIND",
    b"MKCOL",
    b"COPY",
    b"MOVE",
];

/// What the paths of XiVO's web services, and those of the gateway's own, are made of.
const WORDS: [&[u8]; 14] = [
    b"service",
    b"ipbx",
    b"json.php",
    b"restricted",
    b"private",
    b"pbx_services",
    b"phonebook",
    b"xivo",
    b"configuration",
    b"index.php",
    b"pbx_settings",
    b".well-known",
    b"phonebook-gateway",
    b"whoami",
];

/// Fields whose values are no URL, and that no term belongs into.
const WITHOUT_URL: [&[u8]; 28] = [
    b"accept",
    b"accept_charset",
    b"accept_encoding",
    b"accept_language",
    b"cache_control",
    b"connection",
    b"content_length",
    b"content_type",
    b"date",
    b"dnt",
    b"expect",
    b"forwarded",
    b"host",
    b"if_modified_since",
    b"if_none_match",
    b"keep_alive",
    b"pragma",
    b"range",
    b"te",
    b"trailer",
    b"transfer_encoding",
    b"upgrade",
    b"user_agent",
    b"via",
    b"x_forwarded_for",
    b"x_forwarded_proto",
    b"x_real_ip",
    b"x_request_id",
];

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
    fn of_what_is_no_lookup_the_path_is_shown_as_far_as_it_is_no_term() {
        for (target, shown) in [
            ("/x?act=search&search=doe", "/x?***"),
            ("/other.php?search=doe?doe", "/other.php?***"),
            ("/x%3fsearch=doe", "/***"),
            ("/x;search=doe", "/***"),
            ("/x/search/doe", "/x/***"),
            ("/x/%53eaRch/doe", "/x/***"),
            ("/x/search=doe/y?z", "/x/***?***"),
            ("/", "/"),
            ("//a/./../b~c", "//a/./../b~c"),
            ("", ""),
            ("?search=doe", "?***"),
            ("*", "***"),
            ("/service/ipbx/json.php/restricted/doe", "/service/ipbx/json.php/restricted/***"),
            ("/service/../doe/x", "/service/../***"),
            (
                "/service/ipbx/json.php/pri..vate/%70rivate/x?y",
                "/service/ipbx/json.php/pri..vate/%70rivate/x?***",
            ),
            ("/service/IPBX/privatedoe", "/service/IPBX/private***"),
        ] {
            let expected = format!("GET {shown} HTTP/1.1");
            assert_eq!(line(SearchTerms::Omit, target), expected, "{target}");
            assert_eq!(line(SearchTerms::Hash, target), expected, "{target}");
        }
        for (rest, shown) in [
            (";search=doe", "***"),
            ("%3Fsearch=doe", "***"),
            ("/doe", "/***"),
            ("/act=search&search=doe", "/***"),
            ("//../doe", "//../***"),
            ("doe", "***"),
            ("?act=search&search=doe&x=doe", "?***"),
            ("?act=add&search=doe", "?***"),
            ("?search=doe%", "?***"),
            ("?doe", "?***"),
            ("?act=search&search=doe&search=doe", "?***"),
        ] {
            let target = format!("{PATH}{rest}");
            let expected = format!("GET {PATH}{shown} HTTP/1.1");
            assert_eq!(line(SearchTerms::Omit, &target), expected, "{target}");
        }
    }

    #[test]
    fn of_a_line_that_is_no_request_only_known_words_are_shown() {
        let mut out = Vec::new();
        for (text, hidden) in [
            ("GET  /x?search=doe HTTP/1.1", "GET  /x?*** HTTP/1.1"),
            ("GET /x?search=doe", "GET /x?***"),
            ("GET /x?a HTTP/doe", "GET /x?***"),
            ("GET /doe", "GET /***"),
            ("GET doe", "GET ***"),
            ("doe", "***"),
            ("DOE /x HTTP/1.1", "***"),
            ("search=doe HTTP/1.1", "***"),
            ("GET /service/ipbx/json.php/doe HTTP/1.1", "GET /service/ipbx/json.php/*** HTTP/1.1"),
            ("GET", "GET"),
            ("\u{16}\u{3}", "***"),
            ("", ""),
        ] {
            out.clear();
            assert_eq!(Masked::OMITTED.line(text.as_bytes(), None, &mut out), None);
            assert_eq!(String::from_utf8_lossy(&out), hidden);
        }
    }

    #[test]
    fn a_method_that_there_is_none_of_and_a_host_in_the_target_are_hidden() {
        for (text, target, hidden) in [
            ("DOE /x HTTP/1.1", "/x", "*** /x HTTP/1.1"),
            ("GET http://doe/x HTTP/1.1", "/x", "GET http://***/x HTTP/1.1"),
            ("get http://doe?search=doe HTTP/2.0", "?search=doe", "*** http://***?*** HTTP/2.0"),
        ] {
            let at = text.find(target).unwrap();
            let mut out = Vec::new();
            let found =
                Masked::OMITTED.line(text.as_bytes(), Some(at..at + target.len()), &mut out);
            let out = String::from_utf8(out).unwrap();
            assert_eq!(out, hidden);
            assert!(out[found.unwrap()].starts_with(&target[..1]));
        }
    }

    #[test]
    fn fields_show_what_is_no_argument_of_a_url() {
        let shown = |name: &str, value: &str| {
            let mut out = Vec::new();
            field(name.as_bytes(), value.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        for (name, value, expected) in [
            ("user_agent", "Mozilla/5.0 (X11; rv:1.0) curl/7", "Mozilla/5.0 (X11; rv:1.0) curl/7"),
            ("user_agent", "a?search=doe", "a?***"),
            ("user_agent", "a %53EARCH%3ddoe", "a ***"),
            ("user_agent", "a s%2565arch doe", "a ***"),
            ("x_forwarded_for", "192.0.2.1, 2001:db8::1", "192.0.2.1, 2001:db8::1"),
            ("forwarded", "for=192.0.2.1%26x=doe", "for=192.0.2.1***"),
            ("referer", "http://a/?q=doe", "http://a/?***"),
            ("referer", "HTTPS://a:80#doe", "HTTPS://a:80***"),
            ("referer", "https://doe@a/x/y", "https://***/x/y"),
            ("x_original_uri", "/x?q=doe", "/x?***"),
            ("x_anything", "doe", "***"),
            ("cookie", "search=doe", "***"),
            ("x_anything", "", ""),
        ] {
            assert_eq!(shown(name, value), expected, "{name}: {value}");
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
