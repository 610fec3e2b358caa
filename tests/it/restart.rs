//! Another process takes the place of the gateway, and nobody is refused meanwhile.

mod real_systemd;
mod service_manager;
mod upgrade;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::support::{
    live::Setup,
    raw::Client,
    scripted::{Scripted, found},
};

/// XiVO, which answers as often as it is asked.
fn xivo() -> Scripted {
    Scripted::start(|connection| {
        while connection.forgotten_request().is_some() {
            connection.send(&found("one"));
        }
    })
}

fn setup(upstream: &Scripted, address: SocketAddr) -> Setup {
    let mut setup = Setup::new(upstream.address())
        .workers(2)
        .upstream("connect_timeout = \"20s\"\ntimeout = \"20s\"\nnumber_timeout = \"20s\"")
        .limits("max_requests_per_connection = 1000000\ndrain_timeout = \"20s\"");
    setup.address = address.to_string();
    setup
}

/// Asks at `address` while `meanwhile` runs, which sees how many lookups were answered, over connections that stay and
/// over new ones; yields how many there were. Every one is, at the first attempt over a new connection.
fn asking<T>(address: SocketAddr, meanwhile: impl FnOnce(&AtomicUsize) -> T) -> (usize, T) {
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = || {
        let mut kept: Option<Client> = None;
        for turn in 0_usize.. {
            if done.load(Ordering::Relaxed) {
                break;
            }
            // An idle connection may be closed at any time; then the request is sent again, as clients do.
            let answer = kept.as_mut().filter(|_| turn % 4 != 3).and_then(|client| {
                client.search("one");
                client.try_answer(true).ok()
            });
            let answer = answer.unwrap_or_else(|| {
                let mut client = Client::connect(address);
                let answer = client.lookup("one");
                kept = Some(client);
                answer
            });
            assert_eq!(answer.status, 200);
            if answer.header("connection") == Some("close") {
                kept = None;
            }
            asked.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(2));
        }
    };
    struct Done<'d>(&'d AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let came = thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        // Also when it panics.
        let ends = Done(&done);
        let came = meanwhile(&asked);
        drop(ends);
        clients.into_iter().for_each(|client| client.join().unwrap());
        came
    });
    (asked.into_inner(), came)
}
