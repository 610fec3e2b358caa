//! The last good configurations, kept so that one can go back to them.
//!
//! Each is a file of the state directory, for the gateway's user alone, with the text of `gateway.toml` and of
//! every policy as they were written: `${NAME}` is not expanded, and what other files hold (certificates,
//! keys) is not in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Change, Config, Source, Sources, changes};
use crate::files::{self, FileFault, Most};
use crate::text::figures::plural;

/// Where they are.
#[derive(Clone, Debug)]
pub(super) struct History {
    directory: PathBuf,
    keep: usize,
}

/// A configuration that once ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// How many began to run after it: 0 is the last that did.
    pub number: usize,
    /// When it began to run.
    pub time: Timestamp,
    /// Its revision.
    pub revision: String,
    /// What made it run: `start`, `HUP`, …
    pub by: String,
    /// Whether it is the one that runs.
    pub runs: bool,
    /// What it had otherwise than the one before it; `None` for the oldest that is kept, and where one of the two
    /// cannot be read any more.
    pub changes: Option<Vec<Change>>,
}

/// All that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptConfigurations {
    /// The last first.
    pub entries: Vec<HistoryEntry>,
    /// Files that cannot be read as such, each with the reason: they have no number.
    pub unreadable: Vec<String>,
}

/// Why there is nothing to go back to.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    /// There are not so many.
    #[error("there is no configuration {number}: {} in {}, the last of them number 0", plural(*kept as u64, "configuration is kept", "configurations are kept"), directory.display())]
    NoSuch {
        /// The number that was asked for.
        number: usize,
        /// How many there are.
        kept: usize,
        /// Where they are kept.
        directory: PathBuf,
    },
    /// There is none but the one that runs.
    #[error("no configuration other than the one that runs is kept in {}", directory.display())]
    NoOther {
        /// Where they are kept.
        directory: PathBuf,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u32,
    time: Timestamp,
    revision: String,
    by: String,
    main: WrittenFile,
    policies: Vec<WrittenFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenFile {
    file: PathBuf,
    text: String,
}

impl From<&Source> for WrittenFile {
    fn from(source: &Source) -> Self {
        Self { file: source.file.clone(), text: source.text.clone() }
    }
}

impl From<WrittenFile> for Source {
    fn from(WrittenFile { file, text }: WrittenFile) -> Self {
        Self { file, text }
    }
}

/// One that was kept, read again.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) time: Timestamp,
    pub(super) revision: String,
    by: String,
    pub(super) sources: Sources,
}

impl Kept {
    /// The configuration that it was, with the files and the environment of today.
    fn config(&self) -> Option<Config> {
        Config::from_sources(&self.sources).ok().map(|(config, _)| config)
    }
}

impl History {
    /// That of a gateway with this configuration.
    pub(super) fn of(config: &Config) -> Self {
        Self { directory: config.state_directory.clone(), keep: config.reload.keep }
    }

    /// Keeps `config`, which runs from now on, and forgets the oldest beyond `keep`.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn keep(&self, config: &Config, by: &str) -> io::Result<()> {
        if self.keep == 0 {
            return self.forget_oldest();
        }
        let files = self.files()?;
        let last = files.last().and_then(|file| read(file).ok());
        if last.is_some_and(|last| last.revision == config.revision) {
            // It runs again, or still.
            return self.forget_oldest();
        }
        let now = Timestamp::now();
        let written = Written {
            version: VERSION,
            time: now,
            revision: config.revision.clone(),
            by: by.to_owned(),
            main: (&config.sources.main).into(),
            policies: config.sources.policies.iter().map(WrittenFile::from).collect(),
        };
        let mut text = serde_json::to_vec(&written).map_err(io::Error::other)?;
        text.push(b'\n');
        files::make_private_directory(&self.directory)?;
        let number = files.last().and_then(|file| number(file)).map_or(1, |last| last + 1);
        files::replace(
            &self.directory.join(format!("{BEGINNING}{number:08}{ENDING}")),
            &text,
            0o600,
        )?;
        self.forget_oldest()
    }

    fn forget_oldest(&self) -> io::Result<()> {
        let files = self.files()?;
        let excess = files.len().saturating_sub(self.keep);
        files.iter().take(excess).try_for_each(fs::remove_file)
    }

    /// All that are kept, the last first; `running` is the revision that runs.
    pub(super) fn all(&self, running: &str) -> KeptConfigurations {
        let mut all = KeptConfigurations::default();
        let mut readable = Vec::new();
        for file in self.files().unwrap_or_default().iter().rev() {
            match read(file) {
                Ok(kept) => readable.push(kept),
                Err(why) => all.unreadable.push(format!("{}: {why}", file.display())),
            }
        }
        let configs: Vec<Option<Config>> = readable.iter().map(Kept::config).collect();
        let runs = readable.iter().position(|kept| kept.revision == running);
        let entry = |(number, kept): (usize, Kept)| {
            let (this, before) = (configs.get(number), configs.get(number + 1));
            let changes = match (this, before) {
                (Some(Some(this)), Some(Some(before))) => Some(changes(before, this)),
                _ => None,
            };
            let Kept { time, revision, by, .. } = kept;
            HistoryEntry { number, time, revision, by, runs: runs == Some(number), changes }
        };
        all.entries = readable.into_iter().enumerate().map(entry).collect();
        all
    }

    /// The one with this number; without one, the last that is another than the one that runs.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub(super) fn get(&self, number: Option<usize>, running: &str) -> Result<Kept, HistoryError> {
        let files = self.files().unwrap_or_default();
        // As they are listed.
        let mut readable = files.iter().rev().filter_map(|file| read(file).ok());
        let directory = self.directory.clone();
        let Some(number) = number else {
            let other = readable.find(|kept| kept.revision != running);
            return other.ok_or(HistoryError::NoOther { directory });
        };
        let mut kept = 0;
        let found = readable.find(|_| {
            kept += 1;
            kept == number + 1
        });
        found.ok_or(HistoryError::NoSuch { number, kept, directory })
    }

    /// The files, the oldest first.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let file = entry?.path();
            if number(&file).is_some() {
                files.push(file);
            }
        }
        files.sort_unstable_by_key(|file| number(file));
        Ok(files)
    }
}

/// The number of a file that this program has written.
fn number(file: &Path) -> Option<u64> {
    file.file_name()?.to_str()?.strip_prefix(BEGINNING)?.strip_suffix(ENDING)?.parse().ok()
}

fn read(file: &Path) -> Result<Kept, String> {
    let bytes = files::read(file, Most::STATE).map_err(|fault: FileFault| fault.to_string())?;
    let written: Written = serde_json::from_slice(&bytes).map_err(|error| {
        format!("this is no configuration as phonebook-gateway keeps it: {error}")
    })?;
    if written.version != VERSION {
        return Err(format!("its version is {}, and known is {VERSION}", written.version));
    }
    let Written { time, revision, by, main, policies, .. } = written;
    let policies = policies.into_iter().map(Source::from).collect();
    Ok(Kept { time, revision, by, sources: Sources { main: main.into(), policies } })
}

/// Of each file's name; its number and [`ENDING`] follow.
const BEGINNING: &str = "configuration-";

const ENDING: &str = ".json";

const VERSION: u32 = 1;
