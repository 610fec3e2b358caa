//! What a report says: the figures that the terminal, the JSON and the HTML page all show.
//!
//! The names of the fields are the names in the JSON unless `serde` says another, which is a contract
//! (`packaging/report.schema.json`):
//! [`Report::schema`] is raised where a reader of the former form would be misled.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::report::summary::local_time::LocalTime;

/// What the logs tell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The version of this form, [`SCHEMA`].
    pub schema: u32,
    /// When the report was built.
    pub generated: LocalTime,
    /// The host that it was built on.
    pub host: Option<String>,
    /// What needs somebody, most urgent first.
    pub findings: Vec<Finding>,
    /// The files and lines that were read.
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
    /// How long answers took for which XiVO was asked; `None` where no format says so.
    pub answer_times: Option<AnswerTimes>,
    /// How long all others took: refusals, and what the gateway answers itself.
    pub refusal_times: Option<AnswerTimes>,
    /// What a cache would have answered; `None` where the log does not say what was asked for.
    pub repeats: Option<Repeats>,
    /// Callers in no policy.
    pub unknown: Unknown,
    /// Peers that used to ask and do so no longer.
    pub silent: Vec<Silent>,
    /// Alphabetical enumerations and other harvests; the longest first.
    pub harvests: Vec<Harvest>,
    /// XiVO's failures.
    pub upstream: Upstream,
}

impl Report {
    /// Whether nothing is said of what needs somebody.
    pub(crate) fn needs_nobody(&self) -> bool {
        self.findings.is_empty() && self.input.findings.is_empty()
    }

    /// Whether something has happened that somebody has to look after. That a log's format could tell more
    /// is said, and yet nothing to call anybody for, week after week.
    pub(crate) fn calls_for_somebody(&self) -> bool {
        let Input { findings, lacking, .. } = &self.input;
        !self.findings.is_empty() || findings.len() > *lacking
    }

    /// What is said where that is so.
    pub(crate) fn nothing(&self) -> &'static str {
        if self.totals.requests == 0 {
            return "Nothing, as far as no request tells.";
        }
        match self.totals.refused + self.totals.failed + self.totals.not_in_time.total {
            0 => "Nothing: whoever asked was answered, and in time.",
            _ => "Nothing stands out. What was refused or failed, and why, is below.",
        }
    }
}

/// Something that needs somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// What was found; what a machine reads stands between backticks.
    pub text: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// Lines to paste.
    pub paste: Option<String>,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FindingKind {
    /// The log itself.
    Log,
    /// Failures of XiVO.
    Failed,
    /// Lookups that were not answered in time.
    Late,
    /// Refusals of peers.
    Refused,
    /// Peers that were limited.
    Limited,
    /// Callers in no policy that ask as a XiVO does.
    Unknown,
    /// Addresses that are let in by XiVO itself, in its own log.
    LetIn,
    /// Peers that ask no longer.
    Silent,
    /// Signs that somebody reads the phonebook out.
    Harvest,
}

/// The files and lines that were read, and what is wrong with them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Input {
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
    /// How many of them, at the end, are of what the format lacks.
    #[serde(skip)]
    pub lacking: usize,
    /// What was left out and why, in sentences: names over the limits, an unreadable configuration.
    pub notes: Vec<String>,
}

impl Input {
    /// Whether so many lines were unreadable that what is said of the others may not hold of all.
    pub(crate) fn is_unreadable_in_good_part(&self) -> bool {
        self.unreadable > 0 && self.unreadable.saturating_mul(20) >= self.lines
    }
}

/// A file that was read.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LogFile {
    /// Its path, or `standard input`.
    pub name: String,
    /// The format it was read in: a name, or `--log-format`; several where it changes, between commas.
    pub format: String,
    /// Lines, empty ones not counted.
    pub lines: u64,
}

/// A line that no format fits.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    /// The file that it stands in.
    pub file: String,
    /// Its line, from 1.
    pub line: u64,
    /// The line's beginning, with control characters escaped.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// What was counted of all requests.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Totals {
    /// When the first one ended.
    pub first: Option<LocalTime>,
    /// When the last one ended.
    pub last: Option<LocalTime>,
    /// The number of requests.
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
    /// Distinct terms that were not on the way to a longer one (an estimate): about how many people were looked for.
    /// `None` where the log has the terms hashed, or not at all.
    pub persons: Option<u64>,
    /// Lookups that were not answered in time.
    pub not_in_time: NotInTime,
    /// The same figures of as long a time before `--since`, where the log has that.
    pub before: Option<Before>,
}

/// Lookups that were not answered while the caller waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct NotInTime {
    /// Requests that XiVO was asked for: what `total` is a part of.
    pub lookups: u64,
    /// All of the following.
    pub total: u64,
    /// Answers later than 2.9 s, to searches by text (and those of which it is not known).
    pub late_by_text: u64,
    /// Answers later than 1 s, to searches by number.
    pub late_by_number: u64,
    /// XiVO did not answer in time: 504.
    pub timed_out: u64,
    /// The client left: 499.
    pub left: u64,
}

/// Figures of the time before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Before {
    /// The beginning of that time.
    pub begin: LocalTime,
    /// The end of that time.
    pub end: LocalTime,
    /// All requests.
    pub requests: u64,
    /// Refused, limited ones included.
    pub refused: u64,
    /// Requests that XiVO failed: 5xx.
    pub failed: u64,
    /// Lookups that were not answered in time.
    pub not_in_time: u64,
}

/// What a cache of XiVO's answers would have answered, and how often the same was asked for while it was under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Repeats {
    /// Lookups that can be compared: XiVO was asked, and the log says for what.
    pub lookups: u64,
    /// What caches would have answered in which an answer is good for 5, 60 and 300 seconds.
    pub within: Vec<Within>,
    /// Lookups that came while an equal one was under way, at least; `None` where the log has no times of answers.
    pub under_way_at_least: Option<u64>,
    /// The same at the most: the log tells seconds.
    pub under_way_at_most: Option<u64>,
}

/// What a cache would have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Within {
    /// How long an answer is good for.
    pub seconds: u32,
    /// If each peer had one of its own.
    pub same_peer: u64,
    /// If all had one together.
    pub any_peer: u64,
}

/// How often something was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Count<T> {
    /// What was counted.
    pub value: T,
    /// How often it was.
    pub count: u64,
}

/// Figures over time.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Buckets {
    /// A bucket's length in seconds: 3600, or a multiple where the log spans too many hours.
    pub seconds: u32,
    /// The buckets, in the order of time.
    pub list: Vec<Bucket>,
}

/// What was asked in one period.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bucket {
    /// When it begins.
    pub begin: LocalTime,
    /// All requests.
    pub requests: u64,
    /// Refused, limited ones included.
    pub refused: u64,
    /// Limited requests: 429.
    pub limited: u64,
    /// Requests that XiVO failed: 5xx.
    pub failed: u64,
    /// The client left: 499.
    pub left: u64,
    /// Later than a second.
    pub late: u64,
    /// Not answered in time.
    pub not_in_time: u64,
}

/// A peer, or in a log that names no peers (nginx's own) an address that was let in.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Peer {
    /// Its name, or its address.
    pub name: String,
    /// Whether the name is an address.
    pub is_address: bool,
    /// What its policy says of it, or what is known of the address.
    pub description: Option<String>,
    /// What the address is, where it is this host's own; its description then.
    #[serde(skip)]
    pub of_this_host: Option<&'static str>,
    /// When it first asked.
    pub first: LocalTime,
    /// When it last asked.
    pub last: LocalTime,
    /// The number of its requests.
    pub requests: u64,
    /// Answered: every status below 400.
    pub answered: u64,
    /// Refused, limited ones included.
    pub refused: u64,
    /// Limited requests: 429.
    pub limited: u64,
    /// Requests that XiVO failed: 5xx.
    pub failed: u64,
    /// The client left: 499.
    pub left: u64,
    /// Bytes of the bodies of its answers.
    pub body_bytes: u64,
    /// What was asked for: search, list, view, writing, other; most frequent first.
    pub actions: Vec<Count<String>>,
    /// Distinct addresses (an estimate).
    pub addresses: u64,
    /// Distinct terms (an estimate).
    pub terms: u64,
    /// Distinct terms that were not on the way to a longer one (an estimate), where the log can say it.
    pub persons: Option<u64>,
    /// Of an address, lookups on the path with `private`.
    pub private: u64,
    /// Lookups that were not answered in time.
    pub not_in_time: NotInTime,
    /// What a cache would have answered.
    pub repeats: Option<Repeats>,
    /// Of an address that XiVO itself lets in: the policy that would let it in here, ready to be pasted into a file.
    pub policy: Option<String>,
    /// The most distinct terms in one hour (an estimate), and that hour.
    pub terms_per_hour: Option<PerHour>,
    /// Times of its answers, where XiVO was asked.
    pub answer_times: Option<AnswerTimes>,
    /// Requests in each of the report's buckets.
    pub buckets: Vec<u64>,
    /// Requests by the hour of the day; 24 figures.
    pub hour_of_day: Vec<u64>,
}

/// The busiest hour.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PerHour {
    /// When it began.
    pub begin: LocalTime,
    /// The number in that hour.
    pub count: u64,
}

/// A reason for which requests were refused, or were answered with a failure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refused {
    /// The gateway's stable word; a status where only that is known.
    pub reason: String,
    /// The statuses that it was answered with.
    pub statuses: Vec<u16>,
    /// The number of requests.
    pub count: u64,
    /// What the administrator of the gateway does about it.
    #[serde(rename = "mend")]
    pub remedy: String,
    /// Whom it met most; `-` is everybody in no policy.
    pub callers: Vec<Count<String>>,
    /// How many further callers it met, at least.
    pub callers_left_out: u64,
    /// The last time.
    pub last: LocalTime,
    /// An example: the request line of the last one, its term masked.
    pub example: Option<String>,
}

/// A caller that was limited.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Limited {
    /// The peer, or `-` for everybody in no policy.
    pub peer: String,
    /// Which limit: `peer`, `concurrent`, `unknown`, `gateway`; `None` where the format has no `$limit`.
    pub limit: Option<String>,
    /// How many requests it refused.
    pub count: u64,
    /// The first time.
    pub first: LocalTime,
    /// The last time.
    pub last: LocalTime,
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
pub(crate) struct Quota {
    /// Requests a second.
    pub per_second: u32,
    /// Requests that may come at once.
    pub burst: u32,
}

/// How long answers took, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AnswerTimes {
    /// How many are known.
    pub count: u64,
    /// Half were this fast or faster.
    pub p50: u64,
    /// 95 of 100 were this fast or faster.
    pub p95: u64,
    /// 99 of 100 were this fast or faster.
    pub p99: u64,
    /// The slowest answer.
    pub max: u64,
    /// How many took longer than a second; not all of these were too late, see `not_in_time`.
    pub late: u64,
    /// How many there are up to each length; for charts. Upper bounds: 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000,
    /// 2000, 5000, and the rest.
    pub histogram: Vec<u64>,
}

/// Callers in no policy.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Unknown {
    /// The number of their requests.
    pub requests: u64,
    /// Distinct addresses (an estimate).
    pub addresses: u64,
    /// The busiest of them.
    pub callers: Vec<UnknownCaller>,
    /// How many further ones there were (an estimate).
    pub callers_left_out: u64,
    /// Networks with several callers that do not ask as a XiVO does: IPv4 by /24, IPv6 by /48; the busiest first.
    pub networks: Vec<Network>,
    /// How many further ones of these there were, at least.
    pub networks_left_out: u64,
}

impl Unknown {
    /// The callers that need a row of their own: all but those that are shown with their network.
    pub(crate) fn alone(&self) -> Vec<&UnknownCaller> {
        let networks = self.networks.iter();
        let networks: Vec<IpNet> = networks.filter_map(|it| it.network.parse().ok()).collect();
        let is_shown = |caller: &UnknownCaller| {
            let address = caller.address.parse::<IpAddr>().map(|it| it.to_canonical());
            caller.lookups == 0
                && address.is_ok_and(|it| networks.iter().any(|network| network.contains(&it)))
        };
        self.callers.iter().filter(|caller| !is_shown(caller)).collect()
    }
}

/// A network of callers in no policy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Network {
    /// As it is written: `192.0.2.0/24`.
    pub network: String,
    /// Addresses of it that asked.
    pub addresses: u64,
    /// The number of their requests.
    pub requests: u64,
    /// How many of these were lookups.
    pub lookups: u64,
    /// The first time.
    pub first: LocalTime,
    /// When one of them last asked.
    pub last: LocalTime,
}

/// A caller in no policy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UnknownCaller {
    /// The address that it asks from.
    pub address: String,
    /// The number of its requests.
    pub requests: u64,
    /// By how much that figure may be too high.
    pub error: u64,
    /// When it first asked, as far as is known.
    pub first: LocalTime,
    /// When it last asked.
    pub last: LocalTime,
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
pub(crate) struct Silent {
    /// The name of the peer.
    pub peer: String,
    /// When it was last heard of; `None` for a peer of the configuration that no line names.
    pub last: Option<LocalTime>,
    /// Seconds from then to the log's end.
    pub silence: Option<u64>,
    /// The longest gap before, in seconds.
    pub longest_gap: Option<u64>,
    /// The number of its requests until then.
    pub requests: u64,
}

/// Signs that somebody reads the phonebook out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Harvest {
    /// The peer, or an address.
    pub peer: String,
    /// `alphabetical`: terms that go through the alphabet one behind the other; `volume`: more distinct terms in an
    /// hour than people type.
    pub kind: HarvestKind,
    /// When it began.
    pub begin: LocalTime,
    /// When it ended.
    pub end: LocalTime,
    /// The number of terms.
    pub terms: u64,
    /// The first and the last term, for an alphabetical one.
    pub range: Option<(String, String)>,
}

/// What kind of harvest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HarvestKind {
    /// In the order of the alphabet.
    Alphabetical,
    /// More terms than people type.
    Volume,
}

/// XiVO's failures.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Upstream {
    /// Requests that failed for XiVO's sake: 5xx, but those that the gateway was too busy for.
    pub failed: u64,
    /// By reason; also in [`Report::refusals`], with the remedy.
    pub reasons: Vec<Count<String>>,
    /// The outages, the worst first.
    pub outages: Vec<Outage>,
    /// How many further ones there were, with fewest failures.
    pub outages_left_out: u64,
    /// Times of XiVO's answers (`$upstream_response_time`).
    pub answer_times: Option<AnswerTimes>,
}

/// Failures of which none is more than a minute behind another.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outage {
    /// The first failure.
    pub begin: LocalTime,
    /// The last failure.
    pub end: LocalTime,
    /// The number of failures.
    pub failed: u64,
}

pub(crate) mod local_time;
#[cfg(test)]
pub(super) mod sample;
pub(crate) mod wording;

/// The version of the JSON.
pub(crate) const SCHEMA: u32 = 1;

/// How exact figures are; for people.
pub(crate) const ACCURACY: &str = "Counts are exact. Numbers of distinct addresses and terms are exact to 4,096 and estimated \
    beyond (HyperLogLog with 4,096 registers: standard error 1.6 %). Percentiles of times are exact to 255 ms and \
    within 1 % beyond (HdrHistogram with 2 digits). Unknown callers are exact to 8,192 addresses; beyond, the busiest \
    are found with as many counters (Misra and Gries): a caller with more than 1 in 4,096 of the unknown callers' requests \
    is never missed, and its count is at most as much too high as the figure beside it says.";

/// Upper bounds of [`AnswerTimes::histogram`], in milliseconds; one figure more is for the rest.
pub(crate) const HISTOGRAM: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
