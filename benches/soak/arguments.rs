//! The command line of the soak.

use std::path::PathBuf;

use super::scenario::{self, Scenario};

/// The text of `--help`, but for the scenarios.
pub(crate) const USAGE: &str = "\
usage: cargo bench --bench soak -- [OPTION]...
  --scenario LIST   comma-separated names of scenarios (all but all-at-once); `list` names them
  --seconds N       length of each attack, 1 to 7200 (each scenario's own; all-at-once: 60)
  --settle N        seconds from the attack's end to the last reading, 1 to 300 (10)
  --binary FILE     the gateway (the one that cargo has just built)
  --old             write no key that versions before `connections` and `answer_timeout` do not know
  --nice N          how far the attackers stand back for the gateway, 0 to 19 (10)
  --json FILE       all numbers, as JSON
";

/// What was asked for.
pub(crate) struct Arguments {
    /// `--bench`, which `cargo bench` gives and `cargo test` does not.
    pub(crate) bench: bool,
    /// `--help`.
    pub(crate) help: bool,
    /// `--scenario list`.
    pub(crate) list: bool,
    /// What to run, in this order.
    pub(crate) scenarios: Vec<&'static Scenario>,
    /// Length of each attack, if not the scenario's own.
    pub(crate) seconds: Option<u64>,
    /// Seconds between the attack's end and the last reading.
    pub(crate) settle: u64,
    /// The gateway's binary.
    pub(crate) binary: PathBuf,
    /// Leave out the keys that former versions do not know.
    pub(crate) old: bool,
    /// Niceness of the attackers' threads.
    pub(crate) nice: i32,
    /// Where the numbers go as JSON.
    pub(crate) json: Option<PathBuf>,
}

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Arguments, String> {
    read(lexopt::Parser::from_env()).map_err(|error| format!("{error}\n{USAGE}"))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "lexopt's own way: what was not asked for is unexpected"
)]
fn read(mut parser: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
    use lexopt::{Arg::Long, Arg::Short, ValueExt};
    let mut arguments = Arguments {
        bench: false,
        help: false,
        list: false,
        scenarios: scenario::ALL.iter().filter(|one| one.name != "all-at-once").collect(),
        seconds: None,
        settle: 10,
        binary: PathBuf::from(env!("CARGO_BIN_EXE_phonebook-gateway")),
        old: false,
        nice: 10,
        json: None,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bench") => arguments.bench = true,
            Long("help") | Short('h') => arguments.help = true,
            Long("old") => arguments.old = true,
            Long("binary") => arguments.binary = parser.value()?.into(),
            Long("json") => arguments.json = Some(parser.value()?.into()),
            Long("seconds") => {
                arguments.seconds = Some(within(parser.value()?.parse()?, 1, 7200, "--seconds")?);
            }
            Long("settle") => {
                arguments.settle = within(parser.value()?.parse()?, 1, 300, "--settle")?;
            }
            Long("nice") => arguments.nice = within(parser.value()?.parse()?, 0, 19, "--nice")?,
            Long("scenario") => match parser.value()?.string()?.as_str() {
                "list" => arguments.list = true,
                names => arguments.scenarios = chosen(names)?,
            },
            other => return Err(other.unexpected()),
        }
    }
    Ok(arguments)
}

fn within<N: PartialOrd + std::fmt::Display>(
    number: N,
    least: N,
    most: N,
    option: &str,
) -> Result<N, lexopt::Error> {
    if number < least || number > most {
        return Err(format!("{option} takes {least} to {most}").into());
    }
    Ok(number)
}

/// The scenarios that a comma-separated list names, in its order.
fn chosen(names: &str) -> Result<Vec<&'static Scenario>, String> {
    let find = |name: &str| {
        scenario::ALL.iter().find(|one| one.name == name).ok_or_else(|| {
            let known: Vec<&str> = scenario::ALL.iter().map(|one| one.name).collect();
            format!("`{name}` is none of {}", known.join(", "))
        })
    };
    names.split(',').map(str::trim).map(find).collect()
}
