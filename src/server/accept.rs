//! A worker's thread from its first connection to its last.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout_at};

use super::Phase;
use super::orders::{Begin, NewSocket, Order};
use crate::access_log::WorkerLog;
use crate::connection;
use crate::gateway::connection_facts::{Accepted, ConnectionLogFacts};
use crate::supervision::{Ending, ends_for_test};
use crate::worker::listeners::{ListenerId, Presence};
use crate::worker::{Accepting, ConnectionGuard, Shared, Worker};

/// A worker's life.
pub(super) async fn run_worker(
    (number, shared, log): (usize, Arc<Shared>, WorkerLog),
    sockets: Vec<Registered>,
    mut orders: UnboundedReceiver<Order>,
    mut phase: watch::Receiver<Phase>,
) -> Ending {
    let worker = Rc::new(Worker::new(number, shared, log));
    let mut acceptors = Acceptors::new(&worker);
    acceptors.begin(sockets);
    let mut maintenance = pin!(run_maintenance(&worker));
    loop {
        tokio::select! {
            // Every sender of the phase lives as long as the server.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => break,
            Some(order) = orders.recv() => acceptors.handle(order),
            Some(ended) = acceptors.tasks.join_next() => {
                // That of a listener which was removed is to end.
                if !ended.is_ok_and(|listener| !worker.listeners.has(listener)) {
                    let why = "a task of it that accepts connections has ended";
                    return Ending::Unexpected(why.to_owned());
                }
            }
            () = &mut maintenance => {
                return Ending::Unexpected("it does no longer flush its log, nor keep time".to_owned());
            }
        }
    }
    worker.begin_to_drain();
    let until = match *phase.borrow() {
        Phase::Draining(until) => until,
        Phase::Serving | Phase::Ended => Instant::now(),
    };
    let ended = async {
        while acceptors.tasks.join_next().await.is_some() {}
        while worker.open() > 0 {
            worker.closed.notified().await;
        }
    };
    tokio::select! {
        _ = phase.wait_for(|phase| *phase == Phase::Ended) => {}
        _ = timeout_at(until, ended) => {}
        () = &mut maintenance => {}
    }
    // What is still open is dropped with the runtime, and leaves its record as it goes.
    Ending::Expected
}

/// A socket that the worker's runtime looks at.
#[derive(Debug)]
pub(super) struct Registered {
    id: ListenerId,
    presence: Presence,
    socket: TcpListener,
}

/// Lets the worker's runtime look at these; to be called within it.
pub(super) fn register(sockets: Vec<NewSocket>) -> io::Result<Vec<Registered>> {
    let register = |NewSocket { id, presence, socket }| {
        Ok(Registered { id, presence, socket: TcpListener::from_std(socket)? })
    };
    sockets.into_iter().map(register).collect()
}

/// The tasks of a worker that accept connections, and those that are to be.
struct Acceptors {
    worker: Rc<Worker>,
    tasks: JoinSet<ListenerId>,
    /// Sockets of a reload that is not decided yet.
    prepared: Vec<Registered>,
}

impl Acceptors {
    fn new(worker: &Rc<Worker>) -> Self {
        Self { worker: Rc::clone(worker), tasks: JoinSet::new(), prepared: Vec::new() }
    }

    /// Accepts connections on these.
    fn begin(&mut self, sockets: Vec<Registered>) {
        for Registered { id, presence, socket } in sockets {
            if !self.worker.listeners.has(id) {
                self.worker.listeners.add(id, presence);
            }
            // Counted before the task first runs: the listener may be removed until then.
            let accepting = Accepting::new(&self.worker, id);
            self.tasks.spawn_local(accept(Rc::clone(&self.worker), socket, accepting));
        }
    }

    fn handle(&mut self, order: Order) {
        match order {
            Order::Prepare { sockets, done } => {
                let outcome = register(sockets).map(|sockets| self.prepared = sockets);
                // Who has lost patience gives the order to forget it.
                let _ = done.send(outcome);
            }
            Order::Forget => self.prepared.clear(),
            Order::Answer { done } => drop(done),
            Order::Begin(Begin { removed, logs, done }) => {
                let prepared = std::mem::take(&mut self.prepared);
                self.begin(prepared);
                self.worker.remove_listeners(&removed);
                if let Some((plan, host)) = logs {
                    self.worker.replace_log(plan, host);
                }
                // It only waits to tell that all have begun.
                let _ = done.send(());
            }
        }
    }
}

/// What a worker does beside its connections; never returns.
async fn run_maintenance(worker: &Worker) {
    tokio::join!(
        worker.flush_log_in_time(),
        worker.timer_keep_alive.run(|| worker.buffers.tidy()),
        evict_idle(worker)
    );
}

async fn evict_idle(worker: &Worker) {
    let mut ticks = interval(EVICTION_INTERVAL);
    loop {
        ticks.tick().await;
        worker.pool.evict_idle();
    }
}

/// Accepts connections until the worker drains or the listener is removed, and then those that wait already:
/// the kernel would reset them with the socket.
async fn accept(worker: Rc<Worker>, socket: TcpListener, accepting: Accepting) -> ListenerId {
    let listener = accepting.listener();
    if ends_for_test(|| format!("accept-{listener}")) {
        return listener;
    }
    while !worker.is_ending(listener) {
        tokio::select! {
            biased;
            accepted = socket.accept() => on_accept(&worker, accepted, listener).await,
            () = worker.drain.notified() => {}
        }
    }
    let now = |context: &mut Context<'_>| Poll::Ready(socket.poll_accept(context));
    while let Poll::Ready(Ok((stream, address))) = std::future::poll_fn(now).await {
        spawn_connection(&worker, stream, address, listener);
    }
    listener
}
async fn on_accept(
    worker: &Rc<Worker>,
    accepted: io::Result<(TcpStream, SocketAddr)>,
    listener: ListenerId,
) {
    match accepted {
        Ok((stream, address)) => spawn_connection(worker, stream, address, listener),
        // The client left before it was accepted; the next one is waiting already.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
        Err(error) => {
            worker.diagnostics.accept_failed(&error);
            worker.metrics().inspect(|own| own.accept_failed());
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn spawn_connection(
    worker: &Rc<Worker>,
    stream: TcpStream,
    address: SocketAddr,
    listener: ListenerId,
) {
    let (mut accepted, class) = Accepted::at_accept(&worker.shared.snapshot(), address, listener);
    let facts = accepted.facts_mut();
    tracing::debug!(client = %facts.shown_address(), "a connection was accepted");
    match ConnectionGuard::new(worker, class, listener, facts.log_facts.opened.into_std()) {
        Err(why) => {
            worker.diagnostics.connection_rejected(facts.shown_address(), why);
            worker.metrics().inspect(|own| own.rejected_at_accept(why));
        }
        Ok(guard) => {
            let local =
                if worker.log().needs().local_address { stream.local_addr().ok() } else { None };
            let local = local.map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
            let number = worker.shared.next_connection();
            facts.log_facts = ConnectionLogFacts { number, local, ..*facts.log_facts }.into();
            facts.over_ceiling = guard.is_over();
            connection::begin(guard, stream, accepted);
        }
    }
}

/// How often idle connections to XiVO are looked through.
const EVICTION_INTERVAL: Duration = Duration::from_secs(5);

/// How long no connection is accepted after the system refused one, for want of descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
