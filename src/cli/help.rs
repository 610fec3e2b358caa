//! `help`: a command's help, by its name behind the word or before `--help`.

use super::usage::{self, Misuse};
use super::{Exit, print};

/// print this, or a command's help
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Prints a command's help, as --help behind the command does.",
    after_help = "Exit codes: 0 printed, 2 there is no such command, 3 the standard output cannot be written."
)]
pub(super) struct Options {
    /// the command, such as `explain` or `certs show`
    command: Vec<String>,
}

/// Runs the command.
pub(super) fn run(options: &Options) -> Exit {
    match command(options) {
        Ok(mut command) => print(&command.render_help().to_string()),
        Err(misuse) => misuse.report(),
    }
}

/// The command that is asked about.
pub(super) fn command(options: &Options) -> Result<clap::Command, Misuse> {
    let mut command = usage::command(&[]);
    for name in &options.command {
        let Some(below) = command.find_subcommand(name) else {
            return Err(Misuse::new("help", usage::no_command(name, &command)));
        };
        command = below.clone();
    }
    Ok(command)
}
