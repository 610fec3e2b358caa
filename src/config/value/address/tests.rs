use super::*;
use crate::config::value::authority::{authority, socket};

fn prefix(text: &str) -> String {
    match host(text) {
        Ok(Host::Prefix(net)) => net.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn addresses_and_prefixes_are_read() {
    let cases = [
        ("192.168.1.124", "192.168.1.124/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8:7::/64", "2001:db8:7::/64"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("::/0", "::/0"),
        ("::/80", "::/80"),
        ("2002:c000:207::1", "2002:c000:207::1/128"),
        ("::192.0.2.7", "::192.0.2.7/128"),
    ];
    for (text, net) in cases {
        let expected: IpNet = net.parse().unwrap();
        assert_eq!(prefix(text), expected.to_string(), "{text}");
    }
}

#[test]
fn mapped_prefixes_become_the_ipv4_prefix_that_they_stand_for() {
    let cases = [
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:c000:200/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ];
    for (text, net) in cases {
        assert_eq!(prefix(text), net, "{text}");
    }
}

#[test]
fn names_are_lower_case_without_a_final_dot() {
    for text in ["xivo.montreal.example.org", "XIVO.Montreal.Example.ORG.", "localhost", "a-1.b2"] {
        let expected = text.to_ascii_lowercase().trim_end_matches('.').to_owned();
        assert_eq!(host(text).unwrap(), Host::Name(expected), "{text}");
    }
}

#[test]
fn refused_hosts_say_why_and_what_to_write() {
    for (text, message, help) in REFUSED {
        let diagnostic = host(text).expect_err(text);
        assert!(diagnostic.message.contains(message), "{text}: {}", diagnostic.message);
        let given = diagnostic.help.unwrap_or_default();
        assert!(given.contains(help), "{text}: {given}");
        assert!(diagnostic.label.starts_with("allowed"), "{text}: {}", diagnostic.label);
    }
}

#[test]
fn listening_addresses_have_an_address_and_a_port() {
    for text in ["[::]:9480", "0.0.0.0:9480", "127.0.0.1:0", "[2001:db8::1]:80"] {
        assert_eq!(socket(text).unwrap().to_string(), text);
    }
    let refused = [
        ("9480", "[::]:9480"),
        (":9480", "[::]:9480"),
        ("*:9480", "[::]:9480"),
        ("0.0.0.0", "0.0.0.0:9480"),
        ("::", "[::]:9480"),
        ("[::]", "[::]:9480"),
        ("127.1:80", "write all four numbers"),
        ("localhost:9480", ""),
        ("[fe80::1%1]:80", ""),
        ("10.0.0.1:99999", ""),
        ("010.0.0.1:80", "write \"10.0.0.1:80\""),
        ("", ""),
    ];
    for (text, help) in refused {
        let diagnostic = socket(text).expect_err(text);
        let given = diagnostic.help.unwrap_or_default();
        assert!(given.contains(help), "{text}: {given}");
    }
}

#[test]
fn the_host_of_a_host_field_is_an_address_or_a_name_with_perhaps_a_port() {
    let cases = [
        ("localhost", "localhost", None),
        ("XiVO_2.Example.org.", "xivo_2.example.org", None),
        ("127.0.0.1:80", "127.0.0.1", Some(80)),
        ("127.0.0.1:", "127.0.0.1", None),
        ("[2001:DB8::1]:8080", "[2001:db8::1]", Some(8080)),
        ("[::ffff:127.0.0.1]", "127.0.0.1", None),
        ("a:0", "a", Some(0)),
    ];
    for (text, host, port) in cases {
        let (found, found_port) = authority(text).unwrap();
        assert_eq!((found.to_string().as_str(), found_port), (host, port), "{text}");
    }
    for text in [
        "",
        ":80",
        "a:b",
        "a:65536",
        "a:+1",
        "a:1:2",
        "::1",
        "[::1",
        "[::1]x",
        "[::1%1]",
        "[1.2.3.4]",
        "a..b",
        ".a",
        "a%2e",
        "a@b",
        "10.1",
        "a b",
        "é",
        "127.0.0.01",
    ] {
        assert!(authority(text).is_err(), "{text}");
    }
}

/// What is refused, with a part of the message and of the help ("" where there is none).
const REFUSED: [(&str, &str, &str); 51] = [
    ("", "no host", ""),
    ("  ", "no host", ""),
    (" 10.0.0.1", "no host", "write \"10.0.0.1\", without blanks"),
    ("10.1", "abbreviated", "\"10.1.0.0/16\""),
    ("10", "abbreviated", "\"10.0.0.0/8\""),
    ("192.168.1", "abbreviated", "\"192.168.1.0/24\""),
    ("10.1/16", "abbreviated", "write \"10.1.0.0/16\""),
    ("10.1.2/16", "abbreviated", "write \"10.1.0.0/16\""),
    ("192.168.1.300", "no IPv4 address", ""),
    ("1.2.3.4.5", "no IPv4 address", ""),
    ("1..2.3", "no IPv4 address", ""),
    ("...", "no IPv4 address", ""),
    ("192.168.001.124", "leading zeros", "write \"192.168.1.124\""),
    ("010.0.0.1", "leading zeros", "write \"10.0.0.1\""),
    ("00.0.0.0", "leading zeros", "write \"0.0.0.0\""),
    ("192.168.1.124/24", "host bits set", "\"192.168.1.0/24\""),
    ("2001:db8::1/64", "host bits set", "\"2001:db8::/64\""),
    ("::ffff:192.0.2.1/120", "host bits set", "\"192.0.2.0/24\""),
    ("10.0.0.0/33", "no valid prefix length", ""),
    ("10.0.0.0/", "no valid prefix length", ""),
    ("10.0.0.0/+8", "no valid prefix length", ""),
    ("10.0.0.0/08", "no valid prefix length", ""),
    ("10.0.0.0/-1", "no valid prefix length", ""),
    ("10.0.0.0/8/8", "no valid prefix length", ""),
    ("2001:db8::/129", "no valid prefix length", ""),
    ("10.0.0.0/255.0.0.0", "no valid prefix length", "write \"10.0.0.0/8\""),
    ("10.0.0.0/255.0.255.0", "no valid prefix length", ""),
    ("::ffff:0:0/90", "beyond the IPv4-mapped block", "write the IPv4 prefix"),
    ("::ffff:0:0/95", "beyond the IPv4-mapped block", "write the IPv4 prefix"),
    ("::ffff:0:0/0", "beyond the IPv4-mapped block", "write the IPv4 prefix"),
    ("::ffff:10.0.0.0/8", "beyond the IPv4-mapped block", "write the IPv4 prefix"),
    ("::ffc0:0:0/90", "beyond the IPv4-mapped block", "write the IPv4 prefix"),
    ("fe80::1%eth0", "has a zone", "write \"fe80::1\""),
    ("fe80::%1/64", "has a zone", ""),
    ("10.0.0.1:80", "has a port", "write \"10.0.0.1\""),
    ("xivo.example.org:80", "has a port", "write \"xivo.example.org\""),
    ("[2001:db8::1]:80", "brackets or a port", "write \"2001:db8::1\""),
    ("[2001:db8::1]", "brackets or a port", "write \"2001:db8::1\""),
    ("2001:db8:::1", "no IPv6 address", ""),
    ("2001:db8::g", "no IPv6 address", ""),
    ("http://10.0.0.1/x", "is a URL", "write \"10.0.0.1\""),
    ("xivo.example.org/24", "neither a prefix nor a host name", ""),
    ("*.example.org", "no host name", "no wildcards"),
    ("xivo_1.example.org", "no host name", ""),
    ("-a.example.org", "no host name", ""),
    ("a..b", "no host name", ""),
    ("a b", "no host name", ""),
    ("montréal.example.org", "no host name", "xn--"),
    ("l92.168.1.124", "neither an address nor a host name", ""),
    ("0x7f000001", "neither an address nor a host name", ""),
    ("xivo.example.org..", "no host name", ""),
];
