//! `certs` makes what other programs trust, prints lines that the configuration takes, and shows what is there.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

use crate::support::{
    needs::or_left_out,
    openssl::OpenSsl,
    program::{Run, Site},
};

const MAIN: &str =
    "[[listen]]\naddress = \"127.0.0.1:9480\"\n\n[upstream]\nurl = \"http://192.0.2.80:80\"\n";

fn certs(site: &Site, words: &[&str]) -> Run {
    let all: Vec<&str> =
        ["certs"].iter().chain(words).chain(&["--config", "gateway.toml"]).copied().collect();
    site.run(&all)
}

/// The same, which has to end well; what it printed.
fn made(site: &Site, words: &[&str]) -> String {
    let run = certs(site, words);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{words:?}");
    run.stdout
}

/// A site with an authority, a certificate for a listener and one for a peer, and what was printed of each.
fn whole() -> (Site, [String; 3]) {
    let site = Site::new(MAIN, &[]);
    let printed = [
        made(&site, &["init", "--name", "Montréal, \"Nord\""]),
        made(&site, &["server", "gateway.example.org", "192.0.2.1", "2001:db8::1"]),
        made(&site, &["peer", "lyon"]),
    ];
    (site, printed)
}

fn file(site: &Site, name: &str) -> PathBuf {
    site.main_file().with_file_name("certs").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn openssl_trusts_what_was_made_and_for_its_purpose_alone() {
    let Some(openssl) = or_left_out(OpenSsl::find()) else { return };
    let (site, _) = whole();
    let (ca, server, peer) =
        (file(&site, "ca.pem"), file(&site, "gateway.example.org.pem"), file(&site, "lyon.pem"));
    let verify = |purpose: &str, more: &[&str], certificate: &Path| {
        let mut words = vec!["verify", "-x509_strict", "-CAfile", text(&ca), "-purpose", purpose];
        words.extend(more);
        words.push(text(certificate));
        let output = openssl.run(&words, b"");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (purpose, more, certificate, trusted) in [
        ("sslserver", vec!["-verify_hostname", "gateway.example.org"], &server, true),
        ("sslserver", vec!["-verify_ip", "192.0.2.1"], &server, true),
        ("sslserver", vec!["-verify_ip", "2001:db8::1"], &server, true),
        ("sslserver", vec!["-verify_hostname", "other.example.org"], &server, false),
        ("sslclient", vec![], &server, false),
        ("sslclient", vec![], &peer, true),
        ("sslserver", vec![], &peer, false),
    ] {
        let (well, stderr) = verify(purpose, &more, certificate);
        assert_eq!(well, trusted, "{purpose} {more:?} {certificate:?}: {stderr}");
    }
    // What the authority signed cannot sign in its turn.
    let words = ["x509", "-noout", "-ext", "basicConstraints,keyUsage,extendedKeyUsage", "-in"];
    let of = |certificate: &Path| {
        let mut words = words.to_vec();
        words.push(text(certificate));
        String::from_utf8(openssl.says(&words, b"").unwrap()).unwrap()
    };
    assert!(
        of(&ca).contains("CA:TRUE, pathlen:0") && of(&ca).contains("Certificate Sign, CRL Sign")
    );
    assert!(of(&peer).contains("CA:FALSE") && of(&peer).contains("Digital Signature"));
}

/// openssl's server on a free port; ended by its pid when it is dropped.
struct Server(Child);

impl Server {
    /// Starts it; its address.
    fn start(words: &[&str]) -> (Self, String) {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address =
            lines.find_map(|line| Some(line.unwrap().strip_prefix("ACCEPT ")?.to_owned()));
        // Its standard output stays open for as long as it writes.
        std::thread::spawn(move || lines.for_each(drop));
        (Self(child), address.unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn client_and_server_shake_hands_with_them() {
    let Some(openssl) = or_left_out(OpenSsl::find()) else { return };
    let (site, _) = whole();
    let path = |name: &str| text(&file(&site, name)).to_owned();
    let (ca, certificate, key) =
        (path("ca.pem"), path("gateway.example.org.pem"), path("gateway.example.org.key"));
    let (_server, address) = Server::start(&[
        "-cert",
        &certificate,
        "-key",
        &key,
        "-CAfile",
        &ca,
        "-Verify",
        "1",
        "-verify_return_error",
    ]);
    let ask = |version: &str, more: &[&str]| {
        let mut words = vec![
            "s_client",
            "-quiet",
            version,
            "-connect",
            &address,
            "-CAfile",
            &ca,
            "-verify_return_error",
            "-verify_hostname",
            "gateway.example.org",
        ];
        words.extend(more);
        let output = openssl.run(&words, b"GET / HTTP/1.0\r\n\r\n");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (certificate, key) = (path("lyon.pem"), path("lyon.key"));
    for version in ["-tls1_2", "-tls1_3"] {
        let page = ask(version, &["-cert", &certificate, "-key", &key]);
        assert!(
            page.contains("Client certificate") && page.contains("Subject: CN=lyon"),
            "{version}: {page}"
        );
        assert_eq!(ask(version, &[]), "", "without a certificate, {version}");
    }
}

#[test]
fn what_is_printed_can_be_pasted() {
    let (site, [_, server, peer]) = whole();
    let tls = server.lines().find(|line| line.starts_with("tls = ")).unwrap();
    assert_eq!(
        tls,
        "tls = { certificate = \"certs/gateway.example.org.pem\", private_key = \
         \"certs/gateway.example.org.key\", client_ca = \"certs/ca.pem\" }"
    );
    let main = MAIN.replace("9480\"\n", &format!("9480\"\n{tls}\n"));
    fs::write(site.main_file(), main).unwrap();
    let rules: Vec<&str> =
        peer.split("[certificate]\n").skip(1).map(|rest| rest.lines().next().unwrap()).collect();
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[1], "san_dns = [\"lyon\"]");
    for rule in rules {
        let policy = format!("hosts = [\"192.0.2.7\"]\n[certificate]\n{rule}\n");
        fs::write(site.main_file().with_file_name("policies").join("lyon.toml"), policy).unwrap();
        let run = site.run(&["check", "--offline", "--strict", "--config", "gateway.toml"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let shown = made(&site, &["show"]);
        assert!(
            shown.contains("    used by   listener 127.0.0.1:9480 (gateway.toml:1)\n"),
            "{shown}"
        );
        assert!(
            shown.contains("    used by   clients' authority of listener 127.0.0.1:9480"),
            "{shown}"
        );
        assert!(shown.contains("    used by   peer lyon (policies/lyon.toml:2)\n"), "{shown}");
        assert!(shown.contains("certs/gateway.example.org.key is its private key"), "{shown}");
        assert!(shown.contains("824 days left") || shown.contains("825 days left"), "{shown}");
    }
}

#[test]
fn xivos_authority_and_pins_without_a_file_are_shown() {
    let (site, [_, _, peer]) = whole();
    let pin = peer.lines().find(|line| line.starts_with("public_key_sha256")).unwrap();
    let policies = site.main_file().with_file_name("policies");
    let policy = |name: &str, host: &str, pin: &str| {
        let text = format!("hosts = [\"{host}\"]\n[certificate]\n{pin}\n");
        fs::write(policies.join(format!("{name}.toml")), text).unwrap();
    };
    let unknown = "5c".repeat(32);
    policy("lyon", "192.0.2.7", pin);
    policy("paris", "192.0.2.8", &format!("public_key_sha256 = [\"{unknown}\"]"));
    let upstream = |line: &str| {
        let main = MAIN.replace("http://192.0.2.80:80\"", &format!("https://192.0.2.80\"\n{line}"));
        fs::write(site.main_file(), main).unwrap();
        made(&site, &["show"])
    };
    let shown = upstream("ca = \"certs/ca.pem\"");
    assert!(
        shown.contains("certs/ca.pem\n    used by   authority of XiVO (gateway.toml:4)\n"),
        "{shown}"
    );
    assert!(
        shown.contains("certs/lyon.pem\n    used by   peer lyon (policies/lyon.toml:2)\n"),
        "{shown}"
    );
    let line = format!(
        "policies/paris.toml\n    used by   peer paris (policies/paris.toml:2)\n    pins      public key {unknown}; its"
    );
    assert!(shown.contains(&line), "{shown}");
    let shown = upstream(&format!("pin_sha256 = \"{unknown}\""));
    assert!(
        shown.contains(&format!(
            "    used by   certificate of XiVO (gateway.toml:4)\n    pins      SHA-256 {unknown};"
        )),
        "{shown}"
    );
}

#[test]
fn a_directory_elsewhere_is_named_in_full() {
    let site = Site::new(MAIN, &[]);
    let elsewhere = tempfile::tempdir().unwrap();
    let directory = text(elsewhere.path());
    made(&site, &["init", "--directory", directory]);
    let printed = made(&site, &["server", "a.example.org", "--directory", directory]);
    assert!(
        printed.contains(&format!("certificate = \"{directory}/a.example.org.pem\"")),
        "{printed}"
    );
    assert!(!file(&site, "").exists());
}

#[test]
fn keys_are_for_their_owner_and_nothing_is_overwritten() {
    let (site, _) = whole();
    let mode = |name: &str| fs::metadata(file(&site, name)).unwrap().permissions().mode() & 0o7777;
    for name in ["ca", "gateway.example.org", "lyon"] {
        assert_eq!(mode(&format!("{name}.key")), 0o600, "{name}");
        assert_eq!(mode(&format!("{name}.pem")), 0o644, "{name}");
    }
    assert_eq!(mode("") & 0o027, 0, "the directory");
    let before = |name: &str| fs::read(file(&site, name)).unwrap();
    let names = ["ca.pem", "ca.key", "lyon.pem", "lyon.key", "gateway.example.org.key"];
    let contents = names.map(before);
    for words in [&["init"][..], &["peer", "lyon"], &["server", "gateway.example.org"]] {
        let run = certs(&site, words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{words:?}");
        assert!(
            run.stderr.contains("exists already and is not overwritten; nothing was made"),
            "{}",
            run.stderr
        );
    }
    assert_eq!(names.map(before), contents);
}

#[test]
fn nothing_is_signed_without_an_authority() {
    let site = Site::new(MAIN, &[]);
    let run = certs(&site, &["peer", "lyon"]);
    assert_eq!(run.code, Some(3));
    assert!(
        run.stderr.contains("`phonebook-gateway certs init` makes the authority"),
        "{}",
        run.stderr
    );
    assert!(!file(&site, "").exists());
}

/// Writes a certificate with these years and its key.
fn write(site: &Site, name: &str, from: i32, until: i32) {
    let mut params = CertificateParams::new(["a.example.org".to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    fs::create_dir_all(file(site, "")).unwrap();
    fs::write(file(site, &format!("{name}.pem")), pem).unwrap();
    fs::write(file(site, &format!("{name}.key")), key.serialize_pem()).unwrap();
    fs::set_permissions(file(site, &format!("{name}.key")), fs::Permissions::from_mode(0o600))
        .unwrap();
}

#[test]
fn what_is_expired_or_mixed_up_is_a_finding() {
    let site = Site::new(MAIN, &[]);
    write(&site, "old", 2020, 2021);
    write(&site, "future", 2400, 2401);
    write(&site, "good", 2020, 2400);
    let show = |words: &[&str]| {
        let run = certs(&site, &[&["show"], words].concat());
        (run.code, run.stdout)
    };
    let (code, text) = show(&["certs/old.pem"]);
    assert!(
        code == Some(1) && text.contains("until     2021-01-01T00:00:00Z, EXPIRED\n"),
        "{text}"
    );
    let (code, text) = show(&["certs/future.pem"]);
    assert!(code == Some(1) && text.contains("NOT VALID before 2400-01-01"), "{text}");
    let (code, text) = show(&["certs/good.pem"]);
    assert!(code == Some(0) && text.contains("certs/good.key is its private key\n"), "{text}");
    // What nothing uses is shown, and harms nobody.
    let (code, text) = show(&[]);
    assert!(code == Some(0) && text.contains("EXPIRED"), "{text}");
    assert_eq!(show(&["--directory", "certs"]).0, Some(1));
    fs::copy(file(&site, "old.key"), file(&site, "good.key")).unwrap();
    let (code, text) = show(&["certs/good.pem"]);
    assert!(
        code == Some(1) && text.contains("BROKEN: certs/good.key: this key is not that of"),
        "{text}"
    );
    let (code, text) = show(&["gateway.toml"]);
    assert!(code == Some(1) && text.contains("BROKEN    it holds no certificate"), "{text}");
}

#[test]
fn a_configuration_with_a_mixed_up_pair_is_shown_with_what_is_there() {
    let (site, [_, server, _]) = whole();
    let tls = server.lines().find(|line| line.starts_with("tls = ")).unwrap();
    fs::write(site.main_file(), MAIN.replace("9480\"\n", &format!("9480\"\n{tls}\n"))).unwrap();
    fs::copy(file(&site, "lyon.key"), file(&site, "gateway.example.org.key")).unwrap();
    let run = certs(&site, &["show"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("this key is not that of the certificate in"), "{}", run.stderr);
    assert!(run.stdout.contains("BROKEN: certs/gateway.example.org.key"), "{}", run.stdout);
}

#[test]
fn json_says_the_same_to_scripts() {
    let (site, [_, _, peer]) = whole();
    let run = made(&site, &["show", "--json", "certs/lyon.pem", "certs/ca.pem"]);
    let rows: Value = serde_json::from_str(&run).unwrap();
    let lyon = &rows[0];
    assert_eq!(lyon["state"], "valid");
    assert_eq!(lyon["certificate"]["subject"], "CN=lyon");
    assert_eq!(lyon["certificate"]["issuer"], "CN=Montr\\C3\\A9al\\, \\\"Nord\\\"");
    assert!((824..=825).contains(&lyon["certificate"]["days_left"].as_i64().unwrap()));
    assert_eq!(lyon["private_key"]["belongs"], true);
    let pin = lyon["certificate"]["public_key_sha256"].as_str().unwrap();
    assert!(peer.contains(&format!("public_key_sha256 = [\"{pin}\"]")), "{peer}");
    assert_eq!(rows[1]["certificate"]["is_authority"], true);
}

#[test]
fn a_revocation_list_is_shown_until_the_next_one_is_due() {
    let Some(openssl) = or_left_out(OpenSsl::find()) else { return };
    let (site, _) = whole();
    let path = |name: &str| text(&file(&site, name)).to_owned();
    fs::write(file(&site, "index.txt"), "").unwrap();
    let config = format!(
        "[ca]\ndefault_ca = c\n[c]\ndatabase = {}\ncertificate = {}\nprivate_key = {}\ndefault_md = sha256\n",
        path("index.txt"),
        path("ca.pem"),
        path("ca.key")
    );
    fs::write(file(&site, "ca.cnf"), config).unwrap();
    let sign = |next: &str| {
        let words = [
            "ca",
            "-config",
            &path("ca.cnf"),
            "-gencrl",
            "-crl_lastupdate",
            "20200101000000Z",
            "-crl_nextupdate",
            next,
            "-out",
            &path("peers.crl"),
        ]
        .map(str::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = openssl.run(&words, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for (next, code, shown) in [
        ("20210101000000Z", Some(1), "next      2021-01-01T00:00:00Z, EXPIRED\n"),
        ("24000101000000Z", Some(0), "next      2400-01-01T00:00:00Z\n"),
    ] {
        sign(next);
        let run = certs(&site, &["show", "certs/peers.crl"]);
        assert_eq!(run.code, code, "{}", run.stdout);
        assert!(
            run.stdout.contains(shown) && run.stdout.contains("revokes   0\n"),
            "{}",
            run.stdout
        );
    }
}
