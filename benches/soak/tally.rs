//! What an attack has done and met.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use memchr::memmem::Finder;
use serde::Serialize;

use super::net;
use crate::support::statistics::{quantile, sorted};

/// The counts of one attack, from all its threads.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Counts>);

/// What was counted.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Counts {
    /// Connections that were opened.
    pub(crate) opened: u64,
    /// Most that were open at once.
    pub(crate) most_open: u64,
    /// Those that are open now.
    #[serde(skip)]
    open: u64,
    /// Everything else by its name: answers by their status, how connections ended.
    pub(crate) seen: BTreeMap<String, u64>,
    /// Seconds that lookups took which were held up, longest last.
    pub(crate) lives: Vec<f64>,
    /// How many of them were still alive at the attack's end.
    pub(crate) still_alive: u64,
}

impl Counts {
    /// The most, the median of the lives.
    pub(crate) fn lives(&self) -> (f64, f64) {
        let lives = sorted(self.lives.iter().copied());
        (quantile(&lives, 0.5), quantile(&lives, 1.0))
    }
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted so far.
    pub(crate) fn so_far(&self) -> Counts {
        self.counts().clone()
    }

    /// Counts something by its name.
    pub(crate) fn add(&self, what: &str, number: u64) {
        let mut counts = self.counts();
        match counts.seen.get_mut(what) {
            Some(so_far) => *so_far += number,
            None => drop(counts.seen.insert(what.to_owned(), number)),
        }
    }

    /// Counts a connection as open until what this yields is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        let mut counts = self.counts();
        counts.opened += 1;
        counts.open += 1;
        counts.most_open = counts.most_open.max(counts.open);
        Held(self)
    }

    /// Counts how a connection ended.
    pub(crate) fn ended(&self, how: &io::Result<()>) {
        let word = match how {
            Ok(()) => "closed",
            Err(error) if net::is_ours(error) => "no port or descriptor here",
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => "refused",
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => "reset",
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => "closed early",
            Err(_) => "failed",
        };
        self.add(word, 1);
    }

    /// Measures a lookup's life until what this yields is dropped.
    pub(crate) fn live(&self) -> Life<'_> {
        Life { tally: self, since: Instant::now(), over: false }
    }
}

/// A connection that is open.
pub(crate) struct Held<'t>(&'t Tally);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.counts().open -= 1;
    }
}

/// A lookup that is held up. Dropped before it is [`Life::over`], it was still alive.
pub(crate) struct Life<'t> {
    tally: &'t Tally,
    since: Instant,
    over: bool,
}

impl Life<'_> {
    /// The lookup has ended, one way or another.
    pub(crate) fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Life<'_> {
    fn drop(&mut self) {
        let mut counts = self.tally.counts();
        counts.lives.push(self.since.elapsed().as_secs_f64());
        counts.still_alive += u64::from(!self.over);
    }
}

/// Counts answers by their status in what comes of them, in pieces of any size.
pub(crate) struct Statuses {
    begin: Finder<'static>,
    /// The end of the former piece, as far as a status line may have begun in it.
    kept: Vec<u8>,
}

const BEGIN: &[u8] = b"HTTP/1.1 ";

impl Statuses {
    /// Nothing has come.
    pub(crate) fn new() -> Self {
        Self { begin: Finder::new(BEGIN), kept: Vec::new() }
    }

    /// Counts what is complete with this piece.
    pub(crate) fn count(&mut self, piece: &[u8], tally: &Tally) {
        self.kept.extend_from_slice(piece);
        let mut by_status: BTreeMap<&[u8], u64> = BTreeMap::new();
        let mut used = 0;
        while let Some(at) = self.begin.find(&self.kept[used..]) {
            let from = used + at + BEGIN.len();
            let Some(status) = self.kept.get(from..from + 3) else { break };
            *by_status.entry(status).or_default() += 1;
            used = from + 3;
        }
        for (status, number) in by_status {
            tally.add(&String::from_utf8_lossy(status), number);
        }
        // A line that has begun here is at most so long.
        let may_have_begun = self.kept.len().saturating_sub(BEGIN.len() + 2);
        self.kept.drain(..used.max(may_have_begun));
    }
}
