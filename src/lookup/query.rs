//! A query string, taken apart and put together by one strict rule.

use std::borrow::Cow;

use super::BadArgument;
use crate::text::{UPPER_HEX, hex, unhex};

/// The known arguments, decoded once, each given at most once.
#[derive(Debug, Default)]
pub(super) struct Arguments<'a> {
    pub(super) act: Option<Cow<'a, [u8]>>,
    pub(super) search: Option<Cow<'a, [u8]>>,
    pub(super) id: Option<Cow<'a, [u8]>>,
    pub(super) sum: Option<Cow<'a, [u8]>>,
}

impl<'a> Arguments<'a> {
    /// Reads `query`: pairs of name and value, joined by `&` and nothing else. An empty query has
    /// no arguments; an empty pair is an argument without a name.
    ///
    /// It stops at the first fault, so a query of thousands of arguments costs no more than five.
    pub(super) fn read(query: &'a [u8]) -> Result<Self, BadArgument> {
        let mut arguments = Self::default();
        if query.is_empty() {
            return Ok(arguments);
        }
        for pair in query.split(|&b| b == b'&') {
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..)),
                None => (pair, None),
            };
            let name = decode(name)?;
            let (place, name) = match &*name {
                b"act" => (&mut arguments.act, "act"),
                b"search" => (&mut arguments.search, "search"),
                b"id" => (&mut arguments.id, "id"),
                b"sum" => (&mut arguments.sum, "sum"),
                _ => return Err(BadArgument::Unknown),
            };
            let value = decode(value.ok_or(BadArgument::Misplaced(name))?)?;
            if place.replace(value).is_some() {
                return Err(BadArgument::Repeated(name));
            }
        }
        Ok(arguments)
    }
}

/// Decodes `%XX` once and `+` as a space, as PHP and HTML forms do.
fn decode(text: &[u8]) -> Result<Cow<'_, [u8]>, BadArgument> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => {
                decoded.push(unhex(*high, *low).ok_or(BadArgument::BadEscape)?);
                rest = tail;
            }
            (b'%', _) => return Err(BadArgument::BadEscape),
            (b'+', _) => {
                decoded.push(b' ');
                rest = tail;
            }
            _ => {
                decoded.push(byte);
                rest = tail;
            }
        }
    }
    Ok(Cow::Owned(decoded))
}

/// Appends `text` with everything outside of RFC 3986's unreserved characters (section 2.3) as
/// `%XX`, upper-case.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend_from_slice(&hex(byte, UPPER_HEX));
        }
    }
}
