//! Who looked up how much and when.

use super::chart;
use super::frame;
use super::markup::Markup;
use crate::report::summary::{Peer, Report};
use crate::report::words;

/// How many peers are shown.
const PEERS: usize = 100;
/// How many peers are told of in detail.
const DETAILS: usize = 30;

/// The table of all peers, and what else is known of each.
pub(super) fn section(page: &mut Markup, report: &Report) {
    frame::open(page, "peers", "Peers");
    if report.peers.is_empty() {
        frame::nothing(page, "No peer asked.");
        return frame::close(page);
    }
    frame::card_table(
        page,
        "Who asked how much; most requests first",
        &[
            "Peer",
            "Requests",
            "Over time",
            "Refused",
            "Failed",
            "p95",
            "Late",
            "Terms",
            "Last asked",
        ],
    );
    let most = report.peers.iter().map(|peer| peer.requests).max().unwrap_or(0);
    for peer in report.peers.iter().take(PEERS) {
        row(page, peer, most, report.totals.requests);
    }
    frame::end_table(page, report.peers.len(), PEERS);
    page.put("<details><summary>Each peer in detail</summary><div class=\"peers\">");
    for peer in report.peers.iter().take(DETAILS) {
        details(page, peer);
    }
    page.put("</div>");
    frame::more(page, report.peers.len(), DETAILS);
    page.put("</details>");
    frame::close(page);
}

fn row(page: &mut Markup, peer: &Peer, most: u64, all: u64) {
    frame::head(page, &peer.name);
    page.put("</th>");
    page.put("<td role=\"cell\" class=\"n\" data-label=\"Requests\"><div>").count(peer.requests);
    page.put(" <span class=\"muted\">").text(&words::percent(peer.requests, all)).put("</span>");
    chart::bar(page, "answered", words::ratio(peer.requests, most));
    frame::end_cell(page);
    frame::cell(page, "Over time");
    chart::sparkline(page, &peer.buckets, &peer.name);
    frame::end_cell(page);
    frame::number(page, "Refused", peer.refused);
    frame::number(page, "Failed", peer.failed);
    match &peer.answer_times {
        Some(times) => {
            frame::figure(page, "p95", &words::milliseconds(times.p95));
            frame::number(page, "Late", times.late);
        }
        None => {
            frame::figure(page, "p95", "–");
            frame::figure(page, "Late", "–");
        }
    }
    frame::number(page, "Terms", peer.terms);
    frame::moment(page, "Last asked", peer.last);
    page.put("</tr>");
}

fn details(page: &mut Markup, peer: &Peer) {
    page.put("<div class=\"peer\"><h3><bdi>").text(&peer.name).put("</bdi></h3><dl>");
    let mut entry = |name: &'static str, text: String| {
        page.put("<dt>").put(name).put("</dt><dd><bdi>").text(&text).put("</bdi></dd>");
    };
    entry("First asked", words::minute(peer.first));
    let of_these =
        format!("{} refused ({} limited)", words::count(peer.refused), words::count(peer.limited));
    entry("Answered", format!("{}; {of_these}", words::count(peer.answered)));
    entry("Client left", words::count(peer.left));
    let actions: Vec<_> = peer
        .actions
        .iter()
        .take(6)
        .map(|a| format!("{} {}", a.value, words::count(a.count)))
        .collect();
    entry("Asked for", actions.join(", "));
    entry("Addresses", words::count(peer.addresses));
    if let Some(busiest) = &peer.terms_per_hour {
        let when = words::minute(busiest.begin);
        entry("Terms in an hour", format!("{} at most, from {when}", words::count(busiest.count)));
    }
    if let Some(times) = &peer.answer_times {
        let [p50, p95, p99, max] =
            [times.p50, times.p95, times.p99, times.max].map(words::milliseconds);
        entry("Answer times", format!("p50 {p50}, p95 {p95}, p99 {p99}, slowest {max}"));
    }
    entry("Sent", words::bytes(peer.body_bytes));
    let busiest = peer.hour_of_day.iter().enumerate().max_by_key(|(_, count)| **count);
    if let Some((hour, _)) = busiest {
        entry("Busiest hour", format!("{hour}:00"));
    }
    page.put("</dl></div>");
}
