//! Every way in which the gateway says no: its stable word, its status, and the sentence that helps.
//!
//! The words are a contract: the log, `explain`, the tests and scripts of administrators use them.
//! Words, statuses and sentences are mapped without a wildcard arm, so a new refusal does not compile
//! until somebody has chosen its own.
//!
//! Imports `http1`, `identity`, `limits`, `location`, `lookup`, `policy`, `upstream`. Begin with [`Refusal`],
//! then [`Reason`].

mod malformed;
mod reason;
mod remedy;

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::http1::request::TooLarge;
use crate::identity::certificate::CertificateFault;
use crate::identity::disabled::DisabledPeer;
use crate::identity::peers::IdentityError;
use crate::limits::{Limit, RateLimited, TooMany};
use crate::location::Location;
use crate::lookup::{BadArgument, LookupError};
use crate::policy::decide::NotGranted;
use crate::upstream::UpstreamFault;
use crate::upstream::circuit::Down;

pub use malformed::{Flood, Http2Fault, Malformed};
pub use reason::Reason;

/// A request that is answered by the gateway instead of by XiVO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The head is not HTTP as this gateway reads it.
    MalformedRequest(Malformed),
    /// HTTP without TLS came to a port that speaks TLS.
    PlainOnTls,
    /// The request line is longer than `limits.max_uri`.
    UriTooLong,
    /// The head is longer than `limits.max_head` or has more fields than `limits.max_header_fields`.
    HeadersTooLarge(TooLarge),
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
        /// Where the policy says so.
        location: Location,
    },
    /// An administrator has switched the peer off while the gateway runs.
    PeerDisabledNow(Arc<DisabledPeer>),
    /// Now is outside of the policy's `valid_from` and `valid_until`.
    PeerExpired {
        /// The date that decided.
        location: Location,
    },
    /// The policy wants a certificate, and the caller showed none.
    CertificateRequired {
        /// The policy's `[certificate]`.
        location: Location,
    },
    /// The caller's certificate is not one that the policy wants.
    CertificateMismatch {
        /// What is wrong with the certificate.
        fault: CertificateFault,
        /// The policy's `[certificate]`.
        location: Location,
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
    /// XiVO does not answer, and is not asked: the circuit is open.
    UpstreamDown(Down),
    /// XiVO did not answer, or not as a phonebook does.
    Upstream(UpstreamFault),
    /// The client left before the answer; for the log only.
    ClientClosed,
}

/// What a refusal says besides its word.
enum Detail<'r> {
    Limited(&'r RateLimited),
    TooMany(&'r TooMany),
    Overloaded,
    Down(&'r Down),
    Location(&'r Location),
    Nothing,
}

impl Refusal {
    /// Why, in the contract's words.
    pub fn reason(&self) -> Reason {
        match self {
            Self::MalformedRequest(_) | Self::PlainOnTls => Reason::MalformedRequest,
            Self::UriTooLong => Reason::UriTooLong,
            Self::HeadersTooLarge(_) => Reason::HeadersTooLarge,
            Self::RequestTimeout => Reason::RequestTimeout,
            Self::Misdirected => Reason::Misdirected,
            Self::UnknownPeer | Self::UnknownPeerLimited(_) => Reason::UnknownPeer,
            Self::PeerDisabled { .. } | Self::PeerDisabledNow(_) => Reason::PeerDisabled,
            Self::PeerExpired { .. } => Reason::PeerExpired,
            Self::CertificateRequired { .. } => Reason::CertificateRequired,
            Self::CertificateMismatch { .. } => Reason::CertificateMismatch,
            Self::RateLimited(_) => Reason::RateLimited,
            Self::PrivatePath => Reason::PrivatePath,
            Self::UnknownPath => Reason::UnknownPath,
            Self::MethodNotAllowed => Reason::MethodNotAllowed,
            Self::BodyNotAllowed => Reason::BodyNotAllowed,
            Self::BadArgument(_) => Reason::BadArgument,
            Self::ActionNotGranted(_) => Reason::ActionNotGranted,
            Self::TooManyConcurrent(_) => Reason::TooManyConcurrent,
            Self::Overloaded => Reason::Overloaded,
            Self::UpstreamDown(_) => Reason::UpstreamDown,
            Self::Upstream(fault) => fault.into(),
            Self::ClientClosed => Reason::ClientClosed,
        }
    }

    /// The stable word of it.
    pub fn word(&self) -> &'static str {
        self.reason().as_str()
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::MalformedRequest(_) | Self::PlainOnTls | Self::BadArgument(_) => 400,
            Self::UnknownPeer
            | Self::PeerDisabled { .. }
            | Self::PeerDisabledNow(_)
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
                UpstreamFault::Timeout(_) | UpstreamFault::Stalled | UpstreamFault::TooSlow,
            ) => 504,
            Self::Upstream(
                UpstreamFault::ThisHost(_)
                | UpstreamFault::Unreachable(_)
                | UpstreamFault::Invalid(_)
                | UpstreamFault::Redirect(_)
                | UpstreamFault::RefusedGateway(_)
                | UpstreamFault::Error(_)
                | UpstreamFault::TooLarge,
            ) => 502,
            Self::Overloaded | Self::UpstreamDown(_) => 503,
        }
    }

    /// Whether the connection ends with this answer, because where the next request would begin is
    /// unknown, or because the gateway can hold no more of them.
    pub fn closes(&self) -> bool {
        match self.reason() {
            Reason::MalformedRequest
            | Reason::UriTooLong
            | Reason::HeadersTooLarge
            | Reason::RequestTimeout
            | Reason::BodyNotAllowed
            | Reason::Overloaded => true,
            // An unknown caller is told who may come as long as its rate lasts, and then it has to leave.
            Reason::UnknownPeer => matches!(self, Self::UnknownPeerLimited(_)),
            Reason::Misdirected
            | Reason::PeerDisabled
            | Reason::PeerExpired
            | Reason::CertificateRequired
            | Reason::CertificateMismatch
            | Reason::RateLimited
            | Reason::PrivatePath
            | Reason::UnknownPath
            | Reason::MethodNotAllowed
            | Reason::BadArgument
            | Reason::ActionNotGranted
            | Reason::TooManyConcurrent
            | Reason::UpstreamDown
            | Reason::UpstreamUnreachable
            | Reason::UpstreamInvalid
            | Reason::UpstreamRedirect
            | Reason::UpstreamRefusedGateway
            | Reason::UpstreamError
            | Reason::UpstreamTooLarge
            | Reason::UpstreamTimeout
            | Reason::ClientClosed => false,
        }
    }

    /// Whether the caller or its policy caused the refusal. A connection on which nothing else comes
    /// is not kept for ever.
    pub fn is_the_callers(&self) -> bool {
        !matches!(self, Self::UpstreamDown(_) | Self::Upstream(_) | Self::ClientClosed)
    }

    /// Seconds for `Retry-After`, where trying again later helps.
    pub fn retry_after(&self) -> Option<NonZeroU32> {
        match self.detail() {
            Detail::Limited(limited) => Some(limited.retry_after_seconds),
            Detail::TooMany(too_many) => Some(too_many.retry_after_seconds()),
            Detail::Overloaded => Some(NonZeroU32::MIN),
            Detail::Down(down) => Some(down.retry_after_seconds),
            Detail::Location(_) | Detail::Nothing => None,
        }
    }

    /// The limit that was used up, if one was.
    pub fn limit(&self) -> Option<Limit> {
        match self.detail() {
            Detail::Limited(limited) => Some(limited.limit),
            Detail::TooMany(_)
            | Detail::Overloaded
            | Detail::Down(_)
            | Detail::Location(_)
            | Detail::Nothing => None,
        }
    }

    /// The place in the configuration that decided, where one did.
    pub fn location(&self) -> Option<&Location> {
        match self.detail() {
            Detail::Location(location) => Some(location),
            Detail::Limited(_)
            | Detail::TooMany(_)
            | Detail::Overloaded
            | Detail::Down(_)
            | Detail::Nothing => None,
        }
    }

    /// What it says besides its word, so that a new refusal has to say here which of these it has.
    fn detail(&self) -> Detail<'_> {
        match self {
            Self::UnknownPeerLimited(limited) | Self::RateLimited(limited) => {
                Detail::Limited(limited)
            }
            Self::TooManyConcurrent(too_many) => Detail::TooMany(too_many),
            Self::Overloaded => Detail::Overloaded,
            Self::UpstreamDown(down) => Detail::Down(down),
            Self::PeerDisabled { location }
            | Self::PeerExpired { location }
            | Self::CertificateRequired { location }
            | Self::CertificateMismatch { location, .. }
            | Self::ActionNotGranted(
                NotGranted::Action { location, .. } | NotGranted::TermTooShort { location, .. },
            ) => Detail::Location(location),
            Self::MalformedRequest(_)
            | Self::PlainOnTls
            | Self::UriTooLong
            | Self::HeadersTooLarge(_)
            | Self::RequestTimeout
            | Self::Misdirected
            | Self::UnknownPeer
            | Self::PeerDisabledNow(_)
            | Self::PrivatePath
            | Self::UnknownPath
            | Self::MethodNotAllowed
            | Self::BodyNotAllowed
            | Self::BadArgument(_)
            | Self::ActionNotGranted(NotGranted::Writing)
            | Self::Upstream(_)
            | Self::ClientClosed => Detail::Nothing,
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
            Self::PeerDisabled { .. } | Self::PeerDisabledNow(_) => "Access is switched off for this peer. Ask the administrator of this gateway.".into(),
            Self::PeerExpired { .. } => "Access is limited to certain dates for this peer, and now is not within them. Ask the administrator of this gateway.".into(),
            Self::CertificateRequired { .. } => "This peer is known by a certificate, and none was shown. Give the client its certificate and key.".into(),
            Self::CertificateMismatch { fault, .. } => format!("The client's certificate {}.", fault.as_str()).into(),
            Self::RateLimited(RateLimited { limit: Limit::Gateway, retry_after_seconds }) => format!("The gateway is receiving more lookups than it takes. Try again in {retry_after_seconds} s.").into(),
            Self::RateLimited(RateLimited { limit: Limit::Unknown, retry_after_seconds }) => format!("Too many whoami requests. Try again in {retry_after_seconds} s.").into(),
            Self::RateLimited(RateLimited { retry_after_seconds, .. }) => format!("More lookups than this peer's rate allows. Try again in {retry_after_seconds} s, or ask the administrator of this gateway for a higher rate.").into(),
            Self::PrivatePath => "The directory's URL must contain `restricted`, not `private`.".into(),
            Self::UnknownPath => "Only the phonebook is served here, at /service/ipbx/json.php/restricted/pbx_services/phonebook. Correct the directory's URL.".into(),
            Self::MethodNotAllowed => "Only GET and HEAD are allowed: the phonebook can be read here, not changed.".into(),
            Self::BodyNotAllowed => "A lookup has no body.".into(),
            Self::BadArgument(bad) => bad.to_string().into(),
            Self::ActionNotGranted(not) => not.to_string().into(),
            Self::TooManyConcurrent(TooMany { concurrent: 1 }) => "Another lookup of this peer is being answered already. Try again in a second, or ask the administrator of this gateway to allow more than one at once.".into(),
            Self::TooManyConcurrent(TooMany { concurrent }) => format!("{concurrent} lookups of this peer are being answered already. Try again in a second, or ask the administrator of this gateway for a higher number.").into(),
            Self::Overloaded => "The gateway has as many connections as it may have. Try again in a second.".into(),
            Self::UpstreamDown(Down { retry_after_seconds, .. }) => format!("The XiVO behind this gateway does not answer now, so it was not asked. Try again in {retry_after_seconds} s.").into(),
            Self::Upstream(fault) => fault.for_peer().into(),
            Self::ClientClosed => "".into(),
        }
    }
}

impl From<IdentityError> for Refusal {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Unknown => Self::UnknownPeer,
            IdentityError::CertificateRequired { location } => {
                Self::CertificateRequired { location }
            }
            IdentityError::CertificateMismatch { fault, location } => {
                Self::CertificateMismatch { fault, location }
            }
            IdentityError::Disabled { location } => Self::PeerDisabled { location },
            IdentityError::Expired { location } => Self::PeerExpired { location },
        }
    }
}

impl From<LookupError> for Refusal {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::PrivatePath => Self::PrivatePath,
            LookupError::UnknownPath => Self::UnknownPath,
            LookupError::MethodNotAllowed => Self::MethodNotAllowed,
            LookupError::BodyNotAllowed => Self::BodyNotAllowed,
            LookupError::BadArgument(bad) => Self::BadArgument(bad),
            LookupError::Writing => Self::ActionNotGranted(NotGranted::Writing),
        }
    }
}

impl From<NotGranted> for Refusal {
    fn from(not_granted: NotGranted) -> Self {
        Self::ActionNotGranted(not_granted)
    }
}

impl From<&UpstreamFault> for Reason {
    fn from(fault: &UpstreamFault) -> Self {
        match fault {
            UpstreamFault::ThisHost(_) | UpstreamFault::Unreachable(_) => Self::UpstreamUnreachable,
            UpstreamFault::Invalid(_) => Self::UpstreamInvalid,
            UpstreamFault::Redirect(_) => Self::UpstreamRedirect,
            UpstreamFault::RefusedGateway(_) => Self::UpstreamRefusedGateway,
            UpstreamFault::Error(_) => Self::UpstreamError,
            UpstreamFault::TooLarge => Self::UpstreamTooLarge,
            UpstreamFault::Timeout(_) | UpstreamFault::Stalled | UpstreamFault::TooSlow => {
                Self::UpstreamTimeout
            }
        }
    }
}

impl From<UpstreamFault> for Refusal {
    fn from(fault: UpstreamFault) -> Self {
        Self::Upstream(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_unread_bytes_behind_closes() {
        assert!(
            Refusal::BodyNotAllowed.closes()
                && Refusal::MalformedRequest(Malformed::EndedEarly).closes()
        );
        assert!(!Refusal::PrivatePath.closes() && !Refusal::UnknownPeer.closes());
    }
}
