//! What every part of the page is framed with: sections, tables, cells, and what stands in for nothing.

use super::markup::Markup;
use crate::report::summary::local_time::Moment;
use crate::report::summary::wording;

/// How many rows of a long list are shown.
pub(super) const ROWS: usize = 25;

/// Opens a section.
pub(super) fn open(page: &mut Markup, id: &'static str, title: &'static str) {
    page.put("<section id=\"").put(id).put("\"><h2>").put(title).put("</h2>");
}

/// Closes it.
pub(super) fn close(page: &mut Markup) {
    page.put("</section>\n");
}

/// Says that there is nothing.
pub(super) fn nothing(page: &mut Markup, sentence: &'static str) {
    page.put("<p class=\"nothing\">").put(sentence).put("</p>");
}

/// Opens a table whose rows become cards where the screen is narrow. The roles are those that a table has by itself:
/// some browsers forget them where a row is shown as a block.
pub(super) fn card_table(page: &mut Markup, caption: &str, heads: &[&'static str]) {
    page.put("<div class=\"box\"><table class=\"cards\" role=\"table\"><caption>").text(caption);
    page.put("</caption><thead role=\"rowgroup\"><tr role=\"row\">");
    for head in heads {
        let is_number = NUMBERS.contains(head);
        let class = if is_number { " class=\"n\">" } else { ">" };
        page.put("<th scope=\"col\" role=\"columnheader\"").put(class).put(head).put("</th>");
    }
    page.put("</tr></thead><tbody role=\"rowgroup\">");
}

/// Columns whose cells are [`number`] or [`figure`], so that their heads stand above these.
const NUMBERS: &[&str] = &[
    "95 of 100 within",
    "Addresses",
    "Busiest second",
    "Failed",
    "Failed requests",
    "Lasted",
    "Lines",
    "Longest gap before",
    "Lookups",
    "Not in time",
    "Private",
    "Refused",
    "Requests",
    "Silent for",
    "Terms",
    "Times",
];

/// Opens a table of few narrow columns, the first of words and the others of numbers.
pub(super) fn plain_table(page: &mut Markup, caption: &str, heads: &[&'static str]) {
    page.put("<div class=\"box\" tabindex=\"0\" role=\"region\" aria-label=\"").text(caption);
    page.put("\"><table><caption>").text(caption).put("</caption><thead><tr>");
    for (nth, head) in heads.iter().enumerate() {
        page.put(if nth == 0 { "<th scope=\"col\">" } else { "<th scope=\"col\" class=\"n\">" });
        page.put(head).put("</th>");
    }
    page.put("</tr></thead><tbody>");
}

/// Closes a table, and says how many rows it does not show.
pub(super) fn end_table(page: &mut Markup, all: usize, shown: usize) {
    page.put("</tbody></table></div>");
    more(page, all, shown);
}

/// Says how many are not shown.
pub(super) fn more(page: &mut Markup, all: usize, shown: usize) {
    if all > shown {
        page.put("<p class=\"muted\">").count((all - shown) as u64);
        page.put(" more are in the JSON (<code>--json</code>).</p>");
    }
}

/// Opens the cell that names a row.
pub(super) fn head(page: &mut Markup, name: &str) {
    page.put("<tr role=\"row\"><th scope=\"row\" role=\"rowheader\"><bdi>")
        .text(name)
        .put("</bdi>");
}

/// Opens a cell.
pub(super) fn cell(page: &mut Markup, title: &'static str) {
    page.put("<td role=\"cell\" data-label=\"").put(title).put("\"><div>");
}

/// Closes it.
pub(super) fn end_cell(page: &mut Markup) {
    page.put("</div></td>");
}

/// A cell with a number.
pub(super) fn number(page: &mut Markup, title: &'static str, number: u64) {
    page.put("<td role=\"cell\" class=\"n\" data-label=\"").put(title).put("\"><div>");
    page.count(number).put("</div></td>");
}

/// A cell with text.
pub(super) fn text(page: &mut Markup, title: &'static str, text: &str) {
    cell(page, title);
    page.put("<bdi>").text(text).put("</bdi>");
    end_cell(page);
}

/// A cell with a figure that is text already, as long as one word.
pub(super) fn figure(page: &mut Markup, title: &'static str, figure: &str) {
    page.put("<td role=\"cell\" class=\"n\" data-label=\"").put(title).put("\"><div>");
    page.text(figure).put("</div></td>");
}

/// A cell with a moment.
pub(super) fn moment(page: &mut Markup, title: &'static str, moment: Moment) {
    page.put("<td role=\"cell\" class=\"when\" data-label=\"").put(title).put("\"><div>");
    time(page, moment);
    end_cell(page);
}

/// A moment, for people and for machines.
pub(super) fn time(page: &mut Markup, moment: Moment) {
    page.put("<time datetime=\"")
        .text(&moment.iso())
        .put("\">")
        .text(&wording::minute(moment))
        .put("</time>");
}

/// A caller's name, or what stands for everybody in no policy.
pub(super) fn caller(name: &str) -> &str {
    if name == "-" { "callers in no policy" } else { name }
}
