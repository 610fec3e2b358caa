//! What the gateway tells its own administrator, on standard error.
//!
//! Every refusal and every fault of XiVO is worth a line with its reason, but nobody's flood may fill
//! the journal: each kind may say so much in ten seconds, and then says how much it kept back. The
//! search term, personal data, is in none of these lines.
//!
//! What is said here is traced; [`Outlet`] takes it from there to standard error or to the journal,
//! without making anybody wait.

mod journal;
mod line;
mod outlet;
mod thread;

use std::cell::Cell;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::gateway::identify::Origin;
use crate::identity::caller::CertificateFault;
use crate::limits::{Limit, NoSeat};
use crate::location::Place;
use crate::net::client_address::ClientAddress;
use crate::refusal::Refusal;
use crate::tls::HandshakeFault;
use crate::upstream::UpstreamFault;
use crate::worker::snapshot::{Found, Snapshot};
use crate::x509::Hex;

pub use journal::is_standard_error as journal_is_standard_error;
pub use line::Form;
pub use outlet::{FarEnd, JournalLayer, OneLine, Outlet};

/// One worker's diagnostics.
#[derive(Debug, Default)]
pub struct Diagnostics {
    peers: Throttle,
    unproven: Throttle,
    strangers: Throttle,
    unheard: Throttle,
    unheard_strangers: Throttle,
    unannounced: Throttle,
    faults: Throttle,
    handshakes: Throttle,
    accept: Throttle,
}

impl Diagnostics {
    /// Tells of a refused request: who, which word, and why.
    pub fn refused(
        &self,
        refusal: &Refusal,
        snapshot: &Snapshot,
        origin: &Origin<'_>,
        request_id: &str,
    ) {
        if let Refusal::Upstream(fault) = refusal {
            return self.fault(*fault, snapshot, request_id);
        }
        if *refusal == Refusal::ClientClosed {
            return;
        }
        // Strangers may not keep back what is said of peers.
        let peer = origin.found.peer().map(|peer| peer.policy.name.as_str());
        let throttle = match origin.found {
            Found::Peer(_) => &self.peers,
            Found::Unproven { .. } => &self.unproven,
            Found::Stranger => &self.strangers,
        };
        let Some(kept_back) = throttle.pass(REFUSALS) else {
            return;
        };
        tracing::info!(
            client = %origin.caller.shown_address(),
            peer = peer.unwrap_or("-"),
            reason = refusal.word(),
            status = refusal.status(),
            limit = refusal.limit().map(Limit::as_str),
            request_id,
            kept_back,
            "{}",
            explain(refusal, snapshot, origin)
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

    /// Tells of a connection that was closed unheard, since there is no seat for it.
    pub fn unheard(&self, client: ClientAddress, why: NoSeat) {
        // Strangers may not keep back what is said of peers.
        let throttle = match why {
            NoSeat::Peer(_) | NoSeat::House(_) => &self.unheard,
            NoSeat::UnknownCaller(_)
            | NoSeat::Unknown(_)
            | NoSeat::Handshakes(_)
            | NoSeat::HandshakeRate => &self.unheard_strangers,
        };
        if let Some(kept_back) = throttle.pass(1) {
            tracing::warn!(%client, kept_back, "a connection was closed unheard: {why}");
        }
    }

    /// Tells of a connection that was closed since its sender named no client.
    pub fn unannounced(&self, sender: ClientAddress, why: &str, place: Option<&Place>) {
        if let Some(kept_back) = self.unannounced.pass(1) {
            let place = place.map(|place| format!(" [{place}]")).unwrap_or_default();
            tracing::warn!(
                %sender,
                kept_back,
                "a connection was closed: {why}; its sender is in proxy_protocol_from, so it has to \
                 begin with one{place}"
            );
        }
    }

    /// Tells of a TLS handshake that came to nothing, unless nobody began one.
    pub fn handshake_failed(&self, client: IpAddr, fault: &HandshakeFault) {
        if matches!(fault, HandshakeFault::Nothing) {
            return;
        }
        if let Some(kept_back) = self.handshakes.pass(HANDSHAKES) {
            tracing::info!(%client, kept_back, "a TLS handshake failed: {fault}");
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
pub fn explain(refusal: &Refusal, snapshot: &Snapshot, origin: &Origin<'_>) -> String {
    match reason(refusal, snapshot, origin) {
        (text, Some(place)) => format!("{text} [{place}]"),
        (text, None) => text,
    }
}

/// The same with the place apart.
pub fn reason<'r>(
    refusal: &'r Refusal,
    snapshot: &Snapshot,
    origin: &Origin<'_>,
) -> (String, Option<&'r Place>) {
    match refusal {
        Refusal::UnknownPeer | Refusal::UnknownPeerLimited(_) => {
            let Some(address) = origin.caller.address else {
                let text = format!(
                    "the proxy at {} says nothing of a client, and a caller without an address is no peer",
                    origin.caller.socket.ip()
                );
                return (text, None);
            };
            let lost = snapshot.lost.iter().find(|lost| lost.address == address.ip());
            if let Some(lost) = lost {
                return (format!("no peer has {address}; {lost}"), None);
            }
            let closest =
                match snapshot.peers.closest(address).and_then(|c| Some((c, c.by.prefix()?))) {
                    None => "no policy has a host of its kind".to_owned(),
                    Some((closest, prefix)) => format!(
                        "the closest is `{}` at {}, {}",
                        closest.peer.policy.name, closest.place, prefix
                    ),
                };
            (format!("no peer has {address}; {closest}"), None)
        }
        Refusal::CertificateRequired { place } | Refusal::CertificateMismatch { place, .. } => {
            (certificate_reason(refusal, origin), Some(place))
        }
        refusal => (refusal.advice().into_owned(), refusal.place()),
    }
}

/// The line of the configuration that refused: a policy's, or the one that sets the limit.
pub fn rule<'a>(
    refusal: &'a Refusal,
    snapshot: &'a Snapshot,
    origin: &Origin<'a>,
) -> Option<&'a Place> {
    let limits = &snapshot.config.limits;
    let policy = origin.found.peer().map(|peer| &peer.policy);
    match (refusal.limit(), refusal) {
        (Some(Limit::Peer), _) => policy.map(|policy| &policy.rate.place),
        (Some(Limit::Gateway), _) => Some(&limits.rate.place),
        (Some(Limit::Unknown), _) => Some(&limits.unknown_rate.place),
        (None, Refusal::TooManyConcurrent(_)) => policy.map(|policy| &policy.concurrent.place),
        (None, refusal) => refusal.place(),
    }
}

/// What is wrong with a caller's certificate, with whose it is.
fn certificate_reason(refusal: &Refusal, origin: &Origin<'_>) -> String {
    let peer = match &origin.found {
        Found::Unproven { peer, .. } => peer.policy.name.as_str(),
        Found::Peer(_) | Found::Stranger => "-",
    };
    let address = origin.caller.shown_address();
    let (Some(shown), Refusal::CertificateMismatch { fault, .. }) =
        (origin.caller.certificate, refusal)
    else {
        return format!("{address} would be `{peer}`, and showed no certificate");
    };
    let certificate = shown.certificate;
    let hint = match fault {
        CertificateFault::NoAuthority => "; set client_ca in the listener's tls, or pin the key",
        CertificateFault::NotOfPeer => "; the policy names none of its names, nor its key",
        _ => "",
    };
    format!(
        "{address} would be `{peer}`, but its certificate {fault}: {subject}, issued by {issuer}, \
         valid from {from} until {until}, public key {key}{hint}",
        fault = fault.as_str(),
        subject = certificate.subject,
        issuer = certificate.issuer,
        from = certificate.not_before,
        until = certificate.not_after,
        key = Hex(&certificate.spki_sha256),
    )
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

/// Failed TLS handshakes told of in ten seconds, per worker.
const HANDSHAKES: u32 = 10;

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
