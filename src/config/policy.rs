//! A policy file.

pub(crate) mod certificate;
pub(crate) mod hosts;

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::document::diagnostic::{Diagnostic, nearest, shown};
use crate::config::document::environment::Variables;
use crate::config::document::problem::{Document, Mark, Problem};
use crate::config::document::{self, Field, Section};
use crate::config::value::rate;
use crate::location::{Located, Location};
use crate::policy::{Action, Actions, PeerName, Policy, Rate, Require};

/// What a policy's reading depends on besides its file.
pub(super) struct PolicyContext<'a> {
    pub(super) variables: Variables<'a>,
    pub(super) now: Timestamp,
    pub(super) gateway_rate: Rate,
    pub(super) max_connections: usize,
}

/// A policy with what is needed to point into its file.
pub(super) struct WrittenPolicy {
    pub(super) policy: Policy,
    pub(super) document: Arc<Document>,
    /// The span of each of the policy's hosts.
    pub(super) spans: Vec<Range<usize>>,
    /// The span of its `[certificate]`.
    pub(super) certificate_span: Option<Range<usize>>,
}

impl WrittenPolicy {
    /// Whether its file's name is no peer's.
    pub(super) fn is_unnamed(&self) -> bool {
        let stem = self.document.file().file_stem().unwrap_or_default().to_string_lossy();
        PeerName::new(&stem).is_none()
    }
}

/// Reads the policy in `document`. One whose file name is no peer's name, which is an error, is
/// compared with the others all the same.
pub(super) fn read(
    document: &Arc<Document>,
    context: &PolicyContext<'_>,
    found: &mut Vec<Problem>,
) -> Option<WrittenPolicy> {
    let name = peer_name(document, found);
    let location = document.location(0);
    let (written, problems) = document::read(document, context.variables, |root| {
        // A policy without a name is read all the same, for its other problems.
        let stand_in = name.clone().or_else(|| PeerName::new("unnamed"))?;
        let document = Arc::clone(root.document());
        let (policy, spans, certificate_span) = policy(root, stand_in, location, context);
        Some(WrittenPolicy { policy, document, spans, certificate_span })
    });
    found.extend(problems);
    written
}

fn peer_name(document: &Arc<Document>, found: &mut Vec<Problem>) -> Option<PeerName> {
    let stem = document.file().file_stem().unwrap_or_default().to_string_lossy();
    let name = PeerName::new(&stem);
    if name.is_none() {
        let message = format!(
            "the peer's name is its file's name, and {} is none: allowed are 1 to 64 of a to z, \
             0 to 9, \".\", \"_\" and \"-\", the first a letter or digit",
            shown(&stem)
        );
        let lower = stem.to_lowercase().replace(' ', "-");
        let help = PeerName::new(&lower).map(|name| format!("rename the file to {name}.toml"));
        found.push(Problem::error(message, Mark::whole_file(document)).with_help(help));
    }
    name
}

fn policy(
    mut root: Section<'_>,
    name: PeerName,
    location: Location,
    context: &PolicyContext<'_>,
) -> (Policy, Vec<Range<usize>>, Option<Range<usize>>) {
    let description = root.value("description", String::new(), Field::text);
    let section = root.take("certificate");
    let certificate = section.as_ref().and_then(certificate::read);
    let by_certificate_alone =
        certificate.as_ref().is_some_and(|rule| rule.require == Require::Certificate);
    let (hosts, spans) = hosts::read(&mut root, by_certificate_alone);
    let certificate_span = section.as_ref().map(Field::span);
    if let Some(field) = section.filter(|_| by_certificate_alone && !hosts.is_empty()) {
        let message = "with require = \"certificate\" the hosts have no say";
        let help = "remove `hosts`, or write require = \"both\" or \"either\"";
        field.warn(Diagnostic::new(message, "wherever the caller comes from").help(help));
    }
    let mut granted = Actions::default();
    granted.insert(Action::Search);
    let actions = root.placed("actions", granted, actions);
    let rate = rate_within(&mut root, context.gateway_rate);
    let concurrent = root.placed("concurrent", CONCURRENT, |f| f.whole(1, MOST_CONCURRENT));
    let connections = connections(&mut root, context.max_connections, &concurrent);
    let min_search_length = root.placed("min_search_length", MIN_SEARCH_LENGTH, min_search_length);
    let enabled = root.placed("enabled", true, enabled);
    let valid_from = root.take("valid_from").and_then(|field| Some((timestamp(&field)?, field)));
    let valid_until = root.take("valid_until").and_then(|field| Some((timestamp(&field)?, field)));
    if let Some((until, field)) = &valid_until {
        let from = valid_from.as_ref().map(|(from, _)| from.value);
        warn_of_end(field, until.value, from, context.now);
    }
    root.finish();
    let policy = Policy {
        name,
        location,
        description,
        hosts,
        actions,
        rate,
        concurrent,
        connections,
        min_search_length,
        enabled,
        valid_from: valid_from.map(|(from, _)| from),
        valid_until: valid_until.map(|(until, _)| until),
        certificate,
    };
    (policy, spans, certificate_span)
}

fn actions(field: &Field<'_>) -> Option<Actions> {
    let entries = field.list()?;
    if entries.is_empty() {
        let message = "empty: this peer may ask for nothing";
        field.warn(Diagnostic::new(message, "every lookup is refused"));
    }
    let mut granted = Actions::default();
    for entry in entries {
        let Some(action) = entry.text().and_then(|text| action(&entry, &text)) else { continue };
        if granted.contains(action) {
            let message = format!("\"{}\" is repeated", action.as_str());
            entry.warn(Diagnostic::new(message, "once is enough"));
        }
        if action == Action::List && !granted.contains(Action::List) {
            let message = "list gives away the whole phonebook in one request";
            let help = "XiVO's own lookups need search only";
            entry.warn(Diagnostic::new(message, "granted here").help(help));
        }
        granted.insert(action);
    }
    Some(granted)
}

fn action(entry: &Field<'_>, text: &str) -> Option<Action> {
    let found = Action::ALL.into_iter().find(|action| action.as_str() == text);
    if found.is_none() {
        let label = "allowed: \"search\", \"list\" and \"view\"";
        let diagnostic = if WRITING_ACTS.contains(&text.to_lowercase().as_str()) {
            Diagnostic::new(format!("{} is never granted by this gateway", shown(text)), label)
                .help("it changes the phonebook; the gateway lets peers read only")
        } else {
            let diagnostic = Diagnostic::new(format!("{} is unknown", shown(text)), label);
            match nearest(text, Action::ALL.map(Action::as_str)) {
                Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
                None => diagnostic,
            }
        };
        entry.error(diagnostic);
    }
    found
}

fn rate_within(root: &mut Section<'_>, gateway: Rate) -> Located<Rate> {
    let mut field = None;
    let placed = root.placed("rate", RATE, |written| {
        field = Some(written.clone());
        rate::read(written)
    });
    if rate::never_met(placed.value, gateway) {
        let message = format!(
            "the peer's rate ({}) can never be met: the whole gateway's is {}",
            placed.value, gateway
        );
        let diagnostic = Diagnostic::new(message, "more than the whole gateway gets")
            .help("lower it, or raise rate in [limits]");
        match field {
            Some(field) => field.warn(diagnostic),
            None => root.warn(diagnostic),
        }
    }
    placed
}

/// How many client connections the peer may have, where its policy says so.
fn connections(
    root: &mut Section<'_>,
    max_connections: usize,
    concurrent: &Located<u32>,
) -> Option<Located<usize>> {
    let field = root.take("connections")?;
    let number = usize::try_from(field.whole(1, 1_000_000)?).ok()?;
    if number > max_connections {
        let message = format!("{number} connections do not fit into the gateway's");
        let label =
            format!("allowed: 1 to {max_connections}, which is max_connections in [limits]");
        field.error(Diagnostic::new(message, label).help("lower this, or raise that"));
    } else if number < usize::try_from(concurrent.value).unwrap_or(usize::MAX) {
        let connections = if number == 1 { "connection" } else { "connections" };
        let message = format!(
            "{} lookups at once never come over {number} {connections}: XiVO opens one for each",
            concurrent.value
        );
        let help = "raise `connections`, or lower `concurrent`";
        field.warn(Diagnostic::new(message, "fewer than `concurrent`").help(help));
    }
    Some(Located { value: number, location: field.location(), written: true })
}

fn min_search_length(field: &Field<'_>) -> Option<u8> {
    let length = field.whole(0, 64)?;
    if length < 2 {
        let message = format!("a term of {length} finds nearly the whole phonebook");
        let help = "2 is the default, and enough for XiVO's users";
        field.warn(Diagnostic::new(message, "hardly a limit").help(help));
    }
    u8::try_from(length).ok()
}

fn enabled(field: &Field<'_>) -> Option<bool> {
    let enabled = field.boolean()?;
    if !enabled {
        field.warn(Diagnostic::new("this peer is refused", "the policy is switched off"));
    }
    Some(enabled)
}

fn timestamp(field: &Field<'_>) -> Option<Located<Timestamp>> {
    let datetime = field.datetime()?;
    let label = "allowed: a date, a time and an offset, such as 2026-11-01T00:00:00Z";
    let text = datetime.to_string();
    if datetime.date.is_none() || datetime.time.is_none() || datetime.offset.is_none() {
        let diagnostic = Diagnostic::new(format!("{text} needs an offset such as Z"), label);
        field.error(match field.meant() {
            Some(meant) => diagnostic.help(format!("{meant}, which is by this host's clock")),
            None => diagnostic,
        });
        return None;
    }
    match text.parse::<Timestamp>() {
        Ok(value) => Some(Located { value, location: field.location(), written: true }),
        Err(error) => {
            field.error(Diagnostic::new(format!("{text} is no date: {error}"), label));
            None
        }
    }
}

fn warn_of_end(field: &Field<'_>, until: Timestamp, from: Option<Timestamp>, now: Timestamp) {
    if let Some(from) = from
        && until <= from
    {
        let message =
            format!("{until} is not after `valid_from`, {from}: the peer is never let in");
        field.error(Diagnostic::new(message, "allowed: a later time than valid_from"));
    } else if until <= now {
        let message = format!("expired at {until}: this peer is refused");
        field.warn(Diagnostic::new(message, "in the past"));
    }
}

const RATE: Rate = rate::per_second(10, 20);
const CONCURRENT: u32 = 8;
const MOST_CONCURRENT: u32 = 100_000;
const MIN_SEARCH_LENGTH: u8 = 2;

/// The acts of XiVO's web services that change something.
const WRITING_ACTS: [&str; 6] = ["add", "create", "delete", "deleteall", "edit", "import"];
