//! What a line says of a request, in the report's terms.
//!
//! Where a format has no `$reason`, as `combined` and every log of nginx itself, the reason is read from
//! the status, the peer and the target as far as they tell it.

use memchr::{memchr, memmem};

use super::pattern::{Addresses, Expected, Pattern, Slot, Values, argument};
use super::time::{Clock, LineTime, milliseconds, number};
use crate::refusal::Reason as Word;

/// Whom a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who<'l> {
    /// A peer, by its name.
    Peer(&'l [u8]),
    /// An address that was let in to the phonebook, in a log that names nobody: nginx's own.
    Address(&'l [u8]),
    /// An address that was refused.
    Unknown(&'l [u8]),
    /// A request that has nothing to do with the phonebook, answered: nginx serves other things, and
    /// the gateway tells everybody who they are.
    Other,
}

impl<'l> Who<'l> {
    /// As the report names it; `-` is everybody who is nobody.
    pub(crate) fn name(self) -> &'l [u8] {
        match self {
            Self::Peer(name) | Self::Address(name) => name,
            Self::Unknown(_) | Self::Other => b"-",
        }
    }
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'l> {
    /// When the request ended.
    pub time: LineTime,
    /// Its status: three digits.
    pub status: u16,
    /// Whom it comes from.
    pub who: Who<'l>,
    /// Its address, as written.
    pub address: &'l [u8],
    /// Bytes of the answer's body.
    pub body_bytes: u64,
    /// Its target, as written; empty where the request line is none.
    pub target: &'l [u8],
    /// The request line, as written, where the format has it.
    pub request: &'l [u8],
    /// What was asked for.
    pub action: Action,
    /// The search term, as it was sent; `None` unless this is a search.
    pub term: Option<&'l [u8]>,
    /// The user agent, as written.
    pub user_agent: &'l [u8],
    /// How long the answer took, in milliseconds.
    pub request_time: Option<u64>,
    /// How long XiVO took, in milliseconds.
    pub upstream_time: Option<u64>,
    /// Why it was refused or failed; `None` for what was answered.
    pub reason: Option<Reason<'l>>,
    /// The limit that refused it; empty where none did, or the format does not say.
    pub limit: &'l [u8],
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Search,
    List,
    View,
    Writing,
    Other,
}

impl Action {
    /// The number of actions.
    pub(crate) const COUNT: usize = 5;
    /// All actions, in the order of their figures.
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Search, Self::List, Self::View, Self::Writing, Self::Other];

    /// As the report names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::List => "list",
            Self::View => "view",
            Self::Writing => "writing",
            Self::Other => "other",
        }
    }

    fn of(act: &[u8]) -> Self {
        match act {
            b"search" => Self::Search,
            b"list" => Self::List,
            b"view" => Self::View,
            b"add" | b"delete" | b"edit" | b"deleteall" => Self::Writing,
            _ => Self::Other,
        }
    }
}

/// Why a request was refused or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason<'l> {
    /// The line says so.
    Written(&'l [u8]),
    /// Read from status, peer and target.
    Inferred(&'static str),
}

impl<'l> Reason<'l> {
    /// The word that the report shows.
    pub(crate) fn word(self) -> &'l [u8] {
        match self {
            Self::Written(word) => word,
            Self::Inferred(word) => word.as_bytes(),
        }
    }
}

/// Reads a file's lines as entries.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pattern: Pattern,
    clock: Clock,
    /// Which value says when.
    time: Slot,
    act: memmem::Finder<'static>,
    search: memmem::Finder<'static>,
}

impl Reader {
    /// A reader of the lines that `pattern` reads; times without a zone are shown `offset` minutes
    /// east of UTC.
    pub(crate) fn new(pattern: Pattern, offset: i16) -> Self {
        let time = pattern.time().unwrap_or(Slot::Ignored);
        let finder = |name: &'static [u8]| memmem::Finder::new(name);
        Self {
            pattern,
            clock: Clock::new(offset),
            time,
            act: finder(b"act="),
            search: finder(b"search="),
        }
    }

    /// The format.
    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Takes these alone for addresses.
    pub(in crate::report) fn restrict(&mut self, addresses: Addresses) {
        self.pattern.restrict(addresses);
    }

    /// What `line`, without its end, says.
    ///
    /// # Errors
    /// Why it cannot be read.
    #[inline]
    pub(crate) fn read<'l>(&mut self, line: &'l [u8]) -> Result<Entry<'l>, Unreadable> {
        let mut values = Values::default();
        self.pattern.read(line, &mut values).map_err(Unreadable::Format)?;
        // A word, and then more than a user's name: that may be a piece of a syslog's head before the address.
        if values.has_word_for_address() && memchr(b' ', values.of(Slot::RemoteUser)).is_some() {
            return Err(Unreadable::Ambiguous);
        }
        let text = values.of(self.time);
        let time = if self.time == Slot::TimeLocal {
            self.clock.local(text)
        } else if self.time == Slot::TimeIso8601 {
            self.clock.iso8601(text)
        } else {
            self.clock.msec(text)
        };
        let time = time.filter(|time| TIMES.contains(&time.unix)).ok_or(Unreadable::Time)?;
        let status = match *values.of(Slot::Status) {
            // What nginx logs for an empty request on a connection that was closed.
            [b'0', b'0', b'0'] => 400,
            [a, b, c] => {
                let digit = |byte: u8| u16::from(byte.wrapping_sub(b'0'));
                digit(a) * 100 + digit(b) * 10 + digit(c)
            }
            _ => return Err(Unreadable::Format(STATUS)),
        };
        Ok(self.entry(&values, time, status))
    }

    #[inline]
    fn entry<'l>(&self, values: &Values<'l>, time: LineTime, status: u16) -> Entry<'l> {
        let address = unmapped(values.of(Slot::RemoteAddr));
        let (request, target) = target(values);
        let query = match values.of(Slot::Args) {
            b"" | b"-" => memchr(b'?', target).map_or(&b""[..], |at| &target[at + 1..]),
            args => args,
        };
        let action = match values.of(Slot::Action) {
            b"" | b"-" => match values.of(Slot::ArgAct) {
                b"" | b"-" => argument(query, &self.act).map_or(Action::Other, Action::of),
                word => Action::of(word),
            },
            word => Action::of(word),
        };
        let term = match values.of(Slot::ArgSearch) {
            _ if action != Action::Search => None,
            b"" | b"-" => argument(query, &self.search),
            term => Some(term),
        };
        let peer = match values.of(Slot::Peer) {
            b"" => values.of(Slot::RemoteUser),
            peer => peer,
        };
        let answered = status < 400;
        let who = match peer {
            b"" | b"-" if !answered => Who::Unknown(address),
            b"" | b"-" if is_phonebook(target) => Who::Address(address),
            b"" | b"-" => Who::Other,
            name => Who::Peer(name),
        };
        let reason = match values.of(Slot::Reason) {
            b"" if answered => None,
            b"-" => None,
            b"" => Some(Reason::Inferred(infer(status, who, target, action))),
            word => Some(Reason::Written(word)),
        };
        let limit = match values.of(Slot::Limit) {
            b"-" => b"",
            limit => limit,
        };
        let body = [Slot::BodyBytesSent, Slot::BytesSent].map(|slot| number(values.of(slot)));
        let time_of = |slot| match values.of(slot) {
            b"" | b"-" => None,
            text => milliseconds(text),
        };
        Entry {
            time,
            status,
            who,
            address,
            body_bytes: body[0].or(body[1]).unwrap_or(0),
            target,
            request,
            action,
            term,
            user_agent: values.of(Slot::UserAgent),
            request_time: time_of(Slot::RequestTime),
            upstream_time: time_of(Slot::UpstreamResponseTime),
            reason,
            limit,
        }
    }
}

/// An address of IPv4 that is written as one of IPv6, as a listener on `[::]` sees it, without what is before it: it
/// is the same host.
#[inline]
fn unmapped(address: &[u8]) -> &[u8] {
    const MAPPED: &[u8] = b"::ffff:";
    match address {
        [b':', ..] if address.len() > MAPPED.len() => {
            let (before, rest) = address.split_at(MAPPED.len());
            let is_mapped = before.eq_ignore_ascii_case(MAPPED) && rest.contains(&b'.');
            if is_mapped { rest } else { address }
        }
        _ => address,
    }
}

/// Why a line cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It was not written by this format: what is missing where it should be.
    #[error("not in this format: {0} is missing")]
    Format(Expected),
    /// Its time is none.
    #[error("its time cannot be read")]
    Time,
    /// It is a part of a line that was cut into several, and the others are missing.
    #[error("a part of a line, whose other parts are missing")]
    Part,
    /// What stands at its beginning may be its own or a piece of what has carried it, and it says two different things.
    #[error(
        "it can be read in two ways: its beginning may be its own or a piece of a syslog's head"
    )]
    Ambiguous,
}

/// The request line, if the format has one, and the target.
#[inline]
fn target<'l>(values: &Values<'l>) -> (&'l [u8], &'l [u8]) {
    let request = values.of(Slot::Request);
    if let Some(at) = memchr(b' ', request) {
        let rest = &request[at + 1..];
        let version = rest.len().checked_sub(b" HTTP/1.1".len());
        let end = match version {
            Some(end) if rest[end..].starts_with(b" HTTP/") => end,
            _ => memchr(b' ', rest).unwrap_or(rest.len()),
        };
        return (request, &rest[..end]);
    }
    match values.of(Slot::RequestUri) {
        b"" => (request, values.of(Slot::Uri)),
        uri => (request, uri),
    }
}

/// Whether a target is the phonebook's, in whichever realm.
pub(crate) fn is_phonebook(target: &[u8]) -> bool {
    let path = &target[..memchr(b'?', target).unwrap_or(target.len())];
    path.ends_with(b"/pbx_services/phonebook") || path.ends_with(b"/pbx_services/phonebook/")
}

/// Whether a target asks for XiVO's `private` realm.
pub(crate) fn is_private(target: &[u8]) -> bool {
    memmem::find(target, b".php/private/").is_some()
}

/// The gateway's word for a refusal of which only this much is known; its status where several words
/// have that.
#[cold]
fn infer(status: u16, who: Who<'_>, target: &[u8], action: Action) -> &'static str {
    let is_unknown = matches!(who, Who::Unknown(_));
    let reason = match status {
        400 if target.is_empty() || is_unknown => Word::MalformedRequest,
        400 => Word::BadArgument,
        403 | 429 if is_unknown => Word::UnknownPeer,
        403 if is_private(target) => Word::PrivatePath,
        403 if action == Action::Writing => Word::ActionNotGranted,
        404 => Word::UnknownPath,
        405 => Word::MethodNotAllowed,
        408 => Word::RequestTimeout,
        413 => Word::BodyNotAllowed,
        414 => Word::UriTooLong,
        421 => Word::Misdirected,
        429 => Word::RateLimited,
        431 => Word::HeadersTooLarge,
        499 => Word::ClientClosed,
        504 => Word::UpstreamTimeout,
        401 => return "401",
        403 => return "403",
        500 => return "500",
        502 => return "502",
        503 => return "503",
        501..=599 => return "5xx",
        600.. => return "no-status",
        _ => return "4xx",
    };
    reason.as_str()
}

const STATUS: Expected = "a status";

/// The years 1 to 9999, which a date can be written with.
const TIMES: std::ops::Range<i64> = -62_135_596_800..253_402_200_000;

#[cfg(test)]
mod tests;
