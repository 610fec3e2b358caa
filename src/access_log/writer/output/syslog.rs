//! A syslog receiver: a datagram for each line, without its line end.
//!
//! As in nginx it is connected to when the first line comes, and again after an error; a line that is
//! larger than a datagram may be is lost. A receiver that takes nothing is waited for once, for
//! [`WRITE_TIMEOUT`](crate::net::datagram::WRITE_TIMEOUT); until it takes a line again the others are lost
//! at once. That a datagram over UDP found nobody comes back with a later one, if at all: it is counted then.

use std::io;

use rustix::io::Errno;

use crate::access_log::target::SyslogServer;
use crate::access_log::writer::framing::frames;
use crate::access_log::writer::output::Failure;
use crate::net::datagram::{DatagramAddress, DatagramSender, SendError};

/// The way to a receiver.
#[derive(Debug)]
pub(super) struct Receiver {
    is_udp: bool,
    sender: DatagramSender,
}

/// What came of one line.
#[derive(Debug, Default)]
struct Sent {
    /// This one, and a previous one of which that is known only now.
    lost: u64,
    error: Option<io::Error>,
    /// Whether it is of no use to try the next.
    gone: bool,
}

impl Receiver {
    /// Connects to nothing yet.
    pub(super) fn new(server: SyslogServer) -> Self {
        let (is_udp, address) = match server {
            SyslogServer::Udp(address) => (true, DatagramAddress::Udp(address)),
            SyslogServer::Unix(path) => (false, DatagramAddress::Unix(path)),
        };
        Self { is_udp, sender: DatagramSender::new(address) }
    }

    pub(super) fn is_udp(&self) -> bool {
        self.is_udp
    }

    /// Reconnects to the server.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.sender.reconnect()
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
            let error = match self.sender.send(line) {
                Ok(()) => return sent,
                Err(SendError::Full(error)) => return sent.also_lost(1, error),
                Err(SendError::Unconnected(error)) => {
                    return Sent { gone: true, ..sent.also_lost(1, error) };
                }
                Err(SendError::Failed(error)) => error,
            };
            let lost = match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::MSGSIZE) => return sent.also_lost(1, error),
                // The answer to a previous one; this one was not sent.
                Some(Errno::CONNREFUSED) if self.is_udp => 1 + u64::from(last),
                _ => {
                    self.sender.disconnect();
                    u64::from(last)
                }
            };
            if lost > 0 {
                sent = sent.also_lost(lost, error);
            }
        }
        sent
    }
}

impl Sent {
    /// The same with so many lines more that are lost, to `error` unless there was one before.
    fn also_lost(self, lost: u64, error: io::Error) -> Self {
        Self { lost: self.lost + lost, error: self.error.or(Some(error)), ..self }
    }
}

#[cfg(test)]
mod tests;
