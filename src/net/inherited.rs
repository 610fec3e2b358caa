//! Listening sockets that were there before this process: systemd keeps them over a restart (its descriptor
//! store) or opened them itself (a `.socket` unit), or the gateway that this one replaces hands them over.
//!
//! What waits in them to be accepted is not lost, and nobody who connects meanwhile is refused. Where to listen
//! is said by `gateway.toml` alone: a socket is taken by its address, and one that nobody takes is closed.

use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use socket2::SockRef;

use super::listen::Lock;

/// Sockets that wait for whoever listens on their addresses.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    listeners: Vec<InheritedListener>,
    locks: Vec<Lock>,
    /// That of the control socket, and its path.
    pub(crate) control: Option<(UnixListener, String)>,
    /// That of the admin listener, and its address.
    pub(crate) admin: Option<(OwnedFd, String)>,
}

/// One that nobody has taken yet.
#[derive(Debug)]
struct InheritedListener {
    /// The address that a configuration had for it, where that is known: `[::]` may have come to `0.0.0.0`,
    /// and port 0 to another one.
    wanted: Option<SocketAddr>,
    address: SocketAddr,
    socket: TcpListener,
}

impl InheritedListener {
    fn is_of(&self, address: SocketAddr) -> bool {
        self.wanted.unwrap_or(self.address) == address
    }
}

impl Inherited {
    /// What systemd passes by `LISTEN_FDS`, and for each descriptor that is of no use why; nothing where that
    /// is meant for another process.
    ///
    /// To be called before there are threads, as it changes the environment.
    pub(crate) fn from_service_manager() -> (Self, Vec<String>) {
        let own = std::process::id().to_string();
        // Without it, descriptors that are somebody else's would be taken for sockets.
        if env::var("LISTEN_PID").ok().as_deref() != Some(own.as_str()) {
            return (Self::default(), Vec::new());
        }
        let mut passed = ListenFd::from_env();
        let (mut inherited, mut useless) = (Self::default(), Vec::new());
        for index in 0..passed.len() {
            match passed.take_tcp_listener(index) {
                Ok(Some(socket)) => {
                    if let Err(error) = inherited.add(None, socket) {
                        useless.push(error.to_string());
                    }
                }
                Ok(None) => {}
                Err(error) => useless.push(error.to_string()),
            }
        }
        (inherited, useless)
    }

    /// One more that listens, in the configuration at `wanted` where that is known.
    ///
    /// # Errors
    /// It does not listen, or the system refuses to say where.
    pub(crate) fn add(
        &mut self,
        wanted: Option<SocketAddr>,
        socket: TcpListener,
    ) -> io::Result<()> {
        let address = socket.local_addr()?;
        let options = SockRef::from(&socket);
        if !options.is_listener()? {
            return Err(io::Error::other(format!("the socket at {address} does not listen")));
        }
        socket.set_nonblocking(true)?;
        options.set_tcp_nodelay(true)?;
        self.listeners.push(InheritedListener { wanted, address, socket });
        Ok(())
    }

    /// One more lock on an address.
    pub(crate) fn add_lock(&mut self, lock: Lock) {
        self.locks.push(lock);
    }

    /// Those of `address`, and the address that it came to; `None` where there are none.
    pub(crate) fn take(&mut self, address: SocketAddr) -> Option<(SocketAddr, Vec<TcpListener>)> {
        let all = self.listeners.extract_if(.., |it| it.is_of(address));
        let all: Vec<_> = all.collect();
        let came_to = all.first()?.address;
        Some((came_to, all.into_iter().map(|it| it.socket).collect()))
    }

    /// The address of one that nobody has taken, on this port.
    pub(crate) fn on_port(&self, port: u16) -> Option<SocketAddr> {
        self.listeners.iter().map(|it| it.address).find(|address| address.port() == port)
    }

    /// The lock on `address`, where it was handed over.
    pub(crate) fn take_lock(&mut self, address: SocketAddr) -> Option<Lock> {
        let at = self.locks.iter().position(|lock| lock.is_of(address))?;
        Some(self.locks.swap_remove(at))
    }

    /// The addresses of those that nobody has taken, each once.
    pub(crate) fn left(&self) -> Vec<SocketAddr> {
        let mut left: Vec<SocketAddr> = self.listeners.iter().map(|it| it.address).collect();
        left.sort();
        left.dedup();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> (SocketAddr, TcpListener) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    #[test]
    fn sockets_are_taken_by_their_address_and_the_others_are_named() {
        let mut inherited = Inherited::default();
        let ((one, first), (two, second)) = (listener(), listener());
        let again = first.try_clone().unwrap();
        inherited.add(None, first).unwrap();
        inherited.add(None, second).unwrap();
        inherited.add(None, again).unwrap();
        let (address, sockets) = inherited.take(one).unwrap();
        assert_eq!((address, sockets.len()), (one, 2));
        assert!(inherited.take(one).is_none());
        assert_eq!(inherited.left(), [two]);
    }

    #[test]
    fn one_that_was_handed_over_is_taken_by_what_its_configuration_said() {
        let mut inherited = Inherited::default();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let (came_to, socket) = listener();
        inherited.add(Some(any), socket).unwrap();
        assert!(inherited.take(came_to).is_none());
        assert_eq!(inherited.take(any).unwrap().0, came_to);
    }

    #[test]
    fn a_socket_that_does_not_listen_is_refused() {
        let (address, _listener) = listener();
        let connected = std::net::TcpStream::connect(address).unwrap();
        let socket = TcpListener::from(OwnedFd::from(connected));
        let error = Inherited::default().add(None, socket).unwrap_err();
        assert!(error.to_string().contains("does not listen"), "{error}");
    }
}
