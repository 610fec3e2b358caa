//! What is different between two configurations in meaning: comments, blanks and order are not.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::Config;
use crate::policy::{Policy, Rate};

/// Something that one configuration has otherwise than another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Change {
    /// There is a peer more.
    PeerAdded {
        /// Its name.
        peer: String,
    },
    /// A peer is gone.
    PeerRemoved {
        /// Its name.
        peer: String,
    },
    /// A peer's policy says something else.
    PeerChanged {
        /// Its name.
        peer: String,
        /// The keys, as they are written in the policy.
        keys: Vec<String>,
    },
    /// The main file says something else.
    Gateway {
        /// The keys, each with its section.
        keys: Vec<String>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerAdded { peer } => write!(f, "peer `{peer}` added"),
            Self::PeerRemoved { peer } => write!(f, "peer `{peer}` removed"),
            Self::PeerChanged { peer, keys } => write!(f, "peer `{peer}`: {}", listed(keys)),
            Self::Gateway { keys } => write!(f, "gateway: {}", listed(keys)),
        }
    }
}

fn listed(keys: &[String]) -> String {
    const MOST: usize = 12;
    let shown: Vec<&str> = keys.iter().take(MOST).map(String::as_str).collect();
    match keys.len().saturating_sub(MOST) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// What `after` has otherwise than `before`: the main file first, then peers in the order of their names.
pub fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let mut found = Vec::new();
    let keys = main_keys(before, after);
    if !keys.is_empty() {
        found.push(Change::Gateway { keys });
    }
    let by_name = |config: &'_ Config| -> BTreeMap<String, Policy> {
        config.policies.iter().map(|it| (it.name.to_string(), it.clone())).collect()
    };
    let (before, after) = (by_name(before), by_name(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    found.extend(names.into_iter().filter_map(|name| {
        let peer = name.clone();
        match (before.get(name), after.get(name)) {
            (None, _) => Some(Change::PeerAdded { peer }),
            (_, None) => Some(Change::PeerRemoved { peer }),
            (Some(before), Some(after)) => {
                let keys = policy_keys(before, after);
                (!keys.is_empty()).then_some(Change::PeerChanged { peer, keys })
            }
        }
    }));
    found
}

/// The keys of a policy that have other values.
fn policy_keys(before: &Policy, after: &Policy) -> Vec<String> {
    let hosts = |policy: &Policy| {
        policy
            .hosts
            .iter()
            .map(|host| format!("{:?}", host.value))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let moment =
        |at: &Option<crate::location::Located<jiff::Timestamp>>| at.as_ref().map(|at| at.value);
    let rate = |rate: &Rate| {
        // 60 a minute are 1 a second.
        let requests = u64::from(rate.requests.get()) * 60 / rate.period.as_secs().max(1);
        (requests, rate.burst)
    };
    let share = |policy: &Policy| policy.connections.as_ref().map(|share| share.value);
    let certificate = |policy: &Policy| {
        policy.certificate.as_ref().map(|rule| {
            let key = rule.public_key_sha256.clone();
            let names = (rule.san_dns.clone(), rule.san_uri.clone(), rule.common_name.clone());
            (key, names, rule.require)
        })
    };
    let differ = [
        ("description", before.description != after.description),
        ("hosts", hosts(before) != hosts(after)),
        ("actions", before.actions.value != after.actions.value),
        ("rate", rate(&before.rate.value) != rate(&after.rate.value)),
        ("concurrent", before.concurrent.value != after.concurrent.value),
        ("connections", share(before) != share(after)),
        ("min_search_length", before.min_search_length.value != after.min_search_length.value),
        ("enabled", before.enabled.value != after.enabled.value),
        ("valid_from", moment(&before.valid_from) != moment(&after.valid_from)),
        ("valid_until", moment(&before.valid_until) != moment(&after.valid_until)),
        ("certificate", certificate(before) != certificate(after)),
    ];
    differ.iter().filter(|(_, differs)| *differs).map(|(key, _)| (*key).to_owned()).collect()
}

/// The keys of the main file that have other values, as they are written: `limits.idle_timeout`,
/// `listen[2].tls.crl`.
fn main_keys(before: &Config, after: &Config) -> Vec<String> {
    let (before, after) = (flat(before), flat(after));
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}

fn flat(config: &Config) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    // A configuration that exists was read as TOML before.
    let table: Table = config.sources.main.text.parse().unwrap_or_default();
    flatten(Value::Table(table), String::new(), &mut found);
    found
}

fn flatten(value: Value, name: String, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                flatten(value, name, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (number, item) in items.into_iter().enumerate() {
                flatten(item, format!("{name}[{}]", number + 1), found);
            }
        }
        value @ (Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)) => {
            found.insert(name, value);
        }
    }
}
