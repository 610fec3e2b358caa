//! Name servers on loopback: one that says what a test wants, lies included, and Debian's dnsmasq.

use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, spawn},
};

use domain::{
    base::{
        Message, MessageBuilder, Name, Rtype, Ttl,
        iana::{Class, Rcode},
    },
    rdata::{A, Aaaa, Cname},
};
use phonebook_gateway::resolver::{Outcome, Source};
use tempfile::TempDir;

use super::{
    needs::{Missing, program},
    process::{Process, becomes_true},
};

/// What is said of a name.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These addresses, for so many seconds.
    Has(Vec<IpAddr>, u32),
    /// It is another name, which has these; an address of a third name stands beside them.
    Alias(Vec<IpAddr>, u32),
    /// The IPv4 addresses; the other question fails.
    HalfFails(Vec<IpAddr>),
    Fails(Rcode),
    /// Nothing.
    Silent,
    /// These, to the wrong question: another id.
    WrongId(Vec<IpAddr>),
    /// These, to the question for another name.
    OtherQuestion(Vec<IpAddr>),
    /// Over UDP that it is too long; these over TCP.
    TooLong(Vec<IpAddr>),
    /// No addresses, and that others would know.
    Referral,
    /// Something that is no DNS.
    Garbage,
    /// Whatever this makes of the question.
    Raw(Answers),
}

/// Makes datagrams of a question.
pub(crate) type Answers = fn(&Question) -> Vec<Vec<u8>>;

/// A question as it came.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    bytes: Vec<u8>,
    pub(crate) name: String,
    pub(crate) rtype: Rtype,
    pub(crate) over_tcp: bool,
}

impl Question {
    fn read(bytes: &[u8], over_tcp: bool) -> Self {
        let query = Message::from_octets(bytes).unwrap();
        let question = query.sole_question().unwrap();
        let name = question.qname().to_string().trim_end_matches('.').to_owned();
        Self { bytes: bytes.to_vec(), name, rtype: question.qtype(), over_tcp }
    }

    fn asked(&self) -> Asked<'_> {
        (Message::from_octets(self.bytes.as_slice()).unwrap(), &self.name, self.rtype)
    }

    /// Those of these addresses that were asked for.
    pub(crate) fn answer(&self, has: &[&str]) -> Vec<u8> {
        self.answer_of(&[(&self.name, has)])
    }

    /// The same, of these names.
    pub(crate) fn answer_of(&self, names: &[(&str, &[&str])]) -> Vec<u8> {
        let (query, _, rtype) = self.asked();
        let mut answer = MessageBuilder::new_vec().start_answer(&query, Rcode::NOERROR).unwrap();
        answer.header_mut().set_ra(true);
        for (name, has) in names {
            let has: Vec<IpAddr> = has.iter().map(|text| text.parse().unwrap()).collect();
            push(&mut answer, name, rtype, &has, 60);
        }
        answer.finish()
    }

    /// A chain of aliases that begins with the name, with addresses at its end.
    pub(crate) fn chain(&self, chain: &[&str], has: &[&str]) -> Vec<u8> {
        let (query, name, rtype) = self.asked();
        let mut answer = MessageBuilder::new_vec().start_answer(&query, Rcode::NOERROR).unwrap();
        answer.header_mut().set_ra(true);
        let mut owner = name;
        for to in chain {
            let named = |text: &str| text.parse::<Name<Vec<u8>>>().unwrap();
            let cname = Cname::new(named(to));
            answer.push((named(owner), Class::IN, Ttl::from_secs(60), cname)).unwrap();
            owner = to;
        }
        let has: Vec<IpAddr> = has.iter().map(|text| text.parse().unwrap()).collect();
        push(&mut answer, owner, rtype, &has, 60);
        answer.finish()
    }

    /// Nothing but a code.
    pub(crate) fn fails(&self, rcode: Rcode) -> Vec<u8> {
        answer(self.asked(), rcode, &[], 0)
    }
}

/// Addresses from text, for a minute.
pub(crate) fn has(addresses: &[&str]) -> Says {
    Says::Has(addresses.iter().map(|text| text.parse().unwrap()).collect(), 60)
}

/// A name server that says what it was told to.
#[derive(Debug)]
pub(crate) struct NameServer {
    address: SocketAddr,
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Questions, and whose they are.
type Held = Vec<(Vec<u8>, SocketAddr)>;

#[derive(Debug)]
struct Shared {
    names: Mutex<HashMap<String, Says>>,
    others: Mutex<Says>,
    asked: Mutex<HashMap<String, usize>>,
    questions: Mutex<Vec<Question>>,
    /// While answers are held back.
    held: Mutex<Option<Held>>,
    ending: AtomicBool,
}

impl NameServer {
    /// One that knows no name.
    pub(crate) fn start() -> Self {
        let (udp, tcp, address) = sockets();
        let shared = Arc::new(Shared {
            names: Mutex::default(),
            others: Mutex::new(Says::Fails(Rcode::NXDOMAIN)),
            asked: Mutex::default(),
            questions: Mutex::default(),
            held: Mutex::default(),
            ending: AtomicBool::new(false),
        });
        let over_udp = Arc::clone(&shared);
        let udp = Arc::new(udp);
        let socket = Arc::clone(&udp);
        let over_tcp = Arc::clone(&shared);
        let threads = vec![
            spawn(move || {
                let mut buffer = [0; 2048];
                while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                    if over_udp.ending.load(Ordering::SeqCst) {
                        return;
                    }
                    if let Some(held) = over_udp.held.lock().unwrap().as_mut() {
                        held.push((buffer[..length].to_vec(), from));
                        continue;
                    }
                    over_udp.say(&udp, &buffer[..length], from);
                }
            }),
            spawn(move || {
                for stream in tcp.incoming() {
                    if over_tcp.ending.load(Ordering::SeqCst) {
                        return;
                    }
                    let _ = over_tcp.serve(&mut stream.unwrap());
                }
            }),
        ];
        Self { address, socket, shared, threads }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is said of the name.
    pub(crate) fn says(&self, name: &str, what: Says) {
        self.shared.names.lock().unwrap().insert(name.to_owned(), what);
    }

    /// From now on this is said of all names, whatever was said of them before.
    pub(crate) fn says_of_all(&self, what: Says) {
        self.shared.names.lock().unwrap().clear();
        *self.shared.others.lock().unwrap() = what;
    }

    /// How many questions have come for the name.
    pub(crate) fn asked_for(&self, name: &str) -> usize {
        self.shared.asked.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    /// The questions that were answered, or should have been.
    pub(crate) fn questions(&self) -> Vec<Question> {
        self.shared.questions.lock().unwrap().clone()
    }

    /// Holds its answers back.
    pub(crate) fn hold(&self) {
        self.shared.held.lock().unwrap().get_or_insert_with(Vec::new);
    }

    /// How many questions wait.
    pub(crate) fn held(&self) -> usize {
        self.shared.held.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    /// Answers those, and what comes from now on.
    pub(crate) fn release(&self) {
        let held = self.shared.held.lock().unwrap().take();
        for (question, to) in held.into_iter().flatten() {
            self.shared.say(&self.socket, &question, to);
        }
    }

    /// How many questions have come.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.lock().unwrap().values().sum()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = socket.send_to(b"", self.address);
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the name server failed");
        }
    }
}

/// One port for both transports.
fn sockets() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if let Ok(udp) = UdpSocket::bind(address) {
            return (udp, tcp, address);
        }
    }
}

impl Shared {
    fn say(&self, socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
        for answer in self.answer(bytes, false) {
            // Who asked may be gone.
            let _ = socket.send_to(&answer, to);
        }
    }

    /// The datagrams that answer this one.
    fn answer(&self, bytes: &[u8], over_tcp: bool) -> Vec<Vec<u8>> {
        let query = Message::from_octets(bytes).unwrap();
        let question = query.sole_question().unwrap();
        let name = question.qname().to_string().trim_end_matches('.').to_owned();
        *self.asked.lock().unwrap().entry(name.clone()).or_default() += 1;
        let whole = Question::read(bytes, over_tcp);
        self.questions.lock().unwrap().push(whole.clone());
        let said = self.names.lock().unwrap().get(&name).cloned();
        let says = said.unwrap_or_else(|| self.others.lock().unwrap().clone());
        let asked = (query, name.as_str(), question.qtype());
        match says {
            Says::Raw(make) => make(&whole),
            Says::Silent => Vec::new(),
            Says::Garbage => vec![b"no DNS at all".to_vec(), bytes.to_vec(), Vec::new()],
            Says::Fails(rcode) => vec![answer(asked, rcode, &[], 0)],
            Says::HalfFails(_) if question.qtype() == Rtype::AAAA => {
                vec![answer(asked, Rcode::SERVFAIL, &[], 0)]
            }
            Says::HalfFails(addresses) => vec![answer(asked, Rcode::NOERROR, &addresses, 60)],
            Says::Has(addresses, ttl) => vec![answer(asked, Rcode::NOERROR, &addresses, ttl)],
            Says::Alias(addresses, ttl) => vec![alias(asked, &addresses, ttl)],
            Says::WrongId(addresses) => {
                let mut answer = answer(asked, Rcode::NOERROR, &addresses, 60);
                answer[0] ^= 0x55;
                vec![answer]
            }
            Says::OtherQuestion(addresses) => {
                let mut answer = answer(asked, Rcode::NOERROR, &addresses, 60);
                // The first letter of the question's name; the records point to it.
                answer[13] = b'z';
                vec![answer]
            }
            Says::TooLong(addresses) => {
                let mut answer = answer(asked, Rcode::NOERROR, &addresses, 60);
                if !over_tcp {
                    answer[2] |= 0x02;
                }
                vec![answer]
            }
            Says::Referral => {
                let mut answer = answer(asked, Rcode::NOERROR, &[], 60);
                answer[2] &= !0x04;
                answer[3] &= !0x80;
                vec![answer]
            }
        }
    }

    fn serve(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut query)?;
        for answer in self.answer(&query, true) {
            let length = u16::try_from(answer.len()).unwrap();
            // In pieces, as TCP may.
            stream.write_all(&length.to_be_bytes())?;
            let (first, rest) = answer.split_at(answer.len() / 2);
            stream.write_all(first)?;
            stream.flush()?;
            stream.write_all(rest)?;
        }
        Ok(())
    }
}

type Asked<'a> = (Message<&'a [u8]>, &'a str, Rtype);

fn answer((query, name, rtype): Asked<'_>, rcode: Rcode, has: &[IpAddr], ttl: u32) -> Vec<u8> {
    let mut answer = MessageBuilder::new_vec().start_answer(&query, rcode).unwrap();
    answer.header_mut().set_ra(true);
    answer.header_mut().set_aa(true);
    push(&mut answer, name, rtype, has, ttl);
    answer.finish()
}

/// A chain of two names, and an address that nobody asked for.
fn alias((query, name, rtype): Asked<'_>, has: &[IpAddr], ttl: u32) -> Vec<u8> {
    let mut answer = MessageBuilder::new_vec().start_answer(&query, Rcode::NOERROR).unwrap();
    answer.header_mut().set_ra(true);
    let named = |text: &str| text.parse::<Name<Vec<u8>>>().unwrap();
    // The end of the chain comes first: the order says nothing.
    push(&mut answer, "End.Example.NET", rtype, has, 300);
    push(&mut answer, "other.example.net", rtype, &["192.0.2.66".parse().unwrap()], 300);
    for (from, to) in [("middle.example.net", "end.example.net"), (name, "MIDDLE.example.net")] {
        let cname = Cname::new(named(to));
        answer.push((named(from), Class::IN, Ttl::from_secs(ttl), cname)).unwrap();
    }
    answer.finish()
}

fn push(
    answer: &mut domain::base::message_builder::AnswerBuilder<Vec<u8>>,
    name: &str,
    rtype: Rtype,
    has: &[IpAddr],
    ttl: u32,
) {
    let name: Name<Vec<u8>> = name.parse().unwrap();
    let ttl = Ttl::from_secs(ttl);
    for address in has {
        match address {
            IpAddr::V4(v4) if rtype == Rtype::A => {
                answer.push((&name, Class::IN, ttl, A::new(*v4))).unwrap();
            }
            IpAddr::V6(v6) if rtype == Rtype::AAAA => {
                answer.push((&name, Class::IN, ttl, Aaaa::new(*v6))).unwrap();
            }
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }
}

/// Debian's dnsmasq, which knows what its hosts file has and nothing else under example.org.
#[derive(Debug)]
pub(crate) struct Dnsmasq {
    process: Option<Process>,
    address: SocketAddr,
    program: std::path::PathBuf,
    directory: TempDir,
}

/// A name that it always has.
const READY: &str = "ready.example.org";

impl Dnsmasq {
    pub(crate) fn start(hosts: &str) -> Result<Self, Missing> {
        let program = program("dnsmasq", "dnsmasq-base")?;
        let directory =
            tempfile::Builder::new().prefix("phonebook-gateway-test-").tempdir().unwrap();
        let (_, _, address) = sockets();
        let mut dnsmasq = Self { process: None, address, program, directory };
        dnsmasq.run(hosts);
        Ok(dnsmasq)
    }

    /// Starts it, or starts it anew.
    pub(crate) fn run(&mut self, hosts: &str) {
        self.write(hosts);
        let file = |name: &str| self.directory.path().join(name).to_str().unwrap().to_owned();
        let mut arguments: Vec<String> = [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--no-resolv",
            "--no-hosts",
            "--local=/example.org/",
            "--local-ttl=300",
            "--pid-file",
            "--cname=alias.example.org,ready.example.org",
        ]
        .map(str::to_owned)
        .into();
        arguments.push(format!("--port={}", self.address.port()));
        arguments.push(format!("--addn-hosts={}", file("hosts")));
        if rustix::process::getuid().is_root() {
            // Otherwise it becomes a user who may not read the file.
            arguments.push("--user=root".to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let stderr = fs::File::create(file("stderr")).unwrap();
        let process = Process::start_telling(&self.program, &arguments, stderr.into());
        self.process = Some(process);
        let ready = becomes_true(|| self.knows(READY));
        assert!(ready, "{}", fs::read_to_string(file("stderr")).unwrap());
    }

    fn write(&self, hosts: &str) {
        let text = format!("192.0.2.1 {READY}\n{hosts}\n");
        fs::write(self.directory.path().join("hosts"), text).unwrap();
    }

    /// Lets it have other hosts, without a restart. `name` is one that it then has.
    pub(crate) fn reload(&self, hosts: &str, name: &str) {
        self.write(&format!("{hosts}\n192.0.2.2 {name}"));
        self.process.as_ref().unwrap().signal(rustix::process::Signal::HUP);
        assert!(becomes_true(|| self.knows(name)));
    }

    fn knows(&self, name: &str) -> bool {
        let outcome = Source::Servers(vec![self.address]).ask(name);
        matches!(outcome, Outcome::Addresses { .. })
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        self.process = None;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
