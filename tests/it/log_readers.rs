//! Programs that administrators read nginx's logs with read the gateway's, each with its file in `packaging/`, and
//! find in it what was asked.

#[cfg(test)]
mod fail2ban;

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};

use crate::support::{
    http::exchange,
    log_readers::{
        Goaccess, Reader, awstats, goaccess, lnav, none_refuses_what_it_takes_from_nginx, packaged,
        refused_lines, vector, vrl,
    },
    needs::or_left_out,
    process::becomes_true,
    scripted::Scripted,
    serving::{Serving, loopback_config},
    xivo::PHONEBOOK,
};

/// Lines of which each reader refuses the last one.
const LINES: &str = "\
127.0.0.1 - lyon [23/Nov/2026:04:01:09 +0000] \"GET /service/ipbx/json.php?act=search HTTP/1.1\" 200 10 \"-\" \"curl\"
192.0.2.1 - - [23/Nov/2026:04:01:09 +0000] \"GET /a\\x22b HTTP/1.1\" 404 10 \"-\" \"a\\x22b\\xC3\"
no line of a log \"
";

#[test]
fn what_a_reader_refuses_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    fs::write(&log, LINES).unwrap();
    for reader in Reader::ALL {
        let Some(refused) = or_left_out(refused_lines(reader, &log)) else { continue };
        assert_eq!(refused.into_iter().collect::<Vec<_>>(), [2], "{reader:?}");
    }
    none_refuses_what_it_takes_from_nginx(&log, &log);
}

#[test]
#[should_panic(expected = "and takes")]
fn a_reader_that_refuses_ours_and_takes_nginx_s_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let [nginx, ours] = ["nginx.log", "ours.log"].map(|name| directory.path().join(name));
    fs::write(&nginx, LINES).unwrap();
    fs::write(&ours, LINES.replacen("\" 404 10", " 404 10", 1)).unwrap();
    none_refuses_what_it_takes_from_nginx(&nginx, &ours);
    // Where no reader is installed, nothing can be seen.
    panic!("nothing was refused, and takes");
}

/// A gateway's logs in its three formats, and what was asked of it.
struct Played {
    gateway: Serving,
    /// Peer, address, status.
    asked: Vec<(&'static str, &'static str, u16)>,
    _upstream: Scripted,
}

const LOGS: &str = r#"
[[access_log]]
path = "gateway.log"
format = "gateway"
flush = "10ms"
[[access_log]]
path = "json.log"
format = "gateway_json"
flush = "10ms"
[limits]
unknown_rate = { per_second = 1000, burst = 1000 }
"#;

const PEER: &str = "hosts = [\"127.0.0.1\"]\nactions = [\"search\"]\n\
                    rate = { per_minute = 1, burst = 5 }\n";

/// An agent that is a whole line of an unknown caller's refusal, and what could end the field that it stands in.
const FORGER: &str = "User-Agent: \" 403 1 \"-\" \"-\"\t192.0.2.66 - - [23/Nov/2026:04:00:00 +0000] \
                      \"GET / HTTP/1.1\" 403 1 \"-\" \"-\" \\\" caf\u{e9}\r\n";

fn head(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
}

impl Played {
    fn new() -> Self {
        let upstream = Scripted::well();
        let main = format!("workers = 1\n{}{LOGS}", loopback_config(upstream.address()));
        let gateway = Serving::start(&main, &[("lyon", PEER)]).unwrap();
        let mut played = Self { gateway, asked: Vec::new(), _upstream: upstream };
        let search = format!("{PHONEBOOK}?act=search&search=doe");
        let list = format!("{PHONEBOOK}?act=list");
        let agent = "User-Agent: python-requests/2.28.1\r\n";
        let own = "127.0.0.1";
        for target in [&search, &search, &search] {
            played.ask("lyon", own, 200, &head(target, agent));
        }
        played.ask("lyon", own, 403, &head(&list, "Referer: http://a/\"b\\\r\n"));
        played.ask("lyon", own, 404, &head("/nothing/\u{e9}", FORGER));
        played.ask("lyon", own, 429, &head(&search, agent));
        played.ask("-", "127.0.0.2", 403, &head(&search, agent));
        played.ask("-", "127.0.0.3", 403, &head(&list, FORGER));
        let target = "/\"%20403%201%20\"-\"%20\"-\"";
        played.ask("-", "127.0.0.3", 403, &head(target, FORGER));
        played
    }

    /// The same, and requests that are none.
    fn with_odd_ones() -> Self {
        let mut played = Self::new();
        played.ask("lyon", "127.0.0.1", 400, "GET  /x\" HTTP/1.1\r\n\r\n");
        played.ask("-", "127.0.0.4", 400, "\u{16}\u{3}\u{1} \"\r\n\r\n");
        let line = "\" 403 1 \"-\" \"-\"";
        played.ask("-", "127.0.0.5", 400, &format!("GET /{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
        played
    }

    fn ask(&mut self, peer: &'static str, address: &'static str, status: u16, request: &str) {
        let from = Some(address.parse().unwrap());
        let answer = exchange(self.gateway.addr(), from, request.as_bytes());
        assert_eq!(answer.status, status, "{request}");
        self.asked.push((peer, address, status));
    }

    /// A log once it is complete.
    fn log(&self, name: &str) -> PathBuf {
        let path = self.gateway.file(name);
        let complete = becomes_true(|| {
            fs::read(&path).unwrap().iter().filter(|&&byte| byte == b'\n').count()
                == self.asked.len()
        });
        assert!(complete, "{name} has {}", fs::read_to_string(&path).unwrap());
        path
    }

    fn count(&self, of: impl Fn(&(&str, &str, u16)) -> bool) -> usize {
        self.asked.iter().filter(|asked| of(asked)).count()
    }

    fn count_by<K: Ord>(&self, key: impl Fn(&(&str, &str, u16)) -> K) -> BTreeMap<K, usize> {
        let mut counts = BTreeMap::new();
        for asked in &self.asked {
            *counts.entry(key(asked)).or_default() += 1;
        }
        counts
    }
}

/// The names in one of goaccess's panels, and how often each was asked for.
fn panel(report: &Value, name: &str) -> BTreeMap<String, usize> {
    let mut items: Vec<&Value> = report[name]["data"].as_array().unwrap().iter().collect();
    // Statuses are grouped.
    if items.iter().any(|item| item["items"].is_array()) {
        items = items.iter().flat_map(|item| item["items"].as_array().unwrap()).collect();
    }
    let name = |item: &Value| item["data"].as_str().unwrap().to_owned();
    items.iter().map(|item| (name(item), usize_of(&item["hits"]["count"]))).collect()
}

fn usize_of(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn goaccess_reads_every_line_of_every_format() {
    let played = Played::with_odd_ones();
    for (log, config) in
        [("access.log", "combined"), ("gateway.log", "gateway"), ("json.log", "gateway_json")]
    {
        let read = goaccess(&played.log(log), &packaged(&format!("goaccess/{config}.conf")));
        let Some(Goaccess { report, refused }) = or_left_out(read) else { return };
        let general = &report["general"];
        assert_eq!(general["failed_requests"], 0, "{config}: {refused:?}");
        assert_eq!(usize_of(&general["valid_requests"]), played.asked.len(), "{config}");
        let mut users = played.count_by(|(peer, ..)| (*peer).to_owned());
        // What is absent is an empty string in JSON, and no user to goaccess.
        if config == "gateway_json" {
            users.remove("-");
        }
        assert_eq!(panel(&report, "remote_user"), users, "{config}");
        let addresses = played.count_by(|(_, address, _)| (*address).to_owned());
        assert_eq!(panel(&report, "hosts"), addresses, "{config}");
        let statuses: BTreeMap<u16, usize> = panel(&report, "status_codes")
            .into_iter()
            .map(|(status, count)| (status[..3].parse().unwrap(), count))
            .collect();
        assert_eq!(statuses, played.count_by(|(.., status)| *status), "{config}");
        let requests = panel(&report, "requests");
        assert_eq!(requests[&format!("{PHONEBOOK}?act=search&search=doe")], 5, "{config}");
        if config != "combined" {
            assert!(panel(&report, "vhosts")["localhost"] >= 9, "{report}");
            assert!(report["requests"]["metadata"]["avgts"].is_object(), "{report}");
        }
    }
}

/// With these limits, as the files say: goaccess reads a line of more than 4096 bytes in pieces.
const SHORT: &str = r#"
[[access_log]]
path = "combined.log"
max_field = "1k"
flush = "10ms"
[[access_log]]
path = "gateway.log"
format = "gateway"
max_field = 800
flush = "10ms"
[[access_log]]
path = "json.log"
format = "gateway_json"
max_field = 400
flush = "10ms"
"#;

#[test]
fn goaccess_loses_no_line_that_is_as_long_as_a_client_can_make_it() {
    let upstream = Scripted::well();
    let main = format!("workers = 1\n{}{SHORT}", loopback_config(upstream.address()));
    let gateway = Serving::start(&main, &[("lyon", PEER)]).unwrap();
    let long = "\"".repeat(2000);
    let host = "h".repeat(1000);
    let request = format!(
        "GET /{long}?{long} HTTP/1.1\r\nHost: {host}\r\nReferer: {long}\r\nUser-Agent: {long}\r\n\
         Connection: close\r\n\r\n"
    );
    exchange(gateway.addr(), None, request.as_bytes());
    let request = request.replace(&long, &"e".repeat(2000));
    exchange(gateway.addr(), None, request.as_bytes());
    for (log, config) in
        [("combined.log", "combined"), ("gateway.log", "gateway"), ("json.log", "gateway_json")]
    {
        let path = gateway.file(log);
        assert!(becomes_true(|| fs::read_to_string(&path).unwrap().lines().count() == 2));
        assert!(fs::read_to_string(&path).unwrap().lines().all(|line| line.len() > 2000));
        let read = goaccess(&path, &packaged(&format!("goaccess/{config}.conf")));
        let Some(Goaccess { report, refused }) = or_left_out(read) else { return };
        assert_eq!(report["general"]["failed_requests"], 0, "{config}: {refused:?}");
        assert_eq!(report["general"]["valid_requests"], 2, "{config}");
    }
}

#[test]
fn lnav_finds_the_fields_of_every_format() {
    let played = Played::with_odd_ones();
    let format = packaged("lnav/phonebook-gateway.json");
    let asked: Vec<_> = played
        .asked
        .iter()
        .map(|&(peer, address, status)| json!([address, peer, status]))
        .collect();
    let rows = |log: &str, format, columns: &str, table: &str| {
        let query = format!("SELECT {columns} FROM {table}");
        or_left_out(lnav(&played.log(log), format, &query))
    };
    let column = |rows: &[Value], names: &[&str]| -> Vec<Value> {
        rows.iter().map(|row| names.iter().map(|name| row[name].clone()).collect()).collect()
    };
    let columns = "c_ip, peer, sc_status, action, reason, limit_name, rule, request_time, log_level, \
                   cs_uri_stem, cs_uri_query, cs_user_agent, cs_request, upstream_status";
    let Some(own) = rows("gateway.log", Some(&*format), columns, "phonebook_gateway") else {
        return;
    };
    assert_eq!(column(&own, &["c_ip", "peer", "sc_status"]), asked);
    assert_eq!(own[0]["cs_uri_stem"], PHONEBOOK);
    assert_eq!(own[0]["cs_uri_query"], "act=search&search=doe");
    assert_eq!(own[0]["upstream_status"].to_string().trim_matches('"'), "200");
    assert!(own[0]["request_time"].is_number());
    assert_eq!(own[0]["log_level"], "info");
    assert_eq!(own[3]["log_level"], "warning");
    assert_eq!(own[3]["action"], "list");
    assert_eq!(own[3]["reason"], "action-not-granted");
    assert!(own[3]["rule"].as_str().unwrap().ends_with("policies/lyon.toml:2"));
    assert_eq!(own[5]["limit_name"], "peer");
    assert_eq!(own[9]["cs_request"], "GET  /x\\x22 HTTP/1.1");
    assert!(own[7]["cs_user_agent"].as_str().unwrap().contains("\\x22 403 1 \\x22"));

    let columns = "remote_addr, CASE peer WHEN '' THEN '-' ELSE peer END AS peer, status, reason, \
                   request_time, user_agent, log_level, jget(log_raw_text, '/limit') AS used_up";
    let json = rows("json.log", Some(&*format), columns, "phonebook_gateway_json").unwrap();
    assert_eq!(column(&json, &["remote_addr", "peer", "status"]), asked);
    assert_eq!(json[3]["reason"], "action-not-granted");
    assert_eq!(json[3]["log_level"], "warning");
    assert_eq!(json[5]["used_up"], "peer");
    assert!(json[7]["user_agent"].as_str().unwrap().contains("\" 403 1 \""), "{}", json[7]);

    // `combined` is lnav's own, also where the gateway's are installed. It takes no request that is none.
    let columns = "c_ip, cs_username, sc_status";
    let table = "access_log WHERE log_level <> 'invalid'";
    let combined = rows("access.log", Some(&*format), columns, table).unwrap();
    assert_eq!(column(&combined, &["c_ip", "cs_username", "sc_status"])[..9], asked[..9]);
}

#[test]
fn awstats_counts_what_was_asked() {
    let played = Played::new();
    for log in ["access.log", "gateway.log"] {
        let Some(read) = or_left_out(awstats(&played.log(log))) else { return };
        assert_eq!(read.refused, [""; 0], "{log}");
        let section = |name: &str| -> BTreeMap<&str, usize> {
            let (begin, end) = (format!("BEGIN_{name} "), format!("END_{name}"));
            read.data
                .lines()
                .skip_while(|line| !line.starts_with(&begin))
                .skip(1)
                .take_while(|line| *line != end)
                .map(|line| {
                    let mut words = line.split(' ');
                    let name = words.next().unwrap();
                    (name, words.nth(usize::from(name.parse::<u16>().is_err())).unwrap())
                })
                .map(|(name, count)| (name, count.parse().unwrap()))
                .collect()
        };
        // It counts hits by peer for answers, and refusals by status.
        assert_eq!(section("LOGIN"), BTreeMap::from([("lyon", 3)]), "{log}");
        assert_eq!(section("VISITOR"), BTreeMap::from([("127.0.0.1", 3)]), "{log}");
        let refusals = |status| played.count(|asked| asked.2 == status);
        let errors = [("403", refusals(403)), ("404", refusals(404)), ("429", refusals(429))];
        assert_eq!(section("ERRORS"), BTreeMap::from(errors), "{log}");
    }
}

#[test]
fn vector_finds_the_same_fields_in_every_format() {
    let played = Played::with_odd_ones();
    let mut events = Vec::new();
    for log in ["access.log", "gateway.log", "json.log"] {
        let Some(read) = or_left_out(vector(&played.log(log))) else { return };
        let read: Vec<Value> = read.into_iter().collect::<Result<_, _>>().unwrap();
        let asked: Vec<_> = read
            .iter()
            .map(|event| {
                let peer = event["peer"].as_str().unwrap_or("-");
                (peer, event["remote_addr"].as_str().unwrap(), &event["status"])
            })
            .map(|(peer, address, status)| json!([peer, address, status]))
            .collect();
        let expected: Vec<_> = played.asked.iter().map(|asked| json!(asked)).collect();
        assert_eq!(asked, expected, "{log}");
        for event in &read {
            assert!(event["timestamp"].as_str().unwrap().ends_with('Z'), "{event}");
            assert!(event["body_bytes_sent"].is_u64(), "{event}");
        }
        events.push(read);
    }
    // What both formats of the gateway say.
    for (own, json) in events[1].iter().zip(&events[2]) {
        for name in [
            "action",
            "reason",
            "limit",
            "rule",
            "client_source",
            "host",
            "request_time",
            "upstream_connect_time",
            "upstream_header_time",
            "upstream_response_time",
            "upstream_status",
            "policy_revision",
            "request_id",
            "timestamp",
        ] {
            assert_eq!(own[name], json[name], "{name}: {own}\n{json}");
        }
        assert_eq!(own["request_id"].as_str().unwrap().len(), 32, "{own}");
        assert!(own["request_time"].is_f64(), "{own}");
    }
    assert_eq!(events[1][3]["reason"], "action-not-granted");
    assert_eq!(events[1][5]["limit"], "peer");
    assert_eq!(events[1][0]["host"], "localhost");
}

#[test]
fn vector_reads_several_tries_and_drops_what_is_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let line = "192.0.2.7 - lyon [23/Nov/2026:04:01:11 +0100] \"GET / HTTP/1.1\" 502 98 \"-\" \"-\" \
                \"peer=lyon action=list reason=upstream-error limit=- rule=a.toml:2 source=socket \
                host=localhost rt=0.011 uct=-, 0.001 uht=-, 0.009 urt=0.001, 0.010 us=502, 500 \
                revision=5748532bc990 id=b8a1\"";
    let lines = [line, "{\"time\":", "{\"status\":200}", "no line", ""];
    fs::write(&log, lines.map(|line| format!("{line}\n")).concat()).unwrap();
    let Some(read) = or_left_out(vector(&log)) else { return };
    let event = read[0].as_ref().unwrap();
    assert_eq!(event["upstream_status"], "502,500");
    assert_eq!(event["upstream_connect_time"], "-,0.001");
    assert_eq!(event["policy_revision"], "5748532bc990");
    assert_eq!(event["timestamp"], "2026-11-23T03:01:11Z");
    assert!(event.get("limit").is_none(), "{event}");
    assert!(read[1..].iter().all(Result::is_err), "{read:?}");
}

/// Alloy is not in Debian. Its file is held against the lines: the expression, which is of the same family as Vector's,
/// and the names of the JSON.
#[test]
fn grafana_alloy_s_file_fits_the_lines() {
    let played = Played::with_odd_ones();
    let file = fs::read_to_string(packaged("grafana-alloy.alloy")).unwrap();
    let expressions: Vec<&str> = file.split('`').skip(1).step_by(2).collect();
    let [expression] = expressions.iter().filter(|it| it.starts_with('^')).collect::<Vec<_>>()[..]
    else {
        panic!("one expression is expected: {expressions:?}")
    };
    let source = format!(". = parse_regex!(string!(.message), r'{expression}')\n");
    for (log, further) in [("access.log", false), ("gateway.log", true)] {
        let Some(read) = or_left_out(vrl(&source, &played.log(log))) else { return };
        for (fields, (peer, address, status)) in read.iter().zip(&played.asked) {
            let fields = fields.as_ref().unwrap();
            assert_eq!(fields["peer"], *peer);
            assert_eq!(fields["remote_addr"], *address);
            assert_eq!(fields["status"], status.to_string());
            assert_eq!(fields["request_id"].is_string(), further, "{fields}");
        }
    }
    let (_, names) = file.split_once("stage.json {\n      expressions = {\n").unwrap();
    let (names, _) = names.split_once('}').unwrap();
    let names: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
    assert!(names.contains(&"peer") && names.len() >= 8, "{names:?}");
    for line in fs::read_to_string(played.log("json.log")).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(names.iter().all(|name| line.get(name).is_some()), "{names:?}: {line}");
    }
    // What is made a label or metadata is found in lines of either kind.
    let (_, values) = file.split_once("stage.labels {").unwrap();
    let values = values.lines().filter_map(|line| line.trim().strip_suffix(" = \"\","));
    for value in values.map(str::trim) {
        assert!(names.contains(&value), "{value}");
        assert!(expression.contains(&format!("(?P<{value}>")), "{value}");
    }
}
