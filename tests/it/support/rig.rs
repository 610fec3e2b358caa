//! A gateway in this process between a recording upstream and a client that controls each segment it sends.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use phonebook_gateway::{config::Config, server::Server};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::{
    process::PATIENCE,
    recorder::{Recorded, Recorder},
};

/// Where clients connect from: an address that no request of a test names.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));

/// A request that the gateway answers by itself, as often as it is asked: the answer shows that the gateway has been round
/// its events.
const PROBE: &[u8] = b"GET /.well-known/phonebook-gateway/whoami HTTP/1.1\r\nHost: gateway\r\n\r\n";

/// One worker, one upstream, one client at a time: whatever reaches the upstream belongs to the request just sent.
#[derive(Debug)]
pub(crate) struct Rig {
    server: Option<Server>,
    recorder: Recorder,
    probe: TcpStream,
    _directory: TempDir,
}

/// What a client got, and what the upstream saw, until the gateway ended the connection.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) answers: Vec<u8>,
    pub(crate) upstream: Recorded,
}

impl Rig {
    /// One peer is 127.0.0.0/8 and ::1, may do everything, and meets no quota.
    pub(crate) fn start(head_timeout: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("phonebook-gateway-").tempdir().unwrap();
        let recorder = Recorder::start();
        let rate = "{ per_second = 1000000, burst = 1000000 }";
        let main = format!(
            "state_directory = {state:?}\nworkers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
             [upstream]\nurl = \"http://{upstream}\"\nhost = \"localhost\"\ndanger_loopback_source = true\n\
             connect_timeout = \"20s\"\ntimeout = \"20s\"\n[limits]\nhead_timeout = \"{head_timeout}\"\nidle_timeout = \"1h\"\n\
             max_requests_per_connection = 1000000000\nrate = {rate}\nunknown_rate = {rate}\n[[access_log]]\npath = {log:?}\n",
            state = directory.path(),
            upstream = recorder.address(),
            log = directory.path().join("access.log"),
        );
        let peer = format!(
            "hosts = [\"127.0.0.0/8\", \"::1\"]\nactions = [\"search\", \"list\", \"view\"]\nrate = {rate}\n\
             concurrent = 1000\nmin_search_length = 0\n"
        );
        let (config, _) =
            Config::from_texts(("gateway.toml", &main), &[("policies/peer.toml", &peer)]).unwrap();
        let server = Server::start(config).unwrap();
        let probe = connect(server.addresses()[0]);
        let mut rig = Self { server: Some(server), recorder, probe, _directory: directory };
        // A connection that has been of use may then be idle for as long as it likes.
        rig.let_read();
        rig
    }

    /// Sends these segments on a connection of their own, each after the gateway could read the one before, and waits
    /// until the gateway ends the connection; `hold` leaves it to the gateway to lose patience.
    pub(crate) fn run<'a>(
        &mut self,
        segments: impl IntoIterator<Item = &'a [u8]>,
        hold: bool,
    ) -> Run {
        let mut client = connect(self.address());
        let mut segments = segments.into_iter().peekable();
        // The connection must be accepted before the first segment can be read by itself.
        if segments.peek().is_some() {
            self.let_read();
        }
        while let Some(segment) = segments.next() {
            // A gateway that has refused closes; the rest is then nobody's.
            if client.write_all(segment).and_then(|()| client.flush()).is_err() {
                break;
            }
            if segments.peek().is_some() {
                self.let_read();
            }
        }
        if !hold {
            let _ = client.shutdown(Shutdown::Write);
        }
        let answers = read_to_end(&mut client);
        Run { answers, upstream: self.recorder.take() }
    }

    /// Returns when the gateway has read what was sent to it before. Its one thread serves events in the order in which
    /// they came, and the probe's answer comes after them.
    pub(crate) fn let_read(&mut self) {
        self.probe.write_all(PROBE).unwrap();
        let mut answer = Vec::new();
        let mut chunk = [0; 1024];
        while !answer.ends_with(b"}\n") {
            let count = self.probe.read(&mut chunk).unwrap();
            assert!(count > 0, "the gateway closed the probe's connection");
            answer.extend_from_slice(&chunk[..count]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().addresses()[0]
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(Duration::ZERO);
        }
    }
}

/// A connection from [`CLIENT`] that sends each write as a segment of its own.
pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(CLIENT, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// Everything up to the end of the connection; a reset is an end, silence is not.
fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match client.read(&mut chunk) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return bytes,
            Err(error) => panic!("the gateway did not end the connection: {error}"),
        }
    }
}
