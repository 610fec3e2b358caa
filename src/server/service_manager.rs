//! What systemd is told (`sd_notify(3)`), where `NOTIFY_SOCKET` says that it wants to know: that the gateway is
//! ready, reloads or stops, how it is in one line, which sockets are to be kept for the next process, and that
//! none of its threads hangs.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::sleep;

use super::reload::lock;
use super::{Listening, Phase, Server};

/// Who started the process and watches over it, if somebody does. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceManager(Option<Arc<Told>>);

#[derive(Debug, Default)]
struct Told {
    /// Not before this process is the gateway: until then its predecessor speaks.
    speaks: AtomicBool,
    status: Mutex<String>,
    /// Addresses of sockets that were passed and that nobody wants.
    unwanted: Mutex<Vec<SocketAddr>>,
    /// Whether it could not be told something; that is said once.
    unheard: AtomicBool,
}

impl ServiceManager {
    /// The one that the environment names.
    pub(crate) fn from_environment() -> Self {
        let named = std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty());
        Self(named.then(Arc::default))
    }

    /// This process is the gateway from now on: what is listened on is kept for the next one, and that it is
    /// ready is told.
    pub(crate) fn begin(&self, server: &Server) {
        let Some(told) = &self.0 else { return };
        told.speaks.store(true, Ordering::Relaxed);
        let listeners = lock(&server.inner.listeners);
        for unwanted in lock(&told.unwanted).drain(..) {
            if listeners.iter().all(|listening| listening.wanted != unwanted) {
                self.forget(unwanted);
            }
        }
        listeners.iter().for_each(|listening| self.keep(listening));
        drop(listeners);
        self.ready(&server.status_line());
    }

    /// Requests are served, after the start or a reload; and how the gateway is.
    fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready]);
        self.status(status);
    }

    /// Another configuration is being looked at.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        }
    }

    /// That is done, whatever came of it.
    pub(super) fn reloaded(&self, status: &str) {
        self.ready(status);
    }

    /// The gateway ends.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
        self.status("finishing what is under way");
    }

    /// How the gateway is; the same is not told again.
    pub(crate) fn status(&self, status: &str) {
        let Some(told) = &self.0 else { return };
        // Another line would be another message.
        let status = status.replace(char::is_control, " ");
        let mut last = lock(&told.status);
        if told.speaks.load(Ordering::Relaxed) && *last != status {
            self.tell(&[NotifyState::Status(&status)]);
            *last = status;
        }
    }

    /// Another process is the gateway now.
    pub(crate) fn hand_over(&self, pid: u32) {
        self.tell(&[NotifyState::MainPid(pid)]);
        if let Some(told) = &self.0 {
            told.speaks.store(false, Ordering::Relaxed);
        }
    }

    /// Keeps what is listened on, so that nobody is refused while the gateway restarts.
    pub(super) fn keep(&self, listening: &Listening) {
        let Some(told) = &self.0 else { return };
        if !told.speaks.load(Ordering::Relaxed) {
            return;
        }
        let name = stored_name(listening.wanted);
        for sockets in listening.sockets.chunks(MOST_AT_ONCE) {
            let descriptors: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            // A socket that listens has nothing to be polled for.
            let states =
                [NotifyState::FdStore, NotifyState::FdName(&name), NotifyState::Custom("FDPOLL=0")];
            self.heard(sd_notify::notify_with_fds(&states, &descriptors));
        }
    }

    /// What is listened on no more is not kept any longer.
    pub(super) fn forget(&self, wanted: SocketAddr) {
        let name = stored_name(wanted);
        self.tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(&name)]);
    }

    /// The same at the start, for a socket that was passed.
    pub(super) fn forget_passed(&self, address: SocketAddr) {
        let Some(told) = &self.0 else { return };
        let mut unwanted = lock(&told.unwanted);
        unwanted.push(address);
        if address.ip() == Ipv4Addr::UNSPECIFIED {
            // What `[::]` comes to on a host without IPv6.
            unwanted.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port())));
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let speaks = self.0.as_ref().is_some_and(|told| told.speaks.load(Ordering::Relaxed));
        if speaks {
            self.heard(sd_notify::notify(states));
        }
    }

    fn heard(&self, outcome: std::io::Result<()>) {
        let (Err(error), Some(told)) = (outcome, &self.0) else { return };
        if !told.unheard.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "systemd could not be told how the gateway is: {error} (NOTIFY_SOCKET); that is not said again"
            );
        }
    }

    /// Tells how the gateway is, as long as it runs, and that all of its threads answer where systemd ends one
    /// that does not say so (`WatchdogSec=`). Never returns.
    pub(crate) async fn keep_informed(&self, server: &Server) {
        if self.0.is_none() {
            return std::future::pending().await;
        }
        tokio::join!(
            async {
                loop {
                    sleep(STATUS_INTERVAL).await;
                    if *server.inner.phase.borrow() == Phase::Serving {
                        self.status(&server.status_line());
                    }
                }
            },
            self.watchdog(server)
        );
    }

    async fn watchdog(&self, server: &Server) {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        // sd_watchdog_enabled(3) recommends half of it; a late timer has room with a third.
        let interval = limit / 3;
        let mut hung = None;
        loop {
            let silent = server.silent(interval).await;
            match &silent {
                None => {
                    self.tell(&[NotifyState::Watchdog]);
                    if let Some(thread) = &hung {
                        tracing::info!("the thread `{thread}` answers again");
                    }
                }
                Some(thread) if hung != silent => {
                    tracing::error!(
                        "the thread `{thread}` does not answer; systemd restarts the gateway if that lasts for {} s \
                         (WatchdogSec=)",
                        limit.as_secs()
                    );
                }
                Some(_) => {}
            }
            hung = silent;
            sleep(interval).await;
        }
    }
}

/// What systemd keeps the sockets of a listener under: no colon may be in it.
fn stored_name(wanted: SocketAddr) -> String {
    format!("listen_{}", wanted.to_string().replace(':', "_"))
}

/// Descriptors of one message. The kernel takes 253.
const MOST_AT_ONCE: usize = 128;

/// How soon systemd knows that something is different.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
