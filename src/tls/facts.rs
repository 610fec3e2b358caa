//! What the handshake of a connection brought.

use std::cell::Cell;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};

use super::ClientAuthority;
use crate::caller::{CertificateFault, Shown};
use crate::certificate::{Certificate, UnreadableCertificate};

/// What the handshake of a connection brought.
#[derive(Debug)]
pub struct TlsFacts {
    /// The version, as nginx's `$ssl_protocol`.
    pub version: &'static str,
    /// The cipher suite by OpenSSL's name, as nginx's `$ssl_cipher`.
    pub cipher: &'static str,
    /// The name that the client asked for (RFC 6066, section 3), in lower case.
    pub server_name: Option<String>,
    /// Whether a former session was resumed.
    pub resumed: bool,
    presented: Option<Presented>,
}

/// The client's certificate, and what was found out about it last.
#[derive(Debug)]
struct Presented {
    chain: Vec<CertificateDer<'static>>,
    leaf: Certificate,
    judged: Cell<Option<Judged>>,
}

/// A judgement on a chain, by an authority and in a second.
#[derive(Clone, Copy, Debug)]
struct Judged {
    revision: u64,
    second: i64,
    standing: Result<(), CertificateFault>,
}

impl TlsFacts {
    /// What `connection`, whose handshake is complete, brought.
    ///
    /// # Errors
    /// The client's certificate cannot be read.
    pub fn of(connection: &ServerConnection) -> Result<Self, UnreadableCertificate> {
        let chain = connection.peer_certificates().unwrap_or_default();
        Ok(Self {
            version: connection.protocol_version().map_or("", version_name),
            cipher: connection
                .negotiated_cipher_suite()
                .map_or("", |suite| cipher_name(suite.suite())),
            server_name: connection.server_name().map(str::to_ascii_lowercase),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            presented: Presented::of(chain)?,
        })
    }

    /// A connection on which a client with this chain, its own certificate first, has proven its key.
    /// For `explain`.
    ///
    /// # Errors
    /// The first certificate cannot be read.
    pub fn assumed(
        chain: &[CertificateDer<'_>],
        server_name: Option<String>,
    ) -> Result<Self, UnreadableCertificate> {
        let presented = Presented::of(chain)?;
        Ok(Self { version: "TLSv1.3", cipher: "", server_name, resumed: false, presented })
    }

    /// The client's certificate as it stands at `now` by what `authority` believes.
    pub fn shown(&self, authority: &ClientAuthority, now: Timestamp) -> Option<Shown<'_>> {
        let presented = self.presented.as_ref()?;
        Some(Shown { certificate: &presented.leaf, standing: presented.standing(authority, now) })
    }
}

impl Presented {
    fn of(chain: &[CertificateDer<'_>]) -> Result<Option<Self>, UnreadableCertificate> {
        let Some(first) = chain.first() else { return Ok(None) };
        let leaf = Certificate::read(first)?;
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        Ok(Some(Self { chain, leaf, judged: Cell::new(None) }))
    }

    /// The dates of the certificate itself are looked at first and to the moment; the signatures
    /// and dates behind it once in a second, which costs a busy connection nothing.
    fn standing(
        &self,
        authority: &ClientAuthority,
        now: Timestamp,
    ) -> Result<(), CertificateFault> {
        if now < self.leaf.not_before {
            return Err(CertificateFault::NotYetValid);
        }
        if now > self.leaf.not_after {
            return Err(CertificateFault::Expired);
        }
        let (revision, second) = (authority.revision(), now.as_second());
        let known = self.judged.get();
        if let Some(judged) = known.filter(|j| j.revision == revision && j.second == second) {
            return judged.standing;
        }
        let standing = authority.judge(&self.chain, now);
        self.judged.set(Some(Judged { revision, second, standing }));
        standing
    }
}

fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "",
    }
}

/// All suites that rustls has.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}
