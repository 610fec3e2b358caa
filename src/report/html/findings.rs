//! What needs the administrator: the short list that is worth reading when nothing else is read.

use super::markup::Markup;
use crate::report::html::layout;
use crate::report::summary::{Finding, FindingKind, Report};

/// The list, most urgent first, in the words of all forms of the report.
pub(super) fn section(page: &mut Markup, report: &Report) {
    layout::open(page, "needs-you", "What needs you");
    page.put("<ol class=\"findings\">");
    for text in &report.input.findings {
        show(page, FindingKind::Log, text, |_| {});
    }
    for Finding { kind, text, advice, paste } in &report.findings {
        show(page, *kind, text, |page| {
            if let Some(advice) = advice {
                page.put("<p>").prose(advice).put("</p>");
            }
            if let Some(paste) = paste {
                page.put("<pre tabindex=\"0\">").whole(paste).put("</pre>");
            }
        });
    }
    page.put("</ol>");
    if report.needs_nobody() {
        layout::nothing(page, report.nothing());
    }
    layout::close(page);
}

fn show(page: &mut Markup, kind: FindingKind, text: &str, more: impl FnOnce(&mut Markup)) {
    let (tag, target) = match kind {
        FindingKind::Log => ("Log", "unreadable"),
        FindingKind::Failed => ("XiVO", "upstream"),
        FindingKind::Late => ("Late", "answer-times"),
        FindingKind::Refused => ("Refused", "refusals"),
        FindingKind::Limited => ("Limited", "limited"),
        FindingKind::Unknown => ("Unknown", "unknown"),
        FindingKind::LetIn => ("Let in", "peers"),
        FindingKind::Silent => ("Silent", "silent"),
        FindingKind::Harvest => ("Harvest", "harvests"),
    };
    page.put("<li><a class=\"tag\" href=\"#").put(target).put("\">").put(tag).put("</a><div>");
    page.put("<p><strong>").prose(text).put("</strong></p>");
    more(page);
    page.put("</div></li>");
}
