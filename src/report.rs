//! What access logs tell: read, counted, and put into words.
//!
//! [`summary`] is the result; the terminal, the JSON and the HTML page only show it.

pub mod entry;
pub mod moment;
pub mod pattern;
mod quota;
pub mod select;
mod sketch;
mod stretch;
pub mod summary;
mod sweep;
mod tally;
pub mod time;
mod timeline;

pub use moment::Moment;
pub use summary::Report;
