//! What a request spends on its way, and what is noted of it: the gate of requests that are served.

use super::Exchange;
use super::judge::{Gate, Step};
use crate::limits::{Admitted, Moment, PeerLimits, RateLimited};
use crate::policy::decide::action;
use crate::refusal::Refusal;
use crate::worker::snapshot::{Found, PeerWithState};

/// The limits as they are when a request is served.
impl Gate for &Exchange<'_> {
    type Admitted = Admitted;

    fn passed(&mut self, step: Step<'_>) {
        match step {
            Step::Parsed(lookup) => self.annotations.action.set(Some(action(lookup))),
            Step::Decided(verdict) if self.needs_rule => {
                self.annotations.rule.replace(Some(verdict.rule.clone()));
            }
            Step::Read(_) | Step::Identified(_) | Step::Decided(_) => {}
        }
    }

    fn charge_rejected(&mut self, found: Found<'_>) {
        let _ = match found.peer() {
            Some(peer) => self.spend(&peer.state.limits).map(drop),
            None => self.spend_unknown(),
        };
    }

    /// An unknown caller gets an answer as long as its rate lasts.
    fn count_refused(&mut self, found: Found<'_>, refusal: Refusal) -> Refusal {
        if found.peer().is_some() {
            self.charge_rejected(found);
            return refusal;
        }
        match self.annotations.rated(self.spend_unknown()) {
            Ok(()) => refusal,
            Err(limited) => Refusal::UnknownPeerLimited(limited),
        }
    }

    fn introduce(&mut self, found: Found<'_>) -> Result<(), Refusal> {
        self.annotations.rated(self.spend_unknown()).map_err(|limited| match found.peer() {
            Some(_) => Refusal::RateLimited(limited),
            None => Refusal::UnknownPeerLimited(limited),
        })
    }

    fn admit(&mut self, peer: &PeerWithState) -> Result<Admitted, Refusal> {
        self.annotations.rated(self.spend(&peer.state.limits)).map_err(Refusal::RateLimited)
    }
}

impl Exchange<'_> {
    /// Spends a token of the peer and one of the gateway, or neither.
    fn spend(&self, peer: &PeerLimits) -> Result<Admitted, RateLimited> {
        self.snapshot.limits.admit(peer, self.moment())
    }

    /// Spends a token that a caller in no policy has.
    fn spend_unknown(&self) -> Result<(), RateLimited> {
        self.snapshot.limits.unknown(self.source.caller.shown_address(), self.moment())
    }

    /// When the request's head was read, as the limits count it.
    fn moment(&self) -> Moment {
        self.worker.moment(self.began.into_std())
    }
}
