//! `report` from outside: logs that the gateway and nginx have written, every way to hand them over, and hostile files.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    http::get,
    needs::{or_left_out, program, python_with_jsonschema},
    process::becomes_true,
    program::{Run, Site, command, run},
    scripted::Scripted,
    serving::{Serving, loopback_config},
    xivo::{Nginx, PHONEBOOK},
};

/// The program's report in this directory.
fn report(directory: &Path, words: &[&str]) -> Value {
    let run = run(directory, &[&["report", "--json"], words].concat());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{words:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

/// The same with this on its standard input.
fn report_of_input(words: &[&str], input: &[u8]) -> Run {
    let mut child = command()
        .arg("report")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Without what differs from run to run.
fn comparable(mut report: Value) -> Value {
    report["generated"] = Value::Null;
    report["input"]["files"] = Value::Null;
    report["input"]["configuration"] = Value::Null;
    report["input"]["notes"] = Value::Null;
    report["silent"] = Value::Null;
    report
}

/// How often each value of a list of counts was.
fn counts(list: &Value, name: &str) -> BTreeMap<String, u64> {
    let entries = list.as_array().unwrap().iter();
    let name_of =
        |entry: &Value| entry[name].as_str().map_or_else(|| entry[name].to_string(), str::to_owned);
    entries.map(|entry| (name_of(entry), entry["count"].as_u64().unwrap())).collect()
}

fn map(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
    list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// 2026-11-23 at 00:00:00 UTC and so many seconds, as `$time_local` on the first days.
fn time_local(seconds: u64) -> String {
    let (day, rest) = (23 + seconds / 86_400, seconds % 86_400);
    assert!(day <= 30, "no more days in this month");
    format!("{day}/Nov/2026:{:02}:{:02}:{:02} +0000", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A line of `combined`.
fn line(seconds: u64, address: &str, peer: &str, query: &str, status: u16) -> String {
    let time = time_local(seconds);
    format!(
        "{address} - {peer} [{time}] \"GET {PHONEBOOK}?{query} HTTP/1.1\" {status} 2 \"-\" \"xivo\"\n"
    )
}

/// Some hundred lines of three peers and of unknown callers.
fn some_log() -> String {
    let mut log = String::new();
    for number in 0..600_u64 {
        let peer = ["lyon", "paris", "nantes"][usize::try_from(number % 3).unwrap()];
        let query = format!("act=search&search=term{}", number % 40);
        let status = if number % 50 == 7 { 429 } else { 200 };
        log += &line(number * 60, "192.0.2.1", peer, &query, status);
        if number % 10 == 0 {
            log += &line(number * 60 + 1, "198.51.100.9", "-", &query, 403);
        }
    }
    log
}

#[test]
fn a_log_of_the_gateway_in_each_format_tells_what_was_asked_of_it() {
    let upstream = Scripted::well();
    let mut logs = String::from("workers = 1\n");
    logs += &loopback_config(upstream.address());
    for format in ["combined", "gateway", "gateway_json"] {
        for terms in ["full", "hash", "omit"] {
            write!(
                logs,
                "[[access_log]]\npath = \"{format}-{terms}.log\"\nformat = \"{format}\"\n\
                 search_terms = \"{terms}\"\nflush = \"10ms\"\n"
            )
            .unwrap();
        }
    }
    let policy =
        "hosts = [\"127.0.0.1\"]\nactions = [\"search\"]\nrate = { per_minute = 1, burst = 5 }\n";
    let gateway =
        Serving::start(&logs, &[("lyon", policy), ("quiet", "hosts = [\"192.0.2.99\"]\n")])
            .unwrap();
    let search = |term: &str| format!("{PHONEBOOK}?act=search&search={term}");
    let list = format!("{PHONEBOOK}?act=list");
    let targets = [
        search("doe"),
        search("doe"),
        search("roe"),
        list,
        "/nothing".into(),
        search("doe"),
        search("x"),
    ];
    let statuses: Vec<u16> =
        targets.iter().map(|target| get(gateway.addr(), target).status).collect();
    assert_eq!(statuses, [200, 200, 200, 403, 404, 429, 429]);
    let directory = gateway.file("");
    for format in ["combined", "gateway", "gateway_json"] {
        for terms in ["full", "hash", "omit"] {
            let name = format!("{format}-{terms}.log");
            assert!(becomes_true(|| {
                fs::read_to_string(gateway.file(&name)).unwrap().lines().count() == 7
            }));
            let report = report(&directory, &[&name]);
            assert_eq!(report["input"]["unreadable"], 0, "{name}");
            assert_eq!(report["input"]["files"][0]["format"], format, "{name}");
            let totals = &report["totals"];
            let found = counts(&totals["statuses"], "value");
            assert_eq!(found, map(&[("200", 3), ("403", 1), ("404", 1), ("429", 2)]), "{name}");
            let peers = report["peers"].as_array().unwrap();
            assert_eq!(peers.len(), 1, "{name}: {peers:?}");
            assert_eq!((&peers[0]["name"], &peers[0]["requests"]), (&json!("lyon"), &json!(7)));
            let refused = counts(&report["refusals"], "reason");
            let list = if format == "combined" { "403" } else { "action-not-granted" };
            let expected = map(&[(list, 1), ("unknown-path", 1), ("rate-limited", 2)]);
            assert_eq!(refused, expected, "{name}");
            if terms != "omit" {
                let least = totals["terms"].as_u64().unwrap();
                assert!((2..=3).contains(&least), "{name}: {totals}");
            }
            if format != "combined" {
                assert_eq!(report["limited"][0]["limit"], "peer", "{name}");
                // XiVO was asked for three; the refusals, which take no time, are not among them.
                assert_eq!(report["answer_times"]["count"], 3, "{name}");
                assert_eq!(report["refusal_times"]["count"], 4, "{name}");
            }
        }
    }
    // Without FILE the logs of the configuration are read, which knows of a peer that nobody has heard.
    let of_config = report(&directory, &["--config", "gateway.toml"]);
    let of_file = report(&directory, &["access.log"]);
    assert_eq!(comparable(of_config.clone()), comparable(with_present(of_file, &of_config)));
    let silent = of_config["silent"].as_array().unwrap();
    assert!(silent.iter().any(|it| it["peer"] == "quiet" && it["last"].is_null()), "{silent:?}");
}

/// With what only the configuration can tell: the present rate, and who has not been heard.
fn with_present(mut report: Value, other: &Value) -> Value {
    report["findings"] = other["findings"].clone();
    report["limited"][0]["present"] = other["limited"][0]["present"].clone();
    report
}

#[test]
fn a_log_of_nginx_is_read_in_combined_and_in_the_text_of_its_own_format() {
    let own = "$connection/$connection_requests [$time_iso8601] $pipe $remote_addr \"$request\" $status \
               $bytes_sent $request_time $gzip_ratio \"$http_user_agent\"";
    let started = Nginx::serving(
        &format!("log_format own '{own}';"),
        "access_log @DIR@/access.log combined; access_log @DIR@/own.log own;\n\
         location / { return 204; }\nlocation /no { return 403; }",
    );
    let Some(nginx) = or_left_out(started) else { return };
    for term in ["doe", "roe", "doe"] {
        assert_eq!(get(nginx.addr(), &format!("{PHONEBOOK}?act=search&search={term}")).status, 204);
    }
    assert_eq!(get(nginx.addr(), "/no").status, 403);
    nginx.lines_of("own.log", 4);
    nginx.access_log_of(4);
    let directory = nginx.file("");
    for words in [&["access.log"][..], &["--log-format", own, "own.log"]] {
        let report = report(&directory, words);
        assert_eq!(report["input"]["unreadable"], 0);
        let statuses = counts(&report["totals"]["statuses"], "value");
        assert_eq!(statuses, map(&[("204", 3), ("403", 1)]));
        let peer = &report["peers"][0];
        assert_eq!((&peer["name"], &peer["is_address"]), (&json!("127.0.0.1"), &json!(true)));
        assert_eq!((&peer["requests"], &peer["terms"]), (&json!(3), &json!(2)));
        assert_eq!(counts(&report["refusals"], "reason"), map(&[("unknown-peer", 1)]));
        assert_eq!(report["unknown"]["requests"], 1);
    }
}

#[test]
fn however_a_log_is_handed_over_it_tells_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let log = some_log();
    fs::write(at("plain.log"), &log).unwrap();
    let expected = comparable(report(directory.path(), &["plain.log"]));
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    fs::write(at("log.gz"), gzip(log.as_bytes())).unwrap();
    assert_eq!(comparable(report(directory.path(), &["log.gz"])), expected);
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let (oldest, rest) = lines.split_at(200);
    let (middle, newest) = rest.split_at(200);
    fs::write(at("set.log.2.gz"), gzip(oldest.concat().as_bytes())).unwrap();
    fs::write(at("set.log.1"), middle.concat()).unwrap();
    fs::write(at("set.log"), newest.concat()).unwrap();
    for set in [["set.log", "set.log.1", "set.log.2.gz"], ["set.log.1", "set.log.2.gz", "set.log"]]
    {
        assert_eq!(comparable(report(directory.path(), &set)), expected, "{set:?}");
    }
    let twice = report(directory.path(), &["plain.log", "./plain.log"]);
    assert_eq!(comparable(twice.clone()), expected);
    assert_eq!(twice["input"]["files"].as_array().unwrap().len(), 1);
    for words in [&["--json", "-"][..], &["--json", "/dev/stdin"]] {
        let run = report_of_input(words, log.as_bytes());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        let read = comparable(serde_json::from_str(&run.stdout).unwrap());
        assert_eq!(read, expected, "{words:?}");
    }
    if let Some(zstd) = or_left_out(program("zstd", "zstd")) {
        let mut packing = Command::new(zstd);
        packing.args(["-q", "plain.log", "-o", "log.zst"]).current_dir(directory.path());
        assert!(packing.status().unwrap().success());
        assert_eq!(comparable(report(directory.path(), &["log.zst"])), expected);
    }
}

#[test]
fn what_is_selected_is_what_the_lines_say() {
    let directory = tempfile::tempdir().unwrap();
    let log = some_log();
    fs::write(directory.path().join("a.log"), &log).unwrap();
    let number = |words: &[&str]| {
        let report = report(directory.path(), &[words, &["a.log"]].concat());
        let requests = report["totals"]["requests"].as_u64().unwrap();
        let filtered = report["input"]["filtered"].as_u64().unwrap();
        assert_eq!(requests + filtered, log.lines().count() as u64);
        usize::try_from(requests).unwrap()
    };
    let having = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    let early = having("2026:00:") + having("2026:01:");
    assert_eq!(number(&["--until", "2026-11-23T02:00:00Z"]), early);
    assert_eq!(number(&["--since", "2026-11-23T02:00:00Z"]), log.lines().count() - early);
    assert_eq!(number(&["--peer", "lyon"]), having(" - lyon ["));
    assert_eq!(number(&["--peer", "lyon,paris"]), having(" - lyon [") + having(" - paris ["));
    assert_eq!(number(&["--status", "429"]), having("\" 429 "));
    assert_eq!(number(&["--status", "4xx"]), having("\" 429 ") + having("\" 403 "));
    assert_eq!(number(&["--status", "!4xx"]), having("\" 200 "));
    assert_eq!(number(&["--reason", "unknown-peer"]), having("\" 403 "));
    assert_eq!(number(&["--reason", "rate-limited"]), having("\" 429 "));
}

#[test]
fn many_threads_tell_what_one_tells() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = String::new();
    for number in 0..110_000_u64 {
        let query = format!("act=search&search=term{}", number % 100);
        let peer = ["lyon", "paris", "-"][usize::try_from(number % 3).unwrap()];
        let status = if peer == "-" {
            403
        } else {
            [200, 200, 429, 502][usize::try_from(number / 3 % 4).unwrap()]
        };
        log += &line(number, "192.0.2.1", peer, &query, status);
        if number % 1000 == 0 {
            log += "not a line\n";
        }
    }
    assert!(log.len() > 12 << 20, "{}", log.len());
    fs::write(directory.path().join("a.log"), &log).unwrap();
    let one = comparable(report(directory.path(), &["--threads", "1", "a.log"]));
    let four = comparable(report(directory.path(), &["--threads", "4", "a.log"]));
    assert_eq!(one["input"]["unreadable"], 110);
    assert_eq!(one, four);
}

#[test]
fn a_format_that_cannot_be_read_is_said_to_be_so() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.log"), some_log()).unwrap();
    for (format, said) in [
        ("combind", "combined"),
        (
            "[$time_local] $status$body_bytes_sent",
            "between $status and $body_bytes_sent stands nothing",
        ),
        ("$remote_addr $status", "no time"),
        ("$remote_addr [$time_local]", "no $status"),
    ] {
        let run = run(directory.path(), &["report", "--log-format", format, "a.log"]);
        assert_eq!(run.code, Some(2), "{format}");
        assert!(run.stderr.contains(said), "{format}: {}", run.stderr);
    }
}

#[test]
fn lines_that_cannot_be_read_are_counted_and_shown_with_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = some_log();
    log.insert_str(0, "first\n");
    log += "last";
    fs::write(directory.path().join("a.log"), &log).unwrap();
    let report = report(directory.path(), &["a.log"]);
    let input = &report["input"];
    assert_eq!(input["lines"], log.lines().count());
    assert_eq!(input["unreadable"], 2);
    let sample = |at: usize| {
        let sample = &input["unreadable_samples"][at];
        (sample["file"].clone(), sample["line"].as_u64().unwrap(), sample["text"].clone())
    };
    assert_eq!(sample(0), (json!("a.log"), 1, json!("first")));
    assert_eq!(sample(1), (json!("a.log"), log.lines().count() as u64, json!("last")));
    let missing = run(directory.path(), &["report", "missing.log"]);
    assert_eq!(missing.code, Some(3));
    assert!(missing.stderr.contains("missing.log"), "{}", missing.stderr);
    let folder = run(directory.path(), &["report", "."]);
    assert_eq!(folder.code, Some(3), "{}", folder.stderr);
}

#[test]
fn whatever_a_file_holds_is_counted_and_no_panic() {
    let line = line(5, "192.0.2.1", "lyon", "act=list", 200);
    let plain = line.trim_end();
    let mut noise = vec![0_u8; 1 << 20];
    let mut state = 1_u32;
    for byte in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = state.to_be_bytes()[0];
    }
    let huge = vec![b'x'; 20 << 20];
    let cases: Vec<(&str, Vec<u8>, u64, Option<u64>)> = vec![
        ("empty", vec![], 0, Some(0)),
        ("line ends alone", b"\n\r\n\n".to_vec(), 0, Some(0)),
        ("noise", noise, 0, None),
        ("20 MB without an end", huge, 0, None),
        ("NULs", vec![0; 4096], 0, Some(1)),
        ("no final line end", format!("{line}{plain}").into(), 2, Some(0)),
        ("CRLF", format!("{plain}\r\n{plain}\r\n").into(), 2, Some(0)),
        ("broken gzip", b"\x1f\x8b\x08\x00garbage".to_vec(), 0, None),
        ("broken zstd", b"\x28\xb5\x2f\xfdgarbage".to_vec(), 0, None),
    ];
    for (name, bytes, requests, unreadable) in cases {
        let run = report_of_input(&["--json", "-"], &bytes);
        assert!(matches!(run.code, Some(0 | 1 | 3)), "{name}: {:?} {}", run.code, run.stderr);
        assert!(!run.stderr.contains("panicked"), "{name}: {}", run.stderr);
        let Ok(report) = serde_json::from_str::<Value>(&run.stdout) else {
            assert_eq!((run.code, name.split(' ').next()), (Some(3), Some("broken")), "{name}");
            continue;
        };
        assert_eq!(report["totals"]["requests"], requests, "{name}");
        if let Some(unreadable) = unreadable {
            assert_eq!(report["input"]["unreadable"], unreadable, "{name}");
        }
        if report["input"]["lines"].as_u64() > Some(0) && requests == 0 {
            assert_eq!(run.code, Some(1), "{name}");
            assert!(run.stderr.contains("--log-format"), "{name}: {}", run.stderr);
        }
    }
}

#[test]
fn hostile_figures_and_times_neither_overflow_nor_pass_for_real_ones() {
    let of =
        |time: &str, figure: &str| format!("192.0.2.1 [{time}] 200 {figure} {figure} {figure}\n");
    let format =
        "$remote_addr [$time_local] $status $body_bytes_sent $request_time $upstream_response_time";
    let mut log = String::new();
    for figure in [
        "999999999999999999",
        "99999999999999999999999",
        "999999999999999",
        "-1",
        "0.001, 999999999999999999",
    ] {
        log += &of("23/Nov/2026:00:00:00 +0000", figure).repeat(40);
    }
    for time in
        ["31/Dec/9999:23:59:59 -2359", "01/Jan/0000:00:00:00 +2359", "23/Nov/2026:00:00:00 +9999"]
    {
        log += &of(time, "1");
    }
    let run = report_of_input(&["--json", "--log-format", format, "-"], log.as_bytes());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    // A figure of 15 digits is one; what is longer, negative or a list where none belongs was not written by nginx.
    assert_eq!(report["totals"]["requests"], 40);
    assert_eq!(report["input"]["unreadable"], 163);
    let msec = "99999999999999999.000 200\n999999999999.000 200\n1795404830.000 200\n";
    let run = report_of_input(&["--json", "--log-format", "$msec $status", "-"], msec.as_bytes());
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&report["totals"]["requests"], &report["input"]["unreadable"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn a_client_cannot_make_its_line_unreadable_by_its_name_or_forge_another_one() {
    let log = concat!(
        r#"192.0.2.1 - a [b [23/Nov/2026:00:00:00 +0000] "GET / HTTP/1.1" 403 1 "-" "-""#,
        "\n",
        r#"192.0.2.1 - x [01/Jan/1999:00:00:00 +0000] \x22GET / HTTP/1.1\x22 200 1 [23/Nov/2026:00:00:00 +0000] "GET / HTTP/1.1" 403 1 "-" "-""#,
        "\n",
        r#"192.0.2.1 - - [23/Nov/2026:00:00:00 +0000] "GET / HTTP/1.1" 403 1 "\x22 200 \x22" "\x22] \x22GET""#,
        "\n",
    );
    let run = report_of_input(&["--json", "-"], log.as_bytes());
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["input"]["unreadable"], 0, "{}", report["input"]);
    assert_eq!(counts(&report["totals"]["statuses"], "value"), map(&[("403", 3)]));
}

#[test]
fn logs_of_the_same_time_are_put_into_one_order_and_quotas_are_those_of_the_sum() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.log", "b.log"] {
        let lines = (0..2000).map(|at| line(at * 10, "192.0.2.1", "lyon", "act=list", 200));
        let limited = line(20_001, "192.0.2.1", "lyon", "act=list", 429);
        fs::write(directory.path().join(name), lines.collect::<String>() + &limited).unwrap();
    }
    let report = report(directory.path(), &["a.log", "b.log"]);
    let limited = &report["limited"][0];
    // Each gateway has seen one a second, and both together two, but not four thousand at once.
    assert_eq!(limited["busiest_second"]["count"], 2, "{limited}");
    assert_eq!(limited["sufficient"], json!([{"per_second": 1, "burst": 2}]));
    assert_eq!(report["input"]["notes"], json!([]));
}

#[test]
fn an_alphabetical_sweep_is_found_when_it_is_slow_and_among_others() {
    let directory = tempfile::tempdir().unwrap();
    for (name, step) in [("fast.log", 1), ("slow.log", 30)] {
        let mut log = String::new();
        let mut at = 0;
        for first in b'a'..=b'z' {
            for second in b'a'..=b'z' {
                let term = format!("{}{}", char::from(first), char::from(second));
                log += &line(at, "192.0.2.1", "lyon", &format!("act=search&search={term}"), 200);
                if at % 3 == 0 {
                    log += &line(at, "192.0.2.2", "paris", "act=search&search=martin", 200);
                }
                at += step;
            }
        }
        fs::write(directory.path().join(name), log).unwrap();
        let report = report(directory.path(), &[name]);
        let harvests = report["harvests"].as_array().unwrap();
        let found: Vec<_> = harvests.iter().filter(|it| it["kind"] == "alphabetical").collect();
        assert!(!found.is_empty(), "{name}: {harvests:?}");
        assert!(found.iter().all(|it| it["peer"] == "lyon"), "{name}: {harvests:?}");
    }
}

#[test]
fn a_failing_xivo_shows_as_an_outage_and_a_peer_that_stopped_as_silent() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = String::new();
    for at in 0..1440_u64 {
        let status = if (600..620).contains(&at) { 502 } else { 200 };
        log += &line(at * 60, "192.0.2.1", "lyon", "act=list", status);
        if at < 300 {
            log += &line(at * 60, "192.0.2.2", "paris", "act=list", 200);
        }
    }
    for at in 1440..5000_u64 {
        log += &line(at * 60, "192.0.2.1", "lyon", "act=list", 200);
    }
    fs::write(directory.path().join("a.log"), log).unwrap();
    let report = report(directory.path(), &["a.log"]);
    let outages = report["upstream"]["outages"].as_array().unwrap();
    assert_eq!(outages.len(), 1, "{outages:?}");
    assert_eq!(outages[0]["failed"], 20);
    assert_eq!(outages[0]["begin"], "2026-11-23T10:00:00+00:00");
    assert_eq!(outages[0]["end"], "2026-11-23T10:19:00+00:00");
    let silent = report["silent"].as_array().unwrap();
    assert_eq!(silent.len(), 1, "{silent:?}");
    assert_eq!((&silent[0]["peer"], &silent[0]["requests"]), (&json!("paris"), &json!(300)));
}

#[test]
fn one_host_is_one_caller_and_this_host_is_no_administrator_s() {
    let directory = tempfile::tempdir().unwrap();
    // XiVO's own log; its listener on [::] writes addresses of IPv4 in two ways, the gateway's `source` among them.
    let mut log = String::new();
    let letters = || 'a'..='z';
    let pairs = letters().flat_map(|a| letters().take(4).map(move |b| format!("{a}{b}")));
    for (at, pair) in (0..).zip(pairs) {
        let query = format!("act=search&search={pair}");
        log += &line(at * 3, "::ffff:192.0.2.80", "-", &query, 200);
        log += &line(
            at * 3,
            if at % 2 == 0 { "192.0.2.1" } else { "::ffff:192.0.2.1" },
            "-",
            "act=list",
            200,
        );
    }
    let main = "state_directory = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
                [upstream]\nurl = \"http://192.0.2.9\"\nsource = \"192.0.2.80\"\n";
    // A peer that still goes around the gateway is known by its address, and not called silent.
    log += &line(400, "192.0.2.124", "-", "act=list", 200);
    let site = Site::new(main, &[("lyon", "hosts = [\"192.0.2.124\"]\n")]);
    fs::write(directory.path().join("xivo.access.log"), log).unwrap();
    let main_file = site.main_file();
    let main_file = main_file.to_str().unwrap();
    let report = report(directory.path(), &["--config", main_file, "xivo.access.log"]);
    let peers = report["peers"].as_array().unwrap();
    let names: Vec<_> = peers.iter().map(|peer| (&peer["name"], &peer["requests"])).collect();
    assert_eq!(
        names[..2],
        [(&json!("192.0.2.1"), &json!(104)), (&json!("192.0.2.80"), &json!(104))]
    );
    let description = peers[2]["description"].as_str().unwrap();
    assert_eq!(description, "of the peer lyon");
    assert_eq!((&report["totals"]["addresses"], &report["silent"]), (&json!(3), &json!([])));
    let findings = report["findings"].as_array().unwrap();
    let of = |kind: &str| findings.iter().filter(|it| it["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(of("letin").len(), 1, "{findings:?}");
    let harvest = of("harvest")[0];
    assert!(harvest["text"].as_str().unwrap().starts_with("192.0.2.80 went through"), "{harvest}");
    let advice = harvest["advice"].as_str().unwrap();
    assert!(advice.contains("this gateway") && !advice.contains("administrator"), "{advice}");
}

#[test]
fn the_policy_for_an_unknown_caller_passes_check() {
    let directory = tempfile::tempdir().unwrap();
    let log: String =
        (0..50).map(|at| line(at * 5, "198.51.100.9", "-", "act=search&search=doe", 403)).collect();
    fs::write(directory.path().join("a.log"), log).unwrap();
    let report = report(directory.path(), &["a.log"]);
    let policy = report["unknown"]["callers"][0]["policy"].as_str().unwrap();
    let main = "state_directory = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
                [upstream]\nurl = \"http://192.0.2.80\"\n";
    let site = Site::new(main, &[("new", policy)]);
    let check = site.run(&["check", "--offline", "--config", "gateway.toml"]);
    assert_eq!(check.code, Some(0), "{policy}\n{check:?}");
    assert!(check.stderr.contains("1 peer,"), "{policy}\n{check:?}");
}

#[test]
fn a_policy_is_proposed_for_whom_is_asked_though_others_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let log: String = (0..40)
        .map(|at| match at % 4 {
            0 => line(at, "198.51.100.9", "-", "act=search&search=doe", 403),
            1 => line(at, "198.51.100.10", "-", "act=search&search=roe", 403),
            _ => line(at, "192.0.2.1", "lyon", "act=search&search=doe", 200),
        })
        .collect();
    fs::write(directory.path().join("a.log"), log).unwrap();
    let told = |words: &[&str]| {
        let report = report(directory.path(), &[words, &["a.log"]].concat());
        let callers = report["unknown"]["callers"].as_array().unwrap().clone();
        let proposed = callers.iter().filter(|caller| caller["policy"].is_string()).count();
        (callers.len(), proposed, report["input"]["notes"].as_array().unwrap().len())
    };
    assert_eq!(told(&[]), (2, 2, 0));
    assert_eq!(told(&["--peer", "198.51.100.9"]), (1, 1, 0));
    assert_eq!(told(&["--peer", "-"]), (2, 2, 0));
    // Nobody in no policy is asked for, and nothing is said of them.
    assert_eq!(told(&["--peer", "lyon"]), (0, 0, 0));
    // What they asked for otherwise is not known to the figures: nothing is proposed, and why.
    assert_eq!(told(&["--status", "2xx"]), (0, 0, 1));
    assert_eq!(told(&["--peer", "198.51.100.9", "--status", "2xx"]), (0, 0, 1));
}

#[test]
fn a_quota_that_is_said_to_suffice_refuses_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let log: String = (0..40)
        .map(|at| {
            line(
                at / 20,
                "192.0.2.1",
                "lyon",
                "act=search&search=doe",
                if at % 20 < 15 { 200 } else { 429 },
            )
        })
        .collect();
    fs::write(directory.path().join("a.log"), log).unwrap();
    let report = report(directory.path(), &["a.log"]);
    let sufficient = report["limited"][0]["sufficient"].as_array().unwrap();
    assert!(!sufficient.is_empty());
    // The log again: twice 20 at once, a second apart.
    let quota = &sufficient[0];
    let (rate, burst) = (quota["per_second"].as_u64().unwrap(), quota["burst"].as_u64().unwrap());
    let upstream = Scripted::well();
    let policy =
        format!("hosts = [\"127.0.0.1\"]\nrate = {{ per_second = {rate}, burst = {burst} }}\n");
    let gateway =
        Serving::start(&loopback_config(upstream.address()), &[("lyon", &policy)]).unwrap();
    for number in 0..40 {
        if number == 20 {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        let status = get(gateway.addr(), &format!("{PHONEBOOK}?act=search&search=doe")).status;
        assert_eq!(status, 200, "request {number} at {quota}");
    }
}

/// Runs its arguments in a terminal of 100 columns and 40 rows; tells their process, what they show, and their end.
/// A test that was started in the background may have inherited that INT is ignored.
const IN_A_TERMINAL: &str = "import fcntl, os, pty, signal, struct, sys, termios\n\
    pid, fd = pty.fork()\n\
    if pid == 0:\n  signal.signal(signal.SIGINT, signal.SIG_DFL)\n  os.execv(sys.argv[1], sys.argv[1:])\n\
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 100, 0, 0))\n\
    out = sys.stdout.buffer\n\
    out.write(b'process %d\\n' % pid); out.flush()\n\
    while True:\n\
    \x20 try: data = os.read(fd, 65536)\n\
    \x20 except OSError: break\n\
    \x20 if not data: break\n\
    \x20 out.write(data); out.flush()\n\
    out.write(b'\\nended by %d\\n' % (os.waitpid(pid, 0)[1] & 127)); out.flush()\n";

#[test]
fn what_is_followed_grows_over_a_rotation_until_it_is_interrupted() {
    let Some(python) = or_left_out(program("python3", "python3")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("a.log");
    let some = |count: u64| -> String {
        (0..count).map(|at| line(at, "192.0.2.1", "lyon", "act=list", 200)).collect()
    };
    fs::write(&log, some(10)).unwrap();
    let mut terminal = Command::new(python)
        .args(["-c", IN_A_TERMINAL, env!("CARGO_BIN_EXE_phonebook-gateway")])
        .args(["report", "--follow", "a.log"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(fs::File::create(directory.path().join("shown")).unwrap())
        .spawn()
        .unwrap();
    let shown =
        || String::from_utf8_lossy(&fs::read(directory.path().join("shown")).unwrap()).into_owned();
    let shows =
        |text: &str| assert!(becomes_true(|| shown().contains(text)), "{text}: {}", shown());
    shows("10 requests");
    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(some(5).as_bytes()).unwrap();
    shows("15 requests");
    fs::rename(&log, directory.path().join("a.log.1")).unwrap();
    file.write_all(some(2).as_bytes()).unwrap();
    fs::write(&log, some(7)).unwrap();
    shows("24 requests");
    let process = shown().split_whitespace().nth(1).unwrap().parse().unwrap();
    let process = rustix::process::Pid::from_raw(process).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    shows("ended by ");
    assert!(terminal.wait().unwrap().success());
}

#[test]
fn the_terminal_s_report_is_plain_and_narrow_where_nothing_else_can_be_shown() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.log"), some_log()).unwrap();
    let output = command()
        .current_dir(directory.path())
        .args(["report", "a.log"])
        .env("COLUMNS", "80")
        .env("LANG", "C")
        .env_remove("LC_ALL")
        .env_remove("LC_CTYPE")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.is_ascii() && !text.contains('\x1b'), "{text}");
    let widest = text.lines().max_by_key(|line| line.len()).unwrap();
    assert!(widest.len() <= 80, "{widest}");
    assert!(text.contains("lyon") && text.contains("unknown-peer"), "{text}");
}

#[test]
fn what_clients_have_written_is_shown_without_its_control_characters() {
    let mut log = Vec::new();
    let evil = b"\x1b]0;x\x07\xff\xe2\x80\xaeevil".as_slice();
    for (status, name) in [(200, evil), (403, b"-"), (429, evil)] {
        for _ in 0..20 {
            log.extend_from_slice(b"192.0.2.1 - ");
            log.extend_from_slice(name);
            log.extend_from_slice(
                b" [23/Nov/2026:00:00:00 +0000] \"GET /\x1b[2J\xc2\x9b?search=\x1b[1m HTTP/1.1\" ",
            );
            log.extend_from_slice(
                format!("{status} 2 \"-\" \"\x1b[5m\u{9b}\u{202e}\"\n").as_bytes(),
            );
        }
    }
    log.extend_from_slice(b"\x1b[31munreadable\x9b\n");
    for words in [&["-"][..], &["--json", "-"]] {
        let run = report_of_input(words, &log);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        let found: Vec<&str> = run.stdout.lines().filter(|line| line.contains(bad)).collect();
        // What reads JSON is no terminal; control characters are escaped there, and C1 is not.
        assert!(
            words[0] == "--json" && !run.stdout.contains('\x1b') || found.is_empty(),
            "{found:?}"
        );
    }
}

#[test]
fn who_reads_only_the_first_line_sees_no_complaint() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.log"), some_log()).unwrap();
    let program = env!("CARGO_BIN_EXE_phonebook-gateway");
    let output = Command::new("sh")
        .args(["-c", "\"$1\" report --json a.log | head -n 1", "sh", program])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn the_json_is_what_its_schema_says() {
    let Some(python) = or_left_out(python_with_jsonschema()) else { return };
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("rich.log"), some_log() + "unreadable\n").unwrap();
    fs::write(directory.path().join("empty.log"), "").unwrap();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/report.schema.json");
    let validate = "import json, sys\n\
        from jsonschema import Draft202012Validator as V\n\
        schema = json.load(open(sys.argv[1])); V.check_schema(schema)\n\
        for error in V(schema).iter_errors(json.load(open(sys.argv[2]))): print(error)\n";
    let errors = |report: &Value| {
        let file = directory.path().join("report.json");
        fs::write(&file, report.to_string()).unwrap();
        let output =
            Command::new(python).args(["-c", validate, schema]).arg(file).output().unwrap();
        let (stdout, stderr) = (output.stdout, output.stderr);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    };
    for name in ["rich.log", "empty.log"] {
        assert_eq!(errors(&report(directory.path(), &[name])), "", "{name}");
    }
    // The schema holds something: a figure too many, and one that is missing.
    let mut wrong = report(directory.path(), &["empty.log"]);
    wrong["totals"]["surplus"] = json!(1);
    assert!(errors(&wrong).contains("surplus"));
    let mut wrong = report(directory.path(), &["empty.log"]);
    wrong["totals"].as_object_mut().unwrap().remove("requests");
    assert!(errors(&wrong).contains("requests"));
}

#[test]
fn memory_does_not_grow_with_the_lines() {
    let directory = tempfile::tempdir().unwrap();
    let peak = |lines: u64| {
        let mut log = String::new();
        for number in 0..lines {
            let [.., a, b, c] = number.to_be_bytes();
            let peer = if number % 2 == 0 { "lyon" } else { "-" };
            let status = if number % 2 == 0 { 200 } else { 403 };
            let query = format!("act=search&search=t{number}");
            log += &line(number / 4, &format!("10.{a}.{b}.{c}"), peer, &query, status);
        }
        fs::write(directory.path().join("a.log"), log).unwrap();
        // The shell's `time` has no memory; Python's rusage of children has.
        let output = Command::new("python3")
            .args([
                "-c",
                "import resource, subprocess, sys\n\
                subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n\
                print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)",
                env!("CARGO_BIN_EXE_phonebook-gateway"),
                "report",
                "--threads",
                "2",
                "--json",
                "a.log",
            ])
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap()
    };
    let (few, many) = (peak(200_000), peak(1_000_000));
    assert!(many < 100 << 10, "{many} kB");
    assert!(many * 2 < few * 3, "{few} kB, {many} kB");
}
