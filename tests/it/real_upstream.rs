//! The stand-in for XiVO behaves as XiVO does. What the gateway is tested against rests on this.
//!
//! The table of readings is the one that shows why a block list cannot work: each line was seen to get past a check for
//! the literal text, and each is sent here to a real nginx and a real PHP.

use std::{net::IpAddr, process::Command};

use serde_json::{Value, json};

use crate::support::{
    dird,
    http::{Answer, exchange, get, request},
    needs::{or_left_out, program},
    network::{LAN, in_own_network},
    oracle,
    process::becomes_true,
    xivo::{Nginx, PHONEBOOK, RealXivo, Record},
};

/// What comes before the part that the table varies.
const SCRIPT: &str = "/service/ipbx/json.php";

/// Request targets after the script's name, and what XiVO reads in them: realm and `act`.
///
/// An `act` that is an array is given by its JSON.
const READINGS: &[(&str, Option<&str>, &str)] = &[
    ("/restricted/pbx_services/phonebook?act=search&search=doe", Some("restricted"), r#""search""#),
    ("/restricted/pbx_services/phonebook/?act=list", Some("restricted"), r#""list""#),
    ("/restricted/pbx_services/phonebook", Some("restricted"), "null"),
    // The path: four spellings of `private`, and what XiVO ignores.
    ("/private/pbx_services/phonebook", Some("private"), "null"),
    ("/pri..vate/pbx_services/phonebook", Some("private"), "null"),
    ("/pri%2e%2evate/pbx_services/phonebook", Some("private"), "null"),
    ("/%70rivate/pbx_services/phonebook", Some("private"), "null"),
    ("//////private/pbx_services/phonebook", Some("private"), "null"),
    ("/restricted%2f..%2fprivate/pbx_services/phonebook", Some("private"), "null"),
    ("/restricted/../private/pbx_services/phonebook", Some("private"), "null"),
    ("/..private/pbx_services/phonebook", Some("private"), "null"),
    ("/private../pbx_services/phonebook", Some("private"), "null"),
    ("/p..r..i..v..a..t..e/pbx_services/phonebook", Some("private"), "null"),
    ("/....private/pbx_services/phonebook", Some("private"), "null"),
    ("/restricted/pbx_services/phonebook/any/thing", Some("restricted"), "null"),
    (
        "/restricted/pbx_services/phonebook/../../../private/pbx_services/phonebook",
        Some("private"),
        "null",
    ),
    // A second `.php`: PHP finds no such script, goes up to json.php, and keeps a PATH_INFO no longer than what it cut off.
    (
        "/0123456789012345678901234567890123456789.php/private/pbx_services/phonebook",
        Some("private"),
        "null",
    ),
    ("/x.php/private/pbx_services/phonebook", None, "null"),
    // The query: six ways to `delete`, and the array.
    (
        "/restricted/pbx_services/phonebook?act=search&%20act=delete",
        Some("restricted"),
        r#""delete""#,
    ),
    (
        "/restricted/pbx_services/phonebook?act=search&+act=delete",
        Some("restricted"),
        r#""delete""#,
    ),
    (
        "/restricted/pbx_services/phonebook?act=search&act%00x=delete",
        Some("restricted"),
        r#""delete""#,
    ),
    ("/restricted/pbx_services/phonebook?act=%20delete", Some("restricted"), r#""delete""#),
    ("/restricted/pbx_services/phonebook?act=%0Bdelete%00", Some("restricted"), r#""delete""#),
    ("/restricted/pbx_services/phonebook?act=search&act=delete", Some("restricted"), r#""delete""#),
    ("/restricted/pbx_services/phonebook?%61ct=delete", Some("restricted"), r#""delete""#),
    (
        "/restricted/pbx_services/phonebook?act=search&act[]=delete",
        Some("restricted"),
        r#"["delete"]"#,
    ),
    // What looks alike and is read otherwise.
    (
        "/restricted/pbx_services/phonebook?act=search;act=delete",
        Some("restricted"),
        r#""search;act=delete""#,
    ),
    (
        "/restricted/pbx_services/phonebook?act=search&%09act=delete",
        Some("restricted"),
        r#""search""#,
    ),
    ("/restricted/pbx_services/phonebook?act=list#&act=delete", Some("restricted"), r#""list""#),
    ("/restricted%252f..%252fprivate/pbx_services/phonebook", None, "null"),
    ("/PRIVATE/pbx_services/phonebook", None, "null"),
    ("/_private/pbx_services/phonebook", None, "null"),
    ("/restricted/pbx_services", None, "null"),
    ("/..", None, "null"),
    ("", None, "null"),
];

#[test]
fn each_spelling_is_read_as_xivo_reads_it() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    for (tail, realm, act) in READINGS {
        xivo.clear();
        get(xivo.addr(), &format!("{SCRIPT}{tail}"));
        let records = xivo.records();
        let record = match records.as_slice() {
            [record] => record,
            [] if realm.is_none() => continue,
            _ => panic!("{tail}: {records:?}"),
        };
        let act: Value = serde_json::from_str(act).unwrap();
        assert_eq!((record.realm.as_deref(), &record.act), (*realm, &act), "{tail}");
    }
}

#[test]
fn an_early_delete_beyond_the_thousandth_field_is_the_one_that_counts() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let fillers = "&x".repeat(1000);
    get(xivo.addr(), &format!("{PHONEBOOK}?act=delete&id=none{fillers}&act=search"));
    assert_eq!(xivo.records()[0].act, "delete");
}

#[test]
fn the_oracle_reads_what_nginx_and_php_read() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let targets = odd_targets();
    let Some(readings) = or_left_out(oracle::read(&targets)) else { return };
    for (target, reading) in targets.iter().zip(readings) {
        xivo.clear();
        let answer = get(xivo.addr(), target);
        let seen = xivo.records().pop().map(reading_of);
        assert_eq!(reading, seen, "{target}: {}", answer.status);
    }
}

/// The table, and every pair of a strange path with a strange query.
fn odd_targets() -> Vec<String> {
    let paths = [
        "/restricted/pbx_services/phonebook",
        "/restricted/pbx_services/phonebook//",
        "/restricted/pbx_services/phonebook/x.php/y",
        "/0123456789012345678901234567890123456789.php/restricted/pbx_services/phonebook",
        "/01234567890123456789012345.php/restricted/pbx_services/phonebook/012345.php/x/y/z",
        "/private.php/pbx_services/phonebook",
        "/x%0a.php/private/pbx_services/phonebook",
        "%0a.php/private/pbx_services/phonebook",
        ".php/private/pbx_services/phonebook",
        "/x.php/../restricted/pbx_services/phonebook",
        "/restricted/pbx_services/phonebook/.",
        "/restricted/./pbx_services/phonebook/..",
        "/restricted/pbx_services/phone%00book",
        "/restricted/pbx_services/phonebook%0a",
        "/restricted/pbx_services/phonebook%0ax",
        "/restricted/pbx_services/phonebook%3fact=delete",
        "/restricted/pbx_services/phonebook%23",
        "/restricted/pbx_services/phonebook%zz",
        "%2frestricted%2fpbx_services%2fphonebook",
        "/private%2f%2e%2e%2frestricted/pbx_services/phonebook",
        "/../../../../..",
        "/../json.php/private/pbx_services/phonebook",
        "/../../ipbx/json.php/private/pbx_services/phonebook",
        "x/private/pbx_services/phonebook",
        "/.../private/pbx_services",
        "/..../private/pbx_services/phonebook",
        "/%2e%2e%2e/private/pbx_services/phonebook",
        "/pri%25vate/pbx_services/phonebook",
        "/.private/pbx_services/phonebook",
    ];
    let queries = [
        "",
        "?",
        "?act",
        "?act=",
        "?act=+search+&search=%20%C3%A9t%C3%A9%20&id=%0d1&sum=%00",
        "?act[x][y]=1&search[]=2",
        "?act.=delete&act%20=delete&act[=delete",
        "?=delete&&&act=list&",
        "?act=list?act=delete",
        "?search=%E9&act=%zz",
        "?ACT=delete&act=view&id=%31",
        "?act=%2564elete",
    ];
    let table = READINGS.iter().map(|(tail, ..)| format!("{SCRIPT}{tail}"));
    let pairs = paths
        .iter()
        .flat_map(|path| queries.iter().map(move |query| format!("{SCRIPT}{path}{query}")));
    table.chain(pairs).collect()
}

fn reading_of(record: Record) -> oracle::Reading {
    let Record { realm, segments, act, search, id, sum, .. } = record;
    oracle::Reading { realm, segments, act, search, id, sum }
}

#[test]
fn a_search_finds_accents_whatever_the_case_and_a_part_of_any_column() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    // In turn: a name, in capitals, a city, a company in another script, a number's part, LIKE's wildcards as letters.
    for (term, found) in [
        ("%C3%A9l%C3%A9onore", "Éléonore Lefèvre"),
        ("C%C3%94T%C3%89", "François Côté"),
        ("krak%C3%B3w", "Łukasz Żółć"),
        ("%E4%BE%8B", "太郎 山田"),
        ("5140102+", ""),
        ("514555", "Éléonore Lefèvre"),
        ("50%25+off_season", "François Côté"),
        ("o%27neil", "Zoë Brontë-O'Neil"),
    ] {
        let answer = get(xivo.addr(), &format!("{PHONEBOOK}?act=search&search={term}"));
        if found.is_empty() {
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{term}");
        } else {
            assert_eq!(names(&answer), [found], "{term}");
        }
        assert_eq!(answer.header("x-xivo-ws-version"), Some("1.0"), "{term}");
    }
}

#[test]
fn what_is_not_found_has_the_status_that_xivo_gives_it() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let status = |query: &str| get(xivo.addr(), &format!("{PHONEBOOK}?{query}")).status;
    assert_eq!(status("act=search&search=nobody"), 204);
    assert_eq!(status("act=search&search="), 204);
    assert_eq!(status("act=search"), 204);
    assert_eq!(status("act=view&id=1"), 200);
    assert_eq!(status("act=view&id=999"), 404);
    assert_eq!(status("act=delete&id=999"), 404);
    xivo.set_phonebook(&json!([]));
    assert_eq!(status("act=list"), 204);
    assert_eq!(get(xivo.addr(), &format!("{SCRIPT}/restricted/pbx_services/users")).status, 404);
}

#[test]
fn an_unknown_act_is_the_whole_list_and_a_known_sum_is_304() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let whole = xivo.phonebook();
    for query in ["", "?act=list", "?act=LIST", "?act[]=search"] {
        let answer = get(xivo.addr(), &format!("{PHONEBOOK}{query}"));
        assert_eq!(answer.json(), whole, "{query}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{query}");
    }
    let Some(php) = or_left_out(program("php", "php-cli")) else { return };
    let list = get(xivo.addr(), PHONEBOOK).body;
    let list = String::from_utf8(list).unwrap();
    let sum = Command::new(php).args(["-r", "echo md5($argv[1]);", &list]).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let answer = get(xivo.addr(), &format!("{PHONEBOOK}?act=list&sum={sum}"));
    assert_eq!((answer.status, answer.body.len()), (304, 0));
}

#[test]
fn a_phonebook_of_ten_megabytes_is_answered_whole() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let entry = xivo.phonebook()[0].clone();
    let entries: Vec<_> = (0..14_000)
        .map(|id| {
            let mut entry = entry.clone();
            entry["phonebook"]["id"] = json!(id);
            entry["phonebook"]["description"] = json!("d".repeat(200));
            entry
        })
        .collect();
    xivo.set_phonebook(&Value::Array(entries));
    let answer = get(xivo.addr(), PHONEBOOK);
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 10_000_000, "{}", answer.body.len());
    assert_eq!(answer.json(), xivo.phonebook());
}

#[test]
fn delete_works_by_get_and_a_body_wins_over_the_query() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let count = |xivo: &RealXivo| xivo.phonebook().as_array().unwrap().len();
    let before = count(&xivo);
    assert_eq!(get(xivo.addr(), &format!("{PHONEBOOK}?act=delete&id=1")).status, 200);
    assert_eq!(count(&xivo), before - 1);

    let body = "act=delete&id=2";
    let head = format!(
        "POST {PHONEBOOK}?act=search&search=doe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(exchange(xivo.addr(), None, head.as_bytes()).status, 200);
    assert_eq!(count(&xivo), before - 2);

    let entry = json!({"phonebook": {"displayname": "New"}}).to_string();
    let lines = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", entry.len());
    let head = format!(
        "POST {PHONEBOOK}?act=add HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n{entry}"
    );
    assert_eq!(exchange(xivo.addr(), None, head.as_bytes()).status, 200);
    assert_eq!(count(&xivo), before - 1);
    xivo.clear();
    assert_eq!(count(&xivo), before);
}

#[test]
fn head_reads_no_arguments_at_all() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let target = format!("{PHONEBOOK}?act=delete&id=1");
    let answer = request(xivo.addr(), None, "HEAD", &target, "");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let record = xivo.records().remove(0);
    assert_eq!(
        (record.method.as_str(), &record.act, &record.id),
        ("HEAD", &Value::Null, &Value::Null)
    );
}

#[test]
fn restricted_asks_for_a_known_host_and_credentials_replace_it() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    assert_eq!(get(xivo.addr(), PHONEBOOK).status, 200);

    let credentials = "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n";
    let answer = request(xivo.addr(), None, "GET", PHONEBOOK, credentials);
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").unwrap().starts_with("Basic "));
    assert_eq!(xivo.records()[1].headers["HTTP_AUTHORIZATION"], "Basic dXNlcjpzZWNyZXQ=");

    for (hosts, status) in [
        (&["192.168.1.124"][..], 401),
        (&[], 401),
        (&["10.0.0.0/8", "127.0.0.0/30"], 200),
        (&["127.0.0.2/31"], 401),
    ] {
        xivo.set_hosts(hosts);
        assert_eq!(get(xivo.addr(), PHONEBOOK).status, status, "{hosts:?}");
    }
}

#[test]
fn another_host_name_is_redirected_to_https_before_php_sees_it() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("localhost:8080", 200),
        ("xivo.example.org", 302),
        ("192.168.1.125", 302),
    ] {
        xivo.clear();
        let head = format!(
            "GET {PHONEBOOK}?act=list HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange(xivo.addr(), None, head.as_bytes());
        assert_eq!(answer.status, status, "{host}");
        assert_eq!(xivo.records().len(), usize::from(status == 200), "{host}");
        if status == 302 {
            let location = format!("https://{host}{PHONEBOOK}?act=list");
            assert_eq!(answer.header("location"), Some(location.as_str()));
        }
    }
}

#[test]
fn private_is_open_to_loopback_and_closed_to_the_lan() {
    in_own_network("real_upstream::private_is_open_to_loopback_and_closed_to_the_lan", || {
        let Some(xivo) = or_left_out(RealXivo::start()) else { return };
        let private = format!("{SCRIPT}/private/pbx_services/phonebook");
        let status = |from: Option<IpAddr>, target: &str| {
            request(xivo.addr(), from, "GET", target, "").status
        };
        assert_eq!(status(None, &private), 200);
        assert_eq!(status(Some(LAN), &private), 403);
        assert_eq!(status(Some(LAN), &format!("{SCRIPT}/pri..vate/pbx_services/phonebook")), 403);
        assert_eq!(status(Some(LAN), PHONEBOOK), 200);
        // Another address of 127.0.0.0/8 is no privilege, and no Web Services user either.
        let other = Some(IpAddr::from([127, 0, 1, 1]));
        assert_eq!(status(other, &private), 403);
        assert_eq!(status(other, PHONEBOOK), 401);
        let seen: Vec<_> = xivo.records().into_iter().map(|record| record.remote_addr).collect();
        assert_eq!(
            seen,
            [
                "127.0.0.1",
                "192.168.1.125",
                "192.168.1.125",
                "192.168.1.125",
                "127.0.1.1",
                "127.0.1.1"
            ]
        );
        if let Some(addr6) = xivo.addr6() {
            assert_eq!(get(addr6, &private).status, 200);
            assert_eq!(get(addr6, PHONEBOOK).status, 401, "XiVO knows no IPv6 hosts");
        }
    });
}

#[test]
fn records_and_log_say_what_came() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let target = format!("{PHONEBOOK}?act=search&search=c%C3%B4t%C3%A9");
    request(
        xivo.addr(),
        None,
        "GET",
        &target,
        "User-Agent: python-requests/2.28.1\r\nX-Real-IP: 192.0.2.1\r\n",
    );
    let record = xivo.records().remove(0);
    assert_eq!(record.uri, target);
    assert_eq!(record.path_info, "/restricted/pbx_services/phonebook");
    assert_eq!(record.search, "côté");
    assert_eq!(record.remote_addr, "127.0.0.1");
    assert_eq!(record.headers["HTTP_X_REAL_IP"], "192.0.2.1");
    assert_eq!(record.headers["HTTP_HOST"], "localhost");
    let log = xivo.access_log_of(1);
    assert!(log.starts_with("127.0.0.1 - - ["), "{log}");
    assert!(log.contains(&format!("\"GET {target} HTTP/1.1\" 200 ")), "{log}");
    assert!(log.ends_with("\"-\" \"python-requests/2.28.1\"\n"), "{log}");
    xivo.clear();
    assert_eq!((xivo.records().len(), xivo.access_log().as_str()), (0, ""));
}

#[test]
fn a_client_written_as_xivo_dird_s_reads_contacts_none_and_refusals() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let url =
        |realm: &str| format!("http://{}{SCRIPT}/{realm}/pbx_services/phonebook", xivo.addr());
    let terms = ["lefèvre", "山田", "nobody", "+1514"];
    let Some(found) = or_left_out(dird::lookups(&url("restricted"), &terms)) else { return };
    assert_eq!(
        found,
        [
            json!({"term": "lefèvre", "status": 200, "names": ["Éléonore Lefèvre"]}),
            json!({"term": "山田", "status": 200, "names": ["太郎 山田"]}),
            json!({"term": "nobody", "status": 204, "names": []}),
            json!({"term": "+1514", "status": 200, "names": ["Éléonore Lefèvre"]}),
        ]
    );
    let record = xivo.records().remove(0);
    assert!(record.headers["HTTP_USER_AGENT"].starts_with("python-requests/"));
    xivo.set_hosts(&[]);
    let refused = or_left_out(dird::lookups(&url("restricted"), &["doe"])).unwrap();
    assert_eq!(refused, [json!({"term": "doe", "status": 401, "names": []})]);
}

#[test]
fn a_plain_nginx_in_front_passes_everything_and_logs_it() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let extra = "location = /extra { return 204; }";
    let Some(proxy) = or_left_out(Nginx::proxy(xivo.addr(), extra)) else { return };
    assert_eq!(get(proxy.addr(), "/extra").status, 204);
    // proxy_pass names the upstream's address as Host, which XiVO serves without a redirect.
    let answer = get(proxy.addr(), &format!("{PHONEBOOK}?act=search&search=doe"));
    assert_eq!(names(&answer), ["John Doe"]);
    assert_eq!(xivo.records()[0].headers["HTTP_HOST"], xivo.addr().to_string());
    let log = proxy.access_log_of(2);
    assert!(log.contains("\"GET /extra HTTP/1.1\" 204 0 \"-\" \"-\"\n"), "{log}");
    if let Some(addr6) = proxy.addr6() {
        assert_eq!(get(addr6, "/extra").status, 204);
        assert!(proxy.access_log_of(3).contains("\n::1 - - ["));
    }
    proxy.clear();
    assert_eq!(proxy.access_log(), "");
}

#[test]
fn nothing_is_left_of_a_stand_in_that_was_dropped() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let directory = xivo.directory().to_owned();
    let named = |directory: &std::path::Path| {
        let text = directory.to_str().unwrap().to_owned();
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
            .filter(|line| String::from_utf8_lossy(line).contains(&text))
            .count()
    };
    assert!(named(&directory) >= 2, "nginx and php-fpm's master name the directory");
    drop(xivo);
    assert!(!directory.exists());
    assert!(becomes_true(|| named(&directory) == 0));
}

fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let entries = answer.json();
    let name = |entry: &Value| entry["phonebook"]["displayname"].as_str().unwrap().to_owned();
    entries.as_array().unwrap().iter().map(name).collect()
}
