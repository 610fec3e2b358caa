//! The report as one page of HTML: for the administrator, for a phone, and for paper.
//!
//! The page is complete in itself: no script, no font, no picture and no address of another host, and its own
//! Content-Security-Policy forbids all of them. Text of the log enters it through one function that escapes it
//! (`markup`). Its size is bounded: of a long list the first rows are shown, and how many more the JSON has.

mod about;
mod chart;
mod findings;
mod latency;
mod layout;
mod markup;
mod peers;
mod refusals;
mod traffic;
mod unknown_callers;

#[cfg(test)]
mod tests;

use markup::Markup;

use super::summary::Report;
use crate::report::summary::wording;

/// The head up to the title's text; the policy allows the page's own style and nothing else.
const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
    base-uri 'none'; form-action 'none'\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
    <meta name=\"robots\" content=\"noindex\">\n<title>Phonebook lookups";

/// Writes the page.
pub(crate) fn page(report: &Report) -> String {
    let mut page = Markup::default();
    let on = report.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    page.put(HEAD).text(&on).text(&span(report)).put("</title>\n<style>\n");
    page.put(include_str!("html/style.css")).put("</style>\n</head>\n<body>\n<main>\n");
    headline(&mut page, report);
    key_figures(&mut page, report);
    findings::section(&mut page, report);
    traffic::over_time(&mut page, report);
    peers::section(&mut page, report);
    traffic::hours(&mut page, report);
    refusals::section(&mut page, report);
    refusals::limited(&mut page, report);
    latency::section(&mut page, report);
    latency::repeats(&mut page, report);
    unknown_callers::section(&mut page, report);
    unknown_callers::silent(&mut page, report);
    unknown_callers::harvests(&mut page, report);
    about::upstream(&mut page, report);
    about::unreadable(&mut page, report);
    about::how(&mut page, report);
    page.put("</main>\n</body>\n</html>\n");
    page.finish()
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

fn headline(page: &mut Markup, report: &Report) {
    page.put("<header><h1>Phonebook lookups");
    if let Some(host) = &report.host {
        page.put(" on <bdi>").text(host).put("</bdi>");
    }
    page.put("</h1>");
    if let (Some(first), Some(last)) = (report.totals.first, report.totals.last) {
        page.put("<p class=\"span\">");
        layout::time(page, first);
        page.put(" to ");
        layout::time(page, last);
        page.put(" <span class=\"muted\">(")
            .text(&wording::between(first, last))
            .put("; all times are ");
        page.text(&wording::zone(first)).put(")</span></p>");
    }
    let files = report.input.files.len() as u64;
    page.put("<p class=\"muted\">")
        .text(&wording::plural(report.input.lines, "line", "lines"))
        .put(" of ");
    page.text(&wording::plural(files, "file", "files"));
    if report.input.filtered > 0 {
        page.put(", ").count(report.input.filtered).put(" of them outside of what was asked for");
    }
    if report.input.unreadable > 0 {
        page.put(", <a href=\"#unreadable\">")
            .count(report.input.unreadable)
            .put(" unreadable</a>");
    }
    if let Some(configuration) = &report.input.configuration {
        page.put(", with the configuration <code>").text(configuration).put("</code>");
    }
    page.put(". Made ");
    layout::time(page, report.generated);
    page.put(" by <code>phonebook-gateway report</code>.</p>");
    if let Some(before) = &report.totals.before {
        page.put("<p>").text(&wording::compared(&report.totals, before)).put("</p>");
    }
    page.put("</header>\n");
}

fn key_figures(page: &mut Markup, report: &Report) {
    let totals = &report.totals;
    let late = &totals.not_in_time;
    page.put("<section aria-label=\"Key figures\"><dl class=\"figures\">");
    let mut figure = |name: &'static str, class: &'static str, figure: String, beside: String| {
        page.put("<div class=\"").put(class).put("\"><dt>").put(name).put("</dt><dd><b>");
        page.text(&figure)
            .put("</b><span class=\"muted\">")
            .text(&beside)
            .put("</span></dd></div>");
    };
    let of_all = |part| wording::percent(part, totals.requests);
    let peers = wording::plural(report.peers.len() as u64, "peer", "peers");
    figure("Requests", "", wording::count(totals.requests), format!("of {peers}"));
    figure("Answered", "ok", wording::count(totals.answered), of_all(totals.answered));
    figure("Refused", "warn", wording::count(totals.refused), of_all(totals.refused));
    figure("Limited", "warn", wording::count(totals.limited), "of the refused".to_owned());
    figure("Failed", "bad", wording::count(totals.failed), of_all(totals.failed));
    let of_lookups = wording::percent(late.total, late.lookups);
    figure("Not in time", "bad", wording::count(late.total), format!("{of_lookups} of lookups"));
    figure("Client left", "", wording::count(totals.left), of_all(totals.left));
    figure("Sent", "", wording::bytes(totals.body_bytes), "of answers".to_owned());
    page.put("</dl></section>\n");
}
