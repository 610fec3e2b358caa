//! A listener's certificates, keys, authority and revocation list, as they are in files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::ClientAuthority;
use super::usable::{self, KeySide};
use crate::files::{self, Most, Stamp};
use crate::location::Location;
use crate::x509::{Certificate, RevocationList};

/// What `tls` of a `[[listen]]` says.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// This gateway's certificates; at least one.
    pub certificates: Vec<KeyPair>,
    /// The authorities that issue clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// What they have revoked.
    pub crl: Option<PathBuf>,
    /// Where it stands.
    pub location: Location,
}

impl TlsSettings {
    /// All files that are named.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs =
            self.certificates.iter().flat_map(|pair| [&pair.certificate, &pair.private_key]);
        pairs.chain(&self.client_ca).chain(&self.crl).map(PathBuf::as_path)
    }
}

/// The files of a certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The certificate, and the intermediate ones that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

/// A file of a listener's cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct LoadError {
    /// The file that it was read from.
    pub file: PathBuf,
    /// What is wrong with it, and what it should be.
    pub why: String,
}

/// All that a TLS listener needs of its files, read and found to fit together.
#[derive(Debug)]
pub struct Material {
    /// This gateway's certificates, in the order written.
    pub keys: Vec<(Loaded, Arc<CertifiedKey>)>,
    /// The authorities that issue clients' certificates.
    pub authority: ClientAuthority,
    /// The certificates in `client_ca`.
    pub client_ca: Vec<Loaded>,
    /// The file of revocation lists, and when the first of them is to be replaced at the latest.
    pub crl_next_update: Option<(PathBuf, Timestamp)>,
    /// The files as they were just before they were read, in the order of [`TlsSettings::files`].
    pub stamps: Vec<Option<Stamp>>,
}

/// A certificate, and the file that it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file that it was read from.
    pub file: PathBuf,
    /// What it says.
    pub certificate: Certificate,
}

impl Loaded {
    /// What to say of it at `now` where it has expired, or will within [`EXPIRY_NOTICE`].
    pub fn expiry_warning(&self, now: Timestamp) -> Option<String> {
        let Self { file, certificate } = self;
        let left = certificate.not_after.duration_since(now);
        if left > EXPIRY_NOTICE {
            return None;
        }
        let (subject, until) = (&certificate.subject, certificate.not_after);
        Some(if left.is_negative() {
            format!("the certificate {subject} in {} has expired at {until}", file.display())
        } else {
            let days = left.as_hours() / 24;
            format!(
                "the certificate {subject} in {} expires in {days} {}, at {until}",
                file.display(),
                if days == 1 { "day" } else { "days" }
            )
        })
    }
}

impl Material {
    /// Reads the files that `settings` name.
    ///
    /// # Errors
    /// Every file that has a fault, with the fault.
    pub fn load(settings: &TlsSettings) -> Result<Self, Vec<LoadError>> {
        let stamps = settings.files().map(Stamp::of).collect();
        let mut errors = Vec::new();
        let mut keep = |error: LoadError| errors.push(error);
        let keys: Vec<_> = settings
            .certificates
            .iter()
            .filter_map(|pair| {
                certified_key(&pair.certificate, &pair.private_key).map_err(&mut keep).ok()
            })
            .collect();
        let authority = authority(settings);
        match authority {
            Ok((authority, client_ca, crl_next_update)) if errors.is_empty() => {
                Ok(Self { keys, authority, client_ca, crl_next_update, stamps })
            }
            Ok(_) => Err(errors),
            Err(error) => {
                errors.push(error);
                Err(errors)
            }
        }
    }
}

fn certified_key(
    certificate: &Path,
    private_key: &Path,
) -> Result<(Loaded, Arc<CertifiedKey>), LoadError> {
    let fault = |file: &Path, why: String| LoadError { file: file.to_owned(), why };
    let chain = read_certificates(certificate)?;
    let leaf = leaf(certificate, &chain)?;
    let key = read_pem(private_key, Most::TEXT)?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| fault(private_key, no_key(&key, &error)))?;
    let provider = ring::default_provider();
    let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
        let why = if matches!(error, rustls::Error::InconsistentKeys(_)) {
            format!("this key is not that of the certificate in {}", certificate.display())
        } else {
            // The certificate's key is one that can be used.
            format!(
                "this key cannot be used, and is not that of the certificate in {}: {error}",
                certificate.display()
            )
        };
        fault(private_key, why)
    })?;
    Ok((leaf, Arc::new(certified)))
}

/// The first certificate of a chain, which this gateway shows with its key.
fn leaf(file: &Path, chain: &[CertificateDer<'_>]) -> Result<Loaded, LoadError> {
    let fault = |why: String| LoadError { file: file.to_owned(), why };
    let first = chain.first().ok_or_else(|| fault("it holds no certificate".to_owned()))?;
    usable::check(first, KeySide::Gateway)
        .map_err(|error| fault(format!("this certificate cannot be used: {error}")))?;
    let certificate = Certificate::read(first).map_err(|error| fault(error.to_string()))?;
    Ok(Loaded { file: file.to_owned(), certificate })
}

/// What a PEM file without a usable key holds instead.
fn no_key(pem: &[u8], error: &pem::Error) -> String {
    const FORMS: &str = "needed is a PEM private key in PKCS#8, SEC1 or PKCS#1";
    let has = |what: &[u8]| memchr::memmem::find(pem, what).is_some();
    // Of PKCS#8, and of PKCS#1 and SEC1, whose encryption stands in a header (RFC 1421).
    if has(b"ENCRYPTED PRIVATE KEY") || has(b"4,ENCRYPTED") {
        return format!(
            "this key is encrypted, and nobody is there to type its passphrase; {FORMS} \
             (`openssl pkey -in OLD -out NEW` takes the passphrase off)"
        );
    }
    if matches!(error, pem::Error::NoItemsFound) {
        format!("it holds no private key; {FORMS}")
    } else {
        format!("it is no PEM file: {error}; {FORMS}")
    }
}

/// The certificates in a PEM file, in their order; at least one.
///
/// # Errors
/// The file cannot be read, or is no such file.
pub(crate) fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let fault = |why: String| LoadError { file: file.to_owned(), why };
    let text = read_pem(file, Most::TEXT)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates =
        certificates.map_err(|error| fault(format!("it is no PEM file: {error}")))?;
    if certificates.is_empty() {
        let why = "it holds no certificate; needed is PEM, with -----BEGIN CERTIFICATE-----";
        return Err(fault(why.to_owned()));
    }
    Ok(certificates)
}

/// What clients' certificates are judged by, and what is told of it.
type Authority = (ClientAuthority, Vec<Loaded>, Option<(PathBuf, Timestamp)>);

fn authority(settings: &TlsSettings) -> Result<Authority, LoadError> {
    let mut client_ca = Vec::new();
    let mut authorities = Vec::new();
    let mut next_update = None;
    let mut crls: Vec<CertificateRevocationListDer<'static>> = Vec::new();
    if let Some(file) = &settings.client_ca {
        authorities = read_certificates(file)?;
        for der in &authorities {
            let fault = |why: String| LoadError { file: file.clone(), why };
            usable::check_authority(der)
                .map_err(|error| fault(format!("this is no authority's certificate: {error}")))?;
            let certificate = Certificate::read(der).map_err(|error| fault(error.to_string()))?;
            client_ca.push(Loaded { file: file.clone(), certificate });
        }
    }
    if let Some(file) = &settings.crl {
        let fault = |why: String| LoadError { file: file.clone(), why };
        let text = read_pem(file, Most::REVOCATIONS)?;
        let lists: Result<_, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
        crls = lists.map_err(|error| fault(format!("it is no PEM file: {error}")))?;
        if crls.is_empty() {
            let why = "it holds no revocation list; needed is PEM, with -----BEGIN X509 CRL-----";
            return Err(fault(why.to_owned()));
        }
        let read = crls.iter().filter_map(|list| RevocationList::read(list).ok());
        let first = read.filter_map(|list| list.next_update).min();
        next_update = first.map(|next| (file.clone(), next));
    }
    let named = settings.crl.as_ref().or(settings.client_ca.as_ref()).cloned();
    let authority = ClientAuthority::new(&authorities, crls)
        .map_err(|why| LoadError { file: named.unwrap_or_default(), why })?;
    Ok((authority, client_ca, next_update))
}

/// The PEM text of a file, without the byte order marks that editors put at its begin and `cat` then
/// leaves in the middle: a line with one begins no block. In PEM they mean nothing.
///
/// # Errors
/// The file cannot be read, or has more bytes than `most`.
pub(crate) fn read_pem(file: &Path, most: Most) -> Result<Vec<u8>, LoadError> {
    let text = read(file, most)?;
    if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
        let why = "it is a text in UTF-16, and PEM is ASCII: save it again as ASCII or UTF-8";
        return Err(LoadError { file: file.to_owned(), why: why.to_owned() });
    }
    Ok(without_marks(text))
}

fn without_marks(text: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    if memchr::memmem::find(&text, MARK).is_none() {
        return text;
    }
    let mut kept = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some(at) = memchr::memmem::find(rest, MARK) {
        let (before, after) = rest.split_at(at);
        kept.extend_from_slice(before);
        rest = after.strip_prefix(MARK).unwrap_or(after);
    }
    kept.extend_from_slice(rest);
    kept
}

fn read(file: &Path, most: Most) -> Result<Vec<u8>, LoadError> {
    files::read(file, most).map_err(|fault| {
        let why = match fault.kind() {
            Some(io::ErrorKind::PermissionDenied) => {
                format!("{fault}; {}", files::how_to_open(file))
            }
            _ => fault.to_string(),
        };
        LoadError { file: file.to_owned(), why }
    })
}

/// How long before its end a certificate is spoken of.
pub(crate) const EXPIRY_NOTICE: SignedDuration = SignedDuration::from_hours(14 * 24);
