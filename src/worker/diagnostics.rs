//! What a worker tells its own administrator, and how often.
//!
//! Every refusal and every fault of XiVO is worth a line with its reason, but nobody's flood may fill
//! the journal: each kind has a limit for ten seconds, and then says how many it suppressed. The
//! search term, personal data, is in none of these lines.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::outage::News;
use crate::limits::NoSeat;
use crate::location::Location;
use crate::net::client_address::ClientAddress;
use crate::refusal::Reason;
use crate::tls::HandshakeFault;
use crate::upstream::UpstreamFault;

/// One worker's diagnostics.
#[derive(Debug, Default)]
pub struct Diagnostics {
    pub(crate) peers: Throttle,
    pub(crate) certificate_missing: Throttle,
    pub(crate) unknown: Throttle,
    rejected: Throttle,
    rejected_unknown: Throttle,
    no_proxy_header: Throttle,
    pub(crate) faults: Throttle,
    handshakes: Throttle,
    accept: Throttle,
    opened: Throttle,
    recovered: Throttle,
}

impl Diagnostics {
    /// Tells of an answer that was begun and could not be completed.
    pub fn cut(&self, fault: &UpstreamFault, request_id: &str) {
        if let Some(suppressed) = self.faults.pass(FAULTS) {
            let reason = Reason::from(fault).as_str();
            tracing::warn!(
                reason,
                request_id,
                suppressed,
                "an answer was cut off, and the client's connection reset: {fault}"
            );
        }
    }

    /// Tells that XiVO is not asked any more, or answers again; `why` is the fault that it was learnt from.
    pub fn circuit(&self, news: &News, why: &str) {
        let throttle = match news {
            News::Opened { .. } => &self.opened,
            News::ClosedOtherwise(_) | News::Over(_) => &self.recovered,
        };
        let Some(suppressed) = throttle.pass(FAULTS) else { return };
        match news {
            News::Opened { open, max_open } => tracing::warn!(
                suppressed,
                "XiVO does not answer ({why}): lookups are refused at once until it does; after {}, and \
                 then after at most {} each time, one is passed on to try it",
                shown(*open),
                shown(*max_open)
            ),
            News::ClosedOtherwise(over) => tracing::warn!(
                suppressed,
                "XiVO answers again after {}, though not as a phonebook ({why}): lookups are passed on to \
                 it; {over}",
                shown(over.lasted)
            ),
            News::Over(over) => {
                tracing::info!(
                    suppressed,
                    "XiVO answers again after {}; {over}",
                    shown(over.lasted)
                );
            }
        }
    }

    /// Tells that XiVO did not answer the gateway's own question.
    pub fn own_check_failed(&self, upstream: &str, why: &str) {
        if let Some(suppressed) = self.faults.pass(FAULTS) {
            tracing::warn!(upstream, suppressed, "the gateway's own search failed: {why}");
        }
    }

    /// Tells of a connection that was rejected, since there is no seat for it.
    pub fn connection_rejected(&self, client: ClientAddress, why: NoSeat) {
        // Unknown callers may not keep back what is said of peers.
        let throttle = match why {
            NoSeat::Peer(_) | NoSeat::Gateway(_) => &self.rejected,
            NoSeat::UnknownCaller(_)
            | NoSeat::Unknown(_)
            | NoSeat::Handshakes(_)
            | NoSeat::HandshakeRate => &self.rejected_unknown,
        };
        if let Some(suppressed) = throttle.pass(1) {
            tracing::warn!(%client, suppressed, "a connection was rejected: {why}");
        }
    }

    /// Tells of a connection that was closed since its sender named no client.
    pub fn no_proxy_header(&self, sender: ClientAddress, why: &str, location: Option<&Location>) {
        if let Some(suppressed) = self.no_proxy_header.pass(1) {
            let location = location.map(|location| format!(" [{location}]")).unwrap_or_default();
            tracing::warn!(
                %sender,
                suppressed,
                "a connection was closed: {why}; its sender is in proxy_protocol_from, so it has to \
                 begin with one{location}"
            );
        }
    }

    /// Tells of a TLS handshake that came to nothing, unless nobody began one.
    pub fn handshake_failed(&self, client: IpAddr, fault: &HandshakeFault) {
        if matches!(fault, HandshakeFault::Nothing) {
            tracing::debug!(%client, "a connection ended before a TLS handshake began");
            return;
        }
        if let Some(suppressed) = self.handshakes.pass(HANDSHAKES) {
            tracing::info!(%client, suppressed, "a TLS handshake failed: {fault}");
        }
    }

    /// Tells that a connection could not be accepted.
    pub fn accept_failed(&self, error: &std::io::Error) {
        if let Some(suppressed) = self.accept.pass(1) {
            tracing::error!(
                suppressed,
                "a connection could not be accepted: {error}; if it says `too many open files`, raise LimitNOFILE"
            );
        }
    }
}

/// A duration as people say it.
fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Lets a number of messages through in ten seconds, and counts the rest.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    since: Cell<Option<Instant>>,
    passed: Cell<u32>,
    suppressed: Cell<u64>,
}

impl Throttle {
    /// `None` for a message that is suppressed. Else how many were since the last one that passed, if any were.
    #[expect(clippy::option_option, reason = "the inner one is a field of the message")]
    pub(crate) fn pass(&self, most: u32) -> Option<Option<u64>> {
        let now = Instant::now();
        if self.since.get().is_none_or(|since| now.duration_since(since) >= PERIOD) {
            self.since.set(Some(now));
            self.passed.set(0);
        }
        if self.passed.get() >= most {
            self.suppressed.set(self.suppressed.get() + 1);
            return None;
        }
        self.passed.set(self.passed.get() + 1);
        Some(Some(self.suppressed.take()).filter(|suppressed| *suppressed > 0))
    }
}

const PERIOD: Duration = Duration::from_secs(10);

/// Refused requests told of in ten seconds, per worker.
pub(crate) const REFUSALS: u32 = 20;

/// Faults of XiVO told of in ten seconds, per worker.
pub(crate) const FAULTS: u32 = 5;

/// Failed TLS handshakes told of in ten seconds, per worker.
const HANDSHAKES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let throttle = Throttle::default();
        assert_eq!((throttle.pass(2), throttle.pass(2)), (Some(None), Some(None)));
        assert_eq!((throttle.pass(2), throttle.pass(2)), (None, None));
        throttle.since.set(Instant::now().checked_sub(PERIOD));
        assert_eq!(throttle.pass(2), Some(Some(2)));
        assert_eq!(throttle.pass(2), Some(None));
    }
}
