//! `connections`: who has which of the client connections.

use std::collections::HashMap;

use super::View;
use crate::control::documents::{Connections, ConnectionsSummary, HolderRow};
use crate::limits::{HolderSeats, PeerId, SeatCensus, SeatHolder};

impl View<'_> {
    pub(super) fn connections(self, census: &SeatCensus) -> Connections {
        let snapshot = self.0.shared().snapshot();
        let names: HashMap<PeerId, &str> = snapshot
            .peers
            .iter()
            .map(|peer| (peer.state.limits.id(), peer.policy.name.as_str()))
            .collect();
        let mut holders: Vec<HolderRow> =
            census.holders.iter().map(|seats| row(seats, &names)).collect();
        holders.sort_by(|a, b| (b.open, &a.kind, &a.name).cmp(&(a.open, &b.kind, &b.name)));
        let more = holders.len().saturating_sub(MOST_SHOWN);
        holders.truncate(MOST_SHOWN);
        Connections { summary: summary(census), holders, more }
    }
}

/// All together.
pub(super) fn summary(census: &SeatCensus) -> ConnectionsSummary {
    let mut sum = ConnectionsSummary {
        open: census.leaving,
        most: census.most,
        leaving: census.leaving,
        ..ConnectionsSummary::default()
    };
    for seats in &census.holders {
        let open = seats.open();
        sum.open += open;
        sum.busy += seats.busy;
        sum.new += seats.new;
        sum.idle += seats.idle;
        sum.over_limit += seats.over_limit;
        match seats.holder {
            SeatHolder::Peer(_) => sum.peers += open,
            SeatHolder::Proxies => sum.proxies += open,
            SeatHolder::Unknown(_) => sum.unknown += open,
            SeatHolder::Handshake(_) => sum.handshakes += open,
        }
    }
    sum
}

fn row(seats: &HolderSeats, names: &HashMap<PeerId, &str>) -> HolderRow {
    let (kind, name) = match seats.holder {
        SeatHolder::Peer(id) => match names.get(&id) {
            Some(name) => ("peer", Some((*name).to_owned())),
            None => ("former-peer", None),
        },
        SeatHolder::Proxies => ("proxies", None),
        SeatHolder::Unknown(address) => ("unknown", Some(address.to_string())),
        SeatHolder::Handshake(address) => ("handshake", Some(address.to_string())),
    };
    HolderRow {
        kind: kind.to_owned(),
        name,
        open: seats.open(),
        busy: seats.busy,
        new: seats.new,
        idle: seats.idle,
        over_limit: seats.over_limit,
        longest_wait: seats.longest_wait.map(|wait| wait.as_secs()),
    }
}

/// Holders that are shown: a flood has thousands.
const MOST_SHOWN: usize = 200;
