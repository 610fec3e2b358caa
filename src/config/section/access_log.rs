//! `[[access_log]]`: where access records go, and which.

mod condition;
pub(crate) mod syslog;
mod target;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::access_log::{LogSettings, LogTarget, SearchTerms};
use crate::config::document::diagnostic::Diagnostic;
use crate::config::document::problem::Mark;
use crate::config::document::{Field, Section};
use crate::config::section::log_format::Formats;
use crate::location::Location;

/// An access log with what is needed to point at what it says.
pub(crate) struct Written {
    pub(crate) settings: LogSettings,
    /// Its `path`.
    pub(crate) mark: Mark,
    pub(crate) location: Location,
    /// The peers that its `if` names.
    pub(crate) peers: Vec<(String, Mark)>,
}

/// Reads all `[[access_log]]` sections; without any there is one log, the default.
pub(crate) fn read(root: &mut Section<'_>, formats: &Formats, base: &Path) -> Vec<Written> {
    let sections = root.sections("access_log");
    if sections.is_empty() {
        let settings = LogSettings::to(LogTarget::File(PathBuf::from(DEFAULT_PATH)));
        let (mark, location) = (root.mark(""), root.location());
        return vec![Written { settings, mark, location, peers: Vec::new() }];
    }
    let mut seen = HashMap::new();
    sections.into_iter().map(|section| access_log(section, formats, base, &mut seen)).collect()
}

fn access_log(
    mut section: Section<'_>,
    formats: &Formats,
    base: &Path,
    seen: &mut HashMap<LogTarget, Location>,
) -> Written {
    let path_field = section.take("path");
    let read = path_field.as_ref().map(|field| target::read(field, base));
    let default = || LogTarget::File(PathBuf::from(DEFAULT_PATH));
    // One that could not be read is no other log's target.
    let known = !matches!(read, Some(None));
    let defaults = LogSettings::to(read.flatten().unwrap_or_else(default));
    let mut peers = Vec::new();
    let condition = section.take("if").and_then(|field| condition::read(&field, &mut peers));
    let buffer_field = section.take("buffer");
    let buffer = buffer_field.as_ref().and_then(|field| field.bytes(0, 16 << 20));
    let flush_field = section.take("flush");
    let flush = flush_field.as_ref().and_then(|field| field.duration(LEAST_FLUSH, MOST_FLUSH));
    let gzip_field = section.take("gzip");
    let gzip = gzip_field.as_ref().and_then(gzip);
    let settings = LogSettings {
        condition,
        buffer: buffer.unwrap_or(defaults.buffer),
        flush: flush.unwrap_or(defaults.flush),
        gzip,
        max_field: section.value("max_field", defaults.max_field, max_field),
        format: section.value("format", defaults.format, |field| formats.named(field)),
        search_terms: section.value("search_terms", defaults.search_terms, search_terms),
        target: defaults.target,
    };
    refuse_what_does_not_fit(&settings, [buffer_field, flush_field, gzip_field]);
    let location = section.location();
    if known && let Some(first) = seen.insert(settings.target.clone(), location.clone()) {
        let message = format!("repeated: the log of {first} goes there too");
        match &path_field {
            Some(field) => field.error(Diagnostic::new(message, "allowed: each target once")),
            None => section.missing("path", &format!("{message}, to the default {DEFAULT_PATH}")),
        }
    }
    let label = "each file has to be one log's";
    let mark = path_field.map_or_else(|| section.mark(label), |field| field.mark(label));
    section.finish();
    Written { settings, mark, location, peers }
}

/// Settings that say something else than the log's target can do.
fn refuse_what_does_not_fit(settings: &LogSettings, fields: [Option<Field<'_>>; 3]) {
    let [buffer, flush, gzip] = fields;
    let gzip = gzip.filter(|_| settings.gzip.is_some());
    match (&settings.target, gzip) {
        (LogTarget::Syslog(_), gzip) => {
            let allowed = "leave it out: each line is sent as it comes";
            let message = "a log to syslog cannot be buffered, in nginx as here";
            for field in [buffer.filter(|_| settings.buffer > 0), flush].into_iter().flatten() {
                field.error(Diagnostic::new(message, allowed));
            }
            if let Some(field) = gzip {
                field
                    .error(Diagnostic::new("a log to syslog cannot be compressed", "leave it out"));
            }
        }
        (LogTarget::Stdout, Some(field)) => {
            let diagnostic =
                Diagnostic::new("the standard output is not compressed", "leave it out");
            field.error(diagnostic.help("pipe it through gzip, or name a file as `path`"));
        }
        (_, Some(_)) if settings.buffer == 0 => {
            if let Some(field) = buffer {
                let message = "gzip compresses what is buffered, and here is nothing";
                let diagnostic =
                    Diagnostic::new(message, "allowed: more than 0, where gzip is set");
                field.error(diagnostic.help("remove it, for \"64k\" as in nginx, or remove gzip"));
            }
        }
        _ => {}
    }
}

/// A level. nginx's `gzip` without one is 1.
fn gzip(field: &Field<'_>) -> Option<u32> {
    if field.is_boolean() {
        return field.boolean()?.then_some(1);
    }
    if field.is_number() {
        return field.whole(1, 9);
    }
    let message = "it is neither a level nor true or false";
    field.error(Diagnostic::new(message, "allowed: 1 (fast) to 9 (small), true (1), or false"));
    None
}

fn search_terms(field: &Field<'_>) -> Option<SearchTerms> {
    let word = field.word(&SearchTerms::WORDS.map(|(word, _)| word))?;
    SearchTerms::WORDS.iter().find(|(known, _)| *known == word).map(|(_, terms)| *terms)
}

/// 0, or enough to tell what was asked.
fn max_field(field: &Field<'_>) -> Option<usize> {
    const LEAST: usize = 64;
    let size = field.bytes(0, 1 << 20)?;
    if (1..LEAST).contains(&size) {
        let message = format!("{size} is out of range");
        field.error(Diagnostic::new(message, "allowed: 0 (never cut), or \"64\" to \"1m\""));
        return None;
    }
    Some(size)
}

const DEFAULT_PATH: &str = "/var/log/phonebook-gateway/access.log";
const LEAST_FLUSH: std::time::Duration = std::time::Duration::from_millis(10);
const MOST_FLUSH: std::time::Duration = std::time::Duration::from_secs(60);
