//! `/ready`: whether lookups would be answered.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::control::View;
use crate::server::Server;

/// Looks whether the gateway is ready; one look at a time, for all who ask.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    looking: Mutex<Vec<String>>,
    looked: Cell<Option<Instant>>,
}

impl Readiness {
    /// What is in the way; nothing where the gateway is ready.
    pub(super) async fn obstacles(&self, server: &Server) -> Vec<String> {
        let came = Instant::now();
        let mut found = self.looking.lock().await;
        // Somebody else has begun to look since.
        if self.looked.get().is_none_or(|looked| looked < came) {
            self.looked.set(Some(Instant::now()));
            *found = look(server).await;
        }
        found.clone()
    }
}

/// A configuration is loaded and every listener was bound, or there would be no server.
async fn look(server: &Server) -> Vec<String> {
    if server.is_draining() {
        return vec!["the gateway is ending: it takes no further connections".to_owned()];
    }
    let mut found = Vec::new();
    let (bound, wanted) =
        (server.addresses().len(), server.shared().snapshot().config.listeners.len());
    if bound < wanted {
        found.push(format!("{bound} of {wanted} listeners are bound"));
    }
    if let Some(thread) = server.silent(LIMIT).await {
        found.push(format!("the thread `{thread}` does not answer"));
    }
    found.extend(of_upstream(server));
    found
}

/// What is known to keep XiVO from answering.
fn of_upstream(server: &Server) -> Option<String> {
    View(server).circuit(&server.shared().snapshot()).why
}

/// How long workers may take to say that they work.
const LIMIT: Duration = Duration::from_secs(1);
