//! The record of a request from its first byte to its last.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use tokio::time::Instant;

use super::annotations::RequestAnnotations;
use crate::access_log::format::clock::UnixSeconds;
use crate::access_log::format::combined::Entry;
use crate::access_log::format::{Facts, Needs, RequestFacts, TlsLine};
use crate::access_log::{self, WorkerLog};
use crate::config::UpstreamHost;
use crate::gateway::connection_facts::ConnectionFacts;
use crate::gateway::request::RequestPosition;
use crate::http1::host::Host;
use crate::http1::request::Seen;
use crate::identity::caller::{Caller, ClientSource};
use crate::limits::Limit;
use crate::location::Location;
use crate::refusal::{Reason, Refusal};
use crate::response::Head;
use crate::response::request_id::RequestId;
use crate::upstream::trace::{Attempt, Trace};
use crate::worker::Worker;
use crate::worker::counts::{Ended, RequestCounts};
use crate::worker::snapshot::{PeerWithState, Snapshot};

/// What is known of a request when its record is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordContext<'a> {
    /// What it was judged by.
    pub snapshot: &'a Snapshot,
    /// What is known of its connection.
    pub facts: &'a ConnectionFacts,
    /// Whom it comes from.
    pub caller: Caller<'a>,
    /// What was read of it.
    pub seen: Seen<'a>,
    /// Its place in its connection.
    pub position: RequestPosition,
    /// When it was judged, by the calendar and by the clock that is never set.
    pub judged: (Timestamp, Instant),
    /// The id that the answer carries too (`$request_id`).
    pub id: RequestId,
    /// What its steps leave.
    pub annotations: &'a RequestAnnotations,
}

impl<'a> RecordContext<'a> {
    fn request(&self) -> RequestFacts<'a> {
        let Self { seen, .. } = self;
        RequestFacts {
            method: seen.method(),
            target: seen.target(),
            protocol: seen.version(),
            host: seen.host().map(Host::name),
            fields: seen.fields(),
        }
    }

    fn tls(&self) -> Option<TlsLine<'a>> {
        let tls = self.facts.tls.as_ref()?;
        Some(TlsLine {
            protocol: tls.version,
            cipher: tls.cipher,
            server_name: tls.server_name.as_deref(),
            resumed: tls.resumed,
            certificate: self.caller.certificate,
        })
    }
}

/// The record of one request. It becomes a log line when it is dropped, whichever way the request
/// ended: a future that is dropped in the middle leaves a 499, as nginx writes it for a client that
/// left.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    worker: &'a Worker,
    /// The logs as they were when the request began.
    log: Rc<WorkerLog>,
    context: RecordContext<'a>,
    peer: Option<&'a PeerWithState>,
    status: u16,
    body_bytes: u64,
    /// The answer's head, where a format needs it, and whether it was sent.
    head: Vec<u8>,
    head_sent: bool,
    keep_alive: bool,
    completed: bool,
    reason: Option<Reason>,
    limit: Option<Limit>,
}

impl<'a> Record<'a> {
    /// Opens the record of a request.
    pub(crate) fn open(worker: &'a Worker, context: RecordContext<'a>) -> Self {
        Self {
            worker,
            log: worker.log(),
            context,
            peer: None,
            status: Refusal::ClientClosed.status(),
            body_bytes: 0,
            head: Vec::new(),
            head_sent: false,
            keep_alive: false,
            completed: false,
            reason: None,
            limit: None,
        }
    }

    /// What its line has to say.
    pub(crate) fn needs(&self) -> Needs {
        self.log.needs()
    }

    /// The request is this peer's.
    pub(crate) fn set_peer(&mut self, peer: &'a PeerWithState) {
        self.peer = Some(peer);
    }

    /// The request was refused.
    pub(crate) fn set_refusal(&mut self, refusal: &Refusal) {
        self.status = refusal.status();
        self.limit = refusal.limit();
        self.set_cut(refusal);
    }

    /// An answer that was begun could not be completed, for this reason.
    pub(crate) fn set_cut(&mut self, refusal: &Refusal) {
        self.reason = Some(refusal.reason());
        if let (Refusal::Upstream(fault), Some(own)) = (refusal, self.worker.metrics()) {
            own.fault(fault);
        }
        let now = millis(SystemTime::now());
        for counts in self.counts() {
            counts.refused(self.worker.number, now, refusal);
        }
    }

    /// Where the request is counted.
    fn counts(&self) -> [&'a RequestCounts; 2] {
        let shared = &self.worker.shared;
        let own = self.peer.map_or(&shared.unknown, |peer| &peer.state.counts);
        [&shared.all, own]
    }

    /// Counts the request, which ended at `now`.
    fn count(&self, now: SystemTime) {
        let ended = match (self.reason, self.context.annotations.action.get()) {
            (Some(reason), _) => Ended::Refused(reason),
            (None, Some(_)) => Ended::Answered,
            (None, None) => Ended::Introduced,
        };
        let now = millis(now);
        for counts in self.counts() {
            counts.count(self.worker.number, now, ended);
        }
    }

    /// Counts how long the request took, which ended at `now`, and what it waited for.
    fn measure(&self, now: Instant) {
        let Some(own) = self.worker.metrics() else { return };
        let annotations = self.context.annotations;
        let took = now.duration_since(self.context.position.began);
        own.request(took);
        if let (None, Some(patience)) = (self.reason, annotations.patience.get()) {
            own.answered(took, patience);
        }
        if let Some(limit) = self.limit {
            own.limited(limit);
        }
        if let Some(asked) = annotations.asked.get() {
            // Small answers are sent as soon as they have come. Of one that nobody waited for nothing is known.
            let is_known = self.reason.is_none_or(Reason::is_upstreams);
            let answered = annotations.answered.get().or_else(|| is_known.then_some(now));
            answered.inspect(|answered| own.upstream(answered.duration_since(asked)));
        }
    }

    /// XiVO's answer had begun at `now`.
    pub(crate) fn answered(&self, now: Instant) {
        self.context.annotations.answered.set(Some(now));
    }

    /// An answer with this head begins to be sent.
    pub(crate) fn begin(&mut self, head: &Head<'_>) {
        self.status = head.status();
        self.keep_alive = head.options().keep_alive;
        if self.log.needs().answer_head {
            self.head = self.log.spare_head();
            head.write(&mut self.head, |out| self.log.write_http_date(out));
        }
    }

    /// `count` more bytes of the body were sent.
    pub(crate) fn add_body_bytes(&mut self, count: usize) {
        self.head_sent = true;
        self.body_bytes += count as u64;
    }

    /// The answer was sent to its end.
    pub(crate) fn complete(&mut self) {
        self.completed = true;
    }

    /// How XiVO was asked, where a format needs it.
    pub(crate) fn upstream(&self) -> Option<&'a Trace> {
        let annotations = self.context.annotations;
        self.log.needs().upstream.then_some(&annotations.upstream)
    }

    fn entry(&self, time: UnixSeconds) -> Entry<'a> {
        let RecordContext { seen, caller, .. } = self.context;
        Entry {
            remote_addr: caller.ip(),
            remote_user: self.peer.map(|peer| peer.policy.name.as_str()),
            time,
            request: Some(seen.line()),
            status: self.status,
            body_bytes_sent: self.body_bytes,
            referer: seen.referer(),
            user_agent: seen.user_agent(),
        }
    }

    /// What a line can say of the request that ended at `now`.
    fn facts<'f>(
        &'f self,
        entry: Entry<'f>,
        (now, ended): (SystemTime, Instant),
        attempts: &'f [Attempt],
        rule: Option<&'f Location>,
    ) -> Facts<'f> {
        let host = self.log.host();
        let millis = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_millis());
        let context = &self.context;
        let RecordContext { snapshot, facts, caller, position, annotations, .. } = context;
        let log_facts = *facts.log_facts;
        let since = |then: Instant| ended.duration_since(then);
        let listener = snapshot.listener(facts.listener);
        let server_name = listener.and_then(|found| found.server_names.first());
        let head_length = if self.head_sent { self.head.len() as u64 } else { 0 };
        Facts {
            entry,
            millis: u16::try_from(millis).unwrap_or_default(),
            request: context.request(),
            remote_port: match caller.source {
                ClientSource::Socket => Some(facts.socket.port()),
                ClientSource::ProxyProtocol => log_facts.proxied_client.map(|client| client.port()),
                ClientSource::XForwardedFor | ClientSource::Forwarded => None,
            },
            socket: facts.socket,
            proxied_client: log_facts.proxied_client,
            local: log_facts.local,
            server_name: server_name.map(String::as_str).unwrap_or_default(),
            tls: context.tls(),
            connection: log_facts.number,
            connection_requests: position.number,
            connection_time: since(log_facts.opened),
            pipelined: position.pipelined,
            request_length: context.seen.length() as u64,
            request_time: since(position.began),
            bytes_sent: head_length + self.body_bytes,
            completed: self.completed,
            keep_alive: self.keep_alive,
            answer_head: &self.head,
            request_id: context.id.as_str(),
            hostname: &host.hostname,
            pid: host.pid,
            attempts,
            upstream_socket: match &snapshot.config.upstream.host {
                UpstreamHost::Socket(path) => path.to_str(),
                UpstreamHost::Ip(_) | UpstreamHost::Name(_) => None,
            },
            rate: annotations.rate.get(),
            concurrent: annotations.concurrent.get(),
            action: annotations.action.get().map(crate::policy::Action::as_str),
            reason: self.reason.map(Reason::as_str),
            limit: self.limit,
            rule,
            revision: &snapshot.config.revision,
            source: caller.source,
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.completed {
            self.reason.get_or_insert(Reason::ClientClosed);
        }
        self.context.annotations.upstream.ended();
        // The clock is read once.
        let ended = Instant::now();
        let (judged_at, judged) = self.context.judged;
        let now = SystemTime::from(judged_at) + ended.duration_since(judged);
        self.count(now);
        self.measure(ended);
        let entry = self.entry(now.into());
        {
            let attempts = self.context.annotations.upstream.attempts();
            let rule = self.context.annotations.rule.borrow();
            let facts = || self.facts(entry, (now, ended), &attempts, rule.as_ref());
            let facts = self.log.wants_facts().then(facts);
            let (target, reason) = (self.context.seen.target(), self.reason.map(Reason::as_str));
            self.log.push(now, access_log::Ended { entry, facts, target, reason });
        }
        self.log.keep_head(std::mem::take(&mut self.head));
    }
}

/// A time in milliseconds since 1970.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
