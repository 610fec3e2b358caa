//! The one address of a caller: found once, used by policy, limits and log alike.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A caller's address, with IPv4-mapped IPv6 (`::ffff:192.0.2.1`) turned into the IPv4 address that
/// it stands for.
///
/// A dual-stack socket reports IPv4 callers in the mapped form (RFC 4291, section 2.5.5.2). 6to4
/// (`2002::/16`) and the deprecated `::a.b.c.d` are other addresses and stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The canonical form of `address`. There is no other constructor.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address, never an IPv4-mapped one.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// What a caller in no policy is counted by: the IPv4 address, or the IPv6 /64, since one
    /// customer's line usually holds a whole /64 (RFC 6177).
    pub fn unknown_caller_key(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientAddress {
        ClientAddress::new(text.parse().unwrap())
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_address() {
        assert_eq!(client("::ffff:192.0.2.7"), client("192.0.2.7"));
    }

    #[test]
    fn an_address_is_shown_as_itself() {
        assert_eq!(client("::ffff:192.0.2.7").to_string(), "192.0.2.7");
        assert_eq!(client("2001:DB8::7").to_string(), "2001:db8::7");
    }

    #[test]
    fn other_embeddings_of_ipv4_stay_ipv6() {
        for text in ["2002:c000:207::1", "::192.0.2.7", "64:ff9b::192.0.2.7"] {
            assert_eq!(client(text).ip(), text.parse::<IpAddr>().unwrap());
            assert_ne!(client(text), client("192.0.2.7"));
        }
    }

    #[test]
    fn unknown_callers_are_counted_by_address_or_by_64() {
        assert_eq!(
            client("2001:db8:1:2:3::9").unknown_caller_key(),
            client("2001:db8:1:2:ffff::1").unknown_caller_key()
        );
        assert_eq!(client("2001:db8:1:2:3::9").unknown_caller_key(), client("2001:db8:1:2::").ip());
        assert_ne!(
            client("2001:db8:1:2::").unknown_caller_key(),
            client("2001:db8:1:3::").unknown_caller_key()
        );
        assert_ne!(
            client("192.0.2.1").unknown_caller_key(),
            client("192.0.2.2").unknown_caller_key()
        );
    }
}
