//! `[control]`: the socket that the running gateway is asked and told by.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::document::diagnostic::Diagnostic;
use crate::config::document::problem::Document;
use crate::config::document::{self, Field, Section, files};
use crate::location::{Located, Location};

/// Reads `[control]`: the socket's path, or that there is none.
pub(crate) fn read(mut section: Section<'_>, base: &Path) -> Located<Option<PathBuf>> {
    let default = Some(PathBuf::from(DEFAULT_CONTROL_SOCKET));
    let socket = section.placed("socket", default, |field| socket(field, base));
    section.finish();
    socket
}

fn socket(field: &Field<'_>, base: &Path) -> Option<Option<PathBuf>> {
    let text = field.text()?;
    if text.is_empty() {
        return Some(None);
    }
    socket_path(field, &text, base).map(Some)
}

/// `text`, made of this value, as the path of a unix socket.
pub(crate) fn socket_path(field: &Field<'_>, text: &str, base: &Path) -> Option<PathBuf> {
    let path = field.checked_path(text, base)?;
    let length = path.as_os_str().len();
    if length > LONGEST {
        let message = format!("{} has {length} bytes", path.display());
        let label =
            format!("allowed: up to {LONGEST}, which is all that a unix socket's path may have");
        field.error(Diagnostic::new(message, label));
        return None;
    }
    Some(path)
}

/// The control socket that a main file names, whatever else is wrong with the file: whoever asks a running
/// gateway may be in the middle of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlSocketPath {
    /// There is one.
    At {
        /// Where.
        path: PathBuf,
        /// Where that is written; `None`: nowhere, it is the default.
        location: Option<Location>,
    },
    /// The file wants none.
    None {
        /// Where it says so.
        location: Location,
    },
}

/// Reads the socket's path from the main file at `path`.
///
/// # Errors
/// The file cannot be read.
pub fn control_socket(path: &Path) -> io::Result<ControlSocketPath> {
    let document = files::read_main_text(path)?;
    let variables = |name: &str| std::env::var(name).ok();
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let read = |document| {
        document::read(document, &variables, |mut root| read(root.section("control"), base))
    };
    let (mut found, problems) = read(&document);
    if !problems.is_empty() {
        // What is broken before the section may hide it.
        let alone = Document::new(path.to_owned(), section_alone(document.text()));
        let (again, _) = read(&alone);
        if again.written {
            found = again;
        }
    }
    Ok(match (found.value, found.written) {
        (Some(path), written) => {
            ControlSocketPath::At { path, location: written.then_some(found.location) }
        }
        (None, _) => ControlSocketPath::None { location: found.location },
    })
}

/// The lines of the section, each where it was; all others are empty.
fn section_alone(text: &str) -> String {
    let mut inside = false;
    let mut alone = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with('[') {
            let header = line.split('#').next().unwrap_or_default();
            let header: String = header.split_whitespace().collect();
            inside = header == "[control]";
        }
        if inside {
            alone.push_str(line);
        }
        alone.push('\n');
    }
    alone
}

/// Where the socket is unless the configuration says otherwise.
pub const DEFAULT_CONTROL_SOCKET: &str = "/run/phonebook-gateway/control.sock";

/// The longest path of a unix socket, in bytes (`sun_path` with its closing NUL, unix(7)).
const LONGEST: usize = 107;
