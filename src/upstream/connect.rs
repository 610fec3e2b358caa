//! Connections to XiVO, and from which address they come.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::UpstreamFault;
use super::pool::Connection;
use super::records::Records;
use super::tls::{self, Tls};
use super::transport::{Session, Transport};
use crate::net::proxy_protocol::write::Relayed;
use crate::upstream::trace::Trace;

/// How XiVO is reached.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// XiVO's addresses; the first that answers is taken.
    pub addresses: &'a [SocketAddr],
    /// The socket of an upstream `unix:…`, instead of an address.
    pub socket: Option<&'a Path>,
    /// `upstream.source`: this host's address that connections come from.
    pub source: Option<IpAddr>,
    /// `upstream.danger_loopback_source`.
    pub danger_loopback_source: bool,
    /// `upstream.connect_timeout`, for each address, without the TLS handshake.
    pub connect_timeout: Duration,
    /// How TLS is spoken, if it is.
    pub tls: Option<&'a Tls>,
    /// Whom the PROXY protocol names (`upstream.send_proxy_protocol`). Such a connection belongs to
    /// one client and carries one question.
    pub relayed: Option<Relayed>,
    /// What is told of each try.
    pub trace: Option<&'a Trace>,
}

impl Route<'_> {
    /// A try begins.
    pub(super) fn tries(&self, address: Option<SocketAddr>) {
        if let Some(trace) = self.trace {
            trace.begin(address);
        }
    }

    /// The try has a connection.
    pub(super) fn connected(&self) {
        if let Some(trace) = self.trace {
            trace.connected();
        }
    }
}

/// Connects to the first of the route's addresses that answers.
///
/// # Errors
/// [`UpstreamFault::Unreachable`].
pub async fn connect(route: &Route<'_>) -> Result<Connection, UpstreamFault> {
    let reusable = route.relayed.is_none();
    check_relayed(route).map_err(UpstreamFault::Unreachable)?;
    if let Some(socket) = route.socket {
        route.tries(None);
        let stream = connect_to_socket(route, socket).await.map_err(UpstreamFault::Unreachable)?;
        route.connected();
        return Ok(Connection::new(Transport::Unix(stream), reusable));
    }
    let mut fault = UpstreamFault::Unreachable("its host name has no address yet");
    for &address in route.addresses {
        if route.source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
            fault = UpstreamFault::Unreachable(
                "upstream.source and XiVO's address are not both IPv4 or both IPv6",
            );
            continue;
        }
        route.tries(Some(address));
        let opened = match timeout(route.connect_timeout, connect_to(route, address)).await {
            Ok(Ok(stream)) => open(route, stream).await,
            Ok(Err(why)) => Err(why),
            Err(_) => Err(TOO_SLOW),
        };
        match opened {
            Ok(transport) => {
                route.connected();
                return Ok(Connection::new(transport, reusable));
            }
            Err(why) => fault = UpstreamFault::Unreachable(why),
        }
    }
    Err(fault)
}

/// XiVO takes a client that the PROXY protocol names for the sender: none may be a loopback address.
/// Without the protocol a socket has no address at all.
///
/// # Errors
/// Why a request for this client is not asked.
pub fn check_relayed(route: &Route<'_>) -> Result<(), &'static str> {
    match route.relayed {
        Some(relayed) if relayed.client.ip().is_loopback() && !route.danger_loopback_source => Err(
            "the client has a loopback address, and XiVO grants `private` to the one that the PROXY protocol names; it is asked for clients on the network only",
        ),
        None if route.socket.is_some() => Err(
            "a unix socket is asked with the PROXY protocol only (upstream.send_proxy_protocol)",
        ),
        _ => Ok(()),
    }
}

/// What is sent before the first question: for whom, and the TLS handshake.
async fn open(route: &Route<'_>, mut stream: TcpStream) -> Result<Transport, &'static str> {
    introduce(route, &mut stream).await?;
    let Some(tls) = route.tls else { return Ok(Transport::Plain(stream)) };
    let (config, server_name) = tls.handshake();
    let shaken = TlsConnector::from(config).connect(server_name, Records::new(stream)).await;
    shaken.map(|stream| Transport::Tls(Session::new(stream))).map_err(|error| tls::explain(&error))
}

/// Sends the PROXY protocol's header where there is one.
async fn introduce(
    route: &Route<'_>,
    stream: &mut (impl AsyncWrite + Unpin),
) -> Result<(), &'static str> {
    let Some(relayed) = route.relayed else { return Ok(()) };
    let mut header = Vec::with_capacity(52);
    relayed.write(&mut header);
    stream
        .write_all(&header)
        .await
        .map_err(|_| "XiVO closed the connection before it read the PROXY protocol's header")
}

async fn connect_to_socket(route: &Route<'_>, path: &Path) -> Result<UnixStream, &'static str> {
    let connected = timeout(route.connect_timeout, UnixStream::connect(path)).await;
    let mut stream = connected.map_err(|_| TOO_SLOW)?.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket as upstream.url names",
        io::ErrorKind::PermissionDenied => {
            "the gateway's user may not write to the socket that upstream.url names"
        }
        io::ErrorKind::WouldBlock => "the socket's queue is full; is XiVO's nginx stuck?",
        _ => explain(&error),
    })?;
    introduce(route, &mut stream).await?;
    Ok(stream)
}

const TOO_SLOW: &str = "no connection within upstream.connect_timeout";

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
