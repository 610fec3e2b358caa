//! The program from its start to its end, as systemd and an administrator see it.

use std::{net::TcpListener, time::Instant};

use rustix::process::Signal;

use crate::support::{
    binary::Binary,
    live::{Setup, without_time},
    process::{PATIENCE, becomes_true},
    raw::{Client, End, target},
    scripted::{Connection, Door, Scripted, found_body},
};

/// In front of `upstream`, which may take its time.
fn patient(upstream: &Scripted) -> Setup {
    Setup::new(upstream.address()).workers(2).upstream("timeout = \"1h\"")
}

/// The log's lines without their times, once there are so many.
fn log(gateway: &Binary, name: &str, lines: usize) -> Vec<String> {
    becomes_true(|| gateway.log(name).len() >= lines);
    gateway.log(name).iter().map(|line| without_time(line)).collect()
}

fn line(term: &str, status: u16, size: usize) -> String {
    format!("127.0.0.1 - lyon [-] \"GET {} HTTP/1.1\" {status} {size} \"-\" \"-\"", target(term))
}

#[test]
fn a_bad_configuration_is_78_with_all_its_problems() {
    let main = "workerz = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\n\
                url = \"ftp://xivo\"\n[limits]\nhead_timeout = 5\n";
    let policies = [
        ("lyon", "hosts = [\"10.1\"]\nactions = [\"erase\"]\n"),
        ("nice", "hosts = [\"192.0.2.1/24\"]\n"),
    ];
    let mut gateway = Binary::serve_texts(main, &policies);
    assert_eq!(gateway.exit().code(), Some(78));
    let stderr = gateway.stderr();
    for part in [
        "workerz",
        "ftp",
        "head_timeout",
        "lyon.toml",
        "10.1",
        "erase",
        "nice.toml",
        "192.0.2.0/24",
        "nothing was started",
    ] {
        assert!(stderr.contains(part), "{part} is missing in {stderr}");
    }
    assert_eq!(gateway.stdout(), "");
}

#[test]
fn a_missing_configuration_is_78() {
    let mut gateway = Binary::serve_texts("", &[]);
    assert_eq!(gateway.exit().code(), Some(78));
    assert!(gateway.stderr().contains("gateway.toml"));
}

#[test]
fn an_upstream_over_loopback_is_78_and_the_message_helps() {
    let upstream = Scripted::well();
    let mut setup = patient(&upstream);
    setup.loopback = false;
    let mut gateway = Binary::serve(&setup);
    assert_eq!(gateway.exit().code(), Some(78));
    let stderr = gateway.stderr();
    assert!(stderr.contains("`private`") && stderr.contains("source = "), "{stderr}");
}

#[test]
fn a_log_that_cannot_be_opened_is_3() {
    let upstream = Scripted::well();
    let mut gateway = Binary::serve_logging(&patient(&upstream), "/nonexistent/access.log");
    assert_eq!(gateway.exit().code(), Some(3));
    assert!(gateway.stderr().contains("/nonexistent"), "{}", gateway.stderr());
}

#[test]
fn an_address_that_is_taken_is_3() {
    let upstream = Scripted::well();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut setup = patient(&upstream);
    setup.address = taken.local_addr().unwrap().to_string();
    let mut gateway = Binary::serve(&setup);
    assert_eq!(gateway.exit().code(), Some(3));
    let stderr = gateway.stderr();
    assert!(stderr.contains(&setup.address) && stderr.contains("ss -ltnp"), "{stderr}");
}

#[test]
fn a_second_instance_is_refused_and_the_first_goes_on() {
    let upstream = Scripted::well();
    let mut setup = patient(&upstream);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    setup.address = port.to_string();
    let mut first = Binary::serve(&setup);
    assert_eq!(first.address(), port);
    let mut second = Binary::serve(&setup);
    assert_eq!(second.exit().code(), Some(3));
    assert!(second.stderr().contains("another phonebook-gateway"), "{}", second.stderr());
    for _ in 0..20 {
        assert_eq!(Client::connect(port).lookup("one").status, 200);
    }
    // When the first has ended, its place is free at once.
    first.signal(Signal::TERM);
    assert_eq!(first.exit().code(), Some(0));
    let mut third = Binary::serve(&setup);
    assert_eq!(third.address(), port);
    assert_eq!(Client::connect(port).lookup("one").status, 200);
}

#[test]
fn one_line_says_that_it_is_ready_and_standard_output_is_silent() {
    let upstream = Scripted::well();
    let mut gateway = Binary::serve(&patient(&upstream));
    let address = gateway.address();
    let stderr = gateway.stderr();
    let ready: Vec<&str> = stderr.lines().filter(|line| line.contains("ready")).collect();
    let [ready] = ready.as_slice() else { panic!("{stderr}") };
    for part in [&address.to_string(), "1 peer", &upstream.address().to_string()] {
        assert!(ready.contains(part), "{part} is missing in {ready}");
    }
    assert_eq!(gateway.stdout(), "");
}

#[test]
fn term_and_quit_let_lookups_under_way_finish() {
    for signal in [Signal::TERM, Signal::QUIT, Signal::INT] {
        let door = Door::default();
        let upstream = Scripted::slow(&door);
        let mut gateway = Binary::serve(&patient(&upstream));
        let address = gateway.address();
        let mut idle = Client::connect(address);
        assert_eq!(idle.lookup("one").status, 200);
        let mut silent = Client::connect(address);
        let mut busy = Client::connect(address);
        busy.search("slow");
        assert!(becomes_true(|| upstream.attempts("slow").len() == 1));
        gateway.signal(signal);
        // Who has nothing under way is let go.
        assert_eq!(idle.ended(), End::Orderly);
        assert_eq!(silent.ended(), End::Orderly);
        assert!(gateway.runs());
        assert!(becomes_true(|| std::net::TcpStream::connect(address).is_err()));
        door.open();
        let answer = busy.answer();
        assert_eq!(
            answer.header("connection"),
            Some("close"),
            "the answer says that it is the last"
        );
        assert_eq!(answer.body, found_body("slow").into_bytes());
        assert_eq!(busy.ended(), End::Orderly);
        drop(busy);
        assert_eq!(gateway.exit().code(), Some(0));
        let size = found_body("slow").len();
        assert_eq!(
            log(&gateway, "access.log", 2),
            [line("one", 200, found_body("one").len()), line("slow", 200, size)]
        );
    }
}

#[test]
fn a_lookup_that_never_ends_does_not_hold_the_end_up() {
    let upstream = Scripted::start(|connection| {
        connection.request();
        connection.until_ended();
    });
    let mut gateway = Binary::serve(&patient(&upstream));
    let mut client = Client::connect(gateway.address());
    client.search("slow");
    assert!(becomes_true(|| upstream.requests().len() == 1));
    let told = Instant::now();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().code(), Some(0));
    assert!(told.elapsed() < PATIENCE);
    assert_eq!(log(&gateway, "access.log", 1), [line("slow", 499, 0)]);
}

#[test]
fn a_second_term_ends_at_once_and_what_was_under_way_is_in_the_log() {
    let upstream = Scripted::start(|connection| {
        connection.request();
        connection.until_ended();
    });
    let mut gateway = Binary::serve(&patient(&upstream));
    let address = gateway.address();
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.search("slow"));
    assert!(becomes_true(|| upstream.requests().len() == 8));
    gateway.signal(Signal::TERM);
    assert!(becomes_true(|| gateway.stderr().contains("TERM")));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().code(), Some(0));
    assert!(gateway.stderr().contains("TERM again"), "{}", gateway.stderr());
    assert_eq!(log(&gateway, "access.log", 8), vec![line("slow", 499, 0); 8]);
}

#[test]
fn usr1_opens_the_log_anew_and_hup_does_not_kill() {
    let upstream = Scripted::well();
    let mut gateway = Binary::serve(&patient(&upstream));
    let mut client = Client::connect(gateway.address());
    let size = found_body("one").len();
    assert_eq!(client.lookup("one").status, 200);
    assert_eq!(log(&gateway, "access.log", 1), [line("one", 200, size)]);
    std::fs::rename(gateway.path("access.log"), gateway.path("access.log.1")).unwrap();
    assert_eq!(client.lookup("two").status, 200);
    assert_eq!(log(&gateway, "access.log.1", 2).len(), 2, "the old file is in use until USR1");
    gateway.signal(Signal::USR1);
    assert!(becomes_true(|| gateway.path("access.log").exists()));
    assert_eq!(client.lookup("six").status, 200);
    assert_eq!(log(&gateway, "access.log", 1), [line("six", 200, size)]);
    assert_eq!(gateway.log("access.log.1").len(), 2);
    gateway.signal(Signal::HUP);
    assert!(becomes_true(|| gateway.stderr().contains("HUP")));
    assert_eq!(client.lookup("one").status, 200);
    assert!(gateway.runs());
}

#[test]
fn lines_that_still_wait_are_written_at_the_end() {
    let upstream = Scripted::well();
    let setup = patient(&upstream);
    // Neither a full buffer nor the time brings them out.
    let main = setup
        .main_file("access.log")
        .replace("buffer = \"0\"", "buffer = \"1m\"")
        .replace("flush = \"10ms\"", "flush = \"60s\"");
    let (name, text) = &setup.policies[0];
    let mut gateway = Binary::serve_texts(&main, &[(name, text)]);
    let address = gateway.address();
    for _ in 0..50 {
        assert_eq!(Client::connect(address).lookup("one").status, 200);
    }
    assert_eq!(gateway.log("access.log").len(), 0, "the test would show nothing");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().code(), Some(0));
    assert_eq!(gateway.log("access.log").len(), 50);
}

#[test]
fn a_full_disk_loses_lines_and_no_request() {
    let upstream = Scripted::well();
    let mut gateway = Binary::serve_logging(&patient(&upstream), "/dev/full");
    let mut client = Client::connect(gateway.address());
    for _ in 0..200 {
        assert_eq!(client.lookup("one").status, 200);
    }
    assert!(becomes_true(|| gateway.stderr().contains("cannot write to the access log /dev/full")));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().code(), Some(0));
}

#[test]
fn the_reason_of_a_fault_is_told_in_words_and_the_term_is_not() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused =
        Scripted::answering(|_| b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec());
    let broken = Scripted::start(|connection: &mut Connection| {
        while connection.request().is_some() {
            connection.send(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n");
        }
    });
    for (setup, words) in [
        (Setup::new(free), "the connection was refused"),
        (Setup::new(refused.address()), "add a Web Services user for host 127.0.0.1"),
        (Setup::new(broken.address()), "a line ends with a line feed alone"),
    ] {
        let mut gateway = Binary::serve(&setup);
        assert_eq!(Client::connect(gateway.address()).lookup("marguerite").status, 502);
        assert!(becomes_true(|| gateway.stderr().contains(words)), "{}", gateway.stderr());
        assert!(!gateway.stderr().contains("marguerite"), "{}", gateway.stderr());
    }
}
