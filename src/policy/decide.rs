//! Whether a policy grants a lookup: pure and total, without a clock and without I/O. What no line
//! of the policy grants is refused.

use std::fmt;

use crate::location::Location;
use crate::lookup::{BadArgument, Lookup, LookupParts, PATH};
use crate::policy::{Action, Policy};

/// What was decided, and by which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The permit, or why there is none.
    pub outcome: Result<Permit, NotGranted>,
    /// The line of the policy that decided.
    pub rule: Location,
}

/// A lookup that a policy grants. Only [`decide`] makes one, and only for a permit is anything sent to XiVO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit(Lookup);

impl Permit {
    /// What may be asked.
    pub fn lookup(&self) -> &Lookup {
        &self.0
    }
}

/// What the gateway asks of its own: a search for what no contact has, so that the answer tells nobody anything
/// but that XiVO answers, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// By text, as for somebody who types a name.
    Text,
    /// By a telephone number, as for a call. None has so many digits.
    Number,
}

/// The gateway's own request. It is decided as all others are, by a policy that grants nothing else.
#[expect(
    clippy::expect_used,
    reason = "question and policy are constants, and a test has them both"
)]
pub(crate) fn trial(trial: Trial) -> Permit {
    let query: &[u8] = match trial {
        Trial::Text => b"act=search&search=phonebook-gateway-probe",
        Trial::Number => b"act=search&search=0000000000000000",
    };
    let parts =
        LookupParts { method: b"GET", path: PATH.as_bytes(), query: Some(query), has_body: false };
    let lookup = Lookup::parse(parts).expect("the question is a lookup");
    decide(&Policy::own(), lookup).outcome.expect("the gateway's own policy grants a search")
}

/// The same for a search that an administrator has chosen (`upstream.check.search`).
///
/// # Errors
/// It is no term.
#[expect(clippy::expect_used, reason = "the policy is a constant and grants each search")]
pub(crate) fn own_search(term: &str) -> Result<Permit, BadArgument> {
    let verdict = decide(&Policy::own(), Lookup::search(term)?);
    Ok(verdict.outcome.expect("the gateway's own policy grants a search"))
}

/// Why an action is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotGranted {
    /// `add`, `delete` and whatever else writes: no policy can grant it.
    Writing,
    /// The policy's `actions` lack it.
    Action {
        /// The action's word.
        action: &'static str,
        /// The policy's `actions`.
        location: Location,
    },
    /// The term is shorter than the policy's `min_search_length`.
    TermTooShort {
        /// Characters of the term.
        length: usize,
        /// Characters that it must have.
        min: u8,
        /// The policy's `min_search_length`.
        location: Location,
    },
}

impl NotGranted {
    /// The rule that refused, as a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Writing => "writing-action",
            Self::Action { .. } => "action-not-in-policy",
            Self::TermTooShort { .. } => "term-too-short",
        }
    }
}

impl fmt::Display for NotGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writing => f.write_str("The phonebook can be read here, never changed."),
            Self::Action { action, .. } => write!(
                f,
                "This peer may not use `act={action}`. Ask the administrator of this gateway to grant it."
            ),
            Self::TermTooShort { length, min, .. } => {
                let characters = if *length == 1 { "character" } else { "characters" };
                write!(
                    f,
                    "The search term has {length} {characters}; this peer's have at least {min}."
                )
            }
        }
    }
}

/// Decides whether `policy` grants `lookup`.
pub(crate) fn decide(policy: &Policy, lookup: Lookup) -> Verdict {
    let action = action(&lookup);
    if !policy.actions.value.contains(action) {
        let location = policy.actions.location.clone();
        let refused = NotGranted::Action { action: action.as_str(), location: location.clone() };
        return Verdict { outcome: Err(refused), rule: location };
    }
    if let Lookup::Search { term, .. } = &lookup {
        let (length, min) = (term.length(), policy.min_search_length.value);
        if length < usize::from(min) {
            let location = policy.min_search_length.location.clone();
            let refused = NotGranted::TermTooShort { length, min, location: location.clone() };
            return Verdict { outcome: Err(refused), rule: location };
        }
    }
    Verdict { outcome: Ok(Permit(lookup)), rule: policy.actions.location.clone() }
}

/// The action that a lookup needs.
pub(crate) fn action(lookup: &Lookup) -> Action {
    match lookup {
        Lookup::Search { .. } => Action::Search,
        Lookup::List { .. } => Action::List,
        Lookup::View { .. } => Action::View,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Actions;
    use crate::policy::tests::policy;

    fn lookup(query: &str) -> Lookup {
        let parts = LookupParts {
            method: b"GET",
            path: PATH.as_bytes(),
            query: Some(query.as_bytes()),
            has_body: false,
        };
        Lookup::parse(parts).unwrap()
    }

    fn refusal(policy: &Policy, query: &str) -> Option<NotGranted> {
        decide(policy, lookup(query)).outcome.err()
    }

    #[test]
    fn the_trial_is_a_search_that_finds_nobody() {
        for (kind, by_number) in [(Trial::Text, false), (Trial::Number, true)] {
            let Lookup::Search { term, known: None } = trial(kind).0 else { panic!() };
            assert!(term.length() > 15, "no telephone number is longer");
            assert_eq!(term.is_telephone_number(), by_number);
        }
    }

    #[test]
    fn nothing_is_granted_by_default() {
        let mut policy = policy("a");
        policy.actions.value = Actions::default();
        for query in ["act=search&search=doe", "act=list", "act=view&id=1"] {
            assert_eq!(refusal(&policy, query).unwrap().word(), "action-not-in-policy", "{query}");
        }
    }

    #[test]
    fn only_what_is_listed_is_granted() {
        for action in Action::ALL {
            let mut policy = policy("a");
            policy.actions.value = Actions::default();
            policy.actions.value.insert(action);
            for query in ["act=search&search=doe", "act=list", "act=view&id=1"] {
                let granted = refusal(&policy, query).is_none();
                assert_eq!(granted, super::action(&lookup(query)) == action, "{query}");
            }
        }
    }

    #[test]
    fn terms_are_counted_in_characters_after_trimming() {
        let policy = policy("a");
        assert_eq!(policy.min_search_length.value, 2);
        for (term, granted) in [
            ("", false),
            ("e", false),
            ("%20e%20", false),
            ("%C3%A9", false),
            ("%C3%A9%C3%A9", true),
            ("ab", true),
        ] {
            let refused = refusal(&policy, &format!("act=search&search={term}"));
            assert_eq!(refused.is_none(), granted, "{term}");
            assert!(refused.is_none_or(|not| not.word() == "term-too-short"));
        }
        let mut open = policy;
        open.min_search_length.value = 0;
        assert!(refusal(&open, "act=search&search=").is_none());
    }
}
