//! Status documents of gateways in all kinds of trouble, as `/status.json` would have them.

use serde_json::{Value, json};

use crate::report_page::HOSTILE;

/// The moment that all of them tell of.
const AT: &str = "2026-11-28T10:12:03Z";

fn requests(answered: u64, reasons: &Value, last: Value) -> Value {
    let refused: u64 = reasons.as_object().unwrap().values().filter_map(Value::as_u64).sum();
    let seen = if answered + refused > 0 { json!(AT) } else { Value::Null };
    json!({"answered": answered, "introduced": 0, "refused": refused, "reasons": reasons, "last_seen": seen,
           "last_refusal": last})
}

fn refusal(reason: &str, why: &str) -> Value {
    json!({"at": "2026-11-28T10:09:40Z", "reason": reason, "why": why})
}

fn peer(name: &str, asked: Value) -> Value {
    json!({"name": name, "file": format!("policies/{name}.toml"), "description": "The branch office", "state": "allowed",
           "why": null, "actions": ["search"], "hosts": [], "certificate": null,
           "rate": {"requests": 10, "seconds": 1, "burst": 20, "left": 20}, "in_flight": {"now": 0, "most": 8},
           "connections": {"now": 1, "most": 64}, "requests": asked})
}

fn slots(seconds: u64, most: usize, filled: usize) -> Value {
    let slot = |n: usize| {
        json!({"answered": 20 + n * 7 % 31, "refused": n % 9 / 7, "failed": n % 23 / 22, "left": 0,
               "p50_millis": 12 + n % 5, "p99_millis": 90 + n * 13 % 60})
    };
    json!({"seconds": seconds, "most": most, "slots": (0..filled).map(slot).collect::<Vec<_>>()})
}

/// A gateway that has just started.
pub(super) fn fresh() -> Value {
    let none = requests(0, &json!({}), Value::Null);
    json!({
        "version": 1, "at": AT, "host": "gw.lyon.example.org", "program": "0.1.0", "pid": 4711,
        "since": "2026-11-28T10:12:01Z", "phase": "serving",
        "verdict": {"state": "well", "sentence": "All is well, and nobody has asked since the start.", "remedy": null},
        "findings": [],
        "configuration": {"file": "/etc/phonebook-gateway/gateway.toml", "revision": "ab0d442a7e7d", "differs": null},
        "listeners": [{"address": "[::]:9480", "tls": false, "http2": false}],
        "workers": [{"number": 0, "requests": 0}, {"number": 1, "requests": 0}],
        "connections": {"open": 0, "most": 9936, "peers": 0, "proxies": 0, "unknown": 0, "handshakes": 0, "busy": 0,
                        "new": 0, "idle": 0, "over_limit": 0, "leaving": 0},
        "requests": none, "history": {"hour": {"seconds": 60, "most": 60, "slots": [
            {"answered": 0, "refused": 0, "failed": 0, "left": 0, "p50_millis": null, "p99_millis": null}]},
            "day": {"seconds": 900, "most": 96, "slots": []}, "peers": {}},
        "refusals": [],
        "upstream": {"url": "http://127.0.0.1:80", "addresses": ["127.0.0.1:80"], "source": "192.168.1.125",
                     "answered": 0, "failed": 0, "last_failure": null,
                     "circuit": {"state": "closed", "since": null, "why": null, "next_probe_seconds": null, "refused": 0}},
        "outage": null, "peers": [peer("lyon", none.clone())], "unknown": none,
        "unknown_callers": [], "names": [], "certificates": [],
        "logs": [{"name": "/var/log/phonebook-gateway/access.log", "written": 0, "lost": 0}],
        "lines_lost_last": null, "disabled": []
    })
}

/// A gateway that has been busy for a day; nothing is wrong.
pub(super) fn busy() -> Value {
    let mut document = fresh();
    document["since"] = json!("2026-11-20T08:00:00Z");
    document["verdict"]["sentence"] =
        json!("All is well: 2,101 requests were answered in the last hour.");
    document["requests"] = requests(48_211, &json!({"rate-limited": 40}), Value::Null);
    document["upstream"]["answered"] = json!(48_211);
    document["history"]["hour"] = slots(60, 60, 60);
    document["history"]["day"] = slots(900, 96, 96);
    let names = [
        "xivo-lyon",
        "xivo-montreal",
        "xivo-quebec",
        "xivo-of-a-branch-office-with-a-name-of-sixty-four-characters-long",
    ];
    let mut minutes = json!({});
    for (nth, name) in names.iter().enumerate() {
        minutes[*name] = (0..60).map(|minute| minute * (nth + 3) % 17).collect();
    }
    document["history"]["peers"] = minutes;
    document["peers"] =
        names.iter().map(|name| peer(name, requests(12_052, &json!({}), Value::Null))).collect();
    document
}

/// All at once: a refused peer, a stale configuration, an open circuit, a dying certificate, a name that does not resolve,
/// a peer that is switched off, an unknown caller; and hostile text wherever somebody outside can put it.
pub(super) fn troubled() -> Value {
    let mut document = busy();
    let why =
        format!("`search` is granted, and `list` is not {HOSTILE} [policies/xivo-lyon.toml:4]");
    let asked = requests(
        12_052,
        &json!({"action-not-granted": 12, "rate-limited": 40}),
        refusal("action-not-granted", &why),
    );
    document["peers"][0] = peer("xivo-lyon", asked);
    document["peers"][0]["description"] = json!(HOSTILE);
    document["peers"][1]["state"] = json!("disabled");
    document["peers"][1]["why"] =
        json!("`xivo-montreal` was switched off at 2026-11-28T09:00:00Z by uid 0");
    let down = "XiVO does not answer (no connection, connection refused): lookups are refused at once until it does";
    document["upstream"]["circuit"] = json!({"state": "open", "since": "2026-11-28T10:11:58Z", "why": down,
                                             "next_probe_seconds": 3.2, "refused": 12});
    let circuit = format!("{down}.");
    document["outage"] = json!({"since": "2026-11-28T10:11:40Z", "failed": 31});
    document["upstream"]["failed"] = json!(31);
    document["upstream"]["last_failure"] =
        refusal("upstream-unreachable", &format!("no connection {HOSTILE}"));
    document["configuration"]["differs"] = json!("policies/xivo-lyon.toml:7: `rate` is no table");
    document["certificates"] = ["2026-12-03T00:00:00Z", "2027-11-28T00:00:00Z"].iter().map(|end| json!({
        "use_for": "listener [::]:9443", "file": "/etc/phonebook-gateway/certs/gateway.pem", "subject": HOSTILE,
        "sha256": "ab".repeat(32), "not_before": "2025-12-03T00:00:00Z", "not_after": end, "days_left": 4})).collect();
    document["names"] = json!([{"name": "xivo.quebec.example.org", "peer": "xivo-quebec",
        "place": "policies/xivo-quebec.toml:2", "addresses": [], "refused": [], "resolved": null, "next": null,
        "failing_since": "2026-11-28T08:00:00Z", "why": "there is no such name"}]);
    document["disabled"] = json!([{"name": "xivo-montreal", "has_policy": true, "since": "2026-11-28T09:00:00Z",
        "until": "2026-11-28T12:00:00Z", "why": format!("a virus {HOSTILE}"), "by": HOSTILE, "uid": 0}]);
    document["refusals"] = json!([
        {"reason": "rate-limited", "count": 40, "of_upstream": false, "remedy": "More lookups than the rate allows.",
         "callers": [{"peer": "xivo-lyon", "count": 40}], "more_callers": 7},
        {"reason": "unknown-peer", "count": 12, "of_upstream": false, "remedy": "These addresses are in no policy.",
         "callers": [{"peer": null, "count": 12}], "more_callers": 0}]);
    document["unknown"] = requests(0, &json!({"unknown-peer": 12}), Value::Null);
    let policy = "# 12 requests, 2026-11-28 08:02 to 2026-11-28 10:11 UTC.\n# Make sure whose address this is.\n\
                  hosts = [\"192.0.2.7\"]\nactions = [\"search\"]\n";
    document["unknown_callers"] = json!([{"address": "192.0.2.7", "first": "2026-11-28T08:02:00Z",
        "last": "2026-11-28T10:11:00Z", "requests": 12, "lookups": 12, "private": 1, "user_agent": HOSTILE,
        "file": "xivo-192.0.2.7.toml", "policy": policy}]);
    document["findings"] = findings(&circuit, &why, policy);
    document["verdict"] = json!({"state": "ill", "sentence": format!("{circuit} 5 other things need you."),
        "remedy": document["findings"][0]["remedy"]});
    document
}

/// What the document of a troubled gateway says of its troubles.
fn findings(circuit: &str, why: &str, policy: &str) -> Value {
    let finding = |state: &str, about: &str, sentence: &str, remedy: &str, paste: Value| json!({"state": state, "about": about, "sentence": sentence, "remedy": remedy, "paste": paste});
    json!([
        finding(
            "ill",
            "upstream",
            circuit,
            "The last fault: no connection. XiVO could not be reached: is its nginx running, \
            and is `upstream.url` right? `phonebook-gateway probe` says at which step it fails.",
            Value::Null
        ),
        finding(
            "ill",
            "names",
            "The name `xivo.quebec.example.org` does not resolve since 2026-11-28 08:00 UTC: there is no \
            such name. `xivo-quebec` is not known by it [policies/xivo-quebec.toml:2].",
            "Correct it in DNS, or write the \
            address into the policy's `hosts`.",
            Value::Null
        ),
        finding(
            "attention",
            "configuration",
            "The running configuration is not the one on disk: policies/xivo-lyon.toml:7: \
            `rate` is no table.",
            "Look at it with `phonebook-gateway check`.",
            Value::Null
        ),
        finding(
            "attention",
            "certificates",
            "The certificate /etc/phonebook-gateway/certs/gateway.pem (listener [::]:9443) \
            ends at 2026-12-03 00:00 UTC, in 4 days.",
            "Put a new one in its place.",
            Value::Null
        ),
        finding(
            "attention",
            "refused",
            &format!("`xivo-lyon` was refused at 2026-11-28 10:09 UTC: {why}"),
            HOSTILE,
            Value::Null
        ),
        finding(
            "attention",
            "unknown",
            "192.0.2.7 is in no policy and asks as a XiVO does: 12 lookups, the last at \
            2026-11-28 10:11 UTC.",
            "If it is yours, write `policies/xivo-192.0.2.7.toml`:",
            json!(policy)
        ),
        finding(
            "well",
            "disabled",
            "`xivo-montreal` is switched off by uid 0, until 2026-11-28 12:00 UTC.",
            "",
            Value::Null
        ),
    ])
}

/// A thousand peers, half of which are busy.
pub(super) fn crowded() -> Value {
    let mut document = busy();
    let mut peers = Vec::new();
    for number in 0..1000 {
        let name = format!("xivo-{number:03}");
        document["history"]["peers"][&name] = (0..60).map(|minute| minute * number % 13).collect();
        peers.push(peer(&name, requests(number, &json!({}), Value::Null)));
    }
    document["peers"] = Value::Array(peers);
    document
}
