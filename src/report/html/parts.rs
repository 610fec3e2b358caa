//! What several parts of the page have in common: times, callers, and lists of which the first rows are shown.

use maud::{Markup, html};

use crate::page::layout;
use crate::page::table::{self, Column};
use crate::report::summary::local_time::LocalTime;
use crate::report::summary::wording;

/// A table of the first [`ROWS`] of a list, and how many more there are.
pub(super) fn listing<T, const N: usize>(
    caption: &str,
    columns: &[Column; N],
    list: &[T],
    row: impl Fn(&T) -> [Markup; N],
) -> Markup {
    html! {
        (table::cards(caption, columns, list.iter().take(ROWS).map(row)))
        (more(list.len(), ROWS))
    }
}

/// Says how many are not shown.
pub(super) fn more(all: usize, shown: usize) -> Markup {
    html! {
        @if all > shown {
            p.muted { (wording::count((all - shown) as u64)) " more are in the JSON (" code { "--json" } ")." }
        }
    }
}

/// A time, for people and for machines.
pub(super) fn time(at: LocalTime) -> Markup {
    layout::time(&at.iso(), &wording::minute(at))
}

/// A caller's name, or what stands for everybody in no policy.
pub(super) fn caller(name: &str) -> &str {
    if name == "-" { "callers in no policy" } else { name }
}

/// The number of rows of a long list that are shown.
pub(super) const ROWS: usize = 25;
