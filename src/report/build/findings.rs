//! What needs somebody, most urgent first: the same sentences in the terminal, on the page and in the JSON.
//!
//! One finding for one event: who was limited because it read the phonebook out is told of once.

use crate::policy::proposal::policy_file;
use crate::refusal::Reason as Word;
use crate::report::summary::wording::{
    count, duration, listed, minute, percent, period, plural, rate,
};
use crate::report::summary::{
    Finding, FindingKind, Harvest, HarvestKind, Limited, NotInTime, Outage, Peer, Quota, Refused,
    Repeats, Report, Silent, UnknownCaller,
};

/// The findings of a report whose other parts are built.
pub(in crate::report) fn of(report: &Report) -> Vec<Finding> {
    let mut found = Vec::new();
    if report.totals.requests > 0 {
        found.extend(failed(report));
        found.extend(late(report));
        found.extend(refused(report));
        found.extend(limited(report));
        found.extend(unknown(report));
        found.extend(let_in(report));
    }
    // Where nobody asked, everybody is silent.
    found.extend(silent(report));
    found.extend(harvests(report));
    found.extend(unreadable(report));
    found
}

fn finding(kind: FindingKind, text: String) -> Finding {
    Finding { kind, text, advice: None, paste: None }
}

/// The first ones of a kind, and how many there are besides.
fn some<T>(kind: FindingKind, all: &[T], what: &str, tell: impl Fn(&T) -> Finding) -> Vec<Finding> {
    let mut found: Vec<Finding> = all.iter().take(EACH).map(tell).collect();
    if all.len() > EACH {
        let more = all.len() - EACH;
        found.push(finding(kind, format!("{more} more {what}; they are in the tables.")));
    }
    found
}

/// Whether a part of the whole is worth a finding: one of thousand, or very many.
fn is_worth(part: u64, whole: u64) -> bool {
    part > 0 && (part >= MANY || part.saturating_mul(1000) >= whole)
}

fn failed(report: &Report) -> Option<Finding> {
    let upstream = &report.upstream;
    let worst = upstream.outages.first()?;
    if !is_worth(upstream.failed, report.totals.requests) && worst.failed < AN_OUTAGE {
        return None;
    }
    let share = percent(upstream.failed, report.totals.requests);
    let all = plural(upstream.failed, "request", "requests");
    let several = upstream.outages.len() as u64 + upstream.outages_left_out;
    let text = match several {
        1 => format!("XiVO failed {all} ({share}), {}.", when(worst)),
        _ => format!(
            "XiVO failed {all} ({share}) in {} stretches; the worst was {}: {}.",
            count(several),
            when(worst),
            plural(worst.failed, "request", "requests")
        ),
    };
    // That it was not asked follows from what it had failed with.
    let cause = upstream.reasons.iter().find(|it| it.value != Word::UpstreamDown.as_str());
    let advice = cause.or_else(|| upstream.reasons.first()).and_then(|first| {
        let refused = report.refusals.iter().find(|it| it.reason == first.value)?;
        Some(format!("Most often `{}`: {}", first.value, refused.remedy))
    });
    Some(Finding { advice, ..finding(FindingKind::Failed, text) })
}

fn when(outage: &Outage) -> String {
    let lasted = u64::try_from(outage.end.unix - outage.begin.unix).unwrap_or(0);
    match lasted {
        0..60 => minute(outage.begin),
        _ => format!("{} ({})", period(outage.begin, outage.end), duration(lasted)),
    }
}

fn late(report: &Report) -> Option<Finding> {
    let figures = &report.totals.not_in_time;
    if !is_worth(figures.total, figures.lookups) {
        return None;
    }
    let text = format!(
        "{} of {} ({}) were not answered in time: {}. Whoever asked had given up, and saw nothing.",
        count(figures.total),
        plural(figures.lookups, "lookup", "lookups"),
        percent(figures.total, figures.lookups),
        parts(figures)
    );
    let advice = "Look at how long XiVO takes (answer times, below), at its load and its database.";
    Some(Finding { advice: Some(advice.to_owned()), ..finding(FindingKind::Late, text) })
}

/// The figure that matters, and its parts; for people.
pub(in crate::report) fn not_in_time(figures: &NotInTime) -> String {
    let parts = match figures.total {
        0 => String::new(),
        _ => format!(": {}", parts(figures)),
    };
    format!(
        "Not in time: {} of {} ({}){parts}. A XiVO waits 2.9 s for a search by text and 1 s for one by number.",
        count(figures.total),
        plural(figures.lookups, "lookup", "lookups"),
        percent(figures.total, figures.lookups)
    )
}

/// How many lookups came while an equal one was under way; for people.
pub(in crate::report) fn under_way(repeats: &Repeats) -> String {
    let all = format!("Of {}", plural(repeats.lookups, "lookup", "lookups"));
    match (repeats.under_way_at_least, repeats.under_way_at_most) {
        (Some(least), Some(most)) if least == most => {
            format!("{all} {} came while an equal one was under way.", count(least))
        }
        (Some(least), Some(most)) => format!(
            "{all} {} to {} came while an equal one was under way (the log tells seconds).",
            count(least),
            count(most)
        ),
        _ => format!(
            "{all}. How many came while an equal one was under way only a log with $request_time tells."
        ),
    }
}

/// Outages worth a row each, and those of one failure or two within a minute.
pub(in crate::report) fn told_apart(outages: &[Outage]) -> (Vec<&Outage>, Vec<&Outage>) {
    outages.iter().partition(|outage| outage.failed > 2 || outage.end.unix - outage.begin.unix > 60)
}

/// What is said of the latter together.
pub(in crate::report) fn singles(outages: &[&Outage]) -> Option<String> {
    let first = outages.iter().map(|outage| outage.begin).min()?;
    let last = outages.iter().map(|outage| outage.end).max()?;
    let failed = outages.iter().map(|outage| outage.failed).sum();
    Some(format!(
        "{} alone or in twos, at {}, {}.",
        plural(failed, "request failed", "requests failed"),
        plural(outages.len() as u64, "moment", "moments"),
        period(first, last)
    ))
}

/// The parts of the figure.
fn parts(figures: &NotInTime) -> String {
    let parts = [
        (figures.late_by_text, "by text came later than 2.9 s"),
        (figures.late_by_number, "by number later than 1 s"),
        (figures.timed_out, "XiVO did not answer (504)"),
        (figures.left, "the caller left before (499)"),
    ];
    let parts = parts.iter().filter(|(part, _)| *part > 0);
    let parts: Vec<String> = parts.map(|(part, what)| format!("{} {what}", count(*part))).collect();
    parts.join(", ")
}

fn refused(report: &Report) -> Vec<Finding> {
    let met: Vec<&Refused> = report.refusals.iter().filter(|it| needs_somebody(it)).collect();
    some(FindingKind::Refused, &met, "reasons for which peers were refused", |refused| {
        let callers = refused.callers.iter().filter(|caller| caller.value != "-");
        let names: Vec<&str> = callers.clone().map(|caller| caller.value.as_str()).collect();
        let times = callers.map(|caller| caller.count).sum();
        let is_certain = refused.callers_left_out == 0;
        let text = format!(
            "{} refused {}{} as `{}`.",
            was(&names),
            if is_certain { "" } else { "at least " },
            plural(times, "time", "times"),
            refused.reason
        );
        let advice = match &refused.example {
            Some(example) => format!("{} The last request was `{example}`.", refused.remedy),
            None => refused.remedy.clone(),
        };
        Finding { advice: Some(advice), ..finding(FindingKind::Refused, text) }
    })
}

/// `nice was`, `nice and lyon were`, `nice, lyon and 3 others were`.
fn was(names: &[&str]) -> String {
    format!("{} {}", listed(names, 3), if names.len() == 1 { "was" } else { "were" })
}

/// Whether a refusal is a finding of its own: it met a peer. Unknown callers, limits and XiVO's failures have theirs.
pub(in crate::report) fn needs_somebody(refused: &Refused) -> bool {
    let failed = refused.statuses.iter().all(|status| *status >= 499);
    let by_peers = refused.callers.iter().any(|caller| caller.value != "-");
    let word = Word::of(&refused.reason);
    let is_own = word == Some(Word::Overloaded);
    by_peers && (!failed || is_own) && !matches!(word, Some(Word::RateLimited | Word::UnknownPeer))
}

fn limited(report: &Report) -> Vec<Finding> {
    let peers = report.limited.iter().filter(|limited| limited.peer != "-");
    let peers: Vec<&Limited> =
        peers.filter(|limited| harvest_of(report, limited).is_none()).collect();
    some(FindingKind::Limited, &peers, "limits that peers met", |limited| {
        let which = match limited.limit.as_deref() {
            Some("gateway") => "by the rate of the whole gateway, `limits.rate`",
            Some("concurrent") => "by `concurrent`",
            _ => "by its rate",
        };
        let text = format!(
            "{} was limited {} {which}, {}.",
            limited.peer,
            plural(limited.count, "time", "times"),
            period(limited.first, limited.last)
        );
        let (advice, paste) = match (middle(limited), limited.limit.as_deref()) {
            (Some(quota), _) => (
                format!("With this line in `policies/{}.toml` it would not have been:", limited.peer),
                Some(rate(quota)),
            ),
            (None, Some("concurrent")) => (
                "So many of its lookups were under way at once: see how long XiVO takes, or raise `concurrent`."
                    .to_owned(),
                None,
            ),
            (None, Some("gateway")) => {
                ("Raise `limits.rate`, or see which peer asks that much.".to_owned(), None)
            }
            (None, _) => ("No rate up to 1,000 a second would have sufficed.".to_owned(), None),
        };
        Finding { advice: Some(advice), paste, ..finding(FindingKind::Limited, text) }
    })
}

/// The harvest for which a peer was limited: while it went on, and for a minute at its ends.
fn harvest_of<'r>(report: &'r Report, limited: &Limited) -> Option<&'r Harvest> {
    report.harvests.iter().find(|harvest| {
        let (begin, end) = (harvest.begin.unix - 60, harvest.end.unix + 60);
        harvest.peer == limited.peer && begin <= limited.first.unix && limited.last.unix <= end
    })
}

/// Of several quotas the first at the present rate or above it: the policy's rate stays, and its burst
/// grows; where none is known, the one in the middle.
fn middle(limited: &Limited) -> Option<Quota> {
    let at_present = limited.present.and_then(|present| {
        limited.sufficient.iter().find(|quota| quota.per_second >= present.per_second)
    });
    at_present.or_else(|| limited.sufficient.get(limited.sufficient.len() / 2)).copied()
}

fn unknown(report: &Report) -> Vec<Finding> {
    let callers = report.unknown.callers.iter();
    let worth: Vec<&UnknownCaller> = callers.filter(|caller| caller.policy.is_some()).collect();
    some(FindingKind::Unknown, &worth, "addresses in no policy ask as a XiVO does", |caller| {
        let text = format!(
            "{} is in no policy and asks as a XiVO does: {}.",
            caller.address,
            plural(caller.lookups, "lookup", "lookups")
        );
        Finding {
            advice: Some(format!(
                "If it is yours, write `policies/{}`:",
                policy_file(&caller.address)
            )),
            paste: caller.policy.clone(),
            ..finding(FindingKind::Unknown, text)
        }
    })
}

fn let_in(report: &Report) -> Vec<Finding> {
    let worth: Vec<&Peer> = report.peers.iter().filter(|peer| peer.policy.is_some()).collect();
    some(FindingKind::LetIn, &worth, "addresses are let in by XiVO today", |peer| {
        let text = format!(
            "{} is let in by XiVO today: {}.",
            peer.name,
            plural(peer.requests, "request", "requests")
        );
        let file = policy_file(&peer.name);
        Finding {
            advice: Some(format!("To let it in through the gateway, write `policies/{file}`:")),
            paste: peer.policy.clone(),
            ..finding(FindingKind::LetIn, text)
        }
    })
}

fn silent(report: &Report) -> Vec<Finding> {
    some(FindingKind::Silent, &report.silent, "peers are silent", |silent| {
        let Silent { peer, last, silence, longest_gap, .. } = silent;
        let (text, advice) = match (last, silence) {
            (Some(last), Some(silence)) => (
                format!(
                    "{peer} has not asked for {}, since {}; its longest pause before was {}.",
                    duration(*silence),
                    minute(*last),
                    duration(longest_gap.unwrap_or(0))
                ),
                "Is it up, and does it still have this address?",
            ),
            _ => (
                format!("{peer} has a policy and did not ask once in this time."),
                "Does the directory of that XiVO have this gateway's address?",
            ),
        };
        Finding { advice: Some(advice.to_owned()), ..finding(FindingKind::Silent, text) }
    })
}

fn harvests(report: &Report) -> Vec<Finding> {
    some(FindingKind::Harvest, &report.harvests, "harvests", |harvest| {
        let limits = report.limited.iter().filter(|limited| {
            harvest_of(report, limited).is_some_and(|of| std::ptr::eq(of, harvest))
        });
        let limited: u64 = limits.map(|limited| limited.count).sum();
        let text = match limited {
            0 => sentence(harvest),
            _ => format!(
                "{} It was limited {} for that.",
                sentence(harvest),
                plural(limited, "time", "times")
            ),
        };
        let advice = match own(report, &harvest.peer) {
            Some(what) => format!(
                "That is {what}. Look there for who asked; no policy of a peer has to do with it."
            ),
            None => "Ask its administrator who reads the phonebook out; leave its rate as it is."
                .to_owned(),
        };
        Finding { advice: Some(advice), ..finding(FindingKind::Harvest, text) }
    })
}

/// What the caller is, if it is this host itself.
fn own(report: &Report, name: &str) -> Option<&'static str> {
    report.peers.iter().find(|peer| peer.name == name)?.of_this_host
}

/// What somebody did who seems to read the phonebook out.
pub(in crate::report) fn sentence(harvest: &Harvest) -> String {
    let Harvest { peer, kind, begin, end, terms, range } = harvest;
    match (kind, range) {
        (HarvestKind::Alphabetical, Some((first, last))) => format!(
            "{peer} went through the alphabet: {} from `{first}` to `{last}`, {}.",
            plural(*terms, "term", "terms"),
            period(*begin, *end)
        ),
        _ => format!(
            "{peer} searched for {}, {}: far more than is usual at this time of the day.",
            plural(*terms, "distinct term", "distinct terms"),
            period(*begin, *end)
        ),
    }
}

fn unreadable(report: &Report) -> Option<Finding> {
    let input = &report.input;
    if input.unreadable == 0 || input.is_unreadable_in_good_part() {
        return None;
    }
    let text = format!(
        "{} of {} could not be read and are in none of these figures.",
        count(input.unreadable),
        plural(input.lines, "line", "lines")
    );
    let advice =
        "The first of them stand below. If they have another format, name it with `--log-format`.";
    Some(Finding { advice: Some(advice.to_owned()), ..finding(FindingKind::Log, text) })
}

/// The number of findings of each kind.
const EACH: usize = 5;
/// The number that is worth a finding, whatever its share.
const MANY: u64 = 100;
/// The number of failures behind one another that are an outage, whatever their share.
const AN_OUTAGE: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::summary::sample::{at, empty, report};

    fn kinds(report: &Report) -> Vec<FindingKind> {
        of(report).into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn each_kind_is_told_and_nothing_of_nothing() {
        let kinds = kinds(&report());
        for kind in [
            FindingKind::Failed,
            FindingKind::Late,
            FindingKind::Refused,
            FindingKind::Limited,
            FindingKind::Unknown,
            FindingKind::Silent,
            FindingKind::Harvest,
            FindingKind::Log,
        ] {
            assert!(kinds.contains(&kind), "{kind:?}");
        }
        assert!(of(&empty()).is_empty());
        // Where nobody asked, whoever has a policy is silent all the same.
        let mut nobody = empty();
        nobody.silent = report().silent;
        assert!(of(&nobody).iter().all(|it| it.kind == FindingKind::Silent));
        assert_eq!(of(&nobody).len(), nobody.silent.len());
    }

    #[test]
    fn one_failure_of_very_many_needs_nobody_and_an_outage_does() {
        let mut report = report();
        report.totals.requests = 1_000_000;
        report.upstream.failed = 3;
        report.upstream.outages = vec![Outage { begin: at(0), end: at(0), failed: 3 }];
        assert!(!kinds(&report).contains(&FindingKind::Failed));
        report.upstream.outages[0].failed = AN_OUTAGE;
        assert!(kinds(&report).contains(&FindingKind::Failed));
    }

    #[test]
    fn who_was_limited_for_a_harvest_is_told_of_once() {
        let mut report = report();
        report.limited.truncate(1);
        assert!(kinds(&report).contains(&FindingKind::Limited));
        let harvest = &mut report.harvests[0];
        harvest.peer.clone_from(&report.limited[0].peer);
        (harvest.begin, harvest.end) = (report.limited[0].first, report.limited[0].last);
        assert!(!kinds(&report).contains(&FindingKind::Limited));
        let told = of(&report);
        assert!(
            told.iter().any(|it| it.text.ends_with("It was limited 312 times for that.")),
            "{told:?}"
        );
    }

    #[test]
    fn failures_that_stand_alone_have_one_row_together() {
        let report = report();
        let (long, single) = told_apart(&report.upstream.outages);
        assert_eq!((long.len(), single.len()), (2, 2));
        let text = singles(&single).unwrap();
        assert!(text.starts_with("2 requests failed alone or in twos, at 2 moments, "), "{text}");
        assert_eq!(singles(&[]), None);
    }

    #[test]
    fn of_many_of_a_kind_some_are_told_and_how_many_more_there_are() {
        let mut report = report();
        let silent = report.silent[0].clone();
        report.silent = vec![silent; EACH + 3];
        let told = of(&report);
        let silent: Vec<_> = told.iter().filter(|it| it.kind == FindingKind::Silent).collect();
        assert_eq!(silent.len(), EACH + 1);
        assert_eq!(silent[EACH].text, "3 more peers are silent; they are in the tables.");
    }
}
