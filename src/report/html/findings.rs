//! What needs the administrator: the short list that is worth reading when nothing else is read.

use maud::{Markup, html};

use crate::page::layout;
use crate::report::summary::{Finding, FindingKind, Report};

/// The list, most urgent first, in the words of all forms of the report.
pub(super) fn section(report: &Report) -> Markup {
    let list = html! {
        ol.findings {
            @for text in &report.input.findings { (item(FindingKind::Log, text, None, None)) }
            @for Finding { kind, text, advice, paste } in &report.findings {
                (item(*kind, text, advice.as_deref(), paste.as_deref()))
            }
        }
        @if report.needs_nobody() { (layout::nothing(report.nothing())) }
    };
    layout::section("needs-you", "What needs you", &list)
}

fn item(kind: FindingKind, text: &str, advice: Option<&str>, paste: Option<&str>) -> Markup {
    let (tag, target) = match kind {
        FindingKind::Log => ("Log", "#unreadable"),
        FindingKind::Failed => ("XiVO", "#upstream"),
        FindingKind::Late => ("Late", "#answer-times"),
        FindingKind::Refused => ("Refused", "#refusals"),
        FindingKind::Limited => ("Limited", "#limited"),
        FindingKind::Unknown => ("Unknown", "#unknown"),
        FindingKind::LetIn => ("Let in", "#peers"),
        FindingKind::Silent => ("Silent", "#silent"),
        FindingKind::Harvest => ("Harvest", "#harvests"),
    };
    layout::finding((tag, target), text, advice, paste)
}
