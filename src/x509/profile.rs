//! What a certificate is made of, beside what it says: its version, its critical extensions, its key.

use std::fmt;

use x509_parser::asn1_rs::{Any, FromDer, Oid, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{UnreadableCertificate, shown};

/// What a certificate is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateProfile {
    /// 1, 2 or 3; only the last has extensions.
    pub version: u32,
    /// The types of the extensions that whoever does not understand them may not pass over, as numbers.
    pub critical_extensions: Vec<String>,
    /// The key whose holder the certificate names.
    pub key: PublicKey,
}

/// A public key, as far as it decides whether a signature can be verified by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its algorithm with parameters (AlgorithmIdentifier, RFC 5280, section 4.1.1.2) in DER, without
    /// the outer tag and length.
    pub algorithm: Vec<u8>,
    /// What kind of key it is.
    pub kind: KeyKind,
}

/// What kind a public key is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, for any padding.
    Rsa {
        /// The bits of its modulus.
        bits: usize,
        /// Its public exponent; `None` where that has more than 64 bits.
        exponent: Option<u64>,
    },
    /// A point of an elliptic curve.
    Curve {
        /// The curve's name; none where its parameters are written out instead.
        curve: Option<String>,
        /// The point as it is encoded (SEC 1, section 2.3.3).
        point: Vec<u8>,
    },
    /// Any other, by its name or number.
    Other(String),
    /// One that says to be RSA and is none.
    Malformed,
}

impl CertificateProfile {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// Bytes that are no certificate.
    pub fn read(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        let (_, read) = X509Certificate::from_der(der)
            .map_err(|error| UnreadableCertificate::Malformed(shown(&error)))?;
        let critical = read.extensions().iter().filter(|extension| extension.critical);
        Ok(Self {
            version: read.version().0.saturating_add(1),
            critical_extensions: critical.map(|extension| extension.oid.to_id_string()).collect(),
            key: PublicKey::of(read.public_key()),
        })
    }
}

impl PublicKey {
    fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let inside = |der| Any::from_der(der).ok().map(|(_, any)| any.data);
        let algorithm = inside(key.raw).and_then(inside).unwrap_or_default().to_vec();
        Self { algorithm, kind: kind(key) }
    }
}

fn kind(key: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let algorithm = key.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        RSA => match key.parsed() {
            Ok(Parsed::RSA(rsa)) => {
                KeyKind::Rsa { bits: bits(rsa.modulus), exponent: rsa.try_exponent().ok() }
            }
            _ => KeyKind::Malformed,
        },
        ELLIPTIC => {
            let parameters = key.algorithm.parameters.as_ref();
            let named = parameters.filter(|any| any.tag() == Tag::Oid);
            let curve = named.map(|any| named_or_number(&Oid::new(any.data.into()).to_id_string()));
            KeyKind::Curve { curve, point: key.subject_public_key.data.to_vec() }
        }
        other => KeyKind::Other(named_or_number(other)),
    }
}

/// The bits of a number without its leading zeros.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    match number.get(zeros..) {
        Some([first, rest @ ..]) => rest.len() * 8 + (8 - first.leading_zeros() as usize),
        _ => 0,
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits, exponent: Some(exponent @ (..3 | 0x2_0000_0000..)) } => {
                write!(f, "RSA of {bits} bits with the exponent {exponent}")
            }
            Self::Rsa { bits, exponent: None } => {
                write!(f, "RSA of {bits} bits with an exponent of more than 64")
            }
            Self::Rsa { bits, .. } => write!(f, "RSA of {bits} bits"),
            Self::Curve { curve: Some(curve), point } => match point.first() {
                Some(2 | 3) => write!(f, "ECDSA on {curve}, its point compressed"),
                Some(6 | 7) => write!(f, "ECDSA on {curve}, its point in the hybrid form"),
                _ => write!(f, "ECDSA on {curve}"),
            },
            Self::Curve { curve: None, .. } => {
                f.write_str("ECDSA on a curve that is written out instead of named")
            }
            Self::Other(name) => f.write_str(name),
            Self::Malformed => f.write_str("RSA, and cannot be read"),
        }
    }
}

/// What a type of key or a curve is called; its number where it is not among those that are met.
fn named_or_number(number: &str) -> String {
    let known = NAMES.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("of the type {number}"), |(_, name)| (*name).to_owned())
}

const NAMES: &[(&str, &str)] = &[
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.33", "P-224"),
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
    ("1.2.840.113549.1.1.10", "RSA for PSS alone"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.156.10197.1.301", "SM2"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
];

const RSA: &str = "1.2.840.113549.1.1.1";
const ELLIPTIC: &str = "1.2.840.10045.2.1";
