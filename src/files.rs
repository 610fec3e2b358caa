//! Files that are read whole and written whole: configuration, policies, certificates, keys, revocation
//! lists and state, and the pages of `report`.
//!
//! # Guarantees
//! * Reading never waits for a writer and never takes more memory than its caller allows: only regular
//!   files are read, and symbolic links to such. A pipe, a socket or a device in the place of one is an
//!   error that says so, and is not even opened.
//! * Writing leaves the previous file or the new one, never half of it, and the new one is never readable
//!   by everybody on this host, not for a moment.
//!
//! Imports nothing of this crate. Begin with [`read`].

mod permission;

use std::fmt;
use std::fs::{self, DirBuilder, File, FileType, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub(crate) use permission::how_to_open;

/// The largest file of each kind that is read, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most(u64);

impl Most {
    /// `gateway.toml`, a policy, a file of certificates, a private key.
    pub const TEXT: Self = Self(1 << 20);
    /// A file of revocation lists: some 400,000 revoked certificates.
    pub const REVOCATIONS: Self = Self(16 << 20);
    /// What the gateway keeps for itself in its state directory.
    pub const STATE: Self = Self(16 << 20);
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0 >> 20)
    }
}

/// By what a file's change is told: renaming another one over it changes its inode, and writing to
/// it its time or length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The file's stamp as of now; `None` where it cannot be looked at.
    pub fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The system says why.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else than a regular file.
    #[error("it is {0}; allowed: a regular file, or a symbolic link to one")]
    Irregular(&'static str),
    /// It is too long.
    #[error("it is too large; allowed: up to {0}")]
    TooLarge(Most),
}

impl FileFault {
    /// The system's kind of error, where it is one.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io(error) => Some(error.kind()),
            Self::Irregular(_) | Self::TooLarge(_) => None,
        }
    }
}

/// The whole of a regular file, if it is no larger than `most`.
///
/// # Errors
/// [`FileFault`].
pub(crate) fn read(path: &Path, most: Most) -> Result<Vec<u8>, FileFault> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    if length > most.0 {
        return Err(FileFault::TooLarge(most));
    }
    // It may grow while it is read, and files of /proc say 0.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    let read = file.take(most.0 + 1).read_to_end(&mut bytes)?;
    if read as u64 > most.0 {
        return Err(FileFault::TooLarge(most));
    }
    Ok(bytes)
}

/// Opens a regular file for reading.
///
/// # Errors
/// [`FileFault`].
pub(crate) fn open(path: &Path) -> Result<File, FileFault> {
    // Looked at first, since opening alone makes some devices act; and again, since it may have been
    // replaced in between: then the open does not wait either.
    check(fs::metadata(path)?.file_type())?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

fn check(found: FileType) -> Result<(), FileFault> {
    let what = match found {
        found if found.is_file() => return Ok(()),
        found if found.is_dir() => "a directory",
        found if found.is_fifo() => "a pipe",
        found if found.is_socket() => "a socket",
        found if found.is_char_device() || found.is_block_device() => "a device",
        _ => "no regular file",
    };
    Err(FileFault::Irregular(what))
}

/// Makes `directory` with mode 0750 where there is none. It alone: a path of which more is missing is a
/// mistake.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_private_directory(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o750).create(directory) {
        Err(_) if directory.is_dir() => Ok(()),
        made => made,
    }
}

/// The directory that a file is in, which is the present one for a name alone.
pub(crate) fn directory_of(file: &Path) -> &Path {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// Whether two paths lead to one file; of paths that lead nowhere, whether they are written alike.
pub(crate) fn are_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// Where `path` leads to, if it is a symbolic link, be there anything or not; else `path` as it is.
pub(crate) fn follow(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or_else(|| Path::new("")).join(target);
    }
    path
}

/// Puts a file with these bytes, its mode at most `mode`, into the place of `path`, in one step.
/// Whatever had been readable by more is then no longer there. A symbolic link stays, and what it leads
/// to is replaced.
///
/// # Errors
/// It cannot be written, or what is there is no regular file; then what was there is as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Ok(found) = fs::metadata(&path) {
        // A link may lead to a device, which the whole host would miss.
        check(found.file_type()).map_err(io::Error::other)?;
    }
    let new = beside(&path)?;
    // What a process of the same number has left behind is nobody's.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, &path));
    written.inspect_err(|_| {
        // It was made a moment ago, and by nobody else.
        let _ = fs::remove_file(&new);
    })
}

/// The name of the file that becomes `path`.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let mut new = std::ffi::OsString::from(".");
    new.push(name);
    new.push(format!(".{}.new", std::process::id()));
    Ok(path.with_file_name(new))
}

/// Links that lead to links.
const MOST_LINKS: usize = 8;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn fault(path: &Path) -> String {
        read(path, Most::TEXT).unwrap_err().to_string()
    }

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let directory = directory();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        assert_eq!(read(&at("file"), Most::TEXT).unwrap(), b"text");
        assert_eq!(read(&at("link"), Most::TEXT).unwrap(), b"text");
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, 0o600.into(), 0).unwrap();
        symlink("pipe", at("to pipe")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (name, what) in [
            ("pipe", "it is a pipe"),
            ("to pipe", "it is a pipe"),
            ("socket", "it is a socket"),
            (".", "it is a directory"),
            ("/dev/zero", "it is a device"),
        ] {
            let allowed = "; allowed: a regular file, or a symbolic link to one";
            assert_eq!(fault(&at(name)), format!("{what}{allowed}"));
        }
        assert!(fault(&at("none")).starts_with("it cannot be read: No such file"));
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_none_beyond() {
        let directory = directory();
        let path = directory.path().join("file");
        let most = Most::TEXT;
        fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(read(&path, most).unwrap().len(), 1 << 20);
        // Sparse: it takes no room on the disk, and would in memory.
        let file = File::options().write(true).open(&path).unwrap();
        for length in [(1 << 20) + 1, 1 << 40] {
            file.set_len(length).unwrap();
            assert_eq!(fault(&path), "it is too large; allowed: up to 1 MiB");
        }
        // It says that it has nothing, and has something.
        assert!(!read(Path::new("/proc/self/status"), most).unwrap().is_empty());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_whatever_was_there() {
        let directory = directory();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("old"), "old").unwrap();
        fs::set_permissions(at("old"), fs::Permissions::from_mode(0o666)).unwrap();
        symlink("old", at("link")).unwrap();
        for name in ["new", "old", "link"] {
            replace(&at(name), name.as_bytes(), 0o640).unwrap();
            assert_eq!(fs::read(at(name)).unwrap(), name.as_bytes());
            let mode = fs::metadata(at(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777 & !0o640, 0, "{name}: {mode:o}");
        }
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert!(replace(directory.path(), b"", 0o640).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3, "nothing is left over");
        // What is no file stays what it is, also behind a link.
        let socket = UnixListener::bind(at("socket")).unwrap();
        symlink("socket", at("to-socket")).unwrap();
        for name in ["socket", "to-socket"] {
            let error = replace(&at(name), b"", 0o640).unwrap_err().to_string();
            assert!(error.contains("it is a socket"), "{error}");
        }
        assert!(fs::metadata(at("socket")).unwrap().file_type().is_socket());
        drop(socket);
    }

    #[test]
    fn a_directory_is_made_once_and_alone() {
        let directory = directory();
        let state = directory.path().join("state");
        make_private_directory(&state).unwrap();
        make_private_directory(&state).unwrap();
        let mode = fs::metadata(&state).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o750, 0, "{mode:o}");
        assert!(make_private_directory(&directory.path().join("a/b")).is_err());
        fs::write(directory.path().join("file"), "").unwrap();
        assert!(make_private_directory(&directory.path().join("file")).is_err());
    }

    #[test]
    fn links_are_followed_to_what_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("key"), "").unwrap();
        symlink("key", at("link")).unwrap();
        symlink(at("link"), at("again")).unwrap();
        assert_eq!(follow(&at("again")), at("key"));
        symlink("round", at("round")).unwrap();
        assert_eq!(follow(&at("round")), at("round"));
    }
}
