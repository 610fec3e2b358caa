//! A week's log in the format `gateway`, and what is in it.

use std::{collections::BTreeMap, fs, path::Path};

use jiff::Timestamp;

use crate::support::xivo::PHONEBOOK;

/// What was written.
#[derive(Default)]
pub(super) struct Week {
    /// Seconds since 1970, and the line.
    lines: Vec<(i64, String)>,
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) late: u64,
    pub(super) peers: BTreeMap<&'static str, u64>,
    pub(super) reasons: BTreeMap<&'static str, u64>,
}

/// A request.
struct Asked<'a> {
    unix: i64,
    address: &'a str,
    peer: &'static str,
    query: String,
    outcome: (u16, &'static str, &'static str),
    millis: u64,
}

impl Week {
    fn ask(&mut self, asked: Asked<'_>) {
        let Asked { unix, address, peer, query, outcome: (status, reason, limit), millis } = asked;
        let time = Timestamp::from_second(unix).unwrap().strftime("%d/%b/%Y:%H:%M:%S +0000");
        let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
        let text = format!(
            "{address} - {peer} [{time}] \"GET {PHONEBOOK}?{query} HTTP/1.1\" {status} 100 \"-\" \
             \"python-requests/2.28.1\" \"peer={peer} action=search reason={reason} limit={limit} rule=- source=socket \
             host=gw rt={seconds} uct=0.000 uht={seconds} urt={seconds} us=200 revision=a id=1\"\n"
        );
        self.requests += 1;
        self.refused += u64::from((400..499).contains(&status));
        self.failed += u64::from(status >= 500);
        self.late += u64::from(millis > 1000);
        if peer != "-" {
            *self.peers.entry(peer).or_default() += 1;
        }
        if reason != "-" {
            *self.reasons.entry(reason).or_default() += 1;
        }
        self.lines.push((unix, text));
    }
}

const WELL: (u16, &str, &str) = (200, "-", "-");
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// 2026-11-16T00:00:00Z.
const BEGIN: i64 = 1_794_787_200;

/// Writes the log.
pub(super) fn write(path: &Path) -> Week {
    let mut week = Week::default();
    let peers = [
        ("montreal", "192.0.2.10", 40),
        ("lyon", "2001:db8:7::5", 15),
        ("sherbrooke", "192.0.2.40", 6),
    ];
    for day in 0..7 {
        for (peer, address, an_hour) in peers {
            if peer == "sherbrooke" && day > 3 {
                continue;
            }
            for number in 0..an_hour * 10 {
                let unix = BEGIN + day * DAY + 8 * HOUR + number * 10 * HOUR / (an_hour * 10);
                let query = format!("act=search&search=person{}", number * 7 % 90);
                let millis =
                    if number % 100 == 99 { 1200 } else { 20 + number.unsigned_abs() % 60 };
                week.ask(Asked { unix, address, peer, query, outcome: WELL, millis });
            }
        }
    }
    let montreal = |unix, query: &str, outcome, millis| {
        let (address, peer) = ("192.0.2.10", "montreal");
        Asked { unix, address, peer, query: query.to_owned(), outcome, millis }
    };
    for number in 0..60 {
        let outcome = if number < 20 { WELL } else { (429, "rate-limited", "peer") };
        let at = BEGIN + 2 * DAY + 15 * HOUR;
        week.ask(montreal(at, &format!("act=search&search=caller{number}"), outcome, 1));
    }
    for number in 0..30 {
        let at = BEGIN + DAY + 10 * HOUR + number * 7;
        week.ask(montreal(at, "act=search&search=who", (504, "upstream-timeout", "-"), 900));
    }
    for number in 0..12 {
        let at = BEGIN + number * HOUR;
        week.ask(montreal(at, "act=list", (403, "action-not-granted", "-"), 0));
    }
    let letters = || 'a'..='z';
    for (number, pair) in (0..).zip(letters().flat_map(|a| letters().map(move |b| (a, b)))) {
        let unix = BEGIN + 5 * DAY + HOUR + number * 11;
        let query = format!("act=search&search={}{}", pair.0, pair.1);
        week.ask(Asked {
            unix,
            address: "2001:db8:7::5",
            peer: "lyon",
            query,
            outcome: WELL,
            millis: 9,
        });
    }
    for number in 0..60 {
        let unix = BEGIN + 6 * DAY + 9 * HOUR + number * 300;
        let (address, query) = ("198.51.100.23", "act=search&search=bob".to_owned());
        week.ask(Asked {
            unix,
            address,
            peer: "-",
            query,
            outcome: (403, "unknown-peer", "-"),
            millis: 0,
        });
    }
    week.lines.sort_by_key(|(unix, _)| *unix);
    let lines: String = week.lines.iter().map(|(_, text)| text.as_str()).collect();
    fs::write(path, format!("no line of a log\n{lines}192.0.2.1 - - [torn")).unwrap();
    week
}
