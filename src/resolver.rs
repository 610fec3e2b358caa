//! Host names in policies: resolved beside the requests, never for one.
//!
//! # Guarantees
//! * A request sees addresses that are there already; nothing waits for a name server.
//! * What a policy writes wins over what a name says: an address in another policy's written prefix,
//!   or one that another peer's name has already, is refused and reported, and so is whatever no peer
//!   can have ([`Unusable`]). A name server can therefore take a peer's access away, and never give
//!   one peer's to another.
//! * While a name does not resolve, its last addresses are used for as long as the holds say, which
//!   have HAProxy's names and meaning (`hold nx`, `hold timeout`, `hold other`, `hold obsolete`); then
//!   the name has none, and its peer is refused.
//!
//! [`Table`] is all of this as values, without clock or network; [`Source`] asks.
//!
//! Imports `files`, `identity`, `location`, `net`, `policy`. Begin with `table.rs`.

mod dns;
mod event;
mod source;
mod state;
mod table;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::location::Location;
use crate::policy::PeerName;

pub use event::Event;
pub use source::Source;
pub use state::{State, StateError};
pub use table::{NameState, Remembered, Table};

/// The `[names]` section.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name servers that are asked; empty: the system's resolver.
    pub resolver: Vec<std::net::SocketAddr>,
    /// How long an answer without a time to live is good for.
    pub refresh: Duration,
    /// How long the last addresses are used once there is no such name. As the next two it counts from
    /// the first answer that says so, and after a restart from the last good one.
    pub hold_nx: Duration,
    /// The same while no name server answers.
    pub hold_timeout: Duration,
    /// The same while they answer anything else.
    pub hold_error: Duration,
    /// How long an address is used that the answer has no more.
    pub hold_obsolete: Duration,
    /// Whether a name may mean this host.
    pub danger_loopback_names: bool,
}

/// What came of asking for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The name has these addresses.
    Addresses {
        /// All of them, at least one.
        addresses: Vec<IpAddr>,
        /// How long they are good for, where the answer says so.
        ttl: Option<Duration>,
        /// The family that could not be asked for; what was known of it stays.
        missing: Option<Family>,
    },
    /// No answer, or none with an address.
    Failed(Failure),
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A records (IPv4).
    V4,
    /// AAAA records (IPv6).
    V6,
}

impl Family {
    /// Whether `address` is one of it.
    pub fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no such name, or it has no address.
    NoSuchName,
    /// Nobody answered in time.
    Timeout,
    /// An answer that says something else; the text says what.
    Error(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName => f.write_str("there is no such name, or it has no address"),
            Self::Timeout => f.write_str("no name server answered in time"),
            Self::Error(why) => f.write_str(why),
        }
    }
}

/// An address that a name had, and that is no peer's now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Whose it was.
    pub peer: PeerName,
    /// The host name.
    pub name: String,
    /// Where the policy has it.
    pub location: Location,
    /// The address that it no longer has.
    pub address: IpAddr,
    /// When the name had it last.
    pub at: Timestamp,
    /// Why it has it no more.
    pub why: LostBecause,
}

/// Why an address of a name is no peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostBecause {
    /// The name has not resolved since then.
    Failing(Timestamp, Failure),
    /// It has other addresses now.
    Moved,
    /// It may not have this one.
    Unusable(Unusable),
}

/// Why an address that a name has is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is this host's own, and `danger_loopback_names` is not set.
    Loopback,
    /// No caller can have it: unspecified, multicast, broadcast or link-local.
    NoCallers,
    /// It lies in a prefix that another policy writes there.
    Written(PeerName, Location),
    /// Another peer's name there has it already.
    Taken(PeerName, Location),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => {
                f.write_str("it is this host itself, and names.danger_loopback_names is not set")
            }
            Self::NoCallers => f.write_str("no caller can have such an address"),
            Self::Written(peer, location) => {
                write!(f, "it lies in what `{peer}` has at {location}, and what is written wins")
            }
            Self::Taken(peer, location) => {
                write!(f, "the name of `{peer}` at {location} has it already")
            }
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, name, location, at, why, .. } = self;
        write!(f, "{name} of `{peer}` at {location} was this address at {at}")?;
        match why {
            LostBecause::Failing(since, failure) => {
                write!(f, ", and has not resolved since {since}: {failure}")
            }
            LostBecause::Moved => f.write_str(", and has others now"),
            LostBecause::Unusable(why) => write!(f, ", and is not trusted: {why}"),
        }
    }
}
