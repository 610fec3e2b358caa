//! `[[access_log]]`: where access records go.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::complaint::{Complaint, shown};
use super::log_formats::Formats;
use super::reader::{Field, Section};
use crate::place::Place;
use crate::record::{LogFormat, LogSettings, LogTarget, SearchTerms};

const DEFAULT_PATH: &str = "/var/log/phonebook-gateway/access.log";
const DEFAULT_BUFFER: usize = 64 << 10;
const DEFAULT_FLUSH: Duration = Duration::from_secs(1);
const DEFAULT_MAX_FIELD: usize = 2 << 10;
const LEAST_FLUSH: Duration = Duration::from_millis(10);
const MOST_FLUSH: Duration = Duration::from_secs(60);

/// Reads all `[[access_log]]` sections; without any there is one log, the default.
pub(super) fn read(root: &mut Section<'_>, formats: &Formats, base: &Path) -> Vec<LogSettings> {
    let sections = root.sections("access_log");
    if sections.is_empty() {
        return vec![LogSettings {
            target: LogTarget::File(PathBuf::from(DEFAULT_PATH)),
            buffer: DEFAULT_BUFFER,
            flush: DEFAULT_FLUSH,
            max_field: DEFAULT_MAX_FIELD,
            format: LogFormat::Combined,
            search_terms: SearchTerms::Full,
        }];
    }
    let mut seen = HashMap::new();
    sections.into_iter().map(|section| access_log(section, (formats, base), &mut seen)).collect()
}

fn access_log(
    mut section: Section<'_>,
    (formats, base): (&Formats, &Path),
    seen: &mut HashMap<PathBuf, Place>,
) -> LogSettings {
    let path_field = section.take("path");
    let read = path_field.as_ref().map(|field| target(field, base));
    let default = || LogTarget::File(PathBuf::from(DEFAULT_PATH));
    // One that could not be read is no other log's target.
    let known = !matches!(read, Some(None));
    let target = read.flatten().unwrap_or_else(default);
    let buffer = section.value("buffer", DEFAULT_BUFFER, |f| f.bytes(0, 16 << 20));
    let flush = section.value("flush", DEFAULT_FLUSH, |f| f.duration(LEAST_FLUSH, MOST_FLUSH));
    let max_field = section.value("max_field", DEFAULT_MAX_FIELD, max_field);
    let format = section.value("format", LogFormat::Combined, |field| formats.named(field));
    let search_terms = section.value("search_terms", SearchTerms::Full, search_terms);
    let place = section.place();
    let name = match &target {
        LogTarget::File(path) => path.clone(),
        LogTarget::Stdout => PathBuf::from("stdout"),
    };
    if known && let Some(first) = seen.insert(name, place) {
        let message = format!("repeated: the log of {first} goes there too");
        match path_field {
            Some(field) => field.refuse(Complaint::new(message, "allowed: each target once")),
            None => section.missing("path", &format!("{message}, to the default {DEFAULT_PATH}")),
        }
    }
    section.finish();
    LogSettings { target, buffer, flush, max_field, format, search_terms }
}

fn search_terms(field: &Field<'_>) -> Option<SearchTerms> {
    let word = field.word(&SearchTerms::WORDS.map(|(word, _)| word))?;
    SearchTerms::WORDS.iter().find(|(known, _)| *known == word).map(|(_, terms)| *terms)
}

fn target(field: &Field<'_>, base: &Path) -> Option<LogTarget> {
    let text = field.text()?;
    if text == "stdout" {
        return Some(LogTarget::Stdout);
    }
    if text.starts_with("syslog:") {
        field.unavailable("a log to syslog");
        return None;
    }
    if !text.is_empty() && !text.contains(['/', '.']) {
        let message = format!("{} is no target", shown(&text));
        let label = "allowed: a path with a `/` or a `.` in it, or \"stdout\"";
        let help = match text.to_lowercase().as_str() {
            "off" => "there is always an access log; for none write \"/dev/null\"".to_owned(),
            "stdout" => "write \"stdout\"".to_owned(),
            "stderr" => "diagnostics go to standard error; for the log write \"stdout\"".to_owned(),
            _ => format!("for a file of this name write \"./{text}\""),
        };
        field.refuse(Complaint::new(message, label).help(help));
        return None;
    }
    if text.ends_with(".toml") {
        let message = format!("{} is named like a file of the configuration", shown(&text));
        field.refuse(Complaint::new(message, "allowed: a path that does not end in .toml"));
        return None;
    }
    field.path(base).map(LogTarget::File)
}

/// 0, or enough to tell what was asked.
fn max_field(field: &Field<'_>) -> Option<usize> {
    const LEAST: usize = 64;
    let size = field.bytes(0, 1 << 20)?;
    if (1..LEAST).contains(&size) {
        let message = format!("{size} is out of range");
        field.refuse(Complaint::new(message, "allowed: 0 (never cut), or \"64\" to \"1m\""));
        return None;
    }
    Some(size)
}
