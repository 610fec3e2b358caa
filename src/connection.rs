//! A client's connection: a sequence of heads, answered in their order.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use crate::address::ClientAddress;
use crate::arrival;
use crate::caller::ClientSource;
use crate::client::{After, Client, Reading};
use crate::config::Limits;
use crate::gateway::{self, ConnectionFacts, Origin};
use crate::http2;
use crate::supervision::ends_for_test;
use crate::tls::{self, Opened};
use crate::transport::Transport;
use crate::worker::{Counted, LAST_WORDS, Worker};

/// Begins to serve `stream` in a task of its own.
pub fn begin(counted: Counted, stream: TcpStream, facts: ConnectionFacts) {
    match facts.source {
        ClientSource::ProxyProtocol => drop(spawn_local(wait_for_name(counted, stream, facts))),
        _ => open(counted, stream, facts),
    }
}

/// Waits until the sender has said for whom the connection is.
async fn wait_for_name(mut counted: Counted, stream: TcpStream, facts: ConnectionFacts) {
    if let Some(facts) = arrival::announce(&mut counted, &stream, facts).await {
        open(counted, stream, facts);
    }
}

/// Goes on with HTTP, in TLS where the listener has it, in a task of its own.
fn open(counted: Counted, stream: TcpStream, facts: ConnectionFacts) {
    let snapshot = counted.worker().shared.snapshot();
    match snapshot.tls.get(facts.listener).and_then(Option::as_ref) {
        None => drop(spawn_local(serve(counted, Transport::Plain(stream), facts))),
        Some(tls) => {
            let deadline = Instant::now() + snapshot.config.limits.head_timeout;
            let config = Arc::clone(&tls.config);
            drop(spawn_local(shake_hands(counted, stream, facts, (config, deadline))));
        }
    }
}

/// Shakes hands and serves what comes of it.
async fn shake_hands(
    mut counted: Counted,
    stream: TcpStream,
    mut facts: ConnectionFacts,
    (config, deadline): (Arc<ServerConfig>, Instant),
) {
    // In a box, as what follows: only one of the two is held at a time, and both are large.
    let shaken = tokio::select! {
        biased;
        shaken = Box::pin(tls::handshake(stream, &config, deadline)) => shaken,
        () = arrival::last_words(counted.worker()) => return,
    };
    let transport = match shaken {
        Ok(Opened::Tls(stream, shown)) => {
            facts.tls = Some(shown);
            Transport::Tls(stream)
        }
        Ok(Opened::Plain(stream)) => {
            facts.plain_on_tls = true;
            Transport::Plain(stream)
        }
        Err(fault) => {
            let client = facts.client.unwrap_or_else(|| ClientAddress::new(facts.socket.ip()));
            return counted.worker().diagnostics.handshake_failed(client.ip(), &fault);
        }
    };
    drop(config);
    if facts.stranger && !facts.over_ceiling {
        // Whom a certificate names is known only now.
        let snapshot = counted.worker().shared.snapshot();
        let found = Origin::of(&snapshot, &facts, |_| std::iter::empty(), Timestamp::now()).found;
        if found.peer().is_some() {
            facts.stranger = false;
            counted.is_a_peers();
        }
    }
    match transport.speaks_http2() {
        true => Box::pin(http2::serve(counted, transport, facts)).await,
        false => Box::pin(serve(counted, transport, facts)).await,
    }
}

/// Serves `stream` to its end.
async fn serve(counted: Counted, stream: Transport, facts: ConnectionFacts) {
    if ends_for_test(|| format!("connection-{}", facts.noted.number)) {
        return;
    }
    let worker = Rc::clone(counted.worker());
    let config = Arc::clone(&worker.shared.snapshot().config);
    let limits = &config.limits;
    let mut client = Client::new(stream, limits.write_timeout);
    let opened = Instant::now();
    let mut served: u32 = 0;
    let mut pending: Option<Vec<u8>> = None;
    let after = loop {
        let pipelined = pending.is_some();
        let buffer = match pending.take() {
            Some(buffer) => Some(buffer),
            None => {
                first_bytes(&worker, &mut client, limits, patience(limits, &facts, served)).await
            }
        };
        let Some(mut buffer) = buffer else {
            break After::Close;
        };
        let mut request = match client.read_head(&mut buffer, limits).await {
            Reading::Request(request) => request,
            Reading::Nothing => break After::Close,
        };
        served = served.saturating_add(1);
        request.turn.number = served;
        request.turn.pipelined = pipelined;
        let length = request.head.as_ref().map_or(buffer.len(), |head| head.len());
        let has_body = request.head.as_ref().is_ok_and(|head| head.has_body());
        let last = facts.over_ceiling
            || served >= limits.max_requests_per_connection
            || opened.elapsed() >= limits.max_connection_age;
        // In a box, so that a connection is small while it waits for its next request.
        let serving = gateway::serve(&worker, &facts, &mut client, (request, &buffer), last);
        let after = Box::pin(serving).await;
        let unread = has_body || buffer.len() > length;
        match after {
            After::KeepAlive if unread => {
                buffer.drain(..length);
                pending = Some(buffer);
            }
            After::KeepAlive => worker.buffers.put(buffer),
            // Who did not ask for the end may have its next request on the way.
            After::Close if unread || last || worker.is_draining() || client.has_unread() => {
                break After::Linger;
            }
            after => break after,
        }
    };
    client.end(after).await;
}

/// How long a connection may be silent before a request. One that has said nothing yet is of less
/// use than one that has, and a stranger's of none.
fn patience(limits: &Limits, facts: &ConnectionFacts, served: u32) -> Patience {
    let fresh = served == 0;
    let silence = match fresh || facts.stranger {
        true => limits.head_timeout,
        false => limits.idle_timeout,
    };
    Patience { fresh, silence }
}

/// How long a connection is waited for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Nothing has come on it yet.
    fresh: bool,
    silence: Duration,
}

/// Waits for the first bytes of a request, holding no memory meanwhile. `None` ends the connection:
/// the client ended it, it was silent for too long, or the worker drains.
async fn first_bytes(
    worker: &Worker,
    client: &mut Client,
    limits: &Limits,
    Patience { fresh, silence }: Patience,
) -> Option<Vec<u8>> {
    let mut until = Instant::now() + silence;
    loop {
        if worker.is_draining() {
            if !fresh {
                return None;
            }
            // It was accepted, so its client counts on an answer; most send their request at once.
            until = until.min(Instant::now() + LAST_WORDS);
        }
        tokio::select! {
            biased;
            readable = timeout_at(until, client.readable()) => readable.ok()?.ok()?,
            () = worker.drain.notified(), if !worker.is_draining() => continue,
        }
        let mut buffer = worker.buffers.take();
        let read = client.read_now(&mut buffer, limits).await;
        match read {
            Ok(Some(1..)) => return Some(buffer),
            Ok(None) => worker.buffers.put(buffer),
            Ok(Some(0)) | Err(_) => {
                worker.buffers.put(buffer);
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_size<F>(_: impl Fn(Counted, Transport, ConnectionFacts) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_waiting_connection_is_small() {
        // Ten thousand idle connections are to cost megabytes, not hundreds of them.
        let size = future_size(serve);
        assert!(size <= 1024, "{size} bytes");
    }
}
