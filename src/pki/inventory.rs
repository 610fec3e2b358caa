//! Which certificates are there, for whom, and until when.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::config::Config;
use crate::files::{self, Most};
use crate::identity::certificate::PresentedCertificate;
use crate::location::Location;
use crate::policy::{CertificateRule, Policy};
use crate::tls::{self, EXPIRY_NOTICE, KeySide, Material, TlsSettings};
use crate::x509::{Certificate, RevocationList};

/// A certificate or revocation list in a file, or what is wrong with the file.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The file that it was read from.
    pub file: PathBuf,
    /// What the configuration uses it for, or whose it is. Empty: nothing names it.
    pub purposes: Vec<String>,
    /// What it holds.
    pub holding: Holding,
    /// Why no handshake can go by the certificate, or nothing be verified by it, if it is an authority's.
    pub fault: Option<String>,
    /// The key that belongs to it, where there is one.
    pub key: Option<Key>,
}

/// What a file holds at a place.
#[derive(Clone, Debug)]
pub(crate) enum Holding {
    /// A certificate, of whatever purpose.
    Certificate {
        /// What it says.
        certificate: Box<Certificate>,
        /// Which one of the file's, counted from 1.
        number: usize,
        /// How many the file has.
        of: usize,
    },
    /// A revocation list.
    Revocations(RevocationList),
    /// Nothing but a SHA-256 in the configuration; the certificate is elsewhere.
    Pin {
        /// Whether it is that of a public key, and not of a certificate.
        of_key: bool,
        /// The SHA-256.
        sha256: [u8; 32],
    },
    /// Nothing that can be used, and why.
    Broken(String),
}

/// A private key's file.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The file that it was read from.
    pub file: PathBuf,
    /// Whether it is the certificate's.
    pub state: KeyState,
}

/// Whether a key is the certificate's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// The key belongs to the certificate.
    Belongs,
    /// It is, and everybody on this host may read it: the file's mode.
    Exposed(u32),
    /// This user may not read it, so nothing is known.
    Unread,
    /// The certificate cannot be used with any key, so nothing is known.
    Uncompared,
    /// It is not, or cannot be used: why.
    Broken(String),
}

/// What there is to say of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is wrong with it.
    Valid,
    /// It ends within 14 days.
    ExpiresSoon,
    /// It has ended. A revocation list has, once the next one is due.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// It, or its key, cannot be used or should not be.
    Broken,
}

impl State {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::ExpiresSoon => "expires-soon",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Broken => "broken",
        }
    }

    /// Whether somebody has to do something now.
    pub(crate) fn is_finding(self) -> bool {
        matches!(self, Self::Expired | Self::NotYetValid | Self::Broken)
    }
}

impl Row {
    /// What there is to say of it at `now`.
    pub(crate) fn state(&self, now: Timestamp) -> State {
        let soon = |end: Timestamp| {
            if end.duration_since(now) <= EXPIRY_NOTICE { State::ExpiresSoon } else { State::Valid }
        };
        if self.fault.is_some() {
            return State::Broken;
        }
        let dates = match &self.holding {
            Holding::Broken(_) => State::Broken,
            Holding::Pin { .. } => State::Valid,
            Holding::Certificate { certificate, .. } => match certificate.is_in_date(now) {
                true => soon(certificate.not_after),
                false if now < certificate.not_before => State::NotYetValid,
                false => State::Expired,
            },
            // Lists are reissued far more often than every 14 days.
            Holding::Revocations(list) => match list.next_update {
                Some(end) if end < now => State::Expired,
                _ if now < list.this_update => State::NotYetValid,
                _ => State::Valid,
            },
        };
        let key = self.key.as_ref().map(|key| &key.state);
        match key {
            Some(KeyState::Broken(_) | KeyState::Exposed(_)) => State::Broken,
            _ => dates,
        }
    }

    fn certificate(&self) -> Option<&Certificate> {
        match &self.holding {
            Holding::Certificate { certificate, .. } => Some(certificate),
            Holding::Revocations(_) | Holding::Pin { .. } | Holding::Broken(_) => None,
        }
    }
}

/// The certificates and revocation lists of a directory, by name: files that end in `.pem`, `.crt`,
/// `.cer` or `.crl`. Files with nothing but private keys are passed over.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let file = entry?.path();
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if ["pem", "crt", "cer", "crl"].contains(&ending) && file.is_file() && !is_key(&file) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether the file holds a private key and no certificate.
fn is_key(file: &Path) -> bool {
    let Ok(text) = files::read(file, Most::REVOCATIONS) else { return false };
    let has = |what: &str| memchr::memmem::find(&text, what.as_bytes()).is_some();
    has("PRIVATE KEY-----") && !has("BEGIN CERTIFICATE") && !has("BEGIN X509 CRL")
}

/// What these files hold; a certificate's key is the file beside it that ends in `.key`.
pub(crate) fn of_files(files: &[PathBuf]) -> Vec<Row> {
    files.iter().flat_map(|file| rows(file, beside(file).as_deref(), Role::Client)).collect()
}

/// What the configuration uses, and what lies in `directory` beside that.
pub(crate) fn of_config(config: &Config, directory: &Path) -> Vec<Row> {
    let mut used: BTreeMap<&Path, Used<'_>> = BTreeMap::new();
    for listener in &config.listeners {
        let Some(tls) = &listener.tls else { continue };
        let on = format!("{} ({})", listener.address, listener.location);
        for pair in &tls.certificates {
            let used = used.entry(&pair.certificate).or_default();
            used.key = Some(&pair.private_key);
            used.role = Role::Gateway;
            used.purposes.push(format!("listener {on}"));
        }
        for (file, what) in [(&tls.client_ca, "clients' authority"), (&tls.crl, "revocations")] {
            if let Some(file) = file {
                let used = used.entry(file).or_default();
                used.purposes.push(format!("{what} of listener {on}"));
                used.role = Role::Authority;
            }
        }
    }
    let upstream = &config.upstream;
    let xivo = format!("of XiVO ({})", upstream.location);
    if let Some(file) = &upstream.ca {
        let used = used.entry(file).or_default();
        used.purposes.push(format!("authority {xivo}"));
        used.role = Role::Authority;
    }
    // A file may be named in two ways.
    let known: Vec<PathBuf> = used.keys().filter_map(|file| file.canonicalize().ok()).collect();
    let mut others = files_in(directory).unwrap_or_default();
    others.retain(|file| file.canonicalize().is_ok_and(|file| !known.contains(&file)));
    for file in &others {
        used.entry(file).or_default();
    }
    let mut all = Vec::new();
    for (file, Used { key, purposes, role }) in used {
        let key = key.map(Path::to_owned).or_else(|| beside(file));
        for mut row in rows(file, key.as_deref(), role) {
            row.purposes.clone_from(&purposes);
            if purposes.is_empty() {
                row.purposes = peers(config, &row);
            }
            all.push(row);
        }
    }
    for pin in &upstream.pins {
        add_pin(&mut all, &upstream.location, false, pin.bytes(), format!("certificate {xivo}"));
    }
    for policy in &config.policies {
        let Some(rule) = &policy.certificate else { continue };
        for &pin in &rule.public_key_sha256 {
            add_pin(&mut all, &rule.location, true, pin, peer(policy, rule));
        }
    }
    // What is in use comes first.
    all.sort_by_key(|row| row.purposes.is_empty());
    all
}

/// Adds a row for a pin whose certificate is in none of the files, and its purpose to that of one
/// which is.
fn add_pin(
    all: &mut Vec<Row>,
    location: &Location,
    of_key: bool,
    sha256: [u8; 32],
    purpose: String,
) {
    let is_it = |row: &Row| {
        row.certificate().is_some_and(|certificate| {
            if of_key { certificate.spki_sha256 == sha256 } else { certificate.sha256 == sha256 }
        })
    };
    match all.iter_mut().find(|row| is_it(row)) {
        Some(row) if row.purposes.contains(&purpose) => {}
        Some(row) => row.purposes.push(purpose),
        None => all.push(Row {
            file: location.file().to_owned(),
            purposes: vec![purpose],
            holding: Holding::Pin { of_key, sha256 },
            fault: None,
            key: None,
        }),
    }
}

/// How a peer is named whose policy names a certificate.
fn peer(policy: &Policy, rule: &CertificateRule) -> String {
    format!("peer {} ({})", policy.name, rule.location)
}

/// What the configuration says of a file.
#[derive(Default)]
struct Used<'c> {
    key: Option<&'c Path>,
    purposes: Vec<String>,
    role: Role,
}

/// Whose a file's first certificate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    /// A client's, as far as is known.
    #[default]
    Client,
    /// A listener's.
    Gateway,
    /// An authority's, and so are those behind it.
    Authority,
}

impl Role {
    /// Why the certificate at this place of its file cannot be what it is for. Certificates that lead
    /// from one to its authority are judged with it, request by request.
    fn fault(self, at: usize, der: &CertificateDer<'_>) -> Option<String> {
        let checked = match (self, at) {
            (Self::Authority, _) => tls::check_authority(der),
            (Self::Gateway, 0) => tls::check(der, KeySide::Gateway),
            (Self::Client, 0) => tls::check(der, KeySide::Client),
            _ => Ok(()),
        };
        let as_what = match self {
            Self::Authority => "nothing can be verified by it",
            Self::Gateway => "no listener can use it",
            Self::Client => "no client is let in with it",
        };
        checked.err().map(|fault| format!("{as_what}: {fault}"))
    }
}

/// The peers whose policies name the certificate, if a trusted authority issued it where they need one.
fn peers(config: &Config, row: &Row) -> Vec<String> {
    let Some(certificate) = row.certificate() else { return Vec::new() };
    let shown = PresentedCertificate { certificate, trust: Ok(()) };
    let policies = config.policies.iter();
    policies
        .filter_map(|policy| Some((policy, policy.certificate.as_ref()?)))
        .filter(|(_, rule)| shown.satisfies(rule).is_ok())
        .map(|(policy, rule)| peer(policy, rule))
        .collect()
}

/// The file beside a certificate's that has its key, if there is one.
fn beside(file: &Path) -> Option<PathBuf> {
    let key = file.with_extension("key");
    key.is_file().then_some(key)
}

fn rows(file: &Path, key: Option<&Path>, role: Role) -> Vec<Row> {
    let row = |holding, fault, key| Row {
        file: file.to_owned(),
        purposes: Vec::new(),
        holding,
        fault,
        key,
    };
    if let Some(lists) = revocations(file) {
        return lists.into_iter().map(|holding| row(holding, None, None)).collect();
    }
    let chain = match tls::read_certificates(file) {
        Ok(chain) => chain,
        Err(error) => return vec![row(Holding::Broken(error.why), None, None)],
    };
    let of = chain.len();
    let holding = |(at, der): (usize, &CertificateDer<'_>)| {
        let key = key
            .filter(|_| at == 0)
            .map(|key| Key { file: key.to_owned(), state: key_state(file, key) });
        match Certificate::read(der) {
            Ok(certificate) => row(
                Holding::Certificate { certificate: Box::new(certificate), number: at + 1, of },
                role.fault(at, der),
                key,
            ),
            Err(error) => row(Holding::Broken(error.to_string()), None, key),
        }
    };
    chain.iter().enumerate().map(holding).collect()
}

/// The revocation lists of a file, or `None` where it has none.
fn revocations(file: &Path) -> Option<Vec<Holding>> {
    let text = tls::read_pem(file, Most::REVOCATIONS).ok()?;
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&text).flatten().collect();
    let holding = |list: &CertificateRevocationListDer<'_>| match RevocationList::read(list) {
        Ok(list) => Holding::Revocations(list),
        Err(error) => Holding::Broken(error.to_string()),
    };
    (!lists.is_empty()).then(|| lists.iter().map(holding).collect())
}

/// Whether a listener could use the key with the certificate.
fn key_state(certificate: &Path, private_key: &Path) -> KeyState {
    let opened = files::open(private_key);
    let mode = match opened.and_then(|file| Ok(file.metadata()?)) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(fault) if fault.kind() == Some(io::ErrorKind::PermissionDenied) => {
            return KeyState::Unread;
        }
        Err(_) => 0,
    };
    match Material::load(&pair(certificate, private_key)) {
        Ok(_) if mode & 0o007 != 0 => KeyState::Exposed(mode),
        Ok(_) => KeyState::Belongs,
        Err(errors) if errors.iter().all(|error| error.file == certificate) => KeyState::Uncompared,
        Err(errors) => KeyState::Broken(errors.into_iter().map(|error| error.why).collect()),
    }
}

/// The settings of a listener with one certificate.
pub(super) fn pair(certificate: &Path, private_key: &Path) -> TlsSettings {
    TlsSettings {
        certificates: vec![tls::KeyPair {
            certificate: certificate.to_owned(),
            private_key: private_key.to_owned(),
        }],
        client_ca: None,
        crl: None,
        location: Location::new(Arc::new(certificate.to_owned()), 1),
    }
}
