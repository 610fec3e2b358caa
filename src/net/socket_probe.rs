//! What the kernel holds for a connection, without taking it.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// What a read would yield now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketState {
    /// Nothing yet; the connection is open.
    Nothing,
    /// Bytes that were not read yet.
    Bytes,
    /// The end of the connection, or an error.
    End,
}

/// Asks the kernel, with one system call. The runtime knows only what had happened when it last
/// looked, which on a busy worker may be many requests ago.
pub(crate) fn socket_state(stream: impl AsFd) -> SocketState {
    match recv(stream, &mut [0_u8], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => SocketState::End,
        Ok(_) => SocketState::Bytes,
        Err(Errno::AGAIN) => SocketState::Nothing,
        Err(_) => SocketState::End,
    }
}
