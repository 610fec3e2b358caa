//! What a connection of each kind costs is what the table in docs/operations.md says, at the most.

use std::{
    any::Any,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    thread::sleep,
    time::Duration,
};

use crate::support::{
    binary::Binary,
    http2::{
        ByHand, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, block, frame,
        indexed, pseudo, request, setup,
    },
    live::{Setup, policy},
    process::becomes_true,
    raw::{Client, list, search, target},
    scripted::{Door, Scripted},
    tls::{connect, credulous, get_and_stay},
};

/// Connections of each kind: enough of them for the allocator's grain to be no matter.
const COUNT: usize = 300;

/// An address in no policy.
const UNKNOWN_CALLER: &str = "127.0.0.9";

type Held = Box<dyn Any>;

/// A gateway in a process of its own, whose upstream answers `slow` when the door is opened.
struct Measured {
    gateway: Binary,
    upstream: Scripted,
    address: SocketAddr,
    door: Door,
}

impl Measured {
    fn start(with_tls: bool) -> Self {
        let door = Door::default();
        let upstream = Scripted::slow(&door);
        Self::before(upstream, door, with_tls)
    }

    fn before(upstream: Scripted, door: Door, with_tls: bool) -> Self {
        let setup =
            if with_tls { setup(upstream.address()) } else { Setup::new(upstream.address()) };
        let setup = setup
            .workers(2)
            .upstream("timeout = \"10m\"")
            .policy("lyon", policy("127.0.0.1", ""))
            .limits(
                "unknown_rate = { per_second = 1000000, burst = 1000000 }\nhead_timeout = \"10m\"\n\
                 idle_timeout = \"10m\"\nwrite_timeout = \"10m\"\nmax_connections = 10000\nunknown_connections = 2500\n\
                 handshake_rate = { per_second = 1000000, burst = 1000000 }",
            );
        let mut gateway = Binary::serve(&setup);
        let address = gateway.address();
        Self { gateway, upstream, address, door }
    }

    /// What it holds once it has done what it was asked.
    fn settled(&self) -> u64 {
        let mut last = 0;
        assert!(becomes_true(|| {
            sleep(Duration::from_millis(20));
            let now = self.gateway.resident();
            std::mem::replace(&mut last, now) == now
        }));
        last
    }

    /// What each of `count` connections adds, in bytes.
    fn cost(&self, count: usize, open: impl Fn(&Self) -> Held) -> u64 {
        self.cost_of_lookups(count, 0, open)
    }

    /// The same for connections with so many lookups under way on each.
    fn cost_of_lookups(&self, count: usize, each: usize, open: impl Fn(&Self) -> Held) -> u64 {
        let asked = |connections: usize| {
            let wanted = connections * each;
            assert!(becomes_true(|| self.upstream.attempts("slow").len() == wanted));
        };
        let _first: Vec<Held> = (0..8).map(|_| open(self)).collect();
        asked(8);
        let before = self.settled();
        let _held: Vec<Held> = (0..count).map(|_| open(self)).collect();
        asked(8 + count);
        let cost = self.settled().saturating_sub(before) / count as u64;
        self.door.open();
        cost
    }
}

/// What docs/operations.md says of a kind, in bytes.
fn promised(kind: &str) -> u64 {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md"))
        .unwrap();
    let row = page.lines().find_map(|line| line.strip_prefix(&format!("| {kind} |")));
    let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row \"{kind}\""));
    let kilobytes: u64 = row.trim_matches([' ', '|']).parse().unwrap();
    kilobytes * 1024
}

fn holds(kind: &str, cost: u64) {
    let promised = promised(kind);
    writeln!(std::io::stderr(), "{kind}: {cost} bytes, {promised} promised").unwrap();
    assert!(cost <= promised, "{kind}: {cost} bytes each, {promised} promised");
    // A promise that is far too large says nothing.
    assert!(cost >= promised / 6, "{kind}: {cost} bytes each, {promised} promised");
}

#[test]
fn plain_connections() {
    let idle = Measured::start(false);
    let cost = idle.cost(COUNT, |it| {
        let mut client = Client::connect(it.address);
        client.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 404);
        Box::new(client)
    });
    holds("plain, idle", cost);
    let busy = Measured::start(false);
    let cost = busy.cost_of_lookups(COUNT, 1, |it| {
        let mut client = Client::connect(it.address);
        client.send(search("slow"));
        Box::new(client)
    });
    holds("plain, a lookup under way", cost);
    let late = Measured::start(false);
    let cost = late.cost(COUNT, |it| {
        let mut client = Client::connect_from(it.address, Some(UNKNOWN_CALLER.parse().unwrap()));
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(15_000)));
        Box::new(client)
    });
    holds("plain, an unfinished head", cost);
}

/// What is held of a long answer, for a client that takes one byte of it after the other.
#[test]
fn long_lists_that_are_read_slowly() {
    const SIZE: usize = 8 << 20;
    let upstream = Scripted::start(|connection| {
        while connection.forgotten_request().is_some() {
            let fields = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            connection.send(format!("{fields}Content-Length: {SIZE}\r\n\r\n").as_bytes());
            while connection.send(&[b'['; 1 << 16]) {}
        }
    });
    let measured = Measured::before(upstream, Door::default(), false);
    let cost = measured.cost(64, |it| {
        let mut client = Client::with_window(it.address, None, Some(4096));
        client.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", list()));
        // More than the kernel takes at once, so that it was read in large pieces.
        for _ in 0..64 {
            client.swallow(64 << 10);
        }
        Box::new(client)
    });
    holds("plain, a long list that is read slowly", cost);
}

#[test]
fn tls_connections() {
    let handshake = Measured::start(true);
    let cost = handshake.cost(COUNT, |it| {
        // A greeting of 60,000 bytes, which does not come to its end.
        let mut stream = TcpStream::connect(it.address).unwrap();
        let greeting = [&[1, 0, 0xea, 0x60, 3, 3][..], &[0; 50_000]].concat();
        for piece in greeting.chunks(16_384) {
            let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
            stream.write_all(&[&[22, 3, 1][..], &length, piece].concat()).unwrap();
        }
        Box::new(stream)
    });
    holds("TLS, an unfinished handshake", cost);
    let idle = Measured::start(true);
    let client = credulous(&[&rustls::version::TLS13], None);
    let cost = idle.cost(COUNT, |it| {
        let mut tls = connect(it.address, &client, "localhost").unwrap();
        assert_eq!(get_and_stay(&mut tls, "/nothing").status, 404);
        Box::new(tls)
    });
    holds("TLS, idle", cost);
}

#[test]
fn http_2_connections() {
    for from in [None, Some(UNKNOWN_CALLER)] {
        let idle = Measured::start(true);
        let cost = idle.cost(COUNT, |it| {
            let mut client = ByHand::connect_from(it.address, from, &[]);
            client.send(&[request(1, "/nothing"), frame(SETTINGS, 1, 0, b"")].concat());
            assert!(client.until(DATA).is_some());
            Box::new(client)
        });
        holds("HTTP/2, idle", cost);
    }
    let busy = Measured::start(true);
    let cost = busy.cost_of_lookups(16, 32, |it| {
        let mut client = ByHand::connect(it.address, &[(4, 0)]);
        client
            .send(&(0..32).flat_map(|at| request(2 * at + 1, &target("slow"))).collect::<Vec<_>>());
        Box::new(client)
    });
    holds("HTTP/2, a peer's 32 lookups under way", cost);
}

/// What a caller in no policy can do that costs memory, by name.
type Abuse = (&'static str, fn(&Measured) -> ByHand);

const ABUSES: &[Abuse] = &[
    ("no window", |it| {
        let mut client = unknown_caller(it, &[(4, 0)]);
        client.send(&requests(40, &list()));
        assert!(client.until(HEADERS).is_some());
        client
    }),
    ("no window for its address", |it| {
        let mut client = unknown_caller(it, &[(4, 0)]);
        client.send(&requests(40, WHOAMI));
        assert!(client.until(HEADERS).is_some());
        client
    }),
    ("PINGs whose replies are not read", |it| {
        let mut client = unknown_caller(it, &[]);
        for _ in 0..9 {
            client.send(&frame(PING, 0, 0, &[0; 8]).repeat(100));
        }
        client
    }),
    ("half a record", |it| {
        let mut client = unknown_caller(it, &[]);
        assert!(client.until(SETTINGS).is_some());
        client.send_raw(&half_a_record());
        client
    }),
    ("a table, half a head and half a record", |it| {
        let mut client = unknown_caller(it, &[(4, 0)]);
        // Fields for the table, more than it holds.
        let fields: Vec<(String, Vec<u8>)> =
            (0..60).map(|at| (format!("x{at}"), vec![b'y'; 20])).collect();
        let fields: Vec<(&str, &[u8])> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let filling = [block(&pseudo("GET", &list())), indexed(&fields)].concat();
        client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &filling));
        assert!(client.until(HEADERS).is_some());
        let half = [&[0, 3, b'x', b'-', b'y'][..], &[b'z'; 3900]].concat();
        client.send(&frame(HEADERS, END_STREAM, 7, &half));
        client.send_raw(&half_a_record());
        client
    }),
    ("requests that are taken back", |it| {
        let mut client = unknown_caller(it, &[]);
        for at in 0..40 {
            let stream = 2 * at + 1;
            let reset = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
            client.send(&[request(stream, WHOAMI), reset].concat());
        }
        client
    }),
];

const WHOAMI: &str = "/.well-known/phonebook-gateway/whoami";

fn unknown_caller(it: &Measured, settings: &[(u16, u32)]) -> ByHand {
    ByHand::connect_from(it.address, Some(UNKNOWN_CALLER), settings)
}

fn requests(count: u32, path: &str) -> Vec<u8> {
    (0..count).flat_map(|at| request(2 * at + 1, path)).collect()
}

/// The head of a TLS record of 16 KB, and nearly all of it.
fn half_a_record() -> Vec<u8> {
    [&[23, 3, 3, 0x40, 0x00][..], &[0; 16_000]].concat()
}

#[test]
fn http_2_connections_of_callers_in_no_policy_at_worst() {
    for (what, open) in ABUSES {
        let measured = Measured::start(true);
        writeln!(std::io::stderr(), "{what}:").unwrap();
        let cost = measured.cost(COUNT, |it| Box::new(open(it)));
        holds("HTTP/2, a caller in no policy at worst", cost);
    }
}

/// What connections took goes back to the system when they are gone.
#[test]
fn memory_is_given_back_after_a_storm() {
    let measured = Measured::start(true);
    let rest = measured.settled();
    for _ in 0..2 {
        let held: Vec<ByHand> = (0..1000)
            .map(|_| {
                let mut client = ByHand::connect_from(measured.address, None, &[(4, 0)]);
                client.send(&request(1, "/nothing"));
                assert!(client.until(HEADERS).is_some());
                client
            })
            .collect();
        let storm = measured.gateway.resident() - rest;
        drop(held);
        assert!(storm > 8 << 20, "{storm}");
        let mut left = 0;
        let given_back = becomes_true(|| {
            left = measured.gateway.resident().saturating_sub(rest);
            left < storm / 2
        });
        writeln!(std::io::stderr(), "a storm of {storm} bytes left {left}").unwrap();
        assert!(given_back, "{left} of {storm} bytes are held still");
    }
}
