//! The comparison with other programs must notice wrong answers: otherwise the fastest way to win it is to fail.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use support::answer::Reader;
use support::load::{self, Job, Measured, Reading};
use support::machine::CpuTime;
use support::statistics::{quantile, sorted};

#[path = "../benches/support"]
mod support {
    pub(crate) mod answer;
    pub(crate) mod clock;
    pub(crate) mod load;
    #[expect(dead_code, reason = "only the CPU time's type is needed here")]
    pub(crate) mod machine;
    pub(crate) mod statistics;
}

/// A server that gives `answer` to whatever comes, and closes after `per_connection` answers.
/// Its threads end with the test's process.
fn server(answer: &'static str, per_connection: usize) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 1024];
                for _ in 0..per_connection {
                    if !matches!(stream.read(&mut request), Ok(1..)) {
                        break;
                    }
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
    address
}

fn job(target: SocketAddr) -> Job {
    Job {
        target,
        sources: vec![Ipv4Addr::LOCALHOST],
        request: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        status: 200,
        body: Some(b"hello".to_vec()),
        connections: 2,
        keep_alive: true,
        rate: None,
        warm_up: Duration::ZERO,
        slot: Duration::from_millis(50),
    }
}

fn run(job: &Job) -> Result<Measured, String> {
    let readings = Cell::new(0);
    load::run(job, &|| {
        readings.set(readings.get() + 1);
        let nanoseconds = readings.get() * 100;
        let cpu = CpuTime { running: nanoseconds, waiting: nanoseconds * 2 };
        Ok(Reading { cpu, upstream: readings.get() })
    })
}

fn refusal(job: &Job) -> String {
    run(job).err().expect("a wrong answer ends the measurement")
}

const RIGHT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn right_answers_are_counted_in_all_three_kinds_of_load() {
    let target = server(RIGHT, usize::MAX);
    let keep_alive = job(target);
    let per_connection = Job { keep_alive: false, ..job(target) };
    let fixed_rate = Job { keep_alive: false, rate: Some(2000), ..job(target) };
    for job in [keep_alive, per_connection, fixed_rate] {
        load::prove(&job).unwrap();
        // A busy machine may let a short slot pass without an answer; not a hundred of them.
        let measured = (0..100).map(|_| run(&job).unwrap()).find(|one| one.requests > 0).unwrap();
        assert_eq!(measured.latencies.len() as u64, measured.requests);
        assert!(measured.elapsed >= job.slot);
        let CpuTime { running, waiting } = measured.cpu;
        assert_eq!((running, waiting, measured.upstream), (100, 200, 1));
    }
}

#[test]
fn another_status_ends_the_measurement_with_what_was_seen() {
    let answer = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nhello";
    let why = refusal(&job(server(answer, usize::MAX)));
    assert!(why.contains("another status") && why.contains("502 Bad Gateway"), "{why}");
}

#[test]
fn another_length_ends_the_measurement() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell";
    assert!(refusal(&job(server(answer, usize::MAX))).contains("another length"));
}

#[test]
fn bytes_after_an_answer_end_the_measurement() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!";
    assert!(refusal(&job(server(answer, usize::MAX))).contains("more bytes"));
}

#[test]
fn an_answer_cut_short_ends_the_measurement() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
    assert!(refusal(&job(server(answer, 1))).contains("incomplete answer"));
}

#[test]
fn a_keep_alive_connection_that_is_closed_ends_the_measurement() {
    // Depending on who is first, the close is seen by the read or by the next write.
    let why = refusal(&job(server(RIGHT, 1)));
    let ways = ["incomplete answer", "the connection failed", "sending a request"];
    assert!(ways.iter().any(|way| why.contains(way)), "{why}");
}

#[test]
fn another_body_of_the_right_length_is_found_before_the_measurement() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld";
    let why = load::prove(&job(server(answer, usize::MAX))).unwrap_err();
    assert!(why.contains("another body"), "{why}");
}

#[test]
fn an_answer_is_complete_only_with_its_last_byte() {
    let reader = Reader::new();
    for end in 0..RIGHT.len() {
        assert!(reader.read(&RIGHT.as_bytes()[..end]).unwrap().is_none(), "complete at {end}");
    }
    let answer = reader.read(RIGHT.as_bytes()).unwrap().unwrap();
    assert_eq!((answer.status, answer.body, answer.head + 5), (200, 5, RIGHT.len()));
}

#[test]
fn an_answer_without_a_length_is_wrong() {
    let reader = Reader::new();
    assert!(reader.read(b"HTTP/1.1 200 OK\r\nX: 5\r\n\r\nhello").is_err());
    assert!(reader.read(b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello").is_err());
    assert!(reader.read(b"SMTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").is_err());
}

#[test]
fn quantiles_lie_between_their_neighbours() {
    let values = sorted([4.0, 1.0, 3.0, 2.0]);
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(quantile(&values, 0.0), 1.0);
    assert_eq!(quantile(&values, 0.5), 2.5);
    assert_eq!(quantile(&values, 1.0), 4.0);
    assert_eq!(quantile(&[7.0], 0.25), 7.0);
    assert_eq!(quantile(&[], 0.5), 0.0);
}
