//! Says when requests are due that are sent at a fixed rate, by a timer in the generator's epoll.

use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// The data of the timer's events.
pub(crate) const TIMER: u64 = u64::MAX;

/// When requests are due, at a fixed rate.
pub(crate) struct Clock {
    timer: OwnedFd,
    period: Duration,
    start: Instant,
    expired: u64,
    taken: u64,
}

impl Clock {
    /// A clock that begins now and wakes `epoll` with [`TIMER`].
    pub(crate) fn start(rate: u32, epoll: &OwnedFd) -> Result<Self, String> {
        let fail = |error| format!("starting the timer: {error}");
        let period = Duration::from_secs(1) / rate;
        let spec = Timespec { tv_sec: 0, tv_nsec: i64::from(period.subsec_nanos()) };
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(fail)?;
        epoll::add(epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN).map_err(fail)?;
        let spec = Itimerspec { it_interval: spec, it_value: spec };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec).map_err(fail)?;
        Ok(Self { timer, period, start: Instant::now(), expired: 0, taken: 0 })
    }

    /// Counts what has fallen due.
    pub(crate) fn tick(&mut self) -> Result<(), String> {
        let mut count = [0; 8];
        match rustix::io::read(&self.timer, &mut count) {
            Ok(_) => self.expired += u64::from_ne_bytes(count),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("reading the timer: {error}")),
        }
        Ok(())
    }

    /// When the oldest request that is due and not begun was due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let next = Duration::from_nanos(self.period.as_nanos() as u64 * (self.taken + 1));
        (self.taken < self.expired).then(|| self.start + next)
    }

    /// Says that the request that [`Clock::due`] told of is begun.
    pub(crate) fn take(&mut self) {
        self.taken += 1;
    }
}
