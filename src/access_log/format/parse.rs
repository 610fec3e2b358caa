//! Reads the text of a `log_format`.

use crate::access_log::format::variable::{Unavailable, Variable};
use crate::access_log::format::{Escape, Op};

/// What is wrong with a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Neither nginx nor this gateway has such a variable.
    #[error("there is no variable ${0}")]
    Unknown(String),
    /// nginx has it, and here it would mean nothing.
    #[error("${0} is a variable of nginx that means nothing here")]
    Unavailable(String, Unavailable),
    /// A `$` stands before what begins no name. What follows it, up to a few bytes.
    #[error("a `$` stands before {0:?}, which begins no variable")]
    NoName(String),
    /// `${name` is not closed.
    #[error("the closing bracket in \"{0}\" variable is missing")]
    Unclosed(String),
    /// `escape=` says none of the words.
    #[error("escape={0} is unknown")]
    Escape(String),
    /// It begins as nginx's quoted pieces do and does not go on so.
    #[error("it begins with nginx's quotes, and {0}")]
    Quotes(&'static str),
    /// It holds the name, or the word `log_format`, as well.
    #[error("it holds the directive's name")]
    WholeDirective,
    /// It says nothing.
    #[error("the format is empty")]
    Empty,
    /// More than one variable is wrong; each with its own error.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Self>),
}

/// The escape, and the format's text with its parts joined.
pub(super) fn text(parts: &[&str]) -> Result<(Escape, String), FormatError> {
    let mut escape = Escape::default();
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        let mut part = *part;
        if at == 0 {
            if part.trim_start().starts_with("log_format ") {
                return Err(FormatError::WholeDirective);
            }
            if let Some(rest) = part.trim_start().strip_prefix("escape=") {
                let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
                let (word, rest) = rest.split_at(end);
                let known = Escape::WORDS.iter().find(|(known, _)| *known == word);
                escape = known.ok_or_else(|| FormatError::Escape(word.to_owned()))?.1;
                part = rest.trim_start();
            }
        }
        if part.trim_start().starts_with('\'') {
            unquote(part.trim(), &mut text).map_err(FormatError::Quotes)?;
        } else {
            text.push_str(part);
        }
    }
    // In a TOML string of several lines the last one ends with a line end, and so does a log line.
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    if text.is_empty() { Err(FormatError::Empty) } else { Ok((escape, text)) }
}

/// Joins nginx's quoted pieces: single or double quotes, blanks between, perhaps a semicolon at the end.
fn unquote(pieces: &str, text: &mut String) -> Result<(), &'static str> {
    let mut rest = pieces.chars();
    loop {
        let quote = match rest.next() {
            None => return Ok(()),
            Some(c) if c.is_ascii_whitespace() => continue,
            Some(';') if rest.as_str().trim().is_empty() => return Ok(()),
            Some(quote @ ('\'' | '"')) => quote,
            Some(_) => return Err("behind a quoted piece stands something without quotes"),
        };
        loop {
            match rest.next() {
                None => return Err("a quote is not closed"),
                Some(c) if c == quote => break,
                Some('\\') => match rest.next() {
                    None => return Err("a quote is not closed"),
                    Some(c @ ('"' | '\'' | '\\')) => text.push(c),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('n') => text.push('\n'),
                    Some(c) => text.extend(['\\', c]),
                },
                Some(c) => text.push(c),
            }
        }
        if !rest.as_str().starts_with([' ', '\t', '\r', '\n', ';']) && !rest.as_str().is_empty() {
            return Err("between two quoted pieces there is no blank");
        }
    }
}

/// A piece of a format's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text that stands for itself.
    Literal(String),
    /// A variable's name, in lower case.
    Variable(String),
}

/// The pieces of a format's text.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, FormatError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, variable) = rest.split_at(rest.find('$').unwrap_or(rest.len()));
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        let Some(after) = variable.strip_prefix('$') else { break };
        let (name, bracketed) = match after.strip_prefix('{') {
            Some(inner) => (inner, true),
            None => (after, false),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, behind) = name.split_at(name.find(|c| !is_name(c)).unwrap_or(name.len()));
        rest = match (bracketed, behind.strip_prefix('}')) {
            (false, _) => behind,
            (true, Some(behind)) => behind,
            (true, None) => return Err(FormatError::Unclosed(name.to_owned())),
        };
        if name.is_empty() {
            return Err(FormatError::NoName(after.chars().take(8).collect()));
        }
        pieces.push(Piece::Variable(name.to_ascii_lowercase()));
    }
    Ok(pieces)
}

/// The program of a format's pieces.
pub(super) fn program(pieces: Vec<Piece>) -> Result<Vec<Op>, FormatError> {
    let op = |piece| match piece {
        Piece::Literal(text) => Ok(Op::Literal(text.into_bytes().into())),
        Piece::Variable(name) => Variable::read(&name).map(Op::Variable),
    };
    let mut errors = Vec::new();
    let mut program = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match op(piece) {
            Ok(op) => program.push(op),
            Err(error) if errors.contains(&error) => {}
            Err(error) => errors.push(error),
        }
    }
    match (errors.pop(), errors.is_empty()) {
        (None, _) => Ok(program),
        (Some(only), true) => Err(only),
        (Some(last), false) => {
            errors.push(last);
            Err(FormatError::Several(errors))
        }
    }
}
