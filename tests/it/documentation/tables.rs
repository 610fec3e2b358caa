//! Tables of words and fields: what the code has, the pages have, and the other way round.

use std::collections::BTreeSet;

use phonebook_gateway::{access_log::format::names, refusal::Reason};
use serde_json::Value;

use super::page::{page, spans};
use crate::support::{http::get, live::Live};

fn set<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    words.into_iter().map(|word| word.as_ref().to_owned()).collect()
}

#[test]
fn every_reason_has_a_row_and_every_row_a_reason() {
    let rows = page("docs/troubleshooting.md").rows("By status and reason");
    let written = set(rows.iter().flat_map(|row| spans(&row[1])));
    assert_eq!(written, set(Reason::words()));
    for row in &rows {
        let status: u16 = if row[0] == "none" { 0 } else { row[0].parse().unwrap() };
        let is_of_upstream = row[1].contains("upstream");
        assert_eq!(is_of_upstream, matches!(status, 502 | 504), "{row:?}");
        assert!(!row[2].is_empty(), "{row:?}");
    }
}

#[test]
fn every_variable_is_listed_and_no_other() {
    let page = page("docs/access-log.md");
    let text = page.text.split_once("\n## Variables\n").unwrap().1;
    let text = text.split_once("\n## ").unwrap().0;
    let written = text.split("`$").skip(1).map(|rest| rest.split('`').next().unwrap());
    let written = set(written.filter(|name| !name.ends_with('…')));
    assert_eq!(written, set(names()));
}

/// The keys of a JSON object, with null, texts and others told apart.
fn form(value: &Value) -> Vec<(String, &'static str)> {
    let kind = |value: &Value| match value {
        Value::String(_) => "text",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
        _ => "other",
    };
    value.as_object().unwrap().iter().map(|(key, value)| (key.clone(), kind(value))).collect()
}

#[test]
fn shown_answers_have_the_form_of_real_ones() {
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let gateway = Live::before(nobody);
    let shown = |name: &str| -> Value {
        let [block] = page(name).blocks_of("json", "").try_into().ok().unwrap();
        serde_json::from_str(&block.text).unwrap()
    };
    let whoami = get(gateway.address, "/.well-known/phonebook-gateway/whoami");
    assert_eq!(form(&shown("docs/identity.md")), form(&whoami.json()));
    let mut stranger = gateway.client_from("127.0.0.9");
    stranger.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let refused: Value = serde_json::from_slice(&stranger.answer().body).unwrap();
    let page = shown("docs/troubleshooting.md");
    assert_eq!(form(&page), form(&refused));
    assert_eq!(page["reason"], refused["reason"]);
    assert_eq!(page["title"], refused["title"]);
}
