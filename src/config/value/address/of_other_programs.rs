//! Hosts as nginx, Apache, hosts.allow and firewalls write them, which are none here: each with what to write.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{Ipv4Net, Ipv4Subnets, Ipv6Subnets};

use super::{HOST_FORM, host};
use crate::config::document::diagnostic::{Diagnostic, shown};

/// What is said of `text`, if it is a host to another program only.
pub(super) fn refused(text: &str) -> Option<Diagnostic> {
    word(text)
        .or_else(|| url(text))
        .or_else(|| path(text))
        .or_else(|| hardware(text))
        .or_else(|| directive(text))
        .or_else(|| several(text))
        .or_else(|| range(text))
        .or_else(|| wildcard(text))
}

/// Words for everybody and for nobody.
fn word(text: &str) -> Option<Diagnostic> {
    let lower = text.to_ascii_lowercase();
    let diagnostic =
        |what: &str| Diagnostic::new(format!("{} is no host: {what}", shown(text)), HOST_FORM);
    match lower.as_str() {
        "all" | "any" | "*" | "*.*.*.*" | "everyone" | "everybody" | "anyone" | "anybody"
        | "world" | "any4" | "any6" | "*.*" | "default" => {
            let help = "write the peer's own addresses; for everybody, with that risk, write \
                        hosts = [\"0.0.0.0/0\", \"::/0\"]";
            Some(diagnostic("there is no word for everybody").help(help))
        }
        "none" | "nobody" | "no one" | "noone" | "null" | "nil" | "-" => {
            let help = "to refuse the peer write enabled = false; to know it by its certificate alone, \
                        leave `hosts` out";
            Some(diagnostic("there is no word for nobody").help(help))
        }
        "deny" | "allow" | "self" | "me" | "unknown" | "private" | "public" | "lan" | "wan"
        | "local" | "internet" | "samehost" | "samenet" | "peer" | "xivo" => {
            let help =
                "write the peer's own addresses, or the whole name of its host with its dots";
            Some(diagnostic("it is a word, and nobody knows for which addresses").help(help))
        }
        _ => None,
    }
}

/// A URL, of which the host is meant.
fn url(text: &str) -> Option<Diagnostic> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, behind)| behind);
    let bare = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let diagnostic = Diagnostic::new(format!("{} is a URL", shown(text)), HOST_FORM);
    Some(match host(bare) {
        Ok(_) => diagnostic.help(format!("write {}", shown(bare))),
        Err(_) => diagnostic,
    })
}

/// A file of hosts, or a socket.
fn path(text: &str) -> Option<Diagnostic> {
    let bare = ["file:", "unix:"].iter().find_map(|word| text.strip_prefix(word));
    if bare.is_none() && !text.starts_with(['/', '~']) && !text.starts_with("./") {
        return None;
    }
    let message = format!("{} is no host, and no file is read for it", shown(text));
    Some(Diagnostic::new(message, HOST_FORM).help("write each host"))
}

/// The address of a network interface.
fn hardware(text: &str) -> Option<Diagnostic> {
    let bare = text.strip_prefix("mac:").unwrap_or(text);
    let groups: Vec<&str> = bare.split([':', '-']).collect();
    let is_group = |group: &&str| group.len() == 2 && group.bytes().all(|b| b.is_ascii_hexdigit());
    if groups.len() != 6 || !groups.iter().all(is_group) {
        return None;
    }
    let message = format!("{} is a hardware address", shown(text));
    let help = "write the host's IP address: no hardware address comes through a router";
    Some(Diagnostic::new(message, HOST_FORM).help(help))
}

/// A line of an nginx.conf, or an address with what ends or negates it there.
fn directive(text: &str) -> Option<Diagnostic> {
    let bare = text.trim_end_matches(';').trim();
    let behind = |word: &str| {
        let (first, rest) = bare.split_once([' ', '\t'])?;
        first.eq_ignore_ascii_case(word).then_some(rest.trim())
    };
    let diagnostic = |what: &str| Diagnostic::new(format!("{} {what}", shown(text)), HOST_FORM);
    let negations = ["deny", "not", "no", "except", "without", "reject", "refuse", "drop"];
    if negations.iter().any(|word| behind(word).is_some()) || bare.starts_with('!') {
        let help = "whoever is in no policy is refused; name only those that are let in";
        return Some(diagnostic("refuses, and a policy only lets in").help(help));
    }
    let host_of_it = ["allow", "from", "host", "server"].iter().find_map(|word| behind(word));
    if host_of_it.is_none() && bare == text {
        return None;
    }
    let bare = host_of_it.unwrap_or(bare);
    let diagnostic = diagnostic("is a line of another program's configuration");
    Some(match host(bare) {
        Ok(_) => diagnostic.help(format!("write {}", shown(bare))),
        Err(Diagnostic { help: Some(help), .. }) => diagnostic.help(help),
        Err(_) => diagnostic,
    })
}

/// Several hosts in one string, or an address and its mask.
fn several(text: &str) -> Option<Diagnostic> {
    let joins = ["", "or", "and", "und", "ou", "et", "&", "&&", "|", "||", "+"];
    let parts: Vec<&str> =
        text.split([' ', '\t', ',', ';', '|']).filter(|part| !joins.contains(part)).collect();
    if parts.len() < 2 || parts.contains(&"-") || parts.contains(&"to") {
        return None;
    }
    if let [address, mask] | [address, "mask" | "netmask", mask] = parts.as_slice()
        && let (Ok(address), Ok(mask)) = (address.parse::<Ipv4Addr>(), mask.parse::<Ipv4Addr>())
        && let Ok(bits) = ipnet::ipv4_mask_to_prefix(mask)
        && let Ok(net) = Ipv4Net::new(address, bits)
    {
        let message = format!("{} is an address and a mask", shown(text));
        let help = format!("write \"{}\"", net.trunc());
        return Some(Diagnostic::new(message, HOST_FORM).help(help));
    }
    // Words are no hosts because they could be names of one label.
    let is_whole = |part: &&str| part.contains(['.', ':']) && host(part).is_ok();
    if !parts.iter().all(is_whole) {
        return None;
    }
    let message = format!("{} are {} hosts in one string", shown(text), parts.len());
    Some(Diagnostic::new(message, HOST_FORM).help(format!("write {}", quoted(&parts))))
}

/// A range of addresses: `10.0.0.1-10.0.0.9`, `10.0.0.1-9`, `10.0.[1-3].0`.
fn range(text: &str) -> Option<Diagnostic> {
    let normal =
        text.replace([' ', '\t'], "").replace(['\u{2013}', '\u{2014}'], "-").replace("..", "-");
    let normal = match text.split_once(" to ") {
        Some((first, last)) => format!("{}-{}", first.trim(), last.trim()),
        None => normal,
    };
    let (first, last) = normal.split_once('-')?;
    let diagnostic = Diagnostic::new(
        format!("{} is a range", shown(text)),
        "allowed: an address, or a prefix such as 192.168.1.0/24",
    );
    let Ok(start) = first.parse::<IpAddr>() else {
        // Nobody's name is `10.0.0.256-300`.
        let is_numbers = text.contains('-')
            && normal.contains('.')
            && normal.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
        return is_numbers
            .then(|| diagnostic.help("write each address, or the prefixes that hold them"));
    };
    let end = match start {
        IpAddr::V4(_) => {
            let missing = 4_usize.checked_sub(last.split('.').count())?;
            let kept: Vec<&str> = first.split('.').take(missing).collect();
            let whole = if kept.is_empty() {
                last.to_owned()
            } else {
                format!("{}.{last}", kept.join("."))
            };
            whole.parse().ok().map(IpAddr::V4)
        }
        IpAddr::V6(_) => last.parse().ok().map(IpAddr::V6).or_else(|| {
            let (kept, _) = first.rsplit_once(':')?;
            format!("{kept}:{last}").parse().ok().map(IpAddr::V6)
        }),
    };
    let prefixes: Vec<String> = match (start, end) {
        (IpAddr::V4(start), Some(IpAddr::V4(end))) if start <= end => {
            Ipv4Subnets::new(start, end, 0)
                .map(|net| show(net.into()))
                .take(MOST_PREFIXES + 1)
                .collect()
        }
        (IpAddr::V6(start), Some(IpAddr::V6(end))) if start <= end => {
            Ipv6Subnets::new(start, end, 0)
                .map(|net| show(net.into()))
                .take(MOST_PREFIXES + 1)
                .collect()
        }
        _ => return Some(diagnostic.help("write each address, or the prefixes that hold them")),
    };
    if prefixes.len() > MOST_PREFIXES {
        return Some(diagnostic.help("write each address, or the prefixes that hold them"));
    }
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    Some(diagnostic.help(format!("write {}", quoted(&prefixes))))
}

/// A network with letters, asterisks or nothing for its last numbers: `192.168.1.x`, `192.168.1.*`, `192.168.1.`.
fn wildcard(text: &str) -> Option<Diagnostic> {
    let parts: Vec<&str> = text.split('.').collect();
    let is_any = |part: &&str| {
        matches!(*part, "*" | "x" | "X" | "xx" | "xxx" | "XXX" | "n" | "0-255" | "%" | "?" | "")
    };
    let fixed = parts.iter().take_while(|part| part.parse::<u8>().is_ok()).count();
    let rest = parts.get(fixed..)?;
    if fixed == 0 || fixed > 3 || parts.len() > 4 || rest.is_empty() || !rest.iter().all(is_any) {
        return None;
    }
    let whole = format!("{}{}/{}", parts[..fixed].join("."), ".0".repeat(4 - fixed), 8 * fixed);
    let net = whole.parse::<Ipv4Net>().ok()?;
    let message = format!("{} is a network as other programs write it", shown(text));
    let label = "allowed: an address, or a prefix such as 192.168.1.0/24";
    Some(Diagnostic::new(message, label).help(format!("write \"{net}\"")))
}

fn show(net: ipnet::IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// The hosts as entries of a list.
fn quoted(hosts: &[&str]) -> String {
    let hosts: Vec<String> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
    hosts.join(", ")
}

/// The most prefixes of a range that are written out.
const MOST_PREFIXES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Host;

    /// The entries that a help says to write.
    fn written(help: &str) -> Vec<&str> {
        help.split('"').skip(1).step_by(2).collect()
    }

    #[test]
    fn what_other_programs_call_a_host_is_refused_with_the_line_to_write() {
        let cases = [
            (
                "192.168.1.124-130",
                "write \"192.168.1.124/30\", \"192.168.1.128/31\", \"192.168.1.130\"",
            ),
            ("10.0.0.1-9", "write \"10.0.0.1\", \"10.0.0.2/31\", \"10.0.0.4/30\", \"10.0.0.8/31\""),
            ("10.0.0.0 - 10.0.0.255", "write \"10.0.0.0/24\""),
            ("10.0.0.0 to 10.0.1.255", "write \"10.0.0.0/23\""),
            ("10.0.0.9-1", "write each address"),
            ("2001:db8::1-2", "write \"2001:db8::1\", \"2001:db8::2\""),
            ("192.168.1.x", "write \"192.168.1.0/24\""),
            ("192.168.1.*", "write \"192.168.1.0/24\""),
            ("192.168.*.*", "write \"192.168.0.0/16\""),
            ("192.168.1.", "write \"192.168.1.0/24\""),
            ("10.X", "write \"10.0.0.0/8\""),
            ("192.168.1.0 255.255.255.0", "write \"192.168.1.0/24\""),
            ("192.168.1.7 netmask 255.255.255.0", "write \"192.168.1.0/24\""),
            ("192.168.1.1, 192.168.1.2", "write \"192.168.1.1\", \"192.168.1.2\""),
            ("192.168.1.1;", "write \"192.168.1.1\""),
            ("allow 192.168.1.0/24;", "write \"192.168.1.0/24\""),
            ("allow all;", "0.0.0.0/0"),
            ("deny all;", "whoever is in no policy is refused"),
            ("!192.168.1.1", "whoever is in no policy is refused"),
            ("not 10.0.0.1", "whoever is in no policy is refused"),
            ("except 10.0.0.0/8", "whoever is in no policy is refused"),
            ("10.0.0.1 or 10.0.0.2", "write \"10.0.0.1\", \"10.0.0.2\""),
            ("10.0.0.1|10.0.0.2", "write \"10.0.0.1\", \"10.0.0.2\""),
            ("10.0.0.1 and home.example.org", "write \"10.0.0.1\", \"home.example.org\""),
            ("2001:db8", "write \"2001:db8::/32\""),
            ("2001:db8:7", "write \"2001:db8:7::/48\""),
            ("2001:80", "write \"2001:80::/32\""),
            ("[2001:db8::1]/64", "write \"2001:db8::/64\" for the network, or \"2001:db8::1\""),
            ("[2001:db8::]/64", "write \"2001:db8::/64\""),
            ("private", "write the peer's own addresses"),
            ("deny", "write the peer's own addresses"),
            ("all", "hosts = [\"0.0.0.0/0\", \"::/0\"]"),
            ("Any", "hosts = [\"0.0.0.0/0\", \"::/0\"]"),
            ("*", "hosts = [\"0.0.0.0/0\", \"::/0\"]"),
            ("none", "enabled = false"),
            ("https://user@xivo.example.org:443/x", "write \"xivo.example.org\""),
            ("http://[2001:db8::1]:80/", "write \"2001:db8::1\""),
            ("[fe80::1%eth0]", "write \"fe80::1\""),
            ("fe80::1%eth0", "write \"fe80::1\""),
            ("[2001:db8::1]:443", "write \"2001:db8::1\""),
            ("ddns:home.example.org", "write \"home.example.org\""),
            ("ip:192.168.1.124", "write \"192.168.1.124\""),
            ("home.example.org:443", "write \"home.example.org\""),
            ("home.example.org:http", "write \"home.example.org\""),
            ("file:/etc/hosts", "write each host"),
            ("/etc/allow", "write each host"),
            ("00:11:22:33:44:55", "write the host's IP address"),
            ("mac:00-11-22-33-44-5A", "write the host's IP address"),
            ("192.168.1.?", "write \"192.168.1.0/24\""),
            (".example.org", "there are no wildcards"),
            ("3232235900", "write all four numbers"),
            ("300.1", "write all four numbers"),
            ("home\u{200b}.example.org", "write \"home.example.org\": the character U+200B"),
        ];
        for (text, help) in cases {
            let diagnostic = host(text).unwrap_err();
            let found = diagnostic.help.unwrap_or_default();
            assert!(found.contains(help), "{text}: {}: {found}", diagnostic.message);
            assert!(diagnostic.label.starts_with("allowed: "), "{text}: {}", diagnostic.label);
            // What is to be written is a host.
            for entry in written(&found) {
                assert!(host(entry).is_ok(), "{text}: {entry}");
            }
        }
        for text in [
            "300.1.0.0/16",
            "192.168.1.300",
            "10.0.0.256-300",
            "a b",
            "if 10.0.0.1",
            "10.0.0.1 home",
        ] {
            let diagnostic = host(text).unwrap_err();
            assert!(diagnostic.label.starts_with("allowed: "), "{text}: {}", diagnostic.label);
        }
    }

    #[test]
    fn the_prefixes_of_a_range_hold_it_and_nothing_else() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..300 {
            let (first, last) = (random.u8(..), random.u8(..));
            let diagnostic = host(&format!("192.0.2.{first}-{last}")).unwrap_err();
            let help = diagnostic.help.unwrap();
            let nets: Vec<_> = written(&help)
                .into_iter()
                .map(|entry| match host(entry).unwrap() {
                    Host::Prefix(net) => net,
                    Host::Name(name) => panic!("{name}"),
                })
                .collect();
            for at in 0..=255 {
                let address = IpAddr::from([192, 0, 2, at]);
                let held = nets.iter().filter(|net| net.contains(&address)).count();
                assert_eq!(held, usize::from((first..=last).contains(&at)), "{first}-{last}: {at}");
            }
        }
    }

    #[test]
    fn names_that_only_resemble_them_stay_names() {
        for text in [
            "home-2.example.org",
            "x.example.org",
            "all.example.org",
            "any-xivo",
            "a-b",
            "localhost",
        ] {
            assert!(matches!(host(text), Ok(Host::Name(_))), "{text}");
        }
    }
}
