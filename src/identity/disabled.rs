//! Peers that an administrator has switched off while the gateway runs: whatever their policies say, and
//! until a time or until they are switched on again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::policy::PeerName;

/// A peer that is switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisabledPeer {
    /// Which one; it need not have a policy now.
    pub name: PeerName,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself; `None`: it does not.
    pub until: Option<Timestamp>,
    /// What the administrator said of it; may be empty.
    pub why: String,
    /// Who has done it.
    pub by: Administrator,
}

/// Somebody who uses the control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Administrator {
    /// The name that was claimed; may be empty.
    pub claimed: String,
    /// The user id, where the kernel knows it.
    pub uid: Option<u32>,
}

impl fmt::Display for Administrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.claimed.as_str(), self.uid) {
            ("", None) => f.write_str("somebody"),
            ("", Some(uid)) => write!(f, "uid {uid}"),
            (name, None) => write!(f, "somebody who says `{name}`"),
            (name, Some(uid)) => write!(f, "uid {uid}, who says `{name}`"),
        }
    }
}

impl DisabledPeer {
    /// Whether it is switched off at `now`.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl fmt::Display for DisabledPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, since, until, why, by } = self;
        write!(f, "`{name}` was switched off at {since:.0} by {by}")?;
        match until {
            Some(until) => write!(f, ", until {until:.0}")?,
            None => f.write_str(", until it is switched on again")?,
        }
        if why.is_empty() { Ok(()) } else { write!(f, ": {why}") }
    }
}

/// All peers that are switched off.
#[derive(Clone, Debug, Default)]
pub struct DisabledPeers(HashMap<PeerName, Arc<DisabledPeer>>);

impl DisabledPeers {
    /// The peer of this name, if it is switched off at `now`.
    pub fn find(&self, name: &PeerName, now: Timestamp) -> Option<&Arc<DisabledPeer>> {
        // As a rule there is none, and no name has to be hashed.
        if self.0.is_empty() {
            return None;
        }
        self.0.get(name).filter(|peer| peer.is_in_force(now))
    }

    /// All of them at `now`, by name.
    pub fn in_force(&self, now: Timestamp) -> Vec<&Arc<DisabledPeer>> {
        let mut all: Vec<_> = self.0.values().filter(|peer| peer.is_in_force(now)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Switches a peer off; what was said of it before no longer counts.
    pub fn insert(&mut self, peer: DisabledPeer) {
        self.0.insert(peer.name.clone(), Arc::new(peer));
    }

    /// Switches a peer on.
    pub fn remove(&mut self, name: &PeerName) -> Option<Arc<DisabledPeer>> {
        self.0.remove(name)
    }

    /// Takes out those whose time is over at `now`.
    pub fn take_expired(&mut self, now: Timestamp) -> Vec<Arc<DisabledPeer>> {
        let mut expired: Vec<_> =
            self.0.values().filter(|peer| !peer.is_in_force(now)).map(Arc::clone).collect();
        self.0.retain(|_, peer| peer.is_in_force(now));
        expired.sort_by(|a, b| a.name.cmp(&b.name));
        expired
    }

    /// When the first of them ends by itself.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.0.values().filter_map(|peer| peer.until).min()
    }
}

impl FromIterator<DisabledPeer> for DisabledPeers {
    fn from_iter<I: IntoIterator<Item = DisabledPeer>>(peers: I) -> Self {
        let mut all = Self::default();
        peers.into_iter().for_each(|peer| all.insert(peer));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, until: Option<i64>) -> DisabledPeer {
        DisabledPeer {
            name: PeerName::new(name).unwrap(),
            since: Timestamp::UNIX_EPOCH,
            until: until.map(|second| Timestamp::from_second(second).unwrap()),
            why: String::new(),
            by: Administrator { claimed: "marie".to_owned(), uid: Some(7) },
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_peer_is_switched_off_until_its_time_is_over() {
        let mut all: DisabledPeers =
            [peer("lyon", Some(60)), peer("nice", None)].into_iter().collect();
        let (lyon, nice) = (PeerName::new("lyon").unwrap(), PeerName::new("nice").unwrap());
        assert!(all.find(&lyon, at(59)).is_some() && all.find(&lyon, at(60)).is_none());
        assert!(all.find(&nice, Timestamp::MAX).is_some());
        assert_eq!(all.next_end(), Some(at(60)));
        assert!(all.take_expired(at(59)).is_empty());
        assert_eq!(all.take_expired(at(60)).len(), 1);
        assert_eq!((all.in_force(at(0)).len(), all.next_end()), (1, None));
        assert!(all.remove(&lyon).is_none() && all.remove(&nice).is_some());
        assert!(all.find(&nice, at(0)).is_none());
    }

    #[test]
    fn it_says_who_has_done_it_and_until_when() {
        let mut lyon = peer("lyon", Some(60));
        lyon.why = "a virus".to_owned();
        assert_eq!(
            lyon.to_string(),
            "`lyon` was switched off at 1970-01-01T00:00:00Z by uid 7, who says `marie`, until \
             1970-01-01T00:01:00Z: a virus"
        );
        lyon = DisabledPeer { until: None, by: Administrator::default(), ..peer("lyon", None) };
        assert_eq!(
            lyon.to_string(),
            "`lyon` was switched off at 1970-01-01T00:00:00Z by somebody, until it is switched on again"
        );
    }
}
