//! `serve`: runs the gateway until a signal ends it.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use annotate_snippets::Renderer;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::args::ServeOptions;
use super::{Exit, complain};
use crate::config::Config;
use crate::diagnostics::source;
use crate::server::{Server, StartError};

/// Runs the command.
pub(super) fn run(options: &ServeOptions) -> Exit {
    start_diagnostics(options.log_json, "info");
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(exit) => return exit,
    };
    let Some(config) = load(&options.config) else {
        return Exit::BadConfiguration;
    };
    let server = match Server::start(config) {
        Ok(server) => server,
        Err(error @ StartError::Loopback(_)) => {
            complain(&error.to_string());
            return Exit::BadConfiguration;
        }
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failed;
        }
    };
    tracing::info!(target: READY, "{}", ready_line(&server));
    signals.govern(server)
}

/// Reads the configuration; prints its problems, and yields it if it has no error.
fn load(path: &Path) -> Option<Config> {
    let renderer = renderer(io::stderr().is_terminal());
    match Config::load(path) {
        Ok((config, warnings)) => {
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
            Some(config)
        }
        Err(problems) => {
            complain(&format!(
                "the configuration is not valid, nothing was started:\n{}",
                problems.render(&renderer)
            ));
            None
        }
    }
}

/// How problems are shown: in colour on a terminal, unless NO_COLOR is set.
pub(super) fn renderer(terminal: bool) -> Renderer {
    if is_coloured(terminal) { Renderer::styled() } else { Renderer::plain() }
}

/// Whether to use colours: on a terminal, unless NO_COLOR is set (no-color.org).
pub(super) fn is_coloured(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Diagnostics go to standard error, where journald picks them up. `RUST_LOG` chooses the level,
/// and `level` where it says nothing.
pub(super) fn start_diagnostics(json: bool, level: &str) {
    // The HTTP/2 layer tells of each misbehaving client, as often as it misbehaves; what is worth
    // telling of it the gateway says itself, and not without end.
    let quiet = || EnvFilter::new(format!("{level},h2=off"));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| quiet());
    let filter = match format!("{READY}=info").parse() {
        Ok(ready) => filter.add_directive(ready),
        Err(_) => filter,
    };
    let diagnostics = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // journald stamps each line itself.
    let under_journald = std::env::var_os("JOURNAL_STREAM").is_some();
    let _already_started = match (json, under_journald) {
        (true, _) => diagnostics.json().try_init(),
        (false, true) => diagnostics.without_time().try_init(),
        (false, false) => diagnostics.try_init(),
    };
}

fn ready_line(server: &Server) -> String {
    let snapshot = server.shared().snapshot();
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    format!(
        "ready: listening on {}; {} {}; upstream {} from {}",
        addresses.join(", "),
        snapshot.peers.len(),
        if snapshot.peers.len() == 1 { "peer" } else { "peers" },
        snapshot.config.upstream.url_text,
        source(&snapshot)
    )
}

/// nginx's signals: USR1 opens the logs anew, QUIT and TERM drain, a second TERM ends at once.
///
/// They are listened for before anything is started, so that one which comes early is obeyed and
/// does not do what signals do by default.
pub(super) struct Signals {
    runtime: Runtime,
    reopen: Signal,
    reload: Signal,
    ends: Ends,
}

impl Signals {
    /// Begins to listen.
    pub(super) fn listen() -> Result<Self, Exit> {
        let listen = || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let entered = runtime.enter();
            let reopen = signal(SignalKind::user_defined1())?;
            let reload = signal(SignalKind::hangup())?;
            let ends = Ends::new()?;
            drop(entered);
            Ok(Self { runtime, reopen, reload, ends })
        };
        listen().map_err(|error: io::Error| {
            complain(&format!("cannot listen for signals: {error}"));
            Exit::Failed
        })
    }

    /// Lets a gateway run until a signal ends it.
    pub(super) fn govern(self, server: Server) -> Exit {
        let Self { runtime, mut reopen, mut reload, mut ends } = self;
        runtime.block_on(obey(server, &mut reopen, &mut reload, &mut ends));
        Exit::Well
    }
}

async fn obey(mut server: Server, reopen: &mut Signal, reload: &mut Signal, ends: &mut Ends) {
    loop {
        tokio::select! {
            _ = reopen.recv() => server.reopen_logs(),
            _ = reload.recv() => tracing::warn!(
                "HUP: this version does not reload its configuration; restart it instead. Nothing changed"
            ),
            name = ends.recv() => {
                tracing::info!("{name}: finishing what is under way, for {} s at the most", GRACE.as_secs());
                break;
            }
        }
    }
    server.drain(GRACE);
    while !server.has_ended() {
        tokio::select! {
            name = ends.recv() => {
                tracing::info!("{name} again: ending at once");
                return server.stop_now();
            }
            _ = reopen.recv() => server.reopen_logs(),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
    server.stop(GRACE);
    tracing::info!("ended");
}

/// The signals that end the gateway.
struct Ends {
    term: Signal,
    quit: Signal,
    int: Signal,
}

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "TERM",
            _ = self.quit.recv() => "QUIT",
            _ = self.int.recv() => "INT",
        }
    }
}

/// The diagnostic that is printed whatever the level: scripts wait for it.
const READY: &str = "phonebook_gateway::ready";

/// How long requests under way may take to finish.
const GRACE: Duration = Duration::from_secs(5);
