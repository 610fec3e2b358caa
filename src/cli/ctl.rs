//! `ctl`: asks a gateway that runs how it is, and tells it what to do, over its control socket.

mod client;
mod show;
mod top;

use std::path::PathBuf;

use clap::ValueHint;
use serde::de::DeserializeOwned;

use super::config_file::ConfigFile;
use super::usage::Misuse;
use super::{Exit, print, print_error, print_json};
use crate::config;
use crate::control::documents::{
    Certificates, Connections, Done, Errors, History, Names, Peers, Reloaded, RollbackChanges,
    Status,
};
use crate::control::protocol::{Answer, Command};
use crate::diagnostics::LEVELS;

use client::{NoAnswer, PATIENCE};

pub(super) use client::Target;

/// ask and tell the gateway that runs
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Asks a gateway that runs how it is, and tells it what to do, over its control socket: as root, or as \
                   a member of the gateway's group.",
    after_help = "Exit codes: 0 done, 1 the gateway says no (there is no such peer, say), 2 the command line is wrong, 3 \
                  no gateway answers, or this user may not ask it.",
    subcommand_value_name = "COMMAND"
)]
pub(super) struct Options {
    /// the gateway's control socket, instead of the configuration's
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    socket: Option<PathBuf>,
    /// the gateway's answer as it comes, in JSON (control.schema.json)
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// how it is: what runs, connections, XiVO, certificates, logs, who is switched off
    #[command(after_help = EXITS)]
    Status,
    /// the peers: state, what is left of their limits, what they asked and why they were refused
    #[command(after_help = EXITS)]
    Peers(PeersOptions),
    /// refuse a peer, whatever its policy says, for a time or until it is enabled; restarts and reloads change nothing
    #[command(after_help = EXITS)]
    Disable(DisableOptions),
    /// let a peer in again that `disable` has switched off
    #[command(after_help = EXITS)]
    Enable(Peer),
    /// give a peer its whole rate again
    #[command(after_help = EXITS)]
    Reset(Peer),
    /// the host names of policies, and the addresses that they have
    #[command(after_help = EXITS)]
    Names,
    /// the certificates in use, by their end
    #[command(after_help = EXITS)]
    Certs,
    /// who has which of the client connections
    #[command(after_help = EXITS)]
    Connections,
    /// the last requests that were not HTTP as it is read here, with the byte at fault
    #[command(after_help = EXITS)]
    Errors,
    /// tell more or fewer diagnostics
    #[command(after_help = EXITS)]
    LogLevel(LogLevelOptions),
    /// the peers and what they do, each second; q or Ctrl-C ends it
    #[command(after_help = EXITS)]
    Top,
    /// read the configuration again and run it, or say what is wrong with it and change nothing
    #[command(after_help = EXITS)]
    Reload,
    /// the last good configurations
    #[command(after_help = EXITS)]
    History,
    /// run a former configuration again until the next reload or restart, and say what that changes
    #[command(after_help = EXITS)]
    Rollback(RollbackOptions),
    /// open the access logs again, as USR1
    #[command(after_help = EXITS)]
    Reopen,
    /// take no further connections, and end when those that are open have ended or limits.drain_timeout is over, as TERM
    #[command(after_help = EXITS)]
    Drain,
    /// end at once, as a second TERM
    #[command(after_help = EXITS)]
    Stop,
}

#[derive(Debug, clap::Args)]
struct PeersOptions {
    /// one of them, in full
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
struct RollbackOptions {
    /// its number in `history`; the last that is another than the one that runs, unless given
    #[arg(value_name = "N")]
    number: Option<usize>,
    /// only say what it would change
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct DisableOptions {
    /// the peer: the name of its policy file, without .toml
    name: String,
    /// for how long, such as 30m, 2h or 7d; until `enable` unless given
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    seconds: Option<u64>,
    /// the reason, for other administrators: it is shown wherever the peer is, and never to the peer
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
}

#[derive(Debug, clap::Args)]
struct Peer {
    /// the peer: the name of its policy file, without .toml
    name: String,
}

#[derive(Debug, clap::Args)]
struct LogLevelOptions {
    /// what is told: this and what is worse
    #[arg(value_parser = LEVELS)]
    level: String,
    /// for how long, such as 10m; then as it was started
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    seconds: Option<u64>,
}

/// A time of whole seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let time = config::duration(text)?;
    match time.as_secs() {
        seconds @ 1.. if time.subsec_nanos() == 0 => Ok(seconds),
        _ => Err(format!("`{}` is no whole number of seconds from 1 on", text.escape_debug())),
    }
}

/// Runs the command.
pub(super) fn run(options: Options, config: &ConfigFile) -> Exit {
    let Options { socket, json, act } = options;
    let command = act.command();
    if command.is_none() && json {
        let what = "`top` is for people; `ctl peers --json` is for programs";
        return Misuse::new("ctl top", what).report();
    }
    match (Target::find(socket.as_deref(), config.path()), command) {
        (Ok(target), Some(command)) => ask(&command, &target, json),
        (Ok(target), None) => top::run(&target),
        (Err(error), _) => no_answer(&error),
    }
}

impl Act {
    /// What the gateway is asked; `None` for what is asked again and again.
    fn command(self) -> Option<Command> {
        Some(match self {
            Self::Status => Command::Status {},
            Self::Peers(PeersOptions { name }) => Command::Peers { name },
            Self::Disable(DisableOptions { name, seconds, why }) => {
                Command::Disable { name, seconds, why }
            }
            Self::Enable(Peer { name }) => Command::Enable { name },
            Self::Reset(Peer { name }) => Command::Reset { name },
            Self::Names => Command::Names {},
            Self::Certs => Command::Certs {},
            Self::Connections => Command::Connections {},
            Self::Errors => Command::Errors {},
            Self::LogLevel(LogLevelOptions { level, seconds }) => {
                Command::LogLevel { level, seconds }
            }
            Self::Reload => Command::Reload {},
            Self::History => Command::History {},
            Self::Rollback(RollbackOptions { number, dry_run: true }) => {
                Command::RollbackChanges { number }
            }
            Self::Rollback(RollbackOptions { number, .. }) => Command::Rollback { number },
            Self::Reopen => Command::Reopen {},
            Self::Drain => Command::Drain {},
            Self::Stop => Command::Stop {},
            Self::Top => return None,
        })
    }
}

/// Asks, and shows the answer.
fn ask(command: &Command, target: &Target, json: bool) -> Exit {
    let (answer, line) = match target.ask(command, PATIENCE) {
        Ok(answered) => answered,
        Err(error) => return no_answer(&error),
    };
    if json {
        // As it came: another program reads what this one may not know.
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
        let printed = print_json(&value);
        if printed != Exit::Ok {
            return printed;
        }
    }
    match answer {
        Answer { ok: Some(document), .. } if json => exit_of(&document),
        Answer { ok: Some(document), at, .. } => match text(command, document.clone(), at) {
            Ok(text) => {
                let printed = print(&text);
                if printed == Exit::Ok { exit_of(&document) } else { printed }
            }
            Err(error) => {
                print_error(&format!(
                    "what the gateway answers is not understood: {error}; --json prints it as it is"
                ));
                Exit::Failed
            }
        },
        Answer { error, .. } => refused(error),
    }
}

/// Whether what was done is as it should be.
fn exit_of(document: &serde_json::Value) -> Exit {
    match document.get("warning") {
        Some(serde_json::Value::String(_)) => Exit::Findings,
        _ => Exit::Ok,
    }
}

/// What the gateway answered, for people. What it warns of goes to standard error.
fn text(
    command: &Command,
    document: serde_json::Value,
    at: jiff::Timestamp,
) -> Result<String, serde_json::Error> {
    fn read<T: DeserializeOwned>(document: serde_json::Value) -> Result<T, serde_json::Error> {
        serde_json::from_value(document)
    }
    Ok(match command {
        Command::Status {} => show::status(&read::<Status>(document)?, at),
        Command::Peers { name: None } => show::peers(&read::<Peers>(document)?, at),
        Command::Peers { name: Some(_) } => {
            let peers: Peers = read(document)?;
            peers.peers.iter().map(|peer| show::peer(peer, at)).collect()
        }
        Command::Names {} => show::names(&read::<Names>(document)?, at),
        Command::Certs {} => show::certificates(&read::<Certificates>(document)?),
        Command::Connections {} => show::connections(&read::<Connections>(document)?),
        Command::Errors {} => show::errors(&read::<Errors>(document)?),
        Command::Reload {} | Command::Rollback { .. } => {
            show::reloaded(&read::<Reloaded>(document)?)
        }
        Command::History {} => show::history(&read::<History>(document)?),
        Command::RollbackChanges { .. } => {
            show::rollback_changes(&read::<RollbackChanges>(document)?)
        }
        Command::Revision {}
        | Command::Disable { .. }
        | Command::Enable { .. }
        | Command::Reset { .. }
        | Command::LogLevel { .. }
        | Command::Reopen {}
        | Command::Drain {}
        | Command::Stop {} => {
            let Done { done, warning } = read(document)?;
            if let Some(warning) = warning {
                print_error(&warning);
            }
            format!("{done}\n")
        }
    })
}

/// The gateway does not do it.
fn refused(error: Option<crate::control::protocol::Refused>) -> Exit {
    let Some(refused) = error else { return Exit::Failed };
    let lines = refused.message.lines();
    let lines: Vec<String> =
        lines.map(|line| super::explain::show::line(line.as_bytes())).collect();
    print_error(&lines.join("\n"));
    match refused.exit {
        1 => Exit::Findings,
        2 => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// No gateway answers.
fn no_answer(error: &NoAnswer) -> Exit {
    print_error(error.message());
    Exit::Failed
}

const EXITS: &str = "Exit codes: 0 done, 1 the gateway says no or could do a part of it only, 2 the command line is wrong, 3 no gateway answers, or this \
                     user may not ask it.";
