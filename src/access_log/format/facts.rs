//! What a line can say of a request.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::access_log::format::combined::Entry;
use crate::identity::caller::ClientSource;
use crate::identity::certificate::PresentedCertificate;
use crate::limits::Limit;
use crate::location::Location;
use crate::upstream::trace::Attempt;

/// Everything that a line can say of a request.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// What `combined` says of it.
    pub entry: Entry<'a>,
    /// The milliseconds of the entry's time.
    pub millis: u16,
    /// What was asked.
    pub request: RequestFacts<'a>,
    /// The client's port, where the connection or the PROXY protocol says it.
    pub remote_port: Option<u16>,
    /// The connection's other end.
    pub socket: SocketAddr,
    /// The client that the PROXY protocol names.
    pub proxied_client: Option<SocketAddr>,
    /// The address that the connection came to.
    pub local: Option<SocketAddr>,
    /// The first of the listener's names.
    pub server_name: &'a str,
    /// What the TLS handshake brought.
    pub tls: Option<TlsLine<'a>>,
    /// The connection's number.
    pub connection: u64,
    /// How many requests it has had with this one.
    pub connection_requests: u32,
    /// How old the connection is.
    pub connection_time: Duration,
    /// Whether the request came together with the one before it.
    pub pipelined: bool,
    /// How much was read of the request.
    pub request_length: u64,
    /// How long it took, from its first byte.
    pub request_time: Duration,
    /// How much of the answer was sent, head and body.
    pub bytes_sent: u64,
    /// Whether the answer was sent to its end.
    pub completed: bool,
    /// Whether the connection goes on.
    pub keep_alive: bool,
    /// The head of the answer as HTTP/1 has it; empty where none was sent.
    pub answer_head: &'a [u8],
    /// The id that XiVO and the client were told.
    pub request_id: &'a str,
    /// The host's name, in lower case.
    pub hostname: &'a str,
    /// The process id (`$pid`).
    pub pid: u32,
    /// How XiVO was asked, each try.
    pub attempts: &'a [Attempt],
    /// The unix socket that XiVO is asked over.
    pub upstream_socket: Option<&'a str>,
    /// The outcome of the check of the rate.
    pub rate: Checked,
    /// The outcome of the `concurrent` and `connections` checks.
    pub concurrent: Checked,
    /// The lookup's action.
    pub action: Option<&'static str>,
    /// The refusal's word.
    pub reason: Option<&'static str>,
    /// The rate that was used up.
    pub limit: Option<Limit>,
    /// The line of the configuration that decided.
    pub rule: Option<&'a Location>,
    /// Which configuration was in force.
    pub revision: &'a str,
    /// How the client's address was found.
    pub source: ClientSource,
}

/// The request as far as it was read.
#[derive(Clone, Debug, Default)]
pub struct RequestFacts<'a> {
    /// The request method as it came.
    pub method: Option<&'a [u8]>,
    /// Where in the entry's `request` the target's path and query stand.
    pub target: Option<Range<usize>>,
    /// Its version, `HTTP/1.1` say.
    pub protocol: Option<&'a [u8]>,
    /// The host that it is for, as it came.
    pub host: Option<&'a [u8]>,
    /// Its field lines.
    pub fields: &'a [u8],
}

/// What a line can say of TLS.
#[derive(Clone, Copy, Debug)]
pub struct TlsLine<'a> {
    /// `$ssl_protocol`.
    pub protocol: &'a str,
    /// `$ssl_cipher`.
    pub cipher: &'a str,
    /// `$ssl_server_name`.
    pub server_name: Option<&'a str>,
    /// `$ssl_session_reused`.
    pub resumed: bool,
    /// The client's certificate.
    pub certificate: Option<PresentedCertificate<'a>>,
}

/// Whether a limit was looked at, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checked {
    /// The request did not come so far.
    #[default]
    No,
    /// It may pass.
    Passed,
    /// It may not.
    Rejected,
}
