//! What a request spends on its way, and what is noted of it: the gate of requests that are served.

use std::sync::Arc;

use super::Exchange;
use super::judge::{Gate, Step};
use crate::identity::peers::Peer;
use crate::limits::{Admitted, PeerLimits};
use crate::policy::decide::action;
use crate::refusal::Refusal;
use crate::worker::snapshot::Found;

/// The limits as they are when a request is served.
impl Gate for &Exchange<'_> {
    type Admitted = Admitted;

    fn passed(&mut self, step: Step<'_>) {
        match step {
            Step::Parsed(lookup) => self.notes.action.set(Some(action(lookup))),
            Step::Decided(verdict) if self.worker.log.needs().rule => {
                self.notes.rule.replace(Some(verdict.rule.clone()));
            }
            Step::Read(_) | Step::Identified(_) | Step::Decided(_) => {}
        }
    }

    fn count_unheard(&mut self, found: Found<'_>) {
        let limits = &self.worker.shared.limits;
        let now = self.worker.moment(self.began.into_std());
        let _ = match found.peer() {
            Some(peer) => limits.admit(&peer.state, now).map(drop),
            None => limits.unknown(self.origin.caller.shown_address(), now),
        };
    }

    /// A stranger is heard as long as its rate lasts.
    fn count_refused(&mut self, found: Found<'_>, refusal: Refusal) -> Refusal {
        if found.peer().is_some() {
            self.count_unheard(found);
            return refusal;
        }
        let now = self.worker.moment(self.began.into_std());
        let limits = &self.worker.shared.limits;
        match self.notes.rated(limits.unknown(self.origin.caller.shown_address(), now)) {
            Ok(()) => refusal,
            Err(limited) => Refusal::UnknownPeerLimited(limited),
        }
    }

    fn introduce(&mut self, found: Found<'_>) -> Result<(), Refusal> {
        let now = self.worker.moment(self.began.into_std());
        let counted = self.worker.shared.limits.unknown(self.origin.caller.shown_address(), now);
        self.notes.rated(counted).map_err(|limited| match found.peer() {
            Some(_) => Refusal::RateLimited(limited),
            None => Refusal::UnknownPeerLimited(limited),
        })
    }

    fn admit(&mut self, peer: &Peer<Arc<PeerLimits>>) -> Result<Admitted, Refusal> {
        let now = self.worker.moment(self.began.into_std());
        let admitted = self.worker.shared.limits.admit(&peer.state, now);
        self.notes.rated(admitted).map_err(Refusal::RateLimited)
    }
}
