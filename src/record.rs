//! The access log: one line per request, as nginx writes it, into a file that nginx's tools read.
//!
//! [`combined`] and [`mod@format`] turn one request's facts into a line, [`clock`] keeps the second's text, and
//! [`writer`] brings whole lines from the workers to the file without ever making a worker wait.

pub mod clock;
pub mod combined;
pub mod escape;
pub mod format;
mod lines;
mod losses;
mod notes;
mod request;
mod terms_key;
mod thread;
mod trace;
mod worker_log;
pub mod writer;

pub use clock::{LocalClock, UnixSeconds};
pub use combined::{Entry, write_combined};
pub use format::{Checked, Format, FormatError, LogFormat, SearchTerms, TermKey};
pub use lines::LineBuffer;
pub use notes::Notes;
pub use request::{Opening, Record};
pub use terms_key::load_key;
pub use trace::Trace;
pub use worker_log::{LogHost, WorkerLog};
pub use writer::{AccessLogs, LogCounters, LogSettings, LogTarget, OpenError};
