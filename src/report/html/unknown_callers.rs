//! Callers in no policy, peers that ask no longer, and those that read the phonebook out.

use maud::{Markup, html};

use crate::page::table::{self, Column};
use crate::page::{clipped, layout, text};
use crate::policy::proposal::policy_file;
use crate::report::html::parts::{caller, listing, time};
use crate::report::summary::{
    Harvest, HarvestKind, Network, Report, Silent, Unknown, UnknownCaller, wording,
};

/// Callers in no policy.
pub(super) fn section(report: &Report) -> Markup {
    let unknown = &report.unknown;
    let content = if unknown.requests == 0 && unknown.callers.is_empty() {
        layout::nothing("Everybody who asked is in a policy.")
    } else {
        listed(unknown)
    };
    layout::section("unknown", "Unknown callers", &content)
}

fn listed(unknown: &Unknown) -> Markup {
    html! {
        p {
            (wording::plural(unknown.requests, "request", "requests")) " from "
            (wording::plural(unknown.addresses, "address", "addresses")) " in no policy."
        }
        (listing("The busiest unknown callers", &CALLERS, &unknown.alone(), |caller| row(caller)))
        @if unknown.callers_left_out > 0 {
            p.muted {
                "Of " (wording::count(unknown.addresses)) " addresses only the busiest "
                (wording::count(unknown.callers.len() as u64)) " are listed, here and in the JSON."
            }
        }
        @if !unknown.networks.is_empty() { (networks(&unknown.networks)) }
    }
}

fn row(caller: &UnknownCaller) -> [Markup; 7] {
    [
        table::name(&caller.address),
        html! {
            (wording::count(caller.requests))
            @if caller.error > 0 {
                " " span.muted { "(at most " (wording::count(caller.error)) " too high)" }
            }
        },
        table::count(caller.lookups),
        table::count(caller.private),
        table::name(caller.user_agent.as_deref().unwrap_or("–")),
        time(caller.last),
        policy(caller),
    ]
}

/// The policy that would let a caller in, or why there is none.
fn policy(caller: &UnknownCaller) -> Markup {
    html! {
        @match (&caller.known_by_now, &caller.policy) {
            (Some(peer), _) => { "Let in by now: " code { (text(peer)) } }
            (None, Some(policy)) => (layout::details("A policy to paste", &file(&caller.address, policy))),
            (None, None) => "None: it does not ask as a XiVO does.",
        }
    }
}

/// A policy to paste, and the name of the file that it belongs into.
fn file(address: &str, policy: &str) -> Markup {
    html! {
        p.file { "as " code { "policies/" (policy_file(address)) } "; the file's name becomes the peer's" }
        (layout::lines(clipped(policy)))
    }
}

/// Networks that scanners come from.
fn networks(networks: &[Network]) -> Markup {
    let caption = "Networks with several callers that do not ask as a XiVO does";
    listing(caption, &NETWORKS, networks, |network| {
        [
            table::name(&network.network),
            table::count(network.addresses),
            table::count(network.requests),
            table::count(network.lookups),
            time(network.first),
            time(network.last),
        ]
    })
}

/// Peers that ask no longer.
pub(super) fn silent(report: &Report) -> Markup {
    let content = if report.silent.is_empty() {
        layout::nothing("No peer has fallen silent.")
    } else {
        listing("Peers that used to ask, or never did", &SILENT, &report.silent, silent_row)
    };
    layout::section("silent", "Silent peers", &content)
}

fn silent_row(silent: &Silent) -> [Markup; 5] {
    let length = |seconds: Option<u64>| {
        table::words(&seconds.map_or_else(|| "–".to_owned(), wording::duration))
    };
    [
        table::name(&silent.peer),
        silent.last.map_or_else(|| table::words("never"), time),
        length(silent.silence),
        length(silent.longest_gap),
        table::count(silent.requests),
    ]
}

/// Signs that somebody reads the phonebook out.
pub(super) fn harvests(report: &Report) -> Markup {
    let content = if report.harvests.is_empty() {
        layout::nothing("Nobody seems to read the phonebook out.")
    } else {
        listing("Who seems to read the phonebook out", &HARVESTS, &report.harvests, harvest_row)
    };
    layout::section("harvests", "Harvests", &content)
}

fn harvest_row(harvest: &Harvest) -> [Markup; 6] {
    let range = harvest.range.as_ref().map(|(from, to)| format!("{from} – {to}"));
    [
        table::name(caller(&harvest.peer)),
        table::name(did(harvest.kind)),
        table::count(harvest.terms),
        table::name(range.as_deref().unwrap_or("–")),
        time(harvest.begin),
        table::words(&wording::between(harvest.begin, harvest.end)),
    ]
}

/// What a harvester did.
fn did(kind: HarvestKind) -> &'static str {
    match kind {
        HarvestKind::Alphabetical => "went through the alphabet",
        HarvestKind::Volume => "searched for many more terms than is usual at that time",
    }
}

const CALLERS: [Column; 7] = [
    Column::Words("Address"),
    Column::Number("Requests"),
    Column::Number("Lookups"),
    Column::Number("Private"),
    Column::Words("Calls itself"),
    Column::Time("Last"),
    Column::Wide("Policy"),
];

const NETWORKS: [Column; 6] = [
    Column::Words("Network"),
    Column::Number("Addresses"),
    Column::Number("Requests"),
    Column::Number("Lookups"),
    Column::Time("First"),
    Column::Time("Last"),
];

const SILENT: [Column; 5] = [
    Column::Words("Peer"),
    Column::Time("Last asked"),
    Column::Number("Silent for"),
    Column::Number("Longest gap before"),
    Column::Number("Requests"),
];

const HARVESTS: [Column; 6] = [
    Column::Words("Caller"),
    Column::Words("What it did"),
    Column::Number("Terms"),
    Column::Words("From and to"),
    Column::Time("Began"),
    Column::Number("Lasted"),
];
