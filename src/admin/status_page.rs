//! The status page: the status document for people, at a glance.
//!
//! It is made of the parts that all pages have ([`crate::page`]), which escape every value: names, reasons and what
//! callers call themselves come from outside. Its size is bounded: of a long list the first rows are shown, and how
//! many more there are in `/status.json`.

mod callers;
mod facts;
mod parts;
mod traffic;

#[cfg(test)]
mod tests;

use maud::{Markup, html};

use super::status::{About, Finding, SlotRow, State, StatusDocument};
use crate::admin::status_page::parts::{clock, percentile};
use crate::page::card::{self, Figure, Tone};
use crate::page::{self, layout, prose, text};
use crate::text::figures::{count, milliseconds, percent};

/// The page as the text of an HTML document.
pub(crate) fn page(document: &StatusDocument) -> String {
    let word = word(document.verdict.state);
    let heading = html! {
        h1 { "Phonebook gateway on " bdi { (text(&document.host)) } }
    };
    let content = html! {
        (verdict(document))
        (key_figures(document))
        (findings(&document.findings))
        (traffic::section(document))
        (callers::peers(document))
        (callers::refusals(document))
        (callers::unknown(document))
        div.sections {
            (facts::upstream(document))
            (facts::configuration(document))
        }
        (facts::certificates(document))
        (facts::names(document))
        (facts::disabled(document))
        (facts::gateway(document))
    };
    page::live_document(page::Live {
        title: &format!("{word} – phonebook gateway on {}", document.host),
        heading: &heading,
        at: &format!("{} UTC", clock(document.at)),
        content: &content,
    })
}

/// What the page is allowed to do in a browser: the value of its Content-Security-Policy field.
pub fn page_policy() -> String {
    // No other page may frame it, which only the field can say.
    format!("{}; frame-ancestors 'none'", page::live_policy())
}

/// The page of a document as `/status.json` has it.
///
/// # Errors
/// It is no such document.
pub fn page_of_document(json: &str) -> serde_json::Result<String> {
    serde_json::from_str(json).map(|document| page(&document))
}

fn word(state: State) -> &'static str {
    match state {
        State::Well => "Well",
        State::Attention => "Needs you",
        State::Ill => "Ill",
    }
}

fn tone(state: State) -> Tone {
    match state {
        State::Well => Tone::Good,
        State::Attention => Tone::Warning,
        State::Ill => Tone::Bad,
    }
}

fn verdict(document: &StatusDocument) -> Markup {
    let verdict = &document.verdict;
    let remedy = verdict.remedy.as_deref().map(prose);
    card::verdict(
        tone(verdict.state),
        word(verdict.state),
        &prose(&verdict.sentence),
        remedy.as_ref(),
    )
}

/// The last hour in figures.
fn key_figures(document: &StatusDocument) -> Markup {
    let slots = &document.history.hour.slots;
    let sum =
        |of: fn(&SlotRow) -> u32| -> u64 { slots.iter().map(|slot| u64::from(of(slot))).sum() };
    let (answered, refused, failed) =
        (sum(|slot| slot.answered), sum(|slot| slot.refused), sum(|slot| slot.failed));
    let all = answered + refused + failed + sum(|slot| slot.left);
    let share = |name, tone, part| Figure {
        name,
        tone: if part > 0 { tone } else { Tone::Neutral },
        figure: count(part),
        beside: percent(part, all),
    };
    let last = slots.iter().rev().find(|slot| slot.p50_millis.is_some());
    let answer_time = Figure {
        name: "XiVO's answers took",
        tone: Tone::Neutral,
        figure: percentile(last.and_then(|slot| slot.p50_millis)),
        beside: last
            .and_then(|slot| slot.p99_millis)
            .map(|p99| format!("99 %: {}", milliseconds(p99.into())))
            .unwrap_or_default(),
    };
    let connections = &document.connections;
    let figures = [
        Figure {
            name: "In the last hour",
            tone: Tone::Neutral,
            figure: count(all),
            beside: format!("{} a minute", count(per_minute(document))),
        },
        share("Answered", Tone::Good, answered),
        share("Refused", Tone::Warning, refused),
        share("XiVO failed", Tone::Bad, failed),
        answer_time,
        Figure {
            name: "Connections",
            tone: Tone::Neutral,
            figure: count(connections.open as u64),
            beside: format!("of {}", count(connections.most as u64)),
        },
    ];
    html! {
        section aria-label="The last hour" { (card::figures(&figures)) }
    }
}

/// The requests of the last minute that is over; of the one now where there is no other.
fn per_minute(document: &StatusDocument) -> u64 {
    let slots = &document.history.hour.slots;
    let whole = slots.len().checked_sub(2).and_then(|at| slots.get(at)).or_else(|| slots.last());
    whole.map_or(0, SlotRow::requests)
}

/// What needs somebody, and what one should know.
fn findings(findings: &[Finding]) -> Markup {
    let list = html! {
        ol.findings {
            @for Finding { about, sentence, remedy, paste, .. } in findings {
                (layout::finding(about_words(*about), sentence, remedy.as_deref(), paste.as_deref()))
            }
        }
        @if findings.is_empty() { (layout::nothing("Nothing.")) }
    };
    layout::section("needs-you", "What needs you", &list)
}

/// The word for what a finding is about, and the part of the page that has more.
fn about_words(about: About) -> (&'static str, &'static str) {
    match about {
        About::Gateway => ("Gateway", "#gateway"),
        About::Upstream => ("XiVO", "#upstream"),
        About::Configuration => ("Files", "#configuration"),
        About::Certificates => ("Expiry", "#certificates"),
        About::Names => ("Names", "#names"),
        About::Logs => ("Logs", "#gateway"),
        About::Connections => ("Room", "#gateway"),
        About::Refused => ("Refused", "#refusals"),
        About::Unknown => ("Unknown", "#unknown"),
        About::Disabled => ("Off", "#disabled"),
    }
}
