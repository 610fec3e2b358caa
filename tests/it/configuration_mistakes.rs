//! What the program says to whoever is tired: of files that are not there or not read, of what a peer did, and of a
//! level that does not exist.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{
    binary::Binary,
    live::{Setup, policy},
    process::becomes_true,
    program::{Site, run},
    raw::{Client, search},
    scripted::Scripted,
};

const MAIN: &str =
    "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://192.0.2.1\"\n";
const PEER: (&str, &str) = ("lyon", "hosts = [\"192.0.2.7\"]\n");

fn check(site: &Site) -> String {
    let run = site.run(&["check", "--offline", "--config", "gateway.toml"]);
    run.stderr
}

#[test]
fn files_beside_the_policies_that_are_no_policies_are_named() {
    let site = Site::new(MAIN, &[PEER]);
    let policies = site.main_file().with_file_name("policies");
    assert!(!check(&site).contains("passed over"), "{}", check(&site));
    for name in [
        "nice.conf",
        "metz",
        "PARIS.TOML",
        "brest.toml.txt",
        "Lille.toml.txt",
        "lyon.toml.txt",
        "B\u{fc}ro.conf",
    ] {
        fs::write(policies.join(name), "hosts = [\"192.0.2.8\"]\n").unwrap();
    }
    for name in
        [".lyon.toml.swp", "lyon.toml~", "lyon.toml.bak", "#lyon.toml#", "lyon.toml.dpkg-old"]
    {
        fs::write(policies.join(name), "").unwrap();
    }
    fs::write(policies.join("README.md"), "").unwrap();
    fs::write(policies.join(".gitkeep"), "").unwrap();
    fs::create_dir(policies.join("south")).unwrap();
    fs::create_dir_all(policies.join("north/sea")).unwrap();
    for name in
        ["south/nice.toml", "south/toulon.toml", "south/lyon.toml", "north/sea/dunkerque.toml"]
    {
        fs::write(policies.join(name), "").unwrap();
    }
    let told = check(&site);
    for (name, help) in [
        ("policies/nice.conf", "nice.toml"),
        ("policies/metz", "metz.toml"),
        ("policies/PARIS.TOML", "paris.toml"),
        ("policies/brest.toml.txt", "brest.toml"),
        ("policies/Lille.toml.txt", "lille.toml"),
        // It must not be written over another.
        ("policies/lyon.toml.txt", "lyon.toml is there beside it: remove one of the two"),
        // No peer can have this name.
        ("policies/B\u{fc}ro.conf", "give it a name such as xivo-montreal.toml"),
        ("policies/south/nice.toml", "move it into policies"),
        ("policies/south/toulon.toml", "move it into policies"),
        ("policies/south/lyon.toml", "policies has a file of this name"),
        ("policies/north/sea/dunkerque.toml", "move it into policies"),
    ] {
        assert!(told.contains(name) && told.contains(help), "{name}: {told}");
    }
    assert_eq!(told.matches("this file is passed over").count(), 11, "{told}");
    assert_eq!(told.matches("5 files in policies are passed over as backups").count(), 1, "{told}");
    assert!(!told.contains("README") && !told.contains(".gitkeep"), "{told}");
}

#[test]
fn no_configuration_and_one_that_may_not_be_read_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let none = run(directory.path(), &["check", "--offline", "--config", "gateway.toml"]);
    for part in ["No such file", "mkdir -p policies", "[[listen]]", "[upstream]", "hosts = ["] {
        assert!(none.stderr.contains(part), "{part}: {}", none.stderr);
    }
    // What it writes would do.
    let lines = none.stderr.lines().map(|line| line.trim_start_matches(['|', ' ', '=']).trim());
    let wanted = ["[[listen]]", "address =", "[upstream]", "url =", "source ="];
    let text: Vec<&str> =
        lines.filter(|line| wanted.iter().any(|word| line.starts_with(word))).collect();
    let smallest = Site::new(&(text.join("\n") + "\n"), &[PEER]);
    let valid = smallest.run(&["check", "--offline", "--config", "gateway.toml"]);
    assert!(
        valid.stderr.contains("0 errors") || !valid.stderr.contains("error:"),
        "{}",
        valid.stderr
    );

    if rustix::process::geteuid().is_root() {
        return;
    }
    let file = directory.path().join("gateway.toml");
    fs::write(&file, MAIN).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let denied = run(directory.path(), &["check", "--offline", "--config", "gateway.toml"]);
    assert!(denied.stderr.contains("may not read it"), "{}", denied.stderr);
    assert!(denied.stderr.contains("chmod 640 gateway.toml"), "{}", denied.stderr);
    assert!(!denied.stderr.contains("[[listen]]"), "{}", denied.stderr);
}

#[test]
fn a_missing_directory_is_named_with_the_command_that_makes_it() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("gateway.toml"), MAIN).unwrap();
    let none = run(directory.path(), &["check", "--offline", "--config", "gateway.toml"]);
    assert!(none.stderr.contains("mkdir -p policies"), "{}", none.stderr);

    let upstream = Scripted::well();
    let log = directory.path().join("logs/access.log");
    let mut gateway = Binary::serve_logging(&Setup::new(upstream.address()), log.to_str().unwrap());
    assert_eq!(gateway.exit().code(), Some(3));
    let command = format!("mkdir -p {}", directory.path().join("logs").display());
    assert!(gateway.stderr().contains(&command), "{}", gateway.stderr());
    // It is the one that helps.
    assert!(Path::new(&log).parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()));
    let mut gateway = Binary::serve_logging(&Setup::new(upstream.address()), log.to_str().unwrap());
    gateway.address();
}

#[test]
fn the_journal_says_whose_rate_is_used_up_and_where_it_is_set() {
    let upstream = Scripted::well();
    let rate = "description = \"\"\nrate = { per_minute = 1, burst = 1 }";
    let setup = Setup::new(upstream.address()).policy("lyon", policy("127.0.0.1", rate));
    let mut gateway = Binary::serve(&setup);
    let mut client = Client::connect(gateway.address());
    for status in [200, 429] {
        client.send(search("doe"));
        assert_eq!(client.answer().status, status);
    }
    let told = || gateway.stderr();
    assert!(becomes_true(|| told().contains("rate-limited")), "{}", told());
    let line = told().lines().find(|line| line.contains("rate-limited")).unwrap().to_owned();
    assert!(line.contains("`lyon` is over its rate, 1 per minute, burst 1;"), "{line}");
    assert!(line.contains("policies/lyon.toml:4]"), "{line}");
}

#[test]
fn tls_on_a_plain_port_is_told_as_that() {
    let upstream = Scripted::well();
    let mut gateway = Binary::serve(&Setup::new(upstream.address()));
    let address = gateway.address();
    // Line feeds among a greeting's bytes make no difference.
    for hello in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x16\x03\x01\x00\x0a\x01\n\n",
        b"\x16",
    ] {
        let before = gateway.stderr().matches("TLS on a port without it").count();
        let mut client = Client::connect(address);
        client.send(hello);
        assert_eq!(client.answer().status, 400);
        let told = || gateway.stderr().matches("TLS on a port without it").count();
        assert!(becomes_true(|| told() > before), "{hello:?}: {}", gateway.stderr());
    }
}

#[test]
fn an_unreadable_entry_of_a_trusted_proxy_is_told_with_its_reason() {
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address()).policy("lyon", policy("192.0.2.7", ""));
    setup.listen = "trusted_proxies = [\"127.0.0.1\"]".to_owned();
    setup = setup.limits("unknown_rate = { per_second = 1000, burst = 1000 }");
    let mut gateway = Binary::serve(&setup);
    let address = gateway.address();
    for (entry, why) in [
        ("fe80::1%eth0", "has a zone"),
        ("[192.0.2.7]:80", "an IPv4 address in brackets"),
        ("192.0.2.7:99999", "port is none"),
        ("[2001:db8::1]:99999", "port is none"),
        ("192.168.001.001", "leading zeros"),
        ("10.1", "is abbreviated"),
        ("unknown", "hides its client"),
        ("", "an entry is empty"),
        ("[2001:db8::1", "bracket is not closed"),
        ("somebody", "holds no address"),
    ] {
        let before = gateway.stderr().matches(why).count();
        let mut client = Client::connect(address);
        client.send(
            search("doe").replace("\r\n\r\n", &format!("\r\nX-Forwarded-For: {entry}\r\n\r\n")),
        );
        assert_eq!(client.answer().status, 403, "{entry}");
        let told = || gateway.stderr().matches(why).count();
        assert!(becomes_true(|| told() > before), "{entry}: {}", gateway.stderr());
    }
}

/// What a gateway tells at this level until it has answered a request of nobody's.
fn told(level: &str) -> String {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).policy("lyon", policy("192.0.2.7", ""));
    let main = setup.main_file("/dev/null");
    let text = policy("192.0.2.7", "enabled = false");
    let mut gateway = Binary::serve_telling(&main, &[("lyon", &text)], level);
    let mut client = Client::connect(gateway.address());
    client.send(search("doe"));
    assert_eq!(client.answer().status, 403);
    if level != "warn" {
        assert!(becomes_true(|| gateway.stderr().contains("unknown-peer")), "{}", gateway.stderr());
    }
    gateway.stderr()
}

#[test]
fn a_level_that_does_not_exist_is_complained_of_and_warnings_stay() {
    for level in ["inof", "hyper=debug"] {
        let told = told(level);
        assert!(told.contains("RUST_LOG is not followed") && told.contains(level), "{told}");
        assert!(told.contains("this peer is refused"), "{told}");
    }
    assert!(!told("info").contains("RUST_LOG"));
}

#[test]
fn debug_tells_more_than_info_and_info_more_than_warn() {
    let lines = ["warn", "info", "debug"].map(|level| told(level).lines().count());
    assert!(lines[0] < lines[1] && lines[1] < lines[2], "{lines:?}");
    assert!(told("debug").contains("a connection was accepted"));
    assert!(!told("info").contains("a connection was accepted"));
}
