//! One value of a document, and what it may be read as.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{Reading, Section};
use crate::config::document::diagnostic::{Diagnostic, listed, nearest, shown};
use crate::config::document::environment::{Unexpanded, Variables, expand};
use crate::config::document::literal::string;
use crate::config::document::meant;
use crate::config::document::problem::{Mark, Problem};
use crate::config::document::units;
use crate::location::Location;

/// A value and the key that it was written for.
#[derive(Clone)]
pub(in crate::config) struct Field<'a> {
    pub(super) reading: &'a Reading<'a>,
    /// With its section, such as `upstream.url`.
    pub(super) name: Rc<str>,
    pub(super) value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Field<'a> {
    pub(super) fn with_value(&self, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { reading: self.reading, name: Rc::clone(&self.name), value }
    }

    /// The key alone, for a section whose keys are names.
    pub(in crate::config) fn key(&self) -> &str {
        self.name.split_once('.').map_or(&*self.name, |(_, key)| key)
    }

    pub(in crate::config) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(in crate::config) fn location(&self) -> Location {
        self.reading.document.location(self.span().start)
    }

    /// The value as a mark of a problem that is found later.
    pub(in crate::config) fn mark(&self, label: &str) -> Mark {
        self.reading.mark(Some(&self.span()), label)
    }

    /// Reports an error.
    pub(in crate::config) fn error(&self, diagnostic: Diagnostic) {
        self.push(diagnostic, Problem::error);
    }

    /// Reports a warning.
    pub(in crate::config) fn warn(&self, diagnostic: Diagnostic) {
        self.push(diagnostic, Problem::warning);
    }

    fn push(&self, diagnostic: Diagnostic, new: fn(String, Mark) -> Problem) {
        let mark = self.reading.mark(Some(&self.span()), &diagnostic.label);
        let problem = new(format!("`{}`: {}", self.name, diagnostic.message), mark);
        self.reading.push(problem.with_help(diagnostic.help), Some(&self.span()));
    }

    /// The diagnostic about a value of the wrong type.
    pub(in crate::config) fn unlike(&self, expected: &str) -> Diagnostic {
        let found = match self.value.get_ref() {
            DeValue::String(text) => format!("the string {}", shown(text)),
            DeValue::Integer(number) => format!("the number {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(value) => format!("the boolean {value}"),
            DeValue::Datetime(date) => format!("the date {date}"),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        Diagnostic::new(format!("found {found}"), format!("allowed: {expected}"))
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        self.error(self.unlike(expected));
        None
    }

    /// Reports what `outcome` complains of.
    pub(in crate::config) fn accept<T>(&self, outcome: Result<T, Diagnostic>) -> Option<T> {
        outcome.map_err(|diagnostic| self.error(diagnostic)).ok()
    }

    /// A string as it was written, for a language in which `${…}` means something else.
    pub(in crate::config) fn literal(&self) -> Option<&'a str> {
        if let DeValue::String(text) = self.value.get_ref() {
            return Some(text);
        }
        let DeValue::Array(items) = self.value.get_ref() else {
            return self.wrong_type("a string in quotes");
        };
        let diagnostic = self.unlike("one string in quotes, without brackets");
        let only = match items.iter().map(Spanned::get_ref).collect::<Vec<_>>().as_slice() {
            [DeValue::String(only)] => Some(self.line(&string(only))),
            _ => None,
        };
        self.error(Diagnostic { help: only, ..diagnostic });
        None
    }

    /// The value as it stands in the document.
    pub(in crate::config) fn written(&self) -> String {
        self.reading.document.text().get(self.span()).unwrap_or_default().to_owned()
    }

    /// A help that writes the key with another value.
    pub(in crate::config) fn line(&self, value: &str) -> String {
        format!("write {} = {value}", self.last_key())
    }

    /// The key without its sections.
    fn last_key(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// A help that writes what this value means to those who know other programs.
    pub(in crate::config) fn meant(&self) -> Option<String> {
        meant::value(&self.name, &self.written()).map(|meant| self.line(&meant.written))
    }

    /// A string, its variables expanded.
    pub(in crate::config) fn text(&self) -> Option<String> {
        self.expanded(self.reading.variables)
    }

    fn expanded(&self, variables: Variables<'_>) -> Option<String> {
        let text = self.literal()?;
        let unset = match expand(text, variables) {
            Ok(expanded) => return Some(expanded),
            Err(unset) => unset,
        };
        for unexpanded in unset {
            let message = match unexpanded {
                Unexpanded::Unset(name) => {
                    format!("the environment variable {name} is not set, or is not UTF-8")
                }
                Unexpanded::NoName(text) => {
                    format!("{} is no variable; there are no defaults or other forms", shown(&text))
                }
            };
            let label = "allowed: ${NAME} of a variable that is set";
            self.error(Diagnostic::new(message, label));
        }
        None
    }

    /// The same, but variables stay, as `${NAME}`, for another to expand: those of which `is_other`
    /// says so, being told whether the environment has one of this name.
    pub(in crate::config) fn text_but(
        &self,
        is_other: &dyn Fn(&str, bool) -> bool,
    ) -> Option<String> {
        let outer = self.reading.variables;
        let variables = |name: &str| {
            let set = outer(name);
            if is_other(name, set.is_some()) { Some(format!("${{{name}}}")) } else { set }
        };
        self.expanded(&variables)
    }

    /// A path, relative to the directory `base`.
    pub(in crate::config) fn path(&self, base: &Path) -> Option<PathBuf> {
        self.checked_path(&self.text()?, base)
    }

    /// `text`, made of this value, as such a path.
    pub(in crate::config) fn checked_path(&self, text: &str, base: &Path) -> Option<PathBuf> {
        if text.is_empty() || text.contains('\0') {
            let message = format!("{} is no path", shown(text));
            self.error(Diagnostic::new(
                message,
                "allowed: a path, relative to this file or absolute",
            ));
            return None;
        }
        Some(base.join(text))
    }

    /// One of `words`.
    pub(in crate::config) fn word(&self, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text()?;
        let found = words.iter().find(|word| **word == text);
        if found.is_none() {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            let quoted: Vec<&str> = quoted.iter().map(String::as_str).collect();
            let label = format!("allowed: {}", listed(&quoted, "or"));
            let mut diagnostic = Diagnostic::new(format!("{} is unknown", shown(&text)), label);
            if let Some(near) = nearest(&text, words.iter().copied()) {
                diagnostic = diagnostic.help(format!("did you mean \"{near}\"?"));
            }
            self.error(diagnostic);
        }
        found.copied()
    }

    pub(in crate::config) fn boolean(&self) -> Option<bool> {
        let DeValue::Boolean(value) = self.value.get_ref() else {
            let help = meant::boolean(&self.written()).map(|meant| self.line(&meant.to_string()));
            self.error(Diagnostic { help, ..self.unlike("true or false, without quotes") });
            return None;
        };
        Some(*value)
    }

    /// A whole number from `least` to `most`.
    pub(in crate::config) fn whole(&self, least: u32, most: u32) -> Option<u32> {
        let allowed = format!("a whole number from {least} to {most}");
        let DeValue::Integer(number) = self.value.get_ref() else {
            let diagnostic = self.unlike(&allowed);
            let unquoted = self.written().trim_matches(['"', '\'', ' ']).parse::<u32>().ok();
            let unquoted =
                unquoted.filter(|value| self.is_string() && (least..=most).contains(value));
            let help = unquoted.map(|value| self.line(&value.to_string()));
            self.error(Diagnostic { help, ..diagnostic });
            return None;
        };
        let value = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.and_then(|value| u32::try_from(value).ok());
        if let Some(value) = value.filter(|value| (least..=most).contains(value)) {
            return Some(value);
        }
        let message = format!("{number} is out of range");
        self.error(Diagnostic::new(message, format!("allowed: {allowed}")));
        None
    }

    /// A duration from `least` to `most`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else TOML has is of another type")]
    pub(in crate::config) fn duration(&self, least: Duration, most: Duration) -> Option<Duration> {
        let value = match self.value.get_ref() {
            DeValue::Integer(number) => Err(units::bare_number(number.as_str())),
            DeValue::String(_) => units::duration(&self.text()?),
            DeValue::Float(number) => {
                let diagnostic = self.unlike("a duration, such as \"250ms\" or \"5s\"");
                let millis = number.as_str().parse::<f64>().ok().map(|seconds| seconds * 1000.0);
                self.error(match millis.filter(|millis| millis.fract() == 0.0 && *millis >= 1.0) {
                    Some(millis) => diagnostic.help(self.line(&format!("\"{millis}ms\""))),
                    None => diagnostic,
                });
                return None;
            }
            _ => return self.wrong_type("a duration, such as \"250ms\" or \"5s\""),
        };
        let value = self.accept(value)?;
        self.in_range(value, least..=most, units::show_duration)
    }

    /// A number of bytes from `least` to `most`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else TOML has is of another type")]
    pub(in crate::config) fn size(&self, least: u64, most: u64) -> Option<u64> {
        let value = match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => units::size(number.as_str()),
            DeValue::String(_) => units::size(&self.text()?),
            _ => return self.wrong_type("a size, such as 4096 or \"64k\""),
        };
        let value = self.accept(value)?;
        self.in_range(value, least..=most, units::show_size)
    }

    /// A number of bytes from `least` to `most` that are held in memory.
    pub(in crate::config) fn bytes(&self, least: u32, most: u32) -> Option<usize> {
        self.size(least.into(), most.into()).and_then(|size| usize::try_from(size).ok())
    }

    fn in_range<T: PartialOrd + Copy>(
        &self,
        value: T,
        range: RangeInclusive<T>,
        show: fn(T) -> String,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let (least, most) = (show(*range.start()), show(*range.end()));
        let message = format!("{} is out of range", show(value));
        self.error(Diagnostic::new(message, format!("allowed: \"{least}\" to \"{most}\"")));
        None
    }

    /// A date and time.
    pub(in crate::config) fn datetime(&self) -> Option<toml::value::Datetime> {
        let DeValue::Datetime(datetime) = self.value.get_ref() else {
            let form = "a date and time without quotes, such as 2026-11-01T00:00:00Z";
            self.error(Diagnostic { help: self.meant(), ..self.unlike(form) });
            return None;
        };
        Some(*datetime)
    }

    /// The entries of a list.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else TOML has is of another type")]
    pub(in crate::config) fn list(&self) -> Option<Vec<Self>> {
        match self.value.get_ref() {
            DeValue::Array(items) => Some(items.iter().map(|item| self.with_value(item)).collect()),
            DeValue::String(text) => {
                let parts: Vec<String> = text
                    .split([',', ';', ' ', '\t'])
                    .filter(|part| !part.is_empty())
                    .map(shown)
                    .collect();
                let help = format!("write [{}]", parts.join(", "));
                self.error(self.unlike("a list of strings, in brackets").help(help));
                None
            }
            _ => self.wrong_type("a list of strings, in brackets"),
        }
    }

    /// The entries of a list, or the one value that stands instead of a list.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else TOML has is of another type")]
    pub(in crate::config) fn one_or_more(&self, expected: &str) -> Option<Vec<Self>> {
        match self.value.get_ref() {
            DeValue::String(_) => Some(vec![self.clone()]),
            DeValue::Array(items) if !items.is_empty() => {
                Some(items.iter().map(|item| self.with_value(item)).collect())
            }
            _ => self.wrong_type(expected),
        }
    }

    /// The same, and the one value may be a number.
    pub(in crate::config) fn words_or_numbers(&self, expected: &str) -> Option<Vec<Self>> {
        if self.is_number() { Some(vec![self.clone()]) } else { self.one_or_more(expected) }
    }

    /// Whether a whole number is written here.
    pub(in crate::config) fn is_number(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Integer(_))
    }

    /// Whether a string is written here.
    pub(super) fn is_string(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::String(_))
    }

    /// Whether a number with a fraction is written here.
    pub(in crate::config) fn is_float(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Float(_))
    }

    /// Whether `true` or `false` is written here.
    pub(in crate::config) fn is_boolean(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Boolean(_))
    }

    /// The table written here; without keys, where something else was.
    pub(in crate::config) fn section(&self, help: &str) -> Section<'a> {
        let table = if let DeValue::Table(table) = self.value.get_ref() {
            Some(table)
        } else {
            self.error(self.unlike("a section").help(help));
            None
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
    pub(in crate::config) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }
}
