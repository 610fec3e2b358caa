//! XiVO behind https, a PROXY protocol or a unix socket: real nginx, and servers that misbehave inside TLS.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread::spawn,
};

use phonebook_gateway::{
    upstream::{Route, Tls, Trust, UpstreamFault, connect},
    x509::Fingerprint,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tempfile::TempDir;

use crate::support::{
    http::{Answer, get, request},
    needs::or_left_out,
    network::{LAN, in_own_network},
    process::PATIENCE,
    program::run,
    scripted::{found, found_body, json, term},
    serving::{Serving, config},
    xivo::{Nginx, PHONEBOOK},
};

/// Peers on loopback, and on the LAN of a network of the test's own.
const PEER: (&str, &str) = (
    "peer",
    "hosts = [\"127.0.0.0/8\", \"192.168.1.125\"]\nrate = { per_second = 1000, burst = 1000 }\n",
);

/// What nginx notes of each request of ours.
const NOTED: &str = "log_format noted '$ssl_protocol $ssl_session_reused $connection_requests $ssl_server_name \
                     $ssl_alpn_protocol $proxy_protocol_addr';";

/// A phonebook with one entry, whatever is asked.
const BOOK: &str = "access_log @DIR@/noted.log noted;\nlocation / { default_type application/json; \
                    return 200 '[{\"name\":\"John Doe\"}]'; }";

/// Certificates and keys as files.
struct Certificates {
    directory: TempDir,
    authority: Issuer<'static, KeyPair>,
}

/// One certificate with its key, as files.
struct Made {
    certificate: PathBuf,
    key: PathBuf,
    der: Vec<u8>,
    key_der: Vec<u8>,
}

impl Certificates {
    /// With an authority in `ca.pem`.
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        std::fs::write(directory.path().join("ca.pem"), pem).unwrap();
        Self { directory, authority: Issuer::new(parameters, key) }
    }

    fn ca(&self) -> String {
        format!("ca = {:?}", self.directory.path().join("ca.pem"))
    }

    /// Signed by the authority, for these names.
    fn signed(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Made {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.authority).unwrap();
        self.keep(&certificate, &key)
    }

    /// Signed by its own key, as XiVO's is.
    fn self_signed(&self, change: impl FnOnce(&mut CertificateParams)) -> Made {
        let mut parameters = CertificateParams::new(vec!["xivo".to_owned()]).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        self.keep(&certificate, &key)
    }

    fn keep(&self, certificate: &rcgen::Certificate, key: &KeyPair) -> Made {
        let name = |kind| {
            let name = Fingerprint::of(certificate.der()).to_string().replace(':', "");
            self.directory.path().join(format!("{name}.{kind}"))
        };
        let made = Made {
            certificate: name("pem"),
            key: name("key"),
            der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        };
        std::fs::write(&made.certificate, certificate.pem()).unwrap();
        std::fs::write(&made.key, key.serialize_pem()).unwrap();
        made
    }
}

impl Made {
    fn pin(&self) -> String {
        format!("pin_sha256 = \"{}\"", Fingerprint::of(&self.der))
    }

    /// An nginx with it, and these directives.
    fn nginx(&self, directives: &str) -> Option<Nginx> {
        self.nginx_listening("ssl", directives)
    }

    fn nginx_listening(&self, options: &str, directives: &str) -> Option<Nginx> {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        let server = format!(
            "ssl_certificate {certificate};\nssl_certificate_key {key};\n{directives}\n{BOOK}"
        );
        or_left_out(Nginx::listening(options, NOTED, &server))
    }
}

fn gateway(url: &str, lines: &str) -> Serving {
    let lines = format!("danger_loopback_source = true\n{lines}");
    Serving::start(&config(url, &lines), &[PEER]).unwrap()
}

fn https(to: SocketAddr, lines: &str) -> Serving {
    gateway(&format!("https://{to}"), lines)
}

fn search(gateway: &Serving, term: &str) -> Answer {
    get(gateway.addr(), &format!("{PHONEBOOK}?act=search&search={term}"))
}

/// `probe` with the gateway's configuration: its exit code, and what it printed.
fn probe(gateway: &Serving, words: &[&str]) -> (Option<i32>, String) {
    let directory = gateway.file("");
    let words = [&["probe", "--config", "gateway.toml"], words].concat();
    let run = run(&directory, &words);
    (run.code, run.stdout + &run.stderr)
}

/// That the gateway asks, and that `probe` sees the same.
fn assert_answers(gateway: &Serving, what: &str) {
    let answer = search(gateway, "doe");
    assert_eq!(answer.status, 200, "{what}: {}", gateway.said());
    assert_eq!(answer.json()[0]["name"], "John Doe", "{what}");
    let (code, said) = probe(gateway, &[]);
    assert!(
        code == Some(0) && said.contains("answer    200, as a phonebook does"),
        "{what}: {said}"
    );
}

/// That the gateway does not ask, and why; and that `probe` says the same.
fn assert_refuses(gateway: &Serving, why: &str) {
    assert_eq!(search(gateway, "doe").status, 502, "{why}");
    assert!(gateway.says(why), "{why}: {}", gateway.said());
    let (code, said) = probe(gateway, &[]);
    assert!(
        code == Some(1) && said.contains("connect   FAILED: ") && said.contains(why),
        "{why}: {said}"
    );
}

#[test]
fn a_certificate_is_trusted_by_authority_name_and_dates_or_by_its_pin() {
    let certificates = Certificates::new();
    let other = Certificates::new();
    let (ca, name) = (certificates.ca(), "server_name = \"xivo.example\"");
    let own = certificates.self_signed(|_| {});
    let good = certificates.signed(&["127.0.0.1"], |_| {});
    let named = certificates.signed(&["xivo.example"], |_| {});
    let expired =
        certificates.signed(&["127.0.0.1"], |it| it.not_after = date_time_ymd(2020, 1, 1));
    let early = certificates.signed(&["127.0.0.1"], |it| it.not_before = date_time_ymd(4000, 1, 1));
    let authority =
        certificates.self_signed(|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let authority_file = format!("ca = {:?}", authority.certificate);
    let two =
        format!("pin_sha256 = [\"{}\", \"{}\"]", Fingerprint::of(b""), Fingerprint::of(&own.der));
    let cases: &[(&Made, String, Option<&str>)] = &[
        (&own, own.pin(), None),
        (&own, two, None),
        (&authority, authority.pin(), None),
        (&expired, expired.pin(), None),
        (&good, ca.clone(), None),
        (&named, format!("{ca}\n{name}"), None),
        (&own, "danger_accept_any_certificate = true".to_owned(), None),
        (&own, good.pin(), Some("is none of upstream.pin_sha256")),
        (&own, ca.clone(), Some("is issued by no authority that this gateway trusts")),
        (&good, other.ca(), Some("is issued by no authority that this gateway trusts")),
        (&named, ca.clone(), Some("is for another name than that of upstream.url")),
        (&good, format!("{ca}\n{name}"), Some("is for another name than that of upstream.url")),
        (&expired, ca.clone(), Some("its certificate has expired")),
        (&early, ca, Some("its certificate is not valid yet")),
        (&authority, authority_file, Some("is an authority's own")),
    ];
    for (made, lines, refused) in cases {
        let Some(nginx) = made.nginx("") else { return };
        let gateway = https(nginx.addr(), lines);
        match refused {
            None => assert_answers(&gateway, lines),
            Some(why) => {
                assert_refuses(&gateway, why);
                let seen = format!("SHA-256 {}", Fingerprint::of(&made.der));
                assert!(gateway.says(&seen), "{}", gateway.said());
                assert!(nginx.access_log().is_empty(), "a request was sent: {lines}");
            }
        }
        let loud = gateway.said().contains("WARN") && gateway.said().contains("whoever answers");
        assert_eq!(loud, lines.starts_with("danger"), "{}", gateway.said());
    }
}

/// What listens with this certificate and lets each handshake end as it may.
fn handshakes(made: &Made) -> SocketAddr {
    let tls = Arc::new(server_config(made));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the test's process.
    spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&tls)).unwrap();
            spawn(move || StreamOwned::new(session, stream.unwrap()).read(&mut [0]));
        }
    });
    address
}

/// Several XiVOs, or one behind a balancer: whose certificate is shown is a matter of the one connection.
#[test]
fn a_refused_certificate_is_the_one_of_its_own_connection() {
    let certificates = Certificates::new();
    let [first, second, pinned] = [(); 3].map(|()| certificates.self_signed(|_| {}));
    let trust = Trust::Pins(vec![Fingerprint::of(&pinned.der)]);
    let tls = Tls::new(trust, "xivo".try_into().unwrap()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = silent.local_addr().unwrap();
    drop(silent);
    let addresses = [handshakes(&first), handshakes(&second), closed];
    let refused = |at: usize| {
        let (addresses, tls) = (&addresses[at..=at], &tls);
        async move {
            let route = Route {
                addresses,
                socket: None,
                source: None,
                danger_loopback_source: true,
                connect_timeout: PATIENCE,
                tls: Some(tls),
                way: 0,
                relayed: None,
                trace: None,
            };
            connect(&route).await.unwrap_err()
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shown = |fault: &UpstreamFault| fault.refused_certificate().map(|facts| facts.sha256);
    let [first, second] = [first, second].map(|made| Some(Fingerprint::of(&made.der)));
    // One after the other, and both at once.
    let (one, other) = runtime.block_on(async { (refused(0).await, refused(1).await) });
    assert_eq!((shown(&one), shown(&other)), (first, second));
    let (one, other, none) =
        runtime.block_on(async { tokio::join!(refused(0), refused(1), refused(2)) });
    assert_eq!((shown(&one), shown(&other), shown(&none)), (first, second, None));
    assert!(one.to_string().contains("its certificate is none of upstream.pin_sha256"), "{one}");
}

#[test]
fn a_pin_is_printed_with_what_has_to_be_done_before_it_is_believed() {
    let certificates = Certificates::new();
    let own = certificates.self_signed(|_| {});
    let Some(nginx) = own.nginx("") else { return };
    let line = format!("\n{}\n", own.pin());
    let directory = certificates.directory.path();
    for url in [format!("https://{}", nginx.addr()), nginx.addr().to_string()] {
        let run = run(directory, &["probe", "--pin", &url]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.ends_with(&line), "{}", run.stdout);
        assert!(
            run.stdout.contains("Nobody has verified it") && run.stdout.contains("openssl x509")
        );
        let others: Vec<_> = run.stdout.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(others.len(), 1, "all but the line is a comment: {others:?}");
    }
    // The configuration's XiVO, whatever is pinned there.
    let gateway = https(nginx.addr(), &certificates.signed(&["x"], |_| {}).pin());
    let (code, said) = probe(&gateway, &["--pin"]);
    assert!(code == Some(0) && said.ends_with(&line), "{said}");
    assert!(nginx.access_log().is_empty(), "a handshake is no request");
    for (url, code, part) in [
        ("http://127.0.0.1", 2, "is no https URL"),
        ("https://127.0.0.1/x", 2, "has a path"),
        ("https://127.0.0.1:1", 1, "the connection was refused"),
    ] {
        let run = run(directory, &["probe", "--pin", url]);
        assert!(run.code == Some(code) && run.stderr.contains(part), "{url}: {}", run.stderr);
    }
}

#[test]
fn both_versions_of_tls_are_spoken_connections_are_kept_and_sessions_resumed() {
    let certificates = Certificates::new();
    let own = certificates.self_signed(|_| {});
    for version in ["TLSv1.2", "TLSv1.3"] {
        let Some(nginx) = own.nginx(&format!("ssl_protocols {version};")) else { return };
        let lines = format!("{}\nserver_name = \"xivo\"", own.pin());
        let gateway = Serving::start(
            &format!("workers = 1\n{}", config(&format!("https://{}", nginx.addr()), &lines))
                .replace("timeout = \"20s\"", "timeout = \"20s\"\ndanger_loopback_source = true"),
            &[PEER],
        )
        .unwrap();
        for _ in 0..3 {
            assert_eq!(search(&gateway, "doe").status, 200, "{}", gateway.said());
        }
        let of = |number| format!("{version} . {number} xivo http/1.1 -");
        assert_eq!(nginx.lines_of("noted.log", 3), [of(1), of(2), of(3)]);

        // One request for each connection; the second worker resumes what the first began.
        let once = format!(
            "ssl_protocols {version};\nkeepalive_requests 1;\nssl_session_cache shared:sessions:1m;"
        );
        let Some(nginx) = own.nginx(&once) else { return };
        let gateway = https(nginx.addr(), &lines);
        for _ in 0..4 {
            assert_eq!(search(&gateway, "doe").status, 200, "{}", gateway.said());
        }
        let log_facts = nginx.lines_of("noted.log", 4);
        let resumed = format!("{version} r 1 xivo http/1.1 -");
        assert_eq!(log_facts[0], of(1));
        assert_eq!(log_facts[1..], [resumed.clone(), resumed.clone(), resumed]);
    }
}

#[test]
fn what_does_not_speak_tls_and_what_never_answers_are_told_apart() {
    let certificates = Certificates::new();
    let pin = certificates.self_signed(|_| {}).pin();
    let Some(plain) = or_left_out(Nginx::serving(NOTED, BOOK)) else { return };
    assert_refuses(&https(plain.addr(), &pin), "does not speak TLS");
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let main = config(&format!("https://{}", silent.local_addr().unwrap()), &pin)
        .replace("\"20s\"", "\"300ms\"\ndanger_loopback_source = true")
        .replace("\"5s\"", "\"200ms\"");
    let gateway = Serving::start(&main, &[PEER]).unwrap();
    assert_eq!(search(&gateway, "doe").status, 504);
    // It closes in the handshake.
    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closing.local_addr().unwrap();
    let ended = spawn(move || {
        for _ in 0..2 {
            drop(closing.accept().unwrap());
        }
    });
    assert_refuses(&https(address, &pin), "in the TLS handshake");
    ended.join().unwrap();
}

/// What a test's server speaks with.
type Stream = StreamOwned<ServerConnection, TcpStream>;

/// What a server shows this certificate by.
fn server_config(made: &Made) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(made.key_der.clone().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(made.der.clone())], key)
        .unwrap()
}

/// A XiVO that speaks TLS and runs `script` for each connection; the number of each request's connection is kept.
struct Scripted {
    address: SocketAddr,
    pin: String,
    asked: Arc<Mutex<Vec<usize>>>,
}

impl Scripted {
    fn start(
        script: impl Fn(usize, &mut dyn FnMut(&mut Stream) -> Option<String>, Stream)
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let certificates = Certificates::new();
        let own = certificates.self_signed(|_| {});
        let tls = Arc::new(server_config(&own));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, script) = (Arc::clone(&asked), Arc::new(script));
        // It ends with the test's process.
        spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                // What was sent has then arrived, and waits for no acknowledgement (Nagle).
                stream.set_nodelay(true).unwrap();
                let session = ServerConnection::new(Arc::clone(&tls)).unwrap();
                let (kept, script) = (Arc::clone(&kept), Arc::clone(&script));
                spawn(move || {
                    let mut ask = |stream: &mut Stream| {
                        let head = read_head(stream)?;
                        kept.lock().unwrap().push(number);
                        Some(head)
                    };
                    script(number, &mut ask, StreamOwned::new(session, stream));
                });
            }
        });
        Self { address, pin: own.pin(), asked }
    }

    fn gateway(&self) -> Serving {
        let lines = format!("danger_loopback_source = true\n{}", self.pin);
        let main = config(&format!("https://{}", self.address), &lines);
        Serving::start(&format!("workers = 1\n{main}"), &[PEER]).unwrap()
    }
}

fn read_head(stream: &mut Stream) -> Option<String> {
    let mut head = Vec::new();
    let mut bytes = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(count) => head.extend_from_slice(&bytes[..count]),
        }
    }
    Some(String::from_utf8(head).unwrap())
}

/// Asks twice; between the two, when the first answer has been read, the server does `then` on the first connection.
/// Yields the number of each request's connection.
fn asked_twice(then: fn(&mut Stream)) -> Vec<usize> {
    let (go, may_go) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    let (may_go, done) = (Mutex::new(may_go), Mutex::new(done));
    let xivo = Scripted::start(move |number, ask, mut stream| {
        while let Some(head) = ask(&mut stream) {
            stream.write_all(&found(term(&head))).unwrap();
            stream.flush().unwrap();
            if number == 0 && term(&head) == "first" {
                may_go.lock().unwrap().recv().unwrap();
                then(&mut stream);
                done.lock().unwrap().send(()).unwrap();
            }
        }
    });
    let gateway = xivo.gateway();
    assert_eq!(
        search(&gateway, "first").body,
        found_body("first").as_bytes(),
        "{}",
        gateway.said()
    );
    go.send(()).unwrap();
    is_done.recv_timeout(PATIENCE).unwrap();
    assert_eq!(search(&gateway, "second").body, found_body("second").as_bytes());
    drop(gateway);
    xivo.asked.lock().unwrap().clone()
}

#[test]
fn a_tls_connection_is_used_again_after_messages_of_tls_itself() {
    assert_eq!(asked_twice(|_| {}), [0, 0]);
    // A KeyUpdate comes as a NewSessionTicket does: unasked, and without application data.
    let key_update = |stream: &mut Stream| {
        stream.conn.refresh_traffic_keys().unwrap();
        stream.flush().unwrap();
    };
    assert_eq!(asked_twice(key_update), [0, 0]);
}

#[test]
fn a_tls_connection_with_unasked_data_or_half_a_record_or_an_end_is_not_used_again() {
    let poison = |stream: &mut Stream| {
        stream.write_all(&json("\"poison\"")).unwrap();
        stream.flush().unwrap();
    };
    assert_eq!(asked_twice(poison), [0, 1]);
    let half = |stream: &mut Stream| stream.sock.write_all(b"\x17\x03\x03").unwrap();
    assert_eq!(asked_twice(half), [0, 1]);
    let close_notify = |stream: &mut Stream| {
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    };
    assert_eq!(asked_twice(close_notify), [0, 1]);
    let shutdown = |stream: &mut Stream| stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(asked_twice(shutdown), [0, 1]);
    let garbage =
        |stream: &mut Stream| stream.sock.write_all(b"\x17\x03\x03\0\x10garbage garbage!").unwrap();
    assert_eq!(asked_twice(garbage), [0, 1]);
}

#[test]
fn a_body_that_ends_short_is_cut_with_and_without_an_alert() {
    for polite in [true, false] {
        let xivo = Scripted::start(move |_, ask, mut stream| {
            if ask(&mut stream).is_some() {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[";
                stream.write_all(head.as_bytes()).unwrap();
                if polite {
                    stream.conn.send_close_notify();
                }
                stream.flush().unwrap();
            }
        });
        let gateway = xivo.gateway();
        let mut client = TcpStream::connect(gateway.addr()).unwrap();
        let request =
            format!("GET {PHONEBOOK}?act=search&search=doe HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut came = Vec::new();
        let end = client.read_to_end(&mut came);
        let whole = String::from_utf8_lossy(&came).ends_with(']');
        assert!(!whole && end.is_err(), "{polite}: {end:?} {}", String::from_utf8_lossy(&came));
        assert!(gateway.says("an answer was cut off"), "{}", gateway.said());
    }
}

#[test]
fn the_proxy_protocol_names_each_client_over_tcp_tls_and_a_socket() {
    let certificates = Certificates::new();
    let own = certificates.self_signed(|_| {});
    let socket = "listen unix:@DIR@/xivo.sock proxy_protocol;";
    let plain =
        || or_left_out(Nginx::listening("proxy_protocol", NOTED, &format!("{socket}\n{BOOK}")));
    let Some(tls) = own.nginx_listening("ssl proxy_protocol", "") else { return };
    let (Some(tcp), Some(unix)) = (plain(), plain()) else { return };
    let unix_url = format!("unix:{}", unix.file("xivo.sock").display());
    for (nginx, url, lines) in [
        (&tcp, format!("http://{}", tcp.addr()), String::new()),
        (&tls, format!("https://{}", tls.addr()), own.pin()),
        (&unix, unix_url, String::new()),
    ] {
        let gateway = gateway(&url, &format!("send_proxy_protocol = true\n{lines}"));
        let clients = ["127.0.0.77", "127.0.0.1", "127.0.0.78", "127.0.0.77"];
        for client in clients {
            let from: IpAddr = client.parse().unwrap();
            let target = format!("{PHONEBOOK}?act=search&search=doe");
            let answer = request(gateway.addr(), Some(from), "GET", &target, "");
            assert_eq!(answer.status, 200, "{url}: {}", gateway.said());
        }
        // The first request of a connection of its own, each.
        for (line, client) in nginx.lines_of("noted.log", clients.len()).iter().zip(clients) {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!((words[2], words[5]), ("1", client), "{url}: {line}");
        }
        let (code, said) = probe(&gateway, &["--from", "192.0.2.7"]);
        assert!(code == Some(0) && said.contains("client    192.0.2.7, as the PROXY"), "{said}");
        assert!(nginx.lines_of("noted.log", 5)[4].ends_with(" 192.0.2.7"));
    }
}

#[test]
fn a_loopback_client_is_not_named_to_xivo() {
    in_own_network("upstream_tls::a_loopback_client_is_not_named_to_xivo", || {
        let server = format!("listen unix:@DIR@/xivo.sock proxy_protocol;\n{BOOK}");
        let Some(nginx) = or_left_out(Nginx::listening("", NOTED, &server)) else { return };
        let url = format!("unix:{}", nginx.file("xivo.sock").display());
        let main = config(&url, "send_proxy_protocol = true");
        let gateway = Serving::start(&main, &[PEER]).unwrap();
        let target = format!("{PHONEBOOK}?act=search&search=doe");
        let asked = |from| request(gateway.addr(), Some(from), "GET", &target, "").status;
        assert_eq!(asked("127.0.0.1".parse().unwrap()), 502);
        assert!(gateway.says("the client has a loopback address"), "{}", gateway.said());
        assert_eq!(asked(LAN), 200, "{}", gateway.said());
        let log_facts = nginx.lines_of("noted.log", 1);
        assert!(log_facts.len() == 1 && log_facts[0].ends_with(" 192.168.1.125"), "{log_facts:?}");
        for (from, part, hint) in [
            (
                "192.168.1.125",
                "naming 192.168.1.125 by the PROXY protocol",
                "add a Web Services user for host 192.168.1.125",
            ),
            (
                "127.0.0.1",
                "answered 502: the client has a loopback address",
                "XiVO grants everything to 127.0.0.1 without a Web Services user: add none for it.",
            ),
        ] {
            let words = ["explain", "--config", "gateway.toml", "--from", from, &target];
            let run = run(&gateway.file(""), &words);
            assert!(run.stdout.contains(part) && run.stdout.contains(hint), "{}", run.stdout);
        }
        // `probe` names this host's own address.
        let (code, said) = probe(&gateway, &[]);
        assert!(code == Some(0) && said.contains("client    192.168.1.125,"), "{said}");
    });
}

#[test]
fn tls_changes_nothing_about_where_connections_may_come_from() {
    let certificates = Certificates::new();
    let own = certificates.self_signed(|_| {});
    let Some(nginx) = own.nginx("") else { return };
    let main = config(&format!("https://{}", nginx.addr()), &own.pin());
    let refused = Serving::start(&main, &[PEER]).unwrap_err();
    assert!(refused.code == Some(78) && refused.said.contains("`private`"), "{}", refused.said);
    // A name is looked at when it has been resolved, and each connection before its first byte.
    let named = main.replace("127.0.0.1:", "localhost:").replace("\"127.0.0.1:", "\"localhost:");
    let named = named.replace("address = \"localhost:0\"", "address = \"127.0.0.1:0\"");
    let refused = Serving::start(&named, &[PEER]).unwrap_err();
    assert_eq!(refused.code, Some(78), "{}", refused.said);
    assert!(nginx.access_log().is_empty());
}

#[test]
fn a_socket_without_the_proxy_protocol_is_refused_and_one_that_is_not_there_is_said() {
    let gateway = gateway("unix:/nonexistent/xivo.sock", "send_proxy_protocol = true");
    assert_refuses(&gateway, "there is no such socket as upstream.url names");
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("policies")).unwrap();
    std::fs::write(directory.path().join("policies/peer.toml"), PEER.1).unwrap();
    std::fs::write(directory.path().join("gateway.toml"), config("unix:/run/xivo.sock", ""))
        .unwrap();
    for command in ["check", "probe"] {
        let run = run(directory.path(), &[command, "--config", "gateway.toml"]);
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains("a unix socket tells XiVO no address"), "{}", run.stderr);
    }
}

#[test]
fn probe_says_what_xivo_answers_and_what_to_do_about_it() {
    for (answer, part) in [
        ("return 403;", "add a Web Services user for host 127.0.0.1"),
        ("return 301 https://xivo/;", "set upstream.host = \"localhost\""),
        ("return 200 hello;", "a 200 that is not JSON"),
        ("return 500;", "XiVO answered 500"),
    ] {
        let Some(nginx) = or_left_out(Nginx::serving("", &format!("location / {{ {answer} }}")))
        else {
            return;
        };
        let gateway = gateway(&format!("http://{}", nginx.addr()), "");
        let (code, said) = probe(&gateway, &[]);
        assert!(code == Some(1) && said.contains("answer    FAILED: "), "{said}");
        assert!(said.contains(part), "{said}");
        let log = nginx.access_log_of(1);
        assert!(log.contains("act=search&search=phonebook-gateway-probe HTTP/1.1"), "{log}");
        let (code, said) = probe(&gateway, &["--from", "192.0.2.7"]);
        assert!(
            code == Some(2) && said.contains("upstream.send_proxy_protocol is false"),
            "{said}"
        );
    }
}
