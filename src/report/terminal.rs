//! The report as text for a terminal: tables and bars, no line wider than the screen.
//!
//! What a log holds is hostile: nothing of it reaches the terminal but printable characters that are one
//! column wide (`canvas::safe`). Colour only repeats what is said in words.

mod canvas;
mod findings;
mod live;
mod tables;

use canvas::Canvas;
pub(crate) use live::{Recent, live};

use super::summary::{ACCURACY, Report};
use crate::report::summary::wording::{bytes, compared, count, percent, period, plural, zone};

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Screen {
    /// The width in columns.
    pub width: usize,
    /// Whether colours may be used.
    pub colour: bool,
    /// Whether more than ASCII can be shown.
    pub unicode: bool,
    /// Whether every row of every table is shown.
    pub all: bool,
}

/// The whole report as text.
pub(crate) fn render(report: &Report, screen: &Screen) -> String {
    let mut canvas = Canvas::new(*screen);
    headline(report, &mut canvas);
    if let Some(before) = &report.totals.before {
        canvas.paragraph("", &compared(&report.totals, before));
    }
    if report.totals.requests > 0 || !report.needs_nobody() {
        findings::show(report, &mut canvas);
    }
    if report.totals.requests > 0 {
        tables::buckets(report, &mut canvas);
        tables::peers(report, &mut canvas);
        tables::hours_of_day(report, &mut canvas);
        tables::refusals(report, &mut canvas);
        tables::limited(report, &mut canvas);
        tables::answer_times(report, &mut canvas);
        tables::repeats(report, &mut canvas);
        tables::unknown(report, &mut canvas);
        tables::harvests(report, &mut canvas);
        tables::outages(report, &mut canvas);
    }
    tables::input(report, &mut canvas);
    if report.totals.requests > 0 {
        canvas.heading("How exact this is");
        canvas.paragraph("", ACCURACY);
    }
    canvas.finish()
}

/// What was read, and the figures that come first.
fn headline(report: &Report, canvas: &mut Canvas) {
    let totals = &report.totals;
    let files = match &*report.input.files {
        [file] => file.name.clone(),
        files => format!("{} files", files.len()),
    };
    let on = report.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    canvas.heading(&format!("Phonebook requests{on}: {files}"));
    let (Some(first), Some(last)) = (totals.first, totals.last) else {
        let text = match report.input.filtered {
            0 => "There is no request in what was read.",
            _ => "None of the requests that were read is among those asked for.",
        };
        return canvas.paragraph("", text);
    };
    let lines = plural(report.input.lines, "line", "lines");
    let mut span = format!("{} ({}), {lines}", period(first, last), zone(first));
    if let Some(configuration) = &report.input.configuration {
        span += &format!(", with {configuration}");
    }
    canvas.paragraph("", &span);
    let share = |part: u64| format!("{} ({})", count(part), percent(part, totals.requests));
    let mut figures = vec![
        plural(totals.requests, "request", "requests"),
        format!("answered {}", share(totals.answered)),
        format!("refused {}", share(totals.refused)),
    ];
    for (figure, name) in [
        (totals.limited, "of these limited"),
        (totals.failed, "XiVO failed"),
        (totals.left, "left early"),
    ] {
        if figure > 0 {
            figures.push(format!("{name} {}", share(figure)));
        }
    }
    let not_in_time = &totals.not_in_time;
    figures.push(format!(
        "not in time {} ({} of {})",
        count(not_in_time.total),
        percent(not_in_time.total, not_in_time.lookups),
        plural(not_in_time.lookups, "lookup", "lookups")
    ));
    figures.push(format!(
        "{} from {}",
        bytes(totals.body_bytes),
        plural(totals.addresses, "address", "addresses")
    ));
    // Only whole terms tell how many people were looked for.
    figures.push(match totals.persons {
        Some(persons) => format!(
            "about {} looked for by {}",
            plural(persons, "person", "persons"),
            plural(totals.terms, "search term", "search terms")
        ),
        None => plural(totals.terms, "search term", "search terms"),
    });
    canvas.paragraph("", &figures.join(" · "));
}

#[cfg(test)]
mod tests;
