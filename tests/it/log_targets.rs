//! Where access logs go and which requests they take: conditions, syslog as nginx sends it, gzip, a file for each peer.

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
};

use rustix::process::Signal;

use crate::support::{
    http::exchange,
    needs::or_left_out,
    process::{PATIENCE, becomes_true},
    scripted::Scripted,
    serving::{Serving, loopback_config},
    xivo::{Nginx, PHONEBOOK},
};

const LYON: (&str, &str) = ("lyon", "hosts = [\"127.0.0.1\"]\n");
const METZ: (&str, &str) = ("metz", "hosts = [\"127.0.0.2\"]\n");

fn start(logs: &str, upstream: &Scripted) -> Serving {
    let main = format!("workers = 1\n{}{logs}", loopback_config(upstream.address()));
    Serving::start(&main, &[LYON, METZ]).unwrap()
}

/// The lines of a log once there are so many.
fn lines(gateway: &Serving, name: &str, count: usize) -> Vec<String> {
    let mut text = String::new();
    let complete = becomes_true(|| {
        text = fs::read_to_string(gateway.file(name)).unwrap_or_default();
        text.lines().count() >= count
    });
    assert!(complete, "{name} has {text}");
    text.lines().map(str::to_owned).collect()
}

fn get_from(from: &str, to: SocketAddr, target: &str) -> u16 {
    let from: IpAddr = from.parse().unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    exchange(to, Some(from), request.as_bytes()).status
}

fn search(gateway: &Serving, from: &str) -> u16 {
    get_from(from, gateway.addr(), &format!("{PHONEBOOK}?act=search&search=doe"))
}

#[test]
fn a_log_takes_the_requests_that_its_condition_names_and_no_others() {
    let upstream = Scripted::well();
    let gateway = start(
        r#"
[[access_log]]
path = "refused.log"
format = "own"
flush = "10ms"
if = { status = "4xx" }
[[access_log]]
path = "strangers.log"
format = "own"
flush = "10ms"
if = { peer = "-", reason = ["unknown-peer"] }
[[access_log]]
path = "metz.log"
format = "own"
flush = "10ms"
if = { peer = ["metz"], status = ["!404"] }
[[access_log]]
path = "combined.log"
flush = "10ms"
if = { reason = "-" }
[log_format]
own = "$peer $status $reason"
"#,
        &upstream,
    );
    assert_eq!(search(&gateway, "127.0.0.1"), 200);
    assert_eq!(get_from("127.0.0.1", gateway.addr(), "/none"), 404);
    assert_eq!(search(&gateway, "127.0.0.2"), 200);
    assert_eq!(get_from("127.0.0.2", gateway.addr(), "/none"), 404);
    assert_eq!(search(&gateway, "127.0.0.3"), 403);
    assert_eq!(get_from("127.0.0.2", gateway.addr(), &format!("{PHONEBOOK}?act=list")), 403);
    gateway.access_log_of(6);
    let expected = [
        "lyon 404 unknown-path",
        "metz 404 unknown-path",
        "- 403 unknown-peer",
        "metz 403 action-not-granted",
    ];
    assert_eq!(lines(&gateway, "refused.log", 4), expected);
    assert_eq!(lines(&gateway, "strangers.log", 1), ["- 403 unknown-peer"]);
    assert_eq!(lines(&gateway, "metz.log", 2), ["metz 200 -", "metz 403 action-not-granted"]);
    let combined = lines(&gateway, "combined.log", 2);
    assert_eq!(combined.len(), 2);
    assert!(combined.iter().all(|line| line.contains("\" 200 ")), "{combined:?}");
}

/// A place that datagrams come to.
enum Receiver {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Receiver {
    fn udp() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::Udp(socket)
    }

    fn unix(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::Unix(socket)
    }

    fn next(&self) -> Vec<u8> {
        let mut datagram = vec![0; 1 << 16];
        let length = match self {
            Self::Udp(socket) => socket.recv(&mut datagram),
            Self::Unix(socket) => socket.recv(&mut datagram),
        };
        datagram.truncate(length.expect("a datagram came in time"));
        datagram
    }

    /// Takes what waits.
    fn empty(&self) {
        let Self::Unix(socket) = self else { return };
        socket.set_nonblocking(true).unwrap();
        while socket.recv(&mut [0; 1 << 10]).is_ok() {}
        socket.set_nonblocking(false).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8(self.next()).unwrap()
    }
}

/// A datagram with its time replaced, which has to look like nginx's: `Nov  3 03:50:01`.
fn without_time(datagram: &[u8]) -> Vec<u8> {
    let start = datagram.iter().position(|&byte| byte == b'>').unwrap() + 1;
    let (before, rest) = datagram.split_at(start);
    let (time, after) = rest.split_at("Nov  3 03:50:01".len());
    for (byte, shape) in time.iter().zip(b"Aaa  9 99:99:99") {
        let alike = match shape {
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            b'9' => byte.is_ascii_digit(),
            // A day of two digits has one here.
            b' ' => *byte == b' ' || byte.is_ascii_digit(),
            other => byte == other,
        };
        assert!(alike, "{}", String::from_utf8_lossy(datagram));
    }
    [before, b"TIME", after].concat()
}

#[rustfmt::skip]
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp",
    "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

/// Parameters of which each has a tag of its own.
fn parameters() -> Vec<String> {
    let facilities = FACILITIES.iter().map(|word| format!("facility={word},tag=f_{word}"));
    let severities = SEVERITIES.iter().map(|word| format!("tag=s_{word},severity={word}"));
    let others = [
        "tag=default".to_owned(),
        "nohostname,tag=none".to_owned(),
        format!("tag={},nohostname", "T".repeat(32)),
    ];
    facilities.chain(severities).chain(others).collect()
}

const FORMAT: &str = "$request|$status|$http_user_agent|$http_x_odd";

/// What a receiver gets for one request to this address, the times left out, in order.
fn sent(receiver: &Receiver, count: usize, to: SocketAddr) -> Vec<Vec<u8>> {
    let long = "u".repeat(LONG);
    let request = [
        b"GET /none?a=%20 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Odd: \"a\\b\xff\xc3\xa9\r\nUser-Agent: ".as_slice(),
        long.as_bytes(),
        b"\r\n\r\n",
    ]
    .concat();
    assert_eq!(exchange(to, None, &request).status, 404);
    let mut datagrams: Vec<_> = (0..count).map(|_| without_time(&receiver.next())).collect();
    datagrams.sort_unstable();
    datagrams
}

/// Longer than what fits one packet of Ethernet, and short enough for so many at once.
const LONG: usize = 2500;

/// nginx loses what the receiver has no room for: Linux lets 10 datagrams wait at a socket.
const AT_ONCE: usize = 8;

fn compare_with_nginx(receiver: &Receiver, server: &str) {
    for parameters in parameters().chunks(AT_ONCE) {
        compare_these_with_nginx(receiver, server, parameters);
    }
}

fn compare_these_with_nginx(receiver: &Receiver, server: &str, parameters: &[String]) {
    let mut directives = String::new();
    let mut sections = format!("[log_format]\nt = '{FORMAT}'\n");
    for parameters in parameters {
        let target = format!("syslog:server={server},{parameters}");
        directives.push_str(&format!("access_log {target} t;\n"));
        sections.push_str(&format!(
            "[[access_log]]\npath = \"{target}\"\nformat = \"t\"\nmax_field = 0\n"
        ));
    }
    let http = format!("log_format t '{FORMAT}';");
    let nginx = Nginx::serving(&http, &format!("{directives}location / {{ return 404; }}"));
    let Some(nginx) = or_left_out(nginx) else { return };
    let theirs = sent(receiver, parameters.len(), nginx.addr());
    let upstream = Scripted::well();
    let gateway = start(&sections, &upstream);
    let ours = sent(receiver, parameters.len(), gateway.addr());
    let text = |datagrams: &[Vec<u8>]| -> Vec<String> {
        datagrams.iter().map(|datagram| String::from_utf8_lossy(datagram).into_owned()).collect()
    };
    assert!(theirs.iter().all(|datagram| datagram.len() > LONG));
    assert_eq!(text(&ours), text(&theirs));
    assert_eq!(ours, theirs);
}

#[test]
fn datagrams_over_udp_are_nginxs_byte_for_byte() {
    let receiver = Receiver::udp();
    let Receiver::Udp(socket) = &receiver else { unreachable!() };
    compare_with_nginx(&receiver, &socket.local_addr().unwrap().to_string());
}

#[test]
fn datagrams_to_a_unix_socket_are_nginxs_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    compare_with_nginx(&Receiver::unix(&path), &format!("unix:{}", path.display()));
}

#[test]
fn the_newer_form_has_a_date_with_milliseconds_and_this_process() {
    let receiver = Receiver::udp();
    let Receiver::Udp(socket) = &receiver else { unreachable!() };
    let upstream = Scripted::well();
    let gateway = start(
        &format!(
            "[[access_log]]\npath = \"syslog:server={},rfc=5424\"\nformat = \"t\"\n\
             [log_format]\nt = '$status'\n",
            socket.local_addr().unwrap()
        ),
        &upstream,
    );
    assert_eq!(search(&gateway, "127.0.0.1"), 200);
    let text = receiver.text();
    let fields: Vec<&str> = text.split(' ').collect();
    let [version, time, host, app, process, id, data, message] = fields.as_slice() else {
        panic!("{text}")
    };
    assert_eq!(
        (*version, *app, *id, *data, *message),
        ("<190>1", "phonebook_gateway", "-", "-", "200")
    );
    assert_eq!(*process, gateway.pid().to_string());
    assert!(!host.is_empty());
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.as_bytes()[19] == b'.', "{time}");
}

#[test]
fn a_missing_receiver_costs_lines_that_are_counted_and_said_and_is_found_when_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let upstream = Scripted::well();
    let target = format!("syslog:server=unix:{}", path.display());
    let gateway = start(&format!("[[access_log]]\npath = \"{target}\"\n"), &upstream);
    assert!(
        gateway.said().contains(&format!("nobody takes the lines of the access log {target} yet"))
    );
    for _ in 0..3 {
        assert_eq!(search(&gateway, "127.0.0.1"), 200);
    }
    gateway.access_log_of(3);
    assert!(gateway.says(&format!("cannot write to the access log {target}: No such file")));
    assert!(gateway.said().contains(" lost, and more will be. Start the receiver"));
    let receiver = Receiver::unix(&path);
    assert_eq!(search(&gateway, "127.0.0.1"), 200);
    assert!(gateway.says("is written again; "), "{}", gateway.said());
    // Each of the lines was either lost and counted, or has come.
    let said = gateway.said();
    let (_, rest) = said.split_once("is written again; ").unwrap();
    let lost: usize = rest.split(' ').next().unwrap().parse().unwrap();
    for _ in lost..4 {
        assert!(receiver.text().contains(" 200 "));
    }
    drop(receiver);
    fs::remove_file(&path).unwrap();
    gateway.signal(Signal::USR1);
    assert!(gateway.says(&format!("cannot reach the receiver of the access log {target}")));
    let receiver = Receiver::unix(&path);
    gateway.signal(Signal::USR1);
    assert!(gateway.says(&format!("reopened the access log {target}")), "{}", gateway.said());
    assert_eq!(search(&gateway, "127.0.0.1"), 200);
    assert!(receiver.text().contains("/phonebook?act=search&search=doe"));
}

#[test]
fn a_receiver_that_takes_nothing_keeps_no_request_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let receiver = Receiver::unix(&path);
    let upstream = Scripted::well();
    let target = format!("syslog:server=unix:{}", path.display());
    let gateway = start(
        &format!(
            "[[access_log]]\npath = \"{target}\"\nformat = \"t\"\n[log_format]\nt = '$request_id'\n"
        ),
        &upstream,
    );
    let said = format!("cannot write to the access log {target}: Resource temporarily unavailable");
    // Until there is no room: how many lines wait at a socket differs (net.unix.max_dgram_qlen, the sender's buffer).
    // Beyond the peer's rate they are refused, and have their lines all the same.
    let mut all = 0;
    let full = becomes_true(|| {
        all += 1;
        assert!([404, 429].contains(&get_from("127.0.0.1", gateway.addr(), "/none")));
        gateway.said().contains(&said)
    });
    assert!(full, "{all}: {}", gateway.said());
    gateway.access_log_of(all);
    assert!(gateway.said().contains("The receiver runs, and takes nothing"));
    receiver.empty();
    // The first line may still find no room; one that finds some ends the loss.
    let again = format!("the access log {target} is written again");
    assert!(becomes_true(|| {
        get_from("127.0.0.1", gateway.addr(), "/none");
        gateway.said().contains(&again)
    }));
}

#[test]
fn a_compressed_log_can_be_read_by_zcat_while_it_is_written() {
    let upstream = Scripted::well();
    let gateway = start(
        "[[access_log]]\npath = \"access.log.gz\"\ngzip = 6\nflush = \"10ms\"\n\
         [[access_log]]\npath = \"own-$peer.gz\"\ngzip = true\nflush = \"10ms\"\n",
        &upstream,
    );
    let zcat = |name: &str| {
        let output = Command::new("zcat").arg(gateway.file(name)).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    for count in 1..=5 {
        assert_eq!(search(&gateway, "127.0.0.1"), 200);
        let plain = gateway.access_log_of(count);
        for name in ["access.log.gz", "own-lyon.gz"] {
            let mut found = (false, String::new());
            assert!(
                becomes_true(|| {
                    found = zcat(name);
                    found == (true, plain.clone())
                }),
                "{name}: {found:?}"
            );
        }
    }
}

#[test]
fn each_peer_has_a_file_of_its_own_that_is_reopened_and_whose_directory_may_come_later() {
    let upstream = Scripted::well();
    let gateway = start(
        "[[access_log]]\npath = \"$peer.log\"\nformat = \"t\"\nflush = \"10ms\"\n\
         [[access_log]]\npath = \"${peer}/t.log\"\nformat = \"t\"\nflush = \"10ms\"\n\
         [log_format]\nt = '$peer $status'\n",
        &upstream,
    );
    for from in ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"] {
        search(&gateway, from);
    }
    assert_eq!(lines(&gateway, "lyon.log", 2), ["lyon 200", "lyon 200"]);
    assert_eq!(lines(&gateway, "metz.log", 1), ["metz 200"]);
    assert_eq!(lines(&gateway, "-.log", 1), ["- 403"]);
    assert!(gateway.says("/t.log: No such file or directory"), "{}", gateway.said());
    assert!(gateway.said().contains("does not exist. Make it"), "{}", gateway.said());
    fs::create_dir(gateway.file("metz")).unwrap();
    search(&gateway, "127.0.0.2");
    assert_eq!(lines(&gateway, "metz/t.log", 1), ["metz 200"]);
    fs::rename(gateway.file("lyon.log"), gateway.file("lyon.log.1")).unwrap();
    search(&gateway, "127.0.0.1");
    assert_eq!(lines(&gateway, "lyon.log.1", 3).len(), 3, "the old file is in use until USR1");
    gateway.signal(Signal::USR1);
    assert!(gateway.says("${peer}.log; each is opened again with its next line"));
    search(&gateway, "127.0.0.1");
    assert_eq!(lines(&gateway, "lyon.log", 1), ["lyon 200"]);
    assert_eq!(lines(&gateway, "lyon.log.1", 3).len(), 3);
}

#[test]
fn a_directory_of_all_peers_that_is_missing_is_said_at_the_start() {
    let upstream = Scripted::well();
    let main = format!(
        "{}[[access_log]]\npath = \"missing/$peer.log\"\n",
        loopback_config(upstream.address())
    );
    let not_started = Serving::start(&main, &[LYON]).unwrap_err();
    assert_eq!(not_started.code, Some(3));
    let line = not_started.said.lines().find(|line| line.contains("missing/${peer}.log"));
    let line = line.unwrap_or_else(|| panic!("{}", not_started.said));
    assert!(line.contains("missing does not exist. Make it"), "{line}");
}
