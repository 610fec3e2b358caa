//! What this process's user may not read, and what lets it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};
use rustix::fs::Access;
use rustix::io::Errno;

use super::follow;

/// What is closed to this process's user, be it `path` or a directory on the way to it, and what opens it, for root.
/// It is a clause without a full stop.
pub(crate) fn how_to_open(path: &Path) -> String {
    let path = follow(path);
    let path = std::path::absolute(&path).unwrap_or(path);
    let on_the_way: Vec<&Path> = path.ancestors().skip(1).collect();
    let closed = on_the_way.into_iter().rev().find(|directory| is_closed(directory));
    let (what, verb, mode) = match closed {
        Some(directory) => (directory, "enter", 750),
        None if path.is_dir() => (path.as_path(), "list and enter", 750),
        None => (path.as_path(), "read", 640),
    };
    let user = user_name(geteuid());
    let may_not = format!("{user} may not {verb} {}", what.display());
    if let Some(group) = group_that_may(what) {
        return format!(
            "{may_not}, and members of the group {group} may: write SupplementaryGroups={group} into [Service] of the \
             unit (systemctl edit phonebook-gateway)"
        );
    }
    if closed.is_some_and(is_others) {
        return format!("{may_not}: let the file be in /etc/phonebook-gateway");
    }
    let shown = word(what.as_os_str());
    let (who, group) = whom_to_let();
    format!("{may_not}; {who}: chgrp {group} {shown} && chmod {mode} {shown}")
}

fn is_closed(directory: &Path) -> bool {
    rustix::fs::access(directory, Access::EXEC_OK) == Err(Errno::ACCESS)
}

/// The group by which the service could read it, where that is no change of the file's rights.
fn group_that_may(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let bit = if metadata.is_dir() { 0o010 } else { 0o040 };
    let group = Gid::from_raw(metadata.gid());
    if metadata.mode() & bit == 0 || metadata.gid() == 0 || group == getegid() {
        return None;
    }
    Some(Group::from_gid(group).ok()??.name)
}

/// Whether a directory is a home or one of the system's, whose rights are no business of the gateway.
fn is_others(directory: &Path) -> bool {
    let depth = directory.components().filter(|part| matches!(part, Component::Normal(_))).count();
    depth <= 2 && !directory.starts_with("/etc")
}

/// For whom a file is opened, and by which group: this process's user, unless that is a person, who only looks.
fn whom_to_let() -> (&'static str, String) {
    let own = geteuid();
    let is_person = (FIRST_PERSON..NOBODY).contains(&own.as_raw());
    let group = Group::from_gid(getegid()).ok().flatten().filter(|_| !own.is_root() && !is_person);
    let who =
        if is_person { "run this as root, or let the service's user, as root" } else { "as root" };
    (who, group.map_or_else(|| SERVICE.to_owned(), |group| group.name))
}

fn user_name(user: Uid) -> String {
    match User::from_uid(user).ok().flatten() {
        Some(found) => format!("the user {} (uid {user})", found.name),
        None => format!("the user with uid {user}"),
    }
}

/// A word of a shell's command line.
fn word(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:,%".contains(c);
    if text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The user, and the group, that the package makes.
const SERVICE: &str = "phonebook-gateway";

/// The numbers of people, as Debian gives them.
const FIRST_PERSON: u32 = 1000;
const NOBODY: u32 = 65534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        let word = |text: &str| word(OsStr::new(text));
        assert_eq!(
            word("/etc/phonebook-gateway/policies/lyon.toml"),
            "/etc/phonebook-gateway/policies/lyon.toml"
        );
        assert_eq!(word("/srv/my keys/it's"), r"'/srv/my keys/it'\''s'");
        assert_eq!(word("/a;rm"), "'/a;rm'");
    }

    #[test]
    fn homes_and_the_systems_directories_stay_as_they_are() {
        for directory in ["/root", "/home/alice", "/var/lib"] {
            assert!(is_others(Path::new(directory)), "{directory}");
        }
        for directory in ["/etc/phonebook-gateway", "/etc/letsencrypt/live", "/srv/gateway/certs"] {
            assert!(!is_others(Path::new(directory)), "{directory}");
        }
    }
}
