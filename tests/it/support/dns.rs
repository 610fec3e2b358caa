//! A name server on loopback, over UDP and TCP, that answers as a test says: rightly, wrongly, late or never.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, spawn},
};

/// Record types, and what no zone of ours has.
pub(crate) const A: u16 = 1;
const CNAME: u16 = 5;
pub(crate) const AAAA: u16 = 28;

/// Codes of answers.
pub(crate) const SERVFAIL: u8 = 2;
pub(crate) const NXDOMAIN: u8 = 3;
pub(crate) const REFUSED: u8 = 5;

/// What is said to a question for a name.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// These addresses, those of the family that was asked for.
    Addresses(Vec<IpAddr>),
    /// The same at the end of a chain of aliases.
    Aliased(Vec<String>, Vec<IpAddr>),
    /// Over UDP that it is too long, over TCP these.
    Truncated(Vec<IpAddr>),
    /// First these bytes, made from the question, then the addresses.
    After(fn(&Question) -> Vec<u8>, Vec<IpAddr>),
    /// Nothing but a code.
    Code(u8),
    /// The addresses of IPv4 or IPv6, and for the other family something else.
    Half(Vec<IpAddr>, Box<Self>),
    /// Bytes made from the question.
    Bytes(fn(&Question) -> Vec<u8>),
    /// Nothing.
    Silence,
}

/// The addresses in this text, between blanks.
pub(crate) fn ips(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(|ip| ip.parse().unwrap()).collect()
}

impl Say {
    pub(crate) fn addresses(text: &str) -> Self {
        Self::Addresses(ips(text))
    }
}

/// A question as it came.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    bytes: Vec<u8>,
    pub(crate) name: String,
    pub(crate) record: u16,
    pub(crate) tcp: bool,
}

impl Question {
    fn read(bytes: &[u8], tcp: bool) -> Self {
        let mut at = 12;
        let mut labels = Vec::new();
        while bytes[at] != 0 {
            let end = at + 1 + usize::from(bytes[at]);
            labels.push(std::str::from_utf8(&bytes[at + 1..end]).unwrap());
            at = end;
        }
        let record = u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]);
        // The question ends behind its type and class; what follows (EDNS) is not answered.
        Self { name: labels.join("."), record, tcp, bytes: bytes[..at + 5].to_vec() }
    }

    fn has(&self, address: &IpAddr) -> bool {
        (self.record == A && address.is_ipv4()) || (self.record == AAAA && address.is_ipv6())
    }

    /// An answer with this code and these records; `second` and `third` byte of flags are as of a resolver.
    pub(crate) fn answer(&self, code: u8, records: &[Vec<u8>]) -> Vec<u8> {
        let count = u16::try_from(records.len()).unwrap().to_be_bytes();
        let mut answer = self.bytes.clone();
        answer[2] = 0x81;
        answer[3] = 0x80 | code;
        answer[4..12].copy_from_slice(&[0, 1, count[0], count[1], 0, 0, 0, 0]);
        records.iter().for_each(|record| answer.extend(record));
        answer
    }

    /// The addresses among these that were asked for, as an answer.
    pub(crate) fn answer_with(&self, addresses: &[IpAddr], ttl: u32) -> Vec<u8> {
        self.answer(0, &self.records(&self.name, addresses, ttl))
    }

    fn records(&self, owner: &str, addresses: &[IpAddr], ttl: u32) -> Vec<Vec<u8>> {
        let record = |address: &IpAddr| match address {
            IpAddr::V4(v4) => record(owner, A, ttl, &v4.octets()),
            IpAddr::V6(v6) => record(owner, AAAA, ttl, &v6.octets()),
        };
        addresses.iter().filter(|address| self.has(address)).map(record).collect()
    }

    fn aliased(&self, chain: &[String], addresses: &[IpAddr], ttl: u32) -> Vec<u8> {
        let mut records = Vec::new();
        let mut owner = self.name.clone();
        for alias in chain {
            records.push(record(&owner, CNAME, ttl, &encoded(alias)));
            owner.clone_from(alias);
        }
        records.extend(self.records(&owner, addresses, ttl));
        self.answer(0, &records)
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A record of a name, without compression.
pub(crate) fn record(owner: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let kind = kind.to_be_bytes();
    let mut bytes = encoded(owner);
    bytes.extend([kind[0], kind[1], 0, 1]);
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(data);
    bytes
}

#[derive(Debug, Default)]
struct Inner {
    ending: AtomicBool,
    /// What is said of a name, and how long it lives; of all others nothing is known.
    says: Mutex<HashMap<String, (Say, u32)>>,
    asked: Mutex<Vec<Question>>,
    /// While it holds answers back, where they go.
    held: Mutex<Option<Vec<(Question, SocketAddr)>>>,
}

/// The server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct NameServer {
    address: SocketAddr,
    udp: UdpSocket,
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    /// One that knows no name.
    pub(crate) fn start() -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().unwrap();
        let inner = Arc::new(Inner::default());
        let answering = udp.try_clone().unwrap();
        let (for_udp, for_tcp) = (Arc::clone(&inner), Arc::clone(&inner));
        let threads = vec![
            spawn(move || serve_udp(&answering, &for_udp)),
            spawn(move || serve_tcp(&tcp, &for_tcp)),
        ];
        Self { address, udp, inner, threads }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is said of the name, good for so many seconds.
    pub(crate) fn says_for(&self, name: &str, say: Say, ttl: u32) {
        self.inner.says.lock().unwrap().insert(name.to_owned(), (say, ttl));
    }

    /// The same for a minute.
    pub(crate) fn says(&self, name: &str, say: Say) {
        self.says_for(name, say, 60);
    }

    /// The questions so far.
    pub(crate) fn asked(&self) -> Vec<Question> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// How often it was asked for a name.
    pub(crate) fn times_asked(&self, name: &str) -> usize {
        self.asked().iter().filter(|question| question.name == name).count()
    }

    /// Answers nothing over UDP until it is released.
    pub(crate) fn hold(&self) {
        self.inner.held.lock().unwrap().get_or_insert_with(Vec::new);
    }

    /// The questions that were held back.
    pub(crate) fn held(&self) -> usize {
        self.inner.held.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    /// Answers what was held back, and what comes from now on.
    pub(crate) fn unhold(&self) {
        let held = self.inner.held.lock().unwrap().take();
        for (question, to) in held.into_iter().flatten() {
            say(&self.udp, &self.inner, &question, to);
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.inner.ending.store(true, Ordering::SeqCst);
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[], self.address));
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A UDP and a TCP socket of one port.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

fn serve_udp(socket: &UdpSocket, inner: &Inner) {
    let mut buffer = [0; 4096];
    loop {
        // A client that has closed its socket makes receiving fail once.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if inner.ending.load(Ordering::SeqCst) {
            return;
        }
        let question = Question::read(&buffer[..length], false);
        inner.asked.lock().unwrap().push(question.clone());
        if let Some(held) = inner.held.lock().unwrap().as_mut() {
            held.push((question, from));
            continue;
        }
        say(socket, inner, &question, from);
    }
}

fn say(socket: &UdpSocket, inner: &Inner, question: &Question, to: SocketAddr) {
    for bytes in inner.answers(question) {
        let _ = socket.send_to(&bytes, to);
    }
}

fn serve_tcp(listener: &TcpListener, inner: &Inner) {
    for stream in listener.incoming() {
        if inner.ending.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            continue;
        }
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut bytes).unwrap();
        let question = Question::read(&bytes, true);
        inner.asked.lock().unwrap().push(question.clone());
        for bytes in inner.answers(&question) {
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            // In two pieces, as a network may cut it.
            let (first, second) = bytes.split_at(bytes.len() / 2);
            let _ = stream.write_all(&[&length, first].concat());
            let _ = stream.write_all(second);
        }
    }
}

impl Inner {
    fn answers(&self, question: &Question) -> Vec<Vec<u8>> {
        let said = self.says.lock().unwrap().get(&question.name).cloned();
        let (said, ttl) = said.unwrap_or((Say::Code(NXDOMAIN), 0));
        answers(question, &said, ttl)
    }
}

fn answers(question: &Question, said: &Say, ttl: u32) -> Vec<Vec<u8>> {
    match said {
        Say::Addresses(addresses) => vec![question.answer_with(addresses, ttl)],
        Say::Aliased(chain, addresses) => vec![question.aliased(chain, addresses, ttl)],
        Say::Truncated(_) if !question.tcp => {
            let mut answer = question.answer(0, &[]);
            answer[2] |= 2;
            vec![answer]
        }
        Say::Truncated(addresses) => vec![question.answer_with(addresses, ttl)],
        Say::After(first, addresses) => {
            vec![first(question), question.answer_with(addresses, ttl)]
        }
        Say::Code(code) => vec![question.answer(*code, &[])],
        Say::Half(addresses, other) => match addresses.iter().any(|ip| question.has(ip)) {
            true => vec![question.answer_with(addresses, ttl)],
            false => answers(question, other, ttl),
        },
        Say::Bytes(make) => vec![make(question)],
        Say::Silence => Vec::new(),
    }
}
