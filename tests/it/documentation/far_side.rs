//! The configurations of nginx and stunnel in `docs/far-side.md`, as they are there, bring the lookups of a client that asks as
//! xivo-dird does to the gateway, with a certificate that xivo-dird itself cannot show.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
};

use serde_json::json;

use super::page::page;
use crate::support::{
    binary::free_address,
    dird,
    needs::{Missing, or_left_out, program},
    process::{Process, becomes_true},
    program::run,
    recorder::Recorder,
    serving::Serving,
    xivo::{Nginx, PHONEBOOK},
};

/// What the page has in the place of the gateway, of the far side's own address, and of the directories of its files.
const GATEWAY: &str = "192.168.1.125:9443";
const OWN: &str = "127.0.0.1:9479";

/// The page's configuration in this language, with this gateway and these files.
fn configuration(language: &str, gateway: &str, certs: &Path) -> String {
    let [block] = page("docs/far-side.md").blocks_of(language, "far-side").try_into().ok().unwrap();
    let certs = format!("{}/", certs.display());
    let text = block
        .text
        .replace(GATEWAY, gateway)
        .replace("/etc/nginx/phonebook-gateway/", &certs)
        .replace("/etc/stunnel/phonebook-gateway/", &certs);
    assert!(text.contains(gateway) && text.contains(&certs), "{text}");
    text
}

/// The authority, the gateway's certificate and the peer's, created as the pages say.
fn certificates(directory: &Path) {
    for words in [
        &["certs", "init"][..],
        &["certs", "server", "gateway.example.org", "192.168.1.125"],
        &["certs", "peer", "lyon"],
    ] {
        let run = run(directory, &[words, &["--directory", "."]].concat());
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

/// A gateway that knows `lyon` by its certificate alone.
fn gateway(upstream: SocketAddr, certs: &Path) -> Serving {
    let file = |name: &str| certs.join(name).display().to_string();
    let main = format!(
        "state_directory = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"{}\", private_key = \"{}\", client_ca = \"{}\" }}\n\
         [upstream]\nurl = \"http://{upstream}\"\ndanger_loopback_source = true\n\
         connect_timeout = \"5s\"\ntimeout = \"20s\"\n\
         [[access_log]]\npath = \"access.log\"\nflush = \"10ms\"\n",
        file("gateway.example.org.pem"),
        file("gateway.example.org.key"),
        file("ca.pem"),
    );
    let policy = "[certificate]\nsan_dns = [\"lyon\"]\nrequire = \"certificate\"\n";
    Serving::start(&main, &[("lyon", policy)]).unwrap()
}

/// Two lookups as xivo-dird makes them, which the gateway takes for `lyon`'s.
fn ask(far_side: SocketAddr, gateway: &Serving) {
    let url = format!("http://{far_side}{PHONEBOOK}");
    let Some(found) = or_left_out(dird::lookups(&url, &["doe", "lefèvre"])) else { return };
    let statuses: Vec<_> = found.iter().map(|lookup| lookup["status"].clone()).collect();
    assert_eq!(statuses, [json!(200), json!(200)], "{found:?}\n{}", gateway.said());
    let log = gateway.access_log_of(2);
    assert!(log.lines().all(|line| line.starts_with("127.0.0.1 - lyon [")), "{log}");
}

#[test]
fn an_nginx_at_the_far_side_shows_the_certificate() {
    let (recorder, certs) = (Recorder::start(), tempfile::tempdir().unwrap());
    certificates(certs.path());
    let gateway = gateway(recorder.address(), certs.path());
    let text = configuration("nginx", &gateway.addr().to_string(), certs.path());
    let (upstream, server) = text.split_once("server {\n    listen ").unwrap();
    // Where it listens is the test's: a port that is free.
    let server = server.strip_prefix(OWN).unwrap().trim_start_matches(';').trim_end();
    let server = server.strip_suffix('}').unwrap();
    let Some(nginx) = or_left_out(Nginx::serving(upstream, server)) else { return };
    ask(nginx.addr(), &gateway);
}

#[test]
fn an_nginx_at_the_far_side_trusts_no_other_gateway() {
    let (recorder, certs) = (Recorder::start(), tempfile::tempdir().unwrap());
    certificates(certs.path());
    let gateway = gateway(recorder.address(), certs.path());
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    fs::copy(other.path().join("ca.pem"), certs.path().join("ca.pem")).unwrap();
    let text = configuration("nginx", &gateway.addr().to_string(), certs.path());
    let (upstream, server) = text.split_once("server {\n    listen ").unwrap();
    let server = server.strip_prefix(OWN).unwrap().trim_start_matches(';').trim_end();
    let Some(nginx) = or_left_out(Nginx::serving(upstream, server.strip_suffix('}').unwrap()))
    else {
        return;
    };
    let url = format!("http://{}{PHONEBOOK}", nginx.addr());
    let Some(found) = or_left_out(dird::lookups(&url, &["doe"])) else { return };
    assert_eq!(found[0]["status"], json!(502));
    assert!(recorder.take().heads.is_empty());
}

/// stunnel with the page's configuration, once somebody can connect to it.
fn stunnel(text: &str, directory: &Path) -> Result<(Process, SocketAddr), Missing> {
    let program = program("stunnel4", "stunnel4")?;
    let own = free_address();
    let text = format!(
        "foreground = yes\npid =\noutput = {}\n{}",
        directory.join("stunnel.log").display(),
        text.replace(OWN, &own.to_string())
    );
    let file = directory.join("stunnel.conf");
    fs::write(&file, text).unwrap();
    let process = Process::start(&program, &[file.to_str().unwrap()]);
    assert!(becomes_true(|| TcpStream::connect(own).is_ok()), "stunnel does not listen");
    Ok((process, own))
}

#[test]
fn a_stunnel_at_the_far_side_shows_the_certificate() {
    let (recorder, certs) = (Recorder::start(), tempfile::tempdir().unwrap());
    certificates(certs.path());
    let gateway = gateway(recorder.address(), certs.path());
    // By a name, which stunnel would say in the handshake if it were not told not to.
    let named = format!("localhost:{}", gateway.addr().port());
    let text = configuration("ini", &named, certs.path());
    let Some((_stunnel, own)) = or_left_out(stunnel(&text, certs.path())) else { return };
    ask(own, &gateway);
}
