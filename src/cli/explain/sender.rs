//! Whom the connection comes from: an address, or a peer by its name.

use std::net::IpAddr;

use super::narrator::Note;
use crate::config::{escaped, listed, nearest};
use crate::net::client_address::ClientAddress;
use crate::policy::{Host, Policy, Require};
use crate::worker::snapshot::Snapshot;

/// Whom the connection comes from, and how that was found where it is not what was written.
#[derive(Debug)]
pub(super) struct SenderAddress {
    pub(super) address: ClientAddress,
    pub(super) note: Option<Note>,
}

impl SenderAddress {
    /// What `text` means: an address, else the first host of the peer of this name.
    pub(super) fn find(
        text: &str,
        snapshot: &Snapshot,
        shows_certificate: bool,
    ) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self { address: ClientAddress::new(address), note: None });
        }
        let policies = &snapshot.config.policies;
        let policy = policies.iter().find(|policy| policy.name.as_str() == text);
        policy
            .ok_or_else(|| nobody(text, policies))
            .and_then(|policy| host_of(policy, snapshot, shows_certificate))
    }
}

fn nobody(text: &str, policies: &[Policy]) -> String {
    let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    let text = escaped(text);
    let known = match (nearest(&text, names.iter().copied()), names.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => "there are no peers".to_owned(),
        (None, names) if names.len() > MOST_NAMES => {
            format!("there are {} peers, named as their policy files are", names.len())
        }
        (None, names) => format!("there are {}", listed(names, "and")),
    };
    format!("`{text}` is no IPv4 or IPv6 address, and no peer's name: {known}")
}

/// An address from which the peer comes.
fn host_of(
    policy: &Policy,
    snapshot: &Snapshot,
    shows_certificate: bool,
) -> Result<SenderAddress, String> {
    let peer = &policy.name;
    let rule = policy.certificate.as_ref();
    let alone = rule.filter(|rule| rule.require == Require::Certificate);
    if let Some(rule) = alone.filter(|_| !shows_certificate) {
        return Err(format!(
            "the peer `{peer}` is known by its certificate alone [{}]: write --certificate FILE, too",
            rule.location
        ));
    }
    let found = |address: IpAddr, text: String, location: String| SenderAddress {
        address: ClientAddress::new(address),
        note: Some(Note { text, location: Some(location) }),
    };
    let Some(host) = policy.hosts.first() else {
        return match alone {
            Some(rule) => Ok(found(
                ANYWHERE,
                format!("{ANYWHERE} stands for any address: `{peer}` is known by its certificate"),
                rule.location.to_string(),
            )),
            None => Err(format!("the peer `{peer}` has no host: write an address")),
        };
    };
    let (address, text) = match &host.value {
        Host::Prefix(prefix) => {
            let address = prefix.hosts().next().unwrap_or_else(|| prefix.addr());
            let text = if prefix.prefix_len() == prefix.max_prefix_len() {
                format!("{address} is the first host of `{peer}`")
            } else {
                format!("{address} is in {prefix}, the first host of `{peer}`")
            };
            (address, text)
        }
        Host::Name(name) => {
            let address = snapshot.peers.address_of(peer, name).ok_or_else(|| {
                format!(
                    "`{name}`, the first host of the peer `{peer}` [{}], has no address now: write an address",
                    host.location
                )
            })?;
            (address, format!("{address} is of {name}, the first host of `{peer}`"))
        }
    };
    Ok(found(address, text, host.location.to_string()))
}

/// Of the addresses that documentation is written with (RFC 5737).
const ANYWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// The number of peers that are named one by one.
const MOST_NAMES: usize = 8;
