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

use super::fault::{Cause, ConnectFault, Lack, NotAllowed, ResolveFault, SendFault, UpstreamFault};
use super::pool::Connection;
use super::records::Records;
use super::tls::Tls;
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
    /// Which way this is: a pooled connection of another one is not used.
    pub way: u64,
    /// Whom the PROXY protocol names (`upstream.send_proxy_protocol`). Such a connection belongs to
    /// one client and carries one request.
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
/// [`UpstreamFault::Unreachable`], or [`UpstreamFault::ThisHost`].
pub async fn connect(route: &Route<'_>) -> Result<Connection, UpstreamFault> {
    let reusable = route.relayed.is_none();
    check_relayed(route)?;
    if let Some(socket) = route.socket {
        route.tries(None);
        let stream = connect_to_socket(route, socket).await?;
        route.connected();
        return Ok(Connection::new(Transport::Unix(stream), reusable, route.way));
    }
    let mut fault = UpstreamFault::from(ResolveFault::NoAddress);
    for &address in route.addresses {
        if route.source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
            fault = NotAllowed::OtherFamily.into();
            continue;
        }
        route.tries(Some(address));
        let opened = match timeout(route.connect_timeout, connect_to(route, address)).await {
            Ok(Ok(stream)) => open(route, stream).await,
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(ConnectFault::TooSlow.into()),
        };
        match opened {
            Ok(transport) => {
                route.connected();
                return Ok(Connection::new(transport, reusable, route.way));
            }
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

/// XiVO takes a client that the PROXY protocol names for the sender: none may be a loopback address.
/// Without the protocol a socket has no address at all.
///
/// # Errors
/// Why a request for this client is not asked.
pub fn check_relayed(route: &Route<'_>) -> Result<(), NotAllowed> {
    match route.relayed {
        Some(relayed) if relayed.client.ip().is_loopback() && !route.danger_loopback_source => {
            Err(NotAllowed::LoopbackClient)
        }
        None if route.socket.is_some() => Err(NotAllowed::SocketWithoutClient),
        _ => Ok(()),
    }
}

/// What is sent before the first request: for whom, and the TLS handshake.
async fn open(route: &Route<'_>, mut stream: TcpStream) -> Result<Transport, UpstreamFault> {
    introduce(route, &mut stream).await?;
    let Some(tls) = route.tls else { return Ok(Transport::Plain(stream)) };
    let shaken = tls.handshake(Records::new(stream)).await?;
    Ok(Transport::Tls(Session::new(shaken)))
}

/// Sends the PROXY protocol's header where there is one.
async fn introduce(
    route: &Route<'_>,
    stream: &mut (impl AsyncWrite + Unpin),
) -> Result<(), SendFault> {
    let Some(relayed) = route.relayed else { return Ok(()) };
    let mut header = Vec::with_capacity(52);
    relayed.write(&mut header);
    stream.write_all(&header).await.map_err(|error| SendFault::ProxyHeader(error.into()))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind has dozens of kinds, and gets more"
)]
async fn connect_to_socket(route: &Route<'_>, path: &Path) -> Result<UnixStream, UpstreamFault> {
    let connected = timeout(route.connect_timeout, UnixStream::connect(path)).await;
    let connected = connected.map_err(|_| ConnectFault::TooSlow)?;
    let mut stream = connected.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ConnectFault::NoSocket(error.into()).into(),
        io::ErrorKind::PermissionDenied => ConnectFault::SocketForbidden(error.into()).into(),
        io::ErrorKind::WouldBlock => ConnectFault::SocketQueueFull(error.into()).into(),
        _ => fault(error),
    })?;
    introduce(route, &mut stream).await?;
    Ok(stream)
}

async fn connect_to(route: &Route<'_>, address: SocketAddr) -> Result<TcpStream, UpstreamFault> {
    let socket = socket(route.source, address).map_err(fault)?;
    let stream = socket.connect(address).await.map_err(fault)?;
    let local = stream.local_addr().map_err(|error| ConnectFault::NoLocalAddress(error.into()))?;
    if local.ip().to_canonical().is_loopback() && !route.danger_loopback_source {
        return Err(NotAllowed::LoopbackSource.into());
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

/// What it means that the system made no connection. What this host lacks is told apart from what is
/// wrong with XiVO, or on the way to it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind has dozens of kinds, and gets more"
)]
fn fault(error: io::Error) -> UpstreamFault {
    let (errno, kind) = (Errno::from_io_error(&error), error.kind());
    let cause = Cause::from(error);
    match errno {
        Some(Errno::MFILE) => return Lack::OpenFiles(cause).into(),
        Some(Errno::NFILE) => return Lack::OpenFilesOfHost(cause).into(),
        Some(Errno::NOBUFS | Errno::NOMEM) => return Lack::Memory(cause).into(),
        Some(Errno::ADDRNOTAVAIL) => return Lack::Address(cause).into(),
        _ => {}
    }
    let fault = match kind {
        io::ErrorKind::ConnectionRefused => ConnectFault::Refused(cause),
        io::ErrorKind::ConnectionReset => ConnectFault::Reset(cause),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ConnectFault::NoRoute(cause)
        }
        io::ErrorKind::TimedOut => ConnectFault::TimedOut(cause),
        _ => ConnectFault::Failed(cause),
    };
    fault.into()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Unreachable;

    fn of(errno: Errno) -> UpstreamFault {
        fault(io::Error::from_raw_os_error(errno.raw_os_error()))
    }

    /// A circuit breaker must not open for it, nor an administrator look for it at XiVO.
    #[test]
    fn what_this_host_lacks_is_no_fault_of_xivos() {
        for (errno, word) in [
            (Errno::MFILE, "LimitNOFILE"),
            (Errno::NFILE, "fs.file-max"),
            (Errno::NOBUFS, "MemoryMax"),
            (Errno::NOMEM, "MemoryMax"),
            (Errno::ADDRNOTAVAIL, "upstream.source"),
        ] {
            let fault = of(errno);
            assert!(matches!(fault, UpstreamFault::ThisHost(_)), "{errno}: {fault:?}");
            assert!(fault.to_string().contains(word), "{fault}");
        }
        for errno in
            [Errno::CONNREFUSED, Errno::CONNRESET, Errno::HOSTUNREACH, Errno::TIMEDOUT, Errno::PERM]
        {
            assert!(
                matches!(of(errno), UpstreamFault::Unreachable(Unreachable::Connect(_))),
                "{errno}"
            );
        }
    }

    #[test]
    fn what_the_system_said_is_kept_below_the_fault() {
        let fault = of(Errno::CONNREFUSED);
        let mut below: &dyn std::error::Error = &fault;
        while let Some(source) = below.source() {
            below = source;
        }
        let system = io::Error::from_raw_os_error(Errno::CONNREFUSED.raw_os_error());
        assert_eq!(below.to_string(), system.to_string());
        assert_eq!(fault, of(Errno::CONNREFUSED));
        assert_ne!(fault, of(Errno::CONNRESET));
    }
}
