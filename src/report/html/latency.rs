//! How long answers took.

use maud::{Markup, html};

use crate::page::chart::{self, Shade};
use crate::page::{layout, table};
use crate::report::build::findings;
use crate::report::summary::{AnswerTimes, HISTOGRAM, Repeats, Report, wording};

/// The gateway's answers, and beside them XiVO's own.
pub(super) fn section(report: &Report) -> Markup {
    let panels: Vec<_> = [
        ("Answers for which XiVO was asked", &report.answer_times),
        ("Of these, XiVO's own time", &report.upstream.answer_times),
    ]
    .into_iter()
    .filter_map(|(title, times)| Some((title, times.as_ref()?)))
    .filter(|(_, times)| times.count > 0)
    .collect();
    let content = html! {
        p { (findings::not_in_time(&report.totals.not_in_time)) }
        div.pair { @for (title, times) in &panels { (panel(title, times)) } }
        @if panels.is_empty() {
            (layout::nothing(html! { "The logs do not say how long answers took (" code { "$request_time" } ")." }))
        }
    };
    layout::section("answer-times", "Answer times", &content)
}

fn panel(title: &str, times: &AnswerTimes) -> Markup {
    html! {
        div.panel {
            h3 { (title) }
            dl.percentiles {
                @for (name, time) in
                    [("p50", times.p50), ("p95", times.p95), ("p99", times.p99), ("slowest", times.max)] {
                    div { dt { (name) } dd { (wording::milliseconds(time)) } }
                }
            }
            (histogram(times))
        }
    }
}

fn histogram(times: &AnswerTimes) -> Markup {
    let most = times.histogram.iter().copied().max().unwrap_or(0);
    html! {
        table.histogram {
            caption { (wording::plural(times.count, "answer", "answers")) " by their length" }
            thead { tr { th scope="col" { "Up to" } th scope="col" { "Share" } th.n scope="col" { "Answers" } } }
            tbody {
                @for (count, bound) in times.histogram.iter().zip(bounds()) {
                    @if bound == Some(2000) {
                        tr.mark {
                            td colspan="3" { "1 s: caller ID is not waited for longer; a search by text until 2.9 s" }
                        }
                    }
                    tr {
                        th scope="row" { (length(bound)) }
                        td { (chart::bar(shade(bound), wording::ratio(*count, most))) }
                        td.n { (wording::count(*count)) }
                    }
                }
            }
        }
    }
}

/// The upper bounds of the histogram's figures, in milliseconds; the last has none.
fn bounds() -> impl Iterator<Item = Option<u64>> {
    HISTOGRAM.into_iter().map(Some).chain([None])
}

fn length(bound: Option<u64>) -> String {
    match bound {
        Some(bound) if bound < 1000 => format!("{bound} ms"),
        Some(bound) => format!("{} s", bound / 1000),
        None => "longer".to_owned(),
    }
}

/// What takes more than a second is later than caller ID waits.
fn shade(bound: Option<u64>) -> Shade {
    if bound.is_none_or(|bound| bound > 1000) { Shade::Failed } else { Shade::Answered }
}

/// What a cache would have answered.
pub(super) fn repeats(report: &Report) -> Markup {
    let content = match &report.repeats {
        None => layout::nothing("The logs do not say what was asked for."),
        Some(repeats) => html! {
            (cache(repeats))
            p.muted { (findings::under_way(repeats)) }
        },
    };
    layout::section("repeats", "What a cache would have answered", &content)
}

fn cache(repeats: &Repeats) -> Markup {
    let share = |part| table::words(&wording::percent(part, repeats.lookups));
    let rows = repeats.within.iter().map(|within| {
        [
            table::words(&wording::duration(within.seconds.into())),
            table::count(within.any_peer),
            share(within.any_peer),
            table::count(within.same_peer),
            share(within.same_peer),
        ]
    });
    table::plain(
        "Lookups that were asked for already, and answered, so shortly before",
        ["An answer is good for", "One cache for all", "Share", "Each peer its own", "Share"],
        rows,
    )
}
