//! The way of a request: the whole product on one screen.
//!
//! Each step consumes what the former yielded. A request that was not identified cannot be admitted,
//! one that was not admitted is not parsed, and nothing is asked of XiVO without a [`Permit`](crate::policy::decide::Permit).
//!
//! Imports `access_log`, `config`, `http1`, `identity`, `limits`, `location`, `lookup`, `net`,
//! `policy`, `refusal`, `response`, `tls`, `upstream`, `worker`, `x509`. Begin with [`serve`], then
//! `judge.rs` and `forward.rs`.

mod admission;
pub mod connection_facts;
pub mod explain;
pub mod forward;
pub mod identify;
pub mod judge;
pub mod notes;
pub mod outlet;
pub mod record;
pub mod relay;
pub mod reply;
pub mod request;
pub mod whoami;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::http1::request::RequestHead;
use crate::refusal::Refusal;
use crate::response::Manner;
use crate::response::request_id::RequestId;
use crate::worker::Worker;
use crate::worker::snapshot::Snapshot;

use connection_facts::ConnectionFacts;
use identify::Origin;
use judge::{Case, Judged, judge};
use notes::Notes;
use outlet::{After, Gone, Outcome, Outlet, Persistence};
use record::{Opening, Record};
use reply::manner;
use request::Request;

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

/// Answers one request, whose head is in `bytes`, and records it.
pub async fn serve(
    worker: &Worker,
    facts: &ConnectionFacts,
    client: &mut impl Outlet,
    (request, bytes): (Request, &[u8]),
    persistence: Persistence,
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
    let persistence = if worker.is_draining() { Persistence::Ends } else { persistence };
    let mut manner = manner(head.as_ref().ok(), bytes, persistence, request_id);
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
    /// The way of a request.
    async fn proxy(
        &self,
        head: Result<RequestHead, Refusal>,
        manner: Manner,
        client: &mut impl Outlet,
        record: &mut Record<'a>,
    ) -> Result<After, Refusal> {
        let Self { snapshot, facts, bytes, .. } = *self;
        let case = Case { snapshot, facts, found: self.origin.found, bytes };
        match judge(self, case, head)? {
            Judged::Lookup(granted) => self.forward(granted, manner, client, record).await,
            Judged::WhoAmI => self.introduce(&manner, client, record).await,
        }
    }

    /// Whether the connection is one of those that may be.
    fn below_ceiling(&self) -> Result<(), Refusal> {
        if self.facts.over_ceiling { Err(Refusal::Overloaded) } else { Ok(()) }
    }
}
