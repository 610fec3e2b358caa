//! What a revocation list says of itself.

use jiff::Timestamp;
use x509_parser::asn1_rs::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::UnreadableCertificate::{self, Malformed, Trailing};
use super::distinguished_name::rfc2253;
use super::{shown, timestamp};

/// A list of certificates that their authority has revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationList {
    /// Who revoked them, in the form of RFC 2253.
    pub issuer: String,
    /// When the list was made.
    pub this_update: Timestamp,
    /// When the next one was to be made at the latest.
    pub next_update: Option<Timestamp>,
    /// How many certificates it names.
    pub revoked: usize,
}

impl RevocationList {
    /// Reads a list in DER.
    ///
    /// # Errors
    /// Bytes that are no such list.
    pub fn read(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        let (rest, read) =
            CertificateRevocationList::from_der(der).map_err(|error| Malformed(shown(&error)))?;
        if !rest.is_empty() {
            return Err(Trailing(rest.len()));
        }
        Ok(Self {
            issuer: rfc2253(read.issuer()),
            this_update: timestamp(read.last_update()),
            next_update: read.next_update().map(timestamp),
            revoked: read.iter_revoked_certificates().count(),
        })
    }
}
