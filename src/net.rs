//! What stands below HTTP: whom a packet comes from, sockets and what is said on them before a request,
//! and waiting on them.
//!
//! Imports nothing of this crate. Begin with [`client_address`].

pub mod client_address;
pub(crate) mod datagram;
pub(crate) mod deadline;
pub(crate) mod handover;
pub(crate) mod inherited;
pub(crate) mod listen;
pub(crate) mod places;
pub mod proxy_protocol;
pub(crate) mod socket_probe;
pub(crate) mod unix_socket;
