//! What a value's own grammar says against it; the reader adds the key and the place.

/// Why a value is refused or doubtful.
#[derive(Debug)]
pub(crate) struct Diagnostic {
    /// What is wrong, with the value found; follows "`key`: ".
    pub(crate) message: String,
    /// What is allowed; stands under the value.
    pub(crate) label: String,
    /// What to write.
    pub(crate) help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { message: message.into(), label: label.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `text` in quotes as a message shows it: control characters escaped, and cut where it is long.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        None => format!("\"{}\"", escaped(text)),
        Some((end, _)) => format!("\"{}…\"", escaped(&text[..end])),
    }
}

/// `text` with its control bytes as the access log shows them, `\x16`, and what else cannot be seen as Rust does.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_control() {
            out.push_str(&format!("\\x{:02X}", u32::from(c)));
        } else {
            out.extend(c.escape_debug());
        }
    }
    out
}

/// The word of `known` that `found` was probably meant to be.
pub(crate) fn nearest<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // `-` and `_` are taken for each other.
    let even = |word: &str| word.to_lowercase().replace('-', "_");
    let found = even(found);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&found, &even(word)), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `words` as a message lists them: "a, b or c".
pub(crate) fn listed(words: &[&str], last: &str) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_the_log_shows_them() {
        assert_eq!(shown("\u{16}\u{3}\u{7f}\n\"\u{200b}é"), r#""\x16\x03\x7F\x0A\"\u{200b}é""#);
    }
}
