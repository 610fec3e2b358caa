//! The book of seats: whose each is, and who has to leave for whom.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{
    CallerClass, Ceilings, HolderSeats, LEFT, NoSeat, PeerId, Seat, SeatCensus, SeatHolder, Waiting,
};
use crate::limits::Moment;

/// By whom seats are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Peer(PeerId),
    Proxies,
    Unknown(IpAddr),
    Handshake(IpAddr),
}

impl From<Holder> for SeatHolder {
    fn from(holder: Holder) -> Self {
        match holder {
            Holder::Peer(id) => Self::Peer(id),
            Holder::Proxies => Self::Proxies,
            Holder::Unknown(caller) => Self::Unknown(caller),
            Holder::Handshake(caller) => Self::Handshake(caller),
        }
    }
}

impl Holder {
    pub(super) fn of(class: CallerClass) -> Self {
        match class {
            CallerClass::Peer { id, .. } => Self::Peer(id),
            CallerClass::Proxy => Self::Proxies,
            CallerClass::Unknown(caller) => Self::Unknown(caller),
            CallerClass::Handshake(caller) => Self::Handshake(caller),
        }
    }

    fn is_unknown(self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Handshake(_))
    }
}

/// What one holder has.
#[derive(Debug, Default)]
struct Holding {
    seats: Vec<Arc<Seat>>,
    /// Those of them that have waited for longest, in order, as they were when they were looked for.
    longest: VecDeque<(Arc<Seat>, Waiting)>,
    /// None of them was to be had for anybody, or for a newcomer of this holder; before these moments, in
    /// nanoseconds since the start, they are not looked through again.
    none_until: u64,
    none_own_until: u64,
    /// Connections without a seat that are being told so.
    over_limit: usize,
}

/// Who has which seat.
#[derive(Debug)]
pub(super) struct Book {
    ceilings: Ceilings,
    // std's keyed hash: unknown callers choose their addresses.
    holdings: HashMap<Holder, Holding>,
    seated: usize,
    unknown: usize,
    handshakes: usize,
    /// Connections whose seat was given away and that have not ended.
    leaving: usize,
    over_limit: usize,
}

/// Which holders' connections may have to leave for a newcomer.
#[derive(Clone, Copy, Debug)]
enum Among {
    Unknown,
    Handshakes,
    All,
}

impl Among {
    fn holds(self, holder: Holder) -> bool {
        match self {
            Self::Unknown => matches!(holder, Holder::Unknown(_)),
            Self::Handshakes => matches!(holder, Holder::Handshake(_)),
            Self::All => true,
        }
    }
}

impl Book {
    pub(super) fn new(ceilings: Ceilings) -> Self {
        Self {
            ceilings,
            holdings: HashMap::new(),
            seated: 0,
            unknown: 0,
            handshakes: 0,
            leaving: 0,
            over_limit: 0,
        }
    }

    pub(super) fn ceilings(&self) -> Ceilings {
        self.ceilings
    }

    pub(super) fn set_ceilings(&mut self, ceilings: Ceilings) {
        self.ceilings = ceilings;
    }

    pub(super) fn has_any(&self, holder: Holder) -> bool {
        self.len(holder) > 0
    }

    pub(super) fn open(&self) -> usize {
        self.seated + self.leaving + self.over_limit
    }

    /// Who has how many seats, and what is done on them, as of `now`.
    pub(super) fn census(&self, now: Moment) -> SeatCensus {
        let holders = self.holdings.iter().map(|(holder, holding)| holding.census(*holder, now));
        SeatCensus { holders: holders.collect(), leaving: self.leaving, most: self.ceilings.all }
    }

    /// Gives `seat` to a newcomer.
    pub(super) fn enter(
        &mut self,
        class: CallerClass,
        seat: &Arc<Seat>,
        now: Moment,
    ) -> Result<(), NoSeat> {
        let all = self.ceilings.all;
        let holder = Holder::of(class);
        if self.open() >= all.saturating_add(MARGIN) {
            return Err(NoSeat::Gateway(all));
        }
        self.make_room(class, now)?;
        // More than one only where the ceiling was lowered.
        while self.seated >= all {
            if !self.displace(holder, Among::All, now) {
                return Err(NoSeat::Gateway(all));
            }
        }
        self.sit(holder, seat);
        Ok(())
    }

    /// Counts a seat as `guest`'s that was `from`'s.
    pub(super) fn reseat(
        &mut self,
        from: Holder,
        class: CallerClass,
        seat: &Arc<Seat>,
        now: Moment,
    ) -> Result<Holder, NoSeat> {
        let to = Holder::of(class);
        // A seat that was given away is nobody's any more.
        if from == to || seat.state.load(Ordering::Acquire) == LEFT {
            return Ok(from);
        }
        // What it has is no reason against what it gets.
        self.rise(from, seat);
        let made = self.make_room(class, now);
        self.sit(if made.is_ok() { to } else { from }, seat);
        made.map(|()| to)
    }

    /// The seat is free again, unless it was given away before.
    pub(super) fn leave(&mut self, holder: Holder, seat: &Arc<Seat>) {
        match seat.state.load(Ordering::Acquire) {
            LEFT => self.leaving = self.leaving.saturating_sub(1),
            _ => self.rise(holder, seat),
        }
    }

    /// Room for one who is to be told that there is no seat.
    pub(super) fn admit_over_limit(&mut self, holder: Holder) -> bool {
        if holder.is_unknown()
            || self.over_limit >= MARGIN
            || self.open() >= self.ceilings.all.saturating_add(MARGIN)
        {
            return false;
        }
        let holding = self.holdings.entry(holder).or_default();
        if holding.over_limit >= OVER_LIMIT_EACH {
            return false;
        }
        holding.over_limit += 1;
        self.over_limit += 1;
        true
    }

    pub(super) fn release_over_limit(&mut self, holder: Holder) {
        self.over_limit = self.over_limit.saturating_sub(1);
        if let Some(holding) = self.holdings.get_mut(&holder) {
            holding.over_limit = holding.over_limit.saturating_sub(1);
        }
        self.forget_if_gone(holder);
    }

    /// Sees that a further seat of `guest` is within its own limits.
    fn make_room(&mut self, class: CallerClass, now: Moment) -> Result<(), NoSeat> {
        let Ceilings { unknown, handshakes, unknown_each, .. } = self.ceilings;
        let holder = Holder::of(class);
        match class {
            CallerClass::Proxy => {}
            CallerClass::Peer { share, .. } => {
                let share = self.ceilings.share(share);
                while self.count(holder) >= share {
                    if !self.displace_own(holder, now) {
                        return Err(NoSeat::Peer(share));
                    }
                }
            }
            CallerClass::Unknown(_) | CallerClass::Handshake(_) => {
                while self.count(holder) >= unknown_each {
                    if !self.displace_own(holder, now) {
                        return Err(NoSeat::UnknownCaller(unknown_each));
                    }
                }
            }
        }
        let full = match class {
            CallerClass::Unknown(_) => NoSeat::Unknown(unknown),
            CallerClass::Handshake(_) => NoSeat::Handshakes(handshakes),
            CallerClass::Peer { .. } | CallerClass::Proxy => return Ok(()),
        };
        loop {
            let (there, most, among) = match class {
                CallerClass::Handshake(_) => (self.handshakes, handshakes, Among::Handshakes),
                CallerClass::Peer { .. } | CallerClass::Proxy | CallerClass::Unknown(_) => {
                    (self.unknown, unknown, Among::Unknown)
                }
            };
            if there < most {
                return Ok(());
            }
            if !self.displace(holder, among, now) {
                return Err(full);
            }
        }
    }

    /// How many seats `holder` has; an unknown caller's handshakes are counted with the rest of it.
    fn count(&self, holder: Holder) -> usize {
        Self::own(holder).map(|own| self.len(own)).sum()
    }

    fn len(&self, holder: Holder) -> usize {
        self.holdings.get(&holder).map_or(0, |holding| holding.seats.len())
    }

    /// The holders that are the same caller.
    fn own(holder: Holder) -> impl Iterator<Item = Holder> + use<> {
        let (first, second) = match holder {
            Holder::Unknown(caller) | Holder::Handshake(caller) => {
                (Holder::Handshake(caller), Some(Holder::Unknown(caller)))
            }
            Holder::Peer(_) | Holder::Proxies => (holder, None),
        };
        std::iter::once(first).chain(second)
    }

    /// Closes an idle connection of the newcomer's own holder.
    fn displace_own(&mut self, holder: Holder, now: Moment) -> bool {
        Self::own(holder).any(|own| self.close_longest(own, now, true))
    }

    /// Closes an idle connection for a newcomer of `holder`: its own, or of whoever has most among those
    /// with a lesser right.
    fn displace(&mut self, holder: Holder, among: Among, now: Moment) -> bool {
        let own = Self::own(holder).filter(|own| among.holds(*own));
        if own.into_iter().any(|own| self.close_longest(own, now, true)) {
            return true;
        }
        // As it would be if it came in, and one more: an equal is not displaced.
        let enough = self.count(holder) + 2;
        let lesser = |other: Holder, count: usize| match (holder.is_unknown(), other.is_unknown()) {
            (false, true) => count > 0,
            (true, false) => false,
            _ => count >= enough,
        };
        loop {
            let richest = self
                .holdings
                .iter()
                .filter(|(other, holding)| {
                    among.holds(**other)
                        && holding.none_until <= now.nanos()
                        && lesser(**other, holding.seats.len())
                })
                .max_by_key(|(_, holding)| holding.seats.len());
            let Some((&richest, _)) = richest else { return false };
            if self.close_longest(richest, now, false) {
                return true;
            }
        }
    }

    /// Closes the connection of `holder` that has waited for longest, for a newcomer of its own or of
    /// somebody else. `false` where none waits.
    fn close_longest(&mut self, holder: Holder, now: Moment, own: bool) -> bool {
        let Some(holding) = self.holdings.get_mut(&holder) else { return false };
        let may_close = |waiting: Waiting| !own || waiting.yields_to_its_own(now);
        if let Some(seat) = holding.close_known(may_close) {
            self.give_away(holder, &seat);
            return true;
        }
        if holding.none_until(own) > now.nanos() {
            return false;
        }
        holding.look(may_close);
        let Some(seat) = holding.close_known(may_close) else {
            holding.set_none_until(own, now.nanos().saturating_add(PAUSE));
            return false;
        };
        self.give_away(holder, &seat);
        true
    }

    /// The connection in `seat` has been told to leave.
    fn give_away(&mut self, holder: Holder, seat: &Arc<Seat>) {
        self.rise(holder, seat);
        self.leaving += 1;
        if let Some(waker) = seat.waker().take() {
            waker.wake();
        }
    }

    fn sit(&mut self, holder: Holder, seat: &Arc<Seat>) {
        let holding = self.holdings.entry(holder).or_default();
        seat.index.store(holding.seats.len(), Ordering::Relaxed);
        holding.seats.push(Arc::clone(seat));
        self.seated += 1;
        if let Some(class) = self.class(holder) {
            *class += 1;
        }
    }

    fn rise(&mut self, holder: Holder, seat: &Arc<Seat>) {
        let Some(holding) = self.holdings.get_mut(&holder) else { return };
        if !holding.holds(seat) {
            return;
        }
        let index = seat.index.load(Ordering::Relaxed);
        holding.seats.swap_remove(index);
        if let Some(moved) = holding.seats.get(index) {
            moved.index.store(index, Ordering::Relaxed);
        }
        self.seated = self.seated.saturating_sub(1);
        if let Some(class) = self.class(holder) {
            *class = class.saturating_sub(1);
        }
        self.forget_if_gone(holder);
    }

    /// The count of all holders of this kind, where there is one.
    fn class(&mut self, holder: Holder) -> Option<&mut usize> {
        match holder {
            Holder::Unknown(_) => Some(&mut self.unknown),
            Holder::Handshake(_) => Some(&mut self.handshakes),
            Holder::Peer(_) | Holder::Proxies => None,
        }
    }

    fn forget_if_gone(&mut self, holder: Holder) {
        let gone = |holding: &Holding| holding.seats.is_empty() && holding.over_limit == 0;
        if self.holdings.get(&holder).is_some_and(gone) {
            self.holdings.remove(&holder);
        }
    }
}

impl Holding {
    fn census(&self, holder: Holder, now: Moment) -> HolderSeats {
        let mut seats = HolderSeats {
            holder: holder.into(),
            busy: 0,
            new: 0,
            idle: 0,
            over_limit: self.over_limit,
            longest_wait: None,
        };
        for seat in &self.seats {
            match Waiting::of(seat.state.load(Ordering::Acquire)) {
                None => seats.busy += 1,
                Some(waiting) => {
                    let count = if waiting.is_fresh() { &mut seats.new } else { &mut seats.idle };
                    *count += 1;
                    seats.longest_wait = seats.longest_wait.max(Some(waiting.length(now)));
                }
            }
        }
        seats
    }

    /// Whether `seat` is one of these.
    fn holds(&self, seat: &Arc<Seat>) -> bool {
        let found = self.seats.get(seat.index.load(Ordering::Relaxed));
        found.is_some_and(|found| Arc::ptr_eq(found, seat))
    }

    fn none_until(&self, own: bool) -> u64 {
        if own { self.none_own_until.max(self.none_until) } else { self.none_until }
    }

    fn set_none_until(&mut self, own: bool, until: u64) {
        if own { self.none_own_until = until } else { self.none_until = until }
    }

    /// Takes the seat from the first known connection that still waits and may be closed.
    fn close_known(&mut self, may_close: impl Fn(Waiting) -> bool) -> Option<Arc<Seat>> {
        let mut at = 0;
        while let Some((seat, waiting)) = self.longest.get(at) {
            // It may have gone on, or turned out to be somebody else's.
            if seat.state.load(Ordering::Acquire) != waiting.0 || !self.holds(seat) {
                self.longest.remove(at);
                continue;
            }
            if !may_close(*waiting) {
                at += 1;
                continue;
            }
            let (seat, waiting) = self.longest.remove(at)?;
            let left =
                seat.state.compare_exchange(waiting.0, LEFT, Ordering::AcqRel, Ordering::Acquire);
            if left.is_ok() {
                return Some(seat);
            }
        }
        None
    }

    /// Looks for those that have waited for longest. Whoever begins to wait later has waited for less
    /// than they have, so that the next few newcomers need not look again.
    fn look(&mut self, may_close: impl Fn(Waiting) -> bool) {
        let mut found: Vec<(Waiting, usize)> = (0..)
            .zip(&self.seats)
            .filter_map(|(index, seat)| {
                Some((Waiting::of(seat.state.load(Ordering::Acquire))?, index))
            })
            .filter(|(waiting, _)| may_close(*waiting))
            .collect();
        if found.len() > KNOWN {
            found.select_nth_unstable(KNOWN);
            found.truncate(KNOWN);
        }
        found.sort_unstable();
        let seats = &self.seats;
        let known =
            |(waiting, index): (Waiting, usize)| Some((Arc::clone(seats.get(index)?), waiting));
        self.longest = found.into_iter().filter_map(known).collect();
    }
}

/// How many idle connections are found at once.
const KNOWN: usize = 32;

/// How many connections beyond the ceiling are still told why they are not served, or are on their way
/// out.
const MARGIN: usize = 64;

/// How many of those may be one holder's.
const OVER_LIMIT_EACH: usize = 8;

/// How long a holder of whom no connection waits is not asked again, in nanoseconds: a flood of newcomers
/// is not to look through all of its seats for each.
const PAUSE: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::{Seat, SeatState};
    use super::*;

    #[test]
    fn whoever_has_nothing_any_more_is_forgotten() {
        let mut book = Book::new(Ceilings::new(100, 4));
        let unknown_callers = (0..20).map(|number| IpAddr::V4(Ipv4Addr::from_bits(number)));
        let peer = CallerClass::Peer { id: PeerId::next(), share: None };
        let classes =
            [peer, CallerClass::Proxy].into_iter().chain(unknown_callers.map(CallerClass::Unknown));
        let now = Moment::default();
        let seats: Vec<(Holder, Arc<Seat>)> = classes
            .map(|class| {
                let holder = Holder::of(class);
                let seat = Arc::new(Seat::new(SeatState::Seated(holder)));
                book.enter(class, &seat, now).unwrap();
                (holder, seat)
            })
            .collect();
        assert_eq!((book.holdings.len(), book.unknown, book.seated), (22, 20, 22));
        let holder = Holder::of(peer);
        assert!(book.admit_over_limit(holder));
        for (holder, seat) in &seats {
            book.leave(*holder, seat);
        }
        assert_eq!((book.holdings.len(), book.unknown, book.seated), (1, 0, 0));
        book.release_over_limit(holder);
        assert_eq!((book.holdings.len(), book.open()), (0, 0));
    }
}
