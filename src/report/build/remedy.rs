//! What the administrator of the gateway does about each reason: one sentence, or two.

use crate::refusal::Reason;

/// The sentence for a reason of the log: the gateway's words, and the statuses that stand for several.
pub(in crate::report) fn remedy(reason: &str) -> &'static str {
    let others = || OTHERS.iter().find(|(word, _)| *word == reason).map(|(_, sentence)| *sentence);
    let of_reason =
        |reason| if reason == Reason::RateLimited { LIMITED } else { Reason::remedy(reason) };
    Reason::of(reason).map(of_reason).or_else(others).unwrap_or(OTHERWISE)
}

/// A report has the quotas itself.
const LIMITED: &str = "More lookups than the rate allows. Quotas that would have sufficed stand below; if it is no rush hour but a \
    harvest, leave the rate as it is.";
const OTHERWISE: &str = "A log in the format `gateway` names the reason.";
const FAILED: &str = "XiVO failed, or could not be reached. A log in the format `gateway` says how; `phonebook-gateway probe` says \
    what is wrong now.";

/// The sentences for what else a log can have: statuses.
const OTHERS: &[(&str, &str)] = &[
    ("401", "XiVO wants a login: no Web Services user of it has the caller's address as host."),
    (
        "403",
        "Several reasons have this status. A log in the format `gateway` names them; `phonebook-gateway explain --from \
             ADDRESS URL` tells of one request.",
    ),
    ("500", FAILED),
    ("502", FAILED),
    ("503", FAILED),
    ("5xx", FAILED),
    (
        "no-status",
        "HTTP has no status of 600 or more: what has answered so stands before XiVO's own nginx, or was written into \
             its configuration. It counts as a failure.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_its_own_sentence_and_anything_else_the_general_one() {
        assert_eq!(remedy("peer-disabled"), Reason::PeerDisabled.remedy());
        assert_eq!(remedy("rate-limited"), LIMITED);
        assert_eq!(remedy("502"), FAILED);
        assert_eq!(remedy("something else"), OTHERWISE);
    }
}
