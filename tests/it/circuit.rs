//! While XiVO does not answer, lookups are refused at once, and one at a time finds out whether it does again.
//!
//! How long the circuit is open is never measured here: it is an hour where it must not end, and a moment where it must.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::spawn,
    time::Instant,
};

use phonebook_gateway::upstream::circuit::CircuitState;

use crate::support::{
    binary::Binary,
    http::{Answer, get},
    http2,
    live::{Live, PATIENT, Setup, policy},
    on_disk::{OnDisk, main_file},
    process::becomes_true,
    raw::{Client, list, reason, target},
    scripted::{Connection, Door, Scripted, found, found_body, json, term},
};

/// Opens after two faults, and stays so.
const FOR_LONG: &str = "[upstream.circuit]\nfailures = 2\nopen = \"1h\"\nmax_open = \"1h\"";

/// The same, and XiVO is tried again at once.
const FOR_A_MOMENT: &str = "[upstream.circuit]\nfailures = 2\nopen = \"1ms\"\nmax_open = \"1ms\"";

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, reason(answer))
}

fn down() -> (u16, String) {
    (503, "upstream-down".to_owned())
}

/// Whether the next lookup will try XiVO, after waiting for it.
fn becomes_due(gateway: &Live) -> bool {
    becomes_true(|| match gateway.server().shared().outage.circuit().state {
        CircuitState::Open { until, probing, .. } => !probing && until <= Instant::now(),
        CircuitState::Closed => false,
    })
}

/// A XiVO that is ill for as long as the flag is set: it does `ill` with each request then.
fn may_be_ill(
    is_ill: &Arc<AtomicBool>,
    ill: impl Fn(&mut Connection) + Send + Sync + 'static,
) -> Scripted {
    let is_ill = Arc::clone(is_ill);
    Scripted::start(move |connection| {
        while let Some(head) = connection.request() {
            if is_ill.load(Ordering::SeqCst) {
                return ill(connection);
            }
            if !connection.send(&found(term(&head))) {
                return;
            }
        }
    })
}

#[test]
fn a_xivo_that_is_not_there_is_not_asked_after_some_faults_and_the_record_says_so() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Setup::new(nobody).upstream(FOR_LONG).start();
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.lookup("dupont");
        assert_eq!(refused(&answer), (502, "upstream-unreachable".to_owned()));
    }
    let answer = client.lookup("dupont");
    assert_eq!(refused(&answer), down());
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&seconds), "{seconds}");
    assert!(String::from_utf8_lossy(&answer.body).contains("does not answer now"));
    // A lookup that is refused for another reason is told that one, and whoami needs no XiVO.
    client.send(format!("GET {}&zzz=1 HTTP/1.1\r\nHost: a\r\n\r\n", target("dupont")));
    assert_eq!(refused(&client.answer()), (400, "bad-argument".to_owned()));
    assert_eq!(get(gateway.address, "/.well-known/phonebook-gateway/whoami").status, 200);
    // The connection goes on, however often that is said.
    for _ in 0..30 {
        assert_eq!(refused(&client.lookup("dupont")), down());
    }
    let lines = gateway.short_log(3 + 2 + 30);
    assert!(lines[2].contains("\" 503 "), "{}", lines[2]);
    let counted = gateway.server().shared().outage.circuit();
    assert_eq!(counted.refused, 31);
}

#[test]
fn whatever_is_wrong_with_xivo_it_is_not_asked_any_more() {
    let bad = |bytes: &'static [u8]| {
        move |connection: &mut Connection| {
            connection.send(bytes);
        }
    };
    let reset = |connection: &mut Connection| connection.will_reset();
    let silent = Connection::until_ended;
    let html = json("<b>Notice</b>");
    let notice = move |connection: &mut Connection| {
        connection.send(&html);
    };
    let scripts: Vec<(&str, Scripted)> = vec![
        ("closes", may_be_ill(&Arc::new(true.into()), bad(b""))),
        ("resets", may_be_ill(&Arc::new(true.into()), reset)),
        ("says nothing", may_be_ill(&Arc::new(true.into()), silent)),
        ("says garbage", may_be_ill(&Arc::new(true.into()), bad(b"SSH-2.0-x\r\n"))),
        ("says something before the JSON", may_be_ill(&Arc::new(true.into()), notice)),
        (
            "answers 502",
            may_be_ill(
                &Arc::new(true.into()),
                bad(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
            ),
        ),
    ];
    for (name, upstream) in scripts {
        let lines = "timeout = \"200ms\"\nnumber_timeout = \"200ms\"\nconnect_timeout = \"200ms\"\n\
                     [upstream.circuit]\nopen = \"1h\"\nmax_open = \"1h\"";
        let gateway = Setup::new(upstream.address()).upstream(lines).start();
        let mut client = gateway.client();
        for number in 0..5 {
            let answer = client.lookup(&format!("term-{number}"));
            assert!(matches!(answer.status, 502 | 504), "{name}: {answer:?}");
        }
        let asked = upstream.requests().len();
        for _ in 0..20 {
            assert_eq!(refused(&client.lookup("another")), down(), "{name}");
        }
        assert_eq!(upstream.requests().len(), asked, "{name}: it was asked");
        assert_eq!(asked, 5, "{name}");
    }
}

#[test]
fn what_says_that_xivo_answers_never_closes_the_phonebook() {
    for answer in [
        "301 Moved\r\nLocation: https://xivo/",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "204 No Content",
    ] {
        let bytes = if answer.starts_with("204") {
            format!("HTTP/1.1 {answer}\r\n\r\n")
        } else {
            format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n")
        };
        let upstream = Scripted::answering(move |_| bytes.clone().into_bytes());
        let gateway = Setup::new(upstream.address()).upstream(FOR_LONG).start();
        let mut client = gateway.client();
        for number in 0..20 {
            let status = client.lookup(&format!("term-{number}")).status;
            assert!(status != 503, "{answer}");
        }
        assert_eq!(upstream.requests().len(), 20, "{answer}");
    }
}

#[test]
fn a_list_that_takes_too_long_is_no_outage() {
    let upstream = Scripted::start(|connection| {
        while let Some(head) = connection.request() {
            if head.contains("act=list") {
                return connection.until_ended();
            }
            connection.send(&found(term(&head)));
        }
    });
    let lines = format!("{PATIENT}\nlist_timeout = \"20ms\"\n{FOR_LONG}");
    let gateway = Setup::new(upstream.address()).upstream(&lines).start();
    let mut client = gateway.client();
    for _ in 0..5 {
        client.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", list()));
        assert_eq!(refused(&client.answer()), (504, "upstream-timeout".to_owned()));
    }
    assert_eq!(client.lookup("good").status, 200);
}

#[test]
fn one_peers_odd_term_does_not_close_the_phonebook_for_all() {
    let upstream = Scripted::answering(|term| match term {
        "odd" => b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "odder" => json("Notice: of PHP's"),
        term => found(term),
    });
    let gateway = Setup::new(upstream.address())
        .policy("metz", policy("127.0.0.2", ""))
        .upstream(FOR_LONG)
        .start();
    let (mut lyon, mut metz) = (gateway.client(), gateway.client_from("127.0.0.2"));
    for _ in 0..30 {
        assert_eq!(lyon.lookup("odd").status, 502);
        assert_eq!(lyon.lookup("odder").status, 502);
    }
    assert_eq!(metz.lookup("good").status, 200);
    // When others get the same answers, it is not the term.
    assert_eq!(lyon.lookup("odd").status, 502);
    assert_eq!(metz.lookup("odd").status, 502);
    assert_eq!(refused(&metz.lookup("good")), down());
}

#[test]
fn one_lookup_at_a_time_tries_it_whatever_the_number_of_workers_and_callers() {
    let (is_ill, door) = (Arc::new(AtomicBool::new(true)), Door::default());
    let tried = Arc::new(AtomicUsize::new(0));
    let upstream = {
        let (is_ill, door, tried) = (Arc::clone(&is_ill), door.clone(), Arc::clone(&tried));
        Scripted::start(move |connection| {
            while let Some(head) = connection.request() {
                if is_ill.load(Ordering::SeqCst) {
                    return connection.will_reset();
                }
                tried.fetch_add(1, Ordering::SeqCst);
                door.pass();
                connection.send(&found(term(&head)));
            }
        })
    };
    let lines = format!("{PATIENT}\n{FOR_A_MOMENT}");
    let gateway = Setup::new(upstream.address()).workers(4).upstream(&lines).start();
    let mut client = gateway.client();
    for _ in 0..2 {
        assert_eq!(client.lookup("first").status, 502);
    }
    is_ill.store(false, Ordering::SeqCst);
    assert!(becomes_due(&gateway));
    let address = gateway.address;
    let probe = spawn(move || Client::connect(address).lookup("probe"));
    assert!(becomes_true(|| tried.load(Ordering::SeqCst) == 1));
    let callers: Vec<_> = (0..40)
        .map(|_| {
            spawn(move || {
                let mut client = Client::connect(address);
                (0..5).map(|_| refused(&client.lookup("other"))).collect::<Vec<_>>()
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), vec![down(); 5]);
    }
    assert_eq!(tried.load(Ordering::SeqCst), 1, "more than one lookup tried it");
    door.open();
    let answer = probe.join().unwrap();
    assert_eq!((answer.status, answer.body), (200, found_body("probe").into_bytes()));
    assert_eq!(client.lookup("other").status, 200);
}

#[test]
fn a_probe_whose_client_left_is_followed_by_another() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let silent = Arc::new(AtomicBool::new(false));
    let upstream = {
        let (is_ill, silent) = (Arc::clone(&is_ill), Arc::clone(&silent));
        Scripted::start(move |connection| {
            while let Some(head) = connection.request() {
                if silent.load(Ordering::SeqCst) {
                    return connection.until_ended();
                }
                if is_ill.load(Ordering::SeqCst) {
                    return connection.will_reset();
                }
                connection.send(&found(term(&head)));
            }
        })
    };
    let lines = format!("{PATIENT}\n{FOR_A_MOMENT}");
    let gateway = Setup::new(upstream.address()).upstream(&lines).start();
    let mut client = gateway.client();
    for _ in 0..2 {
        assert_eq!(client.lookup("first").status, 502);
    }
    silent.store(true, Ordering::SeqCst);
    assert!(becomes_due(&gateway));
    let mut leaving = gateway.client();
    leaving.search("leaving");
    assert!(becomes_true(|| upstream.attempts("leaving").len() == 1));
    assert_eq!(refused(&client.lookup("other")), down());
    leaving.reset();
    silent.store(false, Ordering::SeqCst);
    is_ill.store(false, Ordering::SeqCst);
    assert!(becomes_true(|| client.lookup("other").status == 200));
}

#[test]
fn it_is_asked_again_by_itself_as_soon_as_it_answers() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let upstream = may_be_ill(&is_ill, |connection| connection.will_reset());
    let lines = format!(
        "{PATIENT}\n[upstream.circuit]\nfailures = 2\nopen = \"20ms\"\nmax_open = \"100ms\""
    );
    let gateway = Setup::new(upstream.address()).upstream(&lines).start();
    let mut client = gateway.client();
    assert!(becomes_true(|| client.lookup("other").status == 503));
    // Some probes fail.
    assert!(becomes_true(|| {
        client.lookup("other");
        upstream.requests().len() >= 5
    }));
    is_ill.store(false, Ordering::SeqCst);
    assert!(becomes_true(|| client.lookup("other").status == 200));
    assert_eq!(client.lookup("other").status, 200);
}

#[test]
fn an_outage_is_two_messages_and_the_first_says_the_cause() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let upstream = may_be_ill(&is_ill, |connection| connection.will_reset());
    let lines = "[upstream.circuit]\nfailures = 3\nopen = \"20ms\"\nmax_open = \"40ms\"";
    let mut gateway = Binary::serve(&Setup::new(upstream.address()).upstream(lines));
    let mut client = Client::connect(gateway.address());
    let mut refused = 0;
    assert!(becomes_true(|| {
        refused += usize::from(client.lookup("dupont").status == 503);
        refused == 5
    }));
    is_ill.store(false, Ordering::SeqCst);
    assert!(becomes_true(|| client.lookup("dupont").status == 200));
    assert!(becomes_true(|| gateway.stderr().contains("XiVO answers again after ")));
    let stderr = gateway.stderr();
    let told: Vec<&str> = stderr
        .lines()
        .filter(|line| line.contains("XiVO does not answer (") || line.contains("answers again"))
        .collect();
    let [opened, closed] = told[..] else { panic!("{stderr}") };
    assert!(
        opened.contains(
            "XiVO does not answer (XiVO could not be reached: XiVO reset the connection without an \
             answer): lookups are refused at once until it does; after 20 ms, and then after at most \
             40 ms each time, one is passed on to try it"
        ),
        "{opened}"
    );
    assert!(
        closed.contains(" lookups failed, and ") && closed.contains(" refused at once"),
        "{closed}"
    );
    assert!(!stderr.contains("upstream-down"), "each of them was told: {stderr}");
    assert!(!stderr.contains("dupont"), "{stderr}");
}

#[test]
fn over_http2_it_is_alike() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let upstream = may_be_ill(&is_ill, |connection| connection.will_reset());
    let gateway = http2::setup(upstream.address()).upstream(FOR_LONG).start();
    let client = http2::Sound::connect(gateway.address);
    for _ in 0..2 {
        assert_eq!(client.get(&target("dupont")).reason(), "upstream-unreachable");
    }
    let answer = client.get(&target("dupont"));
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (503, "upstream-down"));
    assert!(answer.fields.contains_key("retry-after"), "{answer:?}");
}

#[test]
fn the_gateways_own_search_opens_and_closes_it() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let upstream = may_be_ill(&is_ill, |connection| connection.will_reset());
    let lines = format!(
        "{PATIENT}\n[upstream.circuit]\nfailures = 1\nopen = \"1h\"\nmax_open = \"1h\"\n\
         [upstream.check]\ninterval = \"1s\"\nsearch = \"nobody at all\""
    );
    let gateway = Setup::new(upstream.address()).upstream(&lines).start();
    let mut client = gateway.client();
    let is_open = || gateway.server().shared().outage.circuit().cause.is_some();
    assert!(becomes_true(is_open), "no lookup was needed");
    assert_eq!(refused(&client.lookup("dupont")), down());
    is_ill.store(false, Ordering::SeqCst);
    assert!(becomes_true(|| !is_open()));
    assert_eq!(client.lookup("dupont").status, 200);
    let (_, head) = upstream.requests().remove(0);
    assert!(head.contains("act=search&search=nobody%20at%20all HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(" check\r\n"), "{head}");
    // None of these is anybody's request.
    assert_eq!(gateway.short_log(2).len(), 2);
}

#[test]
fn a_reload_changes_it_and_keeps_the_state_but_not_that_of_another_xivo() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let well = Scripted::well();
    let setup = Setup::new(nobody).upstream(FOR_LONG);
    let gateway = OnDisk::start(&setup);
    let mut client = gateway.client();
    let open = |client: &mut Client| {
        for _ in 0..2 {
            assert_eq!(client.lookup("dupont").status, 502);
        }
        assert_eq!(refused(&client.lookup("dupont")), down());
    };
    open(&mut client);
    gateway.write("gateway.toml", &main_file(&setup).replace("failures = 2", "failures = 3"));
    gateway.reload();
    assert_eq!(refused(&client.lookup("dupont")), down());
    gateway.write("gateway.toml", &main_file(&setup).replace("failures = 2", "failures = 0"));
    gateway.reload();
    for _ in 0..10 {
        assert_eq!(client.lookup("dupont").status, 502);
    }
    gateway.write("gateway.toml", &main_file(&setup));
    gateway.reload();
    open(&mut client);
    let another = format!("http://{}", well.address());
    gateway.write("gateway.toml", &main_file(&setup).replace(&setup.upstream_url, &another));
    gateway.reload();
    assert_eq!(client.lookup("dupont").status, 200);
}

#[test]
fn a_lookup_that_xivo_answers_is_not_kept_from_it_by_what_others_met() {
    // Slow clients, and answers that are too large, are not XiVO's.
    let upstream = Scripted::answering(|term| match term {
        "large" => json(&format!("[\"{}\"]", "x".repeat(3000))),
        term => found(term),
    });
    let lines = format!("max_answer = \"2k\"\n{FOR_LONG}");
    let gateway = Setup::new(upstream.address()).upstream(&lines).start();
    let mut client = gateway.client();
    for _ in 0..10 {
        assert_eq!(refused(&client.lookup("large")), (502, "upstream-too-large".to_owned()));
    }
    assert_eq!(client.lookup("good").status, 200);
}
