//! Who may speak for others: the load balancers and proxies in front of the gateway.

use ipnet::IpNet;

use crate::location::Located;
use crate::net::client_address::ClientAddress;

/// Addresses and prefixes of the configuration. None of them is so wide that it names unknown callers.
#[derive(Clone, Debug, Default)]
pub struct Senders(Vec<Located<IpNet>>);

impl Senders {
    /// A list of `senders`.
    pub fn new(senders: Vec<Located<IpNet>>) -> Self {
        Self(senders)
    }

    /// The first entry that `address` is in.
    pub fn find(&self, address: ClientAddress) -> Option<&Located<IpNet>> {
        self.0.iter().find(|sender| sender.value.contains(&address.ip()))
    }

    /// Whether `address` is in one of them.
    pub fn contain(&self, address: ClientAddress) -> bool {
        self.find(address).is_some()
    }

    /// The entry that all of `prefix` is in.
    pub fn around(&self, prefix: &IpNet) -> Option<&Located<IpNet>> {
        self.0.iter().find(|sender| sender.value.contains(prefix))
    }

    /// All of them, in the order written.
    pub fn iter(&self) -> impl Iterator<Item = &Located<IpNet>> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::Location;

    /// These, each on a line of its own from 1 on.
    fn senders(prefixes: &[&str]) -> Senders {
        let entry = |(line, text): (u32, &&str)| Located {
            value: text.parse().unwrap(),
            location: Location::new(Default::default(), line),
            written: true,
        };
        Senders::new((1..).zip(prefixes).map(entry).collect())
    }

    #[test]
    fn an_address_is_found_in_the_first_entry_around_it() {
        let senders = senders(&["10.0.0.0/24", "10.0.0.0/8", "2001:db8::/32"]);
        for (address, line) in [
            ("10.0.0.7", Some(1)),
            ("::ffff:10.0.0.7", Some(1)),
            ("10.0.1.7", Some(2)),
            ("2001:db8::1", Some(3)),
            ("11.0.0.1", None),
            ("2001:db9::1", None),
        ] {
            let address = ClientAddress::new(address.parse().unwrap());
            assert_eq!(senders.find(address).map(|found| found.location.line()), line, "{address}");
            assert_eq!(senders.contain(address), line.is_some(), "{address}");
        }
    }

    #[test]
    fn a_prefix_is_in_an_entry_only_with_all_of_it() {
        let senders = senders(&["10.0.0.0/24", "10.0.0.0/16"]);
        let around = |prefix: &str| {
            senders.around(&prefix.parse().unwrap()).map(|found| found.location.line())
        };
        assert_eq!(around("10.0.0.128/25"), Some(1));
        assert_eq!(around("10.0.0.0/24"), Some(1));
        assert_eq!(around("10.0.0.0/23"), Some(2));
        assert_eq!(around("10.0.0.0/8"), None);
        assert_eq!(around("2001:db8::/32"), None);
    }

    #[test]
    fn nobody_is_a_sender_where_none_is_written() {
        assert!(senders(&[]).is_empty() && Senders::default().is_empty());
        assert!(!senders(&["10.0.0.1/32"]).is_empty());
    }
}
