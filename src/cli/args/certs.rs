//! `certs` and its words.

use std::path::PathBuf;

use lexopt::prelude::*;
use lexopt::{Error, Parser};

use super::{Command, default, help, listed, nearest, unknown};
use crate::pki::{AUTHORITY, AUTHORITY_DAYS, For, LEAF_DAYS, ServerName};
use crate::policy::PeerName;

/// `certs`.
#[derive(Debug)]
pub(in crate::cli) struct CertsOptions {
    pub(in crate::cli) config: PathBuf,
    /// Where the certificates are; beside the configuration unless given.
    pub(in crate::cli) directory: Option<PathBuf>,
    pub(in crate::cli) act: CertsAct,
}

/// What to do with certificates.
#[derive(Debug)]
pub(in crate::cli) enum CertsAct {
    /// `init`.
    Init { name: Option<String>, days: u32 },
    /// `server` and `peer`.
    Issue { what: For, days: u32 },
    /// `show`.
    Show { files: Vec<PathBuf>, json: bool },
}

const WORDS: &[&str] = &["init", "server", "peer", "show"];

/// The most days that may be asked for: a hundred years.
const MOST_DAYS: u32 = 36_500;

/// Reads what follows `certs`.
pub(super) fn certs(mut parser: Parser, config: Option<PathBuf>) -> Result<Command, Error> {
    let mut config = config.unwrap_or_else(default);
    loop {
        return match parser.next()? {
            None => Err(format!("what of certificates? Known are {}", listed(WORDS)).into()),
            Some(Short('h') | Long("help")) => Ok(Command::Help(help::CERTS)),
            Some(Short('c') | Long("config")) => {
                config = parser.value()?.into();
                continue;
            }
            Some(Value(word)) => Given::read(parser, config, &word.string()?),
            Some(other) => Err(unknown(other, &["config", "help"])),
        };
    }
}

/// What was given behind the word.
#[derive(Default)]
struct Given {
    directory: Option<PathBuf>,
    name: Option<String>,
    days: Option<u32>,
    json: bool,
    words: Vec<std::ffi::OsString>,
}

impl Given {
    fn read(mut parser: Parser, mut config: PathBuf, word: &str) -> Result<Command, Error> {
        let known: &[&'static str] = match word {
            "init" => &["config", "directory", "name", "days", "help"],
            "server" | "peer" => &["config", "directory", "days", "help"],
            "show" => &["config", "directory", "json", "help"],
            other => {
                let hint = nearest(other, WORDS.iter().copied()).map_or_else(
                    || format!("; known are {}", listed(WORDS)),
                    |nearest| format!("; did you mean `certs {nearest}`?"),
                );
                let other = other.escape_debug();
                return Err(format!("there is no `certs {other}`{hint}").into());
            }
        };
        let mut given = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Short('c') | Long("config") => config = parser.value()?.into(),
                Long("directory") => given.directory = Some(parser.value()?.into()),
                Long("name") if known.contains(&"name") => {
                    given.name = Some(authority_name(parser.value()?.string()?)?);
                }
                Long("days") if known.contains(&"days") => {
                    given.days = Some(days(&parser.value()?.string()?)?);
                }
                Long("json") if known.contains(&"json") => given.json = true,
                Short('h') | Long("help") => return Ok(Command::Help(help::CERTS)),
                Value(value) if word != "init" => given.words.push(value),
                other => return Err(unknown(other, known)),
            }
        }
        let directory = given.directory.clone();
        Ok(Command::Certs(CertsOptions { config, directory, act: given.act(word)? }))
    }

    fn act(self, word: &str) -> Result<CertsAct, Error> {
        let days = self.days.unwrap_or(LEAF_DAYS);
        match word {
            "init" => {
                let days = self.days.unwrap_or(AUTHORITY_DAYS);
                Ok(CertsAct::Init { name: self.name, days })
            }
            "server" => {
                let names: Result<Vec<_>, Error> = self
                    .words
                    .into_iter()
                    .map(|name| Ok(ServerName::new(&not_reserved(name.string()?)?)?))
                    .collect();
                let names = names?;
                if names.is_empty() {
                    return Err("for which listener? Give the names and addresses that callers use, such as gateway.example.org 192.0.2.1".into());
                }
                let mut once = Vec::with_capacity(names.len());
                for name in names {
                    if !once.contains(&name) {
                        once.push(name);
                    }
                }
                Ok(CertsAct::Issue { what: For::Server(once), days })
            }
            "peer" => {
                let [name]: [_; 1] = self.words.try_into().map_err(
                    |_| "for which peer? Give one name, that of its policy file without .toml",
                )?;
                let name = not_reserved(name.string()?)?;
                let name = PeerName::new(&name).ok_or_else(|| format!(
                    "`{}` is no peer's name: a small letter or digit, then up to 63 small letters, digits, `.`, `_` and `-`, as in the name of its policy file",
                    name.escape_debug()
                ))?;
                Ok(CertsAct::Issue { what: For::Peer(name), days })
            }
            _ => {
                let files: Vec<PathBuf> = self.words.into_iter().map(PathBuf::from).collect();
                if self.directory.is_some() && !files.is_empty() {
                    return Err("`certs show` takes files or --directory, not both".into());
                }
                Ok(CertsAct::Show { files, json: self.json })
            }
        }
    }
}

/// The authority's own files have this name.
fn not_reserved(name: String) -> Result<String, Error> {
    if name.eq_ignore_ascii_case(AUTHORITY) {
        Err(format!("`{AUTHORITY}` is the authority's own name; choose another").into())
    } else {
        Ok(name)
    }
}

fn authority_name(text: String) -> Result<String, Error> {
    let length = text.chars().count();
    if text.trim() != text || !(1..=64).contains(&length) || text.chars().any(char::is_control) {
        return Err(format!(
            "--name takes 1 to 64 characters without blanks around them, not `{}`",
            text.escape_debug()
        )
        .into());
    }
    Ok(text)
}

fn days(text: &str) -> Result<u32, Error> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(days @ 1..=MOST_DAYS) if plain => Ok(days),
        _ => Err(format!(
            "--days takes a whole number from 1 to {MOST_DAYS}, not `{}`",
            text.escape_debug()
        )
        .into()),
    }
}
