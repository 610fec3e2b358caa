//! The program itself with names in its policies: what it serves and says, and that no request ever waits for a name.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use phonebook_gateway::server::{NameKeeper, Server};
use tempfile::TempDir;

use super::{LYON, hosts};
use crate::support::{
    dns::{NameServer, SERVFAIL, Say},
    process::becomes_true,
    raw::{Client, reason},
    scripted::Scripted,
    serving::{Serving, loopback_config},
};

/// A main file with these name servers, whose state is in a directory that outlives the gateway.
fn main_file(xivo: &Scripted, state: &TempDir, resolver: SocketAddr) -> String {
    let state = format!("state_directory = {:?}", state.path());
    let main = loopback_config(xivo.address()).replace("state_directory = \"state\"", &state);
    format!("{main}[names]\nresolver = [\"{resolver}\"]\ndanger_loopback_names = true\n")
}

fn client(gateway: &Serving, from: &str) -> Client {
    Client::connect_from(gateway.addr(), Some(from.parse().unwrap()))
}

fn status(gateway: &Serving, from: &str) -> u16 {
    client(gateway, from).lookup("one").status
}

#[test]
fn the_program_lets_a_peer_in_by_its_name_and_knows_it_again_while_the_name_server_is_down() {
    let (xivo, state) = (Scripted::well(), tempfile::tempdir().unwrap());
    let server = NameServer::start();
    server.says(LYON, Say::addresses("127.0.0.2"));
    let main = main_file(&xivo, &state, server.address());
    let policies = [("lyon", hosts(LYON))];
    let policies: Vec<(&str, &str)> = policies.iter().map(|(a, b)| (*a, b.as_str())).collect();

    let mut gateway = Serving::start(&main, &policies).unwrap();
    assert!(gateway.says("lyon was found: lyon.example.org 127.0.0.2"), "{}", gateway.said());
    assert!(becomes_true(|| status(&gateway, "127.0.0.2") == 200));
    let mut stranger = client(&gateway, "127.0.0.3");
    let answer = stranger.lookup("one");
    assert_eq!((answer.status, reason(&answer).as_str()), (403, "unknown-peer"));
    let file = state.path().join("names.json");
    assert!(becomes_true(|| file.exists()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(gateway.end(), Some(0));

    // Nothing is said, and the peer is known at once.
    server.says(LYON, Say::Silence);
    let mut gateway = Serving::start(&main, &policies).unwrap();
    assert_eq!(status(&gateway, "127.0.0.2"), 200);
    assert_eq!(gateway.end(), Some(0));

    // It fails, and later it has moved.
    server.says(LYON, Say::Code(SERVFAIL));
    let mut gateway = Serving::start(&main, &policies).unwrap();
    assert_eq!(status(&gateway, "127.0.0.2"), 200);
    assert!(gateway.says("lyon.example.org of `lyon` at "), "{}", gateway.said());
    assert!(gateway.says("answered SERVFAIL; its last addresses are used for "));
    server.says(LYON, Say::addresses("127.0.0.4"));
    assert!(gateway.says("lyon.example.org of `lyon` resolves again"), "{}", gateway.said());
    assert!(gateway.says("lyon moved: lyon.example.org 127.0.0.2 → 127.0.0.4"));
    assert!(becomes_true(|| status(&gateway, "127.0.0.4") == 200));
    let mut former = client(&gateway, "127.0.0.2");
    assert_eq!(former.lookup("one").status, 403);
    assert!(
        gateway.says("lyon.example.org of `lyon` at") && gateway.says("and has others now"),
        "{}",
        gateway.said()
    );
    assert_eq!(gateway.end(), Some(0));
}

#[test]
fn neither_the_start_nor_a_request_waits_for_a_name() {
    let (xivo, state) = (Scripted::well(), tempfile::tempdir().unwrap());
    let server = NameServer::start();
    server.hold();
    let main = main_file(&xivo, &state, server.address());
    let policies = [("annecy", hosts("127.0.0.1")), ("lyon", hosts(LYON))];
    let policies: Vec<(&str, &str)> = policies.iter().map(|(a, b)| (*a, b.as_str())).collect();
    let mut gateway = Serving::start(&main, &policies).unwrap();
    assert!(becomes_true(|| server.held() > 0), "it is asked");
    for _ in 0..3 {
        assert_eq!(status(&gateway, "127.0.0.1"), 200);
        assert_eq!(status(&gateway, "127.0.0.2"), 403, "who is unknown is refused at once");
    }
    assert_eq!(server.held(), server.asked().len(), "nothing was answered all the while");
    assert!(!gateway.said().contains("lyon was found"));
    // Nor does the end.
    assert_eq!(gateway.end(), Some(0));
}

#[test]
fn a_file_of_names_that_is_broken_and_cannot_be_replaced_is_a_warning_each_and_no_more() {
    let (xivo, state) = (Scripted::well(), tempfile::tempdir().unwrap());
    let server = NameServer::start();
    server.says(LYON, Say::addresses("127.0.0.2"));
    // A directory is none that anybody can replace, root included.
    fs::create_dir(state.path().join("names.json")).unwrap();
    fs::write(state.path().join("names.json/kept"), "").unwrap();
    let main = main_file(&xivo, &state, server.address());
    let policy = hosts(LYON);
    let mut gateway = Serving::start(&main, &[("lyon", &policy)]).unwrap();
    assert!(becomes_true(|| status(&gateway, "127.0.0.2") == 200));
    assert!(gateway.says("after a restart while names do not resolve, their peers are not known"));
    assert_eq!(gateway.end(), Some(0));
    let said = gateway.said();
    assert_eq!(said.matches("names are resolved anew").count(), 1, "{said}");
    assert_eq!(said.matches("after a restart while names do not resolve").count(), 1, "{said}");
}

#[test]
fn a_peer_that_moves_keeps_what_it_has_used_up_of_its_limits() {
    let (xivo, state) = (Scripted::well(), tempfile::tempdir().unwrap());
    let server = NameServer::start();
    server.says_for(LYON, Say::addresses("127.0.0.2"), 3600);
    let policy = format!("{}rate = {{ per_minute = 1, burst = 1 }}\n", hosts(LYON));
    let main = main_file(&xivo, &state, server.address());
    // The log of this one is nobody's concern.
    let main = main.replace("\"access.log\"", &format!("{:?}", state.path().join("access.log")));
    let read = phonebook_gateway::config::Config::from_texts(
        ("gateway.toml", &main),
        &[("policies/lyon.toml", &policy)],
    );
    let gateway = Server::start(read.unwrap().0).unwrap();
    let address = gateway.addresses()[0];
    let asks = |from: &str| {
        let mut client = Client::connect_from(address, Some(from.parse().unwrap()));
        client.lookup("one")
    };
    assert!(becomes_true(|| super::who(gateway.shared(), "127.0.0.2") == "lyon"));
    assert_eq!(asks("127.0.0.2").status, 200);
    // The gateway's own keeper asks again in an hour; this one has a clock of its own.
    server.says_for(LYON, Say::addresses("127.0.0.4"), 3600);
    let mut keeper = NameKeeper::new(gateway.shared()).unwrap();
    let later = Timestamp::now() + SignedDuration::from_hours(2);
    assert!(becomes_true(|| {
        keeper.step(later, Duration::from_millis(5));
        super::who(gateway.shared(), "127.0.0.4") == "lyon"
    }));
    assert_eq!(asks("127.0.0.2").status, 403);
    let answer = asks("127.0.0.4");
    assert_eq!((answer.status, reason(&answer).as_str()), (429, "rate-limited"));
    gateway.stop(Duration::ZERO);
}
