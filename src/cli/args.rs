//! The command line: which commands and flags there are, and what they are called.
//!
//! `--config FILE` may stand before the command or behind it. What is not known is refused with the
//! nearest known word; nothing is ignored.

#![expect(
    clippy::match_wildcard_for_single_variants,
    clippy::wildcard_enum_match_arm,
    reason = "lexopt's own way: what was not asked for is unexpected"
)]

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use lexopt::prelude::*;
use lexopt::{Arg, Error, Parser};

use super::help;

mod certs;
mod report;

pub(super) use certs::{CertsAct, CertsOptions};
pub(super) use report::ReportOptions;

/// What to do.
#[derive(Debug)]
pub(super) enum Command {
    Help(&'static str),
    Version,
    Serve(ServeOptions),
    Check(CheckOptions),
    Explain(ExplainOptions),
    Demo(DemoOptions),
    Certs(CertsOptions),
    Probe(ProbeOptions),
    Report(ReportOptions),
}

/// `serve`.
#[derive(Debug)]
pub(super) struct ServeOptions {
    pub(super) config: PathBuf,
    pub(super) log_json: bool,
}

/// `check`.
#[derive(Debug)]
pub(super) struct CheckOptions {
    pub(super) config: PathBuf,
    /// Warnings are findings too.
    pub(super) strict: bool,
    pub(super) json: bool,
    pub(super) quiet: bool,
}

/// `explain`.
#[derive(Debug)]
pub(super) struct ExplainOptions {
    pub(super) config: PathBuf,
    pub(super) from: IpAddr,
    /// The client that a PROXY header of `from` names.
    pub(super) proxied_for: Option<IpAddr>,
    /// The certificate that the client shows, a PEM file.
    pub(super) certificate: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) json: bool,
    pub(super) request: AskedRequest,
}

/// The request that `explain` is asked about, as it was written.
#[derive(Debug)]
pub(super) struct AskedRequest {
    pub(super) method: Vec<u8>,
    /// A URL, or its path and query alone.
    pub(super) url: Vec<u8>,
    /// `Name: value`, each.
    pub(super) headers: Vec<Vec<u8>>,
    pub(super) http10: bool,
}

/// `probe`.
#[derive(Debug)]
pub(super) struct ProbeOptions {
    pub(super) config: PathBuf,
    /// The client that the PROXY protocol names.
    pub(super) from: Option<IpAddr>,
    /// Show the certificate's pin, and ask nothing.
    pub(super) pin: bool,
    /// Whose, where it is not the configuration's.
    pub(super) url: Option<String>,
}

/// `demo`.
#[derive(Debug)]
pub(super) struct DemoOptions {
    /// A loopback address.
    pub(super) listen: SocketAddr,
    /// No colours and no cursor movements.
    pub(super) plain: bool,
}

/// Reads the words behind the program's name.
///
/// # Errors
/// What is not understood, and what is known instead.
pub(super) fn read(words: impl Iterator<Item = OsString>) -> Result<Command, Error> {
    let mut parser = Parser::from_args(words);
    let mut config = None;
    loop {
        return match parser.next()? {
            None => Err(format!("which command? Known are {}", listed(AVAILABLE)).into()),
            Some(Short('h') | Long("help")) => Ok(Command::Help(help::OVERVIEW)),
            Some(Short('V') | Long("version")) => Ok(Command::Version),
            Some(Short('c') | Long("config")) => {
                config = Some(parser.value()?.into());
                continue;
            }
            Some(Short('t')) => check(parser, config),
            Some(Value(word)) => named(&word.string()?, parser, config),
            Some(other) => Err(unknown(other, &["config", "help", "version"])),
        };
    }
}

fn named(name: &str, parser: Parser, config: Option<PathBuf>) -> Result<Command, Error> {
    match name {
        "serve" => serve(parser, config),
        "check" => check(parser, config),
        "explain" => explain(parser, config),
        "demo" => demo(parser, config),
        "certs" => certs::certs(parser, config),
        "probe" => probe(parser, config),
        "report" => report::report(parser, config),
        name if LATER.contains(&name) => {
            Err(format!("`{name}` is not available in this version").into())
        }
        name => {
            let hint = match nearest(name, AVAILABLE.iter().chain(LATER).copied()) {
                Some(nearest) => format!("; did you mean `{nearest}`?"),
                None => format!("; known are {}", listed(AVAILABLE)),
            };
            Err(format!("there is no command `{}`{hint}", name.escape_debug()).into())
        }
    }
}

fn serve(mut parser: Parser, config: Option<PathBuf>) -> Result<Command, Error> {
    let mut options = ServeOptions { config: config.unwrap_or_else(default), log_json: false };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('c') | Long("config") => options.config = parser.value()?.into(),
            Long("log-format") => options.log_json = log_is_json(&parser.value()?.string()?)?,
            Short('h') | Long("help") => return Ok(Command::Help(help::SERVE)),
            other => return Err(unknown(other, &["config", "log-format", "help"])),
        }
    }
    Ok(Command::Serve(options))
}

fn check(mut parser: Parser, config: Option<PathBuf>) -> Result<Command, Error> {
    let config = config.unwrap_or_else(default);
    let mut options = CheckOptions { config, strict: false, json: false, quiet: false };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('c') | Long("config") => options.config = parser.value()?.into(),
            Long("strict") => options.strict = true,
            Long("json") => options.json = true,
            Short('q') | Long("quiet") => options.quiet = true,
            Short('h') | Long("help") => return Ok(Command::Help(help::CHECK)),
            other => return Err(unknown(other, &["config", "strict", "json", "quiet", "help"])),
        }
    }
    Ok(Command::Check(options))
}

fn explain(mut parser: Parser, config: Option<PathBuf>) -> Result<Command, Error> {
    const KNOWN: &[&str] = &[
        "from",
        "proxied-for",
        "certificate",
        "config",
        "listen",
        "header",
        "http1.0",
        "json",
        "help",
    ];
    let mut config = config.unwrap_or_else(default);
    let (mut from, mut listen, mut json, mut http10) = (None, None, false, false);
    let (mut headers, mut words) = (Vec::new(), Vec::new());
    let (mut proxied_for, mut certificate) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('c') | Long("config") => config = parser.value()?.into(),
            Long("from") => from = Some(address("from", &parser.value()?.string()?)?),
            Long("proxied-for") => {
                proxied_for = Some(address("proxied-for", &parser.value()?.string()?)?);
            }
            Long("certificate") => certificate = Some(parser.value()?.into()),
            Long("listen") => listen = Some(socket(&parser.value()?.string()?)?),
            Short('H') | Long("header") => headers.push(header(parser.value()?)?),
            Long("http1.0") => http10 = true,
            Long("json") => json = true,
            Short('h') | Long("help") => return Ok(Command::Help(help::EXPLAIN)),
            Value(word) if words.len() < 2 => words.push(word.into_vec()),
            other => return Err(unknown(other, KNOWN)),
        }
    }
    let from = from.ok_or("from whom? `--from ADDRESS` is missing")?;
    let url = words.pop().ok_or("which request? A URL, or its path and query, is missing")?;
    let method = words.pop().unwrap_or_else(|| b"GET".to_vec());
    let request = AskedRequest { method, url, headers, http10 };
    Ok(Command::Explain(ExplainOptions {
        config,
        from,
        proxied_for,
        certificate,
        listen,
        json,
        request,
    }))
}

fn demo(mut parser: Parser, config: Option<PathBuf>) -> Result<Command, Error> {
    if config.is_some() {
        return Err("`demo` brings its own configuration: leave `--config` out".into());
    }
    let mut options = DemoOptions { listen: DEMO_ADDRESS, plain: false };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => {
                options.listen = socket(&parser.value()?.string()?)?;
                if !options.listen.ip().is_loopback() {
                    return Err("--listen: the demo serves this machine alone; give a loopback address such as 127.0.0.1:9481".into());
                }
            }
            Long("plain") => options.plain = true,
            Short('h') | Long("help") => return Ok(Command::Help(help::DEMO)),
            other => return Err(unknown(other, &["listen", "plain", "help"])),
        }
    }
    Ok(Command::Demo(options))
}

fn probe(mut parser: Parser, config: Option<PathBuf>) -> Result<Command, Error> {
    let config = config.unwrap_or_else(default);
    let mut options = ProbeOptions { config, from: None, pin: false, url: None };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('c') | Long("config") => options.config = parser.value()?.into(),
            Long("from") => options.from = Some(address("from", &parser.value()?.string()?)?),
            Long("pin") => options.pin = true,
            Short('h') | Long("help") => return Ok(Command::Help(help::PROBE)),
            Value(url) if options.url.is_none() => options.url = Some(url.string()?),
            other => return Err(unknown(other, &["config", "from", "pin", "help"])),
        }
    }
    if options.url.is_some() && !options.pin {
        return Err("`probe` asks the XiVO of the configuration; a URL goes with --pin".into());
    }
    Ok(Command::Probe(options))
}

/// An argument that is not known here, and the nearest of the `known` long flags.
fn unknown(argument: Arg<'_>, known: &[&'static str]) -> Error {
    match argument {
        Long(flag) => match nearest(flag, known.iter().copied()) {
            Some(nearest) => {
                format!("unknown option `--{flag}`; did you mean `--{nearest}`?").into()
            }
            None => {
                let known: Vec<String> = known.iter().map(|flag| format!("--{flag}")).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                format!("unknown option `--{flag}`; known are {}", listed(&known)).into()
            }
        },
        Short(flag) => format!("unknown option `-{flag}`").into(),
        other => other.unexpected(),
    }
}

fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&found, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `words` as a message lists them.
fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, first @ [_, ..])) => format!("{} and {last}", first.join(", ")),
        _ => quoted.concat(),
    }
}

fn log_is_json(word: &str) -> Result<bool, Error> {
    match word {
        "text" => Ok(false),
        "json" => Ok(true),
        other => Err(format!("--log-format is `text` or `json`, not `{other}`").into()),
    }
}

fn address(flag: &str, text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| {
        format!(
            "--{flag} takes an IPv4 or IPv6 address, not `{}`: a policy knows its peer by the address",
            text.escape_debug()
        )
        .into()
    })
}

fn socket(text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| {
        format!(
            "--listen takes an address with a port, such as 127.0.0.1:9480 or [::]:9480, not `{}`",
            text.escape_debug()
        )
        .into()
    })
}

fn header(line: OsString) -> Result<Vec<u8>, Error> {
    let line = line.into_vec();
    if line.contains(&b':') {
        return Ok(line);
    }
    Err(format!(
        "--header takes `Name: value`, not `{}`",
        String::from_utf8_lossy(&line).escape_debug()
    )
    .into())
}

fn default() -> PathBuf {
    PathBuf::from(DEFAULT_CONFIG)
}

/// Where the configuration is unless `--config` says otherwise.
pub(super) const DEFAULT_CONFIG: &str = "/etc/phonebook-gateway/gateway.toml";

/// Where the demo listens unless told otherwise.
const DEMO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9480);

const AVAILABLE: &[&str] = &["serve", "check", "explain", "demo", "certs", "probe", "report"];

/// Words that are reserved for commands to come.
const LATER: &[&str] = &["ctl"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        read(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_configuration_is_named_before_or_behind_the_command() {
        for line in
            ["--config a.toml check", "check --config a.toml", "-t -c a.toml", "-c a.toml -t"]
        {
            let Ok(Command::Check(options)) = parse(line) else { panic!("{line}") };
            assert_eq!(options.config, PathBuf::from("a.toml"), "{line}");
        }
        let Ok(Command::Serve(options)) = parse("serve") else { panic!() };
        assert_eq!(options.config, PathBuf::from(DEFAULT_CONFIG));
    }

    #[test]
    fn every_command_has_help() {
        for line in [
            "--help",
            "-h",
            "serve -h",
            "check --help",
            "explain --help",
            "demo -h",
            "certs -h",
            "certs peer --help",
            "probe -h",
            "report -h",
        ] {
            let Ok(Command::Help(text)) = parse(line) else { panic!("{line}") };
            assert!(text.contains("Usage: phonebook-gateway") && text.contains("Exit codes"));
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{line}");
        }
        assert!(matches!(parse("-V"), Ok(Command::Version)));
    }

    #[test]
    fn what_is_unknown_names_the_nearest() {
        for (line, part) in [
            ("chekc", "did you mean `check`?"),
            ("Serve", "did you mean `serve`?"),
            (
                "frobnicate",
                "known are `serve`, `check`, `explain`, `demo`, `certs`, `probe` and `report`",
            ),
            ("check --srtict", "did you mean `--strict`?"),
            ("serve --colour", "known are `--config`, `--log-format` and `--help`"),
            ("demo -x", "unknown option `-x`"),
            ("check more", "more"),
            ("", "which command?"),
            ("ctl", "`ctl` is not available in this version"),
            ("probe https://xivo", "--pin"),
            ("probe --from lyon", "takes an IPv4 or IPv6 address"),
            ("probe --pni", "did you mean `--pin`?"),
            ("explain --from 192.0.2.1", "which request?"),
            ("explain /x", "`--from ADDRESS` is missing"),
            ("explain --from lyon /x", "takes an IPv4 or IPv6 address"),
            ("explain --from 192.0.2.1 -H Host /x", "takes `Name: value`"),
            ("explain --from 192.0.2.1 GET /x y", "\"y\""),
            ("demo --listen 0.0.0.0:9480", "loopback"),
            ("--config a demo", "brings its own"),
            ("certs", "Known are `init`, `server`, `peer` and `show`"),
            ("certs shwo", "did you mean `certs show`?"),
            ("certs init lyon", "\"lyon\""),
            ("certs init --days 0", "from 1 to 36500"),
            ("certs init --days +5", "from 1 to 36500"),
            ("certs init --json", "unknown option `--json`; known are"),
            ("certs peer --name x lyon", "unknown option `--name`"),
            ("certs server", "for which listener?"),
            ("certs server *.example.org", "no wildcards"),
            ("certs server 10.1", "abbreviated"),
            ("certs server 192.0.2.0/24", "no host name and no address"),
            ("certs server https://a.example.org", "no host name and no address"),
            ("certs server ../a", "no host name"),
            ("certs server CA", "the authority's own name"),
            ("certs peer", "for which peer?"),
            ("certs peer a b", "for which peer?"),
            ("certs peer Lyon", "no peer's name"),
            ("certs peer ../lyon", "no peer's name"),
            ("certs peer ca", "the authority's own name"),
            ("certs show --directory x a.pem", "not both"),
            ("report --since soon", "--since: `soon` is no time; allowed:"),
            ("report --since 2026-11-02 --until 2026-11-01", "is not before --until"),
            ("report --status 4x", "--status: `4x` is no status"),
            ("report --status !4xx,200", "before all statuses or before none"),
            ("report --reason rate-limit", "did you mean `rate-limited`?"),
            ("report --follow --json", "leave --json and --html out"),
            ("report --follow -", "cannot follow the standard input"),
            ("report - -", "can be read once"),
            ("report --json --html -", "give --html a file"),
            ("report --jsno", "did you mean `--json`?"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
