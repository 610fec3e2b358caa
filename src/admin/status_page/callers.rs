//! Who asks, who is refused and why, and who is in no policy.

use maud::{Markup, html};

use super::parts::{ago, listing};
use crate::admin::status::findings::is_refused;
use crate::admin::status::{ReasonRow, StatusDocument, UnknownCallerRow};
use crate::control::documents::PeerRow;
use crate::page::chart;
use crate::page::table::{self, Column};
use crate::page::{clipped, layout, prose, text};
use crate::text::figures::{count, plural};

/// The peers: who needs somebody first, then who asked lately, then all others.
pub(super) fn peers(document: &StatusDocument) -> Markup {
    let mut peers: Vec<&PeerRow> = document.peers.iter().collect();
    peers.sort_by_key(|peer| {
        let is_off = peer.state != "allowed";
        let asked = document.history.peers.get(&peer.name);
        let is_silent = asked.is_none_or(|minutes| minutes.iter().all(|count| *count == 0));
        // Within these the order is that of the files, so that rows do not jump with each request.
        (!is_refused(peer, document.at), !is_off, is_silent)
    });
    let content = if peers.is_empty() {
        layout::nothing("There is no policy: everybody is refused.")
    } else {
        let caption = format!(
            "{}; what they asked since the start",
            plural(peers.len() as u64, "peer", "peers")
        );
        listing(&caption, &PEERS, (&peers, MOST_PEERS), |peer| peer_row(peer, document))
    };
    layout::section("peers", "Who is calling", &content)
}

fn peer_row(peer: &PeerRow, document: &StatusDocument) -> [Markup; 7] {
    let minutes = document.history.peers.get(&peer.name);
    let requests = &peer.requests;
    [
        html! {
            bdi { (text(&peer.name)) }
            @if !peer.description.is_empty() { " " span.muted { bdi { (text(&peer.description)) } } }
        },
        html! {
            (text(&peer.state))
            @if let Some(why) = &peer.why { span.example { (prose(why)) } }
        },
        minutes.map_or_else(|| table::words("–"), |minutes| last_hour(&peer.name, minutes)),
        table::count(requests.answered),
        table::count(requests.refused),
        requests.last_seen.map_or_else(|| table::words("never"), |at| ago(at, document.at)),
        html! {
            @match &requests.last_refusal {
                Some(last) => {
                    code { (text(&last.reason)) } " " span.muted { (ago(last.at, document.at)) }
                    span.example { (prose(&last.why)) }
                }
                None => "none",
            }
        },
    ]
}

/// The requests of each minute; those before the start are empty.
fn last_hour(name: &str, minutes: &[u16]) -> Markup {
    let shown = minutes.len().min(MINUTES);
    let mut all = vec![0; MINUTES - shown];
    all.extend(minutes.iter().rev().take(shown).rev().map(|&count| u64::from(count)));
    let sum: u64 = all.iter().sum();
    html! {
        (chart::sparkline(&all, name))
        span.muted { (plural(sum, "request", "requests")) }
    }
}

/// Why requests were not answered, whom it met, and what to do.
pub(super) fn refusals(document: &StatusDocument) -> Markup {
    let content = if document.refusals.is_empty() {
        layout::nothing("Nothing was refused and nothing failed since the start.")
    } else {
        let caption = "Why requests were refused or failed since the start; most frequent first";
        listing(caption, &REASONS, (&document.refusals, usize::MAX), reason_row)
    };
    layout::section("refusals", "Refusals and failures", &content)
}

fn reason_row(row: &ReasonRow) -> [Markup; 4] {
    [
        html! { code { (text(&row.reason)) } },
        table::count(row.count),
        html! {
            @for met in &row.callers {
                span.who {
                    bdi { (text(met.peer.as_deref().unwrap_or("callers in no policy"))) } " "
                    span.muted { (count(met.count)) }
                } " "
            }
            @if row.more_callers > 0 { span.who.muted { "and " (count(row.more_callers as u64)) " more" } }
        },
        prose(&row.remedy),
    ]
}

/// Callers in no policy that ask as a XiVO does.
pub(super) fn unknown(document: &StatusDocument) -> Markup {
    let unknown = &document.unknown;
    let callers = &document.unknown_callers;
    let content = html! {
        @if unknown.refused > 0 {
            p { (plural(unknown.refused, "request", "requests")) " of callers in no policy since the start." }
        }
        @if callers.is_empty() {
            (layout::nothing("Nobody in no policy asks as a XiVO does."))
        } @else {
            (listing(
                "Callers in no policy that ask as a XiVO does; who asked last comes first",
                &UNKNOWN,
                (callers, MOST_UNKNOWN),
                |caller| unknown_row(caller, document),
            ))
        }
    };
    layout::section("unknown", "Unknown callers", &content)
}

fn unknown_row(caller: &UnknownCallerRow, document: &StatusDocument) -> [Markup; 6] {
    let agent = if caller.user_agent.is_empty() { "–" } else { &caller.user_agent };
    let policy = html! {
        p.file { "as " code { "policies/" (text(&caller.file)) } "; the file's name becomes the peer's" }
        (layout::lines(clipped(&caller.policy)))
    };
    [
        table::name(&caller.address),
        table::count(caller.lookups),
        table::count(caller.private),
        table::name(agent),
        ago(caller.last, document.at),
        layout::details("A policy to paste", &policy),
    ]
}

/// The peers that are shown.
const MOST_PEERS: usize = 50;

/// The unknown callers that are shown.
const MOST_UNKNOWN: usize = 25;

/// Of an hour.
const MINUTES: usize = 60;

const PEERS: [Column; 7] = [
    Column::Words("Peer"),
    Column::Words("State"),
    Column::Words("The last hour"),
    Column::Number("Answered"),
    Column::Number("Refused or failed"),
    Column::Time("Last asked"),
    Column::Wide("Last refusal"),
];

const REASONS: [Column; 4] = [
    Column::Words("Reason"),
    Column::Number("Times"),
    Column::Words("Who asked"),
    Column::Wide("What to do"),
];

const UNKNOWN: [Column; 6] = [
    Column::Words("Address"),
    Column::Number("Lookups"),
    Column::Number("Private"),
    Column::Words("Calls itself"),
    Column::Time("Last"),
    Column::Wide("Policy"),
];
