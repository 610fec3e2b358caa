//! How the lines of a format are read back, and whether they can be.
//!
//! A format is literals and values in turn. Where a value ends can be told for sure if the literal behind it holds a
//! byte that the value cannot: then the first such byte is that literal's. A value that can hold whatever stands behind
//! it (a list in `$http_x_forwarded_for` before a blank, a user's name before ` [`) is read from both sides: up to
//! the next literal that tells its end or to the line's end, and from there backwards over the values behind it, each
//! of which must tell where it begins. Two of those in a row cannot be told apart by anybody, and a format that has
//! them is refused; [`corrected`] writes it so that it can be read.

use crate::access_log::format::kind::{Each, Kind};
use crate::access_log::format::{Escape, Piece};

/// How a line is read: the text at its beginning, and then step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) prefix: Box<[u8]>,
    pub(crate) steps: Box<[Step]>,
}

/// A value and what stands behind it; or several values that are read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It ends where its literal is.
    One { value: Value, end: End },
    /// The first goes on to where the others begin.
    Span(Box<Span>),
}

/// A value and the literal behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// Which of the format's variables, from 0.
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    /// What stands behind it; empty at the line's end.
    pub(crate) then: Box<[u8]>,
}

/// How the end of a value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has this width.
    Width(usize),
    /// Before the first byte that none of its kind holds.
    Run,
    /// Behind the last of its tries.
    List,
    /// Where the literal's byte is.
    At(Mark),
    /// At the line's end, before the literal.
    Line,
}

/// A byte of a literal that the value before it cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) byte: u8,
    /// How far into the literal it stands.
    pub(crate) at: usize,
    /// Whether one behind a backslash is part of a value.
    pub(crate) is_escaped: bool,
}

/// Values of which only the first is not sure of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Value,
    /// Those behind it, the last one first, each with how its beginning is found.
    pub(crate) behind: Box<[(Value, Begin)]>,
    /// Where the last one ends; `None` for the line's end, before its literal.
    pub(crate) end: Option<Mark>,
}

/// How the beginning of a value is found from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Width(usize),
    /// Behind the literal before it, whose byte stands there.
    Behind(Mark),
}

/// Why nobody can read a format's lines back for sure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsure {
    /// Two values with nothing between.
    #[error(
        "between ${0} and ${1} stands nothing, so that nobody can tell where the first one ends"
    )]
    Adjacent(String, String),
    /// A value can hold what stands behind it.
    #[error("${0} can hold what stands behind it ({1:?}), so that nobody can tell where it ends")]
    Ends(String, String),
    /// A record is no line.
    #[error("a line end stands in it, so that nobody can tell one record from the next")]
    Lines,
    /// A value can end a line.
    #[error(
        "with escape=none ${0} can hold a line end, so that nobody can tell one record from the next"
    )]
    Forged(String),
}

/// A fault, and at which piece it is.
type Fault = (usize, Unsure);

/// How the lines of these pieces are read.
pub(crate) fn reading(escape: Escape, pieces: &[Piece]) -> Result<Reading, Unsure> {
    find(escape, pieces).map_err(|(_, why)| why)
}

fn find(escape: Escape, pieces: &[Piece]) -> Result<Reading, Fault> {
    let (prefix, values, places) = values(escape, pieces)?;
    let mut steps = Vec::new();
    let mut at = 0;
    while let Some(value) = values.get(at) {
        if let Some(end) = end(escape, value, values.get(at + 1)) {
            steps.push(Step::One { value: value.clone(), end });
            at += 1;
            continue;
        }
        let Some(span) = span(escape, &values[at..]) else {
            let behind = String::from_utf8_lossy(&value.then).into_owned();
            let piece = places[at];
            return Err((piece, Unsure::Ends(name(&pieces[piece]), behind)));
        };
        at += 1 + span.behind.len();
        steps.push(Step::Span(Box::new(span)));
    }
    Ok(Reading { prefix, steps: steps.into() })
}

fn name(piece: &Piece) -> String {
    match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Variable(name) => name.clone(),
    }
}

type Values = (Box<[u8]>, Vec<Value>, Vec<usize>);

/// The text before the first value, the values, and which pieces those are.
fn values(escape: Escape, pieces: &[Piece]) -> Result<Values, Fault> {
    let mut prefix: Box<[u8]> = Box::default();
    let (mut values, mut places): (Vec<Value>, Vec<usize>) = Default::default();
    for (at, piece) in pieces.iter().enumerate() {
        match (piece, values.last_mut()) {
            (Piece::Literal(text), _) if text.contains('\n') => return Err((at, Unsure::Lines)),
            (Piece::Literal(text), None) => prefix = text.as_bytes().into(),
            (Piece::Literal(text), Some(value)) => value.then = text.as_bytes().into(),
            (Piece::Variable(name), last) => {
                if let Some(former) = last.filter(|value| value.then.is_empty()).map(|it| it.number)
                {
                    let former = self::name(&pieces[places[former]]);
                    return Err((at, Unsure::Adjacent(former, name.clone())));
                }
                if escape == Escape::None && is_decoded(name) {
                    return Err((at, Unsure::Forged(name.clone())));
                }
                let (number, kind) = (values.len(), Kind::of(name));
                values.push(Value { number, kind, then: Box::default() });
                places.push(at);
            }
        }
    }
    Ok((prefix, values, places))
}

/// Whether nginx decodes escapes for it, by which a line end comes in.
fn is_decoded(name: &str) -> bool {
    matches!(
        name,
        "uri"
            | "document_uri"
            | "request_filename"
            | "fastcgi_script_name"
            | "fastcgi_path_info"
            | "request_body"
    )
}

/// How the end of a value is found for sure, if it is.
fn end(escape: Escape, value: &Value, next: Option<&Value>) -> Option<End> {
    let Some(&first) = value.then.first() else { return Some(End::Line) };
    if let Some(width) = value.kind.width() {
        return Some(End::Width(width));
    }
    let kind = value.kind;
    let is_run = match kind {
        Kind::Tries(each) => return is_end_of_list(each, &value.then, next).then_some(End::List),
        Kind::Address | Kind::Number(_) | Kind::Decimal(_) | Kind::Msec | Kind::TimeIso8601 => true,
        Kind::Status | Kind::TimeLocal | Kind::Method | Kind::Word | Kind::Token | Kind::Text => {
            false
        }
    };
    if is_run && !kind.can_hold(first, escape) {
        return Some(End::Run);
    }
    mark(escape, &value.then, |byte| kind.can_hold(byte, escape))
        .map(End::At)
        .or_else(|| next.is_none().then_some(End::Line))
}

/// The first byte of a literal that the values before it cannot hold.
fn mark(escape: Escape, literal: &[u8], can_hold: impl Fn(u8) -> bool) -> Option<Mark> {
    let at = literal.iter().position(|&byte| !can_hold(byte))?;
    let byte = literal[at];
    let is_escaped = byte == b'"' && escape != Escape::None;
    // A backslash of the format's own before its quote would make an end look like a part of the value.
    (!is_escaped || !literal[..at].contains(&b'\\')).then_some(Mark { byte, at, is_escaped })
}

/// Whether a list cannot go on with this literal and what stands behind it.
fn is_end_of_list(each: Each, literal: &[u8], next: Option<&Value>) -> bool {
    let may_begin = |byte: u8| each.can_hold(byte);
    match *literal {
        [first, ..] if may_begin(first) => false,
        [b',', b' ', third, ..] | [b' ', b':', b' ', third, ..] => !may_begin(third),
        [b',', second, ..] => second != b' ',
        [b' ', b':', third, ..] => third != b' ',
        [b' ', second, ..] => second != b':',
        // What follows begins with `: ` in no value but a text.
        [b' '] => !next.is_some_and(|next| matches!(next.kind, Kind::Text | Kind::Token)),
        [b','] => false,
        [_, ..] => true,
        [] => false,
    }
}

/// The values that are read together, of which the first is not sure of its end.
fn span(escape: Escape, values: &[Value]) -> Option<Span> {
    let ending = (0..values.len()).find_map(|last| {
        let before = &values[..last];
        // A backslash of the format's own at a literal's end would make a quote behind it look escaped.
        if before.iter().any(|value| value.then.ends_with(b"\\")) {
            return None;
        }
        let can_hold = |byte: u8| {
            values[..=last].iter().any(|value| value.kind.can_hold(byte, escape))
                || before.iter().any(|value| value.then.contains(&byte))
        };
        Some((last, mark(escape, &values[last].then, can_hold)?))
    });
    let (last, end) = match ending {
        Some((last, mark)) => (last, Some(mark)),
        None => (values.len() - 1, None),
    };
    let behind = (1..=last).rev().map(|at| {
        let value = &values[at];
        let before = &*values[at - 1].then;
        Some((value.clone(), begin(escape, value.kind, before)?))
    });
    Some(Span { first: values[0].clone(), behind: behind.collect::<Option<_>>()?, end })
}

/// How the beginning of a value behind this literal is found from its end, if it can be.
fn begin(escape: Escape, kind: Kind, before: &[u8]) -> Option<Begin> {
    if let Some(width) = kind.width() {
        return Some(Begin::Width(width));
    }
    let at = before.iter().rposition(|&byte| !kind.can_hold(byte, escape))?;
    Some(Begin::Behind(Mark { byte: before[at], at, is_escaped: false }))
}

/// The text of a format that says the same and can be read back; `None` where nothing was found.
pub(crate) fn corrected(escape: Escape, pieces: &[Piece]) -> Option<String> {
    let (mut escape, mut pieces) = (escape, pieces.to_vec());
    // Each turn mends one value, or the escape.
    for _ in 0..=2 * pieces.len() + 1 {
        let Err((at, why)) = find(escape, &pieces) else {
            return Some(text(escape, &pieces));
        };
        match why {
            Unsure::Lines => {
                if let Piece::Literal(text) = &mut pieces[at] {
                    *text = text.replace(['\n', '\r'], " ");
                }
            }
            Unsure::Forged(_) => escape = Escape::Default,
            Unsure::Ends(..) if escape == Escape::None => escape = Escape::Default,
            Unsure::Adjacent(_, second) => {
                let between = match (is_quoted(&pieces[..at]), escape) {
                    (true, Escape::Json) => format!("\",\"{second}\":\""),
                    (true, _) => "\" \"".to_owned(),
                    (false, _) => " ".to_owned(),
                };
                pieces.insert(at, Piece::Literal(between));
            }
            Unsure::Ends(..) => quote(escape, &mut pieces, at)?,
        }
    }
    None
}

/// Whether what follows these pieces stands in quotes.
fn is_quoted(pieces: &[Piece]) -> bool {
    let quotes = pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => text.matches('"').count(),
        Piece::Variable(_) => 0,
    });
    quotes.sum::<usize>() % 2 == 1
}

/// Puts the variable at this place between quotes; where it stands in some with others, into its own.
fn quote(escape: Escape, pieces: &mut Vec<Piece>, at: usize) -> Option<()> {
    let literal = |text: &str| Piece::Literal(text.to_owned());
    if !is_quoted(&pieces[..at]) {
        pieces.insert(at + 1, literal("\""));
        pieces.insert(at, literal("\""));
        join(pieces);
        return Some(());
    }
    let name = match pieces.get(at + 2) {
        Some(Piece::Variable(name)) => name.clone(),
        _ => return None,
    };
    let Some(Piece::Literal(text)) = pieces.get_mut(at + 1) else { return None };
    *text = match escape {
        Escape::Json => format!("\",\"{name}\":\""),
        Escape::Default | Escape::None if text.contains('"') => return None,
        Escape::Default | Escape::None => format!("\"{text}\""),
    };
    Some(())
}

/// Makes one literal of two that follow one another.
fn join(pieces: &mut Vec<Piece>) {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces.drain(..) {
        match (joined.last_mut(), piece) {
            (Some(Piece::Literal(before)), Piece::Literal(text)) => before.push_str(&text),
            (_, piece) => joined.push(piece),
        }
    }
    *pieces = joined;
}

/// The pieces as they are written in nginx's language.
pub(crate) fn text(escape: Escape, pieces: &[Piece]) -> String {
    let mut text = match Escape::WORDS.iter().find(|(_, known)| *known == escape) {
        Some((word, _)) if escape != Escape::default() => format!("escape={word} "),
        _ => String::new(),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (at, piece) in pieces.iter().enumerate() {
        match (piece, pieces.get(at + 1)) {
            (Piece::Literal(literal), _) => text += literal,
            (Piece::Variable(name), Some(Piece::Literal(next))) if next.starts_with(is_name) => {
                text += &format!("${{{name}}}");
            }
            (Piece::Variable(name), _) => text += &format!("${name}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::format::{Format, PREDEFINED};

    fn of(format: &str) -> Result<Reading, Unsure> {
        let (escape, pieces) = Format::pieces_of(&[format]).unwrap();
        reading(escape, &pieces)
    }

    #[test]
    fn every_predefined_format_can_be_read_back() {
        for (name, format) in PREDEFINED {
            assert!(of(format).is_ok(), "{name}: {:?}", of(format));
        }
    }

    #[test]
    fn what_nobody_can_read_back_is_mended() {
        for (format, why, mend) in [
            (
                "$time_local $status$body_bytes_sent",
                "between $status and $body_bytes_sent stands nothing",
                "$time_local $status $body_bytes_sent",
            ),
            (
                "$http_x_forwarded_for $http_user_agent [$time_local] $status",
                "$http_x_forwarded_for can hold what stands behind it (\" \")",
                "\"$http_x_forwarded_for\" $http_user_agent [$time_local] $status",
            ),
            (
                "[$time_local] $status \"$http_referer $http_user_agent\" $host",
                "$http_referer can hold",
                "[$time_local] $status \"$http_referer\" \"$http_user_agent\" $host",
            ),
            (
                "$remote_addr-$remote_user-$peer-[$time_local] $status",
                "$remote_addr can hold what stands behind it (\"-\")",
                "\"$remote_addr\"-\"$remote_user\"-$peer-[$time_local] $status",
            ),
            (
                "escape=json {\"a\":\"$uri$args\",\"b\":$http_x,\"s\":$status}",
                "between $uri and $args",
                "escape=json {\"a\":\"$uri\",\"args\":\"$args\",\"b\":$http_x,\"s\":$status}",
            ),
            (
                "escape=none [$time_local] \"$request\" $status \"$http_user_agent\"",
                "$request can hold what stands behind it",
                "[$time_local] \"$request\" $status \"$http_user_agent\"",
            ),
            ("escape=none $status $uri", "$uri can hold a line end", "$status $uri"),
            ("{ $status\n$host }", "a line end", "{ $status $host }"),
            (
                "$status $upstream_response_time, $upstream_addr",
                "$upstream_response_time can hold",
                "$status \"$upstream_response_time\", $upstream_addr",
            ),
        ] {
            let error = of(format).unwrap_err();
            assert!(error.to_string().contains(why), "{format}: {error}");
            let (escape, pieces) = Format::pieces_of(&[format]).unwrap();
            let text = corrected(escape, &pieces).unwrap();
            assert_eq!(text, mend, "{format}");
            assert!(of(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_value_without_quotes_is_read_from_both_sides() {
        for format in [
            "$http_x_forwarded_for $remote_addr [$time_local] \"$request\" $status",
            "$remote_addr $request_method $request_uri $status $body_bytes_sent",
            "$remote_addr - $remote_user [$time_local] $status",
            "$status $rule $request_time",
            "escape=none $remote_addr [$time_local] $status \"$request\"",
            "$remote_addr\t$http_x\t$http_y\t$status",
        ] {
            assert!(of(format).is_ok(), "{format}: {:?}", of(format));
        }
    }
}
