//! The report on one screen that is shown again and again.

use super::canvas::{Canvas, Ink};
use super::{Screen, headline, tables};
use crate::report::summary::Report;
use crate::report::summary::wording::{count, duration, plural};

/// What has come lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recent {
    /// How long that is, in seconds.
    pub seconds: u64,
    /// All requests of the time that is shown.
    pub requests: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Those for which XiVO failed.
    pub failed: u64,
}

/// At most `height` lines: the figures, the peers, and what was refused.
pub(crate) fn live(report: &Report, recent: Recent, screen: &Screen, height: usize) -> String {
    let mut canvas = Canvas::new(*screen);
    headline(report, &mut canvas);
    let Recent { seconds, requests, refused, failed } = recent;
    let text = format!(
        "In the last {}: {}, {} refused, XiVO failed {}",
        duration(seconds),
        plural(requests, "request", "requests"),
        count(refused),
        count(failed)
    );
    canvas.inked(Some(Ink::Bold), "", &text);
    if report.totals.requests > 0 {
        tables::peers(report, &mut canvas);
        tables::refusals_short(report, &mut canvas);
        tables::hours_of_day(report, &mut canvas);
    }
    let now = report.generated.format("%H:%M:%S");
    let end = format!("{now}, shown each second; Ctrl-C ends it");
    let mut foot = Canvas::new(*screen);
    foot.inked(Some(Ink::Bold), "", &end);
    let text = canvas.finish();
    let mut lines: Vec<&str> = text.lines().take(height.saturating_sub(1)).collect();
    let foot = foot.finish();
    lines.push(foot.lines().next().unwrap_or_default());
    lines.join("\n") + "\n"
}
