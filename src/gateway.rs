//! The way of a request: the whole product on one screen.
//!
//! Each step consumes what the previous one yielded. A request that was not identified cannot be admitted,
//! one that was not admitted is not parsed, and nothing is asked of XiVO without a [`Permit`](crate::policy::decide::Permit).
//!
//! Imports `access_log`, `config`, `http1`, `identity`, `limits`, `location`, `lookup`, `net`,
//! `policy`, `refusal`, `response`, `tls`, `upstream`, `worker`, `x509`. Begin with [`serve`], then
//! `judge.rs` and `forward.rs`.

mod admission;
pub(crate) mod annotations;
pub(crate) mod connection_facts;
pub(crate) mod explain;
pub(crate) mod forward;
pub mod judge;
mod malformed;
pub(crate) mod own_check;
pub(crate) mod record;
mod refused;
pub(crate) mod relay;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod request_source;
pub(crate) mod response_sink;
mod unknown_caller;
pub(crate) mod whoami;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::http1::request::RequestHead;
use crate::refusal::Refusal;
use crate::response::ResponseOptions;
use crate::response::request_id::RequestId;
use crate::worker::Worker;
use crate::worker::snapshot::Snapshot;

use annotations::RequestAnnotations;
use connection_facts::ConnectionFacts;
use judge::{Case, Judged, judge};
use record::{Record, RecordContext};
use reply::options;
use request::Request;
use request_source::RequestSource;
use response_sink::{Disconnected, Disposition, Outcome, Persistence, ResponseSink};

/// One request on its way through the gateway.
#[derive(Debug)]
struct Exchange<'a> {
    worker: &'a Worker,
    snapshot: &'a Snapshot,
    facts: &'a ConnectionFacts,
    source: RequestSource<'a>,
    began: Instant,
    /// The same by the calendar.
    now: Timestamp,
    request_id: RequestId,
    /// What the steps leave for the log.
    annotations: &'a RequestAnnotations,
    /// Whether the log asks for the line that decided.
    needs_rule: bool,
}

/// Answers one request, and records it.
pub async fn serve(
    worker: &Worker,
    facts: &ConnectionFacts,
    client: &mut impl ResponseSink,
    request: Request<'_>,
    persistence: Persistence,
) -> Outcome {
    let snapshot = worker.shared.snapshot();
    let Request { head, seen, answerable, position } = request;
    let head = facts.require_tls(head);
    let values = |name| head.iter().flat_map(move |head| head.values(name));
    let judged_at = Timestamp::now();
    let source = RequestSource::of(&snapshot, facts, values, judged_at);
    let began = Instant::now();
    let request_id = worker.request_id();
    let annotations = &RequestAnnotations::default();
    let context = RecordContext {
        snapshot: &snapshot,
        facts,
        caller: source.caller,
        seen,
        position,
        judged: (judged_at, began),
        id: request_id,
        annotations,
    };
    let mut record = Record::open(worker, context);
    if let Some(peer) = source.found.peer() {
        record.set_peer(peer);
    }
    worker.timer_keep_alive.request();
    let exchange = Exchange {
        worker,
        snapshot: &snapshot,
        facts,
        source,
        began,
        now: judged_at,
        request_id,
        annotations,
        needs_rule: record.needs().rule,
    };
    let persistence =
        if worker.is_ending(facts.listener) { Persistence::Ends } else { persistence };
    let mut options = options(head.as_ref().ok(), persistence, request_id);
    let whole = head.as_ref().ok().copied();
    let refusal = match exchange.proxy(head, options, client, &mut record).await {
        Ok(disposition) => return Outcome::well(disposition),
        Err(refusal) => refusal,
    };
    let refused = refusal.is_the_callers();
    // Close a connection after MAX_REFUSED refusals in a row.
    let once_more = !refused || position.refused.saturating_add(1) < MAX_REFUSED;
    options.keep_alive &= !refusal.closes() && !worker.is_ending(facts.listener) && once_more;
    record.set_refusal(&refusal);
    if let Some(head) = malformed::kept(&refusal, seen.bytes(), &snapshot.config, &source) {
        worker.shared.malformed_heads.push(head);
    }
    if exchange.needs_rule
        && let Some(rule) = explain::rule(&refusal, &snapshot, &source)
    {
        annotations.rule.replace(Some(rule.clone()));
    }
    worker.diagnostics.refused(&refusal, &snapshot, &source, request_id.as_str());
    exchange.take_note(&refusal, whole);
    if !answerable {
        return Outcome { disposition: Disposition::Close, refused };
    }
    if refusal == Refusal::ClientClosed {
        // A part of an answer may have been sent, and must not look like all of it.
        return Outcome { disposition: Disposition::Reset, refused };
    }
    let disposition = match exchange.refuse(&refusal, &options, client, &mut record).await {
        Err(Disconnected) => Disposition::Reset,
        Ok(()) if options.keep_alive => Disposition::KeepAlive,
        Ok(()) if refusal.closes() => Disposition::Linger,
        Ok(()) => Disposition::Close,
    };
    Outcome { disposition, refused }
}

impl<'a> Exchange<'a> {
    /// The way of a request.
    async fn proxy(
        &self,
        head: Result<RequestHead<'_>, Refusal>,
        options: ResponseOptions,
        client: &mut impl ResponseSink,
        record: &mut Record<'a>,
    ) -> Result<Disposition, Refusal> {
        let Self { snapshot, facts, .. } = *self;
        let case = Case { snapshot, facts, found: self.source.found, now: self.now };
        match judge(self, case, head)? {
            Judged::Lookup(granted) => self.forward(granted, options, client, record).await,
            Judged::WhoAmI => self.introduce(&options, client, record).await,
        }
    }

    /// Whether the connection is one of those that may be.
    fn below_ceiling(&self) -> Result<(), Refusal> {
        if self.facts.over_ceiling { Err(Refusal::Overloaded) } else { Ok(()) }
    }
}

/// How many requests of a connection may be refused one after the other; with that one it ends.
pub const MAX_REFUSED: u32 = 20;
