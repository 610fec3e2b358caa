//! The policy that would let somebody in who is in none: what is to be pasted, in reports and on the status page.

use std::fmt::{self, Display};

use crate::policy::{Action, Actions};

/// The text of a policy for one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proposal<'a, A> {
    /// Whom it lets in.
    pub address: A,
    /// How often it has asked, and when, in words of one line.
    pub asked: &'a str,
    /// What it has asked for; a search is granted in any case.
    pub actions: Actions,
    /// Whether it asked for the `private` realm.
    pub private: bool,
}

impl<A: Display> Display for Proposal<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, asked, actions, private } = self;
        writeln!(f, "# {asked}.\n# Make sure whose address this is.")?;
        if *private {
            f.write_str(
                "# Its directory URL has `private` in it: correct that there to\n# `restricted`.\n",
            )?;
        }
        let granted = [Action::Search, Action::List, Action::View].into_iter();
        let granted =
            granted.filter(|action| *action == Action::Search || actions.contains(*action));
        let granted: Vec<String> =
            granted.map(|action| format!("\"{}\"", action.as_str())).collect();
        writeln!(f, "hosts = [\"{address}\"]\nactions = [{}]", granted.join(", "))
    }
}

/// The file for the policy of an address that is in none: a name that the gateway takes as a peer's.
pub(crate) fn policy_file(address: &str) -> String {
    let name: String = address
        .chars()
        .take(50)
        .map(|char| match char.to_ascii_lowercase() {
            char @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => char,
            _ => '-',
        })
        .collect();
    format!("xivo-{name}.toml")
}

/// Whether somebody of whose requests so many are lookups of the phonebook is taken for a XiVO.
pub(crate) fn asks_as_xivo(lookups: u64, requests: u64) -> bool {
    lookups > 0 && lookups.saturating_mul(2) >= requests.min(MANY)
}

/// A caller that asks more than this need not ask for lookups most of the time to be taken for a XiVO.
const MANY: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_pasted_is_what_the_gateway_reads() {
        let mut actions = Actions::default();
        actions.insert(Action::View);
        let proposal =
            Proposal { address: "2001:db8::1", asked: "1 request, now", actions, private: true };
        let text = proposal.to_string();
        assert_eq!(
            text,
            "# 1 request, now.\n# Make sure whose address this is.\n# Its directory URL has `private` in it: \
             correct that there to\n# `restricted`.\nhosts = [\"2001:db8::1\"]\nactions = [\"search\", \"view\"]\n"
        );
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table.len(), 2);
        assert!(!Proposal { private: false, ..proposal }.to_string().contains("private"));
    }

    #[test]
    fn a_file_has_a_name_that_a_peer_can_have() {
        assert_eq!(policy_file("192.0.2.1"), "xivo-192.0.2.1.toml");
        assert_eq!(policy_file("2001:db8::1"), "xivo-2001-db8--1.toml");
        assert_eq!(policy_file("../../etc/\u{1b}X"), "xivo-..-..-etc--x.toml");
    }

    #[test]
    fn half_of_what_a_xivo_asks_are_lookups() {
        assert!(asks_as_xivo(1, 2) && asks_as_xivo(500, 1_000_000) && asks_as_xivo(u64::MAX, 9));
        assert!(!asks_as_xivo(0, 0) && !asks_as_xivo(1, 3) && !asks_as_xivo(499, 1000));
    }
}
