//! A report for tests: one busy day of a gateway with five peers, with something of everything.

use super::*;

/// 2026-11-22 00:00:00 at UTC-5.
const BEGIN: i64 = 1_795_323_600;

/// A time of that day.
pub(crate) fn at(hour: i64, minute: i64, second: i64) -> Moment {
    Moment { unix: BEGIN + hour * 3600 + minute * 60 + second, offset: -300 }
}

/// How a day's requests are spread over its hours.
const DAY: [u64; 24] =
    [0, 0, 0, 0, 0, 2, 9, 61, 240, 392, 455, 380, 210, 233, 401, 377, 322, 190, 44, 12, 5, 3, 0, 0];

fn times(histogram: [u64; 13], percentiles: [u64; 4]) -> Option<AnswerTimes> {
    let [p50, p95, p99, max] = percentiles;
    let late = histogram[10..].iter().sum();
    Some(AnswerTimes {
        count: histogram.iter().sum(),
        p50,
        p95,
        p99,
        max,
        late,
        histogram: histogram.to_vec(),
    })
}

fn count<T>(value: T, count: u64) -> Count<T> {
    Count { value, count }
}

fn named(value: &str, number: u64) -> Count<String> {
    count(value.to_owned(), number)
}

/// A peer with a share of the day, in thousandths.
fn peer(name: &str, share: u64, not_answered: [u64; 4], percentiles: [u64; 4]) -> Peer {
    let hours: Vec<u64> = DAY.iter().map(|hour| hour * share / 1000).collect();
    let requests: u64 = hours.iter().sum();
    let [refused, limited, failed, left] = not_answered;
    let late = u64::from(percentiles[3] > 1000) * 7;
    let fast = requests.saturating_sub(late);
    Peer {
        name: name.to_owned(),
        is_address: name.contains(':')
            || name.chars().all(|char| char == '.' || char.is_ascii_digit()),
        first: at(6, 2, 11),
        last: at(20, 48, 3),
        requests,
        answered: requests - refused - failed - left,
        refused,
        limited,
        failed,
        left,
        body_bytes: requests * 1_733,
        actions: vec![named("search", requests - 3), named("view", 3)],
        addresses: 2,
        terms: requests / 3,
        terms_per_hour: Some(PerHour { begin: at(10, 0, 0), count: hours[10] / 3 }),
        answer_times: times(
            [
                0,
                0,
                fast / 8,
                fast / 4,
                fast - fast / 8 - fast / 4 - fast / 20,
                fast / 20,
                0,
                0,
                0,
                0,
                late,
                0,
                0,
            ],
            percentiles,
        ),
        buckets: hours.clone(),
        hour_of_day: hours,
    }
}

fn buckets() -> Buckets {
    let list = (0..24).zip(DAY).map(|(hour, requests)| Bucket {
        begin: at(hour, 0, 0),
        requests,
        refused: requests / 11 + u64::from(hour == 14) * 95,
        limited: u64::from(hour == 14) * 95,
        failed: u64::from(hour == 10) * 57,
        late: requests / 120,
    });
    Buckets { seconds: 3600, list: list.collect() }
}

fn refused(reason: &str, status: u16, number: u64, mend: &str, callers: &[(&str, u64)]) -> Refused {
    Refused {
        reason: reason.to_owned(),
        statuses: vec![status],
        count: number,
        mend: mend.to_owned(),
        callers: callers.iter().map(|&(name, number)| named(name, number)).collect(),
        last: at(16, 12, 40),
        example: Some("GET /service/ipbx/json.php/restricted/pbx_services/phonebook/?act=search&search=*** HTTP/1.1".into()),
    }
}

fn refusals() -> Vec<Refused> {
    vec![
        refused(
            "unknown-peer",
            403,
            171,
            "Write a policy for the callers that are yours.",
            &[("-", 171)],
        ),
        refused(
            "rate-limited",
            429,
            95,
            "Raise the peer's `rate`, or ask its administrator why it asks so often.",
            &[("montreal", 92), ("-", 3)],
        ),
        refused(
            "action-not-granted",
            403,
            61,
            "Add the action to `actions` in the peer's policy, or lower its `min_search_length`; \
             what writes can never be granted.",
            &[("quebec", 58), ("lyon", 3)],
        ),
        refused(
            "upstream-unreachable",
            502,
            44,
            "See whether XiVO's nginx runs and the gateway reaches it: `phonebook-gateway check --probe`.",
            &[("montreal", 30), ("quebec", 14)],
        ),
        refused(
            "upstream-timeout",
            504,
            13,
            "XiVO answered too late: look at its load and its database.",
            &[("quebec", 13)],
        ),
        refused("private-path", 403, 12, "Nothing: `private` is XiVO's own realm.", &[("-", 12)]),
        refused(
            "bad-argument",
            400,
            5,
            "Mend the URL in the phonebook's settings on that XiVO.",
            &[("laval", 5)],
        ),
        refused(
            "certificate-mismatch",
            403,
            2,
            "Compare the policy's `[certificate]` with `whoami`.",
            &[("lyon", 2)],
        ),
    ]
}

fn limited() -> Vec<Limited> {
    vec![
        Limited {
            peer: "montreal".into(),
            limit: Some("peer".into()),
            count: 92,
            first: at(14, 3, 9),
            last: at(14, 41, 50),
            busiest_second: Some(PerHour { begin: at(14, 5, 30), count: 38 }),
            present: Some(Quota { per_second: 10, burst: 20 }),
            sufficient: vec![
                Quota { per_second: 10, burst: 55 },
                Quota { per_second: 20, burst: 38 },
                Quota { per_second: 38, burst: 38 },
            ],
        },
        Limited {
            peer: "-".into(),
            limit: Some("unknown".into()),
            count: 3,
            first: at(3, 12, 0),
            last: at(3, 12, 1),
            busiest_second: Some(PerHour { begin: at(3, 12, 0), count: 8 }),
            present: None,
            sufficient: Vec::new(),
        },
    ]
}

fn unknown() -> Unknown {
    let stranger = |address: &str, requests, lookups, user_agent: Option<&str>| Stranger {
        address: address.to_owned(),
        requests,
        error: requests / 70,
        first: at(7, 40, 0),
        last: at(17, 3, 21),
        lookups,
        private: lookups / 12,
        user_agent: user_agent.map(str::to_owned),
        policy: None,
        known_by_now: None,
    };
    let policy = "hosts = [\"198.51.100.23\"]\ndescription = \"asked 148 times on 2026-11-22\"\n";
    Unknown {
        requests: 171,
        addresses: 4,
        callers: vec![
            Stranger { policy: Some(policy.into()), ..stranger("198.51.100.23", 148, 148, None) },
            Stranger {
                known_by_now: Some("laval".into()),
                ..stranger("203.0.113.9", 14, 14, None)
            },
            stranger("192.0.2.200", 8, 0, Some("Mozilla/5.0 zgrab/0.x")),
            stranger("2001:db8:77::b4d", 1, 0, Some("curl/8.5.0")),
        ],
    }
}

fn input() -> Input {
    Input {
        files: vec![
            File { name: "/var/log/phonebook-gateway/access.log.1.gz".into(), format: "gateway".into(), lines: 1_402 },
            File { name: "/var/log/phonebook-gateway/access.log".into(), format: "gateway".into(), lines: 1_937 },
        ],
        lines: 3_339,
        filtered: 0,
        unreadable: 3,
        unreadable_samples: vec![
            Sample {
                file: "/var/log/phonebook-gateway/access.log".into(),
                line: 812,
                text: "192.0.2.4 - quebec [22/Nov/2026:09:".into(),
                why: "the line ends within $time_local".into(),
            },
            Sample {
                file: "/var/log/phonebook-gateway/access.log".into(),
                line: 813,
                text: "\\x00\\x00\\x00\\x00".into(),
                why: "`$remote_addr` is no address".into(),
            },
        ],
        reasons_inferred: 0,
        configuration: Some("/etc/phonebook-gateway/gateway.toml".into()),
        notes: vec!["The policy `/etc/phonebook-gateway/policies/nantes.toml` cannot be read and was left out.".into()],
    }
}

fn totals() -> Totals {
    Totals {
        first: Some(at(5, 12, 9)),
        last: Some(at(21, 40, 2)),
        requests: 3_336,
        answered: 2_928,
        refused: 346,
        limited: 95,
        failed: 57,
        left: 5,
        body_bytes: 5_902_114,
        statuses: vec![
            count(200, 2_900),
            count(204, 28),
            count(400, 5),
            count(403, 246),
            count(429, 95),
            count(499, 5),
            count(502, 44),
            count(504, 13),
        ],
        addresses: 12,
        terms: 1_018,
    }
}

fn harvests() -> Vec<Harvest> {
    vec![
        Harvest {
            peer: "lyon".into(),
            kind: HarvestKind::Alphabetical,
            begin: at(19, 2, 0),
            end: at(19, 20, 41),
            terms: 312,
            range: Some(("aa".into(), "lz".into())),
        },
        Harvest {
            peer: "montreal".into(),
            kind: HarvestKind::Volume,
            begin: at(14, 0, 0),
            end: at(14, 59, 58),
            terms: 264,
            range: None,
        },
    ]
}

/// The report.
pub(crate) fn report() -> Report {
    let mut peers = vec![
        peer("montreal", 480, [92, 92, 30, 2], [24, 88, 140, 611]),
        peer("quebec", 310, [58, 0, 27, 3], [31, 130, 1_204, 4_120]),
        peer("lyon", 92, [5, 0, 0, 0], [112, 180, 240, 390]),
        peer("laval", 54, [5, 0, 0, 0], [19, 60, 71, 80]),
        peer("branch-office", 11, [0, 0, 0, 0], [17, 30, 33, 33]),
    ];
    peers[4].answer_times = None;
    Report {
        schema: SCHEMA,
        generated: at(23, 0, 0),
        input: input(),
        totals: totals(),
        buckets: buckets(),
        hour_of_day: DAY.to_vec(),
        peers,
        refusals: refusals(),
        limited: limited(),
        answer_times: times(
            [2, 31, 120, 402, 1_388, 870, 301, 140, 40, 11, 6, 1, 0],
            [27, 118, 402, 4_120],
        ),
        unknown: unknown(),
        silent: vec![
            Silent {
                peer: "sherbrooke".into(),
                last: Some(at(8, 14, 55)),
                silence: Some(48_307),
                longest_gap: Some(2_710),
                requests: 44,
            },
            Silent {
                peer: "rimouski".into(),
                last: None,
                silence: None,
                longest_gap: None,
                requests: 0,
            },
        ],
        harvests: harvests(),
        upstream: Upstream {
            failed: 57,
            reasons: vec![named("upstream-unreachable", 44), named("upstream-timeout", 13)],
            outages: vec![
                Outage { begin: at(10, 2, 7), end: at(10, 19, 30), failed: 52 },
                Outage { begin: at(10, 44, 0), end: at(10, 44, 20), failed: 5 },
            ],
            answer_times: times(
                [2, 31, 110, 300, 1_300, 810, 280, 133, 39, 11, 6, 1, 0],
                [26, 114, 398, 4_120],
            ),
        },
    }
}

/// A report of nothing.
pub(crate) fn empty() -> Report {
    Report {
        schema: SCHEMA,
        generated: at(23, 0, 0),
        input: Input {
            files: vec![File {
                name: "standard input".into(),
                format: "combined".into(),
                lines: 0,
            }],
            lines: 0,
            filtered: 0,
            unreadable: 0,
            unreadable_samples: Vec::new(),
            reasons_inferred: 0,
            configuration: None,
            notes: Vec::new(),
        },
        totals: Totals::default(),
        buckets: Buckets { seconds: 3600, list: Vec::new() },
        hour_of_day: vec![0; 24],
        peers: Vec::new(),
        refusals: Vec::new(),
        limited: Vec::new(),
        answer_times: None,
        unknown: Unknown::default(),
        silent: Vec::new(),
        harvests: Vec::new(),
        upstream: Upstream::default(),
    }
}

#[test]
fn the_sample_agrees_with_itself() {
    let report = report();
    let totals = &report.totals;
    assert_eq!(totals.requests, DAY.iter().sum::<u64>());
    assert_eq!(
        totals.requests,
        report.buckets.list.iter().map(|bucket| bucket.requests).sum::<u64>()
    );
    assert_eq!(totals.requests, totals.answered + totals.refused + totals.failed + totals.left);
    assert_eq!(totals.requests, totals.statuses.iter().map(|status| status.count).sum::<u64>());
    assert_eq!(
        totals.refused + totals.failed,
        report.refusals.iter().map(|refused| refused.count).sum::<u64>()
    );
    assert_eq!(report.input.lines, totals.requests + report.input.unreadable);
    let files: u64 = report.input.files.iter().map(|file| file.lines).sum();
    assert_eq!(report.input.lines, files);
}
