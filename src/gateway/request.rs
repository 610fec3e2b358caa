//! A request as a connection hands it over.

use tokio::time::Instant;

use crate::http1::request::{RequestHead, Seen};
use crate::refusal::Refusal;

/// A request as far as it was read.
#[derive(Debug)]
pub struct Request<'b> {
    /// The head, or why there is none.
    pub head: Result<RequestHead<'b>, Refusal>,
    /// What the log shows of it.
    pub seen: Seen<'b>,
    /// Whether an answer is sent. nginx logs a connection on which only line ends came, and so does
    /// this gateway, but there is nothing to answer.
    pub answerable: bool,
    /// When, and as which of its connection.
    pub position: RequestPosition,
}

/// A request's place in its connection.
#[derive(Clone, Copy, Debug)]
pub struct RequestPosition {
    /// When its first byte was read.
    pub began: Instant,
    /// How many requests the connection has had with this one.
    pub number: u32,
    /// Whether it came together with the one before it.
    pub pipelined: bool,
    /// How many requests just before it were refused, one after the other.
    pub refused: u32,
}

impl RequestPosition {
    /// The first of a connection, and now.
    pub fn first() -> Self {
        Self { began: Instant::now(), number: 1, pipelined: false, refused: 0 }
    }
}
