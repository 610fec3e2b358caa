//! The configuration's files on disk.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Document, Mark, Problem};
use crate::config::Config;
use crate::config::document::diagnostic::escaped;
use crate::config::section::main::Draft;
use crate::files::{self, FileFault, Most, Stamp};
use crate::policy::PeerName;

/// Reads the main file.
pub(crate) fn read_main(path: &Path) -> Result<Arc<Document>, Box<Problem>> {
    read_text(path).map_err(|problem| {
        // Looked at and not opened, since a pipe would be waited for.
        let is_there = fs::metadata(path).map_err(|error| error.kind());
        let missing =
            matches!(is_there, Err(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory));
        let help = if let Some(help) = problem.help() {
            help.to_owned()
        } else if missing {
            none_there(path)
        } else {
            "name another file with --config FILE".to_owned()
        };
        Box::new(problem.with_help(Some(help)))
    })
}

/// That there is no configuration, and the smallest one that would do.
fn none_there(path: &Path) -> String {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let policies = directory.unwrap_or_else(|| Path::new("")).join("policies");
    let make = if policies.is_dir() {
        String::new()
    } else {
        format!(" after mkdir -p {}", policies.display())
    };
    format!(
        "name another file with --config FILE, or write the smallest one that would do{make}:\n\
         [[listen]]\naddress = \"[::]:9480\"\n[upstream]\nurl = \"http://127.0.0.1:80\"\nsource = \"{}\"\n\
         where source is this host's LAN address, and for each peer a file such as {}:\n\
         hosts = [\"192.168.1.124\"]",
        lan_address().unwrap_or(EXAMPLE_SOURCE),
        policies.join("xivo-montreal.toml").display()
    )
}

/// The first IPv4 address of this host that is not its own alone.
fn lan_address() -> Option<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    let is_lan = |address: &IpAddr| matches!(address, IpAddr::V4(v4) if !v4.is_loopback() && !v4.is_link_local());
    interfaces.iter().map(if_addrs::Interface::ip).find(is_lan)
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
/// A policy is a regular file `*.toml`. What looks like a policy under another name is warned of, editors' backups
/// and what dpkg leaves behind in one line; other hidden files are passed over in silence.
pub(crate) fn read_policies(
    draft: &Draft,
    main: &Arc<Document>,
    found: &mut Vec<Problem>,
) -> Vec<Arc<Document>> {
    let directory = &draft.policies_directory;
    let mark = || draft.policies_mark.clone();
    let Listing { policies: names, passed_over, backups } = match list(directory) {
        Ok(listing) => listing,
        Err(error) => {
            let message =
                format!("the policies in {} cannot be read: {error}", directory.display());
            let set = format!("set directory in [policies] of {}", main.file().display());
            let help = if error.kind() == io::ErrorKind::PermissionDenied {
                files::how_to_open(directory)
            } else if error.kind() == io::ErrorKind::NotFound {
                format!("create the directory: mkdir -p {}; or {set}", directory.display())
            } else {
                set
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
    for PassedOver { path, why, help } in passed_over {
        let mark = Mark::whole_file(&Document::unread(path));
        let message = format!("this file is passed over, and lets nobody in: {why}");
        found.push(Problem::warning(message, mark).with_help(Some(help)));
    }
    if let [first, ..] = backups.as_slice() {
        let message = match backups.len() {
            1 => format!("{first} in {} is passed over as a backup", directory.display()),
            count => format!(
                "{count} files in {} are passed over as backups, such as {first}",
                directory.display()
            ),
        };
        let help = "remove what is no longer needed; a policy's name ends in .toml";
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
        let files = list(directory).unwrap_or_default().policies;
        let stamped = |file: PathBuf| {
            let stamp = Stamp::of(&file);
            (file, stamp)
        };
        Self { policies: files.into_iter().map(stamped).collect(), ..self }
    }
}

/// What a directory of policies holds, each in the byte order of the names.
#[derive(Default)]
struct Listing {
    policies: Vec<PathBuf>,
    passed_over: Vec<PassedOver>,
    /// The names of what editors and package managers leave behind.
    backups: Vec<String>,
}

/// A file that somebody may take for a policy.
struct PassedOver {
    path: PathBuf,
    why: &'static str,
    help: String,
}

fn list(directory: &Path) -> io::Result<Listing> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable_by(|a, b| a.file_name().as_bytes().cmp(b.file_name().as_bytes()));
    let mut listing = Listing::default();
    for entry in entries {
        let name = entry.file_name();
        let path = directory.join(&name);
        let bytes = name.as_bytes();
        let is_hidden = bytes.starts_with(b".");
        if is_backup(bytes) {
            listing.backups.push(escaped(&name.to_string_lossy()));
        } else if bytes.ends_with(b".toml") && !is_hidden {
            listing.policies.push(path);
        } else if path.is_dir() && !is_hidden {
            policies_below(&path, directory, DEEPEST, &mut listing.passed_over);
        } else if !is_hidden && let Some(help) = rename(&name.to_string_lossy(), directory) {
            let why = "a policy's name ends in .toml";
            listing.passed_over.push(PassedOver { path, why, help });
        }
    }
    Ok(listing)
}

/// What editors, package managers and version control leave beside a file.
fn is_backup(name: &[u8]) -> bool {
    const ENDS: [&[u8]; 14] = [
        b"~",
        b".bak",
        b".old",
        b".orig",
        b".save",
        b".swp",
        b".swo",
        b".rej",
        b".tmp",
        b".rpmsave",
        b".rpmnew",
        b".rpmorig",
        b".backup",
        b".disabled",
    ];
    ENDS.iter().any(|end| name.ends_with(end))
        || (name.starts_with(b"#") && name.ends_with(b"#"))
        || name.starts_with(b".#")
        || memchr::memmem::find(name, b".dpkg-").is_some()
        || memchr::memmem::find(name, b".ucf-").is_some()
}

/// What to do about a name that is none of a policy, unless nobody can have meant one: `README` and its kind.
fn rename(name: &str, directory: &Path) -> Option<String> {
    let lower = name.to_lowercase();
    let no_policy = ["readme", "license", "makefile", "changelog"];
    if no_policy.iter().any(|word| lower.starts_with(word)) || lower.ends_with(".md") {
        return None;
    }
    let stem = match lower.find(".toml") {
        Some(end) => &lower[..end],
        None => lower.rsplit_once('.').map_or(lower.as_str(), |(stem, _)| stem),
    };
    let stem = stem.trim().replace(' ', "-");
    Some(match PeerName::new(&stem) {
        None => "if it is a policy, give it a name such as xivo-montreal.toml".to_owned(),
        Some(stem) if directory.join(format!("{stem}.toml")).symlink_metadata().is_ok() => {
            format!("{stem}.toml is there beside it: remove one of the two")
        }
        Some(stem) => format!("rename the file to {stem}.toml, if it is a policy"),
    })
}

/// Policies in directories of their own, where none is looked for.
fn policies_below(path: &Path, directory: &Path, depth: usize, found: &mut Vec<PassedOver>) {
    let Ok(entries) = fs::read_dir(path) else { return };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.retain(|name| !name.as_bytes().starts_with(b"."));
    names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    for name in names {
        let path = path.join(&name);
        if path.is_dir() {
            if depth > 1 {
                policies_below(&path, directory, depth - 1, found);
            }
        } else if name.as_bytes().ends_with(b".toml") && found.len() < MOST_BELOW {
            let why = "policies are read from one directory, and none below it";
            let help = if directory.join(&name).symlink_metadata().is_ok() {
                format!("{} has a file of this name: remove one of the two", directory.display())
            } else {
                format!("move it into {}", directory.display())
            };
            found.push(PassedOver { path, why, help });
        }
    }
}

fn read_text(path: &Path) -> Result<Arc<Document>, Box<Problem>> {
    let bytes = files::read(path, Most::TEXT).map_err(|fault| {
        let mark = Mark::whole_file(&Document::unread(path.to_owned()));
        let is_denied = fault.kind() == Some(io::ErrorKind::PermissionDenied);
        let help = is_denied.then(|| files::how_to_open(path));
        // The system's word begins with it; the others say what the file is.
        let message = match fault {
            FileFault::Io(error) => format!("{} cannot be read: {error}", path.display()),
            fault @ (FileFault::Irregular(_) | FileFault::TooLarge(_)) => {
                format!("{} cannot be read: {fault}", path.display())
            }
        };
        Box::new(Problem::error(message, mark).with_help(help))
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Document::new(path.to_owned(), text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let document = Document::new(path.to_owned(), text);
            let label = "allowed: UTF-8 text".to_owned();
            let mark = Mark::new(&document, at..at + '\u{fffd}'.len_utf8(), label);
            let encoding = match error.as_bytes() {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
                _ => "LATIN1",
            };
            let file = path.display();
            let help = format!(
                "save it as UTF-8, or convert it: iconv -f {encoding} -t UTF-8 {file} > {file}.new && cp {file}.new {file} && rm {file}.new"
            );
            let problem = Problem::error("this file is not UTF-8 text".to_owned(), mark);
            Err(Box::new(problem.with_help(Some(help))))
        }
    }
}

/// What stands for it where there is none.
const EXAMPLE_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 125));

/// How many directories below the policies' own are looked into, and how many policies there are named.
const DEEPEST: usize = 3;
const MOST_BELOW: usize = 20;
