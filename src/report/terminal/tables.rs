//! The tables of a report.

use super::canvas::{Align, Canvas};
use crate::report::build::findings::{
    needs_somebody, not_in_time, sentence, singles, told_apart, under_way,
};
use crate::report::summary::wording::{
    between, count, duration, histogram_label, milliseconds, percent, period, plural, rate,
};
use crate::report::summary::{Bucket, Peer, Report};

use Align::{Left, Right};

/// A row of texts.
fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|&cell| cell.to_owned()).collect()
}

/// Requests over time, folded to as many rows as a screen takes.
pub(super) fn buckets(report: &Report, canvas: &mut Canvas) {
    let list = &report.buckets.list;
    // As many as make rows of a length that people know.
    let hour = (report.buckets.seconds / 3600).max(1) as usize;
    let folds = [1, 2, 3, 6, 12, 24, 48, 168, 336, 672].map(|hours| hours / hour);
    let fits = |fold: &usize| *fold > 0 && list.len().div_ceil(*fold) <= ROWS_OF_TIME;
    let fold = folds.into_iter().find(fits).unwrap_or_else(|| list.len().div_ceil(ROWS_OF_TIME));
    let hours = u64::from(report.buckets.seconds) * fold.max(1) as u64 / 3600;
    let unit = match (hours, hours % 24) {
        (1, _) => "hour".to_owned(),
        (24, _) => "day".to_owned(),
        (_, 0) => format!("{} days", hours / 24),
        _ => format!("{hours} hours"),
    };
    let form = if hours.is_multiple_of(24) { "%a %Y-%m-%d" } else { "%a %m-%d %H:%M" };
    // A row begins at a multiple of its length by the log's own clock.
    let length = i64::try_from(hours * 3600).unwrap_or(i64::MAX).max(1);
    let row_of = |it: &Bucket| (it.begin.unix + i64::from(it.begin.offset) * 60).div_euclid(length);
    let rows = list.chunk_by(|a, b| row_of(a) == row_of(b));
    let folded: Vec<(String, [u64; 3])> = rows
        .filter_map(|row| {
            let begin = row.first()?.begin.format(form);
            let sum = |of: fn(&Bucket) -> u64| row.iter().map(of).sum();
            Some((begin, [sum(|it| it.requests), sum(|it| it.refused), sum(|it| it.failed)]))
        })
        .collect();
    let most = folded.iter().map(|(_, [requests, ..])| *requests).max().unwrap_or(0);
    canvas.heading(&format!("Requests, each {unit}"));
    let [_, refused, failed] = canvas.shades();
    let legend = format!("({refused} refused, {failed} failed)");
    let mut rows = vec![row(&["from", "requests", "refused", "failed", &legend])];
    let room = canvas.width().saturating_sub(46).clamp(8, 60);
    for (begin, figures) in &folded {
        let bar = canvas.split_bar(*figures, most, room);
        let [requests, refused, failed] = figures.map(count);
        rows.push(vec![begin.clone(), requests, refused, failed, bar]);
    }
    canvas.table(&[Left, Right, Right, Right, Left], &rows);
}

/// Who looked up how much.
pub(super) fn peers(report: &Report, canvas: &mut Canvas) {
    if report.peers.is_empty() {
        return;
    }
    let is_address = report.peers.iter().all(|peer| peer.is_address);
    canvas.heading(if is_address { "Addresses that were let in" } else { "Peers" });
    let timed = report.peers.iter().any(|peer| peer.answer_times.is_some());
    let columns = PEER_COLUMNS
        .iter()
        .filter(|column| canvas.width() >= column.width && (timed || !column.of_times));
    let columns: Vec<&PeerColumn> = columns.collect();
    let head = std::iter::once("peer").chain(columns.iter().map(|column| column.head));
    let mut rows = vec![head.map(str::to_owned).collect::<Vec<_>>()];
    for peer in report.peers.iter().take(canvas.rows(ROWS)) {
        let figures = columns
            .iter()
            .map(|column| (column.figure)(peer).map_or_else(|| "-".to_owned(), count));
        let name = match &peer.description {
            Some(description) => format!("{} ({description})", peer.name),
            None => peer.name.clone(),
        };
        rows.push(std::iter::once(name).chain(figures).collect());
    }
    let align = std::iter::once(Left).chain(columns.iter().map(|_| Right));
    canvas.table(&align.collect::<Vec<_>>(), &rows);
    canvas.more(report.peers.len(), canvas.rows(ROWS));
    canvas.paragraph("", "late: not answered in time, see answer times; p50, p95, p99: milliseconds within which so many of \
                          100 were answered that XiVO was asked for.");
}

/// A column of the peers' table.
struct PeerColumn {
    head: &'static str,
    /// The width of screens that have room for it.
    width: usize,
    of_times: bool,
    figure: fn(&Peer) -> Option<u64>,
}

const fn column(head: &'static str, width: usize, figure: fn(&Peer) -> Option<u64>) -> PeerColumn {
    PeerColumn { head, width, of_times: false, figure }
}

const fn time(head: &'static str, width: usize, figure: fn(&Peer) -> Option<u64>) -> PeerColumn {
    PeerColumn { head, width, of_times: true, figure }
}

/// When in the day.
pub(super) fn hours_of_day(report: &Report, canvas: &mut Canvas) {
    canvas.heading("Requests by the hour of the day");
    canvas.verbatim("", &canvas.sparkline(&report.hour_of_day));
    canvas.verbatim("", "0     6     12    18   23");
}

/// What was refused, or failed, and the remedy of each.
pub(super) fn refusals(report: &Report, canvas: &mut Canvas) {
    refusals_short(report, canvas);
    if report.input.reasons_inferred > 0 {
        let text = "Reasons were read from status, peer and target, as far as these tell them: the log has no \
                    $reason. The format `gateway` has it.";
        canvas.paragraph("", text);
    }
    for refused in report.refusals.iter().take(canvas.rows(ROWS)) {
        if !needs_somebody(refused) {
            canvas.paragraph("  ", &format!("{}: {}", refused.reason, refused.remedy));
        }
    }
}

/// What was refused, or failed.
pub(super) fn refusals_short(report: &Report, canvas: &mut Canvas) {
    if report.refusals.is_empty() {
        return;
    }
    canvas.heading("Refused or failed, and why");
    let mut rows = vec![row(&["reason", "status", "times", "last", "mostly"])];
    for refused in report.refusals.iter().take(canvas.rows(ROWS)) {
        let statuses: Vec<String> = refused.statuses.iter().map(u16::to_string).collect();
        let callers = refused.callers.iter().take(2);
        let callers: Vec<String> =
            callers.map(|it| format!("{} {}", caller(&it.value), count(it.count))).collect();
        rows.push(vec![
            refused.reason.clone(),
            statuses.join(" "),
            count(refused.count),
            refused.last.format("%a %m-%d %H:%M"),
            callers.join(", "),
        ]);
    }
    canvas.table(&[Left, Left, Right, Left, Left], &rows);
    canvas.more(report.refusals.len(), canvas.rows(ROWS));
}

/// A caller's name, or what stands for everybody in no policy.
fn caller(name: &str) -> &str {
    if name == "-" { "unknown callers" } else { name }
}

/// Who was limited, and what would have sufficed.
pub(super) fn limited(report: &Report, canvas: &mut Canvas) {
    if report.limited.is_empty() {
        return;
    }
    canvas.heading("Limited");
    let mut rows = vec![row(&["peer", "limit", "times", "busiest second", "would have sufficed"])];
    for limited in report.limited.iter().take(canvas.rows(ROWS)) {
        let quotas = limited.sufficient.iter().take(3);
        let quotas: Vec<String> =
            quotas.map(|quota| format!("{}/s burst {}", quota.per_second, quota.burst)).collect();
        rows.push(vec![
            limited.peer.clone(),
            limited.limit.clone().unwrap_or_else(|| "-".to_owned()),
            count(limited.count),
            limited.busiest_second.as_ref().map_or_else(
                || "-".to_owned(),
                |second| {
                    format!(
                        "{} at {}",
                        count(second.count),
                        second.begin.format("%a %m-%d %H:%M:%S")
                    )
                },
            ),
            if quotas.is_empty() { "-".to_owned() } else { quotas.join(", or ") },
        ]);
    }
    canvas.table(&[Left, Left, Right, Left, Left], &rows);
    canvas.more(report.limited.len(), canvas.rows(ROWS));
    for limited in report.limited.iter().take(canvas.rows(ROWS)) {
        if let Some(present) = limited.present {
            canvas.paragraph("", &format!("{} has now {}", limited.peer, rate(present)));
        }
    }
}

/// How long answers took.
pub(super) fn answer_times(report: &Report, canvas: &mut Canvas) {
    let Some(times) = &report.answer_times else {
        canvas.heading("Answer times");
        let text = "The log has no $request_time; the format `gateway` has it.";
        canvas.paragraph("", text);
        return canvas.paragraph("", &not_in_time(&report.totals.not_in_time));
    };
    canvas.heading("Answer times");
    let mut text = format!(
        "of what XiVO was asked for: half within {} · 95 of 100 within {} · 99 of 100 within {} · the slowest {}",
        milliseconds(times.p50),
        milliseconds(times.p95),
        milliseconds(times.p99),
        milliseconds(times.max)
    );
    if let Some(upstream) = &report.upstream.answer_times {
        text += &format!(" · of this XiVO's: 99 of 100 within {}", milliseconds(upstream.p99));
    }
    canvas.paragraph("", &text);
    canvas.paragraph("", &not_in_time(&report.totals.not_in_time));
    let first = times.histogram.iter().position(|count| *count > 0).unwrap_or(0);
    let last = times.histogram.iter().rposition(|count| *count > 0).unwrap_or(0);
    let most = times.histogram.iter().copied().max().unwrap_or(0);
    let room = canvas.width().saturating_sub(30).clamp(8, 60);
    let mut rows = vec![row(&["", "answers", ""])];
    for index in first..=last {
        let figure = times.histogram.get(index).copied().unwrap_or(0);
        rows.push(vec![histogram_label(index), count(figure), canvas.bar(figure, most, room)]);
    }
    canvas.table(&[Left, Right, Left], &rows);
}

/// What a cache would have answered.
pub(super) fn repeats(report: &Report, canvas: &mut Canvas) {
    let Some(repeats) = &report.repeats else { return };
    canvas.heading("What a cache would have answered");
    let mut rows = vec![row(&["good for", "one for all", "each its own"])];
    for within in &repeats.within {
        let cell = |part| format!("{} ({})", count(part), percent(part, repeats.lookups));
        let good = duration(within.seconds.into());
        rows.push(vec![good, cell(within.any_peer), cell(within.same_peer)]);
    }
    canvas.table(&[Right, Right, Right], &rows);
    canvas.paragraph("", &under_way(repeats));
}

/// Callers in no policy.
pub(super) fn unknown(report: &Report, canvas: &mut Canvas) {
    let unknown = &report.unknown;
    if unknown.requests == 0 {
        return;
    }
    canvas.heading("Callers in no policy");
    let text = format!(
        "{} from {}",
        plural(unknown.requests, "request", "requests"),
        plural(unknown.addresses, "address", "addresses")
    );
    canvas.paragraph("", &text);
    let mut rows = vec![row(&["address", "requests", "lookups", "last", "calls itself"])];
    let alone = unknown.alone();
    for caller in alone.iter().take(canvas.rows(ROWS)) {
        let requests = match caller.error {
            0 => count(caller.requests),
            error => format!("{} (-{})", count(caller.requests), count(error)),
        };
        let agent = caller.user_agent.as_deref().unwrap_or("-");
        let agent = match &caller.known_by_now {
            Some(peer) => format!("(now let in as {peer}) {agent}"),
            None => agent.to_owned(),
        };
        let agent: String = agent.chars().take(60).collect();
        let last = caller.last.format("%a %m-%d %H:%M");
        rows.push(vec![caller.address.clone(), requests, count(caller.lookups), last, agent]);
    }
    canvas.table(&[Left, Right, Right, Left, Left], &rows);
    canvas.more(alone.len(), canvas.rows(ROWS));
    if unknown.callers_left_out > 0 {
        let text = format!(
            "Of {} addresses only the busiest {} are listed, here and in the JSON.",
            count(unknown.addresses),
            count(unknown.callers.len() as u64)
        );
        canvas.paragraph("", &text);
    }
    networks(report, canvas);
}

/// Signs that somebody reads the phonebook out.
pub(super) fn harvests(report: &Report, canvas: &mut Canvas) {
    if report.harvests.is_empty() {
        return;
    }
    canvas.heading("Harvests");
    for harvest in report.harvests.iter().take(canvas.rows(ROWS)) {
        canvas.paragraph("* ", &sentence(harvest));
    }
    canvas.more(report.harvests.len(), canvas.rows(ROWS));
}

/// Networks that scanners come from.
fn networks(report: &Report, canvas: &mut Canvas) {
    let networks = &report.unknown.networks;
    if networks.is_empty() {
        return;
    }
    canvas.paragraph("", "Networks with several of these that do not ask as a XiVO does:");
    let mut rows = vec![row(&["network", "addresses", "requests", "lookups", "last"])];
    for network in networks.iter().take(canvas.rows(ROWS)) {
        rows.push(vec![
            network.network.clone(),
            count(network.addresses),
            count(network.requests),
            count(network.lookups),
            network.last.format("%a %m-%d %H:%M"),
        ]);
    }
    canvas.table(&[Left, Right, Right, Right, Left], &rows);
    canvas.more(networks.len(), canvas.rows(ROWS));
}

/// XiVO's failures.
pub(super) fn outages(report: &Report, canvas: &mut Canvas) {
    let (long, single) = told_apart(&report.upstream.outages);
    if long.is_empty() && single.is_empty() {
        return;
    }
    canvas.heading("When XiVO failed, the worst first");
    if !long.is_empty() {
        let mut rows = vec![row(&["failed requests", "within", "when"])];
        for outage in long.iter().take(canvas.rows(ROWS)) {
            let within = between(outage.begin, outage.end);
            rows.push(vec![count(outage.failed), within, period(outage.begin, outage.end)]);
        }
        canvas.table(&[Right, Right, Left], &rows);
        canvas.more(long.len(), canvas.rows(ROWS));
    }
    if let Some(text) = singles(&single) {
        canvas.paragraph("", &text);
    }
}

/// What was read, and what was not.
pub(super) fn input(report: &Report, canvas: &mut Canvas) {
    let input = &report.input;
    canvas.heading("What was read");
    for file in input.files.iter().take(canvas.rows(ROWS)) {
        let format = match &*file.format {
            "" => String::new(),
            format => format!(" in the format {format}"),
        };
        let text = format!("{}: {}{format}", file.name, plural(file.lines, "line", "lines"));
        canvas.paragraph("", &text);
    }
    canvas.more(input.files.len(), canvas.rows(ROWS));
    if input.filtered > 0 {
        let text = format!("{} were not asked for.", plural(input.filtered, "line", "lines"));
        canvas.paragraph("", &text);
    }
    if let Some(configuration) = &input.configuration {
        canvas.paragraph("", &format!("with the configuration {configuration}"));
    }
    if input.unreadable > 0 {
        let text = format!("{} could not be read:", plural(input.unreadable, "line", "lines"));
        canvas.paragraph("", &text);
        for sample in input.unreadable_samples.iter().take(5) {
            let text: String = sample.text.chars().take(120).collect();
            canvas.paragraph(
                "  ",
                &format!("{}:{}: {}: {text}", sample.file, sample.line, sample.why),
            );
        }
    }
    for note in &input.notes {
        canvas.paragraph("", note);
    }
}

/// Rows of a list.
const ROWS: usize = 10;
/// Rows of the requests over time.
const ROWS_OF_TIME: usize = 24;

const PEER_COLUMNS: [PeerColumn; 10] = [
    column("requests", 0, |peer| Some(peer.requests)),
    column("refused", 0, |peer| Some(peer.refused)),
    column("limited", 60, |peer| Some(peer.limited)),
    column("failed", 60, |peer| Some(peer.failed)),
    column("terms", 72, |peer| Some(peer.terms)),
    column("most/h", 100, |peer| Some(peer.terms_per_hour.as_ref()?.count)),
    time("p50", 72, |peer| Some(peer.answer_times.as_ref()?.p50)),
    time("p95", 0, |peer| Some(peer.answer_times.as_ref()?.p95)),
    time("p99", 72, |peer| Some(peer.answer_times.as_ref()?.p99)),
    column("late", 60, |peer| Some(peer.not_in_time.total)),
];
