//! What the bytes to and from XiVO travel over.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::certificate::CertificateFacts;
use super::records::Records;
use crate::net::socket_probe::{SocketState, socket_state};

/// A way to XiVO that is open.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Session),
    Unix(UnixStream),
}

/// A TLS session over TCP, which says its end when it is dropped.
#[derive(Debug)]
pub(super) struct Session(Box<TlsStream<Records>>);

/// What a TLS handshake came to.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// Such as `TLSv1.3`.
    pub version: String,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// Whether a previous session was resumed.
    pub resumed: bool,
    /// XiVO's own certificate.
    pub certificate: Option<CertificateFacts>,
}

impl Session {
    pub(super) fn new(stream: TlsStream<Records>) -> Self {
        Self(Box::new(stream))
    }

    pub(super) fn facts(&self) -> TlsFacts {
        let (_, session) = self.0.get_ref();
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let debugged = |named: Option<String>| named.unwrap_or_else(|| "unknown".to_owned());
        TlsFacts {
            version: debugged(
                session.protocol_version().map(|version| format!("{version:?}").replace('_', ".")),
            ),
            cipher: debugged(
                session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())),
            ),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: certificate.map(|der| CertificateFacts::of(der)),
        }
    }

    /// Takes in what has come, for session tickets come unasked, and judges what is there then.
    fn is_quiet(&mut self) -> bool {
        let (records, session) = self.0.get_mut();
        for _ in 0..MOST_READS {
            match session.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return false,
            }
            match socket_state(records.stream()) {
                SocketState::Nothing => return records.are_whole(),
                SocketState::End => return false,
                SocketState::Bytes => {
                    if !matches!(session.read_tls(records), Ok(1..)) {
                        return false;
                    }
                }
            }
        }
        false
    }
}

/// nginx may forget a session whose connection ended without the alert (RFC 8446, section 6.1).
impl Drop for Session {
    fn drop(&mut self) {
        let (records, session) = self.0.get_mut();
        session.send_close_notify();
        let mut alert = Vec::new();
        if session.write_tls(&mut alert).is_ok() {
            // What does not fit into the kernel's buffer now is not worth waiting for.
            let _ = records.send_now(&alert);
        }
    }
}

impl Transport {
    /// From where to where it goes; nothing for a unix socket.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(session) => session.0.get_ref().0.stream(),
            Self::Unix(_) => return None,
        };
        Some((stream.local_addr().ok()?, stream.peer_addr().ok()?))
    }

    /// Whether XiVO has neither closed it nor sent what nobody asked for.
    ///
    /// The kernel is asked: what came since the runtime last looked would be taken for the answer to
    /// the next request. What is still on its way then cannot be told from an answer by anybody.
    pub(super) fn is_quiet(&mut self) -> bool {
        match self {
            Self::Plain(stream) => socket_state(stream) == SocketState::Nothing,
            Self::Unix(stream) => socket_state(stream) == SocketState::Nothing,
            Self::Tls(session) => session.is_quiet(),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(session) => Pin::new(&mut session.0).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(session) => Pin::new(&mut session.0).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(session) => Pin::new(&mut session.0).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(session) => Pin::new(&mut session.0).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// More than the few tickets that a server sends.
const MOST_READS: u32 = 16;
