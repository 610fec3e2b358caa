//! Whom a request comes from: what the connection says of it, what a trusted proxy in front says, and
//! who that is by the policies. Found once, for policy, limits, log and `explain` alike.

use std::net::SocketAddr;
use std::rc::Rc;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::config::Listener;
use crate::http1::request::RequestHead;
use crate::identity::caller::{Caller, ClientSource, Shown};
use crate::identity::forwarded;
use crate::net::client_address::ClientAddress;
use crate::refusal::Refusal;
use crate::tls::TlsFacts;
use crate::worker::snapshot::{Found, Snapshot};

/// What is known of a connection before its first request.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// Whom it comes from, as far as the connection says.
    pub client: Option<ClientAddress>,
    /// How that was found.
    pub source: ClientSource,
    /// The other end; not IPv4-mapped.
    pub socket: SocketAddr,
    /// Which of the configuration's listeners took it.
    pub listener: usize,
    /// What its TLS handshake brought.
    pub tls: Option<Rc<TlsFacts>>,
    /// Whether its listener has TLS and the client did not begin with it.
    pub plain_on_tls: bool,
    /// Whether nobody whom a policy names can be behind it.
    pub stranger: bool,
    /// Whether it is one more than `limits.max_connections`.
    pub over_ceiling: bool,
    /// What only the log asks of it; apart, so that a waiting connection is small.
    pub noted: Rc<Noted>,
}

/// What only the log asks of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Noted {
    /// Its number.
    pub number: u64,
    /// When it was accepted.
    pub opened: Instant,
    /// The address that it came to, where a log asks for it.
    pub local: Option<SocketAddr>,
    /// The client that the PROXY protocol named.
    pub announced: Option<SocketAddr>,
}

impl Noted {
    /// Of a connection that was accepted now.
    pub fn now() -> Self {
        Self { number: 0, opened: Instant::now(), local: None, announced: None }
    }
}

/// Whom a request comes from, and who that is: found once.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// What the connection and the head say.
    pub caller: Caller<'a>,
    /// What the policies say.
    pub found: Found<'a>,
}

impl<'a> Origin<'a> {
    /// Who sends a request at `now` over a connection with these `facts`.
    /// `values` yields what the head says in all fields of a name; it is asked only where a trusted
    /// proxy sends the request.
    pub fn of<'b, V: DoubleEndedIterator<Item = &'b [u8]>>(
        snapshot: &'a Snapshot,
        facts: &'a ConnectionFacts,
        values: impl FnOnce(&'static str) -> V,
        now: Timestamp,
    ) -> Self {
        let ConnectionFacts { client, source, socket, .. } = *facts;
        let caller = match facts.trusting(snapshot) {
            // The certificate that such a proxy shows is its own, and nothing of its client's.
            Some(listener) => {
                let header = listener.forwarded_header;
                let is_trusted = |address| listener.trusted_proxies.contain(address);
                let found = forwarded::client(header, values(header.name()), is_trusted);
                Caller { address: found.ok(), source: header.into(), socket, certificate: None }
            }
            None => {
                let certificate = facts.shown_certificate(snapshot, now);
                Caller { address: client, source, socket, certificate }
            }
        };
        Self { caller, found: snapshot.peers.find(&caller) }
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
        Addressed { listener: snapshot.config.listeners.get(self.listener), server_name }
    }

    /// The client's address, or the other end's where there is none.
    pub fn shown_address(&self) -> ClientAddress {
        self.client.unwrap_or_else(|| ClientAddress::new(self.socket.ip()))
    }

    /// The listener, where it trusts the far end to say whose each request is.
    pub(crate) fn trusting<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Listener> {
        let listener = snapshot.config.listeners.get(self.listener)?;
        listener.trusted_proxies.contain(self.client?).then_some(listener)
    }

    fn shown_certificate(&self, snapshot: &Snapshot, now: Timestamp) -> Option<Shown<'_>> {
        let authority = &snapshot.tls.get(self.listener)?.as_ref()?.authority;
        self.tls.as_ref()?.shown(authority, now)
    }

    /// What was read of a request, unless it came without the TLS that its listener has.
    ///
    /// # Errors
    /// [`Refusal::PlainOnTls`], or that of `head`.
    pub fn heard(&self, head: Result<RequestHead, Refusal>) -> Result<RequestHead, Refusal> {
        if self.plain_on_tls { Err(Refusal::PlainOnTls) } else { head }
    }

    /// What its client spoke: `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}
