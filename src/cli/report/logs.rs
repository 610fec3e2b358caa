//! The files that a configuration's logs are in.

use std::path::PathBuf;

use crate::access_log::{LogFormat, LogSettings, LogTarget};
use crate::cli::usage::Misuse;
use crate::cli::{Exit, print_error};
use crate::config::Config;
use crate::report::read::input::{Source, of_peers, rotated};
use crate::report::read::pattern::Pattern;

/// The files of the first log that takes every request, and what logrotate has made of them; to be followed, the log
/// alone. Others would count its requests again. What cannot be read is noted.
pub(super) fn of(
    config: &Config,
    alone: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Source>, Exit> {
    let logs = &config.access_logs;
    let mut hindered: Vec<String> = logs.iter().filter_map(hindrance).collect();
    let can = |log: &&LogSettings| hindrance(log).is_none();
    let takes_all = logs.iter().filter(can).find(|log| log.condition.is_none());
    let Some(log) = takes_all.or_else(|| logs.iter().find(can)) else {
        hindered.iter().for_each(|sentence| print_error(sentence));
        let what = "none of the configuration's logs can be read from here; give files, or - for the standard input";
        return Err(Misuse::new("report", what).report());
    };
    notes.append(&mut hindered);
    if log.condition.is_some() {
        notes.push(format!(
            "{} takes the requests that its `if` names, and no log that can be read takes all: what is said here holds of \
             those alone.",
            log.target
        ));
    }
    let found = files(&log.target, alone);
    if found.is_empty() {
        print_error(&format!(
            "there is no log at {}, where the configuration has it; give files, or - for the standard input",
            log.target
        ));
        return Err(Exit::Failed);
    }
    Ok(found)
}

fn files(target: &LogTarget, alone: bool) -> Vec<Source> {
    let logs: Vec<PathBuf> = match target {
        LogTarget::File(path) => vec![path.clone()],
        LogTarget::PerPeer(path) => of_peers(path),
        LogTarget::Syslog(_) | LogTarget::Stdout => Vec::new(),
    };
    if alone {
        logs.into_iter().filter(|log| log.is_file()).map(Source::File).collect()
    } else {
        logs.iter().flat_map(|log| rotated(log)).collect()
    }
}

/// Why the lines of a log cannot be read from here.
fn hindrance(log: &LogSettings) -> Option<String> {
    let target = &log.target;
    match target {
        LogTarget::Syslog(_) => Some(format!(
            "The log {target} is not read: its lines are where its receiver keeps them. Give that file: \
             phonebook-gateway report FILE."
        )),
        LogTarget::Stdout => Some(
            "The log on the standard output is not read: its lines are where that is kept, in the journal say: \
             journalctl -u phonebook-gateway -o cat | phonebook-gateway report -."
                .to_owned(),
        ),
        LogTarget::File(_) | LogTarget::PerPeer(_) => {
            let LogFormat::Compiled(format) = &log.format else { return None };
            let error = Pattern::of_format(format).err()?;
            Some(format!("The log {target} cannot be read: {error}."))
        }
    }
}
