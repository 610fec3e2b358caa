//! `reload`, `history` and `rollback`: which configuration runs.

use tokio::task::spawn_blocking;

use super::Commands;
use crate::control::documents::{History, HistoryRow, Reloaded, RollbackChanges};
use crate::control::protocol::Refused;
use crate::identity::disabled::Administrator;
use crate::server::{ReloadFault, ReloadReport, Server};

impl Commands {
    /// Reads the files again.
    pub(super) async fn reload(&self, by: &Administrator) -> Result<Reloaded, Refused> {
        let by = format!("ctl reload by {by}");
        let outcome = self.beside(move |server| server.reload(&by)).await?;
        self.reloaded(outcome)
    }

    /// Runs a former configuration again.
    pub(super) async fn rollback(
        &self,
        number: Option<usize>,
        by: &Administrator,
    ) -> Result<Reloaded, Refused> {
        let by = format!("ctl rollback by {by}");
        let outcome = self.beside(move |server| server.rollback(number, &by)).await?;
        self.reloaded(outcome)
    }

    /// What going back would change.
    pub(super) async fn rollback_changes(
        &self,
        number: Option<usize>,
    ) -> Result<RollbackChanges, Refused> {
        let outcome = self.beside(move |server| server.rollback_changes(number)).await?;
        let changes = outcome.map_err(refused)?;
        Ok(RollbackChanges { changes: changes.iter().map(ToString::to_string).collect() })
    }

    /// What is kept.
    pub(super) async fn history(&self) -> Result<History, Refused> {
        let kept = self.beside(Server::history).await?;
        let row = |entry: crate::server::HistoryEntry| HistoryRow {
            number: entry.number,
            at: entry.time,
            revision: entry.revision,
            by: entry.by,
            runs: entry.runs,
            changes: entry.changes.map(|changes| changes.iter().map(ToString::to_string).collect()),
        };
        Ok(History {
            configurations: kept.entries.into_iter().map(row).collect(),
            unreadable: kept.unreadable,
        })
    }

    /// Does what takes its time (it reads files) in a thread of its own: others are answered meanwhile.
    async fn beside<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let server = self.server.clone();
        let done = spawn_blocking(move || act(&server)).await;
        done.map_err(|error| Refused::failed(error.to_string()))
    }

    fn reloaded(&self, outcome: Result<ReloadReport, ReloadFault>) -> Result<Reloaded, Refused> {
        let report = outcome.map_err(refused)?;
        Ok(Reloaded {
            done: report.to_string(),
            changes: report.changes.iter().map(ToString::to_string).collect(),
            warnings: report.warnings.iter().map(ToString::to_string).collect(),
            revision: report.revision,
            former_revision: report.former_revision,
            differs: self.server.differs_from_disk().map(|difference| difference.to_string()),
        })
    }
}

/// Everything is as it was, and why.
fn refused(fault: ReloadFault) -> Refused {
    Refused::no(format!("nothing was taken over:\n{}", fault.rendered))
}
