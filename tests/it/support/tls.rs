//! TLS clients: rustls for what a test has to look into, OpenSSL's and curl for what users have.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, StreamOwned, SupportedProtocolVersion,
    client::ResolvesClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

use super::{
    credulous::Credulous,
    http::{Answer, read_answer},
    needs::{Missing, program},
    pki::Issued,
    process::PATIENCE,
};

/// A client that trusts any server.
pub(crate) fn credulous(
    versions: &[&'static SupportedProtocolVersion],
    identity: Option<&Issued>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let chain = CertificateDer::pem_slice_iter(issued.certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    })
}

/// The same with a certificate that is chosen in the handshake.
pub(crate) fn credulous_showing(
    versions: &[&'static SupportedProtocolVersion],
    identity: Arc<dyn ResolvesClientCert>,
) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_client_cert_resolver(identity)
}

/// A connection whose handshake is complete.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Connects and shakes hands.
pub(crate) fn connect(
    to: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<Tls> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// The certificate that the server showed.
pub(crate) fn shown(tls: &Tls) -> Vec<u8> {
    tls.conn.peer_certificates().unwrap()[0].to_vec()
}

/// Asks with `Host: localhost`, and reads until the connection ends in order.
pub(crate) fn get(tls: &mut Tls, target: &str) -> Answer {
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    tls.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // rustls reports an end without close_notify as an error.
    tls.read_to_end(&mut answer).unwrap();
    read_answer(&answer)
}

/// Asks with `Host: localhost` on a connection that goes on; answers have to have a Content-Length.
pub(crate) fn get_and_stay(tls: &mut Tls, target: &str) -> Answer {
    tls.write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !is_whole(&answer) {
        let mut byte = [0; 1];
        tls.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    read_answer(&answer)
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
    });
    body.len() >= length.unwrap()
}

/// What `openssl s_client` printed, standard error included, having sent `request`.
pub(crate) fn s_client(
    to: SocketAddr,
    arguments: &[&str],
    request: &str,
) -> Result<String, Missing> {
    let openssl = program("openssl", "openssl")?;
    let mut child = Command::new(openssl)
        .args(["s_client", "-connect", &to.to_string(), "-ign_eof"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended already, where the handshake failed.
    let _ = child.stdin.take().unwrap().write_all(request.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(text(&output.stdout) + &text(&output.stderr))
}

/// What curl printed: the body, and behind it a line `STATUS VERSION`.
pub(crate) fn curl(arguments: &[&str]) -> Result<(String, String), Missing> {
    let curl = program("curl", "curl")?;
    let output = Command::new(curl)
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"])
        .args(["--write-out", "\n%{http_code} %{http_version}"])
        .args(arguments)
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let (body, line) = out.rsplit_once('\n').unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    Ok((body.to_owned(), format!("{line}{}{stderr}", if stderr.is_empty() { "" } else { " " })))
}

/// A file's path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file in a directory.
pub(crate) fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, text).unwrap();
    file
}
