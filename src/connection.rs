//! A client's connection: a sequence of heads, answered in their order.
//!
//! Imports `config`, `gateway`, `http1`, `limits`, `net`, `refusal`, `response`,
//! `supervision`, `tls`, `worker`. Begin with [`begin`].

pub(crate) mod http1_stream;
pub(crate) mod http2;
pub(crate) mod proxy_header;
pub(crate) mod transport;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use crate::config::Limits;
use crate::connection::http1_stream::{Client, Reading};
use crate::connection::transport::Transport;
use crate::gateway;
use crate::gateway::connection_facts::{Accepted, AwaitingProxyHeader, ConnectionFacts};
use crate::gateway::response_sink::{Disposition, Persistence};
use crate::limits::CallerClass;
use crate::supervision::ends_for_test;
use crate::tls::{self, Opened};
use crate::worker::metrics::HandshakeResult;
use crate::worker::{ConnectionGuard, DRAIN_FIRST_REQUEST_TIMEOUT};

/// Begins to serve `stream` in a task of its own.
pub(crate) fn begin(guard: ConnectionGuard, stream: TcpStream, accepted: Accepted) {
    match accepted {
        Accepted::Ready(facts) => open(guard, stream, facts),
        Accepted::AwaitingProxyHeader(waiting) => {
            drop(spawn_local(await_proxy_header(guard, stream, waiting)));
        }
    }
}

/// Waits until the sender has said for whom the connection is.
async fn await_proxy_header(
    mut guard: ConnectionGuard,
    stream: TcpStream,
    waiting: AwaitingProxyHeader,
) {
    if let Some(facts) = proxy_header::read_proxy_header(&mut guard, &stream, waiting).await {
        open(guard, stream, facts);
    }
}

/// Goes on with HTTP, in TLS where the listener has it, in a task of its own.
fn open(guard: ConnectionGuard, stream: TcpStream, facts: ConnectionFacts) {
    let snapshot = guard.worker().shared.snapshot();
    match snapshot.listener_tls(facts.listener) {
        None => drop(spawn_local(serve(guard, Transport::Plain(stream), facts))),
        Some(tls) => {
            let deadline = Instant::now() + snapshot.config.limits.head_timeout;
            let config = Arc::clone(&tls.config);
            guard.wait(Instant::now().into_std(), true);
            drop(spawn_local(handshake(guard, stream, facts, config, deadline)));
        }
    }
}

/// Shakes hands and serves what comes of it.
async fn handshake(
    mut guard: ConnectionGuard,
    stream: TcpStream,
    mut facts: ConnectionFacts,
    config: Arc<ServerConfig>,
    deadline: Instant,
) {
    // Boxed, as what follows: only one of the two is held at a time, and both are large.
    let shaken = tokio::select! {
        biased;
        shaken = Box::pin(tls::handshake(stream, &config, deadline)) => Some(shaken),
        () = proxy_header::drain_grace_over(&guard) => None,
        () = guard.left() => None,
    };
    let result = shaken.as_ref().map_or(HandshakeResult::Abandoned, HandshakeResult::from);
    guard.worker().metrics().inspect(|own| own.handshake(result));
    let Some(shaken) = shaken else { return };
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
            let client = facts.shown_address();
            return guard.worker().diagnostics.handshake_failed(client.ip(), &fault);
        }
    };
    drop(config);
    // Whom a certificate names is known only now.
    let Some(facts) = after_handshake(&mut guard, facts) else { return };
    if transport.speaks_http2() {
        Box::pin(http2::serve(guard, transport, facts)).await;
    } else {
        Box::pin(serve(guard, transport, facts)).await;
    }
}

/// Counts a connection as what its handshake has shown it to be; `None` ends it.
fn after_handshake(
    guard: &mut ConnectionGuard,
    mut facts: ConnectionFacts,
) -> Option<ConnectionFacts> {
    let shared = Arc::clone(&guard.worker().shared);
    let Some(class) = facts.class_after_handshake(&shared.snapshot()) else {
        return Some(facts);
    };
    if facts.unknown && matches!(class, CallerClass::Peer { .. }) {
        facts.unknown = false;
        shared.snapshot().limits.credit_handshake(facts.shown_address());
    }
    proxy_header::reseat(guard, facts, class)
}

/// Serves `stream` to its end.
async fn serve(guard: ConnectionGuard, stream: Transport, facts: ConnectionFacts) {
    if ends_for_test(|| format!("connection-{}", facts.log_facts.number)) {
        return;
    }
    let worker = Rc::clone(guard.worker());
    // Those that its first request finds are the connection's to its end.
    let limits = Arc::clone(&worker.shared.snapshot().config.limits);
    let limits = &*limits;
    let mut client = Client::new(stream, limits.write_timeout);
    let opened = Instant::now();
    let mut served: u32 = 0;
    let mut refused: u32 = 0;
    let mut pending: Option<Vec<u8>> = None;
    let disposition = loop {
        let pipelined = pending.is_some();
        let buffer = match pending.take() {
            Some(buffer) => {
                // One request of a connection a turn: those of the others come first.
                tokio::task::yield_now().await;
                Some(buffer)
            }
            None => {
                first_bytes(&guard, &mut client, limits, silence_limit(limits, &facts, served))
                    .await
            }
        };
        let Some(mut buffer) = buffer else {
            break Disposition::Close;
        };
        let stays = guard.resume();
        let mut request = match client.read_head(&mut buffer, limits).await {
            Reading::Request(request) => request,
            Reading::Nothing => break Disposition::Close,
        };
        served = served.saturating_add(1);
        request.position.number = served;
        request.position.pipelined = pipelined;
        request.position.refused = refused;
        // Where one that was refused ends is not known: nothing follows it.
        let length = request.head.as_ref().ok().map(super::http1::request::RequestHead::len);
        let has_body =
            request.head.as_ref().is_ok_and(super::http1::request::RequestHead::has_body);
        let ends = facts.over_ceiling
            || !stays
            || guard.is_ending()
            || served >= limits.max_requests_per_connection
            || request.position.began.duration_since(opened) >= limits.max_connection_age;
        let persistence = Persistence::ends_if(ends);
        // Boxed, so that a connection is small while it waits for its next request.
        let serving = gateway::serve(&worker, &facts, &mut client, request, persistence);
        let outcome = Box::pin(serving).await;
        refused = if outcome.refused { refused.saturating_add(1) } else { 0 };
        let next = length.filter(|&length| length < buffer.len());
        let unread = has_body || next.is_some();
        match (outcome.disposition, next) {
            (Disposition::KeepAlive, Some(next)) => {
                buffer.drain(..next);
                pending = Some(buffer);
            }
            (Disposition::KeepAlive, None) => worker.buffers.put(buffer),
            // Who did not ask for the end may have its next request on the way.
            (Disposition::Close, _)
                if unread || ends || guard.is_ending() || client.has_unread() =>
            {
                break Disposition::Linger;
            }
            (disposition, _) => break disposition,
        }
    };
    // Nothing is asked on it any longer.
    guard.wait(Instant::now().into_std(), false);
    tokio::select! {
        biased;
        () = client.end(disposition) => {}
        () = guard.left() => {}
    }
}

/// How long a connection may be silent before a request. One that has said nothing yet is of less
/// use than one that has, and an unknown caller's of none.
fn silence_limit(limits: &Limits, facts: &ConnectionFacts, served: u32) -> SilenceLimit {
    let fresh = served == 0;
    let silence = if fresh || facts.unknown { limits.head_timeout } else { limits.idle_timeout };
    SilenceLimit { fresh, silence }
}

/// How long a connection is waited for.
#[derive(Clone, Copy, Debug)]
struct SilenceLimit {
    /// Nothing has come on it yet.
    fresh: bool,
    silence: Duration,
}

/// Waits for the first bytes of a request, holding no memory meanwhile. `None` ends the connection:
/// the client ended it, it was silent for too long, or the worker drains.
async fn first_bytes(
    guard: &ConnectionGuard,
    client: &mut Client,
    limits: &Limits,
    SilenceLimit { fresh, silence }: SilenceLimit,
) -> Option<Vec<u8>> {
    let worker = guard.worker();
    let since = Instant::now();
    guard.wait(since.into_std(), fresh);
    let mut until = since + silence;
    let mut left = false;
    if !fresh {
        // A request that is there already is not of this turn.
        tokio::select! {
            biased;
            _ = client.readable() => tokio::task::yield_now().await,
            () = std::future::ready(()) => {}
        }
    }
    loop {
        if guard.is_ending() {
            if !fresh {
                return None;
            }
            // It was accepted, so its client counts on an answer; most send their request at once.
            until = until.min(Instant::now() + DRAIN_FIRST_REQUEST_TIMEOUT);
        }
        tokio::select! {
            biased;
            readable = timeout_at(until, client.readable()) => readable.ok()?.ok()?,
            () = worker.drain.notified(), if !guard.is_ending() => continue,
            // What has come until now is still read.
            () = guard.left() => left = true,
        }
        let mut buffer = worker.buffers.take();
        let read = client.read_now(&mut buffer, limits).await;
        match read {
            Ok(Some(1..)) => return Some(buffer),
            Ok(None) if !left => worker.buffers.put(buffer),
            Ok(None | Some(0)) | Err(_) => {
                worker.buffers.put(buffer);
                return None;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a connection costs that is served by the function.
    pub(crate) fn future_size<F>(
        _: impl Fn(ConnectionGuard, Transport, ConnectionFacts) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_waiting_connection_is_small() {
        // Ten thousand idle connections are to cost megabytes, not hundreds of them.
        let size = future_size(serve);
        assert!(size <= 1024, "{size} bytes");
    }
}
