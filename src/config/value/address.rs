//! Addresses, prefixes and host names as an administrator writes them, read strictly.
//!
//! An IPv4 address has four decimal numbers without leading zeros: `10.1` and `192.168.001.1` mean
//! different hosts to different programs (inet_aton(3) reads the first as 10.0.0.1), so they are
//! refused with what to write instead. IPv4-mapped IPv6 (RFC 4291, section 2.5.5.2) becomes the
//! IPv4 address or prefix that it stands for, as callers' addresses do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::document::syntax::{is_odd_blank, is_typographic_quote};
use crate::policy::Host;

mod of_other_programs;

/// An entry of a policy's `hosts`.
pub(crate) fn host(text: &str) -> Result<Host, Diagnostic> {
    if text.trim() != text || text.is_empty() {
        let diagnostic = Diagnostic::new(format!("{} is no host", shown(text)), HOST_FORM);
        return Err(match text.trim() {
            "" => diagnostic,
            trimmed => diagnostic.help(format!("write {}, without blanks", shown(trimmed))),
        });
    }
    if let Some(diagnostic) = of_other_programs::refused(text) {
        return Err(diagnostic);
    }
    if let Some((address, length)) = text.split_once('/') {
        return prefix(text, address, length).map(Host::Prefix);
    }
    if let Some(diagnostic) = abbreviated_ipv6(text) {
        return Err(diagnostic);
    }
    if looks_like_address(text) {
        return match ip(text) {
            Ok(address) => Ok(Host::Prefix(address.to_canonical().into())),
            Err(diagnostic) => Err(or_network(diagnostic, text)),
        };
    }
    no_port(text)?;
    name(text, NameRule::Dns).map(Host::Name)
}

/// An abbreviated address may be a network's, where one is taken.
fn or_network(diagnostic: Diagnostic, text: &str) -> Diagnostic {
    let numbers = text.split('.').count();
    let whole = format!("{text}{}/{}", ".0".repeat(4_usize.saturating_sub(numbers)), 8 * numbers);
    if numbers < 4 && whole.parse::<Ipv4Net>().is_ok() {
        let help = format!("write all four numbers; for the whole network write \"{whole}\"");
        diagnostic.help(help)
    } else {
        diagnostic
    }
}

/// The first groups of an IPv6 address alone, `2001:db8`, which are a network's to whoever writes them.
fn abbreviated_ipv6(text: &str) -> Option<Diagnostic> {
    let groups: Vec<&str> = text.trim_end_matches(':').split(':').collect();
    let is_group = |group: &&str| {
        (1..=4).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_hexdigit())
    };
    if !(2..8).contains(&groups.len()) || !groups.iter().all(is_group) || text.ends_with("::") {
        return None;
    }
    let is_number = |group: &&str| group.bytes().all(|b| b.is_ascii_digit());
    // A name and a port, unless the first is a number too, which is nobody's name.
    if let [first, last] = groups.as_slice()
        && is_number(last)
        && !is_number(first)
    {
        return None;
    }
    let message = format!("{} is the beginning of an IPv6 address", shown(text));
    let help =
        format!("write \"{}::/{}\" for the whole network", groups.join(":"), 16 * groups.len());
    Some(Diagnostic::new(message, HOST_FORM).help(help))
}

/// The same for a command line, with what is wrong in one sentence.
pub(crate) fn written_host(text: &str) -> Result<Host, String> {
    host(text).map_err(|Diagnostic { message, label, help }| {
        format!("{message}: {}", help.unwrap_or(label))
    })
}

/// Whether `text` cannot be anything but an address, though perhaps a wrong one.
pub(crate) fn looks_like_address(text: &str) -> bool {
    // One colon after a name is a port.
    digits_and_dots(text)
        || text.starts_with('[')
        || text.contains('%')
        || text.matches(':').count() > 1
}

/// Whether `text` is an IPv4 address, though perhaps a wrong one.
pub(crate) fn digits_and_dots(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Refuses a port after an address or name, and a word before one.
fn no_port(text: &str) -> Result<(), Diagnostic> {
    let Some((before, behind)) = text.split_once(':') else { return Ok(()) };
    // A service's name is a port too; a name with dots is no word before one.
    let is_port = !behind.is_empty() && behind.bytes().all(|b| b.is_ascii_digit())
        || (before.contains('.') && !behind.contains(['.', ':']));
    let bare = if is_port { before } else { behind };
    let diagnostic = Diagnostic::new(
        format!(
            "{} has {}",
            shown(text),
            if is_port { "a port" } else { "a word before its host" }
        ),
        "allowed: an address, a prefix or a host name, without a port",
    );
    Err(match (host(bare), is_port) {
        (Ok(_), true) => {
            diagnostic.help(format!("write {}: callers' ports are never compared", shown(bare)))
        }
        (Ok(_), false) => diagnostic.help(format!("write {}", shown(bare))),
        (Err(_), _) => diagnostic,
    })
}

/// An address without prefix length, port or brackets.
pub(crate) fn ip(text: &str) -> Result<IpAddr, Diagnostic> {
    let unbracketed =
        text.strip_prefix('[').map(|inner| inner.split(']').next().unwrap_or_default());
    let bare = unbracketed.unwrap_or(text);
    if let Some((address, _)) = bare.split_once('%') {
        let message = format!("{} has a zone", shown(text));
        return Err(Diagnostic::new(message, ADDRESS_FORM)
            .help(format!("write {}: a zone names an interface of one host", shown(address))));
    }
    if let Some(inner) = unbracketed {
        let diagnostic =
            Diagnostic::new(format!("{} has brackets or a port", shown(text)), ADDRESS_FORM);
        return Err(match inner.parse::<IpAddr>() {
            Ok(_) => diagnostic.help(format!("write {}", shown(inner))),
            Err(_) => diagnostic,
        });
    }
    if text.contains(':') {
        if text.matches(':').count() == 1 {
            no_port(text)?;
        }
        let ipv6 = text.parse::<Ipv6Addr>().map(IpAddr::V6);
        return ipv6.map_err(|_| {
            Diagnostic::new(format!("{} is no IPv6 address", shown(text)), ADDRESS_FORM)
        });
    }
    ipv4(text).map(IpAddr::V4)
}

/// An IPv4 address of four numbers.
pub(crate) fn ipv4(text: &str) -> Result<Ipv4Addr, Diagnostic> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let numbers: Vec<&str> = text.split('.').collect();
    let all_digits = |n: &&str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    if !numbers.iter().all(all_digits) {
        let message = format!("{} is no IPv4 address", shown(text));
        return Err(Diagnostic::new(message, IPV4_FORM));
    }
    if numbers.len() < 4 {
        let message = format!("{} is abbreviated", shown(text));
        return Err(Diagnostic::new(message, IPV4_FORM).help("write all four numbers"));
    }
    let short: Vec<&str> = numbers
        .iter()
        .map(|n| n.trim_start_matches('0'))
        .map(|n| if n.is_empty() { "0" } else { n })
        .collect();
    let short = short.join(".");
    if short != text && short.parse::<Ipv4Addr>().is_ok() {
        let message = format!("{} has leading zeros", shown(text));
        return Err(Diagnostic::new(message, IPV4_FORM)
            .help(format!("write \"{short}\": some programs read a leading zero as octal")));
    }
    Err(Diagnostic::new(format!("{} is no IPv4 address", shown(text)), IPV4_FORM))
}

fn prefix(text: &str, address: &str, length: &str) -> Result<IpNet, Diagnostic> {
    if !looks_like_address(address) && !address.contains(':') {
        let message = format!("{} is neither a prefix nor a host name", shown(text));
        let form = "allowed: an address and a length, such as 192.168.1.0/24";
        return Err(Diagnostic::new(message, form));
    }
    let address = match ip(address) {
        Ok(address) => address,
        Err(diagnostic) => return Err(repair_prefix(diagnostic, address, length)),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let form = format!("allowed: a prefix length from 0 to {most}");
    let plain =
        length.bytes().all(|b| b.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    let parsed = length.parse::<u8>().ok().filter(|length| plain && *length <= most);
    let Some(bits) = parsed else {
        let diagnostic =
            Diagnostic::new(format!("{} has no valid prefix length", shown(text)), form);
        let mask = length.parse().ok().and_then(|mask| ipnet::ipv4_mask_to_prefix(mask).ok());
        return Err(match mask {
            Some(bits) if address.is_ipv4() => {
                diagnostic.help(format!("write \"{address}/{bits}\""))
            }
            _ => diagnostic,
        });
    };
    match address {
        IpAddr::V4(address) => ipv4_prefix(text, address, bits),
        IpAddr::V6(address) => ipv6_prefix(text, address, bits),
    }
}

/// An abbreviated network with its length, `10.1/16`, is completed in the help.
fn repair_prefix(diagnostic: Diagnostic, address: &str, length: &str) -> Diagnostic {
    if let Some(inner) = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let net = format!("{inner}/{length}").parse::<Ipv6Net>();
        return match net {
            Ok(net) if net.trunc() != net => diagnostic
                .help(format!("write \"{}\" for the network, or \"{inner}\"", net.trunc())),
            Ok(net) => diagnostic.help(format!("write \"{net}\"")),
            Err(_) => diagnostic,
        };
    }
    let numbers = address.split('.').count();
    let complete = format!("{address}{}/{length}", ".0".repeat(4_usize.saturating_sub(numbers)));
    match complete.parse::<Ipv4Net>() {
        Ok(net) if numbers < 4 => diagnostic.help(format!("write \"{}\"", net.trunc())),
        _ => diagnostic,
    }
}

fn ipv4_prefix(text: &str, address: Ipv4Addr, bits: u8) -> Result<IpNet, Diagnostic> {
    match Ipv4Net::new(address, bits) {
        Ok(net) if net.network() == address => Ok(net.into()),
        Ok(net) => Err(host_bits(text, &net.trunc().to_string(), &address.to_string())),
        Err(_) => Err(Diagnostic::new(format!("{} is no prefix", shown(text)), HOST_FORM)),
    }
}

fn ipv6_prefix(text: &str, address: Ipv6Addr, bits: u8) -> Result<IpNet, Diagnostic> {
    if let Some(ipv4) = address.to_ipv4_mapped() {
        if bits < MAPPED_PREFIX_LENGTH {
            return Err(shorter_than_mapped(text));
        }
        return ipv4_prefix(text, ipv4, bits - MAPPED_PREFIX_LENGTH);
    }
    let Ok(net) = Ipv6Net::new(address, bits) else {
        return Err(Diagnostic::new(format!("{} is no prefix", shown(text)), HOST_FORM));
    };
    if net.network() != address {
        return Err(host_bits(text, &net.trunc().to_string(), &address.to_string()));
    }
    // `::ffc0:0:0/90` is the block's ancestor as well. From /80 up the ancestors are `::/n`, which
    // somebody may mean for other addresses.
    if bits > 80 && contains_mapped(&net) {
        return Err(shorter_than_mapped(text));
    }
    Ok(net.into())
}

/// Whether `net` holds the whole IPv4-mapped block.
pub(crate) fn contains_mapped(net: &Ipv6Net) -> bool {
    net.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())
}

fn shorter_than_mapped(text: &str) -> Diagnostic {
    Diagnostic::new(
        format!("{} reaches beyond the IPv4-mapped block ::ffff:0:0/96", shown(text)),
        "allowed in this block: /96 and longer, which stand for IPv4 prefixes",
    )
    .help("write the IPv4 prefix: callers over IPv4 are known by their IPv4 address")
}

fn host_bits(text: &str, corrected: &str, address: &str) -> Diagnostic {
    Diagnostic::new(
        format!("{} has host bits set", shown(text)),
        "allowed: a prefix whose remaining bits are zero",
    )
    .help(format!("write \"{corrected}\" for the network, or \"{address}\" for the one host"))
}

/// Which names a place takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// Letters, digits and hyphens (RFC 1123, section 2.1).
    Dns,
    /// Underscores too: the grammar of the gateway's Host field.
    HostField,
}

/// A name, returned in lower case without its final dot. A last label of digits, or of `0x` and hex
/// digits, is refused, since C libraries take such a name for an address.
pub(crate) fn name(text: &str, rule: NameRule) -> Result<String, Diagnostic> {
    let form = match rule {
        NameRule::Dns => "allowed: labels of letters, digits and hyphens, separated by dots",
        NameRule::HostField => "allowed: labels of letters, digits, - and _, separated by dots",
    };
    let refusal = || Diagnostic::new(format!("{} is no host name", shown(text)), form);
    let plain: String =
        text.chars().filter(|&c| !is_odd_blank(c) && !is_typographic_quote(c)).collect();
    if plain != text {
        let odd = text.chars().find(|&c| is_odd_blank(c) || is_typographic_quote(c));
        let odd = odd.map(|c| format!("U+{:04X}", u32::from(c))).unwrap_or_default();
        return Err(
            refusal().help(format!("write {}: the character {odd} stands in it", shown(&plain)))
        );
    }
    if !text.is_ascii() {
        return Err(refusal().help("write the name's ASCII form, which begins with xn--"));
    }
    if text.contains('*') || (rule == NameRule::Dns && text.starts_with('.')) {
        return Err(refusal().help("there are no wildcards; name each host, or write a prefix"));
    }
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_suffix('.').unwrap_or(&lower);
    let underscore = rule == NameRule::HostField;
    let label_fits = |label: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || (underscore && b == b'_');
        let hyphens_inside = underscore || !(label.starts_with('-') || label.ends_with('-'));
        (1..=63).contains(&label.len()) && label.bytes().all(fits) && hyphens_inside
    };
    if bare.len() > 253 || !bare.split('.').all(label_fits) {
        return Err(refusal());
    }
    let last = bare.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x");
    if last.bytes().all(|b| b.is_ascii_digit())
        || hexadecimal.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        let message = format!("{} is neither an address nor a host name", shown(text));
        return Err(Diagnostic::new(message, form).help("a name's last label is not a number"));
    }
    Ok(bare.to_owned())
}

const ADDRESS_FORM: &str = "allowed: an IPv4 or IPv6 address";
const HOST_FORM: &str = "allowed: an address, a prefix or a host name";
const IPV4_FORM: &str = "allowed: four numbers from 0 to 255, such as 192.168.1.124";

/// The IPv4-mapped block, `::ffff:0:0/96`.
const MAPPED_PREFIX_LENGTH: u8 = 96;

#[cfg(test)]
mod tests;
