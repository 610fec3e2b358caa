//! An upstream that keeps every byte that reaches it, and answers each head with a small piece of JSON.
//!
//! One thread polls all connections, so that [`Recorder::take`] can prove a negative: it returns what one pass over all
//! sockets, begun after it was called, has found. Should the kernel of a busy host deliver a byte late, the next `take`
//! has it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

use rustix::event::{PollFd, PollFlags, poll};

/// What it answers: XiVO's form, a length, and a connection that stays.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n";

/// An object where one contact is asked for, and else an array.
fn body(head: &[u8]) -> &'static [u8] {
    if head.windows(9).any(|part| part == b"?act=view") { b"{}" } else { b"[]" }
}

/// What came since the last look.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// Whole heads, each with its empty line, in the order in which they came.
    pub(crate) heads: Vec<Vec<u8>>,
    /// Bytes that are no whole head: there must never be any.
    pub(crate) rest: Vec<u8>,
}

/// The running upstream; ended on drop.
#[derive(Debug)]
pub(crate) struct Recorder {
    address: SocketAddr,
    wake: Option<UnixStream>,
    seen: Receiver<Recorded>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (wake, woken) = UnixStream::pair().unwrap();
        let (send, seen) = channel();
        let thread = std::thread::spawn(move || serve(&listener, &woken, &send));
        Self { address, wake: Some(wake), seen, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that has come since the last call.
    pub(crate) fn take(&self) -> Recorded {
        self.wake.as_ref().unwrap().write_all(b"?").unwrap();
        self.seen.recv().unwrap()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.wake = None;
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the recording upstream failed");
    }
}

/// Ends when the other side of `woken` is gone.
fn serve(listener: &TcpListener, mut woken: &UnixStream, send: &Sender<Recorded>) {
    listener.set_nonblocking(true).unwrap();
    let mut connections: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    let mut recorded = Recorded::default();
    loop {
        let mut sockets =
            vec![PollFd::new(woken, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
        sockets.extend(connections.iter().map(|(stream, _)| PollFd::new(stream, PollFlags::IN)));
        poll(&mut sockets, None).unwrap();
        // Before the pass: what is asked for now is answered from what the pass finds.
        let asked = !sockets[0].revents().is_empty();
        if asked && woken.read(&mut [0]).unwrap() == 0 {
            return;
        }
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            connections.push((stream, Vec::new()));
        }
        connections.retain_mut(|(stream, buffer)| {
            let open = read_all(stream, buffer);
            while let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = buffer.drain(..end + 4).collect();
                // The gateway may have gone; what it sent was recorded.
                let _ = stream.write_all(&[ANSWER, body(&head)].concat());
                recorded.heads.push(head);
            }
            if !open {
                recorded.rest.append(buffer);
            }
            open
        });
        if asked {
            for (_, buffer) in &mut connections {
                recorded.rest.append(buffer);
            }
            send.send(std::mem::take(&mut recorded)).unwrap();
        }
    }
}

/// Reads what there is; `false` at the end of the connection.
fn read_all(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return false,
            Ok(count) => buffer.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
