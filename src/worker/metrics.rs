//! What a worker counts beside requests by caller (`counts.rs`): durations, faults, handshakes, connections.
//!
//! Each worker has one of these, and it alone writes to it: counting is a load and a store to memory that no other
//! worker writes to, and no clock is read for it. Whoever wants to know adds the workers' numbers up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::{Limit, NoSeat};
use crate::tls::{HandshakeFault, Opened};
use crate::upstream::{Unreachable, UpstreamFault};

/// Makes a list of words, each with a counter of its own wherever they are counted ([`Counters`]).
macro_rules! words {
    ($(#[doc = $doc:literal])+ $kind:ident { $($(#[doc = $each:literal])+ $name:ident = $word:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind {
            $($(#[doc = $each])+ $name,)+
        }

        impl $kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word for it in metrics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }

        impl From<$kind> for usize {
            fn from(kind: $kind) -> Self {
                kind as Self
            }
        }
    };
}

words! {
    /// What went wrong between the gateway and XiVO, by the phase in which it was met.
    FaultKind {
        /// This host lacks descriptors, memory or an address.
        ThisHost = "this-host",
        /// The gateway does not connect like that.
        NotAllowed = "not-allowed",
        /// XiVO's name has no address.
        Resolve = "resolve",
        /// There was no connection.
        Connect = "connect",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The request was not taken.
        Send = "send",
        /// The connection ended before the answer's head was whole.
        Head = "head",
        /// The connection was reset in the answer's body.
        Body = "body",
        /// The answer is not HTTP, or no phonebook's.
        Invalid = "invalid",
        /// A redirect.
        Redirect = "redirect",
        /// 401 or 403.
        RefusedGateway = "refused-gateway",
        /// Any other status.
        Status = "status",
        /// The answer is too large.
        TooLarge = "too-large",
        /// The answer did not begin in time.
        Timeout = "timeout",
        /// The answer's body stopped coming.
        Stalled = "stalled",
        /// The answer was not whole in time.
        TooSlow = "too-slow",
    }
}

impl From<&UpstreamFault> for FaultKind {
    fn from(fault: &UpstreamFault) -> Self {
        match fault {
            UpstreamFault::ThisHost(_) => Self::ThisHost,
            UpstreamFault::Unreachable(phase) => match phase {
                Unreachable::NotAllowed(_) => Self::NotAllowed,
                Unreachable::Resolve(_) => Self::Resolve,
                Unreachable::Connect(_) => Self::Connect,
                Unreachable::Tls(_) => Self::Tls,
                Unreachable::Send(_) => Self::Send,
                Unreachable::Head(_) => Self::Head,
                Unreachable::Body(_) => Self::Body,
            },
            UpstreamFault::Invalid(_) => Self::Invalid,
            UpstreamFault::Redirect(_) => Self::Redirect,
            UpstreamFault::RefusedGateway(_) => Self::RefusedGateway,
            UpstreamFault::Error(_) => Self::Status,
            UpstreamFault::TooLarge => Self::TooLarge,
            UpstreamFault::Timeout(_) => Self::Timeout,
            UpstreamFault::Stalled => Self::Stalled,
            UpstreamFault::TooSlow => Self::TooSlow,
        }
    }
}

words! {
    /// What came of a TLS handshake with a client.
    HandshakeResult {
        /// It is complete.
        Complete = "complete",
        /// The client spoke no TLS.
        Plain = "plain",
        /// The client left before its first byte.
        Nothing = "nothing",
        /// It took too long.
        TimedOut = "timed-out",
        /// The client left in the middle.
        Ended = "ended",
        /// The two did not agree.
        Failed = "failed",
        /// The client's certificate cannot be read.
        Certificate = "certificate",
        /// The gateway ended it: its seat was needed, or the gateway is ending.
        Abandoned = "abandoned",
    }
}

impl From<&Result<Opened, HandshakeFault>> for HandshakeResult {
    fn from(shaken: &Result<Opened, HandshakeFault>) -> Self {
        match shaken {
            Ok(Opened::Tls(..)) => Self::Complete,
            Ok(Opened::Plain(_)) => Self::Plain,
            Err(HandshakeFault::Nothing) => Self::Nothing,
            Err(HandshakeFault::TimedOut) => Self::TimedOut,
            Err(HandshakeFault::Ended(_)) => Self::Ended,
            Err(HandshakeFault::Failed(_)) => Self::Failed,
            Err(HandshakeFault::Certificate(_)) => Self::Certificate,
        }
    }
}

words! {
    /// Why a client's connection was closed without an answer.
    Rejection {
        /// A peer has its share.
        Peer = "peer",
        /// An unknown caller has its share.
        UnknownCaller = "unknown-caller",
        /// All unknown callers together have theirs.
        Unknown = "unknown",
        /// So many handshakes of unknown callers are under way.
        Handshakes = "handshakes",
        /// An unknown caller begins too many handshakes.
        HandshakeRate = "handshake-rate",
        /// The gateway has as many as it may.
        Gateway = "gateway",
    }
}

impl From<NoSeat> for Rejection {
    fn from(why: NoSeat) -> Self {
        match why {
            NoSeat::Peer(_) => Self::Peer,
            NoSeat::UnknownCaller(_) => Self::UnknownCaller,
            NoSeat::Unknown(_) => Self::Unknown,
            NoSeat::Handshakes(_) => Self::Handshakes,
            NoSeat::HandshakeRate => Self::HandshakeRate,
            NoSeat::Gateway(_) => Self::Gateway,
        }
    }
}

words! {
    /// How long whoever asks waits for the answer.
    Patience {
        /// Caller ID looks for a telephone number.
        Number = "number",
        /// Somebody has typed a name, or looks at a contact.
        Text = "text",
        /// The whole phonebook has nobody who waits so short.
        List = "list",
    }
}

impl Patience {
    /// What comes later is worth nothing.
    const fn limit(self) -> Duration {
        match self {
            Self::Number => Duration::from_millis(1000),
            Self::Text => Duration::from_millis(2900),
            Self::List => Duration::MAX,
        }
    }
}

impl From<Limit> for usize {
    fn from(limit: Limit) -> Self {
        limit as Self
    }
}

/// A counter for each of `N` words.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counters<N> {
    fn count(&self, word: impl Into<usize>) {
        if let Some(counter) = self.0.get(word.into()) {
            add(counter, 1);
        }
    }

    fn get(&self, word: impl Into<usize>) -> u64 {
        self.0.get(word.into()).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

/// Nobody else writes it.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// How many durations were how long.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Those up to each of [`BOUNDS_MILLIS`] and above the one before, and those above all.
    buckets: [AtomicU64; BOUNDS_MILLIS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Most are in the first.
        let bucket = BOUNDS_MILLIS
            .iter()
            .take_while(|bound| nanos > u64::from(**bound) * NANOS_PER_MILLI)
            .count();
        if let Some(bucket) = self.buckets.get(bucket) {
            add(bucket, 1);
        }
        add(&self.nanos, nanos);
    }
}

/// The durations of all workers together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// An upper bound in seconds, and how many are up to it and above the one before. The last is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// All of them together.
    pub sum: Duration,
}

impl Durations {
    fn of<'h>(all: impl Iterator<Item = &'h Histogram>) -> Self {
        let mut counts = [0; BOUNDS_MILLIS.len() + 1];
        let mut nanos: u64 = 0;
        for histogram in all {
            for (total, bucket) in counts.iter_mut().zip(&histogram.buckets) {
                *total += bucket.load(Ordering::Relaxed);
            }
            nanos = nanos.wrapping_add(histogram.nanos.load(Ordering::Relaxed));
        }
        let seconds = |millis: &u32| Duration::from_millis((*millis).into()).as_secs_f64();
        let bounds = BOUNDS_MILLIS.iter().map(seconds).chain([f64::INFINITY]);
        Self { buckets: bounds.zip(counts).collect(), sum: Duration::from_nanos(nanos) }
    }

    /// How many there are in each bucket.
    pub(crate) fn counts(&self) -> [u64; BOUNDS_MILLIS.len() + 1] {
        let mut counts = [0; BOUNDS_MILLIS.len() + 1];
        for (count, (_, found)) in counts.iter_mut().zip(&self.buckets) {
            *count = *found;
        }
        counts
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

/// What one worker has counted.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct WorkerMetrics {
    requests: Histogram,
    upstream: Histogram,
    late: Counters<{ Patience::ALL.len() }>,
    limited: Counters<{ LIMITS.len() }>,
    faults: Counters<{ FaultKind::ALL.len() }>,
    handshakes: Counters<{ HandshakeResult::ALL.len() }>,
    rejected: Counters<{ Rejection::ALL.len() }>,
    rejected_at_accept: AtomicU64,
    accept_failed: AtomicU64,
}

impl WorkerMetrics {
    /// A request has ended that took so long from its first byte.
    pub fn request(&self, took: Duration) {
        self.requests.record(took);
    }

    /// XiVO's answer has begun, or failed, after so long.
    pub fn upstream(&self, took: Duration) {
        self.upstream.record(took);
    }

    /// A lookup was answered, after so long from its first byte, to somebody of this patience.
    pub fn answered(&self, took: Duration, patience: Patience) {
        if took > patience.limit() {
            self.late.count(patience);
        }
    }

    /// A rate was used up.
    pub fn limited(&self, limit: Limit) {
        self.limited.count(limit);
    }

    /// Something went wrong between the gateway and XiVO.
    pub fn fault(&self, fault: &UpstreamFault) {
        self.faults.count(FaultKind::from(fault));
    }

    /// A handshake has ended.
    pub fn handshake(&self, result: HandshakeResult) {
        self.handshakes.count(result);
    }

    /// A connection was closed as there was no seat for it, once it was known whose it is.
    pub fn rejected(&self, why: NoSeat) {
        self.rejected.count(Rejection::from(why));
    }

    /// The same as soon as it was accepted.
    pub fn rejected_at_accept(&self, why: NoSeat) {
        self.rejected(why);
        add(&self.rejected_at_accept, 1);
    }

    /// The system did not hand a connection over.
    pub fn accept_failed(&self) {
        add(&self.accept_failed, 1);
    }
}

/// The figures of all workers.
#[derive(Debug)]
pub struct Metrics(Box<[WorkerMetrics]>);

impl Metrics {
    /// Nothing yet, for so many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| WorkerMetrics::default()).collect())
    }

    /// Those of one worker; `None` for one that there is not.
    pub fn of(&self, worker: usize) -> Option<&WorkerMetrics> {
        self.0.get(worker)
    }

    /// How long requests took, from their first byte to the end of their answer.
    pub fn requests(&self) -> Durations {
        Durations::of(self.0.iter().map(|own| &own.requests))
    }

    /// How long XiVO took until its answer began, or failed.
    pub fn upstream(&self) -> Durations {
        Durations::of(self.0.iter().map(|own| &own.upstream))
    }

    /// Lookups that were answered when nobody waited any more.
    pub fn late(&self, patience: Patience) -> u64 {
        self.sum(|own| own.late.get(patience))
    }

    /// Requests that a rate has refused.
    pub fn limited(&self, limit: Limit) -> u64 {
        self.sum(|own| own.limited.get(limit))
    }

    /// Faults of this kind.
    pub fn faults(&self, kind: FaultKind) -> u64 {
        self.sum(|own| own.faults.get(kind))
    }

    /// Handshakes that ended like this.
    pub fn handshakes(&self, result: HandshakeResult) -> u64 {
        self.sum(|own| own.handshakes.get(result))
    }

    /// Connections that were closed without an answer for this.
    pub fn rejections(&self, why: Rejection) -> u64 {
        self.sum(|own| own.rejected.get(why))
    }

    /// Connections that were closed as soon as they were accepted.
    pub fn rejections_at_accept(&self) -> u64 {
        self.sum(|own| own.rejected_at_accept.load(Ordering::Relaxed))
    }

    /// How often the system did not hand a connection over.
    pub fn accepts_failed(&self) -> u64 {
        self.sum(|own| own.accept_failed.load(Ordering::Relaxed))
    }

    fn sum(&self, of: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        self.0.iter().map(of).sum()
    }
}

/// The rates.
pub(crate) const LIMITS: [Limit; 3] = [Limit::Peer, Limit::Gateway, Limit::Unknown];

/// The upper bounds of durations, in milliseconds: around what callers wait for, and what `[upstream]` allows.
pub(crate) const BOUNDS_MILLIS: [u32; 14] =
    [5, 10, 25, 50, 100, 250, 500, 900, 1000, 1500, 2500, 2900, 5000, 30_000];

const NANOS_PER_MILLI: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it_and_workers_are_added_up() {
        let metrics = Metrics::new(2);
        for (worker, millis) in [(0, 0), (0, 5), (1, 6), (1, 1000), (0, 30_000), (1, 30_001)] {
            metrics.of(worker).unwrap().request(Duration::from_millis(millis));
        }
        let durations = metrics.requests();
        assert_eq!((durations.count(), durations.sum), (6, Duration::from_millis(61_012)));
        let some: Vec<_> = durations.buckets.iter().filter(|(_, count)| *count > 0).collect();
        let expected = [(0.005, 2), (0.01, 1), (1.0, 1), (30.0, 1), (f64::INFINITY, 1)];
        assert_eq!(some, expected.iter().collect::<Vec<_>>());
        assert_eq!(durations.buckets.len(), 15);
        assert_eq!(metrics.upstream().count(), 0);
        assert!(metrics.of(2).is_none());
    }

    #[test]
    fn an_answer_is_late_when_it_comes_after_its_callers_patience() {
        let metrics = Metrics::new(1);
        let own = metrics.of(0).unwrap();
        for millis in [0, 1000, 1001, 2900, 2901, 60_000] {
            Patience::ALL
                .iter()
                .for_each(|patience| own.answered(Duration::from_millis(millis), *patience));
        }
        let late = Patience::ALL.iter().map(|patience| metrics.late(*patience));
        assert_eq!(late.collect::<Vec<_>>(), [4, 2, 0]);
    }

    #[test]
    fn every_word_has_a_counter_of_its_own() {
        let metrics = Metrics::new(1);
        let own = metrics.of(0).unwrap();
        for (number, limit) in (1..).zip(LIMITS) {
            (0..number).for_each(|_| own.limited(limit));
        }
        assert_eq!(LIMITS.map(|limit| metrics.limited(limit)), [1, 2, 3]);
        for (number, result) in (1..).zip(HandshakeResult::ALL) {
            (0..number).for_each(|_| own.handshake(*result));
        }
        let counted = HandshakeResult::ALL.iter().map(|result| metrics.handshakes(*result));
        assert_eq!(counted.collect::<Vec<_>>(), (1..=8).collect::<Vec<u64>>());
        own.rejected(NoSeat::Gateway(1));
        own.rejected_at_accept(NoSeat::HandshakeRate);
        own.accept_failed();
        own.fault(&UpstreamFault::Stalled);
        assert_eq!(metrics.rejections(Rejection::Gateway), 1);
        assert_eq!(metrics.rejections(Rejection::HandshakeRate), 1);
        assert_eq!((metrics.rejections_at_accept(), metrics.accepts_failed()), (1, 1));
        assert_eq!(metrics.faults(FaultKind::Stalled), 1);
    }
}
