//! Everything that another configuration needs, before anybody sees any of it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::told::{Finding, ReloadFault};
use crate::access_log::{LogHost, NextLogs};
use crate::config::{AdminAddress, Config, Upstream};
use crate::net::listen::{self, Bound, ListenError};
use crate::server::background::certificates::load_tls;
use crate::server::background::upstream_addresses::resolve_at_start;
use crate::server::orders::NewSocket;
use crate::server::reload::lock;
use crate::server::{Inner, Listening, StartError, check_host, check_source, hand_out};
use crate::worker::listeners::{ListenerId, Presence, ServedListener};
use crate::worker::shared::{Next, worker_count};
use crate::worker::snapshot::Snapshot;

/// What was prepared. Dropping it gives all of it back but what workers hold.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) next: Next,
    /// All listeners, in the configuration's order.
    pub(super) listeners: Vec<Listening>,
    /// The access logs, where they are others.
    pub(super) logs: Option<(NextLogs, Arc<LogHost>)>,
}

/// A listener that is new, and a socket of it for each worker.
struct Added {
    id: ListenerId,
    presence: Presence,
    sockets: Vec<TcpListener>,
}

impl Inner {
    /// Prepares all that `config` needs besides what there is.
    pub(super) fn prepare(
        &self,
        running: &Snapshot,
        config: Config,
    ) -> Result<Prepared, ReloadFault> {
        check_unchangeable(&running.config, &config)?;
        check_host(&config).map_err(|found| {
            let finding = Finding::error(Some(&found.location), found.message);
            ReloadFault::of(finding.with_help(&found.help))
        })?;
        let config = Arc::new(config);
        let upstream = self.upstream(running, &config.upstream)?;
        let (listeners, added) = self.listeners(&config)?;
        let next = Next {
            listeners: self.served(&config, &listeners)?,
            upstream,
            config: Arc::clone(&config),
        };
        let logs = self.logs(running, &config)?;
        let threads = self.threads().start_missing(&config);
        threads.map_err(|error| fault_of(&error))?;
        if !added.is_empty() {
            self.crew.prepare(per_worker(added, self.crew.len())).map_err(|error| {
                self.threads().settle(&running.config);
                ReloadFault::of(Finding::error(None, error.to_string()))
            })?;
        }
        Ok(Prepared { next, listeners, logs })
    }

    /// XiVO's addresses: those that are known, unless it is another one.
    fn upstream(
        &self,
        running: &Snapshot,
        upstream: &Upstream,
    ) -> Result<Vec<SocketAddr>, ReloadFault> {
        let before = &running.config.upstream;
        let same = before.host == upstream.host && before.port == upstream.port;
        let addresses = if same { running.upstream.clone() } else { resolve_at_start(upstream) };
        check_source(upstream, &addresses).map_err(|loopback| {
            let finding = Finding::error(Some(loopback.location()), loopback.message());
            ReloadFault::of(finding.with_help(&loopback.help()))
        })?;
        Ok(addresses)
    }

    /// The listeners of `config`, and those of them that are new with their sockets.
    fn listeners(&self, config: &Config) -> Result<(Vec<Listening>, Vec<Added>), ReloadFault> {
        let mut free = lock(&self.listeners).clone();
        let (mut listeners, mut added) = (Vec::new(), Vec::new());
        // Kept ones first, so that none of them is taken for one that goes.
        let kept: Vec<Option<Listening>> = config
            .listeners
            .iter()
            .map(|section| {
                let at = free.iter().position(|known| known.wanted == section.address)?;
                Some(free.remove(at))
            })
            .collect();
        for (section, kept) in config.listeners.iter().zip(kept) {
            if let Some(kept) = kept {
                listeners.push(kept);
                continue;
            }
            // One of ours that goes holds the address, or a part of it, until the new one is there.
            let beside = free.iter().any(|going| going.bound.port() == section.address.port());
            let bind = if beside { listen::bind_beside } else { listen::bind };
            let bound = once_free(|| bind(section.address, self.crew.len())).map_err(|error| {
                let message = format!("cannot listen on {error}");
                ReloadFault::of(Finding::error(Some(&section.location), message))
            })?;
            let id = self.shared.next_listener();
            let listening = Listening::of(id, section.address, bound);
            let (listening, presence, sockets) = listening.map_err(|error| {
                let message = StartError::Descriptors(error).to_string();
                ReloadFault::of(Finding::error(Some(&section.location), message))
            })?;
            added.push(Added { id, presence, sockets });
            listeners.push(listening);
        }
        Ok((listeners, added))
    }

    /// The listeners as requests will see them, their certificates loaded.
    fn served(
        &self,
        config: &Config,
        listeners: &[Listening],
    ) -> Result<Vec<ServedListener>, ReloadFault> {
        let served = |(section, listening): (&crate::config::Listener, &Listening)| {
            let tls = load_tls(section, &config.policies, &self.sessions).map_err(|error| {
                let location = section.tls.as_ref().map(|tls| &tls.location);
                ReloadFault::of(Finding::error(location, error.to_string()))
            })?;
            Ok(ServedListener { id: listening.id, section: Arc::new(section.clone()), tls })
        };
        config.listeners.iter().zip(listeners).map(served).collect()
    }

    /// The access logs that are to be, where they are others than those that are.
    fn logs(
        &self,
        running: &Snapshot,
        config: &Config,
    ) -> Result<Option<(NextLogs, Arc<LogHost>)>, ReloadFault> {
        if running.config.access_logs == config.access_logs {
            return Ok(None);
        }
        let next = lock(&self.logs).prepare(&config.access_logs, &self.supervisor);
        let next = next.map_err(|(number, error)| {
            let location = config.access_log_locations.get(number);
            ReloadFault::of(Finding::error(location, error.to_string()))
        })?;
        let host = lock(&self.log_host).with(&config.access_logs, &config.state_directory);
        Ok(Some((next, host)))
    }
}

/// Binds an address; where somebody is listening there, once more, as a worker may be about to close the socket of a
/// listener that was removed a moment ago.
fn once_free(bind: impl Fn() -> Result<Bound, ListenError>) -> Result<Bound, ListenError> {
    let deadline = Instant::now() + CLOSING_TIMEOUT;
    loop {
        match bind() {
            Err(ListenError::InUse { .. }) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            bound => return bound,
        }
    }
}

/// What only a restart can change is not to be half true.
fn check_unchangeable(running: &Config, config: &Config) -> Result<(), ReloadFault> {
    let mut findings = Vec::new();
    let mut differs = |key: &str, location, now: String, wanted: String| {
        let message = format!(
            "`{key}` is {now} as long as the gateway runs, and {wanted} here: it needs a restart, and \
             nothing else of the files is taken over without it"
        );
        let help = format!("restart the gateway, or set `{key}` back to {now} and reload");
        findings.push(Finding::error(Some(location), message).with_help(&help));
    };
    let (before, after) = (worker_count(running), worker_count(config));
    if before != after {
        differs("workers", &config.workers_location, before.to_string(), after.to_string());
    }
    if running.state_directory != config.state_directory {
        let shown = |config: &Config| format!("{:?}", config.state_directory.display().to_string());
        let location = &config.state_directory_location;
        differs("state_directory", location, shown(running), shown(config));
    }
    let (before, after) = (&running.admin.address, &config.admin.address);
    if before.value != after.value {
        let shown = |address: &Option<AdminAddress>| {
            format!("\"{}\"", address.as_ref().map(ToString::to_string).unwrap_or_default())
        };
        differs("admin.address", &after.location, shown(&before.value), shown(&after.value));
    }
    if findings.is_empty() {
        return Ok(());
    }
    let rendered: Vec<String> =
        findings.iter().map(|finding| format!("error: {finding}")).collect();
    Err(ReloadFault { rendered: rendered.join("\n"), findings })
}

fn fault_of(error: &StartError) -> ReloadFault {
    ReloadFault::of(Finding::error(None, error.to_string()))
}

/// The sockets of each worker.
fn per_worker(added: Vec<Added>, workers: usize) -> Vec<Vec<NewSocket>> {
    let mut all: Vec<Vec<NewSocket>> = (0..workers).map(|_| Vec::new()).collect();
    for Added { id, presence, sockets } in added {
        hand_out(&mut all, id, &presence, sockets);
    }
    all
}

/// How long a worker may take to close a socket that it accepts no more connections on.
const CLOSING_TIMEOUT: Duration = Duration::from_millis(500);
