//! CPU time per request of this gateway beside nginx and HAProxy at the same job, on the same machine, in the same minute.
//!
//! ```text
//! cargo bench --bench side_by_side
//! cargo bench --bench side_by_side -- --rounds 9 --scenario B --programs gateway,nginx
//! cargo bench --bench side_by_side -- --json > numbers.json
//! cargo bench --bench side_by_side -- --programs gateway,before --before older/phonebook-gateway --rounds 15
//! ```
//!
//! It needs Linux, two cores that are otherwise idle, and nginx and HAProxy on the `PATH` or in `/usr/sbin`; a
//! program that is not installed is left out. It uses loopback addresses and free ports only, a temporary
//! directory, and about 75 seconds with its defaults. `cargo bench` measures a release build, as
//! it must be; while changing the measurement itself, `CARGO_PROFILE_BENCH_LTO=off` saves the time of linking.
//!
//! # What is done
//!
//! Every program runs with one worker on the first core; the load generator and a tiny upstream (1,500 bytes of
//! JSON) share the second. Within a round the programs take their slots one after another, and the next
//! round begins with another program. A slot is a fifth of a second of warm-up and then the measured time. CPU time
//! is that of the program's whole process tree in between, by the scheduler's own account, divided by the
//! requests that were answered. Each answer's status and length are checked, and the upstream counts what
//! reaches it: a program that answers wrongly, from a cache, or asks twice ends the measurement.
//!
//! The job is in `support/configs.rs`: 50 allowed client networks (all of them used in turn), a rate limit
//! that is never reached, one exact path, pooled upstream connections, an access line in combined form per request.
//!
//! # How far to trust it
//!
//! * Compare ratios, never microseconds of different runs: on a shared machine these move by a quarter from round to
//!   round. A ratio is taken within a round; the table has the median of these and the quartiles. Differences
//!   below about 8 % are not resolved by five rounds; take more, and an idle machine.
//! * A program that has to wait for its core more than a twentieth of a slot was disturbed by something else on the
//!   machine. The report counts such slots; if there are more than a few, it says more about the machine than
//!   about the programs.
//!   On a machine that cannot be made idle, root may run the built binary as `chrt -r 1 BINARY --bench` for ratios in
//!   `a`, `b` and `g`; in `B` the others then run in the gaps, and every program finds its caches cold.
//! * Most of the time is the kernel's, and it is charged to whoever runs: on loopback, sending pays for the far
//!   side's receiving. This is the same for all, and hides part of every difference.
//! * Requests per second in `a`, `b` and `g` are also limited by the second core, which the generator and the upstream
//!   share. The latencies hold the generator's own queueing; they tell a stall from none, not good from better.
//! * `B` is nearest to a XiVO looking somebody up: a new connection each time, the proxy mostly idle. A request costs
//!   two to three times as much there as at saturation, because each event is a sleep and a wake-up.
//! * The work is not quite equal. HAProxy cannot write a log file; it writes each line to its standard output, a file
//!   here, unbuffered (2 to 6 µs). nginx logs refusals in its access log only (its error log is set to `crit`),
//!   compares addresses one after another, and checks neither the query's arguments nor the method. The
//!   gateway parses and rewrites the whole request.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use support::arguments::{self, Arguments, Name, Scenario, USAGE};
use support::load::{self, Job, Measured, Reading};
use support::machine::{self, Cores};
use support::programs::{self, Running};
use support::report::{Report, Sample};
use support::upstream::{self, Upstream};
use support::{configs, upstream::SEARCH};

mod support {
    pub(crate) mod answer;
    pub(crate) mod arguments;
    pub(crate) mod clock;
    pub(crate) mod configs;
    pub(crate) mod load;
    pub(crate) mod machine;
    pub(crate) mod programs;
    pub(crate) mod report;
    pub(crate) mod statistics;
    pub(crate) mod upstream;
}

const WARM_UP: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let outcome = arguments::parse().and_then(|arguments| {
        if arguments.help {
            say(&mut io::stdout(), USAGE.trim_end())
        } else if !arguments.bench {
            // `cargo test --all-targets` runs benches too, without `--bench`; it wants no measurement.
            say(&mut io::stderr(), "nothing measured: run me by `cargo bench`, or give --bench")
        } else {
            measure(&arguments)
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = say(&mut io::stderr(), &format!("side_by_side: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn say(to: &mut dyn Write, text: &str) -> Result<(), String> {
    writeln!(to, "{text}").map_err(|error| format!("writing: {error}"))
}

fn measure(arguments: &Arguments) -> Result<(), String> {
    let cores = machine::cores()?;
    let upstream = Upstream::start(cores.load)?;
    let scratch = tempfile::Builder::new()
        .prefix("side-by-side-")
        .tempdir()
        .map_err(|error| format!("making a temporary directory: {error}"))?;
    // Declared after the directory, so that the programs end before it goes.
    let mut running = start_all(arguments, &upstream, scratch.path(), cores)?;
    let baseline = [Name::Before, Name::Nginx]
        .iter()
        .find_map(|&name| running.iter().find(|program| program.name == name))
        .or_else(|| running.first())
        .map(|program| program.name.word())
        .ok_or("none of the programs is installed")?;
    let mut report = Report {
        kernel: kernel(),
        versions: running.iter().map(|program| program.version.clone()).collect(),
        baseline,
        rounds: arguments.rounds,
        slot_seconds: arguments.slot.as_secs_f64(),
        samples: Vec::new(),
    };
    for &scenario in &arguments.scenarios {
        for program in &running {
            load::prove(&job(scenario, program, arguments.slot))
                .map_err(|why| format!("{}: {why}", program.name.word()))?;
        }
        for round in 1..=arguments.rounds {
            let count = running.len();
            for turn in 0..count {
                let program = &mut running[(round + turn) % count];
                let sample = slot(scenario, round, program, &upstream, arguments.slot)?;
                say(&mut io::stderr(), &sample.line())?;
                report.samples.push(sample);
            }
        }
    }
    drop(running);
    if arguments.json {
        say(&mut io::stderr(), &report.markdown())?;
        say(&mut io::stdout(), &report.json()?)
    } else {
        say(&mut io::stdout(), &report.markdown())
    }
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Starts the chosen programs on their core, and leaves the calling thread on the load's.
fn start_all(
    arguments: &Arguments,
    upstream: &Upstream,
    scratch: &std::path::Path,
    cores: Cores,
) -> Result<Vec<Running>, String> {
    machine::pin(cores.program)?;
    let mut running = Vec::new();
    for &name in &arguments.programs {
        match programs::find(name, arguments) {
            Some(binary) => {
                running.push(programs::start(name, &binary, upstream.address, scratch)?);
            }
            None if name == Name::Before && arguments.before.is_none() => {}
            None => say(&mut io::stderr(), &format!("{}: not found, left out", name.word()))?,
        }
    }
    machine::pin(cores.load)?;
    Ok(running)
}

/// The load of a scenario on one program.
fn job(scenario: Scenario, program: &Running, slot: Duration) -> Job {
    let refused = scenario == Scenario::Refused;
    let keep_alive = scenario == Scenario::KeepAlive;
    // As python-requests writes it, which is what a XiVO's directory service asks with.
    let request = format!(
        "GET {SEARCH} HTTP/1.1\r\nHost: {}\r\nUser-Agent: python-requests/2.31.0\r\n\
         Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
        program.address
    );
    Job {
        target: program.address,
        sources: configs::clients(!refused),
        request: request.into_bytes(),
        status: if refused { 403 } else { 200 },
        body: (!refused).then(|| upstream::body().into_bytes()),
        connections: match scenario {
            Scenario::KeepAlive => 64,
            Scenario::PerConnection | Scenario::Refused => 32,
            Scenario::FixedRate => 256,
        },
        keep_alive,
        rate: (scenario == Scenario::FixedRate).then_some(4_000),
        warm_up: WARM_UP,
        slot,
    }
}

/// One program's turn in a round.
fn slot(
    scenario: Scenario,
    round: usize,
    program: &mut Running,
    upstream: &Upstream,
    length: Duration,
) -> Result<Sample, String> {
    let name = program.name;
    let blame = |why| format!("{} in {}: {why}", name.word(), scenario.letter());
    program.still_the_same().map_err(blame)?;
    let job = job(scenario, program, length);
    let read = || {
        let cpu = machine::cpu_time(&program.processes)?;
        Ok(Reading { cpu, upstream: upstream.answered() })
    };
    let measured = load::run(&job, &read).map_err(blame)?;
    same_work(&job, scenario, &measured).map_err(blame)?;
    program.still_the_same().map_err(blame)?;
    Sample::new(scenario, round, name, measured)
}

/// The upstream has to have seen each request once, or, where they are refused, none.
fn same_work(job: &Job, scenario: Scenario, measured: &Measured) -> Result<(), String> {
    let expected = if scenario == Scenario::Refused { 0 } else { measured.requests };
    // What was under way at either end of the slot is counted on one side only.
    let under_way = if expected == 0 { 0 } else { job.connections as u64 };
    if measured.upstream.abs_diff(expected) > under_way {
        return Err(format!(
            "{} requests were answered, but the upstream has seen {} instead of {expected}",
            measured.requests, measured.upstream
        ));
    }
    Ok(())
}
