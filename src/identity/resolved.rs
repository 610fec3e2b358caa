//! What the resolver tells of host names: plain data, that peers are found by.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::location::Location;
use crate::policy::PeerName;

/// An address that a name has, as peers are found by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The peer whose policy has the name.
    pub peer: PeerName,
    /// The host name that resolved to it.
    pub name: String,
    /// Where the policy has it.
    pub location: Location,
    /// One of its addresses.
    pub address: IpAddr,
    /// When the name was resolved last.
    pub at: Timestamp,
    /// When it is asked for again.
    pub next: Timestamp,
}
