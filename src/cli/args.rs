//! The command line: which flags there are, and what they are called.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

/// A command line that has been understood.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug)]
pub(super) enum Command {
    Help(&'static str),
    Version,
    Serve(ServeOptions),
}

/// `serve`.
#[derive(Debug)]
pub(super) struct ServeOptions {
    pub(super) config: PathBuf,
    pub(super) log_json: bool,
}

impl Arguments {
    /// Reads the words behind the program's name.
    ///
    /// # Errors
    /// What is not understood, and what is known instead.
    pub(super) fn read(words: impl Iterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(words);
        let command = match parser.next()? {
            None => return Err("which command? Known are `serve`".into()),
            Some(Short('h') | Long("help")) => Command::Help(HELP),
            Some(Short('V') | Long("version")) => Command::Version,
            Some(Value(word)) => Command::named(&word.string()?, parser)?,
            Some(other) => return Err(other.unexpected()),
        };
        Ok(Self { command })
    }
}

impl Command {
    fn named(name: &str, parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        match name {
            "serve" => ServeOptions::read(parser),
            other => Err(format!("there is no command `{other}`").into()),
        }
    }
}

impl ServeOptions {
    fn read(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
        let mut options = Self { config: PathBuf::from(DEFAULT_CONFIG), log_json: false };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("config") | Short('c') => options.config = parser.value()?.into(),
                Long("log-format") => options.log_json = log_is_json(&parser.value()?.string()?)?,
                Long("help") | Short('h') => return Ok(Command::Help(HELP)),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Command::Serve(options))
    }
}

fn log_is_json(word: &str) -> Result<bool, lexopt::Error> {
    match word {
        "text" => Ok(false),
        "json" => Ok(true),
        other => Err(format!("--log-format is `text` or `json`, not `{other}`").into()),
    }
}

/// Where the configuration is unless `--config` says otherwise.
pub(super) const DEFAULT_CONFIG: &str = "/etc/phonebook-gateway/gateway.toml";

const HELP: &str = "\
phonebook-gateway lets other XiVO servers read this one's phonebook, and nothing else.

Usage: phonebook-gateway COMMAND [OPTIONS]
";
