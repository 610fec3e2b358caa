//! Callers in no policy that have asked as a XiVO does: for the administrator, who may have forgotten one.
//!
//! The memory is fixed: so many places of one size. A caller takes one with its first request that is a lookup in
//! form; who only looks for something to break into takes none. Where all are taken, who has not asked for a day
//! makes room, or else who has asked for fewest lookups: a flood of addresses with one lookup each takes each other's
//! places, and not that of a XiVO which asks for a second time.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::net::client_address::ClientAddress;
use crate::policy::{Action, Actions};

/// A caller in no policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownCaller {
    /// Whom limits take it for: of IPv6 the /64.
    key: IpAddr,
    /// The address that asked last.
    pub address: IpAddr,
    /// When it asked for a lookup first, in milliseconds since 1970.
    pub first_millis: u64,
    /// When it asked last.
    pub last_millis: u64,
    /// All that it asked since the first.
    pub requests: u64,
    /// How many of these were lookups.
    pub lookups: u64,
    /// How many of these were on the path with `private`.
    pub private: u64,
    /// Which lookups.
    pub actions: Actions,
    agent: [u8; AGENT],
    agent_length: u8,
}

/// What one of them asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownRequest<'a> {
    /// Whom it comes from.
    pub address: ClientAddress,
    /// When it was answered, in milliseconds since 1970.
    pub millis: u64,
    /// The lookup that it is in form, and whether on the path with `private`; `None` where it is none.
    pub lookup: Option<(Action, bool)>,
    /// What its sender calls itself.
    pub user_agent: &'a [u8],
}

/// Some of them.
#[derive(Debug, Default)]
pub(crate) struct UnknownCallers(Mutex<Vec<UnknownCaller>>);

impl UnknownCaller {
    fn new(request: &UnknownRequest<'_>) -> Self {
        Self {
            key: request.address.unknown_caller_key(),
            address: request.address.ip(),
            first_millis: request.millis,
            last_millis: request.millis,
            requests: 0,
            lookups: 0,
            private: 0,
            actions: Actions::default(),
            agent: [0; AGENT],
            agent_length: 0,
        }
    }

    fn count(&mut self, request: &UnknownRequest<'_>) {
        self.requests += 1;
        self.last_millis = self.last_millis.max(request.millis);
        let Some((action, private)) = request.lookup else { return };
        self.address = request.address.ip();
        self.lookups += 1;
        self.private += u64::from(private);
        self.actions.insert(action);
        let shown = request.user_agent.len().min(AGENT);
        let (kept, sent) = (self.agent.get_mut(..shown), request.user_agent.get(..shown));
        if let (Some(kept), Some(sent)) = (kept, sent) {
            kept.copy_from_slice(sent);
            self.agent_length = u8::try_from(shown).unwrap_or(u8::MAX);
        }
    }

    /// The beginning of what it calls itself, as it was sent; empty where it says nothing.
    pub(crate) fn user_agent(&self) -> &[u8] {
        self.agent.get(..usize::from(self.agent_length)).unwrap_or_default()
    }
}

impl UnknownCallers {
    /// A request of a caller in no policy was refused.
    pub(crate) fn note(&self, request: &UnknownRequest<'_>) {
        let key = request.address.unknown_caller_key();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.iter_mut().find(|caller| caller.key == key) {
            return known.count(request);
        }
        if request.lookup.is_none() {
            return;
        }
        let mut newcomer = UnknownCaller::new(request);
        newcomer.count(request);
        let room = KEPT.saturating_sub(all.len());
        if room > 0 {
            all.reserve_exact(room);
            return all.push(newcomer);
        }
        let is_old =
            |caller: &UnknownCaller| request.millis.saturating_sub(caller.last_millis) > A_DAY;
        let leaves = all.iter_mut().min_by_key(|caller| {
            let lookups = if is_old(caller) { 0 } else { caller.lookups };
            (lookups, caller.last_millis)
        });
        if let Some(place) = leaves {
            *place = newcomer;
        }
    }

    /// All of them; who asked last comes first.
    pub(crate) fn last(&self) -> Vec<UnknownCaller> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by_key(|caller| std::cmp::Reverse(caller.last_millis));
        all
    }
}

/// How many are kept.
pub(crate) const KEPT: usize = 64;

/// How much is kept of what one calls itself: more than `python-requests/2.x` needs.
const AGENT: usize = 64;

/// Who has not asked for so many milliseconds is forgotten first.
const A_DAY: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn request(address: impl Into<IpAddr>, millis: u64) -> UnknownRequest<'static> {
        UnknownRequest {
            address: ClientAddress::new(address.into()),
            millis,
            lookup: Some((Action::Search, false)),
            user_agent: b"python-requests/2.28.1",
        }
    }

    fn lookups(callers: &UnknownCallers) -> Vec<(String, u64, u64)> {
        let row = |it: &UnknownCaller| (it.address.to_string(), it.requests, it.lookups);
        callers.last().iter().map(row).collect()
    }

    #[test]
    fn who_asks_as_a_xivo_is_remembered_and_who_scans_is_not() {
        let callers = UnknownCallers::default();
        let scan = UnknownRequest { lookup: None, ..request(Ipv4Addr::LOCALHOST, 1) };
        callers.note(&scan);
        assert!(callers.last().is_empty());
        let private = Some((Action::List, true));
        callers.note(&UnknownRequest { lookup: private, ..request(Ipv4Addr::LOCALHOST, 2) });
        callers.note(&UnknownRequest { millis: 9, user_agent: b"nmap", ..scan });
        let [caller] = callers.last()[..] else { panic!() };
        assert_eq!((caller.first_millis, caller.last_millis), (2, 9));
        assert_eq!((caller.requests, caller.lookups, caller.private), (2, 1, 1));
        assert!(caller.actions.contains(Action::List) && !caller.actions.contains(Action::Search));
        assert_eq!(caller.user_agent(), b"python-requests/2.28.1");
        callers.note(&UnknownRequest { user_agent: &[b'x'; 999], ..request([127, 0, 0, 1], 10) });
        assert_eq!(callers.last()[0].user_agent(), [b'x'; AGENT]);
        callers.note(&UnknownRequest { user_agent: b"", ..request([127, 0, 0, 1], 10) });
        assert_eq!(callers.last()[0].user_agent(), b"");
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_caller() {
        let callers = UnknownCallers::default();
        let address = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        callers.note(&request(address(1), 1));
        callers.note(&request(address(2), 2));
        assert_eq!(lookups(&callers), [("2001:db8::2".to_owned(), 2, 2)]);
    }

    #[test]
    fn a_flood_of_addresses_takes_no_place_of_who_asks_again() {
        let callers = UnknownCallers::default();
        let xivo = Ipv4Addr::new(192, 0, 2, 7);
        callers.note(&request(xivo, 1));
        callers.note(&request(xivo, 2));
        for number in 0..10_000_u32 {
            callers.note(&request(Ipv4Addr::from(0x0a00_0000 + number), 3));
        }
        assert_eq!(callers.last().len(), KEPT);
        assert!(lookups(&callers).contains(&("192.0.2.7".to_owned(), 2, 2)));
        // After a day it makes room like all others.
        for number in 0..KEPT as u64 {
            callers.note(&request(Ipv4Addr::new(10, 1, 1, number as u8), 4 + A_DAY));
        }
        assert!(!lookups(&callers).iter().any(|(address, ..)| address == "192.0.2.7"));
    }

    #[test]
    fn the_memory_is_what_the_pages_say() {
        let callers = UnknownCallers::default();
        for number in 0..200_u8 {
            callers.note(&request([10, 0, 0, number], 1));
        }
        assert_eq!(callers.0.lock().unwrap().capacity(), KEPT);
        // docs/operations.md: 10 KB.
        assert!(KEPT * size_of::<UnknownCaller>() <= 10_240, "{}", size_of::<UnknownCaller>());
    }
}
