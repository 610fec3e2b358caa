//! `report` as its user runs it, on a week whose every request is known.

#[cfg(test)]
mod week;

use std::{fs, path::Path, process::Output};

use serde_json::Value;

use crate::support::program::{self, Site};

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

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
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
