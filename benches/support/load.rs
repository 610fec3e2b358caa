//! The load generator: one thread, one epoll, no allocation per request.
//!
//! Closed loop: every connection (or, with a connection per request, every place for one) asks again as soon as it
//! is answered. Fixed rate: a timer says when a request is due; one that finds no free place waits for it,
//! and its latency counts from when it was due, so a program that stalls cannot hide it.
//!
//! Every answer is checked. The first wrong one ends the measurement with what was seen.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::Timespec;
use socket2::{Domain, Socket, Type};

use super::answer::{Answer, Reader};
use super::clock::{Clock, TIMER};
use super::machine::CpuTime;

const BUFFER: usize = 16 * 1024;
/// Longer without a single answer is a hung program.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to ask, how, and what the answer must be.
pub(crate) struct Job {
    /// The program under test.
    pub(crate) target: SocketAddr,
    /// The client's addresses, used in turn.
    pub(crate) sources: Vec<Ipv4Addr>,
    /// The request, as it goes over the wire.
    pub(crate) request: Vec<u8>,
    /// The only right status.
    pub(crate) status: u16,
    /// The only right body; `None` accepts any (refusals differ between programs).
    pub(crate) body: Option<Vec<u8>>,
    /// Connections open at a time (with a rate: at most).
    pub(crate) connections: usize,
    /// One connection for many requests, or one each.
    pub(crate) keep_alive: bool,
    /// Requests begun per second; `None`: closed loop.
    pub(crate) rate: Option<u32>,
    /// What is run before anything is counted.
    pub(crate) warm_up: Duration,
    /// What is counted.
    pub(crate) slot: Duration,
}

/// What is read at both ends of the measured time: CPU time and the upstream's count.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// CPU time of the program under test.
    pub(crate) cpu: CpuTime,
    /// Searches that the upstream has answered.
    pub(crate) upstream: u64,
}

/// What one slot has shown.
pub(crate) struct Measured {
    /// Requests answered within the slot.
    pub(crate) requests: u64,
    /// Its length.
    pub(crate) elapsed: Duration,
    /// CPU time of the program.
    pub(crate) cpu: CpuTime,
    /// Requests that reached the upstream.
    pub(crate) upstream: u64,
    /// Latencies in nanoseconds, in no order.
    pub(crate) latencies: Vec<f64>,
}

struct Place {
    stream: Option<TcpStream>,
    /// The connection is being made, and the request is still to be written.
    connecting: bool,
    buffer: Box<[u8]>,
    filled: usize,
    since: Instant,
}

struct Generator<'a> {
    job: &'a Job,
    epoll: OwnedFd,
    reader: Reader,
    places: Vec<Place>,
    free: Vec<usize>,
    opened: usize,
    done: u64,
    recording: bool,
    latencies: Vec<f64>,
}

/// Runs one slot: warm-up, a reading, the measured time, a reading.
pub(crate) fn run(
    job: &Job,
    read: &dyn Fn() -> Result<Reading, String>,
) -> Result<Measured, String> {
    let mut generator = Generator::new(job)?;
    let mut clock = job.rate.map(|rate| Clock::start(rate, &generator.epoll)).transpose()?;
    if clock.is_none() {
        generator.fill()?;
    }
    let begin = Instant::now() + job.warm_up;
    generator.drive(begin, clock.as_mut())?;
    let (first, from) = (read()?, Instant::now());
    let before = generator.done;
    generator.recording = true;
    generator.drive(from + job.slot, clock.as_mut())?;
    let (elapsed, last) = (from.elapsed(), read()?);
    Ok(Measured {
        requests: generator.done - before,
        elapsed,
        cpu: CpuTime {
            running: last.cpu.running - first.cpu.running,
            waiting: last.cpu.waiting - first.cpu.waiting,
        },
        upstream: last.upstream - first.upstream,
        latencies: generator.latencies,
    })
}

/// One request on one connection, its whole answer compared: proves a program before it is measured.
pub(crate) fn prove(job: &Job) -> Result<(), String> {
    let fail = |error| format!("asking {}: {error}", job.target);
    let source = job.sources.first().copied().unwrap_or(Ipv4Addr::LOCALHOST);
    let mut stream = connect(job.target, source, false).map_err(fail)?.0;
    stream.set_read_timeout(Some(PATIENCE)).map_err(fail)?;
    stream.write_all(&job.request).map_err(fail)?;
    let (reader, mut seen, mut chunk) = (Reader::new(), Vec::new(), vec![0; BUFFER]);
    loop {
        let read = stream.read(&mut chunk).map_err(fail)?;
        seen.extend_from_slice(&chunk[..read]);
        let answer = reader.read(&seen).map_err(|what| unlike(job, what, &seen))?;
        if let Some(answer) = answer {
            check(job, &answer, &seen)?;
            return match &job.body {
                Some(body) if !seen.ends_with(body) => Err(unlike(job, "another body", &seen)),
                _ => Ok(()),
            };
        }
        if read == 0 {
            return Err(unlike(job, "the connection closed early", &seen));
        }
    }
}

impl<'a> Generator<'a> {
    fn new(job: &'a Job) -> Result<Self, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| format!("creating an epoll: {error}"))?;
        let place = || Place {
            stream: None,
            connecting: false,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            filled: 0,
            since: Instant::now(),
        };
        Ok(Self {
            job,
            epoll,
            reader: Reader::new(),
            places: (0..job.connections).map(|_| place()).collect(),
            free: (0..job.connections).collect(),
            opened: 0,
            done: 0,
            recording: false,
            latencies: Vec::with_capacity(1 << 18),
        })
    }

    fn fill(&mut self) -> Result<(), String> {
        while let Some(index) = self.free.pop() {
            self.open(index, Instant::now())?;
        }
        Ok(())
    }

    /// Handles events until `until`.
    fn drive(&mut self, until: Instant, mut clock: Option<&mut Clock>) -> Result<(), String> {
        let mut events = Vec::with_capacity(256);
        let mut last = (Instant::now(), self.done);
        // Without events the loop still looks at the time every 20 ms.
        let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("waiting for events: {error}")),
            }
            for event in events.drain(..) {
                let data = event.data;
                match (data.u64(), clock.as_mut()) {
                    (TIMER, Some(clock)) => clock.tick()?,
                    (index, _) => self.progress(index as usize)?,
                }
            }
            if let Some(clock) = clock.as_mut() {
                while let Some(due) = clock.due() {
                    let Some(index) = self.free.pop() else { break };
                    clock.take();
                    self.open(index, due)?;
                }
            }
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            if self.done != last.1 {
                last = (now, self.done);
            } else if now - last.0 > PATIENCE {
                return Err(format!("{}: no answer for {PATIENCE:?}", self.job.target));
            }
        }
    }

    /// Opens a connection for a request that was due at `since`, and sends it if that can be done now.
    fn open(&mut self, index: usize, since: Instant) -> Result<(), String> {
        let source = self.job.sources[self.opened % self.job.sources.len()];
        self.opened += 1;
        let (stream, connecting) = connect(self.job.target, source, true)
            .map_err(|error| format!("connecting to {}: {error}", self.job.target))?;
        if !connecting {
            send(&stream, self.job)?;
        }
        let interest = if connecting { EventFlags::OUT } else { EventFlags::IN };
        epoll::add(&self.epoll, &stream, EventData::new_u64(index as u64), interest)
            .map_err(|error| format!("registering a connection: {error}"))?;
        let place = &mut self.places[index];
        (place.stream, place.connecting) = (Some(stream), connecting);
        (place.filled, place.since) = (0, since);
        Ok(())
    }

    /// Does what a connection's event allows.
    fn progress(&mut self, index: usize) -> Result<(), String> {
        let (job, place) = (self.job, &mut self.places[index]);
        let Some(mut stream) = place.stream.as_ref() else { return Ok(()) };
        if place.connecting {
            place.connecting = false;
            send(stream, job)?;
            let data = EventData::new_u64(index as u64);
            return epoll::modify(&self.epoll, stream, data, EventFlags::IN)
                .map_err(|error| format!("registering a connection: {error}"));
        }
        let read = match stream.read(&mut place.buffer[place.filled..]) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => {
                let what = format!("the connection failed: {error}");
                return Err(unlike(job, &what, &place.buffer[..place.filled]));
            }
        };
        place.filled += read;
        let seen = &place.buffer[..place.filled];
        let Some(answer) = self.reader.read(seen).map_err(|what| unlike(job, what, seen))? else {
            let whole = read == 0 || place.filled == place.buffer.len();
            return if whole { Err(unlike(job, "an incomplete answer", seen)) } else { Ok(()) };
        };
        check(job, &answer, seen)?;
        self.done += 1;
        let now = Instant::now();
        if self.recording {
            self.latencies.push((now - place.since).as_nanos() as f64);
        }
        if job.keep_alive {
            send(stream, job)?;
            (place.filled, place.since) = (0, now);
            return Ok(());
        }
        place.stream = None; // Closes it, which also ends its registration.
        if job.rate.is_some() {
            self.free.push(index);
            return Ok(());
        }
        self.open(index, now)
    }
}

/// A connection from `source`, and whether it is still being made.
fn connect(
    target: SocketAddr,
    source: Ipv4Addr,
    nonblocking: bool,
) -> std::io::Result<(TcpStream, bool)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(nonblocking)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    let connecting = match socket.connect(&target.into()) {
        Ok(()) => false,
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            true
        }
        Err(error) => return Err(error),
    };
    Ok((socket.into(), connecting))
}

fn send(mut stream: &TcpStream, job: &Job) -> Result<(), String> {
    // A request fits an empty socket buffer in one write.
    match stream.write(&job.request) {
        Ok(written) if written == job.request.len() => Ok(()),
        Ok(written) => Err(format!("{}: only {written} bytes of a request sent", job.target)),
        Err(error) => Err(format!("{}: sending a request: {error}", job.target)),
    }
}

fn check(job: &Job, answer: &Answer, seen: &[u8]) -> Result<(), String> {
    if answer.status != job.status {
        return Err(unlike(job, "another status", seen));
    }
    if job.body.as_ref().is_some_and(|body| body.len() != answer.body) {
        return Err(unlike(job, "another length", seen));
    }
    if seen.len() != answer.head + answer.body {
        return Err(unlike(job, "more bytes than the answer has", seen));
    }
    Ok(())
}

/// The message about a wrong answer, with its beginning.
fn unlike(job: &Job, what: &str, seen: &[u8]) -> String {
    let length =
        job.body.as_ref().map_or(String::new(), |body| format!(" of {} bytes", body.len()));
    format!(
        "{}: expected a {}{length}, found {what}; seen ({} bytes):\n{}",
        job.target,
        job.status,
        seen.len(),
        String::from_utf8_lossy(&seen[..seen.len().min(800)])
    )
}
