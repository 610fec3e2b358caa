//! `report` and its flags.

use std::path::PathBuf;

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, Zoned};
use lexopt::prelude::*;
use lexopt::{Error, Parser};

use super::{Command, help, nearest, unknown};
use crate::access_log::Statuses;
use crate::refusal::Reason;
use crate::report::read::input::Source;
use crate::report::read::select::Selection;

/// `report`.
#[derive(Debug)]
pub(in crate::cli) struct ReportOptions {
    /// Where it was given.
    pub(in crate::cli) config: Option<PathBuf>,
    /// What to read; the configuration's logs where nothing is given.
    pub(in crate::cli) sources: Vec<Source>,
    /// A format's name, or its text.
    pub(in crate::cli) log_format: Option<String>,
    pub(in crate::cli) selection: Selection,
    pub(in crate::cli) json: bool,
    /// Where the page goes; `-` is the standard output.
    pub(in crate::cli) html: Option<PathBuf>,
    pub(in crate::cli) follow: bool,
    /// Whether the exit code says if something needs somebody.
    pub(in crate::cli) exit_code: bool,
    /// Whether every row is shown.
    pub(in crate::cli) all: bool,
    /// No colours and no cursor movements.
    pub(in crate::cli) plain: bool,
    /// 0: one for each core.
    pub(in crate::cli) threads: usize,
}

const KNOWN: &[&str] = &[
    "config",
    "log-format",
    "since",
    "until",
    "peer",
    "status",
    "reason",
    "json",
    "html",
    "follow",
    "exit-code",
    "all",
    "plain",
    "threads",
    "help",
];

/// Reads what follows `report`.
pub(super) fn report(mut parser: Parser, config: Option<PathBuf>) -> Result<Command, Error> {
    let mut options = ReportOptions {
        config,
        sources: Vec::new(),
        log_format: None,
        selection: Selection::default(),
        json: false,
        html: None,
        follow: false,
        exit_code: false,
        all: false,
        plain: false,
        threads: 0,
    };
    let now = Zoned::now();
    let mut words = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('c') | Long("config") => options.config = Some(parser.value()?.into()),
            Long("log-format") => options.log_format = Some(parser.value()?.string()?),
            Long("since") => {
                options.selection.since = Some(time("since", &parser.value()?.string()?, &now)?);
            }
            Long("until") => {
                options.selection.until = Some(time("until", &parser.value()?.string()?, &now)?);
            }
            Long("peer") => options.selection.peers.extend(listed(&parser.value()?.string()?)),
            Long("status") => words.extend(listed(&parser.value()?.string()?)),
            Long("reason") => options.selection.reasons.extend(listed(&parser.value()?.string()?)),
            Long("json") => options.json = true,
            Long("html") => options.html = Some(parser.value()?.into()),
            Short('f') | Long("follow") => options.follow = true,
            Long("exit-code") => options.exit_code = true,
            Long("all") => options.all = true,
            Long("plain") => options.plain = true,
            Long("threads") => options.threads = parser.value()?.parse()?,
            Short('h') | Long("help") => return Ok(Command::Help(help::REPORT)),
            Value(word) if word == "-" => options.sources.push(Source::Stdin),
            Value(word) => options.sources.push(Source::File(word.into())),
            other => return Err(unknown(other, KNOWN)),
        }
    }
    options.selection.statuses = statuses(&words)?;
    let until = options.selection.until.unwrap_or_else(|| now.timestamp().as_second());
    options.selection.before = options.selection.since.map(|since| since - (until - since).max(0));
    check(&options)?;
    Ok(Command::Report(options))
}

fn check(options: &ReportOptions) -> Result<(), Error> {
    options.selection.reasons.iter().try_for_each(|word| reason(word))?;
    let Selection { since, until, .. } = options.selection;
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        return Err("--since is not before --until: no line can be between them".into());
    }
    let many = options.sources.iter().filter(|source| **source == Source::Stdin).count();
    if many > 1 {
        return Err("`-`, the standard input, can be read once".into());
    }
    if options.follow && (options.json || options.html.is_some()) {
        return Err(
            "--follow shows the report live in the terminal; leave --json and --html out".into()
        );
    }
    if options.follow && many > 0 {
        return Err("--follow watches files; it cannot follow the standard input".into());
    }
    if options.json && options.html.as_ref().is_some_and(|path| path.as_os_str() == "-") {
        return Err(
            "--json and --html - both write to the standard output; give --html a file".into()
        );
    }
    Ok(())
}

/// The statuses that the words stand for; with a `!` before each, all others.
fn statuses(words: &[String]) -> Result<Option<Statuses>, Error> {
    let negated = words.iter().filter(|word| word.starts_with('!')).count();
    if negated > 0 && negated < words.len() {
        return Err("--status: a `!` stands before all statuses or before none".into());
    }
    let ranges = words.iter().map(|word| {
        let plain = word.strip_prefix('!').unwrap_or(word);
        Statuses::range(plain).ok_or_else(|| {
            let word = word.escape_debug();
            format!("--status: `{word}` is no status; allowed: 4xx, 404, 403,429, and !2xx for all others")
        })
    });
    let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
    Ok((!ranges.is_empty()).then(|| Statuses::new(ranges, negated > 0)))
}

/// Whether a log can have this reason: the gateway's words, and statuses where only those are known.
fn reason(word: &str) -> Result<(), Error> {
    if Reason::of(word).is_some() || Statuses::range(word).is_some() {
        return Ok(());
    }
    let hint = match nearest(word, Reason::words()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", Reason::words().collect::<Vec<_>>().join(", ")),
    };
    Err(format!("--reason: there is no reason `{}`; {hint}", word.escape_debug()).into())
}

fn listed(words: &str) -> impl Iterator<Item = String> {
    words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned)
}

/// A point in time: with a zone, at this machine's clock, or so long ago.
fn time(flag: &str, text: &str, now: &Zoned) -> Result<i64, Error> {
    let local = |at: DateTime| at.to_zoned(now.time_zone().clone()).ok().map(|at| at.timestamp());
    let today = now.date();
    let read = match text {
        "now" => Some(now.timestamp()),
        "today" => local(today.to_datetime(jiff::civil::Time::midnight())),
        "yesterday" => today
            .yesterday()
            .ok()
            .and_then(|it| local(it.to_datetime(jiff::civil::Time::midnight()))),
        text => ago(text, now)
            .or_else(|| text.parse::<Timestamp>().ok())
            .or_else(|| text.parse::<DateTime>().ok().and_then(local))
            .or_else(|| text.parse::<Date>().ok().and_then(|date| local(date.into()))),
    };
    read.map(Timestamp::as_second).ok_or_else(|| {
        format!(
            "--{flag}: `{}` is no time; allowed: 2026-11-23, \"2026-11-23 14:30\", 2026-11-23T14:30:00Z, \
             today, yesterday, or how long ago it is: 90m, 24h, 7d",
            text.escape_debug()
        )
        .into()
    })
}

/// `90m`, `24h`, `7d`: so long before now.
fn ago(text: &str, now: &Zoned) -> Option<Timestamp> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok().filter(|number| (0..=1_000_000).contains(number))?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    Timestamp::from_second(now.timestamp().as_second() - number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn at(text: &str) -> Option<i64> {
        let zone = TimeZone::fixed(jiff::tz::offset(-5));
        let now = Timestamp::from_second(1_795_404_830).unwrap().to_zoned(zone);
        time("since", text, &now).ok()
    }

    #[test]
    fn times_are_read_at_the_machine_s_clock_unless_they_have_a_zone() {
        assert_eq!(at("2026-11-23T03:33:50Z"), Some(1_795_404_830));
        assert_eq!(at("2026-11-22 22:33:50"), Some(1_795_404_830));
        assert_eq!(at("2026-11-22T22:33"), Some(1_795_404_780));
        assert_eq!(at("today"), at("2026-11-22"));
        assert_eq!(at("yesterday"), at("2026-11-21"));
        assert_eq!(at("90m"), Some(1_795_404_830 - 5400));
        assert_eq!(at("7d"), Some(1_795_404_830 - 7 * 86_400));
        assert_eq!((at("soon"), at(""), at("5x"), at("-5m")), (None, None, None, None));
    }
}
