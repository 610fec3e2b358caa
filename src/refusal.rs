//! Every way in which the gateway says no: its stable word, its status, and the sentence that helps.
//!
//! The words are a contract: the log, `explain`, the tests and scripts of administrators use them.
//! Words, statuses and sentences are mapped without a wildcard arm, so a new refusal does not compile
//! until somebody has chosen its own.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use crate::identity::caller::CertificateFault;
use crate::limits::{Limit, RateLimited, TooMany};
use crate::location::Place;

/// A request that is answered by the gateway instead of by XiVO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The head is not HTTP/1 as this gateway reads it; the text says why.
    MalformedRequest(&'static str),
    /// HTTP without TLS came to a port that speaks TLS.
    PlainOnTls,
    /// The request line is longer than `limits.max_uri`.
    UriTooLong,
    /// The head is longer than `limits.max_head` or has more fields than `limits.max_header_fields`.
    HeadersTooLarge(&'static str),
    /// The head did not come within `limits.head_timeout`.
    RequestTimeout,
    /// The Host is none of the listener's `server_names`.
    Misdirected,
    /// The address is in no policy.
    UnknownPeer,
    /// The address is in no policy, and has used up `limits.unknown_rate`.
    UnknownPeerLimited(RateLimited),
    /// The policy has `enabled = false`.
    PeerDisabled {
        /// Where.
        place: Place,
    },
    /// Now is outside of the policy's `valid_from` and `valid_until`.
    PeerExpired {
        /// The date that decided.
        place: Place,
    },
    /// The policy wants a certificate, and the caller showed none.
    CertificateRequired {
        /// The policy's `[certificate]`.
        place: Place,
    },
    /// The caller's certificate is not one that the policy wants.
    CertificateMismatch {
        /// Why not.
        fault: CertificateFault,
        /// The policy's `[certificate]`.
        place: Place,
    },
    /// The peer's or the gateway's rate is used up.
    RateLimited(RateLimited),
    /// The path means XiVO's `private` realm, however it is spelt.
    PrivatePath,
    /// Any other path than the phonebook's.
    UnknownPath,
    /// Neither GET nor HEAD.
    MethodNotAllowed,
    /// A Content-Length above 0.
    BodyNotAllowed,
    /// The query is not one of a lookup.
    BadArgument(BadArgument),
    /// The policy does not grant what is asked.
    ActionNotGranted(NotGranted),
    /// The peer's `concurrent` lookups are on their way already.
    TooManyConcurrent(TooMany),
    /// The gateway has `limits.max_connections` connections.
    Overloaded,
    /// XiVO did not answer, or not as a phonebook does.
    Upstream(UpstreamFault),
    /// The client left before the answer; for the log only.
    ClientClosed,
}

/// What is wrong with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadArgument {
    /// An argument that no lookup has, or one misspelt.
    Unknown,
    /// The named argument stands there twice.
    Repeated(&'static str),
    /// The named argument has no `=`, or does not belong to this `act`.
    Misplaced(&'static str),
    /// The named argument is missing for this `act`.
    Missing(&'static str),
    /// A `%` is not followed by two hexadecimal digits.
    BadEscape,
    /// `act` is none of XiVO's acts.
    Act,
    /// The term is not UTF-8.
    TermNotUtf8,
    /// The term holds a control character.
    TermControl,
    /// The term is longer than 256 characters.
    TermTooLong,
    /// `id` is not 1 to 10 digits.
    Id,
    /// `sum` is not 32 hexadecimal digits.
    Sum,
}

/// Why an action is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotGranted {
    /// `add`, `delete` and whatever else writes: no policy can grant it.
    Writing,
    /// The policy's `actions` lack it.
    Action {
        /// The action's word.
        action: &'static str,
        /// The policy's `actions`.
        place: Place,
    },
    /// The term is shorter than the policy's `min_search_length`.
    TermTooShort {
        /// Characters of the term.
        length: usize,
        /// Characters that it must have.
        min: u8,
        /// The policy's `min_search_length`.
        place: Place,
    },
}

/// What went wrong between the gateway and XiVO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFault {
    /// No connection, or it was reset; the text says at which step.
    Unreachable(&'static str),
    /// The answer is not HTTP/1 as read here, or a 200 that is not JSON; the text says why.
    Invalid(&'static str),
    /// XiVO answered a redirect.
    Redirect(u16),
    /// XiVO answered 401 or 403: it does not know the gateway.
    RefusedGateway(u16),
    /// XiVO answered any other status than a phonebook's.
    Error(u16),
    /// The answer is larger than `upstream.max_answer`.
    TooLarge,
    /// The head of the answer did not come in time.
    Timeout,
    /// The body of the answer stopped coming.
    Stalled,
    /// The answer was not whole within `upstream.answer_timeout`.
    TooSlow,
}

impl Refusal {
    /// Every word that there is.
    pub const WORDS: [&str; 27] = [
        "malformed-request",
        "uri-too-long",
        "headers-too-large",
        "request-timeout",
        "misdirected",
        "unknown-peer",
        "peer-disabled",
        "peer-expired",
        "certificate-required",
        "certificate-mismatch",
        "rate-limited",
        "private-path",
        "unknown-path",
        "method-not-allowed",
        "body-not-allowed",
        "bad-argument",
        "action-not-granted",
        "too-many-concurrent",
        "overloaded",
        "upstream-unreachable",
        "upstream-invalid",
        "upstream-redirect",
        "upstream-refused-gateway",
        "upstream-error",
        "upstream-too-large",
        "upstream-timeout",
        "client-closed",
    ];

    /// The stable word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::MalformedRequest(_) | Self::PlainOnTls => "malformed-request",
            Self::UriTooLong => "uri-too-long",
            Self::HeadersTooLarge(_) => "headers-too-large",
            Self::RequestTimeout => "request-timeout",
            Self::Misdirected => "misdirected",
            Self::UnknownPeer | Self::UnknownPeerLimited(_) => "unknown-peer",
            Self::PeerDisabled { .. } => "peer-disabled",
            Self::PeerExpired { .. } => "peer-expired",
            Self::CertificateRequired { .. } => "certificate-required",
            Self::CertificateMismatch { .. } => "certificate-mismatch",
            Self::RateLimited(_) => "rate-limited",
            Self::PrivatePath => "private-path",
            Self::UnknownPath => "unknown-path",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::BodyNotAllowed => "body-not-allowed",
            Self::BadArgument(_) => "bad-argument",
            Self::ActionNotGranted(_) => "action-not-granted",
            Self::TooManyConcurrent(_) => "too-many-concurrent",
            Self::Overloaded => "overloaded",
            Self::Upstream(UpstreamFault::Unreachable(_)) => "upstream-unreachable",
            Self::Upstream(UpstreamFault::Invalid(_)) => "upstream-invalid",
            Self::Upstream(UpstreamFault::Redirect(_)) => "upstream-redirect",
            Self::Upstream(UpstreamFault::RefusedGateway(_)) => "upstream-refused-gateway",
            Self::Upstream(UpstreamFault::Error(_)) => "upstream-error",
            Self::Upstream(UpstreamFault::TooLarge) => "upstream-too-large",
            Self::Upstream(
                UpstreamFault::Timeout | UpstreamFault::Stalled | UpstreamFault::TooSlow,
            ) => "upstream-timeout",
            Self::ClientClosed => "client-closed",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::MalformedRequest(_) | Self::PlainOnTls | Self::BadArgument(_) => 400,
            Self::UnknownPeer
            | Self::PeerDisabled { .. }
            | Self::PeerExpired { .. }
            | Self::CertificateRequired { .. }
            | Self::CertificateMismatch { .. }
            | Self::PrivatePath
            | Self::ActionNotGranted(_) => 403,
            Self::UnknownPath => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyNotAllowed => 413,
            Self::UriTooLong => 414,
            Self::Misdirected => 421,
            Self::UnknownPeerLimited(_) | Self::RateLimited(_) | Self::TooManyConcurrent(_) => 429,
            Self::HeadersTooLarge(_) => 431,
            Self::ClientClosed => 499,
            Self::Upstream(
                UpstreamFault::Timeout | UpstreamFault::Stalled | UpstreamFault::TooSlow,
            ) => 504,
            Self::Upstream(
                UpstreamFault::Unreachable(_)
                | UpstreamFault::Invalid(_)
                | UpstreamFault::Redirect(_)
                | UpstreamFault::RefusedGateway(_)
                | UpstreamFault::Error(_)
                | UpstreamFault::TooLarge,
            ) => 502,
            Self::Overloaded => 503,
        }
    }

    /// Whether the connection ends with this answer, because where the next request would begin is
    /// unknown, or because the gateway can hold no more of them.
    pub fn closes(&self) -> bool {
        matches!(
            self,
            Self::MalformedRequest(_)
                | Self::PlainOnTls
                | Self::UriTooLong
                | Self::HeadersTooLarge(_)
                | Self::RequestTimeout
                | Self::UnknownPeerLimited(_)
                | Self::BodyNotAllowed
                | Self::Overloaded
        )
    }

    /// Whether the caller has itself, or its policy, to thank for it. A connection on which nothing else comes
    /// is not kept for ever.
    pub fn is_the_callers(&self) -> bool {
        !matches!(self, Self::Upstream(_) | Self::ClientClosed)
    }

    /// Seconds for `Retry-After`, where trying again later helps.
    pub fn retry_after(&self) -> Option<NonZeroU32> {
        match self {
            Self::UnknownPeerLimited(limited) | Self::RateLimited(limited) => {
                Some(limited.retry_after_seconds)
            }
            Self::TooManyConcurrent(too_many) => Some(too_many.retry_after_seconds()),
            Self::Overloaded => Some(NonZeroU32::MIN),
            _ => None,
        }
    }

    /// The limit that was used up, if one was.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::UnknownPeerLimited(limited) | Self::RateLimited(limited) => Some(limited.limit),
            _ => None,
        }
    }

    /// The place in the configuration that decided, where one did.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::PeerDisabled { place }
            | Self::PeerExpired { place }
            | Self::CertificateRequired { place }
            | Self::CertificateMismatch { place, .. }
            | Self::ActionNotGranted(
                NotGranted::Action { place, .. } | NotGranted::TermTooShort { place, .. },
            ) => Some(place),
            _ => None,
        }
    }

    /// The sentence for a known peer's administrator: what to change. Names nothing of the
    /// gateway's files: those are for its own administrator, in the log and in `explain`.
    pub fn advice(&self) -> Cow<'static, str> {
        match self {
            Self::MalformedRequest(why) => format!("The request is not well-formed HTTP: {why}.").into(),
            Self::PlainOnTls => "This port speaks TLS, and the request came without it. Write https:// in the URL.".into(),
            Self::UriTooLong => "The request line is too long. A search term has up to 256 characters.".into(),
            Self::HeadersTooLarge(why) => format!("The request was not read: {why}.").into(),
            Self::RequestTimeout => "The request did not arrive completely in time.".into(),
            Self::Misdirected => "This gateway does not answer for the host in the URL. Use the host name or address that its administrator gave out.".into(),
            Self::UnknownPeer | Self::UnknownPeerLimited(_) => "This address may not use the phonebook. Ask the administrator of this gateway for a policy with your address.".into(),
            Self::PeerDisabled { .. } => "Access is switched off for this peer. Ask the administrator of this gateway.".into(),
            Self::PeerExpired { .. } => "Access is limited to certain dates for this peer, and now is not within them. Ask the administrator of this gateway.".into(),
            Self::CertificateRequired { .. } => "This peer is known by a certificate, and none was shown. Give the client its certificate and key.".into(),
            Self::CertificateMismatch { fault, .. } => format!("The client's certificate {}.", fault.as_str()).into(),
            Self::RateLimited(RateLimited { limit: Limit::Gateway, retry_after_seconds }) => format!("The gateway is receiving more lookups than it takes. Try again in {retry_after_seconds} s.").into(),
            Self::RateLimited(RateLimited { limit: Limit::Unknown, retry_after_seconds }) => format!("More questions who this is than are answered. Try again in {retry_after_seconds} s.").into(),
            Self::RateLimited(RateLimited { retry_after_seconds, .. }) => format!("More lookups than this peer's rate allows. Try again in {retry_after_seconds} s, or ask the administrator of this gateway for a higher rate.").into(),
            Self::PrivatePath => "The directory's URL must contain `restricted`, not `private`.".into(),
            Self::UnknownPath => "Only the phonebook is served here, at /service/ipbx/json.php/restricted/pbx_services/phonebook. Correct the directory's URL.".into(),
            Self::MethodNotAllowed => "Only GET and HEAD are allowed: the phonebook can be read here, not changed.".into(),
            Self::BodyNotAllowed => "A lookup has no body.".into(),
            Self::BadArgument(bad) => bad.to_string().into(),
            Self::ActionNotGranted(not) => not.to_string().into(),
            Self::TooManyConcurrent(TooMany { concurrent }) => format!("{concurrent} lookups of this peer are being answered already. Try again in a second, or ask the administrator of this gateway for a higher number.").into(),
            Self::Overloaded => "The gateway has as many connections as it may have. Try again in a second.".into(),
            Self::Upstream(fault) => fault.for_peer().into(),
            Self::ClientClosed => "".into(),
        }
    }
}

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("The query has an argument that no lookup has. Known are `act`, `search`, `id` and `sum`."),
            Self::Repeated(name) => write!(f, "The query has `{name}` more than once."),
            Self::Misplaced(name) => write!(f, "The query has `{name}` without a value, or with an `act` that does not take it."),
            Self::Missing(name) => write!(f, "The query lacks `{name}`, which this `act` needs."),
            Self::BadEscape => f.write_str("The query has a `%` without two hexadecimal digits behind it."),
            Self::Act => f.write_str("The query's `act` is unknown. Known are `search`, `list` and `view`, spelt so."),
            Self::TermNotUtf8 => f.write_str("The search term is not UTF-8."),
            Self::TermControl => f.write_str("The search term holds a control character."),
            Self::TermTooLong => f.write_str("The search term is longer than 256 characters."),
            Self::Id => f.write_str("The query's `id` is not a number of 1 to 10 digits."),
            Self::Sum => f.write_str("The query's `sum` is not 32 hexadecimal digits."),
        }
    }
}

impl NotGranted {
    /// The rule that refused, as a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Writing => "writing-action",
            Self::Action { .. } => "action-not-in-policy",
            Self::TermTooShort { .. } => "term-too-short",
        }
    }
}

impl fmt::Display for NotGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writing => f.write_str("The phonebook can be read here, never changed."),
            Self::Action { action, .. } => write!(
                f,
                "This peer may not use `act={action}`. Ask the administrator of this gateway to grant it."
            ),
            Self::TermTooShort { length, min, .. } => write!(
                f,
                "The search term has {length} characters; this peer's have at least {min}."
            ),
        }
    }
}

impl UpstreamFault {
    /// What a peer is told: that it is not the peer's fault. The rest is for the gateway's own
    /// administrator.
    fn for_peer(self) -> &'static str {
        match self {
            Self::Timeout | Self::Stalled | Self::TooSlow => {
                "The XiVO behind this gateway did not answer in time."
            }
            Self::Unreachable(_) => "The XiVO behind this gateway could not be reached.",
            Self::TooLarge => "The answer of the XiVO behind this gateway is too large.",
            Self::Invalid(_) | Self::Redirect(_) | Self::RefusedGateway(_) | Self::Error(_) => {
                "The XiVO behind this gateway did not answer as a phonebook does. Its administrator finds the reason in the gateway's journal."
            }
        }
    }

    /// What the gateway's administrator is told in the diagnostic log: what was seen, and what to do.
    pub fn for_administrator(self) -> Cow<'static, str> {
        match self {
            Self::Unreachable(why) => format!("XiVO could not be reached: {why}").into(),
            Self::Invalid(why) => format!("XiVO's answer was not accepted: {why}").into(),
            Self::Redirect(status) => format!("XiVO answered {status}, a redirect: its nginx sends plain http elsewhere unless the Host is `localhost` or `127.0.0.1`; set upstream.host = \"localhost\"").into(),
            Self::RefusedGateway(status) => format!("XiVO answered {status}: it does not let this gateway in; add a Web Services user").into(),
            Self::Error(status) => format!("XiVO answered {status}, which no phonebook does; see XiVO's own logs").into(),
            Self::Stalled => "nothing more of XiVO's answer came for upstream.stall_timeout".into(),
            Self::TooSlow => "XiVO's answer was not whole within upstream.answer_timeout (ten times that for act=list)".into(),
            Self::TooLarge => "XiVO's answer is larger than upstream.max_answer".into(),
            Self::Timeout => "XiVO did not answer in time (upstream.timeout, or upstream.list_timeout for act=list); its nginx or php-fpm is slow or stuck".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_can_be_said_is_listed() {
        let source = include_str!("refusal.rs");
        let (_, from) = source.split_once("pub fn word(&self)").unwrap();
        let (body, _) = from.split_once("/// The HTTP status.").unwrap();
        let said: Vec<&str> = body.split('"').skip(1).step_by(2).collect();
        assert_eq!(said, Refusal::WORDS);
    }

    #[test]
    fn what_leaves_unread_bytes_behind_closes() {
        assert!(Refusal::BodyNotAllowed.closes() && Refusal::MalformedRequest("").closes());
        assert!(!Refusal::PrivatePath.closes() && !Refusal::UnknownPeer.closes());
    }
}
