//! Connections to XiVO, and from which address they come.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

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
    /// XiVO's addresses; the first that answers is taken, and none waits for long for the one before.
    pub addresses: &'a [SocketAddr],
    /// The socket of an upstream `unix:…`, instead of an address.
    pub socket: Option<&'a Path>,
    /// `upstream.source`: this host's address that connections come from.
    pub source: Option<IpAddr>,
    /// `upstream.danger_loopback_source`.
    pub danger_loopback_source: bool,
    /// `upstream.connect_timeout`, for all addresses together, without the TLS handshake.
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
    /// A try begins; says which one.
    fn tries(&self, address: Option<SocketAddr>) -> usize {
        self.trace.map(|trace| trace.begin(address)).unwrap_or_default()
    }

    /// How this try ended.
    fn tried<T>(&self, nth: usize, outcome: &Result<T, UpstreamFault>) {
        match (self.trace, outcome) {
            (Some(trace), Ok(_)) => trace.connected(nth),
            (Some(trace), Err(_)) => trace.refused(nth),
            (None, _) => {}
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
        let nth = route.tries(None);
        let stream = connect_to_socket(route, socket).await;
        route.tried(nth, &stream);
        return Ok(Connection::new(Transport::Unix(stream?), reusable, route.way));
    }
    let until = Instant::now() + route.connect_timeout;
    let family = |address: &&SocketAddr| {
        route.source.is_none_or(|source| source.is_ipv4() == address.is_ipv4())
    };
    let mut candidates = route.addresses.iter().filter(family).copied();
    let transport = match (candidates.next(), candidates.next()) {
        (None, _) if route.addresses.is_empty() => return Err(ResolveFault::NoAddress.into()),
        (None, _) => return Err(NotAllowed::OtherFamily.into()),
        (Some(only), None) => attempt(route, only, until).await?,
        (Some(first), Some(second)) => {
            let candidates = [first, second].into_iter().chain(candidates).collect();
            race(route, candidates, until).await?
        }
    };
    Ok(Connection::new(transport, reusable, route.way))
}

/// Connects to one address, which has to have accepted until then.
async fn attempt(
    route: &Route<'_>,
    address: SocketAddr,
    until: Instant,
) -> Result<Transport, UpstreamFault> {
    let nth = route.tries(Some(address));
    let opened = match timeout_at(until, connect_to(route, address)).await {
        Ok(Ok(stream)) => open(route, stream).await,
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(ConnectFault::TooSlow.into()),
    };
    route.tried(nth, &opened);
    opened
}

/// Connects to several addresses (RFC 8305, section 5): the next one is tried when the one before has failed, or
/// is not there after a moment. The first that is open is taken, and the others are closed: no request was sent.
async fn race(
    route: &Route<'_>,
    candidates: Vec<SocketAddr>,
    until: Instant,
) -> Result<Transport, UpstreamFault> {
    // So that all of them are tried in time.
    let most = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
    let stagger = STAGGER.min(route.connect_timeout / most);
    let mut running: Vec<Attempting<'_>> = Vec::new();
    let mut fault = UpstreamFault::from(ResolveFault::NoAddress);
    for address in candidates {
        running.push(Box::pin(attempt(route, address, until)));
        match timeout(stagger, first_of(&mut running)).await {
            Ok(Ok(transport)) => return Ok(transport),
            Ok(Err(why)) => fault = why,
            // It goes on beside the next one.
            Err(_) => {}
        }
    }
    while !running.is_empty() {
        match first_of(&mut running).await {
            Ok(transport) => return Ok(transport),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

/// An attempt on its way.
type Attempting<'a> = Pin<Box<dyn Future<Output = Result<Transport, UpstreamFault>> + 'a>>;

/// Waits for the first of these to end, which is taken out.
async fn first_of(running: &mut Vec<Attempting<'_>>) -> Result<Transport, UpstreamFault> {
    poll_fn(|context| {
        for at in 0..running.len() {
            if let Some(attempt) = running.get_mut(at)
                && let Poll::Ready(ended) = attempt.as_mut().poll(context)
            {
                drop(running.remove(at));
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await
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

/// How long the next address waits for the one before.
const STAGGER: Duration = Duration::from_millis(75);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::upstream::Unreachable;

    /// A socket whose queue is full: whoever connects waits for ever.
    fn stuck() -> (Socket, Vec<std::net::TcpStream>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        let short = Duration::from_millis(100);
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, short) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue never fills");
        }
        (socket, queued, address)
    }

    fn route<'a>(addresses: &'a [SocketAddr], trace: &'a Trace) -> Route<'a> {
        Route {
            addresses,
            socket: None,
            source: None,
            danger_loopback_source: true,
            connect_timeout: Duration::from_secs(3600),
            tls: None,
            way: 0,
            relayed: None,
            trace: Some(trace),
        }
    }

    #[tokio::test]
    async fn an_address_that_is_stuck_or_refuses_does_not_keep_the_next_from_being_tried() {
        let (_socket, _queued, stuck) = stuck();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        for addresses in [
            vec![stuck, good],
            vec![nobody, good],
            vec![stuck, nobody, stuck, good],
            vec![good, stuck],
        ] {
            let trace = Trace::default();
            let connecting = connect(&route(&addresses, &trace)).await;
            let connection = connecting.unwrap();
            assert_eq!(connection.ends().unwrap().1, good, "{addresses:?}");
            let attempts = trace.attempts();
            let last = attempts.last().unwrap();
            assert_eq!((last.address, last.connect.is_some()), (Some(good), true));
        }
    }

    #[tokio::test]
    async fn all_addresses_together_have_the_one_time_limit() {
        let (_socket, _queued, stuck) = stuck();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let trace = Trace::default();
        for (addresses, fault) in [
            (vec![stuck; 20], "no connection within"),
            (vec![nobody; 20], "refused"),
            (vec![], "has no address yet"),
        ] {
            let all = route(&addresses, &trace);
            let connecting = Route { connect_timeout: Duration::from_millis(50), ..all };
            let failed = connect(&connecting).await.unwrap_err();
            assert!(failed.to_string().contains(fault), "{failed}");
        }
    }

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
