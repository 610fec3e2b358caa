//! The report as one page of HTML: for the administrator, for a phone, and for paper.
//!
//! Each part of the page is a template; what other pages have as well is in [`crate::page`]. The page's size is
//! bounded: of a long list the first rows are shown, and how many more the JSON has.

mod about;
mod columns;
mod findings;
mod latency;
mod parts;
mod peers;
mod refusals;
mod traffic;
mod unknown_callers;

#[cfg(test)]
mod tests;

use maud::{Markup, html};

use crate::page::card::{self, Figure, Tone};
use crate::page::{document, text};
use crate::report::html::parts::time;
use crate::report::summary::{Report, wording};

/// The report as the text of an HTML document.
pub(crate) fn page(report: &Report) -> String {
    let host = report.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    document(
        &format!("Phonebook lookups{host}{}", span(report)),
        &html! {
            (headline(report))
            (key_figures(report))
            (findings::section(report))
            (traffic::over_time(report))
            (peers::section(report))
            (traffic::hours(report))
            (refusals::section(report))
            (refusals::limited(report))
            (latency::section(report))
            (latency::repeats(report))
            (unknown_callers::section(report))
            (unknown_callers::silent(report))
            (unknown_callers::harvests(report))
            (about::upstream(report))
            (about::unreadable(report))
            (about::how(report))
        },
    )
}

/// The days that the report covers, for the title.
fn span(report: &Report) -> String {
    match (report.totals.first, report.totals.last) {
        (Some(first), Some(last)) => {
            let (first, last) = (first.format("%Y-%m-%d"), last.format("%Y-%m-%d"));
            if first == last { format!(", {first}") } else { format!(", {first} to {last}") }
        }
        _ => String::new(),
    }
}

fn headline(report: &Report) -> Markup {
    html! {
        header {
            h1 {
                "Phonebook lookups"
                @if let Some(host) = &report.host { " on " bdi { (text(host)) } }
            }
            @if let (Some(first), Some(last)) = (report.totals.first, report.totals.last) {
                p.span {
                    (time(first)) " to " (time(last)) " "
                    span.muted { "(" (wording::between(first, last)) "; all times are " (wording::zone(first)) ")" }
                }
            }
            (sources(report))
            @if let Some(before) = &report.totals.before {
                p { (wording::compared(&report.totals, before)) }
            }
        }
    }
}

/// What was read, and by what.
fn sources(report: &Report) -> Markup {
    let input = &report.input;
    html! {
        p.muted {
            (wording::plural(input.lines, "line", "lines")) " of "
            (wording::plural(input.files.len() as u64, "file", "files"))
            @if input.filtered > 0 {
                ", " (wording::count(input.filtered)) " of them outside of what was asked for"
            }
            @if input.unreadable > 0 {
                ", " a href="#unreadable" { (wording::count(input.unreadable)) " unreadable" }
            }
            @if let Some(configuration) = &input.configuration {
                ", with the configuration " code { (text(configuration)) }
            }
            ". Made " (time(report.generated)) " by " code { "phonebook-gateway report" } "."
        }
    }
}

fn key_figures(report: &Report) -> Markup {
    let totals = &report.totals;
    let late = &totals.not_in_time;
    let figure = |name, tone, figure, beside| Figure { name, tone, figure, beside };
    let counted = |name, tone, count, beside| figure(name, tone, wording::count(count), beside);
    let share =
        |name, tone, count| counted(name, tone, count, wording::percent(count, totals.requests));
    let peers = wording::plural(report.peers.len() as u64, "peer", "peers");
    let of_lookups = wording::percent(late.total, late.lookups);
    let figures = [
        counted("Requests", Tone::Neutral, totals.requests, format!("of {peers}")),
        share("Answered", Tone::Good, totals.answered),
        share("Refused", Tone::Warning, totals.refused),
        counted("Limited", Tone::Warning, totals.limited, "of the refused".to_owned()),
        share("Failed", Tone::Bad, totals.failed),
        counted("Not in time", Tone::Bad, late.total, format!("{of_lookups} of lookups")),
        share("Client left", Tone::Neutral, totals.left),
        figure("Sent", Tone::Neutral, wording::bytes(totals.body_bytes), "of answers".to_owned()),
    ];
    html! {
        section aria-label="Key figures" { (card::figures(&figures)) }
    }
}
