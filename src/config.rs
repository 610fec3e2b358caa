//! The configuration: `gateway.toml` and the policies, read into types that cannot be half valid.
//!
//! A [`Config`] exists only if no file had an error. All problems of all files are found in one run.
//! Every key of the contract is known; one whose function does not exist yet is an error unless it
//! has its harmless default, so nothing that was asked for is ever ignored in silence.
//!
//! The environment takes part only through `${NAME}` in string values. Relative paths are relative
//! to the file that names them.
//!
//! Imports `access_log`, `files`, `identity`, `limits`, `location`, `policy`, `refusal`, `resolver`,
//! `tls`, `upstream`, `x509`. Begin with `Config::load`, then `section.rs`.

mod changes;
mod cross_check;
mod document;
mod dump;
mod policy;
mod section;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use ring::digest;

use crate::access_log::{Format, LogSettings};
use crate::location::{Located, Location};
use crate::policy::{PeerName, Policy};
use crate::x509::Hex;

pub use changes::{Change, changes};
pub(crate) use document::diagnostic::{escaped, listed, nearest};
pub use document::files::DiskStamps;
pub use document::problem::{Problem, Problems, Severity};
pub use section::admin::{Admin, AdminAddress, DEFAULT_ADMIN_SOCKET, Token, TokenFault};
pub use section::control::{ControlSocketPath, DEFAULT_CONTROL_SOCKET, control_socket};
pub use section::limits::Limits;
pub use section::listen::Listener;
pub use section::reload::Reload;
pub use section::upstream::{CheckSection, CircuitSection, Upstream, read_https_url};
pub(crate) use value::address::written_host;

/// A time as the configuration writes it.
///
/// # Errors
/// What is wrong with it, and what is allowed.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    document::units::duration(text)
        .map_err(|diagnostic| format!("{}; {}", diagnostic.message, diagnostic.label))
}

pub use value::authority::UpstreamHost;

use document::environment::Variables;
use document::problem::Document;
use policy::{PolicyContext, WrittenPolicy};

/// A configuration without errors. Only [`Config::load`] and [`Config::from_texts`] make one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The main file, as the caller named it.
    pub file: PathBuf,
    /// Where what has to outlive a restart is kept. Nothing checks that it can be written.
    pub state_directory: PathBuf,
    /// Where that is written.
    pub state_directory_location: Location,
    /// The number of worker threads; 0 stands for one per core.
    pub workers: usize,
    /// Where that is written.
    pub workers_location: Location,
    /// The listening addresses; at least one.
    pub listeners: Vec<Listener>,
    /// XiVO's web server.
    pub upstream: Upstream,
    /// What one caller, and all together, may use up. Apart, so that a connection holds no more of a
    /// configuration than that.
    pub limits: Arc<Limits>,
    /// The access logs; at least one.
    pub access_logs: Vec<LogSettings>,
    /// Where each of them is written.
    pub access_log_locations: Vec<Location>,
    /// The formats of `[log_format]`, in the order of their names.
    pub log_formats: Vec<(String, Arc<Format>)>,
    /// Where the policies were looked for.
    pub policies_directory: PathBuf,
    /// The policies, in the byte order of their file names, and behind them those that are broken. May be empty:
    /// then nobody is let in.
    pub policies: Vec<Policy>,
    /// What is wrong with policies that deny their peers for it ([`Config::load_for_start`]); none, as a rule.
    pub broken: Vec<Problem>,
    /// Whether callers may ask who they are.
    pub whoami: bool,
    /// How names in policies are resolved.
    pub names: crate::resolver::Settings,
    /// The socket that the running gateway is asked by; `None`: it has none.
    pub control_socket: Located<Option<PathBuf>>,
    /// The admin listener.
    pub admin: Admin,
    /// How the configuration is taken over while the gateway runs.
    pub reload: Reload,
    /// A digest of all configuration files in hexadecimal, as `$policy_revision`.
    pub revision: String,
    /// The texts that it was read from.
    pub sources: Arc<Sources>,
    /// The files as they were just before they were read; `None` where it was read from memory.
    pub stamps: Option<DiskStamps>,
    /// Peers that are switched off since one has gone back to this configuration, which may not say so.
    off: BTreeMap<PeerName, Located<bool>>,
    /// Those of them whose policy here says otherwise.
    kept_off: Vec<PeerName>,
}

/// The texts of a configuration, as they were written: `${NAME}` is not expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The main file.
    pub main: Source,
    /// The policies.
    pub policies: Vec<Source>,
}

/// A file's name and text.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as the configuration names it.
    pub file: PathBuf,
    /// What stands in it.
    pub text: String,
}

/// The text may be long, and it is somebody's.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Source {
    fn of(document: &Document) -> Self {
        Self { file: document.file().to_owned(), text: document.text().to_owned() }
    }
}

impl Config {
    /// Reads the main file at `path` and the policies that it names.
    ///
    /// Returns the configuration with its warnings, or everything that was found if an error is
    /// among it. The clock is read once, to warn of expired policies.
    ///
    /// # Errors
    /// Everything that was found, the warnings with it.
    pub fn load(path: &Path) -> Result<(Self, Vec<Problem>), Problems> {
        Self::load_from_disk(path, false)
    }

    /// The same for a gateway that starts. Where `[reload] strict_boot` is `false`, a policy with a mistake denies
    /// its peer, as far as its hosts can be read, and the others are used; its mistakes are in
    /// [`broken`](Self::broken).
    ///
    /// # Errors
    /// Everything that was found, if an error that keeps it from being used is among it.
    pub fn load_for_start(path: &Path) -> Result<(Self, Vec<Problem>), Problems> {
        Self::load_from_disk(path, true)
    }

    fn load_from_disk(path: &Path, starts: bool) -> Result<(Self, Vec<Problem>), Problems> {
        let variables = |name: &str| std::env::var(name).ok();
        // Looked at before they are read: what changes in between is seen to have changed.
        let stamps = DiskStamps::of_main(path);
        let main =
            document::files::read_main(path).map_err(|problem| Problems::new(vec![*problem]))?;
        let (mut draft, mut found) = section::main::read(&main, &variables);
        draft.tolerant = starts && !draft.reload.strict_boot;
        let stamps = stamps.with_policies(&draft.policies_directory);
        let policies = document::files::read_policies(&draft, &main, &mut found);
        let (mut config, warnings) = assemble(&main, draft, &policies, &variables, found)?;
        config.stamps = Some(stamps);
        Ok((config, warnings))
    }

    /// Reads a configuration from texts that were kept.
    ///
    /// # Errors
    /// Everything that was found, if an error is among it.
    pub fn from_sources(sources: &Sources) -> Result<(Self, Vec<Problem>), Problems> {
        let document = |source: &Source| Document::new(source.file.clone(), source.text.clone());
        let variables = |name: &str| std::env::var(name).ok();
        let main = document(&sources.main);
        let (draft, found) = section::main::read(&main, &variables);
        let policies: Vec<_> = sources.policies.iter().map(document).collect();
        assemble(&main, draft, &policies, &variables, found)
    }

    /// Whether nothing is otherwise than the texts say.
    pub fn is_as_written(&self) -> bool {
        self.kept_off.is_empty() && self.broken.is_empty()
    }

    /// This one, to run in the place of `running` though it is older: it stands for the same files, and whoever is
    /// switched off there, or in what is on disk, or was so before one went back once already, stays so.
    #[must_use]
    pub fn in_the_place_of(mut self, running: &Self, disk: Option<&Self>) -> Self {
        self.off.clone_from(&running.off);
        for config in std::iter::once(running).chain(disk) {
            let off = config
                .policies
                .iter()
                .filter(|policy| !policy.enabled.value && !config.is_refused_by_mistake(policy));
            for policy in off {
                self.off.entry(policy.name.clone()).or_insert_with(|| policy.enabled.clone());
            }
        }
        for policy in self.policies.iter_mut().filter(|policy| policy.enabled.value) {
            if let Some(off) = self.off.get(&policy.name) {
                policy.enabled = off.clone();
                self.kept_off.push(policy.name.clone());
            }
        }
        self.file.clone_from(&running.file);
        self.stamps.clone_from(&running.stamps);
        self.policies_directory.clone_from(&running.policies_directory);
        self.reload.keep = running.reload.keep;
        self
    }

    /// Peers that are switched off though their policies here say otherwise.
    pub fn kept_off(&self) -> &[PeerName] {
        &self.kept_off
    }

    /// Whether it is for a mistake in its policy that a peer is refused ([`Self::load_for_start`]).
    pub fn is_refused_by_mistake(&self, policy: &Policy) -> bool {
        self.broken.iter().any(|problem| problem.file() == policy.location.file())
    }

    /// Reads a configuration from memory: the main file's name and text, and those of each policy,
    /// such as `("policies/lyon.toml", "…")`. `[policies] directory` is read and not followed.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_texts(
        main: (&str, &str),
        policies: &[(&str, &str)],
    ) -> Result<(Self, Vec<Problem>), Problems> {
        read_texts(main, policies, &|name| std::env::var(name).ok())
    }
}

fn read_texts(
    main: (&str, &str),
    policies: &[(&str, &str)],
    variables: Variables<'_>,
) -> Result<(Config, Vec<Problem>), Problems> {
    let document = |(name, text): (&str, &str)| Document::new(PathBuf::from(name), text.to_owned());
    let main = document(main);
    let (draft, found) = section::main::read(&main, variables);
    let mut policies = policies.to_vec();
    policies.sort_unstable();
    let policies: Vec<_> = policies.into_iter().map(document).collect();
    assemble(&main, draft, &policies, variables, found)
}

/// Reads the policies, compares them, and makes the configuration if there was no error.
fn assemble(
    main: &Arc<Document>,
    draft: section::main::Draft,
    documents: &[Arc<Document>],
    variables: Variables<'_>,
    mut found: Vec<Problem>,
) -> Result<(Config, Vec<Problem>), Problems> {
    let context = PolicyContext {
        variables,
        now: Timestamp::now(),
        gateway_rate: draft.limits.rate.value,
        max_connections: draft.limits.max_connections,
    };
    let written: Vec<WrittenPolicy> = documents
        .iter()
        .filter_map(|document| policy::read(document, &context, &mut found))
        .collect();
    found.extend(cross_check::policies::compare(&written));
    found.extend(cross_check::address_lists::compare(&draft.listeners, &written));
    found.extend(cross_check::access_logs::compare(&draft.access_logs, &written));
    let is_error = |problem: &Problem| problem.severity() == Severity::Error;
    // A listener or a section or a policy that has a mistake would also be reported as missing.
    if !found.iter().any(is_error) {
        found.extend(cross_check::certificates::compare(&draft.listeners, &written));
        found.extend(cross_check::access_logs::warn_of_peers(&draft.access_logs, &written));
    }
    // The main file comes first, and what was found by comparing files stands where it belongs.
    found.sort_by(|a, b| {
        let is_policy = |problem: &Problem| problem.file() != main.file();
        let order = |it: &Problem| (it.line(), it.offset());
        (is_policy(a), a.file(), order(a)).cmp(&(is_policy(b), b.file(), order(b)))
    });
    let fatal =
        |problem: &Problem| is_error(problem) && !(draft.tolerant && problem.file() != main.file());
    match draft.upstream {
        Some(upstream) if !found.iter().any(fatal) => {
            let (broken, found): (Vec<_>, Vec<_>) = found.into_iter().partition(is_error);
            let config = Config {
                file: main.file().to_owned(),
                state_directory: draft.state_directory.value,
                state_directory_location: draft.state_directory.location,
                workers: usize::try_from(draft.workers.value).unwrap_or_default(),
                workers_location: draft.workers.location,
                listeners: draft.listeners,
                upstream,
                limits: Arc::new(draft.limits),
                access_log_locations: draft
                    .access_logs
                    .iter()
                    .map(|log| log.location.clone())
                    .collect(),
                access_logs: draft.access_logs.into_iter().map(|log| log.settings).collect(),
                log_formats: draft.log_formats,
                policies_directory: draft.policies_directory,
                policies: policies(written, &broken),
                broken,
                whoami: draft.whoami,
                names: draft.names,
                control_socket: draft.control_socket,
                admin: draft.admin,
                reload: draft.reload,
                revision: revision(main, documents),
                sources: Arc::new(Sources {
                    main: Source::of(main),
                    policies: documents.iter().map(|document| Source::of(document)).collect(),
                }),
                stamps: None,
                off: BTreeMap::new(),
                kept_off: Vec::new(),
            };
            Ok((config, found))
        }
        _ => Err(Problems::new(found)),
    }
}

/// The policies; those with a mistake refuse their peer, and stand behind all others, which come first where both
/// name the same caller.
fn policies(written: Vec<WrittenPolicy>, broken: &[Problem]) -> Vec<Policy> {
    let mut mistakes: BTreeMap<&Path, Location> = BTreeMap::new();
    for problem in broken {
        mistakes.entry(problem.file()).or_insert_with(|| problem.location());
    }
    let mistake = |written: &WrittenPolicy| mistakes.get(written.document.file()).cloned();
    let (mut policies, mut denied) = (Vec::new(), Vec::new());
    for written in written {
        match mistake(&written) {
            None => policies.push(written.policy),
            // Nobody can be called by a name that is none.
            Some(_) if written.is_unnamed() => {}
            Some(location) => {
                let enabled = Located { value: false, location, written: true };
                denied.push(Policy { enabled, ..written.policy });
            }
        }
    }
    policies.append(&mut denied);
    policies
}

/// Digits that differ where a file's name or text does.
fn revision(main: &Document, policies: &[Arc<Document>]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for document in std::iter::once(main).chain(policies.iter().map(Arc::as_ref)) {
        let name = document.file().file_name().unwrap_or_default();
        for part in [name.as_encoded_bytes(), document.text().as_bytes()] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Hex(&hash.finish().as_ref()[..REVISION_BYTES]).to_string()
}

/// Where the main file is unless `--config` says otherwise.
pub(crate) const DEFAULT_FILE: &str = "/etc/phonebook-gateway/gateway.toml";

/// Of a revision; each has two digits.
const REVISION_BYTES: usize = 6;

#[cfg(test)]
mod tests;
