//! Callers in no policy, peers that ask no longer, and those that read the phonebook out.

use super::markup::Markup;
use crate::report::html::layout::{self, ROWS};
use crate::report::summary::{HarvestKind, Report, Stranger, wording};

/// Callers in no policy.
pub(super) fn section(page: &mut Markup, report: &Report) {
    layout::open(page, "unknown", "Unknown callers");
    let unknown = &report.unknown;
    if unknown.requests == 0 && unknown.callers.is_empty() {
        layout::nothing(page, "Everybody who asked is in a policy.");
        return layout::close(page);
    }
    page.put("<p>").text(&wording::plural(unknown.requests, "request", "requests")).put(" from ");
    page.text(&wording::plural(unknown.addresses, "address", "addresses"))
        .put(" in no policy.</p>");
    layout::card_table(
        page,
        "The busiest unknown callers",
        &["Address", "Requests", "Lookups", "Private", "Calls itself", "Last", "Policy"],
    );
    let alone = unknown.alone();
    for caller in alone.iter().take(ROWS) {
        row(page, caller);
    }
    layout::end_table(page, alone.len(), ROWS);
    if unknown.callers_left_out > 0 {
        let text = format!(
            "Of {} addresses only the busiest {} are listed, here and in the JSON.",
            wording::count(unknown.addresses),
            wording::count(unknown.callers.len() as u64)
        );
        page.put("<p class=\"muted\">").text(&text).put("</p>");
    }
    networks(page, report);
    layout::close(page);
}

/// Networks that scanners come from.
fn networks(page: &mut Markup, report: &Report) {
    let networks = &report.unknown.networks;
    if networks.is_empty() {
        return;
    }
    layout::card_table(
        page,
        "Networks with several callers that do not ask as a XiVO does",
        &["Network", "Addresses", "Requests", "Lookups", "First", "Last"],
    );
    for network in networks.iter().take(ROWS) {
        layout::head(page, &network.network);
        page.put("</th>");
        layout::number(page, "Addresses", network.addresses);
        layout::number(page, "Requests", network.requests);
        layout::number(page, "Lookups", network.lookups);
        layout::moment(page, "First", network.first);
        layout::moment(page, "Last", network.last);
        page.put("</tr>");
    }
    layout::end_table(page, networks.len(), ROWS);
}

fn row(page: &mut Markup, caller: &Stranger) {
    layout::head(page, &caller.address);
    page.put("</th><td role=\"cell\" class=\"n\" data-label=\"Requests\"><div>")
        .count(caller.requests);
    if caller.error > 0 {
        page.put(" <span class=\"muted\">(at most ").count(caller.error).put(" too high)</span>");
    }
    layout::end_cell(page);
    layout::number(page, "Lookups", caller.lookups);
    layout::number(page, "Private", caller.private);
    layout::text(page, "Calls itself", caller.user_agent.as_deref().unwrap_or("–"));
    layout::moment(page, "Last", caller.last);
    page.put("<td role=\"cell\" class=\"wide\" data-label=\"Policy\"><div>");
    match (&caller.known_by_now, &caller.policy) {
        (Some(peer), _) => {
            page.put("Let in by now: <code>").text(peer).put("</code>");
        }
        (None, Some(_)) => {
            page.put("<details><summary>A policy to paste</summary>");
            policy(page, caller);
            page.put("</details>");
        }
        (None, None) => {
            page.put("None: it does not ask as a XiVO does.");
        }
    }
    layout::end_cell(page);
    page.put("</tr>");
}

/// The policy that would let a caller in, and the name of the file that it belongs into.
pub(super) fn policy(page: &mut Markup, caller: &Stranger) {
    let Some(policy) = &caller.policy else { return };
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = caller.address.chars().take(45).map(plain).collect();
    page.put("<p class=\"file\">as <code>policies/xivo-").text(&name);
    page.put(".toml</code>; the file's name becomes the peer's</p><pre tabindex=\"0\">")
        .whole(policy)
        .put("</pre>");
}

/// Peers that ask no longer.
pub(super) fn silent(page: &mut Markup, report: &Report) {
    layout::open(page, "silent", "Silent peers");
    if report.silent.is_empty() {
        layout::nothing(page, "No peer has fallen silent.");
        return layout::close(page);
    }
    layout::card_table(
        page,
        "Peers that used to ask, or never did",
        &["Peer", "Last asked", "Silent for", "Longest gap before", "Requests"],
    );
    let length = |seconds: Option<u64>| seconds.map_or_else(|| "–".to_owned(), wording::duration);
    for silent in report.silent.iter().take(ROWS) {
        layout::head(page, &silent.peer);
        page.put("</th>");
        match silent.last {
            Some(last) => layout::moment(page, "Last asked", last),
            None => layout::text(page, "Last asked", "never"),
        }
        layout::figure(page, "Silent for", &length(silent.silence));
        layout::figure(page, "Longest gap before", &length(silent.longest_gap));
        layout::number(page, "Requests", silent.requests);
        page.put("</tr>");
    }
    layout::end_table(page, report.silent.len(), ROWS);
    layout::close(page);
}

/// What a harvester did.
pub(super) fn did(kind: HarvestKind) -> &'static str {
    match kind {
        HarvestKind::Alphabetical => "went through the alphabet",
        HarvestKind::Volume => "searched for many more terms than is usual at that time",
    }
}

/// Signs that somebody reads the phonebook out.
pub(super) fn harvests(page: &mut Markup, report: &Report) {
    layout::open(page, "harvests", "Harvests");
    if report.harvests.is_empty() {
        layout::nothing(page, "Nobody seems to read the phonebook out.");
        return layout::close(page);
    }
    layout::card_table(
        page,
        "Who seems to read the phonebook out",
        &["Caller", "What it did", "Terms", "From and to", "Began", "Lasted"],
    );
    for harvest in report.harvests.iter().take(ROWS) {
        layout::head(page, layout::caller(&harvest.peer));
        page.put("</th>");
        layout::text(page, "What it did", did(harvest.kind));
        layout::number(page, "Terms", harvest.terms);
        let range = harvest.range.as_ref().map(|(from, to)| format!("{from} – {to}"));
        layout::text(page, "From and to", range.as_deref().unwrap_or("–"));
        layout::moment(page, "Began", harvest.begin);
        layout::figure(page, "Lasted", &wording::between(harvest.begin, harvest.end));
        page.put("</tr>");
    }
    layout::end_table(page, report.harvests.len(), ROWS);
    layout::close(page);
}
