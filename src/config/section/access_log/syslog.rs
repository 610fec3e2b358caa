//! `syslog:`, in nginx's syntax: `server=…,facility=…,severity=…,tag=…,nohostname`, and `rfc=5424`.
//!
//! Words, defaults and limits are those of nginx 1.22, but for the tag's default. nginx also takes a
//! host name as the server, which it resolves once and never again; here only an address is taken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::access_log::{Syslog, SyslogRfc, SyslogServer};
use crate::config::document::diagnostic::{Diagnostic, listed, nearest, shown};

/// Reads what stands behind `syslog:`.
pub(super) fn read(text: &str) -> Result<Syslog, Diagnostic> {
    let mut given: [Option<&str>; KEYS.len()] = [None; KEYS.len()];
    let mut nohostname = false;
    for parameter in text.split(',') {
        if parameter == NOHOSTNAME {
            nohostname = true;
            continue;
        }
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let known = KEYS.iter().position(|known| *known == key && parameter.contains('='));
        let Some(slot) = known.and_then(|at| given.get_mut(at)) else {
            return Err(unknown_parameter(parameter, key));
        };
        if slot.replace(value).is_some() {
            let message = format!("{} is repeated", shown(&format!("{key}=")));
            return Err(Diagnostic::new(message, "allowed: each parameter once"));
        }
    }
    let [server, facility, severity, tag, rfc] = given;
    let server = server.ok_or_else(|| {
        Diagnostic::new("no syslog server is given", SERVER_LABEL)
            .help("write \"syslog:server=unix:/dev/log\" for this host's own")
    })?;
    Ok(Syslog {
        server: read_server(server)?,
        facility: facility.map_or(Ok(LOCAL7), |word| location("facility", &FACILITIES, word))?,
        severity: severity.map_or(Ok(INFO), |word| location("severity", &SEVERITIES, word))?,
        tag: tag.map_or_else(|| Ok(DEFAULT_TAG.to_owned()), read_tag)?,
        nohostname,
        rfc: match rfc {
            None | Some("3164") => SyslogRfc::Rfc3164,
            Some("5424") => SyslogRfc::Rfc5424,
            Some(other) => {
                let message = format!("{} is unknown", shown(&format!("rfc={other}")));
                return Err(Diagnostic::new(message, "allowed: rfc=3164 (as nginx) or rfc=5424"));
            }
        },
    })
}

/// What stands behind `syslog:` for this receiver.
pub(crate) fn write(syslog: &Syslog) -> String {
    let Syslog { server, facility, severity, tag, nohostname, rfc } = syslog;
    let server = match server {
        SyslogServer::Udp(address) => address.to_string(),
        SyslogServer::Unix(path) => format!("unix:{}", path.display()),
    };
    let word = |words: &[&'static str], location: u8| words.get(usize::from(location)).copied();
    let facility = word(&FACILITIES, *facility).unwrap_or_default();
    let severity = word(&SEVERITIES, *severity).unwrap_or_default();
    let rfc = match rfc {
        SyslogRfc::Rfc3164 => "3164",
        SyslogRfc::Rfc5424 => "5424",
    };
    let host = if *nohostname { ",nohostname" } else { "" };
    format!("server={server},facility={facility},severity={severity},tag={tag},rfc={rfc}{host}")
}

fn unknown_parameter(parameter: &str, key: &str) -> Diagnostic {
    let message = format!("unknown syslog parameter {}", shown(parameter));
    let words: Vec<&str> = KEYS.into_iter().chain([NOHOSTNAME]).collect();
    let diagnostic = Diagnostic::new(message, format!("allowed: {}", listed(&words, "and")));
    match nearest(key, words) {
        Some(NOHOSTNAME) => diagnostic.help("write nohostname, without a value"),
        Some(near) => diagnostic.help(format!("did you mean {near}=…?")),
        None if parameter.is_empty() => diagnostic.help("remove the `,` that stands too much"),
        None => diagnostic,
    }
}

fn read_server(text: &str) -> Result<SyslogServer, Diagnostic> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') && path.len() <= LONGEST_SOCKET && !path.contains('\0') {
            Ok(SyslogServer::Unix(PathBuf::from(path)))
        } else {
            let message = format!("{} is no path of a socket", shown(path));
            let label = "allowed: unix: and an absolute path of at most 107 bytes";
            Err(Diagnostic::new(message, label))
        };
    }
    let address = text.parse::<SocketAddr>().ok();
    let address = address.or_else(|| {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let ip = match bare {
            Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        ip.map(|ip| SocketAddr::new(ip, PORT))
    });
    match address {
        Some(address) if address.port() == 0 => {
            let message = format!("{} has port 0", shown(text));
            Err(Diagnostic::new(message, "allowed: a port from 1 to 65535, or none for 514"))
        }
        Some(address) if address.ip().is_unspecified() => {
            let message = format!("{} is no host's address", shown(text));
            Err(Diagnostic::new(message, SERVER_LABEL))
        }
        Some(address) => Ok(SyslogServer::Udp(address)),
        None => Err(no_server(text)),
    }
}

fn no_server(text: &str) -> Diagnostic {
    let message = format!("{} is no syslog server", shown(text));
    let diagnostic = Diagnostic::new(message, SERVER_LABEL);
    if text.starts_with('/') {
        return diagnostic.help(format!("for a socket write server=unix:{text}"));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return diagnostic.help(format!("write server=[{text}]"));
    }
    let is_name = text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains(':');
    match text {
        "localhost" => diagnostic.help("write server=127.0.0.1"),
        _ if is_name => diagnostic.help(
            "write the host's address: a name would be resolved once, when the gateway starts, and \
             a name server that fails then would keep the gateway from starting",
        ),
        _ => diagnostic,
    }
}

/// nginx's own check.
fn read_tag(tag: &str) -> Result<String, Diagnostic> {
    let label = "allowed: 1 to 32 letters, digits and underscores";
    if tag.is_empty() || tag.len() > LONGEST_TAG {
        let message = format!("the syslog tag {} has {} characters", shown(tag), tag.len());
        return Err(Diagnostic::new(message, label));
    }
    if !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let message = format!("the syslog tag {} has other characters", shown(tag));
        return Err(Diagnostic::new(message, label));
    }
    Ok(tag.to_owned())
}

/// A word's place among `words`, which is its number.
fn location(what: &str, words: &[&str], word: &str) -> Result<u8, Diagnostic> {
    let location =
        words.iter().position(|known| *known == word).and_then(|at| u8::try_from(at).ok());
    location.ok_or_else(|| {
        let message = format!("unknown syslog {what} {}", shown(word));
        let diagnostic = Diagnostic::new(message, format!("allowed: {}", listed(words, "or")));
        match nearest(word, words.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean {what}={near}?")),
            None => diagnostic,
        }
    })
}

const KEYS: [&str; 5] = ["server", "facility", "severity", "tag", "rfc"];
const NOHOSTNAME: &str = "nohostname";
const SERVER_LABEL: &str =
    "allowed: server= and 192.0.2.1, 192.0.2.1:514, [2001:db8::1]:514 or unix:/dev/log";
const PORT: u16 = 514;
const LOCAL7: u8 = 23;
const INFO: u8 = 6;
const DEFAULT_TAG: &str = "phonebook_gateway";
const LONGEST_TAG: usize = 32;
/// Of sun_path, without its end.
const LONGEST_SOCKET: usize = 107;

#[rustfmt::skip]
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp",
    "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];
