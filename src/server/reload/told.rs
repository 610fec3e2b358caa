//! What is told of a reload: plain values, which `ctl` prints and the journal has in words.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Change, Problem, Problems, Severity};
use crate::location::Location;

/// One thing that is wrong or doubtful, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The file, as the configuration names it; empty where none is to blame.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// Whether it keeps the configuration from being used.
    pub severity: Severity,
    /// What is wrong, with the value that was found.
    pub message: String,
    /// What to do, where there is something definite to say.
    pub help: Option<String>,
}

impl Finding {
    /// An error that stands at `location`, or nowhere in the files.
    pub(super) fn error(location: Option<&Location>, message: String) -> Self {
        Self {
            file: location.map(|at| at.file().display().to_string()).unwrap_or_default(),
            line: location.map_or(1, |at| usize::try_from(at.line()).unwrap_or(usize::MAX)),
            column: 1,
            severity: Severity::Error,
            message,
            help: None,
        }
    }

    pub(super) fn with_help(self, help: &str) -> Self {
        Self { help: Some(help.to_owned()), ..self }
    }
}

impl From<&Problem> for Finding {
    fn from(problem: &Problem) -> Self {
        Self {
            file: problem.file().display().to_string(),
            line: problem.line(),
            column: problem.column(),
            severity: problem.severity(),
            message: problem.message().to_owned(),
            help: problem.help().map(str::to_owned),
        }
    }
}

/// `policies/lyon.toml:7: what is wrong`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:{}: ", self.file, self.line)?;
        }
        f.write_str(&self.message)
    }
}

/// A reload that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// What runs now.
    pub revision: String,
    /// What ran before.
    pub former_revision: String,
    /// What is different in meaning, a line each; empty where nothing is.
    pub changes: Vec<Change>,
    /// What is legal and doubtful.
    pub warnings: Vec<Finding>,
}

impl ReloadReport {
    /// Whether the files were the same, byte by byte, as those that run, and ran as they are.
    pub fn is_unchanged(&self) -> bool {
        self.revision == self.former_revision && self.changes.is_empty()
    }
}

impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, former_revision, changes, .. } = self;
        if self.is_unchanged() {
            return write!(f, "unchanged: revision {revision} runs already");
        }
        if revision == former_revision {
            // Somebody was kept off when one went back to it.
            write!(f, "revision {revision} runs as its files say")?;
        } else {
            write!(f, "revision {revision} runs in the place of {former_revision}")?;
        }
        match changes.as_slice() {
            [] => f.write_str("; nothing is different in meaning"),
            changes => {
                for (number, change) in changes.iter().take(MOST_TOLD).enumerate() {
                    write!(f, "{}{change}", if number == 0 { ": " } else { "; " })?;
                }
                match changes.len().saturating_sub(MOST_TOLD) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
        }
    }
}

/// A reload that was refused: everything is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct ReloadFault {
    /// All that was found, warnings too; at least one error.
    pub findings: Vec<Finding>,
    /// The same as `check` would show it, for people.
    pub rendered: String,
}

impl ReloadFault {
    /// One fault that no reader of files has found.
    pub(super) fn of(finding: Finding) -> Self {
        Self { rendered: format!("error: {finding}"), findings: vec![finding] }
    }

    /// What the configuration's reader has found.
    pub(super) fn of_problems(problems: &Problems) -> Self {
        let renderer = annotate_snippets::Renderer::plain();
        Self {
            findings: problems.iter().map(Finding::from).collect(),
            rendered: problems.render(&renderer),
        }
    }

    /// The first error.
    pub fn first(&self) -> Option<&Finding> {
        first_error(&self.findings)
    }
}

/// The first error, and how many there are besides.
impl fmt::Display for ReloadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_errors(&self.findings, f)
    }
}

fn first_error(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().find(|finding| finding.severity == Severity::Error)
}

fn fmt_errors(findings: &[Finding], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(first) = first_error(findings) else { return Ok(()) };
    write!(f, "{first}")?;
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    match errors {
        0 | 1 => Ok(()),
        2 => f.write_str(" (and 1 error more)"),
        more => write!(f, " (and {} errors more)", more - 1),
    }
}

/// How what runs differs from what is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Since when that is known.
    pub since: Timestamp,
    /// Why.
    pub why: DiffersBecause,
}

/// Why what runs is not what is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum DiffersBecause {
    /// The files cannot be used.
    Broken {
        /// What is wrong with them.
        findings: Vec<Finding>,
    },
    /// The files are good, and nobody has reloaded them.
    NotLoaded {
        /// Their revision.
        revision: String,
        /// What they would change in meaning.
        changes: Vec<Change>,
    },
    /// Somebody went back to a former configuration.
    RolledBack {
        /// What runs.
        revision: String,
        /// When it had begun to run before.
        from: Timestamp,
        /// Peers that stay switched off though it says otherwise.
        #[serde(default)]
        kept_off: Vec<String>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("running configuration differs from disk: ")?;
        match &self.why {
            DiffersBecause::Broken { findings } => fmt_errors(findings, f),
            DiffersBecause::NotLoaded { revision, changes } => {
                write!(f, "revision {revision} is there and was not reloaded")?;
                match changes.as_slice() {
                    [] => f.write_str("; nothing is different in meaning"),
                    [one] => write!(f, ": {one}"),
                    [first, rest @ ..] => write!(f, ": {first}; and {} more", rest.len()),
                }
            }
            DiffersBecause::RolledBack { revision, from, kept_off } => {
                write!(f, "revision {revision}, which began to run at {from:.0}, runs again")?;
                match kept_off.as_slice() {
                    [] => {}
                    [one] => write!(f, ", but for `{one}`, who stays switched off")?,
                    [first, rest @ ..] => write!(
                        f,
                        ", but for `{first}` and {} more, who stay switched off",
                        rest.len()
                    )?,
                }
                f.write_str(
                    ", until the next reload or restart; write it back to the files to keep it",
                )?;
                if kept_off.is_empty() {
                    Ok(())
                } else {
                    f.write_str(", and enabled = false with it")
                }
            }
        }
    }
}

/// Reloads since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Files that were taken over, or that said what ran already.
    pub done: u64,
    /// Files that were refused.
    pub refused: u64,
    /// When the last one ended, and whether it was done.
    pub last: Option<(Timestamp, bool)>,
}

impl Reloads {
    pub(super) fn note(&mut self, done: bool) {
        *if done { &mut self.done } else { &mut self.refused } += 1;
        self.last = Some((Timestamp::now(), done));
    }
}

/// Changes that one line of the journal has.
const MOST_TOLD: usize = 8;
