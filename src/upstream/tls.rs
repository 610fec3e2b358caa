//! TLS towards XiVO: whose certificate is believed, and what is said where it is not.
//!
//! TLS 1.2 and 1.3 by rustls with ring; HTTP/1.1 by ALPN. The settings are made once, when the
//! configuration is read, and all workers share them, and with them the sessions that are resumed.
//! A handshake's signature is verified whatever is believed of the certificate, so the far side
//! always holds its key. With a pinned certificate neither its dates nor its names matter: it is the
//! one that was compared by hand, or it is not.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};

use super::certificate::CertificateFacts;
use crate::x509::Fingerprint;

/// Whose certificate is believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// One signed by an authority that this host believes.
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
    /// This host believes no authority.
    #[error("this host has no certificate authorities{0}")]
    NoAuthorities(String),
    /// A certificate of `upstream.ca` is none of an authority.
    #[error("certificate {0} of it cannot be read: {1}")]
    BadAuthority(usize, String),
    /// rustls says so.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// How TLS is spoken with XiVO.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
    belief: &'static str,
    refused: Refused,
}

/// The certificate that was refused last.
type Refused = Arc<Mutex<Option<String>>>;

impl Tls {
    /// Believes `trust`, and asks for `server_name`.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(trust: Trust, server_name: ServerName<'static>) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let refused = Refused::default();
        let belief = match &trust {
            Trust::System => "vouched for by an authority that this host believes",
            Trust::Authorities(_) => "vouched for by upstream.ca",
            Trust::Pins(_) => "pinned by upstream.pin_sha256",
            Trust::Anyone => "NOT verified",
        };
        let verifier = Arc::new(Verifier {
            judge: Judge::new(trust, &provider)?,
            algorithms: provider.signature_verification_algorithms,
            refused: Arc::clone(&refused),
        });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), server_name, belief, refused })
    }

    /// What a handshake is made with.
    pub(super) fn handshake(&self) -> (Arc<ClientConfig>, ServerName<'static>) {
        (Arc::clone(&self.config), self.server_name.clone())
    }

    /// The name that is asked for.
    pub fn server_name(&self) -> String {
        self.server_name.to_str().into_owned()
    }

    /// Asks for this name and believes anyone: to see who is there, and not to ask anything.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn unverified(server_name: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(server_name.to_owned());
        let name = name.map_err(|_| TlsError::Setup(format!("no server name: {server_name}")))?;
        Self::new(Trust::Anyone, name)
    }

    /// Why a certificate that is believed is.
    pub fn belief(&self) -> &'static str {
        self.belief
    }

    /// The certificate that was refused last, if `why` is about a certificate.
    pub fn refused_certificate(&self, why: &str) -> Option<String> {
        let about_it = CERTIFICATE_FAULTS.contains(&why);
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|_| about_it)
    }
}

/// Whether `certificate` can be an authority's in `upstream.ca`.
///
/// # Errors
/// Why not.
pub fn check_authority(certificate: &CertificateDer<'static>) -> Result<(), String> {
    RootCertStore::empty().add(certificate.clone()).map_err(|error| error.to_string())
}

#[derive(Debug)]
enum Judge {
    Authorities(Arc<WebPkiServerVerifier>),
    Pins(Vec<Fingerprint>),
    Anyone,
}

impl Judge {
    fn new(trust: Trust, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let roots = match trust {
            Trust::Pins(pins) => return Ok(Self::Pins(pins)),
            Trust::Anyone => return Ok(Self::Anyone),
            Trust::System => system_roots()?,
            Trust::Authorities(certificates) => {
                let mut roots = RootCertStore::empty();
                for (at, certificate) in certificates.into_iter().enumerate() {
                    let added = roots.add(certificate);
                    added.map_err(|error| TlsError::BadAuthority(at + 1, error.to_string()))?;
                }
                roots
            }
        };
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        builder.build().map(Self::Authorities).map_err(|error| TlsError::Setup(error.to_string()))
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        Ok(roots)
    } else {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        Err(TlsError::NoAuthorities(why))
    }
}

#[derive(Debug)]
struct Verifier {
    judge: Judge,
    algorithms: WebPkiSupportedAlgorithms,
    refused: Refused,
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
        if judged.is_err() {
            let seen = CertificateFacts::of(end_entity).to_string();
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        }
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Why a handshake failed, for the administrator.
pub(super) fn explain(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(wrong)) => explain_certificate(wrong),
        Some(Error::InvalidMessage(_)) => {
            "what answers at its port does not speak TLS; is the port of upstream.url one of https?"
        }
        Some(Error::PeerIncompatible(_)) => NOTHING_IN_COMMON,
        Some(Error::AlertReceived(alert)) => match alert {
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity => NOTHING_IN_COMMON,
            AlertDescription::UnrecognisedName => {
                "it knows no certificate for the name that was asked for; set upstream.server_name"
            }
            AlertDescription::NoApplicationProtocol => "it does not offer HTTP/1.1 over TLS",
            AlertDescription::CertificateRequired => "it asks for a client certificate",
            _ => "it refused the TLS handshake with an alert",
        },
        Some(_) => "the TLS handshake failed",
        None => "XiVO ended the connection in the TLS handshake",
    }
}

fn explain_certificate(wrong: &CertificateError) -> &'static str {
    use rustls::CertificateError as E;
    match wrong {
        E::Expired | E::ExpiredContext { .. } => EXPIRED,
        E::NotValidYet | E::NotValidYetContext { .. } => NOT_VALID_YET,
        E::UnknownIssuer => UNKNOWN_ISSUER,
        E::NotValidForName | E::NotValidForNameContext { .. } => WRONG_NAME,
        E::Other(OtherError(why)) if why.is::<NotPinned>() => WRONG_PIN,
        E::Other(OtherError(why)) if why.is::<AuthorityItself>() => AUTHORITY_ITSELF,
        _ => BAD_CERTIFICATE,
    }
}

const EXPIRED: &str = "its certificate has expired; renew it on XiVO, or set upstream.pin_sha256";
const NOT_VALID_YET: &str =
    "its certificate is not valid yet; compare the clocks of this host and of XiVO";
const UNKNOWN_ISSUER: &str = "its certificate is signed by nobody whom this gateway believes; set upstream.ca, or upstream.pin_sha256 (`phonebook-gateway probe --pin` prints it)";
const WRONG_NAME: &str = "its certificate is for another name than that of upstream.url; set upstream.server_name to a name that it has, or upstream.pin_sha256";
const WRONG_PIN: &str = "its certificate is none of upstream.pin_sha256; if it was renewed, compare it with XiVO's own and pin the new one (`phonebook-gateway probe --pin` prints it)";
const AUTHORITY_ITSELF: &str = "its certificate is an authority's own, as self-signed ones often are, and cannot be verified by upstream.ca; set upstream.pin_sha256 (`phonebook-gateway probe --pin` prints it)";
const BAD_CERTIFICATE: &str = "its certificate was not accepted; set upstream.pin_sha256 (`phonebook-gateway probe --pin` prints it)";
const NOTHING_IN_COMMON: &str =
    "it has no TLS version or cipher in common with this gateway, which speaks TLS 1.2 and 1.3";

/// What is said of certificates.
const CERTIFICATE_FAULTS: [&str; 7] = [
    EXPIRED,
    NOT_VALID_YET,
    UNKNOWN_ISSUER,
    WRONG_NAME,
    WRONG_PIN,
    AUTHORITY_ITSELF,
    BAD_CERTIFICATE,
];
