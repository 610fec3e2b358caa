//! What needs the administrator, in the words of all forms of the report.

use super::canvas::{Canvas, Ink};
use crate::report::summary::{Finding, FindingKind, Report};

/// The findings, each with what to do.
pub(super) fn show(report: &Report, canvas: &mut Canvas) {
    canvas.heading("What needs you");
    let of_the_log = report.input.findings.iter();
    of_the_log.for_each(|text| canvas.inked(Some(Ink::Warning), "* ", text));
    for Finding { kind, text, advice, paste } in &report.findings {
        let ink = match kind {
            FindingKind::Failed | FindingKind::Late => Ink::Failure,
            FindingKind::Log
            | FindingKind::Refused
            | FindingKind::Limited
            | FindingKind::Unknown
            | FindingKind::LetIn
            | FindingKind::Silent
            | FindingKind::Harvest => Ink::Warning,
        };
        canvas.inked(Some(ink), "* ", text);
        if let Some(advice) = advice {
            canvas.paragraph("  ", advice);
        }
        if let Some(paste) = paste {
            canvas.verbatim("    ", paste);
        }
    }
    if report.needs_nobody() {
        canvas.paragraph("", report.nothing());
    }
}
