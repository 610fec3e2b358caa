//! nginx's three ways to write a value: `escape=default`, `json` and `none`.

use crate::access_log::format::escape::write_escaped;
use crate::text::{UPPER_HEX, hex};

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// `\xXX` for what could end a quoted field or a line.
    #[default]
    Default,
    /// As the inside of a JSON string. What is no UTF-8 stays as it came, as with nginx.
    Json,
    /// As it is: a client can then write lines of its own into the log.
    None,
}

impl Escape {
    /// All of them, by nginx's words.
    pub const WORDS: [(&str, Self); 3] =
        [("default", Self::Default), ("json", Self::Json), ("none", Self::None)];

    /// Appends `value`, cut where its written form is longer than `max_field` bytes; 0 cuts nothing.
    pub fn write(self, out: &mut Vec<u8>, value: &[u8], max_field: usize) {
        match self {
            Self::Default => write_escaped(out, value, max_field),
            Self::Json => write_json(out, value, room(max_field)),
            Self::None => out.extend_from_slice(&value[..cut(value, room(max_field))]),
        }
    }
}

fn room(max_field: usize) -> usize {
    if max_field == 0 { usize::MAX } else { max_field }
}

/// The form of `ngx_escape_json`.
fn write_json(out: &mut Vec<u8>, value: &[u8], mut room: usize) {
    let mut rest = value;
    loop {
        let plain = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
        let (run, tail) = rest.split_at(plain.unwrap_or(rest.len()));
        let end = cut(run, room);
        out.extend_from_slice(&run[..end]);
        if end < run.len() {
            return;
        }
        room -= end;
        let Some((&byte, tail)) = tail.split_first() else { return };
        let mut long = *b"\\u0000";
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            _ => {
                let [.., high, low] = &mut long;
                [*high, *low] = hex(byte, UPPER_HEX);
                &long
            }
        };
        if escape.len() > room {
            return;
        }
        out.extend_from_slice(escape);
        room -= escape.len();
        rest = tail;
    }
}

/// Where `text` is cut to have `room` bytes at the most, and no character of UTF-8 is cut in two.
fn cut(text: &[u8], room: usize) -> usize {
    if text.len() <= room {
        return text.len();
    }
    let inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    // A character has four bytes at the most; what goes on longer is none.
    (room.saturating_sub(3)..=room).rev().find(|&at| !inside(at)).unwrap_or(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(escape: Escape, value: &[u8], max_field: usize) -> String {
        let mut out = Vec::new();
        escape.write(&mut out, value, max_field);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_escaped_as_nginx_escapes_it() {
        let value = "a\"b\\c\n\r\t\u{8}\u{c}\u{1f}\u{7f}é".as_bytes();
        assert_eq!(written(Escape::Json, value, 0), "a\\\"b\\\\c\\n\\r\\t\\b\\f\\u001F\u{7f}é");
        assert_eq!(written(Escape::Json, b"", 0), "");
    }

    #[test]
    fn no_escape_and_no_character_is_cut_in_two() {
        for (limit, cut) in (1..).zip(["a", "a", "aé", "aé", "aé\\n", "aé\\nb"]) {
            assert_eq!(written(Escape::Json, "aé\nb".as_bytes(), limit), cut, "{limit}");
        }
        assert_eq!(written(Escape::None, "aéb".as_bytes(), 2), "a");
        assert_eq!(written(Escape::None, "a\"\nb".as_bytes(), 0), "a\"\nb");
        assert_eq!(written(Escape::Json, b"\x01", 5), "");
    }
}
