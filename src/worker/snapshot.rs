//! What requests are judged by, as of one moment.

use std::net::SocketAddr;
use std::sync::Arc;

use super::listeners::{ListenerId, ServedListener};
use crate::config::{Config, Listener, UpstreamHost};
use crate::identity::disabled::DisabledPeers;
use crate::identity::peers::{self, Peer, Peers};
use crate::limits::{GatewayLimits, PeerLimits};
use crate::net::proxy_protocol::write::Relayed;
use crate::resolver::Lost;
use crate::tls::ListenerTls;
use crate::upstream::{Route, Tls};
use crate::worker::counts::RequestCounts;

/// Everything that a request is judged by, as of one moment. A request takes it once and sees one
/// revision from end to end.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The configuration as it was read.
    pub config: Arc<Config>,
    /// The peers, each with what is kept for it.
    pub peers: Arc<Peers<PeerState>>,
    /// Those that were switched off since, whatever their policies say.
    pub disabled: Arc<DisabledPeers>,
    /// How many workers count what peers ask.
    pub(super) workers: usize,
    /// Addresses that names had, and that are no peer's now.
    pub lost: Arc<[Lost]>,
    /// What all peers together may ask, and what unknown callers may.
    pub limits: Arc<GatewayLimits>,
    /// The listeners in the configuration's order, and behind them those that were removed and still have
    /// connections.
    pub listeners: Arc<[ServedListener]>,
    /// XiVO's addresses; empty while its name has none, and for a socket.
    pub upstream: Vec<SocketAddr>,
    /// How TLS is spoken with XiVO, if it is.
    pub upstream_tls: Option<Arc<Tls>>,
    /// Which way to XiVO that is: another number where a connection of the former is not to be used any more.
    pub way: u64,
}

/// What is kept for a peer from one snapshot to the next.
#[derive(Clone, Debug)]
pub struct PeerState {
    /// What it has used up of its limits.
    pub limits: Arc<PeerLimits>,
    /// What it has asked.
    pub counts: Arc<RequestCounts>,
}

/// A peer of a snapshot.
pub(crate) type PeerWithState = Peer<PeerState>;

/// Who a caller is, by a snapshot's peers.
pub(crate) type Found<'a> = peers::Found<'a, PeerState>;

impl Snapshot {
    /// The section of a listener; `None` for one that nobody knows any more.
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.served(id).map(|served| &*served.section)
    }

    /// What a listener has of certificates; `None` where it speaks no TLS.
    pub fn listener_tls(&self, id: ListenerId) -> Option<&Arc<ListenerTls>> {
        self.served(id)?.tls.as_ref()
    }

    /// There are few of them.
    fn served(&self, id: ListenerId) -> Option<&ServedListener> {
        self.listeners.iter().find(|served| served.id == id)
    }

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
            tls: self.upstream_tls.as_deref(),
            way: self.way,
            relayed: upstream.send_proxy_protocol.then_some(client),
            trace: None,
        }
    }
}
