//! What values a variable can have: what a reader of lines may take for one.
//!
//! A writer needs none of this. Who reads a line back must know where a value ends, and whether what stands there
//! can be one at all: `Nov 24 09:00:00 pbx` is no `$remote_addr`.

use std::net::Ipv6Addr;

use crate::access_log::format::Escape;

/// The values that a variable can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An IP address, a host's name (who resolves addresses writes those), `unix:`, or `-`.
    Address,
    /// Three digits: nginx writes 000 and 009 too.
    Status,
    /// `23/Nov/2026:03:33:50 +0000`.
    TimeLocal,
    /// `2026-11-23T03:33:50+00:00`.
    TimeIso8601,
    /// `1795404830.123`.
    Msec,
    /// A whole number.
    Number(Presence),
    /// Seconds or a ratio: a number that may have decimals.
    Decimal(Presence),
    /// A method of HTTP.
    Method,
    /// A word of nginx's or the gateway's own: a scheme, a reason, a cipher.
    Word,
    /// Anything without a blank.
    Token,
    /// What each try of the upstream says, between `, ` and ` : `.
    Tries(Each),
    /// Any text, which is escaped.
    Text,
}

/// Whether a variable may have no value, which is written as `-` or as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Always,
    Maybe,
}

/// What one try says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    Address,
    Status,
    Number,
    Decimal,
}

impl Kind {
    /// The kind of the variable of this name, which may be one that only nginx has.
    pub(crate) fn of(name: &str) -> Self {
        KINDS.iter().find(|(names, _)| names.contains(&name)).map_or(Self::Text, |(_, kind)| *kind)
    }

    /// What was expected where a value is not of this kind: for people.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Address => "an address",
            Self::Status => "three digits",
            Self::TimeLocal | Self::TimeIso8601 | Self::Msec => "a time",
            Self::Number(_) => "a whole number",
            Self::Decimal(_) => "a number",
            Self::Method => "a method",
            Self::Word | Self::Token => "a word",
            Self::Tries(_) => "what each try of XiVO said",
            Self::Text => "any text",
        }
    }

    /// Whether a value can hold this byte. Of quotes only those count that no backslash stands before.
    pub(crate) fn can_hold(self, byte: u8, escape: Escape) -> bool {
        match self {
            Self::Address => is_of_address(byte),
            Self::Status => byte.is_ascii_digit(),
            Self::TimeLocal => byte.is_ascii_alphanumeric() || b"/: +-".contains(&byte),
            Self::TimeIso8601 => is_of_iso8601(byte),
            Self::Msec => is_of_decimal(byte),
            Self::Number(presence) => byte.is_ascii_digit() || presence.can_hold(byte),
            Self::Decimal(presence) => is_of_decimal(byte) || presence.can_hold(byte),
            Self::Method => is_of_method(byte),
            Self::Word => is_of_word(byte),
            Self::Token => byte > b' ' && byte != 0x7f && escape.can_write(byte),
            Self::Tries(each) => each.can_hold(byte) || b", :".contains(&byte),
            Self::Text => escape.can_write(byte),
        }
    }

    /// A value as most are.
    pub(crate) fn sample(self) -> &'static str {
        match self {
            Self::Address => "192.0.2.7",
            Self::Status | Self::Tries(Each::Status) => "200",
            Self::TimeLocal => "23/Nov/2026:03:33:50 +0000",
            Self::TimeIso8601 => "2026-11-23T03:33:50+00:00",
            Self::Msec => "1795404830.123",
            Self::Number(_) | Self::Tries(Each::Number) => "12",
            Self::Decimal(_) | Self::Tries(Each::Decimal) => "0.012",
            Self::Method => "GET",
            Self::Word | Self::Token | Self::Text => "x-y",
            Self::Tries(Each::Address) => "192.0.2.9:80",
        }
    }

    /// How long every value is, if all are equally long.
    pub(crate) fn width(self) -> Option<usize> {
        match self {
            Self::Status => Some(3),
            Self::TimeLocal => Some(TIME_LOCAL.len()),
            Self::Address
            | Self::TimeIso8601
            | Self::Msec
            | Self::Number(_)
            | Self::Decimal(_)
            | Self::Method
            | Self::Word
            | Self::Token
            | Self::Tries(_)
            | Self::Text => None,
        }
    }

    /// Whether `value` can be one.
    #[inline]
    pub(crate) fn is(self, value: &[u8], escape: Escape) -> bool {
        match self {
            Self::Address => is_address(value) || value.is_empty() && escape != Escape::Default,
            Self::Status => value.len() == 3 && value.iter().all(u8::is_ascii_digit),
            Self::TimeLocal => is_shaped(value, TIME_LOCAL),
            Self::TimeIso8601 => value.iter().all(|&byte| is_of_iso8601(byte)) && !value.is_empty(),
            Self::Msec => is_decimal(value),
            Self::Number(presence) => is_number(value) || presence.allows(value),
            Self::Decimal(presence) => is_decimal(value) || presence.allows(value),
            Self::Method => value.iter().all(|&byte| is_of_method(byte)),
            Self::Word => value.iter().all(|&byte| is_of_word(byte)),
            Self::Token => {
                value.iter().all(|&byte| byte > b' ' && byte != 0x7f) && escape.is_text(value)
            }
            Self::Tries(each) => each.end(value) == value.len(),
            Self::Text => escape.is_text(value),
        }
    }
}

impl Presence {
    fn can_hold(self, byte: u8) -> bool {
        self == Self::Maybe && byte == b'-'
    }

    /// Apache writes `-` for an empty body, where nginx writes 0: it is taken in either case.
    fn allows(self, value: &[u8]) -> bool {
        value == b"-" || self == Self::Maybe && value.is_empty()
    }
}

impl Each {
    /// Whether what one try says can hold this byte.
    pub(crate) fn can_hold(self, byte: u8) -> bool {
        match self {
            Self::Address => is_of_word(byte) || b"[]~".contains(&byte),
            Self::Status | Self::Number => byte.is_ascii_digit() || byte == b'-',
            Self::Decimal => is_of_decimal(byte) || byte == b'-',
        }
    }

    fn is(self, value: &[u8]) -> bool {
        match self {
            _ if value == b"-" => true,
            Self::Address => !value.is_empty(),
            Self::Status => value.len() == 3 && is_number(value),
            Self::Number => is_number(value),
            Self::Decimal => is_decimal(value),
        }
    }

    /// Where the list at the beginning of `rest` ends; 0 where none begins.
    pub(crate) fn end(self, rest: &[u8]) -> usize {
        let mut end = 0;
        loop {
            let from = end + if end == 0 { 0 } else { joint(&rest[end..]) };
            let length = rest[from..].iter().take_while(|&&byte| self.can_hold(byte)).count();
            if !self.is(&rest[from..from + length]) {
                return end;
            }
            end = from + length;
            if joint(&rest[end..]) == 0 {
                return end;
            }
        }
    }
}

/// The length of what stands between two tries at the beginning of `rest`; 0 where nothing does.
fn joint(rest: &[u8]) -> usize {
    match rest {
        [b',', b' ', ..] => 2,
        [b' ', b':', b' ', ..] => 3,
        _ => 0,
    }
}

impl Escape {
    /// Whether a text that is written so can hold this byte; of quotes those that no backslash stands before.
    pub(crate) fn can_write(self, byte: u8) -> bool {
        match self {
            Self::Default => matches!(byte, b' '..=b'~') && byte != b'"',
            Self::Json => byte >= b' ' && byte != b'"',
            Self::None => byte != b'\n',
        }
    }

    /// Whether a text can be written as this: no quote stands in it but behind a backslash.
    fn is_text(self, value: &[u8]) -> bool {
        self == Self::None || quote(value).is_none()
    }
}

/// Where the first quote is that no backslash escapes.
#[inline]
pub(crate) fn quote(text: &[u8]) -> Option<usize> {
    let at = memchr::memchr(b'"', text)?;
    if at > 0 && text[at - 1] == b'\\' { unescaped_quote(text, at) } else { Some(at) }
}

#[cold]
fn unescaped_quote(text: &[u8], first: usize) -> Option<usize> {
    let mut quotes = memchr::memchr_iter(b'"', &text[first..]).map(|at| first + at);
    quotes.find(|&at| text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 0)
}

#[inline]
fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'_')
}

fn is_of_iso8601(byte: u8) -> bool {
    byte.is_ascii_digit() || b"-T:+Z".contains(&byte)
}

#[inline]
fn is_of_decimal(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

#[inline]
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/')
}

/// A `tchar` of RFC 9110.
fn is_of_method(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Digits, so few that figures can be multiplied and added up.
#[inline]
fn is_number(value: &[u8]) -> bool {
    !value.is_empty() && value.len() <= MOST_DIGITS && value.iter().all(u8::is_ascii_digit)
}

fn is_decimal(value: &[u8]) -> bool {
    let point = value.iter().position(|&byte| byte == b'.');
    let (whole, decimals) = value.split_at(point.unwrap_or(value.len()));
    is_number(whole) && (decimals.is_empty() || is_number(&decimals[1..]))
}

/// Whether each byte is of the sort that this shape has there: digits for digits, letters for letters.
fn is_shaped(value: &[u8], shape: &[u8]) -> bool {
    value.len() == shape.len()
        && value.iter().zip(shape).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            b'+' => matches!(byte, b'+' | b'-'),
            _ => byte == shape,
        })
}

/// The length of the address at the beginning of `rest`, if the next byte cannot continue an address.
#[inline]
pub(crate) fn address_length(rest: &[u8]) -> Option<usize> {
    ipv4_length(rest).or_else(|| other_address_length(rest))
}

#[cold]
fn other_address_length(rest: &[u8]) -> Option<usize> {
    let length = rest.iter().position(|&byte| !is_of_address(byte)).unwrap_or(rest.len());
    let value = &rest[..length];
    let found = if value.contains(&b':') {
        value == b"unix:" || is_ipv6(value)
    } else {
        value == b"-" || is_host_name(value)
    };
    found.then_some(length)
}

/// Whether this is an IP address, a host's name, `unix:` or `-`.
pub(crate) fn is_address(value: &[u8]) -> bool {
    address_length(value) == Some(value.len())
}

/// Whether an address is not a host's name.
pub(crate) fn is_no_name(value: &[u8]) -> bool {
    ipv4_length(value) == Some(value.len()) || value.contains(&b':') || matches!(value, b"-" | b"")
}

/// The length of the IPv4 address at the beginning of `rest`, if the next byte cannot continue an address.
#[inline]
pub(crate) fn ipv4_length(rest: &[u8]) -> Option<usize> {
    let (mut dots, mut digits, mut number) = (0, 0, 0_u32);
    let mut length = 0;
    for &byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            number = number.wrapping_mul(10).wrapping_add(digit.into());
            digits += 1;
        } else if byte == b'.' && is_part(digits, number) {
            (dots, digits, number) = (dots + 1, 0, 0);
        } else if is_of_address(byte) {
            return None;
        } else {
            break;
        }
        length += 1;
    }
    (dots == 3 && is_part(digits, number)).then_some(length)
}

#[inline]
fn is_part(digits: u32, number: u32) -> bool {
    (1..=3).contains(&digits) && number < 256
}

fn is_ipv6(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Labels of letters, digits, `-` and `_`, with one final dot perhaps. The last label is not numeric: that would be a
/// malformed address.
pub(crate) fn is_host_name(value: &[u8]) -> bool {
    let value = value.strip_suffix(b".").unwrap_or(value);
    let is_label = |label: &[u8]| {
        !label.is_empty()
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
    };
    let mut labels = value.split(|&byte| byte == b'.');
    let last_is_number =
        labels.clone().next_back().is_some_and(|it| it.iter().all(u8::is_ascii_digit));
    labels.all(is_label) && !last_is_number && value.len() <= 253
}

/// More digits than any figure of a log has.
pub(crate) const MOST_DIGITS: usize = 15;

const TIME_LOCAL: &[u8] = b"00/aaa/0000:00:00:00 +0000";

const KINDS: &[(&[&str], Kind)] = &[
    (
        &["remote_addr", "realip_remote_addr", "proxy_protocol_addr", "proxy_protocol_server_addr"],
        Kind::Address,
    ),
    (&["status"], Kind::Status),
    (&["time_local"], Kind::TimeLocal),
    (&["time_iso8601"], Kind::TimeIso8601),
    (&["msec"], Kind::Msec),
    (
        &[
            "body_bytes_sent",
            "bytes_sent",
            "request_length",
            "connection",
            "connection_requests",
            "pid",
        ],
        Kind::Number(Presence::Always),
    ),
    (
        &[
            "remote_port",
            "realip_remote_port",
            "proxy_protocol_port",
            "proxy_protocol_server_port",
            "server_port",
            "proxy_port",
            "content_length",
            "limit_rate",
            "connections_active",
            "connections_reading",
            "connections_writing",
            "connections_waiting",
            "tcpinfo_rtt",
            "tcpinfo_rttvar",
            "tcpinfo_snd_cwnd",
            "tcpinfo_rcv_space",
        ],
        Kind::Number(Presence::Maybe),
    ),
    (&["request_time", "connection_time"], Kind::Decimal(Presence::Always)),
    (&["gzip_ratio"], Kind::Decimal(Presence::Maybe)),
    (&["request_method"], Kind::Method),
    (
        &[
            "action",
            "client_source",
            "hostname",
            "http2",
            "http3",
            "https",
            "limit",
            "limit_conn_status",
            "limit_req_status",
            "nginx_version",
            "peer",
            "pipe",
            "policy_revision",
            "reason",
            "request_completion",
            "request_id",
            "scheme",
            "server_addr",
            "server_protocol",
            "ssl_cipher",
            "ssl_client_fingerprint",
            "ssl_client_serial",
            "ssl_protocol",
            "ssl_session_id",
            "ssl_session_reused",
            "upstream_cache_status",
        ],
        Kind::Word,
    ),
    // What a client sends as its host nginx takes as long as it has no blank.
    (&["host", "is_args", "proxy_host"], Kind::Token),
    (&["upstream_addr"], Kind::Tries(Each::Address)),
    (&["upstream_status"], Kind::Tries(Each::Status)),
    (
        &[
            "upstream_connect_time",
            "upstream_first_byte_time",
            "upstream_header_time",
            "upstream_queue_time",
            "upstream_response_time",
            "upstream_session_time",
        ],
        Kind::Tries(Each::Decimal),
    ),
    (
        &["upstream_response_length", "upstream_bytes_received", "upstream_bytes_sent"],
        Kind::Tries(Each::Number),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::format::names;

    fn is(kind: Kind, value: &str) -> bool {
        kind.is(value.as_bytes(), Escape::Default)
    }

    #[test]
    fn an_address_is_one_of_ip_or_a_host_s_name_or_unix_or_none() {
        for value in [
            "192.0.2.7",
            "255.255.255.255",
            "0.0.0.0",
            "::1",
            "2001:db8::7",
            "::ffff:192.0.2.7",
            "-",
            "unix:",
            "pbx",
            "pbx-paris.example.org",
            "a_b.example.",
            "192.0.2.7.example",
            "3com.example",
        ] {
            assert!(is(Kind::Address, value), "{value}");
        }
        for value in [
            "",
            "192.0.2.256",
            "192.0.2",
            "1",
            "0.002",
            "192.0.2.7 ",
            "192.0.2.7.",
            "24",
            "09:00:00",
            "gw:",
            "a b",
            "2001:db8:::7",
            "2026-11-24T09:00:00Z",
            "a..b",
            "-a",
            "a-",
            "<190>",
            "[::1]",
            "\"",
            "192.0.2.7,",
        ] {
            assert!(!is(Kind::Address, value), "{value}");
        }
    }

    #[test]
    fn numbers_statuses_and_times_are_those() {
        for (kind, good, bad) in [
            (
                Kind::Status,
                &["200", "000", "009", "999"][..],
                &["", "-", "20", "2000", "2x0", " 20"][..],
            ),
            (
                Kind::Number(Presence::Always),
                &["0", "123456789012345", "-"],
                &["", "1.5", "-1", "1234567890123456", "1 "],
            ),
            (Kind::Number(Presence::Maybe), &["", "-", "80"], &["x", "8-0"]),
            (
                Kind::Decimal(Presence::Always),
                &["0.001", "12", "1.25", "-"],
                &["", ".5", "1.", "1.2.3", "-1", "1,5"],
            ),
            (Kind::Msec, &["1795404830.123", "1795404830"], &["", "-", "1795404830.", "x"]),
            (Kind::Method, &["GET", "M-SEARCH", "-", ""], &["G T", "\\x16", "\"", "GET/"]),
            (Kind::Token, &["", "-", "a|b", "\\x16"], &["a b", " ", "a\u{7f}"]),
            (
                Kind::Word,
                &["", "-", "TLSv1.3", "HTTP/1.1", "rate-limited"],
                &["a b", "a|b", "\\x16"],
            ),
            (
                Kind::TimeLocal,
                &["23/Nov/2026:03:33:50 +0000", "23/Nov/2026:03:33:50 -0530"],
                &[
                    "",
                    "-",
                    "23/Nov/2026:03:33:50 0000x",
                    "3/Nov/2026:03:33:50 +00000",
                    "23/No1/2026:03:33:50 +0000",
                ],
            ),
            (
                Kind::Tries(Each::Decimal),
                &["-", "0.001", "0.001, 0.002", "0.001, - : 0.002", ""],
                &["0.001,0.002", "0.001, ", "x", "0.001 0.002", "0.001 : x"],
            ),
            (
                Kind::Tries(Each::Address),
                &["127.0.0.1:80, [::1]:80 : unix:/run/x"],
                &["a b", "a,b"],
            ),
        ] {
            for value in good {
                assert!(is(kind, value), "{kind:?}: {value}");
            }
            for value in bad {
                assert!(!is(kind, value), "{kind:?}: {value}");
            }
        }
    }

    #[test]
    fn what_a_value_can_hold_is_what_its_values_hold() {
        let values = [
            (Kind::Address, "2001:db8::7 pbx-paris.example_1 unix: -"),
            (Kind::TimeLocal, "23/Nov/2026:03:33:50 +0000"),
            (Kind::TimeIso8601, "2026-11-23T03:33:50+00:00Z-"),
            (Kind::Number(Presence::Maybe), "0123456789 -"),
            (Kind::Tries(Each::Decimal), "0.001, 0.002 : -"),
            (Kind::Tries(Each::Address), "127.0.0.1:80, unix:/run/x_y : [::1]:80"),
        ];
        for (kind, text) in values {
            let of_blanks = kind.can_hold(b' ', Escape::Default);
            for byte in text.bytes().filter(|byte| *byte != b' ' || of_blanks) {
                assert!(kind.can_hold(byte, Escape::Default), "{kind:?}: {}", char::from(byte));
            }
            assert!(!kind.can_hold(b'"', Escape::Default) && !kind.can_hold(b'|', Escape::Default));
        }
    }

    #[test]
    fn no_variable_has_two_kinds_and_what_the_gateway_counts_has_one() {
        for (at, (names, _)) in KINDS.iter().enumerate() {
            for name in *names {
                let others = KINDS[at + 1..].iter().any(|(others, _)| others.contains(name));
                assert!(!others, "{name}");
            }
        }
        for name in names().filter(|name| name.ends_with("_time") || name.ends_with("_status")) {
            assert_ne!(Kind::of(name), Kind::Text, "{name}");
        }
        assert_eq!(Kind::of("http_x_forwarded_for"), Kind::Text);
        assert_eq!(Kind::of("remote_user"), Kind::Text);
    }
}
