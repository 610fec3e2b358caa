//! Addresses on the command line.

use std::net::{IpAddr, SocketAddr};

use crate::config::escaped;

/// A client's address.
pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{}` is not an IPv4 or IPv6 address", escaped(text)))
}

/// The address of a listener.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "`{}` is not an address with a port, such as 127.0.0.1:9480 or [::]:9480",
            escaped(text)
        )
    })
}
