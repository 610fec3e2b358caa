//! A client's connection over HTTP/2: many requests at once, each of which goes the way of all requests.
//!
//! # Guarantees
//! * The framing, HPACK and flow control are `h2`'s, the engine under hyper's server. hyper's own layer
//!   is left out: it looks at an answer's body only while the client's window is open, so that a
//!   stalled stream could be neither given up nor told from a slow one.
//! * A head is read by the same rules as over HTTP/1, by the same reader (`head.rs`), and everything
//!   behind it is [`gateway::serve`]: identity, limits, lookup, decision, log.
//! * A request that was opened leaves its line in the access log and spends its tokens, also when it is
//!   taken back at once (CVE-2023-44487), when the HTTP/2 layer refuses it, or when the connection ends.
//! * Streams, refused streams, resets, and frames that ask nothing are bounded (`watch.rs`); who goes
//!   beyond loses the connection, and the administrator is told.
//! * Nothing waits without an end: for a preface, a head, a next request, a window, a write, or for the
//!   client to take leave.
//! * An answer that cannot be completed ends with RST_STREAM, never with END_STREAM.
//!
//! RFC 9113; what is refused beyond it is what HTTP/1 is refused here.

mod frames;
mod head;
mod stream;
mod watch;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection as Framed, SendResponse};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::arrival;
use crate::client::{After, Request, Turn};
use crate::config::{Config, Limits};
use crate::gateway::{self, ConnectionFacts};
use crate::http1::request::Seen;
use crate::refusal::Refusal;
use crate::worker::{Counted, Worker};

use stream::{Nobody, Stream};
use watch::{Watch, Watched};

/// Serves `stream`, whose far side speaks HTTP/2 from its first byte on, to its end.
pub async fn serve<S>(counted: Counted, stream: S, facts: ConnectionFacts)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let worker = Rc::clone(counted.worker());
    let config = Arc::clone(&worker.shared.snapshot().config);
    let watch = Rc::new(Watch::default());
    let io = Watched::new(stream, Rc::clone(&watch));
    let handshake = builder(&config.limits).handshake::<_, Bytes>(io);
    // In a box: its buffers come and go with the connection.
    let shaken = tokio::select! {
        biased;
        shaken = timeout(config.limits.head_timeout, Box::pin(handshake)) => shaken.ok(),
        () = arrival::last_words(&worker) => None,
    };
    let caller = Rc::new(Served { worker, config, facts });
    match shaken {
        Some(Ok(framed)) => Box::pin(Connection::new(caller, framed, watch).run()).await,
        // Nothing came: no request was begun.
        _ if !watch.heard() => {}
        Some(Err(_)) => caller.unheard(Refusal::MalformedRequest(NO_PREFACE)).await,
        None => caller.unheard(Refusal::RequestTimeout).await,
    }
}

/// Bounds of what a connection can make us hold. No body is read, so windows for bodies are small.
fn builder(limits: &Limits) -> Builder {
    let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(number(list_size(limits)))
        .initial_window_size(BODY_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_BROKEN_STREAMS));
    builder
}

/// What HTTP/2 counts for the largest head that HTTP/1's limits let through: 32 bytes for each field
/// besides its name and value (RFC 9113, section 6.5.2). Our own count comes after it.
fn list_size(limits: &Limits) -> usize {
    let fields = limits.max_header_fields.saturating_add(8);
    limits.max_head.saturating_add(fields.saturating_mul(32))
}

/// Who is served, by whom, and by which rules.
struct Served {
    worker: Rc<Worker>,
    config: Arc<Config>,
    facts: ConnectionFacts,
}

impl Served {
    /// Records a request that never became one, and counts it as all others.
    async fn unheard(&self, why: Refusal) {
        let request = Request {
            head: Err(why),
            seen: Seen::default(),
            answerable: false,
            turn: Turn::first(),
        };
        gateway::serve(&self.worker, &self.facts, &mut Nobody, (request, b""), true).await;
    }

    /// Answers one request on its stream.
    async fn answer(
        self: Rc<Self>,
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
        number: u32,
    ) -> After {
        let limits = &self.config.limits;
        let (parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let mut bytes = self.worker.buffers.take();
        let mut request = head::read(&parts, self.facts.scheme(), has_body, &mut bytes, limits);
        request.turn.number = number;
        drop(parts);
        let mut stream = Stream::new(respond, limits.write_timeout);
        let last = self.facts.over_ceiling;
        let serving =
            gateway::serve(&self.worker, &self.facts, &mut stream, (request, &bytes), last);
        let after = serving.await.after;
        stream.end(after);
        self.worker.buffers.put(bytes);
        // Only now: without its reader a stream would be reset before it is answered.
        drop(body);
        after
    }
}

/// A connection after its preface.
struct Connection<S: AsyncRead + AsyncWrite + Unpin> {
    caller: Rc<Served>,
    framed: Framed<Watched<S>, Bytes>,
    watch: Rc<Watch>,
    streams: JoinSet<After>,
    opened: Instant,
    /// When something was last asked or answered.
    since: Instant,
    /// When the client was told to ask no more.
    closing: Option<Instant>,
    accepted: u32,
    unheard: u32,
}

/// What happens to a connection.
enum Event {
    Request(Box<(http::Request<RecvStream>, SendResponse<Bytes>)>),
    Answered(After),
    /// So many requests were refused by the HTTP/2 layer.
    Unheard(u32),
    /// The client asks nothing, and too much of it.
    Flood(&'static str),
    /// The connection is over; a rule of HTTP/2 may have been broken.
    Ended {
        broken: bool,
    },
    /// [`Connection::deadline`] is past.
    Late,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(caller: Rc<Served>, framed: Framed<Watched<S>, Bytes>, watch: Rc<Watch>) -> Self {
        let now = Instant::now();
        Self {
            caller,
            framed,
            watch,
            streams: JoinSet::new(),
            opened: now,
            since: now,
            closing: None,
            accepted: 0,
            unheard: 0,
        }
    }

    async fn run(mut self) {
        let worker = Rc::clone(&self.caller.worker);
        let mut draining = pin!(worker.drain.notified());
        let mut sleep = pin!(sleep_until(self.deadline()));
        let why = loop {
            if worker.is_draining() {
                self.close();
            }
            let event = tokio::select! {
                biased;
                () = &mut draining, if !worker.is_draining() => continue,
                event = poll_fn(|context| self.poll(context, sleep.as_mut())) => event,
            };
            match event {
                Event::Request(request) => self.accept(*request),
                Event::Answered(after) => {
                    self.since = Instant::now();
                    if matches!(after, After::Close | After::Linger) {
                        self.close();
                    }
                }
                Event::Unheard(count) => self.tell_unheard(count, BROKEN_STREAM).await,
                Event::Flood(why) => {
                    self.framed.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    self.take_leave().await;
                    break Some(Refusal::MalformedRequest(why));
                }
                Event::Ended { broken: true } => break Some(BROKEN_CONNECTION),
                Event::Ended { broken: false } => break None,
                Event::Late => match self.late() {
                    Ok(()) => self.close(),
                    Err(why) => break why,
                },
            }
        };
        self.end(why).await;
    }

    /// Lets every stream see that the connection is over, and leave its record.
    async fn end(mut self, why: Option<Refusal>) {
        let left = self.watch.opened().saturating_sub(self.accepted + self.unheard);
        drop(self.framed);
        while self.streams.join_next().await.is_some() {}
        match why {
            Some(why) => self.caller.unheard(why).await,
            None => {
                // Opened, and left with the connection before anybody looked at them.
                for _ in 0..left.min(MAX_STREAMS) {
                    self.caller.unheard(Refusal::ClientClosed).await;
                }
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<Event> {
        if let Poll::Ready(Some(answered)) = self.streams.poll_join_next(context) {
            return Poll::Ready(Event::Answered(answered.unwrap_or(After::Reset)));
        }
        match self.framed.poll_accept(context) {
            Poll::Ready(Some(Ok(request))) => {
                return Poll::Ready(Event::Request(Box::new(request)));
            }
            Poll::Ready(Some(Err(error))) => {
                let flood = self.watch.flood().map(Event::Flood);
                let broken = error.is_go_away() && error.is_library();
                return Poll::Ready(flood.unwrap_or(Event::Ended { broken }));
            }
            Poll::Ready(None) => return Poll::Ready(Event::Ended { broken: false }),
            Poll::Pending => {}
        }
        if let Some(why) = self.watch.flood() {
            return Poll::Ready(Event::Flood(why));
        }
        if self.watch.at_rest() {
            let heard = self.accepted + self.unheard;
            let unheard = self.watch.opened().saturating_sub(heard);
            if unheard > 0 {
                return Poll::Ready(Event::Unheard(unheard));
            }
        }
        let deadline = self.deadline();
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.poll(context).map(|()| Event::Late)
    }

    fn accept(&mut self, (request, respond): (http::Request<RecvStream>, SendResponse<Bytes>)) {
        self.accepted += 1;
        self.since = Instant::now();
        let max = self.caller.config.limits.max_requests_per_connection;
        if self.accepted >= max {
            self.close();
        }
        // Who was told to ask no more may have asked a few times before it read that, not for ever.
        if self.accepted >= max.saturating_add(2 * MAX_STREAMS) {
            self.watch.set_flood("the client goes on asking after it was told to stop (GOAWAY)");
        }
        self.streams.spawn_local(Rc::clone(&self.caller).answer(request, respond, self.accepted));
    }

    async fn tell_unheard(&mut self, count: u32, why: &'static str) {
        self.unheard += count;
        self.since = Instant::now();
        for _ in 0..count {
            self.caller.unheard(Refusal::MalformedRequest(why)).await;
        }
    }

    /// Tells the client to ask no more; what it has asked is answered.
    fn close(&mut self) {
        if self.closing.is_none() {
            self.closing = Some(Instant::now());
            self.framed.graceful_shutdown();
        }
    }

    /// Gives the last frames a moment to go out.
    async fn take_leave(&mut self) {
        let closed = poll_fn(|context| self.framed.poll_closed(context));
        let _ = timeout(FAREWELL, closed).await;
    }

    /// When the connection has to be looked at if nothing comes.
    fn deadline(&self) -> Instant {
        let limits = &self.caller.config.limits;
        let mut deadline = match self.closing {
            None => self.opened + limits.max_connection_age,
            Some(closing) => closing + FAR,
        };
        if self.streams.is_empty() {
            deadline = deadline.min(match self.closing {
                None => self.since + self.patience(),
                Some(closing) => closing.max(self.since) + FAREWELL,
            });
        }
        for (began, most) in [
            (self.watch.head_began(), limits.head_timeout),
            (self.watch.blocked_since(), limits.write_timeout),
        ] {
            deadline = began.map_or(deadline, |began| deadline.min(began + most));
        }
        deadline
    }

    /// How long the connection may ask nothing, as over HTTP/1.
    fn patience(&self) -> Duration {
        let limits = &self.caller.config.limits;
        match self.accepted == 0 || self.caller.facts.stranger {
            true => limits.head_timeout,
            false => limits.idle_timeout,
        }
    }

    /// What to do at the deadline: the connection may be taken leave of, or it ends for a reason, or
    /// without one.
    fn late(&self) -> Result<(), Option<Refusal>> {
        let now = Instant::now();
        let limits = &self.caller.config.limits;
        let past = |began: Option<Instant>, most| began.is_some_and(|began| began + most <= now);
        if past(self.watch.head_began(), limits.head_timeout) {
            return Err(Some(Refusal::RequestTimeout));
        }
        if past(self.watch.blocked_since(), limits.write_timeout) {
            return Err(None);
        }
        match self.closing {
            None => Ok(()),
            Some(_) => Err(None),
        }
    }
}

/// Streams that a client may have open: four times a peer's `concurrent` where that is not set, so
/// that a peer which asks too much at once is told so (429) instead of being left to wait.
const MAX_STREAMS: u32 = 32;

/// What a client may send of a body before it is refused, in bytes.
const BODY_WINDOW: u32 = 1024;

/// What is held of an answer for a client that reads slowly, in bytes for each stream: one piece of a
/// long answer.
const SEND_BUFFER: usize = 32 * 1024;

/// Requests that may be taken back between two looks at the connection. hyper's and `h2`'s own bound.
const MAX_PENDING_RESETS: usize = 20;

/// Streams of a connection that may break a rule of HTTP/2 (CVE-2025-8671). A sound client has none.
const MAX_BROKEN_STREAMS: usize = 16;

/// How long a client that was told to ask no more, and waits for no answer, may keep the connection.
const FAREWELL: Duration = Duration::from_secs(1);

/// Later than anything that is waited for.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

const NO_PREFACE: &str = "the connection does not begin as HTTP/2 does";
const BROKEN_STREAM: &str =
    "its fields or pseudo-fields break a rule of HTTP/2 (RFC 9113, section 8), or are too large";
const BROKEN_CONNECTION: Refusal =
    Refusal::MalformedRequest("the connection broke a rule of HTTP/2 (RFC 9113), or a limit of it");
