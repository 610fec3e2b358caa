//! Charts: drawings that stretch to the width there is, with their labels as text around them.
//!
//! A drawing that is scaled as a whole has unreadable labels on a phone. Here only the shapes are stretched
//! (`preserveAspectRatio="none"`); every label is HTML beside them and keeps its size. No colour is needed to read
//! one: stretches of failures have rows with names, each column has a tooltip, and the figures stand in a table.

use super::markup::Markup;
use crate::report::summary::local_time::Moment;
use crate::report::summary::{Bucket, Buckets, wording};

/// The most columns of a chart over time; more would be narrower than a dot on a phone.
const COLUMNS: usize = 200;

/// Lengths of a column in hours; each begins with the hour of the wall clock that it divides the day into.
const HOURS: [i64; 14] = [1, 2, 3, 4, 6, 8, 12, 24, 48, 72, 168, 336, 672, 1344];

/// One column over time: the buckets that fall into it.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) begin: Moment,
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) limited: u64,
    pub(super) failed: u64,
    pub(super) left: u64,
    pub(super) not_in_time: u64,
}

impl Column {
    /// Neither refused nor failed, nor was the client gone.
    pub(super) fn answered(&self) -> u64 {
        self.requests.saturating_sub(self.refused + self.failed + self.left)
    }
}

/// The buckets in at most [`COLUMNS`] columns, and the length of one in seconds.
pub(super) fn columns(buckets: &Buckets) -> (Vec<Column>, u64) {
    let own = i64::from(buckets.seconds.max(1));
    let span = own * i64::try_from(buckets.list.len()).unwrap_or(i64::MAX);
    let columns = i64::try_from(COLUMNS).unwrap_or(i64::MAX);
    let fits = |length: &i64| length % own == 0 && span / length < columns;
    let length = std::iter::once(own)
        .chain(HOURS.map(|hours| hours * 3600))
        .filter(|l| *l >= own)
        .find(fits);
    let length = length.unwrap_or_else(|| own * (span / own / columns + 1));
    let mut list: Vec<(i64, Column)> = Vec::new();
    for bucket in &buckets.list {
        let nth = (bucket.begin.unix + i64::from(bucket.begin.offset) * 60).div_euclid(length);
        match list.last_mut() {
            Some((last, column)) if *last == nth => add(column, bucket),
            _ => list.push((nth, column(bucket))),
        }
    }
    (list.into_iter().map(|(_, column)| column).collect(), u64::try_from(length).unwrap_or(0))
}

fn column(bucket: &Bucket) -> Column {
    Column {
        begin: bucket.begin,
        requests: bucket.requests,
        refused: bucket.refused,
        limited: bucket.limited,
        failed: bucket.failed,
        left: bucket.left,
        not_in_time: bucket.not_in_time,
    }
}

fn add(column: &mut Column, bucket: &Bucket) {
    column.requests += bucket.requests;
    column.refused += bucket.refused;
    column.limited += bucket.limited;
    column.failed += bucket.failed;
    column.left += bucket.left;
    column.not_in_time += bucket.not_in_time;
}

/// The least of 1, 2, 4, 6, 8, 10, 20, … that is no less: the top of a scale, which has a whole half from 2 on.
pub(super) fn ceiling(most: u64) -> u64 {
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
pub(super) fn scale(page: &mut Markup, top: u64) {
    page.put("<div class=\"scale\" aria-hidden=\"true\"><span>").count(top).put("</span>");
    if top >= 2 {
        page.put("<span>").count(top / 2).put("</span>");
    }
    page.put("<span>0</span></div>");
}

/// Opens a drawing of so many columns with a hundred steps of height.
pub(super) fn open(page: &mut Markup, columns: usize, class: &'static str, label: &str) {
    page.put("<svg class=\"")
        .put(class)
        .put("\" role=\"img\" preserveAspectRatio=\"none\" viewBox=\"0 0 ");
    page.whole_number(columns.max(1) as u64).put(" 100\" aria-label=\"").text(label).put("\">");
}

/// The shape of a stack's layer: from one height to another in each column.
pub(super) fn layer(page: &mut Markup, class: &'static str, layers: &[(f64, f64)]) {
    if layers.iter().all(|(from, to)| to <= from) {
        return;
    }
    let gap = if layers.len() <= 60 { 0.12 } else { 0.0 };
    page.put("<path class=\"").put(class).put("\" d=\"");
    for (nth, (from, to)) in layers.iter().enumerate().filter(|(_, (from, to))| to > from) {
        let left = index(nth) + gap / 2.0;
        page.put("M").number(left).put(" ").number(100.0 - from * 100.0);
        page.put("V").number(100.0 - to * 100.0).put("H").number(left + 1.0 - gap);
        page.put("V").number(100.0 - from * 100.0).put("z");
    }
    page.put("\"/>");
}

/// A row below a chart that marks each column in which something happened, the higher the more of its requests it
/// was: one of thousand is a line, and half of them is the whole height.
pub(super) fn lane(
    page: &mut Markup,
    (name, class): (&'static str, &'static str),
    marks: &[u64],
    of: &[u64],
) {
    if marks.iter().all(|mark| *mark == 0) {
        return;
    }
    let total: u64 = marks.iter().sum();
    let columns = marks.iter().filter(|mark| **mark > 0).count() as u64;
    page.put("<span class=\"lane-name\" aria-hidden=\"true\">").put(name).put("</span>");
    let label = format!(
        "{name}: {} in {}",
        wording::count(total),
        wording::plural(columns, "column", "columns")
    );
    open(page, marks.len(), "lane", &label);
    page.put("<path class=\"").put(class).put("\" d=\"");
    for (nth, mark) in marks.iter().enumerate().filter(|(_, mark)| **mark > 0) {
        let share = wording::ratio(*mark, of.get(nth).copied().unwrap_or(0));
        let top = 100.0 - (share * 2.0).sqrt().clamp(0.15, 1.0) * 100.0;
        // At least a hundredth of the width, so that a single hour is seen among many.
        let width = (index(marks.len()) / 100.0).max(1.0);
        let left =
            (index(nth) + 0.5 - width / 2.0).clamp(0.0, (index(marks.len()) - width).max(0.0));
        page.put("M").number(left).put(" ").number(top).put("H").number(left + width);
        page.put("V100H").number(left).put("z");
    }
    page.put("\"/></svg>");
}

/// A label at a part of the width below a plot.
pub(super) fn label(page: &mut Markup, at: f64, text: &str) {
    page.put("<span style=\"left:").number(at * 100.0).put("%\">").text(text).put("</span>");
}

/// A small line of figures without axes.
pub(super) fn sparkline(page: &mut Markup, figures: &[u64], of: &str) {
    let each = figures.len().div_ceil(56).max(1);
    let sums: Vec<u64> = figures.chunks(each).map(|chunk| chunk.iter().sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0);
    let label =
        format!("Requests of {of} over time; the busiest stretch had {}", wording::count(most));
    open(page, sums.len(), "spark", &label);
    let layers: Vec<_> = sums.iter().map(|sum| (0.0, wording::ratio(*sum, most))).collect();
    layer(page, "answered", &layers);
    page.put("</svg>");
}

/// A bar as long as a part of the whole.
pub(super) fn bar(page: &mut Markup, class: &'static str, part: f64) {
    page.put("<span class=\"bar\" aria-hidden=\"true\"><span class=\"").put(class);
    page.put("\" style=\"width:").number(part * 100.0).put("%\"></span></span>");
}

#[expect(clippy::cast_precision_loss, reason = "a chart has few columns")]
pub(super) fn index(nth: usize) -> f64 {
    nth as f64
}
