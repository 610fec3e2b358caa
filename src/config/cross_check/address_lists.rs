//! Peers that are proxies as well.

use crate::config::Listener;
use crate::config::document::problem::{Mark, Problem};
use crate::config::policy::WrittenPolicy;
use crate::config::value::address_list::show;
use crate::policy::Host;

/// Warns of peers that may claim to be any other.
pub(crate) fn compare(listeners: &[Listener], policies: &[WrittenPolicy]) -> Vec<Problem> {
    let mut found = Vec::new();
    for written in policies {
        for (host, span) in written.policy.hosts.iter().zip(&written.spans) {
            let Host::Prefix(net) = &host.value else { continue };
            let around = listeners.iter().find_map(|listener| {
                let sender = listener.proxy_protocol_from.around(net);
                sender.or_else(|| listener.trusted_proxies.around(net))
            });
            let Some(sender) = around else { continue };
            let message = format!(
                "`hosts`: {} is also a proxy that is trusted ({} at {}): it may claim to be any peer, \
                 and what it asks for itself is not taken as its own",
                show(*net),
                show(sender.value),
                sender.location
            );
            let mark = Mark::new(&written.document, span.clone(), "a peer and a proxy".to_owned());
            let help = "remove it from the listener's list, unless it is both";
            found.push(Problem::warning(message, mark).with_help(Some(help.to_owned())));
        }
    }
    found
}
