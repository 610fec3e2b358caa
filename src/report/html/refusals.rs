//! What was refused and why, who was limited, and which quota would have sufficed.

use maud::{Markup, html};

use crate::page::chart::{self, Shade};
use crate::page::table::{self, Column};
use crate::page::{layout, prose, text};
use crate::report::html::parts::{caller, listing, time};
use crate::report::summary::{Limited, Refused, Report, wording};

/// Why, how often, whom it met, and the remedy.
pub(super) fn section(report: &Report) -> Markup {
    let most = report.refusals.iter().map(|refused| refused.count).max().unwrap_or(0);
    let content = if report.refusals.is_empty() {
        layout::nothing("Nothing was refused and nothing failed.")
    } else {
        let caption = "Why requests were refused or failed; most frequent first";
        listing(caption, &REASONS, &report.refusals, |refused| row(refused, most))
    };
    layout::section("refusals", "Refusals and failures", &content)
}

fn row(refused: &Refused, most: u64) -> [Markup; 5] {
    [
        html! {
            (table::name(&refused.reason))
            @for status in &refused.statuses { " " span.muted { (status) } }
        },
        html! {
            (wording::count(refused.count))
            (chart::bar(shade(refused), wording::ratio(refused.count, most)))
        },
        callers(refused),
        html! {
            (prose(&refused.remedy))
            @if let Some(example) = &refused.example { code.example { (text(example)) } }
        },
        time(refused.last),
    ]
}

/// XiVO's failures have a colour of their own.
fn shade(refused: &Refused) -> Shade {
    let is_failure = !refused.statuses.is_empty() && refused.statuses.iter().all(|it| *it >= 500);
    if is_failure { Shade::Failed } else { Shade::Refused }
}

/// Whom a reason met most.
fn callers(refused: &Refused) -> Markup {
    let all = refused.callers.len() as u64 + refused.callers_left_out;
    html! {
        @for met in refused.callers.iter().take(CALLERS) {
            span.who { bdi { (text(caller(&met.value))) } " " span.muted { (wording::count(met.count)) } } " "
        }
        @if all > CALLERS as u64 {
            span.who.muted { "and " (wording::count(all - CALLERS as u64)) " more" }
        }
    }
}

/// Who was limited, and which quota would have sufficed.
pub(super) fn limited(report: &Report) -> Markup {
    let content = if report.limited.is_empty() {
        layout::nothing("No caller was limited.")
    } else {
        let caption = "Who was limited, and what would have sufficed";
        listing(caption, &LIMITED, &report.limited, limited_row)
    };
    layout::section("limited", "Limited callers", &content)
}

fn limited_row(limited: &Limited) -> [Markup; 7] {
    let busiest = limited.busiest_second.as_ref().map(|busiest| wording::count(busiest.count));
    let present =
        limited.present.map(|it| format!("{} a second, burst {}", it.per_second, it.burst));
    [
        table::name(caller(&limited.peer)),
        table::name(limited.limit.as_deref().unwrap_or("not in this log")),
        table::count(limited.count),
        table::words(busiest.as_deref().unwrap_or("–")),
        table::name(present.as_deref().unwrap_or("–")),
        sufficient(limited),
        time(limited.last),
    ]
}

/// Lines to paste, any one of which would have sufficed; or why there are none.
fn sufficient(limited: &Limited) -> Markup {
    if limited.sufficient.is_empty() {
        return why_none(limited);
    }
    let quotas = limited.sufficient.iter().take(QUOTAS);
    let quotas: String = quotas.map(|quota| wording::rate(*quota) + "\n").collect();
    layout::lines(quotas)
}

fn why_none(limited: &Limited) -> Markup {
    html! {
        @match limited.limit.as_deref() {
            Some("concurrent") => { "No rate: raise " code { "concurrent" } ", or see why answers take so long." }
            Some("unknown") => "No rate: write a policy for those that are yours.",
            _ => "No rate would have helped, or the log does not tell which.",
        }
    }
}

/// The number of callers of a reason that are shown.
const CALLERS: usize = 5;
/// The number of quotas of a limited caller that are shown.
const QUOTAS: usize = 5;

const REASONS: [Column; 5] = [
    Column::Words("Reason"),
    Column::Number("Times"),
    Column::Words("Who asked"),
    Column::Wide("What to do"),
    Column::Time("Last"),
];

const LIMITED: [Column; 7] = [
    Column::Words("Caller"),
    Column::Words("Limit"),
    Column::Number("Times"),
    Column::Number("Busiest second"),
    Column::Words("Present rate"),
    Column::Wide("Would have sufficed"),
    Column::Time("Last"),
];
