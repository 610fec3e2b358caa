//! The commands. Only this module and those below it print.
//!
//! Imports `access_log`, `admin`, `config`, `connection`, `control`, `demo`, `diagnostics`, `files`, `gateway`, `http1`,
//! `identity`, `limits`, `location`, `lookup`, `net`, `pki`, `policy`, `refusal`, `report`, `response`,
//! `server`, `supervision`, `text`, `tls`, `upstream`, `worker`, `x509`. Begin with the command's own file, where
//! its options are too.

mod address;
mod certs;
mod check;
mod completions;
mod config_file;
mod ctl;
mod demo;
mod explain;
mod help;
mod number;
mod probe;
mod process;
mod report;
mod serve;
mod usage;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches};

use config_file::ConfigFile;
use usage::Misuse;

/// How a command ended; scripts and systemd units rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is well.
    Ok,
    /// 1: findings: an invalid configuration in `check`, a denied request in `explain`, a failed
    /// `probe`.
    Findings,
    /// 2: the command line is wrong.
    Usage,
    /// 3: something failed at run time; a panic and a thread that ends by itself are such.
    Failed,
    /// 78 (`EX_CONFIG`): `serve` does not start with this configuration, and will not before
    /// somebody has changed it; systemd's `RestartPreventExitStatus=78` knows.
    BadConfiguration,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::BadConfiguration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// let other XiVO servers read this XiVO's phonebook, and nothing else of it
#[derive(Debug, clap::Parser)]
#[command(
    name = NAME,
    bin_name = NAME,
    before_help = "phonebook-gateway lets other XiVO servers read this XiVO's phonebook, and nothing else of it.",
    after_help = "Exit codes: 0 success, 1 problems found, 2 the command line is wrong, 3 failed at run time, 78 `serve` does \
                  not start with this configuration.",
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    override_usage = "phonebook-gateway [-c FILE] COMMAND [OPTIONS]"
)]
struct CommandLine {
    /// check, and print the configuration with all defaults, as in nginx
    #[arg(short = 'T')]
    dump: bool,
    /// without the closing lines of a check
    #[arg(short, long, hide = true)]
    quiet: bool,
    /// print the version
    #[arg(short = 'v', long)]
    version: bool,
    /// print the version and how it was built
    #[arg(short = 'V')]
    build: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(serve::Options),
    #[command(short_flag = 't')]
    Check(check::Options),
    Explain(explain::Options),
    Demo(demo::Options),
    Certs(certs::Options),
    Probe(probe::Options),
    Report(report::Options),
    Ctl(ctl::Options),
    Completions(completions::CompletionsOptions),
    #[command(hide = true)]
    Man(completions::ManOptions),
    Version(version::Options),
    Help(help::Options),
}

/// What the words ask for.
enum Asked {
    /// A command, with this configuration.
    Run(Box<CommandLine>, ConfigFile),
    /// This text.
    Help(String),
}

/// Runs the command that `arguments` (without the program's name) say.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Exit {
    let words: Vec<OsString> = std::iter::once(NAME.into()).chain(arguments).collect();
    match read(&words) {
        Ok(Asked::Run(line, config)) => line.run(&config),
        Ok(Asked::Help(text)) => print(&text),
        Err(misuse) => misuse.report(),
    }
}

/// Reads the command line, the program's name first.
fn read(words: &[OsString]) -> Result<Asked, Misuse> {
    let matches = match description().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Ok(Asked::Help(error.to_string()));
        }
        Err(error) => return Err(Misuse::of(&error, words)),
    };
    let line = CommandLine::from_arg_matches(&matches);
    let line = line.map_err(|error| Misuse::of(&error, words))?;
    let config = ConfigFile::of(&matches);
    let config = config.map_err(|why| Misuse::new(matches.subcommand_name().unwrap_or(""), why))?;
    Ok(Asked::Run(Box::new(line), config))
}

/// The whole command line: what help, errors, completions and manual pages are made from.
fn description() -> clap::Command {
    shared(CommandLine::command())
}

/// Adds what every command has, here and below: the form of its help, `--help` and `--config`.
#[expect(clippy::wildcard_enum_match_arm, reason = "clap has more kinds, and gets more")]
fn shared(command: clap::Command) -> clap::Command {
    let help = Arg::new("help").short('h').short_alias('?').long("help");
    let help = help.action(ArgAction::HelpShort).help("print this help");
    let reads_config = !WITHOUT_CONFIG.contains(&command.get_name());
    command
        .mut_args(|argument| match argument.get_action() {
            // Twice is no more than once.
            ArgAction::SetTrue => {
                let same = argument.get_id().clone();
                argument.overrides_with(same)
            }
            _ => argument,
        })
        .mut_subcommands(shared)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .arg_required_else_help(false)
        .help_template("{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}")
        .term_width(80)
        .arg(ConfigFile::option(reads_config))
        .arg(help)
}

impl CommandLine {
    fn run(self, config: &ConfigFile) -> Exit {
        if self.version {
            return print(version::LINE);
        }
        if self.build {
            return print(&version::in_full());
        }
        match self.asked() {
            Ok(command) => command.run(config),
            Err(misuse) => misuse.report(),
        }
    }

    /// Resolves nginx-style `-t`, `-T` and `-q` to a command.
    fn asked(self) -> Result<Command, Misuse> {
        let Self { dump, quiet, command, .. } = self;
        match command {
            None if dump => Ok(Command::Check(check::Options::new(dump, quiet))),
            None => Err(Misuse::new("", usage::which(&usage::command(&[])))),
            Some(Command::Check(mut options)) => {
                options.dump |= dump;
                options.quiet |= quiet;
                Ok(Command::Check(options))
            }
            Some(_) if dump || quiet => {
                let given = if dump { "-T" } else { "-q" };
                Err(Misuse::new("", format!("`{given}` goes with `check` and `-t` alone")))
            }
            Some(command) => Ok(command),
        }
    }
}

impl Command {
    fn run(self, config: &ConfigFile) -> Exit {
        match self {
            Self::Serve(options) => serve::run(&options, config),
            Self::Check(options) => check::run(&options, config),
            Self::Explain(options) => explain::run(&options, config),
            Self::Demo(options) => demo::run(&options, config),
            Self::Certs(options) => certs::run(&options, config),
            Self::Probe(options) => probe::run(&options, config),
            Self::Report(options) => report::run(&options, config),
            Self::Ctl(options) => ctl::run(options, config),
            Self::Completions(options) => completions::completions(&options),
            Self::Man(options) => completions::man(&options),
            Self::Version(version::Options {}) => print(version::LINE),
            Self::Help(options) => help::run(&options),
        }
    }
}

/// Prints `text` to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Exit {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            print_error(&format!("cannot write to standard output: {error}"));
            Exit::Failed
        }
    }
}

/// Prints a JSON document.
fn print_json(document: &impl serde::Serialize) -> Exit {
    match json_text(document) {
        Ok(text) => print(&text),
        Err(error) => {
            print_error(&format!("cannot write JSON: {error}"));
            Exit::Failed
        }
    }
}

/// A document as people can read it, too. What a terminal would obey (C1 controls, DEL) or turn around (bidirectional
/// controls) is escaped, which means the same (RFC 8259, section 7).
fn json_text(document: &impl serde::Serialize) -> serde_json::Result<String> {
    let document = serde_json::to_string_pretty(document)?;
    let mut text = String::with_capacity(document.len() + 1);
    for c in document.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{200e}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('\n');
    Ok(text)
}

/// Prints an error to standard error.
fn print_error(text: &str) {
    use std::io::Write;
    // Where standard error is closed nobody can be told so.
    let _ = writeln!(std::io::stderr().lock(), "phonebook-gateway: {text}");
}

/// The program's name.
const NAME: &str = "phonebook-gateway";

/// Commands for which it does not matter which configuration there is.
const WITHOUT_CONFIG: [&str; 5] = ["completions", "demo", "help", "man", "version"];

#[cfg(test)]
mod tests;
