//! Counts client connections by who holds them, and limits them.
//!
//! Every connection has a seat, and every seat a holder: a peer, the proxies in front, or an address in
//! no policy, whose TLS handshakes under way are counted apart from what comes of them.
//!
//! # Guarantees
//! * A peer has at most its share, an unknown IPv4 address or IPv6 /64 at most `unknown_connections`, all
//!   unknown ones together a quarter of the gateway, and all their handshakes an eighth: nobody takes what
//!   others need.
//! * A newcomer finds room as long as somebody with a lesser right waits for nothing in particular: the
//!   connection that has been idle for longest is closed for it, of its own holder first, then of
//!   whoever has most. A request under way is never ended for it.
//! * Who has a lesser right: one's own idle connections; unknown callers against all others; and whoever
//!   has at least two more than the newcomer's holder, so that nobody is displaced by an equal.
//! * All of it is exact over all workers. Nothing here reads a clock, waits, or does I/O.
//!
//! A request costs two writes to a number of its own connection; the book is opened when a connection
//! comes or goes, or changes its holder.

mod book;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Moment;
use book::{Book, Holder};

/// The maximum numbers of connections, by class of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// Of all callers together.
    pub all: usize,
    /// Of all callers in no policy together.
    pub unknown: usize,
    /// Of TLS handshakes of such callers under way.
    pub handshakes: usize,
    /// Of one such caller, its handshakes included.
    pub unknown_each: usize,
}

impl Ceilings {
    /// The ceilings of a gateway for `all` connections, where one unknown caller may have `unknown_each`.
    pub fn new(all: usize, unknown_each: usize) -> Self {
        let handshakes = (all / 8).max(LEAST_HANDSHAKES.min(all / 2)).max(1);
        Self { all, unknown: unknown_of(all), handshakes, unknown_each }
    }

    /// What a peer may have whose policy says `written`, or nothing: then an eighth of all, and at least 64.
    pub fn share(&self, written: Option<usize>) -> usize {
        written.unwrap_or_else(|| peer_share(self.all)).min(self.all)
    }
}

/// The share of all unknown callers in a gateway for `all` connections: a quarter.
pub(crate) fn unknown_of(all: usize) -> usize {
    all.div_ceil(4)
}

/// The default share of a peer in a gateway for `all` connections.
pub(crate) fn peer_share(all: usize) -> usize {
    (all / 8).max(LEAST_SHARE).min(all)
}

/// A peer, as seats are counted by it; no other has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerId(u64);

impl PeerId {
    /// A new one.
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The class of the caller that a connection is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerClass {
    /// A peer's.
    Peer {
        /// The peer.
        id: PeerId,
        /// `connections` of its policy; `None` for the default share.
        share: Option<usize>,
    },
    /// A proxy's in front, which carries many callers.
    Proxy,
    /// An unknown caller's; the key is its [`crate::net::client_address::ClientAddress::unknown_caller_key`].
    Unknown(IpAddr),
    /// The same while its TLS handshake is under way: a certificate may yet say that it is a peer's.
    Handshake(IpAddr),
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSeat {
    /// The peer has its share, and none of it is idle.
    Peer(usize),
    /// The unknown caller has its share.
    UnknownCaller(usize),
    /// All unknown callers together have theirs.
    Unknown(usize),
    /// This many handshakes of unknown callers are under way.
    Handshakes(usize),
    /// The unknown caller begins TLS handshakes more often than `limits.handshake_rate`.
    HandshakeRate,
    /// All seats are taken, by nobody with a lesser right.
    Gateway(usize),
}

impl fmt::Display for NoSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(share) => {
                write!(f, "this peer has {share} open, which is its `connections`, and none is idle")
            }
            Self::UnknownCaller(each) => write!(
                f,
                "this address is in no policy and has {each} open, which is limits.unknown_connections"
            ),
            Self::Unknown(all) => write!(
                f,
                "callers in no policy have {all} open, a quarter of limits.max_connections"
            ),
            Self::Handshakes(all) => write!(
                f,
                "{all} TLS handshakes of callers in no policy are under way, which is all that there may be"
            ),
            Self::HandshakeRate => f.write_str(
                "this address is in no policy and begins TLS handshakes more often than limits.handshake_rate",
            ),
            Self::Gateway(all) => {
                write!(f, "{all} are open, which is limits.max_connections, and none is idle")
            }
        }
    }
}

/// Who has how many seats, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct SeatCensus {
    /// Everybody who has one, or is told that there is none.
    pub holders: Vec<HolderSeats>,
    /// Connections whose seat was given away and that have not ended.
    pub leaving: usize,
    /// As many seats as there are.
    pub most: usize,
}

/// What one holder has.
#[derive(Clone, Debug)]
pub struct HolderSeats {
    /// Who.
    pub holder: SeatHolder,
    /// Connections that carry a request, or end.
    pub busy: usize,
    /// Connections that wait for their first request, or for the end of their handshake.
    pub new: usize,
    /// Connections that wait for another request.
    pub idle: usize,
    /// Connections without a seat that are being told so.
    pub over_limit: usize,
    /// How long the connection has waited that has waited for longest.
    pub longest_wait: Option<Duration>,
}

impl HolderSeats {
    /// All of its connections.
    pub fn open(&self) -> usize {
        self.busy + self.new + self.idle + self.over_limit
    }
}

/// By whom seats are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatHolder {
    /// A peer.
    Peer(PeerId),
    /// The proxies in front, together.
    Proxies,
    /// An unknown caller, by its address or its /64.
    Unknown(IpAddr),
    /// The same while its TLS handshakes are under way.
    Handshake(IpAddr),
}

/// All seats for client connections of the process.
#[derive(Debug)]
pub struct SeatTable {
    book: Mutex<Book>,
}

impl SeatTable {
    /// A table without connections.
    pub fn new(ceilings: Ceilings) -> Self {
        Self { book: Mutex::new(Book::new(ceilings)) }
    }

    /// The ceilings as they are now.
    pub fn ceilings(&self) -> Ceilings {
        self.book().ceilings()
    }

    /// Sets other ceilings. Where they are lower nobody is asked to leave for that: newcomers find no room, but that
    /// of idle connections, until as many have left.
    pub fn set_ceilings(&self, ceilings: Ceilings) {
        self.book().set_ceilings(ceilings);
    }

    /// Whether connections of this class's holder are open.
    pub fn has_any(&self, class: CallerClass) -> bool {
        self.book().has_any(Holder::of(class))
    }

    /// Connections that are open now, also those that have been asked to leave.
    pub fn open(&self) -> usize {
        self.book().open()
    }

    /// Who has how many seats at `now`. It looks at each of them while nobody can come or go: not to be
    /// asked for all the time.
    pub fn census(&self, now: Moment) -> SeatCensus {
        self.book().census(now)
    }

    /// A seat for a newcomer. Somebody else's idle connection may have to leave for it.
    ///
    /// # Errors
    /// There is none: [`NoSeat`].
    pub fn enter(self: &Arc<Self>, class: CallerClass, now: Moment) -> Result<SeatGuard, NoSeat> {
        let seat = Arc::new(Seat::new(SeatState::Seated(Holder::of(class))));
        self.book().enter(class, &seat, now)?;
        Ok(SeatGuard { table: Arc::clone(self), seat })
    }

    /// A place over the limit in which a few connections may receive a 503; never for unknown callers.
    pub fn admit_over_limit(self: &Arc<Self>, class: CallerClass) -> Option<SeatGuard> {
        let holder = Holder::of(class);
        self.book().admit_over_limit(holder).then(|| SeatGuard {
            table: Arc::clone(self),
            seat: Arc::new(Seat::new(SeatState::OverLimit(holder))),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic while the lock is held ends the process; until then its contents are still usable.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection has.
#[derive(Clone, Copy, Debug)]
enum SeatState {
    /// A seat of this holder's.
    Seated(Holder),
    /// A place over the limit, to receive a 503.
    OverLimit(Holder),
}

/// One connection's seat, as the book and the connection see it.
#[derive(Debug)]
struct Seat {
    /// [`BUSY`], [`LEFT`], or since when it waits.
    state: AtomicU64,
    /// Where it stands in its holder's list; the book's.
    index: AtomicUsize,
    /// Woken when the connection is to leave.
    waker: Mutex<Option<Waker>>,
    /// Only its connection changes it.
    kind: Mutex<SeatState>,
}

impl Seat {
    fn new(kind: SeatState) -> Self {
        Self {
            state: AtomicU64::new(BUSY),
            index: AtomicUsize::new(0),
            waker: Mutex::new(None),
            kind: Mutex::new(kind),
        }
    }

    fn kind(&self) -> MutexGuard<'_, SeatState> {
        self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request is under way.
const BUSY: u64 = 0;

/// The seat is somebody else's.
const LEFT: u64 = u64::MAX;

/// Since when a connection waits, and whether for its first request: in one number, so that both change
/// at once. Neither [`BUSY`] nor [`LEFT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting(u64);

impl Waiting {
    fn since(now: Moment, fresh: bool) -> Self {
        Self((now.nanos().saturating_add(1).min(u64::MAX >> 2) << 1) | u64::from(fresh))
    }

    fn of(state: u64) -> Option<Self> {
        (state != BUSY && state != LEFT).then_some(Self(state))
    }

    /// Whether it waits for its first request.
    fn is_fresh(self) -> bool {
        self.0 & 1 == 1
    }

    /// How long it has waited at `now`.
    fn length(self, now: Moment) -> Duration {
        // Since the moment after the one that is kept: 0 is [`BUSY`].
        Duration::from_nanos(now.nanos().saturating_sub((self.0 >> 1).saturating_sub(1)))
    }

    /// Whether its own holder's newcomer may have its seat: a connection that was just opened is about to
    /// say something.
    fn yields_to_its_own(self, now: Moment) -> bool {
        !self.is_fresh() || (self.0 >> 1).saturating_add(FRESH) <= now.nanos()
    }
}

/// A seat, until it is dropped.
#[derive(Debug)]
pub struct SeatGuard {
    table: Arc<SeatTable>,
    seat: Arc<Seat>,
}

impl SeatGuard {
    /// Whether this is a place over the limit, to receive a 503.
    pub fn is_over_limit(&self) -> bool {
        matches!(*self.seat.kind(), SeatState::OverLimit(_))
    }

    /// The connection waits from `now` on for a request, `fresh` for its first: its seat may be given to
    /// somebody else until [`Self::resume`].
    pub fn wait(&self, now: Moment, fresh: bool) {
        let waiting = Waiting::since(now, fresh).0;
        // One that was asked to leave stays so.
        let _ =
            self.seat.state.compare_exchange(BUSY, waiting, Ordering::Release, Ordering::Relaxed);
    }

    /// A request has come. `false`: the seat was given away meanwhile, and this is the last one.
    pub fn resume(&self) -> bool {
        let waiting = self.seat.state.load(Ordering::Acquire);
        waiting == BUSY
            || waiting != LEFT
                && self
                    .seat
                    .state
                    .compare_exchange(waiting, BUSY, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok()
    }

    /// Ready when the connection is to leave.
    pub fn poll_left(&self, context: &Context<'_>) -> Poll<()> {
        let mut waker = self.seat.waker();
        if self.seat.state.load(Ordering::Acquire) == LEFT {
            return Poll::Ready(());
        }
        match &mut *waker {
            Some(known) => known.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The connection turned out to be `class`'s: it is counted as such from now on.
    ///
    /// # Errors
    /// There is no seat for it there; it keeps the one that it has.
    pub fn reseat(&self, class: CallerClass, now: Moment) -> Result<(), NoSeat> {
        let mut kind = self.seat.kind();
        if let SeatState::Seated(holder) = &mut *kind {
            *holder = self.table.book().reseat(*holder, class, &self.seat, now)?;
        }
        Ok(())
    }

    /// Releases the seat but keeps the connection to send its 503. `false` if too many already wait for one.
    pub fn admit_over_limit(&self, class: CallerClass) -> bool {
        let mut kind = self.seat.kind();
        let SeatState::Seated(seated) = *kind else { return true };
        let holder = Holder::of(class);
        let mut book = self.table.book();
        let stands = book.admit_over_limit(holder);
        if stands {
            book.leave(seated, &self.seat);
            *kind = SeatState::OverLimit(holder);
        }
        stands
    }
}

impl Drop for SeatGuard {
    fn drop(&mut self) {
        let mut book = self.table.book();
        match *self.seat.kind() {
            SeatState::Seated(holder) => book.leave(holder, &self.seat),
            SeatState::OverLimit(holder) => book.release_over_limit(holder),
        }
    }
}

/// The least default share of a peer.
const LEAST_SHARE: usize = 64;

/// So many handshakes of unknown callers may be under way in any gateway that is twice as large: more than
/// a hundred addresses, so that one of them always has two when a newcomer comes.
const LEAST_HANDSHAKES: usize = 128;

/// How long a connection that was just opened is not closed for another of the same holder, in
/// nanoseconds: its first request, or the next message of its handshake, is on its way.
const FRESH: u64 = 1_000_000_000;
