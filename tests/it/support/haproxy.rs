//! Debian's HAProxy in front of a gateway, on a free loopback port.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
};

use tempfile::TempDir;

use super::{
    needs::{Missing, program},
    process::{Process, becomes_true},
};

/// How often a port may be lost to another process between finding it free and HAProxy taking it.
const PORT_RACES: usize = 10;

/// One HAProxy.
#[derive(Debug)]
pub(crate) struct HaProxy {
    address: SocketAddr,
    _process: Process,
    // Dropped after the process that writes in it.
    directory: TempDir,
}

impl HaProxy {
    /// Passes everything on to `gateway` as `server` (words of that line) says, with these lines in its defaults.
    pub(crate) fn before(
        gateway: SocketAddr,
        defaults: &str,
        server: &str,
    ) -> Result<Self, Missing> {
        let program = program("haproxy", "haproxy")?;
        let directory =
            tempfile::Builder::new().prefix("phonebook-gateway-test-").tempdir().unwrap();
        let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        for _ in 0..PORT_RACES {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            let config = format!(
                "global\n maxconn 200\n stats socket {socket} level admin\ndefaults\n timeout connect 20s\n \
                 timeout client 20s\n timeout server 20s\n{defaults}\nfrontend front\n bind {address}\n \
                 default_backend gateways\nbackend gateways\n server gateway {gateway} {server}\n",
                socket = file("socket"),
            );
            fs::write(file("haproxy.cfg"), config).unwrap();
            drop(free);
            let arguments = ["-db", "-f", &file("haproxy.cfg")];
            let stderr = fs::File::create(file("stderr")).unwrap();
            let mut process = Process::start_telling(&program, &arguments, stderr.into());
            // Its own socket answers: it has bound its addresses, and nobody else is meant.
            let started = || UnixStream::connect(file("socket")).is_ok();
            assert!(becomes_true(|| process.ended().is_some() || started()));
            if process.ended().is_none() && TcpStream::connect(address).is_ok() {
                return Ok(Self { address, _process: process, directory });
            }
            let said = fs::read_to_string(file("stderr")).unwrap();
            assert!(said.contains("cannot bind"), "HAProxy did not start:\n{said}");
        }
        panic!("no port stayed free for HAProxy in {PORT_RACES} attempts");
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its health checks say of the gateway: a column of `show stat`.
    pub(crate) fn says_of_gateway(&self, column: &str) -> String {
        let mut socket = UnixStream::connect(self.directory.path().join("socket")).unwrap();
        socket.write_all(b"show stat\n").unwrap();
        let mut table = String::new();
        socket.read_to_string(&mut table).unwrap();
        let mut lines = table.lines();
        let names: Vec<&str> = lines.next().unwrap().trim_start_matches("# ").split(',').collect();
        let at = names.iter().position(|name| *name == column).unwrap();
        let line = lines.find(|line| line.starts_with("gateways,gateway,")).unwrap();
        line.split(',').nth(at).unwrap().to_owned()
    }
}
