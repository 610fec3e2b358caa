//! systemd's own journal, in a mount namespace of its own: it takes the fields, and hung it holds nobody up.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    binary::free_address,
    live::{PATIENT, Setup},
    needs::{Missing, left_out},
    process::{Process, becomes_true},
    raw::Client,
    scripted::Scripted,
};

/// Runs in the name space: a journal over an empty /run, and a gateway whose standard error is its, as systemd does it.
/// `$1` is the program of the journal, `$2` the gateway's, `$3` a directory.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs none /run
[ ! -d /var/log/journal ] || mount -t tmpfs none /var/log/journal
mkdir -p /run/systemd/journal /run/log/journal
"$1" 2>"$3/journald" &
journal=$!
gateway=
trap 'kill $gateway 2>/dev/null; wait $gateway; kill -CONT $journal; kill $journal' TERM EXIT
until [ -S /run/systemd/journal/stdout ] && [ -S /run/systemd/journal/socket ]; do
    kill -0 $journal
    sleep 0.01
done
echo $journal >"$3/journal.pid"
systemd-cat sh -c 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) && export JOURNAL_STREAM && exec "$@"' \
    sh "$2" serve --config "$3/gateway.toml" &
gateway=$!
echo $gateway >"$3/gateway.pid"
code=0
wait $gateway || code=$?
echo $code >"$3/code"
trap - TERM EXIT
kill -CONT $journal
# It takes what waits for it before it obeys.
kill $journal
wait $journal || true
journalctl --directory=/run/log/journal --output=json SYSLOG_IDENTIFIER=phonebook-gateway >"$3/entries"
mv "$3/entries" "$3/journal"
"#;

/// The journal's program, where this test may run it.
fn journald() -> Result<PathBuf, Missing> {
    let program = ["/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-journald"];
    let program = program.iter().map(Path::new).find(|path| path.is_file());
    let program =
        program.ok_or_else(|| Missing::new("no systemd-journald", "a host with systemd"))?;
    let mut mount = Command::new("unshare");
    mount.args([
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /run && command -v systemd-cat journalctl",
    ]);
    match mount.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(program.to_owned()),
        _ => Err(Missing::new("no mount namespace of its own, or no journalctl", "run as root")),
    }
}

fn pid(file: &Path) -> Pid {
    assert!(becomes_true(|| fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))));
    Pid::from_raw(fs::read_to_string(file).unwrap().trim().parse().unwrap()).unwrap()
}

#[test]
fn the_journal_of_systemd_has_the_fields_and_hung_it_holds_nobody_up() {
    let journald = match journald() {
        Ok(journald) => journald,
        Err(missing) => return left_out(&missing),
    };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let upstream = Scripted::well();
    let address = free_address();
    let mut setup = Setup::new(upstream.address()).workers(2).upstream(PATIENT);
    setup.address = address.to_string();
    fs::write(path("gateway.toml"), setup.main_file("access.log")).unwrap();
    fs::create_dir(path("policies")).unwrap();
    fs::write(path("policies/lyon.toml"), &setup.policies[0].1).unwrap();
    let arguments = ["--mount", "sh", "-c", SCRIPT, "sh"];
    let names = [&journald, Path::new(env!("CARGO_BIN_EXE_phonebook-gateway")), directory.path()]
        .map(|path| path.to_str().unwrap());
    let script = fs::File::create(path("script")).unwrap();
    let arguments = [arguments.as_slice(), &names].concat();
    let _all = Process::start_telling(Path::new("unshare"), &arguments, script.into());
    let journal = pid(&path("journal.pid"));
    let gateway = pid(&path("gateway.pid"));
    assert!(becomes_true(|| std::net::TcpStream::connect(address).is_ok()));
    let ask = || {
        let mut client = Client::connect(address);
        assert_eq!(client.lookup("one").status, 200);
        client.send("GET /elsewhere HTTP/1.1\r\nHost: gateway\r\n\r\n");
        assert_eq!(client.answer().status, 404);
    };
    (0..30).for_each(|_| ask());
    kill_process(journal, Signal::STOP).unwrap();
    (0..30).for_each(|_| ask());
    for _ in 0..3000 {
        kill_process(gateway, Signal::HUP).unwrap();
    }
    (0..30).for_each(|_| ask());
    kill_process(journal, Signal::CONT).unwrap();
    kill_process(gateway, Signal::TERM).unwrap();
    let script = || fs::read_to_string(path("script")).unwrap();
    assert!(becomes_true(|| path("journal").exists()), "{}", script());
    assert_eq!(fs::read_to_string(path("code")).unwrap(), "0\n");
    assert_eq!(fs::read_to_string(path("access.log")).unwrap().lines().count(), 180);
    let entries = fs::read_to_string(path("journal")).unwrap();
    let entries: Vec<serde_json::Value> =
        entries.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = entries.iter().find(|entry| entry["PHONEBOOK_GATEWAY_REASON"] == "unknown-path");
    let refused = refused.unwrap_or_else(|| panic!("{entries:#?}"));
    for (field, value) in [
        ("_TRANSPORT", "journal"),
        ("PRIORITY", "6"),
        ("PHONEBOOK_GATEWAY_PEER", "lyon"),
        ("PHONEBOOK_GATEWAY_CLIENT", "127.0.0.1"),
        ("PHONEBOOK_GATEWAY_STATUS", "404"),
    ] {
        assert_eq!(refused[field], value, "{field}");
    }
    let message =
        |entry: &serde_json::Value| entry["MESSAGE"].as_str().unwrap_or_default().to_owned();
    assert!(entries.iter().any(|entry| message(entry) == "ended"), "{entries:#?}");
}
