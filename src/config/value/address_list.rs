//! Lists of senders: load balancers and proxies that may say for whom they speak.

use ipnet::IpNet;

use super::address;
use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::document::{Field, Section};
use crate::identity::address_list::Senders;
use crate::identity::forwarded::ForwardedHeader;
use crate::location::Located;
use crate::policy::Host;

/// `proxy_protocol_from`, `trusted_proxies` and `forwarded_header` of a `[[listen]]`.
pub(crate) fn read(section: &mut Section<'_>) -> (Senders, Senders, ForwardedHeader) {
    let mut list = |key| section.take(key).map(|field| senders(&field)).unwrap_or_default();
    let (senders, proxies) = (list("proxy_protocol_from"), list("trusted_proxies"));
    let mut header = ForwardedHeader::default();
    if let Some(field) = section.take("forwarded_header") {
        let (plain, formal) = (ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded);
        if field.word(&[plain.name(), formal.name()]) == Some(formal.name()) {
            header = formal;
        }
        // The default may be written down.
        if proxies.is_empty() && header != ForwardedHeader::default() {
            let message = "no proxy is trusted, so the header is never read";
            let help = "name the proxies in trusted_proxies, or remove this line";
            field.warn(Diagnostic::new(message, "of no effect").help(help));
        }
    }
    (senders, proxies, header)
}

fn senders(field: &Field<'_>) -> Senders {
    let mut senders: Vec<Located<IpNet>> = Vec::new();
    for entry in field.list().unwrap_or_default() {
        let Some(value) = entry.text().and_then(|text| entry.accept(sender(&text))) else {
            continue;
        };
        if let Some(first) = senders.iter().find(|first| first.value == value) {
            let message = format!("{} is in this list already, at {}", show(value), first.location);
            entry.error(
                Diagnostic::new(message, "allowed: each once").help("remove one of the two"),
            );
            continue;
        }
        senders.push(Located { value, location: entry.location(), written: true });
    }
    Senders::new(senders)
}

fn sender(text: &str) -> Result<IpNet, Diagnostic> {
    const FORM: &str = "allowed: an address or a prefix";
    let net = match address::host(text)? {
        Host::Prefix(net) => net,
        Host::Name(_) => {
            let diagnostic = Diagnostic::new(format!("{} is a name", shown(text)), FORM);
            let help = "write its address: whom to trust is not left to a name server";
            return Err(diagnostic.help(help));
        }
    };
    let shortest = match net {
        IpNet::V4(_) => SHORTEST_V4,
        IpNet::V6(_) => SHORTEST_V6,
    };
    if net.prefix_len() < shortest {
        let message =
            format!("{} is too wide: everybody in it could claim to be any peer", shown(text));
        let label = format!("allowed: an address, or a prefix from /{shortest}");
        return Err(Diagnostic::new(message, label).help("write the addresses of your own proxies"));
    }
    Ok(net)
}

/// A prefix, or an address without its full length.
pub(crate) fn show(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// The widest networks that somebody runs himself: 10.0.0.0/8, and short of what a registry gives out.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;

#[cfg(test)]
mod tests;
