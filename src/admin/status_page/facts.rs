//! What is known of XiVO, the configuration, certificates, names, peers that are switched off, and the gateway itself.

use jiff::Timestamp;
use maud::{Markup, html};

use super::parts::{ago, date, listing, percentile};
use crate::admin::status::findings::{Dying, dies, switched_by, until};
use crate::admin::status::{State, StatusDocument};
use crate::control::documents::{CertificateRow, DisabledRow, NameRow};
use crate::page::card;
use crate::page::table::{self, Column};
use crate::page::{layout, text};
use crate::text::figures::{count, duration, plural};

/// XiVO's web server.
pub(super) fn upstream(document: &StatusDocument) -> Markup {
    let upstream = &document.upstream;
    let slots = &document.history.hour.slots;
    let last = slots.iter().rev().find(|slot| slot.p50_millis.is_some());
    let took = last.map_or_else(
        || "not measured in the last hour".to_owned(),
        |slot| {
            let (half, nearly_all) = (percentile(slot.p50_millis), percentile(slot.p99_millis));
            format!("half within {half}, 99 % within {nearly_all}")
        },
    );
    let fault = upstream.last_failure.as_ref().map_or_else(
        || "none since the start".to_owned(),
        |last| format!("{} ({}): {}", since(last.at, document.at), last.reason, last.why),
    );
    let addresses = match upstream.addresses.join(", ") {
        none if none.is_empty() => String::new(),
        some => format!(" ({some})"),
    };
    let mut known = vec![
        ("URL", format!("{}{addresses}", upstream.url)),
        ("Sees", upstream.source.clone()),
        ("Answered", plural(upstream.answered, "lookup", "lookups")),
        ("Failed", plural(upstream.failed, "lookup", "lookups")),
        ("Took", took),
        ("Last fault", fault),
    ];
    let circuit = &upstream.circuit;
    let state = match circuit.refused {
        0 => circuit.state.clone(),
        refused => {
            format!("{}, {} refused at once", circuit.state, plural(refused, "lookup", "lookups"))
        }
    };
    known.insert(0, ("Circuit", state));
    layout::section("upstream", "XiVO", &card::facts(&how(document), &known))
}

/// How XiVO is, in a word.
fn how(document: &StatusDocument) -> String {
    let is_open = document.upstream.circuit.why.is_some();
    match (&document.outage, document.upstream.answered) {
        _ if is_open => "Is not asked".to_owned(),
        (Some(outage), _) => format!("Does not answer, {}", since(outage.since, document.at)),
        (None, 0) => "Was not asked yet".to_owned(),
        (None, _) => "Answers".to_owned(),
    }
}

fn since(at: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
    match seconds {
        0..60 => "just now".to_owned(),
        _ => format!("{} ago", duration(seconds - seconds % 60)),
    }
}

/// Which configuration runs.
pub(super) fn configuration(document: &StatusDocument) -> Markup {
    let configuration = &document.configuration;
    let (how, on_disk) = match &configuration.differs {
        Some(differs) => ("Is not the one on disk", differs.clone()),
        None => ("As on disk", "the same; looked at every two seconds".to_owned()),
    };
    let known = [
        ("Runs", configuration.file.clone()),
        ("Revision", configuration.revision.clone()),
        ("On disk", on_disk),
    ];
    layout::section("configuration", "Configuration", &card::facts(how, &known))
}

/// The certificates in use.
pub(super) fn certificates(document: &StatusDocument) -> Markup {
    let rows = &document.certificates;
    let dying = rows.iter().filter(|row| dies(row, document.at).is_some()).count();
    let content = if rows.is_empty() {
        layout::nothing("No listener uses a certificate.")
    } else {
        let caption = match dying {
            0 => "None is over, and none ends within two weeks; who ends first comes first"
                .to_owned(),
            _ => {
                format!("{dying} of {} over or about to be; who ends first comes first", rows.len())
            }
        };
        listing(&caption, &CERTIFICATES, (rows, MOST), |row| certificate(row, document.at))
    };
    layout::section("certificates", "Certificates", &content)
}

fn certificate(row: &CertificateRow, now: Timestamp) -> [Markup; 5] {
    let how = match dies(row, now) {
        Some(Dying::Over) => "over",
        Some(Dying::Early) => "not valid yet",
        Some(Dying::Soon) => "ends soon",
        None => "well",
    };
    [
        table::name(&row.file),
        table::name(&row.use_for),
        table::name(&row.subject),
        table::words(how),
        date(row.not_after),
    ]
}

/// Host names that do not resolve.
pub(super) fn names(document: &StatusDocument) -> Markup {
    let failing: Vec<&NameRow> =
        document.names.iter().filter(|name| name.failing_since.is_some()).collect();
    let content = match (document.names.len(), failing.len()) {
        (0, _) => layout::nothing("No policy has a host name."),
        (1, 0) => layout::nothing("The one host name in policies resolves."),
        (all, 0) => {
            layout::nothing(format!("All {} host names in policies resolve.", count(all as u64)))
        }
        (all, failing_count) => {
            let caption = format!("{failing_count} of {all} do not resolve");
            listing(&caption, &NAMES, (&failing, MOST), |row| name(row, document.at))
        }
    };
    layout::section("names", "Host names", &content)
}

fn name(row: &NameRow, now: Timestamp) -> [Markup; 5] {
    let addresses = match row.addresses.join(", ") {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    };
    [
        table::name(&row.name),
        table::name(&row.peer),
        table::name(addresses),
        row.failing_since.map_or_else(|| table::words("–"), |at| ago(at, now)),
        table::name(row.why.as_deref().unwrap_or("–")),
    ]
}

/// Peers that are switched off, by whom, and until when.
pub(super) fn disabled(document: &StatusDocument) -> Markup {
    let rows = &document.disabled;
    let content = if rows.is_empty() {
        layout::nothing("No peer is switched off.")
    } else {
        let caption = "Switched off by phonebook-gateway ctl disable";
        listing(caption, &DISABLED, (rows, MOST), |row| off(row, document.at))
    };
    layout::section("disabled", "Switched off", &content)
}

fn off(row: &DisabledRow, now: Timestamp) -> [Markup; 5] {
    [
        html! {
            bdi { (text(&row.name)) }
            @if !row.has_policy { " " span.muted { "(has no policy)" } }
        },
        table::name(switched_by(row).replace('`', "\"")),
        ago(row.since, now),
        table::words(&until(row)),
        table::name(if row.why.is_empty() { "–" } else { &row.why }),
    ]
}

/// The gateway itself.
pub(super) fn gateway(document: &StatusDocument) -> Markup {
    let listeners = document.listeners.iter().map(|listener| {
        let tls = if listener.tls { " TLS" } else { "" };
        let http2 = if listener.http2 { " HTTP/2" } else { "" };
        format!("{}{tls}{http2}", listener.address)
    });
    let logs = document.logs.iter().map(|log| {
        format!(
            "{}: {} written, {} lost",
            log.name,
            plural(log.written, "line", "lines"),
            count(log.lost)
        )
    });
    let workers = document.workers.iter().map(|worker| count(worker.requests));
    let connections = &document.connections;
    let uptime = u64::try_from(document.at.duration_since(document.since).as_secs()).unwrap_or(0);
    let known = [
        ("Version", format!("{}, process {}", document.program, document.pid)),
        ("Started", format!("{:.0}, {} ago", document.since, duration(uptime - uptime % 60))),
        ("Listens on", listeners.collect::<Vec<_>>().join("; ")),
        ("Workers", format!("requests of each: {}", workers.collect::<Vec<_>>().join("; "))),
        (
            "Connections",
            format!(
                "peers {}, proxies {}, callers in no policy {}; busy {}, new {}, idle {}",
                count(connections.peers as u64),
                count(connections.proxies as u64),
                count((connections.unknown + connections.handshakes) as u64),
                count(connections.busy as u64),
                count(connections.new as u64),
                count(connections.idle as u64)
            ),
        ),
        ("Access logs", logs.collect::<Vec<_>>().join("; ")),
    ];
    let how = match document.phase.as_str() {
        "draining" => "Is ending",
        _ if document.verdict.state == State::Ill => "Serves, and something is ill",
        _ => "Serves",
    };
    layout::section("gateway", "Gateway", &card::facts(how, &known))
}

/// Rows of a list that are shown.
const MOST: usize = 25;

const CERTIFICATES: [Column; 5] = [
    Column::Words("Read from"),
    Column::Words("Used for"),
    Column::Words("Subject"),
    Column::Words("Is"),
    Column::Time("Ends"),
];

const NAMES: [Column; 5] = [
    Column::Words("Name"),
    Column::Words("Peer"),
    Column::Words("Known by"),
    Column::Time("Fails since"),
    Column::Wide("Why"),
];

const DISABLED: [Column; 5] = [
    Column::Words("Peer"),
    Column::Words("By"),
    Column::Time("Since"),
    Column::Words("Until"),
    Column::Wide("Why"),
];
