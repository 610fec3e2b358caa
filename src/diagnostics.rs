//! Where the program's own lines go: to standard error, or to the journal with their fields.
//!
//! What is said anywhere is traced; [`DiagnosticsQueue`] takes it from there and hands it to a thread of its own through a
//! bounded queue, so that nobody waits for a disk or a pipe. Lines that are lost are counted, and told of
//! when it works again (`losses.rs`).
//!
//! Imports `net`, `supervision`. Begin with `queue.rs`.

mod journal;
mod level;
mod line;
pub(crate) mod losses;
mod queue;
mod thread;

pub(crate) use journal::is_standard_error as journal_is_standard_error;
pub(crate) use level::{ALWAYS, LEVELS, LevelSwitch};
pub(crate) use line::Form;
pub(crate) use queue::{DiagnosticsQueue, JournalLayer, LostDiagnostics};
