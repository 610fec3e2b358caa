//! The admin listener: what it tells is true to the unit, it tells it to those who may know, and nobody who uses it
//! badly harms anybody.

mod access;
mod clients;
mod counting;
mod exposition;
mod packaging;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::support::{
    binary::Binary,
    http::{Answer, read_answer},
    live::{PATIENT, Setup},
    process::{PATIENCE, becomes_true},
    scripted::Scripted,
};

/// The lines of a main file for a log that says who asked and how it ended.
const COUNTED_LOG: &str = "format = \"counted\"\n[log_format]\ncounted = '$remote_user $reason'\n";

/// A gateway with an admin listener, and the peers of `setup`.
fn serve(setup: &Setup, admin: &str) -> Binary {
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Binary::serve_texts(&main_file(setup, admin), &policies)
}

fn main_file(setup: &Setup, admin: &str) -> String {
    format!("{}{COUNTED_LOG}[admin]\n{admin}\n", setup.main_file("access.log"))
}

/// The usual one: over a unix socket beside the configuration.
const SOCKET: &str = "address = \"unix:admin.sock\"";

/// The same over TCP.
const TCP: &str = "address = \"127.0.0.1:0\"";

fn usual(upstream: &Scripted) -> Setup {
    Setup::new(upstream.address()).workers(2).upstream(PATIENT)
}

/// Where the admin listener is, once it says so.
fn admin_address(gateway: &Binary) -> SocketAddr {
    let mut address = None;
    becomes_true(|| {
        let stderr = gateway.stderr();
        let found = stderr.split_once("the admin listener is at ");
        address = found.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
        address.is_some()
    });
    address.unwrap_or_else(|| panic!("{}", gateway.stderr()))
}

/// One request over the unix socket.
fn ask(gateway: &Binary, target: &str, lines: &str) -> Answer {
    let mut stream = connect(&gateway.path("admin.sock"));
    talk(&mut stream, "GET", target, &format!("Host: anybody\r\n{lines}"))
}

/// One request over TCP.
fn ask_at(address: SocketAddr, method: &str, target: &str, lines: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    talk(&mut stream, method, target, lines)
}

fn talk(stream: &mut (impl Read + Write), method: &str, target: &str, lines: &str) -> Answer {
    let head = format!("{method} {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    read_answer(&answer)
}

fn connect(socket: &Path) -> UnixStream {
    let mut stream = None;
    assert!(becomes_true(|| {
        stream = UnixStream::connect(socket).ok();
        stream.is_some()
    }));
    let stream = stream.unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn text(answer: Answer) -> String {
    String::from_utf8(answer.body).unwrap()
}

/// The figures, by name and labels.
fn figures(gateway: &Binary) -> BTreeMap<String, f64> {
    let text = text(ask(gateway, "/metrics", ""));
    let samples = exposition::read_prometheus(&text).unwrap_or_else(|why| panic!("{why}"));
    samples.into_iter().map(|sample| (sample.to_string(), sample.value)).collect()
}
