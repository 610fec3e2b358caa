//! A running gateway: its workers, from start to the last connection, and what replaces its configuration
//! meanwhile.
//!
//! Imports `access_log`, `config`, `connection`, `files`, `gateway`, `identity`, `location`, `net`, `policy`,
//! `resolver`, `supervision`, `text`, `tls`, `upstream`, `worker`, `x509`. Begin with `Server::start`,
//! then `accept.rs` and `reload.rs`.

mod accept;
mod background;
mod disabled_file;
mod history;
mod host;
mod orders;
mod reload;
mod service_manager;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{self, Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::access_log::{AccessLogs, LogCounters, LogHost, LogTotals, OpenError, WorkerLog};
use crate::config::{Change, Config, DiskStamps};
use crate::gateway::explain::explain_circuit;
use crate::net::handover::{HandoverError, HandoverSocket, Message};
use crate::net::inherited::Inherited;
use crate::net::listen::{self, Bound, ListenError, Lock, Reserved};
use crate::supervision::{Ending, Supervisor, has_ended_by};
use crate::text::figures::plural;
use crate::tls::Sessions;
use crate::worker::Shared;
use crate::worker::listeners::{ListenerId, Presence, PresenceWatch};

pub use background::certificates::load_certificates;
pub use background::peer_names::{NameRefresher, NamesSource, resolve_names};
pub use background::upstream_addresses::{Unresolved, resolve, resolve_within};
pub(crate) use background::upstream_check::own_client;
pub use disabled_file::{DisabledFile, DisabledFileError};
pub use history::{HistoryEntry, KeptConfigurations};
pub use host::{
    HostFinding, ListeningSocket, LoopbackSource, Onlooker, Scope, Service, ServiceUser, Weight,
    check_source, look as look_at_host, other_addresses,
};
pub(crate) use reload::HANDING_OVER;
pub use reload::{Difference, DiffersBecause, Finding, ReloadFault, ReloadReport, Reloads};
pub(crate) use service_manager::ServiceManager;

use accept::run_worker;
use background::Threads;
use background::configuration::{Bell, start_configuration};
use background::upstream_addresses::resolve_at_start;
use orders::{Crew, NewSocket, Order};
use reload::lock;

/// What a process has around its gateway.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// Told of threads that end without being told to.
    pub(crate) supervisor: Supervisor,
    /// Told how the gateway is.
    pub(crate) manager: ServiceManager,
    /// Sockets that listen already.
    pub(crate) inherited: Inherited,
}

/// A gateway that runs in threads of its own until it is told to stop. Clones are the same gateway.
#[derive(Clone, Debug)]
pub struct Server {
    inner: Arc<Inner>,
}

/// What the gateway's owner, its control socket and its own threads do something with.
#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    crew: Crew,
    /// Where unexpected thread exits are reported.
    supervisor: Supervisor,
    sessions: Sessions,
    /// Held while one reload is carried out.
    reloading: Mutex<()>,
    listeners: Mutex<Vec<Listening>>,
    /// Where they listen; apart, so that nobody waits for a reload who asks.
    addresses: Mutex<Vec<SocketAddr>>,
    /// Listeners that were removed, as long as a worker has connections of them.
    leaving: Mutex<Vec<(ListenerId, PresenceWatch)>>,
    logs: Mutex<AccessLogs>,
    log_host: Mutex<Arc<LogHost>>,
    threads: Mutex<Threads>,
    difference: Mutex<Option<Difference>>,
    /// The files of which a reload was refused: as long as they are these, why is known.
    refused: Mutex<Option<DiskStamps>>,
    history_unwritable: Mutex<bool>,
    /// Whether another process is about to take the place of this one, and knows what this one knew a moment ago.
    handing_over: AtomicBool,
    reloads: Mutex<Reloads>,
    manager: ServiceManager,
    /// Rung for the thread that keeps an eye on the configuration's files.
    bell: Arc<Bell>,
}

/// An address that is listened on.
#[derive(Clone, Debug)]
struct Listening {
    id: ListenerId,
    /// What the configuration says.
    wanted: SocketAddr,
    /// What it came to: the port where that is 0, and IPv4 where there is no IPv6.
    bound: SocketAddr,
    watch: PresenceWatch,
    /// The sockets that workers accept on, for whoever keeps them or takes them over.
    sockets: Arc<[TcpListener]>,
    /// Held as long as the address is listened on.
    lock: Option<Arc<Lock>>,
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
    /// This host lacks what the configuration names.
    #[error(transparent)]
    Host(#[from] HostFinding),
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
    /// Who is switched off cannot be known.
    #[error(transparent)]
    Disabled(#[from] DisabledFileError),
    /// A socket that is listened on could not be kept beside the workers'.
    #[error("cannot keep a listening socket: {0}. Raise the limit of open files (LimitNOFILE=)")]
    Descriptors(#[source] io::Error),
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
        Self::start_within(config, Surroundings::default())
    }

    /// The same with what the process has around it.
    ///
    /// # Errors
    /// [`StartError`]
    pub(crate) fn start_within(
        config: Config,
        surroundings: Surroundings,
    ) -> Result<Self, StartError> {
        let Surroundings { supervisor, manager, mut inherited } = surroundings;
        let config = Arc::new(config);
        let upstream = resolve_at_start(&config.upstream);
        check_source(&config.upstream, &upstream)?;
        check_host(&config)?;
        let disabled = DisabledFile::in_directory(&config.state_directory).load()?;
        let shared = Arc::new(Shared::new(Arc::clone(&config), upstream, descriptors()));
        shared.set_disabled(disabled);
        let count = shared.workers();
        // Nobody connects to one that is new before all that may fail is done.
        let reserved = config
            .listeners
            .iter()
            .map(|listener| listen::inherit_or_reserve(listener.address, count, &mut inherited))
            .collect::<Result<Vec<_>, _>>()?;
        for address in inherited.left() {
            tracing::warn!(
                "a socket that listens on {address} was passed to the gateway, and no [[listen]] wants it: it is closed"
            );
            manager.forget_passed(address);
        }
        let logs = AccessLogs::open(&config.access_logs, &supervisor)?;
        let log_host = Arc::new(LogHost::of(&config.access_logs, &config.state_directory));
        let sessions = load_certificates(&config, &shared)?;
        let mut threads = Threads::new(&shared, &sessions, &supervisor);
        threads.start_missing(&config)?;
        let bound = reserved.into_iter().map(Reserved::listen).collect::<Result<Vec<_>, _>>()?;
        let (listeners, sockets) =
            listening(&config, bound, count).map_err(StartError::Descriptors)?;
        drop(inherited);
        let mut crew = Crew::default();
        let orders: Vec<_> = (0..count).map(|_| crew.add()).collect();
        let bell = Arc::new(Bell::new().map_err(StartError::thread("configuration"))?);
        let server = Self {
            inner: Arc::new(Inner {
                shared,
                phase: watch::channel(Phase::Serving).0,
                workers: Mutex::default(),
                crew,
                supervisor,
                sessions,
                reloading: Mutex::default(),
                addresses: Mutex::new(listeners.iter().map(|listener| listener.bound).collect()),
                listeners: Mutex::new(listeners),
                leaving: Mutex::default(),
                logs: Mutex::new(logs),
                log_host: Mutex::new(log_host),
                threads: Mutex::new(threads),
                handing_over: AtomicBool::new(false),
                manager,
                difference: Mutex::default(),
                refused: Mutex::default(),
                history_unwritable: Mutex::default(),
                reloads: Mutex::default(),
                bell,
            }),
        };
        let started = server.start_workers(orders.into_iter().zip(sockets));
        let started = started.and_then(|()| start_configuration(&server.inner));
        if let Err(error) = started {
            server.stop_now();
            return Err(error);
        }
        server.inner.note_start(&config);
        Ok(server)
    }

    /// Starts all workers, and returns when they serve.
    fn start_workers(
        &self,
        crew: impl Iterator<Item = (UnboundedReceiver<Order>, Vec<NewSocket>)>,
    ) -> Result<(), StartError> {
        let (ready, readied) = mpsc::channel();
        let mut started = Ok(());
        for (number, (orders, sockets)) in crew.enumerate() {
            match self.start_worker(number, (orders, sockets), ready.clone()) {
                Ok(worker) => lock(&self.inner.workers).push(worker),
                Err(error) => started = Err(error),
            }
        }
        drop(ready);
        let readied = readied.iter().map(|ready| ready.map_err(StartError::Worker));
        readied.fold(started, Result::and)
    }

    /// Starts a worker; it says by `ready` whether it serves.
    fn start_worker(
        &self,
        number: usize,
        (orders, sockets): (UnboundedReceiver<Order>, Vec<NewSocket>),
        ready: mpsc::Sender<io::Result<()>>,
    ) -> Result<JoinHandle<()>, StartError> {
        let inner = &self.inner;
        let shared = Arc::clone(&inner.shared);
        let host = Arc::clone(&lock(&inner.log_host));
        let buffers = lock(&inner.logs).buffers();
        let phase = inner.phase.subscribe();
        let body = move || {
            let runtime =
                Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            let sockets = runtime.and_then(|runtime| {
                let entered = runtime.enter();
                let sockets = accept::register(sockets);
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
            let log = WorkerLog::new(buffers, host);
            runtime.block_on(run_worker((number, shared, log), sockets, orders, phase))
        };
        let name = worker_name(number);
        inner.supervisor.spawn(&name, body).map_err(StartError::thread(&name))
    }

    /// What is listened on, in the configuration's order.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.inner.addresses).clone()
    }

    /// What the workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// A thread that has not answered within `limit`, or hangs otherwise.
    pub(crate) async fn silent(&self, limit: Duration) -> Option<String> {
        let until = Instant::now() + limit;
        for (number, answered) in self.inner.crew.ask().into_iter().enumerate() {
            if timeout_at(until, answered).await.is_err() {
                return Some(worker_name(number));
            }
        }
        self.inner.supervisor.stuck(time::Instant::now())
    }

    /// How the gateway is, in one line.
    pub(crate) fn status_line(&self) -> String {
        self.inner.status_line()
    }

    /// Hands what is listened on over to the process at the other end.
    ///
    /// # Errors
    /// [`HandoverError`]
    pub(crate) fn hand_over(&self, to: &HandoverSocket) -> Result<(), HandoverError> {
        for listening in lock(&self.inner.listeners).iter() {
            let sockets: Vec<_> = listening.sockets.iter().map(AsFd::as_fd).collect();
            to.send(&Message::Listener(listening.wanted), &sockets)?;
            if let Some(lock) = &listening.lock {
                to.send(&Message::Lock, &[lock.as_fd()])?;
            }
        }
        Ok(())
    }

    /// From now on, or no longer, another process is about to take the place of this one: it would not know of what
    /// is changed here, so that nothing is.
    pub(crate) fn set_handing_over(&self, handing_over: bool) {
        self.inner.handing_over.store(handing_over, Ordering::SeqCst);
    }

    /// Whether that is so.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.inner.handing_over.load(Ordering::SeqCst)
    }

    /// Whether no further connections are taken.
    pub fn is_draining(&self) -> bool {
        *self.inner.phase.borrow() != Phase::Serving
    }

    /// Where unexpected thread exits are reported: the gateway is no longer whole then, and its owner
    /// should end it.
    pub fn supervisor(&self) -> &Supervisor {
        &self.inner.supervisor
    }

    /// Reopens the access logs, as after a rotation.
    pub fn reopen_logs(&self) {
        lock(&self.inner.logs).reopen();
    }

    /// How many lines the access logs of each name have written and lost since the start.
    pub fn log_totals(&self) -> BTreeMap<String, LogTotals> {
        lock(&self.inner.logs).totals()
    }

    /// Reloads until now, and what came of the last.
    pub fn reloads(&self) -> Reloads {
        *lock(&self.inner.reloads)
    }

    /// How many lines each access log has written and lost.
    pub fn log_counters(&self) -> Vec<LogCounters> {
        lock(&self.inner.logs).counters()
    }

    /// Reads the configuration's files again and runs what they say; on any fault everything stays as it is.
    /// Returns when that is so, which may take some seconds where XiVO is another one whose name has to be
    /// resolved. `by` says who wants it, for the journal.
    ///
    /// # Errors
    /// [`ReloadFault`]; then [`Self::differs_from_disk`] says so until it is corrected.
    pub fn reload(&self, by: &str) -> Result<ReloadReport, ReloadFault> {
        self.inner.reload(by)
    }

    /// The same in a thread of its own; the journal tells what came of it.
    pub fn request_reload(&self, by: &'static str) {
        self.inner.bell.ring_for_reload(by);
    }

    /// How what runs differs from what is on disk. A file that has just been changed is seen within seconds.
    pub fn differs_from_disk(&self) -> Option<Difference> {
        self.inner.difference()
    }

    /// The good configurations that are kept, the one that began to run last first.
    pub fn history(&self) -> KeptConfigurations {
        self.inner.history()
    }

    /// Runs the configuration that is kept under `number` again, until the next reload or restart; without one, the
    /// last that is another than the one that runs. The files on disk stay as they are, and a peer that is disabled
    /// stays so.
    ///
    /// # Errors
    /// [`ReloadFault`]; then everything is as it was.
    pub fn rollback(&self, number: Option<usize>, by: &str) -> Result<ReloadReport, ReloadFault> {
        self.inner.rollback(number, by)
    }

    /// What [`Self::rollback`] would change in meaning.
    ///
    /// # Errors
    /// [`ReloadFault`]: it could not be run.
    pub fn rollback_changes(&self, number: Option<usize>) -> Result<Vec<Change>, ReloadFault> {
        self.inner.rollback_changes(number)
    }

    /// Takes no further connections, and lets those that are open finish what they began, for
    /// `grace` at the most. Returns at once.
    pub fn drain(&self, grace: Duration) {
        // Workers take what waits in their sockets, and close them: nothing is to come into them later.
        let mut listeners = lock(&self.inner.listeners);
        for listening in listeners.iter_mut() {
            listening.sockets = Arc::from([]);
        }
        // Whoever puts others there looks at the phase with the same lock.
        self.inner.phase.send_replace(Phase::Draining(Instant::now() + grace));
        drop(listeners);
    }

    /// Whether all workers have ended.
    pub fn has_ended(&self) -> bool {
        lock(&self.inner.workers).iter().all(JoinHandle::is_finished)
    }

    /// Ends what is still open after `grace`, and returns when the last line of the log is written, or
    /// when a worker or a log has had its time for that.
    pub fn stop(self, grace: Duration) {
        let inner = &self.inner;
        if matches!(*inner.phase.borrow(), Phase::Serving) {
            self.drain(grace);
        }
        lock(&inner.threads).end();
        inner.bell.ring_for_end();
        if grace.is_zero() {
            inner.phase.send_replace(Phase::Ended);
        }
        let deadline = time::Instant::now() + grace + WORKER_TIMEOUT;
        let workers = std::mem::take(&mut *lock(&inner.workers));
        for (number, worker) in workers.into_iter().enumerate() {
            join(&worker_name(number), worker, deadline);
        }
        lock(&inner.listeners).clear();
        let logs = std::mem::take(&mut *lock(&inner.logs));
        logs.finish(LOG_TIMEOUT);
    }

    /// Ends everything now, but for the log.
    pub fn stop_now(self) {
        self.stop(Duration::ZERO);
    }
}

impl Inner {
    fn threads(&self) -> std::sync::MutexGuard<'_, Threads> {
        lock(&self.threads)
    }

    /// How the gateway is, in one line.
    fn status_line(&self) -> String {
        let snapshot = self.shared.snapshot();
        let addresses: Vec<String> =
            lock(&self.addresses).iter().map(ToString::to_string).collect();
        let differs = self.difference().map(|difference| format!("; {difference}"));
        let circuit = explain_circuit(&self.shared.outage.circuit(), &snapshot);
        format!(
            "{}listening on {}; {}; revision {}{}",
            circuit.map(|circuit| format!("{circuit}; ")).unwrap_or_default(),
            addresses.join(", "),
            plural(snapshot.peers.len() as u64, "peer", "peers"),
            snapshot.config.revision,
            differs.unwrap_or_default()
        )
    }

    /// The gateway has begun to run: what it runs is kept, or that it runs less than is on disk is noted.
    fn note_start(&self, config: &Config) {
        let findings: Vec<Finding> = config.broken.iter().map(Finding::from).collect();
        if findings.is_empty() {
            self.remember("start");
        } else {
            self.set_difference(Some(DiffersBecause::Broken { findings }));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.bell.ring_for_end();
    }
}

/// The name of a worker's thread.
fn worker_name(number: usize) -> String {
    format!("worker-{number}")
}

/// Whether this host is as the configuration has it, as far as that is seen at once.
fn check_host(config: &Config) -> Result<(), HostFinding> {
    let found = look_at_host(config, &Onlooker::default(), Scope::Start);
    found.into_iter().find(|found| found.weight == Weight::Error).map_or(Ok(()), Err)
}

/// The listeners that a gateway begins with, and the sockets of each worker.
fn listening(
    config: &Config,
    bound: Vec<Bound>,
    workers: usize,
) -> io::Result<(Vec<Listening>, Vec<Vec<NewSocket>>)> {
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let mut listeners = Vec::new();
    for (index, (section, bound)) in config.listeners.iter().zip(bound).enumerate() {
        let id = ListenerId::at(index);
        let (listening, presence, accepting) = Listening::of(id, section.address, bound)?;
        listeners.push(listening);
        hand_out(&mut sockets, id, &presence, accepting);
    }
    Ok((listeners, sockets))
}

/// Gives each worker its sockets of one listener; the first have more where there are more than workers.
fn hand_out(
    workers: &mut [Vec<NewSocket>],
    id: ListenerId,
    presence: &Presence,
    sockets: Vec<TcpListener>,
) {
    let count = workers.len().max(1);
    for (number, socket) in sockets.into_iter().enumerate() {
        if let Some(worker) = workers.get_mut(number % count) {
            worker.push(NewSocket { id, presence: presence.clone(), socket });
        }
    }
}

impl Listening {
    /// One that is listened on from now on; what tells whether workers still have it, and their sockets.
    fn of(
        id: ListenerId,
        wanted: SocketAddr,
        bound: Bound,
    ) -> io::Result<(Self, Presence, Vec<TcpListener>)> {
        let Bound { address, sockets, lock } = bound;
        let presence = Presence::default();
        let accepting = sockets.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        let listening = Self {
            id,
            wanted,
            bound: address,
            watch: presence.watch(),
            sockets: sockets.into(),
            lock: lock.map(Arc::new),
        };
        Ok((listening, presence, accepting))
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
    if !has_ended_by(&thread, deadline) {
        return tracing::error!("the thread `{name}` does not end; what it holds is lost");
    }
    if thread.join().is_err() {
        tracing::error!("the thread `{name}` ended in a panic");
    }
}

/// How long a worker may take to end once its connections have had their time.
const WORKER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the log's thread may take to write the last lines.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);
