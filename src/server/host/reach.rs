//! What is behind names, and whether XiVO takes connections: never an error, since both may come later.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::{HostFinding, Weight, check_source};
use crate::config::{Config, Upstream, UpstreamHost};
use crate::location::Location;
use crate::net::listen;
use crate::policy::Host;
use crate::resolver::{Outcome, Source};
use crate::server::background::peer_names::source;
use crate::server::background::upstream_addresses::resolve_within;

/// Looks at XiVO and at the names in policies.
pub(super) fn look(config: &Config) -> Vec<HostFinding> {
    thread::scope(|scope| {
        let names = scope.spawn(|| names(config));
        let mut found = upstream(&config.upstream);
        found.extend(names.join().unwrap_or_default());
        found
    })
}

fn upstream(upstream: &Upstream) -> Vec<HostFinding> {
    let location = &upstream.location;
    let finding = |weight, message, help: String| {
        vec![HostFinding { weight, location: location.clone(), message, help }]
    };
    let addresses = match resolve_within(upstream, TIMEOUT) {
        Ok(addresses) => addresses,
        Err(unresolved) => {
            let help = "correct the name in url, or make it known to this host's resolver \
                        (/etc/resolv.conf, /etc/hosts); `getent ahosts NAME` shows what it answers";
            return finding(Weight::Warning, unresolved.to_string(), help.to_owned());
        }
    };
    if let Err(loopback) = check_source(upstream, &addresses) {
        return finding(Weight::Error, loopback.message(), loopback.help());
    }
    // A source that this host does not have is told of where it is written.
    let has_source = |source: IpAddr| listen::try_bind(SocketAddr::new(source, 0)).is_ok();
    if upstream.source.as_ref().is_some_and(|source| !has_source(source.value)) {
        return Vec::new();
    }
    let Some(why) = refused(upstream, addresses) else { return Vec::new() };
    let message = format!(
        "XiVO at {} takes no connection: {why}; lookups are answered 502 until it does",
        upstream.url_text
    );
    let help = "see that XiVO's nginx runs and listens there, and that no firewall is between";
    finding(Weight::Warning, message, help.to_owned())
}

/// Why none of XiVO's addresses takes a connection.
fn refused(upstream: &Upstream, addresses: Vec<SocketAddr>) -> Option<String> {
    let (answer, answers) = mpsc::channel();
    let mut asked = 0;
    if let UpstreamHost::Socket(path) = &upstream.host {
        let path = path.clone();
        asked += 1;
        let connect = move || UnixStream::connect(path).map(drop);
        let spawned = thread::Builder::new().spawn(move || drop(answer.send(connect())));
        drop(spawned);
    } else {
        let source = upstream.source.as_ref().map(|source| source.value);
        for address in addresses {
            let connect = move || {
                let socket =
                    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
                if let Some(source) = source {
                    socket.bind(&SocketAddr::new(source, 0).into())?;
                }
                socket.connect_timeout(&address.into(), TIMEOUT)
            };
            let answer = answer.clone();
            asked += 1;
            drop(thread::Builder::new().spawn(move || drop(answer.send(connect()))));
        }
        drop(answer);
    }
    let until = Instant::now() + TIMEOUT;
    let mut why = None;
    for _ in 0..asked {
        match answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => why = Some(error.to_string()),
            Err(_) => return why.or_else(|| Some(format!("nothing came within {TIMEOUT:?}"))),
        }
    }
    why
}

/// Names in policies that have no address.
fn names(config: &Config) -> Vec<HostFinding> {
    let mut wanted: BTreeMap<&str, &Location> = BTreeMap::new();
    for host in config.policies.iter().flat_map(|policy| &policy.hosts) {
        if let Host::Name(name) = &host.value {
            wanted.entry(name).or_insert(&host.location);
        }
    }
    let source = source(config);
    let wanted: Vec<_> = wanted.into_iter().collect();
    wanted.chunks(MOST_ASKED).flat_map(|names| unresolved(names, &source)).collect()
}

fn unresolved(names: &[(&str, &Location)], source: &Source) -> Vec<HostFinding> {
    let (answer, answers) = mpsc::channel();
    for (name, _) in names {
        let (answer, source, name) = (answer.clone(), source.clone(), (*name).to_owned());
        let ask = move || {
            let outcome = source.ask(&name);
            // Nobody waits for it where it is too late.
            drop(answer.send((name, outcome)));
        };
        drop(thread::Builder::new().spawn(ask));
    }
    drop(answer);
    let until = Instant::now() + TIMEOUT;
    let mut outcomes = BTreeMap::new();
    while let Ok((name, outcome)) =
        answers.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        outcomes.insert(name, outcome);
    }
    let of = |&(name, location): &(&str, &Location)| {
        let why = match outcomes.get(name) {
            Some(Outcome::Addresses { .. }) => return None,
            Some(Outcome::Failed(failure)) => failure.to_string(),
            None => format!("no answer within {TIMEOUT:?}"),
        };
        let help = if name.contains('.') {
            "correct the name, or see to this host's resolver: `getent ahosts NAME` shows what it answers"
        } else {
            "write an address, or the whole name with its dots; a word for many hosts is none here"
        };
        Some(HostFinding {
            weight: Weight::Warning,
            location: location.clone(),
            message: format!(
                "{name} does not resolve: {why}; nobody is let in by it until it does"
            ),
            help: help.to_owned(),
        })
    };
    names.iter().filter_map(of).collect()
}

/// How long each is waited for; all are asked side by side.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Names that are asked for at once.
const MOST_ASKED: usize = 128;
