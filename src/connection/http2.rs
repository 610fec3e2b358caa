//! A client's connection over HTTP/2: many requests at once, each of which goes the way of all requests.
//!
//! # Guarantees
//! * A head is read by the same rules as over HTTP/1, by the same reader (`head.rs`), from the bytes that
//!   the client sent, and everything behind it is [`gateway::serve`]: identity, limits, lookup, decision,
//!   log. What only HTTP/2 forbids is answered with its 400, too, before its stream is reset.
//! * A request that was opened leaves its line in the access log and spends its tokens, also when it is
//!   taken back at once (CVE-2023-44487), or when the connection ends.
//! * Streams, refused streams, resets, and frames that ask nothing are bounded (`tally.rs`); who goes
//!   beyond loses the connection, and the administrator is told.
//! * What a connection can make this side hold is bounded (`Caps`), and so is the sum of it
//!   (`budget.rs`). A refusal needs no window: it goes without its body where there is none.
//! * Every wait has a deadline: for a preface, a head, a next request, a window, a write, or for the
//!   client to close.
//! * An answer that cannot be completed ends with RST_STREAM, never with END_STREAM.
//!
//! # Why the frames are read here
//! A general HTTP/2 server judges heads before anybody else sees them: what it refuses is answered by
//! nobody and logged without its line, and a path loses what follows a `#`. It also holds 28 KB for each
//! connection, whatever that does, and more for who sends fields into its table. No request that is
//! accepted here has a body, so what is left of HTTP/2 is heads, windows and resets (`engine.rs`,
//! `wire.rs`, `hpack.rs`).
//!
//! RFC 9113; what is refused beyond it is what HTTP/1 is refused here.

mod engine;
mod frames;
mod head;
mod hpack;
mod message;
mod stream;
mod tally;
mod wire;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::config::Limits;
use crate::connection::proxy_header;
use crate::connection::transport::Transport;
use crate::gateway;
use crate::gateway::connection_facts::ConnectionFacts;
use crate::gateway::request::{Request, RequestPosition};
use crate::gateway::response_sink::{Disposition, Outcome, Persistence};
use crate::http1::request::Seen;
use crate::refusal::{Flood, Http2Fault, Refusal};
use crate::worker::{ConnectionGuard, Worker};

use crate::limits::budget::Share;
use engine::{Caps, Engine, Opened, Step};
use frames::Reason;
use head::WrittenHead;
use stream::{Nobody, Stream};
use wire::Wire;

/// Serves `stream`, whose far side speaks HTTP/2 from its first byte on, to its end.
pub(crate) async fn serve(guard: ConnectionGuard, mut stream: Transport, facts: ConnectionFacts) {
    let worker = Rc::clone(guard.worker());
    let limits = Arc::clone(&worker.shared.snapshot().config.limits);
    let caps = caps(&limits, facts.unknown);
    stream.limit_unsent(caps.unsent);
    let wire = Rc::new(Wire::new(caps.room));
    // Boxed: it is moved about.
    let mut engine = Box::new(Engine::new(stream, Rc::clone(&wire), caps));
    let preface = poll_fn(|context| engine.poll_preface(context));
    let began = tokio::select! {
        biased;
        began = timeout(limits.head_timeout, preface) => began.ok(),
        () = proxy_header::drain_grace_over(&guard) => None,
        () = guard.left() => return,
    };
    let share = Share::new(Arc::clone(&worker.shared.http2), facts.unknown);
    let caller = Rc::new(Served { worker, limits, facts, refused: Cell::new(0) });
    match began {
        Some(Ok(())) => Connection::new(caller, engine, wire, share).run(&guard).await,
        // Nothing came: no request was begun.
        _ if !engine.received_any() => {}
        Some(Err(_)) => caller.reject(malformed(Http2Fault::NoPreface)).await,
        None => caller.reject(Refusal::RequestTimeout).await,
    }
}

/// What a connection can make this side hold.
fn caps(limits: &Limits, unknown: bool) -> Caps {
    // What is written as HTTP/1 in so many bytes is not much longer in any other way.
    let block = limits.max_head.saturating_add(BLOCK_OVERHEAD);
    // RFC 9113 counts 32 bytes for each field besides its name and value.
    let fields = limits.max_header_fields.saturating_add(8);
    let list = limits.max_head.saturating_add(fields.saturating_mul(32));
    if unknown {
        Caps {
            streams: UNKNOWN_STREAMS,
            block: block.min(UNKNOWN_BLOCK),
            head: limits.max_head,
            list: list.min(UNKNOWN_BLOCK),
            room: UNKNOWN_ROOM,
            unsent: UNKNOWN_UNSENT,
        }
    } else {
        Caps { streams: MAX_STREAMS, block, head: limits.max_head, list, room: ROOM, unsent: ROOM }
    }
}

/// Per-connection context that its streams share.
struct Served {
    worker: Rc<Worker>,
    /// Those that it found when it began.
    limits: Arc<Limits>,
    facts: ConnectionFacts,
    /// How many requests were refused one after the other, as they were answered.
    refused: Cell<u32>,
}

impl Served {
    /// Records a request that never became one, and counts it as all others.
    async fn reject(&self, why: Refusal) {
        let request = Request {
            head: Err(why),
            seen: Seen::default(),
            answerable: false,
            position: RequestPosition::first(),
        };
        // Boxed: few connections come to it, and all of them would carry its room.
        let (worker, facts, nobody) = (&self.worker, &self.facts, &mut Nobody);
        Box::pin(gateway::serve(worker, facts, nobody, request, Persistence::Ends)).await;
    }

    /// Answers one request on its stream.
    async fn answer(
        self: Rc<Self>,
        opened: Opened,
        mut stream: Stream,
        number: u32,
    ) -> Disposition {
        let limits = &*self.limits;
        let written = WrittenHead::of(&opened.message);
        let mut request = written.read(&opened.message, self.facts.scheme(), limits);
        drop(opened);
        request.position.number = number;
        request.position.refused = self.refused.get();
        let persistence = Persistence::ends_if(self.facts.over_ceiling);
        let serving = gateway::serve(&self.worker, &self.facts, &mut stream, request, persistence);
        let Outcome { disposition, refused } = serving.await;
        self.refused.set(if refused { self.refused.get().saturating_add(1) } else { 0 });
        stream.end(disposition);
        disposition
    }
}

/// A connection after its preface.
struct Connection {
    caller: Rc<Served>,
    engine: Box<Engine<Transport>>,
    wire: Rc<Wire>,
    share: Share,
    streams: JoinSet<Disposition>,
    opened: Instant,
    /// When a request or an answer last came or went.
    since: Instant,
    /// When the graceful GOAWAY was sent.
    closing: Option<Instant>,
    accepted: u32,
}

fn malformed(fault: Http2Fault) -> Refusal {
    Refusal::MalformedRequest(fault.into())
}

/// What happens to a connection.
enum Event {
    Request(Box<Opened>),
    Answered(Disposition),
    /// The client sends too many frames without requests.
    Flood(Flood),
    /// Connections hold more than all of them may.
    Overfull,
    /// The connection is over; a rule of HTTP/2 may have been broken.
    Ended {
        broken: bool,
    },
    /// [`Connection::deadline`] is past.
    Late,
}

impl Connection {
    fn new(
        caller: Rc<Served>,
        engine: Box<Engine<Transport>>,
        wire: Rc<Wire>,
        share: Share,
    ) -> Self {
        let now = Instant::now();
        Self {
            caller,
            engine,
            wire,
            share,
            streams: JoinSet::new(),
            opened: now,
            since: now,
            closing: None,
            accepted: 0,
        }
    }

    async fn run(mut self, guard: &ConnectionGuard) {
        let worker = Rc::clone(&self.caller.worker);
        let mut draining = pin!(worker.drain.notified());
        let mut sleep = pin!(sleep_until(self.deadline()));
        let why = loop {
            if guard.is_ending() {
                self.close();
            }
            if self.streams.is_empty() {
                guard.wait(self.since.into_std(), self.accepted == 0);
            }
            let may_stay = self.closing.is_none();
            let event = tokio::select! {
                biased;
                () = &mut draining, if !guard.is_ending() => {
                    // It may have been another listener that was removed.
                    draining.set(worker.drain.notified());
                    continue;
                }
                event = poll_fn(|context| self.poll(context, sleep.as_mut())) => event,
                () = guard.left(), if may_stay => {
                    self.close();
                    continue;
                }
            };
            match event {
                Event::Request(request) => {
                    let stays = guard.resume();
                    self.accept(*request);
                    if !stays {
                        self.close();
                    }
                }
                Event::Answered(disposition) => {
                    self.since = Instant::now();
                    if matches!(disposition, Disposition::Close | Disposition::Linger) {
                        self.close();
                    }
                }
                Event::Flood(why) => break self.cut_off(malformed(why.into())).await,
                Event::Overfull => break self.cut_off(Refusal::Overloaded).await,
                Event::Ended { broken } => {
                    if self.engine.is_deaf() {
                        self.flush_goaway().await;
                    }
                    break broken.then(|| malformed(Http2Fault::Connection));
                }
                Event::Late => match self.on_deadline() {
                    Ok(()) => self.close(),
                    Err(why) => break why,
                },
            }
        };
        self.end(why).await;
    }

    /// Stops reading from the client, and sends GOAWAY.
    async fn cut_off(&mut self, why: Refusal) -> Option<Refusal> {
        self.engine.give_up(Reason::EnhanceYourCalm);
        self.flush_goaway().await;
        Some(why)
    }

    /// Lets every stream see that the connection is over, and leave its record.
    async fn end(mut self, why: Option<Refusal>) {
        let left = self.engine.left();
        drop(self.engine);
        while self.streams.join_next().await.is_some() {}
        if let Some(why) = why {
            self.caller.reject(why).await;
        }
        // Opened, and left with the connection before anybody looked at them.
        for _ in 0..left.min(MAX_STREAMS as usize) {
            self.caller.reject(Refusal::ClientClosed).await;
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<Event> {
        if let Poll::Ready(Some(answered)) = self.streams.poll_join_next(context) {
            return Poll::Ready(Event::Answered(answered.unwrap_or(Disposition::Reset)));
        }
        let step = self.engine.poll(context);
        if !self.share.set(self.engine.held()) {
            return Poll::Ready(Event::Overfull);
        }
        if let Poll::Ready(step) = step {
            return Poll::Ready(match step {
                Step::Request(opened) => Event::Request(Box::new(opened)),
                Step::Flood(why) => Event::Flood(why),
                Step::Broken => Event::Ended { broken: true },
                Step::Ended => Event::Ended { broken: false },
            });
        }
        let deadline = self.deadline();
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.poll(context).map(|()| Event::Late)
    }

    fn accept(&mut self, opened: Opened) {
        self.accepted += 1;
        self.since = Instant::now();
        let limits = &*self.caller.limits;
        let (max, write_timeout) = (limits.max_requests_per_connection, limits.write_timeout);
        if self.accepted >= max {
            self.close();
        }
        // Allow a few requests that were already in flight when GOAWAY was sent.
        if self.accepted >= max.saturating_add(2 * MAX_STREAMS) {
            self.engine.set_flood(Flood::AfterGoAway);
        }
        let stream = Stream::new(Rc::clone(&self.wire), opened.stream, write_timeout);
        let answer = Rc::clone(&self.caller).answer(opened, stream, self.accepted);
        self.streams.spawn_local(answer);
    }

    /// Sends a graceful GOAWAY; requests under way are answered.
    fn close(&mut self) {
        if self.closing.is_none() {
            self.closing = Some(Instant::now());
            self.engine.announce_end();
        }
    }

    /// Waits a moment for the last frames to be sent.
    async fn flush_goaway(&mut self) {
        let _ = timeout(GOAWAY_TIMEOUT, Box::pin(self.engine.flush_goaway())).await;
    }

    /// When the connection has to be looked at if nothing comes.
    fn deadline(&self) -> Instant {
        let limits = &*self.caller.limits;
        let mut deadline = match self.closing {
            None => self.opened + limits.max_connection_age,
            Some(closing) => closing + FAR,
        };
        if self.streams.is_empty() {
            deadline = deadline.min(match self.closing {
                None => self.since + self.silence_limit(),
                Some(closing) => closing.max(self.since) + GOAWAY_TIMEOUT,
            });
        }
        for (began, most) in [
            (self.engine.head_began(), limits.head_timeout),
            (self.engine.blocked_since(), limits.write_timeout),
        ] {
            deadline = began.map_or(deadline, |began| deadline.min(began + most));
        }
        deadline
    }

    /// How long the connection may stay without a request, as over HTTP/1.
    fn silence_limit(&self) -> Duration {
        let limits = &*self.caller.limits;
        if self.accepted == 0 || self.caller.facts.unknown {
            limits.head_timeout
        } else {
            limits.idle_timeout
        }
    }

    /// What to do at the deadline. `Ok`: shut down gracefully; `Err`: close, with a refusal if there is
    /// one.
    fn on_deadline(&self) -> Result<(), Option<Refusal>> {
        let now = Instant::now();
        let limits = &*self.caller.limits;
        let past = |began: Option<Instant>, most| began.is_some_and(|began| began + most <= now);
        if past(self.engine.head_began(), limits.head_timeout) {
            return Err(Some(Refusal::RequestTimeout));
        }
        if past(self.engine.blocked_since(), limits.write_timeout) {
            return Err(None);
        }
        match self.closing {
            None => Ok(()),
            Some(_) => Err(None),
        }
    }
}

/// Streams that a peer may have open: four times a peer's `concurrent` where that is not set, so
/// that a peer which asks too much at once is told so (429) instead of being left to wait.
const MAX_STREAMS: u32 = 32;

/// Streams that a caller in no policy may have open: each is refused at once.
const UNKNOWN_STREAMS: u32 = 2;

/// What a head may be longer in frames than in HTTP/1, in bytes: three lengths for each of a few
/// hundred fields, of which few are taken.
const BLOCK_OVERHEAD: usize = 1024;

/// A head of a caller in no policy, which is refused whatever it says, in bytes.
const UNKNOWN_BLOCK: usize = 4096;

/// What is held of answers for a client that reads slowly, in bytes for each connection: one frame.
const ROOM: usize = 16 * 1024;

/// The same for a caller in no policy, whose longest answer is `whoami`.
const UNKNOWN_ROOM: usize = 1024;

/// Bytes of answers that rustls may buffer for a caller in no policy that does not read them.
const UNKNOWN_UNSENT: usize = 4096;

/// How long a client that was sent GOAWAY and waits for no answer may keep the connection open.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// Later than anything that is waited for.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::tests::future_size;

    /// An unknown caller's connection may cost 10 KB while it is idle, and TLS takes most of that.
    #[test]
    fn a_waiting_connection_is_small() {
        let size = future_size(serve);
        assert!(size <= 2048, "{size} bytes");
    }
}
