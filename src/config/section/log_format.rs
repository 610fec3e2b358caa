//! `[log_format]`: formats of access logs by name, in nginx's language.

use std::collections::HashMap;
use std::sync::Arc;

use crate::access_log::format::{
    Escape, Format, FormatError, LogFormat, PREDEFINED, Unsure, names,
};
use crate::config::document::diagnostic::{Diagnostic, listed, nearest, shown};
use crate::config::document::literal::literal;
use crate::config::document::{Field, Section};

/// The formats that an access log may name.
pub(crate) struct Formats(HashMap<String, Option<LogFormat>>);

impl Formats {
    /// Reads the section. A format with an error is known all the same, so that a log that names it is
    /// not complained of as well.
    pub(crate) fn read(section: Section<'_>) -> Self {
        let mut formats = HashMap::new();
        for (name, text) in PREDEFINED {
            let format = match name {
                "combined" => Some(LogFormat::Combined),
                _ => Format::compile(&[text]).ok().map(|it| LogFormat::Compiled(Arc::new(it))),
            };
            formats.insert(name.to_owned(), format);
        }
        for field in section.take_all() {
            let name = field.key().to_owned();
            if is_predefined(&name) {
                let message = format!("{} is predefined", shown(&name));
                let diagnostic = Diagnostic::new(message, "allowed: a name of its own");
                field.error(diagnostic.help("give this format another name, such as \"ours\""));
                continue;
            }
            formats.insert(name, compile(&field));
        }
        Self(formats)
    }

    /// Those of the section, by name.
    pub(crate) fn own(&self) -> Vec<(String, Arc<Format>)> {
        let own = self.0.iter().filter_map(|(name, format)| match format {
            Some(LogFormat::Compiled(format)) if !is_predefined(name) => {
                Some((name.clone(), Arc::clone(format)))
            }
            _ => None,
        });
        let mut own: Vec<_> = own.collect();
        own.sort_by(|(one, _), (other, _)| one.cmp(other));
        own
    }

    /// The format that a log names.
    pub(crate) fn named(&self, field: &Field<'_>) -> Option<LogFormat> {
        let text = field.text()?;
        if let Some(format) = self.0.get(&text) {
            return format.clone();
        }
        let mut known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        known.sort_unstable();
        let message = if text.contains('$') {
            format!("{} is no name of a format", shown(&text))
        } else {
            format!("there is no format {}", shown(&text))
        };
        let label = format!("allowed: {}", listed(&known, "or"));
        let diagnostic = Diagnostic::new(message, label);
        let help = match (text.contains('$'), nearest(&text, known.iter().copied())) {
            (true, _) => {
                "write the format in [log_format], by a name, and that name here".to_owned()
            }
            (false, Some(near)) => format!("did you mean \"{near}\"?"),
            (false, None) => format!("write it in [log_format]: {text} = '…'"),
        };
        field.error(diagnostic.help(help));
        None
    }
}

fn is_predefined(name: &str) -> bool {
    PREDEFINED.iter().any(|(predefined, _)| *predefined == name)
}

/// A string, or several that are joined.
fn compile(field: &Field<'_>) -> Option<LogFormat> {
    let parts = field.one_or_more("nginx's log_format text, in one string or a list of them")?;
    let parts = parts.iter().map(Field::literal).collect::<Option<Vec<_>>>()?;
    let format = match Format::compile(&parts) {
        Ok(format) => format,
        Err(FormatError::Several(errors)) => {
            errors.iter().for_each(|error| field.error(diagnostic(error)));
            return None;
        }
        Err(error) => return field.accept(Err(diagnostic(&error))),
    };
    if format.is_forgeable() {
        let message = "with escape=none a client writes into this log what it likes";
        let diagnostic =
            Diagnostic::new(message, "quotes, and in $uri line ends, stay as they came");
        field.warn(diagnostic.help("write escape=default or escape=json"));
    } else if let Err(why) = format.readable() {
        field.warn(unsure(&why, field.key(), format.corrected().as_deref()));
    }
    Some(LogFormat::Compiled(Arc::new(format)))
}

/// A log that nobody can read back.
fn unsure(why: &Unsure, name: &str, corrected: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::new(
        why.to_string(),
        "`report` refuses it, and whoever reads its lines has to guess",
    );
    diagnostic.help(match corrected {
        Some(text) => format!("write {name} = {}", literal(text)),
        None => "put quotes around each value".to_owned(),
    })
}

fn diagnostic(error: &FormatError) -> Diagnostic {
    let message = error.to_string();
    let text = "allowed: what stands in an nginx.conf behind log_format and the name";
    match error {
        FormatError::Unknown(name) => {
            let label = "allowed: nginx's variables and the gateway's own";
            let diagnostic = Diagnostic::new(message, label);
            match nearest(name, names()) {
                Some(near) => diagnostic.help(format!("did you mean ${near}?")),
                None => diagnostic.help("docs/access-log.md lists the variables"),
            }
        }
        FormatError::Unavailable(_, why) => {
            Diagnostic::new(message, "no such value here").help(*why)
        }
        FormatError::NoName(_) => Diagnostic::new(message, "allowed: $name or ${name}")
            .help("a format cannot hold a `$` of its own, in nginx as here"),
        FormatError::Unclosed(name) => Diagnostic::new(message, format!("allowed: ${{{name}}}")),
        FormatError::Escape(word) => {
            let words = Escape::WORDS.map(|(word, _)| word);
            let label = format!("allowed: escape={}", listed(&words, "or"));
            let diagnostic = Diagnostic::new(message, label);
            match nearest(word, words) {
                Some(near) => diagnostic.help(format!("did you mean escape={near}?")),
                None => diagnostic,
            }
        }
        FormatError::Quotes(_) => Diagnostic::new(message, text).help(
            "write all of it in nginx's quotes, with blanks between the pieces, or none of it",
        ),
        FormatError::WholeDirective => Diagnostic::new(message, text)
            .help("leave `log_format` and the format's name out; the name is the key here"),
        FormatError::Empty | FormatError::Several(_) => Diagnostic::new(message, text),
    }
}
