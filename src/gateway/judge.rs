//! From a head to a permit: the one way, which `serve` and `explain` both go.

use std::sync::Arc;

use jiff::Timestamp;

use super::connection_facts::{Addressed, ConnectionFacts};
use super::whoami;
use crate::config::Listener;
use crate::http1::host::Host;
use crate::http1::request::RequestHead;
use crate::lookup::{Lookup, LookupParts};
use crate::policy::decide::{Permit, Verdict, decide};
use crate::refusal::Refusal;
use crate::worker::snapshot::{Found, PeerWithState, Snapshot};

/// What stands at the way from a head to a [`Permit`] besides the rules: the limits, which spend
/// tokens when a request is served and none when one is explained, and who watches.
pub trait Gate {
    /// That the limits let a request pass.
    type Admitted;

    /// Counts a request that is refused before anybody asked whose it is, so that such requests
    /// are not free. The refusal stays what it is.
    fn charge_rejected(&mut self, found: Found<'_>);

    /// Counts a caller that is refused because of its identity; yields the refusal that it gets.
    fn count_refused(&mut self, found: Found<'_>, refusal: Refusal) -> Refusal;

    /// Spends a token of the peer and one of the gateway, or neither.
    ///
    /// # Errors
    /// What is used up.
    fn admit(&mut self, peer: &PeerWithState) -> Result<Self::Admitted, Refusal>;

    /// Charges a `whoami` to the rate of unknown callers, also that of a peer.
    ///
    /// # Errors
    /// It has asked too often.
    fn introduce(&mut self, found: Found<'_>) -> Result<(), Refusal>;

    /// A request has come this far.
    fn passed(&mut self, _step: Step<'_>) {}
}

/// What a step of [`judge`] yielded.
#[derive(Debug)]
pub enum Step<'a> {
    /// A head that is HTTP, and meant for this gateway.
    Read(&'a RequestHead<'a>),
    /// A peer whose policy is in force.
    Identified(&'a PeerWithState),
    /// The parsed lookup.
    Parsed(&'a Lookup),
    /// Whether the policy grants it.
    Decided(&'a Verdict),
}

/// A request that nothing refuses.
#[derive(Debug)]
pub enum Judged<'s, 'b, A> {
    /// What is to be asked of XiVO.
    Lookup(Granted<'s, 'b, A>),
    /// A `whoami`.
    WhoAmI,
}

/// A request that may be asked of XiVO.
#[derive(Debug)]
pub struct Granted<'s, 'b, A> {
    /// The request's head.
    pub head: RequestHead<'b>,
    /// Whose it is.
    pub peer: &'s PeerWithState,
    /// That its tokens are spent.
    pub admitted: A,
    /// What may be asked.
    pub permit: Permit,
}

/// What a head is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Case<'s> {
    /// The configuration in force.
    pub snapshot: &'s Snapshot,
    /// What is known of its connection.
    pub facts: &'s ConnectionFacts,
    /// Whose it is by the policies.
    pub found: Found<'s>,
    /// When it came, by the calendar: policies have dates.
    pub now: Timestamp,
}

/// Judges a request whose head was read, or could not be.
///
/// # Errors
/// The first refusal.
pub fn judge<'s, 'b, G: Gate>(
    mut gate: G,
    case: Case<'s>,
    head: Result<RequestHead<'b>, Refusal>,
) -> Result<Judged<'s, 'b, G::Admitted>, Refusal> {
    if case.snapshot.config.whoami && whoami::is_asked(&head) {
        return introduce(&mut gate, case, head).map(|()| Judged::WhoAmI);
    }
    grant(gate, case, head).map(Judged::Lookup)
}

/// The way from a head to a permit. The order of these lines is the order in which refusals are found.
fn grant<'s, 'b, G: Gate>(
    mut gate: G,
    case: Case<'s>,
    head: Result<RequestHead<'b>, Refusal>,
) -> Result<Granted<'s, 'b, G::Admitted>, Refusal> {
    let found = case.found;
    let head = validate_head(&mut gate, case, head)?;
    let peer = identify(case).map_err(|refusal| gate.count_refused(found, refusal))?;
    gate.passed(Step::Identified(peer));
    let admitted = gate.admit(peer)?;
    let lookup = Lookup::parse(lookup_parts(&head))?;
    gate.passed(Step::Parsed(&lookup));
    let verdict = decide(&peer.policy, lookup);
    gate.passed(Step::Decided(&verdict));
    Ok(Granted { head, peer, admitted, permit: verdict.outcome? })
}

/// The peer that may come in.
fn identify<'s>(case: Case<'s>) -> Result<&'s PeerWithState, Refusal> {
    let peer = case.found.identify(case.now)?;
    match case.snapshot.disabled.find(&peer.policy.name, case.now) {
        Some(disabled) => Err(Refusal::PeerDisabledNow(Arc::clone(disabled))),
        None => Ok(peer),
    }
}

/// The way of a head that asks who it is: it has to be HTTP and meant for this gateway, and is counted as
/// those of callers in no policy are, whoever asks.
fn introduce<G: Gate>(
    gate: &mut G,
    case: Case<'_>,
    head: Result<RequestHead<'_>, Refusal>,
) -> Result<(), Refusal> {
    let head = validate_head(gate, case, head)?;
    gate.introduce(case.found)?;
    match head.method() {
        b"GET" | b"HEAD" if head.has_body() => Err(Refusal::BodyNotAllowed),
        b"GET" | b"HEAD" => Ok(()),
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// The first step: a head that is HTTP, and meant for this gateway.
fn validate_head<'b, G: Gate>(
    gate: &mut G,
    case: Case<'_>,
    head: Result<RequestHead<'b>, Refusal>,
) -> Result<RequestHead<'b>, Refusal> {
    let found = case.found;
    let head = direct(head, case.facts.addressed(case.snapshot)).map_err(|refusal| {
        if refusal == Refusal::Misdirected {
            // The connection would go on, so an unknown caller's rate has to end it.
            return gate.count_refused(found, refusal);
        }
        gate.charge_rejected(found);
        refusal
    })?;
    gate.passed(Step::Read(&head));
    Ok(head)
}

/// Refuses what is not HTTP, or is meant for somebody else.
fn direct<'b>(
    head: Result<RequestHead<'b>, Refusal>,
    addressed: Addressed<'_>,
) -> Result<RequestHead<'b>, Refusal> {
    let head = head?;
    let host = head.host();
    // A client that asked for one name in the handshake and for another in the request would get
    // what belongs to the second by what it showed to the first (RFC 9110, section 7.4).
    let same_name =
        addressed.server_name.is_none_or(|name| host.is_some_and(|host| host.is_named(name)));
    if same_name && addressed.listener.is_none_or(|listener| is_served(listener, host)) {
        Ok(head)
    } else {
        Err(Refusal::Misdirected)
    }
}

/// Whether a listener answers for `host`. One without `server_names` answers for any; one with them
/// for no request without a Host.
pub fn is_served(listener: &Listener, host: Option<Host<'_>>) -> bool {
    let names = &listener.server_names;
    names.is_empty() || host.is_some_and(|host| names.iter().any(|name| host.is_named(name)))
}

/// The parts of a head that say what is asked.
pub fn lookup_parts<'b>(head: &RequestHead<'b>) -> LookupParts<'b> {
    LookupParts {
        method: head.method(),
        path: head.path(),
        query: head.query(),
        has_body: head.has_body(),
    }
}
