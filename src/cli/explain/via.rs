//! How a proxy in front changed whom a request comes from, with the lines that let it.

use super::narrator::Note;
use crate::gateway::connection_facts::ConnectionFacts;
use crate::gateway::request_source::RequestSource;
use crate::identity::caller::ClientSource;
use crate::identity::peers::{Found, Match};
use crate::identity::resolved::Resolved;
use crate::net::client_address::ClientAddress;
use crate::server::NamesSource;
use crate::worker::snapshot::Snapshot;
use jiff::Timestamp;

/// A note for each proxy that was trusted; none for a client that calls by itself.
pub(super) fn annotations(
    snapshot: &Snapshot,
    facts: &ConnectionFacts,
    origin: &RequestSource<'_>,
) -> Vec<Note> {
    let mut annotations = Vec::new();
    let listener = snapshot.listener(facts.listener);
    if facts.source == ClientSource::ProxyProtocol {
        let sender = ClientAddress::new(facts.socket.ip());
        let what = format!("the PROXY header of {sender}");
        let entry = listener.and_then(|found| found.proxy_protocol_from.find(sender));
        annotations.push(note(facts.client, &what, entry.map(|entry| entry.location.to_string())));
    }
    if let (Some(listener), Some(proxy)) = (facts.trusting(snapshot), facts.client) {
        let what = format!("{} from {proxy}", listener.forwarded_header.name());
        let entry = listener.trusted_proxies.find(proxy);
        let location = entry.map(|entry| entry.location.to_string());
        annotations.push(note(origin.caller.address, &what, location));
    }
    annotations
}

/// Which name makes the caller a peer, since when and until when; and where that is known from, where
/// names have a say in who it is.
pub(super) fn names(from: Option<&NamesSource>, origin: &RequestSource<'_>) -> Option<Note> {
    let now = Timestamp::now();
    let source = match from? {
        NamesSource::File(file) => format!("as the running gateway wrote into {}", file.display()),
        NamesSource::Resolver(None) => {
            "resolved now, since no gateway has written its names".to_owned()
        }
        NamesSource::Resolver(Some(why)) => format!("resolved now: {why}"),
    };
    match origin.found {
        Found::Peer(Match { name: Some(resolved), .. }) => {
            let Resolved { name, address, at, next, location, .. } = resolved;
            let ago = now.duration_since(*at).as_secs().max(0);
            let next = match next.duration_since(now).as_secs() {
                seconds @ 0.. => format!("is asked for again in {seconds} s"),
                late => {
                    format!("should have been asked for {} s ago: does the gateway run?", -late)
                }
            };
            let text =
                format!("{name} has {address} since {ago} s at the latest, and {next}; {source}");
            Some(Note { text, location: Some(location.to_string()) })
        }
        Found::Unknown => Some(Note { text: format!("host names are {source}"), location: None }),
        Found::Peer(_) | Found::CertificateMissing { .. } => None,
    }
}

fn note(client: Option<ClientAddress>, what: &str, location: Option<String>) -> Note {
    let text = match client {
        Some(client) => format!("{client} found by {what}, which is trusted"),
        None => format!("no client found by {what}, which is trusted: never a peer"),
    };
    Note { text, location }
}
