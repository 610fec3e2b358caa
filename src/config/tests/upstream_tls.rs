//! What `[upstream]` says of TLS, sockets and the PROXY protocol.

use std::path::PathBuf;

use super::*;

fn main(url: &str, lines: &str) -> String {
    format!("[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{url}\"\n{lines}\n")
}

fn peer() -> [(&'static str, &'static str); 1] {
    [("policies/lyon.toml", HOSTS)]
}

#[test]
fn https_has_its_own_port_and_asks_for_the_name_of_its_url() {
    let pin = format!("pin_sha256 = \"{PIN}\"");
    for (url, lines, port, host, name) in [
        ("https://xivo.example.org", "", 443, "xivo.example.org", "xivo.example.org"),
        ("HTTPS://xivo:8443/", "", 8443, "xivo:8443", "xivo"),
        ("https://xivo:80", "", 80, "xivo:80", "xivo"),
        ("https://192.168.1.124", "", 443, "192.168.1.124", "192.168.1.124"),
        ("https://[2001:db8::1]", "", 443, "[2001:db8::1]", "2001:db8::1"),
        ("https://192.168.1.124", "server_name = \"xivo\"", 443, "192.168.1.124", "xivo"),
    ] {
        let upstream = config(&main(url, &format!("{pin}\n{lines}")), &peer()).upstream;
        assert_eq!((upstream.port, upstream.host_header.as_str()), (port, host), "{url}");
        assert_eq!(upstream.tls.unwrap().server_name(), name, "{url}");
    }
    let plain = config(&main("http://xivo", "danger_accept_any_certificate = false"), &peer());
    assert!(plain.upstream.tls.is_none() && !plain.upstream.send_proxy_protocol);
}

#[test]
fn a_pin_has_any_spelling_and_may_be_one_of_several() {
    let bare = PIN.replace(':', "").to_lowercase();
    let base64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for lines in [
        format!("pin_sha256 = \"{bare}\""),
        format!("pin_sha256 = [\"{PIN}\"]"),
        format!("pin_sha256 = [\"{base64}\", \"{bare}\"]"),
    ] {
        assert!(config(&main("https://xivo", &lines), &peer()).upstream.tls.is_some(), "{lines}");
    }
}

#[test]
fn a_socket_is_taken_with_the_proxy_protocol_and_without_a_source() {
    let socket = main("unix:/run/xivo.sock", "send_proxy_protocol = true");
    let upstream = config(&socket, &peer()).upstream;
    assert_eq!(upstream.host, UpstreamHost::Socket(PathBuf::from("/run/xivo.sock")));
    assert_eq!((upstream.host_header.as_str(), upstream.port), ("localhost", 0));
    let long = format!("unix:/{}", "x".repeat(107));
    let outcome = texts(&main(&long, "send_proxy_protocol = true"), &peer());
    assert_one(outcome, "gateway.toml:4:7", "is too long", "absolute path");
}

#[test]
fn what_contradicts_itself_or_cannot_be_read_is_one_error() {
    for (url, lines, location, part, advice) in WRONG {
        let lines = lines.replace("@PIN@", &format!("pin_sha256 = \"{PIN}\""));
        let outcome = texts(&main(url, &lines), &peer());
        assert!(outcome.is_err(), "{lines}");
        assert_one(outcome, &format!("gateway.toml:{location}"), part, advice);
    }
}

#[test]
fn two_answers_to_whom_to_trust_are_refused() {
    let lines = format!("pin_sha256 = \"{PIN}\"\ndanger_accept_any_certificate = true");
    let found = lines_of(&lines);
    assert!(
        found[0].contains("`upstream.danger_accept_any_certificate`: stands beside `pin_sha256`"),
        "{found:?}"
    );
    let found = lines_of(&format!("pin_sha256 = \"{PIN}\"\nca = \"/\""));
    assert!(found.iter().any(|line| line.contains("stands beside `ca`")), "{found:?}");
}

fn lines_of(added: &str) -> Vec<String> {
    let outcome = texts(&main("https://xivo", added), &peer());
    assert!(outcome.is_err());
    lines(outcome)
}

#[test]
fn trusting_anyone_is_warned_of() {
    let outcome = texts(&main("https://xivo", "danger_accept_any_certificate = true"), &peer());
    let (config, _) = outcome.as_ref().unwrap();
    assert!(config.upstream.tls.is_some());
    let part = "warning: `upstream.danger_accept_any_certificate`: whoever answers";
    assert_one(outcome, "gateway.toml:5:33", part, "pin XiVO's certificate");
}

#[test]
fn an_authority_is_read_from_a_file_beside_the_main_file() {
    let directory = tempfile::tempdir().unwrap();
    let main_file = directory.path().join("gateway.toml");
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = parameters.self_signed(&key).unwrap().pem();
    for (text, wrong) in [
        (pem.as_str(), None),
        (&pem.repeat(2), None),
        (&key.serialize_pem(), Some("xivo.pem: it holds no certificate")),
        ("", Some("xivo.pem: it holds no certificate")),
        (&pem.replace("-----END", "----- END"), Some("xivo.pem: it is no PEM")),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            Some("xivo.pem: its certificate 1 cannot be used"),
        ),
    ] {
        fs::write(directory.path().join("xivo.pem"), text).unwrap();
        let outcome = texts_at(&main_file, &main("https://xivo", "ca = \"xivo.pem\""));
        match wrong {
            None => drop(outcome.unwrap()),
            Some(part) => {
                let location = format!("{}:5:6", main_file.display());
                assert_one(outcome, &location, part, "PEM file");
            }
        }
    }
}

fn texts_at(main_file: &Path, text: &str) -> Outcome {
    read_texts((main_file.to_str().unwrap(), text), &peer(), &variables)
}

const PIN: &str = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";

/// URL, lines with `@PIN@` for the pin's line, place, message, advice.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &str, &str, &str)] = &[
    ("http://xivo", "ca = \"xivo.pem\"", "5:6", "`upstream.ca`: \"http://xivo\" is not spoken with in TLS", "write url = \"https://xivo\""),
    ("http://xivo", "@PIN@", "5:14", "`upstream.pin_sha256`", "or remove `pin_sha256`"),
    ("http://xivo", "server_name = \"x\"", "5:15", "`upstream.server_name`", "https"),
    ("http://xivo", "danger_accept_any_certificate = true", "5:33", "`upstream.danger_accept_any_certificate`", "https"),
    ("unix:/run/x", "send_proxy_protocol = true\n@PIN@", "6:14", "not spoken with in TLS", "stays on this host"),
    ("unix:/run/x", "send_proxy_protocol = true\nsource = \"192.168.1.125\"", "6:10", "comes from no address", "remove it"),
    ("https://xivo", "ca = \"no such.pem\"", "5:6", "no such.pem: it cannot be read: No such file", "relative to this file"),
    ("https://xivo", "ca = \"/\"", "5:6", "/: it is a directory; allowed: a regular file", "a PEM file"),
    ("https://xivo", "pin_sha256 = []", "5:14", "found a list", "a pin, or a list of pins"),
    ("https://xivo", "pin_sha256 = \"AB:CD\"", "5:14", "has 2 bytes, and not 32", "probe --pin"),
    ("https://xivo", "pin_sha256 = [\"DA39A3EE5E6B4B0D3255BFEF95601890AFD80709\"]", "5:15", "as a SHA-1 has", "the SHA-256"),
    ("https://xivo", "pin_sha256 = \"!\"", "5:14", "neither hexadecimal nor base64", ""),
    ("https://xivo", "pin_sha256 = 5", "5:14", "found the number 5", ""),
    ("https://xivo", "@PIN@\nserver_name = \"xivo:443\"", "6:15", "\"xivo:443\" is no server name", "without a port"),
];
