//! Nobody takes the others' time: one request of a connection a turn, no connection on which all is refused, and no
//! lookup without an end.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    http2::{self, Sound},
    live::{Live, Setup, policy},
    process::becomes_true,
    raw::{Client, End, list, reason, search, target},
    scripted::{Door, Scripted, found, term},
    serving::{Serving, loopback_config},
};

/// How many requests of a connection may be refused in a row.
const MOST: usize = 20;

fn limited(upstream: &Scripted) -> Setup {
    let rate = "rate = { per_minute = 1, burst = 1 }";
    Setup::new(upstream.address()).policy("lyon", policy("127.0.0.1", rate))
}

/// The answers to so many requests that are sent at once, until the connection ends.
fn pipelined(gateway: &Live, request: &str, count: usize) -> Vec<(u16, bool)> {
    let mut client = gateway.client();
    client.send(request.repeat(count));
    client.half_close();
    let mut answers = Vec::new();
    while let Ok(answer) = client.try_answer(true) {
        answers.push((answer.status, answer.header("connection") == Some("close")));
    }
    answers
}

#[test]
fn a_connection_on_which_all_is_refused_ends() {
    let upstream = Scripted::well();
    let gateway = limited(&upstream).start();
    assert_eq!(gateway.client().lookup("one").status, 200);
    let unknown_path = "GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    for request in [search("over"), unknown_path] {
        let answers = pipelined(&gateway, &request, 100);
        assert_eq!(answers.len(), MOST);
        let ends: Vec<bool> = answers.iter().map(|(_, ends)| *ends).collect();
        assert_eq!(ends.iter().filter(|ends| **ends).count(), 1, "the last says so");
        assert!(ends[MOST - 1] && answers.iter().all(|(status, _)| *status == 429));
    }
}

#[test]
fn one_request_that_is_not_refused_begins_the_count_anew() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    for round in 0..5 {
        for _ in 1..MOST {
            client.send("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(client.answer().status, 404, "{round}");
        }
        assert_eq!(client.lookup("any").status, 200);
    }
}

#[test]
fn faults_of_xivo_end_no_connection() {
    let upstream = Scripted::answering(|_| {
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    for _ in 0..2 * MOST {
        assert_eq!(client.lookup("any").status, 502);
    }
}

#[test]
fn a_connection_over_http2_on_which_all_is_refused_ends() {
    let upstream = Scripted::well();
    let gateway = http2::setup(upstream.address()).start();
    let client = Sound::connect(gateway.address);
    for number in 0..MOST {
        assert_eq!(client.get("/nothing").status, 404, "{number}");
    }
    client.until_left();
}

#[test]
fn a_place_is_not_refused_while_an_answer_only_waits_for_the_gateway() {
    // XiVO answers `slow` when the door opens, and the gateway is stopped meanwhile.
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let main = format!("workers = 1\n{}", loopback_config(upstream.address()));
    let mut gateway =
        Serving::start(&main, &[("lyon", &policy("127.0.0.1", "concurrent = 1"))]).unwrap();
    let mut second = Client::connect(gateway.addr());
    assert_eq!(second.lookup("first").status, 200);
    let mut first = Client::connect(gateway.addr());
    first.search("slow");
    assert!(becomes_true(|| upstream.requests().len() == 2));
    let pid = Pid::from_raw(gateway.pid().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // It is not obeyed at once by a thread that runs.
    let threads = || std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    let stat = |thread: &std::path::Path| std::fs::read_to_string(thread.join("stat")).unwrap();
    let stopped = |thread: &std::path::Path| stat(thread).contains(") T ");
    assert!(becomes_true(|| threads().all(|thread| stopped(&thread.unwrap().path()))));
    // The second lookup comes before XiVO's answer to the first, and the gateway sees both at once.
    second.search("second");
    door.open();
    assert!(becomes_true(|| upstream.sent() == 2));
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!((first.answer().status, second.answer().status), (200, 200));
    gateway.end();
}

#[test]
fn an_answer_that_drips_is_cut_off() {
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.request() {
            if term(&head) == "well" {
                connection.send(&found("well"));
                continue;
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n[";
            connection.send(head.as_bytes());
            while connection.send(b" ") {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let gateway = Setup::new(upstream.address())
        .upstream("answer_timeout = \"300ms\"\nstall_timeout = \"1h\"")
        .start();
    for target in [target("drips"), list()] {
        let mut client = gateway.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let cut = client.try_answer(true).unwrap_err();
        assert_eq!(cut.end, End::Reset);
    }
    let log = gateway.short_log(2);
    assert!(log.iter().all(|line| line.contains(" 200 ")), "{log:?}");
    assert_eq!(gateway.client().lookup("well").status, 200);
}

#[test]
fn a_client_that_drips_holds_no_lookup_for_ever_either() {
    let body = format!("[{}]", " ".repeat(4 << 20));
    let upstream = Scripted::answering(move |_| crate::support::scripted::json(&body));
    let gateway = Setup::new(upstream.address())
        .upstream("answer_timeout = \"300ms\"")
        .limits("write_timeout = \"1h\"")
        .policy("lyon", policy("127.0.0.1", "concurrent = 1"))
        .start();
    let mut slow = Client::with_window(gateway.address, None, Some(2048));
    slow.search("any");
    assert!(slow.swallow(1) == 1);
    assert!(becomes_true(|| {
        let _ = slow.swallow(64);
        upstream.requests().len() == 1 && gateway.server().shared().connections() == 0
    }));
}

#[test]
fn many_pipelined_refusals_leave_another_peers_lookups_alone() {
    let upstream = Scripted::well();
    let gateway = limited(&upstream).policy("nice", policy("127.0.0.2", "")).start();
    assert_eq!(gateway.client().lookup("one").status, 200);
    let mut floods: Vec<Client> = (0..100).map(|_| gateway.client()).collect();
    floods.iter_mut().for_each(|flood| flood.send(search("over").repeat(100)));
    let mut honest = gateway.client_from("127.0.0.2");
    for _ in 0..10 {
        assert_eq!(honest.lookup("any").status, 200);
    }
    for flood in &mut floods {
        let answer = flood.answer();
        assert_eq!((answer.status, reason(&answer).as_str()), (429, "rate-limited"));
    }
}
