//! Gathers the status document of a running gateway, and keeps what its charts show.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::sleep;

use super::{
    CallerCount, HistoryRows, OutageRow, ReasonRow, SlotRow, SlotRows, StatusDocument,
    UnknownCallerRow, VERSION, findings,
};
use crate::admin::ring::{History, Slot, Totals};
use crate::admin::status_page;
use crate::control::View;
use crate::control::documents::{PeerRow, Requests};
use crate::identity::caller::Caller;
use crate::limits::SeatCensus;
use crate::net::client_address::ClientAddress;
use crate::policy::PeerName;
use crate::policy::proposal::{Proposal, asks_as_xivo, policy_file};
use crate::refusal::Reason;
use crate::server::Server;
use crate::text::figures;
use crate::worker::Shared;
use crate::worker::snapshot::Snapshot;
use crate::worker::unknown_callers::UnknownCaller;

/// Where the status document of a running gateway comes from.
#[derive(Debug)]
pub struct StatusSource {
    server: Server,
    host: String,
    began: Instant,
    kept: RefCell<Kept>,
}

/// What is kept from one look to the next.
#[derive(Debug)]
struct Kept {
    history: History,
    /// Lines of access logs that were lost, and when that became more.
    lost: u64,
    lost_last: Option<Timestamp>,
}

impl StatusSource {
    /// What it keeps begins now.
    pub fn new(server: Server) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let totals = totals(server.shared());
        let history = History::new(Duration::ZERO, totals);
        let kept = Kept { history, lost: 0, lost_last: None };
        let source = Self { server, host, began: Instant::now(), kept: kept.into() };
        source.sample();
        source
    }

    /// Looks at the workers' counters now and then; never returns.
    pub async fn keep_history(&self) {
        loop {
            self.sample();
            sleep(SAMPLE_INTERVAL).await;
        }
    }

    /// Looks at the workers' counters.
    fn sample(&self) {
        let shared = self.server.shared();
        let snapshot = shared.snapshot();
        let peers = snapshot.peers.iter().map(|peer| {
            // Without the locks that the last refusals are behind.
            (&peer.policy.name, peer.state.counts.by_worker().sum())
        });
        let mut kept = self.kept.borrow_mut();
        kept.history.sample(self.began.elapsed(), totals(shared), peers);
        let lost = View(&self.server).logs().iter().map(|log| log.lost).sum();
        // A log that is opened anew begins at 0.
        if lost > kept.lost {
            kept.lost_last = Some(Timestamp::now());
        }
        kept.lost = lost;
    }

    /// The document as JSON, for `/status.json`; looks through all connections.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.document(&self.census()))
    }

    /// The status page; looks through all connections.
    pub fn page(&self) -> String {
        status_page::page(&self.document(&self.census()))
    }

    fn census(&self) -> SeatCensus {
        let shared = self.server.shared();
        shared.seats.census(shared.moment(Instant::now()))
    }

    /// The document of this moment; `census` says who has which connections.
    pub(crate) fn document(&self, census: &SeatCensus) -> StatusDocument {
        self.sample();
        let view = View(&self.server);
        let shared = self.server.shared();
        let snapshot = shared.snapshot();
        let (requests, upstream) = view.asked(&snapshot);
        let peers = view.peers(census);
        let unknown = peers.unknown.unwrap_or_default();
        let kept = self.kept.borrow();
        let mut document = StatusDocument {
            version: VERSION,
            at: Timestamp::now(),
            host: self.host.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: shared.since,
            phase: view.phase().to_owned(),
            verdict: findings::verdict(&[], 0, false),
            findings: Vec::new(),
            configuration: view.configuration(&snapshot),
            listeners: view.listeners(&snapshot),
            workers: view.workers(),
            connections: view.connections_summary(census),
            refusals: refusals(&requests, &peers.peers, &unknown),
            requests,
            history: history(&kept.history, &snapshot),
            upstream,
            outage: outage(shared),
            peers: peers.peers,
            unknown,
            unknown_callers: unknown_callers(shared, &snapshot),
            names: view.names().names,
            certificates: view.certificates().certificates,
            logs: view.logs(),
            lines_lost_last: kept.lost_last,
            disabled: view.disabled(&snapshot),
        };
        drop(kept);
        findings::judge(&mut document);
        document
    }
}

fn totals(shared: &Shared) -> Totals {
    Totals::of(&shared.all.sum(), shared.metrics.upstream().counts())
}

fn history(history: &History, snapshot: &Snapshot) -> HistoryRows {
    let rows = |seconds, most, slots: Vec<Slot>| SlotRows {
        seconds,
        most,
        slots: slots.into_iter().map(SlotRow::from).collect(),
    };
    let names: Vec<&PeerName> = snapshot.peers.iter().map(|peer| &peer.policy.name).collect();
    let peers = names.iter().filter_map(|name| Some((name.to_string(), history.of_peer(name)?)));
    HistoryRows {
        hour: rows(60, 60, history.hour()),
        day: rows(900, 96, history.day()),
        peers: peers.collect(),
    }
}

fn outage(shared: &Shared) -> Option<OutageRow> {
    let (since, failed) = shared.outage.ongoing()?;
    let ago = jiff::SignedDuration::try_from(since.elapsed()).unwrap_or_default();
    Some(OutageRow { since: Timestamp::now().checked_sub(ago).ok()?, failed })
}

/// The reasons of all requests, with whom they met.
fn refusals(all: &Requests, peers: &[PeerRow], unknown: &Requests) -> Vec<ReasonRow> {
    let mut met: BTreeMap<&str, Vec<CallerCount>> = BTreeMap::new();
    let callers = peers.iter().map(|peer| (Some(&peer.name), &peer.requests));
    for (peer, requests) in callers.chain([(None, unknown)]) {
        for (reason, &count) in &requests.reasons {
            met.entry(reason).or_default().push(CallerCount { peer: peer.cloned(), count });
        }
    }
    let row = |(reason, &count): (&String, &u64)| {
        let known = Reason::of(reason);
        let mut callers = met.remove(reason.as_str()).unwrap_or_default();
        callers.sort_by(|a, b| (b.count, &a.peer).cmp(&(a.count, &b.peer)));
        let more_callers = callers.len().saturating_sub(MOST_CALLERS);
        callers.truncate(MOST_CALLERS);
        ReasonRow {
            reason: reason.clone(),
            count,
            of_upstream: known.is_some_and(Reason::is_upstreams),
            remedy: known.map_or("", Reason::remedy).to_owned(),
            callers,
            more_callers,
        }
    };
    let mut rows: Vec<ReasonRow> = all.reasons.iter().map(row).collect();
    rows.sort_by(|a, b| (b.count, &a.reason).cmp(&(a.count, &b.reason)));
    rows
}

/// Those that ask as a XiVO does, and are in no policy by now.
fn unknown_callers(shared: &Shared, snapshot: &Snapshot) -> Vec<UnknownCallerRow> {
    let own = snapshot.config.upstream.source.as_ref().map(|source| source.value);
    let is_foreign = |caller: &UnknownCaller| {
        let address = ClientAddress::new(caller.address);
        let is_own = own.is_some_and(|own| ClientAddress::new(own) == address);
        !is_own && !address.ip().is_loopback() && !is_known(snapshot, address)
    };
    let callers = shared.unknown_callers.last();
    let shown = callers.iter().filter(|caller| asks_as_xivo(caller.lookups, caller.requests));
    shown.filter(|caller| is_foreign(caller)).filter_map(unknown_caller).collect()
}

/// Whether a policy names the address, or has a name that resolves to it.
fn is_known(snapshot: &Snapshot, address: ClientAddress) -> bool {
    let caller = Caller::direct((address.ip(), 0).into());
    snapshot.peers.find(&caller).peer().is_some()
}

fn unknown_caller(caller: &UnknownCaller) -> Option<UnknownCallerRow> {
    let time = |millis: u64| Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok();
    let (first, last) = (time(caller.first_millis)?, time(caller.last_millis)?);
    let minute = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M").to_string();
    let asked = format!(
        "{}, {} to {} UTC",
        figures::plural(caller.requests, "request", "requests"),
        minute(first),
        minute(last)
    );
    let address = caller.address.to_string();
    let user_agent = String::from_utf8_lossy(caller.user_agent());
    let proposal = Proposal {
        address: &address,
        asked: &asked,
        actions: caller.actions,
        private: caller.private > 0,
    };
    Some(UnknownCallerRow {
        first,
        last,
        requests: caller.requests,
        lookups: caller.lookups,
        private: caller.private,
        user_agent: user_agent.replace(char::is_control, "\u{fffd}"),
        file: policy_file(&address),
        policy: proposal.to_string(),
        address,
    })
}

/// Whom a reason met, as many of them as are told.
const MOST_CALLERS: usize = 5;

/// How often the counters are looked at: seldom for the machine, often for a slot of a minute.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
