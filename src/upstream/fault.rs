//! What can go wrong between the gateway and XiVO: one variant a fault, sorted by the phase of the exchange
//! in which it was met, and with what the system or a library said of it.
//!
//! A fault is a value like any other: which certificate was refused, and whether it was this host that could
//! not, stands in it, and nobody has to compare sentences. Making one allocates only where there is a cause.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::certificate::CertificateFacts;
use crate::http1::response::InvalidResponse;

/// What went wrong between the gateway and XiVO. Its text is for the gateway's own administrator: what was
/// seen, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UpstreamFault {
    /// This host lacks what a connection takes. It is no fault of XiVO's, and tells nothing of it.
    #[error("XiVO could not be reached: {0}")]
    ThisHost(#[source] Lack),
    /// No connection, or it was reset.
    #[error("XiVO could not be reached: {0}")]
    Unreachable(#[source] Unreachable),
    /// The answer is not HTTP/1 as read here, or a 200 that is no phonebook.
    #[error("XiVO's answer was not accepted: {0}")]
    Invalid(#[source] Invalid),
    /// XiVO answered a redirect.
    #[error(
        "XiVO answered {0}, a redirect: its nginx sends plain http elsewhere unless the Host is `localhost` or `127.0.0.1`; set upstream.host = \"localhost\""
    )]
    Redirect(u16),
    /// XiVO answered 401 or 403: it does not know the gateway.
    #[error("XiVO answered {0}: it does not let this gateway in; add a Web Services user")]
    RefusedGateway(u16),
    /// XiVO answered any other status than a phonebook's.
    #[error("XiVO answered {0}, which no phonebook does; see XiVO's own logs")]
    Error(u16),
    /// The answer is larger than `upstream.max_answer`.
    #[error("XiVO's answer is larger than upstream.max_answer")]
    TooLarge,
    /// The answer did not begin in time.
    #[error("XiVO did not answer within {0}; its nginx or php-fpm is slow or stuck")]
    Timeout(HeadTimeout),
    /// The body of the answer stopped coming.
    #[error("nothing more of XiVO's answer came for upstream.stall_timeout")]
    Stalled,
    /// The answer was not whole within `upstream.answer_timeout`.
    #[error(
        "XiVO's answer was not whole within upstream.answer_timeout (ten times that for act=list)"
    )]
    TooSlow,
}

/// How long an answer may take to begin: that of which key, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadTimeout {
    /// The key, without its section: `timeout`.
    pub key: &'static str,
    /// Its value.
    pub limit: Duration,
}

impl fmt::Display for HeadTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream.{} ({:?})", self.key, self.limit)
    }
}

/// What this host lacks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Lack {
    /// The process has as many files open as it may have (EMFILE).
    #[error("this process may have no more open files; raise LimitNOFILE")]
    OpenFiles(#[source] Cause),
    /// The host has as many files open as it may have (ENFILE).
    #[error("this host may have no more open files; raise fs.file-max")]
    OpenFilesOfHost(#[source] Cause),
    /// The kernel has no memory for a connection (ENOBUFS, ENOMEM).
    #[error("this host's kernel has no memory for another connection, or MemoryMax allows none")]
    Memory(#[source] Cause),
    /// No address to come from (EADDRNOTAVAIL).
    #[error("this host does not have the address upstream.source, or no local port is left")]
    Address(#[source] Cause),
}

/// Why there was no connection, or no more of it, by the phase in which that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unreachable {
    /// Before all: the gateway does not connect like that.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// While XiVO's name is resolved.
    #[error(transparent)]
    Resolve(#[from] ResolveFault),
    /// The connection could not be established.
    #[error(transparent)]
    Connect(#[from] ConnectFault),
    /// In the TLS handshake.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// While the request is sent.
    #[error(transparent)]
    Send(#[from] SendFault),
    /// While the answer's head is waited for.
    #[error(transparent)]
    Head(#[from] HeadFault),
    /// While the answer's body comes.
    #[error(transparent)]
    Body(#[from] BodyFault),
}

/// A connection that the gateway does not make, or not for this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAllowed {
    /// XiVO would take the client for itself.
    #[error(
        "the client has a loopback address, and XiVO grants `private` to the one that the PROXY protocol names; it is asked for clients on the network only"
    )]
    LoopbackClient,
    /// XiVO would take the gateway for itself.
    #[error(
        "the connection would come from a loopback address, to which XiVO grants `private`; set upstream.source to this host's address on the network"
    )]
    LoopbackSource,
    /// Nobody would be named to XiVO.
    #[error("a unix socket is asked with the PROXY protocol only (upstream.send_proxy_protocol)")]
    SocketWithoutClient,
    /// The two ends would not be of one kind.
    #[error("upstream.source and XiVO's address are not both IPv4 or both IPv6")]
    OtherFamily,
}

/// What went wrong with XiVO's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResolveFault {
    /// Nothing was found for it so far.
    #[error("its host name has no address yet")]
    NoAddress,
}

/// What went wrong in connecting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectFault {
    /// `upstream.connect_timeout` is over.
    #[error("no connection within upstream.connect_timeout")]
    TooSlow,
    /// Nobody listens at the address (`ECONNREFUSED`).
    #[error("the connection was refused; is XiVO's nginx running?")]
    Refused(#[source] Cause),
    /// It was reset at once.
    #[error("the connection was reset")]
    Reset(#[source] Cause),
    /// The network does not lead there.
    #[error("there is no route to XiVO")]
    NoRoute(#[source] Cause),
    /// The kernel gave up.
    #[error("the connection timed out")]
    TimedOut(#[source] Cause),
    /// There is no unix socket of this name.
    #[error("there is no such socket as upstream.url names")]
    NoSocket(#[source] Cause),
    /// The unix socket is somebody else's.
    #[error("the gateway's user may not write to the socket that upstream.url names")]
    SocketForbidden(#[source] Cause),
    /// The unix socket takes no connection now.
    #[error("the socket's queue is full; is XiVO's nginx stuck?")]
    SocketQueueFull(#[source] Cause),
    /// Where it comes from cannot be told.
    #[error("the connection has no local address")]
    NoLocalAddress(#[source] Cause),
    /// Any other error of the system.
    #[error("the connection failed")]
    Failed(#[source] Cause),
}

/// What went wrong in the TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsFault {
    /// XiVO's certificate is not trusted.
    #[error("{why}")]
    Certificate {
        /// What is wrong with it.
        why: CertificateFault,
        /// The certificate that was shown in this handshake.
        seen: Option<Arc<CertificateFacts>>,
        /// What the library said.
        #[source]
        cause: Cause,
    },
    /// What came is no TLS.
    #[error(
        "what answers at its port does not speak TLS; is the port of upstream.url one of https?"
    )]
    NotTls(#[source] Cause),
    /// Either side found so.
    #[error(
        "it has no TLS version or cipher in common with this gateway, which speaks TLS 1.2 and 1.3"
    )]
    NothingInCommon(#[source] Cause),
    /// The alert `unrecognized_name`.
    #[error("it knows no certificate for the name that was asked for; set upstream.server_name")]
    UnknownName(#[source] Cause),
    /// The alert `no_application_protocol`.
    #[error("it does not offer HTTP/1.1 over TLS")]
    NoHttp(#[source] Cause),
    /// The alert `certificate_required`.
    #[error("it asks for a client certificate")]
    WantsCertificate(#[source] Cause),
    /// Any other alert.
    #[error("it refused the TLS handshake with an alert")]
    Alert(#[source] Cause),
    /// Any other rule of TLS.
    #[error("the TLS handshake failed")]
    Failed(#[source] Cause),
    /// The connection ended in it.
    #[error("XiVO ended the connection in the TLS handshake")]
    Ended(#[source] Cause),
}

/// Why XiVO's certificate is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateFault {
    /// Its last day is over.
    #[error("its certificate has expired; renew it on XiVO, or set upstream.pin_sha256")]
    Expired,
    /// Its first day has not come.
    #[error("its certificate is not valid yet; compare the clocks of this host and of XiVO")]
    NotValidYet,
    /// No authority that is trusted has signed it.
    #[error(
        "its certificate is issued by no authority that this gateway trusts; set upstream.ca, or upstream.pin_sha256 (`phonebook-gateway probe --pin` prints it)"
    )]
    UnknownIssuer,
    /// It has another name.
    #[error(
        "its certificate is for another name than that of upstream.url; set upstream.server_name to a name that it has, or upstream.pin_sha256"
    )]
    WrongName,
    /// It is none of those that are pinned.
    #[error(
        "its certificate is none of upstream.pin_sha256; if it was renewed, compare it with XiVO's own and pin the new one (`phonebook-gateway probe --pin` prints it)"
    )]
    WrongPin,
    /// It is one of an authority, as those that `openssl req -x509` makes: webpki accepts it from no server.
    #[error(
        "its certificate is an authority's own, as self-signed ones often are, and cannot be verified by upstream.ca; set upstream.pin_sha256 (`phonebook-gateway probe --pin` prints it)"
    )]
    AuthorityItself,
    /// Any other reason.
    #[error(
        "its certificate was not accepted; set upstream.pin_sha256 (`phonebook-gateway probe --pin` prints it)"
    )]
    NotAccepted,
}

/// What went wrong in sending.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendFault {
    /// The PROXY protocol's header was not taken.
    #[error("XiVO closed the connection before it read the PROXY protocol's header")]
    ProxyHeader(#[source] Cause),
    /// The request was not taken.
    #[error("XiVO closed the connection before it read the request")]
    Request(#[source] Cause),
}

/// How a connection ended before the answer's head was whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeadFault {
    /// Orderly, and without a byte.
    #[error("XiVO closed the connection without an answer")]
    Closed,
    /// With a reset, and without a byte.
    #[error("XiVO reset the connection without an answer")]
    Reset(#[source] Cause),
    /// In the middle of it, orderly or with a reset.
    #[error("XiVO ended the connection in the head of its answer")]
    Cut(#[source] Option<Cause>),
}

/// How a connection ended before the answer's body was whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BodyFault {
    /// With a reset.
    #[error("XiVO reset the connection in the answer")]
    Reset(#[source] Cause),
}

/// What is wrong with an answer, by the part of it that has it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    /// The head is not one of a phonebook's answer.
    #[error(transparent)]
    Head(#[from] InvalidHead),
    /// The body breaks its framing.
    #[error(transparent)]
    Body(#[from] InvalidBody),
}

/// What is wrong with an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidHead {
    /// It is not HTTP/1 as read here.
    #[error(transparent)]
    Http(#[from] InvalidResponse),
    /// It is longer than [`super::MAX_ANSWER_HEAD`].
    #[error("its head is longer than 16 KiB")]
    TooLong,
    /// The status is 101.
    #[error("it changes to another protocol")]
    OtherProtocol,
    /// More answers with 1xx than anybody needs.
    #[error("more than 8 interim answers came first")]
    Interim,
    /// A page, say.
    #[error("it is a 200 that is not JSON (application/json)")]
    NotJson,
    /// Such as gzip.
    #[error("it has a Content-Encoding, which was not asked for")]
    Coded,
    /// The end of the connection would be the end of the answer.
    #[error("it has neither a Content-Length nor chunks")]
    NoEnd,
}

/// What is wrong with an answer's body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidBody {
    /// The connection ended first.
    #[error("it ended before its end")]
    Short,
    /// They are not the chunked coding.
    #[error("its chunks are broken")]
    Chunks,
    /// Whose answer are they?
    #[error("bytes came after its end")]
    AfterTheEnd,
    /// Such as a notice of PHP's, or a byte order mark, before the JSON.
    #[error(
        "it is a 200 that begins with {begins}, and a phonebook's begins with `{expected}`; see XiVO's own logs"
    )]
    Foreign {
        /// What it begins with, for this sentence: never what was searched for.
        begins: Box<str>,
        /// The first byte of a phonebook's.
        expected: char,
    },
    /// Where a phonebook has nobody it says 204.
    #[error("it is a 200 with nothing in it; see XiVO's own logs")]
    Empty,
    /// Where does it begin?
    #[error("it is a 200 that begins with 32 KiB of white space; see XiVO's own logs")]
    WhiteSpace,
}

/// What the system or a library said, below a fault. Two are equal that say the same.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Keeps what was said.
    pub fn new(said: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(said))
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl UpstreamFault {
    /// What a peer is told: that it is not the peer's fault. The rest is for the gateway's own
    /// administrator.
    pub fn for_peer(&self) -> &'static str {
        match self {
            Self::Timeout(_) | Self::Stalled | Self::TooSlow => {
                "The XiVO behind this gateway did not answer in time."
            }
            Self::ThisHost(_) | Self::Unreachable(_) => {
                "The XiVO behind this gateway could not be reached."
            }
            Self::TooLarge => "The answer of the XiVO behind this gateway is too large.",
            Self::Invalid(_) | Self::Redirect(_) | Self::RefusedGateway(_) | Self::Error(_) => {
                "The XiVO behind this gateway did not answer as a phonebook does. Its administrator finds the reason in the gateway's journal."
            }
        }
    }

    /// XiVO's certificate, where this is why it was not asked.
    pub fn refused_certificate(&self) -> Option<&CertificateFacts> {
        match self {
            Self::Unreachable(Unreachable::Tls(TlsFault::Certificate { seen, .. })) => {
                seen.as_deref()
            }
            Self::ThisHost(_)
            | Self::Unreachable(_)
            | Self::Invalid(_)
            | Self::Redirect(_)
            | Self::RefusedGateway(_)
            | Self::Error(_)
            | Self::TooLarge
            | Self::Timeout(_)
            | Self::Stalled
            | Self::TooSlow => None,
        }
    }
}

/// A fault of a phase is one of the exchange.
macro_rules! is_unreachable {
    ($($fault:ident)+) => {
        $(impl From<$fault> for UpstreamFault {
            fn from(fault: $fault) -> Self {
                Self::Unreachable(fault.into())
            }
        })+
    };
}

is_unreachable!(NotAllowed ResolveFault ConnectFault TlsFault SendFault HeadFault BodyFault);

impl From<Lack> for UpstreamFault {
    fn from(lack: Lack) -> Self {
        Self::ThisHost(lack)
    }
}

impl From<InvalidHead> for UpstreamFault {
    fn from(invalid: InvalidHead) -> Self {
        Self::Invalid(invalid.into())
    }
}

impl From<InvalidBody> for UpstreamFault {
    fn from(invalid: InvalidBody) -> Self {
        Self::Invalid(invalid.into())
    }
}
