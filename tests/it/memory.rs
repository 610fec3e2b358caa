//! The gateway's memory depends neither on how many requests it has answered nor on how large an answer is.

mod table;

use std::{io::Write, net::SocketAddr, thread::spawn};

use crate::support::{
    binary::Binary,
    live::Setup,
    process::becomes_true,
    raw::{Client, list, search},
    scripted::{Scripted, found, term},
};

/// How many requests, if not [`REQUESTS`].
const VARIABLE: &str = "PHONEBOOK_GATEWAY_TEST_REQUESTS";
const REQUESTS: usize = 30_000;

/// What counts as flat, in bytes: the allocator's and the kernel's grain, and nothing that a leak of a few bytes for
/// each request would fit into.
const GRAIN: u64 = 2 << 20;

/// What a reader of a long list may cost, in bytes.
const PER_READER: u64 = 400 * 1024;
const READERS: u64 = 32;

#[test]
fn memory_is_flat_over_many_requests() {
    let requests =
        std::env::var(VARIABLE).map_or(REQUESTS, |number| number.parse().expect("a number"));
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.forgotten_request() {
            connection.send(&found(term(&head)));
        }
    });
    // The machine may be slow; nothing of that is tested here.
    let setup = Setup::new(upstream.address()).workers(2).upstream("timeout = \"20s\"");
    let mut gateway = Binary::serve(&setup);
    let address = gateway.address();
    ask(address, REQUESTS / 3);
    let before = gateway.resident();
    let mut tellings = vec![before];
    for _ in 0..10 {
        ask(address, requests / 10);
        tellings.push(gateway.resident());
    }
    tell(&format!("resident bytes over {requests} requests: {tellings:?}"));
    let most = tellings.iter().max().unwrap();
    assert!(most - before < GRAIN, "{tellings:?}");
}

/// Asks so often over connections of many kinds: kept, reset, refused, left in the middle.
fn ask(address: SocketAddr, requests: usize) {
    let clients: Vec<_> = (0..4)
        .map(|_| {
            spawn(move || {
                let mut asked = 0;
                while asked < requests / 4 {
                    let mut client = Client::connect(address);
                    for number in 0..200 {
                        assert_eq!(client.lookup(&format!("t{number}")).status, 200);
                    }
                    for _ in 0..20 {
                        client.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
                        assert_eq!(client.answer().status, 404);
                    }
                    client.send(search("one"));
                    client.reset();
                    let mut malformed = Client::connect(address);
                    malformed.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
                    assert_eq!(malformed.answer().status, 400);
                    asked += 222;
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn memory_is_flat_over_long_lists_that_are_read_slowly() {
    const SIZE: usize = 10 << 20;
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.forgotten_request() {
            if !head.contains("act=list") {
                connection.send(&found(term(&head)));
                continue;
            }
            let fields = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            connection.send(format!("{fields}Content-Length: {SIZE}\r\n\r\n").as_bytes());
            for _ in 0..SIZE >> 16 {
                connection.send(&[b'['; 1 << 16]);
            }
        }
    });
    // Nothing but slow clients is tested here; the machine may be slow as well.
    let setup = Setup::new(upstream.address()).workers(2).limits("write_timeout = \"10m\"");
    let mut gateway = Binary::serve(&setup);
    let address = gateway.address();
    let mut clients: Vec<Client> =
        (0..READERS).map(|_| Client::with_window(address, None, Some(32 << 10))).collect();
    for client in &mut clients {
        client.search("one");
    }
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
    let before = gateway.resident();
    for client in &mut clients {
        client.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", list()));
    }
    let mut left = [SIZE; READERS as usize];
    let mut most = 0;
    while left.iter().any(|left| *left > 0) {
        for (client, left) in clients.iter_mut().zip(&mut left).filter(|(_, left)| **left > 0) {
            // The heads count a little too much; the last answer's end is not what this is about.
            *left = left.saturating_sub(client.swallow(128 << 10));
        }
        most = most.max(gateway.resident());
    }
    drop(clients);
    let growth = most.saturating_sub(before);
    tell(&format!("{READERS} slow readers of {SIZE} bytes: {} bytes each", growth / READERS));
    assert!(growth < READERS * PER_READER, "{before} {most}");
    assert!(becomes_true(|| gateway.log("access.log").len() == 2 * READERS as usize));
}

/// Written to stderr itself: the print macros are swallowed when a test passes.
fn tell(text: &str) {
    writeln!(std::io::stderr(), "{text}").unwrap();
}
