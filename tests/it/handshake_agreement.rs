//! `explain` and `serve` agree over certificates: what a handshake refuses is refused, with the sentence of the journal,
//! and every request behind one that succeeds has the same verdict, whatever stands in front.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use phonebook_gateway::{config::Config, server::Server};
use rustls::{
    ClientConfig, ClientConnection, StreamOwned, SupportedProtocolVersion,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::{
    binary::Binary,
    certificates::{Kind, make},
    http::read_answer,
    needs::{left_out, or_left_out},
    openssl::OpenSsl,
    pki::{Authority, Wanted},
    process::{PATIENCE, becomes_true},
    program::{Site, run},
    recorder::Recorder,
    tls::credulous_showing,
};

/// The number of requests, of 60, that are asked with each certificate in each way.
const SIZE: &str = "PHONEBOOK_GATEWAY_TEST_HANDSHAKES";

const PHONEBOOK: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";

/// Direct, behind PROXY headers, and behind a proxy that is trusted.
const LISTENERS: [&str; 3] = ["127.0.0.1:0", "127.0.0.11:0", "127.0.0.12:0"];

/// The proxy in front.
const PROXY: &str = "127.0.0.1";

const ONLY_12: &[&SupportedProtocolVersion] = &[&TLS12];
const ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

/// How a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Tls13,
    Tls12,
    ProxyV1,
    ProxyV2,
    Forwarded,
    Http2,
}

impl Way {
    const ALL: [Self; 6] =
        [Self::Tls13, Self::Tls12, Self::ProxyV1, Self::ProxyV2, Self::Forwarded, Self::Http2];

    fn listener(self) -> usize {
        match self {
            Self::Tls13 | Self::Tls12 | Self::Http2 => 0,
            Self::ProxyV1 | Self::ProxyV2 => 1,
            Self::Forwarded => 2,
        }
    }

    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 | Self::ProxyV2 => ONLY_12,
            Self::Tls13 | Self::ProxyV1 | Self::Forwarded | Self::Http2 => ONLY_13,
        }
    }

    fn socket(self, client: &str) -> &str {
        if self.listener() == 0 { client } else { PROXY }
    }
}

/// What a client asks for, and where it is.
#[derive(Clone, Debug)]
struct Asked {
    from: &'static str,
    method: &'static str,
    target: String,
}

/// Ten requests from each of six clients.
fn requests() -> Vec<Asked> {
    let mut all = Vec::new();
    for from in ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.9"] {
        for (method, target) in [
            ("GET", format!("{PHONEBOOK}?act=search&search=doe")),
            ("GET", format!("{PHONEBOOK}?act=search&search=e")),
            ("GET", format!("{PHONEBOOK}?act=list")),
            ("GET", format!("{PHONEBOOK}?act=view&id=1")),
            ("GET", format!("{PHONEBOOK}?act=delete&id=1")),
            ("GET", PHONEBOOK.replace("restricted", "private")),
            ("GET", format!("{PHONEBOOK}?act=search&search=%zz")),
            ("GET", "/other".to_owned()),
            ("DELETE", format!("{PHONEBOOK}?act=view&id=1")),
            ("GET", "/.well-known/phonebook-gateway/whoami".to_owned()),
        ] {
            all.push(Asked { from, method, target });
        }
    }
    all
}

/// What became of a request: the status and the word of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Became {
    /// No request was read.
    Unread,
    Refused(u64, String),
    Allowed,
}

const NONE: &str = "rate = { per_second = 100000, burst = 100000 }\n";

fn policies(kinds: &[Kind]) -> Vec<(&'static str, String)> {
    let rule = |name: &str, require| {
        format!("[certificate]\nsan_dns = [\"{name}.example\"]\nrequire = \"{require}\"\n")
    };
    let p384 = kinds.iter().find(|kind| kind.name == "foreign").unwrap();
    let pin = run(Path::new("/"), &["certs", "show", "--json", p384.certificate.to_str().unwrap()]);
    let pin: Value = serde_json::from_str(&pin.stdout).unwrap();
    let pin = pin[0]["certificate"]["public_key_sha256"].as_str().unwrap().to_owned();
    vec![
        ("both", format!("hosts = [\"127.0.0.2\"]\n{NONE}{}", rule("both", "both"))),
        ("either", format!("hosts = [\"127.0.0.3\"]\n{NONE}{}", rule("either", "either"))),
        ("host", format!("hosts = [\"127.0.0.4\"]\nactions = [\"search\", \"list\"]\n{NONE}")),
        ("off", format!("hosts = [\"127.0.0.5\"]\nenabled = false\n{NONE}")),
        ("cert", format!("{NONE}{}", rule("cert", "certificate"))),
        (
            "pin",
            format!(
                "hosts = [\"127.0.0.6\"]\n{NONE}[certificate]\npublic_key_sha256 = [\"{pin}\"]\n"
            ),
        ),
    ]
}

fn main_file(xivo: SocketAddr) -> String {
    let tls = "tls = { certificate = \"gateway.pem\", private_key = \"gateway.key\", client_ca = \"ca.pem\" }\nhttp2 = true\n";
    format!(
        "workers = 1\nstate_directory = \"state\"\n\
         [[listen]]\naddress = \"{}\"\n{tls}\
         [[listen]]\naddress = \"{}\"\nproxy_protocol_from = [\"{PROXY}\"]\n{tls}\
         [[listen]]\naddress = \"{}\"\ntrusted_proxies = [\"{PROXY}\"]\n{tls}\
         [upstream]\nurl = \"http://{xivo}\"\nhost = \"localhost\"\ndanger_loopback_source = true\n\
         timeout = \"20s\"\nconnect_timeout = \"20s\"\n\
         [limits]\nunknown_rate = {{ per_second = 100000, burst = 100000 }}\n\
         handshake_rate = {{ per_second = 100000, burst = 100000 }}\n\
         [[access_log]]\npath = \"access.log\"\n",
        LISTENERS[0], LISTENERS[1], LISTENERS[2]
    )
}

/// A directory with a configuration and certificates of all kinds; nothing without OpenSSL.
fn site(xivo: SocketAddr) -> Option<(Site, Vec<Kind>)> {
    let site = Site::new(&main_file(xivo), &[]);
    let directory = site.main_file().parent().unwrap().to_owned();
    let (kinds, missing) = or_left_out(make(&directory))?;
    missing.iter().for_each(left_out);
    for (name, text) in policies(&kinds) {
        std::fs::write(directory.join(format!("policies/{name}.toml")), text).unwrap();
    }
    Authority::new("Servers' CA").issue(&Wanted::server("localhost")).write(&directory, "gateway");
    Some((site, kinds))
}

/// A connected socket, with what a proxy writes first.
fn connect(to: SocketAddr, way: Way, client: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from: IpAddr = way.socket(client).parse().unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    match way {
        Way::ProxyV1 => {
            write!(stream, "PROXY TCP4 {client} 127.0.0.11 40000 443\r\n").unwrap();
        }
        Way::ProxyV2 => {
            let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
            let octets = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().octets();
            header.extend(octets(client));
            header.extend(octets("127.0.0.11"));
            header.extend([0x9c, 0x40, 1, 0xbb]);
            stream.write_all(&header).unwrap();
        }
        Way::Tls13 | Way::Tls12 | Way::Forwarded | Way::Http2 => {}
    }
    stream
}

/// Asks over HTTP/1. Where the handshake fails the gateway's alert has to come, although in TLS 1.3 the request has been
/// sent already.
fn ask_http1(to: SocketAddr, way: Way, config: ClientConfig, asked: &Asked) -> Became {
    let stream = connect(to, way, asked.from);
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    let forwarded = if way == Way::Forwarded {
        format!("X-Forwarded-For: {}\r\n", asked.from)
    } else {
        String::new()
    };
    let Asked { method, target, .. } = asked;
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{forwarded}Connection: close\r\n\r\n"
    );
    let mut answer = Vec::new();
    let sent = tls.write_all(head.as_bytes()).and_then(|()| tls.read_to_end(&mut answer));
    if let Err(error) = sent {
        assert!(error.to_string().contains("received fatal alert"), "{way:?}: {error}");
        return Became::Unread;
    }
    let answer = read_answer(&answer);
    became(answer.status.into(), &answer.body)
}

/// The same over HTTP/2.
fn ask_http2(to: SocketAddr, mut config: ClientConfig, asked: &Asked) -> Became {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(to, Way::Http2, asked.from);
    stream.set_nonblocking(true).unwrap();
    let exchange = async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.ok()?;
        let (mut send, connection) = h2::client::handshake(stream).await.ok()?;
        let connection = tokio::spawn(connection);
        let request = http::Request::builder()
            .method(asked.method)
            .uri(format!("https://localhost{}", asked.target))
            .body(())
            .unwrap();
        send = send.ready().await.ok()?;
        let (answer, _) = send.send_request(request, true).ok()?;
        let (parts, mut body) = answer.await.ok()?.into_parts();
        let mut whole = Vec::new();
        while let Some(piece) = body.data().await {
            let piece: Bytes = piece.ok()?;
            whole.extend_from_slice(&piece);
        }
        drop(send);
        connection.abort();
        Some(became(parts.status.as_u16().into(), &whole))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let patient = async { tokio::time::timeout(PATIENCE, exchange).await.unwrap() };
    runtime.block_on(patient).unwrap_or(Became::Unread)
}

fn became(status: u64, body: &[u8]) -> Became {
    if matches!(status, 200 | 204) {
        return Became::Allowed;
    }
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    Became::Refused(status, value["reason"].as_str().unwrap_or_default().to_owned())
}

/// The words that ask `explain` about this.
fn words(kind: &Kind, way: Way, asked: &Asked) -> Vec<String> {
    let mut words: Vec<String> =
        ["explain", "-c", "gateway.toml", "--json", "--certificate"].map(str::to_owned).into();
    words.push(kind.certificate.to_str().unwrap().to_owned());
    words.extend(["--listen", LISTENERS[way.listener()], "--from"].map(str::to_owned));
    words.push(way.socket(asked.from).to_owned());
    match way.listener() {
        1 => words.extend(["--proxied-for", asked.from].map(str::to_owned)),
        2 => words.extend(["-H".to_owned(), format!("X-Forwarded-For: {}", asked.from)]),
        _ => {}
    }
    words.push(asked.method.to_owned());
    words.push(format!("https://localhost{}", asked.target));
    words
}

/// What `explain` says of it, and the sentence of a handshake that fails.
fn explained(site: &Site, words: &[String]) -> (Became, String) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let run = site.run(&words);
    let told: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let became = match (text(&told["verdict"]).as_str(), text(&told["reason"])) {
        ("allowed", _) => Became::Allowed,
        (_, reason) if reason == "handshake-failed" => {
            assert!(told["status"].is_null() && told["answer"].is_null(), "{told}");
            Became::Unread
        }
        (_, reason) => Became::Refused(told["status"].as_u64().unwrap(), reason),
    };
    assert_eq!(run.code, Some(i32::from(became != Became::Allowed)), "{run:?}");
    (became, run.stdout)
}

#[test]
fn explain_says_what_serve_does_with_every_kind_of_certificate() {
    let upstream = Recorder::start();
    let Some((site, kinds)) = site(upstream.address()) else { return };
    let (config, _) = Config::load(&site.main_file()).unwrap();
    let server = Server::start(config).unwrap();
    let requests = requests();
    let size: usize = std::env::var(SIZE).map_or(1, |size| size.parse().unwrap());
    let mut told: HashMap<Vec<String>, (Became, String)> = HashMap::new();
    let mut seen: BTreeMap<Became, usize> = BTreeMap::new();
    let mut next = 0;
    let mut unread = BTreeSet::new();
    for kind in &kinds {
        let identity = kind.client();
        for way in Way::ALL {
            for _ in 0..size {
                // The step shares no divisor with the number of requests, so that all take their turn.
                next = (next + 7) % requests.len();
                let asked = &requests[next];
                let words = words(kind, way, asked);
                let config = credulous_showing(way.versions(), Arc::clone(&identity));
                let to = server.addresses()[way.listener()];
                let live = if way == Way::Http2 {
                    ask_http2(to, config, asked)
                } else {
                    ask_http1(to, way, config, asked)
                };
                let (told, said) =
                    told.entry(words.clone()).or_insert_with(|| explained(&site, &words));
                assert_eq!(*told, live, "{} {way:?} {asked:?}\n{said}", kind.name);
                if live == Became::Unread {
                    unread.insert(kind.name);
                }
                *seen.entry(live).or_default() += 1;
            }
        }
    }
    let count: usize = seen.values().sum();
    eprintln!("{count} exchanges with {} kinds, {} explained: {seen:?}", kinds.len(), told.len());
    assert!(kinds.len() >= 20 && unread.len() >= 8, "{unread:?}");
    assert!(seen.contains_key(&Became::Allowed) && seen.len() >= 6, "{seen:?}");
    server.stop(std::time::Duration::ZERO);
}

#[test]
fn the_journal_says_of_a_failed_handshake_what_explain_says() {
    let upstream = Recorder::start();
    let Some((site, kinds)) = site(upstream.address()) else { return };
    let directory = site.main_file().parent().unwrap().to_owned();
    let asked = &requests()[0];
    let mut count = 0;
    // The journal has ten of them in ten seconds.
    for kinds in kinds.chunks(8) {
        let main = main_file(upstream.address());
        let mut gateway = Binary::serve_changed(&main, &[], |command, own| {
            copy(&directory, own);
            command
        });
        let to = gateway.address();
        for kind in kinds {
            let (told, said) = explained(&site, &words(kind, Way::Tls13, asked));
            let config = credulous_showing(&[&TLS13], kind.client());
            assert_eq!(ask_http1(to, Way::Tls13, config, asked), told, "{}", kind.name);
            if told != Became::Unread {
                continue;
            }
            count += 1;
            let told: Value = serde_json::from_str(&said).unwrap();
            let sentence = told["steps"][0]["text"].as_str().unwrap();
            let sentence = sentence.split("; a client that heeds").next().unwrap();
            let line = format!("a TLS handshake failed: {sentence}");
            assert!(
                becomes_true(|| gateway.stderr().contains(&line)),
                "{line}\n{}",
                gateway.stderr()
            );
            assert!(!sentence.contains("Other(") && !sentence.contains("Error"), "{sentence}");
        }
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn a_certificate_that_no_policy_names_is_described_to_both_administrators_tools() {
    let upstream = Recorder::start();
    let Some((site, kinds)) = site(upstream.address()) else { return };
    let directory = site.main_file().parent().unwrap().to_owned();
    let main = main_file(upstream.address());
    let mut gateway = Binary::serve_changed(&main, &[], |command, own| {
        copy(&directory, own);
        command
    });
    let to = gateway.address();
    let asked = Asked { from: "127.0.0.9", ..requests()[0].clone() };
    let only = "so a policy can name it by public_key_sha256 only";
    for (name, parts) in [
        ("upn", &["O=Example", "names UPN lyon@corp.example"][..]),
        ("nameless", &["CN=cert,O=Example", "no alternative names"]),
        ("t61", &["CN=Ly", "no alternative names", only]),
    ] {
        let kind = kinds.iter().find(|kind| kind.name == name).unwrap();
        let (told, said) = explained(&site, &words(kind, Way::Tls13, &asked));
        assert_eq!(told, Became::Refused(403, "unknown-peer".to_owned()), "{name}");
        let said: Value = serde_json::from_str(&said).unwrap();
        let steps = said["steps"].as_array().unwrap();
        let text = steps.iter().find(|step| step["step"] == "identify").unwrap()["text"].as_str();
        // In front stands where the configuration is, and behind it the limits.
        let text = text.unwrap().split("; rate of unknown callers").next().unwrap();
        let begin = text.find("no policy lets its certificate in alone").unwrap();
        let text = &text[begin..];
        let shown = run(&directory, &["certs", "show", "--json", &format!("{name}.pem")]);
        let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
        let key = shown[0]["certificate"]["public_key_sha256"].as_str().unwrap();
        for part in parts.iter().chain([&key]) {
            assert!(text.contains(part), "{name}: {part}: {text}");
        }
        let config = credulous_showing(&[&TLS13], kind.client());
        assert_eq!(ask_http1(to, Way::Tls13, config, &asked), told, "{name}");
        let journal = || gateway.stderr().contains(text);
        assert!(becomes_true(journal), "{name}: {text}\n{}", gateway.stderr());
    }
}

#[test]
fn a_fault_of_a_listeners_certificate_is_told_of_the_certificate() {
    let upstream = Recorder::start();
    let Some((site, kinds)) = site(upstream.address()) else { return };
    let file = site.main_file();
    let directory = file.parent().unwrap();
    for (name, part) in [
        ("version1", "of version 1, and TLS needs version 3"),
        ("p521", "its key is ECDSA on P-521"),
        ("rsa1024", "its key is RSA of 1024 bits"),
        ("secp256k1", "its key is ECDSA on secp256k1"),
        ("compressed", "its point compressed"),
        ("critical", "its critical extension 1.2.3.4"),
        ("damaged", "alternative name cannot be read"),
    ] {
        let Some(kind) = kinds.iter().find(|kind| kind.name == name) else { continue };
        let main = main_file(upstream.address())
            .replace("gateway.pem", &format!("{name}.pem"))
            .replace("gateway.key", &format!("{}.key", kind.key_name()));
        std::fs::write(directory.join("broken.toml"), main).unwrap();
        let checked = run(directory, &["check", "--offline", "-c", "broken.toml"]);
        let said = checked.stderr + &checked.stdout;
        assert_eq!(checked.code, Some(1), "{name}: {said}");
        assert!(said.contains(&format!("{name}.pem: ")) && said.contains(part), "{name}: {said}");
        assert!(!said.contains(&format!("{}.key: ", kind.key_name())), "{name}: {said}");
        let file = format!("{name}.pem");
        let shown = run(directory, &["certs", "show", &file]);
        let told = shown.stdout.split(".key").next().unwrap();
        assert!(shown.code == Some(1) && told.contains("BROKEN"), "{name}: {}", shown.stdout);
        assert!(told.contains(part), "{name}: {}", shown.stdout);
    }
}

#[test]
fn pem_files_with_byte_order_marks_are_read_and_encrypted_keys_are_called_so() {
    let upstream = Recorder::start();
    let Some((site, _)) = site(upstream.address()) else { return };
    let file = site.main_file();
    let directory = file.parent().unwrap();
    for file in ["gateway.pem", "gateway.key", "ca.pem"] {
        let text = std::fs::read_to_string(directory.join(file)).unwrap();
        std::fs::write(directory.join(file), format!("\u{feff}{text}")).unwrap();
    }
    let ca = directory.join("ca.pem");
    let text = std::fs::read_to_string(&ca).unwrap();
    std::fs::write(&ca, format!("{text}{text}")).unwrap();
    let checked = run(directory, &["check", "--offline", "-c", "gateway.toml"]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    let shown = run(directory, &["certs", "show", "ca.pem"]);
    assert!(shown.stdout.contains("ca.pem (2 of 2)"), "{}", shown.stdout);
    let openssl = OpenSsl::find().unwrap();
    let key = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (plain, locked) = (key("rsa2048.key"), key("locked.key"));
    let pass = ["-aes128", "-passout", "pass:secret", "-out", &locked];
    let mut said = Vec::new();
    for words in [&["rsa", "-traditional", "-in", &plain][..], &["pkey", "-in", &plain]] {
        let made = openssl.run(&[words, &pass].concat(), b"");
        assert!(made.status.success(), "{made:?}");
        let main = main_file(upstream.address());
        let main = main.replace("gateway.pem", "rsa2048.pem").replace("gateway.key", "locked.key");
        std::fs::write(directory.join("locked.toml"), main).unwrap();
        let checked = run(directory, &["check", "--offline", "-c", "locked.toml"]);
        assert_eq!(checked.code, Some(1));
        said.push(checked.stderr + &checked.stdout);
    }
    assert!(said[0].contains("this key is encrypted"), "{}", said[0]);
    assert_eq!(said[0], said[1]);
    let utf16: Vec<u8> = "\u{feff}-----BEGIN".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&locked, utf16).unwrap();
    let checked = run(directory, &["check", "--offline", "-c", "locked.toml"]);
    assert!(checked.stderr.contains("UTF-16"), "{}{}", checked.stdout, checked.stderr);
}

/// The configuration's certificates and policies, for a gateway in another directory.
fn copy(from: &Path, to: &Path) {
    for file in ["gateway.pem", "gateway.key", "ca.pem"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    for entry in std::fs::read_dir(from.join("policies")).unwrap() {
        let file = entry.unwrap();
        std::fs::copy(file.path(), to.join("policies").join(file.file_name())).unwrap();
    }
}
