//! Peers that are known by a host name: found, followed, remembered, and let go of in time; and nobody waits for a
//! name server.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use crate::support::{
    dns::{Dnsmasq, NameServer, Says, has},
    needs::or_left_out,
    process::becomes_true,
    raw::{Client, reason},
    scripted::Scripted,
};
use domain::base::iana::Rcode;
use jiff::Timestamp;
use phonebook_gateway::config::Config;
use phonebook_gateway::identity::caller::Caller;
use phonebook_gateway::server::{NameRefresher, Server};
use phonebook_gateway::worker::Shared;

mod asking;
mod explained;
mod kept;
mod served;
mod serving;
mod told;

/// Names as a gateway keeps them, with a clock that a test turns.
#[derive(Debug)]
struct Kept {
    shared: Arc<Shared>,
    keeper: NameRefresher,
    now: Timestamp,
}

/// A configuration that asks this name server; `names` is more of the section. A peer is a name and its hosts.
fn config(state: &Path, server: SocketAddr, names: &str, peers: &[(String, String)]) -> Config {
    config_before("192.0.2.80:80".parse().unwrap(), state, server, names, peers)
}

fn config_before(
    xivo: SocketAddr,
    state: &Path,
    server: SocketAddr,
    names: &str,
    peers: &[(String, String)],
) -> Config {
    let main = format!(
        "state_directory = {state:?}\nworkers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [upstream]\nurl = \"http://{xivo}\"\ndanger_loopback_source = true\nconnect_timeout = \"20s\"\n\
         timeout = \"20s\"\n[[access_log]]\npath = {:?}\n[names]\nresolver = [\"{server}\"]\n{names}\n",
        state.join("access.log"),
    );
    let policies: Vec<(String, String)> = peers
        .iter()
        .map(|(name, hosts)| (format!("policies/{name}.toml"), format!("hosts = {hosts}\n")))
        .collect();
    let policies: Vec<(&str, &str)> =
        policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let (config, _) = Config::from_texts(("gateway.toml", &main), &policies)
        .unwrap_or_else(|problems| panic!("{problems}"));
    config
}

/// One peer: `lyon`, known as lyon.example.org.
fn lyon() -> Vec<(String, String)> {
    vec![("lyon".to_owned(), "[\"lyon.example.org\"]".to_owned())]
}

impl Kept {
    fn start(config: Config) -> Self {
        Self::of(&Arc::new(Shared::new(Arc::new(config), Vec::new(), usize::MAX)))
    }

    fn of(shared: &Arc<Shared>) -> Self {
        let keeper = NameRefresher::new(shared).unwrap();
        let mut kept = Self { shared: Arc::clone(shared), keeper, now: Timestamp::now() };
        kept.turn(0);
        kept
    }

    fn whose(&self, address: &str) -> Option<String> {
        whose(&self.shared, address)
    }

    fn is_lyons(&self, address: &str) -> bool {
        self.whose(address).as_deref() == Some("lyon")
    }

    /// So many seconds later whatever is due then is asked for, and every answer waited for.
    fn turn(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        let come = || {
            self.keeper.poll(self.now, Duration::from_millis(5));
            !self.keeper.is_asking()
        };
        assert!(becomes_true(come));
    }
}

fn whose(shared: &Shared, address: &str) -> Option<String> {
    let address: IpAddr = address.parse().unwrap();
    let snapshot = shared.snapshot();
    let found = snapshot.peers.find(&Caller::direct(SocketAddr::new(address, 40_000)));
    found.peer().map(|peer| peer.policy.name.to_string())
}

#[test]
fn a_real_name_server_is_followed_through_change_absence_and_outage() {
    let Some(mut server) = or_left_out(Dnsmasq::start("198.51.100.4 lyon.example.org")) else {
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let hold = "hold_nx = \"1h\"\nhold_timeout = \"2h\"";
    let mut kept = Kept::start(config(state.path(), server.address(), hold, &lyon()));
    assert!(kept.is_lyons("198.51.100.4"));
    // Its answers are for 300 s.
    server
        .reload("198.51.100.9 lyon.example.org\n2001:db8::9 lyon.example.org", "first.example.org");
    kept.turn(200);
    assert!(kept.is_lyons("198.51.100.4"), "not before its time");
    kept.turn(100);
    assert!(kept.is_lyons("2001:db8::9") && kept.is_lyons("198.51.100.9"));
    assert_eq!(kept.whose("198.51.100.4"), None);
    // There is no such name.
    server.reload("", "second.example.org");
    kept.turn(300);
    assert!(kept.is_lyons("198.51.100.9"), "held");
    kept.turn(3500);
    assert!(kept.is_lyons("198.51.100.9"), "held for an hour");
    kept.turn(100);
    assert_eq!(kept.whose("198.51.100.9"), None);
    server.reload("198.51.100.9 lyon.example.org", "third.example.org");
    kept.turn(70);
    assert!(kept.is_lyons("198.51.100.9"));
    // Nobody answers.
    server.end();
    kept.turn(300);
    kept.turn(7100);
    assert!(kept.is_lyons("198.51.100.9"), "held for two hours");
    kept.turn(100);
    assert_eq!(kept.whose("198.51.100.9"), None);
    server.run("198.51.100.4 lyon.example.org");
    kept.turn(70);
    assert!(kept.is_lyons("198.51.100.4"));
}

#[test]
fn what_a_name_server_fails_at_or_lies_about_takes_no_peer_away_and_makes_none() {
    let server = NameServer::start();
    server.says("lyon.example.org", has(&["198.51.100.4"]));
    let state = tempfile::tempdir().unwrap();
    let mut kept = Kept::start(config(state.path(), server.address(), "", &lyon()));
    assert!(kept.is_lyons("198.51.100.4"));
    let lie: Vec<IpAddr> = vec!["192.0.2.66".parse().unwrap()];
    let crowd: Vec<String> = (1..=17).map(|at| format!("192.0.2.{at}")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    for what in [
        Says::Fails(Rcode::SERVFAIL),
        Says::Fails(Rcode::REFUSED),
        has(&crowd),
        Says::Referral,
        Says::WrongId(lie.clone()),
        Says::OtherQuestion(lie),
        Says::Garbage,
        Says::Silent,
    ] {
        server.says("lyon.example.org", what.clone());
        let asked = server.asked();
        kept.turn(70);
        assert!(server.asked() > asked);
        assert!(kept.is_lyons("198.51.100.4"), "{what:?}");
        assert_eq!(kept.whose("192.0.2.66"), None, "{what:?}");
        assert_eq!(kept.whose("192.0.2.1"), None, "{what:?}");
    }
    // Addresses that no name may stand for are left out, and the others are not.
    server.says(
        "lyon.example.org",
        has(&["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.1.2.3", "198.51.100.9"]),
    );
    kept.turn(70);
    assert!(kept.is_lyons("198.51.100.9"));
    for address in ["127.0.0.1", "::1", "0.1.2.3"] {
        assert_eq!(kept.whose(address), None);
    }
}

#[test]
fn a_thousand_names_are_resolved_though_some_hang() {
    let server = NameServer::start();
    let peers: Vec<(String, String)> =
        (0..1000).map(|at| (format!("p{at}"), format!("[\"xivo-{at}.example.org\"]"))).collect();
    let address = |at: usize| format!("198.18.{}.{}", at / 250, 1 + at % 250);
    // More than are asked for at once.
    let hang = |at: usize| at < 20;
    for at in 0..1000 {
        let what = if hang(at) { Says::Silent } else { has(&[&address(at)]) };
        server.says(&format!("xivo-{at}.example.org"), what);
    }
    let state = tempfile::tempdir().unwrap();
    let kept = Kept::start(config(state.path(), server.address(), "", &peers));
    for at in (0..1000).filter(|at| !hang(*at)) {
        assert_eq!(kept.whose(&address(at)), Some(format!("p{at}")));
        assert_eq!(server.asked_for(&format!("xivo-{at}.example.org")), 2, "A and AAAA, once");
    }
}

#[test]
fn a_name_that_was_gone_for_too_long_is_not_trusted_again_after_a_restart() {
    let server = NameServer::start();
    server.says("lyon.example.org", has(&["198.51.100.4"]));
    let state = tempfile::tempdir().unwrap();
    let config = || config(state.path(), server.address(), "hold_nx = \"0s\"", &lyon());
    let mut kept = Kept::start(config());
    assert!(kept.is_lyons("198.51.100.4"));
    server.says("lyon.example.org", Says::Fails(Rcode::NXDOMAIN));
    kept.turn(70);
    assert_eq!(kept.whose("198.51.100.4"), None);
    drop(kept);
    // Nobody says anything to the next one: what was last said counts.
    server.says_of_all(Says::Silent);
    let shared = Arc::new(Shared::new(Arc::new(config()), Vec::new(), usize::MAX));
    let _keeper = NameRefresher::new(&shared).unwrap();
    assert_eq!(whose(&shared, "198.51.100.4"), None);
}

/// A gateway that serves, with names and a XiVO.
#[derive(Debug)]
struct Gateway(Option<Server>);

impl Gateway {
    fn start(config: Config) -> Self {
        Self(Some(Server::start(config).unwrap()))
    }

    fn server(&self) -> &Server {
        self.0.as_ref().unwrap()
    }

    fn client(&self, from: &str) -> Client {
        Client::connect_from(self.server().addresses()[0], Some(from.parse().unwrap()))
    }

    fn whose(&self, address: &str) -> Option<String> {
        whose(self.server().shared(), address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            server.stop(Duration::ZERO);
        }
    }
}

const LOOPBACK: &str = "danger_loopback_names = true";

#[test]
fn a_restart_during_an_outage_serves_who_is_known_until_the_hold_ends() {
    let xivo = Scripted::well();
    let server = NameServer::start();
    server.says("lyon.example.org", has(&["127.0.0.4"]));
    let state = tempfile::tempdir().unwrap();
    let config =
        || config_before(xivo.address(), state.path(), server.address(), LOOPBACK, &lyon());
    let first = Gateway::start(config());
    assert!(becomes_true(|| first.whose("127.0.0.4").is_some()));
    assert!(becomes_true(|| state.path().join("names.json").exists()));
    assert_eq!(first.client("127.0.0.4").lookup("before").status, 200);
    drop(first);
    server.says_of_all(Says::Silent);
    let second = Gateway::start(config());
    // At once, whatever the name server does: the start has put it there.
    assert_eq!(second.whose("127.0.0.4").as_deref(), Some("lyon"));
    let mut client = second.client("127.0.0.4");
    assert_eq!(client.lookup("meanwhile").status, 200);
    // What the gateway's own thread will do in a day.
    let mut later = Kept::of(second.server().shared());
    later.turn(86_000);
    assert!(later.is_lyons("127.0.0.4"));
    later.turn(500);
    let refused = client.lookup("after");
    assert_eq!((refused.status, reason(&refused).as_str()), (403, "unknown-peer"));
    server.says("lyon.example.org", has(&["127.0.0.4"]));
    later.turn(70);
    assert_eq!(second.client("127.0.0.4").lookup("again").status, 200);
}

#[test]
fn no_start_and_no_request_waits_for_a_name_server_that_hangs() {
    let xivo = Scripted::well();
    let server = NameServer::start();
    server.says("lyon.example.org", has(&["127.0.0.4"]));
    let state = tempfile::tempdir().unwrap();
    let mut peers = lyon();
    peers.push(("paris".to_owned(), "[\"127.0.0.5\"]".to_owned()));
    peers.extend((0..100).map(|at| (format!("p{at}"), format!("[\"xivo-{at}.example.org\"]"))));
    let config = || config_before(xivo.address(), state.path(), server.address(), LOOPBACK, &peers);
    let first = Gateway::start(config());
    assert!(becomes_true(|| first.whose("127.0.0.4").is_some()));
    let file = || std::fs::read_to_string(state.path().join("names.json")).unwrap_or_default();
    assert!(becomes_true(|| file().contains("127.0.0.4")));
    drop(first);
    server.says_of_all(Says::Silent);
    let asked = server.asked();
    let second = Gateway::start(config());
    assert!(becomes_true(|| server.asked() > asked), "the name server is asked");
    // All of these are answered though no question ever is.
    for round in 0..20 {
        for (from, status) in [("127.0.0.4", 200), ("127.0.0.5", 200), ("127.0.0.6", 403)] {
            let answered = second.client(from).lookup(&format!("round{round}"));
            // Unknown callers have a rate of their own.
            if round < 4 || status == 200 {
                assert_eq!(answered.status, status, "{from}");
            }
        }
    }
}

#[test]
fn a_peer_that_moves_keeps_its_limits_and_leaves_its_old_address_behind() {
    let xivo = Scripted::well();
    let server = NameServer::start();
    server.says("lyon.example.org", has(&["127.0.0.4"]));
    let state = tempfile::tempdir().unwrap();
    let hosts = "[\"lyon.example.org\"]\nrate = { per_minute = 1, burst = 2 }".to_owned();
    let peers = [("lyon".to_owned(), hosts)];
    let config = config_before(xivo.address(), state.path(), server.address(), LOOPBACK, &peers);
    let gateway = Gateway::start(config);
    assert!(becomes_true(|| gateway.whose("127.0.0.4").is_some()));
    let mut old = gateway.client("127.0.0.4");
    assert_eq!((old.lookup("one").status, old.lookup("two").status), (200, 200));
    server.says("lyon.example.org", has(&["127.0.0.9"]));
    // What the gateway's own thread will see in a minute.
    let _later = Kept::of(gateway.server().shared());
    assert_eq!(gateway.whose("127.0.0.9").as_deref(), Some("lyon"));
    let limited = gateway.client("127.0.0.9").lookup("three");
    assert_eq!((limited.status, reason(&limited).as_str()), (429, "rate-limited"));
    // A connection that was open already is judged by what is known now.
    let refused = old.lookup("four");
    assert_eq!((refused.status, reason(&refused).as_str()), (403, "unknown-peer"));
}
