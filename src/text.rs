//! Numbers and addresses as text, for what is written with each request. The standard library's formatter
//! spends 1,600 instructions on one IPv4 address, a twentieth of all that a lookup costs here. Figures for people
//! are in [`figures`].
//!
//! Imports nothing of this crate. Begin with [`write_number`].

pub(crate) mod figures;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Appends `address` as nginx writes it (`$remote_addr`): without brackets, and in dotted decimals at the
/// end where nginx does so.
pub(crate) fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => write_ipv4(out, address),
        IpAddr::V6(address) => write_ipv6(out, address),
    }
}

fn write_ipv4(out: &mut Vec<u8>, address: Ipv4Addr) {
    let mut text = [0; "255.255.255.255.".len()];
    let mut length = 0;
    let mut put = |byte| {
        text[length] = byte;
        length += 1;
    };
    for octet in address.octets() {
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
        put(b'.');
    }
    out.extend_from_slice(&text[..length - 1]);
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
        out.push(LOWER_HEX[usize::from(nibble)]);
    }
}

/// Appends `number` in decimal, with zeros in front up to `width` digits; at most 20.
pub(crate) fn write_number(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; MAX_DIGITS];
    let mut first = digits.len();
    while number > 0 {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[first.min(MAX_DIGITS - width)..]);
}

/// The two digits of `byte` in hexadecimal, of [`LOWER_HEX`] or [`UPPER_HEX`].
pub(crate) fn hex(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// The byte of two hexadecimal digits, in either case.
pub(crate) fn unhex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// The digits of fingerprints, ids and checksums.
pub(crate) const LOWER_HEX: &[u8; 16] = b"0123456789abcdef";

/// The digits of escapes.
pub(crate) const UPPER_HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Of `u64::MAX`.
const MAX_DIGITS: usize = 20;

#[cfg(test)]
mod tests;
