//! `check`: everything that is wrong or doubtful in the configuration, in one run.

mod as_user;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use annotate_snippets::{Level, Origin, Renderer};
use serde_json::{Value, json};

use as_user::{Eyes, eyes};

use super::config_file::ConfigFile;
use super::{Exit, print, print_error, print_json};
use crate::config::{Config, Problem, Severity};
use crate::limits::Ceilings;
use crate::policy::Policy;
use crate::server::{HostFinding, Onlooker, Scope, Weight, look_at_host};

/// look for mistakes in the configuration
#[derive(Debug, Default, clap::Args)]
#[command(
    before_help = "Shows every mistake in the configuration and the policies, each with its place, and what is legal \
                   but doubtful; then looks at this host: addresses, ports, logs, names, XiVO. Where root runs it, files are read \
                   as the service's user would read them. Starts and writes nothing. phonebook-gateway -t is the same, as in \
                   nginx, and -T is check -T.",
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
    /// look at the files alone, and not at this host: for the configuration of another one
    #[arg(long, conflicts_with = "as_user")]
    offline: bool,
    /// look with this user's rights, which takes root; else with those of the user of phonebook-gateway.service
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
    /// what root has seen comes on the standard input
    #[arg(long, hide = true, conflicts_with_all = ["offline", "as_user"])]
    onlooker: bool,
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
    let (onlooker, note) = if options.offline {
        (None, None)
    } else {
        match eyes(options, config) {
            Eyes::Others(exit) => return exit,
            Eyes::Own { onlooker, note } => (Some(onlooker), note),
        }
    };
    let findings = Findings::of(config.path(), onlooker.as_ref());
    if options.json {
        let exit = print_json(&findings.as_json());
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
        if let Some(note) = note {
            print_error(&note);
        }
        print_error(&findings.summary(config.path(), options.strict));
    }
    if options.dump
        && let Some(config) = findings.config.as_ref()
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
    /// What this host says to the configuration.
    host: Vec<HostFinding>,
}

impl Findings {
    /// Without an onlooker only the files are looked at.
    fn of(path: &Path, onlooker: Option<&Onlooker>) -> Self {
        match Config::load(path) {
            Ok((config, problems)) => {
                let host = onlooker.map(|onlooker| look_at_host(&config, onlooker, Scope::Whole));
                Self { config: Some(config), problems, host: host.unwrap_or_default() }
            }
            Err(problems) => {
                let problems = problems.iter().cloned().collect();
                Self { config: None, problems, host: Vec::new() }
            }
        }
    }

    fn count(&self, severity: Severity) -> usize {
        let found = self.problems.iter().map(Problem::severity);
        let found = found.chain(self.host.iter().filter_map(|found| severity_of(found.weight)));
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
        let host = self.host.iter().map(|found| render(found, renderer));
        problems.chain(host).map(|problem| problem + "\n\n").collect()
    }

    fn as_json(&self) -> Value {
        let problems = self.problems.iter().map(|problem| json!(problem));
        problems.chain(self.host.iter().map(as_json)).collect()
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

fn severity_of(weight: Weight) -> Option<Severity> {
    match weight {
        Weight::Error => Some(Severity::Error),
        Weight::Warning => Some(Severity::Warning),
        Weight::Note => None,
    }
}

fn render(found: &HostFinding, renderer: &Renderer) -> String {
    let level = match found.weight {
        Weight::Error => Level::ERROR,
        Weight::Warning => Level::WARNING,
        Weight::Note => Level::NOTE,
    };
    let line = usize::try_from(found.location.line()).unwrap_or(usize::MAX);
    let origin = Origin::path(found.location.file().to_string_lossy()).line(line).char_column(1);
    let group = level.primary_title(found.message.as_str()).element(origin);
    renderer.render(&[group.element(Level::HELP.message(found.help.as_str()))])
}

fn as_json(found: &HostFinding) -> Value {
    let severity =
        severity_of(found.weight).map_or_else(|| json!("note"), |severity| json!(severity));
    json!({
        "severity": severity,
        "message": found.message,
        "file": found.location.file().to_string_lossy(),
        "line": found.location.line(),
        "column": 1,
        "label": "",
        "source": null,
        "help": found.help,
        "related": [],
    })
}

/// Prints to standard error, where nginx's `-t` prints too.
pub(super) fn show(text: &str) {
    // Where standard error is closed nobody can be told so.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// How long XiVO's name is waited for by a command that serves nothing.
pub(super) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Peers with a share of their own that are named one by one.
const MOST_NAMED: usize = 8;
