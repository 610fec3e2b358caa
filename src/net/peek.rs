//! What the kernel holds for a connection, without taking it.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// What a read would yield now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Nothing yet; the connection is open.
    Nothing,
    /// Bytes.
    Bytes,
    /// The end of the connection, or an error.
    End,
}

/// Asks the kernel, with one system call. The runtime knows only what had happened when it last
/// looked, which on a busy worker may be many requests ago.
pub(crate) fn waiting(stream: impl AsFd) -> Waiting {
    match recv(stream, &mut [0_u8], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => Waiting::End,
        Ok(_) => Waiting::Bytes,
        Err(Errno::AGAIN) => Waiting::Nothing,
        Err(_) => Waiting::End,
    }
}
