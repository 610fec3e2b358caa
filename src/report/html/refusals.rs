//! What was refused and why, who was limited, and which quota would have sufficed.

use super::chart;
use super::markup::Markup;
use crate::report::html::layout::{self, ROWS};
use crate::report::summary::{Limited, Refused, Report, wording};

/// Why, how often, whom it met, and what mends it.
pub(super) fn section(page: &mut Markup, report: &Report) {
    layout::open(page, "refusals", "Refusals and failures");
    if report.refusals.is_empty() {
        layout::nothing(page, "Nothing was refused and nothing failed.");
        return layout::close(page);
    }
    layout::card_table(
        page,
        "Why requests were refused or failed; most frequent first",
        &["Reason", "Times", "Who asked", "What to do", "Last"],
    );
    let most = report.refusals.iter().map(|refused| refused.count).max().unwrap_or(0);
    for refused in report.refusals.iter().take(ROWS) {
        row(page, refused, most);
    }
    layout::end_table(page, report.refusals.len(), ROWS);
    layout::close(page);
}

/// How many callers of a reason are shown.
const CALLERS: usize = 5;

/// What it was: XiVO's failures have a colour of their own.
fn kind(refused: &Refused) -> &'static str {
    let is_failure = !refused.statuses.is_empty() && refused.statuses.iter().all(|it| *it >= 500);
    if is_failure { "failed" } else { "refused" }
}

fn row(page: &mut Markup, refused: &Refused, most: u64) {
    layout::head(page, &refused.reason);
    for status in &refused.statuses {
        page.put(" <span class=\"muted\">").whole_number(u64::from(*status)).put("</span>");
    }
    page.put("</th><td role=\"cell\" class=\"n\" data-label=\"Times\"><div>").count(refused.count);
    chart::bar(page, kind(refused), wording::ratio(refused.count, most));
    layout::end_cell(page);
    layout::cell(page, "Who asked");
    for caller in refused.callers.iter().take(CALLERS) {
        page.put("<span class=\"who\"><bdi>")
            .text(layout::caller(&caller.value))
            .put("</bdi> <span class=\"muted\">");
        page.count(caller.count).put("</span></span> ");
    }
    let all = refused.callers.len() as u64 + refused.callers_left_out;
    if all > CALLERS as u64 {
        page.put("<span class=\"who muted\">and ").count(all - CALLERS as u64).put(" more</span>");
    }
    layout::end_cell(page);
    page.put("<td role=\"cell\" class=\"wide\" data-label=\"What to do\"><div>")
        .prose(&refused.mend);
    if let Some(example) = &refused.example {
        page.put("<code class=\"example\">").text(example).put("</code>");
    }
    layout::end_cell(page);
    layout::moment(page, "Last", refused.last);
    page.put("</tr>");
}

/// Who was limited.
pub(super) fn limited(page: &mut Markup, report: &Report) {
    layout::open(page, "limited", "Limited callers");
    if report.limited.is_empty() {
        layout::nothing(page, "No caller was limited.");
        return layout::close(page);
    }
    layout::card_table(
        page,
        "Who was limited, and what would have sufficed",
        &[
            "Caller",
            "Limit",
            "Times",
            "Busiest second",
            "Present rate",
            "Would have sufficed",
            "Last",
        ],
    );
    for limited in report.limited.iter().take(ROWS) {
        layout::head(page, layout::caller(&limited.peer));
        page.put("</th>");
        layout::text(page, "Limit", limited.limit.as_deref().unwrap_or("not in this log"));
        layout::number(page, "Times", limited.count);
        let busiest = limited.busiest_second.as_ref();
        layout::figure(
            page,
            "Busiest second",
            &busiest.map_or_else(|| "–".to_owned(), |b| wording::count(b.count)),
        );
        let present =
            limited.present.map(|p| format!("{} a second, burst {}", p.per_second, p.burst));
        layout::text(page, "Present rate", present.as_deref().unwrap_or("–"));
        page.put("<td role=\"cell\" class=\"wide\" data-label=\"Would have sufficed\"><div>");
        if limited.sufficient.is_empty() {
            page.put(why_none(limited));
        } else {
            quotas(page, limited);
        }
        layout::end_cell(page);
        layout::moment(page, "Last", limited.last);
        page.put("</tr>");
    }
    layout::end_table(page, report.limited.len(), ROWS);
    layout::close(page);
}

fn why_none(limited: &Limited) -> &'static str {
    match limited.limit.as_deref() {
        Some("concurrent") => {
            "No rate: raise <code>concurrent</code>, or see why answers take so long."
        }
        Some("unknown") => "No rate: write a policy for those that are yours.",
        _ => "No rate would have helped, or the log does not tell which.",
    }
}

/// Lines to paste, any one of which would have sufficed.
pub(super) fn quotas(page: &mut Markup, limited: &Limited) {
    page.put("<pre tabindex=\"0\">");
    for quota in limited.sufficient.iter().take(5) {
        page.put("rate = { per_second = ").whole_number(quota.per_second.into());
        page.put(", burst = ").whole_number(quota.burst.into()).put(" }\n");
    }
    page.put("</pre>");
}
