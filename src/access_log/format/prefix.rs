//! What goes before a line to some targets: the peer whose file it belongs to, or syslog's header.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::access_log::LogHost;
use crate::access_log::format::clock::LocalClock;
use crate::access_log::target::{LogTarget, PeerPath, Syslog, SyslogRfc};
use crate::text::write_number;

/// What goes before each line of a log.
#[derive(Debug)]
pub(crate) enum LinePrefix {
    /// Lines begin with the format's own text.
    None,
    /// The peer's name, for the thread that owns the files.
    Peer,
    /// A header, for the receiver.
    Syslog(Box<Header>),
}

impl LinePrefix {
    /// What `target` wants.
    pub(crate) fn of(target: &LogTarget, host: &LogHost) -> Self {
        match target {
            LogTarget::File(_) | LogTarget::Stdout => Self::None,
            LogTarget::PerPeer(_) => Self::Peer,
            LogTarget::Syslog(syslog) => Self::Syslog(Box::new(Header::of(syslog, host))),
        }
    }

    /// The name of the line's frame, where lines have one.
    pub(crate) fn frame<'a>(&self, peer: Option<&'a str>) -> Option<&'a str> {
        match self {
            Self::None => None,
            Self::Peer => Some(peer.unwrap_or(PeerPath::NOBODY)),
            Self::Syslog(_) => Some(""),
        }
    }

    /// Appends what the line begins with.
    pub(crate) fn write(&self, out: &mut Vec<u8>, clock: &mut LocalClock, now: SystemTime) {
        if let Self::Syslog(header) = self {
            header.write(out, clock, now);
        }
    }
}

/// Syslog's header: what does not change of it.
#[derive(Debug)]
pub(crate) struct Header {
    rfc: SyslogRfc,
    before_time: Vec<u8>,
    after_time: Vec<u8>,
}

impl Header {
    fn of(syslog: &Syslog, host: &LogHost) -> Self {
        let priority = u16::from(syslog.facility) * 8 + u16::from(syslog.severity);
        let Syslog { tag, nohostname, rfc, .. } = syslog;
        let (before, after) = match (rfc, nohostname) {
            (SyslogRfc::Rfc3164, false) => {
                (format!("<{priority}>"), format!(" {} {tag}: ", host.hostname))
            }
            (SyslogRfc::Rfc3164, true) => (format!("<{priority}>"), format!(" {tag}: ")),
            (SyslogRfc::Rfc5424, _) => {
                let name = if *nohostname { "-" } else { printable(&host.hostname) };
                (format!("<{priority}>1 "), format!(" {name} {tag} {} - - ", host.pid))
            }
        };
        Self { rfc: *rfc, before_time: before.into(), after_time: after.into() }
    }

    fn write(&self, out: &mut Vec<u8>, clock: &mut LocalClock, now: SystemTime) {
        out.extend_from_slice(&self.before_time);
        match self.rfc {
            SyslogRfc::Rfc3164 => out.extend_from_slice(clock.time_syslog(now.into())),
            SyslogRfc::Rfc5424 => {
                let (second, offset) = clock.time_iso8601(now.into()).split_at(ISO_SECOND);
                out.extend_from_slice(second);
                out.push(b'.');
                let millis = now.duration_since(UNIX_EPOCH).map_or(0, |it| it.subsec_millis());
                write_number(out, millis.into(), 3);
                out.extend_from_slice(offset);
            }
        }
        out.extend_from_slice(&self.after_time);
    }
}

/// A HOSTNAME of RFC 5424 is printable ASCII; one that is not is left out.
fn printable(name: &str) -> &str {
    let fits = !name.is_empty() && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_graphic());
    if fits { name } else { "-" }
}

/// In `2026-11-23T03:50:01+01:00`, the length before the offset.
const ISO_SECOND: usize = 19;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::access_log::TermKey;
    use crate::access_log::target::SyslogServer;

    fn header(nohostname: bool, rfc: SyslogRfc, hostname: &str) -> String {
        let server = SyslogServer::Unix("/dev/log".into());
        let tag = "phonebook_gateway".to_owned();
        let syslog = Syslog { server, facility: 23, severity: 6, tag, nohostname, rfc };
        let key = TermKey::new(&[0; TermKey::LENGTH]);
        let host = LogHost { hostname: hostname.to_owned(), pid: 42, key, has_key: true };
        let mut out = Vec::new();
        let mut clock = LocalClock::in_zone(TimeZone::posix("CET-1").unwrap());
        // 2026-11-03T02:50:01.007Z.
        let now = UNIX_EPOCH + Duration::from_millis(1_793_674_201_007);
        LinePrefix::of(&LogTarget::Syslog(syslog), &host).write(&mut out, &mut clock, now);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_older_header_has_a_blank_before_a_day_of_one_digit_and_can_leave_the_host_out() {
        let text = header(false, SyslogRfc::Rfc3164, "xivo");
        assert_eq!(text, "<190>Nov  3 03:50:01 xivo phonebook_gateway: ");
        let text = header(true, SyslogRfc::Rfc3164, "xivo");
        assert_eq!(text, "<190>Nov  3 03:50:01 phonebook_gateway: ");
    }

    #[test]
    fn the_newer_header_has_milliseconds_an_offset_and_every_field_or_a_dash() {
        let text = header(false, SyslogRfc::Rfc5424, "xivo");
        assert_eq!(text, "<190>1 2026-11-03T03:50:01.007+01:00 xivo phonebook_gateway 42 - - ");
        for (nohostname, host) in [(true, "xivo"), (false, ""), (false, "a b")] {
            let text = header(nohostname, SyslogRfc::Rfc5424, host);
            assert!(text.contains("+01:00 - phonebook_gateway 42 - - "), "{text}");
        }
    }
}
