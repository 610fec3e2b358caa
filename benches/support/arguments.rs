//! The command line of the measurement.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::ValueExt;

/// The text of `--help`.
pub(crate) const USAGE: &str = "\
usage: cargo bench --bench side_by_side -- [OPTION]...
  --rounds N        rounds of each scenario, 1 to 100 (5)
  --seconds S       length of one measured slot, 0.1 to 30 (1)
  --scenario LIST   of a, b, B, g (all):
                      a  64 keep-alive connections, saturated
                      b  a connection per request, 32 at a time, saturated
                      B  a connection per request, 4000 a second
                      g  refused with 403, a connection per request, 32 at a time
  --programs LIST   of gateway, before, nginx, haproxy (all that there are)
  --gateway FILE    the gateway's binary (the one that cargo has just built)
  --before FILE     a binary of another build of the gateway, which then is what
                    the others are compared with
  --json            raw numbers as JSON on standard output, the table on standard error
";

/// One of the four kinds of load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// 64 keep-alive connections, each asking again as soon as it is answered.
    KeepAlive,
    /// A connection per request, 32 at a time.
    PerConnection,
    /// A connection per request, begun 4,000 times a second.
    FixedRate,
    /// A connection per request from an address that no rule allows, 32 at a time.
    Refused,
}

impl Scenario {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 4] =
        [Self::KeepAlive, Self::PerConnection, Self::FixedRate, Self::Refused];

    /// The letter on the command line and in the raw numbers.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::KeepAlive => "a",
            Self::PerConnection => "b",
            Self::FixedRate => "B",
            Self::Refused => "g",
        }
    }

    /// The words in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive, 64 connections",
            Self::PerConnection => "connection per request, 32 at a time",
            Self::FixedRate => "connection per request, 4,000/s",
            Self::Refused => "refused (403), connection per request",
        }
    }
}

/// A program under test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// This crate's program.
    Gateway,
    /// Another build of it.
    Before,
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
}

impl Name {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 4] = [Self::Gateway, Self::Before, Self::Nginx, Self::Haproxy];

    /// The name on the command line and in the table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Before => "before",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }
}

/// What was asked for.
pub(crate) struct Arguments {
    /// `--bench`, which `cargo bench` gives and `cargo test` does not.
    pub(crate) bench: bool,
    /// `--help`.
    pub(crate) help: bool,
    /// Rounds of each scenario.
    pub(crate) rounds: usize,
    /// Length of one measured slot.
    pub(crate) slot: Duration,
    /// What to measure.
    pub(crate) scenarios: Vec<Scenario>,
    /// Whom to measure.
    pub(crate) programs: Vec<Name>,
    /// The gateway's binary.
    pub(crate) gateway: PathBuf,
    /// The binary of another build of the gateway.
    pub(crate) before: Option<PathBuf>,
    /// Raw numbers instead of the table on standard output.
    pub(crate) json: bool,
}

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Arguments, String> {
    read().map_err(|error| format!("{error}\n{USAGE}"))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "lexopt's own way: what was not asked for is unexpected"
)]
fn read() -> Result<Arguments, lexopt::Error> {
    let mut arguments = Arguments {
        bench: false,
        help: false,
        rounds: 5,
        slot: Duration::from_secs(1),
        scenarios: Scenario::ALL.to_vec(),
        programs: Name::ALL.to_vec(),
        gateway: PathBuf::from(env!("CARGO_BIN_EXE_phonebook-gateway")),
        before: None,
        json: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("bench") => arguments.bench = true,
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => arguments.help = true,
            lexopt::Arg::Long("json") => arguments.json = true,
            lexopt::Arg::Long("gateway") => arguments.gateway = parser.value()?.into(),
            lexopt::Arg::Long("before") => arguments.before = Some(parser.value()?.into()),
            lexopt::Arg::Long("rounds") => {
                arguments.rounds = parser.value()?.parse()?;
                if !(1..=100).contains(&arguments.rounds) {
                    return Err("--rounds takes 1 to 100".into());
                }
            }
            lexopt::Arg::Long("seconds") => {
                let seconds: f64 = parser.value()?.parse()?;
                if !(0.1..=30.0).contains(&seconds) {
                    return Err("--seconds takes 0.1 to 30".into());
                }
                arguments.slot = Duration::from_secs_f64(seconds);
            }
            lexopt::Arg::Long("scenario") => {
                let list = parser.value()?.string()?;
                arguments.scenarios = chosen(&list, &Scenario::ALL, Scenario::letter)?;
            }
            lexopt::Arg::Long("programs") => {
                let list = parser.value()?.string()?;
                arguments.programs = chosen(&list, &Name::ALL, Name::word)?;
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(arguments)
}

/// The members of `all` that a comma-separated list names, in the order of `all`.
fn chosen<T: Copy>(
    list: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, lexopt::Error> {
    let asked: Vec<&str> = list.split(',').map(str::trim).collect();
    let known: Vec<&str> = all.iter().map(|&one| name(one)).collect();
    if let Some(odd) = asked.iter().find(|one| !known.contains(one)) {
        return Err(format!("`{odd}` is none of {}", known.join(", ")).into());
    }
    Ok(all.iter().copied().filter(|&one| asked.contains(&name(one))).collect())
}
