//! The way to XiVO: one request at a time over a pooled connection, in the asking task itself.
//!
//! # Guarantees
//! * What is sent is a fresh head, written from a [`Permit`] and the connection's facts; of the
//!   client's bytes only its `User-Agent` goes along.
//! * No byte is sent over a connection that comes from a loopback address, unless
//!   `upstream.danger_loopback_source` says so: XiVO grants `private` to those. Nor is a client with
//!   such an address named to it by the PROXY protocol. TLS changes nothing about it.
//! * A connection on which the PROXY protocol named a client carries that client's one request.
//! * A request is sent a second time only when a *reused* connection ended before the first byte
//!   of an answer (nginx closes idle connections when it likes), once, over a fresh connection, and
//!   within the same deadline. Lookups only read, so asking twice does no harm.
//! * An answer that is not HTTP/1 as [`crate::http1`] reads it is a fault, and so is everything that
//!   comes before its request or after its end; such a connection is not used again.
//!
//! Imports `http1`, `net`, `policy`, `text`, `x509`. Begin with [`Pool`], then `connect.rs`.

mod certificate;
pub mod circuit;
mod connect;
mod fault;
mod pool;
mod records;
mod tls;
pub(crate) mod trace;
mod transport;

use std::io;

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

pub use certificate::CertificateFacts;
pub use connect::{Route, check_relayed, connect, routed_source};
pub use fault::{
    BodyFault, Cause, CertificateFault, ConnectFault, HeadFault, HeadTimeout, Invalid, InvalidBody,
    InvalidHead, Lack, NotAllowed, ResolveFault, SendFault, TlsFault, Unreachable, UpstreamFault,
};
pub use pool::{Connection, Pool};
pub use tls::{Tls, TlsError, Trust, check_authority};
pub use transport::TlsFacts;

use crate::http1::response::{ResponseHead, ResponseSpans};
use crate::net::client_address::ClientAddress;
use crate::policy::decide::Permit;
use crate::text::write_address;
use crate::upstream::trace::Trace;

/// What a request to XiVO is written from.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// What may be asked.
    pub permit: &'a Permit,
    /// `upstream.host`.
    pub host: &'a str,
    /// Whom it is asked for.
    pub client: ClientAddress,
    /// The scheme that the client spoke: `http`.
    pub scheme: &'a str,
    /// The client's own, as it passed the field grammar.
    pub user_agent: Option<&'a [u8]>,
    /// The id that the log and the client's answer have too.
    pub request_id: &'a str,
}

impl RequestParts<'_> {
    /// The request that is sent to XiVO, in the memory of `buffer`. It is a GET whatever the client's method:
    /// XiVO answers HEAD with an error, having read no arguments.
    pub fn write(&self, mut buffer: Vec<u8>) -> Request {
        let out = &mut buffer;
        out.extend_from_slice(b"GET ");
        self.permit.lookup().write_target(out);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        write_field(out, "Host", self.host.as_bytes());
        write_field(out, "Accept", b"application/json");
        if let Some(user_agent) = self.user_agent.filter(|value| !value.is_empty()) {
            let user_agent = user_agent.get(..MAX_USER_AGENT).unwrap_or(user_agent);
            write_field(out, "User-Agent", user_agent);
        }
        write_field(out, "X-Request-Id", self.request_id.as_bytes());
        out.extend_from_slice(b"X-Forwarded-For: ");
        write_address(out, self.client.ip());
        out.extend_from_slice(b"\r\n");
        write_field(out, "X-Forwarded-Proto", self.scheme.as_bytes());
        out.extend_from_slice(b"X-Real-IP: ");
        write_address(out, self.client.ip());
        out.extend_from_slice(b"\r\n\r\n");
        Request(buffer)
    }
}

/// A request as it is sent to XiVO. Only [`RequestParts::write`] makes one, for a [`Permit`], and nothing else is
/// ever sent:
///
/// ```no_run
/// use phonebook_gateway::upstream::{Connection, RequestParts};
///
/// async fn send(connection: Connection, parts: RequestParts<'_>) {
///     let _ = connection.send(&parts.write(Vec::new()), Vec::new(), None).await;
/// }
/// ```
///
/// What was written without a permit does not compile:
///
/// ```compile_fail,E0308
/// use phonebook_gateway::upstream::{Connection, RequestParts};
///
/// async fn send(connection: Connection, parts: RequestParts<'_>) {
///     let _ = connection.send(b"GET / HTTP/1.1\r\n\r\n", Vec::new(), None).await;
/// }
/// ```
///
/// nor does a request that is put together without one:
///
/// ```compile_fail,E0423
/// let request = phonebook_gateway::upstream::Request(b"GET / HTTP/1.1\r\n\r\n".to_vec());
/// ```
#[derive(Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// The bytes that are sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its memory, for another one.
    pub fn into_buffer(self) -> Vec<u8> {
        self.0
    }
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The head of an answer, and the connection on which its body follows.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// The response's head, and as much of the body as came with it.
    pub received: Received,
    /// Where the rest comes from.
    pub connection: Connection,
}

/// Until when an answer has to begin.
#[derive(Clone, Copy, Debug)]
pub struct HeadDeadline {
    /// The moment.
    pub at: Instant,
    /// What it was reckoned from.
    pub timeout: HeadTimeout,
}

impl HeadDeadline {
    /// The deadline of what `began` then.
    pub fn new(began: Instant, timeout: HeadTimeout) -> Self {
        Self { at: began + timeout.limit, timeout }
    }
}

impl From<HeadDeadline> for UpstreamFault {
    /// The deadline passed.
    fn from(deadline: HeadDeadline) -> Self {
        Self::Timeout(deadline.timeout)
    }
}

/// What has come of an answer whose head is complete.
#[derive(Debug)]
pub struct Received {
    head: ResponseSpans,
    /// What the head was read from.
    buffer: Vec<u8>,
}

impl Received {
    /// The head.
    pub fn head(&self) -> ResponseHead<'_> {
        self.head.over(&self.buffer)
    }

    /// The memory, for what comes next.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

impl UpstreamResponse {
    /// Reads more of the body, at most `room` bytes, behind what has come, waiting until `until` for the first
    /// of them. `Ok(0)` is the end of the connection.
    ///
    /// # Errors
    /// As [`Connection::read_body`].
    pub async fn read_on(&mut self, room: usize, until: Instant) -> io::Result<usize> {
        self.connection.read_body(&mut self.received.buffer, room, until).await
    }
}

impl Pool {
    /// Sends `request` over a pooled or a new connection, and waits for the head of the answer until `deadline`.
    ///
    /// # Errors
    /// [`UpstreamFault`]; the connection is then gone.
    pub async fn send(
        &self,
        route: &Route<'_>,
        request: &Request,
        buffer: Vec<u8>,
        deadline: HeadDeadline,
    ) -> Result<UpstreamResponse, UpstreamFault> {
        // Pinned where it stands: a timeout that owned it would be given a copy.
        let asked = std::pin::pin!(self.send_without_deadline(route, request, buffer));
        timeout_at(deadline.at, asked).await.unwrap_or_else(|_| Err(deadline.into()))
    }

    async fn send_without_deadline(
        &self,
        route: &Route<'_>,
        request: &Request,
        mut buffer: Vec<u8>,
    ) -> Result<UpstreamResponse, UpstreamFault> {
        // Another client's connection is in no pool, and this one's would not be looked for.
        if route.relayed.is_none()
            && let Some(mut connection) = self.take(route.way)
        {
            if let Some(trace) = route.trace {
                let nth = trace.begin(connection.ends().map(|(_, far)| far));
                trace.connected(nth);
            }
            match exchange(&mut connection, request, &mut buffer, route.trace).await {
                Ok(head) => {
                    let received = Received { head, buffer };
                    return Ok(UpstreamResponse { received, connection });
                }
                Err(Failed::BeforeFirstByte(_)) => buffer.clear(),
                Err(Failed::Fault(fault)) => return Err(fault),
            }
        }
        // Boxed: most lookups find a connection, and would carry what the others need.
        let connection = Box::pin(connect(route)).await?;
        connection.send(request, buffer, route.trace).await
    }
}

enum Failed {
    /// The connection ended before the first byte of an answer.
    BeforeFirstByte(UpstreamFault),
    Fault(UpstreamFault),
}

async fn exchange(
    connection: &mut Connection,
    request: &Request,
    buffer: &mut Vec<u8>,
    trace: Option<&Trace>,
) -> Result<ResponseSpans, Failed> {
    connection.count();
    // TLS may hold the last record back until it is flushed.
    let stream = connection.stream();
    let sent = match stream.write_all(&request.0).await {
        Ok(()) => stream.flush().await,
        failed => failed,
    };
    sent.map_err(|error| Failed::BeforeFirstByte(SendFault::Request(error.into()).into()))?;
    let mut interim = 0;
    let mut received = 0;
    loop {
        let room = MAX_ANSWER_HEAD.saturating_sub(received);
        if room == 0 {
            return invalid(InvalidHead::TooLong);
        }
        match connection.stream().read_buf(&mut (&mut *buffer).limit(room)).await {
            Ok(0) => return Err(ended(received, None)),
            Err(error) => return Err(ended(received, Some(error))),
            Ok(count) => {
                received += count;
                if let Some(trace) = trace {
                    trace.received(count);
                }
            }
        }
        loop {
            let spans = match ResponseSpans::read(buffer) {
                Err(why) => return invalid(why.into()),
                Ok(None) => break,
                Ok(Some(spans)) => spans,
            };
            let head = spans.over(buffer);
            match head.status() {
                200.. => return Ok(spans),
                101 => return invalid(InvalidHead::OtherProtocol),
                _ => {
                    interim += 1;
                    if interim > MAX_INTERIM {
                        return invalid(InvalidHead::Interim);
                    }
                    let length = head.len();
                    buffer.drain(..length);
                }
            }
        }
    }
}

/// What it means that the connection ended, orderly or with an error, after `received` bytes of a response.
fn ended(received: usize, error: Option<io::Error>) -> Failed {
    match (received, error.map(Cause::from)) {
        (0, None) => Failed::BeforeFirstByte(HeadFault::Closed.into()),
        (0, Some(cause)) => Failed::BeforeFirstByte(HeadFault::Reset(cause).into()),
        (_, cause) => Failed::Fault(HeadFault::Cut(cause).into()),
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::new(error)
    }
}

fn invalid<T>(why: InvalidHead) -> Result<T, Failed> {
    Err(Failed::Fault(why.into()))
}

impl Connection {
    /// Sends `request` over this connection, which was just opened, and waits for the head of the
    /// answer. What comes is told to `trace`.
    ///
    /// # Errors
    /// [`UpstreamFault`]; the connection is then gone.
    pub async fn send(
        mut self,
        request: &Request,
        mut buffer: Vec<u8>,
        trace: Option<&Trace>,
    ) -> Result<UpstreamResponse, UpstreamFault> {
        match exchange(&mut self, request, &mut buffer, trace).await {
            Ok(head) => {
                let received = Received { head, buffer };
                Ok(UpstreamResponse { received, connection: self })
            }
            Err(Failed::BeforeFirstByte(fault) | Failed::Fault(fault)) => Err(fault),
        }
    }

    /// Reads more of a body into `buffer`, at most `room` bytes, waiting until `until` for the first of
    /// them. `Ok(0)` is the end of the connection.
    ///
    /// # Errors
    /// The connection failed, or nothing came in time ([`io::ErrorKind::TimedOut`]).
    pub async fn read_body(
        &mut self,
        buffer: &mut Vec<u8>,
        room: usize,
        until: Instant,
    ) -> io::Result<usize> {
        let mut buffer = buffer.limit(room);
        let read = self.stream().read_buf(&mut buffer);
        timeout_at(until, read).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The largest head of an answer, in bytes, interim ones included.
pub const MAX_ANSWER_HEAD: usize = 16 * 1024;

/// How many 1xx answers may come before the answer itself.
const MAX_INTERIM: u32 = 8;

/// The longest `User-Agent` that is passed on, in bytes; a longer one is cut.
const MAX_USER_AGENT: usize = 512;
