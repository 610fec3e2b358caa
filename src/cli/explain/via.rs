//! How a proxy in front changed whom a request comes from, with the lines that let it.

use super::narrator::Note;
use crate::address::ClientAddress;
use crate::caller::ClientSource;
use crate::gateway::{ConnectionFacts, Origin};
use crate::snapshot::Snapshot;

/// A note for each proxy that was believed; none for a client that calls by itself.
pub(super) fn notes(
    snapshot: &Snapshot,
    facts: &ConnectionFacts,
    origin: &Origin<'_>,
) -> Vec<Note> {
    let mut notes = Vec::new();
    let listener = snapshot.config.listeners.get(facts.listener);
    if facts.source == ClientSource::ProxyProtocol {
        let sender = ClientAddress::new(facts.socket.ip());
        let what = format!("the PROXY header of {sender}");
        let entry = listener.and_then(|found| found.proxy_protocol_from.find(sender));
        notes.push(note(facts.client, &what, entry.map(|entry| entry.place.to_string())));
    }
    if let (Some(listener), Some(proxy)) = (facts.trusting(snapshot), facts.client) {
        let what = format!("{} from {proxy}", listener.forwarded_header.name());
        let entry = listener.trusted_proxies.find(proxy);
        let place = entry.map(|entry| entry.place.to_string());
        notes.push(note(origin.caller.address, &what, place));
    }
    notes
}

fn note(client: Option<ClientAddress>, what: &str, place: Option<String>) -> Note {
    let text = match client {
        Some(client) => format!("{client} found by {what}, which is trusted"),
        None => format!("no client found by {what}, which is trusted: never a peer"),
    };
    Note { text, place }
}
