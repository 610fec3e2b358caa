//! What was asked lately, and how long XiVO took.

use maud::{Markup, html};

use crate::admin::status::{SlotRow, SlotRows, StatusDocument};
use crate::page::chart::{self, Shade};
use crate::page::layout;
use crate::text::figures::{count, milliseconds, ratio};

/// The last hour and the last day.
pub(super) fn section(document: &StatusDocument) -> Markup {
    let history = &document.history;
    let content = html! {
        (chart::legend(&KEYS, &html! {}))
        div.pair {
            (stretch("The last hour", "an hour ago", &history.hour))
            (stretch("The last day", "a day ago", &history.day))
        }
        @if has_times(&history.day) {
            (chart::legend(&TIMES, &html! { "of XiVO's answers took at most so long" }))
            div.pair {
                (times("The last hour", "an hour ago", &history.hour))
                (times("The last day", "a day ago", &history.day))
            }
        }
    };
    layout::section("traffic", "Over time", &content)
}

fn stretch(name: &str, begin: &str, rows: &SlotRows) -> Markup {
    let slots = filled(rows);
    let most = slots.iter().map(SlotRow::requests).max().unwrap_or(0);
    let top = chart::ceiling(most);
    let sum = |of: fn(&SlotRow) -> u32| slots.iter().map(|slot| u64::from(of(slot))).sum::<u64>();
    let label = format!(
        "{name}: {} answered, {} refused, {} failed; the busiest {} had {}",
        count(sum(|slot| slot.answered)),
        count(sum(|slot| slot.refused)),
        count(sum(|slot| slot.failed)),
        unit(rows),
        count(most)
    );
    let parts = |below: fn(&SlotRow) -> u64, with: fn(&SlotRow) -> u64| -> Vec<(f64, f64)> {
        slots.iter().map(|slot| (ratio(below(slot), top), ratio(with(slot), top))).collect()
    };
    let shapes = html! {
        (chart::layer(Shade::Answered, &parts(|_| 0, up_to_answered)))
        (chart::layer(Shade::Refused, &parts(up_to_answered, up_to_refused)))
        (chart::layer(Shade::Failed, &parts(up_to_refused, up_to_failed)))
    };
    framed(name, begin, &chart::scale(top), &chart::plot(slots.len(), &label, &shapes))
}

fn times(name: &str, begin: &str, rows: &SlotRows) -> Markup {
    let slots = filled(rows);
    let (p50, p99) = (
        |slot: &SlotRow| u64::from(slot.p50_millis.unwrap_or(0)),
        |slot: &SlotRow| u64::from(slot.p99_millis.unwrap_or(0)),
    );
    let longest = slots.iter().map(p99).max().unwrap_or(0);
    let top = chart::ceiling(longest);
    let label = format!(
        "{name}: how long XiVO's answers took; of the slowest {} 99 % took at most {}",
        unit(rows),
        milliseconds(longest)
    );
    let half: Vec<_> = slots.iter().map(|slot| (0.0, ratio(p50(slot), top))).collect();
    let nearly_all: Vec<_> =
        slots.iter().map(|slot| (ratio(p50(slot), top), ratio(p99(slot), top))).collect();
    let shapes = html! {
        (chart::layer(Shade::Answered, &half))
        (chart::layer(Shade::Late, &nearly_all))
    };
    let scale = chart::scale_of(top, milliseconds);
    framed(name, begin, &scale, &chart::plot(slots.len(), &label, &shapes))
}

fn framed(name: &str, begin: &str, scale: &Markup, plot: &Markup) -> Markup {
    html! {
        div {
            h3 { (name) }
            div.chart {
                (scale)
                div.plot { (plot) }
                (chart::ends(begin, "now"))
            }
        }
    }
}

/// All slots that there may be: those before the start are empty.
fn filled(rows: &SlotRows) -> Vec<SlotRow> {
    // A document of another program may say anything.
    let most = rows.most.min(MOST);
    let shown = rows.slots.len().min(most);
    let mut slots = vec![SlotRow::default(); most - shown];
    slots.extend(rows.slots.iter().rev().take(shown).rev());
    slots
}

fn up_to_answered(slot: &SlotRow) -> u64 {
    slot.answered.into()
}

fn up_to_refused(slot: &SlotRow) -> u64 {
    up_to_answered(slot) + u64::from(slot.refused)
}

fn up_to_failed(slot: &SlotRow) -> u64 {
    up_to_refused(slot) + u64::from(slot.failed)
}

fn has_times(rows: &SlotRows) -> bool {
    rows.slots.iter().any(|slot| slot.p99_millis.is_some())
}

fn unit(rows: &SlotRows) -> &'static str {
    if rows.seconds == 60 { "minute" } else { "quarter of an hour" }
}

const KEYS: [(Shade, &str); 3] =
    [(Shade::Answered, "answered"), (Shade::Refused, "refused"), (Shade::Failed, "XiVO failed")];

const TIMES: [(Shade, &str); 2] = [(Shade::Answered, "half"), (Shade::Late, "99 of 100")];

/// Columns of a chart at the most.
const MOST: usize = 200;
