//! XiVO's answer on its way to the client.
//!
//! # Guarantees
//! * Only a phonebook's answers pass: 200 with JSON of known end that begins as a phonebook's does, 204, 304,
//!   and 404 for a contact. Nothing is sent before that beginning has come.
//! * Status and header fields come from an allow list; the head is written by the gateway.
//! * An answer that ends short, goes on after its end, grows too large or stalls is never passed as
//!   complete: as long as nothing was sent it is a refusal, afterwards the client's connection is
//!   reset, on HTTP/1.0 as well.
//! * Memory does not depend on the answer's size: XiVO is read from as fast as the client takes it.

mod begin;
mod beginning;

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Upstream;
use crate::gateway::Exchange;
use crate::gateway::forward::Verdict;
use crate::gateway::record::Record;
use crate::gateway::reply::send_whole;
use crate::gateway::response_sink::{Disconnected, Disposition, Part, ResponseSink};
use crate::http1::Version;
use crate::http1::chunked::{ChunkedReader, Piece};
use crate::http1::response::{Framing, ResponseHead};
use crate::lookup::Lookup;
use crate::net::deadline;
use crate::refusal::Refusal;
use crate::response::{Head, ResponseOptions, Value, problem};
use crate::upstream::{
    BodyFault, Connection, HeadDeadline, InvalidBody, InvalidHead, UpstreamFault, UpstreamResponse,
};
use crate::worker::Worker;

/// What is passed on of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Its head and its body.
    Body,
    /// Its head; it has no body.
    Head,
    /// That there is no such contact.
    NoContact,
}

/// What is passed on of an answer, if it is one that a phonebook gives to `lookup`.
fn judge(
    lookup: &Lookup,
    answer: &UpstreamResponse,
    upstream: &Upstream,
) -> Result<Pass, UpstreamFault> {
    let head = answer.received.head();
    if head.framing() == Framing::Empty && !head.behind().is_empty() {
        return Err(InvalidBody::AfterTheEnd.into());
    }
    match (head.status(), lookup) {
        (200, _) if !head.is_json() => Err(InvalidHead::NotJson.into()),
        (200, _) if head.is_coded() => Err(InvalidHead::Coded.into()),
        (200, _) => match head.framing() {
            Framing::Length(length) if length > upstream.max_answer => Err(UpstreamFault::TooLarge),
            Framing::Length(_) | Framing::Chunked => Ok(Pass::Body),
            Framing::UntilClose | Framing::Empty => Err(InvalidHead::NoEnd.into()),
        },
        (204, _) => Ok(Pass::Head),
        (304, lookup) if lookup.known().is_some() => Ok(Pass::Head),
        (404, Lookup::View { .. }) => Ok(Pass::NoContact),
        (status @ (401 | 403), _) => Err(UpstreamFault::RefusedGateway(status)),
        (status @ (300..=303 | 305..=399), _) => Err(UpstreamFault::Redirect(status)),
        (status, _) => Err(UpstreamFault::Error(status)),
    }
}

/// Whether an answer is one that a phonebook gives to `lookup`, and has begun by `deadline`.
///
/// # Errors
/// What is wrong with it.
pub(crate) async fn check(
    lookup: &Lookup,
    answer: &mut UpstreamResponse,
    upstream: &Upstream,
    deadline: HeadDeadline,
) -> Result<(), UpstreamFault> {
    match judge(lookup, answer, upstream)? {
        Pass::Body => begin::begin(lookup, answer, deadline, None).await,
        Pass::Head | Pass::NoContact => Ok(()),
    }
}

/// The places that an answer passes on its way.
#[derive(Debug)]
pub(super) struct Relay<'a, 'r> {
    /// The request that it answers.
    pub exchange: &'a Exchange<'a>,
    /// The `[upstream]` section.
    pub upstream: &'a Upstream,
    /// Until when the answer has to begin.
    pub deadline: HeadDeadline,
    /// How the client is answered.
    pub options: ResponseOptions,
    /// What the log is told.
    pub record: &'a mut Record<'r>,
}

impl<'a> Relay<'a, '_> {
    /// Passes `answer` to `client`.
    ///
    /// # Errors
    /// [`Refusal`] as long as nothing has been sent.
    pub(super) async fn pass(
        mut self,
        lookup: &Lookup,
        mut answer: UpstreamResponse,
        (client, verdict): (&mut impl ResponseSink, Verdict<'_>),
    ) -> Result<Disposition, Refusal> {
        let pass = match judge(lookup, &answer, self.upstream) {
            Ok(pass) => pass,
            // Whoever answers like that is not trusted with the next request.
            Err(fault @ (UpstreamFault::Invalid(_) | UpstreamFault::TooLarge)) => {
                return Err(verdict.failed(fault));
            }
            Err(fault) => {
                let UpstreamResponse { received, connection } = answer;
                self.discard_body(received.head(), connection);
                self.worker().buffers.put(received.into_buffer());
                return Err(verdict.failed(fault));
            }
        };
        if pass == Pass::Body {
            // A client that asked for the head alone is answered as if it had asked for all.
            let begun = tokio::select! {
                biased;
                begun = begin::begin(lookup, &mut answer, self.deadline, self.record.upstream()) => begun,
                () = client.disconnected() => return Err(Refusal::ClientClosed),
            };
            if let Err(fault) = begun {
                return Err(verdict.failed(fault));
            }
        }
        verdict.answered();
        // The gateway may have been told to end since the request was sent.
        self.options.keep_alive &= !self.worker().is_ending(self.exchange.facts.listener);
        match pass {
            Pass::Body if !self.options.head_only => self.pass_body(lookup, answer, client).await,
            Pass::Body | Pass::Head => {
                let UpstreamResponse { received, connection } = answer;
                self.discard_body(received.head(), connection);
                let out = self.head(received.head());
                let passed = self.send_whole(client, &out, b"").await;
                self.worker().buffers.put(received.into_buffer());
                passed
            }
            Pass::NoContact => {
                let UpstreamResponse { received, connection } = answer;
                self.discard_body(received.head(), connection);
                self.worker().buffers.put(received.into_buffer());
                let (head, body) = problem::no_contact(&self.options);
                self.send_whole(client, &head, &body).await
            }
        }
    }

    /// Where the connection to XiVO goes back to.
    fn worker(&self) -> &'a Worker {
        self.exchange.worker
    }

    /// The head for the client, of an answer with this head.
    fn head<'b>(&self, answer: ResponseHead<'b>) -> Head<'b> {
        let mut head = Head::new(answer.status(), &self.options);
        match answer.framing() {
            Framing::Length(length) => head = head.with("Content-Length", Value::Number(length)),
            Framing::Chunked if has_chunks(self.options.version) => {
                head = head.with("Transfer-Encoding", Value::Text(b"chunked"));
            }
            Framing::Chunked | Framing::Empty | Framing::UntilClose => {}
        }
        if answer.framing() != Framing::Empty {
            head = head.with("Content-Type", Value::Text(b"application/json"));
        }
        if let Some(version) = answer.ws_version() {
            head = head.with("X-XIVO-WS-VERSION", Value::Text(version));
        }
        head
    }

    /// Sends a whole answer.
    async fn send_whole(
        &mut self,
        client: &mut impl ResponseSink,
        head: &Head<'_>,
        body: &[u8],
    ) -> Result<Disposition, Refusal> {
        if let Some(trace) = self.record.upstream() {
            trace.ended();
        }
        let sent = send_whole(self.worker(), client, head, body, self.record).await;
        sent.map_err(|Disconnected| Refusal::ClientClosed)?;
        Ok(self.disposition())
    }

    fn disposition(&self) -> Disposition {
        if self.options.keep_alive { Disposition::KeepAlive } else { Disposition::Close }
    }

    /// Passes head and body on, in one write where the body has come already.
    async fn pass_body(
        &mut self,
        lookup: &Lookup,
        answer: UpstreamResponse,
        client: &mut impl ResponseSink,
    ) -> Result<Disposition, Refusal> {
        let UpstreamResponse { received, mut connection } = answer;
        let head = received.head();
        if self.options.version == Version::Http10 && head.framing() == Framing::Chunked {
            // HTTP/1.0 knows no chunks: the end of the connection ends the answer.
            self.options.keep_alive = false;
        }
        let begun = Instant::now();
        self.record.answered(begun);
        let whole = begun + whole_time(self.upstream, lookup);
        let mut body = Body::new(head, self.options.version, self.upstream);
        let persists = head.persists();
        let out = self.head(head);
        let mut framed = self.worker().buffers.take();
        let trace = self.record.upstream();
        let (mut part, piece) =
            body.frame(head.behind(), &mut framed).map_err(Refusal::Upstream)?;
        self.record.begin(&out);
        let begun = deadline::by(|| whole, client.begin(self.worker(), &out, piece, part)).await;
        begun.unwrap_or(Err(Disconnected)).map_err(|_| Refusal::ClientClosed)?;
        self.record.add_body_bytes(piece.len());
        let mut buffer = received.into_buffer();
        buffer.reserve_exact(body.room().saturating_sub(buffer.len()));
        while part == Part::More {
            buffer.clear();
            framed.clear();
            let stall = Instant::now() + self.upstream.stall_timeout;
            let read = tokio::select! {
                biased;
                read = body.read(&mut connection, &mut buffer, stall.min(whole)) => read,
                () = client.disconnected() => return Ok(Disposition::Reset),
            };
            if let Some(trace) = trace {
                trace.received_body(buffer.len());
            }
            let piece;
            (part, piece) = match read.and_then(|()| body.frame(&buffer, &mut framed)) {
                Ok(framed) => framed,
                Err(UpstreamFault::Stalled) if whole <= stall => {
                    return Ok(self.cut(UpstreamFault::TooSlow));
                }
                Err(fault) => return Ok(self.cut(fault)),
            };
            if let Some(trace) = trace.filter(|_| part == Part::Last) {
                trace.ended();
            }
            if !matches!(deadline::by(|| whole, client.send(piece, part)).await, Ok(Ok(()))) {
                return Ok(Disposition::Reset);
            }
            self.record.add_body_bytes(piece.len());
        }
        self.record.complete();
        self.worker().buffers.put(buffer);
        self.worker().buffers.put(framed);
        if persists {
            self.worker().pool.put(connection);
        }
        Ok(self.disposition())
    }

    /// An answer that was begun cannot be completed.
    fn cut(&mut self, fault: UpstreamFault) -> Disposition {
        self.worker().diagnostics.cut(&fault, self.options.request_id.as_str());
        self.record.set_cut(&Refusal::Upstream(fault));
        Disposition::Reset
    }

    /// Gives a connection back whose answer's body, which nobody needs, has come with its head.
    fn discard_body(&self, head: ResponseHead<'_>, connection: Connection) {
        let came = head.behind();
        let ended = match head.framing() {
            Framing::Empty => came.is_empty(),
            Framing::Length(length) => came.len() as u64 == length,
            Framing::Chunked => ends_exactly(came),
            Framing::UntilClose => false,
        };
        if ended && head.persists() {
            self.worker().pool.put(connection);
        }
    }
}

fn ends_exactly(came: &[u8]) -> bool {
    let mut reader = ChunkedReader::new();
    let mut at = 0;
    loop {
        match reader.next(came, at) {
            Ok(Piece::Data(range)) => at = range.end,
            Ok(Piece::End(end)) => return end == came.len(),
            Ok(Piece::More) | Err(_) => return false,
        }
    }
}

/// A body on its way, and how much of it is to come.
#[derive(Debug)]
enum Body {
    Length { left: u64 },
    Chunked { reader: ChunkedReader, version: Version, left: u64 },
}

impl Body {
    fn new(head: ResponseHead<'_>, version: Version, upstream: &Upstream) -> Self {
        match head.framing() {
            Framing::Length(left) => Self::Length { left },
            Framing::Empty => Self::Length { left: 0 },
            Framing::Chunked | Framing::UntilClose => {
                Self::Chunked { reader: ChunkedReader::new(), version, left: upstream.max_answer }
            }
        }
    }

    /// How many bytes are read at once: more of a long body of known length, which is passed on from
    /// where it was read, than of one whose chunks are reframed.
    fn room(&self) -> usize {
        match self {
            Self::Length { left } => usize::try_from(left.saturating_add(1))
                .map_or(LARGE_PIECE, |left| left.clamp(SMALL_PIECE, LARGE_PIECE)),
            Self::Chunked { .. } => SMALL_PIECE,
        }
    }

    /// Reads what comes next, also what comes after the end, so that [`Self::frame`] can see it.
    async fn read(
        &self,
        connection: &mut Connection,
        buffer: &mut Vec<u8>,
        until: Instant,
    ) -> Result<(), UpstreamFault> {
        match connection.read_body(buffer, self.room(), until).await {
            Ok(0) => Err(InvalidBody::Short.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(UpstreamFault::Stalled),
            Err(error) => Err(BodyFault::Reset(error.into()).into()),
        }
    }

    /// What `input` brings, as the client is to read it: `input` itself, or its chunks reframed in
    /// `framed`, and whether that is the last of it.
    fn frame<'b>(
        &mut self,
        input: &'b [u8],
        framed: &'b mut Vec<u8>,
    ) -> Result<(Part, &'b [u8]), UpstreamFault> {
        match self {
            Self::Length { left } => {
                *left = left.checked_sub(input.len() as u64).ok_or(InvalidBody::AfterTheEnd)?;
                Ok((if *left == 0 { Part::Last } else { Part::More }, input))
            }
            Self::Chunked { reader, version, left } => {
                let mut at = 0;
                loop {
                    let piece = reader.next(input, at);
                    match piece.map_err(|_| InvalidBody::Chunks)? {
                        Piece::Data(range) => {
                            at = range.end;
                            let data = input.get(range).unwrap_or_default();
                            let rest = left.checked_sub(data.len() as u64);
                            *left = rest.ok_or(UpstreamFault::TooLarge)?;
                            write_chunk(*version, data, framed);
                        }
                        Piece::More => return Ok((Part::More, framed)),
                        Piece::End(end) if end < input.len() => {
                            return Err(InvalidBody::AfterTheEnd.into());
                        }
                        Piece::End(_) => {
                            if has_chunks(*version) {
                                framed.extend_from_slice(b"0\r\n\r\n");
                            }
                            return Ok((Part::Last, framed));
                        }
                    }
                }
            }
        }
    }
}

/// How long a whole answer may take from its head, whoever of the two is slow: it holds one of the peer's
/// places for lookups in flight.
fn whole_time(upstream: &Upstream, lookup: &Lookup) -> Duration {
    match lookup {
        Lookup::List { .. } => upstream.answer_timeout.saturating_mul(10),
        Lookup::Search { .. } | Lookup::View { .. } => upstream.answer_timeout,
    }
}

/// Whether a body of unknown length is sent in chunks: HTTP/1.0 ends it with the connection, HTTP/2
/// with a flag of its last frame.
fn has_chunks(version: Version) -> bool {
    version == Version::Http11
}

fn write_chunk(version: Version, data: &[u8], out: &mut Vec<u8>) {
    if !has_chunks(version) {
        out.extend_from_slice(data);
        return;
    }
    // Writing to a vector does not fail.
    let _ = write!(out, "{:x}\r\n", data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// What is read of a body at once, in bytes; with its framing it fits a buffer of the worker's.
const SMALL_PIECE: usize = 15 * 1024;

/// What is read at once of a long body. With the client's head this is what a client that reads
/// slowly costs.
const LARGE_PIECE: usize = 32 * 1024;
