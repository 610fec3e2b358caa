//! Clients that stall, flood and send garbage, beside honest ones and beside lookups.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use super::{Controlled, connect, send};
use crate::support::process::becomes_true;

/// What an honest client is told, whoever else is there.
fn is_told(controlled: &Controlled) -> bool {
    controlled.ask(json!({"command": "status"}))["ok"]["phase"] == "serving"
}

#[test]
fn garbage_is_answered_with_what_is_wrong() {
    let controlled = Controlled::start();
    let socket = controlled.gateway.path("control.sock");
    let long = vec![b'x'; 70_000];
    let two = b"{\"version\":1,\"command\":\"status\"}\n{\"version\":1,\"command\":\"stop\"}\n";
    for (bytes, part) in [
        (&b"\n"[..], "no JSON object"),
        (b"GET / HTTP/1.1\r\n\r\n", "more came"),
        (b"\x16\x03\x01\n", "no JSON object"),
        (b"{\"version\":9,\"command\":\"status\"}\n", "this gateway speaks 1"),
        (b"{\"version\":1,\"command\":\"status\",\"file\":\"/etc/passwd\"}\n", "file"),
        (b"{\"version\":1,\"command\":\"frobnicate\"}\n", "frobnicate"),
        (two, "one connection carries one request"),
        (&long, "longer than 65536 bytes"),
    ] {
        let answer: Value = serde_json::from_slice(&send(&socket, bytes)).unwrap();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(part) && answer["error"]["exit"] == 2, "{answer}");
        assert!(is_told(&controlled));
    }
    // Who says nothing is told nothing.
    assert_eq!(send_and_close(connect(&socket), b""), b"");
    // A last line without its end is a line.
    let answer = send_and_close(connect(&socket), b"{\"version\":1,\"command\":\"status\"}");
    assert!(answer.starts_with(b"{\"version\":1,"), "{}", answer.escape_ascii());
}

fn send_and_close(mut stream: UnixStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn clients_that_stall_keep_nobody_out() {
    let controlled = Controlled::start();
    let socket = controlled.gateway.path("control.sock");
    // Each of them would hold its place for two seconds, and there are sixteen.
    let mut stalled: Vec<UnixStream> = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(&socket);
        let _ = stream.write_all(b"{\"version\":1,");
        stalled.push(stream);
    }
    for _ in 0..10 {
        assert!(becomes_true(|| {
            let answer = controlled.ask(json!({"command": "status"}));
            // Who comes when all places are taken by others that came only just now is told so.
            let busy = &answer["error"]["busy"];
            assert!(answer["ok"].is_object() || *busy == true, "{answer}");
            answer["ok"].is_object()
        }));
    }
    for mut stream in stalled {
        let mut answer = Vec::new();
        // They are told what became of them, or were turned away at once.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"{\"version\":1,"), "{}", answer.escape_ascii());
    }
}

#[test]
fn no_lookup_is_late_or_lost_while_clients_flood_and_stall() {
    let controlled = Controlled::start();
    let socket = controlled.gateway.path("control.sock");
    let (over, floods) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for kind in 0..4 {
            let (socket, over, floods) = (&socket, &over, &floods);
            scope.spawn(move || {
                let mut held = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    let Ok(mut stream) = UnixStream::connect(socket) else { continue };
                    let _ = match kind {
                        0 => stream.write_all(b"{\"version\":1,\"command\":\"peers\"}\n"),
                        1 => stream.write_all(&[0xff; 4096]),
                        2 => stream.write_all(b"{"),
                        _ => Ok(()),
                    };
                    floods.fetch_add(1, Ordering::SeqCst);
                    held.push(stream);
                    if held.len() > 50 {
                        held.clear();
                    }
                }
            });
        }
        let mut client = controlled.client();
        for number in 0..300 {
            let answer = client.lookup("one");
            assert_eq!(answer.status, 200, "{number}");
        }
        while floods.load(Ordering::SeqCst) < 200 {
            assert_eq!(client.lookup("one").status, 200);
        }
        over.store(true, Ordering::SeqCst);
    });
    assert!(becomes_true(|| is_told(&controlled)));
}
