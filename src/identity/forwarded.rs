//! Whom a trusted proxy speaks for: the client's address in `X-Forwarded-For` or `Forwarded`.
//!
//! Each proxy of a chain appends the address that it was called from, and everything before that is
//! what it was told. So the list is read from its right end, beginning at a proxy that is trusted:
//!
//! - an address that is not trusted is the client, and nothing to the left of it is looked at;
//! - a trusted one is a further proxy, and trusted in turn; if all are trusted, the leftmost is the
//!   client;
//! - an entry that cannot be read ends the walk. The proxy that wrote it says nothing of a client then,
//!   and there is *no* address: whatever else stands there, somebody unverified may have written it.
//!   The same goes for an empty entry, and for a header that is absent or empty.
//!
//! All lines of the header are one list (RFC 9110, section 5.3). At most [`MOST_ENTRIES`] entries are
//! looked at.
//!
//! Entries of `X-Forwarded-For` are what nginx's realip module reads: an address, perhaps with a port,
//! IPv6 in brackets or bare. `Forwarded` is read by the grammar of RFC 7239; `unknown` and obfuscated
//! names are no addresses. Zones, octal numbers and abbreviated addresses cannot be read in either.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::client_address::ClientAddress;

/// The header in which trusted proxies name their clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// Its name, as the configuration spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::Forwarded => "Forwarded",
        }
    }
}

/// The client that a trusted proxy speaks for. `lines` are the values of all lines of the header, in
/// their order.
///
/// # Errors
/// Says in a few words why no client can be told.
pub fn client<'b>(
    header: ForwardedHeader,
    lines: impl DoubleEndedIterator<Item = &'b [u8]>,
    is_trusted: impl Fn(ClientAddress) -> bool,
) -> Result<ClientAddress, &'static str> {
    let mut leftmost = None;
    let mut looked_at = 0;
    for line in lines.rev() {
        let mut entries = match header {
            ForwardedHeader::XForwardedFor => Entries::Plain(Some(line)),
            ForwardedHeader::Forwarded => Entries::Elements(elements(line)),
        };
        while let Some(entry) = entries.next_from_the_right() {
            looked_at += 1;
            if looked_at > MOST_ENTRIES {
                return Err("the list of proxies is too long");
            }
            let address = match header {
                ForwardedHeader::XForwardedFor => plain(entry)?,
                ForwardedHeader::Forwarded => element(entry)?,
            };
            let address = ClientAddress::new(address);
            if !is_trusted(address) {
                return Ok(address);
            }
            leftmost = Some(address);
        }
    }
    leftmost.ok_or("there is no such header")
}

/// The entries of a line that are left.
enum Entries<'b> {
    Plain(Option<&'b [u8]>),
    Elements(VecDeque<&'b [u8]>),
}

impl<'b> Entries<'b> {
    fn next_from_the_right(&mut self) -> Option<&'b [u8]> {
        match self {
            Self::Elements(elements) => elements.pop_back(),
            Self::Plain(rest) => {
                let line = (*rest)?;
                let Some(comma) = memchr::memrchr(b',', line) else {
                    return rest.take();
                };
                *rest = line.get(..comma);
                line.get(comma + 1..)
            }
        }
    }
}

/// An entry of `X-Forwarded-For`.
fn plain(entry: &[u8]) -> Result<IpAddr, &'static str> {
    let text = std::str::from_utf8(entry).map_err(|_| NO_ADDRESS)?.trim_matches([' ', '\t']);
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(address.into());
    }
    node(text, is_port)
}

/// IPv4, or IPv6 in brackets, with or without a port; else what is wrong with it.
fn node(text: &str, is_port: fn(&str) -> bool) -> Result<IpAddr, &'static str> {
    let (address, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, port)) => match inside.parse::<Ipv6Addr>() {
            Ok(address) => (address.into(), port),
            Err(_) if inside.parse::<Ipv4Addr>().is_ok() => {
                return Err("an entry has an IPv4 address in brackets");
            }
            Err(_) => return Err(why_unreadable(inside)),
        },
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (inside, port) = text.split_at_checked(end).ok_or(NO_ADDRESS)?;
            let address = inside.parse::<Ipv4Addr>().map_err(|_| why_unreadable(text))?;
            (address.into(), port)
        }
    };
    match port.strip_prefix(':') {
        Some(port) if is_port(port) => Ok(address),
        Some(_) => Err("an entry's port is none: allowed are 0 to 65535"),
        None if port.is_empty() => Ok(address),
        None => Err("something stands behind an entry's address"),
    }
}

/// What is wrong with an entry that holds no address, in a few words.
fn why_unreadable(text: &str) -> &'static str {
    let address = text.split(':').next().unwrap_or_default();
    let numbers = || address.split('.');
    let is_number = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    let only_numbers = address.contains('.') && numbers().all(is_number);
    if text.is_empty() {
        "an entry is empty"
    } else if text.contains('%') {
        "an entry has a zone, which names an interface of another host"
    } else if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        "an entry hides its client"
    } else if text.contains('[') != text.contains(']') && text.contains('[') {
        "an entry's bracket is not closed"
    } else if only_numbers && numbers().any(|n| n.len() > 1 && n.starts_with('0')) {
        "an entry's address has leading zeros, which some programs read as octal"
    } else if only_numbers && numbers().count() < 4 {
        "an entry's address is abbreviated"
    } else if text.matches(':').count() > 1 && text.contains('.') && !text.contains("::") {
        "an entry is neither an address nor an address with a port"
    } else {
        NO_ADDRESS
    }
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse::<u16>().is_ok()
}

/// A port of RFC 7239, section 6: a number, or an obfuscated one.
fn is_node_port(text: &str) -> bool {
    let obfuscated = |rest: &str| {
        !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    is_port(text) || text.strip_prefix('_').is_some_and(obfuscated)
}

/// The last elements of a line of `Forwarded`, one more than is looked at. Commas inside quotes divide
/// nothing. Of a line whose last quote is never closed nobody can say where its elements end, so it is
/// one element, which cannot be read: a client that opens a quote does not hide what a proxy appends.
fn elements(line: &[u8]) -> VecDeque<&[u8]> {
    let mut elements = VecDeque::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                elements.push_back(line.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
        if elements.len() > MOST_ENTRIES {
            elements.pop_front();
        }
    }
    if quoted {
        return VecDeque::from([line]);
    }
    elements.push_back(line.get(start..).unwrap_or_default());
    elements
}

/// The address in the `for` of an element: pairs of a token and a token or quoted string, with
/// semicolons between them (RFC 7239, section 4). Each parameter may stand in it once.
fn element(element: &[u8]) -> Result<IpAddr, &'static str> {
    let client = named_client(element).ok_or("an element is not written as RFC 7239 has it")?;
    node(&client.ok_or("an element has no `for`")?, is_node_port)
}

/// What an element's `for` says, if it has one; `None` where the element is none.
fn named_client(element: &[u8]) -> Option<Option<String>> {
    let text = std::str::from_utf8(element).ok()?;
    let mut rest = text.trim_matches([' ', '\t']);
    let mut client = None;
    loop {
        // The grammar lets a pair be left out between two semicolons.
        if !rest.is_empty() && !rest.starts_with(';') {
            let (name, behind) = token(rest)?;
            let (value, behind) = value(behind.strip_prefix('=')?)?;
            rest = behind;
            if name.eq_ignore_ascii_case("for") && client.replace(value).is_some() {
                return None;
            }
        }
        match rest.strip_prefix(';') {
            Some(further) => rest = further,
            None if rest.is_empty() => break,
            None => return None,
        }
    }
    Some(client)
}

/// A token, and what stands behind it.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let end = text.bytes().position(|b| !is_token(b)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// A token or a quoted string without its quotes (RFC 9110, section 5.6.4), and what stands behind.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(token, rest)| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// The number of entries that are read, from the right.
pub const MOST_ENTRIES: usize = 64;

const NO_ADDRESS: &str = "an entry holds no address";

#[cfg(test)]
mod tests;
