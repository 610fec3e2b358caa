//! This host as a configuration finds it: what `check` and `serve` say of addresses, ports, logs and names is found by
//! one function.

mod addresses;
mod logs;
mod loopback_source;
mod reach;
mod sandbox;
mod service;
mod sockets;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::files;
use crate::location::Location;
use crate::server::disabled_file::DisabledFile;

use sandbox::Sandbox;

pub use loopback_source::{LoopbackSource, check_source, other_addresses};
pub use service::{Service, ServiceUser};
pub use sockets::ListeningSocket;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// `serve` does not start, or answers nobody.
    Error,
    /// It starts, and something is wrong all the same.
    Warning,
    /// Worth knowing.
    Note,
}

/// Something about this host that the configuration meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFinding {
    /// How much it matters.
    pub weight: Weight,
    /// What in the configuration meets it.
    pub location: Location,
    /// What is found, without a full stop.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl std::error::Error for HostFinding {}

impl fmt::Display for HostFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.location, self.message, self.help)
    }
}

/// With whose eyes a host is looked at.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Onlooker {
    /// The service that is to run with the configuration, where it is known.
    pub service: Option<Box<Service>>,
    /// What listens here as root sees it; where it is `None`, this process looks itself.
    pub listening: Option<Vec<ListeningSocket>>,
}

impl Onlooker {
    /// Whether what this process may not do the gateway may not do either.
    pub fn is_the_service(&self) -> bool {
        let own = rustix::process::geteuid().as_raw();
        self.service.as_ref().is_none_or(|service| service.uid == own)
    }

    /// What the service's unit hides from it, or lets it only read, where that unit starts it with `config`.
    fn sandbox(&self, config: &Config) -> Option<&Sandbox> {
        self.service.as_ref()?.sandbox_with(&config.file)
    }
}

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What is local and immediate, and what nothing else would tell: for `serve`, before it binds, and for a reload.
    Start,
    /// Logs, names and XiVO too, each of which is waited for a second at the most.
    Whole,
}

/// Whether it can be known who is switched off, without which `serve` does not start.
fn state(config: &Config, onlooker: &Onlooker) -> Option<HostFinding> {
    let disabled = DisabledFile::in_directory(&config.state_directory);
    let fault = disabled.load().err().filter(|_| onlooker.is_the_service())?;
    Some(HostFinding {
        weight: Weight::Error,
        location: config.state_directory_location.clone(),
        message: fault.to_string(),
        help: "let the service's user enter the directory and read what is in it".to_owned(),
    })
}

/// Whether anything can be remembered over a restart; `serve` does without.
fn memory(config: &Config, onlooker: &Onlooker) -> Option<HostFinding> {
    let directory = &config.state_directory;
    let shown = directory.display();
    let service = onlooker.service.as_deref();
    let made = service.filter(|service| service.makes(directory));
    let finding = |why: String, help: String| HostFinding {
        weight: Weight::Warning,
        location: config.state_directory_location.clone(),
        message: format!(
            "{why}: nothing is remembered over a restart, neither earlier configurations and names' addresses nor who is \
             switched off"
        ),
        help,
    };
    if made.is_none()
        && let Some(rule) =
            onlooker.sandbox(config).and_then(|sandbox| sandbox.keeps_from_writing(directory))
    {
        let why =
            format!("the state directory {shown} cannot be written: {} {rule}", service::UNIT);
        let help = "let it be /var/lib/phonebook-gateway, which the unit makes".to_owned();
        return Some(finding(why, help));
    }
    let (found, what) = match fs::metadata(directory) {
        // systemd makes it, or gives it to the service's user with all that is in it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && made.is_some() => return None,
        Ok(metadata) if made.is_some_and(|service| service.uid != metadata.uid()) => return None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (files::directory_of(directory), "made")
        }
        Err(error) => {
            let help = files::how_to_open(directory);
            return Some(finding(
                format!("the state directory {shown} cannot be entered: {error}"),
                help,
            ));
        }
        Ok(metadata) if !metadata.is_dir() => {
            let help = "name a directory as state_directory".to_owned();
            return Some(finding(format!("the state directory {shown} is no directory"), help));
        }
        Ok(_) => (directory.as_path(), "written"),
    };
    if !onlooker.is_the_service() {
        return None;
    }
    let denied = rustix::fs::access(found, Access::WRITE_OK | Access::EXEC_OK).err()?;
    let why = format!("the state directory {shown} cannot be {what}: {}", io::Error::from(denied));
    let help = match service {
        Some(service) => {
            let (user, group) = (&service.user, &service.group);
            format!(
                "as root: install -d -o {user} -g {group} -m 750 {shown}; or change state_directory"
            )
        }
        None => "make it as the gateway's user, or give it to that user; or change state_directory"
            .to_owned(),
    };
    Some(finding(why, help))
}

/// Files that the service's unit hides from it.
fn hidden(config: &Config, onlooker: &Onlooker) -> Vec<HostFinding> {
    let Some(sandbox) = onlooker.sandbox(config) else { return Vec::new() };
    let whole = |file: &Path| (file.to_owned(), Location::new(file.to_owned().into(), 1));
    let mut files: Vec<(PathBuf, Location)> = vec![whole(&config.file)];
    let main = Location::new(config.file.clone().into(), 1);
    files.push((config.policies_directory.clone(), main));
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        files.extend(tls.files().map(|file| (file.to_owned(), tls.location.clone())));
    }
    files.extend(
        config.upstream.ca.iter().map(|file| (file.clone(), config.upstream.location.clone())),
    );
    let finding = |(file, location): (PathBuf, Location)| {
        let rule = sandbox.hides(&file)?;
        Some(HostFinding {
            weight: Weight::Error,
            location,
            message: format!("the service cannot see {}: {} {rule}", file.display(), service::UNIT),
            help: "let it be in /etc/phonebook-gateway".to_owned(),
        })
    };
    files.into_iter().filter_map(finding).collect()
}

/// Looks at this host with the eyes of `onlooker`.
pub fn look(config: &Config, onlooker: &Onlooker, scope: Scope) -> Vec<HostFinding> {
    let mut found = addresses::look(config, onlooker, scope);
    if scope == Scope::Whole {
        found.extend(state(config, onlooker));
        found.extend(memory(config, onlooker));
        found.extend(hidden(config, onlooker));
        found.extend(logs::look(config, onlooker));
        found.extend(reach::look(config));
    }
    found
}
