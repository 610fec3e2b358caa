//! TLS towards XiVO: whose certificate is trusted, and what is said where it is not.
//!
//! TLS 1.2 and 1.3 by rustls with ring; HTTP/1.1 by ALPN. The settings are made once, when the
//! configuration is read, and all workers share them, and with them the sessions that are resumed.
//! A handshake's signature is verified whatever is trusted of the certificate, so the far side
//! always holds its key. With a pinned certificate neither its dates nor its names matter: it is the
//! one that was compared by hand, or it is not.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use rustls::client::VerifierBuilderError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::CertificateFacts;
use super::fault::{Cause, CertificateFault, TlsFault};
use super::records::Records;
use crate::x509::Fingerprint;

/// Whose certificate is trusted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// One signed by an authority that this host trusts.
    System,
    /// One signed by one of these authorities (`upstream.ca`).
    Authorities(Vec<CertificateDer<'static>>),
    /// One of these certificates (`upstream.pin_sha256`).
    Pins(Vec<Fingerprint>),
    /// Any (`upstream.danger_accept_any_certificate`).
    Anyone,
}

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// This host trusts no authority.
    #[error("this host has no certificate authorities{}", behind_colon(.0.as_ref()))]
    NoAuthorities(#[source] Option<rustls_native_certs::Error>),
    /// A certificate of `upstream.ca` is none of an authority.
    #[error("certificate {number} of it cannot be read: {source}")]
    BadAuthority {
        /// Which of them, counted from 1.
        number: usize,
        /// What is wrong with it.
        source: Error,
    },
    /// The authorities cannot be verified by.
    #[error("TLS cannot be set up: {0}")]
    Verifier(#[source] VerifierBuilderError),
    /// The library lacks a version of TLS that is spoken.
    #[error("TLS cannot be set up: {0}")]
    Versions(#[source] Error),
    /// No server can be asked for by this name.
    #[error("TLS cannot be set up: no server name: {name}")]
    ServerName {
        /// The name as it was written.
        name: String,
        /// What is wrong with it.
        source: InvalidDnsNameError,
    },
}

/// What was met first, behind a colon.
fn behind_colon(error: Option<&rustls_native_certs::Error>) -> String {
    error.map(|error| format!(": {error}")).unwrap_or_default()
}

/// How TLS is spoken with XiVO.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
    trusted_as: &'static str,
    /// Of whom is trusted: two that trust the same have the same.
    trust: Fingerprint,
}

tokio::task_local! {
    /// The certificate that is refused in the handshake that is polled now. rustls chooses the alert that
    /// XiVO reads by its own error, so that one cannot carry it; and one verifier serves all connections,
    /// for with another one it would resume no session.
    static REFUSED: RefCell<Option<Arc<CertificateFacts>>>;
}

impl Tls {
    /// Trusts what `trust` says, and asks for `server_name`.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(trust: Trust, server_name: ServerName<'static>) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let trusted_as = match &trust {
            Trust::System => "issued by an authority that this host trusts",
            Trust::Authorities(_) => "issued by upstream.ca",
            Trust::Pins(_) => "pinned by upstream.pin_sha256",
            Trust::Anyone => "NOT verified",
        };
        let (judge, trust) = Judge::new(trust, &provider)?;
        let verifier =
            Arc::new(Verifier { judge, algorithms: provider.signature_verification_algorithms });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), server_name, trusted_as, trust })
    }

    /// Makes a handshake over `stream`.
    ///
    /// # Errors
    /// [`TlsFault`], with the certificate that was refused in this very handshake.
    pub(super) async fn handshake(&self, stream: Records) -> Result<TlsStream<Records>, TlsFault> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let shaking = connector.connect(self.server_name.clone(), stream);
        let refused = RefCell::default();
        REFUSED
            .scope(refused, async {
                shaking.await.map_err(|error| fault(error, REFUSED.with(RefCell::take)))
            })
            .await
    }

    /// The name that is asked for.
    pub fn server_name(&self) -> String {
        self.server_name.to_str().into_owned()
    }

    /// Whether the other asks for the same name and trusts the same.
    pub fn trusts_as(&self, other: &Self) -> bool {
        self.trust == other.trust && self.server_name == other.server_name
    }

    /// Asks for the same name, and trusts what these authorities have issued.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn with_authorities(
        &self,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self, TlsError> {
        Self::new(Trust::Authorities(authorities), self.server_name.clone())
    }

    /// Asks for this name and trusts anyone: to see who is there, and not to ask anything.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn unverified(server_name: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(server_name.to_owned());
        let name =
            name.map_err(|source| TlsError::ServerName { name: server_name.to_owned(), source })?;
        Self::new(Trust::Anyone, name)
    }

    /// Why a certificate that is trusted is.
    pub fn trusted_as(&self) -> &'static str {
        self.trusted_as
    }
}

/// Whether `certificate` can be an authority's in `upstream.ca`.
///
/// # Errors
/// Why not.
pub fn check_authority(certificate: &CertificateDer<'static>) -> Result<(), Error> {
    RootCertStore::empty().add(certificate.clone())
}

#[derive(Debug)]
enum Judge {
    Authorities(Arc<WebPkiServerVerifier>),
    Pins(Vec<Fingerprint>),
    Anyone,
}

impl Judge {
    /// The judge of this trust, and what tells it from others.
    fn new(trust: Trust, provider: &Arc<CryptoProvider>) -> Result<(Self, Fingerprint), TlsError> {
        let mark = |kind: &[u8], parts: &[&[u8]]| {
            let mut all = kind.to_vec();
            for part in parts {
                all.extend_from_slice(&(part.len() as u64).to_be_bytes());
                all.extend_from_slice(part);
            }
            Fingerprint::of(&all)
        };
        let (roots, mark) = match trust {
            Trust::Pins(pins) => {
                let text: Vec<String> = pins.iter().map(ToString::to_string).collect();
                let parts: Vec<&[u8]> = text.iter().map(String::as_bytes).collect();
                let mark = mark(b"pins", &parts);
                return Ok((Self::Pins(pins), mark));
            }
            Trust::Anyone => return Ok((Self::Anyone, mark(b"anyone", &[]))),
            Trust::System => {
                let (roots, found) = system_roots()?;
                let mut parts: Vec<&[u8]> = found.iter().map(AsRef::as_ref).collect();
                parts.sort_unstable();
                (roots, mark(b"system", &parts))
            }
            Trust::Authorities(certificates) => {
                let parts: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).collect();
                let mark = mark(b"authorities", &parts);
                let mut roots = RootCertStore::empty();
                for (at, certificate) in certificates.into_iter().enumerate() {
                    let added = roots.add(certificate);
                    added.map_err(|source| TlsError::BadAuthority { number: at + 1, source })?;
                }
                (roots, mark)
            }
        };
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let built = builder.build().map_err(TlsError::Verifier)?;
        Ok((Self::Authorities(built), mark))
    }
}

fn system_roots() -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs.iter().cloned());
    if roots.is_empty() {
        return Err(TlsError::NoAuthorities(found.errors.into_iter().next()));
    }
    Ok((roots, found.certs))
}

#[derive(Debug)]
struct Verifier {
    judge: Judge,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Keeps which certificate it was, for [`Tls::handshake`], unless it was found well.
fn keep_refused<T>(certificate: &CertificateDer<'_>, judged: Result<T, Error>) -> Result<T, Error> {
    judged.inspect_err(|_| {
        let seen = Arc::new(CertificateFacts::of(certificate));
        // Outside of a handshake nobody asks for it.
        let _ = REFUSED.try_with(|refused| refused.replace(Some(seen)));
    })
}

/// The certificate is none of `upstream.pin_sha256`.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is not a pinned one")]
struct NotPinned;

/// The certificate is one of an authority, as those that `openssl req -x509` makes: webpki accepts
/// it from no server.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is an authority's own")]
struct AuthorityItself;

impl ServerCertVerifier for Verifier {
    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls has more faults, and gets more")]
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = match &self.judge {
            Judge::Anyone => Ok(ServerCertVerified::assertion()),
            Judge::Pins(pins) if pins.contains(&Fingerprint::of(end_entity)) => {
                Ok(ServerCertVerified::assertion())
            }
            Judge::Pins(_) => Err(CertificateError::Other(OtherError(Arc::new(NotPinned))).into()),
            Judge::Authorities(authorities) => authorities
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| match error {
                    // Its issuer is called like a known authority and is another.
                    Error::InvalidCertificate(CertificateError::BadSignature) => {
                        CertificateError::UnknownIssuer.into()
                    }
                    Error::InvalidCertificate(CertificateError::Other(_))
                        if CertificateFacts::of(end_entity).is_authority() =>
                    {
                        CertificateError::Other(OtherError(Arc::new(AuthorityItself))).into()
                    }
                    error => error,
                }),
        };
        keep_refused(end_entity, judged)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls12_signature(message, certificate, signed, &self.algorithms);
        keep_refused(certificate, verified)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls13_signature(message, certificate, signed, &self.algorithms);
        keep_refused(certificate, verified)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Why a handshake failed in which `seen` was refused, if any certificate was.
#[expect(clippy::wildcard_enum_match_arm, reason = "TLS has more alerts, and gets more")]
fn fault(error: io::Error, seen: Option<Arc<CertificateFacts>>) -> TlsFault {
    let told = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let make: fn(Cause) -> TlsFault = match told {
        Some(Error::InvalidCertificate(wrong)) => {
            let why = certificate_fault(wrong);
            return TlsFault::Certificate { why, seen, cause: error.into() };
        }
        Some(Error::InvalidMessage(_)) => TlsFault::NotTls,
        Some(Error::PeerIncompatible(_)) => TlsFault::NothingInCommon,
        Some(Error::AlertReceived(alert)) => match alert {
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity => TlsFault::NothingInCommon,
            AlertDescription::UnrecognisedName => TlsFault::UnknownName,
            AlertDescription::NoApplicationProtocol => TlsFault::NoHttp,
            AlertDescription::CertificateRequired => TlsFault::WantsCertificate,
            _ => TlsFault::Alert,
        },
        Some(_) => TlsFault::Failed,
        None => TlsFault::Ended,
    };
    make(error.into())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls has more faults, and gets more")]
fn certificate_fault(wrong: &CertificateError) -> CertificateFault {
    use rustls::CertificateError as E;
    match wrong {
        E::Expired | E::ExpiredContext { .. } => CertificateFault::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => CertificateFault::NotValidYet,
        E::UnknownIssuer => CertificateFault::UnknownIssuer,
        E::NotValidForName | E::NotValidForNameContext { .. } => CertificateFault::WrongName,
        E::Other(OtherError(why)) if why.is::<NotPinned>() => CertificateFault::WrongPin,
        E::Other(OtherError(why)) if why.is::<AuthorityItself>() => {
            CertificateFault::AuthorityItself
        }
        _ => CertificateFault::NotAccepted,
    }
}
