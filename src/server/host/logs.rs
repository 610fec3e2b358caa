//! Whether the service's user can write the access logs, found without writing anything, and whether it may have as
//! many files open as connections and logs need.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;
use rustix::process::{Resource, getrlimit};

use super::service::{UNIT, let_write};
use super::{HostFinding, Onlooker, Weight};
use crate::access_log::LogTarget;
use crate::access_log::writer::output::MOST_OPEN;
use crate::config::Config;
use crate::files;
use crate::location::Location;
use crate::worker::shared::OWN_DESCRIPTORS;

/// Looks at each `[[access_log]]`, and at the number of files.
pub(super) fn look(config: &Config, onlooker: &Onlooker) -> Vec<HostFinding> {
    let logs = config.access_logs.iter().zip(&config.access_log_locations);
    let logs = logs.filter_map(|(log, location)| look_at(&log.target, location, config, onlooker));
    logs.chain(descriptors(config, onlooker)).collect()
}

fn look_at(
    target: &LogTarget,
    location: &Location,
    config: &Config,
    onlooker: &Onlooker,
) -> Option<HostFinding> {
    let (file, directory) = match target {
        LogTarget::File(path) => {
            let path = files::follow(path);
            let directory = files::directory_of(&path).to_owned();
            (Some(path), directory)
        }
        LogTarget::PerPeer(path) => (None, path.directory()),
        LogTarget::Syslog(_) | LogTarget::Stdout => return None,
    };
    let finding = |weight, message, help| {
        Some(HostFinding { weight, location: location.clone(), message, help })
    };
    let shown = directory.display();
    let made = onlooker.service.as_ref().filter(|service| service.makes(&directory));
    if made.is_none()
        && let Some(rule) =
            onlooker.sandbox(config).and_then(|sandbox| sandbox.keeps_from_writing(&directory))
    {
        if rule.gives_another(&directory) {
            let message = format!("the access log {target} will not be found there: {UNIT} {rule}");
            let help = "let [[access_log]] `path` be in /var/log/phonebook-gateway";
            return finding(Weight::Warning, message, help.to_owned());
        }
        let message = format!("the access log {target} cannot be written: {UNIT} {rule}");
        return finding(Weight::Error, message, let_write(&directory, "[[access_log]] `path`"));
    }
    match fs::metadata(&directory) {
        // systemd makes it, or gives it to the service's user with all that is in it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && made.is_some() => return None,
        Ok(metadata) if made.is_some_and(|service| service.uid != metadata.uid()) => return None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message =
                format!("the directory {shown} of the access log {target} does not exist");
            return finding(Weight::Error, message, make(&directory, onlooker));
        }
        Err(error) => {
            let message = format!(
                "the directory {shown} of the access log {target} cannot be entered: {error}"
            );
            let help =
                "let the service's user enter it, or change [[access_log]] `path`".to_owned();
            return finding(Weight::Error, message, help);
        }
        Ok(metadata) if !metadata.is_dir() => {
            let message =
                format!("{shown} is no directory, and the access log {target} is to be in it");
            return finding(Weight::Error, message, "change [[access_log]] `path`".to_owned());
        }
        Ok(_) => {}
    }
    if !onlooker.is_the_service() {
        return None;
    }
    let Some(file) = file else {
        // Its files are made when lines come; until then the gateway runs.
        let denied = rustix::fs::access(&directory, Access::WRITE_OK | Access::EXEC_OK).err()?;
        let message =
            format!("the access log {target} cannot be written: {}", io::Error::from(denied));
        return finding(Weight::Warning, message, give(&directory, onlooker));
    };
    let (path, access) = match fs::metadata(&file) {
        Ok(metadata) if metadata.is_dir() => {
            let message = format!("the access log {target} is a directory");
            return finding(
                Weight::Error,
                message,
                "name a file in it as [[access_log]] `path`".to_owned(),
            );
        }
        Ok(_) => (file.as_path(), Access::WRITE_OK),
        Err(_) => (directory.as_path(), Access::WRITE_OK | Access::EXEC_OK),
    };
    let denied = rustix::fs::access(path, access).err()?;
    let owner = fs::metadata(path).map(|metadata| owner(&metadata)).unwrap_or_default();
    let message = format!(
        "the access log {target} cannot be written: {}; {} {owner}",
        io::Error::from(denied),
        path.display()
    );
    finding(Weight::Error, message, give(path, onlooker))
}

fn owner(metadata: &Metadata) -> String {
    match metadata.uid() {
        0 => "is root's".to_owned(),
        uid => format!("is of the user with uid {uid}"),
    }
}

fn make(directory: &Path, onlooker: &Onlooker) -> String {
    let shown = directory.display();
    match &onlooker.service {
        Some(service) => format!(
            "as root: install -d -o {} -g {} -m 750 {shown}; or change [[access_log]] `path`",
            service.user, service.group
        ),
        None => format!(
            "make it as the gateway's user: mkdir -p {shown}; or change [[access_log]] `path`"
        ),
    }
}

fn give(path: &Path, onlooker: &Onlooker) -> String {
    let shown = path.display();
    match &onlooker.service {
        Some(service) => format!("as root: chown {}:{} {shown}", service.user, service.group),
        None => format!(
            "let the user with uid {} write it: chown, as root; or change [[access_log]] `path`: {shown}",
            rustix::process::geteuid().as_raw()
        ),
    }
}

/// Files that connections and logs may need, and how many may be open.
fn descriptors(config: &Config, onlooker: &Onlooker) -> Option<HostFinding> {
    let of_peers =
        config.access_logs.iter().filter(|log| matches!(log.target, LogTarget::PerPeer(_)));
    let logs = of_peers.count() * (config.policies.len() + 1).min(MOST_OPEN);
    let needed = 2 * config.limits.max_connections + OWN_DESCRIPTORS + logs;
    let (limit, whose) = match onlooker.service.as_ref().and_then(|service| service.descriptors) {
        Some(limit) => (limit, "LimitNOFILE= of the unit"),
        None => (getrlimit(Resource::Nofile).maximum?, "the limit of this process (ulimit -Hn)"),
    };
    if limit >= needed as u64 {
        return None;
    }
    let and_logs =
        if logs > 0 { format!(" and {logs} files of the peers' logs") } else { String::new() };
    Some(HostFinding {
        weight: Weight::Warning,
        location: Location::new(config.file.clone().into(), 1),
        message: format!(
            "{} connections (max_connections){and_logs} may need {needed} open files, and {whose} allows {limit}; \
             connections beyond that are refused",
            config.limits.max_connections
        ),
        help: format!("set LimitNOFILE={needed} in the unit, or lower max_connections in [limits]"),
    })
}
