//! The way of a request: the whole product on one screen.
//!
//! Each step consumes what the former yielded. A request that was not identified cannot be admitted,
//! one that was not admitted is not parsed, and nothing is asked of XiVO without a [`Permit`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::address::ClientAddress;
use crate::answer::problem::Audience;
use crate::answer::relay::Relay;
use crate::answer::{Manner, problem};
use crate::client::{After, Client, Gone, Request};
use crate::config::{Listener, Upstream};
use crate::decide::{Permit, Verdict, decide};
use crate::http1::host::Host;
use crate::http1::request::RequestHead;
use crate::http1::{Span, Version};
use crate::limits::{Admitted, PeerLimits};
use crate::lookup::{Asked, Lookup};
use crate::peers::{Match, Peer, check_in_force};
use crate::proxy_protocol::write::Relayed;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;
use crate::upstream::{Answer, Question};
use crate::worker::{RequestId, Worker};

/// What is known of a connection before its first byte.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts {
    /// Whom it comes from.
    pub client: ClientAddress,
    /// Which of the configuration's listeners took it.
    pub listener: usize,
    /// Whether that is in no policy.
    pub stranger: bool,
    /// Whether it is one more than `limits.max_connections`.
    pub over_ceiling: bool,
}

/// One request on its way through the gateway.
#[derive(Debug)]
struct Exchange<'a> {
    worker: &'a Worker,
    snapshot: &'a Snapshot,
    facts: ConnectionFacts,
    began: Instant,
    request_id: RequestId,
    /// What the head was read from.
    bytes: &'a [u8],
}

/// Answers one request, whose head is in `bytes`, and records it. `last` says that the connection
/// ends after it, whatever the client would like.
pub async fn serve(
    worker: &Worker,
    facts: ConnectionFacts,
    client: &mut Client,
    (request, bytes): (Request, &[u8]),
    last: bool,
) -> After {
    let snapshot = worker.shared.snapshot();
    let Request { head, seen, answerable } = request;
    let field = |span: Option<Span>| span.map(|span| span.of(bytes));
    let (line, referer, agent) = (seen.line.of(bytes), field(seen.referer), field(seen.user_agent));
    let mut record = Record::open(&worker.log, facts.client, line, referer, agent);
    worker.pulse.want();
    let began = Instant::now();
    let request_id = worker.request_id();
    let exchange = Exchange { worker, snapshot: &snapshot, facts, began, request_id, bytes };
    let last = last || worker.is_draining();
    let mut manner = manner(head.as_ref().ok(), bytes, last, request_id);
    let refusal = match exchange.proxy(head, manner, client, &mut record).await {
        Ok(after) => return after,
        Err(refusal) => refusal,
    };
    manner.keep_alive &= !refusal.closes() && !worker.is_draining();
    record.set_status(refusal.status());
    worker.diagnostics.refused(&refusal, &snapshot, facts.client, request_id.as_str());
    if !answerable {
        return After::Close;
    }
    if refusal == Refusal::ClientClosed {
        // A part of an answer may have been sent, and must not look like all of it.
        return After::Reset;
    }
    match exchange.refuse(&refusal, &manner, client, &mut record).await {
        Err(Gone) => After::Reset,
        Ok(()) if manner.keep_alive => After::KeepAlive,
        Ok(()) if refusal.closes() => After::Linger,
        Ok(()) => After::Close,
    }
}

impl<'a> Exchange<'a> {
    /// The pipeline.
    async fn proxy(
        &self,
        head: Result<RequestHead, Refusal>,
        manner: Manner,
        client: &mut Client,
        record: &mut Record<'a>,
    ) -> Result<After, Refusal> {
        let found = self.snapshot.peers.find(self.facts.client);
        if let Some(found) = found {
            record.set_peer(found.peer.policy.name.as_str());
        }
        let listener = self.snapshot.config.listeners.get(self.facts.listener);
        let Judged { head, peer, permit, .. } = judge(self, found, listener, (head, self.bytes))?;
        let slot = peer.state.slot().map_err(Refusal::TooManyConcurrent)?;
        if self.facts.over_ceiling {
            return Err(Refusal::Overloaded);
        }
        let answer = tokio::select! {
            biased;
            answer = self.ask(&permit, &head) => answer?,
            () = client.gone() => return Err(Refusal::ClientClosed),
        };
        let upstream = &self.snapshot.config.upstream;
        let relay = Relay { worker: self.worker, upstream, manner, record };
        let after = relay.pass(permit.lookup(), answer, client).await;
        drop(slot);
        after
    }

    /// Asks XiVO what was permitted.
    async fn ask(&self, permit: &Permit, head: &RequestHead) -> Result<Answer, Refusal> {
        let upstream = &self.snapshot.config.upstream;
        let agent = head.user_agent().map(|span| span.of(self.bytes));
        let question = question(upstream, permit, self.facts.client, agent, &self.request_id);
        let buffers = &self.worker.buffers;
        let mut request = buffers.take();
        question.write(&mut request);
        let deadline = self.began + time_allowed(upstream, permit.lookup());
        let route = self.snapshot.route(self.relayed());
        let answer = self.worker.pool.ask(&route, &request, buffers.take(), deadline).await;
        buffers.put(request);
        answer.map_err(Refusal::Upstream)
    }

    /// Whom the PROXY protocol names to XiVO, where it is sent.
    fn relayed(&self) -> Relayed {
        let listener = self.snapshot.config.listeners.get(self.facts.listener);
        let unknown = (std::net::Ipv4Addr::UNSPECIFIED, 0);
        let destination = listener.map_or_else(|| unknown.into(), |listener| listener.address);
        Relayed { client: self.facts.client, port: 0, destination }
    }

    /// Sends a refusal.
    async fn refuse(
        &self,
        refusal: &Refusal,
        manner: &Manner,
        client: &mut Client,
        record: &mut Record<'_>,
    ) -> Result<(), Gone> {
        let audience = audience(self.snapshot, self.facts.client);
        let mut out = self.worker.buffers.take();
        let date = |out: &mut Vec<u8>| self.worker.log.write_http_date(out);
        let body = problem::write(&mut out, refusal, audience, manner, date);
        let sent = client.send(&out).await;
        self.worker.buffers.put(out);
        sent.inspect(|()| record.add_body_bytes(body))
    }
}

/// What stands at the way from a head to a [`Permit`] besides the rules: the limits, which spend
/// tokens when a request is served and none when one is explained, and who watches.
pub trait Gate {
    /// That the limits let a request pass.
    type Admitted;

    /// Counts a request that is refused before anybody asked whose it is, so that such requests
    /// are not free. The refusal stays what it is.
    fn count_unheard(&mut self, found: Option<Found<'_>>);

    /// Counts a caller that is refused for who it is; yields what it is told.
    fn count_refused(&mut self, found: Option<Found<'_>>, refusal: Refusal) -> Refusal;

    /// Spends a token of the peer and one of the gateway, or neither.
    ///
    /// # Errors
    /// What is used up.
    fn admit(&mut self, peer: &Peer<Arc<PeerLimits>>) -> Result<Self::Admitted, Refusal>;

    /// A request has come this far.
    fn passed(&mut self, _step: Step<'_>) {}
}

/// A caller that is a peer.
pub type Found<'a> = Match<'a, Arc<PeerLimits>>;

/// What a step of [`judge`] yielded.
#[derive(Debug)]
pub enum Step<'a> {
    /// A head that is HTTP, and meant for this gateway.
    Read(&'a RequestHead),
    /// A peer whose policy is in force.
    Identified(&'a Peer<Arc<PeerLimits>>),
    /// What is asked.
    Parsed(&'a Lookup),
    /// Whether the policy grants it.
    Decided(&'a Verdict),
}

/// A request that may be asked of XiVO.
#[derive(Debug)]
pub struct Judged<'s, A> {
    /// Its head.
    pub head: RequestHead,
    /// Whose it is.
    pub peer: &'s Peer<Arc<PeerLimits>>,
    /// That its tokens are spent.
    pub admitted: A,
    /// What may be asked.
    pub permit: Permit,
}

/// The way from a head, read from `bytes`, to a permit. The order of these lines is the order in
/// which refusals are found.
///
/// # Errors
/// The first refusal.
pub fn judge<'s, G: Gate>(
    mut gate: G,
    found: Option<Found<'s>>,
    listener: Option<&Listener>,
    (head, bytes): (Result<RequestHead, Refusal>, &[u8]),
) -> Result<Judged<'s, G::Admitted>, Refusal> {
    let head = direct(head, bytes, listener).map_err(|refusal| match refusal {
        // The connection would go on, so a stranger's rate has to end it.
        Refusal::Misdirected => gate.count_refused(found, refusal),
        refusal => {
            gate.count_unheard(found);
            refusal
        }
    })?;
    gate.passed(Step::Read(&head));
    let peer = identify(found, Timestamp::now()).map_err(|why| gate.count_refused(found, why))?;
    gate.passed(Step::Identified(peer));
    let admitted = gate.admit(peer)?;
    let lookup = Lookup::parse(asked(&head, bytes))?;
    gate.passed(Step::Parsed(&lookup));
    let verdict = decide(&peer.policy, lookup);
    gate.passed(Step::Decided(&verdict));
    Ok(Judged { head, peer, admitted, permit: verdict.outcome? })
}

/// The limits as they are when a request is served.
impl Gate for &Exchange<'_> {
    type Admitted = Admitted;

    fn count_unheard(&mut self, found: Option<Found<'_>>) {
        let limits = &self.worker.shared.limits;
        let now = self.worker.moment(self.began.into_std());
        let _ = match found {
            Some(found) => limits.admit(&found.peer.state, now).map(drop),
            None => limits.unknown(self.facts.client, now),
        };
    }

    /// A stranger is heard as long as its rate lasts.
    fn count_refused(&mut self, found: Option<Found<'_>>, refusal: Refusal) -> Refusal {
        if found.is_some() {
            self.count_unheard(found);
            return refusal;
        }
        let now = self.worker.moment(self.began.into_std());
        match self.worker.shared.limits.unknown(self.facts.client, now) {
            Ok(()) => refusal,
            Err(limited) => Refusal::UnknownPeerLimited(limited),
        }
    }

    fn admit(&mut self, peer: &Peer<Arc<PeerLimits>>) -> Result<Admitted, Refusal> {
        let now = self.worker.moment(self.began.into_std());
        self.worker.shared.limits.admit(&peer.state, now).map_err(Refusal::RateLimited)
    }
}

/// Refuses what is not HTTP, or is meant for somebody else.
fn direct(
    head: Result<RequestHead, Refusal>,
    bytes: &[u8],
    listener: Option<&Listener>,
) -> Result<RequestHead, Refusal> {
    let head = head?;
    match listener.is_none_or(|listener| is_served(listener, head.host(bytes))) {
        true => Ok(head),
        false => Err(Refusal::Misdirected),
    }
}

/// Whether a listener answers for `host`. One without `server_names` answers for any; one with them
/// for no request without a Host.
pub fn is_served(listener: &Listener, host: Option<Host<'_>>) -> bool {
    let names = &listener.server_names;
    names.is_empty() || host.is_some_and(|host| names.iter().any(|name| host.is_named(name)))
}

/// The peer that a caller is, if its policy is in force.
///
/// # Errors
/// [`Refusal::UnknownPeer`], [`Refusal::PeerDisabled`], [`Refusal::PeerExpired`].
pub fn identify<'p, T>(
    found: Option<Match<'p, T>>,
    now: Timestamp,
) -> Result<&'p Peer<T>, Refusal> {
    let peer = found.ok_or(Refusal::UnknownPeer)?.peer;
    check_in_force(&peer.policy, now)?;
    Ok(peer)
}

/// The parts of a head that say what is asked.
pub fn asked<'b>(head: &RequestHead, bytes: &'b [u8]) -> Asked<'b> {
    Asked {
        method: head.method().of(bytes),
        path: head.path().of(bytes),
        query: head.query().map(|query| query.of(bytes)),
        has_body: head.has_body(),
    }
}

/// How long XiVO may take until the head of its answer: it builds the whole list before the first
/// byte.
pub fn time_allowed(upstream: &Upstream, lookup: &Lookup) -> Duration {
    match lookup {
        Lookup::List { .. } => upstream.list_timeout,
        Lookup::Search { .. } | Lookup::View { .. } => upstream.timeout,
    }
}

/// What XiVO is asked for a client that was given `permit`.
pub fn question<'q>(
    upstream: &'q Upstream,
    permit: &'q Permit,
    client: ClientAddress,
    user_agent: Option<&'q [u8]>,
    request_id: &'q RequestId,
) -> Question<'q> {
    Question {
        permit,
        host: &upstream.host_header,
        client,
        scheme: "http",
        user_agent,
        request_id: request_id.as_str(),
    }
}

/// How the request whose head is in `bytes` is answered. `last` says that the connection ends after
/// it, whatever the client would like.
pub fn manner(
    head: Option<&RequestHead>,
    bytes: &[u8],
    last: bool,
    request_id: RequestId,
) -> Manner {
    Manner {
        version: head.map_or(Version::Http11, RequestHead::version),
        head_only: head.is_some_and(|head| head.method().of(bytes) == b"HEAD"),
        keep_alive: head.is_some_and(|head| head.persists() && !head.has_body()) && !last,
        request_id,
    }
}

/// Who reads a refusal: a peer is one whatever it is refused for.
pub fn audience(snapshot: &Snapshot, client: ClientAddress) -> Audience {
    match snapshot.peers.find(client) {
        Some(_) => Audience::Peer,
        None => Audience::Stranger,
    }
}
