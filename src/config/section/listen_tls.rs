//! `tls` and `http2` of a `[[listen]]`: certificates, keys, and the authorities that clients' certificates are issued by.

use std::path::{Path, PathBuf};

use crate::config::document::diagnostic::Diagnostic;
use crate::config::document::{Field, Section};
use crate::tls::{KeyPair, LoadError, Material, TlsSettings};

/// Reads `tls` and `http2`, whose files are relative to `base`. What the files hold is read too, so
/// that `check` says what `serve` would; it is kept for nothing else, since they may change.
pub(crate) fn read(listener: &mut Section<'_>, base: &Path) -> (Option<TlsSettings>, bool) {
    let tls = listener.take("tls");
    let http2 = listener.take("http2");
    let settings = tls.as_ref().and_then(|field| settings(field, base, Clients::Asked));
    let wanted = http2.as_ref().and_then(Field::boolean).unwrap_or(false);
    if let Some(field) = http2.filter(|_| wanted && tls.is_none()) {
        let message = "HTTP/2 is agreed upon in the TLS handshake, and this listener has no TLS";
        let diagnostic = Diagnostic::new(message, "allowed: true beside `tls`");
        field.error(diagnostic.help("add tls to this [[listen]], or remove http2"));
    }
    (settings, wanted)
}

/// The same of a listener that asks no client for a certificate.
pub(crate) fn own_settings(field: &Field<'_>, base: &Path) -> Option<TlsSettings> {
    settings(field, base, Clients::Unasked)
}

/// Whether a listener has to do with clients' certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clients {
    Asked,
    Unasked,
}

fn settings(field: &Field<'_>, base: &Path, clients: Clients) -> Option<TlsSettings> {
    let mut section = field.section(HELP);
    let mut files = |key: &'static str| -> Option<(Field<'_>, Vec<PathBuf>)> {
        let Some(field) = section.take(key) else {
            if field.is_table() {
                section.missing(key, HELP);
            }
            return None;
        };
        let entries = field.one_or_more("a file, or a list of files in brackets")?;
        let paths: Option<Vec<_>> = entries.iter().map(|entry| entry.path(base)).collect();
        Some((field, paths?))
    };
    let certificates = files("certificate");
    let keys = files("private_key");
    let mut file = |key| {
        let field = if clients == Clients::Asked { section.take(key) } else { None };
        field.and_then(|field| Some((field.path(base)?, field)))
    };
    let client_ca = file("client_ca");
    let crl = file("crl");
    if let Some((_, field)) = crl.as_ref().filter(|_| client_ca.is_none()) {
        let diagnostic = Diagnostic::new("there is no `client_ca` whose list this could be", "");
        field.error(diagnostic.help("add client_ca, or remove crl"));
    }
    section.finish();
    let ((certificate_field, certificates), (key_field, keys)) = (certificates?, keys?);
    if certificates.len() != keys.len() {
        let counted =
            |count: usize, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (certificates, keys) =
            (counted(certificates.len(), "certificate"), counted(keys.len(), "key"));
        let message = format!("{certificates} and {keys}");
        let label = "allowed: a key for each certificate, in the same order";
        key_field.error(Diagnostic::new(message, label));
        return None;
    }
    let pair = |(certificate, private_key)| KeyPair { certificate, private_key };
    let settings = TlsSettings {
        certificates: certificates.into_iter().zip(keys).map(pair).collect(),
        client_ca: client_ca.as_ref().map(|(path, _)| path.clone()),
        crl: crl.as_ref().map(|(path, _)| path.clone()),
        location: field.location(),
    };
    let written = Written {
        certificate: &certificate_field,
        key: &key_field,
        client_ca: client_ca.as_ref().map(|(_, field)| field),
        crl: crl.as_ref().map(|(_, field)| field),
    };
    match Material::load(&settings) {
        Ok(material) => {
            warn_of_dates(&material, &written);
            Some(settings)
        }
        Err(errors) => {
            errors.iter().for_each(|error| written.error(&settings, error));
            None
        }
    }
}

/// Where each kind of file is written.
struct Written<'f, 'a> {
    certificate: &'f Field<'a>,
    key: &'f Field<'a>,
    client_ca: Option<&'f Field<'a>>,
    crl: Option<&'f Field<'a>>,
}

impl Written<'_, '_> {
    fn error(&self, settings: &TlsSettings, error: &LoadError) {
        let is = |file: &Option<PathBuf>| file.as_ref() == Some(&error.file);
        let is_key = settings.certificates.iter().any(|pair| pair.private_key == error.file);
        let field = match () {
            () if is(&settings.crl) => self.crl,
            () if is(&settings.client_ca) => self.client_ca,
            () if is_key => Some(self.key),
            () => Some(self.certificate),
        };
        let diagnostic = Diagnostic::new(error.to_string(), "this file");
        field.unwrap_or(self.certificate).error(diagnostic);
    }
}

/// Warns of what expires soon or has expired.
fn warn_of_dates(material: &Material, written: &Written<'_, '_>) {
    let now = jiff::Timestamp::now();
    let own = material.keys.iter().map(|(loaded, _)| (loaded, written.certificate));
    let client_ca = material.client_ca.iter().zip(std::iter::repeat(written.client_ca));
    let client_ca = client_ca.filter_map(|(loaded, field)| Some((loaded, field?)));
    for (loaded, field) in own.chain(client_ca) {
        if let Some(warning) = loaded.expiry_warning(now) {
            let label = "clients that check certificates refuse an expired one";
            field.warn(
                Diagnostic::new(warning, label)
                    .help("put a new one in its place: the gateway takes it without a restart"),
            );
        }
    }
}

const HELP: &str = "write { certificate = \"…\", private_key = \"…\" }";
