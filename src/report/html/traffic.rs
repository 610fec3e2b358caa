//! When requests came: over time, and by the hour of the day.

use maud::{Markup, html};

use crate::page::chart::{self, Shade};
use crate::page::{layout, table};
use crate::report::html::columns::{Column, columns};
use crate::report::summary::{Report, wording};

/// The chart over time, with the same figures as a table.
pub(super) fn over_time(report: &Report) -> Markup {
    let (columns, length) = columns(&report.buckets);
    let content = if columns.iter().all(|column| column.requests == 0) {
        layout::nothing("No request was read.")
    } else {
        charted(&columns, &wording::duration(length))
    };
    layout::section("over-time", "Requests over time", &content)
}

fn charted(columns: &[Column], each: &str) -> Markup {
    let keys = [
        (Shade::Answered, "answered"),
        (Shade::Refused, "refused"),
        (Shade::Failed, "failed (XiVO)"),
    ];
    let of = |count: fn(&Column) -> u64| columns.iter().map(count).collect::<Vec<_>>();
    let all = of(|column| column.requests);
    html! {
        (chart::legend(&keys, &html! { "One column is " (each) "." }))
        div.chart {
            (plot(columns, each))
            (chart::axis(&labels(columns)))
            (chart::lane("Limited", Shade::Refused, &of(|column| column.limited), &all))
            (chart::lane("Failed", Shade::Failed, &of(|column| column.failed), &all))
            (chart::lane("Not in time", Shade::Late, &of(|column| column.not_in_time), &all))
        }
        (layout::details("These figures as a table", &as_table(columns, each)))
    }
}

fn plot(columns: &[Column], each: &str) -> Markup {
    let most = columns.iter().map(|column| column.requests).max().unwrap_or(0);
    let top = chart::ceiling(most);
    let label = format!(
        "Requests over time in columns of {each}; the busiest column has {}. The figures are in the table below.",
        wording::count(most)
    );
    let layer = |shade, from: fn(&Column) -> u64, to: fn(&Column) -> u64| {
        let part = |sum| wording::ratio(sum, top);
        let parts: Vec<_> = columns.iter().map(|it| (part(from(it)), part(to(it)))).collect();
        chart::layer(shade, &parts)
    };
    let shapes = html! {
        (layer(Shade::Answered, |_| 0, Column::answered))
        (layer(Shade::Refused, Column::answered, Column::answered_or_refused))
        (layer(Shade::Failed, Column::answered_or_refused, |it| it.answered_or_refused() + it.failed))
        @for (nth, column) in columns.iter().enumerate() { (chart::tooltip(nth, &told(column))) }
    };
    html! {
        (chart::scale(top))
        div.plot.tall { (chart::plot(columns.len(), &label, &shapes)) }
    }
}

/// A column's figures in words.
fn told(column: &Column) -> String {
    let mut told = format!(
        "{}: {}",
        wording::minute(column.begin),
        wording::plural(column.requests, "request", "requests")
    );
    for (count, what) in [
        (column.refused, "refused"),
        (column.failed, "failed"),
        (column.not_in_time, "not in time"),
    ] {
        if count > 0 {
            told.push_str(&format!(", {} {what}", wording::count(count)));
        }
    }
    told
}

/// Labels of at most four times, which fit beside each other on a phone.
fn labels(columns: &[Column]) -> Vec<(f64, String)> {
    let (Some(first), Some(last)) = (columns.first(), columns.last()) else { return Vec::new() };
    let span = last.begin.unix - first.begin.unix;
    let pattern = if span < 3 * DAY {
        "%d %b %H:%M"
    } else if span <= 300 * DAY {
        "%d %b"
    } else {
        "%b %Y"
    };
    let label = |at| (chart::place(at, columns.len()), columns[at].begin.format(pattern));
    let mut labels: Vec<_> = label_positions(columns, span).into_iter().map(label).collect();
    labels.dedup_by(|(_, text), (_, before)| text == before);
    labels
}

/// Columns that are labelled: where days begin, if there are some, so that a date stands at its midnight.
fn label_positions(columns: &[Column], span: i64) -> Vec<usize> {
    const MOST: usize = 4;
    let day =
        |column: &Column| (column.begin.unix + i64::from(column.begin.offset) * 60).div_euclid(DAY);
    let midnights = (1..columns.len()).filter(|&at| day(&columns[at]) != day(&columns[at - 1]));
    let places: Vec<usize> = if span < 3 * DAY {
        (0..columns.len()).collect()
    } else {
        std::iter::once(0).chain(midnights).collect()
    };
    places.iter().copied().step_by(places.len().div_ceil(MOST).max(1)).collect()
}

fn as_table(columns: &[Column], each: &str) -> Markup {
    let rows = columns.iter().map(|column| {
        [
            table::words(&wording::minute(column.begin)),
            table::count(column.requests),
            table::count(column.refused),
            table::count(column.failed),
            table::count(column.not_in_time),
        ]
    });
    table::plain(
        &format!("Requests in each {each}"),
        ["Begin", "Requests", "Refused", "Failed", "Not in time"],
        rows,
    )
}

/// The chart of the hours of the day.
pub(super) fn hours(report: &Report) -> Markup {
    let content = match report.hour_of_day.iter().copied().max() {
        None | Some(0) => layout::nothing("No request was read."),
        Some(most) => html! {
            div.chart { (hour_plot(&report.hour_of_day, most)) }
            p.muted { "All requests, by the clock of the log." }
        },
    };
    layout::section("hours", "Hour of the day", &content)
}

fn hour_plot(hours: &[u64], most: u64) -> Markup {
    let top = chart::ceiling(most);
    let busiest = hours.iter().position(|hour| *hour == most).unwrap_or(0);
    let label = format!(
        "All requests by the hour of the day; the busiest is {busiest}:00 with {}",
        wording::count(most)
    );
    let parts: Vec<_> = hours.iter().map(|hour| (0.0, wording::ratio(*hour, top))).collect();
    let requests = |hour| wording::plural(hour, "request", "requests");
    let told = |nth, hour| format!("{nth}:00 – {nth}:59: {}", requests(hour));
    let shapes = html! {
        (chart::layer(Shade::Answered, &parts))
        @for (nth, hour) in hours.iter().enumerate() { (chart::tooltip(nth, &told(nth, *hour))) }
    };
    let label_at = |nth| (chart::place(nth, hours.len()), format!("{nth}:00"));
    let labels: Vec<_> = (0..hours.len()).step_by(4).map(label_at).collect();
    html! {
        (chart::scale(top))
        div.plot { (chart::plot(hours.len(), &label, &shapes)) }
        (chart::axis(&labels))
    }
}

/// Seconds of a day.
const DAY: i64 = 86_400;
