//! The page as a whole.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::page::text;

/// A page that is complete in itself: no script, no font, no picture and no address of another host, all of which
/// its own Content-Security-Policy forbids.
pub(crate) fn document(title: &str, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE) "\n"
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { (text(title)) }
                style { (STYLE) }
            }
            body { main { (main) } }
        }
    };
    visible(page.into_string())
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

/// The one stylesheet: for phones and desks, light and dark, and paper. The only text that no template escapes.
const STYLE: PreEscaped<&str> = PreEscaped(include_str!("style.css"));
