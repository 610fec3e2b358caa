//! A client for one exchange per connection: sends the bytes it is given, reads to the end, checks nothing.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

use super::process::PATIENCE;

/// One answer, its chunks joined.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// GET with `Host: localhost`.
pub(crate) fn get(to: SocketAddr, target: &str) -> Answer {
    request(to, None, "GET", target, "")
}

/// One request with `Host: localhost`, these further header lines (each ended by CRLF), and from this address.
pub(crate) fn request(
    to: SocketAddr,
    from: Option<IpAddr>,
    method: &str,
    target: &str,
    lines: &str,
) -> Answer {
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n"
    );
    exchange(to, from, head.as_bytes())
}

/// Sends these bytes and reads until the far side closes.
pub(crate) fn exchange(to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) -> Answer {
    let mut stream = connect(to, from).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    read_answer(&answer)
}

fn connect(to: SocketAddr, from: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect(&to.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// All answers of one connection; `head_only` for answers to HEAD, which say a length and have nothing after it.
pub(crate) fn read_answers(mut bytes: &[u8], head_only: bool) -> Result<Vec<Answer>, &'static str> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or("half an answer's head")?;
        let mut answer = read_answer(&bytes[..end + 4]);
        bytes = &bytes[end + 4..];
        let length = answer.header("content-length").map_or(Ok(0), str::parse::<usize>);
        let length = if head_only { 0 } else { length.map_err(|_| "a length that is none")? };
        answer.body = bytes.get(..length).ok_or("half an answer's body")?.to_vec();
        bytes = &bytes[length..];
        answers.push(answer);
    }
    Ok(answers)
}

pub(crate) fn read_answer(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer's head in {:?}", String::from_utf8_lossy(bytes)));
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let (status_line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let headers: Vec<_> = fields
        .lines()
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = join_chunks(&answer.body);
    }
    answer
}

fn join_chunks(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    // A HEAD answer says `chunked` and has nothing after it.
    while !bytes.is_empty() {
        let end = bytes.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        let chunk = end + 2;
        body.extend_from_slice(&bytes[chunk..chunk + size]);
        bytes = &bytes[chunk + size + 2..];
    }
    body
}
