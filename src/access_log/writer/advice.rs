//! What an administrator is told to do about an access log that cannot be written.

use std::io;

use rustix::io::Errno;

use crate::access_log::target::{LogTarget, SyslogServer};
use crate::files;

/// What to do about `error`.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind has dozens of kinds, and gets more"
)]
pub(crate) fn advice(target: &LogTarget, error: &io::Error) -> String {
    let directory = match target {
        LogTarget::Stdout => {
            return "See that its reader runs, or name a file as [[access_log]] `path`".into();
        }
        LogTarget::Syslog(syslog) => return about_receiver(&syslog.server, error),
        LogTarget::File(path) => files::directory_of(&files::follow(path)).to_owned(),
        LogTarget::PerPeer(path) => path.directory(),
    };
    let directory = directory.display();
    let user = rustix::process::geteuid().as_raw();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "Its directory {directory} does not exist. Make it as the gateway's user (uid {user}): \
             mkdir -p {directory}; or change [[access_log]] `path`"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "The gateway's user (uid {user}) must be allowed to write the file and, where it is \
             missing, to make it in {directory}"
        ),
        io::ErrorKind::IsADirectory => {
            "It is a directory: name a file in it as [[access_log]] `path`".into()
        }
        io::ErrorKind::NotADirectory => {
            format!("{directory} is not a directory: change [[access_log]] `path`")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("Make room on the file system of {directory}")
        }
        io::ErrorKind::ReadOnlyFilesystem => format!(
            "The file system of {directory} is read-only: remount it, or change [[access_log]] \
             `path` (under systemd, see ReadWritePaths= and LogsDirectory=)"
        ),
        _ if is(error, Errno::NXIO) => {
            "It is a pipe that nobody reads: start its reader first, or name a regular file".into()
        }
        _ => format!("See that the gateway's user (uid {user}) can append to it"),
    }
}

fn about_receiver(server: &SyslogServer, error: &io::Error) -> String {
    let user = rustix::process::geteuid().as_raw();
    match server {
        _ if is(error, Errno::MSGSIZE) => "The line is longer than a datagram may be: lower \
             [[access_log]] `max_field`, or leave long values out of its format"
            .into(),
        _ if is(error, Errno::AGAIN) => {
            "The receiver runs, and takes nothing: see why it has stopped. The lines go there again \
             as soon as it does"
                .into()
        }
        SyslogServer::Unix(path) if is(error, Errno::PROTOTYPE) => format!(
            "{} is no datagram socket, and nothing else is spoken here, as in nginx",
            path.display()
        ),
        SyslogServer::Unix(path) if error.kind() == io::ErrorKind::PermissionDenied => {
            format!("The gateway's user (uid {user}) must be allowed to write to {}", path.display())
        }
        SyslogServer::Unix(path) => format!(
            "Start the receiver that listens on {}, or change [[access_log]] `path`. The lines go \
             there again as soon as it does",
            path.display()
        ),
        SyslogServer::Udp(address) => format!(
            "See that a receiver listens on UDP at {address} and that it can be reached from here. \
             The lines go there again as soon as it does"
        ),
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
