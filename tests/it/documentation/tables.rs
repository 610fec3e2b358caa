//! Tables of words and fields: what the code has, the pages have, and the other way round.

use std::collections::BTreeSet;

use phonebook_gateway::{access_log::format::names, refusal::Reason};
use serde_json::Value;

use super::page::{page, repository, spans};
use crate::support::{
    binary::Binary,
    http::{get, request},
    live::{Live, Setup},
    process::becomes_true,
    raw::target,
};

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
        let is_overloaded = row[1].contains("overloaded");
        let expected = matches!(status, 502..=504) && !is_overloaded;
        assert_eq!(is_of_upstream, expected, "{row:?}");
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
        Value::Null | Value::Array(_) | Value::Object(_) => "other",
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
    let mut unknown = gateway.client_from("127.0.0.9");
    unknown.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let refused: Value = serde_json::from_slice(&unknown.answer().body).unwrap();
    let page = shown("docs/troubleshooting.md");
    assert_eq!(form(&page), form(&refused));
    assert_eq!(page["reason"], refused["reason"]);
    assert_eq!(page["title"], refused["title"]);
}

/// The fields of the diagnostics that a gateway without a XiVO writes: of a refusal of an unknown caller, of one of a peer over
/// its rate, and of XiVO that cannot be reached.
fn fields_of_diagnostics() -> BTreeSet<String> {
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let mut setup = Setup::new(nobody);
    setup.policies = vec![(
        "lyon".to_owned(),
        "hosts = [\"127.0.0.1\"]\nrate = { per_minute = 1, burst = 1 }\n".to_owned(),
    )];
    let mut gateway = Binary::serve_changed(
        &setup.main_file("access.log"),
        &[("lyon", &setup.policies[0].1)],
        |mut command, _| {
            command.args(["--log-format", "json"]);
            command
        },
    );
    let lines = |gateway: &Binary| -> Vec<Value> {
        let stderr = gateway.stderr();
        stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let mut address = None;
    assert!(becomes_true(|| {
        address = lines(&gateway).iter().find_map(|line| {
            let (_, rest) = line["fields"]["message"].as_str()?.split_once("listening on ")?;
            rest.split(';').next()?.parse().ok()
        });
        address.is_some()
    }));
    let address = address.unwrap();
    let lookup = target("doe");
    assert_eq!(request(address, None, "GET", &lookup, "").status, 502);
    assert_eq!(request(address, None, "GET", &lookup, "").status, 429);
    let unknown = Some("127.0.0.9".parse().unwrap());
    assert_eq!(request(address, unknown, "GET", &lookup, "").status, 403);
    let reasons = ["upstream-unreachable", "rate-limited", "unknown-peer"];
    assert!(becomes_true(|| {
        let lines = lines(&gateway);
        reasons.iter().all(|reason| lines.iter().any(|line| line["fields"]["reason"] == *reason))
    }));
    let fields = |line: Value| line["fields"].as_object().cloned().unwrap_or_default();
    let named = lines(&gateway).into_iter().flat_map(|line| fields(line).into_iter());
    let fields = set(named.map(|(name, _)| name).filter(|name| name != "message"));
    gateway.signal(rustix::process::Signal::TERM);
    gateway.exit();
    fields
}

#[test]
fn the_journals_fields_are_listed() {
    const PREFIX: &str = "PHONEBOOK_GATEWAY_";
    let rows = page("docs/operations.md").rows("The journal");
    let named = rows.iter().flat_map(|row| spans(&row[0]));
    let listed = set(named.map(|name| {
        let short = name.strip_prefix(PREFIX).or_else(|| name.strip_prefix('_'));
        short.unwrap_or_else(|| panic!("{name}")).to_lowercase()
    }));
    let written = fields_of_diagnostics();
    assert!(written.len() >= 7, "{written:?}");
    assert!(written.is_subset(&listed), "{written:?} / {listed:?}");
}

/// The sources, each run of blanks as one.
fn sources() -> String {
    let mut open = vec![repository().join("src")];
    let mut text = String::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            text += &std::fs::read_to_string(path).unwrap();
        }
    }
    text.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn sentences_that_are_looked_up_are_the_programs() {
    let sources = sources();
    let rows = page("docs/troubleshooting.md").rows("Why 502?");
    let sentences: Vec<String> = rows.iter().flat_map(|row| spans(&row[0])).collect();
    assert!(sentences.len() >= 6, "{sentences:?}");
    for sentence in sentences {
        assert!(sources.contains(&sentence), "no message says: {sentence}");
    }
}
