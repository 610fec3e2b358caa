//! The circuit: whether XiVO is asked at all. While it is ill, lookups are refused at once, and one at a time is
//! passed on to see whether it answers again. A state machine without a clock: the time comes with each call.
//!
//! * **Closed**: every lookup is asked. `failures` consecutive faults that count ([`Outcome`]) open it.
//! * **Open**: none is asked for a while: `open`, and twice as long after each failed probe, up to `max_open`.
//! * **Then** one lookup at a time is asked: the probe. With one success the circuit is closed. A probe of which
//!   nothing is heard, since its client left say, gives its place back.
//!
//! How long it stays open is counted from where the probe *began*, so that a XiVO which answers again is asked
//! within `max_open`, however long the probe before waited in vain.
//!
//! What XiVO answers badly may lie with what was asked. So 5xx and invalid answers count only from at least two
//! peers or three different lookups, and who was the last probe that was answered so leaves the place of the next
//! to others for a moment. Of all that is kept nothing grows with what is asked: lookups and peers are remembered
//! as hashes, a few of them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::{TlsFault, Unreachable, UpstreamFault};

/// What the circuit goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitSettings {
    /// Consecutive faults that open it; 0: none does.
    pub failures: u32,
    /// How long it is open at first.
    pub open: Duration,
    /// How long it is open at most.
    pub max_open: Duration,
    /// `upstream.timeout`: a good answer within that time says that XiVO answers.
    pub timeout: Duration,
}

impl CircuitSettings {
    /// How long the circuit is open at first, which is never longer than at most.
    pub fn first_open(&self) -> Duration {
        self.open.min(self.max_open)
    }
}

/// Who asks what, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// A hash of who asks.
    pub peer: u64,
    /// A hash of what is asked.
    pub lookup: u64,
    /// What kind of question it is.
    pub kind: QuestionKind,
}

/// Kinds of questions that are not alike as probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    /// A search, or one contact.
    Lookup,
    /// The list, which may take half a minute: another lookup need not wait for it to see whether XiVO answers.
    List,
    /// The gateway's own (`[upstream.check]`): nobody waits for it, so it may be asked at any time. But what it
    /// asks may be what XiVO cannot answer, so it keeps no lookup from being the next probe.
    Check,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer as a phonebook gives it.
    Answered,
    /// XiVO answers in time, though not as a phonebook: 3xx, 401, 403, 404 and the like, or too much. That is no
    /// reason not to ask it.
    AnsweredOtherwise,
    /// No connection, a reset, or nothing within `timeout`.
    Silent,
    /// Nothing within `number_timeout`, which is short: it counts where nothing else was answered lately.
    SilentForNumber,
    /// 5xx, or an answer that is not accepted.
    AnsweredBadly,
    /// Nothing that tells of XiVO: this host lacks something, the list takes long, the client left.
    Unknown,
}

impl From<&UpstreamFault> for Outcome {
    fn from(fault: &UpstreamFault) -> Self {
        match fault {
            UpstreamFault::Unreachable(why) => of_unreachable(why),
            UpstreamFault::Timeout(timeout) => match timeout.key {
                "list_timeout" => Self::Unknown,
                "number_timeout" => Self::SilentForNumber,
                _ => Self::Silent,
            },
            UpstreamFault::Invalid(_) | UpstreamFault::Error(500..) => Self::AnsweredBadly,
            UpstreamFault::Redirect(_)
            | UpstreamFault::RefusedGateway(_)
            | UpstreamFault::Error(_)
            | UpstreamFault::TooLarge => Self::AnsweredOtherwise,
            // The rest of an answer that had begun, which may wait for a slow client.
            UpstreamFault::ThisHost(_) | UpstreamFault::Stalled | UpstreamFault::TooSlow => {
                Self::Unknown
            }
        }
    }
}

/// What the configuration forbids, or lets no connection be trusted, is the same for each lookup, is found at
/// once and says itself what to do.
fn of_unreachable(why: &Unreachable) -> Outcome {
    match why {
        Unreachable::NotAllowed(_)
        | Unreachable::Resolve(_)
        | Unreachable::Tls(
            TlsFault::Certificate { .. }
            | TlsFault::NothingInCommon(_)
            | TlsFault::UnknownName(_)
            | TlsFault::NoHttp(_)
            | TlsFault::WantsCertificate(_),
        ) => Outcome::Unknown,
        Unreachable::Tls(
            TlsFault::NotTls(_) | TlsFault::Alert(_) | TlsFault::Failed(_) | TlsFault::Ended(_),
        )
        | Unreachable::Connect(_)
        | Unreachable::Send(_)
        | Unreachable::Head(_)
        | Unreachable::Body(_) => Outcome::Silent,
    }
}

/// XiVO is not asked: the circuit is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Whole seconds until it is tried again, at least one (`Retry-After`).
    pub retry_after_seconds: NonZeroU32,
    /// The last fault that was met.
    pub cause: Arc<UpstreamFault>,
}

/// Whether a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As every other.
    Asked,
    /// As the probe with this number.
    Probe(u64),
    /// It is not, and the next probe is due after so many whole seconds.
    Refused(NonZeroU32),
}

/// What an outcome has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Lookups are refused from now on.
    Opened,
    /// Lookups are passed on again.
    Closed,
}

/// How the circuit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Every lookup is asked.
    Closed,
    /// None is, but for a probe.
    Open {
        /// Since when.
        since: Instant,
        /// When the next probe is due, or was.
        until: Instant,
        /// Whether one is on its way.
        probing: bool,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Circuit {
    settings: CircuitSettings,
    open: Option<Open>,
    /// What went wrong since the last answer.
    run: Run,
    /// How long it is open when it opens, or is open.
    wait: Duration,
    /// When it was closed, or a fault counted last.
    trouble: Option<Instant>,
    /// The number of the last probe.
    probes: u64,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    until: Instant,
    probe: Option<Probe>,
    /// A list that was the probe, and still waits beside the next: another one does not.
    list: Option<u64>,
    /// The last probe that was answered badly.
    badly: Option<Question>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    began: Instant,
    asked: Question,
    /// Whether it was due. The gateway's own may come sooner.
    due: bool,
}

/// Consecutive faults.
#[derive(Clone, Debug, Default)]
struct Run {
    silent: u32,
    badly: u32,
    peers: Distinct<2>,
    lookups: Distinct<3>,
    last: Option<Instant>,
}

impl Run {
    fn add(&mut self, asked: Question, outcome: Outcome, now: Instant) {
        self.last = Some(now);
        if outcome == Outcome::AnsweredBadly {
            self.badly = self.badly.saturating_add(1);
            self.peers.insert(asked.peer);
            self.lookups.insert(asked.lookup);
        } else {
            self.silent = self.silent.saturating_add(1);
        }
    }

    /// How many of them count.
    fn counted(&self) -> u32 {
        let of_several = self.peers.is_full() || self.lookups.is_full();
        self.silent.saturating_add(if of_several { self.badly } else { 0 })
    }
}

/// The first few different hashes.
#[derive(Clone, Debug)]
struct Distinct<const N: usize>([Option<u64>; N]);

impl<const N: usize> Default for Distinct<N> {
    fn default() -> Self {
        Self([None; N])
    }
}

impl<const N: usize> Distinct<N> {
    fn insert(&mut self, hash: u64) {
        if !self.0.contains(&Some(hash))
            && let Some(free) = self.0.iter_mut().find(|place| place.is_none())
        {
            *free = Some(hash);
        }
    }

    fn is_full(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }
}

impl Circuit {
    /// A closed one.
    pub fn new(settings: CircuitSettings) -> Self {
        Self {
            settings,
            open: None,
            run: Run::default(),
            wait: settings.first_open(),
            trouble: None,
            probes: 0,
        }
    }

    /// What it goes by.
    pub fn settings(&self) -> CircuitSettings {
        self.settings
    }

    /// How it is.
    pub fn state(&self) -> CircuitState {
        self.open.as_ref().map_or(CircuitState::Closed, |open| CircuitState::Open {
            since: open.since,
            until: open.until,
            probing: open.probe.is_some(),
        })
    }

    /// Whether nothing is wrong: it is closed, and nothing has failed since the last answer.
    pub fn is_at_rest(&self) -> bool {
        self.open.is_none() && self.run.last.is_none()
    }

    /// Goes by other settings from now on, in the state that it is in. It can close, where it never opens by them.
    pub fn adopt(&mut self, settings: CircuitSettings, now: Instant) -> Option<Turn> {
        self.settings = settings;
        self.wait = self.wait.clamp(settings.first_open(), settings.max_open);
        if settings.failures == 0 {
            return self.forget();
        }
        if let Some(open) = &mut self.open {
            open.until = open.until.min(now + settings.max_open);
        }
        None
    }

    /// Forgets what is known: another XiVO is asked from now on.
    pub fn forget(&mut self) -> Option<Turn> {
        self.run = Run::default();
        self.trouble = None;
        self.wait = self.settings.first_open();
        self.open.take().map(|_| Turn::Closed)
    }

    /// Whether a question is asked at `now`.
    pub fn admit(&mut self, asked: Question, now: Instant) -> Admission {
        let Some(open) = &mut self.open else { return Admission::Asked };
        let list = QuestionKind::List;
        let free = open.probe.is_none_or(|probe| {
            let waits_long = now.saturating_duration_since(probe.began) >= self.settings.timeout;
            probe.asked.kind == list && waits_long
        });
        let free = free && (asked.kind != list || (open.probe.is_none() && open.list.is_none()));
        let due = now >= open.until + handicap(open.badly, asked);
        if free && (due || asked.kind == QuestionKind::Check) {
            self.probes += 1;
            let due = now >= open.until;
            open.list = open.probe.map(|list| list.number).or(open.list);
            open.probe = Some(Probe { number: self.probes, began: now, asked, due });
            return Admission::Probe(self.probes);
        }
        Admission::Refused(whole_seconds(open.until.saturating_duration_since(now)))
    }

    /// Nothing is heard of this probe any more.
    pub fn give_back(&mut self, probe: u64) {
        self.take(Some(probe));
    }

    /// Learns at `now` what came of a question, which may have been a probe; `last_answer` is when XiVO last
    /// answered anybody as a phonebook does.
    pub fn conclude(
        &mut self,
        (asked, probe): (Question, Option<u64>),
        outcome: Outcome,
        last_answer: Option<Instant>,
        now: Instant,
    ) -> Option<Turn> {
        let probe = self.take(probe);
        let lately =
            |answer: Instant| now.saturating_duration_since(answer) < self.settings.timeout;
        match outcome {
            Outcome::Unknown => None,
            Outcome::Answered | Outcome::AnsweredOtherwise => self.succeed(now),
            Outcome::SilentForNumber if last_answer.is_some_and(lately) => None,
            Outcome::Silent | Outcome::SilentForNumber | Outcome::AnsweredBadly => {
                if self.open.is_some() {
                    // What was asked before it opened is of the same outage.
                    if let Some(probe) = probe {
                        self.fail_again(probe, outcome);
                    }
                    return None;
                }
                self.fail(asked, outcome, last_answer, now)
            }
        }
    }

    /// The place of the probe with this number is free again, if it still has it.
    fn take(&mut self, number: Option<u64>) -> Option<Probe> {
        let open = self.open.as_mut()?;
        open.list.take_if(|list| Some(*list) == number);
        open.probe.take_if(|probe| Some(probe.number) == number)
    }

    fn succeed(&mut self, now: Instant) -> Option<Turn> {
        self.run = Run::default();
        self.open.take()?;
        self.trouble = Some(now);
        Some(Turn::Closed)
    }

    fn fail(
        &mut self,
        asked: Question,
        outcome: Outcome,
        last_answer: Option<Instant>,
        now: Instant,
    ) -> Option<Turn> {
        if self.settings.failures == 0 {
            return None;
        }
        if self.run.last.is_some_and(|last| last_answer.is_some_and(|answer| answer > last)) {
            self.run = Run::default();
        }
        self.run.add(asked, outcome, now);
        let counted = self.run.counted();
        if counted == 0 {
            return None;
        }
        let well = |trouble| now.saturating_duration_since(trouble) >= HEALTHY;
        if self.trouble.is_none_or(well) {
            self.wait = self.settings.first_open();
        }
        self.trouble = Some(now);
        if counted < self.settings.failures {
            return None;
        }
        self.run = Run::default();
        let until = now + self.wait;
        self.open = Some(Open { since: now, until, probe: None, list: None, badly: None });
        Some(Turn::Opened)
    }

    fn fail_again(&mut self, probe: Probe, outcome: Outcome) {
        let Some(open) = &mut self.open else { return };
        let badly = outcome == Outcome::AnsweredBadly;
        if probe.asked.kind == QuestionKind::Check && (badly || !probe.due) {
            return;
        }
        if badly {
            open.badly = Some(probe.asked);
        }
        self.wait = self.wait.saturating_mul(2).min(self.settings.max_open);
        open.until = probe.began + self.wait;
    }
}

/// How much later than others somebody may be the next probe who has something in common with the last one that
/// was answered badly.
fn handicap(badly: Option<Question>, asked: Question) -> Duration {
    let Some(badly) = badly else { return Duration::ZERO };
    HANDICAP * (u32::from(badly.peer == asked.peer) + u32::from(badly.lookup == asked.lookup))
}

/// A time in whole seconds, at least one.
fn whole_seconds(time: Duration) -> NonZeroU32 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(seconds).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

/// After so much time without trouble it opens as for the first time.
const HEALTHY: Duration = Duration::from_secs(30);

/// For having the peer in common, and for the lookup.
const HANDICAP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
