//! Reloads, by HUP and by watching, while peers ask without a pause: none of them notices.
//!
//! 30 reloads of each kind by default. `PHONEBOOK_GATEWAY_RELOADS=200` makes it as many, and `PHONEBOOK_GATEWAY_RELOAD_RATE=2000`
//! asks so many times in a second; what came of it is then printed (`--nocapture`).

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{
    binary::{Binary, address_of_its_own},
    live::{Setup, policy},
    on_disk::main_file,
    process::becomes_true,
    raw::Client,
    scripted::Scripted,
};

/// A number from the environment.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Threads that ask, each over a connection that stays and over new ones in turns.
const CLIENTS: usize = 4;

#[test]
fn nobody_notices_reloads_of_good_bad_and_half_written_files() {
    reloads_under_load("HUP");
}

#[test]
fn nobody_notices_files_that_are_watched_and_change() {
    reloads_under_load("watch");
}

/// `by` is who reloads, as the journal has it.
fn reloads_under_load(by: &str) {
    let reloads = number("PHONEBOOK_GATEWAY_RELOADS", 30);
    let rate = number("PHONEBOOK_GATEWAY_RELOAD_RATE", 300);
    let upstream = Scripted::start(|connection| {
        while connection.forgotten_request().is_some() {
            connection.send(&crate::support::scripted::found("one"));
        }
    });
    let mut setup = Setup::new(upstream.address())
        .workers(2)
        .upstream("connect_timeout = \"20s\"\ntimeout = \"20s\"")
        .limits("max_requests_per_connection = 1000000");
    setup.address = address_of_its_own().to_string();
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let watch = if by == "watch" { "[reload]\nwatch = true\n" } else { "" };
    let main = format!("{}{watch}", main_file(&setup));
    let mut gateway = Binary::serve_texts(&main, &policies);
    let address = gateway.address();
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let pause = Duration::from_secs(1) * u32::try_from(CLIENTS).unwrap()
        / u32::try_from(rate.max(1)).unwrap();
    let ask = || {
        let mut kept = Client::connect(address);
        let mut due = Instant::now();
        for turn in 0_usize.. {
            if done.load(Ordering::Relaxed) {
                break;
            }
            let status = match turn % 4 {
                3 => Client::connect(address).lookup("one").status,
                _ => kept.lookup("one").status,
            };
            assert_eq!(status, 200);
            asked.fetch_add(1, Ordering::Relaxed);
            due += pause;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    };
    let began = Instant::now();
    let slowest = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        let slowest = alternate(&gateway, &main, reloads, by);
        done.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
        slowest
    });
    let (asked, took) = (asked.into_inner(), began.elapsed());
    println!(
        "{reloads} reloads by {by} in {took:?}, {asked} requests ({:.0} in a second): 0 failed, 0 reset; the slowest \
         good reload was in force after {slowest:?}",
        asked as f64 / took.as_secs_f64()
    );
    assert!(asked > reloads, "the test would show nothing");
    assert!(
        becomes_true(|| gateway.log("access.log").len() >= asked),
        "{}",
        gateway.log("access.log").len()
    );
}

/// Good, bad and half-written files in turns, and a listener that comes and goes. How long it took at the most until
/// a good one was in force.
fn alternate(gateway: &Binary, main: &str, reloads: usize, by: &str) -> Duration {
    let line_of = format!("{by}: ");
    let second = address_of_its_own();
    let with_listener = format!("{main}[[listen]]\naddress = \"{second}\"\n");
    let mut slowest = Duration::ZERO;
    let nice = gateway.path("policies/nice.toml");
    let good = |number: usize| policy("127.0.0.2", &format!("description = \"{number}\""));
    for number in 0..reloads {
        let since = gateway.stderr().len();
        let is_good = match number % 4 {
            0 | 2 => {
                let main = if number % 4 == 0 { &with_listener } else { main };
                fs::write(gateway.path("gateway.toml"), main).unwrap();
                fs::write(&nice, good(number)).unwrap();
                true
            }
            1 => {
                fs::write(&nice, good(number).replace("actions", "action")).unwrap();
                false
            }
            _ => {
                let text = good(number);
                fs::write(&nice, &text[..text.len() / 2]).unwrap();
                false
            }
        };
        let began = Instant::now();
        if by == "HUP" {
            gateway.signal(Signal::HUP);
        }
        // Where files are watched, the first of two may be looked at before the second is written.
        let expected = if is_good {
            " runs in the place of "
        } else {
            "running configuration differs from disk: "
        };
        let is_it = |line: &str| line.contains(&line_of) && line.contains(expected);
        let mut told = String::new();
        let became = becomes_true(|| {
            told = gateway.stderr().split_off(since);
            told.lines().any(is_it)
        });
        assert!(became, "{number}: {told}");
        if is_good {
            slowest = slowest.max(began.elapsed());
            let answer = (number % 4 == 0).then(|| Client::connect(second).lookup("one").status);
            assert!(answer.is_none_or(|status| status == 200), "{told}");
        } else {
            assert!(told.contains("policies/nice.toml:"), "{told}");
        }
    }
    slowest
}
