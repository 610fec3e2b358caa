//! The wall, proven: each request of the corpus gets the verdict that its label demands, however it is cut into
//! segments, and nothing reaches the upstream but requests as the gateway itself writes them.

pub(crate) mod case;
pub(crate) mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use case::{Case, Expect};
use verdict::{Outcome, judge};

use crate::support::{
    process::becomes_true,
    rig::{Rig, connect},
};

/// The corpus. Its README says what the keys mean.
pub(crate) const CORPUS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/requests.jsonl"));

/// Gateways that run cases at the same time.
const RIGS: usize = 4;

/// A case of at most so many bytes is sent one byte at a time from end to end. Of a longer one so many bytes at the
/// beginning, and a few at the end, come alone and the rest in segments of a thousand: the limits that it is about are
/// met long after its form is known.
const SINGLE_BYTES: usize = 600;

/// A head of thousands of lines is cut at so many of its first line ends, and at its last ones.
const CUTS: usize = 40;

#[test]
fn each_request_gets_its_verdict_however_it_is_cut() {
    let cases = case::read(CORPUS);
    assert!(cases.len() >= 698, "the corpus has lost cases: {}", cases.len());
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..RIGS {
            scope.spawn(|| {
                let tally = run_cases(&cases, &next);
                total.lock().unwrap().add(tally);
            });
        }
    });
    let tally = total.into_inner().unwrap();
    writeln!(std::io::stderr(), "corpus: {} cases, {tally}", cases.len()).unwrap();
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
    // The labels are of use only if every kind of them is met, in every way of sending.
    assert_eq!(tally.forwarded[&Expect::Reject], 0);
    assert!(tally.forwarded[&Expect::Accept] > 0 && tally.forwarded[&Expect::ForwardSafe] > 0);
    assert!(tally.runs[&Expect::Reject] > 3 * tally.cases[&Expect::Reject]);
}

/// The premise of the test above: an answered probe means that what was sent before has been read.
#[test]
#[cfg(target_os = "linux")]
fn a_segment_has_been_read_when_the_probe_is_answered() {
    let mut rig = Rig::start("20s");
    stay_on_this_cpu();
    let mut client = connect(rig.address());
    // It must be accepted first.
    rig.let_read();
    let (local, peer) = (client.local_addr().unwrap().port(), rig.address().port());
    for byte in b"GET /service/ipbx" {
        client.write_all(&[*byte]).unwrap();
        rig.let_read();
        // The table may lack a line while others come and go.
        let mut waiting = None;
        assert!(becomes_true(|| {
            waiting = unread(peer, local);
            waiting.is_some()
        }));
        assert_eq!(waiting, Some(0), "at {:?}", char::from(*byte));
    }
}

/// Keeps the calling thread on one CPU. Each CPU has a queue of its own for what is sent over loopback; only what comes
/// from one of them arrives in the order in which it was sent, on whichever connections.
fn stay_on_this_cpu() {
    #[cfg(target_os = "linux")]
    {
        let mut here = rustix::thread::CpuSet::new();
        here.set(rustix::thread::sched_getcpu());
        rustix::thread::sched_setaffinity(None, &here).unwrap();
    }
}

/// The bytes that wait in the kernel for the side of a loopback connection that has the port `at`.
#[cfg(target_os = "linux")]
fn unread(at: u16, from: u16) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_it = columns.get(1)?.ends_with(&format!(":{at:04X}"))
            && columns.get(2)?.ends_with(&format!(":{from:04X}"));
        is_it.then(|| u64::from_str_radix(columns[4].split_once(':').unwrap().1, 16).unwrap())
    })
}

/// Takes cases until there are none, on gateways of its own.
fn run_cases(cases: &[Case], next: &AtomicUsize) -> Tally {
    // A head may take as long as it likes, except where the label says that the gateway must lose patience.
    let mut patient = Rig::start("60s");
    let mut hasty = Rig::start("250ms");
    stay_on_this_cpu();
    let mut tally = Tally::default();
    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
        *tally.cases.entry(case.expect).or_default() += 1;
        for (way, cuts) in ways(case) {
            let rig = if case.hold { &mut hasty } else { &mut patient };
            let run = rig.run(segments(&case.raw, &cuts), case.hold);
            *tally.runs.entry(case.expect).or_default() += 1;
            *tally.forwarded.entry(case.expect).or_default() += run.upstream.heads.len();
            match judge(case, &run) {
                Ok(Outcome { reason, .. }) => *tally.reasons.entry(reason).or_default() += 1,
                Err(why) => tally.failures.push(format!("{} ({way}): {why}", case.id)),
            }
        }
    }
    // A byte upstream that came late was counted against a later request, or is left over now.
    let good = cases.iter().find(|case| case.id == "ok-search").unwrap();
    for rig in [&mut patient, &mut hasty] {
        let run = rig.run([good.raw.as_slice()], false);
        if let Err(why) = judge(good, &run) {
            tally.failures.push(format!("after all cases: {why}"));
        }
    }
    tally
}

/// How a case is sent: the name of the way, and where the bytes are cut.
fn ways(case: &Case) -> Vec<(String, Vec<usize>)> {
    let len = case.raw.len();
    let mut ways = vec![("whole".to_owned(), Vec::new())];
    if len <= SINGLE_BYTES {
        ways.push(("byte by byte".to_owned(), (1..len).collect()));
    } else {
        let cuts = (1..SINGLE_BYTES).chain((SINGLE_BYTES..len).step_by(1000)).chain(len - 64..len);
        let cuts: BTreeSet<usize> = cuts.collect();
        ways.push(("its ends byte by byte".to_owned(), cuts.into_iter().collect()));
    }
    // Behind each line feed, and before it, between the two bytes of a line end.
    let feeds: Vec<usize> = (0..len).filter(|&at| case.raw[at] == b'\n').collect();
    // Each of these runs waits for a timeout.
    let most = if case.hold { 2 } else { CUTS };
    let first = feeds.iter().take(most);
    let last = feeds.iter().skip(most.max(feeds.len().saturating_sub(4)));
    for &at in first.chain(last) {
        for cut in [at, at + 1] {
            if (1..len).contains(&cut) {
                ways.push((format!("cut at {cut}"), vec![cut]));
            }
        }
    }
    ways
}

fn segments<'a>(bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([bytes.len()]);
    starts.zip(ends).map(|(start, end)| &bytes[start..end])
}

/// What came of the runs.
#[derive(Debug, Default)]
struct Tally {
    cases: BTreeMap<Expect, usize>,
    runs: BTreeMap<Expect, usize>,
    forwarded: BTreeMap<Expect, usize>,
    reasons: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        let counts = |mine: &mut BTreeMap<Expect, usize>, theirs: BTreeMap<Expect, usize>| {
            theirs.into_iter().for_each(|(key, count)| *mine.entry(key).or_default() += count);
        };
        counts(&mut self.cases, other.cases);
        counts(&mut self.runs, other.runs);
        counts(&mut self.forwarded, other.forwarded);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.failures.extend(other.failures);
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} runs;", self.runs.values().sum::<usize>())?;
        for (expect, cases) in &self.cases {
            let (runs, forwarded) = (self.runs[expect], self.forwarded[expect]);
            write!(f, " {expect:?}: {cases} cases, {runs} runs, {forwarded} upstream requests;")?;
        }
        write!(f, " first answers: {:?}", self.reasons)
    }
}
