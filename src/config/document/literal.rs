//! Strings as TOML has them.

/// `text` as a TOML string, in one line whatever it holds.
pub(crate) fn literal(text: &str) -> String {
    let needs_escapes = text.contains(|c: char| c == '\'' || c.is_control());
    if !needs_escapes {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The same with double quotes wherever that needs no escapes.
pub(crate) fn string(text: &str) -> String {
    let needs_escapes = text.contains(|c: char| matches!(c, '"' | '\\') || c.is_control());
    if needs_escapes { literal(text) } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let texts = [
            "",
            "a",
            "'",
            "\"",
            "\\",
            "a\nb",
            "\0\u{7f}\u{85}\t\r",
            "é€𝄞",
            "# configuration file x:",
        ];
        for text in texts {
            for written in [literal(text), string(text)] {
                assert!(!written.contains('\n'), "{written}");
                let read: toml::Table = format!("key = {written}").parse().unwrap();
                assert_eq!(read["key"].as_str(), Some(text), "{written}");
            }
        }
    }
}
