//! What access logs tell: read, counted, and put into words.
//!
//! [`summary`] is the result; the terminal, the JSON and the HTML page only show it.

pub mod build;
pub mod entry;
mod findings;
pub mod formats;
pub mod html;
pub mod input;
mod mend;
pub mod moment;
mod outages;
mod patience;
pub mod pattern;
mod quota;
mod read;
mod repeats;
pub mod run;
pub mod select;
mod sketch;
pub mod stretch;
pub mod summary;
mod sweep;
pub mod tally;
pub mod terminal;
pub mod time;
pub mod timeline;
mod typing;
pub mod words;

pub use moment::Moment;
pub use summary::Report;
