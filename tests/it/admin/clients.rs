//! Those who use the admin listener badly.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::{TCP, admin_address, ask_at, serve, text, usual};
use crate::support::{
    binary::Binary,
    live::policy,
    process::{PATIENCE, becomes_true},
    raw::Client,
    scripted::Scripted,
};

const HOST: &str = "Host: localhost\r\n";

/// A connection on which this is said, and nothing is read.
fn say(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // It may be closed already, for another one.
    let _ = stream.write_all(bytes);
    stream
}

/// Descriptors of a process that are sockets.
fn sockets(gateway: &Binary) -> usize {
    let directory = format!("/proc/{}/fd", gateway.pid());
    let links = std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn slow_readers_and_garbage_are_bounded_and_hold_up_nobody() {
    let upstream = Scripted::well();
    let mut setup = usual(&upstream);
    for number in 0..500 {
        let host = format!("10.9.{}.{}", number / 250, number % 250);
        setup = setup.policy(&format!("peer-{number}"), policy(&host, ""));
    }
    let mut gateway = serve(&setup, TCP);
    let address = gateway.address();
    let admin = admin_address(&gateway);
    let mut client = Client::connect(address);
    assert_eq!(client.lookup("one").status, 200);
    assert_eq!(ask_at(admin, "GET", "/metrics", HOST).status, 200);
    let (memory, open) = (gateway.resident(), sockets(&gateway));
    let scrape = format!("GET /metrics HTTP/1.1\r\n{HOST}\r\n").repeat(50);
    let mut kept = Vec::new();
    for number in 0..500 {
        kept.push(say(admin, scrape.as_bytes()));
        kept.push(match number % 4 {
            0 => say(admin, &[0x16, 0x03, 0x01, 0x02, 0x00, 0xff, 0x00, 0x80]),
            1 => say(admin, "GET / HTTP/1.1\r\nX: ".as_bytes()),
            2 => say(admin, &[b'x'; 20_000]),
            _ => say(admin, b""),
        });
        if number % 50 == 0 {
            assert_eq!(client.lookup("one").status, 200);
        }
    }
    // An honest one finds room, and is answered in full.
    let mut seen = String::new();
    let answered = becomes_true(|| {
        let Ok(mut stream) = TcpStream::connect(admin) else { return false };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET /metrics HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
        let mut answer = Vec::new();
        let read = stream.write_all(head.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
        seen = String::from_utf8_lossy(&answer).into_owned();
        read.is_ok() && seen.starts_with("HTTP/1.1 200 ") && seen.contains("process_threads ")
    });
    assert!(answered, "{seen}");
    assert!(sockets(&gateway) <= open + 64 + 8, "{} sockets, {open} before", sockets(&gateway));
    let grown = gateway.resident().saturating_sub(memory) >> 20;
    assert!(grown < 64, "{grown} MB more");
    assert_eq!(client.lookup("one").status, 200);
    drop(kept);
    assert!(becomes_true(|| sockets(&gateway) <= open + 2));
}

#[test]
fn a_thousand_peers_are_all_there() {
    let upstream = Scripted::well();
    let mut setup = usual(&upstream);
    for number in 0..1000 {
        let host = format!("10.9.{}.{}", number / 250, number % 250);
        setup = setup.policy(&format!("peer-{number}"), policy(&host, ""));
    }
    let mut gateway = serve(&setup, TCP);
    gateway.address();
    let shown = text(ask_at(admin_address(&gateway), "GET", "/metrics", HOST));
    let samples = super::exposition::read_prometheus(&shown).unwrap();
    let of = |name: &str| samples.iter().filter(|sample| sample.name == name).count();
    assert_eq!(of("phonebook_gateway_requests_total"), 1002);
    assert_eq!(of("phonebook_gateway_lookups_in_flight"), 1001);
}
