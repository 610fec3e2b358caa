//! What access logs tell: read, counted, and put into words.
//!
//! [`summary`] is the result; the terminal, the JSON and the HTML page only show it.

pub mod moment;
pub mod summary;
pub mod words;

pub use moment::Moment;
pub use summary::Report;
