//! fail2ban bans unknown callers whom the gateway refuses, nobody else, and nobody in another's place.

use std::{fs, path::Path, process::Command};

use super::Played;
use crate::support::{
    log_readers::{fail2ban_addresses, fail2ban_regex, packaged},
    needs::{Missing, or_left_out, program},
    process::{Process, becomes_true},
};

const FILTER: &str = "fail2ban/filter.d/phonebook-gateway.conf";

#[test]
fn the_filter_finds_unknown_callers_refusals_and_no_line_of_a_peer() {
    let played = Played::with_odd_ones();
    let unknown_callers: Vec<&str> =
        played.asked.iter().filter(|(peer, ..)| *peer == "-").map(|(_, from, _)| *from).collect();
    assert!(unknown_callers.len() >= 5);
    let filter = packaged(FILTER);
    for log in ["access.log", "gateway.log"] {
        let log = played.log(log);
        let Some(found) = or_left_out(fail2ban_addresses(&log, &filter)) else { return };
        assert_eq!(found, unknown_callers, "{log:?}");
        let read = fail2ban_regex(&log, filter.to_str().unwrap()).unwrap();
        assert_eq!(read.matched, unknown_callers.len() as u64);
        assert_eq!(read.ignored, 0);
        assert_eq!(read.missed.len(), played.asked.len() - unknown_callers.len());
        for line in &read.missed {
            assert!(line.starts_with("127.0.0.1 - lyon ["), "{line}");
        }
    }
}

/// Whether a line bans its caller, 192.0.2.1. Nothing may ban anybody else.
#[rustfmt::skip]
const LINES: &[(bool, &str)] = &[
    (true, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 403 107 "-" "-""#),
    (true, r#"192.0.2.1 - - [TIME] "" 408 0 "" """#),
    (true, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 429 107 "-" "\x22 - - [x] \x5C""#),
    (true, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 403 107 "-" "-" "peer=- action=- reason=unknown-peer limit=- rule=- id=1""#),
    (false, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 200 107 "-" "-""#),
    (false, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 499 0 "-" "-""#),
    (false, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 502 107 "-" "-""#),
    (false, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 503 107 "-" "-""#),
    (false, r#"192.0.2.1 - lyon [TIME] "GET / HTTP/1.1" 403 107 "-" "-""#),
    (false, r#"192.0.2.1 - lyon [TIME] "GET / HTTP/1.1" 429 107 "-" "-" "peer=lyon action=- reason=rate-limited limit=peer rule=- id=1""#),
    (false, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 403 107 "-" "-" "peer=- action=- reason=certificate-required limit=- rule=- id=1""#),
    (false, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 403 107 "-" "-" "peer=- action=- reason=certificate-mismatch limit=- rule=- id=1""#),
    (false, r#"192.0.2.1 - lyon [TIME] "192.0.2.66 - - [TIME] \x22GET / HTTP/1.1\x22 403 1 \x22-\x22 \x22-\x22" 400 107 "-" "-""#),
    (false, r#"192.0.2.1 - lyon [TIME] "GET /?192.0.2.66%20-%20-%20[] HTTP/1.1" 403 107 "192.0.2.66 - - [TIME] " "\x0A192.0.2.66 - - [TIME] \x22GET / HTTP/1.1\x22 403 1 \x22-\x22 \x22-\x22""#),
    (false, r#"192.0.2.1 - lyon [TIME] "GET / HTTP/1.1" 404 107 "-" " - - [TIME] \x22\x22 403 1 \x22-\x22 \x22-\x22""#),
    (false, r#"192.0.2.1 - - [TIME] "GET /x 403 1 HTTP/1.1" 200 107 "-" " 403 107 - ""#),
    (false, r#"192.0.2.1 - lyon [TIME] "GET / HTTP/1.1" 403 107 "-" "-" "peer=- action=- reason=unknown-peer limit=- rule=- id=1""#),
    (true, r#"192.0.2.1 - - [TIME] "GET / HTTP/1.1" 403 107 "192.0.2.66" "[TIME] 192.0.2.66 - -""#),
    (false, r#"host.invalid - - [TIME] "GET / HTTP/1.1" 403 107 "-" "-""#),
    (false, r#"x 192.0.2.66 - - [TIME] "GET / HTTP/1.1" 403 107 "-" "-""#),
];

#[test]
fn nobody_is_banned_in_another_s_place() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    for (bans, line) in LINES {
        let line = line.replace("TIME", "23/Nov/2026:04:01:09 +0100");
        fs::write(&log, format!("{line}\n")).unwrap();
        let Some(found) = or_left_out(fail2ban_addresses(&log, &packaged(FILTER))) else { return };
        let expected: &[&str] = if *bans { &["192.0.2.1"] } else { &[] };
        assert_eq!(found, expected, "{line}");
    }
}

/// Debian's configuration without the jails of this machine, the delivered files in their places, and what an
/// administrator makes of them here: the log, the peers, and an action that writes who is banned instead of telling the
/// kernel.
fn configure(etc: &Path, log: &Path, banned: &Path) {
    for place in ["filter.d", "jail.d", "action.d", "fail2ban.d"] {
        fs::create_dir_all(etc.join(place)).unwrap();
    }
    for name in ["fail2ban.conf", "jail.conf", "paths-common.conf", "paths-debian.conf"] {
        fs::copy(Path::new("/etc/fail2ban").join(name), etc.join(name)).unwrap();
    }
    for place in ["filter.d", "jail.d"] {
        let name = format!("{place}/phonebook-gateway.conf");
        fs::copy(packaged(&format!("fail2ban/{name}")), etc.join(&name)).unwrap();
    }
    let local = format!(
        "[phonebook-gateway]\nlogpath = {}\nignoreip = 127.0.0.1 127.0.0.6\naction = write\n",
        log.display()
    );
    fs::write(etc.join("jail.d/phonebook-gateway.local"), local).unwrap();
    let action = format!("[Definition]\nactionban = echo <ip> >> {}\n", banned.display());
    fs::write(etc.join("action.d/write.conf"), action).unwrap();
    fs::write(etc.join("fail2ban.local"), "[Definition]\ndbfile = None\n").unwrap();
}

#[test]
fn the_jail_bans_an_unknown_caller_and_neither_a_peer_nor_who_is_in_ignoreip() {
    let installed = Path::new("/etc/fail2ban/jail.conf").is_file();
    let programs = program("fail2ban-client", "fail2ban")
        .and_then(|client| Ok((client, program("fail2ban-server", "fail2ban")?)))
        .and_then(|found| {
            if installed {
                Ok(found)
            } else {
                Err(Missing::new("no /etc/fail2ban", "apt-get install fail2ban"))
            }
        });
    let Some((client, server)) = or_left_out(programs) else { return };
    let mut played = Played::with_odd_ones();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let log = played.log("access.log");
    configure(&path("fail2ban"), &log, &path("banned"));
    let [etc, socket, pid, said] =
        ["fail2ban", "socket", "pid", "said"].map(|name| path(name).to_str().unwrap().to_owned());
    let places = ["-c", &etc, "-s", &socket, "-p", &pid, "--logtarget", &said];

    let tested = Command::new(&client).args(places).arg("--test").output().unwrap();
    assert!(tested.status.success(), "{tested:?}");

    let _server = Process::start(&server, &[&places[..], &["-f", "start"]].concat());
    let say = |words: &[&str]| {
        let output = Command::new(&client).args(places).args(words).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let told = || fs::read_to_string(&said).unwrap_or_default();
    assert!(becomes_true(|| say(&["status", "phonebook-gateway"]).0), "{}", told());
    let value = |name: &str| say(&["get", "phonebook-gateway", name]).1.trim().to_owned();
    assert_eq!([value("maxretry"), value("findtime"), value("bantime")], ["10", "600", "3600"]);

    let refused = super::head("/", "");
    for _ in 0..12 {
        played.ask("lyon", "127.0.0.1", 400, "GET  / HTTP/1.1\r\n\r\n");
        played.ask("-", "127.0.0.6", 403, &refused);
        played.ask("-", "127.0.0.7", 403, &refused);
    }
    let banned = || fs::read_to_string(path("banned")).unwrap_or_default();
    assert!(becomes_true(|| !banned().is_empty()), "{}", told());
    // Who is read behind the others: when this one is banned, all that was before it has been read.
    for _ in 0..12 {
        played.ask("-", "127.0.0.8", 403, &refused);
    }
    assert!(becomes_true(|| banned().contains("127.0.0.8")), "{}", told());
    assert_eq!(banned(), "127.0.0.7\n127.0.0.8\n");
}
