//! The ways in which the gateway comes to stand in front of a XiVO whose peers change nothing: the files of `packaging/`, as
//! they are, between a real XiVO and its callers.

use std::{fs, net::SocketAddr};

use serde_json::json;

use crate::support::{
    http::{Answer, get, request},
    needs::{or_left_out, program},
    network::{LAN, in_own_network},
    peers::{Callers, nft},
    serving::{Serving, config, loopback_config},
    xivo::{Nginx, PHONEBOOK, RealXivo},
};

const REDIRECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/nftables-redirect.nft");
const NGINX_LOCATION: &str = include_str!("../../packaging/nginx-location.conf");

/// XiVO 1 of the documentation, which `packaging/nftables-redirect.nft` names, and a host that it does not.
const PEER: &str = "192.168.1.124";
const OTHER: &str = "192.168.1.130";

fn search(term: &str) -> String {
    format!("{PHONEBOOK}?act=search&search={term}")
}

fn private() -> String {
    PHONEBOOK.replace("restricted", "private")
}

/// Whether the gateway gave this answer; XiVO gives none an id.
fn by_gateway(answer: &Answer) -> bool {
    answer.header("x-request-id").is_some()
}

#[test]
fn redirected_packets_of_a_peer_reach_the_gateway_and_all_others_xivo() {
    in_own_network(
        "standing_in_front::redirected_packets_of_a_peer_reach_the_gateway_and_all_others_xivo",
        || {
            let Some(program) = or_left_out(program("nft", "nftables")) else { return };
            let callers = match Callers::connect(&[PEER, OTHER]) {
                Ok(callers) => callers,
                Err(missing) => return crate::support::needs::left_out(&missing),
            };
            let web = SocketAddr::new(LAN, 80);
            let Some(xivo) = or_left_out(RealXivo::start_also_on(&[web])) else { return };
            fs::write(xivo.directory().join("www/index.html"), "XiVO's web interface").unwrap();
            // The back door is closed: only the gateway's own address is a Web Services user.
            xivo.set_hosts(&["192.168.1.125"]);
            let main = config("http://192.168.1.125:80", "host = \"localhost\"")
                .replace("127.0.0.1:0", "[::]:9480");
            let policy = format!("hosts = [\"{PEER}\"]\n");
            let gateway = Serving::start(&main, &[("xivo-montreal", &policy)]).unwrap();
            let ask = |from: &str, target: &str| callers.request(from, web, target);

            for from in [PEER, OTHER] {
                assert_eq!(ask(from, "/").body, b"XiVO's web interface");
                assert_eq!(ask(from, &search("doe")).status, 401);
            }

            // Twice: loading it again changes nothing.
            nft(&program, &["-f", REDIRECT]);
            nft(&program, &["-f", REDIRECT]);
            xivo.clear();
            xivo.set_hosts(&["192.168.1.125"]);
            let found = ask(PEER, &search("lef%C3%A8vre"));
            assert!(found.status == 200 && by_gateway(&found), "{found:?}");
            assert_eq!(found.json()[0]["phonebook"]["lastname"], "Lefèvre");
            let record = xivo.records().remove(0);
            assert_eq!(record.remote_addr, "192.168.1.125");
            assert_eq!(record.headers["HTTP_X_REAL_IP"], PEER);
            for (target, status) in [
                (private(), 403),
                (PHONEBOOK.replace("restricted", "pri..vate"), 403),
                (format!("{PHONEBOOK}?act=delete&id=1"), 403),
                (format!("{PHONEBOOK}?act=list"), 403),
                ("/".to_owned(), 404),
            ] {
                let answer = ask(PEER, &target);
                assert!(answer.status == status && by_gateway(&answer), "{target}: {answer:?}");
            }
            assert_eq!(xivo.records().len(), 1, "what the gateway refuses never reaches XiVO");

            // Everybody else has XiVO as before.
            assert_eq!(ask(OTHER, "/").body, b"XiVO's web interface");
            let answer = ask(OTHER, &search("doe"));
            assert!(answer.status == 401 && !by_gateway(&answer), "{answer:?}");
            // At its own port the gateway knows who is no peer.
            let direct = callers.request(OTHER, SocketAddr::new(LAN, 9480), &search("doe"));
            assert!(direct.status == 403 && by_gateway(&direct), "{direct:?}");
            let log = gateway.access_log_of(7);
            let of = |user: &str| log.lines().filter(|line| line.starts_with(user)).count();
            assert_eq!(of(&format!("{PEER} - xivo-montreal [")), 6, "{log}");
            assert_eq!(of(&format!("{OTHER} - - [")), 1, "{log}");

            nft(&program, &["delete", "table", "inet", "phonebook_gateway"]);
            assert!(!by_gateway(&ask(PEER, "/")));
        },
    );
}

#[test]
fn xivo_s_own_nginx_passes_the_location_and_says_who_asks() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let main = format!(
        "{}[limits]\nunknown_rate = {{ per_second = 9, burst = 9 }}\n",
        loopback_config(xivo.addr())
            .replace("\"127.0.0.1:0\"", "\"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]")
    );
    let policy = "hosts = [\"127.0.0.11\"]\n";
    let gateway = Serving::start(&main, &[("xivo-montreal", policy)]).unwrap();
    // The file, but for the gateway's port.
    let location = NGINX_LOCATION.replace("127.0.0.1:9480", &gateway.addr().to_string());
    assert!(location != NGINX_LOCATION);
    let rest = format!("{location}\nlocation / {{ return 404 \"XiVO\\n\"; }}");
    let Some(nginx) = or_left_out(Nginx::serving("", &rest)) else { return };
    let ask = |from: &str, target: &str, lines: &str| {
        request(nginx.addr(), Some(from.parse().unwrap()), "GET", target, lines)
    };

    let found = ask("127.0.0.11", &search("lef%C3%A8vre"), "");
    assert!(found.status == 200 && by_gateway(&found), "{found:?}");
    assert_eq!(found.json()[0]["phonebook"]["lastname"], "Lefèvre");
    assert_eq!(ask("127.0.0.11", &search("nobody"), "").status, 204);
    let list = ask("127.0.0.11", &format!("{PHONEBOOK}?act=list"), "");
    assert_eq!((list.status, &list.json()["reason"]), (403, &json!("action-not-granted")));

    // Whoever is in no policy is nobody to the gateway, whatever it says of itself.
    for (from, lines) in [
        ("127.0.0.12", ""),
        ("127.0.0.1", ""),
        ("127.0.0.12", "X-Forwarded-For: 127.0.0.11\r\nX-Real-IP: 127.0.0.11\r\n"),
    ] {
        let answer = ask(from, &search("doe"), lines);
        assert_eq!(
            (answer.status, &answer.json()["reason"]),
            (403, &json!("unknown-peer")),
            "{from}"
        );
    }
    // Other spellings of the path do not become the gateway's own: nginx passes the path as it was sent.
    let spelt = ask("127.0.0.11", &search("doe").replace("/service", "//service"), "");
    assert!(spelt.status == 404 && by_gateway(&spelt), "{spelt:?}");
    let private = ask("127.0.0.11", &private(), "");
    assert!(!by_gateway(&private), "{private:?}");
    assert_eq!(xivo.records().len(), 2);
    let log = gateway.access_log_of(7);
    assert!(log.starts_with("127.0.0.11 - xivo-montreal ["), "{log}");
    assert_eq!(log.lines().filter(|line| line.starts_with("127.0.0.12 - - [")).count(), 2);
}

#[test]
fn a_peer_that_changes_its_url_asks_the_gateway_s_port() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let main = loopback_config(xivo.addr());
    let gateway = Serving::start(&main, &[("peer", "hosts = [\"127.0.0.1\"]\n")]).unwrap();
    assert_eq!(get(gateway.addr(), &search("doe")).status, 200);
    // Until the peer's Web Services user is removed it can go around.
    assert_eq!(get(xivo.addr(), &format!("{PHONEBOOK}?act=list")).status, 200);
    xivo.set_hosts(&["192.168.1.125"]);
    assert_eq!(get(xivo.addr(), &format!("{PHONEBOOK}?act=list")).status, 401);
}
