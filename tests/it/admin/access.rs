//! Who is told, how to ask, and where the listener is.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use rustix::process::Signal;

use super::{SOCKET, TCP, admin_address, ask, ask_at, main_file, serve, text, usual};
use crate::support::{
    binary::Binary,
    process::becomes_true,
    raw::Client,
    scripted::{Door, Scripted},
    tls::{self, credulous},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const HOST: &str = "Host: localhost\r\n";

#[test]
fn what_there_is_is_told_and_nothing_else_is_let_through() {
    let upstream = Scripted::well();
    let mut gateway = serve(&usual(&upstream), TCP);
    gateway.address();
    let address = admin_address(&gateway);
    for (target, said) in [("/live", "live\n"), ("/ready", "ready\n")] {
        let answer = ask_at(address, "GET", target, HOST);
        assert_eq!(answer.status, 200);
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        let cors = |(name, _): &(String, String)| name.starts_with("access-control");
        assert!(!answer.headers.iter().any(cors));
        assert_eq!(text(answer), said);
        let head = ask_at(address, "HEAD", target, HOST);
        let length = said.len().to_string();
        assert_eq!((head.status, head.header("content-length")), (200, Some(length.as_str())));
        assert!(head.body.is_empty());
    }
    let missing = ask_at(address, "GET", "/nothing", HOST);
    assert_eq!(missing.status, 404);
    let missing = text(missing);
    for path in ["/metrics", "/ready", "/live", "/stub_status"] {
        assert!(missing.contains(path), "{missing}");
        assert_eq!(ask_at(address, "GET", path, HOST).status, 200, "{path}");
        assert_eq!(ask_at(address, "GET", &format!("{path}?x=1"), HOST).status, 200, "{path}");
        assert_eq!(ask_at(address, "GET", &format!("{path}/"), HOST).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get"] {
        let origin = "Origin: http://evil.example\r\nAccess-Control-Request-Method: GET\r\n";
        let answer = ask_at(address, method, "/metrics", &format!("{HOST}{origin}"));
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[test]
fn a_page_of_somebody_elses_reads_nothing_by_a_name_of_its_own() {
    let upstream = Scripted::well();
    let setup = usual(&upstream);
    let mut gateway = serve(&setup, &format!("{TCP}\nserver_names = [\"gateway.example.org\"]"));
    gateway.address();
    let address = admin_address(&gateway);
    let status = |lines: &str| ask_at(address, "GET", "/metrics", lines).status;
    for host in
        ["127.0.0.1:9481", "[::1]", "localhost:9481", "gateway.example.org", "Gateway.Example.ORG."]
    {
        assert_eq!(status(&format!("Host: {host}\r\n")), 200, "{host}");
    }
    for lines in [
        "Host: evil.example\r\n",
        "Host: localhost.evil.example\r\n",
        "",
        "Host: \r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
    ] {
        assert_eq!(status(lines), 421, "{lines:?}");
    }
    let by_target = ask_at(address, "GET", "http://evil.example/metrics", HOST);
    assert_eq!(by_target.status, 421);
    // The names are taken over by a reload.
    let main = fs::read_to_string(gateway.path("gateway.toml")).unwrap();
    let main = main.replace("gateway.example.org", "other.example.org");
    fs::write(gateway.path("gateway.toml"), main).unwrap();
    gateway.signal(Signal::HUP);
    assert!(becomes_true(|| status("Host: other.example.org\r\n") == 200));
    assert_eq!(status("Host: gateway.example.org\r\n"), 421);
}

#[test]
fn who_lacks_the_token_is_told_nothing() {
    let upstream = Scripted::well();
    let setup = usual(&upstream);
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    for admin in [SOCKET, TCP] {
        let main = main_file(&setup, &format!("{admin}\ntoken_file = \"token\""));
        let mut gateway = Binary::serve_changed(&main, &policies, |command, directory| {
            fs::write(directory.join("token"), format!("{TOKEN}\n")).unwrap();
            fs::set_permissions(directory.join("token"), fs::Permissions::from_mode(0o640))
                .unwrap();
            command
        });
        gateway.address();
        let tell = |target: &str, lines: &str| match admin {
            TCP => ask_at(admin_address(&gateway), "GET", target, &format!("{HOST}{lines}")),
            _ => ask(&gateway, target, lines),
        };
        for lines in [
            "",
            "Authorization: Bearer\r\n",
            "Authorization: Basic 0123\r\n",
            "Authorization: Bearer 0123456789abcdef\r\n",
        ] {
            for target in ["/metrics", "/live", "/nothing", "/"] {
                let answer = tell(target, lines);
                assert_eq!(answer.status, 401, "{target} {lines}");
                assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer "));
                assert!(!text(answer).contains("metrics"), "{target}");
            }
        }
        let shown = format!("Authorization: Bearer {TOKEN}\r\n");
        assert_eq!(tell("/metrics", &shown).status, 200);
        // Another one holds at once, and a file that everybody can read lets nobody in.
        fs::write(gateway.path("token"), TOKEN.replace('0', "1")).unwrap();
        assert_eq!(tell("/metrics", &shown).status, 401);
        assert_eq!(tell("/metrics", &shown.replace('0', "1")).status, 200);
        fs::set_permissions(gateway.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(tell("/metrics", &shown.replace('0', "1")).status, 503);
        assert!(becomes_true(|| gateway.stderr().contains("mode 0644")), "{}", gateway.stderr());
    }
}

#[test]
fn the_socket_is_for_owner_and_group_and_gone_at_the_end() {
    let upstream = Scripted::well();
    let mut gateway = serve(&usual(&upstream), SOCKET);
    gateway.address();
    let socket = gateway.path("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(ask(&gateway, "/live", "").status, 200);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn where_no_listener_can_be_made_the_gateway_says_why_and_serves() {
    let upstream = Scripted::well();
    let setup = usual(&upstream);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    for (address, why) in [
        ("unix:none/admin.sock", "does not exist"),
        ("unix:live", "another process holds it"),
        (port.as_str(), "Address already in use"),
        ("", ""),
    ] {
        let main = main_file(&setup, &format!("address = {address:?}"));
        let mut live = None;
        let mut gateway = Binary::serve_changed(&main, &policies, |command, directory| {
            live = Some(UnixListener::bind(directory.join("live")).unwrap());
            command
        });
        assert_eq!(Client::connect(gateway.address()).lookup("one").status, 200, "{address}");
        let said = gateway.stderr();
        assert_eq!(said.contains("no admin listener at "), !why.is_empty(), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("the admin listener is at"), "{said}");
    }
}

#[test]
fn a_dead_socket_is_replaced_and_the_address_needs_a_restart() {
    let upstream = Scripted::well();
    let setup = usual(&upstream);
    let (name, policy) = &setup.policies[0];
    let mut gateway = Binary::serve_changed(
        &main_file(&setup, SOCKET),
        &[(name, policy)],
        |command, directory| {
            drop(UnixListener::bind(directory.join("admin.sock")).unwrap());
            command
        },
    );
    gateway.address();
    assert_eq!(ask(&gateway, "/live", "").status, 200);
    let main = fs::read_to_string(gateway.path("gateway.toml")).unwrap();
    let other = main.replace("unix:admin.sock", "127.0.0.1:9481");
    fs::write(gateway.path("gateway.toml"), other).unwrap();
    gateway.signal(Signal::HUP);
    assert!(
        becomes_true(|| gateway.stderr().contains("`admin.address` is ")),
        "{}",
        gateway.stderr()
    );
    let refused = "phonebook_gateway_last_reload_success{}";
    assert!(becomes_true(|| super::figures(&gateway)[refused] == 0.0));
    let figures = super::figures(&gateway);
    assert_eq!(figures["phonebook_gateway_configuration_differs_from_disk{}"], 1.0);
    assert_eq!(figures["phonebook_gateway_reloads_total{result=refused}"], 1.0);
}

/// Puts a new certificate and its key at these places.
fn certify(certificate: &Path, key: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["gateway".to_owned()]).unwrap();
    fs::write(certificate, made.cert.pem()).unwrap();
    fs::write(key, made.signing_key.serialize_pem()).unwrap();
}

#[test]
fn over_tls_nothing_is_told_without_it_and_a_new_certificate_is_shown() {
    let upstream = Scripted::well();
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = ["a.pem", "a.key"].map(|name| directory.path().join(name));
    certify(&certificate, &key);
    let admin = format!("{TCP}\ntls = {{ certificate = {certificate:?}, private_key = {key:?} }}");
    let mut gateway = serve(&usual(&upstream), &admin);
    gateway.address();
    let address = admin_address(&gateway);
    let client = credulous(rustls::ALL_VERSIONS, None);
    let connect = || tls::connect(address, &client, "gateway").unwrap();
    let mut first = connect();
    let metrics = text(tls::get(&mut first, "/metrics"));
    assert!(metrics.contains("expiry_timestamp_seconds{use=\"admin\","), "{metrics}");
    let mut plain = Client::connect(address);
    plain.send(format!("GET /ready HTTP/1.1\r\n{HOST}\r\n"));
    plain.ended();
    // A half-written pair is not used, and the whole one is.
    fs::write(&key, "nonsense").unwrap();
    assert_eq!(tls::shown(&connect()), tls::shown(&first));
    certify(&certificate, &key);
    let mut second = connect();
    assert_ne!(tls::shown(&second), tls::shown(&first));
    assert_eq!(tls::get(&mut second, "/ready").status, 200);
}

#[test]
fn while_it_ends_the_gateway_is_not_ready_and_lives() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let mut gateway = serve(&usual(&upstream).limits("drain_timeout = \"20s\""), SOCKET);
    let mut client = Client::connect(gateway.address());
    client.search("slow");
    assert!(becomes_true(|| !upstream.attempts("slow").is_empty()));
    let in_flight = "phonebook_gateway_lookups_in_flight{peer=lyon}";
    assert_eq!(super::figures(&gateway)[in_flight], 1.0);
    gateway.signal(Signal::TERM);
    assert!(becomes_true(|| ask(&gateway, "/ready", "").status == 503));
    let why = text(ask(&gateway, "/ready", ""));
    assert!(why.starts_with("not ready: the gateway is ending"), "{why}");
    assert_eq!(ask(&gateway, "/live", "").status, 200);
    assert_eq!(super::figures(&gateway)["phonebook_gateway_draining{}"], 1.0);
    door.open();
    assert_eq!(client.answer().status, 200);
    assert_eq!(gateway.exit().code(), Some(0));
}
