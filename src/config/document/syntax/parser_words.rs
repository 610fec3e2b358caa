//! What the parser says of a line that nothing could be made of, in words for whoever typed it.

use std::ops::Range;

/// A fault as it is told.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config::document) struct Told {
    pub(in crate::config::document) message: String,
    /// What is allowed there.
    pub(in crate::config::document) label: String,
    /// What to do.
    pub(in crate::config::document) help: Option<String>,
}

/// What `said`, the parser's message, means for `span` of `text`.
pub(in crate::config::document) fn plain(said: &str, text: &str, span: &Range<usize>) -> Told {
    let (what, expected) = said.split_once(", ").unwrap_or((said, ""));
    let begin = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[begin..].lines().next().unwrap_or_default().trim();
    let behind = text.get(span.start..).unwrap_or_default().trim_start();
    let told = |message: &str, label: &str, help: Option<String>| Told {
        message: format!("not valid TOML: {message}"),
        label: label.to_owned(),
        help,
    };
    let help = |text: &str| Some(text.to_owned());
    if let Some((mark, advice)) = OTHER_COMMENTS.iter().find(|(mark, _)| line.starts_with(mark)) {
        return told(&format!("`{mark}` begins no comment here"), FORM, help(advice));
    }
    match what {
        "duplicate key" => {
            let first = first_of(text, begin, line);
            let help = match first {
                Some(first) => format!("line {first} has it already: keep one of the two"),
                None => "it is there already: keep one of the two".to_owned(),
            };
            told(&format!("`{}` is there twice", name(line)), "a second time", Some(help))
        }
        "unexpected key or value" if behind.starts_with([']', '}', ')']) => told(
            "there is a closing bracket too many",
            "allowed: the end of the line",
            help("remove it"),
        ),
        "unexpected key or value" => told(
            "something stands behind the value, or behind the heading",
            "allowed: the end of the line, or a comment behind #",
            help("write each setting on a line of its own"),
        ),
        "invalid unquoted key" | "invalid key-value pair" | "invalid value"
            if line.starts_with('<') =>
        {
            told("this is no setting", FORM, help("remove it: headings here are [section]"))
        }
        "invalid unquoted key" | "invalid key-value pair" => told("this is no setting", FORM, None),
        "key with no value" => {
            let advice = "write `=` and a value behind it, or remove the line";
            told(&format!("`{}` has no value", name(line)), FORM, help(advice))
        }
        "unquoted keys cannot be empty" => {
            told("a name is missing in front of `=`, or between the brackets", FORM, None)
        }
        "carriage return must be followed by newline" => told(
            "lines end with a carriage return alone",
            "allowed: a line feed, or a carriage return and a line feed",
            help("save it with line feeds: tr '\\r' '\\n' <OLD >NEW"),
        ),
        "missing assignment between key-value pairs" => told(
            "there is no `=` between a key and its value",
            "allowed: { key = value, key = value }",
            help("write `=` between them"),
        ),
        "extra comma in inline table" => told(
            "there is a comma too many",
            "allowed: { key = value, key = value }",
            help("remove it; numbers have no commas, either"),
        ),
        what if DATES.iter().any(|word| what.contains(word)) => told(
            "this is no date and time as TOML has them",
            "allowed: such as 2026-11-01T00:00:00Z or 2026-11-01T00:00:00+01:00",
            help(
                "write a day that there is, T, a time up to 23:59:59, and Z or the offset with its colon, without blanks",
            ),
        ),
        what => told(what, expected, None),
    }
}

/// The word that a line is about: its section, or its key.
fn name(line: &str) -> &str {
    let heading = line.strip_prefix('[').map(|rest| rest.trim_start_matches('['));
    match heading {
        Some(rest) => rest.split(']').next().unwrap_or(rest).trim(),
        None => line.split(['=', ' ', '\t']).next().unwrap_or(line).trim_matches(['"', '\'']),
    }
}

/// The number of the line before `begin` that has the same heading, or in the same section the same key.
fn first_of(text: &str, begin: usize, line: &str) -> Option<usize> {
    let before: Vec<&str> = text[..begin].lines().map(str::trim).collect();
    let is_heading = |line: &str| line.starts_with('[');
    let from = if is_heading(line) {
        0
    } else {
        before.iter().rposition(|line| is_heading(line)).map_or(0, |at| at + 1)
    };
    let same = |other: &&str| {
        is_heading(other) == is_heading(line)
            && !other.starts_with('#')
            && name(other) == name(line)
    };
    before.iter().skip(from).position(same).map(|at| from + at + 1)
}

/// What a line may be.
const FORM: &str = "allowed: key = value, [section], or a comment behind #";

/// What other files begin comments with, and what to do.
const OTHER_COMMENTS: [(&str, &str); 6] = [
    ("//", "write # for it"),
    ("/*", "write # in front of each line of it"),
    ("*/", "remove it"),
    (";", "write # for it"),
    ("--", "write # for it, or remove it"),
    ("<!--", "write # in front of each line of it"),
];

/// What the parser calls parts of dates.
const DATES: [&str; 4] = ["date", "time", "offset", "month"];

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    fn told(text: &str) -> Told {
        let (_, errors) = DeTable::parse_recoverable(text);
        let error = errors.first().unwrap_or_else(|| panic!("{text}"));
        plain(error.message(), text, &error.span().unwrap_or(text.len()..text.len()))
    }

    #[test]
    fn what_the_parser_says_is_told_in_words() {
        for (text, message, help) in [
            ("a = 1\nb = 2\na = 3\n", "`a` is there twice", "line 1 has it already"),
            ("[x]\na = 1\n[y]\na = 1\n[x]\n", "`x` is there twice", "line 1 has it already"),
            ("[x]\na = 1\n[[x]]\n", "`x` is there twice", "line 1 has it already"),
            ("a = [\"b\"]]\n", "a closing bracket too many", "remove it"),
            ("a = { b = 1 }}\n", "a closing bracket too many", "remove it"),
            ("a = 1 b = 2\n", "something stands behind the value", "a line of its own"),
            ("[[x]] a = 1\n", "behind the heading", "a line of its own"),
            ("// words\n", "`//` begins no comment here", "write # for it"),
            ("; words\n", "`;` begins no comment here", "write # for it"),
            ("/* words */\n", "`/*` begins no comment here", "write # in front of each line"),
            ("hosts\n", "`hosts` has no value", "write `=`"),
            ("a = 1\rb = 2\r", "carriage return alone", "tr '\\r' '\\n'"),
            ("a = 2026-02-30T00:00:00Z\n", "no date and time", "a day that there is"),
            ("a = 2026-12-31T00:00:00+0100\n", "no date and time", "the offset with its colon"),
            ("= 1\n", "a name is missing", ""),
        ] {
            let told = told(text);
            assert!(told.message.contains(message), "{text}: {told:?}");
            assert!(told.help.as_deref().unwrap_or_default().contains(help), "{text}: {told:?}");
        }
    }
}
