//! `demo`: a sample XiVO and the gateway in front of it, on this machine alone and without a file.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::config_file::ConfigFile;
use super::process::Process;
use super::usage::Misuse;
use super::{Exit, address, print, serve};
use crate::config::{Config, Problems};
use crate::demo::sample_xivo::SampleXivo;
use crate::lookup::PATH;
use crate::net::listen::ListenError;
use crate::server::{Server, StartError};
use crate::supervision::{Ending, Supervisor};

/// try it out against a sample XiVO; needs no configuration
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Starts a sample XiVO with a small phonebook and a gateway in front of it, both on this machine \
                   alone, prints requests to try, and shows the access log as it grows. Needs no file and leaves none. \
                   Ctrl-C ends it.",
    after_help = "Exit codes: 0 ended by a signal, 2 the command line is wrong, 3 failed at run time."
)]
pub(super) struct Options {
    /// where the gateway listens: a loopback address; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", value_parser = loopback, default_value_t = ADDRESS)]
    listen: SocketAddr,
    /// without colours
    #[arg(long)]
    plain: bool,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = address::socket(text)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "the demo serves this machine alone, and {address} is no loopback address; give one such as 127.0.0.1:9481"
    ))
}

/// Runs the command.
pub(super) fn run(options: &Options, config: &ConfigFile) -> Exit {
    if config.given().is_some() {
        return Misuse::new("demo", "`demo` brings its own configuration: leave `-c` out").report();
    }
    // What is refused shows in the access log already.
    let process = match Process::begin(false, "warn") {
        Ok(process) => process,
        Err(exit) => return exit,
    };
    let exit = demonstrate(&process, options);
    process.end(exit)
}

fn demonstrate(process: &Process, options: &Options) -> Exit {
    let signals = match serve::Signals::listen(process) {
        Ok(signals) => signals,
        Err(exit) => return exit,
    };
    let xivo = match Xivo::start(&process.supervisor) {
        Ok(xivo) => xivo,
        Err(error) => {
            process.print_error(&format!("cannot start the sample XiVO: {error}"));
            return Exit::Failed;
        }
    };
    let (server, taken) = match start(process, options.listen, xivo.address) {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    let listening = server.addresses().first().copied().unwrap_or(options.listen);
    let coloured = !options.plain && serve::is_coloured(io::stdout().is_terminal());
    let instead = taken.map(|taken| instead(taken, listening)).unwrap_or_default();
    let exit = match greet(instead + &greeting(listening, xivo.address, coloured)) {
        Exit::Ok => signals.run_until_signalled(process, server, serve::Service::default()),
        failed @ (Exit::Findings | Exit::Usage | Exit::Failed | Exit::BadConfiguration) => failed,
    };
    // Nobody waits for it: it has nothing that could be lost.
    let _ = xivo.end.send(());
    exit
}

/// Starts the gateway: on `listen`, or where another program listens there, on a port that the kernel chooses. Yields
/// the address that was taken, too.
fn start(
    process: &Process,
    listen: SocketAddr,
    xivo: SocketAddr,
) -> Result<(Server, Option<SocketAddr>), Exit> {
    match start_on(process, listen, xivo)? {
        Ok(server) => Ok((server, None)),
        Err(StartError::Listen(ListenError::InUse { .. } | ListenError::Locked { .. })) => {
            match start_on(process, SocketAddr::new(listen.ip(), 0), xivo)? {
                Ok(server) => Ok((server, Some(listen))),
                Err(error) => fail(process, &error.to_string()),
            }
        }
        Err(error) => fail(process, &error.to_string()),
    }
}

fn start_on(
    process: &Process,
    listen: SocketAddr,
    xivo: SocketAddr,
) -> Result<Result<Server, StartError>, Exit> {
    match configuration(listen, xivo) {
        Ok(config) => Ok(Server::start_within(config, process.surroundings())),
        Err(problems) => {
            fail(process, &format!("the demo's own configuration is not valid:\n{problems}"))
        }
    }
}

fn fail<T>(process: &Process, why: &str) -> Result<T, Exit> {
    process.print_error(why);
    Err(Exit::Failed)
}

/// That the demo is not where it was to be.
fn instead(taken: SocketAddr, listening: SocketAddr) -> String {
    format!(
        "Another program is listening on {taken} (`ss -ltnp` names it): the demo took {listening}.\n\n"
    )
}

/// Prints the greeting. A terminal that takes nothing is waited for no longer than signals may wait.
fn greet(text: String) -> Exit {
    let (done, greeted) = sync_channel(1);
    let greet = move || {
        // Who waited has lost patience.
        let _ = done.send(print(&text));
    };
    if let Err(error) = thread::Builder::new().name("greeting".to_owned()).spawn(greet) {
        tracing::error!("cannot start the thread that prints the greeting: {error}");
        return Exit::Failed;
    }
    match greeted.recv_timeout(PATIENCE) {
        Ok(exit) => exit,
        Err(RecvTimeoutError::Timeout) => Exit::Ok,
        Err(RecvTimeoutError::Disconnected) => Exit::Failed,
    }
}

/// The sample XiVO in a thread of its own.
struct Xivo {
    address: SocketAddr,
    /// Sent or dropped to end it.
    end: oneshot::Sender<()>,
}

impl Xivo {
    fn start(supervisor: &Supervisor) -> io::Result<Self> {
        let xivo = SampleXivo::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = xivo.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel::<()>();
        let serve = move || {
            let run = xivo.run(async {
                // That nobody is left to end it ends it too.
                let _ = ended.await;
            });
            match runtime.block_on(run) {
                Ok(()) => Ending::Expected,
                Err(error) => Ending::Unexpected(format!("it cannot accept connections: {error}")),
            }
        };
        supervisor.spawn("sample-xivo", serve)?;
        Ok(Self { address, end })
    }
}

/// The repository's example policies, and one for this machine. The upstream is reached from a
/// loopback address, which only a sample may be: the demo has no other.
fn configuration(listen: SocketAddr, xivo: SocketAddr) -> Result<Config, Problems> {
    let main = format!(
        "workers = 1\n\
         [[listen]]\naddress = \"{listen}\"\n\
         [upstream]\nurl = \"http://{xivo}\"\nhost = \"localhost\"\ndanger_loopback_source = true\n\
         [limits]\nmax_connections = {CONNECTIONS}\n\
         [[access_log]]\npath = \"stdout\"\nflush = \"100ms\"\n"
    );
    Config::from_texts(("gateway.toml", &main), POLICIES).map(|(config, _doubtful)| config)
}

/// What there is, and what to try.
fn greeting(gateway: SocketAddr, xivo: SocketAddr, coloured: bool) -> String {
    let disguised = PATH.replace("restricted", "pri..vate");
    let found = format!("curl 'http://{gateway}{PATH}?act=search&search=lef%C3%A8vre'");
    let refused = format!("curl 'http://{gateway}{disguised}?act=list'");
    let limited = format!(
        "for i in 1 2 3 4 5 6 7 8; do curl -s -o /dev/null -w '%{{http_code}}\\n' \
         'http://{gateway}{PATH}?act=search&search=doe'; done"
    );
    let [found, refused, limited] = [found, refused, limited]
        .map(|line| if coloured { format!("\x1b[1;32m{line}\x1b[0m") } else { line });
    format!(
        "\
A sample XiVO listens on {xivo}, the gateway in front of it on {gateway}.
The gateway knows the peers of the example policies, and this machine as `demo`: it may
search, twice a second and five times at once.
(The demo sets danger_loopback_source, since all of it is on 127.0.0.1. Never do so with
a real XiVO: to that address XiVO grants everything, `private` too.)

Try these in another terminal:

1. A contact is found; è is written %C3%A8:
{found}

2. Refused: XiVO takes dots out of a path, so this one means `private` to it:
{refused}

3. Limited: the first are answered 200, then the rate is used up and it is 429:
{limited}

The access log, as nginx would write it (Ctrl-C ends the demo):
"
    )
}

/// Where the demo listens unless told otherwise.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9480);

/// How long the greeting may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// As many as whoever tries the demo needs, and few enough for what a shell allows (`ulimit -n`).
const CONNECTIONS: usize = 64;

const POLICIES: &[(&str, &str)] = &[
    ("policies/branch-office.toml", include_str!("../../policies/branch-office.toml")),
    ("policies/xivo-montreal.toml", include_str!("../../policies/xivo-montreal.toml")),
    ("policies/xivo-quebec.toml", include_str!("../../policies/xivo-quebec.toml")),
    ("policies/demo.toml", DEMO_POLICY),
];

const DEMO_POLICY: &str = "\
description = \"This machine\"
hosts = [\"127.0.0.1\", \"::1\"]
actions = [\"search\"]
rate = { per_second = 2, burst = 5 }
";
