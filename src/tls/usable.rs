//! Whether a handshake can go by a certificate: all of that which depends on the certificate alone.
//!
//! Which keys can be verified is looked up in the table that signatures are verified by. A signature
//! itself is verified in the handshake and nowhere else.

use std::ops::RangeInclusive;

use ring::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use ring::rand::SystemRandom;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring as provider};
use rustls::pki_types::{AlgorithmIdentifier, CertificateDer, alg_id};
use rustls::{CertificateError, Error, OtherError};

use crate::x509::{Certificate, CertificateProfile, KeyKind, PublicKey, UnreadableCertificate};

/// Why no handshake can go by a certificate, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnusableCertificate {
    /// It is no certificate, or its names cannot be read.
    #[error("{0}; create it anew")]
    Unreadable(#[from] UnreadableCertificate),
    /// Of before 1996; `openssl x509 -req` without an extension file creates such.
    #[error(
        "it is an X.509 certificate of version {0}, and TLS needs version 3: create it anew with an \
         extension, such as a subject alternative name (openssl x509 -req: -extfile)"
    )]
    Version(u32),
    /// Extensions that may not be passed over, as numbers.
    #[error(
        "its critical extension {0} is not understood here, and may then not be passed over: create \
         it anew without that extension, or with it not critical"
    )]
    CriticalExtension(String),
    /// A key that signatures are not verified by.
    #[error("its key is {found}, and possible are {possible}: create key and certificate anew")]
    Key {
        /// What it is.
        found: String,
        /// What it could be.
        possible: String,
    },
    /// A key that is no point of its curve.
    #[error("its key is damaged: it is no point of {0}; create key and certificate anew")]
    DamagedKey(String),
    /// It breaks another rule of its form.
    #[error("it is not made as RFC 5280 says ({0}): create it anew")]
    Form(String),
    /// The client's certificates together, in bytes.
    #[error(
        "the certificates that come with it have {0} bytes together, and {LONGEST_CHAIN} are allowed: \
         send its own and the intermediate ones, and nothing else"
    )]
    TooLong(usize),
}

/// Who holds a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeySide {
    /// A client: its signatures are verified.
    Client,
    /// This gateway, which signs with it.
    Gateway,
}

impl KeySide {
    /// The bits of RSA keys that are possible, as ring has them.
    fn rsa_bits(self) -> RangeInclusive<usize> {
        match self {
            // ring counts whole bytes, so that a modulus with a few leading zeros will do.
            Self::Client => 2041..=8192,
            Self::Gateway => 2047..=4096,
        }
    }

    fn rsa_exponents(self) -> RangeInclusive<u64> {
        match self {
            Self::Client => 3..=0x1_ffff_ffff,
            Self::Gateway => 65537..=0x1_ffff_ffff,
        }
    }
}

/// Whether a handshake can go by the certificate `chain` begins with, the others being those that come
/// with it.
///
/// # Errors
/// Why not.
pub(super) fn check_client(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<(), UnusableCertificate> {
    let length = intermediates.iter().fold(end_entity.len(), |sum, der| sum + der.len());
    if length > LONGEST_CHAIN {
        return Err(UnusableCertificate::TooLong(length));
    }
    check(end_entity, KeySide::Client)
}

/// Whether a handshake can go by this certificate.
///
/// # Errors
/// Why not.
pub(crate) fn check(der: &CertificateDer<'_>, side: KeySide) -> Result<(), UnusableCertificate> {
    Certificate::read(der)?;
    let profile = CertificateProfile::read(der)?;
    // The same reading as that of the function which verifies the signature.
    webpki::EndEntityCert::try_from(der).map_err(|error| form(&error, &profile))?;
    check_key(&profile.key, side, &provider::default_provider().signature_verification_algorithms)
}

/// Whether certificates can be verified by the authority whose certificate this is.
///
/// # Errors
/// Why not.
pub(crate) fn check_authority(der: &CertificateDer<'_>) -> Result<(), UnusableCertificate> {
    Certificate::read(der)?;
    let profile = CertificateProfile::read(der)?;
    webpki::anchor_from_trusted_cert(der).map(drop).map_err(|error| form(&error, &profile))
}

impl UnusableCertificate {
    /// As rustls carries it through a handshake.
    pub(super) fn into_error(self) -> Error {
        CertificateError::Other(OtherError(std::sync::Arc::new(self))).into()
    }

    /// What [`Self::into_error`] made.
    pub(super) fn of(error: &Error) -> Option<&Self> {
        let Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = error else {
            return None;
        };
        other.downcast_ref()
    }
}

/// What the reader of certificates found, in words.
#[expect(clippy::wildcard_enum_match_arm, reason = "webpki has more faults, and gets more")]
fn form(error: &webpki::Error, profile: &CertificateProfile) -> UnusableCertificate {
    use webpki::Error as Form;
    match error {
        Form::UnsupportedCertVersion => UnusableCertificate::Version(profile.version),
        Form::UnsupportedCriticalExtension => {
            let unknown = |number: &&String| !UNDERSTOOD.contains(&number.as_str());
            let unknown: Vec<&str> =
                profile.critical_extensions.iter().filter(unknown).map(String::as_str).collect();
            UnusableCertificate::CriticalExtension(unknown.join(", "))
        }
        error => UnusableCertificate::Form(
            match error {
                Form::BadDer | Form::BadDerTime => "its encoding is not DER",
                Form::TrailingData(_) => "bytes follow the end of one of its parts",
                Form::ExtensionValueInvalid => "one of its extensions is there twice, or is broken",
                Form::InvalidSerialNumber => "its serial number is not allowed",
                Form::SignatureAlgorithmMismatch => "it names two algorithms for its one signature",
                Form::UnsupportedCertVersion => "its version",
                _ => "one of its parts has a form that is not known here",
            }
            .to_owned(),
        ),
    }
}

fn check_key(
    key: &PublicKey,
    side: KeySide,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), UnusableCertificate> {
    let is_verified = verifiable(algorithms).iter().any(|id| id.as_ref() == key.algorithm);
    let fits = match &key.kind {
        KeyKind::Rsa { bits, exponent } => {
            let odd = |exponent: &u64| exponent % 2 == 1;
            let exponents = side.rsa_exponents();
            side.rsa_bits().contains(bits)
                && exponent.is_some_and(|exponent| exponents.contains(&exponent) && odd(&exponent))
        }
        KeyKind::Curve { point, .. } => point.first() == Some(&UNCOMPRESSED),
        KeyKind::Other(_) => true,
        KeyKind::Malformed => false,
    };
    if !(is_verified && fits) {
        let possible = possible(side, algorithms);
        let odd = matches!(key.kind, KeyKind::Rsa { .. }) && !is_verified;
        let odd = if odd { ", its algorithm without the NULL that belongs behind it" } else { "" };
        return Err(UnusableCertificate::Key { found: format!("{}{odd}", key.kind), possible });
    }
    if let KeyKind::Curve { curve, point } = &key.kind
        && !is_point(&key.algorithm, point)
    {
        return Err(UnusableCertificate::DamagedKey(curve.clone().unwrap_or_default()));
    }
    Ok(())
}

/// The keys that a signature in a handshake can be verified by. TLS 1.3 takes the first algorithm of
/// each scheme, and TLS 1.2 any of them; the keys are the same, as a test sees to.
fn verifiable(algorithms: &WebPkiSupportedAlgorithms) -> Vec<AlgorithmIdentifier> {
    let mut keys = Vec::new();
    for (_, algorithms) in algorithms.mapping {
        let key = algorithms.first().map(|algorithm| algorithm.public_key_alg_id());
        keys.extend(key.filter(|key| !keys.contains(key)));
    }
    keys
}

/// The same in words.
fn possible(side: KeySide, algorithms: &WebPkiSupportedAlgorithms) -> String {
    let name = |id: &AlgorithmIdentifier| match *id {
        alg_id::ECDSA_P256 => "ECDSA on P-256".to_owned(),
        alg_id::ECDSA_P384 => "ECDSA on P-384".to_owned(),
        alg_id::ECDSA_P521 => "ECDSA on P-521".to_owned(),
        alg_id::ED25519 => "Ed25519".to_owned(),
        alg_id::RSA_ENCRYPTION => format!("RSA of 2048 to {} bits", side.rsa_bits().end()),
        _ => "others".to_owned(),
    };
    let names: Vec<String> = verifiable(algorithms).iter().map(name).collect();
    match names.split_last() {
        Some((last, rest @ [_, ..])) => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Whether ring reads these bytes as a point of the curve: agreeing on a secret begins with that, as
/// verifying a signature does.
fn is_point(algorithm: &[u8], point: &[u8]) -> bool {
    let curve = if algorithm == alg_id::ECDSA_P256.as_ref() {
        &agreement::ECDH_P256
    } else if algorithm == alg_id::ECDSA_P384.as_ref() {
        &agreement::ECDH_P384
    } else {
        return true;
    };
    let Ok(own) = EphemeralPrivateKey::generate(curve, &SystemRandom::new()) else { return true };
    agreement::agree_ephemeral(own, &UnparsedPublicKey::new(curve, point), |_| ()).is_ok()
}

/// How a point begins that is written with both coordinates.
const UNCOMPRESSED: u8 = 4;

/// What the other side may show in a handshake, in bytes: it is held for as long as the connection,
/// whoever it is.
const LONGEST_CHAIN: usize = 16 * 1024;

/// The extensions that webpki understands.
const UNDERSTOOD: [&str; 6] =
    ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37"];

#[cfg(test)]
mod tests {
    use rustls::SignatureScheme;

    use super::*;

    #[test]
    fn both_versions_of_tls_verify_by_the_same_keys() {
        let algorithms = provider::default_provider().signature_verification_algorithms;
        let found = verifiable(&algorithms);
        let all = algorithms.mapping.iter().flat_map(|(_, algorithms)| *algorithms);
        // RFC 8446, section 4.2.3.
        let pkcs1 = [
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
        ];
        let of_13 = algorithms.mapping.iter().filter(|(scheme, _)| !pkcs1.contains(scheme));
        let of_13 = of_13.filter_map(|(_, algorithms)| algorithms.first());
        let keys = |ids: Vec<AlgorithmIdentifier>| {
            let mut ids: Vec<Vec<u8>> = ids.iter().map(|id| id.as_ref().to_vec()).collect();
            ids.sort();
            ids.dedup();
            ids
        };
        let of_12 = keys(all.map(|algorithm| algorithm.public_key_alg_id()).collect());
        assert_eq!(keys(of_13.map(|algorithm| algorithm.public_key_alg_id()).collect()), of_12);
        assert_eq!(keys(found), of_12);
        assert!(!possible(KeySide::Client, &algorithms).contains("others"));
    }

    #[test]
    fn no_point_of_the_curve_is_a_damaged_key() {
        let mut key = PublicKey {
            algorithm: alg_id::ECDSA_P256.as_ref().to_vec(),
            kind: KeyKind::Curve { curve: Some("P-256".to_owned()), point: vec![4; 65] },
        };
        let algorithms = provider::default_provider().signature_verification_algorithms;
        let damaged = UnusableCertificate::DamagedKey("P-256".to_owned());
        assert_eq!(check_key(&key, KeySide::Client, &algorithms), Err(damaged));
        let pair = rcgen::KeyPair::generate().unwrap();
        key.kind = KeyKind::Curve {
            curve: Some("P-256".to_owned()),
            point: rcgen::PublicKeyData::der_bytes(&pair).to_vec(),
        };
        assert_eq!(check_key(&key, KeySide::Client, &algorithms), Ok(()));
    }
}
