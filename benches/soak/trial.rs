//! One scenario from start to end: a gateway of its own, quiet, attacked, and left alone again.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Serialize;

use super::arguments::Arguments;
use super::attack::{Attackers, Target, peer};
use super::config::Place;
use super::honest::{Caller, Honest, Lookup, Summary};
use super::log::{AccessLog, Lines, Rotations};
use super::net;
use super::pki::{Authority, HONEST_NAME};
use super::process::{Process, Reading, Start};
use super::renewable::Renewable;
use super::scenario::{Scenario, Stderr};
use super::tally::Counts;
use super::xivo::Xivo;

/// Honest peers alone, before the attack begins.
const QUIET: Duration = Duration::from_secs(2);

const TICK: Duration = Duration::from_millis(100);

/// So much of an access log is a flood that nobody rotates away; the attack ends there.
const MOST_LOG: u64 = 4 << 30;

/// What a scenario has shown.
#[derive(Serialize)]
pub(crate) struct Outcome {
    /// The scenario.
    pub(crate) scenario: &'static str,
    /// In a sentence.
    pub(crate) what: &'static str,
    /// Where standard error went.
    pub(crate) stderr: &'static str,
    /// How long the attack lasted, in seconds.
    pub(crate) seconds: f64,
    /// The honest peers.
    pub(crate) honest: Vec<Peer>,
    /// Before the attack, quiet.
    pub(crate) before: Reading,
    /// At the attack's end.
    pub(crate) during: Reading,
    /// After it has settled.
    pub(crate) after: Reading,
    /// Most descriptors that were seen.
    pub(crate) most_descriptors: usize,
    /// The access log's lines.
    pub(crate) lines: Lines,
    /// How it was rotated.
    pub(crate) rotations: Rotations,
    /// Lines of diagnostics, where they went to a file.
    pub(crate) diagnostics: Option<u64>,
    /// Requests that reached the XiVO.
    pub(crate) upstream: u64,
    /// What the attacks have met.
    pub(crate) attacks: Vec<Met>,
    /// It did not start with its standard error as it was to be, and why; it was then started with
    /// one that failed later.
    pub(crate) not_started: Option<String>,
    /// How the gateway ended when it was told to.
    pub(crate) ending: String,
    /// It ended by itself, how and when.
    pub(crate) died: Option<String>,
    /// The attack was cut short, and why.
    pub(crate) cut: Option<&'static str>,
}

/// An honest peer's figures.
#[derive(Serialize)]
pub(crate) struct Peer {
    /// Its policy.
    pub(crate) who: &'static str,
    /// While the attack lasted.
    pub(crate) during: Summary,
    /// Afterwards.
    pub(crate) after: Summary,
    /// Answers in the whole trial, for comparison with the log's lines.
    pub(crate) answered: usize,
}

/// An attack's figures.
#[derive(Serialize)]
pub(crate) struct Met {
    /// The attack.
    pub(crate) attack: String,
    /// What it has met.
    pub(crate) counts: Counts,
}

/// A scenario that is under way.
struct Trial {
    process: Process,
    log: AccessLog,
    began: Instant,
    most_descriptors: usize,
    looked: u64,
    died: Option<String>,
    cut: Option<&'static str>,
    last: Reading,
}

/// Runs one scenario.
pub(crate) fn run(scenario: &'static Scenario, arguments: &Arguments) -> Result<Outcome, String> {
    let scratch = tempfile::Builder::new()
        .prefix("soak-")
        .tempdir()
        .map_err(|error| format!("making a temporary directory: {error}"))?;
    let xivo = Xivo::start()?;
    let [plain, tls] = free_addresses()?;
    let place = Place { directory: scratch.path(), plain, tls, xivo: xivo.address };
    let (target, callers) = certify(&place)?;
    let config = place
        .write(scenario, arguments.old)
        .map_err(|error| format!("writing the configuration: {error}"))?;
    let said = place.file("stderr.log");
    let start =
        Start { binary: &arguments.binary, config: &config, said: &said, addresses: [plain, tls] };
    let (process, not_started) = Process::start(&start, scenario.stderr)?;
    let mut trial = Trial {
        process,
        log: AccessLog::new(place.file("access.log"), arguments.nice)?,
        began: Instant::now(),
        most_descriptors: 0,
        looked: 0,
        died: None,
        cut: None,
        last: Reading::default(),
    };
    let honest = callers.into_iter().map(Honest::start).collect::<Result<Vec<_>, _>>()?;

    trial.pass(QUIET);
    let before = trial.reading();
    let attack_from = Instant::now();
    let attackers = Attackers::start(scenario.attacks, &target, arguments.nice)?;
    let length = Duration::from_secs(arguments.seconds.unwrap_or(scenario.seconds));
    trial.pass(length / 2);
    trial.process.tell(Signal::HUP);
    if trial.cut.is_none() {
        trial.pass(length / 2);
    }
    let during = trial.reading();
    let attack_until = Instant::now();
    let attacks = attackers.finish();
    trial.pass(Duration::from_secs(arguments.settle));
    let after = trial.reading();
    let end = Instant::now();
    let lookups = honest.into_iter().map(Honest::finish);
    let honest = ["honest", HONEST_NAME]
        .into_iter()
        .zip(lookups)
        .map(|(who, lookups)| peer_of(who, &lookups, [attack_from, attack_until, end]))
        .collect();

    let ending = trial.process.stop();
    let (lines, rotations) = trial.log.finish();
    Ok(Outcome {
        scenario: scenario.name,
        what: scenario.what,
        stderr: scenario.stderr.word(),
        seconds: (attack_until - attack_from).as_secs_f64(),
        honest,
        before,
        during,
        after,
        most_descriptors: trial.most_descriptors,
        lines,
        rotations,
        diagnostics: (scenario.stderr == Stderr::File).then(|| count_lines(&said)),
        upstream: xivo.asked(),
        attacks: attacks.into_iter().map(|(attack, counts)| Met { attack, counts }).collect(),
        not_started,
        ending,
        died: trial.died,
        cut: trial.cut,
    })
}

impl Trial {
    /// Lets time pass, unless a reason to cut the attack short is found, and looks at the gateway
    /// meanwhile. The peers ask on also where it has died.
    fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        let cut = self.cut;
        while Instant::now() < until && self.cut == cut {
            thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
            if self.died.is_none() {
                self.look();
            }
        }
    }

    fn look(&mut self) {
        if let Some(status) = self.process.ended() {
            let after = self.began.elapsed().as_secs_f64();
            self.died = Some(format!("after {after:.1} s: {status}"));
            return;
        }
        self.log.look(&self.process);
        if self.log.size() > MOST_LOG {
            self.cut = Some("the access log grew beyond 4 GB");
        }
        self.looked += 1;
        // Counting thousands of descriptors costs the kernel more than the rest together.
        if self.looked.is_multiple_of(10) {
            self.reading();
        }
    }

    /// What the kernel says of the gateway now, or said last.
    fn reading(&mut self) -> Reading {
        if let Some(reading) = self.process.read() {
            self.most_descriptors = self.most_descriptors.max(reading.descriptors);
            self.last = reading;
        }
        self.last
    }
}

fn peer_of(who: &'static str, lookups: &[Lookup], [from, until, end]: [Instant; 3]) -> Peer {
    let first = lookups.first().map_or(from, |lookup| lookup.due);
    Peer {
        who,
        during: Summary::of(lookups, from, until),
        after: Summary::of(lookups, until, end),
        answered: Summary::of(lookups, first, end).answered(),
    }
}

/// Makes certificates, and the clients that need them.
fn certify(place: &Place<'_>) -> Result<(Target, [Caller; 2]), String> {
    let authority = Authority::new()?;
    fs::write(place.file("ca.pem"), &authority.pem)
        .map_err(|error| format!("writing the authority: {error}"))?;
    let client = authority.client()?;
    let renewable = Renewable {
        authority,
        certificate: place.file("server.pem"),
        key: place.file("server.key"),
    };
    renewable.renew()?;
    let honest = Caller { from: peer::HONEST, to: place.plain, tls: None, per_second: 50 };
    let by_certificate = Caller {
        from: peer::BY_CERTIFICATE,
        to: place.tls,
        tls: Some(net::client_config(Some(&client), &[])?),
        per_second: 20,
    };
    let target = Target {
        plain: place.plain,
        tls: place.tls,
        http1: net::client_config(None, &[])?,
        http2: net::client_config(None, &["h2"])?,
        renewable: Arc::new(renewable),
    };
    Ok((target, [honest, by_certificate]))
}

/// Two addresses that were free a moment ago.
fn free_addresses() -> Result<[SocketAddr; 2], String> {
    let find = || -> io::Result<[SocketAddr; 2]> {
        // Both at once, for they must differ.
        let bound = [
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        ];
        Ok([bound[0].local_addr()?, bound[1].local_addr()?])
    };
    find().map_err(|error| format!("looking for free ports: {error}"))
}

fn count_lines(file: &Path) -> u64 {
    let Ok(file) = File::open(file) else { return 0 };
    let mut lines = Lines::default();
    let _ = lines.count(BufReader::new(file));
    lines.all
}
