//! The admin listener: how the running gateway is, for people and for programs.
//!
//! Imports `control`, `identity`, `limits`, `net`, `page`, `policy`, `refusal`, `server`, `text`, `worker`. Begin with
//! [`StatusSource`], then `status.rs`.

mod ring;
mod status;
mod status_page;

pub use status::source::{Measured, StatusSource};
pub use status_page::{page_of_document, page_policy};
