//! Where to listen, and the hosts of URLs and Host fields: an address or a name with a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::address::{NameRule, digits_and_dots, ip, ipv4, looks_like_address, name};
use crate::config::document::diagnostic::{Diagnostic, shown};

/// Whether an address is one only together with an interface, which cannot be written here (RFC 4007, section 6).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// A listening address, such as `[::]:9480`.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, Diagnostic> {
    const FORM: &str = "allowed: an address and a port, such as \"[::]:9480\" or \"0.0.0.0:9480\"";
    let refusal = || Diagnostic::new(format!("{} is no address with a port", shown(text)), FORM);
    let needs_zone = |what: &str, port: &str| {
        let help = format!(
            "write \"[::]:{port}\" for all addresses of this host, or an address that needs no zone"
        );
        Err(Diagnostic::new(format!("{} {what}", shown(text)), FORM).help(help))
    };
    let port = text.rsplit_once(':').map(|(_, port)| port).filter(|port| is_port(port));
    if text.contains('%') {
        return needs_zone("has a zone", port.unwrap_or("9480"));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        if is_link_local(address.ip()) {
            return needs_zone("is a link-local address", port.unwrap_or("9480"));
        }
        return Ok(address);
    }
    if let Some((address, port)) = port_without_brackets(text) {
        let other = match text.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
            Ok(whole) => format!(", or \"[{whole}]:9480\" where all of it is the address"),
            Err(_) => String::new(),
        };
        return Err(refusal().help(format!("write \"[{address}]:{port}\"{other}")));
    }
    if let Some(words) = of_a_directive(text) {
        let tls = if text.split_whitespace().any(|word| word == "ssl") {
            "; for TLS add tls = { certificate = \"…\", private_key = \"…\" }"
        } else {
            ""
        };
        return Err(refusal().help(format!("write \"{words}\"{tls}")));
    }
    if let Some(meant) = meant(text) {
        let is_all = meant.starts_with("[::]:") && !text.starts_with('[');
        let more = match text.rsplit_once(':') {
            Some((name, port)) if is_loopback_name(name) => {
                format!(" or \"[::1]:{port}\": a name may have several addresses")
            }
            _ if is_all => " for all addresses of this host".to_owned(),
            _ => String::new(),
        };
        return Err(refusal().help(format!("write \"{meant}\"{more}")));
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && is_port(port)
        && self::name(name, NameRule::Dns).is_ok()
    {
        let help = format!(
            "write the address of {name}, or \"[::]:{port}\" for all addresses of this host"
        );
        return Err(refusal().help(help));
    }
    if let Some((address, port)) = text.rsplit_once(':')
        && !is_port(port)
        && address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
    {
        return Err(refusal().help(format!("{} is no port: allowed are 0 to 65535", shown(port))));
    }
    let address = text.rsplit_once(':').map_or(text, |(address, _)| address);
    match ip(address) {
        Err(diagnostic) if looks_like_address(address) => {
            // What is to be written there has a port here.
            let meant = diagnostic.help.as_deref().and_then(|help| help.split('"').nth(1));
            let meant = meant.and_then(|address| address.parse::<IpAddr>().ok());
            let port = text.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            Err(match (meant, port) {
                (Some(meant), Some(port)) => {
                    diagnostic.help(format!("write \"{}\"", SocketAddr::new(meant, port)))
                }
                _ => diagnostic,
            })
        }
        Ok(IpAddr::V6(_)) => Err(refusal().help("an IPv6 address stands in brackets")),
        _ => Err(refusal()),
    }
}

/// The listening address that another program would understand by `text`, if that is certain: a port alone, with
/// `*` or with colons before it, `localhost`, or an address without a port.
pub(crate) fn meant(text: &str) -> Option<String> {
    let text = text.trim_matches(['"', '\'']).trim();
    if text.parse::<SocketAddr>().is_ok() {
        return Some(text.to_owned());
    }
    let all = |port: &str| is_port(port).then(|| format!("[::]:{port}"));
    let bare = text.trim_start_matches([':', '*']);
    if let Some(meant) =
        all(bare).filter(|_| text.parse::<IpAddr>().is_err() || text.starts_with(":::"))
    {
        return Some(meant);
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && matches!(name.to_ascii_lowercase().as_str(), "[*]" | "any" | "all" | "*.*.*.*")
    {
        return all(port);
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && is_loopback_name(name)
        && is_port(port)
    {
        return Some(format!("127.0.0.1:{port}"));
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(SocketAddr::new(address, 9480).to_string());
    }
    None
}

fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
}

/// What an IPv6 address without brackets, or with one of them, and a port say: `::1:9580`. A last group of one digit
/// or with letters is none.
fn port_without_brackets(text: &str) -> Option<(Ipv6Addr, &str)> {
    let (address, port) = text.rsplit_once(':')?;
    if !is_port(port) || port.len() < 2 || port.starts_with('0') || text.contains("]:") {
        return None;
    }
    let address = address.trim_matches(['[', ']']);
    if !address.contains(':') {
        return None;
    }
    let whole = format!("{address}:");
    let address = address.parse().or_else(|_| whole.parse()).ok()?;
    Some((address, port))
}

/// The address of nginx's `listen` with its other words, `9580 ssl`, or of a URL; or an address and its port apart.
fn of_a_directive(text: &str) -> Option<String> {
    let words: Vec<&str> = text.trim_end_matches(';').split_whitespace().collect();
    let without_scheme = text.split_once("://").map(|(_, rest)| rest.trim_end_matches('/'));
    match (words.as_slice(), without_scheme) {
        (_, Some(rest)) => meant(rest),
        ([address, port], _) if is_port(port) => {
            let address = address.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
            Some(SocketAddr::new(address, port.parse().ok()?).to_string())
        }
        (["listen", first, ..] | [first, ..], _) if *first != text => meant(first),
        _ => None,
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
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
