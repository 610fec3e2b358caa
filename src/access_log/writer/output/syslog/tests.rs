use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::access_log::writer::framing;

fn batch(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        let start = out.len();
        framing::begin(&mut out, "");
        let at = out.len();
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
        framing::end(&mut out, start, at);
    }
    out
}

fn lost(outcome: Result<(), Failure>) -> u64 {
    outcome.map_or_else(|failure| failure.lost, |()| 0)
}

fn to_socket(path: &Path) -> Receiver {
    Receiver::new(SyslogServer::Unix(path.to_owned()))
}

fn received(socket: &UnixDatagram) -> String {
    let mut datagram = [0; 4096];
    let length = socket.recv(&mut datagram).unwrap();
    String::from_utf8(datagram[..length].to_vec()).unwrap()
}

#[test]
fn each_line_is_a_datagram_without_its_line_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut receiver = to_socket(&path);
    receiver.write(&batch(&["one", "two\nhalves", ""])).unwrap();
    assert_eq!((received(&socket), received(&socket)), ("one".into(), "two\nhalves".into()));
    assert_eq!(received(&socket), "");
}

#[test]
fn a_receiver_that_is_missing_or_has_gone_loses_lines_and_gets_them_again_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut receiver = to_socket(&path);
    let failure = receiver.write(&batch(&["one", "two"])).unwrap_err();
    assert_eq!((failure.lost, failure.error.kind()), (2, io::ErrorKind::NotFound));
    for round in 0..2 {
        let socket = UnixDatagram::bind(&path).unwrap();
        receiver.write(&batch(&["three"])).unwrap();
        assert_eq!(received(&socket), "three", "round {round}");
        drop(socket);
        // Its file stays there, as that of a killed receiver.
        let failure = receiver.write(&batch(&["four", "five"])).unwrap_err();
        assert_eq!((failure.lost, failure.error.kind()), (2, io::ErrorKind::ConnectionRefused));
        fs::remove_file(&path).unwrap();
        assert_eq!(lost(receiver.write(&batch(&["six"]))), 1);
    }
}

#[test]
fn a_receiver_that_was_replaced_between_two_lines_loses_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let first = UnixDatagram::bind(&path).unwrap();
    let mut receiver = to_socket(&path);
    receiver.write(&batch(&["one"])).unwrap();
    assert_eq!(received(&first), "one");
    drop(first);
    fs::remove_file(&path).unwrap();
    let second = UnixDatagram::bind(&path).unwrap();
    receiver.write(&batch(&["two"])).unwrap();
    assert_eq!(received(&second), "two");
}

#[test]
fn a_receiver_that_takes_nothing_is_waited_for_once_and_served_again_when_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut receiver = to_socket(&path);
    let mut taken = 0;
    while receiver.write(&batch(&["x"])).is_ok() {
        taken += 1;
    }
    // At once from now on: these would take hours else.
    let lines = vec!["y"; 10_000];
    assert_eq!(lost(receiver.write(&batch(&lines))), 10_000);
    for _ in 0..taken {
        assert_eq!(received(&socket), "x");
    }
    receiver.write(&batch(&["z"])).unwrap();
    assert_eq!(received(&socket), "z");
    assert!(!receiver.sender.is_stuck());
}

#[test]
fn a_line_larger_than_a_datagram_is_lost_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut receiver = to_socket(&path);
    let failure = receiver.write(&batch(&["one", &"x".repeat(16 << 20), "two"])).unwrap_err();
    assert_eq!(failure.lost, 1);
    assert_eq!(failure.error.raw_os_error(), Some(Errno::MSGSIZE.raw_os_error()));
    assert_eq!((received(&socket), received(&socket)), ("one".into(), "two".into()));
}

/// Lines to a port of UDP on which nobody listens, until so many are known to be lost.
fn lose(receiver: &mut Receiver, count: u64) -> (u64, u64) {
    let (mut sent, mut known) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while known < count {
        assert!(Instant::now() < deadline, "{known} of {sent} are known to be lost");
        known += lost(receiver.write(&batch(&["x"])));
        sent += 1;
    }
    (sent, known)
}

#[test]
fn nobody_on_udp_is_counted_with_a_later_line_and_who_comes_then_gets_that_line() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    drop(socket);
    let mut receiver = Receiver::new(SyslogServer::Udp(address));
    let (sent, known) = lose(&mut receiver, 5);
    assert!(known <= sent, "{known} of {sent}");
    let socket = UdpSocket::bind(address).unwrap();
    // The loss of the last one before is known now.
    let _ = receiver.write(&batch(&["here"]));
    let mut datagram = [0; 64];
    let length = socket.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..length], b"here");
    receiver.write(&batch(&["again"])).unwrap();
    let length = socket.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..length], b"again");
}
