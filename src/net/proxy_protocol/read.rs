//! Reads a PROXY header, version 1 or 2, from the beginning of a connection.
//!
//! Guarantees:
//! - Strict: what is no header by HAProxy's `proxy-protocol.txt` is an error, found as soon as no
//!   further byte can mend it. Nothing is guessed, and a connection without a header has none.
//! - Bounded: [`LONGEST_V1`] bytes of version 1, which is the protocol's own limit, and [`LONGEST`] of
//!   version 2, whose own limit of 64 KiB nobody needs for addresses.
//! - A sender that speaks for itself (`LOCAL`, as in health checks), or does not know its client
//!   (`UNKNOWN`, `UNSPEC`), yields no address. So does a client over UDP or a Unix socket: the protocol
//!   has receivers take what they do not support for `UNSPEC`. Nobody calls this gateway that way.
//! - Addresses of version 1 are canonical: decimal without leading zeros, single blanks, no zone.
//! - A CRC32c, where the sender adds one, must be right. Other additions (TLVs) must fit in, and are
//!   skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::str::FromStr;

use crc::{CRC_32_ISCSI, Crc};

/// A whole PROXY header, version 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whence the client connected; `None` if the sender does not say.
    pub client: Option<SocketAddr>,
    /// Where the client connected to; `None` if the sender does not say.
    pub destination: Option<SocketAddr>,
    /// The bytes of the header. What follows is the client's.
    pub len: usize,
}

/// Reads the header that `buffer` begins with; `None` while more is needed, and then all of `buffer`
/// belongs to the header.
///
/// # Errors
/// Says in a few words why this is no header, however it goes on.
pub fn read(buffer: &[u8]) -> Result<Option<Header>, &'static str> {
    if begins(buffer, V2_SIGNATURE) {
        return read_v2(buffer);
    }
    if begins(buffer, V1_SIGNATURE) {
        return read_v1(buffer);
    }
    Err("it does not begin with a PROXY header")
}

/// Whether `buffer` begins with `signature`, as far as both go.
fn begins(buffer: &[u8], signature: &[u8]) -> bool {
    buffer.iter().zip(signature).all(|(a, b)| a == b)
}

/// Version 1: one line.
fn read_v1(buffer: &[u8]) -> Result<Option<Header>, &'static str> {
    let line = buffer.get(..buffer.len().min(LONGEST_V1)).unwrap_or_default();
    let Some(end) = memchr::memchr2(b'\r', b'\n', line) else {
        return match line.len() {
            LONGEST_V1 => Err("its PROXY line is longer than 107 bytes"),
            _ => Ok(None),
        };
    };
    match line.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        // The line feed may still come, unless there is no room for it.
        Some([b'\r']) if line.len() < LONGEST_V1 => return Ok(None),
        _ => return Err("its PROXY line does not end with CR LF"),
    }
    let text = line.get(V1_SIGNATURE.len()..end).unwrap_or_default();
    let text = std::str::from_utf8(text).unwrap_or_default();
    let len = end + 2;
    let (family, rest) = text.split_once(' ').unwrap_or((text, ""));
    let ends = match family {
        "TCP4" => ends_v1::<Ipv4Addr>(rest)?,
        "TCP6" => ends_v1::<Ipv6Addr>(rest)?,
        // What follows is not looked at: the sender says that it means nothing.
        _ if is_unknown(line, end) => {
            return Ok(Some(Header { client: None, destination: None, len }));
        }
        _ => return Err("its PROXY line names neither TCP4, TCP6 nor UNKNOWN"),
    };
    let [client, destination] = ends.map(Some);
    Ok(Some(Header { client, destination, len }))
}

/// Whether the line that ends at `end` says `UNKNOWN`, with or without further words, in bytes of
/// whatever kind.
fn is_unknown(line: &[u8], end: usize) -> bool {
    let words = line.get(V1_SIGNATURE.len()..end).and_then(|text| text.strip_prefix(b"UNKNOWN"));
    words.is_some_and(|rest| matches!(rest.first(), None | Some(b' ')))
}

/// Source address, destination address, source port, destination port.
fn ends_v1<A>(text: &str) -> Result<[SocketAddr; 2], &'static str>
where
    A: FromStr + Into<IpAddr>,
{
    let mut words = text.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (client, destination, client_port, destination_port) = (next(), next(), next(), next());
    if words.next().is_some() {
        return Err("its PROXY line has more than two addresses and two ports");
    }
    let end = |address: &str, number: &str| -> Result<SocketAddr, &'static str> {
        let address = address.parse::<A>().map_err(|_| "its PROXY line holds a broken address")?;
        let port = port(number).ok_or("its PROXY line holds a broken port")?;
        Ok(SocketAddr::new(address.into(), port))
    };
    Ok([end(client, client_port)?, end(destination, destination_port)?])
}

/// A port in decimal, without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Version 2: signature, version and command, family and transport, length; then addresses and TLVs.
fn read_v2(buffer: &[u8]) -> Result<Option<Header>, &'static str> {
    let mut rest = buffer.get(V2_SIGNATURE.len()..).unwrap_or_default();
    let command = match take(&mut rest) {
        None => return Ok(None),
        Some([0x20]) => Command::Local,
        Some([0x21]) => Command::Proxy,
        Some([_]) => return Err("its PROXY header has an unknown version or command"),
    };
    let Some([kind]) = take(&mut rest) else {
        return Ok(None);
    };
    // Of a LOCAL connection the protocol says that nothing further of its header is looked at.
    let family = match (command, kind) {
        (Command::Local, _) | (Command::Proxy, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Family::Other,
        (Command::Proxy, 0x11) => Family::Inet,
        (Command::Proxy, 0x21) => Family::Inet6,
        _ => return Err("its PROXY header has an unknown family or transport"),
    };
    let Some(length) = take(&mut rest).map(u16::from_be_bytes).map(usize::from) else {
        return Ok(None);
    };
    if V2_FIXED + length > LONGEST {
        return Err("its PROXY header is longer than 4096 bytes");
    }
    let least = match (command, kind) {
        (Command::Proxy, 0x11 | 0x12) => 12,
        (Command::Proxy, 0x21 | 0x22) => 36,
        (Command::Proxy, 0x31 | 0x32) => 216,
        _ => 0,
    };
    if length < least {
        return Err("its PROXY header is too short for its addresses");
    }
    let Some(header) = buffer.get(..V2_FIXED + length) else {
        return Ok(None);
    };
    let mut block = header.get(V2_FIXED..).unwrap_or_default();
    let ends = match family {
        Family::Inet => ends_v2::<4>(&mut block),
        Family::Inet6 => ends_v2::<16>(&mut block),
        Family::Other => None,
    };
    if family != Family::Other {
        check_additions(header, block)?;
    }
    let [client, destination] = ends.map_or([None; 2], |ends| ends.map(Some));
    Ok(Some(Header { client, destination, len: header.len() }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Local,
    Proxy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Inet,
    Inet6,
    /// One that yields no address.
    Other,
}

/// Source address, destination address, source port, destination port, in network order.
fn ends_v2<const N: usize>(block: &mut &[u8]) -> Option<[SocketAddr; 2]>
where
    IpAddr: From<[u8; N]>,
{
    let (client, destination) = (take::<N>(block)?, take::<N>(block)?);
    let (client_port, destination_port) = (take(block)?, take(block)?);
    let end = |address: [u8; N], port| SocketAddr::new(address.into(), u16::from_be_bytes(port));
    Some([end(client, client_port), end(destination, destination_port)])
}

/// The additions (TLVs) at the end of `header`: each a type, a length and so many bytes.
fn check_additions(header: &[u8], mut block: &[u8]) -> Result<(), &'static str> {
    let mut has_checksum = false;
    while !block.is_empty() {
        let value = take(&mut block).and_then(|[kind, high, low]| {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let (value, rest) = block.split_at_checked(length)?;
            let at = header.len() - block.len();
            block = rest;
            Some((kind, at, value))
        });
        let Some((kind, at, value)) = value else {
            return Err("an addition to its PROXY header reaches beyond the end");
        };
        if kind == TYPE_CRC32C {
            let right = crc32c_without(header, at..at + value.len());
            if has_checksum || value != right.to_be_bytes() {
                return Err("the checksum of its PROXY header is wrong");
            }
            has_checksum = true;
        }
    }
    Ok(())
}

/// Splits `count` bytes off the beginning.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, further) = rest.split_first_chunk()?;
    *rest = further;
    Some(*first)
}

/// The CRC32c (RFC 3309, appendix B) of `bytes` with zeros in place of the range.
fn crc32c_without(bytes: &[u8], zeros: Range<usize>) -> u32 {
    const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
    let mut digest = CRC32C.digest();
    digest.update(bytes.get(..zeros.start).unwrap_or_default());
    zeros.clone().for_each(|_| digest.update(&[0]));
    digest.update(bytes.get(zeros.end..).unwrap_or_default());
    digest.finalize()
}

/// Version 1 with its CR LF: what the protocol sets as its limit.
pub const LONGEST_V1: usize = 107;

/// Version 2 with its additions: what this gateway sets as its limit.
pub const LONGEST: usize = 4096;

const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes of version 2 before the addresses.
const V2_FIXED: usize = 16;

/// The type of the TLV that holds a checksum of the header.
const TYPE_CRC32C: u8 = 0x03;

#[cfg(test)]
mod tests;
