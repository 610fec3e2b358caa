//! A phonebook's answer begins as one: what begins otherwise is no answer, and nothing is sent before it has begun.

use std::{thread::sleep, time::Duration};

use http::Request;

use crate::support::{
    binary::Binary,
    http2::{Sound, setup},
    live::{Live, Setup},
    process::becomes_true,
    program::Site,
    raw::{Client, list, reason, target, view},
    scripted::{Connection, Door, Scripted, found, term},
};

const JSON: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

/// A body in each framing: with a length, in one chunk, in chunks of one byte.
fn framed(body: &[u8]) -> [Vec<u8>; 3] {
    let length = format!("{JSON}Content-Length: {}\r\n\r\n", body.len());
    let chunked = |size| {
        let mut answer = format!("{JSON}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in body.chunks(size) {
            answer.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            answer.extend([chunk, b"\r\n"].concat());
        }
        answer.extend(b"0\r\n\r\n");
        answer
    };
    [[length.as_bytes(), body].concat(), chunked(body.len().max(1)), chunked(1)]
}

/// A XiVO that answers the term `good` as it should, and all else with `answer`, whole or head and body apart.
fn answering(answer: Vec<u8>, apart: bool) -> Scripted {
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    Scripted::start(move |connection| {
        while let Some(head) = connection.request() {
            if term(&head) == "good" {
                connection.send(&found("good"));
                continue;
            }
            let (first, rest) = answer.split_at(if apart { body } else { answer.len() });
            connection.send(first);
            if apart {
                std::thread::yield_now();
                connection.send(rest);
            }
        }
    })
}

/// Status and word of the answer to each way of asking for `target`: with GET over HTTP/1.1 and 1.0, with HEAD, and with
/// both over HTTP/2. HEAD is told no word.
fn asked(upstream: &Scripted, target: &str) -> Vec<(u16, String)> {
    let gateway = Live::before(upstream.address());
    let mut outcomes = Vec::new();
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let mut client = gateway.client();
        client.send(format!("GET {target} {version}\r\nHost: a\r\n\r\n"));
        let answer = client.answer();
        outcomes.push((answer.status, reason(&answer)));
    }
    let mut client = gateway.client();
    client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    outcomes.push((client.head_answer().status, String::new()));
    assert_eq!(client.lookup("good").status, 200, "its connection goes on");
    let gateway = setup(upstream.address()).start();
    let client = Sound::connect(gateway.address);
    let answer = client.get(target);
    outcomes.push((answer.status.as_u16(), answer.reason()));
    let head = Request::head(format!("https://gateway{target}")).body(()).unwrap();
    outcomes.push((client.ask(head).unwrap().status.as_u16(), String::new()));
    outcomes
}

fn refused(status: u16, word: &str) -> Vec<(u16, String)> {
    [word, word, "", word, ""].map(|word| (status, word.to_owned())).to_vec()
}

#[test]
fn what_begins_otherwise_is_no_answer_of_a_phonebook() {
    for (target, bodies) in [
        (
            target("bad"),
            &[
                "\u{feff}[]",
                "<br />\n<b>Notice</b>:  Undefined index in json.php on line 5<br />\n[{\"id\": 5}]",
                "{}",
                "null",
                "\"[]\"",
                "]",
                "\u{a0}[]",
                "\0[]",
                "\x1f\u{8b}\x08",
                " \t\r\n",
                "",
            ][..],
        ),
        (list(), &["{}", "\u{feff}[]"]),
        (view(7), &["[]", "\u{feff}{}", "\n false"]),
    ] {
        for body in bodies {
            for (framing, answer) in framed(body.as_bytes()).into_iter().enumerate() {
                let upstream = answering(answer, framing == 0);
                let outcomes = asked(&upstream, &target);
                assert_eq!(
                    outcomes,
                    refused(502, "upstream-invalid"),
                    "{target} {body:?} {framing}"
                );
            }
        }
    }
}

#[test]
fn bodies_of_the_gateways_own_end_their_line() {
    let upstream =
        Scripted::answering(|_| b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec());
    let gateway = Live::before(upstream.address());
    for (request, status) in [
        (format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target("any")), 502),
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
        ("nothing\r\n\r\n".to_owned(), 400),
        ("GET /.well-known/phonebook-gateway/whoami HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
    ] {
        let mut client = gateway.client();
        client.send(request);
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.last()), (status, Some(&b'\n')));
    }
    let gateway = setup(upstream.address()).start();
    assert!(Sound::connect(gateway.address).get(&target("any")).text().ends_with('\n'));
}

#[test]
fn who_begins_otherwise_is_not_asked_again_over_the_same_connection() {
    let [answer, ..] = framed(b"null");
    let upstream = answering(answer, false);
    let gateway = Live::before(upstream.address());
    let mut client = gateway.client();
    assert_eq!(client.lookup("bad").status, 502);
    assert_eq!(client.lookup("good").status, 200);
    assert_eq!((upstream.attempts("bad"), upstream.attempts("good")), (vec![0], vec![1]));
}

#[test]
fn white_space_before_it_passes_as_it_came() {
    let long = format!("{}[1]", "\n".repeat(5_000));
    for (target, body) in [
        (target("xyz"), "[]"),
        (target("xyz"), " \t\r\n[{\"id\": 5}]\n"),
        (target("xyz"), &long),
        (list(), "\n[]"),
        (view(7), "\n{\"id\": 7}"),
    ] {
        for answer in framed(body.as_bytes()) {
            for apart in [false, true] {
                let upstream = answering(answer.clone(), apart);
                let gateway = Live::before(upstream.address());
                let mut client = gateway.client();
                for _ in 0..2 {
                    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
                    assert_eq!(client.answer().body, body.as_bytes());
                }
                let connections: Vec<usize> = upstream.requests().iter().map(|at| at.0).collect();
                assert_eq!(connections, [0, 0], "the connection is used again");
            }
        }
    }
}

#[test]
fn no_more_white_space_is_held_back_than_some() {
    for answer in framed(format!("{}[]", " ".repeat(100_000)).as_bytes()) {
        let upstream = answering(answer, false);
        let answer = Live::before(upstream.address()).client().lookup("bad");
        assert_eq!((answer.status, reason(&answer).as_str()), (502, "upstream-invalid"));
    }
}

/// Beginnings of answers that have not begun yet.
const UNBEGUN: [&str; 4] = [
    "Content-Length: 9\r\n\r\n",
    "Content-Length: 9\r\n\r\n \n",
    "Transfer-Encoding: chunked\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n2\r\n \n\r\n",
];

#[test]
fn an_answer_that_does_not_begin_is_given_up_at_the_deadline_of_its_head() {
    for (begun, search) in UNBEGUN.into_iter().flat_map(|begun| [(begun, "abc"), (begun, "123")]) {
        let upstream = Scripted::start(move |connection| {
            if connection.request().is_some() {
                connection.send(format!("{JSON}{begun}").as_bytes());
                connection.until_ended();
            }
        });
        let lines = "timeout = \"150ms\"\nnumber_timeout = \"150ms\"\nstall_timeout = \"1h\"";
        let gateway = Setup::new(upstream.address()).upstream(lines).start();
        let mut client = gateway.client();
        let answer = client.lookup(search);
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (504, "upstream-timeout"),
            "{begun:?}"
        );
        client.send(format!("HEAD {} HTTP/1.1\r\nHost: a\r\n\r\n", target(search)));
        assert_eq!(client.head_answer().status, 504, "{begun:?}");
        let gateway = setup(upstream.address()).upstream(lines).start();
        assert_eq!(Sound::connect(gateway.address).get(&target(search)).status, 504, "{begun:?}");
        assert!(upstream.ends(0), "the connection to XiVO is kept");
    }
}

#[test]
fn an_answer_that_ends_before_it_has_begun_is_none() {
    for begun in UNBEGUN {
        for reset in [false, true] {
            let upstream = Scripted::start(move |connection| {
                if connection.request().is_some() {
                    connection.send(format!("{JSON}{begun}").as_bytes());
                    if reset {
                        connection.will_reset();
                    }
                }
            });
            let answer = Live::before(upstream.address()).client().lookup("bad");
            assert_eq!(answer.status, 502, "{begun:?}");
        }
    }
}

#[test]
fn who_leaves_before_it_has_begun_frees_its_place() {
    let upstream = Scripted::start(|connection| {
        if connection.request().is_some() {
            connection.send(format!("{JSON}{}", UNBEGUN[1]).as_bytes());
            connection.until_ended();
        }
    });
    let gateway = Setup::new(upstream.address()).upstream("timeout = \"1h\"").start();
    let mut client = gateway.client();
    client.search("slow");
    assert!(becomes_true(|| upstream.sent() == 1));
    client.reset();
    assert!(gateway.short_log(1)[0].contains("\" 499 0 "));
    assert!(gateway.comes_to_rest() && upstream.ends(0));
}

#[test]
fn what_begins_late_and_in_time_passes() {
    let door = Door::default();
    let upstream = {
        let door = door.clone();
        Scripted::start(move |connection: &mut Connection| {
            while connection.request().is_some() {
                connection.send(format!("{JSON}Content-Length: 4\r\n\r\n\n").as_bytes());
                door.pass();
                connection.send(b"[1]");
            }
        })
    };
    let gateway = Setup::new(upstream.address()).upstream("timeout = \"1m\"").start();
    let mut client = gateway.client();
    client.search("slow");
    assert!(becomes_true(|| upstream.sent() == 1));
    door.open();
    assert_eq!(client.answer().body, b"\n[1]");
}

#[test]
fn the_journal_has_what_it_began_with_and_not_what_was_searched_for() {
    let upstream = Scripted::answering(|term| {
        let body = match term {
            "bom" => "\u{feff}[{\"id\": 5}]".to_owned(),
            "nothing" => String::new(),
            _ => format!("<b>Notice</b>: no {} in x", term.to_uppercase()),
        };
        framed(body.as_bytes())[0].clone()
    });
    let mut gateway = Binary::serve(&Setup::new(upstream.address()));
    let mut client = Client::connect(gateway.address());
    for (term, said) in [
        (
            "bom",
            "begins with `\\xEF\\xBB\\xBF[{\\x22id\\x22: 5}]`, and a phonebook's begins with `[`",
        ),
        ("nothing", "it is a 200 with nothing in it"),
        (
            "dupontel",
            "begins with `<b>Notice</b>: no ` and what was searched for, and a phonebook's",
        ),
    ] {
        assert_eq!(client.lookup(term).status, 502);
        assert!(becomes_true(|| gateway.stderr().contains(said)), "{said}: {}", gateway.stderr());
    }
    assert!(!gateway.stderr().to_lowercase().contains("dupontel"), "{}", gateway.stderr());
}

fn site(upstream: &Scripted, lines: &str) -> Site {
    let main = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://{}\"\n\
         danger_loopback_source = true\n{lines}\n",
        upstream.address()
    );
    Site::new(&main, &[("lyon", "hosts = [\"127.0.0.1\"]\n")])
}

#[test]
fn probe_says_what_it_began_with() {
    let [answer, ..] = framed(b"\xef\xbb\xbf[]");
    let upstream = answering(answer, false);
    let run = site(&upstream, "").run(&["probe", "--config", "gateway.toml"]);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    let part = "answer    FAILED: XiVO's answer was not accepted: it is a 200 that begins with `\\xEF\\xBB\\xBF[]`";
    assert!(run.stdout.contains(part), "{}", run.stdout);
}

#[test]
fn probe_asks_by_text_and_by_number_and_says_what_would_have_been_in_time() {
    // XiVO's time for a number, which is more than the one and less than the other.
    let slow = Duration::from_millis(300);
    for (lines, in_time) in [
        ("timeout = \"20s\"\nnumber_timeout = \"10s\"", [true, true]),
        ("timeout = \"20s\"\nnumber_timeout = \"100ms\"", [true, false]),
        ("timeout = \"100ms\"\nnumber_timeout = \"20s\"", [false, true]),
        ("timeout = \"100ms\"\nnumber_timeout = \"100ms\"", [false, false]),
    ] {
        let upstream = Scripted::answering(move |_| {
            sleep(slow);
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        });
        let run = site(&upstream, lines).run(&["probe", "--config", "gateway.toml"]);
        let said = &run.stdout;
        assert_eq!(run.code, Some(i32::from(in_time != [true, true])), "{said}{}", run.stderr);
        let answers: Vec<&str> = said.lines().filter(|line| line.starts_with("answer")).collect();
        let keys = ["timeout", "number_timeout"];
        for ((answer, in_time), key) in answers.iter().zip(in_time).zip(keys) {
            let parts = if in_time {
                ["answer    204, as a phonebook does, after ", ": in time", &format!("({key} is ")]
            } else {
                ["answer    LATE: 204 after ", "it would have answered 504", &format!("({key})")]
            };
            assert!(parts.iter().all(|part| answer.contains(part)), "{lines}: {answer}");
        }
        assert_eq!(answers.len(), 2, "{said}");
        let asked = upstream.requests();
        assert!(
            asked[0].1.contains("=phonebook-gateway-probe ")
                && asked[1].1.contains("=0000000000000000 ")
        );
    }
}

#[test]
fn a_search_by_number_is_given_up_sooner_than_one_by_text() {
    let door = Door::default();
    let upstream = {
        let door = door.clone();
        Scripted::start(move |connection| {
            while let Some(head) = connection.request() {
                if term(&head).starts_with("waits") || head.contains("act=view") {
                    door.pass();
                    connection.send(if head.contains("act=view") {
                        b"HTTP/1.1 204 No Content\r\n\r\n"
                    } else {
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
                    });
                } else {
                    return connection.until_ended();
                }
            }
        })
    };
    let lines = "timeout = \"1h\"\nnumber_timeout = \"100ms\"";
    let mut gateway = Binary::serve(&Setup::new(upstream.address()).upstream(lines));
    let mut waiting = [target("waits"), target("waits12345"), view(123)].map(|target| {
        let mut client = Client::connect(gateway.address());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client
    });
    assert!(becomes_true(|| upstream.requests().len() == waiting.len()));
    let mut client = Client::connect(gateway.address());
    for number in ["5551234", "%2B33%201%2042", "(514)%20555-12.34%2F5", "*72%23100", "123"] {
        let answer = client.lookup(number);
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (504, "upstream-timeout"),
            "{number}"
        );
    }
    door.open();
    for (client, status) in waiting.iter_mut().zip([200, 200, 204]) {
        assert_eq!(client.answer().status, status);
    }
    let said = "XiVO did not answer within upstream.number_timeout (100ms)";
    assert!(becomes_true(|| gateway.stderr().contains(said)), "{}", gateway.stderr());
}

#[test]
fn a_search_by_text_is_given_up_at_its_own_timeout() {
    let upstream = Scripted::start(|connection| {
        if let Some(head) = connection.request() {
            if term(&head) == "5551234" {
                connection.send(&found("5551234"));
            }
            connection.until_ended();
        }
    });
    let lines = "timeout = \"100ms\"\nnumber_timeout = \"1h\"";
    let mut gateway = Binary::serve(&Setup::new(upstream.address()).upstream(lines));
    let mut client = Client::connect(gateway.address());
    for target in [target("doe"), target("12"), target("5551234x"), view(5551234)] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.answer().status, 504, "{target}");
    }
    assert_eq!(client.lookup("5551234").status, 200);
    let said = "XiVO did not answer within upstream.timeout (100ms)";
    assert!(becomes_true(|| gateway.stderr().contains(said)), "{}", gateway.stderr());
}

#[test]
fn explain_says_how_long_xivo_has_and_which_line_says_so() {
    let upstream = Scripted::well();
    let site = site(&upstream, "number_timeout = \"800ms\"");
    for (query, said) in [
        (
            "act=search&search=%2B33142",
            "a search by a telephone number: XiVO's answer has to begin within 800ms (number_timeout), else it is 504",
        ),
        (
            "act=search&search=doe",
            "a search by text: XiVO's answer has to begin within 2.5s (timeout), else it is 504 (default)",
        ),
    ] {
        let url = format!("/service/ipbx/json.php/restricted/pbx_services/phonebook?{query}");
        let run = site.run(&["explain", "--config", "gateway.toml", "--from", "127.0.0.1", &url]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let line = run.stdout.lines().find(|line| line.contains(said));
        let line = line.unwrap_or_else(|| panic!("{said}: {}", run.stdout));
        assert_eq!(line.contains("gateway.toml:6"), query.contains("33142"), "{line}");
    }
}
