//! A client that sends what it is given, reads answers one by one, and tells an end from a reset.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use super::{http::Answer, process::PATIENCE, xivo::PHONEBOOK};

/// A connection to the gateway.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    came: Vec<u8>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Orderly,
    Reset,
}

/// An answer that did not come to its end.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) end: End,
    pub(crate) came: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::connect_from(to, None)
    }

    pub(crate) fn connect_from(to: SocketAddr, from: Option<IpAddr>) -> Self {
        Self::with_window(to, from, None)
    }

    /// A client that takes little at once.
    pub(crate) fn with_window(to: SocketAddr, from: Option<IpAddr>, window: Option<usize>) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        if let Some(window) = window {
            socket.set_recv_buffer_size(window).unwrap();
        }
        if let Some(from) = from {
            socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        }
        socket.connect(&to.into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        Self { stream: socket.into(), came: Vec::new() }
    }

    /// The far side may have closed already.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Asks for a term, and for the connection to go on.
    pub(crate) fn search(&mut self, term: &str) {
        self.send(search(term));
    }

    /// Asks, and takes the answer.
    pub(crate) fn lookup(&mut self, term: &str) -> Answer {
        self.search(term);
        self.answer()
    }

    /// The next answer, which has to come to its end.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer(true).unwrap_or_else(|cut| panic!("{cut:?}"))
    }

    /// The next answer, to a HEAD.
    pub(crate) fn head_answer(&mut self) -> Answer {
        self.try_answer(false).unwrap_or_else(|cut| panic!("{cut:?}"))
    }

    pub(crate) fn try_answer(&mut self, with_body: bool) -> Result<Answer, Cut> {
        let end = loop {
            if let Some(end) = find(&self.came, b"\r\n\r\n") {
                break end;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.came[..end].to_vec()).unwrap();
        let (status_line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
        let headers: Vec<_> = fields
            .lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let mut at = end + 4;
        if !with_body || matches!(status, 204 | 304) {
            self.came.drain(..at);
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = loop {
                    match find(&self.came[at..], b"\r\n") {
                        Some(line) => break line,
                        None => self.more()?,
                    }
                };
                let size = std::str::from_utf8(&self.came[at..at + line]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                at += line + 2;
                while self.came.len() < at + size + 2 {
                    self.more()?;
                }
                answer.body.extend_from_slice(&self.came[at..at + size]);
                assert_eq!(&self.came[at + size..at + size + 2], b"\r\n");
                at += size + 2;
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.came.len() < at + length {
                self.more()?;
            }
            answer.body = self.came[at..at + length].to_vec();
            at += length;
        } else {
            // The end of the connection is the answer's.
            let cut = loop {
                if let Err(cut) = self.more() {
                    break cut;
                }
            };
            if cut.end != End::Orderly {
                return Err(cut);
            }
            answer.body = cut.came[at..].to_vec();
            return Ok(answer);
        }
        self.came.drain(..at);
        Ok(answer)
    }

    fn more(&mut self) -> Result<(), Cut> {
        let mut buffer = [0; 16384];
        let end = match self.stream.read(&mut buffer) {
            Ok(0) => End::Orderly,
            Ok(count) => {
                self.came.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.came)),
        };
        Err(Cut { end, came: std::mem::take(&mut self.came) })
    }

    /// Waits for the end; nothing more may come before it.
    pub(crate) fn ended(&mut self) -> End {
        let Err(cut) = self.more() else {
            panic!("{:?} came instead of the end", String::from_utf8_lossy(&self.came));
        };
        assert_eq!(String::from_utf8_lossy(&cut.came), "");
        cut.end
    }

    /// Says that it will send no more. Whoever has reset the connection already needs no telling; what has come of it
    /// shows to whoever reads.
    pub(crate) fn half_close(&self) {
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            said => said.unwrap(),
        }
    }

    /// Leaves with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads up to so many bytes and throws them away.
    pub(crate) fn swallow(&mut self, most: usize) -> usize {
        let mut buffer = vec![0; most];
        self.stream.read(&mut buffer).unwrap()
    }
}

/// A search as a peer sends it, the connection to go on.
pub(crate) fn search(term: &str) -> String {
    format!("GET {} HTTP/1.1\r\nHost: gateway\r\n\r\n", target(term))
}

/// The target of a search.
pub(crate) fn target(term: &str) -> String {
    format!("{PHONEBOOK}?act=search&search={term}")
}

/// The target of the whole list.
pub(crate) fn list() -> String {
    format!("{PHONEBOOK}?act=list")
}

/// The target of one contact.
pub(crate) fn view(id: u32) -> String {
    format!("{PHONEBOOK}?act=view&id={id}")
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The problem's word, of a refusal.
pub(crate) fn reason(answer: &Answer) -> String {
    answer.json()["reason"].as_str().unwrap().to_owned()
}
