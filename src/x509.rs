//! What an X.509 certificate says, read once into values that can be compared and shown.
//!
//! Reading is not judging: dates, signatures and authorities are somebody else's business. Anything
//! that is no certificate is an error, and a name that could be read in two ways is left out rather
//! than guessed at: names with NUL or control characters (which C programs cut short), and the common
//! name of a subject that has several.
//!
//! Subject, issuer and serial number are written as nginx writes `$ssl_client_s_dn`,
//! `$ssl_client_i_dn` and `$ssl_client_serial`, so that policies and logs can be carried over.
//!
//! Imports `text`. Begin with [`Certificate`].

mod distinguished_name;
mod fingerprint;
mod profile;
mod revocations;

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use ring::digest;
use thiserror::Error;
use x509_parser::asn1_rs::{Any, FromDer, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

pub use fingerprint::{Fingerprint, NoFingerprint};
pub use profile::{CertificateProfile, KeyKind, PublicKey};
pub use revocations::{RevocationList, Revocations};

use distinguished_name::{bmp, rfc2253};

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// SHA-256 of the public key with its algorithm (SubjectPublicKeyInfo), which a renewal with the
    /// same key does not change.
    pub spki_sha256: [u8; 32],
    /// SHA-256 of the certificate.
    pub sha256: [u8; 32],
    /// SHA-1 of the certificate, which nginx's `$ssl_client_fingerprint` shows. Nothing may be decided
    /// by it.
    pub sha1: [u8; 20],
    /// The subject in the form of RFC 2253, as OpenSSL writes it: the most specific part first.
    pub subject: String,
    /// The issuer in the same form.
    pub issuer: String,
    /// The serial number in upper-case hexadecimal digits.
    pub serial: String,
    /// The subject's common name, if there is exactly one and it is plain text.
    pub common_name: Option<String>,
    /// The DNS names of the subject alternative name, in lower case.
    pub dns_names: Vec<String>,
    /// Its URIs, as written.
    pub uris: Vec<String>,
    /// Its addresses; an IPv4-mapped one is the IPv4 address.
    pub ip_addresses: Vec<IpAddr>,
    /// Its other alternative names, each behind its kind, such as `UPN lyon@example.org`; to be shown,
    /// since no policy can name them.
    pub other_names: Vec<String>,
    /// The first second of its validity.
    pub not_before: Timestamp,
    /// The last second of its validity.
    pub not_after: Timestamp,
    /// Whether it says that it may sign certificates.
    pub is_authority: bool,
}

/// Why some bytes are no certificate that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnreadableCertificate {
    /// Not the DER form of an X.509 certificate.
    #[error("this is no X.509 certificate: {0}")]
    Malformed(String),
    /// Bytes behind its end.
    #[error("behind the certificate's end stands something else (bytes: {0})")]
    Trailing(usize),
    /// The extension is there twice, or is not what RFC 5280, section 4.2.1.6, says.
    #[error("the certificate's subject alternative name cannot be read: {0}")]
    AlternativeName(String),
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// Bytes that are no certificate, or whose alternative names cannot be read.
    pub fn read(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        use UnreadableCertificate::{AlternativeName, Malformed, Trailing};

        let (rest, read) =
            X509Certificate::from_der(der).map_err(|error| Malformed(shown(&error)))?;
        if !rest.is_empty() {
            return Err(Trailing(rest.len()));
        }
        let alternative = read
            .subject_alternative_name()
            .map_err(|error| AlternativeName(error.to_string()))?
            .map(|extension| extension.value);
        let mut names = Names::default();
        alternative.iter().flat_map(|name| &name.general_names).for_each(|name| names.add(name));
        let unsigned = &read.tbs_certificate;
        Ok(Self {
            spki_sha256: sha256(unsigned.subject_pki.raw),
            sha256: sha256(der),
            sha1: sha1(der),
            subject: rfc2253(&unsigned.subject),
            issuer: rfc2253(&unsigned.issuer),
            serial: serial(unsigned.raw_serial()),
            common_name: common_name(&unsigned.subject),
            dns_names: names.dns,
            uris: names.uris,
            ip_addresses: names.addresses,
            other_names: names.others,
            not_before: timestamp(unsigned.validity.not_before),
            not_after: timestamp(unsigned.validity.not_after),
            is_authority: unsigned.is_ca(),
        })
    }

    /// Its alternative names, those that no policy can name last; the first few where there are many.
    pub fn names(&self) -> String {
        const MOST: usize = 8;
        let addresses = self.ip_addresses.iter().map(ToString::to_string);
        let named = self.dns_names.iter().chain(&self.uris).cloned().chain(addresses);
        let mut names: Vec<String> = named.chain(self.other_names.iter().cloned()).collect();
        let more = names.len().saturating_sub(MOST);
        names.truncate(MOST);
        let shown: Vec<String> = names.iter().map(|name| printable(name)).collect();
        match more {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }

    /// Whether it has a name that a policy can name it by.
    pub fn has_usable_name(&self) -> bool {
        self.common_name.is_some() || !self.dns_names.is_empty() || !self.uris.is_empty()
    }

    /// What it says, on one line: subject, names, issuer, dates and public key.
    pub fn described(&self) -> String {
        let subject = match self.subject.as_str() {
            "" => "no subject".to_owned(),
            subject => printable(subject),
        };
        let names = match self.names() {
            none if none.is_empty() => "no alternative names".to_owned(),
            names => format!("names {names}"),
        };
        format!(
            "{subject}, {names}, issued by {issuer}, valid from {from} until {until}, public key {key}",
            issuer = printable(&self.issuer),
            from = self.not_before,
            until = self.not_after,
            key = Hex(&self.spki_sha256),
        )
    }

    /// Whether its dates include `now`, both ends too (RFC 5280, section 4.1.2.5).
    pub fn is_in_date(&self, now: Timestamp) -> bool {
        self.not_before.as_second() <= now.as_second()
            && now.as_second() <= self.not_after.as_second()
    }

    /// The whole days that are left at `now`; below 0 once it has expired.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        const DAY: i64 = 24 * 60 * 60;
        self.not_after.as_second().saturating_sub(now.as_second()).div_euclid(DAY)
    }
}

/// Bytes as lower-case hexadecimal digits: the form of fingerprints and pins.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// SHA-256 of `bytes`.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    out
}

/// Text of a certificate as a terminal and a log show it and do not obey it, and not without end.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 200;
    text.chars().take(LONGEST).fold(String::new(), |mut out, char| {
        if char.is_control() {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
        out
    })
}

/// The alternative names that are compared, and the others, which are shown.
#[derive(Default)]
struct Names {
    dns: Vec<String>,
    uris: Vec<String>,
    addresses: Vec<IpAddr>,
    others: Vec<String>,
}

impl Names {
    #[expect(clippy::wildcard_enum_match_arm, reason = "names of other kinds are not looked at")]
    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) if is_plain(name) => {
                self.dns.push(name.to_ascii_lowercase());
            }
            GeneralName::URI(uri) if is_plain(uri) => self.uris.push((*uri).to_owned()),
            GeneralName::IPAddress(bytes) => self.addresses.extend(address(bytes)),
            other => self.others.push(other_name(other)),
        }
    }
}

/// A name that is shown and never compared.
fn other_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS name {}", name.escape_debug()),
        GeneralName::URI(uri) => format!("URI {}", uri.escape_debug()),
        GeneralName::RFC822Name(address) => format!("e-mail {}", address.escape_debug()),
        GeneralName::DirectoryName(name) => format!("directory name {}", rfc2253(name)),
        GeneralName::RegisteredID(id) => format!("registered number {}", id.to_id_string()),
        GeneralName::OtherName(kind, value) if kind.to_id_string() == UPN => {
            // Behind an explicit tag.
            let value = Any::from_der(value).ok().and_then(|(_, outer)| match outer.tag() {
                Tag::Utf8String => Some(outer.data),
                _ => Any::from_der(outer.data).ok().map(|(_, text)| text.data),
            });
            let text = String::from_utf8_lossy(value.unwrap_or_default());
            format!("UPN {}", text.escape_debug())
        }
        GeneralName::OtherName(kind, _) => {
            format!("other name of the type {}", kind.to_id_string())
        }
        GeneralName::X400Address(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::Invalid(..) => "another name".to_owned(),
    }
}

/// Visible ASCII: what a DNS name or URI is made of.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(address.to_canonical())
}

fn common_name(subject: &X509Name<'_>) -> Option<String> {
    let mut all = subject.iter_common_name();
    match (all.next(), all.next()) {
        (Some(only), None) => text(only).filter(|name| is_unambiguous(name)),
        _ => None,
    }
}

fn is_unambiguous(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

/// A value's text, of the string types that RFC 5280 tells authorities to use. What a TeletexString
/// means depends on who reads it.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    if value.header.is_constructed() {
        return None;
    }
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        Tag::BmpString => bmp(value.data)?.collect(),
        _ => None,
    }
}

/// The digits that OpenSSL's `i2a_ASN1_INTEGER` prints: two for each byte of the number without its
/// sign, a `-` before a negative one.
fn serial(content: &[u8]) -> String {
    let negative = content.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude = content.to_vec();
    if negative {
        // Two's complement: inverted, and one more.
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            let (next, overflows) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (next, overflows);
        }
    }
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let sign = if negative { "-" } else { "" };
    match magnitude.get(zeros..) {
        None | Some([]) => "00".to_owned(),
        Some(digits) => format!("{sign}{}", Hex(digits)).to_ascii_uppercase(),
    }
}

/// A certificate's time. The year 9999 that RFC 5280 gives for "no end" reaches a little beyond what
/// a timestamp can hold, and is clamped to the largest one.
fn timestamp(time: ASN1Time) -> Timestamp {
    let second = time.timestamp();
    let end = if second < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(second).unwrap_or(end)
}

/// The parser's error, without its way of telling how it failed.
fn shown(error: &x509_parser::nom::Err<x509_parser::error::X509Error>) -> String {
    use x509_parser::nom::Err::{Error, Failure, Incomplete};
    match error {
        Incomplete(_) => "it is cut off".to_owned(),
        Error(error) | Failure(error) => error.to_string(),
    }
}

/// Microsoft's user principal name.
const UPN: &str = "1.3.6.1.4.1.311.20.2.3";

#[cfg(test)]
pub(crate) mod tests;
