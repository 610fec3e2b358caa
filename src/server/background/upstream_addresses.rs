//! XiVO's addresses, where the configuration has a name: resolved beside the workers, never while a
//! request waits.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::config::{Upstream, UpstreamHost};
use crate::server::StartError;
use crate::server::background::Nudge;
use crate::supervision::{Ending, Supervisor, waits, works};
use crate::worker::Shared;

/// XiVO's addresses as they are now; a socket has none. Blocks as long as the system's resolver does.
///
/// # Errors
/// The resolver's.
pub fn resolve(upstream: &Upstream) -> io::Result<Vec<SocketAddr>> {
    match &upstream.host {
        UpstreamHost::Ip(ip) => Ok(vec![SocketAddr::new(*ip, upstream.port)]),
        UpstreamHost::Socket(_) => Ok(Vec::new()),
        UpstreamHost::Name(name) => {
            let mut addresses: Vec<SocketAddr> =
                (name.as_str(), upstream.port).to_socket_addrs()?.collect();
            // Name servers answer in turns; the order is not to look like a change.
            addresses.sort_unstable();
            addresses.dedup();
            Ok(addresses)
        }
    }
}

/// Why XiVO's name has no addresses. The gateway starts all the same.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// The resolver's answer.
    #[error("{host} has no address: {error}; lookups are answered 502 until it has")]
    Failed {
        /// XiVO's name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The resolver did not answer in time.
    #[error("{host} was not resolved within {timeout:?}; lookups are answered 502 until it is")]
    Late {
        /// XiVO's name.
        host: String,
        /// How long it was waited for.
        timeout: Duration,
    },
}

/// The same for no longer than `timeout`: a name is resolved in a thread of its own.
///
/// # Errors
/// [`Unresolved`]
pub fn resolve_within(
    upstream: &Upstream,
    timeout: Duration,
) -> Result<Vec<SocketAddr>, Unresolved> {
    let host = upstream.host.to_string();
    let UpstreamHost::Name(_) = upstream.host else {
        return resolve(upstream).map_err(|error| Unresolved::Failed { host, error });
    };
    let (answer, answered) = mpsc::channel();
    let asked = upstream.clone();
    let thread = thread::Builder::new()
        .name("resolve".to_owned())
        // Nobody waits for it where it is too late.
        .spawn(move || drop(answer.send(resolve(&asked))));
    match thread.map(|_| answered.recv_timeout(timeout)) {
        Ok(Ok(Ok(addresses))) => Ok(addresses),
        Ok(Ok(Err(error))) | Err(error) => Err(Unresolved::Failed { host, error }),
        Ok(Err(_)) => Err(Unresolved::Late { host, timeout }),
    }
}

/// The same at the start: a name that does not resolve delays it a little and does not prevent it.
pub(crate) fn resolve_at_start(upstream: &Upstream) -> Vec<SocketAddr> {
    resolve_within(upstream, RESOLVE_TIMEOUT).unwrap_or_else(|unresolved| {
        tracing::warn!("{}: {unresolved}", upstream.location);
        Vec::new()
    })
}

/// Keeps XiVO's addresses current where it is known by a name, until the sender that it returns is dropped.
pub(crate) fn start_resolver(
    shared: &Arc<Shared>,
    supervisor: &Supervisor,
) -> Result<Nudge, StartError> {
    let (nudge, nudged) = mpsc::channel();
    let shared = Arc::clone(shared);
    let keep = move || {
        let mut failing = shared.snapshot().upstream.is_empty();
        let pause = |failing| if failing { RESOLVE_SOON } else { RESOLVE_AGAIN };
        let next = |failing| {
            waits();
            let nudge = nudged.recv_timeout(pause(failing));
            works();
            nudge != Err(mpsc::RecvTimeoutError::Disconnected)
        };
        while next(failing) {
            let config = Arc::clone(&shared.snapshot().config);
            let upstream = &config.upstream;
            if !matches!(upstream.host, UpstreamHost::Name(_)) {
                continue;
            }
            match resolve(upstream) {
                Ok(addresses) => {
                    failing = false;
                    if shared.set_upstream(&config, addresses.clone()) {
                        tracing::info!("{} is now at {addresses:?}", upstream.host);
                    }
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        "{} could not be resolved: {error}; its last addresses are kept",
                        upstream.host
                    );
                }
                Err(_) => {}
            }
        }
        Ending::Expected
    };
    supervisor.spawn(THREAD, keep).map_err(StartError::thread(THREAD))?;
    Ok(nudge)
}

/// The thread's name.
const THREAD: &str = "resolver";

/// How long the start waits for XiVO's name.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often XiVO's name is resolved again.
const RESOLVE_AGAIN: Duration = Duration::from_secs(60);

/// The same after a failure.
const RESOLVE_SOON: Duration = Duration::from_secs(1);
