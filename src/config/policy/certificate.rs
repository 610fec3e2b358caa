//! A policy's `[certificate]`: which certificates are the peer's.

use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::document::{Field, Section};
use crate::config::value::address::{NameRule, name};
use crate::config::value::fingerprint;
use crate::policy::{CertificateRule, Require};

/// Reads `[certificate]`. `None` is one without a usable entry, which is an error.
pub(crate) fn read(field: &Field<'_>) -> Option<CertificateRule> {
    let mut section = field.section("write it as a section: [certificate]");
    let location = section.location();
    let public_key_sha256 = entries(&mut section, "public_key_sha256", public_key);
    let san_dns =
        entries(&mut section, "san_dns", |entry| entry.accept(name(&entry.text()?, NameRule::Dns)));
    let san_uri = entries(&mut section, "san_uri", uri);
    let common_name = entries(&mut section, "common_name", common_name);
    let require = section.value("require", Require::Both, |field| {
        Some(match field.word(&["both", "certificate", "either"])? {
            "certificate" => Require::Certificate,
            "either" => Require::Either,
            _ => Require::Both,
        })
    });
    let written = [&public_key_sha256.0, &san_dns.0, &san_uri.0, &common_name.0];
    if field.is_table() && written.iter().all(|written| !**written) {
        let message = "no certificate is named: nobody can show one";
        let label = "allowed: public_key_sha256, san_dns, san_uri, common_name, or several of them";
        let help = "`phonebook-gateway certs show FILE` prints public_key_sha256";
        field.error(Diagnostic::new(message, label).help(help));
    }
    section.finish();
    Some(CertificateRule {
        public_key_sha256: public_key_sha256.1,
        san_dns: san_dns.1,
        san_uri: san_uri.1,
        common_name: common_name.1,
        require,
        location,
    })
}

/// The entries of a list as `read` understands them, and whether any were written.
fn entries<T>(
    section: &mut Section<'_>,
    key: &'static str,
    read: impl Fn(&Field<'_>) -> Option<T>,
) -> (bool, Vec<T>) {
    let Some(field) = section.take(key) else { return (false, Vec::new()) };
    let Some(list) = field.list() else { return (true, Vec::new()) };
    if list.is_empty() {
        field.error(Diagnostic::new("empty", "allowed: one entry or more, or no such key"));
    }
    (true, list.iter().filter_map(read).collect())
}

fn public_key(entry: &Field<'_>) -> Option<[u8; 32]> {
    fingerprint::read(entry, "a public key", KEY_HELP).map(|key| key.bytes())
}

fn uri(entry: &Field<'_>) -> Option<String> {
    let text = entry.text()?;
    let scheme = text.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    let fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_graphic());
    if !fits {
        let message = format!("{} is no URI", shown(&text));
        entry.error(Diagnostic::new(
            message,
            "allowed: a URI, such as \"spiffe://example.org/lyon\"",
        ));
        return None;
    }
    Some(text)
}

fn common_name(entry: &Field<'_>) -> Option<String> {
    let text = entry.text()?;
    if text.is_empty() || text.trim() != text || text.chars().any(char::is_control) {
        let message = format!("{} is no common name", shown(&text));
        entry
            .error(Diagnostic::new(message, "allowed: the subject's CN as `certs show` prints it"));
        return None;
    }
    Some(text)
}

const KEY_HELP: &str = "`phonebook-gateway certs show FILE` prints it";
