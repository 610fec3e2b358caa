//! Usage errors: what is wrong, the nearest word, and the command's usage.
//!
//! The command line is clap's to read; its errors are told here as all others of this program are, with nothing in them
//! that a terminal would obey.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, ValueHint};

use super::{Exit, NAME, description, print_error};
use crate::config::{escaped, listed, nearest};

/// A usage error.
#[derive(Debug)]
pub(super) struct Misuse {
    what: String,
    /// The path of the command whose usage to print, outermost first.
    command: Vec<String>,
}

impl Misuse {
    /// `what` is wrong with the arguments of `command`, such as `certs show`.
    pub(super) fn new(command: &str, what: impl Into<String>) -> Self {
        let command = command.split_whitespace().map(str::to_owned).collect();
        Self { what: what.into(), command }
    }

    /// What clap found wrong with these words, the program's name among them.
    pub(super) fn of(error: &clap::Error, words: &[OsString]) -> Self {
        let path = path(words);
        Self { what: sentence(error, &command(&path), words), command: path }
    }

    /// Tells the user.
    pub(super) fn report(&self) -> Exit {
        print_error(&self.to_string());
        Exit::Usage
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut command = command(&self.command);
        let usage = command.render_usage();
        let name = command.get_bin_name().unwrap_or(NAME);
        write!(f, "{}\n{usage}\nTry `{name} --help`.", self.what)
    }
}

/// The description of the command with this path, as far as it leads.
pub(super) fn command(path: &[String]) -> Command {
    let mut whole = description();
    whole.build();
    let found = path.iter().try_fold(&whole, |command, name| command.find_subcommand(name));
    found.unwrap_or(&whole).clone()
}

/// The names of the command that the words lead to, whatever is wrong with them.
fn path(words: &[OsString]) -> Vec<String> {
    let matches = description().ignore_errors(true).try_get_matches_from(words);
    let mut path = Vec::new();
    let mut level: Option<&ArgMatches> = matches.as_ref().ok();
    while let Some((name, below)) = level.and_then(ArgMatches::subcommand) {
        path.push(name.to_owned());
        level = Some(below);
    }
    path
}

#[expect(clippy::wildcard_enum_match_arm, reason = "clap has more kinds, and gets more")]
fn sentence(error: &clap::Error, command: &Command, words: &[OsString]) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let argument = text(ContextKind::InvalidArg);
    let option = plain(argument);
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(argument, command, words),
        ErrorKind::InvalidSubcommand => no_command(text(ContextKind::InvalidSubcommand), command),
        ErrorKind::MissingSubcommand => which(command),
        ErrorKind::MissingRequiredArgument => missing(error, command),
        ErrorKind::InvalidValue => {
            wrong_value(argument, text(ContextKind::InvalidValue), error, command)
        }
        ErrorKind::ValueValidation => {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            if argument.starts_with('-') { format!("{}: {why}", name_of(&option)) } else { why }
        }
        ErrorKind::ArgumentConflict => match error.get(ContextKind::PriorArg) {
            Some(ContextValue::String(prior)) if prior == argument => {
                format!("{} is given more than once", name_of(&option))
            }
            Some(ContextValue::String(prior)) => {
                format!("{} and {} exclude each other", name_of(&option), name_of(&plain(prior)))
            }
            _ => format!("{} excludes others that are given", name_of(&option)),
        },
        ErrorKind::TooManyValues => {
            let value = escaped(text(ContextKind::InvalidValue));
            format!("{} takes no value, and `{value}` is given", name_of(&option))
        }
        ErrorKind::InvalidUtf8 => {
            let word = words.iter().find(|word| word.to_str().is_none());
            let word = word.map(|word| escaped(&word.to_string_lossy()));
            format!("`{}` is not UTF-8, and has to be", word.unwrap_or_default())
        }
        _ => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// An argument that the command does not take.
fn unknown(argument: &str, command: &Command, words: &[OsString]) -> String {
    let shown = escaped(argument);
    if !argument.starts_with('-') {
        let name = command.get_bin_name().unwrap_or(NAME);
        let more = if command.get_positionals().next().is_some() { "nothing more" } else { "none" };
        return format!("unexpected argument `{shown}`: `{name}` takes {more}");
    }
    if matches!(argument, "-c" | "--config") {
        return format!("`{shown}` names no configuration here");
    }
    let file = if command.get_positionals().any(is_path) {
        let word = words.iter().map(|word| word.to_string_lossy()).find(|word| has(word, argument));
        let word = word.unwrap_or_default();
        format!("; a file of this name is written `./{}`", escaped(&word))
    } else {
        String::new()
    };
    let Some(long) = argument.strip_prefix("--") else {
        return format!("unknown option `{shown}`{file}");
    };
    let known: Vec<String> = longs(command).map(|long| format!("--{long}")).collect();
    let hint = match nearest(long, longs(command)) {
        Some(near) => format!("did you mean `--{near}`?"),
        None => match takers(long, command).as_slice() {
            [] => format!("known are {}", quoted(&known, "and")),
            takers => format!("it goes behind {}", quoted(takers, "or")),
        },
    };
    format!("unknown option `{shown}`; {hint}{file}")
}

/// Whether a word has this option, which may be one letter of several.
fn has(word: &str, option: &str) -> bool {
    match option.strip_prefix("--") {
        Some(_) => word.starts_with(option),
        None => {
            word.starts_with('-')
                && !word.starts_with("--")
                && word.contains(option.trim_start_matches('-'))
        }
    }
}

/// The long options of a command that its help shows.
fn longs(command: &Command) -> impl Iterator<Item = &str> {
    command.get_arguments().filter(|argument| !argument.is_hide_set()).filter_map(Arg::get_long)
}

/// The commands below this one that take this option.
fn takers(long: &str, command: &Command) -> Vec<String> {
    let takes = |below: &&Command| longs(below).any(|known| known == long);
    command.get_subcommands().filter(takes).map(|below| below.get_name().to_owned()).collect()
}

/// There is no command of this name below `command`.
pub(super) fn no_command(name: &str, command: &Command) -> String {
    let shown = escaped(name);
    let outer = outer(command);
    if outer.is_empty() && LATER.contains(&name) {
        return format!("`{shown}` is not available in this version");
    }
    let known = commands(command);
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{outer}{near}`?"),
        None if known.is_empty() => format!("`{}` has none below it", outer.trim_end()),
        None => format!("known are {}", quoted(&known, "and")),
    };
    let article = if outer.is_empty() { "command " } else { "" };
    format!("there is no {article}`{outer}{shown}`; {hint}")
}

/// Which command is meant was not said.
pub(super) fn which(command: &Command) -> String {
    format!("which {}command? Known are {}", outer(command), quoted(&commands(command), "and"))
}

/// The names that stand before those of the commands below this one, with a blank behind each.
fn outer(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or(NAME);
    let names = name.split(' ').skip(1);
    names.map(|name| format!("{name} ")).collect()
}

/// The commands below this one that its help shows.
fn commands(command: &Command) -> Vec<&str> {
    let shown = command.get_subcommands().filter(|below| !below.is_hide_set());
    shown.map(Command::get_name).collect()
}

/// What has to be given and is not: the first of it, and what it says.
fn missing(error: &clap::Error, command: &Command) -> String {
    let Some(ContextValue::Strings(names)) = error.get(ContextKind::InvalidArg) else {
        return "an argument is missing".to_owned();
    };
    let name = names.first().map(String::as_str).unwrap_or_default();
    let help = argument(name, command).and_then(Arg::get_help);
    let help = help.map(|help| format!(": {help}")).unwrap_or_default();
    format!("`{}` is missing{help}", plain(name))
}

/// A value that is none of those that there are, or is not there.
fn wrong_value(name: &str, value: &str, error: &clap::Error, command: &Command) -> String {
    let option = plain(name);
    if value.is_empty() {
        let (name, what) = option.split_once(' ').unwrap_or((&option, "value"));
        let file = if argument(name, command).is_some_and(is_path) {
            "; one whose name begins with `-` is written `./-…`"
        } else {
            ""
        };
        return format!("`{name}` needs a {what}, and none is given{file}");
    }
    let known = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(known)) => known.as_slice(),
        _ => &[],
    };
    let hint = match nearest(value, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", quoted(known, "and")),
    };
    format!("{}: there is no `{}`; {hint}", name_of(&option), escaped(value))
}

/// The argument that clap shows as `shown`.
fn argument<'c>(shown: &str, command: &'c Command) -> Option<&'c Arg> {
    command.get_arguments().find(|argument| name_only(&argument.to_string()) == name_only(shown))
}

fn is_path(argument: &Arg) -> bool {
    matches!(
        argument.get_value_hint(),
        ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath
    )
}

/// An argument as clap shows it, `--html <FILE>` or `[FILE]...`, without the brackets.
fn plain(shown: &str) -> String {
    let shown = shown.strip_suffix("...").unwrap_or(shown);
    shown.replace(['<', '>', '[', ']'], "").escape_debug().to_string()
}

/// An option without its value.
fn name_only(shown: &str) -> &str {
    shown.split_once(' ').map_or(shown, |(name, _)| name)
}

/// An option without its value, in quotes.
fn name_of(option: &str) -> String {
    format!("`{}`", name_only(option))
}

/// `words` in quotes, as a message lists them.
pub(super) fn quoted(words: &[impl AsRef<str>], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    let quoted: Vec<&str> = quoted.iter().map(String::as_str).collect();
    listed(&quoted, last)
}

/// Words that are reserved for commands to come.
const LATER: [&str; 4] = ["doctor", "guide", "init", "peer"];
