//! This host as a configuration finds it: what `check` and `serve` say of addresses, ports, logs and names is found by
//! one function.

mod addresses;
mod logs;
mod loopback_source;
mod reach;
mod service;
mod sockets;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::location::Location;
use crate::server::disabled_file::DisabledFile;

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
    pub service: Option<Service>,
    /// What listens here as root sees it; where it is `None`, this process looks itself.
    pub listening: Option<Vec<ListeningSocket>>,
}

impl Onlooker {
    /// Whether what this process may not do the gateway may not do either.
    pub fn is_the_service(&self) -> bool {
        let own = rustix::process::geteuid().as_raw();
        self.service.as_ref().is_none_or(|service| service.uid == own)
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

/// Looks at this host with the eyes of `onlooker`.
pub fn look(config: &Config, onlooker: &Onlooker, scope: Scope) -> Vec<HostFinding> {
    let mut found = addresses::look(config, onlooker, scope);
    if scope == Scope::Whole {
        found.extend(state(config, onlooker));
        found.extend(logs::look(config, onlooker));
        found.extend(reach::look(config));
    }
    found
}
