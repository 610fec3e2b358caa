//! Claims about the parts of a page; the report's page has tests of its own.

use maud::{Markup, html};

use crate::page::table::{self, Column};
use crate::page::{chart, clipped, document, prose, text};

#[test]
fn a_document_shows_what_is_not_seen_and_what_deceives() {
    let page =
        document("a\u{202e}b", &html! { p title="\u{7}\r" { "1\n2\t\u{85}\u{feff}\u{200d}é–" } });
    assert!(page.contains("<title>a\\u{202e}b</title>"));
    let line = "<p title=\"\\u{7}\\u{d}\">1\n2\\u{9}\\u{85}\\u{feff}\\u{200d}é–</p>";
    assert!(page.ends_with(&format!("<main>{line}</main></body></html>")), "{page}");
    let plain = document("ab", &html! { p { "12" } });
    assert!(!plain.contains("\\u{"), "the page itself has none");
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    let shown = |markup: Markup| markup.into_string();
    let (fits, longer) = ("é".repeat(400), "é".repeat(401));
    assert_eq!(shown(html! { (text(&fits)) }), fits);
    assert_eq!(shown(html! { (text(&longer)) }), format!("{fits}…"));
    assert_eq!(shown(html! { (clipped(&longer)) }), longer);
    assert_eq!(shown(html! { (clipped(longer.repeat(20))) }).chars().count(), 4097);
}

#[test]
fn backticks_enclose_code() {
    for (sentence, shown) in [
        ("a `b` c", "a <code>b</code> c"),
        ("a `b", "a `b"),
        ("`<`&`>`", "<code>&lt;</code>&amp;<code>&gt;</code>"),
        ("", ""),
    ] {
        assert_eq!(prose(sentence).into_string(), shown);
    }
    assert!(prose(&"`".repeat(10_000)).into_string().len() < 40_000);
}

#[test]
fn each_cell_of_a_card_names_its_column() {
    let columns = [Column::Words("Who"), Column::Number("How many"), Column::Time("When")];
    let row = [table::name("a<b"), table::count(1234), table::words("now")];
    let table = table::cards("All", &columns, [row].into_iter()).into_string();
    for part in [
        "<caption>All</caption>",
        "<th scope=\"col\" role=\"columnheader\">Who</th>",
        "<th class=\"n\" scope=\"col\" role=\"columnheader\">How many</th>",
        "<th scope=\"col\" role=\"columnheader\">When</th>",
        "<th scope=\"row\" role=\"rowheader\"><bdi>a&lt;b</bdi></th>",
        "<td class=\"n\" role=\"cell\" data-label=\"How many\"><div>1,234</div></td>",
        "<td class=\"when\" role=\"cell\" data-label=\"When\"><div>now</div></td>",
    ] {
        assert!(table.contains(part), "{part} in {table}");
    }
}

#[test]
fn a_scale_ends_at_a_round_figure() {
    let tops = [0, 1, 2, 3, 7, 9, 11, 101, 8_001, u64::MAX].map(chart::ceiling);
    assert_eq!(tops, [1, 1, 2, 4, 8, 10, 20, 200, 10_000, u64::MAX]);
}
