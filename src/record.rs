//! The access log: one line per request, as nginx writes it, into a file that nginx's tools read.
//!
//! [`condition`] says which requests a log takes, [`combined`] and [`mod@format`] turn one request's facts into
//! a line, [`clock`] keeps the second's text, and [`writer`] brings whole lines from the workers to their
//! target without ever making a worker wait.

mod advice;
pub mod clock;
pub mod combined;
pub mod condition;
pub mod escape;
pub mod format;
mod frame;
mod lead;
mod lines;
pub(crate) mod losses;
mod notes;
mod output;
mod request;
mod settings;
mod target;
mod terms_key;
mod thread;
mod trace;
mod worker_log;
pub mod writer;

pub use clock::{LocalClock, UnixSeconds};
pub use combined::{Entry, write_combined};
pub use condition::{Condition, Statuses, Words};
pub use format::{Checked, Format, FormatError, LogFormat, SearchTerms, TermKey};
pub use lines::LineBuffer;
pub use notes::Notes;
pub use request::{Opening, Record};
pub use settings::LogSettings;
pub use target::{LogTarget, PeerPath, Syslog, SyslogRfc, SyslogServer};
pub use terms_key::load_key;
pub use trace::Trace;
pub use worker_log::{LogHost, WorkerLog};
pub use writer::{AccessLogs, LogCounters, OpenError};
