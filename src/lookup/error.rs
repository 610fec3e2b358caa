//! Why a request is no lookup.

use std::fmt;

/// Why a request is no lookup, in the order in which it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The path means XiVO's `private` realm, however it is spelt.
    PrivatePath,
    /// Any other path than the phonebook's.
    UnknownPath,
    /// Neither GET nor HEAD.
    MethodNotAllowed,
    /// There is a body.
    BodyNotAllowed,
    /// The query is not one of a lookup.
    BadArgument(BadArgument),
    /// The query is one of XiVO's acts that write.
    Writing,
}

/// What is wrong with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadArgument {
    /// An argument that no lookup has, or one misspelt.
    Unknown,
    /// The named argument stands there twice.
    Repeated(&'static str),
    /// The named argument has no `=`, or does not belong to this `act`.
    Misplaced(&'static str),
    /// The named argument is missing for this `act`.
    Missing(&'static str),
    /// A `%` is not followed by two hexadecimal digits.
    BadEscape,
    /// `act` is none of XiVO's acts.
    Act,
    /// The term is not UTF-8.
    TermNotUtf8,
    /// The term holds a control character.
    TermControl,
    /// The term is longer than 256 characters.
    TermTooLong,
    /// `id` is not 1 to 10 digits.
    Id,
    /// `sum` is not 32 hexadecimal digits.
    Sum,
}

impl From<BadArgument> for LookupError {
    fn from(bad: BadArgument) -> Self {
        Self::BadArgument(bad)
    }
}

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("The query has an argument that no lookup has. Known are `act`, `search`, `id` and `sum`."),
            Self::Repeated(name) => write!(f, "The query has `{name}` more than once."),
            Self::Misplaced(name) => write!(f, "The query has `{name}` without a value, or with an `act` that does not take it."),
            Self::Missing(name) => write!(f, "The query lacks `{name}`, which this `act` needs."),
            Self::BadEscape => f.write_str("The query has a `%` without two hexadecimal digits behind it."),
            Self::Act => f.write_str("The query's `act` is unknown. Known are `search`, `list` and `view`, spelt so."),
            Self::TermNotUtf8 => f.write_str("The search term is not UTF-8."),
            Self::TermControl => f.write_str("The search term holds a control character."),
            Self::TermTooLong => f.write_str("The search term is longer than 256 characters."),
            Self::Id => f.write_str("The query's `id` is not a number of 1 to 10 digits."),
            Self::Sum => f.write_str("The query's `sum` is not 32 hexadecimal digits."),
        }
    }
}
