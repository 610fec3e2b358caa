//! What the administrator is told of names: one line for each change.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::location::Location;
use crate::policy::PeerName;
use crate::resolver::{Failure, Unusable};

/// Something that the administrator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A name has other addresses.
    Moved {
        /// The peer whose policy has the name.
        peer: PeerName,
        /// The host name.
        name: String,
        /// Its addresses until now.
        from: Vec<IpAddr>,
        /// Its addresses from now on.
        to: Vec<IpAddr>,
    },
    /// A name begins to fail.
    Failing {
        /// The peer whose policy has the name.
        peer: PeerName,
        /// The host name.
        name: String,
        /// Where the policy has the name.
        location: Location,
        /// How resolving it failed.
        why: Failure,
        /// How long its addresses are used all the same; none where it has none.
        held: Option<Duration>,
    },
    /// A name that failed resolves again.
    Recovered {
        /// The peer whose policy has the name.
        peer: PeerName,
        /// The host name.
        name: String,
    },
    /// A name's hold is over: it has no address any longer.
    Dropped {
        /// The peer whose policy has the name.
        peer: PeerName,
        /// The host name.
        name: String,
        /// Since when it fails.
        since: Timestamp,
    },
    /// An address of a name is not trusted.
    Refused {
        /// The peer whose policy has the name.
        peer: PeerName,
        /// The host name.
        name: String,
        /// Where the policy has the name.
        location: Location,
        /// The address that is not used.
        address: IpAddr,
        /// Why the address is not used.
        why: Unusable,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved { peer, name, from, to } if from.is_empty() => {
                write!(f, "{peer} was found: {name} {}", Listed(to))
            }
            Self::Moved { peer, name, from, to } => {
                write!(f, "{peer} moved: {name} {} → {}", Listed(from), Listed(to))
            }
            Self::Failing { peer, name, location, why, held } => {
                write!(f, "{name} of `{peer}` at {location} does not resolve: {why}; ")?;
                match held {
                    Some(held) => {
                        write!(f, "its last addresses are used for {} s more", held.as_secs())
                    }
                    None => write!(f, "it has no address, and the peer is not let in by it"),
                }
            }
            Self::Recovered { peer, name } => write!(f, "{name} of `{peer}` resolves again"),
            Self::Dropped { peer, name, since } => write!(
                f,
                "{name} of `{peer}` has not resolved since {since}, and its hold is over: the peer is not let in by it"
            ),
            Self::Refused { peer, name, location, address, why } => {
                write!(
                    f,
                    "{address}, which {name} of `{peer}` at {location} has, is not trusted: {why}"
                )
            }
        }
    }
}

struct Listed<'a>(&'a [IpAddr]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
