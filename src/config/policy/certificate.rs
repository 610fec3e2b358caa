//! A policy's `[certificate]`: which certificates are the peer's.

use crate::config::Listener;
use crate::config::document::complaint::{Complaint, shown};
use crate::config::document::problem::{Mark, Problem};
use crate::config::document::{Field, Section};
use crate::config::policy::Written;
use crate::config::value::address::{NameRule, name};
use crate::config::value::fingerprint;
use crate::policy::{CertificateRule, Require};

const KEY_HELP: &str = "`phonebook-gateway certs show FILE` prints it";

/// Reads `[certificate]`. `None` is one without a usable entry, which is an error.
pub(crate) fn read(field: &Field<'_>) -> Option<CertificateRule> {
    let mut section = field.section("write it as a section: [certificate]");
    let place = section.place();
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
        field.refuse(Complaint::new(message, label).help(KEY_HELP));
    }
    section.finish();
    Some(CertificateRule {
        public_key_sha256: public_key_sha256.1,
        san_dns: san_dns.1,
        san_uri: san_uri.1,
        common_name: common_name.1,
        require,
        place,
    })
}

/// Warns of policies that name certificates which no listener can have shown, or believes, and of those
/// that pin keys where an administrator may take a `crl` for what withdraws them.
pub(crate) fn compare(listeners: &[Listener], policies: &[Written]) -> Vec<Problem> {
    let tls = || listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let speaks_tls = tls().next().is_some();
    let has_authority = tls().any(|tls| tls.client_ca.is_some());
    let warning = |written: &Written| {
        let rule = written.policy.certificate.as_ref()?;
        let has_key = !rule.public_key_sha256.is_empty();
        let has_name = [&rule.san_dns, &rule.san_uri, &rule.common_name]
            .into_iter()
            .any(|names| !names.is_empty());
        let (message, help) = match (speaks_tls, has_name && !has_authority) {
            (false, _) => {
                ("no listener has TLS, so nobody can show a certificate", "add tls to a [[listen]]")
            }
            (true, true) => (
                "it names names, and no listener has a `client_ca` that vouches for them",
                "add client_ca to a listener's tls; or name the key alone (public_key_sha256)",
            ),
            (true, false) => return None,
        };
        let label = match rule.require {
            Require::Either if !has_key || !speaks_tls => "its address alone lets this peer in",
            _ if speaks_tls && has_key => "only the key that it pins counts",
            _ => "nothing lets this peer in",
        };
        Some(doubt(written, message, label, help))
    };
    let mut found: Vec<Problem> = policies.iter().filter_map(warning).collect();
    if let Some(place) = tls().find(|tls| tls.crl.is_some()).map(|tls| &tls.place) {
        let pins = |written: &&Written| {
            let rule = written.policy.certificate.as_ref();
            rule.is_some_and(|rule| !rule.public_key_sha256.is_empty())
        };
        let message = format!(
            "it pins a key, and the `crl` at {place} revokes certificates: whoever holds the key can \
             make another certificate for it, which no list names"
        );
        let label = "a new certificate for this key is let in until it is removed here";
        let help = "to withdraw a pin, remove it from the policy. Where the list is to decide, name \
                    the peer by san_dns, san_uri or common_name instead";
        let pinned = policies.iter().filter(pins);
        found.extend(pinned.map(|written| doubt(written, &message, label, help)));
    }
    found
}

/// A warning of a policy's `[certificate]`.
fn doubt(written: &Written, message: &str, label: &str, help: &str) -> Problem {
    let mark = match &written.certificate_span {
        Some(span) => Mark::new(&written.document, span.clone(), label.to_owned()),
        None => Mark::whole_file(&written.document),
    };
    let warning = Problem::warning(format!("`certificate`: {message}"), mark);
    warning.with_help(Some(help.to_owned()))
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
        field.refuse(Complaint::new("empty", "allowed: one entry or more, or no such key"));
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
        entry.refuse(Complaint::new(
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
            .refuse(Complaint::new(message, "allowed: the subject's CN as `certs show` prints it"));
        return None;
    }
    Some(text)
}
