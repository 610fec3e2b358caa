//! The process around a gateway that runs: where its diagnostics go, and how it ends when a part of it
//! fails.
//!
//! **One rule**: a panic anywhere, and a thread that ends without being told to, end the process with
//! [`Exit::Failed`] and a line that says where, so that systemd starts a whole one. What the others
//! have answered is still written to the access log. The end is bounded in time, whatever hangs.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::process;
use std::thread;
use std::time::Duration;

use tracing::Metadata;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use super::{Exit, print_error};
use crate::config::{escaped, nearest};
use crate::diagnostics::{
    ALWAYS, DiagnosticsQueue, Form, JournalLayer, LevelSwitch, LostDiagnostics,
    journal_is_standard_error,
};
use crate::server::Surroundings;
use crate::supervision::{Failed, How, Supervisor};

/// What `serve` and `demo` have in common.
#[derive(Clone, Debug)]
pub(super) struct Process {
    diagnostics: DiagnosticsQueue,
    /// Changes which diagnostics are told.
    pub(super) level: LevelSwitch,
    /// Told of each part that fails.
    pub(super) supervisor: Supervisor,
}

impl Process {
    /// Sets up diagnostics and the panic hook. To be called first, and in the process's
    /// first thread.
    ///
    /// Diagnostics go to the journal where standard error is the journal's, else to standard error.
    /// `RUST_LOG` chooses the level, and `level` where it says nothing.
    pub(super) fn begin(json: bool, level: &str) -> Result<Self, Exit> {
        let form = match (json, journal_is_standard_error()) {
            (true, _) => Form::Json,
            (false, true) => Form::Journal,
            (false, false) => Form::Text,
        };
        let supervisor = Supervisor::default();
        let (diagnostics, far_end) = DiagnosticsQueue::new(form);
        let (followed, complaint) = match read_filter(env::var_os("RUST_LOG").as_deref()) {
            Ok(followed) => (followed, None),
            Err(why) => (None, Some(format!("{level} holds: {why}; allowed: {LEVELS}"))),
        };
        let (filter, level) = LevelSwitch::new(followed.as_deref().unwrap_or(level));
        let process = Self { diagnostics, level, supervisor };
        // Before there is a thread that could panic.
        let hooked = process.clone();
        panic::set_hook(Box::new(move |panic| hooked.panicked(panic)));
        process.diagnostics.start(far_end, &process.supervisor).map_err(|error| {
            print_error(&format!("cannot start the thread that writes diagnostics: {error}"));
            Exit::Failed
        })?;
        subscribe(&process.diagnostics, filter);
        if let Some(complaint) = complaint {
            tracing::warn!("RUST_LOG is not followed, and {complaint}");
        }
        Ok(process)
    }

    /// What a gateway of this process has around it, where nobody has left it sockets.
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings { supervisor: self.supervisor.clone(), ..Surroundings::default() }
    }

    /// How many diagnostics are lost.
    pub(super) fn lost_diagnostics(&self) -> LostDiagnostics {
        self.diagnostics.lost()
    }

    /// Tells whoever started the program why it does not run.
    pub(super) fn print_error(&self, text: &str) {
        self.diagnostics.tell(&format!("phonebook-gateway: {text}\n"));
    }

    /// Says that a part has failed; what is still open is to be ended now.
    pub(super) fn give_up(&self, failed: &Failed) {
        self.end_in_time();
        // A panic was told of where it happened.
        if matches!(failed.how, How::Returned(_)) {
            self.diagnostics.fatal(&format!("{failed}; {CONSEQUENCE}"));
        }
    }

    /// Writes what was said, if that goes, and yields how the process ends.
    pub(super) fn end(self, exit: Exit) -> Exit {
        self.diagnostics.flush();
        match self.supervisor.failure() {
            Some(_) => Exit::Failed,
            None => exit,
        }
    }

    /// Where a thread panics. Others may go on for as long as it takes to end them; this thread unwinds.
    fn panicked(&self, info: &PanicHookInfo<'_>) {
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let message = message(info.payload());
        let mut text =
            format!("the thread `{name}` panicked at {location}: {message}; {CONSEQUENCE}");
        // As Rust's own hook does where RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("\n{backtrace}"));
        }
        self.diagnostics.fatal(&text);
        let first = self.supervisor.report(Failed { part: name.to_owned(), how: How::Panicked });
        if name == "main" {
            // Nobody is left who would end the others.
            self.diagnostics.flush();
            process::exit(Exit::Failed.code().into());
        }
        if first {
            self.end_in_time();
        }
    }

    /// Ends the process when whoever should do it has not within [`ENDING`].
    fn end_in_time(&self) {
        let end = || {
            thread::sleep(ENDING);
            process::exit(Exit::Failed.code().into());
        };
        if thread::Builder::new().name("end".to_owned()).spawn(end).is_err() {
            self.diagnostics.flush();
            process::exit(Exit::Failed.code().into());
        }
    }
}

/// Makes all that is traced go to the queue.
fn subscribe(diagnostics: &DiagnosticsQueue, filter: reload::Layer<EnvFilter, Registry>) {
    let subscriber = tracing_subscriber::registry().with(filter).with(filter_fn(is_ours));
    let lines = || {
        fmt::layer()
            .with_writer(diagnostics.clone())
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            // It would print them, and panic where that fails.
            .log_internal_errors(false)
    };
    let _already_started = match diagnostics.form() {
        Form::Json => subscriber.with(lines().json()).try_init(),
        Form::Text => subscriber.with(lines()).try_init(),
        Form::Journal => subscriber.with(JournalLayer(diagnostics.clone())).try_init(),
    };
}

/// What `RUST_LOG` asks for, `None` where it is not set or empty.
///
/// A word that is no level would be taken for a part of the program, of which there is none, and all that the
/// program tells would be lost.
///
/// # Errors
/// Why it cannot be followed.
fn read_filter(value: Option<&OsStr>) -> Result<Option<String>, String> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    let shown = escaped(&value.to_string_lossy());
    let text = value.to_str().ok_or_else(|| format!("\"{shown}\" is not UTF-8"))?;
    // Blanks would belong to the words.
    let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Err(format!("\"{shown}\" says nothing about this program"));
    }
    let mut is_about_this = false;
    for &directive in &words {
        let is_level = directive.parse::<LevelFilter>().is_ok();
        // Its own name, whole: a longer one is another program's.
        let is_ours = directive
            .strip_prefix(env!("CARGO_CRATE_NAME"))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', '[', ':']));
        is_about_this |= is_level || is_ours || directive.starts_with('[');
        if let Some((part, level)) =
            directive.rsplit_once('=').filter(|_| !directive.ends_with(']'))
            && (level.is_empty() || level.parse::<LevelFilter>().is_err())
        {
            let near = nearest(level, LEVEL_WORDS);
            let near = near.map(|word| format!(", did you mean {word}?")).unwrap_or_default();
            return Err(format!("\"{}\" is no level for {}{near}", escaped(level), escaped(part)));
        }
        if !is_level && !is_ours && !directive.contains(['=', '[']) {
            let near = nearest(directive, LEVEL_WORDS);
            let near = near.map(|word| format!(", did you mean {word}?")).unwrap_or_default();
            return Err(format!("\"{}\" is no level{near}", escaped(directive)));
        }
    }
    if !is_about_this {
        return Err(format!("\"{shown}\" says nothing about this program"));
    }
    // A part of this program alone would take the others' warnings away.
    let is_for_all = |word: &&str| {
        word.parse::<LevelFilter>().is_ok()
            || word.starts_with('[')
            || word.split(['=', '[']).next() == Some(env!("CARGO_CRATE_NAME"))
    };
    let all = if words.iter().any(is_for_all) { None } else { Some(LevelFilter::WARN.to_string()) };
    let text = all.as_deref().into_iter().chain(words).collect::<Vec<_>>().join(",");
    let filter = EnvFilter::builder().parse(&text);
    filter
        .map(|_| Some(text.clone()))
        .map_err(|error| format!("\"{shown}\" cannot be read: {error}"))
}

/// Whether the event comes from this crate. Dependencies may log what clients send, as often as they
/// send it, search terms included. None of that is shown, whatever `RUST_LOG` asks for; what is worth
/// reporting the gateway reports itself, and at a bounded rate.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let rest = metadata.target().strip_prefix(env!("CARGO_CRATE_NAME"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What a panic says. A message about a slice of a text quotes the text, which may be a search term.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    // As std words them; the quoted text comes last, and parts of it may stand before it.
    let quotes = ["byte index", "char boundary", "byte range", "when slicing"];
    let quotes = quotes.iter().any(|words| text.contains(words));
    match text.find([';', '`']) {
        Some(end) if quotes => format!("{} …", text[..end].trim_end()),
        _ => text.to_owned(),
    }
}

/// The diagnostic that is printed whatever the level: scripts wait for it.
pub(super) const READY: &str = ALWAYS;

/// What comes of a part's failure.
const CONSEQUENCE: &str = "the process ends with 3, so that a whole one can be started";

/// How long a process with a part that has failed may take to end: workers and logs have their time
/// within it.
const ENDING: Duration = Duration::from_secs(8);

const LEVELS: &str = "error, warn, info, debug or trace";
const LEVEL_WORDS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_rust_log_that_would_silence_everything_is_not_followed() {
        for text in [
            "info",
            "DEBUG",
            "debug,hyper=trace",
            "phonebook_gateway=debug",
            "off",
            "phonebook_gateway::worker=debug,warn",
            "4",
        ] {
            assert!(
                read_filter(Some(OsStr::new(text))).is_ok_and(|filter| filter.is_some()),
                "{text}"
            );
        }
        for text in [
            "inof",
            "verbose",
            "info,wran",
            "hyper=debug",
            "phonebook_gateway=loud",
            "phonebook_gateway=",
            "info,phonebook_gateway=",
            "x=y=z",
            "phonebook_gatewayd=debug",
            "phonebook-gateway=debug",
            "none",
            " ",
            "\u{16}",
        ] {
            let Err(why) = read_filter(Some(OsStr::new(text))) else {
                panic!("{text} is followed")
            };
            assert!(why.starts_with('"'), "{why}");
        }
        assert!(read_filter(Some(OsStr::new("inof"))).unwrap_err().contains("did you mean info?"));
        let followed = |text: &str| read_filter(Some(OsStr::new(text))).unwrap().unwrap();
        assert_eq!(followed("warn "), "warn");
        assert_eq!(followed(" info , phonebook_gateway=debug"), "info,phonebook_gateway=debug");
        // The others' warnings stay.
        assert_eq!(followed("phonebook_gateway::tls=debug"), "warn,phonebook_gateway::tls=debug");
        assert!(read_filter(None).is_ok_and(|filter| filter.is_none()));
        assert!(read_filter(Some(OsStr::new(""))).is_ok_and(|filter| filter.is_none()));
        assert!(read_filter(Some(OsStr::from_bytes(b"\xff"))).is_err());
    }

    fn message_of(panics: impl FnOnce() + panic::UnwindSafe) -> String {
        message(panic::catch_unwind(panics).unwrap_err().as_ref())
    }

    #[test]
    fn a_panics_message_is_told_without_the_text_that_was_sliced() {
        let term = String::from("lefèvre");
        let slices: [(usize, usize); 5] = [(0, 4), (5, 99), (99, 100), (4, 6), (6, 1)];
        for (from, to) in slices {
            let term = term.clone();
            let message = message_of(move || drop(term[from..to].to_owned()));
            assert!(!message.contains("vre") && !message.contains('è'), "{message}");
            assert!(message.len() > 10, "{message}");
        }
        assert_eq!(message_of(|| panic::resume_unwind(Box::new("one `two`"))), "one `two`");
        assert_eq!(message_of(|| panic::resume_unwind(Box::new(7))), "no message");
    }
}
