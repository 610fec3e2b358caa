//! `disable`, `enable`, `reset` and `log-level`: what is changed without the configuration.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{Commands, no_such_peer};
use crate::control::documents::Done;
use crate::control::protocol::Refused;
use crate::diagnostics::ALWAYS;
use crate::identity::disabled::{Administrator, DisabledPeer};
use crate::policy::PeerName;

impl Commands {
    /// Switches a peer off.
    pub(super) fn disable(
        &self,
        name: &str,
        seconds: Option<u64>,
        why: String,
        by: Administrator,
    ) -> Result<Done, Refused> {
        let snapshot = self.server.shared().snapshot();
        let name = self.peer(&snapshot, name)?.policy.name.clone();
        if seconds.is_some_and(|seconds| !(1..=MOST_SECONDS).contains(&seconds)) {
            return Err(Refused::usage("a peer is switched off for 1 second to 10 years"));
        }
        if why.chars().count() > MOST_WHY {
            return Err(Refused::usage(format!("the reason has up to {MOST_WHY} characters")));
        }
        let since = Timestamp::now();
        let until = seconds.map(|seconds| later(since, seconds));
        let peer = DisabledPeer { name, since, until, why, by };
        let mut all = (*snapshot.disabled).clone();
        if all.in_force(since).len() >= MOST_DISABLED && all.find(&peer.name, since).is_none() {
            return Err(Refused::no(format!(
                "{MOST_DISABLED} peers are switched off already; set enabled = false in the policy instead"
            )));
        }
        all.insert(peer.clone());
        self.server.shared().set_disabled(all);
        self.changed.notify_one();
        tracing::warn!(
            peer = peer.name.as_str(),
            uid = peer.by.uid,
            claimed = peer.by.claimed.as_str(),
            "{peer}"
        );
        let end = match until {
            Some(until) => format!("until {until:.0}"),
            None => "until `ctl enable`".to_owned(),
        };
        let done =
            format!("`{}` is refused (peer-disabled) from its next request on, {end}", peer.name);
        Ok(Done { done, warning: self.keep("is let in again") })
    }

    /// Switches a peer on.
    pub(super) fn enable(&self, name: &str, by: &Administrator) -> Result<Done, Refused> {
        let snapshot = self.server.shared().snapshot();
        let now = Timestamp::now();
        let mut all = (*snapshot.disabled).clone();
        let known = PeerName::new(name);
        let found = known.as_ref().filter(|name| all.find(name, now).is_some());
        let Some(found) = found.and_then(|name| all.remove(name)) else {
            let peers = snapshot.peers.iter().map(|peer| peer.policy.name.as_str());
            if let Some(peer) = snapshot.peers.iter().find(|peer| peer.policy.name.as_str() == name)
            {
                let enabled = &peer.policy.enabled;
                return Err(Refused::no(if enabled.value {
                    format!("`{name}` was not switched off by `ctl disable`")
                } else {
                    format!(
                        "`{name}` is switched off by its policy, and not by `ctl disable`: change {}",
                        enabled.location
                    )
                }));
            }
            return Err(Refused::no(no_such_peer(name, peers, &snapshot.config.revision)));
        };
        self.server.shared().set_disabled(all);
        self.changed.notify_one();
        tracing::warn!(
            peer = found.name.as_str(),
            uid = by.uid,
            claimed = by.claimed.as_str(),
            "`{}` was switched on by {by}; {found}",
            found.name
        );
        let peer = snapshot.peers.iter().find(|peer| peer.policy.name == found.name);
        let done = match peer {
            Some(peer) if peer.policy.enabled.value => {
                format!("`{name}` may come in again, as its policy says")
            }
            Some(peer) => format!(
                "`{name}` is no longer switched off here, and stays refused by its policy: {}",
                peer.policy.enabled.location
            ),
            None => format!("`{name}` is no longer switched off; it has no policy now"),
        };
        Ok(Done { done, warning: self.keep("is switched off again") })
    }

    /// Writes down who is switched off; yields what is to be said where that fails.
    fn keep(&self, after_restart: &str) -> Option<String> {
        let disabled = Arc::clone(&self.server.shared().snapshot().disabled);
        let error = self.file.save(&disabled, Timestamp::now()).err()?;
        let warning = format!(
            "this could not be kept in {}: {error}; after a restart the peer {after_restart}. Let the \
             gateway's user write there",
            self.file.file().display()
        );
        tracing::error!("{warning}");
        Some(warning)
    }

    /// Fills a peer's rate.
    pub(super) fn reset(&self, name: &str, by: &Administrator) -> Result<Done, Refused> {
        let snapshot = self.server.shared().snapshot();
        let peer = self.peer(&snapshot, name)?;
        peer.state.limits.reset();
        let burst = peer.policy.rate.value.burst;
        tracing::info!(
            peer = name,
            uid = by.uid,
            claimed = by.claimed.as_str(),
            "the rate of `{name}` was reset by {by}"
        );
        let done = format!(
            "`{name}` may ask {burst} times at once again, by its own rate; the gateway's stays as it is"
        );
        Ok(Done { done, warning: None })
    }

    /// Tells more or fewer diagnostics.
    pub(super) fn set_log_level(
        &self,
        level: &str,
        seconds: Option<u64>,
        by: &Administrator,
    ) -> Result<Done, Refused> {
        if seconds.is_some_and(|seconds| !(1..=MOST_SECONDS).contains(&seconds)) {
            return Err(Refused::usage("a level holds for 1 second to 10 years"));
        }
        let before = self.level.current();
        self.level.set(Some(level)).map_err(Refused::usage)?;
        let until = seconds.map(|seconds| {
            (Instant::now() + Duration::from_secs(seconds), later(Timestamp::now(), seconds))
        });
        self.level_until.set(until);
        self.changed.notify_one();
        let end = match until {
            Some((_, until)) => format!("until {until:.0}, then `{}`", self.level.configured()),
            None => "until it is changed again or the gateway ends".to_owned(),
        };
        tracing::info!(target: ALWAYS, "diagnostics of `{level}` are told (before: `{before}`) {end}: {by}");
        Ok(Done { done: format!("diagnostics of `{level}` are told {end}"), warning: None })
    }

    /// Ends what has come to its time; yields how long until there may be more.
    pub(in crate::control) fn expire(&self) -> Duration {
        let now = Timestamp::now();
        let shared = self.server.shared();
        let mut all = (*shared.snapshot().disabled).clone();
        let expired = all.take_expired(now);
        let next = all.next_end();
        if !expired.is_empty() {
            shared.set_disabled(all);
            for peer in &expired {
                tracing::warn!(peer = peer.name.as_str(), "the time is over: {peer}");
            }
            self.keep("is as it is now");
        }
        let mut wait = LOOK;
        if let Some(next) = next {
            let left = Duration::try_from(next.duration_since(now)).unwrap_or_default();
            wait = wait.min(left.max(LEAST));
        }
        if let Some((end, _)) = self.level_until.get() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.level_until.set(None);
                let configured = self.level.configured();
                match self.level.set(None) {
                    Ok(()) => {
                        tracing::info!(target: ALWAYS, "the time is over: diagnostics of `{configured}` are told again");
                    }
                    Err(error) => tracing::error!("the level of diagnostics stays: {error}"),
                }
            } else {
                wait = wait.min(left.max(LEAST));
            }
        }
        wait
    }
}

fn later(now: Timestamp, seconds: u64) -> Timestamp {
    let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.checked_add(seconds).unwrap_or(Timestamp::MAX)
}

/// Ten years.
const MOST_SECONDS: u64 = 10 * 366 * 86_400;

/// The longest reason, in characters.
const MOST_WHY: usize = 500;

/// Peers that are switched off at once: what a request and the state file have to look through is bounded.
const MOST_DISABLED: usize = 10_000;

/// A clock that is set is noticed so soon.
const LOOK: Duration = Duration::from_secs(60);

/// Between two looks.
const LEAST: Duration = Duration::from_millis(10);
