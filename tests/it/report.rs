//! `report` as its user runs it: on logs of the gateway and of nginx, in every form that they have, and what it
//! makes of what is no log.

#[cfg(test)]
mod week;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::support::{
    http::exchange,
    needs::{Missing, or_left_out},
    process::becomes_true,
    program::{self, Site},
    scripted::Scripted,
    serving::{Serving, loopback_config},
    xivo::PHONEBOOK,
};

/// Runs `report` there, without a terminal, 80 columns wide.
fn report(directory: &Path, words: &[&str]) -> Output {
    program::command()
        .current_dir(directory)
        .env_remove("LC_ALL")
        .env("LANG", "C.UTF-8")
        .env("COLUMNS", "80")
        .arg("report")
        .args(words)
        .output()
        .unwrap()
}

/// The JSON that `report` makes of these words.
fn json(directory: &Path, words: &[&str]) -> Value {
    let output = report(directory, &[words, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What does not depend on when and how a report was made.
fn figures(mut report: Value) -> Value {
    report["generated"] = Value::Null;
    report["input"]["files"] = Value::Null;
    report
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `path` packed by this program, beside it.
fn packed(program: &str, path: &Path, name: &str) -> Result<(), Missing> {
    let out = fs::File::create(path.with_file_name(name)).unwrap();
    let status = Command::new(program).arg("-c").arg(path).stdout(out).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Missing::new(program, format!("apt-get install {program}"))),
    }
}

#[test]
fn a_week_is_told_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let week = week::write(&directory.path().join("access.log"));
    let report = json(directory.path(), &["access.log"]);
    let totals = &report["totals"];
    assert_eq!(totals["requests"], week.requests);
    assert_eq!(totals["refused"], week.refused);
    assert_eq!(totals["failed"], week.failed);
    assert_eq!(report["input"]["unreadable"], 2);
    assert_eq!(report["input"]["unreadable_samples"][0]["line"], 1);
    assert_eq!(report["input"]["reasons_inferred"], 0);
    let sum = |key: &str| {
        let list = report["buckets"]["list"].as_array().unwrap();
        list.iter().map(|bucket| bucket[key].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((sum("requests"), sum("late")), (week.requests, week.late));
    for (peer, requests) in &week.peers {
        let peers = report["peers"].as_array().unwrap();
        let found = peers.iter().find(|found| found["name"] == *peer).unwrap();
        assert_eq!(found["requests"], *requests, "{peer}");
        let hours = found["buckets"].as_array().unwrap().iter();
        assert_eq!(hours.map(|hour| hour.as_u64().unwrap()).sum::<u64>(), *requests, "{peer}");
    }
    for (reason, count) in &week.reasons {
        let reasons = report["refusals"].as_array().unwrap();
        let found = reasons.iter().find(|found| found["reason"] == *reason).unwrap();
        assert_eq!(found["count"], *count, "{reason}");
        assert_ne!(found["mend"], "", "{reason}");
    }
    let harvest = &report["harvests"][0];
    assert_eq!((&harvest["peer"], &harvest["kind"]), (&"lyon".into(), &"alphabetical".into()));
    assert_eq!(
        (&harvest["terms"], &harvest["range"]),
        (&676.into(), &serde_json::json!(["aa", "zz"]))
    );
    let silent = report["silent"].as_array().unwrap();
    assert_eq!(silent.iter().map(|it| &it["peer"]).collect::<Vec<_>>(), ["sherbrooke"]);
    assert_eq!(report["limited"][0]["peer"], "montreal");
    assert_eq!(report["limited"][0]["limit"], "peer");
    assert_eq!(report["upstream"]["outages"].as_array().unwrap().len(), 1);
    assert_eq!(report["upstream"]["outages"][0]["failed"], week.failed);
    let stranger = &report["unknown"]["callers"][0];
    assert_eq!((&stranger["address"], &stranger["lookups"]), (&"198.51.100.23".into(), &60.into()));
    assert_eq!(report["answer_times"]["late"], week.late);
}

#[test]
fn the_json_is_what_its_schema_says() {
    let directory = tempfile::tempdir().unwrap();
    week::write(&directory.path().join("week.log"));
    fs::write(directory.path().join("empty.log"), "").unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/report.schema.json");
    let check = "import json, sys, jsonschema\n\
                 schema = json.load(open(sys.argv[1]))\n\
                 jsonschema.Draft202012Validator.check_schema(schema)\n\
                 for name in sys.argv[2:]:\n    \
                     jsonschema.Draft202012Validator(schema).validate(json.load(open(name)))\n";
    for name in ["week", "empty"] {
        let output = report(directory.path(), &[&format!("{name}.log"), "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        fs::write(directory.path().join(format!("{name}.json")), output.stdout).unwrap();
    }
    let python = Path::new("/usr/bin/python3");
    let has = Command::new(python).args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
    let needed = match has {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Missing::new("python3-jsonschema", "apt-get install python3-jsonschema")),
    };
    let Some(()) = or_left_out(needed) else { return };
    let output = Command::new(python)
        .args(["-c", check])
        .arg(&schema)
        .args(["week.json", "empty.json"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_log_says_the_same_plain_packed_piped_and_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    week::write(&at("whole.log"));
    let whole = figures(json(directory.path(), &["whole.log"]));
    let one = figures(json(directory.path(), &["whole.log", "--threads", "1"]));
    let close = |a: &Value, b: &Value| {
        // Estimates differ with the hashes' seed.
        let strip = |report: &Value| {
            let mut report = report.clone();
            report["totals"]["terms"] = Value::Null;
            for peer in report["peers"].as_array_mut().unwrap() {
                peer["terms"] = Value::Null;
                peer["terms_per_hour"] = Value::Null;
            }
            let harvests = report["harvests"].as_array_mut().unwrap();
            harvests.retain(|harvest| harvest["kind"] == "alphabetical");
            for sample in report["input"]["unreadable_samples"].as_array_mut().unwrap() {
                sample["file"] = Value::Null;
                sample["line"] = Value::Null;
            }
            report
        };
        assert_eq!(strip(a), strip(b));
    };
    close(&whole, &one);
    for (program, name) in [("gzip", "whole.log.gz"), ("zstd", "whole.log.zst")] {
        let Some(()) = or_left_out(packed(program, &at("whole.log"), name)) else { continue };
        close(&whole, &figures(json(directory.path(), &[name])));
    }
    let mut child = program::command()
        .args(["report", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = fs::read_to_string(at("whole.log")).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = text.clone();
    let writer = std::thread::spawn(move || stdin.write_all(sent.as_bytes()).unwrap());
    let piped = child.wait_with_output().unwrap();
    writer.join().unwrap();
    close(&whole, &figures(serde_json::from_slice(&piped.stdout).unwrap()));
    // As logrotate leaves it, by the configuration.
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (old, rest) = lines.split_at(lines.len() / 3);
    let (middle, new) = rest.split_at(rest.len() / 2);
    let rotated = directory.path().join("logs");
    fs::create_dir(&rotated).unwrap();
    fs::write(rotated.join("access.log"), new.concat()).unwrap();
    fs::write(rotated.join("access.log.1"), middle.concat()).unwrap();
    fs::write(rotated.join("access.log.2"), old.concat()).unwrap();
    let main = "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://192.0.2.9\"\n\
                [[access_log]]\npath = \"logs/access.log\"\nformat = \"gateway\"\n";
    fs::write(at("gateway.toml"), main).unwrap();
    fs::create_dir(at("policies")).unwrap();
    let mut by_configuration = figures(json(directory.path(), &["--config", "gateway.toml"]));
    by_configuration["input"]["configuration"] = Value::Null;
    close(&whole, &by_configuration);
}

#[test]
fn what_is_asked_for_is_counted_and_the_rest_is_said_to_be_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let week = week::write(&directory.path().join("access.log"));
    let asked = |words: &[&str]| {
        let report = json(directory.path(), &[&["access.log"], words].concat());
        let (counted, filtered) = (&report["totals"]["requests"], &report["input"]["filtered"]);
        let counted = counted.as_u64().unwrap();
        assert_eq!(counted + filtered.as_u64().unwrap(), week.requests);
        counted
    };
    let count =
        |of: &dyn Fn(&week::Line) -> bool| week.lines.iter().filter(|line| of(line)).count() as u64;
    assert_eq!(asked(&["--peer", "lyon"]), count(&|line| line.peer == "lyon"));
    assert_eq!(asked(&["--peer", "-,lyon"]), count(&|line| ["lyon", "-"].contains(&line.peer)));
    assert_eq!(asked(&["--peer", "198.51.100.23"]), 60);
    assert_eq!(asked(&["--status", "4xx"]), count(&|line| (400..500).contains(&line.status)));
    assert_eq!(asked(&["--status", "!2xx"]), count(&|line| line.status >= 300));
    assert_eq!(asked(&["--reason", "rate-limited"]), count(&|line| line.reason == "rate-limited"));
    let since = "2026-11-18T00:00:00Z";
    assert_eq!(asked(&["--since", since]), count(&|line| line.unix >= 1_794_960_000));
    assert_eq!(asked(&["--until", since]), count(&|line| line.unix < 1_794_960_000));
    assert_eq!(asked(&["--since", "1000000d"]), week.requests);
}

#[test]
fn the_text_fits_80_columns_and_has_no_colours_where_there_is_no_terminal() {
    let directory = tempfile::tempdir().unwrap();
    week::write(&directory.path().join("access.log"));
    let output = report(directory.path(), &["access.log"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\x1b'));
    for part in [
        "What needs you",
        "rate = { per_second = ",
        "hosts = [\"198.51.100.23\"]",
        "from `aa` to `zz`",
        "sherbrooke has not asked for",
        "action-not-granted",
        "access.log:1: not in this format",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let plain = report(directory.path(), &["access.log", "--plain"]);
    assert!(plain.stdout.is_ascii());
}

#[test]
fn a_policy_that_is_suggested_is_one() {
    let site = Site::new(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://192.0.2.9\"\nsource = \"192.0.2.8\"\n",
        &[("nantes", "hosts = [\"192.0.2.77\"]\n")],
    );
    let directory = site.main_file().parent().unwrap().to_path_buf();
    week::write(&directory.join("access.log"));
    let words = ["access.log", "--config", "gateway.toml"];
    let told = json(&directory, &words);
    assert!(told["silent"].as_array().unwrap().iter().any(|silent| silent["peer"] == "nantes"));
    let policy = told["unknown"]["callers"][0]["policy"].as_str().unwrap();
    fs::write(directory.join("policies/rennes.toml"), policy).unwrap();
    let checked = site.run(&["check", "--config", "gateway.toml"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let now = json(&directory, &words);
    let caller = &now["unknown"]["callers"][0];
    assert_eq!((&caller["policy"], &caller["known_by_now"]), (&Value::Null, &"rennes".into()));
}

#[test]
fn formats_of_nginx_are_read_and_what_cannot_be_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let line =
        "1.25 [23/Nov/2026:04:01:09 +0100] CA \"GET /x HTTP/1.1\" 404 192.0.2.1 0.001, 0.004\n";
    fs::write(directory.path().join("nginx.log"), line.repeat(3)).unwrap();
    let format = "'$gzip_ratio [$time_local] ${geoip2_country} ' '\"$request\" $status $remote_addr \
                  $upstream_response_time'";
    let told = json(directory.path(), &["nginx.log", "--log-format", format]);
    assert_eq!(told["totals"]["requests"], 3);
    assert_eq!(told["totals"]["first"], "2026-11-23T04:01:09+01:00");
    assert_eq!(told["refusals"][0]["reason"], "unknown-path");
    assert_eq!(told["upstream"]["answer_times"]["max"], 5);
    for (format, code, part) in [
        (
            "gatway",
            2,
            "there is no format `gatway`; known are combined, gateway, gateway_json, main",
        ),
        ("$status$time_local", 2, "between $status and $time_local stands nothing"),
        ("$status", 2, "the format has no time"),
        ("$time_local x", 2, "the format has no $status"),
        ("escape=xml $status", 2, "escape=xml is unknown"),
        ("combined", 1, "no line could be read; say by --log-format"),
    ] {
        let output = report(directory.path(), &["nginx.log", "--log-format", format]);
        assert_eq!(output.status.code(), Some(code), "{format}: {}", said(&output));
        assert!(said(&output).contains(part), "{format}: {}", said(&output));
    }
    let missing = report(directory.path(), &["nowhere.log"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(said(&missing).contains("cannot read nowhere.log: No such file"), "{}", said(&missing));
}

#[test]
fn what_is_no_log_is_counted_and_breaks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let good = "::1 - - [23/Nov/2026:04:01:09 +0000] \"GET / HTTP/1.1\" 404 1 \"-\" \"-\"";
    let binary: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let odd_dates: String =
        (1..=9999).map(|year| good.replace("2026", &format!("{year:04}")) + "\n").collect();
    for (name, bytes, readable) in [
        ("binary", [good.as_bytes(), b"\n", &binary].concat(), 1),
        ("no end", [good, "\n", good].concat().into_bytes(), 2),
        ("crlf", [good, "\r\n\r\n", good, "\r\n"].concat().into_bytes(), 2),
        ("nul", [good, "\n\0\0\0\n"].concat().into_bytes(), 1),
        ("long", [good.as_bytes(), b"\n", &vec![b'x'; 20_000_000]].concat(), 1),
        ("dates", odd_dates.into_bytes(), 9999),
        ("gzip?", b"\x1f\x8b not packed".to_vec(), 0),
        ("zstd?", b"\x28\xb5\x2f\xfd".to_vec(), 0),
        ("empty", Vec::new(), 0),
    ] {
        fs::write(directory.path().join("odd"), bytes).unwrap();
        for words in [&["odd", "--json"][..], &["odd"], &["odd", "--html", "page.html"]] {
            let output = report(directory.path(), words);
            let said = said(&output);
            assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{name}: {said}");
            assert!(!said.contains("panicked"), "{name}: {said}");
            if words.contains(&"--json") && readable > 0 {
                let told: Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(told["totals"]["requests"], readable, "{name}");
                let input = &told["input"];
                let lines = input["lines"].as_u64().unwrap();
                assert_eq!(lines - input["unreadable"].as_u64().unwrap(), readable, "{name}");
            }
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    week::write(&directory.path().join("access.log"));
    let command =
        format!("{} report access.log | head -n 1", env!("CARGO_BIN_EXE_phonebook-gateway"));
    let output =
        Command::new("sh").args(["-c", &command]).current_dir(directory.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Phonebook requests in access.log\n");
    assert_eq!(said(&output), "");
}

const LOGS: &str = r#"
[[access_log]]
path = "combined.log"
flush = "10ms"
[[access_log]]
path = "gateway.log"
format = "gateway"
flush = "10ms"
[[access_log]]
path = "json.log"
format = "gateway_json"
flush = "10ms"
[[access_log]]
path = "hash.log"
format = "gateway"
search_terms = "hash"
flush = "10ms"
[[access_log]]
path = "omit.log"
format = "gateway_json"
search_terms = "omit"
flush = "10ms"
[limits]
unknown_rate = { per_second = 1000, burst = 1000 }
"#;

const PEER: &str = "hosts = [\"127.0.0.1\"]\nactions = [\"search\"]\n\
                    rate = { per_minute = 1, burst = 20 }\n";

#[test]
fn the_gateway_s_own_logs_say_what_was_asked_of_it() {
    let upstream = Scripted::well();
    let main = format!("workers = 1\n{}{LOGS}", loopback_config(upstream.address()));
    let gateway = Serving::start(&main, &[("lyon", PEER)]).unwrap();
    let ask = |from: &str, target: &str| {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nUser-Agent: python-requests/2\r\n\r\n"
        );
        exchange(gateway.addr(), Some(from.parse().unwrap()), head.as_bytes()).status
    };
    let mut lines = 0;
    for term in ["doe", "doe", "roe", "coe", "caf%C3%A9"] {
        assert_eq!(ask("127.0.0.1", &format!("{PHONEBOOK}?act=search&search={term}")), 200);
        lines += 1;
    }
    for (from, target, status) in [
        ("127.0.0.1", format!("{PHONEBOOK}?act=list"), 403),
        ("127.0.0.1", PHONEBOOK.replace("restricted", "private") + "?act=search&search=doe", 403),
        ("127.0.0.1", "/nothing".to_owned(), 404),
        ("127.0.0.1", format!("{PHONEBOOK}?act=search&search=a&x=1"), 400),
        ("127.0.0.2", format!("{PHONEBOOK}?act=search&search=doe"), 403),
    ] {
        assert_eq!(ask(from, &target), status, "{target}");
        lines += 1;
    }
    for name in ["combined.log", "gateway.log", "json.log", "hash.log", "omit.log"] {
        let path = gateway.file(name);
        let complete = || fs::read_to_string(&path).unwrap().lines().count() == lines;
        assert!(becomes_true(complete), "{name}");
        let told = json(path.parent().unwrap(), &[name]);
        assert_eq!(told["input"]["unreadable"], 0, "{name}");
        assert_eq!(told["totals"]["requests"], 10, "{name}");
        let reasons = told["refusals"].as_array().unwrap();
        let mut reasons: Vec<&str> =
            reasons.iter().map(|reason| reason["reason"].as_str().unwrap()).collect();
        reasons.sort_unstable();
        let granted = if name == "combined.log" { "403" } else { "action-not-granted" };
        let mut expected =
            [granted, "bad-argument", "private-path", "unknown-path", "unknown-peer"];
        expected.sort_unstable();
        assert_eq!(reasons, expected, "{name}");
        let peer = &told["peers"][0];
        assert_eq!((&peer["name"], &peer["requests"]), (&"lyon".into(), &9.into()), "{name}");
        // doe, roe, coe, café; and with an argument too much the term is not known where it is hidden.
        let terms = match name {
            "omit.log" => 1..=1,
            "hash.log" => 4..=4,
            _ => 5..=5,
        };
        let found = peer["terms"].as_u64().unwrap();
        assert!(terms.contains(&found), "{name}: {found}");
        let timed = name != "combined.log";
        assert_eq!(told["answer_times"].is_object(), timed, "{name}");
        assert_eq!(told["unknown"]["callers"][0]["lookups"], 1, "{name}");
    }
}

#[test]
fn memory_depends_on_what_there_is_to_tell_and_not_on_the_number_of_lines() {
    let directory = tempfile::tempdir().unwrap();
    let peak = |name: &str, lines: u32| {
        let mut text = String::new();
        for number in 0..lines {
            let (a, b, c) = (number >> 16 & 255, number >> 8 & 255, number & 255);
            let who = if number % 2 == 0 { "lyon" } else { "-" };
            let status = if number % 2 == 0 { 200 } else { 403 };
            text += &format!(
                "10.{a}.{b}.{c} - {who} [23/Nov/2026:04:{:02}:09 +0000] \"GET {PHONEBOOK}?act=search&search=t{number} HTTP/1.1\" {status} 1 \"-\" \"agent {number}\"\n",
                number / (lines / 59)
            );
        }
        fs::write(directory.path().join(name), text).unwrap();
        let command = format!(
            "{} report --json --threads 2 {name} >/dev/null & pid=$!; \
             peak=0; while read_peak=$(sed -n 's/VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$pid/status 2>/dev/null) && [ -n \"$read_peak\" ]; do peak=$read_peak; done; wait $pid && echo $peak",
            env!("CARGO_BIN_EXE_phonebook-gateway")
        );
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let peak = String::from_utf8_lossy(&output.stdout).trim().parse::<u64>();
        peak.unwrap_or_else(|_| panic!("{}", said(&output)))
    };
    let (few, many) = (peak("few", 150_000), peak("many", 600_000));
    assert!(many < 64 << 10, "{many} kB");
    assert!(many < few * 3 / 2, "{few} kB, {many} kB");
}
