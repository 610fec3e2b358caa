//! What the streams of a connection and the connection itself share: the bytes that are to be sent,
//! the windows that the client has given, and how each stream stands.
//!
//! # What is held
//! * Bytes to be sent: of answers' bodies as many as `room` says, and what may not wait for it: heads
//!   of answers, a few hundred bytes for each stream, and replies to the client's frames, which are
//!   few because nothing more is read while they cannot be sent.
//! * An answer's body is taken only as far as the client's windows go.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use crate::connection::http2::frames::{self, DEFAULT_WINDOW, MAX_LENGTH, MAX_WINDOW, Reason};
use crate::connection::http2::hpack;
use crate::gateway::response_sink::Disconnected;

/// The shared part of a connection. All of it is one thread's.
#[derive(Debug)]
pub(super) struct Wire(RefCell<State>);

#[derive(Debug)]
pub(super) struct State {
    /// What is to be sent.
    pub(super) out: Vec<u8>,
    /// How much of it has been.
    pub(super) written: usize,
    /// Replies to the client's frames that were put into `out` since it was empty last, in bytes.
    pub(super) replies: usize,
    /// Bytes of bodies that `out` may hold.
    room: usize,
    /// A table size update to 0 was sent.
    told_no_table: bool,
    /// What the client takes on all streams together.
    window: i64,
    initial_window: i64,
    pub(super) streams: Vec<Entry>,
    closed: Closed,
    /// Streams whose answer is complete, while the client may still be sending its request.
    unwanted: Vec<u32>,
    /// Who sends `out`.
    pub(super) connection: Option<Waker>,
    /// Nothing is sent any more.
    over: bool,
}

/// A stream that is open.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: u32,
    /// What the client takes on it.
    window: i64,
    /// The client has sent all of its request.
    pub(super) ended: bool,
    /// How long the client says that the body is.
    declared: Option<u64>,
    body: u64,
    /// Bytes that came on it, with padding, since its head.
    taken: u32,
    /// The answer is sent to its end.
    answered: bool,
    /// A side has reset it.
    reset: bool,
    /// It broke a rule of HTTP/2: it is answered, as far as it can be, and then reset for this reason.
    fault: Option<Reason>,
    task: Option<Waker>,
}

impl Wire {
    /// For a client that has said nothing yet, whose answers' bodies may take `room` bytes here.
    pub(super) fn new(room: usize) -> Self {
        Self(RefCell::new(State {
            out: Vec::new(),
            written: 0,
            replies: 0,
            room,
            told_no_table: false,
            window: i64::from(DEFAULT_WINDOW),
            initial_window: i64::from(DEFAULT_WINDOW),
            streams: Vec::new(),
            closed: Closed::default(),
            unwanted: Vec::new(),
            connection: None,
            over: false,
        }))
    }

    /// Borrows all of it, for the connection. No stream may use it meanwhile.
    pub(super) fn state(&self) -> std::cell::RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Puts the head of an answer into the bytes to be sent; `last` says that there is no body.
    pub(super) fn send_head(
        &self,
        id: u32,
        last: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Disconnected> {
        let state = &mut *self.state();
        let entry = state.streams.iter_mut().find(|entry| entry.id == id).ok_or(Disconnected)?;
        if entry.reset || state.over {
            return Err(Disconnected);
        }
        let mut block = Vec::new();
        if !std::mem::replace(&mut state.told_no_table, true) {
            hpack::write_no_table(&mut block);
        }
        write(&mut block);
        entry.answered = last;
        // A stream that is reset for a fault gets no END_STREAM.
        let end = if last && entry.fault.is_none() { frames::END_STREAM } else { 0 };
        let mut pieces = block.chunks(MAX_LENGTH as usize).peekable();
        let (mut kind, mut flags) = (frames::HEADERS, end);
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                flags |= frames::END_HEADERS;
            }
            frames::write(&mut state.out, kind, flags, id, piece);
            (kind, flags) = (frames::CONTINUATION, 0);
        }
        state.wake_connection();
        Ok(())
    }

    /// How many bytes of a body would be taken now.
    pub(super) fn room(&self, id: u32) -> usize {
        let state = self.state();
        let entry = state.streams.iter().find(|entry| entry.id == id);
        entry.map_or(0, |entry| state.room_for(entry))
    }

    /// Takes as much of `data`, which is the end of the body if it is the `last`, as there is room for.
    pub(super) fn send_data(
        &self,
        id: u32,
        data: &[u8],
        last: bool,
    ) -> Result<usize, Disconnected> {
        let state = &mut *self.state();
        let over = state.over;
        let at = state.streams.iter().position(|entry| entry.id == id).ok_or(Disconnected)?;
        let entry = state.streams.get(at).ok_or(Disconnected)?;
        if entry.reset || over {
            return Err(Disconnected);
        }
        let count = state.room_for(entry).min(data.len());
        let whole = last && count == data.len();
        if count == 0 && !whole {
            return Ok(0);
        }
        let end = if whole && entry.fault.is_none() { frames::END_STREAM } else { 0 };
        let (now, _) = data.split_at(count);
        let mut rest = now;
        loop {
            let (piece, disposition) = rest.split_at(rest.len().min(MAX_LENGTH as usize));
            rest = disposition;
            let flags = if rest.is_empty() { end } else { 0 };
            // A fault may leave nothing to send.
            if !piece.is_empty() || flags != 0 {
                frames::write(&mut state.out, frames::DATA, flags, id, piece);
            }
            if rest.is_empty() {
                break;
            }
        }
        state.window -= count as i64;
        if let Some(entry) = state.streams.get_mut(at) {
            entry.window -= count as i64;
            entry.answered = whole;
        }
        state.wake_connection();
        Ok(count)
    }

    /// Waits until there may be room for a part of a body.
    pub(super) fn poll_room(
        &self,
        id: u32,
        context: &Context<'_>,
    ) -> Poll<Result<(), Disconnected>> {
        let state = &mut *self.state();
        let over = state.over;
        let Some(at) = state.streams.iter().position(|entry| entry.id == id) else {
            return Poll::Ready(Err(Disconnected));
        };
        let room = state.streams.get(at).map_or(0, |entry| state.room_for(entry));
        match state.streams.get_mut(at) {
            Some(entry) if !entry.reset && !over => {
                if room > 0 {
                    return Poll::Ready(Ok(()));
                }
                entry.task = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Err(Disconnected)),
        }
    }

    /// Waits until the stream was reset, or the connection ended.
    pub(super) fn poll_gone(&self, id: u32, context: &Context<'_>) -> Poll<()> {
        let state = &mut *self.state();
        let over = state.over;
        match state.streams.iter_mut().find(|entry| entry.id == id) {
            Some(entry) if !entry.reset && !over => {
                entry.task = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// The stream is over on this side; `whole` says that its answer was sent to its end.
    pub(super) fn finish(&self, id: u32, whole: bool) {
        let state = &mut *self.state();
        let Some(at) = state.streams.iter().position(|entry| entry.id == id) else { return };
        let entry = state.streams.swap_remove(at);
        let why = match entry.fault {
            _ if entry.reset => None,
            _ if !whole || !entry.answered => Some(entry.fault.unwrap_or(Reason::Internal)),
            fault => fault,
        };
        let unwanted = why.is_none() && !entry.reset && !entry.ended;
        if let Some(reason) = why {
            frames::write_reset(&mut state.out, id, reason);
        } else if unwanted {
            state.unwanted.push(id);
        }
        state.closed.add(id, why.is_some() || unwanted);
        state.wake_connection();
    }

    /// Nothing is sent any more: whoever waits is told.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.over = true;
        state.wake_streams();
    }
}

impl State {
    fn room_for(&self, entry: &Entry) -> usize {
        let held = self.out.len() - self.written;
        let room = self.room.saturating_sub(held);
        usize::try_from(self.window.min(entry.window)).unwrap_or(0).min(room)
    }

    fn wake_connection(&self) {
        if let Some(connection) = &self.connection {
            connection.wake_by_ref();
        }
    }

    /// There may be room again.
    pub(super) fn wake_streams(&mut self) {
        for entry in &mut self.streams {
            if let Some(task) = entry.task.take() {
                task.wake();
            }
        }
    }

    /// Puts a reply to a client's frame into the bytes to be sent.
    pub(super) fn reply(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.out.len();
        write(&mut self.out);
        self.replies += self.out.len() - before;
    }

    /// Opens a stream.
    pub(super) fn open(&mut self, id: u32, ended: bool, declared: Option<u64>) {
        let wrong = ended && declared.is_some_and(|length| length > 0);
        self.streams.push(Entry {
            id,
            window: self.initial_window,
            ended,
            declared,
            body: 0,
            taken: 0,
            answered: false,
            reset: false,
            fault: wrong.then_some(Reason::Protocol),
            task: None,
        });
    }

    pub(super) fn entry(&mut self, id: u32) -> Option<&mut Entry> {
        self.streams.iter_mut().find(|entry| entry.id == id)
    }

    /// How a stream that is not open any more was closed, if it is not too long ago: by this side or
    /// by the client.
    pub(super) fn closed_by_us(&self, id: u32) -> Option<bool> {
        self.closed.by_us(id)
    }

    /// Nothing more comes on a stream that is answered.
    pub(super) fn has_ended(&mut self, id: u32) {
        self.unwanted.retain(|unwanted| *unwanted != id);
    }

    /// Sends RST_STREAM(NO_ERROR) for streams that are answered before their request has ended (RFC 9113,
    /// section 8.1). To be called after the client has read the answers: some clients throw away an
    /// answer that is followed by this at once.
    pub(super) fn want_no_more(&mut self) {
        for id in std::mem::take(&mut self.unwanted) {
            frames::write_reset(&mut self.out, id, Reason::NoError);
        }
    }

    /// A stream is refused, or an error in it ends it now.
    pub(super) fn reset(&mut self, id: u32, reason: Reason) {
        self.reply(|out| frames::write_reset(out, id, reason));
        match self.entry(id) {
            Some(entry) => {
                entry.reset = true;
                if let Some(task) = entry.task.take() {
                    task.wake();
                }
            }
            None => self.closed.add(id, true),
        }
    }

    /// The client widens the window of all streams together, or of one.
    ///
    /// # Errors
    /// No window can be so wide.
    pub(super) fn widen(&mut self, id: u32, by: u32) -> Result<(), Reason> {
        let by = i64::from(by);
        let window = match id {
            0 => &mut self.window,
            id => match self.entry(id) {
                Some(entry) => &mut entry.window,
                None => return Ok(()),
            },
        };
        *window += by;
        if *window > MAX_WINDOW {
            return Err(Reason::FlowControl);
        }
        self.wake_streams();
        Ok(())
    }

    /// The client changes the window that every stream begins with, which changes all that are open.
    ///
    /// # Errors
    /// No window can be so wide.
    pub(super) fn set_initial_window(&mut self, window: u32) -> Result<(), Reason> {
        let window = i64::from(window);
        if window > MAX_WINDOW {
            return Err(Reason::FlowControl);
        }
        let change = window - self.initial_window;
        self.initial_window = window;
        for entry in &mut self.streams {
            entry.window += change;
            if entry.window > MAX_WINDOW {
                return Err(Reason::FlowControl);
            }
        }
        self.wake_streams();
        Ok(())
    }

    /// The client has changed the size of its table: it is told again that this side uses none.
    pub(super) fn tell_no_table(&mut self) {
        self.told_no_table = false;
    }
}

impl Entry {
    /// Bytes of a body have come: `taken` with their padding, `data` without. They are counted and
    /// thrown away.
    ///
    /// # Errors
    /// The stream is to be reset at once.
    pub(super) fn body(&mut self, taken: u32, data: u32, last: bool) -> Result<(), Reason> {
        if self.ended || self.reset {
            return Err(Reason::StreamClosed);
        }
        self.taken = self.taken.saturating_add(taken);
        if self.taken > DEFAULT_WINDOW {
            return Err(Reason::FlowControl);
        }
        self.body += u64::from(data);
        let too_long = self.declared.is_some_and(|length| self.body > length);
        if too_long || last && self.declared.is_some_and(|length| self.body < length) {
            self.fault = Some(Reason::Protocol);
        }
        self.ended |= last;
        Ok(())
    }

    /// Trailers have come; `well` says that they keep the rules.
    ///
    /// # Errors
    /// The stream is to be reset at once.
    pub(super) fn trailers(&mut self, last: bool, well: bool) -> Result<(), Reason> {
        if !last || !well {
            self.fault = Some(Reason::Protocol);
        }
        self.body(0, 0, last)
    }

    /// It breaks a rule of HTTP/2.
    pub(super) fn set_fault(&mut self) {
        self.fault = Some(Reason::Protocol);
    }

    pub(super) fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// The client takes the request back.
    pub(super) fn taken_back(&mut self) {
        self.reset = true;
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

/// The streams that were closed last: what comes on them is judged by who closed them. A client that
/// has not yet seen that a stream was reset is at no fault (RFC 9113, section 5.1).
#[derive(Debug, Default)]
struct Closed {
    last: [(u32, bool); 32],
    next: usize,
}

impl Closed {
    fn add(&mut self, id: u32, by_us: bool) {
        if let Some(slot) = self.last.get_mut(self.next) {
            *slot = (id, by_us);
        }
        self.next = (self.next + 1) % self.last.len();
    }

    fn by_us(&self, id: u32) -> Option<bool> {
        self.last.iter().find(|(closed, _)| *closed == id).map(|(_, by_us)| *by_us)
    }
}
