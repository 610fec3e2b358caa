//! What needs somebody, most urgent first, and the one sentence that says whether all is well: in the document and on
//! the page alike.
//!
//! One finding for one cause. What is past is a finding for an hour: a refusal of yesterday needs nobody.

use jiff::{SignedDuration, Timestamp};

use super::{About, Finding, SlotRow, State, StatusDocument, UnknownCallerRow, Verdict};
use crate::control::documents::{CertificateRow, DisabledRow, NameRow, PeerRow};
use crate::identity::disabled::Administrator;
use crate::refusal::Reason;
use crate::text::figures::{count, plural};

/// Fills in the findings and the verdict of a document whose other parts are gathered.
pub(super) fn judge(document: &mut StatusDocument) {
    let mut found: Vec<Finding> = Vec::new();
    found.extend(ending(document));
    found.extend(upstream(document));
    found.extend(configuration(document));
    found.extend(some(&certificates(document), "certificates end soon or are over"));
    found.extend(some(&names(document), "host names do not resolve"));
    found.extend(logs(document));
    found.extend(connections(document));
    found.extend(refused(document));
    let unknown: Vec<Finding> = document.unknown_callers.iter().map(unknown).collect();
    found.extend(some(&unknown, "addresses in no policy ask as a XiVO does"));
    let disabled: Vec<Finding> = document.disabled.iter().map(disabled).collect();
    found.extend(some(&disabled, "peers are switched off"));
    // Stable: what is said first stays first of its kind.
    found.sort_by_key(|finding| std::cmp::Reverse(finding.state));
    let answered = document.history.hour.slots.iter().map(|slot| u64::from(slot.answered)).sum();
    let is_fresh = document.requests.last_seen.is_none();
    document.verdict = verdict(&found, answered, is_fresh);
    document.findings = found;
}

/// The sentence of the most urgent finding, or that nothing is wrong.
pub(super) fn verdict(findings: &[Finding], answered: u64, is_fresh: bool) -> Verdict {
    let mut urgent = findings.iter().filter(|finding| finding.state > State::Well);
    let Some(first) = urgent.next() else {
        let sentence = if is_fresh {
            "All is well, and nobody has asked since the start.".to_owned()
        } else {
            let lookups = plural(answered, "request was", "requests were");
            format!("All is well: {lookups} answered in the last hour.")
        };
        return Verdict { state: State::Well, sentence, remedy: None };
    };
    let more = match urgent.count() as u64 {
        0 => String::new(),
        1 => " One other thing needs you.".to_owned(),
        more => format!(" {} other things need you.", count(more)),
    };
    Verdict {
        state: first.state,
        sentence: format!("{}{more}", first.sentence),
        remedy: first.remedy.clone(),
    }
}

fn finding(state: State, about: About, sentence: String) -> Finding {
    Finding { state, about, sentence, remedy: None, paste: None }
}

fn remedied(state: State, about: About, sentence: String, remedy: impl Into<String>) -> Finding {
    Finding { remedy: Some(remedy.into()), ..finding(state, about, sentence) }
}

/// The first ones of a kind, and how many there are besides.
fn some(all: &[Finding], what: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> = all.iter().take(EACH).cloned().collect();
    let left_out = all.get(EACH..).unwrap_or_default();
    if let Some(most) = left_out.iter().max_by_key(|finding| finding.state) {
        let sentence = format!("{} more {what}; they are in the tables.", left_out.len());
        found.push(finding(most.state, most.about, sentence));
    }
    found
}

/// A moment in a sentence.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn ending(document: &StatusDocument) -> Option<Finding> {
    (document.phase == "draining").then(|| {
        let text = "The gateway is ending: it takes no further connections.";
        finding(State::Ill, About::Gateway, text.to_owned())
    })
}

/// That XiVO is not asked, does not answer, or did not.
fn upstream(document: &StatusDocument) -> Option<Finding> {
    let last = document.upstream.last_failure.as_ref();
    let remedy = |reason: &str| Reason::of(reason).map_or("", Reason::remedy);
    let why =
        last.map(|last| format!("The last fault: {} {}", ended(&last.why), remedy(&last.reason)));
    let told = |state, sentence| Finding {
        remedy: why.clone(),
        ..finding(state, About::Upstream, sentence)
    };
    if let Some(circuit) = &document.upstream.circuit.why {
        // It names the fault itself.
        let remedy = last.map(|last| remedy(&last.reason).to_owned());
        return Some(Finding { remedy, ..told(State::Ill, format!("{circuit}.")) });
    }
    if let Some(outage) = &document.outage {
        let since = moment(outage.since);
        let (state, sentence) = match outage.failed {
            0..A_FEW => (State::Attention, format!("XiVO failed the last lookups, at {since}.")),
            failed => (
                State::Ill,
                format!(
                    "XiVO has answered none of {} since {since}.",
                    plural(failed, "lookup", "lookups")
                ),
            ),
        };
        return Some(told(state, sentence));
    }
    let recent = document.history.hour.slots.iter().rev().take(RECENT);
    let sum = |of: fn(&SlotRow) -> u32| recent.clone().map(|slot| u64::from(of(slot))).sum::<u64>();
    let (failed, answered) = (sum(|slot| slot.failed), sum(|slot| slot.answered));
    let all = failed + answered;
    (failed > 0 && failed * 100 >= all).then(|| {
        let all = plural(all, "lookup", "lookups");
        told(
            State::Attention,
            format!("XiVO failed {} of {all} in the last five minutes.", count(failed)),
        )
    })
}

/// A text that ends as a sentence does.
fn ended(text: &str) -> String {
    if text.ends_with(['.', '!', '?', ']']) { text.to_owned() } else { format!("{text}.") }
}

fn configuration(document: &StatusDocument) -> Option<Finding> {
    let differs = document.configuration.differs.as_ref()?;
    // As it begins where it stands alone.
    let differs =
        differs.strip_prefix("running configuration differs from disk: ").unwrap_or(differs);
    Some(remedied(
        State::Attention,
        About::Configuration,
        format!("The running configuration is not the one on disk: {}", ended(differs)),
        "Look at it with `phonebook-gateway check`, and take it over with `systemctl reload phonebook-gateway` or \
         `phonebook-gateway ctl reload`.",
    ))
}

/// Those that end within [`SOON`], are over, or are not valid yet.
fn certificates(document: &StatusDocument) -> Vec<Finding> {
    document.certificates.iter().filter_map(|row| certificate(row, document.at)).collect()
}

fn certificate(row: &CertificateRow, now: Timestamp) -> Option<Finding> {
    let what = format!("The certificate {} ({})", row.file, row.use_for);
    let (state, sentence) = match dies(row, now)? {
        Dying::Over => (State::Ill, format!("{what} is over since {}.", moment(row.not_after))),
        Dying::Early => {
            (State::Ill, format!("{what} is not valid before {}.", moment(row.not_before)))
        }
        Dying::Soon => {
            let left = match u64::try_from(row.days_left) {
                Ok(days @ 1..) => plural(days, "day", "days"),
                _ => "less than a day".to_owned(),
            };
            (State::Attention, format!("{what} ends at {}, in {left}.", moment(row.not_after)))
        }
    };
    let remedy = "Put a new one in its place: it is taken over within a second or two. `phonebook-gateway certs` \
                  makes them.";
    Some(remedied(state, About::Certificates, sentence, remedy))
}

/// What is wrong with a certificate's dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Dying {
    /// It is over.
    Over,
    /// It is not valid yet.
    Early,
    /// It ends within two weeks.
    Soon,
}

/// What is wrong with a certificate's dates at `now`, if anything is.
pub(in crate::admin) fn dies(row: &CertificateRow, now: Timestamp) -> Option<Dying> {
    if row.not_after <= now {
        Some(Dying::Over)
    } else if row.not_before > now {
        Some(Dying::Early)
    } else {
        (row.not_after.duration_since(now) <= SOON).then_some(Dying::Soon)
    }
}

fn names(document: &StatusDocument) -> Vec<Finding> {
    let failing = document.names.iter().filter(|name| name.failing_since.is_some());
    failing.filter_map(name).collect()
}

fn name(row: &NameRow) -> Option<Finding> {
    let NameRow { name, peer, place, addresses, failing_since, why, .. } = row;
    let since = moment((*failing_since)?);
    let why = why.as_ref().map_or_else(|| ".".to_owned(), |why| format!(": {}", ended(why)));
    let (state, effect) = if addresses.is_empty() {
        (State::Ill, format!("`{peer}` is not known by it [{place}]."))
    } else {
        (State::Attention, format!("`{peer}` is still known by its last addresses [{place}]."))
    };
    let sentence = format!("The name `{name}` does not resolve since {since}{why} {effect}");
    let remedy = "Correct it in DNS, or write the address into the policy's `hosts`.";
    Some(remedied(state, About::Names, sentence, remedy))
}

fn logs(document: &StatusDocument) -> Option<Finding> {
    let last = document.lines_lost_last.filter(|last| is_recent(*last, document.at))?;
    let lost = document.logs.iter().filter(|log| log.lost > 0);
    let lost: Vec<String> =
        lost.map(|log| format!("{} of {}", plural(log.lost, "line", "lines"), log.name)).collect();
    let lost = if lost.is_empty() { "lines".to_owned() } else { lost.join(", ") };
    Some(remedied(
        State::Attention,
        About::Logs,
        format!("The access log lacks {lost}; the last was lost at {}.", moment(last)),
        "The journal says why: a full disk, a directory that may not be written, a log server that does not answer.",
    ))
}

fn connections(document: &StatusDocument) -> Option<Finding> {
    let connections = &document.connections;
    (connections.open * 10 >= connections.most * 9).then(|| {
        remedied(
            State::Attention,
            About::Connections,
            format!(
                "{} of at most {} client connections are open.",
                count(connections.open as u64),
                count(connections.most as u64)
            ),
            "`phonebook-gateway ctl connections` says whose they are; `limits.max_connections` and the unit's \
             `LimitNOFILE=` bound them.",
        )
    })
}

/// Peers that were refused within the last hour; those that are refused for the same reason together.
fn refused(document: &StatusDocument) -> Vec<Finding> {
    let mut by_reason: Vec<(&str, Vec<&PeerRow>)> = Vec::new();
    for peer in document.peers.iter().filter(|peer| is_refused(peer, document.at)) {
        let reason = peer.requests.last_refusal.as_ref().map_or("", |last| &last.reason);
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, peers)) => peers.push(peer),
            None => by_reason.push((reason, vec![peer])),
        }
    }
    by_reason.sort_by_key(|(_, peers)| std::cmp::Reverse(peers.len()));
    let found: Vec<Finding> =
        by_reason.iter().filter_map(|(reason, peers)| refused_for(reason, peers)).collect();
    some(&found, "reasons for which peers are refused")
}

/// Whether a peer was refused within the last hour for something that an administrator may not know of.
pub(in crate::admin) fn is_refused(peer: &PeerRow, now: Timestamp) -> bool {
    peer.requests.last_refusal.as_ref().is_some_and(|last| {
        let known = Reason::of(&last.reason);
        is_recent(last.at, now)
            && !known.is_some_and(|reason| {
                reason.is_upstreams()
                    || matches!(
                        reason,
                        Reason::ClientClosed | Reason::PeerDisabled | Reason::UpstreamDown
                    )
            })
    })
}

fn refused_for(reason: &str, peers: &[&PeerRow]) -> Option<Finding> {
    let (first, others) = peers.split_first()?;
    let last = first.requests.last_refusal.as_ref()?;
    let sentence = if others.is_empty() {
        format!(
            "`{}` was refused at {} (`{reason}`): {}",
            first.name,
            moment(last.at),
            ended(&last.why)
        )
    } else {
        let named: Vec<String> =
            peers.iter().take(EACH).map(|peer| format!("`{}`", peer.name)).collect();
        let more = peers.len().saturating_sub(EACH);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(
            "{} peers were refused within the hour (`{reason}`): {}{more}.",
            peers.len(),
            named.join(", ")
        )
    };
    let remedy = Reason::of(reason).map_or("", Reason::remedy);
    Some(remedied(State::Attention, About::Refused, sentence, remedy))
}

fn unknown(caller: &UnknownCallerRow) -> Finding {
    let text = format!(
        "{} is in no policy and asks as a XiVO does: {}, the last at {}.",
        caller.address,
        plural(caller.lookups, "lookup", "lookups"),
        moment(caller.last)
    );
    let remedy = format!("If it is yours, write `policies/{}`:", caller.file);
    let paste = Some(caller.policy.clone());
    Finding { paste, ..remedied(State::Attention, About::Unknown, text, remedy) }
}

fn disabled(row: &DisabledRow) -> Finding {
    let why = if row.why.is_empty() { String::new() } else { format!(" ({})", row.why) };
    let text =
        format!("`{}` is switched off by {}, {}{why}.", row.name, switched_by(row), until(row));
    finding(State::Well, About::Disabled, text)
}

/// Who has switched a peer off, as far as that is known.
pub(in crate::admin) fn switched_by(row: &DisabledRow) -> String {
    Administrator { claimed: row.by.clone(), uid: row.uid }.to_string()
}

/// Until when a peer is switched off.
pub(in crate::admin) fn until(row: &DisabledRow) -> String {
    match row.until {
        Some(until) => format!("until {}", moment(until)),
        None => "until somebody switches it on".to_owned(),
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) <= AN_HOUR
}

/// Findings of one kind that are told one by one.
const EACH: usize = 3;

/// So many lookups may fail one after the other before XiVO is said not to answer.
const A_FEW: u64 = 3;

/// Minutes that say how XiVO is now.
const RECENT: usize = 5;

const AN_HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Before its end a certificate needs somebody for so long.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A document of which `change` has happened, judged.
    fn judged(change: impl FnOnce(&mut Value)) -> StatusDocument {
        let none = json!({"answered": 0, "introduced": 0, "refused": 0, "reasons": {}, "last_seen": null,
                          "last_refusal": null});
        let slots = json!({"seconds": 60, "most": 60, "slots": []});
        let mut document = json!({
            "version": 1, "at": "2026-11-28T10:00:00Z", "host": "gw", "program": "0", "pid": 1,
            "since": "2026-11-28T09:00:00Z", "phase": "serving",
            "verdict": {"state": "ill", "sentence": "", "remedy": null}, "findings": [],
            "configuration": {"file": "gateway.toml", "revision": "a", "differs": null},
            "listeners": [], "workers": [],
            "connections": {"open": 0, "most": 100, "peers": 0, "proxies": 0, "unknown": 0, "handshakes": 0,
                            "busy": 0, "new": 0, "idle": 0, "over_limit": 0, "leaving": 0},
            "requests": none, "history": {"hour": slots, "day": slots, "peers": {}}, "refusals": [],
            "upstream": {"url": "", "addresses": [], "source": "", "answered": 0, "failed": 0,
                         "last_failure": {"at": "2026-11-28T09:59:00Z", "reason": "upstream-timeout",
                                          "why": "nothing came"},
                         "circuit": {"state": "closed", "since": null, "why": null, "next_probe_seconds": null, "refused": 0}},
            "outage": null, "peers": [], "unknown": none, "unknown_callers": [],
            "names": [], "certificates": [], "logs": [{"name": "access.log", "written": 1, "lost": 7}],
            "lines_lost_last": null, "disabled": []
        });
        change(&mut document);
        let mut document = serde_json::from_value(document).unwrap();
        judge(&mut document);
        document
    }

    /// How it is, and what is said of it.
    fn said(change: impl FnOnce(&mut Value)) -> (State, String) {
        let document = judged(change);
        (document.verdict.state, document.verdict.sentence)
    }

    fn slot(answered: u32, failed: u32) -> Value {
        json!([{"answered": answered, "refused": 0, "failed": failed, "left": 0, "p50_millis": null,
                "p99_millis": null}])
    }

    #[test]
    fn nothing_is_wrong_with_a_gateway_that_has_just_started() {
        let document = judged(|_| {});
        assert!(document.findings.is_empty(), "{:?}", document.findings);
        assert_eq!(document.verdict.state, State::Well);
        assert_eq!(document.verdict.sentence, "All is well, and nobody has asked since the start.");
        let (state, sentence) = said(|it| {
            it["requests"]["last_seen"] = json!("2026-11-28T09:59:59Z");
            it["history"]["hour"]["slots"] = slot(1, 0);
        });
        assert_eq!(
            (state, &*sentence),
            (State::Well, "All is well: 1 request was answered in the last hour.")
        );
    }

    #[test]
    fn an_upstream_that_does_not_answer_is_told_once_with_its_last_fault() {
        let outage = |it: &mut Value| {
            it["outage"] = json!({"since": "2026-11-28T09:58:00Z", "failed": 9});
            it["history"]["hour"]["slots"] = slot(0, 9);
        };
        let document = judged(outage);
        assert_eq!((document.verdict.state, document.findings.len()), (State::Ill, 1));
        assert_eq!(
            document.verdict.sentence,
            "XiVO has answered none of 9 lookups since 2026-11-28 09:58 UTC."
        );
        let remedy = document.verdict.remedy.unwrap();
        assert!(remedy.starts_with("The last fault: nothing came. "), "{remedy}");
        assert!(remedy.ends_with(Reason::UpstreamTimeout.remedy()), "{remedy}");
        let circuit = |it: &mut Value| {
            outage(it);
            it["upstream"]["circuit"]["why"] = json!("XiVO is not asked");
        };
        assert_eq!(said(circuit), (State::Ill, "XiVO is not asked.".to_owned()));
        // One odd term is no outage.
        let one =
            |it: &mut Value| it["outage"] = json!({"since": "2026-11-28T09:58:00Z", "failed": 1});
        assert_eq!(said(one).0, State::Attention);
        let some = |it: &mut Value| it["history"]["hour"]["slots"] = slot(99, 1);
        assert_eq!(
            said(some),
            (State::Attention, "XiVO failed 1 of 100 lookups in the last five minutes.".to_owned())
        );
        let few = |it: &mut Value| it["history"]["hour"]["slots"] = slot(200, 1);
        assert_eq!(said(few).0, State::Well);
    }

    #[test]
    fn a_certificate_is_told_of_two_weeks_before_its_end() {
        let until = |end: &'static str| {
            said(move |it| {
                it["certificates"] = json!([{"use_for": "listener [::]:9443", "file": "gw.pem", "subject": "",
                    "sha256": "", "not_before": "2026-01-01T00:00:00Z", "not_after": end, "days_left": 3}]);
            })
        };
        assert_eq!(until("2026-12-12T10:00:01Z").0, State::Well);
        assert_eq!(until("2026-12-12T10:00:00Z").0, State::Attention);
        let (state, sentence) = until("2026-11-28T10:00:00Z");
        assert_eq!(state, State::Ill);
        assert!(sentence.ends_with(" is over since 2026-11-28 10:00 UTC."), "{sentence}");
    }

    #[test]
    fn what_is_past_needs_nobody_and_what_is_meant_neither() {
        let refused = |at: &'static str, reason: &'static str| {
            said(move |it| {
                let mut peer = json!({"name": "lyon", "file": "", "description": "", "state": "allowed", "why": null,
                    "actions": [], "hosts": [], "certificate": null,
                    "rate": {"requests": 1, "seconds": 1, "burst": 1, "left": 1},
                    "in_flight": {"now": 0, "most": 1}, "connections": {"now": 0, "most": 1}});
                peer["requests"] = it["requests"].clone();
                peer["requests"]["last_refusal"] = json!({"at": at, "reason": reason, "why": "so"});
                it["peers"] = json!([peer.clone(), peer]);
            })
        };
        let (state, sentence) = refused("2026-11-28T09:00:00Z", "rate-limited");
        assert_eq!(state, State::Attention);
        assert_eq!(
            sentence,
            "2 peers were refused within the hour (`rate-limited`): `lyon`, `lyon`."
        );
        assert_eq!(refused("2026-11-28T08:59:59Z", "rate-limited").0, State::Well);
        for reason in ["peer-disabled", "upstream-timeout", "client-closed"] {
            assert_eq!(refused("2026-11-28T09:59:00Z", reason).0, State::Well, "{reason}");
        }
        let lost = |at: &'static str| said(move |it| it["lines_lost_last"] = json!(at));
        assert_eq!(lost("2026-11-28T08:00:00Z").0, State::Well);
        let (state, sentence) = lost("2026-11-28T09:30:00Z");
        assert_eq!(state, State::Attention);
        assert!(sentence.starts_with("The access log lacks 7 lines of access.log;"), "{sentence}");
    }

    #[test]
    fn the_most_urgent_comes_first_and_the_others_are_counted() {
        let (state, sentence) = said(|it| {
            it["configuration"]["differs"] = json!("policies/lyon.toml:7: no");
            it["phase"] = json!("draining");
            it["names"] = (0..5)
                .map(|n| {
                    json!({"name": format!("n{n}"), "peer": "lyon", "place": "p:1",
                "addresses": ["192.0.2.1"], "refused": [], "resolved": null, "next": null,
                "failing_since": "2026-11-28T08:00:00Z", "why": null})
                })
                .collect();
        });
        assert_eq!(state, State::Ill);
        // The configuration, three names, and what is said of the other two.
        assert_eq!(
            sentence,
            "The gateway is ending: it takes no further connections. 5 other things need you."
        );
    }
}
