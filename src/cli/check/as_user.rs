//! Whose eyes `check` has: the service's user's where root runs it, by running itself as that user.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;

use super::Options;
use crate::cli::config_file::ConfigFile;
use crate::cli::{Exit, print_error};
use crate::server::{ListeningSocket, Onlooker, Service, ServiceUser};

/// How a host is looked at.
pub(super) enum Eyes {
    /// By a process that ran as another user, and has said all.
    Others(Exit),
    /// By this process.
    Own {
        onlooker: Onlooker,
        /// What could not be looked at.
        note: Option<String>,
    },
}

/// Finds the service's user; where root runs this, the check runs as that user.
pub(super) fn eyes(options: &Options, config: &ConfigFile) -> Eyes {
    if options.onlooker {
        return told();
    }
    let own = geteuid();
    let with = |service, note: Option<String>| Eyes::Own {
        onlooker: Onlooker { service, listening: None },
        note,
    };
    let not_looked_at = "what the service's user may read and write could not be looked at";
    match ServiceUser::find(options.as_user.as_deref()) {
        ServiceUser::Known(service) if service.uid == own.as_raw() => with(Some(service), None),
        ServiceUser::Known(service) if own.is_root() => match run_as(&service, options, config) {
            Ok(exit) => Eyes::Others(exit),
            Err(why) => with(None, Some(format!("{not_looked_at}: {why}"))),
        },
        ServiceUser::Known(service) => {
            let note = format!(
                "files were read as the user with uid {}, and {not_looked_at}: run this as root, which looks as {}",
                own.as_raw(),
                service.user
            );
            with(Some(service), Some(note))
        }
        ServiceUser::Unknown(why) if options.as_user.is_some() => {
            print_error(&format!("--as: {why}"));
            Eyes::Others(Exit::Usage)
        }
        ServiceUser::Unknown(why) => with(None, Some(format!("{not_looked_at}: {why}"))),
        ServiceUser::NoUnit => {
            let note = format!(
                "there is no phonebook-gateway.service on this host: files were read as the user with uid {}{}",
                own.as_raw(),
                if own.is_root() { "; --as USER reads them as another" } else { "" }
            );
            with(None, Some(note))
        }
    }
}

/// What root has seen and handed over.
fn told() -> Eyes {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MOST_TOLD).read_to_string(&mut text);
    let onlooker = read.ok().and_then(|_| serde_json::from_str::<Onlooker>(&text).ok());
    match onlooker {
        Some(onlooker) => {
            let user = onlooker.service.as_ref().map(|service| service.user.clone());
            let note = user.map(|user| format!("files were read as the service's user, {user}"));
            Eyes::Own { onlooker, note }
        }
        None => {
            print_error("--onlooker: nothing that can be read is on the standard input");
            Eyes::Others(Exit::Usage)
        }
    }
}

/// Runs this check as the service's user, who opens files for reading and makes nothing.
fn run_as(service: &Service, options: &Options, config: &ConfigFile) -> Result<Exit, String> {
    // By a descriptor, since that user need not be allowed to enter the directories on the way to the program.
    let program = rustix::fs::open("/proc/self/exe", OFlags::RDONLY, Mode::empty())
        .map_err(|error| format!("/proc/self/exe: {error}"))?;
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let groups: Vec<String> = service.groups.iter().map(ToString::to_string).collect();
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={}", service.uid))
        .arg(format!("--regid={}", service.gid))
        .arg(format!("--groups={}", groups.join(",")))
        .args(["--", &path, "check", "--onlooker"]);
    let flags = [
        ("--strict", options.strict),
        ("--json", options.json),
        ("-T", options.dump),
        ("--quiet", options.quiet),
    ];
    command.args(flags.iter().filter(|(_, given)| *given).map(|(flag, _)| flag));
    if let Some(file) = config.given() {
        command.arg("--config").arg(file);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("setpriv, which util-linux has, cannot be started: {error}"))?;
    let onlooker = Onlooker {
        service: Some(Box::new(service.clone())),
        listening: Some(ListeningSocket::all()),
    };
    let text = serde_json::to_vec(&onlooker).map_err(|error| error.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        // Who does not read it says by the exit code why.
        let _ = input.write_all(&text);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    match status.code() {
        Some(0) => Ok(Exit::Ok),
        Some(1) => Ok(Exit::Findings),
        Some(2) => Ok(Exit::Usage),
        Some(3) => Ok(Exit::Failed),
        _ => Err(format!("setpriv could not become {}: {status}", service.user)),
    }
}

/// What root hands over has a line for each listening socket of this host.
const MOST_TOLD: u64 = 16 << 20;
