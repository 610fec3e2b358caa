//! What a gateway does when it is asked over its control socket.
//!
//! What only looks is answered from what the workers share, as of the moment at which it is asked, and holds
//! nobody up. What changes the gateway as a whole is an [`Order`] to whoever owns it.

mod certificates;
mod configuration;
mod connections;
mod errors;
mod names;
mod peers;
mod status;
mod switching;

use std::cell::Cell;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::documents::Done;
use super::protocol::{Answer, Command, Refused};
use crate::diagnostics::LevelSwitch;
use crate::identity::disabled::Administrator;
use crate::limits::{Moment, SeatCensus};
use crate::server::{DisabledFile, HANDING_OVER, Server};
use crate::worker::snapshot::PeerWithState;

/// What only the gateway's owner can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Open the access logs again.
    Reopen,
    /// Take no further connections, and end when those that are open have ended.
    Drain,
    /// End at once.
    Stop,
}

/// An order, by whom it comes, and where its outcome goes.
#[derive(Debug)]
pub(crate) struct Ordered {
    /// What to do.
    pub order: Order,
    /// Who wants it.
    pub by: Administrator,
    outcome: oneshot::Sender<Result<Done, Refused>>,
}

impl Ordered {
    /// Says what came of it; whoever asked may be gone.
    pub(crate) fn answer(self, outcome: Result<Done, Refused>) {
        let _ = self.outcome.send(outcome);
    }
}

/// What a gateway can be asked without changing it: what is shown over the control socket, and on the status page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'s>(pub(crate) &'s Server);

impl View<'_> {
    /// Now, as the limits count it.
    fn moment(self) -> Moment {
        self.0.shared().moment(std::time::Instant::now())
    }
}

/// All that commands look at and change.
#[derive(Debug)]
pub(super) struct Commands {
    pub(super) server: Server,
    pub(super) level: LevelSwitch,
    pub(super) orders: mpsc::Sender<Ordered>,
    pub(super) file: DisabledFile,
    /// When the level of diagnostics goes back by itself.
    pub(super) level_until: Cell<Option<(Instant, Timestamp)>>,
    /// Told when something was changed that ends by itself.
    pub(super) changed: Notify,
    /// When all connections may be looked through again.
    pub(super) next_census: Cell<Option<Instant>>,
}

impl Commands {
    /// Does what is asked.
    pub(super) async fn obey(&self, command: Command, by: Administrator) -> Answer {
        if command.changes_something() && self.server.is_handing_over() {
            return Answer::of::<Done>(Err(Refused::busy(HANDING_OVER)));
        }
        match command {
            Command::Status {} => shown(self.status(&self.census().await)),
            Command::Revision {} => shown(self.view().revision()),
            Command::Peers { name } => {
                Answer::of(self.peers(name.as_deref(), &self.census().await))
            }
            Command::Disable { name, seconds, why } => {
                Answer::of(self.disable(&name, seconds, why, by))
            }
            Command::Enable { name } => Answer::of(self.enable(&name, &by)),
            Command::Reset { name } => Answer::of(self.reset(&name, &by)),
            Command::Names {} => shown(self.view().names()),
            Command::Certs {} => shown(self.view().certificates()),
            Command::Connections {} => shown(self.view().connections(&self.census().await)),
            Command::Errors {} => shown(self.errors()),
            Command::LogLevel { level, seconds } => {
                Answer::of(self.set_log_level(&level, seconds, &by))
            }
            Command::Reload {} => Answer::of(self.reload(&by).await),
            Command::History {} => Answer::of(self.history().await),
            Command::RollbackChanges { number } => Answer::of(self.rollback_changes(number).await),
            Command::Rollback { number } => Answer::of(self.rollback(number, &by).await),
            Command::Reopen {} => Answer::of(self.order(Order::Reopen, by).await),
            Command::Drain {} => Answer::of(self.order(Order::Drain, by).await),
            Command::Stop {} => Answer::of(self.order(Order::Stop, by).await),
        }
    }

    /// Lets the gateway's owner do something, and waits for what comes of it.
    async fn order(&self, order: Order, by: Administrator) -> Result<Done, Refused> {
        let gone = || Refused::failed("the gateway is ending, and does not take this any longer");
        let (outcome, done) = oneshot::channel();
        self.orders.send(Ordered { order, by, outcome }).await.map_err(|_| gone())?;
        match timeout(ORDER_TIMEOUT, done).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(Refused::failed(format!(
                "the gateway has not done it within {} s; it may still do it (`ctl status`, and its diagnostics, tell)",
                ORDER_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Who has which connections now. Waits where they have just been looked through.
    async fn census(&self) -> SeatCensus {
        while let Some(next) = self.next_census.get().filter(|next| *next > Instant::now()) {
            sleep_until(next).await;
        }
        let began = Instant::now();
        let census = self.server.shared().seats.census(self.view().moment());
        let ended = Instant::now();
        self.next_census.set(Some(ended + (ended - began) * CENSUS_PAUSE));
        census
    }

    /// What is only looked at.
    fn view(&self) -> View<'_> {
        View(&self.server)
    }

    /// The peer of this name.
    fn peer<'s>(
        &self,
        snapshot: &'s crate::worker::snapshot::Snapshot,
        name: &str,
    ) -> Result<&'s PeerWithState, Refused> {
        let found = snapshot.peers.iter().find(|peer| peer.policy.name.as_str() == name);
        found.ok_or_else(|| {
            let known = snapshot.peers.iter().map(|peer| peer.policy.name.as_str());
            Refused::no(no_such_peer(name, known, &snapshot.config.revision))
        })
    }
}

/// What to say where no peer has the name.
fn no_such_peer<'a>(name: &str, known: impl Iterator<Item = &'a str>, revision: &str) -> String {
    let near = known
        .map(|word| (strsim::damerau_levenshtein(&name.to_lowercase(), word), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance);
    let hint = match near {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None => "`phonebook-gateway ctl peers` lists them".to_owned(),
    };
    format!(
        "the running gateway (revision {revision}) has no peer `{}`; {hint}",
        name.escape_debug()
    )
}

/// A document that is always there.
fn shown<T: Serialize>(document: T) -> Answer {
    Answer::of(Ok(document))
}

/// Milliseconds since 1970 as a time.
fn time(millis: u64) -> Option<Timestamp> {
    i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok())
}

/// How long the gateway's owner is waited for: it may have thousands of files to read.
const ORDER_TIMEOUT: Duration = Duration::from_secs(60);

/// Looking through all connections takes the lock that connections come and go by: it is free for so many
/// times as long as that has taken, however often somebody asks.
const CENSUS_PAUSE: u32 = 20;
