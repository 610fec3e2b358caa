//! Where the lines of an access log go.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogTarget {
    /// Appended to this file, which is made (mode 0640) where it is missing.
    File(PathBuf),
    /// Appended to a file for each peer.
    PerPeer(PeerPath),
    /// Sent to a syslog receiver, a datagram for each line.
    Syslog(Syslog),
    /// The standard output.
    Stdout,
}

impl fmt::Display for LogTarget {
    /// As messages name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::PerPeer(path) => path.fmt(f),
            Self::Syslog(syslog) => syslog.fmt(f),
            Self::Stdout => f.write_str("standard output"),
        }
    }
}

/// A path in which the peer's name stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerPath {
    first: OsString,
    /// Each behind the peer's name.
    rest: Vec<String>,
}

impl PeerPath {
    /// The name of requests that are no peer's.
    pub const NOBODY: &str = "-";

    /// `first`, and each of `rest` behind the peer's name.
    pub fn new(first: impl Into<OsString>, rest: Vec<String>) -> Self {
        Self { first: first.into(), rest }
    }

    /// The peer's file. A name that is none of a file is nobody's.
    pub fn of(&self, peer: &str) -> PathBuf {
        self.with(if is_file_name(peer) { peer } else { Self::NOBODY })
    }

    /// What stands before the peer's name in [`directory`](Self::directory).
    pub fn prefix(&self) -> &OsStr {
        let bytes = self.first.as_encoded_bytes();
        match bytes.last() {
            None | Some(b'/') => OsStr::new(""),
            Some(_) => Path::new(&self.first).file_name().unwrap_or_default(),
        }
    }

    /// The directory that all files are in, or the directories of theirs.
    pub fn directory(&self) -> PathBuf {
        let end = self.first.as_encoded_bytes().last();
        let first = Path::new(&self.first);
        let directory = match end {
            None | Some(b'/') => first,
            Some(_) => first.parent().unwrap_or(first),
        };
        if directory.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            directory.components().as_path().to_owned()
        }
    }

    fn with(&self, name: &str) -> PathBuf {
        let mut path = self.first.clone();
        for piece in &self.rest {
            path.push(name);
            path.push(piece);
        }
        path.into()
    }
}

impl fmt::Display for PeerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with("${peer}").display().fmt(f)
    }
}

/// Names of peers are names of files by their grammar; this does not depend on it.
fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// A syslog receiver, and what it is told with each line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Syslog {
    /// Where it listens.
    pub server: SyslogServer,
    /// The facility's number, 0 to 23.
    pub facility: u8,
    /// The severity's number, 0 to 7.
    pub severity: u8,
    /// The program's name: letters, digits and `_`, 1 to 32.
    pub tag: String,
    /// Whether this host's name is left out.
    pub nohostname: bool,
    /// The datagram's form.
    pub rfc: SyslogRfc,
}

impl fmt::Display for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            SyslogServer::Udp(address) => write!(f, "syslog:server={address}"),
            SyslogServer::Unix(path) => write!(f, "syslog:server=unix:{}", path.display()),
        }
    }
}

/// A syslog receiver's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SyslogServer {
    /// It listens on UDP.
    Udp(SocketAddr),
    /// It listens on a datagram socket of this host.
    Unix(PathBuf),
}

/// What stands before a line in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyslogRfc {
    /// `<190>Nov 23 03:50:01 host tag: `, as nginx writes it.
    Rfc3164,
    /// `<190>1 2026-11-23T03:50:01.123+01:00 host tag pid - - `.
    Rfc5424,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(first: &str, rest: &[&str]) -> PeerPath {
        PeerPath::new(first, rest.iter().map(|&piece| piece.to_owned()).collect())
    }

    #[test]
    fn a_peers_name_stands_wherever_the_variable_did() {
        assert_eq!(path("/log/", &[".log"]).of("lyon"), Path::new("/log/lyon.log"));
        assert_eq!(path("/log/", &["/", "_a.log"]).of("lyon"), Path::new("/log/lyon/lyon_a.log"));
        assert_eq!(path("", &[""]).of("lyon"), Path::new("lyon"));
        assert_eq!(path("/log/", &["/", "_a"]).to_string(), "/log/${peer}/${peer}_a");
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        for name in ["../etc/passwd", "a/b", "/", ".", "..", "", "a\0b"] {
            assert_eq!(path("/log/", &["/a.log"]).of(name), Path::new("/log/-/a.log"), "{name}");
        }
    }

    #[test]
    fn the_directory_is_what_stands_before_the_name() {
        assert_eq!(path("/log/", &[".log"]).directory().as_os_str(), "/log");
        assert_eq!(path("/log/of-", &[".log"]).directory(), Path::new("/log"));
        assert_eq!(path("of-", &[".log"]).directory(), Path::new("."));
        assert_eq!(path("", &["/a.log"]).directory(), Path::new("."));
        assert_eq!(path("/log/of-", &[".log"]).prefix(), "of-");
        assert_eq!(
            (path("/log/", &[""]).prefix(), path("", &[""]).prefix()),
            ("".as_ref(), "".as_ref())
        );
    }
}
