//! `[limits]`: what one caller, and all together, may use up.

use std::time::Duration;

use crate::config::document::diagnostic::Diagnostic;
use crate::config::document::units::show_size;
use crate::config::document::{Field, Section};
use crate::config::value::rate;
use crate::limits::seats;
use crate::location::Located;
use crate::policy::Rate;

/// The `[limits]` section.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// For a whole head, from its first byte.
    pub head_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// For a client that does not read its answer.
    pub write_timeout: Duration,
    /// The longest request line, in bytes.
    pub max_uri: usize,
    /// The longest head, in bytes.
    pub max_head: usize,
    /// The most header fields of a head.
    pub max_header_fields: usize,
    /// The number of requests after which a connection is closed.
    pub max_requests_per_connection: u32,
    /// After so long a connection is closed.
    pub max_connection_age: Duration,
    /// The most client connections at once.
    pub max_connections: usize,
    /// The most of one caller in no policy.
    pub unknown_connections: usize,
    /// How often such a caller may begin a TLS handshake.
    pub handshake_rate: Located<Rate>,
    /// How long requests under way may take to finish when the gateway ends.
    pub drain_timeout: Duration,
    /// The rate of the whole gateway.
    pub rate: Located<Rate>,
    /// The rate of one caller in no policy.
    pub unknown_rate: Located<Rate>,
}

/// Reads `[limits]`.
pub(crate) fn read(mut section: Section<'_>) -> Limits {
    let mut timeout = |key, seconds, most| {
        let read = |field: &Field<'_>| field.duration(LEAST_TIMEOUT, most);
        section.value(key, Duration::from_secs(seconds), read)
    };
    let head_timeout = timeout("head_timeout", 5, HOUR);
    let idle_timeout = timeout("idle_timeout", 60, DAY);
    let write_timeout = timeout("write_timeout", 10, HOUR);
    let max_connection_age = timeout("max_connection_age", 3600, 365 * DAY);
    let drain_timeout = timeout("drain_timeout", 5, HOUR);
    let max_uri = section.value("max_uri", 4 << 10, |f| f.bytes(128, 1 << 20));
    let head_field = section.take("max_head");
    let max_head = head_field.as_ref().and_then(|f| f.bytes(256, 1 << 20)).unwrap_or(16 << 10);
    if max_head <= max_uri {
        let size = |size| show_size(u64::try_from(size).unwrap_or(u64::MAX));
        let (head, uri) = (size(max_head), size(max_uri));
        let message = format!("a head of {head} never holds a request line of max_uri, {uri}");
        let diagnostic = Diagnostic::new(message, "this limit is met first");
        match head_field {
            Some(field) => field.warn(diagnostic),
            None => section.warn(diagnostic),
        }
    }
    let mut count = |key, default, most| section.value(key, default, |f| f.whole(1, most));
    let max_header_fields = count("max_header_fields", 64, 1024);
    let max_requests_per_connection = count("max_requests_per_connection", 1000, u32::MAX);
    let max_connections = count("max_connections", 10_000, 1_000_000);
    let max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
    let unknown_connections = unknown_connections(&mut section, max_connections);
    let gateway_rate = section.placed("rate", RATE, rate::read);
    let unknown_rate = section.placed("unknown_rate", UNKNOWN_RATE, rate::read);
    let handshake_rate = section.placed("handshake_rate", HANDSHAKE_RATE, rate::read);
    section.finish();
    Limits {
        head_timeout,
        idle_timeout,
        write_timeout,
        max_uri,
        max_head,
        max_header_fields: usize::try_from(max_header_fields).unwrap_or(usize::MAX),
        max_requests_per_connection,
        max_connection_age,
        max_connections,
        unknown_connections,
        handshake_rate,
        drain_timeout,
        rate: gateway_rate,
        unknown_rate,
    }
}

/// How many connections one caller in no policy may have: as a rule a few, and never more than all such
/// callers together.
fn unknown_connections(section: &mut Section<'_>, max_connections: usize) -> usize {
    let most = seats::unknown_of(max_connections);
    let written = section.take("unknown_connections").and_then(|field| {
        let number = usize::try_from(field.whole(1, 1_000_000)?).ok()?;
        if number > most {
            let message = format!("{number} connections do not fit");
            let label =
                format!("allowed: 1 to {most}, which all callers in no policy have together");
            let help = "that is a quarter of max_connections: lower this, or raise that";
            field.error(Diagnostic::new(message, label).help(help));
        }
        Some(number)
    });
    written.unwrap_or(UNKNOWN_CONNECTIONS).min(most)
}

const LEAST_TIMEOUT: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

const RATE: Rate = rate::per_second(1000, 2000);
const UNKNOWN_RATE: Rate = rate::per_second(1, 5);
const HANDSHAKE_RATE: Rate = rate::per_second(10, 50);
const UNKNOWN_CONNECTIONS: usize = 32;
