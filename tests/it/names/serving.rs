//! `serve`, `explain` and `check` with names, as an administrator meets them.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::support::{
    program::{self, Run},
    scripted::found_body,
    serving::{Serving, loopback_config},
};

fn main_file(xivo: SocketAddr, names: &str) -> String {
    format!("{}\n[names]\n{names}\n", loopback_config(xivo))
}

fn with_server(xivo: &Scripted, server: &NameServer, more: &str) -> String {
    let names = format!("resolver = [\"{}\"]\n{LOOPBACK}\n{more}", server.address());
    main_file(xivo.address(), &names)
}

fn start(main: &str, policies: &[(&str, &str)]) -> Serving {
    Serving::start(main, policies).unwrap_or_else(|not| panic!("{}", not.said))
}

fn client(gateway: &Serving, from: &str) -> Client {
    Client::connect_from(gateway.addr(), Some(from.parse().unwrap()))
}

const LYON: (&str, &str) = ("lyon", "\nhosts = [\"lyon.example.org\"]\n");

/// `explain` or `check` with the configuration of this gateway.
fn run(gateway: &Serving, words: &[&str]) -> Run {
    let directory = gateway.file("gateway.toml");
    program::run(directory.parent().unwrap(), words)
}

fn explain(gateway: &Serving, from: &str) -> Run {
    let url = "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=doe";
    run(gateway, &["explain", "-c", "gateway.toml", "--from", from, url])
}

#[test]
fn an_administrator_reads_what_becomes_of_a_name() {
    let xivo = Scripted::well();
    let server = NameServer::start();
    let policies = [
        LYON,
        ("nice", "hosts = [\"nice.example.org\"]\n"),
        ("paris", "hosts = [\"127.0.0.8/30\"]\n"),
        ("gone", "hosts = [\"gone.example.org\"]\n"),
    ];
    server.says("lyon.example.org", has(&["127.0.0.4", "127.0.0.9"]));
    server.says("nice.example.org", has(&["127.0.0.5"]));
    let gateway = start(&with_server(&xivo, &server, ""), &policies);
    assert!(gateway.says("lyon was found: lyon.example.org 127.0.0.4"), "{}", gateway.said());
    assert!(gateway.says("nice was found: nice.example.org 127.0.0.5\n"));
    assert!(gateway.says("127.0.0.9, which lyon.example.org of `lyon` at "), "{}", gateway.said());
    assert!(gateway.says("is not trusted: it lies in what `paris` has at "));
    assert!(gateway.says("gone.example.org of `gone` at "), "{}", gateway.said());
    assert!(gateway.says("does not resolve: there is no such name"));
    assert_eq!(client(&gateway, "127.0.0.4").lookup("doe").body, found_body("doe").into_bytes());
    assert_eq!(client(&gateway, "127.0.0.7").lookup("doe").status, 403);
    let state = gateway.file("state/names.json");
    let written = || std::fs::read_to_string(&state).unwrap_or_default();
    assert!(becomes_true(|| written().contains("lyon.") && written().contains("nice.")));
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);

    // `explain` tells what `serve` wrote, and asks nobody.
    let asked = server.asked_for("lyon.example.org");
    let told = explain(&gateway, "127.0.0.4");
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("lyon.example.org has 127.0.0.4 since "), "{}", told.stdout);
    assert!(told.stdout.contains("is asked for again in "), "{}", told.stdout);
    assert!(told.stdout.contains("peer `lyon`"), "{}", told.stdout);
    assert_eq!(server.asked_for("lyon.example.org"), asked);
    let told = explain(&gateway, "127.0.0.9");
    assert!(told.stdout.contains("peer `paris`"), "what is written wins: {}", told.stdout);

    // Without that file it asks by itself.
    std::fs::remove_file(&state).unwrap();
    let told = explain(&gateway, "127.0.0.5");
    assert!(told.stdout.contains("nice.example.org has 127.0.0.5 since "), "{}", told.stdout);
    assert!(told.stdout.contains("resolved now, since no gateway has written its names"));

    // And leaves nothing behind: the file is the gateway's.
    let site = program::Site::new(
        &with_server(&xivo, &server, "").replace("\"state\"", "\".\""),
        &[("nice", "hosts = [\"nice.example.org\"]\n")],
    );
    let words = ["explain", "-c", "gateway.toml", "--from", "127.0.0.5", "/"];
    assert!(site.run(&words).stdout.contains("nice.example.org has 127.0.0.5"));
    assert!(!site.main_file().with_file_name("names.json").exists());

    // `check` asks nobody, and has nothing against names.
    let asked = server.asked();
    let checked = run(&gateway, &["check", "--offline", "-c", "gateway.toml"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(!checked.stderr.contains("resolve"), "{}", checked.stderr);
    assert_eq!(server.asked(), asked);
}

#[test]
fn a_peer_whose_name_is_lost_is_told_from_unknown_callers() {
    let xivo = Scripted::well();
    let server = NameServer::start();
    server.says("lyon.example.org", has(&["127.0.0.4"]));
    let first = start(&with_server(&xivo, &server, ""), &[LYON]);
    let written = || std::fs::read_to_string(first.file("state/names.json")).unwrap_or_default();
    assert!(becomes_true(|| written().contains("127.0.0.4")));
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("names.json"), written()).unwrap();
    // The next one begins with what this one knew, holds nothing, and gets no answer.
    server.says_of_all(Says::Silent);
    let main = with_server(&xivo, &server, "hold_timeout = \"0s\"")
        .replace("\"state\"", &format!("{:?}", state.path()));
    let second = start(&main, &[LYON]);
    assert_eq!(client(&second, "127.0.0.4").lookup("doe").status, 403);
    assert!(second.says("lyon.example.org of `lyon` at "), "{}", second.said());
    assert!(second.says(", and has not resolved since "), "{}", second.said());
    let told = explain(&second, "127.0.0.4");
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("lyon.example.org of `lyon` at "), "{}", told.stdout);
}

#[test]
fn a_state_that_is_broken_or_cannot_be_written_is_told_of_and_stops_nothing() {
    let xivo = Scripted::well();
    let server = NameServer::start();
    server.says("lyon.example.org", has(&["127.0.0.4"]));
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("names.json");
    std::fs::write(&file, "{\"version\":1,").unwrap();
    let main = |directory: &Path| {
        with_server(&xivo, &server, "").replace("\"state\"", &format!("{directory:?}"))
    };
    let gateway = start(&main(state.path()), &[LYON]);
    assert!(gateway.says("names.json: this is no list of names"), "{}", gateway.said());
    assert!(gateway.says("lyon was found: "));
    assert!(becomes_true(|| std::fs::read_to_string(&file).unwrap().contains("lyon.example.org")));
    // A file is no directory.
    let gateway = start(&main(&file), &[LYON]);
    assert!(gateway.says("after a restart while names do not resolve"), "{}", gateway.said());
    assert!(gateway.says("lyon was found: "));
    assert_eq!(client(&gateway, "127.0.0.4").lookup("doe").status, 200);
    assert_eq!(gateway.said().matches("after a restart while names").count(), 1);
}

#[test]
fn the_systems_resolver_is_asked_by_default() {
    let xivo = Scripted::well();
    let gateway =
        start(&main_file(xivo.address(), LOOPBACK), &[("here", "hosts = [\"localhost\"]\n")]);
    assert!(gateway.says("here was found: localhost "), "{}", gateway.said());
    assert_eq!(client(&gateway, "127.0.0.1").lookup("doe").status, 200);
    // And by default it may not say that this host is a peer.
    let gateway = start(&main_file(xivo.address(), ""), &[("here", "hosts = [\"localhost\"]\n")]);
    assert!(gateway.says("127.0.0.1, which localhost of `here` at "), "{}", gateway.said());
    assert_eq!(client(&gateway, "127.0.0.1").lookup("doe").status, 403);
}
