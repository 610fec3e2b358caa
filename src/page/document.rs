//! The page as a whole.

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use ring::digest::{SHA256, digest};

use crate::page::text;

/// A page that is complete in itself: no script, no font, no picture and no address of another host, all of which
/// its own Content-Security-Policy forbids.
pub(crate) fn document(title: &str, main: &Markup) -> String {
    let body = html! { main { (main) } };
    visible(framed(title, POLICY, &html! {}, &body).into_string())
}

/// What a page that renews itself is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live<'a> {
    /// The title, which says in a word how it is: it is all that is seen of a tab behind others.
    pub title: &'a str,
    /// The heading; it stays.
    pub heading: &'a Markup,
    /// The moment that is shown, for people.
    pub at: &'a str,
    /// What changes.
    pub content: &'a Markup,
}

/// A page that asks its own address every two seconds, by a script of its own, and takes over what is different. Without
/// scripts it is loaded anew now and then. It allows itself no more than that ([`live_policy`]).
pub(crate) fn live_document(page: Live<'_>) -> String {
    let Live { title, heading, at, content } = page;
    let head = html! {
        noscript { meta http-equiv="refresh" content="10"; }
    };
    let body = html! {
        main.live {
            header {
                (heading)
                div.now {
                    p #live data-at=(text(at)) data-state="still" { "As of " (text(at)) }
                    button #pause type="button" aria-pressed="false" hidden { "Pause" }
                }
            }
            div #content { (content) }
        }
        script { (SCRIPT) }
    };
    visible(framed(title, live_policy(), &head, &body).into_string())
}

/// The Content-Security-Policy of [`live_document`]: its one style and its one script, by their hashes, and its own
/// address.
pub(crate) fn live_policy() -> &'static str {
    static LIVE: LazyLock<String> = LazyLock::new(|| {
        let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
        format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'",
            hash(STYLE.0),
            hash(SCRIPT.0)
        )
    });
    &LIVE
}

fn framed(title: &str, policy: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE) "\n"
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { (text(title)) }
                style { (STYLE) }
                (head)
            }
            body { (body) }
        }
    }
}

/// The page with each character that is not seen, or changes how others are seen, written as `\u{…}`: a log's control
/// characters and marks of direction could make a line look like another one. None of these is of the page itself.
fn visible(page: String) -> String {
    if !page.contains(is_hidden) {
        return page;
    }
    let mut shown = String::with_capacity(page.len() + 1024);
    for c in page.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Control characters but the line's end; marks of direction, joiners, separators of lines.
fn is_hidden(c: char) -> bool {
    match c {
        '\n' => false,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        c => c.is_control(),
    }
}

/// Allows the page's own style, and nothing else: no script, no form, and no address of another host.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The one stylesheet: for phones and desks, light and dark, and paper. No template escapes it.
const STYLE: PreEscaped<&str> = PreEscaped(include_str!("style.css"));

/// What keeps a live page up to date. No template escapes it either.
const SCRIPT: PreEscaped<&str> = PreEscaped(include_str!("live.js"));
