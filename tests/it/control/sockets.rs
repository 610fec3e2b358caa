//! Whose the socket is: of the gateway that listens, and of nobody when it has ended.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
};

use rustix::process::Signal;
use serde_json::json;

use super::{Controlled, ask, main_file};
use crate::support::{
    binary::Binary,
    live::{PATIENT, Setup},
    process::becomes_true,
    raw::Client,
    scripted::Scripted,
};

#[test]
fn the_socket_is_for_user_and_group_and_gone_when_the_gateway_has_ended() {
    let mut controlled = Controlled::start();
    let socket = controlled.gateway.path("control.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    controlled.told(json!({"command": "status"}));
    controlled.gateway.signal(Signal::TERM);
    assert_eq!(controlled.gateway.exit().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn a_gateway_that_was_killed_leaves_a_dead_socket_that_the_next_one_replaces() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).upstream(PATIENT);
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let main = main_file(&setup).replace("\"control.sock\"", &format!("{socket:?}"));
    let (name, policy) = &setup.policies[0];
    for round in 0..2 {
        let mut gateway = Binary::serve_texts(&main, &[(name, policy)]);
        gateway.address();
        assert!(!gateway.stderr().contains("no control socket"), "{}", gateway.stderr());
        let status = ask(&socket, json!({"command": "status"}));
        assert_eq!(status["ok"]["pid"], json!(gateway.pid()), "{round}: {status}");
        gateway.signal(Signal::KILL);
        gateway.exit();
        assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
        assert!(UnixStream::connect(&socket).is_err());
    }
}

#[test]
fn a_second_gateway_serves_without_a_socket_and_leaves_the_first_ones() {
    let first = Controlled::start();
    let socket = first.gateway.path("control.sock");
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).upstream(PATIENT);
    let main = main_file(&setup).replace("\"control.sock\"", &format!("{socket:?}"));
    let (name, policy) = &setup.policies[0];
    let mut second = Binary::serve_texts(&main, &[(name, policy)]);
    assert_eq!(Client::connect(second.address()).lookup("one").status, 200);
    let warning = format!("another process holds it (process {})", first.gateway.pid());
    let said = second.stderr();
    assert!(said.contains(&warning) && said.contains("WARN"), "{said}");
    second.signal(Signal::TERM);
    assert_eq!(second.exit().code(), Some(0));
    assert_eq!(first.told(json!({"command": "status"}))["pid"], json!(first.gateway.pid()));
}

#[test]
fn where_no_socket_can_be_made_the_gateway_says_why_and_serves() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).upstream(PATIENT);
    let (name, policy) = &setup.policies[0];
    let listener = |directory: &std::path::Path| {
        fs::write(directory.join("file"), "text").unwrap();
    };
    for (socket, part) in
        [("none/control.sock", "does not exist"), ("file", "what is there is no socket"), ("", "")]
    {
        let main = main_file(&setup).replace("\"control.sock\"", &format!("{socket:?}"));
        let mut gateway = Binary::serve_changed(&main, &[(name, policy)], |command, directory| {
            listener(directory);
            command
        });
        assert_eq!(Client::connect(gateway.address()).lookup("one").status, 200, "{socket}");
        let said = gateway.stderr();
        assert_eq!(said.contains("no control socket at "), !part.is_empty(), "{said}");
        assert!(said.contains(part), "{said}");
        assert_eq!(fs::read(gateway.path("file")).unwrap(), b"text");
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.exit().code(), Some(0));
    }
}

#[test]
fn a_socket_that_somebody_else_put_there_meanwhile_stays() {
    let mut controlled = Controlled::start();
    let socket = controlled.gateway.path("control.sock");
    fs::remove_file(&socket).unwrap();
    let _other = UnixListener::bind(&socket).unwrap();
    controlled.gateway.signal(Signal::TERM);
    assert_eq!(controlled.gateway.exit().code(), Some(0));
    assert!(becomes_true(|| UnixStream::connect(&socket).is_ok()));
}
