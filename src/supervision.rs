//! Threads that live as long as the gateway: none of them ends unnoticed.
//!
//! Each is started by [`Supervisor::spawn`] and says, when it ends, whether it was told to. One that
//! was not, or that panics, is a [`Failed`] part; whoever owns the gateway waits for the first of these
//! and ends what is left, so that a whole one can be started.
//!
//! Imports nothing of this crate. Begin with [`Supervisor`].

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

/// Who is told when a part has ended that should not have.
#[derive(Clone, Debug)]
pub struct Supervisor {
    first: Arc<watch::Sender<Option<Failed>>>,
    /// Of the threads that run, those that say when they work.
    pulses: Arc<Mutex<Vec<Weak<Pulse>>>>,
}

/// A part that ended, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The thread's name.
    pub part: String,
    /// How it ended.
    pub how: How,
}

/// How a part ended that should not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It returned; the text says why.
    Returned(String),
    /// The thread panicked.
    Panicked,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, how } = self;
        match how {
            How::Returned(why) => {
                write!(f, "the thread `{part}` ended without being told to: {why}")
            }
            How::Panicked => write!(f, "the thread `{part}` panicked"),
        }
    }
}

/// How the body of a part ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it was told to, or because all senders were dropped.
    Expected,
    /// For this reason.
    Unexpected(String),
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { first: Arc::new(watch::channel(None).0), pulses: Arc::default() }
    }
}

impl Supervisor {
    /// Starts a part in a thread of this name.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn(
        &self,
        name: &str,
        body: impl FnOnce() -> Ending + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let supervisor = self.clone();
        let part = name.to_owned();
        let pulse = Arc::new(Pulse { part: part.clone(), working_since: Mutex::default() });
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|pulse| pulse.strong_count() > 0);
        pulses.push(Arc::downgrade(&pulse));
        drop(pulses);
        thread::Builder::new().name(part.clone()).spawn(move || {
            PULSE.set(Some(pulse));
            let mut guard = Guard { supervisor, part, returned: None };
            let ending = if ends_for_test(|| guard.part.clone()) {
                Ending::Unexpected("a test wants it".to_owned())
            } else {
                body()
            };
            guard.returned = Some(ending);
        })
    }

    /// Reports a part that has failed. Only the first is remembered: later ones follow from it, or no
    /// longer matter. Returns whether this was the first.
    pub fn report(&self, failed: Failed) -> bool {
        self.first.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failed);
            is_first
        })
    }

    /// The first part that has failed, if one has.
    pub fn failure(&self) -> Option<Failed> {
        self.first.borrow().clone()
    }

    /// A part that has worked at one thing for longer than [`STUCK`], or has not said for so long that it still
    /// keeps time, at `now`.
    pub fn stuck(&self, now: Instant) -> Option<String> {
        let pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = pulses.iter().filter_map(Weak::upgrade).find(|pulse| {
            let since = *pulse.working_since.lock().unwrap_or_else(PoisonError::into_inner);
            since.is_some_and(|since| now.saturating_duration_since(since) > STUCK)
        });
        stuck.map(|pulse| pulse.part.clone())
    }

    /// Waits until a part has failed.
    pub async fn failed(&self) -> Failed {
        let mut first = self.first.subscribe();
        loop {
            if let Some(failed) = first.borrow_and_update().clone() {
                return failed;
            }
            if first.changed().await.is_err() {
                // Cannot be: the sender is in `self`.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The thread has something to do from now on, or still keeps time: it will say [`waits`] or this again before
/// long. For threads that a [`Supervisor`] has started; others may say so, too, and nobody listens.
pub(crate) fn works() {
    note(Some(Instant::now()));
}

/// Says now and then that a thread with a runtime is not held up; never returns.
pub(crate) async fn keep_pulse() {
    loop {
        works();
        sleep(PULSE_INTERVAL).await;
    }
}

/// Whether a thread that was told to end has ended by `deadline`; one that hangs is not waited for. Joining it then
/// waits no more.
pub(crate) fn has_ended_by(thread: &JoinHandle<()>, deadline: Instant) -> bool {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}

/// The thread waits for something to do.
pub(crate) fn waits() {
    note(None);
}

fn note(working_since: Option<Instant>) {
    PULSE.with_borrow(|pulse| {
        if let Some(pulse) = pulse {
            let mut since = pulse.working_since.lock().unwrap_or_else(PoisonError::into_inner);
            *since = working_since;
        }
    });
}

/// Since when a part has been working, if it says so.
#[derive(Debug)]
struct Pulse {
    part: String,
    working_since: Mutex<Option<Instant>>,
}

thread_local! {
    /// That of the thread itself.
    static PULSE: RefCell<Option<Arc<Pulse>>> = const { RefCell::new(None) };
}

/// Held by a part's thread: reports an unexpected end when it is dropped.
struct Guard {
    supervisor: Supervisor,
    part: String,
    returned: Option<Ending>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let how = match self.returned.take() {
            Some(Ending::Expected) => return,
            Some(Ending::Unexpected(why)) => How::Returned(why),
            None => How::Panicked,
        };
        self.supervisor.report(Failed { part: std::mem::take(&mut self.part), how });
    }
}

/// Test hook of debug builds for the part or task of this name: panics, hangs, or returns `true` to make the
/// caller return.
///
/// The variable is `NAME=panic`, `NAME=hang` or `NAME=return`. A release build does not look at it.
#[expect(clippy::panic, reason = "it is what a test wants to see the end of")]
pub(crate) fn ends_for_test(name: impl FnOnce() -> String) -> bool {
    static WANTED: LazyLock<Option<(String, String)>> = LazyLock::new(|| {
        let wanted = std::env::var(TEST_END).ok()?;
        let (name, how) = wanted.split_once('=')?;
        Some((name.to_owned(), how.to_owned()))
    });
    if !cfg!(debug_assertions) {
        return false;
    }
    match &*WANTED {
        Some((wanted, how)) if *wanted == name() => {
            if how == "panic" {
                panic!("a test wants it");
            }
            if how == "hang" {
                loop {
                    thread::park();
                }
            }
            true
        }
        _ => false,
    }
}

/// The variable by which a test ends a part.
const TEST_END: &str = "PHONEBOOK_GATEWAY_TEST_END";

/// How long a part may be busy with one thing: more than a resolver waits for all of its name servers, twice.
const STUCK: Duration = Duration::from_secs(180);

/// How often a thread says that it is not held up: seldom for the machine, often for who waits minutes.
const PULSE_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn failure_of(body: impl FnOnce() -> Ending + Send + 'static) -> Option<Failed> {
        let supervisor = Supervisor::default();
        let _ = supervisor.spawn("part", body).unwrap().join();
        supervisor.failure()
    }

    #[test]
    fn an_end_that_was_told_is_no_failure_and_any_other_is() {
        assert_eq!(failure_of(|| Ending::Expected), None);
        let failed = failure_of(|| Ending::Unexpected("tired".to_owned())).unwrap();
        assert_eq!(failed.to_string(), "the thread `part` ended without being told to: tired");
        let failed = failure_of(|| std::panic::resume_unwind(Box::new(()))).unwrap();
        assert_eq!(failed.to_string(), "the thread `part` panicked");
    }

    #[test]
    fn a_part_that_works_at_one_thing_for_too_long_is_named() {
        let supervisor = Supervisor::default();
        let (go, told) = std::sync::mpsc::channel::<()>();
        let (say, said) = std::sync::mpsc::channel();
        let body = move || {
            for note in [works, waits, works] {
                note();
                say.send(()).unwrap();
                told.recv().unwrap();
            }
            Ending::Expected
        };
        let thread = supervisor.spawn("part", body).unwrap();
        let later = |supervisor: &Supervisor| {
            supervisor.stuck(Instant::now() + STUCK + Duration::from_secs(1))
        };
        for stuck in [Some("part"), None, Some("part")] {
            said.recv().unwrap();
            assert_eq!(supervisor.stuck(Instant::now()), None);
            assert_eq!(later(&supervisor).as_deref(), stuck);
            go.send(()).unwrap();
        }
        thread.join().unwrap();
        // Nobody waits for one that has ended.
        assert_eq!(later(&supervisor), None);
    }

    #[test]
    fn the_first_failure_is_the_one_that_is_told_of() {
        let supervisor = Supervisor::default();
        let failed = |part: &str| Failed { part: part.to_owned(), how: How::Panicked };
        assert!(supervisor.report(failed("one")));
        assert!(!supervisor.report(failed("two")));
        assert_eq!(supervisor.failure(), Some(failed("one")));
    }

    #[test]
    fn who_waits_is_told_whether_the_failure_comes_before_or_after() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let supervisor = Supervisor::default();
        let other = supervisor.clone();
        let (before, after) = runtime.block_on(async {
            let report = async {
                other.report(Failed { part: "part".to_owned(), how: How::Panicked });
            };
            let (before, ()) = tokio::join!(supervisor.failed(), report);
            (before, supervisor.failed().await)
        });
        assert_eq!((before.part.as_str(), &before), ("part", &after));
    }
}
