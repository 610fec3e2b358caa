//! What a certificate says, for people.

use std::fmt;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::fingerprint::Fingerprint;

/// What is shown of a certificate. Nothing in it has been verified.
#[derive(Clone, Debug)]
pub struct CertificateFacts {
    /// Its own name, such as `CN=xivo`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The DNS names and addresses that it is for.
    pub names: Vec<String>,
    /// From when on it is valid.
    pub not_before: String,
    /// Until when it is valid.
    pub not_after: String,
    /// Whether it is an authority's.
    pub is_authority: bool,
    /// Of all of it.
    pub sha256: Fingerprint,
}

impl CertificateFacts {
    /// Reads the certificate `der`; where it cannot be read, its fingerprint alone is known.
    pub fn of(der: &[u8]) -> Self {
        let sha256 = Fingerprint::of(der);
        let unknown = || "(unreadable)".to_owned();
        let Ok((_, read)) = X509Certificate::from_der(der) else {
            return Self {
                subject: unknown(),
                issuer: unknown(),
                names: Vec::new(),
                not_before: unknown(),
                not_after: unknown(),
                is_authority: false,
                sha256,
            };
        };
        let names = read.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|extension| &extension.value.general_names);
        let date = |seconds| match jiff::Timestamp::from_second(seconds) {
            Ok(time) => time.to_string(),
            Err(_) => unknown(),
        };
        Self {
            subject: printable(&read.subject().to_string()),
            issuer: printable(&read.issuer().to_string()),
            names: names.filter_map(name).collect(),
            not_before: date(read.validity().not_before.timestamp()),
            not_after: date(read.validity().not_after.timestamp()),
            is_authority: read.is_ca(),
            sha256,
        }
    }
}

/// One line, for a log.
impl fmt::Display for CertificateFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, issuer, names, not_before, not_after, sha256, .. } = self;
        write!(f, "subject \"{subject}\", issuer \"{issuer}\", ")?;
        match names.as_slice() {
            [] => f.write_str("without names")?,
            names => write!(f, "for {}", names.join(", "))?,
        }
        write!(f, ", valid {not_before} to {not_after}, SHA-256 {sha256}")
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref bytes => {
                let bytes: [u8; 16] = bytes.try_into().ok()?;
                Some(std::net::Ipv6Addr::from(bytes).to_string())
            }
        },
        _ => None,
    }
}

/// Text from the far side as a terminal shows it and does not obey it, and not without end.
fn printable(text: &str) -> String {
    text.chars().take(LONGEST).flat_map(char::escape_debug).collect()
}

const LONGEST: usize = 200;
