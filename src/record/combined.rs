//! nginx's predefined `combined` log format, byte for byte.
//!
//! `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer"
//! "$http_user_agent"`. Seen on nginx 1.22 and held by the tests: what is absent is `-`, but a field
//! that came empty is empty (`Referer:` gives `""`), and so is the request line of a client that sent
//! nothing but line ends; an empty user is `-`; the status has three digits at least; an IPv6 address
//! has no brackets and may end in dotted decimals where nginx's own spelling does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::clock::{LocalClock, UnixSeconds};
use super::escape::write_escaped;

/// What one line says about one request.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The client's address, found once for policy, limits and log.
    pub remote_addr: IpAddr,
    /// The peer's name. `None`, and an empty one, are `-`.
    pub remote_user: Option<&'a str>,
    /// When the line is written.
    pub time: UnixSeconds,
    /// The request line as it was sent, without its line end; as much of it as came. Empty where only
    /// line ends came; `None`, where there is no request line to speak of, is `-`.
    pub request: Option<&'a [u8]>,
    /// The status that was answered, or 499.
    pub status: u16,
    /// How much of the answer's body was sent.
    pub body_bytes_sent: u64,
    /// The `Referer` field's value; where it came more than once, the first.
    pub referer: Option<&'a [u8]>,
    /// The `User-Agent` field's value; where it came more than once, the first.
    pub user_agent: Option<&'a [u8]>,
}

/// Appends `entry`'s line and its line end to `out`. A logged value that is longer than `max_field`
/// bytes when escaped is cut, between escapes; 0 cuts nothing, as nginx.
pub fn write_combined(
    out: &mut Vec<u8>,
    entry: &Entry<'_>,
    clock: &mut LocalClock,
    max_field: usize,
) {
    write_address(out, entry.remote_addr);
    out.extend_from_slice(b" - ");
    let user = entry.remote_user.filter(|user| !user.is_empty());
    write_value(out, user.map(str::as_bytes), max_field);
    out.extend_from_slice(b" [");
    out.extend_from_slice(clock.time_local(entry.time));
    out.extend_from_slice(b"] \"");
    write_value(out, entry.request, max_field);
    out.extend_from_slice(b"\" ");
    write_number(out, entry.status.into(), 3);
    out.push(b' ');
    write_number(out, entry.body_bytes_sent, 1);
    out.extend_from_slice(b" \"");
    write_value(out, entry.referer, max_field);
    out.extend_from_slice(b"\" \"");
    write_value(out, entry.user_agent, max_field);
    out.extend_from_slice(b"\"\n");
}

fn write_value(out: &mut Vec<u8>, value: Option<&[u8]>, max_field: usize) {
    match value {
        Some(value) => write_escaped(out, value, max_field),
        None => out.push(b'-'),
    }
}

/// `address` as nginx's `$remote_addr` has it.
pub fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => write_ipv4(out, address),
        IpAddr::V6(address) => write_ipv6(out, address),
    }
}

fn write_ipv4(out: &mut Vec<u8>, address: Ipv4Addr) {
    let [a, b, c, d] = address.octets();
    write_number(out, a.into(), 1);
    for octet in [b, c, d] {
        out.push(b'.');
        write_number(out, octet.into(), 1);
    }
}

/// Differs from the standard library's in the addresses that nginx ends in dotted decimals.
fn write_ipv6(out: &mut Vec<u8>, address: Ipv6Addr) {
    let segments = address.segments();
    let zeros = longest_zero_run(&segments);
    let dotted = ends_dotted(address, &zeros);
    let mut at = 0;
    while at < if dotted { 6 } else { 8 } {
        if at == zeros.start && !zeros.is_empty() {
            out.extend_from_slice(if at == 0 { b"::" } else { b":" });
            at = zeros.end;
            continue;
        }
        write_hex(out, segments[at]);
        if at < 7 {
            out.push(b':');
        }
        at += 1;
    }
    if dotted {
        let [.., a, b, c, d] = address.octets();
        write_ipv4(out, Ipv4Addr::new(a, b, c, d));
    }
}

/// The rule of `ngx_inet6_ntop`: `::ffff:a.b.c.d`, `::a.b.c.d`, and such a one whose upper half is zero
/// too unless it looks like a small number (`::2`, `::ff01`).
fn ends_dotted(address: Ipv6Addr, zeros: &Range<usize>) -> bool {
    let [.., high, low] = address.octets();
    zeros.start == 0
        && match zeros.len() {
            5 => address.segments()[5] == 0xffff,
            6 => true,
            7 => high != 0 && low != 1,
            _ => false,
        }
}

/// The first of the longest runs of two zeros or more; empty where there is none.
fn longest_zero_run(segments: &[u16; 8]) -> Range<usize> {
    let mut longest = 0..0;
    let mut start = 0;
    for (at, &segment) in segments.iter().enumerate() {
        if segment != 0 {
            start = at + 1;
        } else if at + 1 - start > longest.len().max(1) {
            longest = start..at + 1;
        }
    }
    longest
}

fn write_hex(out: &mut Vec<u8>, number: u16) {
    let digits = (4 - number.leading_zeros() / 4).max(1);
    for digit in (0..digits).rev() {
        let nibble = (number >> (4 * digit)) & 0xf;
        out.push(HEX[usize::from(nibble)]);
    }
}

/// `number` in decimal, with zeros in front up to `width` digits.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; MAX_DIGITS];
    let mut first = digits.len();
    while number > 0 {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[first.min(MAX_DIGITS - width)..]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Of `u64::MAX`.
const MAX_DIGITS: usize = 20;

#[cfg(test)]
mod tests;
