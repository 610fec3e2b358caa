//! A week of 200,000 lines of twelve peers whose truth is known to the unit: `report` tells it, from one file or from
//! many, in any order of lines and files, on one thread or on two, in a mixed set of plain, gzip and zstd.
//!
//! Each packing alone, and each wrapping in both of the gateway's formats, whole on one thread and in shuffled parts of
//! a mixed set on two, has a smaller week: the same events among less everyday work.

#[cfg(test)]
mod carried;
#[cfg(test)]
mod week;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::run;
use carried::{CARRIERS, PACKINGS};
use week::{Asked, Week};

/// Everyday lookups of a week that is read many times.
const LITTLE: u64 = 500;

/// The report of these files, without what tells them apart.
fn report(directory: &Path, words: &[&str]) -> Value {
    let run = run(directory, &[&["report", "--json"], words].concat());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{words:?}");
    let mut report: Value = serde_json::from_str(&run.stdout).unwrap();
    report["generated"] = Value::Null;
    report["input"]["files"] = Value::Null;
    report
}

/// A directory with the files of a week, and what is told of it.
struct Told {
    directory: TempDir,
    report: Value,
}

impl Told {
    /// The truth, of one plain file that one thread has read.
    fn of(week: &Week, lines: &[String]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("whole.log"), lines.concat()).unwrap();
        let report = report(directory.path(), &["--threads", "1", "whole.log"]);
        is_true(&report, week);
        Self { directory, report }
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.directory.path().join(name), content).unwrap();
    }

    fn is_told_of(&self, words: &[&str], what: &str) {
        let other = report(self.directory.path(), words);
        for (part, value) in self.report.as_object().unwrap() {
            // A line in several records is several lines of its file.
            if part == "input" && what.contains("records") {
                assert_eq!(other[part]["unreadable"], value["unreadable"], "{what}");
                continue;
            }
            assert_eq!(other[part], *value, "{part}: {what}: {words:?}");
        }
    }
}

/// The part of a list that has this name.
fn of<'r>(list: &'r Value, key: &str, name: &str) -> &'r Value {
    let found = list.as_array().unwrap().iter().find(|it| it[key] == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

fn bare(week: &Week) -> Vec<String> {
    week.asked.iter().map(|asked| asked.line() + "\n").collect()
}

#[test]
fn a_week_is_told_to_the_unit_however_it_is_handed_over() {
    let week = Week::of(190_000);
    assert!(week.asked.len() >= 200_000, "{}", week.asked.len());
    let lines = bare(&week);
    let told = Told::of(&week, &lines);
    told.is_told_of(&["--threads", "2", "whole.log"], "whole");
    let piece = lines.len() / 4 + 1;
    for (number, piece) in lines.chunks(piece).enumerate() {
        told.write(&format!("piece.{number}"), piece.concat().as_bytes());
    }
    told.is_told_of(
        &["--threads", "2", "piece.2", "piece.0", "piece.3", "piece.1"],
        "in four pieces",
    );
    // As two gateways have it, each in the order of time; and in no order at all.
    let mut random = week::Random(3);
    let mut dealt = [String::new(), String::new()];
    lines.iter().for_each(|line| dealt[random.below(2) as usize].push_str(line));
    told.write("one.log", dealt[0].as_bytes());
    told.write("two.log", dealt[1].as_bytes());
    told.is_told_of(&["--threads", "2", "two.log", "one.log"], "of two gateways");
    let mut shuffled: Vec<&str> = lines.iter().map(String::as_str).collect();
    random.shuffle(&mut shuffled);
    // Each part is packed in another way, as what rotates logs leaves it.
    let mut names = Vec::new();
    for (part, (end, pack)) in shuffled.chunks(lines.len() / PACKINGS.len() + 1).zip(PACKINGS) {
        names.push(format!("part.log{end}"));
        told.write(&names[names.len() - 1], &pack(part.concat().as_bytes()));
    }
    for threads in ["1", "2"] {
        random.shuffle(&mut names);
        let words: Vec<&str> =
            ["--threads", threads].into_iter().chain(names.iter().map(String::as_str)).collect();
        told.is_told_of(&words, "a mixed set");
    }
}

#[test]
fn a_week_is_told_to_the_unit_however_it_is_packed() {
    let week = Week::of(LITTLE);
    let lines = bare(&week);
    let told = Told::of(&week, &lines);
    for (end, pack) in PACKINGS {
        told.write(&format!("packed.log{end}"), &pack(lines.concat().as_bytes()));
        for threads in ["1", "2"] {
            told.is_told_of(&["--threads", threads, &format!("packed.log{end}")], "whole");
        }
    }
}

#[test]
fn a_week_is_told_to_the_unit_whatever_has_carried_its_lines() {
    let week = Week::of(LITTLE);
    let told = Told::of(&week, &bare(&week));
    let mut random = week::Random(7);
    let line = |number: usize, asked: &Asked| match number {
        // The gateway's two formats say the same.
        0 => asked.line(),
        _ => asked.json_line(),
    };
    for (what, carrier) in CARRIERS {
        let mut text = String::from("\u{feff}");
        week.asked.iter().for_each(|asked| text += &carrier(asked, &line(0, asked)));
        told.write("whole.carried", text.as_bytes());
        told.is_told_of(&["--threads", "1", "whole.carried"], what);
        // And in parts, each packed in another way, in no order, some in the other format.
        let mut shuffled: Vec<&Asked> = week.asked.iter().collect();
        random.shuffle(&mut shuffled);
        let mut names = Vec::new();
        let parts = shuffled.chunks(week.asked.len() / PACKINGS.len() + 1).zip(PACKINGS);
        for (number, (part, (end, pack))) in parts.enumerate() {
            let text: String =
                part.iter().map(|asked| carrier(asked, &line(number % 2, asked))).collect();
            names.push(format!("carried{end}"));
            told.write(&names[number], &pack(text.as_bytes()));
        }
        random.shuffle(&mut names);
        let words: Vec<&str> =
            ["--threads", "2"].into_iter().chain(names.iter().map(String::as_str)).collect();
        told.is_told_of(&words, what);
    }
    // Each line by another carrier, in either format: a receiver's file of many hosts.
    let whole_lines: Vec<_> =
        CARRIERS.iter().filter(|(what, _)| !what.contains("records")).collect();
    let text = week.asked.iter().fold(String::new(), |text, asked| {
        let (_, carrier) = whole_lines[random.below(whole_lines.len() as u64) as usize];
        text + &carrier(asked, &line(random.below(2) as usize, asked))
    });
    told.write("mixed.log", text.as_bytes());
    told.is_told_of(&["--threads", "2", "mixed.log"], "each line by another one");
}

fn is_true(told: &Value, week: &Week) {
    let all: Vec<&Asked> = week.asked.iter().collect();
    let totals = &told["totals"];
    assert_eq!(told["input"]["notes"], json!([]));
    assert_eq!(figures(totals), truth(&all));
    assert_eq!(totals["addresses"], distinct(&all, |it| Some(it.address.clone())));
    let peers: Vec<&Asked> = all.iter().copied().filter(|it| it.peer != "-").collect();
    assert_eq!(totals["terms"], distinct(&peers, Asked::term));
    assert_eq!(totals["not_in_time"], not_in_time(&all));
    let mut names: BTreeMap<&str, Vec<&Asked>> = BTreeMap::new();
    peers.iter().for_each(|it| names.entry(&it.peer).or_default().push(it));
    assert_eq!(told["peers"].as_array().unwrap().len(), 12);
    for (name, asked) in &names {
        let peer = of(&told["peers"], "name", name);
        assert_eq!(figures(peer), truth(asked), "{name}");
        assert_eq!(peer["terms"], distinct(asked, Asked::term), "{name}");
        assert_eq!(peer["not_in_time"], not_in_time(asked), "{name}");
        let sum =
            |list: &Value| list.as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!(asked.len() as u64, sum(&peer["buckets"]), "{name}");
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    all.iter()
        .filter(|it| it.status >= 400)
        .for_each(|it| *reasons.entry(it.reason).or_default() += 1);
    let found = told["refusals"].as_array().unwrap().iter();
    let found: BTreeMap<&str, u64> =
        found.map(|it| (it["reason"].as_str().unwrap(), it["count"].as_u64().unwrap())).collect();
    assert_eq!(found, reasons);
    times(told, &all);
    course(told, &all, &names);
    unknown_callers(told, &all);
}

const FIGURES: [&str; 7] =
    ["requests", "answered", "refused", "limited", "failed", "left", "body_bytes"];

fn figures(of: &Value) -> Vec<u64> {
    FIGURES.iter().map(|name| of[name].as_u64().unwrap()).collect()
}

fn truth(asked: &[&Asked]) -> Vec<u64> {
    let count = |is: &dyn Fn(u16) -> bool| asked.iter().filter(|it| is(it.status)).count() as u64;
    let bytes = asked.iter().map(|it| it.bytes()).sum();
    vec![
        asked.len() as u64,
        count(&|status| status < 400),
        count(&|status| (400..499).contains(&status)),
        count(&|status| status == 429),
        count(&|status| status >= 500),
        count(&|status| status == 499),
        bytes,
    ]
}

fn distinct(asked: &[&Asked], of: impl Fn(&Asked) -> Option<String>) -> u64 {
    asked.iter().filter_map(|it| of(it)).collect::<std::collections::HashSet<_>>().len() as u64
}

fn not_in_time(asked: &[&Asked]) -> Value {
    let count = |is: &dyn Fn(&Asked) -> bool| asked.iter().filter(|it| is(it)).count() as u64;
    let by_text = count(&|it| it.status < 400 && !it.is_number && it.millis > 2900);
    let by_number = count(&|it| it.status < 400 && it.is_number && it.millis > 1000);
    let (timed_out, left) = (count(&|it| it.status == 504), count(&|it| it.status == 499));
    json!({
        "lookups": count(&Asked::reached_xivo),
        "total": by_text + by_number + timed_out + left,
        "late_by_text": by_text,
        "late_by_number": by_number,
        "timed_out": timed_out,
        "left": left,
    })
}

fn times(told: &Value, all: &[&Asked]) {
    let mut reached: Vec<u64> =
        all.iter().filter(|it| it.reached_xivo()).map(|it| it.millis).collect();
    reached.sort_unstable();
    let times = &told["answer_times"];
    let bounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, u64::MAX];
    let mut histogram = [0_u64; 13];
    for time in &reached {
        histogram[bounds.iter().position(|bound| time <= bound).unwrap()] += 1;
    }
    assert_eq!(times["histogram"], json!(histogram));
    assert_eq!((&times["count"], &times["max"]), (&json!(reached.len()), &json!(reached.last())));
    let late = reached.iter().filter(|time| **time > 1000).count();
    assert_eq!(times["late"], late);
    for (name, part) in [("p50", 50), ("p95", 95), ("p99", 99)] {
        let exact = reached[(reached.len() * part).div_ceil(100) - 1];
        let told = times[name].as_u64().unwrap();
        assert!(told.abs_diff(exact) <= exact / 100, "{name}: {told}, and it is {exact}");
    }
    let others = all.iter().filter(|it| !it.reached_xivo()).count();
    assert_eq!(told["refusal_times"]["count"], others);
}

/// What depends on the order of time.
fn course(told: &Value, all: &[&Asked], peers: &BTreeMap<&str, Vec<&Asked>>) {
    let mut outages: Vec<(i64, i64, u64)> = Vec::new();
    for failed in all.iter().filter(|it| it.status >= 500) {
        match outages.last_mut() {
            Some((_, end, count)) if *end + 60 >= failed.unix => {
                (*end, *count) = (failed.unix, *count + 1);
            }
            _ => outages.push((failed.unix, failed.unix, 1)),
        }
    }
    assert!(outages.len() > 110, "{}", outages.len());
    outages.sort_by_key(|&(begin, end, failed)| (std::cmp::Reverse((failed, end - begin)), begin));
    let found: Vec<_> = told["upstream"]["outages"].as_array().unwrap().iter().collect();
    let expected: Vec<Value> = outages
        .iter()
        .map(|&(begin, end, failed)| json!({"begin": week::iso(begin), "end": week::iso(end), "failed": failed}))
        .collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>());
    assert_eq!(found[0]["failed"], 900, "the worst one is first");

    let limited = &told["limited"];
    let mut seconds: BTreeMap<i64, u64> = BTreeMap::new();
    peers["site-03"].iter().for_each(|it| *seconds.entry(it.unix).or_default() += 1);
    let (second, most) = seconds.iter().rev().max_by_key(|(_, count)| **count).unwrap();
    let site = of(limited, "peer", "site-03");
    assert_eq!(site["busiest_second"], json!({"begin": week::iso(*second), "count": most}));
    for quota in site["sufficient"].as_array().unwrap() {
        let [rate, burst] = ["per_second", "burst"].map(|name| quota[name].as_i64().unwrap());
        let mut level = (0, 0);
        for (second, count) in &seconds {
            level = (*second, (level.1 - rate * (second - level.0)).max(0) + count.cast_signed());
            assert!(level.1 <= burst, "{quota} at {second}");
        }
    }

    let silent = told["silent"].as_array().unwrap();
    assert_eq!(silent.len(), 1, "{silent:?}");
    let last = peers["site-12"].last().unwrap().unix;
    assert_eq!(silent[0]["peer"], "site-12");
    assert_eq!(silent[0]["silence"], all.last().unwrap().unix - last);
    let gaps = peers["site-12"].windows(2).map(|two| two[1].unix - two[0].unix);
    assert_eq!(silent[0]["longest_gap"], gaps.max().unwrap());

    // One harvest, and no rush hour; who types is no harvester.
    let harvests = told["harvests"].as_array().unwrap();
    assert_eq!(harvests.len(), 1, "{harvests:?}");
    assert_eq!((&harvests[0]["peer"], &harvests[0]["terms"]), (&json!("site-07"), &json!(676)));
    assert_eq!(harvests[0]["range"], json!(["aa", "zz"]));
    repeats(told, all);
}

fn repeats(told: &Value, all: &[&Asked]) {
    let lookups: Vec<&Asked> = all.iter().copied().filter(|it| it.reached_xivo()).collect();
    let repeats = &told["repeats"];
    assert_eq!(repeats["lookups"], lookups.len());
    for (at, seconds) in [5, 60, 300].into_iter().enumerate() {
        let mut got: [BTreeMap<(String, &str), i64>; 2] = Default::default();
        let mut hits = [0_u64; 2];
        for asked in &lookups {
            for (which, peer) in ["", asked.peer.as_str()].into_iter().enumerate() {
                let key = (asked.term().unwrap(), peer);
                match got[which].get(&key) {
                    Some(then) if asked.unix - then <= seconds => hits[which] += 1,
                    _ if asked.status < 400 => drop(got[which].insert(key, asked.unix)),
                    _ => {}
                }
            }
        }
        let within = &repeats["within"][at];
        assert_eq!((&within["any_peer"], &within["same_peer"]), (&json!(hits[0]), &json!(hits[1])));
        let is_large = all.len() >= 200_000;
        assert!(!is_large || hits[1] > 100 && hits[0] > hits[1], "{hits:?}");
    }
    // By the milliseconds that the log does not tell.
    let mut begun: Vec<(i64, i64, String)> = lookups
        .iter()
        .map(|it| (it.end() - it.millis.cast_signed(), it.end(), it.term().unwrap()))
        .collect();
    begun.sort();
    let mut under_way: BTreeMap<&str, i64> = BTreeMap::new();
    let mut joined = 0_u64;
    for (begin, end, term) in &begun {
        let until = under_way.entry(term).or_insert(i64::MIN);
        joined += u64::from(begin < until);
        *until = end.max(until).to_owned();
    }
    let [least, most] =
        ["under_way_at_least", "under_way_at_most"].map(|it| repeats[it].as_u64().unwrap());
    assert!(least <= joined && joined <= most && least >= 40, "{least} {joined} {most}");
}

fn unknown_callers(told: &Value, all: &[&Asked]) {
    let unknown_callers: Vec<&Asked> = all.iter().copied().filter(|it| it.peer == "-").collect();
    let unknown = &told["unknown"];
    assert_eq!(unknown["requests"], unknown_callers.len());
    assert_eq!(unknown["addresses"], 196);
    assert_eq!(unknown["callers"].as_array().unwrap().len(), 196, "all of them are told");
    assert_eq!(unknown["callers_left_out"], 0);
    let xivo = of(&unknown["callers"], "address", "198.51.100.23");
    assert_eq!((&xivo["requests"], &xivo["lookups"]), (&json!(60), &json!(60)));
    assert!(xivo["policy"].as_str().unwrap().contains("hosts = [\"198.51.100.23\"]"));
    let with_policy =
        unknown["callers"].as_array().unwrap().iter().filter(|it| !it["policy"].is_null());
    assert_eq!(with_policy.count(), 1);
    let networks = unknown["networks"].as_array().unwrap();
    let networks: Vec<_> = networks
        .iter()
        .map(|it| (it["network"].as_str().unwrap(), it["addresses"].as_u64()))
        .collect();
    assert_eq!(networks, [("203.0.113.0/24", Some(150)), ("2001:db8:bad::/48", Some(45))]);
}
