//! The limits are exact over all workers, as seen through sockets.

use std::{
    net::SocketAddr,
    sync::{Arc, Barrier},
    thread::spawn,
};

use crate::support::{
    http::Answer,
    live::{Setup, policy},
    process::becomes_true,
    raw::{Client, list, reason, search, target},
    scripted::{Door, Scripted, found, term},
};

/// One lookup each over so many connections that are open at the same time.
fn all_at_once(to: SocketAddr, count: usize) -> Vec<Answer> {
    let start = Arc::new(Barrier::new(count));
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let start = Arc::clone(&start);
            spawn(move || {
                let mut client = Client::connect(to);
                start.wait();
                client.lookup("one")
            })
        })
        .collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

fn with_status(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[test]
fn a_burst_over_all_workers_is_exact() {
    let upstream = Scripted::well();
    for burst in [1, 10, 29] {
        let gateway = Setup::new(upstream.address())
            .workers(4)
            .policy("lyon", policy("127.0.0.1", &one_a_minute(burst)))
            .start();
        let answers = all_at_once(gateway.address, 30);
        let (passed, refused) = (with_status(&answers, 200), with_status(&answers, 429));
        assert_eq!((passed, refused), (burst, 30 - burst));
        for answer in answers.iter().filter(|answer| answer.status == 429) {
            assert_eq!(reason(answer), "rate-limited");
            // A minute, and what a request of another worker came later but was counted sooner, rounded up.
            let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=61).contains(&seconds), "{seconds}");
            assert_eq!(answer.header("connection"), None, "a peer's connection goes on");
        }
        gateway.log(30);
    }
}

#[test]
fn the_gateways_rate_over_all_workers_and_peers_is_exact() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address())
        .workers(4)
        .limits("rate = { per_minute = 1, burst = 12 }")
        .policy("nice", policy("127.0.0.2", ""))
        .start();
    let start = Arc::new(Barrier::new(30));
    let clients: Vec<_> = (0..30)
        .map(|number| {
            let (start, to) = (Arc::clone(&start), gateway.address);
            spawn(move || {
                let from = if number % 2 == 0 { "127.0.0.1" } else { "127.0.0.2" };
                let mut client = Client::connect_from(to, Some(from.parse().unwrap()));
                start.wait();
                client.lookup("one")
            })
        })
        .collect();
    let answers: Vec<Answer> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!((with_status(&answers, 200), with_status(&answers, 429)), (12, 18));
}

#[test]
fn an_unknown_callers_burst_over_all_workers_is_exact() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address())
        .workers(4)
        .limits("unknown_rate = { per_minute = 1, burst = 7 }")
        .policy("lyon", policy("127.0.0.99", ""))
        .start();
    let answers = all_at_once(gateway.address, 30);
    assert_eq!((with_status(&answers, 403), with_status(&answers, 429)), (7, 23));
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_refused_request_spends_of_both_or_of_neither() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address())
        .limits("rate = { per_minute = 1, burst = 4 }")
        .policy("lyon", policy("127.0.0.1", &one_a_minute(2)))
        .policy("nice", policy("127.0.0.2", &one_a_minute(4)))
        .start();
    let detail = |answer: &Answer| answer.json()["detail"].as_str().unwrap().to_owned();
    let mut nice = gateway.client_from("127.0.0.2");
    let mut lyon = gateway.client();
    for _ in 0..2 {
        assert_eq!(lyon.lookup("one").status, 200);
    }
    // Over its own rate, it spends nothing of the gateway's.
    for _ in 0..10 {
        assert!(detail(&lyon.lookup("one")).contains("this peer's rate"));
    }
    for _ in 0..2 {
        assert_eq!(nice.lookup("one").status, 200);
    }
    // Over the gateway's, it spends nothing of its own: two are left, and would be used up by now.
    for _ in 0..10 {
        assert!(detail(&nice.lookup("one")).contains("The gateway is receiving"));
    }
}

#[test]
fn a_request_that_is_refused_later_has_been_counted() {
    let upstream = Scripted::well();
    let kinds: [(String, u16); 6] = [
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
        ("GET /service/ipbx/json.php/private/x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 403),
        (format!("PUT {} HTTP/1.1\r\nHost: a\r\n\r\n", target("one")), 405),
        (format!("GET {}&x=y HTTP/1.1\r\nHost: a\r\n\r\n", target("one")), 400),
        (format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", list()), 403),
        (search("x"), 403),
    ];
    for (request, status) in kinds {
        let gateway = Setup::new(upstream.address())
            .policy(
                "lyon",
                format!("hosts = [\"127.0.0.1\"]\nactions = [\"search\"]\n{}\n", one_a_minute(3)),
            )
            .start();
        let mut client = gateway.client();
        for _ in 0..3 {
            client.send(&request);
            assert_eq!(client.answer().status, status, "{request}");
        }
        assert_eq!(client.lookup("one").status, 429, "{request}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn the_ceiling_of_lookups_in_flight_is_exact_over_all_workers() {
    let door = Door::default();
    let upstream = {
        let door = door.clone();
        Scripted::start(move |connection| {
            while let Some(head) = connection.request() {
                door.pass();
                connection.send(&found(term(&head)));
            }
        })
    };
    let gateway = Setup::new(upstream.address())
        .workers(4)
        .upstream("timeout = \"1h\"")
        .policy("lyon", policy("127.0.0.1", "concurrent = 5"))
        .policy("nice", policy("127.0.0.2", "concurrent = 5"))
        .start();
    let to = gateway.address;
    let clients: Vec<_> =
        (0..20).map(|_| spawn(move || Client::connect(to).lookup("one"))).collect();
    let refused = || gateway.server().log_counters()[0].lines_written();
    assert!(becomes_true(|| upstream.requests().len() == 5 && refused() == 15));
    // Another peer has places of its own.
    let nice = spawn(move || {
        Client::connect_from(to, Some("127.0.0.2".parse().unwrap())).lookup("two").status
    });
    assert!(becomes_true(|| upstream.attempts("two").len() == 1));
    door.open();
    let answers: Vec<Answer> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!((with_status(&answers, 200), with_status(&answers, 429)), (5, 15));
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        assert_eq!(reason(answer), "too-many-concurrent");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(nice.join().unwrap(), 200);
    // All places are free again.
    assert_eq!(with_status(&all_at_once(to, 5), 200), 5);
}

#[test]
fn who_waits_as_long_as_retry_after_says_passes() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address())
        .policy("lyon", policy("127.0.0.1", "rate = { per_second = 1, burst = 1 }"))
        .start();
    let mut client = gateway.client();
    assert_eq!(client.lookup("one").status, 200);
    let refused = client.lookup("one");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    // On connections of their own: one on which all is refused does not stay.
    assert!(becomes_true(|| gateway.client().lookup("one").status == 200));
}

fn one_a_minute(burst: usize) -> String {
    format!("rate = {{ per_minute = 1, burst = {burst} }}")
}
