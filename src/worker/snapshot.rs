//! What requests are judged by, as of one moment.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Config, UpstreamHost};
use crate::identity::peers::{self, Peers};
use crate::limits::PeerLimits;
use crate::net::proxy_protocol::write::Relayed;
use crate::resolver::Lost;
use crate::tls::ListenerTls;
use crate::upstream::Route;

/// Everything that a request is judged by, as of one moment. A request takes it once and sees one
/// revision from end to end.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The configuration as it was read.
    pub config: Arc<Config>,
    /// The peers, each with its limits.
    pub peers: Arc<Peers<Arc<PeerLimits>>>,
    /// Addresses that names had, and that are no peer's now.
    pub lost: Arc<[Lost]>,
    /// What each TLS listener has of certificates, in the listeners' order; `None` for the others.
    pub tls: Arc<[Option<Arc<ListenerTls>>]>,
    /// XiVO's addresses; empty while its name has none, and for a socket.
    pub upstream: Vec<SocketAddr>,
}

/// Who a caller is, by a snapshot's peers.
pub(crate) type Found<'a> = peers::Found<'a, Arc<PeerLimits>>;

impl Snapshot {
    /// How XiVO is reached for a client.
    pub fn route(&self, client: Relayed) -> Route<'_> {
        let upstream = &self.config.upstream;
        Route {
            addresses: &self.upstream,
            socket: match &upstream.host {
                UpstreamHost::Socket(path) => Some(path),
                UpstreamHost::Ip(_) | UpstreamHost::Name(_) => None,
            },
            source: upstream.source.as_ref().map(|source| source.value),
            danger_loopback_source: upstream.danger_loopback_source,
            connect_timeout: upstream.connect_timeout,
            tls: upstream.tls.as_deref(),
            relayed: upstream.send_proxy_protocol.then_some(client),
            trace: None,
        }
    }
}
