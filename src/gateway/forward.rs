//! From a permit to XiVO's answer, and with it to the client.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use super::explain::explain_fault;
use super::judge::Granted;
use super::record::Record;
use super::relay::Relay;
use super::response_sink::{Disposition, ResponseSink};
use crate::config::Upstream;
use crate::http1::request::RequestHead;
use crate::identity::caller::{Caller, ClientSource};
use crate::limits::{Admitted, PeerLimits, Slot};
use crate::location::Located;
use crate::lookup::Lookup;
use crate::net::proxy_protocol::write::Relayed;
use crate::policy::decide::Permit;
use crate::refusal::Refusal;
use crate::response::ResponseOptions;
use crate::response::request_id::RequestId;
use crate::upstream::trace::Trace;
use crate::upstream::{
    HeadDeadline, HeadTimeout, RequestParts, Route, UpstreamFault, UpstreamResponse,
};
use crate::worker::listeners::ListenerId;
use crate::worker::metrics::Patience;
use crate::worker::outage::{Asked, Pass};
use crate::worker::snapshot::Snapshot;

impl Exchange<'_> {
    /// Asks XiVO what was granted, and passes the answer on.
    pub(super) async fn forward(
        &self,
        granted: Granted<'_, '_, Admitted>,
        options: ResponseOptions,
        client: &mut impl ResponseSink,
        record: &mut Record<'_>,
    ) -> Result<Disposition, Refusal> {
        let Granted { head, peer, admitted, permit } = granted;
        let slot = self.slot(&peer.state.limits, admitted).await?;
        self.annotations.counted(self.below_ceiling())?;
        tokio::select! {
            biased;
            // For a request that was taken back as it came, XiVO is not asked.
            () = client.disconnected() => return Err(Refusal::ClientClosed),
            () = std::future::ready(()) => {}
        }
        let upstream = &self.snapshot.config.upstream;
        let asked = Asked { peer: Some(peer.policy.name.as_str()), lookup: permit.lookup() };
        let pass = self.worker.shared.outage.admit(self.worker.number, asked);
        let pass = pass.map_err(Refusal::UpstreamDown)?;
        let verdict = Verdict { exchange: self, pass };
        let deadline = HeadDeadline::new(self.began, head_timeout(upstream, permit.lookup()));
        self.annotations.asked.set(Some(self.began));
        self.annotations.patience.set(Some(patience(permit.lookup())));
        let answer = tokio::select! {
            biased;
            answer = self.ask(&permit, &head, deadline, record.upstream()) => answer,
            () = client.disconnected() => return Err(Refusal::ClientClosed),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => return Err(verdict.failed(fault)),
        };
        let relay = Relay { exchange: self, upstream, deadline, options, record };
        let disposition = relay.pass(permit.lookup(), answer, (client, verdict)).await;
        drop(slot);
        disposition
    }

    /// One of the peer's places for lookups in flight. Where all are taken, a lookup may be over whose
    /// answer only waits for this worker: what has come is dealt with first.
    async fn slot(&self, limits: &Arc<PeerLimits>, _: Admitted) -> Result<Slot, Refusal> {
        let slot = match limits.slot() {
            Ok(slot) => Ok(slot),
            Err(_) => {
                tokio::task::yield_now().await;
                limits.slot()
            }
        };
        self.annotations.counted(slot).map_err(Refusal::TooManyConcurrent)
    }

    /// Asks XiVO what was permitted.
    async fn ask(
        &self,
        permit: &Permit,
        head: &RequestHead<'_>,
        deadline: HeadDeadline,
        trace: Option<&Trace>,
    ) -> Result<UpstreamResponse, UpstreamFault> {
        let upstream = &self.snapshot.config.upstream;
        let client = ClientSide {
            caller: &self.source.caller,
            scheme: self.facts.scheme(),
            user_agent: head.user_agent(),
        };
        let request_parts = request_parts(upstream, permit, client, &self.request_id);
        let buffers = &self.worker.buffers;
        let request = request_parts.write(buffers.take());
        let route =
            self.snapshot.route(relayed(self.snapshot, &self.source.caller, self.facts.listener));
        let route = Route { trace, ..route };
        if let Some(trace) = trace {
            trace.will_send(request.as_bytes().len());
        }
        let answer = self.worker.pool.send(&route, &request, buffers.take(), deadline).await;
        buffers.put(request.into_buffer());
        if let Some(trace) = trace {
            match &answer {
                Ok(answer) => {
                    let head = answer.received.head();
                    trace.answered(head.status(), head.behind().len());
                }
                Err(fault) => trace.failed(Refusal::Upstream(fault.clone()).status()),
            }
        }
        answer
    }
}

/// What is to be said of how XiVO answers a lookup.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    exchange: &'a Exchange<'a>,
    pass: Pass<'a>,
}

impl Verdict<'_> {
    /// It answers as a phonebook does.
    pub(super) fn answered(self) {
        if let Some(news) = self.pass.answered() {
            self.exchange.worker.diagnostics.circuit(&news, "");
        }
    }

    /// It does not.
    pub(super) fn failed(self, fault: UpstreamFault) -> Refusal {
        let Exchange { worker, snapshot, began, .. } = self.exchange;
        if let Some(news) = self.pass.failed(&fault, began.into_std()) {
            worker.diagnostics.circuit(&news, &explain_fault(&fault, snapshot));
        }
        Refusal::Upstream(fault)
    }
}

/// Whom the PROXY protocol names to XiVO, where it is sent. `listener` took the connection.
pub(crate) fn relayed(snapshot: &Snapshot, caller: &Caller<'_>, listener: ListenerId) -> Relayed {
    let listener = snapshot.listener(listener);
    let unknown = (Ipv4Addr::UNSPECIFIED, 0);
    let destination = listener.map_or_else(|| unknown.into(), |listener| listener.address);
    // The port belongs to whom the connection comes from, which may be a proxy.
    let port = if caller.source == ClientSource::Socket { caller.socket.port() } else { 0 };
    Relayed { client: caller.shown_address(), port, destination }
}

/// How long XiVO may take until its answer begins. Who looks for the name of a caller waits less than
/// who types one; and XiVO builds the whole list before the first byte.
pub(crate) fn head_timeout(upstream: &Upstream, lookup: &Lookup) -> HeadTimeout {
    let (key, timeout) = located_head_timeout(upstream, lookup);
    HeadTimeout { key, limit: timeout.value }
}

/// How long whoever looks something up waits for the answer.
fn patience(lookup: &Lookup) -> Patience {
    match lookup {
        Lookup::Search { term, .. } if term.is_telephone_number() => Patience::Number,
        Lookup::Search { .. } | Lookup::View { .. } => Patience::Text,
        Lookup::List { .. } => Patience::List,
    }
}

/// The same with its place in the configuration.
pub(crate) fn located_head_timeout<'u>(
    upstream: &'u Upstream,
    lookup: &Lookup,
) -> (&'static str, &'u Located<Duration>) {
    match lookup {
        Lookup::Search { term, .. } if term.is_telephone_number() => {
            ("number_timeout", &upstream.number_timeout)
        }
        Lookup::Search { .. } | Lookup::View { .. } => ("timeout", &upstream.timeout),
        Lookup::List { .. } => ("list_timeout", &upstream.list_timeout),
    }
}

/// What XiVO is told of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientSide<'a> {
    /// Who it is.
    pub caller: &'a Caller<'a>,
    /// What it spoke: `http` or `https`.
    pub scheme: &'static str,
    /// Its `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
}

/// What XiVO is asked for a client that was given `permit`.
pub(crate) fn request_parts<'q>(
    upstream: &'q Upstream,
    permit: &'q Permit,
    client: ClientSide<'q>,
    request_id: &'q RequestId,
) -> RequestParts<'q> {
    RequestParts {
        permit,
        host: &upstream.host_header,
        client: client.caller.shown_address(),
        scheme: client.scheme,
        user_agent: client.user_agent,
        request_id: request_id.as_str(),
    }
}
