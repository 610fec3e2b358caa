//! The client's side of a connection: reading heads, writing answers, and ending it so that the far
//! side can read what it was told.

use std::io;
use std::time::Duration;

use bytes::BufMut;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Limits;
use crate::http1::request::{HeadError, HeadLimits, RequestHead, RequestReader, Seen};
use crate::refusal::Refusal;

/// A connection to a client.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    write_timeout: Duration,
}

/// The client can no longer be written to, or takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// How a connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// With the next request.
    KeepAlive,
    /// It ends; everything that the client sent has been read.
    Close,
    /// It ends, and the client may still be sending: closing at once would make the kernel reset
    /// the connection, and the answer could be lost unread.
    Linger,
    /// It is reset: an answer that was begun could not be completed.
    Reset,
}

/// What came of waiting for a request.
#[derive(Debug)]
pub enum Reading {
    /// A request, or what there was of one: at least one byte came.
    Request(Request),
    /// The connection ended, or was silent for too long, before a first byte.
    Nothing,
}

/// A request as far as it was read.
#[derive(Debug)]
pub struct Request {
    /// The head, or why there is none.
    pub head: Result<RequestHead, Refusal>,
    /// What the log shows of it.
    pub seen: Seen,
    /// Whether an answer is sent. nginx logs a connection on which only line ends came, and so does
    /// this gateway, but there is nothing to answer.
    pub answerable: bool,
}

impl Client {
    /// A client on `stream` that must take something of its answers every `write_timeout`.
    pub fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        Self { stream, write_timeout }
    }

    /// Waits until there is something to read, or the connection ended; no memory is held for it.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Takes up to `most` bytes that have come already; 0 is the connection's end. `None` where
    /// nothing has come: [`Self::readable`] may be mistaken.
    ///
    /// # Errors
    /// The connection failed.
    pub fn read_ready(&self, buffer: &mut Vec<u8>, most: usize) -> io::Result<Option<usize>> {
        match self.stream.try_read_buf(&mut buffer.limit(most)) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads one head into `buffer`, which may hold bytes of it already. When a head is yielded,
    /// `buffer` begins with it and may hold more.
    ///
    /// A head must be complete `limits.head_timeout` after its first byte. Line ends before a
    /// request line are skipped (RFC 9112, section 2.2).
    pub async fn read_head(&mut self, buffer: &mut Vec<u8>, limits: &Limits) -> Reading {
        let deadline = Instant::now() + limits.head_timeout;
        let head_limits = HeadLimits {
            max_uri: limits.max_uri,
            max_head: limits.max_head,
            max_fields: limits.max_header_fields,
        };
        let mut reader = RequestReader::default();
        let mut line_ends = false;
        loop {
            line_ends |= skip_line_ends(buffer);
            let refusal = match reader.advance(buffer, &head_limits) {
                Ok(Some(head)) => return request(Ok(head), &reader, buffer),
                Err(error) => return request(Err(error.into()), &reader, buffer),
                Ok(None) => {
                    let room = limits.max_head.saturating_sub(buffer.len());
                    let mut space = (&mut *buffer).limit(room);
                    match timeout_at(deadline, self.stream.read_buf(&mut space)).await {
                        Ok(Ok(1..)) => continue,
                        Ok(Ok(0) | Err(_)) => {
                            Refusal::MalformedRequest("the connection ended before the head did")
                        }
                        Err(_) => Refusal::RequestTimeout,
                    }
                }
            };
            if matches!(buffer.as_slice(), b"" | b"\r") {
                let request =
                    Request { head: Err(refusal), seen: Seen::default(), answerable: false };
                return if line_ends { Reading::Request(request) } else { Reading::Nothing };
            }
            return request(Err(refusal), &reader, buffer);
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// [`Gone`] when the connection failed, or took nothing for `limits.write_timeout`.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Gone> {
        while !bytes.is_empty() {
            match timeout(self.write_timeout, self.stream.write(bytes)).await {
                Ok(Ok(count @ 1..)) => bytes = bytes.get(count..).unwrap_or_default(),
                Ok(Ok(0) | Err(_)) | Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }

    /// Waits until the client has reset the connection. A half-close is no departure: who has sent
    /// a whole request may say that it will send no more, and still waits for the answer.
    pub async fn gone(&self) {
        while let Ok(ready) = self.stream.ready(Interest::ERROR).await {
            if ready.is_error() {
                return;
            }
        }
    }

    /// Ends the connection as `after` says.
    pub async fn end(mut self, after: After) {
        match after {
            After::KeepAlive | After::Close => {}
            After::Reset => {
                // With a linger time of zero, closing sends a reset instead of an orderly end.
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
            }
            After::Linger => {
                let _ = timeout(MAX_LINGER, self.drain()).await;
            }
        }
    }

    /// Says that nothing more comes, and reads what the client may still be sending.
    async fn drain(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut drained = 0;
        let mut buffer = [0; 1024];
        while drained < MAX_DRAINED {
            match self.stream.read(&mut buffer).await? {
                0 => break,
                count => drained += count,
            }
        }
        Ok(())
    }
}

fn request(head: Result<RequestHead, Refusal>, reader: &RequestReader, buffer: &[u8]) -> Reading {
    Reading::Request(Request { head, seen: reader.seen(buffer), answerable: true })
}

/// Takes whole line ends off the beginning, and says whether there were any. They can stand only
/// before a request line, so they never belong to a head that is being read.
fn skip_line_ends(buffer: &mut Vec<u8>) -> bool {
    let (pairs, _) = buffer.as_chunks::<2>();
    let count = pairs.iter().take_while(|pair| *pair == b"\r\n").count();
    if count > 0 {
        buffer.drain(..2 * count);
    }
    count > 0
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Malformed(why) => Self::MalformedRequest(why),
            HeadError::UriTooLong => Self::UriTooLong,
            HeadError::TooLarge(why) => Self::HeadersTooLarge(why),
        }
    }
}

/// How long a closing connection is read from.
const MAX_LINGER: Duration = Duration::from_secs(2);

/// How much of it is read and thrown away, in bytes.
const MAX_DRAINED: usize = 64 * 1024;
