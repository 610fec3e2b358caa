//! Keeps the peers' names resolved, in a thread of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Config;
use crate::identity::resolved::Resolved;
use crate::resolver::{Event, Failure, Lost, Outcome, Source, State, Table};
use crate::server::StartError;
use crate::server::background::Nudge;
use crate::supervision::{Ending, Supervisor, waits, works};
use crate::worker::Shared;

/// Asks for names when they are due, and puts what they have into the snapshot.
#[derive(Debug)]
pub struct NameRefresher {
    shared: Arc<Shared>,
    /// Whose names they are.
    config: Arc<Config>,
    table: Table,
    source: Source,
    /// The file; none for a command that only looks.
    state: Option<State>,
    /// How long one lookup is waited for.
    timeout: Duration,
    pending: HashMap<u64, PendingLookup>,
    /// Names whose lookup has not come back, whether somebody still waits for it or not.
    running: HashSet<String>,
    next_number: u64,
    /// Lookups that have not come back, also those that nobody waits for any longer.
    threads: Arc<AtomicUsize>,
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    published: (Vec<Resolved>, Vec<Lost>),
    saved: Option<Instant>,
    unsaved: bool,
    /// Whether who has which address has changed since then.
    changed: bool,
    unwritable: bool,
}

/// A lookup under way.
#[derive(Debug)]
struct PendingLookup {
    name: String,
    since: Instant,
}

/// What came of the lookup with this number.
type Answer = (u64, String, Outcome);

impl NameRefresher {
    /// A keeper of the names in the configuration of `shared`, with what they had when the gateway
    /// ran last; `None` where no policy has a name.
    pub fn new(shared: &Arc<Shared>) -> Option<Self> {
        let keeper = Self::of_any(shared);
        (!keeper.table.is_empty()).then_some(keeper)
    }

    /// The same where there may be none yet.
    fn of_any(shared: &Arc<Shared>) -> Self {
        let config = Arc::clone(&shared.snapshot().config);
        let mut table = Table::new(&config.policies, config.names.clone());
        let state = State::in_directory(&config.state_directory);
        if !table.is_empty()
            && let Err(error) = state.restore(&mut table)
        {
            tracing::warn!("{error}; all names are resolved again");
        }
        Self::of(shared, &config, table, Some(state))
    }

    /// A keeper of the names in `table`, which remembers nothing where `state` is `None`.
    fn of(shared: &Arc<Shared>, config: &Arc<Config>, table: Table, state: Option<State>) -> Self {
        let source = source(config);
        let timeout = timeout(&source);
        let mut keeper = Self {
            shared: Arc::clone(shared),
            config: Arc::clone(config),
            table,
            source,
            state,
            timeout,
            pending: HashMap::new(),
            running: HashSet::new(),
            next_number: 0,
            threads: Arc::new(AtomicUsize::new(0)),
            answers: mpsc::channel(),
            published: (Vec::new(), Vec::new()),
            saved: None,
            unsaved: false,
            changed: false,
            unwritable: false,
        };
        keeper.publish(Timestamp::now());
        keeper.shared.set_name_states(keeper.table.states());
        keeper
    }

    /// Asks for what is due at `now`, takes over what has come, waiting `wait` at most for the first
    /// of it, and puts what names have into the snapshot.
    pub fn poll(&mut self, now: Timestamp, wait: Duration) {
        let mut asked = false;
        self.follow(now);
        while self.pending.len() < MOST_ASKED {
            let Some(name) = self.table.take_due(now) else { break };
            asked = true;
            // A lookup that hangs cannot be ended. Another one for the name would hang as well, and
            // nobody else's is to wait for it.
            let hangs = self.running.contains(&name);
            if hangs || self.threads.load(Ordering::Relaxed) >= MOST_THREADS {
                self.on_answer(&name, &Outcome::Failed(Failure::Timeout), now);
            } else {
                self.ask(name);
            }
        }
        waits();
        let mut came = self.answers.1.recv_timeout(wait).ok();
        works();
        asked |= came.is_some();
        while let Some((number, name, outcome)) = came {
            self.running.remove(&name);
            // Late is better than never where a system's first name server is down; why it failed has
            // been said when nobody waited for it any longer.
            let awaited = self.pending.remove(&number).is_some();
            if awaited || matches!(outcome, Outcome::Addresses { .. }) {
                self.on_answer(&name, &outcome, now);
            }
            came = self.answers.1.try_recv().ok();
        }
        let over: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.since.elapsed() >= self.timeout)
            .map(|(number, _)| *number)
            .collect();
        asked |= !over.is_empty();
        for number in over {
            if let Some(PendingLookup { name, .. }) = self.pending.remove(&number) {
                self.on_answer(&name, &Outcome::Failed(Failure::Timeout), now);
            }
        }
        self.publish(now);
        if asked {
            self.shared.set_name_states(self.table.states());
        }
        self.save();
    }

    /// Takes the names of another configuration over, if another runs by now. What is known of a name that stays is
    /// known on, and a new one is due at once.
    fn follow(&mut self, now: Timestamp) {
        let config = Arc::clone(&self.shared.snapshot().config);
        if Arc::ptr_eq(&config, &self.config) {
            return;
        }
        self.source = source(&config);
        self.timeout = timeout(&self.source);
        self.table.follow(&config.policies, config.names.clone());
        self.config = config;
        // The snapshot has what was published, as far as it fits this configuration.
        self.published = (Vec::new(), Vec::new());
        self.publish_all(now);
    }

    /// Whether a lookup that is waited for is under way.
    pub fn is_asking(&self) -> bool {
        !self.pending.is_empty()
    }

    fn ask(&mut self, name: String) {
        let number = self.next_number;
        self.next_number += 1;
        let (source, answers) = (self.source.clone(), self.answers.0.clone());
        let threads = Arc::clone(&self.threads);
        let pending = name.clone();
        let ask = move || {
            let outcome = source.ask(&pending);
            threads.fetch_sub(1, Ordering::Relaxed);
            // Nobody waits for it once the gateway has ended.
            let _ = answers.send((number, pending, outcome));
        };
        self.running.insert(name.clone());
        self.threads.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = thread::Builder::new().name("name".to_owned()).spawn(ask) {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            let failure = Failure::Error(format!("no thread could be started: {error}"));
            let outcome = Outcome::Failed(failure);
            let _ = self.answers.0.send((number, name.clone(), outcome));
        }
        self.pending.insert(number, PendingLookup { name, since: Instant::now() });
    }

    fn on_answer(&mut self, name: &str, outcome: &Outcome, now: Timestamp) {
        let events = self.table.answer(name, outcome, now, fastrand::f64());
        self.unsaved = true;
        // How a name fails decides what is trusted after a restart.
        self.changed |= !events.is_empty();
        events.iter().for_each(tell);
    }

    /// Puts what names have at `now` into the snapshot, where it is not there already.
    fn publish(&mut self, now: Timestamp) {
        let (resolved, lost, events) = self.table.resolved(now);
        events.iter().for_each(tell);
        let same = |a: &Resolved, b: &Resolved| (&a.name, a.address) == (&b.name, b.address);
        let same_lost =
            |a: &Lost, b: &Lost| (&a.name, a.address, &a.why) == (&b.name, b.address, &b.why);
        let (before, lost_before) = &self.published;
        let unchanged = before.len() == resolved.len()
            && before.iter().zip(&resolved).all(|(a, b)| same(a, b))
            && lost_before.len() == lost.len()
            && lost_before.iter().zip(&lost).all(|(a, b)| same_lost(a, b));
        if !unchanged {
            self.put(resolved, lost);
        }
    }

    /// The same whether it was there or not.
    fn publish_all(&mut self, now: Timestamp) {
        let (resolved, lost, events) = self.table.resolved(now);
        events.iter().for_each(tell);
        self.put(resolved, lost);
    }

    fn put(&mut self, resolved: Vec<Resolved>, lost: Vec<Lost>) {
        self.shared.set_names(&self.config, &resolved, &lost);
        self.published = (resolved, lost);
        self.changed = true;
    }

    fn save(&mut self) {
        // What changed is remembered at once, or soon where more may change; the rest now and then.
        let every = match (self.changed, self.is_asking()) {
            (true, false) => Duration::ZERO,
            (true, true) => SAVE_CHANGES_EVERY,
            (false, _) => SAVE_EVERY,
        };
        let due = self.saved.is_none_or(|saved| saved.elapsed() >= every);
        let Some(state) = self.state.as_ref().filter(|_| (self.changed || self.unsaved) && due)
        else {
            return;
        };
        self.saved = Some(Instant::now());
        self.changed = false;
        match state.save(&self.table) {
            Ok(()) => {
                self.unsaved = false;
                self.unwritable = false;
            }
            Err(error) if !self.unwritable => {
                self.unwritable = true;
                tracing::warn!(
                    "{error}; after a restart while names do not resolve, their peers are not known"
                );
            }
            Err(_) => {}
        }
    }
}

/// How long one lookup is waited for.
fn timeout(source: &Source) -> Duration {
    match source {
        Source::System => SYSTEM_TIMEOUT,
        Source::Servers(servers) => {
            let servers = u32::try_from(servers.len()).unwrap_or(u32::MAX);
            SERVER_TIMEOUT.saturating_mul(servers.max(1))
        }
    }
}

/// Whom names are asked for.
pub(in crate::server) fn source(config: &Config) -> Source {
    match config.names.resolver.as_slice() {
        [] => Source::System,
        servers => Source::Servers(servers.to_vec()),
    }
}

/// What names have, for a command that serves nothing: as the file of the state directory says, else
/// as they resolve now, within `timeout`. Says where it comes from.
pub fn resolve_names(shared: &Arc<Shared>, timeout: Duration) -> Option<NamesSource> {
    let config = Arc::clone(&shared.snapshot().config);
    let mut table = Table::new(&config.policies, config.names.clone());
    if table.is_empty() {
        return None;
    }
    let state = State::in_directory(&config.state_directory);
    let why = match state.restore(&mut table) {
        Ok(true) => {
            let (resolved, lost, _) = table.resolved(Timestamp::now());
            shared.set_names(&config, &resolved, &lost);
            return Some(NamesSource::File(state.file().to_owned()));
        }
        Ok(false) => None,
        Err(error) => Some(error.to_string()),
    };
    let until = Instant::now() + timeout;
    let mut keeper = NameRefresher::of(shared, &config, table, None);
    let now = Timestamp::now();
    while Instant::now() < until && (keeper.is_asking() || keeper.table.is_due(now)) {
        keeper.poll(now, Duration::from_millis(50));
    }
    Some(NamesSource::Resolver(why))
}

/// Where what names have was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamesSource {
    /// In the file that the running gateway writes.
    File(std::path::PathBuf),
    /// By asking now; with what is wrong with the file where there is one.
    Resolver(Option<String>),
}

/// Keeps names in a thread, until the sender that it returns is dropped.
pub(crate) fn start_name_refresher(
    shared: &Arc<Shared>,
    supervisor: &Supervisor,
) -> Result<Nudge, StartError> {
    let mut keeper = NameRefresher::of_any(shared);
    let (nudge, nudged) = mpsc::channel();
    let keep = move || {
        while nudged.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            keeper.poll(Timestamp::now(), TICK);
        }
        Ending::Expected
    };
    supervisor.spawn(THREAD, keep).map_err(StartError::thread(THREAD))?;
    Ok(nudge)
}

fn tell(event: &Event) {
    match event {
        Event::Moved { .. } | Event::Recovered { .. } => tracing::info!("{event}"),
        Event::Failing { .. } | Event::Dropped { .. } | Event::Refused { .. } => {
            tracing::warn!("{event}");
        }
    }
}

/// The thread's name.
const THREAD: &str = "names";

/// How long the system's resolver is waited for.
const SYSTEM_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a listed name server is waited for: two questions over UDP, and perhaps again over TCP.
const SERVER_TIMEOUT: Duration = Duration::from_secs(9);

/// Lookups at one time.
const MOST_ASKED: usize = 16;

/// Lookups that hang in the system's resolver cannot be ended; no further one begins while this many hang.
const MOST_THREADS: usize = 64;

/// How often holds are looked at.
const TICK: Duration = Duration::from_secs(1);

/// How often changes are written while others may follow: a thousand of them at the start are a few.
const SAVE_CHANGES_EVERY: Duration = Duration::from_secs(1);

/// How often what has not changed is written again, so that its age is known after a restart.
const SAVE_EVERY: Duration = Duration::from_secs(60);
