//! What is known of each name, and what becomes of answers and time.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use crate::identity::peers::Peers;
use crate::identity::resolved::Resolved;
use crate::location::Location;
use crate::net::client_address::ClientAddress;
use crate::policy::{Host, PeerName, Policy, Require};
use crate::resolver::{Event, Failure, Lost, LostBecause, Outcome, Settings, Unusable};

/// All names of all policies.
#[derive(Debug)]
pub struct Table {
    settings: Settings,
    /// The policies by what they write.
    written: Peers<()>,
    names: Vec<Name>,
    /// Whose name has an address: who has it keeps it.
    owners: HashMap<IpAddr, usize>,
}

/// A name, and whose it is.
#[derive(Debug)]
struct Name {
    name: String,
    peer: PeerName,
    location: Location,
    /// Whether the peer is told from others by its certificate too.
    with_certificate: bool,
    /// What it has, and what it had a while ago.
    addresses: Vec<Held>,
    /// When it resolved last.
    good: Option<Timestamp>,
    failing: Option<(Timestamp, Failure)>,
    failures: u32,
    next: Timestamp,
    /// When it would have been asked for, had the gateway not been restarted.
    next_shown: Timestamp,
    asked: bool,
    /// What is refused of it, and has been reported.
    reported: BTreeSet<IpAddr>,
    /// Whether its hold is over, and that has been reported.
    dropped: bool,
    /// Whether what it has is from before a restart.
    restored: bool,
}

/// What is to outlive a restart of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered<'a> {
    /// The host name.
    pub name: &'a str,
    /// What it has.
    pub addresses: Vec<IpAddr>,
    /// What it had, and until when.
    pub former: Vec<(IpAddr, Timestamp)>,
    /// When it resolved last.
    pub at: Timestamp,
    /// When it is asked for again.
    pub next: Timestamp,
    /// Since when it fails, and why.
    pub failing: Option<(Timestamp, Failure)>,
}

/// What is known of a name, for whoever asks how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameState {
    /// The host name.
    pub name: String,
    /// Whose it is.
    pub peer: PeerName,
    /// Where the policy has it.
    pub location: Location,
    /// When it resolved last.
    pub resolved: Option<Timestamp>,
    /// When it is asked for again.
    pub next: Option<Timestamp>,
    /// Since when it fails, and why.
    pub failing: Option<(Timestamp, Failure)>,
}

/// An address of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    address: IpAddr,
    /// When an answer had it last.
    seen: Timestamp,
    /// Since when the answer has it no more.
    left: Option<Timestamp>,
}

impl Table {
    /// The names of `policies`, none of them resolved. Those of a policy that is known by its
    /// certificate alone are none, since its hosts have no say.
    pub fn new(policies: &[Policy], settings: Settings) -> Self {
        let mut names = Vec::new();
        for policy in policies {
            let require = policy.certificate.as_ref().map(|rule| rule.require);
            if require == Some(Require::Certificate) {
                continue;
            }
            for host in &policy.hosts {
                let Host::Name(name) = &host.value else { continue };
                names.push(Name {
                    name: name.clone(),
                    peer: policy.name.clone(),
                    location: host.location.clone(),
                    with_certificate: require == Some(Require::Both),
                    addresses: Vec::new(),
                    good: None,
                    failing: None,
                    failures: 0,
                    next: Timestamp::MIN,
                    next_shown: Timestamp::MIN,
                    asked: false,
                    reported: BTreeSet::new(),
                    dropped: false,
                    restored: false,
                });
            }
        }
        let written = Peers::new(policies.to_vec(), &[], |_| ());
        Self { settings, written, names, owners: HashMap::new() }
    }

    /// Takes the names of other policies over. What is known of those that stay is known on, whatever the new holds
    /// make of it.
    pub fn follow(&mut self, policies: &[Policy], settings: Settings) {
        let mut former = std::mem::replace(self, Self::new(policies, settings));
        // Whose name has an address is a number of a name; those are others now.
        let mut numbers = HashMap::new();
        for (number, known) in self.names.iter_mut().enumerate() {
            let same_peer = |it: &Name| it.name == known.name && it.peer == known.peer;
            let same_name = |it: &Name| it.name == known.name;
            let found = former.names.iter().position(same_peer);
            let found = found.or_else(|| former.names.iter().position(same_name));
            let Some(before) = found.and_then(|at| former.names.get_mut(at)) else { continue };
            if before.peer == known.peer
                && let Some(at) = found
            {
                numbers.insert(at, number);
            }
            known.addresses.clone_from(&before.addresses);
            known.failing.clone_from(&before.failing);
            known.reported.clone_from(&before.reported);
            (known.good, known.failures) = (before.good, before.failures);
            (known.next, known.next_shown) = (before.next, before.next_shown);
            (known.asked, known.dropped) = (before.asked, before.dropped);
            known.restored = before.restored;
        }
        let owner = |(address, owner)| Some((address, *numbers.get(&owner)?));
        self.owners = former.owners.into_iter().filter_map(owner).collect();
    }

    /// Whether no policy has a name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Takes over what was known when the gateway ran last. Later answers have newer times, so that
    /// holds count from when a name resolved and not from the start.
    pub fn restore(&mut self, remembered: &Remembered<'_>) {
        for known in self.names.iter_mut().filter(|known| known.name == remembered.name) {
            let held = |&address| Held { address, seen: remembered.at, left: None };
            known.addresses = remembered.addresses.iter().take(MOST_ADDRESSES).map(held).collect();
            let former = remembered.former.iter().take(MOST_REMEMBERED);
            let former = former.filter(|(address, _)| !remembered.addresses.contains(address));
            let left = |&(address, left)| Held { address, seen: left, left: Some(left) };
            known.addresses.extend(former.map(left));
            known.good = Some(remembered.at);
            known.next_shown = remembered.next;
            // What was said last counts until something else is: a restart makes no hold longer.
            known.failing.clone_from(&remembered.failing);
            known.restored = true;
        }
    }

    /// What is to be remembered of each name that has resolved: it, its addresses, and when.
    pub fn remembered(&self) -> impl Iterator<Item = Remembered<'_>> {
        self.names.iter().filter_map(|known| {
            // What is refused stays so: after a restart the first name would have it, whose it never was.
            let trusted =
                |held: &&Held| held.left.is_none() && !known.reported.contains(&held.address);
            let current = known.addresses.iter().filter(trusted);
            Some(Remembered {
                name: &known.name,
                addresses: current.map(|held| held.address).collect(),
                former: known
                    .addresses
                    .iter()
                    .filter_map(|held| Some((held.address, held.left?)))
                    .collect(),
                at: known.good?,
                next: known.shown_next(),
                failing: known.failing.clone(),
            })
        })
    }

    /// What is known of each name, in the order of the policies.
    pub fn states(&self) -> Vec<NameState> {
        let state = |known: &Name| NameState {
            name: known.name.clone(),
            peer: known.peer.clone(),
            location: known.location.clone(),
            resolved: known.good,
            // Before it was asked for there is no such time.
            next: Some(known.shown_next()).filter(|next| *next > Timestamp::MIN),
            failing: known.failing.clone(),
        };
        self.names.iter().map(state).collect()
    }

    /// Whether a name is to be asked for at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.names.iter().any(|known| known.is_due(&self.settings, now))
    }

    /// The next name that is due at `now` and is not being asked for; it is, from now on.
    pub fn take_due(&mut self, now: Timestamp) -> Option<String> {
        let due = |known: &&Name| known.is_due(&self.settings, now);
        let name = self.names.iter().filter(due).min_by_key(|known| known.next)?.name.clone();
        for known in self.names.iter_mut().filter(|known| known.name == name) {
            known.asked = true;
        }
        Some(name)
    }

    /// Takes an answer for `name` over; yields what it changed. `spread`, from 0 to 1, keeps names
    /// that were asked for at one time from being asked for together ever after.
    pub fn answer(
        &mut self,
        name: &str,
        outcome: &Outcome,
        now: Timestamp,
        spread: f64,
    ) -> Vec<Event> {
        let settings = &self.settings;
        let names = self.names.iter_mut().filter(|known| known.name == name);
        names.flat_map(|known| known.answer(outcome, settings, now, spread)).collect()
    }

    /// The addresses that names have at `now`, with what was lost, and what changed by time alone.
    pub fn resolved(&mut self, now: Timestamp) -> (Vec<Resolved>, Vec<Lost>, Vec<Event>) {
        let mut events = Vec::new();
        for known in &mut self.names {
            events.extend(known.age(&self.settings, now));
        }
        let has = |owner: usize, address| {
            let known: Option<&Name> = self.names.get(owner);
            known.is_some_and(|known| {
                let held = known.addresses.iter().find(|held| held.address == address);
                held.is_some_and(|held| !held.has_left(&self.settings, now))
                    && !known.is_over(&self.settings, now)
            })
        };
        let mut owners = std::mem::take(&mut self.owners);
        owners.retain(|address, owner| has(*owner, *address));
        let (mut resolved, mut lost) = (Vec::new(), Vec::new());
        for index in 0..self.names.len() {
            let Some(known) = self.names.get(index) else { continue };
            let mut refused = BTreeSet::new();
            for held in &known.addresses {
                let Some(good) = known.good else { continue };
                if let Some(left) = held.left.filter(|_| held.has_left(&self.settings, now)) {
                    lost.push(known.lost(held.address, left, LostBecause::Moved));
                    continue;
                }
                let why = if known.is_over(&self.settings, now) {
                    let failing = known.failing.clone().unwrap_or((good, Failure::Timeout));
                    Some(LostBecause::Failing(failing.0, failing.1))
                } else {
                    let unusable = self.unusable(index, held.address, &owners);
                    if let Some(why) = &unusable {
                        refused.insert(held.address);
                        if !known.reported.contains(&held.address) {
                            events.push(known.refused(held.address, why.clone()));
                        }
                    }
                    unusable.map(LostBecause::Unusable)
                };
                match why {
                    None => {
                        owners.entry(held.address).or_insert(index);
                        resolved.push(known.resolved(held.address, good));
                    }
                    Some(why) => lost.push(known.lost(held.address, good, why)),
                }
            }
            if let Some(known) = self.names.get_mut(index) {
                known.reported = refused;
            }
        }
        self.owners = owners;
        (resolved, lost, events)
    }

    /// Why the name at `index` may not have `address`.
    fn unusable(
        &self,
        index: usize,
        address: IpAddr,
        owners: &HashMap<IpAddr, usize>,
    ) -> Option<Unusable> {
        let known = self.names.get(index)?;
        if address.is_loopback() && !self.settings.danger_loopback_names {
            return Some(Unusable::Loopback);
        }
        if has_no_callers(address) {
            return Some(Unusable::NoCallers);
        }
        let mut written = None;
        for (policy, prefix, location) in self.written.written(ClientAddress::new(address)) {
            // A resolved /32 would outrank a shorter written prefix, and hide its peer at that address.
            let told_apart = known.with_certificate
                && policy.certificate.as_ref().is_some_and(|rule| rule.require == Require::Both)
                && prefix == IpNet::from(address);
            if policy.name == known.peer {
                written = None;
                break;
            }
            if !told_apart {
                written = Some(Unusable::Written(policy.name.clone(), location.clone()));
            }
        }
        if written.is_some() {
            return written;
        }
        let owner = self.names.get(*owners.get(&address)?)?;
        let told_apart = known.with_certificate && owner.with_certificate;
        (owner.peer != known.peer && !told_apart)
            .then(|| Unusable::Taken(owner.peer.clone(), owner.location.clone()))
    }
}

/// `addresses` without IPv4-mapped ones, in order, each once.
fn canonical(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut canonical: Vec<IpAddr> = addresses.iter().map(IpAddr::to_canonical).collect();
    canonical.sort_unstable();
    canonical.dedup();
    canonical
}

/// Addresses that no connection can come from but from this very link, or from nobody.
fn has_no_callers(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            // 0.0.0.0/8 is "this network" (RFC 6890).
            v4.octets()[0] == 0 || v4.is_multicast() || v4.is_broadcast() || v4.is_link_local()
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
    }
}

impl Held {
    /// Whether the name has it no more at `now`, and its hold is over.
    fn has_left(&self, settings: &Settings, now: Timestamp) -> bool {
        self.left.is_some_and(|left| now >= after(left, settings.hold_obsolete))
    }
}

impl Name {
    fn answer(
        &mut self,
        outcome: &Outcome,
        settings: &Settings,
        now: Timestamp,
        spread: f64,
    ) -> Vec<Event> {
        self.asked = false;
        let mut events = Vec::new();
        let answered = match outcome {
            Outcome::Addresses { addresses, .. } => canonical(addresses),
            Outcome::Failed(_) => Vec::new(),
        };
        match outcome {
            Outcome::Addresses { .. } if answered.len() > MOST_ADDRESSES => {
                let count = answered.len();
                let why =
                    format!("it has {count} addresses, and a host has at most {MOST_ADDRESSES}");
                events.extend(self.fail(Failure::Error(why), settings, now));
            }
            Outcome::Addresses { ttl, missing, .. } => {
                let before = self.current();
                // Nothing is known of the family that could not be asked for, but what was known.
                let kept = |held: &&Held| {
                    missing.is_some_and(|family| family.has(held.address))
                        && held.left.is_none()
                        && now < after(held.seen, settings.hold_error)
                };
                let kept = self.addresses.iter().filter(kept).map(|held| held.address);
                let to = canonical(&answered.iter().copied().chain(kept).collect::<Vec<_>>());
                self.take_over(&to, &answered, now);
                // One that was never found before is told of as found.
                if self.failing.take().is_some() && self.good.is_some() {
                    let (peer, name) = (self.peer.clone(), self.name.clone());
                    events.push(Event::Recovered { peer, name });
                }
                if before != to {
                    let (peer, name) = (self.peer.clone(), self.name.clone());
                    events.push(Event::Moved { peer, name, from: before, to });
                }
                self.good = Some(now);
                self.failures = 0;
                self.restored = false;
                self.dropped = false;
                self.next_shown = Timestamp::MIN;
                let mut good_for = ttl.map_or(settings.refresh, |ttl| ttl.clamp(SHORTEST, LONGEST));
                if missing.is_some() {
                    good_for = good_for.min(settings.refresh);
                }
                // A tenth earlier at most, and never later than the answer allows.
                self.next = after(now, good_for.mul_f64(1.0 - spread.clamp(0.0, 1.0) / 10.0));
            }
            Outcome::Failed(why) => events.extend(self.fail(why.clone(), settings, now)),
        }
        events
    }

    fn current(&self) -> Vec<IpAddr> {
        let current = self.addresses.iter().filter(|held| held.left.is_none());
        let mut current: Vec<IpAddr> = current.map(|held| held.address).collect();
        current.sort_unstable();
        current
    }

    /// Has the addresses `to` from now on, of which the answer had `answered`.
    fn take_over(&mut self, to: &[IpAddr], answered: &[IpAddr], now: Timestamp) {
        for held in &mut self.addresses {
            if answered.contains(&held.address) {
                held.seen = now;
            }
            held.left = if to.contains(&held.address) { None } else { held.left.or(Some(now)) };
        }
        for &address in to {
            if self.addresses.iter().all(|held| held.address != address) {
                self.addresses.push(Held { address, seen: now, left: None });
            }
        }
    }

    fn fail(&mut self, why: Failure, settings: &Settings, now: Timestamp) -> Option<Event> {
        let wait = RETRY.saturating_mul(1 << self.failures.min(10)).min(settings.refresh);
        self.next = after(now, wait);
        // After a restart it is reported again.
        let first = self.failures == 0;
        self.failures = self.failures.saturating_add(1);
        let since = self.failing.as_ref().map_or(now, |(since, _)| *since);
        // What ended a hold stays the reason, after a restart too: another failure may have a longer one.
        if !self.dropped || self.failing.is_none() {
            self.failing = Some((since, why.clone()));
        }
        first.then(|| {
            let kept = !self.dropped && !self.current().is_empty();
            let held = self.good.filter(|_| kept).and_then(|good| {
                let from = if self.restored { good } else { since };
                let over = after(from, hold(settings, &why));
                Duration::try_from(over.duration_since(now)).ok().filter(|left| !left.is_zero())
            });
            let (peer, name, location) =
                (self.peer.clone(), self.name.clone(), self.location.clone());
            Event::Failing { peer, name, location, why, held }
        })
    }

    fn is_due(&self, settings: &Settings, now: Timestamp) -> bool {
        // Later than any answer allows is a clock that was set back.
        let far = after(now, settings.refresh.max(LONGEST));
        !self.asked && (self.next <= now || self.next > far)
    }

    /// Whether the hold of a name that fails is over at `now`. Once it is, another failure with a
    /// longer hold brings nothing back: only an answer does.
    fn is_over(&self, settings: &Settings, now: Timestamp) -> bool {
        match (&self.failing, self.good) {
            _ if self.dropped => true,
            // Nobody knows what a name server would have said while the gateway did not run.
            (failing, Some(good)) if self.restored => {
                let hold =
                    failing.as_ref().map_or(settings.hold_timeout, |(_, why)| hold(settings, why));
                now >= after(good, hold)
            }
            (Some((since, why)), Some(_)) => now >= after(*since, hold(settings, why)),
            _ => false,
        }
    }

    /// Forgets what left long ago, and tells once of a hold that is over.
    fn age(&mut self, settings: &Settings, now: Timestamp) -> Option<Event> {
        // What was in the future of a clock that was set back would be held until then.
        self.good = self.good.map(|good| good.min(now));
        if let Some((since, _)) = &mut self.failing {
            *since = now.min(*since);
        }
        for held in &mut self.addresses {
            held.seen = held.seen.min(now);
            held.left = held.left.map(|left| left.min(now));
        }
        let told_of = settings.hold_obsolete.max(REMEMBERED);
        self.addresses.retain(|held| held.left.is_none_or(|left| now < after(left, told_of)));
        let excess = self.addresses.len().saturating_sub(MOST_REMEMBERED);
        let mut left: Vec<_> = self.addresses.iter().filter_map(|held| held.left).collect();
        left.sort_unstable();
        if let Some(&bound) = excess.checked_sub(1).and_then(|last| left.get(last)) {
            self.addresses.retain(|held| held.left.is_none_or(|left| left > bound));
        }
        let over = self.is_over(settings, now) && !self.current().is_empty();
        let told = std::mem::replace(&mut self.dropped, over);
        if let Some(good) = self.good.filter(|_| over && self.failing.is_none()) {
            self.failing = Some((good, Failure::Timeout));
        }
        let first = over && !told;
        let (since, _) = self.failing.as_ref().filter(|_| first)?;
        Some(Event::Dropped { peer: self.peer.clone(), name: self.name.clone(), since: *since })
    }

    fn resolved(&self, address: IpAddr, at: Timestamp) -> Resolved {
        Resolved {
            peer: self.peer.clone(),
            name: self.name.clone(),
            location: self.location.clone(),
            address,
            at,
            next: self.shown_next(),
        }
    }

    fn shown_next(&self) -> Timestamp {
        self.next.max(self.next_shown)
    }

    fn lost(&self, address: IpAddr, at: Timestamp, why: LostBecause) -> Lost {
        Lost {
            peer: self.peer.clone(),
            name: self.name.clone(),
            location: self.location.clone(),
            address,
            at,
            why,
        }
    }

    fn refused(&self, address: IpAddr, why: Unusable) -> Event {
        Event::Refused {
            peer: self.peer.clone(),
            name: self.name.clone(),
            location: self.location.clone(),
            address,
            why,
        }
    }
}

fn hold(settings: &Settings, why: &Failure) -> Duration {
    match why {
        Failure::NoSuchName => settings.hold_nx,
        Failure::Timeout => settings.hold_timeout,
        Failure::Error(_) => settings.hold_error,
    }
}

fn after(moment: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    moment.checked_add(time).unwrap_or(Timestamp::MAX)
}

/// A name with more addresses than this is refused.
const MOST_ADDRESSES: usize = 16;

/// What an answer's time to live is raised to, and cut to.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(3600);

/// How long it is known whose an address was, for whoever still calls from there, and of how many.
const REMEMBERED: Duration = Duration::from_secs(86_400);
const MOST_REMEMBERED: usize = 64;

/// When a name that failed is asked for again; each time twice as late, up to `refresh`.
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
