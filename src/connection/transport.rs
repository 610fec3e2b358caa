//! The bytes of a client's connection, in TLS or not.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::net::socket_probe::{SocketState, socket_state};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A client's connection.
#[derive(Debug)]
pub(crate) enum Transport {
    /// As it is.
    Plain(TcpStream),
    /// In TLS, its handshake complete. In a box, for it is large and most connections have none.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// The connection beneath.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Limits the bytes that rustls may buffer while the socket is not writable.
    pub(crate) fn limit_unsent(&mut self, bytes: usize) {
        if let Self::Tls(stream) = self {
            stream.get_mut().1.set_buffer_limit(Some(bytes));
        }
    }

    /// Waits until there may be something to read, or the connection has ended.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.holds_bytes() {
            return Ok(());
        }
        self.tcp().readable().await
    }

    /// Whether bytes have come, or the end, that nobody has read.
    pub(crate) fn has_unread(&self) -> bool {
        self.holds_bytes() || socket_state(self.tcp()) == SocketState::Bytes
    }

    /// Whether TLS has taken bytes off the socket, or the end of its session, and nobody has read
    /// them: a client may send its request together with the end of its handshake, and then the
    /// socket is never readable again.
    fn holds_bytes(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => !stream.get_ref().1.wants_read(),
        }
    }

    /// Whether both sides agreed on HTTP/2 (ALPN, RFC 9113, section 3.2).
    pub(crate) fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Whether the far side was told, or is to be told, more than that the connection ends: the end
    /// of a TLS session is a message of its own (RFC 8446, section 6.1), without which the far side
    /// cannot tell it from an attacker's cut.
    pub(crate) fn has_close_notify(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
