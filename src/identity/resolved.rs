//! What the resolver tells of host names: plain data, that peers are found by.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::location::Place;
use crate::policy::PeerName;

/// An address that a name has, as peers are found by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Whose.
    pub peer: PeerName,
    /// The name.
    pub name: String,
    /// Where the policy has it.
    pub place: Place,
    /// One of its addresses.
    pub address: IpAddr,
    /// When the name was resolved last.
    pub at: Timestamp,
    /// When it is asked for again.
    pub next: Timestamp,
}
