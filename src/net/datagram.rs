//! A datagram socket to one receiver, that is connected when there is something to send, and that waits
//! once for a receiver that takes nothing.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Where datagrams go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DatagramAddress {
    /// To an address, over UDP.
    Udp(SocketAddr),
    /// To a socket's file.
    Unix(PathBuf),
}

/// Sends datagrams to one address.
///
/// A receiver that takes nothing is waited for once, for [`WRITE_TIMEOUT`]; until it takes a datagram again the
/// others are refused at once. What to do about an error is the caller's: to send again, over a new socket
/// after [`Self::disconnect`], or not to.
#[derive(Debug)]
pub(crate) struct DatagramSender {
    address: DatagramAddress,
    socket: Option<Socket>,
    /// The receiver took nothing when it was waited for.
    stuck: bool,
}

/// Why a datagram was not sent.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    /// There is no connection, and none could be made.
    #[error(transparent)]
    Unconnected(io::Error),
    /// The receiver takes nothing.
    #[error(transparent)]
    Full(io::Error),
    /// Anything else that the socket says; over UDP perhaps of a previous datagram.
    #[error(transparent)]
    Failed(io::Error),
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl DatagramSender {
    /// Connects to nothing yet.
    pub(crate) fn new(address: DatagramAddress) -> Self {
        Self { address, socket: None, stuck: false }
    }

    /// Connects anew, and has patience again.
    ///
    /// # Errors
    /// No connection can be made.
    pub(crate) fn reconnect(&mut self) -> io::Result<()> {
        self.stuck = false;
        self.socket = None;
        self.socket = Some(Socket::connect(&self.address)?);
        Ok(())
    }

    /// Gives the socket up; the next datagram goes over a new one.
    pub(crate) fn disconnect(&mut self) {
        self.socket = None;
    }

    /// Whether the receiver took nothing when it was last waited for.
    #[cfg(test)]
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// [`SendError`]
    pub(crate) fn send(&mut self, datagram: &[u8]) -> Result<(), SendError> {
        let socket = self.connected().map_err(SendError::Unconnected)?;
        match socket.send(datagram) {
            Ok(()) => {
                self.set_stuck(false);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.set_stuck(true);
                Err(SendError::Full(error))
            }
            Err(error) => Err(SendError::Failed(error)),
        }
    }

    fn connected(&mut self) -> io::Result<&Socket> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = Socket::connect(&self.address)?;
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

impl Socket {
    fn connect(address: &DatagramAddress) -> io::Result<Self> {
        match address {
            DatagramAddress::Udp(address) => {
                let any = if address.is_ipv4() {
                    Ipv4Addr::UNSPECIFIED.into()
                } else {
                    Ipv6Addr::UNSPECIFIED.into()
                };
                let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
                socket.connect(address)?;
                socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
                Ok(Self::Udp(socket))
            }
            DatagramAddress::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
                Ok(Self::Unix(socket))
            }
        }
    }

    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        loop {
            let sent = match self {
                Self::Udp(socket) => socket.send(datagram),
                Self::Unix(socket) => socket.send(datagram),
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
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

/// How long a receiver that takes nothing is waited for.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
