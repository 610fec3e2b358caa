//! `[[listen]]`: the addresses that the gateway listens on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::document::{Field, Section};
use crate::config::section::listen_tls;
use crate::config::value::{address_list, authority};
use crate::identity::address_list::Senders;
use crate::identity::forwarded::ForwardedHeader;
use crate::location::Location;
use crate::tls::TlsSettings;

/// A `[[listen]]` section.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listener {
    /// The address; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// The hosts that requests may name, in lower case and without a final dot; an IPv6 address has
    /// its brackets and its shortest form. Empty: any.
    pub server_names: Vec<String>,
    /// Who must say at the beginning of a connection for whom it is; nobody else may.
    pub proxy_protocol_from: Senders,
    /// Whose header says for whom a request is.
    pub trusted_proxies: Senders,
    /// The header field that trusted proxies name their client in.
    pub forwarded_header: ForwardedHeader,
    /// Its certificates, where it speaks TLS.
    pub tls: Option<TlsSettings>,
    /// Whether it offers HTTP/2, which needs TLS.
    pub http2: bool,
    /// Where its section begins.
    pub location: Location,
}

/// Reads all `[[listen]]` sections.
pub(crate) fn read(root: &mut Section<'_>, base: &Path) -> Vec<Listener> {
    let sections = root.sections("listen");
    if sections.is_empty() {
        root.missing("listen", "add a section [[listen]] with address = \"[::]:9480\"");
    }
    let mut seen = Vec::new();
    sections.into_iter().filter_map(|section| listener(section, base, &mut seen)).collect()
}

fn listener(
    mut section: Section<'_>,
    base: &Path,
    seen: &mut Vec<(SocketAddr, Location)>,
) -> Option<Listener> {
    let address = section.take("address");
    if address.is_none() {
        section.missing("address", "add address = \"[::]:9480\"");
    }
    let names = section.take("server_names").and_then(|field| field.list()).unwrap_or_default();
    let server_names = names.iter().filter_map(server_name).collect();
    let (tls, http2) = listen_tls::read(&mut section, base);
    let (proxy_protocol_from, trusted_proxies, forwarded_header) = address_list::read(&mut section);
    let location = section.location();
    section.finish();
    let field = address?;
    let address = socket(&field)?;
    let ip = address.ip().to_canonical();
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        let message = format!("{ip} is no address of a host");
        field.error(Diagnostic::new(message, "allowed: an address of this host, or [::] for all"));
    }
    if let Some((other, first)) = seen.iter().find(|(other, _)| overlap(*other, address)) {
        let message = format!("{address} is taken already: {first} listens on {other}");
        let help = if other.ip().is_unspecified() || ip.is_unspecified() {
            "[::] is every address of this host, IPv4 too: one section is enough"
        } else {
            "remove one of the two"
        };
        field.error(Diagnostic::new(message, "allowed: each address once").help(help.to_owned()));
    }
    seen.push((address, field.location()));
    Some(Listener {
        address,
        server_names,
        proxy_protocol_from,
        trusted_proxies,
        forwarded_header,
        tls,
        http2,
        location,
    })
}

fn socket(field: &Field<'_>) -> Option<SocketAddr> {
    if field.is_number() {
        let diagnostic = field.unlike("an address and a port in quotes, such as \"[::]:9480\"");
        field.error(match authority::meant(&field.written()) {
            Some(meant) => diagnostic.help(field.line(&format!("\"{meant}\""))),
            None => diagnostic,
        });
        return None;
    }
    field.accept(authority::socket(&field.text()?))
}

/// Whether the kernel would refuse one beside the other. Each port 0 becomes a port of its own.
pub(crate) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V4(wide) => wide.is_unspecified() && narrow.is_ipv4(),
        IpAddr::V6(wide) => wide.is_unspecified(),
    };
    let (a_ip, b_ip) = (a.ip().to_canonical(), b.ip().to_canonical());
    let same = a_ip == b_ip || covers(a_ip, b_ip) || covers(b_ip, a_ip);
    a.port() != 0 && a.port() == b.port() && same
}

/// A host of `server_names`, as it is compared.
pub(crate) fn server_name(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let (host, port) = field.accept(authority::authority(&text))?;
    if port.is_some() || text.ends_with(':') {
        let message = format!("{} has a port", shown(&text));
        let diagnostic = Diagnostic::new(message, "allowed: a host without a port");
        field.error(diagnostic.help(format!("write \"{host}\": it holds for every port")));
    }
    Some(host.to_string())
}
