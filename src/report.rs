//! What access logs tell: read, counted, and put into words.
//!
//! Lines are read ([`read`]), counted ([`count`]), and judged ([`build`]); [`summary`] is the result, and the terminal,
//! the JSON and the HTML page only show it.
//!
//! Imports `access_log`, `config`, `lookup`, `net`, `page`, `policy`, `refusal`, `text`. Begin with `cli/report.rs`,
//! then [`read`].

pub mod build;
pub mod count;
pub mod html;
pub mod read;
pub mod summary;
pub mod terminal;

pub use summary::Report;
pub use summary::local_time::LocalTime;
