//! USR2, with programs that are good and bad in all ways.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use super::{asking, setup, xivo};
use crate::support::{
    binary::{Binary, address_of_its_own},
    live::Setup,
    process::becomes_true,
    raw::Client,
};

/// A gateway whose program is a file of its own, in its directory.
fn start(setup: &Setup) -> Binary {
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let main = format!(
        "{}\n[control]\nsocket = \"control.sock\"\n[admin]\naddress = \"unix:admin.sock\"\n",
        setup.main_file("access.log")
    );
    Binary::serve_changed(&main, &policies, |command, directory| {
        let program = directory.join("phonebook-gateway");
        fs::copy(command.get_program(), &program).unwrap();
        let stderr =
            fs::OpenOptions::new().append(true).create(true).open(directory.join("stderr"));
        let mut own = Command::new(program);
        own.args(command.get_args()).env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
        own.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.unwrap());
        own
    })
}

/// Puts a shell script in the place of the program.
fn replace(gateway: &Binary, script: &str) {
    put(gateway, |path| fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap());
}

fn restore(gateway: &Binary) {
    let program = Path::new(env!("CARGO_BIN_EXE_phonebook-gateway"));
    put(gateway, |path| {
        fs::copy(program, path).unwrap();
    });
}

fn put(gateway: &Binary, write: impl FnOnce(&Path)) {
    let new = gateway.path("gateway.new");
    write(&new);
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, gateway.path("phonebook-gateway")).unwrap();
}

/// How often a text stands in the diagnostics.
fn told(gateway: &Binary, text: &str) -> usize {
    gateway.stderr().matches(text).count()
}

/// Sends USR2 to `pid`, and waits until that text has been told once more.
fn upgrade(gateway: &Binary, pid: u32, text: &str) {
    let before = told(gateway, text);
    kill_process(pid_of(pid), Signal::USR2).unwrap();
    assert!(becomes_true(|| told(gateway, text) > before), "{text}: {}", gateway.stderr());
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// What `ctl` says of the gateway that runs.
fn status(gateway: &Binary) -> Value {
    let main = gateway.path("gateway.toml");
    let arguments = [OsStr::new("ctl"), OsStr::new("status"), OsStr::new("--json")];
    let out = Command::new(env!("CARGO_BIN_EXE_phonebook-gateway"))
        .args(arguments)
        .arg("--config")
        .arg(main)
        .output()
        .unwrap();
    serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out.stderr)))
}

/// Ended, whatever becomes of the test.
struct Successor(u32);

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = kill_process(pid_of(self.0), Signal::KILL);
    }
}

/// The process that answers on the control socket, once it is another one than `before`.
fn successor(gateway: &Binary, before: u32) -> Successor {
    let pid = || u32::try_from(status(gateway)["ok"]["pid"].as_u64().unwrap()).unwrap();
    assert!(becomes_true(|| pid() != before), "{}", gateway.stderr());
    Successor(pid())
}

/// Lets a process begin to take over that never comes to it; its number.
fn hangs(gateway: &Binary) -> u32 {
    replace(gateway, "echo $$ >\"$(dirname \"$0\")/hangs\"; exec sleep 1000");
    upgrade(gateway, gateway.pid(), "is to take the place of this one");
    let hung = || fs::read_to_string(gateway.path("hangs")).ok()?.trim().parse().ok();
    assert!(becomes_true(|| hung().is_some()));
    hung().unwrap()
}

#[test]
fn nobody_notices_that_another_process_takes_over_or_fails_to() {
    let upstream = xivo();
    let address = address_of_its_own();
    let mut gateway = start(&setup(&upstream, address));
    assert_eq!(gateway.address(), address);
    let first = gateway.pid();
    let (asked, second) = asking(address, |_| {
        // One that crashes, one that is no program, and a configuration that it refuses.
        replace(&gateway, "exit 7");
        upgrade(&gateway, first, "USR2: the new process ended before it served (exit status: 7)");
        replace(&gateway, "kill -SEGV $$");
        upgrade(&gateway, first, "USR2: the new process ended before it served (signal: 11");
        put(&gateway, |path| fs::write(path, "neither").unwrap());
        upgrade(&gateway, first, "cannot be started: ");
        replace(&gateway, "echo nonsense; exec sleep 0 <&-");
        upgrade(&gateway, first, "USR2: the new process ended before it served (exit status: 0)");
        restore(&gateway);
        let main = fs::read_to_string(gateway.path("gateway.toml")).unwrap();
        fs::write(gateway.path("gateway.toml"), format!("{main}wrong = 1\n")).unwrap();
        upgrade(&gateway, first, "ended before it served (the configuration is not valid");
        fs::write(gateway.path("gateway.toml"), main).unwrap();
        assert!(gateway.runs());
        // And one that is good.
        upgrade(&gateway, first, "serves now; finishing what is under way");
        let second = successor(&gateway, first);
        assert_eq!(gateway.exit().code(), Some(0));
        second
    });
    assert!(asked > 50, "{asked}");
    // It is as good as the first one.
    let (asked, third) = asking(address, |_| {
        upgrade(&gateway, second.0, "serves now; finishing what is under way");
        let third = successor(&gateway, second.0);
        assert!(becomes_true(|| test_kill_process(pid_of(second.0)).is_err()
            || fs::read_to_string(format!("/proc/{}/stat", second.0))
                .is_ok_and(|stat| stat.contains(") Z "))));
        third
    });
    assert!(asked > 0);
    assert_eq!(Client::connect(address).lookup("one").status, 200);
    // Each has taken the admin listener over, too.
    assert_eq!(told(&gateway, "the admin listener is at unix:"), 3);
    assert_eq!(told(&gateway, "no admin listener"), 0);
    let mut admin = UnixStream::connect(gateway.path("admin.sock")).unwrap();
    admin.write_all(b"GET /ready HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    admin.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nready\n"), "{answer}");
    // Nobody else may listen there, still.
    let mut other = Binary::serve(&setup(&upstream, address));
    assert_eq!(other.exit().code(), Some(3));
    assert!(other.stderr().contains("another phonebook-gateway"), "{}", other.stderr());
    // The last one takes its socket away, and the ones before it did not.
    kill_process(pid_of(third.0), Signal::TERM).unwrap();
    let sockets = ["control.sock", "admin.sock"];
    let gone = || sockets.iter().all(|name| !gateway.path(name).exists());
    assert!(becomes_true(gone), "{}", gateway.stderr());
}

#[test]
fn one_that_hangs_is_ended_and_meanwhile_a_second_wish_is_told_of() {
    let upstream = xivo();
    let address = address_of_its_own();
    let mut gateway = start(&setup(&upstream, address));
    gateway.address();
    replace(&gateway, "echo $$ >\"$(dirname \"$0\")/hangs\"; exec sleep 1000");
    let pid = gateway.pid();
    upgrade(&gateway, pid, "is to take the place of this one");
    upgrade(&gateway, pid, "another process is being started already");
    assert_eq!(Client::connect(address).lookup("one").status, 200);
    let patience = "the new process did not serve within 20 s, and was ended. This process goes on";
    // Twice the patience of a test: this is the gateway's own.
    assert!(
        becomes_true(|| told(&gateway, patience) == 1)
            || becomes_true(|| told(&gateway, patience) == 1)
    );
    let hung: u32 = fs::read_to_string(gateway.path("hangs")).unwrap().trim().parse().unwrap();
    assert!(becomes_true(|| test_kill_process(pid_of(hung)).is_err()));
    assert_eq!(Client::connect(address).lookup("one").status, 200);
    assert!(gateway.runs());
}

#[test]
fn one_that_closes_its_input_and_lives_on_is_ended() {
    let upstream = xivo();
    let address = address_of_its_own();
    let mut gateway = start(&setup(&upstream, address));
    gateway.address();
    replace(&gateway, "exec sleep 1000 <&-");
    upgrade(&gateway, gateway.pid(), "USR2: the new process closed its standard input");
    assert_eq!(Client::connect(address).lookup("one").status, 200);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().code(), Some(0));
}

#[test]
fn what_the_other_process_would_not_know_of_is_not_changed_meanwhile() {
    let upstream = xivo();
    let address = address_of_its_own();
    let mut gateway = start(&setup(&upstream, address));
    gateway.address();
    let hung = hangs(&gateway);
    let ctl = |words: &[&str]| {
        let main = gateway.path("gateway.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_phonebook-gateway"));
        command.arg("ctl").args(words).arg("--config").arg(main).output().unwrap()
    };
    for words in [["disable", "lyon"].as_slice(), &["reload"], &["rollback"]] {
        let out = ctl(words);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(3), "{words:?}: {said}");
        assert!(said.contains("another process is about to take the place of this one"), "{said}");
    }
    assert_eq!(status(&gateway)["ok"]["pid"], gateway.pid());
    kill_process(pid_of(hung), Signal::KILL).unwrap();
    assert!(becomes_true(|| told(&gateway, "This process goes on") == 1));
    assert_eq!(ctl(&["disable", "lyon"]).status.code(), Some(0));
    assert_eq!(Client::connect(address).lookup("one").status, 403);
}

#[test]
fn one_that_is_not_ready_ends_with_the_gateway_that_started_it() {
    let upstream = xivo();
    let address = address_of_its_own();
    let mut gateway = start(&setup(&upstream, address));
    gateway.address();
    let hung = hangs(&gateway);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().code(), Some(0));
    assert!(becomes_true(|| test_kill_process(pid_of(hung)).is_err()));
}
