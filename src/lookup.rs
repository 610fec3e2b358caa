//! A lookup: what a request is after parsing, and the only thing that is ever asked of XiVO.
//!
//! # Guarantees
//! * There is no value for `private`, for writing, or for anything else but the phonebook's three
//!   reading acts, and no field holds bytes as the client spelt them. So nothing that is written
//!   from a [`Lookup`] can ask XiVO for anything else.
//! * The path is accepted in its one spelling (with or without XiVO's own trailing slash), never
//!   because it would normalize to it.
//! * Arguments are decoded once and must then be exactly the known ones, each once. PHP reads a
//!   query otherwise (the last duplicate wins, `%20act` is `act`, a name ends at NUL); whatever it
//!   would read otherwise is refused.
//! * `parse(write(lookup)) == lookup`.
//!
//! Imports `text`. Begin with [`Lookup::parse`].

mod error;
mod number;
pub(crate) mod path;
mod query;
mod term;

use crate::text::{LOWER_HEX, hex, unhex};

pub use error::{BadArgument, LookupError};
pub use number::is_telephone_number;
pub use term::Term;

use path::Endpoint;

/// What can be asked of the phonebook. Each may carry the MD5 of an answer that the caller has
/// already (`sum`): XiVO then answers 304 when nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// The contacts that contain a term.
    Search {
        /// The text that a contact has to contain.
        term: Term,
        /// `sum`, if given.
        known: Option<Checksum>,
    },
    /// The whole phonebook.
    List {
        /// `sum`, if given.
        known: Option<Checksum>,
    },
    /// One contact by its number (`act=view`).
    View {
        /// Its number in XiVO's database: up to ten digits.
        id: u64,
        /// `sum`, if given.
        known: Option<Checksum>,
    },
}

/// The MD5 of an answer, as XiVO writes it: 32 hexadecimal digits, here as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Checksum([u8; 16]);

/// The parts of a request that decide what is asked. All but `method` are as the client spelt them.
#[derive(Clone, Copy, Debug)]
pub struct LookupParts<'a> {
    /// The request method.
    pub method: &'a [u8],
    /// The path, undecoded.
    pub path: &'a [u8],
    /// What follows the first `?`, undecoded.
    pub query: Option<&'a [u8]>,
    /// Whether a body follows.
    pub has_body: bool,
}

impl Lookup {
    /// Parses a request into a lookup.
    ///
    /// # Errors
    /// In this order: [`LookupError::PrivatePath`], [`LookupError::UnknownPath`],
    /// [`LookupError::MethodNotAllowed`], [`LookupError::BodyNotAllowed`], [`LookupError::BadArgument`], and
    /// [`LookupError::Writing`].
    pub fn parse(parts: LookupParts<'_>) -> Result<Self, LookupError> {
        match path::read(parts.path) {
            Endpoint::Phonebook => {}
            Endpoint::Private => return Err(LookupError::PrivatePath),
            Endpoint::Other => return Err(LookupError::UnknownPath),
        }
        if !matches!(parts.method, b"GET" | b"HEAD") {
            return Err(LookupError::MethodNotAllowed);
        }
        if parts.has_body {
            return Err(LookupError::BodyNotAllowed);
        }
        let arguments = query::Arguments::read(parts.query.unwrap_or_default())
            .map_err(LookupError::BadArgument)?;
        match arguments.act.as_deref() {
            None | Some(b"list" | b"search" | b"view") => {
                Self::from_arguments(arguments).map_err(LookupError::BadArgument)
            }
            Some(act) if is_writing(act) => Err(LookupError::Writing),
            Some(_) => Err(BadArgument::Act.into()),
        }
    }

    fn from_arguments(arguments: query::Arguments<'_>) -> Result<Self, BadArgument> {
        let query::Arguments { act, search, id, sum } = arguments;
        let known = sum.map(|sum| Checksum::read(&sum)).transpose()?;
        match act.as_deref() {
            Some(b"search") => {
                let search = search.ok_or(BadArgument::Missing("search"))?;
                not_given(id, "id")?;
                Ok(Self::Search { term: Term::read(&search)?, known })
            }
            Some(b"view") => {
                let id = id.ok_or(BadArgument::Missing("id"))?;
                not_given(search, "search")?;
                Ok(Self::View { id: read_id(&id)?, known })
            }
            // XiVO lists where `act` is missing; here that is so only where nothing else is asked.
            _ => {
                not_given(search, "search")?;
                not_given(id, "id")?;
                Ok(Self::List { known })
            }
        }
    }

    /// A search for this term, which was written here and not by a client.
    ///
    /// # Errors
    /// It is none.
    pub fn search(term: &str) -> Result<Self, BadArgument> {
        Ok(Self::Search { term: Term::read(term.as_bytes())?, known: None })
    }

    /// The checksum of the answer that the caller has already, if it said so.
    pub fn known(&self) -> Option<Checksum> {
        match self {
            Self::Search { known, .. } | Self::List { known } | Self::View { known, .. } => *known,
        }
    }

    /// Appends the request target for XiVO: the one path, `act` first, then `search` or `id`, then
    /// `sum`, everything outside of RFC 3986's unreserved characters percent-encoded.
    pub fn write_target(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(PATH.as_bytes());
        let known = match self {
            Self::Search { term, known } => {
                out.extend_from_slice(b"?act=search&search=");
                query::encode(term.as_str().as_bytes(), out);
                known
            }
            Self::List { known } => {
                out.extend_from_slice(b"?act=list");
                known
            }
            Self::View { id, known } => {
                out.extend_from_slice(b"?act=view&id=");
                out.extend_from_slice(id.to_string().as_bytes());
                known
            }
        };
        if let Some(Checksum(bytes)) = known {
            out.extend_from_slice(b"&sum=");
            for byte in bytes {
                out.extend_from_slice(&hex(*byte, LOWER_HEX));
            }
        }
    }
}

impl Checksum {
    fn read(text: &[u8]) -> Result<Self, BadArgument> {
        let (pairs, rest) = text.as_chunks::<2>();
        let mut bytes = [0; 16];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(BadArgument::Sum);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = unhex(*high, *low).ok_or(BadArgument::Sum)?;
        }
        Ok(Self(bytes))
    }
}

fn not_given<T>(value: Option<T>, name: &'static str) -> Result<(), BadArgument> {
    match value {
        None => Ok(()),
        Some(_) => Err(BadArgument::Misplaced(name)),
    }
}

fn read_id(text: &[u8]) -> Result<u64, BadArgument> {
    if !(1..=10).contains(&text.len()) || !text.iter().all(u8::is_ascii_digit) {
        return Err(BadArgument::Id);
    }
    Ok(text.iter().fold(0, |id, digit| id * 10 + u64::from(digit - b'0')))
}

/// XiVO's acts that change something, in its web services: told from a misspelling, so that who
/// tries to write learns that it is never granted.
fn is_writing(act: &[u8]) -> bool {
    const WRITING: [&[u8]; 11] = [
        b"add",
        b"addmulti",
        b"delete",
        b"deleteall",
        b"deletes",
        b"disables",
        b"edit",
        b"enables",
        b"import",
        b"importcsv",
        b"update",
    ];
    WRITING.contains(&act)
}

/// The one path that is asked of XiVO.
pub const PATH: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";

/// The path that a directory of a XiVO has at first, which is one of the `private` realm.
pub(crate) const PRIVATE_PATH: &str = "/service/ipbx/json.php/private/pbx_services/phonebook";

#[cfg(test)]
mod tests;
