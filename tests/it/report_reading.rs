//! `report` reads what logs really hold: wrapped, damaged, changed in the middle; and says what it cannot read.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::{fs, process::Command};

use serde_json::Value;

use crate::support::{
    http::get,
    needs::{or_left_out, program},
    process::becomes_true,
    program::{Run, Site, run},
    scripted::Scripted,
    serving::{Serving, loopback_config},
    xivo::PHONEBOOK,
};

/// Forty lines of a peer, of two unknown callers, and of what is no HTTP.
fn forty() -> Vec<String> {
    let line = |at: usize, address: &str, user: &str, request: &str, status: u16| {
        let (minute, second) = (at * 37 / 60, at * 37 % 60);
        format!(
            "{address} - {user} [24/Nov/2026:09:{minute:02}:{second:02} +0100] \"{request}\" {status} 565 \"-\" \
             \"python-requests/2.28.1\""
        )
    };
    let lines = (0..40).map(|at| {
        let search = format!("GET {PHONEBOOK}?act=search&search=name{at} HTTP/1.1");
        match at % 10 {
            3 => line(at, "198.51.100.4", "-", &search, 403),
            7 => line(at, "2001:db8::4", "-", "GET /index.html HTTP/1.1", 403),
            9 => line(at, "198.51.100.4", "-", r"\x16\x03\x01", 400),
            _ => line(at, "192.0.2.7", "lyon", &search, if at % 10 == 5 { 429 } else { 200 }),
        }
    });
    lines.collect()
}

fn wrap(before: &str, behind: &str) -> String {
    forty().iter().fold(String::new(), |mut text, line| {
        let line = if before.contains('{') {
            let quoted = serde_json::to_string(line).unwrap();
            quoted[1..quoted.len() - 1].to_owned()
        } else {
            line.clone()
        };
        let _ = writeln!(text, "{before}{line}{behind}");
        text
    })
}

fn json(directory: &Path, words: &[&str]) -> Value {
    let run = run(directory, &[&["report", "--json"], words].concat());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{words:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

/// Without when it was made, and which files it is of.
fn figures(mut report: Value) -> Value {
    report["generated"] = Value::Null;
    report["input"] = Value::Null;
    report
}

fn notes(report: &Value) -> String {
    let notes = report["input"]["notes"].as_array().unwrap().iter();
    notes.map(|note| note.as_str().unwrap().to_owned() + "\n").collect()
}

#[test]
fn forty_lines_are_forty_lines_however_they_were_carried() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(directory.path().join(name), text).unwrap();
    write("plain.log", wrap("", "").as_bytes());
    let plain = json(directory.path(), &["plain.log"]);
    assert_eq!(plain["totals"]["requests"], 40);
    assert_eq!(plain["totals"]["addresses"], 3);
    assert_eq!(plain["peers"][0]["requests"], 28);
    for (before, behind) in [
        ("Nov 24 09:00:00 pbx-paris phonebook_gateway: ", ""),
        ("2026-11-24T09:00:00.123456+01:00 pbx-paris phonebook_gateway - - - ", ""),
        ("<190>1 2026-11-24T09:00:00.123+01:00 pbx phonebook_gateway 123 - - ", ""),
        ("2026-11-24T09:00:00+01:00 pbx phonebook-gateway[12]: ", ""),
        ("{\"log\":\"", "\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-24T08:00:00.1Z\"}"),
        ("{\"MESSAGE\":\"", "\",\"_HOSTNAME\":\"pbx\"}"),
        ("2026-11-24T08:00:00.123456789Z stdout F ", ""),
        ("gateway-1  | ", ""),
        ("pbx.example.org:443 ", ""),
    ] {
        let text = wrap(before, behind);
        write("wrapped.log", text.as_bytes());
        let wrapped = json(directory.path(), &["wrapped.log"]);
        assert_eq!(wrapped["input"]["unreadable"], 0, "{before}");
        assert_eq!(figures(wrapped), figures(plain.clone()), "{before}");
    }
    for begin in [&b"\xef\xbb\xbf"[..], &[0; 300_000]] {
        write("begun.log", &[begin, wrap("", "").as_bytes()].concat());
        let begun = json(directory.path(), &["begun.log"]);
        assert_eq!(
            (&begun["input"]["lines"], &begun["input"]["unreadable"]),
            (&40.into(), &0.into())
        );
        assert_eq!(figures(begun), figures(plain.clone()));
    }
    let once = run(directory.path(), &["report", "--json", "wrapped.log"]).stdout;
    let twice = run(directory.path(), &["report", "--json", "wrapped.log"]).stdout;
    let but_its_time = |text: &str| {
        text.lines().filter(|line| !line.contains("\"generated\"")).collect::<String>()
    };
    assert_eq!(but_its_time(&once), but_its_time(&twice));
}

#[test]
fn a_file_that_changes_its_format_and_begins_with_foreign_lines_is_read_whole() {
    let directory = tempfile::tempdir().unwrap();
    let lines = forty();
    let mut text = "Started phonebook-gateway.service\n".repeat(250);
    for (number, line) in lines.iter().enumerate() {
        match number {
            0..10 => text += &format!("{line}\n"),
            10..20 => text += &format!("{line} \"198.51.100.77\"\n"),
            _ => {
                text += &format!(
                    "{line} \"peer=lyon action=search reason=rate-limited limit=peer rule=- source=socket host=x \
                     rt=0.002 uct=- uht=- urt=- us=- revision=1 id=2\"\n"
                );
            }
        }
    }
    fs::write(directory.path().join("a.log"), &text).unwrap();
    let report = json(directory.path(), &["a.log"]);
    assert_eq!(report["input"]["unreadable"], 250);
    assert_eq!(report["totals"]["requests"], 40);
    let times = |of: &str| report[of]["count"].as_u64().unwrap();
    assert_eq!(times("answer_times") + times("refusal_times"), 20);
    assert_eq!(report["input"]["files"][0]["format"], "combined, gateway, main");
    let findings = report["input"]["findings"].to_string();
    assert!(findings.contains("250 of 290 lines (86 %) could not be read"), "{findings}");
    let lack = "The formats `combined`, `main` of 20 of 40 lines lack $request_time, $reason: ";
    assert!(findings.contains(lack), "{findings}");
    // The same said to people, before everything else.
    for words in [&["report", "a.log"][..], &["report", "--html", "-", "a.log"]] {
        let shown = run(directory.path(), words).stdout;
        let shown = shown.split_once("What needs you").unwrap().1;
        let at = |part: &str| shown.find(part).unwrap_or_else(|| panic!("{part}: {shown}"));
        assert!(at("250 of 290") < at("rate-limited"), "{shown}");
        at("$request_time");
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

#[test]
fn damaged_files_are_read_as_far_as_they_go_and_the_others_whole() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(directory.path().join(name), text).unwrap();
    let text = wrap("", "");
    write("good.log", text.as_bytes());
    let many = text.repeat(200);
    let pack = |text: &str| {
        // Lines that differ are packed into more than one block.
        let mut random = fastrand::Rng::with_seed(1);
        let lines =
            text.lines().map(|line| line.replace("name", &format!("{:x}", random.u128(..))));
        gzip(lines.fold(String::new(), |text, line| text + &line + "\n").as_bytes())
    };
    let packed = pack(&many);
    for (name, bytes, part, requests) in [
        (
            "cut.gz",
            &packed[..packed.len() / 2],
            "cut.gz could not be unpacked to its end: it ends too early",
            None,
        ),
        ("padded.gz", &[&packed[..], &[0; 512]].concat(), "of padded.gz stand zeros", Some(8000)),
        (
            "trailed.gz",
            &[&packed[..], b"rest"].concat(),
            "of trailed.gz stands something",
            Some(8000),
        ),
        ("empty.gz", b"", "empty.gz is empty", Some(0)),
        ("empty.zst", b"", "empty.zst is empty", Some(0)),
        ("two.gz", &packed[..2], "two.gz could not be unpacked to its end", Some(0)),
        ("two.zst", b"\x28\xb5", "two.zst could not be unpacked to its end", Some(0)),
    ] {
        write(name, bytes);
        let report = json(directory.path(), &["good.log", name]);
        assert!(notes(&report).contains(part), "{name}: {}", notes(&report));
        assert_eq!(report["input"]["unreadable"], 0, "{name}");
        let found = report["totals"]["requests"].as_u64().unwrap() - 40;
        match requests {
            Some(requests) => assert_eq!(found, requests, "{name}"),
            None => assert!((1000..8000).contains(&found), "{name}: {found}"),
        }
        if requests == Some(0) {
            let alone = run(directory.path(), &["report", name]);
            assert_eq!(alone.code, Some(3), "{name}: {}", alone.stderr);
            assert!(alone.stderr.contains(part), "{name}: {}", alone.stderr);
        }
    }
    let missing = run(directory.path(), &["report", "--json", "missing.log", "good.log"]);
    assert_eq!(missing.code, Some(3));
    assert!(missing.stderr.contains("cannot read missing.log: No such file"), "{}", missing.stderr);
    let report: Value = serde_json::from_str(&missing.stdout).unwrap();
    assert_eq!(report["totals"]["requests"], 40);
    assert!(notes(&report).contains("missing.log"), "{}", notes(&report));
}

#[test]
fn what_is_packed_otherwise_is_named_with_what_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(directory.path().join(name), text).unwrap();
    write("access.log", wrap("", "").as_bytes());
    write("access.log.2.bz2", b"BZh91AY&SY");
    write("access.log.1.xz", b"\xfd7zXZ\0\0\x04");
    for (name, program) in [("access.log.1.xz", "xzcat"), ("access.log.2.bz2", "bzcat")] {
        let command = format!("{program} {name} | phonebook-gateway report -");
        let report = json(directory.path(), &["access.log", name]);
        assert_eq!(report["totals"]["requests"], 40);
        assert!(notes(&report).contains(&command), "{}", notes(&report));
        assert!(
            report["input"]["findings"][0]
                .as_str()
                .unwrap()
                .starts_with("1 file could not be read")
        );
        let alone = run(directory.path(), &["report", name]);
        assert_eq!(alone.code, Some(3));
        assert!(alone.stderr.contains(&command), "{}", alone.stderr);
    }
    let main = format!("{UPSTREAM}[[access_log]]\npath = \"access.log\"\n");
    write("gateway.toml", main.as_bytes());
    fs::create_dir(directory.path().join("policies")).unwrap();
    let report = json(directory.path(), &["--config", "gateway.toml"]);
    assert!(
        notes(&report).contains("xzcat ") && notes(&report).contains("bzcat "),
        "{}",
        notes(&report)
    );
    // What is recommended works.
    let Some(xz) = or_left_out(program("xz", "xz-utils")) else { return };
    let packing =
        Command::new(xz).args(["-k", "-f", "access.log"]).current_dir(directory.path()).status();
    assert!(packing.unwrap().success());
    let binary = env!("CARGO_BIN_EXE_phonebook-gateway");
    let command = format!("xzcat access.log.xz | {binary} report --json -");
    let output =
        Command::new("sh").args(["-c", &command]).current_dir(directory.path()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["totals"]["requests"], 40);
}

const UPSTREAM: &str = "state_directory = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
    [upstream]\nurl = \"http://192.0.2.9\"\nsource = \"192.0.2.8\"\n";

#[test]
fn what_a_configuration_writes_is_read_its_peers_files_too_in_formats_of_its_own() {
    let upstream = Scripted::well();
    let config = loopback_config(upstream.address());
    let (before, section) = config.split_once("[[access_log]]").unwrap();
    let behind = &section[section.find("[upstream]").unwrap()..];
    let main = format!(
        "workers = 1\n{before}\
         [[access_log]]\npath = \"refused.log\"\nif = {{ status = \"4xx\" }}\nflush = \"10ms\"\n\
         [[access_log]]\npath = \"of-$peer.log\"\nformat = \"ours\"\nflush = \"10ms\"\n{behind}\
         [log_format]\nours = '$http_x_forwarded_for $remote_addr $peer $reason [$time_iso8601] $request_time \
         $status \"$request\"'\n"
    );
    let policy = "hosts = [\"127.0.0.1\"]\nactions = [\"search\"]\n";
    let gateway = Serving::start(&main, &[("lyon", policy)]).unwrap();
    for target in
        [&format!("{PHONEBOOK}?act=search&search=doe"), &format!("{PHONEBOOK}?act=list"), "/x"]
    {
        get(gateway.addr(), target);
    }
    let log = gateway.file("of-lyon.log");
    assert!(becomes_true(|| fs::read_to_string(&log).unwrap_or_default().lines().count() == 3));
    fs::copy(&log, gateway.file("of-lyon.log.1")).unwrap();
    fs::copy(&log, gateway.file("of--.log")).unwrap();
    let directory = gateway.file("");
    let report = json(&directory, &["--config", "gateway.toml"]);
    assert_eq!(report["input"]["unreadable"], 0);
    assert_eq!(report["input"]["files"].as_array().unwrap().len(), 3);
    assert_eq!(report["input"]["files"][0]["format"], "ours");
    assert_eq!(report["totals"]["requests"], 9);
    assert_eq!(report["peers"][0]["name"], "lyon");
    let times = |of: &str| report[of]["count"].as_u64().unwrap();
    assert_eq!((times("answer_times"), times("refusal_times")), (3, 6));
    assert_eq!(report["input"]["findings"], serde_json::json!([]));
    let named =
        json(&directory, &["--config", "gateway.toml", "--log-format", "ours", "of-lyon.log"]);
    assert_eq!(named["totals"]["requests"], 3);
}

#[test]
fn a_configuration_s_logs_that_cannot_be_read_are_named_with_why() {
    let unsure = "[log_format]\nbad = '[$time_local] $http_referer $http_user_agent $status'\n";
    let log = |path: &str, more: &str| format!("[[access_log]]\npath = \"{path}\"\n{more}");
    let stdout = log("stdout", "");
    let syslog = log("syslog:server=127.0.0.1", "");
    let bad = log("bad.log", "format = \"bad\"\n");
    let good = log("good.log", "");
    let parts = [
        (
            "standard output is not read",
            "journalctl -u phonebook-gateway -o cat | phonebook-gateway report -",
        ),
        ("syslog:server=127.0.0.1:514 is not read", "phonebook-gateway report FILE"),
        ("bad.log cannot be read", "[$time_local] \"$http_referer\" $http_user_agent $status"),
    ];
    let site = Site::new(&[UPSTREAM, &stdout, &syslog, &bad, unsure].concat(), &[]);
    let Run { code, stderr, .. } = site.run(&["report", "--config", "gateway.toml"]);
    assert_eq!(code, Some(2), "{stderr}");
    for (what, advice) in parts {
        assert!(stderr.contains(what) && stderr.contains(advice), "{what}: {stderr}");
    }
    let site = Site::new(&[UPSTREAM, &stdout, &syslog, &bad, &good, unsure].concat(), &[]);
    let directory = site.main_file().parent().unwrap().to_path_buf();
    let missing = site.run(&["report", "--config", "gateway.toml"]);
    assert_eq!(missing.code, Some(3), "{}", missing.stderr);
    assert!(
        missing.stderr.contains("there is no log at") && missing.stderr.contains("good.log"),
        "{}",
        missing.stderr
    );
    fs::write(directory.join("good.log"), wrap("", "")).unwrap();
    let report = json(&directory, &["--config", "gateway.toml"]);
    assert_eq!(report["totals"]["requests"], 40);
    for (what, _) in parts {
        assert!(notes(&report).contains(what), "{what}: {}", notes(&report));
    }
}

#[test]
fn a_format_that_nobody_can_read_back_is_refused_and_check_says_what_to_write() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.log"), wrap("", "")).unwrap();
    for (format, why, corrected) in [
        (
            "$http_x_forwarded_for $http_user_agent [$time_local] $status",
            "$http_x_forwarded_for can hold what stands behind it",
            "\"$http_x_forwarded_for\" $http_user_agent [$time_local] $status",
        ),
        (
            "$remote_addr-$remote_user-$peer [$time_local] $status",
            "$remote_addr can hold what stands behind it",
            "\"$remote_addr\"-\"$remote_user\"-$peer [$time_local] $status",
        ),
        (
            "[$time_local] $status$request_time",
            "between $status and $request_time stands nothing",
            "[$time_local] $status $request_time",
        ),
    ] {
        let refused = run(directory.path(), &["report", "--log-format", format, "a.log"]);
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains(why), "{format}: {}", refused.stderr);
        assert!(refused.stderr.contains(corrected), "{format}: {}", refused.stderr);
        let site = |format: &str| {
            let log = "[[access_log]]\npath = \"a.log\"\nformat = \"ours\"\n";
            Site::new(&format!("{UPSTREAM}{log}[log_format]\nours = '{format}'\n"), &[])
        };
        let strict = ["check", "--offline", "--strict", "--config", "gateway.toml"];
        let checked = site(format).run(&strict);
        assert_eq!(checked.code, Some(1), "{}", checked.stderr);
        assert!(checked.stderr.contains(why), "{}", checked.stderr);
        assert!(
            checked.stderr.contains(&format!("write ours = '{corrected}'")),
            "{}",
            checked.stderr
        );
        // A warning: the gateway serves all the same.
        assert_eq!(
            site(format).run(&["check", "--offline", "--config", "gateway.toml"]).code,
            Some(0)
        );
        let corrected = site(corrected).run(&strict);
        assert!(!corrected.stderr.contains("log_format"), "{}", corrected.stderr);
    }
}
