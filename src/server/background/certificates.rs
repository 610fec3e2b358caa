//! TLS listeners' certificates: loaded at the start, and again whenever their files change.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::{Config, Listener};
use crate::files::Stamp;
use crate::policy::Policy;
use crate::server::StartError;
use crate::server::background::Nudge;
use crate::supervision::{Ending, Supervisor, waits, works};
use crate::tls::{
    HandshakeOptions, ListenerTls, Loaded, Material, Sessions, TlsSettings, read_certificates,
};
use crate::upstream::Tls;
use crate::worker::Shared;
use crate::worker::listeners::ListenerId;
use crate::x509::Hex;

/// Loads what all TLS listeners of `config` need into `shared`.
///
/// # Errors
/// [`StartError`], with the listener that it is about.
pub fn load_certificates(config: &Arc<Config>, shared: &Shared) -> Result<Sessions, StartError> {
    let sessions = Sessions::new().map_err(StartError::Tls)?;
    for served in shared.snapshot().listeners.iter() {
        if let Some(tls) = load_tls(&served.section, &config.policies, &sessions)? {
            shared.set_tls(config, served.id, &tls);
        }
    }
    Ok(sessions)
}

/// Loads what a listener needs; `None` where it speaks no TLS.
pub(crate) fn load_tls(
    listener: &Listener,
    policies: &[Policy],
    sessions: &Sessions,
) -> Result<Option<Arc<ListenerTls>>, StartError> {
    let Some(settings) = &listener.tls else { return Ok(None) };
    let material = Material::load(settings).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        StartError::Certificates(errors.join("; "))
    })?;
    let tls = ListenerTls::new(material, handshake_options(listener, policies), sessions);
    Ok(Some(Arc::new(tls.map_err(StartError::Tls)?)))
}

/// Clients are asked for certificates only where somebody wants to know: browsers ask their users.
fn handshake_options(listener: &Listener, policies: &[Policy]) -> HandshakeOptions {
    let authority = listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let wanted = policies.iter().any(|policy| policy.certificate.is_some());
    HandshakeOptions { ask_certificate: authority || wanted, http2: listener.http2 }
}

/// Keeps the certificates of `shared` as their files are, and what is trusted of XiVO's, until the sender that it
/// returns is dropped.
pub(crate) fn watch_certificates(
    shared: &Arc<Shared>,
    sessions: Sessions,
    supervisor: &Supervisor,
) -> Result<Nudge, StartError> {
    let (nudge, nudged) = mpsc::channel();
    let shared = Arc::clone(shared);
    let watch = move || {
        // The configuration's reader has said at the start what expires.
        let mut told = Instant::now();
        let mut watched = Watched::of(&shared);
        loop {
            if told.elapsed() >= DAY {
                told = Instant::now();
                warn_of_expiry(&shared);
            }
            waits();
            let nudge = nudged.recv_timeout(LOOK);
            works();
            if nudge == Err(mpsc::RecvTimeoutError::Disconnected) {
                return Ending::Expected;
            }
            if !Arc::ptr_eq(&watched.config, &shared.snapshot().config) {
                watched = Watched::of(&shared);
            }
            for listener in &mut watched.listeners {
                listener.look(&watched.config, &shared, &sessions);
            }
            if let Some(ca) = &mut watched.upstream {
                ca.look(&watched.config, &shared);
            }
        }
    };
    supervisor.spawn(THREAD, watch).map_err(StartError::thread(THREAD))?;
    Ok(nudge)
}

/// The files that one configuration names.
struct Watched {
    config: Arc<Config>,
    listeners: Vec<WatchedListener>,
    upstream: Option<WatchedAuthorities>,
}

impl Watched {
    fn of(shared: &Shared) -> Self {
        let snapshot = shared.snapshot();
        let config = Arc::clone(&snapshot.config);
        // Those behind them were removed.
        let listeners = snapshot.listeners.iter().take(config.listeners.len());
        let listeners = listeners.filter_map(|served| {
            Some(WatchedListener {
                id: served.id,
                name: served.section.address.to_string(),
                options: handshake_options(&served.section, &config.policies),
                settings: served.section.tls.clone()?,
                loaded: served.tls.as_ref()?.stamps.clone(),
                failures: 0,
            })
        });
        let upstream = config.upstream.ca.as_ref().map(|file| WatchedAuthorities {
            file: file.clone(),
            loaded: config.upstream.ca_stamp,
            failures: 0,
        });
        Self { listeners: listeners.collect(), upstream, config }
    }
}

/// A TLS listener and its files.
#[derive(Debug)]
struct WatchedListener {
    id: ListenerId,
    name: String,
    settings: TlsSettings,
    options: HandshakeOptions,
    /// The files as they were loaded.
    loaded: Vec<Option<Stamp>>,
    /// How many times in a row they could not be loaded.
    failures: u32,
}

impl WatchedListener {
    /// Takes the files over if they have changed and fit together.
    fn look(&mut self, config: &Arc<Config>, shared: &Shared, sessions: &Sessions) {
        let before = stamps(&self.settings);
        if before == self.loaded && self.failures == 0 {
            return;
        }
        let loaded = Material::load(&self.settings)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>());
        let loaded = loaded.and_then(|material| {
            let tls = ListenerTls::new(material, self.options, sessions);
            tls.map_err(|error| vec![error.to_string()])
        });
        if stamps(&self.settings) != before {
            // They are being replaced at this moment; the next look sees the whole.
            return;
        }
        match loaded {
            Ok(tls) => {
                let tls = Arc::new(tls);
                shared.set_tls(config, self.id, &tls);
                self.loaded = before;
                self.failures = 0;
                for Loaded { certificate, .. } in &tls.certificates {
                    tracing::info!(
                        "TLS on {} was reloaded: {}, SHA-256 {}, valid until {}",
                        self.name,
                        certificate.subject,
                        Hex(&certificate.sha256),
                        certificate.not_after
                    );
                }
                warn_of_expiry_of(&tls);
            }
            Err(errors) => {
                self.failures = self.failures.saturating_add(1);
                // Certificate and key are replaced one after the other; that is no fault yet.
                if self.failures == FAILURES_BEFORE_REPORT {
                    for error in errors {
                        tracing::error!(
                            "TLS on {}: {error}; what was loaded last stays in use",
                            self.name
                        );
                    }
                }
            }
        }
    }
}

/// The authorities that XiVO's certificate is trusted for, and their file.
#[derive(Debug)]
struct WatchedAuthorities {
    file: PathBuf,
    /// The file as it was read.
    loaded: Option<Stamp>,
    /// How many times in a row it could not be used.
    failures: u32,
}

impl WatchedAuthorities {
    /// Takes the file over if it has changed and can be used. Connections to XiVO are opened again by it.
    fn look(&mut self, config: &Arc<Config>, shared: &Shared) {
        let before = Stamp::of(&self.file);
        if before == self.loaded && self.failures == 0 {
            return;
        }
        let loaded = self.load(shared);
        if Stamp::of(&self.file) != before {
            return;
        }
        match loaded {
            Ok(None) => {}
            Ok(Some(tls)) => {
                shared.set_upstream_tls(config, &Arc::new(tls));
                self.loaded = before;
                self.failures = 0;
                tracing::info!("upstream.ca was reloaded from {}", self.file.display());
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == FAILURES_BEFORE_REPORT {
                    tracing::error!("upstream.ca: {error}; what was loaded last stays in use");
                }
            }
        }
    }

    fn load(&self, shared: &Shared) -> Result<Option<Tls>, String> {
        let snapshot = shared.snapshot();
        let Some(tls) = &snapshot.upstream_tls else { return Ok(None) };
        let authorities = read_certificates(&self.file).map_err(|error| error.to_string())?;
        let loaded = tls.with_authorities(authorities);
        loaded.map(Some).map_err(|error| format!("{}: {error}", self.file.display()))
    }
}

fn stamps(settings: &TlsSettings) -> Vec<Option<Stamp>> {
    settings.files().map(Stamp::of).collect()
}

fn warn_of_expiry(shared: &Shared) {
    for tls in shared.snapshot().listeners.iter().filter_map(|served| served.tls.as_ref()) {
        warn_of_expiry_of(tls);
    }
}

fn warn_of_expiry_of(tls: &ListenerTls) {
    let now = Timestamp::now();
    for loaded in tls.certificates.iter().chain(&tls.client_ca) {
        if let Some(warning) = loaded.expiry_warning(now) {
            tracing::warn!("{warning}");
        }
    }
}

/// The thread's name.
const THREAD: &str = "certificates";

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How many looks in a row have to fail before it is told.
const FAILURES_BEFORE_REPORT: u32 = 3;

/// How often certificates that expire soon are spoken of.
const DAY: Duration = Duration::from_secs(86_400);
