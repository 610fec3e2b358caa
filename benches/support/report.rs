//! The table and the raw numbers.

use std::fmt::Write;

use serde::Serialize;

use super::arguments::{Name, Scenario};
use super::load::Measured;
use super::statistics::{quantile, sorted};

/// The share of a slot that a program may wait for its core.
const DISTURBED: f64 = 0.05;

/// One slot: a scenario, a round, a program.
#[derive(Serialize)]
pub(crate) struct Sample {
    scenario: &'static str,
    round: usize,
    program: &'static str,
    requests: u64,
    seconds: f64,
    cpu_ns: u64,
    waited_ns: u64,
    cpu_us_per_request: f64,
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Sample {
    /// The numbers of a slot. A slot without one answered request is an error: it has no ratio.
    pub(crate) fn new(
        scenario: Scenario,
        round: usize,
        program: Name,
        measured: Measured,
    ) -> Result<Self, String> {
        if measured.requests == 0 {
            return Err(format!("{}: no request answered in a whole slot", program.word()));
        }
        let seconds = measured.elapsed.as_secs_f64();
        let latencies = sorted(measured.latencies);
        Ok(Self {
            scenario: scenario.letter(),
            round,
            program: program.word(),
            requests: measured.requests,
            seconds,
            cpu_ns: measured.cpu.running,
            waited_ns: measured.cpu.waiting,
            cpu_us_per_request: measured.cpu.running as f64 / measured.requests as f64 / 1e3,
            requests_per_second: measured.requests as f64 / seconds,
            p50_us: quantile(&latencies, 0.5) / 1e3,
            p99_us: quantile(&latencies, 0.99) / 1e3,
        })
    }

    /// Something else had the program's core for long.
    fn disturbed(&self) -> bool {
        self.waited_ns as f64 / 1e9 > self.seconds * DISTURBED
    }

    /// One line while the measurement runs.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} round {}: {:8} {:6.1} us CPU a request, {:6.0} requests/s",
            self.scenario,
            self.round,
            self.program,
            self.cpu_us_per_request,
            self.requests_per_second
        )
    }
}

/// Under which conditions the samples were taken, and the samples.
#[derive(Serialize)]
pub(crate) struct Report {
    /// The kernel's release.
    pub(crate) kernel: String,
    /// What each program calls its version.
    pub(crate) versions: Vec<String>,
    /// The program that ratios are to.
    pub(crate) baseline: &'static str,
    /// Rounds per scenario.
    pub(crate) rounds: usize,
    /// Length of a slot.
    pub(crate) slot_seconds: f64,
    /// Every slot.
    pub(crate) samples: Vec<Sample>,
}

impl Report {
    /// The raw numbers.
    pub(crate) fn json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|error| format!("writing JSON: {error}"))
    }

    /// The table, with its conditions above it.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "{} rounds of {} s a scenario, kernel {}; {}.\n\n\
             | scenario | program | CPU µs/request, median (min-max) | x {}, median [quartiles] \
             | requests/s | p50 / p99 µs |\n|---|---|---|---|---|---|\n",
            self.rounds,
            self.slot_seconds,
            self.kernel,
            self.versions.join("; "),
            self.baseline
        );
        for scenario in Scenario::ALL {
            for program in Name::ALL {
                self.row(&mut text, scenario, program);
            }
        }
        let disturbed = self.samples.iter().filter(|one| one.disturbed()).count();
        let _ = write!(
            text,
            "\nIn {disturbed} of {} slots the program waited for its core more than {:.0} % of the time.",
            self.samples.len(),
            DISTURBED * 100.0
        );
        text
    }

    fn of(&self, scenario: &str, program: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |one| one.scenario == scenario && one.program == program)
    }

    fn row(&self, text: &mut String, scenario: Scenario, program: Name) {
        let (letter, word) = (scenario.letter(), program.word());
        let mine: Vec<&Sample> = self.of(letter, word).collect();
        if mine.is_empty() {
            return;
        }
        let column = |of: fn(&Sample) -> f64| sorted(mine.iter().map(|one| of(one)));
        let cpu = column(|one| one.cpu_us_per_request);
        let ratios = sorted(mine.iter().filter_map(|one| {
            let other = self.of(letter, self.baseline).find(|other| other.round == one.round)?;
            Some(one.cpu_us_per_request / other.cpu_us_per_request)
        }));
        let _ = writeln!(
            text,
            "| {letter}: {} | {word} | {:.1} ({:.1}-{:.1}) | {:.2} [{:.2}-{:.2}] \
             | {:.0} | {:.0} / {:.0} |",
            scenario.title(),
            quantile(&cpu, 0.5),
            quantile(&cpu, 0.0),
            quantile(&cpu, 1.0),
            quantile(&ratios, 0.5),
            quantile(&ratios, 0.25),
            quantile(&ratios, 0.75),
            quantile(&column(|one| one.requests_per_second), 0.5),
            quantile(&column(|one| one.p50_us), 0.5),
            quantile(&column(|one| one.p99_us), 0.5),
        );
    }
}
