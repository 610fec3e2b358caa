//! Callers in no policy, and those that XiVO itself lets in: who they are, and the policies that would let them in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Material, plain, text};
use crate::net::client_address::ClientAddress;
use crate::policy::proposal::{self, Proposal};
use crate::policy::{self, Actions, Host};
use crate::report::count::tally::{PeerTally, Span, UnknownCallerTally};
use crate::report::read::entry::Action;
use crate::report::summary::wording::{period, plural};
use crate::report::summary::{Network, Unknown, UnknownCaller};

impl Material<'_> {
    pub(super) fn unknown(&self) -> Unknown {
        let tally = self.tally;
        let known = tally.unknown_callers.list();
        let callers = known.iter().take(MOST);
        let callers: Vec<UnknownCaller> = callers
            .map(|(address, count, kept)| self.unknown_caller(address, *count, kept))
            .collect();
        let addresses = tally.unknown_addresses.estimate();
        let networks = self.networks(&known);
        let networks_left_out = networks.len().saturating_sub(MOST) as u64;
        Unknown {
            requests: tally.unknown_requests,
            addresses,
            callers_left_out: addresses.saturating_sub(callers.len() as u64),
            callers,
            networks: networks.into_iter().take(MOST).collect(),
            networks_left_out,
        }
    }

    fn unknown_caller(
        &self,
        address: &[u8],
        requests: u64,
        tally: &UnknownCallerTally,
    ) -> UnknownCaller {
        let address = text(address);
        let ip = address.parse::<IpAddr>().ok().map(ClientAddress::new);
        let known_by_now = ip.and_then(|ip| self.holder(ip));
        let may_be_proposed = asks_as_xivo(tally, requests)
            && known_by_now.is_none()
            && self.of_this_host(&address).is_none()
            // Of what was left out nothing is known.
            && self.tally.unknown_hidden == 0;
        let UnknownCallerTally { span, lookups, private, actions, .. } = tally;
        let asked = Asked { requests, span: *span, actions, private: *private };
        let agent = &*tally.user_agent.text;
        UnknownCaller {
            requests,
            error: self.tally.unknown_callers.error(),
            first: self.at(span.first),
            last: self.at(span.last),
            lookups: *lookups,
            private: *private,
            user_agent: (!agent.is_empty()).then(|| plain(agent)),
            policy: ip.filter(|_| may_be_proposed).map(|ip| self.proposed(ip, &asked)),
            known_by_now,
            address,
        }
    }

    /// Networks with several callers that are no XiVO.
    fn networks(&self, known: &[(&[u8], u64, &UnknownCallerTally)]) -> Vec<Network> {
        let mut networks: BTreeMap<IpNet, (u64, u64, u64, Span)> = BTreeMap::new();
        for (address, requests, tally) in known {
            let ip = std::str::from_utf8(address).ok().and_then(|it| it.parse::<IpAddr>().ok());
            let Some(network) = ip.and_then(network) else { continue };
            if asks_as_xivo(tally, *requests) {
                continue;
            }
            let (addresses, all, lookups, span) =
                networks.entry(network).or_insert((0, 0, 0, tally.span));
            *addresses += 1;
            *all += requests;
            *lookups += tally.lookups;
            span.merge(&tally.span);
        }
        let several = networks.into_iter().filter(|(_, (addresses, ..))| *addresses > 1);
        let mut several: Vec<Network> = several
            .map(|(network, (addresses, requests, lookups, span))| Network {
                network: network.to_string(),
                addresses,
                requests,
                lookups,
                first: self.at(span.first),
                last: self.at(span.last),
            })
            .collect();
        several.sort_by(|a, b| {
            let by_size = (b.requests, b.addresses).cmp(&(a.requests, a.addresses));
            by_size.then_with(|| a.network.cmp(&b.network))
        });
        several
    }

    /// Whose policy has the address, written or as a prefix.
    pub(super) fn holder(&self, address: ClientAddress) -> Option<String> {
        let policies = self.config?.policies.iter();
        let prefixes = policies.flat_map(|policy| {
            policy.hosts.iter().filter_map(move |host| match &host.value {
                Host::Prefix(prefix) => Some((policy, prefix)),
                Host::Name(_) => None,
            })
        });
        let containing = prefixes.filter(|(_, prefix)| prefix.contains(&address.ip()));
        let longest = containing.max_by_key(|(_, prefix)| prefix.prefix_len());
        longest.map(|(policy, _)| policy.name.as_str().to_owned())
    }

    /// What an address is that is this host's own and no peer's; `None` for all others, as far as is known.
    pub(super) fn of_this_host(&self, address: &str) -> Option<&'static str> {
        let ip = ClientAddress::new(address.parse().ok()?).ip();
        let source = self.config.and_then(|config| config.upstream.source.as_ref());
        if source.is_some_and(|source| ClientAddress::new(source.value).ip() == ip) {
            return Some("this gateway (`upstream.source`)");
        }
        ip.is_loopback().then_some("this machine itself: its own lookups")
    }

    /// For an address that XiVO lets in: the policy that would let it in here.
    pub(super) fn policy_of_address(&self, name: &str, tally: &PeerTally) -> Option<String> {
        let ip = ClientAddress::new(name.parse().ok().filter(|_| tally.is_address)?);
        if self.of_this_host(name).is_some() || self.holder(ip).is_some() {
            return None;
        }
        // What it really asked for is not known where a part was left out.
        let span = tally.span.filter(|_| tally.seen == tally.counts.requests)?;
        let requests = tally.counts.requests;
        let asked = Asked { requests, span, actions: &tally.actions, private: tally.private };
        Some(self.proposed(ip, &asked))
    }

    fn proposed(&self, address: ClientAddress, asked: &Asked<'_>) -> String {
        let Asked { requests, span, actions, private } = *asked;
        let mut granted = Actions::default();
        for (theirs, ours) in READING {
            if actions[theirs as usize] > 0 {
                granted.insert(ours);
            }
        }
        let asked = format!(
            "{}, {}",
            plural(requests, "request", "requests"),
            period(self.at(span.first), self.at(span.last))
        );
        Proposal { address, asked: &asked, actions: granted, private: private > 0 }.to_string()
    }
}

/// What somebody asked for.
struct Asked<'a> {
    requests: u64,
    span: Span,
    actions: &'a [u64; Action::COUNT],
    private: u64,
}

fn asks_as_xivo(tally: &UnknownCallerTally, requests: u64) -> bool {
    proposal::asks_as_xivo(tally.lookups, requests)
}

/// The network that scanners come from together.
fn network(ip: IpAddr) -> Option<IpNet> {
    let network = match ClientAddress::new(ip).ip() {
        IpAddr::V4(ip) => Ipv4Net::new(ip, 24).ok().map(IpNet::V4),
        IpAddr::V6(ip) => Ipv6Net::new(ip, 48).ok().map(IpNet::V6),
    };
    network.map(|network| network.trunc())
}

/// The number of callers in no policy that are listed, and of networks.
const MOST: usize = 200;
/// What can be granted.
const READING: [(Action, policy::Action); 3] = [
    (Action::Search, policy::Action::Search),
    (Action::List, policy::Action::List),
    (Action::View, policy::Action::View),
];
