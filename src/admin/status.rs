//! How the gateway is, as one document: what `/status.json` answers, and what the status page shows.
//!
//! Programs read it, and packaging/status.schema.json describes it: a key that is here stays, and every key is always
//! there. Times are RFC 3339 in UTC. Its parts are those that `ctl` has ([`crate::control::documents`]), gathered by
//! the same functions.

pub(super) mod findings;
pub(super) mod source;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ring::Slot;
use crate::control::documents::{
    CertificateRow, Configuration, ConnectionsSummary, DisabledRow, ListenerRow, LogRow, NameRow,
    PeerRow, Requests, UpstreamRow, WorkerRow,
};

/// How the gateway is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StatusDocument {
    /// [`VERSION`].
    pub version: u32,
    /// The moment that it tells of.
    pub at: Timestamp,
    /// The host that the gateway runs on.
    pub host: String,
    /// The program's version.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
    /// `serving` or `draining`.
    pub phase: String,
    /// Whether all is well, in a sentence.
    pub verdict: Verdict,
    /// What needs somebody, and what one should know; most urgent first.
    pub findings: Vec<Finding>,
    /// Which configuration runs, and whether it is the one on disk.
    pub configuration: Configuration,
    /// What it listens on.
    pub listeners: Vec<ListenerRow>,
    /// Its worker threads.
    pub workers: Vec<WorkerRow>,
    /// Client connections.
    pub connections: ConnectionsSummary,
    /// What was asked since the start by all callers together.
    pub requests: Requests,
    /// What was asked lately.
    pub history: HistoryRows,
    /// Why requests were not answered since the start; most frequent first.
    pub refusals: Vec<ReasonRow>,
    /// XiVO's web server.
    pub upstream: UpstreamRow,
    /// That XiVO does not answer; null where it does, or nobody has asked.
    pub outage: Option<OutageRow>,
    /// The peers, in the order of their files.
    pub peers: Vec<PeerRow>,
    /// What callers in no policy asked since the start.
    pub unknown: Requests,
    /// Callers in no policy that ask as a XiVO does; who asked last comes first.
    pub unknown_callers: Vec<UnknownCallerRow>,
    /// Host names in policies.
    pub names: Vec<NameRow>,
    /// Certificates in use; who ends first comes first.
    pub certificates: Vec<CertificateRow>,
    /// The access logs.
    pub logs: Vec<LogRow>,
    /// When a line of an access log was lost last; null: none was.
    pub lines_lost_last: Option<Timestamp>,
    /// Peers that are switched off by `disable`.
    pub disabled: Vec<DisabledRow>,
}

/// How urgent something is; the most urgent is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// As it should be.
    Well,
    /// To be looked at.
    Attention,
    /// Lookups are not answered, or will not be.
    Ill,
}

/// Whether all is well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Of the most urgent finding.
    pub state: State,
    /// How it is.
    pub sentence: String,
    /// What to do; null where nothing is to be done.
    pub remedy: Option<String>,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum About {
    /// The gateway itself.
    Gateway,
    /// XiVO's web server.
    Upstream,
    /// The configuration on disk.
    Configuration,
    /// Certificates.
    Certificates,
    /// Host names.
    Names,
    /// Access logs.
    Logs,
    /// Client connections.
    Connections,
    /// Peers that are refused.
    Refused,
    /// Callers in no policy.
    Unknown,
    /// Peers that are switched off.
    Disabled,
}

/// Something that needs somebody, or that one should know where [`State::Well`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// How urgent it is.
    pub state: State,
    /// What it is about.
    pub about: About,
    /// What there is.
    pub sentence: String,
    /// What to do; null: nothing.
    pub remedy: Option<String>,
    /// Lines to paste; null: none.
    pub paste: Option<String>,
}

/// What was asked lately, since the start at the most.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HistoryRows {
    /// The last hour by the minute.
    pub hour: SlotRows,
    /// The last day by the quarter of an hour.
    pub day: SlotRows,
    /// Of each peer the requests of each minute of the last hour, the minute now last; peers beyond 1,024 are not
    /// there.
    pub peers: BTreeMap<String, Vec<u16>>,
}

/// Stretches of time of one length.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SlotRows {
    /// The length of each, in seconds.
    pub seconds: u32,
    /// How many of them are kept.
    pub most: usize,
    /// Those since the start; the one now, which is not over, is last.
    pub slots: Vec<SlotRow>,
}

/// What was asked in a stretch of time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SlotRow {
    /// Lookups that XiVO answered, and callers that were told who they are.
    pub answered: u32,
    /// Requests that were refused.
    pub refused: u32,
    /// Lookups that failed by a fault of XiVO's, or on the way to it.
    pub failed: u32,
    /// Requests whose client left before the answer.
    pub left: u32,
    /// Half of the answers of XiVO's took at most so many milliseconds, as far as the metrics' bounds tell; null: there
    /// was none.
    pub p50_millis: Option<u32>,
    /// The same of 99 of 100.
    pub p99_millis: Option<u32>,
}

impl From<Slot> for SlotRow {
    fn from(slot: Slot) -> Self {
        Self {
            answered: slot.answered,
            refused: slot.refused,
            failed: slot.failed,
            left: slot.left,
            p50_millis: slot.p50_millis.map(Into::into),
            p99_millis: slot.p99_millis.map(Into::into),
        }
    }
}

impl SlotRow {
    /// All requests.
    pub(crate) fn requests(&self) -> u64 {
        [self.answered, self.refused, self.failed, self.left].into_iter().map(u64::from).sum()
    }
}

/// A reason, and whom it met.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReasonRow {
    /// The stable word.
    pub reason: String,
    /// How many requests.
    pub count: u64,
    /// Whether it is a fault of XiVO's, or on the way to it.
    pub of_upstream: bool,
    /// What to do about it.
    pub remedy: String,
    /// Whom it met most; at most five.
    pub callers: Vec<CallerCount>,
    /// How many others it met; callers in no policy count as one.
    pub more_callers: usize,
}

/// How often somebody was met.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CallerCount {
    /// The peer; null: callers in no policy.
    pub peer: Option<String>,
    /// How often.
    pub count: u64,
}

/// That XiVO does not answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OutageRow {
    /// Since when.
    pub since: Timestamp,
    /// Lookups that have failed since; none was answered.
    pub failed: u64,
}

/// A caller in no policy that asks as a XiVO does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UnknownCallerRow {
    /// The address that asked last.
    pub address: String,
    /// When it asked for a lookup first.
    pub first: Timestamp,
    /// When it asked last.
    pub last: Timestamp,
    /// All that it asked since the first.
    pub requests: u64,
    /// How many of these were lookups.
    pub lookups: u64,
    /// How many of these were on the path with `private`.
    pub private: u64,
    /// The beginning of what it calls itself; control characters and what is no UTF-8 are replaced.
    pub user_agent: String,
    /// The file for its policy, within the policies' directory.
    pub file: String,
    /// The policy that would let it in.
    pub policy: String,
}

/// The version of this form.
pub(crate) const VERSION: u32 = 1;
