//! The PROXY protocol, by which a proxy says for whom it connected (HAProxy's `proxy-protocol.txt`).

pub mod write;
