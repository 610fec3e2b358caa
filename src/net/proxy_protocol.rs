//! The PROXY protocol: what a load balancer says of its client before the client's first byte.
//!
//! Source: HAProxy's `doc/proxy-protocol.txt`, versions 1 (text) and 2 (binary).

pub mod read;
pub(crate) mod write;
