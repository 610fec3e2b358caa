//! What was asked, by whom, how it ended, and how long it took.

use super::Sources;
use super::family::{Family, Labels, label};
use crate::refusal::Reason;
use crate::worker::counts::CountedRequests;
use crate::worker::metrics::{FaultKind, LIMITS, Patience};

pub(super) fn gather(sources: &Sources<'_>) -> Vec<Family> {
    let shared = sources.server.shared();
    let metrics = &shared.metrics;
    let snapshot = shared.snapshot();
    let late = [Patience::Number, Patience::Text].into_iter();
    let late = late.map(|patience| (label("patience", patience.as_str()), metrics.late(patience)));
    let limited = LIMITS.into_iter();
    let limited = limited.map(|limit| (label("limit", limit.as_str()), metrics.limited(limit)));
    let faults = FaultKind::ALL.iter();
    let faults = faults.map(|kind| (label("kind", kind.as_str()), metrics.faults(*kind)));
    let in_flight = snapshot.peers.iter().map(|peer| {
        let name = peer.policy.name.to_string();
        (label("peer", name), u64::from(peer.state.limits.in_flight()))
    });
    vec![
        Family::counters(
            "phonebook_gateway_requests",
            "Requests, each of which has its record in the access log. Callers in no policy have the peer \"\".",
            requests(sources),
        ),
        Family::histogram(
            "phonebook_gateway_request_duration",
            "Time from a request's first byte to the end of its answer.",
            metrics.requests(),
        ),
        Family::histogram(
            "phonebook_gateway_upstream_duration",
            "Time from asking XiVO until its answer had begun, or failed.",
            metrics.upstream(),
        ),
        Family::counters(
            "phonebook_gateway_late_answers",
            "Lookups that were answered when nobody waited any more: by number after 1 s, others after 2.9 s.",
            late,
        ),
        Family::counters(
            "phonebook_gateway_rate_limited",
            "Requests that were refused because a rate was used up, by whose rate it was.",
            limited,
        ),
        Family::gauge(
            "phonebook_gateway_unknown_callers",
            "Addresses in no policy whose requests are remembered for their rate.",
            snapshot.limits.unknown_callers(),
        ),
        Family::gauges(
            "phonebook_gateway_lookups_in_flight",
            "Lookups of a peer that are under way.",
            in_flight,
        ),
        Family::counters(
            "phonebook_gateway_upstream_faults",
            "What went wrong between the gateway and XiVO, by the phase in which it was met.",
            faults,
        ),
    ]
}

/// Each peer has its allowed requests from the start, and each reason from its first.
fn requests(sources: &Sources<'_>) -> Vec<(Labels, u64)> {
    let shared = sources.server.shared();
    let (peers, forgotten) = shared.requests_by_peer();
    let mut all = Vec::new();
    all.extend(of("", &shared.unknown.sum()));
    for (name, counts) in peers {
        all.extend(of(name.as_str(), &counts.sum()));
    }
    if forgotten.all_allowed() + forgotten.all_refused() > 0 {
        all.extend(of(FORGOTTEN, &forgotten));
    }
    all
}

fn of(peer: &str, counted: &CountedRequests) -> impl Iterator<Item = (Labels, u64)> {
    let labels = |verdict: &'static str, reason: &'static str| -> Labels {
        vec![
            ("peer", peer.to_owned().into()),
            ("verdict", verdict.into()),
            ("reason", reason.into()),
        ]
    };
    let denied = |(reason, count): &(Reason, u64)| (labels("deny", reason.as_str()), *count);
    let allowed = (labels("allow", ""), counted.all_allowed());
    let denied: Vec<_> = counted.refused.iter().map(denied).collect();
    std::iter::once(allowed).chain(denied)
}

/// The peer of those whose policy has been gone for long. No policy is called so.
const FORGOTTEN: &str = "(former)";
