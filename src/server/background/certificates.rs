//! TLS listeners' certificates: loaded at the start, and again whenever their files change.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::{Config, Listener};
use crate::policy::Policy;
use crate::server::StartError;
use crate::supervision::{Ending, Supervisor};
use crate::tls::{HandshakeOptions, ListenerTls, Loaded, Material, Sessions, Stamp, TlsSettings};
use crate::worker::Shared;
use crate::x509::Hex;

/// Loads what all TLS listeners of `config` need into `shared`.
///
/// # Errors
/// [`StartError`], with the listener that it is about.
pub fn load_certificates(config: &Config, shared: &Shared) -> Result<Sessions, StartError> {
    let sessions = Sessions::new().map_err(StartError::Tls)?;
    for (index, listener) in config.listeners.iter().enumerate() {
        let Some(settings) = &listener.tls else { continue };
        let material = Material::load(settings).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            StartError::Certificates(errors.join("; "))
        })?;
        let tls =
            ListenerTls::new(material, handshake_options(listener, &config.policies), &sessions);
        shared.set_tls(index, &Arc::new(tls.map_err(StartError::Tls)?));
    }
    Ok(sessions)
}

/// Clients are asked for certificates only where somebody wants to know: browsers ask their users.
fn handshake_options(listener: &Listener, policies: &[Policy]) -> HandshakeOptions {
    let authority = listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let wanted = policies.iter().any(|policy| policy.certificate.is_some());
    HandshakeOptions { ask_certificate: authority || wanted, http2: listener.http2 }
}

/// Keeps the certificates of `shared` as their files are, until the sender that it returns is
/// dropped. `None` where no listener has TLS.
pub(crate) fn watch_certificates(
    shared: &Arc<Shared>,
    sessions: Sessions,
    supervisor: &Supervisor,
) -> Result<Option<mpsc::Sender<()>>, StartError> {
    let mut watched = Watched::all(shared);
    if watched.is_empty() {
        return Ok(None);
    }
    let (stop, stopped) = mpsc::channel();
    let shared = Arc::clone(shared);
    let watch = move || {
        // The configuration's reader has said at the start what expires.
        let mut told = Instant::now();
        loop {
            if told.elapsed() >= DAY {
                told = Instant::now();
                warn_of_expiry(&shared);
            }
            if stopped.recv_timeout(LOOK) != Err(mpsc::RecvTimeoutError::Timeout) {
                return Ending::Expected;
            }
            for listener in &mut watched {
                listener.look(&shared, &sessions);
            }
        }
    };
    supervisor.spawn(THREAD, watch).map_err(StartError::thread(THREAD))?;
    Ok(Some(stop))
}

/// A TLS listener and its files.
#[derive(Debug)]
struct Watched {
    index: usize,
    name: String,
    settings: TlsSettings,
    options: HandshakeOptions,
    /// The files as they were loaded.
    loaded: Vec<Option<Stamp>>,
    /// How many times in a row they could not be loaded.
    failures: u32,
}

impl Watched {
    fn all(shared: &Shared) -> Vec<Self> {
        let snapshot = shared.snapshot();
        let config = &snapshot.config;
        let listeners = config.listeners.iter().enumerate();
        listeners
            .filter_map(|(index, listener)| {
                let settings = listener.tls.clone()?;
                Some(Self {
                    index,
                    name: listener.address.to_string(),
                    options: handshake_options(listener, &config.policies),
                    // What changed since it was loaded at the start is found at the first look.
                    loaded: stamps(&settings),
                    settings,
                    failures: 0,
                })
            })
            .collect()
    }

    /// Takes the files over if they have changed and fit together.
    fn look(&mut self, shared: &Shared, sessions: &Sessions) {
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
                shared.set_tls(self.index, &tls);
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

fn stamps(settings: &TlsSettings) -> Vec<Option<Stamp>> {
    settings.files().map(Stamp::of).collect()
}

fn warn_of_expiry(shared: &Shared) {
    for tls in shared.snapshot().tls.iter().flatten() {
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
