//! A TCP connection that carries TLS, and whether what was read of it ends with a whole record.
//!
//! rustls says when it holds plaintext that nobody has read, but not when it holds the beginning of
//! a record. Such a beginning that came unasked would become the answer to the next request.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// See the module.
#[derive(Debug)]
pub(super) struct Records {
    stream: TcpStream,
    follower: Follower,
}

impl Records {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, follower: Follower::default() }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether no record was begun that did not end.
    pub(super) fn are_whole(&self) -> bool {
        self.follower.left == 0 && self.follower.header_length == 0
    }

    /// Sends what fits, without waiting.
    pub(super) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        send(&self.stream, bytes, flags).map_err(io::Error::from)
    }
}

/// Follows the records of a byte stream (RFC 8446, section 5.1: type, version, length).
#[derive(Debug, Default)]
struct Follower {
    header: [u8; 5],
    header_length: usize,
    /// What is still to come of the record's body.
    left: usize,
}

impl Follower {
    fn follow(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let of_body = self.left.min(bytes.len());
                self.left -= of_body;
                bytes = bytes.get(of_body..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.header.get_mut(self.header_length) {
                *place = *first;
            }
            self.header_length += 1;
            bytes = rest;
            if self.header_length == self.header.len() {
                let [.., high, low] = self.header;
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.header_length = 0;
            }
        }
    }
}

/// What the kernel holds, without waiting and whatever the runtime knows of it.
impl Read for Records {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, count) = recv(&self.stream, &mut *buffer, RecvFlags::DONTWAIT)?;
        self.follower.follow(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl AsyncRead for Records {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.follower.follow(buffer.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl AsyncWrite for Records {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_record_is_found_however_the_bytes_come() {
        let stream = b"\x16\x03\x03\0\x02ab\x17\x03\x03\x01\0";
        let long = [stream.as_slice(), &[7; 256], b"\x15\x03\x03\0\0"].concat();
        let ends = [0, 7, 12 + 256, long.len()];
        for step in [1, 2, 3, 5, 300] {
            let mut follower = Follower::default();
            let mut at = 0;
            for part in long.chunks(step) {
                follower.follow(part);
                at += part.len();
                let whole = follower.left == 0 && follower.header_length == 0;
                assert_eq!(whole, ends.contains(&at), "{at} by {step}");
            }
        }
    }
}
