//! Whatever a client does: it gets its answers in order and can read them, it holds nothing that it does not use, and
//! each of its requests leaves one line.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{
    live::{Live, Setup, policy},
    process::becomes_true,
    raw::{Client, End, list, reason, search, target},
    scripted::{Door, Scripted, found, found_body, json, term},
};

#[test]
fn pipelined_requests_are_answered_in_order_also_a_refused_one() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    let refused = "GET /service/ipbx/json.php/private/x HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = format!("HEAD {} HTTP/1.1\r\nHost: a\r\n\r\n", target("three"));
    client.send(search("one") + refused + &head + &search("four"));
    assert_eq!(client.answer().body, found_body("one").into_bytes());
    let answer = client.answer();
    assert_eq!((answer.status, reason(&answer).as_str()), (403, "private-path"));
    assert_eq!(client.head_answer().status, 200);
    assert_eq!(client.answer().body, found_body("four").into_bytes());
    let statuses: Vec<String> =
        gateway.short_log(4).iter().map(|line| status(line).to_owned()).collect();
    assert_eq!(statuses, ["200", "403", "200", "200"]);
}

#[test]
fn many_pipelined_requests_in_one_segment_are_all_answered() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    let terms: Vec<String> = (0..500).map(|number| format!("t{number}")).collect();
    let all: String = terms.iter().map(|term| search(term)).collect();
    client.send(all);
    for term in &terms {
        assert_eq!(client.answer().body, found_body(term).into_bytes());
    }
}

#[test]
fn what_follows_a_request_that_closes_is_not_answered() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    let with_body =
        format!("GET {} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", target("two"));
    client.send(search("one") + &with_body + &search("three"));
    assert_eq!(client.answer().status, 200);
    let answer = client.answer();
    assert_eq!((answer.status, reason(&answer).as_str()), (413, "body-not-allowed"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.ended(), End::Orderly);
    assert_eq!(upstream.requests().len(), 1);
    gateway.log(2);
}

#[test]
fn a_slow_head_gets_408_only_if_some_of_it_had_come() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address()).limits("head_timeout = \"150ms\"").start();
    let mut silent = gateway.client();
    let mut slow = gateway.client();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\nReferer: b\r\n");
    let answer = slow.answer();
    assert_eq!((answer.status, reason(&answer).as_str()), (408, "request-timeout"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(slow.ended(), End::Orderly);
    assert_eq!(silent.ended(), End::Orderly);
    let expected =
        format!("127.0.0.1 - lyon [-] \"GET / HTTP/1.1\" 408 {} \"b\" \"-\"", answer.body.len());
    assert_eq!(gateway.short_log(1), [expected]);
}

#[test]
fn one_deadline_holds_for_a_whole_head_however_it_drips() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address()).limits("head_timeout = \"200ms\"").start();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\n");
    // Every byte comes well before a deadline that began anew with it.
    assert!(becomes_true(|| {
        client.send("X");
        gateway.server().log_counters()[0].lines_written() > 0
    }));
    assert_eq!(status(&gateway.short_log(1)[0]), "408");
}

#[test]
fn an_idle_connection_is_closed_without_a_word_or_a_line() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address()).limits("idle_timeout = \"100ms\"").start();
    let mut client = gateway.client();
    assert_eq!(client.lookup("one").status, 200);
    assert_eq!(client.ended(), End::Orderly);
    assert!(gateway.comes_to_rest());
    gateway.log(1);
}

#[test]
fn a_connection_ends_after_its_last_request_and_says_so() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address()).limits("max_requests_per_connection = 3").start();
    let mut client = gateway.client();
    for term in ["one", "two"] {
        assert_eq!(client.lookup(term).header("connection"), None);
    }
    assert_eq!(client.lookup("three").header("connection"), Some("close"));
    assert_eq!(client.ended(), End::Orderly);
}

#[test]
fn who_pipelines_beyond_the_last_request_can_still_read_its_answers() {
    // A request that nobody will read must not turn the end into a reset, which can overtake the answers.
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let gateway = Setup::new(upstream.address())
        .limits("max_requests_per_connection = 2")
        .upstream("timeout = \"1h\"")
        .start();
    let mut client = gateway.client();
    client.send(search("one") + &search("slow"));
    assert!(becomes_true(|| upstream.requests().len() == 2));
    client.search("three");
    door.open();
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().header("connection"), Some("close"));
    assert_eq!(client.ended(), End::Orderly);
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn an_old_connection_ends_after_its_next_request() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address()).limits("max_connection_age = \"50ms\"").start();
    let mut client = gateway.client();
    let old = becomes_true(|| client.lookup("one").header("connection") == Some("close"));
    assert!(old);
    assert_eq!(client.ended(), End::Orderly);
}

#[test]
fn http_1_0_persists_only_if_asked_to() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    let line = format!("GET {} HTTP/1.0\r\n", target("one"));
    for _ in 0..2 {
        client.send(format!("{line}Connection: keep-alive\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    }
    client.send(format!("{line}\r\n"));
    assert_eq!(client.answer().header("connection"), Some("close"));
    assert_eq!(client.ended(), End::Orderly);
}

#[test]
fn http_1_0_gets_a_chunked_answer_without_chunks_and_its_end_with_the_connections() {
    let upstream = Scripted::answering(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
          2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n"
            .to_vec()
    });
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    client.send(format!("GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", target("one")));
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"[1]"[..]));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.header("transfer-encoding"), None);
    let mut modern = gateway.client();
    assert_eq!(modern.lookup("one").header("transfer-encoding"), Some("chunked"));
    assert_eq!(modern.lookup("one").body, b"[1]");
}

#[test]
fn a_half_close_after_a_complete_head_is_no_departure() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    client.search("one");
    client.half_close();
    assert_eq!(client.answer().body, found_body("one").into_bytes());
    assert_eq!(client.ended(), End::Orderly);
    assert_eq!(status(&gateway.short_log(1)[0]), "200");
}

#[test]
fn a_half_close_in_a_head_is_a_malformed_request() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHos");
    client.half_close();
    let answer = client.answer();
    assert_eq!((answer.status, reason(&answer).as_str()), (400, "malformed-request"));
    assert_eq!(client.ended(), End::Orderly);
    // Nothing at all, and only a line end: as in nginx, no line for the first and no answer to either.
    for bytes in ["", "\r\n"] {
        let mut client = gateway.client();
        client.send(bytes);
        client.half_close();
        assert_eq!(client.ended(), End::Orderly);
    }
    let lines = gateway.short_log(2);
    assert!(lines[1].starts_with("127.0.0.1 - lyon [-] \"\" 400 0 "), "{lines:?}");
}

fn one_at_a_time(setup: Setup) -> Setup {
    setup.policy("lyon", policy("127.0.0.1", "concurrent = 1"))
}

#[test]
fn who_resets_while_xivo_is_slow_leaves_499_and_frees_its_place() {
    // XiVO says nothing, until the gateway has ended the connection.
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.request() {
            if term(&head) == "slow" {
                return connection.until_ended();
            }
            connection.send(&found(term(&head)));
        }
    });
    let gateway =
        one_at_a_time(Setup::new(upstream.address()).upstream("timeout = \"1h\"")).start();
    let mut client = gateway.client();
    client.search("slow");
    assert!(becomes_true(|| upstream.requests().len() == 1));
    assert_eq!(gateway.client().lookup("other").status, 429, "its place is taken");
    client.reset();
    assert!(upstream.ends(0), "the connection to XiVO is kept");
    assert!(becomes_true(|| gateway.client().lookup("next").status == 200));
    let left =
        format!("127.0.0.1 - lyon [-] \"GET {} HTTP/1.1\" 499 0 \"-\" \"-\"", target("slow"));
    assert!(becomes_true(|| gateway.log_so_far().contains(&left)), "{:#?}", gateway.log_so_far());
}

#[test]
fn who_resets_in_a_slow_body_frees_its_place() {
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.request() {
            if term(&head) == "slow" {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
                connection.send(format!("{head}Content-Length: 9\r\n\r\n[1").as_bytes());
                return connection.until_ended();
            }
            connection.send(&found(term(&head)));
        }
    });
    let setup = Setup::new(upstream.address()).upstream("stall_timeout = \"1h\"");
    let gateway = one_at_a_time(setup).start();
    let mut client = gateway.client();
    client.search("slow");
    assert!(client.swallow(4096) > 0);
    client.reset();
    assert!(upstream.ends(0), "the connection to XiVO is kept");
    assert!(becomes_true(|| gateway.client().lookup("next").status == 200));
}

#[test]
fn who_half_closes_while_xivo_is_slow_is_answered() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let gateway = Setup::new(upstream.address()).upstream("timeout = \"1h\"").start();
    let mut client = gateway.client();
    client.search("slow");
    client.half_close();
    assert!(becomes_true(|| upstream.requests().len() == 1));
    door.open();
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_refusal_over_an_unread_body_can_be_read() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let head = format!("POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 61440\r\n\r\n", target("x"));
    for late in [false, true] {
        let mut client = gateway.client();
        client.send(&head);
        if late {
            // It has been refused already.
            assert!(becomes_true(|| gateway.log_so_far().len() == 2));
        }
        for _ in 0..60 {
            client.send([b'x'; 1024]);
        }
        let answer = client.answer();
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(client.ended(), End::Orderly);
    }
    // A GET's body is what is wrong with it.
    let mut client = gateway.client();
    client.send(head.replace("POST", "GET"));
    client.send([b'x'; 61440]);
    assert_eq!(client.answer().status, 413);
    assert_eq!(client.ended(), End::Orderly);
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn who_does_not_read_a_long_list_is_left_after_the_write_timeout() {
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        for framing in
            [format!("Content-Length: {}", 10 << 20), "Transfer-Encoding: chunked".to_owned()]
        {
            let upstream = Scripted::start(move |connection| {
                while let Some(head) = connection.request() {
                    if !head.contains("act=list") {
                        connection.send(&found(term(&head)));
                        continue;
                    }
                    let fields = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
                    connection.send(format!("{fields}{framing}\r\n\r\n").as_bytes());
                    let part = vec![b'['; 1 << 20];
                    for _ in 0..10 {
                        let chunked = framing.starts_with('T');
                        if chunked && !connection.send(b"100000\r\n") {
                            return;
                        }
                        if !connection.send(&part) || (chunked && !connection.send(b"\r\n")) {
                            return;
                        }
                    }
                    if framing.starts_with('T') {
                        connection.send(b"0\r\n\r\n");
                    }
                }
            });
            let setup = Setup::new(upstream.address()).limits("write_timeout = \"150ms\"");
            let gateway = one_at_a_time(setup).start();
            let mut client = Client::with_window(gateway.address, None, Some(4096));
            client.send(format!("GET {} {version}\r\nHost: a\r\n\r\n", list()));
            assert!(upstream.ends(0), "the connection to XiVO is kept");
            assert!(becomes_true(|| gateway.client().lookup("next").status == 200));
            assert_eq!(client.try_answer(true).unwrap_err().end, End::Reset, "{version}");
        }
    }
}

#[test]
fn an_answer_whose_beginning_cannot_be_sent_whole_ends_in_a_reset() {
    // Answers fill the connection until one does not fit; it has been sent in part.
    let body = format!("[{}]", "1,".repeat(6000));
    let length = body.len();
    let upstream = Scripted::answering(move |_| json(&body));
    let gateway = Setup::new(upstream.address()).limits("write_timeout = \"150ms\"").start();
    let mut client = Client::with_window(gateway.address, None, Some(4096));
    client.send(search("one").repeat(600));
    assert!(becomes_true(|| upstream.requests().len() > 1));
    assert!(gateway.comes_to_rest());
    let mut whole = 0;
    let cut = loop {
        match client.try_answer(true) {
            Ok(_) => whole += 1,
            Err(cut) => break cut,
        }
    };
    assert!(whole < 600, "they all fit");
    assert_eq!(cut.end, End::Reset);
    // Where XiVO's answer came in two pieces the first may have gone out; nginx logs such a one so, too.
    let is_cut =
        |line: &String| status(line) == "499" || !line.contains(&format!(" 200 {length} "));
    assert!(becomes_true(|| gateway.log_so_far().last().is_some_and(is_cut)));
}

#[test]
fn a_client_that_reads_slowly_gets_all_of_a_long_list() {
    // More than the kernel holds for a client.
    let body = format!("[{}]", "1,".repeat(5 << 20));
    let length = body.len();
    let upstream = {
        let body = body.clone();
        Scripted::start(move |connection| {
            while let Some(head) = connection.request() {
                let answer = json(&body);
                if term(&head) == "stalls" {
                    connection.send(&answer[..answer.len() / 2]);
                    return connection.until_ended();
                }
                connection.send(&answer);
            }
        })
    };
    let gateway = Setup::new(upstream.address()).upstream("stall_timeout = \"100ms\"").start();
    let mut client = Client::with_window(gateway.address, None, Some(4096));
    client.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", list()));
    assert!(becomes_true(|| upstream.requests().len() == 1));
    // What a slow client needs of time is not XiVO's fault: by the end of these, stall_timeout has passed.
    for _ in 0..2 {
        let mut other = gateway.client();
        other.search("stalls");
        assert_eq!(other.try_answer(true).unwrap_err().end, End::Reset);
    }
    assert_eq!(client.answer().body, body.into_bytes());
    let line = &gateway.short_log(3)[2];
    assert!(line.contains(&format!(" 200 {length} ")), "{line}");
}

#[test]
fn unknown_callers_hold_a_quarter_of_the_connections_and_never_lock_a_peer_out() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address()).limits("max_connections = 8").start();
    let open = || gateway.server().shared().connections();
    let silent = ["127.0.0.9", "127.0.0.10"].map(|from| gateway.client_from(from));
    assert!(becomes_true(|| open() == 2));
    let mut rejected = gateway.client_from("127.0.0.11");
    assert_eq!(rejected.ended(), End::Orderly);
    assert_eq!(open(), 2, "the third ended before the others");
    let mut peers: Vec<Client> = (0..6).map(|_| gateway.client()).collect();
    for peer in &mut peers {
        assert_eq!(peer.lookup("any").status, 200);
    }
    drop(silent);
    assert!(becomes_true(|| open() == 6));
    assert_eq!(gateway.client_from("127.0.0.9").lookup("any").status, 403, "there is room again");
}

#[test]
fn beyond_max_connections_peers_are_told_and_far_beyond_they_are_closed() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let setup = Setup::new(upstream.address()).upstream("timeout = \"1h\"");
    let gateway = setup.limits("max_connections = 3").start();
    let open = || gateway.server().shared().connections();
    let mut first: Vec<Client> = (0..3).map(|_| gateway.client()).collect();
    first.iter_mut().for_each(|client| client.search("slow"));
    assert!(becomes_true(|| upstream.requests().len() == 3));
    let mut further = gateway.client();
    let answer = further.lookup("two");
    assert_eq!((answer.status, reason(&answer).as_str()), (503, "overloaded"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(further.ended(), End::Orderly);
    drop(further);
    assert_eq!(
        gateway.client_from("127.0.0.9").ended(),
        End::Orderly,
        "an unknown caller is not told"
    );
    assert!(becomes_true(|| open() == 3));
    // Three, and eight that are told why.
    let told: Vec<Client> = (0..8).map(|_| gateway.client()).collect();
    assert!(becomes_true(|| open() == 11));
    let mut rejected = gateway.client();
    assert_eq!(rejected.ended(), End::Orderly);
    assert_eq!(open(), 11, "the one ended before the others");
    drop(told);
    assert!(becomes_true(|| open() == 3));
    door.open();
    for client in &mut first {
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.lookup("three").status, 200, "who was there goes on");
    }
    first.pop();
    assert!(becomes_true(|| open() == 2));
    assert_eq!(gateway.client().lookup("four").status, 200);
}

#[test]
fn an_unknown_caller_gets_its_burst_of_403_then_429_and_the_end() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address())
        .limits("unknown_rate = { per_minute = 1, burst = 3 }")
        .start();
    let mut unknown_caller = gateway.client_from("127.0.0.9");
    for _ in 0..3 {
        let answer = unknown_caller.lookup("one");
        assert_eq!((answer.status, reason(&answer).as_str()), (403, "unknown-peer"));
        assert_eq!(answer.header("connection"), None);
    }
    let answer = unknown_caller.lookup("one");
    assert_eq!((answer.status, reason(&answer).as_str()), (429, "unknown-peer"));
    assert_eq!(answer.header("connection"), Some("close"));
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(unknown_caller.ended(), End::Orderly);
    // Another unknown caller has a burst of its own, and the peer loses nothing.
    assert_eq!(gateway.client_from("127.0.0.10").lookup("one").status, 403);
    assert_eq!(gateway.client().lookup("one").status, 200);
    assert_eq!(upstream.requests().len(), 1);
    let lines = gateway.short_log(6);
    assert!(lines[3].starts_with("127.0.0.9 - - [-] \"GET ") && status(&lines[3]) == "429");
}

#[test]
fn malformed_heads_count_against_their_address() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address())
        .limits("unknown_rate = { per_minute = 1, burst = 3 }")
        .policy("lyon", policy("127.0.0.1", "rate = { per_minute = 1, burst = 3 }"))
        .start();
    for from in ["127.0.0.1", "127.0.0.9"] {
        for bytes in
            ["\x16\x03\x01\r\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\n\r\n", "G\r\n\r\n"]
        {
            let mut client = gateway.client_from(from);
            client.send(bytes);
            let answer = client.answer();
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "malformed-request"));
            assert_eq!(client.ended(), End::Orderly);
        }
        assert_eq!(gateway.client_from(from).lookup("one").status, 429, "{from}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_peer_is_told_what_to_change_and_an_unknown_caller_is_not() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let request = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut peer = gateway.client();
    peer.send(request);
    let answer = peer.answer();
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert!(problem["detail"].as_str().unwrap().contains("phonebook"));
    assert_eq!(problem["request_id"].as_str(), answer.header("x-request-id"));
    for request in [request, "malformed\r\n\r\n"] {
        let mut unknown_caller = gateway.client_from("127.0.0.9");
        unknown_caller.send(request);
        let answer = unknown_caller.answer();
        assert!(answer.json().get("detail").is_none(), "{answer:?}");
        assert!(answer.header("x-request-id").is_some());
    }
}

#[test]
fn a_host_that_is_not_served_is_misdirected() {
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address());
    setup.listen = "server_names = [\"gateway\", \"10.0.0.1\"]".to_owned();
    let gateway = setup.start();
    let mut client = gateway.client();
    for (host, status) in [
        ("gateway", 200),
        ("GATEWAY.:9480", 200),
        ("10.0.0.1", 200),
        ("other", 421),
        ("gateway", 200),
    ] {
        client.send(search("one").replace("Host: gateway", &format!("Host: {host}")));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{host}");
        if status == 421 {
            assert_eq!(reason(&answer), "misdirected");
        }
    }
}

#[test]
fn a_request_in_single_bytes_is_one_request() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    for byte in search("one").into_bytes() {
        client.send([byte]);
    }
    assert_eq!(client.answer().body, found_body("one").into_bytes());
    gateway.log(1);
}

#[test]
fn a_flood_of_connections_that_come_and_go_leaves_nothing_behind() {
    let upstream = Scripted::well();
    let gateway = Setup::new(upstream.address()).workers(2).start();
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let address = gateway.address;
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                for number in 0..200 {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut client = Client::connect(address);
                    match (thread + number) % 4 {
                        0 => client.reset(),
                        1 => drop(client),
                        2 => {
                            client.search("x1");
                            client.reset();
                        }
                        _ => assert_eq!(client.lookup("x2").status, 200),
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        let ended = thread.join();
        over.store(true, Ordering::Relaxed);
        ended.unwrap();
    }
    assert!(gateway.comes_to_rest());
    let snapshot = gateway.server().shared().snapshot();
    let found = snapshot.peers.find(&phonebook_gateway::identity::caller::Caller::direct(
        "127.0.0.1:40000".parse().unwrap(),
    ));
    assert_eq!(found.peer().unwrap().state.limits.in_flight(), 0);
}

/// The log's lines so far.
/// The status in a combined line.
fn status(line: &str) -> &str {
    let (_, rest) = line.rsplit_once("HTTP/1.1\" ").unwrap_or(("", line));
    rest.split(' ').next().unwrap_or_default()
}
