//! What is known of a connection before its first request: whose it seems to be when it is accepted, and
//! what a load balancer in front says of it then.

use std::net::SocketAddr;

use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::connection::proxy_header as preamble;
use crate::connection::proxy_header::Missing;
use crate::gateway::{ConnectionFacts, Noted, Origin};
use crate::identity::caller::{Caller, ClientSource};
use crate::identity::peers::Found;
use crate::limits::Guest;
use crate::net::client_address::ClientAddress;
use crate::worker::snapshot::Snapshot;
use crate::worker::{Counted, Worker};

impl ConnectionFacts {
    /// What the socket says, and whose the connection seems to be by it. A sender that has to name its
    /// client has named none yet, and neither it nor a trusted proxy is taken for a stranger: many
    /// callers share its connections.
    pub fn at_accept(snapshot: &Snapshot, socket: SocketAddr, listener: usize) -> (Self, Guest) {
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
        let guest = facts.guest(snapshot);
        facts.stranger = is_unknown(guest);
        (facts, guest)
    }

    /// The same once the sender has named its client. One that it does not name is nobody, and yet no
    /// stranger: balancers look after the gateway's health that way, and strangers who use up what
    /// they may have are not to make it look dead.
    #[must_use]
    pub fn announced(mut self, snapshot: &Snapshot, client: Option<SocketAddr>) -> (Self, Guest) {
        let announced = client
            .map(|client| SocketAddr::new(ClientAddress::new(client.ip()).ip(), client.port()));
        self.noted = Noted { announced, ..*self.noted }.into();
        self.client = client.map(|client| ClientAddress::new(client.ip()));
        let guest = self.guest(snapshot);
        self.stranger = is_unknown(guest);
        (self, guest)
    }

    /// Whose the connection is by its client's address. Of a peer that has to show a certificate, too, the
    /// address is known.
    fn guest(&self, snapshot: &Snapshot) -> Guest {
        let Some(client) = self.client else { return Guest::Proxy };
        if self.trusting(snapshot).is_some() {
            return Guest::Proxy;
        }
        let caller = Caller { address: self.client, ..Caller::direct(self.socket) };
        match snapshot.peers.find(&caller) {
            Found::Peer(found) => found.peer.state.guest(),
            Found::Unproven { peer, .. } => peer.state.guest(),
            Found::Stranger => {
                let key = client.unknown_caller_key();
                match snapshot.tls.get(self.listener) {
                    Some(Some(_)) => Guest::Handshake(key),
                    Some(None) | None => Guest::Unknown(key),
                }
            }
        }
    }

    /// Whose it is once its TLS handshake is over, where that says more than its address did.
    pub fn shaken(&self, snapshot: &Snapshot) -> Option<Guest> {
        if self.trusting(snapshot).is_some() {
            return None;
        }
        let origin = Origin::of(snapshot, self, |_| std::iter::empty(), Timestamp::now());
        match (origin.found.peer(), self.stranger) {
            (Some(peer), _) => Some(peer.state.guest()),
            (None, true) => {
                Some(Guest::Unknown(origin.caller.shown_address().unknown_caller_key()))
            }
            (None, false) => None,
        }
    }
}

/// Whether nobody whom a policy names can be behind the connection, as far as is known.
fn is_unknown(guest: Guest) -> bool {
    matches!(guest, Guest::Unknown(_) | Guest::Handshake(_))
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
        () = counted.left() => return None,
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
    let (facts, guest) = facts.announced(&snapshot, header.client);
    reseat(counted, facts, guest)
}

/// Counts a connection as `guest`'s, or ends it (`None`) where there is no room even to say so.
pub fn reseat(
    counted: &mut Counted,
    mut facts: ConnectionFacts,
    guest: Guest,
) -> Option<ConnectionFacts> {
    if let Err(why) = counted.turns_out(guest) {
        counted.worker().diagnostics.unheard(facts.shown_address(), why);
        return None;
    }
    facts.over_ceiling = counted.is_over();
    Some(facts)
}

/// Ends a little after the worker has begun to drain: who has said nothing of use by then holds up
/// nobody's restart.
pub async fn last_words(worker: &Worker) {
    while !worker.is_draining() {
        worker.drain.notified().await;
    }
    sleep(crate::worker::LAST_WORDS).await;
}
