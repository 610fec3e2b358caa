//! The columns of a chart over time.

use crate::report::summary::local_time::LocalTime;
use crate::report::summary::{Bucket, Buckets};

/// One column over time: the buckets that fall into it.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) begin: LocalTime,
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

    /// Not failed, nor was the client gone.
    pub(super) fn answered_or_refused(&self) -> u64 {
        self.answered() + self.refused
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

/// The most columns of a chart over time; more would be narrower than a dot on a phone.
const COLUMNS: usize = 200;

/// Lengths of a column in hours; each begins with the hour of the wall clock that it divides the day into.
const HOURS: [i64; 14] = [1, 2, 3, 4, 6, 8, 12, 24, 48, 72, 168, 336, 672, 1344];
