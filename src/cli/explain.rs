//! `explain`: what would become of a request, told step by step.
//!
//! The request is written as a client would send it, and walks the way that [`gateway::judge`] gives
//! to those that are served. Only the limits differ: they are named here and nothing is spent.

mod narrator;
mod show;

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::args::{AskedRequest, ExplainOptions};
use super::{Exit, check, complain, say, serve};
use crate::address::ClientAddress;
use crate::answer::{Manner, problem};
use crate::caller::Caller;
use crate::client::read_whole;
use crate::config::{Config, Listener};
use crate::diagnostics::{self, source_address};
use crate::gateway::{self, ClientSide, ConnectionFacts, Judged, Origin};
use crate::refusal::Refusal;
use crate::server;
use crate::snapshot::Snapshot;
use crate::upstream::check_relayed;
use crate::worker::{RequestId, Shared};
use narrator::{LimitShown, Narrator, StepShown};

/// Runs the command.
pub(super) fn run(options: &ExplainOptions) -> Exit {
    let config = match Config::load(&options.config) {
        Ok((config, _doubtful)) => config,
        Err(problems) => {
            let renderer = serve::renderer(std::io::stderr().is_terminal());
            check::show(&(problems.render(&renderer) + "\n\n"));
            complain("the configuration is not valid; no request can be explained by it");
            return Exit::Findings;
        }
    };
    if let Some(loopback) = check::loopback_source(&config.upstream) {
        complain(&format!("`serve` does not start with this configuration. {loopback}"));
    }
    let asked = listener(&config, options.listen).and_then(|index| {
        let address = config.listeners.get(index).map(|listener| listener.address);
        Ok((index, address, head(&options.request, config.listeners.get(index))?))
    });
    let (listener, address, head) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let client = ClientAddress::new(options.from);
    let explained = Explained::of(config, client, listener, head);
    let said = match options.json {
        true => say(&format!("{:#}\n", explained.as_json())),
        false => say(&explained.as_text(address)),
    };
    match (said, &explained.outcome) {
        (Exit::Well, Ok(_)) => Exit::Well,
        (Exit::Well, Err(_)) => Exit::Findings,
        (failed, _) => failed,
    }
}

/// The listener that the request comes to.
fn listener(config: &Config, wanted: Option<SocketAddr>) -> Result<usize, String> {
    let Some(wanted) = wanted else { return Ok(0) };
    let found = config.listeners.iter().position(|listener| listener.address == wanted);
    found.ok_or_else(|| {
        let addresses = config.listeners.iter().map(|listener| listener.address.to_string());
        let addresses: Vec<String> = addresses.collect();
        format!("--listen: no [[listen]] has {wanted}; there are {}", addresses.join(", "))
    })
}

/// The head that a client sends for this request.
fn head(request: &AskedRequest, listener: Option<&Listener>) -> Result<Vec<u8>, String> {
    let (authority, target) = split_url(&request.url)?;
    let is_host = |line: &Vec<u8>| {
        let name = line.split(|&b| b == b':').next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"host")
    };
    let version: &[u8] = if request.http10 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" };
    let mut head = [&request.method, b" ".as_slice(), &target, version].concat();
    if !request.headers.iter().any(is_host) {
        let host = match authority {
            Some(authority) => authority.to_vec(),
            None => listener.map(default_host).unwrap_or_default().into_bytes(),
        };
        head.extend_from_slice(&[b"Host: ", host.as_slice(), b"\r\n"].concat());
    }
    for line in &request.headers {
        head.extend_from_slice(line);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

/// What of a URL goes into Host, where it has such a part, and what into the request line.
fn split_url(url: &[u8]) -> Result<(Option<&[u8]>, Vec<u8>), String> {
    if url.first() == Some(&b'/') {
        return Ok((None, url.to_vec()));
    }
    let is_scheme = |scheme: &[u8]| {
        url.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    if is_scheme(b"https://") {
        return Err("the URL is https, which no listener of this version speaks".to_owned());
    }
    if !is_scheme(b"http://") {
        return Err(format!(
            "`{}` is no URL: it begins with http://, or with the / of a path",
            show::line(url)
        ));
    }
    let rest = url.get(b"http://".len()..).unwrap_or_default();
    let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let slash: &[u8] = if target.first() == Some(&b'/') { b"" } else { b"/" };
    Ok((Some(authority), [slash, target].concat()))
}

/// The host of a request that names none: the listener's own.
fn default_host(listener: &Listener) -> String {
    match (listener.server_names.first(), listener.address) {
        (Some(name), _) => name.clone(),
        (None, address) if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
        (None, address) => address.to_string(),
    }
}

/// All that there is to tell.
#[derive(Debug)]
struct Explained {
    client: ClientAddress,
    /// What the client sends.
    head: Vec<u8>,
    peer: Option<String>,
    steps: Vec<StepShown>,
    limits: Vec<LimitShown>,
    outcome: Result<Asking, Refusal>,
    /// The body of a refusal.
    answer: Vec<u8>,
    /// Why it was refused, for the gateway's administrator.
    why: String,
}

/// What would be asked of XiVO.
#[derive(Debug)]
struct Asking {
    address: Option<SocketAddr>,
    source: Option<IpAddr>,
    /// Whom the PROXY protocol names, and why it would not be named.
    relayed: Option<(IpAddr, Result<(), &'static str>)>,
    request: Vec<u8>,
}

impl Explained {
    fn of(config: Config, client: ClientAddress, listener: usize, bytes: Vec<u8>) -> Self {
        let shared = Shared::new(Arc::new(config), Vec::new(), usize::MAX);
        let snapshot = shared.snapshot();
        let facts = facts(client, listener);
        let origin = Origin::of(&snapshot, &facts, Timestamp::now());
        let head = read_whole(&bytes, &snapshot.config.limits);
        let manner = gateway::manner(head.as_ref().ok(), &bytes, false, EXAMPLE_ID);
        let addressed = facts.addressed(&snapshot);
        let mut narrator = Narrator::new(&snapshot, origin, (addressed, &bytes));
        let judged = gateway::judge(&mut narrator, origin.found, addressed, (head, &bytes));
        let outcome = match judged {
            Ok(judged) => {
                // Resolving a name takes time, and only what is asked of XiVO needs it.
                let upstream = server::resolve(&snapshot.config.upstream);
                shared.set_upstream(upstream.unwrap_or_default());
                let asking =
                    Asking::of(&judged, &shared.snapshot(), (&origin.caller, &facts), &bytes);
                narrator.forwarded(&asking);
                Ok(asking)
            }
            Err(refusal) => {
                narrator.refused(&refusal);
                Err(refusal)
            }
        };
        let (answer, why) = match &outcome {
            Ok(_) => Default::default(),
            Err(refusal) => (
                answer(refusal, &manner, &origin),
                diagnostics::explain(refusal, &snapshot, &origin),
            ),
        };
        let peer = origin.found.peer().map(|peer| peer.policy.name.to_string());
        let (steps, limits) = narrator.end();
        Self { client, head: bytes, peer, steps, limits, outcome, answer, why }
    }

    /// The body of a refusal as a program reads it; null where there is none.
    fn answer_value(&self) -> Value {
        serde_json::from_slice(&self.answer).unwrap_or_default()
    }
}

impl Asking {
    fn of<A>(
        judged: &Judged<'_, A>,
        snapshot: &Snapshot,
        (caller, facts): (&Caller<'_>, &ConnectionFacts),
        bytes: &[u8],
    ) -> Self {
        let user_agent = judged.head.user_agent().map(|span| span.of(bytes));
        let client = ClientSide { caller, scheme: facts.scheme(), user_agent };
        let upstream = &snapshot.config.upstream;
        let mut request = Vec::new();
        let route = snapshot.route(gateway::relayed(snapshot, caller, facts.listener));
        gateway::question(upstream, &judged.permit, client, &EXAMPLE_ID).write(&mut request);
        Self {
            address: snapshot.upstream.first().copied(),
            source: source_address(snapshot),
            relayed: route.relayed.map(|relayed| (relayed.client.ip(), check_relayed(&route))),
            request,
        }
    }
}

/// What would be known of a connection from `client`.
fn facts(client: ClientAddress, listener: usize) -> ConnectionFacts {
    let Caller { address, source, socket, .. } = Caller::direct(SocketAddr::new(client.ip(), 0));
    ConnectionFacts {
        client: address,
        source,
        socket,
        listener,
        tls: None,
        plain_on_tls: false,
        stranger: false,
        over_ceiling: false,
    }
}

/// The body that a refused client reads.
fn answer(refusal: &Refusal, manner: &Manner, origin: &Origin<'_>) -> Vec<u8> {
    problem::answer(refusal, gateway::audience(&origin.found, refusal), manner).1
}

/// Stands for the id that each request gets.
const EXAMPLE_ID: RequestId = RequestId::ZERO;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_and_not_normalized() {
        for (url, authority, target) in [
            ("http://gw:9480/a/../b?c=d", Some("gw:9480"), "/a/../b?c=d"),
            ("HTTP://gw", Some("gw"), "/"),
            ("http://gw?act=list", Some("gw"), "/?act=list"),
            ("//a//b", None, "//a//b"),
        ] {
            let (host, path) = split_url(url.as_bytes()).unwrap();
            assert_eq!(host, authority.map(str::as_bytes), "{url}");
            assert_eq!(path, target.as_bytes(), "{url}");
        }
        for url in ["https://gw/", "gw:9480/x", ""] {
            assert!(split_url(url.as_bytes()).is_err(), "{url}");
        }
    }
}
