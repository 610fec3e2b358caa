//! A XiVO that behaves as a test says: each of its connections runs a function that reads requests and sends bytes.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{JoinHandle, spawn},
    time::Duration,
};

use socket2::SockRef;

use super::process::{PATIENCE, becomes_true};

/// A listening socket on a free port of 127.0.0.1, and a thread for each of its connections.
#[derive(Debug)]
pub(crate) struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ending: AtomicBool,
    /// Every request's head, with the number of the connection that it came on, in order.
    requests: Mutex<Vec<(usize, String)>>,
    streams: Mutex<HashMap<usize, TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    ended: Mutex<Vec<usize>>,
    sent: AtomicUsize,
}

/// One connection of the gateway's. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// 0 for the first.
    pub(crate) number: usize,
    stream: TcpStream,
    shared: Arc<Shared>,
}

impl Scripted {
    /// Runs `script` for each connection.
    pub(crate) fn start(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let script = Arc::new(script);
        let accepting = {
            let shared = Arc::clone(&shared);
            spawn(move || {
                for (number, stream) in listener.incoming().enumerate() {
                    let stream = stream.unwrap();
                    if shared.ending.load(Ordering::SeqCst) {
                        return;
                    }
                    stream.set_read_timeout(Some(3 * PATIENCE)).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let kept = stream.try_clone().unwrap();
                    let mut connection = Connection { number, stream, shared: Arc::clone(&shared) };
                    let script = Arc::clone(&script);
                    shared.streams.lock().unwrap().insert(number, kept);
                    shared.threads.lock().unwrap().push(spawn(move || {
                        script(&mut connection);
                        let shared = Arc::clone(&connection.shared);
                        shared.streams.lock().unwrap().remove(&number);
                        drop(connection);
                        shared.ended.lock().unwrap().push(number);
                    }));
                }
            })
        };
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Answers every request with `answer` made from its search term, and keeps connections open.
    pub(crate) fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |connection| {
            while let Some(head) = connection.request() {
                if !connection.send(&answer(term(&head))) {
                    return;
                }
            }
        })
    }

    /// A phonebook that finds what was searched for.
    pub(crate) fn well() -> Self {
        Self::answering(found)
    }

    /// The same, but it waits at the door before it answers `slow`.
    pub(crate) fn slow(door: &Door) -> Self {
        let door = door.clone();
        Self::answering(move |term| {
            if term == "slow" {
                door.pass();
            }
            found(term)
        })
    }

    /// How many pieces have been sent, whether the gateway has read them or not.
    pub(crate) fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connection number and the head of each request so far.
    pub(crate) fn requests(&self) -> Vec<(usize, String)> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The connection numbers of the requests for this term.
    pub(crate) fn attempts(&self, searched: &str) -> Vec<usize> {
        let requests = self.requests();
        let asked = requests.iter().filter(|(_, head)| term(head) == searched);
        asked.map(|(number, _)| *number).collect()
    }

    /// Whether the script of this connection has ended, after waiting for it.
    pub(crate) fn ends(&self, number: usize) -> bool {
        becomes_true(|| self.shared.ended.lock().unwrap().contains(&number))
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in self.shared.streams.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let threads = std::mem::take(&mut *self.shared.threads.lock().unwrap());
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Connection {
    /// Reads a request's head. `None` when the gateway has closed or reset the connection.
    pub(crate) fn request(&mut self) -> Option<String> {
        let head = self.forgotten_request()?;
        self.shared.requests.lock().unwrap().push((self.number, head.clone()));
        Some(head)
    }

    /// The same, and keeps no memory of it.
    pub(crate) fn forgotten_request(&mut self) -> Option<String> {
        let mut head = Vec::new();
        let mut byte = [0; 4096];
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(0) | Err(_) => return None,
                Ok(count) => head.extend_from_slice(&byte[..count]),
            }
        }
        Some(String::from_utf8(head).unwrap())
    }

    /// Waits for the first byte of something, and reads it alone.
    pub(crate) fn byte(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(1))
    }

    /// Says whether the gateway still took it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = self.stream.write_all(bytes).is_ok();
        self.shared.sent.fetch_add(1, Ordering::SeqCst);
        sent
    }

    /// Lets it end with a reset.
    pub(crate) fn will_reset(&self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads and throws away until the gateway ends the connection.
    pub(crate) fn until_ended(&mut self) {
        let mut buffer = [0; 4096];
        while matches!(self.stream.read(&mut buffer), Ok(1..)) {}
    }
}

/// The search term of a request's head as it stands there.
pub(crate) fn term(head: &str) -> &str {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let term = target.split_once("search&search=").map_or("", |(_, term)| term);
    term.split('&').next().unwrap_or_default()
}

/// An answer as XiVO's nginx frames it.
pub(crate) fn json(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An answer that says what was searched for.
pub(crate) fn found(term: &str) -> Vec<u8> {
    json(&found_body(term))
}

pub(crate) fn found_body(term: &str) -> String {
    format!("[{{\"term\":\"{term}\"}}]")
}

/// A door that scripts wait at until the test opens it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let closed = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(closed, 3 * PATIENCE, |open| !*open);
        drop(waited.unwrap());
    }
}
