//! Files that two logs would write, and peers that only a log knows.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::access_log::{LogTarget, PeerPath};
use crate::config::document::diagnostic::{listed, nearest, shown};
use crate::config::document::problem::{Mark, Problem};
use crate::config::policy::WrittenPolicy as Policy;
use crate::config::section::access_log::Written;

/// Reports each file that two logs would write, one of them by a peer's name.
pub(crate) fn compare(logs: &[Written], policies: &[Policy]) -> Vec<Problem> {
    let mut found = Vec::new();
    if !logs.iter().any(|log| matches!(log.settings.target, LogTarget::PerPeer(_))) {
        return found;
    }
    let names = policies.iter().map(|policy| policy.policy.name.as_str());
    let names: Vec<&str> = names.chain([PeerPath::NOBODY]).collect();
    let mut owners: HashMap<PathBuf, usize> = HashMap::new();
    for (index, log) in logs.iter().enumerate() {
        let files: Vec<(PathBuf, Option<&str>)> = match &log.settings.target {
            LogTarget::File(path) => vec![(path.clone(), None)],
            LogTarget::PerPeer(path) => {
                names.iter().map(|name| (path.of(name), Some(*name))).collect()
            }
            LogTarget::Syslog(_) | LogTarget::Stdout => Vec::new(),
        };
        for (file, name) in files {
            let shown = file.display().to_string();
            let Some(other) = owners.insert(file, index).and_then(|first| logs.get(first)) else {
                continue;
            };
            // The same path written twice was refused when it was read.
            if std::ptr::eq(other, log) || other.settings.target == log.settings.target {
                continue;
            }
            let whose = match name {
                Some(PeerPath::NOBODY) => "for requests of nobody ".to_owned(),
                Some(name) => format!("for the peer `{name}` "),
                None => String::new(),
            };
            let location = &other.location;
            let message = format!(
                "`access_log.path`: {whose}this is {shown}, and the log of {location} goes there too"
            );
            let help = "change one of the two paths, or rename the peer".to_owned();
            found.push(Problem::error(message, log.mark.clone()).with_help(Some(help)));
            break;
        }
    }
    found
}

/// Warns of peers that a log is for and that no policy has.
pub(crate) fn warn_of_peers(logs: &[Written], policies: &[Policy]) -> Vec<Problem> {
    let names = || policies.iter().map(|policy| policy.policy.name.as_str());
    let unknown = |(name, _): &&(String, Mark)| !names().any(|known| known == name);
    let warn = |(name, mark): &(String, Mark)| {
        let message = format!("`access_log.if.peer`: no policy has the name {}", shown(name));
        let mut known: Vec<&str> = names().take(SHOWN_PEERS).collect();
        known.sort_unstable();
        // `nearest` compares with `_`.
        let near = names().find(|known| {
            let known = known.replace('-', "_");
            nearest(name, [known.as_str()]).is_some()
        });
        let help = match near {
            Some(near) => Some(format!("did you mean \"{near}\"?")),
            None if known.is_empty() => None,
            None => Some(format!("there are {}", listed(&known, "and"))),
        };
        Problem::warning(message, mark.clone()).with_help(help)
    };
    logs.iter().flat_map(|log| &log.peers).filter(unknown).map(warn).collect()
}

/// Peers that a warning lists.
const SHOWN_PEERS: usize = 8;
