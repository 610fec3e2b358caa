//! The control socket: what a gateway that runs says and does, and that nobody who uses it badly harms anybody.

mod clients;
mod commands;
mod ctl;
mod schema;
mod sockets;

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use serde_json::{Value, json};

use crate::support::{
    binary::Binary,
    live::{PATIENT, Setup},
    process::{PATIENCE, becomes_true},
    raw::Client,
    scripted::Scripted,
};

/// A gateway with a control socket beside its configuration, and a peer `lyon`.
struct Controlled {
    gateway: Binary,
    address: std::net::SocketAddr,
    /// What it asks, kept as long as it runs.
    upstream: Scripted,
}

impl Controlled {
    fn start() -> Self {
        Self::with(|setup| setup)
    }

    fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Scripted::well();
        let setup = change(Setup::new(upstream.address()).workers(2).upstream(PATIENT));
        let policies: Vec<(&str, &str)> =
            setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let gateway = Binary::serve_texts(&main_file(&setup), &policies);
        Self::of(gateway, upstream)
    }

    fn of(mut gateway: Binary, upstream: Scripted) -> Self {
        let address = gateway.address();
        Self { gateway, address, upstream }
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Asks by the socket itself.
    fn ask(&self, command: Value) -> Value {
        ask(&self.gateway.path("control.sock"), command)
    }

    /// The document of a command that is obeyed.
    fn told(&self, command: Value) -> Value {
        let answer = self.ask(command);
        assert_eq!((&answer["version"], &answer["error"]), (&json!(1), &Value::Null), "{answer}");
        answer["ok"].clone()
    }
}

/// The main file with a control socket and a state directory beside it.
fn main_file(setup: &Setup) -> String {
    format!(
        "state_directory = \"state\"\n{}[control]\nsocket = \"control.sock\"\n",
        setup.main_file("access.log")
    )
}

/// Sends a command as `ctl` does, and reads the answer.
fn ask(socket: &Path, mut command: Value) -> Value {
    command["version"] = json!(1);
    let line = send(socket, format!("{command}\n").as_bytes());
    serde_json::from_slice(&line).unwrap_or_else(|error| panic!("{error}: {}", line.escape_ascii()))
}

/// Sends bytes, and reads to the end.
fn send(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(socket);
    // It may have been turned away already.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn connect(socket: &Path) -> UnixStream {
    let mut stream = None;
    assert!(becomes_true(|| {
        stream = UnixStream::connect(socket).ok();
        stream.is_some()
    }));
    let stream = stream.unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}
