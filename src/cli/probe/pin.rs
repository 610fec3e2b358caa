//! `probe --pin`: the line that pins the certificate of a running XiVO.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::super::config_file::ConfigFile;
use super::super::usage::Misuse;
use super::super::{Exit, print, print_error};
use super::{Options, described, load};
use crate::config::{UpstreamHost, read_https_url};
use crate::net::proxy_protocol::write::Relayed;
use crate::upstream::{CertificateFacts, Route, Tls, connect};

/// Whose certificate is shown, and how it is reached.
struct PinTarget {
    url: String,
    host: UpstreamHost,
    port: u16,
    server_name: String,
    source: Option<IpAddr>,
    /// The configuration's XiVO wants to be told of a client.
    relayed: bool,
    connect_timeout: Duration,
}

/// Prints the line, and what has to be done before it is trusted.
pub(super) async fn show(options: &Options, config: &ConfigFile) -> Result<(), Exit> {
    let asked = match &options.url {
        Some(url) => of_url(url)?,
        None => of_configuration(config)?,
    };
    let addresses = addresses(&asked)?;
    let (certificate, address) = certificate(&asked, &addresses, options.from).await?;
    let CertificateFacts { sha256, .. } = &certificate;
    let facts: String = described(&certificate).iter().map(|line| format!("# {line}\n")).collect();
    let exit = print(&format!(
        "# The certificate that {} ({address}) shows now. Nobody has verified it:\n{facts}\
         # Anyone in between could show another. Compare it with XiVO's own; on XiVO itself:\n\
         #   openssl s_client -connect localhost:{} </dev/null 2>/dev/null |\n\
         #     openssl x509 -noout -fingerprint -sha256\n\
         # If the fingerprints are the same, this line belongs in [upstream]:\n\
         pin_sha256 = \"{sha256}\"\n",
        asked.url, asked.port
    ));
    if exit == Exit::Ok { Ok(()) } else { Err(exit) }
}

fn of_url(text: &str) -> Result<PinTarget, Exit> {
    let (host, port) =
        read_https_url(text).map_err(|error| Misuse::new("probe", error).report())?;
    Ok(PinTarget {
        url: text.to_owned(),
        server_name: server_name(&host),
        host,
        port,
        source: None,
        relayed: false,
        connect_timeout: PATIENCE,
    })
}

fn of_configuration(config: &ConfigFile) -> Result<PinTarget, Exit> {
    let upstream = load(config.path())?.upstream;
    let Some(tls) = &upstream.tls else {
        print_error(&format!(
            "{}: {} is not https; name XiVO's https URL: probe --pin https://…",
            upstream.location, upstream.url_text
        ));
        return Err(Exit::Findings);
    };
    Ok(PinTarget {
        server_name: tls.server_name(),
        url: upstream.url_text,
        host: upstream.host,
        port: upstream.port,
        source: upstream.source.map(|source| source.value),
        relayed: upstream.send_proxy_protocol,
        connect_timeout: upstream.connect_timeout.max(PATIENCE),
    })
}

fn server_name(host: &UpstreamHost) -> String {
    match host {
        UpstreamHost::Ip(ip) => ip.to_string(),
        UpstreamHost::Name(_) | UpstreamHost::Socket(_) => host.to_string(),
    }
}

fn addresses(asked: &PinTarget) -> Result<Vec<SocketAddr>, Exit> {
    let resolved = match &asked.host {
        UpstreamHost::Ip(ip) => Ok(vec![SocketAddr::new(*ip, asked.port)]),
        host @ (UpstreamHost::Name(_) | UpstreamHost::Socket(_)) => {
            (host.to_string(), asked.port).to_socket_addrs().map(Iterator::collect)
        }
    };
    resolved.map_err(|error| {
        print_error(&format!("{}: {error}", asked.host));
        Exit::Findings
    })
}

/// Makes a handshake, and sends nothing after it.
async fn certificate(
    asked: &PinTarget,
    addresses: &[SocketAddr],
    from: Option<IpAddr>,
) -> Result<(CertificateFacts, SocketAddr), Exit> {
    let tls = Tls::unverified(&asked.server_name).map_err(|error| {
        print_error(&error.to_string());
        Exit::Findings
    })?;
    let client = from.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let relayed = Relayed {
        client: crate::net::client_address::ClientAddress::new(client),
        port: 0,
        destination: (client, 0).into(),
    };
    let route = Route {
        addresses,
        socket: None,
        source: asked.source,
        // A handshake asks XiVO for nothing, so it may come from anywhere.
        danger_loopback_source: true,
        connect_timeout: asked.connect_timeout,
        tls: Some(&tls),
        way: 0,
        relayed: asked.relayed.then_some(relayed),
        trace: None,
    };
    let connected = tokio::time::timeout(PATIENCE + PATIENCE, connect(&route)).await;
    let connected = connected.map_err(|_| "there was no answer in time".to_owned());
    let connection = connected.and_then(|connected| connected.map_err(|fault| fault.to_string()));
    let seen = connection.and_then(|connection| {
        let certificate = connection.tls().and_then(|facts| facts.certificate);
        let seen = certificate.zip(connection.ends().map(|(_, to)| to));
        seen.ok_or_else(|| "it showed no certificate".to_owned())
    });
    seen.map_err(|why| {
        print_error(&format!("{}: {why}", asked.url));
        Exit::Findings
    })
}

/// For a connection, and for a handshake.
const PATIENCE: Duration = Duration::from_secs(5);
