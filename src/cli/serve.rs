//! `serve`: runs the gateway until a signal ends it.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use annotate_snippets::Renderer;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use super::config_file::ConfigFile;
use super::process::{Process, READY};
use crate::config::Config;
use crate::control::documents::Done;
use crate::control::{Control, Order, Ordered};
use crate::gateway::explain::source;
use crate::policy::Policy;
use crate::server::{Server, StartError};
use crate::supervision::{Failed, ends_for_test};

/// run the gateway
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Runs the gateway until a signal ends it.",
    after_help = "Signals: TERM, QUIT and INT finish what is under way, within 5 seconds; a second one ends at once. \
                  USR1 opens the access logs again.\n\n\
                  Environment: RUST_LOG sets how much is told: error, warn, info or debug.\n\n\
                  Exit codes: 0 ended by a signal, 2 the command line is wrong, 3 failed at run time (an address is \
                  taken, say), 78 the configuration is not valid, or not safe on this host."
)]
pub(super) struct Options {
    /// how diagnostics are written to standard error
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogForm::Text)]
    log_format: LogForm,
}

/// The form of diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogForm {
    Text,
    Json,
}

/// Runs the command.
pub(super) fn run(options: &Options, config: &ConfigFile) -> Exit {
    let process = match Process::begin(options.log_format == LogForm::Json, "info") {
        Ok(process) => process,
        Err(exit) => return exit,
    };
    let exit = serve(&process, config);
    process.end(exit)
}

fn serve(process: &Process, config: &ConfigFile) -> Exit {
    let signals = match Signals::listen(process) {
        Ok(signals) => signals,
        Err(exit) => return exit,
    };
    let Some(config) = load(process, config.path()) else {
        return Exit::BadConfiguration;
    };
    let server = match Server::start_under(config, process.supervisor.clone()) {
        Ok(server) => server,
        Err(error @ StartError::Loopback(_)) => {
            process.print_error(&error.to_string());
            return Exit::BadConfiguration;
        }
        Err(error) => {
            process.print_error(&error.to_string());
            return Exit::Failed;
        }
    };
    let control = match Control::start(&server, process.level.clone()) {
        Ok(control) => control,
        Err(error) => {
            process.print_error(&format!("cannot start the thread `control`: {error}"));
            server.stop_now();
            return Exit::Failed;
        }
    };
    tracing::info!(target: READY, "{}", ready_line(&server));
    signals.run_until_signalled(process, server, Some(control))
}

/// Reads the configuration; tells its problems, and yields it if it has no error.
fn load(process: &Process, path: &Path) -> Option<Config> {
    let renderer = renderer(io::stderr().is_terminal());
    match Config::load_for_start(path) {
        Ok((config, warnings)) => {
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
            for broken in &config.broken {
                tracing::error!("{broken}");
            }
            for policy in config.policies.iter().filter(|policy| denied(&config, policy)) {
                tracing::error!(
                    "{}: the peer `{}` is refused until its policy is corrected and reloaded; hosts that could \
                     not be read are judged by the other policies ([reload] strict_boot = false)",
                    policy.location,
                    policy.name
                );
            }
            Some(config)
        }
        Err(problems) => {
            process.print_error(&format!(
                "the configuration is not valid, nothing was started:\n{}",
                problems.render(&renderer)
            ));
            None
        }
    }
}

/// Whether a mistake in a policy refuses its peer.
fn denied(config: &Config, policy: &Policy) -> bool {
    config.broken.iter().any(|problem| problem.file() == policy.location.file())
}

/// How problems are shown: in colour on a terminal, unless NO_COLOR is set.
pub(super) fn renderer(terminal: bool) -> Renderer {
    if is_coloured(terminal) { Renderer::styled() } else { Renderer::plain() }
}

/// Whether to use colours: on a terminal, unless NO_COLOR is set (no-color.org).
pub(super) fn is_coloured(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
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
/// They are listened for before anything is started, so that one which comes early is handled and
/// does not do what signals do by default.
pub(super) struct Signals {
    runtime: Runtime,
    reopen: Signal,
    reload: Signal,
    ends: Ends,
}

impl Signals {
    /// Begins to listen.
    pub(super) fn listen(process: &Process) -> Result<Self, Exit> {
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
            process.print_error(&format!("cannot listen for signals: {error}"));
            Exit::Failed
        })
    }

    /// Lets a gateway run until a signal ends it, or a part of it fails.
    ///
    /// `control` may tell the same as signals do.
    pub(super) fn run_until_signalled(
        self,
        process: &Process,
        server: Server,
        mut control: Option<Control>,
    ) -> Exit {
        let Self { runtime, reopen, reload, ends } = self;
        let told = Told { reopen, reload, ends };
        let exit = runtime.block_on(handle_signals(process, server, told, &mut control));
        if let Some(control) = control {
            control.end();
        }
        exit
    }
}

/// What tells a gateway what to do.
struct Told {
    reopen: Signal,
    reload: Signal,
    ends: Ends,
}

async fn handle_signals(
    process: &Process,
    server: Server,
    Told { mut reopen, mut reload, mut ends }: Told,
    control: &mut Option<Control>,
) -> Exit {
    ends_for_test(|| "main".to_owned());
    let grace = loop {
        tokio::select! {
            failed = process.supervisor.failed() => return give_up(process, server, &failed),
            _ = reopen.recv() => server.reopen_logs(),
            _ = reload.recv() => server.request_reload("HUP"),
            name = ends.recv() => {
                let grace = server.shared().snapshot().config.limits.drain_timeout;
                tracing::info!("{name}: finishing what is under way, for {grace:?} at the most");
                break grace;
            }
            ordered = next_order(control) => match carry_out(ordered, &server) {
                Next::Serve => {}
                Next::Drain => break server.shared().snapshot().config.limits.drain_timeout,
                Next::Stop => {
                    server.stop_now();
                    return Exit::Ok;
                }
            },
        }
    };
    server.drain(grace);
    while !server.has_ended() {
        tokio::select! {
            failed = process.supervisor.failed() => return give_up(process, server, &failed),
            name = ends.recv() => {
                tracing::info!("{name} again: ending at once");
                server.stop_now();
                return Exit::Ok;
            }
            _ = reopen.recv() => server.reopen_logs(),
            ordered = next_order(control) => {
                if let Next::Stop = carry_out(ordered, &server) {
                    server.stop_now();
                    return Exit::Ok;
                }
            }
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
    server.stop(grace);
    tracing::info!("ended");
    Exit::Ok
}

/// The next order by the control socket; never, where there is none.
async fn next_order(control: &mut Option<Control>) -> Ordered {
    match control {
        Some(control) => control.order().await,
        None => std::future::pending().await,
    }
}

/// What comes after an order.
enum Next {
    Serve,
    Drain,
    Stop,
}

/// Does what was ordered, as far as it does not end the gateway, and says so.
fn carry_out(ordered: Ordered, server: &Server) -> Next {
    let (order, by) = (ordered.order.clone(), ordered.by.clone());
    let (done, next) = match order {
        Order::Reopen => {
            server.reopen_logs();
            tracing::info!("opening the access logs again, as {by} wants");
            (
                "the access logs are being opened again; one that cannot be is told of in the diagnostics",
                Next::Serve,
            )
        }
        Order::Drain => {
            let grace = server.shared().snapshot().config.limits.drain_timeout;
            tracing::info!("finishing what is under way, for {grace:?} at the most, as {by} wants");
            (
                "no further connections are taken; the gateway ends when those that are open have ended",
                Next::Drain,
            )
        }
        Order::Stop => {
            tracing::info!("ending at once, as {by} wants");
            ("the gateway ends now", Next::Stop)
        }
    };
    ordered.answer(Ok(Done { done: done.to_owned(), warning: None }));
    next
}

/// Ends what is left of a gateway; what it has answered is still written to its logs.
fn give_up(process: &Process, server: Server, failed: &Failed) -> Exit {
    process.give_up(failed);
    server.stop_now();
    Exit::Failed
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
