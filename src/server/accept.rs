//! A worker's thread from its first connection to its last.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout_at};

use super::Phase;
use crate::access_log::WorkerLog;
use crate::connection;
use crate::gateway::connection_facts::{Accepted, ConnectionLogFacts};
use crate::supervision::{Ending, ends_for_test};
use crate::worker::{ConnectionGuard, Shared, Worker};

/// A worker's life.
pub(super) async fn run_worker(
    shared: Arc<Shared>,
    log: WorkerLog,
    sockets: Vec<TcpListener>,
    mut phase: watch::Receiver<Phase>,
) -> Ending {
    let worker = Rc::new(Worker::new(shared, log));
    let mut acceptors = JoinSet::new();
    for (listener, socket) in sockets.into_iter().enumerate() {
        acceptors.spawn_local(accept(Rc::clone(&worker), socket, listener));
    }
    tokio::select! {
        // Every sender of the phase lives as long as the server.
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
        Some(_) = acceptors.join_next() => {
            return Ending::Unexpected("a task of it that accepts connections has ended".to_owned());
        }
        () = run_maintenance(&worker) => {
            return Ending::Unexpected("it does no longer flush its log, nor keep time".to_owned());
        }
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
        () = run_maintenance(&worker) => {}
    }
    // What is still open is dropped with the runtime, and leaves its record as it goes.
    Ending::Expected
}

/// What a worker does beside its connections; never returns.
async fn run_maintenance(worker: &Worker) {
    tokio::join!(
        worker.log.flush_in_time(),
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

/// Accepts connections until the worker drains, and then those that wait already: the kernel would
/// reset them with the socket.
async fn accept(worker: Rc<Worker>, socket: TcpListener, listener: usize) {
    if ends_for_test(|| format!("accept-{listener}")) {
        return;
    }
    while !worker.is_draining() {
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
}

async fn on_accept(
    worker: &Rc<Worker>,
    accepted: io::Result<(TcpStream, SocketAddr)>,
    listener: usize,
) {
    match accepted {
        Ok((stream, address)) => spawn_connection(worker, stream, address, listener),
        // The client left before it was accepted; the next one is waiting already.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
        Err(error) => {
            worker.diagnostics.accept_failed(&error);
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn spawn_connection(worker: &Rc<Worker>, stream: TcpStream, address: SocketAddr, listener: usize) {
    let (mut accepted, class) = Accepted::at_accept(&worker.shared.snapshot(), address, listener);
    let facts = accepted.facts_mut();
    match ConnectionGuard::new(worker, class, facts.log_facts.opened.into_std()) {
        Err(why) => worker.diagnostics.connection_rejected(facts.shown_address(), why),
        Ok(guard) => {
            let local =
                if worker.log.needs().local_address { stream.local_addr().ok() } else { None };
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
