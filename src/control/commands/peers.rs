//! `peers`: who is known, by what, what is left of its limits, and what it asked.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Commands, View, time};
use crate::control::documents::{
    CountRow, DisabledRow, HostRow, PeerRow, Peers, PeersSummary, RateRow, RefusalRow, Requests,
};
use crate::control::protocol::Refused;
use crate::identity::disabled::DisabledPeer;
use crate::identity::peers::{IdentityError, check_in_force};
use crate::limits::{CallerClass, HolderSeats, Limit, PeerId, SeatCensus, SeatHolder};
use crate::policy::{Action, CertificateRule, Host, PeerName, Policy};
use crate::refusal::Refusal;
use crate::worker::counts::CountedRequests;
use crate::worker::snapshot::{PeerWithState, Snapshot};

impl Commands {
    pub(super) fn peers(&self, name: Option<&str>, census: &SeatCensus) -> Result<Peers, Refused> {
        let Some(name) = name else { return Ok(self.view().peers(census)) };
        let snapshot = self.server.shared().snapshot();
        let peer = self.peer(&snapshot, name)?;
        let row = self.view().row(peer, &snapshot, &ByPeer::of(&snapshot, census));
        Ok(Peers { peers: vec![row], unknown: None })
    }
}

impl View<'_> {
    /// All peers, and what everybody else has asked.
    pub(crate) fn peers(self, census: &SeatCensus) -> Peers {
        let shared = self.0.shared();
        let snapshot = shared.snapshot();
        let by_peer = ByPeer::of(&snapshot, census);
        Peers {
            peers: snapshot.peers.iter().map(|peer| self.row(peer, &snapshot, &by_peer)).collect(),
            unknown: Some(requests(&shared.unknown.sum())),
        }
    }

    pub(super) fn peers_summary(self, snapshot: &Snapshot) -> PeersSummary {
        let now = Timestamp::now();
        let in_force =
            snapshot.peers.iter().filter(|peer| refused(&peer.policy, snapshot, now).is_none());
        PeersSummary { policies: snapshot.peers.len(), in_force: in_force.count() }
    }

    fn row(self, peer: &PeerWithState, snapshot: &Snapshot, by_peer: &ByPeer<'_>) -> PeerRow {
        let policy = &peer.policy;
        let limits = &peer.state.limits;
        let refused = refused(policy, snapshot, Timestamp::now());
        let (state, why) = match refused {
            None => ("allowed", None),
            Some((state, why)) => (state, Some(why)),
        };
        let rate = policy.rate.value;
        let share = match limits.class() {
            CallerClass::Peer { share, .. } => share,
            CallerClass::Proxy | CallerClass::Unknown(_) | CallerClass::Handshake(_) => None,
        };
        let seats = by_peer.seats.get(&limits.id());
        let actions =
            Action::ALL.into_iter().filter(|&action| policy.actions.value.contains(action));
        PeerRow {
            name: policy.name.to_string(),
            file: policy.location.file().display().to_string(),
            description: policy.description.clone(),
            state: state.to_owned(),
            why,
            actions: actions.map(|action| action.as_str().to_owned()).collect(),
            hosts: hosts(policy, &by_peer.addresses),
            certificate: policy.certificate.as_ref().map(certificate),
            rate: RateRow {
                requests: rate.requests.get(),
                seconds: rate.period.as_secs(),
                burst: rate.burst.get(),
                left: limits.left(self.moment()),
            },
            in_flight: count(limits.in_flight(), policy.concurrent.value),
            connections: CountRow {
                now: seats.map_or(0, |seats| seats.open()),
                most: self.0.shared().seats.ceilings().share(share),
            },
            requests: requests(&peer.state.counts.sum()),
        }
    }
}

/// What stands in one list for all peers, to be found by the peer: there may be thousands.
struct ByPeer<'s> {
    seats: HashMap<PeerId, &'s HolderSeats>,
    addresses: Addresses<'s>,
}

impl<'s> ByPeer<'s> {
    fn of(snapshot: &'s Snapshot, census: &'s SeatCensus) -> Self {
        let seats = census.holders.iter().filter_map(|seats| match seats.holder {
            SeatHolder::Peer(id) => Some((id, seats)),
            SeatHolder::Proxies | SeatHolder::Unknown(_) | SeatHolder::Handshake(_) => None,
        });
        Self { seats: seats.collect(), addresses: addresses(snapshot) }
    }
}

/// The addresses that names of peers have, by the peer and the name.
pub(super) type Addresses<'s> = HashMap<(&'s PeerName, &'s str), Vec<String>>;

/// Those of a snapshot.
pub(super) fn addresses(snapshot: &Snapshot) -> Addresses<'_> {
    let mut all = Addresses::new();
    for resolved in snapshot.peers.resolved() {
        let of_name = all.entry((&resolved.peer, &resolved.name)).or_default();
        of_name.push(resolved.address.to_string());
    }
    all
}

fn count(now: u32, most: u32) -> CountRow {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    CountRow { now: number(now), most: number(most) }
}

/// Whether a peer's requests are refused at `now` whatever they ask, and why.
fn refused(policy: &Policy, snapshot: &Snapshot, now: Timestamp) -> Option<(&'static str, String)> {
    if let Some(disabled) = snapshot.disabled.find(&policy.name, now) {
        return Some(("disabled", disabled.to_string()));
    }
    match check_in_force(policy, now) {
        Err(IdentityError::Expired { location }) => {
            Some(("expired", format!("now is not within the policy's dates [{location}]")))
        }
        Err(IdentityError::Disabled { location })
            if snapshot.config.is_refused_by_mistake(policy) =>
        {
            Some(("disabled", format!("there is a mistake in the policy [{location}]")))
        }
        Err(IdentityError::Disabled { location })
            if snapshot.config.kept_off().contains(&policy.name) =>
        {
            let why =
                format!("switched off before one went back to this configuration [{location}]");
            Some(("disabled", why))
        }
        Err(IdentityError::Disabled { location }) => {
            Some(("disabled", format!("the policy says enabled = false [{location}]")))
        }
        Err(_) | Ok(()) => None,
    }
}

/// The hosts of a policy, with the addresses that names have.
fn hosts(policy: &Policy, addresses: &Addresses<'_>) -> Vec<HostRow> {
    let row = |host: &crate::location::Located<Host>| {
        let (text, addresses) = match &host.value {
            Host::Prefix(prefix) if prefix.prefix_len() == prefix.max_prefix_len() => {
                (prefix.addr().to_string(), vec![prefix.addr().to_string()])
            }
            Host::Prefix(prefix) => (prefix.to_string(), vec![prefix.to_string()]),
            Host::Name(name) => {
                let own = addresses.get(&(&policy.name, name.as_str()));
                (name.clone(), own.cloned().unwrap_or_default())
            }
        };
        HostRow { host: text, place: host.location.to_string(), addresses }
    };
    policy.hosts.iter().map(row).collect()
}

/// What a policy wants of a certificate, in words.
fn certificate(rule: &CertificateRule) -> String {
    let named = [
        ("public key", rule.public_key_sha256.len()),
        ("DNS name", rule.san_dns.len()),
        ("URI", rule.san_uri.len()),
        ("common name", rule.common_name.len()),
    ];
    let named: Vec<String> = named
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} {what}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    format!("require = \"{}\": {} [{}]", rule.require.as_str(), named.join(", "), rule.location)
}

/// What was counted, as it is told.
pub(super) fn requests(counted: &CountedRequests) -> Requests {
    let reasons =
        counted.refused.iter().map(|(reason, count)| (reason.as_str().to_owned(), *count));
    let last_refusal = counted.last_refusal.as_ref();
    Requests {
        answered: counted.answered,
        introduced: counted.introduced,
        refused: counted.all_refused(),
        reasons: reasons.collect(),
        last_seen: counted.last_millis.and_then(time),
        last_refusal: last_refusal
            .and_then(|last| Some(refusal(&last.refusal, time(last.millis)?))),
    }
}

/// A refusal, as it is told.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the caller is told is right for every other refusal"
)]
pub(super) fn refusal(refusal: &Refusal, at: Timestamp) -> RefusalRow {
    let mut why = match refusal {
        Refusal::Upstream(fault) => fault.to_string(),
        Refusal::ClientClosed => "the client left before the answer".to_owned(),
        Refusal::PeerDisabledNow(peer) => peer.to_string(),
        refusal => refusal.advice().into_owned(),
    };
    if let Some(limit) = refusal.limit() {
        why.push_str(&format!(" (limit: {})", Limit::as_str(limit)));
    }
    if let Some(location) = refusal.location() {
        why.push_str(&format!(" [{location}]"));
    }
    RefusalRow { at, reason: refusal.word().to_owned(), why }
}

/// A peer that is switched off, as it is told.
pub(super) fn disabled(peer: &Arc<DisabledPeer>, snapshot: &Snapshot) -> DisabledRow {
    DisabledRow {
        name: peer.name.to_string(),
        has_policy: snapshot.peers.iter().any(|known| known.policy.name == peer.name),
        since: peer.since,
        until: peer.until,
        why: peer.why.clone(),
        by: peer.by.claimed.clone(),
        uid: peer.by.uid,
    }
}
