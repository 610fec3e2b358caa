//! Whatever XiVO does: a lookup gets XiVO's whole answer or says that there is none, and a connection that misbehaved
//! is never used again.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use phonebook_gateway::server::StartError;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use socket2::{Domain, Socket, Type};

use crate::support::{
    binary::Binary,
    live::{Live, PATIENT, Setup},
    network::in_own_network,
    process::becomes_true,
    raw::{Client, Cut, End, list, reason, target, view},
    scripted::{Connection, Door, Scripted, found, found_body, json, term},
};

/// A XiVO that answers the term `bad` with `bytes` and then does `then`, and any other as it should.
fn misbehaving(
    bytes: impl Into<Vec<u8>>,
    then: impl Fn(&mut Connection) + Send + Sync + 'static,
) -> Scripted {
    let bytes = bytes.into();
    Scripted::start(move |connection| {
        while let Some(head) = connection.request() {
            if term(&head) != "bad" && head.contains("act=search") {
                connection.send(&found(term(&head)));
            } else {
                connection.send(&bytes);
                return then(connection);
            }
        }
    })
}

/// What a lookup that XiVO answered so gets, that its line is in the log, and that the next one goes over a new
/// connection.
#[track_caller]
fn is_refused(name: &str, upstream: &Scripted, gateway: &Live, (status, word): (u16, &str)) {
    let before = gateway.log_so_far().len();
    let mut client = gateway.client();
    let answer = client.lookup("bad");
    assert_eq!((answer.status, reason(&answer).as_str()), (status, word), "{name}");
    // A lookup that failed is no reason to end the client's connection.
    let good = client.lookup("good");
    assert_eq!((good.status, good.body), (200, found_body("good").into_bytes()), "{name}");
    let bad = upstream.attempts("bad");
    let after = *upstream.attempts("good").last().unwrap();
    assert_eq!(bad.len(), 1, "{name}: asked once");
    assert!(after > bad[0], "{name}: the connection was used again");
    let lines = gateway.short_log(before + 2);
    let expected = format!(
        "127.0.0.1 - lyon [-] \"GET {} HTTP/1.1\" {status} {} \"-\" \"-\"",
        target("bad"),
        answer.body.len()
    );
    assert_eq!(lines[before], expected, "{name}");
}

fn with_head(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}\r\n{body}")
}

const INVALID: (u16, &str) = (502, "upstream-invalid");
const UNREACHABLE: (u16, &str) = (502, "upstream-unreachable");

/// Answers to a search that are not accepted, and what is wrong with them.
fn invalid_answers() -> Vec<(&'static str, String)> {
    let long = format!("X: {}\r\n", "x".repeat(1000)).repeat(17);
    vec![
        ("not HTTP", "SSH-2.0-OpenSSH_9.2p1\r\n".into()),
        ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        ("HTTP/0.9", "[]\r\n\r\n".into()),
        ("no reason's blank", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n".into()),
        (
            "bare LF",
            "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 2\n\n[]".into(),
        ),
        ("one bare LF", with_head("Content-Length: 2\n", "[]")),
        ("bare CR", with_head("X: a\rContent-Length: 2\r\n", "[]")),
        ("obs-fold", with_head("X: a\r\n b\r\nContent-Length: 2\r\n", "[]")),
        ("blank before the colon", with_head("Content-Length : 2\r\n", "[]")),
        ("NUL in a value", with_head("X: a\0b\r\nContent-Length: 2\r\n", "[]")),
        ("no name", with_head(": x\r\nContent-Length: 2\r\n", "[]")),
        ("two Content-Length", with_head("Content-Length: 2\r\nContent-Length: 2\r\n", "[]")),
        ("a list of lengths", with_head("Content-Length: 2, 2\r\n", "[]")),
        ("a signed length", with_head("Content-Length: +2\r\n", "[]")),
        ("a hexadecimal length", with_head("Content-Length: 0x2\r\n", "[]")),
        (
            "length and coding",
            with_head(
                "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                "2\r\n[]\r\n0\r\n\r\n",
            ),
        ),
        (
            "gzip, chunked",
            with_head("Transfer-Encoding: gzip, chunked\r\n", "2\r\n[]\r\n0\r\n\r\n"),
        ),
        ("identity", with_head("Transfer-Encoding: identity\r\n", "[]")),
        (
            "chunked twice",
            with_head(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "2\r\n[]\r\n0\r\n\r\n",
            ),
        ),
        (
            "chunked in HTTP/1.0",
            with_head("Transfer-Encoding: chunked\r\n", "2\r\n[]\r\n0\r\n\r\n")
                .replace("HTTP/1.1", "HTTP/1.0"),
        ),
        ("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".into()),
        (
            "nine interim answers",
            "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9)
                + &with_head("Content-Length: 2\r\n", "[]"),
        ),
        ("a long head", with_head(&(long + "Content-Length: 2\r\n"), "[]")),
        ("an endless line", "HTTP/1.1 200 ".to_owned() + &"x".repeat(20_000)),
        ("neither length nor chunks", with_head("", "[]")),
        ("HTML", with_head("Content-Length: 2\r\n", "hi").replace("application/json", "text/html")),
        ("no type", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".into()),
        ("a coded body", with_head("Content-Encoding: gzip\r\nContent-Length: 2\r\n", "[]")),
        ("bytes after a length", with_head("Content-Length: 2\r\n", "[]]")),
        (
            "a second answer after a length",
            with_head("Content-Length: 2\r\n", "[]") + "HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            "bytes after chunks",
            with_head("Transfer-Encoding: chunked\r\n", "2\r\n[]\r\n0\r\n\r\nHTTP"),
        ),
        ("bytes after 204", "HTTP/1.1 204 No Content\r\n\r\n[]".into()),
        ("bytes after 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n[]".into()),
        ("204 in chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n".into()),
        ("no chunk's size", with_head("Transfer-Encoding: chunked\r\n", "\r\n[]\r\n0\r\n\r\n")),
        (
            "a chunk's extension",
            with_head("Transfer-Encoding: chunked\r\n", "2;a=b\r\n[]\r\n0\r\n\r\n"),
        ),
        ("trailers", with_head("Transfer-Encoding: chunked\r\n", "2\r\n[]\r\n0\r\nX: y\r\n\r\n")),
    ]
}

#[test]
fn an_answer_that_is_not_strict_http_is_invalid() {
    for (name, bytes) in invalid_answers() {
        let upstream = misbehaving(bytes.as_bytes(), Connection::until_ended);
        let gateway = Live::before(upstream.address());
        is_refused(name, &upstream, &gateway, INVALID);
        let bad = upstream.attempts("bad")[0];
        assert!(upstream.ends(bad), "{name}: the gateway keeps the connection");
    }
}

#[test]
fn other_statuses_than_a_phonebooks_say_what_is_wrong() {
    let redirect = "HTTP/1.1 301 Moved\r\nLocation: https://xivo/\r\nContent-Length: 0\r\n\r\n";
    let cases: &[(&str, (u16, &str))] = &[
        ("401 Unauthorized", (502, "upstream-refused-gateway")),
        ("403 Forbidden", (502, "upstream-refused-gateway")),
        ("302 Found", (502, "upstream-redirect")),
        ("404 Not Found", (502, "upstream-error")),
        ("400 Bad Request", (502, "upstream-error")),
        ("206 Partial Content", (502, "upstream-error")),
        ("201 Created", (502, "upstream-error")),
        ("500 Internal Server Error", (502, "upstream-error")),
        ("503 Service Unavailable", (502, "upstream-error")),
    ];
    for (line, expected) in cases {
        let bytes = format!("HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let upstream = misbehaving(bytes, |_| {});
        let gateway = Live::before(upstream.address());
        is_refused(line, &upstream, &gateway, *expected);
    }
    let upstream = misbehaving(redirect, Connection::until_ended);
    let answer = Live::before(upstream.address()).client().lookup("bad");
    assert_eq!((answer.status, reason(&answer).as_str()), (502, "upstream-redirect"));
    assert!(answer.header("location").is_none());
}

#[test]
fn an_upstream_that_ends_before_its_answers_head_is_unreachable() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: appl";
    for (name, bytes, reset) in [
        ("closes without a byte", "", false),
        ("resets without a byte", "", true),
        ("closes in the head", head, false),
        ("resets in the head", head, true),
        ("closes after an interim answer", "HTTP/1.1 100 Continue\r\n\r\n", false),
    ] {
        let upstream = misbehaving(bytes, move |connection| {
            if reset {
                connection.will_reset();
            }
        });
        let gateway = Live::before(upstream.address());
        is_refused(name, &upstream, &gateway, UNREACHABLE);
    }
}

#[test]
fn an_upstream_that_refuses_connections_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Live::before(free);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.lookup("bad");
        assert_eq!((answer.status, reason(&answer).as_str()), UNREACHABLE);
    }
    assert!(gateway.short_log(2)[1].contains("\" 502 "));
}

#[test]
fn an_upstream_that_accepts_no_connection_is_unreachable_within_the_connect_timeout() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // The queue of connections that nobody accepts is full when a further one is not answered.
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue never fills");
    }
    let gateway =
        Setup::new(address).upstream("connect_timeout = \"100ms\"\ntimeout = \"60s\"").start();
    let answer = gateway.client().lookup("bad");
    assert_eq!((answer.status, reason(&answer).as_str()), UNREACHABLE);
}

#[test]
fn an_upstream_that_says_nothing_or_not_enough_is_given_up_at_the_deadline() {
    for bytes in ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 102 Processing\r\n\r\n"] {
        let upstream = misbehaving(bytes, Connection::until_ended);
        let gateway = Setup::new(upstream.address()).upstream("timeout = \"150ms\"").start();
        is_refused(bytes, &upstream, &gateway, (504, "upstream-timeout"));
        assert!(upstream.ends(upstream.attempts("bad")[0]));
    }
}

#[test]
fn the_list_has_a_deadline_of_its_own() {
    let upstream = misbehaving("", Connection::until_ended);
    let gateway = Setup::new(upstream.address())
        .upstream("timeout = \"60s\"\nlist_timeout = \"100ms\"")
        .start();
    let mut client = gateway.client();
    client.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", list()));
    assert_eq!(client.answer().status, 504);
}

#[test]
fn the_connect_timeout_and_a_replay_are_within_the_deadline() {
    // A connection that was used ends without a byte, and the fresh one says nothing.
    let upstream = Scripted::start(|connection| {
        if connection.number == 0 {
            connection.request();
            connection.send(&found("first"));
            connection.request();
        } else {
            connection.request();
            connection.until_ended();
        }
    });
    let gateway = Setup::new(upstream.address()).upstream("timeout = \"200ms\"").start();
    let mut client = gateway.client();
    assert_eq!(client.lookup("first").status, 200);
    assert_eq!(client.lookup("second").status, 504);
    assert_eq!(upstream.attempts("second"), [0, 1]);
}

#[test]
fn eight_interim_answers_are_skipped() {
    let upstream = Scripted::answering(|term| {
        let mut bytes = "HTTP/1.1 100 Continue\r\n\r\n".repeat(4);
        bytes += &"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(4);
        let mut bytes = bytes.into_bytes();
        bytes.extend(found(term));
        bytes
    });
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    for term in ["one", "two"] {
        let answer = client.lookup(term);
        assert!(answer.header("link").is_none());
        assert_eq!((answer.status, answer.body), (200, found_body(term).into_bytes()));
    }
    assert_eq!(upstream.requests().last().unwrap().0, 0, "the connection is used again");
}

#[test]
fn bytes_on_an_idle_connection_never_become_an_answer() {
    let sent = Door::default();
    let upstream = {
        let sent = sent.clone();
        Scripted::start(move |connection| {
            while let Some(head) = connection.request() {
                connection.send(&found(term(&head)));
                if connection.number == 0 {
                    // Nobody asked for this.
                    connection.send(&found("poison"));
                    sent.open();
                }
            }
        })
    };
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    let first = client.lookup("first");
    sent.pass();
    assert!(matches!(first.status, 200 | 502), "{first:?}");
    for term in ["second", "third"] {
        assert_eq!(client.lookup(term).body, found_body(term).into_bytes());
        assert_eq!(upstream.attempts(term), [1], "the poisoned connection was used again");
    }
}

/// The ways in which an answer's body ends short, and whether its head can have been passed on by then.
fn short_bodies() -> Vec<(&'static str, String)> {
    let large = "[".repeat(100_000);
    vec![
        ("a length cut short", with_head("Content-Length: 1000\r\n", "[1,2")),
        ("a large length cut short", with_head("Content-Length: 200000\r\n", &large)),
        ("chunks cut in data", with_head("Transfer-Encoding: chunked\r\n", "10\r\n[1,2")),
        ("chunks cut after a chunk", with_head("Transfer-Encoding: chunked\r\n", "4\r\n[1,2\r\n")),
        ("chunks cut in the end", with_head("Transfer-Encoding: chunked\r\n", "2\r\n[]\r\n0\r\n")),
        (
            "large chunks cut short",
            with_head("Transfer-Encoding: chunked\r\n", &format!("186a0\r\n{large}\r\n")),
        ),
        (
            "a broken size midway",
            with_head(
                "Transfer-Encoding: chunked\r\n",
                &format!("186a0\r\n{large}\r\n-5\r\nxxxxx"),
            ),
        ),
        (
            "an extension midway",
            with_head(
                "Transfer-Encoding: chunked\r\n",
                &format!("186a0\r\n{large}\r\n1;a\r\nx\r\n"),
            ),
        ),
        (
            "trailers after much",
            with_head(
                "Transfer-Encoding: chunked\r\n",
                &format!("186a0\r\n{large}\r\n0\r\nX: y\r\n\r\n"),
            ),
        ),
        (
            "bytes after large chunks",
            with_head(
                "Transfer-Encoding: chunked\r\n",
                &format!("186a0\r\n{large}\r\n0\r\n\r\nHTTP"),
            ),
        ),
        ("bytes after a large length", with_head("Content-Length: 100000\r\n", &(large + "x"))),
    ]
}

#[test]
fn an_answer_that_ends_short_is_never_passed_as_complete() {
    for (name, bytes) in short_bodies() {
        for reset in [false, true] {
            for version in ["HTTP/1.1", "HTTP/1.0"] {
                let upstream = misbehaving(bytes.as_bytes(), move |connection| {
                    if reset {
                        connection.will_reset();
                    }
                });
                let gateway = Live::before(upstream.address());
                let mut client = gateway.client();
                client.send(format!("GET {} {version}\r\nHost: a\r\n\r\n", target("bad")));
                match client.try_answer(true) {
                    Err(Cut { end, .. }) => assert_eq!(end, End::Reset, "{name}, {version}"),
                    // What was wrong was seen before anything was passed on.
                    Ok(answer) => assert_eq!(answer.status, 502, "{name}, {version}"),
                }
                assert_eq!(gateway.client().lookup("good").status, 200, "{name}");
                assert_eq!(upstream.attempts("good"), [1], "{name}");
                assert_eq!(gateway.log(2).len(), 2);
            }
        }
    }
}

#[test]
fn an_answer_in_pieces_that_ends_short_is_reset_also_on_http_1_0() {
    // The head has certainly been passed on: the upstream waits until the client has it.
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        for framing in
            ["Content-Length: 10\r\n\r\n[1", "Transfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n"]
        {
            let seen = Door::default();
            let upstream = {
                let seen = seen.clone();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
                misbehaving(format!("{head}{framing}"), move |_| seen.pass())
            };
            let gateway = Live::before(upstream.address());
            let mut client = gateway.client();
            client.send(format!("GET {} {version}\r\nHost: a\r\n\r\n", target("bad")));
            assert!(client.swallow(4096) > 0);
            seen.open();
            assert_eq!(client.ended(), End::Reset, "{version} {framing}");
            let line = &gateway.short_log(1)[0];
            assert!(line.contains("\" 200 "), "as in nginx, the status that was sent: {line}");
        }
    }
}

#[test]
fn a_body_that_stalls_is_cut_after_the_stall_timeout() {
    for framing in ["Content-Length: 10\r\n\r\n[1", "Transfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n"]
    {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let upstream = misbehaving(format!("{head}{framing}"), Connection::until_ended);
        let gateway = Setup::new(upstream.address()).upstream("stall_timeout = \"150ms\"").start();
        let mut client = gateway.client();
        client.search("bad");
        assert_eq!(client.try_answer(true).unwrap_err().end, End::Reset);
        assert!(upstream.ends(0), "the connection to XiVO is kept");
    }
}

#[test]
fn an_answer_over_max_answer_is_refused_or_cut() {
    let bytes = with_head("Content-Length: 2049\r\n", &"[".repeat(2049));
    let upstream = misbehaving(bytes, Connection::until_ended);
    let gateway = Setup::new(upstream.address()).upstream("max_answer = \"2k\"").start();
    is_refused("a length", &upstream, &gateway, (502, "upstream-too-large"));

    let chunk = format!("800\r\n{}\r\n", "[".repeat(2048));
    let over = with_head("Transfer-Encoding: chunked\r\n", &format!("{chunk}1\r\nx\r\n0\r\n\r\n"));
    let upstream = misbehaving(over, Connection::until_ended);
    let gateway = Setup::new(upstream.address()).upstream("max_answer = \"2k\"").start();
    is_refused("chunks at once", &upstream, &gateway, (502, "upstream-too-large"));

    // Growing beyond it after the first of it was passed on.
    let passed = Door::default();
    let upstream = {
        let passed = passed.clone();
        misbehaving(with_head("Transfer-Encoding: chunked\r\n", &chunk), move |connection| {
            passed.pass();
            connection.send(b"1\r\nx\r\n0\r\n\r\n");
            connection.until_ended();
        })
    };
    let gateway = Setup::new(upstream.address()).upstream("max_answer = \"2k\"").start();
    let mut client = gateway.client();
    client.search("bad");
    assert!(client.swallow(1) == 1);
    passed.open();
    assert_eq!(client.try_answer(true).unwrap_err().end, End::Reset);

    let exactly = with_head("Transfer-Encoding: chunked\r\n", &format!("{chunk}0\r\n\r\n"));
    let upstream = Scripted::answering(move |_| exactly.clone().into_bytes());
    let gateway = Setup::new(upstream.address()).upstream("max_answer = \"2k\"").start();
    assert_eq!(gateway.client().lookup("any").body.len(), 2048);
}

#[test]
fn a_contact_that_is_not_there_gets_a_body_of_ours() {
    let upstream = misbehaving(
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\nsecret",
        |connection| {
            while let Some(head) = connection.request() {
                connection.send(&found(term(&head)));
            }
        },
    );
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    client.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", view(7)));
    let answer = client.answer();
    assert_eq!((answer.status, reason(&answer).as_str()), (404, "no-contact"));
    assert_eq!(client.lookup("good").status, 200);
    assert_eq!(upstream.attempts("good"), [0], "the connection is used again");
}

#[test]
fn not_modified_without_a_checksum_is_no_answer_of_a_phonebook() {
    let upstream = Scripted::answering(|_| b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec());
    let gateway = Live::before(upstream.address());
    let answer = gateway.client().lookup("any");
    assert_eq!((answer.status, reason(&answer).as_str()), (502, "upstream-error"));
}

#[test]
fn no_content_and_not_modified_pass_without_a_body() {
    for (status, head) in [
        (204, "HTTP/1.1 204 No Content\r\nX-XIVO-WS-VERSION: 1\r\nServer: nginx\r\n\r\n"),
        (304, "HTTP/1.1 304 Not Modified\r\nX-XIVO-WS-VERSION: 1\r\nContent-Length: 9\r\n\r\n"),
    ] {
        let upstream = Scripted::answering(move |_| head.as_bytes().to_vec());
        let gateway = Live::before(upstream.address());
        let mut client = gateway.client();
        for _ in 0..2 {
            // Not modified is an answer only to who says what it has.
            let known = format!("{}&sum={}", target("any"), "0".repeat(32));
            client.send(format!("GET {known} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let answer = client.answer();
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("x-xivo-ws-version"), Some("1"));
            for absent in ["content-length", "content-type", "transfer-encoding", "server"] {
                assert_eq!(answer.header(absent), None, "{absent}");
            }
        }
        assert!(gateway.short_log(2)[1].contains(&format!("\" {status} 0 ")));
        assert_eq!(upstream.attempts("any"), [0, 0], "the connection is used again");
    }
}

#[test]
fn head_is_asked_as_get_and_answered_without_a_body() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    client.send(format!("HEAD {} HTTP/1.1\r\nHost: a\r\n\r\n", target("who")));
    let answer = client.head_answer();
    assert_eq!(answer.status, 200);
    let length = found_body("who").len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    assert_eq!(client.lookup("next").body, found_body("next").into_bytes());
    assert!(upstream.requests()[0].1.starts_with("GET "));
    let lines = gateway.short_log(2);
    assert!(lines[0].contains("\"HEAD ") && lines[0].contains(" 200 0 "), "{}", lines[0]);
}

#[test]
fn only_fields_of_the_list_pass() {
    let upstream = Scripted::answering(|_| {
        with_head(
            "Server: nginx/1.22\r\nSet-Cookie: a=b\r\nX-Powered-By: PHP\r\nX-Accel-Redirect: /x\r\n\
             Keep-Alive: timeout=5\r\nX-XIVO-WS-VERSION: 2.0\r\nVia: 1.1 a\r\nContent-Length: 2\r\n",
            "[]",
        )
        .into_bytes()
    });
    let gateway = Live::before(upstream.address());
    let answer = gateway.client().lookup("any");
    let mut names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["content-length", "content-type", "date", "x-request-id", "x-xivo-ws-version"]
    );
    assert_eq!(answer.header("x-xivo-ws-version"), Some("2.0"));
    let request = &upstream.requests()[0].1;
    let id = answer.header("x-request-id").unwrap();
    assert!(request.contains(&format!("X-Request-Id: {id}\r\n")), "{request}");
}

#[test]
fn nothing_of_the_clients_head_but_its_user_agent_goes_to_xivo() {
    let upstream = Scripted::well();
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    client.send(format!(
        "GET {} HTTP/1.1\r\nHost: a\r\nUser-Agent: phone/1\r\nAuthorization: Basic eDp5\r\n\
         Cookie: a=b\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=1.2.3.4\r\n\
         X-Request-Id: mine\r\nConnection: X-Real-IP\r\nAccept-Encoding: gzip\r\n\
         If-None-Match: \"x\"\r\nRange: bytes=0-1\r\n\r\n",
        target("who")
    ));
    let answer = client.answer();
    let id = answer.header("x-request-id").unwrap();
    let expected = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nUser-Agent: phone/1\r\n\
         X-Request-Id: {id}\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\
         X-Real-IP: 127.0.0.1\r\n\r\n",
        target("who"),
        upstream.address()
    );
    assert_eq!(upstream.requests()[0].1, expected);
}

#[test]
fn connections_are_used_again_unless_xivo_says_close() {
    for (fields, version, connections) in [
        ("", "HTTP/1.1", [0, 0, 0]),
        ("Connection: close\r\n", "HTTP/1.1", [0, 1, 2]),
        ("Connection: x, Close\r\n", "HTTP/1.1", [0, 1, 2]),
        ("", "HTTP/1.0", [0, 1, 2]),
        ("Connection: keep-alive\r\n", "HTTP/1.0", [0, 0, 0]),
    ] {
        let upstream = Scripted::answering(move |_| {
            with_head(&format!("{fields}Content-Length: 2\r\n"), "[]")
                .replacen("HTTP/1.1", version, 1)
                .into_bytes()
        });
        let gateway = Live::before(upstream.address());
        let mut client = gateway.client();
        for _ in 0..3 {
            assert_eq!(client.lookup("any").status, 200);
        }
        assert_eq!(upstream.attempts("any"), connections, "{version} {fields}");
    }
}

#[test]
fn an_upstream_that_closes_after_every_answer_loses_no_lookup() {
    // At once, after a moment, when the next request begins to come, when it has come.
    let upstream = Scripted::start(|connection| {
        let Some(head) = connection.request() else { return };
        connection.send(&found(term(&head)));
        match connection.number % 4 {
            0 => {}
            1 => (0..connection.number % 50).for_each(|_| std::thread::yield_now()),
            2 => {
                connection.byte();
            }
            _ => {
                connection.request();
            }
        }
    });
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    for number in 0..2000 {
        // The client's connection lives for a thousand requests.
        if number % 1000 == 0 {
            client = gateway.client();
        }
        let term = format!("t{number}");
        let answer = client.lookup(&term);
        assert_eq!((answer.status, answer.body), (200, found_body(&term).into_bytes()));
    }
}

#[test]
fn a_lookup_is_not_asked_again_once_an_answer_has_begun() {
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.request() {
            if term(&head) == "second" {
                connection.send(b"H");
                return;
            }
            connection.send(&found(term(&head)));
        }
    });
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    assert_eq!(client.lookup("first").status, 200);
    let answer = client.lookup("second");
    assert_eq!((answer.status, reason(&answer).as_str()), UNREACHABLE);
    assert_eq!(upstream.attempts("second"), [0]);
}

#[test]
fn a_lookup_is_asked_again_once_at_the_most() {
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.request() {
            if term(&head) == "second" {
                return;
            }
            connection.send(&found(term(&head)));
        }
    });
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    assert_eq!(client.lookup("first").status, 200);
    let answer = client.lookup("second");
    assert_eq!((answer.status, reason(&answer).as_str()), UNREACHABLE);
    assert_eq!(upstream.attempts("second"), [0, 1], "once more, over a fresh connection");
}

#[test]
fn answers_go_to_whom_they_belong_over_many_connections() {
    let upstream = Scripted::well();
    let gateway = Arc::new(Setup::new(upstream.address()).workers(3).start());
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let address = gateway.address;
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                for number in 0..200 {
                    let term = format!("t{thread}n{number}");
                    assert_eq!(client.lookup(&term).body, found_body(&term).into_bytes());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    gateway.log(1600);
}

#[test]
fn an_answer_passes_whole_however_it_is_cut() {
    let next = Arc::new((AtomicUsize::new(1), Mutex::new(())));
    let body = "[{\"a\":\"é\"}]";
    let whole = json(body);
    let chunked = with_head("Transfer-Encoding: chunked\r\n", "").into_bytes();
    let chunked = [&chunked[..], b"6\r\n[{\"a\":\r\n7\r\n\"\xc3\xa9\"}]\n\r\n0\r\n\r\n"].concat();
    for (whole, body) in [(whole, body.to_owned()), (chunked, format!("{body}\n"))] {
        let length = whole.len();
        next.0.store(1, Ordering::SeqCst);
        let upstream = {
            let next = Arc::clone(&next);
            Scripted::start(move |connection| {
                while connection.request().is_some() {
                    let at = next.0.load(Ordering::SeqCst);
                    connection.send(&whole[..at]);
                    std::thread::yield_now();
                    connection.send(&whole[at..]);
                }
            })
        };
        let gateway = Live::before(upstream.address());
        let mut client = gateway.client();
        for at in 1..length {
            next.0.store(at, Ordering::SeqCst);
            assert_eq!(client.lookup("any").body, body.as_bytes(), "cut at {at}");
        }
    }
}

#[test]
fn without_danger_loopback_source_the_gateway_does_not_start_over_loopback() {
    let upstream = Scripted::well();
    let port = upstream.address().port();
    for url in [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")] {
        let mut setup = Setup::new(upstream.address());
        setup.upstream_url.clone_from(&url);
        setup.loopback = false;
        let error = setup.try_start().unwrap_err();
        assert!(matches!(error, StartError::Loopback(_)), "{error}");
        let text = error.to_string();
        for part in ["gateway.toml:", "`private`", "source = \"", "`danger_loopback_source = true`"]
        {
            assert!(text.contains(part), "{url}: {part} is missing in {text}");
        }
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_source_that_this_host_does_not_have_is_told_at_the_start() {
    let mut setup = Setup::new(([127, 0, 0, 1], 80).into()).upstream("source = \"192.0.2.77\"");
    setup.loopback = false;
    let error = setup.try_start().unwrap_err().to_string();
    assert!(error.contains(": 192.0.2.77 is no address of this host; it has "), "{error}");
}

#[test]
fn a_source_that_this_host_loses_is_an_unreachable_upstream() {
    in_own_network(
        "upstream_faults::a_source_that_this_host_loses_is_an_unreachable_upstream",
        || {
            let address = |change: &str| {
                let arguments = ["address", change, "192.0.2.77/32", "dev", "lo"];
                assert!(Command::new("ip").args(arguments).status().unwrap().success());
            };
            let upstream = Scripted::well();
            let mut setup = Setup::new(upstream.address()).upstream("source = \"192.0.2.77\"");
            setup.loopback = false;
            address("add");
            let mut gateway = Binary::serve(&setup);
            let mut client = Client::connect(gateway.address());
            address("del");
            let answer = client.lookup("marguerite");
            assert_eq!((answer.status, reason(&answer).as_str()), UNREACHABLE);
            let words = "this host does not have the address upstream.source";
            assert!(becomes_true(|| gateway.stderr().contains(words)), "{}", gateway.stderr());
            assert!(!gateway.stderr().contains("marguerite"), "{}", gateway.stderr());
            assert_eq!(upstream.requests().len(), 0);
        },
    );
}

#[test]
fn a_name_without_an_address_is_an_unreachable_upstream() {
    let mut setup = Setup::new(([127, 0, 0, 1], 80).into());
    setup.upstream_url = "http://xivo.invalid:80".to_owned();
    setup.loopback = false;
    let gateway = setup.start();
    let answer = gateway.client().lookup("any");
    assert_eq!((answer.status, reason(&answer).as_str()), UNREACHABLE);
}

/// A circuit breaker must not take it for a fault of XiVO's, nor the administrator look for it there.
#[test]
fn a_gateway_that_may_open_no_more_files_says_so_and_asks_again_once_it_may() {
    let upstream = Scripted::well();
    let mut gateway = Binary::serve(&Setup::new(upstream.address()).upstream(PATIENT));
    let mut client = Client::connect(gateway.address());
    // Once it is answered, its connection is open on both sides.
    client.send("GET / HTTP/1.1\r\nHost: gateway\r\n\r\n");
    assert_eq!(client.answer().status, 404);
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let allow = |current| {
        let pid = Pid::from_raw(gateway.pid().try_into().unwrap());
        prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap();
    };
    // What is open stays open, and nothing else can be opened.
    allow(Some(3));
    let answer = client.lookup("any");
    assert_eq!((answer.status, reason(&answer).as_str()), UNREACHABLE);
    let told =
        "XiVO could not be reached: this process may have no more open files; raise LimitNOFILE";
    assert!(becomes_true(|| gateway.stderr().contains(told)), "{}", gateway.stderr());
    assert_eq!(upstream.requests().len(), 0);
    allow(maximum);
    assert_eq!(client.lookup("any").status, 200);
}
