//! The attacks, and the threads that carry them out.
//!
//! Each thread carries out its share of every attack. At the end its runtime is dropped, and with it
//! every connection that is still open.

mod drip;
mod flood;
pub(crate) mod frames;
mod grumblers;
mod handshakes;
mod http2;
mod leaky;
mod renewals;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{sleep, sleep_until};

use super::renewable::Renewable;
use super::runtime;
use super::tally::{Counts, Statuses, Tally};

/// What is done, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attack {
    /// Callers that are refused in all ways that are worth a diagnostic.
    Grumblers {
        /// Connections begun per second.
        per_second: u32,
    },
    /// The listener's certificate is renewed each second.
    Renewals,
    /// A peer of 10/s that keeps what it opens.
    Leaky {
        /// Connections that it wants to have.
        connections: usize,
        /// Lookups on each; 1 is read, of more nothing is.
        requests: usize,
    },
    /// TLS handshakes that never end.
    Handshakes {
        /// How many at once.
        connections: usize,
        /// Addresses that they come from.
        addresses: usize,
        /// Each so-many-th sends a byte per second, the others nothing.
        slow: usize,
    },
    /// A peer at default limits that keeps what it opens.
    Seats {
        /// Connections begun per second.
        per_second: u32,
    },
    /// Requests written without waiting for answers.
    Flood {
        /// Connections at once.
        connections: usize,
        /// `flood`: a peer of 10/s; `unknown`; `lost`: a peer without limits, on unknown paths.
        who: &'static str,
    },
    /// Lookups that XiVO answers a byte each 0.3 s.
    Drip {
        /// How many at once.
        connections: usize,
    },
    /// A client that reads large answers slowly.
    SlowReader {
        /// How many at once.
        connections: usize,
    },
    /// Unknown callers who speak HTTP/2.
    Http2 {
        /// Connections at once.
        connections: usize,
        /// Addresses that they come from.
        addresses: usize,
        /// `no-window`, `idle`, `large-heads` (without a window, too) or `unfinished` (the last never ends).
        kind: &'static str,
    },
}

impl Attack {
    /// The word in the tables.
    pub(crate) fn word(self) -> String {
        match self {
            Self::Grumblers { .. } => "grumblers".to_owned(),
            Self::Renewals => "renewals".to_owned(),
            Self::Leaky { requests, .. } => format!("leaky ({requests} lookups each)"),
            Self::Handshakes { addresses, slow: 1, .. } => {
                format!("slow handshakes of {addresses} addresses")
            }
            Self::Handshakes { addresses, .. } => format!("handshakes of {addresses} addresses"),
            Self::Seats { .. } => "seats".to_owned(),
            Self::Flood { who, .. } => format!("flood of `{who}`"),
            Self::Drip { .. } => "drip".to_owned(),
            Self::SlowReader { .. } => "slow reader".to_owned(),
            Self::Http2 { addresses, kind, .. } => format!("h2 {kind} of {addresses} addresses"),
        }
    }

    async fn run(self, field: Rc<Field>) {
        match self {
            Self::Grumblers { per_second } => grumblers::run(field, per_second).await,
            Self::Renewals => renewals::run(field).await,
            Self::Leaky { connections, requests } => leaky::run(field, connections, requests).await,
            Self::Handshakes { connections, addresses, slow } => {
                handshakes::run(field, connections, addresses, slow).await;
            }
            Self::Seats { per_second } => leaky::take_seats(field, per_second).await,
            Self::Flood { connections, who } => flood::run(field, connections, who).await,
            Self::Drip { connections } => drip::run(field, connections).await,
            Self::SlowReader { connections } => drip::read_slowly(field, connections).await,
            Self::Http2 { connections, addresses, kind } => {
                http2::run(field, connections, addresses, kind).await;
            }
        }
    }
}

/// What is attacked, and by what means.
#[derive(Clone)]
pub(crate) struct Target {
    /// The listener without TLS.
    pub(crate) plain: SocketAddr,
    /// The listener with TLS and HTTP/2.
    pub(crate) tls: SocketAddr,
    /// A TLS client that speaks HTTP/1.1.
    pub(crate) http1: Arc<ClientConfig>,
    /// A TLS client that speaks HTTP/2.
    pub(crate) http2: Arc<ClientConfig>,
    /// The listener's certificate.
    pub(crate) renewable: Arc<Renewable>,
}

/// How fast connections are begun.
#[derive(Clone, Copy)]
struct Pace {
    /// A thread begins its connections so far apart.
    apart: Duration,
    /// One that has ended is begun anew after so long.
    again: Duration,
}

impl Pace {
    const fn milliseconds(apart: u64, again: u64) -> Self {
        Self { apart: Duration::from_millis(apart), again: Duration::from_millis(again) }
    }
}

/// An attack's place on one thread.
pub(crate) struct Field {
    target: Target,
    tally: Arc<Tally>,
    /// This thread's number.
    crew: usize,
}

/// Threads of attackers.
const CREWS: usize = 2;

/// The addresses of peers, as the policies have them.
pub(crate) mod peer {
    use std::net::Ipv4Addr;

    /// Honest, without TLS.
    pub(crate) const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
    /// Keeps its connections; 10/s.
    pub(crate) const LEAKY: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 2);
    /// Lookups that take long.
    pub(crate) const GREEDY: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 3);
    /// Far over its rate of 10/s.
    pub(crate) const FLOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 4);
    /// At default limits.
    pub(crate) const SEATS: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 5);
    /// Asks what there is not, within its rate.
    pub(crate) const LOST: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 6);
    /// Honest, known by its certificate alone: this address is in no policy.
    pub(crate) const BY_CERTIFICATE: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 1);
}

/// One of so many unknown addresses of a block.
fn unknown_caller(block: u8, number: usize, addresses: usize) -> Ipv4Addr {
    let number = number % addresses.clamp(1, 60_000);
    let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, block, byte(number / 250), byte(number % 250 + 1))
}

/// Attackers at work.
pub(crate) struct Attackers {
    stop: watch::Sender<()>,
    crews: Vec<JoinHandle<()>>,
    tallies: Vec<(String, Arc<Tally>)>,
}

impl Attackers {
    /// Begins all of these attacks.
    pub(crate) fn start(attacks: &[Attack], target: &Target, nice: i32) -> Result<Self, String> {
        let (stop, stopped) = watch::channel(());
        let tallies: Vec<(String, Arc<Tally>)> =
            attacks.iter().map(|attack| (attack.word(), Arc::default())).collect();
        let mut crews = Vec::new();
        for crew in (0..CREWS).filter(|_| !attacks.is_empty()) {
            let plan: Vec<(Attack, Arc<Tally>)> = attacks
                .iter()
                .zip(&tallies)
                .map(|(attack, (_, tally))| (*attack, Arc::clone(tally)))
                .collect();
            let (target, stopped) = (target.clone(), stopped.clone());
            let attack = move || {
                let _ = runtime::stand_back(nice);
                let _ = runtime::run(carry_out(plan, target, crew, stopped));
            };
            let thread = thread::Builder::new()
                .name(format!("attack-{crew}"))
                .spawn(attack)
                .map_err(|error| format!("starting attackers: {error}"))?;
            crews.push(thread);
        }
        Ok(Self { stop, crews, tallies })
    }

    /// Ends all attacks and closes all their connections. Yields what each has met.
    pub(crate) fn finish(self) -> Vec<(String, Counts)> {
        drop(self.stop);
        for crew in self.crews {
            let _ = crew.join();
        }
        self.tallies.into_iter().map(|(word, tally)| (word, tally.so_far())).collect()
    }
}

async fn carry_out(
    plan: Vec<(Attack, Arc<Tally>)>,
    target: Target,
    crew: usize,
    mut stopped: watch::Receiver<()>,
) {
    for (attack, tally) in plan {
        let field = Rc::new(Field { target: target.clone(), tally, crew });
        spawn_local(attack.run(field));
    }
    // It never changes; this ends when the sender is gone.
    let _ = stopped.changed().await;
}

impl Field {
    /// A number's place among those of this thread.
    fn turn(number: usize) -> usize {
        number / CREWS
    }

    /// This thread's part of so many numbers.
    fn share(&self, of: usize) -> impl Iterator<Item = usize> + use<> {
        (self.crew..of).step_by(CREWS)
    }

    /// Keeps this thread's share of so many connections going: one that has ended is begun anew.
    fn keep<F, Fut>(self: &Rc<Self>, connections: usize, pace: Pace, begin: F)
    where
        F: Fn(Rc<Self>, usize) -> Fut + Clone + 'static,
        Fut: Future<Output = io::Result<()>>,
    {
        for number in self.share(connections) {
            let (field, begin) = (Rc::clone(self), begin.clone());
            let turn = u32::try_from(Self::turn(number)).unwrap_or(u32::MAX);
            spawn_local(async move {
                sleep(pace.apart * turn).await;
                loop {
                    let ended = begin(Rc::clone(&field), number).await;
                    field.tally.ended(&ended);
                    sleep(pace.again).await;
                }
            });
        }
    }

    /// Begins this thread's share of so many connections each second; the numbers never repeat.
    async fn begin_at<F, Fut>(self: &Rc<Self>, per_second: u32, begin: F)
    where
        F: Fn(Rc<Self>, usize) -> Fut,
        Fut: Future<Output = io::Result<()>> + 'static,
    {
        let period = Duration::from_secs(1) * u32::try_from(CREWS).unwrap_or(1) / per_second;
        let mut due = Instant::now();
        for number in (self.crew..).step_by(CREWS) {
            sleep_until(due.into()).await;
            due += period;
            let (field, begun) = (Rc::clone(self), begin(Rc::clone(self), number));
            spawn_local(async move {
                let ended = begun.await;
                field.tally.ended(&ended);
            });
        }
    }

    /// Reads, and counts answers, until the far side ends the connection.
    async fn read_to_end(&self, mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut statuses = Statuses::new();
        // Small, for there are thousands of them.
        let mut piece = [0; 2048];
        loop {
            match stream.read(&mut piece).await? {
                0 => return Ok(()),
                read => statuses.count(&piece[..read], &self.tally),
            }
        }
    }
}
