//! `report`: what access logs tell, in the terminal, as JSON or as a page.

mod follow;
mod formats;
mod logs;
mod options;

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Zoned;

use super::config_file::ConfigFile;
use super::usage::{Misuse, quoted};
use super::{Exit, print, print_error, print_json};
use crate::config::{Config, DEFAULT_FILE, escaped, nearest};
use crate::files;
use crate::report::build::Material;
use crate::report::count::{Counted, run as count};
use crate::report::read::formats::Formats;
use crate::report::read::input::{Plan, Source, plan, total};
use crate::report::read::select::Selection;
use crate::report::summary::wording::plural;
use crate::report::summary::{Input, Report};
use crate::report::terminal::{self, Screen};
use crate::report::{LocalTime, html};

pub(super) use options::Options;

/// Runs the command.
pub(super) fn run(options: &Options, config: &ConfigFile) -> Exit {
    let context = match Context::of(options, config) {
        Ok(context) => context,
        Err(exit) => return exit,
    };
    if options.follow {
        return follow::run(options, &context);
    }
    let (counted, failed) = match context.count(options) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let input = Input { configuration: context.configuration(), ..counted.input.clone() };
    let input = Input { notes: [context.notes.clone(), input.notes.clone()].concat(), ..input };
    let report = context.material(&counted).report(input);
    if let Some(misuse) = context.misspelt_peer(&report) {
        return misuse.report();
    }
    let shown = show(options, &report);
    if shown != Exit::Ok {
        return shown;
    }
    let Input { lines, unreadable, .. } = report.input;
    if lines > 0 && lines == unreadable {
        print_error(
            "no line could be read; say by --log-format which format the log is written in: its name, or \
             what stands in the nginx.conf behind log_format and the name",
        );
        return Exit::Findings;
    }
    if failed {
        return Exit::Failed;
    }
    if options.exit_code && report.calls_for_somebody() {
        return Exit::Findings;
    }
    Exit::Ok
}

fn show(options: &Options, report: &Report) -> Exit {
    if let Some(path) = &options.html {
        let page = html::page(report);
        if path.as_os_str() == "-" {
            return print(&page);
        }
        if let Err(error) = write_page(path, page.as_bytes()) {
            print_error(&format!("cannot write {}: {error}", path.display()));
            return Exit::Failed;
        }
        if !options.json {
            print_error(&format!("the report is in {}", path.display()));
            return Exit::Ok;
        }
    }
    if options.json {
        return print_json(report);
    }
    let screen = Screen { all: options.all, ..screen(options.plain) };
    print(&terminal::render(report, &screen))
}

/// Puts the page into the place of `path`: it names people as the log does, so that it is as private,
/// mode 0640, whatever had been there. What is no regular file, such as a pipe, gets it as it is.
fn write_page(path: &Path, page: &[u8]) -> std::io::Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => std::fs::write(path, page),
        _ => files::replace(path, page, 0o640),
    }
}

/// What the standard output can show.
fn screen(plain: bool) -> Screen {
    let stdout = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = size.filter(|width| *width > 0).or(columns).unwrap_or(80);
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    Screen {
        width,
        colour: !plain && stdout.is_terminal() && !is_set("NO_COLOR"),
        unicode: !plain && utf8,
        all: false,
    }
}

/// What is read, and by which formats and policies.
struct Context {
    config: Option<Config>,
    formats: Formats,
    sources: Vec<Source>,
    selection: Selection,
    notes: Vec<String>,
    now: LocalTime,
    host: Option<String>,
}

impl Context {
    fn of(options: &Options, config: &ConfigFile) -> Result<Self, Exit> {
        let zoned = Zoned::now();
        let selection = options.selection(&zoned);
        let selection = selection.map_err(|error| Misuse::new("report", error).report())?;
        let given = options.sources();
        let offset = i16::try_from(zoned.offset().seconds() / 60).unwrap_or(0);
        let now = LocalTime { unix: zoned.timestamp().as_second(), offset };
        let mut notes = Vec::new();
        let config = load(config, &mut notes)?;
        // Without FILE, the notes on each log already say this.
        let note = |note| {
            if !given.is_empty() {
                notes.push(note);
            }
        };
        let formats = formats::of(options.log_format.as_deref(), config.as_ref(), offset, note)?;
        let sources = match (given.as_slice(), &config) {
            ([], Some(config)) => logs::of(config, options.follow, &mut notes)?,
            ([], None) => {
                let what = format!(
                    "which log? There is no configuration at {DEFAULT_FILE} that names one; give files, or - for the \
                     standard input"
                );
                return Err(Misuse::new("report", what).report());
            }
            _ => given,
        };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host = Some(host).filter(|host| !host.is_empty());
        Ok(Self { config, formats, sources, selection, notes, now, host })
    }

    fn configuration(&self) -> Option<String> {
        self.config.as_ref().map(|config| config.file.display().to_string())
    }

    /// A name given with `--peer` that no policy has and no line is of, where it is known which policies there are. One
    /// that has a line may have had a policy.
    fn misspelt_peer(&self, report: &Report) -> Option<Misuse> {
        let policies = &self.config.as_ref()?.policies;
        if report.input.lines > 0 && report.input.lines == report.input.unreadable {
            return None;
        }
        let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
        let is_known = |name: &str| {
            name == "-"
                || name.parse::<IpAddr>().is_ok()
                || names.contains(&name)
                || report.peers.iter().any(|peer| peer.name == name)
        };
        let name = self.selection.peers.iter().find(|name| !is_known(name))?;
        let alike = |known: &&str| strsim::jaro_winkler(name, known);
        let near = nearest(name, names.iter().copied()).or_else(|| {
            let near = names.iter().copied().max_by(|one, two| alike(one).total_cmp(&alike(two)));
            near.filter(|near| alike(near) > ALIKE)
        });
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "the configuration has no peer".to_owned(),
            None if names.len() <= MOST_NAMED => {
                format!("the configuration has {}", quoted(&names, "and"))
            }
            None => format!("none of the configuration's {} peers is called alike", names.len()),
        };
        let name = escaped(name);
        let what = format!(
            "--peer: no policy is called `{name}`, and no line that counts is of such a peer; {hint}"
        );
        Some(Misuse::new("report", what))
    }

    fn material<'a>(&'a self, counted: &'a Counted) -> Material<'a> {
        let Counted { tally, timeline, .. } = counted;
        let (config, host) = (self.config.as_ref(), self.host.as_deref());
        Material { tally, timeline, selection: &self.selection, config, host, now: self.now }
    }

    /// What was counted, and whether something could not be read at all.
    fn count(&self, options: &Options) -> Result<(Counted, bool), Exit> {
        let read = Arc::new(AtomicU64::new(0));
        let Plan { files, failed, foreign } = plan(&self.sources, &self.formats, &read);
        for why in &failed {
            print_error(&format!("cannot read {why}"));
        }
        if files.is_empty() {
            foreign.iter().for_each(|sentence| print_error(sentence));
            return Err(Exit::Failed);
        }
        let threads = match options.threads {
            None => std::thread::available_parallelism().map_or(1, usize::from),
            Some(threads) => threads.into(),
        };
        let bar = Bar::start(total(&self.sources), Arc::clone(&read));
        let mut counted = count(files, &self.formats, &self.selection, threads, &read);
        bar.end();
        let input = &mut counted.input;
        // A damaged file may still yield lines; this fails only if there are none.
        let is_nothing = input.lines == 0 && !input.notes.is_empty();
        if is_nothing {
            input.notes.iter().for_each(|note| print_error(note));
        }
        let missing = failed.len() + foreign.len();
        input
            .notes
            .extend(failed.iter().map(|why| format!("{why}. It is in none of these figures.")));
        input.notes.extend(foreign);
        if missing > 0 {
            let text = format!(
                "{} could not be read and {} in none of these figures; what was read, below, says why.",
                plural(missing as u64, "file", "files"),
                if missing == 1 { "is" } else { "are" }
            );
            input.findings.insert(0, text);
        }
        Ok((counted, is_nothing || !failed.is_empty()))
    }
}

/// The configuration: the one that was given must be readable; the usual one may be missing or broken,
/// since a log can be read without.
fn load(file: &ConfigFile, notes: &mut Vec<String>) -> Result<Option<Config>, Exit> {
    let (path, given) = (file.path(), file.given());
    if given.is_none() && !path.exists() {
        return Ok(None);
    }
    match Config::load(path) {
        Ok((config, _doubtful)) => Ok(Some(config)),
        Err(_) if given.is_none() => {
            notes.push(format!(
                "{} cannot be read or is not valid (`phonebook-gateway check` says why); the report was made without it.",
                path.display()
            ));
            Ok(None)
        }
        Err(problems) => {
            let renderer = super::serve::renderer(std::io::stderr().is_terminal());
            super::check::show(&(problems.render(&renderer) + "\n\n"));
            print_error(
                "the configuration is not valid; without --config the logs are read without it",
            );
            Err(Exit::Findings)
        }
    }
}

/// A bar on standard error, if that is a terminal.
struct Bar {
    bar: ProgressBar,
    read: Arc<AtomicU64>,
    end: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bar {
    fn start(total: Option<u64>, read: Arc<AtomicU64>) -> Self {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "reading {wide_bar} {percent:>3} %  {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left",
            ),
            None => (
                ProgressBar::new_spinner(),
                "reading {spinner} {decimal_bytes}  {decimal_bytes_per_sec}",
            ),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let end = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut this = Self { bar, read, end, thread: None };
        if !this.bar.is_hidden() {
            let (bar, read, end) =
                (this.bar.clone(), Arc::clone(&this.read), Arc::clone(&this.end));
            this.thread = Some(std::thread::spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    bar.set_position(read.load(Ordering::Relaxed));
                    std::thread::park_timeout(Duration::from_millis(100));
                }
            }));
        }
        this
    }

    fn end(self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread {
            thread.thread().unpark();
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

/// From here on two names are alike enough to be taken for one another (Jaro and Winkler's measure, at most 1).
const ALIKE: f64 = 0.8;

/// The most peers that are named where none of them is meant.
const MOST_NAMED: usize = 12;
