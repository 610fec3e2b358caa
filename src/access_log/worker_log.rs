//! A worker's access logs: every record becomes a line in each.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use crate::access_log::format::clock::{LocalClock, UnixSeconds};
use crate::access_log::format::combined::{Entry, write_combined};
use crate::access_log::format::prefix::LinePrefix;
use crate::access_log::format::{
    Facts, LogFormat, Masked, Needs, RequestFacts, SearchTerms, TermKey, Writer, plain_field,
    shown_method, url,
};
use crate::access_log::{Condition, LineBuffer, LogPlan, LogSettings, load_key};

/// One worker's buffers of all access logs, and its clock.
#[derive(Debug)]
pub struct WorkerLog {
    state: RefCell<State>,
    waiting: Notify,
    host: Arc<LogHost>,
    needs: Needs,
    /// Whether a log has another format than `combined`.
    compiled: bool,
    /// Whether others have taken its place: only requests that began before still have lines for it.
    replaced: Cell<bool>,
    /// Memory for heads of answers.
    heads: RefCell<Vec<Vec<u8>>>,
}

/// A request that has ended, as the logs are told of it.
#[derive(Clone, Debug)]
pub struct Ended<'a> {
    /// What `combined` says of it.
    pub entry: Entry<'a>,
    /// What other formats say; may be `None` where [`WorkerLog::wants_facts`] says so.
    pub facts: Option<Facts<'a>>,
    /// Where in the entry's `request` the target stands.
    pub target: Option<Range<usize>>,
    /// The refusal's word.
    pub reason: Option<&'static str>,
}

/// What lines say of the process, and the key of their hashes.
#[derive(Debug)]
pub struct LogHost {
    /// The host's name, in lower case as nginx has it.
    pub hostname: String,
    /// The process id (`$pid`).
    pub pid: u32,
    /// The key of hashed search terms.
    pub key: TermKey,
    /// Whether that is one to use, and not a stand-in where no log has hashes.
    pub has_key: bool,
}

impl LogHost {
    /// Describes this process. Loads the hash key from `state_directory`, or creates it there, where one of
    /// `logs` needs it.
    pub fn of(logs: &[LogSettings], state_directory: &Path) -> Self {
        let hashes = logs.iter().any(|log| log.search_terms == SearchTerms::Hash);
        let name = rustix::system::uname();
        Self {
            hostname: name.nodename().to_string_lossy().to_ascii_lowercase(),
            pid: std::process::id(),
            key: if hashes {
                load_key(state_directory)
            } else {
                TermKey::new(&[0; TermKey::LENGTH])
            },
            has_key: hashes,
        }
    }

    /// The same for other logs; a key that was used is used on.
    #[must_use]
    pub fn with(self: &Arc<Self>, logs: &[LogSettings], state_directory: &Path) -> Arc<Self> {
        let hashes = logs.iter().any(|log| log.search_terms == SearchTerms::Hash);
        if hashes && !self.has_key {
            Arc::new(Self::of(logs, state_directory))
        } else {
            Arc::clone(self)
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
    /// Shared with the logs that take the place of these, where its settings stay.
    buffer: Rc<RefCell<LineBuffer>>,
    condition: Option<Condition>,
    prefix: LinePrefix,
    format: LogFormat,
    terms: SearchTerms,
}

impl WorkerLog {
    /// A worker's log over `buffers`, one for each access log.
    pub fn new(buffers: Vec<LineBuffer>, host: Arc<LogHost>) -> Self {
        let buffers = buffers.into_iter().map(|buffer| Rc::new(RefCell::new(buffer))).collect();
        Self::over(buffers, host)
    }

    /// The logs that take the place of these, which write what still comes without waiting for more.
    #[must_use]
    pub fn replaced_by(&self, plan: Vec<LogPlan>, host: Arc<LogHost>) -> Self {
        let former = &self.state.borrow().logs;
        let buffer = |plan| match plan {
            LogPlan::Kept(index) => former.get(index).map(|log: &Log| Rc::clone(&log.buffer)),
            LogPlan::Fresh(buffer) => Some(Rc::new(RefCell::new(buffer))),
        };
        let next = Self::over(plan.into_iter().filter_map(buffer).collect(), host);
        self.replaced.set(true);
        former.iter().for_each(|log| log.buffer.borrow_mut().flush());
        next
    }

    fn over(buffers: Vec<Rc<RefCell<LineBuffer>>>, host: Arc<LogHost>) -> Self {
        let logs: Vec<_> = buffers
            .into_iter()
            .map(|shared| {
                let buffer = shared.borrow();
                let settings = buffer.settings();
                let condition = settings.condition.clone();
                let prefix = LinePrefix::of(&settings.target, &host);
                let (format, terms) = (settings.format.clone(), settings.search_terms);
                drop(buffer);
                Log { buffer: shared, condition, prefix, format, terms }
            })
            .collect();
        let needs = logs.iter().fold(Needs::default(), |needs, log| needs.or(log.format.needs()));
        let compiled = logs.iter().any(|log| log.format != LogFormat::Combined);
        let clock = LocalClock::system();
        let state = RefCell::new(State { logs, clock, scratch: Vec::new(), masked: Vec::new() });
        Self {
            state,
            waiting: Notify::new(),
            host,
            needs,
            compiled,
            replaced: Cell::new(false),
            heads: RefCell::default(),
        }
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

    /// Memory for an answer's head.
    pub fn spare_head(&self) -> Vec<u8> {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps that memory for a later one.
    pub fn keep_head(&self, mut head: Vec<u8>) {
        let mut heads = self.heads.borrow_mut();
        if head.capacity() > 0 && heads.len() < SPARE_HEADS {
            head.clear();
            heads.push(head);
        }
    }

    /// Whether a log has another format than `combined`, whose lines want more than an [`Entry`].
    pub fn wants_facts(&self) -> bool {
        self.compiled
    }

    /// What lines say of the process.
    pub fn host(&self) -> &LogHost {
        &self.host
    }

    /// Writes a request's line into each log that takes it. It ended at `now`.
    pub fn push(&self, now: SystemTime, ended: Ended<'_>) {
        let Ended { entry, facts, target, reason } = ended;
        let State { logs, clock, scratch, masked } = &mut *self.state.borrow_mut();
        let mut first = false;
        for Log { buffer, condition, prefix, format, terms } in logs.iter_mut() {
            let takes = |it: &Condition| it.takes(entry.status, entry.remote_user, reason);
            if !condition.as_ref().is_none_or(takes) {
                continue;
            }
            let frame = prefix.frame(entry.remote_user);
            let buffer = &mut *buffer.borrow_mut();
            first |= buffer.is_empty();
            let max_field = buffer.max_field();
            let hidden = Masked::of(*terms, &self.host.key);
            let (entry, target, is_absolute) = match hidden {
                None => (entry, target.clone(), false),
                Some(hidden) => mask_entry(hidden, entry, target.clone(), masked),
            };
            match (format, &facts) {
                (LogFormat::Compiled(format), Some(facts)) => {
                    let masked = hidden.is_some();
                    let mut writer = Writer { clock, scratch, max_field, masked };
                    if !masked {
                        buffer.push_in(frame, |out| {
                            prefix.write(out, writer.clock, now);
                            writer.write(out, format, facts);
                        });
                        continue;
                    }
                    let request = &facts.request;
                    let method = request.method.map(|method| shown_method(Some(method)));
                    // The target's own host is a part of it.
                    let host = request.host.filter(|_| !is_absolute);
                    let request = RequestFacts { method, target, host, ..request.clone() };
                    let facts = Facts { entry, request, ..facts.clone() };
                    buffer.push_in(frame, |out| {
                        prefix.write(out, writer.clock, now);
                        writer.write(out, format, &facts);
                    });
                }
                (LogFormat::Compiled(_) | LogFormat::Combined, _) => {
                    buffer.push_in(frame, |out| {
                        prefix.write(out, clock, now);
                        write_combined(out, &entry, clock, max_field);
                    });
                }
            }
        }
        if self.replaced.get() {
            // Nobody waits for its time any longer.
            logs.iter().for_each(|log| log.buffer.borrow_mut().flush());
        } else if first {
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
        let after = state.logs.iter().map(|log| log.buffer.borrow().flush_after());
        after.min().unwrap_or(Duration::from_secs(1))
    }

    /// Hands over whatever is held.
    pub fn flush(&self) {
        self.state.borrow().logs.iter().for_each(|log| log.buffer.borrow_mut().flush());
    }
}

/// The entry with its terms hidden, written into `out`; where the target stands in its request line, and
/// whether that has a host of its own.
fn mask_entry<'o>(
    hidden: Masked<'_>,
    entry: Entry<'o>,
    target: Option<Range<usize>>,
    out: &'o mut Vec<u8>,
) -> (Entry<'o>, Option<Range<usize>>, bool) {
    out.clear();
    let line = entry.request.unwrap_or_default();
    let before = target.as_ref().and_then(|target| line.get(..target.start)?.last());
    let is_absolute = before.is_some_and(|before| *before != b' ');
    let target = hidden.line(line, target, out);
    let line = out.len();
    url(entry.referer.unwrap_or_default(), out);
    let referer = out.len();
    plain_field(entry.user_agent.unwrap_or_default(), out);
    let (line, rest) = out.split_at(line);
    let (referer, user_agent) = rest.split_at(referer - line.len());
    let entry = Entry {
        request: entry.request.map(|_| line),
        referer: entry.referer.map(|_| referer),
        user_agent: entry.user_agent.map(|_| user_agent),
        ..entry
    };
    (entry, target, is_absolute)
}

/// Memory for heads that a worker keeps for its next requests.
const SPARE_HEADS: usize = 64;
