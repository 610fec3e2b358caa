//! systemd's journal: its socket, and whether standard error is its.

use std::io;
use std::path::PathBuf;

use crate::net::datagram::{DatagramAddress, DatagramSender, SendError};

/// The way to the journal's socket.
#[derive(Debug)]
pub(super) struct Journal {
    sender: DatagramSender,
}

impl Journal {
    /// The one that systemd has.
    pub(super) fn of_this_host() -> Self {
        let elsewhere = if cfg!(debug_assertions) { std::env::var_os(TEST_SOCKET) } else { None };
        Self::at(elsewhere.map_or_else(|| PathBuf::from(SOCKET), PathBuf::from))
    }

    fn at(path: PathBuf) -> Self {
        Self { sender: DatagramSender::new(DatagramAddress::Unix(path)) }
    }

    /// Sends an entry. Says whether it was taken; if not, standard error has to. A journal that was
    /// restarted is reconnected to.
    pub(super) fn send(&mut self, entry: &[u8]) -> bool {
        for _ in 0..2 {
            match self.sender.send(entry) {
                Ok(()) => return true,
                Err(SendError::Unconnected(_) | SendError::Full(_)) => return false,
                // Too large, perhaps: another socket would not help, but harms nothing.
                Err(SendError::Failed(_)) => self.sender.disconnect(),
            }
        }
        false
    }
}

/// Whether standard error is the journal's, as systemd.exec(5) says of `JOURNAL_STREAM`: it may have
/// been led elsewhere since the variable was set.
pub(crate) fn is_standard_error() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// Where systemd has it.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Names another socket; only a debug build looks at it.
const TEST_SOCKET: &str = "PHONEBOOK_GATEWAY_TEST_JOURNAL";

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn received(socket: &UnixDatagram) -> Vec<u8> {
        let mut entry = vec![0; 1 << 20];
        let length = socket.recv(&mut entry).unwrap();
        entry.truncate(length);
        entry
    }

    #[test]
    fn a_journal_that_is_missing_takes_nothing_and_takes_entries_when_it_comes_and_comes_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let mut journal = Journal::at(path.clone());
        assert!(!journal.send(b"A=1\n"));
        for _ in 0..2 {
            let socket = UnixDatagram::bind(&path).unwrap();
            assert!(journal.send(b"A=2\n"));
            assert_eq!(received(&socket), b"A=2\n");
            drop(socket);
            assert!(!journal.send(b"A=3\n"));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn what_no_datagram_can_hold_is_refused_and_the_next_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::at(path);
        assert!(!journal.send(&vec![b'x'; 64 << 20]));
        assert!(journal.send(b"A=1\n"));
        assert_eq!(received(&socket), b"A=1\n");
    }

    #[test]
    fn a_journal_that_hangs_refuses_and_takes_entries_when_it_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::at(path);
        let mut taken = 0;
        while journal.send(b"A=1\n") {
            taken += 1;
        }
        // Stuck, it is not waited for again: this would take an hour.
        assert!((0..3600).all(|_| !journal.send(b"A=2\n")));
        for _ in 0..taken {
            assert_eq!(received(&socket), b"A=1\n");
        }
        assert!(journal.send(b"A=3\n"));
        assert_eq!(received(&socket), b"A=3\n");
    }
}
