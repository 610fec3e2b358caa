//! Whether this host has the addresses that the configuration names, and whether their ports are free.

use std::cell::OnceCell;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use rustix::io::Errno;

use super::sockets::ListeningSocket;
use super::{HostFinding, Onlooker, Scope, Weight, other_addresses};
use crate::config::{Config, Listener};
use crate::files;
use crate::location::Location;
use crate::net::listen;

/// Looks at `[upstream] source` and at each `[[listen]]`.
pub(super) fn look(config: &Config, onlooker: &Onlooker, scope: Scope) -> Vec<HostFinding> {
    let source = config.upstream.source.as_ref();
    let source = source.and_then(|source| look_at_source(source.value, &source.location));
    // Who starts is told of these when it listens on them.
    let listeners = config.listeners.iter().filter(|_| scope == Scope::Whole);
    // Looked for once, and only where an address is taken.
    let own = OnceCell::new();
    let listening = || match &onlooker.listening {
        Some(listening) => listening.as_slice(),
        None => own.get_or_init(ListeningSocket::all).as_slice(),
    };
    let taken = |address| taken(address, &config.file, listening(), onlooker);
    let listeners = listeners.filter_map(|listener| look_at(listener, onlooker, taken));
    source.into_iter().chain(listeners).collect()
}

fn look_at_source(address: IpAddr, location: &Location) -> Option<HostFinding> {
    // The kernel is asked, and not the list of addresses: it also takes what net.ipv4.ip_nonlocal_bind lets it.
    let error = listen::try_bind(SocketAddr::new(address, 0)).err()?;
    let message = if is_not_ours(&error) {
        not_ours(address)
    } else {
        format!("connections to XiVO cannot come from {address}: {error}")
    };
    let help = match other_addresses().iter().find(|own| own.is_ipv4() == address.is_ipv4()) {
        Some(own) => {
            format!("write the address by which XiVO is to know it, such as source = \"{own}\"")
        }
        None => "give this host the address, or write one that it has".to_owned(),
    };
    Some(HostFinding { weight: Weight::Error, location: location.clone(), message, help })
}

fn look_at(
    listener: &Listener,
    onlooker: &Onlooker,
    taken: impl FnOnce(SocketAddr) -> (Weight, String, String),
) -> Option<HostFinding> {
    let (address, location) = (listener.address, &listener.location);
    let error = match listen::try_bind(address) {
        Ok(()) => return None,
        Err(error) => error,
    };
    let finding = |weight, message, help: String| {
        Some(HostFinding { weight, location: location.clone(), message, help })
    };
    if error.kind() == io::ErrorKind::AddrInUse {
        let (weight, message, help) = taken(address);
        return finding(weight, message, help);
    }
    if is_not_ours(&error) {
        let everywhere = SocketAddr::new(IpAddr::from([0_u16; 8]), address.port());
        let help = format!("write one of its own, or \"{everywhere}\" for all of them");
        return finding(Weight::Error, not_ours(address.ip()), help);
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        let service = onlooker.service.as_ref();
        if service.is_some_and(|service| service.may_bind_low_ports) {
            return None;
        }
        let first = first_unprivileged();
        let message =
            format!("cannot listen on {address}: ports below {first} need CAP_NET_BIND_SERVICE");
        let help = format!(
            "choose a port from {first} on, or let the unit have AmbientCapabilities=CAP_NET_BIND_SERVICE, the same \
             in CapabilityBoundingSet=, and PrivateUsers=no"
        );
        return finding(Weight::Error, message, help);
    }
    let help = "choose another address".to_owned();
    finding(Weight::Error, format!("cannot listen on {address}: {error}"), help)
}

/// Who has the address already.
fn taken(
    address: SocketAddr,
    file: &Path,
    listening: &[ListeningSocket],
    onlooker: &Onlooker,
) -> (Weight, String, String) {
    let help = "stop it, or choose another address in [[listen]]".to_owned();
    let mut holders = listening.iter().filter(|socket| socket.keeps(address));
    let Some(socket) = holders.next() else {
        let message = format!(
            "cannot listen on {address}: another program is listening there (`ss -ltnp` names it)"
        );
        return (Weight::Error, message, help);
    };
    let Some(holder) = socket.holder() else {
        let message = format!(
            "cannot listen on {address}: another program is listening there, of the user with uid {} (`ss -ltnp`, as \
             root, names it)",
            socket.uid()
        );
        return (Weight::Error, message, help);
    };
    let process = holder.process;
    if process == INIT
        && onlooker.service.as_ref().is_some_and(|service| service.is_passed(address))
    {
        return (
            Weight::Note,
            format!("{address}: systemd is listening there for the gateway, by a .socket unit"),
            "it passes the socket when it starts the service; a gateway that is started by hand cannot listen there"
                .to_owned(),
        );
    }
    match &holder.configuration {
        Some(theirs) if files::are_same(theirs, file) => (
            Weight::Note,
            format!(
                "{address}: another phonebook-gateway is listening there, with this configuration (process {process})"
            ),
            "a second one does not start beside it".to_owned(),
        ),
        Some(theirs) => (
            Weight::Error,
            format!(
                "cannot listen on {address}: another phonebook-gateway is listening there (process {process}, with {})",
                theirs.display()
            ),
            help,
        ),
        None => (
            Weight::Error,
            format!(
                "cannot listen on {address}: another program is listening there: {} (process {process})",
                holder.program
            ),
            help,
        ),
    }
}

fn is_not_ours(error: &io::Error) -> bool {
    [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT, Errno::INVAL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn not_ours(address: IpAddr) -> String {
    let own = other_addresses();
    let has = match own.len() {
        0 => "it has loopback addresses only".to_owned(),
        count => {
            let named: Vec<String> = own.iter().take(MOST_NAMED).map(ToString::to_string).collect();
            let more = if count > MOST_NAMED { ", and others" } else { "" };
            format!("it has {}{more}", named.join(", "))
        }
    };
    format!("{address} is no address of this host; {has}")
}

/// The first port that needs no capability.
fn first_unprivileged() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

/// The first process, which systemd is where it runs.
const INIT: u32 = 1;

/// This host's addresses that a message names.
const MOST_NAMED: usize = 8;
