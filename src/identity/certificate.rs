//! What a client's certificate is worth.

use crate::policy::CertificateRule;
use crate::x509::Certificate;

/// A client's certificate. That the client holds its key was proven in the TLS handshake; whether it
/// is worth anything is judged for each request, since connections and sessions outlive certificates.
#[derive(Clone, Copy, Debug)]
pub struct PresentedCertificate<'c> {
    /// What it says.
    pub certificate: &'c Certificate,
    /// Whether its names can be trusted.
    pub trust: Result<(), CertificateFault>,
}

/// Why a certificate is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// The listener has no `client_ca`, so no authority is trusted.
    NoAuthority,
    /// Its issuer is not among `client_ca`, or did not sign it.
    UnknownIssuer,
    /// Now is after its last day.
    Expired,
    /// Now is before its first day.
    NotYetValid,
    /// The same of a certificate between it and its authority: it has expired, is not valid yet, or
    /// stands in the `crl`.
    IssuerNotValid,
    /// It stands in the `crl`, whatever else is wrong with it or with the `crl`.
    Revoked,
    /// The `crl` says nothing of its issuer, or is too old to be trusted.
    RevocationUnknown,
    /// It is not for TLS clients.
    NotForClients,
    /// It is trusted, and none of the names or keys that the policy wants.
    NotOfPeer,
    /// It is one for an authority, as self-signed ones often are.
    AuthoritysOwn,
    /// It is broken in another way, or signed in one that is not known here.
    Broken,
}

impl CertificateFault {
    /// What the caller reads, as the end of "The certificate …".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAuthority => "is issued by no authority that this gateway trusts",
            Self::UnknownIssuer => "is not issued by an authority that this gateway trusts",
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet",
            Self::IssuerNotValid => {
                "is signed by an authority whose own certificate is not valid now"
            }
            Self::Revoked => "has been revoked",
            Self::RevocationUnknown => "cannot be checked for revocation",
            Self::NotForClients => "is not made for TLS clients",
            Self::NotOfPeer => "is not this peer's",
            Self::AuthoritysOwn => "is an authority's own, and no client's",
            Self::Broken => "cannot be verified",
        }
    }

    /// Whether it counts for a key that a policy names itself: that needs no authority, and
    /// whoever makes a certificate for it alone, as `openssl req -x509` does, may make it in any way.
    fn concerns_key(self) -> bool {
        matches!(self, Self::Expired | Self::NotYetValid | Self::Revoked)
    }
}

impl PresentedCertificate<'_> {
    /// Whether this certificate is one that `rule` names. A key that the rule names is trusted
    /// without an authority, yet not with a certificate that is out of date, or that a loaded
    /// revocation list names, however old that list.
    ///
    /// Dates and lists speak of certificates and not of keys: whoever holds a key can make another
    /// certificate for it, with any dates, that no list names. So a pin is withdrawn by removing it from
    /// the policy, and by nothing else.
    ///
    /// # Errors
    /// Why it is not.
    pub fn satisfies(&self, rule: &CertificateRule) -> Result<(), CertificateFault> {
        if self.has_key_of(rule) {
            return self
                .trust
                .or_else(|fault| if fault.concerns_key() { Err(fault) } else { Ok(()) });
        }
        self.trust?;
        if self.has_name_of(rule) { Ok(()) } else { Err(CertificateFault::NotOfPeer) }
    }

    /// Whether this certificate claims to be one that `rule` names, trusted or not.
    pub fn claims(&self, rule: &CertificateRule) -> bool {
        self.has_key_of(rule) || self.has_name_of(rule)
    }

    fn has_key_of(&self, rule: &CertificateRule) -> bool {
        rule.public_key_sha256.contains(&self.certificate.spki_sha256)
    }

    fn has_name_of(&self, rule: &CertificateRule) -> bool {
        let certificate = self.certificate;
        let any = |wanted: &[String], found: &[String]| wanted.iter().any(|w| found.contains(w));
        let common_name = certificate.common_name.as_ref();
        any(&rule.san_dns, &certificate.dns_names)
            || any(&rule.san_uri, &certificate.uris)
            || common_name.is_some_and(|name| rule.common_name.contains(name))
    }
}
