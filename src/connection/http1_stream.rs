//! The client's side of a connection: reading heads, writing answers, and ending it so that the far
//! side can read what it was told.

use std::io;
use std::task::Poll;
use std::time::Duration;

use bytes::BufMut;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Limits;
use crate::connection::transport::Transport;
use crate::gateway::request::{Request, RequestPosition};
use crate::gateway::response_sink::{Disconnected, Disposition, Part, ResponseSink};
use crate::http1::request::{HeadError, HeadLimits, RequestHead, RequestReader, Seen};
use crate::net::deadline;
use crate::refusal::{Malformed, Refusal};
use crate::response::Head;
use crate::worker::Worker;

/// A connection to a client.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Transport,
    write_timeout: Duration,
    /// A part of an answer has been sent, and the rest has not.
    unfinished: bool,
}

/// What came of waiting for a request.
#[expect(clippy::large_enum_variant, reason = "a request is the rule, and is to cost no memory")]
#[derive(Debug)]
pub(crate) enum Reading<'b> {
    /// A request, or what there was of one: at least one byte came.
    Request(Request<'b>),
    /// The connection ended, or was silent for too long, before a first byte.
    Nothing,
}

impl Client {
    /// A client on `stream` that must take something of its answers every `write_timeout`.
    pub(crate) fn new(stream: Transport, write_timeout: Duration) -> Self {
        Self { stream, write_timeout, unfinished: false }
    }

    /// Waits until there may be something to read, or the connection ended; no memory is held for it.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Reads what is there, `None` where nothing is: the runtime takes a connection that was just
    /// accepted for readable until a read has shown otherwise. `Some(0)` is the end.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn read_now(
        &mut self,
        buffer: &mut Vec<u8>,
        limits: &Limits,
    ) -> io::Result<Option<usize>> {
        let mut space = buffer.limit(limits.max_head);
        let mut read = std::pin::pin!(self.stream.read_buf(&mut space));
        std::future::poll_fn(|context| match read.as_mut().poll(context) {
            Poll::Ready(read) => Poll::Ready(read.map(Some)),
            Poll::Pending => Poll::Ready(Ok(None)),
        })
        .await
    }

    /// Whether the client has sent what nobody has read.
    pub(crate) fn has_unread(&self) -> bool {
        self.stream.has_unread()
    }

    /// Reads one head into `buffer`, which holds the first bytes of it already. When a head is yielded,
    /// `buffer` begins with it and may hold more.
    ///
    /// A head must be complete `limits.head_timeout` after its first byte. Line ends before a
    /// request line are skipped (RFC 9112, section 2.2).
    pub(crate) async fn read_head<'b>(
        &mut self,
        buffer: &'b mut Vec<u8>,
        limits: &Limits,
    ) -> Reading<'b> {
        let position = RequestPosition::first();
        let deadline = position.began + limits.head_timeout;
        let head_limits = HeadLimits::from(limits);
        let mut reader = RequestReader::default();
        let mut line_ends = false;
        loop {
            line_ends |= skip_line_ends(buffer);
            let refusal = match reader.advance(buffer, &head_limits) {
                Ok(Some(head)) => {
                    let head = Ok(head.over(buffer));
                    return request(head, reader.seen(buffer, &head_limits), position);
                }
                Err(error) => {
                    return request(Err(error.into()), reader.seen(buffer, &head_limits), position);
                }
                Ok(None) => {
                    let room = limits.max_head.saturating_sub(buffer.len());
                    let mut space = (&mut *buffer).limit(room);
                    match timeout_at(deadline, self.stream.read_buf(&mut space)).await {
                        Ok(Ok(1..)) => continue,
                        Ok(Ok(0) | Err(_)) => ENDED_EARLY,
                        Err(_) => Refusal::RequestTimeout,
                    }
                }
            };
            if matches!(buffer.as_slice(), b"" | b"\r") {
                let silent = buffer.is_empty() && !line_ends;
                let request = Request {
                    head: Err(refusal),
                    seen: Seen::default(),
                    answerable: false,
                    position,
                };
                return if silent { Reading::Nothing } else { Reading::Request(request) };
            }
            return request(Err(refusal), reader.seen(buffer, &head_limits), position);
        }
    }

    /// Sends what is a part of an answer. Until the last one is sent, the connection ends
    /// in a reset, however it ends: an answer without its end must not look like a whole one.
    async fn send_part(&mut self, mut bytes: &[u8], part: Part) -> Result<(), Disconnected> {
        self.unfinished = true;
        let silence_limit = self.write_timeout;
        while !bytes.is_empty() {
            match deadline::by(|| Instant::now() + silence_limit, self.stream.write(bytes)).await {
                Ok(Ok(count @ 1..)) => bytes = bytes.get(count..).unwrap_or_default(),
                Ok(Ok(0) | Err(_)) | Err(_) => return Err(Disconnected),
            }
        }
        // TLS may hold a record back that the socket had no room for.
        match deadline::by(|| Instant::now() + silence_limit, self.stream.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Disconnected),
        }
        self.unfinished = part == Part::More;
        Ok(())
    }

    /// Ends the connection as `after` says.
    pub(crate) async fn end(mut self, disposition: Disposition) {
        match disposition {
            Disposition::KeepAlive | Disposition::Close if self.stream.has_close_notify() => {
                let _ = timeout(MAX_LINGER, self.stream.shutdown()).await;
            }
            Disposition::KeepAlive | Disposition::Close => {}
            Disposition::Reset => self.unfinished = true,
            Disposition::Linger => {
                // Boxed: few connections end so, and all of them would carry its buffer.
                let _ = timeout(MAX_LINGER, Box::pin(self.drain())).await;
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

impl ResponseSink for Client {
    /// Head and data go out in one write.
    async fn begin(
        &mut self,
        worker: &Worker,
        head: &Head<'_>,
        data: &[u8],
        part: Part,
    ) -> Result<(), Disconnected> {
        let mut out = worker.buffers.take();
        head.write(&mut out, |out| worker.write_http_date(out));
        out.extend_from_slice(data);
        let sent = self.send_part(&out, part).await;
        worker.buffers.put(out);
        sent
    }

    async fn send(&mut self, data: &[u8], part: Part) -> Result<(), Disconnected> {
        self.send_part(data, part).await
    }

    /// Waits until the client has reset the connection. A half-close is no departure: who has sent
    /// a whole request may say that it will send no more, and still waits for the answer.
    async fn disconnected(&mut self) {
        while let Ok(ready) = self.stream.tcp().ready(Interest::ERROR).await {
            if ready.is_error() {
                return;
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.unfinished {
            // With a linger time of zero, closing sends a reset instead of an orderly end.
            let _ = SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}

fn request<'b>(
    head: Result<RequestHead<'b>, Refusal>,
    seen: Seen<'b>,
    position: RequestPosition,
) -> Reading<'b> {
    Reading::Request(Request { head, seen, answerable: true, position })
}

/// Reads the head of a client that sends `bytes` and nothing more, as [`Client::read_head`] would.
///
/// # Errors
/// Why there is none.
pub(crate) fn read_whole<'b>(bytes: &'b [u8], limits: &Limits) -> Result<RequestHead<'b>, Refusal> {
    let spans = RequestReader::default().advance(bytes, &HeadLimits::from(limits))?;
    spans.map(|spans| spans.over(bytes)).ok_or(ENDED_EARLY)
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

impl From<&Limits> for HeadLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            max_uri: limits.max_uri,
            max_head: limits.max_head,
            max_fields: limits.max_header_fields,
        }
    }
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Malformed(why) => Self::MalformedRequest(why.into()),
            HeadError::UriTooLong => Self::UriTooLong,
            HeadError::TooLarge(why) => Self::HeadersTooLarge(why),
        }
    }
}

const ENDED_EARLY: Refusal = Refusal::MalformedRequest(Malformed::EndedEarly);

/// How long a closing connection is read from.
const MAX_LINGER: Duration = Duration::from_secs(2);

/// How much of it is read and thrown away, in bytes.
const MAX_DRAINED: usize = 64 * 1024;
