//! Listening sockets: one per worker on each address, and nobody else on it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;

use socket2::{Domain, Protocol, Socket, Type};

use super::inherited::Inherited;

/// An address that is listened on by all workers.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The address, with the port that the kernel chose where the configuration says 0.
    pub address: SocketAddr,
    /// At least one socket per worker. Where there are more, from a time of more workers, workers are to
    /// accept on several of them: each may have connections that wait.
    pub sockets: Vec<TcpListener>,
    /// Held as long as the address is listened on.
    pub lock: Option<Lock>,
}

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another gateway holds the lock of the address.
    #[error(
        "{address}: another phonebook-gateway is listening there; stop it, or choose another address in [[listen]]"
    )]
    Locked {
        /// The address to listen on.
        address: SocketAddr,
    },
    /// The address is taken.
    #[error(
        "{address}: another program is listening there (`ss -ltnp` names it); stop it, or choose another address in [[listen]]"
    )]
    InUse {
        /// The address to listen on.
        address: SocketAddr,
    },
    /// A socket that was passed to the gateway has a part of the address, and does not share it.
    #[error(
        "{address}: a socket that was passed to the gateway listens on {passed}, and keeps others from it; let the \
         .socket unit and [[listen]] name the same address"
    )]
    PassedInTheWay {
        /// The address to listen on.
        address: SocketAddr,
        /// Where the other socket listens.
        passed: SocketAddr,
    },
    /// The kernel refused.
    #[error("{address}: {source}{}", remedy(source))]
    Refused {
        /// The address to listen on.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// An address that is this gateway's, and on which nobody can connect yet: what comes between may fail, and nobody's
/// connection ends by it. With sockets that were there before this process, people can.
#[derive(Debug)]
pub(crate) struct Reserved {
    address: SocketAddr,
    sockets: Vec<Socket>,
    lock: Option<Lock>,
}

impl Reserved {
    /// Lets people connect.
    ///
    /// # Errors
    /// [`ListenError`]: somebody else has begun to listen there at the same moment, who shares the address.
    pub(crate) fn listen(self) -> Result<Bound, ListenError> {
        let Self { address, sockets, lock } = self;
        for socket in &sockets {
            socket.listen(BACKLOG).map_err(|error| refused(address, error))?;
        }
        let sockets = sockets.into_iter().map(TcpListener::from).collect();
        Ok(Bound { address, sockets, lock })
    }
}

/// Takes the sockets of `address` that were there before this process, or binds it ([`reserve`]).
///
/// Where there are fewer of them than workers, several workers accept on the same one.
///
/// # Errors
/// [`ListenError`]
pub(crate) fn inherit_or_reserve(
    address: SocketAddr,
    workers: usize,
    inherited: &mut Inherited,
) -> Result<Reserved, ListenError> {
    let ipv4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    // What this address came to before, if the host still is like that.
    let found = inherited.take(address).or_else(|| {
        let is_all = address.is_ipv6() && address.ip().is_unspecified();
        if is_all && !has_ipv6() { inherited.take(ipv4) } else { None }
    });
    let Some((came_to, mut sockets)) = found else {
        let Some(passed) = inherited.on_port(address.port()) else {
            return reserve(address, workers, Others::Refused);
        };
        // It is wanted no more, and closed when this gateway is ready.
        return reserve(address, workers, Others::Ours).map_err(|error| match error {
            ListenError::InUse { .. } => ListenError::PassedInTheWay { address, passed },
            error @ (ListenError::Locked { .. }
            | ListenError::PassedInTheWay { .. }
            | ListenError::Refused { .. }) => error,
        });
    };
    let lock = match inherited.take_lock(address) {
        Some(lock) => Some(lock),
        None if address.port() == 0 => None,
        None => Some(Lock::take(address)?),
    };
    let shared: io::Result<Vec<TcpListener>> =
        (sockets.len()..workers).map(|worker| clone_of(&sockets, worker)).collect();
    sockets.extend(shared.map_err(|source| ListenError::Refused { address, source })?);
    Ok(Reserved {
        address: came_to,
        sockets: sockets.into_iter().map(Socket::from).collect(),
        lock,
    })
}

/// One of the sockets, another one for each number in turn.
fn clone_of(sockets: &[TcpListener], number: usize) -> io::Result<TcpListener> {
    let socket = number.checked_rem(sockets.len()).and_then(|at| sockets.get(at));
    socket.ok_or(io::ErrorKind::NotFound)?.try_clone()
}

/// Who may have the address, or a part of it, already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// Nobody.
    Refused,
    /// A listener of this gateway that is about to be closed. Anybody else who listens there and does not share the
    /// address is seen all the same.
    Ours,
}

/// Binds `address` once for each of `workers` workers.
///
/// The workers' sockets share the address (`SO_REUSEPORT`), and so could a second gateway's of the
/// same user: it would take a part of the connections, in silence. Therefore the address is tried
/// without sharing first, which fails if anybody listens on it or on a part of it, and a lock named
/// after the address keeps two gateways that start at the same moment apart.
///
/// # Errors
/// [`ListenError`]
pub(crate) fn reserve(
    address: SocketAddr,
    workers: usize,
    others: Others,
) -> Result<Reserved, ListenError> {
    match reserve_exactly(address, workers, others) {
        Err(ListenError::Refused { source, .. })
            if address.ip().is_unspecified() && is_without_ipv6(&source) =>
        {
            tracing::warn!("this host has no IPv6: {address} listens on IPv4 alone");
            reserve_exactly(
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()),
                workers,
                others,
            )
        }
        reserved => reserved,
    }
}

fn reserve_exactly(
    address: SocketAddr,
    workers: usize,
    others: Others,
) -> Result<Reserved, ListenError> {
    let lock = match address.port() {
        0 => None,
        _ => Some(Lock::take(address)?),
    };
    // A port that the kernel chooses is free.
    if address.port() != 0 && others == Others::Refused {
        let bound = socket(address).and_then(|socket| socket.bind(&address.into()));
        bound.map_err(|error| refused(address, error))?;
    }
    let mut address = address;
    let mut sockets = Vec::new();
    for _ in 0..workers.max(1) {
        let socket = bind_shared(address).map_err(|error| refused(address, error))?;
        let local = socket.local_addr().map_err(|error| refused(address, error))?;
        address = local.as_socket().unwrap_or(address);
        sockets.push(socket);
    }
    Ok(Reserved { address, sockets, lock })
}

fn refused(address: SocketAddr, source: io::Error) -> ListenError {
    if source.kind() == io::ErrorKind::AddrInUse {
        ListenError::InUse { address }
    } else {
        ListenError::Refused { address, source }
    }
}

/// Whether `address` could be listened on, found without listening: nobody can connect meanwhile, and a gateway that
/// starts at the same moment is not kept from it.
///
/// # Errors
/// Why not.
pub(crate) fn try_bind(address: SocketAddr) -> io::Result<()> {
    let bind = |address: SocketAddr| socket(address)?.bind(&address.into());
    match bind(address) {
        Err(error) if address.ip().is_unspecified() && is_without_ipv6(&error) => {
            bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
        }
        bound => bound,
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a previous gateway that are in TIME_WAIT do not keep the address.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Whatever net.ipv6.bindv6only says: `[::]` takes IPv4 too.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

fn bind_shared(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Inherited by accepted connections, which saves each of them the call.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn has_ipv6() -> bool {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    socket(any).and_then(|socket| socket.bind(&any.into())).is_ok()
}

fn is_without_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind has dozens of kinds, and gets more"
)]
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the capability CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "; this host does not have the address",
        _ => "",
    }
}

/// A name in the kernel's table of abstract sockets, which belongs to a network name space as the
/// address does, and is free again when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(UnixListener);

impl From<UnixListener> for Lock {
    /// One that another process has taken.
    fn from(socket: UnixListener) -> Self {
        Self(socket)
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Lock {
    /// Whether it is the one on `address`.
    pub(crate) fn is_of(&self, address: SocketAddr) -> bool {
        let own = self.0.local_addr();
        own.is_ok_and(|own| own.as_abstract_name() == Some(Self::name(address).as_bytes()))
    }

    fn name(address: SocketAddr) -> String {
        format!("{LOCK_PREFIX}{address}")
    }

    fn take(address: SocketAddr) -> Result<Self, ListenError> {
        let refused = |source| ListenError::Refused { address, source };
        let name = Self::name(address);
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name).map_err(refused)?;
        match UnixListener::bind_addr(&name) {
            Ok(listener) => Ok(Self(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(ListenError::Locked { address })
            }
            Err(error) => Err(refused(error)),
        }
    }
}

/// What the names of locks begin with: whoever has such a socket is a gateway.
pub(crate) const LOCK_PREFIX: &str = "phonebook-gateway ";

/// Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(address: SocketAddr, workers: usize) -> Result<Bound, ListenError> {
        reserve(address, workers, Others::Refused)?.listen()
    }

    #[test]
    fn all_workers_share_the_port_that_the_kernel_chose() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_ne!(bound.address.port(), 0);
        for socket in &bound.sockets {
            assert_eq!(socket.local_addr().unwrap(), bound.address);
        }
    }

    #[test]
    fn a_second_gateway_on_the_address_is_refused() {
        let port = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().address.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let first = bind(address, 2).unwrap();
        assert!(matches!(bind(address, 1), Err(ListenError::Locked { .. })));
        let everywhere = SocketAddr::from(([0, 0, 0, 0], port));
        assert!(matches!(bind(everywhere, 1), Err(ListenError::InUse { .. })));
        drop(first);
        bind(address, 1).unwrap();
    }

    #[test]
    fn another_program_on_the_address_is_named_as_such() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = bind(other.local_addr().unwrap(), 1).unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("ss -ltnp"));
    }

    #[test]
    fn what_is_reserved_takes_no_connection_yet() {
        let reserved = reserve("127.0.0.1:0".parse().unwrap(), 2, Others::Refused).unwrap();
        let address = reserved.address;
        assert!(std::net::TcpStream::connect(address).is_err());
        let bound = reserved.listen().unwrap();
        std::net::TcpStream::connect(address).unwrap();
        assert_eq!((bound.sockets.len(), bound.address), (2, address));
    }
}
