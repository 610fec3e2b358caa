//! The commands. Only this module and those below it print.
//!
//! Imports `access_log`, `config`, `connection`, `demo`, `diagnostics`, `files`, `gateway`, `http1`,
//! `identity`, `limits`, `location`, `lookup`, `net`, `pki`, `policy`, `refusal`, `report`, `response`,
//! `server`, `supervision`, `tls`, `upstream`, `worker`, `x509`. Begin with `args.rs` and the command's
//! own file.

mod args;
mod certs;
mod check;
mod demo;
mod explain;
mod help;
mod probe;
mod process;
mod report;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use args::Command;

/// How a command ended; scripts and systemd units rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: well.
    Well,
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
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Well => 0,
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

/// Runs the command that `arguments` (without the program's name) say.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Exit {
    let command = match args::read(arguments) {
        Ok(command) => command,
        Err(error) => {
            complain(&format!("{error}\nTry `phonebook-gateway --help`."));
            return Exit::Usage;
        }
    };
    match command {
        Command::Help(text) => say(text),
        Command::Version => say(concat!("phonebook-gateway ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Serve(options) => serve::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Certs(options) => certs::run(&options),
        Command::Probe(options) => probe::run(&options),
        Command::Report(options) => report::run(&options),
    }
}

/// Prints `text` to standard output. A reader that has seen enough (`| head`) is no failure.
fn say(text: &str) -> Exit {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Exit::Well,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Well,
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            Exit::Failed
        }
    }
}

/// Prints an error to standard error.
fn complain(text: &str) {
    use std::io::Write;
    // Where standard error is closed nobody can be told so.
    let _ = writeln!(std::io::stderr().lock(), "phonebook-gateway: {text}");
}
