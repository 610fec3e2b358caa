//! Words that pages do not use: `docs/glossary.md` says what is written instead.

use super::page::{pages, pieces};

/// Beginnings of words, in lower case. What programs print is not looked at.
const REPLACED: &[&str] =
    &["stranger", "believ", "vouch", "anew", "unheard", "kept_back", "asked anew", "made by"];

#[test]
fn pages_use_the_glossarys_words() {
    let mut wrong = Vec::new();
    for page in pages() {
        if matches!(page.name.as_str(), "CHANGELOG.md" | "docs/glossary.md") {
            continue;
        }
        for line in page.prose() {
            let prose: String = pieces(line)
                .into_iter()
                .filter_map(|(is_code, text)| (!is_code).then_some(text))
                .collect();
            let prose = prose.to_lowercase();
            let found = REPLACED.iter().filter(|word| {
                prose
                    .match_indices(*word)
                    .any(|(at, _)| !prose[..at].ends_with(|c: char| c.is_alphanumeric()))
            });
            wrong.extend(found.map(|word| format!("{}: \"{word}\" in: {line}", page.name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
