//! What a server does beside answering: names, XiVO's addresses and certificates, and whether XiVO answers, each in
//! a thread of its own that is supervised. Each follows the configuration that runs, whichever that is.

pub(super) mod certificates;
pub(super) mod configuration;
pub(super) mod peer_names;
pub(super) mod upstream_addresses;
pub(super) mod upstream_check;

use std::sync::Arc;
use std::sync::mpsc;

use crate::config::{Config, UpstreamHost};
use crate::policy::Host;
use crate::server::StartError;
use crate::supervision::Supervisor;
use crate::tls::Sessions;
use crate::worker::Shared;

/// The threads that keep names, addresses and certificates current, those of them that the configuration needs.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    sessions: Sessions,
    supervisor: Supervisor,
    names: Option<Nudge>,
    resolver: Option<Nudge>,
    certificates: Option<Nudge>,
    check: Option<Nudge>,
}

/// Makes a thread look at once; dropped to end it.
pub(super) type Nudge = mpsc::Sender<()>;

impl Threads {
    /// None of them runs yet.
    pub(super) fn new(shared: &Arc<Shared>, sessions: &Sessions, supervisor: &Supervisor) -> Self {
        Self {
            shared: Arc::clone(shared),
            sessions: sessions.clone(),
            supervisor: supervisor.clone(),
            names: None,
            resolver: None,
            certificates: None,
            check: None,
        }
    }

    /// Starts those that `config` needs and that do not run.
    ///
    /// # Errors
    /// The system has no thread; whoever wanted them is to call [`Self::settle`] with what runs.
    pub(super) fn start_missing(&mut self, config: &Config) -> Result<(), StartError> {
        let (shared, supervisor) = (&self.shared, &self.supervisor);
        if needs_resolver(config) && self.resolver.is_none() {
            self.resolver = Some(upstream_addresses::start_resolver(shared, supervisor)?);
        }
        if needs_names(config) && self.names.is_none() {
            self.names = Some(peer_names::start_name_refresher(shared, supervisor)?);
        }
        if needs_certificates(config) && self.certificates.is_none() {
            let sessions = self.sessions.clone();
            let started = certificates::watch_certificates(shared, sessions, supervisor)?;
            self.certificates = Some(started);
        }
        if needs_check(config) && self.check.is_none() {
            self.check = Some(upstream_check::start_check(shared, supervisor)?);
        }
        Ok(())
    }

    /// Ends those that `config` does not need, and lets the others see it.
    pub(super) fn settle(&mut self, config: &Config) {
        if !needs_resolver(config) {
            self.resolver = None;
        }
        if !needs_names(config) {
            self.names = None;
        }
        if !needs_certificates(config) {
            self.certificates = None;
        }
        if !needs_check(config) {
            self.check = None;
        }
        self.nudge();
    }

    /// Lets each look at what it keeps current.
    pub(super) fn nudge(&self) {
        let threads = [&self.names, &self.resolver, &self.certificates, &self.check];
        for thread in threads.into_iter().flatten() {
            // That it has ended is its supervisor's business.
            let _ = thread.send(());
        }
    }

    /// Ends all of them.
    pub(super) fn end(&mut self) {
        self.names = None;
        self.resolver = None;
        self.certificates = None;
        self.check = None;
    }
}

fn needs_check(config: &Config) -> bool {
    !config.upstream.check.interval.is_zero()
}

fn needs_resolver(config: &Config) -> bool {
    matches!(config.upstream.host, UpstreamHost::Name(_))
}

fn needs_names(config: &Config) -> bool {
    let mut hosts = config.policies.iter().flat_map(|policy| &policy.hosts);
    hosts.any(|host| matches!(host.value, Host::Name(_)))
}

fn needs_certificates(config: &Config) -> bool {
    config.upstream.ca.is_some() || config.listeners.iter().any(|listener| listener.tls.is_some())
}
