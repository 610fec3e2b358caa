//! Which lines count: `--since`, `--until`, `--peer`, `--status` and `--reason`.

use super::entry::Entry;
use crate::access_log::Statuses;

/// What a line must be to count. Of each kind any will do; an empty kind asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Not before this, in seconds since 1970.
    pub since: Option<i64>,
    /// Before this, in seconds since 1970.
    pub until: Option<i64>,
    /// With `since`: when as long a time before that began, to which figures are compared.
    pub before: Option<i64>,
    /// Peers, or addresses; `-` is nobody's.
    pub peers: Vec<String>,
    /// Only requests with one of these statuses.
    pub statuses: Option<Statuses>,
    /// Only requests with one of these reasons.
    pub reasons: Vec<String>,
}

/// What a line of the time that is asked for is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It is asked for.
    Asked,
    /// It is left out for its status or its reason.
    LeftOut,
    /// It is of somebody else.
    Elsewhere,
}

impl Selection {
    /// Whether `entry` is of the time that is asked for.
    #[inline]
    pub(crate) fn takes_time(&self, entry: &Entry<'_>) -> bool {
        self.since.is_none_or(|since| entry.time.unix >= since)
            && self.until.is_none_or(|until| entry.time.unix < until)
    }

    /// Whether lines of the time that is asked for may not count.
    pub(crate) fn is_choosy(&self) -> bool {
        self.statuses.is_some() || !self.peers.is_empty() || !self.reasons.is_empty()
    }

    /// Whether `entry` is of the time before.
    pub(crate) fn takes_time_before(&self, entry: &Entry<'_>) -> bool {
        let (Some(begin), Some(end)) = (self.before, self.since) else { return false };
        (begin..end).contains(&entry.time.unix)
    }

    /// Whether peers are not restricted, or to these and this one.
    pub(crate) fn names_peer(&self, name: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|peer| peer == name)
    }

    /// Whether `entry` counts, if it is of that time.
    #[inline]
    pub(crate) fn takes(&self, entry: &Entry<'_>) -> bool {
        self.statuses.as_ref().is_none_or(|statuses| statuses.has(entry.status))
            && (self.peers.is_empty() || self.takes_peer(entry))
            && (self.reasons.is_empty() || self.takes_reason(entry))
    }

    /// What `entry` is, if it is of the time that is asked for.
    pub(crate) fn choice(&self, entry: &Entry<'_>) -> Choice {
        match (self.peers.is_empty() || self.takes_peer(entry), self.takes(entry)) {
            (_, true) => Choice::Asked,
            (true, false) => Choice::LeftOut,
            (false, false) => Choice::Elsewhere,
        }
    }

    fn takes_peer(&self, entry: &Entry<'_>) -> bool {
        let is =
            |text: &String| entry.who.name() == text.as_bytes() || entry.address == text.as_bytes();
        self.peers.iter().any(is)
    }

    fn takes_reason(&self, entry: &Entry<'_>) -> bool {
        let word = entry.reason.map(super::entry::Reason::word);
        self.reasons.iter().any(|known| word == Some(known.as_bytes()))
    }
}
