//! Values as people type them.

use std::net::Ipv6Addr;

use super::scanner::{Lost, Scanner, first, is_toml};
use super::{Fault, is_typographic_quote};
use crate::config::document::diagnostic::shown;
use crate::config::document::literal::string;
use crate::config::document::meant::{self, Kind};

/// What a value stands in, and so what ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// A line of its own.
    Line,
    /// A list.
    List,
    /// A table in braces.
    Table,
}

impl Within {
    fn is_end(self, c: char) -> bool {
        match self {
            Self::Line => c == '\n',
            Self::List => matches!(c, '\n' | ',' | ';' | ']' | ')'),
            Self::Table => matches!(c, '\n' | ',' | ';' | '}'),
        }
    }
}

impl Scanner<'_> {
    /// The value of a key that has a line of its own.
    pub(super) fn top_value(&mut self) -> Result<(), Lost> {
        let (start, written) = (self.at, self.out.len());
        let is_list = meant::kind(&self.key) == Some(Kind::List);
        if !is_list || matches!(self.peek(), Some('[' | '(' | '{')) {
            return self.value(Within::Line);
        }
        // Entries without the list's brackets: commas or blanks stand between them.
        while !matches!(self.peek(), None | Some('\n' | '#' | ';')) {
            self.value(Within::List)?;
            self.blanks();
            if self.peek() == Some(',') {
                self.copy(1);
                self.blanks();
            } else if !matches!(self.peek(), None | Some('\n' | '#' | ';')) {
                self.insert_comma();
            }
        }
        let entries = self.out.split_off(written);
        let behind = entries.len() - entries.trim_end_matches([' ', '\t', '\r', ',']).len();
        let (entries, blanks) = entries.split_at(entries.len() - behind);
        self.out.push_str(&format!("[{entries}]{}", blanks.replace(',', "")));
        let end = start + self.text[start..self.at].trim_end().len();
        self.fault(Fault {
            span: start..end,
            message: format!("{} is no list", self.text[start..end].trim()),
            label: "allowed: a list of strings, in brackets",
            advice: "write brackets around the list, and quotes around each entry",
        });
        Ok(())
    }

    fn value(&mut self, within: Within) -> Result<(), Lost> {
        match self.peek() {
            Some('[') if within == Within::Line && self.is_address_in_brackets() => {
                self.bare(within)
            }
            Some('[' | '(') => self.list(),
            Some('{') => self.table(),
            Some('"' | '\'') => self.quoted(within),
            Some(c) if is_typographic_quote(c) => self.typographic(c, within),
            None | Some('\n' | '#') => Err(Lost),
            Some(_) => self.bare(within),
        }
    }

    /// Whether a value such as `[::]:9580` begins here, for a key that takes no list.
    fn is_address_in_brackets(&self) -> bool {
        let line = self.rest().split('\n').next().unwrap_or_default();
        let inner = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok() || text == "*";
        meant::kind(&self.key) != Some(Kind::List)
            && inner.is_some_and(|(address, behind)| is_address(address) && behind.starts_with(':'))
    }

    fn list(&mut self) -> Result<(), Lost> {
        self.bracket('(', "[");
        let mut needs_comma = false;
        loop {
            self.blanks();
            match self.peek() {
                Some(']') => {
                    self.copy(1);
                    return Ok(());
                }
                Some(')' | '}') => {
                    self.bracket_close("]");
                    return Ok(());
                }
                None => return self.unclosed("]", "the list is not closed"),
                Some('\n' | '#') if self.ends_before_next_line() => {
                    return self.unclosed("]", "the list is not closed");
                }
                Some('\n') => self.copy(1),
                Some('#') => self.skip_line(),
                Some('/') if self.rest().starts_with("//") => {
                    let message = "`//` begins no comment here".to_owned();
                    let label = "allowed: a comment behind #";
                    let span = self.at..self.at + 2;
                    self.fault(Fault { span, message, label, advice: "write # for it" });
                    let closes_here = self.ends_before_next_line();
                    if closes_here {
                        self.unclosed("]", "the list is not closed")?;
                        self.out.push(' ');
                    }
                    self.replace(2, "#");
                    if closes_here {
                        let comment = self.rest().split('\n').next().unwrap_or_default();
                        self.copy(comment.len());
                        return Ok(());
                    }
                    self.skip_line();
                }
                Some(',') if needs_comma => {
                    self.copy(1);
                    needs_comma = false;
                }
                Some(mark @ (',' | ';')) => {
                    self.not_a_comma(mark, needs_comma);
                    needs_comma = false;
                }
                Some(_) => {
                    if needs_comma {
                        self.insert_comma();
                    }
                    self.value(Within::List)?;
                    needs_comma = true;
                }
            }
        }
    }

    fn table(&mut self) -> Result<(), Lost> {
        self.copy(1);
        let key = self.key.clone();
        let mut needs_comma = false;
        loop {
            self.blanks();
            match self.peek() {
                Some('}') => {
                    self.copy(1);
                    break;
                }
                Some(']' | ')') => {
                    self.bracket_close("}");
                    break;
                }
                None | Some('\n' | '#') => {
                    self.key.clone_from(&key);
                    return self.unclosed("}", "the table is not closed");
                }
                Some(',') if needs_comma => {
                    self.copy(1);
                    needs_comma = false;
                }
                Some(mark @ (',' | ';')) => {
                    self.not_a_comma(mark, needs_comma);
                    needs_comma = false;
                }
                Some(_) => {
                    if needs_comma {
                        self.insert_comma();
                    }
                    self.key()?;
                    self.key = format!("{key}.{}", self.key);
                    self.separator(true)?;
                    self.value(Within::Table)?;
                    needs_comma = true;
                }
            }
        }
        self.key = key;
        Ok(())
    }

    /// A string in TOML's own quotes, or one that only begins with one.
    fn quoted(&mut self, within: Within) -> Result<(), Lost> {
        let rest = self.rest();
        for quotes in ["\"\"\"", "'''"] {
            if let Some(inner) = rest.strip_prefix(quotes) {
                let length = inner.find(quotes).ok_or(Lost)? + 2 * quotes.len();
                self.copy(length);
                return Ok(());
            }
        }
        let quote = self.peek().ok_or(Lost)?;
        let line = rest.split('\n').next().unwrap_or_default();
        let Some(end) = closing(line, quote) else { return self.unclosed_string(quote, within) };
        let (written, inner) = (&line[..=end], &line[1..end]);
        if within == Within::Line && self.quotes_inside(line, quote) {
            return Ok(());
        }
        if is_toml(&format!("x = {written}")) {
            self.copy(written.len());
            return Ok(());
        }
        if !inner.contains('\\') {
            return Err(Lost);
        }
        self.fault(Fault {
            span: self.at..self.at + written.len(),
            message: format!("a backslash in {written} begins no escape"),
            label: "allowed: \\\\ for a backslash, or single quotes",
            advice: "write single quotes around it, in which a backslash is itself",
        });
        self.replace(written.len(), &string(inner));
        Ok(())
    }

    /// Takes a string that holds its own kind of quote, `'it's late'`, and says whether it was one.
    fn quotes_inside(&mut self, line: &str, quote: char) -> bool {
        let whole = line.trim_end();
        let Some(inner) = whole[1..].strip_suffix(quote) else { return false };
        if !inner.contains(quote) || inner.contains(['\\', '#', ',']) {
            return false;
        }
        self.fault(Fault {
            span: self.at..self.at + whole.len(),
            message: format!("the string {whole} holds the quotes that it stands in"),
            label: "allowed: the other quotes around it, \" for ' and ' for \"",
            advice: "write the other quotes around it",
        });
        self.replace(whole.len(), &string(inner));
        true
    }

    /// A string that has no closing quote of its kind in its line.
    fn unclosed_string(&mut self, quote: char, within: Within) -> Result<(), Lost> {
        let line = self.rest().split('\n').next().unwrap_or_default();
        let inner = &line[1..];
        let other = |c: char| c != quote && (matches!(c, '"' | '\'') || is_typographic_quote(c));
        if let Some((end, c)) = inner.char_indices().find(|(_, c)| other(*c)) {
            let at = self.at + 1 + end;
            self.fault(quote_fault(c, at));
            self.replace(1 + end + c.len_utf8(), &string(&inner[..end]));
            return Ok(());
        }
        let end = inner.find(|c| within.is_end(c) || (c == '#' && within == Within::Line));
        let content = inner[..end.unwrap_or(inner.len())].trim_end();
        self.fault(Fault {
            span: self.at..self.at + 1 + content.len(),
            message: format!("the string {quote}{content} is not closed"),
            label: "allowed: a string with a quote before and behind it",
            advice: "write the closing quote",
        });
        self.replace(1 + content.len(), &string(content));
        Ok(())
    }

    /// A string that begins with another quote than TOML's.
    fn typographic(&mut self, quote: char, within: Within) -> Result<(), Lost> {
        let line = self.rest().split('\n').next().unwrap_or_default();
        let inner = &line[quote.len_utf8()..];
        let is_quote = |c: char| matches!(c, '"' | '\'') || is_typographic_quote(c);
        let (content, length) = match inner.char_indices().find(|(_, c)| is_quote(*c)) {
            Some((end, c)) => (&inner[..end], quote.len_utf8() + end + c.len_utf8()),
            None => {
                let end = inner.find(|c| within.is_end(c)).unwrap_or(inner.len());
                let content = inner[..end].trim_end();
                (content, quote.len_utf8() + content.len())
            }
        };
        self.fault(quote_fault(quote, self.at));
        self.replace(length, &string(content));
        Ok(())
    }

    /// A value without quotes: a number, `true`, a date, or what has to be a string.
    fn bare(&mut self, within: Within) -> Result<(), Lost> {
        let rest = self.rest();
        let line = rest.split('\n').next().unwrap_or_default();
        let is_end = |(at, c): (usize, char)| {
            let blank = matches!(c, ' ' | '\t');
            let is_comment = c == '#' && line[..at].ends_with([' ', '\t']);
            within.is_end(c) || is_comment || (blank && within != Within::Line)
        };
        let end = line.char_indices().find(|it| is_end(*it)).map_or(line.len(), |(at, _)| at);
        let mut word = line[..end].trim_end();
        if within == Within::Line {
            word = word.trim_end_matches([';', ',']).trim_end();
            word = word.split(" //").next().unwrap_or_default();
        }
        if word.is_empty() {
            return Err(Lost);
        }
        if is_toml(&format!("x = {word}")) {
            self.copy(word.len());
            return Ok(());
        }
        let meant = meant::value(&self.key, word);
        if meant.is_none() && matches!(meant::kind(&self.key), Some(Kind::From | Kind::Until)) {
            return self.date(word);
        }
        if meant.is_none()
            && let Some((label, advice)) = meant::kind(&self.key).and_then(meant::form)
        {
            // It stays as it is, since what was meant is not certain.
            let span = self.at..self.at + word.len();
            self.fault(Fault {
                span,
                message: format!("{} is no value", shown(word)),
                label,
                advice,
            });
            self.copy(word.len());
            return Ok(());
        }
        let stray = |c: char| matches!(c, '"' | '\'') || is_typographic_quote(c);
        let fault = match &meant {
            Some(meant) => Fault {
                span: self.at..self.at + word.len(),
                message: format!("{} is no value", shown(word)),
                label: meant.label,
                advice: meant.advice,
            },
            None if word.contains(stray) => Fault {
                span: self.at..self.at + word.len(),
                message: format!("the quotes around {word} do not match"),
                label: "allowed: a string with a quote before and behind it",
                advice: "write a quote before and behind the value",
            },
            None => Fault {
                span: self.at..self.at + word.len(),
                message: format!("{word} stands without quotes"),
                label: "allowed: a string in quotes, a number, true, false, or a date",
                advice: "write quotes around it",
            },
        };
        let written = meant.map_or_else(|| string(word.trim_matches(stray)), |meant| meant.written);
        self.fault(fault);
        self.replace(word.len(), &written);
        Ok(())
    }

    /// What is no date, for a key that takes one. It stays as it is, since what was meant is not certain.
    fn date(&mut self, word: &str) -> Result<(), Lost> {
        let is_year = |text: &str| text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
        if word.split_once('-').is_some_and(|(year, _)| is_year(year)) {
            // The parser knows what is wrong with it.
            return Err(Lost);
        }
        self.fault(Fault {
            span: self.at..self.at + word.len(),
            message: format!("{word} is no date"),
            label: "allowed: a date, a time and an offset, such as 2026-11-01T00:00:00Z",
            advice: if meant::kind(&self.key) == Some(Kind::Until) {
                "write a date, a time and an offset, without quotes; for no end leave `valid_until` out"
            } else {
                "write a date, a time and an offset, without quotes; for no beginning leave `valid_from` out"
            },
        });
        self.copy(word.len());
        Ok(())
    }

    fn bracket(&mut self, odd: char, written: &str) {
        if self.peek() == Some(odd) {
            self.fault(Fault {
                span: self.at..self.at + 1,
                message: format!("`{odd}` begins no list"),
                label: "allowed: a list in brackets, [ and ]",
                advice: "write brackets around the list",
            });
            self.replace(1, written);
        } else {
            self.copy(1);
        }
    }

    fn bracket_close(&mut self, written: &'static str) {
        let length = first(self.rest());
        self.fault(Fault {
            span: self.at..self.at + length,
            message: format!("`{}` closes what it did not open", &self.rest()[..length]),
            label: if written == "]" { "allowed: ]" } else { "allowed: }" },
            advice: "write the closing bracket that matches the opening one",
        });
        self.replace(length, written);
    }

    /// A comma that is one too many, or a semicolon.
    fn not_a_comma(&mut self, mark: char, is_separator: bool) {
        self.fault(Fault {
            span: self.at..self.at + 1,
            message: if is_separator {
                format!("`{mark}` stands between two values")
            } else {
                format!("`{mark}` has no value before it")
            },
            label: "allowed: one comma between two values",
            advice: "write one comma between two values",
        });
        self.replace(1, if is_separator { "," } else { "" });
    }

    fn insert_comma(&mut self) {
        let message = "there is no comma between two values".to_owned();
        let (label, advice) =
            ("allowed: one comma between two values", "write a comma behind the value before it");
        let span = self.at..self.at + first(self.rest());
        self.fault(Fault { span, message, label, advice });
        // Behind the value before, whatever stands between: on its own line, so that no comment hides it.
        let kept = self.out.trim_end_matches([' ', '\t', '\r', '\n']).len();
        let blanks = self.out.split_off(kept);
        self.out.push(',');
        self.out.push_str(if blanks.is_empty() { " " } else { &blanks });
    }

    fn unclosed(&mut self, bracket: &str, message: &str) -> Result<(), Lost> {
        let kept = self.out.trim_end_matches([' ', '\t', '\r', '\n', ',']).len();
        let behind = self.out.split_off(kept);
        let before = self.text[..self.at].trim_end();
        let start = before.len() - before.chars().next_back().map_or(0, char::len_utf8);
        self.fault(Fault {
            span: start..before.len(),
            message: message.to_owned(),
            label: if bracket == "]" {
                "allowed: ] behind the last entry"
            } else {
                "allowed: } behind the last value"
            },
            advice: "write the closing bracket",
        });
        if bracket == "}" {
            self.out.push(' ');
        }
        self.out.push_str(bracket);
        self.out.push_str(&behind.replace(',', ""));
        Ok(())
    }

    /// Whether what follows this line is another statement, and no entry of a list.
    fn ends_before_next_line(&self) -> bool {
        let mut lines = self.rest().lines().skip(1).map(str::trim);
        let Some(line) = lines.find(|line| !line.is_empty() && !line.starts_with('#')) else {
            return true;
        };
        if let Some(header) = line.strip_prefix('[') {
            return header.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
        }
        let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let behind = line.trim_start_matches(is_key);
        behind.len() < line.len() && behind.trim_start().starts_with('=')
    }

    fn replace(&mut self, length: usize, written: &str) {
        self.at += length;
        self.out.push_str(written);
    }
}

/// Where the string that begins at the line's first byte is closed.
fn closing(line: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in line.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn quote_fault(quote: char, at: usize) -> Fault {
    let message = match quote {
        '"' | '\'' => format!("{quote} does not close what another quote opened"),
        _ => format!("{quote} (U+{:04X}) is a typographic quote", u32::from(quote)),
    };
    Fault {
        span: at..at + quote.len_utf8(),
        message,
        label: "allowed: the straight quotes \" and '",
        advice: "write straight quotes; word processors and chat programs bend them",
    }
}
