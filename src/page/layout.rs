//! What every part of a page is framed with.

use maud::{Markup, Render, html};

use crate::page::{clipped, prose};

/// A part of the page, with its heading.
pub(crate) fn section(id: &str, title: &str, content: &impl Render) -> Markup {
    html! {
        section id=(id) { h2 { (title) } (content) }
    }
}

/// Something that needs somebody: a word that leads to the part of the page which has more, what there is, what to do,
/// and lines to paste.
pub(crate) fn finding(
    (word, part): (&str, &str),
    sentence: &str,
    remedy: Option<&str>,
    paste: Option<&str>,
) -> Markup {
    html! {
        li {
            a.tag href=(part) { (word) }
            div {
                p { strong { (prose(sentence)) } }
                @if let Some(remedy) = remedy { p { (prose(remedy)) } }
                @if let Some(paste) = paste { (lines(clipped(paste))) }
            }
        }
    }
}

/// Says that there is nothing to show.
pub(crate) fn nothing(sentence: impl Render) -> Markup {
    html! {
        p.nothing { (sentence) }
    }
}

/// Lines to paste. They can be scrolled by the keyboard.
pub(crate) fn lines(text: impl Render) -> Markup {
    html! {
        pre tabindex="0" { (text) }
    }
}

/// A time for machines, as ISO 8601 writes it, and for people.
pub(crate) fn time(machine: &str, shown: &str) -> Markup {
    html! {
        time datetime=(machine) { (shown) }
    }
}

/// What is shown when a line is opened.
pub(crate) fn details(summary: &str, content: &impl Render) -> Markup {
    html! {
        details { summary { (summary) } (content) }
    }
}
