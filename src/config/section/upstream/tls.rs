//! The keys of `[upstream]` that are about TLS: whose certificate is trusted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};

use super::url::Url;
use crate::config::UpstreamHost;
use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::document::{Field, Section};
use crate::config::value::fingerprint;
use crate::files::Stamp;
use crate::tls::{LoadError, read_certificates};
use crate::upstream::{Tls, Trust, check_authority};
use crate::x509::Fingerprint;

/// How TLS is spoken with XiVO, and what was written of whom to trust.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) ca: Option<PathBuf>,
    pub(super) ca_stamp: Option<Stamp>,
    pub(super) pins: Vec<Fingerprint>,
    pub(super) anyone: bool,
}

/// Reads the keys; `None` if there is an error among them.
pub(super) fn read(
    section: &mut Section<'_>,
    base: &Path,
    url: Option<(&Field<'_>, &Url)>,
) -> Option<Read> {
    let ca = section.take("ca");
    let pins = section.take("pin_sha256");
    let server_name = section.take("server_name");
    let danger = section.take("danger_accept_any_certificate");
    let anyone = danger.as_ref().is_some_and(|field| field.boolean() == Some(true));
    let danger = danger.filter(|_| anyone);
    if let Some((_, url)) = url.filter(|(_, url)| !url.is_https) {
        let written = [("ca", &ca), ("pin_sha256", &pins), ("server_name", &server_name)];
        for (key, field) in written.into_iter().chain([(DANGER, &danger)]) {
            field.iter().for_each(|field| refuse_without_tls(field, key, url));
        }
        return Some(Read::default());
    }
    exclude([("ca", ca.as_ref()), ("pin_sha256", pins.as_ref()), (DANGER, danger.as_ref())]);
    // Read even where the URL cannot be, so that all mistakes are found at once.
    let file = ca.as_ref().and_then(|field| field.path(base));
    // Looked at before it is read: what changes in between is seen to have changed.
    let ca_stamp = file.as_deref().and_then(Stamp::of);
    let authorities = ca.as_ref().map(|field| authorities(field, base));
    let fingerprints = pins.as_ref().map(fingerprints);
    let name = server_name.as_ref().map(name);
    let (url_field, url) = url?;
    if let Some(field) = &danger {
        let message = "whoever answers at this address is taken for XiVO, is told every search, and \
                       writes every answer";
        let help =
            "pin XiVO's certificate instead: `phonebook-gateway probe --pin` prints the line";
        field.warn(Diagnostic::new(message, "no certificate is verified").help(help));
    }
    let pinned = fingerprints.clone().flatten().unwrap_or_default();
    let trust = match (authorities, fingerprints) {
        _ if anyone => Trust::Anyone,
        (Some(authorities), _) => Trust::Authorities(authorities?),
        (None, Some(pins)) => Trust::Pins(pins?),
        (None, None) => Trust::System,
    };
    let name = match name {
        Some(name) => name?,
        None => default_name(url_field, &url.host)?,
    };
    let location = ca.as_ref().unwrap_or(url_field);
    let tls = Tls::new(trust, name).map_err(|error| {
        let help = "install Debian's package ca-certificates; or, for XiVO's own certificate, set \
                    pin_sha256 (`phonebook-gateway probe --pin` prints it)";
        Diagnostic::new(error.to_string(), "https needs to know whom to trust").help(help)
    });
    let tls = Some(Arc::new(location.accept(tls)?));
    Some(Read { tls, ca: file, ca_stamp, pins: pinned, anyone })
}

/// Refuses the second of two that say whom to trust.
fn exclude(keys: [(&str, Option<&Field<'_>>); 3]) {
    let mut first: Option<&str> = None;
    for (key, field) in keys {
        let Some(field) = field else { continue };
        match first {
            Some(first) => {
                let message = format!("stands beside `{first}`, and both say whom to trust");
                let label = "allowed: one of ca, pin_sha256 and danger_accept_any_certificate";
                field.error(
                    Diagnostic::new(message, label).help(format!("remove `{key}` or `{first}`")),
                );
            }
            None => first = Some(key),
        }
    }
}

fn refuse_without_tls(field: &Field<'_>, key: &str, url: &Url) {
    let message = format!("{} is not spoken with in TLS", shown(&url.text));
    let diagnostic = Diagnostic::new(message, "allowed: with an https URL");
    field.error(diagnostic.help(match &url.host {
        UpstreamHost::Socket(_) => {
            format!("remove `{key}`: what goes through a unix socket stays on this host")
        }
        host @ (UpstreamHost::Ip(_) | UpstreamHost::Name(_)) => {
            format!("write url = \"https://{host}\", or remove `{key}`")
        }
    }));
}

/// The certificates of a PEM file.
fn authorities(field: &Field<'_>, base: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let path = field.path(base)?;
    let certificates = read_certificates(&path).and_then(|certificates| {
        let checked = certificates.iter().enumerate().try_for_each(|(at, certificate)| {
            check_authority(certificate).map_err(|error| LoadError {
                file: path.clone(),
                why: format!("its certificate {} cannot be used: {error}", at + 1),
            })
        });
        checked.map(|()| certificates)
    });
    field.accept(certificates.map_err(|error| {
        let label = "allowed: a PEM file with certificates of authorities";
        let help = "a relative path is relative to this file";
        Diagnostic::new(error.to_string(), label).help(help)
    }))
}

/// One pin, or a list of them.
fn fingerprints(field: &Field<'_>) -> Option<Vec<Fingerprint>> {
    let fields = field.one_or_more("a pin, or a list of pins in brackets")?;
    let pins: Vec<_> = fields.iter().filter_map(pin).collect();
    (pins.len() == fields.len()).then_some(pins)
}

fn pin(field: &Field<'_>) -> Option<Fingerprint> {
    let help = "`phonebook-gateway probe --pin` prints the line";
    fingerprint::read(field, "the certificate", help)
}

fn name(field: &Field<'_>) -> Option<ServerName<'static>> {
    let text = field.text()?;
    field.accept(ServerName::try_from(text.clone()).map_err(|_| {
        let message = format!("{} is no server name", shown(&text));
        let label = "allowed: a host name or an address, without a port";
        Diagnostic::new(message, label).help("write a name that XiVO's certificate has")
    }))
}

/// The URL's host.
fn default_name(field: &Field<'_>, host: &UpstreamHost) -> Option<ServerName<'static>> {
    match host {
        UpstreamHost::Ip(ip) => Some(ServerName::from(*ip)),
        UpstreamHost::Name(name) => {
            field.accept(ServerName::try_from(name.clone()).map_err(|_| {
                let message = format!("{} can be in no certificate", shown(name));
                Diagnostic::new(message, "allowed: a host name with https").help("set server_name")
            }))
        }
        UpstreamHost::Socket(_) => None,
    }
}

const DANGER: &str = "danger_accept_any_certificate";
