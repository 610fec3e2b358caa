//! The gateway's own question to XiVO (`[upstream.check]`): asked as a lookup is, over a connection of its own, and
//! answered to nobody. What comes of it is told to the circuit.

use tokio::time::{Instant, timeout_at};

use super::explain::explain_fault;
use super::forward::{ClientSide, head_timeout, request_parts};
use super::relay;
use crate::identity::caller::Caller;
use crate::net::proxy_protocol::write::Relayed;
use crate::policy::decide::Permit;
use crate::response::request_id::RequestId;
use crate::upstream::{HeadDeadline, UpstreamFault, connect};
use crate::worker::Shared;
use crate::worker::diagnostics::Diagnostics;
use crate::worker::snapshot::Snapshot;

/// Asks XiVO, unless a lookup is trying it just now. `relayed` is whom the PROXY protocol names, if it is sent.
pub(crate) async fn check_upstream(
    shared: &Shared,
    permit: &Permit,
    relayed: Relayed,
    diagnostics: &Diagnostics,
) {
    let Ok(pass) = shared.outage.admit_check(permit.lookup()) else { return };
    let snapshot = shared.snapshot();
    let began = Instant::now();
    let asked = ask(&snapshot, permit, relayed, began).await;
    let why = asked.as_ref().err().map(|fault| explain_fault(fault, &snapshot));
    let news = match &asked {
        Ok(()) => pass.answered(),
        Err(fault) => pass.failed(fault, began.into_std()),
    };
    if let Some(why) = &why {
        diagnostics.own_check_failed(&snapshot.config.upstream.url_text, why);
    }
    if let Some(news) = news {
        diagnostics.circuit(&news, &why.unwrap_or_default());
    }
}

async fn ask(
    snapshot: &Snapshot,
    permit: &Permit,
    relayed: Relayed,
    began: Instant,
) -> Result<(), UpstreamFault> {
    let upstream = &snapshot.config.upstream;
    let id = RequestId::new(fastrand::u128(..));
    let caller = Caller::direct((relayed.client.ip(), 0).into());
    let client = ClientSide { caller: &caller, scheme: "http", user_agent: Some(AGENT) };
    let request = request_parts(upstream, permit, client, &id).write(Vec::new());
    let deadline = HeadDeadline::new(began, head_timeout(upstream, permit.lookup()));
    let exchange = async {
        let connection = connect(&snapshot.route(relayed)).await?;
        let mut answer = connection.send(&request, Vec::new(), None).await?;
        relay::check(permit.lookup(), &mut answer, upstream, deadline).await
    };
    timeout_at(deadline.at, exchange).await.unwrap_or_else(|_| Err(deadline.into()))
}

/// What XiVO's access log shows.
const AGENT: &[u8] = concat!("phonebook-gateway/", env!("CARGO_PKG_VERSION"), " check").as_bytes();
