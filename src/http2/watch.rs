//! What passes over an HTTP/2 connection, counted from outside: the layer that reads the frames does
//! not tell of what it refuses, and does not bound frames that ask nothing.
//!
//! Every frame of a client costs something and only some ask something: PING and SETTINGS want an
//! answer, PRIORITY and unknown frames are read for nothing, a WINDOW_UPDATE may bring one byte along.
//! So many of them are let through in ten seconds, more for those who ask or read much.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::frames::{
    CONTINUATION, END_HEADERS, Frame, Frames, HEADERS, Passed, REFUSED_STREAM, RST_STREAM,
};

/// What has passed so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    heard: Cell<bool>,
    /// Requests whose head has come whole.
    opened: Cell<u32>,
    /// The highest stream that a head came for.
    last: Cell<u32>,
    /// The head that is coming opens a stream.
    opening: Cell<bool>,
    head_began: Cell<Option<Instant>>,
    /// Streams that were refused because too many were open; the client may ask again.
    refused: Cell<u32>,
    /// Everything that came has been read.
    drained: Cell<bool>,
    blocked_since: Cell<Option<Instant>>,
    flood: Cell<Option<&'static str>>,
    period: Cell<Period>,
}

/// What passed since a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Period {
    since: Option<Instant>,
    /// Frames that ask nothing.
    idle_frames: u64,
    resets: u32,
    asked: u64,
    written: u64,
}

impl Watch {
    /// Whether a byte has come.
    pub(super) fn heard(&self) -> bool {
        self.heard.get()
    }

    /// Requests whose head has come, without those that were one too many at once.
    pub(super) fn opened(&self) -> u32 {
        self.opened.get().saturating_sub(self.refused.get())
    }

    /// Whether all that came has been read and all that was to be said about it has been sent.
    pub(super) fn at_rest(&self) -> bool {
        self.drained.get() && self.blocked_since.get().is_none()
    }

    /// Since when a head has been coming that is not complete.
    pub(super) fn head_began(&self) -> Option<Instant> {
        self.head_began.get()
    }

    /// Since when nothing could be sent.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since.get()
    }

    /// Why nothing more is read from this client.
    pub(super) fn flood(&self) -> Option<&'static str> {
        self.flood.get()
    }

    /// Nothing more is to be read from this client.
    pub(super) fn set_flood(&self, why: &'static str) {
        self.flood.set(Some(why));
    }

    fn received(&self, passed: Passed, now: Instant) {
        let mut period = self.period.get();
        match passed {
            Passed::Begun(Frame { kind: HEADERS, stream, .. }) => {
                let opening = stream > self.last.get();
                self.opening.set(opening);
                self.head_began.set(Some(now));
                match opening {
                    true => self.last.set(stream),
                    false => period.idle_frames += 1,
                }
            }
            Passed::Begun(frame) => {
                period.idle_frames += 1;
                period.resets += u32::from(frame.kind == RST_STREAM);
            }
            Passed::Ended(Frame { kind: HEADERS | CONTINUATION, flags, .. })
                if flags & END_HEADERS != 0 =>
            {
                self.head_began.set(None);
                if self.opening.take() {
                    self.opened.set(self.opened.get().saturating_add(1));
                    period.asked += 1;
                }
            }
            Passed::Ended(_) => {}
        }
        self.period.set(period);
    }

    fn judge(&self, now: Instant) {
        let mut period = self.period.get();
        let allowed = IDLE_FRAMES + IDLE_PER_REQUEST * period.asked + period.written / WINDOW_GRAIN;
        if period.idle_frames > allowed {
            self.set_flood("a flood of HTTP/2 frames that ask nothing");
        }
        if period.resets > RESETS {
            self.set_flood("a flood of HTTP/2 requests that were taken back");
        }
        if period.since.is_none_or(|since| now.duration_since(since) >= PERIOD) {
            period = Period { since: Some(now), ..Period::default() };
            self.period.set(period);
        }
    }

    fn sent(&self, passed: Passed) {
        if let Passed::Ended(Frame { kind: RST_STREAM, code: REFUSED_STREAM, .. }) = passed {
            self.refused.set(self.refused.get() + 1);
            if self.refused.get() > REFUSED {
                self.set_flood("a flood of HTTP/2 streams beyond those that may be open at once");
            }
        }
    }
}

/// A connection that is watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    watch: Rc<Watch>,
    received: Frames,
    sent: Frames,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Rc<Watch>) -> Self {
        Self { stream, watch, received: Frames::of_client(), sent: Frames::default() }
    }

    /// Notes what a write has come to.
    fn wrote(&mut self, slices: &[IoSlice<'_>], result: &Poll<io::Result<usize>>) {
        let Poll::Ready(result) = result else {
            if self.watch.blocked_since.get().is_none() {
                self.watch.blocked_since.set(Some(Instant::now()));
            }
            return;
        };
        self.watch.blocked_since.set(None);
        let mut left = result.as_ref().copied().unwrap_or_default();
        let mut period = self.watch.period.get();
        period.written += left as u64;
        self.watch.period.set(period);
        for slice in slices {
            let here = left.min(slice.len());
            left -= here;
            let written = slice.get(..here).unwrap_or_default();
            self.sent.feed(written, |passed| self.watch.sent(passed));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch.flood().is_some() {
            // The connection is about to end; its last frames still go out.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        this.watch.drained.set(false);
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.watch.drained.set(read.is_pending());
        ready!(read)?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        if !came.is_empty() {
            this.watch.heard.set(true);
            let now = Instant::now();
            this.received.feed(came, |passed| this.watch.received(passed, now));
            this.watch.judge(now);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.wrote(slices, &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_flush(context);
        if result.is_pending() && this.watch.blocked_since.get().is_none() {
            this.watch.blocked_since.set(Some(Instant::now()));
        }
        result
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

const PERIOD: Duration = Duration::from_secs(10);

/// Frames that ask nothing, in [`PERIOD`]: a keep-alive PING comes every few seconds, SETTINGS once.
const IDLE_FRAMES: u64 = 1000;

/// So many more for each request.
const IDLE_PER_REQUEST: u64 = 16;

/// One more for so many bytes sent: some clients send two WINDOW_UPDATEs for each frame that they
/// read, and frames may be small.
const WINDOW_GRAIN: u64 = 256;

/// Requests that may be taken back in [`PERIOD`]: a search for each letter typed, by a fast hand.
const RESETS: u32 = 100;

/// Streams that may be refused because too many are open. A client that does not know yet how many
/// may be open sends a few hundred at the most.
const REFUSED: u32 = 1000;
