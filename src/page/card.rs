//! Cards: key figures at the top of a page, and what is known of one thing.

use maud::{Markup, html};

use crate::page::text;

/// What a key figure tells of, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Neither good nor bad.
    Neutral,
    /// As it should be.
    Good,
    /// To be looked at.
    Warning,
    /// A fault.
    Bad,
}

impl Tone {
    fn class(self) -> Option<&'static str> {
        match self {
            Self::Neutral => None,
            Self::Good => Some("ok"),
            Self::Warning => Some("warn"),
            Self::Bad => Some("bad"),
        }
    }
}

/// A key figure, and what stands small beside it.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Its name.
    pub name: &'static str,
    /// Its colour.
    pub tone: Tone,
    /// The figure.
    pub figure: String,
    /// What it is a part of.
    pub beside: String,
}

/// How it is, in a word and a sentence, and what to do; it is read out where it changes.
pub(crate) fn verdict(
    tone: Tone,
    word: &str,
    sentence: &Markup,
    remedy: Option<&Markup>,
) -> Markup {
    html! {
        div.verdict.(tone.class().unwrap_or_default()) role="status" {
            p.word { (word) }
            p { strong { (sentence) } }
            @if let Some(remedy) = remedy { p { (remedy) } }
        }
    }
}

/// Key figures, as many in a row as there is room for.
pub(crate) fn figures(figures: &[Figure]) -> Markup {
    html! {
        dl.figures {
            @for Figure { name, tone, figure, beside } in figures {
                div class=[tone.class()] {
                    dt { (name) }
                    dd { b { (figure) } span.muted { (beside) } }
                }
            }
        }
    }
}

/// What is known of one thing: its name, and a line for each fact.
pub(crate) fn facts(name: &str, facts: &[(&str, String)]) -> Markup {
    html! {
        div.peer {
            h3 { bdi { (text(name)) } }
            dl {
                @for (fact, value) in facts { dt { (fact) } dd { bdi { (text(value)) } } }
            }
        }
    }
}
