//! Threads that live as long as the gateway: none of them ends unnoticed.
//!
//! Each is started by [`Supervisor::spawn`] and says, when it ends, whether it was told to. One that
//! was not, or that panics, is a [`Failed`] part; whoever owns the gateway waits for the first of these
//! and ends what is left, so that a whole one can be started.
//!
//! Imports nothing of this crate. Begin with [`Supervisor`].

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

/// Who is told when a part has ended that should not have.
#[derive(Clone, Debug)]
pub struct Supervisor {
    first: Arc<watch::Sender<Option<Failed>>>,
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
        Self { first: Arc::new(watch::channel(None).0) }
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
        thread::Builder::new().name(part.clone()).spawn(move || {
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

/// Test hook of debug builds for the part or task of this name: panics, or returns `true` to make the
/// caller return.
///
/// The variable is `NAME=panic` or `NAME=return`. A release build does not look at it.
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
            true
        }
        _ => false,
    }
}

/// The variable by which a test ends a part.
const TEST_END: &str = "PHONEBOOK_GATEWAY_TEST_END";

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
