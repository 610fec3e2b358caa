//! Counts lines in whichever order they come: each block of lines has a tally, and tallies are added up in the order
//! of the blocks, so that where there is no room for more names it is the same ones that have found it.
//!
//! Memory depends on how many peers, hours and reasons there are, and not on the number of lines:
//! whatever a client can make different at will is counted by a sketch, or up to a limit.

mod parts;

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::patience::Patience;
use super::sketch::{Distinct, Frequent, Times};
use crate::refusal::Reason as Word;
use crate::report::count::block::{Asked, BlockSummary};
use crate::report::read::entry::{Action, Entry, Reason, Who, is_phonebook, is_private};
use crate::report::read::select::Choice;
pub(in crate::report) use parts::{Counts, Hours, LONGEST, Named, OTHERS, Span};
use parts::{kept, merge_named};

/// The hasher of addresses and terms: the same in each run, so that what is estimated is the same.
pub(crate) type ThingHasher = foldhash::quality::FixedState;

/// What is counted of a peer.
#[derive(Clone, Debug)]
pub(in crate::report) struct PeerTally {
    /// The number of its lines, those that are not asked for included (`--status` and so on).
    pub(in crate::report) seen: u64,
    pub(in crate::report) seen_span: Span,
    /// What is asked for; `None` where nothing of it is.
    pub(in crate::report) span: Option<Span>,
    pub(in crate::report) counts: Counts,
    pub(in crate::report) is_address: bool,
    pub(in crate::report) actions: [u64; Action::COUNT],
    /// Of an address, lookups on the path with `private`.
    pub(in crate::report) private: u64,
    pub(in crate::report) addresses: Distinct,
    /// The hash of the last address, which the next line's is most often.
    last_address: u64,
    /// Of what XiVO was asked for.
    pub(in crate::report) times: Times,
    pub(in crate::report) hours: Hours<u64>,
    pub(in crate::report) hour_of_day: [u64; 24],
}

impl PeerTally {
    fn new(entry: &Entry<'_>) -> Self {
        Self {
            seen: 0,
            seen_span: Span::at(entry.time),
            span: None,
            counts: Counts::default(),
            is_address: matches!(entry.who, Who::Address(_)),
            actions: [0; Action::COUNT],
            private: 0,
            addresses: Distinct::default(),
            last_address: 0,
            times: Times::default(),
            hours: Hours::default(),
            hour_of_day: [0; 24],
        }
    }

    fn merge(&mut self, other: &Self, hours_left: &mut usize) {
        self.seen += other.seen;
        self.seen_span.merge(&other.seen_span);
        merge_spans(&mut self.span, other.span);
        self.counts.merge(&other.counts);
        self.is_address &= other.is_address;
        add_up(&mut self.actions, &other.actions);
        self.private += other.private;
        self.addresses.merge(&other.addresses);
        self.times.merge(&other.times);
        add_up(&mut self.hour_of_day, &other.hour_of_day);
        for (begin, count) in other.hours.list() {
            *self.hours.at_within(*begin, hours_left) += count;
        }
    }
}

fn merge_spans(ours: &mut Option<Span>, theirs: Option<Span>) {
    if let Some(theirs) = theirs {
        ours.get_or_insert(theirs).merge(&theirs);
    }
}

fn add_up(sums: &mut [u64], figures: &[u64]) {
    sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
}

/// What is counted of a reason.
#[derive(Clone, Debug)]
pub(in crate::report) struct ReasonTally {
    pub(in crate::report) count: u64,
    pub(in crate::report) span: Span,
    pub(in crate::report) statuses: Vec<u16>,
    pub(in crate::report) callers: Named<u64>,
    /// The last one's request line, as written; of several in one second the last one by its bytes.
    pub(in crate::report) example: Latest,
}

/// The last of the texts of some lines.
#[derive(Clone, Debug)]
pub(in crate::report) struct Latest {
    unix: i64,
    pub(in crate::report) text: Vec<u8>,
}

impl Default for Latest {
    fn default() -> Self {
        Self { unix: i64::MIN, text: Vec::new() }
    }
}

impl Latest {
    fn see(&mut self, unix: i64, text: &[u8]) {
        if (unix, text) > (self.unix, &*self.text) {
            self.unix = unix;
            self.text.clear();
            self.text.extend_from_slice(text);
        }
    }
}

/// Whom which limit met.
#[derive(Clone, Debug)]
pub(in crate::report) struct LimitTally {
    pub(in crate::report) count: u64,
    pub(in crate::report) span: Span,
}

/// What is kept of a caller in no policy.
#[derive(Clone, Debug)]
pub(in crate::report) struct UnknownCallerTally {
    pub(in crate::report) span: Span,
    pub(in crate::report) lookups: u64,
    pub(in crate::report) private: u64,
    pub(in crate::report) actions: [u64; Action::COUNT],
    pub(in crate::report) user_agent: Latest,
}

/// Everything that can be counted in any order.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    hasher: ThingHasher,
    pub(in crate::report) span: Option<Span>,
    /// As long a time before what is asked for, and the first line of another time than that.
    pub(in crate::report) before: Counts,
    pub(in crate::report) earliest: i64,
    /// The last line of the time that is asked for that is not asked for otherwise.
    pub(in crate::report) last_seen: i64,
    pub(in crate::report) inferred: u64,
    pub(in crate::report) filtered: u64,
    pub(in crate::report) statuses: Box<[u64]>,
    pub(in crate::report) addresses: Distinct,
    pub(in crate::report) hour_of_day: [u64; 24],
    pub(in crate::report) hours: Hours<Counts>,
    pub(in crate::report) peers: Named<PeerTally>,
    pub(in crate::report) reasons: Named<ReasonTally>,
    /// By caller and limit, one blank between.
    pub(in crate::report) limits: Named<LimitTally>,
    pub(in crate::report) unknown_callers: Frequent<UnknownCallerTally>,
    pub(in crate::report) unknown_requests: u64,
    pub(in crate::report) unknown_addresses: Distinct,
    /// Requests of these that are left out for their status or reason.
    pub(in crate::report) unknown_hidden: u64,
    /// Of what XiVO was asked for, by others than peers.
    other_times: Times,
    /// Of what XiVO was not asked for.
    pub(in crate::report) refusal_times: Times,
    pub(in crate::report) upstream_times: Times,
    /// Whether names were longer than is kept of them.
    pub(in crate::report) names_cut: bool,
    /// How many further hours of peers can be told apart.
    peer_hours_left: usize,
    /// Whether another tally that was added had too many.
    peer_hours_short: bool,
}

impl Tally {
    /// A tally of no lines.
    pub(crate) fn new(hasher: ThingHasher) -> Self {
        Self {
            hasher,
            span: None,
            before: Counts::default(),
            earliest: i64::MAX,
            last_seen: i64::MIN,
            inferred: 0,
            filtered: 0,
            statuses: vec![0; 1000].into(),
            addresses: Distinct::default(),
            hour_of_day: [0; 24],
            hours: Hours::default(),
            peers: Named::new(MOST_PEERS),
            reasons: Named::new(MOST_REASONS),
            limits: Named::new(2 * MOST_PEERS),
            unknown_callers: Frequent::default(),
            unknown_requests: 0,
            unknown_addresses: Distinct::default(),
            unknown_hidden: 0,
            other_times: Times::default(),
            refusal_times: Times::default(),
            upstream_times: Times::default(),
            names_cut: false,
            peer_hours_left: MOST_PEER_HOURS,
            peer_hours_short: false,
        }
    }

    /// A line of another time than is asked for; perhaps of the one before, to which figures are compared.
    #[cold]
    pub(crate) fn pass_over(&mut self, entry: &Entry<'_>, is_before: bool) {
        self.filtered += 1;
        self.earliest = self.earliest.min(entry.time.unix);
        if is_before {
            self.before.count(entry, Patience::of(entry));
        }
    }

    /// Counts a line. What depends on the order goes into `block`. Of one that is not asked for it is only taken what
    /// advice needs to be right.
    #[inline]
    pub(crate) fn count(&mut self, entry: &Entry<'_>, block: &mut BlockSummary, choice: Choice) {
        let patience = Patience::of(entry);
        if choice != Choice::Asked {
            return self.note(entry, patience, block, choice);
        }
        self.span.get_or_insert_with(|| Span::at(entry.time)).extend(entry.time);
        if let Some(count) = self.statuses.get_mut(usize::from(entry.status)) {
            *count += 1;
        }
        let hour_of_day = entry.time.hour_of_day();
        self.hour_of_day[hour_of_day] += 1;
        self.hours.at(entry.time.unix).count(entry, patience);
        if let Some(time) = entry.upstream_time {
            self.upstream_times.insert(time);
        }
        let times = match entry.who {
            Who::Peer(name) | Who::Address(name) => {
                let peer = self.count_peer(name, entry, patience, block);
                &mut self.peers.at(peer).times
            }
            Who::Unknown(address) => {
                self.count_unknown(address, entry);
                &mut self.other_times
            }
            Who::Other => {
                self.addresses.insert(self.hasher.hash_one(entry.address));
                &mut self.other_times
            }
        };
        if let Some(time) = entry.request_time {
            if patience.reached_xivo { times.insert(time) } else { self.refusal_times.insert(time) }
        }
        if entry.status >= 400 {
            self.count_refusal(entry);
            if is_fault_of_xivo(entry) {
                block.outages.fail(entry.time.unix);
            }
        }
    }

    /// Takes what advice needs of a line that is not asked for.
    #[cold]
    fn note(
        &mut self,
        entry: &Entry<'_>,
        patience: Patience,
        block: &mut BlockSummary,
        choice: Choice,
    ) {
        self.filtered += 1;
        self.last_seen = self.last_seen.max(entry.time.unix);
        match entry.who {
            Who::Peer(name) | Who::Address(name) => {
                let asked = Asked { patience, is_chosen: false };
                self.note_peer(name, entry, asked, block);
            }
            Who::Unknown(_) => self.unknown_hidden += u64::from(choice == Choice::LeftOut),
            Who::Other => {}
        }
    }

    #[inline]
    fn note_peer(
        &mut self,
        name: &[u8],
        entry: &Entry<'_>,
        asked: Asked,
        block: &mut BlockSummary,
    ) -> usize {
        let name = Self::kept(name, &mut self.names_cut);
        let number = self.peers.number(&name, || PeerTally::new(entry));
        let peer = self.peers.at(number);
        peer.seen += 1;
        peer.is_address &= matches!(entry.who, Who::Address(_));
        peer.seen_span.extend(entry.time);
        block.ask(number, entry, asked, &self.hasher);
        number
    }

    #[inline]
    fn count_peer(
        &mut self,
        name: &[u8],
        entry: &Entry<'_>,
        patience: Patience,
        block: &mut BlockSummary,
    ) -> usize {
        let asked = Asked { patience, is_chosen: true };
        let number = self.note_peer(name, entry, asked, block);
        let peer = self.peers.at(number);
        peer.counts.count(entry, patience);
        peer.span.get_or_insert_with(|| Span::at(entry.time)).extend(entry.time);
        peer.actions[entry.action as usize] += 1;
        peer.hour_of_day[entry.time.hour_of_day()] += 1;
        if peer.is_address {
            peer.private += u64::from(is_private(entry.target));
        }
        *peer.hours.at_within(entry.time.unix, &mut self.peer_hours_left) += 1;
        let address = self.hasher.hash_one(entry.address);
        if address != peer.last_address {
            peer.last_address = address;
            peer.addresses.insert(address);
            self.addresses.insert(address);
        }
        number
    }

    /// All that is asked for.
    pub(in crate::report) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.hours.list().iter().for_each(|(_, hour)| counts.merge(hour));
        counts
    }

    /// How long all answers took for which XiVO was asked.
    pub(in crate::report) fn times(&self) -> Times {
        let mut times = self.other_times.clone();
        self.peers.iter().for_each(|(_, peer)| times.merge(&peer.times));
        times
    }

    /// What is kept of a name; says if that is not all.
    #[inline]
    fn kept<'n>(name: &'n [u8], is_cut: &mut bool) -> Cow<'n, [u8]> {
        let kept = kept(name);
        *is_cut |= matches!(kept, Cow::Owned(_));
        kept
    }

    #[cold]
    fn count_unknown(&mut self, address: &[u8], entry: &Entry<'_>) {
        self.unknown_requests += 1;
        let hash = self.hasher.hash_one(address);
        self.unknown_addresses.insert(hash);
        self.addresses.insert(hash);
        let new = || UnknownCallerTally {
            span: Span::at(entry.time),
            lookups: 0,
            private: 0,
            actions: [0; Action::COUNT],
            user_agent: Latest::default(),
        };
        let address = Self::kept(address, &mut self.names_cut);
        self.unknown_callers.count(&address, new, |caller| {
            caller.span.extend(entry.time);
            if is_phonebook(entry.target) {
                caller.lookups += 1;
                caller.private += u64::from(is_private(entry.target));
                caller.actions[entry.action as usize] += 1;
            }
            if !matches!(entry.user_agent, b"" | b"-") {
                caller.user_agent.see(entry.time.unix, cut(entry.user_agent, 200));
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
            example: Latest::default(),
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
        let shown = if entry.request.is_empty() { entry.target } else { entry.request };
        reason.example.see(entry.time.unix, cut(shown, 300));
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
    pub(in crate::report) fn has_too_many_peer_hours(&self) -> bool {
        self.peer_hours_left == 0 || self.peer_hours_short
    }

    /// The names of peers, in the order of their numbers.
    pub(in crate::report) fn names(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.peers.names()
    }

    /// Adds another's figures; says which number each of its peers has here.
    pub(crate) fn merge(&mut self, other: &Self) -> Vec<usize> {
        merge_spans(&mut self.span, other.span);
        self.before.merge(&other.before);
        self.earliest = self.earliest.min(other.earliest);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.inferred += other.inferred;
        self.filtered += other.filtered;
        add_up(&mut self.statuses, &other.statuses);
        self.addresses.merge(&other.addresses);
        add_up(&mut self.hour_of_day, &other.hour_of_day);
        for (begin, counts) in other.hours.list() {
            self.hours.at(*begin).merge(counts);
        }
        let left = &mut self.peer_hours_left;
        let numbers =
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
        self.unknown_callers.merge(&other.unknown_callers, |ours, theirs| {
            ours.span.merge(&theirs.span);
            ours.lookups += theirs.lookups;
            ours.private += theirs.private;
            add_up(&mut ours.actions, &theirs.actions);
            ours.user_agent.see(theirs.user_agent.unix, &theirs.user_agent.text);
        });
        self.unknown_hidden += other.unknown_hidden;
        self.unknown_requests += other.unknown_requests;
        self.unknown_addresses.merge(&other.unknown_addresses);
        self.other_times.merge(&other.other_times);
        self.refusal_times.merge(&other.refusal_times);
        self.upstream_times.merge(&other.upstream_times);
        numbers
    }
}

/// Whether XiVO failed: every 5xx but that which the gateway says of itself.
pub(in crate::report) fn is_fault_of_xivo(entry: &Entry<'_>) -> bool {
    entry.status >= 500 && entry.reason.is_none_or(|reason| reason.word() != OVERLOADED)
}

impl ReasonTally {
    fn merge(&mut self, other: &Self) {
        self.example.see(other.example.unix, &other.example.text);
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

/// The number of peers, or addresses that were let in, that are told apart.
pub(in crate::report) const MOST_PEERS: usize = 1000;
/// The number of hours of all peers together: a hundred peers' of more than a year.
const MOST_PEER_HOURS: usize = 1_000_000;
/// The number of reasons that are told apart: there are some thirty words.
const MOST_REASONS: usize = 64;
/// The number of callers of one reason: all peers, and callers in no policy.
const MOST_CALLERS: usize = MOST_PEERS + 100;

/// What the gateway says of itself.
pub(in crate::report) const OVERLOADED: &[u8] = Word::Overloaded.as_str().as_bytes();
