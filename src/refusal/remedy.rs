//! What the administrator of the gateway does about each reason: the same sentence in reports and on the status page.

use super::reason::Reason;

impl Reason {
    /// What the administrator of the gateway does about it: one sentence, or two.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::MalformedRequest => {
                "What was sent is no HTTP as it is read here: scanners, a client that speaks TLS to a port without it, or a proxy in front whose `proxy_protocol_from` is missing. From a peer: look at its client."
            }
            Self::UriTooLong => {
                "A request line was longer than `limits.max_uri`. No lookup of a XiVO is."
            }
            Self::HeadersTooLarge => {
                "A head was larger than `limits.max_head` or had more than `limits.max_header_fields` fields. From a peer: look at what stands between it and here and adds cookies or fields."
            }
            Self::RequestTimeout => {
                "A head did not arrive within `limits.head_timeout`: a slow or broken line, or somebody who holds connections open."
            }
            Self::Misdirected => {
                "The Host is none of the listener's `server_names`. Add the name that the peer's directory URL has, or correct that URL."
            }
            Self::UnknownPeer => UNKNOWN_PEER,
            Self::PeerDisabled => {
                "The policy has `enabled = false`. Remove the line to let the peer in."
            }
            Self::PeerExpired => {
                "Now is outside of the policy's `valid_from` and `valid_until`. Move the date, or remove the policy."
            }
            Self::CertificateRequired => {
                "The policy wants a certificate and none was shown. Give the peer's client its certificate and key, or change `[certificate] require`."
            }
            Self::CertificateMismatch => {
                "A certificate was shown that the policy does not name, or that is expired or revoked; the journal says which. Issue a new one (`phonebook-gateway certs peer`), or correct the policy's `[certificate]`."
            }
            Self::RateLimited => {
                "More lookups than the rate allows. `phonebook-gateway report` says which quota would have sufficed; if it is no rush hour but a harvest, leave the rate as it is."
            }
            Self::PrivatePath => {
                "The far XiVO's directory URL has `private` in it, its default. Correct it there: …/json.php/restricted/pbx_services/phonebook."
            }
            Self::UnknownPath => {
                "Only …/service/ipbx/json.php/restricted/pbx_services/phonebook is served. Correct the directory's URL on the far XiVO."
            }
            Self::MethodNotAllowed => {
                "Only GET and HEAD are allowed: the phonebook can be read here, not changed."
            }
            Self::BodyNotAllowed => {
                "A lookup has no body. From a peer: look at its client; a XiVO sends none."
            }
            Self::BadArgument => {
                "The query is none that a XiVO sends: an argument unknown, repeated, or not UTF-8. From a peer: look at what is written behind the `?` of its directory URL."
            }
            Self::ActionNotGranted => {
                "The policy's `actions` lack what was asked for, the term was shorter than `min_search_length`, or it was a writing act, which no policy can grant. Add the action if the peer may have it."
            }
            Self::TooManyConcurrent => {
                "So many lookups of this peer were under way at once. XiVO is slow (see the answer times), or `concurrent` is low for this peer."
            }
            Self::Overloaded => {
                "The gateway had `limits.max_connections` connections. Look for who holds them; raise it if they are all peers'."
            }
            Self::UpstreamDown => {
                "XiVO failed so often that it was not asked for the moment. What it failed with stands among the other reasons and in the journal; `phonebook-gateway probe` says what is wrong."
            }
            Self::UpstreamUnreachable => {
                "XiVO could not be reached: is its nginx running, and is `upstream.url` right? `phonebook-gateway probe` says at which step it fails."
            }
            Self::UpstreamInvalid => {
                "XiVO's answer was not HTTP, or a 200 that is no phonebook: a login or error page, or a notice of PHP's in front of the JSON. The journal and `phonebook-gateway probe` show how it began."
            }
            Self::UpstreamRedirect => {
                "XiVO redirected: its nginx sends plain http elsewhere unless the Host is `localhost`. Set `upstream.host = \"localhost\"`."
            }
            Self::UpstreamRefusedGateway => {
                "XiVO does not let the gateway in. Add a Web Services user with the gateway's address as host, without login and password."
            }
            Self::UpstreamError => "XiVO answered with an error; its nginx and PHP logs say which.",
            Self::UpstreamTooLarge => {
                "An answer was larger than `upstream.max_answer`. Raise it, or do not grant `list`."
            }
            Self::UpstreamTimeout => TIMEOUT,
            Self::ClientClosed => {
                "The client left before the answer: a XiVO waits 2.9 s for a search by text, and 1 s for one by number. Look at the answer times, or at its line."
            }
        }
    }
}

const UNKNOWN_PEER: &str = "These addresses are in no policy. If one of them is a XiVO of yours, add it to its policy's `hosts`, or \
    make a policy; `phonebook-gateway explain --from ADDRESS URL` shows the nearest one.";
const TIMEOUT: &str = "XiVO did not answer within `upstream.timeout`, for a search by number `upstream.number_timeout`, for the \
    list `upstream.list_timeout`. Look at its load, its database and php-fpm's number of children; timeouts beyond \
    the defaults do not help a lookup: nobody waits longer than 2.9 s for a search by text, or 1 s for one by number.";
