//! The way of a request: the whole product on one screen.
//!
//! Each step consumes what the former yielded. A request that was not identified cannot be admitted,
//! one that was not admitted is not parsed, and nothing is asked of XiVO without a [`Permit`].

pub mod connection_facts;
pub mod explain;
pub mod identify;
pub mod notes;
pub mod outlet;
pub mod record;
pub mod relay;
pub mod request;
pub mod whoami;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::config::{Listener, Upstream};
use crate::gateway::notes::Notes;
use crate::gateway::outlet::{After, Outcome};
use crate::gateway::outlet::{Gone, Outlet};
use crate::gateway::record::{Opening, Record};
use crate::gateway::relay::Relay;
use crate::gateway::request::Request;
use crate::gateway::whoami::WhoAmI;
use crate::http1::Version;
use crate::http1::host::Host;
use crate::http1::request::RequestHead;
use crate::identity::caller::{Caller, ClientSource};
use crate::identity::peers::Peer;
use crate::limits::{Admitted, PeerLimits, Slot};
use crate::lookup::{Asked, Lookup};
use crate::net::proxy_protocol::write::Relayed;
use crate::policy::decide::{Permit, Verdict, action, decide};
use crate::refusal::Refusal;
use crate::response::problem::Audience;
use crate::response::request_id::RequestId;
use crate::response::{Manner, problem};
use crate::upstream::trace::Trace;
use crate::upstream::{Answer, Question, Route};
use crate::worker::Worker;
use crate::worker::snapshot::{Found, Snapshot};

pub use crate::gateway::connection_facts::{Addressed, ConnectionFacts, Noted};
pub use crate::gateway::identify::Origin;

/// One request on its way through the gateway.
#[derive(Debug)]
struct Exchange<'a> {
    worker: &'a Worker,
    snapshot: &'a Snapshot,
    facts: &'a ConnectionFacts,
    origin: Origin<'a>,
    began: Instant,
    request_id: RequestId,
    /// What the steps leave for the log.
    notes: &'a Notes,
    /// What the head was read from.
    bytes: &'a [u8],
}

/// Answers one request, whose head is in `bytes`, and records it. `last` says that the connection
/// ends after it, whatever the client would like.
pub async fn serve(
    worker: &Worker,
    facts: &ConnectionFacts,
    client: &mut impl Outlet,
    (request, bytes): (Request, &[u8]),
    last: bool,
) -> Outcome {
    let snapshot = worker.shared.snapshot();
    let Request { head, seen, answerable, turn } = request;
    let head = facts.heard(head);
    let values = |name| head.iter().flat_map(move |head| head.values(bytes, name));
    let origin = Origin::of(&snapshot, facts, values, Timestamp::now());
    let request_id = worker.request_id();
    let notes = &Notes::default();
    let opening = Opening {
        snapshot: &snapshot,
        facts,
        caller: origin.caller,
        seen,
        bytes,
        turn,
        id: request_id,
        notes,
    };
    let mut record = Record::open(&worker.log, opening);
    if let Some(peer) = origin.found.peer() {
        record.set_peer(peer.policy.name.as_str());
    }
    worker.pulse.want();
    let began = Instant::now();
    let exchange =
        Exchange { worker, snapshot: &snapshot, facts, origin, began, request_id, notes, bytes };
    let last = last || worker.is_draining();
    let mut manner = manner(head.as_ref().ok(), bytes, last, request_id);
    let refusal = match exchange.proxy(head, manner, client, &mut record).await {
        Ok(after) => return Outcome::well(after),
        Err(refusal) => refusal,
    };
    let refused = refusal.is_the_callers();
    // Who does nothing but what is refused is not heard for ever on one connection.
    let once_more = !refused || turn.refused.saturating_add(1) < MAX_REFUSED;
    manner.keep_alive &= !refusal.closes() && !worker.is_draining() && once_more;
    record.set_refusal(&refusal);
    if worker.log.needs().rule
        && let Some(rule) = explain::rule(&refusal, &snapshot, &origin)
    {
        notes.rule.replace(Some(rule.clone()));
    }
    worker.diagnostics.refused(&refusal, &snapshot, &origin, request_id.as_str());
    if !answerable {
        return Outcome { after: After::Close, refused };
    }
    if refusal == Refusal::ClientClosed {
        // A part of an answer may have been sent, and must not look like all of it.
        return Outcome { after: After::Reset, refused };
    }
    let after = match exchange.refuse(&refusal, &manner, client, &mut record).await {
        Err(Gone) => After::Reset,
        Ok(()) if manner.keep_alive => After::KeepAlive,
        Ok(()) if refusal.closes() => After::Linger,
        Ok(()) => After::Close,
    };
    Outcome { after, refused }
}

/// How many requests of a connection may be refused one after the other; with that one it ends.
pub const MAX_REFUSED: u32 = 20;

impl<'a> Exchange<'a> {
    /// The pipeline.
    async fn proxy(
        &self,
        head: Result<RequestHead, Refusal>,
        manner: Manner,
        client: &mut impl Outlet,
        record: &mut Record<'a>,
    ) -> Result<After, Refusal> {
        let addressed = self.facts.addressed(self.snapshot);
        if self.snapshot.config.whoami && whoami::is_asked(&head, self.bytes) {
            whoami::judge(self, self.origin.found, addressed, (head, self.bytes))?;
            return self.introduce(&manner, client, record).await;
        }
        let head = (head, self.bytes);
        let Judged { head, peer, permit, .. } = judge(self, self.origin.found, addressed, head)?;
        let slot = self.slot(&peer.state).await?;
        self.notes.counted(self.below_ceiling())?;
        tokio::select! {
            biased;
            // For a request that was taken back as it came, XiVO is not asked.
            () = client.gone() => return Err(Refusal::ClientClosed),
            () = std::future::ready(()) => {}
        }
        let answer = tokio::select! {
            biased;
            answer = self.ask(&permit, &head, record.upstream()) => answer?,
            () = client.gone() => return Err(Refusal::ClientClosed),
        };
        let upstream = &self.snapshot.config.upstream;
        let relay = Relay { worker: self.worker, upstream, manner, record };
        let after = relay.pass(permit.lookup(), answer, client).await;
        drop(slot);
        after
    }

    /// Tells a caller who it is.
    async fn introduce(
        &self,
        manner: &Manner,
        client: &mut impl Outlet,
        record: &mut Record<'_>,
    ) -> Result<After, Refusal> {
        self.notes.counted(self.below_ceiling())?;
        let Origin { caller, found } = &self.origin;
        let known = found.peer().is_some();
        let whoami = WhoAmI::new(caller, known, Timestamp::now(), self.request_id.as_str());
        let (head, body) = whoami.answer(manner);
        record.begin(&head);
        let sent = client.begin(self.worker, &head, &body, true).await;
        sent.map_err(|Gone| Refusal::ClientClosed)?;
        record.add_body_bytes(body.len());
        record.complete();
        Ok(if manner.keep_alive { After::KeepAlive } else { After::Close })
    }

    /// One of the peer's places for lookups in flight. Where all are taken, a lookup may be over whose
    /// answer only waits for this worker: what has come is dealt with first.
    async fn slot(&self, limits: &Arc<PeerLimits>) -> Result<Slot, Refusal> {
        let slot = match limits.slot() {
            Ok(slot) => Ok(slot),
            Err(_) => {
                tokio::task::yield_now().await;
                limits.slot()
            }
        };
        self.notes.counted(slot).map_err(Refusal::TooManyConcurrent)
    }

    /// Whether the connection is one of those that may be.
    fn below_ceiling(&self) -> Result<(), Refusal> {
        if self.facts.over_ceiling { Err(Refusal::Overloaded) } else { Ok(()) }
    }

    /// Asks XiVO what was permitted.
    async fn ask(
        &self,
        permit: &Permit,
        head: &RequestHead,
        trace: Option<&Trace>,
    ) -> Result<Answer, Refusal> {
        let upstream = &self.snapshot.config.upstream;
        let agent = head.user_agent().map(|span| span.of(self.bytes));
        let client = ClientSide {
            caller: &self.origin.caller,
            scheme: self.facts.scheme(),
            user_agent: agent,
        };
        let question = question(upstream, permit, client, &self.request_id);
        let buffers = &self.worker.buffers;
        let mut request = buffers.take();
        question.write(&mut request);
        let deadline = self.began + time_allowed(upstream, permit.lookup());
        let route =
            self.snapshot.route(relayed(self.snapshot, &self.origin.caller, self.facts.listener));
        let route = Route { trace, ..route };
        if let Some(trace) = trace {
            trace.question(request.len());
        }
        let answer = self.worker.pool.ask(&route, &request, buffers.take(), deadline).await;
        buffers.put(request);
        let answer = answer.map_err(Refusal::Upstream);
        if let Some(trace) = trace {
            match &answer {
                Ok(Answer { head, buffer, .. }) => {
                    let body = buffer.len().saturating_sub(head.len());
                    trace.answered(head.status(), body);
                }
                Err(refusal) => trace.failed(refusal.status()),
            }
        }
        answer
    }

    /// Sends a refusal.
    async fn refuse(
        &self,
        refusal: &Refusal,
        manner: &Manner,
        client: &mut impl Outlet,
        record: &mut Record<'_>,
    ) -> Result<(), Gone> {
        let audience = audience(&self.origin.found, refusal);
        let takes = |length| client.takes_now(length);
        let (head, body) = problem::answer(refusal, audience, manner, takes);
        record.begin(&head);
        let sent = client.begin(self.worker, &head, &body, true).await;
        sent.inspect(|()| {
            record.add_body_bytes(body.len());
            record.complete();
        })
    }
}

/// What stands at the way from a head to a [`Permit`] besides the rules: the limits, which spend
/// tokens when a request is served and none when one is explained, and who watches.
pub trait Gate {
    /// That the limits let a request pass.
    type Admitted;

    /// Counts a request that is refused before anybody asked whose it is, so that such requests
    /// are not free. The refusal stays what it is.
    fn count_unheard(&mut self, found: Found<'_>);

    /// Counts a caller that is refused for who it is; yields what it is told.
    fn count_refused(&mut self, found: Found<'_>, refusal: Refusal) -> Refusal;

    /// Spends a token of the peer and one of the gateway, or neither.
    ///
    /// # Errors
    /// What is used up.
    fn admit(&mut self, peer: &Peer<Arc<PeerLimits>>) -> Result<Self::Admitted, Refusal>;

    /// Counts a caller that asks who it is, as one that is in no policy.
    ///
    /// # Errors
    /// It has asked too often.
    fn introduce(&mut self, found: Found<'_>) -> Result<(), Refusal>;

    /// A request has come this far.
    fn passed(&mut self, _step: Step<'_>) {}
}

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
    found: Found<'s>,
    addressed: Addressed<'_>,
    (head, bytes): (Result<RequestHead, Refusal>, &[u8]),
) -> Result<Judged<'s, G::Admitted>, Refusal> {
    let head = heard(&mut gate, found, addressed, (head, bytes))?;
    let peer =
        found.identify(Timestamp::now()).map_err(|why| gate.count_refused(found, why.into()))?;
    gate.passed(Step::Identified(peer));
    let admitted = gate.admit(peer)?;
    let lookup = Lookup::parse(asked(&head, bytes))?;
    gate.passed(Step::Parsed(&lookup));
    let verdict = decide(&peer.policy, lookup);
    gate.passed(Step::Decided(&verdict));
    Ok(Judged { head, peer, admitted, permit: verdict.outcome? })
}

/// The first step of it: a head that is HTTP, and meant for this gateway.
///
/// # Errors
/// It is not.
pub fn heard<G: Gate>(
    gate: &mut G,
    found: Found<'_>,
    addressed: Addressed<'_>,
    (head, bytes): (Result<RequestHead, Refusal>, &[u8]),
) -> Result<RequestHead, Refusal> {
    let head = direct(head, bytes, addressed).map_err(|refusal| match refusal {
        // The connection would go on, so a stranger's rate has to end it.
        Refusal::Misdirected => gate.count_refused(found, refusal),
        refusal => {
            gate.count_unheard(found);
            refusal
        }
    })?;
    gate.passed(Step::Read(&head));
    Ok(head)
}

/// The limits as they are when a request is served.
impl Gate for &Exchange<'_> {
    type Admitted = Admitted;

    fn passed(&mut self, step: Step<'_>) {
        match step {
            Step::Parsed(lookup) => self.notes.action.set(Some(action(lookup))),
            Step::Decided(verdict) if self.worker.log.needs().rule => {
                self.notes.rule.replace(Some(verdict.rule.clone()));
            }
            Step::Read(_) | Step::Identified(_) | Step::Decided(_) => {}
        }
    }

    fn count_unheard(&mut self, found: Found<'_>) {
        let limits = &self.worker.shared.limits;
        let now = self.worker.moment(self.began.into_std());
        let _ = match found.peer() {
            Some(peer) => limits.admit(&peer.state, now).map(drop),
            None => limits.unknown(self.origin.caller.shown_address(), now),
        };
    }

    /// A stranger is heard as long as its rate lasts.
    fn count_refused(&mut self, found: Found<'_>, refusal: Refusal) -> Refusal {
        if found.peer().is_some() {
            self.count_unheard(found);
            return refusal;
        }
        let now = self.worker.moment(self.began.into_std());
        let limits = &self.worker.shared.limits;
        match self.notes.rated(limits.unknown(self.origin.caller.shown_address(), now)) {
            Ok(()) => refusal,
            Err(limited) => Refusal::UnknownPeerLimited(limited),
        }
    }

    fn introduce(&mut self, found: Found<'_>) -> Result<(), Refusal> {
        let now = self.worker.moment(self.began.into_std());
        let counted = self.worker.shared.limits.unknown(self.origin.caller.shown_address(), now);
        self.notes.rated(counted).map_err(|limited| match found.peer() {
            Some(_) => Refusal::RateLimited(limited),
            None => Refusal::UnknownPeerLimited(limited),
        })
    }

    fn admit(&mut self, peer: &Peer<Arc<PeerLimits>>) -> Result<Admitted, Refusal> {
        let now = self.worker.moment(self.began.into_std());
        let admitted = self.worker.shared.limits.admit(&peer.state, now);
        self.notes.rated(admitted).map_err(Refusal::RateLimited)
    }
}

/// Refuses what is not HTTP, or is meant for somebody else.
fn direct(
    head: Result<RequestHead, Refusal>,
    bytes: &[u8],
    addressed: Addressed<'_>,
) -> Result<RequestHead, Refusal> {
    let head = head?;
    let host = head.host(bytes);
    // A client that asked for one name in the handshake and for another in the request would get
    // what belongs to the second by what it showed to the first (RFC 9110, section 7.4).
    let same_name =
        addressed.server_name.is_none_or(|name| host.is_some_and(|host| host.is_named(name)));
    match same_name && addressed.listener.is_none_or(|listener| is_served(listener, host)) {
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

/// The parts of a head that say what is asked.
pub fn asked<'b>(head: &RequestHead, bytes: &'b [u8]) -> Asked<'b> {
    Asked {
        method: head.method().of(bytes),
        path: head.path().of(bytes),
        query: head.query().map(|query| query.of(bytes)),
        has_body: head.has_body(),
    }
}

/// Whom the PROXY protocol names to XiVO, where it is sent. `listener` took the connection.
pub fn relayed(snapshot: &Snapshot, caller: &Caller<'_>, listener: usize) -> Relayed {
    let listener = snapshot.config.listeners.get(listener);
    let unknown = (std::net::Ipv4Addr::UNSPECIFIED, 0);
    let destination = listener.map_or_else(|| unknown.into(), |listener| listener.address);
    // The port belongs to whom the connection comes from, which may be a proxy.
    let port = if caller.source == ClientSource::Socket { caller.socket.port() } else { 0 };
    Relayed { client: caller.shown_address(), port, destination }
}

/// How long XiVO may take until the head of its answer: it builds the whole list before the first
/// byte.
pub fn time_allowed(upstream: &Upstream, lookup: &Lookup) -> Duration {
    match lookup {
        Lookup::List { .. } => upstream.list_timeout,
        Lookup::Search { .. } | Lookup::View { .. } => upstream.timeout,
    }
}

/// What XiVO is told of a client.
#[derive(Clone, Copy, Debug)]
pub struct ClientSide<'a> {
    /// Who it is.
    pub caller: &'a Caller<'a>,
    /// What it spoke: `http` or `https`.
    pub scheme: &'static str,
    /// Its `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
}

/// What XiVO is asked for a client that was given `permit`.
pub fn question<'q>(
    upstream: &'q Upstream,
    permit: &'q Permit,
    client: ClientSide<'q>,
    request_id: &'q RequestId,
) -> Question<'q> {
    Question {
        permit,
        host: &upstream.host_header,
        client: client.caller.shown_address(),
        scheme: client.scheme,
        user_agent: client.user_agent,
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

/// Who reads a refusal: a peer is one whatever it is refused for, and who only lacks the right
/// certificate is told so.
pub fn audience(found: &Found<'_>, refusal: &Refusal) -> Audience {
    match found {
        // Whoever mistook the scheme may know it: it tells nothing of anybody.
        _ if *refusal == Refusal::PlainOnTls => Audience::Peer,
        Found::Peer(_) | Found::Unproven { .. } => Audience::Peer,
        Found::Stranger => Audience::Stranger,
    }
}
