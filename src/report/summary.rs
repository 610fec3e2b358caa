//! What a report says: the figures that the terminal, the JSON and the HTML page all show.
//!
//! The names of the fields are the names in the JSON, which is a contract (`packaging/report.schema.json`):
//! [`Report::schema`] is raised where a reader of the former form would be misled.

use serde::Serialize;

use super::moment::Moment;

/// The version of the JSON.
pub const SCHEMA: u32 = 1;

/// What the logs tell.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this form, [`SCHEMA`].
    pub schema: u32,
    /// When it was made.
    pub generated: Moment,
    /// What was read.
    pub input: Input,
    /// Everything that was counted.
    pub totals: Totals,
    /// Over time: one bucket behind the other, without gaps.
    pub buckets: Buckets,
    /// Requests by the hour of the day, as the log writes the hour; 24 figures.
    pub hour_of_day: Vec<u64>,
    /// Who looked up how much; most requests first.
    pub peers: Vec<Peer>,
    /// What was refused and why; most frequent first.
    pub refusals: Vec<Refused>,
    /// Who was limited; most frequent first.
    pub limited: Vec<Limited>,
    /// How long answers took; `None` where no format says so.
    pub answer_times: Option<AnswerTimes>,
    /// Callers in no policy.
    pub unknown: Unknown,
    /// Peers that used to ask and do so no longer.
    pub silent: Vec<Silent>,
    /// Alphabetical sweeps and other harvests; the longest first.
    pub harvests: Vec<Harvest>,
    /// XiVO's failures.
    pub upstream: Upstream,
}

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct Input {
    /// The files, in the order of their times.
    pub files: Vec<LogFile>,
    /// Lines, empty ones not counted.
    pub lines: u64,
    /// Lines that were read but are outside of what was asked for (`--since`, `--peer` and so on).
    pub filtered: u64,
    /// Lines that no format fits.
    pub unreadable: u64,
    /// The first of these.
    pub unreadable_samples: Vec<Sample>,
    /// Lines whose reason was read from status and target, because the format has no `$reason`.
    pub reasons_inferred: u64,
    /// What of the configuration was used: its path.
    pub configuration: Option<String>,
    /// What about the log itself needs somebody, in sentences: a good part of it is unreadable, or its format lacks
    /// what the figures need.
    pub findings: Vec<String>,
    /// What was left out and why, in sentences: names over the limits, an unreadable configuration.
    pub notes: Vec<String>,
}

impl Input {
    /// Whether so many lines were unreadable that what is said of the others may not hold of all.
    pub fn is_unreadable_in_good_part(&self) -> bool {
        self.unreadable > 0 && self.unreadable.saturating_mul(20) >= self.lines
    }
}

/// A file that was read.
#[derive(Clone, Debug, Serialize)]
pub struct LogFile {
    /// Its path, or `standard input`.
    pub name: String,
    /// The format it was read in: a name, or `--log-format`; several where it changes, between commas.
    pub format: String,
    /// Lines, empty ones not counted.
    pub lines: u64,
}

/// A line that no format fits.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: u64,
    /// The line's beginning, with control characters escaped.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// All requests.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// When the first one ended.
    pub first: Option<Moment>,
    /// And the last one.
    pub last: Option<Moment>,
    /// How many.
    pub requests: u64,
    /// Answered: every status below 400.
    pub answered: u64,
    /// Refused by the gateway: 4xx but 499.
    pub refused: u64,
    /// Of these, limited: 429.
    pub limited: u64,
    /// XiVO failed: 5xx.
    pub failed: u64,
    /// The client left: 499.
    pub left: u64,
    /// Bytes of answers' bodies.
    pub body_bytes: u64,
    /// By status, in their order.
    pub statuses: Vec<Count<u16>>,
    /// Distinct addresses that asked (an estimate, see [`Report::accuracy`](ACCURACY)).
    pub addresses: u64,
    /// Distinct search terms (an estimate).
    pub terms: u64,
}

/// How exact estimates are; for people.
pub const ACCURACY: &str = "Numbers of distinct addresses and terms are exact to 128 and estimated beyond \
    (HyperLogLog with 4,096 registers: standard error 1.6 %). Percentiles of times are exact to 255 ms and within \
    1 % beyond (HdrHistogram with 2 digits). The busiest unknown callers are found with 8,192 \
    counters (Misra and Gries): a caller with more than 1 in 4,096 of the strangers' requests is never missed, and \
    its count is at most as much too high as the figure beside it says.";

/// How often something was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count<T> {
    /// What.
    pub value: T,
    /// How often.
    pub count: u64,
}

/// Figures over time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Buckets {
    /// A bucket's length in seconds: 3600, or a multiple where the log spans too many hours.
    pub seconds: u32,
    /// The buckets.
    pub list: Vec<Bucket>,
}

/// One stretch of time.
#[derive(Clone, Debug, Serialize)]
pub struct Bucket {
    /// When it begins.
    pub begin: Moment,
    /// All requests.
    pub requests: u64,
    /// Refused, limited ones included.
    pub refused: u64,
    /// 429.
    pub limited: u64,
    /// 5xx.
    pub failed: u64,
    /// The client left: 499.
    pub left: u64,
    /// Later than a second.
    pub late: u64,
}

/// A peer, or in a log that names no peers (nginx's own) an address that was let in.
#[derive(Clone, Debug, Serialize)]
pub struct Peer {
    /// Its name, or its address.
    pub name: String,
    /// Whether the name is an address.
    pub is_address: bool,
    /// When it first asked.
    pub first: Moment,
    /// And last.
    pub last: Moment,
    /// Requests.
    pub requests: u64,
    /// Answered: every status below 400.
    pub answered: u64,
    /// Refused, limited ones included.
    pub refused: u64,
    /// 429.
    pub limited: u64,
    /// 5xx.
    pub failed: u64,
    /// The client left.
    pub left: u64,
    /// Bytes of bodies.
    pub body_bytes: u64,
    /// What was asked for: search, list, view, writing, other; most frequent first.
    pub actions: Vec<Count<String>>,
    /// Distinct addresses (an estimate).
    pub addresses: u64,
    /// Distinct terms (an estimate).
    pub terms: u64,
    /// The most distinct terms in one hour (an estimate), and that hour.
    pub terms_per_hour: Option<PerHour>,
    /// Times of its answers.
    pub answer_times: Option<AnswerTimes>,
    /// Requests in each of the report's buckets.
    pub buckets: Vec<u64>,
    /// Requests by the hour of the day; 24 figures.
    pub hour_of_day: Vec<u64>,
}

/// The busiest hour.
#[derive(Clone, Debug, Serialize)]
pub struct PerHour {
    /// When it began.
    pub begin: Moment,
    /// How many.
    pub count: u64,
}

/// A reason for which requests were refused, or were answered with a failure.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// The gateway's stable word; a status where only that is known.
    pub reason: String,
    /// The statuses that it was answered with.
    pub statuses: Vec<u16>,
    /// How often.
    pub count: u64,
    /// The sentence that mends it; for the administrator of the gateway.
    pub mend: String,
    /// Whom it met most; `-` is everybody in no policy.
    pub callers: Vec<Count<String>>,
    /// The last time.
    pub last: Moment,
    /// An example: the request line of the last one, its term masked.
    pub example: Option<String>,
}

/// A caller that was limited.
#[derive(Clone, Debug, Serialize)]
pub struct Limited {
    /// The peer, or `-` for everybody in no policy.
    pub peer: String,
    /// Which limit: `peer`, `concurrent`, `unknown`, `gateway`; `None` where the format has no `$limit`.
    pub limit: Option<String>,
    /// How many requests it refused.
    pub count: u64,
    /// The first time.
    pub first: Moment,
    /// The last time.
    pub last: Moment,
    /// The most requests of this caller in one second, refused ones included.
    pub busiest_second: Option<PerHour>,
    /// Its present `rate`, if the configuration was read.
    pub present: Option<Quota>,
    /// Quotas with any of which nobody would have been refused; the least `per_second` first. Empty where a quota
    /// would not help.
    pub sufficient: Vec<Quota>,
}

/// A `rate` of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// Requests a second.
    pub per_second: u32,
    /// Requests that may come at once.
    pub burst: u32,
}

/// How long answers took, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct AnswerTimes {
    /// How many are known.
    pub count: u64,
    /// Half were this fast or faster.
    pub p50: u64,
    /// 95 of 100.
    pub p95: u64,
    /// 99 of 100.
    pub p99: u64,
    /// The slowest.
    pub max: u64,
    /// How many took longer than a second, which is when a XiVO that asks gives up.
    pub late: u64,
    /// How many there are up to each length; for charts. Upper bounds: 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000,
    /// 2000, 5000, and the rest.
    pub histogram: Vec<u64>,
}

/// Upper bounds of [`AnswerTimes::histogram`], in milliseconds; one figure more is for the rest.
pub const HISTOGRAM: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/// Callers in no policy.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Unknown {
    /// Their requests.
    pub requests: u64,
    /// Distinct addresses (an estimate).
    pub addresses: u64,
    /// The busiest.
    pub callers: Vec<Stranger>,
}

/// A caller in no policy.
#[derive(Clone, Debug, Serialize)]
pub struct Stranger {
    /// Its address.
    pub address: String,
    /// Its requests.
    pub requests: u64,
    /// By how much that figure may be too high.
    pub error: u64,
    /// When it first asked, as far as is known.
    pub first: Moment,
    /// And last.
    pub last: Moment,
    /// How many of its requests were lookups on the phonebook's path.
    pub lookups: u64,
    /// Of these, how many on the path with `private`.
    pub private: u64,
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// The policy that would let it in, ready to be pasted into a file; `None` unless it asks as a XiVO does.
    pub policy: Option<String>,
    /// A policy of the configuration that has the address already: it is let in by now.
    pub known_by_now: Option<String>,
}

/// A peer that has stopped asking.
#[derive(Clone, Debug, Serialize)]
pub struct Silent {
    /// The peer.
    pub peer: String,
    /// When it was last heard of; `None` for a peer of the configuration that no line names.
    pub last: Option<Moment>,
    /// Seconds from then to the log's end.
    pub silence: Option<u64>,
    /// The longest gap before, in seconds.
    pub longest_gap: Option<u64>,
    /// Requests until then.
    pub requests: u64,
}

/// Signs that somebody reads the phonebook out.
#[derive(Clone, Debug, Serialize)]
pub struct Harvest {
    /// The peer, or an address.
    pub peer: String,
    /// `alphabetical`: terms that go through the alphabet one behind the other; `volume`: more distinct terms in an
    /// hour than people type.
    pub kind: HarvestKind,
    /// When it began.
    pub begin: Moment,
    /// When it ended.
    pub end: Moment,
    /// How many terms.
    pub terms: u64,
    /// The first and the last term, for an alphabetical one.
    pub range: Option<(String, String)>,
}

/// What kind of harvest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HarvestKind {
    /// In the order of the alphabet.
    Alphabetical,
    /// By their number.
    Volume,
}

/// XiVO's failures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Upstream {
    /// Requests that failed for XiVO's sake: 502, 503 and 504.
    pub failed: u64,
    /// By reason; also in [`Report::refusals`], with the sentence that mends it.
    pub reasons: Vec<Count<String>>,
    /// Stretches in which it failed, the last ones.
    pub outages: Vec<Outage>,
    /// Times of XiVO's answers (`$upstream_response_time`).
    pub answer_times: Option<AnswerTimes>,
}

/// A stretch of failures: none is more than five minutes behind another.
#[derive(Clone, Debug, Serialize)]
pub struct Outage {
    /// The first failure.
    pub begin: Moment,
    /// The last.
    pub end: Moment,
    /// How many.
    pub failed: u64,
}

#[cfg(test)]
pub(crate) mod sample;
