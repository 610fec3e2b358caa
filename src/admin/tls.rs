//! TLS on the admin listener, by the certificate that the running configuration names.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::stream::Stream;
use crate::server::Server;
use crate::tls::{
    HandshakeOptions, ListenerTls, Loaded, Material, Opened, Sessions, TlsSettings, handshake,
};

/// What connections are opened with.
#[derive(Debug)]
pub(super) struct AdminTls {
    server: Server,
    loaded: RefCell<Option<Kept>>,
}

/// What was loaded last, and what it was loaded from.
#[derive(Debug)]
struct Kept {
    settings: TlsSettings,
    /// The files that could not be loaded last are not tried again until they change.
    stamps: Vec<Option<crate::files::Stamp>>,
    tls: Option<Arc<ListenerTls>>,
}

impl AdminTls {
    pub(super) fn new(server: Server) -> Self {
        Self { server, loaded: RefCell::default() }
    }

    /// Goes on with a connection that was accepted; `None` ends it.
    pub(super) async fn open(&self, stream: TcpStream) -> Option<Stream> {
        // An answer in several pieces is not held back.
        let _ = stream.set_nodelay(true);
        let config = Arc::clone(&self.server.shared().snapshot().config);
        let Some(settings) = &config.admin.tls else { return Some(Stream::new(stream)) };
        let tls = self.current(settings)?;
        match handshake(stream, &tls.config, Instant::now() + HANDSHAKE_TIMEOUT).await {
            Ok(Opened::Tls(stream, _)) => Some(Stream::new(*stream)),
            // What is asked without TLS was readable on its way; it gets no answer.
            Ok(Opened::Plain(_)) | Err(_) => None,
        }
    }

    /// The certificates that are shown, where any are.
    pub(super) fn certificates(&self) -> Vec<Loaded> {
        let config = Arc::clone(&self.server.shared().snapshot().config);
        let tls = config.admin.tls.as_ref().and_then(|settings| self.current(settings));
        tls.map(|tls| tls.certificates.clone()).unwrap_or_default()
    }

    /// What `settings` name, as the files are now; while they have a fault, what was loaded last.
    fn current(&self, settings: &TlsSettings) -> Option<Arc<ListenerTls>> {
        let mut loaded = self.loaded.borrow_mut();
        let stamps: Vec<_> = settings.files().map(crate::files::Stamp::of).collect();
        let known = loaded.take().filter(|kept| kept.settings.files().eq(settings.files()));
        let before = known.as_ref().and_then(|kept| kept.tls.clone());
        let kept = match known {
            Some(kept) if kept.stamps == stamps => kept,
            _ => {
                let tls = load(settings).unwrap_or_else(|errors| {
                    tracing::error!("TLS of the admin listener: {errors}");
                    before
                });
                Kept { settings: settings.clone(), stamps, tls }
            }
        };
        loaded.insert(kept).tls.clone()
    }
}

fn load(settings: &TlsSettings) -> Result<Option<Arc<ListenerTls>>, String> {
    let material = Material::load(settings)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let options = HandshakeOptions { ask_certificate: false, http2: false };
    let sessions = Sessions::new().map_err(|error| error.to_string())?;
    let tls = ListenerTls::new(material, options, &sessions).map_err(|error| error.to_string())?;
    Ok(Some(Arc::new(tls)))
}

/// For a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
