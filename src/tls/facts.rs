//! What the handshake of a connection brought.

use std::cell::Cell;
use std::collections::HashSet;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};

use super::ClientAuthority;
use crate::identity::certificate::{CertificateFault, PresentedCertificate};
use crate::x509::{Certificate, UnreadableCertificate};

/// What the handshake of a connection brought.
#[derive(Debug)]
pub struct TlsFacts {
    /// The version, as nginx's `$ssl_protocol`.
    pub version: &'static str,
    /// The cipher suite by OpenSSL's name, as nginx's `$ssl_cipher`.
    pub cipher: &'static str,
    /// The name that the client asked for (RFC 6066, section 3), in lower case.
    pub server_name: Option<String>,
    /// Whether a previous session was resumed.
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
    trust: Result<(), CertificateFault>,
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

    /// The client's certificate as it stands at `now` by what `authority` trusts.
    pub fn shown(
        &self,
        authority: &ClientAuthority,
        now: Timestamp,
    ) -> Option<PresentedCertificate<'_>> {
        let presented = self.presented.as_ref()?;
        Some(PresentedCertificate {
            certificate: &presented.leaf,
            trust: presented.trust(authority, now),
        })
    }
}

impl Presented {
    fn of(chain: &[CertificateDer<'_>]) -> Result<Option<Self>, UnreadableCertificate> {
        let Some(first) = chain.first() else { return Ok(None) };
        let leaf = Certificate::read(first)?;
        let further = intermediates(chain.get(1..).unwrap_or_default());
        let chain = std::iter::once(first).chain(further);
        let chain = chain.map(|der| der.clone().into_owned()).collect();
        Ok(Some(Self { chain, leaf, judged: Cell::new(None) }))
    }

    /// The dates of the certificate itself are looked at first and to the moment; the signatures
    /// and dates behind it once in a second, which costs a busy connection nothing.
    fn trust(&self, authority: &ClientAuthority, now: Timestamp) -> Result<(), CertificateFault> {
        if now < self.leaf.not_before {
            return Err(CertificateFault::NotYetValid);
        }
        if now > self.leaf.not_after {
            return Err(CertificateFault::Expired);
        }
        let (revision, second) = (authority.revision(), now.as_second());
        let known = self.judged.get();
        if let Some(judged) = known.filter(|j| j.revision == revision && j.second == second) {
            return judged.trust;
        }
        let trust = authority.judge(&self.chain, now).map_err(|fault| match fault {
            // Its own dates are right.
            CertificateFault::Expired | CertificateFault::NotYetValid => {
                CertificateFault::IssuerNotValid
            }
            CertificateFault::Broken if self.leaf.is_authority => CertificateFault::AuthoritysOwn,
            CertificateFault::NoAuthority
            | CertificateFault::UnknownIssuer
            | CertificateFault::IssuerNotValid
            | CertificateFault::Revoked
            | CertificateFault::RevocationUnknown
            | CertificateFault::NotForClients
            | CertificateFault::NotOfPeer
            | CertificateFault::AuthoritysOwn
            | CertificateFault::Broken => fault,
        });
        self.judged.set(Some(Judged { revision, second, trust }));
        trust
    }
}

/// The certificates that can lead from a client's to its authority: one of each name, and few.
///
/// Anybody may send any, signed by nobody, and of ten with one name there are thousands of ways to an
/// authority, each of which would be tried: the client pays nothing for that, and the gateway much.
fn intermediates<'c, 'd>(chain: &'c [CertificateDer<'d>]) -> Vec<&'c CertificateDer<'d>> {
    let mut names = HashSet::new();
    let is_first = |der: &&CertificateDer<'_>| {
        Certificate::read(der).is_ok_and(|read| names.insert(read.subject))
    };
    chain.iter().take(MOST_INTERMEDIATES).filter(is_first).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no other version is spoken")]
fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "",
    }
}

/// All suites that rustls has.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other cipher suite is offered")]
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

/// The number of certificates between a client's and its authority that are looked at.
const MOST_INTERMEDIATES: usize = 6;

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;
    use crate::location::Location;
    use crate::policy::{CertificateRule, Require};

    fn self_signed(name: &str, is_ca: IsCa) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = is_ca;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn authority() -> CertificateDer<'static> {
        self_signed("authority", IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn trusting(root: CertificateDer<'static>) -> ClientAuthority {
        ClientAuthority::new(&[root], Vec::new()).unwrap()
    }

    fn pinned(certificate: &CertificateDer<'_>) -> CertificateRule {
        CertificateRule {
            public_key_sha256: vec![Certificate::read(certificate).unwrap().spki_sha256],
            san_dns: Vec::new(),
            san_uri: Vec::new(),
            common_name: Vec::new(),
            require: Require::Certificate,
            location: Location::new(std::sync::Arc::default(), 1),
        }
    }

    #[test]
    fn a_pinned_key_needs_no_authority_where_there_is_one_for_others() {
        let others = trusting(authority());
        // As `openssl req -x509` makes them: an authority's own.
        for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
            let own = self_signed("lyon", is_ca);
            let facts = TlsFacts::assumed(std::slice::from_ref(&own), None).unwrap();
            let shown = facts.shown(&others, Timestamp::now()).unwrap();
            let expected = if matches!(is_ca, IsCa::Ca(_)) {
                CertificateFault::AuthoritysOwn
            } else {
                CertificateFault::UnknownIssuer
            };
            assert_eq!(shown.trust, Err(expected));
            assert_eq!(shown.satisfies(&pinned(&own)), Ok(()), "{is_ca:?}");
            assert_eq!(shown.satisfies(&pinned(&authority())), Err(expected));
        }
    }

    #[test]
    fn the_ways_to_an_authority_do_not_multiply() {
        let ca = || self_signed("between", IsCa::Ca(BasicConstraints::Unconstrained));
        let mut chain = vec![self_signed("lyon", IsCa::NoCa), authority()];
        chain.extend((0..20).map(|_| ca()));
        let facts = TlsFacts::assumed(&chain, None).unwrap();
        let kept = facts.presented.unwrap().chain;
        assert_eq!(kept, chain[..3]);
    }
}
