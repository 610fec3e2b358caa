//! Why a request was refused, in words for the gateway's own administrator: with the file and line that
//! decided, and with what was seen. The journal and the command `explain` say the same.

use std::net::IpAddr;

use crate::gateway::request_source::RequestSource;
use crate::identity::certificate::CertificateFault;
use crate::limits::{Limit, RateLimited};
use crate::location::Location;
use crate::net::client_address::ClientAddress;
use crate::refusal::{Reason, Refusal};
use crate::upstream::UpstreamFault;
use crate::worker::diagnostics::{Diagnostics, FAULTS, REFUSALS};
use crate::worker::outage::CircuitView;
use crate::worker::snapshot::{Found, Snapshot};
use crate::x509::Certificate;

impl Diagnostics {
    /// Tells of a refused request: who, which word, and why.
    pub fn refused(
        &self,
        refusal: &Refusal,
        snapshot: &Snapshot,
        source: &RequestSource<'_>,
        request_id: &str,
    ) {
        if let Refusal::Upstream(fault) = refusal {
            return self.fault(fault, snapshot, request_id);
        }
        if *refusal == Refusal::ClientClosed {
            return;
        }
        if let Refusal::UpstreamDown(_) = refusal {
            // That lookups are refused is told once for all of them, and with the cause.
            tracing::debug!(
                client = %source.caller.shown_address(),
                reason = refusal.word(),
                request_id,
                "{}",
                explain(refusal, snapshot, source)
            );
            return;
        }
        // Unknown callers may not keep back what is said of peers.
        let peer = source.found.peer().map(|peer| peer.policy.name.as_str());
        let throttle = match source.found {
            Found::Peer(_) => &self.peers,
            Found::CertificateMissing { .. } => &self.certificate_missing,
            Found::Unknown => &self.unknown,
        };
        let Some(suppressed) = throttle.pass(REFUSALS) else {
            return;
        };
        tracing::info!(
            client = %source.caller.shown_address(),
            peer = peer.unwrap_or("-"),
            reason = refusal.word(),
            status = refusal.status(),
            limit = refusal.limit().map(Limit::as_str),
            request_id,
            suppressed,
            "{}",
            explain(refusal, snapshot, source)
        );
    }

    fn fault(&self, fault: &UpstreamFault, snapshot: &Snapshot, request_id: &str) {
        let Some(suppressed) = self.faults.pass(FAULTS) else {
            return;
        };
        let reason = Reason::from(fault).as_str();
        let upstream = &snapshot.config.upstream.url_text;
        let why = explain_fault(fault, snapshot);
        tracing::warn!(reason, upstream, request_id, suppressed, "{why}");
    }
}

/// What went wrong with XiVO and what to do about it, with what was seen of it.
pub(crate) fn explain_fault(fault: &UpstreamFault, snapshot: &Snapshot) -> String {
    match (fault, fault.refused_certificate()) {
        (UpstreamFault::RefusedGateway(_), _) => format!("{fault} for host {}", source(snapshot)),
        (fault, Some(seen)) => format!("{fault} (seen: {seen})"),
        (fault, None) => fault.to_string(),
    }
}

/// That XiVO is not asked, and why; nothing where it is.
pub(crate) fn explain_circuit(view: &CircuitView, snapshot: &Snapshot) -> Option<String> {
    let cause = view.cause.as_ref()?;
    let cause = explain_fault(cause, snapshot);
    Some(format!("XiVO does not answer ({cause}): lookups are refused at once until it does"))
}

/// Why a request was refused, with the file and line that decided and, for an unknown caller, the
/// entry that it missed by least.
pub(crate) fn explain(
    refusal: &Refusal,
    snapshot: &Snapshot,
    source: &RequestSource<'_>,
) -> String {
    match reason(refusal, snapshot, source) {
        (text, Some(location)) => format!("{text} [{location}]"),
        (text, None) => text,
    }
}

/// The same with the place apart.
pub(crate) fn reason<'r>(
    refusal: &'r Refusal,
    snapshot: &'r Snapshot,
    source: &RequestSource<'r>,
) -> (String, Option<&'r Location>) {
    match refusal {
        Refusal::RateLimited(limited) => over_rate(*limited, snapshot, source),
        Refusal::UnknownPeer | Refusal::UnknownPeerLimited(_) => {
            let Some(address) = source.caller.address else {
                let why = source.no_client.unwrap_or("there is no address");
                let text = format!(
                    "the proxy at {} says nothing of a client ({why}), and a caller without an address is no peer",
                    source.caller.socket.ip()
                );
                return (text, None);
            };
            let lost = snapshot.lost.iter().find(|lost| lost.address == address.ip());
            if let Some(lost) = lost {
                return (format!("no peer has {address}; {lost}{}", unnamed(source)), None);
            }
            let closest = closest(snapshot, address);
            let unresolved = unresolved(snapshot).map(|text| format!("; {text}"));
            let unresolved = unresolved.unwrap_or_default();
            (format!("no peer has {address}; {closest}{unresolved}{}", unnamed(source)), None)
        }
        Refusal::CertificateRequired { location }
        | Refusal::CertificateMismatch { location, .. } => {
            (certificate_reason(refusal, source), Some(location))
        }
        Refusal::PeerDisabledNow(peer) => {
            let text =
                format!("{peer}; `phonebook-gateway ctl enable {}` lets it in again", peer.name);
            (text, None)
        }
        Refusal::UpstreamDown(down) => {
            let cause = explain_fault(&down.cause, snapshot);
            (format!("XiVO does not answer, so it was not asked ({cause})"), None)
        }
        Refusal::MalformedRequest(_)
        | Refusal::PlainOnTls
        | Refusal::UriTooLong
        | Refusal::HeadersTooLarge(_)
        | Refusal::RequestTimeout
        | Refusal::Misdirected
        | Refusal::PeerDisabled { .. }
        | Refusal::PeerExpired { .. }
        | Refusal::PrivatePath
        | Refusal::UnknownPath
        | Refusal::MethodNotAllowed
        | Refusal::BodyNotAllowed
        | Refusal::BadArgument(_)
        | Refusal::ActionNotGranted(_)
        | Refusal::TooManyConcurrent(_)
        | Refusal::Overloaded
        | Refusal::Upstream(_)
        | Refusal::ClientClosed => (refusal.advice().into_owned(), refusal.location()),
    }
}

/// A rate that is used up: whose it is, what it allows, and where it is set.
fn over_rate<'r>(
    limited: RateLimited,
    snapshot: &'r Snapshot,
    source: &RequestSource<'r>,
) -> (String, Option<&'r Location>) {
    let limits = &snapshot.config.limits;
    let (whose, rate) = match (limited.limit, source.found.peer()) {
        (Limit::Peer, Some(peer)) => {
            (format!("`{}` is over its rate", peer.policy.name), &peer.policy.rate)
        }
        (Limit::Peer | Limit::Gateway, _) => {
            ("all peers together are over the gateway's rate".to_owned(), &limits.rate)
        }
        (Limit::Unknown, _) => {
            let address = source.caller.shown_address();
            (format!("{address} is over the rate of a caller in no policy"), &limits.unknown_rate)
        }
    };
    let default = if rate.written { "" } else { " (the default)" };
    let text = format!(
        "{whose}, {}{default}; it has a request again in {} s",
        rate.value, limited.retry_after_seconds
    );
    (text, Some(&rate.location))
}

/// The certificate of a caller whom no policy names by it; nothing where it showed none.
fn unnamed(source: &RequestSource<'_>) -> String {
    let Some(shown) = source.caller.certificate else { return String::new() };
    let trust = match shown.trust {
        Ok(()) => String::new(),
        Err(fault) => format!(", and it {}", fault.as_str()),
    };
    let certificate = shown.certificate;
    format!(
        "; no policy lets its certificate in alone{trust}: {}{}",
        certificate.described(),
        pin_alone(certificate)
    )
}

/// What is left for a certificate without a name that a policy can have.
fn pin_alone(certificate: &Certificate) -> &'static str {
    if certificate.has_usable_name() {
        return "";
    }
    "; it has no DNS name, URI or single common name, so a policy can name it by public_key_sha256 only"
}

/// The entry that an unknown caller misses by least.
fn closest(snapshot: &Snapshot, address: ClientAddress) -> String {
    match snapshot.peers.closest(address).and_then(|c| Some((c, c.by.prefix()?))) {
        None if address.ip().is_ipv4() => "no policy has an IPv4 address".to_owned(),
        None => "no policy has an IPv6 address".to_owned(),
        Some((closest, prefix)) => format!(
            "the closest is `{}` at {}, {}",
            closest.peer.policy.name, closest.location, prefix
        ),
    }
}

/// Whom an unknown caller may be whose name has no address now.
fn unresolved(snapshot: &Snapshot) -> Option<String> {
    let mut unresolved = snapshot.peers.unresolved();
    let (policy, name, location) = unresolved.next()?;
    let others = match unresolved.count() {
        0 => String::new(),
        1 => ", and 1 other name has none".to_owned(),
        others => format!(", and {others} other names have none"),
    };
    let peer = &policy.name;
    Some(format!(
        "`{peer}` is known by the name {name} at {location}, which has no address now{others}"
    ))
}

/// The line of the configuration that refused: a policy's, or the one that sets the limit.
pub(crate) fn rule<'a>(
    refusal: &'a Refusal,
    snapshot: &'a Snapshot,
    source: &RequestSource<'a>,
) -> Option<&'a Location> {
    let limits = &snapshot.config.limits;
    let policy = source.found.peer().map(|peer| &peer.policy);
    match (refusal.limit(), refusal) {
        (Some(Limit::Peer), _) => policy.map(|policy| &policy.rate.location),
        (Some(Limit::Gateway), _) => Some(&limits.rate.location),
        (Some(Limit::Unknown), _) => Some(&limits.unknown_rate.location),
        (None, Refusal::TooManyConcurrent(_)) => policy.map(|policy| &policy.concurrent.location),
        (None, refusal) => refusal.location(),
    }
}

/// What is wrong with a caller's certificate, with whose it is.
fn certificate_reason(refusal: &Refusal, source: &RequestSource<'_>) -> String {
    let peer = match &source.found {
        Found::CertificateMissing { peer, .. } => peer.policy.name.as_str(),
        Found::Peer(_) | Found::Unknown => "-",
    };
    let address = source.caller.shown_address();
    let (Some(shown), Refusal::CertificateMismatch { fault, .. }) =
        (source.caller.certificate, refusal)
    else {
        return format!("{address} would be `{peer}`, and showed no certificate");
    };
    let certificate = shown.certificate;
    let hint = match fault {
        CertificateFault::NoAuthority => "; set client_ca in the listener's tls, or pin the key",
        CertificateFault::NotOfPeer => "; the policy names none of its names, nor its key",
        CertificateFault::UnknownIssuer
        | CertificateFault::Expired
        | CertificateFault::NotYetValid
        | CertificateFault::IssuerNotValid
        | CertificateFault::Revoked
        | CertificateFault::RevocationUnknown
        | CertificateFault::NotForClients
        | CertificateFault::AuthoritysOwn
        | CertificateFault::Broken => "",
    };
    format!(
        "{address} would be `{peer}`, but its certificate {fault}: {described}{hint}{pin}",
        fault = fault.as_str(),
        described = certificate.described(),
        pin = pin_alone(certificate),
    )
}

/// The address that XiVO sees, as far as the configuration and the routing say.
pub(crate) fn source(snapshot: &Snapshot) -> String {
    match source_address(snapshot) {
        _ if snapshot.config.upstream.send_proxy_protocol => {
            "each peer's own address, which the PROXY protocol tells".to_owned()
        }
        Some(source) => source.to_string(),
        None => "that the gateway has towards it".to_owned(),
    }
}

/// The same where it is known.
pub(crate) fn source_address(snapshot: &Snapshot) -> Option<IpAddr> {
    let routed = || snapshot.upstream.first().and_then(|&to| crate::upstream::routed_source(to));
    let configured = snapshot.config.upstream.source.as_ref().map(|source| source.value);
    configured.or_else(routed)
}
