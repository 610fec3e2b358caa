//! What is known of a connection before its first request: whose it seems to be when it is accepted, and
//! what a load balancer in front says of it then.

use std::net::SocketAddr;
use std::rc::Rc;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::config::Listener;
use crate::gateway::request_source::RequestSource;
use crate::http1::request::RequestHead;
use crate::identity::caller::{Caller, ClientSource};
use crate::identity::certificate::PresentedCertificate;
use crate::identity::peers::Found;
use crate::limits::CallerClass;
use crate::net::client_address::ClientAddress;
use crate::refusal::Refusal;
use crate::tls::TlsFacts;
use crate::worker::listeners::ListenerId;
use crate::worker::snapshot::Snapshot;

/// What is known of a connection before its first request.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// Whom it comes from, as far as the connection says.
    pub client: Option<ClientAddress>,
    /// How that was found.
    pub source: ClientSource,
    /// The other end; not IPv4-mapped.
    pub socket: SocketAddr,
    /// Which listener took it.
    pub listener: ListenerId,
    /// What its TLS handshake brought.
    pub tls: Option<Rc<TlsFacts>>,
    /// Whether its listener has TLS and the client did not begin with it.
    pub plain_on_tls: bool,
    /// Whether nobody whom a policy names can be behind it.
    pub unknown: bool,
    /// Whether it is one more than `limits.max_connections`.
    pub over_ceiling: bool,
    /// What only the log asks of it; apart, so that a waiting connection is small.
    pub log_facts: Rc<ConnectionLogFacts>,
}

/// What only the log asks of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLogFacts {
    /// Its number in this process (`$connection`), counted from 1.
    pub number: u64,
    /// When it was accepted.
    pub opened: Instant,
    /// The address that it came to, where a log asks for it.
    pub local: Option<SocketAddr>,
    /// The client that the PROXY protocol named.
    pub proxied_client: Option<SocketAddr>,
}

impl ConnectionLogFacts {
    /// Of a connection that was accepted now.
    pub fn now() -> Self {
        Self { number: 0, opened: Instant::now(), local: None, proxied_client: None }
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// What is known of it; requests may come.
    Ready(ConnectionFacts),
    /// Its sender has to name its client first.
    AwaitingProxyHeader(AwaitingProxyHeader),
}

/// A connection whose sender has named no client yet, so that no request can be read from it.
#[derive(Debug)]
pub(crate) struct AwaitingProxyHeader(ConnectionFacts);

impl Accepted {
    /// What the socket says, and whose the connection seems to be by it. A sender that has to name its
    /// client has named none yet, and neither it nor a trusted proxy is taken for an unknown caller: many
    /// callers share its connections.
    pub(crate) fn at_accept(
        snapshot: &Snapshot,
        socket: SocketAddr,
        listener: ListenerId,
    ) -> (Self, CallerClass) {
        let caller = Caller::direct(socket);
        let mut facts = ConnectionFacts {
            client: caller.address,
            source: caller.source,
            socket: caller.socket,
            listener,
            tls: None,
            plain_on_tls: false,
            unknown: false,
            over_ceiling: false,
            log_facts: ConnectionLogFacts::now().into(),
        };
        let senders = snapshot.listener(listener).map(|found| &found.proxy_protocol_from);
        if senders.is_some_and(|senders| senders.contain(caller.shown_address())) {
            facts.client = None;
            facts.source = ClientSource::ProxyProtocol;
            let class = facts.class(snapshot);
            return (Self::AwaitingProxyHeader(AwaitingProxyHeader(facts)), class);
        }
        let class = facts.class(snapshot);
        facts.unknown = is_unknown(class);
        (Self::Ready(facts), class)
    }

    /// What is known of it already, to add to it.
    pub(crate) fn facts_mut(&mut self) -> &mut ConnectionFacts {
        match self {
            Self::Ready(facts) | Self::AwaitingProxyHeader(AwaitingProxyHeader(facts)) => facts,
        }
    }
}

impl AwaitingProxyHeader {
    /// Who has to name its client.
    pub(crate) fn sender(&self) -> ClientAddress {
        ClientAddress::new(self.0.socket.ip())
    }

    /// The listener that took it.
    pub(crate) fn listener(&self) -> ListenerId {
        self.0.listener
    }

    /// What is known once the sender has named its client. One that it does not name is nobody, and yet no
    /// unknown caller: balancers look after the gateway's health that way, and unknown callers who use up what
    /// they may have are not to make it look dead.
    #[must_use]
    pub(crate) fn with_client(
        self,
        snapshot: &Snapshot,
        client: Option<SocketAddr>,
    ) -> (ConnectionFacts, CallerClass) {
        let mut facts = self.0;
        let proxied_client = client
            .map(|client| SocketAddr::new(ClientAddress::new(client.ip()).ip(), client.port()));
        facts.log_facts = ConnectionLogFacts { proxied_client, ..*facts.log_facts }.into();
        facts.client = client.map(|client| ClientAddress::new(client.ip()));
        let class = facts.class(snapshot);
        facts.unknown = is_unknown(class);
        (facts, class)
    }
}

impl ConnectionFacts {
    /// Whose the connection is by its client's address. Of a peer that has to show a certificate, too, the
    /// address is known.
    fn class(&self, snapshot: &Snapshot) -> CallerClass {
        let Some(client) = self.client else { return CallerClass::Proxy };
        if self.trusting(snapshot).is_some() {
            return CallerClass::Proxy;
        }
        let caller = Caller { address: self.client, ..Caller::direct(self.socket) };
        match snapshot.peers.find(&caller) {
            Found::Peer(found) => found.peer.state.limits.class(),
            Found::CertificateMissing { peer, .. } => peer.state.limits.class(),
            Found::Unknown => {
                let key = client.unknown_caller_key();
                match snapshot.listener_tls(self.listener) {
                    Some(_) => CallerClass::Handshake(key),
                    None => CallerClass::Unknown(key),
                }
            }
        }
    }

    /// Whose it is once its TLS handshake is over, where that says more than its address did.
    pub fn class_after_handshake(&self, snapshot: &Snapshot) -> Option<CallerClass> {
        if self.trusting(snapshot).is_some() {
            return None;
        }
        let source = RequestSource::of(snapshot, self, |_| std::iter::empty(), Timestamp::now());
        match (source.found.peer(), self.unknown) {
            (Some(peer), _) => Some(peer.state.limits.class()),
            (None, true) => {
                Some(CallerClass::Unknown(source.caller.shown_address().unknown_caller_key()))
            }
            (None, false) => None,
        }
    }
}

/// What a request's Host has to agree with.
#[derive(Clone, Copy, Debug)]
pub struct Addressed<'a> {
    /// The listener that took it.
    pub listener: Option<&'a Listener>,
    /// The name in its TLS handshake.
    pub server_name: Option<&'a str>,
}

impl ConnectionFacts {
    /// What the Host of its requests has to agree with.
    pub fn addressed<'a>(&'a self, snapshot: &'a Snapshot) -> Addressed<'a> {
        // A trusted proxy calls the gateway by a name of its own, and passes on what its clients said:
        // the two need not agree, and its handshake is worth nothing to anybody.
        let own = self.tls.as_ref().filter(|_| self.trusting(snapshot).is_none());
        let server_name = own.and_then(|tls| tls.server_name.as_deref());
        Addressed { listener: snapshot.listener(self.listener), server_name }
    }

    /// The client's address, or the other end's where there is none.
    pub fn shown_address(&self) -> ClientAddress {
        self.client.unwrap_or_else(|| ClientAddress::new(self.socket.ip()))
    }

    /// The listener, where it trusts the far end to say whose each request is.
    pub(crate) fn trusting<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Listener> {
        let listener = snapshot.listener(self.listener)?;
        listener.trusted_proxies.contain(self.client?).then_some(listener)
    }

    pub(crate) fn presented_certificate(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Option<PresentedCertificate<'_>> {
        let authority = &snapshot.listener_tls(self.listener)?.authority;
        self.tls.as_ref()?.shown(authority, now)
    }

    /// What was read of a request, unless it came without the TLS that its listener has.
    ///
    /// # Errors
    /// [`Refusal::PlainOnTls`], or that of `head`.
    pub fn require_tls<'b>(
        &self,
        head: Result<RequestHead<'b>, Refusal>,
    ) -> Result<RequestHead<'b>, Refusal> {
        if self.plain_on_tls { Err(Refusal::PlainOnTls) } else { head }
    }

    /// What its client spoke: `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Whether nobody whom a policy names can be behind the connection, as far as is known.
fn is_unknown(class: CallerClass) -> bool {
    matches!(class, CallerClass::Unknown(_) | CallerClass::Handshake(_))
}
