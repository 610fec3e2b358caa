//! How a request to XiVO went, recorded while it happens: each try with its times and bytes.

use std::cell::{Cell, Ref, RefCell};
use std::net::SocketAddr;

use tokio::time::Instant;

/// The tries of one request. It outlives the asking, which may be given up at any time.
#[derive(Debug, Default)]
pub struct Trace {
    attempts: RefCell<Vec<Attempt>>,
    began: Cell<Option<Instant>>,
    /// The bytes that are sent once there is a connection.
    request_length: Cell<u64>,
}

impl Trace {
    /// Sets the length of the request that will be sent, in bytes.
    pub fn will_send(&self, length: usize) {
        self.request_length.set(length as u64);
    }

    /// A try begins, at this address; the previous one has failed.
    pub fn begin(&self, address: Option<SocketAddr>) {
        self.failed(BAD_GATEWAY);
        self.began.set(Some(Instant::now()));
        let address = address.map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
        self.attempts.borrow_mut().push(Attempt { address, ..Attempt::default() });
    }

    /// It has a connection, and the request is sent.
    pub fn connected(&self) {
        self.change(|attempt, now| {
            attempt.connect = Some(now);
            attempt.sent = self.request_length.get();
        });
    }

    /// `count` bytes have come that may belong to the response's head.
    pub fn received(&self, count: usize) {
        if let Some(attempt) = self.attempts.borrow_mut().last_mut() {
            attempt.received += count as u64;
        }
    }

    /// The response's head is complete, and `body` bytes of its body have come with it.
    pub fn answered(&self, status: u16, body: usize) {
        self.change(|attempt, now| {
            attempt.status = status;
            attempt.header = Some(now);
            attempt.body = body as u64;
        });
    }

    /// More of the answer's body has come.
    pub fn received_body(&self, count: usize) {
        self.received(count);
        if let Some(attempt) = self.attempts.borrow_mut().last_mut() {
            attempt.body += count as u64;
        }
    }

    /// Instead of an answer there is this status.
    pub fn failed(&self, status: u16) {
        self.change(|attempt, now| {
            if attempt.status == 0 {
                attempt.status = status;
            }
            attempt.response.get_or_insert(now);
        });
    }

    /// Nothing more comes, or is waited for.
    pub fn ended(&self) {
        self.change(|attempt, now| {
            attempt.response.get_or_insert(now);
        });
    }

    /// The tries so far.
    pub(crate) fn attempts(&self) -> Ref<'_, [Attempt]> {
        Ref::map(self.attempts.borrow(), Vec::as_slice)
    }

    fn change(&self, change: impl FnOnce(&mut Attempt, u32)) {
        let mut attempts = self.attempts.borrow_mut();
        if let (Some(attempt), Some(began)) = (attempts.last_mut(), self.began.get()) {
            let millis = began.elapsed().as_millis();
            change(attempt, u32::try_from(millis).unwrap_or(u32::MAX));
        }
    }
}

/// One try to get an answer of XiVO. Times are milliseconds since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Whom it went to; `None` for a unix socket.
    pub address: Option<SocketAddr>,
    /// XiVO's status; 502 and 504 for what came instead of an answer, 0 where nothing was waited for.
    pub status: u16,
    /// Until there was a connection.
    pub connect: Option<u32>,
    /// Until the answer's head had come.
    pub header: Option<u32>,
    /// Until the answer's end.
    pub response: Option<u32>,
    /// Bytes sent to XiVO, TLS not counted.
    pub sent: u64,
    /// Bytes received from XiVO, TLS not counted.
    pub received: u64,
    /// Those behind the answer's head.
    pub body: u64,
}

/// nginx's status for a try that brought no answer.
const BAD_GATEWAY: u16 = 502;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_that_is_followed_by_another_was_a_bad_gateway() {
        let trace = Trace::default();
        trace.received_body(3);
        trace.ended();
        assert!(trace.attempts().is_empty());
        trace.will_send(7);
        trace.begin("[::ffff:192.0.2.1]:80".parse().ok());
        trace.begin("192.0.2.2:80".parse().ok());
        trace.connected();
        trace.received(8);
        trace.received(7);
        trace.answered(200, 5);
        trace.received_body(6);
        trace.failed(504);
        let attempts = trace.attempts();
        assert_eq!(attempts[0].address, "192.0.2.1:80".parse().ok());
        assert_eq!((attempts[0].status, attempts[0].connect, attempts[0].sent), (502, None, 0));
        assert!(attempts[0].response.is_some() && attempts[1].connect.is_some());
        let second = attempts[1];
        assert_eq!((second.status, second.sent, second.received, second.body), (200, 7, 21, 11));
    }
}
