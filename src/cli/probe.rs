//! `probe`: connects to XiVO as the gateway would, and says step by step what is there.

mod pin;

use std::fmt::Display;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::time::timeout;

use super::config_file::ConfigFile;
use super::usage::Misuse;
use super::{Exit, address, check, print, print_error, serve};
use crate::config::{Config, UpstreamHost};
use crate::gateway::explain::{explain_fault, source_address};
use crate::gateway::forward::{self, ClientSide};
use crate::gateway::relay;
use crate::identity::caller::Caller;
use crate::net::client_address::ClientAddress;
use crate::net::proxy_protocol::write::Relayed;
use crate::policy::decide::trial;
use crate::response::request_id::RequestId;
use crate::server::{check_source, other_addresses, resolve};
use crate::upstream::{CertificateFacts, Connection, UpstreamFault, connect};
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
    let relayed = relayed(&snapshot, from);
    if snapshot.config.upstream.send_proxy_protocol {
        tell("client", format!("{}, as the PROXY protocol says", relayed.client))?;
    }
    let connection = match connect(&snapshot.route(relayed)).await {
        Ok(connection) => connection,
        Err(fault) => return failed("connect", explain_fault(&fault, &snapshot)),
    };
    tell_connection(&connection, &snapshot)?;
    ask(connection, &snapshot, relayed.client).await
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

/// The client that is named to XiVO unless another is given: this host.
fn relayed(snapshot: &Snapshot, from: Option<IpAddr>) -> Relayed {
    let own = || source_address(snapshot).filter(|source| !source.is_loopback());
    let client = from.or_else(own).or_else(|| other_addresses().first().copied());
    let client = client.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    Relayed { client: ClientAddress::new(client), port: 0, destination: (client, 0).into() }
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

/// Sends the gateway's own request.
async fn ask(
    connection: Connection,
    snapshot: &Snapshot,
    client: ClientAddress,
) -> Result<(), Exit> {
    let upstream = &snapshot.config.upstream;
    let permit = trial();
    let id = RequestId::new(fastrand::u128(..));
    let caller = Caller::direct((client.ip(), 0).into());
    let client = ClientSide { caller: &caller, scheme: "http", user_agent: Some(AGENT) };
    let request = forward::request_parts(upstream, &permit, client, &id).write(Vec::new());
    let line = request.as_bytes().split(|&byte| byte == b'\r').next().unwrap_or_default();
    tell("ask", format!("{}, as host `{}`", String::from_utf8_lossy(line), upstream.host_header))?;
    let asked = timeout(upstream.timeout, connection.send(&request, Vec::new(), None)).await;
    let answer = match asked.unwrap_or(Err(UpstreamFault::Timeout)) {
        Ok(answer) => answer,
        Err(fault) => return failed("answer", explain_fault(&fault, snapshot)),
    };
    match relay::check(permit.lookup(), &answer, upstream) {
        Ok(()) => {
            tell("answer", format!("{}, as a phonebook does", answer.received.head().status()))
        }
        Err(fault) => failed("answer", explain_fault(&fault, snapshot)),
    }
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

/// What XiVO's access log shows.
const AGENT: &[u8] = concat!("phonebook-gateway/", env!("CARGO_PKG_VERSION"), " probe").as_bytes();
