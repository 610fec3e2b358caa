//! What the configuration says of one access log.

use std::time::Duration;

use crate::access_log::condition::Condition;
use crate::access_log::format::{LogFormat, SearchTerms};
use crate::access_log::target::LogTarget;

/// One `[[access_log]]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Where the lines go.
    pub target: LogTarget,
    /// Which requests it takes; `None` for all.
    pub condition: Option<Condition>,
    /// How many bytes a worker collects before it hands them over; 0 hands over every line.
    pub buffer: usize,
    /// How long a line may wait in a worker's buffer.
    pub flush: Duration,
    /// The level, 1 to 9, at which what is handed over is compressed.
    pub gzip: Option<u32>,
    /// Where a logged value is cut, in escaped bytes; 0 cuts none.
    pub max_field: usize,
    /// How a line is written.
    pub format: LogFormat,
    /// How search terms are.
    pub search_terms: SearchTerms,
}

impl LogSettings {
    /// A log to `target`, with the defaults of everything else.
    pub fn to(target: LogTarget) -> Self {
        // A receiver of syslog gets each line as it comes.
        let buffer = if matches!(target, LogTarget::Syslog(_)) { 0 } else { 64 << 10 };
        Self {
            target,
            condition: None,
            buffer,
            flush: Duration::from_secs(1),
            gzip: None,
            max_field: 2 << 10,
            format: LogFormat::Combined,
            search_terms: SearchTerms::Full,
        }
    }
}
