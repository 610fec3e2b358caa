//! The authorities that issue clients' certificates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::usable;
use crate::identity::certificate::CertificateFault;
use crate::x509::Revocations;

/// Judges clients' certificates by a listener's `client_ca` and `crl`.
#[derive(Debug)]
pub struct ClientAuthority {
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    revocations: Revocations,
    /// Differs between any two authorities of this process.
    revision: u64,
}

impl ClientAuthority {
    /// An authority that trusts the certificates of `client_ca`, and what `crls` revoke. Without
    /// `client_ca` it trusts none.
    ///
    /// Revocation fails closed. A certificate that one of the lists names is revoked, whatever else is
    /// wrong with certificate or list; an intermediate one too. Beyond that, with a list, a client's
    /// certificate is not trusted whose issuer the lists are silent about, or when the next update of
    /// its list is overdue (OpenSSL, and so nginx's `ssl_crl`, refuses these too).
    ///
    /// # Errors
    /// Why these roots or lists cannot be used.
    pub fn new(
        client_ca: &[CertificateDer<'static>],
        crls: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self, String> {
        let authorities = client_ca.iter().map(|der| &**der);
        let revocations = Revocations::new(crls.iter().map(|der| &**der), authorities)
            .map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        for der in client_ca {
            usable::check_authority(der).map_err(|error| format!("no authority: {error}"))?;
            roots.add(der.clone()).map_err(|error| format!("no authority: {error}"))?;
        }
        let verifier = if roots.is_empty() {
            None
        } else {
            let provider = Arc::new(ring::default_provider());
            let mut builder =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            if !crls.is_empty() {
                builder = builder
                    .with_crls(crls)
                    .only_check_end_entity_revocation()
                    .enforce_revocation_expiration();
            }
            Some(builder.build().map_err(|error| error.to_string())?)
        };
        static REVISIONS: AtomicU64 = AtomicU64::new(0);
        Ok(Self { verifier, revocations, revision: REVISIONS.fetch_add(1, Ordering::Relaxed) })
    }

    /// A number that no other authority of this process has.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the names in the first of `chain` can be trusted at `now`; the others are the
    /// intermediate certificates that came with it.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), CertificateFault> {
        let [leaf, intermediates @ ..] = chain else { return Err(CertificateFault::Broken) };
        // First of all: the verifier reports one fault only, and a pinned key excuses every fault but
        // revocation.
        if self.revocations.name(leaf) {
            return Err(CertificateFault::Revoked);
        }
        let verifier = self.verifier.as_ref().ok_or(CertificateFault::NoAuthority)?;
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        match verifier.verify_client_cert(leaf, intermediates, now) {
            Ok(_) if intermediates.iter().any(|der| self.revocations.name(der)) => {
                Err(CertificateFault::IssuerNotValid)
            }
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(error)) => Err(fault(&error)),
            Err(_) => Err(CertificateFault::Broken),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls has more faults, and gets more")]
fn fault(error: &CertificateError) -> CertificateFault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CertificateFault::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateFault::NotYetValid
        }
        CertificateError::Revoked => CertificateFault::Revoked,
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            CertificateFault::RevocationUnknown
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            CertificateFault::UnknownIssuer
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            CertificateFault::NotForClients
        }
        _ => CertificateFault::Broken,
    }
}

/// What the handshake asks of a client's certificate: that it can be read, that signatures can be
/// verified by its key, and that the client holds that key.
#[derive(Debug)]
pub(super) struct KeyHolder {
    algorithms: WebPkiSupportedAlgorithms,
}

impl KeyHolder {
    pub(super) fn new() -> Self {
        Self { algorithms: ring::default_provider().signature_verification_algorithms }
    }
}

impl ClientCertVerifier for KeyHolder {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: clients whose key a policy pins need no authority, and would not show their certificates
    /// to a server that names others.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match usable::check_client(end_entity, intermediates) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(unusable) => Err(unusable.into_error()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
