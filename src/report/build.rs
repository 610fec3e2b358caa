//! Makes the report of what was counted.

use std::net::IpAddr;

use super::entry::Action;
use super::mend::mend;
use super::moment::Moment;
use super::pattern::unescaped;
use super::sketch::Times;
use super::summary::{
    AnswerTimes, Bucket, Buckets, Count, Harvest, HarvestKind, Input, Limited, Outage, Peer,
    PerHour, Quota, Refused, Report, SCHEMA, Silent, Stranger, Totals, Unknown, Upstream,
};
use super::tally::{Counts, Hours, LONGEST, OTHERS, PeerTally, ReasonTally, StrangerTally, Tally};
use super::time::{HOUR, LineTime};
use super::timeline::{PeerLine, Timeline};
use super::words::period;
use crate::address::ClientAddress;
use crate::config::Config;
use crate::policy::Rate;
use crate::record::format::{Escape, plain_field};

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// What was counted.
    pub tally: &'a Tally,
    /// What was counted in its order; finished.
    pub timeline: &'a Timeline,
    /// The configuration, where there is one.
    pub config: Option<&'a Config>,
    /// When the report is made.
    pub now: Moment,
}

impl Material<'_> {
    /// The report; `input` says what was read.
    pub fn report(&self, mut input: Input) -> Report {
        let Self { tally, .. } = *self;
        input.filtered = tally.filtered;
        input.reasons_inferred = tally.inferred;
        if tally.peers.is_full() {
            let text = "More than 1,000 peers or addresses were let in; those beyond are counted as (others).";
            input.notes.push(text.to_owned());
        }
        if tally.names_cut {
            let text = format!(
                "Names longer than {LONGEST} bytes (of peers, addresses, reasons, limits) are cut there, and end \
                 in …; those that begin alike are counted as one."
            );
            input.notes.push(text);
        }
        if tally.has_too_many_peer_hours() {
            let text = "The peers have more hours together than are told apart: their charts over time lack some.";
            input.notes.push(text.to_owned());
        }
        let width = self.bucket_width();
        let buckets = self.buckets(width);
        Report {
            schema: SCHEMA,
            generated: self.now,
            input,
            totals: self.totals(),
            hour_of_day: tally.hour_of_day.to_vec(),
            peers: self.peers(&buckets),
            buckets,
            refusals: self.refusals(),
            limited: self.limited(),
            answer_times: tally.times.summary(),
            unknown: self.unknown(),
            silent: self.silent(),
            harvests: self.harvests(),
            upstream: self.upstream(),
        }
    }

    /// Seconds at the clock that the log's last line shows.
    fn moment(&self, unix: i64) -> Moment {
        let offset = self.tally.span.map_or(self.now.offset, |span| span.last.offset);
        Moment { unix, offset }
    }

    fn totals(&self) -> Totals {
        let tally = self.tally;
        let Counts { requests, answered, refused, limited, failed, left, body_bytes, .. } =
            tally.counts;
        let statuses = (0..).zip(&*tally.statuses).filter(|(_, count)| **count > 0);
        Totals {
            first: tally.span.map(|span| moment(span.first)),
            last: tally.span.map(|span| moment(span.last)),
            requests,
            answered,
            refused,
            limited,
            failed,
            left,
            body_bytes,
            statuses: statuses.map(|(value, count)| Count { value, count: *count }).collect(),
            addresses: tally.addresses.estimate(),
            terms: tally.terms.estimate(),
        }
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
                begin: self.moment(begin + number * width),
                requests: 0,
                refused: 0,
                limited: 0,
                failed: 0,
                left: 0,
                late: 0,
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
        }
        Buckets { seconds: u32::try_from(width).unwrap_or(u32::MAX), list }
    }

    fn peers(&self, buckets: &Buckets) -> Vec<Peer> {
        let peers = self.tally.peers.iter();
        let mut peers: Vec<Peer> =
            peers.map(|(name, tally)| self.peer(name, tally, buckets)).collect();
        peers.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
        peers
    }

    fn peer(&self, name: &[u8], tally: &PeerTally, buckets: &Buckets) -> Peer {
        let Counts { requests, answered, refused, limited, failed, left, body_bytes, .. } =
            tally.counts;
        let most = self.line(name).and_then(|line| line.most_terms.first());
        Peer {
            name: text(name),
            is_address: tally.is_address,
            first: moment(tally.span.first),
            last: moment(tally.span.last),
            requests,
            answered,
            refused,
            limited,
            failed,
            left,
            body_bytes,
            actions: actions(&tally.actions),
            addresses: tally.addresses.estimate(),
            terms: tally.terms.estimate(),
            terms_per_hour: most
                .map(|&(begin, count)| PerHour { begin: self.moment(begin), count }),
            answer_times: tally.times.summary(),
            buckets: in_buckets(&tally.hours, buckets),
            hour_of_day: tally.hour_of_day.to_vec(),
        }
    }

    fn line(&self, name: &[u8]) -> Option<&PeerLine> {
        self.timeline.peers.get(name)
    }

    fn refusals(&self) -> Vec<Refused> {
        let reasons = self.tally.reasons.iter();
        let mut refused: Vec<Refused> =
            reasons.map(|(word, tally)| refusal(&text(word), tally)).collect();
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
                first: moment(tally.span.first),
                last: moment(tally.span.last),
                busiest_second: line.and_then(|line| line.busiest).map(|(second, count)| PerHour {
                    begin: self.moment(second),
                    count: count.into(),
                }),
                present: self.present(&text(name)),
                sufficient: line
                    .filter(|_| is_rate)
                    .map_or_else(Vec::new, |line| line.quotas.sufficient()),
            });
        }
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.peer.cmp(&b.peer)));
        all
    }

    /// The quota of a peer by its policy; one by the minute in whole requests a second, from 1.
    fn present(&self, peer: &str) -> Option<Quota> {
        let policy = self.config?.policies.iter().find(|policy| policy.name.as_str() == peer)?;
        let Rate { requests, period, burst } = policy.rate.value;
        let seconds = u32::try_from(period.as_secs()).unwrap_or(1).max(1);
        Some(Quota { per_second: (requests.get() / seconds).max(1), burst: burst.get() })
    }

    fn unknown(&self) -> Unknown {
        let tally = self.tally;
        let callers = tally.strangers.top(MOST_STRANGERS).into_iter();
        Unknown {
            requests: tally.stranger_count,
            addresses: tally.stranger_addresses.estimate(),
            callers: callers
                .map(|(address, count, kept)| self.stranger(address, count, kept))
                .collect(),
        }
    }

    fn stranger(&self, address: &[u8], requests: u64, tally: &StrangerTally) -> Stranger {
        let address = text(address);
        let ip = address.parse::<IpAddr>().ok().map(ClientAddress::new);
        let known_by_now = ip.and_then(|ip| self.holder(ip));
        let asks_as_xivo = tally.lookups > 0 && tally.lookups * 2 >= requests.min(MANY);
        let policy = ip
            .filter(|_| asks_as_xivo && known_by_now.is_none())
            .map(|ip| policy(ip, tally, requests));
        Stranger {
            requests,
            error: self.tally.strangers.error(),
            first: moment(tally.span.first),
            last: moment(tally.span.last),
            lookups: tally.lookups,
            private: tally.private,
            user_agent: (!matches!(&*tally.user_agent, b"" | b"-"))
                .then(|| plain(&tally.user_agent)),
            policy,
            known_by_now,
            address,
        }
    }

    /// Whose policy has the address, written or as a prefix.
    fn holder(&self, address: ClientAddress) -> Option<String> {
        let policies = self.config?.policies.iter();
        let prefixes = policies.flat_map(|policy| {
            policy.hosts.iter().filter_map(move |host| match &host.value {
                crate::policy::Host::Prefix(prefix) => Some((policy, prefix)),
                crate::policy::Host::Name(_) => None,
            })
        });
        let containing = prefixes.filter(|(_, prefix)| prefix.contains(&address.ip()));
        let longest = containing.max_by_key(|(_, prefix)| prefix.prefix_len());
        longest.map(|(policy, _)| policy.name.as_str().to_owned())
    }

    fn silent(&self) -> Vec<Silent> {
        let Some(end) = self.tally.span.map(|span| span.last.unix) else { return Vec::new() };
        let mut silent: Vec<Silent> = Vec::new();
        for (name, tally) in self.tally.peers.iter().filter(|(name, _)| *name != OTHERS) {
            let Some(line) = self.line(name) else { continue };
            let silence = end.abs_diff(tally.span.last.unix);
            let usual = line.longest_gap.max(LEAST_SILENCE / 2);
            if tally.counts.requests >= LEAST_REQUESTS && silence > 2 * usual {
                silent.push(Silent {
                    peer: text(name),
                    last: Some(moment(tally.span.last)),
                    silence: Some(silence),
                    longest_gap: Some(line.longest_gap),
                    requests: tally.counts.requests,
                });
            }
        }
        silent.sort_by_key(|silent| std::cmp::Reverse(silent.silence));
        let is_heard =
            |name: &str| self.tally.peers.iter().any(|(known, _)| known == name.as_bytes());
        for policy in self.config.iter().flat_map(|config| &config.policies) {
            let peer = policy.name.as_str();
            if policy.enabled.value && !is_heard(peer) {
                let peer = peer.to_owned();
                silent.push(Silent {
                    peer,
                    last: None,
                    silence: None,
                    longest_gap: None,
                    requests: 0,
                });
            }
        }
        silent
    }

    fn harvests(&self) -> Vec<Harvest> {
        let mut all: Vec<Harvest> = Vec::new();
        for (name, line) in &self.timeline.peers {
            for sweep in line.sweeps.found() {
                all.push(Harvest {
                    peer: text(name),
                    kind: HarvestKind::Alphabetical,
                    begin: self.moment(sweep.begin),
                    end: self.moment(sweep.end),
                    terms: sweep.terms,
                    range: Some((sweep.first.text(), sweep.last.text())),
                });
            }
            let usual = line.usual_terms();
            let least = usual.map_or(MANY_TERMS_ALONE, |usual| MANY_TERMS.max(4 * usual));
            for &(hour, terms) in line.most_terms.iter().filter(|(_, terms)| *terms >= least) {
                all.push(Harvest {
                    peer: text(name),
                    kind: HarvestKind::Volume,
                    begin: self.moment(hour),
                    end: self.moment(hour + HOUR - 1),
                    terms,
                    range: None,
                });
            }
        }
        all.sort_by(|a, b| b.terms.cmp(&a.terms).then_with(|| a.peer.cmp(&b.peer)));
        all
    }

    fn upstream(&self) -> Upstream {
        let failures = self
            .tally
            .reasons
            .iter()
            .filter(|(_, tally)| tally.statuses.iter().any(|status| *status >= 500));
        let mut reasons: Vec<Count<String>> =
            failures.map(|(word, tally)| Count { value: text(word), count: tally.count }).collect();
        reasons.sort_by_key(|count| std::cmp::Reverse(count.count));
        let outages = self.timeline.outages.iter().map(|outage| Outage {
            begin: self.moment(outage.begin),
            end: self.moment(outage.end),
            failed: outage.failed,
        });
        Upstream {
            failed: self.tally.counts.failed,
            reasons,
            outages: outages.collect(),
            answer_times: upstream_times(&self.tally.upstream_times),
        }
    }
}

fn upstream_times(times: &Times) -> Option<AnswerTimes> {
    times.summary()
}

fn refusal(word: &str, tally: &ReasonTally) -> Refused {
    let callers = tally.callers.iter();
    let mut callers: Vec<Count<String>> =
        callers.map(|(name, count)| Count { value: text(name), count: *count }).collect();
    callers.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    callers.truncate(SHOWN_CALLERS);
    Refused {
        reason: word.to_owned(),
        statuses: tally.statuses.clone(),
        count: tally.count,
        mend: mend(word).to_owned(),
        callers,
        last: moment(tally.span.last),
        example: (!matches!(&*tally.example, b"" | b"-")).then(|| masked(&tally.example)),
    }
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

fn policy(address: ClientAddress, tally: &StrangerTally, requests: u64) -> String {
    let asked = [Action::Search, Action::List, Action::View]
        .into_iter()
        .filter(|action| *action == Action::Search || tally.actions[*action as usize] > 0);
    let actions: Vec<String> = asked.map(|action| format!("\"{}\"", action.as_str())).collect();
    let plural = if requests == 1 { "" } else { "s" };
    let private = match tally.private {
        0 => "",
        _ => "# Its directory URL has `private` in it: correct that there to\n# `restricted`.\n",
    };
    format!(
        "# {requests} request{plural}, {}.\n# Make sure whose address this is.\n\
         {private}hosts = [\"{address}\"]\nactions = [{}]\n",
        period(moment(tally.span.first), moment(tally.span.last)),
        actions.join(", ")
    )
}

fn actions(counts: &[u64; Action::COUNT]) -> Vec<Count<String>> {
    let counts = Action::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
    let mut actions: Vec<Count<String>> = counts
        .map(|(action, count)| Count { value: action.as_str().to_owned(), count: *count })
        .collect();
    actions.sort_by_key(|action| std::cmp::Reverse(action.count));
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

fn moment(time: LineTime) -> Moment {
    Moment { unix: time.unix, offset: time.offset }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was logged, with its escapes undone and then made visible.
fn plain(logged: &[u8]) -> String {
    let bytes = unescaped(logged, Escape::Default);
    let text = String::from_utf8_lossy(&bytes);
    text.chars()
        .flat_map(|c| {
            let hidden = c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let shown = if hidden { c.escape_unicode().to_string() } else { c.to_string() };
            shown.chars().collect::<Vec<_>>()
        })
        .collect()
}

/// So many buckets a report has at the most.
const MOST_BUCKETS: i64 = 2000;
/// So many callers in no policy are shown.
const MOST_STRANGERS: usize = 100;
/// So many callers of a reason are.
const SHOWN_CALLERS: usize = 10;
/// A caller that asks more than this need not ask for lookups most of the time to be taken for a XiVO.
const MANY: u64 = 1000;
/// Less than this in seconds is no silence.
const LEAST_SILENCE: u64 = 6 * 3600;
/// Who has asked less often than this has no habit.
const LEAST_REQUESTS: u64 = 10;
/// So many terms in an hour, where that is also four times as many as usual.
const MANY_TERMS: u64 = 500;
/// The same where no other hour is known.
const MANY_TERMS_ALONE: u64 = 3000;
