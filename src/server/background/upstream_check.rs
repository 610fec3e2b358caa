//! Whether XiVO answers, asked by the gateway itself now and then (`[upstream.check]`): in a thread of its own, so
//! that no worker and no lookup waits for it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use tokio::runtime::Builder;

use crate::gateway::explain::source_address;
use crate::gateway::own_check::check_upstream;
use crate::net::client_address::ClientAddress;
use crate::net::proxy_protocol::write::Relayed;
use crate::server::background::Nudge;
use crate::server::{StartError, other_addresses};
use crate::supervision::{Ending, Supervisor, waits};
use crate::worker::Shared;
use crate::worker::diagnostics::Diagnostics;
use crate::worker::snapshot::Snapshot;

/// Asks XiVO as often as the configuration says, until the sender that it returns is dropped.
pub(crate) fn start_check(
    shared: &Arc<Shared>,
    supervisor: &Supervisor,
) -> Result<Nudge, StartError> {
    let (nudge, nudged) = mpsc::channel();
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::thread(THREAD))?;
    let shared = Arc::clone(shared);
    let keep = move || {
        let diagnostics = Diagnostics::default();
        let mut asked = Instant::now();
        // All that it does is to wait, for the next time or for XiVO.
        waits();
        loop {
            let question = shared.snapshot().config.upstream.check.question();
            let due = question.as_ref().map(|(_, interval)| asked + *interval);
            let ended = match due {
                // Such a thread is about to be ended.
                None => nudged.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                Some(due) => nudged.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match ended {
                // The configuration may be another one.
                Ok(()) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ending::Expected,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            asked = Instant::now();
            if let Some((permit, _)) = question {
                let relayed = own_client(&shared.snapshot(), None);
                runtime.block_on(check_upstream(&shared, &permit, relayed, &diagnostics));
            }
        }
    };
    supervisor.spawn(THREAD, keep).map_err(StartError::thread(THREAD))?;
    Ok(nudge)
}

/// The client that is named to XiVO where the gateway asks of its own: `from`, else this host.
pub(crate) fn own_client(snapshot: &Snapshot, from: Option<IpAddr>) -> Relayed {
    let own = || source_address(snapshot).filter(|source| !source.is_loopback());
    let client = from.or_else(own).or_else(|| other_addresses().first().copied());
    let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Relayed { client: ClientAddress::new(client), port: 0, destination: (client, 0).into() }
}

/// The thread's name.
const THREAD: &str = "xivo-check";
