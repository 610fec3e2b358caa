//! The handshake of a connection to a TLS listener.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::TlsFacts;
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
    Failed(rustls::Error),
    /// The client's certificate cannot be read.
    #[error("the client's certificate: {0}")]
    Certificate(#[from] UnreadableCertificate),
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
    let accepting = TlsAcceptor::from(Arc::clone(config)).accept(stream);
    let stream = match timeout_at(deadline, accepting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(fault(error)),
        Err(_) => return Err(HandshakeFault::TimedOut),
    };
    let facts = TlsFacts::of(stream.get_ref().1)?;
    Ok(Opened::Tls(Box::new(stream), Rc::new(facts)))
}

fn fault(error: io::Error) -> HandshakeFault {
    match error.downcast::<rustls::Error>() {
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

/// What went wrong, in an administrator's words where rustls' own do not say what to do.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls has more faults, and gets more")]
fn why(error: &rustls::Error) -> String {
    use rustls::{AlertDescription as Alert, Error, PeerIncompatible};
    let said = match error {
        Error::AlertReceived(
            Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown,
        ) => {
            "the client does not trust this gateway's certificate: give it the authority's, or a certificate that it trusts"
        }
        Error::AlertReceived(Alert::CertificateExpired) => {
            "the client says that this gateway's certificate has expired"
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
        Error::NoApplicationProtocol => "the client's ALPN offers no HTTP/1.1",
        Error::InvalidMessage(_) => "what the client sent is no TLS",
        _ => "the handshake failed",
    };
    format!("{said} ({error})")
}

/// The first byte of a TLS record that begins a handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
