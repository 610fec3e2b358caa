//! The certificates of a trial: an authority, the listener's pair, the honest peer's.

use std::fs;
use std::io;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::net::SERVER_NAME;

/// The name in the honest peer's certificate, which its policy asks for.
pub(crate) const HONEST_NAME: &str = "honest-cert";

/// A certificate and its key, as PEM.
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) certificate: String,
    /// Its private key.
    pub(crate) key: String,
}

/// A private authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, as PEM.
    pub(crate) pem: String,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Result<Self, String> {
        let key = KeyPair::generate().map_err(making)?;
        let params = || -> Result<CertificateParams, String> {
            let mut params = CertificateParams::new(Vec::new()).map_err(making)?;
            params.distinguished_name.push(DnType::CommonName, "soak");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            Ok(params)
        };
        let pem = params()?.self_signed(&key).map_err(making)?.pem();
        Ok(Self { issuer: Issuer::new(params()?, key), pem })
    }

    /// A certificate for the listener, with a key of its own.
    pub(crate) fn server(&self) -> Result<Issued, String> {
        self.issue(SERVER_NAME, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for the honest peer.
    pub(crate) fn client(&self) -> Result<Issued, String> {
        self.issue(HONEST_NAME, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Result<Issued, String> {
        let key = KeyPair::generate().map_err(making)?;
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(making)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &self.issuer).map_err(making)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn making(error: rcgen::Error) -> String {
    format!("making a certificate: {error}")
}

/// Puts a file in the place of another one at once.
pub(crate) fn replace(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, file)
}
