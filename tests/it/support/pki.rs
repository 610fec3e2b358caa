//! Certificates for tests: authorities, and what they sign, with dates of the test's choice.

use std::{
    fs,
    path::{Path, PathBuf},
};

use phonebook_gateway::x509::{Certificate, Hex};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

/// A private authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) common_name: String,
    pub(crate) dns: Vec<String>,
    pub(crate) uris: Vec<String>,
    pub(crate) usage: ExtendedKeyUsagePurpose,
    pub(crate) serial: u64,
    /// From now on.
    pub(crate) begins: Duration,
    /// From now on.
    pub(crate) ends: Duration,
}

/// A certificate, its authority's where it is not the root, and its key, as PEM.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: Vec<u8>,
}

impl Wanted {
    /// A client's certificate with this common name, valid now and for long.
    pub(crate) fn client(common_name: &str) -> Self {
        Self {
            common_name: common_name.to_owned(),
            dns: Vec::new(),
            uris: Vec::new(),
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            serial: 7,
            begins: -Duration::HOUR,
            ends: 300 * Duration::DAY,
        }
    }

    /// A server's for this name, and for 127.0.0.1.
    pub(crate) fn server(name: &str) -> Self {
        Self {
            dns: vec![name.to_owned()],
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            ..Self::client(name)
        }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(self.dns.clone()).unwrap();
        for uri in &self.uris {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().unwrap()));
        }
        if self.usage == ExtendedKeyUsagePurpose::ServerAuth {
            params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse().unwrap()));
        }
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.extended_key_usages = vec![self.usage.clone()];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from_slice(&self.serial.to_be_bytes()));
        params.not_before = OffsetDateTime::now_utc() + self.begins;
        params.not_after = OffsetDateTime::now_utc() + self.ends;
        params
    }

    /// Signed by its own key.
    pub(crate) fn self_signed(&self) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = self.params().self_signed(&key).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }
}

impl Authority {
    /// An authority with a key of its own.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = authority_params(name).self_signed(&key).unwrap();
        let issuer = Issuer::new(authority_params(name), key);
        Self { pem: certificate.pem(), issuer }
    }

    /// One that this one issued.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        self.intermediate_of(authority_params(name))
    }

    /// The same, with this serial number, valid until so long from now on.
    pub(crate) fn intermediate_until(&self, name: &str, serial: u64, ends: Duration) -> Self {
        let mut params = authority_params(name);
        params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
        params.not_after = OffsetDateTime::now_utc() + ends;
        self.intermediate_of(params)
    }

    fn intermediate_of(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a key of its own.
    pub(crate) fn issue(&self, wanted: &Wanted) -> Issued {
        let key = KeyPair::generate().unwrap();
        self.issue_for(wanted, &key)
    }

    /// A certificate for this key.
    pub(crate) fn issue_for(&self, wanted: &Wanted, key: &KeyPair) -> Issued {
        let certificate = wanted.params().signed_by(key, &self.issuer).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }

    /// A list that revokes these serial numbers, overdue after `ends` from now on.
    pub(crate) fn revocations(&self, serials: &[u64], ends: Duration) -> String {
        let now = OffsetDateTime::now_utc();
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial.to_be_bytes()),
            revocation_time: now - Duration::HOUR,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now - 2 * Duration::DAY,
            next_update: now + ends,
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}.key"));
        replace(&certificate, &self.certificate);
        replace(&key, &self.key);
        (certificate, key)
    }

    /// With the certificate of the authority that signed it behind it.
    pub(crate) fn behind(&self, authority: &Authority) -> Self {
        Self { certificate: format!("{}{}", self.certificate, authority.pem), ..self.clone() }
    }

    /// The public key as a policy pins it.
    pub(crate) fn pin(&self) -> String {
        Hex(&Certificate::read(&self.der).unwrap().spki_sha256).to_string()
    }
}

/// Puts a file in the place of another one at once, as rename(2) does.
pub(crate) fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, file).unwrap();
}
