//! Certificates that policies name, and what listeners know of certificates.

use crate::config::Listener;
use crate::config::document::problem::{Mark, Problem};
use crate::config::policy::WrittenPolicy;
use crate::policy::Require;

/// Warns of policies that name certificates which no listener can have shown, or trusts, and of those
/// that pin keys where an administrator may take a `crl` for what withdraws them.
pub(crate) fn compare(listeners: &[Listener], policies: &[WrittenPolicy]) -> Vec<Problem> {
    let tls = || listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let speaks_tls = tls().next().is_some();
    let has_authority = tls().any(|tls| tls.client_ca.is_some());
    let warning = |written: &WrittenPolicy| {
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
                "it names names, and no listener has a `client_ca`, without which names are not trusted",
                "add client_ca to a listener's tls; or name the key alone (public_key_sha256)",
            ),
            (true, false) => return None,
        };
        let by_key = speaks_tls && has_key;
        let label = match rule.require {
            _ if by_key => "only the key that it pins counts",
            Require::Either => "its address alone lets this peer in",
            Require::Both | Require::Certificate => "nothing lets this peer in",
        };
        Some(warn(written, message, label, help))
    };
    let mut found: Vec<Problem> = policies.iter().filter_map(warning).collect();
    if let Some(location) = tls().find(|tls| tls.crl.is_some()).map(|tls| &tls.location) {
        let pins = |written: &&WrittenPolicy| {
            let rule = written.policy.certificate.as_ref();
            rule.is_some_and(|rule| !rule.public_key_sha256.is_empty())
        };
        let message = format!(
            "it pins a key, and the `crl` at {location} revokes certificates: whoever holds the key can \
             make another certificate for it, which no list names"
        );
        let label = "a new certificate for this key is let in until it is removed here";
        let help = "to withdraw a pin, remove it from the policy. Where the list is to decide, name \
                    the peer by san_dns, san_uri or common_name instead";
        let pinned = policies.iter().filter(pins);
        found.extend(pinned.map(|written| warn(written, &message, label, help)));
    }
    found
}

/// A warning of a policy's `[certificate]`.
fn warn(written: &WrittenPolicy, message: &str, label: &str, help: &str) -> Problem {
    let mark = match &written.certificate_span {
        Some(span) => Mark::new(&written.document, span.clone(), label.to_owned()),
        None => Mark::whole_file(&written.document),
    };
    let warning = Problem::warning(format!("`certificate`: {message}"), mark);
    warning.with_help(Some(help.to_owned()))
}
