//! `docs/configuration.md` has the keys that the reader knows, with its defaults, ranges and words.
//!
//! Nothing is written twice for that: what the reader knows is what it says of a key that does not exist, and what it allows is
//! what it says of a value that is not allowed.

use std::collections::BTreeSet;

use phonebook_gateway::config::{Config, Problem};

use super::page::{Page, page, spans};

const LISTEN: &str = "[[listen]]\naddress = \"[::]:9480\"\n";
const UPSTREAM: &str = "[upstream]\nurl = \"http://192.0.2.1\"\nsource = \"192.0.2.2\"\n";
const HOSTS: &str = "hosts = [\"198.51.100.4\"]\n";

/// The page's headings with a table of keys.
const SECTIONS: &[&str] = &[
    "Rates",
    "Top of the file",
    "`[[listen]]`",
    "`tls`",
    "`[upstream]`",
    "`[upstream.circuit]`",
    "`[upstream.check]`",
    "`[policies]`",
    "`[names]`",
    "`[control]`",
    "`[admin]`",
    "`[limits]`",
    "`[[access_log]]`",
    "`if`",
    "`[whoami]`",
    "A policy",
    "`[certificate]`",
];

/// What is found in a configuration that has this line in this section, besides what it must have.
fn reading(section: &str, line: &str) -> (Option<Config>, Vec<Problem>) {
    let without = |text: &str| {
        // What is required is not written twice.
        let key = line.split(" =").next().unwrap_or_default();
        let kept = text.lines().filter(|it| !it.starts_with(&format!("{key} =")));
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    let (listen, upstream, hosts) = (LISTEN, UPSTREAM, HOSTS);
    let named = |header: &str| format!("{listen}{upstream}{header}\n{line}\n");
    let main = match section {
        "Top of the file" => format!("{line}\n{listen}{upstream}"),
        "`[[listen]]`" => format!("{}{line}\n{upstream}", without(listen)),
        "`tls`" => format!("{listen}tls = {{ {line} }}\n{upstream}"),
        "`[upstream]`" => format!("{listen}{}{line}\n", without(upstream)),
        "`if`" => format!("{listen}{upstream}[[access_log]]\nif = {{ {line} }}\n"),
        "Rates" | "A policy" | "`[certificate]`" => format!("{listen}{upstream}"),
        other => named(other.trim_matches('`')),
    };
    let policy = match section {
        "Rates" => format!("{hosts}rate = {{ {line} }}\n"),
        "A policy" => format!("{}{line}\n", without(hosts)),
        "`[certificate]`" => {
            let pin = "00".repeat(32);
            let named = if line.starts_with("public_key") {
                "san_dns = [\"x\"]".to_owned()
            } else {
                format!("public_key_sha256 = [\"{pin}\"]")
            };
            format!("{hosts}[certificate]\n{named}\n{line}\n")
        }
        _ => hosts.to_owned(),
    };
    match Config::from_texts(("gateway.toml", &main), &[("policies/lyon.toml", &policy)]) {
        Ok((config, found)) => (Some(config), found),
        Err(found) => (None, found.iter().cloned().collect()),
    }
}

/// No key is called so, and none nearly so.
const NO_KEY: &str = "zzzzzzzzzzzzzzzzzzzzzzzz";

/// The keys that the reader knows in this section.
fn known(section: &str) -> BTreeSet<String> {
    let (_, found) = reading(section, &format!("{NO_KEY} = 0"));
    let unknown = found.iter().find(|problem| problem.message().contains(NO_KEY));
    let unknown = unknown.unwrap_or_else(|| panic!("{section}: {found:?}"));
    let help = unknown.help().unwrap();
    let keys = help.strip_prefix("known here: ").unwrap_or_else(|| panic!("{section}: {help}"));
    keys.split(", ").map(str::to_owned).collect()
}

/// A row of a table of keys.
struct Row {
    section: &'static str,
    key: String,
    default: String,
    allowed: String,
}

fn rows(page: &Page) -> Vec<Row> {
    let mut found = Vec::new();
    for &section in SECTIONS {
        for cells in page.rows(section) {
            let [key, default, allowed, _] = cells.try_into().unwrap();
            let key = key.trim_matches('`').to_owned();
            found.push(Row { section, key, default, allowed });
        }
    }
    found
}

#[test]
fn the_page_has_every_key_and_no_other() {
    let page = page("docs/configuration.md");
    let rows = rows(&page);
    let of = |section: &str| -> BTreeSet<String> {
        rows.iter().filter(|row| row.section == section).map(|row| row.key.clone()).collect()
    };
    for &section in SECTIONS {
        let mut written = of(section);
        if section == "Top of the file" {
            // Its sections have headings of their own.
            let headings = page.headings();
            let names = headings.iter().filter(|heading| heading.starts_with("`["));
            let names = names.map(|heading| heading.trim_matches(['`', '[', ']']).to_owned());
            written.extend(names.filter(|name| name != "certificate" && !name.contains('.')));
        }
        if section == "`[upstream]`" {
            written.extend(["circuit", "check"].map(str::to_owned));
        }
        assert_eq!(written, known(section), "docs/configuration.md, {section}");
    }
}

/// The configuration without places, the files' digits, and whether a value was written.
fn meaning(config: &Config) -> String {
    let text = format!("{config:?}").replace("written: true", "written: false");
    let text = text.replace(&config.revision, "");
    let mut rest = text.as_str();
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once("line: ") {
        kept.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    kept + rest
}

#[test]
fn the_pages_defaults_are_the_readers() {
    let mut compared = 0;
    for row in rows(&page("docs/configuration.md")) {
        let Some(default) = row.default.strip_prefix('`').and_then(|it| it.strip_suffix('`'))
        else {
            continue;
        };
        let line = format!("{} = {default}", row.key);
        let (Some(with), found) = reading(row.section, &line) else {
            panic!("{}: {line}: not accepted", row.section);
        };
        assert!(found.iter().all(|problem| !problem.message().contains(&row.key)), "{found:?}");
        let (without, _) = reading(row.section, "");
        let without = meaning(&without.unwrap());
        assert_eq!(meaning(&with), without, "{}: {line} is not the default", row.section);
        compared += 1;
    }
    assert!(compared >= 45, "{compared} defaults");
}

/// What the reader allows, as it says of this value.
fn allowed(row: &Row, value: &str) -> String {
    let line = format!("{} = {value}", row.key);
    let (_, found) = reading(row.section, &line);
    let said = found.iter().find_map(|problem| problem.label().strip_prefix("allowed: "));
    said.unwrap_or_else(|| panic!("{}: {line}: {found:?}", row.section)).to_owned()
}

#[test]
fn the_pages_ranges_are_the_readers() {
    let mut compared = 0;
    for row in rows(&page("docs/configuration.md")) {
        let cell = row.allowed.replace('`', "");
        let is_range = cell.starts_with('"') && cell.contains("\" to \"");
        let too_much = match () {
            () if cell.starts_with("a whole number from ") => "99999999999",
            () if is_range && is_duration(&cell) => "\"99999d\"",
            () if is_range => "\"99999g\"",
            () => continue,
        };
        assert_eq!(allowed(&row, too_much), cell, "{}, {}", row.section, row.key);
        compared += 1;
    }
    assert!(compared >= 30, "{compared} ranges");
}

/// Whether a range such as `"1ms" to "1h"` is one of durations.
fn is_duration(range: &str) -> bool {
    let least = range.split('"').nth(1).unwrap();
    least.ends_with('s')
}

#[test]
fn the_pages_words_are_the_readers() {
    let mut compared = 0;
    for row in rows(&page("docs/configuration.md")) {
        let words = spans(&row.allowed);
        let all_words = words.iter().all(|word| word.len() > 2 && word.starts_with('"'));
        if !matches!(row.key.as_str(), "search_terms" | "forwarded_header" | "require" | "actions")
        {
            continue;
        }
        assert!(all_words, "{}: {}", row.key, row.allowed);
        let value = if row.key == "actions" { "[\"zzzz\"]" } else { "\"zzzz\"" };
        let said = allowed(&row, value);
        let said: BTreeSet<&str> = said.split(['"']).skip(1).step_by(2).collect();
        let words: BTreeSet<&str> = words.iter().map(|word| word.trim_matches('"')).collect();
        assert_eq!(words, said, "{}", row.key);
        compared += 1;
    }
    assert_eq!(compared, 4);
}

#[test]
fn what_is_required_is_missed() {
    let mut compared = 0;
    for row in rows(&page("docs/configuration.md")) {
        if row.default != "required" || row.section == "Rates" {
            continue;
        }
        let main = match row.key.as_str() {
            "address" => format!("[[listen]]\n{UPSTREAM}"),
            "url" => format!("{LISTEN}[upstream]\n"),
            "certificate" => format!("{LISTEN}tls = {{ private_key = \"a\" }}\n{UPSTREAM}"),
            "private_key" => format!("{LISTEN}tls = {{ certificate = \"a\" }}\n{UPSTREAM}"),
            other => panic!("{other} is said to be required: how is that seen?"),
        };
        let found = Config::from_texts(("gateway.toml", &main), &[]).unwrap_err();
        let missing = format!("{}` is missing", row.key);
        assert!(found.iter().any(|it| it.message().contains(&missing)), "{found:?}");
        compared += 1;
    }
    assert_eq!(compared, 4);
}
