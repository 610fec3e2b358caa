//! What needs the administrator: the short list that is worth reading when nothing else is read.

use super::frame;
use super::markup::Markup;
use super::refusals;
use crate::report::summary::Report;
use crate::report::words;

/// How many findings of a kind are told here; the sections below have the others.
const EACH: usize = 3;

/// The list, most urgent first.
pub(super) fn section(page: &mut Markup, report: &Report) {
    frame::open(page, "needs-you", "What needs you");
    page.put("<ol class=\"findings\">");
    let mut found = 0;
    for kind in
        [of_the_log, failures, limited, strangers, harvests, silent, late, refused, unreadable]
    {
        found += kind(page, report);
    }
    page.put("</ol>");
    if found == 0 {
        frame::nothing(page, "Nothing: what was read needs no act of yours.");
    }
    frame::close(page);
}

fn open(page: &mut Markup, tag: &'static str, target: &'static str) {
    page.put("<li><a class=\"tag\" href=\"#").put(target).put("\">").put(tag).put("</a><div>");
}

fn close(page: &mut Markup) {
    page.put("</div></li>");
}

/// What about the log itself needs somebody.
fn of_the_log(page: &mut Markup, report: &Report) -> usize {
    for text in &report.input.findings {
        open(page, "Log", "made");
        page.put("<p>").prose(text).put("</p>");
        close(page);
    }
    report.input.findings.len()
}

fn failures(page: &mut Markup, report: &Report) -> usize {
    let upstream = &report.upstream;
    if upstream.failed == 0 {
        return 0;
    }
    open(page, "XiVO", "upstream");
    page.put("<p><strong>XiVO failed ").text(&words::plural(
        upstream.failed,
        "request",
        "requests",
    ));
    page.put("</strong>");
    if let Some(last) = upstream.outages.last() {
        page.put(" in ").text(&words::plural(
            upstream.outages.len() as u64,
            "stretch",
            "stretches",
        ));
        page.put("; the last began ");
        frame::time(page, last.begin);
        page.put(" and lasted ").text(&words::between(last.begin, last.end));
    }
    page.put(".</p>");
    let first = upstream.reasons.first();
    let mend = first.and_then(|first| report.refusals.iter().find(|r| r.reason == first.value));
    if let Some(mend) = mend {
        page.put("<p>Most often <code>")
            .text(&mend.reason)
            .put("</code>: ")
            .prose(&mend.mend)
            .put("</p>");
    }
    close(page);
    1
}

fn limited(page: &mut Markup, report: &Report) -> usize {
    let helped: Vec<_> = report.limited.iter().filter(|l| !l.sufficient.is_empty()).collect();
    for limited in helped.iter().take(EACH) {
        open(page, "Limited", "limited");
        page.put("<p><strong><bdi>")
            .text(frame::caller(&limited.peer))
            .put("</bdi></strong> was limited ");
        page.text(&words::plural(limited.count, "time", "times")).put(", last ");
        frame::time(page, limited.last);
        page.put(". Any one of these lines");
        if limited.peer != "-" {
            page.put(" in <code>policies/").text(&limited.peer).put(".toml</code>");
        }
        page.put(" would have sufficed:</p>");
        refusals::quotas(page, limited);
        close(page);
    }
    helped.len()
}

fn strangers(page: &mut Markup, report: &Report) -> usize {
    let worth =
        report.unknown.callers.iter().filter(|c| c.policy.is_some() && c.known_by_now.is_none());
    let worth: Vec<_> = worth.collect();
    for caller in worth.iter().take(EACH) {
        open(page, "Unknown", "unknown");
        page.put("<p><strong><bdi>")
            .text(&caller.address)
            .put("</bdi></strong> asks as a XiVO does (");
        page.text(&words::plural(caller.lookups, "lookup", "lookups"));
        page.put(") and is in no policy. If it is yours, let it in:</p>");
        super::strangers::policy(page, caller);
        close(page);
    }
    worth.len()
}

fn harvests(page: &mut Markup, report: &Report) -> usize {
    for harvest in report.harvests.iter().take(EACH) {
        open(page, "Harvest", "harvests");
        page.put("<p><strong><bdi>").text(frame::caller(&harvest.peer)).put("</bdi></strong> ");
        page.put(super::strangers::did(harvest.kind)).put(": ");
        page.text(&words::plural(harvest.terms, "term", "terms")).put(" in ");
        page.text(&words::between(harvest.begin, harvest.end)).put(" from ");
        frame::time(page, harvest.begin);
        page.put(". Ask its administrator what it does with them.</p>");
        close(page);
    }
    report.harvests.len()
}

fn silent(page: &mut Markup, report: &Report) -> usize {
    for silent in report.silent.iter().take(EACH) {
        open(page, "Silent", "silent");
        page.put("<p><strong><bdi>").text(&silent.peer).put("</bdi></strong> ");
        match (silent.last, silent.silence) {
            (Some(last), silence) => {
                page.put("has not asked since ");
                frame::time(page, last);
                if let Some(silence) = silence {
                    page.put(" (").text(&words::duration(silence)).put(")");
                }
                page.put(": is it up, and does it still have this address?</p>");
            }
            _ => {
                page.put("has a policy and never asked: does it use this gateway's address?</p>");
            }
        }
        close(page);
    }
    report.silent.len()
}

fn late(page: &mut Markup, report: &Report) -> usize {
    let Some(times) = report.answer_times.as_ref().filter(|times| times.late > 0) else { return 0 };
    open(page, "Late", "answer-times");
    page.put("<p><strong>")
        .text(&words::plural(times.late, "answer", "answers"))
        .put("</strong> (");
    page.text(&words::percent(times.late, times.count));
    page.put(
        ") took longer than a second. A XiVO that asks gives up then and shows nothing of it.</p>",
    );
    close(page);
    1
}

fn refused(page: &mut Markup, report: &Report) -> usize {
    // What failed at XiVO, who was limited and who is unknown are told above, with more.
    let told = |reason: &str| {
        report.upstream.reasons.iter().any(|known| known.value == reason)
            || matches!(
                reason,
                "rate-limited" | "too-many-concurrent" | "unknown-peer" | "client-closed"
            )
    };
    let others: Vec<_> = report.refusals.iter().filter(|refused| !told(&refused.reason)).collect();
    for refused in others.iter().take(EACH) {
        open(page, "Refused", "refusals");
        page.put("<p><strong><code>").text(&refused.reason).put("</code></strong> ");
        page.text(&words::plural(refused.count, "time", "times"));
        if let Some(caller) = refused.callers.first() {
            page.put(", most of them for <bdi>").text(frame::caller(&caller.value)).put("</bdi>");
        }
        page.put(". ").prose(&refused.mend).put("</p>");
        close(page);
    }
    others.len()
}

fn unreadable(page: &mut Markup, report: &Report) -> usize {
    if report.input.unreadable == 0 || report.input.is_unreadable_in_good_part() {
        return 0;
    }
    open(page, "Log", "unreadable");
    page.put("<p><strong>").text(&words::plural(report.input.unreadable, "line", "lines"));
    page.put("</strong> could not be read and are in none of these figures. If they were written in another format, ");
    page.put("name it with <code>--log-format</code>.</p>");
    close(page);
    1
}
