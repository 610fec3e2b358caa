//! What `phonebook-gateway demo` brings along: a small XiVO to stand in front of.

pub mod phonebook;
pub mod routing;
pub mod sample_xivo;
