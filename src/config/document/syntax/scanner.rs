//! The way through a document, statement by statement.

use toml::de::DeTable;

use super::{Fault, Repaired, blank_name, directive, is_odd_blank};

/// A reading that goes through the text once and writes the mended text beside it.
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) out: String,
    pub(super) faults: Vec<Fault>,
    /// The section that the next key belongs to, with a dot behind it.
    section: String,
    /// The key that is being read, without its section.
    pub(super) key: String,
}

/// That a statement cannot be made sense of; the parser's own words are left to say so.
pub(super) struct Lost;

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let (out, section, key) = Default::default();
        Self { text, at: 0, out, faults: Vec::new(), section, key }
    }

    pub(super) fn run(mut self) -> Repaired {
        while !self.rest().is_empty() {
            let (start, written, faults) = (self.at, self.out.len(), self.faults.len());
            let outcome = self.statement();
            if outcome.is_err() {
                self.skip_line();
            }
            let source = &self.text[start..self.at];
            // What the parser takes is not looked at twice.
            if outcome.is_err() || is_toml(source) {
                self.out.truncate(written);
                self.out.push_str(source);
                self.faults.truncate(faults);
            }
        }
        let mut faults = self.faults;
        let line = |fault: &Fault| {
            memchr::memchr_iter(b'\n', &self.text.as_bytes()[..fault.span.start]).count()
        };
        faults.sort_by_key(|fault| fault.span.start);
        faults.dedup_by_key(|fault| line(fault));
        Repaired { text: self.out, faults }
    }

    /// One line with nothing but blanks and a comment, a section's header, or a key with its value, which may take
    /// several lines.
    fn statement(&mut self) -> Result<(), Lost> {
        self.key.clear();
        self.blanks();
        let line = self.rest().split('\n').next().unwrap_or_default();
        if let Some(advice) = directive::instead(line) {
            self.fault(Fault {
                span: self.at..self.at + line.trim_end().len(),
                message: "this is a line of another program's configuration".to_owned(),
                label: "allowed: key = value, [section], or a comment behind #",
                advice,
            });
            self.out.push('#');
            self.skip_line();
            return Ok(());
        }
        match self.peek() {
            None => return Ok(()),
            Some('[') => self.header()?,
            Some('#' | '\n') => {}
            Some(_) => {
                self.key()?;
                self.separator(false)?;
                self.top_value()?;
            }
        }
        self.end_of_line()
    }

    fn header(&mut self) -> Result<(), Lost> {
        let start = self.at;
        let opening = self.rest().len() - self.rest().trim_start_matches('[').len();
        let line = self.rest().split(['\n', '#']).next().unwrap_or_default().trim_end();
        let inner = line[opening..].trim_end_matches(']');
        let closing = line.len() - opening - inner.len();
        let name = inner.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(is_name) || opening > 2 {
            return Err(Lost);
        }
        self.section = format!("{name}.");
        if opening == closing {
            self.copy(line.len());
            return Ok(());
        }
        let brackets = opening.max(closing.min(2));
        self.fault(Fault {
            span: start..start + line.len(),
            message: format!("the brackets of {line} do not match"),
            label: "allowed: [section], or [[section]] where there may be several",
            advice: "write as many closing brackets as opening ones",
        });
        self.out.push_str(&format!("{}{name}{}", "[".repeat(brackets), "]".repeat(brackets)));
        self.at += line.len();
        Ok(())
    }

    /// A key of letters, digits, `_`, `-` and dots, or one in quotes.
    pub(super) fn key(&mut self) -> Result<(), Lost> {
        let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let rest = self.rest();
        let length = match rest.strip_prefix(['"', '\'']) {
            Some(quoted) => quoted.find(['"', '\'', '\n']).ok_or(Lost)? + 2,
            None => rest.find(|c| !is_key(c)).unwrap_or(rest.len()),
        };
        let written = rest.get(..length).filter(|key| !key.is_empty()).ok_or(Lost)?;
        self.key = written.trim_matches(['"', '\'']).to_owned();
        self.copy(length);
        Ok(())
    }

    /// What stands between a key and its value: `=`, or what was typed for it.
    pub(super) fn separator(&mut self, in_table: bool) -> Result<(), Lost> {
        self.blanks();
        let rest = self.rest();
        if rest.starts_with('=') && !rest.starts_with("==") && !rest.starts_with("=>") {
            self.copy(1);
            self.blanks();
            return Ok(());
        }
        let label = "allowed: key = value";
        let advice = "write `=` between the key and its value";
        for typed in [":=", "==", "=>", ":", "->", "\u{ff1d}", "\u{ff1a}"] {
            if rest.starts_with(typed) {
                let message = format!("`{typed}` stands between the key and its value");
                self.fault(Fault { span: self.at..self.at + typed.len(), message, label, advice });
                self.at += typed.len();
                self.out.push_str(if self.out.ends_with([' ', '\t']) { "=" } else { " =" });
                if !self.rest().starts_with([' ', '\t']) {
                    self.out.push(' ');
                }
                self.blanks();
                return Ok(());
            }
        }
        if in_table || rest.is_empty() || rest.starts_with(['\n', '#']) {
            return Err(Lost);
        }
        let message = "there is no `=` between the key and its value".to_owned();
        self.fault(Fault { span: self.at..self.at + first(rest), message, label, advice });
        self.out.push_str("= ");
        Ok(())
    }

    /// What may stand behind a value, and what is typed there out of habit.
    fn end_of_line(&mut self) -> Result<(), Lost> {
        self.blanks();
        let rest = self.rest();
        if let Some(mark @ (';' | ',')) = self.peek() {
            self.fault(Fault {
                span: self.at..self.at + 1,
                message: format!("`{mark}` stands behind the value"),
                label: "allowed: the end of the line, or a comment behind #",
                advice: "remove it: each key has a line of its own, which nothing ends",
            });
            self.at += 1;
            // What is behind a semicolon is a comment in other files.
            let behind = rest[1..].split('\n').next().unwrap_or_default().trim();
            if mark == ';' && !behind.is_empty() && !behind.starts_with('#') {
                self.out.push('#');
                self.skip_line();
                return Ok(());
            }
        } else if rest.starts_with("//") {
            let label = "allowed: the end of the line, or a comment behind #";
            let message = "`//` begins no comment here".to_owned();
            self.fault(Fault {
                span: self.at..self.at + 2,
                message,
                label,
                advice: "write # for it",
            });
            self.at += 2;
            self.out.push('#');
            self.skip_line();
            return Ok(());
        }
        self.blanks();
        match self.peek() {
            None => Ok(()),
            Some('\n') => {
                self.copy(1);
                Ok(())
            }
            Some('#') => {
                self.skip_line();
                Ok(())
            }
            Some(_) => Err(Lost),
        }
    }

    /// Copies spaces and tabs, and replaces what looks like them.
    pub(super) fn blanks(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' => self.copy(1),
                c if is_odd_blank(c) => {
                    self.fault(Fault {
                        span: self.at..self.at + c.len_utf8(),
                        message: format!("{} stands between the words", blank_name(c)),
                        label: "allowed: spaces and tabs",
                        advice: "write a plain space for it; most come from a web page or a word processor",
                    });
                    self.at += c.len_utf8();
                    let is_wide = c.is_whitespace() && !self.out.ends_with([' ', '\t', '\n']);
                    self.out.push_str(if is_wide { " " } else { "" });
                }
                _ => return,
            }
        }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes over `length` bytes as they are.
    pub(super) fn copy(&mut self, length: usize) {
        let end = self.at + length;
        self.out.push_str(&self.text[self.at..end]);
        self.at = end;
    }

    /// Takes over the rest of the line, with its end.
    pub(super) fn skip_line(&mut self) {
        let length = self.rest().split_inclusive('\n').next().unwrap_or_default().len();
        self.copy(length);
    }

    /// Notes a fault in the value of the key that is being read.
    pub(super) fn fault(&mut self, fault: Fault) {
        let Fault { span, message, label, advice } = fault;
        let message = if self.key.is_empty() {
            format!("not valid TOML: {message}")
        } else {
            format!("`{}{}`: {message}", self.section, self.key)
        };
        self.faults.push(Fault { span, message, label, advice });
    }
}

/// The length of the first character.
pub(super) fn first(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// Whether `text` is TOML.
pub(super) fn is_toml(text: &str) -> bool {
    DeTable::parse_recoverable(text).1.is_empty()
}
