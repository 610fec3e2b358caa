//! What a revocation list says of itself, and which certificates lists name.

use jiff::Timestamp;
use x509_parser::asn1_rs::FromDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use crate::x509::UnreadableCertificate::{self, Malformed, Trailing};
use crate::x509::distinguished_name::rfc2253;
use crate::x509::{shown, timestamp};

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

/// The certificates that revocation lists name, whatever else can be said of certificate and list: a
/// list that is overdue still names what was revoked.
///
/// A list speaks of the certificates of its issuer: those that bear its issuer's name and, as far as
/// keys are known that this can be told by, the signature of the key that signed the list. Those keys
/// are the authorities' alone: what a client shows beside its certificate takes nothing from a list.
#[derive(Debug, Default)]
pub struct Revocations {
    lists: Vec<Named>,
    /// The authorities' certificates in DER, each with its name.
    authorities: Vec<(String, Vec<u8>)>,
}

/// A list's entries.
#[derive(Debug)]
struct Named {
    issuer: String,
    /// In their order.
    serials: Vec<Box<[u8]>>,
    /// Of the authorities those whose key signed it.
    signers: Vec<usize>,
}

impl Revocations {
    /// What `lists` name, which some of `authorities` may have signed; all in DER.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn new<'d>(
        lists: impl Iterator<Item = &'d [u8]>,
        authorities: impl Iterator<Item = &'d [u8]>,
    ) -> Result<Self, UnreadableCertificate> {
        let authorities = authorities
            .map(|der| Ok((issuer_name(&certificate(der)?.subject), der.to_vec())))
            .collect::<Result<_, _>>()?;
        let mut this = Self { lists: Vec::new(), authorities };
        for der in lists {
            let (_, list) = CertificateRevocationList::from_der(der)
                .map_err(|error| Malformed(shown(&error)))?;
            let issuer = issuer_name(list.issuer());
            let signed = |key: &SubjectPublicKeyInfo<'_>| list.verify_signature(key);
            let signers =
                this.of_name(&issuer).filter(|&(_, der)| checked(der, signed) == Some(true));
            let signers = signers.map(|(at, _)| at).collect();
            let entries = list.iter_revoked_certificates();
            let mut serials: Vec<_> = entries.map(|entry| number(entry.raw_serial())).collect();
            serials.sort_unstable();
            this.lists.push(Named { issuer, serials, signers });
        }
        Ok(this)
    }

    /// Whether one of the lists names this certificate, which is in DER.
    pub fn name(&self, der: &[u8]) -> bool {
        if self.lists.is_empty() {
            return false;
        }
        let Ok(found) = certificate(der) else { return false };
        let (issuer, serial) = (issuer_name(&found.issuer), number(found.raw_serial()));
        let mut lists = self.lists.iter().filter(|list| list.issuer == issuer);
        lists.any(|list| list.serials.binary_search(&serial).is_ok() && self.speaks(list, &found))
    }

    /// Whether the list's issuer and the certificate's, of one name, may have the same key. Where
    /// nobody can tell they have.
    fn speaks(&self, list: &Named, certificate: &X509Certificate<'_>) -> bool {
        let signed = |der: &[u8]| checked(der, |key| certificate.verify_signature(Some(key)));
        if list.signers.is_empty() {
            return self.of_name(&list.issuer).all(|(_, der)| signed(der) != Some(true));
        }
        let mut signers = list.signers.iter().filter_map(|&at| self.authorities.get(at));
        signers.any(|(_, der)| signed(der) != Some(false))
    }

    fn of_name(&self, name: &str) -> impl Iterator<Item = (usize, &[u8])> {
        let named =
            self.authorities.iter().enumerate().filter(move |(_, (known, _))| known == name);
        named.map(|(at, (_, der))| (at, der.as_slice()))
    }
}

fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, UnreadableCertificate> {
    X509Certificate::from_der(der).map(|(_, found)| found).map_err(|error| Malformed(shown(&error)))
}

/// Whether the authority `der` has signed, by what `verify` says of its key; `None` where its kind of
/// signature is not known here.
fn checked(
    der: &[u8],
    verify: impl Fn(&SubjectPublicKeyInfo<'_>) -> Result<(), X509Error>,
) -> Option<bool> {
    match verify(&certificate(der).ok()?.subject_pki) {
        Ok(()) => Some(true),
        Err(X509Error::SignatureVerificationError) => Some(false),
        Err(_) => None,
    }
}

/// A name as it is compared: its text, whichever of ASN.1's strings it is in (RFC 5280, section 7.1).
fn issuer_name(name: &X509Name<'_>) -> String {
    rfc2253(name).to_lowercase()
}

/// A serial number's bytes without those that add nothing to it.
fn number(content: &[u8]) -> Box<[u8]> {
    let mut rest = content;
    while let [0, tail @ ..] = rest
        && tail.first().is_some_and(|next| next & 0x80 == 0)
    {
        rest = tail;
    }
    rest.into()
}
