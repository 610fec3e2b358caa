//! How long answers took.

use super::chart;
use super::markup::Markup;
use crate::report::build::findings;
use crate::report::html::layout;
use crate::report::summary::{AnswerTimes, HISTOGRAM, Report, wording};

/// The gateway's answers, and beside them XiVO's own.
pub(super) fn section(page: &mut Markup, report: &Report) {
    layout::open(page, "answer-times", "Answer times");
    page.put("<p>").text(&findings::not_in_time(&report.totals.not_in_time)).put("</p>");
    page.put("<div class=\"pair\">");
    let mut any = false;
    for (title, times) in [
        ("Answers for which XiVO was asked", report.answer_times.as_ref()),
        ("Of these, XiVO's own time", report.upstream.answer_times.as_ref()),
    ] {
        if let Some(times) = times.filter(|times| times.count > 0) {
            panel(page, title, times);
            any = true;
        }
    }
    page.put("</div>");
    if !any {
        layout::nothing(
            page,
            "The logs do not say how long answers took (<code>$request_time</code>).",
        );
    }
    layout::close(page);
}

/// What a cache would have answered.
pub(super) fn repeats(page: &mut Markup, report: &Report) {
    layout::open(page, "repeats", "What a cache would have answered");
    let Some(repeats) = &report.repeats else {
        layout::nothing(page, "The logs do not say what was asked for.");
        return layout::close(page);
    };
    layout::plain_table(
        page,
        "Lookups that were asked for already, and answered, so shortly before",
        &["An answer is good for", "One cache for all", "Share", "Each peer its own", "Share"],
    );
    for within in &repeats.within {
        page.put("<tr><th scope=\"row\">")
            .text(&wording::duration(within.seconds.into()))
            .put("</th>");
        for part in [within.any_peer, within.same_peer] {
            page.put("<td class=\"n\">").count(part).put("</td><td class=\"n\">");
            page.text(&wording::percent(part, repeats.lookups)).put("</td>");
        }
        page.put("</tr>");
    }
    page.put("</tbody></table></div><p class=\"muted\">")
        .text(&findings::under_way(repeats))
        .put("</p>");
    layout::close(page);
}

fn panel(page: &mut Markup, title: &'static str, times: &AnswerTimes) {
    page.put("<div class=\"panel\"><h3>").put(title).put("</h3><dl class=\"percentiles\">");
    for (name, time) in
        [("p50", times.p50), ("p95", times.p95), ("p99", times.p99), ("slowest", times.max)]
    {
        page.put("<div><dt>")
            .put(name)
            .put("</dt><dd>")
            .text(&wording::milliseconds(time))
            .put("</dd></div>");
    }
    page.put("</dl><table class=\"histogram\"><caption>").text(&wording::plural(
        times.count,
        "answer",
        "answers",
    ));
    page.put(" by their length</caption><thead><tr><th scope=\"col\">Up to</th><th scope=\"col\">Share</th>");
    page.put("<th scope=\"col\" class=\"n\">Answers</th></tr></thead><tbody>");
    let most = times.histogram.iter().copied().max().unwrap_or(0);
    for (nth, count) in times.histogram.iter().enumerate() {
        let late = HISTOGRAM.get(nth).is_none_or(|bound| *bound > 1000);
        if HISTOGRAM.get(nth) == Some(&2000) {
            page.put("<tr class=\"mark\"><td colspan=\"3\">1 s: caller ID is not waited for longer; a search by text until 2.9 s</td></tr>");
        }
        page.put("<tr><th scope=\"row\">");
        match HISTOGRAM.get(nth) {
            Some(bound) if *bound < 1000 => page.whole_number(*bound).put(" ms"),
            Some(bound) => page.whole_number(bound / 1000).put(" s"),
            None => page.put("longer"),
        };
        page.put("</th><td>");
        chart::bar(page, if late { "failed" } else { "answered" }, wording::ratio(*count, most));
        page.put("</td><td class=\"n\">").count(*count).put("</td></tr>");
    }
    page.put("</tbody></table></div>");
}
