//! The admin listener: how the running gateway is, for Prometheus, for health checks and for people.
//!
//! # Guarantees
//! * It has a thread of its own: no worker ever waits for it, and what it tells is counted by the workers anyhow.
//! * It only tells. Nothing can be changed here, and GET and HEAD are all that is answered.
//! * Beyond this host nobody is told anything without the token; over TCP a request has to name an address,
//!   `localhost` or a name of `[admin] server_names`, so that no page of another site reads it by a name of its own
//!   (`guard.rs`).
//! * A client that stalls, floods or sends garbage holds one of a few places, and only until another one needs it
//!   (`connection.rs`). However many ask, the figures are gathered for a twentieth of the time (`pace.rs`).
//! * A live gateway's socket is never taken away, a dead one is replaced. A gateway whose listener cannot be made
//!   serves without it, and says so.
//!
//! Imports `access_log`, `config`, `control`, `diagnostics`, `files`, `http1`, `identity`, `limits`, `net`, `page`, `policy`,
//! `refusal`, `server`, `supervision`, `text`, `tls`, `worker`. Begin with [`Admin`], then `router.rs`.

mod connection;
mod guard;
mod listener;
mod metrics;
mod pace;
mod ready;
mod ring;
mod router;
mod status;
mod status_page;
mod stream;
mod stub_status;
mod tls;

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

use crate::diagnostics::LostDiagnostics;
use crate::net::handover::{HandoverError, HandoverSocket};
use crate::server::Server;
use crate::supervision::{Ending, has_ended_by, keep_pulse};

pub use status::source::StatusSource;
pub use status_page::{page_of_document, page_policy};

use listener::AdminListener;
use router::Site;

/// The admin listener of a gateway that runs, until it is dropped or ended.
#[derive(Debug)]
pub(crate) struct Admin {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    listener: Arc<AdminListener>,
}

impl Admin {
    /// Listens where the server's configuration says; on `inherited`, where the gateway that this one replaces has
    /// left it. `None` where there is to be no listener, or where none can be made, which is said.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(crate) fn start(
        server: &Server,
        lost: LostDiagnostics,
        inherited: Option<(OwnedFd, String)>,
    ) -> io::Result<Option<Self>> {
        let config = Arc::clone(&server.shared().snapshot().config);
        let Some(listener) = listener::open(&config.admin, inherited).map(Arc::new) else {
            return Ok(None);
        };
        tracing::info!("the admin listener is at {listener}");
        let stop = Arc::new(Notify::new());
        let (view, accepting, stopped) = (server.clone(), Arc::clone(&listener), Arc::clone(&stop));
        let body = move || run(&accepting, (view, lost), &stopped);
        let thread = server.supervisor().spawn(THREAD, body)?;
        Ok(Some(Self { stop, thread: Some(thread), listener }))
    }

    /// Gives the socket to the process that is to replace this one; both accept on it until this one ends.
    ///
    /// # Errors
    /// [`HandoverError`]
    pub(crate) fn offer(&self, to: &HandoverSocket) -> Result<(), HandoverError> {
        self.listener.offer(to)
    }

    /// The same as [`Self::end`] when another process has the socket: its file stays.
    pub(crate) fn hand_over(self) {
        self.listener.disown();
        self.end();
    }

    /// Lets the last answers go out, and removes the socket.
    pub(crate) fn end(mut self) {
        self.stop.notify_one();
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + END_TIMEOUT;
        if !has_ended_by(&thread, deadline) {
            return tracing::error!(
                "the thread `{THREAD}` does not end; its socket is left behind"
            );
        }
        // A panic has been told of where it happened.
        let _ = thread.join();
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// The thread's life.
fn run(
    listener: &AdminListener,
    (server, lost): (Server, LostDiagnostics),
    stop: &Notify,
) -> Ending {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Ending::Unexpected(error.to_string()),
    };
    let site = Rc::new(Site::new(server, lost));
    runtime.block_on(async {
        let accepting = match listener.accepting() {
            Ok(accepting) => accepting,
            Err(error) => return Ending::Unexpected(error.to_string()),
        };
        tokio::select! {
            () = connection::serve(accepting, Rc::clone(&site), stop) => Ending::Expected,
            () = site.keep_history() => Ending::Unexpected("it no longer keeps what its charts show".to_owned()),
            () = keep_pulse() => Ending::Unexpected("it no longer keeps time".to_owned()),
        }
    })
}

/// The thread's name.
const THREAD: &str = "admin";

/// How long the thread may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);
