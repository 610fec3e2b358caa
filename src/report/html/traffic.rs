//! When requests came: over time, and by the hour of the day.

use super::chart::{self, Column};
use super::markup::Markup;
use crate::report::html::layout;
use crate::report::summary::{Report, wording};

/// The chart over time, with the same figures as a table.
pub(super) fn over_time(page: &mut Markup, report: &Report) {
    layout::open(page, "over-time", "Requests over time");
    let (columns, length) = chart::columns(&report.buckets);
    if columns.iter().all(|column| column.requests == 0) {
        layout::nothing(page, "No request was read.");
        return layout::close(page);
    }
    let each = wording::duration(length);
    page.put("<p class=\"legend\"><span class=\"key answered\"></span>answered ");
    page.put("<span class=\"key refused\"></span>refused <span class=\"key failed\"></span>failed (XiVO)");
    page.put(" <span class=\"muted\">One column is ").text(&each).put(".</span></p>");
    page.put("<div class=\"chart\">");
    plot(page, &columns, &each);
    times(page, &columns);
    let lane = |of: fn(&Column) -> u64| columns.iter().map(of).collect::<Vec<_>>();
    let all = lane(|c| c.requests);
    chart::lane(page, ("Limited", "refused"), &lane(|c| c.limited), &all);
    chart::lane(page, ("Failed", "failed"), &lane(|c| c.failed), &all);
    chart::lane(page, ("Not in time", "late"), &lane(|c| c.not_in_time), &all);
    page.put("</div>");
    table(page, &columns, &each);
    layout::close(page);
}

fn plot(page: &mut Markup, columns: &[Column], each: &str) {
    let most = columns.iter().map(|column| column.requests).max().unwrap_or(0);
    let top = chart::ceiling(most);
    chart::scale(page, top);
    let label = format!(
        "Requests over time in columns of {each}; the busiest column has {}. The figures are in the table below.",
        wording::count(most)
    );
    page.put("<div class=\"plot tall\">");
    chart::open(page, columns.len(), "fill", &label);
    let part = |sum: u64| wording::ratio(sum, top);
    let layers = |from: fn(&Column) -> u64, to: fn(&Column) -> u64| {
        columns.iter().map(|c| (part(from(c)), part(to(c)))).collect::<Vec<_>>()
    };
    chart::layer(page, "answered", &layers(|_| 0, Column::answered));
    chart::layer(page, "refused", &layers(Column::answered, |c| c.answered() + c.refused));
    chart::layer(
        page,
        "failed",
        &layers(|c| c.answered() + c.refused, |c| c.answered() + c.refused + c.failed),
    );
    for (nth, column) in columns.iter().enumerate() {
        page.put("<rect class=\"over\" y=\"0\" width=\"1\" height=\"100\" x=\"")
            .whole_number(nth as u64);
        page.put("\"><title>").text(&wording::minute(column.begin)).put(": ");
        page.text(&wording::plural(column.requests, "request", "requests"));
        for (count, what) in [
            (column.refused, " refused"),
            (column.failed, " failed"),
            (column.not_in_time, " not in time"),
        ] {
            if count > 0 {
                page.put(", ").count(count).put(what);
            }
        }
        page.put("</title></rect>");
    }
    page.put("</svg></div>");
}

/// Labels of at most four moments, which fit beside each other on a phone.
fn times(page: &mut Markup, columns: &[Column]) {
    let (Some(first), Some(last)) = (columns.first(), columns.last()) else { return };
    let span = last.begin.unix - first.begin.unix;
    let words = if span < 3 * 86_400 { "%d %b %H:%M" } else { "%d %b" };
    let words = if span > 300 * 86_400 { "%b %Y" } else { words };
    page.put("<div class=\"times\" aria-hidden=\"true\">");
    let mut before = String::new();
    for at in label_positions(columns, span) {
        let text = columns[at].begin.format(words);
        if text != before {
            chart::label(page, chart::index(at) / chart::index(columns.len()), &text);
        }
        before = text;
    }
    page.put("</div>");
}

/// Columns that are labelled: where days begin, if there are some, so that a date stands at its midnight.
fn label_positions(columns: &[Column], span: i64) -> Vec<usize> {
    const MOST: usize = 4;
    let day = |column: &Column| {
        (column.begin.unix + i64::from(column.begin.offset) * 60).div_euclid(86_400)
    };
    let midnights = (1..columns.len()).filter(|&at| day(&columns[at]) != day(&columns[at - 1]));
    let places: Vec<usize> = if span < 3 * 86_400 {
        (0..columns.len()).collect()
    } else {
        std::iter::once(0).chain(midnights).collect()
    };
    places.iter().copied().step_by(places.len().div_ceil(MOST).max(1)).collect()
}

fn table(page: &mut Markup, columns: &[Column], each: &str) {
    page.put("<details><summary>These figures as a table</summary>");
    layout::plain_table(
        page,
        &format!("Requests in each {each}"),
        &["Begin", "Requests", "Refused", "Failed", "Not in time"],
    );
    for column in columns {
        page.put("<tr><th scope=\"row\">").text(&wording::minute(column.begin)).put("</th>");
        for figure in [column.requests, column.refused, column.failed, column.not_in_time] {
            page.put("<td class=\"n\">").count(figure).put("</td>");
        }
        page.put("</tr>");
    }
    page.put("</tbody></table></div></details>");
}

/// The chart of the hours of the day.
pub(super) fn hours(page: &mut Markup, report: &Report) {
    layout::open(page, "hours", "Hour of the day");
    let most = report.hour_of_day.iter().copied().max().unwrap_or(0);
    if most == 0 {
        layout::nothing(page, "No request was read.");
        return layout::close(page);
    }
    page.put("<div class=\"chart\">");
    hour_plot(page, &report.hour_of_day, "All requests by the hour of the day");
    page.put("</div><p class=\"muted\">All requests, by the clock of the log.</p>");
    layout::close(page);
}

fn hour_plot(page: &mut Markup, hours: &[u64], of: &str) {
    let most = hours.iter().copied().max().unwrap_or(0);
    let top = chart::ceiling(most);
    let busiest = hours.iter().position(|hour| *hour == most).unwrap_or(0);
    chart::scale(page, top);
    page.put("<div class=\"plot\">");
    let label = format!("{of}; the busiest is {busiest}:00 with {}", wording::count(most));
    chart::open(page, hours.len(), "fill", &label);
    let layers: Vec<_> = hours.iter().map(|hour| (0.0, wording::ratio(*hour, top))).collect();
    chart::layer(page, "answered", &layers);
    for (nth, hour) in hours.iter().enumerate() {
        page.put("<rect class=\"over\" y=\"0\" width=\"1\" height=\"100\" x=\"")
            .whole_number(nth as u64);
        page.put("\"><title>").whole_number(nth as u64).put(":00 – ").whole_number(nth as u64);
        page.put(":59: ")
            .text(&wording::plural(*hour, "request", "requests"))
            .put("</title></rect>");
    }
    page.put("</svg></div><div class=\"times\" aria-hidden=\"true\">");
    for nth in (0..hours.len()).step_by(4) {
        chart::label(page, chart::index(nth) / chart::index(hours.len()), &format!("{nth}:00"));
    }
    page.put("</div>");
}
