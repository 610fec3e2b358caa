//! What several parts of the page have in common: times, and lists of which the first rows are shown.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::page::layout;
use crate::page::table::{self, Column};
use crate::text::figures::{count, duration, milliseconds};

/// A table of the first `most` rows of a list, and how many more there are.
pub(super) fn listing<T, const N: usize>(
    caption: &str,
    columns: &[Column; N],
    (list, most): (&[T], usize),
    row: impl Fn(&T) -> [Markup; N],
) -> Markup {
    html! {
        (table::cards(caption, columns, list.iter().take(most).map(row)))
        @if list.len() > most {
            p.muted { (count((list.len() - most) as u64)) " more are in " code { "/status.json" } "." }
        }
    }
}

/// The time of day.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// How long ago something was, and when.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let seconds = u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
    let shown = match seconds {
        0..60 => "just now".to_owned(),
        _ => format!("{} ago", duration(seconds - seconds % 60)),
    };
    html! {
        span title=(format!("{at:.0}")) { (layout::time(&format!("{at:.0}"), &shown)) }
    }
}

/// A moment that may lie far away.
pub(super) fn date(at: Timestamp) -> Markup {
    layout::time(&format!("{at:.0}"), &at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// A length of time that was measured, if one was.
pub(super) fn percentile(millis: Option<u32>) -> String {
    millis.map_or_else(|| "–".to_owned(), |millis| milliseconds(millis.into()))
}
