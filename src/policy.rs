//! A policy: what one peer may do, from the one file that describes it.
//!
//! Imports `location`, `lookup`. Begin with [`Policy`], then [`decide`].

pub(crate) mod decide;
pub(crate) mod proposal;

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::location::{Located, Location};

/// A policy file's contents, valid by construction of the configuration reader.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The peer's name: the file's name without `.toml`.
    pub name: PeerName,
    /// The file; its line is 1.
    pub location: Location,
    /// Free text for people.
    pub description: String,
    /// The hosts that are this peer, in the order written.
    pub hosts: Vec<Located<Host>>,
    /// What it may ask for. May be empty: then nothing.
    pub actions: Located<Actions>,
    /// How often it may ask.
    pub rate: Located<Rate>,
    /// How many of its lookups may be on their way to XiVO at once; from 1.
    pub concurrent: Located<u32>,
    /// How many client connections it may have at once; from 1. `None`: what the gateway gives a peer.
    pub connections: Option<Located<usize>>,
    /// The shortest search term, in characters; 0 to 64. 0 lets the empty term through.
    pub min_search_length: Located<u8>,
    /// `false` refuses the peer, and keeps its file.
    pub enabled: Located<bool>,
    /// Before this the peer is refused.
    pub valid_from: Option<Located<Timestamp>>,
    /// From this on the peer is refused.
    pub valid_until: Option<Located<Timestamp>>,
    /// Which certificates are this peer's.
    pub certificate: Option<CertificateRule>,
}

impl Policy {
    /// What the gateway itself may ask XiVO when it tries whether it can: to search. It has no hosts, so it
    /// lets nobody in.
    pub(crate) fn own() -> Self {
        let location = Location::new(Arc::new(PathBuf::from("(the gateway itself)")), 1);
        let mut actions = Actions::default();
        actions.insert(Action::Search);
        Self {
            name: PeerName("phonebook-gateway".to_owned()),
            description: "The gateway's own questions.".to_owned(),
            hosts: Vec::new(),
            actions: Located { value: actions, location: location.clone(), written: false },
            rate: Located {
                value: Rate {
                    requests: NonZeroU32::MIN,
                    period: Duration::from_secs(1),
                    burst: NonZeroU32::MIN,
                },
                location: location.clone(),
                written: false,
            },
            concurrent: Located { value: 1, location: location.clone(), written: false },
            connections: None,
            min_search_length: Located { value: 0, location: location.clone(), written: false },
            enabled: Located { value: true, location: location.clone(), written: false },
            valid_from: None,
            valid_until: None,
            certificate: None,
            location,
        }
    }
}

/// The `[certificate]` section: which certificates are the peer's. Any of its entries names it.
#[derive(Clone, Debug)]
pub struct CertificateRule {
    /// SHA-256 of a public key (the DER of its SubjectPublicKeyInfo). Needs no authority.
    pub public_key_sha256: Vec<[u8; 32]>,
    /// DNS names among the subject's alternative names, in lower case.
    pub san_dns: Vec<String>,
    /// URIs among them, compared byte by byte.
    pub san_uri: Vec<String>,
    /// The subject's common name, where it has exactly one.
    pub common_name: Vec<String>,
    /// What the certificate is worth beside the address.
    pub require: Require,
    /// Where the `[certificate]` section begins.
    pub location: Location,
}

/// What has to be right for a caller to be the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Require {
    /// Its address and its certificate.
    Both,
    /// Its certificate, wherever it comes from.
    Certificate,
    /// One of the two.
    Either,
}

impl Require {
    /// The word in the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Certificate => "certificate",
            Self::Either => "either",
        }
    }
}

/// A peer's name, `[a-z0-9][a-z0-9._-]{0,63}`. It stands in the access log as `$remote_user`, so it
/// holds no blank and nothing that would have to be escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(String);

impl PeerName {
    /// `text` as a name, or `None` where it does not have the form above.
    pub fn new(text: &str) -> Option<Self> {
        let letter_or_digit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let (first, rest) = text.as_bytes().split_first()?;
        let fits = letter_or_digit(*first)
            && rest.len() <= 63
            && rest.iter().all(|&b| letter_or_digit(b) || b"._-".contains(&b));
        fits.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One entry of a policy's `hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address or a prefix, host bits zero, never inside `::ffff:0:0/96` (such a prefix is turned
    /// into the IPv4 prefix that it stands for).
    Prefix(IpNet),
    /// A host name, lower-case, without a final dot; resolved beside the requests.
    Name(String),
}

/// The things that XiVO's phonebook lets one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `act=list`: the whole phonebook.
    List,
    /// `act=search`: the contacts that contain a term.
    Search,
    /// `act=view`: one contact by its id.
    View,
}

impl Action {
    /// All of them, in the order in which messages name them.
    pub const ALL: [Self; 3] = [Self::Search, Self::List, Self::View];

    /// XiVO's word for it, as in `act=search` and in a policy's `actions`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Search => "search",
            Self::View => "view",
        }
    }
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    list: bool,
    search: bool,
    view: bool,
}

impl Actions {
    /// Adds `action`.
    pub fn insert(&mut self, action: Action) {
        match action {
            Action::List => self.list = true,
            Action::Search => self.search = true,
            Action::View => self.view = true,
        }
    }

    /// Whether `action` is in the set.
    pub fn contains(self, action: Action) -> bool {
        match action {
            Action::List => self.list,
            Action::Search => self.search,
            Action::View => self.view,
        }
    }
}

/// A number of requests in a period, and a number at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in a `period`.
    pub requests: NonZeroU32,
    /// One second (`per_second`) or one minute (`per_minute`).
    pub period: Duration,
    /// How many may come at once. nginx's `burst=` with `nodelay` is one less: there the first
    /// request is not part of the burst.
    pub burst: NonZeroU32,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.period == Duration::from_secs(1) { "second" } else { "minute" };
        write!(f, "{} per {unit}, burst {}", self.requests, self.burst)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A policy with the defaults of the configuration and without hosts.
    pub(crate) fn policy(name: &str) -> Policy {
        policy_with_hosts(name, &[])
    }

    /// The same with hosts, on lines from 2 on.
    pub(crate) fn policy_with_hosts(name: &str, hosts: &[&str]) -> Policy {
        let file = Arc::new(PathBuf::from(format!("policies/{name}.toml")));
        let location = |line| Location::new(Arc::clone(&file), line);
        let mut actions = Actions::default();
        actions.insert(Action::Search);
        let host = |(line, text): (u32, &&str)| Located {
            value: Host::Prefix(text.parse().unwrap()),
            location: location(line),
            written: true,
        };
        Policy {
            name: PeerName::new(name).unwrap(),
            location: location(1),
            description: String::new(),
            hosts: (2..).zip(hosts).map(host).collect(),
            actions: Located { value: actions, location: location(1), written: false },
            rate: Located { value: rate(10, 20), location: location(1), written: false },
            concurrent: Located { value: 8, location: location(1), written: false },
            connections: None,
            min_search_length: Located { value: 2, location: location(1), written: false },
            enabled: Located { value: true, location: location(1), written: false },
            valid_from: None,
            valid_until: None,
            certificate: None,
        }
    }

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate {
            requests: NonZeroU32::new(per_second).unwrap(),
            period: Duration::from_secs(1),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    #[test]
    fn words_are_those_of_xivo_and_of_the_policies() {
        let requires = [Require::Both, Require::Certificate, Require::Either];
        assert_eq!(requires.map(Require::as_str), ["both", "certificate", "either"]);
        assert_eq!(Action::ALL.map(Action::as_str), ["search", "list", "view"]);
        let name = PeerName::new("xivo-lyon").unwrap();
        assert_eq!((name.as_str(), name.to_string().as_str()), ("xivo-lyon", "xivo-lyon"));
    }

    #[test]
    fn a_set_holds_the_actions_that_were_put_into_it() {
        for inserted in Action::ALL {
            let mut actions = Actions::default();
            assert!(!actions.contains(inserted));
            actions.insert(inserted);
            for action in Action::ALL {
                assert_eq!(actions.contains(action), action == inserted, "{action:?}");
            }
        }
    }

    #[test]
    fn peer_names_are_one_plain_word() {
        for name in ["a", "7", "xivo-montreal", "site_2", "a.b", &"a".repeat(64)] {
            assert!(PeerName::new(name).is_some(), "{name}");
        }
        for name in ["", "-a", ".a", "Lyon", "a b", "é", "a/b", "a\"", &"a".repeat(65)] {
            assert!(PeerName::new(name).is_none(), "{name}");
        }
    }
}
