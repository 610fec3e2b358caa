//! Whether the gateway that runs goes by the files that were explained, and whom it has switched off.

use std::path::absolute;
use std::time::Duration;

use crate::cli::ctl::Target;
use crate::config::Config;
use crate::control::documents::Revision;
use crate::control::protocol::{Answer, Command};

/// A gateway that answers on the configuration's control socket.
#[derive(Clone, Debug)]
pub(super) struct Running {
    /// The main file that it runs.
    pub(super) file: String,
    /// What it runs of it.
    pub(super) revision: String,
    /// What is to be said of it, where it does not go by these files.
    pub(super) note: Option<String>,
}

impl Running {
    /// The gateway that runs with `config`, if one answers at once.
    pub(super) fn find(config: &Config) -> Option<Self> {
        let socket = config.control_socket.value.as_deref()?;
        let target = Target::at(socket.to_owned());
        let (answer, _) = target.ask(&Command::Revision {}, PATIENCE).ok()?;
        let Answer { ok: Some(document), .. } = answer else { return None };
        let Revision { configuration, since, .. } = serde_json::from_value(document).ok()?;
        let (file, revision) = (configuration.file, configuration.revision);
        let own = absolute(&config.file).unwrap_or_else(|_| config.file.clone());
        let is_own = own.display().to_string() == file
            || own.canonicalize().is_ok_and(|own| own.display().to_string() == file);
        let note = if !is_own {
            Some(format!(
                "the gateway that answers at {} runs another configuration, {file}; this is what {} \
                 says",
                socket.display(),
                config.file.display()
            ))
        } else if revision != config.revision {
            let differs = configuration.differs.map(|why| format!(" ({why})")).unwrap_or_default();
            Some(format!(
                "the running gateway, started at {since:.0}, does not go by these files: it runs \
                 revision {revision}, and they are revision {}{differs}. `phonebook-gateway ctl reload` \
                 takes them over",
                config.revision
            ))
        } else {
            // The same files, and not all of what they say.
            configuration.differs.map(|why| format!("the running gateway: {why}"))
        };
        Some(Self { file, revision, note })
    }
}

/// For the answer; a gateway that does not answer at once is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
