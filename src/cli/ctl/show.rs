//! What a gateway tells of itself, for people.
//!
//! Names, reasons and heads come from others: nothing of them reaches the terminal but printable characters.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp};

use crate::cli::explain::show::line as safe;
use crate::control::documents::{
    Certificates, Connections, ConnectionsSummary, Errors, HeadRow, History, Names, PeerRow, Peers,
    Reloaded, Requests, RollbackChanges, Status,
};

/// `status`.
pub(super) fn status(status: &Status, at: Timestamp) -> String {
    let mut out = String::new();
    let mut put = |name: &str, text: String| put_line(&mut out, name, &text);
    put(
        "gateway",
        format!(
            "{} ({}), process {}, since {:.0} ({})",
            status.phase,
            status.program,
            status.pid,
            status.since,
            ago(at, status.since)
        ),
    );
    let configuration = &status.configuration;
    put("configuration", format!("{}, revision {}", configuration.file, configuration.revision));
    match &configuration.differs {
        None => {
            put(
                "",
                "as on disk, when the files were last looked at (every two seconds)".to_owned(),
            );
        }
        Some(why) => put("", why.clone()),
    }
    let listeners = status.listeners.iter().map(|listener| {
        let tls = if listener.tls { " TLS" } else { "" };
        let http2 = if listener.http2 { " HTTP/2" } else { "" };
        format!("{}{tls}{http2}", listener.address)
    });
    put("listens on", listeners.collect::<Vec<_>>().join(", "));
    let workers: Vec<String> = status.workers.iter().map(|it| it.requests.to_string()).collect();
    put("workers", format!("{}; requests of each: {}", workers.len(), workers.join(", ")));
    for line in connections_lines(&status.connections) {
        put("connections", line);
    }
    put("requests", requests_line(&status.requests));
    if let Some(reasons) = reasons(&status.requests) {
        put("", reasons);
    }
    services(status, at, &mut put);
    out
}

/// What it stands on: XiVO, peers, names, certificates, logs.
fn services(status: &Status, at: Timestamp, put: &mut impl FnMut(&str, String)) {
    let upstream = &status.upstream;
    let addresses = match upstream.addresses.as_slice() {
        [] => String::new(),
        addresses => format!(" ({})", addresses.join(", ")),
    };
    put(
        "XiVO",
        format!(
            "{}{addresses} from {}; {} lookups answered, {} failed",
            upstream.url, upstream.source, upstream.answered, upstream.failed
        ),
    );
    let circuit = &upstream.circuit;
    if let Some(why) = &circuit.why {
        let since = circuit.since.map(|since| format!("since {since:.0} ({}): ", ago(at, since)));
        let next = match circuit.next_probe_seconds.unwrap_or_default().ceil() {
            0.0 => "one is passed on to try it".to_owned(),
            seconds => format!("after {seconds} s one is passed on to try it"),
        };
        put("", format!("{}{why}; {} so far; {next}", since.unwrap_or_default(), circuit.refused));
    }
    if let Some(last) = &upstream.last_failure {
        put(
            "",
            format!(
                "last failure {:.0} ({}): {}: {}",
                last.at,
                ago(at, last.at),
                last.reason,
                last.why
            ),
        );
    }
    let peers = &status.peers;
    put(
        "peers",
        format!("{} with a policy, {} of them in force now", peers.policies, peers.in_force),
    );
    if status.names.count > 0 {
        put("names", format!("{}, {} do not resolve", status.names.count, status.names.failing));
    }
    for row in &status.certificates {
        put("certificate", format!("{} days left: {} ({})", row.days_left, row.file, row.use_for));
    }
    for log in &status.logs {
        put(
            "access log",
            format!("{}: {} lines written, {} lost", log.name, log.written, log.lost),
        );
    }
    let level = &status.log_level;
    put(
        "diagnostics",
        match level.until {
            Some(until) => format!("{} until {until:.0}, then {}", level.level, level.configured),
            None => level.level.clone(),
        },
    );
    for row in &status.disabled {
        let policy = if row.has_policy { "" } else { " (has no policy now)" };
        put("disabled", format!("{}{policy}{}", row.name, off(row)));
    }
}

fn off(row: &crate::control::documents::DisabledRow) -> String {
    let end = match row.until {
        Some(until) => format!("until {until:.0}"),
        None => "until `ctl enable`".to_owned(),
    };
    let uid = row.uid.map(|uid| format!("uid {uid}"));
    let claimed = Some(&row.by).filter(|by| !by.is_empty()).map(|by| format!("who says `{by}`"));
    let by: Vec<String> = uid.into_iter().chain(claimed).collect();
    let by = if by.is_empty() { "somebody".to_owned() } else { by.join(", ") };
    let why = if row.why.is_empty() { "no reason given" } else { &row.why };
    format!(" since {:.0} {end} by {by}: {why}", row.since)
}

/// `peers`.
pub(super) fn peers(peers: &Peers, at: Timestamp) -> String {
    let header = [
        "peer",
        "state",
        "left of rate",
        "in flight",
        "connections",
        "answered",
        "refused",
        "last seen",
        "last refusal",
    ];
    let row = |peer: &PeerRow| {
        let requests = &peer.requests;
        vec![
            peer.name.clone(),
            peer.state.clone(),
            format!("{} of {}", peer.rate.left, peer.rate.burst),
            format!("{} of {}", peer.in_flight.now, peer.in_flight.most),
            format!("{} of {}", peer.connections.now, peer.connections.most),
            requests.answered.to_string(),
            requests.refused.to_string(),
            requests.last_seen.map_or_else(|| "never".to_owned(), |seen| ago(at, seen)),
            match &requests.last_refusal {
                Some(last) => format!("{} {}", last.reason, ago(at, last.at)),
                None => "none".to_owned(),
            },
        ]
    };
    let mut out = table(&header, peers.peers.iter().map(row));
    if peers.peers.is_empty() {
        "There is no policy: nobody is let in.\n".clone_into(&mut out);
    }
    if let Some(unknown) = &peers.unknown {
        put_line(&mut out, "\ncallers in no policy:", &requests_line(unknown));
    }
    out
}

/// `peers NAME`.
pub(super) fn peer(peer: &PeerRow, at: Timestamp) -> String {
    let mut out = String::new();
    let mut put = |name: &str, text: String| put_line(&mut out, name, &text);
    put("peer", format!("{} [{}]", peer.name, peer.file));
    if !peer.description.is_empty() {
        put("", peer.description.clone());
    }
    match &peer.why {
        None => put("state", peer.state.clone()),
        Some(why) => put("state", format!("{}: {why}", peer.state)),
    }
    put(
        "may",
        if peer.actions.is_empty() { "nothing".to_owned() } else { peer.actions.join(", ") },
    );
    for host in &peer.hosts {
        let addresses = match host.addresses.as_slice() {
            [] => " (has no address now: nobody is let in by it)".to_owned(),
            [one] if *one == host.host => String::new(),
            all => format!(" ({})", all.join(", ")),
        };
        put("host", format!("{}{addresses} [{}]", host.host, host.place));
    }
    if let Some(certificate) = &peer.certificate {
        put("certificate", certificate.clone());
    }
    let rate = &peer.rate;
    let period = match rate.seconds {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        seconds => format!("{seconds} s"),
    };
    put(
        "rate",
        format!("{} of {} at once left; {} per {period}", rate.left, rate.burst, rate.requests),
    );
    put("in flight", format!("{} of {}", peer.in_flight.now, peer.in_flight.most));
    put("connections", format!("{} of {}", peer.connections.now, peer.connections.most));
    let requests = &peer.requests;
    put("requests", requests_line(requests));
    if let Some(reasons) = reasons(requests) {
        put("", reasons);
    }
    put(
        "last seen",
        match requests.last_seen {
            Some(seen) => format!("{seen:.0} ({})", ago(at, seen)),
            None => "never since the gateway started".to_owned(),
        },
    );
    if let Some(last) = &requests.last_refusal {
        put(
            "last refusal",
            format!("{:.0} ({}): {}: {}", last.at, ago(at, last.at), last.reason, last.why),
        );
    }
    out
}

/// `names`.
pub(super) fn names(names: &Names, at: Timestamp) -> String {
    if names.names.is_empty() {
        return "No policy has a host name.\n".to_owned();
    }
    let mut out = String::new();
    for name in &names.names {
        let addresses = match name.addresses.as_slice() {
            [] => "no address is the peer's now".to_owned(),
            all => all.join(", "),
        };
        put_line(
            &mut out,
            &name.name,
            &format!("{addresses}; peer {} [{}]", name.peer, name.place),
        );
        match (name.resolved, name.failing_since) {
            (_, Some(since)) => {
                let why = name.why.as_deref().unwrap_or_default();
                put_line(
                    &mut out,
                    "",
                    &format!("DOES NOT RESOLVE since {since:.0} ({}): {why}", ago(at, since)),
                );
            }
            (Some(resolved), None) => {
                put_line(
                    &mut out,
                    "",
                    &format!("resolved {:.0} ({})", resolved, ago(at, resolved)),
                );
            }
            (None, None) => put_line(&mut out, "", "has not been resolved yet"),
        }
        for refused in &name.refused {
            put_line(&mut out, "", &format!("not used: {refused}"));
        }
    }
    out
}

/// `certs`.
pub(super) fn certificates(all: &Certificates) -> String {
    if all.certificates.is_empty() {
        return "No listener has TLS.\n".to_owned();
    }
    let row = |row: &crate::control::documents::CertificateRow| {
        vec![
            row.days_left.to_string(),
            format!("{:.0}", row.not_after),
            row.use_for.clone(),
            row.subject.clone(),
            row.file.clone(),
        ]
    };
    table(&["days left", "until", "used for", "subject", "file"], all.certificates.iter().map(row))
}

/// `connections`.
pub(super) fn connections(all: &Connections) -> String {
    let mut out = String::new();
    for line in connections_lines(&all.summary) {
        put_line(&mut out, "connections", &line);
    }
    if all.holders.is_empty() {
        return out;
    }
    out.push('\n');
    let row = |row: &crate::control::documents::HolderRow| {
        let wait = row.longest_wait.map_or_else(|| "-".to_owned(), seconds);
        vec![
            row.kind.clone(),
            row.name.clone().unwrap_or_else(|| "-".to_owned()),
            row.open.to_string(),
            row.busy.to_string(),
            row.new.to_string(),
            row.idle.to_string(),
            row.over_limit.to_string(),
            wait,
        ]
    };
    let header =
        ["whose", "name", "open", "busy", "new", "idle", "told there is no room", "longest wait"];
    out += &table(&header, all.holders.iter().map(row));
    if all.more > 0 {
        out += &format!("and {} more\n", all.more);
    }
    out
}

/// `reload` and `rollback`.
pub(super) fn reloaded(reloaded: &Reloaded) -> String {
    let mut out = String::new();
    let is_same = reloaded.revision == reloaded.former_revision;
    if is_same && reloaded.changes.is_empty() {
        put_line(&mut out, "unchanged", &format!("revision {} runs already", reloaded.revision));
    } else {
        let text = if is_same {
            format!("{}, as its files say", reloaded.revision)
        } else {
            format!("{}, in the place of {}", reloaded.revision, reloaded.former_revision)
        };
        put_line(&mut out, "revision", &text);
        put_changes(&mut out, &reloaded.changes);
    }
    for warning in &reloaded.warnings {
        put_line(&mut out, "warning", warning);
    }
    if let Some(differs) = &reloaded.differs {
        put_line(&mut out, "disk", differs);
    }
    out
}

fn put_changes(out: &mut String, changes: &[String]) {
    if changes.is_empty() {
        put_line(out, "changes", "none in meaning");
    }
    for change in changes {
        put_line(out, "changes", change);
    }
}

/// `rollback --dry-run`.
pub(super) fn rollback_changes(changes: &RollbackChanges) -> String {
    let mut out = String::new();
    put_changes(&mut out, &changes.changes);
    out
}

/// `history`.
pub(super) fn history(history: &History) -> String {
    let mut out = String::new();
    for unreadable in &history.unreadable {
        put_line(&mut out, "unreadable", unreadable);
    }
    if history.configurations.is_empty() {
        out.push_str("No configuration is kept.\n");
        return out;
    }
    let row = |row: &crate::control::documents::HistoryRow| {
        vec![
            format!("{}{}", row.number, if row.runs { " (runs)" } else { "" }),
            format!("{:.0}", row.at),
            row.revision.clone(),
            row.by.clone(),
            match &row.changes {
                None => "-".to_owned(),
                Some(changes) if changes.is_empty() => "none in meaning".to_owned(),
                Some(changes) => changes.join("; "),
            },
        ]
    };
    out += &table(
        &["number", "began to run", "revision", "by", "changes"],
        history.configurations.iter().map(row),
    );
    out
}

/// `errors`.
pub(super) fn errors(errors: &Errors) -> String {
    if errors.heads.is_empty() {
        return "No malformed head has come since the gateway started.\n".to_owned();
    }
    let mut out = String::new();
    for head in &errors.heads {
        let peer = head.peer.as_ref().map(|peer| format!(" ({peer})")).unwrap_or_default();
        let _ = writeln!(
            out,
            "{:.3} {}{peer} {}: {} ({} bytes had come)",
            head.at,
            head.address,
            head.reason,
            safe(head.rule.as_bytes()),
            head.length
        );
        put_head(&mut out, head);
        out.push('\n');
    }
    out.pop();
    out
}

/// The bytes, and a line beneath that points at the fault.
fn put_head(out: &mut String, head: &HeadRow) {
    if head.before.is_empty()
        && head.after.is_empty()
        && head.fault.as_ref().is_none_or(String::is_empty)
    {
        return;
    }
    // Escaped text is ASCII, so that bytes are columns.
    let before = safe(head.before.as_bytes());
    let cut = before.len().saturating_sub(SHOWN_BEFORE);
    let dots = if cut > 0 || head.skipped > 0 { "…" } else { "" };
    let before = before.get(cut..).unwrap_or_default();
    let fault = head.fault.as_deref().map(|fault| safe(fault.as_bytes())).unwrap_or_default();
    let (fault, fault_cut) = cut_at(&fault, SHOWN_FAULT);
    let after = safe(head.after.as_bytes());
    let (after, after_cut) = if fault_cut { ("", true) } else { cut_at(&after, SHOWN_AFTER) };
    let more = if after_cut { "…" } else { "" };
    let _ = writeln!(out, "    {dots}{before}{fault}{after}{more}");
    if head.fault.is_some() {
        let at = dots.chars().count() + before.len();
        let _ = writeln!(out, "    {:at$}{}", "", "^".repeat(fault.len().max(1)));
    }
    if head.hidden {
        let _ = writeln!(out, "    (what may be a search term is hidden, as search_terms says)");
    }
}

fn cut_at(text: &str, most: usize) -> (&str, bool) {
    match text.get(..most) {
        Some(cut) if text.len() > most => (cut, true),
        _ => (text, false),
    }
}

fn connections_lines(all: &ConnectionsSummary) -> Vec<String> {
    let mut lines = vec![format!(
        "{} of {} open: peers {}, proxies {}, callers in no policy {} and their handshakes {}; \
         busy {}, new {}, idle {}",
        all.open,
        all.most,
        all.peers,
        all.proxies,
        all.unknown,
        all.handshakes,
        all.busy,
        all.new,
        all.idle
    )];
    if all.over_limit + all.leaving > 0 {
        lines.push(format!(
            "{} are told that there is no room, {} are on their way out",
            all.over_limit, all.leaving
        ));
    }
    lines
}

fn requests_line(requests: &Requests) -> String {
    let introduced = match requests.introduced {
        0 => String::new(),
        count => format!(", {count} told who they are"),
    };
    format!(
        "{} answered{introduced}, {} refused or failed since the start",
        requests.answered, requests.refused
    )
}

fn reasons(requests: &Requests) -> Option<String> {
    let mut all: Vec<(&String, &u64)> = requests.reasons.iter().collect();
    all.sort_by_key(|(word, count)| (std::cmp::Reverse(**count), (*word).clone()));
    let all: Vec<String> = all.into_iter().map(|(word, count)| format!("{word} {count}")).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// A name, and what there is to say; a further line of the same name stands beneath.
fn put_line(out: &mut String, name: &str, text: &str) {
    let (name, text) = (safe_but_line_feed(name), safe(text.as_bytes()));
    let _ = writeln!(out, "{name:<14} {text}");
}

fn safe_but_line_feed(text: &str) -> String {
    match text.strip_prefix('\n') {
        Some(rest) => format!("\n{}", safe(rest.as_bytes())),
        None => safe(text.as_bytes()),
    }
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    let mut numbers = vec![true; header.len()];
    for row in rows {
        let row: Vec<String> = row.iter().map(|cell| safe(cell.as_bytes())).collect();
        for (number, cell) in numbers.iter_mut().zip(&row) {
            *number &= cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        }
        table.add_row(row);
    }
    let last = numbers.len().saturating_sub(1);
    for (index, is_number) in numbers.into_iter().enumerate() {
        let Some(column) = table.column_mut(index) else { continue };
        column.set_padding((0, if index == last { 0 } else { 2 }));
        if is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// How long before `now` it was.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    let since = now.duration_since(then);
    if since < SignedDuration::from_secs(1) {
        return "just now".to_owned();
    }
    format!("{} ago", seconds(since.as_secs().unsigned_abs()))
}

/// A time in its two largest units.
fn seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How many columns of a head are shown before its fault, of it, and behind it.
const SHOWN_BEFORE: usize = 60;
const SHOWN_FAULT: usize = 40;
const SHOWN_AFTER: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_two_units() {
        for (count, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
            (90_061, "1 d 1 h"),
        ] {
            assert_eq!(seconds(count), text);
        }
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(ago(now, Timestamp::from_second(95).unwrap()), "5 s ago");
        // A clock that was set back is no reason for nonsense.
        assert_eq!(ago(now, Timestamp::from_second(200).unwrap()), "just now");
    }

    #[test]
    fn a_fault_is_pointed_at_wherever_it_is() {
        let head = |before: &str, fault: Option<&str>, after: &str| HeadRow {
            at: Timestamp::UNIX_EPOCH,
            address: "192.0.2.1".to_owned(),
            peer: None,
            reason: "malformed-request".to_owned(),
            rule: "a rule".to_owned(),
            length: 9,
            skipped: 0,
            before: before.to_owned(),
            fault: fault.map(str::to_owned),
            after: after.to_owned(),
            hidden: false,
        };
        let shown = |head: HeadRow| errors(&Errors { heads: vec![head] });
        let text = shown(head("GET /", Some("#"), "x HTTP/1.1\\r\\n"));
        assert!(text.ends_with("    GET /#x HTTP/1.1\\r\\n\n         ^\n"), "{text}");
        let text = shown(head("GET", Some(""), "\\r\\n"));
        assert!(text.ends_with("    GET\\r\\n\n       ^\n"), "{text}");
        let long = "a".repeat(200);
        let text = shown(head(&long, Some(&long), &long));
        assert!(
            text.ends_with(&format!(
                "    …{}…\n    {:61}{}\n",
                "a".repeat(100),
                "",
                "^".repeat(40)
            )),
            "{text}"
        );
        let text = shown(head("", None, ""));
        assert_eq!(text.lines().count(), 1);
    }
}
