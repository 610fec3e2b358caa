//! Client connections as they are counted.

use std::rc::Rc;
use std::time::Instant;

use super::Worker;
use crate::limits::{Guest, NoSeat, Taken};

/// A client connection as counted: its seat, and its place in this worker, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    worker: Rc<Worker>,
    seat: Taken,
}

impl Counted {
    /// Counts a further connection of `guest`. One for which there is no seat may be let in to be told
    /// so ([`Self::is_over`]).
    ///
    /// # Errors
    /// It is to be closed unheard.
    pub fn new(worker: &Rc<Worker>, guest: Guest, now: Instant) -> Result<Self, NoSeat> {
        let now = worker.moment(now);
        worker.shared.count_handshake(guest, now)?;
        let house = &worker.shared.house;
        let seat = house.enter(guest, now).or_else(|full| house.stand(guest).ok_or(full))?;
        worker.open.set(worker.open.get() + 1);
        Ok(Self { worker: Rc::clone(worker), seat })
    }

    /// Counts it as `guest`'s from now on. One for which there is no seat there may stay to be told so.
    ///
    /// # Errors
    /// It is to be closed unheard.
    pub fn turns_out(&mut self, guest: Guest) -> Result<(), NoSeat> {
        let now = self.worker.moment(Instant::now());
        self.worker.shared.count_handshake(guest, now)?;
        match self.seat.reseat(guest, now) {
            Err(full) if !self.seat.stand(guest) => Err(full),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether it is one too many, and here only to be told so.
    pub fn is_over(&self) -> bool {
        self.seat.is_standing()
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

    /// Whose connection it is.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.open.set(worker.open.get().saturating_sub(1));
        if worker.is_draining() {
            worker.closed.notify_one();
        }
    }
}
