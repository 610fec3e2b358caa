//! Where the admin listener listens: made, inherited, handed over, and left.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tokio::net::{TcpListener as AsyncTcpListener, UnixListener as AsyncUnixListener};

use crate::config::{Admin, AdminAddress};
use crate::net::handover::{HandoverError, HandoverSocket, Message};
use crate::net::unix_socket::{SocketError, UnixSocket};

/// A socket that is listened on.
#[derive(Debug)]
pub(super) struct AdminListener {
    /// As the configuration has it.
    wanted: AdminAddress,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixSocket),
    Tcp(TcpListener),
}

/// The same for the thread that accepts.
#[derive(Debug)]
pub(super) enum Accepting {
    Unix(AsyncUnixListener),
    Tcp(AsyncTcpListener),
}

/// The listener of the configuration; says why there is none where one is wanted.
pub(super) fn open(admin: &Admin, inherited: Option<(OwnedFd, String)>) -> Option<AdminListener> {
    let inherited = inherited.map(|(socket, address)| (Arc::new(socket), address));
    let wanted = admin.address.value.as_ref()?;
    let fitting = inherited.filter(|(_, address)| *address == wanted.to_string());
    let kept =
        fitting.and_then(|(socket, _)| AdminListener::inherit(wanted, &socket).ok().flatten());
    match kept.map_or_else(|| AdminListener::bind(wanted), Ok) {
        Ok(listener) => Some(listener),
        Err(error) => {
            let written = if admin.address.written {
                format!("[{}]", admin.address.location)
            } else {
                "(the default; `[admin] address = \"\"` is none)".to_owned()
            };
            tracing::warn!(
                "no admin listener at {wanted} {written}: {error}. The gateway serves without it, and \
                 nobody can read its figures there"
            );
            None
        }
    }
}

impl AdminListener {
    fn bind(wanted: &AdminAddress) -> Result<Self, SocketError> {
        let socket = match wanted {
            AdminAddress::Unix(path) => Socket::Unix(UnixSocket::bind(path)?),
            AdminAddress::Tcp(address) => {
                let socket = TcpListener::bind(address)?;
                socket.set_nonblocking(true)?;
                Socket::Tcp(socket)
            }
        };
        Ok(Self { wanted: wanted.clone(), socket })
    }

    /// The one that another process has made, and that is this one's now; `None` where it is no longer there.
    fn inherit(wanted: &AdminAddress, socket: &OwnedFd) -> io::Result<Option<Self>> {
        let socket = socket.try_clone()?;
        let socket = match wanted {
            AdminAddress::Unix(path) => {
                let socket = UnixSocket::inherit(socket.into(), path.clone());
                if !socket.is_at(path) {
                    // The other gateway serves on, should this one not come to it.
                    socket.disown();
                    return Ok(None);
                }
                Socket::Unix(socket)
            }
            AdminAddress::Tcp(_) => Socket::Tcp(socket.into()),
        };
        Ok(Some(Self { wanted: wanted.clone(), socket }))
    }

    /// Gives it to the process at the other end.
    ///
    /// # Errors
    /// [`HandoverError`]
    pub(super) fn offer(&self, to: &HandoverSocket) -> Result<(), HandoverError> {
        let message = |_: String| Message::Admin(self.wanted.to_string());
        match &self.socket {
            Socket::Unix(socket) => socket.offer(to, message),
            Socket::Tcp(socket) => to.send(&message(String::new()), &[socket.as_fd()]),
        }
    }

    /// Its file is another process's from now on, and stays.
    pub(super) fn disown(&self) {
        if let Socket::Unix(socket) = &self.socket {
            socket.disown();
        }
    }

    /// The socket, for the runtime that accepts on it.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub(super) fn accepting(&self) -> io::Result<Accepting> {
        Ok(match &self.socket {
            Socket::Unix(socket) => {
                Accepting::Unix(AsyncUnixListener::from_std(socket.listener()?)?)
            }
            Socket::Tcp(socket) => Accepting::Tcp(AsyncTcpListener::from_std(socket.try_clone()?)?),
        })
    }
}

/// Where it is: of port 0, the one that the kernel has chosen.
impl fmt::Display for AdminListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Socket::Unix(_) => write!(f, "{}", self.wanted),
            Socket::Tcp(socket) => match socket.local_addr() {
                Ok(address) => write!(f, "{address}"),
                Err(_) => write!(f, "{}", self.wanted),
            },
        }
    }
}
