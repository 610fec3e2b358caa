//! A line of the corpus.

use serde::Deserialize;

/// What must become of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expect {
    Accept,
    Reject,
    ForwardSafe,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    class: String,
    #[serde(rename = "why")]
    _why: String,
    #[serde(rename = "ref", default)]
    _reference: Option<String>,
    raw_base64: String,
    expect: Expect,
    #[serde(default)]
    upstream: Option<String>,
    #[serde(default)]
    n_upstream: Option<usize>,
    #[serde(default)]
    strip: Vec<String>,
    #[serde(default)]
    hold: bool,
    #[serde(default)]
    reason: Option<String>,
}

/// A request and its label.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) class: String,
    pub(crate) raw: Vec<u8>,
    pub(crate) expect: Expect,
    pub(crate) upstream: Option<String>,
    pub(crate) n_upstream: Option<usize>,
    pub(crate) strip: Vec<String>,
    pub(crate) hold: bool,
    pub(crate) reason: Option<String>,
}

/// Reads the corpus; ids must be unique.
pub(crate) fn read(text: &str) -> Vec<Case> {
    let mut ids = std::collections::BTreeSet::new();
    let read = |line: &str| {
        let line: Line =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(ids.insert(line.id.clone()), "{} stands there twice", line.id);
        let Line { id, class, expect, upstream, n_upstream, strip, hold, reason, .. } = line;
        let raw = decode_base64(&line.raw_base64);
        Case { id, class, raw, expect, upstream, n_upstream, strip, hold, reason }
    };
    text.lines().map(read).collect()
}

/// RFC 4648, section 4, as the corpus is written: padded, on one line.
fn decode_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [None; 256];
    for (value, &letter) in (0..).zip(ALPHABET) {
        values[usize::from(letter)] = Some(value);
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.as_bytes().chunks(4) {
        let letters = group.iter().take_while(|&&letter| letter != b'=').count();
        let value = |at: usize| group.get(at).and_then(|&byte| values[usize::from(byte)]);
        let bits = (0..4).fold(0_u32, |bits, at| {
            let digit: u32 = if at < letters { value(at).unwrap() } else { 0 };
            bits << 6 | digit
        });
        out.extend_from_slice(&bits.to_be_bytes()[1..letters]);
    }
    out
}

#[test]
fn base64_is_read_with_and_without_padding_bytes() {
    assert_eq!(decode_base64(""), b"");
    assert_eq!(decode_base64("Zg=="), b"f");
    assert_eq!(decode_base64("Zm8="), b"fo");
    assert_eq!(decode_base64("Zm9v"), b"foo");
    assert_eq!(decode_base64("/+8A"), b"\xff\xef\x00");
}
