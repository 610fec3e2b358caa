//! Connections from chosen loopback addresses, plain and in TLS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::pki::Issued;
use crate::support::credulous::Credulous;

/// The name that clients ask for in their handshakes.
pub(crate) const SERVER_NAME: &str = "gateway";

/// Connects from this address, which tells the gateway who is calling.
pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let stream = bound(from)?.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same with as small a buffer for what comes as the kernel gives.
pub(crate) async fn connect_narrow(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = bound(from)?;
    socket.set_recv_buffer_size(1)?;
    socket.connect(to).await
}

fn bound(from: Ipv4Addr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    Ok(socket)
}

/// Whether a failure to connect is this machine's, and says nothing of the gateway: no free port, no
/// further descriptor.
pub(crate) fn is_ours(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL | Errno::MFILE | Errno::NFILE))
}

/// Connects and shakes hands.
pub(crate) async fn connect_tls(
    from: Ipv4Addr,
    to: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = connect(from, to).await?;
    TlsConnector::from(Arc::clone(config)).connect(server_name()?, stream).await
}

/// [`SERVER_NAME`] as rustls wants it.
pub(crate) fn server_name() -> io::Result<ServerName<'static>> {
    ServerName::try_from(SERVER_NAME).map_err(io::Error::other)
}

/// A client that trusts any server, as xivo-dird does, and shakes hands anew each time.
pub(crate) fn client_config(
    identity: Option<&Issued>,
    protocols: &[&str],
) -> Result<Arc<ClientConfig>, String> {
    let fail = |error: rustls::Error| format!("setting up a TLS client: {error}");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(fail)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let unreadable = |error| format!("reading a certificate just made: {error}");
            let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes())
                .map_err(unreadable)?;
            let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(unreadable)?;
            builder.with_client_auth_cert(vec![certificate], key).map_err(fail)?
        }
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}
