//! Which peer a caller is.
//!
//! The longest prefix that holds the caller's address names the peer. IPv4 and IPv6 are looked up in
//! tries of their own; a mapped address has become an IPv4 one before it comes here.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use prefix_trie::PrefixMap;

use crate::address::ClientAddress;
use crate::place::{Place, Placed};
use crate::policy::{Host, Policy};
use crate::refusal::Refusal;

/// All peers of one revision of the policies, each with something kept beside its policy.
#[derive(Debug)]
pub struct Peers<T> {
    peers: Vec<Peer<T>>,
    v4: PrefixMap<Ipv4Net, Entry>,
    v6: PrefixMap<Ipv6Net, Entry>,
}

/// A peer: its policy, and what the gateway keeps for it.
#[derive(Debug)]
pub struct Peer<T> {
    /// What it may do.
    pub policy: Policy,
    /// Its limits, where requests are served.
    pub state: T,
}

/// A host of a policy, by indexes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    peer: u32,
    host: u32,
}

/// A caller that is a peer, and the host entry that says so.
#[derive(Debug)]
pub struct Match<'a, T> {
    /// The peer.
    pub peer: &'a Peer<T>,
    /// Where the entry stands that the address is in.
    pub place: &'a Place,
    /// The entry.
    pub prefix: IpNet,
}

impl<T> Clone for Match<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Match<'_, T> {}

impl<T> Peers<T> {
    /// The peers of `policies`, with `state` made for each. Where two policies hold the same prefix
    /// (the configuration reader refuses that) the first wins.
    pub fn new(policies: Vec<Policy>, state: impl Fn(&Policy) -> T) -> Self {
        let mut v4 = PrefixMap::new();
        let mut v6 = PrefixMap::new();
        for (peer, policy) in (0..).zip(&policies) {
            for (host, entry) in (0..).zip(&policy.hosts) {
                let at = Entry { peer, host };
                match entry.value {
                    Host::Prefix(IpNet::V4(net)) => {
                        v4.entry(net).or_insert(at);
                    }
                    Host::Prefix(IpNet::V6(net)) => {
                        v6.entry(net).or_insert(at);
                    }
                    // Names are not resolved in this version; they never match.
                    Host::Name(_) => {}
                }
            }
        }
        let peer = |policy| Peer { state: state(&policy), policy };
        Self { peers: policies.into_iter().map(peer).collect(), v4, v6 }
    }

    /// All peers, in the order of their files.
    pub fn iter(&self) -> impl Iterator<Item = &Peer<T>> {
        self.peers.iter()
    }

    /// How many peers there are.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The peer with the longest prefix that holds `address`.
    pub fn find(&self, address: ClientAddress) -> Option<Match<'_, T>> {
        let entry = match address.ip() {
            IpAddr::V4(ip) => self.v4.get_lpm(&Ipv4Net::from(ip)).map(|(_, entry)| *entry),
            IpAddr::V6(ip) => self.v6.get_lpm(&Ipv6Net::from(ip)).map(|(_, entry)| *entry),
        };
        self.host(entry?)
    }

    fn host(&self, entry: Entry) -> Option<Match<'_, T>> {
        let peer = self.peers.get(entry.peer as usize)?;
        let Placed { value: Host::Prefix(prefix), place, .. } =
            peer.policy.hosts.get(entry.host as usize)?
        else {
            return None;
        };
        Some(Match { peer, place, prefix: *prefix })
    }

    /// The entry that `address` misses by the fewest bits: what an administrator probably meant.
    /// Looks at every prefix; for `explain` and the diagnostic log, not for every request.
    pub fn closest(&self, address: ClientAddress) -> Option<Match<'_, T>> {
        let entries = self.v4.iter().map(|(net, entry)| (IpNet::V4(net), *entry));
        let entries = entries.chain(self.v6.iter().map(|(net, entry)| (IpNet::V6(net), *entry)));
        let (_, entry) = entries
            .filter_map(|(net, entry)| Some((common_bits(address.ip(), net.addr())?, entry)))
            .max_by_key(|(bits, _)| *bits)?;
        self.host(entry)
    }
}

/// How many leading bits two addresses of one family share.
fn common_bits(a: IpAddr, b: IpAddr) -> Option<u32> {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        _ => None,
    }
}

/// Whether a known peer may come in at all at `now`.
///
/// # Errors
/// [`Refusal::PeerDisabled`] and [`Refusal::PeerExpired`], with the line that decides.
pub fn check_in_force(policy: &Policy, now: Timestamp) -> Result<(), Refusal> {
    if !policy.enabled.value {
        return Err(Refusal::PeerDisabled { place: policy.enabled.place.clone() });
    }
    let too_early = policy.valid_from.as_ref().filter(|from| now < from.value);
    let too_late = policy.valid_until.as_ref().filter(|until| now >= until.value);
    match too_early.or(too_late) {
        Some(date) => Err(Refusal::PeerExpired { place: date.place.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{policy, policy_with_hosts};

    fn peers(policies: &[(&str, &[&str])]) -> Peers<()> {
        Peers::new(
            policies.iter().map(|(name, hosts)| policy_with_hosts(name, hosts)).collect(),
            |_| (),
        )
    }

    fn client(text: &str) -> ClientAddress {
        ClientAddress::new(text.parse().unwrap())
    }

    fn found(peers: &Peers<()>, address: &str) -> Option<String> {
        peers.find(client(address)).map(|found| found.peer.policy.name.to_string())
    }

    #[test]
    fn the_longest_prefix_names_the_peer() {
        let peers = peers(&[
            ("wide", &["10.0.0.0/8", "2001:db8::/32"]),
            ("narrow", &["10.1.0.0/16", "2001:db8:7::/64"]),
            ("host", &["10.1.2.3/32"]),
        ]);
        for (address, peer) in [
            ("10.9.9.9", Some("wide")),
            ("10.1.9.9", Some("narrow")),
            ("10.1.2.3", Some("host")),
            ("::ffff:10.1.2.3", Some("host")),
            ("2001:db8:7::1", Some("narrow")),
            ("2001:db8:8::1", Some("wide")),
            ("11.0.0.1", None),
            ("2002:a01:203::1", None),
            ("::10.1.2.3", None),
            ("::1", None),
        ] {
            assert_eq!(found(&peers, address).as_deref(), peer, "{address}");
        }
    }

    #[test]
    fn the_closest_entry_shares_the_most_bits() {
        let peers = peers(&[("paris", &["203.0.113.0/24"]), ("lyon", &["198.51.100.0/29"])]);
        let closest = peers.closest(client("198.51.100.9")).unwrap();
        assert_eq!(closest.peer.policy.name.as_str(), "lyon");
        assert_eq!(closest.prefix.to_string(), "198.51.100.0/29");
        assert!(peers.closest(client("2001:db8::1")).is_none());
    }

    #[test]
    fn every_address_finds_what_a_linear_search_finds() {
        let mut random = fastrand::Rng::with_seed(7);
        let nets: Vec<IpNet> = (0..2000)
            .map(|_| {
                let length = random.u8(8..=32);
                IpNet::V4(
                    Ipv4Net::new(random.u32(0x0a00_0000..0x0aff_ffff).into(), length)
                        .unwrap()
                        .trunc(),
                )
            })
            .collect();
        let texts: Vec<String> = nets.iter().map(ToString::to_string).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let peers = peers(&[("a", &texts)]);
        for _ in 0..2000 {
            let ip = IpAddr::V4(random.u32(0x0a00_0000..0x0aff_ffff).into());
            let linear =
                nets.iter().filter(|net| net.contains(&ip)).max_by_key(|net| net.prefix_len());
            let trie = peers.find(ClientAddress::new(ip)).map(|found| found.prefix);
            assert_eq!(trie, linear.copied(), "{ip}");
        }
    }

    #[test]
    fn a_policy_is_in_force_between_its_dates() {
        let mut policy = policy("a");
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let date = |text: &str, line| Placed {
            value: at(text),
            place: Place::new(Default::default(), line),
            written: true,
        };
        policy.valid_from = Some(date("2026-11-01T00:00:00Z", 5));
        policy.valid_until = Some(date("2026-12-01T00:00:00Z", 6));
        let line = |text| match check_in_force(&policy, at(text)) {
            Ok(()) => None,
            Err(refusal) => Some((refusal.word(), refusal.place().unwrap().line())),
        };
        assert_eq!(line("2026-10-31T23:59:59Z"), Some(("peer-expired", 5)));
        assert_eq!(line("2026-11-01T00:00:00Z"), None);
        assert_eq!(line("2026-11-30T23:59:59Z"), None);
        assert_eq!(line("2026-12-01T00:00:00Z"), Some(("peer-expired", 6)));
        policy.enabled.value = false;
        assert_eq!(
            check_in_force(&policy, at("2026-11-01T00:00:00Z")).unwrap_err().word(),
            "peer-disabled"
        );
    }
}
