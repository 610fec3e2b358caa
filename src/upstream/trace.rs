//! How a request to XiVO went, recorded while it happens: each try with its times and bytes.

use std::cell::{Cell, Ref, RefCell};
use std::net::SocketAddr;

use tokio::time::Instant;

/// The tries of one request. It outlives the asking, which may be given up at any time.
#[derive(Debug, Default)]
pub struct Trace {
    attempts: RefCell<Vec<Attempt>>,
    /// When each of them began.
    began: RefCell<Vec<Instant>>,
    /// The bytes that are sent once there is a connection.
    request_length: Cell<u64>,
}

impl Trace {
    /// Sets the length of the request that will be sent, in bytes.
    pub fn will_send(&self, length: usize) {
        self.request_length.set(length as u64);
    }

    /// A try begins, at this address; says which one it is. A previous one that had a connection has failed; one
    /// that has none yet goes on beside it.
    pub fn begin(&self, address: Option<SocketAddr>) -> usize {
        if self.attempts.borrow().last().is_some_and(|attempt| attempt.connect.is_some()) {
            self.failed(BAD_GATEWAY);
        }
        self.began.borrow_mut().push(Instant::now());
        let address = address.map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
        let mut attempts = self.attempts.borrow_mut();
        attempts.push(Attempt { address, ..Attempt::default() });
        attempts.len() - 1
    }

    /// This try has a connection, and the request is sent. It is the last one then; those beside it are given up.
    pub fn connected(&self, nth: usize) {
        self.ended();
        {
            let (mut attempts, mut began) = (self.attempts.borrow_mut(), self.began.borrow_mut());
            if let Some(tail) = attempts.get_mut(nth..) {
                tail.rotate_left(1.min(tail.len()));
            }
            if let Some(tail) = began.get_mut(nth..) {
                tail.rotate_left(1.min(tail.len()));
            }
        }
        self.change(|attempt, now| {
            attempt.connect = Some(now);
            attempt.response = None;
            attempt.sent = self.request_length.get();
        });
    }

    /// This try came to nothing.
    pub fn refused(&self, nth: usize) {
        self.change_where(
            |at, _| at == nth,
            |attempt, now| {
                attempt.status = BAD_GATEWAY;
                attempt.response = Some(now);
            },
        );
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
        self.change_where(
            |_, attempt| attempt.response.is_none(),
            |attempt, now| {
                if attempt.status == 0 {
                    attempt.status = status;
                }
                attempt.response = Some(now);
            },
        );
    }

    /// Nothing more comes, or is waited for.
    pub fn ended(&self) {
        self.change_where(
            |_, attempt| attempt.response.is_none(),
            |attempt, now| {
                attempt.response = Some(now);
            },
        );
    }

    /// The tries so far.
    pub(crate) fn attempts(&self) -> Ref<'_, [Attempt]> {
        Ref::map(self.attempts.borrow(), Vec::as_slice)
    }

    fn change(&self, change: impl FnOnce(&mut Attempt, u32)) {
        let mut attempts = self.attempts.borrow_mut();
        if let (Some(attempt), Some(began)) = (attempts.last_mut(), self.began.borrow().last()) {
            change(attempt, millis_since(*began));
        }
    }

    fn change_where(
        &self,
        which: impl Fn(usize, &Attempt) -> bool,
        change: impl Fn(&mut Attempt, u32),
    ) {
        let (mut attempts, began) = (self.attempts.borrow_mut(), self.began.borrow());
        for (nth, (attempt, began)) in attempts.iter_mut().zip(began.iter()).enumerate() {
            if which(nth, attempt) {
                change(attempt, millis_since(*began));
            }
        }
    }
}

fn millis_since(began: Instant) -> u32 {
    u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX)
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
    fn a_try_that_came_to_nothing_was_a_bad_gateway() {
        let trace = Trace::default();
        trace.received_body(3);
        trace.ended();
        assert!(trace.attempts().is_empty());
        trace.will_send(7);
        let first = trace.begin("[::ffff:192.0.2.1]:80".parse().ok());
        trace.refused(first);
        let second = trace.begin("192.0.2.2:80".parse().ok());
        trace.connected(second);
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

    #[test]
    fn of_tries_beside_each_other_the_one_that_was_used_is_the_last() {
        let trace = Trace::default();
        let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 80));
        let first = trace.begin(Some(address(1)));
        trace.begin(Some(address(2)));
        trace.begin(Some(address(3)));
        trace.connected(first);
        trace.answered(200, 0);
        trace.ended();
        let shown = |attempts: &[Attempt]| -> Vec<_> {
            attempts
                .iter()
                .map(|it| (it.address.unwrap(), it.status, it.response.is_some()))
                .collect()
        };
        let given_up = [(address(2), 0, true), (address(3), 0, true)];
        let expected = [&given_up[..], &[(address(1), 200, true)]].concat();
        assert_eq!(shown(&trace.attempts()), expected);
        // A connection that had been used before ended, and another one follows.
        let next = trace.begin(Some(address(1)));
        trace.connected(next);
        let fresh = trace.begin(Some(address(2)));
        trace.connected(fresh);
        trace.failed(504);
        let statuses: Vec<_> = trace.attempts().iter().map(|it| it.status).collect();
        assert_eq!(statuses, [0, 0, 200, 502, 504]);
    }
}
