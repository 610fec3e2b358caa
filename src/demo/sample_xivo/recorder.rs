//! What reached the sample XiVO, for whoever wants to know: tests, mostly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::HeaderMap;

use crate::demo::routing::{Act, Place};

/// One request that reached the sample XiVO, and what came of it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The connection's other end. Equal ports mean the same connection.
    pub from: SocketAddr,
    /// The request method.
    pub method: String,
    /// The request target as hyper gives it: as it was sent, without `#` and what followed.
    pub target: String,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The place that XiVO read in the path.
    pub place: Option<Place>,
    /// What was done to the phonebook; `None` if the request did not get that far.
    pub act: Option<Act>,
    /// The status that was answered.
    pub status: u16,
}

/// A shared list of what arrived. Clones write into and read the same list.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Recorder {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All that arrived so far, in the order of the answers.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.lock().clone()
    }

    /// The targets of all that arrived so far.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        self.lock().iter().map(|one| one.target.clone()).collect()
    }

    /// Returns what arrived since the last time, and forgets it.
    #[must_use]
    pub fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn record(&self, arrival: Arrival) {
        self.lock().push(arrival);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arrival>> {
        // A list cannot be left half changed, so a panic elsewhere does not spoil it.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
