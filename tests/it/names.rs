//! Peers that are known by a host name: found, followed, remembered, and let go of in time; and nobody waits for a
//! name server.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::base::iana::Rcode;
use jiff::Timestamp;
use phonebook_gateway::{
    caller::Caller,
    config::Config,
    names::memory::{self, Memory},
    server::{Clock, NameKeeper, Server},
    worker::Shared,
};
use tempfile::TempDir;

use crate::support::{
    dns::{Dnsmasq, NameServer, Says, has},
    needs::or_left_out,
    process::becomes_true,
    raw::{Client, reason},
    scripted::Scripted,
};

mod asking;
mod serving;

/// A clock that stands until a test turns it.
#[derive(Clone, Debug)]
struct Turned(Arc<Mutex<Timestamp>>);

impl Turned {
    fn new() -> Self {
        Self(Arc::new(Mutex::new("2026-11-01T00:00:00Z".parse().unwrap())))
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Clock::new(move || *now.lock().unwrap())
    }

    fn turn(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

/// Names as a gateway keeps them, with a state directory that outlives it.
#[derive(Debug)]
struct Kept {
    shared: Arc<Shared>,
    keeper: Option<NameKeeper>,
    clock: Turned,
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
    fn start(config: Config, clock: &Turned) -> Self {
        let shared = Arc::new(Shared::new(Arc::new(config), Vec::new(), usize::MAX));
        let keeper = NameKeeper::start(&shared, clock.clock()).unwrap();
        Self { shared, keeper: Some(keeper), clock: clock.clone() }
    }

    fn whose(&self, address: &str) -> Option<String> {
        whose(&self.shared, address)
    }

    /// Waits until the address is `lyon`'s.
    fn is_lyons(&self, address: &str) -> bool {
        becomes_true(|| self.whose(address).as_deref() == Some("lyon"))
    }

    /// Waits until the address is nobody's.
    fn is_nobodys(&self, address: &str) -> bool {
        becomes_true(|| self.whose(address).is_none())
    }

    fn turn(&self, seconds: u64) {
        self.clock.turn(seconds);
        self.keeper.as_ref().unwrap().look();
    }
}

fn whose(shared: &Shared, address: &str) -> Option<String> {
    let address: IpAddr = address.parse().unwrap();
    let snapshot = shared.snapshot();
    let found = snapshot.peers.find(&Caller::direct(SocketAddr::new(address, 40_000)));
    found.peer().map(|peer| peer.policy.name.to_string())
}

/// What is remembered, as soon as it is like this.
fn remembered(state: &TempDir, is: impl Fn(&Memory) -> bool) -> bool {
    becomes_true(|| memory::load(&memory::file_in(state.path())).unwrap().is_some_and(|m| is(&m)))
}

fn fails(memory: &Memory) -> bool {
    memory.names.iter().any(|name| name.failing.is_some())
}

#[test]
fn a_real_name_server_is_followed_through_change_absence_and_outage() {
    let Some(mut server) = or_left_out(Dnsmasq::start("198.51.100.4 lyon.example.org")) else {
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let clock = Turned::new();
    let hold = "hold_nx = \"1h\"\nhold_timeout = \"2h\"";
    let kept = Kept::start(config(state.path(), server.address(), hold, &lyon()), &clock);
    assert!(kept.is_lyons("198.51.100.4"));
    // Its answers are for 300 s, and are asked for anew after that and up to a tenth of it.
    server
        .reload("198.51.100.9 lyon.example.org\n2001:db8::9 lyon.example.org", "first.example.org");
    kept.turn(331);
    assert!(kept.is_lyons("2001:db8::9") && kept.is_lyons("198.51.100.9"));
    assert_eq!(kept.whose("198.51.100.4"), None);
    // There is no such name.
    server.reload("", "second.example.org");
    kept.turn(331);
    assert!(remembered(&state, fails));
    assert_eq!(kept.whose("198.51.100.9").as_deref(), Some("lyon"), "held");
    kept.turn(3600);
    assert!(kept.is_nobodys("198.51.100.9"));
    server.reload("198.51.100.9 lyon.example.org", "third.example.org");
    kept.turn(70);
    assert!(kept.is_lyons("198.51.100.9"));
    assert!(remembered(&state, |memory| !fails(memory)));
    // Nobody answers.
    server.end();
    kept.turn(331);
    assert!(remembered(&state, fails));
    kept.turn(7000);
    assert_eq!(kept.whose("198.51.100.9").as_deref(), Some("lyon"), "held for two hours");
    kept.turn(600);
    assert!(kept.is_nobodys("198.51.100.9"));
    server.run("198.51.100.4 lyon.example.org");
    kept.turn(70);
    assert!(kept.is_lyons("198.51.100.4"));
}

#[test]
fn what_a_name_server_fails_at_or_lies_about_takes_no_peer_away_and_makes_none() {
    let server = NameServer::start();
    server.says("lyon.example.org", has(&["198.51.100.4"]));
    let state = tempfile::tempdir().unwrap();
    let clock = Turned::new();
    let kept = Kept::start(config(state.path(), server.address(), "", &lyon()), &clock);
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
        kept.turn(70);
        assert!(remembered(&state, fails), "{what:?}");
        assert_eq!(kept.whose("198.51.100.4").as_deref(), Some("lyon"), "{what:?}");
        assert_eq!(kept.whose("192.0.2.66"), None, "{what:?}");
        assert_eq!(kept.whose("192.0.2.1"), None, "{what:?}");
        server.says("lyon.example.org", has(&["198.51.100.4"]));
        kept.turn(70);
        assert!(remembered(&state, |memory| !fails(memory)), "{what:?}");
    }
    // Addresses that no name may stand for are left out, and the others are not.
    server.says("lyon.example.org", has(&["127.0.0.1", "::1", "::ffff:127.0.0.1", "198.51.100.9"]));
    kept.turn(70);
    assert!(kept.is_lyons("198.51.100.9"));
    assert_eq!((kept.whose("127.0.0.1"), kept.whose("::1")), (None, None));
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
    let clock = Turned::new();
    let kept = Kept::start(config(state.path(), server.address(), "", &peers), &clock);
    for at in (0..1000).filter(|at| !hang(*at)) {
        let found = || kept.whose(&address(at)) == Some(format!("p{at}"));
        assert!(becomes_true(found), "xivo-{at}");
    }
    for at in 0..1000 {
        assert_eq!(server.asked_for(&format!("xivo-{at}.example.org")), 2, "A and AAAA, once");
    }
    drop(kept);
    assert!(remembered(&state, |memory| memory.names.len() == 980));
}

/// A gateway that serves, with names and a XiVO.
#[derive(Debug)]
struct Gateway {
    server: Option<Server>,
    clock: Turned,
}

impl Gateway {
    fn start(config: Config, clock: &Turned) -> Self {
        let server = Server::start_at(config, clock.clock()).unwrap();
        Self { server: Some(server), clock: clock.clone() }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn client(&self, from: &str) -> Client {
        Client::connect_from(self.server().addresses()[0], Some(from.parse().unwrap()))
    }

    fn whose(&self, address: &str) -> Option<String> {
        whose(self.server().shared(), address)
    }

    fn turn(&self, seconds: u64) {
        self.clock.turn(seconds);
        self.server().names().unwrap().look();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
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
    let clock = Turned::new();
    let config =
        || config_before(xivo.address(), state.path(), server.address(), LOOPBACK, &lyon());
    let first = Gateway::start(config(), &clock);
    assert!(becomes_true(|| first.whose("127.0.0.4").is_some()));
    assert_eq!(first.client("127.0.0.4").lookup("before").status, 200);
    drop(first);
    server.says_of_all(Says::Silent);
    clock.turn(3600);
    let second = Gateway::start(config(), &clock);
    // At once, whatever the name server does: the start has put it there.
    assert_eq!(second.whose("127.0.0.4").as_deref(), Some("lyon"));
    let mut client = second.client("127.0.0.4");
    assert_eq!(client.lookup("meanwhile").status, 200);
    assert!(remembered(&state, fails));
    // A day after the answer's time, and not after the restart.
    second.turn(82_700);
    assert_eq!(second.whose("127.0.0.4").as_deref(), Some("lyon"));
    second.turn(300);
    assert!(becomes_true(|| second.whose("127.0.0.4").is_none()));
    let refused = client.lookup("after");
    assert_eq!((refused.status, reason(&refused).as_str()), (403, "unknown-peer"));
    server.says("lyon.example.org", has(&["127.0.0.4"]));
    let found = || {
        // A question that was asked before may still be on its way to nowhere.
        second.turn(70);
        second.whose("127.0.0.4").is_some()
    };
    assert!(becomes_true(found));
    assert_eq!(second.client("127.0.0.4").lookup("again").status, 200);
}

#[test]
fn no_start_and_no_request_waits_for_a_name_server_that_hangs() {
    let xivo = Scripted::well();
    let server = NameServer::start();
    server.says("lyon.example.org", has(&["127.0.0.4"]));
    let state = tempfile::tempdir().unwrap();
    let clock = Turned::new();
    let mut peers = lyon();
    peers.push(("paris".to_owned(), "[\"127.0.0.5\"]".to_owned()));
    peers.extend((0..100).map(|at| (format!("p{at}"), format!("[\"xivo-{at}.example.org\"]"))));
    let config = || config_before(xivo.address(), state.path(), server.address(), LOOPBACK, &peers);
    let first = Gateway::start(config(), &clock);
    assert!(becomes_true(|| first.whose("127.0.0.4").is_some()));
    drop(first);
    server.says_of_all(Says::Silent);
    let asked = server.asked();
    let second = Gateway::start(config(), &clock);
    assert!(becomes_true(|| server.asked() > asked), "the name server is asked");
    // All of these are answered though no question ever is.
    for round in 0..20 {
        for (from, status) in [("127.0.0.4", 200), ("127.0.0.5", 200), ("127.0.0.6", 403)] {
            let answered = second.client(from).lookup(&format!("round{round}"));
            // Strangers have a rate of their own.
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
    let clock = Turned::new();
    let hosts = "[\"lyon.example.org\"]\nrate = { per_minute = 1, burst = 2 }".to_owned();
    let peers = [("lyon".to_owned(), hosts)];
    let config = config_before(xivo.address(), state.path(), server.address(), LOOPBACK, &peers);
    let gateway = Gateway::start(config, &clock);
    assert!(becomes_true(|| gateway.whose("127.0.0.4").is_some()));
    let mut old = gateway.client("127.0.0.4");
    assert_eq!((old.lookup("one").status, old.lookup("two").status), (200, 200));
    server.says("lyon.example.org", has(&["127.0.0.9"]));
    gateway.turn(70);
    assert!(becomes_true(|| gateway.whose("127.0.0.9").is_some()));
    let limited = gateway.client("127.0.0.9").lookup("three");
    assert_eq!((limited.status, reason(&limited).as_str()), (429, "rate-limited"));
    // A connection that was open already is judged by what is known now.
    let refused = old.lookup("four");
    assert_eq!((refused.status, reason(&refused).as_str()), (403, "unknown-peer"));
}
