//! `[upstream.circuit]` and `[upstream.check]`: when XiVO is not asked, and what the gateway asks of its own.

use std::time::Duration;

use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::document::units::show_duration;
use crate::config::document::{Field, Section};
use crate::policy::decide::{Permit, own_search};

/// The `[upstream.circuit]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitSection {
    /// Consecutive faults of XiVO's after which it is not asked for a while; 0: it always is.
    pub failures: u32,
    /// How long it is not asked at first.
    pub open: Duration,
    /// How long at most.
    pub max_open: Duration,
}

/// The `[upstream.check]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckSection {
    /// How often the gateway asks XiVO of its own; zero: never.
    pub interval: Duration,
    /// What it then searches for; may be empty where it never does.
    pub search: String,
}

impl CheckSection {
    /// What is asked, and how often; nothing where nothing is.
    pub fn question(&self) -> Option<(Permit, Duration)> {
        if self.interval.is_zero() {
            return None;
        }
        Some((own_search(&self.search).ok()?, self.interval))
    }
}

/// Reads `[upstream.circuit]`.
pub(super) fn read_circuit(mut section: Section<'_>) -> CircuitSection {
    let failures = section.value("failures", 5, |field| field.whole(0, MOST_FAILURES));
    let open_field = section.take("open");
    let max_field = section.take("max_open");
    let read = |field: &Option<Field<'_>>, default| {
        let field = field.as_ref();
        field.and_then(|field| field.duration(LEAST_OPEN, MOST_OPEN)).unwrap_or(default)
    };
    let open = read(&open_field, Duration::from_secs(1));
    let max_open = read(&max_field, Duration::from_secs(5));
    if open > max_open
        && let Some(written) = max_field.or(open_field)
    {
        let message = format!(
            "`open` ({}) is longer than `max_open` ({})",
            show_duration(open),
            show_duration(max_open)
        );
        let label = "XiVO is tried again after `max_open` at the latest";
        written.warn(Diagnostic::new(message, label).help("write both, the longer as `max_open`"));
    }
    section.finish();
    CircuitSection { failures, open, max_open }
}

/// Reads `[upstream.check]`.
pub(super) fn read_check(mut section: Section<'_>) -> CheckSection {
    let interval = section.take("interval").and_then(|field| {
        let interval = field.duration(Duration::ZERO, Duration::MAX)?;
        if !interval.is_zero() && !(LEAST_INTERVAL..=MOST_OPEN).contains(&interval) {
            let message = format!("{} is out of range", show_duration(interval));
            let label = "allowed: \"0s\", or \"1s\" to \"1h\"";
            field.error(Diagnostic::new(message, label).help("write \"0s\" for never"));
            return None;
        }
        Some(interval)
    });
    let search_field = section.take("search");
    let search = search_field.as_ref().and_then(Field::text);
    if let (Some(field), Some(text)) = (&search_field, &search)
        && !text.is_empty()
        && own_search(text).is_err()
    {
        let label = "allowed: up to 256 characters, and no control character";
        field.error(Diagnostic::new(format!("{} cannot be searched for", shown(text)), label));
    }
    let interval = interval.unwrap_or_default();
    let unwritten =
        search_field.is_none() || search.as_deref().is_some_and(|it| it.trim().is_empty());
    if !interval.is_zero() && unwritten {
        let help = "add search = \"phonebook-gateway\", or a term that XiVO answers fast";
        section.missing("search", help);
    }
    section.finish();
    CheckSection { interval, search: search.unwrap_or_default() }
}

const MOST_FAILURES: u32 = 1000;
const LEAST_OPEN: Duration = Duration::from_millis(1);
const MOST_OPEN: Duration = Duration::from_secs(3600);
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
