//! What is done to the gateway, by name.

use super::attack::Attack;

/// One set-up and what happens in it, always beside the honest peers.
pub(crate) struct Scenario {
    /// The name on the command line and in the tables.
    pub(crate) name: &'static str,
    /// What happens, in a sentence.
    pub(crate) what: &'static str,
    /// Where the gateway's standard error goes.
    pub(crate) stderr: Stderr,
    /// Lines of `[limits]`.
    pub(crate) limits: &'static str,
    /// Lines of `[upstream]` that former versions do not know.
    pub(crate) new_upstream: &'static str,
    /// Who attacks.
    pub(crate) attacks: &'static [Attack],
    /// For how long, unless asked otherwise.
    pub(crate) seconds: u64,
}

/// The gateway's standard error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stderr {
    /// A file, whose lines are counted.
    File,
    /// `/dev/full`: every write fails.
    Full,
    /// A pipe of one page that nobody reads.
    Blocked,
    /// A pipe whose reading end is closed.
    Closed,
}

impl Stderr {
    /// The word in the tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Full => "full",
            Self::Blocked => "blocked",
            Self::Closed => "closed",
        }
    }
}

const PLAIN: Scenario = Scenario {
    name: "",
    what: "",
    stderr: Stderr::File,
    limits: "",
    new_upstream: "",
    attacks: &[],
    seconds: 10,
};

/// Refusals, broken handshakes, and what else the gateway has to tell its administrator.
const GRUMBLERS: Attack = Attack::Grumblers { per_second: 200 };

/// Every scenario.
pub(crate) const ALL: &[Scenario] = &[
    Scenario { name: "baseline", what: "the honest peers alone", ..PLAIN },
    Scenario {
        name: "stderr-full",
        what: "every write of a diagnostic fails (/dev/full), callers cause some",
        stderr: Stderr::Full,
        attacks: &[GRUMBLERS, Attack::Renewals],
        ..PLAIN
    },
    Scenario {
        name: "stderr-blocked",
        what: "standard error is a full pipe that nobody reads, callers cause diagnostics",
        stderr: Stderr::Blocked,
        attacks: &[GRUMBLERS, Attack::Renewals],
        ..PLAIN
    },
    Scenario {
        name: "stderr-closed",
        what: "standard error is a closed pipe, callers cause diagnostics",
        stderr: Stderr::Closed,
        attacks: &[GRUMBLERS, Attack::Renewals],
        ..PLAIN
    },
    Scenario {
        name: "leaky-peer",
        what: "a peer of 10/s opens 1,500 connections, asks once on each and keeps them (1,000 seats)",
        limits: "max_connections = 1000\n",
        attacks: &[Attack::Leaky { connections: 1500, requests: 1 }],
        ..PLAIN
    },
    Scenario {
        name: "leaky-silent",
        what: "the same, and no byte is sent on them",
        limits: "max_connections = 1000\n",
        attacks: &[Attack::Leaky { connections: 1500, requests: 0 }],
        ..PLAIN
    },
    Scenario {
        name: "leaky-pipelined",
        what: "the same with ten lookups on each at once, whose answers nobody reads",
        limits: "max_connections = 1000\n",
        attacks: &[Attack::Leaky { connections: 1500, requests: 10 }],
        ..PLAIN
    },
    Scenario {
        name: "unknown-tls-one",
        what: "one unknown address holds 3,000 TLS handshakes, silent and slow ones",
        attacks: &[Attack::Handshakes { connections: 3000, addresses: 1, slow: 2 }],
        ..PLAIN
    },
    Scenario {
        name: "unknown-tls-many",
        what: "100 unknown addresses hold 3,000 TLS handshakes, silent and slow ones",
        attacks: &[Attack::Handshakes { connections: 3000, addresses: 100, slow: 2 }],
        ..PLAIN
    },
    Scenario {
        name: "slow-tls",
        what: "1,000 handshakes from 50 unknown addresses, a byte of each per second",
        attacks: &[Attack::Handshakes { connections: 1000, addresses: 50, slow: 1 }],
        ..PLAIN
    },
    Scenario {
        name: "seats-defaults",
        what: "a peer at default limits opens 170 connections/s, asks once on each and keeps them",
        attacks: &[Attack::Seats { per_second: 170 }],
        seconds: 80,
        ..PLAIN
    },
    Scenario {
        name: "pipelined-flood",
        what: "200 connections of a peer of 10/s pipeline lookups without end (429)",
        attacks: &[Attack::Flood { connections: 200, who: "flood" }],
        ..PLAIN
    },
    Scenario {
        name: "pipelined-flood-unknown",
        what: "200 connections of an unknown address pipeline lookups without end (403, 429)",
        attacks: &[Attack::Flood { connections: 200, who: "unknown" }],
        ..PLAIN
    },
    Scenario {
        name: "pipelined-flood-404",
        what: "200 connections of a peer within its rate pipeline unknown paths without end (404)",
        limits: "rate = { per_second = 1000000, burst = 1000000 }\n",
        attacks: &[Attack::Flood { connections: 200, who: "lost" }],
        ..PLAIN
    },
    Scenario {
        name: "drip",
        what: "XiVO drips a byte each 0.3 s for 64 lookups of one peer (answer_timeout 5s where known)",
        new_upstream: "answer_timeout = \"5s\"\n",
        attacks: &[Attack::Drip { connections: 64 }],
        seconds: 20,
        ..PLAIN
    },
    Scenario {
        name: "slow-reader",
        what: "a peer reads 64 answers of 4 MB at 1 KB/s each (answer_timeout 5s where known)",
        new_upstream: "answer_timeout = \"5s\"\n",
        attacks: &[Attack::SlowReader { connections: 64 }],
        seconds: 20,
        ..PLAIN
    },
    Scenario {
        name: "h2-no-window",
        what: "2,400 HTTP/2 connections of one unknown address, 32 requests each, no window",
        attacks: &[Attack::Http2 { connections: 2400, addresses: 1, kind: "no-window" }],
        seconds: 15,
        ..PLAIN
    },
    Scenario {
        name: "h2-no-window-many",
        what: "the same from 100 unknown addresses",
        attacks: &[Attack::Http2 { connections: 2400, addresses: 100, kind: "no-window" }],
        seconds: 15,
        ..PLAIN
    },
    Scenario {
        name: "h2-idle",
        what: "2,400 HTTP/2 connections of 100 unknown addresses that ask nothing",
        attacks: &[Attack::Http2 { connections: 2400, addresses: 100, kind: "idle" }],
        seconds: 15,
        ..PLAIN
    },
    Scenario {
        name: "h2-large-heads",
        what: "2,400 HTTP/2 connections of 100 unknown addresses, 15 KB of fields on each of 32 streams",
        attacks: &[Attack::Http2 { connections: 2400, addresses: 100, kind: "large-heads" }],
        seconds: 15,
        ..PLAIN
    },
    Scenario {
        name: "h2-unfinished",
        what: "the same, and the last head of each connection never ends",
        attacks: &[Attack::Http2 { connections: 2400, addresses: 100, kind: "unfinished" }],
        seconds: 15,
        ..PLAIN
    },
    Scenario {
        name: "renewals",
        what: "the TLS listener's certificate is renewed each second",
        attacks: &[Attack::Renewals],
        ..PLAIN
    },
    Scenario {
        name: "all-at-once",
        what: "the soak: full standard error, a leaking peer, floods, HTTP/2, slow TLS, renewals, drip",
        stderr: Stderr::Full,
        attacks: &[
            GRUMBLERS,
            Attack::Renewals,
            Attack::Leaky { connections: 1500, requests: 1 },
            Attack::Flood { connections: 200, who: "flood" },
            Attack::Flood { connections: 50, who: "unknown" },
            Attack::Http2 { connections: 600, addresses: 1, kind: "no-window" },
            Attack::Http2 { connections: 300, addresses: 100, kind: "large-heads" },
            Attack::Http2 { connections: 300, addresses: 100, kind: "unfinished" },
            Attack::Http2 { connections: 300, addresses: 100, kind: "idle" },
            Attack::Handshakes { connections: 1000, addresses: 1, slow: 2 },
            Attack::Handshakes { connections: 500, addresses: 50, slow: 1 },
            Attack::Seats { per_second: 30 },
            Attack::Drip { connections: 32 },
            Attack::SlowReader { connections: 32 },
        ],
        seconds: 60,
        ..PLAIN
    },
];
