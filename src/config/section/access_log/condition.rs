//! `if`: which requests a log takes.

use std::ops::RangeInclusive;

use crate::access_log::{Condition, Statuses, Words};
use crate::config::document::Field;
use crate::config::document::diagnostic::{Diagnostic, nearest, shown};
use crate::config::document::problem::Mark;
use crate::refusal::Reason;

/// Reads the table. Adds the peers that it names to `peers`.
pub(super) fn read(field: &Field<'_>, peers: &mut Vec<(String, Mark)>) -> Option<Condition> {
    let example = "if = { status = [\"4xx\", \"5xx\"] }";
    if !field.is_table() {
        let message = "it is no table of `status`, `peer` or `reason`";
        let help = format!("write {example}");
        field.error(Diagnostic::new(message, "allowed: a table").help(help));
        return None;
    }
    let mut section = field.section(&format!("write {example}"));
    let status = section.take("status");
    let peer = section.take("peer");
    let reason = section.take("reason");
    let nothing = status.is_none() && peer.is_none() && reason.is_none();
    let is_empty = section.is_empty();
    section.finish();
    if nothing {
        if is_empty {
            let diagnostic = Diagnostic::new("it is empty", "allowed: status, peer and reason");
            field.error(diagnostic.help("for all requests leave it out"));
        }
        return None;
    }
    let status = status.map(|field| statuses(&field));
    let peer = peer.map(|field| peer_names(&field, peers));
    let reason = reason.map(|field| reasons(&field));
    // What could not be read was refused.
    Some(Condition { status: status.flatten(), peer: peer.flatten(), reason: reason.flatten() })
}

fn statuses(field: &Field<'_>) -> Option<Statuses> {
    let entries = field.words_or_numbers("\"4xx\", \"404\", or a list of such")?;
    let (negated, entries) = words(entries, status)?;
    Some(Statuses::new(entries, negated))
}

fn status(entry: &Field<'_>, text: &str) -> Option<RangeInclusive<u16>> {
    let range = Statuses::range(text);
    if range.is_none() {
        let message = format!("{} is no status", shown(text));
        let label = "allowed: \"1xx\" to \"5xx\", \"100\" to \"599\", and with a `!` all others";
        entry.error(Diagnostic::new(message, label));
    }
    range
}

fn peer_names(field: &Field<'_>, peers: &mut Vec<(String, Mark)>) -> Option<Words<Box<str>>> {
    let entries = field.one_or_more("a peer's name, \"-\" for nobody's, or a list of such")?;
    let (negated, names) = words(entries, |entry, text| {
        if text.is_empty() {
            entry.error(Diagnostic::new("\"\" is no peer", "allowed: a name, or \"-\" for nobody"));
            return None;
        }
        if text != NONE {
            peers.push((text.to_owned(), entry.mark("no request is this peer's")));
        }
        Some(text.to_owned())
    })?;
    let none = names.iter().any(|name| name == NONE);
    let names = names.into_iter().filter(|name| name != NONE).map(String::into_boxed_str);
    Some(Words::new(names, none, negated))
}

fn reasons(field: &Field<'_>) -> Option<Words<&'static str>> {
    let entries = field.one_or_more("the word of a refusal, \"-\" for none, or a list of such")?;
    let (negated, found) = words(entries, |entry, text| {
        if text == NONE {
            return Some(None);
        }
        let found = Reason::of(text).map(Reason::as_str);
        if found.is_none() {
            let message = format!("{} is no word of a refusal", shown(text));
            let label = "allowed: the words in docs/troubleshooting.md, or \"-\" for none";
            let diagnostic = Diagnostic::new(message, label);
            entry.error(match nearest(text, Reason::words()) {
                Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
                None => {
                    let words: Vec<&str> = Reason::words().collect();
                    diagnostic.help(format!("they are {}", words.join(", ")))
                }
            });
        }
        found.map(Some)
    })?;
    let none = found.iter().any(Option::is_none);
    Some(Words::new(found.into_iter().flatten(), none, negated))
}

/// The entries as `read` understands them, and whether they are negated, all of them.
fn words<T>(
    entries: Vec<Field<'_>>,
    mut read: impl FnMut(&Field<'_>, &str) -> Option<T>,
) -> Option<(bool, Vec<T>)> {
    let mut all_negated = None;
    let mut found = Vec::new();
    let mut whole = true;
    for entry in entries {
        let text = if entry.is_number() {
            entry.whole(100, 599).map(|number| number.to_string())
        } else {
            entry.text()
        };
        let Some(text) = text else {
            whole = false;
            continue;
        };
        let (negated, word) = match text.strip_prefix('!') {
            Some(word) => (true, word),
            None => (false, text.as_str()),
        };
        if *all_negated.get_or_insert(negated) != negated {
            let message = format!("{} stands among others that differ in the `!`", shown(&text));
            let diagnostic = Diagnostic::new(message, "allowed: a `!` before all or before none");
            let help = "with `!` the log takes all but these; without, these and nothing else";
            entry.error(diagnostic.help(help));
            whole = false;
            continue;
        }
        match read(&entry, word) {
            Some(read) => found.push(read),
            None => whole = false,
        }
    }
    whole.then_some((all_negated.unwrap_or(false), found))
}

/// There is no peer, or no reason; as the log writes it.
const NONE: &str = "-";
