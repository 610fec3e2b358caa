//! What every part of a page is framed with.

use maud::{Markup, Render, html};

/// A part of the page, with its heading.
pub fn section(id: &str, title: &str, content: &impl Render) -> Markup {
    html! {
        section id=(id) { h2 { (title) } (content) }
    }
}

/// Says that there is nothing to show.
pub fn nothing(sentence: impl Render) -> Markup {
    html! {
        p.nothing { (sentence) }
    }
}

/// Lines to paste. They can be scrolled by the keyboard.
pub fn lines(text: impl Render) -> Markup {
    html! {
        pre tabindex="0" { (text) }
    }
}

/// A time for machines, as ISO 8601 writes it, and for people.
pub fn time(machine: &str, shown: &str) -> Markup {
    html! {
        time datetime=(machine) { (shown) }
    }
}

/// What is shown when a line is opened.
pub fn details(summary: &str, content: &impl Render) -> Markup {
    html! {
        details { summary { (summary) } (content) }
    }
}
