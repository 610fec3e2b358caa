//! What an honest peer notices while the gateway is attacked, and what the attack costs the gateway.
//!
//! ```text
//! cargo bench --bench soak                                     # every scenario but the soak, about ten minutes
//! cargo bench --bench soak -- --scenario list                  # their names
//! cargo bench --bench soak -- --scenario baseline,leaky-peer --json numbers.json
//! cargo bench --bench soak -- --scenario baseline,all-at-once --seconds 1200    # the soak
//! cargo bench --bench soak -- --binary /tmp/former --old       # a former version, for comparison
//! ```
//!
//! It needs Linux, two cores, about 20,000 descriptors (`ulimit -Hn`), loopback addresses and a temporary
//! directory, which it removes. The gateway runs as a child process, and is ended by its process id. `cargo bench`
//! measures a release build; while changing the soak itself, `CARGO_PROFILE_BENCH_LTO=off` saves the time
//! of linking.
//!
//! # What is done
//!
//! Each scenario has a gateway of its own with two listeners, without and with TLS, in front of a XiVO that answers
//! at once (for some terms never). Two honest peers ask throughout, each lookup on a connection of its own and
//! with 2.9 s in all, as xivo-dird does it: `honest`, known by its address, 50 times a second; `honest-cert`,
//! known by its certificate alone, over TLS, 20 times a second. After two quiet seconds the attack begins;
//! after it all its connections are closed, and ten seconds later the last reading is taken.
//! Every five seconds the access log is rotated with USR1; in the middle of the attack there is a HUP.
//!
//! A lookup is lost if its connection was refused, reset or ended, or nothing came in 2.9 s. Its time
//! counts from when it was due. Every answer has to be the one to its own question.
//!
//! # How far to trust it
//!
//! * Attackers, honest peers, XiVO and gateway share the cores. A real attacker does not use the gateway's: the
//!   attackers' threads are niced (`--nice`), so they attack with what is left. Peers, XiVO and gateway are not.
//! * The time that the gateway's threads waited for a core is told. Where they do so in `baseline`, something else
//!   disturbs the machine, and latencies say more about that than about the gateway.
//! * Nothing is asserted. Compare with `baseline` and with another binary of the same run and machine.
//! * Memory is what is resident (`VmRSS`, `VmHWM`); what each connection costs is the peak's growth divided by the most
//!   connections that the attackers had open, at different moments perhaps.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use arguments::{Arguments, USAGE};
use report::Report;

#[path = "../support"]
mod support {
    pub(crate) mod answer;
    pub(crate) mod credulous;
    #[expect(dead_code, reason = "only the account of CPU time is needed here")]
    pub(crate) mod machine;
    pub(crate) mod statistics;
    #[expect(dead_code, reason = "only the answer's body is needed here")]
    pub(crate) mod upstream;
}

mod arguments;
mod attack;
mod config;
mod honest;
mod log;
mod net;
mod pki;
mod process;
mod renewable;
mod report;
mod runtime;
mod scenario;
mod tally;
mod trial;
mod xivo;

fn main() -> ExitCode {
    let outcome = arguments::parse().and_then(|arguments| {
        if arguments.help {
            say(&mut io::stdout(), USAGE.trim_end())
        } else if arguments.list {
            list()
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
            let _ = say(&mut io::stderr(), &format!("soak: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn say(to: &mut dyn Write, text: &str) -> Result<(), String> {
    writeln!(to, "{text}").map_err(|error| format!("writing: {error}"))
}

fn list() -> Result<(), String> {
    for one in scenario::ALL {
        say(&mut io::stdout(), &format!("{:<24} {}", one.name, one.what))?;
    }
    Ok(())
}

fn measure(arguments: &Arguments) -> Result<(), String> {
    raise_descriptors();
    let mut report = Report {
        binary: arguments.binary.display().to_string(),
        version: version(&arguments.binary)?,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        nice: arguments.nice,
        outcomes: Vec::new(),
    };
    let mut failed = Vec::new();
    for scenario in &arguments.scenarios {
        let outcome = match trial::run(scenario, arguments) {
            Ok(outcome) => outcome,
            Err(why) => {
                say(&mut io::stderr(), &format!("== {}: {why}\n", scenario.name))?;
                failed.push(scenario.name);
                continue;
            }
        };
        say(&mut io::stderr(), &outcome.text())?;
        report.outcomes.push(outcome);
        // After each, so that what was measured is kept whatever comes.
        if let Some(file) = &arguments.json {
            std::fs::write(file, report.json()?)
                .map_err(|error| format!("writing {}: {error}", file.display()))?;
        }
    }
    say(&mut io::stdout(), &report.table())?;
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", "))) }
}

/// The attackers hold as many connections as a gateway does.
fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is forbidden, connections that cannot be made are counted as this side's fault.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn version(binary: &Path) -> Result<String, String> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("running {}: {error}", binary.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
