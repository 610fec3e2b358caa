//! What the steps of a request leave for its log line.

use std::cell::{Cell, RefCell};

use tokio::time::Instant;

use crate::access_log::format::Checked;
use crate::location::Location;
use crate::policy::Action;
use crate::upstream::trace::Trace;
use crate::worker::metrics::Patience;

/// What became of a request on its way, noted where it is known.
#[derive(Debug, Default)]
pub(crate) struct RequestAnnotations {
    /// The lookup's action.
    pub action: Cell<Option<Action>>,
    /// The outcome of the check of the rate.
    pub rate: Cell<Checked>,
    /// The outcome of the `concurrent` and `connections` checks.
    pub concurrent: Cell<Checked>,
    /// The line of the configuration that decided, where a log asks for it.
    pub rule: RefCell<Option<Location>>,
    /// When XiVO was asked.
    pub asked: Cell<Option<Instant>>,
    /// When its answer had begun, where that was looked at.
    pub answered: Cell<Option<Instant>>,
    /// How long whoever asks waits for the answer.
    pub patience: Cell<Option<Patience>>,
    /// How XiVO was asked, where a log asks for it.
    pub upstream: Trace,
}

impl RequestAnnotations {
    /// A rate was looked at; yields the outcome.
    ///
    /// # Errors
    /// That of `outcome`.
    pub(crate) fn rated<T, E>(&self, outcome: Result<T, E>) -> Result<T, E> {
        self.rate.set(checked(&outcome));
        outcome
    }

    /// A ceiling was looked at; yields the outcome.
    ///
    /// # Errors
    /// That of `outcome`.
    pub(crate) fn counted<T, E>(&self, outcome: Result<T, E>) -> Result<T, E> {
        self.concurrent.set(checked(&outcome));
        outcome
    }
}

fn checked<T, E>(outcome: &Result<T, E>) -> Checked {
    if outcome.is_ok() { Checked::Passed } else { Checked::Rejected }
}
