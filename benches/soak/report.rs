//! What the scenarios have shown, as text and as JSON.

use std::fmt::Write;

use serde::Serialize;

use super::honest::Summary;
use super::trial::{Met, Outcome, Peer};

/// All scenarios of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    /// The gateway's file.
    pub(crate) binary: String,
    /// What it calls its version.
    pub(crate) version: String,
    /// The machine's kernel.
    pub(crate) kernel: String,
    /// Cores that may be used.
    pub(crate) cores: usize,
    /// Niceness of the attackers.
    pub(crate) nice: i32,
    /// The scenarios, in the order in which they were run.
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    /// All numbers.
    pub(crate) fn json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|error| format!("writing JSON: {error}"))
    }

    /// A row for each scenario and honest peer.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} ({}), {} cores, kernel {}, attackers at nice {}\n\n",
            self.binary, self.version, self.cores, self.kernel, self.nice
        );
        text.push_str(
            "| scenario | peer | sent | 200 | 429 | other | lost | p50 ms | p99 ms | p99 / alone | max ms | \
             after: 200 of | RSS MB before, peak, after | fds | threads | CPU s | waited s | log lines |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for outcome in &self.outcomes {
            for peer in &outcome.honest {
                self.row(&mut text, outcome, peer);
            }
        }
        text
    }

    fn row(&self, text: &mut String, outcome: &Outcome, peer: &Peer) {
        let during = &peer.during;
        let alone = self.alone(peer.who).filter(|&p99| p99 > 0.0 && during.found > 0);
        let ratio =
            alone.map_or_else(|| "-".to_owned(), |p99| format!("{:.1}", during.p99_ms / p99));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {ratio} | {:.0} | {} of {} | \
             {}, {}, {} | {}, {}, {} | {}, {}, {} | {:.1} | {:.1} | {} |",
            outcome.scenario,
            peer.who,
            during.sent,
            during.found,
            during.limited,
            other(during),
            during.lost(),
            during.p50_ms,
            during.p99_ms,
            during.max_ms,
            peer.after.found,
            peer.after.sent,
            megabytes(outcome.before.resident),
            megabytes(outcome.after.peak),
            megabytes(outcome.after.resident),
            outcome.before.descriptors,
            outcome.most_descriptors,
            outcome.after.descriptors,
            outcome.before.threads,
            outcome.during.threads,
            outcome.after.threads,
            outcome.during.cpu - outcome.before.cpu,
            outcome.during.waited - outcome.before.waited,
            outcome.lines.all,
        );
    }

    /// The 99th percentile of a peer that nobody disturbs, if that was measured.
    fn alone(&self, who: &str) -> Option<f64> {
        let baseline = self.outcomes.iter().find(|one| one.scenario == "baseline")?;
        baseline.honest.iter().find(|peer| peer.who == who).map(|peer| peer.during.p99_ms)
    }
}

impl Outcome {
    /// All of it for a reader who waits for the next scenario.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "== {} ({:.0} s, standard error: {}): {}\n",
            self.scenario, self.seconds, self.stderr, self.what
        );
        if let Some(why) = &self.not_started {
            let _ = writeln!(
                text,
                "   NOT STARTED  with this standard error: {why}; started with one that failed later"
            );
        }
        for peer in &self.honest {
            let _ = writeln!(text, "   {:<12} attacked  {}", peer.who, line(&peer.during));
            let _ = writeln!(text, "   {:<12} after     {}", "", line(&peer.after));
        }
        let _ = writeln!(
            text,
            "   gateway      RSS {} MB, peak {}, after {}{}; descriptors {}, most {}, after {}; \
             threads {}, {}, {}; CPU {:.1} s, waited for a core {:.1} s",
            megabytes(self.before.resident),
            megabytes(self.after.peak),
            megabytes(self.after.resident),
            self.each(),
            self.before.descriptors,
            self.most_descriptors,
            self.after.descriptors,
            self.before.threads,
            self.during.threads,
            self.after.threads,
            self.during.cpu - self.before.cpu,
            self.during.waited - self.before.waited,
        );
        text.push_str(&self.logs());
        for met in &self.attacks {
            text.push_str(&met.text());
        }
        let _ = writeln!(text, "   ended        {}", self.ending);
        if let Some(died) = &self.died {
            let _ = writeln!(text, "   DIED         {died}");
        }
        if let Some(cut) = self.cut {
            let _ = writeln!(text, "   CUT SHORT    {cut}");
        }
        text
    }

    /// What a connection of the attack has cost, where they are many.
    fn each(&self) -> String {
        let most: u64 = self.attacks.iter().map(|met| met.counts.most_open).sum();
        if most < 100 {
            return String::new();
        }
        let grown = self.after.peak.saturating_sub(self.before.resident) as f64;
        let left = self.after.resident.saturating_sub(self.before.resident) as f64;
        let most = most as f64;
        format!(
            " ({:.1} KB for each of {most} connections, {:.1} KB left)",
            grown / most,
            left / most
        )
    }

    fn logs(&self) -> String {
        let mut text = format!("   access log   {} lines", self.lines.all);
        for peer in &self.honest {
            let lines = self.lines.by_peer.get(peer.who).copied().unwrap_or_default();
            let _ = write!(text, ", {lines} of {} for {} answers", peer.who, peer.answered);
        }
        let _ = write!(text, "; {} torn; reopened {} times", self.lines.torn, self.rotations.asked);
        if self.rotations.unanswered {
            text.push_str(", then USR1 was NOT ANSWERED");
        }
        if let Some(lines) = self.diagnostics {
            let _ = write!(text, "; {lines} lines of diagnostics");
        }
        let _ = writeln!(text, "; {} requests reached XiVO", self.upstream);
        text
    }
}

impl Met {
    fn text(&self) -> String {
        let counts = &self.counts;
        let mut text = format!(
            "   attack       {}: {} opened, most at once {}",
            self.attack, counts.opened, counts.most_open
        );
        for (what, number) in &counts.seen {
            let _ = write!(text, ", {what}: {number}");
        }
        if !counts.lives.is_empty() {
            let (median, longest) = counts.lives();
            let _ = write!(
                text,
                "; {} lookups lived {median:.1} s (median), {longest:.1} s (longest), {} to the end",
                counts.lives.len(),
                counts.still_alive
            );
        }
        text.push('\n');
        text
    }
}

fn line(summary: &Summary) -> String {
    format!(
        "sent {}, 200: {}, 429: {}, other: {}, lost: {} (refused {}, ended {}, timed out {}), \
         foreign {}, not sent {}; p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms",
        summary.sent,
        summary.found,
        summary.limited,
        other(summary),
        summary.lost(),
        summary.refused,
        summary.ended,
        summary.timed_out,
        summary.foreign,
        summary.not_sent,
        summary.p50_ms,
        summary.p99_ms,
        summary.max_ms
    )
}

/// How many of which other status.
fn other(summary: &Summary) -> String {
    let all: Vec<String> =
        summary.other.iter().map(|(status, number)| format!("{number}×{status}")).collect();
    if all.is_empty() { "0".to_owned() } else { all.join(" ") }
}

fn megabytes(kilobytes: u64) -> String {
    format!("{:.1}", kilobytes as f64 / 1024.0)
}
