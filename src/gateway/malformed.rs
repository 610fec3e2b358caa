//! What is kept of a malformed head: the bytes around its fault, without what may be a search term where the
//! access logs hide those.

use std::ops::Range;

use jiff::Timestamp;

use crate::access_log::SearchTerms;
use crate::access_log::format::Masked;
use crate::config::{Config, Limits};
use crate::gateway::request_source::RequestSource;
use crate::http1::fault_position::fault_position;
use crate::http1::request::TooLarge;
use crate::refusal::{Malformed, Reason, Refusal};
use crate::worker::malformed_heads::MalformedHead;

/// What is kept of a head in `bytes` that `refusal` says is none; `None` where it says something else.
pub(super) fn kept(
    refusal: &Refusal,
    bytes: &[u8],
    config: &Config,
    source: &RequestSource<'_>,
) -> Option<MalformedHead> {
    if !OF_HEADS.contains(&refusal.reason()) {
        return None;
    }
    let fault = fault(refusal, bytes, &config.limits);
    let hidden = config.access_logs.iter().any(|log| log.search_terms != SearchTerms::Full);
    let (window, fault, skipped) = if hidden {
        let (window, fault) = hide(bytes, fault);
        (window, fault, 0)
    } else {
        let range = window(bytes.len(), fault.as_ref());
        let start = range.start;
        let fault = fault.map(|fault| {
            let at = |at: usize| at.clamp(range.start, range.end) - start;
            at(fault.start)..at(fault.end)
        });
        let mut bytes = bytes.to_vec();
        conceal_credentials(&mut bytes);
        (bytes.get(range).unwrap_or_default().to_vec(), fault, start)
    };
    Some(MalformedHead {
        at: Timestamp::now(),
        address: source.caller.shown_address().ip(),
        peer: source.found.peer().map(|peer| peer.policy.name.clone()),
        reason: refusal.reason(),
        rule: rule(refusal),
        bytes: window,
        fault,
        skipped,
        length: bytes.len(),
        hidden,
    })
}

/// The rule that was broken.
#[expect(clippy::wildcard_enum_match_arm, reason = "only refusals of heads come here")]
fn rule(refusal: &Refusal) -> String {
    match refusal {
        Refusal::MalformedRequest(why) => why.to_string(),
        Refusal::HeadersTooLarge(why) => why.to_string(),
        Refusal::UriTooLong => "the request line is too long".to_owned(),
        Refusal::PlainOnTls => "it came without the TLS that this port speaks".to_owned(),
        refusal => refusal.word().to_owned(),
    }
}

/// The bytes that break the rule.
#[expect(clippy::wildcard_enum_match_arm, reason = "only refusals of heads have such bytes")]
fn fault(refusal: &Refusal, bytes: &[u8], limits: &Limits) -> Option<Range<usize>> {
    let from = |limit: usize| limit.min(bytes.len())..bytes.len();
    match refusal {
        Refusal::MalformedRequest(Malformed::Head(why)) => fault_position(bytes, *why),
        Refusal::MalformedRequest(Malformed::EndedEarly) => Some(bytes.len()..bytes.len()),
        Refusal::UriTooLong => Some(from(limits.max_uri)),
        Refusal::HeadersTooLarge(TooLarge::Bytes) => Some(from(limits.max_head)),
        Refusal::HeadersTooLarge(TooLarge::Fields) => {
            let ends = memchr::memchr_iter(b'\n', bytes).map(|end| end + 1);
            Some(from(ends.take(limits.max_header_fields + 1).last().unwrap_or(bytes.len())))
        }
        Refusal::PlainOnTls => Some(0..bytes.len().min(1)),
        _ => None,
    }
}

/// As much of so many bytes as is kept.
fn window(length: usize, fault: Option<&Range<usize>>) -> Range<usize> {
    let at = fault.map_or(0, |fault| fault.start);
    let start = at.saturating_sub(BEFORE);
    start..length.min(start + KEPT)
}

/// Puts `*` for each byte of what nobody has to know, wherever it is wrong.
fn conceal_credentials(head: &mut [u8]) {
    for line in head.split_mut(|&byte| byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at_mut(colon + 1);
        let name = name.trim_ascii().strip_suffix(b":").unwrap_or_default().trim_ascii();
        if CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            value.iter_mut().filter(|byte| byte.is_ascii_graphic()).for_each(|byte| *byte = b'*');
        }
    }
}

/// The head up to its fault, without what may be a search term: the methods and paths that there are, the
/// names of fields, and of what is wrong only signs.
fn hide(bytes: &[u8], fault: Option<Range<usize>>) -> (Vec<u8>, Option<Range<usize>>) {
    let end = fault.as_ref().map_or(bytes.len(), |fault| fault.start).min(bytes.len());
    let mut out = Vec::new();
    for (number, line) in bytes[..end].split_inclusive(|&byte| byte == b'\n').enumerate() {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if number == 0 {
            Masked::OMITTED.line(text, None, &mut out);
        } else {
            hide_field(text, &mut out);
        }
        out.extend_from_slice(&line[text.len()..]);
        if out.len() > KEPT {
            out.truncate(KEPT);
            return (out, None);
        }
    }
    let fault = fault.map(|fault| {
        let start = out.len();
        let wrong = bytes.get(fault).unwrap_or_default();
        let signs = wrong.len() <= MOST_SIGNS && !wrong.iter().copied().any(is_of_a_word);
        out.extend_from_slice(if signs { wrong } else { HIDDEN });
        start..out.len()
    });
    (out, fault)
}

/// A field's name, if it is one.
fn hide_field(text: &[u8], out: &mut Vec<u8>) {
    let is_name = |name: &[u8]| {
        !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match memchr::memchr(b':', text).map(|colon| text.split_at(colon)) {
        Some((name, _)) if is_name(name) => {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(HIDDEN);
        }
        _ if text.is_empty() => {}
        _ => out.extend_from_slice(HIDDEN),
    }
}

/// Whether a byte may be a part of a name or a number.
fn is_of_a_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || byte == b'%'
}

const HIDDEN: &[u8] = b"***";

/// What a head is refused for as such.
const OF_HEADS: [Reason; 3] =
    [Reason::MalformedRequest, Reason::UriTooLong, Reason::HeadersTooLarge];

/// Fields whose values let somebody in.
const CREDENTIALS: [&[u8]; 4] = [b"authorization", b"proxy-authorization", b"cookie", b"x-api-key"];

/// How much of a head is kept, in bytes, and how much of that before its fault.
const KEPT: usize = 1024;
const BEFORE: usize = 512;

/// More signs in a row may say something.
const MOST_SIGNS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(head: &[u8], fault: Range<usize>) -> (String, String) {
        let (bytes, fault) = hide(head, Some(fault));
        let marked = fault.and_then(|fault| bytes.get(fault)).unwrap_or_default();
        (bytes.escape_ascii().to_string(), marked.escape_ascii().to_string())
    }

    #[test]
    fn what_may_be_a_term_is_not_kept_where_terms_are_hidden() {
        for (head, marked, expected) in [
            ("GET /x?search=lefevre\u{1} HTTP/1.1\r\n", "\u{1}", "\\x01"),
            ("GET /x HTTP/1.1\r\nReferer: /x?search=lefevre\r\nHost: a\n", "\n", "\\n"),
            ("GET /x HTTP/1.1\r\nlefevre\r\nHost : a\r\n", " : a", "***"),
            ("GET /x HTTP/1.1\r\nX: lefevre\0\r\n", "\0", "\\x00"),
            ("lefevre\u{1}", "lefevre", "***"),
        ] {
            let start = head.rfind(marked).unwrap();
            let (shown, fault) = hidden(head.as_bytes(), start..start + marked.len());
            assert!(!shown.contains("lefevre"), "{shown}");
            assert_eq!(fault, expected, "{shown}");
        }
    }

    #[test]
    fn credentials_are_not_kept() {
        let mut head =
            b"GET / HTTP/1.1\r\nAuthorization: Basic abc\r\nA: b\r\ncookie : x=y\n".to_vec();
        conceal_credentials(&mut head);
        let text = "GET / HTTP/1.1\r\nAuthorization: ***** ***\r\nA: b\r\ncookie : ***\n";
        assert_eq!(String::from_utf8(head).unwrap(), text);
    }

    #[test]
    fn a_window_holds_the_fault_and_is_bounded() {
        for (length, at) in [(10, 3), (5000, 0), (5000, 4999), (5000, 600), (100_000, 50_000)] {
            let window = window(length, Some(&(at..at + 1)));
            assert!(window.contains(&at) && window.len() <= KEPT && window.end <= length);
        }
        assert_eq!(window(5000, None), 0..KEPT);
    }
}
