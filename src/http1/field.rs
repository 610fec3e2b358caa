//! A header field: its name, its value, and how both are told from what only looks like one.

use thiserror::Error;

use super::Span;

/// A field of a head, by offsets into the buffer that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// Why a line is no header field (RFC 9112, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldFault {
    /// It would continue the field before it, as HTTP once allowed.
    #[error("a header field line begins with a blank")]
    LeadingBlank,
    /// It is a token alone.
    #[error("a header field line has no colon")]
    NoColon,
    /// Something else than a colon ends the token.
    #[error("a header field name holds a byte that no name may hold")]
    ByteInName,
    /// It begins with the colon.
    #[error("a header field has no name")]
    NoName,
    /// A control byte other than a tab.
    #[error("a header field value holds a control byte")]
    ControlByteInValue,
}

impl Field {
    /// Reads the line `buffer[start..end]` (without its CRLF) as a field (RFC 9112, section 5):
    /// a token, a colon at once, and a value without control bytes, its surrounding blanks left out.
    ///
    /// # Errors
    /// [`FieldFault`]
    pub(super) fn read(buffer: &[u8], start: usize, end: usize) -> Result<Self, FieldFault> {
        let line = buffer.get(start..end).unwrap_or_default();
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(FieldFault::LeadingBlank);
        }
        let Some(colon) = line.iter().position(|&b| !is_token(b)) else {
            return Err(FieldFault::NoColon);
        };
        let (name, rest) = line.split_at(colon);
        let Some((b':', value)) = rest.split_first() else {
            return Err(FieldFault::ByteInName);
        };
        if name.is_empty() {
            return Err(FieldFault::NoName);
        }
        if !value.iter().all(|&b| is_value(b)) {
            return Err(FieldFault::ControlByteInValue);
        }
        let leading = value.iter().take_while(|&&b| is_blank(b)).count();
        let value_start = start + colon + 1 + leading;
        let value_end = value_start + trim(value).len();
        Ok(Self { name: Span::new(start, start + colon), value: Span::new(value_start, value_end) })
    }

    /// The value without the spaces around it, and with its tabs: what nginx takes for the value. The
    /// line is the one that the field was read from, up to `end`.
    pub(super) fn without_spaces(&self, buffer: &[u8], end: usize) -> Span {
        let start = self.name.end as usize + 1;
        let text = buffer.get(start..end).unwrap_or_default();
        let leading = text.iter().take_while(|&&b| b == b' ').count();
        let trailing = text.iter().rev().take_while(|&&b| b == b' ').count();
        Span::new(start + leading, (end - trailing).max(start + leading))
    }
}

/// Keeps the value of a field that may stand in a head once; the second one is `repeated`.
pub(super) fn once<T, E>(slot: &mut Option<T>, value: T, repeated: E) -> Result<(), E> {
    if slot.is_some() {
        return Err(repeated);
    }
    *slot = Some(value);
    Ok(())
}

/// A `Content-Length` value: digits and nothing else (RFC 9110, section 8.6). A number beyond
/// `u64` is still a number, and is read as the largest one.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        value.iter().fold(0_u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        }),
    )
}

/// `value` without the blanks (space, tab) around it: RFC 9110's OWS.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|&b| !is_blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|&b| !is_blank(b)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// Whether `byte` may stand in a token: a method or a field name (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).is_some_and(|&yes| yes)
}

/// Whether `byte` may stand in a field value: visible ASCII, space, tab, and the bytes from 0x80 on
/// (obs-text), which old telephones send in their User-Agent.
pub(super) fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[u8]) -> Result<(&[u8], &[u8]), FieldFault> {
        let field = Field::read(line, 0, line.len())?;
        Ok((field.name.of(line), field.value.of(line)))
    }

    #[test]
    fn blanks_around_a_value_are_not_part_of_it() {
        assert_eq!(read(b"Host: a"), Ok((&b"Host"[..], &b"a"[..])));
        assert_eq!(read(b"host:a"), Ok((&b"host"[..], &b"a"[..])));
        assert_eq!(read(b"X:\t a b \t"), Ok((&b"X"[..], &b"a b"[..])));
        assert_eq!(read(b"X:"), Ok((&b"X"[..], &b""[..])));
        assert_eq!(read(b"X:  \t"), Ok((&b"X"[..], &b""[..])));
        assert_eq!(read(b"X:\xff"), Ok((&b"X"[..], &b"\xff"[..])));
    }

    #[test]
    fn what_only_looks_like_a_field_is_refused() {
        for line in [
            &b""[..],
            b"X",
            b": x",
            b" X: y",
            b"\tX: y",
            b"X : y",
            b"X\t: y",
            b"X Y: z",
            b"X\0: y",
            b"X\r: y",
            b"H\xc3\xa9: y",
            b"(X): y",
            b"X: a\x00b",
            b"X: a\rb",
            b"X: \x0ba",
            b"X: a\x7fb",
            b"X: \x1b[2J",
        ] {
            assert!(read(line).is_err(), "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn the_log_has_a_value_without_its_spaces_and_with_its_tabs() {
        for (line, value) in [
            ("X:  \ta b\t  ", "\ta b\t"),
            ("X:a", "a"),
            ("X: \u{e9} ", "\u{e9}"),
            ("X:\t", "\t"),
            ("X:", ""),
        ] {
            let field = Field::read(line.as_bytes(), 0, line.len()).unwrap();
            let found = field.without_spaces(line.as_bytes(), line.len());
            assert_eq!(found.of(line.as_bytes()), value.as_bytes(), "{line:?}");
        }
        // A value of spaces alone is empty, and stands behind them.
        let buffer = b"A: b\r\nX:   \r\n";
        let field = Field::read(buffer, 6, 11).unwrap();
        assert_eq!(field.without_spaces(buffer, 11), Span::new(11, 11));
        assert_eq!(field.value, Span::new(11, 11));
    }

    #[test]
    fn a_value_that_may_stand_once_is_kept_as_it_was() {
        let mut slot = None;
        assert_eq!(once(&mut slot, 1, "twice"), Ok(()));
        assert_eq!(once(&mut slot, 2, "twice"), Err("twice"));
        assert_eq!(slot, Some(1));
    }

    #[test]
    fn a_content_length_is_digits_only() {
        assert_eq!(content_length(b"0"), Some(0));
        assert_eq!(content_length(b"0012"), Some(12));
        assert_eq!(content_length(b"99999999999999999999999999"), Some(u64::MAX));
        for value in
            [&b""[..], b"+5", b"-5", b"5 ", b"5, 5", b"5;x", b"0x5", b"five", b"\xef\xbc\x95"]
        {
            assert_eq!(content_length(value), None, "{:?}", value.escape_ascii().to_string());
        }
    }
}
