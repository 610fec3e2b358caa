//! Claims about the page's text; a browser's view of it is tested in `tests/it/report_page.rs`.

use proptest::prelude::*;
use serde_json::Value;

use super::page;
use crate::report::summary::sample;

#[test]
fn the_page_has_everything_in_itself_and_forbids_the_rest() {
    let page = page(&sample::report());
    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; "));
    for outside in
        ["<script", "<link", "<img", "<iframe", "@import", "url(", "http://", "https://", "src="]
    {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn hostile_text_stays_text_wherever_it_comes_from() {
    let page = page(&sample::hostile());
    for harm in ["<script", "<img", "<!--", "\"'>", "\u{202e}", "\u{7}", "&amp;amp;amp;"] {
        assert!(!page.contains(harm), "{harm:?}");
    }
    assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&gt;").count() > 50);
    assert!(page.contains("&amp;amp;\\u{202e}\\u{7}AAA"), "what deceives is shown as what it is");
    // Every angle bracket is the page's own: as many are opened as closed, the style's selectors apart.
    let page = page.rsplit("</style>").next().unwrap();
    assert_eq!(page.matches('<').count(), page.matches('>').count());
}

#[test]
fn nothing_is_said_in_sentences() {
    let page = page(&sample::empty());
    for sentence in [
        "Nothing, as far as no request tells.",
        "No request was read.",
        "No peer asked.",
        "Nothing was refused and nothing failed.",
        "No caller was limited.",
        "The logs do not say how long answers took",
        "Everybody who asked is in a policy.",
        "No peer has fallen silent.",
        "Nobody seems to read the phonebook out.",
        "XiVO failed no request.",
        "Every line could be read.",
    ] {
        assert!(page.contains(sentence), "{sentence}");
    }
    assert!(
        !page.contains("<table") && !page.contains("<svg"),
        "no empty table and no empty chart"
    );
}

#[test]
fn a_huge_report_makes_a_page_of_bounded_size_that_says_what_it_leaves_out() {
    let page = page(&sample::huge(1000, 2000));
    assert!(page.len() < 2_000_000, "{}", page.len());
    assert!(page.contains("<p class=\"muted\">900 more are in the JSON"), "of the peers");
    assert!(page.contains("One column is 12 h."), "columns are as long as they must be");
}

#[test]
fn the_administrator_finds_lines_to_paste() {
    let page = page(&sample::report());
    assert!(page.contains("rate = { per_second = 10, burst = 37 }\n"));
    assert!(page.contains("<code>policies/xivo-québec.toml</code>"));
    assert!(page.contains("<code>policies/xivo-203.0.113.7.toml</code>"));
    assert!(page.contains("hosts = [&quot;203.0.113.7&quot;]"));
    assert!(page.contains("write <code>restricted</code> for <code>private</code>"));
}

#[test]
fn failures_of_xivo_have_not_the_colour_of_refusals() {
    let report = sample::report();
    let page = page(&report);
    let table = page.split_once("id=\"refusals\"").unwrap().1;
    let mut classes = std::collections::BTreeSet::new();
    for refused in &report.refusals {
        let row = table.split_once(&format!("<bdi>{}</bdi>", refused.reason)).unwrap().1;
        let bar = row.split_once("class=\"bar\"").unwrap().1;
        let is_failure = refused.statuses.iter().all(|status| *status >= 500);
        let class = if is_failure { "failed" } else { "refused" };
        assert!(bar[..80].contains(&format!("class=\"{class}\"")), "{}", refused.reason);
        classes.insert(class);
    }
    assert_eq!(classes.len(), 2);
}

#[test]
fn headings_stand_in_their_order() {
    for report in [sample::report(), sample::empty(), sample::hostile()] {
        let page = page(&report);
        let mut before = 0;
        for (at, _) in page.match_indices("<h") {
            let Some(level) = page[at + 2..].chars().next().and_then(|c| c.to_digit(10)) else {
                continue;
            };
            assert!(level <= before + 1, "{}", &page[at..at + 40]);
            before = level;
        }
        assert_eq!(page.matches("<h1").count(), 1);
    }
}

#[test]
fn columns_are_as_many_as_can_be_seen() {
    for count in [1, 24, 168, 199, 200, 201, 2_000, 20_000] {
        let report = sample::with_buckets(count);
        let (columns, length) = super::columns::columns(&report.buckets);
        assert!(!columns.is_empty() && columns.len() <= 201, "{count}: {}", columns.len());
        assert!(length >= 3600, "{length}");
        let sum: u64 = columns.iter().map(|column| column.requests).sum();
        assert_eq!(sum, report.buckets.list.iter().map(|bucket| bucket.requests).sum::<u64>());
    }
}

#[test]
fn the_filled_report_has_its_text_in_every_field_that_holds_text() {
    /// Times, and what the program itself names.
    const OWN: [&str; 6] = ["generated", "first", "last", "begin", "end", "kind"];
    fn look(value: &Value, key: &str, other: &mut Vec<String>) {
        match value {
            Value::String(text) if text != MARK && !OWN.contains(&key) => {
                other.push(format!("{key}: {text}"));
            }
            Value::Array(list) => list.iter().for_each(|value| look(value, key, other)),
            Value::Object(map) => map.iter().for_each(|(key, value)| look(value, key, other)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut other = Vec::new();
    look(&serde_json::to_value(sample::filled(MARK)).unwrap(), "", &mut other);
    assert!(other.is_empty(), "{other:#?}");
}

/// Text that a log can hold: what HTML reads as markup, what is not seen, and anything else.
fn hostile(with_backticks: bool) -> impl Strategy<Value = String> {
    let markup = prop::sample::select(vec![
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(2)>",
        "</title></style></pre></svg>",
        "<!--",
        "-->",
        "]]>",
        "\"",
        "\" onload=\"alert(3)",
        "'",
        "&",
        "&lt;",
        "&#60;b&#62;",
        "\\u{7}",
        "javascript:",
        "{}",
        "(\"x\")",
    ]);
    let hidden = prop::sample::select(vec![
        "\0",
        "\u{7}",
        "\t",
        "\r\n",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{85}",
        "\u{61c}",
        "\u{200b}",
        "\u{2028}",
        "\u{202e}",
        "\u{2067}",
        "\u{feff}",
    ]);
    let piece = prop_oneof![
        markup.prop_map(str::to_owned),
        hidden.prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        Just(if with_backticks { "`" } else { "x" }.to_owned()),
    ];
    let text = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    text.prop_map(move |text| {
        format!("{MARK}{}", if with_backticks { text } else { text.replace('`', "x") })
    })
}

/// A text as the page writes it.
fn written(text: &str) -> String {
    let one = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c if is_hidden(c) => format!("\\u{{{:x}}}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}

/// What no page may hold, since it is not seen or changes how other text is seen.
fn is_hidden(c: char) -> bool {
    c != '\n' && c.is_control()
        || "\u{61c}\u{2028}\u{2029}\u{feff}".contains(c)
        || ('\u{200b}'..='\u{200f}').contains(&c)
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2060}'..='\u{206f}').contains(&c)
}

/// The page's tags with the names of their attributes; `code` left out, which backticks make.
fn skeleton(page: &str) -> String {
    let mut tags = String::new();
    let mut rest = page.chars();
    while rest.by_ref().any(|c| c == '<') {
        let mut is_quoted = false;
        let mut tag = String::from("<");
        for c in rest.by_ref() {
            is_quoted ^= c == '"';
            match c {
                '>' if !is_quoted => break,
                '"' => {}
                _ if is_quoted => {}
                c => tag.push(c),
            }
        }
        if !matches!(tag.as_str(), "<code" | "</code") {
            tags.push_str(&tag);
        }
    }
    tags
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_text_of_a_log_is_escaped_wherever_it_stands(text in hostile(false)) {
        let (plain, page) = (page(&sample::filled(MARK)), page(&sample::filled(&text)));
        prop_assert_eq!(skeleton(&page), skeleton(&plain));
        prop_assert!(!page.contains(is_hidden));
        let places = plain.matches(MARK).count();
        prop_assert!(places > 100, "{}", places);
        prop_assert_eq!(page.matches(&written(&text)).count(), places, "{:?}", written(&text));
    }

    #[test]
    fn backticks_of_a_log_make_code_and_nothing_else(text in hostile(true)) {
        let (plain, page) = (page(&sample::filled(MARK)), page(&sample::filled(&text)));
        prop_assert_eq!(skeleton(&page), skeleton(&plain));
        prop_assert!(!page.contains(is_hidden));
    }
}

#[test]
fn a_text_without_end_is_cut_wherever_it_stands() {
    for text in ["Z".repeat(100_000), "`".repeat(100_000), "\u{7}".repeat(100_000)] {
        let page = page(&sample::filled(&text));
        assert!(page.len() < 2_000_000, "{}", page.len());
        assert!(!page.contains(&"Z".repeat(4097)));
    }
}

/// What begins each text of the following tests, and stands nowhere else in a page.
const MARK: &str = "Zq7";
