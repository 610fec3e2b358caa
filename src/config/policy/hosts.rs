//! A policy's `hosts`, and what is doubtful in them.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::document::{Field, Section};
use crate::config::value::address;
use crate::location::Located;
use crate::policy::Host;

/// Reads `hosts`, which may be absent only where something else names the peer: `excused`. Returns
/// the hosts and their spans.
pub(crate) fn read(
    root: &mut Section<'_>,
    excused: bool,
) -> (Vec<Located<Host>>, Vec<Range<usize>>) {
    const HELP: &str = "write the peer's addresses, such as hosts = [\"192.168.1.124\"]";
    let Some(field) = root.take("hosts") else {
        if !excused {
            root.missing("hosts", HELP);
        }
        return (Vec::new(), Vec::new());
    };
    let entries = field.list();
    if entries.as_ref().is_some_and(Vec::is_empty) {
        field.error(
            Diagnostic::new("empty: nobody is this peer", "allowed: one host or more").help(HELP),
        );
    }
    let read = |entry: Field<'_>| {
        let text = entry.text()?;
        let host = entry.accept(address::host(&text))?;
        match &host {
            Host::Prefix(net) => warn_of_prefix(&entry, *net),
            Host::Name(name) if is_this_host(name) => {
                let message = format!("{} is this host itself", shown(name));
                let label = "lets nobody in, unless [names] danger_loopback_names lets every program on this host in";
                entry.warn(Diagnostic::new(message, label).help("write the peer's own addresses"));
            }
            Host::Name(_) => {}
        }
        Some((Located { value: host, location: entry.location(), written: true }, entry.span()))
    };
    let read: Vec<_> = entries.unwrap_or_default().into_iter().filter_map(read).collect();
    read.into_iter().unzip()
}

fn warn_of_prefix(entry: &Field<'_>, net: IpNet) {
    let (wide, loopback) = match net {
        IpNet::V4(net) => (net.prefix_len() <= WIDE_IPV4, net.network().is_loopback()),
        IpNet::V6(net) => {
            (net.prefix_len() <= WIDE_IPV6, net.prefix_len() == 128 && net.addr().is_loopback())
        }
    };
    let single = net.prefix_len() == net.max_prefix_len();
    if wide && !loopback {
        let message = format!("{net} is a large part of all addresses");
        entry.warn(Diagnostic::new(message, "everybody in it is this peer"));
    } else if let IpNet::V6(v6) = net
        && address::contains_mapped(&v6)
    {
        let message = format!("{net} holds the IPv4-mapped addresses, and they never match");
        let help = "write IPv4 prefixes for callers over IPv4";
        entry.warn(Diagnostic::new(message, "matches IPv6 callers only").help(help));
    }
    if loopback {
        let message = format!("{net} is this host itself");
        entry.warn(Diagnostic::new(message, "every program on this host is this peer"));
    }
    if single && never_a_caller(net.addr()) {
        let message = format!("{} is never a caller's address", net.addr());
        entry.warn(Diagnostic::new(message, "never matches"));
    }
}

/// Whether a name stands for a loopback address wherever it is asked for (RFC 6761, section 6.3, and Debian's
/// /etc/hosts).
fn is_this_host(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let names = ["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"];
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
        || name.to_ascii_lowercase().ends_with(".localhost")
}

fn never_a_caller(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    address.is_unspecified() || address.is_multicast() || broadcast
}

/// An IPv4 prefix of this length or shorter is doubtful, as /8 is the largest ever assigned.
const WIDE_IPV4: u8 = 8;
/// The same for IPv6: registries hold /12 blocks, and nobody was assigned more than a /16.
const WIDE_IPV6: u8 = 16;

/// How many warnings of one kind a policy gets before they are counted only.
pub(crate) const SHOWN_PER_POLICY: usize = 3;
