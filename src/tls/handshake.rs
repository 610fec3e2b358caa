//! The handshake of a connection to a TLS listener.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::{CertificateError, Error, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{TlsFacts, UnusableCertificate};
use crate::x509::UnreadableCertificate;

/// What a connection to a TLS listener turned out to be.
#[derive(Debug)]
pub(crate) enum Opened {
    /// TLS, its handshake complete.
    Tls(Box<TlsStream<TcpStream>>, Rc<TlsFacts>),
    /// No TLS: the client began with something else, which has not been read.
    Plain(TcpStream),
}

/// Why a handshake did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeFault {
    /// The client left before its first byte: a port scan, or a health check.
    #[error("the connection ended before it began")]
    Nothing,
    /// It took longer than `limits.head_timeout`.
    #[error("the handshake was not complete within limits.head_timeout")]
    TimedOut,
    /// The client left.
    #[error("the client ended the connection in the handshake{}", hint(.0))]
    Ended(io::Error),
    /// The client and this gateway did not agree, or one refused the other's certificate.
    #[error("{}", why(.0))]
    Failed(Error),
    /// The client's certificate cannot be read.
    #[error("the client's certificate: {0}")]
    Certificate(#[from] UnreadableCertificate),
}

impl HandshakeFault {
    /// Whether it is the kind of the client's key. Clients see which kinds can be verified before they
    /// show a certificate.
    pub fn is_of_key(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        matches!(UnusableCertificate::of(error), Some(UnusableCertificate::Key { .. }))
    }
}

/// Shakes hands on `stream` until `deadline`.
///
/// # Errors
/// [`HandshakeFault`]; the client has been sent the alert that goes with it.
pub(crate) async fn handshake(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    deadline: Instant,
) -> Result<Opened, HandshakeFault> {
    let mut first = [0];
    match timeout_at(deadline, stream.peek(&mut first)).await {
        Ok(Ok(0) | Err(_)) | Err(_) => return Err(HandshakeFault::Nothing),
        Ok(Ok(_)) if first != [HANDSHAKE_RECORD] => return Ok(Opened::Plain(stream)),
        Ok(Ok(_)) => {}
    }
    let accepting = TlsAcceptor::from(Arc::clone(config)).accept(stream).into_fallible();
    let stream = match timeout_at(deadline, accepting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, stream))) => {
            let fault = fault(error);
            if matches!(fault, HandshakeFault::Failed(_)) {
                let until = deadline.min(Instant::now() + MAX_LINGER);
                // Boxed to keep the future small.
                let _ = timeout_at(until, Box::pin(drain(stream))).await;
            }
            return Err(fault);
        }
        Err(_) => return Err(HandshakeFault::TimedOut),
    };
    let facts = TlsFacts::of(stream.get_ref().1)?;
    Ok(Opened::Tls(Box::new(stream), Rc::new(facts)))
}

/// Says that nothing more comes, and reads what the client may have sent meanwhile: closing on unread
/// bytes sends a reset, which takes the alert away from the client. In TLS 1.3 a client sends its request
/// before it can know that its certificate is refused.
async fn drain(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut drained = 0;
    let mut buffer = [0; 1024];
    while drained < MAX_DRAINED {
        match stream.read(&mut buffer).await? {
            0 => break,
            count => drained += count,
        }
    }
    Ok(())
}

fn fault(error: io::Error) -> HandshakeFault {
    match error.downcast::<Error>() {
        Ok(error) => HandshakeFault::Failed(error),
        Err(error) => HandshakeFault::Ended(error),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind has dozens of kinds, and gets more"
)]
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            ": it may not trust this gateway's certificate"
        }
        _ => "",
    }
}

/// What went wrong, in an administrator's words.
fn why(error: &Error) -> String {
    match UnusableCertificate::of(error) {
        Some(unusable) => format!("the client's certificate cannot be used: {unusable}"),
        None => match (said(error), error) {
            (Some(said), Error::AlertReceived(_)) => format!("{said} ({error})"),
            (Some(said), _) => said.to_owned(),
            (None, _) => format!("the handshake failed ({error})"),
        },
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls has more faults, and gets more")]
fn said(error: &Error) -> Option<&'static str> {
    use rustls::{AlertDescription as Alert, PeerIncompatible};
    Some(match error {
        Error::AlertReceived(
            Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown,
        ) => {
            "the client does not trust this gateway's certificate: give it the authority's, or a certificate that it trusts"
        }
        Error::AlertReceived(Alert::CertificateExpired) => {
            "the client says that this gateway's certificate has expired"
        }
        Error::AlertReceived(Alert::UnsupportedCertificate) => {
            "the client says that it cannot use this gateway's certificate: give this gateway one for servers, with a key of another kind"
        }
        Error::AlertReceived(Alert::HandshakeFailure) => {
            "the client says that it has nothing in common with this gateway: versions, cipher suites, curves and kinds of keys are in question"
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Older versions have no such extension, and it is looked for first.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        ) => "the client speaks no TLS 1.2 or 1.3",
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "the client has no cipher suite in common with this gateway"
        }
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => {
            "the client has no group for the key exchange in common with this gateway, which has X25519, P-256 and P-384"
        }
        Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => {
            "the client cannot verify signatures by this gateway's key: give this gateway a certificate with a key of another kind"
        }
        // Whether the certificate is one that can be used was asked before its signature.
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the client's signature is not by its certificate's key: it has the key of another certificate, or none"
        }
        Error::InvalidCertificate(_) => {
            "the client's signature cannot be verified by its certificate's key: it signed in another way than this gateway offered"
        }
        Error::NoApplicationProtocol => "the client's ALPN offers no HTTP/1.1",
        Error::InvalidMessage(_) => "what the client sent is no TLS",
        _ => return None,
    })
}

/// The first byte of a TLS record that begins a handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// How long a client that is refused may go on sending, and how much.
const MAX_LINGER: Duration = Duration::from_secs(2);
const MAX_DRAINED: usize = 64 * 1024;
