//! `errors`: the last malformed heads.

use super::Commands;
use crate::control::documents::{Errors, HeadRow};
use crate::worker::malformed_heads::MalformedHead;

impl Commands {
    pub(super) fn errors(&self) -> Errors {
        let last = self.server.shared().malformed_heads.last();
        Errors { heads: last.iter().map(|head| row(head)).collect() }
    }
}

fn row(head: &MalformedHead) -> HeadRow {
    let part = |range| escaped(head.bytes.get(range).unwrap_or_default());
    let length = head.bytes.len();
    let (before, fault, after) = match &head.fault {
        Some(fault) => (part(0..fault.start), Some(part(fault.clone())), part(fault.end..length)),
        None => (part(0..length), None, String::new()),
    };
    HeadRow {
        at: head.at,
        address: head.address.to_string(),
        peer: head.peer.as_ref().map(ToString::to_string),
        reason: head.reason.as_str().to_owned(),
        rule: head.rule.clone(),
        length: head.length,
        skipped: head.skipped,
        before,
        fault,
        after,
        hidden: head.hidden,
    }
}

/// Bytes as printable ASCII.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\r' => out.push_str("\\r"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_told_from_every_other() {
        let all: Vec<String> = (0..=u8::MAX).map(|byte| escaped(&[byte])).collect();
        assert!(all.iter().all(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~'))));
        let mut sorted = all;
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 256);
        assert_eq!(escaped(b"a\r\n\t\\\"\0\xff"), "a\\r\\n\\t\\\\\"\\x00\\xff");
    }
}
