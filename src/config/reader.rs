//! A typed walk over a TOML document that collects every problem instead of stopping at the first.
//!
//! A getter reports what is wrong and returns `None`, and its caller goes on with the default: the
//! configuration that comes out is thrown away when any error was reported. Each key that a section
//! is asked for becomes known to it; [`Section::finish`] reports the others.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::{Complaint, listed, nearest, shown};
use super::environment::{Variables, expand};
use super::problem::{Document, Mark, Problem};
use super::units;
use crate::place::{Place, Placed};

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
    // One mistake makes several complaints on its line; the first names it.
    syntax.sort_by_key(|(line, problem)| (*line, problem.column()));
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
    problems.sort_by_key(|problem| (problem.line(), problem.column()));
    (made, problems)
}

impl Reading<'_> {
    fn push(&self, problem: Problem, span: Option<&Range<usize>>) {
        let broken =
            |span: &Range<usize>| self.broken_lines.contains(&self.document.line_index(span.start));
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
    ) -> Placed<T> {
        match self.take(key) {
            Some(field) => Placed {
                value: read(&field).unwrap_or(default),
                place: field.place(),
                written: true,
            },
            None => Placed { value: default, place: self.place(), written: false },
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
        match field.value.get_ref() {
            DeValue::Array(items) => {
                items.iter().map(|item| field.with_value(item).section(&help)).collect()
            }
            _ => {
                let complaint = field.unlike("a list of sections").help(help);
                field.refuse(complaint);
                Vec::new()
            }
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
    pub(super) fn place(&self) -> Place {
        self.reading.document.place(self.span.as_ref().map_or(0, |span| span.start))
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
    pub(super) fn doubt(&self, complaint: Complaint) {
        let mark = self.reading.mark(self.span.as_ref(), &complaint.label);
        let problem = Problem::warning(complaint.message, mark).with_help(complaint.help);
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
            let mark = self.reading.mark(Some(&key.span()), &format!("not a {what} of this file"));
            let help = match nearest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let problem = Problem::error(message, mark).with_help(Some(help));
            self.reading.push(problem, Some(&key.span()));
        }
    }
}

/// A value and the key that it was written for.
#[derive(Clone)]
pub(super) struct Field<'a> {
    reading: &'a Reading<'a>,
    /// With its section, such as `upstream.url`.
    name: Rc<str>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Field<'a> {
    fn with_value(&self, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { reading: self.reading, name: Rc::clone(&self.name), value }
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(super) fn place(&self) -> Place {
        self.reading.document.place(self.span().start)
    }

    /// The value as a mark of a problem that is found later.
    pub(super) fn mark(&self, label: &str) -> Mark {
        self.reading.mark(Some(&self.span()), label)
    }

    /// Reports an error.
    pub(super) fn refuse(&self, complaint: Complaint) {
        self.push(complaint, Problem::error);
    }

    /// Reports a warning.
    pub(super) fn doubt(&self, complaint: Complaint) {
        self.push(complaint, Problem::warning);
    }

    /// Reports that `what` does not exist yet.
    pub(super) fn unavailable(&self, what: &str) {
        let message = format!("{what} is not available in this version");
        self.refuse(Complaint::new(message, "not available in this version"));
    }

    fn push(&self, complaint: Complaint, new: fn(String, Mark) -> Problem) {
        let mark = self.reading.mark(Some(&self.span()), &complaint.label);
        let problem = new(format!("`{}`: {}", self.name, complaint.message), mark);
        self.reading.push(problem.with_help(complaint.help), Some(&self.span()));
    }

    /// The complaint about a value of the wrong type.
    fn unlike(&self, expected: &str) -> Complaint {
        let found = match self.value.get_ref() {
            DeValue::String(text) => format!("the string {}", shown(text)),
            DeValue::Integer(number) => format!("the number {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(value) => format!("the boolean {value}"),
            DeValue::Datetime(date) => format!("the date {date}"),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        Complaint::new(format!("found {found}"), format!("allowed: {expected}"))
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        self.refuse(self.unlike(expected));
        None
    }

    /// Reports what `outcome` complains of.
    pub(super) fn accept<T>(&self, outcome: Result<T, Complaint>) -> Option<T> {
        outcome.map_err(|complaint| self.refuse(complaint)).ok()
    }

    /// A string, its variables expanded.
    pub(super) fn text(&self) -> Option<String> {
        let DeValue::String(text) = self.value.get_ref() else {
            return self.wrong_type("a string in quotes");
        };
        let unset = match expand(text, self.reading.variables) {
            Ok(expanded) => return Some(expanded),
            Err(unset) => unset,
        };
        for name in unset {
            let message = format!("the environment variable {name} is not set, or is not UTF-8");
            let label = "allowed: ${NAME} of a variable that is set";
            self.refuse(Complaint::new(message, label));
        }
        None
    }

    /// One of `words`.
    pub(super) fn word(&self, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text()?;
        let found = words.iter().find(|word| **word == text);
        if found.is_none() {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            let quoted: Vec<&str> = quoted.iter().map(String::as_str).collect();
            let label = format!("allowed: {}", listed(&quoted, "or"));
            let mut complaint = Complaint::new(format!("{} is unknown", shown(&text)), label);
            if let Some(near) = nearest(&text, words.iter().copied()) {
                complaint = complaint.help(format!("did you mean \"{near}\"?"));
            }
            self.refuse(complaint);
        }
        found.copied()
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("true or false, without quotes"),
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn whole(&self, least: u32, most: u32) -> Option<u32> {
        let allowed = format!("a whole number from {least} to {most}");
        let DeValue::Integer(number) = self.value.get_ref() else {
            return self.wrong_type(&allowed);
        };
        let value = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.and_then(|value| u32::try_from(value).ok());
        if let Some(value) = value.filter(|value| (least..=most).contains(value)) {
            return Some(value);
        }
        let message = format!("{number} is out of range");
        self.refuse(Complaint::new(message, format!("allowed: {allowed}")));
        None
    }

    /// A duration from `least` to `most`.
    pub(super) fn duration(&self, least: Duration, most: Duration) -> Option<Duration> {
        let value = match self.value.get_ref() {
            DeValue::Integer(number) => Err(units::bare_number(number.as_str())),
            DeValue::String(_) => units::duration(&self.text()?),
            _ => return self.wrong_type("a duration, such as \"250ms\" or \"5s\""),
        };
        let value = self.accept(value)?;
        self.in_range(value, least..=most, units::show_duration)
    }

    /// A number of bytes from `least` to `most`.
    pub(super) fn size(&self, least: u64, most: u64) -> Option<u64> {
        let value = match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => units::size(number.as_str()),
            DeValue::String(_) => units::size(&self.text()?),
            _ => return self.wrong_type("a size, such as 4096 or \"64k\""),
        };
        let value = self.accept(value)?;
        self.in_range(value, least..=most, units::show_size)
    }

    /// A number of bytes from `least` to `most` that are held in memory.
    pub(super) fn bytes(&self, least: u32, most: u32) -> Option<usize> {
        self.size(least.into(), most.into()).and_then(|size| usize::try_from(size).ok())
    }

    fn in_range<T: PartialOrd + Copy>(
        &self,
        value: T,
        range: std::ops::RangeInclusive<T>,
        show: fn(T) -> String,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let (least, most) = (show(*range.start()), show(*range.end()));
        let message = format!("{} is out of range", show(value));
        self.refuse(Complaint::new(message, format!("allowed: \"{least}\" to \"{most}\"")));
        None
    }

    /// A date and time.
    pub(super) fn datetime(&self) -> Option<toml::value::Datetime> {
        match self.value.get_ref() {
            DeValue::Datetime(datetime) => Some(*datetime),
            _ => self.wrong_type("a date and time without quotes, such as 2026-11-01T00:00:00Z"),
        }
    }

    /// The entries of a list.
    pub(super) fn list(&self) -> Option<Vec<Self>> {
        match self.value.get_ref() {
            DeValue::Array(items) => Some(items.iter().map(|item| self.with_value(item)).collect()),
            DeValue::String(text) => {
                let help = format!("write [{}]", shown(text));
                self.refuse(self.unlike("a list of strings, in brackets").help(help));
                None
            }
            _ => self.wrong_type("a list of strings, in brackets"),
        }
    }

    /// The table written here; without keys, where something else was.
    pub(super) fn section(&self, help: &str) -> Section<'a> {
        let table = match self.value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.refuse(self.unlike("a section").help(help));
                None
            }
        };
        Section {
            reading: self.reading,
            name: Some(Rc::clone(&self.name)),
            span: Some(self.span()),
            broken: table.is_none(),
            table: table.unwrap_or(&self.reading.nothing),
            known: Vec::new(),
        }
    }

    /// Whether a table is written here.
    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }
}
