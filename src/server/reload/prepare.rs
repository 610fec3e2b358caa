//! Everything that another configuration needs, before anybody sees any of it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::told::{Finding, ReloadFault};
use crate::access_log::{LogHost, NextLogs};
use crate::config::{AdminAddress, Config, Listener, Upstream};
use crate::net::listen::{self, ListenError, Others, Reserved};
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

/// A listener that is to be.
enum Planned {
    /// There is one already.
    Kept(Listening),
    /// Its address is ours.
    New(ListenerId, Reserved),
}

impl Planned {
    fn id(&self) -> ListenerId {
        match self {
            Self::Kept(kept) => kept.id,
            Self::New(id, _) => *id,
        }
    }
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
        check_unchangeable(&running.config, &config, self.crew.len())?;
        check_host(&config).map_err(|found| {
            let finding = Finding::error(Some(&found.location), found.message);
            ReloadFault::of(finding.with_help(&found.help))
        })?;
        let config = Arc::new(config);
        let upstream = self.upstream(running, &config.upstream)?;
        let planned = self.plan_listeners(&config)?;
        let next = Next {
            listeners: self.served(&config, &planned)?,
            upstream,
            config: Arc::clone(&config),
        };
        let logs = self.logs(running, &config)?;
        let threads = self.threads().start_missing(&config);
        threads.map_err(|error| {
            self.threads().settle(&running.config);
            fault_of(&error)
        })?;
        // Last, since whoever connects to a new listener is lost where anything fails behind it.
        let (listeners, added) =
            listen_on(&config, planned).inspect_err(|_| self.threads().settle(&running.config))?;
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

    /// The listeners of `config`: those that there are, and the addresses of those that are new, on which nobody can
    /// connect yet.
    fn plan_listeners(&self, config: &Config) -> Result<Vec<Planned>, ReloadFault> {
        let mut free = lock(&self.listeners).clone();
        let mut planned = Vec::new();
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
                planned.push(Planned::Kept(kept));
                continue;
            }
            // One of ours that goes holds the address, or a part of it, until the new one is there.
            let beside = free.iter().any(|going| going.bound.port() == section.address.port());
            let others = if beside { Others::Ours } else { Others::Refused };
            let reserve = || listen::reserve(section.address, self.crew.len(), others);
            let reserved = once_free(reserve).map_err(|error| cannot_listen(section, &error))?;
            planned.push(Planned::New(self.shared.next_listener(), reserved));
        }
        Ok(planned)
    }

    /// The listeners as requests will see them, their certificates loaded.
    fn served(
        &self,
        config: &Config,
        planned: &[Planned],
    ) -> Result<Vec<ServedListener>, ReloadFault> {
        let served = |(section, planned): (&Listener, &Planned)| {
            let tls = load_tls(section, &config.policies, &self.sessions).map_err(|error| {
                let location = section.tls.as_ref().map(|tls| &tls.location);
                ReloadFault::of(Finding::error(location, error.to_string()))
            })?;
            Ok(ServedListener { id: planned.id(), section: Arc::new(section.clone()), tls })
        };
        config.listeners.iter().zip(planned).map(served).collect()
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

/// Lets people connect to the listeners that are new; those, and all.
fn listen_on(
    config: &Config,
    planned: Vec<Planned>,
) -> Result<(Vec<Listening>, Vec<Added>), ReloadFault> {
    let (mut listeners, mut added) = (Vec::new(), Vec::new());
    for (section, planned) in config.listeners.iter().zip(planned) {
        let (id, reserved) = match planned {
            Planned::Kept(kept) => {
                listeners.push(kept);
                continue;
            }
            Planned::New(id, reserved) => (id, reserved),
        };
        let bound = reserved.listen().map_err(|error| cannot_listen(section, &error))?;
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

fn cannot_listen(section: &Listener, error: &ListenError) -> ReloadFault {
    let message = format!("cannot listen on {error}");
    ReloadFault::of(Finding::error(Some(&section.location), message))
}

/// Binds an address; where somebody is listening there, once more, as a worker may be about to close the socket of a
/// listener that was removed a moment ago.
fn once_free(bind: impl Fn() -> Result<Reserved, ListenError>) -> Result<Reserved, ListenError> {
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
fn check_unchangeable(
    running: &Config,
    config: &Config,
    workers: usize,
) -> Result<(), ReloadFault> {
    let mut findings = Vec::new();
    let mut differs = |key: &str, location, now: String, wanted: String| {
        let message = format!(
            "`{key}` is {now} as long as the gateway runs, and {wanted} here: it needs a restart, and \
             nothing else of the files is taken over without it"
        );
        let help = format!("restart the gateway, or set `{key}` back to {now} and reload");
        findings.push(Finding::error(Some(location), message).with_help(&help));
    };
    // The number of cores may be another one than at the start.
    let after = worker_count(config);
    if running.workers != config.workers && workers != after {
        differs("workers", &config.workers_location, workers.to_string(), after.to_string());
    }
    if running.control_socket.value != config.control_socket.value {
        let shown = |config: &Config| {
            let path =
                config.control_socket.value.as_deref().map(|path| path.display().to_string());
            format!("{:?}", path.unwrap_or_default())
        };
        let location = &config.control_socket.location;
        differs("control.socket", location, shown(running), shown(config));
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
