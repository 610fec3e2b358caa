//! `status`: how the gateway is.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Commands;
use super::connections::summary;
use super::peers::{disabled, refusal, requests};
use crate::control::documents::{
    CircuitRow, Configuration, ListenerRow, LogLevel, LogRow, Revision, Status, UpstreamRow,
    WorkerRow,
};
use crate::gateway::explain::{explain_circuit, source};
use crate::limits::SeatCensus;
use crate::upstream::circuit::CircuitState;
use crate::worker::counts::{CountedRequests, LastRefusal};
use crate::worker::outage::CircuitView;
use crate::worker::snapshot::Snapshot;

impl Commands {
    pub(super) fn status(&self, census: &SeatCensus) -> Status {
        let shared = self.server.shared();
        let snapshot = shared.snapshot();
        let counted = shared.all.sum();
        let now = Timestamp::now();
        let mut certificates = self.certificates().certificates;
        certificates.truncate(3);
        let logs = self.server.log_counters();
        let logs = logs.iter().map(|log| LogRow {
            name: log.name().to_owned(),
            written: log.lines_written(),
            lost: log.lines_lost(),
        });
        let off = snapshot.disabled.in_force(now);
        Status {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: shared.since,
            phase: if self.server.is_draining() { "draining" } else { "serving" }.to_owned(),
            configuration: self.configuration(&snapshot),
            listeners: self.listeners(&snapshot),
            workers: self.workers(),
            connections: summary(census),
            requests: requests(&counted),
            upstream: upstream(&snapshot, &counted, circuit(&shared.outage.circuit(), &snapshot)),
            peers: self.peers_summary(&snapshot),
            names: self.names_summary(),
            certificates,
            logs: logs.collect(),
            log_level: LogLevel {
                level: self.level.current(),
                until: self.level_until.get().map(|(_, until)| until),
                configured: self.level.configured().to_owned(),
            },
            disabled: off.into_iter().map(|peer| disabled(peer, &snapshot)).collect(),
        }
    }

    pub(super) fn revision(&self) -> Revision {
        let shared = self.server.shared();
        Revision {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            configuration: self.configuration(&shared.snapshot()),
            since: shared.since,
        }
    }

    fn configuration(&self, snapshot: &Snapshot) -> Configuration {
        let file = &snapshot.config.file;
        // Whoever asks may stand in another directory.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        Configuration {
            file: file.display().to_string(),
            revision: snapshot.config.revision.clone(),
            differs: self.server.differs_from_disk().map(|difference| difference.to_string()),
        }
    }

    fn listeners(&self, snapshot: &Snapshot) -> Vec<ListenerRow> {
        let addresses = self.server.addresses();
        let configured = &snapshot.config.listeners;
        let row =
            |(address, listener): (&std::net::SocketAddr, &crate::config::Listener)| ListenerRow {
                address: address.to_string(),
                tls: listener.tls.is_some(),
                http2: listener.http2,
            };
        addresses.iter().zip(configured).map(row).collect()
    }

    fn workers(&self) -> Vec<WorkerRow> {
        let requests = self.server.shared().all.by_worker();
        let row = |(number, requests)| WorkerRow { number, requests };
        requests.enumerate().map(row).collect()
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
