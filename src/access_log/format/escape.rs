//! nginx's `escape=default`: how a client's bytes come into a log line without harm.
//!
//! `"`, `\`, every byte below 0x20 and every byte from 0x7f on become `\xXX` with upper-case hex
//! digits (`ngx_http_log_escape`), so a value can neither end its quotes nor start a line.

use crate::text::{UPPER_HEX, hex};

/// Appends `value` to `out`, escaped. Where the escaped form is longer than `max_field` bytes it is
/// cut there, or up to three bytes earlier so that no `\xXX` is cut in two. 0 means never.
pub(crate) fn write_escaped(out: &mut Vec<u8>, value: &[u8], max_field: usize) {
    let mut room = if max_field == 0 { usize::MAX } else { max_field };
    let mut rest = value;
    loop {
        let plain = rest.iter().position(|&byte| ESCAPED[usize::from(byte)]);
        let (run, tail) = rest.split_at(plain.unwrap_or(rest.len()));
        out.extend_from_slice(&run[..run.len().min(room)]);
        room = room.saturating_sub(run.len());
        let Some((&byte, tail)) = tail.split_first() else { return };
        if room < ESCAPE_LENGTH {
            return;
        }
        let [high, low] = hex(byte, UPPER_HEX);
        out.extend_from_slice(&[b'\\', b'x', high, low]);
        room -= ESCAPE_LENGTH;
        rest = tail;
    }
}

const fn escaped_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] =
            byte < 0x20 || byte >= 0x7f || byte == b'"' as usize || byte == b'\\' as usize;
        byte += 1;
    }
    table
}

static ESCAPED: [bool; 256] = escaped_bytes();
const ESCAPE_LENGTH: usize = r"\xXX".len();

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(value: &[u8], max_field: usize) -> String {
        let mut out = Vec::new();
        write_escaped(&mut out, value, max_field);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_byte_is_written_as_nginx_writes_it() {
        for byte in 0..=255_u8 {
            let plain = matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            let expected =
                if plain { char::from(byte).to_string() } else { format!("\\x{byte:02X}") };
            assert_eq!(escaped(&[b'a', byte, b'b'], 0), format!("a{expected}b"));
        }
    }

    #[test]
    fn a_value_of_escapes_only_and_an_empty_one_are_whole() {
        assert_eq!(escaped(b"\"\"\"", 0), r"\x22\x22\x22");
        assert_eq!(escaped(b"", 0), "");
        assert_eq!(escaped(b"", 5), "");
    }

    #[test]
    fn a_plain_value_is_cut_at_the_limit_and_not_before() {
        assert_eq!(escaped(b"abcdef", 6), "abcdef");
        assert_eq!(escaped(b"abcdef", 5), "abcde");
        assert_eq!(escaped(b"abcdef", 1), "a");
    }

    #[test]
    fn the_limit_counts_escaped_bytes_and_cuts_no_escape_in_two() {
        let value = "ab\u{e9}cd".as_bytes();
        let cuts = ["a", "ab", "ab", "ab", "ab", r"ab\xC3", r"ab\xC3", r"ab\xC3", r"ab\xC3"];
        for (limit, cut) in (1..).zip(cuts) {
            assert_eq!(escaped(value, limit), cut, "limit {limit}");
        }
        assert_eq!(escaped(value, 10), r"ab\xC3\xA9");
        assert_eq!(escaped(value, 11), r"ab\xC3\xA9c");
        assert_eq!(escaped(value, 12), r"ab\xC3\xA9cd");
    }

    #[test]
    fn nothing_follows_an_escape_that_did_not_fit() {
        assert_eq!(escaped(b"abc\"d", 6), "abc");
    }
}
