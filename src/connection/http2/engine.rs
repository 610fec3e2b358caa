//! The frames of a connection (RFC 9113), read and answered: what comes of them is requests.
//!
//! # Guarantees
//! * A client's bytes are read only as far as they are needed, and what they say is handed on as it was
//!   said: no layer judges a path, a host or a field before the one reader of heads does.
//! * Held are the head that is coming, [`Caps::block`] bytes of it at the most, and what is to be sent
//!   (`wire.rs`). A body is counted and thrown away. Nothing further is read while replies to what was
//!   read cannot be sent.
//! * A head that is too long is handed on as far as it came, and ends the connection.
//! * A rule that is broken ends the stream or the connection with the reason that the RFC has for it.

mod read;

use std::collections::VecDeque;
use std::io;
use std::mem::{self, MaybeUninit};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::connection::http2::frames::{self, Frame, PING, Reason};
use crate::connection::http2::hpack::Decoder;
use crate::connection::http2::message::Message;
use crate::connection::http2::tally::Tally;
use crate::connection::http2::wire::Wire;
use crate::refusal::Flood;

/// What a connection may make this side hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    /// Streams that may be open at once.
    pub(super) streams: u32,
    /// A head as it comes, in bytes.
    pub(super) block: usize,
    /// A head as it is read, in bytes.
    pub(super) head: usize,
    /// What the client is told of both, in bytes as RFC 9113 counts them.
    pub(super) list: usize,
    /// Bodies of answers that are to be sent, in bytes.
    pub(super) room: usize,
    /// Bytes that rustls may buffer while the socket is not writable.
    pub(super) unsent: usize,
}

/// A request whose head has come.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: u32,
    pub(super) message: Message,
}

/// What happens on a connection.
#[derive(Debug)]
pub(super) enum Step {
    Request(Opened),
    /// The client sends too many frames without requests.
    Flood(Flood),
    /// The client broke a rule of HTTP/2, and was told so.
    Broken,
    /// The connection is over.
    Ended,
}

/// A connection's frames.
#[derive(Debug)]
pub(super) struct Engine<S> {
    io: S,
    wire: Rc<Wire>,
    caps: Caps,
    decoder: Decoder,
    tally: Tally,
    input: Input,
    requests: VecDeque<Opened>,
    /// The highest stream that a head came for.
    last: u32,
    /// Streams above this one are not served: the client was told so.
    allowed: u32,
    /// Requests that were neither handed on nor refused.
    ignored: u32,
    goaway: GoAway,
    /// Nothing further is read from the client.
    deaf: bool,
    broken: bool,
    head_began: Option<Instant>,
    blocked_since: Option<Instant>,
    /// The tasks of streams had no turn since requests were handed on.
    owes_a_turn: bool,
}

/// Which GOAWAY frames the client was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GoAway {
    None,
    /// A graceful GOAWAY; requests in flight are still served.
    Announced,
    /// The last stream that was read.
    Said,
    /// All is sent.
    Flushed,
    /// And that there is no more.
    Shut,
}

/// The part of the next frame that has been received.
#[derive(Debug, Default)]
struct Input {
    /// Bytes of the preface that have come.
    preface: usize,
    header: [u8; frames::HEADER],
    have: usize,
    /// The frame, and how much of its payload is to come.
    frame: Option<(Frame, u32)>,
    /// The first bytes of a payload, or one setting.
    small: [u8; 8],
    small_have: usize,
    settings_came: bool,
    /// The head that is coming.
    block: Vec<u8>,
    heading: Option<Heading>,
}

/// What is known of a head that is coming.
#[derive(Clone, Copy, Debug)]
struct Heading {
    stream: u32,
    /// There is no body.
    ends: bool,
    /// It says that its stream depends on itself.
    knotted: bool,
    frames: u32,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fatal(Reason);

impl<S: AsyncRead + AsyncWrite + Unpin> Engine<S> {
    /// Says this side's settings; they are sent with the first poll.
    pub(super) fn new(io: S, wire: Rc<Wire>, caps: Caps) -> Self {
        let settings = [
            (frames::MAX_CONCURRENT_STREAMS, caps.streams),
            (frames::MAX_HEADER_LIST_SIZE, u32::try_from(caps.list).unwrap_or(u32::MAX)),
        ];
        frames::write_settings(&mut wire.state().out, &settings);
        Self {
            io,
            wire,
            caps,
            decoder: Decoder::new(),
            tally: Tally::default(),
            input: Input::default(),
            requests: VecDeque::new(),
            last: 0,
            allowed: u32::MAX,
            ignored: 0,
            goaway: GoAway::None,
            deaf: false,
            broken: false,
            head_began: None,
            blocked_since: None,
            owes_a_turn: false,
        }
    }

    /// Waits until the client has said that it speaks HTTP/2.
    ///
    /// # Errors
    /// It does not, or the connection failed.
    pub(super) fn poll_preface(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.poll_send(context)?;
        while self.input.preface < PREFACE.len() {
            let wanted = PREFACE.get(self.input.preface..).unwrap_or_default();
            let mut bytes = [0; PREFACE.len()];
            let mut buffer = ReadBuf::new(bytes.get_mut(..wanted.len()).unwrap_or_default());
            ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
            let came = buffer.filled();
            if came.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.input.preface += came.len();
            if !wanted.starts_with(came) {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether a byte has come.
    pub(super) fn received_any(&self) -> bool {
        self.input.preface > 0
    }

    /// Since when a head has been coming that is not complete.
    pub(super) fn head_began(&self) -> Option<Instant> {
        self.head_began
    }

    /// Since when nothing could be sent.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Nothing more is to be read from this client.
    pub(super) fn set_flood(&mut self, why: Flood) {
        self.tally.set_flood(why);
    }

    /// Requests that came whole, and were neither handed on nor refused.
    pub(super) fn left(&self) -> usize {
        self.requests.len() + self.ignored as usize
    }

    /// Whether the client may still be sending what nobody reads.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// Bytes that are held for what is coming and what is to be sent.
    pub(super) fn held(&self) -> usize {
        self.input.block.capacity() + self.decoder.held() + self.wire.state().out.capacity()
    }

    /// Goes on until something happens.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if mem::take(&mut self.owes_a_turn) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let sent = self.poll_send(context);
            if let Poll::Ready(Err(_)) = sent {
                return Poll::Ready(Step::Ended);
            }
            if let Some(why) = self.tally.judge(Instant::now()).filter(|_| !self.deaf) {
                return Poll::Ready(Step::Flood(why));
            }
            if let Some(request) = self.requests.pop_front() {
                self.owes_a_turn = self.requests.is_empty();
                return Poll::Ready(Step::Request(request));
            }
            if self.is_done() {
                self.send_goaway(Reason::NoError);
                ready!(self.poll_shut(context));
                let broken = self.broken;
                return Poll::Ready(if broken { Step::Broken } else { Step::Ended });
            }
            if self.deaf || self.wire.state().replies > MAX_REPLIES {
                return Poll::Pending;
            }
            match ready!(self.poll_read(context)) {
                Ok(()) => {}
                Err(End::Failed) => return Poll::Ready(Step::Ended),
                Err(End::Rule(Fatal(reason))) => {
                    self.broken = true;
                    self.give_up(reason);
                }
            }
        }
    }

    /// Whether all requests are answered, and no further ones are read.
    fn is_done(&self) -> bool {
        if self.broken {
            return true;
        }
        let parting = self.deaf || self.goaway == GoAway::Said;
        parting && self.requests.is_empty() && self.wire.state().streams.is_empty()
    }

    /// Sends a graceful GOAWAY and a PING. Requests that come before the PING's reply are still served.
    pub(super) fn announce_end(&mut self) {
        if self.goaway == GoAway::None {
            self.goaway = GoAway::Announced;
            let mut state = self.wire.state();
            frames::write_goaway(&mut state.out, ANY_STREAM, Reason::NoError);
            frames::write(&mut state.out, PING, 0, 0, &GOAWAY_PING);
        }
    }

    /// Stops reading, and sends GOAWAY with the reason.
    pub(super) fn give_up(&mut self, reason: Reason) {
        self.send_goaway(reason);
        self.deaf = true;
        self.head_began = None;
        self.input.block = Vec::new();
    }

    fn send_goaway(&mut self, reason: Reason) {
        if matches!(self.goaway, GoAway::None | GoAway::Announced) {
            self.goaway = GoAway::Said;
            self.allowed = self.last;
            let mut state = self.wire.state();
            state.want_no_more();
            frames::write_goaway(&mut state.out, self.last, reason);
        }
    }

    /// Sends what is left, and shuts down the sending side.
    fn poll_shut(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.goaway == GoAway::Said {
            if ready!(self.poll_send(context)).is_err() {
                self.goaway = GoAway::Shut;
            } else {
                self.goaway = GoAway::Flushed;
            }
        }
        if self.goaway == GoAway::Flushed {
            let _ = ready!(Pin::new(&mut self.io).poll_shutdown(context));
            self.goaway = GoAway::Shut;
        }
        Poll::Ready(())
    }

    /// Ends the connection so that the client can read what it was told: sends what is left, and then
    /// reads on until the client has ended its side, a little.
    pub(super) async fn flush_goaway(&mut self) {
        self.give_up(Reason::NoError);
        self.wire.end();
        std::future::poll_fn(|context| self.poll_shut(context)).await;
        let mut drained = 0;
        let mut bytes = [0; 512];
        while drained < MAX_DRAINED {
            let read = std::future::poll_fn(|context| {
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer));
                Poll::Ready(read.map(|()| buffer.filled().len()))
            });
            match read.await {
                Ok(1..) => drained += bytes.len(),
                Ok(0) | Err(_) => break,
            }
        }
    }

    /// Sends what is to be sent.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.wire.state();
        if !state.connection.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.connection = Some(context.waker().clone());
        }
        let mut progress = false;
        let result = loop {
            let rest = state.out.get(state.written..).unwrap_or_default();
            if rest.is_empty() {
                state.written = 0;
                state.replies = 0;
                state.out.clear();
                if state.out.capacity() > KEPT {
                    state.out = Vec::new();
                }
                break Pin::new(&mut self.io).poll_flush(context);
            }
            match Pin::new(&mut self.io).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    progress = true;
                    state.written += count;
                    self.tally.wrote(count);
                }
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => {
                    state.out.drain(..mem::take(&mut state.written));
                    break Poll::Pending;
                }
            }
        };
        if progress {
            state.wake_streams();
        }
        match result {
            Poll::Pending if progress || self.blocked_since.is_none() => {
                self.blocked_since = Some(Instant::now());
            }
            Poll::Pending => {}
            Poll::Ready(_) => self.blocked_since = None,
        }
        result
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut bytes = [MaybeUninit::uninit(); CHUNK];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        if ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer)).is_err()
            || buffer.filled().is_empty()
        {
            return Poll::Ready(Err(End::Failed));
        }
        Poll::Ready(self.feed(buffer.filled()).map_err(End::Rule))
    }
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The client has left.
    Failed,
    Rule(Fatal),
}

impl<S> Drop for Engine<S> {
    fn drop(&mut self) {
        self.wire.end();
    }
}

/// The last-stream ID of a graceful GOAWAY (RFC 9113, section 6.8).
const ANY_STREAM: u32 = 0x7fff_ffff;

/// The PING whose reply says that the client has read the graceful GOAWAY.
const GOAWAY_PING: [u8; 8] = *b"farewell";

/// The size of the read buffer on the stack, in bytes.
const CHUNK: usize = 2048;

/// Replies to a client's frames that may wait to be sent before nothing more is read, in bytes.
const MAX_REPLIES: usize = 1024;

/// What is kept of the memory for what is to be sent when all of it is sent, in bytes.
const KEPT: usize = 512;

/// How much of a closing connection is read and thrown away, in bytes.
const MAX_DRAINED: usize = 64 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests;
