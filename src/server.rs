//! A running gateway: its workers, from start to the last connection.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout_at};

use crate::address::ClientAddress;
use crate::config::{Config, Upstream, UpstreamHost};
use crate::connection;
use crate::gateway::ConnectionFacts;
use crate::listen::{self, Bound, ListenError, Lock};
use crate::place::Place;
use crate::record::{AccessLogs, LogCounters, OpenError, WorkerLog};
use crate::upstream::routed_source;
use crate::worker::{Counted, Shared, Worker};

/// A gateway that runs in threads of its own until it is told to stop.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    phase: watch::Sender<Phase>,
    workers: Vec<JoinHandle<()>>,
    locks: Vec<Lock>,
    logs: AccessLogs,
    /// Dropped to end the thread that resolves XiVO's name.
    resolver: Option<mpsc::Sender<()>>,
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
    /// A thread or its runtime could not be made.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

/// Connections to XiVO would come from a loopback address.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}.\n{}", self.place, self.message(), self.help())]
pub struct LoopbackSource {
    place: Place,
    upstream: SocketAddr,
    source_address: IpAddr,
    advice: String,
}

impl LoopbackSource {
    /// The `[upstream]` section.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What is wrong, without a full stop.
    pub fn message(&self) -> String {
        format!(
            "connections to XiVO at {} would come from {}, and XiVO grants its `private` paths \
             (users, trunk secrets, all without a password) to that address",
            self.upstream, self.source_address
        )
    }

    /// What to write.
    pub fn help(&self) -> String {
        format!(
            "{}\nXiVO then sees the gateway as any other host, and itself refuses `private` to it.\n\
             (`danger_loopback_source = true` in [upstream] starts all the same.)",
            self.advice
        )
    }
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
        let shared = Arc::new(Shared::new(Arc::clone(&config), upstream, descriptors()));
        let (phase, _) = watch::channel(Phase::Serving);
        let addresses = bound.iter().map(|bound| bound.address).collect();
        let (sockets, locks) = per_worker(bound, count);
        let mut server = Self {
            resolver: start_resolver(&shared),
            shared,
            addresses,
            phase,
            workers: Vec::new(),
            locks,
            logs,
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
            runtime.block_on(work(shared, WorkerLog::new(buffers), sockets, phase));
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

/// A worker's life.
async fn work(
    shared: Arc<Shared>,
    log: WorkerLog,
    sockets: Vec<TcpListener>,
    mut phase: watch::Receiver<Phase>,
) {
    let worker = Rc::new(Worker::new(shared, log));
    let mut acceptors = JoinSet::new();
    for (listener, socket) in sockets.into_iter().enumerate() {
        acceptors.spawn_local(accept(Rc::clone(&worker), socket, listener));
    }
    tokio::select! {
        // Every sender of the phase lives as long as the server.
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
        () = keep_house(&worker) => {}
    }
    worker.begin_to_drain();
    let until = match *phase.borrow() {
        Phase::Draining(until) => until,
        Phase::Serving | Phase::Ended => Instant::now(),
    };
    let ended = async {
        while acceptors.join_next().await.is_some() {}
        while worker.open() > 0 {
            worker.closed.notified().await;
        }
    };
    tokio::select! {
        _ = phase.wait_for(|phase| *phase == Phase::Ended) => {}
        _ = timeout_at(until, ended) => {}
        () = keep_house(&worker) => {}
    }
    // What is still open is dropped with the runtime, and leaves its record as it goes.
}

/// What a worker does beside its connections; never returns.
async fn keep_house(worker: &Worker) {
    tokio::join!(worker.log.flush_in_time(), worker.pulse.beat(), sweep(worker));
}

async fn sweep(worker: &Worker) {
    let mut ticks = interval(SWEEP);
    loop {
        ticks.tick().await;
        worker.pool.sweep();
    }
}

/// Accepts connections until the worker drains, and then those that wait already: the kernel would
/// reset them with the socket.
async fn accept(worker: Rc<Worker>, socket: TcpListener, listener: usize) {
    while !worker.is_draining() {
        tokio::select! {
            biased;
            accepted = socket.accept() => take(&worker, accepted, listener).await,
            () = worker.drain.notified() => {}
        }
    }
    let now = |context: &mut Context<'_>| Poll::Ready(socket.poll_accept(context));
    while let Poll::Ready(Ok((stream, address))) = std::future::poll_fn(now).await {
        greet(&worker, stream, address, listener);
    }
}

async fn take(worker: &Rc<Worker>, accepted: io::Result<(TcpStream, SocketAddr)>, listener: usize) {
    match accepted {
        Ok((stream, address)) => greet(worker, stream, address, listener),
        // The client left before it was accepted; the next one is waiting already.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
        Err(error) => {
            worker.diagnostics.accept_failed(&error);
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn greet(worker: &Rc<Worker>, stream: TcpStream, address: SocketAddr, listener: usize) {
    let client = ClientAddress::new(address.ip());
    let stranger = worker.shared.snapshot().peers.find(client).is_none();
    match Counted::new(worker, stranger) {
        None => worker.diagnostics.unheard(client),
        Some((counted, over_ceiling)) => {
            let facts = ConnectionFacts { client, listener, stranger, over_ceiling };
            tokio::task::spawn_local(connection::serve(counted, stream, facts));
        }
    }
}

/// How many files this process may have open.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Refuses a configuration with which XiVO would take the gateway for itself.
///
/// # Errors
/// [`LoopbackSource`] where connections to one of `addresses` would come from a loopback address and
/// `danger_loopback_source` does not say that this is wanted. A source that this host does not have
/// yet, or a name without addresses, is no error here: each connection is looked at again before its
/// first byte.
pub fn check_source(upstream: &Upstream, addresses: &[SocketAddr]) -> Result<(), LoopbackSource> {
    if upstream.danger_loopback_source {
        return Ok(());
    }
    let configured = upstream.source.as_ref().map(|source| source.value);
    for &address in addresses {
        let source = configured.or_else(|| routed_source(address));
        if let Some(source_address) = source.filter(|source| source.to_canonical().is_loopback()) {
            return Err(LoopbackSource {
                place: upstream.place.clone(),
                upstream: address,
                source_address,
                advice: advise_source(address, &other_addresses()),
            });
        }
    }
    Ok(())
}

fn advise_source(upstream: SocketAddr, addresses: &[IpAddr]) -> String {
    let of_its_kind: Vec<String> = addresses
        .iter()
        .filter(|address| address.is_ipv4() == upstream.is_ipv4())
        .map(ToString::to_string)
        .collect();
    match (of_its_kind.as_slice(), addresses) {
        ([first, rest @ ..], _) => {
            let rest = match rest {
                [] => String::new(),
                rest => format!(" (this host also has {})", rest.join(", ")),
            };
            format!("Write this into [upstream]: source = \"{first}\"{rest}.")
        }
        ([], [IpAddr::V4(first), ..]) => format!(
            "This host has no other IPv6 address. Write these into [upstream]: \
             url = \"http://127.0.0.1:{}\", source = \"{first}\".",
            upstream.port()
        ),
        ([], _) => {
            "This host has no such address on a network now. Write the one that it will have \
                    into [upstream]: source = \"…\"."
                .to_owned()
        }
    }
}

/// This host's addresses on its networks: IPv4 first, since XiVO's Web Services users know no IPv6.
pub fn other_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
    addresses.retain(|address| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    });
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// XiVO's addresses as they are now. Blocks as long as the system's resolver does.
pub fn resolve(upstream: &Upstream) -> io::Result<Vec<SocketAddr>> {
    match &upstream.host {
        UpstreamHost::Ip(ip) => Ok(vec![SocketAddr::new(*ip, upstream.port)]),
        UpstreamHost::Name(name) => {
            let mut addresses: Vec<SocketAddr> =
                (name.as_str(), upstream.port).to_socket_addrs()?.collect();
            // Name servers answer in turns; the order is not to look like a change.
            addresses.sort_unstable();
            addresses.dedup();
            Ok(addresses)
        }
    }
}

/// The same with patience: a name that does not resolve delays the start a little and does not
/// prevent it.
fn resolve_at_start(upstream: &Upstream) -> Vec<SocketAddr> {
    if let UpstreamHost::Ip(ip) = upstream.host {
        return vec![SocketAddr::new(ip, upstream.port)];
    }
    let (answer, answered) = mpsc::channel();
    let asked = upstream.clone();
    thread::spawn(move || answer.send(resolve(&asked)));
    match answered.recv_timeout(RESOLVE_PATIENCE) {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => {
            tracing::warn!(
                "{}: {} has no address: {error}; lookups are answered 502 until it has",
                upstream.place,
                upstream.host
            );
            Vec::new()
        }
        Err(_) => {
            tracing::warn!(
                "{}: {} was not resolved in time; lookups are answered 502 until it is",
                upstream.place,
                upstream.host
            );
            Vec::new()
        }
    }
}

/// Keeps XiVO's addresses current where it is known by a name.
fn start_resolver(shared: &Arc<Shared>) -> Option<mpsc::Sender<()>> {
    let upstream = shared.snapshot().config.upstream.clone();
    let UpstreamHost::Name(_) = upstream.host else {
        return None;
    };
    let (stop, stopped) = mpsc::channel();
    let shared = Arc::clone(shared);
    let keep = move || {
        let mut failing = shared.snapshot().upstream.is_empty();
        let pause = |failing| if failing { RESOLVE_SOON } else { RESOLVE_AGAIN };
        while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(pause(failing)) {
            match resolve(&upstream) {
                Ok(addresses) => {
                    failing = false;
                    if shared.set_upstream(addresses.clone()) {
                        tracing::info!("{} is now at {addresses:?}", upstream.host);
                    }
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        "{} could not be resolved: {error}; its last addresses are kept",
                        upstream.host
                    );
                }
                Err(_) => {}
            }
        }
    };
    thread::Builder::new().name("resolver".to_owned()).spawn(keep).ok()?;
    Some(stop)
}

/// How long the log's thread may take to write the last lines.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// How often idle connections to XiVO are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// How long no connection is accepted after the system refused one, for want of descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the start waits for XiVO's name.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(3);

/// How often XiVO's name is resolved again.
const RESOLVE_AGAIN: Duration = Duration::from_secs(60);

/// The same after a failure.
const RESOLVE_SOON: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advised_source_can_connect_to_the_upstream() {
        let advice = |upstream: &str, addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
            advise_source(upstream.parse().unwrap(), &addresses)
        };
        let both = ["192.168.1.125", "192.168.2.1", "2001:db8::1"];
        assert_eq!(
            advice("127.0.0.1:80", &both),
            "Write this into [upstream]: source = \"192.168.1.125\" (this host also has 192.168.2.1)."
        );
        assert!(advice("[::1]:80", &both).contains("source = \"2001:db8::1\"."));
        assert!(advice("[::1]:80", &["192.168.1.125"]).contains("url = \"http://127.0.0.1:80\""));
        assert!(advice("127.0.0.1:80", &["2001:db8::1"]).contains("source = \"…\""));
    }
}
