//! `check`: everything that is wrong or doubtful in the configuration, in one run.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use annotate_snippets::{Level, Origin, Renderer};
use serde_json::{Value, json};

use super::config_file::ConfigFile;
use super::{Exit, print, print_error};
use crate::config::{Config, Problem, Severity};
use crate::limits::Ceilings;
use crate::location::Location;
use crate::policy::Policy;
use crate::server::{LoopbackSource, Unresolved, check_source, resolve_within};

/// look for mistakes in the configuration
#[derive(Debug, Default, clap::Args)]
#[command(
    before_help = "Shows every mistake in the configuration and the policies, each with its place, and what is legal \
                   but doubtful. Starts nothing. Of host names it resolves only that of XiVO. phonebook-gateway -t is the same, as in nginx, \
                   and -T is check -T.",
    override_usage = "phonebook-gateway check [OPTIONS]",
    after_help = "Exit codes: 0 valid, 1 problems found, 2 the command line is wrong, 3 the standard output cannot be written."
)]
pub(super) struct Options {
    /// warnings count as problems too
    #[arg(long)]
    pub(super) strict: bool,
    /// the problems as a JSON array on standard output
    #[arg(long)]
    json: bool,
    /// where there is no error, print the configuration as it takes effect: all keys with their defaults, and what the
    /// environment says, in files that can be read again. Keys and certificates are named there and not shown
    #[arg(short = 'T', long, conflicts_with = "json")]
    pub(super) dump: bool,
    /// do not print the summary
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// what `check` does anyway
    #[arg(short = 't', hide = true)]
    _test: bool,
}

impl Options {
    /// Of a check without its name.
    pub(super) fn new(dump: bool, quiet: bool) -> Self {
        Self { dump, quiet, ..Self::default() }
    }
}

/// Runs the command.
pub(super) fn run(options: &Options, config: &ConfigFile) -> Exit {
    let findings = Findings::of(config.path());
    if options.json {
        let exit = print(&format!("{:#}\n", findings.as_json()));
        if exit != Exit::Ok {
            return exit;
        }
    } else {
        show(&findings.render(&super::serve::renderer(std::io::stderr().is_terminal())));
    }
    if !options.quiet {
        if let Some(room) = findings.room() {
            print_error(&room);
        }
        print_error(&findings.summary(config.path(), options.strict));
    }
    if options.dump
        && let Some(config) = findings.config.as_ref().filter(|_| findings.errors() == 0)
    {
        let exit = print(&config.dump());
        if exit != Exit::Ok {
            return exit;
        }
    }
    if findings.are_findings(options.strict) { Exit::Findings } else { Exit::Ok }
}

/// What was found in a configuration, and the configuration if it can be read.
pub(super) struct Findings {
    /// `None` where a problem is an error.
    config: Option<Config>,
    problems: Vec<Problem>,
    /// What `serve` would say of this configuration on this host.
    host: Option<HostProblem>,
}

impl Findings {
    fn of(path: &Path) -> Self {
        match Config::load(path) {
            Ok((config, problems)) => {
                let host = host_problem(&config);
                Self { config: Some(config), problems, host }
            }
            Err(problems) => {
                Self { config: None, problems: problems.iter().cloned().collect(), host: None }
            }
        }
    }

    fn count(&self, severity: Severity) -> usize {
        let found = self.problems.iter().map(Problem::severity);
        let found = found.chain(self.host.iter().map(|problem| problem.severity));
        found.filter(|found| *found == severity).count()
    }

    fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    fn are_findings(&self, strict: bool) -> bool {
        self.errors() > 0 || (strict && self.count(Severity::Warning) > 0)
    }

    /// The problems as people read them, each with a blank line behind it.
    fn render(&self, renderer: &Renderer) -> String {
        let problems = self.problems.iter().map(|problem| problem.render(renderer));
        let host = self.host.iter().map(|problem| problem.render(renderer));
        problems.chain(host).map(|problem| problem + "\n\n").collect()
    }

    fn as_json(&self) -> Value {
        let problems = self.problems.iter().map(|problem| json!(problem));
        problems.chain(self.host.iter().map(HostProblem::as_json)).collect()
    }

    /// What the configured numbers of client connections come to, where the configuration is valid.
    fn room(&self) -> Option<String> {
        let config = self.config.as_ref().filter(|_| self.errors() == 0)?;
        let limits = &config.limits;
        let ceilings = Ceilings::new(limits.max_connections, limits.unknown_connections);
        let own = |policy: &Policy| {
            let share = policy.connections.as_ref()?.value;
            Some(format!("{} {}", policy.name, ceilings.share(Some(share))))
        };
        let own: Vec<String> = config.policies.iter().filter_map(own).collect();
        let own = match own.len() {
            0 => String::new(),
            1..=MOST_NAMED => format!(" ({})", own.join(", ")),
            count => format!(" ({count} policies say otherwise)"),
        };
        let handshakes = if config.listeners.iter().any(|listener| listener.tls.is_some()) {
            format!(" and {} TLS handshakes of theirs under way", ceilings.handshakes)
        } else {
            String::new()
        };
        Some(format!(
            "client connections at once: {} in all, of them {} of a peer{own}; callers in no policy {} \
             together, {} from one address{handshakes}",
            ceilings.all,
            ceilings.share(None),
            ceilings.unknown,
            ceilings.unknown_each,
        ))
    }

    /// The closing line.
    fn summary(&self, path: &Path, strict: bool) -> String {
        let file = path.display();
        let warnings = self.count(Severity::Warning);
        let and_warnings = match warnings {
            0 => String::new(),
            count => format!(" and {}", counted(count, "warning")),
        };
        match &self.config {
            Some(config) if self.errors() == 0 => {
                let peers = counted(config.policies.len(), "peer");
                let listeners = counted(config.listeners.len(), "listener");
                let warnings = match warnings {
                    0 => "no warnings".to_owned(),
                    count => counted(count, "warning"),
                };
                let strict =
                    if strict && self.are_findings(true) { " (--strict: exit code 1)" } else { "" };
                format!(
                    "the configuration {file} is valid: {peers}, {listeners}, {warnings}{strict}"
                )
            }
            _ => format!(
                "the configuration {file} has {}{and_warnings}",
                counted(self.errors(), "error")
            ),
        }
    }
}

/// A problem of a valid configuration on this host.
struct HostProblem {
    severity: Severity,
    location: Location,
    message: String,
    help: String,
}

impl HostProblem {
    fn loopback(found: &LoopbackSource) -> Self {
        let location = found.location().clone();
        let (message, help) = (found.message(), found.help());
        Self { severity: Severity::Error, location, message, help }
    }

    fn unresolved(found: &Unresolved, location: &Location) -> Self {
        let message = found.to_string();
        let help = "correct the name in url, or make it known to this host's resolver \
                    (/etc/resolv.conf, /etc/hosts); `getent ahosts NAME` shows what it answers"
            .to_owned();
        Self { severity: Severity::Warning, location: location.clone(), message, help }
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let line = usize::try_from(self.location.line()).unwrap_or(usize::MAX);
        let origin = Origin::path(self.location.file().to_string_lossy()).line(line).char_column(1);
        let group = level.primary_title(self.message.as_str()).element(origin);
        renderer.render(&[group.element(Level::HELP.message(self.help.as_str()))])
    }

    fn as_json(&self) -> Value {
        json!({
            "severity": self.severity,
            "message": self.message,
            "file": self.location.file().to_string_lossy(),
            "line": self.location.line(),
            "column": 1,
            "label": "",
            "source": null,
            "help": self.help,
            "related": [],
        })
    }
}

/// What `serve` would refuse, or say, at its start on this host, by the rule that it uses.
fn host_problem(config: &Config) -> Option<HostProblem> {
    let upstream = &config.upstream;
    match resolve_within(upstream, RESOLVE_TIMEOUT) {
        Ok(addresses) => {
            check_source(upstream, &addresses).err().as_ref().map(HostProblem::loopback)
        }
        Err(unresolved) => Some(HostProblem::unresolved(&unresolved, &upstream.location)),
    }
}

/// Prints to standard error, where nginx's `-t` prints too.
pub(super) fn show(text: &str) {
    // Where standard error is closed nobody can be told so.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// How long XiVO's name is waited for by a command that serves nothing.
pub(super) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Peers with a share of their own that are named one by one.
const MOST_NAMED: usize = 8;

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
