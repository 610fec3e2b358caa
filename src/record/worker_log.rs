//! A worker's access logs, and the record of a request from its first byte to its last.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::clock::{LocalClock, UnixSeconds};
use super::combined::{Entry, write_combined};
use super::format::{
    Asked, Attempt, Facts, LogFormat, Masked, Needs, SearchTerms, TermKey, TlsLine, Writer,
    from_question_mark,
};
use super::{LineBuffer, Notes, load_key};
use crate::answer::Head;
use crate::caller::{Caller, ClientSource};
use crate::client::Turn;
use crate::config::{Config, UpstreamHost};
use crate::gateway::ConnectionFacts;
use crate::http1::host::Host;
use crate::http1::request::Seen;
use crate::limits::Limit;
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;
use crate::worker::RequestId;

/// One worker's buffers of all access logs, and its clock.
#[derive(Debug)]
pub struct WorkerLog {
    state: RefCell<State>,
    waiting: Notify,
    host: Arc<LogHost>,
    needs: Needs,
    /// Whether a log has another format than `combined`.
    compiled: bool,
    /// Memory for heads of answers.
    heads: RefCell<Vec<Vec<u8>>>,
}

/// What lines say of the process, and the key of their hashes.
#[derive(Debug)]
pub struct LogHost {
    /// The host's name, in lower case as nginx has it.
    pub hostname: String,
    /// The process.
    pub pid: u32,
    /// The key of hashed search terms.
    pub key: TermKey,
}

impl LogHost {
    /// This process, by its configuration. The key is read, or made, where a log has hashes.
    pub fn of(config: &Config) -> Self {
        let hashes = config.access_logs.iter().any(|log| log.search_terms == SearchTerms::Hash);
        let name = rustix::system::uname();
        Self {
            hostname: name.nodename().to_string_lossy().to_ascii_lowercase(),
            pid: std::process::id(),
            key: match hashes {
                true => load_key(&config.state_directory),
                false => TermKey::new(&[0; TermKey::LENGTH]),
            },
        }
    }
}

#[derive(Debug)]
struct State {
    logs: Vec<Log>,
    clock: LocalClock,
    /// For values that are put together.
    scratch: Vec<u8>,
    /// For requests and referers whose search terms are hidden.
    masked: Vec<u8>,
}

#[derive(Debug)]
struct Log {
    buffer: LineBuffer,
    format: LogFormat,
    terms: SearchTerms,
}

impl WorkerLog {
    /// A worker's log over `buffers`, one for each access log.
    pub fn new(buffers: Vec<LineBuffer>, host: Arc<LogHost>) -> Self {
        let logs: Vec<_> = buffers
            .into_iter()
            .map(|buffer| {
                let (format, terms) = buffer.style();
                Log { buffer, format, terms }
            })
            .collect();
        let needs = logs.iter().fold(Needs::default(), |needs, log| needs.or(log.format.needs()));
        let compiled = logs.iter().any(|log| log.format != LogFormat::Combined);
        let clock = LocalClock::system();
        let state = RefCell::new(State { logs, clock, scratch: Vec::new(), masked: Vec::new() });
        Self { state, waiting: Notify::new(), host, needs, compiled, heads: RefCell::default() }
    }

    /// What the formats need to be found out.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Appends the current time as an HTTP `Date` (RFC 9110, section 5.6.7).
    pub fn write_http_date(&self, out: &mut Vec<u8>) {
        let clock = &mut self.state.borrow_mut().clock;
        out.extend_from_slice(clock.http_date(UnixSeconds::now()));
    }

    fn push(&self, record: &Record<'_>) {
        let now = SystemTime::now();
        let entry = record.entry(now.into());
        let attempts = record.opening.notes.upstream.attempts();
        let rule = record.opening.notes.rule.borrow();
        let facts = self.compiled.then(|| {
            let millis = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_millis());
            let millis = u16::try_from(millis).unwrap_or_default();
            Facts { millis, rule: rule.as_ref(), ..record.facts(entry, &self.host, &attempts) }
        });
        let target = record.opening.target();
        let State { logs, clock, scratch, masked } = &mut *self.state.borrow_mut();
        let mut first = false;
        for Log { buffer, format, terms } in logs {
            first |= buffer.is_empty();
            let max_field = buffer.max_field();
            let hidden = Masked::of(*terms, &self.host.key);
            let mut target = target.clone();
            let entry = match hidden {
                None => entry,
                Some(hidden) => {
                    masked.clear();
                    let line = entry.request.unwrap_or_default();
                    target = hidden.line(line, target, masked);
                    let end = masked.len();
                    from_question_mark(entry.referer.unwrap_or_default(), masked);
                    let (line, referer) = masked.split_at(end);
                    let referer = entry.referer.map(|_| referer);
                    Entry { request: entry.request.map(|_| line), referer, ..entry }
                }
            };
            match (format, &facts) {
                (LogFormat::Compiled(format), Some(facts)) => {
                    let masked = hidden.is_some();
                    let mut writer = Writer { clock, scratch, max_field, masked };
                    if !masked {
                        buffer.push(|out| writer.write(out, format, facts));
                        continue;
                    }
                    let asked = Asked { target, ..facts.asked.clone() };
                    let facts = Facts { entry, asked, ..facts.clone() };
                    buffer.push(|out| writer.write(out, format, &facts));
                }
                (LogFormat::Compiled(_) | LogFormat::Combined, _) => {
                    buffer.push(|out| write_combined(out, &entry, clock, max_field));
                }
            }
        }
        if first {
            self.waiting.notify_one();
        }
    }

    /// Hands everything over that has been waiting for the settings' `flush`; never returns. To be
    /// polled beside the worker's connections.
    pub async fn flush_in_time(&self) {
        loop {
            self.waiting.notified().await;
            tokio::time::sleep(self.flush_after()).await;
            self.flush();
        }
    }

    fn flush_after(&self) -> Duration {
        let state = self.state.borrow();
        let after = state.logs.iter().map(|log| log.buffer.flush_after());
        after.min().unwrap_or(Duration::from_secs(1))
    }

    /// Hands over whatever is held.
    pub fn flush(&self) {
        self.state.borrow_mut().logs.iter_mut().for_each(|log| log.buffer.flush());
    }
}

/// What is known of a request when its record is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// What it was judged by.
    pub snapshot: &'a Snapshot,
    /// Its connection.
    pub facts: &'a ConnectionFacts,
    /// Whom it comes from.
    pub caller: Caller<'a>,
    /// What was read of it.
    pub seen: Seen,
    /// What it was read from.
    pub bytes: &'a [u8],
    /// Its place in its connection.
    pub turn: Turn,
    /// Its id.
    pub id: RequestId,
    /// What its steps leave.
    pub notes: &'a Notes,
}

impl<'a> Opening<'a> {
    /// Where in the request line the target stands.
    fn target(&self) -> Option<std::ops::Range<usize>> {
        self.seen.parts.map(|parts| parts.target.within(self.seen.line))
    }

    fn asked(&self) -> Asked<'a> {
        let Self { seen, bytes, .. } = self;
        Asked {
            method: seen.parts.map(|parts| parts.method.of(bytes)),
            target: self.target(),
            protocol: seen.parts.map(|parts| parts.version.of(bytes)),
            host: seen.host.and_then(|host| Host::read(host.of(bytes))).map(Host::name),
            fields: seen.fields.of(bytes),
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
pub struct Record<'a> {
    log: &'a WorkerLog,
    opening: Opening<'a>,
    peer: Option<&'a str>,
    status: u16,
    body_bytes: u64,
    /// The answer's head, where a format needs it, and whether it was sent.
    head: Vec<u8>,
    head_sent: bool,
    keep_alive: bool,
    completed: bool,
    reason: Option<&'static str>,
    limit: Option<Limit>,
}

impl<'a> Record<'a> {
    /// Opens the record of a request.
    pub fn open(log: &'a WorkerLog, opening: Opening<'a>) -> Self {
        Self {
            log,
            opening,
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

    /// The request is this peer's.
    pub fn set_peer(&mut self, name: &'a str) {
        self.peer = Some(name);
    }

    /// The request was refused.
    pub fn set_refusal(&mut self, refusal: &Refusal) {
        self.status = refusal.status();
        self.reason = Some(refusal.word());
        self.limit = refusal.limit();
    }

    /// An answer that was begun could not be completed, for this reason.
    pub fn set_cut(&mut self, refusal: &Refusal) {
        self.reason = Some(refusal.word());
    }

    /// An answer with this head begins to be sent.
    pub fn begin(&mut self, head: &Head<'_>) {
        self.status = head.status();
        self.keep_alive = head.manner().keep_alive;
        if self.log.needs.answer_head {
            self.head = self.log.heads.borrow_mut().pop().unwrap_or_default();
            head.write(&mut self.head, |out| self.log.write_http_date(out));
        }
    }

    /// So many further bytes behind the answer's head were sent.
    pub fn add_body_bytes(&mut self, count: usize) {
        self.head_sent = true;
        self.body_bytes += count as u64;
    }

    /// The answer was sent to its end.
    pub fn complete(&mut self) {
        self.completed = true;
    }

    /// How XiVO was asked, where a format needs it.
    pub fn upstream(&self) -> Option<&'a super::Trace> {
        let notes = self.opening.notes;
        self.log.needs.upstream.then_some(&notes.upstream)
    }

    fn entry(&self, time: UnixSeconds) -> Entry<'a> {
        let Opening { seen, bytes, caller, .. } = self.opening;
        Entry {
            remote_addr: caller.ip(),
            remote_user: self.peer,
            time,
            request: Some(seen.line.of(bytes)),
            status: self.status,
            body_bytes_sent: self.body_bytes,
            referer: seen.referer.map(|span| span.of(bytes)),
            user_agent: seen.user_agent.map(|span| span.of(bytes)),
        }
    }

    fn facts<'f>(
        &'f self,
        entry: Entry<'f>,
        host: &'f LogHost,
        attempts: &'f [Attempt],
    ) -> Facts<'f> {
        let opening = &self.opening;
        let Opening { snapshot, facts, caller, turn, notes, .. } = opening;
        let noted = *facts.noted;
        let since = |then: Instant| match self.log.needs.times {
            true => then.elapsed(),
            false => Duration::ZERO,
        };
        let listener = snapshot.config.listeners.get(facts.listener);
        let server_name = listener.and_then(|found| found.server_names.first());
        let head_length = if self.head_sent { self.head.len() as u64 } else { 0 };
        Facts {
            entry,
            millis: 0,
            asked: opening.asked(),
            remote_port: match caller.source {
                ClientSource::Socket => Some(facts.socket.port()),
                ClientSource::ProxyProtocol => noted.announced.map(|client| client.port()),
                ClientSource::XForwardedFor | ClientSource::Forwarded => None,
            },
            socket: facts.socket,
            announced: noted.announced,
            local: noted.local,
            server_name: server_name.map(String::as_str).unwrap_or_default(),
            tls: opening.tls(),
            connection: (noted.number, turn.number),
            connection_time: since(noted.opened),
            pipelined: turn.pipelined,
            request_length: opening.seen.length as u64,
            request_time: since(turn.began),
            bytes_sent: head_length + self.body_bytes,
            completed: self.completed,
            keep_alive: self.keep_alive,
            answer_head: &self.head,
            request_id: opening.id.as_str(),
            hostname: &host.hostname,
            pid: host.pid,
            attempts,
            upstream_socket: match &snapshot.config.upstream.host {
                UpstreamHost::Socket(path) => path.to_str(),
                UpstreamHost::Ip(_) | UpstreamHost::Name(_) => None,
            },
            rate: notes.rate.get(),
            concurrent: notes.concurrent.get(),
            action: notes.action.get().map(|action| action.as_str()),
            reason: self.reason,
            limit: self.limit,
            rule: None,
            revision: &snapshot.config.revision,
            source: caller.source,
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.completed {
            self.reason.get_or_insert_with(|| Refusal::ClientClosed.word());
        }
        self.opening.notes.upstream.ended();
        self.log.push(self);
        if self.head.capacity() > 0 {
            self.head.clear();
            let mut heads = self.log.heads.borrow_mut();
            if heads.len() < SPARE_HEADS {
                heads.push(std::mem::take(&mut self.head));
            }
        }
    }
}

/// Memory for heads that a worker keeps for its next requests.
const SPARE_HEADS: usize = 64;
