//! Whether what a program printed is what a page shows.

/// Compares line by line. In what is shown, a line `…` stands for any lines, and `…` in a line for any text. Ids are alike.
pub(super) fn is_shown(shown: &str, printed: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        text.trim_end().lines().map(|line| without_ids(line.trim_end())).collect()
    };
    lines_match(&lines(shown), &lines(printed))
}

fn lines_match(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "…" => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        Some((line, rest)) => {
            let first = printed.split_first();
            first
                .is_some_and(|(first, after)| line_matches(line, first) && lines_match(rest, after))
        }
    }
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let mut pieces = shown.split('…');
    let Some(mut rest) = printed.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = None;
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        last = Some(piece);
    }
    match last {
        None => rest.is_empty(),
        Some("") => true,
        Some(piece) => printed.ends_with(piece),
    }
}

/// A line with each request's id, which is 32 hexadecimal digits, replaced.
fn without_ids(line: &str) -> String {
    let mut kept = String::new();
    let mut digits = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() {
            digits.push(c);
            continue;
        }
        kept.push_str(if digits.len() == 32 { "ID" } else { &digits });
        digits.clear();
        kept.push(c);
    }
    kept.trim_end().to_owned()
}

#[test]
fn shown_text_is_compared_but_for_what_varies() {
    let id = "0123456789abcdef0123456789abcdef";
    for (shown, printed) in [
        ("a\nb\n", "a\nb"),
        ("a\n…\nd", "a\nb\nc\nd"),
        ("a\n…", "a"),
        ("x … y … z", "x 1 y 2 z"),
        ("x …", "x and so on"),
        (&format!("id {id}."), &format!("id {}.", id.replace('0', "9"))),
    ] {
        assert!(is_shown(shown, printed), "{shown} / {printed}");
    }
    for (shown, printed) in [
        ("a", "b"),
        ("a", "a\nb"),
        ("a\n…\nd", "a\nb\nc"),
        ("x … z", "x 1 z 2"),
        ("x…", "y"),
        (&format!("id {id}"), "id 0123"),
    ] {
        assert!(!is_shown(shown, printed), "{shown} / {printed}");
    }
}
