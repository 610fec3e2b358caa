//! `explain`: what would become of a request, told step by step.
//!
//! The request is written as a client would send it, and walks the way that [`gateway::judge`] gives
//! to those that are served. Only the limits differ: they are named here and nothing is spent.

mod narrator;
mod show;
mod via;

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::args::{AskedRequest, ExplainOptions};
use super::{Exit, check, complain, say, serve};
use crate::address::ClientAddress;
use crate::answer::{Manner, problem};
use crate::caller::{Caller, ClientSource};
use crate::client::read_whole;
use crate::config::{Config, Listener};
use crate::diagnostics::{self, source_address};
use crate::gateway::{self, ClientSide, ConnectionFacts, Judged, Origin};
use crate::refusal::Refusal;
use crate::server;
use crate::snapshot::Snapshot;
use crate::upstream::check_relayed;
use crate::whoami::{self, WhoAmI};
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
    let from = ClientAddress::new(options.from);
    if let Some(error) = vain_header(options, config.listeners.get(listener)) {
        complain(&error);
        return Exit::Usage;
    }
    let sender = Sender { from, proxied_for: options.proxied_for, listener };
    let explained = Explained::of(config, sender, head);
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

/// Why `--proxied-for` cannot be: nobody else may send a PROXY header.
fn vain_header(options: &ExplainOptions, listener: Option<&Listener>) -> Option<String> {
    let listener = listener.filter(|_| options.proxied_for.is_some())?;
    let from = ClientAddress::new(options.from);
    (!listener.proxy_protocol_from.contain(from)).then(|| {
        format!(
            "--proxied-for: {from} is not in proxy_protocol_from of the [[listen]] at {}, so a PROXY header of it is no request and ends the connection",
            listener.place
        )
    })
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
    /// Whom the connection comes from.
    from: ClientAddress,
    /// Whom the request comes from, and how that was found.
    client: (Option<ClientAddress>, ClientSource),
    /// What the client sends.
    head: Vec<u8>,
    peer: Option<String>,
    steps: Vec<StepShown>,
    limits: Vec<LimitShown>,
    /// What XiVO is asked; nothing where the gateway answers by itself.
    outcome: Result<Option<Asking>, Refusal>,
    /// The body that the gateway answers with by itself.
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
    fn of(config: Config, sender: Sender, bytes: Vec<u8>) -> Self {
        let shared = Shared::new(Arc::new(config), Vec::new(), usize::MAX);
        let snapshot = shared.snapshot();
        let facts = sender.facts(&snapshot);
        let head = read_whole(&bytes, &snapshot.config.limits);
        let sent = bytes.as_slice();
        let values = |name| head.iter().flat_map(move |head| head.values(sent, name));
        let origin = Origin::of(&snapshot, &facts, values, Timestamp::now());
        let manner = gateway::manner(head.as_ref().ok(), &bytes, false, EXAMPLE_ID);
        let addressed = facts.addressed(&snapshot);
        let via = via::notes(&snapshot, &facts, &origin);
        let mut narrator = Narrator::new(&snapshot, origin, via, (addressed, &bytes));
        let found = origin.found;
        let judged = if snapshot.config.whoami && whoami::is_asked(&head, &bytes) {
            whoami::judge(&mut narrator, found, addressed, (head, &bytes)).map(|_| None)
        } else {
            gateway::judge(&mut narrator, found, addressed, (head, &bytes)).map(Some)
        };
        let outcome = match judged {
            Ok(None) => Ok(None),
            Ok(Some(judged)) => {
                // Resolving a name takes time, and only what is asked of XiVO needs it.
                let upstream = server::resolve(&snapshot.config.upstream);
                shared.set_upstream(upstream.unwrap_or_default());
                let asking =
                    Asking::of(&judged, &shared.snapshot(), (&origin.caller, &facts), &bytes);
                narrator.forwarded(&asking);
                Ok(Some(asking))
            }
            Err(refusal) => {
                narrator.refused(&refusal);
                Err(refusal)
            }
        };
        let (answer, why) = match &outcome {
            Ok(Some(_)) => Default::default(),
            Ok(None) => (introduction(&origin, &manner), String::new()),
            Err(refusal) => (
                answer(refusal, &manner, &origin),
                diagnostics::explain(refusal, &snapshot, &origin),
            ),
        };
        let peer = origin.found.peer().map(|peer| peer.policy.name.to_string());
        let (steps, limits) = narrator.end();
        let client = (origin.caller.address, origin.caller.source);
        Self { from: sender.from, client, head: bytes, peer, steps, limits, outcome, answer, why }
    }

    /// The body of an answer as a program reads it; null where there is none.
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

/// Where the connection comes from and goes to.
#[derive(Clone, Copy, Debug)]
struct Sender {
    from: ClientAddress,
    /// Whom it names in its PROXY header, if it sends one.
    proxied_for: Option<IpAddr>,
    listener: usize,
}

impl Sender {
    /// What would be known of the connection.
    fn facts(self, snapshot: &Snapshot) -> ConnectionFacts {
        let socket = SocketAddr::new(self.from.ip(), 0);
        let facts = ConnectionFacts::at_accept(snapshot, socket, self.listener);
        match facts.source {
            ClientSource::ProxyProtocol => {
                let named = self.proxied_for.map(|client| SocketAddr::new(client, 0));
                facts.announced(snapshot, named)
            }
            _ => facts,
        }
    }
}

/// The body that a caller reads who asks who it is.
fn introduction(origin: &Origin<'_>, manner: &Manner) -> Vec<u8> {
    let known = origin.found.peer().is_some();
    let whoami = WhoAmI::new(&origin.caller, known, Timestamp::now(), EXAMPLE_ID.as_str());
    whoami.answer(manner).1
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
