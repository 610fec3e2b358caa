//! `explain`: what would become of a request, told step by step.
//!
//! The request is written as a client would send it, and walks the way that [`judge`] gives
//! to those that are served. Only the limits differ: they are named here and nothing is spent.

mod handshake;
mod live;
mod narrator;
mod request;
mod sender;
pub(super) mod show;
mod via;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::config_file::ConfigFile;
use super::usage::Misuse;
use super::{Exit, address, check, print, print_error, print_json, serve};
use crate::config::{Config, Listener, escaped};
use crate::connection::http1_stream::read_whole;
use crate::gateway::connection_facts::{Accepted, ConnectionFacts};
use crate::gateway::explain::{self, source_address};
use crate::gateway::forward::{self, ClientSide};
use crate::gateway::judge::{Case, Granted, Judged, judge};
use crate::gateway::reply;
use crate::gateway::request_source::RequestSource;
use crate::gateway::response_sink::Persistence;
use crate::gateway::whoami::WhoAmI;
use crate::identity::caller::{Caller, ClientSource};
use crate::net::client_address::ClientAddress;
use crate::refusal::Refusal;
use crate::response::request_id::RequestId;
use crate::response::{ResponseOptions, problem};
use crate::server::{self, DisabledFile, LoopbackSource, NamesSource};
use crate::tls::{TlsFacts, read_certificates};
use crate::upstream::{NotAllowed, Request, check_relayed};
use crate::worker::Shared;
use crate::worker::listeners::ListenerId;
use crate::worker::snapshot::Snapshot;
use handshake::Shaken;
use live::Running;
use narrator::{LimitShown, Narrator, StepShown};
use request::{AskedRequest, ExplainedRequest, Spoken};
use sender::SenderAddress;

/// show step by step what would become of a request
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Shows what would become of a request, by the rules that `serve` uses: each step with the file and \
                   line that decided, the answer, and what XiVO would be sent. No request is made and no rate used up; host names \
                   may be resolved.",
    override_usage = "phonebook-gateway explain [OPTIONS] --from <ADDRESS|PEER> [[METHOD] URL]",
    after_help = "Example, where $URL is that of the peer's directory:\n  \
                  phonebook-gateway explain --from 192.168.1.124 \"$URL?act=search&search=doe\"\n\n\
                  Exit codes: 0 allowed, 1 refused, or `serve` does not start with this configuration, 2 the command \
                  line is wrong, 3 the standard output cannot be written."
)]
pub(super) struct Options {
    /// whom the connection comes from: the address of a client or of a proxy that stands in front; or a peer's name,
    /// for the first of its hosts
    #[arg(long, value_name = "ADDRESS|PEER")]
    from: String,
    /// the client that the PROXY header of a sender listed in proxy_protocol_from names; it names none unless given
    #[arg(long, value_name = "ADDRESS", value_parser = address::ip)]
    proxied_for: Option<IpAddr>,
    /// the client's certificate (PEM), followed by the intermediate ones; the private key is not needed. The handshake's
    /// own verifier judges it, and that the client holds its key is taken for proven
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    // No doc comment: that would be read as a link.
    #[arg(
        long,
        value_name = "ADDRESS",
        value_parser = address::socket,
        help = "the listener that it comes to, as [[listen]] has it; unless given, the first that matches the URL's scheme"
    )]
    listen: Option<SocketAddr>,
    /// a further header line, `Name: value`; a Host replaces that of the URL
    #[arg(short = 'H', long = "header", value_name = "LINE", allow_hyphen_values = true, value_parser = OsStringValueParser::new().try_map(header))]
    headers: Vec<OsString>,
    /// speak HTTP/1.0
    #[arg(long = "http1.0")]
    http10: bool,
    /// the same as a JSON object: from, client (address, source), peer, steps (each with step, outcome, place, text),
    /// verdict, status, reason (handshake-failed where no request would be read), limits (each with limit, place,
    /// text), answer, upstream (address, source, request), hint; null where there is none
    #[arg(long)]
    json: bool,
    /// GET unless given
    #[arg(value_name = "METHOD")]
    method: Option<OsString>,
    /// http:// or https://host:port/path?query, or the path and query alone; taken as it is written: nothing is encoded
    /// or normalized. A search for a common word unless given
    #[arg(value_name = "URL")]
    url: Option<OsString>,
}

/// Runs the command.
pub(super) fn run(options: &Options, config: &ConfigFile) -> Exit {
    let request = AskedRequest::of(options);
    let config = match Config::load(config.path()) {
        Ok((config, _doubtful)) => config,
        Err(problems) => {
            let renderer = serve::renderer(std::io::stderr().is_terminal());
            check::show(&(problems.render(&renderer) + "\n\n"));
            print_error("the configuration is not valid; no request can be explained by it");
            return Exit::Findings;
        }
    };
    let upstream = UpstreamSeen::of(&config);
    if let Some(loopback) = &upstream.loopback {
        print_error(&format!("`serve` does not start with this configuration. {loopback}"));
    }
    let asked = ExplainedRequest::of(&config, &request, options.listen).and_then(|asked| {
        let chain = options.certificate.as_deref().map(read_certificates).transpose();
        Ok((asked, chain.map_err(|error| format!("--certificate: {error}"))?.unwrap_or_default()))
    });
    let (asked, chain) = match asked {
        Ok(asked) => asked,
        Err(error) => return Misuse::new("explain", error).report(),
    };
    if let Some(error) = vain_certificate(&asked, &chain) {
        return Misuse::new("explain", error).report();
    }
    let running = Running::find(&config);
    let site = match Site::of(config, upstream) {
        Ok(site) => site,
        Err(error) => {
            print_error(&error);
            return Exit::Findings;
        }
    };
    let snapshot = site.shared.snapshot();
    let to = snapshot.config.listeners.get(asked.listener);
    let from = SenderAddress::find(&options.from, &snapshot, options.certificate.is_some());
    let from = from
        .map_err(|error| format!("--from: {error}"))
        .and_then(|from| vain_header(options, from.address, to).map_or(Ok(from), Err));
    let from = match from {
        Ok(from) => from,
        Err(error) => return Misuse::new("explain", error).report(),
    };
    let address = to.map(|listener| listener.address);
    let sender = Sender { from, proxied_for: options.proxied_for, chain };
    let mut explained = match Explained::of(&site, sender, asked) {
        Ok(explained) => explained,
        Err(error) => {
            print_error(&error);
            return Exit::Findings;
        }
    };
    explained.running = running;
    let said = if options.json {
        print_json(&explained.as_json())
    } else {
        print(&explained.as_text(address))
    };
    if let Some(note) = explained.running.as_ref().and_then(|running| running.note.as_ref()) {
        print_error(note);
    }
    let allowed = explained.outcome.is_ok() && explained.loopback.is_none();
    if said == Exit::Ok && !allowed { Exit::Findings } else { said }
}

/// XiVO's addresses, and why `serve` would not connect to them.
#[derive(Debug)]
struct UpstreamSeen {
    /// None where its name does not resolve.
    addresses: Vec<SocketAddr>,
    loopback: Option<LoopbackSource>,
}

impl UpstreamSeen {
    fn of(config: &Config) -> Self {
        let upstream = &config.upstream;
        let addresses = server::resolve_within(upstream, check::RESOLVE_TIMEOUT);
        let addresses = addresses.unwrap_or_default();
        let loopback = server::check_source(upstream, &addresses).err();
        Self { addresses, loopback }
    }
}

/// A header line has a name and a value; which of them are allowed is what is to be explained.
fn header(line: OsString) -> Result<OsString, String> {
    if line.as_encoded_bytes().contains(&b':') {
        return Ok(line);
    }
    Err(format!("`{}` is no `Name: value`", escaped(&line.to_string_lossy())))
}

/// Why `--proxied-for` cannot be: nobody else may send a PROXY header.
fn vain_header(
    options: &Options,
    from: ClientAddress,
    listener: Option<&Listener>,
) -> Option<String> {
    let listener = listener.filter(|_| options.proxied_for.is_some())?;
    (!listener.proxy_protocol_from.contain(from)).then(|| {
        format!(
            "--proxied-for: {from} is not in proxy_protocol_from of the [[listen]] at {}, so a PROXY header of it is no request and ends the connection",
            listener.location
        )
    })
}

/// Why `--certificate` cannot be: without TLS nobody shows one.
fn vain_certificate(asked: &ExplainedRequest, chain: &[CertificateDer<'_>]) -> Option<String> {
    let shows = matches!(asked.spoken, Spoken::Tls { .. }) || chain.is_empty();
    (!shows).then(|| {
        "--certificate: the request comes without TLS; write https:// in the URL".to_owned()
    })
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
    outcome: Result<Option<Asking>, Refused>,
    /// The body that the gateway answers with by itself.
    answer: Vec<u8>,
    /// Why it was refused, for the gateway's administrator.
    why: String,
    /// The gateway that runs, if one answers.
    running: Option<Running>,
    /// Why `serve` does not start with this configuration.
    loopback: Option<LoopbackSource>,
}

/// How it ends where nothing is allowed.
#[derive(Debug)]
enum Refused {
    /// In the TLS handshake: no request is read.
    Handshake,
    /// By an answer.
    Request(Refusal),
}

impl Refused {
    /// The word for it.
    fn word(&self) -> &'static str {
        match self {
            Self::Handshake => "handshake-failed",
            Self::Request(refusal) => refusal.word(),
        }
    }

    /// The answer's status; none where nothing is answered.
    fn status(&self) -> Option<u16> {
        match self {
            Self::Handshake => None,
            Self::Request(refusal) => Some(refusal.status()),
        }
    }
}

/// The gateway as it would serve by the configuration.
#[derive(Debug)]
struct Site {
    shared: Arc<Shared>,
    /// Where it is known from which addresses names have.
    names: Option<NamesSource>,
    /// Why `serve` does not start with it.
    loopback: Option<LoopbackSource>,
}

impl Site {
    fn of(config: Config, upstream: UpstreamSeen) -> Result<Self, String> {
        let UpstreamSeen { addresses, loopback } = upstream;
        let config = Arc::new(config);
        let shared = Shared::new(Arc::clone(&config), addresses, usize::MAX);
        server::load_certificates(&config, &shared).map_err(|error| error.to_string())?;
        match DisabledFile::in_directory(&config.state_directory).load() {
            Ok(disabled) => shared.set_disabled(disabled),
            Err(error) => print_error(&format!(
                "who is switched off by `ctl disable` is not known here: {error}"
            )),
        }
        let shared = Arc::new(shared);
        let names = server::resolve_names(&shared, NAMES_PATIENCE);
        Ok(Self { shared, names, loopback })
    }
}

/// What would be asked of XiVO.
#[derive(Debug)]
struct Asking {
    address: Option<SocketAddr>,
    source: Option<IpAddr>,
    /// Whom the PROXY protocol names, and why it would not be named.
    relayed: Option<(IpAddr, Result<(), NotAllowed>)>,
    request: Request,
}

impl Explained {
    fn of(site: &Site, mut sender: Sender, asked: ExplainedRequest) -> Result<Self, String> {
        let snapshot = site.shared.snapshot();
        let tls = snapshot.listener_tls(ListenerId::at(asked.listener)).map(|tls| &**tls);
        let place = snapshot.config.listeners.get(asked.listener);
        let place = place.map(|listener| listener.location.to_string());
        let shaken = Shaken::of(tls, std::mem::take(&mut sender.chain), place);
        sender.chain = shaken.chain;
        let facts = sender.facts(&snapshot, &asked)?;
        let mut first: Vec<StepShown> =
            sender.from.note.take().map(StepShown::from_note).into_iter().collect();
        first.extend(shaken.step);
        let mut explained = match shaken.failed {
            Some(why) => Self::unread(site, &facts, asked.head, why),
            None => Self::request(site, &snapshot, &facts, asked.head),
        };
        first.append(&mut explained.steps);
        explained.steps = first;
        explained.from = sender.from.address;
        Ok(explained)
    }

    /// Of a connection whose handshake fails.
    fn unread(site: &Site, facts: &ConnectionFacts, head: Vec<u8>, why: String) -> Self {
        Self {
            from: facts.shown_address(),
            client: (facts.client, facts.source),
            head,
            peer: None,
            steps: Vec::new(),
            limits: Vec::new(),
            outcome: Err(Refused::Handshake),
            answer: Vec::new(),
            why,
            running: None,
            loopback: site.loopback.clone(),
        }
    }

    /// Of a request that is read.
    fn request(site: &Site, snapshot: &Snapshot, facts: &ConnectionFacts, bytes: Vec<u8>) -> Self {
        let head = facts.require_tls(read_whole(&bytes, &snapshot.config.limits));
        let values = |name| head.iter().flat_map(move |head| head.values(name));
        let now = Timestamp::now();
        let origin = RequestSource::of(snapshot, facts, values, now);
        let options = reply::options(head.as_ref().ok(), Persistence::Offered, EXAMPLE_ID);
        let addressed = facts.addressed(snapshot);
        let mut via = via::annotations(snapshot, facts, &origin);
        via.extend(via::names(site.names.as_ref(), &origin));
        let mut narrator = Narrator::new(snapshot, origin, via, addressed);
        let found = origin.found;
        let case = Case { snapshot, facts, found, now };
        let outcome = match judge(&mut narrator, case, head) {
            Ok(Judged::WhoAmI) => Ok(None),
            Ok(Judged::Lookup(granted)) => {
                let asking = Asking::of(&granted, snapshot, &origin.caller, facts);
                narrator.forwarded(&asking, granted.permit.lookup());
                Ok(Some(asking))
            }
            Err(refusal) => {
                narrator.refused(&refusal);
                Err(refusal)
            }
        };
        let (answer, why) = match &outcome {
            Ok(Some(_)) => Default::default(),
            Ok(None) => (introduction(&origin, &options), String::new()),
            Err(refusal) => {
                (answer(refusal, &options, &origin), explain::explain(refusal, snapshot, &origin))
            }
        };
        let peer = origin.found.peer().map(|peer| peer.policy.name.to_string());
        let (steps, limits) = narrator.end();
        let client = (origin.caller.address, origin.caller.source);
        let outcome = outcome.map_err(Refused::Request);
        let from = facts.shown_address();
        let loopback = site.loopback.clone();
        let running = None;
        Self {
            from,
            client,
            head: bytes,
            peer,
            steps,
            limits,
            outcome,
            answer,
            why,
            running,
            loopback,
        }
    }

    /// The body of an answer as a program reads it; null where there is none.
    fn answer_value(&self) -> Value {
        serde_json::from_slice(&self.answer).unwrap_or_default()
    }
}

impl Asking {
    fn of<A>(
        granted: &Granted<'_, '_, A>,
        snapshot: &Snapshot,
        caller: &Caller<'_>,
        facts: &ConnectionFacts,
    ) -> Self {
        let user_agent = granted.head.user_agent();
        let client = ClientSide { caller, scheme: facts.scheme(), user_agent };
        let upstream = &snapshot.config.upstream;
        let route = snapshot.route(forward::relayed(snapshot, caller, facts.listener));
        let request_parts = forward::request_parts(upstream, &granted.permit, client, &EXAMPLE_ID);
        Self {
            address: snapshot.upstream.first().copied(),
            source: source_address(snapshot),
            relayed: route.relayed.map(|relayed| (relayed.client.ip(), check_relayed(&route))),
            request: request_parts.write(Vec::new()),
        }
    }
}

/// Who sends the explained request.
#[derive(Debug)]
struct Sender {
    from: SenderAddress,
    /// Whom it names in its PROXY header, if it sends one.
    proxied_for: Option<IpAddr>,
    /// Its certificate, and the intermediate ones behind it.
    chain: Vec<CertificateDer<'static>>,
}

impl Sender {
    /// What would be known of the connection.
    fn facts(
        &self,
        snapshot: &Snapshot,
        asked: &ExplainedRequest,
    ) -> Result<ConnectionFacts, String> {
        let socket = SocketAddr::new(self.from.address.ip(), 0);
        let listener = ListenerId::at(asked.listener);
        let mut facts = match Accepted::at_accept(snapshot, socket, listener).0 {
            Accepted::Ready(facts) => facts,
            Accepted::AwaitingProxyHeader(unannounced) => {
                let named = self.proxied_for.map(|client| SocketAddr::new(client, 0));
                unannounced.with_client(snapshot, named).0
            }
        };
        match &asked.spoken {
            Spoken::Plain => {}
            Spoken::PlainOnTls => facts.plain_on_tls = true,
            Spoken::Tls { server_name } => {
                let tls = TlsFacts::assumed(&self.chain, server_name.clone());
                let tls = tls.map_err(|error| format!("--certificate: {error}"))?;
                facts.tls = Some(Rc::new(tls));
            }
        }
        Ok(facts)
    }
}

/// The body that a caller reads who asks who it is.
fn introduction(origin: &RequestSource<'_>, options: &ResponseOptions) -> Vec<u8> {
    let known = origin.found.peer().is_some();
    let whoami = WhoAmI::new(&origin.caller, known, Timestamp::now(), EXAMPLE_ID.as_str());
    whoami.answer(options).1
}

/// The body that a refused client reads.
fn answer(refusal: &Refusal, options: &ResponseOptions, origin: &RequestSource<'_>) -> Vec<u8> {
    problem::answer(refusal, reply::audience(&origin.found, refusal), options, |_| true).1
}

/// How long names are waited for, where no running gateway has left what they have.
const NAMES_PATIENCE: Duration = Duration::from_secs(3);

/// Stands for the id that each request gets.
const EXAMPLE_ID: RequestId = RequestId::ZERO;
