//! A part of the gateway that ends without being told to, or panics, ends the process: nothing goes on half dead.

use std::process::Command;

use crate::support::{
    binary::Binary,
    live::{PATIENT, Setup},
    needs::{Missing, left_out},
    pki::{Authority, Wanted},
    process::becomes_true,
    raw::Client,
    scripted::Scripted,
    tls::text,
};

/// Ends this part in a debug build; see `ends_for_test` in the program.
const END: &str = "PHONEBOOK_GATEWAY_TEST_END";

fn is_debug() -> bool {
    if !cfg!(debug_assertions) {
        left_out(&Missing::new("the program is a release build", "cargo test without --release"));
    }
    cfg!(debug_assertions)
}

/// A gateway with every thread that there can be, one of which ends so.
fn ending(part: &str, how: &str, upstream: &Scripted) -> Binary {
    let address = upstream.address();
    let mut setup = Setup::new(address).workers(2);
    // A name, so that it is resolved again and again.
    setup.upstream_url = format!("http://localhost:{}", address.port());
    let certificate = Authority::new("Site CA").issue(&Wanted::server("localhost"));
    let files = tempfile::tempdir().unwrap();
    let (pem, key) = certificate.write(files.path(), "gateway");
    setup.listen = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = {:?}, private_key = {:?} }}",
        text(&pem),
        text(&key)
    );
    let main = setup.main_file("access.log")
        + "[[access_log]]\npath = \"second.log\"\n[names]\nresolver = [\"127.0.0.1:9\"]\n";
    let named = "hosts = [\"xivo.example.org\"]\nactions = [\"search\"]\n";
    let (name, lyon) = &setup.policies[0];
    let mut gateway =
        Binary::serve_changed(&main, &[(name, lyon), ("named", named)], |mut command, _| {
            command.env(END, format!("{part}={how}"));
            command
        });
    // The certificate's files are read at the start.
    becomes_true(|| gateway.stderr().contains("ready: ") || !gateway.runs());
    gateway
}

#[test]
fn each_thread_that_ends_or_panics_ends_the_process_with_a_line_that_names_it() {
    if !is_debug() {
        return;
    }
    let upstream = Scripted::well();
    for (part, named) in [
        ("worker-0", "worker-0"),
        ("worker-1", "worker-1"),
        ("accept-0", "worker-"),
        ("accept-1", "worker-"),
        ("access-log-0", "access-log-0"),
        ("access-log-1", "access-log-1"),
        ("certificates", "certificates"),
        ("control", "control"),
        ("names", "names"),
        ("resolver", "resolver"),
        ("configuration", "configuration"),
        ("diagnostics", "diagnostics"),
    ] {
        let mut gateway = ending(part, "return", &upstream);
        assert_eq!(gateway.exit().code(), Some(3), "{part}: {}", gateway.stderr());
        let line = format!("the thread `{named}");
        let stderr = gateway.stderr();
        let told = stderr.lines().find(|told| told.contains(&line)).unwrap_or_default();
        assert!(told.contains("ended without being told to: "), "{part}: {stderr}");

        let mut gateway = ending(part, "panic", &upstream);
        assert_eq!(gateway.exit().code(), Some(3), "{part}: {}", gateway.stderr());
        let stderr = gateway.stderr();
        let told = stderr.lines().find(|told| told.contains(&line)).unwrap_or_default();
        let place = "panicked at src/supervision.rs:";
        assert!(told.contains(place) && told.contains("a test wants it"), "{part}: {stderr}");
    }
}

#[test]
fn a_panic_in_the_thread_of_signals_ends_the_process() {
    if !is_debug() {
        return;
    }
    let upstream = Scripted::well();
    let mut gateway = ending("main", "panic", &upstream);
    assert_eq!(gateway.exit().code(), Some(3));
    assert!(gateway.stderr().contains("the thread `main` panicked at "), "{}", gateway.stderr());
}

/// A gateway whose connection of this number panics; nothing but the end brings its log out.
fn panicking(connection: usize, change: impl FnOnce(&mut Command)) -> Binary {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).workers(2).upstream(PATIENT);
    let main = setup
        .main_file("access.log")
        .replace("buffer = \"0\"", "buffer = \"1m\"")
        .replace("flush = \"10ms\"", "flush = \"60s\"");
    let (name, text) = &setup.policies[0];
    let mut gateway = Binary::serve_changed(&main, &[(name, text)], |mut command, _| {
        command.env(END, format!("connection-{connection}=panic"));
        change(&mut command);
        command
    });
    let address = gateway.address();
    for _ in 1..connection {
        assert_eq!(Client::connect(address).lookup("one").status, 200);
    }
    Client::connect(address).search("one");
    gateway
}

#[test]
fn a_panic_in_a_task_ends_the_process_and_what_was_answered_is_in_the_log() {
    if !is_debug() {
        return;
    }
    let mut gateway = panicking(13, |_| {});
    assert_eq!(gateway.exit().code(), Some(3));
    assert_eq!(gateway.log("access.log").len(), 12);
    let stderr = gateway.stderr();
    let panics = stderr.lines().filter(|line| line.contains("panicked")).count();
    assert!(panics == 1 && stderr.contains("the thread `worker-"), "{stderr}");
    assert!(!stderr.contains("stack backtrace") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
}

#[test]
fn the_line_of_a_panic_is_json_where_all_are_and_has_a_backtrace_if_asked_for() {
    if !is_debug() {
        return;
    }
    let mut gateway = panicking(1, |command| {
        command.args(["--log-format", "json"]).env("RUST_BACKTRACE", "1");
    });
    assert_eq!(gateway.exit().code(), Some(3));
    let stderr = gateway.stderr();
    let line = stderr.lines().find(|line| line.contains("panicked")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "ERROR");
    let message = line["fields"]["message"].as_str().unwrap();
    assert!(message.contains("ends_for_test"), "{message}");
}

/// Standard error is no more of a help here than for any other line.
#[test]
fn a_panic_ends_the_process_though_nobody_can_be_told() {
    if !is_debug() {
        return;
    }
    for part in ["worker-0", "access-log-0", "diagnostics", "main"] {
        for how in ["return", "panic"] {
            if (part, how) == ("main", "return") {
                continue;
            }
            let upstream = Scripted::well();
            let setup = Setup::new(upstream.address());
            let (name, text) = &setup.policies[0];
            let (reader, writer) = std::io::pipe().unwrap();
            let main = setup.main_file("access.log");
            let mut gateway = Binary::serve_changed(&main, &[(name, text)], |mut command, _| {
                super::standard_streams::fill(&writer);
                command.env(END, format!("{part}={how}")).stderr(writer);
                command
            });
            assert_eq!(gateway.exit().code(), Some(3), "{part} {how}");
            drop(reader);
        }
    }
}
