//! A running gateway: its workers, from start to the last connection.

mod certificates;
mod names;
mod resolver;
mod source;
mod work;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Config;
use crate::listen::{self, Bound, ListenError, Lock};
use crate::record::{AccessLogs, LogCounters, LogHost, OpenError, WorkerLog};
use crate::worker::Shared;

pub use certificates::load_certificates;
pub use names::{NameKeeper, NamesFrom, resolve_names};
pub use resolver::resolve;
pub use source::{LoopbackSource, check_source, other_addresses};

use certificates::watch_certificates;
use names::start_name_keeper;
use resolver::{resolve_at_start, start_resolver};
use work::work;

/// A gateway that runs in threads of its own until it is told to stop.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    phase: watch::Sender<Phase>,
    workers: Vec<JoinHandle<()>>,
    locks: Vec<Lock>,
    logs: AccessLogs,
    log_host: Arc<LogHost>,
    /// Dropped to end the thread that resolves XiVO's name.
    resolver: Option<mpsc::Sender<()>>,
    /// Dropped to end the thread that keeps names resolved.
    names: Option<mpsc::Sender<()>>,
    /// Dropped to end the thread that watches certificates.
    certificates: Option<mpsc::Sender<()>>,
}

/// What the workers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// No further connections; those that are open may finish what they began until then.
    Draining(Instant),
    /// Now.
    Ended,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is valid, and dangerous on this host.
    #[error(transparent)]
    Loopback(#[from] LoopbackSource),
    /// An address could not be listened on.
    #[error("cannot listen on {0}")]
    Listen(#[from] ListenError),
    /// An access log could not be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// A certificate, key, authority or revocation list is not what it was when it was checked.
    #[error("cannot load certificates: {0}")]
    Certificates(String),
    /// rustls cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// A thread or its runtime could not be made.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

impl Server {
    /// Starts a gateway; returns when it listens on all of its addresses.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let upstream = resolve_at_start(&config.upstream);
        check_source(&config.upstream, &upstream)?;
        let count = worker_count(&config);
        let bound = config
            .listeners
            .iter()
            .map(|listener| listen::bind(listener.address, count))
            .collect::<Result<Vec<_>, _>>()?;
        let logs = AccessLogs::open(&config.access_logs)?;
        let log_host = Arc::new(LogHost::of(&config));
        let shared = Arc::new(Shared::new(Arc::clone(&config), upstream, descriptors()));
        let sessions = load_certificates(&config, &shared)?;
        let (phase, _) = watch::channel(Phase::Serving);
        let addresses = bound.iter().map(|bound| bound.address).collect();
        let (sockets, locks) = per_worker(bound, count);
        let mut server = Self {
            resolver: start_resolver(&shared),
            names: start_name_keeper(&shared),
            certificates: watch_certificates(&shared, sessions),
            shared,
            addresses,
            phase,
            workers: Vec::new(),
            locks,
            logs,
            log_host,
        };
        let (ready, readied) = mpsc::channel();
        let mut started = Ok(());
        for sockets in sockets {
            match server.start_worker(sockets, ready.clone()) {
                Ok(worker) => server.workers.push(worker),
                Err(error) => started = Err(error),
            }
        }
        drop(ready);
        if let Err(error) = readied.iter().fold(started, Result::and) {
            server.stop_now();
            return Err(StartError::Worker(error));
        }
        Ok(server)
    }

    /// Starts a worker; it says by `ready` whether it serves.
    fn start_worker(
        &self,
        sockets: Vec<std::net::TcpListener>,
        ready: mpsc::Sender<io::Result<()>>,
    ) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        let host = Arc::clone(&self.log_host);
        let buffers = self.logs.buffers();
        let phase = self.phase.subscribe();
        let name = format!("worker-{}", self.workers.len());
        thread::Builder::new().name(name).spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            let sockets = runtime.and_then(|runtime| {
                let entered = runtime.enter();
                let sockets: io::Result<Vec<_>> =
                    sockets.into_iter().map(TcpListener::from_std).collect();
                drop(entered);
                Ok((runtime, sockets?))
            });
            let (runtime, sockets) = match sockets {
                Ok(both) => both,
                Err(error) => return drop(ready.send(Err(error))),
            };
            // Who waits for the workers waits until the last of these is gone.
            drop(ready.send(Ok(())));
            drop(ready);
            runtime.block_on(work(shared, WorkerLog::new(buffers, host), sockets, phase));
        })
    }

    /// What is listened on, in the configuration's order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What the workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Opens the access logs anew, as after a rotation.
    pub fn reopen_logs(&self) {
        self.logs.reopen();
    }

    /// How many lines each access log has written and lost.
    pub fn log_counters(&self) -> Vec<LogCounters> {
        self.logs.counters()
    }

    /// Takes no further connections, and lets those that are open finish what they began, for
    /// `grace` at the most. Returns at once.
    pub fn drain(&mut self, grace: Duration) {
        self.phase.send_replace(Phase::Draining(Instant::now() + grace));
    }

    /// Whether all workers have ended.
    pub fn has_ended(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// Ends what is still open after `grace`, and returns when the last line of the log is written.
    pub fn stop(mut self, grace: Duration) {
        if matches!(*self.phase.borrow(), Phase::Serving) {
            self.drain(grace);
        }
        self.resolver = None;
        self.certificates = None;
        self.names = None;
        if grace.is_zero() {
            self.phase.send_replace(Phase::Ended);
        }
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker ended in a panic");
            }
        }
        drop(self.locks);
        self.logs.finish(LOG_PATIENCE);
    }

    /// Ends everything now, but for the log.
    pub fn stop_now(self) {
        self.stop(Duration::ZERO);
    }
}

/// The sockets of each worker, one per listener, and the locks of all.
fn per_worker(bound: Vec<Bound>, workers: usize) -> (Vec<Vec<std::net::TcpListener>>, Vec<Lock>) {
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let mut locks = Vec::new();
    for listener in bound {
        locks.extend(listener.lock);
        for (worker, socket) in sockets.iter_mut().zip(listener.sockets) {
            worker.push(socket);
        }
    }
    (sockets, locks)
}

fn worker_count(config: &Config) -> usize {
    match config.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

/// How many files this process may have open, once it has asked for as many as it may.
fn descriptors() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is forbidden (seccomp's @resources), the limit stays as systemd set it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// How long the log's thread may take to write the last lines.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
