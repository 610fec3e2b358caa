//! Where in a malformed head the fault is: which bytes an administrator has to look at.
//!
//! The reader ([`super::request`]) says what is wrong and nothing else, since nobody waits for more; this
//! looks at the bytes once more, by the same rules, for the few heads that are kept to be shown.

use std::ops::Range;

use super::field::{Field, FieldFault, content_length, is_token, is_value};
use super::host::Host;
use super::request::{Malformed, TLS_HANDSHAKE};

/// The bytes of `head` that break the rule; an empty range where something is missing. `None` where the
/// head does not break it.
pub(crate) fn fault_position(head: &[u8], why: Malformed) -> Option<Range<usize>> {
    let lines = || lines(head);
    let first = first_line(head);
    match why {
        Malformed::BareLineFeed => {
            let bare = |&at: &usize| head.get(at) == Some(&b'\n') && !head[..at].ends_with(b"\r");
            (0..head.len()).find(bare).map(one)
        }
        Malformed::TlsHandshake => head.iter().position(|&byte| byte == TLS_HANDSHAKE).map(one),
        Malformed::NotHttp1 => match head.first() {
            Some(&byte) if !is_token(byte) => Some(one(0)),
            _ => (first.start..first.end)
                .find(|&at| head.get(at).is_some_and(u8::is_ascii_control))
                .map(one),
        },
        Malformed::NoMethod => {
            let at = method_length(head);
            Some(at..(at + 1).min(first.end.max(at)))
        }
        Malformed::NoVersion => Some(first.end..first.end),
        Malformed::BadTarget => {
            let target = target(head);
            let control = |&at: &usize| head.get(at).is_some_and(u8::is_ascii_control);
            let at = target.clone().find(control);
            Some(at.map_or(target.start..target.start, one))
        }
        Malformed::Fragment => target(head).find(|&at| head.get(at) == Some(&b'#')).map(one),
        Malformed::OtherVersion => Some((target(head).end + 1).min(first.end)..first.end),
        Malformed::TargetForm => Some(target(head)),
        Malformed::BadTargetHost => Some(authority(head)),
        Malformed::Field(fault) => lines().find_map(|line| field_fault(head, line, fault)),
        Malformed::RepeatedHost => named(head, b"host").nth(1).map(|field| whole(&field)),
        Malformed::BadHost => named(head, b"host")
            .find(|field| Host::read(field.value.of(head)).is_none())
            .map(|field| value(&field)),
        Malformed::BadContentLength => named(head, b"content-length")
            .find(|field| content_length(field.value.of(head)).is_none())
            .map(|field| value(&field)),
        Malformed::RepeatedContentLength => {
            named(head, b"content-length").nth(1).map(|field| whole(&field))
        }
        Malformed::TransferEncoding => {
            named(head, b"transfer-encoding").next().map(|field| whole(&field))
        }
        Malformed::NoRequestLine => Some(0..0),
        Malformed::NoHost => {
            let end = lines().last().map_or(first.end, |line| line.end);
            Some(end..end)
        }
        Malformed::OtherHost => named(head, b"host").next().map(|field| value(&field)),
    }
}

fn one(at: usize) -> Range<usize> {
    at..at + 1
}

fn value(field: &Field) -> Range<usize> {
    field.value.start as usize..field.value.end as usize
}

/// From the name to the end of the value.
fn whole(field: &Field) -> Range<usize> {
    field.name.start as usize..field.value.end as usize
}

/// The request line, or as much of it as there is, without its line end.
fn first_line(head: &[u8]) -> Range<usize> {
    let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let end = if head[..end].ends_with(b"\r") { end - 1 } else { end };
    0..end
}

fn method_length(head: &[u8]) -> usize {
    head.iter().take_while(|&&byte| is_token(byte)).count()
}

/// What stands between the first blank and the next, or the line's end.
fn target(head: &[u8]) -> Range<usize> {
    let line = first_line(head);
    let start = (method_length(head) + 1).min(line.end);
    let length = memchr::memchr(b' ', &head[start..line.end]);
    start..length.map_or(line.end, |length| start + length)
}

/// The host of a target that is a URL.
fn authority(head: &[u8]) -> Range<usize> {
    let target = target(head);
    let start = (target.start + b"http://".len()).min(target.end);
    let length = memchr::memchr2(b'/', b'?', &head[start..target.end]);
    start..length.map_or(target.end, |length| start + length)
}

/// The lines behind the request line, without their line ends, up to an empty one.
fn lines(head: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = memchr::memchr(b'\n', head).map(|end| end + 1);
    std::iter::from_fn(move || {
        let from = start?;
        let rest = head.get(from..).filter(|rest| !rest.is_empty())?;
        let found = memchr::memchr(b'\n', rest);
        start = found.map(|end| from + end + 1);
        let end = from + found.unwrap_or(rest.len());
        let end = if head[from..end].ends_with(b"\r") { end - 1 } else { end };
        (end > from).then_some(from..end)
    })
}

/// The fields of this name.
fn named<'h>(head: &'h [u8], name: &'static [u8]) -> impl Iterator<Item = Field> + use<'h> {
    let fields = lines(head).filter_map(move |line| Field::read(head, line.start, line.end).ok());
    fields.filter(move |field| field.name.of(head).eq_ignore_ascii_case(name))
}

/// Where a line breaks this rule of fields, if it does.
fn field_fault(head: &[u8], line: Range<usize>, fault: FieldFault) -> Option<Range<usize>> {
    if Field::read(head, line.start, line.end) != Err(fault) {
        return None;
    }
    let text = head.get(line.clone())?;
    let name = text.iter().take_while(|&&byte| is_token(byte)).count();
    Some(match fault {
        FieldFault::LeadingBlank | FieldFault::NoName => one(line.start),
        FieldFault::NoColon => line.end..line.end,
        FieldFault::ByteInName => one(line.start + name),
        FieldFault::ControlByteInValue => {
            let from = name + 1;
            let at = text.get(from..)?.iter().position(|&byte| !is_value(byte))?;
            one(line.start + from + at)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::request::{HeadError, HeadLimits, RequestReader};

    const LIMITS: HeadLimits = HeadLimits { max_uri: 4096, max_head: 16384, max_fields: 64 };

    /// What the reader says of the head, and the bytes that are shown for it.
    fn shown(head: &str) -> (Malformed, String) {
        let error = RequestReader::default().advance(head.as_bytes(), &LIMITS).unwrap_err();
        let HeadError::Malformed(why) = error else { panic!("{error}") };
        let range = fault_position(head.as_bytes(), why).unwrap_or_else(|| panic!("{why}"));
        let text = format!("{}[{}]", &head[..range.start], &head[range]);
        (why, text.rsplit('\n').next().unwrap().to_owned())
    }

    #[test]
    fn each_fault_of_the_reader_has_its_bytes() {
        use FieldFault::{ByteInName, ControlByteInValue, LeadingBlank, NoColon, NoName};
        for (head, why, text) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", Malformed::BareLineFeed, "GET / HTTP/1.1[\n]"),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", Malformed::BareLineFeed, "Host: a[\n]"),
            ("\u{16}\u{3}\u{1}", Malformed::TlsHandshake, "[\u{16}]"),
            ("GE\u{1}T", Malformed::NotHttp1, "GE[\u{1}]"),
            ("GET\r\n", Malformed::NoMethod, "GET[]"),
            ("G@T / HTTP/1.1\r\n", Malformed::NoMethod, "G[@]"),
            ("GET /\r\n", Malformed::NoVersion, "GET /[]"),
            ("GET  HTTP/1.1\r\n", Malformed::BadTarget, "GET []"),
            ("GET /\u{1}x HTTP/1.1\r\n", Malformed::BadTarget, "GET /[\u{1}]"),
            ("GET /#x HTTP/1.1\r\n", Malformed::Fragment, "GET /[#]"),
            ("GET / HTTP/2.1\r\n", Malformed::OtherVersion, "GET / [HTTP/2.1]"),
            ("GET / x HTTP/1.1\r\n", Malformed::OtherVersion, "GET / [x HTTP/1.1]"),
            ("GET * HTTP/1.1\r\n", Malformed::TargetForm, "GET [*]"),
            ("GET http://a@b/ HTTP/1.1\r\n", Malformed::BadTargetHost, "GET http://[a@b]"),
            ("GET / HTTP/1.1\r\nHost: a\r\n x\r\n", Malformed::Field(LeadingBlank), "[ ]"),
            ("GET / HTTP/1.1\r\nHost\r\n", Malformed::Field(NoColon), "Host[]"),
            ("GET / HTTP/1.1\r\nHost : a\r\n", Malformed::Field(ByteInName), "Host[ ]"),
            ("GET / HTTP/1.1\r\n: a\r\n", Malformed::Field(NoName), "[:]"),
            ("GET / HTTP/1.1\r\nX: a\0b\r\n", Malformed::Field(ControlByteInValue), "X: a[\0]"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHOST: b\r\n", Malformed::RepeatedHost, "[HOST: b]"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n", Malformed::BadHost, "Host: [a b]"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n",
                Malformed::BadContentLength,
                "Content-Length: [1x]",
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
                Malformed::RepeatedContentLength,
                "[Content-Length: 1]",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nB: c\r\n\r\n",
                Malformed::TransferEncoding,
                "[Transfer-Encoding: x]",
            ),
            ("GET / HTTP/1.1\r\nB: c\r\n\r\n", Malformed::NoHost, "B: c[]"),
            ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", Malformed::OtherHost, "Host: [b]"),
        ] {
            let (found, shown) = shown(head);
            let expected = text.rsplit('\n').next().unwrap();
            assert_eq!((found, shown.as_str()), (why, expected), "{head:?}");
        }
    }

    #[test]
    fn a_head_that_does_not_break_the_rule_has_no_such_bytes() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for why in [
            Malformed::BareLineFeed,
            Malformed::Fragment,
            Malformed::RepeatedHost,
            Malformed::BadHost,
            Malformed::TransferEncoding,
        ] {
            assert_eq!(fault_position(head, why), None, "{why}");
        }
        // Whatever is asked of whatever bytes, nothing is out of bounds.
        for head in [&b""[..], b"\n", b"\r\n", b" ", b"GET ", b"GET http:/", b"A\r\n\r\n"] {
            for why in [Malformed::NoMethod, Malformed::BadTargetHost, Malformed::OtherVersion] {
                let range = fault_position(head, why).unwrap_or_default();
                assert!(head.get(range.clone()).is_some(), "{head:?} {why} {range:?}");
            }
        }
    }
}
