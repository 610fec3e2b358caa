//! An upstream that is XiVO, but for the terms that say what it does wrong.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{JoinHandle, spawn},
    time::Duration,
};

use super::{Case, Then, case, last, search};
use crate::support::process::PATIENCE;

/// What begins a term that is an order.
const ORDER: &str = "order-";
/// A term that XiVO is asked for with a connection that ends behind it.
const LAST: &str = "the-last-one";

/// What the upstream sends for an order, and whether it keeps the connection open after it.
const ANSWERS: &[(&str, &[u8], After)] = &[
    ("closes", b"", After::Closes),
    ("resets", b"", After::Resets),
    ("waits", b"", After::Waits),
    ("tells", b"", After::Tells),
    ("no-http", b"nonsense\r\n\r\n", After::Closes),
    ("half-head", b"HTTP/1.1 200 OK\r\nContent-Ty", After::Closes),
    ("500", b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", After::Closes),
    ("502", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", After::Closes),
    ("503", b"HTTP/1.1 503 Later\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", After::Closes),
    ("302", b"HTTP/1.1 302 Found\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n", After::Closes),
    ("401", b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", After::Closes),
    ("403", b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", After::Closes),
    ("404", b"HTTP/1.1 404 Nothing\r\nContent-Length: 2\r\n\r\nno", After::Closes),
    ("201", b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\n[]", After::Closes),
    ("299", b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\n[]", After::Closes),
    ("418", b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\n[]", After::Closes),
    ("204", b"HTTP/1.1 204 None\r\n\r\n", After::Closes),
    ("304", b"HTTP/1.1 304 Same\r\n\r\n", After::Closes),
    ("empty", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n", After::Closes),
    ("json", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]", After::Closes),
    ("extension", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n[]\r\n0\r\n\r\n", After::Closes),
    ("html", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", After::Closes),
    ("no-length", b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[1]", After::Closes),
    ("line-feeds", b"HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 2\n\n[]", After::Closes),
    ("chunks", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n", After::Closes),
    ("cut-body", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[1234,6789", After::Closes),
    ("cut-chunk", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n[1234,6789", After::Closes),
    ("bad-chunk", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]", After::Closes),
];

/// What it does behind its bytes.
#[derive(Clone, Copy, PartialEq)]
enum After {
    Closes,
    Resets,
    Waits,
    /// Waits, and lets the test know.
    Tells,
}

/// The upstream's address, and who tells that a question was read to which nothing will be answered.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    waits: Mutex<Receiver<()>>,
    given_up: Mutex<Receiver<()>>,
    ending: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Passes on to `xivo` what is no order. Its thread ends with the test.
    pub(super) fn before(xivo: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ((waiting, waits), (leaving, given_up)) = (channel(), channel());
        let ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&ending);
        let accepting = spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (waiting, leaving) = (waiting.clone(), leaving.clone());
                spawn(move || serve(stream.unwrap(), xivo, &waiting, &leaving));
            }
        });
        let (waits, given_up) = (Mutex::new(waits), Mutex::new(given_up));
        Self { address, waits, given_up, ending, accepting }
    }

    /// No more connections come in.
    pub(super) fn close(self) {
        self.ending.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.accepting.join().unwrap();
    }

    /// Waits until a question was read that is not answered.
    pub(super) fn await_question(&self) {
        self.waits.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    }

    /// Waits until whoever asked it has closed.
    pub(super) fn await_its_end(&self) {
        self.given_up.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    }
}

/// One connection.
fn serve(mut asker: TcpStream, xivo: SocketAddr, waiting: &Sender<()>, leaving: &Sender<()>) {
    let mut kept: Option<TcpStream> = None;
    while let Some(mut question) = question(&mut asker) {
        let text = String::from_utf8_lossy(&question).into_owned();
        let order = text.split_once(ORDER).map(|(_, rest)| rest);
        let answer = order.and_then(|rest| {
            ANSWERS.iter().find(|(name, ..)| rest.strip_prefix(name).is_some_and(ends_word))
        });
        if let Some((_, bytes, after)) = answer {
            // Where an answer ends, so does its connection: none is kept that is gone when it is used again.
            let text = bytes.to_vec();
            let closing = match bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(end) if bytes.starts_with(b"HTTP/") => {
                    [&text[..end], b"\r\nConnection: close", &text[end..]].concat()
                }
                _ => text,
            };
            let _ = asker.write_all(&closing);
            match after {
                After::Closes => {}
                After::Resets => {
                    socket2::SockRef::from(&asker).set_linger(Some(Duration::ZERO)).unwrap();
                }
                After::Waits => drop(asker.read(&mut [0])),
                After::Tells => {
                    let _ = waiting.send(());
                    let _ = asker.read(&mut [0]);
                    let _ = leaving.send(());
                }
            }
            return;
        }
        if text.contains(LAST) {
            let end = question.len() - 2;
            question.splice(end..end, *b"Connection: close\r\n");
        }
        let xivo = kept.get_or_insert_with(|| {
            let xivo = TcpStream::connect(xivo).unwrap();
            let (mut from, mut to) = (xivo.try_clone().unwrap(), asker.try_clone().unwrap());
            spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            xivo
        });
        if xivo.write_all(&question).is_err() {
            return;
        }
    }
    if let Some(xivo) = kept {
        let _ = xivo.shutdown(Shutdown::Both);
    }
}

fn ends_word(rest: &str) -> bool {
    rest.starts_with([' ', '&'])
}

/// A head, and as much behind it as it says.
fn question(asker: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        asker.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    asker.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(bytes)
}

/// One case for each order, and clients that leave.
pub(super) fn all() -> Vec<Case> {
    let of = |order| last("GET", search(&format!("{ORDER}{order}")), "User-Agent: behind\r\n");
    let plain = ANSWERS.iter().filter(|(.., after)| *after != After::Tells);
    let names = plain.map(|(order, ..)| (*order, name_of(order)));
    let mut cases = vec![case("the last that XiVO answers", last("GET", search(LAST), ""))];
    cases.extend(names.map(|(order, name)| case(name, of(order))));
    cases.push(case("a client that leaves", of("tells")).then(Then::ResetWhenAsked));
    let second = [
        format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", search(&format!("{ORDER}json")))
            .into_bytes(),
        of("tells"),
    ];
    cases.push(
        case("a client that leaves in its second", second.concat()).then(Then::ResetWhenAsked),
    );
    for (name, order) in [
        ("upstream: head of a 500", "500"),
        ("upstream: head of html", "html"),
        ("upstream: head of chunks", "chunks"),
    ] {
        let target = search(&format!("{ORDER}{order}"));
        cases.push(case(name, last("HEAD", target, "")));
    }
    cases
}

fn name_of(order: &str) -> &'static str {
    Box::leak(format!("upstream: {order}").into_boxed_str())
}
