use crate::config::{Config, Problem, Problems};
use crate::identity::forwarded::ForwardedHeader;
use crate::net::client_address::ClientAddress;

fn read(keys: &str, hosts: &str) -> Result<(Config, Vec<Problem>), Problems> {
    let main = format!(
        "[upstream]\nurl = \"http://127.0.0.1\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n{keys}\n"
    );
    let policy = format!("hosts = [{hosts}]\n");
    Config::from_texts(("gateway.toml", &main), &[("policies/lyon.toml", &policy)])
}

/// The one problem of these keys, with its label and help.
fn problem(keys: &str, hosts: &str) -> String {
    let found = match read(keys, hosts) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems.iter().cloned().collect(),
    };
    let [problem] = found.as_slice() else { panic!("{keys}: {found:?}") };
    format!("{problem} / {} / {}", problem.label(), problem.help().unwrap_or_default())
}

#[test]
fn senders_are_read_with_their_places() {
    let keys = "proxy_protocol_from = [\"10.0.0.2\", \"2001:db8::/32\"]\n\
                trusted_proxies = [\n  \"::ffff:192.0.2.0/120\",\n  \"10.0.0.0/8\",\n]\n\
                forwarded_header = \"Forwarded\"";
    let (config, warnings) = read(keys, "\"203.0.113.1\"").unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let listener = &config.listeners[0];
    let address = |text: &str| ClientAddress::new(text.parse().unwrap());
    let senders = &listener.proxy_protocol_from;
    assert!(senders.contain(address("10.0.0.2")) && senders.contain(address("2001:db8:9::1")));
    assert!(!senders.contain(address("10.0.0.3")));
    let sender = listener.trusted_proxies.find(address("192.0.2.255")).unwrap();
    assert_eq!(sender.value.to_string(), "192.0.2.0/24");
    assert_eq!(sender.location.to_string(), "gateway.toml:7");
    assert_eq!(listener.forwarded_header, ForwardedHeader::Forwarded);
}

#[test]
fn nobody_is_trusted_unless_it_is_written() {
    let (config, _) = read("", "\"203.0.113.1\"").unwrap();
    let listener = &config.listeners[0];
    assert!(listener.proxy_protocol_from.is_empty() && listener.trusted_proxies.is_empty());
    assert_eq!(listener.forwarded_header, ForwardedHeader::XForwardedFor);
}

#[test]
fn a_sender_is_an_address_or_a_prefix_of_ones_own() {
    for (value, part) in [
        ("\"lb.example.org\"", "error: `listen.KEY`: \"lb.example.org\" is a name"),
        ("\"0.0.0.0/0\"", "\"0.0.0.0/0\" is too wide: everybody in it could claim to be any peer"),
        ("\"::/0\"", "allowed: an address, or a prefix from /16"),
        ("\"0.0.0.0/7\"", "allowed: an address, or a prefix from /8"),
        ("\"2000::/15\"", "too wide"),
        ("\"10.0.0.1/8\"", "has host bits set"),
        ("\"10.1\"", "is abbreviated"),
        ("\"10.0.0.1:80\"", "has a port"),
        ("\"fe80::1%eth0\"", "has a zone"),
        ("\"\"", "is no host"),
        ("7", "found the number 7"),
        ("\"10.0.0.1\", \"10.0.0.1\"", "10.0.0.1 is in this list already, at gateway.toml:5"),
    ] {
        for key in ["proxy_protocol_from", "trusted_proxies"] {
            let found = problem(&format!("{key} = [{value}]"), "\"203.0.113.1\"");
            let part = part.replace("KEY", key);
            assert!(found.contains(&part) && found.contains(": error: "), "{key}: {found}");
            assert!(found.starts_with("gateway.toml:5:"), "{found}");
        }
    }
    let found = problem("trusted_proxies = \"10.0.0.1\"", "\"203.0.113.1\"");
    assert!(found.contains("write [\"10.0.0.1\"]"), "{found}");
    for prefix in ["10.0.0.0/8", "2000::/16"] {
        assert!(read(&format!("trusted_proxies = [\"{prefix}\"]"), "\"203.0.113.1\"").is_ok());
    }
}

#[test]
fn the_header_has_one_of_two_names() {
    let trusted = "trusted_proxies = [\"10.0.0.1\"]\n";
    let found = problem(&format!("{trusted}forwarded_header = \"X-Real-IP\""), "\"203.0.113.1\"");
    assert!(found.contains("allowed: \"X-Forwarded-For\" or \"Forwarded\""), "{found}");
    let found = problem("forwarded_header = \"Forwarded\"", "\"203.0.113.1\"");
    assert!(found.contains("warning: `listen.forwarded_header`: no proxy is trusted"), "{found}");
}

#[test]
fn a_peer_that_is_a_proxy_too_is_doubtful() {
    for (key, host) in [
        ("trusted_proxies", "10.0.0.7"),
        ("proxy_protocol_from", "10.0.0.7"),
        ("trusted_proxies", "10.0.0.0/24"),
        ("trusted_proxies", "10.0.0.128/25"),
    ] {
        let found = problem(&format!("{key} = [\"10.0.0.0/24\"]"), &format!("\"{host}\""));
        let begin = format!("policies/lyon.toml:1:10: warning: `hosts`: {host} is also a proxy");
        assert!(found.starts_with(&begin), "{found}");
        assert!(found.contains("(10.0.0.0/24 at gateway.toml:5)"), "{found}");
    }
    // A network in which a proxy happens to be is another thing.
    let (_, warnings) = read("trusted_proxies = [\"10.0.0.7\"]", "\"10.0.0.0/24\"").unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
}
