//! Charts: drawings that stretch to the width there is, with their labels as text around them.
//!
//! A drawing that is scaled as a whole has unreadable labels on a phone. Here only the shapes are stretched
//! (`preserveAspectRatio="none"`); every label is HTML beside them and keeps its size. No colour is needed to read
//! one: lanes have names, each column has a tooltip, and the figures stand in a table.

use std::fmt::Write as _;

use maud::{Markup, Render, html};

use crate::page::text;
use crate::page::value::Places;
use crate::text::figures;

/// What a shape shows, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shade {
    /// Requests that were answered.
    Answered,
    /// Requests that were refused.
    Refused,
    /// Requests that failed.
    Failed,
    /// Requests that were not answered in time.
    Late,
}

impl Shade {
    fn class(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Late => "late",
        }
    }
}

/// The least of 1, 2, 4, 6, 8, 10, 20, … that is no less: the top of a scale, which has a whole half from 2 on.
pub(crate) fn ceiling(most: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        if let Some(step) =
            [1, 2, 4, 6, 8].into_iter().find(|step| unit.saturating_mul(*step) >= most)
        {
            return unit.saturating_mul(step);
        }
        if unit > u64::MAX / 10 {
            return u64::MAX;
        }
        unit *= 10;
    }
}

/// The labels left of a plot, from the top to zero.
pub(crate) fn scale(top: u64) -> Markup {
    scale_of(top, figures::count)
}

/// The same of figures that are shown in another way.
pub(crate) fn scale_of(top: u64, shown: fn(u64) -> String) -> Markup {
    html! {
        div.scale aria-hidden="true" {
            span { (shown(top)) }
            @if top >= 2 { span { (shown(top / 2)) } }
            span { "0" }
        }
    }
}

/// What the colours of a chart stand for.
pub(crate) fn legend(keys: &[(Shade, &str)], more: &Markup) -> Markup {
    html! {
        p.legend {
            @for (shade, meaning) in keys { span.key.(shade.class()) {} (meaning) " " }
            span.muted { (more) }
        }
    }
}

/// A plot's drawing of one unit of width for each column and a hundred of height.
pub(crate) fn plot(columns: usize, label: &str, shapes: &impl Render) -> Markup {
    drawing("fill", columns, label, shapes)
}

fn drawing(class: &str, columns: usize, label: &str, shapes: &impl Render) -> Markup {
    html! {
        svg class=(class) role="img" preserveAspectRatio="none" viewBox={ "0 0 " (columns.max(1)) " 100" }
            aria-label=(text(label)) { (shapes) }
    }
}

/// One layer of a stack: from one part of the height to another in each column.
pub(crate) fn layer(shade: Shade, parts: &[(f64, f64)]) -> Markup {
    html! {
        @if let Some(outline) = outline(parts) { path class=(shade.class()) d=(outline) {} }
    }
}

/// Rectangles from one part of the height to another; `None` where all are empty.
fn outline(parts: &[(f64, f64)]) -> Option<String> {
    let gap = if parts.len() <= 60 { 0.12 } else { 0.0 };
    let mut path = String::new();
    for (nth, (from, to)) in parts.iter().enumerate().filter(|(_, (from, to))| to > from) {
        let left = index(nth) + gap / 2.0;
        let (bottom, top) = (Places(100.0 - from * 100.0), Places(100.0 - to * 100.0));
        let (left, right) = (Places(left), Places(left + 1.0 - gap));
        let _ = write!(path, "M{left} {bottom}V{top}H{right}V{bottom}z");
    }
    (!path.is_empty()).then_some(path)
}

/// What is shown of a column when the pointer stands on it.
pub(crate) fn tooltip(nth: usize, content: &impl Render) -> Markup {
    html! {
        rect.over width="1" height="100" x=(nth) { title { (content) } }
    }
}

/// A row below a chart that marks each column in which something happened, the higher the more of its requests it
/// was: one of thousand is a line, and half of them is the whole height.
pub(crate) fn lane(name: &str, shade: Shade, marks: &[u64], of: &[u64]) -> Markup {
    let columns = marks.iter().filter(|mark| **mark > 0).count() as u64;
    let label = format!(
        "{name}: {} in {}",
        figures::count(marks.iter().sum()),
        figures::plural(columns, "column", "columns")
    );
    html! {
        @if columns > 0 {
            span.lane-name aria-hidden="true" { (name) }
            (drawing("lane", marks.len(), &label, &html! { path class=(shade.class()) d=(bars(marks, of)) {} }))
        }
    }
}

/// The marks of a lane.
fn bars(marks: &[u64], of: &[u64]) -> String {
    // At least a hundredth of the width, so that a single hour is seen among many.
    let width = (index(marks.len()) / 100.0).max(1.0);
    let last = (index(marks.len()) - width).max(0.0);
    let mut path = String::new();
    for (nth, mark) in marks.iter().enumerate().filter(|(_, mark)| **mark > 0) {
        let share = figures::ratio(*mark, of.get(nth).copied().unwrap_or(0));
        let top = Places(100.0 - (share * 2.0).sqrt().clamp(0.15, 1.0) * 100.0);
        let left = (index(nth) + 0.5 - width / 2.0).clamp(0.0, last);
        let (left, right) = (Places(left), Places(left + width));
        let _ = write!(path, "M{left} {top}H{right}V100H{left}z");
    }
    path
}

/// Labels below a plot, each at a part of the width.
pub(crate) fn axis(labels: &[(f64, String)]) -> Markup {
    html! {
        div.times aria-hidden="true" {
            @for (at, label) in labels { span style={ "left:" (Places(at * 100.0)) "%" } { (text(label)) } }
        }
    }
}

/// Labels below a plot, at its beginning and at its end.
pub(crate) fn ends(begin: &str, end: &str) -> Markup {
    html! {
        div.times.ends aria-hidden="true" { span { (begin) } span { (end) } }
    }
}

/// A small line of figures without axes.
pub(crate) fn sparkline(counts: &[u64], of: &str) -> Markup {
    let each = counts.len().div_ceil(56).max(1);
    let sums: Vec<u64> = counts.chunks(each).map(|chunk| chunk.iter().sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0);
    let label =
        format!("Requests of {of} over time; the busiest stretch had {}", figures::count(most));
    let parts: Vec<_> = sums.iter().map(|sum| (0.0, figures::ratio(*sum, most))).collect();
    drawing(
        "spark",
        sums.len(),
        &label,
        &html! {
            @if let Some(outline) = outline(&parts) { path d=(outline) {} }
        },
    )
}

/// A bar as long as a part of the whole.
pub(crate) fn bar(shade: Shade, part: f64) -> Markup {
    html! {
        span.bar aria-hidden="true" { span.(shade.class()) style={ "width:" (Places(part * 100.0)) "%" } {} }
    }
}

/// The place of a column as a part of the width.
pub(crate) fn place(nth: usize, columns: usize) -> f64 {
    index(nth) / index(columns)
}

#[expect(clippy::cast_precision_loss, reason = "a chart has few columns")]
fn index(nth: usize) -> f64 {
    nth as f64
}
