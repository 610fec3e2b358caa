//! `[names]`: how host names in policies are resolved.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::document::diagnostic::Diagnostic;
use crate::config::document::{Field, Section};
use crate::config::value::address;
use crate::resolver::Settings;

/// Reads `[names]`.
pub(crate) fn read(mut section: Section<'_>) -> Settings {
    let servers = section.take("resolver").and_then(|f| f.list()).unwrap_or_default();
    let resolver = servers.iter().filter_map(server).collect();
    let refresh = section.value("refresh", REFRESH, |f| f.duration(Duration::from_secs(1), DAY));
    let mut hold =
        |key, default| section.value(key, default, |f| f.duration(Duration::ZERO, 365 * DAY));
    let hold_nx = hold("hold_nx", HOLD_NX);
    let hold_timeout = hold("hold_timeout", DAY);
    let hold_error = hold("hold_error", DAY);
    let hold_obsolete = hold("hold_obsolete", Duration::ZERO);
    let danger_loopback_names = section.value("danger_loopback_names", false, |field| {
        let danger = field.boolean()?;
        if danger {
            let message = "whoever answers for a peer's name can make every program on this host \
                           that peer";
            field.warn(Diagnostic::new(message, "loopback addresses are trusted"));
        }
        Some(danger)
    });
    section.finish();
    Settings {
        resolver,
        refresh,
        hold_nx,
        hold_timeout,
        hold_error,
        hold_obsolete,
        danger_loopback_names,
    }
}

/// A name server's address, with or without a port.
fn server(field: &Field<'_>) -> Option<SocketAddr> {
    let text = field.text()?;
    match text.parse::<SocketAddr>() {
        Ok(server) if server.port() == 0 => {
            let message = format!("\"{text}\" has port 0, which nobody answers on");
            field
                .error(Diagnostic::new(message, "allowed: a port from 1 to 65535, or none for 53"));
            None
        }
        Ok(server) => Some(server),
        Err(_) => Some(SocketAddr::new(field.accept(address::ip(&text))?, DOMAIN)),
    }
}

const DAY: Duration = Duration::from_secs(86_400);
const REFRESH: Duration = Duration::from_secs(60);
const HOLD_NX: Duration = Duration::from_secs(30);

/// The port of name servers.
const DOMAIN: u16 = 53;
