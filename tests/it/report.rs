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
    let unknown_caller = &report["unknown"]["callers"][0];
    assert_eq!(
        (&unknown_caller["address"], &unknown_caller["lookups"]),
        (&"198.51.100.23".into(), &60.into())
    );
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
    let checked = site.run(&["check", "--offline", "--config", "gateway.toml"]);
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
        ("gatway", 2, "there is no format `gatway`; did you mean `gateway`?"),
        ("ours", 2, "there is no format `ours`; known are combined, gateway, gateway_json, main"),
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

/// Lines of `combined`, a second apart from the beginning of the day.
fn combined(at: u64, address: &str, peer: &str, target: &str, status: u16) -> String {
    let (hour, minute, second) = (at / 3600, at / 60 % 60, at % 60);
    format!(
        "{address} - {peer} [23/Nov/2026:{hour:02}:{minute:02}:{second:02} +0000] \"GET {target} HTTP/1.1\" {status} 2 \
         \"-\" \"python-requests/2.28.1\"\n"
    )
}

const LOOKUP: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=";

#[test]
fn advice_is_made_of_all_that_a_peer_sent_whatever_is_selected() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = String::new();
    for second in 0..200 {
        for number in 0..12 {
            let status = if number < 10 { 200 } else { 429 };
            log += &combined(
                second,
                "192.0.2.1",
                "nice",
                &format!("{LOOKUP}x{second}y{number}"),
                status,
            );
        }
    }
    for at in 0..24 {
        log += &combined(at * 3600, "192.0.2.2", "bordeaux", &format!("{LOOKUP}doe"), 200);
        log += &combined(at * 3600, "198.51.100.7", "-", &format!("{LOOKUP}doe"), 403);
        log += &combined(
            at * 3600 + 1,
            "198.51.100.7",
            "-",
            "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=list",
            429,
        );
    }
    fs::write(directory.path().join("a.log"), log).unwrap();
    let all = json(directory.path(), &["a.log"]);
    let limited = &all["limited"][0];
    assert_eq!(limited["busiest_second"]["count"], 12);
    assert!(
        limited["sufficient"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["per_second"].as_u64().unwrap() >= 10)
    );
    let silent = all["silent"].as_array().unwrap();
    assert_eq!(silent.iter().map(|it| &it["peer"]).collect::<Vec<_>>(), ["nice"]);
    for words in [["--status", "429"], ["--reason", "rate-limited"], ["--peer", "nice"]] {
        let some = json(directory.path(), &[&words[..], &["a.log"]].concat());
        assert_eq!(some["limited"][0]["sufficient"], limited["sufficient"], "{words:?}");
        assert_eq!(some["limited"][0]["busiest_second"], limited["busiest_second"], "{words:?}");
        assert_eq!(some["silent"], all["silent"], "{words:?}");
    }
    let some = json(directory.path(), &["--peer", "bordeaux", "a.log"]);
    assert_eq!(some["silent"], serde_json::json!([]), "nobody else is called silent");
    // A policy is made of all that an unknown caller asked for, or not at all.
    assert!(all["unknown"]["callers"][0]["policy"].as_str().unwrap().contains("\"list\""));
    let some = json(directory.path(), &["--status", "403", "a.log"]);
    assert_eq!(some["unknown"]["callers"][0]["policy"], Value::Null);
    assert!(
        some["input"]["notes"].to_string().contains("No policies are proposed"),
        "{}",
        some["input"]
    );
}

#[test]
fn of_xivo_s_own_log_policies_are_made_for_those_who_are_let_in_and_not_for_itself() {
    let site = Site::new(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://192.0.2.9\"\nsource = \"192.0.2.8\"\n",
        &[("nantes", "hosts = [\"192.0.2.77\"]\ndescription = \"The office at the Loire\"\n")],
    );
    let directory = site.main_file().parent().unwrap().to_path_buf();
    let private = LOOKUP.replace("restricted", "private");
    let mut log = String::new();
    for at in 0..50 {
        log += &combined(at, "192.0.2.1", "-", &format!("{LOOKUP}doe"), 200);
        log += &combined(at, "127.0.0.1", "-", &format!("{private}doe"), 200);
        log += &combined(at, "192.0.2.8", "-", &format!("{LOOKUP}doe"), 200);
        log += &combined(at, "192.0.2.77", "-", &format!("{LOOKUP}doe"), 200);
        log += &combined(at, "192.0.2.8", "-", &format!("{LOOKUP}doe"), 401);
        log += &combined(at, "192.0.2.66", "-", &format!("{LOOKUP}doe"), 401);
    }
    fs::write(directory.join("xivo.access.log"), log).unwrap();
    let told = json(&directory, &["xivo.access.log", "--config", "gateway.toml"]);
    let peers = told["peers"].as_array().unwrap();
    let of = |name: &str| peers.iter().find(|peer| peer["name"] == name).unwrap();
    let policy = of("192.0.2.1")["policy"].as_str().unwrap();
    assert!(policy.contains("hosts = [\"192.0.2.1\"]\nactions = [\"search\"]"), "{policy}");
    for known in ["127.0.0.1", "192.0.2.8", "192.0.2.77"] {
        assert_eq!(of(known)["policy"], Value::Null, "{known}");
    }
    assert_eq!((&of("127.0.0.1")["private"], &of("192.0.2.1")["private"]), (&50.into(), &0.into()));
    assert_eq!(of("127.0.0.1")["description"], "this machine itself: its own lookups");
    assert_eq!(of("192.0.2.8")["description"], "this gateway (`upstream.source`)");
    let callers = told["unknown"]["callers"].as_array().unwrap();
    let proposed: Vec<_> =
        callers.iter().filter(|it| !it["policy"].is_null()).map(|it| &it["address"]).collect();
    assert_eq!(proposed, ["192.0.2.66"], "the gateway's own source is no peer");
    // In the gateway's own log the policy says who somebody is.
    fs::write(
        directory.join("a.log"),
        combined(0, "192.0.2.77", "nantes", &format!("{LOOKUP}doe"), 200),
    )
    .unwrap();
    let told = json(&directory, &["a.log", "--config", "gateway.toml"]);
    assert_eq!(told["peers"][0]["description"], "The office at the Loire");
    let output = report(&directory, &["a.log", "--config", "gateway.toml"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("The office"), "beside the name");
}

#[test]
fn the_exit_code_says_if_something_needs_somebody_and_the_time_before_is_compared() {
    let directory = tempfile::tempdir().unwrap();
    let lines = |begin: u64, count: u64, status| -> String {
        (begin..begin + count)
            .map(|at| combined(at, "192.0.2.1", "nice", &format!("{LOOKUP}doe"), status))
            .collect()
    };
    fs::write(directory.path().join("well.log"), lines(0, 100, 200)).unwrap();
    fs::write(directory.path().join("ill.log"), lines(0, 100, 200) + &lines(3600, 30, 502))
        .unwrap();
    for (log, words, code) in [
        ("well.log", &["--exit-code"][..], 0),
        ("ill.log", &["--exit-code"], 1),
        ("ill.log", &[], 0),
        ("ill.log", &["--exit-code", "--json"], 1),
    ] {
        let output = report(directory.path(), &[&[log], words].concat());
        assert_eq!(output.status.code(), Some(code), "{log} {words:?}: {}", said(&output));
    }
    let hour = ["ill.log", "--since", "2026-11-23T01:00:00Z", "--until", "2026-11-23T02:00:00Z"];
    let before = &json(directory.path(), &hour)["totals"]["before"];
    assert_eq!((&before["requests"], &before["failed"]), (&100.into(), &0.into()));
    assert_eq!(before["begin"], "2026-11-23T00:00:00+00:00");
    let day = ["ill.log", "--since", "2026-11-23T00:00:00Z", "--until", "2026-11-23T02:00:00Z"];
    assert_eq!(
        json(directory.path(), &day)["totals"]["before"],
        Value::Null,
        "the log has no time before"
    );
}

#[test]
fn the_terminal_and_the_page_and_the_json_say_the_same_findings_in_the_same_order() {
    let directory = tempfile::tempdir().unwrap();
    week::write(&directory.path().join("access.log"));
    let told = json(directory.path(), &["access.log"]);
    let text = report(directory.path(), &["access.log", "--all"]);
    let text = String::from_utf8(text.stdout).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = report(directory.path(), &["access.log", "--html", "-"]);
    let page =
        String::from_utf8(page.stdout).unwrap().replace("<code>", "`").replace("</code>", "`");
    let findings = told["findings"].as_array().unwrap();
    assert!(findings.len() >= 7, "{findings:?}");
    let mut at = [0, 0];
    for finding in findings {
        let said = finding["text"].as_str().unwrap();
        for (at, form) in at.iter_mut().zip([&text, &page]) {
            let found = form[*at..].find(said);
            *at += found.unwrap_or_else(|| panic!("{said}: {form}"));
        }
    }
    assert!(text.contains("… and ") == text.contains("more: --all"), "--all leaves nothing out");
    assert!(!text.contains("more: --all shows them"));
}

#[test]
fn what_the_timer_runs_mails_what_needs_somebody_and_nothing_else() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/phonebook-gateway-report.service");
    let unit = fs::read_to_string(unit).unwrap();
    let begin = unit.find("ExecStart=/bin/sh -c '").unwrap() + "ExecStart=/bin/sh -c '".len();
    let script = unit[begin..].split('\'').next().unwrap();
    assert!(!script.replace("$$", "").contains('$'), "systemd would put its own values there");
    let directory = tempfile::tempdir().unwrap();
    let program = format!("{} report access.log", env!("CARGO_BIN_EXE_phonebook-gateway"));
    // As systemd reads it, on a log that is here.
    let script = script
        .replace("\\\n", "")
        .replace("$$", "$")
        .replace("%%", "%")
        .replace("/usr/bin/phonebook-gateway report", &program)
        .replace(" --since 7d", "")
        .replace("/usr/sbin/sendmail -t", "cat > mail");
    let mail = || {
        let _ = fs::remove_file(directory.path().join("mail"));
        let mut shell = std::process::Command::new("/bin/sh");
        let status = shell
            .args(["-c", &script])
            .current_dir(directory.path())
            .env("MAILTO", "root")
            .status();
        (status.unwrap().code(), fs::read_to_string(directory.path().join("mail")).ok())
    };
    let well = combined(0, "192.0.2.1", "nice", &format!("{LOOKUP}doe"), 200);
    fs::write(directory.path().join("access.log"), &well).unwrap();
    assert_eq!(mail(), (Some(0), None));
    week::write(&directory.path().join("access.log"));
    let (code, text) = mail();
    let text = text.unwrap();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("To: root\nSubject: Phonebook of "), "{text}");
    assert!(text.contains("\n\nPhonebook requests") && text.contains("What needs you"), "{text}");
    fs::remove_file(directory.path().join("access.log")).unwrap();
    let (code, text) = mail();
    assert_eq!(code, Some(3));
    assert!(text.unwrap().contains("No such file"));
}
