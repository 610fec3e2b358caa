//! XiVO's failures, the lines that could not be read, and how the report came about.

use maud::{Markup, html};

use crate::page::table::{self, Column};
use crate::page::{layout, prose, text};
use crate::report::build::findings::{singles, told_apart};
use crate::report::html::parts::{ROWS, listing, time};
use crate::report::summary::{ACCURACY, Input, Outage, Report, Totals, Upstream, wording};

/// XiVO's failures over time.
pub(super) fn upstream(report: &Report) -> Markup {
    let content = if report.upstream.failed == 0 {
        layout::nothing("XiVO failed no request.")
    } else {
        failures(&report.upstream)
    };
    layout::section("upstream", "Outages of XiVO", &content)
}

fn failures(upstream: &Upstream) -> Markup {
    let (long, single) = told_apart(&upstream.outages);
    let caption = "Stretches of failures, none more than a minute behind another; the worst first";
    html! {
        p {
            (wording::plural(upstream.failed, "request", "requests")) " failed:"
            @for (nth, reason) in upstream.reasons.iter().take(REASONS).enumerate() {
                @if nth > 0 { "," }
                " " code { (text(&reason.value)) } " " (wording::count(reason.count))
            }
            "."
        }
        (listing(caption, &OUTAGES, &long, |outage| outage_row(outage)))
        @if let Some(text) = singles(&single) { p { (text) } }
    }
}

fn outage_row(outage: &Outage) -> [Markup; 4] {
    [
        table::name(wording::minute(outage.begin)),
        time(outage.end),
        table::words(&wording::between(outage.begin, outage.end)),
        table::count(outage.failed),
    ]
}

/// The lines that could not be read.
pub(super) fn unreadable(report: &Report) -> Markup {
    let content = if report.input.unreadable == 0 {
        layout::nothing("Every line could be read.")
    } else {
        samples(&report.input)
    };
    layout::section("unreadable", "Unreadable lines", &content)
}

fn samples(input: &Input) -> Markup {
    html! {
        p {
            (wording::count(input.unreadable)) " of " (wording::plural(input.lines, "line", "lines"))
            " (" (wording::percent(input.unreadable, input.lines)) "). The first of them:"
        }
        ul.samples {
            @for sample in input.unreadable_samples.iter().take(SAMPLES) {
                li {
                    code.muted { (text(&sample.file)) ":" (sample.line) } " " (prose(&sample.why))
                    (layout::lines(text(&sample.text)))
                }
            }
        }
    }
}

/// What was read, how exact the figures are, and what was left out.
pub(super) fn how(report: &Report) -> Markup {
    let input = &report.input;
    let content = html! {
        @for note in input.notes.iter().take(ROWS) { p.note { (prose(note)) } }
        (configuration(input))
        @if input.reasons_inferred > 0 {
            p {
                (wording::plural(input.reasons_inferred, "reason was", "reasons were"))
                " read from status and target, because the format has no " code { "$reason" } "."
            }
        }
        @if !input.files.is_empty() { (logs(input)) }
        @if !report.totals.statuses.is_empty() { (statuses(&report.totals)) }
        (accuracy(&report.totals))
    };
    layout::section("about", "How this was made", &content)
}

fn configuration(input: &Input) -> Markup {
    html! {
        p {
            @match &input.configuration {
                Some(path) => { "With the configuration " code { (text(path)) } "." }
                None => "Without a configuration: present rates and policies are not known.",
            }
        }
    }
}

fn logs(input: &Input) -> Markup {
    listing("What was read, in the order of time", &LOGS, &input.files, |file| {
        [table::name(&file.name), table::name(&file.format), table::count(file.lines)]
    })
}

fn statuses(totals: &Totals) -> Markup {
    let rows = totals.statuses.iter().take(ROWS).map(|status| {
        [
            table::words(&status.value.to_string()),
            table::count(status.count),
            table::words(&wording::percent(status.count, totals.requests)),
        ]
    });
    table::plain("Requests by status", ["Status", "Requests", "Share"], rows)
}

fn accuracy(totals: &Totals) -> Markup {
    html! {
        p.muted {
            (wording::plural(totals.addresses, "distinct address", "distinct addresses")) ", "
            (wording::plural(totals.terms, "distinct term", "distinct terms"))
            @match totals.persons {
                Some(persons) => {
                    ", by which about " (wording::plural(persons, "person was", "persons were"))
                    " looked for (what was typed on the way to a longer term counts once). "
                }
                None => "; how many persons were looked for only whole terms tell. ",
            }
            (ACCURACY)
        }
    }
}

/// The number of unreadable lines that are shown.
const SAMPLES: usize = 20;
/// The number of reasons that are shown of XiVO's failures.
const REASONS: usize = 10;

const OUTAGES: [Column; 4] = [
    Column::Words("Began"),
    Column::Time("Ended"),
    Column::Number("Lasted"),
    Column::Number("Failed requests"),
];

const LOGS: [Column; 3] = [Column::Words("Log"), Column::Words("Format"), Column::Number("Lines")];
