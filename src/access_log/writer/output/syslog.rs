//! A syslog receiver: a datagram for each line, without its line end.
//!
//! As in nginx it is connected to when the first line comes, and again after an error; a line that is
//! larger than a datagram may be is lost. A receiver that takes nothing is waited for once, for
//! [`PATIENCE`]; until it takes a line again the others are lost at once. That a datagram over UDP
//! found nobody comes back with a later one, if at all: it is counted then.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::io::Errno;

use crate::access_log::target::SyslogServer;
use crate::access_log::writer::framing::frames;
use crate::access_log::writer::output::Failure;

/// The way to a receiver.
#[derive(Debug)]
pub(super) struct Receiver {
    server: SyslogServer,
    socket: Option<Socket>,
    /// It took nothing when it was waited for.
    stuck: bool,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// What came of one line.
#[derive(Debug, Default)]
struct Sent {
    /// This one, and a former one of which that is known only now.
    lost: u64,
    error: Option<io::Error>,
    /// Whether it is of no use to try the next.
    gone: bool,
}

impl Receiver {
    /// Connects to nothing yet.
    pub(super) fn new(server: SyslogServer) -> Self {
        Self { server, socket: None, stuck: false }
    }

    pub(super) fn is_udp(&self) -> bool {
        matches!(self.server, SyslogServer::Udp(_))
    }

    /// Reconnects to the server.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.stuck = false;
        self.socket = None;
        self.socket = Some(connect(&self.server)?);
        Ok(())
    }

    /// Sends each frame's line.
    pub(super) fn write(&mut self, batch: &[u8]) -> Result<(), Failure> {
        let mut lost = 0;
        let mut failed = None;
        let mut gone = false;
        for (_, line) in frames(batch) {
            if gone {
                lost += 1;
                continue;
            }
            let sent = self.send(line.strip_suffix(b"\n").unwrap_or(line));
            lost += sent.lost;
            gone = sent.gone;
            failed = failed.or(sent.error);
        }
        match failed {
            Some(error) => Err(Failure { error, lost, target: None }),
            None => Ok(()),
        }
    }

    fn send(&mut self, line: &[u8]) -> Sent {
        let mut sent = Sent::default();
        for last in [false, true] {
            let outcome = match self.connected() {
                Ok(socket) => socket.send(line),
                Err(error) => Err((error, true)),
            };
            let Err((error, unconnected)) = outcome else {
                self.set_stuck(false);
                return sent;
            };
            let lost = match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::AGAIN) => {
                    self.set_stuck(true);
                    return Sent { lost: sent.lost + 1, error: Some(error), gone: false };
                }
                Some(Errno::MSGSIZE) => {
                    return Sent { lost: sent.lost + 1, error: Some(error), gone: false };
                }
                // The answer to a former one; this one was not sent.
                Some(Errno::CONNREFUSED) if self.is_udp() => 1 + u64::from(last),
                _ => {
                    self.socket = None;
                    u64::from(last || unconnected)
                }
            };
            sent.lost += lost;
            sent.gone = unconnected;
            sent.error = sent.error.or_else(|| (lost > 0).then_some(error));
            if unconnected {
                return sent;
            }
        }
        sent
    }

    fn connected(&mut self) -> io::Result<&Socket> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = connect(&self.server)?;
                socket.set_nonblocking(self.stuck)?;
                socket
            }
        };
        Ok(self.socket.insert(socket))
    }

    fn set_stuck(&mut self, stuck: bool) {
        if self.stuck == stuck {
            return;
        }
        self.stuck = stuck;
        let set = self.socket.as_ref().map(|socket| socket.set_nonblocking(stuck));
        if let Some(Err(_)) = set {
            self.socket = None;
        }
    }
}

impl Socket {
    /// The error comes with whether there is no connection.
    fn send(&self, line: &[u8]) -> Result<(), (io::Error, bool)> {
        loop {
            let sent = match self {
                Self::Udp(socket) => socket.send(line),
                Self::Unix(socket) => socket.send(line),
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((error, false)),
            }
        }
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.set_nonblocking(nonblocking),
            Self::Unix(socket) => socket.set_nonblocking(nonblocking),
        }
    }
}

fn connect(server: &SyslogServer) -> io::Result<Socket> {
    match server {
        SyslogServer::Udp(address) => {
            let socket = if address.is_ipv4() {
                UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?
            } else {
                UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?
            };
            socket.connect(address)?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Socket::Udp(socket))
        }
        SyslogServer::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Socket::Unix(socket))
        }
    }
}

/// How long a receiver that takes nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
