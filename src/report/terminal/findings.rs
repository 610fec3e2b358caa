//! What needs the administrator, in the order in which it does.

use super::canvas::{Canvas, Ink};
use crate::report::summary::{
    Harvest, HarvestKind, Limited, Quota, Refused, Report, Silent, Stranger,
};
use crate::report::words::{count, duration, percent, period, plural, policy_file, rate};

/// The findings, each with what to do.
pub(super) fn show(report: &Report, canvas: &mut Canvas) {
    canvas.heading("What needs you");
    let found = [
        of_the_log(report, canvas),
        outages(report, canvas),
        late(report, canvas),
        refusals(report, canvas),
        limited(report, canvas),
        unknown(report, canvas),
        silent(report, canvas),
        harvests(report, canvas),
        unreadable(report, canvas),
    ];
    if !found.contains(&true) {
        let totals = &report.totals;
        let text = match totals.refused + totals.failed {
            0 => "Nothing: whoever asked was answered, and in time.",
            _ => "Nothing stands out. What was refused or failed, and why, is below.",
        };
        canvas.paragraph("", text);
    }
}

fn finding(canvas: &mut Canvas, ink: Ink, text: &str) {
    canvas.inked(Some(ink), "* ", text);
}

/// What about the log itself needs somebody.
fn of_the_log(report: &Report, canvas: &mut Canvas) -> bool {
    for text in &report.input.findings {
        finding(canvas, Ink::Warning, text);
    }
    !report.input.findings.is_empty()
}

fn outages(report: &Report, canvas: &mut Canvas) -> bool {
    let upstream = &report.upstream;
    let Some(last) = upstream.outages.last() else { return false };
    let text = format!(
        "XiVO failed {}, {}; the last time {} ({}).",
        plural(upstream.failed, "time", "times"),
        percent(upstream.failed, report.totals.requests),
        period(last.begin, last.end),
        plural(last.failed, "request", "requests"),
    );
    finding(canvas, Ink::Failure, &text);
    if let Some(first) = upstream.reasons.first()
        && let Some(refused) = report.refusals.iter().find(|it| it.reason == first.value)
    {
        canvas.paragraph("  ", &format!("Most often {}: {}", first.value, refused.mend));
    }
    true
}

fn late(report: &Report, canvas: &mut Canvas) -> bool {
    let Some(times) = report.answer_times.as_ref().filter(|times| times.late > 0) else {
        return false;
    };
    let text = format!(
        "{} came later than a second ({}): the XiVO that asked had given up by then.",
        plural(times.late, "answer", "answers"),
        percent(times.late, times.count)
    );
    finding(canvas, Ink::Failure, &text);
    true
}

fn refusals(report: &Report, canvas: &mut Canvas) -> bool {
    let met: Vec<_> = report.refusals.iter().filter(|refused| needs_somebody(refused)).collect();
    for refused in met.iter().take(MOST) {
        let callers = refused.callers.iter().filter(|caller| caller.value != "-");
        let callers: Vec<String> = callers.take(3).map(|caller| caller.value.clone()).collect();
        let text =
            format!("{} x {} met {}.", count(refused.count), refused.reason, callers.join(", "));
        finding(canvas, Ink::Warning, &text);
        canvas.paragraph("  ", &refused.mend);
        if let Some(example) = &refused.example {
            canvas.paragraph("  ", &format!("The last one: {example}"));
        }
    }
    !met.is_empty()
}

/// Whether a refusal is a finding of its own: it met a peer. Strangers, limits and XiVO's failures have theirs.
pub(super) fn needs_somebody(refused: &Refused) -> bool {
    let failed = refused.statuses.iter().all(|status| *status >= 499);
    let by_peers = refused.callers.iter().any(|caller| caller.value != "-");
    by_peers && !failed && !matches!(&*refused.reason, "rate-limited" | "unknown-peer")
}

fn limited(report: &Report, canvas: &mut Canvas) -> bool {
    let peers: Vec<&Limited> =
        report.limited.iter().filter(|limited| limited.peer != "-").collect();
    for limited in peers.iter().take(MOST) {
        let which = match limited.limit.as_deref() {
            Some("gateway") => "by the whole gateway's rate",
            Some("concurrent") => "by `concurrent`",
            _ => "by its rate",
        };
        let text = format!(
            "{} was limited {} {which}, {}.",
            limited.peer,
            plural(limited.count, "time", "times"),
            period(limited.first, limited.last)
        );
        finding(canvas, Ink::Warning, &text);
        if let Some(quota) = middle(limited) {
            canvas.paragraph("  ", &format!("This would have sufficed: {}", rate(quota)));
        }
    }
    !peers.is_empty()
}

/// Of several quotas the first at the present rate or above it: the policy's rate stays, and its burst
/// grows; where none is known, the one in the middle.
fn middle(limited: &Limited) -> Option<Quota> {
    let at_present = limited.present.and_then(|present| {
        limited.sufficient.iter().find(|quota| quota.per_second >= present.per_second)
    });
    at_present.or_else(|| limited.sufficient.get(limited.sufficient.len() / 2)).copied()
}

fn unknown(report: &Report, canvas: &mut Canvas) -> bool {
    let callers = report.unknown.callers.iter();
    let worth: Vec<&Stranger> = callers.filter(|caller| caller.policy.is_some()).collect();
    for caller in worth.iter().take(MOST) {
        let Some(policy) = &caller.policy else { continue };
        let text = format!(
            "{} is in no policy and asks as a XiVO does ({}). If it is yours, write {}:",
            caller.address,
            plural(caller.lookups, "lookup", "lookups"),
            policy_file(&caller.address)
        );
        finding(canvas, Ink::Warning, &text);
        canvas.verbatim("    ", policy);
    }
    !worth.is_empty()
}

fn silent(report: &Report, canvas: &mut Canvas) -> bool {
    for Silent { peer, last, silence, longest_gap, .. } in report.silent.iter().take(MOST) {
        let text = match (last, silence) {
            (Some(last), Some(silence)) => format!(
                "{peer} has not asked for {}, since {last}; its longest pause before was {}.",
                duration(*silence),
                duration(longest_gap.unwrap_or(0))
            ),
            _ => format!("{peer} has a policy and did not ask at all."),
        };
        finding(canvas, Ink::Warning, &text);
    }
    canvas.more(report.silent.len(), MOST);
    !report.silent.is_empty()
}

fn harvests(report: &Report, canvas: &mut Canvas) -> bool {
    for harvest in report.harvests.iter().take(MOST) {
        finding(canvas, Ink::Warning, &sentence(harvest));
    }
    canvas.more(report.harvests.len(), MOST);
    !report.harvests.is_empty()
}

/// What somebody did who seems to read the phonebook out.
pub(super) fn sentence(harvest: &Harvest) -> String {
    let Harvest { peer, kind, begin, end, terms, range } = harvest;
    match (kind, range) {
        (HarvestKind::Alphabetical, Some((first, last))) => format!(
            "{peer} went through the alphabet: {} from `{first}` to `{last}`, {}.",
            plural(*terms, "term", "terms"),
            period(*begin, *end)
        ),
        _ => format!(
            "{peer} asked for {} in the hour of {begin}, far more than it usually does.",
            plural(*terms, "distinct term", "distinct terms")
        ),
    }
}

fn unreadable(report: &Report, canvas: &mut Canvas) -> bool {
    let input = &report.input;
    if input.unreadable == 0 || input.is_unreadable_in_good_part() {
        return false;
    }
    let text = format!(
        "{} of {} could not be read; some of them stand below.",
        count(input.unreadable),
        plural(input.lines, "line", "lines")
    );
    finding(canvas, Ink::Warning, &text);
    true
}

/// So many of each kind are said.
const MOST: usize = 5;
