//! The access log: one line per request, as nginx writes it, into a file that nginx's tools read.
//!
//! [`condition`] says which requests a log takes, [`format::combined`] and [`mod@format`] turn one request's facts into
//! a line, [`format::clock`] keeps the second's text, and [`writer`] brings whole lines from the workers to their
//! target without ever making a worker wait.
//!
//! Imports `diagnostics`, `files`, `identity`, `limits`, `location`, `lookup`, `net`, `supervision`,
//! `text`, `upstream`, `x509`. Begin with `worker_log.rs`, where a request becomes its lines.

pub(crate) mod condition;
pub mod format;
mod settings;
mod target;
mod term_key;
mod worker_log;
pub(crate) mod writer;

pub use condition::{Condition, Statuses, Words};
pub use format::clock::{LocalClock, UnixSeconds};
pub use format::combined::{Entry, write_combined};
pub use format::{Checked, Format, FormatError, LogFormat, SearchTerms, TermKey};
pub use settings::LogSettings;
pub use target::{LogTarget, PeerPath, Syslog, SyslogRfc, SyslogServer};
pub use term_key::load_key;
pub use worker_log::{Ended, LogHost, WorkerLog};
pub use writer::buffer::LineBuffer;
pub use writer::{AccessLogs, LogCounters, LogPlan, LogTotals, NextLogs, OpenError};
