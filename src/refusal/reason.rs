//! The words of the contract: why a request was not answered by XiVO. Log, `explain`, `report`, metrics and
//! the scripts of administrators have them from here.

/// Makes the words, each listed once: a variant without a word, or one that [`Reason::ALL`] lacks, cannot be.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// Why a request was not answered by XiVO.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason that there is, in the order in which they are found.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

reasons! {
    /// The head is not HTTP as this gateway reads it.
    MalformedRequest = "malformed-request",
    /// The request line is too long.
    UriTooLong = "uri-too-long",
    /// The head is too long, or has too many fields.
    HeadersTooLarge = "headers-too-large",
    /// The head did not come in time.
    RequestTimeout = "request-timeout",
    /// The Host is none of the listener's.
    Misdirected = "misdirected",
    /// The caller is in no policy.
    UnknownPeer = "unknown-peer",
    /// The policy is switched off.
    PeerDisabled = "peer-disabled",
    /// The policy is not in force at this time.
    PeerExpired = "peer-expired",
    /// The policy wants a certificate, and none was shown.
    CertificateRequired = "certificate-required",
    /// The certificate is not one that the policy wants.
    CertificateMismatch = "certificate-mismatch",
    /// A rate is used up.
    RateLimited = "rate-limited",
    /// The path means XiVO's `private` realm.
    PrivatePath = "private-path",
    /// The path is none that is served.
    UnknownPath = "unknown-path",
    /// Neither GET nor HEAD.
    MethodNotAllowed = "method-not-allowed",
    /// A lookup has no body.
    BodyNotAllowed = "body-not-allowed",
    /// The query is none of a lookup.
    BadArgument = "bad-argument",
    /// The policy does not grant it.
    ActionNotGranted = "action-not-granted",
    /// The peer has as many lookups on their way as it may have.
    TooManyConcurrent = "too-many-concurrent",
    /// The gateway has as many connections as it may have.
    Overloaded = "overloaded",
    /// XiVO does not answer, and is not asked for the moment.
    UpstreamDown = "upstream-down",
    /// There is no connection to XiVO, or it was reset.
    UpstreamUnreachable = "upstream-unreachable",
    /// XiVO's answer is not HTTP, or a 200 that is not JSON.
    UpstreamInvalid = "upstream-invalid",
    /// XiVO answered a redirect.
    UpstreamRedirect = "upstream-redirect",
    /// XiVO does not let the gateway in.
    UpstreamRefusedGateway = "upstream-refused-gateway",
    /// XiVO answered a status that no phonebook has.
    UpstreamError = "upstream-error",
    /// XiVO's answer is larger than is passed on.
    UpstreamTooLarge = "upstream-too-large",
    /// XiVO did not answer in time.
    UpstreamTimeout = "upstream-timeout",
    /// The client left before the answer.
    ClientClosed = "client-closed",
}

impl Reason {
    /// The reason that has this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }

    /// Whether XiVO was asked, and has it to answer for, or the way to it.
    pub const fn is_upstreams(self) -> bool {
        matches!(
            self,
            Self::UpstreamUnreachable
                | Self::UpstreamInvalid
                | Self::UpstreamRedirect
                | Self::UpstreamRefusedGateway
                | Self::UpstreamError
                | Self::UpstreamTooLarge
                | Self::UpstreamTimeout
        )
    }

    /// Every word that there is, in the order of [`Self::ALL`].
    pub fn words() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|reason| reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_reasons_alone() {
        for &reason in Reason::ALL {
            assert_eq!(Reason::of(reason.as_str()), Some(reason));
        }
        for word in ["", "-", "Overloaded", "overloaded ", "upstream"] {
            assert_eq!(Reason::of(word), None, "{word:?}");
        }
    }
}
