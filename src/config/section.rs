//! The sections of `gateway.toml`, one room each.

pub(crate) mod access_log;
pub(crate) mod admin;
pub(crate) mod control;
pub(crate) mod limits;
pub(crate) mod listen;
pub(crate) mod listen_tls;
pub(crate) mod log_format;
pub(crate) mod main;
pub(crate) mod names;
pub(crate) mod reload;
pub(crate) mod upstream;
