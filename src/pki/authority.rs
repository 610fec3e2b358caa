//! A private certificate authority, and what it signs.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use x509_parser::time::ASN1Time;

use crate::files::Most;
use crate::pki::{CertsError, For, ServerName, inventory};
use crate::tls::{self, Material};
use crate::x509::{Certificate, Hex};

/// A certificate and its private key.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The key in PEM (PKCS#8).
    pub key_pem: String,
    /// What the certificate says.
    pub certificate: Certificate,
}

/// An authority that can sign.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
    not_after: Timestamp,
}

impl Authority {
    /// Makes a new authority; `name` is for people. Where none is given it ends in random digits, so that
    /// two authorities are told apart.
    ///
    /// # Errors
    /// There are no random numbers, or `name` cannot be written in a certificate.
    pub(crate) fn create(
        name: Option<&str>,
        days: u32,
        now: Timestamp,
    ) -> Result<Pair, CertsError> {
        let key = KeyPair::generate().map_err(making)?;
        let mut params = params(now, end(now, days))?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => format!("phonebook-gateway CA {}", Hex(&random::<4>()?)),
        };
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        pair(&params.self_signed(&key).map_err(making)?, &key)
    }

    /// Opens the authority whose certificate and key are in these files.
    ///
    /// # Errors
    /// They are missing, do not belong together, or are no authority.
    pub(crate) fn open(certificate: &Path, private_key: &Path) -> Result<Self, CertsError> {
        for file in [certificate, private_key] {
            if file.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
                return Err(CertsError::NoAuthority(file.to_owned()));
            }
        }
        let read = read_pair(certificate, private_key)?;
        if !read.is_authority {
            return Err(CertsError::NotAnAuthority(certificate.to_owned()));
        }
        let unusable =
            |file: &Path, why| CertsError::Unusable(tls::LoadError { file: file.to_owned(), why });
        let text = tls::read_pem(private_key, Most::TEXT)?;
        let text = String::from_utf8(text)
            .map_err(|error| unusable(private_key, format!("it is no PEM file: {error}")))?;
        let key = KeyPair::from_pem(&text).map_err(|error| {
            unusable(private_key, format!("nothing can be signed with this key: {error}"))
        })?;
        let chain = tls::read_certificates(certificate)?;
        let first = chain.first().ok_or_else(|| CertsError::NoAuthority(certificate.to_owned()))?;
        let issuer = Issuer::from_ca_cert_der(first, key)
            .map_err(|error| unusable(certificate, error.to_string()))?;
        Ok(Self { issuer, file: certificate.to_owned(), not_after: read.not_after })
    }

    /// Makes a key and signs a certificate for it. It ends with the authority at the latest.
    ///
    /// # Errors
    /// The authority ends within a day, or there are no random numbers.
    pub(crate) fn issue(&self, what: &For, days: u32, now: Timestamp) -> Result<Pair, CertsError> {
        if self.not_after < end(now, 1) {
            return Err(CertsError::Expired { file: self.file.clone(), until: self.not_after });
        }
        let key = KeyPair::generate().map_err(making)?;
        let mut params = params(now, end(now, days).min(self.not_after))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let (common_name, names, usage) = match what {
            For::Server(names) => (
                names.first().map(ToString::to_string).unwrap_or_default(),
                names.clone(),
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
            For::Peer(name) => {
                // Peers' names are not all host names: `site_2` is none.
                let host = ServerName::new(name.as_str()).ok();
                let host = host.filter(|host| matches!(host, ServerName::Dns(_)));
                let names = host.into_iter().collect();
                (name.to_string(), names, ExtendedKeyUsagePurpose::ClientAuth)
            }
        };
        params.extended_key_usages = vec![usage];
        // X.520 gives a common name 64 characters; the alternative names have no such limit.
        if common_name.chars().count() <= 64 {
            params.distinguished_name.push(DnType::CommonName, common_name);
        }
        for name in names {
            params.subject_alt_names.push(match name {
                ServerName::Dns(name) => SanType::DnsName(name.try_into().map_err(making)?),
                ServerName::Ip(address) => SanType::IpAddress(address),
            });
        }
        pair(&params.signed_by(&key, &self.issuer).map_err(making)?, &key)
    }
}

/// Reads a certificate with its key, as a listener would.
fn read_pair(certificate: &Path, private_key: &Path) -> Result<Certificate, CertsError> {
    let missing = || CertsError::NoAuthority(certificate.to_owned());
    match Material::load(&inventory::pair(certificate, private_key)) {
        Ok(material) => {
            material.keys.into_iter().next().map(|(l, _)| l.certificate).ok_or_else(missing)
        }
        Err(errors) => Err(errors.into_iter().next().map_or_else(missing, CertsError::Unusable)),
    }
}

fn params(now: Timestamp, not_after: Timestamp) -> Result<CertificateParams, CertsError> {
    let time = |timestamp: Timestamp| {
        ASN1Time::from_timestamp(timestamp.as_second())
            .map(|time| time.to_datetime())
            .map_err(|error| CertsError::Making(error.to_string()))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = time(now.checked_sub(SLOW_CLOCKS).unwrap_or(now))?;
    params.not_after = time(not_after)?;
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// `days` after `now`.
fn end(now: Timestamp, days: u32) -> Timestamp {
    now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MAX)
}

/// 128 random bits. A number whose first bit were set would be negative: rcgen puts a zero byte before it.
fn serial() -> Result<SerialNumber, CertsError> {
    Ok(SerialNumber::from_slice(&random::<16>()?))
}

fn random<const N: usize>() -> Result<[u8; N], CertsError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| CertsError::Making("the system gives no random numbers".to_owned()))?;
    Ok(bytes)
}

fn pair(certificate: &rcgen::Certificate, key: &KeyPair) -> Result<Pair, CertsError> {
    let read = Certificate::read(certificate.der())
        .map_err(|error| CertsError::Making(error.to_string()))?;
    Ok(Pair { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), certificate: read })
}

fn making(error: rcgen::Error) -> CertsError {
    CertsError::Making(error.to_string())
}

/// How long an authority is valid unless something else was asked for.
pub(crate) const AUTHORITY_DAYS: u32 = 3650;

/// How long what it signs is valid unless something else was asked for: the most that clients which
/// limit it accept of a private authority.
pub(crate) const LEAF_DAYS: u32 = 825;

/// Clocks that are slow by less than this see a new certificate as valid.
const SLOW_CLOCKS: SignedDuration = SignedDuration::from_hours(1);
