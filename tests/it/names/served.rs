//! The program through an outage: who was known is served, and its administrator reads what happens.

use std::{fs, os::unix::fs::PermissionsExt};

use domain::base::iana::Rcode;
use tempfile::TempDir;

use super::told::{LYON, hosts};
use crate::support::{
    dns::{NameServer, Says, has},
    process::becomes_true,
    raw::{Client, reason},
    scripted::Scripted,
    serving::{Serving, loopback_config},
};

/// A main file with these name servers, whose state is in a directory that outlives the gateway.
fn main_file(xivo: &Scripted, state: &TempDir, resolver: std::net::SocketAddr) -> String {
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
    server.says(LYON, has(&["127.0.0.2"]));
    let main = main_file(&xivo, &state, server.address());
    let policies = [("lyon", hosts(LYON))];
    let policies: Vec<(&str, &str)> = policies.iter().map(|(a, b)| (*a, b.as_str())).collect();

    let mut gateway = Serving::start(&main, &policies).unwrap();
    assert!(gateway.says("lyon was found: lyon.example.org 127.0.0.2"), "{}", gateway.said());
    assert!(becomes_true(|| status(&gateway, "127.0.0.2") == 200));
    let mut unknown_caller = client(&gateway, "127.0.0.3");
    let answer = unknown_caller.lookup("one");
    assert_eq!((answer.status, reason(&answer).as_str()), (403, "unknown-peer"));
    let file = state.path().join("names.json");
    assert!(becomes_true(|| file.exists()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(gateway.end(), Some(0));

    // Nothing is said, and the peer is known at once.
    server.says(LYON, Says::Silent);
    let mut gateway = Serving::start(&main, &policies).unwrap();
    assert_eq!(status(&gateway, "127.0.0.2"), 200);
    assert_eq!(gateway.end(), Some(0));

    // It fails, and later it has moved.
    server.says(LYON, Says::Fails(Rcode::SERVFAIL));
    let mut gateway = Serving::start(&main, &policies).unwrap();
    assert_eq!(status(&gateway, "127.0.0.2"), 200);
    assert!(gateway.says("lyon.example.org of `lyon` at "), "{}", gateway.said());
    assert!(gateway.says("answered SERVFAIL; its last addresses are used for "));
    server.says(LYON, has(&["127.0.0.4"]));
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
