//! A unix socket's file: made, told from one that a live gateway holds, and removed at the end.
//!
//! Gateways that begin or end in one directory take turns by a lock on the directory: without it, two that
//! find a dead socket at the same moment would remove each other's new one.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::net::sockopt::socket_peercred;
use socket2::{Domain, SockAddr, Socket, Type};

use super::handover::{HandoverError, HandoverSocket, Message};

/// A socket that is listened on. Its file is removed when this is dropped, if it is still the same one.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
    /// Whether the file is another process's.
    disowned: AtomicBool,
}

/// Why there is no such socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// There is no such directory.
    #[error(
        "the directory {} does not exist; the service's unit makes it (RuntimeDirectory=), otherwise \
         create it with mode 0750", .0.display()
    )]
    NoDirectory(PathBuf),
    /// The directory cannot be used.
    #[error("the directory {} cannot be used: {error}; let the gateway's user write there", directory.display())]
    Directory {
        /// Where the socket should be.
        directory: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another program of the directory's does not end its turn.
    #[error("{} stays locked by another process", .0.display())]
    Locked(PathBuf),
    /// A live gateway holds it.
    #[error("another process holds it{}; it stays that process's", of_pid(*.0))]
    Held(Option<u32>),
    /// What is there is something else.
    #[error("what is there is no socket, and stays as it is; remove it, or choose another path")]
    NoSocket,
    /// Whether somebody holds it cannot be found out.
    #[error(
        "a socket is there, and whether somebody holds it cannot be found out: {0}; it stays as it is"
    )]
    Unknown(io::Error),
    /// The system refused.
    #[error("{0}")]
    Refused(#[from] io::Error),
}

fn of_pid(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl UnixSocket {
    /// Makes the socket at `path`, mode 0660. One that nobody holds any longer is replaced.
    ///
    /// # Errors
    /// [`SocketError`]; what is there is then as it was.
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketError> {
        let address = SockAddr::unix(path)?;
        let _turn = take_turn(path)?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NoSocket),
            Ok(_) => {
                if let Some(pid) = holder(&address)? {
                    return Err(SocketError::Held(pid));
                }
                fs::remove_file(path)?;
            }
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&address)?;
        let listen = || {
            // Nobody can connect before the socket listens, so nobody sees another mode.
            fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            fs::symlink_metadata(path)
        };
        match listen() {
            Ok(found) => {
                let file = (found.dev(), found.ino());
                let (path, disowned) = (path.to_owned(), AtomicBool::new(false));
                Ok(Self { listener: socket.into(), path, file, disowned })
            }
            Err(error) => {
                // It was made a moment ago, and by nobody else.
                let _ = fs::remove_file(path);
                Err(error.into())
            }
        }
    }

    /// The one at `path` that another process has made, and that is this one's now.
    pub(crate) fn inherit(listener: UnixListener, path: PathBuf) -> Self {
        let found = fs::symlink_metadata(&path).ok();
        let file = found.map(|found| (found.dev(), found.ino())).unwrap_or_default();
        Self { listener, path, file, disowned: AtomicBool::new(false) }
    }

    /// Whether its file is at `path`, and still the same.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let found = fs::symlink_metadata(path);
        self.path == path && found.is_ok_and(|found| (found.dev(), found.ino()) == self.file)
    }

    /// Gives it to the process at the other end; `message` says what it is, by its path.
    ///
    /// # Errors
    /// [`HandoverError`]
    pub(crate) fn offer(
        &self,
        to: &HandoverSocket,
        message: impl Fn(String) -> Message,
    ) -> Result<(), HandoverError> {
        let path = self.path.display().to_string();
        to.send(&message(path), &[self.listener.as_fd()])
    }

    /// Its file is another process's from now on, and stays.
    pub(crate) fn disown(&self) {
        self.disowned.store(true, Ordering::Relaxed);
    }

    /// The socket, for whoever accepts on it.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.disowned.load(Ordering::Relaxed) {
            return;
        }
        // Where the directory stays locked, a dead socket is left: the next gateway replaces it.
        let Ok(_turn) = take_turn(&self.path) else { return };
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who holds the socket at this address: `None` where nobody does, else the process where that is known.
fn holder(address: &SockAddr) -> Result<Option<Option<u32>>, SocketError> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Ok(()) => {
            let pid = socket_peercred(&socket).ok().map(|found| found.pid.as_raw_nonzero().get());
            Ok(Some(pid.and_then(|pid| u32::try_from(pid).ok())))
        }
        // As many wait to be accepted as may: somebody is there.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(None)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(SocketError::Unknown(error)),
    }
}

/// The lock on the directory of `path`, until it is dropped.
fn take_turn(path: &Path) -> Result<File, SocketError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let open = File::open(directory).map_err(|error| {
        let directory = directory.to_owned();
        if error.kind() == io::ErrorKind::NotFound {
            SocketError::NoDirectory(directory)
        } else {
            SocketError::Directory { directory, error }
        }
    })?;
    let deadline = Instant::now() + TURN_TIMEOUT;
    loop {
        match flock(&open, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(open),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(SocketError::Locked(directory.to_owned()));
            }
            Err(error) => {
                let (directory, error) = (directory.to_owned(), error.into());
                return Err(SocketError::Directory { directory, error });
            }
        }
    }
}

/// The owner and the group may use it.
const MODE: u32 = 0o660;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// How long another gateway that begins or ends in the directory is waited for.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn is_socket(path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
    }

    #[test]
    fn a_socket_is_made_for_owner_and_group_and_removed_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let socket = UnixSocket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_live_one_stays_and_a_dead_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let first = UnixSocket::bind(&path).unwrap();
        let error = UnixSocket::bind(&path).unwrap_err();
        let own = std::process::id();
        assert!(matches!(error, SocketError::Held(Some(pid)) if pid == own), "{error}");
        // Also where as many wait as may.
        let waiting: Vec<UnixStream> = (0..200)
            .map_while(|_| {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket.connect(&SockAddr::unix(&path).unwrap()).ok()?;
                Some(UnixStream::from(socket))
            })
            .collect();
        assert!(waiting.len() < 200, "the test would show nothing");
        assert!(matches!(UnixSocket::bind(&path), Err(SocketError::Held(None))));
        drop(waiting);
        // Dead: the file is there, and nobody listens.
        let UnixSocket { ref listener, .. } = first;
        let dead = directory.path().join("dead.sock");
        drop(UnixListener::bind(&dead).unwrap());
        assert!(is_socket(&dead));
        let second = UnixSocket::bind(&dead).unwrap();
        UnixStream::connect(&dead).unwrap();
        drop(second);
        assert!(!dead.exists() && is_socket(&path));
        assert!(listener.local_addr().is_ok());
    }

    #[test]
    fn what_is_not_its_own_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let first = UnixSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let other = UnixSocket::bind(&path).unwrap();
        drop(first);
        assert!(is_socket(&path));
        drop(other);
        fs::write(&path, "text").unwrap();
        assert!(matches!(UnixSocket::bind(&path), Err(SocketError::NoSocket)));
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }

    #[test]
    fn many_that_begin_at_once_leave_one_that_is_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        for _ in 0..20 {
            // One that has died, so that all of them want to replace it.
            drop(UnixListener::bind(&path).unwrap());
            let bind = || UnixSocket::bind(&path).ok();
            let made: Vec<UnixSocket> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(bind)).collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(made.len(), 1);
            UnixStream::connect(&path).unwrap();
        }
    }

    #[test]
    fn a_directory_that_is_missing_is_said_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let error = UnixSocket::bind(&directory.path().join("none/control.sock")).unwrap_err();
        assert!(matches!(error, SocketError::NoDirectory(_)), "{error}");
    }
}
