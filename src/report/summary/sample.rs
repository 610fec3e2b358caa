//! Reports for tests: a week of five peers with something of everything, nothing at all, very much, and hostile text.

use super::*;

/// This number of seconds after the sample's beginning.
pub(crate) fn at(seconds: i64) -> LocalTime {
    LocalTime { unix: MONDAY + seconds, offset: -300 }
}

/// A week of five peers, in which everything happened that a report tells of.
pub(crate) fn report() -> Report {
    week_of(&[
        ("xivo-montreal", 420),
        ("xivo-québec", 180),
        ("xivo-toronto", 95),
        ("198.51.100.23", 12),
        ("xivo-the-one-with-the-name-of-sixty-four-characters-0123456789-a", 3),
    ])
}

/// The report of an empty log.
pub(crate) fn empty() -> Report {
    Report {
        schema: SCHEMA,
        generated: at(8 * 86_400),
        host: None,
        findings: vec![],
        input: Input {
            files: vec![],
            lines: 0,
            filtered: 0,
            unreadable: 0,
            unreadable_samples: vec![],
            reasons_inferred: 0,
            configuration: None,
            lacking: 0,
            findings: vec![],
            notes: vec![],
        },
        totals: Totals::default(),
        buckets: Buckets::default(),
        hour_of_day: vec![0; 24],
        peers: vec![],
        refusals: vec![],
        limited: vec![],
        answer_times: None,
        refusal_times: None,
        repeats: None,
        unknown: Unknown::default(),
        silent: vec![],
        harvests: vec![],
        upstream: Upstream::default(),
    }
}

/// The week's report with its buckets cut or repeated to this number.
pub(crate) fn with_buckets(count: usize) -> Report {
    let mut report = report();
    let known = std::mem::take(&mut report.buckets.list);
    report.buckets.list = (0..count)
        .map(|hour| Bucket { begin: hours(hour), ..known[hour % known.len()].clone() })
        .collect();
    for peer in &mut report.peers {
        peer.buckets = (0..count).map(|hour| peer.buckets[hour % peer.buckets.len()]).collect();
    }
    report.totals.last = Some(hours(count));
    report
}

/// This number of peers, over this number of hours, and everything else in numbers that no administrator would read.
pub(crate) fn huge(peers: usize, buckets: usize) -> Report {
    let mut report = with_buckets(buckets);
    let model = report.peers[0].clone();
    report.peers = (0..peers)
        .map(|nth| Peer {
            name: format!("xivo-of-the-branch-{nth:04}"),
            requests: model.requests / (nth as u64 + 1),
            ..model.clone()
        })
        .collect();
    let repeat = |length: usize| (0..peers * 2).map(move |nth| nth % length);
    report.refusals = repeat(report.refusals.len()).map(|n| report.refusals[n].clone()).collect();
    report.limited = repeat(report.limited.len()).map(|n| report.limited[n].clone()).collect();
    report.silent = repeat(report.silent.len()).map(|n| report.silent[n].clone()).collect();
    report.harvests = repeat(report.harvests.len()).map(|n| report.harvests[n].clone()).collect();
    let callers = std::mem::take(&mut report.unknown.callers);
    report.unknown.callers = repeat(callers.len()).map(|n| callers[n].clone()).collect();
    let outages = std::mem::take(&mut report.upstream.outages);
    report.upstream.outages = repeat(outages.len()).map(|n| outages[n].clone()).collect();
    let samples = std::mem::take(&mut report.input.unreadable_samples);
    report.input.unreadable_samples = repeat(samples.len()).map(|n| samples[n].clone()).collect();
    report
}

/// The week's report with [`HOSTILE`] in every field that holds text.
pub(crate) fn hostile() -> Report {
    filled(HOSTILE)
}

/// The week's report with this in every field that holds text.
pub(crate) fn filled(text: &str) -> Report {
    let mut report = report();
    let text = || text.to_owned();
    let input = &mut report.input;
    input.configuration = Some(text());
    input.notes = vec![text()];
    input.findings = vec![text()];
    report.host = Some(text());
    for finding in &mut report.findings {
        (finding.text, finding.advice, finding.paste) = (text(), Some(text()), Some(text()));
    }
    let input = &mut report.input;
    for file in &mut input.files {
        (file.name, file.format) = (text(), text());
    }
    for sample in &mut input.unreadable_samples {
        (sample.file, sample.text, sample.why) = (text(), text(), text());
    }
    for peer in &mut report.peers {
        (peer.name, peer.description, peer.policy) = (text(), Some(text()), Some(text()));
        peer.actions.iter_mut().for_each(|action| action.value = text());
    }
    for refused in &mut report.refusals {
        (refused.reason, refused.remedy, refused.example) = (text(), text(), Some(text()));
        refused.callers.iter_mut().for_each(|caller| caller.value = text());
    }
    for limited in &mut report.limited {
        (limited.peer, limited.limit) = (text(), Some(text()));
    }
    for caller in &mut report.unknown.callers {
        caller.address = text();
        (caller.user_agent, caller.policy) = (Some(text()), Some(text()));
    }
    report.unknown.callers[1].known_by_now = Some(text());
    report.unknown.networks.iter_mut().for_each(|network| network.network = text());
    report.silent.iter_mut().for_each(|silent| silent.peer = text());
    for harvest in &mut report.harvests {
        (harvest.peer, harvest.range) = (text(), Some((text(), text())));
    }
    report.upstream.reasons.iter_mut().for_each(|reason| reason.value = text());
    report
}

fn hours(count: usize) -> LocalTime {
    at(count as i64 * 3600)
}

/// How busy an office is at this hour of the week, of 100.
fn busy(hour: usize) -> u64 {
    const DAY: [u64; 24] =
        [1, 0, 0, 0, 1, 2, 8, 35, 78, 96, 100, 88, 52, 74, 92, 90, 81, 55, 28, 12, 6, 4, 2, 1];
    let weekend = matches!(hour / 24, 5 | 6);
    let noise = (hour as u64 * 7919 + 13) % 11;
    (DAY[hour % 24] * (95 + noise) / 100) / if weekend { 9 } else { 1 }
}

fn week_of(names: &[(&str, u64)]) -> Report {
    let peers: Vec<_> = names.iter().map(|&(name, scale)| peer(name, scale)).collect();
    let list: Vec<_> = (0..168).map(|hour| bucket(hour, &peers)).collect();
    let sum = |of: fn(&Bucket) -> u64| list.iter().map(of).sum::<u64>();
    let (requests, refused, failed) = (sum(|b| b.requests), sum(|b| b.refused), sum(|b| b.failed));
    let totals = Totals {
        first: Some(at(312)),
        last: Some(at(7 * 86_400 - 41)),
        requests,
        answered: requests - refused - failed - 17,
        refused,
        limited: sum(|b| b.limited),
        failed,
        left: 17,
        body_bytes: 1_437_226_911,
        statuses: [(200, requests - refused - failed - 4017), (304, 4000), (403, 1204), (499, 17)]
            .into_iter()
            .chain([(429, sum(|b| b.limited)), (502, 31), (504, failed - 31)])
            .map(|(value, count)| Count { value, count })
            .collect(),
        addresses: 41,
        terms: 8_412,
        persons: Some(5_120),
        not_in_time: NotInTime {
            lookups: requests - refused,
            total: 40 + 12 + failed - 31 + 17,
            late_by_text: 12,
            late_by_number: 40,
            timed_out: failed - 31,
            left: 17,
        },
        before: Some(Before {
            begin: at(-7 * 86_400),
            end: at(0),
            requests: requests + 1_200,
            refused: refused / 2,
            failed: 4,
            not_in_time: 21,
        }),
    };
    let hour_of_day =
        (0..24).map(|h| list.iter().skip(h).step_by(24).map(|b| b.requests).sum()).collect();
    Report {
        generated: at(7 * 86_400 + 22_000),
        host: Some("xivo-paris".to_owned()),
        findings: findings(),
        input: input(requests),
        totals,
        buckets: Buckets { seconds: 3600, list },
        hour_of_day,
        answer_times: Some(times(requests - refused)),
        refusal_times: Some(times(refused)),
        repeats: Some(repeats(requests - refused)),
        peers,
        refusals: refusals(),
        limited: limited(),
        unknown: unknown(),
        silent: silent(),
        harvests: harvests(),
        upstream: Upstream {
            failed,
            reasons: vec![
                Count { value: "upstream-timeout".to_owned(), count: failed - 31 },
                Count { value: "upstream-unreachable".to_owned(), count: 31 },
            ],
            outages: vec![
                Outage { begin: at(123_000), end: at(124_320), failed: 120 },
                Outage { begin: at(397_512), end: at(397_520), failed: 3 },
                Outage { begin: at(401_000), end: at(401_000), failed: 1 },
                Outage { begin: at(490_000), end: at(490_000), failed: 1 },
            ],
            outages_left_out: 0,
            answer_times: Some(times(requests - refused - failed)),
        },
        ..empty()
    }
}

fn bucket(hour: usize, peers: &[Peer]) -> Bucket {
    let known: u64 = peers.iter().map(|peer| peer.buckets[hour]).sum();
    let unknown = [2, 9, 0, 4][hour % 4];
    let limited = if matches!(hour, 33 | 34 | 82) { 104 } else { 0 };
    let failed = match hour {
        34 => 120,
        110 => 3,
        _ => 0,
    };
    Bucket {
        begin: hours(hour),
        requests: known + unknown + limited + failed,
        refused: unknown + limited,
        limited,
        failed,
        left: 0,
        late: failed + u64::from(hour % 13 == 9),
        not_in_time: failed,
    }
}

fn peer(name: &str, scale: u64) -> Peer {
    let buckets: Vec<_> = (0..168).map(|hour| busy(hour) * scale / 100).collect();
    let requests = buckets.iter().sum();
    let limited = if scale == 180 { 312 } else { 0 };
    Peer {
        name: name.to_owned(),
        is_address: name.starts_with(char::is_numeric),
        of_this_host: None,
        description: (scale == 420).then(|| "The head office, 3rd floor".to_owned()),
        first: at(25_312),
        last: at(7 * 86_400 - 3_041),
        requests,
        answered: requests - limited,
        refused: limited,
        limited,
        failed: if scale == 420 { 123 } else { 0 },
        left: scale / 60,
        body_bytes: requests * 21_000,
        actions: vec![
            Count { value: "search".to_owned(), count: requests - requests / 9 },
            Count { value: "view".to_owned(), count: requests / 9 },
        ],
        addresses: 1 + scale / 100,
        terms: requests / 3,
        persons: Some(requests / 5),
        private: 0,
        not_in_time: NotInTime {
            lookups: requests - limited,
            total: scale / 20,
            late_by_number: scale / 20,
            ..NotInTime::default()
        },
        repeats: Some(repeats(requests - limited)),
        policy: None,
        terms_per_hour: Some(PerHour { begin: at(122_400), count: scale * 2 / 3 + 1 }),
        answer_times: Some(times(requests)),
        hour_of_day: (0..24).map(|h| buckets.iter().skip(h).step_by(24).sum()).collect(),
        buckets,
    }
}

fn repeats(lookups: u64) -> Repeats {
    let within = |seconds, any_peer| Within { seconds, same_peer: any_peer * 3 / 4, any_peer };
    Repeats {
        lookups,
        within: vec![within(5, lookups / 50), within(60, lookups / 12), within(300, lookups / 6)],
        under_way_at_least: Some(lookups / 400),
        under_way_at_most: Some(lookups / 90),
    }
}

fn findings() -> Vec<Finding> {
    let finding = |kind, text: &str, advice: &str, paste: Option<&str>| Finding {
        kind,
        text: text.to_owned(),
        advice: Some(advice.to_owned()),
        paste: paste.map(str::to_owned),
    };
    vec![
        finding(
            FindingKind::Failed,
            "XiVO failed 125 requests (0.2 %) in 4 stretches; the worst was Tue 2026-11-17 10:10 to 10:32: 120 requests.",
            "Most often `upstream-timeout`: look at its web server.",
            None,
        ),
        finding(
            FindingKind::Limited,
            "xivo-qu\u{e9}bec was limited 312 times by its rate.",
            "With this line in `policies/xivo-qu\u{e9}bec.toml` it would not have been:",
            Some("rate = { per_second = 10, burst = 37 }"),
        ),
        finding(
            FindingKind::Unknown,
            "203.0.113.7 is in no policy and asks as a XiVO does: 612 lookups.",
            "If it is yours, write `policies/xivo-203.0.113.7.toml`:",
            Some("hosts = [\"203.0.113.7\"]\nactions = [\"search\"]\n"),
        ),
    ]
}

fn times(count: u64) -> AnswerTimes {
    let shares = [0, 2, 31, 210, 340, 240, 110, 40, 15, 6, 3, 2];
    let mut histogram: Vec<u64> = shares.iter().map(|share| count * share / 1000).collect();
    let late = histogram[10..].iter().sum::<u64>();
    histogram.push(count - histogram.iter().sum::<u64>());
    let late = late + histogram[12];
    AnswerTimes { count, p50: 17, p95: 118, p99: 640, max: 30_004, late, histogram }
}

fn input(lines: u64) -> Input {
    let file =
        |name: &str, lines| LogFile { name: name.to_owned(), format: "combined".to_owned(), lines };
    Input {
        files: vec![
            file("/var/log/phonebook-gateway/access.log.2.gz", lines / 2),
            file("/var/log/phonebook-gateway/access.log.1", lines / 3),
            file("/var/log/phonebook-gateway/access.log", lines - lines / 2 - lines / 3 + 1_237),
        ],
        lines: lines + 1_237,
        filtered: 1_222,
        unreadable: 15,
        unreadable_samples: vec![
            Sample {
                file: "/var/log/phonebook-gateway/access.log".to_owned(),
                line: 48_112,
                text: "192.168.1.124 - xivo-montreal [16/Nov/2026:09:14:".to_owned(),
                why: "the line ends within `$time_local`".to_owned(),
            },
            Sample {
                file: "/var/log/phonebook-gateway/access.log".to_owned(),
                line: 48_113,
                text: "\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01".to_owned(),
                why: "no ` - ` behind `$remote_addr`".to_owned(),
            },
        ],
        reasons_inferred: 1_204,
        configuration: Some("/etc/phonebook-gateway/gateway.toml".to_owned()),
        lacking: 0,
        findings: vec![],
        notes: vec![
            "1,204 reasons were read from status and target: `combined` has none.".to_owned(),
        ],
    }
}

fn refusals() -> Vec<Refused> {
    let refused = |reason: &str, status, count, remedy: &str, callers: &[(&str, u64)]| {
        Refused {
        reason: reason.to_owned(),
        statuses: vec![status],
        count,
        remedy: remedy.to_owned(),
        callers: callers
            .iter()
            .map(|&(value, count)| Count { value: value.to_owned(), count })
            .collect(),
        callers_left_out: 0,
        last: at(500_000),
        example: Some("GET /service/ipbx/json.php/private/pbx_services/phonebook/?act=search&search=*** HTTP/1.1".to_owned()),
    }
    };
    vec![
        refused(
            "unknown-peer",
            403,
            742,
            "Write a policy for the caller if it is a XiVO of yours; `report` shows one to paste.",
            &[("-", 742)],
        ),
        refused(
            "rate-limited",
            429,
            312,
            "Raise `rate` in the peer's policy, or ask its administrator why it asks so often.",
            &[("xivo-québec", 312)],
        ),
        refused(
            "upstream-timeout",
            504,
            92,
            "XiVO did not answer in time: look at its web server, and at `upstream.timeout` and `upstream.number_timeout`.",
            &[("xivo-montreal", 92)],
        ),
        refused(
            "private-path",
            403,
            57,
            "Tell the administrator of the XiVO that asks to write `restricted` for `private` in the directory's address.",
            &[("xivo-toronto", 55), ("-", 2)],
        ),
        refused(
            "upstream-unreachable",
            502,
            31,
            "Nothing listens at `upstream.url`: is nginx running there?",
            &[("xivo-montreal", 31)],
        ),
        refused(
            "term-too-short",
            403,
            8,
            "Lower `min_search_length` in the peer's policy, or leave it.",
            &[("xivo-montreal", 8)],
        ),
    ]
}

fn limited() -> Vec<Limited> {
    let quota = |per_second, burst| Quota { per_second, burst };
    let limited = |peer: &str, limit: &str, count, sufficient| Limited {
        peer: peer.to_owned(),
        limit: Some(limit.to_owned()),
        count,
        first: at(118_812),
        last: at(298_443),
        busiest_second: Some(PerHour { begin: at(118_812), count: 37 }),
        present: (limit == "peer").then_some(quota(10, 20)),
        sufficient,
    };
    vec![
        limited("xivo-québec", "peer", 312, vec![quota(10, 37), quota(20, 28), quota(37, 20)]),
        limited("-", "unknown", 41, vec![]),
        limited("xivo-toronto", "concurrent", 4, vec![]),
    ]
}

fn unknown() -> Unknown {
    let caller =
        |address: &str, requests, lookups, agent: &str, policy: Option<&str>| UnknownCaller {
            address: address.to_owned(),
            requests,
            error: requests / 40,
            first: at(40_000),
            last: at(590_000),
            lookups,
            private: lookups / 10,
            user_agent: Some(agent.to_owned()),
            policy: policy.map(str::to_owned),
            known_by_now: None,
        };
    let policy = "description = \"asked 612 times from 2026-11-16 to 2026-11-22\"\nhosts = [\"203.0.113.7\"]\nactions = [\"search\"]\nrate = { per_second = 10, burst = 20 }\n";
    let mut known = caller("2001:db8:7::1f", 80, 80, "XiVO Directory", None);
    known.known_by_now = Some("xivo-sherbrooke".to_owned());
    Unknown {
        requests: 742,
        addresses: 36,
        callers: vec![
            caller("203.0.113.7", 612, 612, "python-requests/2.4.3", Some(policy)),
            known,
            caller("192.0.2.200", 21, 0, "Mozilla/5.0 zgrab/0.x", None),
        ],
        callers_left_out: 33,
        networks: vec![Network {
            network: "192.0.2.0/24".to_owned(),
            addresses: 14,
            requests: 41,
            lookups: 0,
            first: at(50_000),
            last: at(590_000),
        }],
        networks_left_out: 0,
    }
}

fn silent() -> Vec<Silent> {
    vec![
        Silent {
            peer: "xivo-toronto".to_owned(),
            last: Some(at(432_000)),
            silence: Some(172_759),
            longest_gap: Some(52_200),
            requests: 4_210,
        },
        Silent {
            peer: "xivo-gaspé".to_owned(),
            last: None,
            silence: None,
            longest_gap: None,
            requests: 0,
        },
    ]
}

fn harvests() -> Vec<Harvest> {
    vec![
        Harvest {
            peer: "198.51.100.23".to_owned(),
            kind: HarvestKind::Alphabetical,
            begin: at(266_400),
            end: at(274_000),
            terms: 676,
            range: Some(("aa".to_owned(), "zz".to_owned())),
        },
        Harvest {
            peer: "xivo-montreal".to_owned(),
            kind: HarvestKind::Volume,
            begin: at(122_400),
            end: at(126_000),
            terms: 1_281,
            range: None,
        },
    ]
}

/// 2026-11-16, midnight at Montreal: a Monday.
const MONDAY: i64 = 1_794_805_200;

/// Text that would do harm if it were not escaped: markup, quotes, bidi controls, and a very long word.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\u{202e}\u{0007}\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA--><!--";
