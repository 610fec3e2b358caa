//! The configuration's files on disk.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Document, Mark, Problem};
use crate::config::Config;
use crate::config::section::main::Draft;
use crate::files::{self, FileFault, Most, Stamp};

/// Reads the main file.
pub(crate) fn read_main(path: &Path) -> Result<Arc<Document>, Box<Problem>> {
    let help = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            "the file has to be UTF-8 text that the gateway's user may read".to_owned()
        }
        _ => "name another file with --config FILE".to_owned(),
    };
    read_text(path).map_err(|problem| Box::new(problem.with_help(Some(help))))
}

/// The main file's text, for whoever wants one value of it.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read_main_text(path: &Path) -> io::Result<Arc<Document>> {
    let bytes = files::read(path, Most::TEXT).map_err(|fault| match fault {
        FileFault::Io(error) => error,
        fault @ (FileFault::Irregular(_) | FileFault::TooLarge(_)) => io::Error::other(fault),
    })?;
    Ok(Document::new(path.to_owned(), String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads every policy of the draft's directory, in the byte order of the file names.
///
/// A policy is a regular file `*.toml`. Hidden files and what dpkg leaves behind are passed over;
/// anything else that is named like a policy and is no regular file is warned of.
pub(crate) fn read_policies(
    draft: &Draft,
    main: &Arc<Document>,
    found: &mut Vec<Problem>,
) -> Vec<Arc<Document>> {
    let directory = &draft.policies_directory;
    let mark = || draft.policies_mark.clone();
    let names = match policy_files(directory) {
        Ok(names) => names,
        Err(error) => {
            let message =
                format!("the policies in {} cannot be read: {error}", directory.display());
            let help = if error.kind() == io::ErrorKind::PermissionDenied {
                "let the gateway's user read and enter the directory".to_owned()
            } else {
                format!(
                    "create the directory, or set directory in [policies] of {}",
                    main.file().display()
                )
            };
            found.push(Problem::error(message, mark()).with_help(Some(help)));
            return Vec::new();
        }
    };
    if names.is_empty() {
        let message = format!("there is no policy in {}: nobody is let in", directory.display());
        let help = "add a file such as xivo-montreal.toml with hosts = [\"192.168.1.124\"]";
        found.push(Problem::warning(message, mark()).with_help(Some(help.to_owned())));
    }
    let mut documents = Vec::with_capacity(names.len());
    for path in names {
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => {
                let mark = Mark::whole_file(&Document::unread(path));
                let message = "this is no regular file, and not read as a policy: its peer is not \
                               let in; allowed: a regular file, or a symbolic link to one"
                    .to_owned();
                found.push(Problem::warning(message, mark));
            }
            _ => match read_text(&path) {
                Ok(document) => documents.push(document),
                Err(problem) => found.push(*problem),
            },
        }
    }
    documents
}

/// The configuration's files as they are found at one moment: who compares two of these sees whether any of them
/// was changed, replaced, added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskStamps {
    main: Option<Stamp>,
    policies: Vec<(PathBuf, Option<Stamp>)>,
}

impl DiskStamps {
    /// Those of `config`'s files, as they are now.
    pub fn of(config: &Config) -> Self {
        Self::of_main(&config.file).with_policies(&config.policies_directory)
    }

    /// That of the main file, without policies.
    pub(crate) fn of_main(main: &Path) -> Self {
        Self { main: Stamp::of(main), policies: Vec::new() }
    }

    pub(crate) fn with_policies(self, directory: &Path) -> Self {
        let files = policy_files(directory).unwrap_or_default();
        let stamped = |file: PathBuf| {
            let stamp = Stamp::of(&file);
            (file, stamp)
        };
        Self { policies: files.into_iter().map(stamped).collect(), ..self }
    }
}

fn policy_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let bytes = name.as_bytes();
        let passed_over = bytes.starts_with(b".")
            || bytes.ends_with(b"~")
            || memchr::memmem::find(bytes, b".dpkg-").is_some();
        if bytes.ends_with(b".toml") && !passed_over {
            names.push(name);
        }
    }
    names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

fn read_text(path: &Path) -> Result<Arc<Document>, Box<Problem>> {
    let bytes = files::read(path, Most::TEXT).map_err(|fault| {
        let mark = Mark::whole_file(&Document::unread(path.to_owned()));
        // The system's word begins with it; the others say what the file is.
        let message = match fault {
            FileFault::Io(error) => format!("{} cannot be read: {error}", path.display()),
            fault @ (FileFault::Irregular(_) | FileFault::TooLarge(_)) => {
                format!("{} cannot be read: {fault}", path.display())
            }
        };
        Box::new(Problem::error(message, mark))
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Document::new(path.to_owned(), text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let document = Document::new(path.to_owned(), text);
            let label = "allowed: UTF-8 text".to_owned();
            let mark = Mark::new(&document, at..at + '\u{fffd}'.len_utf8(), label);
            Err(Box::new(Problem::error("this file is not UTF-8 text".to_owned(), mark)))
        }
    }
}
