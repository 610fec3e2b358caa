//! `probe`: connects to XiVO as the gateway would, and says step by step what is there.

mod pin;

use std::fmt::Display;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, timeout_at};

use super::config_file::ConfigFile;
use super::usage::Misuse;
use super::{Exit, address, check, print, print_error, serve};
use crate::config::{Config, Upstream, UpstreamHost};
use crate::gateway::explain::{explain_fault, source_address};
use crate::gateway::forward::{self, ClientSide};
use crate::gateway::relay;
use crate::identity::caller::Caller;
use crate::net::proxy_protocol::write::Relayed;
use crate::policy::decide::{self, Permit, Trial};
use crate::response::request_id::RequestId;
use crate::server::{check_source, own_client, resolve};
use crate::upstream::{
    CertificateFacts, Connection, HeadDeadline, HeadTimeout, Request, UpstreamFault, connect,
};
use crate::worker::Shared;
use crate::worker::snapshot::Snapshot;

/// connect to XiVO and say step by step what is there
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Connects to the configured XiVO as the gateway would, says step by step what is there, and asks one \
                   question: a search for what no contact is called.",
    after_help = "Exit codes: 0 XiVO answers as a phonebook does, 1 it does not or the configuration is not valid, 2 the \
                  command line is wrong, 3 failed at run time."
)]
pub(super) struct Options {
    /// the client that the PROXY protocol names, if it is sent; an address of this host unless given
    #[arg(long, value_name = "ADDRESS", value_parser = address::ip)]
    from: Option<IpAddr>,
    /// print the pin_sha256 line of the certificate that XiVO, or whoever is at URL, shows; verify nothing and ask
    /// nothing
    #[arg(long)]
    pin: bool,
    /// whose certificate --pin prints, where it is not that of the configuration's XiVO
    url: Option<String>,
}

/// Runs the command.
pub(super) fn run(options: &Options, config: &ConfigFile) -> Exit {
    if options.url.is_some() && !options.pin {
        let what = "`probe` asks the XiVO of the configuration; a URL goes with --pin";
        return Misuse::new("probe", what).report();
    }
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&format!("cannot wait for connections: {error}"));
            return Exit::Failed;
        }
    };
    let probed = if options.pin {
        runtime.block_on(pin::show(options, config))
    } else {
        load(config.path()).and_then(|config| {
            if options.from.is_some() && !config.upstream.send_proxy_protocol {
                let what =
                    "--from is for the PROXY protocol: upstream.send_proxy_protocol is false";
                return Err(Misuse::new("probe", what).report());
            }
            runtime.block_on(probe(config, options.from))
        })
    };
    probed.map_or_else(|exit| exit, |()| Exit::Ok)
}

/// Reads the configuration, or says why it cannot be.
fn load(path: &Path) -> Result<Config, Exit> {
    Config::load(path).map(|(config, _doubtful)| config).map_err(|problems| {
        let renderer = serve::renderer(std::io::stderr().is_terminal());
        check::show(&(problems.render(&renderer) + "\n\n"));
        print_error("the configuration is not valid; `probe --pin URL` needs none");
        Exit::Findings
    })
}

async fn probe(config: Config, from: Option<IpAddr>) -> Result<(), Exit> {
    let upstream = &config.upstream;
    tell("upstream", format!("{} [{}]", upstream.url_text, upstream.location))?;
    let addresses = addresses(&upstream.host, resolve(upstream))?;
    if let Err(loopback) = check_source(upstream, &addresses) {
        return failed("source", format!("{}\n{}", loopback.message(), loopback.help()));
    }
    let shared = Shared::new(Arc::new(config), addresses, usize::MAX);
    let snapshot = shared.snapshot();
    match source_address(&snapshot) {
        Some(source) => tell("source", source)?,
        None if snapshot.upstream.is_empty() => {}
        None => tell("source", "there is no route to XiVO now")?,
    }
    // Unless another is given: this host.
    let relayed = own_client(&snapshot, from);
    if snapshot.config.upstream.send_proxy_protocol {
        tell("client", format!("{}, as the PROXY protocol says", relayed.client))?;
    }
    let by_text = ask(Trial::Text, &snapshot, relayed).await?;
    let by_number = ask(Trial::Number, &snapshot, relayed).await?;
    match (by_text, by_number) {
        (InTime::Yes, InTime::Yes) => Ok(()),
        (InTime::No, _) | (_, InTime::No) => Err(Exit::Findings),
    }
}

/// Whether an answer would have been passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InTime {
    Yes,
    /// XiVO takes longer than the gateway waits.
    No,
}

/// Says XiVO's addresses.
fn addresses(
    host: &UpstreamHost,
    resolved: std::io::Result<Vec<SocketAddr>>,
) -> Result<Vec<SocketAddr>, Exit> {
    match resolved {
        Ok(addresses) if addresses.is_empty() && !matches!(host, UpstreamHost::Socket(_)) => {
            failed("resolve", format!("{host} has no address"))
        }
        Ok(addresses) => {
            if let UpstreamHost::Name(name) = host {
                let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                tell("resolve", format!("{name} is at {}", shown.join(", ")))?;
            }
            Ok(addresses)
        }
        Err(error) => failed("resolve", format!("{host}: {error}")),
    }
}

fn tell_connection(connection: &Connection, snapshot: &Snapshot) -> Result<(), Exit> {
    match connection.ends() {
        Some((from, to)) => tell("connect", format!("from {from} to {to}"))?,
        None => tell("connect", &snapshot.config.upstream.url_text)?,
    }
    if let (Some(facts), Some(tls)) = (connection.tls(), &snapshot.config.upstream.tls) {
        let (version, cipher) = (facts.version, facts.cipher);
        tell("tls", format!("{version}, {cipher}, server name {}", tls.server_name()))?;
        if let Some(certificate) = facts.certificate {
            tell("", format!("certificate {}:", tls.trusted_as()))?;
            described(&certificate).into_iter().try_for_each(|line| tell("", line))?;
        }
    }
    Ok(())
}

/// A certificate in lines.
fn described(certificate: &CertificateFacts) -> Vec<String> {
    certificate.lines().iter().map(|(name, value)| format!("  {name:<9}{value}")).collect()
}

/// Sends one of the gateway's own requests, over a connection of its own, and says whether the answer came in time.
async fn ask(trial: Trial, snapshot: &Snapshot, relayed: Relayed) -> Result<InTime, Exit> {
    let upstream = &snapshot.config.upstream;
    let permit = decide::trial(trial);
    let began = Instant::now();
    let connection = match connect(&snapshot.route(relayed)).await {
        Ok(connection) => connection,
        Err(fault) => return failed("connect", explain_fault(&fault, snapshot)),
    };
    let connecting = began.elapsed();
    if trial == Trial::Text {
        tell_connection(&connection, snapshot)?;
    }
    let id = RequestId::new(fastrand::u128(..));
    let caller = Caller::direct((relayed.client.ip(), 0).into());
    let client = ClientSide { caller: &caller, scheme: "http", user_agent: Some(AGENT) };
    let request = forward::request_parts(upstream, &permit, client, &id).write(Vec::new());
    let line = request.as_bytes().split(|&byte| byte == b'\r').next().unwrap_or_default();
    tell("ask", format!("{}, as host `{}`", String::from_utf8_lossy(line), upstream.host_header))?;
    let timeout = forward::head_timeout(upstream, permit.lookup());
    let asked = Instant::now();
    let answer = answer(connection, (&request, &permit), upstream, timeout).await;
    let took = Duration::from_millis((connecting + asked.elapsed()).as_millis() as u64);
    let HeadTimeout { key, limit } = timeout;
    match answer {
        Ok(status) if took <= limit => {
            let what = format!("{status}, as a phonebook does, after {took:?}: in time");
            tell("answer", format!("{what} ({key} is {limit:?})"))?;
            Ok(InTime::Yes)
        }
        Ok(status) => {
            let late = format!("{status} after {took:?}, and the gateway waits for {limit:?}");
            tell("answer", format!("LATE: {late}: it would have answered 504 ({key})"))?;
            Ok(InTime::No)
        }
        Err(UpstreamFault::Timeout(_)) => {
            let late = format!("nothing for {took:?}, and the gateway waits for {limit:?}");
            tell("answer", format!("LATE: {late}: it would have answered 504 ({key})"))?;
            Ok(InTime::No)
        }
        Err(fault) => failed("answer", explain_fault(&fault, snapshot)),
    }
}

/// The status of a phonebook's answer, which may come later than the gateway waits for it: how much later is
/// worth knowing.
async fn answer(
    connection: Connection,
    (request, permit): (&Request, &Permit),
    upstream: &Upstream,
    timeout: HeadTimeout,
) -> Result<u16, UpstreamFault> {
    let longer = HeadTimeout { limit: timeout.limit.max(LONGEST), ..timeout };
    let deadline = HeadDeadline::new(Instant::now(), longer);
    let send = connection.send(request, Vec::new(), None);
    let mut answer =
        timeout_at(deadline.at, send).await.unwrap_or_else(|_| Err(deadline.into()))?;
    relay::check(permit.lookup(), &mut answer, upstream, deadline).await?;
    Ok(answer.received.head().status())
}

/// Prints a step.
fn tell(step: &str, what: impl Display) -> Result<(), Exit> {
    let exit = print(&format!("{step:<10}{what}\n"));
    if exit == Exit::Ok { Ok(()) } else { Err(exit) }
}

/// Prints the step that ends the probe.
fn failed<T>(step: &str, why: impl Display) -> Result<T, Exit> {
    tell(step, format!("FAILED: {why}"))?;
    Err(Exit::Findings)
}

/// How long an answer is waited for that comes too late.
const LONGEST: Duration = Duration::from_secs(10);

/// What XiVO's access log shows.
const AGENT: &[u8] = concat!("phonebook-gateway/", env!("CARGO_PKG_VERSION"), " probe").as_bytes();
