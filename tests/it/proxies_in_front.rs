//! A load balancer or proxy in front changes who is known to call, for those that are listed and nobody else: seen
//! through bytes as they come, through HAProxy and nginx, and through whatever peers and unknown callers say of themselves.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    corpus::{
        CORPUS,
        case::{self, Case},
        verdict::judge,
    },
    support::{
        haproxy::HaProxy,
        http::{read_answers, request},
        live::{Live, Setup, policy},
        needs::{Missing, or_left_out, program},
        process::becomes_true,
        program::Site,
        raw::{Client, End, reason, search, target},
        recorder::Recorder,
        rig::{CLIENT, Run, connect},
        serving::Serving,
        xivo::Nginx,
    },
};

/// It has to send a PROXY header.
const BALANCER: &str = "127.0.0.5";
/// Its header is trusted.
const PROXY: &str = "127.0.0.6";
/// `lyon`; the address of [`CLIENT`].
const PEER: &str = "127.0.0.77";
const UNKNOWN_CALLER: &str = "127.0.0.12";
/// `forged`: what callers say that they are.
const FORGED: [&str; 4] = ["127.0.0.1", "10.0.0.1", "::1", "0.0.0.0"];

const WHOAMI: &str = "/.well-known/phonebook-gateway/whoami";

/// A gateway behind both, for which unknown callers may ask a lot.
fn setup(recorder: &Recorder) -> Setup {
    let mut setup = Setup::new(recorder.address())
        .upstream("host = \"localhost\"\ntimeout = \"20s\"\nconnect_timeout = \"20s\"")
        .limits("unknown_rate = { per_second = 100000, burst = 100000 }")
        .policy("lyon", policy(PEER, ""))
        .policy("forged", policy(&FORGED.join("\", \""), ""));
    setup.listen =
        format!("proxy_protocol_from = [\"{BALANCER}\"]\ntrusted_proxies = [\"{PROXY}\"]");
    setup
}

fn v1(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6 {} ::1" } else { "TCP4 {} 127.0.0.1" };
    format!("PROXY {} 40000 443\r\n", family.replace("{}", client)).into_bytes()
}

fn v2(client: &str) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    match client.parse().unwrap() {
        IpAddr::V4(client) => {
            header.extend([0x11, 0, 12]);
            header.extend(client.octets());
            header.extend([127, 0, 0, 1]);
        }
        IpAddr::V6(client) => {
            header.extend([0x21, 0, 36]);
            header.extend(client.octets());
            header.extend([7; 16]);
        }
    }
    header.extend([0x9c, 0x40, 0x01, 0xbb]);
    header
}

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

/// `address - user` of a line of the log.
fn who(line: &str) -> &str {
    line.split_once(" [").unwrap().0
}

#[test]
fn a_listed_sender_says_who_connects() {
    let recorder = Recorder::start();
    let gateway = setup(&recorder).start();
    let mut lines = 0;
    for header in [v1(PEER), v2(PEER), v1("::ffff:127.0.0.77"), v2("::ffff:127.0.0.77")] {
        let mut client = gateway.client_from(BALANCER);
        client.send([header.as_slice(), search("doe").as_bytes()].concat());
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.lookup("again").status, 200);
        // The same in the smallest segments.
        let mut slow = gateway.client_from(BALANCER);
        for byte in header {
            slow.send([byte]);
        }
        assert_eq!(slow.lookup("slow").status, 200);
        for head in recorder.take().heads {
            let head = String::from_utf8(head).unwrap();
            assert!(head.contains("X-Forwarded-For: 127.0.0.77\r\nX-Forwarded-Proto"), "{head}");
        }
        lines += 3;
        assert!(gateway.log(lines).iter().all(|line| who(line) == "127.0.0.77 - lyon"));
    }
    let mut client = gateway.client_from(BALANCER);
    client.send(v1(UNKNOWN_CALLER));
    assert_eq!(reason(&client.lookup("doe")), "unknown-peer");
    assert_eq!(who(&gateway.log(lines + 1)[lines]), "127.0.0.12 - -");
    // A header is about the connection, and comes once.
    let mut client = gateway.client_from(BALANCER);
    client.send([v1(PEER), v1(FORGED[0])].concat());
    assert_eq!(reason(&client.answer()), "malformed-request");
    assert!(recorder.take().heads.is_empty());
}

#[test]
fn a_listed_sender_without_a_header_is_closed_unanswered() {
    let recorder = Recorder::start();
    let gateway = setup(&recorder).start();
    for bytes in [
        search("doe").into_bytes(),
        b"PROXY TCP4 127.0.0.77\r\n".to_vec(),
        b"PROXY TCP4 127.0.0.77 127.0.0.1 040000 443\r\n".to_vec(),
        [&v2(PEER)[..15], b"\x02xx"].concat(),
        b"PROXY \r\n".to_vec(),
        vec![b'P'; 200],
        // Whatever it says otherwise.
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {PEER}\r\n\r\n").into_bytes(),
    ] {
        let mut client = gateway.client_from(BALANCER);
        client.send(&bytes);
        client.ended();
    }
    // Cut off, and silent.
    for bytes in [&b""[..], b"PROXY", b"\r\n\r\n"] {
        let mut client = gateway.client_from(BALANCER);
        client.send(bytes);
        client.half_close();
        client.ended();
    }
    let hasty = setup(&recorder).limits("head_timeout = \"100ms\"").start();
    for bytes in [&b""[..], b"PROXY UNKNOWN"] {
        let mut client = hasty.client_from(BALANCER);
        client.send(bytes);
        client.ended();
    }
    assert!(gateway.comes_to_rest() && hasty.comes_to_rest());
    assert!(recorder.take().heads.is_empty());
    assert!(gateway.log_so_far().is_empty(), "no request was made");
}

#[test]
fn a_header_from_anyone_else_is_no_request() {
    let recorder = Recorder::start();
    let gateway = setup(&recorder).start();
    for from in [PEER, UNKNOWN_CALLER, PROXY] {
        for header in [v1(PEER), v2(PEER), v1(FORGED[0]), UNKNOWN.to_vec(), LOCAL.to_vec()] {
            let mut client = gateway.client_from(from);
            client.send([header.as_slice(), search("doe").as_bytes()].concat());
            let answer = client.answer();
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "malformed-request"));
            client.ended();
        }
    }
    assert!(recorder.take().heads.is_empty());
}

#[test]
fn a_sender_that_says_nothing_of_a_client_is_never_a_peer() {
    let recorder = Recorder::start();
    // Both senders, and the addresses that stand for none, are peers when they call for themselves.
    let hosts = [BALANCER, PROXY, "0.0.0.0", "::", "127.0.0.0/8"].join("\", \"");
    let gateway = setup(&recorder)
        .policy("forged", policy(FORGED[0], ""))
        .policy("senders", policy(&hosts, ""))
        .start();
    let mut lines = 0;
    let mut refused = |mut client: Client, bytes: &[u8], from: &str| {
        client.send(bytes);
        let answer = client.answer();
        assert_eq!((answer.status, reason(&answer).as_str()), (403, "unknown-peer"));
        assert!(answer.json().get("detail").is_none(), "an unknown caller is told nothing");
        lines += 1;
        assert_eq!(who(&gateway.log(lines)[lines - 1]), format!("{from} - -"));
    };
    let ask = |lines: &str| {
        format!("GET {} HTTP/1.1\r\nHost: x\r\n{lines}\r\n", target("doe")).into_bytes()
    };
    for header in [LOCAL, UNKNOWN, b"PROXY UNKNOWN 127.0.0.77 127.0.0.1 1 2\r\n"] {
        let bytes = [header, &ask("X-Forwarded-For: 127.0.0.77\r\n")].concat();
        refused(gateway.client_from(BALANCER), &bytes, BALANCER);
    }
    for header in [
        "",
        "X-Forwarded-For:\r\n",
        "X-Forwarded-For: \t\r\n",
        "X-Forwarded-For: unknown\r\n",
        "X-Forwarded-For: 127.0.0.77,\r\n",
        "X-Forwarded-For: 127.0.0.77\r\nX-Forwarded-For:\r\n",
        "X-Forwarded-For: 127.0.0.77, unix:\r\n",
        "X-Forwarded-For: 127.0.0.77, unknown, 127.0.0.6\r\n",
        "X-Forwarded-For: 127.0.0.077\r\n",
        "Forwarded: for=127.0.0.77\r\nX-Real-IP: 127.0.0.77\r\n",
    ] {
        refused(gateway.client_from(PROXY), &ask(header), PROXY);
    }
    assert!(recorder.take().heads.is_empty());
}

#[test]
fn a_trusted_proxy_says_of_each_request_whose_it_is() {
    let recorder = Recorder::start();
    let gateway = setup(&recorder).start();
    let mut client = gateway.client_from(PROXY);
    let mut lines = 0;
    for (header, from, status) in [
        ("X-Forwarded-For: 127.0.0.77", "127.0.0.77 - lyon", 200),
        ("X-Forwarded-For: 127.0.0.12", "127.0.0.12 - -", 403),
        ("x-forwarded-FOR:\t127.0.0.1, 127.0.0.77 ", "127.0.0.77 - lyon", 200),
        ("X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.12", "127.0.0.12 - -", 403),
        (
            "X-Forwarded-For: 127.0.0.12\r\nA: b\r\nX-Forwarded-For: 127.0.0.77",
            "127.0.0.77 - lyon",
            200,
        ),
        ("X-Forwarded-For: 127.0.0.1, 127.0.0.77, 127.0.0.6", "127.0.0.77 - lyon", 200),
        ("X-Forwarded-For: 127.0.0.77:40000", "127.0.0.77 - lyon", 200),
        ("X-Forwarded-For: [::ffff:127.0.0.77]:40000", "127.0.0.77 - lyon", 200),
        ("X-Forwarded-For: 2001:db8::1", "2001:db8::1 - -", 403),
        ("X-Forwarded-For: rubbish, 127.0.0.77\r\nX-Real-IP: 127.0.0.1", "127.0.0.77 - lyon", 200),
    ] {
        client.send(format!("GET {} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n", target("doe")));
        assert_eq!(client.answer().status, status, "{header}");
        lines += 1;
        assert_eq!(who(&gateway.log(lines)[lines - 1]), from, "{header}");
    }
    // What cannot be read as a request has no client either.
    client.send("GET / HTTP/1.1\r\nX-Forwarded-For: 127.0.0.77\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert_eq!(who(&gateway.log(lines + 1)[lines]), "127.0.0.6 - -");
    assert_eq!(recorder.take().heads.len(), 7);
}

#[test]
fn forwarded_is_trusted_where_it_is_the_listeners_header() {
    let recorder = Recorder::start();
    let mut setup = setup(&recorder);
    setup.listen.push_str("\nforwarded_header = \"Forwarded\"");
    let gateway = setup.start();
    let mut client = gateway.client_from(PROXY);
    for (header, status) in [
        ("Forwarded: for=127.0.0.1, for=127.0.0.77;proto=http", 200),
        ("Forwarded: for=127.0.0.1\r\nForwarded: By=x;For=\"127.0.0.77:4711\"", 200),
        ("Forwarded: for=127.0.0.12", 403),
        ("Forwarded: for=127.0.0.77;x=\", for=127.0.0.12", 403),
        ("Forwarded: for=_hidden", 403),
        ("X-Forwarded-For: 127.0.0.77", 403),
    ] {
        client.send(format!("GET {} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n", target("doe")));
        assert_eq!(client.answer().status, status, "{header}");
    }
}

#[test]
fn a_trusted_proxy_may_stand_behind_a_load_balancer() {
    let recorder = Recorder::start();
    let gateway = setup(&recorder).start();
    let ask = |announced: &str| {
        let mut client = gateway.client_from(BALANCER);
        client.send(v2(announced));
        client.send(format!(
            "GET {} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.77\r\n\r\n",
            target("doe")
        ));
        client.answer().status
    };
    assert_eq!(ask(PROXY), 200);
    assert_eq!(ask(UNKNOWN_CALLER), 403);
    // The sender of PROXY headers is not trusted with the other one.
    assert_eq!(ask(BALANCER), 403);
}

#[test]
fn unknown_callers_behind_a_proxy_are_counted_each_by_their_own_address() {
    let recorder = Recorder::start();
    let mut setup = setup(&recorder);
    setup.limits = "unknown_rate = { per_minute = 1, burst = 2 }\n".to_owned();
    let gateway = setup.start();
    let ask = |address: &str| {
        let mut client = gateway.client_from(PROXY);
        let line = if address.is_empty() {
            String::new()
        } else {
            format!("X-Forwarded-For: {address}\r\n")
        };
        client.send(format!("GET {} HTTP/1.1\r\nHost: x\r\n{line}\r\n", target("doe")));
        client.answer().status
    };
    let announced = |header: &[u8]| {
        let mut client = gateway.client_from(BALANCER);
        client.send(header);
        client.lookup("doe").status
    };
    assert_eq!([ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.1")], [403, 403, 429]);
    assert_eq!([ask("192.0.2.2"), announced(&v1("192.0.2.2")), ask("192.0.2.2")], [403, 403, 429]);
    assert_eq!([ask("2001:db8::1"), ask("2001:db8::2"), ask("2001:db8::3")], [403, 403, 429]);
    // Those without an address share the sender's.
    assert_eq!([ask(""), ask("unknown"), ask("")], [403, 403, 429]);
    assert_eq!([announced(LOCAL), announced(UNKNOWN), announced(LOCAL)], [403, 403, 429]);
    assert_eq!(ask(PEER), 200);
}

#[test]
fn connections_of_a_proxy_are_not_counted_as_an_unknown_callers() {
    let recorder = Recorder::start();
    // Unknown callers may have two of these.
    let gateway = setup(&recorder).limits("max_connections = 8").start();
    let mut trusted: Vec<Client> = (0..3).map(|_| gateway.client_from(PROXY)).collect();
    for client in &mut trusted {
        client.send(format!(
            "GET {} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {UNKNOWN_CALLER}\r\n\r\n",
            target("doe")
        ));
        assert_eq!(client.answer().status, 403);
    }
    // Once a balancer has said so, its client is one, like those that come by themselves.
    let announced = |header: &[u8]| {
        let mut client = gateway.client_from(BALANCER);
        client.send(header);
        client.search("doe");
        client
    };
    let mut first = announced(&v1(UNKNOWN_CALLER));
    assert_eq!(first.answer().status, 403);
    let mut second = gateway.client_from(UNKNOWN_CALLER);
    assert_eq!(second.lookup("doe").status, 403);
    // Both of them idle: the one that has been so for longest makes room for their next.
    let mut third = announced(&v2(UNKNOWN_CALLER));
    assert_eq!((third.answer().status, first.ended()), (403, End::Orderly));
    let mut health = announced(LOCAL);
    assert_eq!(health.answer().status, 403);
    let mut peer = announced(&v1(PEER));
    assert_eq!(peer.answer().status, 200);
}

#[test]
fn the_administrator_is_told_of_a_connection_without_a_header() {
    let main = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol_from = [\"{BALANCER}\"]\n\
         [[access_log]]\npath = \"access.log\"\n[upstream]\nurl = \"http://127.0.0.1:9\"\ndanger_loopback_source = true\n"
    );
    let gateway = Serving::start(&main, &[("lyon", &policy(PEER, ""))]).unwrap();
    // A port that is only tried is no fault.
    let mut probe = Client::connect_from(gateway.addr(), Some(BALANCER.parse().unwrap()));
    probe.half_close();
    probe.ended();
    let mut client = Client::connect_from(gateway.addr(), Some(BALANCER.parse().unwrap()));
    client.search("doe");
    client.ended();
    assert!(gateway.says("127.0.0.5"), "{}", gateway.said());
    let said = gateway.said();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("PROXY header")).collect();
    let [line] = lines.as_slice() else { panic!("{said}") };
    assert!(line.contains("it does not begin with a PROXY header"), "{line}");
    // Behind the state directory's line.
    assert!(line.contains("gateway.toml:4"), "{line}");
}

/// HAProxy as a balancer that announces its clients.
fn announcing(gateway: &Live, version: &str) -> Result<HaProxy, Missing> {
    let server = format!("source {BALANCER} {version}");
    HaProxy::before(gateway.address, " mode tcp", &server)
}

#[test]
fn haproxy_says_who_connects_and_its_health_checks_are_nobody() {
    for version in
        ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]
    {
        let recorder = Recorder::start();
        let gateway = setup(&recorder).start();
        let checks = format!(" mode tcp\n option httpchk GET {WHOAMI}");
        let server = format!("source {BALANCER} {version} check inter 20ms");
        let front = HaProxy::before(gateway.address, &checks, &server);
        let Some(front) = or_left_out(front) else { return };
        let through = |from: &str, target: &str| {
            request(front.address(), Some(from.parse().unwrap()), "GET", target, "")
        };
        assert_eq!(through(PEER, &target("doe")).status, 200);
        assert_eq!(reason(&through(UNKNOWN_CALLER, &target("doe"))), "unknown-peer");
        let head = String::from_utf8(recorder.take().heads.remove(0)).unwrap();
        assert!(head.contains("X-Forwarded-For: 127.0.0.77\r\n"), "{head}");
        let known = through(PEER, WHOAMI).json();
        assert_eq!(known["address"], PEER);
        assert_eq!((&known["source"], &known["peer"]), (&json!("proxy-protocol"), &json!(true)));

        // Two health checks, and HAProxy content with them.
        let checks = || -> Vec<String> {
            let log = gateway.log_so_far();
            log.into_iter().filter(|line| line.starts_with(BALANCER)).collect()
        };
        assert!(becomes_true(|| checks().len() > 1), "{:#?}", gateway.log_so_far());
        let status = || front.says_of_gateway("check_status");
        assert!(becomes_true(|| status() == "L7OK"), "{}", status());
        assert_eq!(front.says_of_gateway("status"), "UP");
        for line in checks() {
            assert!(who(&line) == "127.0.0.5 - -" && line.contains(" 200 "), "{line}");
        }
        let log = gateway.log_so_far();
        let count = |who_is: &str| log.iter().filter(|line| who(line) == who_is).count();
        assert_eq!((count("127.0.0.77 - lyon"), count("127.0.0.12 - -")), (2, 1), "{log:#?}");
    }
}

/// nginx as a proxy that is trusted, with these lines in its location.
fn forwarding(gateway: &Live, lines: &str) -> Result<Nginx, Missing> {
    let to = gateway.address;
    Nginx::serving(
        "keepalive_timeout 0;",
        &format!(
            "location / {{ proxy_pass http://{to}; proxy_bind {PROXY}; proxy_http_version 1.1;\n\
             proxy_set_header Host $http_host; proxy_set_header Connection \"\";\n{lines} }}"
        ),
    )
}

const APPENDED: &str = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";

#[test]
fn nginx_says_whose_each_request_is() {
    for (header, lines, source) in [
        ("X-Forwarded-For", APPENDED, "x-forwarded-for"),
        ("Forwarded", "proxy_set_header Forwarded \"for=$remote_addr;proto=http\";", "forwarded"),
    ] {
        let recorder = Recorder::start();
        let mut setup = setup(&recorder);
        setup.listen.push_str(&format!("\nforwarded_header = \"{header}\""));
        let gateway = setup.start();
        let Some(front) = or_left_out(forwarding(&gateway, lines)) else { return };
        let through = |from: &str, target: &str, lines: &str| {
            request(front.addr(), Some(from.parse().unwrap()), "GET", target, lines)
        };
        assert_eq!(through(PEER, &target("doe"), "").status, 200);
        let forged = format!("{header}: for=127.0.0.1\r\n{header}: 127.0.0.1\r\n");
        assert_eq!(through(PEER, &target("doe"), &forged).status, 200);
        for lines in ["", &forged, "X-Real-IP: 127.0.0.77\r\n"] {
            assert_eq!(reason(&through(UNKNOWN_CALLER, &target("doe"), lines)), "unknown-peer");
        }
        for head in recorder.take().heads {
            let head = String::from_utf8(head).unwrap();
            assert!(head.contains("X-Forwarded-For: 127.0.0.77\r\nX-Forwarded-Proto"), "{head}");
        }
        let known = through(UNKNOWN_CALLER, WHOAMI, &forged).json();
        assert_eq!(known["address"], UNKNOWN_CALLER);
        assert_eq!((&known["source"], &known["peer"]), (&json!(source), &json!(false)));
    }
}

#[test]
fn what_callers_say_of_themselves_changes_nothing_behind_any_proxy() {
    let cases: Vec<Case> =
        case::read(CORPUS).into_iter().filter(|case| case.class == "header_spoof").collect();
    assert!(cases.len() >= 40, "the corpus has lost cases: {}", cases.len());
    let recorder = Recorder::start();
    let gateway = setup(&recorder).start();
    // The other header, which is trusted where it is configured.
    let mut formal = setup(&recorder);
    formal.listen.push_str("\nforwarded_header = \"Forwarded\"");
    let formal = formal.start();
    let http = " mode http\n option httpclose\n option forwardfor";
    let fronts = [
        Ok(Front::None(gateway.address)),
        announcing(&gateway, "send-proxy").map(Front::Transparent),
        announcing(&gateway, "send-proxy-v2").map(Front::Transparent),
        HaProxy::before(gateway.address, http, &format!("source {PROXY}")).map(Front::HaProxy),
        forwarding(&gateway, APPENDED).map(Front::Nginx),
        forwarding(&formal, "proxy_set_header Forwarded \"$http_forwarded, for=$remote_addr\";")
            .map(Front::Nginx),
    ];
    for front in fronts {
        let Some(front) = or_left_out(front) else { return };
        for case in &cases {
            spoof(&front, case, &recorder);
        }
    }
}

/// A case from the peer and from an unknown caller: neither becomes anybody else, least of all `forged`.
fn spoof(front: &Front, case: &Case, recorder: &Recorder) {
    let run = front.run(case, CLIENT, recorder);
    if let Front::None(_) | Front::Transparent(_) = front {
        judge(case, &run).unwrap_or_else(|why| panic!("{}: {why}", case.id));
    }
    assert!(run.upstream.rest.is_empty());
    for head in &run.upstream.heads {
        let head = String::from_utf8(head.clone()).unwrap();
        for line in ["X-Forwarded-For: 127.0.0.77", "X-Real-IP: 127.0.0.77"] {
            assert!(head.contains(&format!("{line}\r\n")), "{}: {head}", case.id);
        }
        assert!(!FORGED.iter().any(|forged| head.contains(&format!(" {forged}\r\n"))), "{head}");
    }
    let run = front.run(case, UNKNOWN_CALLER.parse().unwrap(), recorder);
    assert!(run.upstream.heads.is_empty(), "{} as an unknown caller", case.id);
    let answers = read_answers(&run.answers, case.raw.starts_with(b"HEAD ")).unwrap();
    assert!(answers.iter().all(|answer| answer.status >= 400), "{}: {answers:?}", case.id);
}

enum Front {
    /// Callers come by themselves.
    None(SocketAddr),
    /// Passes bytes on.
    Transparent(HaProxy),
    HaProxy(HaProxy),
    Nginx(Nginx),
}

impl Front {
    fn address(&self) -> SocketAddr {
        match self {
            Self::None(gateway) => *gateway,
            Self::Transparent(front) | Self::HaProxy(front) => front.address(),
            Self::Nginx(front) => front.addr(),
        }
    }

    fn run(&self, case: &Case, from: IpAddr, recorder: &Recorder) -> Run {
        let mut client = if from == CLIENT {
            connect(self.address())
        } else {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let socket = socket.unwrap();
            socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
            socket.connect(&self.address().into()).unwrap();
            socket.into()
        };
        client.write_all(&case.raw).unwrap();
        // The proxies that read HTTP take the end of a client's words for its departure.
        if let Self::None(_) | Self::Transparent(_) = self {
            let _ = client.shutdown(std::net::Shutdown::Write);
        }
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers);
        Run { answers, upstream: recorder.take() }
    }
}

/// A gateway that speaks TLS behind both, with the files of a small authority beside its configuration.
fn tls_gateway(policies: &[(&str, &str)]) -> (Serving, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let write = |name: &str, text: String| {
        std::fs::write(directory.path().join(name), text).unwrap();
    };
    write("ca.pem", root.pem());
    for name in ["gateway", "lyon"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        leaf.distinguished_name = rcgen::DistinguishedName::new();
        leaf.distinguished_name.push(rcgen::DnType::CommonName, name);
        leaf.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        ];
        write(&format!("{name}.pem"), leaf.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
    let main = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\nproxy_protocol_from = [\"{BALANCER}\"]\n\
         trusted_proxies = [\"{PROXY}\"]\n\
         tls = {{ certificate = \"{files}/gateway.pem\", private_key = \"{files}/gateway.key\", client_ca = \"{files}/ca.pem\" }}\n\
         [[access_log]]\npath = \"access.log\"\n[upstream]\nurl = \"http://127.0.0.1:9\"\n\
         danger_loopback_source = true\n[limits]\nunknown_rate = {{ per_second = 1000, burst = 1000 }}\n",
        files = directory.path().display(),
    );
    let gateway = Serving::start(&main, policies).unwrap_or_else(|why| panic!("{why:?}"));
    (gateway, directory)
}

/// What the gateway tells curl of who it is.
fn curl(curl: &Path, to: SocketAddr, from: &str, words: &[&str]) -> Value {
    let output = Command::new(curl)
        .args(["--silent", "--show-error", "--insecure", "--interface", from])
        .args(words)
        .arg(format!("https://localhost:{}{WHOAMI}", to.port()))
        .args(["--resolve", &format!("localhost:{}:{}", to.port(), to.ip())])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_header_may_stand_before_tls_and_a_proxys_certificate_is_not_its_clients() {
    let Some(program) = or_left_out(program("curl", "curl")) else { return };
    let certain = "[certificate]\ncommon_name = [\"lyon\"]\nrequire = \"certificate\"\n";
    let (gateway, files) = tls_gateway(&[("lyon", certain)]);
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("lyon.pem"), file("lyon.key"));
    let shown = ["--cert", certificate.as_str(), "--key", key.as_str()];
    let told = curl(&program, gateway.addr(), UNKNOWN_CALLER, &shown);
    assert_eq!((&told["peer"], &told["address"]), (&json!(true), &json!(UNKNOWN_CALLER)));
    assert_eq!(told["certificate"]["subject"], "CN=lyon");
    assert!(told["certificate"]["days_left"].as_i64().unwrap() > 300, "{told}");
    assert_eq!(told["certificate"].get("fault"), None);
    assert_eq!(curl(&program, gateway.addr(), UNKNOWN_CALLER, &[])["certificate"], Value::Null);

    // Over both versions of HTTP, a proxy's own certificate says nothing of whom it speaks for.
    let forwarded = ["-H", "X-Forwarded-For: 127.0.0.77"];
    for version in ["--http1.1", "--http2"] {
        let words = [&shown[..], &forwarded, &[version]].concat();
        let told = curl(&program, gateway.addr(), PROXY, &words);
        assert_eq!((&told["peer"], &told["address"]), (&json!(false), &json!(PEER)), "{version}");
        assert_eq!(
            (&told["source"], &told["certificate"]),
            (&json!("x-forwarded-for"), &Value::Null)
        );
        let told = curl(&program, gateway.addr(), PROXY, &[&shown[..], &[version]].concat());
        assert_eq!((&told["peer"], &told["address"]), (&json!(false), &Value::Null), "{version}");
    }

    // A balancer passes the handshake on: the certificate is its client's.
    for version in ["send-proxy", "send-proxy-v2"] {
        let server = format!("source {BALANCER} {version}");
        let front = HaProxy::before(gateway.addr(), " mode tcp", &server);
        let Some(front) = or_left_out(front) else { return };
        for http in ["--http1.1", "--http2"] {
            let told = curl(&program, front.address(), PEER, &[&shown[..], &[http]].concat());
            assert_eq!((&told["peer"], &told["address"]), (&json!(true), &json!(PEER)), "{told}");
            assert_eq!(told["source"], "proxy-protocol");
            let told = curl(&program, front.address(), PEER, &[http]);
            assert_eq!(told["peer"], json!(false), "{told}");
        }
    }
    // Anybody else's header is no handshake, and no header of a listed sender is none.
    for (from, bytes) in
        [(UNKNOWN_CALLER, v2(PEER)), (BALANCER, b"\x16\x03\x01\0\x05hello".to_vec())]
    {
        let mut client = Client::connect_from(gateway.addr(), Some(from.parse().unwrap()));
        client.send(&bytes);
        client.half_close();
        match client.try_answer(true) {
            Ok(answer) => assert_eq!((from, answer.status), (UNKNOWN_CALLER, 400)),
            Err(cut) => assert!(!cut.came.starts_with(b"\x16"), "{:?}", cut.came),
        }
    }
}

#[test]
fn anybody_may_ask_who_he_is() {
    let recorder = Recorder::start();
    let mut setup = setup(&recorder);
    setup.limits = "unknown_rate = { per_minute = 1, burst = 3 }\n".to_owned();
    let gateway = setup.start();
    let ask = |from: &str, method: &str, target: &str| {
        request(gateway.address, Some(from.parse().unwrap()), method, target, "")
    };
    let answer = ask(PEER, "GET", WHOAMI);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(
        answer.json(),
        json!({ "address": PEER, "source": "socket", "certificate": null, "peer": true, "request_id": id })
    );
    let answer = ask(PEER, "HEAD", WHOAMI);
    assert!(answer.status == 200 && answer.body.is_empty());
    assert_ne!(answer.header("content-length"), Some("0"));

    let answer = ask(UNKNOWN_CALLER, "GET", WHOAMI);
    assert_eq!((answer.status, &answer.json()["peer"]), (200, &Value::Bool(false)));
    assert_eq!(answer.json()["address"], UNKNOWN_CALLER);
    // It is a path of its own, and as strict as the other one.
    let refused = ask(PEER, "POST", WHOAMI);
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(reason(&ask(PEER, "GET", &format!("{WHOAMI}/"))), "unknown-path");
    assert_eq!(reason(&ask(PEER, "GET", &WHOAMI.replace("whoami", "%77hoami"))), "unknown-path");

    // Both are limited as unknown callers are, and a peer's lookups are not touched by it.
    assert_eq!(ask(PEER, "GET", WHOAMI).status, 429);
    assert_eq!(ask(PEER, "GET", &target("doe")).status, 200);
    assert_eq!(ask(UNKNOWN_CALLER, "GET", WHOAMI).status, 200);
    assert_eq!(reason(&ask(UNKNOWN_CALLER, "GET", &target("doe"))), "unknown-peer");
    let limited = ask(UNKNOWN_CALLER, "GET", WHOAMI);
    assert_eq!((limited.status, limited.header("connection")), (429, Some("close")));
    assert!(limited.header("retry-after").is_some());
    let log = gateway.log(11);
    assert_eq!(who(&log[0]), "127.0.0.77 - lyon");
    assert!(log[0].contains(&format!("\"GET {WHOAMI} HTTP/1.1\" 200 ")), "{}", log[0]);
    assert_eq!(recorder.take().heads.len(), 1);
}

#[test]
fn nobody_may_ask_who_he_is_where_that_is_switched_off() {
    let recorder = Recorder::start();
    let mut setup = setup(&recorder);
    setup.upstream.push_str("[whoami]\nenabled = false\n");
    let gateway = setup.start();
    let ask = |from: &str| request(gateway.address, Some(from.parse().unwrap()), "GET", WHOAMI, "");
    assert_eq!(reason(&ask(PEER)), "unknown-path");
    assert_eq!(reason(&ask(UNKNOWN_CALLER)), "unknown-peer");
}

#[test]
fn a_head_that_is_not_meant_for_the_gateway_is_told_nothing() {
    let recorder = Recorder::start();
    let mut setup = setup(&recorder);
    setup.listen.push_str("\nserver_names = [\"phonebook.example.org\"]");
    let gateway = setup.start();
    let answer = request(gateway.address, Some(PEER.parse().unwrap()), "GET", WHOAMI, "");
    assert_eq!(reason(&answer), "misdirected");
    let mut client = gateway.client_from(PEER);
    client.send(format!("GET {WHOAMI} HTTP/1.1\r\n\r\n"));
    assert_eq!(reason(&client.answer()), "malformed-request");
}

#[test]
fn explain_says_how_the_caller_was_found_and_which_line_let_it() {
    let main = "[[listen]]\naddress = \"127.0.0.1:9480\"\nproxy_protocol_from = [\"10.0.0.2\"]\n\
         trusted_proxies = [\n  \"192.0.2.9\",\n  \"10.0.0.0/24\",\n]\n\
         [upstream]\nurl = \"http://192.0.2.80\"\nhost = \"localhost\"\nsource = \"192.0.2.81\"\n";
    let site = Site::new(main, &[("lyon", "hosts = [\"198.51.100.3\"]\n")]);
    let explain = |words: &[&str]| {
        site.run(&[&["explain", "--config", "gateway.toml", "--from"], words].concat())
    };
    let url = target("doe");
    let forwarded = "X-Forwarded-For: 203.0.113.1, 198.51.100.3";

    let run = explain(&["10.0.0.7", "-H", forwarded, &url]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let found = "          198.51.100.3 found by X-Forwarded-For from 10.0.0.7, which is trusted [gateway.toml:6]\n\
                 identify  198.51.100.3 is in 198.51.100.3/32: peer `lyon`";
    assert!(run.stdout.contains(found), "{}", run.stdout);
    assert!(run.stdout.starts_with("From 10.0.0.7 to 127.0.0.1:9480:"), "{}", run.stdout);

    let run = explain(&["10.0.0.2", "--proxied-for", "192.0.2.9", "-H", forwarded, &url]);
    let found = "          192.0.2.9 found by the PROXY header of 10.0.0.2, which is trusted [gateway.toml:3]\n          \
                 198.51.100.3 found by X-Forwarded-For from 192.0.2.9, which is trusted [gateway.toml:5]\n";
    assert!(run.code == Some(0) && run.stdout.contains(found), "{}", run.stdout);

    for words in [&["10.0.0.7", &url][..], &["10.0.0.2", "-H", forwarded, &url]] {
        let run = explain(words);
        assert_eq!(run.code, Some(1));
        for part in
            ["no client found by ", "never a peer [gateway.toml:", "REFUSED: the proxy at 10.0.0."]
        {
            assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
        }
    }
    // Whoever is not listed is not trusted, and cannot send that header at all.
    let run = explain(&["192.0.2.10", "-H", forwarded, &url]);
    assert!(run.code == Some(1) && !run.stdout.contains("found by"), "{}", run.stdout);
    let run = explain(&["192.0.2.10", "--proxied-for", "198.51.100.3", &url]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("192.0.2.10 is not in proxy_protocol_from"), "{}", run.stderr);

    let run = explain(&["198.51.100.3", "--json", WHOAMI]);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &told["verdict"]), (Some(0), &json!("allowed")));
    assert_eq!((&told["answer"]["peer"], &told["upstream"]), (&json!(true), &Value::Null));
    assert_eq!(told["limits"][0]["limit"], "unknown");
    let run = explain(&["203.0.113.5", WHOAMI]);
    assert!(run.code == Some(0) && run.stdout.contains("\"address\":\"203.0.113.5\""), "{run:?}");
}

#[test]
fn explain_and_serve_find_the_same_caller() {
    let main = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol_from = [\"{BALANCER}\"]\n\
         trusted_proxies = [\"{PROXY}\"]\n[[access_log]]\npath = \"access.log\"\nflush = \"10ms\"\n\
         [upstream]\nurl = \"http://127.0.0.1:9\"\nhost = \"localhost\"\ndanger_loopback_source = true\n\
         [limits]\nunknown_rate = {{ per_second = 1000, burst = 1000 }}\n"
    );
    let lyon = policy(PEER, "");
    let policies = [("lyon", lyon.as_str())];
    let gateway = Serving::start(&main, &policies).unwrap();
    let site = Site::new(&main, &policies);
    let mut lines = 0;
    for (from, announced, headers) in [
        (PEER, None, &[][..]),
        (PEER, None, &["X-Forwarded-For: 127.0.0.12"][..]),
        (UNKNOWN_CALLER, None, &["X-Forwarded-For: 127.0.0.77"]),
        (PROXY, None, &["X-Forwarded-For: 127.0.0.77"]),
        (PROXY, None, &["X-Forwarded-For: 127.0.0.77", "X-Forwarded-For: 127.0.0.12"]),
        (PROXY, None, &[]),
        (PROXY, None, &["X-Forwarded-For: nobody"]),
        (BALANCER, Some(PEER), &[]),
        (BALANCER, Some(UNKNOWN_CALLER), &["X-Forwarded-For: 127.0.0.77"]),
        (BALANCER, Some(PROXY), &["X-Forwarded-For: 127.0.0.77"]),
        (BALANCER, None, &["X-Forwarded-For: 127.0.0.77"]),
    ] {
        let mut client = Client::connect_from(gateway.addr(), Some(from.parse().unwrap()));
        match announced {
            Some(announced) => client.send(v1(announced)),
            None if from == BALANCER => client.send(LOCAL),
            None => {}
        }
        let fields: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        client.send(format!("GET {} HTTP/1.1\r\nHost: x\r\n{fields}\r\n", target("doe")));
        let status = client.answer().status;
        lines += 1;
        let log = gateway.access_log_of(lines);
        let served = who(log.lines().last().unwrap()).to_owned();

        let mut words = vec!["explain", "--config", "gateway.toml", "--json", "--from", from];
        words.extend(announced.iter().flat_map(|announced| ["--proxied-for", announced]));
        words.extend(headers.iter().flat_map(|header| ["-H", header]));
        let url = target("doe");
        words.push(&url);
        let run = site.run(&words);
        let told: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        let peer = told["peer"].as_str().unwrap_or("-");
        let address = told["client"]["address"].as_str().unwrap_or(from);
        assert_eq!(format!("{address} - {peer}"), served, "{words:?}");
        // Nobody listens at the upstream: what is allowed ends there.
        assert_eq!(run.code == Some(0), status == 502, "{words:?}: {status}");
    }
}
