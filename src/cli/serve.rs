//! `serve`: runs the gateway until a signal ends it.

mod upgrade;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use annotate_snippets::Renderer;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use super::config_file::ConfigFile;
use super::process::{Process, READY};
use crate::admin::Admin;
use crate::config::Config;
use crate::control::documents::Done;
use crate::control::{Control, Order, Ordered};
use crate::gateway::explain::source;
use crate::net::inherited::Inherited;
use crate::server::{Server, ServiceManager, StartError, Surroundings};
use crate::supervision::{Failed, ends_for_test};
use crate::text::figures::plural;
use upgrade::{Predecessor, Program, Upgrade, UpgradeFault};

/// run the gateway
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Runs the gateway until a signal ends it.",
    after_help = "Signals: TERM, QUIT and INT finish what is under way, for limits.drain_timeout at the most; a \
                  second one ends at once. HUP takes a changed configuration over, USR1 opens the access logs again, \
                  USR2 lets another process of the program take over, of a new version say.\n\n\
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
    // It changes the environment: no thread may read that meanwhile.
    let (passed, useless) = Inherited::from_service_manager();
    let process = match Process::begin(options.log_format == LogForm::Json, "info") {
        Ok(process) => process,
        Err(exit) => return exit,
    };
    for why in useless {
        tracing::warn!(
            "a descriptor that was passed to the gateway (LISTEN_FDS) is not used: {why}"
        );
    }
    let exit = serve(&process, config, passed);
    process.end(exit)
}

fn serve(process: &Process, config: &ConfigFile, passed: Inherited) -> Exit {
    let signals = match Signals::listen(process) {
        Ok(signals) => signals,
        Err(exit) => return exit,
    };
    let program = Program::of_this_process();
    let (predecessor, mut inherited) = match Predecessor::find() {
        Ok(None) => (None, passed),
        Ok(Some((predecessor, inherited))) => (Some(predecessor), inherited),
        Err(error) => {
            process.print_error(&format!("the sockets of the gateway to be replaced: {error}"));
            return Exit::Failed;
        }
    };
    let Some(config) = load(process, config.path()) else {
        return Exit::BadConfiguration;
    };
    let (control, admin) = (inherited.control.take(), inherited.admin.take());
    let manager = ServiceManager::from_environment();
    let surroundings =
        Surroundings { manager: manager.clone(), inherited, ..process.surroundings() };
    let server = match Server::start_within(config, surroundings) {
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
    let control = match Control::start(&server, process.level.clone(), control) {
        Ok(control) => control,
        Err(error) => {
            process.print_error(&format!("cannot start the thread `control`: {error}"));
            server.stop_now();
            return Exit::Failed;
        }
    };
    let admin = match Admin::start(&server, process.lost_diagnostics(), admin) {
        Ok(admin) => admin,
        Err(error) => {
            process.print_error(&format!("cannot start the thread `admin`: {error}"));
            control.end();
            server.stop_now();
            return Exit::Failed;
        }
    };
    if let Some(predecessor) = predecessor {
        predecessor.replace();
    }
    manager.begin(&server);
    tracing::info!(target: READY, "{}", ready_line(&server));
    tell_policies(&server);
    let service = Service { manager, program: program.ok(), control: Some(control), admin };
    signals.run_until_signalled(process, server, service)
}

/// Whom the gateway knows, for `RUST_LOG=debug`.
fn tell_policies(server: &Server) {
    for policy in &server.shared().snapshot().config.policies {
        tracing::debug!(
            "peer `{}`: {}, {} [{}]",
            policy.name,
            plural(policy.hosts.len() as u64, "host", "hosts"),
            policy.rate.value,
            policy.location
        );
    }
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
            for policy in
                config.policies.iter().filter(|policy| config.is_refused_by_mistake(policy))
            {
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
    upgrade: Signal,
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
            let upgrade = signal(SignalKind::user_defined2())?;
            let ends = Ends::new()?;
            drop(entered);
            Ok(Self { runtime, reopen, reload, upgrade, ends })
        };
        listen().map_err(|error: io::Error| {
            process.print_error(&format!("cannot listen for signals: {error}"));
            Exit::Failed
        })
    }

    /// Lets a gateway run until a signal ends it, or a part of it fails.
    pub(super) fn run_until_signalled(
        self,
        process: &Process,
        server: Server,
        mut service: Service,
    ) -> Exit {
        let Self { runtime, reopen, reload, upgrade, ends } = self;
        let told = Told { reopen, reload, upgrade, ends };
        let exit = runtime.block_on(handle_signals(process, server, told, &mut service));
        if let Some(control) = service.control {
            control.end();
        }
        if let Some(admin) = service.admin {
            admin.end();
        }
        exit
    }
}

/// What a gateway has to do with besides signals.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// Told how the gateway is.
    manager: ServiceManager,
    /// What another process is started as, where that is known.
    program: Option<Program>,
    /// May tell the same as signals do.
    control: Option<Control>,
    /// Tells how it is.
    admin: Option<Admin>,
}

impl Service {
    /// Another process takes the place of this one, and has said that it serves.
    fn hand_over(&mut self, upgrade: Upgrade) {
        self.manager.hand_over(upgrade.pid());
        upgrade.go();
        if let Some(control) = self.control.take() {
            control.hand_over();
        }
        if let Some(admin) = self.admin.take() {
            admin.hand_over();
        }
    }

    /// Starts another process for that.
    fn upgrade(&self, server: &Server) -> Option<Upgrade> {
        let Some(program) = &self.program else {
            tracing::error!("USR2: it is not known which program this is. This process goes on");
            return None;
        };
        match Upgrade::begin(program, server, (self.control.as_ref(), self.admin.as_ref())) {
            Ok(upgrade) => {
                tracing::info!("USR2: process {} is to take the place of this one", upgrade.pid());
                Some(upgrade)
            }
            Err(error) => {
                tracing::error!("USR2: {error}. This process goes on");
                None
            }
        }
    }
}

/// What tells a gateway what to do.
struct Told {
    reopen: Signal,
    reload: Signal,
    upgrade: Signal,
    ends: Ends,
}

async fn handle_signals(
    process: &Process,
    server: Server,
    Told { mut reopen, mut reload, upgrade: mut upgrades, mut ends }: Told,
    service: &mut Service,
) -> Exit {
    ends_for_test(|| "main".to_owned());
    let manager = service.manager.clone();
    let view = server.clone();
    let mut informed = pin!(manager.keep_informed(&view));
    let mut upgrade = None;
    let grace = loop {
        tokio::select! {
            failed = process.supervisor.failed() => return give_up(process, server, &failed),
            () = &mut informed => {}
            _ = upgrades.recv() => match &upgrade {
                None => {
                    // What it is told from now on the other process does not know.
                    server.set_handing_over(true);
                    upgrade = service.upgrade(&server);
                    server.set_handing_over(upgrade.is_some());
                }
                Some(_) => tracing::warn!("USR2: another process is being started already"),
            },
            outcome = ready(&mut upgrade) => match (outcome, upgrade.take()) {
                (Ok(()), Some(upgrade)) => {
                    let grace = server.shared().snapshot().config.limits.drain_timeout;
                    tracing::info!(
                        "USR2: process {} serves now; finishing what is under way, for {grace:?} at the most",
                        upgrade.pid()
                    );
                    service.hand_over(upgrade);
                    break grace;
                }
                (Err(error), _) => {
                    server.set_handing_over(false);
                    tracing::error!("USR2: {error}. This process goes on");
                }
                (Ok(()), None) => {}
            },
            _ = reopen.recv() => server.reopen_logs(),
            _ = reload.recv() => server.request_reload("HUP"),
            name = ends.recv() => {
                let grace = server.shared().snapshot().config.limits.drain_timeout;
                tracing::info!("{name}: finishing what is under way, for {grace:?} at the most");
                break grace;
            }
            ordered = next_order(&mut service.control) => match carry_out(ordered, &server) {
                Next::Serve => {}
                Next::Drain => break server.shared().snapshot().config.limits.drain_timeout,
                Next::Stop => {
                    server.stop_now();
                    return Exit::Ok;
                }
            },
        }
    };
    drop(upgrade);
    manager.stopping();
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
            ordered = next_order(&mut service.control) => {
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

/// What comes of the process that is to take the place of this one; never, where there is none.
async fn ready(upgrade: &mut Option<Upgrade>) -> Result<(), UpgradeFault> {
    match upgrade {
        Some(upgrade) => upgrade.ready().await,
        None => std::future::pending().await,
    }
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
                "no further connections are taken; the gateway ends when those that are open have ended, or after \
                 limits.drain_timeout",
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
