//! A client's connection: a sequence of heads, answered in their order.

use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::client::{After, Client, Reading};
use crate::gateway::{self, ConnectionFacts};
use crate::worker::{Counted, Worker};

/// Serves `stream` to its end.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, facts: ConnectionFacts) {
    let counted = Counted::new(&worker);
    let config = std::sync::Arc::clone(&worker.shared.snapshot().config);
    let limits = &config.limits;
    let ceiling = limits.max_connections;
    if counted.all() > ceiling.saturating_add(ceiling / 8).saturating_add(OVER_CEILING) {
        return;
    }
    let facts = ConnectionFacts { over_ceiling: counted.all() > ceiling, ..facts };
    let mut client = Client::new(stream, limits.write_timeout);
    let opened = Instant::now();
    let mut served: u32 = 0;
    // A connection that says nothing at all is of no use for as long as one that has been of use.
    let mut patience = limits.head_timeout;
    let mut pending: Option<Vec<u8>> = None;
    let after = loop {
        let mut buffer = match pending.take() {
            Some(buffer) => buffer,
            None => match wait(&worker, &client, patience, limits.max_head).await {
                Some(buffer) => buffer,
                None => break After::Close,
            },
        };
        let request = match client.read_head(&mut buffer, limits).await {
            Reading::Request(request) => request,
            Reading::Nothing => {
                worker.buffers.put(buffer);
                break After::Close;
            }
        };
        served = served.saturating_add(1);
        let length = request.head.as_ref().map_or(buffer.len(), |head| head.len());
        let has_body = request.head.as_ref().is_ok_and(|head| head.has_body());
        let last = facts.over_ceiling
            || served >= limits.max_requests_per_connection
            || opened.elapsed() >= limits.max_connection_age;
        let after = gateway::serve(&worker, facts, &mut client, (request, &buffer), last).await;
        let unread = has_body || buffer.len() > length;
        match after {
            After::KeepAlive if unread => {
                buffer.drain(..length);
                pending = Some(buffer);
            }
            After::KeepAlive => worker.buffers.put(buffer),
            // Who did not ask for the end may have sent its next request already.
            After::Close if unread || last || worker.is_draining() => break After::Linger,
            after => break after,
        }
        patience = limits.idle_timeout;
    };
    client.end(after).await;
}

/// Waits for a request's first bytes, holding no memory before they come. `None` ends the
/// connection: it ended, it was silent for `patience`, or the worker drains.
async fn wait(
    worker: &Worker,
    client: &Client,
    patience: Duration,
    most: usize,
) -> Option<Vec<u8>> {
    let deadline = Instant::now() + patience;
    while !worker.is_draining() {
        tokio::select! {
            biased;
            readable = timeout_at(deadline, client.readable()) => readable.ok()?.ok()?,
            () = worker.drain.notified() => return None,
        }
        let mut buffer = worker.buffers.take();
        let came = client.read_ready(&mut buffer, most);
        if matches!(came, Ok(Some(1..))) {
            return Some(buffer);
        }
        worker.buffers.put(buffer);
        if !matches!(came, Ok(None)) {
            return None;
        }
    }
    None
}

/// So many connections beyond the ceiling, and an eighth of it, are still told why; further ones
/// are closed unheard.
const OVER_CEILING: usize = 16;
