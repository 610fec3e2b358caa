//! Peers that were switched off, in a file: a restart lets none of them in.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::{self, FileFault, Most};
use crate::identity::disabled::{Administrator, DisabledPeer, DisabledPeers};
use crate::policy::PeerName;

/// The file, `disabled.json` in the state directory.
#[derive(Clone, Debug)]
pub struct DisabledFile {
    file: PathBuf,
}

/// The file cannot be read, or is not what this program writes.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: {why}. It says which peers are switched off, and none of them is to be let in by mistake: {remedy}",
    file.display()
)]
pub struct DisabledFileError {
    file: PathBuf,
    why: String,
    remedy: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u32,
    peers: Vec<WrittenPeer>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenPeer {
    name: String,
    since: Timestamp,
    until: Option<Timestamp>,
    why: String,
    by: String,
    uid: Option<u32>,
}

impl DisabledFile {
    /// The file in this directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self { file: directory.join("disabled.json") }
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Who is switched off; nobody where there is no file.
    ///
    /// # Errors
    /// [`DisabledFileError`]
    pub fn load(&self) -> Result<DisabledPeers, DisabledFileError> {
        let fault = |why: String| {
            let remedy = "mend the file, or remove it to switch all of them on".to_owned();
            DisabledFileError { file: self.file.clone(), why, remedy }
        };
        let text = match files::read(&self.file, Most::STATE) {
            Ok(text) => text,
            Err(FileFault::Io(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(DisabledPeers::default());
            }
            Err(error) if error.kind() == Some(io::ErrorKind::PermissionDenied) => {
                let remedy = files::how_to_open(&self.file);
                return Err(DisabledFileError { remedy, ..fault(error.to_string()) });
            }
            Err(error) => return Err(fault(error.to_string())),
        };
        let written: Written =
            serde_json::from_slice(&text).map_err(|error| fault(error.to_string()))?;
        if written.version != VERSION {
            return Err(fault(format!(
                "its version is {}, and known is {VERSION}",
                written.version
            )));
        }
        let peer = |peer: WrittenPeer| {
            let WrittenPeer { name, since, until, why, by, uid } = peer;
            let name = PeerName::new(&name)
                .ok_or_else(|| fault(format!("`{}` is no peer's name", name.escape_debug())))?;
            let by = Administrator { claimed: by, uid };
            Ok(DisabledPeer { name, since, until, why, by })
        };
        written.peers.into_iter().map(peer).collect()
    }

    /// Replaces the file, in one step and readable by the gateway's user alone.
    ///
    /// # Errors
    /// It cannot be written, and is as it was.
    pub fn save(&self, peers: &DisabledPeers, now: Timestamp) -> io::Result<()> {
        let peer = |peer: &DisabledPeer| WrittenPeer {
            name: peer.name.to_string(),
            since: peer.since,
            until: peer.until,
            why: peer.why.clone(),
            by: peer.by.claimed.clone(),
            uid: peer.by.uid,
        };
        let peers = peers.in_force(now).into_iter().map(|found| peer(found)).collect();
        let mut text = serde_json::to_vec_pretty(&Written { version: VERSION, peers })?;
        text.push(b'\n');
        let directory = self.file.parent().unwrap_or_else(|| Path::new("."));
        files::make_private_directory(directory)?;
        files::replace(&self.file, &text, 0o600)
    }
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn lyon() -> DisabledPeer {
        DisabledPeer {
            name: PeerName::new("lyon").unwrap(),
            since: Timestamp::UNIX_EPOCH,
            until: Some(Timestamp::MAX),
            why: "a \"virus\"\nand more".to_owned(),
            by: Administrator { claimed: "marie".to_owned(), uid: Some(1000) },
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_for_nobody_else_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = DisabledFile::in_directory(&directory.path().join("state"));
        assert!(file.load().unwrap().in_force(Timestamp::UNIX_EPOCH).is_empty());
        file.save(&[lyon()].into_iter().collect(), Timestamp::UNIX_EPOCH).unwrap();
        let mode = std::fs::metadata(file.file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let loaded = file.load().unwrap();
        let found = loaded.in_force(Timestamp::UNIX_EPOCH);
        assert_eq!(found.iter().map(|peer| (***peer).clone()).collect::<Vec<_>>(), [lyon()]);
    }

    #[test]
    fn a_file_that_is_broken_is_an_error_and_lets_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        let file = DisabledFile::in_directory(directory.path());
        for (text, part) in [
            ("{", "EOF"),
            ("{\"version\":2,\"peers\":[]}", "its version is 2, and known is 1"),
            (
                "{\"version\":1,\"peers\":[{\"name\":\"../x\",\"since\":\"1970-01-01T00:00:00Z\",\
                 \"until\":null,\"why\":\"\",\"by\":\"\",\"uid\":null}]}",
                "`../x` is no peer's name",
            ),
        ] {
            std::fs::write(file.file(), text).unwrap();
            let error = file.load().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("disabled.json"), "{error}");
        }
    }
}
