//! What is counted is what the access log has, to the unit, whatever happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpStream,
};

use rustix::process::Signal;
use socket2::SockRef;

use super::{SOCKET, figures, serve, usual};
use crate::support::{
    binary::Binary,
    http2,
    live::{PATIENT, policy},
    process::becomes_true,
    raw::{Client, list, search, target, view},
    scripted::{Door, Scripted, found, json},
};

/// Requests by peer, verdict and reason.
type Counts = BTreeMap<(String, String, String), u64>;

/// As the log has them.
fn logged(gateway: &Binary) -> Counts {
    let mut counts = Counts::new();
    for line in gateway.log("access.log") {
        let (peer, reason) = line.split_once(' ').unwrap();
        let peer = if peer == "-" { "" } else { peer };
        let (verdict, reason) = if reason == "-" { ("allow", "") } else { ("deny", reason) };
        let key = (peer.to_owned(), verdict.to_owned(), reason.to_owned());
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// As `/metrics` has them; peers that have asked nothing are there with 0.
fn counted(gateway: &Binary) -> Counts {
    let mut counts = Counts::new();
    for (name, value) in figures(gateway) {
        let Some(labels) = name.strip_prefix("phonebook_gateway_requests_total{") else { continue };
        let labels: BTreeMap<&str, &str> =
            labels.trim_end_matches('}').split(',').filter_map(|it| it.split_once('=')).collect();
        let key = |label: &str| labels[label].to_owned();
        if value > 0.0 {
            counts.insert((key("peer"), key("verdict"), key("reason")), value as u64);
        }
    }
    counts
}

/// Waits until both say the same of so many requests.
fn agree(gateway: &Binary, requests: u64) -> Counts {
    let mut both = (Counts::new(), Counts::new());
    let same = becomes_true(|| {
        both = (logged(gateway), counted(gateway));
        both.0 == both.1 && both.0.values().sum::<u64>() >= requests
    });
    assert!(same, "{requests} requests; log and figures: {both:#?}");
    let figures = figures(gateway);
    assert_eq!(both.0.values().sum::<u64>(), requests);
    // Each was measured once.
    let measured = figures["phonebook_gateway_request_duration_seconds_count{}"];
    assert_eq!(measured as u64, requests);
    let written = figures.iter().find(|(name, _)| name.contains("log_lines_written_total"));
    assert_eq!(*written.unwrap().1 as u64, requests);
    both.0
}

/// One request from another loopback address, on a connection of its own.
fn ask(gateway: &mut Binary, from: &str, bytes: &str) -> u16 {
    let mut client = Client::connect_from(gateway.address(), Some(from.parse().unwrap()));
    client.send(bytes);
    client.answer().status
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: gateway\r\n\r\n")
}

/// Requests that end in all ways; how many there are.
fn mixed(gateway: &mut Binary, upstream: &Scripted) -> u64 {
    let mut lyon = Client::connect(gateway.address());
    // Pipelined, one of them refused.
    let all = search("one") + &get("/service/ipbx/json.php/private/x") + &search("nobody");
    lyon.send(all + &get(&list()) + &get(&view(7)));
    let statuses: Vec<u16> = (0..5).map(|_| lyon.answer().status).collect();
    assert_eq!(statuses, [200, 403, 204, 200, 502], "a list is no contact");
    let each = [
        ("127.0.0.1", search("broken"), 502),
        ("127.0.0.1", search("forbidden"), 502),
        ("127.0.0.1", get("/.well-known/phonebook-gateway/whoami"), 200),
        ("127.0.0.1", get("/elsewhere"), 404),
        ("127.0.0.1", search("one").replace("GET", "POST"), 405),
        ("127.0.0.1", get(&format!("{}&x=1", target("one"))), 400),
        ("127.0.0.1", "nonsense\r\n\r\n".to_owned(), 400),
        ("127.0.0.1", get(&format!("/{}", "x".repeat(5000))), 414),
        ("127.0.0.3", search("one"), 403),
        ("127.0.0.4", get(&list()), 403),
        ("127.0.0.4", search("one"), 200),
        ("127.0.0.9", search("one"), 403),
    ];
    for (from, bytes, status) in &each {
        assert_eq!(ask(gateway, from, bytes), *status, "{from} {bytes}");
    }
    for _ in 0..3 {
        ask(gateway, "127.0.0.2", &search("one"));
    }
    ask(gateway, "127.0.0.5", &search("one"));
    // One that leaves while it waits, and one that comes to nothing.
    let waiting = upstream.attempts("slow").len();
    let mut leaves = Client::connect(gateway.address());
    leaves.search("slow");
    assert!(becomes_true(|| upstream.attempts("slow").len() > waiting));
    leaves.reset();
    let half = TcpStream::connect(gateway.address()).unwrap();
    SockRef::from(&half).send(b"GET /half").unwrap();
    drop(half);
    5 + each.len() as u64 + 3 + 1 + 1 + 1
}

#[test]
fn counters_equal_the_log_over_a_mixed_run_with_reloads() {
    let door = Door::default();
    let slow = door.clone();
    let upstream = Scripted::answering(move |term| match term {
        "slow" => {
            slow.pass();
            found(term)
        }
        "broken" => b"nonsense\r\n\r\n".to_vec(),
        "forbidden" => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "nobody" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "short" => json("[]").split_last().unwrap().1.to_vec(),
        term => found(term),
    });
    let narrow = "rate = { per_minute = 1, burst = 2 }";
    let setup = usual(&upstream)
        .policy("narrow", policy("127.0.0.2", narrow))
        .policy("off", policy("127.0.0.3", "enabled = false"))
        .policy("searcher", policy("127.0.0.4", "").replace(", \"list\", \"view\"", ""))
        .policy("leaves", policy("127.0.0.5", ""));
    let mut gateway = serve(&setup, SOCKET);
    let requests = mixed(&mut gateway, &upstream);
    let first = agree(&gateway, requests);
    let reasons = |counts: &Counts| {
        counts.keys().map(|(_, _, reason)| reason.clone()).collect::<BTreeSet<_>>()
    };
    assert!(reasons(&first).len() >= 13, "{first:#?}");
    // A peer leaves, and one comes.
    fs::remove_file(gateway.path("policies/leaves.toml")).unwrap();
    fs::write(gateway.path("policies/comes.toml"), policy("127.0.0.6", "")).unwrap();
    gateway.signal(Signal::HUP);
    assert!(becomes_true(|| gateway.stderr().contains("peer `leaves` removed")));
    assert_eq!(ask(&mut gateway, "127.0.0.6", &search("one")), 200);
    let requests = requests + mixed(&mut gateway, &upstream) + 1;
    let second = agree(&gateway, requests);
    let gone = ("leaves".to_owned(), "allow".to_owned(), String::new());
    assert_eq!((first[&gone], second[&gone]), (1, 1), "who has left is counted on");
    assert!(first.iter().all(|(key, count)| second[key] >= *count));
    // It comes back, and goes on from there.
    fs::write(gateway.path("policies/leaves.toml"), policy("127.0.0.5", "")).unwrap();
    gateway.signal(Signal::HUP);
    assert!(becomes_true(|| gateway.stderr().contains("peer `leaves` added")));
    assert_eq!(ask(&mut gateway, "127.0.0.5", &search("one")), 200);
    assert_eq!(agree(&gateway, requests + 1)[&gone], 2);
    door.open();
    let figures = figures(&gateway);
    assert_eq!(figures["phonebook_gateway_upstream_faults_total{kind=invalid}"], 4.0);
    assert_eq!(figures["phonebook_gateway_upstream_faults_total{kind=refused-gateway}"], 2.0);
    assert_eq!(figures["phonebook_gateway_reloads_total{result=done}"], 2.0);
    let limited = &figures["phonebook_gateway_rate_limited_total{limit=peer}"];
    let narrow = ("narrow".to_owned(), "deny".to_owned(), "rate-limited".to_owned());
    assert_eq!(*limited as u64, second[&narrow]);
}

#[test]
fn counters_equal_the_log_over_http2_and_handshakes_are_counted() {
    let upstream = Scripted::well();
    let setup = http2::setup(upstream.address()).workers(2).upstream(PATIENT);
    let setup =
        setup.policy("searcher", policy("127.0.0.4", "").replace(", \"list\", \"view\"", ""));
    let mut gateway = serve(&setup, SOCKET);
    let address = gateway.address();
    let sound = http2::Sound::connect(address);
    let targets = [target("one"), list(), view(1), "/elsewhere".to_owned(), target("two")];
    let requests = targets.iter().map(|target| http2::get(target)).collect();
    let statuses: Vec<u16> =
        sound.ask_all(requests).into_iter().map(|it| it.unwrap().status.as_u16()).collect();
    assert_eq!(statuses, [200, 200, 502, 404, 200]);
    assert_eq!(http2::Sound::connect_from(address, Some("127.0.0.4")).get(&list()).status, 403);
    assert_eq!(http2::Sound::connect_from(address, Some("127.0.0.9")).get(&list()).status, 403);
    // Without TLS, and with nothing at all.
    let mut plain = Client::connect(address);
    plain.send(search("one"));
    assert_eq!(plain.answer().status, 400);
    drop(Client::connect(address));
    let mut garbage = Client::connect(address);
    garbage.send([22, 3, 1, 0, 5, 99, 0, 0, 1, 0]);
    garbage.swallow(7);
    let counts = agree(&gateway, 8);
    assert_eq!(counts.len(), 6, "{counts:#?}");
    let mut handshakes = BTreeMap::new();
    assert!(becomes_true(|| {
        handshakes = figures(&gateway)
            .into_iter()
            .filter_map(|(name, value)| {
                let result = name.strip_prefix("phonebook_gateway_tls_handshakes_total{result=")?;
                (value > 0.0).then(|| (result.trim_end_matches('}').to_owned(), value as u64))
            })
            .collect();
        handshakes.values().sum::<u64>() >= 6
    }));
    let expected = [("complete", 3), ("failed", 1), ("nothing", 1), ("plain", 1)];
    let expected = expected.map(|(result, count)| (result.to_owned(), count));
    assert_eq!(handshakes, BTreeMap::from(expected));
    let figures = figures(&gateway);
    let expiry = figures.iter().find(|(name, _)| name.contains("certificate_expiry")).unwrap();
    assert!(expiry.0.contains("use=listener") && *expiry.1 > 1e9, "{expiry:?}");
}

#[test]
fn what_nginx_would_say_is_said_as_nginx_says_it() {
    let upstream = Scripted::well();
    let mut gateway = serve(&usual(&upstream), SOCKET);
    let mut kept = Client::connect(gateway.address());
    assert_eq!(kept.lookup("one").status, 200);
    assert_eq!(kept.lookup("two").status, 200);
    let mut gone = Client::connect(gateway.address());
    gone.send(search("three").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    gone.answer();
    let expected = "Active connections: 1 \nserver accepts handled requests\n 2 2 3 \n\
                    Reading: 0 Writing: 0 Waiting: 1 \n";
    let mut last = String::new();
    let same = becomes_true(|| {
        let answer = super::ask(&gateway, "/stub_status", "");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        last = super::text(answer);
        last == expected
    });
    assert!(same, "{last}");
}
