//! When XiVO stopped answering, that it is not asked meanwhile, and that it answers again: one state for all
//! workers, told once.
//!
//! A lookup looks at one flag that is seldom written, and while it is clear, at nothing else; that it was answered
//! is noted where no other worker writes. Only faults, and lookups while something is wrong, take the lock.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lookup::Lookup;
use crate::upstream::UpstreamFault;
use crate::upstream::circuit::{
    Admission, Circuit, CircuitSettings, CircuitState, Down, Outcome, Question, QuestionKind, Turn,
};

/// What all workers know of it.
#[derive(Debug)]
pub struct Outage {
    is_on: Flag,
    known: Mutex<Known>,
    /// When each worker was answered last, and after them the gateway itself.
    answers: Box<[LastAnswer]>,
    started: Instant,
    hashes: RandomState,
}

/// Whether anything is wrong.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Flag(AtomicBool);

/// Nanoseconds since the start; 0 before the first answer. Only its worker writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct LastAnswer(AtomicU64);

#[derive(Debug)]
struct Known {
    circuit: Circuit,
    /// What failed since the last answer.
    ongoing: Option<Ongoing>,
    /// The last fault that says why XiVO is not asked.
    cause: Option<Arc<UpstreamFault>>,
}

#[derive(Clone, Copy, Debug)]
struct Ongoing {
    since: Instant,
    failed: u64,
    refused: u64,
    /// Whether XiVO does not answer at all, or answers nobody; else its end is nothing to be told.
    is_outage: bool,
}

/// One that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// From the first lookup that failed to the first that did not.
    pub lasted: Duration,
    /// Lookups that failed.
    pub failed: u64,
    /// Lookups that were refused, since XiVO was not asked.
    pub refused: u64,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failed {
            0 => f.write_str("no lookup failed")?,
            1 => f.write_str("1 lookup failed")?,
            failed => write!(f, "{failed} lookups failed")?,
        }
        match self.refused {
            0 => Ok(()),
            1 => f.write_str(", and 1 was refused at once"),
            refused => write!(f, ", and {refused} were refused at once"),
        }
    }
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Lookups are refused from now on.
    Opened {
        /// For how long at first.
        open: Duration,
        /// And at most.
        max_open: Duration,
    },
    /// XiVO answers in time, so that lookups are passed on again, but not as a phonebook.
    ClosedOtherwise(Over),
    /// XiVO answers as a phonebook again.
    Over(Over),
}

/// How the circuit is, for whoever asks.
#[derive(Clone, Debug)]
pub struct CircuitView {
    /// Whether it is open, and how.
    pub state: CircuitState,
    /// What it goes by.
    pub settings: CircuitSettings,
    /// Lookups that were refused since it last was at rest.
    pub refused: u64,
    /// The last fault, where it is open.
    pub cause: Option<Arc<UpstreamFault>>,
}

/// Who asks what.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The peer; nobody for the gateway itself.
    pub peer: Option<&'a str>,
    /// What is asked.
    pub lookup: &'a Lookup,
}

/// What came of a question.
#[derive(Clone, Copy)]
enum Ended<'a> {
    Answered,
    Failed { fault: &'a UpstreamFault, began: Instant },
}

/// That XiVO may be asked, and what is to be said of the outcome. Dropped without an outcome, as when the client
/// leaves, it gives a probe's place back.
#[derive(Debug)]
#[must_use = "what came of it is to be said"]
pub struct Pass<'a> {
    outage: &'a Outage,
    asked: Asked<'a>,
    /// Which place for the last answer is its own.
    place: usize,
    /// Whether something was wrong when it was given.
    watched: bool,
    probe: Option<u64>,
}

impl Outage {
    /// All is well, with so many workers.
    pub fn new(settings: CircuitSettings, workers: usize) -> Self {
        let circuit = Circuit::new(settings);
        Self {
            is_on: Flag::default(),
            known: Mutex::new(Known { circuit, ongoing: None, cause: None }),
            answers: (0..=workers).map(|_| LastAnswer::default()).collect(),
            started: Instant::now(),
            hashes: RandomState::new(),
        }
    }

    /// Whether XiVO is asked; for a worker with this number.
    ///
    /// # Errors
    /// It is not: the circuit is open, and somebody else is the probe or none is due.
    pub fn admit<'a>(&'a self, worker: usize, asked: Asked<'a>) -> Result<Pass<'a>, Down> {
        let pass = Pass { outage: self, asked, place: worker, watched: false, probe: None };
        if !self.is_on.0.load(Ordering::Relaxed) {
            return Ok(pass);
        }
        let mut known = self.lock();
        let probe = match known.circuit.admit(self.question(asked), Instant::now()) {
            Admission::Asked => None,
            Admission::Probe(number) => Some(number),
            Admission::Refused(retry_after_seconds) => {
                if let (Some(ongoing), Some(_)) = (&mut known.ongoing, asked.peer) {
                    ongoing.refused += 1;
                }
                if let Some(cause) = known.cause.clone() {
                    return Err(Down { retry_after_seconds, cause });
                }
                None
            }
        };
        Ok(Pass { watched: true, probe, ..pass })
    }

    /// The same for the gateway's own question.
    ///
    /// # Errors
    /// A lookup is the probe already.
    pub fn admit_check<'a>(&'a self, lookup: &'a Lookup) -> Result<Pass<'a>, Down> {
        self.admit(self.answers.len() - 1, Asked { peer: None, lookup })
    }

    /// Goes by other settings; says whether lookups are passed on now that were refused.
    pub fn adopt(&self, settings: CircuitSettings) -> bool {
        let mut known = self.lock();
        let turn = known.circuit.adopt(settings, Instant::now());
        self.show(&known);
        turn == Some(Turn::Closed)
    }

    /// Another XiVO is asked from now on; says whether lookups are passed on now that were refused.
    pub fn forget(&self) -> bool {
        let mut known = self.lock();
        let turn = known.circuit.forget();
        self.show(&known);
        turn == Some(Turn::Closed)
    }

    /// Since when XiVO does not answer, and how many lookups have failed since; `None` where it answers, or nobody
    /// has asked.
    pub(crate) fn ongoing(&self) -> Option<(Instant, u64)> {
        let ongoing = self.lock().ongoing.filter(|ongoing| ongoing.is_outage)?;
        Some((ongoing.since, ongoing.failed))
    }

    /// How the circuit is.
    pub fn circuit(&self) -> CircuitView {
        let known = self.lock();
        let state = known.circuit.state();
        let is_open = state != CircuitState::Closed;
        CircuitView {
            state,
            settings: known.circuit.settings(),
            refused: known.ongoing.map_or(0, |ongoing| ongoing.refused),
            cause: known.cause.clone().filter(|_| is_open),
        }
    }

    /// Learns what came of a question.
    fn conclude(&self, pass: &Pass<'_>, ended: Ended<'_>) -> Option<News> {
        let now = Instant::now();
        if let Ended::Answered = ended {
            let since = now.saturating_duration_since(self.started).as_nanos();
            if let Some(own) = self.answers.get(pass.place) {
                own.0.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            if !pass.watched {
                return None;
            }
        }
        let mut known = self.lock();
        let outcome = match ended {
            Ended::Answered => Outcome::Answered,
            Ended::Failed { fault, began } => {
                known.note(fault, began, pass.asked.peer.is_some());
                fault.into()
            }
        };
        let asked = (self.question(pass.asked), pass.probe);
        let turn = known.circuit.conclude(asked, outcome, self.last_answer(), now);
        let news = known.news(outcome, turn, now);
        self.show(&known);
        news
    }

    fn question(&self, Asked { peer, lookup }: Asked<'_>) -> Question {
        let what = match lookup {
            Lookup::Search { term, .. } => self.hashes.hash_one(("search", term)),
            Lookup::View { id, .. } => self.hashes.hash_one(("view", id)),
            Lookup::List { .. } => self.hashes.hash_one("list"),
        };
        let kind = match (peer, lookup) {
            (None, _) => QuestionKind::Check,
            (_, Lookup::List { .. }) => QuestionKind::List,
            (_, Lookup::Search { .. } | Lookup::View { .. }) => QuestionKind::Lookup,
        };
        Question { peer: self.hashes.hash_one(peer), lookup: what, kind }
    }

    /// When any worker was answered last.
    fn last_answer(&self) -> Option<Instant> {
        let last = self.answers.iter().map(|last| last.0.load(Ordering::Relaxed)).max()?;
        (last > 0).then(|| self.started + Duration::from_nanos(last))
    }

    /// Lets all see whether something is wrong.
    fn show(&self, known: &Known) {
        let is_on = known.ongoing.is_some() || !known.circuit.is_at_rest();
        self.is_on.0.store(is_on, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// A question that began then failed; `counts` says whether it was somebody's lookup.
    fn note(&mut self, fault: &UpstreamFault, began: Instant, counts: bool) {
        if matches!(
            Outcome::from(fault),
            Outcome::Silent | Outcome::SilentForNumber | Outcome::AnsweredBadly
        ) {
            self.cause = Some(Arc::new(fault.clone()));
        }
        let is_outage = is_outage(fault);
        if is_outage || matches!(fault, UpstreamFault::Invalid(_)) {
            let first = Ongoing { since: began, failed: 0, refused: 0, is_outage };
            let ongoing = self.ongoing.get_or_insert(first);
            ongoing.failed += u64::from(counts);
            ongoing.is_outage |= is_outage;
        }
    }

    /// What is to be told of an outcome, and of what it has changed.
    fn news(&mut self, outcome: Outcome, turn: Option<Turn>, now: Instant) -> Option<News> {
        match (outcome, turn) {
            (Outcome::Answered, _) => {
                let ongoing = self.ongoing.take().filter(|ongoing| ongoing.is_outage)?;
                Some(News::Over(ongoing.until(now)))
            }
            (_, Some(Turn::Closed)) => {
                self.ongoing.map(|ongoing| News::ClosedOtherwise(ongoing.until(now)))
            }
            (_, Some(Turn::Opened)) => {
                if let Some(ongoing) = &mut self.ongoing {
                    ongoing.is_outage = true;
                }
                let open = match self.circuit.state() {
                    CircuitState::Open { until, .. } => until.saturating_duration_since(now),
                    CircuitState::Closed => Duration::ZERO,
                };
                Some(News::Opened { open, max_open: self.circuit.settings().max_open })
            }
            (_, None) => None,
        }
    }
}

impl Ongoing {
    fn until(&self, now: Instant) -> Over {
        Over {
            lasted: now.saturating_duration_since(self.since),
            failed: self.failed,
            refused: self.refused,
        }
    }
}

impl Pass<'_> {
    /// XiVO has answered as a phonebook does.
    pub fn answered(mut self) -> Option<News> {
        let news = self.outage.conclude(&self, Ended::Answered);
        self.probe = None;
        news
    }

    /// The lookup, which began then, failed.
    pub fn failed(mut self, fault: &UpstreamFault, began: Instant) -> Option<News> {
        let news = self.outage.conclude(&self, Ended::Failed { fault, began });
        self.probe = None;
        news
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(probe) = self.probe {
            self.outage.lock().circuit.give_back(probe);
        }
    }
}

/// Whether XiVO does not answer at all, or answers nobody: what is wrong with one answer says nothing of the
/// others.
fn is_outage(fault: &UpstreamFault) -> bool {
    use UpstreamFault as F;
    matches!(
        fault,
        F::Unreachable(_)
            | F::ThisHost(_)
            | F::Timeout(_)
            | F::RefusedGateway(_)
            | F::Redirect(_)
            | F::Error(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::{LookupParts, PATH};

    const SETTINGS: CircuitSettings = CircuitSettings {
        failures: 5,
        open: Duration::from_secs(3600),
        max_open: Duration::from_secs(3600),
        timeout: Duration::from_millis(2500),
    };

    fn view(id: u8) -> Lookup {
        let query = format!("act=view&id={id}");
        let parts = LookupParts {
            method: b"GET",
            path: PATH.as_bytes(),
            query: Some(query.as_bytes()),
            has_body: false,
        };
        Lookup::parse(parts).unwrap()
    }

    fn ends(
        outage: &Outage,
        (peer, id): (&str, u8),
        fault: Option<&UpstreamFault>,
    ) -> Option<News> {
        let lookup = view(id);
        let pass = outage.admit(0, Asked { peer: Some(peer), lookup: &lookup }).unwrap();
        match fault {
            Some(fault) => pass.failed(fault, Instant::now()),
            None => pass.answered(),
        }
    }

    fn over(news: Option<News>) -> Option<(u64, u64)> {
        match news {
            Some(News::Over(over)) => Some((over.failed, over.refused)),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_end_of_an_outage_is_told_once_and_what_is_wrong_with_one_answer_is_none() {
        let outage = Outage::new(SETTINGS, 1);
        assert_eq!(ends(&outage, ("lyon", 1), None), None);
        for one_answer in [UpstreamFault::TooLarge, crate::upstream::InvalidBody::Empty.into()] {
            assert_eq!(ends(&outage, ("lyon", 1), Some(&one_answer)), None);
            assert_eq!(ends(&outage, ("lyon", 1), None), None, "others may come");
        }
        for _ in 0..3 {
            assert_eq!(ends(&outage, ("lyon", 1), Some(&UpstreamFault::Error(500))), None);
        }
        assert_eq!(over(ends(&outage, ("lyon", 1), None)), Some((3, 0)));
        assert_eq!(ends(&outage, ("lyon", 1), None), None);
    }

    #[test]
    fn one_peers_odd_question_does_not_refuse_the_others() {
        let outage = Outage::new(SETTINGS, 1);
        for _ in 0..100 {
            assert_eq!(ends(&outage, ("lyon", 1), Some(&UpstreamFault::Error(500))), None);
        }
        assert_eq!(outage.circuit().state, CircuitState::Closed);
        // With another peer's it is XiVO.
        let opened = ends(&outage, ("metz", 1), Some(&UpstreamFault::Error(500)));
        assert!(matches!(opened, Some(News::Opened { .. })), "{opened:?}");
        let lookup = view(1);
        let asked = Asked { peer: Some("metz"), lookup: &lookup };
        let down = outage.admit(0, asked).unwrap_err();
        assert_eq!(
            (down.retry_after_seconds.get(), &*down.cause),
            (3600, &UpstreamFault::Error(500))
        );
        let view = outage.circuit();
        assert_eq!((view.refused, view.cause.as_deref()), (1, Some(&UpstreamFault::Error(500))));
    }

    #[test]
    fn the_end_of_what_was_refused_is_one_message_and_a_probe_that_is_dropped_is_followed_by_another()
     {
        let settings = CircuitSettings { open: Duration::ZERO, ..SETTINGS };
        let outage = Outage::new(settings, 1);
        let timeout = crate::upstream::HeadTimeout { key: "timeout", limit: SETTINGS.timeout };
        let fault = UpstreamFault::Timeout(timeout);
        let news: Vec<_> =
            (0..5).filter_map(|_| ends(&outage, ("lyon", 1), Some(&fault))).collect();
        assert!(matches!(news[..], [News::Opened { .. }]), "{news:?}");
        let lookup = view(1);
        let asked = Asked { peer: Some("lyon"), lookup: &lookup };
        let probe = outage.admit(0, asked).unwrap();
        assert!(outage.admit(0, asked).is_err() && outage.admit_check(&lookup).is_err());
        drop(probe);
        let probe = outage.admit(0, asked).unwrap();
        assert!(outage.admit(0, asked).is_err());
        let closed = probe.failed(&UpstreamFault::RefusedGateway(403), Instant::now());
        assert!(
            matches!(closed, Some(News::ClosedOtherwise(Over { failed: 6, refused: 2, .. }))),
            "{closed:?}"
        );
        assert_eq!(over(ends(&outage, ("lyon", 1), None)), Some((6, 2)));
        assert!(!outage.is_on.0.load(Ordering::Relaxed));
    }
}
