//! What `explain` found, for people and for programs.

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::narrator::{Note, StepShown};
use super::{Asking, Explained, Refused};

impl Explained {
    /// The explanation as text for people.
    pub(super) fn as_text(&self, listener: Option<SocketAddr>) -> String {
        let mut out = String::new();
        let to = listener.map(|address| format!(" to {address}")).unwrap_or_default();
        put(&mut out, format_args!("From {}{to}:\n\n{}\n", self.from, indented(&self.head)));
        for step in &self.steps {
            put_step(&mut out, step);
        }
        out.push('\n');
        match &self.outcome {
            Ok(Some(asking)) => put_allowed(&mut out, asking, &self.hint(asking)),
            Ok(None) => {
                let body = indented(&self.answer);
                put(&mut out, format_args!("answered here (200)\n\nThe client reads:\n\n{body}"));
            }
            Err(Refused::Handshake) => {
                put(&mut out, format_args!("refused in the TLS handshake\n{}\n\n", self.why));
                put(&mut out, format_args!("{UNREAD}\n"));
            }
            Err(Refused::Request(refusal)) => {
                put(&mut out, format_args!("refused: {} ({})\n", refusal.word(), refusal.status()));
                put(&mut out, format_args!("{}\n", self.why));
                let body = indented(&self.answer);
                if !body.is_empty() {
                    put(&mut out, format_args!("\nThe client reads:\n\n{body}"));
                }
            }
        }
        out
    }

    /// For programs. Every key is always there.
    pub(super) fn as_json(&self) -> Value {
        let limits = self.limits.iter().map(|shown| {
            json!({ "limit": shown.limit, "place": shown.note.location, "text": shown.note.text })
        });
        let refusal = self.outcome.as_ref().err();
        let asking = self.outcome.as_ref().ok().and_then(Option::as_ref);
        let (client, source) = self.client;
        json!({
            "from": self.from.to_string(),
            "client": {
                "address": client.map(|client| client.to_string()),
                "source": source.as_str(),
            },
            "peer": self.peer,
            "steps": self.steps.iter().map(step_value).collect::<Value>(),
            "verdict": if refusal.is_some() { "refused" } else { "allowed" },
            "status": refusal.and_then(Refused::status),
            "reason": refusal.map(Refused::word),
            "limits": limits.collect::<Value>(),
            "answer": self.answer_value(),
            "upstream": asking.map(|asking| json!({
                "address": asking.address.map(|address| address.to_string()),
                "source": asking.source.map(|source| source.to_string()),
                "request": String::from_utf8_lossy(asking.request.as_bytes()),
            })),
            "hint": asking.map(|asking| self.hint(asking)),
            "running": self.running.as_ref().map(|running| json!({
                "file": running.file,
                "revision": running.revision,
                "note": running.note,
            })),
        })
    }

    /// What to do about the fault that a new gateway meets first. A loopback address never becomes a
    /// Web Services user: XiVO grants it everything as it is.
    fn hint(&self, asking: &Asking) -> String {
        if let Some(loopback) = &self.loopback {
            let advice = loopback.advice();
            return format!("`serve` does not start with this configuration. {advice}");
        }
        let named = asking.relayed.map(|(client, _)| client);
        let host = match named.or(asking.source) {
            Some(source) if source.to_canonical().is_loopback() => {
                return format!(
                    "XiVO grants everything to {source} without a Web Services user: add none for it."
                );
            }
            Some(source) => format!("for host {source}"),
            None => "for the gateway's address".to_owned(),
        };
        format!("If XiVO answers 401 or 403: add a Web Services user {host} in XiVO.")
    }
}

/// What an allowed request becomes.
fn put_allowed(out: &mut String, asking: &Asking, hint: &str) {
    let request = indented(asking.request.as_bytes());
    put(out, format_args!("allowed\n"));
    put(
        out,
        format_args!(
            "\nXiVO is sent, with an id of the request's own (lines end with CR LF, and an empty one follows):\n\n{request}"
        ),
    );
    put(out, format_args!("\n{hint}\n"));
}

fn step_value(step: &StepShown) -> Value {
    let texts: Vec<&str> = step.annotations.iter().map(|note| note.text.as_str()).collect();
    json!({
        "step": step.step,
        "outcome": if step.refused { "refused" } else { "passed" },
        "place": step.annotations.first().and_then(|note| note.location.as_deref()),
        "text": texts.join("; "),
    })
}

/// A step's first line has its name, and whether the request ended there.
fn put_step(out: &mut String, step: &StepShown) {
    let mut name = step.step;
    for Note { text, location } in &step.annotations {
        let location =
            location.as_ref().map(|location| format!(" [{location}]")).unwrap_or_default();
        let refused = if step.refused && !name.is_empty() { "REFUSED: " } else { "" };
        put(out, format_args!("{name:<10}{refused}{text}{location}\n"));
        name = "";
    }
}

/// Each line of a head or body, set in and safe to print, without the empty line at a head's end.
fn indented(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii_end();
    let lines = bytes.split(|&b| b == b'\n').filter(|_| !bytes.is_empty());
    let lines = lines.map(|text| text.strip_suffix(b"\r").unwrap_or(text));
    lines.map(|text| format!("    {}\n", line(text))).collect()
}

/// Text that a terminal shows and does not obey.
pub(in crate::cli) fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().fold(String::new(), |mut out, char| {
        if char.is_ascii_control() {
            // As the access log writes it.
            out.push_str(&format!("\\x{:02X}", u32::from(char)));
        } else if char.is_control() {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
        out
    })
}

/// Appends to a string, which cannot fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

const UNREAD: &str = "No request is read: the client gets a TLS alert and no answer, the journal says why, and the \
                      access log has no line.";
