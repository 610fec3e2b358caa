//! nginx's predefined `combined` log format, byte for byte.
//!
//! `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer"
//! "$http_user_agent"`. Seen on nginx 1.22 and held by the tests: what is absent is `-`, but a field
//! that came empty is empty (`Referer:` gives `""`), and so is the request line of a client that sent
//! nothing but line ends; an empty user is `-`; the status has three digits at least; an IPv6 address
//! has no brackets and may end in dotted decimals where nginx's own spelling does.

use std::net::IpAddr;

use crate::access_log::format::clock::{LocalClock, UnixSeconds};
use crate::access_log::format::escape::write_escaped;
use crate::text::{write_address, write_number};

/// What one line says about one request.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The client's address, found once for policy, limits and log.
    pub remote_addr: IpAddr,
    /// The peer's name. `None`, and an empty one, are `-`.
    pub remote_user: Option<&'a str>,
    /// When the line is written.
    pub time: UnixSeconds,
    /// The request line as it was sent, without its line end; as much of it as came. Empty where only
    /// line ends came; `None`, where there is no request line to speak of, is `-`.
    pub request: Option<&'a [u8]>,
    /// The status that was answered, or 499.
    pub status: u16,
    /// How much of the answer's body was sent.
    pub body_bytes_sent: u64,
    /// The `Referer` field's value; where it came more than once, the first.
    pub referer: Option<&'a [u8]>,
    /// The `User-Agent` field's value; where it came more than once, the first.
    pub user_agent: Option<&'a [u8]>,
}

/// Appends `entry`'s line and its line end to `out`. A logged value that is longer than `max_field`
/// bytes when escaped is cut, between escapes; 0 cuts nothing, as nginx.
pub fn write_combined(
    out: &mut Vec<u8>,
    entry: &Entry<'_>,
    clock: &mut LocalClock,
    max_field: usize,
) {
    write_address(out, entry.remote_addr);
    out.extend_from_slice(b" - ");
    let user = entry.remote_user.filter(|user| !user.is_empty());
    write_value(out, user.map(str::as_bytes), max_field);
    out.extend_from_slice(b" [");
    out.extend_from_slice(clock.time_local(entry.time));
    out.extend_from_slice(b"] \"");
    write_value(out, entry.request, max_field);
    out.extend_from_slice(b"\" ");
    write_number(out, entry.status.into(), 3);
    out.push(b' ');
    write_number(out, entry.body_bytes_sent, 1);
    out.extend_from_slice(b" \"");
    write_value(out, entry.referer, max_field);
    out.extend_from_slice(b"\" \"");
    write_value(out, entry.user_agent, max_field);
    out.extend_from_slice(b"\"\n");
}

fn write_value(out: &mut Vec<u8>, value: Option<&[u8]>, max_field: usize) {
    match value {
        Some(value) => write_escaped(out, value, max_field),
        None => out.push(b'-'),
    }
}

#[cfg(test)]
mod tests;
