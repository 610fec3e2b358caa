//! Who looked up how much and when.

use maud::{Markup, html};

use crate::page::chart::{self, Shade};
use crate::page::table::{self, Column};
use crate::page::{card, layout, text};
use crate::report::html::parts::{more, time};
use crate::report::summary::{Peer, Report, wording};

/// The table of all peers, and what else is known of each.
pub(super) fn section(report: &Report) -> Markup {
    let content =
        if report.peers.is_empty() { layout::nothing("No peer asked.") } else { listed(report) };
    layout::section("peers", "Peers", &content)
}

fn listed(report: &Report) -> Markup {
    let peers = &report.peers;
    let most = peers.iter().map(|peer| peer.requests).max().unwrap_or(0);
    let rows = peers.iter().take(PEERS).map(|peer| row(peer, most, report.totals.requests));
    let each = html! {
        div.peers {
            @for peer in peers.iter().take(DETAILS) { (card::facts(&peer.name, &facts(peer))) }
        }
        (more(peers.len(), DETAILS))
    };
    html! {
        (table::cards("Who asked how much; most requests first", &COLUMNS, rows))
        (more(peers.len(), PEERS))
        (layout::details("Each peer in detail", &each))
    }
}

fn row(peer: &Peer, most: u64, all: u64) -> [Markup; 9] {
    let within = peer.answer_times.as_ref().map(|times| wording::milliseconds(times.p95));
    [
        named(peer),
        html! {
            (wording::count(peer.requests)) " "
            span.muted { (wording::percent(peer.requests, all)) }
            (chart::bar(Shade::Answered, wording::ratio(peer.requests, most)))
        },
        chart::sparkline(&peer.buckets, &peer.name),
        table::count(peer.refused),
        table::count(peer.failed),
        table::words(within.as_deref().unwrap_or("–")),
        table::count(peer.not_in_time.total),
        table::count(peer.terms),
        time(peer.last),
    ]
}

/// Its name, and what is known of it besides.
fn named(peer: &Peer) -> Markup {
    html! {
        (table::name(&peer.name))
        @if let Some(description) = &peer.description {
            span.example.muted { bdi { (text(description)) } }
        }
    }
}

/// What is known of a peer, a line each.
fn facts(peer: &Peer) -> Vec<(&'static str, String)> {
    let private = (peer.private > 0).then(|| wording::count(peer.private));
    let persons = peer.persons.map(|it| wording::plural(it, "person", "persons"));
    let facts = [
        ("First asked", Some(wording::minute(peer.first))),
        ("Answered", Some(answered(peer))),
        ("Client left", Some(wording::count(peer.left))),
        ("Asked for", Some(actions(peer))),
        ("On `private`", private),
        ("Looked for", persons.map(|persons| format!("about {persons}"))),
        ("Asked again", asked_again(peer)),
        ("Addresses", Some(wording::count(peer.addresses))),
        ("Terms in an hour", most_terms(peer)),
        ("Answer times", answer_times(peer)),
        ("Sent", Some(wording::bytes(peer.body_bytes))),
        ("Busiest hour", busiest_hour(peer)),
    ];
    facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))).collect()
}

fn answered(peer: &Peer) -> String {
    let [answered, refused, limited] =
        [peer.answered, peer.refused, peer.limited].map(wording::count);
    format!("{answered}; {refused} refused ({limited} limited)")
}

/// What it asked for, most frequent first.
fn actions(peer: &Peer) -> String {
    let actions = peer.actions.iter().take(6);
    let actions: Vec<_> = actions
        .map(|action| format!("{} {}", action.value, wording::count(action.count)))
        .collect();
    actions.join(", ")
}

/// The share of its lookups that a cache of its own would have answered.
fn asked_again(peer: &Peer) -> Option<String> {
    let repeats = peer.repeats.as_ref()?;
    let longest = repeats.within.last()?;
    let share = wording::percent(longest.same_peer, repeats.lookups);
    Some(format!("{share} within {}", wording::duration(longest.seconds.into())))
}

fn most_terms(peer: &Peer) -> Option<String> {
    let busiest = peer.terms_per_hour.as_ref()?;
    let (count, begin) = (wording::count(busiest.count), wording::minute(busiest.begin));
    Some(format!("{count} at most, from {begin}"))
}

fn answer_times(peer: &Peer) -> Option<String> {
    let times = peer.answer_times.as_ref()?;
    let [p50, p95, p99, max] =
        [times.p50, times.p95, times.p99, times.max].map(wording::milliseconds);
    Some(format!("half within {p50}, 95 of 100 within {p95}, 99 within {p99}, slowest {max}"))
}

fn busiest_hour(peer: &Peer) -> Option<String> {
    let (hour, _) = peer.hour_of_day.iter().enumerate().max_by_key(|(_, count)| **count)?;
    Some(format!("{hour}:00"))
}

/// The number of peers that are shown.
const PEERS: usize = 100;
/// The number of peers that are shown in detail.
const DETAILS: usize = 30;

const COLUMNS: [Column; 9] = [
    Column::Words("Peer"),
    Column::Number("Requests"),
    Column::Words("Over time"),
    Column::Number("Refused"),
    Column::Number("Failed"),
    Column::Number("95 of 100 within"),
    Column::Number("Not in time"),
    Column::Number("Terms"),
    Column::Time("Last asked"),
];
