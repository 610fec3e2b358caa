//! A certificate and its key as files: made new or not at all, and both or none.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::pki::{CertsError, Pair};

/// Where a pair was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The certificate, mode 0644.
    pub certificate: PathBuf,
    /// Its key, mode 0600.
    pub private_key: PathBuf,
}

impl Written {
    /// The files of the pair `name` in `directory`.
    pub(crate) fn named(directory: &Path, name: &str) -> Self {
        let file = |ending: &str| directory.join(format!("{name}.{ending}"));
        Self { certificate: file("pem"), private_key: file("key") }
    }
}

/// Makes `directory` with mode 0750 where there is none; whether it did.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_directory(directory: &Path) -> Result<bool, CertsError> {
    match DirBuilder::new().mode(0o750).create(directory) {
        Ok(()) => Ok(true),
        Err(_) if directory.is_dir() => Ok(false),
        Err(error) => Err(CertsError::Write { file: directory.to_owned(), error }),
    }
}

/// Writes `NAME.key` and then `NAME.pem`. Where either is there already nothing is touched, and where
/// the certificate cannot be written the key is taken away again.
///
/// # Errors
/// A file is there, or cannot be written.
pub(crate) fn write_pair(directory: &Path, name: &str, pair: &Pair) -> Result<Written, CertsError> {
    let written = Written::named(directory, name);
    for file in [&written.certificate, &written.private_key] {
        if file.symlink_metadata().is_ok() {
            return Err(CertsError::Exists(file.clone()));
        }
    }
    write_new(&written.private_key, &pair.key_pem, 0o600)?;
    if let Err(error) = write_new(&written.certificate, &pair.certificate_pem, 0o644) {
        // It was made a moment ago, and by nobody else.
        let _ = fs::remove_file(&written.private_key);
        return Err(error);
    }
    Ok(written)
}

fn write_new(file: &Path, text: &str, mode: u32) -> Result<(), CertsError> {
    let fault = |error: io::Error| {
        let file = file.to_owned();
        if error.kind() == io::ErrorKind::AlreadyExists {
            CertsError::Exists(file)
        } else {
            CertsError::Write { file, error }
        }
    };
    let mut new =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(file).map_err(fault)?;
    let written = new
        .write_all(text.as_bytes())
        // The umask may have taken something away, and never adds anything.
        .and_then(|()| new.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| new.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(file);
        fault(error)
    })
}

/// The name of the authority's files, without `.pem` and `.key`.
pub(crate) const AUTHORITY: &str = "ca";
