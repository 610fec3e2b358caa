//! The `Host` of a request: an address or a name, and perhaps a port.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A `Host` value (or the authority of an absolute-form target), known to be well-formed.
///
/// Accepted are an IPv4 address, an IPv6 address in brackets, or a name of non-empty labels of
/// letters, digits, `-` and `_` with at most one final dot; then nothing, or a colon and a port that
/// is empty or 0 to 65535. RFC 3986 allows more (percent-encoding, other registered names); no
/// telephone system is called that, and much that confuses proxies is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    name: &'a [u8],
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `text`; `None` where it does not have the form above.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let name_len = match text.first()? {
            b'[' => memchr::memchr(b']', text)? + 1,
            _ => memchr::memchr(b':', text).unwrap_or(text.len()),
        };
        let (name, rest) = text.split_at_checked(name_len)?;
        let port = match rest.split_first() {
            None => None,
            Some((b':', digits)) => read_port(digits)?,
            Some(_) => return None,
        };
        let well_formed = match name {
            [b'[', address @ .., b']'] => is_address::<Ipv6Addr>(address),
            name => is_name(name) || is_address::<Ipv4Addr>(name),
        };
        well_formed.then_some(Self { name, port })
    }

    /// The name without a final dot, or the address; in brackets where it is IPv6.
    pub fn name(self) -> &'a [u8] {
        self.name.strip_suffix(b".").unwrap_or(self.name)
    }

    /// Whether this is the host called `name`, which has no final dot and, if it is an IPv6 address,
    /// stands in brackets in its shortest form.
    pub fn is_named(self, name: &str) -> bool {
        match self.name {
            [b'[', address @ .., b']'] => std::str::from_utf8(address)
                .ok()
                .and_then(|text| text.parse::<Ipv6Addr>().ok())
                .is_some_and(|address| format!("[{address}]") == name),
            _ => self.name().eq_ignore_ascii_case(name.as_bytes()),
        }
    }

    /// Whether both name the same host and port, where `default_port` stands for a missing one.
    pub fn agrees_with(self, other: Host<'_>, default_port: u16) -> bool {
        self.name().eq_ignore_ascii_case(other.name())
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// The digits after a host's colon. An empty port is as good as none (RFC 3986, section 3.2.3).
fn read_port(digits: &[u8]) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    text.parse().ok().map(Some)
}

fn is_name(name: &[u8]) -> bool {
    let labels = name.strip_suffix(b".").unwrap_or(name);
    labels.split(|&b| b == b'.').all(|label| {
        !label.is_empty()
            && label.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

fn is_address<A: std::str::FromStr>(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<A>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_hosts() {
        for text in [
            "192.168.1.125",
            "192.168.1.125:80",
            "192.168.1.125:",
            "[2001:db8::1]",
            "[::ffff:192.0.2.1]:9480",
            "xivo",
            "xivo.",
            "xivo-2.example.org:65535",
            "my_xivo",
            "0xc0a8017d",
            "a:0",
        ] {
            assert!(Host::read(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_a_host() {
        for text in [
            "",
            " ",
            ":80",
            "a b",
            "a:65536",
            "a:-1",
            "a:+80",
            "a:80:80",
            "a :80",
            "a/",
            "a\\b",
            "::1",
            "[::1]x",
            "[::1",
            "[zz]",
            "[]",
            "[127.0.0.1]",
            "a%00",
            "a%2eb",
            "ho|st",
            "ho\"st",
            "{a}",
            "é",
            "..",
            ".",
            ".a",
            "a..b",
            "a..",
            "u@a",
            "u:p@a",
            "a,b",
            "a:99999",
            "a:000080",
            "[fe80::1%eth0]",
        ] {
            assert!(Host::read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_host_has_its_name_in_any_spelling() {
        let host = |text: &'static str| Host::read(text.as_bytes()).unwrap();
        assert!(host("[2001:DB8:0::1]:80").is_named("[2001:db8::1]"));
        assert!(host("XiVO.example.").is_named("xivo.example"));
        assert!(!host("xivo.example.org").is_named("xivo.example"));
        assert!(!host("[::1]").is_named("::1"));
    }

    #[test]
    fn hosts_agree_without_regard_to_case_final_dot_and_default_port() {
        let host = |text: &'static str| Host::read(text.as_bytes()).unwrap();
        assert!(host("XiVO.example").agrees_with(host("xivo.EXAMPLE.:80"), 80));
        assert!(!host("xivo:8080").agrees_with(host("xivo"), 80));
        assert!(!host("xivo").agrees_with(host("evil"), 80));
    }
}
