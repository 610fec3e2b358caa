//! Nobody takes the others' connections: each holder meets its own limit, and idle ones make room.

use std::net::SocketAddr;

use rustls::version;
use tempfile::TempDir;

use crate::support::{
    http2::{self, Sound},
    live::{Live, Setup, policy},
    pki::{Authority, Wanted},
    process::becomes_true,
    raw::{Client, End, reason, target},
    scripted::{Door, Scripted},
    tls::{self, credulous, file, text},
};

const LEAKY: &str = "127.0.0.1";
const HONEST: &str = "127.0.0.2";

/// A house for 40, of which the leaky peer may have ten.
fn house(upstream: &Scripted) -> Setup {
    Setup::new(upstream.address())
        .upstream("timeout = \"1h\"")
        .limits("max_connections = 40")
        .policy("lyon", policy(LEAKY, "connections = 10"))
        .policy("nice", policy(HONEST, ""))
}

fn open(gateway: &Live) -> usize {
    gateway.server().shared().connections()
}

/// The client's connection has been ended by the gateway, in order.
fn is_ended(client: &mut Client) -> bool {
    client.ended() == End::Orderly
}

#[test]
fn a_peer_that_leaks_connections_loses_its_own_longest_idle_one_and_nobody_elses() {
    let upstream = Scripted::well();
    for workers in [1, 4] {
        let gateway = house(&upstream).workers(workers).start();
        let mut honest = gateway.client_from(HONEST);
        assert_eq!(honest.lookup("first").status, 200);
        let mut leaked = Vec::new();
        for number in 0..50 {
            let mut client = gateway.client();
            assert_eq!(client.lookup("leak").status, 200, "{number}");
            leaked.push(client);
        }
        assert!(becomes_true(|| open(&gateway) == 11), "{}", open(&gateway));
        assert!(leaked[..40].iter_mut().all(is_ended));
        for client in leaked[40..].iter_mut().chain([&mut honest]) {
            assert_eq!(client.lookup("kept").status, 200);
        }
    }
}

#[test]
fn connections_on_which_nothing_is_said_make_room_for_others() {
    let upstream = Scripted::well();
    let gateway = house(&upstream).limits("head_timeout = \"1h\"").start();
    let _silent: Vec<Client> = (0..10).map(|_| gateway.client()).collect();
    assert!(becomes_true(|| open(&gateway) == 10));
    assert_eq!(gateway.client_from(HONEST).lookup("any").status, 200);
    // One that was just opened is not closed for its own holder's next; it is after a second.
    assert!(becomes_true(|| gateway.client().lookup("own").status == 200));
}

#[test]
fn connections_over_http2_make_room_as_all_others() {
    let upstream = Scripted::well();
    let setup = http2::setup(upstream.address());
    let gateway = setup.policy("lyon", policy(LEAKY, "connections = 2")).start();
    let mut leaked: Vec<Sound> = (0..5)
        .map(|_| {
            let client = Sound::connect(gateway.address);
            assert_eq!(client.get(&target("leak")).status, 200);
            client
        })
        .collect();
    let kept = leaked.split_off(3);
    leaked.into_iter().for_each(Sound::until_left);
    kept.iter().for_each(|client| assert_eq!(client.get(&target("kept")).status, 200));
    // One that has not said that it speaks HTTP/2 is waited for, and makes room, too.
    assert!(becomes_true(|| open(&gateway) == 2));
}

#[test]
fn a_request_over_http2_that_is_under_way_is_never_ended_for_a_newcomer() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let setup = http2::setup(upstream.address()).upstream("timeout = \"1h\"");
    let gateway = setup.policy("lyon", policy(LEAKY, "connections = 1")).start();
    let busy = Sound::connect(gateway.address);
    let answers = std::thread::scope(|scope| {
        let first = scope.spawn(|| busy.get(&target("slow")));
        assert!(becomes_true(|| upstream.requests().len() == 1));
        let told = Sound::connect(gateway.address).get(&target("more"));
        door.open();
        (first.join().unwrap().status.as_u16(), told.status.as_u16(), told.reason())
    });
    assert_eq!(answers, (200, 503, "overloaded".to_owned()));
}

#[test]
fn a_request_under_way_is_never_ended_for_a_newcomer() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let gateway = house(&upstream).start();
    let mut busy: Vec<Client> = (0..10).map(|_| gateway.client()).collect();
    busy.iter_mut().for_each(|client| client.search("slow"));
    assert!(becomes_true(|| upstream.requests().len() == 10));
    for _ in 0..20 {
        let answer = gateway.client().lookup("more");
        assert_eq!((answer.status, reason(&answer).as_str()), (503, "overloaded"));
    }
    assert_eq!(gateway.client_from(HONEST).lookup("any").status, 200);
    door.open();
    for client in &mut busy {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn a_full_house_makes_room_from_whoever_has_most() {
    let upstream = Scripted::well();
    let hoarders = ["127.0.1.1", "127.0.1.2", "127.0.1.3"];
    let mut setup = house(&upstream);
    for (name, host) in ["a", "b", "c"].into_iter().zip(hoarders) {
        setup = setup.policy(name, policy(host, "connections = 13"));
    }
    let gateway = setup.start();
    let mut hoards: Vec<Vec<Client>> = hoarders
        .iter()
        .map(|host| (0..13).map(|_| gateway.client_from(host)).collect::<Vec<_>>())
        .collect();
    hoards.iter_mut().flatten().for_each(|client| assert_eq!(client.lookup("any").status, 200));
    let mut honest: Vec<Client> = (0..6).map(|_| gateway.client_from(HONEST)).collect();
    honest.iter_mut().for_each(|client| assert_eq!(client.lookup("any").status, 200));
    assert!(becomes_true(|| open(&gateway) == 40));
    honest.iter_mut().for_each(|client| assert_eq!(client.lookup("again").status, 200));
    // Unknown callers find no room there, and take none.
    assert!(is_ended(&mut gateway.client_from("127.0.0.9")));
}

#[test]
fn an_unknown_caller_has_its_few_connections_and_the_next_one_still_comes_in() {
    let upstream = Scripted::well();
    let gateway = house(&upstream).limits("unknown_connections = 3\nhead_timeout = \"1h\"").start();
    let silent: Vec<Client> = (0..3).map(|_| gateway.client_from("127.0.0.9")).collect();
    assert!(becomes_true(|| open(&gateway) == 3));
    assert!(is_ended(&mut gateway.client_from("127.0.0.9")));
    assert_eq!(gateway.client_from("127.0.0.10").lookup("any").status, 403);
    drop(silent);
}

#[test]
fn a_request_that_is_on_its_way_when_its_connection_makes_room_is_answered() {
    let upstream = Scripted::well();
    let setup = house(&upstream).policy("lyon", policy(LEAKY, "connections = 1"));
    let gateway = setup.start();
    // Whether the newcomer or the request comes first, both are answered, or the connection was ended before.
    for _ in 0..50 {
        let mut first = gateway.client();
        assert_eq!(first.lookup("one").status, 200);
        first.search("two");
        let mut second = gateway.client();
        assert_eq!(first.answer().status, 200);
        let answer = second.lookup("three").status;
        assert!([200, 503].contains(&answer), "{answer}");
    }
}

#[test]
fn a_pair_of_ceilings_that_do_not_fit_is_an_error() {
    let problems = |limits: &str, peer: &str| {
        let main = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://192.0.2.1\"\n[limits]\n{limits}\n"
        );
        let policy = format!("hosts = [\"192.0.2.9\"]\n{peer}\n");
        let read = phonebook_gateway::config::Config::from_texts(
            ("gateway.toml", &main),
            &[("policies/lyon.toml", &policy)],
        );
        match read {
            Ok((_, warnings)) => (0, warnings.iter().map(ToString::to_string).collect::<String>()),
            Err(problems) => (1, problems.render(&annotate_snippets::Renderer::plain())),
        }
    };
    let (errors, said) = problems("max_connections = 100\nunknown_connections = 26", "");
    assert!(errors == 1 && said.contains("allowed: 1 to 25"), "{said}");
    let (errors, said) = problems("max_connections = 100", "connections = 101");
    assert!(errors == 1 && said.contains("allowed: 1 to 100"), "{said}");
    let (errors, said) = problems("", "connections = 4");
    assert!(errors == 0 && said.contains("8 lookups at once never come over 4"), "{said}");
    assert_eq!(problems("max_connections = 8", "connections = 8"), (0, String::new()));
}

/// A TLS listener, and a peer that is known by its certificate alone.
struct Site {
    gateway: Live,
    client: std::sync::Arc<rustls::ClientConfig>,
    _directory: TempDir,
    _upstream: Scripted,
}

fn site(limits: &str) -> Site {
    let authority = Authority::new("Site CA");
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) =
        authority.issue(&Wanted::server("localhost")).write(directory.path(), "gateway");
    let ca = file(directory.path(), "ca.pem", authority.pem());
    let identity = authority.issue(&Wanted::client("nice"));
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address()).limits(limits);
    setup.listen = format!(
        "tls = {{ certificate = \"{}\", private_key = \"{}\", client_ca = \"{}\" }}\n",
        text(&certificate),
        text(&key),
        text(&ca)
    );
    let nice = "actions = [\"search\"]\nrate = { per_second = 1000000, burst = 1000000 }\n\
                [certificate]\ncommon_name = [\"nice\"]\nrequire = \"certificate\"\n";
    setup = setup.policy("lyon", policy("192.0.2.1", "")).policy("nice", nice.to_owned());
    Site {
        gateway: setup.start(),
        client: credulous(&[&version::TLS13], Some(&identity)),
        _directory: directory,
        _upstream: upstream,
    }
}

impl Site {
    fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// The status of one lookup of the peer that only its certificate names.
    fn lookup(&self) -> u16 {
        let mut tls = tls::connect(self.address(), &self.client, "localhost").unwrap();
        tls::get(&mut tls, &target("doe")).status
    }

    fn silent(&self, from: &str) -> Client {
        self.gateway.client_from(from)
    }
}

#[test]
fn a_peer_known_by_its_certificate_comes_in_beside_one_attacker_and_beside_a_hundred() {
    let site = site(
        "max_connections = 1000\nhead_timeout = \"1h\"\nhandshake_rate = { per_second = 1000, burst = 10000 }",
    );
    assert_eq!(site.lookup(), 200);
    let one: Vec<Client> = (0..100).map(|_| site.silent("127.0.9.1")).collect();
    assert!(becomes_true(|| open(&site.gateway) == 32), "{}", open(&site.gateway));
    assert_eq!(site.lookup(), 200);
    let many: Vec<Client> =
        (0..5).flat_map(|_| 1..=100).map(|host| site.silent(&format!("127.0.8.{host}"))).collect();
    for _ in 0..20 {
        assert_eq!(site.lookup(), 200);
    }
    assert!(open(&site.gateway) <= 128 + 64, "{}", open(&site.gateway));
    drop((one, many));
    assert!(site.gateway.comes_to_rest());
}

#[test]
fn who_begins_handshakes_too_often_is_not_heard_and_a_known_peer_is() {
    let site = site("handshake_rate = { per_minute = 1, burst = 3 }");
    // Three handshakes of an unknown caller that come to nothing, and no more.
    for _ in 0..3 {
        let mut client = site.silent("127.0.9.1");
        client.send("\x16\x03\x01\x00\x01\x00");
        assert!(client.ended() == End::Orderly || client.ended() == End::Reset);
    }
    let mut rejected = site.silent("127.0.9.1");
    assert_eq!(rejected.ended(), End::Orderly);
    // Those of a peer that its certificate names are not an unknown caller's, however many there are.
    for _ in 0..10 {
        assert_eq!(site.lookup(), 200);
    }
}

#[test]
fn an_address_that_a_policy_knows_is_its_peers_from_the_first_packet() {
    let authority = Authority::new("Site CA");
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) =
        authority.issue(&Wanted::server("localhost")).write(directory.path(), "gateway");
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address())
        .limits("unknown_connections = 1\nhandshake_rate = { per_minute = 1, burst = 1 }");
    setup.listen = format!(
        "tls = {{ certificate = \"{}\", private_key = \"{}\" }}\n",
        text(&certificate),
        text(&key)
    );
    let gateway = setup.start();
    let _known: Vec<Client> = (0..20).map(|_| gateway.client()).collect();
    assert!(becomes_true(|| open(&gateway) == 20));
    let client = credulous(&[&version::TLS13], None);
    let mut tls = tls::connect(gateway.address, &client, "localhost").unwrap();
    assert_eq!(tls::get(&mut tls, &target("doe")).status, 200);
}
