//! The soak's own parts must be right: an instrument that loses answers, or takes another's for its own,
//! would blame the gateway.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use soak::attack::frames::{ACK, END_HEADERS, HEADERS, SETTINGS, frame, head, setting};
use soak::honest::{self, Caller, Lookup, Outcome, Summary};
use soak::log::Lines;
use soak::runtime;
use soak::tally::{Statuses, Tally};
use soak::xivo::{self, Xivo};

#[path = "../benches/support"]
mod support {
    pub(crate) mod answer;
    pub(crate) mod credulous;
    #[expect(dead_code, reason = "the upstream's module needs it")]
    pub(crate) mod machine;
    pub(crate) mod statistics;
    #[expect(dead_code, reason = "only the answer's body is needed here")]
    pub(crate) mod upstream;
}

#[path = "../benches/soak"]
#[expect(dead_code, reason = "the attacks are carried out by the soak itself")]
mod soak {
    pub(crate) mod attack;
    pub(crate) mod honest;
    pub(crate) mod log;
    pub(crate) mod net;
    pub(crate) mod pki;
    pub(crate) mod process;
    pub(crate) mod renewable;
    pub(crate) mod runtime;
    pub(crate) mod scenario;
    pub(crate) mod tally;
    pub(crate) mod xivo;
}

/// A server that gives `answer` to each connection's first request and closes. Its threads end with the process.
fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// What becomes of lookup 7, due so long ago.
fn ask(to: SocketAddr, ago: Duration) -> Lookup {
    let caller = Caller { from: Ipv4Addr::LOCALHOST, to, tls: None, per_second: 1 };
    let due = Instant::now().checked_sub(ago).unwrap();
    runtime::run(honest::ask(Rc::new(caller), 7, due)).unwrap()
}

fn outcome(to: SocketAddr) -> Outcome {
    ask(to, Duration::ZERO).outcome
}

#[test]
fn the_fake_xivo_answers_each_lookup_by_its_own_answer() {
    let xivo = Xivo::start().unwrap();
    assert_eq!(outcome(xivo.address), Outcome::Found);
    assert_eq!(xivo.asked(), 1);
}

#[test]
fn a_lookup_tells_how_it_was_answered_or_lost() {
    let own = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n[\"lovelace7\"]";
    assert_eq!(outcome(server(own)), Outcome::Found);
    let others = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n[\"lovelace8\"]";
    assert_eq!(outcome(server(others)), Outcome::Foreign);
    assert_eq!(outcome(server("no HTTP\r\n\r\n")), Outcome::Foreign);
    let limited = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(outcome(server(limited)), Outcome::Status(429));
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n[\"lovelace7\"]";
    assert_eq!(outcome(server(short)), Outcome::Ended);
    assert_eq!(outcome(server("")), Outcome::Ended);
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    assert_eq!(outcome(closed), Outcome::Refused);
}

#[test]
fn a_lookup_that_was_due_too_long_ago_is_lost_by_time() {
    // Nobody accepts; the kernel completes the connection.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let lookup = ask(listener.local_addr().unwrap(), Duration::from_millis(2890));
    assert_eq!(lookup.outcome, Outcome::TimedOut);
    assert!(lookup.took >= Duration::from_millis(2900), "its time counts from when it was due");
}

#[test]
fn a_summary_counts_what_was_due_in_its_time() {
    let begin = Instant::now();
    let at = |second, outcome, milliseconds| Lookup {
        due: begin + Duration::from_secs(second),
        took: Duration::from_millis(milliseconds),
        outcome,
    };
    let lookups = [
        at(0, Outcome::TimedOut, 2900),
        at(1, Outcome::Found, 10),
        at(1, Outcome::Found, 30),
        at(1, Outcome::Status(429), 500),
        at(1, Outcome::Status(503), 500),
        at(1, Outcome::Ended, 500),
        at(1, Outcome::Refused, 500),
        at(1, Outcome::NotSent, 500),
        at(2, Outcome::Foreign, 500),
    ];
    let (from, until) = (begin + Duration::from_secs(1), begin + Duration::from_secs(2));
    let summary = Summary::of(&lookups, from, until);
    assert_eq!((summary.sent, summary.found, summary.limited), (7, 2, 1));
    assert_eq!((summary.lost(), summary.answered(), summary.not_sent), (2, 4, 1));
    assert_eq!(summary.other.get(&503), Some(&1));
    assert_eq!((summary.foreign, summary.timed_out), (0, 0));
    assert_eq!((summary.p50_ms, summary.max_ms), (20.0, 30.0));
}

#[test]
fn statuses_are_counted_in_pieces_of_any_size() {
    let answers = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]\
                   HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n\
                   HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
    for size in 1..=answers.len() {
        let (mut statuses, tally) = (Statuses::new(), Tally::default());
        for piece in answers.as_bytes().chunks(size) {
            statuses.count(piece, &tally);
        }
        let seen = tally.so_far().seen;
        assert_eq!((seen.get("200"), seen.get("429")), (Some(&1), Some(&2)), "pieces of {size}");
    }
}

#[test]
fn a_tally_knows_the_most_that_was_open_and_what_is_still_alive() {
    let tally = Tally::default();
    let (first, second) = (tally.hold(), tally.hold());
    drop(first);
    let third = tally.hold();
    drop((second, third));
    tally.live().over();
    drop(tally.live());
    let counts = tally.so_far();
    assert_eq!((counts.opened, counts.most_open), (3, 2));
    assert_eq!((counts.lives.len(), counts.still_alive), (2, 1));
}

#[test]
fn lines_are_counted_by_their_peer_and_torn_ones_are_told() {
    let log = "127.0.1.1 - honest [27/Nov/2026:19:41:28 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"\n\
               127.9.0.1 - - [27/Nov/2026:19:41:28 +0000] \"GET / HTTP/1.1\" 403 1 \"-\" \"-\"\n\
               est [27/Nov/2026:19:41:28 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"\n\
               127.0.1.1 - honest [27/Nov/2026:19:41:28 +0000] \"GET / HT";
    let mut lines = Lines::default();
    lines.count(log.as_bytes()).unwrap();
    assert_eq!((lines.all, lines.torn), (4, 2), "{lines:?}");
    let by_peer = |peer: &str| lines.by_peer.get(peer).copied();
    assert_eq!((by_peer("honest"), by_peer("-")), (Some(1), Some(1)));
}

#[test]
fn the_term_is_read_as_it_was_asked_and_stands_in_the_answer() {
    assert_eq!(xivo::term(&honest::request("drip1")), "drip1");
    assert_eq!(xivo::term(b"GET /x?act=search&search=a%20b HTTP/1.1\r\n\r\n"), "a%20b");
    assert_eq!(xivo::term(b"GET /x?act=list HTTP/1.1\r\n\r\n"), "");
    let answer = String::from_utf8(xivo::answer("lovelace123")).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert!(body.contains("lovelace123"), "{body}");
    serde_json::from_str::<serde_json::Value>(body).unwrap();
}

#[test]
fn frames_are_those_of_rfc_9113() {
    assert_eq!(frame(SETTINGS, ACK, 0, &[]), [0, 0, 0, 4, 1, 0, 0, 0, 0]);
    let window = setting(4, 0x0001_0203);
    assert_eq!(frame(SETTINGS, 0, 0, &window)[9..], [0, 4, 0, 1, 2, 3]);
    let block = head("/", &[("x", &"a".repeat(300))]);
    assert_eq!(block[..13], *b"\0\x07:method\x03GET");
    // 300 is 127, and then 173: 45 with a further byte to come, and 1.
    assert_eq!(block[block.len() - 306..][..6], *b"\0\x01x\x7f\xad\x01");
    let headers = frame(HEADERS, END_HEADERS, 3, &block);
    assert_eq!((headers[3], headers[4], headers[8]), (1, 4, 3));
    assert_eq!(usize::from(headers[1]) * 256 + usize::from(headers[2]), block.len());
}
