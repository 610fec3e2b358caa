//! What access logs tell: read, counted, and put into words.
//!
//! Lines are read ([`read`]), counted ([`count`]), and judged ([`build`]); [`summary`] is the result, and the terminal,
//! the JSON and the HTML page only show it.
//!
//! Imports `access_log`, `config`, `lookup`, `net`, `page`, `policy`, `refusal`, `text`. Begin with `cli/report.rs`,
//! then [`read`].

pub(crate) mod build;
pub(crate) mod count;
pub(crate) mod html;
pub(crate) mod read;
pub(crate) mod summary;
pub(crate) mod terminal;

pub(crate) use summary::local_time::LocalTime;
