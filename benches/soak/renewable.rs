//! The listener's certificate and key, which can be renewed while the gateway runs.

use std::path::PathBuf;

use super::pki::{Authority, replace};

/// A pair of files that the listener reads.
pub(crate) struct Renewable {
    /// Who signs.
    pub(crate) authority: Authority,
    /// The certificate's file.
    pub(crate) certificate: PathBuf,
    /// The private key's file.
    pub(crate) key: PathBuf,
}

impl Renewable {
    /// Puts a new certificate with a new key in the place of the present ones.
    pub(crate) fn renew(&self) -> Result<(), String> {
        let issued = self.authority.server()?;
        replace(&self.certificate, &issued.certificate)
            .and_then(|()| replace(&self.key, &issued.key))
            .map_err(|error| format!("writing {}: {error}", self.certificate.display()))
    }
}
