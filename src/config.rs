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

mod cross_check;
mod document;
mod dump;
mod policy;
mod section;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use ring::digest;

use crate::access_log::{Format, LogSettings};
use crate::policy::Policy;
use crate::x509::Hex;

pub(crate) use document::diagnostic::{listed, nearest};
pub use document::problem::{Problem, Problems, Severity};
pub use section::limits::Limits;
pub use section::listen::Listener;
pub use section::upstream::{Upstream, read_https_url};
pub(crate) use value::address::written_host;
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
    /// The number of worker threads; 0 stands for one per core.
    pub workers: usize,
    /// The listening addresses; at least one.
    pub listeners: Vec<Listener>,
    /// XiVO's web server.
    pub upstream: Upstream,
    /// What one caller, and all together, may use up.
    pub limits: Limits,
    /// The access logs; at least one.
    pub access_logs: Vec<LogSettings>,
    /// The formats of `[log_format]`, in the order of their names.
    pub log_formats: Vec<(String, Arc<Format>)>,
    /// Where the policies were looked for.
    pub policies_directory: PathBuf,
    /// The policies, in the byte order of their file names. May be empty: then nobody is let in.
    pub policies: Vec<Policy>,
    /// Whether callers may ask who they are.
    pub whoami: bool,
    /// How names in policies are resolved.
    pub names: crate::resolver::Settings,
    /// A digest of all configuration files in hexadecimal, as `$policy_revision`.
    pub revision: String,
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
        let variables = |name: &str| std::env::var(name).ok();
        let main =
            document::files::read_main(path).map_err(|problem| Problems::new(vec![*problem]))?;
        let (draft, mut found) = section::main::read(&main, &variables);
        let policies = document::files::read_policies(&draft, &main, &mut found);
        assemble(&main, draft, &policies, &variables, found)
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
        (is_policy(a), a.file(), a.offset()).cmp(&(is_policy(b), b.file(), b.offset()))
    });
    let broken = found.iter().any(is_error);
    match draft.upstream {
        Some(upstream) if !broken => {
            let config = Config {
                file: main.file().to_owned(),
                state_directory: draft.state_directory,
                workers: draft.workers,
                listeners: draft.listeners,
                upstream,
                limits: draft.limits,
                access_logs: draft.access_logs.into_iter().map(|log| log.settings).collect(),
                log_formats: draft.log_formats,
                policies_directory: draft.policies_directory,
                policies: written.into_iter().map(|written| written.policy).collect(),
                whoami: draft.whoami,
                names: draft.names,
                revision: revision(main, documents),
            };
            Ok((config, found))
        }
        _ => Err(Problems::new(found)),
    }
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

/// Of a revision; each has two digits.
const REVISION_BYTES: usize = 6;

#[cfg(test)]
mod tests;
