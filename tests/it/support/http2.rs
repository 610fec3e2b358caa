//! HTTP/2 over TLS from the client's side: a sound client, and one that writes frames by hand.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{live::Setup, process::PATIENCE};

/// A certificate for `gateway` that signed itself, and files that hold it and its key.
struct Identity {
    _directory: TempDir,
    certificate: PathBuf,
    key: PathBuf,
    client: Arc<ClientConfig>,
}

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let made =
            rcgen::generate_simple_self_signed(vec!["gateway".to_owned(), "127.0.0.1".to_owned()])
                .unwrap();
        let (certificate, key) =
            (directory.path().join("gateway.pem"), directory.path().join("gateway.key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec()];
        Identity { _directory: directory, certificate, key, client: Arc::new(client) }
    })
}

/// The certificate's file, for programs that want to trust it.
pub(crate) fn certificate() -> &'static std::path::Path {
    &identity().certificate
}

/// A gateway with HTTP/2 in front of `upstream`.
pub(crate) fn setup(upstream: SocketAddr) -> Setup {
    let Identity { certificate, key, .. } = identity();
    let mut setup = Setup::new(upstream);
    setup.listen =
        format!("tls = {{ certificate = {certificate:?}, private_key = {key:?} }}\nhttp2 = true\n");
    setup
}

fn tcp(to: SocketAddr, from: Option<IpAddr>) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    }
    socket.connect(&to.into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    /// The body, or why it was cut.
    pub(crate) body: Result<Vec<u8>, h2::Error>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.as_ref().unwrap().clone()).unwrap()
    }

    /// The word of a refusal.
    pub(crate) fn reason(&self) -> String {
        let value: serde_json::Value =
            serde_json::from_slice(self.body.as_ref().unwrap()).unwrap_or_default();
        value["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// A sound client with one connection.
#[derive(Debug)]
pub(crate) struct Sound {
    runtime: Runtime,
    send: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Sound {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::connect_from(to, None)
    }

    pub(crate) fn connect_from(to: SocketAddr, from: Option<&str>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = tcp(to, from.map(|from| from.parse().unwrap()));
        let (send, connection) = runtime.block_on(async {
            stream.set_nonblocking(true).unwrap();
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&identity().client));
            let name = ServerName::try_from("gateway").unwrap();
            let stream = connector.connect(name, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (send, connection) = h2::client::handshake(stream).await.unwrap();
            (send, tokio::spawn(connection))
        });
        Self { runtime, send, connection }
    }

    /// A request without a body.
    pub(crate) fn ask(&self, request: Request<()>) -> Result<Answer, h2::Error> {
        self.ask_all(vec![request]).remove(0)
    }

    /// GET of a target.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask(get(target)).unwrap()
    }

    /// Requests that are all on their way at once.
    pub(crate) fn ask_all(&self, requests: Vec<Request<()>>) -> Vec<Result<Answer, h2::Error>> {
        let send = self.send.clone();
        let asked = async move {
            let mut tasks = Vec::new();
            for request in requests {
                tasks.push(tokio::spawn(exchange(send.clone(), request)));
            }
            let mut answers = Vec::new();
            for task in tasks {
                answers.push(task.await.unwrap());
            }
            answers
        };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await.unwrap() })
    }

    /// A request whose body follows.
    pub(crate) fn post(&self, request: Request<()>, body: &'static [u8]) -> Answer {
        let send = self.send.clone();
        let asked = async move {
            let mut send = send.ready().await.unwrap();
            let (answer, mut stream) = send.send_request(request, false).unwrap();
            stream.send_data(Bytes::from_static(body), true).unwrap();
            read(answer).await.unwrap()
        };
        self.runtime.block_on(asked)
    }

    /// Waits until the gateway has ended the connection.
    pub(crate) fn until_left(self) {
        let Self { runtime, send, connection } = self;
        let ended = async { tokio::time::timeout(PATIENCE, connection).await.unwrap() };
        let _ = runtime.block_on(ended);
        // Only now: without it the client itself would leave.
        drop(send);
    }
}

async fn exchange(send: SendRequest<Bytes>, request: Request<()>) -> Result<Answer, h2::Error> {
    let mut send = send.ready().await?;
    let (answer, _) = send.send_request(request, true)?;
    read(answer).await
}

async fn read(answer: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = answer.await?.into_parts();
    let mut body = Ok(Vec::new());
    while let Some(piece) = stream.data().await {
        match (piece, &mut body) {
            (Ok(piece), Ok(body)) => {
                stream.flow_control().release_capacity(piece.len()).unwrap();
                body.extend_from_slice(&piece);
            }
            (Err(error), _) => {
                body = Err(error);
                break;
            }
            (Ok(_), Err(_)) => {}
        }
    }
    Ok(Answer { status: parts.status, fields: parts.headers, body })
}

pub(crate) fn get(target: &str) -> Request<()> {
    Request::get(format!("https://gateway{target}")).body(()).unwrap()
}

/// A frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A client that writes frames by hand, whatever they say.
#[derive(Debug)]
pub(crate) struct ByHand {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl ByHand {
    /// Says the preface and these settings.
    pub(crate) fn connect(to: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::begin(Self::silent(to), settings)
    }

    /// The same from another address of this host.
    pub(crate) fn connect_from(
        to: SocketAddr,
        from: Option<&str>,
        settings: &[(u16, u32)],
    ) -> Self {
        let from = from.map(|from| from.parse().unwrap());
        Self::begin(Self::handshake(to, from, "gateway"), settings)
    }

    /// The same for a client that names no server in its handshake.
    pub(crate) fn nameless(to: SocketAddr) -> Self {
        Self::begin(Self::handshake(to, None, "127.0.0.1"), &[])
    }

    fn begin(mut client: Self, settings: &[(u16, u32)]) -> Self {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        bytes.extend(frame(SETTINGS, 0, 0, &settings));
        client.send(&bytes);
        client
    }

    /// Says nothing.
    pub(crate) fn silent(to: SocketAddr) -> Self {
        Self::handshake(to, None, "gateway")
    }

    fn handshake(to: SocketAddr, from: Option<IpAddr>, name: &'static str) -> Self {
        let name = ServerName::try_from(name).unwrap();
        let mut session = ClientConnection::new(Arc::clone(&identity().client), name).unwrap();
        let mut stream = tcp(to, from);
        while session.is_handshaking() {
            session.complete_io(&mut stream).unwrap();
        }
        Self { stream: StreamOwned::new(session, stream) }
    }

    /// Says whether the gateway still took it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Sends bytes beneath TLS.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.sock.write_all(bytes).unwrap();
    }

    /// The next frame; none at the end of the connection, however it ends.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.fill(&mut header)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.fill(&mut payload)?;
        let stream = u32::from_be_bytes(header[5..9].try_into().unwrap());
        Some(Frame { kind: header[3], flags: header[4], stream, payload })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => {
                panic!("nothing comes and the connection does not end")
            }
            Err(_) => None,
        }
    }

    /// Reads frames until one is of this kind.
    pub(crate) fn until(&mut self, kind: u8) -> Option<Frame> {
        std::iter::from_fn(|| self.frame()).find(|frame| frame.kind == kind)
    }

    /// All frames up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.frame()).collect()
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A head of these fields, in as many frames as it takes.
pub(crate) fn head(stream: u32, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let block = block(fields);
    let mut out = Vec::new();
    let mut pieces = block.chunks(16_384).peekable();
    let (mut kind, mut flags) = (HEADERS, END_STREAM);
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        out.extend(frame(kind, flags | end, stream, piece));
        (kind, flags) = (CONTINUATION, 0);
    }
    out
}

/// A request without a body, in one frame.
pub(crate) fn request(stream: u32, target: &str) -> Vec<u8> {
    let block = block(&pseudo("GET", target));
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

pub(crate) fn pseudo<'t>(method: &'t str, target: &'t str) -> [(&'t str, &'t [u8]); 4] {
    [
        (":method", method.as_bytes()),
        (":scheme", b"https"),
        (":authority", b"gateway"),
        (":path", target.as_bytes()),
    ]
}

/// The same, each field put into the table.
pub(crate) fn indexed(fields: &[(&str, &[u8])]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| {
            let mut one = block(&[*field]);
            one[0] = 0x40;
            one
        })
        .collect()
}

/// HPACK without its tables and without Huffman's code: each field literally (RFC 7541, section 6.2.2).
pub(crate) fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name.as_bytes(), value] {
            length(text.len(), &mut out);
            out.extend(text);
        }
    }
    out
}

fn length(mut length: usize, out: &mut Vec<u8>) {
    if length < 127 {
        return out.push(u8::try_from(length).unwrap());
    }
    out.push(127);
    length -= 127;
    while length >= 128 {
        out.push(u8::try_from(length % 128 + 128).unwrap());
        length /= 128;
    }
    out.push(u8::try_from(length).unwrap());
}

/// The code of a RST_STREAM or GOAWAY.
pub(crate) fn code(frame: &Frame) -> u32 {
    let at = if frame.kind == GOAWAY { 4 } else { 0 };
    u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap())
}
