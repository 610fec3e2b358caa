//! The last heads that were not HTTP as this gateway reads it, for whoever has to find out why.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::policy::PeerName;
use crate::refusal::Reason;

/// A head that was refused for its form.
#[derive(Clone, Debug)]
pub(crate) struct MalformedHead {
    /// When it was refused.
    pub at: Timestamp,
    /// Whom it came from.
    pub address: IpAddr,
    /// The peer that has the address, where one has.
    pub peer: Option<PeerName>,
    /// The word of the refusal.
    pub reason: Reason,
    /// The rule that it breaks, as a sentence.
    pub rule: String,
    /// As much of it as is kept, from `skipped` on; what may be a search term is hidden where the access
    /// logs hide it.
    pub bytes: Vec<u8>,
    /// Which of `bytes` break the rule; empty where something is missing there, `None` where it is no
    /// matter of bytes.
    pub fault: Option<Range<usize>>,
    /// How much of it before `bytes` is not kept.
    pub skipped: usize,
    /// How many bytes had come of it.
    pub length: usize,
    /// Whether parts of `bytes` are hidden.
    pub hidden: bool,
}

/// The last of them. Callers in no policy take no peer's place: each has a list of its own.
#[derive(Debug, Default)]
pub(crate) struct MalformedHeads {
    peers: Mutex<VecDeque<Arc<MalformedHead>>>,
    unknown: Mutex<VecDeque<Arc<MalformedHead>>>,
}

impl MalformedHeads {
    /// Keeps a head, and forgets the oldest where there are too many.
    pub(crate) fn push(&self, head: MalformedHead) {
        let list = if head.peer.is_some() { &self.peers } else { &self.unknown };
        let head = Arc::new(head);
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = if list.len() >= KEPT { list.pop_front() } else { None };
        list.push_back(head);
        drop(list);
        drop(forgotten);
    }

    /// The last [`KEPT`], the newest first; of peers at least half of them, if there are so many.
    pub(crate) fn last(&self) -> Vec<Arc<MalformedHead>> {
        let newest = |list: &Mutex<VecDeque<Arc<MalformedHead>>>| {
            let list = list.lock().unwrap_or_else(PoisonError::into_inner);
            list.iter().rev().map(Arc::clone).collect::<Vec<_>>()
        };
        let (mut last, mut others) = (newest(&self.peers), newest(&self.unknown));
        others.extend(last.drain(last.len().min(KEPT / 2)..));
        others.sort_by_key(|head| std::cmp::Reverse(head.at));
        others.truncate(KEPT - last.len());
        last.extend(others);
        last.sort_by_key(|head| std::cmp::Reverse(head.at));
        last
    }
}

/// How many are shown, and kept of peers and of callers in no policy each.
pub(crate) const KEPT: usize = 100;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn head(second: i64, peer: bool) -> MalformedHead {
        MalformedHead {
            at: Timestamp::from_second(second).unwrap(),
            address: Ipv4Addr::LOCALHOST.into(),
            peer: peer.then(|| PeerName::new("lyon").unwrap()),
            reason: Reason::MalformedRequest,
            rule: String::new(),
            bytes: Vec::new(),
            fault: None,
            skipped: 0,
            length: 0,
            hidden: false,
        }
    }

    /// The seconds of the first and of the last that is shown, how many are, and how many of peers.
    fn shown(heads: &MalformedHeads) -> (i64, i64, usize, usize) {
        let last = heads.last();
        let of_peers = last.iter().filter(|head| head.peer.is_some()).count();
        let second = |at: Option<&Arc<MalformedHead>>| at.unwrap().at.as_second();
        (second(last.first()), second(last.last()), last.len(), of_peers)
    }

    #[test]
    fn the_last_are_kept_and_a_flood_of_others_leaves_the_peers() {
        let heads = MalformedHeads::default();
        (0..150).for_each(|second| heads.push(head(second, true)));
        assert_eq!(shown(&heads), (149, 50, 100, 100));
        (1000..1020).for_each(|second| heads.push(head(second, false)));
        assert_eq!(shown(&heads), (1019, 70, 100, 80));
        (2000..3000).for_each(|second| heads.push(head(second, false)));
        assert_eq!(shown(&heads), (2999, 100, 100, 50));
        assert_eq!(heads.unknown.lock().unwrap().len(), KEPT);
    }
}
