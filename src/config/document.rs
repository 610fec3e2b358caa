//! A typed walk over a TOML document that collects every problem instead of stopping at the first.
//!
//! A getter reports what is wrong and returns `None`, and its caller goes on with the default: the
//! configuration that comes out is thrown away when any error was reported. Each key that a section
//! is asked for becomes known to it; [`Section::finish`] reports the others.

pub(crate) mod diagnostic;
pub(crate) mod environment;
mod field;
pub(crate) mod files;
pub(crate) mod literal;
pub(crate) mod problem;
pub(crate) mod units;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::document::diagnostic::{Diagnostic, nearest, shown};
use crate::config::document::environment::Variables;
use crate::config::document::problem::{Document, Mark, Problem};
use crate::location::{Located, Location};

pub(super) use field::Field;

/// The reading of one document.
pub(super) struct Reading<'a> {
    document: &'a Arc<Document>,
    variables: Variables<'a>,
    nothing: DeTable<'a>,
    /// The lines with syntax errors, counted from 0.
    broken_lines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

/// Reads `document` with `body`, and returns what it made together with all problems.
///
/// Where the syntax is broken the rest is read all the same. What the broken lines themselves seem
/// to say is not complained of, nor are keys that are missing, since a broken line may hold them.
pub(super) fn read<T>(
    document: &Arc<Document>,
    variables: Variables<'_>,
    body: impl FnOnce(Section<'_>) -> T,
) -> (T, Vec<Problem>) {
    let (root, errors) = DeTable::parse_recoverable(document.text());
    let mut syntax: Vec<(usize, Problem)> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or_else(|| document.text().len()..document.text().len());
            let message = error.message();
            let (what, expected) = message.split_once(", ").unwrap_or((message, ""));
            let mark = Mark::new(document, span.clone(), expected.to_owned());
            let line = document.line_index(span.start);
            (line, Problem::error(format!("not valid TOML: {what}"), mark))
        })
        .collect();
    // One mistake makes several diagnostics on its line; the first names it.
    syntax.sort_by_key(|(_, problem)| problem.offset());
    syntax.dedup_by_key(|(line, _)| *line);
    let (broken_lines, syntax) = syntax.into_iter().unzip();
    let reading = Reading {
        document,
        variables,
        nothing: DeTable::new(),
        broken_lines,
        problems: RefCell::new(syntax),
    };
    let made = body(Section {
        reading: &reading,
        name: None,
        span: None,
        broken: false,
        table: root.get_ref(),
        known: Vec::new(),
    });
    let mut problems = reading.problems.into_inner();
    problems.sort_by_key(Problem::offset);
    (made, problems)
}

impl Reading<'_> {
    fn push(&self, problem: Problem, span: Option<&Range<usize>>) {
        let broken = |span: &Range<usize>| {
            let first = self.document.line_index(span.start);
            let last = self.document.line_index(span.end);
            self.broken_lines.iter().any(|line| (first..=last).contains(line))
        };
        if !span.is_some_and(broken) {
            self.problems.borrow_mut().push(problem);
        }
    }

    fn mark(&self, span: Option<&Range<usize>>, label: &str) -> Mark {
        match span {
            Some(span) => Mark::new(self.document, span.clone(), label.to_owned()),
            None => Mark::whole_file(self.document),
        }
    }
}

/// A table of the document, or an absent one, which has no keys.
pub(super) struct Section<'a> {
    reading: &'a Reading<'a>,
    /// `None` for the document itself.
    name: Option<Rc<str>>,
    span: Option<Range<usize>>,
    /// Whether something else than a table was found here, which has been reported.
    broken: bool,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Makes `key` known, and returns what is written for it.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some(Field { reading: self.reading, name: self.full_name(key), value })
    }

    fn full_name(&self, key: &str) -> Rc<str> {
        match &self.name {
            Some(name) => format!("{name}.{key}").into(),
            None => key.into(),
        }
    }

    /// The value of `key` as `read` understands it, else `default`.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> T {
        self.take(key).and_then(|field| read(&field)).unwrap_or(default)
    }

    /// The value of `key` as `read` understands it, else `default`, with its place.
    pub(super) fn placed<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> Located<T> {
        match self.take(key) {
            Some(field) => Located {
                value: read(&field).unwrap_or(default),
                location: field.location(),
                written: true,
            },
            None => Located { value: default, location: self.location(), written: false },
        }
    }

    /// The section `[key]`, without keys where it is absent.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        match self.take(key) {
            Some(field) => field.section(&format!("write it as a section: [{key}]")),
            None => Self {
                reading: self.reading,
                name: Some(self.full_name(key)),
                span: self.span.clone(),
                broken: false,
                table: &self.reading.nothing,
                known: Vec::new(),
            },
        }
    }

    /// The sections `[[key]]`, in the order written.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some(field) = self.take(key) else { return Vec::new() };
        let help = format!("write [[{key}]], with two brackets: there may be several");
        if let DeValue::Array(items) = field.value.get_ref() {
            items.iter().map(|item| field.with_value(item).section(&help)).collect()
        } else {
            let diagnostic = field.unlike("a list of sections").help(help);
            field.error(diagnostic);
            Vec::new()
        }
    }

    /// All keys with their values, for a section whose keys are names.
    pub(super) fn take_all(self) -> Vec<Field<'a>> {
        let field = |(key, value): (&Spanned<_>, &'a _)| Field {
            reading: self.reading,
            name: self.full_name(AsRef::<std::borrow::Cow<'_, str>>::as_ref(key)),
            value,
        };
        self.table.iter().map(field).collect()
    }

    /// Where the section begins; of an absent one, the document's first line.
    pub(super) fn location(&self) -> Location {
        self.reading.document.location(self.span.as_ref().map_or(0, |span| span.start))
    }

    /// The section as a mark of a problem that is found later.
    pub(super) fn mark(&self, label: &str) -> Mark {
        self.reading.mark(self.span.as_ref(), label)
    }

    /// Whether nothing stands in it.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Reports that `key` is not there.
    pub(super) fn missing(&self, key: &str, help: &str) {
        if self.broken || !self.reading.broken_lines.is_empty() {
            return;
        }
        let mark = self.reading.mark(self.span.as_ref(), &format!("`{key}` is required here"));
        let problem = Problem::error(format!("`{}` is missing", self.full_name(key)), mark)
            .with_help(Some(help.to_owned()));
        self.reading.push(problem, self.span.as_ref());
    }

    /// Warns of the section as a whole.
    pub(super) fn warn(&self, diagnostic: Diagnostic) {
        let mark = self.reading.mark(self.span.as_ref(), &diagnostic.label);
        let problem = Problem::warning(diagnostic.message, mark).with_help(diagnostic.help);
        self.reading.push(problem, self.span.as_ref());
    }

    /// Reports every key that was never asked for.
    pub(super) fn finish(self) {
        for (key, value) in self.table {
            let text = key.get_ref().as_ref();
            if self.known.contains(&text) {
                continue;
            }
            let what = match (value.get_ref(), &self.name) {
                (DeValue::Table(_), None) => "section",
                _ => "key",
            };
            let home = match &self.name {
                Some(name) => format!("in [{name}]"),
                None => "at the top of the file".to_owned(),
            };
            let mut known = self.known.clone();
            known.sort_unstable();
            let message = format!("unknown {what} {} {home}", shown(text));
            let mark = self.reading.mark(Some(&key.span()), &format!("no such {what}"));
            let near = nearest(text, known.iter().copied());
            // A policy has its keys at the top; a near word there is what was meant.
            let of_a_policy = known.contains(&"hosts");
            let help = match (home_of(text).filter(|_| !of_a_policy), near) {
                (Some(home), _) => format!("`{text}` belongs {home}"),
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => format!("known here: {}", known.join(", ")),
            };
            let problem = Problem::error(message, mark).with_help(Some(help));
            self.reading.push(problem, Some(&key.span()));
        }
    }
}

/// Where a key that is unknown here is known: in TOML whatever follows a section's header belongs to
/// the section, which is easily forgotten.
fn home_of(key: &str) -> Option<&'static str> {
    HOMES.iter().find(|(_, keys)| keys.contains(&key)).map(|(home, _)| *home)
}

const HOMES: [(&str, &[&str]); 10] = [
    ("at the top of the file, before the first section", &["workers", "state_directory"]),
    (
        "at the top of a policy's file, before any section",
        &[
            "hosts",
            "actions",
            "concurrent",
            "connections",
            "min_search_length",
            "valid_from",
            "valid_until",
        ],
    ),
    ("in [[listen]]", &["address", "server_names", "http2", "trusted_proxies"]),
    (
        "in [upstream]",
        &[
            "url",
            "host",
            "source",
            "connect_timeout",
            "timeout",
            "number_timeout",
            "list_timeout",
            "stall_timeout",
            "answer_timeout",
            "max_answer",
            "ca",
            "pin_sha256",
            "server_name",
            "danger_accept_any_certificate",
            "send_proxy_protocol",
        ],
    ),
    (
        "in [limits]",
        &[
            "head_timeout",
            "idle_timeout",
            "write_timeout",
            "max_uri",
            "max_head",
            "max_header_fields",
            "max_requests_per_connection",
            "max_connection_age",
            "max_connections",
            "unknown_connections",
            "handshake_rate",
            "drain_timeout",
            "unknown_rate",
        ],
    ),
    (
        "in [[access_log]]",
        &["path", "if", "format", "buffer", "flush", "gzip", "max_field", "search_terms"],
    ),
    ("in [control]", &["socket"]),
    ("in [policies]", &["directory"]),
    ("in [reload]", &["watch", "strict_boot", "keep"]),
    (
        "in [names]",
        &["resolver", "refresh", "hold_nx", "hold_timeout", "hold_error", "hold_obsolete"],
    ),
];
