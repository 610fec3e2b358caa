//! How PHP builds `$_GET` from a query, and how XiVO trims what it takes from it.
//!
//! Guarantee: for any query, [`php_query`] yields the names that PHP 8.2 yields, in its order, with
//! the same text or "an array" as value. What is inside an array is not kept: XiVO takes no
//! argument of the phonebook from one.
//!
//! Sources: PHP's `php_default_treat_data` and `php_register_variable_ex` with the settings PHP ships
//! (`max_input_vars` 1000, `max_input_nesting_level` 64, separator `&`). The table in this module's
//! tests is what a PHP 8.2 said.

/// A value in `$_GET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhpValue {
    /// A string, decoded, not trimmed.
    Text(Vec<u8>),
    /// An array, from `name[]=` or `name[key]=`.
    Array,
}

/// `$_GET`, or `$_POST` of a form body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhpQuery {
    entries: Vec<(Vec<u8>, PhpValue)>,
}

impl PhpQuery {
    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&PhpValue> {
        self.iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// A variable's text as XiVO takes it: trimmed; `None` when it is absent or an array.
    #[must_use]
    pub fn text(&self, name: &[u8]) -> Option<&[u8]> {
        match self.get(name)? {
            PhpValue::Text(text) => Some(trim(text)),
            PhpValue::Array => None,
        }
    }

    /// All variables, in the order in which PHP first saw them.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &PhpValue)> {
        self.entries.iter().map(|(name, value)| (&name[..], value))
    }

    /// Takes over the other's variables; they win over those of the same name.
    pub fn overlay(&mut self, other: Self) {
        for (name, value) in other.entries {
            self.set(name, value);
        }
    }

    fn set(&mut self, name: Vec<u8>, value: PhpValue) {
        match self.entries.iter_mut().find(|(key, _)| *key == name) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value)),
        }
    }
}

/// Reads a query, or a form-encoded body, as PHP does.
#[must_use]
pub(crate) fn php_query(query: &[u8]) -> PhpQuery {
    let mut variables = PhpQuery::default();
    // PHP reads a C string here: an unescaped NUL ends it.
    let query = until_nul(query);
    let pieces =
        query.split(|&byte| byte == b'&').filter(|piece| !piece.is_empty()).take(MAX_INPUT_VARS);
    for piece in pieces {
        let (name, value) = match piece.iter().position(|&byte| byte == b'=') {
            Some(at) => (&piece[..at], &piece[at + 1..]),
            None => (piece, &[][..]),
        };
        match read_name(&url_decode(name)) {
            Some((name, Shape::Plain)) => {
                variables.set(name, PhpValue::Text(url_decode(value)));
            }
            Some((name, Shape::Array)) => variables.set(name, PhpValue::Array),
            Some((name, Shape::TooDeep)) => variables.entries.retain(|(key, _)| *key != name),
            None => {}
        }
    }
    variables
}

/// What PHP's `trim` leaves: it takes space, tab, line feed, carriage return, NUL and vertical tab.
#[must_use]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| b" \t\n\r\0\x0b".contains(byte);
    let Some(start) = text.iter().position(|byte| !is_blank(byte)) else {
        return &[];
    };
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |at| at + 1);
    &text[start..end]
}

/// The byte that two hexadecimal digits at the beginning of `text` stand for.
pub(super) fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*text.first()?)? * 16 + digit(*text.get(1)?)?;
    u8::try_from(value).ok()
}

/// What the name of a variable asks for.
enum Shape {
    Plain,
    Array,
    TooDeep,
}

/// PHP's `urldecode`: a broken escape stays as it is.
fn url_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, hex_pair(tail)) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                rest = &tail[2..];
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The variable that a decoded name means; `None` when PHP drops it.
fn read_name(name: &[u8]) -> Option<(Vec<u8>, Shape)> {
    let name = until_nul(name);
    let start = name.iter().position(|&byte| byte != b' ')?;
    let name = &name[start..];
    let bracket = name.iter().position(|&byte| byte == b'[');
    let base = mangle(&name[..bracket.unwrap_or(name.len())]);
    if base.is_empty() {
        return None;
    }
    let Some(bracket) = bracket else {
        return Some((base, Shape::Plain));
    };
    match count_indexes(&name[bracket..]) {
        // The bracket was never closed: it is a character like any other that PHP cannot have.
        0 => Some((mangle(name), Shape::Plain)),
        1..=MAX_NESTING => Some((base, Shape::Array)),
        _ => Some((base, Shape::TooDeep)),
    }
}

/// PHP's names have no space, dot or opening bracket.
fn mangle(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&byte| if b" .[".contains(&byte) { b'_' } else { byte }).collect()
}

/// How many `[…]` stand one behind the other at the beginning of `text`.
fn count_indexes(text: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = text;
    while let Some(inside) = rest.strip_prefix(b"[") {
        let Some(end) = inside.iter().position(|&byte| byte == b']') else {
            // PHP looks at the depth before it looks for the end.
            return if count >= MAX_NESTING { count + 1 } else { count };
        };
        count += 1;
        rest = &inside[end + 1..];
    }
    count
}

/// The number of variables that PHP keeps; it reads no further (`max_input_vars`).
const MAX_INPUT_VARS: usize = 1000;

/// PHP drops a variable with more pairs of brackets than this.
const MAX_NESTING: usize = 64;

#[cfg(test)]
mod tests;
