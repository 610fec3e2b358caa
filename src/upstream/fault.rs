//! What can go wrong between the gateway and XiVO.

use std::borrow::Cow;

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

impl UpstreamFault {
    /// What a peer is told: that it is not the peer's fault. The rest is for the gateway's own
    /// administrator.
    pub fn for_peer(self) -> &'static str {
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
