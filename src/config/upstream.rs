//! `[upstream]`: XiVO's web server, and how long it may take.

use std::net::IpAddr;
use std::time::Duration;

use super::complaint::{Complaint, shown};
use super::reader::{Field, Section};
use super::{Upstream, UpstreamHost, address, authority};
use crate::place::Placed;

/// xivo-dird's `phonebook_timeout`.
const PATIENCE_OF_XIVO: Duration = Duration::from_secs(1);
const LEAST_TIMEOUT: Duration = Duration::from_millis(1);
const MOST_TIMEOUT: Duration = Duration::from_secs(3600);
const URL_FORM: &str = "allowed: http, a host and perhaps a port, such as \"http://127.0.0.1:80\"";

/// Reads `[upstream]`; `None` if it has no usable URL, which is an error.
pub(super) fn read(mut section: Section<'_>) -> Option<Upstream> {
    let url_field = section.take("url");
    if url_field.is_none() {
        section.missing("url", "add url = \"http://127.0.0.1:80\" to [upstream]");
    }
    let url = url_field.and_then(|field| url(&field));
    let host_header = section.take("host").and_then(|field| host_field(&field));
    let danger_loopback_source = danger(&mut section);
    let source = section.take("source").and_then(|field| {
        source(&field, danger_loopback_source, url.as_ref().map(|url| &url.host))
    });
    let mut timeout = |key, millis, doubts: &dyn Fn(Duration) -> Option<Complaint>| {
        let read = |field: &Field<'_>| {
            let duration = field.duration(LEAST_TIMEOUT, MOST_TIMEOUT)?;
            doubts(duration).into_iter().for_each(|complaint| field.doubt(complaint));
            Some(duration)
        };
        section.value(key, Duration::from_millis(millis), read)
    };
    let answer_timeout = timeout("timeout", 900, &|allowed| {
        (allowed >= PATIENCE_OF_XIVO).then(|| {
            let message = "the far XiVO gives up after one second without a byte";
            Complaint::new(message, "a later answer is worth nothing").help("write \"900ms\"")
        })
    });
    let connect_timeout = timeout("connect_timeout", 250, &|allowed| {
        let label = "`timeout` ends first: it includes connecting";
        (allowed > answer_timeout).then(|| Complaint::new("longer than `timeout`", label))
    });
    let list_timeout = timeout("list_timeout", 30_000, &|allowed| {
        let label = "XiVO builds the whole list before its first byte";
        (allowed < answer_timeout).then(|| Complaint::new("shorter than `timeout`", label))
    });
    let stall_timeout = timeout("stall_timeout", 5000, &|_| None);
    let max_answer = section.value("max_answer", 64 << 20, |f| f.size(1 << 10, 64 << 30));
    refuse_unavailable(&mut section);
    let place = section.place();
    section.finish();
    let url = url?;
    Some(Upstream {
        host_header: host_header.unwrap_or_else(|| url.default_host_header()),
        host: url.host,
        port: url.port,
        url_text: url.text,
        source,
        danger_loopback_source,
        connect_timeout,
        timeout: answer_timeout,
        list_timeout,
        stall_timeout,
        max_answer,
        place,
    })
}

/// A URL that names a host and a port and nothing else.
struct Url {
    text: String,
    host: UpstreamHost,
    port: u16,
}

impl Url {
    fn default_host_header(&self) -> String {
        match self.port {
            80 => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }
}

fn url(field: &Field<'_>) -> Option<Url> {
    let text = field.text()?;
    let refusal = |what: &str| Complaint::new(format!("{} {what}", shown(&text)), URL_FORM);
    let Some((scheme, rest)) = text.split_once("://") else {
        if text.to_ascii_lowercase().starts_with("unix:") || text.starts_with('/') {
            field.unavailable("an upstream on a unix socket");
            return None;
        }
        let complaint = match authority::authority(text.trim_end_matches('/')) {
            Ok(_) => {
                refusal("has no scheme").help(format!("write {}", shown(&format!("http://{text}"))))
            }
            Err(_) => refusal("is no URL"),
        };
        field.refuse(complaint);
        return None;
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" => {
            field.unavailable("an https upstream");
            return None;
        }
        "unix" | "http+unix" => {
            field.unavailable("an upstream on a unix socket");
            return None;
        }
        _ => {
            field.refuse(refusal("has an unknown scheme"));
            return None;
        }
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let bare = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let write = format!("write {}", shown(&format!("{scheme}://{bare}")));
    if bare != authority {
        let what = "has a user name: XiVO's phonebook takes no login";
        field.refuse(refusal(what).help(write));
        return None;
    }
    if !matches!(path, "" | "/") {
        let what = "has a path: the gateway knows the phonebook's path";
        field.refuse(refusal(what).help(write));
        return None;
    }
    let (host, port) = field.accept(authority::authority(authority))?;
    if port == Some(0) {
        field.refuse(refusal("has port 0, which cannot be connected to"));
        return None;
    }
    Some(Url { text, host, port: port.unwrap_or(80) })
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
        field.doubt(Complaint::new(message, "a second wall is missing").help(help));
    }
    danger
}

fn source(
    field: &Field<'_>,
    loopback_allowed: bool,
    host: Option<&UpstreamHost>,
) -> Option<Placed<IpAddr>> {
    let text = field.text()?;
    let address = field.accept(address::ip(&text))?.to_canonical();
    let label = "allowed: one of this host's LAN addresses";
    if address.is_unspecified() || address.is_multicast() {
        field.refuse(Complaint::new(format!("{} is no host's address", shown(&text)), label));
    }
    if address.is_loopback() && !loopback_allowed {
        let message = format!(
            "{} is a loopback address, and XiVO grants `private` to connections from there",
            shown(&text)
        );
        let help = "write this host's LAN address, such as \"192.168.1.125\"; or, with the risk \
                    understood, danger_loopback_source = true";
        field.refuse(Complaint::new(message, label).help(help));
    }
    if let Some(UpstreamHost::Ip(host)) = host
        && host.is_ipv4() != address.is_ipv4()
    {
        let message = format!("{address} can never connect to {host}: one is IPv4, the other IPv6");
        field.refuse(Complaint::new(message, "allowed: an address of the url's family"));
    }
    Some(Placed { value: address, place: field.place(), written: true })
}

/// What needs https or the PROXY protocol.
fn refuse_unavailable(section: &mut Section<'_>) {
    for (key, what) in [
        ("ca", "a certificate authority for XiVO"),
        ("pin_sha256", "a pinned key of XiVO"),
        ("server_name", "a TLS server name"),
    ] {
        let Some(field) = section.take(key) else { continue };
        if field.text().is_some() {
            field.unavailable(what);
        }
    }
    for (key, what) in [
        ("danger_accept_any_certificate", "https towards XiVO"),
        ("send_proxy_protocol", "the PROXY protocol"),
    ] {
        let Some(field) = section.take(key) else { continue };
        if field.boolean() == Some(true) {
            field.unavailable(what);
        }
    }
}
