//! systemd's journal: its socket, and whether standard error is its.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

/// The way to the journal's socket.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    /// It took nothing when it was waited for.
    stuck: bool,
}

impl Journal {
    /// The one that systemd has.
    pub(super) fn of_this_host() -> Self {
        let elsewhere = if cfg!(debug_assertions) { std::env::var_os(TEST_SOCKET) } else { None };
        Self::at(elsewhere.map_or_else(|| PathBuf::from(SOCKET), PathBuf::from))
    }

    fn at(path: PathBuf) -> Self {
        Self { path, socket: None, stuck: false }
    }

    /// Sends an entry. Says whether it was taken; if not, standard error has to.
    ///
    /// A journal that hangs is waited for once, for [`PATIENCE`]; until it takes an entry again the
    /// others are refused at once. One that was restarted is reconnected to.
    pub(super) fn send(&mut self, entry: &[u8]) -> bool {
        for _ in 0..2 {
            let Ok(socket) = self.connected() else { return false };
            match send(socket, entry) {
                Ok(()) => {
                    self.set_stuck(false);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.set_stuck(true);
                    return false;
                }
                // Too large, perhaps: another socket would not help, but harms nothing.
                Err(_) => self.socket = None,
            }
        }
        false
    }

    fn connected(&mut self) -> io::Result<&UnixDatagram> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(&self.path)?;
                socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
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
        if self.socket.as_ref().is_some_and(|socket| socket.set_nonblocking(stuck).is_err()) {
            self.socket = None;
        }
    }
}

fn send(socket: &UnixDatagram, entry: &[u8]) -> io::Result<()> {
    loop {
        match socket.send(entry) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether standard error is the journal's, as systemd.exec(5) says of `JOURNAL_STREAM`: it may have
/// been led elsewhere since the variable was set.
pub fn is_standard_error() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// Where systemd has it.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Names another socket; only a debug build looks at it.
const TEST_SOCKET: &str = "PHONEBOOK_GATEWAY_TEST_JOURNAL";

/// How long a journal that takes nothing is waited for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
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
