//! Writes one line: what a variable is, of which request.
//!
//! Absent is what nginx calls "not found": `-` in `escape=default`, nothing in the others. A value that
//! came empty is empty.

mod request;

use std::net::SocketAddr;
use std::time::Duration;

use crate::access_log::format::clock::LocalClock;
use crate::access_log::format::facts::{Checked, Facts, TlsLine};
use crate::access_log::format::mask::{self, Masked};
use crate::access_log::format::variable::{Named, Variable};
use crate::access_log::format::{Escape, Format, Op};
use crate::identity::certificate::{CertificateFault, PresentedCertificate};
use crate::limits::Limit;
use crate::text::{LOWER_HEX, hex, write_address, write_number};
use crate::upstream::trace::Attempt;
use crate::x509::Certificate;

/// What lines are written with.
#[derive(Debug)]
pub struct Writer<'w> {
    /// Writes times in this host's time zone.
    pub clock: &'w mut LocalClock,
    /// For values that have to be put together before they are escaped.
    pub scratch: &'w mut Vec<u8>,
    /// Where a value is cut, in escaped bytes; 0 cuts none.
    pub max_field: usize,
    /// Whether search terms are hidden: the facts' request line, its parts, referer and user agent are masked
    /// already.
    pub masked: bool,
}

impl Writer<'_> {
    /// Appends a line, with its end, of `facts` in `format`.
    pub fn write(&mut self, out: &mut Vec<u8>, format: &Format, facts: &Facts<'_>) {
        for op in format.program() {
            match op {
                Op::Literal(text) => out.extend_from_slice(text),
                Op::Variable(variable) => {
                    let value = Value {
                        out: &mut *out,
                        escape: format.escape(),
                        max_field: self.max_field,
                    };
                    self.variable(variable, value, facts);
                }
            }
        }
        out.push(b'\n');
    }

    fn variable(&mut self, variable: &Variable, mut value: Value<'_>, facts: &Facts<'_>) {
        match variable {
            Variable::Named(named) => self.named(*named, value, facts),
            Variable::Http(name) => self.http(name, value, facts),
            Variable::SentHttp(name) => {
                let head = facts.answer_head;
                let fields = memchr::memchr(b'\n', head).map_or(head, |at| &head[at + 1..]);
                let found = request::values(fields, name).next();
                // nginx always says what becomes of the connection.
                let connection =
                    || if facts.keep_alive { b"keep-alive".as_slice() } else { b"close" };
                value.text(found.or_else(|| (**name == *b"connection").then(connection)));
            }
            Variable::Arg(name) => {
                value
                    .text(request::split(facts).1.and_then(|query| request::argument(query, name)));
            }
        }
    }

    /// A field of the request: its first value, but for those that nginx joins.
    fn http(&mut self, name: &[u8], mut value: Value<'_>, facts: &Facts<'_>) {
        match name {
            b"referer" => return value.text(facts.entry.referer),
            b"user_agent" => return value.text(facts.entry.user_agent),
            _ => {}
        }
        let mut values = request::values(facts.request.fields, name);
        let Some(first) = values.next() else { return value.text(None) };
        let joint: &[u8] = match name {
            b"cookie" => b"; ",
            b"x_forwarded_for" => b", ",
            _ if self.masked => b"",
            _ => return value.text(Some(first)),
        };
        self.scratch.clear();
        self.scratch.extend_from_slice(first);
        for further in values.take_while(|_| !joint.is_empty()) {
            self.scratch.extend_from_slice(joint);
            self.scratch.extend_from_slice(further);
        }
        if self.masked {
            let whole = std::mem::take(self.scratch);
            mask::field(name, &whole, self.scratch);
        }
        value.text(Some(self.scratch));
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "each writes some of the sixty variables, and leaves the rest to the next"
    )]
    fn named(&mut self, named: Named, mut value: Value<'_>, facts: &Facts<'_>) {
        let entry = &facts.entry;
        match named {
            Named::TimeLocal => value.raw(self.clock.time_local(entry.time)),
            Named::TimeIso8601 => value.raw(self.clock.time_iso8601(entry.time)),
            Named::Uri => {
                let path = request::split(facts).0;
                let known = path.map(|path| request::normalize(path, self.scratch));
                value.text(known.map(|()| self.scratch.as_slice()));
            }
            Named::RequestMasked => {
                self.scratch.clear();
                let line = entry.request.unwrap_or_default();
                Masked::OMITTED.line(line, facts.request.target.clone(), self.scratch);
                value.text(entry.request.map(|_| self.scratch.as_slice()));
            }
            Named::Host => {
                self.scratch.clear();
                let host = facts.request.host.unwrap_or(facts.server_name.as_bytes());
                self.scratch.extend(host.iter().map(u8::to_ascii_lowercase));
                value.text(Some(self.scratch));
            }
            _ => value.fact(named, facts),
        }
    }
}

/// What OpenSSL calls a certificate's fault, and with it nginx.
fn verdict(fault: CertificateFault, certificate: &Certificate) -> &'static str {
    match fault {
        CertificateFault::NoAuthority
        | CertificateFault::UnknownIssuer
        | CertificateFault::AuthoritysOwn => {
            if certificate.subject == certificate.issuer {
                "self-signed certificate"
            } else {
                "unable to verify the first certificate"
            }
        }
        CertificateFault::Expired | CertificateFault::IssuerNotValid => "certificate has expired",
        CertificateFault::NotYetValid => "certificate is not yet valid",
        CertificateFault::Revoked => "certificate revoked",
        CertificateFault::RevocationUnknown => "unable to get certificate CRL",
        CertificateFault::NotForClients => "unsuitable certificate purpose",
        CertificateFault::NotOfPeer | CertificateFault::Broken => "certificate rejected",
    }
}

/// Where one value goes, and how.
struct Value<'v> {
    out: &'v mut Vec<u8>,
    escape: Escape,
    max_field: usize,
}

impl Value<'_> {
    fn raw(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    fn text(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.escape.write(self.out, value, self.max_field),
            None if self.escape == Escape::Default => self.out.push(b'-'),
            None => {}
        }
    }

    fn word(&mut self, value: Option<&str>) {
        self.text(value.map(str::as_bytes));
    }

    fn number(&mut self, number: impl Into<u64>) {
        write_number(self.out, number.into(), 1);
    }

    /// Seconds to the millisecond.
    fn time(&mut self, millis: u64) {
        self.number(millis / 1000);
        self.out.push(b'.');
        write_number(self.out, millis % 1000, 3);
    }

    fn duration(&mut self, time: Duration) {
        self.time(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    fn port(&mut self, port: Option<u16>) {
        if let Some(port) = port.filter(|&port| port != 0) {
            self.number(port);
        }
    }

    fn address(&mut self, address: Option<SocketAddr>) {
        match address {
            Some(address) => write_address(self.out, address.ip()),
            None => self.text(None),
        }
    }

    fn checked(&mut self, checked: Checked) {
        self.word(match checked {
            Checked::No => None,
            Checked::Passed => Some("PASSED"),
            Checked::Rejected => Some("REJECTED"),
        });
    }

    /// What each try of XiVO says, as nginx lists it.
    fn tries(&mut self, facts: &Facts<'_>, mut write: impl FnMut(&mut Self, &Attempt)) {
        if facts.attempts.is_empty() {
            return self.text(None);
        }
        for (at, attempt) in facts.attempts.iter().enumerate() {
            if at > 0 {
                self.raw(b", ");
            }
            write(self, attempt);
        }
    }

    fn moments(&mut self, facts: &Facts<'_>, moment: impl Fn(&Attempt) -> Option<u32>) {
        self.tries(facts, |value, attempt| match moment(attempt) {
            Some(millis) => value.time(millis.into()),
            None => value.raw(b"-"),
        });
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "each writes some of the sixty variables, and leaves the rest to the next"
    )]
    fn fact(&mut self, named: Named, facts: &Facts<'_>) {
        let entry = &facts.entry;
        match named {
            Named::RemoteAddr => write_address(self.out, entry.remote_addr),
            Named::RemotePort => self.port(facts.remote_port),
            Named::RemoteUser | Named::Peer => {
                self.word(entry.remote_user.filter(|user| !user.is_empty()));
            }
            Named::RealipRemoteAddr => self.address(Some(facts.socket)),
            Named::RealipRemotePort => self.port(Some(facts.socket.port())),
            Named::ProxyProtocolAddr => self.address(facts.proxied_client),
            Named::ProxyProtocolPort => match facts.proxied_client {
                Some(proxied_client) => self.number(proxied_client.port()),
                None => self.text(None),
            },
            Named::ServerAddr => self.address(facts.local),
            Named::ServerPort => self.port(facts.local.map(|local| local.port())),
            Named::ServerName => self.word(Some(facts.server_name)),
            Named::Msec => {
                self.number(u64::try_from(entry.time.0).unwrap_or_default());
                self.raw(b".");
                write_number(self.out, facts.millis.into(), 3);
            }
            Named::Status => write_number(self.out, entry.status.into(), 3),
            Named::BodyBytesSent => self.number(entry.body_bytes_sent),
            Named::BytesSent => self.number(facts.bytes_sent),
            Named::RequestTime => self.duration(facts.request_time),
            Named::RequestLength => self.number(facts.request_length),
            Named::RequestId => self.word(Some(facts.request_id)),
            Named::RequestCompletion => self.word(Some(if facts.completed { "OK" } else { "" })),
            Named::Connection => self.number(facts.connection),
            Named::ConnectionRequests => self.number(facts.connection_requests),
            Named::ConnectionTime => self.duration(facts.connection_time),
            Named::Pipe => self.raw(if facts.pipelined { b"p" } else { b"." }),
            Named::Pid => self.number(facts.pid),
            Named::Hostname => self.word(Some(facts.hostname)),
            Named::LimitReqStatus => self.checked(facts.rate),
            Named::LimitConnStatus => self.checked(facts.concurrent),
            Named::Action => self.word(facts.action),
            Named::Reason => self.word(facts.reason),
            Named::Limit => self.word(facts.limit.map(Limit::as_str)),
            Named::Rule => match facts.rule {
                // Each part by itself: putting them together would need memory.
                Some(rule) => {
                    self.text(Some(rule.file().as_os_str().as_encoded_bytes()));
                    self.raw(b":");
                    self.number(rule.line());
                }
                None => self.text(None),
            },
            Named::PolicyRevision => self.word(Some(facts.revision)),
            Named::ClientSource => self.word(Some(facts.source.as_str())),
            _ => self.request(named, facts),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "each writes some of the sixty variables, and leaves the rest to the next"
    )]
    fn request(&mut self, named: Named, facts: &Facts<'_>) {
        let (_, query) = request::split(facts);
        match named {
            Named::Request => self.text(facts.entry.request),
            Named::RequestMethod => self.text(facts.request.method),
            Named::RequestUri => self.text(request::target(facts)),
            Named::Args => self.text(query.filter(|query| !query.is_empty())),
            Named::IsArgs => {
                self.raw(if query.is_some_and(|query| !query.is_empty()) { b"?" } else { b"" });
            }
            Named::ServerProtocol => self.text(facts.request.protocol),
            Named::Scheme => self.raw(if facts.tls.is_some() { b"https" } else { b"http" }),
            Named::Https => self.raw(if facts.tls.is_some() { b"on" } else { b"" }),
            _ => self.upstream(named, facts),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "each writes some of the sixty variables, and leaves the rest to the next"
    )]
    fn upstream(&mut self, named: Named, facts: &Facts<'_>) {
        match named {
            Named::UpstreamAddr => self.tries(facts, |value, attempt| match attempt.address {
                Some(address) => {
                    if address.is_ipv6() {
                        value.raw(b"[");
                    }
                    write_address(value.out, address.ip());
                    value.raw(if address.is_ipv6() { b"]:" } else { b":" });
                    value.number(address.port());
                }
                None => {
                    value.raw(b"unix:");
                    value.word(Some(facts.upstream_socket.unwrap_or_default()));
                }
            }),
            Named::UpstreamStatus => self.tries(facts, |value, attempt| match attempt.status {
                0 => value.raw(b"-"),
                status => value.number(status),
            }),
            Named::UpstreamConnectTime => self.moments(facts, |attempt| attempt.connect),
            Named::UpstreamHeaderTime => self.moments(facts, |attempt| attempt.header),
            Named::UpstreamResponseTime => self.moments(facts, |attempt| attempt.response),
            Named::UpstreamResponseLength => self.tries(facts, |value, a| value.number(a.body)),
            Named::UpstreamBytesReceived => self.tries(facts, |value, a| value.number(a.received)),
            Named::UpstreamBytesSent => self.tries(facts, |value, a| value.number(a.sent)),
            _ => self.tls(named, facts.tls),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is left is what the gateway never has"
    )]
    fn tls(&mut self, named: Named, tls: Option<TlsLine<'_>>) {
        let Some(tls) = tls else { return self.text(None) };
        let certificate = tls.certificate.map(|shown| shown.certificate);
        match named {
            Named::SslProtocol => self.word(Some(tls.protocol)),
            Named::SslCipher => self.word(Some(tls.cipher)),
            Named::SslServerName => self.word(tls.server_name),
            Named::SslSessionReused => self.raw(if tls.resumed { b"r" } else { b"." }),
            Named::SslClientVerify => match tls.certificate {
                None => self.raw(b"NONE"),
                Some(PresentedCertificate { trust: Ok(()), .. }) => self.raw(b"SUCCESS"),
                Some(PresentedCertificate { trust: Err(fault), certificate }) => {
                    self.raw(b"FAILED:");
                    self.raw(verdict(fault, certificate).as_bytes());
                }
            },
            Named::SslClientSDn => self.word(certificate.map(|found| found.subject.as_str())),
            Named::SslClientIDn => self.word(certificate.map(|found| found.issuer.as_str())),
            Named::SslClientSerial => self.word(certificate.map(|found| found.serial.as_str())),
            Named::SslClientFingerprint => match certificate {
                Some(found) => {
                    for byte in found.sha1 {
                        self.raw(&hex(byte, LOWER_HEX));
                    }
                }
                None => self.text(None),
            },
            // The gateway keeps no answers.
            _ => self.text(None),
        }
    }
}
