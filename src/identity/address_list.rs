//! Who may speak for others: the load balancers and proxies in front of the gateway.

use ipnet::IpNet;

use crate::location::Placed;
use crate::net::client_address::ClientAddress;

/// Addresses and prefixes of the configuration. None of them is so wide that it names strangers.
#[derive(Clone, Debug, Default)]
pub struct Senders(Vec<Placed<IpNet>>);

impl Senders {
    /// These.
    pub fn new(senders: Vec<Placed<IpNet>>) -> Self {
        Self(senders)
    }

    /// The first entry that `address` is in.
    pub fn find(&self, address: ClientAddress) -> Option<&Placed<IpNet>> {
        self.0.iter().find(|sender| sender.value.contains(&address.ip()))
    }

    /// Whether `address` is in one of them.
    pub fn contain(&self, address: ClientAddress) -> bool {
        self.find(address).is_some()
    }

    /// The entry that all of `prefix` is in.
    pub fn around(&self, prefix: &IpNet) -> Option<&Placed<IpNet>> {
        self.0.iter().find(|sender| sender.value.contains(prefix))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
