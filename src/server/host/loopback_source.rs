//! The second wall: connections to XiVO come from no loopback address, for to those XiVO grants
//! `private` without asking who is there.

use std::net::{IpAddr, SocketAddr};

use crate::config::Upstream;
use crate::location::Location;
use crate::upstream::routed_source;

/// Connections to XiVO would come from a loopback address.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {}.\n{}", self.location, self.message(), self.help())]
pub struct LoopbackSource {
    location: Location,
    upstream: SocketAddr,
    source_address: IpAddr,
    advice: String,
}

impl LoopbackSource {
    /// The `[upstream]` section.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What is wrong, without a full stop.
    pub fn message(&self) -> String {
        format!(
            "connections to XiVO at {} would come from {}, and XiVO grants its `private` paths \
             (users, trunk secrets, all without a password) to that address",
            self.upstream, self.source_address
        )
    }

    /// The line to write, and no more.
    pub fn advice(&self) -> &str {
        &self.advice
    }

    /// What to write, and what it brings.
    pub fn help(&self) -> String {
        format!(
            "{}\nXiVO then sees the gateway as any other host, and itself refuses `private` to it.\n\
             (`danger_loopback_source = true` in [upstream] starts all the same.)",
            self.advice
        )
    }
}

/// Refuses a configuration with which XiVO would take the gateway for itself.
///
/// # Errors
/// [`LoopbackSource`] where connections to one of `addresses` would come from a loopback address and
/// `danger_loopback_source` does not say that this is wanted. A source that this host does not have
/// yet, or a name without addresses, is no error here: each connection is looked at again before its
/// first byte.
pub fn check_source(upstream: &Upstream, addresses: &[SocketAddr]) -> Result<(), LoopbackSource> {
    if upstream.danger_loopback_source {
        return Ok(());
    }
    let configured = upstream.source.as_ref().map(|source| source.value);
    for &address in addresses {
        let source = configured.or_else(|| routed_source(address));
        if let Some(source_address) = source.filter(|source| source.to_canonical().is_loopback()) {
            return Err(LoopbackSource {
                location: upstream.location.clone(),
                upstream: address,
                source_address,
                advice: advise_source(address, &other_addresses()),
            });
        }
    }
    Ok(())
}

fn advise_source(upstream: SocketAddr, addresses: &[IpAddr]) -> String {
    let of_its_kind: Vec<String> = addresses
        .iter()
        .filter(|address| address.is_ipv4() == upstream.is_ipv4())
        .map(ToString::to_string)
        .collect();
    match (of_its_kind.as_slice(), addresses) {
        ([first, rest @ ..], _) => {
            let rest = match rest {
                [] => String::new(),
                rest => format!(" (this host also has {})", rest.join(", ")),
            };
            format!("Write this into [upstream]: source = \"{first}\"{rest}.")
        }
        ([], [IpAddr::V4(first), ..]) => format!(
            "This host has no other IPv6 address. Write these into [upstream]: \
             url = \"http://127.0.0.1:{}\", source = \"{first}\".",
            upstream.port()
        ),
        ([], _) => {
            "This host has no such address on a network now. Write the one that it will have \
                    into [upstream]: source = \"…\"."
                .to_owned()
        }
    }
}

/// This host's addresses on its networks: IPv4 first, since XiVO's Web Services users know no IPv6.
pub fn other_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
    addresses.retain(|address| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    });
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advised_source_can_connect_to_the_upstream() {
        let advice = |upstream: &str, addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
            advise_source(upstream.parse().unwrap(), &addresses)
        };
        let both = ["192.168.1.125", "192.168.2.1", "2001:db8::1"];
        assert_eq!(
            advice("127.0.0.1:80", &both),
            "Write this into [upstream]: source = \"192.168.1.125\" (this host also has 192.168.2.1)."
        );
        assert!(advice("[::1]:80", &both).contains("source = \"2001:db8::1\"."));
        assert!(advice("[::1]:80", &["192.168.1.125"]).contains("url = \"http://127.0.0.1:80\""));
        assert!(advice("127.0.0.1:80", &["2001:db8::1"]).contains("source = \"…\""));
    }
}
