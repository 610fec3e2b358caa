//! What the administrator of the gateway does about each reason: one sentence, or two.

use crate::refusal::Reason;

/// The sentence for a reason of the log: the gateway's words, and the statuses that stand for several.
pub(in crate::report) fn remedy(reason: &str) -> &'static str {
    let others = || OTHERS.iter().find(|(word, _)| *word == reason).map(|(_, sentence)| *sentence);
    Reason::of(reason).map(of_reason).or_else(others).unwrap_or(OTHERWISE)
}

/// The sentence for a word of this gateway's.
fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::MalformedRequest => {
            "What was sent is no HTTP as it is read here: scanners, a client that speaks TLS to a port without it, or a proxy in front whose `proxy_protocol_from` is missing. From a peer: look at its client."
        }
        Reason::UriTooLong => {
            "A request line was longer than `limits.max_uri`. No lookup of a XiVO is."
        }
        Reason::HeadersTooLarge => {
            "A head was larger than `limits.max_head` or had more than `limits.max_header_fields` fields. From a peer: look at what stands between it and here and adds cookies or fields."
        }
        Reason::RequestTimeout => {
            "A head did not arrive within `limits.head_timeout`: a slow or broken line, or somebody who holds connections open."
        }
        Reason::Misdirected => {
            "The Host is none of the listener's `server_names`. Add the name that the peer's directory URL has, or correct that URL."
        }
        Reason::UnknownPeer => UNKNOWN_PEER,
        Reason::PeerDisabled => {
            "The policy has `enabled = false`. Remove the line to let the peer in."
        }
        Reason::PeerExpired => {
            "Now is outside of the policy's `valid_from` and `valid_until`. Move the date, or remove the policy."
        }
        Reason::CertificateRequired => {
            "The policy wants a certificate and none was shown. Give the peer's client its certificate and key, or change `[certificate] require`."
        }
        Reason::CertificateMismatch => {
            "A certificate was shown that the policy does not name, or that is expired or revoked; the journal says which. Issue a new one (`phonebook-gateway certs peer`), or correct the policy's `[certificate]`."
        }
        Reason::RateLimited => {
            "More lookups than the rate allows. Quotas that would have sufficed stand below; if it is no rush hour but a harvest, leave the rate as it is."
        }
        Reason::PrivatePath => {
            "The far XiVO's directory URL has `private` in it, its default. Correct it there: …/json.php/restricted/pbx_services/phonebook."
        }
        Reason::UnknownPath => {
            "Only …/service/ipbx/json.php/restricted/pbx_services/phonebook is served. Correct the directory's URL on the far XiVO."
        }
        Reason::MethodNotAllowed => {
            "Only GET and HEAD are allowed: the phonebook can be read here, not changed."
        }
        Reason::BodyNotAllowed => {
            "A lookup has no body. From a peer: look at its client; a XiVO sends none."
        }
        Reason::BadArgument => {
            "The query is none that a XiVO sends: an argument unknown, repeated, or not UTF-8. From a peer: look at what is written behind the `?` of its directory URL."
        }
        Reason::ActionNotGranted => {
            "The policy's `actions` lack what was asked for, the term was shorter than `min_search_length`, or it was a writing act, which no policy can grant. Add the action if the peer may have it."
        }
        Reason::TooManyConcurrent => {
            "So many lookups of this peer were under way at once. XiVO is slow (see the answer times), or `concurrent` is low for this peer."
        }
        Reason::Overloaded => {
            "The gateway had `limits.max_connections` connections. Look for who holds them; raise it if they are all peers'."
        }
        Reason::UpstreamDown => {
            "XiVO failed so often that it was not asked for the moment. What it failed with stands among the other reasons and in the journal; `phonebook-gateway probe` says what is wrong."
        }
        Reason::UpstreamUnreachable => {
            "XiVO could not be reached: is its nginx running, and is `upstream.url` right? `phonebook-gateway probe` says at which step it fails."
        }
        Reason::UpstreamInvalid => {
            "XiVO's answer was not HTTP, or a 200 that is no phonebook: a login or error page, or a notice of PHP's in front of the JSON. The journal and `phonebook-gateway probe` show how it began."
        }
        Reason::UpstreamRedirect => {
            "XiVO redirected: its nginx sends plain http elsewhere unless the Host is `localhost`. Set `upstream.host = \"localhost\"`."
        }
        Reason::UpstreamRefusedGateway => {
            "XiVO does not let the gateway in. Add a Web Services user with the gateway's address as host, without login and password."
        }
        Reason::UpstreamError => "XiVO answered with an error; its nginx and PHP logs say which.",
        Reason::UpstreamTooLarge => {
            "An answer was larger than `upstream.max_answer`. Raise it, or do not grant `list`."
        }
        Reason::UpstreamTimeout => TIMEOUT,
        Reason::ClientClosed => {
            "The client left before the answer: a XiVO waits 2.9 s for a search by text, and 1 s for one by number. Look at the answer times, or at its line."
        }
    }
}

const OTHERWISE: &str = "A log in the format `gateway` names the reason.";
const UNKNOWN_PEER: &str = "These addresses are in no policy. If one of them is a XiVO of yours, add it to its policy's `hosts`, or \
    make a policy; `phonebook-gateway explain --from ADDRESS URL` shows the nearest one.";
const TIMEOUT: &str = "XiVO did not answer within `upstream.timeout`, for a search by number `upstream.number_timeout`, for the \
    list `upstream.list_timeout`. Look at its load, its database and php-fpm's number of children; timeouts beyond \
    the defaults do not help a lookup: nobody waits longer than 2.9 s for a search by text, or 1 s for one by number.";
const FAILED: &str = "XiVO failed, or could not be reached. A log in the format `gateway` says how; `phonebook-gateway probe` says \
    what is wrong now.";

/// The sentences for what else a log can have: statuses.
const OTHERS: &[(&str, &str)] = &[
    ("401", "XiVO wants a login: no Web Services user of it has the caller's address as host."),
    (
        "403",
        "Several reasons have this status. A log in the format `gateway` names them; `phonebook-gateway explain --from \
             ADDRESS URL` tells of one request.",
    ),
    ("500", FAILED),
    ("502", FAILED),
    ("503", FAILED),
    ("5xx", FAILED),
    (
        "no-status",
        "HTTP has no status of 600 or more: what has answered so stands before XiVO's own nginx, or was written into \
             its configuration. It counts as a failure.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_its_own_sentence_and_anything_else_the_general_one() {
        assert_eq!(remedy("peer-disabled"), of_reason(Reason::PeerDisabled));
        assert_eq!(remedy("502"), FAILED);
        assert_eq!(remedy("something else"), OTHERWISE);
    }
}
