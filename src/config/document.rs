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
pub(crate) mod meant;
pub(crate) mod problem;
pub(crate) mod syntax;
pub(crate) mod units;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::document::diagnostic::{Diagnostic, listed, nearest, shown};
use crate::config::document::environment::Variables;
use crate::config::document::problem::{Document, Mark, Problem, Severity};
use crate::config::document::syntax::parser_words::{Told, plain};
use crate::config::value::authority;
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
    /// Errors on broken lines, which are not told as problems of their own.
    held_back: RefCell<Vec<(usize, Problem)>>,
}

/// Reads `document` with `body`, and returns what it made together with all problems.
///
/// Where the syntax is broken the rest is read all the same, from the text as `syntax` mends it, so that an open
/// bracket does not swallow what follows. What a mended line says is wrong besides is said with its fault, and keys
/// that are missing are not complained of, since a broken line may hold them.
pub(super) fn read<T>(
    document: &Arc<Document>,
    variables: Variables<'_>,
    body: impl FnOnce(Section<'_>) -> T,
) -> (T, Vec<Problem>) {
    let (_, errors) = DeTable::parse_recoverable(document.text());
    if errors.is_empty() {
        let walked = walk(document, variables, Vec::new(), body);
        return (walked.made, walked.problems);
    }
    let repaired = syntax::repair(document.text());
    let mended = Document::new(document.file().to_owned(), repaired.text);
    let (_, left) = DeTable::parse_recoverable(mended.text());
    let fault_lines: Vec<usize> =
        repaired.faults.iter().map(|fault| document.line_index(fault.span.start)).collect();
    let mut unread: Vec<_> =
        left.iter().map(|error| in_the_parsers_words(&mended, error)).collect();
    let still_broken: Vec<usize> = unread.iter().map(|(line, _)| *line).collect();
    // One mistake makes several diagnostics on its line; the first names it.
    unread.retain(|(line, _)| !fault_lines.contains(line));
    unread.sort_by_key(|(_, problem)| problem.offset());
    unread.dedup_by_key(|(line, _)| *line);
    let broken_lines = still_broken.iter().chain(&fault_lines).copied().collect();
    let mut walked = walk(&mended, variables, broken_lines, body);
    walked.problems.extend(unread.into_iter().map(|(_, problem)| problem));
    for (fault, line) in repaired.faults.into_iter().zip(fault_lines) {
        let besides = walked.held_back.iter().find(|(first, _)| *first == line);
        let help = match besides {
            _ if still_broken.contains(&line) => fault.advice.to_owned(),
            // What is missing belongs to the line before.
            None if mended.line(line).1 == document.line(line).1
                || mended.line(line).1.trim_start().starts_with('#') =>
            {
                fault.advice.to_owned()
            }
            None => format!("write {}", mended.line(line).1.trim()),
            Some((_, besides)) => {
                let what = besides.help().unwrap_or_else(|| besides.label());
                format!("{}; besides, {}: {what}", fault.advice, besides.message())
            }
        };
        let mark = Mark::new(document, fault.span, fault.label.to_owned());
        walked.problems.push(Problem::error(fault.message, mark).with_help(Some(help)));
    }
    walked.problems.sort_by_key(|problem| (problem.line(), problem.offset()));
    (walked.made, walked.problems)
}

/// What comes of reading one document.
struct Walked<T> {
    made: T,
    problems: Vec<Problem>,
    /// Errors on broken lines, which are counted from 0.
    held_back: Vec<(usize, Problem)>,
}

/// Reads what the parser makes of `document`.
fn walk<T>(
    document: &Arc<Document>,
    variables: Variables<'_>,
    broken_lines: Vec<usize>,
    body: impl FnOnce(Section<'_>) -> T,
) -> Walked<T> {
    let (root, _) = DeTable::parse_recoverable(document.text());
    let reading = Reading {
        document,
        variables,
        nothing: DeTable::new(),
        broken_lines,
        problems: RefCell::default(),
        held_back: RefCell::default(),
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
    Walked { made, problems, held_back: reading.held_back.into_inner() }
}

/// A syntax error that only the parser knows, and its line, counted from 0.
fn in_the_parsers_words(document: &Arc<Document>, error: &toml::de::Error) -> (usize, Problem) {
    let span = error.span().unwrap_or_else(|| document.text().len()..document.text().len());
    let Told { message, label, help } = plain(error.message(), document.text(), &span);
    let line = document.line_index(span.start);
    let mark = Mark::new(document, span, label);
    (line, Problem::error(message, mark).with_help(help))
}

impl Reading<'_> {
    fn push(&self, problem: Problem, span: Option<&Range<usize>>) {
        let broken = span.and_then(|span| {
            let first = self.document.line_index(span.start);
            let last = self.document.line_index(span.end);
            self.broken_lines.iter().find(|line| (first..=last).contains(line))
        });
        match broken {
            None => self.problems.borrow_mut().push(problem),
            Some(line) if problem.severity() == Severity::Error => {
                self.held_back.borrow_mut().push((*line, problem));
            }
            Some(_) => {}
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
            return items.iter().map(|item| field.with_value(item).section(&help)).collect();
        }
        // As nginx's directive, `listen` alone.
        let help = if key == "listen" && (field.is_string() || field.is_number()) {
            let address = authority::meant(&field.written());
            let address = address.as_deref().unwrap_or("[::]:9480");
            format!("write [[listen]], and below it address = \"{address}\"")
        } else {
            help
        };
        field.error(field.unlike("a list of sections").help(help));
        Vec::new()
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

    /// The document that is read: of one that is not TOML, the mended one.
    pub(super) fn document(&self) -> &'a Arc<Document> {
        self.reading.document
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
            let here = if of_a_policy { Some("a policy") } else { self.name.as_deref() };
            let help = match (homes_of(text, here), near) {
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (Some(_), Some(near)) if of_a_policy => format!("did you mean `{near}`?"),
                (Some(homes), _) => format!("`{text}` belongs {homes}"),
                (None, None) => format!("known here: {}", known.join(", ")),
            };
            let problem = Problem::error(message, mark).with_help(Some(help));
            self.reading.push(problem, Some(&key.span()));
        }
    }
}

/// Where a key that is unknown `here` is known: in TOML whatever follows a section's header belongs to the section,
/// which is easily forgotten.
fn homes_of(key: &str, here: Option<&str>) -> Option<String> {
    let homes: Vec<&str> = HOMES
        .iter()
        .filter(|(home, keys)| {
            let is_here = here.is_some_and(|here| home.contains(&format!("[{here}]")))
                || (here == Some("a policy") && home.contains("a policy"));
            keys.contains(&key) && !is_here
        })
        .map(|(home, _)| *home)
        .collect();
    (!homes.is_empty()).then(|| listed(&homes, "or"))
}

const HOMES: [(&str, &[&str]); 16] = [
    (
        "at the top of gateway.toml, before the first section",
        &[
            "workers",
            "state_directory",
            "listen",
            "upstream",
            "limits",
            "names",
            "policies",
            "access_log",
            "log_format",
            "whoami",
            "control",
            "reload",
        ],
    ),
    (
        "in [[listen]]",
        &[
            "address",
            "server_names",
            "http2",
            "tls",
            "trusted_proxies",
            "proxy_protocol_from",
            "forwarded_header",
        ],
    ),
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
            "danger_loopback_source",
            "send_proxy_protocol",
            "circuit",
            "check",
        ],
    ),
    ("in [upstream.circuit]", &["failures", "open", "max_open"]),
    ("in [upstream.check]", &["interval", "search"]),
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
            "rate",
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
        &[
            "resolver",
            "refresh",
            "hold_nx",
            "hold_timeout",
            "hold_error",
            "hold_obsolete",
            "danger_loopback_names",
        ],
    ),
    ("in [whoami]", &["enabled"]),
    (
        "at the top of a policy's file, before any section",
        &[
            "description",
            "hosts",
            "actions",
            "rate",
            "enabled",
            "certificate",
            "concurrent",
            "connections",
            "min_search_length",
            "valid_from",
            "valid_until",
        ],
    ),
    ("in rate = { … }", &["per_second", "per_minute", "burst"]),
    ("in [certificate] of a policy", &["require"]),
    ("in tls of a [[listen]]", &["private_key", "client_ca"]),
];
