//! Counts lines in whichever order they come: each thread has a tally, and tallies are added up.
//!
//! Memory depends on how many peers, hours and reasons there are, and not on the number of lines:
//! whatever a client can make different at will is counted by a sketch, or up to a limit.

mod parts;

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::entry::{Action, Entry, Reason, Who, is_phonebook, is_private};
use super::sketch::{Distinct, Frequent, Times};
use super::stretch::Stretch;
pub(super) use parts::{Counts, Hours, LONGEST, Named, OTHERS, Span};
use parts::{kept, merge_named};

/// The hasher of addresses and terms: one for all tallies that are added up.
pub type ThingHasher = foldhash::quality::RandomState;

/// A peer's figures.
#[derive(Clone, Debug)]
pub(super) struct PeerTally {
    pub(super) counts: Counts,
    pub(super) span: Span,
    pub(super) is_address: bool,
    pub(super) actions: [u64; Action::COUNT],
    pub(super) addresses: Distinct,
    /// The hash of the last address, which the next line's is most often.
    last_address: u64,
    pub(super) terms: Distinct,
    pub(super) times: Times,
    pub(super) hours: Hours<u64>,
    pub(super) hour_of_day: [u64; 24],
}

impl PeerTally {
    fn new(entry: &Entry<'_>) -> Self {
        Self {
            counts: Counts::default(),
            span: Span::at(entry.time),
            is_address: matches!(entry.who, Who::Address(_)),
            actions: [0; Action::COUNT],
            addresses: Distinct::default(),
            last_address: 0,
            terms: Distinct::default(),
            times: Times::default(),
            hours: Hours::default(),
            hour_of_day: [0; 24],
        }
    }

    fn merge(&mut self, other: &Self, hours_left: &mut usize) {
        self.counts.merge(&other.counts);
        self.span.merge(&other.span);
        add_up(&mut self.actions, &other.actions);
        self.addresses.merge(&other.addresses);
        self.terms.merge(&other.terms);
        self.times.merge(&other.times);
        add_up(&mut self.hour_of_day, &other.hour_of_day);
        for (begin, count) in other.hours.list() {
            *self.hours.at_within(*begin, hours_left) += count;
        }
    }
}

fn add_up(sums: &mut [u64], figures: &[u64]) {
    sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
}

/// A reason's figures.
#[derive(Clone, Debug)]
pub(super) struct ReasonTally {
    pub(super) count: u64,
    pub(super) span: Span,
    pub(super) statuses: Vec<u16>,
    pub(super) callers: Named<u64>,
    /// The last one's request line, as written.
    pub(super) example: Box<[u8]>,
}

/// Whom which limit met.
#[derive(Clone, Debug)]
pub(super) struct LimitTally {
    pub(super) count: u64,
    pub(super) span: Span,
}

/// What is kept of a caller in no policy.
#[derive(Clone, Debug)]
pub(super) struct StrangerTally {
    pub(super) span: Span,
    pub(super) lookups: u64,
    pub(super) private: u64,
    pub(super) actions: [u64; Action::COUNT],
    pub(super) user_agent: Box<[u8]>,
}

/// Everything that can be counted in any order.
#[derive(Clone, Debug)]
pub struct Tally {
    hasher: ThingHasher,
    pub(super) counts: Counts,
    pub(super) span: Option<Span>,
    pub(super) inferred: u64,
    pub(super) filtered: u64,
    pub(super) statuses: Box<[u64]>,
    pub(super) addresses: Distinct,
    pub(super) terms: Distinct,
    pub(super) hour_of_day: [u64; 24],
    pub(super) hours: Hours<Counts>,
    pub(super) peers: Named<PeerTally>,
    pub(super) reasons: Named<ReasonTally>,
    /// By caller and limit, one blank between.
    pub(super) limits: Named<LimitTally>,
    pub(super) strangers: Frequent<StrangerTally>,
    pub(super) stranger_count: u64,
    pub(super) stranger_addresses: Distinct,
    pub(super) times: Times,
    pub(super) upstream_times: Times,
    /// Whether names were longer than is kept of them.
    pub(super) names_cut: bool,
    /// How many further hours of peers can be told apart.
    peer_hours_left: usize,
    /// Whether another tally that was added had too many.
    peer_hours_short: bool,
}

impl Tally {
    /// Nothing yet.
    pub fn new(hasher: ThingHasher) -> Self {
        Self {
            hasher,
            counts: Counts::default(),
            span: None,
            inferred: 0,
            filtered: 0,
            statuses: vec![0; 600].into(),
            addresses: Distinct::default(),
            terms: Distinct::default(),
            hour_of_day: [0; 24],
            hours: Hours::default(),
            peers: Named::new(MOST_PEERS),
            reasons: Named::new(MOST_REASONS),
            limits: Named::new(2 * MOST_PEERS),
            strangers: Frequent::default(),
            stranger_count: 0,
            stranger_addresses: Distinct::default(),
            times: Times::default(),
            upstream_times: Times::default(),
            names_cut: false,
            peer_hours_left: MOST_PEER_HOURS,
            peer_hours_short: false,
        }
    }

    /// A line that is not asked for.
    pub fn pass_over(&mut self) {
        self.filtered += 1;
    }

    /// Counts a line. What depends on the order goes into `stretch`.
    #[inline]
    pub fn count(&mut self, entry: &Entry<'_>, stretch: &mut Stretch) {
        self.counts.count(entry);
        self.span.get_or_insert_with(|| Span::at(entry.time)).extend(entry.time);
        if let Some(count) = self.statuses.get_mut(usize::from(entry.status)) {
            *count += 1;
        }
        let hour_of_day = entry.time.hour_of_day();
        self.hour_of_day[hour_of_day] += 1;
        self.hours.at(entry.time.unix).count(entry);
        if let Some(time) = entry.request_time {
            self.times.insert(time);
        }
        if let Some(time) = entry.upstream_time {
            self.upstream_times.insert(time);
        }
        match entry.who {
            Who::Peer(name) | Who::Address(name) => self.count_peer(name, entry, stretch),
            Who::Stranger(address) => self.count_stranger(address, entry),
            Who::Other => self.addresses.insert(self.hasher.hash_one(entry.address)),
        }
        if entry.status >= 400 {
            self.count_refusal(entry);
            if entry.status >= 500 {
                stretch.fail(entry.time.unix);
            }
        }
    }

    #[inline]
    fn count_peer(&mut self, name: &[u8], entry: &Entry<'_>, stretch: &mut Stretch) {
        let name = Self::kept(name, &mut self.names_cut);
        let number = self.peers.number(&name, || PeerTally::new(entry));
        let peer = self.peers.at(number);
        peer.counts.count(entry);
        peer.span.extend(entry.time);
        peer.actions[entry.action as usize] += 1;
        peer.hour_of_day[entry.time.hour_of_day()] += 1;
        *peer.hours.at_within(entry.time.unix, &mut self.peer_hours_left) += 1;
        let address = self.hasher.hash_one(entry.address);
        if address != peer.last_address {
            peer.last_address = address;
            peer.addresses.insert(address);
            self.addresses.insert(address);
        }
        if let Some(time) = entry.request_time {
            peer.times.insert(time);
        }
        let second = entry.time.unix;
        let asked = stretch.ask(number, second);
        if let Some(term) = entry.term {
            asked.term(second, term, self.term_hash(term));
        }
    }

    /// What is kept of a name; says if that is not all.
    #[inline]
    fn kept<'n>(name: &'n [u8], is_cut: &mut bool) -> Cow<'n, [u8]> {
        let kept = kept(name);
        *is_cut |= matches!(kept, Cow::Owned(_));
        kept
    }

    /// The hash of a term without regard to case, which XiVO's search has none of.
    #[inline]
    fn term_hash(&self, term: &[u8]) -> u64 {
        let mut lower = [0; 64];
        match lower.get_mut(..term.len()) {
            Some(lower) => {
                lower.copy_from_slice(term);
                lower.make_ascii_lowercase();
                self.hasher.hash_one(&*lower)
            }
            None => self.hasher.hash_one(term),
        }
    }

    /// Takes over what the end of a stretch tells of its terms, and gives it the peers' names.
    pub fn end(&mut self, stretch: &mut Stretch) {
        let peers = &mut self.peers;
        let terms = &mut self.terms;
        stretch.end(|number, in_hour| {
            peers.at(number).terms.merge(in_hour);
            terms.merge(in_hour);
        });
        stretch.name(|number| Arc::clone(peers.name(number)));
    }

    #[cold]
    fn count_stranger(&mut self, address: &[u8], entry: &Entry<'_>) {
        self.stranger_count += 1;
        let hash = self.hasher.hash_one(address);
        self.stranger_addresses.insert(hash);
        self.addresses.insert(hash);
        let new = || StrangerTally {
            span: Span::at(entry.time),
            lookups: 0,
            private: 0,
            actions: [0; Action::COUNT],
            user_agent: Box::default(),
        };
        let address = Self::kept(address, &mut self.names_cut);
        self.strangers.count(&address, new, |stranger| {
            stranger.span.extend(entry.time);
            if is_phonebook(entry.target) {
                stranger.lookups += 1;
                stranger.private += u64::from(is_private(entry.target));
                stranger.actions[entry.action as usize] += 1;
            }
            if stranger.user_agent.is_empty() {
                stranger.user_agent = cut(entry.user_agent, 200).into();
            }
        });
    }

    fn count_refusal(&mut self, entry: &Entry<'_>) {
        self.inferred += u64::from(matches!(entry.reason, Some(Reason::Inferred(_))));
        let word = match entry.reason {
            Some(reason) => reason.word(),
            None => b"-",
        };
        let new = || ReasonTally {
            count: 0,
            span: Span::at(entry.time),
            statuses: Vec::new(),
            callers: Named::new(MOST_CALLERS),
            example: Box::default(),
        };
        let names_cut = &mut self.names_cut;
        let word = Self::kept(word, names_cut);
        let name = Self::kept(entry.who.name(), names_cut);
        let number = self.reasons.number(&word, new);
        let reason = self.reasons.at(number);
        reason.count += 1;
        reason.span.extend(entry.time);
        if !reason.statuses.contains(&entry.status) {
            reason.statuses.push(entry.status);
        }
        let caller = reason.callers.number(&name, || 0);
        *reason.callers.at(caller) += 1;
        // The last one of a thousand is as good an example as the last one.
        if reason.count < 8 || reason.count.is_multiple_of(1024) {
            let shown = if entry.request.is_empty() { entry.target } else { entry.request };
            reason.example = cut(shown, 300).into();
        }
        if entry.status == 429 {
            let key = [&*name, b" ", &Self::kept(entry.limit, names_cut)].concat();
            let new = || LimitTally { count: 0, span: Span::at(entry.time) };
            let number = self.limits.number(&key, new);
            let limit = self.limits.at(number);
            limit.count += 1;
            limit.span.extend(entry.time);
        }
    }

    /// Whether peers had more hours together than are told apart.
    pub(super) fn has_too_many_peer_hours(&self) -> bool {
        self.peer_hours_left == 0 || self.peer_hours_short
    }

    /// Adds another's figures.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        if let Some(theirs) = &other.span {
            self.span.get_or_insert(*theirs).merge(theirs);
        }
        self.inferred += other.inferred;
        self.filtered += other.filtered;
        add_up(&mut self.statuses, &other.statuses);
        self.addresses.merge(&other.addresses);
        self.terms.merge(&other.terms);
        add_up(&mut self.hour_of_day, &other.hour_of_day);
        for (begin, counts) in other.hours.list() {
            self.hours.at(*begin).merge(counts);
        }
        let left = &mut self.peer_hours_left;
        merge_named(&mut self.peers, &other.peers, |ours, theirs| ours.merge(theirs, left));
        // Peers that are new have brought theirs.
        let hours = self.peers.iter().map(|(_, peer)| peer.hours.list().len()).sum();
        self.peer_hours_left = MOST_PEER_HOURS.saturating_sub(hours);
        self.peer_hours_short |= other.has_too_many_peer_hours();
        self.names_cut |= other.names_cut;
        merge_named(&mut self.reasons, &other.reasons, ReasonTally::merge);
        merge_named(&mut self.limits, &other.limits, |ours, theirs| {
            ours.count += theirs.count;
            ours.span.merge(&theirs.span);
        });
        self.strangers.merge(&other.strangers, |ours, theirs| {
            ours.span.merge(&theirs.span);
            ours.lookups += theirs.lookups;
            ours.private += theirs.private;
            add_up(&mut ours.actions, &theirs.actions);
        });
        self.stranger_count += other.stranger_count;
        self.stranger_addresses.merge(&other.stranger_addresses);
        self.times.merge(&other.times);
        self.upstream_times.merge(&other.upstream_times);
    }
}

impl ReasonTally {
    fn merge(&mut self, other: &Self) {
        if other.span.last.unix >= self.span.last.unix {
            self.example.clone_from(&other.example);
        }
        self.count += other.count;
        self.span.merge(&other.span);
        for status in &other.statuses {
            if !self.statuses.contains(status) {
                self.statuses.push(*status);
            }
        }
        merge_named(&mut self.callers, &other.callers, |ours, theirs| *ours += theirs);
    }
}

fn cut(text: &[u8], most: usize) -> &[u8] {
    &text[..text.len().min(most)]
}

/// So many peers, or addresses that were let in, are told apart.
pub(super) const MOST_PEERS: usize = 1000;
/// So many hours of all peers together: a hundred peers' of more than a year.
const MOST_PEER_HOURS: usize = 1_000_000;
/// So many reasons: there are some thirty words.
const MOST_REASONS: usize = 64;
/// So many callers of one reason.
const MOST_CALLERS: usize = 256;
