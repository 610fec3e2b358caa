//! Asks name servers itself, for their answers' times to live (RFC 1035, RFC 3596).
//!
//! An answer counts if it comes from the server that was asked, on the port that asked, with the id and
//! the question that were sent; all else is dropped, as if nothing had come.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::str::FromStr;
use std::time::{Duration, Instant};

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::{A, Aaaa};

use crate::resolver::{Failure, Family, Outcome};

/// What was found of one family.
struct Found {
    addresses: Vec<IpAddr>,
    ttl: Option<Duration>,
}

/// Asks for all addresses of `name`.
pub(super) fn ask(servers: &[SocketAddr], name: &str) -> Outcome {
    let Ok(name) = Name::<Vec<u8>>::from_str(name) else {
        return Outcome::Failed(Failure::Error("it is no name for DNS".to_owned()));
    };
    let v4 = ask_servers(servers, &name, Family::V4);
    // There is no such name whatever is asked of it.
    if matches!(v4, Err(Failure::NoSuchName)) {
        return Outcome::Failed(Failure::NoSuchName);
    }
    match (v4, ask_servers(servers, &name, Family::V6)) {
        (Ok(v4), Ok(v6)) => found(&[v4, v6], None),
        (Ok(v4), Err(_)) if !v4.addresses.is_empty() => found(&[v4], Some(Family::V6)),
        (Err(_), Ok(v6)) if !v6.addresses.is_empty() => found(&[v6], Some(Family::V4)),
        (Err(failure), _) | (_, Err(failure)) => Outcome::Failed(failure),
    }
}

fn found(families: &[Found], missing: Option<Family>) -> Outcome {
    let addresses: Vec<IpAddr> =
        families.iter().flat_map(|found| found.addresses.iter().copied()).collect();
    if addresses.is_empty() {
        return Outcome::Failed(Failure::NoSuchName);
    }
    let ttl = families.iter().filter_map(|found| found.ttl).min();
    Outcome::Addresses { addresses, ttl, missing }
}

/// The first server's answer that is one; where none is, the last fault that says something.
fn ask_servers(
    servers: &[SocketAddr],
    name: &Name<Vec<u8>>,
    family: Family,
) -> Result<Found, Failure> {
    let mut failure = Failure::Timeout;
    for &server in servers {
        match ask_server(server, name, family) {
            Ok(found) => return Ok(found),
            Err(Failure::NoSuchName) => return Err(Failure::NoSuchName),
            Err(Failure::Timeout) => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind has dozens of kinds, and gets more"
)]
fn ask_server(server: SocketAddr, name: &Name<Vec<u8>>, family: Family) -> Result<Found, Failure> {
    let record = match family {
        Family::V4 => Rtype::A,
        Family::V6 => Rtype::AAAA,
    };
    let question = question(name, record).ok_or_else(|| error("it is too long to ask for"))?;
    let fault = |fault: io::Error| match fault.kind() {
        // Nobody answers, whether the network says so or not.
        io::ErrorKind::TimedOut
        | io::ErrorKind::WouldBlock
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Failure::Timeout,
        _ => error(&format!("{server}: {fault}")),
    };
    let mut answer = over_udp(server, &question).map_err(fault)?;
    if answer.header().tc() {
        answer = over_tcp(server, &question).map_err(fault)?;
    }
    match answer.header().rcode() {
        Rcode::NOERROR => match read(&answer, family) {
            None => Err(error(&format!("{server} answered something that cannot be read"))),
            // It neither knows the name nor asks others: that does not say that there is none.
            Some(found) if found.addresses.is_empty() && is_referral(&answer) => {
                Err(error(&format!("{server} does not know the name, and does not ask others")))
            }
            Some(found) => Ok(found),
        },
        Rcode::NXDOMAIN => Err(Failure::NoSuchName),
        code => Err(error(&format!("{server} answered {code}"))),
    }
}

fn is_referral(answer: &Message<Vec<u8>>) -> bool {
    !answer.header().aa() && !answer.header().ra()
}

fn error(why: &str) -> Failure {
    Failure::Error(why.to_owned())
}

fn question(name: &Name<Vec<u8>>, record: Rtype) -> Option<Message<Vec<u8>>> {
    let mut message = MessageBuilder::new_vec();
    // Unforeseeable, as the port that the system chooses (RFC 5452, section 4.3).
    let mut id = [0; 2];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut id).ok()?;
    message.header_mut().set_id(u16::from_be_bytes(id));
    message.header_mut().set_rd(true);
    let mut message = message.question();
    message.push((name, record)).ok()?;
    Some(message.into_message())
}

/// The answer to `question` if `bytes` are one.
fn answer_to(question: &Message<Vec<u8>>, bytes: &[u8]) -> Option<Message<Vec<u8>>> {
    let message = Message::from_octets(bytes.to_vec()).ok()?;
    message.is_answer(question).then_some(message)
}

fn over_udp(server: SocketAddr, question: &Message<Vec<u8>>) -> io::Result<Message<Vec<u8>>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    // The kernel drops what comes from anybody else.
    socket.connect(server)?;
    socket.send(question.as_slice())?;
    let until = Instant::now() + PATIENCE;
    let mut buffer = [0; MOST_UDP];
    loop {
        socket.set_read_timeout(Some(left(until)?))?;
        let length = socket.recv(&mut buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = answer_to(question, bytes) {
            return Ok(answer);
        }
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn over_tcp(server: SocketAddr, question: &Message<Vec<u8>>) -> io::Result<Message<Vec<u8>>> {
    let until = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = u16::try_from(question.as_slice().len()).map_err(io::Error::other)?;
    let framed = [length.to_be_bytes().as_slice(), question.as_slice()].concat();
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    read_until(&mut stream, &mut length, until)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    read_until(&mut stream, &mut bytes, until)?;
    answer_to(question, &bytes).ok_or_else(|| io::Error::other("another question was answered"))
}

/// Fills `buffer`, byte for byte if they come so, and not beyond `until`.
fn read_until(stream: &mut TcpStream, buffer: &mut [u8], until: Instant) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(rest)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(())
}

/// The addresses at the end of the answer's chain of aliases, and the shortest time to live on the way.
fn read(answer: &Message<Vec<u8>>, family: Family) -> Option<Found> {
    let owner = answer.canonical_name()?;
    let mut ttl: Option<Duration> = None;
    for record in answer.answer().ok()? {
        let lives = record.ok()?.ttl().into_duration();
        ttl = Some(ttl.map_or(lives, |ttl| ttl.min(lives)));
    }
    let mut addresses = Vec::new();
    match family {
        Family::V4 => {
            for record in answer.answer().ok()?.limit_to_in::<A>() {
                let record = record.ok()?;
                if record.owner() == &owner {
                    addresses.push(IpAddr::V4(record.data().addr()));
                }
            }
        }
        Family::V6 => {
            for record in answer.answer().ok()?.limit_to_in::<Aaaa>() {
                let record = record.ok()?;
                if record.owner() == &owner {
                    addresses.push(IpAddr::V6(record.data().addr()));
                }
            }
        }
    }
    // Of an answer without addresses nothing is kept.
    Some(Found { ttl: ttl.filter(|_| !addresses.is_empty()), addresses })
}

/// How long one server is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest answer over UDP without EDNS (RFC 1035, section 4.2.1), with room for those who send more.
const MOST_UDP: usize = 4096;
