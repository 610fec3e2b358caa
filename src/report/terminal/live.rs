//! The report on one screen that is shown again and again.

use super::canvas::{Canvas, Ink};
use super::{Screen, headline, tables};
use crate::report::summary::Report;

/// At most `height` lines: the figures, the peers, and what was refused.
pub fn live(report: &Report, screen: &Screen, height: usize) -> String {
    let mut canvas = Canvas::new(*screen);
    headline(report, &mut canvas);
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
