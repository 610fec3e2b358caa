//! What stands below HTTP: whom a packet comes from, sockets and what is said on them before a request,
//! and waiting on them.
//!
//! Imports nothing of this crate. [`client_address`] and [`proxy_protocol`] are pure; begin with the first.

pub mod client_address;
pub mod deadline;
pub mod listen;
pub mod peek;
pub mod proxy_protocol;
