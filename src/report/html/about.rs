//! XiVO's failures, the lines that could not be read, and how the report was made.

use super::markup::Markup;
use crate::report::build::findings::{singles, told_apart};
use crate::report::html::layout::{self, ROWS};
use crate::report::summary::{ACCURACY, Report, wording};

/// How many unreadable lines are shown.
const SAMPLES: usize = 20;

/// XiVO's failures over time.
pub(super) fn upstream(page: &mut Markup, report: &Report) {
    layout::open(page, "upstream", "Outages of XiVO");
    let upstream = &report.upstream;
    if upstream.failed == 0 {
        layout::nothing(page, "XiVO failed no request.");
        return layout::close(page);
    }
    page.put("<p>").text(&wording::plural(upstream.failed, "request", "requests")).put(" failed:");
    for (nth, reason) in upstream.reasons.iter().take(10).enumerate() {
        page.put(if nth == 0 { " <code>" } else { ", <code>" }).text(&reason.value).put("</code> ");
        page.count(reason.count);
    }
    page.put(".</p>");
    layout::card_table(
        page,
        "Stretches of failures, none more than a minute behind another; the worst first",
        &["Began", "Ended", "Lasted", "Failed requests"],
    );
    let (long, single) = told_apart(&upstream.outages);
    for outage in long.iter().take(ROWS) {
        layout::head(page, &wording::minute(outage.begin));
        page.put("</th>");
        layout::moment(page, "Ended", outage.end);
        layout::figure(page, "Lasted", &wording::between(outage.begin, outage.end));
        layout::number(page, "Failed requests", outage.failed);
        page.put("</tr>");
    }
    layout::end_table(page, long.len(), ROWS);
    if let Some(text) = singles(&single) {
        page.put("<p>").text(&text).put("</p>");
    }
    layout::close(page);
}

/// The lines that could not be read.
pub(super) fn unreadable(page: &mut Markup, report: &Report) {
    layout::open(page, "unreadable", "Unreadable lines");
    let input = &report.input;
    if input.unreadable == 0 {
        layout::nothing(page, "Every line could be read.");
        return layout::close(page);
    }
    page.put("<p>").count(input.unreadable).put(" of ").text(&wording::plural(
        input.lines,
        "line",
        "lines",
    ));
    page.put(" (")
        .text(&wording::percent(input.unreadable, input.lines))
        .put("). The first of them:</p><ul class=\"samples\">");
    for sample in input.unreadable_samples.iter().take(SAMPLES) {
        page.put("<li><code class=\"muted\">")
            .text(&sample.file)
            .put(":")
            .whole_number(sample.line);
        page.put("</code> ")
            .prose(&sample.why)
            .put("<pre tabindex=\"0\">")
            .text(&sample.text)
            .put("</pre></li>");
    }
    page.put("</ul>");
    layout::close(page);
}

/// What was read, how exact the figures are, and what was left out.
pub(super) fn how(page: &mut Markup, report: &Report) {
    layout::open(page, "made", "How this was made");
    let input = &report.input;
    for note in input.notes.iter().take(ROWS) {
        page.put("<p class=\"note\">").prose(note).put("</p>");
    }
    match &input.configuration {
        Some(path) => page.put("<p>With the configuration <code>").text(path).put("</code>.</p>"),
        None => {
            page.put("<p>Without a configuration: present rates and policies are not known.</p>")
        }
    };
    if input.reasons_inferred > 0 {
        page.put("<p>").text(&wording::plural(
            input.reasons_inferred,
            "reason was",
            "reasons were",
        ));
        page.put(
            " read from status and target, because the format has no <code>$reason</code>.</p>",
        );
    }
    if !input.files.is_empty() {
        layout::card_table(
            page,
            "What was read, in the order of time",
            &["Log", "Format", "Lines"],
        );
        for file in input.files.iter().take(ROWS) {
            layout::head(page, &file.name);
            page.put("</th>");
            layout::text(page, "Format", &file.format);
            layout::number(page, "Lines", file.lines);
            page.put("</tr>");
        }
        layout::end_table(page, input.files.len(), ROWS);
    }
    statuses(page, report);
    page.put("<p class=\"muted\">").text(&wording::plural(
        report.totals.addresses,
        "distinct address",
        "distinct addresses",
    ));
    page.put(", ").text(&wording::plural(report.totals.terms, "distinct term", "distinct terms"));
    match report.totals.persons {
        Some(persons) => page
            .put(", by which about ")
            .text(&wording::plural(persons, "person was", "persons were"))
            .put(" looked for (what was typed on the way to a longer term counts once). "),
        None => page.put("; how many persons were looked for only whole terms tell. "),
    };
    page.whole(ACCURACY).put("</p>");
    layout::close(page);
}

fn statuses(page: &mut Markup, report: &Report) {
    if report.totals.statuses.is_empty() {
        return;
    }
    layout::plain_table(page, "Requests by status", &["Status", "Requests", "Share"]);
    for status in report.totals.statuses.iter().take(ROWS) {
        page.put("<tr><th scope=\"row\">")
            .whole_number(u64::from(status.value))
            .put("</th><td class=\"n\">");
        page.count(status.count).put("</td><td class=\"n\">");
        page.text(&wording::percent(status.count, report.totals.requests)).put("</td></tr>");
    }
    page.put("</tbody></table></div>");
}
