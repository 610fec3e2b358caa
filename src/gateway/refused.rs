//! What a refusal says to the gateway's own administrator besides its reason: that the files on disk would not have
//! refused.

use super::Exchange;
use super::judge::{Case, Gate, judge};
use super::request_source::RequestSource;
use crate::http1::request::RequestHead;
use crate::refusal::{Reason, Refusal};
use crate::worker::snapshot::{Found, PeerWithState, Snapshot};

impl Exchange<'_> {
    /// Notes what a refusal means beyond this request.
    pub(super) fn take_note(&self, refusal: &Refusal, head: Option<RequestHead<'_>>) {
        if !is_of_the_configuration(refusal) {
            return;
        }
        if refusal.reason() == Reason::UnknownPeer
            && let Some(head) = head
        {
            self.remember(&head);
        }
        let newer = &self.worker.shared.newer;
        if let Some(head) = head
            && let Some(snapshot) = newer.untold()
            && let Some(peer) = self.would_be_granted(head, &snapshot)
            && newer.tell()
        {
            tracing::warn!(
                client = %self.source.caller.shown_address(),
                peer,
                reason = refusal.word(),
                request_id = self.request_id.as_str(),
                "the configuration on disk would have allowed what was refused just now, and was not \
                 reloaded: revision {} is there, {} runs; send HUP to reload",
                snapshot.config.revision,
                self.snapshot.config.revision
            );
        }
    }

    /// The peer whose request this would be by another configuration that grants it.
    fn would_be_granted(&self, head: RequestHead<'_>, snapshot: &Snapshot) -> Option<String> {
        let values = |name| head.values(name);
        let source = RequestSource::of(snapshot, self.facts, values, self.now);
        let case = Case { snapshot, facts: self.facts, found: source.found, now: self.now };
        let head = self.facts.require_tls(Ok(head));
        judge(OpenGate, case, head).ok()?;
        source.found.peer().map(|peer| peer.policy.name.to_string())
    }
}

/// Whether another configuration might not have refused.
fn is_of_the_configuration(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::UnknownPeer
            | Refusal::UnknownPeerLimited(_)
            | Refusal::PeerDisabled { .. }
            | Refusal::PeerExpired { .. }
            | Refusal::CertificateRequired { .. }
            | Refusal::CertificateMismatch { .. }
            | Refusal::ActionNotGranted(_)
            | Refusal::Misdirected
    )
}

/// Nothing is spent, and nothing is used up.
struct OpenGate;

impl Gate for OpenGate {
    type Admitted = ();

    fn charge_rejected(&mut self, _: Found<'_>) {}

    fn count_refused(&mut self, _: Found<'_>, refusal: Refusal) -> Refusal {
        refusal
    }

    fn admit(&mut self, _: &PeerWithState) -> Result<(), Refusal> {
        Ok(())
    }

    fn introduce(&mut self, _: Found<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}
