//! How the gateway is: connections, names, certificates, the configuration, its logs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus_client::registry::Unit;

use super::Sources;
use super::family::{Family, Labels, Number, label};
use crate::identity::peers::{IdentityError, check_in_force};
use crate::limits::{HolderSeats, SeatHolder};
use crate::server::Reloads;
use crate::worker::metrics::{HandshakeResult, Rejection};
use crate::worker::snapshot::Snapshot;

pub(super) fn gather(sources: &Sources<'_>) -> Vec<Family> {
    let snapshot = sources.server.shared().snapshot();
    let mut families = connections(sources);
    families.push(names(sources));
    families.extend(certificates(sources, &snapshot));
    families.extend(configuration(sources, &snapshot));
    families.extend(logs(sources));
    let version = label("version", env!("CARGO_PKG_VERSION"));
    families.push(Family::info("phonebook_gateway_build", "The program that runs.", version));
    families
}

fn connections(sources: &Sources<'_>) -> Vec<Family> {
    let shared = sources.server.shared();
    let metrics = &shared.metrics;
    let rejected = Rejection::ALL.iter();
    let rejected = rejected.map(|why| (label("reason", why.as_str()), metrics.rejections(*why)));
    let shaken = HandshakeResult::ALL.iter();
    let shaken =
        shaken.map(|result| (label("result", result.as_str()), metrics.handshakes(*result)));
    vec![
        Family::gauges(
            "phonebook_gateway_connections",
            "Client connections that are open, by whose they are and what they do.",
            seats(sources),
        ),
        Family::gauge(
            "phonebook_gateway_connections_leaving",
            "Client connections whose seat was given away and that have not ended.",
            sources.census.leaving,
        ),
        Family::gauge(
            "phonebook_gateway_connections_limit",
            "Client connections that there may be.",
            sources.census.most,
        ),
        Family::counter(
            "phonebook_gateway_connections_accepted",
            "Client connections that were accepted and had a seat.",
            shared.accepted(),
        ),
        Family::counters(
            "phonebook_gateway_connections_rejected",
            "Client connections that were closed without an answer, by whose seats were taken.",
            rejected,
        ),
        Family::counter(
            "phonebook_gateway_accept_failures",
            "Client connections that the system did not hand over, for want of descriptors say.",
            metrics.accepts_failed(),
        ),
        Family::counters(
            "phonebook_gateway_tls_handshakes",
            "TLS handshakes with clients, by what came of them.",
            shaken,
        ),
    ]
}

/// Connections by whose they are and what they do; each kind is always there.
fn seats(sources: &Sources<'_>) -> Vec<(Labels, u64)> {
    type State = (&'static str, fn(&HolderSeats) -> usize);
    const HOLDERS: [&str; 4] = ["peer", "proxy", "unknown", "handshake"];
    const STATES: [State; 4] = [
        ("busy", |seats| seats.busy),
        ("new", |seats| seats.new),
        ("idle", |seats| seats.idle),
        ("over-limit", |seats| seats.over_limit),
    ];
    let mut counts = [[0_u64; STATES.len()]; HOLDERS.len()];
    for seats in &sources.census.holders {
        let [peer, proxy, unknown, handshake] = &mut counts;
        let own = match seats.holder {
            SeatHolder::Peer(_) => peer,
            SeatHolder::Proxies => proxy,
            SeatHolder::Unknown(_) => unknown,
            SeatHolder::Handshake(_) => handshake,
        };
        for (count, (_, of)) in own.iter_mut().zip(STATES) {
            *count += of(seats) as u64;
        }
    }
    let of_holder = |(holder, counts): (&'static str, [u64; STATES.len()])| {
        STATES.into_iter().zip(counts).map(move |((state, _), count)| {
            (vec![("holder", holder.into()), ("state", state.into())], count)
        })
    };
    HOLDERS.into_iter().zip(counts).flat_map(of_holder).collect()
}

fn names(sources: &Sources<'_>) -> Family {
    let names = sources.server.shared().names();
    let (mut resolved, mut failing, mut unresolved) = (0_u64, 0_u64, 0_u64);
    for name in names.iter() {
        let count = match (&name.failing, name.resolved) {
            (Some(_), _) => &mut failing,
            (None, Some(_)) => &mut resolved,
            (None, None) => &mut unresolved,
        };
        *count += 1;
    }
    let states = [("resolved", resolved), ("failing", failing), ("unresolved", unresolved)];
    Family::gauges(
        "phonebook_gateway_names",
        "Host names in policies, by how their last resolution ended.",
        states.map(|(state, count)| (label("state", state), count)),
    )
}

/// Times are seconds since 1970, so that what is left of them is right whenever it is asked.
fn certificates(sources: &Sources<'_>, snapshot: &Snapshot) -> [Family; 2] {
    // A file may hold several: the first to expire counts.
    let mut expiry = BTreeMap::new();
    let mut note = |kind: &'static str, loaded: &crate::tls::Loaded| {
        let until = loaded.certificate.not_after;
        let key = (kind, loaded.file.display().to_string());
        expiry
            .entry(key)
            .and_modify(|first: &mut Timestamp| *first = until.min(*first))
            .or_insert(until);
    };
    let mut updates = BTreeMap::new();
    for tls in snapshot.listeners.iter().filter_map(|served| served.tls.as_ref()) {
        tls.certificates.iter().for_each(|loaded| note("listener", loaded));
        tls.client_ca.iter().for_each(|loaded| note("client-ca", loaded));
        if let Some((file, next)) = &tls.crl_next_update {
            updates.insert(file.display().to_string(), *next);
        }
    }
    sources.tls.certificates().iter().for_each(|loaded| note("admin", loaded));
    let expiry = expiry.into_iter().map(|((kind, file), until)| {
        let labels: Labels = vec![("use", kind.into()), ("file", file.into())];
        (labels, seconds(until))
    });
    let updates = updates.into_iter().map(|(file, next)| (label("file", file), seconds(next)));
    [
        Family::gauges(
            "phonebook_gateway_certificate_expiry_timestamp",
            "When the first certificate in a file expires, in seconds since 1970.",
            expiry,
        )
        .in_unit(Unit::Seconds),
        Family::gauges(
            "phonebook_gateway_crl_next_update_timestamp",
            "When a file of revocation lists is to be replaced at the latest, in seconds since 1970. Overdue, it lets \
             no certificate in.",
            updates,
        )
        .in_unit(Unit::Seconds),
    ]
}

fn configuration(sources: &Sources<'_>, snapshot: &Snapshot) -> Vec<Family> {
    let server = sources.server;
    let Reloads { done, refused, last } = server.reloads();
    let (at, well) = last.unwrap_or((server.shared().since, true));
    vec![
        Family::info(
            "phonebook_gateway_configuration",
            "The configuration that runs.",
            label("revision", snapshot.config.revision.clone()),
        ),
        Family::gauge(
            "phonebook_gateway_configuration_differs_from_disk",
            "1 where another configuration is on disk than the one that runs.",
            server.differs_from_disk().is_some(),
        ),
        Family::gauge(
            "phonebook_gateway_upstream_circuit_open",
            "1 where XiVO is not asked, since it does not answer, or is tried by one lookup at a time.",
            server.shared().outage.circuit().cause.is_some(),
        ),
        Family::counters(
            "phonebook_gateway_reloads",
            "Reloads of the configuration, by what came of them.",
            [(label("result", "done"), done), (label("result", "refused"), refused)],
        ),
        Family::gauge(
            "phonebook_gateway_last_reload_success",
            "1 where the last reload, or the start, took the configuration over.",
            well,
        ),
        Family::gauge(
            "phonebook_gateway_last_reload_timestamp",
            "When that was, in seconds since 1970.",
            seconds(at),
        )
        .in_unit(Unit::Seconds),
        peers(snapshot),
        Family::gauge(
            "phonebook_gateway_draining",
            "1 where the gateway is ending, and takes no further connections.",
            server.is_draining(),
        ),
    ]
}

fn peers(snapshot: &Snapshot) -> Family {
    let now = Timestamp::now();
    let (mut allowed, mut disabled, mut expired) = (0_u64, 0_u64, 0_u64);
    for peer in snapshot.peers.iter() {
        let off = snapshot.disabled.find(&peer.policy.name, now).is_some();
        let count = match check_in_force(&peer.policy, now) {
            _ if off => &mut disabled,
            Ok(()) => &mut allowed,
            Err(IdentityError::Expired { .. }) => &mut expired,
            Err(_) => &mut disabled,
        };
        *count += 1;
    }
    let states = [("allowed", allowed), ("disabled", disabled), ("expired", expired)];
    Family::gauges(
        "phonebook_gateway_peers",
        "Peers, by whether they may ask: disabled by their policy, by a mistake in it, or by `ctl disable`.",
        states.map(|(state, count)| (label("state", state), count)),
    )
}

fn logs(sources: &Sources<'_>) -> [Family; 3] {
    let totals = sources.server.log_totals();
    let of = |count: fn(&crate::access_log::LogTotals) -> u64| {
        let totals = totals.iter();
        totals.map(move |(name, total)| (label("target", name.clone()), count(total)))
    };
    [
        Family::counters(
            "phonebook_gateway_access_log_lines_written",
            "Lines of an access log that its target has taken.",
            of(|total| total.written),
        ),
        Family::counters(
            "phonebook_gateway_access_log_lines_lost",
            "Lines of an access log that its target has not taken.",
            of(|total| total.lost),
        ),
        Family::counter(
            "phonebook_gateway_diagnostics_lost",
            "Lines for the journal, or standard error, that it has not taken.",
            sources.lost.count(),
        ),
    ]
}

/// A time in seconds since 1970.
fn seconds(time: Timestamp) -> Number {
    Number::Real(time.as_duration().as_secs_f64())
}
