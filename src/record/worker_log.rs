//! A worker's access logs, and the record of a request from its first byte to its last.

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::Notify;

use crate::address::ClientAddress;
use crate::caller::Caller;
use crate::refusal::Refusal;

use super::{Entry, LineBuffer, LocalClock, UnixSeconds, write_combined};

/// One worker's buffers of all access logs, and its clock.
#[derive(Debug)]
pub struct WorkerLog {
    state: RefCell<State>,
    waiting: Notify,
}

#[derive(Debug)]
struct State {
    buffers: Vec<LineBuffer>,
    clock: LocalClock,
}

impl WorkerLog {
    /// A worker's log over `buffers`, one for each access log.
    pub fn new(buffers: Vec<LineBuffer>) -> Self {
        let state = RefCell::new(State { buffers, clock: LocalClock::system() });
        Self { state, waiting: Notify::new() }
    }

    /// Appends the current time as an HTTP `Date` (RFC 9110, section 5.6.7).
    pub fn write_http_date(&self, out: &mut Vec<u8>) {
        let clock = &mut self.state.borrow_mut().clock;
        out.extend_from_slice(clock.http_date(UnixSeconds::now()));
    }

    fn push(&self, entry: &Entry<'_>) {
        let State { buffers, clock } = &mut *self.state.borrow_mut();
        let mut first = false;
        for buffer in buffers {
            first |= buffer.is_empty();
            let max_field = buffer.max_field();
            buffer.push(|out| write_combined(out, entry, clock, max_field));
        }
        if first {
            self.waiting.notify_one();
        }
    }

    /// Hands everything over that has been waiting for the settings' `flush`; never returns. To be
    /// polled beside the worker's connections.
    pub async fn flush_in_time(&self) {
        loop {
            self.waiting.notified().await;
            tokio::time::sleep(self.flush_after()).await;
            self.flush();
        }
    }

    fn flush_after(&self) -> Duration {
        let state = self.state.borrow();
        state.buffers.iter().map(LineBuffer::flush_after).min().unwrap_or(Duration::from_secs(1))
    }

    /// Hands over whatever is held.
    pub fn flush(&self) {
        self.state.borrow_mut().buffers.iter_mut().for_each(LineBuffer::flush);
    }
}

/// The record of one request. It becomes a log line when it is dropped, whichever way the request
/// ended: a future that is dropped in the middle leaves a 499, as nginx writes it for a client that
/// left.
#[derive(Debug)]
pub struct Record<'a> {
    log: &'a WorkerLog,
    address: ClientAddress,
    request: &'a [u8],
    referer: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    peer: Option<&'a str>,
    status: u16,
    body_bytes: u64,
}

impl<'a> Record<'a> {
    /// Opens the record of a request whose line, `Referer` and `User-Agent` are these.
    pub fn open(
        log: &'a WorkerLog,
        caller: &Caller<'_>,
        request: &'a [u8],
        referer: Option<&'a [u8]>,
        user_agent: Option<&'a [u8]>,
    ) -> Self {
        let status = Refusal::ClientClosed.status();
        let address = caller.shown_address();
        Self { log, address, request, referer, user_agent, peer: None, status, body_bytes: 0 }
    }

    /// The request is this peer's.
    pub fn set_peer(&mut self, name: &'a str) {
        self.peer = Some(name);
    }

    /// An answer with this status begins to be sent.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// So many further bytes behind the answer's head were sent.
    pub fn add_body_bytes(&mut self, count: usize) {
        self.body_bytes += count as u64;
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.log.push(&Entry {
            remote_addr: self.address.ip(),
            remote_user: self.peer,
            time: UnixSeconds::now(),
            request: Some(self.request),
            status: self.status,
            body_bytes_sent: self.body_bytes,
            referer: self.referer,
            user_agent: self.user_agent,
        });
    }
}
