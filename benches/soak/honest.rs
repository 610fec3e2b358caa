//! The honest peers, who measure: lookups as a xivo-dird makes them, at a fixed rate whatever happens.
//!
//! Each lookup is a search by text, has a connection of its own and 2.9 s in all. Its time counts from when it was due, so
//! a peer that is held up cannot hide it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::{net, runtime};
use crate::support::answer::Reader;
use crate::support::statistics::{quantile, sorted};

/// Where every lookup goes.
pub(crate) const PHONEBOOK: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";

/// How long a XiVO in which somebody types a name waits for all its sources together.
const PATIENCE: Duration = Duration::from_millis(2900);

/// Who asks, how often, and where.
#[derive(Clone)]
pub(crate) struct Caller {
    /// Its address.
    pub(crate) from: Ipv4Addr,
    /// The listener.
    pub(crate) to: SocketAddr,
    /// TLS with its certificate, if it comes so.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Lookups per second.
    pub(crate) per_second: u32,
}

/// What became of a lookup.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Outcome {
    /// Its own answer came.
    Found,
    /// This status came, and not 200.
    Status(u16),
    /// Another's answer came, or what is none.
    Foreign,
    /// The connection was refused.
    Refused,
    /// The connection was reset, or ended without an answer.
    Ended,
    /// Nothing came in time.
    TimedOut,
    /// This machine had no port or descriptor for it.
    NotSent,
}

/// A lookup that is over.
#[derive(Clone, Copy)]
pub(crate) struct Lookup {
    /// When it was due.
    pub(crate) due: Instant,
    /// From then to its end.
    pub(crate) took: Duration,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// A peer that asks until it is told to stop.
pub(crate) struct Honest {
    stop: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<Lookup>>>,
    thread: JoinHandle<()>,
}

impl Honest {
    /// Begins to ask.
    pub(crate) fn start(caller: Caller) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(Mutex::new(Vec::new()));
        let (due, falling_due) = mpsc::unbounded_channel();
        let (told, kept) = (Arc::clone(&stop), Arc::clone(&done));
        let period = Duration::from_secs(1) / caller.per_second;
        // Not by the runtime's timers, which are up to a millisecond late.
        let clock = move || tick(period, &told, &due);
        let ask = move || {
            // Without a runtime there are no lookups, and the figures show it.
            let _ = runtime::run(ask_all(caller, falling_due, &kept));
        };
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
            thread.map_err(|error| format!("starting an honest peer: {error}"))
        };
        start("clock", Box::new(clock))?;
        let thread = start("honest", Box::new(ask))?;
        Ok(Self { stop, done, thread })
    }

    /// Stops asking, waits for what is under way, and says what became of all.
    pub(crate) fn finish(self) -> Vec<Lookup> {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says when each lookup is due, until it is told to stop.
fn tick(period: Duration, stop: &AtomicBool, due: &mpsc::UnboundedSender<Instant>) {
    let mut next = Instant::now();
    loop {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) || due.send(next).is_err() {
            break;
        }
        next += period;
    }
}

async fn ask_all(
    caller: Caller,
    mut falling_due: mpsc::UnboundedReceiver<Instant>,
    done: &Mutex<Vec<Lookup>>,
) {
    let caller = Rc::new(caller);
    let mut under_way = JoinSet::new();
    let keep = |lookup: Lookup| {
        done.lock().unwrap_or_else(PoisonError::into_inner).push(lookup);
    };
    let mut number = 0;
    while let Some(due) = falling_due.recv().await {
        under_way.spawn_local(ask(Rc::clone(&caller), number, due));
        number += 1;
        while let Some(Ok(lookup)) = under_way.try_join_next() {
            keep(lookup);
        }
    }
    while let Some(Ok(lookup)) = under_way.join_next().await {
        keep(lookup);
    }
}

/// One lookup.
pub(crate) async fn ask(caller: Rc<Caller>, number: u64, due: Instant) -> Lookup {
    let term = format!("lovelace{number}");
    let asked = timeout_at((due + PATIENCE).into(), exchange(&caller, &term)).await;
    let outcome = match asked {
        Err(_) => Outcome::TimedOut,
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) if net::is_ours(&error) => Outcome::NotSent,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Outcome::Refused,
        Ok(Err(_)) => Outcome::Ended,
    };
    Lookup { due, took: due.elapsed(), outcome }
}

async fn exchange(caller: &Caller, term: &str) -> io::Result<Outcome> {
    match &caller.tls {
        None => converse(net::connect(caller.from, caller.to).await?, term).await,
        Some(tls) => converse(net::connect_tls(caller.from, caller.to, tls).await?, term).await,
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    term: &str,
) -> io::Result<Outcome> {
    stream.write_all(&request(term)).await?;
    let reader = Reader::new();
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(Outcome::Ended);
        }
        match reader.read(&bytes) {
            Ok(None) => {}
            Ok(Some(answer)) if answer.status != 200 => return Ok(Outcome::Status(answer.status)),
            Ok(Some(answer)) => {
                let body = &bytes[answer.head..answer.head + answer.body];
                let own = memchr::memmem::find(body, term.as_bytes()).is_some();
                return Ok(if own { Outcome::Found } else { Outcome::Foreign });
            }
            Err(_) => return Ok(Outcome::Foreign),
        }
    }
}

/// A lookup as python-requests writes it.
pub(crate) fn request(term: &str) -> Vec<u8> {
    format!(
        "GET {PHONEBOOK}?act=search&search={term} HTTP/1.1\r\nHost: {}\r\n\
         User-Agent: python-requests/2.31.0\r\nAccept-Encoding: gzip, deflate\r\n\
         Accept: */*\r\nConnection: keep-alive\r\n\r\n",
        net::SERVER_NAME
    )
    .into_bytes()
}

/// What became of the lookups of some time.
#[derive(Serialize, Default, Debug)]
pub(crate) struct Summary {
    /// Those that were due.
    pub(crate) sent: usize,
    /// Answered by their own answer.
    pub(crate) found: usize,
    /// Answered by 429.
    pub(crate) limited: usize,
    /// Answered by another status: how many by which.
    pub(crate) other: BTreeMap<u16, usize>,
    /// Answered by another's answer, or by what is none.
    pub(crate) foreign: usize,
    /// The connection was refused.
    pub(crate) refused: usize,
    /// The connection was reset or ended.
    pub(crate) ended: usize,
    /// Nothing came in time.
    pub(crate) timed_out: usize,
    /// Not sent, for want of a port or descriptor on this side.
    pub(crate) not_sent: usize,
    /// Milliseconds of those that were found: median, 99th percentile, longest.
    pub(crate) p50_ms: f64,
    /// 99th percentile.
    pub(crate) p99_ms: f64,
    /// The longest.
    pub(crate) max_ms: f64,
}

impl Summary {
    /// Of the lookups that were due from `from` until `until`.
    pub(crate) fn of(lookups: &[Lookup], from: Instant, until: Instant) -> Self {
        let mut summary = Self::default();
        let mut times = Vec::new();
        for lookup in lookups.iter().filter(|one| (from..until).contains(&one.due)) {
            summary.sent += 1;
            match lookup.outcome {
                Outcome::Found => {
                    summary.found += 1;
                    times.push(lookup.took.as_secs_f64() * 1e3);
                }
                Outcome::Status(429) => summary.limited += 1,
                Outcome::Status(status) => *summary.other.entry(status).or_default() += 1,
                Outcome::Foreign => summary.foreign += 1,
                Outcome::Refused => summary.refused += 1,
                Outcome::Ended => summary.ended += 1,
                Outcome::TimedOut => summary.timed_out += 1,
                Outcome::NotSent => summary.not_sent += 1,
            }
        }
        let times = sorted(times);
        summary.p50_ms = quantile(&times, 0.5);
        summary.p99_ms = quantile(&times, 0.99);
        summary.max_ms = quantile(&times, 1.0);
        summary
    }

    /// Lookups without any answer.
    pub(crate) fn lost(&self) -> usize {
        self.refused + self.ended + self.timed_out
    }

    /// Lookups that any answer came to.
    pub(crate) fn answered(&self) -> usize {
        self.found + self.limited + self.foreign + self.other.values().sum::<usize>()
    }
}
