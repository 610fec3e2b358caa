//! Where to listen, and the hosts of URLs and Host fields: an address or a name with a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::address::{NameRule, digits_and_dots, ip, ipv4, looks_like_address, name};
use crate::config::document::diagnostic::{Diagnostic, shown};

/// A listening address, such as `[::]:9480`.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, Diagnostic> {
    const FORM: &str = "allowed: an address and a port, such as \"[::]:9480\" or \"0.0.0.0:9480\"";
    let refusal = || Diagnostic::new(format!("{} is no address with a port", shown(text)), FORM);
    if let Ok(address) = text.parse::<SocketAddr>() {
        if text.contains('%') {
            return Err(Diagnostic::new(format!("{} has a zone", shown(text)), FORM));
        }
        return Ok(address);
    }
    let port = |text: &str| text.parse::<u16>().is_ok() && !text.starts_with('+');
    if let Some(bare) = text.strip_prefix(':').or(Some(text)).filter(|bare| port(bare)) {
        return Err(refusal().help(format!("write \"[::]:{bare}\" for all addresses of this host")));
    }
    if let Some(bare) = text.strip_prefix("*:").filter(|bare| port(bare)) {
        return Err(refusal().help(format!("write \"[::]:{bare}\" for all addresses of this host")));
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Err(refusal().help(format!("write \"{}\"", SocketAddr::new(address, 9480))));
    }
    let address = text.rsplit_once(':').map_or(text, |(address, _)| address);
    match ip(address) {
        Err(diagnostic) if looks_like_address(address) => Err(diagnostic),
        Ok(IpAddr::V6(_)) => Err(refusal().help("an IPv6 address stands in brackets")),
        _ => Err(refusal()),
    }
}

/// The host of a URL or of a Host field, or the socket that stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// An address, never an IPv4-mapped one.
    Ip(IpAddr),
    /// A name in lower case, without a final dot.
    Name(String),
    /// The absolute path of a unix socket; only `upstream.url` may name one.
    Socket(PathBuf),
}

impl fmt::Display for UpstreamHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A host and perhaps a port, as in a Host field: an IPv4 address, an IPv6 address in brackets or a
/// name; the port may be empty, which is as if it was left out.
pub(crate) fn authority(text: &str) -> Result<(UpstreamHost, Option<u16>), Diagnostic> {
    const FORM: &str = "allowed: a name, an IPv4 address, or an IPv6 address in brackets";
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let unclosed =
                || Diagnostic::new(format!("{} has no closing bracket", shown(text)), FORM);
            let (inner, after) = rest.split_once(']').ok_or_else(unclosed)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| {
                Diagnostic::new(format!("{} holds no IPv6 address", shown(text)), FORM)
            })?;
            let port = if after.is_empty() { Some("") } else { after.strip_prefix(':') };
            (UpstreamHost::Ip(IpAddr::from(address).to_canonical()), port)
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            if let Ok(address) = text.parse::<Ipv6Addr>() {
                let message = format!("{} is an IPv6 address without brackets", shown(text));
                return Err(Diagnostic::new(message, FORM).help(format!("write \"[{address}]\"")));
            }
            let numeric = !host.is_empty() && digits_and_dots(host);
            let host = if numeric {
                UpstreamHost::Ip(ipv4(host)?.into())
            } else {
                UpstreamHost::Name(name(host, NameRule::HostField)?)
            };
            (host, Some(port))
        }
    };
    let number = match port {
        Some("") => return Ok((host, None)),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse::<u16>().ok(),
        _ => None,
    };
    match number {
        Some(number) => Ok((host, Some(number))),
        None => Err(Diagnostic::new(
            format!("{} has no valid port", shown(text)),
            "allowed: a port from 0 to 65535",
        )),
    }
}
