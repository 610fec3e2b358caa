//! `status`: how the gateway is.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::connections::summary;
use super::peers::{disabled, refusal, requests};
use super::{Commands, View};
use crate::control::documents::{
    CircuitRow, Configuration, ConnectionsSummary, DisabledRow, ListenerRow, LogLevel, LogRow,
    Requests, Revision, Status, UpstreamRow, WorkerRow,
};
use crate::gateway::explain::{explain_circuit, source};
use crate::limits::SeatCensus;
use crate::upstream::circuit::CircuitState;
use crate::worker::counts::{CountedRequests, LastRefusal};
use crate::worker::outage::CircuitView;
use crate::worker::snapshot::Snapshot;

impl Commands {
    pub(super) fn status(&self, census: &SeatCensus) -> Status {
        let view = self.view();
        let shared = self.server.shared();
        let snapshot = shared.snapshot();
        let (requests, upstream) = view.asked(&snapshot);
        let mut certificates = view.certificates().certificates;
        certificates.truncate(3);
        Status {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: shared.since,
            phase: view.phase().to_owned(),
            configuration: view.configuration(&snapshot),
            listeners: view.listeners(&snapshot),
            workers: view.workers(),
            connections: view.connections_summary(census),
            requests,
            upstream,
            peers: view.peers_summary(&snapshot),
            names: view.names_summary(),
            certificates,
            logs: view.logs(),
            log_level: LogLevel {
                level: self.level.current(),
                until: self.level_until.get().map(|(_, until)| until),
                configured: self.level.configured().to_owned(),
            },
            disabled: view.disabled(&snapshot),
        }
    }
}

impl View<'_> {
    pub(super) fn revision(self) -> Revision {
        let shared = self.0.shared();
        Revision {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            configuration: self.configuration(&shared.snapshot()),
            since: shared.since,
        }
    }

    /// Whether the gateway serves, or is ending.
    pub(crate) fn phase(self) -> &'static str {
        if self.0.is_draining() { "draining" } else { "serving" }
    }

    /// Which configuration runs.
    pub(crate) fn configuration(self, snapshot: &Snapshot) -> Configuration {
        let file = &snapshot.config.file;
        // Whoever asks may stand in another directory.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        Configuration {
            file: file.display().to_string(),
            revision: snapshot.config.revision.clone(),
            differs: self.0.differs_from_disk().map(|difference| difference.to_string()),
        }
    }

    /// What is listened on.
    pub(crate) fn listeners(self, snapshot: &Snapshot) -> Vec<ListenerRow> {
        let addresses = self.0.addresses();
        let configured = &snapshot.config.listeners;
        let row =
            |(address, listener): (&std::net::SocketAddr, &crate::config::Listener)| ListenerRow {
                address: address.to_string(),
                tls: listener.tls.is_some(),
                http2: listener.http2,
            };
        addresses.iter().zip(configured).map(row).collect()
    }

    /// What was asked since the start by all callers together, and what XiVO made of it.
    pub(crate) fn asked(self, snapshot: &Snapshot) -> (Requests, UpstreamRow) {
        let counted = self.0.shared().all.sum();
        (requests(&counted), upstream(snapshot, &counted, self.circuit(snapshot)))
    }

    /// Whether XiVO is asked.
    pub(crate) fn circuit(self, snapshot: &Snapshot) -> CircuitRow {
        circuit(&self.0.shared().outage.circuit(), snapshot)
    }

    /// Client connections.
    pub(crate) fn connections_summary(self, census: &SeatCensus) -> ConnectionsSummary {
        summary(census)
    }

    /// The worker threads.
    pub(crate) fn workers(self) -> Vec<WorkerRow> {
        let requests = self.0.shared().all.by_worker();
        let row = |(number, requests)| WorkerRow { number, requests };
        requests.enumerate().map(row).collect()
    }

    /// The access logs.
    pub(crate) fn logs(self) -> Vec<LogRow> {
        let logs = self.0.log_counters();
        let rows = logs.iter().map(|log| LogRow {
            name: log.name().to_owned(),
            written: log.lines_written(),
            lost: log.lines_lost(),
        });
        rows.collect()
    }

    /// Peers that are switched off.
    pub(crate) fn disabled(self, snapshot: &Snapshot) -> Vec<DisabledRow> {
        let off = snapshot.disabled.in_force(Timestamp::now());
        off.into_iter().map(|peer| disabled(peer, snapshot)).collect()
    }
}

/// XiVO, as the lookups that were passed on to it tell.
fn upstream(snapshot: &Snapshot, counted: &CountedRequests, circuit: CircuitRow) -> UpstreamRow {
    let upstream = &snapshot.config.upstream;
    let failed = counted.refused.iter().filter(|(reason, _)| reason.is_upstreams());
    let last = counted.last_upstream.as_ref();
    let last = last.and_then(|LastRefusal { millis, refusal: fault }| {
        Some(refusal(fault, super::time(*millis)?))
    });
    UpstreamRow {
        url: upstream.url_text.clone(),
        addresses: snapshot.upstream.iter().map(ToString::to_string).collect(),
        source: source(snapshot),
        answered: counted.answered,
        failed: failed.map(|(_, count)| count).sum(),
        last_failure: last,
        circuit,
    }
}

/// Whether it is asked.
fn circuit(view: &CircuitView, snapshot: &Snapshot) -> CircuitRow {
    let now = Instant::now();
    let (state, since, next) = match view.state {
        CircuitState::Closed if view.settings.failures == 0 => ("off", None, None),
        CircuitState::Closed => ("closed", None, None),
        CircuitState::Open { since, until, probing } => {
            let next = until.saturating_duration_since(now);
            let state = if probing || next.is_zero() { "half-open" } else { "open" };
            let next = if probing { Duration::ZERO } else { next };
            (state, Some(now.saturating_duration_since(since)), Some(next))
        }
    };
    CircuitRow {
        state: state.to_owned(),
        since: since.and_then(|since| Timestamp::now().checked_sub(since).ok()),
        why: explain_circuit(view, snapshot),
        next_probe_seconds: next.map(|next| next.as_secs_f64()),
        refused: view.refused,
    }
}
