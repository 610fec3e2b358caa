//! Tables: of many columns, whose rows become cards on a phone, and of few narrow ones.

use maud::{Markup, html};

use crate::page::text;
use crate::text::figures;

/// A column of [`cards`]: its name, and what its cells hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// Words.
    Words(&'static str),
    /// Sentences, or lines to paste.
    Wide(&'static str),
    /// Numbers, and figures as long as one word.
    Number(&'static str),
    /// Times.
    Time(&'static str),
}

impl Column {
    fn name(self) -> &'static str {
        let (Self::Words(name) | Self::Wide(name) | Self::Number(name) | Self::Time(name)) = self;
        name
    }

    /// The class of its cells.
    fn class(self) -> Option<&'static str> {
        match self {
            Self::Words(_) => None,
            Self::Wide(_) => Some("wide"),
            Self::Number(_) => Some("n"),
            Self::Time(_) => Some("when"),
        }
    }

    /// The class of its head, which stands above the figures.
    fn head_class(self) -> Option<&'static str> {
        self.class().filter(|class| *class == "n")
    }
}

/// A table whose rows become cards where the screen is narrow; the first cell of a row names it. The roles are those
/// that a table has by itself: some browsers forget them where a row is shown as a block.
pub(crate) fn cards<const N: usize>(
    caption: &str,
    columns: &[Column; N],
    rows: impl Iterator<Item = [Markup; N]>,
) -> Markup {
    html! {
        div.box {
            table.cards role="table" {
                caption { (caption) }
                thead role="rowgroup" {
                    tr role="row" {
                        @for column in columns {
                            th class=[column.head_class()] scope="col" role="columnheader" { (column.name()) }
                        }
                    }
                }
                tbody role="rowgroup" { @for row in rows { (card(columns, &row)) } }
            }
        }
    }
}

/// A row of it: the cell that names the row, and the others with the names of their columns.
fn card<const N: usize>(columns: &[Column; N], row: &[Markup; N]) -> Markup {
    html! {
        tr role="row" {
            @for (nth, (column, cell)) in columns.iter().zip(row).enumerate() {
                @if nth == 0 {
                    th scope="row" role="rowheader" { (cell) }
                } @else {
                    td class=[column.class()] role="cell" data-label=(column.name()) { div { (cell) } }
                }
            }
        }
    }
}

/// A table of few narrow columns, the first of words and the others of numbers. It can be scrolled by the keyboard.
pub(crate) fn plain<const N: usize>(
    caption: &str,
    heads: [&str; N],
    rows: impl Iterator<Item = [Markup; N]>,
) -> Markup {
    html! {
        div.box tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead {
                    tr {
                        @for (nth, head) in heads.iter().enumerate() {
                            th class=[number_class(nth)] scope="col" { (head) }
                        }
                    }
                }
                tbody { @for row in rows { (plain_row(&row)) } }
            }
        }
    }
}

fn plain_row(cells: &[Markup]) -> Markup {
    html! {
        tr {
            @for (nth, cell) in cells.iter().enumerate() {
                @if nth == 0 { th scope="row" { (cell) } } @else { td.n { (cell) } }
            }
        }
    }
}

fn number_class(nth: usize) -> Option<&'static str> {
    (nth > 0).then_some("n")
}

/// A cell with a name or other text of whatever origin, whose direction of writing does not touch what is around it.
pub(crate) fn name(name: impl AsRef<str>) -> Markup {
    html! {
        bdi { (text(name)) }
    }
}

/// A cell with a number.
pub(crate) fn count(count: u64) -> Markup {
    words(&figures::count(count))
}

/// A cell with words of the program's own.
pub(crate) fn words(words: &str) -> Markup {
    html! {
        (words)
    }
}
