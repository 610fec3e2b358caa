//! What keeps timers cheap while requests come.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;

/// A timer that is due sooner than those of requests, as long as there are requests.
///
/// tokio's time driver is woken by a write to an eventfd whenever a timer is set that is due before
/// all others, also when it is set by the thread that would be woken. A request's deadline often is
/// the earliest, so most requests cost that system call and another turn of the event loop. Behind
/// an earlier timer they do not.
#[derive(Debug, Default)]
pub struct TimerKeepAlive {
    running: Cell<bool>,
    wanted: Cell<bool>,
    begin: Notify,
}

impl TimerKeepAlive {
    /// A request has come.
    pub fn request(&self) {
        self.wanted.set(true);
        if !self.running.get() {
            self.begin.notify_one();
        }
    }

    /// Beats as long as it is wanted, then waits until it is wanted again; never returns. After each beat
    /// it does what is done `between` requests.
    pub async fn run(&self, between: impl Fn()) {
        loop {
            self.begin.notified().await;
            self.running.set(true);
            while self.wanted.take() {
                tokio::time::sleep(INTERVAL).await;
                between();
            }
            self.running.set(false);
        }
    }
}

/// Below the time that XiVO may take by default, which is the shortest that each request waits for.
const INTERVAL: Duration = Duration::from_millis(200);
