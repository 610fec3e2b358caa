//! The control socket: a gateway that runs is asked how it is, and told what to do, by whoever may open it.
//!
//! # Guarantees
//! * It is a unix socket for the gateway's user and group, in a directory that others cannot enter: whoever
//!   may open it may use it. The kernel's word for the user is noted where it has one, and the name that
//!   `ctl` sends only as claimed.
//! * A live gateway's socket is never taken away, a dead one is replaced, and at the end only the own one
//!   is removed. A gateway whose socket cannot be made serves without it, and says so.
//! * It has a thread of its own: no worker ever waits for it. A client that stalls, floods or sends garbage
//!   holds one of a few places, and only until another one needs it (`connection.rs`).
//! * A request is one bounded line of JSON with a version, and names no file (`protocol.rs`).
//!
//! Imports `config`, `diagnostics`, `gateway`, `identity`, `limits`, `location`, `net`, `policy`, `refusal`,
//! `server`, `supervision`, `tls`, `upstream`, `worker`, `x509`. Begin with [`Control`], then `commands.rs`.

mod commands;
mod connection;
mod credentials;
pub(crate) mod documents;
pub(crate) mod protocol;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::config::Config;
use crate::diagnostics::LevelSwitch;
use crate::net::handover::{HandoverError, HandoverSocket, Message};
use crate::net::unix_socket::UnixSocket;
use crate::server::{DisabledFile, Server};
use crate::supervision::{Ending, has_ended_by, keep_pulse};

pub(crate) use commands::{Order, Ordered, View};

use commands::Commands;

/// The control socket of a gateway that runs, until it is dropped or ended.
#[derive(Debug)]
pub(crate) struct Control {
    orders: mpsc::Receiver<Ordered>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    socket: Option<Arc<UnixSocket>>,
}

impl Control {
    /// Listens on the socket of the server's configuration; on `inherited`, where the gateway that this one
    /// replaces has left it. Without one, or where it cannot be made,
    /// nobody can ask; what ends by itself ends all the same.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(crate) fn start(
        server: &Server,
        level: LevelSwitch,
        inherited: Option<(std::os::unix::net::UnixListener, String)>,
    ) -> io::Result<Self> {
        let view = server.clone();
        let config = Arc::clone(&view.shared().snapshot().config);
        let socket = open(&config, inherited).map(Arc::new);
        let accepting = socket.clone();
        let (orders, received) = mpsc::channel(ORDERS);
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let file = DisabledFile::in_directory(&config.state_directory);
        let body = move || run(accepting, (view, level, orders, file), &stopped);
        let thread = server.supervisor().spawn(THREAD, body)?;
        Ok(Self { orders: received, stop, thread: Some(thread), socket })
    }

    /// The next order for the gateway's owner; never, where none can come any longer.
    pub(crate) async fn order(&mut self) -> Ordered {
        match self.orders.recv().await {
            Some(ordered) => ordered,
            // The thread has ended, which its supervisor has said.
            None => std::future::pending().await,
        }
    }

    /// Gives the socket to the process that is to replace this one; both accept on it until this one ends.
    ///
    /// # Errors
    /// [`HandoverError`]
    pub(crate) fn offer(&self, to: &HandoverSocket) -> Result<(), HandoverError> {
        self.socket.as_ref().map_or(Ok(()), |socket| socket.offer(to, Message::Control))
    }

    /// The same as [`Self::end`] when another process has the socket: its file stays.
    pub(crate) fn hand_over(self) {
        if let Some(socket) = &self.socket {
            socket.disown();
        }
        self.end();
    }

    /// Lets the last answers go out, and removes the socket.
    pub(crate) fn end(mut self) {
        self.orders.close();
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

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// The socket of the configuration; says why there is none where one is wanted.
fn open(
    config: &Config,
    inherited: Option<(std::os::unix::net::UnixListener, String)>,
) -> Option<UnixSocket> {
    let inherited = inherited.map(|(listener, path)| UnixSocket::inherit(listener, path.into()));
    let path = config.control_socket.value.as_deref()?;
    let inherited = inherited.filter(|socket| {
        let fits = socket.is_at(path);
        if !fits {
            // The other gateway serves on, should this one not come to it.
            socket.disown();
        }
        fits
    });
    match inherited.map_or_else(|| UnixSocket::bind(path), Ok) {
        Ok(socket) => Some(socket),
        Err(error) => {
            let written = if config.control_socket.written {
                format!("[{}]", config.control_socket.location)
            } else {
                "(the default; `[control] socket = \"\"` is none)".to_owned()
            };
            tracing::warn!(
                "no control socket at {} {written}: {error}. The gateway serves without it, and \
                 `phonebook-gateway ctl` cannot ask it",
                path.display()
            );
            None
        }
    }
}

type Parts = (Server, LevelSwitch, mpsc::Sender<Ordered>, DisabledFile);

/// The thread's life.
fn run(
    socket: Option<Arc<UnixSocket>>,
    (server, level, orders, file): Parts,
    stop: &Notify,
) -> Ending {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Ending::Unexpected(error.to_string()),
    };
    let commands = Rc::new(Commands {
        server,
        level,
        orders,
        file,
        level_until: Cell::new(None),
        changed: Notify::new(),
        next_census: Cell::new(None),
    });
    runtime.block_on(async {
        let listener = match &socket {
            Some(socket) => match socket.listener().and_then(UnixListener::from_std) {
                Ok(listener) => Some(listener),
                Err(error) => return Ending::Unexpected(error.to_string()),
            },
            None => None,
        };
        let ending = Rc::clone(&commands);
        let serve = async {
            match listener {
                Some(listener) => connection::serve(listener, commands, stop).await,
                None => stop.notified().await,
            }
        };
        tokio::select! {
            () = serve => Ending::Expected,
            () = keep_pulse() => Ending::Unexpected("it no longer keeps time".to_owned()),
            () = keep_time(&ending) => Ending::Unexpected("it no longer keeps time".to_owned()),
        }
    })
}

/// Ends what is to end by itself; never returns.
async fn keep_time(commands: &Commands) {
    loop {
        let wait = commands.expire();
        tokio::select! {
            () = sleep(wait) => {}
            () = commands.changed.notified() => {}
        }
    }
}

/// The thread's name.
const THREAD: &str = "control";

/// Orders that may wait for the gateway's owner.
const ORDERS: usize = 16;

/// How long the thread may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);
