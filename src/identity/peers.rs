//! Which peer a caller is.
//!
//! A certificate says more than an address, and both together say most: a policy that wants both and
//! gets them wins over one that wants a certificate alone, and this one over the policy whose longest
//! prefix holds the caller's address. IPv4 and IPv6 are looked up in tries of their own; a mapped
//! address has become an IPv4 one before it comes here.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use prefix_trie::PrefixMap;

use crate::identity::caller::Caller;
use crate::identity::certificate::{CertificateFault, PresentedCertificate};
use crate::identity::resolved::Resolved;
use crate::location::Location;
use crate::net::client_address::ClientAddress;
use crate::policy::{self, CertificateRule, PeerName, Policy, Require};

/// All peers of one revision of the policies, each with something kept beside its policy.
#[derive(Debug)]
pub struct Peers<T> {
    peers: Vec<Peer<T>>,
    v4: PrefixMap<Ipv4Net, Holders>,
    v6: PrefixMap<Ipv6Net, Holders>,
    certificates: Certificates,
    /// Apart from what is written, so that an address which a name has never hides the prefix that
    /// another peer, told apart by its certificate, writes around it.
    named: HashMap<IpAddr, Holders>,
    resolved: Vec<Resolved>,
}

/// A peer: its policy, and what the gateway keeps for it.
#[derive(Debug)]
pub struct Peer<T> {
    /// What it may do.
    pub policy: Policy,
    /// Its limits, where requests are served.
    pub state: T,
}

/// A host of a policy, by indexes: one that is written there, or an address that a name there has.
#[derive(Clone, Copy, Debug)]
struct Entry {
    peer: u32,
    host: Host,
}

#[derive(Clone, Copy, Debug)]
enum Host {
    Literal(u32),
    Resolved(u32),
}

/// The policies that hold one prefix: one, or several that a certificate tells apart.
#[derive(Debug)]
enum Holders {
    One(Entry),
    Several(Vec<Entry>),
}

impl Holders {
    fn as_slice(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Several(entries) => entries,
        }
    }

    fn add(&mut self, entry: Entry) {
        let mut entries = self.as_slice().to_vec();
        entries.push(entry);
        *self = Self::Several(entries);
    }
}

/// The peers that a certificate is enough for, by what is written of it.
#[derive(Debug, Default)]
struct Certificates {
    keys: HashMap<[u8; 32], u32>,
    uris: HashMap<String, u32>,
    dns_names: HashMap<String, u32>,
    common_names: HashMap<String, u32>,
}

impl Certificates {
    fn add(&mut self, rule: &CertificateRule, peer: u32) {
        for key in &rule.public_key_sha256 {
            self.keys.entry(*key).or_insert(peer);
        }
        for (names, written) in [
            (&mut self.uris, &rule.san_uri),
            (&mut self.dns_names, &rule.san_dns),
            (&mut self.common_names, &rule.common_name),
        ] {
            for name in written {
                names.entry(name.clone()).or_insert(peer);
            }
        }
    }

    /// The peer that `shown` names: by its key, else by the most telling of its names.
    fn find(&self, shown: &PresentedCertificate<'_>) -> Option<u32> {
        let certificate = shown.certificate;
        let key = self.keys.get(&certificate.spki_sha256);
        let uri = || certificate.uris.iter().find_map(|uri| self.uris.get(uri));
        let dns = || certificate.dns_names.iter().find_map(|name| self.dns_names.get(name));
        let common = || self.common_names.get(certificate.common_name.as_ref()?);
        key.or_else(uri).or_else(dns).or_else(common).copied()
    }
}

/// Who a caller is.
#[derive(Debug)]
pub enum Found<'a, T> {
    /// A policy names the caller.
    Peer(Match<'a, T>),
    /// A caller that would be this peer, had it shown the certificate that the policy wants.
    CertificateMissing {
        /// Whose address, or whose certificate's name, it has.
        peer: &'a Peer<T>,
        /// The policy's `[certificate]`.
        rule: &'a CertificateRule,
        /// What is wrong with its certificate; `None` where it showed none.
        fault: Option<CertificateFault>,
    },
    /// Somebody whom no policy names.
    Unknown,
}

/// A caller that is a peer, and what says so.
#[derive(Debug)]
pub struct Match<'a, T> {
    /// The peer whose policy names the caller.
    pub peer: &'a Peer<T>,
    /// Where that stands which says so: a host entry, or the `[certificate]` section.
    pub location: &'a Location,
    /// What says so.
    pub by: MatchedBy,
    /// The name that has the address, where the policy does not write the address itself.
    pub name: Option<&'a Resolved>,
}

/// What says who a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchedBy {
    /// Its address is in this prefix.
    Address(IpNet),
    /// The same, and its certificate is one that the policy names.
    AddressAndCertificate(IpNet),
    /// The certificate that it presented.
    Certificate,
}

impl<T> Clone for Match<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Match<'_, T> {}

impl<T> Clone for Found<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Found<'_, T> {}

impl<'a, T> Found<'a, T> {
    /// The peer, where the caller is one.
    pub fn peer(&self) -> Option<&'a Peer<T>> {
        match self {
            Self::Peer(found) => Some(found.peer),
            Self::CertificateMissing { .. } | Self::Unknown => None,
        }
    }

    /// The peer whose policy is in force at `now`.
    ///
    /// # Errors
    /// Why the caller may not come in: [`IdentityError::Unknown`], [`IdentityError::CertificateRequired`],
    /// [`IdentityError::CertificateMismatch`], [`IdentityError::Disabled`], [`IdentityError::Expired`].
    pub fn identify(&self, now: Timestamp) -> Result<&'a Peer<T>, IdentityError> {
        match *self {
            Self::Peer(found) => {
                check_in_force(&found.peer.policy, now)?;
                Ok(found.peer)
            }
            Self::CertificateMissing { rule, fault, .. } => {
                let location = rule.location.clone();
                Err(match fault {
                    Some(fault) => IdentityError::CertificateMismatch { fault, location },
                    None => IdentityError::CertificateRequired { location },
                })
            }
            Self::Unknown => Err(IdentityError::Unknown),
        }
    }
}

impl<T> Peers<T> {
    /// The peers of `policies`, whose names have the addresses `resolved`, with `state` made for each.
    /// Where two policies hold the same prefix and no certificate tells them apart (the configuration
    /// reader refuses that) the first wins, and what is written wins over what a name has.
    pub fn new(policies: Vec<Policy>, resolved: &[Resolved], state: impl Fn(&Policy) -> T) -> Self {
        let mut v4 = PrefixMap::new();
        let mut v6 = PrefixMap::new();
        let mut hold = |prefix, at| match prefix {
            IpNet::V4(net) => hold(&mut v4, net, at),
            IpNet::V6(net) => hold(&mut v6, net, at),
        };
        let mut certificates = Certificates::default();
        let mut indexes = HashMap::new();
        for (peer, policy) in (0..).zip(&policies) {
            let rule = policy.certificate.as_ref();
            if let Some(rule) = rule.filter(|rule| rule.require != Require::Both) {
                certificates.add(rule, peer);
            }
            if rule.is_some_and(|rule| rule.require == Require::Certificate) {
                continue;
            }
            indexes.insert(policy.name.clone(), peer);
            for (host, entry) in (0..).zip(&policy.hosts) {
                if let policy::Host::Prefix(prefix) = entry.value {
                    hold(prefix, Entry { peer, host: Host::Literal(host) });
                }
            }
        }
        let mut named = HashMap::new();
        for (host, entry) in (0..).zip(resolved) {
            if let Some(&peer) = indexes.get(&entry.peer) {
                let at = Entry { peer, host: Host::Resolved(host) };
                let held = named.entry(entry.address);
                held.and_modify(|held: &mut Holders| held.add(at)).or_insert(Holders::One(at));
            }
        }
        let peer = |policy| Peer { state: state(&policy), policy };
        let peers = policies.into_iter().map(peer).collect();
        Self { peers, v4, v6, certificates, named, resolved: resolved.to_vec() }
    }

    /// The policies that write the longest prefix around `address`, that prefix, and where.
    pub fn written(
        &self,
        address: ClientAddress,
    ) -> impl Iterator<Item = (&Policy, IpNet, &Location)> {
        let written = |held: &HostOf<'_, T>| held.name.is_none();
        let holders = self.holders(address).filter(written);
        holders.map(|held| (&held.peer.policy, held.prefix, held.location))
    }

    /// All peers, in the order of their files.
    pub fn iter(&self) -> impl Iterator<Item = &Peer<T>> {
        self.peers.iter()
    }

    /// The addresses that names of peers have.
    pub fn resolved(&self) -> &[Resolved] {
        &self.resolved
    }

    /// An address that `peer`'s host `name` has.
    pub fn address_of(&self, peer: &PeerName, name: &str) -> Option<IpAddr> {
        let is_it = |resolved: &&Resolved| resolved.peer == *peer && resolved.name == name;
        self.resolved.iter().find(is_it).map(|resolved| resolved.address)
    }

    /// The host names of policies that have no address now: whose they are, the names, and where they
    /// stand. Looks at every name; for `explain` and the diagnostic log, not for every request.
    pub fn unresolved(&self) -> impl Iterator<Item = (&Policy, &str, &Location)> {
        let resolved: HashSet<(&PeerName, &str)> =
            self.resolved.iter().map(|known| (&known.peer, known.name.as_str())).collect();
        let by_address = |peer: &&Peer<T>| {
            let rule = peer.policy.certificate.as_ref();
            rule.is_none_or(|rule| rule.require != Require::Certificate)
        };
        let hosts = self
            .peers
            .iter()
            .filter(by_address)
            .flat_map(|peer| peer.policy.hosts.iter().map(move |host| (&peer.policy, host)));
        hosts.filter_map(move |(policy, host)| {
            let policy::Host::Name(name) = &host.value else { return None };
            let missing = !resolved.contains(&(&policy.name, name.as_str()));
            missing.then_some((policy, name.as_str(), &host.location))
        })
    }

    /// How many peers there are.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Who `caller` is. One without an address is nobody, whatever it shows.
    pub fn find(&self, caller: &Caller<'_>) -> Found<'_, T> {
        let Some(address) = caller.address else { return Found::Unknown };
        let mut by_address = None;
        let mut unproven = None;
        for HostOf { peer, location, prefix, name } in self.holders(address) {
            let rule = peer.policy.certificate.as_ref();
            match rule.filter(|rule| rule.require == Require::Both) {
                None => {
                    by_address = by_address.or(Some(Match {
                        peer,
                        location,
                        by: MatchedBy::Address(prefix),
                        name,
                    }));
                }
                Some(rule) => match caller.certificate.map(|shown| shown.satisfies(rule)) {
                    Some(Ok(())) => {
                        return Found::Peer(Match {
                            peer,
                            location,
                            by: MatchedBy::AddressAndCertificate(prefix),
                            name,
                        });
                    }
                    failed => {
                        let fault = failed.and_then(Result::err);
                        let failed = Some(Found::CertificateMissing { peer, rule, fault });
                        // Of several, the one whose certificate it claims to be says most.
                        let claimed = caller.certificate.is_some_and(|shown| shown.claims(rule));
                        unproven = if claimed { failed } else { unproven.or(failed) };
                    }
                },
            }
        }
        match self.by_certificate(caller) {
            Some(Found::Peer(found)) => Found::Peer(found),
            named => match by_address {
                Some(found) => Found::Peer(found),
                None => unproven.or(named).unwrap_or(Found::Unknown),
            },
        }
    }

    /// The peer that the caller's certificate names, whether it proves it or not.
    fn by_certificate(&self, caller: &Caller<'_>) -> Option<Found<'_, T>> {
        let shown = caller.certificate?;
        let peer = self.peers.get(self.certificates.find(&shown)? as usize)?;
        let rule = peer.policy.certificate.as_ref()?;
        Some(match shown.satisfies(rule) {
            Ok(()) => Found::Peer(Match {
                peer,
                location: &rule.location,
                by: MatchedBy::Certificate,
                name: None,
            }),
            Err(fault) => Found::CertificateMissing { peer, rule, fault: Some(fault) },
        })
    }

    /// The peers whose longest prefix holds `address`, and behind them those whose names have it: one
    /// in all, or several that certificates tell apart.
    fn holders(&self, address: ClientAddress) -> impl Iterator<Item = HostOf<'_, T>> {
        let holders = match address.ip() {
            IpAddr::V4(ip) => self.v4.get_lpm(&Ipv4Net::from(ip)).map(|(_, holders)| holders),
            IpAddr::V6(ip) => self.v6.get_lpm(&Ipv6Net::from(ip)).map(|(_, holders)| holders),
        };
        let named = if self.named.is_empty() { None } else { self.named.get(&address.ip()) };
        let entries = [holders, named].into_iter().flatten().flat_map(Holders::as_slice);
        entries.filter_map(|entry| self.host(*entry))
    }

    fn host(&self, entry: Entry) -> Option<HostOf<'_, T>> {
        let peer = self.peers.get(entry.peer as usize)?;
        match entry.host {
            Host::Literal(index) => {
                let host = peer.policy.hosts.get(index as usize)?;
                let policy::Host::Prefix(prefix) = host.value else { return None };
                Some(HostOf { peer, location: &host.location, prefix, name: None })
            }
            Host::Resolved(index) => {
                let name = self.resolved.get(index as usize)?;
                let prefix = name.address.into();
                Some(HostOf { peer, location: &name.location, prefix, name: Some(name) })
            }
        }
    }

    /// The entry that `address` misses by the fewest bits: what an administrator probably meant.
    /// Looks at every prefix; for `explain` and the diagnostic log, not for every request.
    pub fn closest(&self, address: ClientAddress) -> Option<Match<'_, T>> {
        let first = |holders: &Holders| holders.as_slice().first().copied();
        let entries = self.v4.iter().map(|(net, holders)| (IpNet::V4(net), first(holders)));
        let entries =
            entries.chain(self.v6.iter().map(|(net, holders)| (IpNet::V6(net), first(holders))));
        let named = self.named.iter().map(|(&address, held)| (IpNet::from(address), first(held)));
        let (_, entry) = entries
            .chain(named)
            .filter_map(|(net, entry)| Some((common_bits(address.ip(), net.addr())?, entry?)))
            .max_by_key(|(bits, _)| *bits)?;
        let HostOf { peer, location, prefix, name } = self.host(entry)?;
        Some(Match { peer, location, by: MatchedBy::Address(prefix), name })
    }
}

impl MatchedBy {
    /// The prefix that the caller's address is in, where that counted.
    pub fn prefix(self) -> Option<IpNet> {
        match self {
            Self::Address(prefix) | Self::AddressAndCertificate(prefix) => Some(prefix),
            Self::Certificate => None,
        }
    }
}

/// A host, and whose it is.
struct HostOf<'a, T> {
    peer: &'a Peer<T>,
    location: &'a Location,
    prefix: IpNet,
    name: Option<&'a Resolved>,
}

/// Adds a holder of a prefix behind those that it has.
fn hold<P: prefix_trie::Prefix>(map: &mut PrefixMap<P, Holders>, prefix: P, at: Entry) {
    map.entry(prefix).and_modify(|held| held.add(at)).or_insert(Holders::One(at));
}

/// How many leading bits two addresses of one family share.
fn common_bits(a: IpAddr, b: IpAddr) -> Option<u32> {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        _ => None,
    }
}

/// Why a caller may not come in as a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// It is in no policy.
    Unknown,
    /// The policy wants a certificate, and it showed none.
    CertificateRequired {
        /// The policy's `[certificate]`.
        location: Location,
    },
    /// Its certificate is not one that the policy wants.
    CertificateMismatch {
        /// What is wrong with the certificate.
        fault: CertificateFault,
        /// The policy's `[certificate]`.
        location: Location,
    },
    /// The policy has `enabled = false`.
    Disabled {
        /// Where the policy says so.
        location: Location,
    },
    /// Now is outside of the policy's `valid_from` and `valid_until`.
    Expired {
        /// The date that decided.
        location: Location,
    },
}

/// Whether a known peer may come in at all at `now`.
///
/// # Errors
/// [`IdentityError::Disabled`] and [`IdentityError::Expired`], with the line that decides.
pub(crate) fn check_in_force(policy: &Policy, now: Timestamp) -> Result<(), IdentityError> {
    if !policy.enabled.value {
        return Err(IdentityError::Disabled { location: policy.enabled.location.clone() });
    }
    let too_early = policy.valid_from.as_ref().filter(|from| now < from.value);
    let too_late = policy.valid_until.as_ref().filter(|until| now >= until.value);
    match too_early.or(too_late) {
        Some(date) => Err(IdentityError::Expired { location: date.location.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::Require::Certificate as Certified;
    use super::*;
    use crate::location::Located;
    use crate::policy::tests::{policy, policy_with_hosts};
    use crate::x509::Certificate;

    fn peers(policies: &[(&str, &[&str])]) -> Peers<()> {
        Peers::new(
            policies.iter().map(|(name, hosts)| policy_with_hosts(name, hosts)).collect(),
            &[],
            |_| (),
        )
    }

    fn client(text: &str) -> ClientAddress {
        ClientAddress::new(text.parse().unwrap())
    }

    /// A caller from an address, with no certificate.
    fn caller(address: IpAddr) -> Caller<'static> {
        Caller::direct(SocketAddr::new(address, 40_000))
    }

    fn found(peers: &Peers<()>, address: &str) -> Option<String> {
        let found = peers.find(&caller(address.parse().unwrap()));
        found.peer().map(|peer| peer.policy.name.to_string())
    }

    /// The word of the refusal that comes of it.
    fn word(error: &IdentityError) -> &'static str {
        match error {
            IdentityError::Unknown => "unknown-peer",
            IdentityError::CertificateRequired { .. } => "certificate-required",
            IdentityError::CertificateMismatch { .. } => "certificate-mismatch",
            IdentityError::Disabled { .. } => "peer-disabled",
            IdentityError::Expired { .. } => "peer-expired",
        }
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
        assert_eq!(closest.by.prefix().unwrap().to_string(), "198.51.100.0/29");
        assert!(peers.closest(client("2001:db8::1")).is_none());
    }

    #[test]
    fn the_closest_entry_over_ipv6_shares_the_most_bits_too() {
        let peers = peers(&[
            ("paris", &["2001:db8:1::/48"]),
            ("lyon", &["2001:db8:2::/48", "198.51.100.0/24"]),
            ("nice", &["2001:db9::/32"]),
        ]);
        for (address, peer, prefix) in [
            ("2001:db8:0:1::1", "paris", "2001:db8:1::/48"),
            ("2001:db8:3::1", "lyon", "2001:db8:2::/48"),
            ("2001:dba::1", "nice", "2001:db9::/32"),
            ("192.0.2.1", "lyon", "198.51.100.0/24"),
        ] {
            let closest = peers.closest(client(address)).unwrap();
            assert_eq!(closest.peer.policy.name.as_str(), peer, "{address}");
            assert_eq!(closest.by.prefix().unwrap().to_string(), prefix, "{address}");
        }
    }

    #[test]
    fn an_address_that_a_name_has_is_found_and_may_be_the_closest() {
        let named = resolved("named", "10.0.0.7");
        let policies = ["far", "named"].map(|name| match name {
            "far" => policy_with_hosts(name, &["10.0.1.0/24"]),
            _ => policy(name),
        });
        let peers = Peers::new(policies.to_vec(), &[named], |_| ());
        let by = MatchedBy::Address("10.0.0.7/32".parse().unwrap());
        let caller = caller("10.0.0.7".parse().unwrap());
        let Found::Peer(found) = peers.find(&caller) else { panic!() };
        for found in [found, peers.closest(client("10.0.0.6")).unwrap()] {
            assert_eq!(found.peer.policy.name.as_str(), "named");
            assert_eq!((found.by, found.location.line()), (by, 9));
            assert_eq!(found.name.map(|name| name.name.as_str()), Some("named.example"));
        }
        assert_eq!(peers.written(client("10.0.0.7")).count(), 0);
    }

    #[test]
    fn names_without_an_address_are_listed() {
        let with_names = |peer: &str, names: &[&str]| {
            let hosts = names.iter().map(|name| Located {
                value: policy::Host::Name((*name).to_owned()),
                location: Location::new(Default::default(), 9),
                written: true,
            });
            Policy { hosts: hosts.collect(), ..policy(peer) }
        };
        let by_certificate =
            Policy { certificate: Some(by_dns("c", Certified)), ..with_names("c", &["c.example"]) };
        let policies = vec![
            with_names("a", &["a.example", "old.example"]),
            policy_with_hosts("b", &["10.0.0.0/8"]),
            by_certificate,
        ];
        let unresolved = |resolved: &[Resolved]| {
            let peers = Peers::new(policies.clone(), resolved, |_| ());
            let names = peers.unresolved();
            names
                .map(|(policy, name, at)| format!("{} {name} {}", policy.name, at.line()))
                .collect::<Vec<_>>()
        };
        assert_eq!(unresolved(&[]), ["a a.example 9", "a old.example 9"]);
        assert_eq!(unresolved(&[resolved("a", "10.0.0.7")]), ["a old.example 9"]);
    }

    #[test]
    fn the_peers_are_listed_and_what_is_written_around_an_address() {
        let nobody = peers(&[]);
        assert_eq!((nobody.len(), nobody.is_empty(), nobody.iter().count()), (0, true, 0));
        let peers = peers(&[("b", &["192.0.2.0/24"]), ("a", &["10.0.0.0/8", "10.1.0.0/16"])]);
        let names: Vec<&str> = peers.iter().map(|peer| peer.policy.name.as_str()).collect();
        assert_eq!((names.as_slice(), peers.len(), peers.is_empty()), (&["b", "a"][..], 2, false));
        let written: Vec<(&str, String, u32)> = peers
            .written(client("10.1.2.3"))
            .map(|(policy, prefix, location)| {
                (policy.name.as_str(), prefix.to_string(), location.line())
            })
            .collect();
        assert_eq!(written, [("a", "10.1.0.0/16".to_owned(), 3)]);
        assert_eq!(peers.written(client("11.0.0.1")).count(), 0);
    }

    /// A certificate that says so and no more.
    fn certificate(key: u8, uri: &str, dns: &str, common: Option<&str>) -> Certificate {
        Certificate {
            spki_sha256: [key; 32],
            uris: vec![uri.to_owned()],
            dns_names: vec![dns.to_owned()],
            common_name: common.map(str::to_owned),
            ..crate::x509::tests::some()
        }
    }

    /// The `[certificate]` section of `name`, on line 7, which wants nothing yet.
    fn no_rule(name: &str, require: Require) -> CertificateRule {
        CertificateRule {
            public_key_sha256: Vec::new(),
            san_dns: Vec::new(),
            san_uri: Vec::new(),
            common_name: Vec::new(),
            require,
            location: Location::new(std::sync::Arc::new(name.into()), 7),
        }
    }

    fn by_dns(name: &str, require: Require) -> CertificateRule {
        CertificateRule { san_dns: vec![format!("{name}.example")], ..no_rule(name, require) }
    }

    /// `{name}.example`, which has this address.
    fn resolved(name: &str, address: &str) -> Resolved {
        Resolved {
            peer: policy(name).name,
            name: format!("{name}.example"),
            location: Location::new(Default::default(), 9),
            address: address.parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            next: Timestamp::UNIX_EPOCH,
        }
    }

    /// A caller from `address` that shows `certificate`.
    fn showing<'c>(
        address: &str,
        certificate: &'c Certificate,
        trust: Result<(), CertificateFault>,
    ) -> Caller<'c> {
        let certificate = Some(PresentedCertificate { certificate, trust });
        Caller { certificate, ..caller(address.parse().unwrap()) }
    }

    #[test]
    fn a_certificate_names_a_peer_by_its_key_before_its_names() {
        let rules = [
            (
                "common",
                CertificateRule { common_name: vec!["x".into()], ..no_rule("a", Certified) },
            ),
            ("dns", CertificateRule { san_dns: vec!["x".into()], ..no_rule("b", Certified) }),
            ("uri", CertificateRule { san_uri: vec!["x".into()], ..no_rule("c", Certified) }),
            (
                "key",
                CertificateRule { public_key_sha256: vec![[1; 32]], ..no_rule("d", Certified) },
            ),
        ];
        let policies = rules.map(|(name, rule)| Policy { certificate: Some(rule), ..policy(name) });
        let peers = Peers::new(policies.to_vec(), &[], |_| ());
        for (certificate, peer) in [
            (certificate(1, "x", "x", Some("x")), Some("key")),
            (certificate(0, "x", "x", Some("x")), Some("uri")),
            (certificate(0, "", "x", Some("x")), Some("dns")),
            (certificate(0, "", "", Some("x")), Some("common")),
            (certificate(0, "", "", Some("y")), None),
            (certificate(0, "", "", None), None),
        ] {
            let found = peers.find(&showing("10.0.0.7", &certificate, Ok(())));
            let name = found.peer().map(|peer| peer.policy.name.as_str());
            assert_eq!(name, peer);
            if let Found::Peer(found) = found {
                assert_eq!((found.by, found.location.line()), (MatchedBy::Certificate, 7));
            }
        }
    }

    #[test]
    fn a_policy_says_whether_address_and_certificate_are_enough() {
        let prefix = "10.0.0.0/24".parse().unwrap();
        let lyon = certificate(0, "", "lyon.example", None);
        for (require, by_address, by_certificate, by_both) in [
            (
                Require::Both,
                Err("certificate-required"),
                Err("unknown-peer"),
                Ok(MatchedBy::AddressAndCertificate(prefix)),
            ),
            (
                Certified,
                Err("unknown-peer"),
                Ok(MatchedBy::Certificate),
                Ok(MatchedBy::Certificate),
            ),
            (
                Require::Either,
                Ok(MatchedBy::Address(prefix)),
                Ok(MatchedBy::Certificate),
                Ok(MatchedBy::Certificate),
            ),
        ] {
            let rule = Some(by_dns("lyon", require));
            let policy =
                Policy { certificate: rule, ..policy_with_hosts("lyon", &["10.0.0.0/24"]) };
            let peers = Peers::new(vec![policy], &[], |_| ());
            let outcome = |caller: &Caller<'_>| match peers.find(caller) {
                Found::Peer(found) => Ok(found.by),
                found @ (Found::CertificateMissing { .. } | Found::Unknown) => {
                    Err(word(&found.identify(Timestamp::UNIX_EPOCH).unwrap_err()))
                }
            };
            assert_eq!(outcome(&caller("10.0.0.7".parse().unwrap())), by_address, "{require:?}");
            assert_eq!(outcome(&showing("10.9.0.7", &lyon, Ok(()))), by_certificate, "{require:?}");
            assert_eq!(outcome(&showing("10.0.0.7", &lyon, Ok(()))), by_both, "{require:?}");
            let unknown = Caller { address: None, ..showing("10.0.0.7", &lyon, Ok(())) };
            assert_eq!(outcome(&unknown), Err("unknown-peer"), "{require:?}");
        }
        assert_eq!(MatchedBy::Certificate.prefix(), None);
        assert_eq!(MatchedBy::AddressAndCertificate(prefix).prefix(), Some(prefix));
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_refused_for_the_peer_that_it_claims_to_be() {
        let policies = ["lyon", "paris"].map(|name| Policy {
            certificate: Some(by_dns(name, Require::Both)),
            ..policy_with_hosts(name, &["10.0.0.0/24"])
        });
        let peers = Peers::new(policies.to_vec(), &[], |_| ());
        let expired = Err(CertificateFault::Expired);
        for (who, trust, blamed, fault) in [
            ("lyon", expired, "lyon", CertificateFault::Expired),
            ("paris", expired, "paris", CertificateFault::Expired),
            ("nice", expired, "lyon", CertificateFault::Expired),
            ("nice", Ok(()), "lyon", CertificateFault::NotOfPeer),
        ] {
            let certificate = certificate(0, "", &format!("{who}.example"), None);
            let found = peers.find(&showing("10.0.0.7", &certificate, trust));
            let refusal = found.identify(Timestamp::UNIX_EPOCH).unwrap_err();
            let location = no_rule(blamed, Require::Both).location;
            assert_eq!(refusal, IdentityError::CertificateMismatch { fault, location }, "{who}");
        }
    }

    #[test]
    fn only_a_policy_in_force_lets_its_peer_in() {
        let (enabled, mut disabled) =
            (policy_with_hosts("a", &["10.0.0.1/32"]), policy_with_hosts("b", &["10.0.0.2/32"]));
        disabled.enabled.value = false;
        let peers = Peers::new(vec![enabled, disabled], &[], |_| ());
        let identified = |address: &str| {
            let found = peers.find(&caller(address.parse().unwrap()));
            let peer = found.identify(Timestamp::UNIX_EPOCH);
            peer.map(|peer| peer.policy.name.to_string()).map_err(|refused| word(&refused))
        };
        assert_eq!(identified("10.0.0.1"), Ok("a".to_owned()));
        assert_eq!(identified("10.0.0.2"), Err("peer-disabled"));
        assert_eq!(identified("10.0.0.3"), Err("unknown-peer"));
    }

    #[test]
    fn an_address_that_a_name_has_hides_no_prefix_that_is_written_around_it() {
        let rule = |name: &str| CertificateRule {
            public_key_sha256: Vec::new(),
            san_dns: vec![format!("{name}.example")],
            san_uri: Vec::new(),
            common_name: Vec::new(),
            require: Require::Both,
            location: Location::new(Default::default(), 1),
        };
        let with = |name: &str, hosts: &[&str]| Policy {
            certificate: Some(rule(name)),
            ..policy_with_hosts(name, hosts)
        };
        let (wide, named) = (with("wide", &["10.0.0.0/24"]), with("named", &[]));
        let resolved = Resolved {
            peer: named.name.clone(),
            name: "named.example".to_owned(),
            location: Location::new(Default::default(), 1),
            address: "10.0.0.7".parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            next: Timestamp::UNIX_EPOCH,
        };
        let peers = Peers::new(vec![wide, named], &[resolved], |_| ());
        for who in ["wide", "named"] {
            let certificate = Certificate {
                dns_names: vec![format!("{who}.example")],
                ..crate::x509::tests::some()
            };
            let shown = PresentedCertificate { certificate: &certificate, trust: Ok(()) };
            let address = "10.0.0.7".parse().unwrap();
            let caller = Caller { certificate: Some(shown), ..caller(address) };
            let found = peers.find(&caller).peer().map(|peer| peer.policy.name.to_string());
            assert_eq!(found.as_deref(), Some(who));
        }
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
            let trie = match peers.find(&caller(ip)) {
                Found::Peer(found) => found.by.prefix(),
                Found::CertificateMissing { .. } | Found::Unknown => None,
            };
            assert_eq!(trie, linear.copied(), "{ip}");
        }
    }

    #[test]
    fn a_policy_is_in_force_between_its_dates() {
        let mut policy = policy("a");
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let date = |text: &str, line| Located {
            value: at(text),
            location: Location::new(Default::default(), line),
            written: true,
        };
        policy.valid_from = Some(date("2026-11-01T00:00:00Z", 5));
        policy.valid_until = Some(date("2026-12-01T00:00:00Z", 6));
        let line = |text| match check_in_force(&policy, at(text)) {
            Ok(()) => None,
            Err(IdentityError::Expired { location }) => Some(location.line()),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(line("2026-10-31T23:59:59Z"), Some(5));
        assert_eq!(line("2026-11-01T00:00:00Z"), None);
        assert_eq!(line("2026-11-30T23:59:59Z"), None);
        assert_eq!(line("2026-12-01T00:00:00Z"), Some(6));
        policy.enabled.value = false;
        let disabled = check_in_force(&policy, at("2026-11-01T00:00:00Z"));
        assert!(matches!(disabled, Err(IdentityError::Disabled { .. })), "{disabled:?}");
    }
}
