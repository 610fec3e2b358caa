//! The key by which search terms are hashed, kept with the gateway's state so that a term has the same
//! hash after a restart.

use std::fs;
use std::io;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use crate::access_log::TermKey;
use crate::files::{self, FileFault, Most};

/// Reads the key from `state`, or makes it there. Where that cannot be done a key is made for this run,
/// and a warning says that its hashes will not compare with those of another.
pub fn load_key(state: &Path) -> TermKey {
    let path = state.join(FILE);
    let key = match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(state, &path),
        read => read,
    };
    match key {
        Ok(key) => TermKey::new(&key),
        Err(error) => {
            tracing::warn!(
                "the key for hashes of search terms is not kept in {}: {error}. A term's hash will be \
                 another after a restart. The gateway's user must be able to write there, or remove \
                 the file if it is broken",
                path.display()
            );
            TermKey::new(&random())
        }
    }
}

fn read(path: &Path) -> io::Result<[u8; TermKey::LENGTH]> {
    let bytes = files::read(path, Most::STATE).map_err(|fault| match fault {
        FileFault::Io(error) => error,
        fault @ (FileFault::Irregular(_) | FileFault::TooLarge(_)) => io::Error::other(fault),
    })?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| {
        let wanted = TermKey::LENGTH;
        let bytes = if length == 1 { "byte" } else { "bytes" };
        io::Error::other(format!("it has {length} {bytes}, and a key has {wanted}"))
    })
}

/// Written beside and linked into its place, so that it is there whole or not at all, and of two
/// gateways that make it at once both take the same.
fn make(state: &Path, path: &Path) -> io::Result<[u8; TermKey::LENGTH]> {
    files::make_private_directory(state)?;
    let new = state.join(format!(".{FILE}.{}", std::process::id()));
    let key = random();
    files::replace(&new, &key, 0o600)?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(error),
    }
}

fn random() -> [u8; TermKey::LENGTH] {
    let mut bytes = [0; TermKey::LENGTH];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // The system has no randomness, and TLS would not work either; a key of the clock hides little.
        tracing::error!("the system yields no random bytes; hashes of search terms can be guessed");
    }
    bytes
}

/// The key's file in the state directory: random bytes, for the gateway's user alone.
const FILE: &str = "search-terms.key";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let made = make(&state, &state.join(FILE)).unwrap();
        assert_eq!(make(&state, &state.join(FILE)).unwrap(), made);
        assert_eq!(read(&state.join(FILE)).unwrap(), made);
        assert_ne!(made, [0; TermKey::LENGTH]);
        let mode = fs::metadata(state.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_no_key_is_kept_and_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "short").unwrap();
        let error = read(&directory.path().join(FILE)).unwrap_err();
        assert_eq!(error.to_string(), "it has 5 bytes, and a key has 32");
        let _ = load_key(directory.path());
        assert_eq!(fs::read(directory.path().join(FILE)).unwrap(), b"short");
    }
}
