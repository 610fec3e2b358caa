//! What is said over the control socket: one request in a line of JSON, one answer in another.
//!
//! A request is a command with plain words and numbers; it carries no path to open or to execute. Every
//! answer has the version, so that a `ctl` of another version says so instead of showing half of it.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is asked, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// What to do.
    pub command: Command,
    /// The name that the administrator claims; may be empty.
    pub by: String,
}

/// What a gateway that runs can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Command {
    /// How it is.
    Status {},
    /// Which configuration it runs.
    Revision {},
    /// Its peers, or one of them.
    Peers {
        /// Which one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Switches a peer off.
    Disable {
        /// Which one.
        name: String,
        /// For how long; without it until it is switched on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
        /// The reason, for other administrators.
        #[serde(default)]
        why: String,
    },
    /// Switches a peer on.
    Enable {
        /// Which one.
        name: String,
    },
    /// Fills a peer's rate.
    Reset {
        /// Which one.
        name: String,
    },
    /// The host names of policies.
    Names {},
    /// The certificates in use.
    Certs {},
    /// Who has which of the client connections.
    Connections {},
    /// The last malformed heads.
    Errors {},
    /// Which diagnostics are told.
    LogLevel {
        /// `error`, `warn`, `info`, `debug` or `trace`.
        level: String,
        /// For how long; without it until the gateway ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
    },
    /// Reads the configuration's files again, and runs what they say.
    Reload {},
    /// The last good configurations.
    History {},
    /// What [`Self::Rollback`] would change.
    RollbackChanges {
        /// The number in the history; without one, the last that is another than the one that runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<usize>,
    },
    /// Runs a former configuration again, until the next reload or restart.
    Rollback {
        /// The number in the history; without one, the last that is another than the one that runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<usize>,
    },
    /// Opens the access logs again.
    Reopen {},
    /// Takes no further connections, and ends when those that are open have ended.
    Drain {},
    /// Ends at once.
    Stop {},
}

impl Request {
    /// The line that is sent.
    pub(crate) fn to_line(&self) -> String {
        let mut value = serde_json::to_value(&self.command).unwrap_or_default();
        value["version"] = VERSION.into();
        value["by"] = self.by.clone().into();
        format!("{value}\n")
    }

    /// What a line asks.
    ///
    /// # Errors
    /// It is no request, and what one is.
    pub(crate) fn read(line: &[u8]) -> Result<Self, String> {
        let mut fields: Map<String, Value> = serde_json::from_slice(line)
            .map_err(|error| format!("the request is no JSON object: {error}"))?;
        match fields.remove("version") {
            Some(Value::Number(version)) if version.as_u64() == Some(VERSION.into()) => {}
            Some(other) => {
                return Err(format!(
                    "the request has version {other}, and this gateway speaks {VERSION}; use the \
                     `phonebook-gateway` of the version that runs"
                ));
            }
            None => {
                return Err(format!(
                    "the request has no \"version\"; this gateway speaks {VERSION}"
                ));
            }
        }
        let by = match fields.remove("by") {
            None => String::new(),
            Some(Value::String(name)) => name.chars().take(MOST_NAME).collect(),
            Some(_) => return Err("\"by\" is no string".to_owned()),
        };
        let command = Command::deserialize(Value::Object(fields))
            .map_err(|error| format!("the request is not understood: {error}"))?;
        Ok(Self { command, by })
    }
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// [`VERSION`].
    pub version: u32,
    /// The moment that it tells of.
    pub at: Timestamp,
    /// What was asked for, where it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Value>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refused>,
}

/// Why a request was not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// How `ctl` ends: 1 where the gateway says no, 2 where the request is wrong, 3 where something failed.
    pub exit: u8,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether the same request may be obeyed in a moment: others had all the places.
    #[serde(default)]
    pub busy: bool,
}

impl Command {
    /// Whether another process that takes the place of the gateway would have to know of it.
    pub(crate) fn changes_something(&self) -> bool {
        match self {
            Self::Disable { .. }
            | Self::Enable { .. }
            | Self::Reset { .. }
            | Self::LogLevel { .. }
            | Self::Reload {}
            | Self::Rollback { .. } => true,
            Self::Status {}
            | Self::Revision {}
            | Self::Peers { .. }
            | Self::Names {}
            | Self::Certs {}
            | Self::Connections {}
            | Self::Errors {}
            | Self::History {}
            | Self::RollbackChanges { .. }
            | Self::Reopen {}
            | Self::Drain {}
            | Self::Stop {} => false,
        }
    }
}

impl Refused {
    /// The gateway says no.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self { exit: 1, message: message.into(), busy: false }
    }

    /// The request is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: 2, message: message.into(), busy: false }
    }

    /// Something failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: 3, message: message.into(), busy: false }
    }

    /// There was no place for it.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self { busy: true, ..Self::failed(message) }
    }
}

impl Answer {
    /// The answer that tells of `outcome`.
    pub(crate) fn of<T: Serialize>(outcome: Result<T, Refused>) -> Self {
        let outcome = outcome.and_then(|document| {
            serde_json::to_value(document).map_err(|error| Refused::failed(error.to_string()))
        });
        let at = Timestamp::now();
        match outcome {
            Ok(document) => Self { version: VERSION, at, ok: Some(document), error: None },
            Err(refused) => Self { version: VERSION, at, ok: None, error: Some(refused) },
        }
    }

    /// The line that is sent.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// What a line says.
    ///
    /// # Errors
    /// It is no answer of this version.
    pub(crate) fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        let answer: Self = serde_json::from_slice(line)?;
        match (answer.version, &answer.ok, &answer.error) {
            (VERSION, Some(_), None) | (VERSION, None, Some(_)) => Ok(answer),
            (VERSION, ..) => {
                Err(serde_json::Error::custom("it is neither an answer nor a refusal"))
            }
            (other, ..) => Err(serde_json::Error::custom(format!(
                "it has version {other}, and this program speaks {VERSION}"
            ))),
        }
    }
}

/// A name is cut behind so many characters.
const MOST_NAME: usize = 64;

/// The version of requests and answers.
pub(crate) const VERSION: u32 = 1;

/// The longest request, in bytes, with its line end.
pub(crate) const MAX_REQUEST: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_read_as_it_was_written() {
        let name = || "lyon".to_owned();
        let all = [
            Command::Status {},
            Command::Revision {},
            Command::Peers { name: None },
            Command::Disable { name: name(), seconds: Some(60), why: "a\nb".to_owned() },
            Command::Enable { name: name() },
            Command::Reset { name: name() },
            Command::Names {},
            Command::Certs {},
            Command::Connections {},
            Command::Errors {},
            Command::LogLevel { level: "debug".to_owned(), seconds: None },
            Command::Reload {},
            Command::History {},
            Command::RollbackChanges { number: Some(1) },
            Command::Rollback { number: None },
            Command::Reopen {},
            Command::Drain {},
            Command::Stop {},
        ];
        for command in all {
            let request = Request { command, by: "marie".to_owned() };
            let line = request.to_line();
            assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line}");
            assert_eq!(Request::read(line.as_bytes()), Ok(request));
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_what_is_wrong() {
        for (line, part) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            ("{}", "has no \"version\""),
            ("{\"version\":2,\"command\":\"status\"}", "has version 2, and this gateway speaks 1"),
            ("{\"version\":1}", "command"),
            ("{\"version\":1,\"command\":\"stauts\"}", "stauts"),
            ("{\"version\":1,\"command\":\"status\",\"path\":\"/etc/passwd\"}", "path"),
            ("{\"version\":1,\"command\":\"peers\",\"name\":7}", "string"),
            ("{\"version\":1,\"command\":\"enable\"}", "name"),
            ("{\"version\":1,\"command\":\"status\",\"by\":7}", "\"by\" is no string"),
        ] {
            let error = Request::read(line.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written_and_another_versions_is_not() {
        let answers =
            [Answer::of(Ok(serde_json::json!({"a": 1}))), Answer::of::<()>(Err(Refused::no("no")))];
        for answer in answers {
            assert_eq!(Answer::read(&answer.to_line()).unwrap(), answer);
            let other = Answer { version: 2, ..answer };
            let error = Answer::read(&other.to_line()).unwrap_err().to_string();
            assert!(error.contains("version 2"), "{error}");
        }
    }
}
