//! Policies compared with each other: hosts and certificates written twice, and prefixes inside other
//! prefixes.
//!
//! Prefix tries keep this linear in the number of hosts.

use std::collections::HashMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::{Prefix, PrefixMap};

use crate::config::document::problem::{Mark, Problem};
use crate::config::policy::WrittenPolicy;
use crate::config::policy::hosts::SHOWN_PER_POLICY;
use crate::policy::{CertificateRule, Host, Policy, Require};

/// A host of a policy: the policy's index, and the host's.
#[derive(Clone, Copy)]
struct Entry {
    policy: usize,
    host: usize,
}

/// Reports each host that is written twice, in one policy or two, and each certificate; warns of
/// prefixes of one policy inside those of another.
///
/// Policies may share a host where each of them wants a certificate beside the address: two XiVOs
/// behind one NAT have one address, and each its own key.
pub(crate) fn compare(policies: &[WrittenPolicy]) -> Vec<Problem> {
    let mut found = certificates(policies);
    let mut names: HashMap<&str, Entry> = HashMap::new();
    let mut v4: PrefixMap<Ipv4Net, Entry> = PrefixMap::new();
    let mut v6: PrefixMap<Ipv6Net, Entry> = PrefixMap::new();
    for (policy, written) in policies.iter().enumerate() {
        let rule = written.policy.certificate.as_ref();
        if rule.is_some_and(|rule| rule.require == Require::Certificate) {
            // Its hosts have no say.
            continue;
        }
        for (host, placed) in written.policy.hosts.iter().enumerate() {
            let entry = Entry { policy, host };
            let first = match &placed.value {
                Host::Name(name) => first_of(names.get(name.as_str()).copied(), || {
                    names.insert(name, entry);
                }),
                Host::Prefix(IpNet::V4(net)) => first_of(v4.get(net).copied(), || {
                    v4.insert(*net, entry);
                }),
                Host::Prefix(IpNet::V6(net)) => first_of(v6.get(net).copied(), || {
                    v6.insert(*net, entry);
                }),
            };
            let first = first.filter(|first| !told_apart(policies, *first, entry));
            found.extend(first.map(|first| repeated(policies, first, entry)));
        }
    }
    for (policy, written) in policies.iter().enumerate() {
        let around = |host: &Host| match host {
            Host::Name(_) => None,
            Host::Prefix(IpNet::V4(net)) => surrounding(&v4, net),
            Host::Prefix(IpNet::V6(net)) => surrounding(&v6, net),
        };
        let overlaps = written.policy.hosts.iter().enumerate().filter_map(|(host, placed)| {
            let outer = around(&placed.value).filter(|outer| outer.policy != policy)?;
            Some((outer, Entry { policy, host }))
        });
        let overlaps: Vec<_> = overlaps.collect();
        for (outer, inner) in overlaps.iter().take(SHOWN_PER_POLICY) {
            found.push(overlapping(policies, *outer, *inner));
        }
        if let Some((_, next)) = overlaps.get(SHOWN_PER_POLICY) {
            let more = overlaps.len() - SHOWN_PER_POLICY;
            let hosts = if more == 1 { "host" } else { "hosts" };
            let name = &written.policy.name;
            let message = format!("and {more} more {hosts} of `{name}` inside other policies");
            found.push(Problem::warning(message, mark(policies, *next, "the first of them")));
        }
    }
    found
}

/// Whether a host of two policies is each one's own, by the certificate that it wants beside it.
fn told_apart(policies: &[WrittenPolicy], a: Entry, b: Entry) -> bool {
    let wants_both = |entry: Entry| {
        let rule = policies.get(entry.policy).and_then(|w| w.policy.certificate.as_ref());
        rule.is_some_and(|rule| rule.require == Require::Both)
    };
    a.policy != b.policy && wants_both(a) && wants_both(b)
}

/// Reports each certificate that two policies name, unless their addresses tell them apart.
fn certificates(policies: &[WrittenPolicy]) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut seen: HashMap<(&str, &[u8]), usize> = HashMap::new();
    for (index, written) in policies.iter().enumerate() {
        let Some(rule) = &written.policy.certificate else { continue };
        for (key, value) in entries(rule) {
            let first = *seen.entry((key, value)).or_insert(index);
            let Some(other) = policies.get(first).filter(|_| first != index) else { continue };
            if !by_address(&other.policy, &written.policy) {
                found.push(repeated_certificate(other, written, key));
                break;
            }
        }
    }
    found
}

/// What a rule names, each with its key.
fn entries(rule: &CertificateRule) -> impl Iterator<Item = (&'static str, &[u8])> {
    let keys = rule.public_key_sha256.iter().map(|key| ("public_key_sha256", key.as_slice()));
    let names = [
        ("san_dns", &rule.san_dns),
        ("san_uri", &rule.san_uri),
        ("common_name", &rule.common_name),
    ];
    let names = names
        .into_iter()
        .flat_map(|(key, names)| names.iter().map(move |name| (key, name.as_bytes())));
    keys.chain(names)
}

/// Whether the addresses of two policies tell their peers apart, though their certificates do not.
fn by_address(a: &Policy, b: &Policy) -> bool {
    let wants_both = |policy: &Policy| {
        policy.certificate.as_ref().is_some_and(|rule| rule.require == Require::Both)
    };
    let shared = a.hosts.iter().any(|host| b.hosts.iter().any(|other| other.value == host.value));
    wants_both(a) && wants_both(b) && !shared
}

fn repeated_certificate(first: &WrittenPolicy, again: &WrittenPolicy, key: &str) -> Problem {
    let mark = |written: &WrittenPolicy, label: &str| match &written.certificate_span {
        Some(span) => Mark::new(&written.document, span.clone(), label.to_owned()),
        None => Mark::whole_file(&written.document),
    };
    let location = first.policy.certificate.as_ref().map(|rule| rule.location.to_string());
    let message = format!(
        "`certificate.{key}`: an entry names a certificate of `{}` too, at {}",
        first.policy.name,
        location.unwrap_or_default()
    );
    Problem::error(message, mark(again, "repeated here"))
        .with_related(mark(first, "first written here"))
        .with_help(Some("a caller is one peer: remove it from one of the two policies".to_owned()))
}

/// `first` if there is one; otherwise remembers.
fn first_of(first: Option<Entry>, remember: impl FnOnce()) -> Option<Entry> {
    if first.is_none() {
        remember();
    }
    first
}

/// The longest prefix around `net` other than `net` itself.
fn surrounding<P: Prefix + PartialEq>(map: &PrefixMap<P, Entry>, net: &P) -> Option<Entry> {
    map.cover(net).filter(|(outer, _)| outer != net).last().map(|(_, entry)| *entry)
}

fn repeated(policies: &[WrittenPolicy], first: Entry, again: Entry) -> Problem {
    let host = text(policies, again);
    let owner = &policies[first.policy].policy;
    let (name, location) = (&owner.name, &owner.hosts[first.host].location);
    let (whose, help) = if first.policy == again.policy {
        ("in this policy".to_owned(), "remove one of the two")
    } else {
        (
            format!("of `{name}`"),
            "a caller is one peer: remove it from one of the two policies, or let both have a \
             [certificate] with require = \"both\"",
        )
    };
    let message = format!("`hosts`: {host} is already a host {whose} at {location}");
    Problem::error(message, mark(policies, again, "repeated here"))
        .with_related(mark(policies, first, "first written here"))
        .with_help(Some(help.to_owned()))
}

fn overlapping(policies: &[WrittenPolicy], outer: Entry, inner: Entry) -> Problem {
    let [inner_name, outer_name] = [inner, outer].map(|entry| &policies[entry.policy].policy.name);
    let [inner_text, outer_text] = [inner, outer].map(|entry| text(policies, entry));
    let message = format!(
        "`hosts`: {inner_text} lies inside {outer_text} of `{outer_name}`: the longer prefix wins, \
         and callers in it are `{inner_name}`"
    );
    Problem::warning(message, mark(policies, inner, "the longer prefix")).with_related(mark(
        policies,
        outer,
        "the shorter prefix",
    ))
}

/// The host as the gateway understands it.
fn text(policies: &[WrittenPolicy], entry: Entry) -> String {
    match &policies[entry.policy].policy.hosts[entry.host].value {
        Host::Name(name) => name.clone(),
        Host::Prefix(net) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
        Host::Prefix(net) => net.to_string(),
    }
}

fn mark(policies: &[WrittenPolicy], entry: Entry, label: &str) -> Mark {
    let written = &policies[entry.policy];
    match written.spans.get(entry.host) {
        Some(span) => Mark::new(&written.document, span.clone(), label.to_owned()),
        None => Mark::whole_file(&written.document),
    }
}
