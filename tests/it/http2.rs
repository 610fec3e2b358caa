//! HTTP/2 from clients goes the way of all requests.

mod corpus;
mod frames;
mod programs;
mod same;

use std::io::Write as _;

use http::Request;

use crate::support::{
    http2::{
        Answer, ByHand, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING,
        PRIORITY, RST_STREAM, SETTINGS, Sound, WINDOW_UPDATE, block, code, frame, get, pseudo,
        request, setup,
    },
    live::{Live, policy},
    process::becomes_true,
    raw::{list, target, view},
    scripted::{Door, Scripted, found, found_body, json, term},
};

const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

fn before(upstream: &Scripted) -> Live {
    setup(upstream.address()).start()
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.fields.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn a_search_is_answered_and_logged() {
    let upstream = Scripted::well();
    let live = before(&upstream);
    let client = Sound::connect(live.address);
    let asked = Request::get(format!("https://gateway{}", target("doe")))
        .header("user-agent", "tests/1")
        .header("referer", "http://a/")
        .body(())
        .unwrap();
    let answer = client.ask(asked).unwrap();
    assert_eq!((answer.status.as_u16(), answer.text()), (200, found_body("doe")));
    assert_eq!(field(&answer, "content-type"), Some("application/json"));
    assert_eq!(
        field(&answer, "content-length"),
        Some(found_body("doe").len().to_string().as_str())
    );
    assert_eq!(field(&answer, "x-request-id").unwrap().len(), 32);
    assert!(field(&answer, "date").is_some());
    assert_eq!((field(&answer, "connection"), field(&answer, "server")), (None, None));
    let line = format!(
        "127.0.0.1 - lyon [-] \"GET {} HTTP/2.0\" 200 {} \"http://a/\" \"tests/1\"",
        target("doe"),
        found_body("doe").len()
    );
    assert_eq!(live.short_log(1), [line]);
    let (_, head) = upstream.requests().remove(0);
    assert!(head.contains("\r\nX-Forwarded-Proto: https\r\n"), "{head}");
    assert!(head.contains("\r\nUser-Agent: tests/1\r\n"), "{head}");
}

#[test]
fn heads_without_bodies_and_bodies_of_unknown_length_end_as_they_should() {
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.request() {
            let json = "Content-Type: application/json";
            let answer = match head.split(' ').nth(1).unwrap() {
                target if target.contains("act=list&sum=") => {
                    "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned()
                }
                target if target.contains("act=list") => {
                    format!(
                        "HTTP/1.1 200 OK\r\n{json}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"
                    )
                }
                target if target.ends_with("id=1") => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                target if target.contains("id=") => {
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
                }
                _ => format!("HTTP/1.1 200 OK\r\n{json}\r\nContent-Length: 2\r\n\r\n[]"),
            };
            connection.send(answer.as_bytes());
        }
    });
    let live = before(&upstream);
    let client = Sound::connect(live.address);
    let chunked = client.get(&list());
    assert_eq!((chunked.status.as_u16(), chunked.text().as_str()), (200, "[1,2]"));
    assert_eq!(field(&chunked, "transfer-encoding"), None);
    let known = client.get(&format!("{}&sum={}", list(), "0".repeat(32)));
    assert_eq!((known.status.as_u16(), known.text().as_str()), (304, ""));
    let none = client.get(&view(1));
    assert_eq!((none.status.as_u16(), none.text().as_str()), (204, ""));
    let missing = client.get(&view(2));
    assert_eq!((missing.status.as_u16(), missing.reason().as_str()), (404, "no-contact"));
    let head = Request::head(format!("https://gateway{}", target("doe"))).body(()).unwrap();
    let head = client.ask(head).unwrap();
    assert_eq!((head.status.as_u16(), head.text().as_str()), (200, ""));
    assert_eq!(field(&head, "content-length"), Some("2"));
}

#[test]
fn requests_of_one_connection_are_on_their_way_at_once() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let live = before(&upstream);
    let client = Sound::connect(live.address);
    let mut slow = ByHand::connect(live.address, &[]);
    assert!(slow.send(&[request(1, &target("slow")), request(3, &target("quick"))].concat()));
    let first = slow.until(HEADERS).unwrap();
    assert_eq!(first.stream, 3);
    let all = (0..20).map(|number| get(&target(&format!("t{number}")))).collect();
    for (number, answer) in client.ask_all(all).into_iter().enumerate() {
        assert_eq!(answer.unwrap().text(), found_body(&format!("t{number}")));
    }
    door.open();
    assert_eq!(slow.until(HEADERS).unwrap().stream, 1);
    assert_eq!(live.log(22).len(), 22);
}

#[test]
fn refusals_are_those_of_http_1() {
    let upstream = Scripted::well();
    let live = setup(upstream.address())
        .policy("lyon", policy("127.0.0.1", "concurrent = 1000\nmin_search_length = 2"))
        .start();
    let ask = |method: &str, target: &str| {
        let request = Request::builder().method(method).uri(format!("https://gateway{target}"));
        let client = Sound::connect(live.address);
        client.ask(request.body(()).unwrap()).unwrap()
    };
    for (method, target, status, reason) in [
        ("GET", "/nothing".to_owned(), 404, "unknown-path"),
        ("GET", list().replace("restricted", "private"), 403, "private-path"),
        ("GET", list().replace("restricted", "%70rivate"), 403, "private-path"),
        ("DELETE", target("doe"), 405, "method-not-allowed"),
        ("GET", target("e"), 403, "action-not-granted"),
        ("GET", list().replace("list", "delete"), 403, "action-not-granted"),
        ("GET", format!("{}&x=1", list()), 400, "bad-argument"),
        ("GET", target(&"x".repeat(5000)), 414, "uri-too-long"),
    ] {
        let answer = ask(method, &target);
        assert_eq!(
            (answer.status.as_u16(), answer.reason().as_str()),
            (status, reason),
            "{target}"
        );
        assert_eq!(field(&answer, "content-type"), Some("application/problem+json"));
        let allow = (status == 405).then_some("GET, HEAD");
        assert_eq!(field(&answer, "allow"), allow);
    }
    assert!(upstream.requests().is_empty());
    let unknown_caller = Sound::connect_from(live.address, Some("127.0.0.9"));
    for _ in 0..5 {
        let answer = unknown_caller.get(&list());
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (403, "unknown-peer"));
        assert!(!answer.text().contains("detail"));
    }
    let answer = unknown_caller.get(&list());
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (429, "unknown-peer"));
    assert!(field(&answer, "retry-after").is_some());
    // An unknown caller whose rate is used up loses the connection.
    unknown_caller.until_left();
}

#[test]
fn the_authority_is_checked_as_host_is() {
    let upstream = Scripted::well();
    let mut setup = setup(upstream.address());
    setup.listen.push_str("server_names = [\"gateway\"]\n");
    let live = setup.start();
    let ask = |fields: &[(&str, &[u8])]| {
        let mut client = ByHand::connect(live.address, &[]);
        assert!(client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields))));
        status(&client.until(HEADERS).unwrap())
    };
    let target = target("doe");
    let [method, scheme, authority, path] = pseudo("GET", &target);
    assert_eq!(ask(&[method, scheme, authority, path]), 200);
    assert_eq!(ask(&[method, scheme, (":authority", b"GATEWAY:9480"), path]), 200);
    assert_eq!(ask(&[method, scheme, authority, path, ("host", b"gateway:443")]), 200);
    assert_eq!(ask(&[method, scheme, path, ("host", b"gateway")]), 200);
    assert_eq!(ask(&[method, scheme, (":authority", b"other"), path]), 421);
    for fields in [
        &[method, scheme, path][..],
        &[method, scheme, authority, path, ("host", b"other")],
        &[method, scheme, authority, path, ("host", b"gateway"), ("host", b"gateway")],
        &[method, scheme, (":authority", b"user@gateway"), path],
        &[method, (":scheme", b"http"), authority, path],
        &[method, (":scheme", b"ftp"), authority, path],
        &[(":method", b"CONNECT"), authority],
    ] {
        assert_eq!(ask(fields), 400, "{fields:?}");
    }
}

/// The status of an answer whose HPACK this client does not decode: it is the first field, behind the
/// word that no table is used, and stands in the static table (RFC 7541, appendix A) or literally.
fn status(head: &Frame) -> u16 {
    match head.payload.strip_prefix(&[0x20]).unwrap_or(&head.payload) {
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x08, 0x03, a, b, c, ..] => {
            [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0'))
        }
        other => panic!("{other:x?}"),
    }
}

#[test]
fn a_body_is_refused_whether_it_was_told_of_or_not() {
    let upstream = Scripted::well();
    let live = before(&upstream);
    for told in [true, false] {
        let client = Sound::connect(live.address);
        let mut request = Request::get(format!("https://gateway{}", target("doe")));
        if told {
            request = request.header("content-length", "3");
        }
        let answer = client.post(request.body(()).unwrap(), b"abc");
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (413, "body-not-allowed"));
    }
    // Trailers are a body as well.
    let mut client = ByHand::connect(live.address, &[]);
    let head = frame(HEADERS, END_HEADERS, 1, &block(&pseudo("GET", &target("doe"))));
    let trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[("x", b"y")]));
    assert!(client.send(&[head, trailers].concat()));
    assert_eq!(status(&client.until(HEADERS).unwrap()), 413);
    assert!(upstream.requests().is_empty());
}

type Fields<'a> = Vec<(&'a str, &'a [u8])>;

#[test]
fn what_http_2_itself_refuses_leaves_its_line_and_its_token() {
    let upstream = Scripted::well();
    let live = setup(upstream.address())
        .policy("lyon", policy("127.0.0.1", "rate = { per_second = 1, burst = 14 }"))
        .start();
    let target = target("doe");
    let [method, scheme, authority, path] = pseudo("GET", &target);
    let well = [method, scheme, authority, path];
    let whole = format!("GET {target} HTTP/2.0");
    let broken: [(Fields<'_>, &str); 14] = [
        (vec![scheme, authority, path], &whole[3..]),
        (vec![method, authority, path], &whole),
        (vec![method, method, scheme, authority, path], &whole),
        (vec![method, scheme, authority, path, path], &whole),
        (vec![("x", b"y"), method, scheme, authority, path], &whole),
        (vec![method, scheme, authority, (":path", b"")], "GET  HTTP/2.0"),
        (vec![method, scheme, authority, (":path", b"/a b")], "GET /a b HTTP/2.0"),
        (vec![method, scheme, authority, (":path", b"/\r\nx")], "GET /\\x0D\\x0Ax HTTP/2.0"),
        (
            vec![method, scheme, authority, (":path", b"http://other/")],
            "GET http://other/ HTTP/2.0",
        ),
        ([&well[..], &[("connection", b"close")]].concat(), &whole),
        ([&well[..], &[("transfer-encoding", b"chunked")]].concat(), &whole),
        ([&well[..], &[("te", b"gzip")]].concat(), &whole),
        ([&well[..], &[("X-Upper", b"y")]].concat(), &whole),
        ([&well[..], &[("x", b"a\r\nb: c")]].concat(), &whole),
    ];
    let count = broken.len();
    for (fields, _) in &broken {
        let mut client = ByHand::connect(live.address, &[]);
        assert!(client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields))));
        let answer = client.until(HEADERS).unwrap_or_else(|| panic!("{fields:?}"));
        assert_eq!((status(&answer), answer.flags & END_STREAM), (400, 0), "{fields:?}");
        let reset = client.until(RST_STREAM).unwrap_or_else(|| panic!("{fields:?}"));
        assert_eq!((reset.stream, code(&reset)), (1, PROTOCOL_ERROR), "{fields:?}");
    }
    for (line, (_, wanted)) in live.short_log(count).iter().zip(&broken) {
        let begins = format!("127.0.0.1 - lyon [-] \"{wanted}\" 400 ");
        assert!(line.starts_with(&begins), "{line} {begins}");
    }
    let client = Sound::connect(live.address);
    assert_eq!(client.get(&target).reason(), "rate-limited");
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_connection_that_breaks_the_rules_ends_and_leaves_a_line() {
    let upstream = Scripted::well();
    let live = before(&upstream);
    let ends: [(&str, Vec<u8>); 6] = [
        ("an even stream", request(2, &list())),
        ("a frame that is too large", frame(DATA, 0, 1, &[0; 20_000])),
        ("DATA of no stream", frame(DATA, 0, 0, b"x")),
        ("a CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, b"")),
        ("PUSH_PROMISE", frame(5, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])),
        ("HPACK that is none", frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 40])),
    ];
    let count = ends.len();
    for (what, bytes) in ends {
        let mut client = ByHand::connect(live.address, &[]);
        client.send(&bytes);
        let goaway = client.until(GOAWAY).unwrap_or_else(|| panic!("{what}"));
        assert_ne!(code(&goaway), 0, "{what}");
        assert!(client.rest().iter().all(|frame| frame.kind != HEADERS), "{what}");
    }
    let mut no_preface = ByHand::silent(live.address);
    no_preface.send(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n");
    no_preface.rest();
    for line in live.short_log(count + 1) {
        assert_eq!(line, "127.0.0.1 - lyon [-] \"\" 400 0 \"-\" \"-\"");
    }
    assert!(live.comes_to_rest());
}

#[test]
fn a_cut_answer_is_reset_and_never_ends() {
    let upstream = Scripted::start(|connection| {
        if connection.request().is_some() {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
            connection.send(format!("{head}[1,").as_bytes());
        }
    });
    let live = before(&upstream);
    let mut client = ByHand::connect(live.address, &[]);
    assert!(client.send(&request(1, &list())));
    let mut frames = Vec::new();
    while frames.last().is_none_or(|frame: &Frame| frame.kind != RST_STREAM) {
        frames.push(client.frame().unwrap());
    }
    let of_stream: Vec<_> = frames.iter().filter(|frame| frame.stream == 1).collect();
    // Its head may have been overtaken by the reset.
    assert!(of_stream.iter().all(|frame| frame.kind > HEADERS || frame.flags & END_STREAM == 0));
    // The connection goes on.
    assert!(client.send(&frame(PING, 0, 0, &[7; 8])));
    assert!(client.until(PING).is_some());
}

#[test]
fn who_takes_a_request_back_leaves_499_and_frees_its_place() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let live = setup(upstream.address())
        .policy("lyon", policy("127.0.0.1", "concurrent = 1"))
        .upstream("timeout = \"1m\"")
        .start();
    let mut client = ByHand::connect(live.address, &[]);
    assert!(client.send(&request(1, &target("slow"))));
    assert!(becomes_true(|| upstream.attempts("slow").len() == 1));
    let busy = Sound::connect(live.address).get(&target("quick"));
    assert_eq!((busy.status.as_u16(), busy.reason().as_str()), (429, "too-many-concurrent"));
    assert!(client.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])));
    let lines = live.short_log(2);
    assert_eq!(
        lines[1],
        format!("127.0.0.1 - lyon [-] \"GET {} HTTP/2.0\" 499 0 \"-\" \"-\"", target("slow"))
    );
    assert_eq!(Sound::connect(live.address).get(&target("quick")).status, 200);
    // Who leaves altogether, too.
    assert!(client.send(&request(3, &target("slow"))));
    assert!(becomes_true(|| upstream.attempts("slow").len() == 2));
    drop(client);
    assert!(live.short_log(4)[3].contains("\" 499 0 "));
    door.open();
}

#[test]
fn who_does_not_open_the_window_loses_the_stream_and_xivos_connection_is_free() {
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.request() {
            if head.contains("act=list") {
                let fields = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
                connection.send(format!("{fields}Content-Length: {}\r\n\r\n", 1 << 20).as_bytes());
                if !connection.send(&vec![b'['; 1 << 20]) {
                    return;
                }
            } else {
                connection.send(&found(term(&head)));
            }
        }
    });
    let live = setup(upstream.address()).limits("write_timeout = \"300ms\"").start();
    let mut client = ByHand::connect(live.address, &[(4, 100)]);
    assert!(client.send(&request(1, &list())));
    let reset = client.until(RST_STREAM).unwrap();
    assert_eq!(reset.stream, 1);
    assert!(upstream.ends(0));
    // A refusal needs no window: it goes without its body.
    assert!(client.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])));
    assert!(client.send(&request(3, "/nothing")));
    let refusal = client.until(HEADERS).unwrap();
    assert_eq!(
        (refusal.stream, status(&refusal), refusal.flags & END_STREAM),
        (3, 404, END_STREAM)
    );
    let lines = live.short_log(2);
    assert!(lines[0].contains("?act=list HTTP/2.0\" "), "{lines:?}");
    assert!(lines[1].contains("\" 404 0 "), "{lines:?}");
    let honest = Sound::connect(live.address).get(&list());
    assert_eq!(honest.text().len(), 1 << 20);
}

/// The window is wide open, and nobody reads.
#[test]
fn who_does_not_read_at_all_loses_the_connection() {
    const SIZE: usize = 64 << 20;
    let upstream = Scripted::start(|connection| {
        while connection.request().is_some() {
            let fields = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            connection.send(format!("{fields}Content-Length: {SIZE}\r\n\r\n").as_bytes());
            while connection.send(&[b'['; 1 << 16]) {}
        }
    });
    let live = setup(upstream.address()).limits("write_timeout = \"300ms\"").start();
    let mut client = ByHand::connect(live.address, &[(4, 0x7fff_ffff)]);
    let window = frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
    assert!(client.send(&[window, request(1, &list())].concat()));
    assert!(upstream.ends(0));
    assert!(live.comes_to_rest());
    assert_eq!(live.log(1).len(), 1);
    drop(client);
}

#[test]
fn a_connection_ends_after_so_many_requests_and_answers_them_all() {
    let upstream = Scripted::well();
    let live = setup(upstream.address()).limits("max_requests_per_connection = 3").start();
    let client = Sound::connect(live.address);
    for term in ["a1", "a2", "a3"] {
        assert_eq!(client.get(&target(term)).text(), found_body(term));
    }
    client.until_left();
    // One that does not listen is not served for ever.
    let mut deaf = ByHand::connect(live.address, &[]);
    let mut stream = 1;
    while stream < 2000 && deaf.send(&request(stream, "/nothing")) {
        stream += 2;
    }
    let frames = deaf.rest();
    let answered = frames.iter().filter(|frame| frame.kind == HEADERS).count();
    assert!(answered <= 3 + 64 + 1, "{answered}");
    assert!(live.comes_to_rest());
}

#[test]
fn idle_old_and_silent_connections_end() {
    let upstream = Scripted::well();
    let live = setup(upstream.address())
        .limits("head_timeout = \"300ms\"\nidle_timeout = \"300ms\"")
        .start();
    let idle = Sound::connect(live.address);
    assert_eq!(idle.get(&target("doe")).status, 200);
    idle.until_left();
    let mut silent = ByHand::silent(live.address);
    silent.rest();
    let mut fresh = ByHand::connect(live.address, &[]);
    assert!(fresh.rest().iter().any(|frame| frame.kind == GOAWAY));
    // A head that does not end is a late one.
    let mut slow = ByHand::connect(live.address, &[]);
    slow.send(&frame(HEADERS, END_STREAM, 1, &block(&pseudo("GET", &list()))));
    slow.rest();
    let lines = live.short_log(2);
    assert!(lines[1].ends_with("\"\" 408 0 \"-\" \"-\""), "{lines:?}");
    let old = setup(upstream.address()).limits("max_connection_age = \"300ms\"").start();
    let client = Sound::connect(old.address);
    assert_eq!(client.get(&target("doe")).status, 200);
    client.until_left();
}

#[test]
fn a_gateway_that_drains_answers_what_was_asked_and_takes_leave() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let mut live = setup(upstream.address()).upstream("timeout = \"1m\"").start();
    let mut client = ByHand::connect(live.address, &[]);
    assert!(client.send(&request(1, &target("slow"))));
    assert!(becomes_true(|| upstream.attempts("slow").len() == 1));
    live.drain();
    let goaway = client.until(GOAWAY).unwrap();
    assert_eq!(code(&goaway), 0);
    door.open();
    let answer = client.until(HEADERS).unwrap();
    assert_eq!((answer.stream, status(&answer)), (1, 200));
    client.rest();
    assert!(live.comes_to_rest());
}

/// What a flooder sends the nth time.
type Flood = Box<dyn Fn(u32) -> Vec<u8>>;

/// Floods by name.
fn floods() -> Vec<(&'static str, Flood)> {
    let head = || frame(HEADERS, END_HEADERS, 1, &block(&pseudo("GET", "/nothing")));
    vec![
        (
            "rapid reset",
            Box::new(|at| {
                let stream = 2 * at + 1;
                [request(stream, &target("doe")), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]
                    .concat()
            }),
        ),
        (
            "CONTINUATION",
            Box::new(|at| match at {
                0 => frame(HEADERS, END_STREAM, 1, &block(&pseudo("GET", "/nothing"))),
                _ => frame(CONTINUATION, 0, 1, &block(&[("x", b"y")])),
            }),
        ),
        (
            "empty CONTINUATION",
            Box::new(|at| match at {
                0 => frame(HEADERS, END_STREAM, 1, &block(&pseudo("GET", "/nothing"))),
                _ => frame(CONTINUATION, 0, 1, b""),
            }),
        ),
        (
            "empty DATA",
            Box::new(move |at| match at {
                0 => head(),
                _ => frame(DATA, 0, 1, b""),
            }),
        ),
        ("PING", Box::new(|_| frame(PING, 0, 0, &[0; 8]))),
        ("SETTINGS", Box::new(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]))),
        ("PRIORITY", Box::new(|at| frame(PRIORITY, 0, 2 * at + 1, &[0, 0, 0, 0, 1]))),
        ("WINDOW_UPDATE", Box::new(|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        ("unknown frames", Box::new(|_| frame(0xbe, 0, 0, b""))),
        // CVE-2025-8671: the server is made to reset streams whose requests go on behind it.
        (
            "MadeYouReset",
            Box::new(|at| {
                let stream = 2 * at + 1;
                [request(stream, &target("doe")), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
            }),
        ),
        (
            "malformed requests",
            Box::new(|at| {
                frame(HEADERS, END_STREAM | END_HEADERS, 2 * at + 1, &block(&[(":path", b"/")]))
            }),
        ),
        (
            "streams that never begin to end",
            Box::new(|at| {
                let fields = block(&pseudo("GET", "/nothing"));
                frame(HEADERS, END_HEADERS, 2 * at + 1, &fields)
            }),
        ),
    ]
}

#[test]
fn floods_end_their_connection_and_nobody_elses() {
    let upstream = Scripted::well();
    let live = setup(upstream.address()).start();
    let honest = Sound::connect(live.address);
    for (what, flood) in floods() {
        let mut client = ByHand::connect(live.address, &[]);
        let mut sent = 0;
        while sent < 50_000 {
            let batch: Vec<u8> = (sent..sent + 50).flat_map(&flood).collect();
            if !client.send(&batch) {
                break;
            }
            sent += 50;
            if sent.is_multiple_of(500) {
                assert_eq!(honest.get(&target("honest")).text(), found_body("honest"), "{what}");
            }
        }
        // The connection is gone, or its last frames say that it goes.
        client.rest();
        assert!(becomes_true(|| live.server().shared().connections() == 1), "{what}");
        assert_eq!(honest.get(&target("honest")).text(), found_body("honest"), "{what}");
        assert!(sent < 50_000, "{what}");
        writeln!(std::io::stderr(), "{what}: ended after at most {sent} frames").unwrap();
    }
}

/// So slowly that each is begun before it is taken back.
#[test]
fn requests_that_are_taken_back_one_by_one_are_bounded_as_well() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let live = setup(upstream.address()).upstream("timeout = \"1m\"").start();
    let mut client = ByHand::connect(live.address, &[]);
    let mut at = 0;
    loop {
        let stream = 2 * at + 1;
        let ping = frame(PING, 0, 0, &[0; 8]);
        let reset = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        if !client.send(&[request(stream, &target("slow")), ping].concat())
            || client.until(PING).is_none()
            || !client.send(&reset)
        {
            break;
        }
        at += 1;
        assert!(at < 300);
    }
    assert!(at >= 100, "{at}");
    assert!(live.comes_to_rest());
    door.open();
}

#[test]
fn each_request_of_a_rapid_reset_is_logged_and_spends_its_token() {
    let upstream = Scripted::well();
    let live = setup(upstream.address())
        .policy("lyon", policy("127.0.0.1", "rate = { per_minute = 1, burst = 10 }"))
        .start();
    let mut client = ByHand::connect(live.address, &[]);
    for at in 0..15 {
        let stream = 2 * at + 1;
        let reset = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        assert!(client.send(&[request(stream, &target("doe")), reset].concat()));
    }
    for (at, line) in live.short_log(15).iter().enumerate() {
        // Those beyond the burst are refused before anybody finds out that they were taken back.
        let status = if at < 10 { " 499 0 " } else { " 429 " };
        assert!(line.contains(status), "{at}: {line}");
        assert!(line.contains(&target("doe")), "{line}");
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
    let other = Sound::connect(live.address);
    assert_eq!(other.get(&target("doe")).reason(), "rate-limited");
}

#[test]
fn a_flood_is_told_to_calm_down() {
    let upstream = Scripted::well();
    let live = before(&upstream);
    let mut client = ByHand::connect(live.address, &[]);
    let pings: Vec<u8> = (0..1100).flat_map(|_| frame(PING, 1, 0, &[0; 8])).collect();
    client.send(&pings);
    let goaway = client.until(GOAWAY).unwrap();
    assert_eq!(code(&goaway), ENHANCE_YOUR_CALM);
    assert!(live.short_log(1)[0].contains("\"\" 400 0 "));
}

#[test]
fn http_2_is_spoken_only_where_it_is_switched_on() {
    let upstream = Scripted::answering(|_| json("[]"));
    let mut setup = setup(upstream.address());
    setup.listen = setup.listen.replace("http2 = true", "http2 = false");
    let live = setup.start();
    let refused = std::panic::catch_unwind(|| ByHand::silent(live.address));
    assert!(refused.is_err(), "a client that speaks HTTP/2 alone got through");
}
