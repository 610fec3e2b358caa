//! A TLS listener as it stands: what it shows, and what it trusts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use super::authority::KeyHolder;
use super::{ClientAuthority, HandshakeFault, Loaded, Material};
use crate::files::Stamp;

/// A TLS listener's certificates, and what it trusts of clients'. Replaced as a whole.
#[derive(Debug)]
pub struct ListenerTls {
    /// What handshakes go by.
    pub config: Arc<ServerConfig>,
    /// What clients' certificates are judged by.
    pub authority: ClientAuthority,
    /// This gateway's certificates.
    pub certificates: Vec<Loaded>,
    /// The certificates in `client_ca`.
    pub client_ca: Vec<Loaded>,
    /// The file of revocation lists, and when the first of them is to be replaced at the latest.
    pub crl_next_update: Option<(PathBuf, Timestamp)>,
    /// The files that all of it was read from, as they were then.
    pub stamps: Vec<Option<Stamp>>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// The keys that sessions are sealed with, one set for all workers and listeners and for as long as
/// the process lives, so that any worker resumes what any other began, also after a certificate was
/// replaced. They change every six hours, and open tickets that are at most twelve hours old.
#[derive(Clone, Debug)]
pub struct Sessions(Arc<dyn ProducesTickets>);

impl Sessions {
    /// A session store with new ticket keys.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<Self, rustls::Error> {
        ring::Ticketer::new().map(Self)
    }
}

/// What a listener does in its handshakes, beside its files.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeOptions {
    /// Whether clients are asked for a certificate.
    pub ask_certificate: bool,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
}

impl ListenerTls {
    /// A listener with what `material` holds.
    ///
    /// # Errors
    /// rustls refuses it; nothing that an administrator writes leads here.
    pub fn new(
        material: Material,
        options: HandshakeOptions,
        sessions: &Sessions,
    ) -> Result<Self, rustls::Error> {
        let Material { keys, authority, client_ca, crl_next_update, stamps } = material;
        let verifier: Arc<dyn ClientCertVerifier> = if options.ask_certificate {
            Arc::new(KeyHolder::new())
        } else {
            Arc::new(NoClientAuth)
        };
        let certificates = keys.iter().map(|(loaded, _)| loaded.clone()).collect();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_cert_resolver(Arc::new(ByName(keys)));
        config.ticketer = Arc::clone(&sessions.0);
        // xivo-dird opens a connection per lookup: one ticket is one resumption, and it gets a new one.
        config.send_tls13_tickets = 1;
        let protocols = if options.http2 {
            &["h2", "http/1.1", "http/1.0"][..]
        } else {
            &["http/1.1", "http/1.0"]
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = Arc::new(config);
        Ok(Self { config, authority, certificates, client_ca, crl_next_update, stamps, verifier })
    }

    /// Whether clients are asked for a certificate; otherwise none shows any.
    pub fn asks_clients(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    /// What the verifier that handshakes ask says at `now` of a client that shows `chain`, its own
    /// certificate first. Only the signature by which it proves its key is left out.
    ///
    /// # Errors
    /// What the handshake would fail with.
    pub fn check_client(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), HandshakeFault> {
        let [leaf, intermediates @ ..] = chain else { return Ok(()) };
        if !self.asks_clients() {
            return Ok(());
        }
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let verified = self.verifier.verify_client_cert(leaf, intermediates, now);
        verified.map(drop).map_err(HandshakeFault::Failed)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Chooses this gateway's certificate by the name that the client asks for: the first that has it,
/// else the first that has a wildcard for it (RFC 9525, section 6.3), else the first of all, as nginx
/// takes its default server's.
#[derive(Debug)]
struct ByName(Vec<(Loaded, Arc<CertifiedKey>)>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase).unwrap_or_default();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let exact = |names: &[String]| names.contains(&name);
        let wild = |names: &[String]| {
            names.iter().any(|n| n.strip_prefix("*.").is_some_and(|rest| Some(rest) == parent))
        };
        let of = |matches: &dyn Fn(&[String]) -> bool| {
            self.0.iter().find(|(loaded, _)| matches(&loaded.certificate.dns_names))
        };
        let chosen = of(&exact).or_else(|| of(&wild)).or_else(|| self.0.first());
        chosen.map(|(_, key)| Arc::clone(key))
    }
}
