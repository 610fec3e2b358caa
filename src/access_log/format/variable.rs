//! The variables that a format may name: nginx's, as far as they mean something here, and ours.

use crate::access_log::format::Needs;
use crate::access_log::format::parse::FormatError;

/// A variable of nginx's `log_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// One with a name of its own.
    Named(Named),
    /// `$http_…`: a field of the request. Lower case, `_` for `-`.
    Http(Box<[u8]>),
    /// `$sent_http_…`: a field of the answer.
    SentHttp(Box<[u8]>),
    /// `$arg_…`: an argument of the query. Lower case.
    Arg(Box<[u8]>),
}

/// A variable with a name of its own; nginx's documentation says what each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Named {
    Action,
    Args,
    BodyBytesSent,
    BytesSent,
    ClientSource,
    Connection,
    ConnectionRequests,
    ConnectionTime,
    Host,
    Hostname,
    Https,
    IsArgs,
    Limit,
    LimitConnStatus,
    LimitReqStatus,
    Msec,
    Peer,
    Pid,
    Pipe,
    PolicyRevision,
    ProxyProtocolAddr,
    ProxyProtocolPort,
    RealipRemoteAddr,
    RealipRemotePort,
    Reason,
    RemoteAddr,
    RemotePort,
    RemoteUser,
    Request,
    RequestCompletion,
    RequestId,
    RequestLength,
    RequestMasked,
    RequestMethod,
    RequestTime,
    RequestUri,
    Rule,
    Scheme,
    ServerAddr,
    ServerName,
    ServerPort,
    ServerProtocol,
    SslCipher,
    SslClientFingerprint,
    SslClientIDn,
    SslClientSDn,
    SslClientSerial,
    SslClientVerify,
    SslProtocol,
    SslServerName,
    SslSessionReused,
    Status,
    TimeIso8601,
    TimeLocal,
    UpstreamAddr,
    UpstreamBytesReceived,
    UpstreamBytesSent,
    UpstreamCacheStatus,
    UpstreamConnectTime,
    UpstreamHeaderTime,
    UpstreamResponseLength,
    UpstreamResponseTime,
    UpstreamStatus,
    Uri,
}

/// The names, and the three families' beginnings.
pub fn names() -> impl Iterator<Item = &'static str> {
    let families = ["http_user_agent", "http_referer", "http_host", "sent_http_content_type"];
    NAMES.iter().map(|(name, _)| *name).chain(families)
}

impl Named {
    /// The name, without the `$`; of two the shorter one, which is the usual one.
    fn name(self) -> &'static str {
        let names = NAMES.iter().filter(|(_, named)| *named == self);
        names.map(|(name, _)| *name).min_by_key(|name| name.len()).unwrap_or_default()
    }
}

/// Why a variable of nginx means nothing here.
pub type Unavailable = &'static str;

/// Why nginx's variable `name`, which is none of [`names`], means nothing here; `None` where nginx
/// has none of that name.
fn unavailable(name: &str) -> Option<Unavailable> {
    let exact = UNAVAILABLE.iter().find(|(names, _)| names.contains(&name));
    let family = || UNAVAILABLE_FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix));
    exact.map(|(_, why)| *why).or_else(|| family().map(|(_, why)| *why))
}

impl Variable {
    /// The variable of this name, which is in lower case.
    pub(super) fn read(name: &str) -> Result<Self, FormatError> {
        if let Some((_, named)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self::Named(*named));
        }
        if let Some(why) = unavailable(name) {
            return Err(FormatError::Unavailable(name.to_owned(), why));
        }
        let family = |prefix| name.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
        let boxed = |rest: &str| rest.as_bytes().into();
        if let Some(rest) = family("http_") {
            return Ok(Self::Http(boxed(rest)));
        }
        if let Some(rest) = family("sent_http_") {
            return Ok(Self::SentHttp(boxed(rest)));
        }
        if let Some(rest) = family("arg_") {
            return Ok(Self::Arg(boxed(rest)));
        }
        Err(FormatError::Unknown(name.to_owned()))
    }

    /// Its name, without the `$`.
    pub(super) fn name(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Named(named) => named.name().to_owned(),
            Self::Http(name) => format!("http_{}", text(name)),
            Self::SentHttp(name) => format!("sent_http_{}", text(name)),
            Self::Arg(name) => format!("arg_{}", text(name)),
        }
    }

    /// Whether its value is what a client sends, byte for byte.
    pub(super) fn is_the_clients(&self) -> bool {
        use Named::{Args, Request, RequestMasked, RequestMethod, RequestUri, Uri};
        match self {
            Self::Named(named) => {
                matches!(named, Args | Request | RequestMasked | RequestMethod | RequestUri | Uri)
            }
            Self::Http(_) | Self::Arg(_) => true,
            Self::SentHttp(_) => false,
        }
    }

    /// What it needs.
    pub(super) fn needs(&self) -> Needs {
        use Named::{
            BytesSent, Rule, ServerAddr, ServerPort, UpstreamAddr, UpstreamBytesReceived,
            UpstreamBytesSent, UpstreamConnectTime, UpstreamHeaderTime, UpstreamResponseLength,
            UpstreamResponseTime, UpstreamStatus,
        };
        let mut needs = Needs::default();
        match self {
            Self::Named(ServerAddr | ServerPort) => needs.local_address = true,
            Self::Named(BytesSent) | Self::SentHttp(_) => needs.answer_head = true,
            Self::Named(Rule) => needs.rule = true,
            Self::Named(
                UpstreamAddr
                | UpstreamStatus
                | UpstreamConnectTime
                | UpstreamHeaderTime
                | UpstreamResponseTime
                | UpstreamResponseLength
                | UpstreamBytesReceived
                | UpstreamBytesSent,
            ) => needs.upstream = true,
            Self::Named(_) | Self::Http(_) | Self::Arg(_) => {}
        }
        needs
    }
}

const NAMES: &[(&str, Named)] = &[
    ("action", Named::Action),
    ("args", Named::Args),
    ("body_bytes_sent", Named::BodyBytesSent),
    ("bytes_sent", Named::BytesSent),
    ("client_source", Named::ClientSource),
    ("connection", Named::Connection),
    ("connection_requests", Named::ConnectionRequests),
    ("connection_time", Named::ConnectionTime),
    ("document_uri", Named::Uri),
    ("host", Named::Host),
    ("hostname", Named::Hostname),
    ("https", Named::Https),
    ("is_args", Named::IsArgs),
    ("limit", Named::Limit),
    ("limit_conn_status", Named::LimitConnStatus),
    ("limit_req_status", Named::LimitReqStatus),
    ("msec", Named::Msec),
    ("peer", Named::Peer),
    ("pid", Named::Pid),
    ("pipe", Named::Pipe),
    ("policy_revision", Named::PolicyRevision),
    ("proxy_protocol_addr", Named::ProxyProtocolAddr),
    ("proxy_protocol_port", Named::ProxyProtocolPort),
    ("query_string", Named::Args),
    ("realip_remote_addr", Named::RealipRemoteAddr),
    ("realip_remote_port", Named::RealipRemotePort),
    ("reason", Named::Reason),
    ("remote_addr", Named::RemoteAddr),
    ("remote_port", Named::RemotePort),
    ("remote_user", Named::RemoteUser),
    ("request", Named::Request),
    ("request_completion", Named::RequestCompletion),
    ("request_id", Named::RequestId),
    ("request_length", Named::RequestLength),
    ("request_masked", Named::RequestMasked),
    ("request_method", Named::RequestMethod),
    ("request_time", Named::RequestTime),
    ("request_uri", Named::RequestUri),
    ("rule", Named::Rule),
    ("scheme", Named::Scheme),
    ("server_addr", Named::ServerAddr),
    ("server_name", Named::ServerName),
    ("server_port", Named::ServerPort),
    ("server_protocol", Named::ServerProtocol),
    ("ssl_cipher", Named::SslCipher),
    ("ssl_client_fingerprint", Named::SslClientFingerprint),
    ("ssl_client_i_dn", Named::SslClientIDn),
    ("ssl_client_s_dn", Named::SslClientSDn),
    ("ssl_client_serial", Named::SslClientSerial),
    ("ssl_client_verify", Named::SslClientVerify),
    ("ssl_protocol", Named::SslProtocol),
    ("ssl_server_name", Named::SslServerName),
    ("ssl_session_reused", Named::SslSessionReused),
    ("status", Named::Status),
    ("time_iso8601", Named::TimeIso8601),
    ("time_local", Named::TimeLocal),
    ("upstream_addr", Named::UpstreamAddr),
    ("upstream_bytes_received", Named::UpstreamBytesReceived),
    ("upstream_bytes_sent", Named::UpstreamBytesSent),
    ("upstream_cache_status", Named::UpstreamCacheStatus),
    ("upstream_connect_time", Named::UpstreamConnectTime),
    ("upstream_header_time", Named::UpstreamHeaderTime),
    ("upstream_response_length", Named::UpstreamResponseLength),
    ("upstream_response_time", Named::UpstreamResponseTime),
    ("upstream_status", Named::UpstreamStatus),
    ("uri", Named::Uri),
];

const UNAVAILABLE: [(&[&str], Unavailable); 12] = [
    (&["gzip_ratio"], "the gateway compresses no answer"),
    (
        &[
            "document_root",
            "realpath_root",
            "request_filename",
            "fastcgi_script_name",
            "fastcgi_path_info",
        ],
        "the gateway serves no files",
    ),
    (
        &["request_body", "request_body_file", "content_length", "content_type"],
        "a lookup has no body; a field that a client sends all the same is $http_content_type",
    ),
    (&["binary_remote_addr"], "it is bytes that no log can hold; write $remote_addr"),
    (
        &[
            "date_local",
            "date_gmt",
            "nginx_version",
            "limit_rate",
            "slice_range",
            "memcached_key",
            "invalid_referer",
        ],
        "it belongs to a module of nginx that the gateway has nothing of",
    ),
    (&["proxy_host", "proxy_port"], "write $upstream_addr for XiVO's address"),
    (
        &["proxy_add_x_forwarded_for"],
        "write $http_x_forwarded_for for what came in that field, and $remote_addr for the client",
    ),
    (
        &[
            "connections_active",
            "connections_reading",
            "connections_writing",
            "connections_waiting",
        ],
        "it is a figure of the whole server and none of a request",
    ),
    (&["msie", "ancient_browser", "modern_browser"], "write $http_user_agent"),
    (&["http2", "http3", "spdy", "spdy_request_priority"], "write $server_protocol"),
    (
        &[
            "ssl_session_id",
            "ssl_ciphers",
            "ssl_curve",
            "ssl_curves",
            "ssl_early_data",
            "ssl_alpn_protocol",
        ],
        "the gateway's TLS does not tell it",
    ),
    (
        &["proxy_protocol_server_addr", "proxy_protocol_server_port"],
        "the gateway does not keep it; write $server_addr and $server_port",
    ),
];

const UNAVAILABLE_FAMILIES: [(&str, Unavailable); 13] = [
    (
        "ssl_client_v_",
        "it is no part of what the gateway keeps of a certificate; write $ssl_client_s_dn",
    ),
    ("ssl_client_", "a whole certificate is too long for a log; write $ssl_client_fingerprint"),
    ("cookie_", "the phonebook has no cookies; write $http_cookie"),
    ("sent_trailer_", "answers have no trailers"),
    ("upstream_trailer_", "answers have no trailers"),
    (
        "upstream_http_",
        "of XiVO's fields the gateway keeps those that it passes on; write $sent_http_…",
    ),
    ("upstream_cookie_", "the phonebook has no cookies"),
    ("upstream_queue_time", "requests do not queue for XiVO"),
    ("geoip", "the gateway looks up no countries; write $remote_addr"),
    ("tcpinfo_", "the gateway asks the kernel for no figures of a connection"),
    ("uid_", "the gateway sets no cookies"),
    ("jwt_", "the gateway knows no tokens; peers are known by address or certificate"),
    ("secure_link", "the gateway knows no secure links"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_and_none_is_unavailable() {
        for &(name, named) in NAMES {
            assert_eq!(Variable::read(name), Ok(Variable::Named(named)), "{name}");
        }
    }
}
