//! `report` takes a bounded amount of memory and time, whatever a log contains.

use std::{
    fs,
    io::{BufWriter, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Stdio,
};

use flate2::{Compression, write::GzEncoder};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::support::program::{Run, command, run};

/// What a report may allocate: much less than what the logs here hold.
const MOST: u64 = 128 << 20;

/// The report of the file `log`, made in so much memory.
fn limited(directory: &Path, words: &[&str], most: u64) -> Run {
    let mut child = command()
        .current_dir(directory)
        .args(["report", "--threads", "2", "-"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(directory.join("stdout")).unwrap())
        .stderr(fs::File::create(directory.join("stderr")).unwrap())
        .spawn()
        .unwrap();
    // It reads nothing before it is given something.
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    prlimit(Some(Pid::from_child(&child)), Resource::Data, limit).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut log = fs::File::open(directory.join("log")).unwrap();
    // It may have ended early, which its code says.
    let _ = std::io::copy(&mut log, &mut stdin);
    drop(stdin);
    let status = child.wait().unwrap();
    let read = |name: &str| String::from_utf8(fs::read(directory.join(name)).unwrap()).unwrap();
    Run { code: status.code(), stdout: read("stdout"), stderr: read("stderr") }
}

/// A file `log` of lines that are written one by one.
fn log(directory: &Path, write: impl FnOnce(&mut BufWriter<fs::File>)) {
    let mut file = BufWriter::new(fs::File::create(directory.join("log")).unwrap());
    write(&mut file);
    file.flush().unwrap();
}

/// Packs it.
fn pack(directory: &Path) {
    let text = fs::read(directory.join("log")).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&text).unwrap();
    fs::write(directory.join("log"), encoder.finish().unwrap()).unwrap();
}

/// A line of the format `gateway`.
fn line(user: &str, status: u16, reason: &str, agent: &str) -> String {
    let time = "22/Nov/2026:10:00:00 +0000";
    let target = "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=doe";
    format!(
        "192.0.2.1 - {user} [{time}] \"GET {target} HTTP/1.1\" {status} 9 \"-\" \"{agent}\" \"peer={user} \
         action=search reason={reason} limit=peer rule=- source=socket host=a rt=0.001 uct=- uht=- urt=- us=- \
         revision=a id=b\"\n"
    )
}

/// A line of `combined`.
fn combined(user: &str, status: u16) -> String {
    let line = line(user, status, "", "curl");
    line.split_once(" \"peer=").unwrap().0.to_owned() + "\n"
}

#[test]
fn names_of_any_length_and_number_take_little_memory_and_are_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let long = "x".repeat(30_000);
    log(directory.path(), |log| {
        for number in 0..8_000 {
            // Each name of its own from its first byte on, with which it is kept.
            let name = format!("{number}-{long}");
            let line = match number % 4 {
                0 => line(&name, 200, "-", "curl"),
                1 => line(&name, 429, "rate-limited", "curl"),
                2 => line("lyon", 403, &name, "curl"),
                _ => line("-", 403, "unknown-peer", &name).replace("192.0.2.1", &name),
            };
            log.write_all(line.as_bytes()).unwrap();
        }
    });
    let run = limited(directory.path(), &["--json"], MOST);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    // What is no address makes its line one that cannot be read.
    assert_eq!(
        (&report["totals"]["requests"], &report["input"]["unreadable"]),
        (&6_000.into(), &2_000.into())
    );
    let notes = report["input"]["notes"].to_string();
    assert!(notes.contains("Names longer than 200 bytes"), "{notes}");
    let peers = report["peers"].as_array().unwrap();
    assert_eq!(peers.len(), 1001);
    let name = peers.last().unwrap()["name"].as_str().unwrap();
    assert!(name.ends_with("x…") && name.len() <= 200, "{name}");
    assert!(run.stdout.len() < 32 << 20, "{}", run.stdout.len());
    let pages = [&["--plain"][..], &["--html", "report.html"]];
    for words in pages {
        let run = limited(directory.path(), words, MOST);
        assert_eq!(run.code, Some(0), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn twenty_names_of_400_kilobytes_are_shown_at_once_and_two_that_begin_alike_are_one() {
    let directory = tempfile::tempdir().unwrap();
    let (ascii, other) = ("x".repeat(400_000), "\u{1f600}".repeat(100_000));
    log(directory.path(), |log| {
        for number in 0..20 {
            let name = format!("{number}{}", if number % 5 == 0 { &other } else { &ascii });
            for status in [200, 429, 404] {
                log.write_all(combined(&name, status).as_bytes()).unwrap();
            }
            log.write_all(combined(&format!("{ascii}{number}"), 200).as_bytes()).unwrap();
        }
    });
    pack(directory.path());
    let run = limited(directory.path(), &["--plain"], MOST);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("Names longer than 200 bytes"), "{}", run.stdout);
    assert!(run.stdout.len() < 100_000, "{}", run.stdout.len());
    assert!(run.stdout.lines().all(|line| line.len() <= 80), "no line is wider than the screen");
    let run = limited(directory.path(), &["--json"], MOST);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    // Those that differ beyond what is kept are one, with the requests of all of them.
    assert_eq!(report["peers"].as_array().unwrap().len(), 21);
    assert_eq!(report["peers"][0]["requests"], 20);
}

#[test]
fn the_page_is_for_its_owner_and_group_whatever_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("access.log"), line("lyon", 200, "-", "curl")).unwrap();
    fs::write(at("wide.html"), "old").unwrap();
    fs::set_permissions(at("wide.html"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(at("led to.html"), "old").unwrap();
    symlink("led to.html", at("link.html")).unwrap();
    for name in ["new.html", "wide.html", "link.html"] {
        let run = run(directory.path(), &["report", "access.log", "--html", name]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let mode = fs::metadata(at(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777 & !0o640, 0, "{name}: {mode:o}");
        assert!(fs::read_to_string(at(name)).unwrap().starts_with("<!DOCTYPE html>"), "{name}");
    }
    assert!(fs::symlink_metadata(at("link.html")).unwrap().is_symlink());
    // What is no regular file is not replaced.
    let run = run(directory.path(), &["report", "access.log", "--html", "/dev/stdout", "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with("<!DOCTYPE html>"), "{run:?}");
}
