//! What `report` is asked for.

use std::path::PathBuf;

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, Zoned};

use crate::access_log::Statuses;
use crate::cli::number;
use crate::config::{escaped, nearest};
use crate::refusal::Reason;
use crate::report::read::input::Source;
use crate::report::read::select::Selection;

/// say what access logs tell: who, how much, refused why, how fast
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Says what access logs tell: who looks up how much and when, what was refused and how to fix it, \
                   which quota would have sufficed, how long answers took, who is in no policy, who has gone silent, \
                   and who reads the phonebook out.",
    after_help = "Example: who was refused yesterday:\n  phonebook-gateway report --since yesterday --until today --status 4xx\n\n\
                  Exit codes: 0 success, 1 no line could be read in its format (with --exit-code: or something needs \
                  attention), 2 the command line is wrong, 3 a file could not be read, or the report not be written."
)]
pub(in crate::cli) struct Options {
    /// logs of the gateway or of nginx, plain, gzip or zstd, in any order, bare or as syslog, the journal or containers
    /// keep them; - is the standard input. Without any, the logs of the configuration with what logrotate has made of
    /// them
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// what the lines are written in: a format of the configuration, combined, main, gateway or gateway_json, or the
    /// text itself as in nginx's log_format; found out for each file unless given
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,
    /// nothing before: 2026-11-23, "2026-11-23 14:30", today, yesterday, or so long ago: 90m, 24h, 7d
    #[arg(long, value_name = "TIME", help_heading = CHOICE)]
    since: Option<String>,
    /// nothing at or after this time
    #[arg(long, value_name = "TIME", help_heading = CHOICE)]
    until: Option<String>,
    /// these peers or addresses; - is everybody in no policy
    #[arg(long = "peer", value_name = "NAME", value_delimiter = ',', value_parser = word, help_heading = CHOICE)]
    peers: Vec<String>,
    /// these statuses: 429, 4xx, !2xx
    #[arg(long = "status", value_name = "STATUS", value_delimiter = ',', value_parser = word, help_heading = CHOICE)]
    statuses: Vec<String>,
    /// these refusals, by the words of the log's $reason
    #[arg(long = "reason", value_name = "WORD", value_delimiter = ',', value_parser = reason, help_heading = CHOICE)]
    reasons: Vec<String>,
    /// as JSON; packaging/report.schema.json describes it
    #[arg(long, help_heading = FORM, conflicts_with = "follow")]
    pub(super) json: bool,
    /// as one page that needs nothing else; - for standard output
    #[arg(long, value_name = "FILE", help_heading = FORM, conflicts_with = "follow")]
    pub(super) html: Option<PathBuf>,
    /// every row of every table, in the terminal
    #[arg(long, help_heading = FORM)]
    pub(super) all: bool,
    /// live: the report is shown again as the files grow
    #[arg(short, long, help_heading = FORM)]
    pub(super) follow: bool,
    /// without colours and with ASCII alone
    #[arg(long, help_heading = FORM)]
    pub(super) plain: bool,
    /// exit with 1 if something needs attention; packaging/ has a timer that mails such a report each week
    #[arg(long)]
    pub(super) exit_code: bool,
    /// threads that read; one for each core unless given
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(super) threads: Option<u16>,
}

impl Options {
    /// What to read; nothing stands for the configuration's logs.
    pub(super) fn sources(&self) -> Vec<Source> {
        let source = |path: &PathBuf| {
            if path.as_os_str() == "-" { Source::Stdin } else { Source::File(path.clone()) }
        };
        self.files.iter().map(source).collect()
    }

    /// Which lines count.
    ///
    /// # Errors
    /// What of the options cannot be.
    pub(super) fn selection(&self, now: &Zoned) -> Result<Selection, String> {
        let at = |option, text: &Option<String>| {
            text.as_deref().map(|text| time(option, text, now)).transpose()
        };
        let (since, until) = (at("since", &self.since)?, at("until", &self.until)?);
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            return Err("--since is not before --until: no line can be between them".to_owned());
        }
        let end = until.unwrap_or_else(|| now.timestamp().as_second());
        let selection = Selection {
            since,
            until,
            before: since.map(|since| since - (end - since).max(0)),
            peers: self.peers.clone(),
            statuses: statuses(&self.statuses)?,
            reasons: self.reasons.clone(),
        };
        self.check_streams()?;
        Ok(selection)
    }

    /// Each of the standard streams serves once.
    fn check_streams(&self) -> Result<(), String> {
        let inputs = self.files.iter().filter(|path| path.as_os_str() == "-").count();
        if inputs > 1 {
            return Err("`-`, the standard input, can be read once".to_owned());
        }
        if self.follow && inputs > 0 {
            return Err("--follow watches files; it cannot follow the standard input".to_owned());
        }
        if self.json && self.html.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            let why = "both write to the standard output; give --html a file";
            return Err(format!("--json and --html - {why}"));
        }
        Ok(())
    }
}

/// The statuses that the words stand for; with a `!` before each, all others.
fn statuses(words: &[String]) -> Result<Option<Statuses>, String> {
    let negated = words.iter().filter(|word| word.starts_with('!')).count();
    if negated > 0 && negated < words.len() {
        return Err("--status: a `!` stands before all statuses or before none".to_owned());
    }
    let ranges = words.iter().map(|word| {
        let plain = word.strip_prefix('!').unwrap_or(word);
        Statuses::range(plain).ok_or_else(|| {
            let word = escaped(word);
            format!("--status: `{word}` is no status; allowed: 4xx, 404, 403,429, and !2xx for all others")
        })
    });
    let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
    Ok((!ranges.is_empty()).then(|| Statuses::new(ranges, negated > 0)))
}

fn threads(text: &str) -> Result<u16, String> {
    number::whole(text, MOST_THREADS)
}

/// One word of a list.
fn word(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("nothing stands between two commas, or there is nothing at all".to_owned()),
        word => Ok(word.to_owned()),
    }
}

/// A word that a log can have as its reason: the gateway's own, and statuses where only those are known.
fn reason(text: &str) -> Result<String, String> {
    let word = word(text)?;
    if Reason::of(&word).is_some() || Statuses::range(&word).is_some() {
        return Ok(word);
    }
    let hint = match nearest(&word, Reason::words()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", Reason::words().collect::<Vec<_>>().join(", ")),
    };
    Err(format!("there is no reason `{}`; {hint}", escaped(&word)))
}

/// A point in time: with a zone, at this machine's clock, or so long ago.
fn time(flag: &str, text: &str, now: &Zoned) -> Result<i64, String> {
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
            escaped(text)
        )
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

const CHOICE: &str = "Which lines count (lists with commas: --status 403,429)";
const FORM: &str = "How it is shown";

/// More cores than this no host has that keeps such logs.
const MOST_THREADS: u16 = 256;

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
