//! `names`: the host names of policies, and the addresses that they have.

use std::collections::HashMap;

use super::View;
use super::peers::addresses;
use crate::control::documents::{NameRow, Names, NamesSummary};
use crate::policy::PeerName;

impl View<'_> {
    /// Each host name.
    pub(crate) fn names(self) -> Names {
        let shared = self.0.shared();
        let (states, snapshot) = (shared.names(), shared.snapshot());
        let addresses = addresses(&snapshot);
        let mut refused: HashMap<(&PeerName, &str), Vec<String>> = HashMap::new();
        for lost in snapshot.lost.iter() {
            refused.entry((&lost.peer, &lost.name)).or_default().push(lost.to_string());
        }
        let names = states.iter().map(|state| {
            let key = (&state.peer, state.name.as_str());
            let (failing_since, why) = match &state.failing {
                Some((since, why)) => (Some(*since), Some(why.to_string())),
                None => (None, None),
            };
            NameRow {
                name: state.name.clone(),
                peer: state.peer.to_string(),
                place: state.location.to_string(),
                addresses: addresses.get(&key).cloned().unwrap_or_default(),
                refused: refused.get(&key).cloned().unwrap_or_default(),
                resolved: state.resolved,
                next: state.next,
                failing_since,
                why,
            }
        });
        Names { names: names.collect() }
    }

    pub(super) fn names_summary(self) -> NamesSummary {
        let names = self.0.shared().names();
        let failing = names.iter().filter(|state| state.failing.is_some()).count();
        NamesSummary { count: names.len(), failing }
    }
}
