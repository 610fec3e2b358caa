//! `--config FILE`, which every command takes, before its name or behind it.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, ValueHint, value_parser};

use crate::config::{DEFAULT_FILE, escaped};

/// The configuration's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConfigFile(Option<PathBuf>);

impl ConfigFile {
    /// The option, of a command that reads the configuration or of one that needs none.
    pub(super) fn option(is_read: bool) -> Arg {
        Arg::new(ID)
            .short('c')
            .long(ID)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .action(ArgAction::Append)
            .hide(!is_read)
            .help(format!("the configuration, {DEFAULT_FILE} unless given"))
    }

    /// What was given, to the program and to its command.
    ///
    /// # Errors
    /// Several were, and they differ.
    pub(super) fn of(matches: &ArgMatches) -> Result<Self, String> {
        let mut given: Option<&PathBuf> = None;
        let mut level = Some(matches);
        while let Some(matches) = level {
            let here = matches.try_get_many::<PathBuf>(ID).ok().flatten();
            for path in here.into_iter().flatten() {
                match given {
                    Some(first) if first != path => {
                        return Err(format!(
                            "`--config` is given twice, as `{}` and as `{}`: which one?",
                            escaped(&first.to_string_lossy()),
                            escaped(&path.to_string_lossy())
                        ));
                    }
                    _ => given = Some(path),
                }
            }
            level = matches.subcommand().map(|(_, matches)| matches);
        }
        Ok(Self(given.cloned()))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.given().unwrap_or_else(|| Path::new(DEFAULT_FILE))
    }

    /// Where it was said to be.
    pub(super) fn given(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

const ID: &str = "config";
