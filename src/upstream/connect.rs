//! Connections to XiVO, and from which address they come.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::refusal::UpstreamFault;

/// How XiVO is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// XiVO's addresses; the first that answers is taken.
    pub addresses: &'a [SocketAddr],
    /// `upstream.source`: this host's address that connections come from.
    pub source: Option<IpAddr>,
    /// `upstream.danger_loopback_source`.
    pub danger_loopback_source: bool,
    /// `upstream.connect_timeout`, for each address.
    pub connect_timeout: Duration,
}

/// Connects to the first of the route's addresses that answers.
pub(super) async fn connect(route: &Route<'_>) -> Result<TcpStream, UpstreamFault> {
    let mut fault = UpstreamFault::Unreachable("its host name has no address yet");
    for &address in route.addresses {
        if route.source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
            fault = UpstreamFault::Unreachable(
                "upstream.source and XiVO's address are not both IPv4 or both IPv6",
            );
            continue;
        }
        match timeout(route.connect_timeout, connect_to(route, address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(why)) => fault = UpstreamFault::Unreachable(why),
            Err(_) => {
                fault = UpstreamFault::Unreachable("no connection within upstream.connect_timeout")
            }
        }
    }
    Err(fault)
}

async fn connect_to(route: &Route<'_>, address: SocketAddr) -> Result<TcpStream, &'static str> {
    let socket = socket(route.source, address).map_err(|error| explain(&error))?;
    let stream = socket.connect(address).await.map_err(|error| explain(&error))?;
    let local = stream.local_addr().map_err(|_| "the connection has no local address")?;
    if local.ip().to_canonical().is_loopback() && !route.danger_loopback_source {
        return Err(
            "the connection would come from a loopback address, to which XiVO grants `private`; set upstream.source to this host's address on the network",
        );
    }
    Ok(stream)
}

fn socket(source: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

fn explain(error: &io::Error) -> &'static str {
    if let Some(Errno::MFILE | Errno::NFILE) = Errno::from_io_error(error) {
        return "this process may have no more open files; raise LimitNOFILE";
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused; is XiVO's nginx running?",
        io::ErrorKind::ConnectionReset => "the connection was reset",
        io::ErrorKind::AddrNotAvailable => {
            "this host does not have the address upstream.source, or no local port is left"
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no route to XiVO"
        }
        io::ErrorKind::TimedOut => "the connection timed out",
        _ => "the connection failed",
    }
}

/// The address that connections to `address` would come from, as the kernel's routing says. Sends
/// nothing: connecting a UDP socket only chooses its address.
pub fn routed_source(address: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(address).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}
