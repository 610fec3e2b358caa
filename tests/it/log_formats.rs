//! The gateway's own variables and formats, and search terms that are hidden in every place.

use std::fs;

use serde_json::Value;

use crate::support::{
    http::exchange,
    process::becomes_true,
    scripted::Scripted,
    serving::{Serving, loopback_config},
    xivo::PHONEBOOK,
};

const PEER: &str = "hosts = [\"127.0.0.1\"]\nactions = [\"search\"]\n";

fn start(logs: &str, upstream: &Scripted, policies: &[(&str, &str)]) -> Serving {
    let main = format!("workers = 1\n{}{logs}", loopback_config(upstream.address()));
    Serving::start(&main, policies).unwrap()
}

/// The lines of a log once there are so many.
fn lines(gateway: &Serving, name: &str, count: usize) -> Vec<String> {
    let mut text = String::new();
    let complete = becomes_true(|| {
        text = fs::read_to_string(gateway.file(name)).unwrap_or_default();
        text.lines().count() >= count
    });
    assert!(complete, "{name} has {text}");
    text.lines().map(str::to_owned).collect()
}

fn get(gateway: &Serving, target: &str, fields: &str) -> u16 {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
    exchange(gateway.addr(), None, request.as_bytes()).status
}

fn search(term: &str) -> String {
    format!("{PHONEBOOK}?act=search&search={term}")
}

const OWN: &str = r#"
[[access_log]]
path = "own.log"
format = "own"
flush = "10ms"
[[access_log]]
path = "gateway.log"
format = "gateway"
flush = "10ms"
[[access_log]]
path = "json.log"
format = "gateway_json"
flush = "10ms"
[log_format]
own = "$peer|$action|$reason|$rule|$limit|$client_source|$status|$limit_req_status|$limit_conn_status|$upstream_status"
"#;

#[test]
fn a_line_says_who_asked_what_and_which_line_of_the_configuration_decided() {
    let upstream = Scripted::well();
    let policy = format!("{PEER}rate = {{ per_minute = 1, burst = 3 }}\n");
    let gateway = start(OWN, &upstream, &[("lyon", &policy)]);
    assert_eq!(get(&gateway, &search("doe"), ""), 200);
    assert_eq!(get(&gateway, &format!("{PHONEBOOK}?act=list"), ""), 403);
    assert_eq!(get(&gateway, "/nothing", ""), 404);
    assert_eq!(get(&gateway, &search("doe"), ""), 429);
    let own = lines(&gateway, "own.log", 4);
    let rule = |line: &str| line.split('|').nth(3).unwrap().to_owned();
    let place = |text: &str, number: u32| {
        assert!(text.ends_with(&format!("policies/lyon.toml:{number}")), "{text}");
    };
    place(&rule(&own[0]), 2);
    place(&rule(&own[1]), 2);
    place(&rule(&own[3]), 3);
    let served = own[0].replace(&rule(&own[0]), "R");
    assert_eq!(served, "lyon|search|-|R|-|socket|200|PASSED|PASSED|200");
    assert!(own[1].starts_with("lyon|list|action-not-granted|"), "{}", own[1]);
    assert!(own[1].ends_with("|-|socket|403|PASSED|-|-"), "{}", own[1]);
    assert_eq!(own[2], "lyon|-|unknown-path|-|-|socket|404|PASSED|-|-");
    assert!(own[3].starts_with("lyon|-|rate-limited|"), "{}", own[3]);
    assert!(own[3].ends_with("|peer|socket|429|REJECTED|-|-"), "{}", own[3]);
    let combined = lines(&gateway, "access.log", 4);
    for (line, combined) in lines(&gateway, "gateway.log", 4).iter().zip(&combined) {
        // Vector takes one quoted field behind combined, and no more.
        let rest = line.strip_prefix(combined.as_str()).unwrap();
        assert!(rest.starts_with(" \"peer=lyon ") && rest.ends_with('"'), "{rest}");
        assert_eq!(rest.matches('"').count(), 2, "{rest}");
    }
    for (line, status) in lines(&gateway, "json.log", 4).iter().zip([200, 403, 404, 429]) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["status"], status);
        assert_eq!(line["peer"], "lyon");
        assert_eq!(line["policy_revision"].as_str().unwrap().len(), 12);
        assert!(line["request_time"].is_f64());
    }
}

#[test]
fn an_unknown_caller_is_counted_and_named_by_the_limit_that_it_used_up() {
    let upstream = Scripted::well();
    let logs = format!("{OWN}[limits]\nunknown_rate = {{ per_minute = 1, burst = 1 }}\n");
    let gateway = start(&logs, &upstream, &[]);
    assert_eq!(get(&gateway, &search("doe"), ""), 403);
    assert_eq!(get(&gateway, &search("doe"), ""), 429);
    let own = lines(&gateway, "own.log", 2);
    assert_eq!(own[0], "-|-|unknown-peer|-|-|socket|403|PASSED|-|-");
    assert!(
        own[1].starts_with("-|-|unknown-peer|")
            && own[1].ends_with("|unknown|socket|429|REJECTED|-|-"),
        "{}",
        own[1]
    );
    assert!(own[1].contains("gateway.toml:"), "{}", own[1]);
}

const HIDDEN: &str = r#"
[[access_log]]
path = "hash.log"
format = "all"
search_terms = "hash"
flush = "10ms"
[[access_log]]
path = "omit.log"
format = "all"
search_terms = "omit"
flush = "10ms"
[[access_log]]
path = "combined.log"
search_terms = "omit"
flush = "10ms"
[[access_log]]
path = "json.log"
format = "gateway_json"
search_terms = "omit"
flush = "10ms"
[log_format]
all = "$request|$request_uri|$args|$query_string|$arg_search|$request_masked|$uri|$http_referer|$http_x_original_uri|$http_user_agent"
"#;

#[test]
fn a_term_that_is_to_be_hidden_is_in_no_variable_and_no_log() {
    let upstream = Scripted::well();
    let gateway = start(HIDDEN, &upstream, &[("lyon", PEER)]);
    let fields = "Referer: http://a/?q=secret\r\nX-Original-URI: /x?q=secret\r\nUser-Agent: A?\r\n";
    let targets = [
        search("secret"),
        format!("{PHONEBOOK}?%73earch=%73ecret&act=search"),
        format!("{PHONEBOOK}?act=search&search=secret&x=secret"),
        "/other?search=secret".to_owned(),
        "/other%3Fsearch=secret".to_owned(),
    ];
    for target in &targets {
        get(&gateway, target, fields);
    }
    // Not a request line of HTTP at all.
    exchange(gateway.addr(), None, b"GET  /x?search=secret HTTP/1.1\r\n\r\n");
    let count = targets.len() + 1;
    for name in ["hash.log", "omit.log", "combined.log", "json.log"] {
        for line in lines(&gateway, name, count) {
            assert!(!line.contains("secret") && !line.contains("ecret"), "{name}: {line}");
        }
    }
    let hash = lines(&gateway, "hash.log", count);
    let digits = |line: &str| line.split('|').nth(4).unwrap().to_owned();
    assert_eq!(digits(&hash[0]).len(), 16);
    assert!(hash[1].contains(&format!("%73earch={}", digits(&hash[0]))), "{}", hash[1]);
    assert!(hash[0].contains(&format!("|act=search&search={}|", digits(&hash[0]))), "{}", hash[0]);
    assert!(hash[0].contains("|http://a/?***|/x?***|A?"), "{}", hash[0]);
    let omit = lines(&gateway, "omit.log", count);
    assert!(
        omit[0].starts_with(&format!("GET {PHONEBOOK}?act=search&search=*** HTTP/1.1|")),
        "{}",
        omit[0]
    );
    assert!(omit[3].starts_with("GET /other?*** HTTP/1.1|/other?***|***|***|-|"), "{}", omit[3]);
    assert!(omit[5].starts_with("GET  /x?*** HTTP/1.1|-|-|-|-|"), "{}", omit[5]);
    assert!(fs::metadata(gateway.file("state/search-terms.key")).unwrap().len() == 32);
    // The log that hides nothing has it.
    assert!(lines(&gateway, "access.log", count)[0].contains("secret"));
}
