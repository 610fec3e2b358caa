//! What a certificate says, read once.

use std::net::IpAddr;

use jiff::Timestamp;
use ring::digest;
use x509_parser::prelude::*;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// SHA-256 of all of it.
    pub sha256: [u8; 32],
    /// SHA-1 of all of it, as nginx's `$ssl_client_fingerprint`.
    pub sha1: [u8; 20],
    /// RFC 2253.
    pub subject: String,
    /// RFC 2253.
    pub issuer: String,
    /// Hexadecimal.
    pub serial: String,
    /// The subject's, where it has exactly one.
    pub common_name: Option<String>,
    /// Lower case.
    pub dns_names: Vec<String>,
    /// As written.
    pub uris: Vec<String>,
    /// Addresses.
    pub ip_addresses: Vec<IpAddr>,
    /// First moment.
    pub not_before: Timestamp,
    /// Last moment.
    pub not_after: Timestamp,
}

/// A certificate that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this certificate cannot be read: {0}")]
pub struct UnreadableCertificate(String);

impl Certificate {
    /// Reads the DER of one certificate.
    ///
    /// # Errors
    /// It is none.
    pub fn read(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        let fault = |why: &dyn std::fmt::Display| UnreadableCertificate(why.to_string());
        let (_, c) = X509Certificate::from_der(der).map_err(|e| fault(&e))?;
        let hash = |data: &[u8]| {
            let mut out = [0; 32];
            out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
            out
        };
        let mut sha1 = [0; 20];
        sha1.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
        let time = |t: ASN1Time| Timestamp::from_second(t.timestamp()).map_err(|e| fault(&e));
        let (mut dns_names, mut uris) = (Vec::new(), Vec::new());
        if let Ok(Some(san)) = c.subject_alternative_name() {
            for name in &san.value.general_names {
                match name {
                    GeneralName::DNSName(n) => dns_names.push(n.to_ascii_lowercase()),
                    GeneralName::URI(n) => uris.push((*n).to_owned()),
                    _ => {}
                }
            }
        }
        Ok(Self {
            spki_sha256: hash(c.public_key().raw),
            sha256: hash(der),
            sha1,
            subject: c.subject().to_string(),
            issuer: c.issuer().to_string(),
            serial: c.raw_serial_as_string(),
            common_name: c
                .subject()
                .iter_common_name()
                .next()
                .and_then(|n| n.as_str().ok())
                .map(str::to_owned),
            dns_names,
            uris,
            ip_addresses: Vec::new(),
            not_before: time(c.validity().not_before)?,
            not_after: time(c.validity().not_after)?,
        })
    }
}
