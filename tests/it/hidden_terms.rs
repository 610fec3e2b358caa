//! Where search terms are to be hidden, none is in a log or in the diagnostics, wherever in a request it stands.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use fastrand::Rng;
use http::Request;

use crate::support::{
    binary::Binary,
    http2::{Sound, setup},
    process::becomes_true,
    scripted::Scripted,
    xivo::PHONEBOOK,
};

/// Logs that hide terms, with every variable that shows something of a request.
const LOGS: &str = r#"
[[access_log]]
path = "DIR/omit.log"
format = "all"
search_terms = "omit"
flush = "10ms"
[[access_log]]
path = "DIR/hash.log"
format = "all"
search_terms = "hash"
flush = "10ms"
[[access_log]]
path = "DIR/combined.log"
search_terms = "omit"
flush = "10ms"
[[access_log]]
path = "DIR/gateway.log"
format = "gateway"
search_terms = "hash"
flush = "10ms"
[[access_log]]
path = "DIR/json.log"
format = "gateway_json"
search_terms = "omit"
flush = "10ms"
[log_format]
all = '$request|$request_method|$request_uri|$args|$query_string|$is_args|$arg_search|$arg_x|$request_masked|$uri|$document_uri|$host|$server_protocol|$http_referer|$http_user_agent|$http_x_original_url|$http_x_rewrite_url|$http_x_search|$http_cookie|$http_destination|$http_origin|$http_x_forwarded_for|$http_forwarded|$http_from'
"#;

const FILES: [&str; 5] = ["omit.log", "hash.log", "combined.log", "gateway.log", "json.log"];

/// Targets with a term, `TERM`, in a place where one can be. What is no place: a plain segment of a path that is
/// nothing of XiVO's.
const TARGETS: [&str; 38] = [
    "PATH?act=search&search=TERM",
    "PATH?search=TERM&act=search",
    "PATH/?act=search&%73%65arch=TERM",
    "PATH?act=search&search=TERM&search=TERM",
    "PATH?act=search&search=TERM&TERM=TERM",
    "PATH?act=add&search=TERM",
    "PATH?SEARCH=TERM&act=search",
    "PATH?search%3DTERM",
    "PATH?TERM",
    "PATH??search=TERM",
    "PATH;search=TERM",
    "PATH/TERM",
    "PATH//TERM",
    "PATH/./TERM",
    "PATHTERM",
    "PATH/act=search&search=TERM",
    "PATH%3Fsearch=TERM",
    "PATH%253Fsearch%253DTERM",
    "PATH&search=TERM",
    "PATH,search=TERM",
    "PATH:TERM",
    "PATH/search/TERM",
    "/service/TERM",
    "/service/ipbx/json.php/TERM/pbx_services/phonebook",
    "/service/ipbx/json.php/pri..vate/pbx_services/TERM",
    "/%73ervice/ipbx/TERM",
    "/x?search=TERM",
    "/x?x=TERM",
    "/x;search=TERM",
    "/x;TERM",
    "/x%3fsearch=TERM",
    "/x/search/TERM",
    "/x/%53earch%3dTERM",
    "/x/phonebook/TERM",
    "/x&TERM",
    "/x=TERM",
    "http://localhost/x?TERM",
    "http://TERM/x",
];

/// Lines with a term that are none of HTTP, or hardly.
const LINES: [&str; 14] = [
    "TERM",
    "search=TERM",
    "GET TERM",
    "GET TERM HTTP/1.1",
    "GET  /TERM HTTP/1.1",
    "GET /x TERM HTTP/1.1",
    "GET /x HTTP/1.1 TERM",
    "GET /x HTTP/TERM",
    "GET /TERM\tHTTP/1.1",
    "GET PATH?act=search&search=TERM",
    "GET PATH?search=TERM#TERM HTTP/1.1",
    "TERM /x HTTP/1.1",
    "\x16\x03\x01TERM",
    "get PATH;TERM HTTP/1.1",
];

/// Fields with one.
const FIELDS: [&str; 14] = [
    "Referer: http://a/?search=TERM",
    "Referer: https://a/PATH?search=TERM",
    "Referer: PATH/TERM",
    "Referer: TERM",
    "Referer: http://TERM@a/",
    "User-Agent: x?search=TERM",
    "User-Agent: x %73EARCH TERM",
    "X-Original-URL: PATH?search=TERM",
    "X-Rewrite-URL: PATH;search=TERM",
    "X-Search: TERM",
    "Cookie: search=TERM",
    "Destination: http://a/x?TERM",
    "X-Forwarded-For: 192.0.2.1?TERM",
    "Forwarded: for=192.0.2.1;by=a&search=TERM",
];

/// `template` with a term of its own, spelt in some way.
fn with_term(rng: &mut Rng, template: &str, terms: &mut Vec<String>) -> String {
    let letters: String = (0..6).map(|_| rng.alphabetic().to_ascii_lowercase()).collect();
    let term = format!("zq{letters}");
    let spelt: String = term
        .chars()
        .map(|letter| match rng.u32(0..6) {
            0 => format!("%{:02x}", u32::from(letter)),
            1 => letter.to_ascii_uppercase().to_string(),
            _ => letter.to_string(),
        })
        .collect();
    // A method and a host are made of letters.
    let spelt = if template.starts_with("TERM") || template.contains("//TERM") {
        term.clone()
    } else {
        spelt
    };
    terms.push(term);
    template.replace("PATH", PHONEBOOK).replace("TERM", &spelt)
}

fn with_one_of(rng: &mut Rng, templates: &[&str], terms: &mut Vec<String>) -> String {
    let template = templates[rng.usize(..templates.len())];
    with_term(rng, template, terms)
}

/// A request, broken or not, with a term somewhere.
fn generated(rng: &mut Rng, terms: &mut Vec<String>) -> Vec<u8> {
    let line = match rng.u32(0..10) {
        0..5 => {
            let target = with_one_of(rng, &TARGETS, terms);
            format!("{} {target} HTTP/1.{}", ["GET", "HEAD", "POST"][rng.usize(..3)], rng.u32(..2))
        }
        5..7 => with_one_of(rng, &LINES, terms),
        7..9 => {
            // Anywhere in a line, behind whatever begins an argument.
            let mut line = format!("GET {PHONEBOOK}?act=search&search=doe HTTP/1.1");
            let begin =
                ["?TERM", ";TERM", "&search=TERM", "=TERM", "%3fTERM", "#TERM", "search/TERM"]
                    [rng.usize(..7)];
            let begin = with_term(rng, begin, terms);
            line.insert_str(rng.usize(..=line.len()), &begin);
            line
        }
        _ => "GET /x HTTP/1.1".to_owned(),
    };
    let mut request = line.into_bytes();
    request.extend_from_slice(b"\r\nHost: localhost\r\nConnection: close\r\n");
    for _ in 0..rng.u32(..3) {
        let field = with_one_of(rng, &FIELDS, terms);
        request.extend_from_slice(field.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

fn exchange(to: SocketAddr, request: &[u8]) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(request).unwrap();
    let _ = stream.shutdown(Shutdown::Write);
    // A refusal may end in a reset.
    let _ = stream.read_to_end(&mut Vec::new());
}

/// A text in every way in which somebody could read a term in it: in lower case, with escapes undone again and again.
fn readings(text: &[u8]) -> Vec<u8> {
    let mut all = text.to_ascii_lowercase();
    let mut last = all.clone();
    for _ in 0..4 {
        let mut next = Vec::with_capacity(last.len());
        let mut rest = last.as_slice();
        while let Some((&byte, tail)) = rest.split_first() {
            let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
            match (byte, code.and_then(|code| u8::from_str_radix(code, 16).ok())) {
                (b'%', Some(code)) => {
                    next.push(code.to_ascii_lowercase());
                    rest = &tail[2..];
                }
                _ => {
                    next.push(byte);
                    rest = tail;
                }
            }
        }
        all.extend_from_slice(&next);
        last = next;
    }
    all
}

fn start(main: &str) -> (Binary, tempfile::TempDir, SocketAddr) {
    let directory = tempfile::tempdir().unwrap();
    let logs = LOGS.replace("DIR", directory.path().to_str().unwrap());
    let main = format!("state_directory = {:?}\n{main}{logs}", directory.path().join("state"));
    let policy = "hosts = [\"127.0.0.1\"]\nrate = { per_second = 100000, burst = 100000 }\n";
    // Also more than `trace` alone asks for.
    let level = "trace,h2=trace,h2::codec::framed_read=trace,[Connection]=trace,[{peer}]=trace";
    let mut gateway = Binary::serve_telling(&main, &[("lyon", policy)], level);
    let address = gateway.address();
    (gateway, directory, address)
}

/// Waits for the logs to have so many lines; nothing of the terms may be in any of them, nor in what the gateway told.
fn has_none(gateway: &Binary, directory: &tempfile::TempDir, terms: &[String], lines: usize) {
    for name in FILES {
        let file = directory.path().join(name);
        let read = || std::fs::read(&file).unwrap_or_default();
        let count = || read().iter().filter(|byte| **byte == b'\n').count();
        assert!(becomes_true(|| count() >= lines), "{name} has {} of {lines} lines", count());
        check(name, &read(), terms);
    }
    check("stderr", gateway.stderr().as_bytes(), terms);
}

fn check(name: &str, text: &[u8], terms: &[String]) {
    for line in text.split(|byte| *byte == b'\n') {
        let read = readings(line);
        if memchr::memmem::find(&read, b"zq").is_none() {
            continue;
        }
        let read = String::from_utf8_lossy(&read);
        let found = terms.iter().find(|term| read.contains(term.as_str()));
        assert_eq!(found, None, "{name}: {}", line.escape_ascii());
    }
}

#[test]
fn no_term_of_a_generated_request_is_in_a_log_that_hides_them_or_in_the_diagnostics() {
    let upstream = Scripted::well();
    let main = crate::support::live::Setup::new(upstream.address()).main_file("access.log");
    let (gateway, directory, address) = start(&main);
    let mut rng = Rng::with_seed(9);
    let mut terms = Vec::new();
    const REQUESTS: usize = 1500;
    for _ in 0..REQUESTS {
        exchange(address, &generated(&mut rng, &mut terms));
    }
    // Those that are there anyway, and too long ones.
    for target in TARGETS {
        let target = with_term(&mut rng, target, &mut terms);
        exchange(address, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }
    let long = format!("PATH?act=search&search=TERM&x={}", "x".repeat(5000));
    let long = with_term(&mut rng, &long, &mut terms);
    exchange(address, format!("GET {long} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    has_none(&gateway, &directory, &terms, REQUESTS + TARGETS.len() + 1);
    // Some were lookups, and the log that hides nothing has their terms.
    let full = std::fs::read(gateway.path("access.log")).unwrap();
    let read = String::from_utf8_lossy(&readings(&full)).into_owned();
    assert!(terms.iter().filter(|term| read.contains(term.as_str())).count() > terms.len() / 2);
}

#[test]
fn no_term_is_told_of_requests_over_http2_either() {
    let upstream = Scripted::well();
    let main = setup(upstream.address()).main_file("access.log");
    let (gateway, directory, address) = start(&main);
    let mut rng = Rng::with_seed(9);
    let mut terms = Vec::new();
    let mut lines = 0;
    for target in TARGETS {
        let target = with_term(&mut rng, target, &mut terms);
        let uri =
            if target.starts_with('/') { format!("https://gateway{target}") } else { continue };
        let field = FIELDS[rng.usize(..FIELDS.len())];
        let (name, value) = field.split_once(": ").unwrap();
        let value = with_term(&mut rng, value, &mut terms);
        let request = Request::get(uri).header(name, value).body(()).unwrap();
        // Each on a connection of its own: one on which all is refused does not stay.
        Sound::connect(address).ask(request).unwrap();
        lines += 1;
    }
    assert!(lines > 30);
    has_none(&gateway, &directory, &terms, lines);
    let full = std::fs::read(gateway.path("access.log")).unwrap();
    assert!(memchr::memmem::find(&readings(&full), b"zq").is_some());
    // What the gateway itself tells is told.
    assert!(gateway.stderr().contains("ready: listening on"));
}
