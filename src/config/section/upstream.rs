//! `[upstream]`: XiVO's web server, and how long it may take.

mod circuit;
mod tls;
mod url;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::UpstreamHost;
use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::document::{Field, Section};
use crate::config::value::{address, authority};
use crate::files::Stamp;
use crate::location::{Located, Location};
use crate::upstream::Tls;
use crate::upstream::circuit::CircuitSettings;
use crate::x509::Fingerprint;

pub use circuit::{CheckSection, CircuitSection};
use url::Url;
pub use url::read_https_url;

/// The `[upstream]` section.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upstream {
    /// The URL's host.
    pub host: UpstreamHost,
    /// The URL's port, or 80, or 443 with https; 0 for a socket and never else.
    pub port: u16,
    /// The URL as it was written.
    pub url_text: String,
    /// What the Host field says to XiVO: `host`, or the URL's host with a port other than its
    /// scheme's, or `localhost` for a socket.
    pub host_header: String,
    /// The local address of connections to XiVO.
    pub source: Option<Located<IpAddr>>,
    /// Whether connections may come from a loopback address, to which XiVO grants `private`.
    pub danger_loopback_source: bool,
    /// The limit for connecting, to whichever of its addresses.
    pub connect_timeout: Duration,
    /// The limit until the answer begins, for a search by text or a view.
    pub timeout: Located<Duration>,
    /// The same for a search by a telephone number.
    pub number_timeout: Located<Duration>,
    /// The same for the whole list.
    pub list_timeout: Located<Duration>,
    /// The limit between two reads of an answer's body.
    pub stall_timeout: Duration,
    /// The limit for a whole answer, from its head; ten times that for the list.
    pub answer_timeout: Duration,
    /// The largest body that is passed on, in bytes.
    pub max_answer: u64,
    /// How TLS is spoken, with an https URL.
    pub tls: Option<Arc<Tls>>,
    /// The file of the authorities that issue XiVO's certificate.
    pub ca: Option<PathBuf>,
    /// That file as it was just before it was read.
    pub ca_stamp: Option<Stamp>,
    /// The certificates of which XiVO's has to be one.
    pub pins: Vec<Fingerprint>,
    /// Whether any certificate is taken for XiVO's.
    pub danger_accept_any_certificate: bool,
    /// Whether the PROXY protocol tells XiVO's nginx whom a connection is made for.
    pub send_proxy_protocol: bool,
    /// When it is not asked.
    pub circuit: CircuitSection,
    /// What the gateway asks of its own.
    pub check: CheckSection,
    /// Where its section begins.
    pub location: Location,
}

impl Upstream {
    /// What the circuit goes by.
    pub fn circuit_settings(&self) -> CircuitSettings {
        let CircuitSection { failures, open, max_open } = self.circuit;
        CircuitSettings { failures, open, max_open, timeout: self.timeout.value }
    }

    /// Whether connections to XiVO are made as the other's are, TLS aside: from and to the same address, and with
    /// the same preface.
    pub fn is_reached_as(&self, other: &Self) -> bool {
        let source = |upstream: &Self| upstream.source.as_ref().map(|source| source.value);
        self.host == other.host
            && self.port == other.port
            && source(self) == source(other)
            && self.danger_loopback_source == other.danger_loopback_source
            && self.send_proxy_protocol == other.send_proxy_protocol
            && self.tls.is_some() == other.tls.is_some()
    }
}

/// Reads `[upstream]`, whose relative paths are relative to `base`; `None` if it has no usable URL,
/// or cannot speak TLS, which is an error.
pub(crate) fn read(mut section: Section<'_>, base: &Path) -> Option<Upstream> {
    let url_field = section.take("url");
    if url_field.is_none() {
        section.missing("url", "add url = \"http://127.0.0.1:80\" to [upstream]");
    }
    let url = url_field.as_ref().and_then(url::read);
    let host_header = section.take("host").and_then(|field| host_field(&field));
    let danger_loopback_source = danger(&mut section);
    let source = section.take("source").and_then(|field| {
        source(&field, danger_loopback_source, url.as_ref().map(|url| &url.host))
    });
    let timeouts = timeouts(&mut section);
    let max_answer = section.value("max_answer", 64 << 20, |f| f.size(1 << 10, 64 << 30));
    let send_proxy_protocol = send_proxy_protocol(&mut section, url_field.as_ref(), url.as_ref());
    let tls = tls::read(&mut section, base, url_field.as_ref().zip(url.as_ref()));
    let circuit = circuit::read_circuit(section.section("circuit"));
    let check = circuit::read_check(section.section("check"));
    let location = section.location();
    section.finish();
    let (url, tls) = (url?, tls?);
    Some(Upstream {
        host_header: host_header.unwrap_or_else(|| url.default_host_header()),
        host: url.host,
        port: url.port,
        url_text: url.text,
        source,
        danger_loopback_source,
        connect_timeout: timeouts.connect,
        timeout: timeouts.text,
        number_timeout: timeouts.number,
        list_timeout: timeouts.list,
        stall_timeout: timeouts.stall,
        answer_timeout: timeouts.answer,
        max_answer,
        tls: tls.tls,
        ca: tls.ca,
        ca_stamp: tls.ca_stamp,
        pins: tls.pins,
        danger_accept_any_certificate: tls.anyone,
        send_proxy_protocol,
        circuit,
        check,
        location,
    })
}

/// How long XiVO may take for what.
struct Timeouts {
    connect: Duration,
    text: Located<Duration>,
    number: Located<Duration>,
    list: Located<Duration>,
    stall: Duration,
    answer: Duration,
}

fn timeouts(section: &mut Section<'_>) -> Timeouts {
    let mut timeout = |key, millis, doubts: &dyn Fn(Duration) -> Option<Diagnostic>| {
        let read = |field: &Field<'_>| {
            let duration = field.duration(LEAST_TIMEOUT, MOST_TIMEOUT)?;
            doubts(duration).into_iter().for_each(|diagnostic| field.warn(diagnostic));
            Some(duration)
        };
        section.placed(key, Duration::from_millis(millis), read)
    };
    let number = timeout("number_timeout", 900, &|allowed| {
        (allowed >= REVERSE_SERVICE).then(|| {
            let message =
                "a far XiVO that looks for the name of who calls waits 1 s for all its sources";
            let label = "an answer that begins later is worth nothing: the call shows no name";
            Diagnostic::new(message, label).help("write \"900ms\"")
        })
    });
    let text = timeout("timeout", 2500, &|allowed| {
        if allowed >= LOOKUP_SERVICE {
            let message =
                "a far XiVO in which somebody types a name waits 2.9 s for all its sources";
            let label = "an answer that begins later is worth nothing: nobody sees it";
            return Some(Diagnostic::new(message, label).help("write \"2500ms\""));
        }
        (allowed < number.value).then(|| {
            let message = "shorter than `number_timeout`";
            let label = "who types a name waits longer (2.9 s) than who looks for a caller's (1 s)";
            let help = "write \"2500ms\", or a shorter number_timeout beside it";
            Diagnostic::new(message, label).help(help)
        })
    });
    let connect = timeout("connect_timeout", 250, &|allowed| {
        let (shorter, key) = if number.value < text.value {
            (number.value, "number_timeout")
        } else {
            (text.value, "timeout")
        };
        (allowed > shorter).then(|| {
            let label = format!("`{key}` ends first: it includes connecting");
            Diagnostic::new(format!("longer than `{key}`"), label)
        })
    });
    let list = timeout("list_timeout", 30_000, &|allowed| {
        let label = "XiVO builds the whole list before its first byte";
        (allowed < text.value).then(|| Diagnostic::new("shorter than `timeout`", label))
    });
    let stall = timeout("stall_timeout", 5000, &|_| None).value;
    let answer = timeout("answer_timeout", 60_000, &|allowed| {
        let label = "a stalled answer is cut off by `answer_timeout` first";
        (allowed < stall).then(|| Diagnostic::new("shorter than `stall_timeout`", label))
    });
    Timeouts { connect: connect.value, text, number, list, stall, answer: answer.value }
}

/// The value of `host`, which is sent as it was written.
fn host_field(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    field.accept(authority::authority(&text)).map(|_| text)
}

fn danger(section: &mut Section<'_>) -> bool {
    let Some(field) = section.take("danger_loopback_source") else { return false };
    let danger = field.boolean().unwrap_or(false);
    if danger {
        let message = "XiVO grants `private`, and with it every web service, to connections from \
                       a loopback address: only the gateway's own rules stand in front of them";
        let help = "set source to this host's LAN address instead, where that is possible";
        field.warn(Diagnostic::new(message, "a second wall is missing").help(help));
    }
    danger
}

fn source(
    field: &Field<'_>,
    loopback_allowed: bool,
    host: Option<&UpstreamHost>,
) -> Option<Located<IpAddr>> {
    let text = field.text()?;
    let label = "allowed: one of this host's LAN addresses";
    let address = field.accept(source_address(&text, label))?.to_canonical();
    if address.is_unspecified() || address.is_multicast() {
        field.error(Diagnostic::new(format!("{} is no host's address", shown(&text)), label));
    }
    if authority::is_link_local(address) {
        let message = format!("{} is a link-local address, which needs a zone", shown(&text));
        field.error(Diagnostic::new(message, label).help("write another address of this host"));
    }
    if address.is_loopback() && !loopback_allowed {
        let message = format!(
            "{} is a loopback address, and XiVO grants `private` to connections from there",
            shown(&text)
        );
        let help = "write this host's LAN address, such as \"192.168.1.125\"; or, with the risk \
                    understood, danger_loopback_source = true";
        field.error(Diagnostic::new(message, label).help(help));
    }
    if let Some(UpstreamHost::Socket(_)) = host {
        let message = "a connection to a unix socket comes from no address";
        let label = "allowed: nothing, with a url that is a socket";
        field.error(Diagnostic::new(message, label).help("remove it"));
    }
    if let Some(UpstreamHost::Ip(host)) = host
        && host.is_ipv4() != address.is_ipv4()
    {
        let message = format!("{address} can never connect to {host}: one is IPv4, the other IPv6");
        field.error(Diagnostic::new(message, "allowed: an address of the url's family"));
    }
    Some(Located { value: address, location: field.location(), written: true })
}

/// An address, and neither a name nor an address with a port.
fn source_address(text: &str, label: &str) -> Result<IpAddr, Diagnostic> {
    let refusal = |what: &str| Diagnostic::new(format!("{} {what}", shown(text)), label);
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Err(refusal("has a port, and the kernel chooses it")
            .help(format!("write source = \"{}\"", socket.ip())));
    }
    let trimmed = text.trim().trim_matches(['[', ']']);
    let trimmed = trimmed.split_once("://").map_or(trimmed, |(_, rest)| rest.trim_end_matches('/'));
    let bare = trimmed.split_once('/').map_or(trimmed, |(address, _)| address);
    if text.contains('%') {
        return Err(refusal("has a zone, and no connection to XiVO comes from such an address")
            .help("write this host's LAN address, which `ip -brief address` shows, such as \"192.168.1.125\""));
    }
    if let Some(address) = bare.parse::<IpAddr>().ok().filter(|_| bare != text) {
        return Err(refusal("is no address alone").help(format!("write source = \"{address}\"")));
    }
    let bare = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let bare = bare.map_or(text, |(name, _)| name);
    if !address::looks_like_address(bare)
        && address::name(bare, address::NameRule::HostField).is_ok()
    {
        return Err(refusal("is a name, and a connection comes from an address")
            .help("write this host's LAN address, which `ip -brief address` shows, such as \"192.168.1.125\""));
    }
    address::ip(text).map_err(|diagnostic| {
        // What a policy's host may be besides.
        let is_other = diagnostic.label.contains("host name");
        let label = if is_other { label.to_owned() } else { diagnostic.label };
        Diagnostic { label, ..diagnostic }
    })
}

/// Whether XiVO's nginx is told each client's address. A unix socket has no other.
fn send_proxy_protocol(
    section: &mut Section<'_>,
    url_field: Option<&Field<'_>>,
    url: Option<&Url>,
) -> bool {
    let sent = section.value("send_proxy_protocol", false, Field::boolean);
    if let (Some(field), Some(UpstreamHost::Socket(_))) = (url_field, url.map(|url| &url.host))
        && !sent
    {
        let message = "a unix socket tells XiVO no address, and XiVO's host check refuses what has \
                       none";
        let help = "add send_proxy_protocol = true, and on XiVO's side `listen unix:… \
                    proxy_protocol`; or write an http URL";
        let label = "allowed: with send_proxy_protocol = true";
        field.error(Diagnostic::new(message, label).help(help));
    }
    sent
}

/// How long the lookup service of a XiVO waits for all its sources together.
const LOOKUP_SERVICE: Duration = Duration::from_millis(2900);
/// The same of the reverse service, which looks for who calls.
const REVERSE_SERVICE: Duration = Duration::from_secs(1);
const LEAST_TIMEOUT: Duration = Duration::from_millis(1);
const MOST_TIMEOUT: Duration = Duration::from_secs(3600);
