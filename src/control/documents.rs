//! What a gateway tells of itself: the documents that `ctl` shows, and that `--json` prints as they come.
//!
//! Programs read them: a key that is here stays, and every key is always there. Times are RFC 3339 in UTC.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How the gateway is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The program's version.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
    /// `serving` or `draining`.
    pub phase: String,
    /// Which configuration it runs.
    pub configuration: Configuration,
    /// What it listens on.
    pub listeners: Vec<ListenerRow>,
    /// Its worker threads.
    pub workers: Vec<WorkerRow>,
    /// Client connections.
    pub connections: ConnectionsSummary,
    /// What was asked since the start by all callers together.
    pub requests: Requests,
    /// XiVO's web server.
    pub upstream: UpstreamRow,
    /// The peers.
    pub peers: PeersSummary,
    /// Host names in policies.
    pub names: NamesSummary,
    /// The certificates that end first; at most three.
    pub certificates: Vec<CertificateRow>,
    /// The access logs.
    pub logs: Vec<LogRow>,
    /// Which diagnostics are told.
    pub log_level: LogLevel,
    /// Peers that are switched off by `disable`.
    pub disabled: Vec<DisabledRow>,
}

/// Which configuration runs, and whether it is the one on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Configuration {
    /// The main file.
    pub file: String,
    /// Digits that differ where a file's name or text does (`$policy_revision`).
    pub revision: String,
    /// How the files differ from it: null where they do not; a text that names the place otherwise.
    pub differs: Option<String>,
}

/// What is listened on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ListenerRow {
    /// The address, with the port that the kernel chose where the configuration says 0.
    pub address: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether it offers HTTP/2.
    pub http2: bool,
}

/// A worker thread.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorkerRow {
    /// Its number; the thread is `worker-N`.
    pub number: usize,
    /// Requests that ended on it since the start.
    pub requests: u64,
}

/// Client connections, by whose they are and by what they do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ConnectionsSummary {
    /// All that are open.
    pub open: usize,
    /// As many as there may be.
    pub most: usize,
    /// Peers'.
    pub peers: usize,
    /// Those of proxies in front.
    pub proxies: usize,
    /// Those of callers in no policy.
    pub unknown: usize,
    /// TLS handshakes of such callers.
    pub handshakes: usize,
    /// Those that carry a request.
    pub busy: usize,
    /// Those that wait for their first request.
    pub new: usize,
    /// Those that wait for another one.
    pub idle: usize,
    /// Those that are told that there is no room.
    pub over_limit: usize,
    /// Those that were told to leave and have not ended.
    pub leaving: usize,
}

/// Requests since the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Requests {
    /// Lookups that XiVO answered.
    pub answered: u64,
    /// Callers that were told who they are (`whoami`).
    pub introduced: u64,
    /// The others.
    pub refused: u64,
    /// The others by the word of their reason; those that are 0 are left out.
    pub reasons: BTreeMap<String, u64>,
    /// When the last one ended.
    pub last_seen: Option<Timestamp>,
    /// The last that was not answered as asked.
    pub last_refusal: Option<RefusalRow>,
}

/// A refusal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RefusalRow {
    /// When.
    pub at: Timestamp,
    /// The stable word.
    pub reason: String,
    /// Why, in a sentence, with the line of the configuration that decided where one did.
    pub why: String,
}

/// XiVO's web server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UpstreamRow {
    /// Its URL as it was written.
    pub url: String,
    /// The addresses that it is asked at.
    pub addresses: Vec<String>,
    /// The address that it sees, or how it comes about.
    pub source: String,
    /// Lookups that it answered since the start.
    pub answered: u64,
    /// Those that failed by a fault of its, or on the way to it.
    pub failed: u64,
    /// The last of these.
    pub last_failure: Option<RefusalRow>,
    /// Whether it is asked at all.
    pub circuit: CircuitRow,
}

/// Whether XiVO is asked (`[upstream.circuit]`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CircuitRow {
    /// `closed`: it is; `open`: it is not; `half-open`: one lookup at a time is passed on to try it; `off`: it always is.
    pub state: String,
    /// Since when it is not; null where it is.
    pub since: Option<Timestamp>,
    /// Why not, in a sentence; null where it is.
    pub why: Option<String>,
    /// Seconds until it is tried again, 0 where it is being tried or the next lookup will be; null where it is asked.
    pub next_probe_seconds: Option<f64>,
    /// Lookups that were refused in this outage without asking it.
    pub refused: u64,
}

/// How many peers there are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PeersSummary {
    /// All that have a policy.
    pub policies: usize,
    /// Those of them that are neither switched off nor outside of their dates.
    pub in_force: usize,
}

/// How many host names there are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NamesSummary {
    /// All of them.
    pub count: usize,
    /// Those that do not resolve now.
    pub failing: usize,
}

/// An access log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogRow {
    /// Where its lines go.
    pub name: String,
    /// Lines that were written since it was opened.
    pub written: u64,
    /// Lines that were lost.
    pub lost: u64,
}

/// Which diagnostics are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogLevel {
    /// `error`, `warn`, `info`, `debug` or `trace`; or what RUST_LOG says.
    pub level: String,
    /// Until when; null: until it is changed.
    pub until: Option<Timestamp>,
    /// The level that it was started with.
    pub configured: String,
}

/// A peer that `disable` has switched off.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DisabledRow {
    /// The peer.
    pub name: String,
    /// Whether it has a policy now.
    pub has_policy: bool,
    /// Since when.
    pub since: Timestamp,
    /// Until when; null: until it is switched on again.
    pub until: Option<Timestamp>,
    /// The reason that was given; may be empty.
    pub why: String,
    /// The name that was claimed; may be empty.
    pub by: String,
    /// The user id, where the kernel knew it.
    pub uid: Option<u32>,
}

/// All peers, or one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Peers {
    /// The peers, in the order of their files.
    pub peers: Vec<PeerRow>,
    /// Callers in no policy, all together; null where one peer was asked for.
    pub unknown: Option<Requests>,
}

/// A peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    /// Its name.
    pub name: String,
    /// Its policy's file.
    pub file: String,
    /// The policy's description; may be empty.
    pub description: String,
    /// `allowed`, `disabled`, or `expired`: whether its requests are looked at now.
    pub state: String,
    /// Why not, where they are not.
    pub why: Option<String>,
    /// What it may ask.
    pub actions: Vec<String>,
    /// What it is known by.
    pub hosts: Vec<HostRow>,
    /// The certificate that its policy names, in words; null: none.
    pub certificate: Option<String>,
    /// Its rate.
    pub rate: RateRow,
    /// Its lookups on their way to XiVO.
    pub in_flight: CountRow,
    /// Its client connections.
    pub connections: CountRow,
    /// What it asked since the start.
    pub requests: Requests,
}

/// A host of a policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HostRow {
    /// As it is written: an address, a prefix or a name.
    pub host: String,
    /// Where.
    pub place: String,
    /// The addresses that it stands for now: of a name what it resolved to, otherwise itself.
    pub addresses: Vec<String>,
}

/// A rate, and what is left of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RateRow {
    /// Requests in a period.
    pub requests: u32,
    /// The period, in seconds.
    pub seconds: u64,
    /// How many may come at once.
    pub burst: u32,
    /// How many may come at once now.
    pub left: u32,
}

/// How many there are, and how many there may be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CountRow {
    /// Now.
    pub now: usize,
    /// At most.
    pub most: usize,
}

/// Host names in policies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Names {
    /// Each of them, in the order of the policies.
    pub names: Vec<NameRow>,
}

/// A host name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NameRow {
    /// The name.
    pub name: String,
    /// Whose policy has it.
    pub peer: String,
    /// Where.
    pub place: String,
    /// The addresses by which the peer is known now.
    pub addresses: Vec<String>,
    /// What is refused of what it resolved to, or is the peer's no more, and why.
    pub refused: Vec<String>,
    /// When it resolved last; null: never.
    pub resolved: Option<Timestamp>,
    /// When it is asked for again.
    pub next: Option<Timestamp>,
    /// Since when it does not resolve, where it does not.
    pub failing_since: Option<Timestamp>,
    /// Why it does not.
    pub why: Option<String>,
}

/// Certificates in use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Certificates {
    /// Each of them; who ends first comes first.
    pub certificates: Vec<CertificateRow>,
}

/// A certificate in use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CertificateRow {
    /// What it is used for.
    pub use_for: String,
    /// The file that it was read from.
    pub file: String,
    /// Whose it is.
    pub subject: String,
    /// Its SHA-256.
    pub sha256: String,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Whole days until then; below 0 when it is over.
    pub days_left: i64,
}

/// Who has which of the client connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Connections {
    /// All together.
    pub summary: ConnectionsSummary,
    /// By holder; who has most comes first.
    pub holders: Vec<HolderRow>,
    /// Holders that are left out, since there are too many.
    pub more: usize,
}

/// Who has client connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HolderRow {
    /// `peer`, `former-peer`, `proxies`, `unknown` or `handshake`.
    pub kind: String,
    /// The peer's name, or the address (of IPv6 its /64); null for proxies and former peers.
    pub name: Option<String>,
    /// All of them.
    pub open: usize,
    /// Those that carry a request.
    pub busy: usize,
    /// Those that wait for their first request.
    pub new: usize,
    /// Those that wait for another one.
    pub idle: usize,
    /// Those that are told that there is no room.
    pub over_limit: usize,
    /// How long the one has waited that has waited for longest, in seconds; null where none waits.
    pub longest_wait: Option<u64>,
}

/// The last malformed heads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Errors {
    /// The newest first.
    pub heads: Vec<HeadRow>,
}

/// A malformed head.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HeadRow {
    /// When it was refused.
    pub at: Timestamp,
    /// Whom it came from.
    pub address: String,
    /// The peer that has the address; null: none.
    pub peer: Option<String>,
    /// The word of the refusal.
    pub reason: String,
    /// The rule that it breaks.
    pub rule: String,
    /// How many bytes had come of it.
    pub length: usize,
    /// How many of them before `before` are not kept.
    pub skipped: usize,
    /// What came before the fault, escaped: `\r`, `\n`, `\t`, `\\`, and `\xNN` for all other bytes but
    /// printable ASCII.
    pub before: String,
    /// The fault itself, escaped; empty where something is missing there; null where it is no matter of
    /// bytes.
    pub fault: Option<String>,
    /// What came behind it, escaped.
    pub after: String,
    /// Whether what may be a search term is hidden in it.
    pub hidden: bool,
}

/// A reload, or a step back, that was carried out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// What was done, in a sentence.
    pub done: String,
    /// What runs now.
    pub revision: String,
    /// What ran before.
    pub former_revision: String,
    /// What is different in meaning, a sentence each.
    pub changes: Vec<String>,
    /// What is legal and doubtful, each with its place.
    pub warnings: Vec<String>,
    /// How the files on disk differ from what runs now; null where they do not.
    pub differs: Option<String>,
}

/// The last good configurations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct History {
    /// The one that began to run last comes first.
    pub configurations: Vec<HistoryRow>,
    /// Files that cannot be read as such, each with the reason.
    pub unreadable: Vec<String>,
}

/// A configuration that once ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HistoryRow {
    /// How many began to run after it.
    pub number: usize,
    /// When it began to run.
    pub at: Timestamp,
    /// Its revision.
    pub revision: String,
    /// What made it run.
    pub by: String,
    /// Whether it is the one that runs.
    pub runs: bool,
    /// What it had otherwise than the one before it; null where that is not known.
    pub changes: Option<Vec<String>>,
}

/// What going back would change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RollbackChanges {
    /// A sentence each.
    pub changes: Vec<String>,
}

/// What was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// What was done, in a sentence.
    pub done: String,
    /// What is not as it should be all the same; null: nothing.
    pub warning: Option<String>,
}

/// Which configuration the gateway runs, for `explain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Revision {
    /// The program's version.
    pub program: String,
    /// Which configuration it runs.
    pub configuration: Configuration,
    /// When it started.
    pub since: Timestamp,
}
