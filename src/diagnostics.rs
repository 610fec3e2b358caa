//! What the gateway tells its own administrator, on standard error.
//!
//! Every refusal and every fault of XiVO is worth a line with its reason, but nobody's flood may fill
//! the journal: each kind may say so much in ten seconds, and then says how much it kept back. The
//! search term, personal data, is in none of these lines.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::address::ClientAddress;
use crate::limits::Limit;
use crate::place::Place;
use crate::refusal::{Refusal, UpstreamFault};
use crate::snapshot::Snapshot;

/// One worker's diagnostics.
#[derive(Debug, Default)]
pub struct Diagnostics {
    peers: Throttle,
    strangers: Throttle,
    unheard: Throttle,
    faults: Throttle,
    accept: Throttle,
}

impl Diagnostics {
    /// Tells of a refused request: who, which word, and why.
    pub fn refused(
        &self,
        refusal: &Refusal,
        snapshot: &Snapshot,
        address: ClientAddress,
        request_id: &str,
    ) {
        if let Refusal::Upstream(fault) = refusal {
            return self.fault(*fault, snapshot, request_id);
        }
        if *refusal == Refusal::ClientClosed {
            return;
        }
        // Strangers may not keep back what is said of peers.
        let peer = snapshot.peers.find(address).map(|found| found.peer.policy.name.as_str());
        let throttle = if peer.is_some() { &self.peers } else { &self.strangers };
        let Some(kept_back) = throttle.pass(REFUSALS) else {
            return;
        };
        tracing::info!(
            client = %address,
            peer = peer.unwrap_or("-"),
            reason = refusal.word(),
            status = refusal.status(),
            limit = refusal.limit().map(Limit::as_str),
            request_id,
            kept_back,
            "{}",
            explain(refusal, snapshot, address)
        );
    }

    fn fault(&self, fault: UpstreamFault, snapshot: &Snapshot, request_id: &str) {
        let Some(kept_back) = self.faults.pass(FAULTS) else {
            return;
        };
        let reason = Refusal::Upstream(fault).word();
        let upstream = &snapshot.config.upstream.url_text;
        let why = explain_fault(fault, snapshot);
        tracing::warn!(reason, upstream, request_id, kept_back, "{why}");
    }

    /// Tells of an answer that was begun and could not be completed.
    pub fn cut(&self, fault: UpstreamFault, request_id: &str) {
        if let Some(kept_back) = self.faults.pass(FAULTS) {
            let reason = Refusal::Upstream(fault).word();
            let advice = fault.for_administrator();
            tracing::warn!(
                reason,
                request_id,
                kept_back,
                "an answer was cut off, and the client's connection reset: {advice}"
            );
        }
    }

    /// Tells of a connection that was closed unheard, since there are too many.
    pub fn unheard(&self, client: ClientAddress) {
        if let Some(kept_back) = self.unheard.pass(1) {
            tracing::warn!(
                %client,
                kept_back,
                "a connection was closed unheard: there are limits.max_connections of them, or a quarter of that from callers in no policy"
            );
        }
    }

    /// Tells that a connection could not be accepted.
    pub fn accept_failed(&self, error: &std::io::Error) {
        if let Some(kept_back) = self.accept.pass(1) {
            tracing::error!(
                kept_back,
                "a connection could not be accepted: {error}; if it says `too many open files`, raise LimitNOFILE"
            );
        }
    }
}

/// What went wrong with XiVO and what to do about it, with what was seen of it.
pub fn explain_fault(fault: UpstreamFault, snapshot: &Snapshot) -> String {
    let advice = fault.for_administrator();
    match fault {
        UpstreamFault::RefusedGateway(_) => format!("{advice} for host {}", source(snapshot)),
        UpstreamFault::Unreachable(why) => {
            let tls = snapshot.config.upstream.tls.as_ref();
            match tls.and_then(|tls| tls.refused_certificate(why)) {
                Some(seen) => format!("{advice} (seen: {seen})"),
                None => advice.into_owned(),
            }
        }
        _ => advice.into_owned(),
    }
}

/// Why a request was refused, with the file and line that decided and, for an unknown caller, the
/// entry that it missed by least.
pub fn explain(refusal: &Refusal, snapshot: &Snapshot, address: ClientAddress) -> String {
    match reason(refusal, snapshot, address) {
        (text, Some(place)) => format!("{text} [{place}]"),
        (text, None) => text,
    }
}

/// The same with the place apart.
pub fn reason<'r>(
    refusal: &'r Refusal,
    snapshot: &Snapshot,
    address: ClientAddress,
) -> (String, Option<&'r Place>) {
    match refusal {
        Refusal::UnknownPeer | Refusal::UnknownPeerLimited(_) => {
            let closest = match snapshot.peers.closest(address) {
                None => "no policy has a host of its kind".to_owned(),
                Some(closest) => format!(
                    "the closest is `{}` at {}, {}",
                    closest.peer.policy.name, closest.place, closest.prefix
                ),
            };
            (format!("no peer has {address}; {closest}"), None)
        }
        refusal => (refusal.advice().into_owned(), refusal.place()),
    }
}

/// The address that XiVO sees, as far as the configuration and the routing say.
pub fn source(snapshot: &Snapshot) -> String {
    match source_address(snapshot) {
        _ if snapshot.config.upstream.send_proxy_protocol => {
            "each peer's own address, which the PROXY protocol tells".to_owned()
        }
        Some(source) => source.to_string(),
        None => "that the gateway has towards it".to_owned(),
    }
}

/// The same where it is known.
pub fn source_address(snapshot: &Snapshot) -> Option<IpAddr> {
    let routed = || snapshot.upstream.first().and_then(|&to| crate::upstream::routed_source(to));
    let configured = snapshot.config.upstream.source.as_ref().map(|source| source.value);
    configured.or_else(routed)
}

/// Lets so many through in ten seconds, and counts the rest.
#[derive(Debug, Default)]
struct Throttle {
    since: Cell<Option<Instant>>,
    passed: Cell<u32>,
    kept_back: Cell<u64>,
}

impl Throttle {
    /// `Some` with the number kept back since the last one that passed, or `None`.
    fn pass(&self, most: u32) -> Option<u64> {
        let now = Instant::now();
        if self.since.get().is_none_or(|since| now.duration_since(since) >= PERIOD) {
            self.since.set(Some(now));
            self.passed.set(0);
        }
        if self.passed.get() >= most {
            self.kept_back.set(self.kept_back.get() + 1);
            return None;
        }
        self.passed.set(self.passed.get() + 1);
        Some(self.kept_back.take())
    }
}

const PERIOD: Duration = Duration::from_secs(10);

/// Refused requests told of in ten seconds, per worker.
const REFUSALS: u32 = 20;

/// Faults of XiVO told of in ten seconds, per worker.
const FAULTS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let throttle = Throttle::default();
        assert_eq!((throttle.pass(2), throttle.pass(2)), (Some(0), Some(0)));
        assert_eq!((throttle.pass(2), throttle.pass(2)), (None, None));
        throttle.since.set(Instant::now().checked_sub(PERIOD));
        assert_eq!(throttle.pass(2), Some(2));
        assert_eq!(throttle.pass(2), Some(0));
    }
}
