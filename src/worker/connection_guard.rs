//! Client connections as they are counted.

use std::rc::Rc;
use std::time::Instant;

use super::Worker;
use super::listeners::ListenerId;
use crate::limits::{CallerClass, NoSeat, SeatGuard};

/// A client connection as counted: its seat, and its place in this worker, until it is dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    worker: Rc<Worker>,
    seat: SeatGuard,
    listener: ListenerId,
}

impl ConnectionGuard {
    /// Counts a further connection of `guest`. One for which there is no seat may be let in to be told
    /// so ([`Self::is_over`]).
    ///
    /// # Errors
    /// It is to be closed without an answer.
    pub fn new(
        worker: &Rc<Worker>,
        class: CallerClass,
        listener: ListenerId,
        now: Instant,
    ) -> Result<Self, NoSeat> {
        let now = worker.moment(now);
        worker.shared.count_handshake(class, now)?;
        let seats = &worker.shared.seats;
        let seat =
            seats.enter(class, now).or_else(|full| seats.admit_over_limit(class).ok_or(full))?;
        worker.open.set(worker.open.get() + 1);
        worker.listeners.enter(listener);
        Ok(Self { worker: Rc::clone(worker), seat, listener })
    }

    /// Counts it as `guest`'s from now on. One for which there is no seat there may stay to be told so.
    ///
    /// # Errors
    /// It is to be closed without an answer.
    pub fn reclassify(&mut self, class: CallerClass) -> Result<(), NoSeat> {
        let now = self.worker.moment(Instant::now());
        self.worker.shared.count_handshake(class, now)?;
        match self.seat.reseat(class, now) {
            Err(full) if !self.seat.admit_over_limit(class) => Err(full),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether it is one too many, and here only to be told so.
    pub fn is_over(&self) -> bool {
        self.seat.is_over_limit()
    }

    /// It waits from `now` on for a request, `fresh` for its first; a newcomer may be given its seat.
    pub fn wait(&self, now: Instant, fresh: bool) {
        self.seat.wait(self.worker.moment(now), fresh);
    }

    /// A request has come. `false`: its seat was given away, and this is its last one.
    pub fn resume(&self) -> bool {
        self.seat.resume()
    }

    /// Waits until its seat is given away.
    pub async fn left(&self) {
        std::future::poll_fn(|context| self.seat.poll_left(context)).await;
    }

    /// Whether it may not go on after its current request: the worker drains, or its listener was removed.
    pub fn is_ending(&self) -> bool {
        self.worker.is_ending(self.listener)
    }

    /// Whose connection it is.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.listeners.leave(self.listener);
        worker.open.set(worker.open.get().saturating_sub(1));
        if worker.is_draining() {
            worker.closed.notify_one();
        }
    }
}

/// A task that accepts a listener's connections, until it is dropped.
#[derive(Debug)]
pub struct Accepting {
    worker: Rc<Worker>,
    listener: ListenerId,
}

impl Accepting {
    /// Counts it.
    pub fn new(worker: &Rc<Worker>, listener: ListenerId) -> Self {
        worker.listeners.enter(listener);
        Self { worker: Rc::clone(worker), listener }
    }

    /// Whose connections it accepts.
    pub fn listener(&self) -> ListenerId {
        self.listener
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.worker.listeners.leave(self.listener);
    }
}
