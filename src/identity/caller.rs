//! Who sent a request, as far as its connection and its head say: found once, and used by policy,
//! limits, log and `explain` alike.

use std::net::{IpAddr, SocketAddr};

use crate::identity::certificate::PresentedCertificate;
use crate::identity::forwarded::ForwardedHeader;
use crate::net::client_address::ClientAddress;

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'c> {
    /// Whom it comes from. `None` where a trusted proxy says nothing of a client: such a caller is
    /// never a peer.
    pub address: Option<ClientAddress>,
    /// How that was found.
    pub source: ClientSource,
    /// The other end of the connection, which is a proxy's where one stands in front; not IPv4-mapped.
    pub socket: SocketAddr,
    /// The certificate whose key it proved to hold, judged as of now.
    pub certificate: Option<PresentedCertificate<'c>>,
}

/// How a client's address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientSource {
    /// It is the connection's.
    Socket,
    /// A listed sender's PROXY header names it.
    ProxyProtocol,
    /// A trusted proxy's `X-Forwarded-For` names it.
    XForwardedFor,
    /// A trusted proxy's `Forwarded` (RFC 7239) names it.
    Forwarded,
}

impl ClientSource {
    /// The word for it, in the log as elsewhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::ProxyProtocol => "proxy-protocol",
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

impl From<ForwardedHeader> for ClientSource {
    fn from(header: ForwardedHeader) -> Self {
        match header {
            ForwardedHeader::XForwardedFor => Self::XForwardedFor,
            ForwardedHeader::Forwarded => Self::Forwarded,
        }
    }
}

impl Caller<'_> {
    /// Who connects from `socket`, with no proxy between.
    pub fn direct(socket: SocketAddr) -> Self {
        let address = ClientAddress::new(socket.ip());
        let socket = SocketAddr::new(address.ip(), socket.port());
        Self { address: Some(address), source: ClientSource::Socket, socket, certificate: None }
    }

    /// The address that the log shows, and that a caller in no policy is counted by: the client's, or
    /// where there is none the other end's, as nginx's `$remote_addr`.
    pub fn shown_address(&self) -> ClientAddress {
        self.address.unwrap_or_else(|| ClientAddress::new(self.socket.ip()))
    }

    /// The same as an address of the standard library.
    pub fn ip(&self) -> IpAddr {
        self.shown_address().ip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_the_logs() {
        let all = [
            (ClientSource::Socket, "socket"),
            (ClientSource::ProxyProtocol, "proxy-protocol"),
            (ClientSource::XForwardedFor, "x-forwarded-for"),
            (ClientSource::Forwarded, "forwarded"),
        ];
        for (source, word) in all {
            assert_eq!(source.as_str(), word);
        }
    }
}
