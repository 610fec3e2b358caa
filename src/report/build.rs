//! Makes the report of what was counted.

mod callers;
pub(super) mod findings;
mod harvests;
pub(super) mod remedy;

use super::summary::{
    Before, Bucket, Buckets, Count, Input, Limited, NotInTime, Outage, Peer, PerHour, Quota,
    Refused, Repeats, Report, SCHEMA, Silent, Totals, Upstream, Within,
};
use crate::access_log::format::{Escape, plain_field};
use crate::config::Config;
use crate::net::client_address::ClientAddress;
use crate::policy::{Policy, Rate};
use crate::report::build::remedy::remedy;
use crate::report::count::repeats::{Repeated, SECONDS};
use crate::report::count::tally::{
    Counts, Hours, LONGEST, OTHERS, OVERLOADED, PeerTally, ReasonTally, Tally,
};
use crate::report::count::timeline::{PeerLine, Timeline};
use crate::report::read::entry::Action;
use crate::report::read::pattern::unescaped;
use crate::report::read::select::Selection;
use crate::report::read::time::{HOUR, LineTime};
use crate::report::summary::local_time::LocalTime;
use crate::report::summary::wording::plural;

/// What a report is built from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Material<'a> {
    /// What was counted.
    pub tally: &'a Tally,
    /// What was counted in its order; finished.
    pub timeline: &'a Timeline,
    /// Which lines were counted.
    pub selection: &'a Selection,
    /// The configuration, where there is one.
    pub config: Option<&'a Config>,
    /// The host that the report is built on.
    pub host: Option<&'a str>,
    /// When the report is built.
    pub now: LocalTime,
}

impl Material<'_> {
    /// The report; `input` says what was read.
    pub(crate) fn report(&self, mut input: Input) -> Report {
        let Self { tally, .. } = *self;
        input.filtered = tally.filtered;
        input.reasons_inferred = tally.inferred;
        input.notes.extend(self.notes());
        let buckets = self.buckets(self.bucket_width());
        let mut report = Report {
            schema: SCHEMA,
            generated: self.now,
            host: self.host.map(str::to_owned),
            findings: Vec::new(),
            input,
            totals: self.totals(),
            hour_of_day: tally.hour_of_day.to_vec(),
            peers: self.peers(&buckets),
            buckets,
            refusals: self.refusals(),
            limited: self.limited(),
            answer_times: tally.times().summary(),
            refusal_times: tally.refusal_times.summary(),
            repeats: self.repeats(),
            unknown: self.unknown(),
            silent: self.silent(),
            harvests: self.harvests(),
            upstream: self.upstream(),
        };
        report.findings = findings::of(&report);
        report
    }

    /// What was left out, and why.
    fn notes(&self) -> Vec<String> {
        let Self { tally, timeline, .. } = *self;
        let mut notes = Vec::new();
        if tally.peers.is_full() {
            let text = "More than 1,000 peers or addresses were let in; those beyond are counted as (others).";
            notes.push(text.to_owned());
        }
        if tally.names_cut {
            notes.push(format!(
                "Names longer than {LONGEST} bytes (of peers, addresses, reasons, limits) are cut there, and end \
                 in …; those that begin alike are counted as one."
            ));
        }
        if tally.has_too_many_peer_hours() || timeline.has_too_many_hours() {
            let text = "The peers have more hours together than are told apart: their charts over time, and the hours \
                        with most terms, lack some.";
            notes.push(text.to_owned());
        }
        if timeline.late > 0 {
            notes.push(format!(
                "{} came hours behind what was read before, as if the logs were not in the order of time: the quotas, \
                 pauses, harvests and repeated lookups of their peers are less exact.",
                plural(timeline.late, "line", "lines")
            ));
        }
        if timeline.repeats.is_short {
            let text = "There were too many different lookups at once to compare all of them: more were repeated than \
                        is said.";
            notes.push(text.to_owned());
        }
        if tally.unknown_hidden > 0 {
            let text = "No policies are proposed for unknown callers, since a part of what these asked for was left out \
                        by `--status` or `--reason`.";
            notes.push(text.to_owned());
        }
        notes
    }

    /// Seconds at the clock that the log's last line shows.
    fn local_time(&self, unix: i64) -> LocalTime {
        let offset = self.tally.span.map_or(self.now.offset, |span| span.last.offset);
        LocalTime { unix, offset }
    }

    fn totals(&self) -> Totals {
        let Self { tally, timeline, .. } = *self;
        let counts = tally.counts();
        let Counts { requests, answered, refused, limited, failed, left, body_bytes, .. } = counts;
        let statuses = (0..).zip(&*tally.statuses).filter(|(_, count)| **count > 0);
        Totals {
            first: tally.span.map(|span| self.at(span.first)),
            last: tally.span.map(|span| self.at(span.last)),
            requests,
            answered,
            refused,
            limited,
            failed,
            left,
            body_bytes,
            statuses: statuses.map(|(value, count)| Count { value, count: *count }).collect(),
            addresses: tally.addresses.estimate(),
            terms: timeline.terms(),
            persons: timeline.has_words().then(|| timeline.persons()),
            not_in_time: not_in_time(&counts),
            before: self.before(),
        }
    }

    /// The time before, if the log has nearly all of it, and something of either.
    fn before(&self) -> Option<Before> {
        let (begin, end) = self.selection.before.zip(self.selection.since)?;
        let Counts { requests, refused, failed, .. } = self.tally.before;
        let is_whole = self.tally.earliest <= begin + (end - begin) / 20;
        let is_something = requests + self.tally.counts().requests > 0;
        (is_whole && is_something).then(|| Before {
            begin: self.local_time(begin),
            end: self.local_time(end),
            requests,
            refused,
            failed,
            not_in_time: not_in_time(&self.tally.before).total,
        })
    }

    fn repeats(&self) -> Option<Repeats> {
        repeats(&self.timeline.repeats.all())
    }

    /// Hours, or as many of them at once as make no more than [`MOST_BUCKETS`].
    fn bucket_width(&self) -> i64 {
        let hours = self.tally.span.map_or(0, |span| (span.last.unix - span.first.unix) / HOUR + 2);
        let widths =
            [1, 2, 3, 6, 12, 24, 168].into_iter().find(|width| hours <= width * MOST_BUCKETS);
        widths.unwrap_or(hours / MOST_BUCKETS + 1) * HOUR
    }

    fn buckets(&self, width: i64) -> Buckets {
        let Some(span) = self.tally.span else {
            return Buckets { seconds: 3600, list: Vec::new() };
        };
        // Buckets of a day begin at the log's own midnight, those of an hour at a full hour of UTC,
        // by which the tally counts.
        let shift =
            if width >= 24 * HOUR { i64::from(span.last.offset) * 60 / HOUR * HOUR } else { 0 };
        let begin = (span.first.unix + shift).div_euclid(width) * width - shift;
        let count = (span.last.unix - begin) / width + 1;
        let mut list: Vec<Bucket> = (0..count)
            .map(|number| Bucket {
                begin: self.local_time(begin + number * width),
                requests: 0,
                refused: 0,
                limited: 0,
                failed: 0,
                left: 0,
                late: 0,
                not_in_time: 0,
            })
            .collect();
        for (hour, counts) in self.tally.hours.list() {
            let at = usize::try_from((hour - begin) / width).unwrap_or(0);
            let Some(bucket) = list.get_mut(at) else { continue };
            bucket.requests += counts.requests;
            bucket.refused += counts.refused;
            bucket.limited += counts.limited;
            bucket.failed += counts.failed;
            bucket.left += counts.left;
            bucket.late += counts.late;
            bucket.not_in_time += not_in_time(counts).total;
        }
        Buckets { seconds: u32::try_from(width).unwrap_or(u32::MAX), list }
    }

    fn peers(&self, buckets: &Buckets) -> Vec<Peer> {
        let peers = self.tally.peers.iter().zip(&self.timeline.peers);
        let mut peers: Vec<Peer> = (0..)
            .zip(peers)
            .filter_map(|(number, ((name, tally), line))| {
                let repeats = repeats(&self.timeline.repeats.of(number));
                Some(Peer { repeats, ..self.peer(name, tally, line, buckets)? })
            })
            .collect();
        peers.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
        peers
    }

    /// `None` for one of whom nothing is asked for.
    fn peer(
        &self,
        name: &[u8],
        tally: &PeerTally,
        line: &PeerLine,
        buckets: &Buckets,
    ) -> Option<Peer> {
        let span = tally.span?;
        let Counts { requests, answered, refused, limited, failed, left, body_bytes, .. } =
            tally.counts;
        let name = text(name);
        Some(Peer {
            is_address: tally.is_address,
            description: self.description(&name, tally.is_address),
            of_this_host: self.of_this_host(&name).filter(|_| tally.is_address),
            first: self.at(span.first),
            last: self.at(span.last),
            requests,
            answered,
            refused,
            limited,
            failed,
            left,
            body_bytes,
            actions: actions(&tally.actions),
            addresses: tally.addresses.estimate(),
            terms: line.terms.estimate(),
            persons: self.timeline.has_words().then(|| line.persons.all.estimate()),
            private: tally.private,
            not_in_time: not_in_time(&tally.counts),
            repeats: None,
            policy: self.policy_of_address(&name, tally),
            terms_per_hour: line
                .most_terms
                .map(|(begin, count)| PerHour { begin: self.local_time(begin), count }),
            answer_times: tally.times.summary(),
            buckets: in_buckets(&tally.hours, buckets),
            hour_of_day: tally.hour_of_day.to_vec(),
            name,
        })
    }

    /// What the policy of a peer says of it, or what is known of an address.
    fn description(&self, name: &str, is_address: bool) -> Option<String> {
        if is_address {
            let own = self.of_this_host(name).map(str::to_owned);
            return own.or_else(|| {
                let holder = self.holder(ClientAddress::new(name.parse().ok()?))?;
                Some(format!("of the peer {holder}"))
            });
        }
        let description = &self.policy(name)?.description;
        (!description.is_empty()).then(|| description.clone())
    }

    fn policy(&self, peer: &str) -> Option<&Policy> {
        self.config?.policies.iter().find(|policy| policy.name.as_str() == peer)
    }

    /// The peers that the report is asked for: the name of each, its figures, and its course of time.
    fn seen_peers(&self) -> impl Iterator<Item = (&[u8], &PeerTally, &PeerLine)> {
        let peers = self.tally.peers.iter().zip(&self.timeline.peers);
        peers.map(|((name, tally), line)| (name, tally, line)).filter(|(name, tally, _)| {
            tally.span.is_some() || self.selection.names_peer(&String::from_utf8_lossy(name))
        })
    }

    fn line(&self, name: &[u8]) -> Option<&PeerLine> {
        self.seen_peers().find(|(known, ..)| *known == name).map(|(.., line)| line)
    }

    fn refusals(&self) -> Vec<Refused> {
        let reasons = self.tally.reasons.iter();
        let mut refused: Vec<Refused> =
            reasons.map(|(word, tally)| self.refusal(&text(word), tally)).collect();
        refused.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        refused
    }

    fn limited(&self) -> Vec<Limited> {
        let mut all: Vec<Limited> = Vec::new();
        for (key, tally) in self.tally.limits.iter() {
            let at = memchr::memrchr(b' ', key).unwrap_or(key.len());
            let (name, limit) = (&key[..at], key.get(at + 1..).unwrap_or_default());
            let line = self.line(name);
            // More requests a second help against no other limit than the peer's.
            let is_rate = matches!(limit, b"" | b"peer");
            all.push(Limited {
                peer: text(name),
                limit: (!limit.is_empty()).then(|| text(limit)),
                count: tally.count,
                first: self.at(tally.span.first),
                last: self.at(tally.span.last),
                busiest_second: line.and_then(|line| line.busiest).map(|(second, count)| PerHour {
                    begin: self.local_time(second),
                    count: count.into(),
                }),
                present: self.present(&text(name)),
                sufficient: line
                    .filter(|_| is_rate)
                    .map_or_else(Vec::new, |line| line.quotas.sufficient()),
            });
        }
        all.sort_by(|a, b| {
            (b.count.cmp(&a.count)).then_with(|| (&a.peer, &a.limit).cmp(&(&b.peer, &b.limit)))
        });
        all
    }

    /// The quota of a peer by its policy; one by the minute in whole requests a second, from 1.
    fn present(&self, peer: &str) -> Option<Quota> {
        let Rate { requests, period, burst } = self.policy(peer)?.rate.value;
        let seconds = u32::try_from(period.as_secs()).unwrap_or(1).max(1);
        Some(Quota { per_second: (requests.get() / seconds).max(1), burst: burst.get() })
    }

    fn silent(&self) -> Vec<Silent> {
        let end = self.tally.span.map_or(i64::MIN, |span| span.last.unix);
        let end = end.max(self.tally.last_seen);
        let mut silent: Vec<Silent> = Vec::new();
        for (name, tally, line) in self.seen_peers().filter(|(name, ..)| *name != OTHERS) {
            let silence = end.abs_diff(tally.seen_span.last.unix);
            let usual = line.longest_gap.max(LEAST_SILENCE / 2);
            if tally.seen >= LEAST_REQUESTS && silence > 2 * usual {
                silent.push(Silent {
                    peer: text(name),
                    last: Some(self.at(tally.seen_span.last)),
                    silence: Some(silence),
                    longest_gap: Some(line.longest_gap),
                    requests: tally.seen,
                });
            }
        }
        silent.sort_by(|a, b| b.silence.cmp(&a.silence).then_with(|| a.peer.cmp(&b.peer)));
        silent.extend(self.never_seen());
        silent
    }

    /// Peers of the configuration that did not ask at all. XiVO's own log names none of them.
    fn never_seen(&self) -> Vec<Silent> {
        let mut seen = self.tally.peers.iter().map(|(_, peer)| peer.is_address).peekable();
        if seen.peek().is_some() && seen.all(|is_address| is_address) {
            return Vec::new();
        }
        let is_seen =
            |name: &str| self.tally.peers.iter().any(|(known, _)| known == name.as_bytes());
        let policies = self.config.iter().flat_map(|config| &config.policies);
        let never = policies.filter(|policy| {
            let peer = policy.name.as_str();
            policy.enabled.value && !is_seen(peer) && self.selection.names_peer(peer)
        });
        never
            .map(|policy| Silent {
                peer: policy.name.as_str().to_owned(),
                last: None,
                silence: None,
                longest_gap: None,
                requests: 0,
            })
            .collect()
    }

    fn upstream(&self) -> Upstream {
        let failures = self.tally.reasons.iter().filter(|(word, tally)| {
            *word != OVERLOADED && tally.statuses.iter().any(|status| *status >= 500)
        });
        let mut reasons: Vec<Count<String>> =
            failures.map(|(word, tally)| Count { value: text(word), count: tally.count }).collect();
        reasons.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        let overloaded = self.tally.reasons.iter().find(|(word, _)| *word == OVERLOADED);
        let overloaded = overloaded.map_or(0, |(_, tally)| tally.count);
        let outages = self.timeline.outages.list().map(|(begin, end, failed)| Outage {
            begin: self.local_time(begin),
            end: self.local_time(end),
            failed,
        });
        let mut outages: Vec<Outage> = outages.collect();
        outages.sort_by_key(|it| {
            (std::cmp::Reverse((it.failed, it.end.unix - it.begin.unix)), it.begin.unix)
        });
        Upstream {
            failed: self.tally.counts().failed.saturating_sub(overloaded),
            reasons,
            outages,
            outages_left_out: self.timeline.outages.left_out().0,
            answer_times: self.tally.upstream_times.summary(),
        }
    }

    fn refusal(&self, word: &str, tally: &ReasonTally) -> Refused {
        let callers = tally.callers.iter();
        let mut callers: Vec<Count<String>> =
            callers.map(|(name, count)| Count { value: text(name), count: *count }).collect();
        callers.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        let left_out = callers.len().saturating_sub(SHOWN_CALLERS) as u64;
        callers.truncate(SHOWN_CALLERS);
        let mut statuses = tally.statuses.clone();
        statuses.sort_unstable();
        let example = &*tally.example.text;
        Refused {
            reason: word.to_owned(),
            statuses,
            count: tally.count,
            remedy: remedy(word).to_owned(),
            callers,
            callers_left_out: left_out,
            last: self.at(tally.span.last),
            example: (!matches!(example, b"" | b"-")).then(|| masked(example)),
        }
    }

    /// The time of a line, at the clock that the log's last line shows, as all times of the report are.
    fn at(&self, time: LineTime) -> LocalTime {
        self.local_time(time.unix)
    }
}

fn not_in_time(counts: &Counts) -> NotInTime {
    let Counts { asked, overdue: [late_by_text, late_by_number], timed_out, left, .. } = *counts;
    let total = late_by_text + late_by_number + timed_out + left;
    NotInTime { lookups: asked, total, late_by_text, late_by_number, timed_out, left }
}

fn repeats(repeated: &Repeated) -> Option<Repeats> {
    let Repeated { lookups, own, shared, timed, under_way } = *repeated;
    let within = SECONDS.iter().zip(own.iter().zip(&shared));
    (lookups > 0).then(|| Repeats {
        lookups,
        within: within
            .map(|(seconds, (own, shared))| Within {
                seconds: *seconds,
                same_peer: *own,
                any_peer: *shared,
            })
            .collect(),
        under_way_at_least: (timed > 0).then_some(under_way[0]),
        under_way_at_most: (timed > 0).then_some(under_way[1]),
    })
}

/// A request line without what stands behind its `?`, but for the `act`; and without what may be a
/// search term before it.
fn masked(line: &[u8]) -> String {
    let line = plain(line);
    let (before, query) = match line.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (&*line, None),
    };
    let mut shown = Vec::new();
    plain_field(before.as_bytes(), &mut shown);
    match query {
        Some(query) if shown == before.as_bytes() => {
            let act = query.split(['&', ' ']).find(|argument| argument.starts_with("act="));
            format!("{before}?{}…", act.map(|act| format!("{act}&")).unwrap_or_default())
        }
        _ => text(&shown),
    }
}

fn actions(counts: &[u64; Action::COUNT]) -> Vec<Count<String>> {
    let counts = Action::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
    let mut actions: Vec<Count<String>> = counts
        .map(|(action, count)| Count { value: action.as_str().to_owned(), count: *count })
        .collect();
    actions.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    actions
}

fn in_buckets(hours: &Hours<u64>, buckets: &Buckets) -> Vec<u64> {
    let mut counts = vec![0; buckets.list.len()];
    let Some(first) = buckets.list.first() else { return counts };
    for (hour, count) in hours.list() {
        let at = (hour - first.begin.unix) / i64::from(buckets.seconds);
        if let Some(bucket) = usize::try_from(at).ok().and_then(|at| counts.get_mut(at)) {
            *bucket += count;
        }
    }
    counts
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was logged, with its escapes undone and then made visible.
fn plain(logged: &[u8]) -> String {
    let bytes = unescaped(logged, Escape::Default);
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text = String::from_utf8_lossy(&bytes);
    if !text.contains(is_hidden) {
        return text.into_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// The most buckets of a report.
const MOST_BUCKETS: i64 = 2000;
/// The number of callers of a reason that are shown.
const SHOWN_CALLERS: usize = 200;
/// Less than this in seconds is no silence.
const LEAST_SILENCE: u64 = 6 * 3600;
/// Who has asked less often than this has no habit.
const LEAST_REQUESTS: u64 = 10;
