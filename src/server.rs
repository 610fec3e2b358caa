//! A running gateway: its workers, from start to the last connection.
//!
//! Imports `access_log`, `config`, `connection`, `gateway`, `identity`, `location`, `net`, `policy`,
//! `resolver`, `supervision`, `tls`, `upstream`, `worker`, `x509`. Begin with `Server::start`, then
//! `accept.rs`.

mod accept;
mod background;
mod loopback_source;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{self, Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::access_log::{AccessLogs, LogCounters, LogHost, OpenError, WorkerLog};
use crate::config::Config;
use crate::net::listen::{self, Bound, ListenError, Lock};
use crate::supervision::{Ending, Supervisor};
use crate::worker::Shared;

pub use background::certificates::load_certificates;
pub use background::peer_names::{NameRefresher, NamesSource, resolve_names};
pub use background::upstream_addresses::{Unresolved, resolve, resolve_within};
pub use loopback_source::{LoopbackSource, check_source, other_addresses};

use accept::run_worker;
use background::certificates::watch_certificates;
use background::peer_names::start_name_keeper;
use background::upstream_addresses::{resolve_at_start, start_resolver};

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
    /// Where unexpected thread exits are reported.
    supervisor: Supervisor,
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
    /// Connections are dropped at once.
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
    /// A worker's runtime could not be made, or its sockets do not fit into it.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
    /// A thread could not be started.
    #[error("cannot start the thread `{name}`: {error}. Raise the limit of threads (TasksMax=)")]
    Thread {
        /// The thread's name.
        name: String,
        /// What the system said.
        error: io::Error,
    },
}

impl StartError {
    /// That the thread of this name could not be started.
    fn thread(name: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Thread { name: name.to_owned(), error }
    }
}

impl Server {
    /// Starts a gateway; returns when it listens on all of its addresses.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_under(config, Supervisor::default())
    }

    /// The same with a supervisor to which unexpected thread exits are reported.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start_under(config: Config, supervisor: Supervisor) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let upstream = resolve_at_start(&config.upstream);
        check_source(&config.upstream, &upstream)?;
        let count = worker_count(&config);
        let bound = config
            .listeners
            .iter()
            .map(|listener| listen::bind(listener.address, count))
            .collect::<Result<Vec<_>, _>>()?;
        let logs = AccessLogs::open(&config.access_logs, &supervisor)?;
        let log_host = Arc::new(LogHost::of(&config.access_logs, &config.state_directory));
        let shared = Arc::new(Shared::new(Arc::clone(&config), upstream, descriptors()));
        let sessions = load_certificates(&config, &shared)?;
        let (phase, _) = watch::channel(Phase::Serving);
        let addresses = bound.iter().map(|bound| bound.address).collect();
        let (sockets, locks) = per_worker(bound, count);
        let mut server = Self {
            resolver: start_resolver(&shared, &supervisor)?,
            names: start_name_keeper(&shared, &supervisor)?,
            certificates: watch_certificates(&shared, sessions, &supervisor)?,
            shared,
            addresses,
            phase,
            workers: Vec::new(),
            locks,
            logs,
            log_host,
            supervisor,
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
        let readied = readied.iter().map(|ready| ready.map_err(StartError::Worker));
        if let Err(error) = readied.fold(started, Result::and) {
            server.stop_now();
            return Err(error);
        }
        Ok(server)
    }

    /// Starts a worker; it says by `ready` whether it serves.
    fn start_worker(
        &self,
        sockets: Vec<std::net::TcpListener>,
        ready: mpsc::Sender<io::Result<()>>,
    ) -> Result<JoinHandle<()>, StartError> {
        let shared = Arc::clone(&self.shared);
        let host = Arc::clone(&self.log_host);
        let buffers = self.logs.buffers();
        let phase = self.phase.subscribe();
        let name = format!("worker-{}", self.workers.len());
        let body = move || {
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
                Err(error) => {
                    drop(ready.send(Err(error)));
                    // Whoever starts the gateway knows, and ends the others.
                    return Ending::Expected;
                }
            };
            // Who waits for the workers waits until the last of these is gone.
            drop(ready.send(Ok(())));
            drop(ready);
            runtime.block_on(run_worker(shared, WorkerLog::new(buffers, host), sockets, phase))
        };
        self.supervisor.spawn(&name, body).map_err(StartError::thread(&name))
    }

    /// What is listened on, in the configuration's order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What the workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Where unexpected thread exits are reported: the gateway is no longer whole then, and its owner
    /// should end it.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Reopens the access logs, as after a rotation.
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

    /// Ends what is still open after `grace`, and returns when the last line of the log is written, or
    /// when a worker or a log has had its time for that.
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
        let deadline = time::Instant::now() + grace + WORKER_TIMEOUT;
        for (number, worker) in self.workers.into_iter().enumerate() {
            join(&format!("worker-{number}"), worker, deadline);
        }
        drop(self.locks);
        self.logs.finish(LOG_TIMEOUT);
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

/// Waits for a thread's end, but not for one that hangs.
fn join(name: &str, thread: JoinHandle<()>, deadline: time::Instant) {
    while !thread.is_finished() {
        if time::Instant::now() >= deadline {
            return tracing::error!("the thread `{name}` does not end; what it holds is lost");
        }
        thread::sleep(Duration::from_millis(2));
    }
    if thread.join().is_err() {
        tracing::error!("the thread `{name}` ended in a panic");
    }
}

/// How long a worker may take to end once its connections have had their time.
const WORKER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the log's thread may take to write the last lines.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);
