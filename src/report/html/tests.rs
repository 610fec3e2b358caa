//! Claims about the page's text; a browser's view of it is tested in `tests/it/report_page.rs`.

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
    assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;").count() > 50);
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
        let (columns, length) = super::chart::columns(&report.buckets);
        assert!(!columns.is_empty() && columns.len() <= 201, "{count}: {}", columns.len());
        assert!(length >= 3600, "{length}");
        let sum: u64 = columns.iter().map(|column| column.requests).sum();
        assert_eq!(sum, report.buckets.list.iter().map(|bucket| bucket.requests).sum::<u64>());
    }
}

#[test]
fn a_scale_ends_at_a_round_figure() {
    let tops = [0, 1, 2, 3, 7, 9, 11, 101, 8_001, u64::MAX].map(super::chart::ceiling);
    assert_eq!(tops, [1, 1, 2, 4, 8, 10, 20, 200, 10_000, u64::MAX]);
}
