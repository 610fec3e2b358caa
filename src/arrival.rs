//! What is known of a connection before its first request: whose it seems to be when it is accepted, and
//! what a load balancer in front says of it then.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::address::ClientAddress;
use crate::caller::{Caller, ClientSource};
use crate::gateway::{ConnectionFacts, Noted};
use crate::peers::Found;
use crate::preamble::{self, Missing};
use crate::snapshot::Snapshot;
use crate::worker::{Counted, Worker};

impl ConnectionFacts {
    /// What the socket says. A sender that has to name its client has named none yet, and neither it
    /// nor a trusted proxy is taken for a stranger: many callers share its connections.
    pub fn at_accept(snapshot: &Snapshot, socket: SocketAddr, listener: usize) -> Self {
        let caller = Caller::direct(socket);
        let mut facts = Self {
            client: caller.address,
            source: caller.source,
            socket: caller.socket,
            listener,
            tls: None,
            plain_on_tls: false,
            stranger: false,
            over_ceiling: false,
            noted: Noted::now().into(),
        };
        let senders =
            snapshot.config.listeners.get(listener).map(|found| &found.proxy_protocol_from);
        if senders.is_some_and(|senders| senders.contain(caller.shown_address())) {
            facts.client = None;
            facts.source = ClientSource::ProxyProtocol;
        }
        facts.stranger = facts.is_strange(snapshot);
        facts
    }

    /// The same once the sender has named its client. One that it does not name is nobody, and yet no
    /// stranger: balancers look after the gateway's health that way, and strangers who use up what
    /// they may have are not to make it look dead.
    #[must_use]
    pub fn announced(mut self, snapshot: &Snapshot, client: Option<SocketAddr>) -> Self {
        let announced = client
            .map(|client| SocketAddr::new(ClientAddress::new(client.ip()).ip(), client.port()));
        self.noted = Noted { announced, ..*self.noted }.into();
        self.client = client.map(|client| ClientAddress::new(client.ip()));
        self.stranger = self.is_strange(snapshot);
        self
    }

    fn is_strange(&self, snapshot: &Snapshot) -> bool {
        let Some(client) = self.client else { return false };
        let listener = snapshot.config.listeners.get(self.listener);
        let is_proxy = listener.is_some_and(|found| found.trusted_proxies.contain(client));
        let caller = Caller { address: self.client, ..Caller::direct(self.socket) };
        !is_proxy && matches!(snapshot.peers.find(&caller), Found::Stranger)
    }
}

/// Waits for what the sender of a connection has to say of its client; `None` ends the connection.
pub async fn announce(
    counted: &mut Counted,
    stream: &TcpStream,
    facts: ConnectionFacts,
) -> Option<ConnectionFacts> {
    let snapshot = counted.worker().shared.snapshot();
    let deadline = Instant::now() + snapshot.config.limits.head_timeout;
    let header = tokio::select! {
        biased;
        header = preamble::take(stream, deadline) => header,
        () = last_words(counted.worker()) => return None,
    };
    let header = match header {
        Ok(header) => header,
        Err(Missing::Nothing) => return None,
        Err(Missing::Broken(why)) => {
            let sender = ClientAddress::new(facts.socket.ip());
            let listener = snapshot.config.listeners.get(facts.listener);
            let entry = listener.and_then(|found| found.proxy_protocol_from.find(sender));
            counted.worker().diagnostics.unannounced(sender, why, entry.map(|entry| &entry.place));
            return None;
        }
    };
    let facts = facts.announced(&snapshot, header.client);
    if facts.stranger && !counted.turns_out_strange() {
        let client = facts.client.unwrap_or_else(|| ClientAddress::new(facts.socket.ip()));
        counted.worker().diagnostics.unheard(client);
        return None;
    }
    Some(facts)
}

/// Ends a little after the worker has begun to drain.
async fn last_words(worker: &Worker) {
    while !worker.is_draining() {
        worker.drain.notified().await;
    }
    sleep(crate::worker::LAST_WORDS).await;
}
