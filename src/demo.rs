//! What `phonebook-gateway demo` brings along: a small XiVO to stand in front of.
//!
//! Imports nothing of this crate. Begin with `routing.rs`, what XiVO makes of a URL.

pub(crate) mod phonebook;
pub mod routing;
pub mod sample_xivo;
