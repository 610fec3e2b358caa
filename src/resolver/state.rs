//! What names had when the gateway ran last, in a file: a restart while no name server answers lets
//! the known peers in.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::{self, FileFault, Most};
use crate::resolver::{Failure, Remembered, Table};

/// The file, `names.json` in the state directory.
#[derive(Clone, Debug)]
pub struct State {
    file: PathBuf,
}

/// Why the file is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read.
    #[error("{}: {source}", file.display())]
    Unread {
        /// The state file.
        file: PathBuf,
        /// What is wrong with it.
        source: FileFault,
    },
    /// It cannot be written.
    #[error("{}: {source}", file.display())]
    Unwritten {
        /// The state file.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// It is not what this program writes.
    #[error("{}: this is no list of names as phonebook-gateway writes it: {why}", file.display())]
    Broken {
        /// The state file.
        file: PathBuf,
        /// Where, and what is wrong.
        why: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u32,
    names: Vec<WrittenName>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenName {
    name: String,
    addresses: Vec<IpAddr>,
    /// What it had before, for whoever asks why such a caller is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<WrittenFormer>,
    /// When it resolved last, and when it is asked for again: RFC 3339.
    resolved: Timestamp,
    next: Timestamp,
    /// How it fails, where it does.
    failing: Option<WrittenFailure>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenFailure {
    since: Timestamp,
    hold: Hold,
    why: String,
}

/// Whose time runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Hold {
    Nx,
    Timeout,
    Error,
}

impl WrittenFailure {
    fn of(since: Timestamp, failure: &Failure) -> Self {
        let hold = match failure {
            Failure::NoSuchName => Hold::Nx,
            Failure::Timeout => Hold::Timeout,
            Failure::Error(_) => Hold::Error,
        };
        Self { since, hold, why: failure.to_string() }
    }

    fn read(self) -> (Timestamp, Failure) {
        let failure = match self.hold {
            Hold::Nx => Failure::NoSuchName,
            Hold::Timeout => Failure::Timeout,
            Hold::Error => Failure::Error(self.why),
        };
        (self.since, failure)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenFormer {
    address: IpAddr,
    until: Timestamp,
}

impl State {
    /// The file in this directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self { file: directory.join("names.json") }
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Lets `table` take over what the file has; says whether there is one.
    ///
    /// # Errors
    /// [`StateError`]; then nothing was taken over.
    pub fn restore(&self, table: &mut Table) -> Result<bool, StateError> {
        let text = match files::read(&self.file, Most::STATE) {
            Ok(text) => text,
            Err(fault) if fault.kind() == Some(io::ErrorKind::NotFound) => return Ok(false),
            Err(source) => return Err(StateError::Unread { file: self.file.clone(), source }),
        };
        let broken = |why: String| StateError::Broken { file: self.file.clone(), why };
        let written: Written =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        if written.version != VERSION {
            return Err(broken(format!(
                "its version is {}, and known is {VERSION}",
                written.version
            )));
        }
        // A clock that was wrong must not make an address good for ever.
        let now = Timestamp::now();
        for WrittenName { name, addresses, former, resolved, next, failing } in written.names {
            let former = former.iter().map(|former| (former.address, former.until.min(now)));
            let (former, at) = (former.collect(), resolved.min(now));
            let failing = failing.map(WrittenFailure::read);
            table.restore(&Remembered { name: &name, addresses, former, at, next, failing });
        }
        Ok(true)
    }

    /// Replaces the file by what `table` knows, in one step and readable by the gateway's user alone.
    ///
    /// # Errors
    /// [`StateError::Unwritten`]; the file is then as it was.
    pub fn save(&self, table: &Table) -> Result<(), StateError> {
        let name = |known: Remembered<'_>| WrittenName {
            name: known.name.to_owned(),
            addresses: known.addresses,
            former: known
                .former
                .into_iter()
                .map(|(address, until)| WrittenFormer { address, until })
                .collect(),
            resolved: known.at,
            next: known.next,
            failing: known.failing.map(|(since, failure)| WrittenFailure::of(since, &failure)),
        };
        let written = Written { version: VERSION, names: table.remembered().map(name).collect() };
        let mut text = serde_json::to_vec_pretty(&written).map_err(|source| {
            StateError::Unwritten { file: self.file.clone(), source: source.into() }
        })?;
        text.push(b'\n');
        let directory = self.file.parent().unwrap_or_else(|| Path::new("."));
        files::make_private_directory(directory)
            .and_then(|()| files::replace(&self.file, &text, 0o600))
            .map_err(|source| StateError::Unwritten { file: self.file.clone(), source })
    }
}

const VERSION: u32 = 1;
