//! Watches a request on its way, and notes each step with the lines of the configuration that decided.

use super::Asking;
use crate::config::{Upstream, UpstreamHost, escaped};
use crate::gateway::connection_facts::Addressed;
use crate::gateway::explain;
use crate::gateway::forward;
use crate::gateway::judge::{Gate, Step};
use crate::gateway::request_source::RequestSource;
use crate::http1::Version;
use crate::http1::request::RequestHead;
use crate::identity::peers::MatchedBy;
use crate::limits::Limit;
use crate::location::{Located, Location};
use crate::lookup::Lookup;
use crate::policy::decide::{Verdict, action};
use crate::policy::{Policy, Rate};
use crate::refusal::Refusal;
use crate::worker::snapshot::{Found, PeerWithState, Snapshot};

/// A step as it is shown.
#[derive(Debug)]
pub(super) struct StepShown {
    pub(super) step: &'static str,
    pub(super) refused: bool,
    /// At least one.
    pub(super) annotations: Vec<Note>,
}

impl StepShown {
    /// How it was found whom the connection comes from.
    pub(super) fn from_note(note: Note) -> Self {
        Self { step: "from", refused: false, annotations: vec![note] }
    }
}

/// What decided, and where it stands.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) text: String,
    pub(super) location: Option<String>,
}

/// A limit that applies to the request.
#[derive(Debug)]
pub(super) struct LimitShown {
    pub(super) limit: &'static str,
    pub(super) note: Note,
}

impl LimitShown {
    fn noted(&self) -> Note {
        Note { text: self.note.text.clone(), location: self.note.location.clone() }
    }
}

/// The gate at which nothing is spent and everything is noted.
#[derive(Debug)]
pub(super) struct Narrator<'s> {
    snapshot: &'s Snapshot,
    origin: RequestSource<'s>,
    addressed: Addressed<'s>,
    /// How the caller was found, where a proxy stands in front.
    via: Vec<Note>,
    steps: Vec<StepShown>,
    limits: Vec<LimitShown>,
    /// The step that the request has come to.
    at: &'static str,
}

impl<'s> Narrator<'s> {
    pub(super) fn new(
        snapshot: &'s Snapshot,
        origin: RequestSource<'s>,
        via: Vec<Note>,
        addressed: Addressed<'s>,
    ) -> Self {
        let (steps, limits) = (Vec::new(), Vec::new());
        Self { snapshot, origin, addressed, via, steps, limits, at: "read" }
    }

    /// The request ends where it is.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let (text, location) = explain::reason(refusal, self.snapshot, &self.origin);
        let names = self.addressed.listener.filter(|_| *refusal == Refusal::Misdirected);
        let location = location.or_else(|| names.map(|listener| &listener.location));
        self.note(true, vec![Note { text, location: location.map(ToString::to_string) }]);
        // Those that are refused before a limit has been asked are counted all the same.
        if matches!(self.at, "read" | "identify") {
            let mut annotations = self.limit_notes();
            if let Some(step) = self.steps.last_mut() {
                step.annotations.append(&mut annotations);
            }
        }
    }

    /// The request is on its way to XiVO.
    pub(super) fn forwarded(&mut self, asking: &Asking, lookup: &Lookup) {
        self.at = "forward";
        let upstream = &self.snapshot.config.upstream;
        let to = match (&upstream.host, asking.address) {
            (UpstreamHost::Socket(path), _) => format!("to unix:{}", path.display()),
            (_, Some(address)) => format!("to {address}"),
            (_, None) => {
                format!("{} has no address now: answered 502 as long as that is so", upstream.host)
            }
        };
        let from = asking.source.map(|source| format!(", from {source}")).unwrap_or_default();
        let tls = upstream.tls.as_ref();
        let tls = tls.map(|tls| format!(", in TLS with {}", tls.server_name())).unwrap_or_default();
        let relayed = match asking.relayed {
            Some((client, Ok(()))) => format!(", naming {client} by the PROXY protocol"),
            Some((_, Err(why))) => format!(" (answered 502: {why})"),
            None => String::new(),
        };
        let text = format!("{to}{from}{tls}, as host `{}`{relayed}", upstream.host_header);
        let annotations = vec![noted(text, &upstream.location), head_timeout(upstream, lookup)];
        self.note(false, annotations);
    }

    /// All that was noted.
    pub(super) fn end(self) -> (Vec<StepShown>, Vec<LimitShown>) {
        (self.steps, self.limits)
    }

    fn note(&mut self, refused: bool, annotations: Vec<Note>) {
        self.steps.push(StepShown { step: self.at, refused, annotations });
    }

    fn read(&mut self, head: &RequestHead<'_>) {
        let version = match head.version() {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        };
        let host = match head.host() {
            Some(host) => format!("host {}", String::from_utf8_lossy(host.name())),
            None => "no host".to_owned(),
        };
        let text = format!("{version}, {host}, {} bytes", head.len());
        let mut annotations = vec![Note { text, location: None }];
        annotations.append(&mut self.via);
        self.note(false, annotations);
        self.at = "identify";
    }

    fn identified(&mut self, policy: &Policy) {
        let mut annotations = Vec::new();
        if let Found::Peer(found) = self.origin.found {
            let address = self.origin.caller.shown_address();
            let text = match found.by {
                MatchedBy::Address(prefix) => {
                    format!("{address} is in {prefix}: peer `{}`", policy.name)
                }
                MatchedBy::AddressAndCertificate(prefix) => format!(
                    "{address} is in {prefix}, and the certificate is one of the policy's: peer `{}`",
                    policy.name
                ),
                MatchedBy::Certificate => {
                    format!("the certificate is one of the policy's: peer `{}`", policy.name)
                }
            };
            annotations.push(noted(text, found.location));
        }
        annotations.push(placed("switched on".to_owned(), &policy.enabled));
        for (word, date) in [("from", &policy.valid_from), ("until", &policy.valid_until)] {
            if let Some(date) = date {
                annotations.push(placed(format!("valid {word} {}", date.value), date));
            }
        }
        self.note(false, annotations);
        self.at = "admit";
    }

    fn parsed(&mut self, lookup: &Lookup) {
        let (text, known) = match lookup {
            Lookup::Search { term, known } => {
                let count = term.length();
                let characters = if count == 1 { "character" } else { "characters" };
                let term = escaped(term.as_str());
                (format!("a search for `{term}`, {count} {characters}"), known)
            }
            Lookup::List { known } => ("the whole phonebook".to_owned(), known),
            Lookup::View { id, known } => (format!("the contact with the id {id}"), known),
        };
        let known = match known {
            Some(_) => ", unless the caller's `sum` shows that it is unchanged",
            None => "",
        };
        self.note(false, vec![Note { text: text + known, location: None }]);
        self.at = "decide";
    }

    /// A refusal is noted by [`Self::refused`], as at any other step.
    fn decided(&mut self, verdict: &Verdict) {
        let (Ok(permit), Some(peer)) = (&verdict.outcome, self.origin.found.peer()) else { return };
        let policy = &peer.policy;
        let action = action(permit.lookup()).as_str();
        let granted = format!("the policy's actions have `{action}`");
        let mut annotations = vec![placed(granted, &policy.actions)];
        if let Lookup::Search { .. } = permit.lookup() {
            let least = &policy.min_search_length;
            let text = match least.value {
                1 => "terms have at least 1 character".to_owned(),
                least => format!("terms have at least {least} characters"),
            };
            annotations.push(placed(text, least));
        }
        self.note(false, annotations);
    }

    /// Notes the limits that the request is counted by; yields them as lines of a step.
    fn limit_notes(&mut self) -> Vec<Note> {
        let limits = &self.snapshot.config.limits;
        self.limits = match self.origin.found.peer() {
            None => {
                vec![shown_rate(Limit::Unknown.as_str(), "unknown callers", &limits.unknown_rate)]
            }
            Some(peer) => {
                let policy = &peer.policy;
                let concurrent = &policy.concurrent;
                let text = format!("lookups on their way at once: {}", concurrent.value);
                vec![
                    shown_rate(Limit::Peer.as_str(), "this peer", &policy.rate),
                    shown_rate(Limit::Gateway.as_str(), "all peers together", &limits.rate),
                    LimitShown { limit: "concurrent", note: placed(text, concurrent) },
                ]
            }
        };
        self.limits.iter().map(LimitShown::noted).collect()
    }
}

impl Gate for &mut Narrator<'_> {
    /// Nothing was spent.
    type Admitted = ();

    fn charge_rejected(&mut self, _found: Found<'_>) {}

    fn count_refused(&mut self, _found: Found<'_>, refusal: Refusal) -> Refusal {
        refusal
    }

    fn admit(&mut self, _peer: &PeerWithState) -> Result<(), Refusal> {
        let annotations = self.limit_notes();
        self.note(false, annotations);
        self.at = "parse";
        Ok(())
    }

    fn introduce(&mut self, _found: Found<'_>) -> Result<(), Refusal> {
        let rate = &self.snapshot.config.limits.unknown_rate;
        self.limits = vec![shown_rate(Limit::Unknown.as_str(), "whoever asks who it is", rate)];
        self.at = "admit";
        let annotations = self.limits.iter().map(LimitShown::noted).collect();
        self.note(false, annotations);
        self.at = "answer";
        Ok(())
    }

    fn passed(&mut self, step: Step<'_>) {
        match step {
            Step::Read(head) => self.read(head),
            Step::Identified(peer) => self.identified(&peer.policy),
            Step::Parsed(lookup) => self.parsed(lookup),
            Step::Decided(verdict) => self.decided(verdict),
        }
    }
}

fn shown_rate(limit: &'static str, whose: &str, rate: &Located<Rate>) -> LimitShown {
    let Rate { requests, period, burst } = rate.value;
    let period = match period.as_secs() {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        seconds => format!("{seconds} s"),
    };
    let text = format!("rate of {whose}: {requests} per {period}, {burst} at once");
    LimitShown { limit, note: placed(text, rate) }
}

/// How long XiVO has for its answer, and why so long.
fn head_timeout(upstream: &Upstream, lookup: &Lookup) -> Note {
    let (key, timeout) = forward::located_head_timeout(upstream, lookup);
    let what = match lookup {
        Lookup::Search { term, .. } if term.is_telephone_number() => {
            "a search by a telephone number"
        }
        Lookup::Search { .. } => "a search by text",
        Lookup::View { .. } => "a view",
        Lookup::List { .. } => "the whole list",
    };
    let text = format!(
        "{what}: XiVO's answer has to begin within {:?} ({key}), else it is 504",
        timeout.value
    );
    placed(text, timeout)
}

fn noted(text: String, location: &Location) -> Note {
    Note { text, location: Some(location.to_string()) }
}

/// A default stands nowhere.
fn placed<T>(text: String, value: &Located<T>) -> Note {
    if value.written {
        noted(text, &value.location)
    } else {
        Note { text: text + " (default)", location: None }
    }
}
