//! What XiVO's certificate says, for people. Nothing in it has been verified.

use std::fmt;

use crate::x509::{Certificate, Fingerprint, printable};

/// What is shown of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// What it says; `None` where it cannot be read.
    pub read: Option<Certificate>,
    /// Of all of it.
    pub sha256: Fingerprint,
}

impl CertificateFacts {
    /// Reads the certificate `der`; where it cannot be read, its fingerprint alone is known.
    pub fn of(der: &[u8]) -> Self {
        Self { read: Certificate::read(der).ok(), sha256: Fingerprint::of(der) }
    }

    /// Whether it says that it is an authority's.
    pub fn is_authority(&self) -> bool {
        self.read.as_ref().is_some_and(|read| read.is_authority)
    }

    /// What there is to say, each with its name.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let sha256 = ("SHA-256", self.sha256.to_string());
        let Some(read) = &self.read else {
            return vec![("subject", "(unreadable)".to_owned()), sha256];
        };
        let addresses = read.ip_addresses.iter().map(ToString::to_string);
        let names: Vec<String> = read.dns_names.iter().cloned().chain(addresses).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        vec![
            ("subject", printable(&read.subject)),
            ("issuer", printable(&read.issuer)),
            ("names", printable(&names)),
            ("valid", format!("{} to {}", read.not_before, read.not_after)),
            sha256,
        ]
    }
}

/// One line, for a log.
impl fmt::Display for CertificateFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.lines().iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {value}")?;
        }
        Ok(())
    }
}
