//! Another configuration in the place of the one that runs, without losing a request.
//!
//! # Guarantees
//! * Everything is prepared first, and what cannot be prepared leaves all as it was: files are read and checked,
//!   XiVO's name is resolved, certificates are loaded, logs are opened, sockets are bound and handed to the
//!   workers. What was prepared for nothing is given back.
//! * What requests are judged by is swapped in one step ([`crate::worker::Shared::reload`]); a request that has
//!   begun ends as it began.
//! * One reload at a time; whoever comes second waits.

mod prepare;
mod told;

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::history::{History, KeptConfigurations};
use super::{Inner, Listening, Phase};
use crate::config::{Change, Config, DiskStamps, Problem, changes};
use crate::worker::snapshot::Snapshot;

pub use told::{Difference, DiffersBecause, Finding, ReloadFault, ReloadReport, Reloads};

use prepare::Prepared;

impl Inner {
    /// Reads the files again and runs what they say, or leaves everything as it is. `by` says who wants it.
    pub(super) fn reload(&self, by: &str) -> Result<ReloadReport, ReloadFault> {
        let _one_at_a_time = self.one_at_a_time();
        if let Err(why) = self.takes_changes() {
            tracing::warn!("{by}: nothing was taken over; {why}");
            return Err(ReloadFault::of(Finding::error(None, why.to_owned())));
        }
        let _told = Told::reloading(self);
        let running = self.shared.snapshot();
        if running.config.stamps.is_none() {
            let message = "this configuration is in no file that could be read again".to_owned();
            let fault = ReloadFault::of(Finding::error(None, message));
            tracing::warn!("{by}: nothing was taken over; {fault}");
            return Err(fault);
        }
        let stamps = Some(DiskStamps::of(&running.config));
        let loaded = Config::load(&running.config.file);
        let outcome = loaded
            .map_err(|problems| ReloadFault::of_problems(&problems))
            .and_then(|(config, warnings)| self.take_over(&running, config, &warnings));
        lock(&self.reloads).note(outcome.is_ok());
        match &outcome {
            Ok(report) => {
                *lock(&self.refused) = None;
                self.set_difference(None);
                say_done(by, report);
                self.remember(by);
            }
            Err(fault) => {
                *lock(&self.refused) = stamps;
                self.say_refused(by, fault);
            }
        }
        outcome
    }

    /// Runs what is kept under `number` again, until the next reload or restart.
    pub(super) fn rollback(
        &self,
        number: Option<usize>,
        by: &str,
    ) -> Result<ReloadReport, ReloadFault> {
        let _one_at_a_time = self.one_at_a_time();
        self.takes_changes()
            .map_err(|why| ReloadFault::of(Finding::error(None, why.to_owned())))?;
        let _told = Told::reloading(self);
        let running = self.shared.snapshot();
        let disk = Config::load(&running.config.file).ok().map(|(disk, _)| disk);
        let (config, warnings, from) = kept(&running, disk.as_ref(), number)?;
        let revision = config.revision.clone();
        let kept_off = config.kept_off().iter().map(ToString::to_string).collect();
        let report = self.take_over(&running, config, &warnings)?;
        say_done(by, &report);
        self.remember(by);
        if report.is_unchanged() {
            return Ok(report);
        }
        let is_on_disk = disk.is_some_and(|disk| disk.revision == revision)
            && self.shared.snapshot().config.is_as_written();
        let why = DiffersBecause::RolledBack { revision, from, kept_off };
        self.set_difference((!is_on_disk).then_some(why));
        if let Some(difference) = self.difference() {
            tracing::warn!("{difference}");
        }
        Ok(report)
    }

    /// What [`Self::rollback`] would change.
    pub(super) fn rollback_changes(
        &self,
        number: Option<usize>,
    ) -> Result<Vec<Change>, ReloadFault> {
        let running = self.shared.snapshot();
        let disk = Config::load(&running.config.file).ok().map(|(disk, _)| disk);
        let (config, _, _) = kept(&running, disk.as_ref(), number)?;
        Ok(changes(&running.config, &config))
    }

    /// The configurations that are kept, the last first.
    pub(super) fn history(&self) -> KeptConfigurations {
        let running = self.shared.snapshot();
        History::of(&running.config).all(&running.config.revision)
    }

    /// Whether another configuration may be taken over now, or why not.
    fn takes_changes(&self) -> Result<(), &'static str> {
        if *self.phase.borrow() != Phase::Serving {
            return Err(ENDING);
        }
        if self.handing_over.load(Ordering::SeqCst) {
            return Err(HANDING_OVER);
        }
        Ok(())
    }

    /// Prepares everything for `config`, and then runs it in the place of `running`.
    fn take_over(
        &self,
        running: &Snapshot,
        config: Config,
        warnings: &[Problem],
    ) -> Result<ReloadReport, ReloadFault> {
        let report = ReloadReport {
            revision: config.revision.clone(),
            former_revision: running.config.revision.clone(),
            changes: changes(&running.config, &config),
            warnings: warnings.iter().map(Finding::from).collect(),
        };
        if report.is_unchanged() && running.config.is_as_written() {
            // Files that the configuration names may have been corrected.
            self.threads().nudge();
            return Ok(report);
        }
        let prepared = self.prepare(running, config)?;
        self.commit(running, prepared)?;
        Ok(report)
    }

    /// Runs what was prepared. Nothing of this can fail; but meanwhile the gateway may have been told to end.
    fn commit(&self, running: &Snapshot, prepared: Prepared) -> Result<(), ReloadFault> {
        let Prepared { mut next, listeners, logs } = prepared;
        let config = Arc::clone(&next.config);
        let mut current = lock(&self.listeners);
        if *self.phase.borrow() != Phase::Serving {
            self.crew.forget();
            return Err(ReloadFault::of(Finding::error(None, ENDING.to_owned())));
        }
        let former = std::mem::take(&mut *current);
        let stays = |former: &Listening| listeners.iter().any(|kept| kept.id == former.id);
        let (kept, mut removed): (Vec<_>, Vec<_>) = former.into_iter().partition(stays);
        let is_new = |now: &&Listening| kept.iter().all(|kept| kept.id != now.id);
        listeners.iter().filter(is_new).for_each(|added| self.manager.keep(added));
        for listening in &mut removed {
            self.manager.forget(listening.wanted);
            // Workers close theirs: nothing is to come into these later.
            listening.sockets = Arc::from([]);
        }
        // Connections of a listener that is gone go by what it was, until they are gone too.
        let mut leaving = lock(&self.leaving);
        leaving.retain(|(_, watch)| !watch.is_gone());
        leaving.extend(removed.iter().map(|listener| (listener.id, listener.watch.clone())));
        let leaves = |id| leaving.iter().any(|(leaving, _)| *leaving == id);
        next.listeners.extend(running.listeners.iter().filter(|it| leaves(it.id)).cloned());
        drop(leaving);
        self.shared.reload(&next);
        *lock(&self.addresses) = listeners.iter().map(|listener| listener.bound).collect();
        *current = listeners;
        drop(current);
        let host = logs.as_ref().map(|(_, host)| Arc::clone(host));
        let ids: Vec<_> = removed.iter().map(|listener| listener.id).collect();
        self.crew.begin(&ids, || {
            let (logs, _) = logs.as_ref()?;
            Some((lock(&self.logs).plan(logs), Arc::clone(host.as_ref()?)))
        });
        if let Some((logs, host)) = logs {
            let mut running = lock(&self.logs);
            running.replace(logs);
            *lock(&self.log_host) = host;
        }
        // Their addresses are free now, and the locks on them.
        drop(removed);
        self.threads().settle(&config);
        self.shared.set_newer(None);
        Ok(())
    }

    /// Keeps what runs, to go back to.
    pub(super) fn remember(&self, by: &str) {
        let config = Arc::clone(&self.shared.snapshot().config);
        // One that is in no file is nobody's to go back to.
        if !config.is_as_written() || config.stamps.is_none() {
            return;
        }
        let mut unwritable = lock(&self.history_unwritable);
        match History::of(&config).keep(&config, by) {
            Ok(()) => *unwritable = false,
            Err(error) if !*unwritable => {
                *unwritable = true;
                tracing::warn!(
                    "the configuration is not kept in {}: {error}; there will be nothing to go back to",
                    config.state_directory.display()
                );
            }
            Err(_) => {}
        }
    }

    /// How what runs differs from what is on disk, as far as is known.
    pub(super) fn difference(&self) -> Option<Difference> {
        lock(&self.difference).clone()
    }

    /// Sets it; since when stays, where it is the same.
    pub(super) fn set_difference(&self, why: Option<DiffersBecause>) {
        let mut difference = lock(&self.difference);
        *difference = why.map(|why| match difference.take() {
            Some(before) if before.why == why => before,
            _ => Difference { since: Timestamp::now(), why },
        });
    }

    /// Tells why a reload was refused. What was told last is not told again to nobody who asked.
    fn say_refused(&self, by: &str, fault: &ReloadFault) {
        let why = DiffersBecause::Broken { findings: fault.findings.clone() };
        let known = self.difference().is_some_and(|before| before.why == why);
        self.set_difference(Some(why));
        if known && by == BY_WATCH {
            return;
        }
        for finding in fault.findings.iter().skip(1).take(MOST_TOLD) {
            tracing::error!("{finding}");
        }
        if let Some(difference) = self.difference() {
            tracing::error!("{by}: nothing was taken over; {difference}");
        }
    }

    /// Held while a reload is carried out, or what runs is compared with what is on disk.
    pub(super) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        lock(&self.reloading)
    }
}

/// The configuration that is kept under `number`, and since when it ran. Whoever is disabled now stays so.
fn kept(
    running: &Snapshot,
    disk: Option<&Config>,
    number: Option<usize>,
) -> Result<(Config, Vec<Problem>, Timestamp), ReloadFault> {
    let kept = History::of(&running.config)
        .get(number, &running.config.revision)
        .map_err(|error| ReloadFault::of(Finding::error(None, error.to_string())))?;
    let (config, warnings) = Config::from_sources(&kept.sources)
        .map_err(|problems| ReloadFault::of_problems(&problems))?;
    Ok((config.in_the_place_of(&running.config, disk), warnings, kept.time))
}

/// The service manager knows that a reload is under way, until this is dropped.
struct Told<'i>(&'i Inner);

impl<'i> Told<'i> {
    fn reloading(inner: &'i Inner) -> Self {
        inner.manager.reloading();
        Self(inner)
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.manager.reloaded(&self.0.status_line());
    }
}

/// What is doubtful in files that run already was told when they were taken over.
fn say_done(by: &str, report: &ReloadReport) {
    if report.is_unchanged() {
        if by != BY_WATCH {
            tracing::info!("{by}: {report}");
        }
        return;
    }
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("{by}: {report}");
}

/// A panic elsewhere ends the process; until then what is behind the lock is as good as it was.
pub(super) fn lock<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why nothing is changed at the moment.
pub(crate) const HANDING_OVER: &str = "another process is about to take the place of this one (USR2), and would not \
                                       know of it; ask again in a moment";

/// Why nothing is changed any more.
const ENDING: &str = "the gateway is ending and takes nothing over any more";

/// Who reloads where nobody asked for it.
pub(super) const BY_WATCH: &str = "watch";

/// Faults of one reload that have a line each.
const MOST_TOLD: usize = 20;
