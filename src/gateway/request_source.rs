//! Whom a request comes from: what the connection says of it, what a trusted proxy in front says, and
//! who that is by the policies. Found once, for policy, limits, log and `explain` alike.

use jiff::Timestamp;

use crate::gateway::connection_facts::ConnectionFacts;
use crate::identity::caller::Caller;
use crate::identity::forwarded;
use crate::worker::snapshot::{Found, Snapshot};

/// Whom a request comes from, and who that is: found once.
#[derive(Clone, Copy, Debug)]
pub struct RequestSource<'a> {
    /// What the connection and the head say.
    pub caller: Caller<'a>,
    /// What the policies say.
    pub found: Found<'a>,
    /// Why a trusted proxy's header names no client, where it does not.
    pub no_client: Option<&'static str>,
}

impl<'a> RequestSource<'a> {
    /// Who sends a request at `now` over a connection with these `facts`.
    /// `values` yields what the head says in all fields of a name; it is asked only where a trusted
    /// proxy sends the request.
    pub fn of<'b, V: DoubleEndedIterator<Item = &'b [u8]>>(
        snapshot: &'a Snapshot,
        facts: &'a ConnectionFacts,
        values: impl FnOnce(&'static str) -> V,
        now: Timestamp,
    ) -> Self {
        let ConnectionFacts { client, source, socket, .. } = *facts;
        let mut no_client = None;
        let caller = match facts.trusting(snapshot) {
            // The certificate that such a proxy shows is its own, and nothing of its client's.
            Some(listener) => {
                let header = listener.forwarded_header;
                let is_trusted = |address| listener.trusted_proxies.contain(address);
                let found = forwarded::client(header, values(header.name()), is_trusted);
                no_client = found.err();
                Caller { address: found.ok(), source: header.into(), socket, certificate: None }
            }
            None => {
                let certificate = facts.presented_certificate(snapshot, now);
                Caller { address: client, source, socket, certificate }
            }
        };
        Self { caller, found: snapshot.peers.find(&caller), no_client }
    }
}
