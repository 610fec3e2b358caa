//! `check`: everything that is wrong or doubtful in the configuration, in one run.

use std::io::{IsTerminal, Write};
use std::path::Path;

use annotate_snippets::{Level, Origin, Renderer};
use serde_json::{Value, json};

use super::config_file::ConfigFile;
use super::{Exit, print, print_error};
use crate::config::{Config, Problem, Severity, Upstream, UpstreamHost};
use crate::limits::Ceilings;
use crate::policy::Policy;
use crate::server::{LoopbackSource, check_source, resolve};

/// look for mistakes in the configuration
#[derive(Debug, Default, clap::Args)]
#[command(
    before_help = "Shows every mistake in the configuration and the policies, each with its place, and what is legal \
                   but doubtful. Starts nothing and resolves no names. phonebook-gateway -t is the same, as in nginx, \
                   and -T is check -T.",
    override_usage = "phonebook-gateway check [OPTIONS]",
    after_help = "Exit codes: 0 valid, 1 findings, 2 the command line is wrong, 3 the standard output cannot be written."
)]
pub(super) struct Options {
    /// warnings are findings too
    #[arg(long)]
    pub(super) strict: bool,
    /// the problems as a JSON array on standard output
    #[arg(long)]
    json: bool,
    /// where there is no error, print the configuration as it takes effect: all keys with their defaults, and what the
    /// environment says, in files that can be read again. Keys and certificates are named there and not shown
    #[arg(short = 'T', long, conflicts_with = "json")]
    pub(super) dump: bool,
    /// without the closing lines
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
    loopback: Option<LoopbackSource>,
}

impl Findings {
    fn of(path: &Path) -> Self {
        match Config::load(path) {
            Ok((config, problems)) => {
                let loopback = loopback_source(&config.upstream);
                Self { config: Some(config), problems, loopback }
            }
            Err(problems) => {
                Self { config: None, problems: problems.iter().cloned().collect(), loopback: None }
            }
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity() == severity).count()
    }

    fn errors(&self) -> usize {
        self.count(Severity::Error) + usize::from(self.loopback.is_some())
    }

    fn are_findings(&self, strict: bool) -> bool {
        self.errors() > 0 || (strict && self.count(Severity::Warning) > 0)
    }

    /// The problems as people read them, each with a blank line behind it.
    fn render(&self, renderer: &Renderer) -> String {
        let problems = self.problems.iter().map(|problem| problem.render(renderer));
        let loopback = self.loopback.iter().map(|loopback| render_loopback(loopback, renderer));
        problems.chain(loopback).map(|problem| problem + "\n\n").collect()
    }

    fn as_json(&self) -> Value {
        let problems = self.problems.iter().map(|problem| json!(problem));
        let loopback = self.loopback.iter().map(|loopback| {
            json!({
                "severity": Severity::Error,
                "message": loopback.message(),
                "file": loopback.location().file().to_string_lossy(),
                "line": loopback.location().line(),
                "column": 1,
                "label": "",
                "source": null,
                "help": loopback.help(),
                "related": [],
            })
        });
        problems.chain(loopback).collect()
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
                    if strict && self.are_findings(true) { " (--strict: not well)" } else { "" };
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

/// What the start would refuse, as far as it can be known without resolving a name.
pub(super) fn loopback_source(upstream: &Upstream) -> Option<LoopbackSource> {
    match upstream.host {
        UpstreamHost::Name(_) | UpstreamHost::Socket(_) => None,
        UpstreamHost::Ip(_) => check_source(upstream, &resolve(upstream).ok()?).err(),
    }
}

fn render_loopback(loopback: &LoopbackSource, renderer: &Renderer) -> String {
    let (message, help) = (loopback.message(), loopback.help());
    let location = loopback.location();
    let line = usize::try_from(location.line()).unwrap_or(usize::MAX);
    let origin = Origin::path(location.file().to_string_lossy()).line(line).char_column(1);
    let group = Level::ERROR.primary_title(message.as_str()).element(origin);
    renderer.render(&[group.element(Level::HELP.message(help.as_str()))])
}

/// Prints to standard error, where nginx's `-t` prints too.
pub(super) fn show(text: &str) {
    // Where standard error is closed nobody can be told so.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Peers with a share of their own that are named one by one.
const MOST_NAMED: usize = 8;

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
