//! Where an answer goes, and how the connection goes on behind it.

use crate::response::Head;
use crate::worker::Worker;

/// The client's side of one request: where its answer goes, in the version of HTTP that it speaks.
#[expect(async_fn_in_trait, reason = "a worker is one thread; nothing here has to be Send")]
pub trait ResponseSink {
    /// Sends `head` and the first `data` of the body; `part` says whether that is all of it.
    ///
    /// # Errors
    /// [`Disconnected`] when the client can no longer be written to, or took nothing for `limits.write_timeout`.
    async fn begin(
        &mut self,
        worker: &Worker,
        head: &Head<'_>,
        data: &[u8],
        part: Part,
    ) -> Result<(), Disconnected>;

    /// Sends more of the body. An answer whose last part was not sent never looks like a whole
    /// one, however it ends.
    ///
    /// # Errors
    /// [`Disconnected`], as [`Self::begin`].
    async fn send(&mut self, data: &[u8], part: Part) -> Result<(), Disconnected>;

    /// Whether so much of a body would be taken now, without a wait for the client. Only HTTP/2 has
    /// windows, and a client may give none.
    fn takes_now(&self, _length: usize) -> bool {
        true
    }

    /// Waits until the client has left. One that has said everything, and waits, has not.
    async fn disconnected(&mut self);
}

/// Which part of an answer's body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// More of it follows.
    More,
    /// All that was left of it.
    Last,
}

/// Whether a connection may go on behind a request, as far as the gateway has a say in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It may, if the client wants it.
    Offered,
    /// It ends, whatever the client would like.
    Ends,
}

impl Persistence {
    /// [`Self::Ends`] if so.
    pub fn ends_if(ends: bool) -> Self {
        if ends { Self::Ends } else { Self::Offered }
    }
}

/// The client can no longer be written to, or takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

/// How a connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
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

/// How a request was dealt with, as far as its connection is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the connection goes on.
    pub disposition: Disposition,
    /// Whether the caller was refused, by no fault of XiVO's.
    pub refused: bool,
}

impl Outcome {
    /// A request that was not refused.
    pub fn well(disposition: Disposition) -> Self {
        Self { disposition, refused: false }
    }
}
