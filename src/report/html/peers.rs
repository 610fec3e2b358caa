//! Who looked up how much and when.

use super::chart;
use super::markup::Markup;
use crate::report::html::layout;
use crate::report::summary::{Peer, Report, wording};

/// How many peers are shown.
const PEERS: usize = 100;
/// How many peers are told of in detail.
const DETAILS: usize = 30;

/// The table of all peers, and what else is known of each.
pub(super) fn section(page: &mut Markup, report: &Report) {
    layout::open(page, "peers", "Peers");
    if report.peers.is_empty() {
        layout::nothing(page, "No peer asked.");
        return layout::close(page);
    }
    layout::card_table(
        page,
        "Who asked how much; most requests first",
        &[
            "Peer",
            "Requests",
            "Over time",
            "Refused",
            "Failed",
            "95 of 100 within",
            "Not in time",
            "Terms",
            "Last asked",
        ],
    );
    let most = report.peers.iter().map(|peer| peer.requests).max().unwrap_or(0);
    for peer in report.peers.iter().take(PEERS) {
        row(page, peer, most, report.totals.requests);
    }
    layout::end_table(page, report.peers.len(), PEERS);
    page.put("<details><summary>Each peer in detail</summary><div class=\"peers\">");
    for peer in report.peers.iter().take(DETAILS) {
        details(page, peer);
    }
    page.put("</div>");
    layout::more(page, report.peers.len(), DETAILS);
    page.put("</details>");
    layout::close(page);
}

fn row(page: &mut Markup, peer: &Peer, most: u64, all: u64) {
    layout::head(page, &peer.name);
    if let Some(description) = &peer.description {
        page.put("<span class=\"example muted\"><bdi>").text(description).put("</bdi></span>");
    }
    page.put("</th>");
    page.put("<td role=\"cell\" class=\"n\" data-label=\"Requests\"><div>").count(peer.requests);
    page.put(" <span class=\"muted\">").text(&wording::percent(peer.requests, all)).put("</span>");
    chart::bar(page, "answered", wording::ratio(peer.requests, most));
    layout::end_cell(page);
    layout::cell(page, "Over time");
    chart::sparkline(page, &peer.buckets, &peer.name);
    layout::end_cell(page);
    layout::number(page, "Refused", peer.refused);
    layout::number(page, "Failed", peer.failed);
    match &peer.answer_times {
        Some(times) => layout::figure(page, "95 of 100 within", &wording::milliseconds(times.p95)),
        None => layout::figure(page, "95 of 100 within", "–"),
    }
    layout::number(page, "Not in time", peer.not_in_time.total);
    layout::number(page, "Terms", peer.terms);
    layout::moment(page, "Last asked", peer.last);
    page.put("</tr>");
}

fn details(page: &mut Markup, peer: &Peer) {
    page.put("<div class=\"peer\"><h3><bdi>").text(&peer.name).put("</bdi></h3><dl>");
    let mut entry = |name: &'static str, text: String| {
        page.put("<dt>").put(name).put("</dt><dd><bdi>").text(&text).put("</bdi></dd>");
    };
    entry("First asked", wording::minute(peer.first));
    let of_these = format!(
        "{} refused ({} limited)",
        wording::count(peer.refused),
        wording::count(peer.limited)
    );
    entry("Answered", format!("{}; {of_these}", wording::count(peer.answered)));
    entry("Client left", wording::count(peer.left));
    let actions: Vec<_> = peer
        .actions
        .iter()
        .take(6)
        .map(|a| format!("{} {}", a.value, wording::count(a.count)))
        .collect();
    entry("Asked for", actions.join(", "));
    if peer.private > 0 {
        entry("On `private`", wording::count(peer.private));
    }
    if let Some(persons) = peer.persons {
        entry("Looked for", format!("about {}", wording::plural(persons, "person", "persons")));
    }
    if let Some(longest) = peer.repeats.as_ref().and_then(|repeats| repeats.within.last()) {
        let share =
            wording::percent(longest.same_peer, peer.repeats.as_ref().map_or(0, |it| it.lookups));
        entry(
            "Asked again",
            format!("{share} within {}", wording::duration(longest.seconds.into())),
        );
    }
    entry("Addresses", wording::count(peer.addresses));
    if let Some(busiest) = &peer.terms_per_hour {
        let when = wording::minute(busiest.begin);
        entry(
            "Terms in an hour",
            format!("{} at most, from {when}", wording::count(busiest.count)),
        );
    }
    if let Some(times) = &peer.answer_times {
        let [p50, p95, p99, max] =
            [times.p50, times.p95, times.p99, times.max].map(wording::milliseconds);
        let text =
            format!("half within {p50}, 95 of 100 within {p95}, 99 within {p99}, slowest {max}");
        entry("Answer times", text);
    }
    entry("Sent", wording::bytes(peer.body_bytes));
    let busiest = peer.hour_of_day.iter().enumerate().max_by_key(|(_, count)| **count);
    if let Some((hour, _)) = busiest {
        entry("Busiest hour", format!("{hour}:00"));
    }
    page.put("</dl></div>");
}
